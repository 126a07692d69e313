"""Embeddings that cannot be shown in the plane are refused, rather than crash what draws them."""

import numpy as np
import pytest

from raudeep.errors import EvaluationError
from raudeep.evaluation.projection import project


def rows(rng, *, size=4, scale=1.0):
    return (scale * rng.standard_normal((20, size))).astype(np.float32)


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values[:, :1], r"rows of 2 or more values. Got 1\."),
        (lambda values: np.where(values > 1, np.inf, values), "finite values; "),
        (lambda values: np.full_like(values, 0.3), r"rows that differ by .* Got 0 at most\."),
        (lambda values: values * np.float32(1e-30), r"differ by 1e-15 to 1e\+15 .* Got .*e-30"),
        (lambda values: values * np.float32(1e25), r"differ by 1e-15 to 1e\+15 .* Got .*e\+25"),
    ],
)
def test_embeddings_that_make_no_picture_are_refused(rng, method, change, said):
    with pytest.raises(EvaluationError, match=said):
        project(change(rows(rng)), method=method)


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("scale", [1e-14, 1e13])
def test_rows_of_any_usual_scale_are_points(rng, method, scale):
    points = project(rows(rng, size=2, scale=scale), method=method)
    assert points.shape == (20, 2)
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) == 20


def test_the_rows_that_are_not_finite_are_counted(rng):
    values = rows(rng)
    values[[3, 5], 1] = np.nan, -np.inf
    with pytest.raises(EvaluationError, match="finite values; 2 of 20 rows hold others"):
        project(values)
