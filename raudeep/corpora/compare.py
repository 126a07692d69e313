"""The ComParE challenges of Interspeech, 2018 to 2021: ``wav/`` and lists of labels in ``lab/``.

What differs from one corpus to the next is where the list lies and what its columns are called;
`_LISTS` has one line for each form. Confidential lists, which also label the test set, come first.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from raudeep.corpora.tree import LayoutMismatch, Tree
from raudeep.foreign import blamed
from raudeep.manifest import Recording, read_text_columns

__all__ = ["read_compare", "read_compare_arousal"]

_UNLABELLED = ("?", "", None)


@dataclass(frozen=True)
class _List:
    """A form of the lists: which files, the columns of file and label, the delimiter."""

    pattern: str
    file: str
    label: str
    delimiter: str = ","


_LISTS = (
    # 2018: crying and heartbeat, self-assessed affect, atypical affect
    *(
        _List(rf"lab/ComParE2018_[^/]+?{confidential}\.tsv", "file_name", label, "\t")
        for confidential in ("[_.]confidential", "")
        for label in ("label", "Valence", "emotion")
    ),
    # 2019: baby sounds, orca activity, Styrian dialects, sleepiness; 2020: masks
    _List(r"lab/labels_confidential\.csv", "file_name", "label"),
    _List(r"lab/labels\.csv", "file_name", "label"),
    # 2020: elderly emotion
    _List(r"lab/labels_confidential\.csv", "filename_audio", "V_cat"),
    _List(r"lab/labels\.csv", "filename_audio", "V_cat"),
    # 2021: one list for each partition
    _List(r"lab/(train|devel|test)\.csv", "filename", "label"),
)
_AROUSAL = tuple(
    _List(each.pattern, each.file, "A_cat") for each in _LISTS if each.label == "V_cat"
)


def read_compare(tree: Tree) -> list[Recording]:
    """Return a ComParE corpus with its partitions, by the start of the file names.

    A label ``?`` or none, as test sets have it, is no label. Of elderly emotion (2020) the label is
    the valence; `read_compare_arousal` takes the arousal.

    Raises
    ------
    LayoutMismatch
        If there is no list of labels of a known form, or none of its files is in ``wav/``.
    """
    return _read(tree, _LISTS)


def read_compare_arousal(tree: Tree) -> list[Recording]:
    """Return elderly emotion (2020) labelled with the arousal.

    Raises
    ------
    LayoutMismatch
        As `read_compare`.
    """
    return _read(tree, _AROUSAL)


def _read(tree: Tree, lists: Sequence[_List]) -> list[Recording]:
    if not any(file.startswith("wav/") for file in tree.files):
        raise LayoutMismatch("no folder wav/")
    seen: dict[str, list[str]] = {}
    for form in lists:
        files = [file for file in sorted(tree.files) if re.fullmatch(form.pattern, file)]
        tables = [_columns(tree, file, form) for file in files]
        seen.update((file, table.column_names) for file, table in zip(files, tables, strict=True))
        if tables and all({form.file, form.label} <= set(t.column_names) for t in tables):
            columns = [table.select([form.file, form.label]) for table in tables]
            return _recordings(tree, pa.concat_tables(columns), form)
    if not seen:
        raise LayoutMismatch("no list of labels of a ComParE challenge in lab/")
    file, names = next(iter(seen.items()))
    raise LayoutMismatch(f"{file} has none of the known columns, only {', '.join(names) or 'none'}")


def _columns(tree: Tree, file: str, form: _List) -> pa.Table:
    content, wanted = tree.read(file), (form.file, form.label)
    with blamed(f"{file} is no table", LayoutMismatch):
        return read_text_columns(content, wanted, delimiter=form.delimiter)[0]


def _recordings(tree: Tree, table: pa.Table, form: _List) -> list[Recording]:
    recordings = []
    for file, label in zip(
        table[form.file].to_pylist(), table[form.label].to_pylist(), strict=True
    ):
        if not file:
            raise LayoutMismatch(f"a list of labels has a line without {form.file!r}")
        partition = next((name for name in ("train", "devel") if file.startswith(name)), "test")
        labelled = None if label in _UNLABELLED else label
        recordings.append(tree.recording(f"wav/{file}", label=labelled, partition=partition))
    if not any(recording.file in tree.files for recording in recordings):
        raise LayoutMismatch(f"none of the {len(recordings)} listed files is in wav/")
    return recordings
