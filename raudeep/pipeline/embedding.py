"""Embeddings: from spectrogram tables, or straight from audio with nothing stored in between.

``slice -> load (read a part, or decode and transform) -> encoder actors -> a part per readout``

Both ways yield the same rows: the slices are the same, and so are the kernels.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.config import Readout, SpectrogramConfig
from raudeep.errors import TableError
from raudeep.models.artifact import TrainedAutoencoder
from raudeep.pipeline.artifacts import artifact_identity, load_autoencoder
from raudeep.pipeline.progress import stage_progress
from raudeep.pipeline.runtime import Pool, stream
from raudeep.pipeline.spectrograms import (
    Shape,
    compute_slice,
    probe_shapes,
    spectrograms_identity,
    spectrograms_slices,
)
from raudeep.pipeline.stage import (
    StageSummary,
    embedding_rows,
    from_ipc,
    spectrogram_rows,
    spectrogram_values,
    to_ipc,
)
from raudeep.schema import ERRORS
from raudeep.storage.identity import Identity
from raudeep.storage.table import TableIndex, TableWriter, open_table, read_index, read_part

__all__ = ["Embedder", "check_input", "embed_corpus", "embed_tables"]

_SECONDS_PER_RECORDING = 0.03


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """An autoencoder and where its embeddings go."""

    name: str
    model: str
    """URI of the artifact."""
    outputs: Mapping[Readout, str]
    """URI of the table of each readout."""
    epoch: int | None = None
    """Epoch whose weights embed; those of the artifact without."""


def embed_tables(
    embedders: Sequence[Embedder], tables: Mapping[str, str], *, overwrite: bool = False
) -> list[StageSummary]:
    """Embed spectrogram tables: each part is read once for all readouts of a model.

    Parameters
    ----------
    embedders : sequence of Embedder
        The models and their outputs.
    tables : mapping of name to URI
        The spectrogram table of each embedder, by its name.
    overwrite : bool
        Replace tables that were made with another configuration.

    Returns
    -------
    list of StageSummary
        One for each output.

    Raises
    ------
    TableError
        If a table was made with other parameters than the model was trained on.
    """
    indices = {each.name: read_index(tables[each.name], stage="spectrograms") for each in embedders}
    for each in embedders:
        trained = load_autoencoder(each.model, epoch=each.epoch)
        check_input(trained, indices[each.name], model=each.model, table=tables[each.name])
    parts = {name: [part.name for part in index.parts] for name, index in indices.items()}

    def load(item: dict[str, Any]) -> dict[str, Any]:
        (name,) = item["embedders"]
        table = read_part(tables[name], parts[name][item["part"]])
        return {**item, "spectrograms": [to_ipc(table)], "errors": to_ipc(ERRORS.empty_table())}

    source = _Source(
        fingerprints={name: index.identity.fingerprint for name, index in indices.items()},
        rows={name: [part.rows for part in index.parts] for name, index in indices.items()},
        groups=[[each.name] for each in embedders],
        payload=lambda part: {},
        load=load,
    )
    return _embed(embedders, source, overwrite=overwrite)


def embed_corpus(
    manifest: pa.Table, embedders: Sequence[Embedder], *, overwrite: bool = False
) -> list[StageSummary]:
    """Embed a corpus straight from audio: each recording is decoded once for all models.

    Parameters
    ----------
    manifest : pa.Table
        The recordings, sorted by file.
    embedders : sequence of Embedder
        The models and their outputs.
    overwrite : bool
        Replace tables that were made with another configuration.

    Returns
    -------
    list of StageSummary
        One for each output.
    """
    views: dict[str, SpectrogramConfig] = {
        each.name: load_autoencoder(each.model, epoch=each.epoch).spectrogram for each in embedders
    }
    shapes: dict[str, Shape] = probe_shapes(manifest, views)
    bounds = spectrograms_slices(manifest.num_rows, views, shapes)

    def payload(part: int) -> dict[str, Any]:
        start, end = bounds[part]
        return {"recordings": to_ipc(manifest.slice(start, end - start))}

    def load(item: dict[str, Any]) -> dict[str, Any]:
        wanted = {name: views[name] for name in item["embedders"]}
        tables, errors = compute_slice(from_ipc(item["recordings"]), wanted, shapes)
        return {
            "part": item["part"],
            "embedders": item["embedders"],
            "spectrograms": [to_ipc(table) for table in tables.values()],
            "errors": to_ipc(errors),
        }

    source = _Source(
        fingerprints={
            name: spectrograms_identity(config, manifest).fingerprint
            for name, config in views.items()
        },
        rows={name: [end - start for start, end in bounds] for name in views},
        groups=[list(views)],
        payload=payload,
        load=load,
    )
    return _embed(embedders, source, overwrite=overwrite)


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where spectrograms come from, by name of the embedder."""

    fingerprints: Mapping[str, str]
    rows: Mapping[str, Sequence[int]]
    """Rows of each part, one entry per part."""
    groups: Sequence[Sequence[str]]
    """Embedders whose parts are loaded together."""
    payload: Callable[[int], dict[str, Any]]
    """What the loading of a part needs to be sent."""
    load: Callable[[dict[str, Any]], dict[str, Any]]


def _embed(
    embedders: Sequence[Embedder], source: _Source, *, overwrite: bool
) -> list[StageSummary]:
    started = time.perf_counter()
    writers: dict[str, dict[Readout, TableWriter]] = {}
    missing: dict[str, dict[Readout, list[int]]] = {}
    for each in embedders:
        model = artifact_identity(each.model).fingerprint
        writers[each.name], missing[each.name] = {}, {}
        keeps_time = load_autoencoder(each.model).model.keeps_time
        for readout, uri in each.outputs.items():
            config: dict[str, Any] = {"readout": readout, "model": model}
            if each.epoch is not None:
                config["epoch"] = each.epoch
            identity = Identity(
                # A vector for each frame is what a spectrogram is, and can be trained on again.
                "spectrograms" if keeps_time and readout == "state" else "embeddings",
                config,
                {"spectrograms": source.fingerprints[each.name]},
            )
            writer = open_table(uri, identity, overwrite=overwrite)
            writers[each.name][readout] = writer
            missing[each.name][readout] = writer.missing(len(source.rows[each.name]))
    items = []
    for group in source.groups:
        absent = {
            name: {part for parts in missing[name].values() for part in parts} for name in group
        }
        for part in sorted(set().union(*absent.values())):
            wanted = [name for name in group if part in absent[name]]
            items.append({"part": part, "embedders": wanted, **source.payload(part)})
    total = sum(source.rows[name][item["part"]] for item in items for name in item["embedders"])
    encoder = Pool(_Encoder, {"embedders": list(embedders), "writers": writers})
    with stage_progress("embeddings", unit="spectrograms", total=total) as progress:
        estimate = total * _SECONDS_PER_RECORDING
        for done in stream(items, [source.load, encoder], estimated_seconds=estimate):
            progress.advance(done["rows"])
    summaries = []
    for each in embedders:
        for readout, writer in writers[each.name].items():
            index = writer.commit(len(source.rows[each.name]))
            summaries.append(
                StageSummary(
                    stage="embeddings",
                    table=writer.uri,
                    seconds=time.perf_counter() - started,
                    parts=len(index.parts),
                    reused=len(index.parts) - len(missing[each.name][readout]),
                    rows=index.rows,
                    errors=index.num_errors,
                )
            )
    return summaries


class _Encoder:
    """An actor that holds the models and writes a part for each readout."""

    def __init__(
        self,
        embedders: Sequence[Embedder],
        writers: Mapping[str, Mapping[Readout, TableWriter]],
    ) -> None:
        from raudeep.models.inference import default_device

        self._models = {
            each.name: load_autoencoder(each.model, epoch=each.epoch).model.to(default_device())
            for each in embedders
        }
        self._writers = writers

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        from raudeep.models.batching import Spectrograms
        from raudeep.models.inference import embed_spectrograms

        errors = from_ipc(item["errors"])
        rows = 0
        for name, content in zip(item["embedders"], item["spectrograms"], strict=True):
            table = from_ipc(content)
            writers = self._writers[name]
            spectrograms = Spectrograms.from_numpy(*spectrogram_values(table, where=name))
            model = self._models[name]
            embeddings = embed_spectrograms(model, spectrograms, readouts=tuple(writers))
            for readout, writer in writers.items():
                values = embeddings[readout]
                if writer.identity.stage == "spectrograms":
                    made = _sequence_rows(table, values)
                else:
                    made = embedding_rows(table, values)
                writer.write(item["part"], made, errors)
            rows += table.num_rows
        return {"rows": rows}


def check_input(trained: TrainedAutoencoder, index: TableIndex, *, model: str, table: str) -> None:
    """Raise `TableError` unless a table was made as what an autoencoder was trained on."""
    for key in {**trained.input, **index.config}:
        found, wanted = index.config.get(key), trained.input.get(key)
        if found != wanted:
            raise TableError(
                f"{table} has {key}={found!r}, but {model} was trained with {key}={wanted!r}. "
                "Give it a table made like the one that it was trained on, or audio."
            )


def _sequence_rows(keys: pa.Table, values: NDArray[np.float32]) -> pa.Table:
    """Return a vector for each frame, (sum T, S), as rows of a spectrograms table."""
    lengths = keys["frames"].to_numpy()
    kind = keys.schema.field("spectrogram").type
    uniform = pa.types.is_fixed_size_list(kind) and len(lengths) > 0
    pieces = np.split(values, np.cumsum(lengths)[:-1]) if len(lengths) else []
    return spectrogram_rows(keys, pieces, (int(lengths[0]) if uniform else None, values.shape[1]))
