"""The errors: one tree, and each survives the way between processes."""

import pickle

import pytest

from raudeep import errors

NAMES = [name for name in errors.__all__ if name != "RaudeepError"]


@pytest.mark.parametrize("name", errors.__all__)
def test_error_survives_pickling_with_its_text(name):
    error = getattr(errors, name)("recording 'a.wav': is empty")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "recording 'a.wav': is empty"


@pytest.mark.parametrize("name", NAMES)
def test_every_error_is_a_raudeep_error(name):
    assert issubclass(getattr(errors, name), errors.RaudeepError)


def test_docstring_draws_every_class_of_the_tree():
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined == set(errors.__all__)
    assert all(name in errors.__doc__ for name in defined)
