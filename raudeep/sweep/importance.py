"""Which searched fields the objective depends on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_TRIALS", "field_importance"]

FEWEST_TRIALS = 4


def field_importance(rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> dict[str, float]:
    """Return the share of each field in what a random forest explains of the objective.

    The shares add up to 1; there are none for fewer than four trials with an objective, or if all
    have the same. Numbers are compared by rank, so that scales do not matter. With few trials for
    each field the shares are a hint and no more.

    Parameters
    ----------
    rows : sequence of mapping
        A row of the ranking for each trial: ``objective`` and the fields.
    fields : sequence of str
        The searched fields.
    """
    scored = [row for row in rows if row["objective"] is not None]
    objectives = np.array([row["objective"] for row in scored], dtype=np.float64)
    if len(scored) < FEWEST_TRIALS or np.ptp(objectives) == 0:
        return {}
    from sklearn.ensemble import RandomForestRegressor  # takes a second to import

    columns = {name: _columns([row.get(name) for row in scored]) for name in fields}
    forest = RandomForestRegressor(n_estimators=200, random_state=0)
    forest.fit(np.concatenate(list(columns.values()), axis=1), objectives)
    ends = np.cumsum([column.shape[1] for column in columns.values()])
    parts = np.split(forest.feature_importances_, ends[:-1])
    total = float(forest.feature_importances_.sum())
    shares = {n: float(p.sum()) / total for n, p in zip(columns, parts, strict=True) if total > 0}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _columns(values: Sequence[Any]) -> NDArray[np.float64]:
    """Return a field's values as columns: the rank of numbers, or one column for each value.

    A trial without a value for the field has the rank before the first, or no column.
    """
    present = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in present):
        ranks = {value: rank for rank, value in enumerate(sorted(set(present)))}
        return np.array([[-1.0 if value is None else ranks[value]] for value in values])
    names = sorted(set(map(str, present)))
    return np.array([[float(str(value) == name) for name in names] for value in values])
