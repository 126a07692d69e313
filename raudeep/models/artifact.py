"""A trained autoencoder as files: safetensors weights, JSON configuration, a model card.

Nothing is unpickled. The files are passed as bytes by name, so that they can lie anywhere.
"""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import safetensors.torch
from torch import Tensor

from raudeep.config import (
    Readout,
    SpectrogramConfig,
    TrainingConfig,
    architecture_of,
    build,
)
from raudeep.errors import ConfigError, TableError
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
    model: Autoencoder
    input: dict[str, Any]
    """The configuration of the table that it was trained on: what it embeds was made alike."""
    sample_rates: tuple[int, ...] = ()
    """Of the spectrograms that it was trained on, in Hz; none where their table does not say."""
    training: TrainingConfig
    identity: dict[str, Any]
    """What it was made from, for the pipeline to compare: stage, config and inputs."""
    metrics: dict[str, Any]

    def check_vector(self, readout: Readout) -> None:
        """Raise `ConfigError` if an embedding is not one vector, but one for each frame."""
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
    """Return the files of an artifact, the configuration last: where it is, the rest is."""
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
    try:
        config = json.loads(read(CONFIG_FILE))
        if config["format_version"] != FORMAT_VERSION:
            raise TableError(
                f"{where}: model format {config['format_version']!r}; this raudeep reads "
                f"{FORMAT_VERSION}. Train it again."
            )
        kind = architecture_of(config["kind"], where=CONFIG_FILE)
        shape = build(kind, config["autoencoder"], where=CONFIG_FILE)
        with warnings.catch_warnings():  # whoever trained it has seen them
            warnings.simplefilter("ignore")
            model = build_autoencoder(config["bands"], shape)
        model.load_state_dict(unpack_tensors(read(weights)))
        return TrainedAutoencoder(
            name=config["name"],
            model=model.eval(),
            input=config["input"],
            sample_rates=tuple(config.get("sample_rates", ())),
            training=build(TrainingConfig, config["training"], where=where),
            identity=config["identity"],
            metrics=config["metrics"],
        )
    except FileNotFoundError as error:
        missing = str(error.filename or error).rsplit("/", 1)[-1]
        raise TableError(f"{where} holds no finished autoencoder ({missing} missing).") from error
    except _UNREADABLE as error:
        raise TableError(f"{where}: the model cannot be read: {error}") from error


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
