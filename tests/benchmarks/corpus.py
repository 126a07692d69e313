"""What the benchmarks run on: recordings, manifests of them, and models."""

import os
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from raudeep.corpora.demo import write_demo_corpus

BUILD = Path("build/benchmarks")
FORMATS = ("wav", "flac", "ogg", "mp3")
BAD = ("corrupt", "truncated", "empty", "text", "folder", "vanished", "long")
LONG_SECONDS = 20.0


class Ratio(NamedTuple):
    """Seconds of ours and of a reference, measured in turns."""

    what: str
    reference: str
    ours: list[float]
    theirs: list[float]
    limit: str = ""
    """What cannot be left out, measured in the same run."""
    limits: list[float] | None = None
    """Its seconds."""
    rest: str = ""
    """What holds ours back."""


def audio_folder(scratch: Path) -> Path:
    """Return the folder of ESC-10 or, without it, of a synthesised corpus."""
    data = Path(os.environ.get("RAUDEEP_TEST_DATA", "")) / "esc-10"
    if data.is_dir():
        return data
    write_demo_corpus(scratch / "corpus", clips_per_class=80)
    return scratch / "corpus"


class Archive(NamedTuple):
    """A manifest of many short recordings, and which of them are bad."""

    manifest: str
    good: frozenset[str]
    bad: frozenset[str]


def write_archive(folder: Path, count: int, *, bad_share: float = 0.01) -> Archive:
    """Write short pieces of real recordings, cut and re-levelled at random, in several formats.

    Bad ones, of every kind in turn, are spread among them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clips = sorted(str(p) for p in audio_folder(folder).rglob("*") if p.suffix in (".ogg", ".wav"))
    every = round(1 / bad_share) if bad_share else 0
    kinds = [
        BAD[number // every % len(BAD)] if every and number % every == every // 2 else "good"
        for number in range(count)
    ]
    jobs = [(str(folder), clips[n % len(clips)], n, kind) for n, kind in enumerate(kinds)]
    with ProcessPoolExecutor() as pool:
        files = list(pool.map(_write_piece, jobs, chunksize=200))
    manifest = folder / "manifest.csv"
    manifest.write_text("file\n" + "".join(f"{file}\n" for file in files))
    named = zip(files, kinds, strict=True)
    bad = frozenset(file for file, kind in named if kind != "good")
    return Archive(str(manifest), frozenset(files) - bad, bad)


def _write_piece(job: tuple[str, str, int, str]) -> str:
    folder, clip, number, kind = job
    rng = random.Random(number)
    # Decoders of MP3 find their way into what is left of a damaged file.
    suffix = FORMATS[number % (3 if kind == "corrupt" else len(FORMATS))]
    file = f"{number // 1000:03d}/{number:06d}.{suffix}"
    place = Path(folder) / file
    place.parent.mkdir(parents=True, exist_ok=True)
    samples, rate = soundfile.read(clip, dtype="float32")
    length = int(rng.uniform(0.5, 1.5) * rate)
    start = rng.randrange(max(1, len(samples) - length))
    piece = samples[start : start + length] * 10 ** rng.uniform(-1.5, 0)
    if kind == "long":
        piece = np.resize(piece, int((LONG_SECONDS + 1) * rate))
    if kind not in ("folder", "vanished"):
        soundfile.write(place, piece, rate)
    match kind:
        case "corrupt":
            content = place.read_bytes()
            place.write_bytes(bytes(len(content) // 2) + content[len(content) // 2 :])
        case "truncated":
            content = place.read_bytes()
            place.write_bytes(content[: len(content) // 2])
        case "empty":
            place.write_bytes(b"")
        case "text":
            place.write_text("this is not audio")
        case "folder":
            place.mkdir(exist_ok=True)
    return file
