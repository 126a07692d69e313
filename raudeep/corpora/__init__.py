"""Corpora: one function per folder layout, and the choice of the one that a corpus has.

A layout says where labels, folds and partitions stand. Further layouts are one file and one line
in `LAYOUTS`; a corpus without a layout of its own comes with a manifest (`parse_manifest`).
"""

import difflib
import logging
from collections.abc import Callable, Mapping
from functools import partial

import pyarrow as pa

from raudeep.corpora.audformat import read_audformat
from raudeep.corpora.bare import read_bare
from raudeep.corpora.class_folders import read_class_folders
from raudeep.corpora.compare import read_compare, read_compare_arousal
from raudeep.corpora.cross_validated import read_cross_validated
from raudeep.corpora.dcase import read_dcase_2018, read_tut_2017
from raudeep.corpora.esc import read_esc_10, read_esc_10_folders, read_esc_50
from raudeep.corpora.gtzan import read_gtzan, read_gtzan_archive
from raudeep.corpora.lhotse import read_lhotse
from raudeep.corpora.nearness import inner_tree, lists_beside, near_misses
from raudeep.corpora.own import load_layout
from raudeep.corpora.partitioned import read_partitioned
from raudeep.corpora.suffixes import (
    AUDIO_SUFFIXES,
    describe_files,
    is_archive,
    others_of_interest,
    ways_to_use,
)
from raudeep.corpora.tree import LayoutMismatch, Tree, audio_files
from raudeep.corpora.urbansound8k import read_urbansound8k
from raudeep.errors import ManifestError
from raudeep.manifest import Recording, check_manifest, manifest_table
from raudeep.recipe import LAYOUTS_WITH_FIELD, is_own_layout

__all__ = [
    "AUDIO_SUFFIXES",
    "LAYOUTS",
    "LayoutMismatch",
    "Tree",
    "audio_files",
    "describe_others",
    "is_archive",
    "read_corpus",
]

logger = logging.getLogger(__name__)

Layout = Callable[[Tree], list[Recording]]

LAYOUTS: dict[str, Layout] = {
    "esc-10": read_esc_10,
    "esc-50": read_esc_50,
    "tut-as-2017": read_tut_2017,
    "dcase-2018": read_dcase_2018,
    "urbansound8k": read_urbansound8k,
    "gtzan": read_gtzan,
    "compare": read_compare,
    "compare-arousal": read_compare_arousal,
    "lhotse": read_lhotse,
    "audformat": read_audformat,
    "cross-validated": read_cross_validated,
    "partitioned": read_partitioned,
    "class-folders": read_class_folders,
    "bare": read_bare,
}
"""What `--corpus-layout` names."""

_WITH_FIELD = {"lhotse": read_lhotse, "audformat": read_audformat}
assert _WITH_FIELD.keys() == {*LAYOUTS_WITH_FIELD}

# Not tried: a bare folder fits anything, and a corpus with arousal labels also has valence labels.
# ESC-50's repository also fits ESC-10, and genres at the root are class folders.
_DETECTED = {
    name: read for name, read in LAYOUTS.items() if name not in ("bare", "compare-arousal")
}
_DETECTED["esc-10"] = read_esc_10_folders
_DETECTED["gtzan"] = read_gtzan_archive


def read_corpus(
    tree: Tree, *, layout: str | None = None, labelled: bool = True
) -> tuple[pa.Table, str]:
    """Return the manifest of a corpus and the name of the layout it was read as.

    Parameters
    ----------
    tree : Tree
        The corpus.
    layout : str, optional
        A name from `LAYOUTS`, ``lhotse`` and ``audformat`` also with the field of the labels, as in
        ``audformat:emotion``; or a user's own as ``module:function`` or ``file.py:function``. None
        tries each labelled layout; exactly one must fit.
    labelled : bool
        Whether labels are needed. If not, and no labelled layout fits, the layout is ``bare``.

    Raises
    ------
    ManifestError
        If there is no audio, the layout is unknown or does not fit, or none or several fit.
    """
    if layout is None:
        recordings, layout = _detect(tree, labelled=labelled)
    else:
        read = _named(layout)
        try:
            recordings = read(tree)
            if not recordings:
                raise LayoutMismatch("it has no recordings")
        except LayoutMismatch as error:
            if layout.partition(":")[0] not in _WITH_FIELD:
                _check_audio(tree)
            fitting, _ = _fitting(tree)
            hint = f" --corpus-layout {' or '.join(fitting)} fits." if fitting else ""
            raise ManifestError(f"{tree.root}: not of layout {layout!r}: {error}.{hint}") from error
    manifest = manifest_table(recordings)
    check_manifest(manifest, name=tree.root)
    return manifest, layout


def describe_others(tree: Tree) -> str | None:
    """Return a line about files that may hold sound but are not taken; None if there are none.

    The line counts them by suffix, and says what to do with films and archives.
    """
    others = others_of_interest(tree.files)
    if not others:
        return None
    files = "1 file is" if len(others) == 1 else f"{len(others)} files are"
    ways = ways_to_use(others, tree.root)
    return f"{tree.root}: {files} passed over: {describe_files(others)}. {ways}"


def _named(layout: str) -> Layout:
    if is_own_layout(layout):
        return load_layout(layout)
    name, _, field = layout.partition(":")
    if field:
        return partial(_WITH_FIELD[name], field=field)
    if layout in LAYOUTS:
        return LAYOUTS[layout]
    near = difflib.get_close_matches(layout, LAYOUTS, n=1)
    raise ManifestError(
        f"unknown corpus layout {layout!r}.{f' Did you mean {near[0]!r}?' if near else ''} "
        f"Known layouts: {', '.join(LAYOUTS)}; or name a function, as FILE.py:FUNCTION."
    )


def _check_audio(tree: Tree) -> None:
    if audio_files(tree):
        return
    suffixes = ", ".join(f".{suffix}" for suffix in AUDIO_SUFFIXES)
    if not tree.files:
        raise ManifestError(f"{tree.root}: no audio found: it is empty. Looked for {suffixes}.")
    raise ManifestError(
        f"{tree.root}: no audio found: none of its {len(tree.files)} files is audio by its name "
        f"({describe_files(tree.files)}). {ways_to_use(tree.files, tree.root)} Looked for "
        f"{suffixes}."
    )


def _fitting(tree: Tree) -> tuple[dict[str, list[Recording]], dict[str, str]]:
    """Return the recordings by each labelled layout that fits, and why the others do not."""
    fitting: dict[str, list[Recording]] = {}
    reasons = {}
    for name, read in _DETECTED.items():
        try:
            if recordings := read(tree):
                fitting[name] = recordings
            else:
                reasons[name] = "no recordings"
        except LayoutMismatch as error:
            reasons[name] = str(error)
    return fitting, reasons


def _detect(tree: Tree, *, labelled: bool) -> tuple[list[Recording], str]:
    fitting, reasons = _fitting(tree)
    if not fitting:
        _check_audio(tree)
    if len(fitting) > 1:
        raise ManifestError(
            f"{tree.root}: several corpus layouts fit: {', '.join(fitting)}. Pass one of them as "
            f"--corpus-layout. The others do not fit ({_text(reasons)})."
        )
    if fitting:
        name, recordings = fitting.popitem()
        return recordings, name
    near = _nearly(tree, reasons)
    if not labelled:
        if near:
            logger.warning("%s: read as 'bare', without labels. %s", tree.root, near)
        return read_bare(tree), "bare"
    raise ManifestError(
        f"{tree.root}: no labelled corpus layout fits. {near or f'Not {_text(reasons)}.'} "
        "Arrange the files as one of these, or give a CSV, TSV or Parquet manifest."
    )


def _nearly(tree: Tree, reasons: Mapping[str, str]) -> str:
    """Return in sentences what may have been meant by a corpus that no layout fits, or nothing."""
    said = []
    inner = inner_tree(tree)
    fitting = _fitting(inner)[0] if inner else {}
    if inner and len(fitting) == 1:
        said.append(f"{inner.root} is of layout {next(iter(fitting))}: name that folder.")
    elif near := near_misses(tree, reasons):
        said.append(f"It is nearly of layout {'; '.join(near)}.")
    if lists := lists_beside(tree):
        said.append(f"If {lists[0]!r} lists the recordings, name it in place of the folder.")
    return " ".join(said)


def _text(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
