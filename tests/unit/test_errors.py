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


def allocate():
    torch.empty(10**17)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (lambda: bytearray(10**18), "not enough memory: MemoryError. Lower"),
        (allocate, "can't allocate memory: you tried to allocate 400000000000000000 bytes"),
        (
            lambda: throw(torch.OutOfMemoryError("CUDA out of memory. Tried …")),
            "CUDA out of memory",
        ),
    ],
)
def test_memory_that_ran_out_is_said_in_a_line(cause, said):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        cause()
    found = errors.memory_error(caught.value)
    assert isinstance(found, errors.ResourceError)
    assert said in str(found)
    assert "\n" not in str(found)


def throw(error):
    raise error


def test_other_errors_are_not_taken_for_it():
    assert errors.memory_error(RuntimeError("shapes differ")) is None
    assert errors.memory_error(ValueError()) is None
