"""Log-mel spectrograms with an absolute scale, and the statistics of bands."""

import numpy as np
import pytest

from raudeep.audio.log_mel import SILENCE_DB, log_mel
from raudeep.audio.mel import mel_to_hz
from raudeep.audio.statistics import band_statistics

RATE = 22050
SIZES = {"sample_rate": RATE, "n_fft": 1024, "hop_length": 512, "n_mels": 60}


def tone(hz, seconds=1.0, amplitude=0.3):
    times = np.arange(int(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hz * times)).astype(np.float32)


@pytest.mark.parametrize("band", [5, 20, 45])
def test_a_tone_is_loudest_in_the_band_around_it(band):
    edges = mel_to_hz(np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), 62))
    spectrogram = log_mel(tone(edges[band + 1]), **SIZES)
    assert spectrogram.shape == (1 + RATE // 512, 60)
    assert (spectrogram[2:-2].argmax(axis=1) == band).all()


def test_the_peak_of_a_recording_sets_its_level():
    quiet, loud = log_mel(tone(440, amplitude=0.01), **SIZES), log_mel(tone(440), **SIZES)
    # Far below the peak there is the rounding of the samples.
    np.testing.assert_allclose(quiet[loud > -60], loud[loud > -60], atol=1e-2)


def test_white_noise_is_as_loud_in_every_band_as_theory_says(rng):
    noise = rng.standard_normal(60 * RATE).astype(np.float32)
    noise /= np.abs(noise).max()
    power = 10 ** (log_mel(noise, **SIZES) / 10)
    hann_energy = 3 / 8 * 1024
    # A triangle of unit area over bins of 21.5 Hz sums to one bin per 21.5 Hz.
    expected = noise.var() * hann_energy / (RATE / 1024)
    np.testing.assert_allclose(power[:, 3:].mean(axis=0), expected, rtol=0.05)


def test_a_silent_recording_is_at_the_floor_and_a_short_one_has_a_frame():
    assert (log_mel(np.zeros(RATE, np.float32), **SIZES) == SILENCE_DB).all()
    short = log_mel(np.ones(3, np.float32), **SIZES)
    assert short.shape == (1, 60)
    assert np.isfinite(short).all()


def test_band_statistics_are_mean_and_population_deviation(rng):
    spectrogram = rng.standard_normal((40, 6)).astype(np.float32)
    statistics = band_statistics(spectrogram)
    assert statistics.shape == (12,)
    np.testing.assert_allclose(statistics[:6], spectrogram.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(statistics[6:], np.std(spectrogram, axis=0), rtol=1e-6)
