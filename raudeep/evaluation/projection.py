"""Projects embeddings to the plane: PCA, t-SNE, UMAP."""

import logging
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import EvaluationError

__all__ = ["MAX_POINTS", "Projection", "project", "projection_seconds"]

logger = logging.getLogger(__name__)

Projection = Literal["tsne", "pca", "umap"]
MAX_POINTS: dict[Projection, int] = {"tsne": 10_000, "pca": 200_000, "umap": 50_000}
"""Rows that each method takes in a minute or two on two cores."""
_SECONDS_PER_ROW: dict[Projection, float] = {"tsne": 8e-3, "pca": 1e-4, "umap": 3e-3}
_PCA_SIZE = 200  # auDeep reduces to this before t-SNE
_UMAP_NEIGHBOURS = 15  # its default, of which it warns in smaller tables
_SPREADS = (1e-15, 1e15)  # beyond, squares of float32 vanish or overflow, and t-SNE crashes


def projection_seconds(method: Projection, num_rows: int) -> float:
    """Return about how many seconds `project` takes on two cores."""
    return _SECONDS_PER_ROW[method] * num_rows


def project(
    embeddings: NDArray[np.float32],
    *,
    method: Projection = "tsne",
    perplexity: float = 50.0,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Return each embedding (N, E) as a point in the plane, shape (N, 2).

    t-SNE and UMAP start from the first 200 principal components, or as many as there are.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (N, E)
        At least 3 rows that differ, 4 for UMAP, of 2 or more finite values.
    method : {"tsne", "pca", "umap"}
        UMAP needs the package umap-learn.
    perplexity : float > 0
        Of t-SNE: about how many neighbours a point has; at most (N - 1) / 3 is used.
    seed : int in [0, 2**32)
        Seed of the starting points.

    Raises
    ------
    EvaluationError
        If a parameter is out of its range, there are too few rows or values, a value is not
        finite, all rows are equal, or the package is missing.

    References
    ----------
    van der Maaten and Hinton, Visualizing data using t-SNE, JMLR 9, 2008.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if not perplexity > 0:
        raise EvaluationError(f"perplexity must be greater than 0. Got {perplexity}.")
    if not 0 <= seed < 2**32:
        raise EvaluationError(f"seed must be in the range [0, 2**32). Got {seed}.")
    least = 4 if method == "umap" else 3
    if len(embeddings) < least:
        raise EvaluationError(
            f"a picture by {method} needs {least} or more rows. Got {len(embeddings)}."
        )
    if embeddings.shape[1] < 2:
        raise EvaluationError(
            f"a picture needs rows of 2 or more values. Got {embeddings.shape[1]}."
        )
    if infinite := int((~np.isfinite(embeddings)).any(axis=1).sum()):
        raise EvaluationError(
            f"a picture needs finite values; {infinite} of {len(embeddings)} rows hold others."
        )
    spread = float((embeddings.max(axis=0).astype(np.float64) - embeddings.min(axis=0)).max())
    if not _SPREADS[0] < spread < _SPREADS[1]:
        raise EvaluationError(
            f"a picture needs rows that differ by {_SPREADS[0]:g} to {_SPREADS[1]:g} in some "
            f"value. Got {spread:g} at most."
        )
    size = 2 if method == "pca" else min(_PCA_SIZE, *embeddings.shape)
    reduced = PCA(size, random_state=seed).fit_transform(embeddings)
    if method == "pca":
        return np.asarray(reduced, np.float32)
    if method == "umap":
        try:
            import umap
        except ImportError as error:
            raise EvaluationError(
                "UMAP needs the package umap-learn. Run `pip install 'raudeep[umap]'`."
            ) from error
        neighbours = min(_UMAP_NEIGHBOURS, len(embeddings) - 1)
        model: Any = umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1)
    else:
        about = min(perplexity, (len(embeddings) - 1) / 3)
        if about < perplexity:
            logger.info("%d rows allow a perplexity of %.3g.", len(embeddings), about)
        model = TSNE(perplexity=about, random_state=seed, init="pca")
    return np.asarray(model.fit_transform(reduced), np.float32)
