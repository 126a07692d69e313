"""SoundNet as an embedding model: audio and a file of weights in, an embedding table out."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.config import Limits, SoundNetConfig
from raudeep.errors import TableError
from raudeep.models.soundnet import SAMPLE_RATE, SoundNet, read_soundnet
from raudeep.pipeline.recordings.kernels import Kernel, Piece, map_recordings
from raudeep.pipeline.stage import StageSummary, embedding_rows
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity

__all__ = ["embed_soundnet"]

_SECONDS_PER_RECORDING = 0.3


def embed_soundnet(
    manifest: pa.Table,
    weights: str,
    output: str,
    *,
    config: SoundNetConfig,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> StageSummary:
    """Write an embedding table of a corpus with the features of a layer of SoundNet.

    Parameters
    ----------
    manifest : pa.Table
        The recordings, sorted by file.
    weights : str
        URI of the weights, see `raudeep.models.soundnet.read_soundnet`.
    output : str
        URI of the table.
    config : SoundNetConfig
        Layer and pooling.
    limits : Limits, optional
        Which recordings are taken, and how many may fail.
    overwrite : bool
        Replace a table that was made with another configuration.

    Raises
    ------
    TableError
        If the weights cannot be read, or the output holds something else.
    """
    try:
        content = uris.read_bytes(weights)
    except OSError as error:
        raise TableError(f"no weights at {weights}: {error.strerror or error}") from error
    size = _network(weights, content, config).size
    return map_recordings(
        manifest,
        output,
        partial(_kernel, weights, config),
        identity=Identity(
            "embeddings",
            {"readout": "soundnet", **asdict(config)},
            {"weights": hashlib.sha256(content).hexdigest()[:16]},
        ),
        rows=partial(_rows, size=size),
        sample_rate=SAMPLE_RATE,
        bytes_per_row=2**20,
        seconds_per_recording=_SECONDS_PER_RECORDING,
        limits=limits or Limits(),
        uses_gpu=True,
        overwrite=overwrite,
    )


def _network(weights: str, content: bytes, config: SoundNetConfig) -> SoundNet:
    return read_soundnet(content, name=weights.rsplit("/", 1)[-1], config=config)


def _kernel(weights: str, config: SoundNetConfig) -> Kernel:
    from raudeep.models.inference import default_device

    net = _network(weights, uris.read_bytes(weights), config).to(default_device())

    def kernel(samples: NDArray[np.float32]) -> Sequence[Piece]:
        return [Piece(0.0, samples.size / SAMPLE_RATE, net.embed(samples, pooling=config.pooling))]

    return kernel


def _rows(keys: pa.Table, values: Sequence[NDArray[np.float32]], *, size: int) -> pa.Table:
    return embedding_rows(keys, np.array(values, np.float32).reshape(-1, size))
