"""Unsupervised representations of sound: recurrent autoencoders on spectrograms, on Ray.

The names below are the Python API. They are imported when first used, so that ``import raudeep``
is quick and needs neither torch nor ray.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raudeep.config import (
        ArchitectureConfig,
        AutoencoderConfig,
        ChunkConfig,
        CnnConfig,
        EvaluationConfig,
        ExportConfig,
        FitConfig,
        FrequencyAutoencoderConfig,
        FrequencyTimeAutoencoderConfig,
        ImportConfig,
        Limits,
        MlpConfig,
        ResourceConfig,
        SoundNetConfig,
        SparseCodingConfig,
        SpectrogramConfig,
        SvmConfig,
        TrainingConfig,
        TuneConfig,
    )
    from raudeep.errors import RaudeepError
    from raudeep.models.autoencoder import Autoencoder
    from raudeep.pipeline.artifacts import load_autoencoder
    from raudeep.pipeline.baselines.scores import (
        score_band_statistics,
        score_cnn,
        score_sparse_coding,
    )
    from raudeep.pipeline.baselines.soundnet import embed_soundnet
    from raudeep.pipeline.benchmark import plan_benchmark, run_benchmark
    from raudeep.pipeline.classification.classifiers import (
        fit_table,
        load_classifier,
        train_classifier,
    )
    from raudeep.pipeline.classification.predicting import predict_corpus, predict_table
    from raudeep.pipeline.classification.predictions import score_table
    from raudeep.pipeline.classification.scoring import evaluate_embeddings, plan_evaluation
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.pipeline.inspection import inspect_folds, inspect_path, inspect_recording
    from raudeep.pipeline.preview import preview_recording
    from raudeep.pipeline.recordings.embedding import embed_corpus, embed_tables
    from raudeep.pipeline.recordings.packing import pack_corpus
    from raudeep.pipeline.recordings.planning import plan_embedding, plan_spectrograms
    from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
    from raudeep.pipeline.recordings.targets import Embedder
    from raudeep.pipeline.searching.nearest import find_nearest, plan_search
    from raudeep.pipeline.searching.queries import embed_query, vectors_of
    from raudeep.pipeline.tables.exporting import export_table
    from raudeep.pipeline.tables.fusing import fuse_chunks, fuse_tables, plan_fusion
    from raudeep.pipeline.tables.importing import import_table
    from raudeep.pipeline.tables.modifying import (
        add_folds,
        add_partitions,
        remove_splits,
        upsample_table,
    )
    from raudeep.pipeline.tables.reading import read_table
    from raudeep.pipeline.tables.reconstruction import reconstruct_table
    from raudeep.pipeline.tables.relabelling import relabel_table
    from raudeep.pipeline.tables.validation import validate_table
    from raudeep.pipeline.training.runs import Run, train_autoencoders
    from raudeep.pipeline.tuning.sweep import plan_sweep, tune_autoencoders
    from raudeep.recipe import Recipe
    from raudeep.report.benchmark import write_report
    from raudeep.report.pictures import plan_projection, write_preview, write_projection
    from raudeep.report.reconstructions import write_reconstructions
    from raudeep.report.sweep import write_sweep_pictures
    from raudeep.storage.index import read_index
    from raudeep.storage.recipes import load_recipe, load_space
    from raudeep.storage.silence import read_silence
    from raudeep.storage.table import read_errors
    from raudeep.storage.verification import verify_table

_PLACES = {
    "ArchitectureConfig": "config",
    "Autoencoder": "models.autoencoder",
    "AutoencoderConfig": "config",
    "ChunkConfig": "config",
    "CnnConfig": "config",
    "Embedder": "pipeline.recordings.targets",
    "EvaluationConfig": "config",
    "ExportConfig": "config",
    "FitConfig": "config",
    "FrequencyAutoencoderConfig": "config",
    "FrequencyTimeAutoencoderConfig": "config",
    "ImportConfig": "config",
    "Limits": "config",
    "MlpConfig": "config",
    "RaudeepError": "errors",
    "Recipe": "recipe",
    "ResourceConfig": "config",
    "Run": "pipeline.training.runs",
    "SoundNetConfig": "config",
    "SparseCodingConfig": "config",
    "SpectrogramConfig": "config",
    "SvmConfig": "config",
    "TrainingConfig": "config",
    "TuneConfig": "config",
    "add_folds": "pipeline.tables.modifying",
    "add_partitions": "pipeline.tables.modifying",
    "embed_corpus": "pipeline.recordings.embedding",
    "embed_query": "pipeline.searching.queries",
    "embed_soundnet": "pipeline.baselines.soundnet",
    "embed_tables": "pipeline.recordings.embedding",
    "evaluate_embeddings": "pipeline.classification.scoring",
    "export_table": "pipeline.tables.exporting",
    "extract_spectrograms": "pipeline.recordings.spectrograms",
    "find_nearest": "pipeline.searching.nearest",
    "fit_table": "pipeline.classification.classifiers",
    "fuse_chunks": "pipeline.tables.fusing",
    "fuse_tables": "pipeline.tables.fusing",
    "import_table": "pipeline.tables.importing",
    "inspect_folds": "pipeline.inspection",
    "inspect_path": "pipeline.inspection",
    "inspect_recording": "pipeline.inspection",
    "load_autoencoder": "pipeline.artifacts",
    "load_classifier": "pipeline.classification.classifiers",
    "load_manifest": "pipeline.corpus",
    "load_recipe": "storage.recipes",
    "load_space": "storage.recipes",
    "pack_corpus": "pipeline.recordings.packing",
    "plan_benchmark": "pipeline.benchmark",
    "plan_embedding": "pipeline.recordings.planning",
    "plan_evaluation": "pipeline.classification.scoring",
    "plan_fusion": "pipeline.tables.fusing",
    "plan_projection": "report.pictures",
    "plan_search": "pipeline.searching.nearest",
    "plan_spectrograms": "pipeline.recordings.planning",
    "plan_sweep": "pipeline.tuning.sweep",
    "predict_corpus": "pipeline.classification.predicting",
    "predict_table": "pipeline.classification.predicting",
    "preview_recording": "pipeline.preview",
    "read_errors": "storage.table",
    "read_index": "storage.index",
    "read_silence": "storage.silence",
    "read_table": "pipeline.tables.reading",
    "reconstruct_table": "pipeline.tables.reconstruction",
    "relabel_table": "pipeline.tables.relabelling",
    "remove_splits": "pipeline.tables.modifying",
    "run_benchmark": "pipeline.benchmark",
    "score_band_statistics": "pipeline.baselines.scores",
    "score_cnn": "pipeline.baselines.scores",
    "score_sparse_coding": "pipeline.baselines.scores",
    "score_table": "pipeline.classification.predictions",
    "train_autoencoders": "pipeline.training.runs",
    "train_classifier": "pipeline.classification.classifiers",
    "tune_autoencoders": "pipeline.tuning.sweep",
    "upsample_table": "pipeline.tables.modifying",
    "validate_table": "pipeline.tables.validation",
    "vectors_of": "pipeline.searching.queries",
    "verify_table": "storage.verification",
    "write_preview": "report.pictures",
    "write_projection": "report.pictures",
    "write_reconstructions": "report.reconstructions",
    "write_report": "report.benchmark",
    "write_sweep_pictures": "report.sweep",
}

__all__ = [
    "ArchitectureConfig",
    "Autoencoder",
    "AutoencoderConfig",
    "ChunkConfig",
    "CnnConfig",
    "Embedder",
    "EvaluationConfig",
    "ExportConfig",
    "FitConfig",
    "FrequencyAutoencoderConfig",
    "FrequencyTimeAutoencoderConfig",
    "ImportConfig",
    "Limits",
    "MlpConfig",
    "RaudeepError",
    "Recipe",
    "ResourceConfig",
    "Run",
    "SoundNetConfig",
    "SparseCodingConfig",
    "SpectrogramConfig",
    "SvmConfig",
    "TrainingConfig",
    "TuneConfig",
    "add_folds",
    "add_partitions",
    "embed_corpus",
    "embed_query",
    "embed_soundnet",
    "embed_tables",
    "evaluate_embeddings",
    "export_table",
    "extract_spectrograms",
    "find_nearest",
    "fit_table",
    "fuse_chunks",
    "fuse_tables",
    "import_table",
    "inspect_folds",
    "inspect_path",
    "inspect_recording",
    "load_autoencoder",
    "load_classifier",
    "load_manifest",
    "load_recipe",
    "load_space",
    "pack_corpus",
    "plan_benchmark",
    "plan_embedding",
    "plan_evaluation",
    "plan_fusion",
    "plan_projection",
    "plan_search",
    "plan_spectrograms",
    "plan_sweep",
    "predict_corpus",
    "predict_table",
    "preview_recording",
    "read_errors",
    "read_index",
    "read_silence",
    "read_table",
    "reconstruct_table",
    "relabel_table",
    "remove_splits",
    "run_benchmark",
    "score_band_statistics",
    "score_cnn",
    "score_sparse_coding",
    "score_table",
    "train_autoencoders",
    "train_classifier",
    "tune_autoencoders",
    "upsample_table",
    "validate_table",
    "vectors_of",
    "verify_table",
    "write_preview",
    "write_projection",
    "write_reconstructions",
    "write_report",
    "write_sweep_pictures",
]


def __dir__() -> list[str]:
    return list(__all__)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'raudeep' has no attribute {name!r}")
    return getattr(import_module(f"raudeep.{_PLACES[name]}"), name)
