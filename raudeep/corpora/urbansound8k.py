"""UrbanSound8K (Salamon et al., 2014): ``audio/foldN/`` and ``metadata/UrbanSound8K.csv``."""

from typing import Any

from raudeep.corpora.tree import LayoutMismatch, Tree
from raudeep.foreign import blamed
from raudeep.manifest import Recording, fold_roles, read_text_columns

__all__ = ["read_urbansound8k"]

_META = "metadata/UrbanSound8K.csv"
_COLUMNS = ("slice_file_name", "fold", "classID", "class")
_NUM_FOLDS = 10


def read_urbansound8k(tree: Tree) -> list[Recording]:
    """Return UrbanSound8K with its ten given folds.

    Raises
    ------
    LayoutMismatch
        If the list is missing or not of this corpus, a class has two names, or none of its files
        is there.
    """
    if _META not in tree.files:
        raise LayoutMismatch(f"no {_META}")
    content = tree.read(_META)
    with blamed(f"{_META} is no CSV table", LayoutMismatch):
        table, others = read_text_columns(content, _COLUMNS)
    if missing := [name for name in _COLUMNS if name not in table.column_names]:
        raise LayoutMismatch(
            f"{_META} lacks the columns {', '.join(missing)}; it has also "
            f"{', '.join(others) or 'none'}"
        )
    names: dict[str, str] = {}
    recordings = []
    rows: list[dict[str, Any]] = table.to_pylist()
    for number, row in enumerate(rows, start=2):  # as an editor numbers lines, after the header
        fold = row["fold"] or ""
        if not all(row.values()) or not fold.isdecimal() or not 1 <= int(fold) <= _NUM_FOLDS:
            raise LayoutMismatch(
                f"line {number} of {_META} needs a file, a class and a fold from 1 to {_NUM_FOLDS}"
            )
        if names.setdefault(row["classID"], row["class"]) != row["class"]:
            raise LayoutMismatch(
                f"line {number} of {_META} calls class {row['classID']} {row['class']!r}, "
                f"an earlier line {names[row['classID']]!r}"
            )
        file = f"audio/fold{fold}/{row['slice_file_name']}"
        roles = fold_roles(int(fold), _NUM_FOLDS)
        recordings.append(tree.recording(file, label=row["class"], folds=roles))
    if not any(recording.file in tree.files for recording in recordings):
        raise LayoutMismatch(f"none of the {len(recordings)} files in {_META} is in audio/")
    return recordings
