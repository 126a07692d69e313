"""What a Ray Train worker does: read the tables, train, report each epoch, write the artifact."""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.tensorboard import SummaryWriter

from raudeep.config import AutoencoderConfig, SpectrogramConfig, TrainingConfig, build
from raudeep.models.artifact import TrainedAutoencoder
from raudeep.models.autoencoder import TimeAutoencoder
from raudeep.models.fitting import EpochResult, Fit, split_by_recording
from raudeep.models.inference import default_device, reconstruct_spectrograms
from raudeep.pipeline.artifacts import write_artifact
from raudeep.pipeline.stage import spectrogram_array
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.table import iterate_parts, read_index

__all__ = ["Run", "WorkerJob", "train_worker"]

_NUM_EXAMPLES = 3
_STATE = "state.pt"
_METADATA = ["file", "chunk", "label"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One autoencoder to train."""

    name: str
    spectrograms: tuple[str, ...]
    """URIs of the spectrogram tables to train on, all of one shape."""
    output: str
    """URI of the artifact's folder."""
    model: AutoencoderConfig
    training: TrainingConfig

    def identity(self) -> Identity:
        """Return what the artifact is made from."""
        tables = [read_index(uri, stage="spectrograms") for uri in self.spectrograms]
        config = {"autoencoder": asdict(self.model), "training": asdict(self.training)}
        inputs = {f"spectrograms{i}": table.identity.fingerprint for i, table in enumerate(tables)}
        return Identity("autoencoder", config, inputs)


@dataclass(frozen=True)
class WorkerJob:
    """What a worker is sent."""

    run: Run
    identity: Identity
    threads: int
    board: Any
    """Handle of the actor that takes finished epochs."""


def train_worker(loop_config: dict[str, Any]) -> None:
    """Train one autoencoder, on one of its data-parallel workers."""
    import ray.train

    job: WorkerJob = loop_config["job"]
    run = job.run
    torch.set_num_threads(job.threads)
    metadata, values = _load(run.spectrograms)
    rows, held_out = split_by_recording(
        metadata["file"].to_pylist(),
        fraction=run.training.validation_fraction,
        seed=run.training.seed,
    )
    device = default_device()
    spectrograms = _place(values, rows, device)
    validation = _place(values, held_out, device) if len(held_out) else None

    torch.manual_seed(run.training.seed)
    model = TimeAutoencoder(values.shape[2], run.model).to(device)
    fit = Fit(model, run.training)
    history: list[dict[str, Any]] = []
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / _STATE, map_location=device, weights_only=True)
        fit.restore(state)
        history = json.loads(state["history"])
        if fit.rank == 0:
            job.board.put.remote({"name": run.name, **history[-1]})

    examples = values[:: max(1, len(values) // _NUM_EXAMPLES)][:_NUM_EXAMPLES]
    with tempfile.TemporaryDirectory() as logs:
        writer = SummaryWriter(logs) if fit.rank == 0 else None
        for epoch in range(len(history) + 1, run.training.num_epochs + 1):
            result = fit.run_epoch(epoch, spectrograms, validation)
            history.append(asdict(result))
            metrics = {"epoch": epoch, "loss": result.loss}
            if writer is None:
                ray.train.report(metrics)
                continue
            last = epoch == run.training.num_epochs
            _log(writer, result, model, examples, pictures=last or epoch % 8 == 1)
            _upload(logs, uris.join(run.output, "tensorboard"))
            with tempfile.TemporaryDirectory() as folder:
                state = {**fit.state(), "history": json.dumps(history)}
                torch.save(state, Path(folder) / _STATE)
                checkpoint = ray.train.Checkpoint.from_directory(folder)
                ray.train.report(metrics, checkpoint=checkpoint)
            job.board.put.remote({"name": run.name, **history[-1]})
        if writer is not None:
            writer.close()
    if fit.rank == 0:
        _write(job, model, history, metadata, values)


def _load(tables: tuple[str, ...]) -> tuple[pa.Table, np.ndarray[Any, Any]]:
    """Return the keys and the spectrograms (N, T, F) of all tables."""
    metadata, values = [], []
    for uri in tables:
        for _, part in iterate_parts(uri):
            if part.num_rows:
                metadata.append(part.select(_METADATA).replace_schema_metadata())
                values.append(spectrogram_array(part, where=uri))
    return pa.concat_tables(metadata), np.concatenate(values)


def _place(values: np.ndarray[Any, Any], rows: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return the wanted rows on the device: a corpus that fits stays there for all epochs."""
    chosen = torch.from_numpy(values)
    return (chosen if len(rows) == len(values) else chosen[rows]).to(device)


def _log(
    writer: SummaryWriter,
    result: EpochResult,
    model: TimeAutoencoder,
    examples: np.ndarray[Any, Any],
    *,
    pictures: bool,
) -> None:
    """Write TensorBoard events: losses, and at times the representation and reconstructions."""
    writer.add_scalar("loss/train", result.loss, result.epoch)
    if result.validation_loss is not None:
        writer.add_scalar("loss/validation", result.validation_loss, result.epoch)
    writer.add_scalar("chunks_per_second", result.chunks_per_second, result.epoch)
    if pictures:
        model.eval()
        device = next(model.parameters()).device
        with torch.inference_mode():
            state, _ = model.encode(torch.tensor(examples, device=device))
        writer.add_scalar("representation/mean", float(state.mean()), result.epoch)
        writer.add_scalar("representation/std", float(state.std()), result.epoch)
        writer.add_histogram("representation", state.flatten().cpu().numpy(), result.epoch)
        pairs = zip(examples, reconstruct_spectrograms(model, examples), strict=True)
        for index, pair in enumerate(pairs):
            picture = np.concatenate(pair, axis=0).T[::-1]  # target left, reconstruction right
            writer.add_image(f"example/{index}", (picture[np.newaxis] + 1) / 2, result.epoch)
    writer.flush()


def _upload(folder: str, uri: str) -> None:
    for path in Path(folder).iterdir():
        uris.write_bytes(uris.join(uri, path.name), path.read_bytes())


def _write(
    job: WorkerJob,
    model: TimeAutoencoder,
    history: list[dict[str, Any]],
    metadata: pa.Table,
    values: np.ndarray[Any, Any],
) -> None:
    config = read_index(job.run.spectrograms[0]).config
    last = history[-1]
    trained = TrainedAutoencoder(
        name=job.run.name,
        model=model,
        spectrogram=build(SpectrogramConfig, config, where=job.run.spectrograms[0]),
        training=job.run.training,
        identity=asdict(job.identity),
        metrics={
            "chunks": len(values),
            "epochs": last["epoch"],
            "loss": last["loss"],
            "validation_loss": last["validation_loss"],
        },
    )
    step = max(1, len(values) // _NUM_EXAMPLES)
    rows = list(range(0, len(values), step))[:_NUM_EXAMPLES]
    reconstructed = reconstruct_spectrograms(model, values[rows])
    examples = metadata.take(rows)
    columns = {
        "frames": pa.array([values.shape[1]] * len(rows), pa.int32()),
        "bands": pa.array([values.shape[2]] * len(rows), pa.int32()),
        "spectrogram": pa.array(list(values[rows].reshape(len(rows), -1))),
        "reconstruction": pa.array(list(reconstructed.reshape(len(rows), -1))),
    }
    for name, column in columns.items():
        examples = examples.append_column(name, column)
    write_artifact(job.run.output, trained, history=history, examples=examples)
