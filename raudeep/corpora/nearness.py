"""Which layouts a corpus nearly has: what its owner may have meant, and what is missing."""

import re
from collections.abc import Mapping

from raudeep.corpora.tree import Tree, audio_files
from raudeep.manifest import MANIFEST_SUFFIXES

__all__ = ["inner_tree", "lists_beside", "near_misses"]

_FILES = {
    "esc-50": r"(.*/)?esc50\.csv",
    "tut-as-2017": r"([^/]+/)?(meta|evaluation_setup/.*)\.txt",
    "dcase-2018": r"([^/]+/)?(meta|evaluation_setup/.*)\.txt",
    "urbansound8k": r"(.*/)?urbansound8k\.csv",
    "compare": r"lab/[^/]+\.[ct]sv",
    "lhotse": r"(.*/)?[^/]*(recordings|supervisions|cuts)[^/]*\.jsonl(\.gz)?",
    "audformat": r"(.*/)?db\.yaml",
}
"""Layouts that a file marks, by its path in any case."""
_FOLDERS = {
    "esc-10": r"\d{3} - [^/]+/[^/]+",
    "gtzan": r"(.*/)?([^/]+)/\2\.\d+\.[^/.]+",
    "cross-validated": r"fold[ _.-]?\d+/.+",
    "partitioned": r"(train|dev|val|test|eval)[^/]*/[^/]+/.+",
    "class-folders": r"[^/]+/[^/]+",
}
"""Layouts that the folders mark in which at least half of the recordings lie."""


def near_misses(tree: Tree, reasons: Mapping[str, str]) -> list[str]:
    """Return ``layout: reason`` for layouts that `tree` resembles but does not fit.

    Parameters
    ----------
    tree : Tree
        The corpus.
    reasons : mapping of layout to reason
        Why it is not of each.
    """
    marked = [
        name
        for name, pattern in _FILES.items()
        if any(_is_like(pattern, file) for file in tree.files)
    ]
    if not marked:  # a list of the recordings says more than where they lie
        audio = audio_files(tree)
        marked = [
            name
            for name, pattern in _FOLDERS.items()
            if 2 * sum(_is_like(pattern, file) for file in audio) >= max(1, len(audio))
        ]
    return [f"{name}: {reasons[name]}" for name in marked if name in reasons]


def inner_tree(tree: Tree) -> Tree | None:
    """Return the one folder of `tree` in which all of its audio lies, if there is one."""
    folders = {file.partition("/")[0] if "/" in file else "" for file in audio_files(tree)}
    folder = folders.pop() if len(folders) == 1 else ""
    if not folder:
        return None
    prefix = f"{folder}/"
    return Tree(
        root=f"{tree.root.rstrip('/')}/{folder}",
        files={f.removeprefix(prefix): n for f, n in tree.files.items() if f.startswith(prefix)},
        read=lambda path: tree.read(prefix + path),
    )


def lists_beside(tree: Tree) -> list[str]:
    """Return the files beside the audio that could be manifests."""
    return sorted(
        file
        for file in tree.files
        if "/" not in file and file.lower().endswith(MANIFEST_SUFFIXES) and file[0] != "."
    )


def _is_like(pattern: str, file: str) -> bool:
    return re.fullmatch(pattern, file, re.IGNORECASE) is not None
