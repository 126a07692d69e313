"""The embeddings to search with: of a recording, made as the table was, or of one of its own.

``query -> embedded as the table was -> silent chunks left out``
"""

import logging
import tempfile
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.audio.decode import decode_blocks
from raudeep.config import Limits, reject_text
from raudeep.credentials import public_uri
from raudeep.errors import EvaluationError, RaudeepError
from raudeep.pipeline.artifacts import artifact_identity
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_like
from raudeep.pipeline.recordings.sources import (
    describe_sources,
    embedding_sources,
    has_joined_chunks,
)
from raudeep.pipeline.stage import embedding_array
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import read_index
from raudeep.storage.plan_files import planned_uri
from raudeep.storage.recordings import open_recording
from raudeep.storage.silence import silence_of_part
from raudeep.storage.table import iterate_parts
from raudeep.storage.writer import TableWriter

__all__ = ["embed_query", "vectors_of"]

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]


def embed_query(
    query: str, table: str, models: Sequence[str], *, sample_rate: int | None = None
) -> Vectors:
    """Return the embeddings (Q, E) of a recording, made as those of a table were.

    Silence is like silence: those of chunks without a sound are NaN, which is near to nothing,
    unless all are.

    Parameters
    ----------
    query : str
        URI of the recording.
    table : str
        URI of an embeddings table.
    models : sequence of str
        URIs of the models that made it, all of them where it is fused, in any order.
    sample_rate : int, optional
        Resample the recording to this rate in Hz, such as that of the recordings of the table.

    Raises
    ------
    EvaluationError
        If the table was not made with these models, or its rows are of joined chunks.
    AudioError
        If the recording cannot be used.
    """
    reject_text(models, "models")
    sources = embedding_sources(read_index(table, stage="embeddings").config) or []
    if has_joined_chunks(sources):
        raise EvaluationError(
            f"{table} has embeddings of {describe_sources(sources)}, and a query may have more or "
            "fewer of them. Search the table of the chunks, or pass --recording to search with a "
            "recording of this one."
        )
    places = {artifact_identity(model).fingerprint: model for model in models}
    if not sources or places.keys() != {source["model"] for source in sources}:
        given = ", ".join(models) or "no model"
        raise EvaluationError(
            f"{table} was not made with {given}. Pass the models that made it, or --recording to "
            "search with a recording of the table."
        )
    manifest, _ = load_manifest(query, labelled=False)
    if manifest.num_rows != 1:
        raise EvaluationError(f"{query} holds {manifest.num_rows} recordings; a query is one file.")
    with tempfile.TemporaryDirectory() as folder:
        writer = TableWriter(uris.join(folder, "query"), Identity("embeddings", {}))
        limits = Limits()
        embed_like(
            *("query", manifest, sources, places, writer), sample_rate=sample_rate, limits=limits
        )
        (rows,) = (rows for _, rows in iterate_parts(writer.uri))
    silence = silence_of_part(rows) or []
    vectors = _without_silence(rows, np.array([each is not None for each in silence]))
    if None not in silence:
        heard = next((f" Its {each} channel has one." for each in silence if each != "none"), "")
        said = "%s holds no sound as the table was made, so it is near to silence.%s"
        logger.warning(said, public_uri(query), heard)
    return vectors


def _without_silence(chunks: pa.Table, silent: NDArray[np.bool_]) -> Vectors:
    """Return the embeddings of a recording's chunks, NaN for the silent ones unless all are."""
    vectors = embedding_array(chunks)
    if silent.all():
        return vectors
    return np.where(silent[:, np.newaxis], np.float32(np.nan), vectors)


def _decoded_silence(chunks: pa.Table, uri: str) -> NDArray[np.bool_]:
    """Return which chunks of a recording hold zeros alone, where its table does not say it."""
    silent = np.zeros(chunks.num_rows, dtype=bool)
    starts, ends = (chunks[name].to_numpy() for name in ("start", "end"))
    length, hop = float(ends[0] - starts[0]), float(starts[1] - starts[0])
    with open_recording(uri) as file:
        blocks = decode_blocks(file, length_seconds=length, hop_seconds=hop)
        for number, block in enumerate(islice(blocks, chunks.num_rows)):
            silent[number] = not block.samples.any()
    return silent


def vectors_of(recording: str, table: str) -> Vectors:
    """Return the embeddings (Q, E) that a table holds of a recording, given by its file.

    Silence is as in `embed_query`, where the table says it or its audio is still there.

    Raises
    ------
    EvaluationError
        If it holds none.
    """
    read_index(table, stage="embeddings")
    found, known = [], []
    for _, rows in iterate_parts(table, columns=["file", "start", "end", "embedding"]):
        chosen = pa.compute.equal(rows["file"], recording)
        if pa.compute.any(chosen).as_py():
            found.append(rows.filter(chosen))
            silence = silence_of_part(rows)
            if silence is not None:
                heard = np.array([each is None for each in silence])
                known.append(~heard[chosen.to_numpy()])
    if not found:
        raise EvaluationError(f"{table} holds no recording {recording!r}.")
    chunks = pa.concat_tables(found)
    if len(known) == len(found):
        return _without_silence(chunks, np.concatenate(known))
    place = planned_uri(table, recording) if chunks.num_rows > 1 else None
    if place is not None:
        try:
            return _without_silence(chunks, _decoded_silence(chunks, place))
        except (OSError, RaudeepError) as error:
            said = "%s cannot be read, so its silent chunks count, too: %s"
            logger.warning(said, public_uri(place), error)
    return embedding_array(chunks)
