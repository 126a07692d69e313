"""Sound in containers that libsndfile does not know, encoded here by the FFmpeg of PyAV."""

import io
import sys

import av
import numpy as np
import pytest

from raudeep.audio.decode import decode, decode_blocks, read_header
from raudeep.errors import AudioError

RATE = 48000
KINDS = {  # container, codec; of the first half what is decoded is what was encoded
    "m4a of ALAC": ("ipod", "alac"),
    "wv": ("wv", "wavpack"),
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "aac": ("adts", "aac"),
    "wma": ("asf", "wmav2"),
    "webm": ("webm", "libopus"),
    "amr": ("amr", "libopencore_amrnb"),  # mono at 8 kHz alone
}
EXACT = {"m4a of ALAC", "wv"}


def encode(kind, samples, rate=RATE):
    """Return samples (channels, samples) of 16 bits in a container."""
    container, codec = KINDS[kind]
    layout = "stereo" if len(samples) == 2 else "mono"
    bits = 12_200 if kind == "amr" else 128_000
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout, bit_rate=bits)
        if kind in EXACT:
            stream.format = "s16p"
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1024
        frame = av.AudioFrame.from_ndarray(samples, format="s16p", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, layout, rate, frame_size=size)
        for block in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(block))
        output.mux(stream.encode(None))
    return file.getvalue()


WIDE = [kind for kind in KINDS if kind != "amr"]


def tone(seconds=2.0, channels=1):
    """Return a tone of 440 Hz in the first channel, and one of 660 Hz in the second."""
    time = np.arange(round(RATE * seconds)) / RATE
    tones = [0.5 * np.sin(2 * np.pi * 220 * (2 + channel) * time) for channel in range(channels)]
    return (32767 * np.array(tones)).astype(np.int16)


def pitch(samples):
    """Return the strongest frequency in Hz of the middle of a signal."""
    middle = samples[RATE // 2 : RATE // 2 + RATE]
    return int(np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle))))))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", WIDE)
def test_what_was_encoded_is_decoded(kind, channels):
    samples = tone(channels=channels)
    content = encode(kind, samples)
    found, rate = decode(content)
    assert rate == RATE
    assert found.dtype == np.float32
    if kind in EXACT:
        np.testing.assert_array_equal(found, samples / np.float32(2**15))
    else:
        assert len(found) == channels
        assert found.shape[1] == pytest.approx(samples.shape[1], abs=0.06 * RATE)
        assert [pitch(channel) for channel in found] == [440, 660][:channels]
        middle = found[:, RATE // 2 : -RATE // 2]
        assert np.sqrt(np.square(middle).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    header = read_header(content)
    assert (header.sample_rate, header.channels) == (RATE, channels)
    assert header.duration == pytest.approx(found.shape[1] / RATE, abs=0.06)


@pytest.mark.parametrize("kind", WIDE)
def test_blocks_are_the_pieces_of_the_whole_recording(kind):
    content = encode(kind, tone(channels=2))
    whole, _ = decode(content)
    blocks = decode_blocks(io.BytesIO(content), length_seconds=0.5, hop_seconds=0.3)
    for number, block in enumerate(blocks):
        start = round(number * 0.3 * RATE)
        np.testing.assert_array_equal(block.samples, whole[:, start : start + RATE // 2])
    assert number >= 5
    assert block.end == whole.shape[1] / RATE


@pytest.mark.parametrize("kind", WIDE)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_what_is_cut_off_is_no_shorter_recording(kind, share, rng):
    noise = rng.integers(-(2**14), 2**14, (1, 2 * RATE), np.int16)
    content = encode(kind, noise)
    with pytest.raises(AudioError):
        decode(content[: round(share * len(content))])


def test_amr_is_counted():
    samples = (8000 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 8000)).astype(np.int16)
    content = encode("amr", samples[np.newaxis], 8000)
    found, rate = decode(content)
    assert (rate, len(found)) == (8000, 1)
    assert read_header(content).duration == found.shape[1] / 8000 == pytest.approx(3, abs=0.05)
    middle = found[0, 8000:16_000]
    assert np.argmax(np.abs(np.fft.rfft(middle * np.hanning(8000)))) == 440
    with pytest.raises(AudioError):
        decode(content[: len(content) // 2])


def test_aac_may_begin_with_a_tag():
    """As the segments of web radios do."""
    content = encode("aac", tone())
    tag = b"ID3\4\0\0" + bytes([0, 0, 2, 3]) + bytes(2 * 128 + 3)
    np.testing.assert_array_equal(decode(tag + content)[0], decode(content)[0])


def test_aac_alone_does_not_say_how_long_it_is():
    content = encode("aac", tone(3.0))
    assert read_header(content).duration == pytest.approx(3, abs=0.06)
    assert decode(content)[0].shape[1] == round(read_header(content).duration * RATE)
    with pytest.raises(AudioError, match=r"longer than max_duration=2 s"):
        decode(content, max_duration=2)


def test_without_pyav_it_is_an_error_that_says_what_to_install(monkeypatch):
    content = encode("m4a", tone())
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"pip install 'raudeep\[ffmpeg\]'"):
        decode(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "does not begin as a sound file does"),
        (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "does not begin as a sound file does"),
        (b"\0\0\0\x1cftypM4A " + bytes(100), "cannot be decoded"),
        (b"\xff\xf1" + bytes(100), "claims a sample rate of 0 Hz"),
    ],
)
def test_what_only_looks_like_sound_is_an_audio_error(content, said):
    with pytest.raises(AudioError, match=said):
        decode(content)


def test_a_film_without_sound_is_an_audio_error():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        output.mux([*stream.encode(picture), *stream.encode(None)])
    with pytest.raises(AudioError, match="holds no audio"):
        decode(file.getvalue())


def test_what_the_storage_says_is_not_taken_for_bad_audio():
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 1000:
                raise TimeoutError("the store does not answer")
            return super().read(min(size, 1000))

    with pytest.raises(TimeoutError, match="does not answer"):
        decode(Failing(encode("webm", tone())))
