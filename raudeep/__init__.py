"""Unsupervised representations of sound: recurrent autoencoders on spectrograms, on Ray.

The names below are the Python API. They are imported when first used, so that ``import raudeep``
is quick and needs neither torch nor ray.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raudeep.config import (
        AutoencoderConfig,
        EvaluationConfig,
        MlpConfig,
        ResourceConfig,
        SpectrogramConfig,
        TrainingConfig,
    )
    from raudeep.errors import RaudeepError
    from raudeep.pipeline.artifacts import load_autoencoder
    from raudeep.pipeline.benchmark import run_benchmark
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.pipeline.embedding import Embedder, embed_corpus, embed_tables
    from raudeep.pipeline.fusing import fuse_tables
    from raudeep.pipeline.scoring import evaluate_mlp
    from raudeep.pipeline.spectrograms import extract_spectrograms
    from raudeep.pipeline.training import Run, train_autoencoders
    from raudeep.recipe import Recipe, load_recipe
    from raudeep.report.benchmark import write_report
    from raudeep.storage.table import read_errors, read_index, read_table

_PLACES = {
    "AutoencoderConfig": "config",
    "Embedder": "pipeline.embedding",
    "EvaluationConfig": "config",
    "MlpConfig": "config",
    "RaudeepError": "errors",
    "Recipe": "recipe",
    "ResourceConfig": "config",
    "Run": "pipeline.training",
    "SpectrogramConfig": "config",
    "TrainingConfig": "config",
    "embed_corpus": "pipeline.embedding",
    "embed_tables": "pipeline.embedding",
    "evaluate_mlp": "pipeline.scoring",
    "extract_spectrograms": "pipeline.spectrograms",
    "fuse_tables": "pipeline.fusing",
    "load_autoencoder": "pipeline.artifacts",
    "load_manifest": "pipeline.corpus",
    "load_recipe": "recipe",
    "read_errors": "storage.table",
    "read_index": "storage.table",
    "read_table": "storage.table",
    "run_benchmark": "pipeline.benchmark",
    "train_autoencoders": "pipeline.training",
    "write_report": "report.benchmark",
}

__all__ = [
    "AutoencoderConfig",
    "Embedder",
    "EvaluationConfig",
    "MlpConfig",
    "RaudeepError",
    "Recipe",
    "ResourceConfig",
    "Run",
    "SpectrogramConfig",
    "TrainingConfig",
    "embed_corpus",
    "embed_tables",
    "evaluate_mlp",
    "extract_spectrograms",
    "fuse_tables",
    "load_autoencoder",
    "load_manifest",
    "load_recipe",
    "read_errors",
    "read_index",
    "read_table",
    "run_benchmark",
    "train_autoencoders",
    "write_report",
]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'raudeep' has no attribute {name!r}")
    return getattr(import_module(f"raudeep.{_PLACES[name]}"), name)
