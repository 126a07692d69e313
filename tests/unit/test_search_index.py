"""The index of a search: a damaged one is never handed to the library that reads it."""

import pytest

from raudeep.pipeline.searching.nearest import find_nearest
from raudeep.pipeline.stage import embedding_array
from raudeep.storage.table import read_table
from tests.embeddings import write_table


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: good[: len(good) // 2],
        lambda good: good[:100] + b"\xff" * 40 + good[140:],
        lambda good: b"",
    ],
)
def test_a_damaged_index_is_made_again_with_a_line(tmp_path, rng, damage, caplog):
    """Read as it is, it ends the process."""
    table, place = str(tmp_path / "table"), tmp_path / "rows.usearch"
    # So few that each is linked with all others: of more, threads do not always make one graph.
    rows = [(f"{row:03d}.wav", 0, None, None, None) for row in range(30)]
    write_table(table, rows, rng.normal(size=(30, 8)))
    query = embedding_array(read_table(table))[:1]
    found = find_nearest(table, query, index=str(place))
    place.write_bytes(damage(place.read_bytes()))
    assert find_nearest(table, query, index=str(place)).equals(found)
    assert "rows.usearch is damaged, or of an earlier raudeep; it is made again" in caplog.text
    assert find_nearest(table, query, index=str(place)).equals(found)
    assert caplog.text.count("is made again") == 1
