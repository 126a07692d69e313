"""Silence: found after the mix of the channels, said by each part, counted by the index."""

import numpy as np
import pytest

from raudeep.audio.framing import mix_channels, silence_of
from raudeep.errors import TableError
from raudeep.schema import with_metadata
from raudeep.storage.index import Silent, read_index
from raudeep.storage.labels import relabelled
from raudeep.storage.opening import open_table
from raudeep.storage.silence import (
    read_silence,
    silence_of_part,
    silent_of,
    total_silence,
    with_silence,
)
from raudeep.storage.verification import verify_table
from tests.sounds import chunks, noise
from tests.tables import IDENTITY, rows

SOUND = noise()[0]
NOTHING = np.zeros_like(SOUND)


@pytest.mark.parametrize(
    ("channels", "mix", "found"),
    [
        ((SOUND,), "mean", None),
        ((1e-6 * SOUND,), "mean", None),
        ((NOTHING,), "mean", "none"),
        ((NOTHING + 0.25,), "left", "none"),
        ((SOUND, SOUND), "mean", None),
        ((SOUND, -SOUND), "mean", "left"),
        ((SOUND, -0.99 * SOUND), "mean", "left"),
        ((SOUND, -0.9 * SOUND), "mean", None),
        ((1e-5 * SOUND, -1e-5 * SOUND), "mean", "left"),
        ((0.9 * SOUND, -SOUND, 0.1 * SOUND), "mean", "right"),
        ((SOUND, -SOUND), "difference", None),
        ((SOUND, SOUND), "difference", "left"),
        ((SOUND, 0.999 * SOUND), "difference", None),
        ((NOTHING, SOUND), "left", "right"),
        ((1e-4 * SOUND, SOUND), "left", None),
        ((SOUND, NOTHING), "right", "left"),
        ((NOTHING, NOTHING), "mean", "none"),
    ],
)
def test_silence_names_the_channel_that_has_a_sound(channels, mix, found):
    samples = np.stack(channels).astype(np.float32)
    assert silence_of(samples, mix_channels(samples, mix), mix) == found


def test_each_chunk_of_a_view_says_whether_it_holds_a_sound():
    left = np.concatenate([SOUND, NOTHING, SOUND])
    right = np.concatenate([SOUND, NOTHING, -SOUND])
    view = {"chunk_seconds": 0.24, "chunk_count": 6, "n_mels": 8}  # and a window of 0.04 s
    found = chunks(np.stack([left, right]), **view)
    assert [each.silence for each in found] == [None, None, None, "none", "left", "left"]
    (whole,) = chunks(np.stack([SOUND, -SOUND]), fixed_seconds=2)
    assert whole.silence == "left"


def test_parts_say_which_of_their_rows_are_silent_and_the_index_counts_them(place):
    writer = open_table(place, IDENTITY)
    writer.write(0, with_silence(rows(0, 3), [None, "left", "none"]))
    writer.write(1, with_silence(rows(3, 5), [None, None]))
    index = writer.commit(2)
    assert [part.silent for part in index.parts] == [
        Silent(rows={"left": 1, "none": 1}, recordings={"left": 1, "none": 1}),
        None,
    ]
    assert read_index(place) == index
    assert total_silence(index).rows == {"left": 1, "none": 1}
    found = read_silence(place).select(["file", "sound"]).to_pylist()
    assert found == [{"file": "001.wav", "sound": "left"}, {"file": "002.wav", "sound": "none"}]
    assert writer.commit(2) == index  # known of the index before
    assert not verify_table(place)


def test_a_table_that_says_nothing_of_silence_has_none(finished):
    assert read_silence(finished).num_rows == 0
    assert silence_of_part(rows(0, 3)) is None
    assert silence_of_part(with_silence(rows(0, 3), [None] * 3)) == [None] * 3


def test_a_recording_is_silent_if_all_its_chunks_are():
    table = rows(0, 5).set_column(0, "file", [["a", "a", "b", "b", "c"]])
    said = with_silence(table, ["none", "left", None, "none", "none"])
    silent = Silent(rows={"none": 3, "left": 1}, recordings={"left": 1, "none": 1})
    assert silent_of(said.schema) == silent
    other = relabelled(said, table.select(["file", "label", "partition", "folds"]).slice(0, 1))
    assert silent_of(other.schema) == silent


def test_what_a_part_says_of_silence_is_checked():
    wrongs = [
        {"runs": {"left": 3}, "recordings": {}},
        {"runs": {"left": [[3]]}, "recordings": {}},
        {"runs": {"left": [[-3, 1]]}, "recordings": {}},
        {"runs": {"left; echo": [[0, 1]]}, "recordings": {}},
        {"runs": {}},
        [1],
    ]
    for wrong in wrongs:
        schema = with_metadata(rows(0, 1).schema, {"silence": wrong})
        with pytest.raises(TableError, match="what a part says of its silence"):
            silent_of(schema)
    far = with_metadata(
        rows(0, 3).schema, {"silence": {"runs": {"left": [[1, 10**9]]}, "recordings": {}}}
    )
    table = rows(0, 3).replace_schema_metadata(far.metadata)
    assert silence_of_part(table) == [None, "left", "left"]
