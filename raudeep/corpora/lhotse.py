"""Manifests of lhotse: recordings with supervisions, or cuts, as JSON lines.

What a label is no manifest says: the field ``label``, ``audio_event`` or ``text`` of a supervision,
the first that it has, or the one that is named as ``lhotse:FIELD``. Audio may lie anywhere. The
lines are read here: lhotse itself can run commands that a manifest names.
Format: https://lhotse.readthedocs.io/en/latest/corpus.html.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from raudeep.corpora.tree import LayoutMismatch, Tree
from raudeep.foreign import gunzip, parse_json
from raudeep.manifest import Recording

__all__ = ["read_lhotse"]

_MANIFEST = re.compile(r"(?:.*[/_.-])?(?:recordings|supervisions|cuts)(?:[_.-].*)?\.jsonl(?:\.gz)?")
_FIELDS = ("label", "audio_event", "text")
_PARTITION = re.compile(r"[_.-](train|dev|devel|valid|validation|eval|test)(?=[_.-])")
_PARTITIONS = {"train": "train", "eval": "test", "test": "test"}  # the others are devel
_CUTS = ("MonoCut", "MultiCut", "Cut")

_Item = Mapping[str, Any]


@dataclass
class _Found:
    """What the manifests of a folder say."""

    recordings: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """By their id, where each lies and its partition."""
    supervisions: dict[str, list[_Item]] = field(default_factory=dict)
    """By the id of the recording."""

    def add(self, item: Any, partition: str | None) -> None:
        """Take a line of a manifest: a recording, a cut or a supervision."""
        if not isinstance(item, dict):
            raise LayoutMismatch(f"a line must be an object. Got {item!r:.80}")
        if "sources" in item:
            self._add_recording(item, partition)
        elif item.get("type") in _CUTS:
            recording = _member(item, "recording", dict)
            if (item.get("start"), item.get("duration")) != (0, recording.get("duration")):
                raise LayoutMismatch(f"cut {item.get('id')!r} is a part of its recording")
            self._add_recording(recording, partition)
            for supervision in _member(item, "supervisions", list):
                if not isinstance(supervision, dict):
                    raise LayoutMismatch(f"cut {item.get('id')!r} has strange supervisions")
                self.supervisions.setdefault(recording["id"], []).append(supervision)
        elif "type" in item:
            raise LayoutMismatch(f"a line of type {item['type']!r:.80} is no whole recording")
        else:
            self.supervisions.setdefault(_member(item, "recording_id", str), []).append(item)

    def _add_recording(self, item: _Item, partition: str | None) -> None:
        """Take a recording, or the partition of one that is known."""
        name, place = _member(item, "id", str), _place(item)
        known = self.recordings[name][1] if name in self.recordings else None
        if known and partition and known != partition:
            raise LayoutMismatch(
                f"recording {name!r} has 2 partitions: {sorted((known, partition))}"
            )
        if partition or not known:
            self.recordings[name] = place, partition


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
    found = _Found()
    for name in names:
        match = _PARTITION.search(posixpath.basename(name))
        partition = _PARTITIONS.get(match[1], "devel") if match else None
        for item in _items(tree, name):
            try:
                found.add(item, partition)
            except LayoutMismatch as error:
                raise LayoutMismatch(f"{name}: {error}") from error
    if not found.recordings:
        raise LayoutMismatch(f"{', '.join(names)}: no recordings")
    return [
        tree.recording(
            place.removeprefix(f"{tree.root.rstrip('/')}/"),
            label=_label(name, found.supervisions.get(name, []), field),
            partition=partition,
        )
        for name, (place, partition) in found.recordings.items()
    ]


def _items(tree: Tree, name: str) -> Iterator[Any]:
    content = tree.read(name)
    if name.endswith(".gz"):
        content = gunzip(content, name, LayoutMismatch)
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            yield parse_json(line, f"line {number} of {name}", LayoutMismatch)


def _member(item: _Item, name: str, kind: type[Any]) -> Any:
    """Return a member of an object, which must be there and of a kind."""
    if not isinstance(found := item.get(name), kind):
        words = {"dict": "an object", "list": "a list", "str": "a text"}
        raise LayoutMismatch(f"{name!r} must be {words[kind.__name__]}. Got {found!r:.80}")
    return found


def _place(recording: _Item) -> str:
    """Return the path or URI of a recording, which must be one file."""
    sources = _member(recording, "sources", list)
    kinds = [each.get("type") if isinstance(each, dict) else None for each in sources]
    if len(sources) != 1 or kinds[0] not in ("file", "url"):
        raise LayoutMismatch(
            f"recording {recording.get('id')!r} must be one file; it has {len(sources)} sources "
            f"of type {', '.join(sorted({str(kind) for kind in kinds}))}"
        )
    return str(_member(sources[0], "source", str))


def _label(recording: str, supervisions: list[_Item], field: str | None) -> str | None:
    labels = set[str]()
    for each in supervisions:
        custom = each.get("custom")
        values = {**each, **(custom if isinstance(custom, dict) else {})}
        names = (field,) if field else _FIELDS
        present = [str(values[name]) for name in names if values.get(name) is not None]
        labels.update(present[:1])
    if len(labels) > 1:
        raise LayoutMismatch(f"recording {recording!r} has {len(labels)} labels: {sorted(labels)}")
    return labels.pop() if labels else None
