"""The errors: one tree, and each survives the way between processes."""

import pickle

import pytest
import torch

from raudeep import errors

CLASSES = {name for name, value in vars(errors).items() if isinstance(value, type)}
NAMES = sorted(CLASSES - {"RaudeepError"})


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_error_survives_pickling_with_its_text(name):
    error = getattr(errors, name)("recording 'a.wav': is empty")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "recording 'a.wav': is empty"


@pytest.mark.parametrize("name", NAMES)
def test_every_error_is_a_raudeep_error(name):
    assert issubclass(getattr(errors, name), errors.RaudeepError)


def test_docstring_draws_every_class_of_the_tree():
    assert set(errors.__all__) >= CLASSES
    assert all(name in errors.__doc__ for name in CLASSES)


@pytest.mark.parametrize(
    ("allocate", "said"),
    [
        (lambda: bytearray(10**18), "not enough memory: MemoryError. Lower"),
        (lambda: torch.empty(10**17), "can't allocate memory: you tried to allocate 40000000000"),
    ],
)
def test_memory_that_ran_out_is_said_in_a_line(allocate, said):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    found = errors.error_for_user(caught.value)
    assert isinstance(found, errors.ResourceError)
    assert said in str(found)
    assert "\n" not in str(found)


def test_what_a_gpu_says_of_its_memory_is_known():
    found = errors.error_for_user(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert isinstance(found, errors.ResourceError)


def test_ours_is_for_the_user_as_it_is_and_others_are_not():
    ours = errors.AudioError("is empty")
    assert errors.error_for_user(ours) is ours
    assert errors.error_for_user(RuntimeError("shapes differ")) is None
    assert errors.error_for_user(ValueError()) is None
