"""DCASE scenes and activities: ``meta.txt`` and ``evaluation_setup/foldN_train.txt``, by tabs.

Task 1 of 2017 (TUT Acoustic Scenes, 15 scenes) comes as a development and an evaluation set, each a
folder of its own; task 5 of 2018 (domestic activities, 9 of them) is laid out alike.
"""

import re
from collections.abc import Sequence

from raudeep.corpora.tree import LayoutMismatch, Tree
from raudeep.manifest import Folds, Recording

__all__ = ["read_dcase_2018", "read_tut_2017"]

_META = "meta.txt"
_FOLD_FILE = re.compile(r"evaluation_setup/fold([1-9][0-9]*)_train\.txt")
_TEST_FILE = "evaluation_setup/test.txt"

_SCENES = (
    *("beach", "bus", "cafe/restaurant", "car", "city_center", "forest_path", "grocery_store"),
    *("home", "library", "metro_station", "office", "park", "residential_area", "train", "tram"),
)
_ACTIVITIES = (
    *("other", "social_activity", "eating", "working", "absence", "vacuum_cleaner"),
    *("dishwashing", "watching_tv", "cooking"),
)


def read_tut_2017(tree: Tree) -> list[Recording]:
    """Return TUT Acoustic Scenes 2017: the development set, the evaluation set, or both.

    Recordings of the development set are of partition train and valid in the folds whose training
    lists leave them out; those of the evaluation set are of partition test and in no fold. Both
    sets lie below one root, or one of them is the root. Before its labels were published, the
    evaluation set listed its files in ``evaluation_setup/test.txt``.

    Raises
    ------
    LayoutMismatch
        If there is no such set, or a line or label is not of this corpus.
    """
    return _read(tree, _SCENES)


def read_dcase_2018(tree: Tree) -> list[Recording]:
    """Return the domestic activities of DCASE 2018, task 5, in the same layout.

    Raises
    ------
    LayoutMismatch
        If there is no such set, or a line or label is not of this corpus.
    """
    return _read(tree, _ACTIVITIES)


def _read(tree: Tree, labels: Sequence[str]) -> list[Recording]:
    roots = sorted({root for file in tree.files if (root := _root(file)) is not None})
    if not roots:
        raise LayoutMismatch(f"no {_META} with tabs and no {_TEST_FILE}, here or one folder down")
    recordings = [each for root in roots for each in _read_set(tree, root, labels)]
    if not any(recording.file in tree.files for recording in recordings):
        raise LayoutMismatch(f"none of the {len(recordings)} files that {_META} lists is there")
    counts = {len(each.folds) for each in recordings if each.folds is not None}
    if len(counts) > 1:
        raise LayoutMismatch("the sets have different numbers of folds")
    return recordings


def _root(file: str) -> str | None:
    """Return the folder of a set, ``""`` or ``name/``, if `file` is one that names its files."""
    for name in (_META, _TEST_FILE):
        root = file.removesuffix(name)
        if root != file and (root == "" or (root.count("/") == 1 and root.endswith("/"))):
            return root
    return None


def _read_set(tree: Tree, root: str, labels: Sequence[str]) -> list[Recording]:
    """Return one set: with lists of folds the development set, without the evaluation set."""
    listing = root + (_META if root + _META in tree.files else _TEST_FILE)
    rows = _rows(tree, listing)
    folds: dict[int, set[str]] = {}
    for file in tree.files:
        if file.startswith(root) and (match := _FOLD_FILE.fullmatch(file.removeprefix(root))):
            folds[int(match[1])] = {row[0] for row in _rows(tree, file)}
    if sorted(folds) != list(range(1, len(folds) + 1)):
        raise LayoutMismatch(f"{root}evaluation_setup has folds {sorted(folds)}, not 1 to N")
    recordings = []
    for number, row in enumerate(rows, start=1):
        label = row[1] if len(row) > 1 and row[1] else None
        if label is not None and label not in labels:
            raise LayoutMismatch(f"line {number} of {listing} has the label {label!r}")
        if label is None and folds:
            raise LayoutMismatch(f"line {number} of {listing} has no label")
        roles: Folds | None = None
        if folds:
            roles = tuple(int(row[0] not in folds[fold]) for fold in sorted(folds))
        recordings.append(
            tree.recording(
                root + row[0], label=label, partition="train" if folds else "test", folds=roles
            )
        )
    return recordings


def _rows(tree: Tree, file: str) -> list[list[str]]:
    """Return the cells of each line that is not empty."""
    try:
        text = tree.read(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LayoutMismatch(f"{file} is no text in UTF-8") from error
    rows = [[cell.strip() for cell in line.split("\t")] for line in text.splitlines()]
    rows = [row for row in rows if row[0]]
    if not rows:
        raise LayoutMismatch(f"{file} lists no file")
    return rows
