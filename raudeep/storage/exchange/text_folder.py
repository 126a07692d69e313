"""Writing CSV and ARFF files into the folders of partitions and folds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raudeep.storage.exchange.arff import arff_header, arff_rows
from raudeep.storage.exchange.csv import csv_header, csv_rows
from raudeep.storage.exchange.layout import Place, folds_of
from raudeep.storage.exchange.rows import Rows, Splits

__all__ = ["TextWriter", "is_text_file", "write_text_folder"]

_BEGINNINGS = (b"filename,chunk_nr,", b"@RELATION 'auDeep exported data set'")


@dataclass(frozen=True)
class TextWriter:
    """Appends rows to the files of their places."""

    folder: Path
    file_name: str
    format_rows: Callable[[Rows], bytes]

    def write(self, rows: Rows, splits: Splits) -> None:
        """Append each row to the files of all folds in which it is valid."""
        members: dict[Place, list[int]] = defaultdict(list)
        for row, (file, partition, folds) in enumerate(
            zip(rows.files, splits.partitions, splits.folds, strict=True)
        ):
            for fold in folds_of(file, folds):
                members[Place(partition, fold)].append(row)
        # Opened one after the other: there may be more folds than files that can be open.
        for place, indices in members.items():
            with (self.folder / place.path(self.file_name)).open("ab") as opened:
                opened.write(self.format_rows(rows.take(indices)))


def is_text_file(head: bytes) -> bool:
    """Return whether a file that begins with `head` is of such a folder; an empty one is."""
    return head.startswith(_BEGINNINGS) or not head.strip(b"\0")


def write_text_folder(
    folder: Path,
    places: Iterable[Place],
    *,
    file_name: str,
    size: int,
    labels: Sequence[str],
    labels_last: bool,
    times: bool = False,
    escape_formulas: bool = False,
) -> TextWriter:
    """Make the files of all places with nothing but a header, and return a writer for their rows.

    Parameters
    ----------
    folder : Path
        An empty folder on this machine.
    places : iterable of Place
        Where rows will lie.
    file_name : str
        Name of every file; its suffix, ``.csv`` or ``.arff``, says what it is.
    size : int
        Number of features.
    labels : sequence of str
        All labels.
    labels_last : bool
        Put the labels behind the features.
    times : bool
        Have columns for the seconds of a chunk.
    escape_formulas : bool
        In CSV, write ``'`` before texts that spreadsheets run as formulas.
    """
    arff = file_name.endswith(".arff")
    header = (
        arff_header(size, labels, labels_last=labels_last, times=times)
        if arff
        else csv_header(size, labels_last=labels_last, times=times)
    )
    for place in places:
        path = folder / place.path(file_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(header)

    def format_rows(rows: Rows) -> bytes:
        if arff:
            return arff_rows(rows, labels_last=labels_last)
        return csv_rows(rows, labels_last=labels_last, escape_formulas=escape_formulas)

    return TextWriter(folder, file_name, format_rows)
