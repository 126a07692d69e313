"""New recordings embedded as those of a table were: what is predicted, what is searched for."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from raudeep.config import ChunkConfig, Limits, Readout
from raudeep.pipeline.recordings.embedding import embed_recordings
from raudeep.pipeline.recordings.sources import Source
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.tables.fusing import fuse_tables
from raudeep.schema import ERRORS
from raudeep.storage import uri as uris
from raudeep.storage.table import is_table, read_errors

__all__ = ["embed_alike", "errors_of"]


def embed_alike(
    sources: Sequence[Source],
    manifest: pa.Table,
    places: Mapping[str, str],
    workspace: str,
    limits: Limits | None = None,
) -> str:
    """Embed recordings as those of `sources` were; return the table.

    Parameters
    ----------
    sources : sequence of Source
        None with joined chunks.
    manifest : pa.Table
        The recordings, sorted by file.
    places : mapping of fingerprint to URI
        The models of the sources.
    workspace : str
        URI of a folder for the tables of the pieces and the fused one.
    limits : Limits, optional
        Which recordings are taken, and how many may fail.

    Raises
    ------
    AudioError
        If too many recordings could not be used, or none could; `errors_of` names them.
    """
    pieces: dict[str, str] = {}
    passes: dict[ChunkConfig, dict[tuple[str, int | None], dict[Readout, str]]] = {}
    for number, source in enumerate(sources):
        piece = _piece(workspace, number)
        chunks = ChunkConfig(
            chunk_seconds=source.get("chunk_seconds"),
            chunk_hop_seconds=source.get("chunk_hop_seconds"),
        )
        key = places[source["model"]], source.get("epoch")
        outputs = passes.setdefault(chunks, {}).setdefault(key, {})
        # A piece that occurs twice is embedded once.
        pieces[f"{number:02d}"] = outputs.setdefault(source["readout"], piece)
    for chunks, embedders in passes.items():
        named = [
            Embedder(name=f"model {number}", model=model, outputs=outputs, epoch=epoch)
            for number, ((model, epoch), outputs) in enumerate(embedders.items())
        ]
        # A killed run may have embedded with other models.
        embed_recordings(manifest, named, chunks=chunks, limits=limits, overwrite=True)
    if len(pieces) == 1:
        return _piece(workspace, 0)
    fused = uris.join(workspace, "fused")
    fuse_tables(pieces, fused, overwrite=True)
    return fused


def errors_of(workspace: str) -> pa.Table:
    """Return the recordings that `embed_alike` could not use; of one that stopped, up to there."""
    # What one model cannot use is lost to all.
    first = _piece(workspace, 0)
    return read_errors(first) if is_table(first) else ERRORS.empty_table()


def _piece(workspace: str, number: int) -> str:
    return uris.join(workspace, f"piece-{number:02d}")
