import itertools

import pytest
import torch

from raudeep.config import AutoencoderConfig
from raudeep.errors import ConfigError
from raudeep.models.autoencoder import TimeAutoencoder, reconstruction_error
from raudeep.models.packing import Packing
from tests.packed import run_stack

B, T, F, H = 3, 6, 4, 5


def make(**settings):
    torch.manual_seed(0)
    return TimeAutoencoder(F, AutoencoderConfig(**{"num_units": H, "dropout": 0.0, **settings}))


def fix_state(model, monkeypatch):
    """Let the encoder give the same state whatever it is shown."""
    size = model.core.representation_size
    state = torch.rand(B, size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    monkeypatch.setattr(model.core, "encode", lambda frames, packing: (state, None))


def decode(model, spectrograms):
    reconstruction, target = model(spectrograms)
    assert torch.equal(target, spectrograms)
    return reconstruction


@pytest.fixture
def spectrograms():
    return torch.rand(B, T, F, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("cell", "num_layers", "encoder", "decoder", "placement"),
    list(
        itertools.product(["gru", "lstm"], [1, 2], [False, True], [False, True], ["all", "between"])
    ),
)
def test_shapes_hold_for_every_variant(spectrograms, cell, num_layers, encoder, decoder, placement):
    model = make(
        cell=cell,
        num_layers=num_layers,
        bidirectional_encoder=encoder,
        bidirectional_decoder=decoder,
        dropout=0.2,
        dropout_placement=placement,
    )
    size = num_layers * H * (2 if cell == "lstm" else 1) * (2 if decoder else 1)
    width = H * (2 if encoder else 1)
    for training in (True, False):
        model.train(training)
        reconstruction = decode(model, spectrograms)
        assert reconstruction.shape == (B, T, F)
        assert reconstruction.abs().max() <= 1
        state, outputs = model.encode(spectrograms)
        assert state.shape == (B, size)
        assert state.abs().max() <= 1
        assert outputs.shape == (T, B, width)
        embeddings = model.embed(spectrograms, ("state", "pooled"))
        assert embeddings["state"].shape == (B, model.embedding_size("state")) == (B, size)
        assert embeddings["pooled"].shape == (B, model.embedding_size("pooled")) == (B, 2 * width)


@pytest.mark.parametrize(("bidirectional", "size"), [(False, 512), (True, 1024)])
def test_two_layers_of_256_units_give_512_values_or_1024_decoded_in_both_directions(
    bidirectional, size
):
    model = make(num_layers=2, num_units=256, bidirectional_decoder=bidirectional)
    assert model.embedding_size("state") == size
    assert model.core.representation.weight.shape == (size, 512)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_decoder_starts_from_the_state_and_is_shown_zeros_then_the_reversed_frames(
    spectrograms, bidirectional
):
    model = make(bidirectional_decoder=bidirectional)
    shown = []
    model.core.decoder.register_forward_pre_hook(lambda _, arguments: shown.append(arguments))
    model(spectrograms)
    ((packed, packing, state),) = shown
    inputs = packing.unpack(packed)
    torch.testing.assert_close(state, model.encode(spectrograms)[0])
    assert not inputs[0].any()
    for step in range(1, T):
        assert torch.equal(inputs[step], spectrograms[:, T - step])


def test_reconstruction_is_in_the_order_of_the_input(spectrograms, monkeypatch):
    model = make()
    fix_state(model, monkeypatch)
    # The decoder's first output, which follows from the state alone, is the last frame.
    state, _ = model.core.encode(spectrograms, None)
    hidden, _ = run_stack(model.core.decoder, torch.zeros(1, B, F), state)
    first = torch.tanh(model.core.output(hidden[0]))
    torch.testing.assert_close(decode(model, spectrograms)[:, -1], first)


@pytest.mark.parametrize("frame", range(T))
def test_a_frame_is_decoded_without_having_been_shown(spectrograms, monkeypatch, frame):
    model = make(num_layers=2)
    fix_state(model, monkeypatch)
    changed = spectrograms.clone()
    changed[:, frame] += 0.5
    before, after = decode(model, spectrograms), decode(model, changed)
    # Decoding runs from the last frame to the first: `frame` is shown after it was decoded.
    assert torch.equal(before[:, frame:], after[:, frame:])
    assert all(not torch.equal(before[:, t], after[:, t]) for t in range(frame))


def test_backward_half_of_a_bidirectional_decoder_sees_the_frame_itself(spectrograms, monkeypatch):
    model = make(bidirectional_decoder=True)
    fix_state(model, monkeypatch)
    changed = spectrograms.clone()
    changed[:, 2] += 0.5
    assert not torch.equal(decode(model, spectrograms)[:, 2], decode(model, changed)[:, 2])


def test_pooled_is_mean_and_deviation_of_the_encoder_outputs(spectrograms):
    model = make(num_layers=2, bidirectional_encoder=True)
    _, outputs = model.encode(spectrograms)
    pooled = model.embed(spectrograms, ("pooled",))["pooled"]
    mean = sum(outputs) / T
    deviation = (sum((frame - mean) ** 2 for frame in outputs) / T) ** 0.5
    torch.testing.assert_close(pooled, torch.cat([mean, deviation], dim=1))


def test_state_is_what_the_encoder_gives(spectrograms):
    model = make()
    embeddings = model.embed(spectrograms, ("state",))
    assert list(embeddings) == ["state"]
    assert torch.equal(embeddings["state"], model.encode(spectrograms)[0])


def encoder_inputs(model, spectrograms):
    seen = []
    model.core.encoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments))
    model(spectrograms)
    packed, packing = seen[0]
    return packing.unpack(packed).transpose(0, 1)


def test_encoder_noise_of_1_shows_the_encoder_zeros(spectrograms):
    assert not encoder_inputs(make(encoder_noise=1.0), spectrograms).any()


def test_encoder_noise_zeroes_whole_frames_of_single_instances(spectrograms):
    many = spectrograms.repeat(50, 1, 1)
    seen = encoder_inputs(make(encoder_noise=0.3), many)
    kept = (seen == many).all(dim=2)
    assert torch.equal(~kept, (seen == 0).all(dim=2))
    assert float((~kept).float().mean()) == pytest.approx(0.3, abs=0.05)
    assert len({tuple(row) for row in kept.tolist()}) > T


def test_encoder_noise_is_off_in_evaluation(spectrograms):
    seen = encoder_inputs(make(encoder_noise=1.0).eval(), spectrograms)
    assert torch.equal(seen, spectrograms)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_fed_its_own_outputs_the_decoder_does_not_see_the_targets(spectrograms, monkeypatch, cell):
    model = make(feed_previous_prob=1.0, num_layers=2, cell=cell)
    fix_state(model, monkeypatch)
    first, second = decode(model, spectrograms), decode(model, -spectrograms)
    assert torch.equal(first, second)
    # It is the ordinary decoder, shown what it decoded itself.
    model.eval()
    torch.testing.assert_close(decode(model, first), first)
    assert not torch.equal(decode(model, spectrograms), decode(model, -spectrograms))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_decoding_step_by_step_without_own_outputs_equals_the_ordinary_path(spectrograms, cell):
    model = make(num_layers=2, cell=cell)
    targets = spectrograms.transpose(0, 1).flip(0)
    previous = torch.cat([torch.zeros(1, B, F), targets[:-1]])
    state, _ = model.encode(spectrograms)
    packing = Packing((T, B))
    decoded = model.core._decode_with_own_outputs(packing.pack(previous), packing, state, 0.0)
    decoded = packing.unpack(decoded)
    torch.testing.assert_close(decoded.flip(0).transpose(0, 1), decode(model, spectrograms))


def test_own_outputs_replace_some_frames_of_some_instances(spectrograms):
    model = make(feed_previous_prob=0.5)
    shown = []
    model.core.decoder.register_forward_pre_hook(lambda _, arguments: shown.append(arguments[0]))
    model(spectrograms)
    expected = spectrograms.transpose(0, 1).flip(0)[:-1]
    assert not shown[0].any()
    as_expected = (torch.stack(shown[1:]) == expected).all(dim=2)
    assert as_expected.any()
    assert not as_expected.all()


def test_feeding_own_outputs_to_a_bidirectional_decoder_is_refused():
    with pytest.raises(ConfigError, match=r"feed_previous_prob.*bidirectional decoder.*Got 0\.5"):
        AutoencoderConfig(bidirectional_decoder=True, feed_previous_prob=0.5)


def test_glorot_biases_of_the_linear_layers_lie_within_their_limits():
    model = make(num_units=64)
    for linear in (model.core.representation, model.core.output):
        limit = (3 / linear.out_features) ** 0.5
        assert 0 < linear.bias.abs().max().item() <= limit


def test_reconstruction_error_is_the_square_of_the_difference(spectrograms):
    error = reconstruction_error(torch.zeros_like(spectrograms).bfloat16(), spectrograms)
    assert error.dtype == torch.float32
    torch.testing.assert_close(error, spectrograms**2)


def test_silent_cells_cost_nothing_when_masked():
    target = torch.tensor([[[-1.0, -0.999, 0.5, -1.0]]])
    output = torch.tensor([[[0.0, 0.001, 0.0, -1.0]]], requires_grad=True)
    error = reconstruction_error(output, target, mask_silence=True)
    torch.testing.assert_close(error, torch.tensor([[[0.0, 1.0, 0.25, 0.0]]]))
    (gradient,) = torch.autograd.grad(error.sum(), output)
    assert gradient[0, 0, 0] == 0
    assert reconstruction_error(output, target)[0, 0, 0] == 1
