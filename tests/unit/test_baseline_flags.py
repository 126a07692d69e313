"""Flags of `raudeep baseline`: what a baseline cannot be scored with is refused."""

import pydantic  # noqa: F401 -- once it is imported, cyclopts checks every value with it
import pytest

from tests.support import assert_one_line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cnn", "--majority-vote"), "always scored with majority_vote=False. Got True; leave"),
        (("sparse-coding", "--no-majority-vote"), "with majority_vote=True. Got False; leave"),
        (("sparse-coding", "--repeats", "7"), "always scored with repeats=1. Got 7; leave"),
        (("sparse-coding", "--repeats", "None"), "always scored with repeats=1. Got None; leave"),
    ],
)
def test_a_flag_that_would_change_nothing_is_refused(cli, arguments, said):
    name, *flags = arguments
    code, out, err = cli("baseline", name, "nowhere", "--output", "out", *flags)
    assert (code, out) == (1, "")
    assert_one_line(err, said)


@pytest.mark.parametrize(
    "arguments",
    [
        ("cnn",),
        ("cnn", "--no-majority-vote", "--repeats", "2", "--folds", "1"),
        ("sparse-coding",),
        ("sparse-coding", "--majority-vote", "--repeats", "1", "--seed", "3"),
    ],
)
def test_a_flag_that_says_what_holds_is_taken(cli, arguments):
    name, *flags = arguments
    code, out, err = cli("baseline", name, "nowhere", "--output", "out", *flags)
    assert (code, out) == (1, "")
    assert_one_line(err, "no corpus at ")
