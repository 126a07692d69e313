"""What auDeep's teacher signal does, free running, and padding, in the core of all autoencoders."""

import itertools

import pytest
import torch

from raudeep.config import AutoencoderConfig
from raudeep.models.sequence import SequenceAutoencoder
from tests.packed import decode, encode, run_stack

L, B, F, H = 7, 3, 4, 5


def make(**settings):
    torch.manual_seed(0)
    config = AutoencoderConfig(**{"num_units": H, "dropout": 0.0, **settings})
    return SequenceAutoencoder(F, config).eval()


@pytest.fixture
def sequences():
    return torch.rand(L, B, F, generator=torch.Generator().manual_seed(0)) * 2 - 1


def decoder_inputs(model, sequences, **settings):
    shown = []

    def note(_, arguments):
        packed, packing, _ = arguments
        shown.append(packing.unpack(packed))

    model.decoder.register_forward_pre_hook(note)
    state, _ = encode(model, sequences)
    decoded = decode(model, state, sequences, **settings)
    return shown, decoded


def test_standard_teacher_lags_by_one_step(sequences):
    (shown,), _ = decoder_inputs(make(), sequences)
    reversed_ = sequences.flip(0)
    assert not shown[0].any()
    assert torch.equal(shown[1:], reversed_[:-1])


def test_audeep_teacher_lags_by_two_steps_and_has_two_output_layers(sequences):
    model = make(teacher="audeep")
    (shown,), decoded = decoder_inputs(model, sequences)
    assert not shown[:2].any()
    assert torch.equal(shown[2:], sequences.flip(0)[:-2])
    hidden, _ = run_stack(model.decoder, shown, encode(model, sequences)[0])
    inner = torch.tanh(hidden @ model.output.weight.T + model.output.bias)
    outer = torch.tanh(inner @ model.second_output.weight.T + model.second_output.bias)
    torch.testing.assert_close(decoded, outer.flip(0))


def test_audeep_feeds_back_the_first_output_layer_of_the_step_before(sequences):
    model = make(teacher="audeep")
    shown, _ = decoder_inputs(model, sequences, free_running=True)
    hidden, _ = run_stack(model.decoder, torch.zeros(1, B, F), encode(model, sequences)[0])
    torch.testing.assert_close(shown[1][0], torch.tanh(model.output(hidden[0])))


def test_teachers_do_not_differ_for_a_bidirectional_decoder():
    standard, audeep = (
        make(teacher=teacher, bidirectional_decoder=True) for teacher in ("standard", "audeep")
    )
    assert audeep.second_output is None
    assert standard.state_dict().keys() == audeep.state_dict().keys()


@pytest.mark.parametrize("teacher", ["standard", "audeep"])
def test_free_running_depends_on_the_representation_alone(sequences, teacher):
    model = make(teacher=teacher, num_layers=2)
    state, _ = encode(model, sequences)
    decoded = [decode(model, state, each, free_running=True) for each in (sequences, -sequences)]
    assert torch.equal(*decoded)
    taught = [decode(model, state, each) for each in (sequences, -sequences)]
    assert not torch.equal(*taught)


def test_a_sequence_of_one_step_is_decoded():
    for teacher in ("standard", "audeep"):
        model = make(teacher=teacher)
        one = torch.rand(1, B, F)
        assert decode(model, encode(model, one)[0], one).shape == (1, B, F)


VARIANTS = list(itertools.product(["gru", "lstm"], [1, 2], [False, True], [False, True]))


@pytest.mark.parametrize(("cell", "num_layers", "encoder", "decoder"), VARIANTS)
def test_padding_changes_neither_representation_nor_outputs_nor_reconstruction(
    sequences, cell, num_layers, encoder, decoder
):
    model = make(
        cell=cell,
        num_layers=num_layers,
        bidirectional_encoder=encoder,
        bidirectional_decoder=decoder,
    )
    lengths = torch.tensor([4, 7, 2])
    padded = sequences.clone()
    for index, length in enumerate(lengths.tolist()):
        padded[length:, index] = 100.0  # whatever stands there
    state, outputs = encode(model, padded, lengths)
    decoded = decode(model, state, padded, lengths)
    for index, length in enumerate(lengths.tolist()):
        alone = sequences[:length, index : index + 1]
        wanted_state, wanted_outputs = encode(model, alone)
        wanted = decode(model, wanted_state, alone)
        close = {"rtol": 0, "atol": 1e-5}
        torch.testing.assert_close(state[index : index + 1], wanted_state, **close)
        torch.testing.assert_close(outputs[:length, index : index + 1], wanted_outputs, **close)
        torch.testing.assert_close(decoded[:length, index : index + 1], wanted, **close)
