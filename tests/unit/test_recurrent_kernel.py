"""The compiled recurrent layers: PyTorch's numbers and gradients, for all lengths and types."""

import subprocess

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from raudeep.models import kernel
from raudeep.models.packing import Packing
from raudeep.models.recurrent import RecurrentStack
from tests.packed import run_stack

CELLS = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
# (T, B, F, H): less than a vector, no multiple of one, several blocks of rows.
SHAPES = [(5, 3, 4, 6), (9, 70, 33, 48), (4, 130, 16, 256)]
LENGTHS = ["equal", "mixed"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def problem(cell, shape, lengths, dtype=torch.float32):
    steps, batch, size, units = shape
    layer = CELLS[cell](size, units).to(dtype)
    inputs = torch.randn(steps, batch, size, dtype=dtype, requires_grad=True)
    state = torch.rand(1 if cell == "gru" else 2, batch, units, dtype=dtype) - 0.5
    counts = torch.full((batch,), steps)
    if lengths == "mixed":
        counts = torch.randint(1, steps + 1, (batch,))
        counts[0] = steps
    return layer, inputs, state.requires_grad_(), counts


def by_pytorch(layer, inputs, state, lengths):
    packed = pack_padded_sequence(inputs, lengths, enforce_sorted=False)
    initial = state if isinstance(layer, torch.nn.GRU) else tuple(state.split(1))
    packed, final = layer(packed, initial)
    outputs, _ = pad_packed_sequence(packed, total_length=len(inputs))
    return outputs, final if isinstance(layer, torch.nn.GRU) else torch.cat(final)


def by_kernel(layer, inputs, state, lengths):
    packing = Packing(inputs.shape, lengths)
    packed = packing.pack(inputs)
    outputs, final = kernel.recurrent_layer(layer, packed, packing.sort(state), packing)
    return packing.unpack(outputs), packing.unsort(final)


def with_gradients(found, layer, inputs, state):
    """Return outputs, final states and the gradients of a random function of them."""
    random = torch.Generator().manual_seed(1)
    loss = sum((each.double() * torch.randn(each.shape, generator=random)).sum() for each in found)
    return [*found, *torch.autograd.grad(loss, [inputs, state, *layer.parameters()])]


def assert_close(found, wanted, *, of_largest):
    for one, other in zip(found, wanted, strict=True):
        tolerance = of_largest * float(other.detach().abs().max())
        torch.testing.assert_close(one.to(other.dtype), other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.usefixtures("threads")
def test_float32_equals_pytorch_gradients_too(cell, shape, lengths):
    layer, inputs, state, counts = problem(cell, shape, lengths)
    found = by_kernel(layer, inputs, state, counts)
    wanted = by_pytorch(layer, inputs, state, counts)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    tail = layer, inputs, state
    assert_close(with_gradients(found, *tail), with_gradients(wanted, *tail), of_largest=1e-5)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_differs_from_float32_by_its_rounding(cell, shape, lengths):
    layer, inputs, state, counts = problem(cell, shape, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        found = by_kernel(layer, inputs, state, counts)
    assert found[0].dtype == torch.bfloat16
    wanted = by_pytorch(layer, inputs, state, counts)
    tail = layer, inputs, state
    assert_close(with_gradients(found, *tail), with_gradients(wanted, *tail), of_largest=2**-6)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_finite_differences(cell, lengths):
    layer, inputs, state, counts = problem(cell, (4, 3, 2, 3), lengths, torch.float64)
    names = [name for name, _ in layer.named_parameters()]

    def outputs_and_final(inputs, state, *weights):
        for name, weight in zip(names, weights, strict=True):
            delattr(layer, name)
            setattr(layer, name, weight)
        layer.named_parameters = lambda: zip(names, weights, strict=True)
        return by_kernel(layer, inputs, state, counts)

    weights = [weight.detach().clone().requires_grad_() for weight in layer.parameters()]
    assert torch.autograd.gradcheck(outputs_and_final, (inputs, state, *weights))


def test_nothing_is_kept_where_no_gradient_is_wanted():
    layer, inputs, state, counts = problem("gru", SHAPES[0], "mixed")
    wanted = by_kernel(layer, inputs, state, counts)
    with torch.no_grad():
        found = by_kernel(layer, inputs, state, counts)
    assert found[0].grad_fn is None
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("cell", CELLS)
def test_nan_and_infinity_are_not_hidden(cell):
    layer, inputs, state, counts = problem(cell, SHAPES[0], "equal")
    with torch.no_grad():
        inputs[1, 0, 0] = float("nan")
        outputs, _ = by_kernel(layer, inputs, state, counts)
    assert outputs[1:, 0].isnan().all()
    assert outputs[:, 1:].isfinite().all()


def test_large_values_saturate():
    layer, inputs, state, counts = problem("gru", SHAPES[0], "equal")
    with torch.no_grad():
        found = by_kernel(layer, inputs * 1e6, state, counts)
        wanted = by_pytorch(layer, inputs * 1e6, state, counts)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def stack_and_inputs(cell):
    stack = RecurrentStack(
        4,
        num_units=5,
        num_layers=2,
        cell=cell,
        bidirectional=True,
        dropout=0.0,
        dropout_placement="all",
        initialisation="glorot",
    )
    return stack, torch.randn(8, 6, 4), torch.tensor([3, 8, 1, 8, 5, 3])


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_pytorch_layers_give_the_same_numbers_where_there_is_no_compiler(
    monkeypatch, cell, with_state
):
    stack, inputs, lengths = stack_and_inputs(cell)
    state = torch.rand(6, stack.state_size) if with_state else None
    wanted = run_stack(stack, inputs, state, lengths)
    monkeypatch.setattr(kernel, "compiled", lambda: None)
    found = run_stack(stack, inputs, state, lengths)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """Let the kernel be looked for again, in an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kernel, "compiled", kernel.compiled.__wrapped__)
    return tmp_path


def test_without_a_compiler_one_warning_says_what_to_install(monkeypatch, fresh, caplog):
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.delenv("CXX", raising=False)
    assert kernel.compiled() is None
    (record,) = caplog.records
    assert "Install g++ or clang++," in record.getMessage()
    assert "no g++, clang++ or c++ on the PATH" in record.getMessage()


def test_a_compiler_that_fails_leaves_nothing_and_is_named(monkeypatch, fresh, caplog):
    monkeypatch.setenv("CXX", "false")
    assert kernel.compiled() is None
    assert "(false failed: code 1)" in caplog.text
    assert not list(fresh.rglob("*.so"))


def test_without_a_folder_to_write_to_the_warning_names_it(monkeypatch, fresh, caplog):
    (fresh / "raudeep").write_text("no folder")
    assert kernel.compiled() is None
    assert "let XDG_CACHE_HOME name a folder" in caplog.text
    assert str(fresh) in caplog.text


def test_the_kernel_is_compiled_once(monkeypatch, fresh):
    monkeypatch.setattr(kernel, "_flags", lambda: ["-std=c++17", "-shared", "-fPIC"])  # sooner
    assert kernel.compiled() is not None
    (library,) = fresh.rglob("*.so")

    def run(*arguments, **settings):
        raise AssertionError("compiled again")

    monkeypatch.setattr(subprocess, "run", run)
    assert kernel.compiled() is not None
    assert [*fresh.rglob("*.so")] == [library]
