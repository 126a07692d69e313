"""Which tables an embedding writes: of a model and readout, of several, or what becomes of these.

Also what embeds new recordings as those of a table were embedded.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pyarrow as pa

from raudeep.config import ChunkConfig, Readout, SpectrogramConfig, check_readouts
from raudeep.errors import ConfigError, TableError
from raudeep.models.artifact import TrainedAutoencoder
from raudeep.pipeline.artifacts import artifact_identity, load_autoencoder
from raudeep.pipeline.recordings.sources import Source, describe_sources
from raudeep.recipe import FUSED
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import TableIndex
from raudeep.storage.opening import holds_table, open_tables
from raudeep.storage.outputs import Kind
from raudeep.storage.writer import TableWriter

__all__ = [
    "EMBEDDINGS",
    "Embedder",
    "Piece",
    "Target",
    "chunks_like",
    "embedders_like",
    "embedding_targets",
    "input_views",
    "load_models",
    "open_targets",
]

_READOUT = f"({'|'.join(get_args(Readout))})(/[^/]+)?"
_TABLES = re.compile(rf"{_READOUT}|epoch-\d+(/{_READOUT})?")

EMBEDDINGS = Kind("embeddings", is_there=lambda uri: holds_table(uri, _TABLES))
"""The folder of the tables of several models, readouts or epochs."""

Piece = tuple[str, Readout]
"""An embedder by its name, and which of its embeddings."""


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """An autoencoder and where its embeddings go."""

    name: str
    model: str
    """URI of the artifact."""
    outputs: Mapping[Readout, str] = field(default_factory=dict)
    """URI of the table of each readout."""
    epoch: int | None = None
    """Epoch whose weights embed; those of the artifact without."""
    reconstruction_rmse: bool = False
    """Decode as well, and add a column of how far off the reconstruction of each row is."""

    def __post_init__(self) -> None:
        check_readouts(self.outputs)
        if self.reconstruction_rmse and not self.outputs:
            raise ConfigError(
                f"reconstruction_rmse of {self.name!r} is a column of its outputs. Got none."
            )
        # Workers may have other working directories.
        outputs = {readout: uris.absolute(uri) for readout, uri in self.outputs.items()}
        object.__setattr__(self, "model", uris.absolute(self.model))
        object.__setattr__(self, "outputs", outputs)


@dataclass(frozen=True)
class Target:
    """A table that is to be written: embeddings side by side, or what becomes of them."""

    pieces: tuple[Piece, ...]
    writer: TableWriter
    finish: Callable[[pa.Table], pa.Table] | None = None
    """Turns embedding rows into rows of this table; None writes them unchanged."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the embedders."""
        return tuple(dict.fromkeys(name for name, _ in self.pieces))

    @property
    def keeps_time(self) -> bool:
        """Whether its rows hold a vector for each frame."""
        return self.writer.identity.stage == "spectrograms"

    @property
    def has_rmse(self) -> bool:
        """Whether its rows say how far off their reconstruction is."""
        return bool(self.writer.identity.config.get("reconstruction_rmse"))


def load_models(embedders: Sequence[Embedder]) -> dict[str, TrainedAutoencoder]:
    """Return the model of each embedder, by its name."""
    return {each.name: load_autoencoder(each.model, epoch=each.epoch) for each in embedders}


def input_views(
    trained: Mapping[str, TrainedAutoencoder], chunks: ChunkConfig
) -> dict[str, SpectrogramConfig]:
    """Return how audio becomes the input of each model.

    Raises
    ------
    ConfigError
        If no chunk holds a window of one of them.
    TableError
        If a model does not say how.
    """
    views = {name: model.spectrogram for name, model in trained.items()}
    views = {
        name: replace(
            view,
            channels=chunks.channels or view.channels,
            sample_rate=chunks.sample_rate or view.sample_rate,
        )
        for name, view in views.items()
    }
    for name, view in views.items():
        if chunks.chunk_seconds is not None and chunks.chunk_seconds < view.window_seconds:
            raise ConfigError(
                f"chunk_seconds must be at least a window of the model {name!r}, which is "
                f"{view.window_seconds:g} s. Got {chunks.chunk_seconds:g}."
            )
    return views


def embedding_targets(
    embedders: Sequence[Embedder],
    trained: Mapping[str, TrainedAutoencoder],
    *,
    fused: Mapping[Readout, str] | None = None,
    chunks: ChunkConfig | None = None,
    sources: Mapping[str, TableIndex] | None = None,
) -> dict[str, Target]:
    """Return the tables that are to be written, of which none has been opened yet.

    `sources` are the indices of the spectrogram tables that each embedder reads in place of audio.

    Raises
    ------
    ConfigError
        If two embedders have one name, or one that of the vectors of all; `fused` names no readout;
        or reconstructions are to be measured where an embedding keeps the frames.
    """
    names = tuple(each.name for each in embedders)
    taken = [*names, *([FUSED] if fused else [])]
    if repeated := sorted({name for name in taken if taken.count(name) > 1}):
        raise ConfigError(
            f"each embedder needs a name of its own, other than {FUSED!r} where all are fused. "
            f"Got {', '.join(map(repr, repeated))} more than once."
        )
    check_readouts(fused or ())
    settings = _cut(chunks or ChunkConfig())
    targets: dict[str, Target] = {}
    for each in embedders:
        for readout, uri in each.outputs.items():
            # A vector for each frame is what a spectrogram is, and can be trained on again.
            sequences = trained[each.name].model.config.keeps_time and readout == "state"
            if sequences and each.reconstruction_rmse:
                raise ConfigError(
                    f"the 'state' of {each.name!r} is a table of spectrograms, which has no column "
                    "reconstruction_rmse; `raudeep reconstruct` says how far off each is."
                )
            config = _config(each, readout) | settings
            if each.reconstruction_rmse:
                config["reconstruction_rmse"] = True
            stage = "spectrograms" if sequences else "embeddings"
            if sources is None:
                writer = TableWriter(uri, Identity(stage, config))
            else:
                source = {"spectrograms": sources[each.name]}
                writer = TableWriter.growing(uri, stage, config, source)
            targets[f"{readout}/{each.name}"] = Target(((each.name, readout),), writer)
    for readout, uri in (fused or {}).items():
        pieces = [_config(each, readout) | settings for each in embedders]
        identity = Identity("embeddings", {"fused": list(names), "pieces": pieces} | settings)
        taken_from = tuple((name, readout) for name in names)
        targets[f"{readout}/{FUSED}"] = Target(taken_from, TableWriter(uri, identity))
    return targets


def open_targets(targets: Mapping[str, Target], *, overwrite: bool = False) -> dict[str, Target]:
    """Return the targets with their places made ready: see `open_tables`."""
    writers = open_tables([target.writer for target in targets.values()], overwrite=overwrite)
    pairs = zip(targets.items(), writers, strict=True)
    return {name: replace(target, writer=writer) for (name, target), writer in pairs}


def embedders_like(
    sources: Sequence[Source], places: Mapping[str, str]
) -> tuple[list[Embedder], tuple[Piece, ...]]:
    """Return what embeds as `sources` did, none of them of joined chunks: embedders and pieces.

    `places` are the URIs of the models by their fingerprint.
    """
    embedders: dict[tuple[str, int | None], Embedder] = {}
    pieces = []
    for source in sources:
        model, epoch = places[source["model"]], source.get("epoch")
        name = f"model {len(embedders)}"
        embedder = embedders.setdefault(
            (model, epoch), Embedder(name=name, model=model, epoch=epoch)
        )
        pieces.append((embedder.name, source["readout"]))
    return list(embedders.values()), tuple(pieces)


def chunks_like(sources: Sequence[Source]) -> ChunkConfig:
    """Return how `sources` cut recordings.

    Raises
    ------
    TableError
        If they do in different ways.
    """
    found = {
        ChunkConfig(
            chunk_seconds=source.get("chunk_seconds"),
            chunk_hop_seconds=source.get("chunk_hop_seconds"),
            channels=source.get("channels"),
            sample_rate=source.get("sample_rate"),
            salvage=bool(source.get("salvage")),
        )
        for source in sources
    }
    if len(found) > 1:
        raise TableError(
            f"audio is embedded in one kind of chunks. Got {describe_sources(sources)}. Make such "
            "a table of it: embed it in each kind, and fuse."
        )
    return found.pop()


def _config(embedder: Embedder, readout: Readout) -> dict[str, Any]:
    config: dict[str, Any] = {
        "readout": readout,
        "model": artifact_identity(embedder.model).fingerprint,
    }
    if embedder.epoch is not None:
        config["epoch"] = embedder.epoch
    return config


def _cut(chunks: ChunkConfig) -> dict[str, Any]:
    cut: dict[str, Any] = {
        "chunk_seconds": chunks.chunk_seconds,
        "chunk_hop_seconds": chunks.hop_seconds,
        "channels": chunks.channels,
        "sample_rate": chunks.sample_rate,
        "salvage": chunks.salvage or None,
    }
    return {name: value for name, value in cut.items() if value is not None}
