"""Looking at a corpus or a table without computing anything."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from raudeep.audio.decode import Header, read_header
from raudeep.errors import RaudeepError
from raudeep.manifest import summarise
from raudeep.pipeline.corpus import load_manifest
from raudeep.storage import uri as uris
from raudeep.storage.table import is_table, read_errors, read_index, read_part

__all__ = ["inspect_corpus", "inspect_path", "inspect_table"]

_THREADS = 8


def inspect_path(uri: str, *, layout: str | None = None) -> dict[str, Any]:
    """Return facts about whatever lies at `uri`: a table of raudeep or a corpus."""
    uri = uris.absolute(uri)
    return inspect_table(uri) if is_table(uri) else inspect_corpus(uri, layout=layout)


def inspect_corpus(uri: str, *, layout: str | None = None) -> dict[str, Any]:
    """Return counts, labels, folds, durations, sample rates and channels of a corpus.

    Nothing is decoded. Recordings whose header cannot be read are counted and named.
    """
    manifest, found = load_manifest(uri, layout=layout, labelled=False)
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = list(pool.map(_header, manifest["uri"].to_pylist()))
    for name in ("duration", "sample_rate", "channels"):
        values = [
            getattr(header, name) if isinstance(header, Header) else None for header in headers
        ]
        index = manifest.schema.get_field_index(name)
        field = manifest.schema.field(name)
        manifest = manifest.set_column(index, field, pa.array(values, field.type))
    files = manifest["file"].to_pylist()
    unreadable = {
        file: header
        for file, header in zip(files, headers, strict=True)
        if not isinstance(header, Header)
    }
    return {"corpus": uri, "layout": found, **summarise(manifest), "unreadable": unreadable}


def inspect_table(uri: str) -> dict[str, Any]:
    """Return what a table holds: stage, rows, parts, columns, configuration, errors."""
    index = read_index(uri)
    schema = read_part(uri, index.parts[0].name).schema if index.parts else []
    return {
        "table": uri,
        "stage": index.stage,
        "rows": index.rows,
        "parts": len(index.parts),
        "bytes": sum(part.bytes for part in index.parts),
        "errors": read_errors(uri).select(["file", "message"]).to_pylist(),
        "columns": {field.name: str(field.type) for field in schema},
        "config": index.config,
        "inputs": index.inputs,
        "versions": index.versions,
    }


def _header(uri: str) -> Header | str:
    try:
        return read_header(uris.read_bytes(uri))
    except (OSError, RaudeepError) as error:
        return str(error)
