import numpy as np
import pytest
from sklearn.svm import LinearSVC

from raudeep.config import SvmConfig
from raudeep.evaluation.svm import LinearSvms, fit_svms


def blobs(num_classes, *, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(40 * num_classes) % num_classes
    X = np.eye(num_classes, 5)[labels] * 2 + rng.standard_normal((len(labels), 5))
    return X.astype(np.float32), labels


def fit(X, y, num_classes, *, complexity=0.1, seeds=(0,)):
    config = SvmConfig(complexity=complexity)
    return fit_svms(X, y, num_classes=num_classes, config=config, seeds=seeds)


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_most_probable_class_is_the_decision_of_scikit_learn(num_classes):
    X, y = blobs(num_classes)
    probabilities = fit(X, y, num_classes).predict_proba(X)
    expected = LinearSVC(C=0.1, random_state=0).fit(X, y).predict(X)
    np.testing.assert_array_equal(probabilities[0].argmax(axis=1), expected)
    np.testing.assert_allclose(probabilities.sum(axis=2), 1, rtol=1e-6)
    assert 0 < probabilities.min() < probabilities.max() < 1


def test_probabilities_are_the_softmax_of_the_margins():
    machines = LinearSvms(weights=np.array([[[1.0], [0.0], [-1.0]]]), biases=np.zeros((1, 3)))
    found = machines.predict_proba(np.array([[np.log(2)], [1000.0]], np.float32))
    np.testing.assert_allclose(found[0], [[4 / 7, 2 / 7, 1 / 7], [1, 0, 0]], atol=1e-6)


def test_class_without_training_rows_has_probability_zero():
    X, y = blobs(2)
    found = fit(X, y * 2, 3).predict_proba(X)[0]
    assert (found[:, 1] == 0).all()
    assert (found.argmax(axis=1) == y * 2).mean() > 0.8


def test_seeds_move_the_solution_by_the_tolerance_at_most():
    X, y = blobs(3)
    first, second = fit(X, y, 3, seeds=[1, 2]).predict_proba(X)
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_larger_complexity_makes_larger_weights():
    X, y = blobs(3)
    norms = [np.abs(fit(X, y, 3, complexity=c).weights).sum() for c in (1e-4, 1e-2, 1.0)]
    assert norms == sorted(norms)
    assert norms[0] < norms[2] / 2


def test_machines_made_again_from_their_arrays_predict_bitwise_the_same():
    X, y = blobs(3)
    machines = fit(X, y, 3, seeds=[1, 2])
    again = LinearSvms.from_arrays(machines.arrays())
    np.testing.assert_array_equal(again.predict_proba(X), machines.predict_proba(X))


@pytest.mark.filterwarnings("ignore:Liblinear failed to converge")
@pytest.mark.parametrize("complexity", [1e-12, 1e6])
def test_the_solver_ends_at_the_bounds_of_the_complexity(complexity):
    for num_classes, rows in ((2, 30), (3, 120)):  # in its dual form and in its primal one
        X, y = blobs(num_classes)
        found = fit(np.tile(X[:rows], 8), y[:rows], num_classes, complexity=complexity)
        assert np.isfinite(found.predict_proba(np.tile(X, 8))).all()
