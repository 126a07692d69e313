"""How near vectors are to each other: arrays in, arrays out."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Metric", "similarities"]

Metric = Literal["cosine", "euclidean"]

_BLOCK_VALUES = 2**22  # of float64 at a time: 32 MB


def similarities(
    queries: NDArray[np.floating], rows: NDArray[np.floating], *, metric: Metric
) -> NDArray[np.float64]:
    """Return how near each row is to the nearest query, shape (N,); the larger, the nearer.

    Parameters
    ----------
    queries : ndarray, shape (Q, E)
    rows : ndarray, shape (N, E)
    metric : {"cosine", "euclidean"}
        The cosine of the angle between two vectors, in [-1, 1] and 0 where one of them is zero; or
        the negative of their Euclidean distance.

    Examples
    --------
    >>> rows = np.array([[2.0, 0.0], [0.0, 3.0]])
    >>> similarities(np.array([[1.0, 0.0]]), rows, metric="cosine")
    array([1., 0.])
    >>> similarities(np.array([[2.0, 0.0], [0.0, 0.0]]), rows, metric="euclidean")
    array([-0., -3.])
    """
    size = max(1, _BLOCK_VALUES // max(1, rows.shape[1], len(queries)))
    blocks = [rows[start : start + size] for start in range(0, len(rows), size)]
    compare = _cosines if metric == "cosine" else _negative_distances
    found = [compare(queries.astype(np.float64), block.astype(np.float64)) for block in blocks]
    return np.concatenate([np.empty(0), *found])


def _cosines(queries: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = _unit(queries) @ _unit(rows).T
    return np.asarray(np.clip(cosines.max(0), -1.0, 1.0))


def _negative_distances(
    queries: NDArray[np.float64], rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = queries @ rows.T
    squares *= -2
    squares += np.square(queries).sum(1)[:, np.newaxis]
    squares += np.square(rows).sum(1)
    distances: NDArray[np.float64] = np.sqrt(np.maximum(squares.min(0), 0.0))
    return -distances


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit
