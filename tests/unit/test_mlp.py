import dataclasses
import math

import numpy as np
import pytest
import torch

from raudeep.config import MlpConfig
from raudeep.errors import EvaluationError
from raudeep.models.mlp import MlpEnsemble, _Batches, _Dropout, _Gradients, _initial, fit_mlps

SMALL = MlpConfig(num_layers=2, num_units=17, num_epochs=30, dropout=0.4)


@pytest.fixture(autouse=True)
def one_thread():
    """Fit on one: on a busy machine, waiting for a second makes small fits 1000 times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data():
    """Return 41 rows of 3 classes, 7 values each: odd sizes on purpose."""
    rng = np.random.default_rng(0)
    labels = np.arange(41) % 3
    return (rng.standard_normal((41, 7)) + labels[:, None]).astype(np.float32), labels


def fit(data, seeds, config=SMALL):
    return fit_mlps(*data, num_classes=3, config=config, seeds=seeds)


def reference_fit(data, ensemble, r, config):
    """Train network r from the ensemble's initial weights, layer by layer, without dropout."""
    units = config.num_units
    layers = [torch.nn.Linear(7, units), torch.nn.Linear(units, units), torch.nn.Linear(units, 3)]
    for i, layer in enumerate(layers):
        rows = slice(r * units, (r + 1) * units) if i == 0 else r
        layer.weight.data = ensemble.weights[i][rows].clone()
        torch.nn.init.zeros_(layer.bias)
    network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    if config.variant == "audeep":
        network.append(torch.nn.ReLU())
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    X, y = torch.from_numpy(data[0]), torch.from_numpy(data[1])
    for _ in range(config.num_epochs):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(X), y).backward()
        optimiser.step()
    return torch.softmax(network(X), dim=1).detach().numpy()


def test_same_seeds_give_bitwise_equal_probabilities(data):
    first, second = (fit(data, [3, 4]).predict_proba(data[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (2, 41, 3)
    assert first.dtype == np.float32
    np.testing.assert_allclose(first.sum(axis=2), 1, rtol=1e-5)


def test_different_seeds_give_different_networks(data):
    one, other = fit(data, [3, 4]).predict_proba(data[0])
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_network_is_the_same_alone_and_beside_others(data, num_layers):
    config = dataclasses.replace(SMALL, num_layers=num_layers)
    together = fit(data, [5, 6, 7], config).predict_proba(data[0])
    for r, seed in enumerate([5, 6, 7]):
        alone = fit(data, [seed], config).predict_proba(data[0])
        np.testing.assert_allclose(together[r], alone[0], atol=1e-4)


@pytest.mark.parametrize("variant", ["standard", "audeep"])
def test_fit_equals_separate_training_with_plain_layers(data, variant):
    config = dataclasses.replace(SMALL, dropout=0.0, variant=variant)
    unmoved = fit(data, [1, 2], dataclasses.replace(config, learning_rate=1e-30))
    trained = fit(data, [1, 2], config).predict_proba(data[0])
    for r in range(2):
        expected = reference_fit(data, unmoved, r, config)
        np.testing.assert_allclose(trained[r], expected, atol=1e-4)


@pytest.mark.parametrize("variant", ["standard", "audeep"])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_gradients_are_those_of_autograd(data, num_layers, variant):
    config = dataclasses.replace(SMALL, num_layers=num_layers, variant=variant)
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    X, targets = torch.from_numpy(data[0].T.copy()), torch.from_numpy(data[1])
    weights, biases = _initial(7, 3, config, generators)
    for bias in biases:  # else half of the units have nothing to tell apart
        bias.uniform_(-0.5, 0.5, generator=generators[0])
    masks = _Dropout(41, config, generators).masks()
    found = _Gradients(X, targets, weights, biases, config)(masks)
    for parameter in (*weights, *biases):
        parameter.requires_grad_()
    hidden = (weights[0] @ X + biases[0]).view(2, 17, 41)
    for i in range(num_layers):
        hidden = weights[i + 1] @ (hidden.relu() * masks[i] / 0.6) + biases[i + 1]
    logits = hidden.relu() if variant == "audeep" else hidden
    loss = torch.nn.functional.cross_entropy(logits, targets.expand(2, -1), reduction="sum") / 41
    expected = torch.autograd.grad(loss, [*weights, *biases])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_logits_are_cut_at_zero_in_audeeps_variant_alone(data):
    X = torch.from_numpy(data[0].T.copy())
    standard = fit(data, [1, 2])
    audeep = fit(data, [1, 2], dataclasses.replace(SMALL, variant="audeep"))
    assert standard._logits(X).min() < 0
    assert audeep._logits(X).min() == 0
    probabilities = audeep.predict_proba(data[0])
    largest = audeep._logits(X).max().item()
    assert probabilities.min() >= 1 / (1 + 2 * math.exp(largest)) * 0.999


@pytest.mark.parametrize("variant", ["standard", "audeep"])
def test_networks_made_again_from_their_arrays_predict_bitwise_the_same(data, variant):
    ensemble = fit(data, [1, 2], dataclasses.replace(SMALL, variant=variant))
    again = MlpEnsemble.from_arrays(ensemble.arrays())
    np.testing.assert_array_equal(again.predict_proba(data[0]), ensemble.predict_proba(data[0]))


def test_initial_weights_are_glorot_uniform_and_biases_zero(data):
    ensemble = fit(data, [1, 2], dataclasses.replace(SMALL, learning_rate=1e-30, num_units=300))
    for weight, fans in zip(ensemble.weights, [7 + 300, 300 + 300, 300 + 3], strict=True):
        bound = math.sqrt(6 / fans)
        assert bound * 0.98 < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert all(bias.abs().max() < 1e-20 for bias in ensemble.biases)


def test_dropout_drops_its_share_independently_in_each_network_and_layer():
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    masks = _Dropout(401, dataclasses.replace(SMALL, num_units=101), generators).masks()
    assert masks.shape == (2, 2, 101, 401)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    for mask in masks.flatten(0, 1):
        assert mask.mean().item() == pytest.approx(0.6, abs=0.01)
    agreement = (masks[0, 0] == masks[0, 1]).float().mean().item()
    assert agreement == pytest.approx(0.6**2 + 0.4**2, abs=0.01)


def test_dropout_that_keeps_next_to_nothing_drops():
    config = dataclasses.replace(SMALL, num_units=10, dropout=0.999999)
    assert _Dropout(40, config, [torch.Generator().manual_seed(1)]).masks().mean() < 0.01


def test_separable_classes_are_learnt_and_generalise():
    rng = np.random.default_rng(1)
    labels = np.arange(120) % 3
    X = (np.eye(3)[labels] * 6 + rng.standard_normal((120, 3))).astype(np.float32)
    config = MlpConfig(num_units=32, num_epochs=150)
    ensemble = fit_mlps(X[:90], labels[:90], num_classes=3, config=config, seeds=[1, 2])
    probabilities = ensemble.predict_proba(X[90:])
    assert probabilities.shape == (2, 30, 3)
    assert (probabilities.argmax(axis=2) == labels[90:]).mean() > 0.95


def test_global_random_state_and_threads_are_left_alone(data):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(data, [1])
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_read_only_rows_and_empty_tables_are_accepted(data):
    X = data[0].copy()
    X.flags.writeable = False
    ensemble = fit((X, data[1]), [1])
    assert ensemble.predict_proba(X[:0]).shape == (1, 0, 3)


def test_prediction_in_blocks_equals_prediction_at_once(data, monkeypatch):
    ensemble = fit(data, [1, 2])
    whole = ensemble.predict_proba(data[0])
    monkeypatch.setattr("raudeep.models.mlp.PREDICT_ROWS", 10)
    np.testing.assert_allclose(ensemble.predict_proba(data[0]), whole, atol=1e-6)


@pytest.mark.parametrize("label", [-1, 3])
def test_label_id_out_of_range_is_refused(data, label):
    labels = data[1].copy()
    labels[5] = label
    with pytest.raises(EvaluationError, match=rf"label ids in the range \[0, 3\)\. Got .*{label}"):
        fit((data[0], labels), [1])


def test_weights_that_are_lost_are_refused(data):
    with pytest.raises(
        EvaluationError, match=r"not finite after 30 epochs\. Lower its learning_rate"
    ):
        fit(data, [1], dataclasses.replace(SMALL, learning_rate=1e38))


@pytest.mark.gpu
def test_fit_on_a_gpu_learns_as_on_the_cpu(data):
    ensemble = fit_mlps(*data, num_classes=3, config=SMALL, seeds=[1, 2], device="cuda")
    probabilities = ensemble.predict_proba(data[0])
    assert (probabilities.argmax(axis=2) == data[1]).mean() > 0.5


def test_batches_of_all_rows_are_full_batches(data):
    whole = dataclasses.replace(SMALL, batch_size=41)
    np.testing.assert_array_equal(
        fit(data, [1], whole).predict_proba(data[0]), fit(data, [1]).predict_proba(data[0])
    )


@pytest.mark.parametrize("size", [1, 10, 40])
def test_each_epoch_trains_on_full_batches_of_rows_that_differ(data, size):
    X, targets = torch.from_numpy(data[0].T.copy()), torch.from_numpy(data[1])
    batches = _Batches(X, targets, size)
    epochs: list[list[torch.Tensor]] = [[], []]
    per_epoch = 41 // size
    for step, _ in enumerate(batches.of_epochs(2)):
        epochs[step // per_epoch].append(batches.X.clone())
        rows = [int((column == X.T).all(1).nonzero()) for column in batches.X.T]
        assert (targets[rows] == batches.targets).all()
        assert len(set(rows)) == size
    assert [len(epoch) for epoch in epochs] == [per_epoch, per_epoch]
    assert all(
        len({tuple(column) for batch in epoch for column in batch.T.tolist()}) == per_epoch * size
        for epoch in epochs
    )
    assert not torch.equal(epochs[0][0], epochs[1][0])


def test_a_network_does_not_depend_on_those_beside_it_in_batches(data):
    config = dataclasses.replace(SMALL, batch_size=10)
    alone, beside = fit(data, [3], config), fit(data, [5, 3], config)
    np.testing.assert_allclose(
        alone.predict_proba(data[0])[0], beside.predict_proba(data[0])[1], atol=1e-4
    )
    right = alone.predict_proba(data[0])[0].argmax(axis=1) == data[1]
    assert right.mean() > 0.6  # chance is a third
