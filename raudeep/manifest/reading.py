"""A user's manifest, a CSV or Parquet file, as a table of its columns."""

import difflib
import logging
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from raudeep.errors import ManifestError
from raudeep.manifest.columns import complete_manifest, unusable
from raudeep.schema import MANIFEST

__all__ = ["parse_manifest", "read_text_columns"]

logger = logging.getLogger(__name__)


def parse_manifest(content: bytes, *, name: str, root: str | None) -> pa.Table:
    """Return a user's CSV or Parquet manifest as a checked manifest, sorted by `file`.

    Parameters
    ----------
    content : bytes
        The file's content. It needs the column `file`; the other columns of a manifest may follow,
        and columns that are not of a manifest are ignored with a warning. Labels stay text. In
        CSV, `folds` is one role per fold, such as ``0 1 0``, with ``null`` for neither. Instead of
        `folds`, a column `fold` may number the one fold, from 1 or from 0, in which the recording
        is valid; where it is empty, the recording takes no part in any fold.
    name : str
        The file's name; its suffix, ``.csv`` or ``.parquet``, says what it is.
    root : str or None
        URI of the corpus, where recordings without a `uri`, or with a relative one, lie. A `file`
        that is an absolute path or has a scheme is its own URI.

    Raises
    ------
    ManifestError
        If the file cannot be read as this, or breaks a rule of `check_manifest`.
    """
    try:
        table = _read(content, name)
    except (pa.ArrowException, OSError) as error:
        raise unusable(name, error) from error
    return complete_manifest(table, name=name, root=root)


def read_text_columns(
    content: bytes, wanted: Sequence[str], *, delimiter: str = ","
) -> tuple[pa.Table, list[str]]:
    """Return those of the `wanted` columns that a CSV has, as text, and the names of the others.

    Only an empty cell is null: labels such as ``NA`` or ``007`` are kept as they are written.
    """
    parse = pa.csv.ParseOptions(newlines_in_values=True, delimiter=delimiter)
    with pa.csv.open_csv(pa.BufferReader(content), parse_options=parse) as reader:
        names = reader.schema.names
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(wanted, pa.string()),
        include_columns=[name for name in names if name in wanted],
        null_values=[""],
        strings_can_be_null=True,
    )
    buffer = pa.BufferReader(content)
    table = pa.csv.read_csv(buffer, parse_options=parse, convert_options=convert)
    return table, [name for name in names if name not in wanted]


def _read(content: bytes, name: str) -> pa.Table:
    """Return the columns of a user's manifest that mean something, not yet of the right types."""
    known = [*MANIFEST.names, "fold"]
    if name.lower().endswith(".csv"):
        table, ignored = read_text_columns(content, known)
    elif name.lower().endswith(".parquet"):
        table = pa.parquet.read_table(pa.BufferReader(content))
        ignored = [column for column in table.column_names if column not in known]
        table = table.drop_columns(ignored)
    else:
        raise ManifestError(f"{name}: a manifest's name must end in '.csv' or '.parquet'.")
    twice = [column for column, n in Counter(table.column_names).items() if n > 1]
    if twice or {"fold", "folds"} <= set(table.column_names):
        raise ManifestError(
            f"{name}: a manifest has each column once, and 'fold' or 'folds', not both. "
            f"Got {', '.join(table.column_names)}."
        )
    if ignored:
        near = {column: difflib.get_close_matches(column, known, n=1) for column in ignored}
        shown = [f"{c!r} (meant {n[0]!r}?)" if n else repr(c) for c, n in near.items()]
        logger.warning("%s: ignored columns that no manifest has: %s", name, ", ".join(shown))
    return table
