"""Linear support vector machines: fitted by scikit-learn, used without it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudeep.config import SvmConfig

__all__ = ["LinearSvms", "fit_svms"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LinearSvms:
    """R linear machines, one hyperplane for each class against the others; `fit_svms` makes them.

    Their probabilities are the softmax of the signed distances from the hyperplanes, in units of
    the margin. They rank classes as the machine does, so that the most probable class is its
    decision, but they are not calibrated: 0.9 does not mean right in nine of ten cases.
    """

    weights: NDArray[np.float64]
    """(R, C, E)."""
    biases: NDArray[np.float64]
    """(R, C); minus infinity for a class that was not trained on."""

    def predict_proba(self, X: Floats) -> Floats:
        """Return the softmax of the margins of rows (N, E) under each machine, (R, N, C)."""
        margins = np.matmul(X.astype(np.float64), self.weights.swapaxes(1, 2))
        margins += self.biases[:, np.newaxis]
        # Less the largest, which is finite: nothing overflows.
        shares = np.exp(margins - margins.max(axis=2, keepdims=True))
        return np.asarray(shares / shares.sum(axis=2, keepdims=True), dtype=np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the coefficients by name, as `from_arrays` takes them."""
        return {"weights": self.weights, "biases": self.biases}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "LinearSvms":
        """Return the machines of `arrays`; KeyError where there are none."""
        return cls(weights=arrays["weights"], biases=arrays["biases"])


def fit_svms(
    train_X: Floats,
    train_y: NDArray[np.int64],
    *,
    num_classes: int,
    config: SvmConfig,
    seeds: Sequence[int],
) -> LinearSvms:
    """Return one linear machine for each seed, with squared hinge loss and an L2 penalty.

    The optimum is unique and seeds move the solution by no more than the solver's tolerance.

    Parameters
    ----------
    train_X, train_y : ndarray of float32, shape (N, E), and of int64, shape (N,)
        Training rows, standardised, and their label ids in [0, num_classes), of two or more
        classes.
    config : SvmConfig
        Complexity and limit of iterations.
    seeds : sequence of int
        One seed for each of the R machines.

    References
    ----------
    Fan et al., LIBLINEAR: A library for large linear classification, JMLR 9 (2008).
    """
    from sklearn.svm import LinearSVC  # takes a second to import

    weights = np.zeros((len(seeds), num_classes, train_X.shape[1]))
    biases = np.full((len(seeds), num_classes), -np.inf)
    for r, seed in enumerate(seeds):
        machine = LinearSVC(C=config.complexity, max_iter=config.max_iterations, random_state=seed)
        machine.fit(train_X, train_y)
        planes, offsets = machine.coef_, machine.intercept_
        if len(machine.classes_) == 2:  # then scikit-learn has one plane, for the second class
            planes, offsets = np.concatenate([-planes, planes]), np.append(-offsets, offsets)
        weights[r, machine.classes_], biases[r, machine.classes_] = planes, offsets
    return LinearSvms(weights=weights, biases=biases)
