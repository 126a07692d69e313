"""How many recordings may fail."""

import pytest

from raudeep.config import Limits
from raudeep.errors import ConfigError


@pytest.mark.parametrize("max_errors", ["nan%", "inf%", "-1", "101%", "few", "1.5", "%", -1])
def test_what_is_no_share_is_refused(max_errors):
    with pytest.raises(ConfigError, match="must be a whole number, or a share"):
        Limits(max_errors=max_errors)


@pytest.mark.parametrize(
    ("max_errors", "of", "allowed"),
    [
        (None, 100, None),
        ("0", 100, 0),
        ("3", 2, 3),
        (3, 2, 3),
        *((f"{share}%", 100, share) for share in (0, 1, 28, 29, 57, 58, 99, 100)),
        ("0.1%", 1000, 1),
        ("0.1%", 999, 0),
    ],
)
def test_a_share_is_taken_exactly(max_errors, of, allowed):
    assert Limits(max_errors=max_errors).allowed_errors(of) == allowed
