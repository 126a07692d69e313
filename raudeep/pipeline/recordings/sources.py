"""What made the embeddings of a table, as far as its configuration says."""

from collections.abc import Mapping, Sequence
from typing import Any

from raudeep.config import Channels
from raudeep.foreign import typed

__all__ = [
    "Source",
    "checked_sources",
    "describe_sources",
    "embedding_sources",
    "has_joined_chunks",
]

_KEYS: dict[str, Any] = {
    "readout": str,
    "model": str,
    "epoch": int | None,
    "chunk_seconds": float | None,
    "chunk_hop_seconds": float | None,
    "channels": Channels | None,
    "sample_rate": int | None,
    "salvage": bool | None,
}

Source = dict[str, Any]
"""What made a piece of an embedding: readout, model, and epoch and chunks where there are some; or
the number of joined chunks, and the sources of one."""


def embedding_sources(config: Mapping[str, Any]) -> list[Source] | None:
    """Return what made each piece of the embeddings that `config` made, in order.

    None where an embedding, or a piece of it, was not made by an autoencoder, or the table does
    not say.
    """
    if {"readout", "model"} <= config.keys():
        return checked_sources([{key: config[key] for key in _KEYS if key in config}])
    listed = typed(list[dict[str, Any]], config.get("pieces", []), "the pieces of an embedding")
    pieces = [embedding_sources(piece) for piece in listed]
    if not pieces or None in pieces:
        return None
    sources = [source for piece in pieces for source in piece or []]
    joined = config.get("fused_chunks")
    if joined is None:
        return sources
    return checked_sources([{"fused_chunks": joined, "sources": sources}])


def checked_sources(value: Any) -> list[Source]:
    """Return sources that a file names; TableError if they are of other types than sources are."""
    said = "what made an embedding"
    sources: list[Source] = typed(list[dict[str, Any]], value, said)
    for source in sources:
        if "fused_chunks" in source:
            typed(int, source["fused_chunks"], said)
            checked_sources(source.get("sources"))
            continue
        for key, form in _KEYS.items():
            typed(form, source.get(key), f"{said}: its {key!r}")
        if source.get("chunk_seconds") is not None:
            typed(float, source.get("chunk_hop_seconds"), f"{said}: its 'chunk_hop_seconds'")
    return sources


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
    if source.get("channels") is not None:
        said += f" of the channels {source['channels']!r}"
    if source.get("sample_rate") is not None:
        said += f" at {source['sample_rate']} Hz"
    if source.get("salvage"):
        said += ", of damaged recordings what can be read"
    return said
