"""The report's pictures as SVG text: loss curves, confusion matrices, reconstructions.

Drawn with matplotlib's Figure objects, never pyplot: no window, no global state, safe in threads.
Backgrounds are transparent and the ink is a CSS variable that each picture sets for light and dark
itself, so the same picture is readable in both. Names that belong to a corpus stay out of pictures
where HTML can show them beside instead; class labels that the font lacks become numbers.
"""

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "colours",
    "confusion_matrix",
    "data_uri",
    "ink",
    "loss_curves",
    "preview",
    "projection",
    "reconstruction",
    "svg",
]

MAX_CLASSES_WITH_COUNTS = 15
MAX_CLASSES_WITH_LABELS = 60
MAX_COLUMNS = 1000
MAX_LEGEND = 20
MAX_DRAWN = 5000
PIXELS_PER_INCH = 200

FONT = "DejaVu Sans"  # comes with matplotlib
INK, LINES = "#010203", "#010204"  # stand-ins, replaced by the variables of THEME
_VARIABLES = {INK: "var(--ink)", LINES: "var(--lines)"}
THEME = (
    "<style>:root{--ink:#24292f;--lines:#c9ced4}"
    "@media screen and (prefers-color-scheme:dark){:root{--ink:#d5d9de;--lines:#474d55}}</style>"
)
ACCENT = "#4a90d9"
ON_ACCENT = "#0b0f14"
PALETTE = (
    *("#3b82c4", "#d9822b", "#3a9d6e", "#c2569b"),
    *("#8a6fd1", "#c0504d", "#2a9fb0", "#8f8a2a"),
)


def colours(count: int) -> list[str]:
    """Return `count` colours that are told apart on light and on dark ground."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    return [to_hex(colormaps["turbo"](0.05 + 0.9 * i / (count - 1))) for i in range(count)]


def loss_curves(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the loss of each training run by epoch, as SVG.

    Training loss is solid and validation loss, where an epoch has one, is dashed. Runs take
    `colours` in order; the legend is the page's.

    Parameters
    ----------
    histories : Mapping of str to Sequence of Mapping
        Per run, one record with `epoch`, `loss` and optional `validation_loss` for each epoch.
    """
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for colour, history in zip(colours(len(histories)), histories.values(), strict=True):
        for key, style in (("loss", "-"), ("validation_loss", "--")):
            points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
            if points:
                epochs, losses = zip(*points, strict=True)
                marker = "o" if len(points) == 1 else ""
                axes.plot(epochs, losses, style, color=colour, linewidth=1.6, marker=marker)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss (RMSE)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=9)
    axes.grid(color=LINES, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    ink(axes)
    return svg(figure)


def confusion_matrix(confusion: ArrayLike, labels: Sequence[str]) -> str:
    """Return a confusion matrix as SVG, each row shaded by its share of the true class.

    Parameters
    ----------
    confusion : array_like of numbers, shape (C, C)
        Counts; row = true class, column = predicted class. Rows of zeros stay empty. The counts
        are written into the cells of up to 15 classes.
    labels : Sequence of str, length C
        Names of the classes, written along the axes of up to 60 classes.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    num_classes = len(counts)
    named = num_classes <= MAX_CLASSES_WITH_LABELS
    size = min(7.6, 3.0 + 0.28 * num_classes) if named else 5.6
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    cells = np.empty((*counts.shape, 4))
    cells[..., :3], cells[..., 3] = to_rgb(ACCENT), shares
    axes.imshow(cells, interpolation="none")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(labelsize=8)
    if named:
        names = [_drawable(label, index) for index, label in enumerate(labels)]
        style: dict[str, Any] = {"size": 9 if num_classes <= 30 else 6, "parse_math": False}
        axes.set_xticks(range(num_classes), names, rotation=90, **style)
        axes.set_yticks(range(num_classes), names, **style)
    if num_classes <= MAX_CLASSES_WITH_COUNTS:
        for (row, column), count in np.ndenumerate(counts):
            colour = ON_ACCENT if shares[row, column] > 0.8 else INK
            if count:
                text = f"{count:.4g}" if count < 1e4 else f"{count:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=colour, size=8)
    ink(axes)
    return svg(figure)


def reconstruction(target: NDArray[np.float32], output: NDArray[np.float32]) -> str:
    """Return a spectrogram beside its reconstruction as SVG, on one colour scale from -1 to 1.

    Parameters
    ----------
    target, output : ndarray of float32, shape (T, F)
        Values in [-1, 1]. Drawn with time on x and low bands at the bottom; of more than 1000
        frames only every n-th is drawn.
    """
    figure = Figure(figsize=(7.2, 2.3), layout="constrained")
    pair: list[Axes] = list(figure.subplots(1, 2, sharex=True, sharey=True))
    frames, bands = target.shape
    step = math.ceil(frames / MAX_COLUMNS)
    for axes, values, title in zip(
        pair, (target, output), ("target", "reconstruction"), strict=True
    ):
        image = axes.imshow(
            values[::step].T,
            vmin=-1,
            vmax=1,
            cmap="magma",
            origin="lower",
            aspect="auto",
            interpolation="none",
            extent=(-0.5, frames - 0.5, -0.5, bands - 0.5),
        )
        axes.set_title(title, fontsize=9, color=INK)
        axes.set_xlabel("time (frames)")
        axes.tick_params(labelsize=8)
        ink(axes)
    pair[0].set_ylabel("mel band")
    bar = figure.colorbar(image, ax=pair, ticks=[-1, 0, 1], pad=0.02, aspect=18)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    ink(bar.ax)
    return svg(figure)


def preview(decibels: NDArray[np.float32]) -> str:
    """Return a spectrogram above the histogram of its values, in decibels, as SVG.

    Parameters
    ----------
    decibels : ndarray of float32, shape (T, F)
        0 is the recording's maximum.
    """
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 2))
    frames, bands = decibels.shape
    image = upper.imshow(
        decibels[:: math.ceil(frames / MAX_COLUMNS)].T,
        cmap="magma",
        origin="lower",
        aspect="auto",
        interpolation="none",
        extent=(-0.5, frames - 0.5, -0.5, bands - 0.5),
    )
    upper.set_xlabel("time (frames)")
    upper.set_ylabel("band")
    bar = figure.colorbar(image, ax=upper, pad=0.02, aspect=18)
    bar.outline.set_visible(False)
    bar.ax.set_ylabel("dB")
    counts, edges = np.histogram(decibels, bins=100)
    lower.stairs(counts / decibels.size, edges, fill=True, color=ACCENT)
    lower.set_xlabel("amplitude (dB)")
    lower.set_ylabel("share of the values")
    for axes in (upper, lower, bar.ax):
        axes.tick_params(labelsize=8)
        ink(axes)
    return svg(figure)


def projection(points: NDArray[np.float32], labels: Sequence[str | None]) -> str:
    """Return points (N, 2) as SVG, coloured by their label, with a legend of up to 20 of them."""
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    axes = figure.add_subplot()
    column = np.array([label or "" for label in labels])
    names, ids = np.unique(column, return_inverse=True)
    palette = np.array(colours(len(names)))
    # More would make a file of many MB; as pixels they are as large as their picture.
    style: dict[str, Any] = {"s": 12, "linewidths": 0, "rasterized": len(points) > MAX_DRAWN}
    drawn = {}
    if len(names) > MAX_LEGEND:
        axes.scatter(points[:, 0], points[:, 1], color=palette[ids], **style)
    else:
        for index, name in enumerate(names):
            chosen = points[ids == index]
            dots = axes.scatter(chosen[:, 0], chosen[:, 1], color=palette[index], **style)
            drawn[dots] = _drawable(name, index) if name else "no label"
    axes.set_xticks([])
    axes.set_yticks([])
    if drawn:
        # Told, for matplotlib finds none that begins with an underscore.
        place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
        legend = axes.legend(list(drawn), list(drawn.values()), **place, frameon=False, fontsize=9)
        for text in legend.get_texts():
            text.set(color=INK, parse_math=False)
    ink(axes)
    return svg(figure)


def data_uri(svg: str) -> str:
    """Return `svg` as a data URI for the `src` of an image."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def ink(axes: Axes) -> None:
    """Draw ticks, labels and lines of axes in the colours of the page."""
    axes.tick_params(color=LINES, labelcolor=INK)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=INK, size=9)
    for spine in axes.spines.values():
        spine.set_color(LINES)


def svg(figure: Figure) -> str:
    """Return the figure with a theme for ink, and ids that are equal in equal pictures."""
    buffer = io.StringIO()
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=metadata, dpi=PIXELS_PER_INCH)
    text = buffer.getvalue()
    for number, name in enumerate(dict.fromkeys(re.findall(r'id="([a-z]+[0-9a-f]{10})"', text))):
        text = text.replace(name, f"i{number}")
    # Comments hold labels, which may be named like a stand-in.
    stand_ins = re.compile(f"<!--.*?-->|{INK}|{LINES}", re.DOTALL)
    text = stand_ins.sub(lambda found: _VARIABLES.get(found[0], found[0]), text)
    return text.replace("<defs>", THEME + "<defs>", 1)


@cache
def _characters() -> frozenset[int]:
    path = font_manager.findfont(FONT)
    return frozenset(font_manager.get_font(path).get_charmap())


def _drawable(label: str, index: int) -> str:
    """Return the label on one short line, or its number where the font lacks a character."""
    text = " ".join(label.split())
    if not text or not _characters().issuperset(map(ord, text)):
        return f"class {index}"
    return text if len(text) <= 24 else text[:23] + "…"
