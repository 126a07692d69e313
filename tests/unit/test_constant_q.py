"""Constant-Q spectrograms and local contrast."""

import numpy as np
import pytest

from raudeep.audio.constant_q import constant_q, normalise_contrast

RATE = 22050
BANDS = {"lowest_hz": 65.40639, "num_bands": 96, "bands_per_octave": 24}


@pytest.mark.parametrize("band", [0, 30, 95])
def test_a_tone_has_its_amplitude_in_its_band_and_half_of_it_beside(band):
    times = np.arange(2 * RATE) / RATE
    hz = BANDS["lowest_hz"] * 2 ** (band / 24)
    samples = (0.5 * np.sin(2 * np.pi * hz * times)).astype(np.float32)
    spectrogram = constant_q(samples, sample_rate=RATE, hop_length=512, **BANDS)
    assert spectrogram.shape == (1 + 2 * RATE // 512, 96)
    magnitude = np.exp(spectrogram[len(spectrogram) // 2])
    assert magnitude.argmax() == band
    np.testing.assert_allclose(magnitude[band], 0.5, rtol=0.01)
    # A Hann window is down to half where a period more or less fits into it.
    for beside in {band - 1, band + 1} & set(range(96)):
        np.testing.assert_allclose(magnitude[beside], 0.25, rtol=0.06)


def test_constant_q_equals_a_plain_sum_over_the_window(rng):
    samples = rng.standard_normal(RATE).astype(np.float32)
    spectrogram = constant_q(samples, sample_rate=RATE, hop_length=512, **BANDS)
    band, frame = 50, 20
    hz = BANDS["lowest_hz"] * 2 ** (band / 24)
    length = RATE / hz / (2 ** (1 / 24) - 1)
    times = np.arange(-int(length / 2), int(length / 2) + 1)
    window = 0.5 + 0.5 * np.cos(2 * np.pi * times / length)
    piece = samples[frame * 512 + times[0] : frame * 512 + times[-1] + 1]
    value = 2 * np.abs((piece * window * np.exp(-2j * np.pi * hz / RATE * times)).sum())
    np.testing.assert_allclose(spectrogram[frame, band], np.log(value / window.sum()), atol=0.02)


def test_a_silent_or_single_sample_is_finite():
    silent = constant_q(np.zeros(1, np.float32), sample_rate=RATE, hop_length=512, **BANDS)
    assert silent.shape == (1, 96)
    np.testing.assert_allclose(silent, np.log(1e-5), rtol=1e-6)


def test_contrast_is_the_same_however_loud_and_none_where_nothing_changes(rng):
    spectrogram = rng.standard_normal((50, 24)).astype(np.float32)
    normalised = normalise_contrast(spectrogram)
    np.testing.assert_allclose(normalise_contrast(3 * spectrogram + 7), normalised, atol=1e-3)
    assert (normalise_contrast(np.full((20, 24), -11.5, np.float32)) == 0).all()


def test_contrast_lowers_what_stands_out_and_leaves_what_does_not(rng):
    spectrogram = rng.standard_normal((60, 40)).astype(np.float32)
    spectrogram[:20] *= 50
    normalised = normalise_contrast(spectrogram)
    # The loud part is divided by its own deviation, the quiet one by the mean deviation of all.
    assert normalised[:14].std() == pytest.approx(1, abs=0.3)
    assert normalised[30:].std() < 0.1
