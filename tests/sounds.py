"""Sounds for the tests of kernels, and their spectrograms."""

import numpy as np

from raudeep.audio.spectrogram import compute_spectrogram
from raudeep.config import SpectrogramConfig

RATE = 16000


def tone(hz, seconds=0.5, rate=RATE, level=0.5):
    time = np.arange(int(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hz * time)).astype(np.float32)[np.newaxis]


def noise(seconds=0.5, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, (channels, int(seconds * RATE))).astype(np.float32)


def chunks(samples, rate=RATE, **values):
    return compute_spectrogram(samples, sample_rate=rate, config=SpectrogramConfig(**values))


def values(samples, rate=RATE, **config):
    (chunk,) = chunks(samples, rate=rate, **config)
    return chunk.values
