"""Timings of a stage against a plain loop over the same kernels, in the same process."""

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from raudeep.audio.decode import decode
from raudeep.audio.spectrogram import compute_views
from raudeep.config import AutoencoderConfig, MlpConfig, TrainingConfig
from raudeep.models.autoencoder import TimeAutoencoder, reconstruction_error
from raudeep.models.batching import Spectrograms
from raudeep.models.fitting import Fit, bfloat16_is_faster
from raudeep.models.mlp import fit_mlps
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.storage.recipes import load_recipe
from tests.benchmarks.corpus import Ratio, audio_folder

PAIRS = 5
CLIPS, FRAMES, BANDS = 256, 124, 128
ESC_10 = AutoencoderConfig(num_layers=2, num_units=256, bidirectional_decoder=True)


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def pairs(ours: Callable[[], object], reference: Callable[[], object]) -> list[list[float]]:
    """Return the seconds of both, in turns, after one round that does not count."""
    ours(), reference()
    rounds = [(seconds(ours), seconds(reference)) for _ in range(PAIRS)]
    return [list(column) for column in zip(*rounds, strict=True)]


def bare_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: torch.Tensor) -> None:
    """Do what a plain PyTorch loop does with a batch (B, T, F)."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_faster(batch.device)):
        reconstruction, _ = model(batch)
    loss = reconstruction_error(reconstruction, batch).mean().sqrt()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_value_(model.parameters(), 2.0)
    optimizer.step()


def bench_loop() -> list[Ratio]:
    """An epoch of `Fit` against a bare PyTorch loop of the same steps."""
    config = TrainingConfig(batch_size=64)
    data = torch.rand(CLIPS, FRAMES, BANDS) * 2 - 1
    torch.set_num_threads(1)
    torch.manual_seed(0)
    fit = Fit(TimeAutoencoder(BANDS, ESC_10), config)
    model = TimeAutoencoder(BANDS, ESC_10).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def bare() -> None:
        for batch in torch.split(data[torch.randperm(CLIPS)], 64):
            bare_step(model, optimizer, batch)

    spectrograms = Spectrograms.from_numpy(data.numpy())

    def epoch() -> None:
        fit.run_epoch(1, spectrograms)

    return [Ratio("training epoch, 2x256 GRU", "bare loop", *pairs(epoch, bare))]


def bench_spectrograms() -> list[Ratio]:
    """The spectrogram stage for four views, Ray started before, against a loop over the kernels."""
    with tempfile.TemporaryDirectory() as folder:
        data = audio_folder(Path(folder))
        views = load_recipe("esc-10").views
        manifest, _ = load_manifest(str(data))
        outputs = iter(range(100))

        def stage() -> None:
            place = f"{folder}/{next(outputs)}"
            extract_spectrograms(manifest, views, {view: f"{place}/{view}" for view in views})

        def loop() -> None:
            for uri in manifest["uri"].to_pylist():
                samples, rate = decode(Path(uri).read_bytes())
                compute_views(samples, sample_rate=rate, configs=list(views.values()))

        what = f"spectrograms, {manifest.num_rows} clips"
        return [Ratio(what, "one-process loop", *pairs(stage, loop))]


def bench_mlp() -> list[Ratio]:
    """Five MLPs on the fused vectors of a fold, against one PyTorch loop after the other."""
    rows, size, classes, seeds = 320, 4096, 10, range(5)
    config = MlpConfig(num_epochs=40)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    X, y = torch.randn(rows, size), torch.randint(classes, (rows,))
    widths = [size, *[config.num_units] * config.num_layers, classes]
    shapes = list(itertools.pairwise(widths))

    def ours() -> None:
        fit_mlps(X.numpy(), y.numpy(), num_classes=classes, config=config, seeds=seeds)

    def loops() -> None:
        for _ in seeds:
            layers: list[nn.Module] = []
            for before, after in shapes:
                layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(config.dropout)]
            network = nn.Sequential(*layers[:-2])
            optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
            for _ in range(config.num_epochs):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(X), y).backward()
                optimizer.step()

    values = [torch.randn(rows, width) for width in widths]
    weights = [torch.randn(after, before) for before, after in shapes]

    def products() -> None:
        for _ in range(len(seeds) * config.num_epochs):
            for index, weight in enumerate(weights):
                values[index] @ weight.t()
                values[index + 1].t() @ values[index]
                if index:
                    values[index + 1] @ weight

    mine, theirs = pairs(ours, loops)
    alone, _ = pairs(products, lambda: None)
    what = f"{len(seeds)} MLPs of {size} values, {config.num_epochs} epochs"
    rest = "Adam on the weights of the first layer, dropout"
    limit = "their matrix products"
    return [Ratio(what, "PyTorch loops", mine, theirs, limit=limit, limits=alone, rest=rest)]
