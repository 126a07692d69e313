"""From decoded channels to frames: length, channel mix, pre-emphasis, frame arithmetic."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raudeep.config import Channels

__all__ = [
    "Silence",
    "count_frames",
    "emphasise",
    "fix_length",
    "frame_sizes",
    "mix_channels",
    "silence_of",
]

Silence = Literal["left", "right", "none"]
"""Which channel has a sound where there is none after the mix; ``"none"`` if neither has."""
_STEP = 64  # every 64th sample is tested first
_LEFT_OVER = 0.01  # of the amplitude: more of it is a sound, less what opposite channels leave


def fix_length(
    samples: NDArray[np.float32], *, num_samples: int, center: bool
) -> NDArray[np.float32]:
    """Return `samples` cut or zero-padded to `num_samples` along the last axis.

    At the end, or on both sides with `center`, where an odd sample goes to the end.
    """
    surplus = samples.shape[-1] - num_samples
    before = abs(surplus) // 2 if center else 0
    if surplus >= 0:
        return samples[..., before : before + num_samples]
    padding = [(0, 0)] * (samples.ndim - 1) + [(before, -surplus - before)]
    return np.pad(samples, padding)


def mix_channels(samples: NDArray[np.float32], mix: Channels) -> NDArray[np.float32]:
    """Return one channel of shape (samples,) from shape (channels, samples).

    Mono is returned as it is whatever the mix. With more than two channels ``mean`` averages all
    and the others take the first two; auDeep interleaves the channels there.
    """
    if samples.shape[0] == 1:
        return np.asarray(samples[0])
    left: NDArray[np.float32] = samples[0]
    right: NDArray[np.float32] = samples[1]
    if mix == "mean":
        return np.asarray(samples.mean(axis=0))
    return {"left": left, "right": right}[mix] if mix != "difference" else left - right


def silence_of(
    samples: NDArray[np.float32], mixed: NDArray[np.float32], mix: Channels
) -> Silence | None:
    """Return where there is a sound if there is none after the mix; None if there is one.

    A constant is no sound. Nor is what opposite channels leave in their mean: less than a hundredth
    of their amplitude, as of lossy formats and dither.

    Parameters
    ----------
    samples : ndarray of float32, shape (channels, samples)
        Before the mix.
    mixed : ndarray of float32, shape (samples,)
        After it.
    mix : str
        As `mix_channels` took it.
    """
    share = _LEFT_OVER if mix == "mean" and samples.shape[0] > 1 else 0.0
    if np.ptp(mixed[::_STEP]) > 2 * share:  # of amplitudes from -1 to 1, as nearly all are: quick
        return None
    found, ranges = np.ptp(mixed), np.ptp(samples, axis=-1)
    if found > share * ranges.max():
        return None
    if samples.shape[0] == 1 or not ranges[:2].any():
        return "none"
    return "left" if ranges[0] >= ranges[1] else "right"


def emphasise(samples: NDArray[np.float32], coefficient: float) -> NDArray[np.float32]:
    """Return y with y[0] = x[0] and y[n] = x[n] - coefficient * x[n-1].

    Examples
    --------
    >>> import numpy as np
    >>> emphasise(np.array([1, 1, 1], dtype=np.float32), 0.5)
    array([1. , 0.5, 0.5], dtype=float32)
    """
    emphasised = np.empty_like(samples)
    emphasised[:1] = samples[:1]
    np.multiply(samples[:-1], -np.float32(coefficient), out=emphasised[1:])
    emphasised[1:] += samples[1:]
    return emphasised


def frame_sizes(
    *,
    sample_rate: int,
    window_seconds: float,
    overlap_seconds: float,
    fixed_seconds: float | None = None,
) -> tuple[int, int]:
    """Return window length and hop length in samples.

    Window and overlap are truncated to samples each on its own. Where recordings have a fixed
    length and the truncation changes the number of frames that the lengths in seconds give, the
    overlap moves by one sample (auDeep's frame-count correction), so that corpora of mixed sample
    rates agree in shape.
    """
    window_length = int(window_seconds * sample_rate)
    overlap = int(overlap_seconds * sample_rate)
    if fixed_seconds is not None and window_length > overlap:
        expected = int((fixed_seconds - overlap_seconds) / (window_seconds - overlap_seconds))
        num_samples = int(fixed_seconds * sample_rate)
        actual = (num_samples - overlap) // (window_length - overlap)
        overlap += (expected > actual) - (expected < actual)
    return window_length, window_length - overlap


def count_frames(num_samples: int, *, window_length: int, hop_length: int) -> int:
    """Return how many whole windows fit, without padding.

    Examples
    --------
    >>> count_frames(220_500, window_length=3528, hop_length=1764)
    124
    """
    return max(0, 1 + (num_samples - window_length) // hop_length)
