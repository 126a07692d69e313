"""Spectrograms against auDeep's own output: 19 cases with audio, parameters and arrays."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from raudeep.audio.decode import decode
from raudeep.audio.spectrogram import compute_spectrogram
from raudeep.config import SpectrogramConfig

DATA = Path(os.environ.get("RAUDEEP_TEST_DATA", "/nonexistent"))
REFERENCE = DATA / "audeep-reference"

pytestmark = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="RAUDEEP_TEST_DATA does not point to the reference spectrograms"
)


def _cases():
    path = REFERENCE / "cases.json"
    return json.loads(path.read_text()) if path.is_file() else []


def _config(parameters) -> SpectrogramConfig:
    mixes = {"MEAN": "mean", "LEFT": "left", "RIGHT": "right", "DIFF": "difference"}
    return SpectrogramConfig(
        window_seconds=parameters["window_width"],
        overlap_seconds=parameters["window_overlap"],
        n_mels=parameters["mel_bands"],
        channels=mixes[parameters["channels"]],
        pre_emphasis=0.95 if parameters["pre_emphasis"] else None,
        fixed_seconds=parameters["fixed_length"],
        center=parameters["center_fixed"],
        clip_below_db=parameters["clip_below"],
        clip_above_db=parameters["clip_above"],
        chunk_seconds=parameters["chunk_length"],
        chunk_count=parameters["chunk_count"],
        normalise=parameters["mean_norm"],
    )


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case["case"])
def test_spectrogram_equals_audeeps(case):
    audio = REFERENCE / case["audio"]
    if not audio.is_file():
        audio = DATA / case["audio"]
    expected = np.load(REFERENCE / "spectrograms.npz")[case["case"]]
    samples, sample_rate = decode(audio.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some cases have empty mel bands on purpose
        chunks = compute_spectrogram(
            samples, sample_rate=sample_rate, config=_config(case["parameters"])
        )
    actual = np.stack([chunk.values for chunk in chunks])

    assert actual.shape == expected.shape == tuple(case["shape"])
    difference = np.abs(actual.astype(np.float64) - expected)
    if case["parameters"]["mean_norm"]:
        assert difference.max() <= 1e-4
    else:
        assert difference[expected > -80].max() <= 0.01
