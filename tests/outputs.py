"""Every command that writes, and what a user may have in the place of its output."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import soundfile
from safetensors.torch import save_file

from raudeep import (
    Embedder,
    EvaluationConfig,
    FitConfig,
    SpectrogramConfig,
    SvmConfig,
    embed_corpus,
    evaluate_embeddings,
    export_table,
    extract_spectrograms,
    load_manifest,
    load_recipe,
    train_classifier,
)
from raudeep.models.soundnet import SoundNet
from raudeep.pipeline.corpus import write_manifest
from tests.models import write_model

FOREIGN = {
    "README.md": "my precious notes",
    "config.json": '{"model_type": "wav2vec2"}',
    "index.json": '{"name": "web", "files": []}',
    "results.json": '{"mine": 1}',
    "recipe.json": '{"title": "apple pie"}',
    "sweep.json": '["a", "broom"]',
    "classifier.json": "{}",
    "report.html": "<title>Annual report</title>",
    "model.safetensors": "weights of somebody",
    "part-00000.parquet": "PAR1 of somebody",
    "notes.txt": "remember the milk",
    "runs/exp-1/events.out.tfevents.1.host": "of another program",
    "checkpoints/last.ckpt": "of another program",
    "embeddings/words.txt": "of another program",
    "test/table.csv": "name,score",
}
FOLDERS = ("foreign files", "corpus", "table", "model", "benchmark")


def make_things(folder: Path) -> dict[str, Path]:
    """Make what the commands read, and one of each thing that they write."""
    made = {name: folder / name for name in ("corpus", "spectrograms", "embeddings", "predictions")}
    made |= {name: folder / name for name in ("model", "classifier", "manifest", "benchmark")}
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for number in range(4):
            place = made["corpus"] / label / f"{number}.wav"
            place.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(place, 0.1 * rng.standard_normal(2000), 8000)
    (made["corpus"] / "README.md").write_text("my precious corpus")
    corpus, _ = load_manifest(str(made["corpus"]))
    write_model(made["model"], units=4, fixed_seconds=0.25, n_mels=8)
    view = SpectrogramConfig(
        window_seconds=0.08, overlap_seconds=0.04, n_mels=8, fixed_seconds=0.25, clip_below_db=-60
    )
    extract_spectrograms(corpus, {"v": view}, {"v": str(made["spectrograms"])})
    outputs = {"state": str(made["embeddings"])}
    embed_corpus(corpus, [Embedder(name="m", model=str(made["model"]), outputs=outputs)])
    splits = EvaluationConfig(num_folds=2)
    evaluate_embeddings(
        {"t": outputs["state"]},
        {"t": str(made["predictions"])},
        classifier=SvmConfig(),
        evaluation=splits,
    )
    classifier = str(made["classifier"])
    train_classifier(outputs["state"], classifier, config=SvmConfig(), fit=FitConfig())
    made["exported"] = folder / "exported"
    export_table(outputs["state"], str(made["exported"]))
    write_manifest(corpus, str(made["manifest"]))
    write_manifest(corpus, str(made["benchmark"] / "manifest"))
    recipe = json.dumps(load_recipe("demo").to_dict())
    (made["benchmark"] / "recipe.json").write_text(recipe)
    made["weights"] = folder / "sound.safetensors"
    save_file(SoundNet("pool2").state_dict(), made["weights"])
    made["space"] = folder / "space.toml"
    made["space"].write_text('[search]\n"autoencoder.num_units" = { choices = [4, 8] }\n')
    return made


def _scored(*arguments):
    return (*arguments, "--num-folds", 2)


COMMANDS = {
    "extract": lambda made: ("extract", made["corpus"]),
    "pack": lambda made: ("pack", made["corpus"]),
    "embed": lambda made: ("embed", made["corpus"], "--model", made["model"]),
    "embed of a table": lambda made: ("embed", made["spectrograms"], "--model", made["model"]),
    "embed, two readouts": lambda made: (
        *("embed", made["corpus"], "--model", made["model"], "--readouts", "state", "pooled"),
    ),
    "embed, epochs": lambda made: (
        *("embed", made["corpus"], "--model", made["model"], "--epochs", 1),
    ),
    "train": lambda made: ("train", "time", made["spectrograms"], "--num-units", 4),
    "reconstruct": lambda made: ("reconstruct", made["spectrograms"], "--model", made["model"]),
    "fuse": lambda made: ("fuse", made["embeddings"]),
    "fuse-chunks": lambda made: ("fuse-chunks", made["embeddings"]),
    "modify": lambda made: ("modify", made["embeddings"], "--add-folds", 2),
    "upsample": lambda made: ("upsample", made["embeddings"]),
    "evaluate": lambda made: _scored("evaluate", "svm", made["embeddings"]),
    "train-classifier": lambda made: ("train-classifier", "svm", made["embeddings"]),
    "predict": lambda made: ("predict", made["embeddings"], "--classifier", made["classifier"]),
    "predict audio": lambda made: (
        *("predict", made["corpus"], "--classifier", made["classifier"]),
        *("--model", made["model"]),
    ),
    "predict svm": lambda made: (
        *("predict", "svm", made["embeddings"], "--train-table", made["embeddings"]),
    ),
    "export csv": lambda made: ("export", "csv", made["embeddings"], "--name", "table"),
    "export arff": lambda made: ("export", "arff", made["embeddings"], "--name", "table"),
    "import": lambda made: ("import", "csv", made["exported"]),
    "benchmark": lambda made: (
        *("benchmark", "demo", "--corpus", made["corpus"], "--corpus-layout", "class-folders"),
    ),
    "benchmark demo": lambda made: ("benchmark", "demo"),
    "tune": lambda made: ("tune", "demo", made["space"]),
    "baseline cnn": lambda made: _scored("baseline", "cnn", made["corpus"]),
    "baseline sparse-coding": lambda made: _scored("baseline", "sparse-coding", made["corpus"]),
    "baseline band-statistics": lambda made: _scored(
        "baseline", "band-statistics", made["spectrograms"]
    ),
    "baseline soundnet": lambda made: (
        *("baseline", "soundnet", made["corpus"], "--weights", made["weights"]),
        *("--layer", "pool1"),
    ),
}
"""The arguments of each command that writes a folder, but for ``--output FOLDER``."""

FILES = {
    "preview": (lambda made: ("preview", made["corpus"], "--output"), ".svg"),
    "visualize": (
        lambda made: ("visualize", made["embeddings"], "--method", "pca", "--output"),
        ".svg",
    ),
    "evaluate --plot": (
        lambda made: (
            *_scored("evaluate", "svm", made["embeddings"]),
            *("--output", made["predictions"], "--plot"),
        ),
        ".svg",
    ),
    "evaluate predictions --plot": (
        lambda made: ("evaluate", "predictions", made["predictions"], "--plot"),
        ".svg",
    ),
    "predict .tsv": (
        lambda made: (
            *("predict", made["embeddings"], "--classifier", made["classifier"], "--output"),
        ),
        ".tsv",
    ),
    "export netcdf": (lambda made: ("export", "netcdf", made["embeddings"], "--output"), ".nc"),
    "reconstruct --page": (
        lambda made: (
            *("reconstruct", made["spectrograms"], "--model", made["model"]),
            *("--output", made["corpus"].parent / "reconstructions", "--page"),
        ),
        ".html",
    ),
}
"""The arguments of each command that writes a file, up to its name, and how that ends."""


def put(kind: str, place: Path, made: dict[str, Path]) -> None:
    """Put a copy of something into the place of an output."""
    if kind == "file":
        place.write_text("my precious file")
    elif kind == "foreign files":
        for name, content in FOREIGN.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(content)
    else:
        shutil.copytree(made["manifest" if kind == "table" else kind], place)


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, and that of nothing for each folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes() if path.is_file() else b""
        ).hexdigest()
        for path in folder.rglob("*")
    }
