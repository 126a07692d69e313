"""Framing: lengths, channels, pre-emphasis, and how many frames there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raudeep.audio.framing import (
    count_frames,
    emphasise,
    fix_length,
    frame_sizes,
    mix_channels,
)
from tests.sounds import RATE, noise, values

# --- lengths, channels, pre-emphasis


def test_fixed_length_cuts_and_pads_at_the_end():
    samples = np.arange(1, 6, dtype=np.float32)[np.newaxis]
    assert fix_length(samples, num_samples=3, center=False).tolist() == [[1, 2, 3]]
    assert fix_length(samples, num_samples=7, center=False).tolist() == [[1, 2, 3, 4, 5, 0, 0]]
    assert fix_length(samples, num_samples=5, center=True).tolist() == [[1, 2, 3, 4, 5]]


def test_centring_puts_the_odd_sample_at_the_end():
    samples = np.arange(1, 6, dtype=np.float32)[np.newaxis]
    assert fix_length(samples, num_samples=2, center=True).tolist() == [[2, 3]]
    assert fix_length(samples, num_samples=8, center=True).tolist() == [[0, 1, 2, 3, 4, 5, 0, 0]]


@pytest.mark.parametrize(
    ("mix", "expected"),
    [("mean", [2.0, 3.0]), ("left", [1.0, 2.0]), ("right", [3.0, 4.0]), ("difference", [-2, -2])],
)
def test_stereo_is_mixed(mix, expected):
    stereo = np.array([[1, 2], [3, 4]], dtype=np.float32)
    assert mix_channels(stereo, mix).tolist() == expected


@pytest.mark.parametrize(
    ("mix", "expected"), [("mean", 4.0), ("left", 1.0), ("right", 3.0), ("difference", -2.0)]
)
def test_three_channels_are_averaged_and_the_other_mixes_take_the_first_two(mix, expected):
    samples = np.array([[1.0], [3.0], [8.0]], dtype=np.float32)
    assert mix_channels(samples, mix).tolist() == [expected]


@pytest.mark.parametrize("mix", ["mean", "left", "right", "difference"])
def test_mono_is_used_as_it_is_whatever_the_mix(mix):
    samples = noise()
    assert np.array_equal(mix_channels(samples, mix), samples[0])
    assert np.array_equal(values(samples, channels=mix), values(samples))


def test_pre_emphasis_follows_its_formula():
    samples = noise()[0]
    emphasised = emphasise(samples, 0.95)
    assert emphasised[0] == samples[0]
    expected = samples[1:].astype(np.float64) - 0.95 * samples[:-1]
    np.testing.assert_allclose(emphasised[1:], expected, atol=1e-7)


def test_pre_emphasis_leaves_its_input_alone():
    samples = noise()[0]
    before = samples.copy()
    emphasise(samples, 0.95)
    assert np.array_equal(samples, before)


# --- frames


def naive_frame_count(num_samples, window_length, hop_length):
    count = start = 0
    while start + window_length <= num_samples:
        count, start = count + 1, start + hop_length
    return count


@settings(deadline=None, database=None, max_examples=50)
@given(st.integers(0, 5000), st.integers(1, 600), st.integers(1, 600))
def test_frame_count_is_that_of_a_naive_loop(num_samples, window_length, hop_length):
    assert count_frames(
        num_samples, window_length=window_length, hop_length=hop_length
    ) == naive_frame_count(num_samples, window_length, hop_length)


@settings(deadline=None, database=None, max_examples=25)
@given(st.integers(320, 3000), st.integers(0, 319))
def test_spectrogram_has_as_many_frames_as_fit(num_samples, overlap):
    # Half a sample more, so that truncation gives back the overlap that was meant.
    seconds = (overlap + 0.5) / RATE
    spectrogram = values(noise()[:, :num_samples], window_seconds=0.02, overlap_seconds=seconds)
    assert spectrogram.shape == (naive_frame_count(num_samples, 320, 320 - overlap), 161)


def test_window_and_overlap_are_each_truncated_to_samples():
    sizes = frame_sizes(sample_rate=11025, window_seconds=0.025, overlap_seconds=0.01)
    assert sizes == (275, 165)  # 275.625 and 110.25


SETTINGS = [
    # window, overlap and fixed length in seconds
    (0.08, 0.04, 5.0),
    (0.04, 0.02, 5.0),
    (0.16, 0.08, 10.0),
    (0.025, 0.015, 1.0),
    (0.064, 0.032, 1.5),
    (0.03, 0.01, 2.0),
]


@pytest.mark.parametrize(("window", "overlap", "fixed"), SETTINGS)
def test_number_of_frames_is_that_of_the_seconds_wherever_one_sample_achieves_it(
    window, overlap, fixed
):
    expected = int((fixed - overlap) / (window - overlap))
    corrected = 0
    for rate in [*range(4000, 50000, 173), 11025, 22050, 44100]:
        window_length, overlap_length = int(window * rate), int(overlap * rate)
        num_samples = int(fixed * rate)
        counts = {
            shift: naive_frame_count(
                num_samples, window_length, window_length - overlap_length - shift
            )
            for shift in (-1, 0, 1)
        }
        got_window, got_hop = frame_sizes(
            sample_rate=rate, window_seconds=window, overlap_seconds=overlap, fixed_seconds=fixed
        )
        assert got_window == window_length
        if expected in counts.values():
            corrected += counts[0] != expected
            frames = count_frames(num_samples, window_length=got_window, hop_length=got_hop)
            assert frames == expected, f"at {rate} Hz"
        if counts[0] == expected:
            assert got_hop == window_length - overlap_length
    if (window, overlap) == (0.025, 0.015):
        assert corrected > 0  # so that this test tests something


@pytest.mark.parametrize(
    ("rate", "seconds", "frames"),
    [(44100, 5.0, 124), (48000, 5.0, 124), (16000, 5.0, 124), (22050, 31.0, 774)],
)
def test_published_settings_need_no_correction(rate, seconds, frames):
    sizes = frame_sizes(
        sample_rate=rate, window_seconds=0.08, overlap_seconds=0.04, fixed_seconds=seconds
    )
    assert sizes == frame_sizes(sample_rate=rate, window_seconds=0.08, overlap_seconds=0.04)
    window_length, hop_length = sizes
    num_samples = int(seconds * rate)
    assert count_frames(num_samples, window_length=window_length, hop_length=hop_length) == frames


def test_recordings_of_other_lengths_get_the_same_shape_with_a_fixed_length():
    shapes = {values(noise(seconds), fixed_seconds=0.5).shape for seconds in (0.1, 0.5, 0.9)}
    assert len(shapes) == 1
