"""A table for the tests of the protocol: what it is made from, its rows and its errors."""

import io
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raudeep.config import SpectrogramConfig
from raudeep.schema import ERRORS, embeddings_schema, with_metadata
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import CLAIM

IDENTITY = Identity(
    "embeddings", {"view": asdict(SpectrogramConfig())}, {"manifest": "0123456789abcdef"}
)
OTHER = replace(IDENTITY, config={"view": asdict(SpectrogramConfig(n_mels=40))})


def rows(start, stop):
    """Rows of an embeddings table with vectors of three values."""
    numbers = np.arange(start, stop)
    vectors = (numbers[:, np.newaxis] + np.array([0.0, 0.25, 0.5])).astype(np.float32)
    return pa.table(
        {
            "file": [f"{number:03d}.wav" for number in numbers],
            "chunk": pa.array(numbers * 0, pa.int32()),
            "start": numbers * 0.0,
            "end": numbers * 1.0,
            "label": ["dog" if number % 2 else None for number in numbers],
            "partition": pa.nulls(len(numbers), pa.string()),
            "folds": pa.array([[0, 1, None]] * len(numbers), pa.list_(pa.int8())),
            "embedding": pa.FixedSizeListArray.from_arrays(vectors.ravel(), 3),
        },
        schema=with_metadata(embeddings_schema(3), {"axes": ["value"]}),
    )


def files_of(place):
    """What lies in the folder of a table, but for the claim that says whose it is."""
    return {name: size for name, size in uris.list_files(place).items() if name != CLAIM}


def failures(*files):
    return pa.table(
        {
            "file": files,
            "uri": [f"/corpus/{file}" for file in files],
            "stage": ["embeddings"] * len(files),
            "error": ["AudioError"] * len(files),
            "message": ["is empty"] * len(files),
        },
        schema=ERRORS,
    )


def flip_a_bit(uri):
    """Change the last byte of a part's largest column, as a failing disc would."""
    content = bytearray(uris.read_bytes(str(uri)))
    group = pq.read_metadata(io.BytesIO(content)).row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    chunk = max(chunks, key=lambda each: each.total_compressed_size)
    begin = chunk.dictionary_page_offset or chunk.data_page_offset
    content[begin + chunk.total_compressed_size - 1] ^= 1
    uris.write_bytes(str(uri), bytes(content))
