"""What libsndfile cannot read goes to FFmpeg, and what is said of what neither can read."""

import sys
from contextlib import suppress

import av
import numpy as np
import pytest
import soundfile

from raudeep.audio.decode import decode, read_header
from raudeep.audio.reasons import reason_of
from raudeep.errors import AudioError
from tests.recordings import FORMATS, by_ffmpeg, noise

RATE = 16000
HANDED_ON = {
    "ogg of FLAC": by_ffmpeg("ogg", "flac"),
    "caf of ALAC": by_ffmpeg("caf", "alac"),
    "caf of IMA": by_ffmpeg("caf", "adpcm_ima_qt"),
    "wav of G.722": by_ffmpeg("wav", "adpcm_g722"),
    "wav of G.726": by_ffmpeg("wav", "g726", rate=8000, bits=32_000),
    "au of G.722": by_ffmpeg("au", "adpcm_g722"),
}
NO_SOUND = {
    "text": b"This is a note about the recording, not the recording.\n",
    "playlist": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
    "list of parts": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "subtitles": b"1\n00:00:00,000 --> 00:00:01,000\nHello\n",
    "page": b"<html>404 Not Found</html>" * 10,
    "session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "playlist that begins as a tag": b"ID3\4\0\0\0\0\0\0#EXTM3U\nfile:///etc/passwd\n",
}


@pytest.mark.parametrize("name", HANDED_ON)
def test_what_libsndfile_cannot_read_is_decoded_by_ffmpeg(name):
    samples = noise(1.5, rate=RATE)
    content = HANDED_ON[name](samples, RATE)
    found, rate = decode(content)
    assert found.shape[1] / rate == pytest.approx(1.5, abs=0.05)
    assert read_header(content).duration == pytest.approx(1.5, abs=0.2)
    if rate == RATE:  # else it was resampled
        assert found.std() == pytest.approx(samples.std(), rel=0.3)
    if name in ("ogg of FLAC", "caf of ALAC"):
        np.testing.assert_allclose(found[0], samples[:, 0].clip(-1, 1), atol=2**-14)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("name", HANDED_ON)
def test_what_is_cut_off_is_no_shorter_recording(name, share):
    content = HANDED_ON[name](noise(3.0, rate=RATE), RATE)
    with pytest.raises(AudioError):
        decode(content[: round(share * len(content))])


@pytest.mark.parametrize("name", HANDED_ON)
def test_without_pyav_the_error_says_what_to_do(name, monkeypatch):
    content = HANDED_ON[name](noise(0.5, rate=RATE), RATE)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"codec .* pip install 'raudeep\[ffmpeg\]'.* WAV"):
        decode(content)


@pytest.mark.parametrize("name", NO_SOUND)
def test_texts_and_lists_do_not_reach_ffmpeg(name, monkeypatch):
    monkeypatch.setattr(av, "open", lambda *_, **__: pytest.fail("FFmpeg was asked"))
    with pytest.raises(AudioError, match=r"sound file does|no sound"):
        decode(NO_SOUND[name])


@pytest.mark.parametrize("name", FORMATS)
def test_ffmpeg_never_guesses(name, monkeypatch, rng):
    """Each kind goes to it under its own name, damaged as well."""
    asked = []

    def spy(file, *, format):
        asked.append(format)
        return opened(file, format=format)

    opened = av.open
    rate = FORMATS[name].rates[0]
    content = bytearray(FORMATS[name].encode(noise(0.5, rate=rate), rate))
    monkeypatch.setattr(av, "open", spy)
    for _ in range(20):
        place = rng.integers(0, min(200, len(content)))
        damaged = bytearray(content)
        damaged[place : place + 4] = rng.bytes(4)
        with suppress(AudioError):
            decode(bytes(damaged))
    assert set(asked) <= {"mov", "matroska", "asf", "aac", "amr", "wv", "ogg", "caf"} | {
        *("flac", "au", "w64", "wav", "aiff")
    }


@pytest.mark.parametrize("number", range(1, 184))
def test_every_text_of_libsndfile_has_a_reason_that_says_what_to_do(number):
    error = soundfile.LibsndfileError(number)
    reason = reason_of(error)
    assert reason != error.error_string
    assert any(word in reason for word in ("copy it again", "convert", "encode", "--chunk"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("Invalid data found when processing input"), "damaged"),
        (ValueError("Frame does not match AudioResampler setup."), "sample rate change"),
        (MemoryError(), "--chunk-seconds"),
        (MemoryError("Unable to allocate 1. TiB for an array with shape (9,)"), "--chunk-seconds"),
        (ValueError("array is too big; `arr.size * arr.dtype.itemsize`"), "--chunk-seconds"),
        (ValueError("what nobody has seen"), "what nobody has seen"),
    ],
)
def test_texts_of_other_libraries(error, said):
    assert said in reason_of(error)


@pytest.mark.parametrize("size", [2**40, 2**56, 2**63 - 1])
def test_a_header_that_leads_beyond_any_file_ends_there(size):
    content = bytearray(HANDED_ON["caf of ALAC"](noise(0.5, rate=RATE), RATE))
    place = content.index(b"chan") + 4
    content[place : place + 8] = size.to_bytes(8, "big")
    with pytest.raises(AudioError):
        decode(bytes(content))
