"""What the processes that embed do: hold the models, embed in batches, write parts of tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raudeep.audio.framing import Silence
from raudeep.config import Readout
from raudeep.errors import AudioError, TableError
from raudeep.evaluation.fusion import are_cut_alike
from raudeep.pipeline.artifacts import load_autoencoder
from raudeep.pipeline.recordings.decoding import Views
from raudeep.pipeline.recordings.slice_worker import Taken, taken_of
from raudeep.pipeline.recordings.slices import key_rows
from raudeep.pipeline.recordings.targets import Embedder, Target
from raudeep.pipeline.stage import (
    embedding_rows,
    spectrogram_rows,
    spectrogram_values,
    with_rmse,
)
from raudeep.schema import ERRORS, with_sample_rates
from raudeep.storage.silence import with_silence
from raudeep.storage.table import read_part

if TYPE_CHECKING:
    from raudeep.models.autoencoder import Autoencoder

__all__ = ["EmbeddingCollector", "TableEncoder"]

Floats = NDArray[np.float32]
_NOT_FINITE = "holds NaN or infinite values"


class _Models:
    """The models of a process, on its device."""

    def __init__(self, embedders: Sequence[Embedder]) -> None:
        from raudeep.models.inference import default_batch_size, default_device

        device = default_device()
        self.batch_size = default_batch_size(device)
        self._models: dict[str, Autoencoder] = {
            each.name: load_autoencoder(each.model, epoch=each.epoch).model.to(device)
            for each in embedders
        }

    def bands(self, name: str) -> int:
        return self._models[name].bands

    def embed(
        self, name: str, frames: Floats, lengths: NDArray[np.int64], targets: Sequence[Target]
    ) -> tuple[dict[Readout, list[Floats]], Sequence[float]]:
        """Return what tables want of each spectrogram.

        For each readout what is embedded, (E,) or (T, S), and how far off the reconstructions are;
        nothing where no table has them.
        """
        from raudeep.models.batching import Spectrograms
        from raudeep.models.inference import embed_spectrograms, measure_reconstructions

        model, spectrograms = self._models[name], Spectrograms.from_numpy(frames, lengths)
        pieces = [piece for target in targets for piece in target.pieces]
        readouts = tuple(dict.fromkeys(readout for owner, readout in pieces if owner == name))
        found = embed_spectrograms(model, spectrograms, readouts=readouts)
        measured = any(target.has_rmse for target in targets)
        rmse = measure_reconstructions(model, spectrograms).tolist() if measured else []
        ends = np.cumsum(lengths)
        vectors = {
            readout: np.split(values, ends)[: len(lengths)]
            if model.config.keeps_time and readout == "state"
            else list(values)
            for readout, values in found.items()
        }
        return vectors, rmse

    def rows(
        self,
        target: Target,
        keys: pa.Table,
        vectors: Sequence[Sequence[Floats]],
        rmse: Sequence[float],
    ) -> pa.Table:
        """Return the rows of a table: what was embedded for each of the target's pieces."""
        sizes = [self._models[name].embedding_size(readout) for name, readout in target.pieces]
        if target.keeps_time:
            return _sequence_rows(keys, vectors[0], sizes[0])
        columns = [
            np.array(column, np.float32).reshape(-1, size)
            for column, size in zip(vectors, sizes, strict=True)
        ]
        joined = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
        rows = embedding_rows(keys, joined)
        if target.has_rmse:
            rows = with_rmse(rows, np.array(rmse, np.float32))
        return rows if target.finish is None else target.finish(rows)


@dataclass
class _Embedded:
    """The chunks of a recording in one model: where each lies, and its vectors by readout."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    silence: list[Silence | None] = field(default_factory=list)
    sample_rates: set[int] = field(default_factory=set)
    vectors: dict[Readout, list[Floats]] = field(default_factory=dict)
    rmse: list[float] = field(default_factory=list)

    @property
    def is_finite(self) -> bool:
        """Whether all that was embedded is a number."""
        vectors = [vector for found in self.vectors.values() for vector in found]
        values = [*vectors, np.array(self.rmse, np.float32)]
        return all(bool(np.isfinite(each).all()) for each in values)


class EmbeddingCollector:
    """Embeds the spectrograms of a slice batch by batch, as the processes that decode give them."""

    def __init__(self, embedders: Sequence[Embedder], targets: Mapping[str, Target]) -> None:
        self._models = _Models(embedders)
        self._all_targets = targets
        self.begin(list(targets))

    def begin(self, targets: Sequence[str]) -> None:
        """Start a slice, of which the parts of these tables are wanted."""
        self._targets = [self._all_targets[name] for name in targets]
        names = dict.fromkeys(name for target in self._targets for name in target.sources)
        self._done: dict[str, dict[int, _Embedded]] = {name: {} for name in names}
        self._waiting: dict[str, list[tuple[int, Floats]]] = {name: [] for name in names}

    def add(self, number: int, piece: Views) -> Taken:
        """Take the spectrograms of a recording, or of one chunk of it."""
        for name, waiting in self._waiting.items():
            done = self._done[name].setdefault(number, _Embedded())
            for spectrogram in piece[name]:
                bands = spectrogram.values.shape[1]
                if bands != self._models.bands(name):
                    raise AudioError(
                        f"gives {bands} bands; {name!r} takes {self._models.bands(name)}. "
                        "Extract with n_mels or sample_rate before training."
                    )
                done.spans.append((spectrogram.start, spectrogram.end))
                done.silence.append(spectrogram.silence)
                done.sample_rates.add(spectrogram.sample_rate)
                waiting.append((number, spectrogram.values))
            if len(waiting) >= self._models.batch_size:
                self._embed(name)
        return taken_of(piece)

    def drop(self, number: int) -> None:
        """Forget a recording that turned out to be bad."""
        for name, done in self._done.items():
            done.pop(number, None)
            self._waiting[name] = [each for each in self._waiting[name] if each[0] != number]

    def flush(self) -> None:
        """Embed what waits for its batch to be full."""
        for name in self._waiting:
            self._embed(name)

    def unusable(self) -> Mapping[int, AudioError]:
        """Embed what waits, and return the recordings of which a vector is not finite."""
        self.flush()
        return {
            number: AudioError(f"its embedding by {name!r} {_NOT_FINITE}")
            for name, done in self._done.items()
            for number, each in done.items()
            if not each.is_finite
        }

    def write(self, part: int, recordings: pa.Table, errors: pa.Table) -> None:
        """Write the parts of the slice."""
        for target in self._targets:
            done = [each for name in target.sources for each in self._done[name].values()]
            rates = set().union(*(each.sample_rates for each in done))
            rows = with_sample_rates(self._rows(target, recordings), rates)
            target.writer.write(part, with_silence(rows, self._silence(target)), errors)

    def _silence(self, target: Target) -> list[Silence | None]:
        """Return for each row of a table where there is a sound if no model was given one."""
        given = [
            [silence for done in self._done[name].values() for silence in done.silence]
            for name in target.sources
        ]
        return [None if None in each else each[0] for each in zip(*given, strict=True)]

    def _embed(self, name: str) -> None:
        waiting, self._waiting[name] = self._waiting[name], []
        if not waiting:
            return
        lengths = np.array([len(values) for _, values in waiting], np.int64)
        frames = np.concatenate([values for _, values in waiting])
        wanted = [target for target in self._targets if name in target.sources]
        found, rmse = self._models.embed(name, frames, lengths, wanted)
        for readout, vectors in found.items():
            for (number, _), vector in zip(waiting, vectors, strict=True):
                done = self._done[name][number]
                # A copy: a view would keep the whole batch.
                done.vectors.setdefault(readout, []).append(vector.copy())
        for (number, _), error in zip(waiting, rmse, strict=False):  # or none at all
            self._done[name][number].rmse.append(error)

    def _rows(self, target: Target, recordings: pa.Table) -> pa.Table:
        first, *others = target.sources
        spans = {number: done.spans for number, done in self._done[first].items()}
        for name in others:
            found = self._done[name]
            if found.keys() != spans.keys() or not all(
                are_cut_alike(spans[number], done.spans) for number, done in found.items()
            ):
                raise TableError(
                    f"{name!r} cuts recordings into other chunks than {first!r}, so "
                    "their vectors cannot be fused. Pass --chunk-seconds."
                )
        keys = key_rows(recordings, spans)
        columns = [
            [
                vector
                for done in self._done[name].values()
                for vector in done.vectors.get(readout, [])
            ]
            for name, readout in target.pieces
        ]
        rmse = [error for done in self._done[first].values() for error in done.rmse]
        return self._models.rows(target, keys, columns, rmse)


class TableEncoder:
    """Embeds the parts of spectrogram tables."""

    def __init__(self, embedders: Sequence[Embedder], targets: Mapping[str, Target]) -> None:
        self._models = _Models(embedders)
        self._targets = targets

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Embed a part, for the tables that want it."""
        name = item["embedder"]
        table = read_part(item["table"], item["name"])
        frames, lengths = spectrogram_values(table, where=item["table"])
        targets = [self._targets[each] for each in item["targets"]]
        found, rmse = self._models.embed(name, frames, lengths, targets)
        table, found, rmse, errors = _finite_alone(table, found, rmse, name)
        for target in targets:
            vectors = [found[readout] for _, readout in target.pieces]
            rows = self._models.rows(target, table, vectors, rmse)
            target.writer.write(item["part"], rows, errors)
        return {"rows": item["rows"]}


def _finite_alone(
    keys: pa.Table, found: dict[Readout, list[Floats]], rmse: Sequence[float], name: str
) -> tuple[pa.Table, dict[Readout, list[Floats]], Sequence[float], pa.Table]:
    """Return rows and their vectors without recordings of which one is not finite, and these."""
    finite = np.ones(keys.num_rows, dtype=bool)
    for vectors in found.values():
        finite &= np.array([np.isfinite(vector).all() for vector in vectors], dtype=bool)
    if len(rmse):
        finite &= np.isfinite(rmse)
    lost = keys["file"].filter(pa.array(~finite)).unique()
    reason = f"its embedding by {name!r} {_NOT_FINITE}"
    errors = [
        {"file": file, "stage": "embedding", "error": AudioError.__name__, "message": reason}
        for file in lost.to_pylist()
    ]
    if errors:
        finite = pc.invert(pc.is_in(keys["file"], value_set=lost)).to_numpy()
        rows = np.flatnonzero(finite).tolist()
        keys = keys.take(pa.array(rows, pa.int64()))
        found = {readout: [each[row] for row in rows] for readout, each in found.items()}
        rmse = [rmse[row] for row in rows] if len(rmse) else rmse
    return keys, found, rmse, pa.Table.from_pylist(errors, schema=ERRORS)


def _sequence_rows(keys: pa.Table, vectors: Sequence[Floats], size: int) -> pa.Table:
    """Return sequences of vectors, each (T, S), as rows of a spectrograms table.

    Their length is not of the type, even if all of a part have the same: other parts may differ.
    """
    return spectrogram_rows(keys, vectors, (None, size))
