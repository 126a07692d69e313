"""A small sample of what `python -m tests.damaged` makes: nothing is lost without a word."""

import pytest

from tests.damaged import make_case, verdict
from tests.recordings import FORMATS


@pytest.mark.parametrize("kind", FORMATS)
def test_of_damaged_recordings_no_sound_is_lost_without_a_word(kind):
    found = {(case := make_case(kind, seed)).name: verdict(case) for seed in range(4)}
    assert {name: said for name, said in found.items() if said not in ("read", "refused")} == {}
