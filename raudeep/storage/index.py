"""The files of a table: their names, and the index that lists them, which is written last.

A folder without an index is no table, or one that is not finished. Rows lie in the table's folder,
everything else in one folder below it, which readers of Parquet skip: so the table's folder is a
folder of Parquet for all of them. Earlier versions put all files into the table's folder. Such a
table is read as it lies; whoever is to write to it moves its files first.
"""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from raudeep.errors import TableError
from raudeep.foreign import parse_json, typed
from raudeep.schema import SCHEMA_VERSION
from raudeep.storage import uri as uris
from raudeep.storage.identity import LABELS_INPUT, Identity

__all__ = [
    "CLAIM",
    "FOLDER",
    "INDEX",
    "Part",
    "Silent",
    "TableFiles",
    "TableIndex",
    "errors_name",
    "file_kind",
    "indexed_stage",
    "is_damaged_index",
    "is_table",
    "move_files",
    "part_name",
    "plan_name",
    "read_index",
    "table_files",
    "table_folders",
]

FOLDER = "__raudeep__"
"""Below the folder of a table, of what is not its rows."""
INDEX = f"{FOLDER}/index.json"
CLAIM = f"{FOLDER}/claim.json"
"""Says whose the folder is; see `raudeep.storage.claim`."""
_INDEX_BEFORE = "index.json"
_NUMBERED = re.compile(r"(part|errors|plan)-(\d{5,})\.parquet")
# Not ".parquet": patterns as "**/*.parquet" are to find rows only.
_NUMBERED_BELOW = re.compile(rf"{FOLDER}/(errors|plan)-(\d{{5,}})\.pq")


@dataclass(frozen=True)
class TableFiles:
    """Which files of a table are there: their names below its folder, by their number."""

    parts: dict[int, str]
    errors: dict[int, str]
    plans: dict[int, str]
    index: str | None
    claim: str | None
    """What says whose the place is; not one of the table's `names`."""
    others: tuple[str, ...]
    """What is there a second time, since `move_files` was killed."""

    @property
    def names(self) -> list[str]:
        """All of them, the index first: without it, a table is unfinished."""
        numbered = [*self.parts.values(), *self.errors.values(), *self.plans.values()]
        return [*([self.index] if self.index else []), *sorted([*numbered, *self.others])]


@dataclass(frozen=True)
class Silent:
    """How many rows hold no sound, and recordings none in any row, by the channel that has one."""

    rows: dict[str, int]
    recordings: dict[str, int]


@dataclass(frozen=True)
class Part:
    """One Parquet file of a table."""

    name: str
    rows: int
    bytes: int
    silent: Silent | None = None
    """What of it holds no sound; None where there is nothing, or nothing says it."""


@dataclass(frozen=True, kw_only=True)
class TableIndex:
    """The content of the index."""

    schema_version: int
    stage: str
    config: dict[str, Any]
    inputs: dict[str, str]
    fingerprint: str
    versions: dict[str, str]
    parts: list[Part]
    errors: list[Part]
    recordings: list[str] = field(default_factory=list)
    """What stands for the recordings of each file of its plan, where it has one."""
    sample_rates: list[int] = field(default_factory=list)
    """Of the spectrograms that it holds or is made of, in Hz, where it is made of recordings."""
    earlier: list[str] = field(default_factory=list)
    """Fingerprints that it had before it grew, the oldest first; all parts of then are there."""

    labels: str | None = None
    """What stands for labels, partitions and folds, where the fingerprint does not."""

    @property
    def identity(self) -> Identity:
        """What the table is made from."""
        return Identity(self.stage, self.config, self.inputs)

    @property
    def labelled(self) -> dict[str, str]:
        """The inputs of what is made of its labels, besides its fingerprint."""
        return {} if self.labels is None else {LABELS_INPUT: self.labels}

    @property
    def rows(self) -> int:
        """Number of rows in all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def num_errors(self) -> int:
        """Number of inputs that could not be used."""
        return sum(part.rows for part in self.errors)


def read_index(uri: str, *, stage: str | None = None) -> TableIndex:
    """Return the index of a finished table.

    Raises
    ------
    TableError
        If there is no table, it is unfinished, of another schema version, or not of `stage`.
    """
    try:
        content = _read_bytes(uri)
    except (FileNotFoundError, NotADirectoryError) as error:
        names = uris.list_files(uri)
        if table_files(names).parts:
            said = f"{uri} is unfinished. Run the same command again (no {INDEX})."
            raise TableError(said) from error
        from raudeep.storage.found import instead  # which reads indices itself

        said = f"{uri} holds no table (no {INDEX}).{instead(uri, stage or 'table', names)}"
        raise TableError(said) from error
    except OSError as error:
        raise TableError(f"{uri}: {INDEX} cannot be read: {error}") from error
    try:
        said = parse_json(content, f"{uri}: {INDEX} cannot be read")
    except TableError as error:
        way = "The command that made the table makes it again of the parts."
        raise TableError(f"{error}. {way}") from error
    if isinstance(said, dict) and said.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise TableError(
            f"{uri} has schema version {said['schema_version']!r:.80}; this raudeep reads version "
            f"{SCHEMA_VERSION}. Make the table again."
        )
    index: TableIndex = typed(TableIndex, said, f"{uri}: {INDEX} is not that of a table")
    for kind, listed in (("part", index.parts), ("errors", index.errors)):
        for part in listed:
            # Nothing that an index names lies outside of the table.
            named = _numbered(part.name)
            if named is None or named[1] != kind or min(part.rows, part.bytes) < 0:
                raise TableError(f"{uri}: {INDEX} is not that of a table: it lists {part}.")
    if stage is not None and index.stage != stage:
        from raudeep.storage.found import step

        said = f"{uri} is a table of {index.stage}; a table of {stage} is needed."
        raise TableError(f"{said}{step(uri, index.stage, stage)}")
    return index


def is_table(uri: str) -> bool:
    """Return whether a finished table lies at `uri`; OSError if nobody can tell."""
    return indexed_stage(uri) is not None


def indexed_stage(uri: str) -> str | None:
    """Return the stage of a finished table, of any schema version."""
    try:
        return _stage_of(_read_bytes(uri))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def is_damaged_index(uri: str) -> bool:
    """Return whether there is half an index, or an empty one, as a power cut leaves it."""
    try:
        content = _read_bytes(uri)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise TableError(f"{uri}: {INDEX} cannot be read: {error}") from error
    try:
        parse_json(content, INDEX)
    except TableError:
        return True
    return False


def table_files(present: Iterable[str]) -> TableFiles:
    """Return which of some files, named from the folder of a table on, are files of the table."""
    numbered: dict[str, dict[int, str]] = {"part": {}, "errors": {}, "plan": {}}
    others: list[str] = []
    index = owner = None
    for name in sorted(present, key=lambda name: (name.startswith(f"{FOLDER}/"), name)):
        if name in (_INDEX_BEFORE, INDEX):
            index = name
        elif name == CLAIM:
            owner = name
        elif _numbered(name):
            kind, number = file_kind(name)
            others += [numbered[kind][number]] if number in numbered[kind] else []
            numbered[kind][number] = name
    parts, errors, plans = (dict(sorted(files.items())) for files in numbered.values())
    return TableFiles(parts, errors, plans, index, owner, tuple(others))


def table_folders(names: Iterable[str]) -> list[str]:
    """Return the folders of tables among files, sorted; ``""`` where one lies at the top."""
    names = set(names)
    found = {name.removesuffix(INDEX) for name in names if f"/{name}".endswith(f"/{INDEX}")}
    for name in names:  # of an earlier version
        folder, _, last = name.rpartition("/")
        folder = f"{folder}/" if folder else ""
        if last == _INDEX_BEFORE and f"{folder}{part_name(0)}" in names:
            found.add(folder)
    return sorted(folder.rstrip("/") for folder in found)


def file_kind(name: str) -> tuple[str, int]:
    """Return what a file of a table holds (``part``, ``errors`` or ``plan``), and its number.

    Raises
    ------
    TableError
        If a table has no files of such a name.
    """
    if match := _numbered(name):
        return match[1], int(match[2])
    raise TableError(f"{name!r} is no name of a file of a table.")


def move_files(uri: str) -> None:
    """Move the files of a table to where they belong, if an earlier version wrote it.

    All are copied before the first is deleted, and the index counts that lies where it belongs: at
    each moment the table is whole.
    """
    present = set(uris.list_files(uri))
    moves = {name: new for name in present if (new := _belongs(name)) != name}
    for name in sorted(moves, key=lambda name: name == _INDEX_BEFORE):
        with suppress(FileNotFoundError):  # another process has moved it
            content = uris.read_bytes(uris.join(uri, name))
            if name == _INDEX_BEFORE and _stage_of(content) is None:  # of somebody else
                del moves[name]
            elif moves[name] not in present:
                content = _with_moved_errors(content) if name == _INDEX_BEFORE else content
                uris.write_bytes(uris.join(uri, moves[name]), content)
    for name in sorted(moves, key=lambda name: name != _INDEX_BEFORE):
        uris.delete_file(uris.join(uri, name))


def part_name(part: int) -> str:
    """Return the name of the part of a slice."""
    return f"part-{part:05d}.parquet"


def errors_name(part: int) -> str:
    """Return the name of the errors of a slice."""
    return f"{FOLDER}/errors-{part:05d}.pq"


def plan_name(number: int) -> str:
    """Return the name of a file of a plan."""
    return f"{FOLDER}/plan-{number:05d}.pq"


def _numbered(name: str) -> re.Match[str] | None:
    return _NUMBERED.fullmatch(name) or _NUMBERED_BELOW.fullmatch(name)


def _read_bytes(uri: str) -> bytes:
    """Return the content of the index of a table."""
    try:
        return uris.read_bytes(uris.join(uri, INDEX))
    except (FileNotFoundError, PermissionError):  # S3 denies what is not there, without a listing
        return uris.read_bytes(uris.join(uri, _INDEX_BEFORE))


def _stage_of(content: bytes) -> str | None:
    """Return the stage that an index names; None if it is not the index of a table."""
    try:
        index = parse_json(content, INDEX)
    except TableError:
        return None
    if not isinstance(index, dict) or not {"schema_version", "stage", "parts"} <= index.keys():
        return None
    return str(index["stage"])


def _belongs(name: str) -> str:
    """Return where a file of a table belongs; any other name as it is."""
    if name == _INDEX_BEFORE:
        return INDEX
    if not _numbered(name):
        return name
    kind, number = file_kind(name)
    return {"part": part_name, "errors": errors_name, "plan": plan_name}[kind](number)


def _with_moved_errors(content: bytes) -> bytes:
    """Return an index whose errors lie where they belong."""
    index = json.loads(content)
    typed(list[Part], index.get("errors"), f"the errors of {_INDEX_BEFORE}")
    for part in index["errors"]:
        part["name"] = _belongs(part["name"])
    return json.dumps(index, indent=1, sort_keys=True).encode()
