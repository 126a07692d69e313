"""The index of a table: what its parts are, and what they are made of; written last.

A folder without one is no table, or one that is not finished.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from raudeep.errors import TableError
from raudeep.schema import SCHEMA_VERSION
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity

__all__ = [
    "INDEX",
    "Part",
    "TableIndex",
    "errors_name",
    "files_of_table",
    "indexed_stage",
    "is_table",
    "part_name",
    "read_index",
]

INDEX = "index.json"
_PART_NAME = re.compile(r"(part|errors|plan)-\d{5,}\.parquet")


@dataclass(frozen=True)
class Part:
    """One Parquet file of a table."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class TableIndex:
    """The content of ``index.json``."""

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

    @property
    def identity(self) -> Identity:
        """What the table is made from."""
        return Identity(self.stage, self.config, self.inputs)

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
        content = json.loads(uris.read_bytes(uris.join(uri, INDEX)))
    except FileNotFoundError as error:
        unfinished = any(name.startswith("part-") for name in uris.list_files(uri))
        reason = "is unfinished. Run the same command again" if unfinished else "holds no table"
        raise TableError(f"{uri} {reason} (no {INDEX}).") from error
    except (OSError, ValueError) as error:
        raise TableError(f"{uri}: {INDEX} cannot be read: {error}") from error
    try:
        if content["schema_version"] != SCHEMA_VERSION:
            raise TableError(
                f"{uri} has schema version {content['schema_version']!r}; this raudeep reads "
                f"version {SCHEMA_VERSION}. Make the table again."
            )
        for key in ("parts", "errors"):
            content[key] = [Part(**part) for part in content[key]]
        index = TableIndex(**content)
    except (AttributeError, KeyError, TypeError) as error:
        raise TableError(f"{uri}: {INDEX} is not that of a table ({error!r}).") from error
    if stage is not None and index.stage != stage:
        raise TableError(f"{uri} is a table of {index.stage}; a table of {stage} is needed.")
    return index


def is_table(uri: str) -> bool:
    """Return whether a finished table lies at `uri`; OSError if nobody can tell."""
    return indexed_stage(uri) is not None


def indexed_stage(uri: str) -> str | None:
    """Return the stage of a finished table, of any schema version."""
    try:
        content = json.loads(uris.read_bytes(uris.join(uri, INDEX)))
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError):
        return None
    if not isinstance(content, dict) or not {"schema_version", "stage", "parts"} <= content.keys():
        return None
    return str(content["stage"])


def files_of_table(present: Iterable[str]) -> list[str]:
    """Return which of some files are of a table, the index first: without it, it is unfinished."""
    names = [name for name in present if name == INDEX or _PART_NAME.fullmatch(name)]
    return sorted(names, key=lambda name: (name != INDEX, name))


def part_name(part: int) -> str:
    """Return the name of the part of a slice."""
    return f"part-{part:05d}.parquet"


def errors_name(part: int) -> str:
    """Return the name of the errors of a slice."""
    return f"errors-{part:05d}.parquet"
