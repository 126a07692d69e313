"""Suffixes of files: which are audio, which may hold sound, and which never do.

Of a folder only files with the name of audio are taken; decoding finds out whether they are. What
a user names is tried, whatever it is called.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable

__all__ = [
    "AUDIO_SUFFIXES",
    "BY_FFMPEG",
    "BY_LIBSNDFILE",
    "FILM_SUFFIXES",
    "NOT_BY_NAME",
    "describe_files",
    "is_archive",
    "is_audio",
    "is_hidden",
    "others_of_interest",
    "ways_to_use",
]

BY_LIBSNDFILE: dict[str, tuple[str, ...]] = {
    "WAV": ("wav", "wave", "bwf"),
    "WAVEX": (),  # WAV as well
    "RF64": ("rf64",),
    "W64": ("w64",),
    "FLAC": ("flac", "fla"),
    "OGG": ("ogg", "oga", "ogx", "opus"),
    "MP3": ("mp3", "mp2", "mpga"),
    "AIFF": ("aiff", "aif", "aifc"),
    "AU": ("au", "snd"),
    "CAF": ("caf",),
    "VOC": ("voc",),
    "NIST": ("sph", "nist"),
    "SVX": ("8svx", "svx"),
    "AVR": ("avr",),
    "IRCAM": ("ircam",),
    "PAF": ("paf",),
    "PVF": ("pvf",),
    "SDS": ("sds",),
    "WVE": ("wve",),
    "XI": ("xi",),
}
"""Suffixes of what libsndfile reads, by its names of the formats."""
NOT_BY_NAME = ("HTK", "MAT4", "MAT5", "MPC2K", "RAW", "SD2")
"""Its other formats: files of these suffixes mostly hold something else, or no rate."""
BY_FFMPEG: dict[str, tuple[str, ...]] = {
    "mov": ("m4a", "m4b"),
    "matroska": ("mka", "weba"),
    "asf": ("wma",),
    "aac": ("aac",),
    "amr": ("amr",),
    "wv": ("wv",),
}
"""Suffixes of sound that PyAV reads, by FFmpeg's names of the containers."""
AUDIO_SUFFIXES = tuple(
    suffix for found in (BY_LIBSNDFILE, BY_FFMPEG) for each in found.values() for suffix in each
)
"""Suffixes, in any case, of what is taken for audio."""
_AUDIO_ENDINGS = tuple(f".{suffix}" for suffix in AUDIO_SUFFIXES)
FILM_SUFFIXES = ("mp4", "m4v", "mov", "3gp", "3g2", "mkv", "webm", "wmv", "asf")
"""Suffixes of films in the same containers: that their sound is meant, a user has to say."""

_ARCHIVE = re.compile(r".+\.(zip|7z|rar|tar|t[abgx]z|tbz2|tzst|tar\.(gz|bz2|xz|zst|lz4|z))")
_COMPRESSED = re.compile(r"\.(gz|bz2|xz|zst)$")
_NO_SOUND = {
    *("arrow", "csv", "feather", "json", "jsonl", "ndjson", "npy", "npz", "parquet", "pq", "tsv"),
    *("arff", "db", "h5", "hdf5", "mat", "nc", "pkl", "pt", "sqlite", "safetensors", "xlsx", "xls"),
    *("cfg", "css", "doc", "docx", "htm", "html", "ini", "js", "log", "md", "nfo", "odt", "pdf"),
    *("py", "ipynb", "r", "rst", "rtf", "sh", "tex", "toml", "txt", "url", "xml", "yaml", "yml"),
    *("bmp", "gif", "ico", "jpeg", "jpg", "png", "ps", "svg", "tif", "tiff", "webp"),
    *("cue", "eaf", "lab", "lrc", "m3u", "m3u8", "pls", "srt", "textgrid", "vtt"),
    *("bak", "bib", "ds_store", "lock", "md5", "part", "sha1", "sha256", "sfv", "tmp"),
}
"""Suffixes of files that lie beside recordings and never hold sound."""
_WITHOUT = ""
_TEXTS = {
    *("authors", "changelog", "changes", "citation", "contents", "contributing", "copying"),
    *("licence", "license", "makefile", "notice", "readme", "todo", "version"),
}
"""Names without a suffix, of the same kind."""
_NAMED = "in the column 'file' of a manifest (.csv, .tsv or .parquet)"
_SHOWN = 6  # suffixes of a line


def is_audio(file: str) -> bool:
    """Return whether a file is audio by its name, and not hidden."""
    return file.lower().endswith(_AUDIO_ENDINGS) and not is_hidden(file)


def is_hidden(file: str) -> bool:
    """Return whether a path has a name that starts with a dot, as macOS's ``._`` twins do."""
    return file.startswith(".") or "/." in file


def is_archive(file: str) -> bool:
    """Return whether a file is a zip, tar or other archive by its name."""
    return _ARCHIVE.fullmatch(file.lower()) is not None


def others_of_interest(files: Iterable[str]) -> list[str]:
    """Return the files that are not taken as audio but may hold sound.

    Lists, texts, pictures, names such as ``LICENSE`` and hidden files are left out.
    """
    others = (file for file in files if not is_audio(file) and not is_hidden(file))
    return [file for file in others if not _is_plain(file)]


def describe_files(files: Collection[str]) -> str:
    """Return how many files have which suffix, the most frequent first: ``3 .mp4, 1 .zip``."""
    counts = Counter(_suffix(file) for file in files).most_common()
    said = [f"{n} .{suffix}" if suffix else f"{n} without one" for suffix, n in counts[:_SHOWN]]
    if more := sum(n for _, n in counts[_SHOWN:]):
        said.append(f"{more} of other kinds")
    return ", ".join(said)


def ways_to_use(files: Iterable[str], root: str) -> str:
    """Return in sentences what to do with files below `root` that are no audio by their names."""
    others = sorted(files)
    archives = [file for file in others if is_archive(file)]
    films = [file for file in others if _suffix(file) in FILM_SUFFIXES]
    said = []
    if films:
        example = f"{root.rstrip('/')}/{films[0]}"
        said.append(
            f"The sound of a film is used where it is named, as {example!r} or {_NAMED}, "
            "with PyAV: pip install 'raudeep[ffmpeg]'."
        )
    if archives:
        said.append(f"Unpack archives, such as {archives[0]!r}: what is in them is not read.")
    if len(films) + len(archives) < len(others) and not films:
        said.append(f"A file of any suffix is tried where the command names it, or {_NAMED}.")
    return " ".join(said)


def _suffix(file: str) -> str:
    name = file.rpartition("/")[2].lower()
    if is_archive(name) and (found := re.search(r"\.tar\.\w+$", name)):
        return found[0][1:]
    return name.rpartition(".")[2] if "." in name else _WITHOUT


def _is_plain(file: str) -> bool:
    if is_archive(file):
        return False
    name = _COMPRESSED.sub("", file.rpartition("/")[2])
    suffix = _suffix(name)
    return name.lower() in _TEXTS or suffix in _NO_SOUND
