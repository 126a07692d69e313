"""From frames to power in mel bands, a block of frames at a time."""

import math
import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from raudeep.audio.mel import mel_filter_bank
from raudeep.config import SpectrogramConfig

__all__ = ["MelFilters", "mel_filters", "transform_frames"]

_BLOCK = 2**17  # samples of frames that are transformed at once: with what they become, 1 MiB
_BANDS = 16  # mel bands that are one product with the bins that they cover


class MelFilters:
    """A mel filter bank as products of few bands with the bins that they cover: most of it is 0."""

    def __init__(self, bank: NDArray[np.float32]) -> None:
        self.num_bands = len(bank)
        self._products: list[tuple[slice, slice, NDArray[np.float32]]] = []
        for start in range(0, len(bank), _BANDS):
            bands = bank[start : start + _BANDS]
            bins = np.flatnonzero(bands.any(axis=0))
            covered = slice(bins[0], bins[-1] + 1) if bins.size else slice(0, 0)
            filters = np.ascontiguousarray(bands[:, covered].T)
            self._products.append((slice(start, start + len(bands)), covered, filters))

    def apply(self, power: NDArray[np.float32], *, out: NDArray[np.float32]) -> None:
        """Write what power (T, bins) gives in the bands into `out`, shape (T, bands)."""
        for bands, bins, filters in self._products:
            np.matmul(power[:, bins], filters, out=out[:, bands])


@lru_cache(maxsize=64)
def mel_filters(sample_rate: int, config: SpectrogramConfig) -> MelFilters | None:
    """Return the mel filter bank of a view; None where it has none."""
    if config.n_mels is None:
        return None
    n_fft = int(config.window_seconds * sample_rate)
    bank = mel_filter_bank(
        sample_rate=sample_rate, n_fft=n_fft, n_mels=config.n_mels, edges=config.mel
    )
    if empty := int((~bank.any(axis=1)).sum()):
        warnings.warn(
            f"n_mels={config.n_mels} leaves {empty} of {config.n_mels} filters empty at "
            f"n_fft={n_fft}, sample_rate={sample_rate}. Use fewer bands, a longer window, "
            "or mel='exact'.",
            stacklevel=2,
        )
    return MelFilters(bank)


@np.errstate(over="ignore", invalid="ignore")  # found in the sums of what this returns
def transform_frames(
    frames: NDArray[np.float32], banks: Sequence[MelFilters | None]
) -> list[NDArray[np.float32]]:
    """Return the power of frames in the bands of each filter bank.

    Each frame loses its mean and passes a periodic Hann window. A block of frames goes through all
    steps in the same memory, which the caches hold.

    Parameters
    ----------
    frames : ndarray of float32, shape (T, n_fft)
        Amplitudes.
    banks : sequence of MelFilters or None
        None stands for the bins of the transform as they are.

    Returns
    -------
    list of ndarray of float32, shape (T, F)
        One for each bank; not finite where the amplitudes are too large for float32.
    """
    num_frames, window_length = frames.shape
    num_bins = 1 + window_length // 2
    window = _scaled_hann(window_length)
    powers = [
        np.empty((num_frames, num_bins if bank is None else bank.num_bands), np.float32)
        for bank in banks
    ]
    rows = max(1, min(num_frames, _BLOCK // window_length))
    windowed = np.empty((rows, window_length), np.float32)
    squared = np.empty((rows, num_bins), np.float32)
    for start in range(0, num_frames, rows):
        block = frames[start : start + rows]
        values, power = windowed[: len(block)], squared[: len(block)]
        np.subtract(block, block.mean(axis=1, keepdims=True), out=values)
        values *= window
        # Several times NumPy's speed in float32.
        parts = scipy.fft.rfft(values, axis=1, overwrite_x=True).view(np.float32)
        np.square(parts, out=parts)
        np.add(parts[:, ::2], parts[:, 1::2], out=power)
        for bank, found in zip(banks, powers, strict=True):
            if bank is None:
                found[start : start + rows] = power
            else:
                bank.apply(power, out=found[start : start + rows])
    return powers


@lru_cache(maxsize=64)
def _scaled_hann(length: int) -> NDArray[np.float32]:
    """Return the periodic Hann window, scaled such that the squared transform is the power."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    scaled: NDArray[np.float32] = (window / (window.sum() * math.sqrt(length))).astype(np.float32)
    return scaled
