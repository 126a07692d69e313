"""Dictionaries, sparse codes and the encoder that approximates them."""

import numpy as np
import pytest
import torch

from raudeep.config import SparseCodingConfig
from raudeep.errors import ConfigError
from raudeep.models.sparse_coding import (
    SparseCoder,
    infer_codes,
    learn_coder,
    learn_dictionary,
    learn_encoder,
    pool,
    shrink,
)

CONFIG = SparseCodingConfig(
    num_octaves=1,
    bands_per_octave=10,
    num_atoms=20,
    sparsity=0.5,
    num_steps=400,
    batch_size=200,
)


def sparse_patches(rng, *, atoms=20, values=10, count=2000):
    """Return a dictionary of unit atoms and patches of two atoms each."""
    dictionary = rng.standard_normal((values, atoms))
    dictionary /= np.linalg.norm(dictionary, axis=0)
    codes = np.zeros((count, atoms))
    for row in codes:
        row[rng.choice(atoms, 2, replace=False)] = rng.choice([-1, 1], 2) * rng.uniform(1, 2, 2)
    to_tensor = lambda array: torch.from_numpy(array.astype(np.float32))  # noqa: E731
    return to_tensor(dictionary), to_tensor(codes @ dictionary.T)


def generator():
    return torch.Generator().manual_seed(0)


def test_codes_meet_the_conditions_of_the_minimum(rng):
    dictionary, patches = sparse_patches(rng, count=50)
    codes = infer_codes(patches, dictionary, sparsity=0.3, steps=2000)
    slope = (patches - codes @ dictionary.T) @ dictionary
    used = codes != 0
    assert 0 < used.float().mean() < 0.5
    np.testing.assert_allclose(slope[used], 0.3 * codes[used].sign(), atol=1e-3)
    assert slope[~used].abs().max() < 0.3 + 1e-3


def test_the_usual_number_of_steps_comes_near_the_minimum(rng):
    dictionary, patches = sparse_patches(rng, count=50)

    def objective(steps):
        codes = infer_codes(patches, dictionary, sparsity=0.3, steps=steps)
        return (patches - codes @ dictionary.T).square().sum() / 2 + 0.3 * codes.abs().sum()

    assert objective(30) < 1.01 * objective(2000)


def test_shrinking_moves_towards_zero():
    values = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert shrink(values, torch.tensor(1.0)).tolist() == [-2, 0, 0, 0, 2]


def test_a_learned_dictionary_finds_the_atoms_that_patches_are_made_of(rng):
    dictionary, patches = sparse_patches(rng)
    learned = learn_dictionary(patches, 20, config=CONFIG, generator=generator())
    np.testing.assert_allclose(learned.norm(dim=0), 1, rtol=1e-5)
    agreement = (learned.T @ dictionary).abs().amax(dim=0)
    assert (agreement > 0.97).float().mean() >= 0.8


def test_an_encoder_comes_closer_to_the_codes_than_where_it_starts(rng):
    dictionary, patches = sparse_patches(rng)
    codes = infer_codes(patches, dictionary, sparsity=CONFIG.sparsity)
    step = 1 / torch.linalg.matrix_norm(dictionary, 2) ** 2
    start = shrink(step * patches @ dictionary, step * CONFIG.sparsity)
    weight, bias, threshold = learn_encoder(
        patches, dictionary, config=CONFIG, generator=generator()
    )
    found = shrink(patches @ weight.T + bias, threshold)
    assert (found - codes).square().mean() < 0.8 * (start - codes).square().mean()


def test_parts_of_a_frame_are_coded_each_by_its_own_dictionary(rng):
    config = SparseCodingConfig(
        num_octaves=2, bands_per_octave=6, num_atoms=16, num_steps=3, batch_size=20
    )
    frames = rng.standard_normal((60, 12)).astype(np.float32)
    coder = learn_coder(frames, config, seed=0, device=torch.device("cpu"))
    codes = coder.encode(frames)
    assert codes.shape == (60, 16)
    changed = frames.copy()
    changed[:, 6:] = 0
    assert np.array_equal(coder.encode(changed)[:, :8], codes[:, :8])
    assert not np.array_equal(coder.encode(changed)[:, 8:], codes[:, 8:])
    again = SparseCoder.from_tensors(coder.tensors())
    assert np.array_equal(again.encode(frames), codes)


def test_a_seed_gives_the_same_coder(rng):
    frames = rng.standard_normal((60, 12)).astype(np.float32)
    config = SparseCodingConfig(
        num_octaves=1, bands_per_octave=12, patch="frame", num_atoms=16, num_steps=3, batch_size=20
    )
    device = torch.device("cpu")
    first, again = (learn_coder(frames, config, seed=1, device=device) for _ in range(2))
    assert torch.equal(first.weights, again.weights)
    assert first.weights.shape == (1, 16, 12)


def test_a_seed_may_be_of_any_size(rng):
    config = SparseCodingConfig(
        num_octaves=1, bands_per_octave=4, num_atoms=8, num_steps=3, batch_size=5
    )
    frames = rng.standard_normal((20, 4)).astype(np.float32)
    coder = learn_coder(frames, config, seed=2**64, device=torch.device("cpu"))
    assert np.isfinite(coder.encode(frames)).all()


def test_frames_that_are_all_silent_give_finite_codes():
    config = SparseCodingConfig(
        num_octaves=1, bands_per_octave=4, num_atoms=8, num_steps=3, batch_size=5
    )
    frames = np.zeros((20, 4), np.float32)
    coder = learn_coder(frames, config, seed=0, device=torch.device("cpu"))
    assert np.isfinite(coder.encode(frames)).all()


def test_windows_overlap_by_half_and_a_rest_is_dropped():
    codes = np.arange(-5, 6, dtype=np.float32)[:, np.newaxis]
    windows = pool(codes, window=4)
    assert [(start, end) for start, end, _ in windows] == [(0, 4), (2, 6), (4, 8), (6, 10)]
    np.testing.assert_allclose(windows[1][2], np.abs(codes[2:6]).mean())
    for longer in (12, 99):
        ((start, end, pooled),) = pool(codes, window=longer)
        assert (start, end) == (0, 11)
        np.testing.assert_allclose(pooled, np.abs(codes).mean())


def test_the_papers_dictionaries_have_128_atoms_for_each_of_four_octaves():
    config = SparseCodingConfig()
    assert config.num_octaves * config.bands_per_octave == 96
    assert config.num_atoms / config.num_octaves == 128


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_atoms": 510}, "'num_atoms' .* multiple of num_octaves=4"),
        ({"num_octaves": 8, "num_atoms": 512}, "highest band, at 16744 Hz"),
        ({"sparsity": 0}, "'sparsity' .* greater than 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SparseCodingConfig(**settings)
