"""Pictures of what lies on storage, each an SVG file."""

from typing import Any

from raudeep.config import SpectrogramConfig
from raudeep.errors import ConfigError
from raudeep.evaluation.projection import Projection, project
from raudeep.pipeline.preview import preview_recording
from raudeep.pipeline.stage import embedding_array
from raudeep.report import plots
from raudeep.storage.index import read_index
from raudeep.storage.outputs import check_writable_file, write_file
from raudeep.storage.table import read_table

__all__ = ["check_picture", "write_preview", "write_projection"]


def write_preview(
    corpus: str,
    config: SpectrogramConfig,
    place: str,
    *,
    recording: str | None = None,
    layout: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the picture of one recording's spectrogram, and return what is known of it.

    The parameters are those of `raudeep.pipeline.preview.preview_recording`; `place` is the URI of
    the picture, of which one that is there is replaced with `overwrite` only.
    """
    check_picture(place, overwrite=overwrite)
    found = preview_recording(corpus, config, recording=recording, layout=layout)
    write_file(place, plots.preview(found.decibels).encode(), overwrite=overwrite)
    return {**found.facts, "picture": place}


def write_projection(
    table: str,
    place: str,
    *,
    method: Projection,
    perplexity: float,
    seed: int,
    overwrite: bool = False,
) -> None:
    """Write the picture of an embedding table in the plane, a point for each row.

    Parameters
    ----------
    table : str
        URI of an embedding table.
    place : str
        URI of the picture, an SVG file.
    method, perplexity, seed
        As `raudeep.evaluation.projection.project` takes them.
    overwrite : bool
        Replace another picture that is there.

    Raises
    ------
    ConfigError
        If it is no .svg file.
    EvaluationError
        If the rows cannot be projected, or the method's package is missing.
    TableError
        If there is no such table, or the picture cannot be written.
    """
    check_picture(place, overwrite=overwrite)
    read_index(table, stage="embeddings")
    rows = read_table(table, columns=["label", "embedding"])
    points = project(embedding_array(rows), method=method, perplexity=perplexity, seed=seed)
    picture = plots.projection(points, rows["label"].to_pylist())
    write_file(place, picture.encode(), overwrite=overwrite)


def check_picture(place: str, *, overwrite: bool, of: str | None = None) -> None:
    """Raise unless a picture, maybe `of` a table, can be written, before the work that it shows.

    Raises
    ------
    ConfigError
        If it is no .svg file.
    TableError
        If a file is there that is not to be overwritten, or the place cannot be written.
    """
    if not place.lower().endswith(".svg"):
        raise ConfigError(f"pictures are written as .svg files. Got {place}.")
    check_writable_file(place, overwrite=overwrite, of=of)
