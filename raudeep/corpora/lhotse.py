"""Manifests of lhotse: recordings with supervisions, or cuts, as JSON lines.

What a label is no manifest says: the field ``label``, ``audio_event`` or ``text`` of a supervision,
the first that it has, or the one that is named as ``lhotse:FIELD``. Audio may lie anywhere.
Format: https://lhotse.readthedocs.io/en/latest/corpus.html.
"""

import gzip
import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any

from raudeep.corpora.tree import LayoutMismatch, Tree
from raudeep.manifest import Recording

__all__ = ["read_lhotse"]

_MANIFEST = re.compile(r"(?:.*[/_.-])?(?:recordings|supervisions|cuts)(?:[_.-].*)?\.jsonl(?:\.gz)?")
_FIELDS = ("label", "audio_event", "text")
_PARTITION = re.compile(r"[_.-](train|dev|devel|valid|validation|eval|test)(?=[_.-])")
_PARTITIONS = {"train": "train", "eval": "test", "test": "test"}  # the others are devel


def read_lhotse(tree: Tree, field: str | None = None) -> list[Recording]:
    """Return the recordings of all manifests in a folder, with labels and partitions.

    A partition is what stands in a manifest's name, as in ``corpus_recordings_train.jsonl.gz``;
    one without adds what the others do not have.

    Parameters
    ----------
    tree : Tree
        The folder; relative paths in the manifests start there.
    field : str, optional
        The field of the supervisions, or of their ``custom`` fields, that is the label.

    Raises
    ------
    LayoutMismatch
        If there are no such manifests, they cannot be read, or a recording has several labels,
        partitions or files, or is only a part of its file.
    """
    names = sorted(name for name in tree.files if _MANIFEST.fullmatch(name))
    if not names:
        raise LayoutMismatch("no recordings.jsonl or cuts.jsonl, nor with .gz")
    found: dict[str, tuple[Any, str | None]] = {}
    supervisions: dict[str, list[Any]] = {}
    for name in names:
        match = _PARTITION.search(posixpath.basename(name))
        partition = _PARTITIONS.get(match[1], "devel") if match else None
        for item in _items(tree, name):
            if hasattr(item, "sources"):
                _add(found, item, partition)
            elif hasattr(item, "supervisions"):
                recording = item.recording
                if (item.start, item.duration) != (0, recording.duration):
                    raise LayoutMismatch(f"{name}: cut {item.id!r} is a part of its recording")
                _add(found, recording, partition)
                supervisions.setdefault(recording.id, []).extend(item.supervisions)
            else:
                supervisions.setdefault(item.recording_id, []).append(item)
    if not found:
        raise LayoutMismatch(f"{', '.join(names)}: no recordings")
    return [
        tree.recording(
            _file(tree, recording),
            label=_label(recording.id, supervisions.get(recording.id, []), field),
            partition=partition,
        )
        for recording, partition in found.values()
    ]


def _items(tree: Tree, name: str) -> Iterator[Any]:
    try:
        from lhotse.serialization import deserialize_item
    except ImportError as error:
        raise LayoutMismatch("it needs pip install 'raudeep[lhotse]'") from error
    content = tree.read(name)
    try:
        text = gzip.decompress(content) if name.endswith(".gz") else content
        for line in text.splitlines():
            if line.strip():
                yield deserialize_item(json.loads(line))
    except Exception as error:  # whatever a damaged file leads to in there
        raise LayoutMismatch(f"{name}: {type(error).__name__}: {error}") from error


def _add(found: dict[str, tuple[Any, str | None]], recording: Any, partition: str | None) -> None:
    """Add a recording, or its partition; one that is known stays."""
    known = found[recording.id][1] if recording.id in found else None
    if known and partition and known != partition:
        raise LayoutMismatch(
            f"recording {recording.id!r} has 2 partitions: {sorted((known, partition))}"
        )
    if partition or not known:
        found[recording.id] = recording, partition


def _file(tree: Tree, recording: Any) -> str:
    """Return the path of a recording, relative to the tree where it lies in there."""
    kinds = {source.type for source in recording.sources}
    if len(recording.sources) != 1 or not kinds <= {"file", "url"}:
        raise LayoutMismatch(
            f"recording {recording.id!r} must be one file; it has {len(recording.sources)} sources "
            f"of type {', '.join(sorted(kinds))}"
        )
    return str(recording.sources[0].source).removeprefix(f"{tree.root.rstrip('/')}/")


def _label(recording: str, supervisions: list[Any], field: str | None) -> str | None:
    labels = set[str]()
    for each in supervisions:
        values = {**each.to_dict(), **(each.custom or {})}
        names = (field,) if field else _FIELDS
        present = [str(values[name]) for name in names if values.get(name) is not None]
        labels.update(present[:1])
    if len(labels) > 1:
        raise LayoutMismatch(f"recording {recording!r} has {len(labels)} labels: {sorted(labels)}")
    return labels.pop() if labels else None
