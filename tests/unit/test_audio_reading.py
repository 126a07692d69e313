"""Whole and in chunks, from memory and from a file: recordings of all formats are the same."""

import io

import numpy as np
import pytest

from raudeep.audio.decode import decode, decode_blocks, read_header
from tests.recordings import FORMATS, by_ffmpeg, by_soundfile, noise

ENCODERS = {
    **{name: form.encode for name, form in FORMATS.items()},
    "flac of 24 bits": by_soundfile("FLAC", "PCM_24"),
    "wav of 24 bits": by_soundfile("WAV", "PCM_24"),
    "wav of GSM": by_soundfile("WAV", "GSM610"),
    "wav of MS ADPCM": by_soundfile("WAV", "MS_ADPCM"),
    "wav of G.722": by_ffmpeg("wav", "adpcm_g722"),
    "wav of AC-3": by_ffmpeg("wav", "ac3"),
    "caf of ALAC": by_ffmpeg("caf", "alac"),
    "caf of IMA": by_ffmpeg("caf", "adpcm_ima_qt"),
    "caf of libsndfile's ALAC": by_soundfile("CAF", "ALAC_16"),
    "ogg of FLAC": by_ffmpeg("ogg", "flac"),
    "mka": by_ffmpeg("matroska", "pcm_s16le"),
    "mka of AAC": by_ffmpeg("matroska", "aac"),
    "voc": by_soundfile("VOC"),
    "sph": by_soundfile("NIST"),
}
MOST_CHANNELS = {
    **dict.fromkeys(("amr", "webm", "wav of GSM", "wav of G.722"), 1),
    **dict.fromkeys(("mp3", "mp3 vbr", "mp3 without a count", "wma", "wav of MS ADPCM"), 2),
    **dict.fromkeys(("caf of IMA", "wav adpcm", "voc"), 2),
}
RATES = {"opus": 48000, "webm": 48000, "amr": 8000, "wav of AC-3": 48000}
CASES = [
    (name, channels)
    for name in ENCODERS
    for channels in (1, 2, 6)
    if channels <= MOST_CHANNELS.get(name, 6)
] + [("m4a", 8), ("ogg of FLAC", 8), ("opus", 8)]  # PyAV does not survive the planes of eight


@pytest.mark.parametrize(("name", "channels"), CASES)
def test_chunks_are_pieces_of_the_whole(name, channels, tmp_path):
    rate = RATES.get(name, 16000)
    content = ENCODERS[name](noise(1.5, rate=rate, channels=channels), rate)
    whole, found = decode(content)
    assert found == rate
    assert len(whole) == channels
    assert whole.shape[1] / rate == pytest.approx(1.5, abs=0.15)
    assert read_header(content).duration == pytest.approx(whole.shape[1] / rate, abs=0.1)
    path = tmp_path / "recording"
    path.write_bytes(content)
    with path.open("rb") as file:
        for opened in (io.BytesIO(content), file):
            for length, hop in ((0.21, 0.21), (0.4, 0.15), (0.1, 0.26)):
                opened.seek(0)
                assert_pieces(opened, whole, rate, length, hop)


def assert_pieces(file, whole, rate, length, hop):
    number = -1
    blocks = decode_blocks(file, length_seconds=length, hop_seconds=hop)
    for number, block in enumerate(blocks):
        start = number * round(hop * rate)
        expected = whole[:, start : start + round(length * rate)]
        np.testing.assert_array_equal(block.samples, expected)
    assert (number + 1) * round(hop * rate) + max(0, length - hop) * rate >= whole.shape[1] - 1


def test_a_w64_of_a_pipe_is_read_from_memory_as_from_a_file(tmp_path):
    """Its sizes are the largest numbers: libsndfile goes back by them, and files differ there."""
    content = bytearray(by_soundfile("W64")(noise(0.5), 16000))
    data = content.index(b"data\xf3\xac")
    content[16:24] = b"\xff" * 8
    content[data + 16 : data + 24] = b"\xff" * 7 + b"\x7f"
    path = tmp_path / "pipe.w64"
    path.write_bytes(content)
    whole, rate = decode(bytes(content))
    assert whole.shape == (1, rate // 2)
    with path.open("rb") as file:
        np.testing.assert_array_equal(decode(file)[0], whole)
