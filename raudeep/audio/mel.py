"""Mel filter banks on the HTK scale, as auDeep draws them and with exact edges."""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["hz_to_mel", "mel_filter_bank", "mel_to_hz"]


def hz_to_mel(frequency: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return mel of a frequency in Hz on the HTK scale, 2595 log10(1 + f / 700)."""
    return 2595.0 * np.log10(1.0 + np.asarray(frequency) / 700.0)


def mel_to_hz(mel: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return the frequency in Hz of a mel value; the inverse of `hz_to_mel`."""
    return np.asarray(700.0 * (10.0 ** (np.asarray(mel) / 2595.0) - 1.0))


@lru_cache(maxsize=64)
def mel_filter_bank(
    *, sample_rate: int, n_fft: int, n_mels: int, edges: Literal["audeep", "exact"] = "audeep"
) -> NDArray[np.float32]:
    """Return a bank of triangular filters with peak 1, unnormalised, from 0 Hz to half the rate.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    n_fft, n_mels : int > 0
        FFT size and number of bands.
    edges : {"audeep", "exact"}
        ``audeep`` floors the band edges to the FFT bin ``(n_fft + 1) f / sample_rate``; bands
        narrower than a bin are then empty. ``exact`` keeps the edges at their frequencies, as
        torchaudio and librosa do.

    Returns
    -------
    ndarray of float32, shape (n_mels, 1 + n_fft // 2)
        Values in [0, 1]; read-only, since it is cached.
    """
    edge_hz = mel_to_hz(np.linspace(0.0, float(hz_to_mel(sample_rate / 2)), n_mels + 2))
    bins = np.arange(1 + n_fft // 2, dtype=np.float64)
    if edges == "audeep":
        points = np.floor((n_fft + 1) * edge_hz / sample_rate)
    else:
        points = edge_hz * n_fft / sample_rate
    low, peak, high = (points[i : n_mels + i, np.newaxis] for i in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = (bins - low) / (peak - low)
        falling = (high - bins) / (high - peak)
    if edges == "audeep":
        # auDeep's triangles are half-open: a rising edge without width has no bins, and the peak
        # belongs to the falling edge.
        bank = np.where((low <= bins) & (bins < peak), rising, 0.0)
        bank = np.where((peak <= bins) & (bins < high), falling, bank)
    else:
        bank = np.clip(np.minimum(rising, falling), 0.0, None)
    bank = bank.astype(np.float32)
    bank.setflags(write=False)
    return bank
