import itertools
import math

import pytest
import torch

from raudeep.models import kernel, recurrent
from raudeep.models.recurrent import RecurrentStack, dropout
from tests.packed import run_stack

T, B, F, H = 8, 3, 4, 5


def make(*, seed=0, **settings):
    defaults = {
        "num_units": H,
        "num_layers": 1,
        "cell": "gru",
        "bidirectional": False,
        "dropout": 0.0,
        "dropout_placement": "all",
        "initialisation": "glorot",
    }
    torch.manual_seed(seed)
    return RecurrentStack(F, **{**defaults, **settings})


@pytest.fixture
def inputs():
    return torch.randn(T, B, F, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("drop", [0.0, 0.3])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_second_half_continues_from_the_final_state_of_the_first(inputs, cell, num_layers, drop):
    stack = make(cell=cell, num_layers=num_layers, dropout=drop)
    stack.train(drop == 0)
    outputs, final = run_stack(stack, inputs)
    first, middle = run_stack(stack, inputs[:3])
    second, last = run_stack(stack, inputs[3:], middle)
    torch.testing.assert_close(torch.cat([first, second]), outputs)
    torch.testing.assert_close(last, final)
    assert not torch.equal(run_stack(stack, inputs[3:])[0], second)


@pytest.mark.parametrize(
    ("num_layers", "cell", "bidirectional"),
    list(itertools.product([1, 2, 3], ["gru", "lstm"], [False, True])),
)
def test_state_size_is_layers_times_units_times_cells_times_directions(
    inputs, num_layers, cell, bidirectional
):
    stack = make(num_layers=num_layers, cell=cell, bidirectional=bidirectional)
    directions = 2 if bidirectional else 1
    assert stack.state_size == num_layers * H * (2 if cell == "lstm" else 1) * directions
    assert stack.output_size == H * directions
    outputs, final = run_stack(stack, inputs)
    assert outputs.shape == (T, B, stack.output_size)
    assert final.shape == (B, stack.state_size)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_each_direction_equals_a_multi_layer_network_of_torch(inputs, cell, bidirectional):
    stack = make(num_layers=2, cell=cell, bidirectional=bidirectional)
    kind = torch.nn.GRU if cell == "gru" else torch.nn.LSTM
    tops, states = [], []
    for direction, layers in enumerate(stack.directions):
        network = kind(F, H, num_layers=2)
        for index, layer in enumerate(layers):
            for name, parameter in layer.named_parameters():
                getattr(network, name.replace("_l0", f"_l{index}")).data.copy_(parameter.data)
        top, final = network(inputs.flip(0) if direction else inputs)
        tops.append(top.flip(0) if direction else top)
        # (L, 1 or 2, B, H): hidden states, then an LSTM's cell states.
        states.append(torch.stack([final] if cell == "gru" else list(final), dim=1))
    outputs, final = run_stack(stack, inputs)
    torch.testing.assert_close(outputs, torch.cat(tops, dim=-1))
    # (B, S): direction, layer, kind of state, unit.
    torch.testing.assert_close(final, torch.stack(states).permute(3, 0, 1, 2, 4).reshape(B, -1))


def test_forward_outputs_of_a_bidirectional_stack_do_not_depend_on_later_frames(inputs):
    stack = make(num_layers=2, bidirectional=True)
    changed = inputs.clone()
    changed[5:] += 1
    outputs, altered = run_stack(stack, inputs)[0], run_stack(stack, changed)[0]
    assert torch.equal(outputs[:5, :, :H], altered[:5, :, :H])
    assert not torch.equal(outputs[:5, :, H:], altered[:5, :, H:])


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(probability):
    torch.manual_seed(0)
    values = dropout(torch.ones(300, 333), probability, training=True)
    assert float((values == 0).float().mean()) == pytest.approx(probability, abs=0.005)
    kept = values[values != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - probability)))
    assert float(values.mean()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("probability", [0.9999, 0.99999, 0.999999])
def test_dropout_near_1_keeps_almost_nothing(probability):
    torch.manual_seed(0)
    kept = dropout(torch.ones(300, 333), probability, training=True) != 0
    assert float(kept.float().mean()) < 0.0003


def test_dropout_changes_nothing_in_evaluation_or_with_probability_0():
    values = torch.randn(5, 5)
    assert dropout(values, 0.5, training=False) is values
    assert dropout(values, 0.0, training=True) is values


def test_dropout_repeats_with_the_seed():
    def draw(seed):
        torch.manual_seed(seed)
        return dropout(torch.ones(7, 11), 0.5, training=True)

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_dropout_passes_the_gradient_where_it_kept_a_value():
    values = torch.randn(9, 9, requires_grad=True)
    torch.manual_seed(0)
    dropped = dropout(values, 0.5, training=True)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    torch.testing.assert_close(gradient, torch.where(dropped == 0, 0.0, 2.0))


def test_dropout_under_autocast_gives_bfloat16():
    with torch.autocast("cpu", torch.bfloat16):
        assert dropout(torch.ones(4, 4), 0.5, training=True).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("placement", "num_layers", "expected"),
    [
        ("all", 1, [0.2, 0.2]),
        ("all", 3, [0.2, 0.36, 0.36, 0.2]),
        ("between", 1, [0.0, 0.0]),
        ("between", 3, [0.0, 0.2, 0.2, 0.0]),
    ],
)
def test_dropout_is_placed_as_asked(placement, num_layers, expected):
    stack = make(num_layers=num_layers, dropout=0.2, dropout_placement=placement)
    assert stack.dropouts == pytest.approx(expected)


@pytest.mark.parametrize(("placement", "drops"), [("all", True), ("between", False)])
def test_one_layer_drops_outputs_only_with_placement_all(inputs, placement, drops):
    stack = make(dropout=0.4, dropout_placement=placement)
    assert bool((run_stack(stack, inputs)[0] == 0).any()) is drops
    assert not (run_stack(stack.eval(), inputs)[0] == 0).any()


def test_glorot_gru_has_gate_biases_of_1_and_weights_within_the_limits():
    stack = make(num_units=40, num_layers=2, bidirectional=True)
    for direction in stack.directions:
        for layer, fan_in in zip(direction, (F + 40, 40 + 40), strict=True):
            assert layer.bias_ih_l0.tolist() == [1.0] * 80 + [0.0] * 40
            assert not layer.bias_hh_l0.any()
            for weight in (layer.weight_ih_l0, layer.weight_hh_l0):
                gates, candidate = weight.split([80, 40])
                for part, fan_out in ((gates, 80), (candidate, 40)):
                    limit = math.sqrt(6 / (fan_in + fan_out))
                    assert 0.9 * limit < part.abs().max().item() <= limit


def test_glorot_lstm_has_forget_biases_of_1_and_weights_within_the_limits():
    stack = make(num_units=40, cell="lstm")
    layer = stack.directions[0][0]
    assert layer.bias_ih_l0.tolist() == [0.0] * 40 + [1.0] * 40 + [0.0] * 80
    assert not layer.bias_hh_l0.any()
    limit = math.sqrt(6 / (F + 40 + 160))
    for part in (layer.weight_ih_l0, layer.weight_hh_l0):
        assert 0.9 * limit < part.abs().max().item() <= limit


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_spread_initialisation_differs_from_glorot_in_the_biases_of_the_gates_that_keep(cell):
    settings = {"cell": cell, "num_units": 400, "num_layers": 2, "bidirectional": True}
    spread, glorot = (make(**settings, initialisation=each) for each in ("spread", "glorot"))
    for (name, found), usual in zip(spread.named_parameters(), glorot.parameters(), strict=True):
        if "bias_ih" not in name:
            continue
        keeps = found[400:800]
        assert -1 <= keeps.min() < -0.9
        assert 0.9 < keeps.max() <= 1
        assert torch.equal(found[:400], usual[:400])
        assert torch.equal(found[800:], usual[800:])
    weights = [
        {name: value for name, value in stack.named_parameters() if "bias_ih" not in name}
        for stack in (spread, glorot)
    ]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())


def test_units_that_keep_little_follow_their_input_sooner():
    stack = make(num_units=64, initialisation="spread").eval()
    (layer,) = stack.directions[0]
    keeps = layer.bias_ih_l0[64:128].detach()
    step = torch.cat([torch.zeros(1, 1, F), torch.ones(40, 1, F)])
    outputs = run_stack(stack, step)[0][:, 0].detach()
    quick, slow = keeps < -0.5, keeps > 0.5
    reached = (outputs[1] / outputs[-1]).abs()
    assert reached[quick].median() > 1.5 * reached[slow].median()


@pytest.mark.parametrize(("cell", "kind"), [("gru", torch.nn.GRU), ("lstm", torch.nn.LSTM)])
def test_pytorch_initialisation_is_left_alone(cell, kind):
    stack = make(cell=cell, initialisation="pytorch", seed=3)
    torch.manual_seed(3)
    for ours, wanted in zip(stack.parameters(), kind(F, H).parameters(), strict=True):
        assert torch.equal(ours, wanted)


@pytest.mark.parametrize("lengths", [None, torch.tensor([8, 5, 2])])
def test_lstm_without_bfloat16_computes_in_float32(inputs, lengths, monkeypatch):
    monkeypatch.setattr(kernel, "compiled", lambda: None)
    monkeypatch.setattr(recurrent, "_takes_bfloat16", lambda *_: False)
    stack = make(cell="lstm", num_layers=2, bidirectional=True).eval()
    expected = run_stack(stack, inputs, lengths=lengths)
    with torch.autocast("cpu", torch.bfloat16):
        found = run_stack(stack, inputs.bfloat16().float(), expected[1].bfloat16(), lengths)
        outputs, final = run_stack(stack, inputs, lengths=lengths)
    assert found[0].dtype == outputs.dtype == torch.float32
    assert torch.equal(outputs, expected[0])
    assert torch.equal(final, expected[1])
