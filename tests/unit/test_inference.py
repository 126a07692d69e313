import numpy as np
import pytest
import torch

from raudeep.config import AutoencoderConfig
from raudeep.models.autoencoder import TimeAutoencoder
from raudeep.models.batching import Spectrograms
from raudeep.models.inference import (
    default_device,
    embed_spectrograms,
    reconstruct_spectrograms,
)

READOUTS = ("state", "pooled")


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = AutoencoderConfig(num_units=5, num_layers=2, bidirectional_encoder=True, dropout=0.5)
    return TimeAutoencoder(4, config).eval()


@pytest.fixture
def values(rng):
    return rng.uniform(-1, 1, (5, 6, 4)).astype(np.float32)


@pytest.fixture
def spectrograms(values):
    return Spectrograms.from_numpy(values)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_embeddings_do_not_depend_on_the_batch_size(model, spectrograms, batch_size):
    whole = embed_spectrograms(model, spectrograms, readouts=READOUTS)
    batches = embed_spectrograms(model, spectrograms, readouts=READOUTS, batch_size=batch_size)
    assert set(whole) == set(batches) == set(READOUTS)
    for readout in READOUTS:
        assert batches[readout].dtype == np.float32
        assert batches[readout].shape == (5, model.embedding_size(readout))
        np.testing.assert_allclose(batches[readout], whole[readout], rtol=0, atol=1e-6)


def test_embeddings_are_those_of_the_model(model, values, spectrograms):
    with torch.no_grad():
        wanted = model.embed(torch.tensor(values), READOUTS)
    embeddings = embed_spectrograms(model, spectrograms, readouts=READOUTS)
    for readout in READOUTS:
        np.testing.assert_allclose(embeddings[readout], wanted[readout], rtol=0, atol=1e-6)


def test_no_spectrograms_give_no_embeddings(model, spectrograms):
    embeddings = embed_spectrograms(
        model, spectrograms.take(torch.empty(0, dtype=torch.int64)), readouts=("state",)
    )
    assert embeddings["state"].shape == (0, model.embedding_size("state"))


@pytest.mark.parametrize("training", [True, False])
def test_reconstructing_has_no_dropout_and_leaves_the_mode_as_it_was(
    model, values, spectrograms, training
):
    model.train(training)
    first, rmse = reconstruct_spectrograms(model, spectrograms)
    assert model.training is training
    assert model.core.encoder.training is training
    np.testing.assert_array_equal(first, reconstruct_spectrograms(model, spectrograms)[0])
    with torch.no_grad():
        wanted = model.eval()(torch.tensor(values))[0].numpy()
    np.testing.assert_allclose(np.stack(first), wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(rmse, ((wanted - values) ** 2).mean((1, 2)) ** 0.5, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_failed_reconstruction_leaves_the_mode_as_it_was(model, training):
    model.train(training)
    with pytest.raises(RuntimeError, match=r"size|shape|dimension|expected"):
        reconstruct_spectrograms(model, Spectrograms.from_numpy(np.zeros((2, 6, 9), np.float32)))
    assert model.training is training
    assert model.core.encoder.training is training


@pytest.mark.parametrize(("available", "kind"), [(True, "cuda"), (False, "cpu")])
def test_default_device_is_the_gpu_where_there_is_one(monkeypatch, available, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert default_device() == torch.device(kind)
