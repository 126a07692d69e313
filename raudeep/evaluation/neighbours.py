"""Nearest rows of many: exact search block by block, arrays in, arrays out."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import EvaluationError

__all__ = ["Metric", "Nearest", "compare"]

Metric = Literal["cosine", "euclidean"]

_BLOCK_VALUES = 2**22  # of float64 at a time: 32 MB
_NOWHERE = -1


def compare(
    queries: NDArray[np.floating], rows: NDArray[np.floating], *, metric: Metric
) -> NDArray[np.float64]:
    """Return how near each row is to each query, shape (Q, N).

    Parameters
    ----------
    queries : ndarray, shape (Q, E)
    rows : ndarray, shape (N, E)
    metric : {"cosine", "euclidean"}
        The cosine of the angle between two vectors, in [-1, 1] and 0 where one of them is zero: the
        larger, the nearer. Or their Euclidean distance: the smaller, the nearer.

    Examples
    --------
    >>> compare(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 3.0]]), metric="cosine")
    array([[1., 0.]])
    """
    left, right = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "cosine":
        cosines: NDArray[np.float64] = _unit(left) @ _unit(right).T
        return np.clip(cosines, -1.0, 1.0, out=cosines)
    squares: NDArray[np.float64] = left @ right.T
    squares *= -2
    squares += np.square(left).sum(1)[:, np.newaxis]
    squares += np.square(right).sum(1)
    return np.sqrt(np.maximum(squares, 0.0, out=squares), out=squares)


class Nearest:
    """The rows nearest to each query among all that were added so far.

    Parameters
    ----------
    queries : ndarray, shape (Q, E)
        Finite values.
    num_results : int
        Rows to keep for each query.
    metric : {"cosine", "euclidean"}
        See `compare`.

    Raises
    ------
    EvaluationError
        If the queries are not of that shape, or not finite.

    Examples
    --------
    >>> nearest = Nearest(np.array([[1.0, 0.0]]), num_results=1, metric="euclidean")
    >>> nearest.add(np.array([[0.0, 0.0], [1.0, 2.0]]), first=0)
    >>> nearest.add(np.array([[1.0, 0.5]]), first=2)
    >>> nearest.rows, nearest.scores
    (array([[2]]), array([[0.5]]))
    """

    def __init__(
        self, queries: NDArray[np.floating], *, num_results: int, metric: Metric = "cosine"
    ) -> None:
        if queries.ndim != 2 or not np.isfinite(queries).all():
            raise EvaluationError(
                f"queries are rows of finite values. Got shape {queries.shape}"
                + ("." if queries.ndim != 2 else " with NaN or infinite values.")
            )
        self._queries = queries
        self._metric: Metric = metric
        self._num_results = num_results
        self._rows = np.empty((len(queries), 0), np.int64)
        self._costs = np.empty((len(queries), 0), np.float64)

    def add(
        self, rows: NDArray[np.floating], *, first: int, excluded: NDArray[np.bool_] | None = None
    ) -> None:
        """Compare more rows, the first of which has the number `first`.

        Of equally near rows those that were added earlier are kept. `excluded`, of shape (N,), says
        which are left out.
        """
        size = max(1, _BLOCK_VALUES // max(1, rows.shape[1], len(self._queries)))
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            scores = compare(self._queries, block, metric=self._metric)
            costs = -scores if self._metric == "cosine" else scores
            if excluded is not None:
                costs[:, excluded[start : start + size]] = np.inf
            numbers = np.arange(first + start, first + start + len(block))
            self._merge(np.broadcast_to(numbers, costs.shape), costs)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Numbers of the nearest rows, nearest first, shape (Q, K); -1 where there are fewer."""
        return np.where(np.isfinite(self._costs), self._rows, _NOWHERE)

    @property
    def scores(self) -> NDArray[np.float64]:
        """How near those are, shape (Q, K); see `compare`."""
        return -self._costs if self._metric == "cosine" else self._costs

    def _merge(self, rows: NDArray[np.int64], costs: NDArray[np.float64]) -> None:
        keep = self._num_results
        if costs.shape[1] > keep:  # few enough to sort
            worst = np.partition(costs, keep - 1, axis=1)[:, keep - 1 : keep]
            kept = (costs <= worst).any(axis=0)
            rows, costs = rows[:, kept], costs[:, kept]
        rows = np.concatenate([self._rows, rows], axis=1)
        costs = np.concatenate([self._costs, costs], axis=1)
        order = np.argsort(costs, axis=1, kind="stable")[:, :keep]
        self._rows = np.take_along_axis(rows, order, axis=1)
        self._costs = np.take_along_axis(costs, order, axis=1)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit
