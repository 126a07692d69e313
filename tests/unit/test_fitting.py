import copy
import socket

import pytest
import torch

from raudeep.config import AutoencoderConfig, TrainingConfig
from raudeep.models import fitting
from raudeep.models.artifact import pack_tensors, unpack_tensors
from raudeep.models.autoencoder import TimeAutoencoder
from raudeep.models.batching import Spectrograms
from raudeep.models.fitting import Fit, bfloat16_is_faster, split_by_recording
from raudeep.models.streaming import StreamedSpectrograms

N, T, F = 8, 6, 4
PLAIN = AutoencoderConfig(num_units=6, dropout=0.0)
RANDOM = AutoencoderConfig(num_units=6, num_layers=2, encoder_noise=0.2, feed_previous_prob=0.3)
SHARED_BATCHES = (4, 3, 1)  # shared by two workers: evenly, unevenly, with no row for one of them


def make_spectrograms(num_rows=N):
    return torch.rand(num_rows, T, F, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def spectrograms():
    return make_spectrograms()


def make(architecture=PLAIN, **settings):
    defaults = {"batch_size": 4, "learning_rate": 0.01, "precision": "float32"}
    config = TrainingConfig(**{**defaults, **settings})
    torch.manual_seed(config.seed)
    return Fit(TimeAutoencoder(F, architecture), config)


def run(fit, spectrograms, epochs, validation=None):
    rows = as_set(spectrograms)
    held_out = None if validation is None else as_set(validation)
    return [fit.run_epoch(epoch, rows, held_out) for epoch in epochs]


def as_set(values):
    """Return an array (N, T, F) as what `Fit` takes."""
    return Spectrograms.from_numpy(values.numpy())


def as_stream(values, group_rows=2):
    """Return an array (N, T, F) as a stream of groups of rows."""
    rows = torch.arange(len(values))
    return StreamedSpectrograms(
        read=lambda group: as_set(values[rows // group_rows == group]),
        bands=F,
        lengths=torch.full((len(values),), T),
        groups=rows // group_rows,
        places=rows % group_rows,
        buffer_size=4,
    )


def reconstruct(model, spectrograms):
    return model(spectrograms)[0]


def same_weights(first, second):
    pairs = zip(first.model.parameters(), second.model.parameters(), strict=True)
    return all(torch.equal(ours, other) for ours, other in pairs)


def record_batches(fit):
    """Return a list that grows by each batch which the model sees."""
    batches = []
    fit.model.register_forward_pre_hook(lambda _, arguments: batches.append(arguments[0]))
    return batches


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_loss_falls_on_fixed_chunks(spectrograms, cell, precision):
    architecture = AutoencoderConfig(num_units=16, dropout=0.0, cell=cell)
    fit = make(architecture, precision=precision, learning_rate=0.02)
    results = run(fit, spectrograms, range(1, 41), spectrograms)
    assert results[-1].loss < 0.75 * results[0].loss
    assert results[-1].validation_loss < 0.75 * results[0].validation_loss
    assert [result.epoch for result in results] == list(range(1, 41))
    assert all(result.seconds > 0 and result.chunks_per_second > 0 for result in results)


def test_same_seed_gives_the_same_weights_bitwise_and_another_does_not(spectrograms):
    first, second, other = make(RANDOM, seed=1), make(RANDOM, seed=1), make(RANDOM, seed=2)
    torch.manual_seed(5)  # what happened before does not matter
    losses = [[result.loss for result in run(fit, spectrograms, [1, 2])] for fit in (first, second)]
    run(other, spectrograms, [1, 2])
    assert losses[0] == losses[1]
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_seed_changes_the_training_and_not_only_the_initial_weights(spectrograms):
    first, other = make(RANDOM, seed=1), make(RANDOM, seed=2)
    other.model.load_state_dict(first.model.state_dict())
    for fit in (first, other):
        run(fit, spectrograms[:1], [1])  # of one row there is but one order: dropout differs
    assert not same_weights(first, other)


def test_seed_changes_the_order_of_the_rows(spectrograms):
    fits = [make(seed=seed) for seed in (1, 1, 2)]
    batches = [record_batches(fit) for fit in fits]
    for fit in fits:
        run(fit, spectrograms, [1])
    first, same, other = (torch.cat(seen) for seen in batches)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_restored_after_2_of_4_epochs_equals_never_interrupted(spectrograms):
    whole = make(RANDOM)
    results = run(whole, spectrograms, [1, 2, 3, 4])
    interrupted = make(RANDOM)
    run(interrupted, spectrograms, [1, 2])
    stored = [pack_tensors(interrupted.weights()), pack_tensors(interrupted.optimizer_state())]
    torch.manual_seed(77)
    resumed = Fit(TimeAutoencoder(F, RANDOM), whole.config)
    resumed.restore(*map(unpack_tensors, stored))
    assert same_weights(resumed, interrupted)
    again = run(resumed, spectrograms, [3, 4])
    assert [result.loss for result in again] == [result.loss for result in results[2:]]
    assert same_weights(resumed, whole)


@pytest.mark.parametrize("num_rows", [3, 4, 8, 10])
def test_full_batches_pass_over_all_rows_again_and_again_in_another_order(num_rows):
    values = make_spectrograms(num_rows)
    values[:, 0, 0] = torch.arange(num_rows)
    fit = make()
    batches = record_batches(fit)
    for epoch in (1, 2, 3, 4):
        fit.run_epoch(epoch, as_set(values))
    size = min(4, num_rows)
    assert [len(batch) for batch in batches] == [size] * 4 * -(-num_rows // size)
    stream = torch.cat(list(batches))[:, 0, 0].tolist()
    passes = [stream[i : i + num_rows] for i in range(0, len(stream), num_rows)]
    whole = [order for order in passes if len(order) == num_rows]
    assert all(sorted(order) == list(range(num_rows)) for order in whole)
    assert len({tuple(order) for order in whole}) > 1


@pytest.mark.parametrize("mask_silence", [False, True])
def test_reported_loss_is_the_rmse_over_the_whole_batch(spectrograms, mask_silence):
    spectrograms[:, 2:4] = -1.0
    architecture = AutoencoderConfig(num_units=6, dropout=0.0, mask_silence=mask_silence)
    fit = make(architecture, batch_size=N, learning_rate=1e-12)
    with torch.no_grad():
        square = (reconstruct(fit.model, spectrograms) - spectrograms) ** 2
    if mask_silence:
        square[spectrograms == -1] = 0
    (result,) = run(fit, spectrograms, [1], spectrograms[:3])
    assert result.loss == pytest.approx(float(square.mean().sqrt()), rel=1e-5)
    assert result.validation_loss == pytest.approx(float(square[:3].mean().sqrt()), rel=1e-5)


def test_reported_loss_is_the_mean_over_the_steps(spectrograms):
    fit = make(learning_rate=1e-12)
    batches = record_batches(fit)
    (result,) = run(fit, spectrograms[:6], [1])
    assert [len(batch) for batch in batches] == [4, 4]
    with torch.no_grad():
        steps = [
            ((reconstruct(fit.model, batch) - batch) ** 2).mean().sqrt() for batch in list(batches)
        ]
    assert result.loss == pytest.approx(float(sum(steps) / 2), rel=1e-5)


def test_one_step_is_adam_on_the_clipped_gradients_of_the_rmse(spectrograms):
    fit = make(batch_size=N, gradient_clip=0.005)
    model = copy.deepcopy(fit.model)
    fit.run_epoch(1, as_set(spectrograms))
    ((reconstruct(model, spectrograms) - spectrograms) ** 2).mean().sqrt().backward()
    assert max(float(p.grad.abs().max()) for p in model.parameters()) > 0.005
    for ours, reference in zip(fit.model.parameters(), model.parameters(), strict=True):
        reference.grad.clamp_(-0.005, 0.005)
        torch.testing.assert_close(ours.grad, reference.grad, rtol=0, atol=1e-6)
        reference.grad.copy_(ours.grad)  # Adam's first step is almost the sign: rounding matters
    torch.optim.Adam(model.parameters(), lr=0.01).step()
    for ours, reference in zip(fit.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, reference, rtol=0, atol=1e-6)


def test_without_gradient_clip_the_gradients_are_left_alone(spectrograms):
    clipped, free = make(gradient_clip=0.001), make(gradient_clip=None)
    for fit in (clipped, free):
        fit.run_epoch(1, as_set(spectrograms))
    largest = [
        max(float(p.grad.abs().max()) for p in fit.model.parameters()) for fit in (clipped, free)
    ]
    assert largest[0] == pytest.approx(0.001)
    assert largest[1] > 0.002


def test_perfect_reconstruction_gives_finite_weights():
    fit = make(batch_size=2)
    for parameter in fit.model.parameters():
        torch.nn.init.zeros_(parameter)
    result = fit.run_epoch(1, as_set(torch.zeros(2, T, F)))
    assert result.loss == 0
    assert all(torch.isfinite(parameter).all() for parameter in fit.model.parameters())


def test_validation_does_not_change_the_training(spectrograms):
    with_loss, without = make(RANDOM), make(RANDOM)
    validated = run(with_loss, spectrograms, [1, 2, 3], spectrograms[:5])
    plain = run(without, spectrograms, [1, 2, 3])
    assert same_weights(with_loss, without)
    assert [result.loss for result in validated] == [result.loss for result in plain]
    assert all(result.validation_loss > 0 for result in validated)
    assert all(result.validation_loss is None for result in plain)


def test_validation_loss_has_no_dropout_and_no_noise(spectrograms):
    fit = make(RANDOM)
    (result,) = run(fit, spectrograms, [1], spectrograms)
    with torch.no_grad():
        square = (reconstruct(fit.model.eval(), spectrograms) - spectrograms) ** 2
    assert result.validation_loss == pytest.approx(float(square.mean().sqrt()), rel=1e-5)


@pytest.mark.parametrize(
    ("precision", "faster", "expected"),
    [
        ("float32", True, torch.float32),
        ("float32", False, torch.float32),
        ("bfloat16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_precision_decides_the_arithmetic_of_the_layers(
    spectrograms, monkeypatch, precision, faster, expected
):
    monkeypatch.setattr(fitting, "bfloat16_is_faster", lambda device: faster)
    fit = make(precision=precision)
    dtypes = set()
    fit.model.core.output.register_forward_hook(lambda *call: dtypes.update({call[2].dtype}))
    run(fit, spectrograms, [1], spectrograms)
    assert dtypes == {expected}
    assert {parameter.dtype for parameter in fit.model.parameters()} == {torch.float32}


def test_bfloat16_training_stays_close_to_float32(spectrograms):
    losses = [
        run(make(precision=precision), spectrograms, range(1, 6))[-1].loss
        for precision in ("float32", "bfloat16")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": False, "avx512_f": True}, False),
        ({}, False),
    ],
)
def test_bfloat16_is_faster_on_a_cpu_that_says_so(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert bfloat16_is_faster(torch.device("cpu")) is expected


def test_bfloat16_is_faster_answers_for_this_cpu():
    capabilities = torch.cpu.get_capabilities()
    expected = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    assert bfloat16_is_faster(torch.device("cpu")) is expected


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.25, 0.5, 0.8])
def test_split_keeps_the_chunks_of_a_recording_together(fraction):
    files = [f"{index % 10}.wav" for index in range(37)]
    train, held_out = (
        rows.tolist() for rows in split_by_recording(files, fraction=fraction, seed=0)
    )
    assert sorted(train + held_out) == list(range(37))
    recordings = [{files[row] for row in rows} for rows in (train, held_out)]
    assert not recordings[0] & recordings[1]
    assert len(recordings[1]) == max(1, round(10 * fraction))
    assert train


def test_split_depends_on_the_seed_and_not_on_the_order_of_the_rows():
    files = [f"{index}.wav" for index in range(20)]

    def held_out(rows, seed):
        return {rows[i] for i in split_by_recording(rows, fraction=0.3, seed=seed)[1]}

    assert held_out(files, 1) == held_out(files, 1) == held_out(files[::-1], 1)
    assert held_out(files, 1) != held_out(files, 2)


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("num_recordings", [1, 2, 3])
def test_split_leaves_something_to_train_on(fraction, num_recordings):
    files = [f"{index}.wav" for index in range(num_recordings)] * 2
    train, held_out = split_by_recording(files, fraction=fraction, seed=0)
    assert len(train) >= 2
    assert (len(held_out) >= 2) == (num_recordings > 1)


@pytest.mark.parametrize("seed", [20240101, 2**62, 2**63 - 1])
def test_large_seeds_train_and_split_and_differ_from_their_neighbours(spectrograms, seed):
    fits = [make(RANDOM, seed=seed), make(RANDOM, seed=seed), make(RANDOM, seed=seed - 1)]
    for fit in fits:
        run(fit, spectrograms, [1])
    assert same_weights(fits[0], fits[1])
    assert not same_weights(fits[0], fits[2])
    train, held_out = split_by_recording(["a", "b", "c"], fraction=0.3, seed=seed)
    assert (len(train), len(held_out)) == (2, 1)


def test_no_fraction_trains_on_all():
    train, held_out = split_by_recording(["a", "b", "b"], fraction=None, seed=0)
    assert train.tolist() == [0, 1, 2]
    assert held_out.tolist() == []


def train_both_ways(seed, size):
    """Return weights and losses of training in memory, and of training on a stream."""
    values = make_spectrograms(6)
    found = []
    for source in (as_set, as_stream):
        torch.manual_seed(seed)
        fit = Fit(TimeAutoencoder(F, PLAIN), TrainingConfig(batch_size=size, precision="float32"))
        results = [fit.run_epoch(epoch, source(values), source(values[:5])) for epoch in (1, 2)]
        losses = [loss for each in results for loss in (each.loss, each.validation_loss)]
        found.append((fit.weights(), losses))
    return found


def train_shared(rank, port, folder):
    """Train as one of two data-parallel workers."""
    store = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    try:
        # All begin with the weights of the first.
        shared = {size: train_both_ways(rank, size) for size in SHARED_BATCHES}
    finally:
        torch.distributed.destroy_process_group()
    torch.save(shared, folder / f"{rank}.pt")


def train_second(_, port, folder):
    """Train as the second worker, in a process of its own."""
    torch.set_num_threads(1)
    train_shared(1, port, folder)


def test_two_data_parallel_workers_arrive_at_the_weights_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # This process is the first worker: one start of Python less to wait for.
    second = torch.multiprocessing.spawn(train_second, (port, tmp_path), join=False)
    train_shared(0, port, tmp_path)
    while not second.join():
        pass
    workers = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for size in SHARED_BATCHES:
        for alone, *shared in zip(
            train_both_ways(0, size), *(worker[size] for worker in workers), strict=True
        ):
            for weights, losses in shared:
                for name, parameter in alone[0].items():
                    torch.testing.assert_close(weights[name], parameter, rtol=0, atol=1e-5)
                assert losses == pytest.approx(alone[1], rel=1e-5)


def test_a_stream_is_validated_and_resumed_as_what_is_in_memory_is(spectrograms):
    whole, interrupted = make(RANDOM), make(RANDOM)
    stream = as_stream(spectrograms)
    losses = [whole.run_epoch(epoch, stream, stream) for epoch in (1, 2)]
    interrupted.run_epoch(1, stream)
    resumed = Fit(TimeAutoencoder(F, RANDOM), whole.config)
    resumed.restore(dict(interrupted.weights()), interrupted.optimizer_state())
    again = resumed.run_epoch(2, stream, as_set(spectrograms))
    assert again.loss == losses[1].loss
    assert again.validation_loss == pytest.approx(losses[1].validation_loss, rel=1e-6)
    assert same_weights(resumed, whole)
