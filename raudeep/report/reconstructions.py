"""A page of spectrograms beside their reconstructions, the worst and the best ones."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.report import plots
from raudeep.report.templates import render
from raudeep.storage.outputs import write_file
from raudeep.storage.table import iterate_parts, read_table

__all__ = ["write_reconstructions"]

_KEYS = ["file", "chunk", "label", "reconstruction_rmse"]


def write_reconstructions(
    spectrograms: str, reconstructions: str, page: str, *, count: int, overwrite: bool = False
) -> str:
    """Write an HTML page with `count` chunks: half with the largest errors, half with the smallest.

    Parameters
    ----------
    spectrograms, reconstructions : str
        URIs of the two tables; each part of the second is made from a part of the first.
    page : str
        URI of the page.
    count : int > 0
        Chunks to show, the largest errors first.
    overwrite : bool
        Replace another page that is there.

    Raises
    ------
    TableError
        If another file is there that is not to be overwritten, or the place cannot be written.
    """
    keys = read_table(reconstructions, columns=_KEYS)
    order = np.argsort(-keys["reconstruction_rmse"].to_numpy(), kind="stable")
    shown, best = order, count // 2
    if len(order) > count:
        shown = np.r_[order[: count - best], order[len(order) - best :]]
    targets, outputs = (_pick(uri, shown) for uri in (spectrograms, reconstructions))
    chunks = []
    for row, target, output in zip(keys.take(shown).to_pylist(), targets, outputs, strict=True):
        covered = target[:, : output.shape[1]]
        chunks.append({**row, "image": plots.data_uri(plots.reconstruction(covered, output))})
    html = render("reconstructions.html.jinja", chunks=chunks, total=keys.num_rows)
    write_file(page, html.encode(), overwrite=overwrite)
    return page


def _pick(table: str, rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    """Return the spectrograms (T, F) of some rows of a table, reading one part at a time."""
    found: dict[int, NDArray[np.float32]] = {}
    start = 0
    columns = ["spectrogram", "frames", "bands"]
    for part, values in iterate_parts(table, columns=columns):
        inside = [row for row in rows.tolist() if start <= row < start + part.rows]
        taken = values.take(pa.array([row - start for row in inside], pa.int64()))
        for row, each in zip(inside, taken.to_pylist(), strict=True):
            shape = (each["frames"], each["bands"])
            found[row] = np.asarray(each["spectrogram"], np.float32).reshape(shape)
        start += part.rows
    return [found[row] for row in rows.tolist()]
