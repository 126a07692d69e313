"""Constant-Q spectrograms and their local contrast."""

from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.sparse
from numpy.typing import NDArray

__all__ = ["constant_q", "normalise_contrast"]

_MIN_WEIGHT = 0.005  # of a spectral kernel, relative to its largest: what is less is left out
_BLOCK = 256  # frames that are transformed at once, each with thousands of samples
_FLOOR = 1e-5  # of the magnitude, below which there is but noise: -100 dB


def constant_q(
    samples: NDArray[np.float32],
    *,
    sample_rate: int,
    hop_length: int,
    lowest_hz: float,
    num_bands: int,
    bands_per_octave: int,
) -> NDArray[np.float32]:
    """Return the log magnitude of a constant-Q transform.

    Band k is centred at ``lowest_hz * 2 ** (k / bands_per_octave)`` and sees a Hann window of Q
    periods, Q = 1 / (2 ** (1 / bands_per_octave) - 1), so neighbouring bands are a window's
    bandwidth apart. Frame t is centred at sample ``t * hop_length``, with silence around the
    recording. A sine of amplitude 1 at a band's centre has magnitude 1.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Amplitudes of one channel.
    sample_rate : int
        In Hz.
    hop_length : int > 0
        Step in samples.
    lowest_hz : float > 0
        Centre of the lowest band.
    num_bands, bands_per_octave : int > 0
        Number of bands F, all of them below half the sample rate, and how many of them an octave
        has.

    Returns
    -------
    ndarray of float32, shape (T, F)
        Natural logarithms of magnitudes above 1e-5, with T = 1 + samples // hop_length.

    References
    ----------
    Brown and Puckette, An efficient algorithm for the calculation of a constant Q transform,
    JASA 92(5), 1992.
    """
    kernels, n_fft = _kernels(sample_rate, lowest_hz, num_bands, bands_per_octave)
    padded = np.pad(samples, n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    bands = [
        kernels @ scipy.fft.rfft(frames[start : start + _BLOCK], axis=1).T
        for start in range(0, len(frames), _BLOCK)
    ]
    magnitude = np.abs(np.concatenate(bands, axis=1)).T
    return np.asarray(np.log(np.maximum(magnitude, _FLOOR)), np.float32)


def normalise_contrast(spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a spectrogram with its local mean removed and its local deviation made even.

    Mean and standard deviation are weighted by a Gaussian of 9 x 9 cells; the deviation that cells
    are divided by is at least the mean one of the spectrogram. An even spectrogram gives 0.

    Parameters
    ----------
    spectrogram : ndarray of float32, shape (T, F)

    Returns
    -------
    ndarray of float32, shape (T, F)

    References
    ----------
    Jarrett et al., What is the best multi-stage architecture for object recognition?, ICCV 2009,
    section 2.1.
    """
    centred = spectrogram - _local_mean(spectrogram)
    deviation = np.sqrt(np.maximum(_local_mean(np.square(centred)), 0))
    divisor = np.maximum(deviation, deviation.mean())
    even = np.zeros_like(centred)
    return np.asarray(np.divide(centred, divisor, out=even, where=divisor > 1e-6))


def _local_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(scipy.ndimage.gaussian_filter(values, sigma=2.0, radius=4, mode="nearest"))


@lru_cache(maxsize=8)
def _kernels(
    sample_rate: int, lowest_hz: float, num_bands: int, bands_per_octave: int
) -> tuple[scipy.sparse.csr_array, int]:
    """Return the spectra of all bands' kernels, mostly zeros, and the FFT size."""
    centres = lowest_hz * 2 ** (np.arange(num_bands) / bands_per_octave)
    lengths = sample_rate / centres / (2 ** (1 / bands_per_octave) - 1)
    n_fft = int(2 ** np.ceil(np.log2(lengths.max())))
    times = np.arange(n_fft) - n_fft // 2
    spectra = []
    for centre, length in zip(centres, lengths, strict=True):
        inside = np.abs(times) < length / 2
        window = np.where(inside, 0.5 + 0.5 * np.cos(2 * np.pi * times / length), 0)
        kernel = 2 * window / window.sum() * np.exp(2j * np.pi * centre / sample_rate * times)
        # Parseval: a product of spectra in place of the product with the frame.
        spectrum = np.conj(scipy.fft.fft(kernel))[: n_fft // 2 + 1] / n_fft
        weights = np.abs(spectrum)
        spectra.append(np.where(weights > _MIN_WEIGHT * weights.max(), spectrum, 0))
    return scipy.sparse.csr_array(np.array(spectra, np.complex64)), n_fft
