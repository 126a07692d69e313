"""Tables that grow with those they are made of: what stays, what is made again, what is refused."""

from dataclasses import replace

import pytest

from raudeep.errors import TableError
from raudeep.storage import uri as uris
from raudeep.storage.index import INDEX, read_index
from raudeep.storage.opening import open_tables
from raudeep.storage.writer import TableWriter
from tests.tables import IDENTITY, failures, rows


def grow(place, plans, *, failed=()):
    """Write a table of a part for each file of its plan, some with an error; return its index."""
    writer = TableWriter(f"{place}/source", IDENTITY)
    for part in range(len(plans)):
        writer.write(part, rows(part, part + 1), failures("bad") if part in failed else None)
    return writer.commit(len(plans), recordings=plans, ends=range(1, len(plans) + 1))


def derive(place, *sources, parts=None):
    """Write what is missing of a table that is made of others, so many parts; return both."""
    named = dict(zip("abc", sources, strict=False))
    writer = TableWriter.growing(f"{place}/derived", "predictions", {}, named)
    open_tables([writer])
    total = len(sources[0].parts)
    missing = [part for part in writer.missing(total) if parts is None or part < parts]
    for part in missing:
        writer.write(part, rows(part, part + 1))
    return writer, missing


def test_a_table_knows_what_it_was_before_it_grew(place):
    states = [grow(place, "xyz"[:number]) for number in (1, 2, 3)]
    assert [index.earlier for index in states] == [
        [],
        [states[0].fingerprint],
        [states[0].fingerprint, states[1].fingerprint],
    ]


def test_a_slower_process_does_not_take_back_what_another_added(place):
    grow(place, "xy")
    further = grow(place, "xyz")
    assert grow(place, "xy") == further  # planned before the other began
    assert read_index(f"{place}/source") == further


def test_a_derived_table_keeps_its_parts_when_its_source_grows(place):
    for number in (1, 2, 3):
        writer, missing = derive(place, grow(place, "xyz"[:number]))
        assert missing == [number - 1]
        grown = writer.commit(number)
    uris.delete(f"{place}/derived")
    writer, missing = derive(place, grow(place, "xyz"))
    assert missing == [0, 1, 2]
    assert writer.commit(3) == grown  # made at once, it has the same past
    assert len(grown.earlier) == 2


def test_what_is_derived_of_a_derived_table_grows_as_well(place):
    for number in (1, 2):
        writer, _ = derive(place, grow(place, "xy"[:number]))
        _, missing = derive(f"{place}/more", writer.commit(number))
        assert missing == [number - 1]


def test_parts_of_a_source_that_was_made_otherwise_since_are_made_again(place):
    """A run is killed when the source had grown, and then the source finds an error in its part."""
    writer, _ = derive(place, grow(place, "x"))
    writer.commit(1)
    _, missing = derive(place, grow(place, "xyz"), parts=2)
    assert missing == [1]
    _, missing = derive(place, grow(place, "xyz", failed=[1]))
    assert missing == [1, 2]


def test_parts_of_a_killed_run_stay_when_the_source_grows(place):
    derive(place, grow(place, "xy"), parts=1)
    _, missing = derive(place, grow(place, "xyz"))
    assert missing == [1, 2]


@pytest.mark.parametrize(("plans", "failed"), [("zy", []), ("xy", [0])])
def test_another_source_is_refused(place, plans, failed):
    writer, _ = derive(place, grow(place, "x"))
    writer.commit(1)
    with pytest.raises(TableError, match="input 'a' is another one now"):
        derive(place, grow(place, plans, failed=failed))


def test_a_table_of_several_grows_if_all_of_them_grew_alike(place):
    one, two = (grow(f"{place}/{number}", "x") for number in (1, 2))
    writer, _ = derive(place, one, two)
    writer.commit(1)
    grown = grow(f"{place}/1", "xy")
    with pytest.raises(TableError, match="input 'a' is another one now"):
        derive(place, grown, two)
    assert derive(place, grown, grow(f"{place}/2", "xy"))[1] == [1]


def test_an_index_of_before_is_read(place):
    index = grow(place, "x")
    file = f"{place}/source/{INDEX}"
    uris.write_bytes(file, uris.read_bytes(file).replace(b'"earlier": [],', b""))
    assert read_index(f"{place}/source") == replace(index, earlier=[])
