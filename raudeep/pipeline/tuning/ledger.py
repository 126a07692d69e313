"""What a sweep leaves on storage, and its ledger: a JSON file for each trial.

Below the output: ``sweep.json`` (what is searched), ``manifest/``, ``trials/ID.json``,
``spectrograms/FINGERPRINT/``, ``models/ID/``, ``runs/`` (checkpoints of trials that are not done),
``results.json``,
``ranking.csv``, ``best.toml`` and the pictures.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field

from raudeep.errors import TableError
from raudeep.foreign import parse_json, typed
from raudeep.pipeline.artifacts import delete_artifact
from raudeep.pipeline.corpus import holds_demo_corpus
from raudeep.storage import uri as uris
from raudeep.storage.claim import claim
from raudeep.storage.identity import Identity
from raudeep.storage.outputs import Kind, is_json, json_with
from raudeep.sweep.records import DONE, TrialRecord
from raudeep.sweep.space import Point

__all__ = ["PICTURES", "SWEEP", "Ledger", "SweepLayout", "open_ledger"]

PICTURES = ("history.svg", "parallel.svg", "importance.svg")
"""Names of the pictures: trials in their order, their fields, what decides."""
_SWEEP, _RESULTS, _RANKING, _BEST = "sweep.json", "results.json", "ranking.csv", "best.toml"


@dataclass(frozen=True)
class SweepLayout:
    """Where things lie below the output of a sweep."""

    output: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", uris.absolute(self.output))

    def below(self, *names: str) -> str:
        """URI of something below the output."""
        return uris.join(self.output, *names)

    @property
    def checkpoints(self) -> str:
        """URI of the folder of the training runs' checkpoints."""
        return self.below("runs")

    @property
    def manifest(self) -> str:
        """URI of the manifest of the corpus, with the folds of the final evaluation."""
        return self.below("manifest")

    @property
    def results(self) -> str:
        """URI of the machine-readable results."""
        return self.below(_RESULTS)

    @property
    def ranking(self) -> str:
        """URI of the ranking."""
        return self.below(_RANKING)

    @property
    def best(self) -> str:
        """URI of the recipe of the best trial."""
        return self.below(_BEST)

    def spectrograms(self, fingerprint: str) -> str:
        """URI of the table that trials of one spectrogram configuration share."""
        return self.below("spectrograms", fingerprint)

    def model(self, trial: str) -> str:
        """URI of the artifact of a trial that finished."""
        return self.below("models", trial)


@dataclass
class Ledger:
    """The trials of a sweep."""

    places: SweepLayout
    identity: Identity
    """Of the sweep."""
    records: dict[str, TrialRecord] = field(default_factory=dict)

    def add(self, trial: str, point: Point) -> TrialRecord:
        """Return a new record."""
        number = 1 + max((record.number for record in self.records.values()), default=0)
        self.records[trial] = TrialRecord(id=trial, number=number, point=point)
        return self.records[trial]

    def save(self, record: TrialRecord) -> None:
        """Write a record; `TableError` where another sweep has taken the place."""
        claim(self.places.output, self.identity, name=_SWEEP)
        content = json.dumps(record.to_dict(), indent=1)
        uris.write_bytes(self.places.below("trials", f"{record.id}.json"), content.encode())

    def done(self) -> list[TrialRecord]:
        """Return the trials that are not run again, in the order of their starts."""
        return [record for record in self._ordered() if record.status in DONE]

    def open(self) -> list[TrialRecord]:
        """Return the trials that were interrupted or failed, in the order of their starts."""
        return [record for record in self._ordered() if record.status not in DONE]

    def delete_checkpoints(self) -> None:
        """Delete those of the trials that are done, of which none goes on."""
        _delete_checkpoints(self.places, {record.id for record in self.done()})

    def _ordered(self) -> list[TrialRecord]:
        return sorted(self.records.values(), key=lambda record: record.number)


def open_ledger(places: SweepLayout, identity: Identity, *, overwrite: bool = False) -> Ledger:
    """Return the ledger of a sweep, new or begun.

    Raises
    ------
    TableError
        If the output holds another sweep (the message names the field that differs); with
        `overwrite` its trials and what came of them are deleted instead.
    """
    place = places.below(_SWEEP)
    stored = None
    try:
        content = uris.read_bytes(place)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise TableError(f"{place} cannot be read: {error}") from error
    else:
        said = f"{place} cannot be read"
        stored = typed(_Described, parse_json(content, said), said).identity
    if stored is not None and stored != identity:
        if not overwrite:
            raise TableError(stored.conflict(identity, place=places.output))
        _delete(places)
        claim(places.output, identity, name=_SWEEP, overwrite=True)
        _delete(places)  # what a run has written that had the claim until now
    claim(places.output, identity, name=_SWEEP)
    return Ledger(places, identity, _read_records(places))


def _delete(places: SweepLayout) -> None:
    """Delete the trials of a sweep and what came of them, and no other file beside them."""
    trials = _read_records(places)
    _delete_checkpoints(places, trials)
    for trial in trials:
        delete_artifact(places.model(trial))
        uris.delete_empty(places.model(trial))
        uris.delete_file(places.below("trials", f"{trial}.json"))
    for folder in ("trials", "models"):
        uris.delete_empty(places.below(folder))
    for name in SWEEP.files:
        if name != _SWEEP:
            uris.delete_file(places.below(name))


def _delete_checkpoints(places: SweepLayout, trials: Collection[str]) -> None:
    runs = {name.partition("/")[0] for name in uris.list_files(places.checkpoints)}
    for run in runs:
        if run.rpartition("-")[0] in trials:
            uris.delete(uris.join(places.checkpoints, run))
    uris.delete_empty(places.checkpoints)


def _read_records(places: SweepLayout) -> dict[str, TrialRecord]:
    records = {}
    for name in uris.list_files(places.below("trials")):
        if name.startswith(".") or not name.endswith(".json"):
            continue  # a temporary file of a killed run
        place = places.below("trials", name)
        said = f"{place} cannot be read. Delete it"
        try:
            content = uris.read_bytes(place)
        except OSError as error:
            raise TableError(f"{said}: {error}") from error
        record: TrialRecord = typed(TrialRecord, parse_json(content, said), said)
        typed(list[_Epoch], record.history, said)
        # What trials are called becomes places below the output.
        if f"{record.id}.json" != name:
            raise TableError(f"{said}: it is of a trial {record.id!r:.80}.")
        records[record.id] = record
    return records


def _is_picture(content: bytes) -> bool:
    return b"<style>:root{--ink:" in content


SWEEP = Kind(
    "sweep",
    is_there=lambda uri: is_json(uris.join(uri, _SWEEP), "identity") or holds_demo_corpus(uri),
    files={
        _SWEEP: json_with("identity"),
        _RESULTS: json_with("ranking", "fields"),
        _RANKING: lambda content: content.startswith(b"rank,trial,"),
        _BEST: lambda content: content.startswith(b"# The best trial "),
        **dict.fromkeys(PICTURES, _is_picture),
    },
)


@dataclass(frozen=True)
class _Described:
    """What the description of a sweep says."""

    identity: Identity


@dataclass(frozen=True)
class _Epoch:
    """What is wanted of an epoch in the record of a trial."""

    epoch: int
    objective: float
