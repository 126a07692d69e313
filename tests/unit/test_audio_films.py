"""How long sound is that stands beside pictures, begins late or has a header that is wrong."""

import io
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest

from raudeep.audio.decode import decode, decode_blocks, read_header
from raudeep.errors import AudioError

RATE = 48000
PICTURES = 5  # per second


@cache
def film(container, codec, *, seconds=2.0, pictures=0.0, start=0.0, **options):
    """Return a tone that begins at `start`, and a film from 0 on where it has a length."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        sound = output.add_stream(codec, rate=RATE, layout="mono")
        sound.codec_context.open()
        packets = list(sound_packets(sound, seconds, start))
        if pictures:
            stream = output.add_stream("libvpx" if container == "webm" else "mpeg4", rate=PICTURES)
            stream.width = stream.height = 16
            stream.pix_fmt = "yuv420p"
            stream.time_base = Fraction(1, PICTURES)
            packets += picture_packets(stream, pictures)
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            output.mux(packet)
    return file.getvalue()


def sound_packets(stream, seconds, start):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(RATE * seconds)) / RATE)
    frame = av.AudioFrame.from_ndarray(tone[np.newaxis].astype(np.float32), "flt", "mono")
    frame.sample_rate = RATE
    size = stream.codec_context.frame_size or 1024
    resampler = av.AudioResampler(stream.format, "mono", RATE, frame_size=size)
    place = round(start * RATE)
    for block in [*resampler.resample(frame), *resampler.resample(None)]:
        block.pts, block.time_base = place, Fraction(1, RATE)
        place += block.samples
        yield from stream.encode(block)
    yield from (packet for packet in stream.encode(None) if packet.dts is not None)


def picture_packets(stream, seconds):
    for number in range(round(seconds * PICTURES)):
        picture = av.VideoFrame.from_ndarray(np.full((16, 16, 3), number % 200, np.uint8))
        picture.pts, picture.time_base = number, Fraction(1, PICTURES)
        yield from stream.encode(picture)
    yield from (packet for packet in stream.encode(None) if packet.dts is not None)


def lengths(content):
    """Return the length of a recording in seconds: of its header, whole, and in chunks."""
    samples, rate = decode(content)
    *_, last = decode_blocks(io.BytesIO(content), length_seconds=0.5, hop_seconds=0.5)
    assert last.end == samples.shape[1] / rate
    return read_header(content).duration, last.end


@pytest.mark.parametrize(
    ("container", "codec"),
    [("webm", "libopus"), ("matroska", "aac"), ("matroska", "pcm_s16le"), ("mp4", "aac")],
)
@pytest.mark.parametrize("pictures", [0.0, 1.0, 2.2, 4.0])
@pytest.mark.parametrize("start", [0.0, 1.5])
def test_the_length_of_sound_is_its_own(container, codec, pictures, start):
    content = film(container, codec, pictures=pictures, start=start)
    assert lengths(content) == pytest.approx((2.0, 2.0), abs=0.05)


@pytest.mark.parametrize("pictures", [0.0, 4.0])
@pytest.mark.parametrize("codec", ["libopus", "aac", "pcm_s16le"])
def test_a_recording_that_was_streamed_is_counted(codec, pictures):
    """As browsers record it: nothing says how long it is."""
    content = film("matroska", codec, pictures=pictures, live="1")
    assert lengths(content) == pytest.approx((2.0, 2.0), abs=0.05)


def test_an_mp4_of_fragments_is_used_in_full():
    options = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "300000"}
    content = film("mp4", "aac", **options)
    assert lengths(content) == pytest.approx((2.0, 2.0), abs=0.05)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("pictures", [0.0, 4.0])
@pytest.mark.parametrize("container", ["webm", "matroska", "mp4"])
def test_a_film_that_is_cut_off_is_no_shorter_one(container, pictures, share):
    content = film(container, "libopus" if container == "webm" else "aac", pictures=pictures)
    with pytest.raises(AudioError):
        decode(content[: round(share * len(content))])


def test_a_header_that_counts_too_few_is_an_error_that_says_both_lengths():
    content = bytearray(film("mp4", "aac"))
    for name, place in ((b"mdhd", 20), (b"mvhd", 20), (b"tkhd", 24)):
        at = content.index(name) + place
        value = int.from_bytes(content[at : at + 4], "big")
        content[at : at + 4] = (value // 2).to_bytes(4, "big")
    content[content.index(b"edts") : content.index(b"edts") + 4] = b"free"
    said = r"header says 1.0\d* s, the file has 2.0\d* s"
    with pytest.raises(AudioError, match=said):
        decode(bytes(content))
    with pytest.raises(AudioError, match=said):
        lengths_in_chunks(bytes(content))


def lengths_in_chunks(content):
    return list(decode_blocks(io.BytesIO(content), length_seconds=0.5, hop_seconds=0.5))


def test_channels_that_change_are_an_error_that_says_where():
    stereo = stereo_aac()
    for first, second, said in (
        (film("adts", "aac"), stereo, "changes its channels from 1 to 2 after 2.0"),
        (stereo, film("adts", "aac"), "changes its channels from 2 to 1 after 2.0"),
    ):
        with pytest.raises(AudioError, match=said):
            decode(first + second)
        with pytest.raises(AudioError, match=said):
            lengths_in_chunks(first + second)


def stereo_aac():
    file = io.BytesIO()
    with av.open(file, "w", format="adts") as output:
        stream = output.add_stream("aac", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4 * RATE), np.float32), "flt", "stereo")
        frame.sample_rate = RATE
        resampler = av.AudioResampler("fltp", "stereo", RATE, frame_size=1024)
        for block in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(block))
        output.mux(stream.encode(None))
    return file.getvalue()
