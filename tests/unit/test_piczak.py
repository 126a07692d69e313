"""The convolutional network of Piczak (2015)."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import savgol_filter

from raudeep.config import CnnConfig
from raudeep.errors import ConfigError, EvaluationError
from raudeep.models.piczak import (
    PiczakNet,
    cut_segments,
    deltas,
    fit_cnn,
    predict_recordings,
)

FLOOR = -100.0
SMALL = CnnConfig(
    num_delayed=1,
    num_filters=8,
    num_units=200,
    num_epochs=20,
    batch_size=16,
    learning_rate=0.05,
    l2=0.0,
    dropout=0.0,
)


def recordings(rng, count=24, frames=90):
    """Return spectrograms with a loud low or a loud high half, and which."""
    label_ids = np.arange(count) % 2
    spectrograms = []
    for label_id in label_ids:
        spectrogram = rng.normal(-30, 2, (frames, 60)).astype(np.float32)
        spectrogram[:, 30 * label_id : 30 * label_id + 30] += 20
        spectrograms.append(spectrogram)
    return spectrograms, label_ids


def fitted(rng, config=SMALL, seed=0):
    spectrograms, label_ids = recordings(rng)
    return fit_cnn(
        spectrograms,
        label_ids,
        num_classes=2,
        config=config,
        seed=seed,
        frame_seconds=512 / 22050,
        floor_db=FLOOR,
        device=torch.device("cpu"),
    )


def test_the_papers_network_has_the_papers_sizes():
    net = PiczakNet(CnnConfig(), n_mels=60, num_classes=50)
    shapes = [tuple(p.shape) for p in net.parameters() if p.ndim > 1]
    # Pooling leaves 80 channels of 1 x 3, so the first dense layer sees 240 values.
    assert shapes == [(80, 2, 57, 6), (80, 80, 1, 3), (5000, 240), (5000, 5000), (50, 5000)]
    assert net.eval()(torch.zeros(3, 41, 60)).shape == (3, 50)


def test_the_papers_long_segments_fit_too():
    net = PiczakNet(CnnConfig(segment_frames=101, num_units=4), n_mels=60, num_classes=10)
    assert net.eval()(torch.zeros(2, 101, 60)).shape == (2, 10)


def test_first_weights_are_those_of_the_papers_notebooks():
    torch.manual_seed(0)
    first, second = (
        layer
        for layer in PiczakNet(CnnConfig(), n_mels=60, num_classes=10).convolutions
        if isinstance(layer, torch.nn.Conv2d)
    )
    assert 0.0009 < first.weight.abs().max() <= 0.001
    assert (first.bias == 0.1).all()
    assert 0.09 < second.weight.abs().max() <= 0.1


@pytest.mark.parametrize("frames", [19, 0])
def test_segments_too_short_for_the_network_are_refused(frames):
    with pytest.raises(ConfigError, match=r"'segment_frames' .* at least 20"):
        CnnConfig(segment_frames=frames)
    assert PiczakNet(CnnConfig(segment_frames=20, num_units=2), n_mels=60, num_classes=2)


def test_deltas_are_slopes(rng):
    spectrograms = rng.standard_normal((3, 60, 41)).astype(np.float32)
    expected = savgol_filter(spectrograms, 9, polyorder=1, deriv=1, axis=-1, mode="nearest")
    found = deltas(torch.from_numpy(spectrograms)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    ramp = torch.arange(41.0).expand(1, 60, 41)
    np.testing.assert_allclose(deltas(ramp)[..., 4:-4], 1, rtol=1e-6)


def test_segments_overlap_by_half_and_silent_ones_are_left_out(rng):
    spectrogram = rng.normal(-20, 1, (216, 60)).astype(np.float32)
    cut = cut_segments(spectrogram, frames=41, overlap=0.5, floor_db=FLOOR)
    assert cut.shape == (9, 41, 60)  # of 5 s, as in the paper
    np.testing.assert_array_equal(cut[1], spectrogram[20:61])
    spectrogram[100:] = FLOOR
    assert len(cut_segments(spectrogram, frames=41, overlap=0.5, floor_db=FLOOR)) == 5


def test_segments_do_not_reach_deeper_than_80_db(rng):
    spectrogram = np.full((41, 60), -30, np.float32)
    spectrogram[0, 0], spectrogram[1, 1] = 20, -95
    (segment,) = cut_segments(spectrogram, frames=41, overlap=0.5, floor_db=FLOOR)
    assert segment.min() == -60


def test_short_and_silent_recordings_have_a_segment():
    short = cut_segments(np.zeros((5, 60), np.float32), frames=41, overlap=0.5, floor_db=FLOOR)
    assert short.shape == (1, 41, 60)
    assert (short[0, :5] == 0).all()
    assert (short[0, 5:] == -80).all()
    silent = np.full((41, 60), FLOOR, np.float32)
    assert len(cut_segments(silent, frames=41, overlap=0.5, floor_db=FLOOR)) == 1


@pytest.mark.parametrize("voting", ["probability", "majority"])
def test_a_trained_network_tells_classes_apart(rng, voting):
    config = replace(SMALL, voting=voting)
    net, scale = fitted(rng, config)
    spectrograms, label_ids = recordings(rng, count=10)
    probabilities = predict_recordings(
        net, spectrograms, scale=scale, num_classes=2, config=config, floor_db=FLOOR
    )
    assert probabilities.shape == (10, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities.argmax(axis=1) == label_ids).all()
    if voting == "majority":  # shares of 3 segments
        np.testing.assert_allclose(probabilities * 3, np.round(probabilities * 3), atol=1e-5)


def test_a_loss_that_is_lost_ends_the_training(rng):
    with pytest.raises(
        EvaluationError, match=r"loss of the CNN after epoch \d+ is (nan|inf)\. Lower"
    ):
        fitted(rng, replace(SMALL, learning_rate=1e30))


SHORT = {"num_filters": 2, "num_units": 4, "num_epochs": 1, "num_delayed": 1, "batch_size": 50}


def test_a_seed_gives_the_same_network_and_another_seed_another():
    first, again, other = (
        fitted(np.random.default_rng(1), CnnConfig(**SHORT), seed=seed)[0].state_dict()
        for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_weights_decay_by_the_gradient_of_their_squares_and_biases_do_not(monkeypatch):
    groups = []
    sgd = torch.optim.SGD

    def spy(parameters, **settings):
        groups.extend(parameters)
        return sgd(parameters, **settings)

    monkeypatch.setattr(torch.optim, "SGD", spy)
    fitted(np.random.default_rng(1), CnnConfig(**SHORT, l2=0.001))
    assert [group.get("weight_decay", 0) for group in groups] == [0.002, 0]
    assert {parameter.ndim for parameter in groups[1]["params"]} == {1}
