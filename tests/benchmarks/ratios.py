"""Timings of a stage against a plain loop over the same kernels, in the same process."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from raudeep.audio.decode import decode
from raudeep.audio.spectrogram import compute_views
from raudeep.config import AutoencoderConfig, TrainingConfig
from raudeep.models.autoencoder import TimeAutoencoder, reconstruction_error
from raudeep.models.batching import Spectrograms
from raudeep.models.fitting import Fit, bfloat16_is_faster
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
