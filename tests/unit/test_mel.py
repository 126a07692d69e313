"""Mel filter banks: the exact one against torchaudio, auDeep's against its known figures."""

from pathlib import Path

import numpy as np
import pytest

from raudeep.audio.mel import hz_to_mel, mel_filter_bank, mel_to_hz

TORCHAUDIO = Path(__file__).parents[1] / "reference" / "torchaudio_mel.npz"


@pytest.mark.parametrize("case", ["16000-400-40", "22050-1764-128", "44100-3528-128"])
def test_exact_bank_equals_torchaudios(case):
    sample_rate, n_fft, n_mels = map(int, case.split("-"))
    bank = mel_filter_bank(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, edges="exact")
    assert bank.dtype == np.float32
    np.testing.assert_allclose(bank, np.load(TORCHAUDIO)[case], atol=1e-5)


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "n_mels", "empty"),
    [
        (16000, 400, 128, 21),
        (22050, 882, 128, 4),
        (22050, 1764, 128, 0),
        (22050, 1764, 320, 22),  # GTZAN
        (44100, 3528, 128, 0),  # ESC
        (44100, 7056, 320, 0),  # TUT
    ],
)
def test_floored_edges_leave_the_known_number_of_bands_empty(sample_rate, n_fft, n_mels, empty):
    bank = mel_filter_bank(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels)
    filled = bank.any(axis=1)
    assert (~filled).sum() == empty
    assert (bank[filled].max(axis=1) == 1).all()


@pytest.mark.parametrize(("sample_rate", "n_fft", "empty"), [(16000, 400, 4), (22050, 882, 0)])
def test_exact_edges_leave_fewer_bands_empty(sample_rate, n_fft, empty):
    bank = mel_filter_bank(sample_rate=sample_rate, n_fft=n_fft, n_mels=128, edges="exact")
    assert (~bank.any(axis=1)).sum() == empty


@pytest.mark.parametrize("edges", ["audeep", "exact"])
def test_bank_has_a_row_for_each_band_and_values_in_the_unit_range(edges):
    bank = mel_filter_bank(sample_rate=16000, n_fft=401, n_mels=20, edges=edges)
    assert bank.shape == (20, 201)
    assert bank.min() == 0
    assert bank.max() <= 1
    assert np.isfinite(bank).all()
    assert (np.diff(bank.argmax(axis=1)) > 0).all()


def test_bank_is_cached_and_read_only():
    bank = mel_filter_bank(sample_rate=16000, n_fft=640, n_mels=12)
    assert mel_filter_bank(sample_rate=16000, n_fft=640, n_mels=12) is bank
    with pytest.raises(ValueError, match="read-only"):
        bank[0, 0] = 1


def test_mel_scale_is_htks_and_inverts():
    frequencies = np.array([0.0, 100.0, 1000.0, 8000.0])
    np.testing.assert_allclose(hz_to_mel(frequencies), [0, 150.49, 999.99, 2840.02], atol=0.01)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(frequencies)), frequencies, atol=1e-9)
