"""Looking at a corpus or a table without computing anything."""

import difflib
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from multiprocessing.pool import ThreadPool
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from raudeep.audio.decode import Header, read_header
from raudeep.config import Readout
from raudeep.errors import ManifestError, RaudeepError, TableError
from raudeep.manifest import summarise
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.sources import describe_sources
from raudeep.recipe import FUSED
from raudeep.schema import PARTITIONS
from raudeep.storage import uri as uris
from raudeep.storage.found import find_below, is_benchmark
from raudeep.storage.index import is_table, read_index
from raudeep.storage.recordings import AUDIO, open_recording
from raudeep.storage.silence import read_silence
from raudeep.storage.table import read_errors, read_schema, read_table

__all__ = [
    "check_found",
    "inspect_corpus",
    "inspect_folds",
    "inspect_output",
    "inspect_path",
    "inspect_recording",
    "inspect_table",
]

_THREADS = 8
_GONE = "there is no file"
_VALUES = ("spectrogram", "embedding", "probabilities", AUDIO)


def inspect_path(uri: str, *, layout: str | None = None) -> dict[str, Any]:
    """Return facts about whatever lies at `uri`: a table, a model, a folder of these, a corpus."""
    uri = uris.absolute(uri)
    if is_table(uri):
        return inspect_table(uri)
    for weights, inspect in _TRAINED.items():
        if _is_there(uris.join(uri, weights)):
            return inspect(uri)
    if layout is None and is_benchmark(uri):
        return inspect_output(uri)
    try:
        return inspect_corpus(uri, layout=layout)
    except ManifestError:  # no corpus: what raudeep made may lie there
        if layout is None and (facts := inspect_output(uri)):
            return facts
        raise


def inspect_recording(uri: str, recording: str, *, layout: str | None = None) -> dict[str, Any]:
    """Return what a corpus or a table says of one recording, given by its `file`.

    Of a corpus also what the file's header says; of a table one entry for each row, without values.

    Raises
    ------
    TableError
        If there is no such recording; the message names the nearest.
    """
    uri = uris.absolute(uri)
    rows = _metadata(uri, layout)
    found = rows.filter(pc.equal(rows["file"], recording))
    if not found.num_rows:
        near = difflib.get_close_matches(recording, rows["file"].unique().to_pylist(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise TableError(f"{uri} has no recording {recording!r}.{hint}")
    if is_table(uri):
        return {"file": recording, "rows": found.drop_columns("file").to_pylist()}
    facts = found.to_pylist()[0]
    header = _header(facts["uri"])
    return {**facts, **(asdict(header) if isinstance(header, Header) else {"error": str(header)})}


def inspect_folds(uri: str, *, layout: str | None = None) -> dict[str, Any]:
    """Return for each fold, or each partition, how many rows of each class it holds.

    Folds are numbered from 0, as everywhere; each has counts and shares of its training and its
    validation rows.

    Raises
    ------
    TableError
        If there are neither folds nor partitions, or rows of different numbers of folds.
    """
    uri = uris.absolute(uri)
    rows = _metadata(uri, layout)
    labels = ["(none)" if label is None else label for label in rows["label"].to_pylist()]
    partitions = rows["partition"].to_pylist()
    folds = rows["folds"].to_pylist()
    counts = sorted({len(roles) for roles in folds if roles})
    if len(counts) > 1:
        raise TableError(
            f"{uri} has recordings of {' and of '.join(map(str, counts))} folds; make it anew."
        )
    facts: dict[str, Any] = {}
    for name in PARTITIONS:
        if name in partitions:
            facts[name] = _shares(labels, [partition == name for partition in partitions])
    for fold in range(counts[0] if counts else 0):
        for side, role in (("train", 0), ("valid", 1)):
            inside = [bool(roles) and roles[fold] == role for roles in folds]
            facts[f"fold {fold} {side}"] = _shares(labels, inside)
    if not facts:
        raise TableError(f"{uri} has neither folds nor partitions.")
    return facts


def _metadata(uri: str, layout: str | None) -> pa.Table:
    """Return the rows of a table without their values, or the manifest of a corpus."""
    if not is_table(uri):
        return load_manifest(uri, layout=layout, labelled=False)[0]
    columns = [name for name in read_schema(uri).names if name not in _VALUES]
    return read_table(uri, columns=columns)


def _shares(labels: list[str], inside: list[bool]) -> dict[str, str]:
    """Return count and share of each class among the rows that are inside."""
    counts = Counter(label for label, chosen in zip(labels, inside, strict=True) if chosen)
    total = sum(counts.values())
    return {
        label: f"{count} ({100 * count / total:.1f} %)" for label, count in sorted(counts.items())
    }


def inspect_corpus(uri: str, *, layout: str | None = None) -> dict[str, Any]:
    """Return counts, labels, folds, durations, sample rates and channels of a corpus.

    Nothing is decoded. Recordings whose header cannot be read are named with the reason.
    """
    manifest, found = load_manifest(uri, layout=layout, labelled=False)
    # Threads of this kind hold up no end of the process, whatever they wait for.
    with ThreadPool(_THREADS) as pool:
        headers = list(pool.imap(_header, manifest["uri"].to_pylist()))
    for name in ("duration", "sample_rate", "channels"):
        values = [
            getattr(header, name) if isinstance(header, Header) else None for header in headers
        ]
        index = manifest.schema.get_field_index(name)
        field = manifest.schema.field(name)
        manifest = manifest.set_column(index, field, pa.array(values, field.type))
    files = manifest["file"].to_pylist()
    unreadable = {
        file: str(header)
        for file, header in zip(files, headers, strict=True)
        if not isinstance(header, Header)
    }
    return {"corpus": uri, "layout": found, **summarise(manifest), "unreadable": unreadable}


def check_found(facts: Mapping[str, Any]) -> None:
    """Raise `ManifestError` if a corpus that was inspected names recordings that are not there."""
    unreadable = facts.get("unreadable", {}).items()
    gone = [(file, reason) for file, reason in unreadable if reason.startswith(_GONE)]
    if not gone:
        return
    file, reason = gone[0]
    where = " Paths are relative to the manifest." if facts["layout"] == "manifest" else ""
    raise ManifestError(
        f"{facts['corpus']}: {len(gone)} of {facts['recordings']} recordings are not found, e.g. "
        f"{file!r}: {reason}.{where}"
    )


def inspect_table(uri: str) -> dict[str, Any]:
    """Return what a table holds: stage, rows, parts, columns, configuration, errors, silence."""
    index = read_index(uri)
    schema = read_schema(uri) if index.parts else []
    return {
        "table": uri,
        "stage": index.stage,
        "rows": index.rows,
        "parts": len(index.parts),
        "bytes": sum(part.bytes for part in index.parts),
        "errors": read_errors(uri).select(["file", "message"]).to_pylist(),
        "silent": read_silence(uri).to_pylist(),
        "sample rates": index.sample_rates,
        "columns": {field.name: str(field.type) for field in schema},
        "config": index.config,
        "inputs": index.inputs,
        "versions": index.versions,
    }


def inspect_output(uri: str) -> dict[str, Any]:
    """Return which tables and models lie below a folder, and commands on them; empty if none do.

    Of the output of a benchmark also its recipe and its report.
    """
    names = uris.list_files(uri)
    found = find_below(uri, names)
    stages = [*found.tables.values(), *found.models.values()]
    below = {**found.tables, **found.models}
    listed = {
        kind: [name for name, each in below.items() if each == kind]
        for kind in dict.fromkeys(stages)
    }
    if not listed:
        return {}
    commands = _commands_on(uri, listed)
    if not is_benchmark(uri):
        return {"folder": uri, **listed, "commands": commands}
    report = {"report": uris.join(uri, "report.html")} if "report.html" in names else {}
    commands.append(f"raudeep report {shlex.quote(uri)}")
    return {"benchmark": uri, **report, **listed, "commands": commands}


def _commands_on(uri: str, listed: Mapping[str, list[str]]) -> list[str]:
    """Return commands on a table and a model of each kind below a folder: the fused, if any."""
    first = {
        kind: shlex.quote(uris.join(uri, min(names, key=lambda name: not name.endswith(FUSED))))
        for kind, names in listed.items()
    }
    commands = [f"raudeep inspect {place}" for place in [*first.values()][:1]]
    if model := first.get("autoencoder"):
        commands.append(f"raudeep embed AUDIO --model {model} --output EMBEDDINGS")
    if table := first.get("embeddings"):
        commands.append(f"raudeep evaluate svm {table} --output PREDICTIONS")
        commands.append(f"raudeep visualize {table} --output PICTURE.svg")
    if classifier := first.get("classifier"):
        commands.append(f"raudeep predict AUDIO --classifier {classifier} --output PREDICTIONS")
    return commands


def inspect_model(uri: str) -> dict[str, Any]:
    """Return what an autoencoder is: kind, size, input, training, and the epoch that it holds."""
    from raudeep.pipeline.artifacts import artifact_identity, load_autoencoder

    trained = load_autoencoder(uri)
    model = trained.model
    return {
        "model": uri,
        "name": trained.name,
        "fingerprint": artifact_identity(uri).fingerprint,  # by which tables name it
        "kind": model.config.kind,
        "bands": model.bands,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "embedding sizes": {
            readout: model.embedding_size(readout) for readout in get_args(Readout)
        },
        **trained.metrics,
        "autoencoder": asdict(model.config),
        "input": trained.input,
        "sample rates": list(trained.sample_rates),
        "training": asdict(trained.training),
        "inputs": trained.identity["inputs"],
    }


def inspect_classifier(uri: str) -> dict[str, Any]:
    """Return what a kept classifier is: its settings, classes and the embeddings that it takes."""
    from raudeep.pipeline.classification.classifiers import load_classifier

    trained = load_classifier(uri)
    return {
        "classifier": uri,
        "classes": trained.labels,
        "embedding size": trained.size,
        "embeddings": None if trained.sources is None else describe_sources(trained.sources),
        "config": trained.identity.config,
        "inputs": trained.identity.inputs,
    }


_TRAINED = {"model.safetensors": inspect_model, "classifier.safetensors": inspect_classifier}


def _is_there(uri: str) -> bool:
    try:
        return uris.exists(uri)
    except (OSError, TableError):  # a key that reads a corpus may read nothing beside it
        return False


def _header(uri: str) -> Header | Exception:
    """Return what the header of a recording says, or why it cannot be read."""
    try:
        with open_recording(uri) as file:
            return read_header(file)
    except FileNotFoundError:
        return FileNotFoundError(f"{_GONE} {uri}")
    except (OSError, ValueError, RaudeepError) as error:
        return error
