"""Pictures of what lies on storage, each an SVG file."""

import logging
from typing import Any

import numpy as np

from raudeep.config import SpectrogramConfig
from raudeep.errors import ConfigError
from raudeep.evaluation.projection import MAX_POINTS, Projection, project, projection_seconds
from raudeep.pipeline.costs import Cost, check_memory
from raudeep.pipeline.preview import preview_recording
from raudeep.pipeline.stage import embedding_array
from raudeep.report import plots
from raudeep.report.text import duration
from raudeep.storage.index import read_index
from raudeep.storage.outputs import check_writable_file, write_file
from raudeep.storage.table import read_schema, read_table, take_rows

__all__ = ["check_picture", "plan_projection", "write_preview", "write_projection"]

logger = logging.getLogger(__name__)


def write_preview(
    corpus: str,
    config: SpectrogramConfig,
    place: str,
    *,
    recording: str | None = None,
    layout: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Draw the spectrogram of one recording, and return facts about it.

    Parameters as in `raudeep.pipeline.preview.preview_recording`; `place` is the URI of the
    picture. An existing picture is replaced with `overwrite` only.
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
    max_points: int | None = None,
    overwrite: bool = False,
) -> None:
    """Draw an embedding table in the plane, with a point for each row.

    Of a table with more than `max_points` rows a sample is drawn, with a warning.

    Parameters
    ----------
    table : str
        URI of an embedding table.
    place : str
        URI of the picture, an SVG file.
    method, perplexity, seed
        As `raudeep.evaluation.projection.project` takes them.
    max_points : int, optional
        Most rows to draw; without, as many as the method takes in a minute or two.
    overwrite : bool
        Replace another picture that is there.

    Raises
    ------
    ConfigError
        If it is no .svg file.
    EvaluationError
        If the rows cannot be projected, or the method's package is missing.
    ResourceError
        If the rows need more memory than there is.
    TableError
        If there is no such table, or the picture cannot be written.
    """
    check_picture(place, overwrite=overwrite)
    cost = _projection_cost(table, method, max_points)
    index = read_index(table, stage="embeddings")
    columns = ["label", "embedding"]
    if cost.rows < index.rows:
        logger.warning(
            "%s: %d of %d rows are drawn, chosen at random. All would take about %s; pass "
            "--max-points to draw more.",
            table,
            cost.rows,
            index.rows,
            duration(projection_seconds(method, index.rows)),
        )
        chosen = np.random.default_rng(seed).choice(index.rows, cost.rows, replace=False)
        rows = take_rows(table, index, np.sort(chosen), columns=columns)
    else:
        rows = read_table(table, columns=columns)
    points = project(embedding_array(rows), method=method, perplexity=perplexity, seed=seed)
    picture = plots.projection(points, rows["label"].to_pylist())
    write_file(place, picture.encode(), overwrite=overwrite)


def plan_projection(
    table: str, *, method: Projection, max_points: int | None = None
) -> dict[str, Any]:
    """Return what `write_projection` would do with a table: rows, memory, seconds.

    Raises
    ------
    ResourceError, TableError
        Where `write_projection` would.
    """
    rows = read_index(table, stage="embeddings").rows
    cost = _projection_cost(table, method, max_points)
    return {"table": table, "rows_of_the_table": rows, **cost.to_dict()}


def _projection_cost(table: str, method: Projection, max_points: int | None) -> Cost:
    index = read_index(table, stage="embeddings")
    size = read_schema(table).field("embedding").type.list_size
    if max_points is not None and max_points < 3:
        raise ConfigError(f"max_points must be at least 3. Got {max_points}.")
    num_rows = min(index.rows, max_points or MAX_POINTS[method])
    largest = max(part.rows for part in index.parts)
    # As rows, as an array, centred, and a part that rows are taken from.
    memory = 4 * size * (3 * num_rows + largest)
    check_memory(memory, f"{table}: a picture of {num_rows} rows", way_out="Lower --max-points.")
    seconds = projection_seconds(method, num_rows)
    return Cost(rows=num_rows, memory_bytes=memory, estimated_seconds=seconds)


def check_picture(place: str, *, overwrite: bool, of: str | None = None) -> None:
    """Raise if a picture (`of` a table) cannot be written, before the work begins.

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
