import pytest
import torch
from torch import nn

from raudeep.models.gru import gru

T, B, F, H = 7, 3, 4, 5


def make(bidirectional, *, with_state, dtype=torch.float64, sizes=(T, B, F, H)):
    """Return a layer, an input and an initial state or None."""
    steps, batch, features, units = sizes
    torch.manual_seed(0)
    layer = nn.GRU(features, units, bidirectional=bidirectional).to(dtype)
    inputs = torch.randn(steps, batch, features, dtype=dtype, requires_grad=True)
    state = None
    if with_state:
        directions = 2 if bidirectional else 1
        state = torch.randn(directions, batch, units, dtype=dtype, requires_grad=True)
    return layer, inputs, state


def gradients(layer, inputs, state, function):
    """Return the gradients of a loss that uses every output and every final state."""
    outputs, final = function(layer, inputs, state)
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (values * torch.randn(values.shape, generator=generator)).sum()
        for values in (outputs, final)
    )
    wanted = [inputs, *([] if state is None else [state]), *layer.parameters()]
    return torch.autograd.grad(loss, wanted)


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_outputs_final_states_and_gradients_equal_those_of_torch(bidirectional, with_state):
    case = make(bidirectional, with_state=with_state)
    outputs, final = gru(*case)
    wanted_outputs, wanted_final = case[0](*case[1:])
    torch.testing.assert_close(outputs, wanted_outputs, rtol=0, atol=1e-10)
    torch.testing.assert_close(final, wanted_final, rtol=0, atol=1e-10)
    ours = gradients(*case, gru)
    wanted = gradients(*case, lambda layer, inputs, state: layer(inputs, state))
    assert len(ours) == 1 + with_state + len(list(case[0].parameters()))
    for gradient, reference in zip(ours, wanted, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=0, atol=1e-10)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_equal_finite_differences(bidirectional):
    layer, inputs, state = make(bidirectional, with_state=True, sizes=(3, 2, 2, 2))
    names = [name for name, _ in layer.named_parameters()]

    def function(inputs, state, *parameters):
        for name, parameter in zip(names, parameters, strict=True):
            setattr(copy, name, parameter)
        return gru(copy, inputs, state)

    class Layer:
        """Stands for the layer, with the parameters as plain tensors."""

        hidden_size = 2

    copy = Layer()
    copy.bidirectional = bidirectional
    assert torch.autograd.gradcheck(function, (inputs, state, *layer.parameters()))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_one_step_of_one_row_equals_torch(bidirectional):
    case = make(bidirectional, with_state=True, sizes=(1, 1, F, 1))
    for ours, wanted in zip(gru(*case), case[0](*case[1:]), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_without_gradients_the_numbers_are_the_same(bidirectional, with_state):
    case = make(bidirectional, with_state=with_state)
    with torch.no_grad():
        without = gru(*case)
    for ours, wanted in zip(gru(*case), without, strict=True):
        assert ours.requires_grad
        assert not wanted.requires_grad
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_autocast_computes_in_bfloat16_close_to_float32(bidirectional, with_state):
    case = make(bidirectional, with_state=with_state, dtype=torch.float32)
    exact = gru(*case)
    exact_gradients = gradients(*case, gru)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = gru(*case)
        rounded_gradients = gradients(*case, gru)
    for ours, wanted in zip(rounded, exact, strict=True):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.float(), wanted, rtol=0, atol=0.03)
    for ours, wanted in zip(rounded_gradients, exact_gradients, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - wanted).norm() < 0.05 * wanted.norm()
