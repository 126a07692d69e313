"""Two runs at one output: who makes the same shares it, one of two that make different things ends.

The runs are interleaved by hand, at the moments that decide.
"""

import pytest

from raudeep.errors import TableError
from raudeep.storage import claim as claims
from raudeep.storage import uri as uris
from raudeep.storage.claim import claim, claimed, claiming
from raudeep.storage.index import CLAIM, INDEX, read_index
from raudeep.storage.opening import open_table
from raudeep.storage.table import read_table
from raudeep.storage.verification import verify_table
from raudeep.storage.writer import TableWriter
from tests.tables import IDENTITY, OTHER, failures, files_of, rows

REFUSED = "config.view.n_mels is None there and 40 now. Choose another output, or pass --overwrite"
LOST = "config.view.n_mels is 40 there and None now. Choose another output, or pass --overwrite"


def finish(writer, first=0):
    for part in writer.missing(2):
        writer.write(part, rows(2 * part + first, 2 * part + first + 2))
    return writer.commit(2)


def test_of_two_runs_that_found_a_place_empty_one_is_refused_at_its_first_write(place):
    one, two = open_table(place, IDENTITY), open_table(place, OTHER)
    one.write(0, rows(0, 2))
    for ask in (lambda: two.write(1, rows(2, 4)), lambda: two.commit(1), two.delete):
        with pytest.raises(TableError, match=REFUSED):
            ask()
    finish(one)
    assert verify_table(place) == []
    assert read_index(place).identity == IDENTITY


def test_of_two_runs_that_found_a_place_unclaimed_one_creates_the_claim(place, monkeypatch):
    claim(place, IDENTITY)
    looked = []

    def look(uri, **options):  # the first time as if the other run had not been there yet
        looked.append(uri)
        return claimed(uri, **options) if len(looked) > 1 else None

    monkeypatch.setattr(claims, "claimed", look)
    with pytest.raises(TableError, match=REFUSED):
        claim(place, OTHER)
    assert claimed(place) == IDENTITY
    looked.clear()
    claim(place, IDENTITY)


def test_two_runs_of_one_command_share_the_work(place):
    one, two = open_table(place, IDENTITY), open_table(place, IDENTITY)
    one.write(0, rows(0, 2))
    two.write(1, rows(2, 4))
    assert one.commit(2) == two.commit(2)
    assert verify_table(place) == []


def test_a_killed_run_leaves_its_claim_to_the_same_command_alone(place):
    open_table(place, IDENTITY).write(0, rows(0, 2))
    uris.delete_file(uris.join(place, "part-00000.parquet"))
    with pytest.raises(TableError, match=REFUSED):
        open_table(place, OTHER)
    finish(open_table(place, IDENTITY))
    assert verify_table(place) == []


def test_a_run_whose_table_is_replaced_ends_before_its_next_write(place):
    one = open_table(place, IDENTITY)
    one.write(0, rows(0, 2))
    two = open_table(place, OTHER, overwrite=True)
    write, forget = (lambda: one.write(1, rows(2, 4))), (lambda: one.forget([0]))
    asks = [write, lambda: one.commit(1), one.delete, forget]
    for ask in asks:
        with pytest.raises(TableError, match=LOST):
            ask()
    assert files_of(place) == {}
    finish(two)
    with pytest.raises(TableError, match=LOST):
        one.commit(2)
    assert verify_table(place) == []
    assert read_index(place).identity == OTHER


@pytest.mark.parametrize("late", ["part-00001.parquet", "__raudeep__/errors-00001.pq"])
def test_what_a_run_still_wrote_when_it_lost_its_claim_is_no_part_of_the_table(place, late):
    one = TableWriter(f"{place}-elsewhere", IDENTITY)
    one.write(1, rows(7, 9), failures("x"))
    content = uris.read_bytes(uris.join(one.uri, late))
    uris.delete(one.uri)
    two = open_table(place, OTHER)
    two.write(0, rows(0, 2))
    two.write(1, rows(2, 4))
    uris.write_bytes(uris.join(place, late), content)
    with pytest.raises(TableError, match=r"another run has written .*Run the same command again"):
        two.commit(2)
    again = open_table(place, OTHER)
    assert again.missing(2) == [1]
    finish(again)
    assert verify_table(place) == []
    assert read_table(place)["file"].to_pylist() == ["000.wav", "001.wav", "002.wav", "003.wav"]


def test_a_finished_table_is_what_it_was_though_a_killed_run_was_to_replace_it(place):
    finish(open_table(place, IDENTITY))
    claim(place, OTHER, overwrite=True)
    with pytest.raises(TableError, match=REFUSED):
        open_table(place, OTHER)
    assert open_table(place, IDENTITY).missing(2) == []
    assert claimed(place) == IDENTITY


def test_a_damaged_claim_is_none(place):
    for content in (b"", b"{}", b'{"identity": 3}', b"\0" * 9):
        uris.write_bytes(uris.join(place, CLAIM), content)
        assert claimed(place) is None
        open_table(place, OTHER).write(0, rows(0, 2))
        assert claimed(place) == OTHER


def test_a_held_claim_goes_with_its_run_and_that_of_another_stays(place):
    with (
        claiming(place, IDENTITY),
        pytest.raises(TableError, match=REFUSED),
        claiming(place, OTHER),
    ):
        pass
    assert uris.list_files(place) == {}
    with claiming(place, IDENTITY), claiming(place, IDENTITY):
        claim(place, OTHER, overwrite=True)
    assert claimed(place) == OTHER


def test_a_run_killed_while_it_replaced_a_table_leaves_nothing_of_it(place):
    finish(open_table(place, IDENTITY))
    # As it is after the claim and the first deletions of the run that replaces the table.
    claim(place, OTHER, overwrite=True)
    for name in (INDEX, "part-00000.parquet"):
        uris.delete_file(uris.join(place, name))
    writer = open_table(place, OTHER)
    assert files_of(place) == {}
    writer.write(0, rows(5, 6))
    # A run that goes on keeps what it has made.
    assert open_table(place, OTHER).missing(2) == [1]
