"""How near vectors are to each other: arrays in, arrays out."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Metric", "similarities"]

Metric = Literal["cosine", "euclidean"]

_BLOCK_VALUES = 2**22  # of float64 at a time: 32 MB


def similarities(
    queries: NDArray[np.floating], rows: NDArray[np.floating], *, metric: Metric
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return how near each row is to its nearest query, and which query that is; both (N,).

    The larger, the nearer; of equally near queries it is the first.

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
    (array([1., 0.]), array([0, 0]))
    >>> similarities(np.array([[2.0, 0.0], [0.0, 0.0]]), rows, metric="euclidean")
    (array([-0., -3.]), array([0, 1]))
    """
    size = max(1, _BLOCK_VALUES // max(1, rows.shape[1], len(queries)))
    blocks = [rows[start : start + size] for start in range(0, len(rows), size)]
    compare = _cosines if metric == "cosine" else _negative_distances
    near, which = [np.empty(0)], [np.empty(0, np.int64)]
    for block in blocks:
        found = compare(queries.astype(np.float64), block.astype(np.float64))  # (Q, N)
        near.append(found.max(0))
        which.append(found.argmax(0))
    return np.concatenate(near), np.concatenate(which)


def _cosines(queries: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = _unit(queries) @ _unit(rows).T
    return np.clip(cosines, -1.0, 1.0, out=cosines)


def _negative_distances(
    queries: NDArray[np.float64], rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = queries @ rows.T
    squares *= -2
    squares += np.square(queries).sum(1)[:, np.newaxis]
    squares += np.square(rows).sum(1)
    np.sqrt(np.maximum(squares, 0.0, out=squares), out=squares)
    return np.negative(squares, out=squares)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit
