"""The pictures of a sweep as SVG text: its history, its trials side by side, what matters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raudeep.report.plots import ACCENT, INK, LINES, PALETTE, ink, svg

__all__ = ["importance", "parallel_coordinates", "trial_history"]

_MARKERS = {
    "finished": ("o", PALETTE[0]),
    "stopped": ("x", PALETTE[1]),
    "failed": ("v", PALETTE[5]),
}


def trial_history(rows: Sequence[Mapping[str, Any]], *, objective: str, maximises: bool) -> str:
    """Return the objective of each trial in the order of their starts, and the best so far."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    scored = sorted(_scored(rows), key=lambda row: row["number"])
    for status, (marker, colour) in _MARKERS.items():
        chosen = [row for row in scored if row["status"] == status]
        if chosen:
            x, y = zip(*((row["number"], row["objective"]) for row in chosen), strict=True)
            axes.scatter(x, y, s=22, marker=marker, color=colour, label=status)
    finished = [row for row in scored if row["status"] == "finished"]
    if finished:
        best = np.maximum if maximises else np.minimum
        worth = best.accumulate([row["objective"] for row in finished])
        numbers = [row["number"] for row in finished]
        axes.step(numbers, worth, where="post", color=PALETTE[0], linewidth=1.4, label="best")
    axes.set_xlabel("trial")
    axes.set_ylabel(objective)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=LINES, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if scored:
        legend = axes.legend(frameon=False, fontsize=9)
        for text in legend.get_texts():
            text.set_color(INK)
    axes.tick_params(labelsize=9)
    ink(axes)
    return svg(figure)


def parallel_coordinates(
    rows: Sequence[Mapping[str, Any]], fields: Sequence[str], *, objective: str, maximises: bool
) -> str:
    """Return parallel coordinates: a line for each trial, an axis for each field.

    An axis has the values that were tried, evenly spaced in their order; a trial that has none for
    a field passes below. Trials that were stopped are dashed.
    """
    scored = _scored(rows)
    scored = sorted(scored, key=lambda row: row["objective"], reverse=not maximises)  # best on top
    names = [*fields, "objective"]
    scales = {
        name: sorted({r[name] for r in scored if r.get(name) is not None}, key=_order)
        for name in names
    }
    figure = Figure(figsize=(max(5.0, 1.5 * len(names)), 4.2), layout="constrained")
    axes = figure.add_subplot()
    for rank, row in enumerate(scored):
        share = rank / max(1, len(scored) - 1)
        heights = [_height(row.get(name), scales[name]) for name in names]
        style = "-" if row["status"] == "finished" else "--"
        axes.plot(heights, style, color=colormaps["viridis"](0.1 + 0.75 * share), linewidth=1.2)
    for place, name in enumerate(names):
        shown = scales[name] if len(scales[name]) <= 8 else [scales[name][0], scales[name][-1]]
        for value in shown:
            axes.annotate(
                _text(value),
                (place, _height(value, scales[name])),
                xytext=(3, 2),
                textcoords="offset points",
                fontsize=8,
                color=INK,
            )
        axes.axvline(place, color=LINES, linewidth=0.8)
    labels = [*(name.replace(".", "\n") for name in fields), objective]
    axes.set_xticks(range(len(names)), labels, size=8)
    axes.set_yticks([])
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    ink(axes)
    return svg(figure)


def importance(shares: Mapping[str, float]) -> str:
    """Return the share of each field in the objective as bars, the largest on top."""
    figure = Figure(figsize=(7.2, 1.2 + 0.32 * max(1, len(shares))), layout="constrained")
    axes = figure.add_subplot()
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color=ACCENT)
    axes.set_xlabel("share of what a random forest explains of the objective")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    if not shares:
        axes.text(0.5, 0.5, "too few trials", ha="center", color=INK, transform=axes.transAxes)
        axes.set_yticks([])
    ink(axes)
    return svg(figure)


def _scored(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["objective"] is not None]


def _order(value: Any) -> tuple[bool, Any]:
    return (True, str(value)) if isinstance(value, str) else (False, value)


def _height(value: Any, scale: Sequence[Any]) -> float:
    if value is None:
        return -0.08
    return 0.5 if len(scale) == 1 else scale.index(value) / (len(scale) - 1)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
