"""Audio to embeddings against the bare kernels in a process pool, and the same in Daft.

What each takes to start (processes, libraries, Ray) is left out: the time is that of many clips
less that of few.
"""

import multiprocessing
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
from threadpoolctl import threadpool_limits

from raudeep.audio.decode import decode
from raudeep.audio.spectrogram import compute_views
from raudeep.pipeline.artifacts import load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.runtime.cluster import ensure_ray
from tests.benchmarks.corpus import BUILD, Ratio, audio_folder
from tests.models import write_model

FEW, MANY = 400, 4400
PAIRS = 3
PROCESSES = 2
SLICE = 100
BATCH = 32

Floats = np.ndarray[Any, np.dtype[np.float32]]


def bench_throughput() -> list[Ratio]:
    """raudeep, which also writes and can be resumed, against kernels in a pool, and Daft."""
    folder = BUILD / "throughput"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = write_model(folder / "model")
    manifest, _ = load_manifest(str(audio_folder(folder)), labelled=False)
    outputs = iter(range(100))
    ensure_ray()

    def ours(recordings: pa.Table, model: str) -> None:
        output = str(folder / f"{next(outputs)}")
        embed_corpus(recordings, [Embedder(name="m", model=model, outputs={"state": output})])

    systems = (ours, _run_pool, _run_daft)
    for run in systems:  # the first start of each takes longer, and does not count
        run(_repeated(manifest, FEW), model)
    rounds = [[_net(run, manifest, model) for run in systems] for _ in range(PAIRS)]
    mine, pool, daft = (list(column) for column in zip(*rounds, strict=True))
    what = f"embeddings, {MANY - FEW} clips, 2x256 GRU"
    return [Ratio(what, "process pool", mine, pool), Ratio(what, "Daft", mine, daft)]


def _net(run: Callable[[pa.Table, str], None], manifest: pa.Table, model: str) -> float:
    spent = []
    for count in (FEW, MANY):
        recordings = _repeated(manifest, count)
        started = time.perf_counter()
        run(recordings, model)
        spent.append(time.perf_counter() - started)
    print(run.__name__, *(f"{each:.1f} s" for each in spent), flush=True)
    return spent[1] - spent[0]


def _repeated(manifest: pa.Table, count: int) -> pa.Table:
    """Return so many recordings: the same files under several names."""
    rows = manifest.take(np.arange(count) % manifest.num_rows)
    names = [f"{number:06d}" for number in range(count)]
    return rows.set_column(0, manifest.schema.field("file"), pa.array(names))


class Kernels:
    """The work on paths of recordings, with nothing around it; on one thread."""

    def __init__(self, model: str) -> None:
        import torch

        from raudeep.models.batching import Spectrograms
        from raudeep.models.inference import default_device, embed_spectrograms

        # Threads of two processes on two cores stand in each other's way.
        threadpool_limits(1)
        torch.set_num_threads(1)
        trained = load_autoencoder(model)
        self._view = trained.spectrogram
        self._model = trained.model.to(default_device())
        self._batch, self._embed = Spectrograms.from_numpy, embed_spectrograms

    def __call__(self, paths: list[str]) -> Floats:
        found = []
        for start in range(0, len(paths), BATCH):
            values = [self._transform(path) for path in paths[start : start + BATCH]]
            lengths = np.array([len(value) for value in values])
            batch = self._batch(np.concatenate(values), lengths)
            found.append(self._embed(self._model, batch, readouts=("state",))["state"])
        return np.concatenate(found)

    def _transform(self, path: str) -> Floats:
        samples, rate = decode(Path(path).read_bytes())
        ((chunk,),) = compute_views(samples, sample_rate=rate, configs=[self._view])
        return chunk.values


_kernels: dict[str, Kernels] = {}


def _embed_paths(model: str, paths: list[str]) -> Floats:
    if model not in _kernels:
        _kernels[model] = Kernels(model)
    return _kernels[model](paths)


def _run_pool(recordings: pa.Table, model: str) -> None:
    paths = recordings["uri"].to_pylist()
    slices = [paths[start : start + SLICE] for start in range(0, len(paths), SLICE)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        found = list(pool.map(_embed_paths, [model] * len(slices), slices))
    assert sum(map(len, found)) == len(paths)


def _run_daft(recordings: pa.Table, model: str) -> None:
    import daft
    from daft import DataType, Series

    size = load_autoencoder(model).model.embedding_size("state")

    @daft.cls(max_concurrency=PROCESSES, use_process=True)
    class Embed:
        def __init__(self, model: str) -> None:
            self._kernels = Kernels(model)

        @daft.method.batch(
            return_dtype=DataType.fixed_size_list(DataType.float32(), size), batch_size=SLICE
        )
        def __call__(self, paths: Series) -> Series:
            return Series.from_pylist(list(self._kernels(paths.to_pylist())))

    frame = daft.from_pydict({"path": recordings["uri"].to_pylist()})
    frame = frame.into_batches(SLICE)
    output = BUILD / "throughput" / f"daft-{time.monotonic_ns()}"
    embed = Embed(model)
    frame.select(embed(daft.col("path")).alias("embedding")).write_parquet(str(output))
    assert pa.dataset.dataset(output).count_rows() == recordings.num_rows
