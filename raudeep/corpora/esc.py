"""ESC-10 and ESC-50, environmental sounds in five given folds (Piczak, 2015), in both layouts.

The old layout has a folder per class, ``001 - Dog bark/1-100032-A.ogg``, and ESC-10 and ESC-50 are
separate trees. The present repository holds ESC-50 as ``audio/1-100032-A-0.wav`` with
``meta/esc50.csv``, in which a column marks the recordings of ESC-10.
"""

import logging
import re
from typing import Any

from raudeep.corpora.tree import LayoutMismatch, Tree, audio_files
from raudeep.foreign import blamed
from raudeep.manifest import Recording, fold_roles, read_text_columns

__all__ = ["CLASS_FOLDER", "read_esc_10", "read_esc_10_folders", "read_esc_50"]

logger = logging.getLogger(__name__)

CLASS_FOLDER = re.compile(r"[0-9]{3} - (.+)")
_FILE = re.compile(r"([1-5])-.+")
_META = "meta/esc50.csv"
_COLUMNS = ("filename", "fold", "category", "esc10")
_NUM_FOLDS = 5


def read_esc_10(tree: Tree) -> list[Recording]:
    """Return ESC-10 from its old layout, or from the repository of ESC-50.

    Raises
    ------
    LayoutMismatch
        If `tree` is neither, or breaks the rules of the one that it is.
    """
    if _META not in tree.files:
        return read_esc_10_folders(tree)
    return [_listed(tree, row) for row in _meta_rows(tree) if str(row["esc10"]).lower() == "true"]


def read_esc_10_folders(tree: Tree) -> list[Recording]:
    """Return ESC-10 from its old layout only: a tree of at most ten class folders.

    Detection uses this one, so that ESC-50's repository is ESC-50 unless ESC-10 is asked for.

    Raises
    ------
    LayoutMismatch
        If `tree` has more or no class folders, or a file breaks the rules.
    """
    recordings, num_classes = _from_folders(tree)
    if num_classes > 10:
        raise LayoutMismatch(f"{num_classes} class folders, ESC-10 has 10")
    return recordings


def read_esc_50(tree: Tree) -> list[Recording]:
    """Return ESC-50 from its repository, or from the old layout with more than ten class folders.

    Raises
    ------
    LayoutMismatch
        If `tree` is neither, or breaks the rules of the one that it is.
    """
    if _META in tree.files:
        return [_listed(tree, row) for row in _meta_rows(tree)]
    recordings, num_classes = _from_folders(tree)
    if num_classes <= 10:
        raise LayoutMismatch(f"{num_classes} class folders, ESC-50 has 50")
    return recordings


def _from_folders(tree: Tree) -> tuple[list[Recording], int]:
    """Return the recordings of the old layout and the number of its class folders."""
    files = audio_files(tree)
    folders = {file.partition("/")[0] for file in files if "/" in file}
    classes = {folder: match[1] for folder in folders if (match := CLASS_FOLDER.fullmatch(folder))}
    if not classes:
        raise LayoutMismatch(f"no folders such as '001 - Dog bark' and no {_META}")
    recordings = []
    for file in files:
        folder, _, name = file.partition("/")
        if folder not in classes or "/" in name:
            raise LayoutMismatch(f"{file!r} is not in a folder such as '001 - Dog bark'")
        fold = _FILE.fullmatch(name)
        if not fold:
            raise LayoutMismatch(f"the name of {file!r} does not start with a fold, '1-' to '5-'")
        roles = fold_roles(int(fold[1]), _NUM_FOLDS)
        recordings.append(tree.recording(file, label=classes[folder], folds=roles))
    return recordings, len(classes)


def _meta_rows(tree: Tree) -> list[dict[str, Any]]:
    """Return the rows of the repository's list; at least one must be on disk."""
    content = tree.read(_META)
    with blamed(f"{_META} is no CSV table", LayoutMismatch):
        table, others = read_text_columns(content, _COLUMNS)
    if missing := [name for name in _COLUMNS if name not in table.column_names]:
        raise LayoutMismatch(
            f"{_META} lacks the columns {', '.join(missing)}; it has also "
            f"{', '.join(others) or 'none'}"
        )
    rows: list[dict[str, Any]] = table.to_pylist()
    for number, row in enumerate(rows, start=2):  # as an editor numbers lines, after the header
        if not row["filename"] or row["fold"] not in ("1", "2", "3", "4", "5"):
            raise LayoutMismatch(
                f"line {number} of {_META} needs a file name and a fold from 1 to 5; "
                f"got {row['filename']!r} and {row['fold']!r}"
            )
    listed = {f"audio/{row['filename']}" for row in rows}
    if listed.isdisjoint(tree.files):
        raise LayoutMismatch(f"none of the {len(rows)} files in {_META} is in audio/")
    if unlisted := [file for file in audio_files(tree) if file not in listed]:
        logger.warning(
            "%s: left out %d audio files that %s does not list, such as %r",
            *(tree.root, len(unlisted), _META, unlisted[0]),
        )
    return rows


def _listed(tree: Tree, row: dict[str, Any]) -> Recording:
    roles = fold_roles(int(row["fold"]), _NUM_FOLDS)
    return tree.recording(f"audio/{row['filename']}", label=row["category"], folds=roles)
