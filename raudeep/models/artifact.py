"""A trained autoencoder as files: safetensors weights, JSON configuration, a model card.

Nothing is unpickled. The files are passed as bytes by name, so that they can lie anywhere.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import safetensors.torch

from raudeep.config import AutoencoderConfig, SpectrogramConfig, TrainingConfig, build
from raudeep.errors import ConfigError, TableError
from raudeep.models.autoencoder import TimeAutoencoder

__all__ = ["CONFIG_FILE", "FORMAT_VERSION", "TrainedAutoencoder", "load_artifact", "pack_artifact"]

FORMAT_VERSION = 1
WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.json", "README.md"
_UNREADABLE = (
    ConfigError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    safetensors.SafetensorError,
)


@dataclass(frozen=True, kw_only=True)
class TrainedAutoencoder:
    """An autoencoder with all that is needed to use it on audio."""

    name: str
    model: TimeAutoencoder
    spectrogram: SpectrogramConfig
    training: TrainingConfig
    identity: dict[str, Any]
    """What it was made from, for the pipeline to compare: stage, config and inputs."""
    metrics: dict[str, Any]


def pack_artifact(trained: TrainedAutoencoder, *, versions: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files of an artifact, the configuration last: where it is, the rest is."""
    model = trained.model
    weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    config = {
        "format_version": FORMAT_VERSION,
        "kind": "time",
        "name": trained.name,
        "bands": model.bands,
        "autoencoder": asdict(model.config),
        "spectrogram": asdict(trained.spectrogram),
        "training": asdict(trained.training),
        "identity": trained.identity,
        "metrics": trained.metrics,
        "versions": dict(versions),
    }
    return {
        WEIGHTS_FILE: safetensors.torch.save(weights),
        CARD_FILE: _card(config, model).encode(),
        CONFIG_FILE: json.dumps(config, indent=1, sort_keys=True).encode(),
    }


def load_artifact(read: Callable[[str], bytes], *, where: str) -> TrainedAutoencoder:
    """Return the autoencoder whose files `read` gives by name.

    Raises
    ------
    TableError
        If a file is missing, damaged or of another format version; `where` names the place.
    """
    try:
        config = json.loads(read(CONFIG_FILE))
        if config["format_version"] != FORMAT_VERSION:
            raise TableError(
                f"{where}: model format {config['format_version']!r}; this raudeep reads "
                f"{FORMAT_VERSION}. Train it again."
            )
        shape = build(AutoencoderConfig, config["autoencoder"], where=f"{where}: autoencoder")
        model = TimeAutoencoder(config["bands"], shape)
        model.load_state_dict(safetensors.torch.load(read(WEIGHTS_FILE)))
        return TrainedAutoencoder(
            name=config["name"],
            model=model.eval(),
            spectrogram=build(SpectrogramConfig, config["spectrogram"], where=where),
            training=build(TrainingConfig, config["training"], where=where),
            identity=config["identity"],
            metrics=config["metrics"],
        )
    except FileNotFoundError as error:
        missing = str(error.filename or error).rsplit("/", 1)[-1]
        raise TableError(f"{where} holds no finished autoencoder ({missing} missing).") from error
    except _UNREADABLE as error:
        raise TableError(f"{where}: the model cannot be read: {error}") from error


def _card(config: dict[str, Any], model: TimeAutoencoder) -> str:
    """Return a model card in the form that model hubs read."""

    def table(section: str) -> str:
        return "\n".join(f"| `{key}` | {value} |" for key, value in config[section].items())

    return f"""---
library_name: raudeep
tags: [audio, feature-extraction, autoencoder, unsupervised]
---

# {config["name"]}

A time-recurrent sequence-to-sequence autoencoder of spectrograms, trained without labels by
raudeep {config["versions"].get("raudeep")}.

- embedding `state`: {model.embedding_size("state")} values, the representation
- embedding `pooled`: {model.embedding_size("pooled")} values, mean and standard deviation of the
  encoder's outputs over time

```bash
raudeep embed AUDIO_FOLDER --model THIS_FOLDER --output EMBEDDINGS
```

| spectrogram | |
| --- | --- |
{table("spectrogram")}

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
