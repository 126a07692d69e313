"""What lies where a table or a model was looked for, in words, and what to do with it."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raudeep.corpora.suffixes import is_audio
from raudeep.errors import TableError
from raudeep.manifest import MANIFEST_SUFFIXES
from raudeep.storage import uri as uris
from raudeep.storage.index import indexed_stage, table_folders
from raudeep.storage.outputs import is_json

__all__ = ["BENCHMARK_FILES", "Found", "find_below", "instead", "is_benchmark", "step"]

BENCHMARK_FILES = {
    "recipe.json": ("views", "autoencoders"),
    "results.json": ("scores", "autoencoders"),
}
"""Files of the output of a benchmark, recipe and results, and keys of what they hold."""

_WEIGHTS = {"model.safetensors": "autoencoder", "classifier.safetensors": "classifier"}
_MOST_READ = 50  # tables whose index is read to say what they hold
_MOST_NAMED = 5


@dataclass(frozen=True)
class Found:
    """What a folder holds, by the names of the folders below it; ``""`` is the folder itself."""

    tables: Mapping[str, str]
    """Stages of finished tables."""
    models: Mapping[str, str]
    """Kinds of trained models: ``autoencoder`` or ``classifier``."""
    has_audio: bool


def find_below(uri: str, names: Iterable[str]) -> Found:
    """Return what lies in a folder that holds files of these names."""
    names = list(names)
    folders = table_folders(names)[:_MOST_READ]
    stages = {
        folder: indexed_stage(uris.join(uri, folder) if folder else uri) for folder in folders
    }
    models = {
        folder.rstrip("/"): kind
        for weights, kind in _WEIGHTS.items()
        for folder, _, name in (each.rpartition("/") for each in names)
        if name == weights
    }
    has_audio = any(map(is_audio, names))
    tables = {folder: stage for folder, stage in stages.items() if stage is not None}
    return Found(tables, dict(sorted(models.items())), has_audio)


def is_benchmark(uri: str) -> bool:
    """Return whether the recipe or the results of a benchmark lie at a place."""
    return any(is_json(uris.join(uri, name), *keys) for name, keys in BENCHMARK_FILES.items())


def instead(uri: str, wanted: str, names: Iterable[str] | None = None) -> str:
    """Return a sentence on what lies at a place instead of what is wanted, after a space.

    Nothing where there is nothing to say.

    Parameters
    ----------
    uri : str
        The place.
    wanted : str
        The stage of a table, ``table`` for any, ``autoencoder`` or ``classifier``.
    names : iterable of str, optional
        The files below it; listed without.
    """
    try:
        if uris.file_size(uri) is not None:
            return _said_of_file(uri, wanted)
        found = find_below(uri, uris.list_files(uri) if names is None else names)
    except (OSError, TableError):  # what is wanted is not there, which has been said
        return ""
    kind = found.models.get("") or found.tables.get("")
    if kind is not None:
        return f" It is {_named(kind)}.{step(uri, kind, wanted)}"
    is_model = wanted in _WEIGHTS.values()
    below = found.models if is_model else found.tables
    fitting = [name for name, each in below.items() if wanted in (each, "table")]
    if fitting:
        what = (
            f"{wanted}s" if is_model else "tables" if wanted == "table" else f"tables of {wanted}"
        )
        more = f" and {len(fitting) - _MOST_NAMED} more" if len(fitting) > _MOST_NAMED else ""
        return f" Below it are {what}: {', '.join(fitting[:_MOST_NAMED])}{more}. Name one of them."
    if found.has_audio:
        return f" It is a folder of audio.{step(uri, 'audio', wanted)}"
    return ""


def _said_of_file(uri: str, wanted: str) -> str:
    if uri.lower().endswith(MANIFEST_SUFFIXES):
        return f" It is a file, such as a manifest.{step(uri, 'audio', wanted)}"
    if is_audio(uri.rsplit("/", 1)[-1]):
        return f" It is a recording.{step(uri, 'audio', wanted)}"
    return " It is a file."


def _named(kind: str) -> str:
    if kind in _WEIGHTS.values():
        return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    return f"a table of {kind}"


def step(uri: str, kind: str, wanted: str) -> str:
    """Return the command that makes what is wanted of what is there, if one does, after a space."""
    place = shlex.quote(uri)
    steps = {
        ("audio", "spectrograms"): f"`raudeep extract {place} --output SPECTROGRAMS`",
        ("audio", "embeddings"): f"`raudeep embed {place} --model MODEL --output EMBEDDINGS`",
        (
            "spectrograms",
            "embeddings",
        ): f"`raudeep embed {place} --model MODEL --output EMBEDDINGS`",
        ("autoencoder", "embeddings"): f"`raudeep embed AUDIO --model {place} --output EMBEDDINGS`",
        ("spectrograms", "autoencoder"): f"`raudeep train time {place} --output MODEL`",
        ("embeddings", "classifier"): f"`raudeep train-classifier svm {place} --output CLASSIFIER`",
    }
    found = steps.get((kind, wanted))
    if found is None and kind == "audio":
        return " Run `raudeep extract`, `raudeep train` and `raudeep embed` first, as needed."
    return f" Run {found} first, and name its output here." if found else ""
