"""A trained autoencoder as files: safetensors weights, JSON configuration, a model card.

Nothing is unpickled. The files are passed as bytes by name, so that they can lie anywhere.
"""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from raudeep.config import (
    ArchitectureConfig,
    Readout,
    SpectrogramConfig,
    TrainingConfig,
    architecture_of,
    build,
)
from raudeep.errors import ConfigError, TableError
from raudeep.foreign import blamed, parse_json, typed
from raudeep.models.autoencoder import Autoencoder, build_autoencoder

__all__ = [
    "CONFIG_FILE",
    "FORMAT_VERSION",
    "WEIGHTS_FILE",
    "TrainedAutoencoder",
    "load_artifact",
    "pack_artifact",
    "pack_tensors",
    "unpack_tensors",
]

FORMAT_VERSION = 2
WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.json", "README.md"


@dataclass(frozen=True)
class _Versioned:
    """Checks made before anything else is read from a configuration."""

    format_version: Any


@dataclass(frozen=True, kw_only=True)
class _Described:
    """Fields of an artifact's configuration."""

    kind: str
    name: str
    bands: int
    autoencoder: dict[str, Any]
    input: dict[str, Any]
    sample_rates: list[int] = field(default_factory=list)
    training: dict[str, Any]
    identity: dict[str, Any]
    metrics: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrainedAutoencoder:
    """An autoencoder with all that is needed to use it on audio."""

    name: str
    model: Autoencoder
    input: dict[str, Any]
    """Configuration of the training table; its input is computed in the same way."""
    sample_rates: tuple[int, ...] = ()
    """Sample rates of the training recordings in Hz; empty if their table does not name them."""
    training: TrainingConfig
    identity: dict[str, Any]
    """Stage, configuration and inputs of the training; the pipeline compares them."""
    metrics: dict[str, Any]

    def check_vector(self, readout: Readout) -> None:
        """Raise `ConfigError` if the embedding is a vector for each frame, and not one vector."""
        if readout == "state" and self.model.config.keeps_time:
            raise ConfigError(
                f"the 'state' of {self.name!r} is a vector for each frame, which embeds no "
                "recording. Pass readout='pooled'."
            )

    @property
    def spectrogram(self) -> SpectrogramConfig:
        """How audio becomes its input.

        Raises
        ------
        TableError
            If its input was made by another autoencoder, or imported.
        """
        if "model" in self.input:
            raise TableError(
                f"the autoencoder {self.name!r} was trained on the representations of another one. "
                "Embed a table of these, not audio."
            )
        if "imported" in self.input:
            raise TableError(
                f"the autoencoder {self.name!r} was trained on an imported table, which does not "
                "say how audio became spectrograms. Embed such a table, not audio."
            )
        return build(SpectrogramConfig, self.input, where=self.name)


def pack_artifact(trained: TrainedAutoencoder, *, versions: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files of an artifact; the configuration, written last, says that all are there."""
    model = trained.model
    config = {
        "format_version": FORMAT_VERSION,
        "kind": model.config.kind,
        "name": trained.name,
        "bands": model.bands,
        "autoencoder": asdict(model.config),
        "input": trained.input,
        "sample_rates": list(trained.sample_rates),
        "training": asdict(trained.training),
        "identity": trained.identity,
        "metrics": trained.metrics,
        "versions": dict(versions),
    }
    return {
        WEIGHTS_FILE: pack_tensors(model.state_dict()),
        CARD_FILE: _card(config, model).encode(),
        CONFIG_FILE: json.dumps(config, indent=1, sort_keys=True).encode(),
    }


def pack_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Return named tensors as a safetensors file."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return bytes(safetensors.torch.save(on_cpu))


def unpack_tensors(content: bytes) -> dict[str, Tensor]:
    """Return the tensors of `pack_tensors`."""
    return dict(safetensors.torch.load(content))


def load_artifact(
    read: Callable[[str], bytes], *, where: str, weights: str = WEIGHTS_FILE
) -> TrainedAutoencoder:
    """Return the autoencoder whose files `read` gives by name, with the weights of one of them.

    Raises
    ------
    TableError
        If a file is missing, damaged or of another format version; `where` names the place.
    """
    said = f"{where}: the model cannot be read"
    try:
        described = parse_json(read(CONFIG_FILE), f"{said}: {CONFIG_FILE}")
        stored = read(weights)
    except FileNotFoundError as error:
        missing = str(error.filename or error).rsplit("/", 1)[-1]
        raise TableError(f"{where} holds no finished autoencoder ({missing} missing).") from error
    version = typed(_Versioned, described, f"{said}: {CONFIG_FILE}").format_version
    if version != FORMAT_VERSION:
        raise TableError(
            f"{where}: model format {version!r:.80}; this raudeep reads {FORMAT_VERSION}. Train it "
            "again."
        )
    config: _Described = typed(_Described, described, f"{said}: {CONFIG_FILE}")
    try:
        shape = build(architecture_of(config.kind, where=said), config.autoencoder, where=said)
        training = build(TrainingConfig, config.training, where=said)
        with blamed(f"{said}: {weights}"):
            tensors = unpack_tensors(stored)
        model = _model_of(config.bands, shape, tensors, said)
    except ConfigError as error:
        raise TableError(str(error)) from error
    return TrainedAutoencoder(
        name=config.name,
        model=model.eval(),
        input=config.input,
        sample_rates=tuple(config.sample_rates),
        training=training,
        identity=config.identity,
        metrics=config.metrics,
    )


def _model_of(
    bands: int, shape: ArchitectureConfig, tensors: Mapping[str, Tensor], said: str
) -> Autoencoder:
    """Return a model with its weights, which are there before memory is taken for it.

    Raises
    ------
    TableError
        If the weights are not those of such a model, or not finite; `said` begins the line.
    """
    layers = [value for name, value in asdict(shape).items() if name.endswith("num_layers")]
    with warnings.catch_warnings(), blamed(said):  # whoever trained it has seen the warnings
        warnings.simplefilter("ignore")
        if bands < 1 or max(layers, default=0) > len(tensors):
            raise ValueError(f"{bands} bands and {len(tensors)} weights are none of {shape!r}")
        with torch.device("meta"):  # which has shapes and no values
            outline = build_autoencoder(bands, shape).state_dict()
        if strange := sorted(_shapes(outline) ^ _shapes(tensors)):
            raise ValueError(f"the weights do not fit, e.g. {strange[0]}")
        model = build_autoencoder(bands, shape)
        model.load_state_dict(tensors)
    for name, weight in model.state_dict().items():
        if weight.is_floating_point() and not weight.isfinite().all():
            raise TableError(
                f"{said}: its weights hold NaN or infinite values, e.g. {name!r}. Train it again."
            )
    return model


def _shapes(tensors: Mapping[str, Tensor]) -> set[tuple[str, tuple[int, ...]]]:
    return {(name, tuple(tensor.shape)) for name, tensor in tensors.items()}


def _card(config: dict[str, Any], model: Autoencoder) -> str:
    """Return a model card in the form that model hubs read."""

    def table(section: str) -> str:
        return "\n".join(f"| `{key}` | {value} |" for key, value in config[section].items())

    per_frame = " for each frame" if model.config.keeps_time else ""
    return f"""---
library_name: raudeep
tags: [audio, feature-extraction, autoencoder, unsupervised]
---

# {config["name"]}

An autoencoder of spectrograms, of the kind `{config["kind"]}`, trained without labels by raudeep
{config["versions"].get("raudeep")}.

- embedding `state`: {model.embedding_size("state")} values{per_frame}, the representation
- embedding `pooled`: {model.embedding_size("pooled")} values, mean and standard deviation of the
  encoder's outputs over time

```bash
raudeep embed AUDIO_FOLDER --model THIS_FOLDER --output EMBEDDINGS
```

| input | |
| --- | --- |
{table("input")}

| autoencoder | |
| --- | --- |
{table("autoencoder")}

| training | |
| --- | --- |
{table("training")}

| result | |
| --- | --- |
{table("metrics")}
"""
