"""Timings against a named reference in the same run: ``make bench``, or one of them by name.

    python -m tests.benchmarks [loop] [spectrograms]

``RAUDEEP_TEST_DATA`` names the folder that holds ``esc-10``; without it the synthesised corpus is
used. Each figure is a ratio to the reference, as the median of pairs that take turns, with the
smallest and the largest.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from raudeep.audio.decode import decode
from raudeep.audio.spectrogram import compute_views
from raudeep.config import AutoencoderConfig, TrainingConfig
from raudeep.corpora.demo import write_demo_corpus
from raudeep.models.autoencoder import TimeAutoencoder, reconstruction_error
from raudeep.models.batching import Spectrograms
from raudeep.models.fitting import Fit, bfloat16_is_faster
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.spectrograms import extract_spectrograms
from raudeep.recipe import load_recipe

PAIRS = 5
CLIPS, FRAMES, BANDS = 256, 124, 128
ESC_10 = AutoencoderConfig(num_layers=2, num_units=256, bidirectional_decoder=True)

Row = tuple[str, str, list[float], list[float]]


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def pairs(ours: Callable[[], object], reference: Callable[[], object]) -> list[list[float]]:
    """Return the seconds of both, in turns, after one round that does not count."""
    ours(), reference()
    rounds = [(seconds(ours), seconds(reference)) for _ in range(PAIRS)]
    return [list(column) for column in zip(*rounds, strict=True)]


def bench_loop() -> Row:
    """An epoch of `Fit` against a bare PyTorch loop of the same steps."""
    config = TrainingConfig(batch_size=64)
    data = torch.rand(CLIPS, FRAMES, BANDS) * 2 - 1
    torch.manual_seed(0)
    fit = Fit(TimeAutoencoder(BANDS, ESC_10), config)
    model = TimeAutoencoder(BANDS, ESC_10).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def bare() -> None:
        for batch in torch.split(data[torch.randperm(CLIPS)], 64):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_faster(data.device)):
                reconstruction, _ = model(batch)
            loss = reconstruction_error(reconstruction, batch).mean().sqrt()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 2.0)
            optimizer.step()

    spectrograms = Spectrograms.from_numpy(data.numpy())

    def epoch() -> None:
        fit.run_epoch(1, spectrograms)

    return "training epoch, 2x256 GRU", "bare loop", *pairs(epoch, bare)


def bench_spectrograms() -> Row:
    """The spectrogram stage for four views, Ray started before, against a loop over the kernels."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(os.environ.get("RAUDEEP_TEST_DATA", "")) / "esc-10"
        if not data.is_dir():
            data = Path(folder) / "corpus"
            write_demo_corpus(data, clips_per_class=80)
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

        return f"spectrograms, {manifest.num_rows} clips", "one-process loop", *pairs(stage, loop)


BENCHMARKS = {"loop": bench_loop, "spectrograms": bench_spectrograms}


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    table = Table(title=f"torch {torch.__version__}, {os.cpu_count()} cores, 1 thread", box=None)
    for column in ("what", "reference", "ours, s", "reference, s", "ratio", "min", "max"):
        table.add_column(column, justify="left" if column in ("what", "reference") else "right")
    for name in names or BENCHMARKS:
        what, reference, ours, theirs = BENCHMARKS[name]()
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        figures = (statistics.median(ours), statistics.median(theirs), statistics.median(ratios))
        extremes = (min(ratios), max(ratios))
        table.add_row(what, reference, *(f"{value:.3f}" for value in (*figures, *extremes)))
    Console(width=120).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
