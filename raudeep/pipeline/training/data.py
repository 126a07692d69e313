"""What an autoencoder is trained on: spectrogram tables in memory, or streamed from storage.

Workers read the parts themselves: a Ray Dataset would be read anew by other processes each epoch,
for which a small machine has no core left.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from raudeep.config import TrainingConfig
from raudeep.models.batching import Spectrograms, SpectrogramSource
from raudeep.models.streaming import StreamedSpectrograms
from raudeep.pipeline.stage import spectrogram_values
from raudeep.storage.row_groups import RowGroup, read_row_group, row_groups
from raudeep.storage.table import read_table

__all__ = ["TrainingData", "loaded_if_small", "read_training_data"]

_METADATA = ["file", "chunk", "label"]
_VALUES = ["spectrogram", "frames", "bands"]
_VALUE_BYTES = 4  # of a float32


class TrainingData(NamedTuple):
    """The rows of some spectrogram tables, one after the other."""

    metadata: pa.Table
    """Columns file, chunk and label."""
    spectrograms: SpectrogramSource


def read_training_data(tables: Sequence[str], config: TrainingConfig) -> TrainingData:
    """Return the rows of spectrogram tables that have the same bands.

    Of more than ``config.in_memory_gb`` nothing but the metadata is read yet.
    """
    columns = [*_METADATA, "frames", "bands"]
    rows = [
        read_table(uri, columns=columns).select(columns).replace_schema_metadata() for uri in tables
    ]
    metadata = pa.concat_tables(rows)
    lengths = torch.from_numpy(metadata["frames"].to_numpy().astype(np.int64))
    bands = int(metadata["bands"][0].as_py())
    groups = [group for uri in tables for group in row_groups(uri)]
    counts = torch.tensor([group.rows for group in groups])
    begins = (counts.cumsum(0) - counts).repeat_interleave(counts)
    row_bytes = float(lengths.double().mean()) * bands * _VALUE_BYTES
    spectrograms = StreamedSpectrograms(
        read=partial(_read, groups),
        bands=bands,
        lengths=lengths,
        groups=torch.repeat_interleave(counts),
        places=torch.arange(len(lengths)) - begins,
        buffer_size=max(1, int(config.shuffle_buffer_gb * 1e9 / row_bytes)),
    )
    return TrainingData(metadata.select(_METADATA), loaded_if_small(spectrograms, config))


def loaded_if_small(spectrograms: SpectrogramSource, config: TrainingConfig) -> SpectrogramSource:
    """Return spectrograms in memory if they are at most ``config.in_memory_gb``."""
    size = int(spectrograms.lengths.sum()) * spectrograms.bands * _VALUE_BYTES
    return spectrograms.loaded() if size <= config.in_memory_gb * 1e9 else spectrograms


def _read(groups: Sequence[RowGroup], index: int) -> Spectrograms:
    group = groups[index]
    table = read_row_group(group, columns=_VALUES)
    return Spectrograms.from_numpy(*spectrogram_values(table, where=group.uri))
