"""How near rows are to queries."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from raudeep.evaluation import neighbours
from raudeep.evaluation.neighbours import similarities


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("block", [1, 40, 2**22])
def test_similarities_are_those_of_the_nearest_query(rng, monkeypatch, metric, block):
    monkeypatch.setattr(neighbours, "_BLOCK_VALUES", block)
    queries, rows = rng.normal(size=(3, 8)).astype("float32"), rng.normal(size=(23, 8))
    expected = {"cosine": cosine_similarity, "euclidean": lambda q, r: -euclidean_distances(q, r)}
    found, which = similarities(queries, rows, metric=metric)
    every = expected[metric](queries, rows)
    np.testing.assert_allclose(found, every.max(0), atol=1e-6)
    assert which.tolist() == every.argmax(0).tolist()


def test_silence_is_near_nothing():
    rows = np.array([[0.0, 0.0], [1.0, 1.0]])
    near, _ = similarities(np.zeros((1, 2)), rows, metric="cosine")
    assert near.tolist() == [0.0, 0.0]


def test_no_rows_have_no_similarities():
    near, which = similarities(np.ones((1, 2)), np.ones((0, 2)), metric="cosine")
    assert near.shape == which.shape == (0,)
