"""Several multi-layer perceptrons trained at once: the classifier that scores embeddings.

The networks of an ensemble see the same rows and differ only in their seed, so their first layers
are one wide matrix product and the later ones batched products. The loss is the sum of their mean
cross entropies and Adam works value by value: the fits are independent of each other.

Rows are the last axis throughout, (features, N): MKL multiplies fastest that way round (the
gradient of a wide first layer by a third), and the networks need no copy between layers.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.optim.adam import adam

from raudeep.config import MlpConfig
from raudeep.errors import EvaluationError

__all__ = ["MlpEnsemble", "fit_mlps", "mlp_classifier"]

Floats = NDArray[np.float32]
Classifier = Callable[[Floats, NDArray[np.int64], Floats, int, Sequence[int]], Floats]

PREDICT_ROWS = 16384  # bounds the memory of the hidden layers, whatever the size of the table


@dataclass(frozen=True, kw_only=True)
class MlpEnsemble:
    """R trained networks of the same shape; `fit_mlps` makes them."""

    weights: tuple[Tensor, ...]
    """(R·H, D), then (R, H, H) for each further hidden layer and (R, C, H)."""
    biases: tuple[Tensor, ...]
    """Shaped as `weights`, with 1 for the last size."""

    def predict_proba(self, X: Floats) -> Floats:
        """Return the class probabilities of each row under each network.

        `X` is ndarray of float32, shape (N, D), scaled as the training rows were; the result is
        ndarray of float32, shape (R, N, C).
        """
        device = self.weights[0].device
        probabilities = []
        for start in range(0, max(len(X), 1), PREDICT_ROWS):
            block = _columns(X[start : start + PREDICT_ROWS]).to(device)
            logits = _logits(block, self.weights, self.biases)  # no gradient: all are detached
            probabilities.append(logits.softmax(dim=1).transpose(1, 2).cpu().numpy())
        return np.concatenate(probabilities, axis=1)


def fit_mlps(
    train_X: Floats,
    train_y: NDArray[np.int64],
    *,
    num_classes: int,
    config: MlpConfig,
    seeds: Sequence[int],
    device: str = "cpu",
) -> MlpEnsemble:
    """Return one trained network for each seed.

    ReLU layers with dropout on their outputs, linear logits, cross entropy, one step of Adam on all
    rows per epoch; Glorot-uniform weights and biases of 0. Weights and dropout of network r come
    from ``seeds[r]`` alone, so it is the same (up to rounding) whichever others are fitted with it.

    Parameters
    ----------
    train_X, train_y : ndarray of float32, shape (N, D), and of int64, shape (N,)
        Training rows, standardised, and their label ids in [0, num_classes).
    config : MlpConfig
        Shape and training of the networks.
    seeds : sequence of int
        One seed in [0, 2**64) for each of the R networks, at least one.
    device : str
        Torch device.

    Raises
    ------
    EvaluationError
        If there are no rows, or a label id is not in [0, num_classes).

    Notes
    -----
    auDeep also puts a ReLU on the logits, so that a negative one gets no gradient; here they are
    linear. Threads are the caller's: on a busy machine one thread per fit is the fastest.
    """
    if not len(train_y) or train_y.min() < 0 or train_y.max() >= num_classes:
        raise EvaluationError(
            f"fit_mlps needs training rows with label ids in the range [0, {num_classes}). "
            f"Got {np.unique(train_y).tolist()}."
        )
    X = _columns(train_X).to(device)
    targets = torch.tensor(train_y, dtype=torch.int64, device=device).expand(len(seeds), -1)
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    weights, biases = _initial(len(X), num_classes, config, generators)
    parameters = [*weights, *biases]
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))  # of gradients
    steps = [torch.zeros((), device=device) for _ in parameters]
    for _ in range(config.num_epochs):
        masks = _dropout_masks(X.shape[1], config, generators)
        logits = _logits(X, weights, biases, masks, scale=1 / (1 - config.dropout))
        total = functional.cross_entropy(logits, targets, reduction="sum")
        gradients = list(torch.autograd.grad(total / X.shape[1], parameters))
        with torch.no_grad():
            # The function behind torch.optim.Adam: the class imports the compiler on first use,
            # which takes 1.4 s and 150 MB in every process that scores.
            adam(
                parameters,
                gradients,
                means,
                squares,
                [],
                steps,
                lr=config.learning_rate,
                beta1=0.9,
                beta2=0.999,
                eps=1e-8,
                weight_decay=0.0,
                amsgrad=False,
                maximize=False,
                fused=True,
            )
    trained = tuple(parameter.detach() for parameter in parameters)
    return MlpEnsemble(weights=trained[: len(weights)], biases=trained[len(weights) :])


def mlp_classifier(config: MlpConfig, device: str = "cpu") -> Classifier:
    """Return the classifier that cross-validation calls: arrays in, probabilities out.

    Called with (train_X, train_y, valid_X, num_classes, seeds), it returns the probabilities of
    `valid_X`, ndarray of float32, shape (R, N, C).
    """
    return lambda train_X, train_y, valid_X, num_classes, seeds: fit_mlps(
        train_X, train_y, num_classes=num_classes, config=config, seeds=seeds, device=device
    ).predict_proba(valid_X)


def _columns(X: Floats) -> Tensor:
    """Return rows (N, D) as a new tensor (D, N); a copy, since X may be read-only."""
    return torch.from_numpy(np.array(X.T, dtype=np.float32, order="C"))


def _initial(
    num_inputs: int, num_classes: int, config: MlpConfig, generators: Sequence[torch.Generator]
) -> tuple[list[Tensor], list[Tensor]]:
    sizes = [num_inputs, *[config.num_units] * config.num_layers, num_classes]
    weights, biases = list[Tensor](), list[Tensor]()
    for fan_in, fan_out in itertools.pairwise(sizes):
        weight = torch.empty(len(generators), fan_out, fan_in, device=generators[0].device)
        bound = math.sqrt(6 / (fan_in + fan_out))
        for network, generator in zip(weight, generators, strict=True):
            network.uniform_(-bound, bound, generator=generator)
        if not weights:
            weight = weight.view(-1, fan_in)
        weights.append(weight.requires_grad_())
        biases.append(torch.zeros_like(weight[..., :1], requires_grad=True))
    return weights, biases


def _dropout_masks(
    num_rows: int, config: MlpConfig, generators: Sequence[torch.Generator]
) -> Tensor | None:
    """Return masks of 0 and 1 for all hidden layers, shape (num_layers, R, H, N)."""
    if config.dropout == 0:
        return None
    # One 64-bit draw is cut into four 16-bit numbers, several times cheaper than a draw for each.
    shape = (config.num_layers, len(generators), config.num_units * num_rows)
    size = (*shape[:2], math.ceil(shape[2] / 4))
    bits = torch.empty(size, dtype=torch.int64, device=generators[0].device)
    for layer in bits:
        for network, generator in zip(layer, generators, strict=True):
            network.random_(-(2**63), None, generator=generator)
    keep = bits.view(torch.int16)[..., : shape[2]] >= round(config.dropout * 2**16) - 2**15
    return keep.to(torch.float32).view(*shape[:2], config.num_units, num_rows)


def _logits(
    X: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    masks: Tensor | None = None,
    *,
    scale: float = 1.0,
) -> Tensor:
    """Return logits of shape (R, C, N) for columns (D, N)."""
    hidden = torch.addmm(biases[0], weights[0], X)
    hidden = hidden.view(len(weights[-1]), weights[-1].shape[-1], X.shape[1])
    for layer, (weight, bias) in enumerate(zip(weights[1:], biases[1:], strict=True)):
        if masks is not None:
            hidden = hidden.mul_(masks[layer])  # before the ReLU, so that both work in place
        hidden = torch.baddbmm(bias, weight, hidden.relu_(), alpha=scale)
    return hidden
