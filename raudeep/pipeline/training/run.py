"""What is trained: a run, and the job of a worker that trains it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from raudeep.config import ArchitectureConfig, Tracker, TrainingConfig, settled
from raudeep.errors import ConfigError
from raudeep.pipeline.artifacts import artifact_identity
from raudeep.pipeline.training.objective import Objective
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import read_index

__all__ = ["Run", "WorkerJob"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One autoencoder to train."""

    name: str
    spectrograms: tuple[str, ...]
    """URIs of the spectrogram tables to train on, all with the same bands."""
    output: str
    """URI of the artifact's folder."""
    model: ArchitectureConfig
    training: TrainingConfig
    continue_from: str | None = None
    """URI of the artifact whose training is continued for `training.num_epochs` more epochs."""

    def __post_init__(self) -> None:
        if isinstance(self.spectrograms, str) or not self.spectrograms:
            raise ConfigError(
                f"the 'spectrograms' of run {self.name!r} must be a tuple of one table or more. "
                f"Got {self.spectrograms!r}."
            )
        # Workers have working directories of their own.
        object.__setattr__(self, "spectrograms", tuple(map(uris.absolute, self.spectrograms)))
        object.__setattr__(self, "output", uris.absolute(self.output))
        if self.continue_from is not None:
            object.__setattr__(self, "continue_from", uris.absolute(self.continue_from))

    def identity(self) -> Identity:
        """Return what the artifact is made from."""
        tables = [read_index(uri, stage="spectrograms") for uri in self.spectrograms]
        config = {
            "kind": self.model.kind,
            "autoencoder": asdict(self.model),
            "training": asdict(self.training),
        }
        # Of what is trained; so a run that a limit killed goes on under another one.
        config = settled(config)
        inputs = {f"spectrograms{i}": table.fingerprint for i, table in enumerate(tables)}
        if self.continue_from is not None:
            inputs["continued"] = artifact_identity(self.continue_from).fingerprint
        return Identity("autoencoder", config, inputs)


@dataclass(frozen=True)
class WorkerJob:
    """What trains a run: sent to a worker of Ray Train, or used in this process."""

    run: Run
    identity: Identity
    threads: int
    tell: Callable[[dict[str, Any]], None]
    """Takes each finished epoch, as a dict with the run's name."""
    checkpoints: str
    """URI of the folder that holds the checkpoints of the run."""
    tracker: Tracker | None = None
    objective: Objective | None = None
    """What a sweep ranks by; taken after its epochs and the last one."""
    save_seconds: float = 5.0
    """Seconds between two checkpoints, at the least."""
