"""The tables as Arrow schemas: what a row is, and the names and types of its columns.

Plain Arrow types only, so that pandas, DuckDB, Polars and PyArrow read every part without raudeep.
What a schema cannot say (shapes, axes, the configuration) is JSON in the schema metadata, under
``METADATA_KEY``.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from raudeep.foreign import parse_json, typed

__all__ = [
    "CONTENT",
    "ERRORS",
    "FILE_METADATA",
    "KEYS",
    "MANIFEST",
    "METADATA_KEY",
    "MODIFIED",
    "PARTITIONS",
    "RECONSTRUCTION_RMSE",
    "RECORDINGS",
    "SAMPLE_RATES",
    "SCHEMA_VERSION",
    "embeddings_schema",
    "predictions_schema",
    "read_metadata",
    "spectrograms_schema",
    "with_metadata",
    "with_sample_rates",
]

SCHEMA_VERSION = 2
METADATA_KEY = b"raudeep"
SAMPLE_RATES = "sample_rates"
"""Metadata of a part that is made of recordings: of what rates, in Hz, their spectrograms are."""
PARTITIONS = ("train", "devel", "test")

FILE_METADATA = [
    pa.field("label", pa.string()),
    pa.field("partition", pa.string()),
    pa.field("folds", pa.list_(pa.int8())),  # per fold: 0 train, 1 valid, null neither
]
"""Columns that every row inherits from its recording."""

MANIFEST = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        *FILE_METADATA,
        pa.field("bytes", pa.int64()),
        pa.field("duration", pa.float64()),  # seconds
        pa.field("sample_rate", pa.int32()),  # Hz
        pa.field("channels", pa.int32()),
    ]
)

MODIFIED = pa.field("modified", pa.int64())
"""When the file of a recording changed, in nanoseconds; a manifest of files in a folder has it."""
CONTENT = pa.field("content", pa.string())
"""What tells the content of a recording, as far as that is known; a manifest may have it."""

RECORDINGS = pa.schema(
    [
        *MANIFEST,
        pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("crc32", pa.uint32()),  # of the bytes
    ]
)
"""Packed recordings, with the content of each, in the form of Hugging Face's ``Audio``."""

KEYS = [
    pa.field("file", pa.string(), nullable=False),
    pa.field("chunk", pa.int32(), nullable=False),
    pa.field("start", pa.float64()),  # seconds
    pa.field("end", pa.float64()),  # seconds
]

RECONSTRUCTION_RMSE = pa.field("reconstruction_rmse", pa.float32(), nullable=False)
"""How far a reconstruction is off, in units of the model's input; where it is asked for."""

ERRORS = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("uri", pa.string()),
        pa.field("stage", pa.string()),
        pa.field("error", pa.string()),
        pa.field("message", pa.string()),
    ]
)


def spectrograms_schema(frames: int | None, bands: int | None) -> pa.Schema:
    """Return the schema of a spectrograms table.

    Parameters
    ----------
    frames, bands : int or None
        Shape (T, F) of every spectrogram, or None where recordings differ in length.
    """
    values = (
        pa.list_(pa.float32())
        if frames is None or bands is None
        else pa.list_(pa.float32(), frames * bands)
    )
    return pa.schema(
        [
            *KEYS,
            *FILE_METADATA,
            pa.field("spectrogram", values, nullable=False),
            pa.field("frames", pa.int32(), nullable=False),
            pa.field("bands", pa.int32(), nullable=False),
        ]
    )


def embeddings_schema(size: int) -> pa.Schema:
    """Return the schema of an embeddings table whose vectors have `size` values."""
    return pa.schema(
        [*KEYS, *FILE_METADATA, pa.field("embedding", pa.list_(pa.float32(), size), nullable=False)]
    )


def predictions_schema(num_classes: int) -> pa.Schema:
    """Return the schema of a predictions table; `probabilities` are in sorted label order."""
    return pa.schema(
        [
            *KEYS,
            pa.field("label", pa.string()),
            pa.field("predicted", pa.string(), nullable=False),
            pa.field("probabilities", pa.list_(pa.float32(), num_classes), nullable=False),
            pa.field("fold", pa.int16()),
            pa.field("repeat", pa.int16(), nullable=False),
        ]
    )


def with_metadata(schema: pa.Schema, metadata: Mapping[str, Any]) -> pa.Schema:
    """Return `schema` carrying `metadata` as JSON."""
    return schema.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})


def with_sample_rates(table: pa.Table, rates: Iterable[int]) -> pa.Table:
    """Return `table` carrying the sample rates of the spectrograms that it holds or is made of."""
    metadata = {**read_metadata(table.schema), SAMPLE_RATES: sorted(set(rates))}
    return table.replace_schema_metadata(with_metadata(table.schema, metadata).metadata)


def read_metadata(schema: pa.Schema) -> dict[str, Any]:
    """Return what `with_metadata` stored, or an empty dict; TableError if it is damaged."""
    stored = (schema.metadata or {}).get(METADATA_KEY)
    if not stored:
        return {}
    said = "what raudeep wrote of itself into a Parquet file cannot be read"
    found: dict[str, Any] = typed(dict[str, Any], parse_json(stored, said), said)
    return found
