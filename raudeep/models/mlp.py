"""Several multi-layer perceptrons trained at once: the classifier that scores embeddings.

The networks of an ensemble see the same rows and differ only in their seed, so their first layers
are one wide matrix product and the later ones batched products. The loss is the sum of their mean
cross entropies and Adam works value by value: the fits are independent of each other.

Rows are the last axis throughout, (features, N): MKL multiplies fastest that way round (the
gradient of a wide first layer by a third), and the networks need no copy between layers. The
gradients are written out, into the same memory each time: recording the layers for autograd takes
as long as computing those that are small.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adam import adam

from raudeep.config import MlpConfig
from raudeep.errors import EvaluationError

__all__ = ["MlpEnsemble", "fit_mlps"]

Floats = NDArray[np.float32]

PREDICT_ROWS = 16384  # bounds the memory of the hidden layers, whatever the size of the table


@dataclass(frozen=True, kw_only=True)
class MlpEnsemble:
    """R trained networks of the same shape; `fit_mlps` makes them."""

    weights: tuple[Tensor, ...]
    """(R·H, D), then (R, H, H) for each further hidden layer and (R, C, H)."""
    biases: tuple[Tensor, ...]
    """Shaped as `weights`, with 1 for the last size."""

    rectified: bool
    """Whether a ReLU follows the last layer, as in auDeep."""

    def predict_proba(self, X: Floats) -> Floats:
        """Return the class probabilities of each row under each network.

        `X` is ndarray of float32, shape (N, D), scaled as the training rows were; the result is
        ndarray of float32, shape (R, N, C).
        """
        device = self.weights[0].device
        probabilities = []
        for start in range(0, max(len(X), 1), PREDICT_ROWS):
            block = _columns(X[start : start + PREDICT_ROWS]).to(device)
            logits = self._logits(block)
            probabilities.append(logits.softmax(dim=1).transpose(1, 2).cpu().numpy())
        return np.concatenate(probabilities, axis=1)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the parameters by name, as `from_arrays` takes them."""
        named: dict[str, NDArray[np.generic]] = {"rectified": np.array([self.rectified])}
        for kind, tensors in (("weight", self.weights), ("bias", self.biases)):
            named |= {f"{kind}.{i}": tensor.cpu().numpy() for i, tensor in enumerate(tensors)}
        return named

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "MlpEnsemble":
        """Return the networks of `arrays`; KeyError where there are none."""
        layers = range(max(1, sum(name.startswith("weight.") for name in arrays)))
        return cls(
            weights=tuple(torch.from_numpy(arrays[f"weight.{i}"].copy()) for i in layers),
            biases=tuple(torch.from_numpy(arrays[f"bias.{i}"].copy()) for i in layers),
            rectified=bool(arrays["rectified"].all()),
        )

    def _logits(self, X: Tensor) -> Tensor:
        """Return logits of shape (R, C, N) for columns (D, N)."""
        hidden = torch.addmm(self.biases[0], self.weights[0], X)
        hidden = hidden.view(len(self.weights[-1]), self.weights[-1].shape[-1], X.shape[1])
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            hidden = torch.baddbmm(bias, weight, hidden.relu_())
        return hidden.relu_() if self.rectified else hidden


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

    ReLU layers with dropout on their outputs, cross entropy, one step of Adam per epoch on all
    rows, or one on each batch of `config.batch_size` rows; Glorot-uniform weights and biases of 0.
    Weights and dropout of network r come from ``seeds[r]`` alone, and the batches from the number
    of the epoch, so it is the same (up to rounding) whichever others are fitted with it.

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
        If there are no rows, a label id is not in [0, num_classes), or the weights do not stay
        finite.

    Notes
    -----
    The logits are linear. auDeep puts a ReLU on them, so that a negative one gets no gradient and
    no class is less likely than one at 0; ``variant="audeep"`` does as well. Threads are the
    caller's: on a busy machine one thread per fit is the fastest.
    """
    if not len(train_y) or train_y.min() < 0 or train_y.max() >= num_classes:
        raise EvaluationError(
            f"fit_mlps needs training rows with label ids in the range [0, {num_classes}). "
            f"Got {np.unique(train_y).tolist()}."
        )
    X = _columns(train_X).to(device)
    targets = torch.tensor(train_y, dtype=torch.int64, device=device)
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    weights, biases = _initial(len(X), num_classes, config, generators)
    parameters = [*weights, *biases]
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))  # of gradients
    steps = [torch.zeros((), device=device) for _ in parameters]
    batches = _Batches(X, targets, config.batch_size)
    dropout = _Dropout(batches.X.shape[1], config, generators)
    backward = _Gradients(batches.X, batches.targets, weights, biases, config)
    for _ in batches.of_epochs(config.num_epochs):
        # The function behind torch.optim.Adam: the class imports the compiler on first use, which
        # takes 1.4 s and 150 MB in every process that scores.
        adam(
            parameters,
            backward(dropout.masks()),
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
    if not all(parameter.isfinite().all() for parameter in parameters):
        raise EvaluationError(
            f"the weights of the MLP are not finite after {config.num_epochs} epochs. Lower its "
            f"learning_rate, which is {config.learning_rate:g}."
        )
    return MlpEnsemble(
        weights=tuple(weights), biases=tuple(biases), rectified=config.variant == "audeep"
    )


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
        weights.append(weight)
        biases.append(torch.zeros_like(weight[..., :1]))
    return weights, biases


class _Batches:
    """The rows of each step, always in the same memory: all of them, or full batches."""

    def __init__(self, X: Tensor, targets: Tensor, size: int | None) -> None:
        self._all = X, targets
        num_rows = X.shape[1]
        self._size = num_rows if size is None else min(size, num_rows)
        self.X, self.targets = X, targets
        if self._size < num_rows:
            self.X, self.targets = X.new_empty(len(X), self._size), targets.new_empty(self._size)

    def of_epochs(self, num_epochs: int) -> Iterator[None]:
        """Yield for each step, once `X` and `targets` hold its rows.

        Each epoch has another order, and leaves the rows out that do not fill a batch.
        """
        X, targets = self._all
        for epoch in range(num_epochs):
            if self.X is X:
                yield
                continue
            order = torch.randperm(X.shape[1], generator=torch.Generator().manual_seed(epoch))
            for rows in torch.split(order.to(X.device), self._size):
                if len(rows) == self._size:
                    torch.index_select(X, 1, rows, out=self.X)
                    torch.index_select(targets, 0, rows, out=self.targets)
                    yield


class _Dropout:
    """Draws masks of 0 and 1 for all hidden layers, always in the same memory."""

    def __init__(
        self, num_rows: int, config: MlpConfig, generators: Sequence[torch.Generator]
    ) -> None:
        shape = (config.num_layers, len(generators), config.num_units * num_rows)
        device = generators[0].device
        self._generators = generators if config.dropout else []
        # One 64-bit draw is cut into four 16-bit numbers, several times cheaper than a draw each.
        self._bits = torch.empty(
            (*shape[:2], math.ceil(shape[2] / 4)), dtype=torch.int64, device=device
        )
        self._keep = torch.empty(shape, dtype=torch.bool, device=device)
        self._masks = torch.empty(shape, device=device)
        self._least = min(round(config.dropout * 2**16), 2**16 - 1) - 2**15
        self._shape = (*shape[:2], config.num_units, num_rows)

    def masks(self) -> Tensor | None:
        """Return masks of shape (num_layers, R, H, N), valid until the next call."""
        if not self._generators:
            return None
        for layer in self._bits:
            for network, generator in zip(layer, self._generators, strict=True):
                network.random_(-(2**63), None, generator=generator)
        halves = self._bits.view(torch.int16)[..., : self._masks.shape[2]]
        torch.ge(halves, self._least, out=self._keep)
        return self._masks.copy_(self._keep).view(self._shape)


class _Gradients:
    """Gradients of the sum of the networks' mean cross entropies, always in the same memory."""

    def __init__(
        self,
        X: Tensor,
        targets: Tensor,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        config: MlpConfig,
    ) -> None:
        num_networks, num_classes, num_rows = *weights[-1].shape[:2], X.shape[1]
        self._X, self._targets, self._weights, self._biases = X, targets, weights, biases
        self._rows = torch.arange(num_rows, device=X.device)
        self._scale = 1 / (1 - config.dropout)
        self._rectified = config.variant == "audeep"
        sizes = [config.num_units] * config.num_layers + [num_classes]
        self._layers = [X.new_empty(num_networks, size, num_rows) for size in sizes]
        self._deltas = [torch.empty_like(layer) for layer in self._layers]
        self._gradients = [torch.empty_like(p) for p in (*weights, *biases)]

    def __call__(self, masks: Tensor | None) -> list[Tensor]:
        """Return the gradients of the weights and of the biases, valid until the next call."""
        layers, deltas = self._layers, self._deltas
        to_weights = self._gradients[: len(layers)]
        to_biases = self._gradients[len(layers) :]
        torch.addmm(self._biases[0], self._weights[0], self._X, out=layers[0].flatten(0, 1))
        for i in range(1, len(layers)):
            if masks is not None:
                layers[i - 1].mul_(masks[i - 1])
            layers[i - 1].relu_()
            torch.baddbmm(
                self._biases[i], self._weights[i], layers[i - 1], alpha=self._scale, out=layers[i]
            )
        if self._rectified:
            layers[-1].relu_()
        torch.softmax(layers[-1], dim=1, out=deltas[-1])
        deltas[-1][:, self._targets, self._rows] -= 1
        deltas[-1].div_(self._X.shape[1])
        if self._rectified:
            _pass_positive(deltas[-1], layers[-1])
        for i in range(len(layers) - 1, 0, -1):
            torch.sum(deltas[i], dim=2, keepdim=True, out=to_biases[i])
            deltas[i].mul_(self._scale)
            torch.bmm(deltas[i], layers[i - 1].mT, out=to_weights[i])
            torch.bmm(self._weights[i].mT, deltas[i], out=deltas[i - 1])
            _pass_positive(deltas[i - 1], layers[i - 1])  # neither dropped nor cut by the ReLU
        first = deltas[0].flatten(0, 1)
        torch.sum(first, dim=1, keepdim=True, out=to_biases[0])
        torch.mm(first, self._X.mT, out=to_weights[0])
        return self._gradients


def _pass_positive(delta: Tensor, values: Tensor) -> None:
    """Set `delta` to 0 where `values` are not positive: the gradient of a ReLU."""
    torch.ops.aten.threshold_backward.grad_input(delta, values, 0, grad_input=delta)
