"""One self-contained HTML page from the results of a benchmark.

This module turns results into what the template shows: text, rows and pictures; the template
arranges and escapes it. Whatever is absent or empty is left out of the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from raudeep.recipe import FUSED
from raudeep.report import plots
from raudeep.report.settings import settings_of
from raudeep.report.templates import render
from raudeep.report.text import SPREADS, with_own_spreads

__all__ = ["render_report"]

MAX_ERRORS = 50
MAX_EXAMPLES = 3


def render_report(
    results: Mapping[str, Any],
    *,
    recipe: Mapping[str, Any],
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    examples: Mapping[str, pa.Table],
) -> str:
    """Return the HTML page of a benchmark's results.

    The page loads nothing from elsewhere: styles and pictures are part of it. Equal input gives
    an equal page. Pieces that are absent or empty are left out.

    Parameters
    ----------
    results : Mapping
        What the benchmark stores as JSON: corpus, scores, stages, errors, tables, versions.
    recipe : Mapping
        The recipe, which it stores, too.
    histories : Mapping of str to Sequence of Mapping
        Per autoencoder, one record per epoch with `epoch`, `loss` and optional `validation_loss`.
    examples : Mapping of str to pyarrow.Table
        Per autoencoder, chunks with `file`, `chunk`, `label`, `frames`, `bands`, `spectrogram` and
        `reconstruction` (both of length T * F, time by bands); the first three are shown.

    Returns
    -------
    str
        HTML text, to be written as UTF-8.
    """
    errors = list(results.get("errors") or ())
    trained = {name: history for name, history in histories.items() if history}
    return render(
        "report.html.jinja",
        recipe=results.get("recipe") or "benchmark",
        description=results.get("description"),
        facts=_facts(results),
        readouts=_readouts(results),
        losses=_losses(trained),
        reconstructions=_reconstructions(examples),
        errors=errors[:MAX_ERRORS],
        num_errors=len(errors),
        stages=_stages(results),
        settings=settings_of(recipe),
        places=_places(results),
        versions=dict(results.get("versions") or {}),
    )


def _facts(results: Mapping[str, Any]) -> list[tuple[str, Any]]:
    corpus = results.get("corpus") or {}
    labels = corpus.get("labels")
    errors = results.get("errors")
    facts = {
        "recordings": corpus.get("recordings"),
        "errors": len(errors) if errors is not None else None,
        "labels": len(labels) if labels else None,
        "folds": corpus.get("num_folds") or None,
        "seed": results.get("seed"),
    }
    return [(name, value) for name, value in facts.items() if value is not None]


def _readouts(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return per readout its rows of scores, fused last, and one confusion matrix."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for score in results.get("scores") or ():
        grouped.setdefault(score["readout"], []).append(score)
    readouts = []
    for name, scores in grouped.items():
        singles = [score for score in scores if score["embedding"] != FUSED]
        fused = [score for score in scores if score["embedding"] == FUSED]
        if len(singles) == 1:  # fusing one embedding is that embedding
            fused = []
        rows = [with_own_spreads(score) for score in singles + fused]
        shown = fused[-1] if fused else rows[0] if len(rows) == 1 else {}
        labels = rows[0].get("labels") or (results.get("corpus") or {}).get("labels")
        readouts.append(
            {
                "name": name,
                "rows": [{**score, "is_fused": score["embedding"] == FUSED} for score in rows],
                "most_frequent": _most_frequent(rows[0]),
                "num_splits": rows[0].get("num_splits"),
                "repeats": rows[0].get("repeats"),
                "spreads": _spreads(rows),
                "confusion": _confusion(shown, labels),
            }
        )
    return readouts


def _most_frequent(score: Mapping[str, Any]) -> dict[str, float] | None:
    """Return what it scores to predict the most frequent class for all."""
    counts = [sum(row) for row in score.get("confusion") or ()]
    if not sum(counts):
        return None
    scored = sum(count > 0 for count in counts)
    return {"accuracy": max(counts) / sum(counts), "uar": 1 / scored}


def _spreads(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what any of the scores was repeated over."""
    return [
        over for over in SPREADS if any(row.get(f"accuracy_std_{over}") is not None for row in rows)
    ]


def _confusion(score: Mapping[str, Any], labels: Sequence[str] | None) -> dict[str, Any] | None:
    if not score.get("confusion") or not labels:
        return None
    return {
        "embedding": score["embedding"],
        "image": plots.data_uri(plots.confusion_matrix(score["confusion"], labels)),
        "with_counts": len(labels) <= plots.MAX_CLASSES_WITH_COUNTS,
        "with_labels": len(labels) <= plots.MAX_CLASSES_WITH_LABELS,
    }


def _losses(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any] | None:
    if not histories:
        return None
    rows = [row for history in histories.values() for row in history]
    return {
        "image": plots.data_uri(plots.loss_curves(histories)),
        "legend": [
            {"name": name, "colour": colour, "loss": history[-1].get("loss")}
            for colour, (name, history) in zip(
                plots.colours(len(histories)), histories.items(), strict=True
            )
        ],
        "validated": any(row.get("validation_loss") is not None for row in rows),
    }


def _reconstructions(examples: Mapping[str, pa.Table]) -> list[dict[str, Any]]:
    pictures = []
    for name, table in examples.items():
        chunks = []
        for row in table.slice(0, min(MAX_EXAMPLES, table.num_rows)).to_pylist():
            shape = (row["frames"], row["bands"])
            pair = (
                np.asarray(row[column], dtype=np.float32).reshape(shape)
                for column in ("spectrogram", "reconstruction")
            )
            image = plots.data_uri(plots.reconstruction(*pair))
            keys = {key: row.get(key) for key in ("file", "chunk", "label")}
            chunks.append({**keys, "image": image})
        if chunks:
            pictures.append({"name": name, "chunks": chunks})
    return pictures


def _stages(results: Mapping[str, Any]) -> dict[str, Any] | None:
    rows = list(results.get("stages") or ())
    if not rows:
        return None
    counts = ("parts", "reused", "rows", "errors")
    columns = [name for name in counts if any(row.get(name) is not None for row in rows)]
    total = sum(row.get("seconds") or 0 for row in rows)
    return {"rows": rows, "columns": columns, "total_seconds": total}


def _places(results: Mapping[str, Any]) -> dict[str, str]:
    corpus = (results.get("corpus") or {}).get("uri")
    places = {"corpus": corpus, "output": results.get("output"), **(results.get("tables") or {})}
    return {name: uri for name, uri in places.items() if uri}
