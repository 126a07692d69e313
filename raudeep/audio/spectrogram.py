"""The spectrogram of a recording in one or several views, computed in one pass.

Views that share decoding, mix and transform share that work: whatever a view has in common with
another is computed once (`compute_views`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
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
from raudeep.audio.transform import mel_filters, transform_frames
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
    bands: dict[_PowerKey, tuple[dict[_Bank, _Bands], _Signal]] = {}
    banks: dict[_PowerKey, dict[_Bank, SpectrogramConfig]] = {}
    keys = [_power_key(config, samples.shape[0]) for config in configs]
    for key, config in zip(keys, configs, strict=True):
        banks.setdefault(key, {}).setdefault((config.n_mels, config.mel), config)
    for key, wanted in banks.items():
        bands[key] = _bands(samples, sample_rate, list(wanted.values()))
    views = []
    for key, config in zip(keys, configs, strict=True):
        found, signal = bands[key]
        decibels, silent = found[config.n_mels, config.mel]
        rate = config.sample_rate or sample_rate
        views.append(_finish(decibels, silent, signal, rate=rate, config=config))
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


_PowerKey = tuple[object, ...]
"""What two views have in common whose power is the same."""
_Bank = tuple[int | None, str]
"""Number of mel bands and their edges."""


class _Bands(NamedTuple):
    decibels: NDArray[np.float32]
    is_silent: bool


def _power_key(config: SpectrogramConfig, channels: int) -> _PowerKey:
    return (
        config.sample_rate,
        config.fixed_seconds,
        config.center,
        config.channels if channels > 1 else None,
        config.pre_emphasis,
        config.window_seconds,
        config.overlap_seconds,
    )


def _bands(
    samples: NDArray[np.float32], sample_rate: int, configs: Sequence[SpectrogramConfig]
) -> tuple[dict[_Bank, _Bands], _Signal]:
    """Return decibels (T, F) under each filter bank of views with the same power, and what of."""
    config = configs[0]
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
    found = transform_frames(frames, [mel_filters(sample_rate, each) for each in configs])
    if not all(np.isfinite(each.sum()) for each in found):
        raise AudioError("holds amplitudes too large for float32; normalise it to [-1, 1]")
    cut = recorded - signal.size
    before = math.copysign(abs(cut) // 2, cut) if config.center else 0.0
    extent = _Extent(before / sample_rate, signal.size / sample_rate, recorded / sample_rate)
    transformed = _Signal(
        *(samples, mixed, config.channels),
        extent=extent,
        window_length=window_length,
        hop_length=hop_length,
    )
    named: dict[_Bank, _Bands] = {
        (each.n_mels, each.mel): _Bands(power_to_db(power), not power.any())
        for each, power in zip(configs, found, strict=True)
    }
    return named, transformed


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
