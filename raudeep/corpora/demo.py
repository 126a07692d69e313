"""A small synthetic corpus of real audio files, for the tour, the tests and the first minutes.

Five kinds of sound that differ in how they move through time and frequency, each with random
pitch, rate, level and background noise: a good representation tells them apart, a mean over time
does not (a rising and a falling chirp have the same).
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import signal

from raudeep.errors import ConfigError

__all__ = ["DEMO_CLASSES", "is_demo_file", "write_demo_corpus"]

Samples = NDArray[np.float64]

_SAMPLE_RATE = 16000
_NUM_FOLDS = 5


def write_demo_corpus(folder: Path, *, seed: int = 0, clips_per_class: int = 20) -> None:
    """Write a labelled corpus of the ``cross-validated`` layout into `folder`.

    Five classes in five folds, at 16 kHz, of 1 to 1.5 s; every second clip is FLAC, the others are
    WAV, and about one in six is stereo. The same seed gives the same files.

    Parameters
    ----------
    folder : Path
        Where the corpus goes; made if missing. Files of the same name are replaced.
    seed : int
        Seed of all random parameters.
    clips_per_class : int
        Clips of each class, at least 5, so that every fold has one.

    Raises
    ------
    ConfigError
        If there are too few clips for the folds.
    """
    if clips_per_class < _NUM_FOLDS:
        raise ConfigError(
            f"The 'clips_per_class' parameter of write_demo_corpus must be at least {_NUM_FOLDS}. "
            f"Got {clips_per_class!r}."
        )
    for label_id, (label, synthesise) in enumerate(DEMO_CLASSES.items()):
        for clip in range(clips_per_class):
            # A generator per clip: asking for more clips leaves the others as they were.
            rng = np.random.default_rng([seed, label_id, clip])
            suffix = "flac" if clip % 2 else "wav"
            place = Path(folder) / f"fold_{clip % _NUM_FOLDS + 1}" / label
            place.mkdir(parents=True, exist_ok=True)
            _write(place / f"{label}-{clip:03d}.{suffix}", _clip(synthesise, rng))


def is_demo_file(name: str) -> bool:
    """Return whether a path below a demo corpus names one of its files."""
    fold, _, rest = name.partition("/")
    label, _, clip = rest.partition("/")
    return (
        label in DEMO_CLASSES
        and re.fullmatch(r"fold_\d", fold) is not None
        and re.fullmatch(rf"{label}-\d{{3}}\.(wav|flac)", clip) is not None
    )


def _write(path: Path, samples: Samples) -> None:
    # The hidden name keeps a half-written file out of the corpus.
    temporary = path.with_name(f".{path.name}.part")
    kind = path.suffix[1:].upper()
    soundfile.write(temporary, samples, _SAMPLE_RATE, subtype="PCM_16", format=kind)
    os.replace(temporary, path)


def _clip(
    synthesise: Callable[[Samples, np.random.Generator], Samples], rng: np.random.Generator
) -> Samples:
    """Return a faded sound in noise, shape (samples,) or (samples, 2)."""
    time = np.arange(int(rng.uniform(1.0, 1.5) * _SAMPLE_RATE)) / _SAMPLE_RATE
    sound = synthesise(time, rng)
    sound *= signal.windows.tukey(len(sound), 0.08) / np.abs(sound).max()
    noise_level = 10 ** (rng.uniform(-40, -22) / 20)
    peak = 10 ** (rng.uniform(-18, -4) / 20)
    channels = [sound]
    if rng.random() < 1 / 6:
        channels.append(np.roll(sound, int(rng.integers(1, 12))) * rng.uniform(0.4, 0.9))
    noisy = [channel + noise_level * rng.standard_normal(len(time)) for channel in channels]
    mixed = np.stack(noisy, axis=-1) if len(noisy) > 1 else noisy[0]
    return np.clip(peak * mixed, -1, 1)


def _chirp_up(time: Samples, rng: np.random.Generator) -> Samples:
    low = rng.uniform(250, 900)
    high = low * rng.uniform(2, 5)
    return np.asarray(signal.chirp(time, low, time[-1], high, method="logarithmic", phi=-90))


def _chirp_down(time: Samples, rng: np.random.Generator) -> Samples:
    return _chirp_up(time, rng)[::-1].copy()


def _clicks(time: Samples, rng: np.random.Generator) -> Samples:
    period, decay = 1 / rng.uniform(4, 12), rng.uniform(0.002, 0.008)
    since_click = (time + rng.uniform(0, period)) % period
    ringing = np.sin(2 * np.pi * rng.uniform(1000, 4000) * since_click)
    return np.exp(-since_click / decay) * (ringing + 0.5 * rng.standard_normal(len(time)))


def _hum(time: Samples, rng: np.random.Generator) -> Samples:
    pitch = rng.uniform(80, 250)
    harmonics = np.arange(1, rng.integers(5, 12))
    phases = rng.uniform(0, 2 * np.pi, (len(harmonics), 1))
    tones = np.sin(2 * np.pi * pitch * harmonics[:, None] * time + phases) / harmonics[:, None]
    tremolo = 1 + rng.uniform(0.2, 0.7) * np.sin(2 * np.pi * rng.uniform(1.5, 4) * time)
    return np.asarray(tremolo * tones.sum(axis=0))


def _noise_bursts(time: Samples, rng: np.random.Generator) -> Samples:
    period, share = 1 / rng.uniform(2, 5), rng.uniform(0.3, 0.6)
    burst = (time + rng.uniform(0, period)) % period < share * period
    smooth = np.convolve(burst, signal.windows.hann(161) / 80, mode="same")
    low = rng.uniform(300, 2500)
    band = signal.butter(
        2, [low, low * rng.uniform(1.5, 3)], "bandpass", fs=_SAMPLE_RATE, output="sos"
    )
    return np.asarray(smooth * signal.sosfilt(band, rng.standard_normal(len(time))))


DEMO_CLASSES: dict[str, Callable[[Samples, np.random.Generator], Samples]] = {
    "chirp-up": _chirp_up,
    "chirp-down": _chirp_down,
    "clicks": _clicks,
    "hum": _hum,
    "noise-bursts": _noise_bursts,
}
"""Labels and how each sounds: time in seconds and a generator in, samples out."""
