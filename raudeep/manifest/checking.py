"""The rules that every manifest keeps, in one place."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raudeep.errors import ManifestError
from raudeep.schema import PARTITIONS

__all__ = ["check_manifest", "refuse", "rows_where"]


_MEANT = {
    **dict.fromkeys(("training",), "train"),
    **dict.fromkeys(("dev", "development", "val", "valid", "validation"), "devel"),
    **dict.fromkeys(("eval", "evaluation", "testing"), "test"),
}
"""What others call partitions."""


def check_manifest(table: pa.Table, *, name: str, rows: NDArray[np.int64] | None = None) -> None:
    """Raise one `ManifestError` that names the first ten violations of the manifest `table`.

    Every recording has a `file` of its own; a partition is train, devel or test; recordings with
    folds have equally many, each 0 (train), 1 (valid) or null (neither). Labels, partitions and
    folds may be missing from some recordings or from all.

    Parameters
    ----------
    table : pa.Table
        The manifest.
    name : str
        Names it in the message.
    rows : ndarray of int, optional
        Which row of a user's table each recording comes from, from 0; named in the message.
    """
    if table.num_rows == 0:
        raise ManifestError(f"{name}: the manifest has no recordings.")
    files = table["file"]
    problems = [
        (row, f"the recording at {table['uri'][row].as_py()!r} has an empty 'file'")
        for row in rows_where(pc.equal(files, ""))
    ]
    known = pc.is_in(table["partition"], value_set=pa.array([*PARTITIONS, None]))
    for row in rows_where(pc.invert(known)):
        file, partition = files[row].as_py(), table["partition"][row].as_py()
        near = (
            partition.lower() if partition.lower() in PARTITIONS else _MEANT.get(partition.lower())
        )
        hint = f" (write {near!r})" if near else ""
        said = f"{file!r} is in partition {partition!r}, not train, devel or test{hint}"
        problems.append((row, said))
    counts = files.value_counts()
    for each in counts.filter(pc.greater(counts.field("counts"), 1)).to_pylist():
        if file := each["values"]:
            times = "twice" if each["counts"] == 2 else f"{each['counts']} times"
            first = pc.index(files, file).as_py()
            again = (
                ""
                if rows is None
                else f", again in row {rows[pc.index(files, file, first + 1).as_py()] + 1}"
            )
            problems.append((first, f"{file!r} appears {times}{again}"))
    folds = table["folds"].combine_chunks()
    lengths = pc.list_value_length(folds)
    if lengths.null_count < len(lengths):
        usual = pc.mode(lengths)[0]["mode"].as_py()
        for row in rows_where(pc.not_equal(lengths, usual)):
            said = f"{files[row].as_py()!r} has {lengths[row]} folds, others have {usual}"
            problems.append((row, said))
    values = pc.list_flatten(folds)
    wrong = rows_where(pc.and_(pc.not_equal(values, 0), pc.not_equal(values, 1)))
    for row in np.unique(pc.list_parent_indices(folds).to_numpy()[wrong]):
        file, got = files[int(row)].as_py(), folds[row].as_py()
        problems.append((int(row), f"{file!r} has folds {got}, which must be 0, 1 or null"))
    if rows is not None:
        problems = [(row, f"row {rows[row] + 1}: {text}") for row, text in problems]
    refuse(problems, table.num_rows, name)


def refuse(problems: list[tuple[int, str]], num_rows: int, name: str) -> None:
    """Raise for `problems`, pairs of row and text, if there are any."""
    if problems:
        problems = sorted(problems)
        invalid = len({row for row, _ in problems})
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise ManifestError(
            f"{name}: {invalid} of {num_rows} recordings {'is' if invalid == 1 else 'are'} "
            f"invalid: {'; '.join(text for _, text in problems[:10])}{more}."
        )


def rows_where(mask: pa.Array) -> list[int]:
    """Return where `mask` is true; null is not true."""
    return [int(row) for row in np.flatnonzero(pc.fill_null(mask, False).to_numpy(False))]
