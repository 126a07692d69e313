"""Embeddings in the plane; those that cannot be shown there are refused, rather than crash."""

import numpy as np
import pytest

from raudeep.errors import EvaluationError
from raudeep.evaluation.projection import project


def rows(rng, *, size=4, scale=1.0):
    return (scale * rng.standard_normal((20, size))).astype(np.float32)


def test_neighbours_stay_neighbours_in_the_plane(rng):
    centres = np.repeat(np.eye(3, 20, dtype=np.float32) * 50, 15, axis=0)
    points = project(centres + rng.standard_normal(centres.shape).astype(np.float32))
    assert points.shape == (45, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 15 == np.arange(45) // 15).all()


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


@pytest.mark.parametrize(("method", "least"), [("pca", 3), ("tsne", 3), ("umap", 4)])
def test_fewer_rows_than_a_method_takes_are_refused(rng, method, least):
    with pytest.raises(EvaluationError, match=rf"by {method} needs {least} or more .* Got "):
        project(rows(rng)[: least - 1], method=method)
    if method == "umap":
        pytest.importorskip("umap")
    assert project(rows(rng)[:least], method=method).shape == (least, 2)


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
