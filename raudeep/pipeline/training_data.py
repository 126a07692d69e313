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
from raudeep.storage.table import iterate_parts, read_table

__all__ = ["TrainingData", "read_training_data"]

_METADATA = ["file", "chunk", "label"]
_VALUES = ["spectrogram", "frames", "bands"]


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
    lengths = metadata["frames"].to_numpy().astype(np.int64)
    bands = int(metadata["bands"][0].as_py())
    num_frames = int(lengths.sum())
    spectrograms: SpectrogramSource
    if num_frames * bands * np.float32().nbytes <= config.in_memory_gb * 1e9:
        frames = np.empty((num_frames, bands), np.float32)
        begin = 0
        for uri in tables:
            for _, part in iterate_parts(uri, columns=_VALUES):
                values, _ = spectrogram_values(part, where=uri)
                frames[begin : begin + len(values)] = values
                begin += len(values)
        spectrograms = Spectrograms.from_numpy(frames, lengths)
    else:
        groups = [group for uri in tables for group in row_groups(uri)]
        counts = torch.tensor([group.rows for group in groups])
        begins = (counts.cumsum(0) - counts).repeat_interleave(counts)
        spectrograms = StreamedSpectrograms(
            read=partial(_read, groups),
            bands=bands,
            lengths=torch.from_numpy(lengths),
            groups=torch.repeat_interleave(counts),
            places=torch.arange(len(lengths)) - begins,
            buffer_size=config.shuffle_buffer_size,
        )
    return TrainingData(metadata.select(_METADATA), spectrograms)


def _read(groups: Sequence[RowGroup], index: int) -> Spectrograms:
    group = groups[index]
    table = read_row_group(group, columns=_VALUES)
    return Spectrograms.from_numpy(*spectrogram_values(table, where=group.uri))
