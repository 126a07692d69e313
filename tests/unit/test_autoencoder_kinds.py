"""The frequency-recurrent and the joint autoencoder, and what all three share."""

import itertools

import pytest
import torch

from raudeep.config import (
    AutoencoderConfig,
    FrequencyAutoencoderConfig,
    FrequencyTimeAutoencoderConfig,
    TrainingConfig,
)
from raudeep.errors import ConfigError
from raudeep.models.autoencoder import (
    FrequencyAutoencoder,
    FrequencyTimeAutoencoder,
    TimeAutoencoder,
    build_autoencoder,
    reconstruction_error,
)
from raudeep.models.batching import Spectrograms
from raudeep.models.fitting import Fit
from raudeep.models.inference import embed_spectrograms, reconstruct_spectrograms
from tests.packed import encode

B, T, F = 3, 6, 12
WINDOWS = {"window_bands": 4, "overlap_bands": 2}  # 5 windows
SMALL = {"num_units": 5, "dropout": 0.0}
CONFIGS = {
    "time": AutoencoderConfig(**SMALL),
    "frequency": FrequencyAutoencoderConfig(**SMALL, **WINDOWS),
    "frequency-time": FrequencyTimeAutoencoderConfig(
        **SMALL, **WINDOWS, num_layers=2, frequency_num_units=3
    ),
}


def make(config, bands=F):
    torch.manual_seed(0)
    return build_autoencoder(bands, config)


@pytest.fixture
def spectrograms():
    return torch.rand(B, T, F, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(params=CONFIGS)
def model(request):
    return make(CONFIGS[request.param]).eval()


def test_the_configuration_decides_which_autoencoder_is_built():
    kinds = {name: type(make(config)) for name, config in CONFIGS.items()}
    assert kinds == {
        "time": TimeAutoencoder,
        "frequency": FrequencyAutoencoder,
        "frequency-time": FrequencyTimeAutoencoder,
    }


def test_frequency_autoencoder_reads_the_windows_of_each_frame_by_itself(spectrograms):
    model = make(CONFIGS["frequency"])
    state, frames = model.encode(spectrograms)
    assert state.shape == (B, T, model.representation_size) == (B, T, 5)
    assert torch.equal(frames, state.transpose(0, 1))
    windows = torch.stack([spectrograms[1, 2, i : i + 4] for i in (0, 2, 4, 6, 8)])
    wanted, _ = encode(model.core, windows.unsqueeze(1))
    torch.testing.assert_close(state[1, 2], wanted[0])


def test_frequency_autoencoder_reconstructs_the_windows_in_their_order(spectrograms):
    model = make(CONFIGS["frequency"])
    reconstruction, target = model(spectrograms)
    assert reconstruction.shape == target.shape == (B, T, 5, 4)
    for index, start in enumerate((0, 2, 4, 6, 8)):
        assert torch.equal(target[:, :, index], spectrograms[:, :, start : start + 4])
    torch.testing.assert_close(model.to_spectrograms(target), spectrograms)


def test_bands_that_no_window_covers_are_left_out_with_a_warning(spectrograms):
    config = FrequencyAutoencoderConfig(**SMALL, window_bands=5, overlap_bands=2)
    with pytest.warns(UserWarning, match="leave the last 1 of 12 bands out"):
        model = make(config)
    _, target = model(spectrograms)
    assert target.shape == (B, T, 3, 5)
    torch.testing.assert_close(model.to_spectrograms(target), spectrograms[..., :11])


def test_windows_wider_than_the_spectrogram_are_refused():
    with pytest.raises(ConfigError, match=r"'window_bands'.*at most the 3 bands.*Got 4"):
        make(CONFIGS["frequency"], bands=3)


def test_joint_representation_is_the_time_encoding_of_the_frequency_encodings(spectrograms):
    model = make(CONFIGS["frequency-time"])
    frequency = make(CONFIGS["frequency-time"])
    frames, _ = frequency.frequency.encode(*model.windows.steps(spectrograms))
    frames = frames.view(B, T, -1).transpose(0, 1)
    wanted, outputs = encode(frequency.time, frames)
    state, top = model.encode(spectrograms)
    torch.testing.assert_close(state, wanted)
    torch.testing.assert_close(top, outputs)
    assert state.shape == (B, 2 * 5)
    assert top.shape == (T, B, 5)


def test_axes_of_the_joint_autoencoder_have_their_own_settings():
    config = FrequencyTimeAutoencoderConfig(
        cell="lstm",
        num_layers=2,
        num_units=5,
        bidirectional_encoder=True,
        frequency_num_layers=3,
        frequency_num_units=7,
        frequency_bidirectional_decoder=True,
        **WINDOWS,
    )
    model = make(config)
    assert model.time.encoder.state_size == 2 * 5 * 2 * 2
    assert model.time.representation_size == 2 * 5 * 2
    assert model.frequency.representation_size == 3 * 7 * 2 * 2
    assert model.frequency.encoder.state_size == 3 * 7 * 2


def test_defaults_are_those_of_audeep():
    config = FrequencyTimeAutoencoderConfig()
    assert (config.frequency_num_layers, config.frequency_num_units) == (1, 64)
    assert (config.num_layers, config.num_units) == (2, 128)
    assert (config.window_bands, config.overlap_bands) == (32, 24)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window_bands": 0}, r"'window_bands'.*at least 1. Got 0"),
        ({"overlap_bands": 32}, r"'overlap_bands'.*\[0, window_bands=32\). Got 32"),
        ({"frequency_num_units": 0}, r"'frequency_num_units'.*at least 1"),
        (
            {"frequency_bidirectional_decoder": True, "frequency_feed_previous_prob": 0.5},
            r"'frequency_feed_previous_prob'.*0 with a bidirectional decoder",
        ),
    ],
)
def test_impossible_architectures_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        FrequencyTimeAutoencoderConfig(**settings)


def test_losses_of_all_three_fall(model, spectrograms):
    fit = Fit(model, TrainingConfig(batch_size=3, learning_rate=0.02, precision="float32"))
    rows = Spectrograms.from_numpy(spectrograms.numpy())
    losses = [fit.run_epoch(epoch, rows).loss for epoch in range(1, 31)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("axis", ["", "frequency_"])
def test_noise_and_own_outputs_of_either_axis_change_the_training(spectrograms, axis):
    plain = CONFIGS["frequency-time"]
    for name in ("encoder_noise", "feed_previous_prob"):
        settings = {**vars(plain), axis + name: 0.7}
        changed = make(FrequencyTimeAutoencoderConfig(**settings))
        reference = make(plain)
        torch.manual_seed(1)
        noisy = changed.train()(spectrograms)[0]
        assert not torch.allclose(noisy, reference.train()(spectrograms)[0])
        torch.testing.assert_close(
            changed.eval()(spectrograms)[0], reference.eval()(spectrograms)[0]
        )


def padded_like(spectrograms, lengths, filling):
    padded = spectrograms.clone()
    for row, length in zip(padded, lengths.tolist(), strict=True):
        row[length:] = filling
    return padded


def test_embeddings_do_not_depend_on_what_follows_as_padding(model, spectrograms):
    lengths = torch.tensor([2, 6, 5])
    with torch.no_grad():
        found = [
            model.embed(padded_like(spectrograms, lengths, value), ("state", "pooled"), lengths)
            for value in (0.0, 50.0)
        ]
        for index, length in enumerate(lengths.tolist()):
            alone = model.embed(spectrograms[index : index + 1, :length], ("state", "pooled"))
            for embeddings, readout in itertools.product(found, ("state", "pooled")):
                ours = embeddings[readout][index]
                if model.config.keeps_time and readout == "state":
                    ours = ours[:length]
                torch.testing.assert_close(ours, alone[readout][0], rtol=0, atol=1e-5)


def test_padding_costs_nothing(model, spectrograms):
    lengths = torch.tensor([2, 6, 5])
    padded = padded_like(spectrograms, lengths, 3.0)
    error = reconstruction_error(*model(padded, lengths), lengths)
    for row, length in zip(error, lengths.tolist(), strict=True):
        assert row[:length].sum() > 0
        assert not row[length:].any()


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_embeddings_of_any_lengths_do_not_depend_on_the_batch(model, batch_size):
    generator = torch.Generator().manual_seed(0)
    values = [torch.rand(n, F, generator=generator) * 2 - 1 for n in (9, 2, 5, 2)]
    rows = Spectrograms(torch.cat(values), torch.tensor([9, 2, 5, 2]))
    readouts = ("state", "pooled")
    together = embed_spectrograms(model, rows, readouts=readouts, batch_size=batch_size)
    with torch.no_grad():
        alone = [model.embed(value.unsqueeze(0), readouts) for value in values]
    for readout in readouts:
        wanted = torch.cat(
            [each[readout].reshape(-1, model.embedding_size(readout)) for each in alone]
        )
        torch.testing.assert_close(torch.tensor(together[readout]), wanted, rtol=0, atol=1e-5)


def test_reconstructions_have_the_lengths_of_their_targets_and_their_rmse(model):
    generator = torch.Generator().manual_seed(0)
    values = [torch.rand(n, F, generator=generator) * 2 - 1 for n in (9, 2, 5)]
    rows = Spectrograms(torch.cat(values), torch.tensor([9, 2, 5]))
    decoded, rmse = reconstruct_spectrograms(model, rows)
    for value, found, error in zip(values, decoded, rmse, strict=True):
        assert found.shape == value.shape
        with torch.no_grad():
            reconstruction, target = model(value.unsqueeze(0))
        wanted = (reconstruction - target).square().mean().sqrt()
        assert error == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(
    ("command", "shown", "hidden"),
    [
        ("time", ["--num-units", "--teacher"], ["--window-bands", "--frequency-num-units"]),
        ("frequency", ["--num-units", "--window-bands"], ["--frequency-num-units"]),
        ("frequency-time", ["--num-units", "--window-bands", "--frequency-num-units"], []),
    ],
)
def test_help_of_each_kind_shows_its_own_flags(cli, command, shown, hidden):
    code, out, _ = cli("train", command, "--help")
    assert code == 0
    for flag in [*shown, "--continue-from", "--early-stopping-epochs", "--checkpoints-to-keep"]:
        assert flag in out
    for flag in hidden:
        assert flag not in out
