"""Trained autoencoders on storage: the artifact's files, its history and its examples."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raudeep.errors import TableError
from raudeep.models.artifact import CONFIG_FILE, TrainedAutoencoder, load_artifact, pack_artifact
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.table import package_versions

__all__ = [
    "artifact_identity",
    "is_artifact",
    "load_autoencoder",
    "read_examples",
    "read_history",
    "write_artifact",
]

_HISTORY, _EXAMPLES = "history.json", "examples.parquet"


def write_artifact(
    uri: str,
    trained: TrainedAutoencoder,
    *,
    history: Sequence[dict[str, Any]],
    examples: pa.Table,
) -> None:
    """Write an autoencoder with its loss curve and a few reconstructions; the config comes last."""
    uris.write_bytes(uris.join(uri, _HISTORY), json.dumps(list(history), indent=1).encode())
    sink = pa.BufferOutputStream()
    pq.write_table(examples, sink, compression="zstd")
    uris.write_bytes(uris.join(uri, _EXAMPLES), bytes(sink.getvalue()))
    for name, content in pack_artifact(trained, versions=package_versions()).items():
        uris.write_bytes(uris.join(uri, name), content)


def load_autoencoder(uri: str) -> TrainedAutoencoder:
    """Return the autoencoder whose artifact lies at `uri`, on the CPU, in evaluation mode."""
    return load_artifact(lambda name: uris.read_bytes(uris.join(uri, name)), where=uri)


def is_artifact(uri: str) -> bool:
    """Return whether a finished artifact lies at `uri`."""
    return uris.exists(uris.join(uri, CONFIG_FILE))


def artifact_identity(uri: str) -> Identity:
    """Return what the artifact at `uri` was made from."""
    try:
        return Identity(**json.loads(uris.read_bytes(uris.join(uri, CONFIG_FILE)))["identity"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(f"{uri}: {CONFIG_FILE} cannot be read: {error}") from error


def read_history(uri: str) -> list[dict[str, Any]]:
    """Return the epochs of an artifact's training."""
    return list(json.loads(uris.read_bytes(uris.join(uri, _HISTORY))))


def read_examples(uri: str) -> pa.Table:
    """Return a few spectrograms of an artifact's training beside their reconstructions."""
    with uris.open_file(uris.join(uri, _EXAMPLES)) as file:
        return pq.read_table(file)
