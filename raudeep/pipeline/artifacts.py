"""Trained autoencoders on storage: the artifact's files, its history, examples, kept epochs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from raudeep.errors import TableError
from raudeep.models.artifact import (
    CONFIG_FILE,
    TrainedAutoencoder,
    load_artifact,
    pack_artifact,
    pack_tensors,
    unpack_tensors,
)
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.table import package_versions

__all__ = [
    "artifact_identity",
    "forget_epochs",
    "is_artifact",
    "keep_epoch",
    "kept_epochs",
    "load_autoencoder",
    "read_examples",
    "read_history",
    "read_metrics",
    "read_optimizer_state",
    "write_artifact",
]

_HISTORY, _EXAMPLES, _OPTIMIZER = "history.json", "examples.parquet", "optimizer.safetensors"
_KEPT = "checkpoints"
_KEPT_NAME = re.compile(r"epoch-(\d{5,})\.safetensors")


def write_artifact(
    uri: str,
    trained: TrainedAutoencoder,
    *,
    history: Sequence[dict[str, Any]],
    examples: pa.Table,
    optimizer_state: Mapping[str, Tensor],
) -> None:
    """Write an autoencoder with its loss curve and a few reconstructions; the config comes last.

    With the state of the optimiser the training can be continued.
    """
    uris.write_bytes(uris.join(uri, _OPTIMIZER), pack_tensors(optimizer_state))
    uris.write_bytes(uris.join(uri, _HISTORY), json.dumps(list(history), indent=1).encode())
    sink = pa.BufferOutputStream()
    pq.write_table(examples, sink, compression="zstd")
    uris.write_bytes(uris.join(uri, _EXAMPLES), bytes(sink.getvalue()))
    for name, content in pack_artifact(trained, versions=package_versions()).items():
        uris.write_bytes(uris.join(uri, name), content)


def load_autoencoder(uri: str, *, epoch: int | None = None) -> TrainedAutoencoder:
    """Return the autoencoder whose artifact lies at `uri`, on the CPU, in evaluation mode.

    Parameters
    ----------
    uri : str
        The artifact's folder.
    epoch : int, optional
        Take the weights after this epoch; the last one's (the best with early stopping) without.

    Raises
    ------
    TableError
        If there is no artifact, it is damaged, or did not keep that epoch.
    """

    def read(name: str) -> bytes:
        return uris.read_bytes(uris.join(uri, name))

    final = load_artifact(read, where=uri)
    if epoch is None or epoch == final.metrics["epoch"]:
        return final
    kept = kept_epochs(uri)
    if epoch not in kept:
        have = ", ".join(map(str, sorted({*kept, final.metrics["epoch"]})))
        raise TableError(
            f"{uri} has no weights of epoch {epoch}; it has {have}. Train with a larger "
            "checkpoints_to_keep."
        )
    return load_artifact(read, where=uri, weights=f"{_KEPT}/{_kept_name(epoch)}")


def keep_epoch(uri: str, epoch: int, weights: Mapping[str, Tensor], *, most: int | None) -> None:
    """Keep the weights of an epoch beside an artifact, and of no more than the last `most`."""
    if most == 1:  # those are the artifact's own
        return
    folder = uris.join(uri, _KEPT)
    uris.write_bytes(uris.join(folder, _kept_name(epoch)), pack_tensors(weights))
    for other in kept_epochs(uri):
        if most is not None and other <= epoch - most:
            uris.delete(uris.join(folder, _kept_name(other)))


def forget_epochs(uri: str) -> None:
    """Delete the weights that another training kept."""
    uris.delete(uris.join(uri, _KEPT))


def kept_epochs(uri: str) -> list[int]:
    """Return the epochs whose weights lie beside the artifact at `uri`."""
    names = uris.list_files(uris.join(uri, _KEPT))
    return sorted(int(match[1]) for name in names if (match := _KEPT_NAME.fullmatch(name)))


def read_optimizer_state(uri: str) -> dict[str, Tensor]:
    """Return the optimiser's state of an artifact."""
    return unpack_tensors(uris.read_bytes(uris.join(uri, _OPTIMIZER)))


def is_artifact(uri: str) -> bool:
    """Return whether a finished artifact lies at `uri`."""
    return uris.exists(uris.join(uri, CONFIG_FILE))


def artifact_identity(uri: str) -> Identity:
    """Return what the artifact at `uri` was made from."""
    with _config(uri) as config:
        return Identity(**config["identity"])


def read_metrics(uri: str) -> dict[str, Any]:
    """Return the epoch whose weights an artifact holds, and its losses."""
    with _config(uri) as config:
        return dict(config["metrics"])


def read_history(uri: str) -> list[dict[str, Any]]:
    """Return the epochs of an artifact's training."""
    return list(json.loads(uris.read_bytes(uris.join(uri, _HISTORY))))


def read_examples(uri: str) -> pa.Table:
    """Return a few spectrograms of an artifact's training beside their reconstructions."""
    with uris.open_file(uris.join(uri, _EXAMPLES)) as file:
        return pq.read_table(file)


@contextmanager
def _config(uri: str) -> Iterator[dict[str, Any]]:
    """Give the artifact's configuration; what is not in it as it should be is a `TableError`."""
    try:
        yield json.loads(uris.read_bytes(uris.join(uri, CONFIG_FILE)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(f"{uri}: {CONFIG_FILE} cannot be read: {error}") from error


def _kept_name(epoch: int) -> str:
    return f"epoch-{epoch:05d}.safetensors"
