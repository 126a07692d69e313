"""One autoencoder on one and on two workers, in memory and streamed, beside a bare DDP loop."""

import shutil
import socket
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from raudeep.config import ResourceConfig, TrainingConfig
from raudeep.models.autoencoder import TimeAutoencoder
from raudeep.models.batching import Spectrograms
from raudeep.pipeline.artifacts import read_history
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.runtime.cluster import ensure_ray
from raudeep.pipeline.training.data import read_training_data
from raudeep.pipeline.training.runs import Run, train_autoencoders
from raudeep.storage.recipes import load_recipe
from tests.benchmarks.corpus import BUILD, audio_folder
from tests.benchmarks.ratios import ESC_10, bare_step

BATCH_SIZE, EPOCHS, TURNS = 64, 4, 3
VIEW = "60db"
STREAMED = {"in_memory_gb": 0.0, "shuffle_buffer_gb": 0.008}  # 128 clips
PLAIN = {"precision": "float32", "num_epochs": 3}


def bench_data_parallel() -> dict[str, str]:
    folder = (BUILD / "data-parallel").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    manifest, _ = load_manifest(str(audio_folder(folder)))
    table = str(folder / "spectrograms")
    extract_spectrograms(manifest, {VIEW: load_recipe("esc-10").views[VIEW]}, {VIEW: table})
    ensure_ray()

    def train(name: str, workers: int, model: Any = ESC_10, **settings: Any) -> list[Any]:
        run = Run(
            name=name,
            spectrograms=(table,),
            output=str(folder / name),
            model=model,
            training=TrainingConfig(**{"batch_size": BATCH_SIZE, "num_epochs": EPOCHS, **settings}),
        )
        resources = ResourceConfig(num_workers=workers, cpus_per_worker=1)
        train_autoencoders([run], checkpoints=str(folder / "runs"), resources=resources)
        return read_history(run.output)

    found = {}
    for mode, settings in (("in memory", {}), ("streamed", STREAMED)):
        plain = type(ESC_10)(**{**vars(ESC_10), "dropout": 0.0})
        curves = [
            [epoch["loss"] for epoch in train(f"{mode}-{n}", n, plain, **settings, **PLAIN)]
            for n in (1, 2)
        ]
        gap = np.abs(np.subtract(*curves) / curves[0]).max()
        one, two = (" ".join(f"{loss:.6f}" for loss in losses) for losses in curves)
        found[f"losses on one and two workers, {mode}"] = f"{one} and {two}"
        found[f"largest difference of these, {mode}"] = f"{gap:.1e} of the loss"
    steps: dict[str, list[float]] = {"in memory": [], "streamed": [], "bare": []}
    for turn in range(TURNS):
        steps["in memory"].append(_step(train(f"memory-{turn}", 2), manifest.num_rows))
        steps["bare"].append(_bare_step(table, folder))
        steps["streamed"].append(_step(train(f"stream-{turn}", 2, **STREAMED), manifest.num_rows))
    bare = steps.pop("bare")
    found["a step of a bare DDP loop, s"] = _figures(bare)
    for mode, ours in steps.items():
        ratios = [a / b for a, b in zip(ours, bare, strict=True)]
        found[f"a step on two workers, {mode}, s"] = _figures(ours)
        found[f"and as a share of the bare loop's, {mode}"] = _figures(ratios)
    return found


def _figures(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} (from {min(values):.3f} to {max(values):.3f})"


def _step(history: list[Any], num_rows: int) -> float:
    """Return the seconds of a step, without those of the first epoch."""
    seconds = sum(epoch["seconds"] for epoch in history[1:])
    rows = sum(epoch["seconds"] * epoch["chunks_per_second"] for epoch in history[1:])
    assert rows >= (EPOCHS - 1) * (num_rows // BATCH_SIZE) * BATCH_SIZE
    return seconds / (rows / BATCH_SIZE)


def _bare_step(table: str, folder: Path) -> float:
    """Return the seconds of a step of the loop that PyTorch's documentation would have."""
    _, spectrograms = read_training_data([table], TrainingConfig())
    assert isinstance(spectrograms, Spectrograms)
    values = spectrograms.frames.view(len(spectrograms), -1, spectrograms.bands)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = folder / "bare.txt"
    torch.multiprocessing.spawn(_bare_worker, (port, values, place), nprocs=2)
    return float(place.read_text())


def _bare_worker(rank: int, port: int, values: torch.Tensor, place: Path) -> None:
    torch.set_num_threads(1)
    store = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    torch.manual_seed(0)
    model = DistributedDataParallel(TimeAutoencoder(values.shape[2], ESC_10).train())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    steps = -(-len(values) // BATCH_SIZE)
    started = 0.0
    for epoch in range(EPOCHS):
        if epoch == 1:
            started = time.perf_counter()
        random = torch.Generator().manual_seed(epoch)
        rows = torch.randperm(len(values), generator=random).repeat(2)[: steps * BATCH_SIZE]
        for batch in torch.split(rows, BATCH_SIZE):
            bare_step(model, optimizer, values[batch[rank::2]])
    if rank == 0:
        seconds = time.perf_counter() - started
        place.write_text(str(seconds / ((EPOCHS - 1) * steps)))
    torch.distributed.destroy_process_group()
