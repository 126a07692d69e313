"""The spectrogram of a recording in one or several views, computed in one pass.

Views that share decoding, mix and transform share that work: whatever a view has in common with
another is computed once (`compute_views`).
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from raudeep.audio.decode import resample
from raudeep.audio.framing import (
    Silence,
    count_frames,
    emphasise,
    fix_length,
    frame_sizes,
    mix_channels,
    silence_of,
)
from raudeep.audio.mel import mel_filter_bank
from raudeep.config import Channels, SpectrogramConfig
from raudeep.errors import AudioError

__all__ = ["Spectrogram", "compute_spectrogram", "compute_views", "power_to_db"]

# auDeep scales a chunk only if its values span more than this many decibels.
_MIN_RANGE_DB = 1e-4


@dataclass(frozen=True)
class Spectrogram:
    """One chunk of a recording: `values` of shape (T, F), from `start` to `end` in seconds.

    Both are of the recording as it was: what is padded lies outside of them.
    """

    values: NDArray[np.float32]
    start: float
    end: float
    sample_rate: int
    """Of what was transformed, in Hz; the bands reach up to half of it."""
    recorded: float
    """Duration of the recording in seconds."""
    silence: Silence | None = None
    """Where there is no sound in it: the channel that has one, or ``"none"``."""


def compute_spectrogram(
    samples: NDArray[np.float32], *, sample_rate: int, config: SpectrogramConfig
) -> list[Spectrogram]:
    """Return the chunks of a recording in one view; see `compute_views`."""
    return compute_views(samples, sample_rate=sample_rate, configs=[config])[0]


def compute_views(
    samples: NDArray[np.float32], *, sample_rate: int, configs: Sequence[SpectrogramConfig]
) -> list[list[Spectrogram]]:
    """Return the chunks of a recording in several views.

    The steps are auDeep's: fixed length, channel mix, pre-emphasis, power of periodic-Hann frames
    without padding and without their mean, mel bands, decibels relative to the recording's
    maximum, clipping, chunks, and per chunk min-max scaling to [-1, 1].

    A silent recording has no maximum; every cell of it is -1 (or the clipping floor, 0 without
    one, where `normalise` is off). auDeep fails there.

    Parameters
    ----------
    samples : ndarray of float32, shape (channels, samples)
        Amplitudes.
    sample_rate : int
        In Hz.
    configs : sequence of SpectrogramConfig
        The views.

    Returns
    -------
    list of list of Spectrogram
        Per view its chunks in order; one chunk where the view cuts none.

    Raises
    ------
    AudioError
        If the recording is shorter than one window or has too few chunks.

    References
    ----------
    Freitag et al., auDeep: Unsupervised Learning of Representations from Audio with Deep Recurrent
    Neural Networks, JMLR 18(173), section 2.
    """
    decibels: dict[tuple[object, ...], tuple[NDArray[np.float32], bool]] = {}
    powers: dict[tuple[object, ...], tuple[NDArray[np.float32], _Signal]] = {}
    views = []
    for config in configs:
        power_key = (
            config.sample_rate,
            config.fixed_seconds,
            config.center,
            config.channels if samples.shape[0] > 1 else None,
            config.pre_emphasis,
            config.window_seconds,
            config.overlap_seconds,
        )
        if power_key not in powers:
            powers[power_key] = _power(samples, sample_rate, config)
        power, signal = powers[power_key]
        db_key = (*power_key, config.n_mels, config.mel)
        rate = config.sample_rate or sample_rate
        if db_key not in decibels:
            bands = power if config.n_mels is None else power @ _filters(rate, config).T
            decibels[db_key] = (power_to_db(bands), not bands.any())
        views.append(_finish(*decibels[db_key], signal, rate=rate, config=config))
    return views


def power_to_db(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return decibels relative to the maximum, in (-inf, 0].

    Zeros are replaced by the smallest positive power first (auDeep). An all-zero input gives 0
    everywhere.
    """
    positive = power[power > 0]
    if positive.size == 0:
        return np.zeros_like(power)
    decibels: NDArray[np.float32] = np.maximum(power, positive.min())
    decibels /= positive.max()
    np.log10(decibels, out=decibels)
    decibels *= 10
    return decibels


class _Extent(NamedTuple):
    """Where a signal lies in its recording, in seconds."""

    begin: float
    """Of the first sample; negative after padding."""
    length: float
    recorded: float
    """The duration of the recording."""

    def span(self, start: float, end: float) -> tuple[float, float]:
        """Return what part of the recording a part of the signal is."""
        first, last = (min(max(self.begin + t, 0.0), self.recorded) for t in (start, end))
        return first, last


class _Signal:
    """What was transformed: its extent, its frames, and where there is no sound in them."""

    def __init__(
        self,
        samples: NDArray[np.float32],
        mixed: NDArray[np.float32],
        mix: Channels,
        *,
        extent: _Extent,
        window_length: int,
        hop_length: int,
    ) -> None:
        self.extent, self.hop_length = extent, hop_length
        self._samples, self._mixed, self._mix = samples, mixed, mix
        self._window_length = window_length
        self._known: dict[tuple[int, int], Silence | None] = {}

    def silence(self, first: int, num_frames: int) -> Silence | None:
        """Return where there is a sound if there is none in some frames."""
        key = (first * self.hop_length, num_frames)
        if key not in self._known:
            end = key[0] + (num_frames - 1) * self.hop_length + self._window_length
            samples, mixed = (each[..., key[0] : end] for each in (self._samples, self._mixed))
            self._known[key] = silence_of(samples, mixed, self._mix)
        return self._known[key]


@np.errstate(over="ignore", invalid="ignore")  # found at the end, in one place
def _power(
    samples: NDArray[np.float32], sample_rate: int, config: SpectrogramConfig
) -> tuple[NDArray[np.float32], _Signal]:
    """Return power (T, 1 + n_fft // 2), and what it is of."""
    if config.sample_rate is not None:
        samples = resample(samples, sample_rate=sample_rate, target_rate=config.sample_rate)
        sample_rate = config.sample_rate
    recorded = samples.shape[-1]
    if config.fixed_seconds is not None:
        num_samples = int(config.fixed_seconds * sample_rate)
        samples = fix_length(samples, num_samples=num_samples, center=config.center)
    mixed = signal = mix_channels(samples, config.channels)
    if config.pre_emphasis is not None:
        signal = emphasise(signal, config.pre_emphasis)
    window_length, hop_length = frame_sizes(
        sample_rate=sample_rate,
        window_seconds=config.window_seconds,
        overlap_seconds=config.overlap_seconds,
        fixed_seconds=config.fixed_seconds,
    )
    if window_length < 2 or hop_length < 1:
        raise AudioError(
            f"has a sample rate of {sample_rate} Hz, too low for windows of "
            f"{config.window_seconds} s with an overlap of {config.overlap_seconds} s"
        )
    if count_frames(signal.size, window_length=window_length, hop_length=hop_length) == 0:
        raise AudioError(
            f"{signal.size / sample_rate:.4g} s is shorter than one window "
            f"({config.window_seconds} s at {sample_rate} Hz = {window_length} samples). "
            "Set fixed_seconds to at least a window."
        )
    frames = np.lib.stride_tricks.sliding_window_view(signal, window_length)[::hop_length]
    window = _hann(window_length)
    windowed = frames - frames.mean(axis=1, keepdims=True)
    windowed *= window
    spectrum = scipy.fft.rfft(windowed, axis=1)  # several times NumPy's speed in float32
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    power /= window.sum() ** 2 * window_length
    if not np.isfinite(power.sum()):
        raise AudioError("holds amplitudes too large for float32; normalise it to [-1, 1]")
    cut = recorded - signal.size
    before = math.copysign(abs(cut) // 2, cut) if config.center else 0.0
    extent = _Extent(before / sample_rate, signal.size / sample_rate, recorded / sample_rate)
    found = _Signal(
        *(samples, mixed, config.channels),
        extent=extent,
        window_length=window_length,
        hop_length=hop_length,
    )
    return power.astype(np.float32, copy=False), found


@lru_cache(maxsize=64)
def _hann(length: int) -> NDArray[np.float32]:
    """Return the periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


@lru_cache(maxsize=64)
def _filters(sample_rate: int, config: SpectrogramConfig) -> NDArray[np.float32]:
    assert config.n_mels is not None
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
    return bank


def _finish(
    decibels: NDArray[np.float32],
    silent: bool,
    signal: _Signal,
    *,
    rate: int,
    config: SpectrogramConfig,
) -> list[Spectrogram]:
    """Clip, cut into chunks, normalise."""
    if config.clip_below_db is not None:
        floor = np.float32(config.clip_below_db)
        decibels = np.full_like(decibels, floor) if silent else np.maximum(decibels, floor)
    if config.clip_above_db is not None:
        decibels = np.minimum(decibels, np.float32(config.clip_above_db))
    if config.chunk_seconds is None or config.chunk_count is None:
        length, seconds = len(decibels), signal.extent.length
        pieces = [decibels]
    else:
        length = int(rate * config.chunk_seconds) // signal.hop_length
        if length < 1:
            raise AudioError(
                f"at {rate} Hz a chunk of {config.chunk_seconds} s is shorter than a hop"
            )
        if length * config.chunk_count > len(decibels):
            enough = config.chunk_count * config.chunk_seconds + config.window_seconds
            raise AudioError(
                f"{len(decibels)} frames are too few for {config.chunk_count} chunks of "
                f"{length} frames ({config.chunk_seconds} s). Set fixed_seconds to {enough:g}, "
                "which pads, or lower chunk_count."
            )
        seconds = length * signal.hop_length / rate
        pieces = [decibels[i * length : (i + 1) * length] for i in range(config.chunk_count)]
    return [
        Spectrogram(
            _normalise(values, silent) if config.normalise else values,
            *signal.extent.span(number * seconds, (number + 1) * seconds),
            sample_rate=rate,
            recorded=signal.extent.recorded,
            silence=signal.silence(number * length, length),
        )
        for number, values in enumerate(pieces)
    ]


def _normalise(decibels: NDArray[np.float32], silent: bool) -> NDArray[np.float32]:
    if silent:
        return np.full_like(decibels, -1.0)
    low, high = decibels.min(), decibels.max()
    if high - low <= _MIN_RANGE_DB:
        return np.zeros_like(decibels)
    # 2 * (x - low) / (high - low) - 1 in this order gives exactly -1 at the floor, which
    # `mask_silence` compares with.
    scaled: NDArray[np.float32] = decibels - low
    scaled *= 2 / (high - low)
    scaled -= 1
    return np.minimum(scaled, np.float32(1.0))
