"""What made the embeddings of a table, as far as its configuration says."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Source", "describe_sources", "embedding_sources", "has_joined_chunks"]

_KEYS = ("readout", "model", "epoch", "chunk_seconds", "chunk_hop_seconds")

Source = dict[str, Any]
"""What made a piece of an embedding: readout, model, and epoch and chunks where there are some; or
the number of joined chunks, and the sources of one."""


def embedding_sources(config: Mapping[str, Any]) -> list[Source] | None:
    """Return what made each piece of the embeddings that `config` made, in order.

    None where an embedding, or a piece of it, was not made by an autoencoder, or the table does
    not say.
    """
    if {"readout", "model"} <= config.keys():
        return [{key: config[key] for key in _KEYS if key in config}]
    pieces = [embedding_sources(piece) for piece in config.get("pieces", [])]
    if not pieces or None in pieces:
        return None
    sources = [source for piece in pieces for source in piece or []]
    joined = config.get("fused_chunks")
    return sources if joined is None else [{"fused_chunks": joined, "sources": sources}]


def has_joined_chunks(sources: Sequence[Source]) -> bool:
    """Return whether a piece is of several chunks, of which a recording may have more."""
    return any("fused_chunks" in source for source in sources)


def describe_sources(sources: Sequence[Source]) -> str:
    """Return sources as words for a message."""
    return ", ".join(map(_describe, sources))


def _describe(source: Source) -> str:
    if "fused_chunks" in source:
        return f"{source['fused_chunks']} joined chunks of ({describe_sources(source['sources'])})"
    said = f"{source['readout']!r} of model {source['model']}"
    if "epoch" in source:
        said += f" of epoch {source['epoch']}"
    if "chunk_seconds" in source:
        said += f" in chunks of {source['chunk_seconds']:g} s"
        said += f", one every {source['chunk_hop_seconds']:g} s"
    return said
