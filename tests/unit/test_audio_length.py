"""All that is there of a recording is used, or an error says how much the header says."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from raudeep.audio.decode import decode, decode_blocks, read_header
from raudeep.errors import AudioError

RATE = 44100
CASES = Path(os.environ.get("RAUDEEP_TEST_DATA", "shared/data")) / "cases" / "audio"


def encode(kind, seconds=2.0, *, rate=RATE, channels=1, **settings):
    """Return noise, which no codec makes small, in a container."""
    samples = 0.3 * np.random.default_rng(0).standard_normal((round(seconds * rate), channels))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, **settings)
    return file.getvalue()


def both(content):
    """Return where a recording ends, or its error: the same whole and in chunks."""
    found = []
    for read in (decode_whole, decode_in_chunks):
        try:
            found.append(read(content))
        except AudioError as error:
            found.append(str(error))
    assert found[0] == found[1]
    return found[0]


def decode_whole(content):
    samples, rate = decode(content)
    return samples.shape[1] / rate


def decode_in_chunks(content):
    return list(decode_blocks(io.BytesIO(content), length_seconds=0.5, hop_seconds=0.5))[-1].end


def frames_of(mp3):
    """Return an MP3 of constant rate without the frame that says how many follow."""
    size = mp3.index(mp3[:2], 4)
    return mp3[size:]


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "AIFF", "AU", "CAF", "RIFX"])
def test_more_samples_than_the_header_says_are_an_error_that_says_how_many(kind):
    settings = {"endian": "BIG"} if kind == "RIFX" else {}
    content = encode("WAV" if kind == "RIFX" else kind, **settings)
    assert both(content) == pytest.approx(2.0)
    said = both(content + content[-2 * RATE :])
    assert "the header says 176400 bytes (2 s), the file has 264600 bytes (3 s)" in said


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "CAF", "W64", "FLAC", "OGG", "MP3"])
def test_a_second_recording_behind_the_first_is_an_error(kind):
    content = encode(kind)
    assert both(content) == pytest.approx(2.0, abs=0.06)
    assert isinstance(both(content + content), str)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "CAF", "FLAC", "OGG", "MP3"])
def test_a_tag_at_the_end_is_no_sound(kind):
    content = encode(kind)
    assert both(content + b"TAG" + bytes(125)) == both(content)


def test_chunks_behind_the_samples_are_no_sound():
    content = encode("WAV")
    assert both(content + b"LIST" + (20_000).to_bytes(4, "little") + bytes(20_000)) == 2.0


@pytest.mark.parametrize(("size", "said"), [(0, "says 0 bytes,"), (44, r"says 44 bytes \(0.000")])
def test_a_recorder_that_did_not_finish_its_header_is_named(size, said):
    content = bytearray(encode("WAV"))
    content[40:44] = size.to_bytes(4, "little")
    with pytest.raises(AudioError, match=rf"{said}.*has 176400 .*ffmpeg -ignore_length 1 -i"):
        decode(bytes(content))


def test_a_flac_that_has_more_frames_than_its_header_counts_is_an_error():
    content = bytearray(encode("FLAC"))
    content[21:26] = (content[21] & 0xF0, *(RATE).to_bytes(4, "big"))
    assert "the header says 1 s, the file has 2 s" in both(bytes(content))


def test_flac_frames_that_come_twice_are_an_error():
    content = encode("FLAC")
    for share in (0.5, 0.8):
        assert "holds several streams" in both(content + content[int(share * len(content)) :])


def test_an_ogg_whose_last_page_counts_too_few_is_an_error():
    content = bytearray(encode("OGG", 20.0))
    page = content.rindex(b"OggS")
    content[page + 6 : page + 14] = (RATE).to_bytes(8, "little")
    assert "count" in both(bytes(content))


@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp3_in_chunks_has_the_samples_of_the_whole(channels):
    for content in (encode("MP3", channels=channels), frames_of(encode("MP3", channels=channels))):
        whole, _ = decode(content)
        blocks = decode_blocks(io.BytesIO(content), length_seconds=0.3, hop_seconds=0.3)
        assert np.array_equal(np.concatenate([b.samples for b in blocks], axis=1), whole)


def test_an_mp3_that_does_not_say_its_length_is_used_to_its_end():
    loud, quiet = (frames_of(encode("MP3", compression_level=level)) for level in (0.1, 0.9))
    for content in (loud + quiet, quiet + loud):
        assert both(content) == pytest.approx(4.0, abs=0.1)
        assert read_header(content).duration == pytest.approx(4.0, abs=0.1)
    with pytest.raises(AudioError, match="longer than max_duration"):
        decode(loud + quiet, max_duration=3.0)


def test_an_mp3_that_changes_its_rate_is_an_error_that_says_where():
    content = frames_of(encode("MP3")) + frames_of(encode("MP3", rate=22050))
    said = both(content)
    assert "cannot be decoded beyond 2.0" in said
    assert " s of 4.1" in said


def test_pictures_in_a_tag_are_no_frames():
    content = frames_of(encode("MP3"))
    size = [len(content) >> shift & 127 for shift in (21, 14, 7, 0)]
    tag = b"ID3\4\0\0" + bytes(size) + content
    assert both(tag + content) == both(content)
    assert read_header(tag + content) == read_header(content)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF"])
def test_what_can_be_read_of_a_damaged_recording_is_handed_out_with_the_reason(kind):
    content = encode(kind, 4.0)
    for damaged, least in ((content[: len(content) // 2], 1.5), (content + content, 3.9)):
        faults = []
        try:
            samples, _ = decode(damaged, on_fault=faults.append)
        except AudioError:  # which libsndfile does not open
            continue
        assert samples.shape[1] > least * RATE
        assert len(faults) == 1


class Remote(io.BytesIO):
    """A file that counts the bytes that are read of it."""

    num_read = 0

    def read(self, size=-1):
        data = super().read(size)
        self.num_read += len(data)
        return data


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_counting_reads_no_byte_twice(kind):
    content = encode(kind, 20.0)
    for sound in [content, frames_of(content)] if kind == "MP3" else [content]:
        file = Remote(sound)
        list(decode_blocks(file, length_seconds=1.0, hop_seconds=1.0))
        assert file.num_read < len(sound) + 2**18


@pytest.mark.parametrize(
    ("file", "seconds", "said"),
    [
        ("01_data_size_0.wav", 4.0, "the header says 0 bytes, the file has 128000 bytes"),
        ("02_data_size_44.wav", 4.0, "the header says 44 bytes .*, the file has 128000 bytes"),
        ("05_vbr_noxing_loud_first.mp3", 6.034, None),
        ("06_vbr_noxing_quiet_first.mp3", 6.034, None),
        ("07_two_mp3_with_info.mp3", 8.1, "the header says 4 s, the file has 8.1"),
        ("08_two_mp3_other_rate.mp3", 8.1, "beyond 4.04.* s of 8.1"),
        ("09_two_mp3_mono_stereo.mp3", 8.1, "beyond 4.04.* s of 8.1"),
        ("10_info_half.mp3", 4.0, "the header says 1.96.* s, the file has 4.0"),
        ("11_noinfo_hole_stops.mp3", 3.945, "beyond 0.31.* s of 4.0"),
        ("43_chatter.mp3", 3.972, None),
    ],
)
def test_recordings_of_the_field(file, seconds, said):
    if not CASES.exists():
        pytest.skip("RAUDEEP_TEST_DATA has no folder cases/audio with recordings of the field")
    found = both((CASES / file).read_bytes())
    if said is None:
        assert found == pytest.approx(seconds, abs=0.1)
    else:
        assert re.search(said, found)
