"""Sparse coding: constant-Q frames of a corpus, dictionaries learned on them, codes as embeddings.

``audio -> frames (a table) -> sample -> dictionaries and encoders (a file) -> codes -> embeddings``
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.torch
from numpy.typing import NDArray

from raudeep.audio.constant_q import constant_q, normalise_contrast
from raudeep.config import Limits, SparseCodingConfig
from raudeep.models.sparse_coding import FISTA_STEPS, SparseCoder, learn_coder, pool
from raudeep.pipeline.baselines.layout import BASELINE
from raudeep.pipeline.recordings.kernels import Kernel, Piece, map_recordings
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.runtime.streaming import Pool, stream
from raudeep.pipeline.stage import (
    StageSummary,
    embedding_rows,
    spectrogram_arrays,
    spectrogram_rows,
    spectrogram_values,
)
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import is_table, read_index
from raudeep.storage.labels import labels_of_parts
from raudeep.storage.opening import check_stage, open_table
from raudeep.storage.outputs import check_folder
from raudeep.storage.table import iterate_parts, read_part
from raudeep.storage.writer import TableWriter

__all__ = ["embed_sparse_codes"]

SAMPLE_RATE = 22_050
HOP_LENGTH = 512
"""Half of the paper's frames of 1024 samples."""
_FRAME_SECONDS = HOP_LENGTH / SAMPLE_RATE
_SECONDS_PER_RECORDING = 0.1
_OPERATIONS_PER_SECOND = 40e9  # of a core


def embed_sparse_codes(
    manifest: pa.Table,
    output: str,
    *,
    config: SparseCodingConfig,
    seed: int,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> list[StageSummary]:
    """Write pooled sparse codes of a corpus to ``OUTPUT/embeddings``, a row for each window.

    Dictionaries and encoders are learned on all recordings, without labels; they go to
    ``OUTPUT/coder-FINGERPRINT.safetensors``, the frames to ``OUTPUT/frames``. Run again, it goes on
    with what is missing.

    Parameters
    ----------
    manifest : pa.Table
        The recordings, sorted by file.
    output : str
        URI of a folder.
    config : SparseCodingConfig
        Bands, dictionaries and windows.
    seed : int >= 0
        Seed of the sample and of the dictionaries.
    limits : Limits, optional
        Which recordings are taken, and how many may fail.
    overwrite : bool
        Replace what was made with another configuration.

    Returns
    -------
    list of StageSummary
        Of the frames and of the embeddings.

    References
    ----------
    Henaff, Jarrett, Kavukcuoglu and LeCun, Unsupervised learning of sparse features for scalable
    audio classification, ISMIR 2011.
    """
    check_folder(output, BASELINE)
    table = uris.join(output, "frames")
    check_stage(uris.join(output, "embeddings"), "embeddings")  # before the work, not after it
    bands: dict[str, Any] = {
        "lowest_hz": config.lowest_hz,
        "num_bands": config.num_octaves * config.bands_per_octave,
        "bands_per_octave": config.bands_per_octave,
    }
    frames = Identity(
        "frames",
        {"sample_rate": SAMPLE_RATE, "hop_length": HOP_LENGTH, **bands},
    )
    if is_table(table) and not overwrite:
        # First of all: what is there must be this, or must be replaced on purpose.
        _open_embeddings(output, config, seed, overwrite=False)
    summary = map_recordings(
        manifest,
        table,
        partial(_frames_kernel, **bands),
        identity=frames,
        rows=partial(spectrogram_rows, shape=(None, bands["num_bands"])),
        sample_rate=SAMPLE_RATE,
        bytes_per_row=2**20,
        seconds_per_recording=_SECONDS_PER_RECORDING,
        limits=limits or Limits(),
        overwrite=overwrite,
    )
    started = time.perf_counter()
    # Not before: another try may have found a recording good.
    writer = _open_embeddings(output, config, seed, overwrite=overwrite)
    coder = uris.join(output, f"coder-{writer.identity.fingerprint}.safetensors")
    if not uris.exists(coder):
        _learn(table, coder, config=config, seed=seed)
    frames_index = read_index(table)
    parts = frames_index.parts
    missing = writer.missing(len(parts))
    window = max(1, round(config.window_seconds / _FRAME_SECONDS))

    def encode(item: dict[str, Any]) -> dict[str, Any]:
        rows = read_part(table, parts[item["part"]].name)
        writer.write(item["part"], _code_rows(rows, _read_coder(coder), window=window))
        return {"recordings": rows.num_rows}

    total = sum(parts[part].rows for part in missing)
    with stage_progress("embeddings", unit="recordings", total=total) as progress:
        items = [{"part": part} for part in missing]
        for done in stream(items, encode, estimated_seconds=total * 0.01):
            progress.advance(done["recordings"])
    index = writer.commit(len(parts), labels=labels_of_parts(table, frames_index))
    return [
        summary,
        StageSummary.of_table("embeddings", writer.uri, index, made=len(missing), started=started),
    ]


def _open_embeddings(
    output: str, config: SparseCodingConfig, seed: int, *, overwrite: bool
) -> TableWriter:
    """Return the writer of the codes of the frames that are there."""
    settings = {"readout": "sparse-coding", "seed": seed, **asdict(config)}
    inputs = {"frames": read_index(uris.join(output, "frames")).fingerprint}
    identity = Identity("embeddings", settings, inputs)
    return open_table(uris.join(output, "embeddings"), identity, overwrite=overwrite)


def _frames_kernel(**bands: Any) -> Kernel:
    def kernel(samples: NDArray[np.float32]) -> Sequence[Piece]:
        spectrogram = constant_q(samples, sample_rate=SAMPLE_RATE, hop_length=HOP_LENGTH, **bands)
        return [Piece(0.0, samples.size / SAMPLE_RATE, normalise_contrast(spectrogram))]

    return kernel


def _code_rows(rows: pa.Table, coder: SparseCoder, *, window: int) -> pa.Table:
    """Return the embedding rows of some recordings: one for each window."""
    metadata = rows.drop_columns(["spectrogram", "frames", "bands"])
    spectrograms = spectrogram_arrays(rows, where="frames")
    keys, embeddings = [], []
    for row, frames in zip(metadata.to_pylist(), spectrograms, strict=True):
        for chunk, (start, end, pooled) in enumerate(pool(coder.encode(frames), window=window)):
            span = {"chunk": chunk, "start": start * _FRAME_SECONDS, "end": end * _FRAME_SECONDS}
            keys.append({**row, **span})
            embeddings.append(pooled)
    size = coder.weights.shape[0] * coder.weights.shape[1]
    matrix = np.array(embeddings, np.float32).reshape(-1, size)
    return embedding_rows(pa.Table.from_pylist(keys, schema=metadata.schema), matrix)


def _learn(table: str, coder: str, *, config: SparseCodingConfig, seed: int) -> None:
    """Learn dictionaries and encoders on a table of frames and write them to `coder`."""
    parts = config.num_octaves if config.patch == "octave" else 1
    # FISTA multiplies a batch of codes with the atoms' products, for dictionary and encoder alike.
    products = config.batch_size * (config.num_atoms // parts) ** 2 * FISTA_STEPS
    work = 2 * parts * config.num_steps * 2 * products
    learner = Pool(_Learner, {"table": table, "coder": coder, "config": config, "seed": seed})
    with stage_progress("dictionaries", unit="runs", total=1) as progress:
        for _ in stream([{"part": 0}], learner, estimated_seconds=work / _OPERATIONS_PER_SECOND):
            progress.advance(1)


class _Learner:
    """An actor that learns dictionaries, on a GPU where there is one."""

    def __init__(self, *, table: str, coder: str, config: SparseCodingConfig, seed: int) -> None:
        self._table, self._coder, self._config, self._seed = table, coder, config, seed

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        from raudeep.models.inference import default_device

        frames = _sample(self._table, self._config.num_patches, seed=self._seed)
        coder = learn_coder(frames, self._config, seed=self._seed, device=default_device())
        uris.write_bytes(self._coder, safetensors.torch.save(coder.tensors()))
        return item


def _sample(table: str, count: int, *, seed: int) -> NDArray[np.float32]:
    """Return `count` frames (N, F), or all, drawn from all parts of a table of frames."""
    sizes = [
        sum(part["frames"].to_pylist()) for _, part in iterate_parts(table, columns=["frames"])
    ]
    rng = np.random.default_rng(seed)
    share = min(1.0, count / sum(sizes))
    counts = np.diff(np.round(share * np.cumsum([0, *sizes])).astype(int))  # all of them `count`
    drawn = []
    for size, chosen, (_, part) in zip(sizes, counts, iterate_parts(table), strict=True):
        if size:  # else all recordings of the part failed
            values, _ = spectrogram_values(part, where=table)
            drawn.append(values[np.sort(rng.permutation(size)[:chosen])])
    return np.concatenate(drawn)


def _read_coder(uri: str) -> SparseCoder:
    return SparseCoder.from_tensors(safetensors.torch.load(uris.read_bytes(uri)))
