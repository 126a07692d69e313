"""Autoencoders that embed as trained ones do, without the time of training."""

from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import torch

from raudeep.config import AutoencoderConfig, SpectrogramConfig, TrainingConfig
from raudeep.models.artifact import TrainedAutoencoder
from raudeep.models.autoencoder import build_autoencoder
from raudeep.pipeline.artifacts import write_artifact


def write_model(
    place: Path,
    *,
    units: int = 256,
    fixed_seconds: float | None = 5.0,
    n_mels: int = 128,
    chunk_seconds: float | None = None,
    chunk_count: int | None = None,
    seed: int = 0,
    config: AutoencoderConfig | None = None,
    training: TrainingConfig | None = None,
    sample_rates: tuple[int, ...] = (),
) -> str:
    """Write an untrained autoencoder, which embeds as fast as a trained one; two layers of GRU."""
    torch.manual_seed(seed)
    view = SpectrogramConfig(
        window_seconds=0.08,
        overlap_seconds=0.04,
        n_mels=n_mels,
        fixed_seconds=fixed_seconds,
        clip_below_db=-60,
        chunk_seconds=chunk_seconds,
        chunk_count=chunk_count,
    )
    config = config or AutoencoderConfig(num_layers=2, num_units=units, bidirectional_decoder=True)
    trained = TrainedAutoencoder(
        name=place.name,
        model=build_autoencoder(n_mels, config).eval(),
        input=asdict(view),
        sample_rates=sample_rates,
        training=training or TrainingConfig(),
        identity={"stage": "training", "config": {"name": place.name, "seed": seed}, "inputs": {}},
        metrics={"epoch": 1, "loss": 1.0},
    )
    rows = pa.table({"file": ["none"]})
    write_artifact(
        str(place), trained, history=[{"epoch": 1, "loss": 1.0}], examples=rows, optimizer_state={}
    )
    return str(place)


def write_two_models(folder):
    """Write two small autoencoders of half a second, the second of which is wider."""
    settings = {"fixed_seconds": 0.5, "n_mels": 16}
    return {
        "a": write_model(folder / "a", units=8, **settings),
        "b": write_model(folder / "b", units=12, seed=1, **settings),
    }
