"""Reconstructions: what an autoencoder makes of each spectrogram, and how far off it is.

``spectrogram part -> decoder actors -> part of the reconstructions``
"""

import time
from typing import Any

import pyarrow as pa

from raudeep.errors import ConfigError
from raudeep.models.artifact import TrainedAutoencoder
from raudeep.pipeline.artifacts import artifact_identity, load_autoencoder
from raudeep.pipeline.recordings.embedding import check_input
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.runtime.streaming import Pool, stream
from raudeep.pipeline.stage import StageSummary, spectrogram_rows, spectrogram_values, with_rmse
from raudeep.storage.index import read_index
from raudeep.storage.labels import labels_of_parts
from raudeep.storage.opening import open_tables
from raudeep.storage.table import read_part
from raudeep.storage.writer import TableWriter

__all__ = ["reconstruct_table"]

_SECONDS_PER_SPECTROGRAM = 0.05


def reconstruct_table(
    table: str,
    model: str,
    output: str,
    *,
    epoch: int | None = None,
    free_running: bool = False,
    overwrite: bool = False,
) -> StageSummary:
    """Reconstruct the spectrograms of a table from their representation.

    The rows of the output are those of a spectrograms table, with `reconstruction_rmse`: the root
    of the mean squared error over the values of the chunk, in units of the input's [-1, 1]. Where
    it is large, the autoencoder knows nothing like this chunk.

    Parameters
    ----------
    table, model, output : str
        URIs of the spectrograms, the trained autoencoder and the reconstructions.
    epoch : int, optional
        Epoch whose weights are used; those of the artifact without.
    free_running : bool
        Decode from the representation alone; without, the decoder is fed the expected previous
        steps, as in training. Not for bidirectional decoders.
    overwrite : bool
        Replace a table that was made with another configuration.

    Raises
    ------
    TableError
        If the table was made with other parameters than the model was trained on.
    ConfigError
        If `free_running` is asked of a bidirectional decoder.
    """
    started = time.perf_counter()
    index = read_index(table, stage="spectrograms")
    trained = load_autoencoder(model, epoch=epoch)
    check_input(trained, index, model=model, table=table)
    _check_free_running(trained, free_running)
    config = {"model": artifact_identity(model).fingerprint, "free_running": free_running}
    if epoch is not None:
        config["epoch"] = epoch
    writer = TableWriter.growing(output, "reconstructions", config, {"spectrograms": index})
    (writer,) = open_tables([writer], overwrite=overwrite)
    missing = writer.missing(len(index.parts))
    items = [{"part": part, "name": index.parts[part].name} for part in missing]
    total = sum(index.parts[part].rows for part in missing)
    arguments = {
        "table": table,
        "model": model,
        "epoch": epoch,
        "free_running": free_running,
        "writer": writer,
    }
    estimate = total * _SECONDS_PER_SPECTROGRAM
    with stage_progress("reconstruction", unit="spectrograms", total=total) as progress:
        for done in stream(items, Pool(_Decoder, arguments), estimated_seconds=estimate):
            progress.advance(done["rows"])
    written = writer.commit(len(index.parts), labels=labels_of_parts(table, index))
    made = len(missing)
    return StageSummary.of_table("reconstruction", output, written, made=made, started=started)


class _Decoder:
    """An actor that holds the model and writes a part for each part of the input."""

    def __init__(
        self, *, table: str, model: str, epoch: int | None, free_running: bool, writer: TableWriter
    ) -> None:
        from raudeep.models.inference import default_device

        self._table, self._writer, self._free_running = table, writer, free_running
        self._model = load_autoencoder(model, epoch=epoch).model.to(default_device())

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        from raudeep.models.batching import Spectrograms
        from raudeep.models.inference import reconstruct_spectrograms

        rows = read_part(self._table, item["name"])
        spectrograms = Spectrograms.from_numpy(*spectrogram_values(rows, where=self._table))
        decoded, rmse = reconstruct_spectrograms(
            self._model, spectrograms, free_running=self._free_running
        )
        made = spectrogram_rows(rows, decoded, self._shape(rows.schema.field("spectrogram").type))
        self._writer.write(item["part"], with_rmse(made, rmse))
        return {"rows": rows.num_rows}

    def _shape(self, spectrograms: pa.DataType) -> tuple[int | None, int | None]:
        """Return the shape of all reconstructions of a table, also of its parts without rows.

        None where the type of the column says that they differ in it.
        """
        if not pa.types.is_fixed_size_list(spectrograms):
            return None, None
        return spectrograms.list_size // self._model.bands, self._model.reconstructed_bands


def _check_free_running(trained: TrainedAutoencoder, free_running: bool) -> None:
    if free_running and not trained.model.config.runs_freely:
        raise ConfigError(
            f"{trained.name!r} has a bidirectional decoder, which reads the expected steps from "
            "both ends and cannot run freely. Reconstruct without --free-running."
        )
