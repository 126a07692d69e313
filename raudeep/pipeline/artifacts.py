"""Trained autoencoders on storage: the artifact's files, its history, examples, kept epochs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from raudeep.errors import TableError
from raudeep.foreign import blamed, parse_json, typed
from raudeep.models.artifact import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    TrainedAutoencoder,
    load_artifact,
    pack_artifact,
    pack_tensors,
    unpack_tensors,
)
from raudeep.parquet import open_parquet, read_rows
from raudeep.storage import uri as uris
from raudeep.storage.claim import check_claim, claimed
from raudeep.storage.found import instead
from raudeep.storage.identity import Identity, package_versions
from raudeep.storage.outputs import Kind, check_folder, is_json, json_with

__all__ = [
    "AUTOENCODER",
    "CHECKPOINTS",
    "artifact_identity",
    "check_place",
    "delete_artifact",
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
    "write_events",
]

_HISTORY, _EXAMPLES, _OPTIMIZER = "history.json", "examples.parquet", "optimizer.safetensors"
_KEPT, _EVENTS = "checkpoints", "tensorboard"
_KEPT_NAME = re.compile(r"epoch-(\d{5,})\.safetensors")
_OWNER = "[0-9a-f]{16}"  # the fingerprint of what is trained
_OWN = {  # files of a training in the folders beside an artifact; those of others have other names
    _KEPT: re.compile(rf"({_OWNER}/)?epoch-\d{{5,}}\.safetensors"),
    _EVENTS: re.compile(rf"events\.out\.tfevents\..*\.{_OWNER}"),
}
_RUN = re.compile(rf"[^/]+-{_OWNER}/.+")
_CONFIG_KEYS = ("format_version", "identity")


def write_artifact(
    uri: str,
    trained: TrainedAutoencoder,
    *,
    history: Sequence[dict[str, Any]],
    examples: pa.Table,
    optimizer_state: Mapping[str, Tensor],
) -> None:
    """Write an autoencoder with its loss curve and a few reconstructions; the config comes last.

    With the state of the optimiser the training can be continued. What other trainings left there
    that never came to an artifact, kept epochs and events, is deleted.

    Raises
    ------
    TableError
        If a file that is not raudeep's has come there meanwhile under a name of the artifact's.
    """
    check_folder(uri, AUTOENCODER)
    owner = Identity(**trained.identity).fingerprint
    for place in _own_files(uri):
        if owner not in place.removeprefix(uri):
            uris.delete_file(place)
    uris.write_bytes(uris.join(uri, _OPTIMIZER), pack_tensors(optimizer_state))
    uris.write_bytes(uris.join(uri, _HISTORY), json.dumps(list(history), indent=1).encode())
    sink = pa.BufferOutputStream()
    pq.write_table(examples, sink, compression="zstd")
    uris.write_bytes(uris.join(uri, _EXAMPLES), bytes(sink.getvalue()))
    for name, content in pack_artifact(trained, versions=package_versions()).items():
        uris.write_bytes(uris.join(uri, name), content)


def delete_artifact(uri: str) -> None:
    """Delete an artifact, its config first, and nothing else that lies in its folder."""
    for name in (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE, _HISTORY, _EXAMPLES, _OPTIMIZER):
        uris.delete_file(uris.join(uri, name))
    for place in _own_files(uri):
        uris.delete_file(place)
        uris.delete_empty(place.rpartition("/")[0])
    for folder in _OWN:
        uris.delete_empty(uris.join(uri, folder))


def _own_files(uri: str) -> list[str]:
    """Return the kept epochs and the events of trainings beside an artifact."""
    return [
        uris.join(uri, folder, name)
        for folder, pattern in _OWN.items()
        for name in uris.list_files(uris.join(uri, folder))
        if pattern.fullmatch(name)
    ]


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

    try:
        final = load_artifact(read, where=uri)
    except TableError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise TableError(f"{error}{instead(uri, 'autoencoder')}") from error
        raise
    if epoch is None or epoch == final.metrics.get("epoch"):
        return final
    owner = artifact_identity(uri).fingerprint
    kept = kept_epochs(uri, owner)
    if epoch not in kept:
        have = ", ".join(map(str, sorted({*kept, read_metrics(uri)["epoch"]})))
        raise TableError(
            f"{uri} has no weights of epoch {epoch}; it has {have}. Train it in "
            "another place with a larger checkpoints_to_keep."
        )
    return load_artifact(read, where=uri, weights=f"{_KEPT}/{owner}/{_kept_name(epoch)}")


def write_events(uri: str, files: Mapping[str, bytes]) -> None:
    """Write TensorBoard's files beside an artifact; their names hold its fingerprint."""
    for name, content in files.items():
        uris.write_bytes(uris.join(uri, _EVENTS, name), content)


def keep_epoch(uri: str, owner: str, epoch: int, weights: Mapping[str, Tensor]) -> None:
    """Keep the weights of an epoch beside an artifact.

    `owner` is the fingerprint of what is trained: another training may have begun at this place.
    """
    uris.write_bytes(uris.join(uri, _KEPT, owner, _kept_name(epoch)), pack_tensors(weights))


def forget_epochs(uri: str, owner: str, *, up_to: int | None = None) -> None:
    """Delete kept weights of a training: those of all epochs, or of the early ones."""
    for epoch in kept_epochs(uri, owner):
        if up_to is None or epoch <= up_to:
            uris.delete_file(uris.join(uri, _KEPT, owner, _kept_name(epoch)))


def kept_epochs(uri: str, owner: str) -> list[int]:
    """Return the epochs of a training whose weights lie beside the artifact at `uri`."""
    names = uris.list_files(uris.join(uri, _KEPT, owner))
    return sorted(int(match[1]) for name in names if (match := _KEPT_NAME.fullmatch(name)))


def read_optimizer_state(uri: str) -> dict[str, Tensor]:
    """Return the optimiser's state of an artifact."""
    content = _read(uri, _OPTIMIZER)
    with blamed(_said(uri, _OPTIMIZER)):
        return unpack_tensors(content)


def is_artifact(uri: str) -> bool:
    """Return whether a finished artifact lies at `uri`; a file named like its own is none."""
    return is_json(uris.join(uri, CONFIG_FILE), *_CONFIG_KEYS)


def artifact_identity(uri: str) -> Identity:
    """Return what the artifact at `uri` was made from."""
    if not is_artifact(uri):
        is_missing = uris.file_size(uris.join(uri, CONFIG_FILE)) is None
        why = "missing" if is_missing else "is of something else"
        raise TableError(
            f"{uri} holds no finished autoencoder ({CONFIG_FILE} {why})."
            f"{instead(uri, 'autoencoder')}"
        )
    described: _Described = _read_json(uri, CONFIG_FILE, _Described)
    return described.identity


def check_place(uri: str, identity: Identity) -> None:
    """Raise `TableError` where the place of an autoencoder is, or is to be, of another one."""
    check_claim(uri, identity)
    if is_artifact(uri) and (stored := artifact_identity(uri)) != identity:
        raise TableError(stored.conflict(identity, place=uri))


def read_metrics(uri: str) -> dict[str, Any]:
    """Return the epoch whose weights an artifact holds, and its losses."""
    described: _Described = _read_json(uri, CONFIG_FILE, _Described)
    return asdict(described.metrics)


def read_history(uri: str) -> list[dict[str, Any]]:
    """Return the epochs of an artifact's training."""
    history: list[dict[str, Any]] = _read_json(uri, _HISTORY, list[dict[str, Any]])
    return history


def read_examples(uri: str) -> pa.Table:
    """Return a few spectrograms of an artifact's training beside their reconstructions."""
    content = _read(uri, _EXAMPLES)
    with blamed(_said(uri, _EXAMPLES)):
        return read_rows(open_parquet(pa.BufferReader(content)), len(content))


@dataclass(frozen=True)
class _Metrics:
    epoch: int
    loss: float
    validation_loss: float | None = None


@dataclass(frozen=True)
class _Described:
    """What is wanted of an artifact's configuration without its weights."""

    identity: Identity
    metrics: _Metrics


def _read_json(uri: str, name: str, form: Any) -> Any:
    return typed(form, parse_json(_read(uri, name), _said(uri, name)), _said(uri, name))


def _read(uri: str, name: str) -> bytes:
    """Return a file of an artifact; TableError if it cannot be read."""
    try:
        return uris.read_bytes(uris.join(uri, name))
    except OSError as error:
        raise TableError(f"{_said(uri, name)}: {error}") from error


def _said(uri: str, name: str) -> str:
    """Return how a message on a file of an artifact begins."""
    return f"{uri}: {name} cannot be read"


def _kept_name(epoch: int) -> str:
    return f"epoch-{epoch:05d}.safetensors"


def _is_begun(uri: str) -> bool:
    """Return whether a training that has no artifact yet has written to `uri`."""
    if (owner := claimed(uri)) and owner.stage == "autoencoder":
        return True
    return bool(_own_files(uri)) or _holds_checkpoints(uris.join(uri, "runs"))


def _holds_checkpoints(uri: str) -> bool:
    return any(_RUN.fullmatch(name) for name, _ in uris.walk_files(uri))


AUTOENCODER = Kind(
    "autoencoder",
    is_there=lambda uri: is_artifact(uri) or _is_begun(uri),
    files={
        CONFIG_FILE: json_with(*_CONFIG_KEYS),
        CARD_FILE: lambda content: b"library_name: raudeep" in content,
    },
)
CHECKPOINTS = Kind("checkpoints", is_there=_holds_checkpoints)
