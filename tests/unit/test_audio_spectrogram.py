"""Spectrograms: closed-form cases, scaling, degenerate recordings, chunks, several views."""

import warnings
from itertools import pairwise

import numpy as np
import pytest

from raudeep.audio.mel import hz_to_mel, mel_to_hz
from raudeep.audio.spectrogram import compute_spectrogram, compute_views, power_to_db
from raudeep.config import SpectrogramConfig
from raudeep.errors import AudioError
from tests.sounds import RATE, chunks, noise, tone, values

# --- where a tone lies


@pytest.mark.parametrize("hz", [500, 1000, 3000, 7000])
def test_tone_is_loudest_in_its_fft_bin(hz):
    spectrogram = values(tone(hz))
    assert spectrogram.shape[1] == 1 + 640 // 2
    assert (spectrogram.argmax(axis=1) == hz * 640 // RATE).all()


@pytest.mark.parametrize("mel", ["audeep", "exact"])
@pytest.mark.parametrize("band", [3, 8, 15])
def test_tone_is_loudest_in_the_mel_band_that_holds_it(mel, band):
    centres = mel_to_hz(np.linspace(0, float(hz_to_mel(RATE / 2)), 22)[1:-1])
    spectrogram = values(tone(centres[band]), n_mels=20, mel=mel)
    assert spectrogram.shape[1] == 20
    assert (spectrogram.argmax(axis=1) == band).all()


def test_tone_keeps_its_frequency_when_resampled():
    spectrogram = values(tone(1000, rate=44100), rate=44100, sample_rate=RATE)
    assert spectrogram.shape[1] == 1 + 640 // 2
    assert (spectrogram.argmax(axis=1) == 40).all()


# --- decibels, clipping, scaling


def test_decibels_are_relative_to_the_maximum_and_zeros_are_the_smallest_power():
    decibels = power_to_db(np.array([[4.0, 0.4], [0.0, 0.04]], dtype=np.float32))
    np.testing.assert_allclose(decibels, [[0, -10], [-20, -20]], atol=1e-5)


def test_decibels_leave_their_input_alone_and_silence_is_zero():
    power = np.zeros((2, 3), dtype=np.float32)
    assert power_to_db(power).tolist() == power.tolist()
    power = np.array([[0.0, 1.0]], dtype=np.float32)
    power_to_db(power)
    assert power.tolist() == [[0, 1]]


def test_normalised_values_reach_from_minus_one_to_one():
    spectrogram = values(noise(), n_mels=20)
    assert spectrogram.dtype == np.float32
    assert spectrogram.min() == -1
    assert 1 - 1e-6 < spectrogram.max() <= 1


@pytest.mark.parametrize("floor", [-7.3, -30.0, -45.0, -60.0])
def test_cells_at_the_floor_are_exactly_minus_one(floor):
    samples = tone(1000)
    decibels = values(samples, n_mels=20, clip_below_db=floor, normalise=False)
    scaled = values(samples, n_mels=20, clip_below_db=floor)
    at_floor = decibels == np.float32(floor)
    assert at_floor.any()
    assert (scaled[at_floor] == -1).all()
    assert (scaled[~at_floor] > -1).all()
    assert scaled.max() <= 1


def test_clipping_cuts_below_and_above_and_nothing_else():
    samples = noise()
    plain = values(samples, normalise=False)
    assert plain.max() == 0
    assert plain.min() < -30
    clipped = values(samples, normalise=False, clip_below_db=-20, clip_above_db=-3)
    assert clipped.min() == -20
    assert clipped.max() == -3
    assert np.array_equal(clipped, np.clip(plain, -20, -3))


@pytest.mark.parametrize("factor", [0.5, 0.3, 1e-3])
def test_spectrogram_does_not_depend_on_the_level(factor):
    samples = noise()
    quieter = samples * np.float32(factor)
    config = {"n_mels": 20, "clip_below_db": -60}
    np.testing.assert_allclose(values(samples, **config), values(quieter, **config), atol=1e-5)


# --- degenerate recordings


@pytest.mark.parametrize("config", [{}, {"n_mels": 20}, {"clip_below_db": -60}])
def test_silent_recording_is_minus_one_everywhere(config):
    spectrogram = values(np.zeros((2, RATE // 2), np.float32), **config)
    assert spectrogram.shape[0] == 24
    assert (spectrogram == -1).all()


@pytest.mark.parametrize(("floor", "expected"), [(-45.0, -45.0), (None, 0.0)])
def test_silent_recording_without_scaling_is_at_the_floor_or_zero(floor, expected):
    silence = np.zeros((1, RATE // 2), np.float32)
    assert (values(silence, normalise=False, clip_below_db=floor) == expected).all()


def test_silent_chunks_of_a_silent_recording_are_minus_one():
    silence = np.zeros((1, RATE), np.float32)
    for chunk in chunks(silence, chunk_seconds=0.4, chunk_count=2):
        assert (chunk.values == -1).all()


def test_constant_chunk_of_a_sounding_recording_is_zero():
    samples = np.concatenate([noise(0.5), np.zeros((1, RATE // 2), np.float32)], axis=1)
    found = chunks(samples, clip_below_db=-60, chunk_seconds=0.2, chunk_count=4)
    assert [chunk.values.min() for chunk in found] == [-1, -1, -1, 0]
    assert (found[3].values == 0).all()


def test_recording_of_one_window_has_one_frame():
    assert values(noise()[:, :640]).shape == (1, 321)


@pytest.mark.parametrize("num_samples", [1, 639])
def test_too_short_recording_names_the_sizes(num_samples):
    with pytest.raises(
        AudioError, match=r"shorter than one window \(0.04 s at 16000 Hz = 640 samples\).*fixed_sec"
    ):
        values(noise()[:, :num_samples])


def test_too_short_recording_is_padded_by_a_fixed_length():
    assert values(noise()[:, :5], fixed_seconds=0.1).shape == (4, 321)


def test_too_low_sample_rate_for_the_windows_is_an_audio_error():
    with pytest.raises(AudioError, match=r"sample rate of 30 Hz, too low for windows of 0.04 s"):
        values(noise(), rate=30)


# --- chunks


def test_chunks_follow_one_another_in_seconds_of_whole_frames():
    found = chunks(noise(1.0), chunk_seconds=0.3, chunk_count=3)
    assert [chunk.values.shape[0] for chunk in found] == [15, 15, 15]
    assert [round(chunk.start, 9) for chunk in found] == [0.0, 0.3, 0.6]
    assert [round(chunk.end, 9) for chunk in found] == [0.3, 0.6, 0.9]
    assert all(one.end == other.start for one, other in pairwise(found))


def test_chunks_cut_the_decibels_of_the_whole_recording():
    samples = noise(1.0)
    whole = values(samples, normalise=False)
    found = chunks(samples, normalise=False, chunk_seconds=0.3, chunk_count=3)
    assert np.array_equal(np.concatenate([chunk.values for chunk in found]), whole[:45])


def test_each_chunk_is_scaled_on_its_own():
    fading = noise(1.0) * np.linspace(1, 0.01, RATE, dtype=np.float32)
    for chunk in chunks(fading, chunk_seconds=0.3, chunk_count=3):
        assert chunk.values.min() == -1
        assert chunk.values.max() > 1 - 1e-6


def test_recording_without_chunks_reaches_from_zero_to_its_duration():
    (chunk,) = chunks(noise(0.5))
    assert (chunk.start, chunk.end) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("seconds", "config", "spans"),
    [
        (0.5, {"fixed_seconds": 0.9}, [(0, 0.5)]),
        (0.5, {"fixed_seconds": 0.9, "center": True}, [(0, 0.5)]),
        (0.9, {"fixed_seconds": 0.5}, [(0, 0.5)]),
        (0.9, {"fixed_seconds": 0.5, "center": True}, [(0.2, 0.7)]),
        (
            0.5,
            {"fixed_seconds": 0.9, "chunk_seconds": 0.3, "chunk_count": 2},
            [(0, 0.3), (0.3, 0.5)],
        ),
        (
            0.2,
            {"fixed_seconds": 1.0, "center": True, "chunk_seconds": 0.3, "chunk_count": 3},
            [(0, 0), (0, 0.2), (0.2, 0.2)],
        ),
    ],
)
def test_times_are_those_of_the_recording_and_not_of_what_is_padded(seconds, config, spans):
    found = [(chunk.start, chunk.end) for chunk in chunks(noise(seconds), **config)]
    np.testing.assert_allclose(found, spans, rtol=0, atol=1e-9)


def test_too_few_chunks_are_an_audio_error():
    with pytest.raises(AudioError, match=r"24 frames are too few for 3 chunks of 10 frames"):
        chunks(noise(0.5), chunk_seconds=0.2, chunk_count=3)


def test_exactly_as_many_chunks_as_fit_are_enough():
    assert len(chunks(noise(0.5), chunk_seconds=0.2, chunk_count=2)) == 2


@pytest.mark.parametrize("config", [{}, {"n_mels": 20}, {"pre_emphasis": None}])
def test_amplitudes_whose_power_overflows_are_an_audio_error(config):
    with pytest.raises(AudioError, match=r"amplitudes too large for float32; normalise it"):
        values(1e25 * tone(1000), **config)
    assert np.isfinite(values(1e10 * tone(1000), **config)).all()


# --- several views


def test_views_in_one_pass_equal_the_views_one_by_one():
    samples = noise(1.0, channels=2)
    configs = [
        SpectrogramConfig(**config)
        for config in [
            {},
            {"n_mels": 20, "clip_below_db": -30},
            {"n_mels": 20, "clip_below_db": -60},
            {"n_mels": 20, "mel": "exact"},
            {"n_mels": 20, "channels": "difference"},
            {"n_mels": 20, "channels": "left", "normalise": False},
            {"n_mels": 20, "pre_emphasis": None},
            {"fixed_seconds": 0.7, "center": True, "clip_above_db": -3},
            {"fixed_seconds": 0.7},
            {"window_seconds": 0.08, "chunk_seconds": 0.3, "chunk_count": 2},
            {"sample_rate": 8000},
            {"overlap_seconds": 0.01},
        ]
    ]
    together = compute_views(samples, sample_rate=RATE, configs=configs)
    assert len(together) == len(configs)
    for found, config in zip(together, configs, strict=True):
        alone = compute_spectrogram(samples, sample_rate=RATE, config=config)
        assert len(found) == len(alone)
        for one, other in zip(found, alone, strict=True):
            assert np.array_equal(one.values, other.values)
            assert (one.start, one.end) == (other.start, other.end)


def test_samples_are_left_as_they_were():
    samples = noise(channels=2)
    before = samples.copy()
    values(samples, n_mels=20, clip_below_db=-30, fixed_seconds=0.4)
    assert np.array_equal(samples, before)


def test_empty_mel_bands_are_a_warning_that_says_what_to_change():
    # A floor that no other test has: the warning comes once for each configuration.
    with pytest.warns(
        UserWarning,
        match=r"n_mels=128 leaves 21 of 128 filters empty at n_fft=400, sample_rate=16000. Use",
    ):
        values(noise(), window_seconds=0.025, n_mels=128, clip_below_db=-33.25)


def test_exact_edges_without_empty_bands_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values(noise(), n_mels=40, mel="exact")
