"""What a manifest holds in short: its fingerprint, its labels, its counts."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.config import fingerprint

__all__ = ["label_map", "manifest_fingerprint", "recordings_fingerprint", "summarise"]


def manifest_fingerprint(manifest: pa.Table) -> str:
    """Return a fingerprint of the recordings of a manifest: keys, sizes, labels and splits.

    It does not depend on the place of the corpus: a copy of a corpus gives the same tables.
    """
    columns = ("file", "bytes", "label", "partition", "folds")
    return fingerprint([manifest[name].to_pylist() for name in columns])


def recordings_fingerprint(recordings: pa.Table) -> str:
    """Return a fingerprint of the sounds of a manifest: keys, sizes, and known contents.

    It depends neither on their places nor on their labels.
    """
    columns = [name for name in ("file", "bytes", "content") if name in recordings.column_names]
    return fingerprint([recordings[name].to_pylist() for name in columns])


def label_map(table: pa.Table) -> list[str]:
    """Return the sorted distinct labels; a label's place in the list is its `label_id`."""
    return sorted(label for label in table["label"].unique().to_pylist() if label is not None)


def summarise(table: pa.Table) -> dict[str, Any]:
    """Return counts of a manifest as plain values that JSON can hold.

    `folds_overlap` tells whether some recording with folds is valid in several of them or in none,
    so that scores over the folds do not count every recording once. `duration` (in seconds) is
    None where no recording has one.
    """
    folds = table["folds"].combine_chunks().drop_null()
    num_folds = len(folds[0]) if len(folds) else 0
    # -1 stands for neither; numpy has no null.
    roles = pc.fill_null(pc.list_flatten(folds), -1).to_numpy().reshape(len(folds), num_folds)
    durations = table["duration"].drop_null().to_numpy()
    durations = durations[np.isfinite(durations)]
    return {
        "recordings": table.num_rows,
        "labelled": table.num_rows - table["label"].null_count,
        "labels": _counts(table["label"]),
        "partitions": _counts(table["partition"]),
        "num_folds": num_folds,
        "folds": [
            {"train": int((roles[:, k] == 0).sum()), "valid": int((roles[:, k] == 1).sum())}
            for k in range(num_folds)
        ],
        "folds_overlap": bool(num_folds and ((roles == 1).sum(axis=1) != 1).any()),
        "without_folds": table.num_rows - len(folds),
        "bytes": pc.sum(table["bytes"]).as_py(),
        "duration": {
            "recordings": len(durations),
            "total_seconds": float(durations.sum()),
            "min_seconds": float(durations.min()),
            "max_seconds": float(durations.max()),
        }
        if len(durations)
        else None,
        "sample_rates": _counts(table["sample_rate"]),
        "channels": _counts(table["channels"]),
    }


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value occurs, in sorted order, without nulls."""
    counts = Counter(value for value in column.to_pylist() if value is not None)
    return {str(value): counts[value] for value in sorted(counts)}
