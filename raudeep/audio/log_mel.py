"""Log-mel spectrograms with an absolute scale, as networks for sound classification take them."""

from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from raudeep.audio.mel import mel_filter_bank

__all__ = ["SILENCE_DB", "log_mel"]

SILENCE_DB = -100.0
"""Decibels of digital silence: power is counted from 1e-10."""


def log_mel(
    samples: NDArray[np.float32], *, sample_rate: int, n_fft: int, hop_length: int, n_mels: int
) -> NDArray[np.float32]:
    """Return the log-mel spectrogram of a recording that is scaled to a peak of 1.

    Frame t is centred at sample ``t * hop_length``; the ends are mirrored. The power of frames
    under a periodic Hann window passes HTK triangles of unit area (their response to white noise is
    flat), and decibels are relative to a power of 1, floored at `SILENCE_DB`. Silence is
    `SILENCE_DB` everywhere.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Amplitudes of one channel.
    sample_rate : int
        In Hz.
    n_fft, hop_length : int > 0
        Window length and step in samples.
    n_mels : int > 0
        Number of mel bands F.

    Returns
    -------
    ndarray of float32, shape (T, F)
        With T = 1 + samples // hop_length.
    """
    peak = np.abs(samples).max(initial=0.0)
    signal = samples / peak if peak > 0 else samples
    # A recording shorter than the mirrored part is mirrored around a longer end of silence.
    signal = np.pad(signal, (0, max(0, n_fft // 2 + 1 - signal.size)))
    padded = np.pad(signal, n_fft // 2, mode="reflect")
    starts = slice(0, 1 + samples.size // hop_length * hop_length, hop_length)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[starts]
    window = scipy.signal.windows.hann(n_fft, sym=False).astype(np.float32)
    spectrum = scipy.fft.rfft(frames * window, axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    bands = power @ _filters(sample_rate, n_fft, n_mels).T
    decibels = 10 * np.log10(np.maximum(bands, 10 ** (SILENCE_DB / 10)))
    return np.asarray(np.maximum(decibels, SILENCE_DB), np.float32)


@lru_cache(maxsize=16)
def _filters(sample_rate: int, n_fft: int, n_mels: int) -> NDArray[np.float32]:
    bank = mel_filter_bank(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, edges="exact")
    area = bank.sum(axis=1, keepdims=True) * (sample_rate / n_fft)  # in Hz
    return np.asarray(np.divide(bank, area, out=np.zeros_like(bank), where=area > 0))
