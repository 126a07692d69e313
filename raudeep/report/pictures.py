"""Pictures of what lies on storage, each an SVG file."""

from typing import Any

from raudeep.config import SpectrogramConfig
from raudeep.errors import ConfigError
from raudeep.evaluation.projection import Projection, project
from raudeep.pipeline.preview import preview_recording
from raudeep.pipeline.stage import embedding_array
from raudeep.report import plots
from raudeep.storage import uri as uris
from raudeep.storage.table import read_index, read_table

__all__ = ["write_preview", "write_projection"]


def write_preview(
    corpus: str,
    config: SpectrogramConfig,
    place: str,
    *,
    recording: str | None = None,
    layout: str | None = None,
) -> dict[str, Any]:
    """Write the picture of one recording's spectrogram, and return what is known of it.

    The parameters are those of `raudeep.pipeline.preview.preview_recording`; `place` is the URI of
    the picture.
    """
    _check_svg(place)
    found = preview_recording(corpus, config, recording=recording, layout=layout)
    uris.write_bytes(place, plots.preview(found.decibels).encode())
    return {**found.facts, "picture": place}


def write_projection(
    table: str, place: str, *, method: Projection, perplexity: float, seed: int
) -> None:
    """Write the picture of an embedding table in the plane; see `project`."""
    _check_svg(place)
    read_index(table, stage="embeddings")
    rows = read_table(table, columns=["label", "embedding"])
    points = project(embedding_array(rows), method=method, perplexity=perplexity, seed=seed)
    uris.write_bytes(place, plots.projection(points, rows["label"].to_pylist()).encode())


def _check_svg(place: str) -> None:
    if not place.lower().endswith(".svg"):
        raise ConfigError(f"pictures are written as .svg files. Got {place}.")
