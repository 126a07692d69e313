"""How time grows: of training with recordings and with their length, of embedding with clips."""

import os
import shutil
import time
from collections.abc import Iterator

import numpy as np
import torch

from raudeep.config import AutoencoderConfig, TrainingConfig
from raudeep.models.autoencoder import TimeAutoencoder
from raudeep.models.batching import Spectrograms
from raudeep.models.fitting import Fit
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.runtime.cluster import ensure_ray
from tests.benchmarks.corpus import BUILD, audio_folder
from tests.models import write_model

BANDS = 64
CONFIG = AutoencoderConfig(num_layers=2, num_units=128, bidirectional_decoder=True)
RECORDINGS, FRAMES = (128, 512, 2048), (50, 200, 800)
CLIPS = tuple(map(int, os.environ.get("RAUDEEP_GROWTH_CLIPS", "400,4000,40000").split(",")))


def bench_growth() -> dict[str, str]:
    return dict([*_training(), *_embedding()])


def _training() -> Iterator[tuple[str, str]]:
    torch.set_num_threads(1)
    sizes = [(n, FRAMES[0]) for n in RECORDINGS] + [(RECORDINGS[0], n) for n in FRAMES[1:]]
    for recordings, frames in sizes:
        lengths = torch.linspace(0.8 * frames, frames, recordings).long()
        spectrograms = Spectrograms(torch.rand(int(lengths.sum()), BANDS) * 2 - 1, lengths)
        fit = Fit(TimeAutoencoder(BANDS, CONFIG), TrainingConfig(batch_size=64))
        spent = []
        for epoch in (1, 2, 3):
            started = time.thread_time()
            fit.run_epoch(epoch, spectrograms)
            spent.append(time.thread_time() - started)
        per_frame = min(spent) / int(lengths.sum()) * 1e6
        what = f"training, {recordings} recordings of up to {frames} frames"
        yield what, f"{per_frame:.1f} microseconds of CPU time per frame"


def _embedding() -> Iterator[tuple[str, str]]:
    folder = BUILD / "growth"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = write_model(folder / "model")
    manifest, _ = load_manifest(str(audio_folder(folder)), labelled=False)
    ensure_ray()
    for count in (CLIPS[0], *CLIPS):  # the first start takes longer, and does not count
        rows = manifest.take(np.arange(count) % manifest.num_rows)
        names = [f"{number:06d}" for number in range(count)]
        rows = rows.set_column(0, manifest.schema.field("file"), [names])
        started = time.perf_counter()
        embedder = Embedder(name="m", model=model, outputs={"state": str(folder / "table")})
        embed_corpus(rows, [embedder])
        seconds = time.perf_counter() - started
        shutil.rmtree(folder / "table")
        what = f"embedding, {count} clips"
        yield what, f"{seconds:.1f} s, {seconds / count * 1000:.1f} ms per clip"
    shutil.rmtree(folder)
