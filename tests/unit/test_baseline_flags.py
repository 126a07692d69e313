"""Flags of `raudeep baseline`: those that a baseline has no use for are not offered."""

import pydantic  # noqa: F401 -- once it is imported, cyclopts checks every value with it
import pytest

from tests.support import assert_one_line


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("cnn", ("--majority-vote",)),
        ("sparse-coding", ("--no-majority-vote",)),
        ("sparse-coding", ("--repeats", "7")),
    ],
)
def test_a_flag_that_would_change_nothing_is_none(cli, name, flags):
    code, _, err = cli("baseline", name, "nowhere", "--output", "out", *flags)
    assert code == 2
    assert f"Unknown option: {flags[0]}" in err
    assert flags[0] not in cli("baseline", name, "--help")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("cnn",),
        ("cnn", "--repeats", "2", "--folds", "1"),
        ("sparse-coding", "--seed", "3"),
        ("band-statistics", "--majority-vote", "--repeats", "7"),
    ],
)
def test_a_flag_that_has_an_effect_is_taken(cli, arguments):
    name, *flags = arguments
    code, out, err = cli("baseline", name, "nowhere", "--output", "out", *flags)
    assert (code, out) == (1, "")
    assert_one_line(err, "nowhere")
