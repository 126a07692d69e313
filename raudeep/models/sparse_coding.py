"""Sparse codes of spectrogram patches, approximated by an encoder, after Henaff et al. (2011).

A dictionary is learned that decomposes patches sparsely; then an encoder, a matrix and a shrinkage,
is trained to give approximately these codes at once. Codes are pooled over windows of a recording.
The objective and the two steps are the paper's. How they are minimised is not: codes are inferred
by FISTA, dictionaries updated as in online dictionary learning, encoders trained with Adam.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raudeep.config import SparseCodingConfig
from raudeep.models.batching import generator as generator_of

__all__ = [
    "FISTA_STEPS",
    "SparseCoder",
    "infer_codes",
    "learn_coder",
    "learn_dictionary",
    "learn_encoder",
    "pool",
    "shrink",
]

Floats = NDArray[np.float32]

FISTA_STEPS = 30
FORGETTING = 0.99
"""What the sums that a dictionary is updated from keep of their past at each step."""
ENCODER_LEARNING_RATE = 3e-3


@dataclass(frozen=True)
class SparseCoder:
    """An encoder for each part of a frame: ``code = shrink(weight @ patch + bias, threshold)``."""

    weights: Tensor
    """(P, K, D): parts of a frame, atoms of each, values of each."""
    biases: Tensor
    """(P, K)."""
    thresholds: Tensor
    """(P, K)."""
    dictionaries: Tensor
    """(P, D, K): what the codes stand for; encoding does not need it."""

    @torch.inference_mode()
    def encode(self, frames: Floats) -> Floats:
        """Return the codes (T, P·K) of frames (T, P·D)."""
        parts, _, values = self.weights.shape
        patches = torch.from_numpy(frames).view(len(frames), parts, values)
        linear = torch.einsum("pkd,tpd->tpk", self.weights, patches) + self.biases
        return shrink(linear, self.thresholds).flatten(1).numpy()

    def tensors(self) -> dict[str, Tensor]:
        """Return what `from_tensors` takes."""
        return {name: getattr(self, name).contiguous() for name in self.__dataclass_fields__}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "SparseCoder":
        """Return the coder of `tensors`."""
        return cls(**{name: tensors[name] for name in cls.__dataclass_fields__})


def learn_coder(
    frames: Floats, config: SparseCodingConfig, *, seed: int, device: torch.device
) -> SparseCoder:
    """Return the encoders of all parts of a frame, on the CPU.

    Parameters
    ----------
    frames : ndarray of float32, shape (N, F)
        Frames in any order, F = num_octaves * bands_per_octave.
    config : SparseCodingConfig
        Parts, sizes and steps.
    seed : int >= 0
        Seed of the first dictionary and the batches.
    device : torch.device
        Where to learn.
    """
    parts = config.num_octaves if config.patch == "octave" else 1
    learned = []
    for part, patches in enumerate(np.split(frames, parts, axis=1)):
        generator = generator_of(seed * 1_000_003 + part)
        data = torch.from_numpy(np.ascontiguousarray(patches)).to(device)
        atoms = config.num_atoms // parts
        dictionary = learn_dictionary(data, atoms, config=config, generator=generator)
        encoder = learn_encoder(data, dictionary, config=config, generator=generator)
        learned.append((*encoder, dictionary))
    stacked = [torch.stack(tensors).cpu() for tensors in zip(*learned, strict=True)]
    return SparseCoder(*stacked)


def infer_codes(
    patches: Tensor, dictionary: Tensor, *, sparsity: float, steps: int = FISTA_STEPS
) -> Tensor:
    """Return the codes Z (N, K) that minimise ``|Y - Z D'|² / 2 + sparsity |Z|₁``.

    Parameters
    ----------
    patches : Tensor, shape (N, D)
        What to decompose, Y.
    dictionary : Tensor, shape (D, K)
        Atoms as columns.
    sparsity : float > 0
        Weight of the L1 norm.
    steps : int
        Steps of FISTA.

    References
    ----------
    Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm for linear inverse
    problems, SIAM J. Imaging Sciences 2(1), 2009, section 4.
    """
    gram, target = dictionary.T @ dictionary, patches @ dictionary
    step = 1 / float(torch.linalg.matrix_norm(gram, 2))
    threshold = torch.tensor(step * sparsity, device=patches.device)
    codes = torch.zeros_like(target)
    ahead, momentum = codes, 1.0
    for _ in range(steps):
        before = codes
        codes = shrink(ahead - step * (ahead @ gram - target), threshold)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = codes + (momentum - 1) / following * (codes - before)
        momentum = following
    return codes


def learn_dictionary(
    patches: Tensor, num_atoms: int, *, config: SparseCodingConfig, generator: torch.Generator
) -> Tensor:
    """Return a dictionary (D, K) of atoms of norm 1 for patches (N, D).

    It starts from patches; an atom that no code uses is replaced by a patch.

    References
    ----------
    Mairal et al., Online dictionary learning for sparse coding, ICML 2009, algorithm 2.
    """
    dictionary = _unit(patches[_rows(len(patches), num_atoms, generator)].T + 1e-6)
    codes_codes = torch.zeros(num_atoms, num_atoms, device=patches.device)
    patches_codes = torch.zeros(patches.shape[1], num_atoms, device=patches.device)
    for batch in _batches(patches, config, generator):
        codes = infer_codes(batch, dictionary, sparsity=config.sparsity)
        codes_codes = FORGETTING * codes_codes + codes.T @ codes
        patches_codes = FORGETTING * patches_codes + batch.T @ codes
        for atom in range(num_atoms):
            used = codes_codes[atom, atom]
            if used < 1e-6:
                dictionary[:, atom] = _unit(batch[atom % len(batch)] + 1e-6)
                continue
            residual = patches_codes[:, atom] - dictionary @ codes_codes[:, atom]
            dictionary[:, atom] = _unit(dictionary[:, atom] + residual / used)
    return dictionary


def learn_encoder(
    patches: Tensor, dictionary: Tensor, *, config: SparseCodingConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return weight (K, D), bias (K) and threshold (K) of the encoder of a dictionary.

    It starts as the first step of the iteration that infers the codes.
    """
    step = 1 / float(torch.linalg.matrix_norm(dictionary, 2)) ** 2
    weight = (step * dictionary.T).clone().requires_grad_()
    bias = torch.zeros(len(weight), device=patches.device, requires_grad=True)
    threshold = torch.full_like(bias, step * config.sparsity).requires_grad_()
    optimizer = torch.optim.Adam([weight, bias, threshold], lr=ENCODER_LEARNING_RATE)
    for batch in _batches(patches, config, generator):
        codes = infer_codes(batch, dictionary, sparsity=config.sparsity)
        approximation = shrink(batch @ weight.T + bias, threshold)
        loss = (approximation - codes).square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return weight.detach(), bias.detach(), threshold.detach()


def pool(codes: Floats, *, window: int) -> list[tuple[int, int, Floats]]:
    """Return start, end and mean absolute codes (K) of windows of codes (T, K).

    Windows overlap by half; what is left at the end is dropped. Codes that are shorter than a
    window make one.
    """
    starts = range(0, max(1, len(codes) - window + 1), max(1, window // 2))
    magnitudes = np.abs(codes)
    return [
        (start, min(start + window, len(codes)), magnitudes[start : start + window].mean(axis=0))
        for start in starts
    ]


def shrink(values: Tensor, threshold: Tensor) -> Tensor:
    """Return `values` brought nearer to 0 by `threshold`, and 0 where they are within it."""
    return values - values.clamp(-threshold.abs(), threshold.abs())


def _unit(vectors: Tensor) -> Tensor:
    """Return column vectors scaled to norm 1."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=0, keepdim=vectors.ndim > 1)
    return vectors / norms


def _rows(num_rows: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(num_rows, (count,), generator=generator)


def _batches(
    patches: Tensor, config: SparseCodingConfig, generator: torch.Generator
) -> Iterator[Tensor]:
    for _ in range(config.num_steps):
        yield patches[_rows(len(patches), config.batch_size, generator)]
