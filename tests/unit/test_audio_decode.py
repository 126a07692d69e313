"""Decoding: what libsndfile reads comes back as channels, and what it cannot is an AudioError."""

import io

import numpy as np
import pytest
import soundfile

from raudeep.audio.decode import Header, decode, decode_blocks, read_header, resample
from raudeep.errors import AudioError

RATE = 16000


def encode(samples, *, kind="WAV", subtype=None, rate=RATE):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def tone(seconds=0.5, hz=440.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)


STEREO = np.stack([tone(), 0.5 * tone(hz=660.0)], axis=1)


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "FLOAT", 1e-7),
        ("FLAC", None, 1e-4),
        ("AIFF", None, 1e-4),
        ("OGG", "VORBIS", 0.1),
    ],
)
def test_samples_come_back_as_channels_by_samples(kind, subtype, tolerance):
    samples, rate = decode(encode(STEREO, kind=kind, subtype=subtype))
    assert rate == RATE
    assert samples.shape == (2, len(STEREO))
    assert samples.dtype == np.float32
    assert samples.flags.c_contiguous
    np.testing.assert_allclose(samples, STEREO.T, atol=tolerance)


def test_mp3_comes_back_with_its_channels_and_length():
    samples, rate = decode(encode(STEREO, kind="MP3"))
    assert rate == RATE
    assert samples.shape[0] == 2
    assert abs(samples.shape[1] - len(STEREO)) <= 2 * 1152  # an encoder may add whole frames
    assert 0.3 < np.abs(samples[0]).max() < 0.8


def test_mono_has_one_channel():
    assert decode(encode(tone()))[0].shape == (1, RATE // 2)


def test_recording_of_one_sample_is_decoded():
    assert decode(encode(np.array([0.25])))[0].tolist() == [[0.25]]


def test_text_named_wav_is_an_audio_error():
    with pytest.raises(AudioError, match="does not begin as a sound file does"):
        decode(b"This is a note about the recording, not the recording.\n")


@pytest.mark.parametrize("read", [decode, read_header])
def test_empty_content_is_an_audio_error(read):
    with pytest.raises(AudioError, match="is empty"):
        read(b"")


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6, 0.99])
def test_truncated_ogg_is_an_audio_error(share):
    content = encode(STEREO, kind="OGG")
    with pytest.raises(AudioError, match=r"cannot be decoded|is cut off"):
        decode(content[: int(share * len(content))])


def test_truncated_flac_is_an_audio_error():
    content = encode(STEREO, kind="FLAC")
    with pytest.raises(AudioError, match="cannot be decoded"):
        decode(content[: len(content) // 2])


@pytest.mark.parametrize("share", [0.5, 0.97])
@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "W64", "RF64", "OGG", "MP3"])
def test_what_is_cut_off_is_no_shorter_recording(kind, share, rng):
    content = encode(0.3 * rng.standard_normal((4 * 44100, 1)), kind=kind, rate=44100)
    decode(content)
    cut = content[: int(share * len(content))]
    with pytest.raises(AudioError, match="is cut off"):
        decode(cut)
    for hop in (0.5, 1.7):
        with pytest.raises(AudioError, match="is cut off"):
            list(decode_blocks(io.BytesIO(cut), length_seconds=1.0, hop_seconds=hop))


def test_an_mp3_that_does_not_say_its_length_is_taken_as_it_is(rng):
    """Decoders guess it from the first frame."""
    content = encode(
        tone(3.0, rate=44100) + 0.01 * rng.standard_normal(3 * 44100), kind="MP3", rate=44100
    )
    kbits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    frames, place = [], 0
    while place < len(content):
        rate = kbits[content[place + 2] >> 4]
        frames.append((rate, place))
        place += 144_000 * rate // 44100 + (content[place + 2] >> 1 & 1)
    rate, place = min(frames[1:20])
    silent = content[place:]
    with soundfile.SoundFile(io.BytesIO(silent)) as sound:
        assert sound.frames > len(sound.read()) + 4410
    assert decode(silent)[0].shape[1] > 2 * 44100


@pytest.fixture
def streamed():
    """Return FLAC without the 36 bits that say how many samples there are."""
    content = bytearray(encode(STEREO, kind="FLAC"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


def test_a_flac_that_was_streamed_does_not_know_its_length(streamed):
    whole = encode(STEREO, kind="FLAC")
    assert np.array_equal(decode(streamed, max_duration=0.5)[0], decode(whole)[0])
    assert read_header(streamed) == read_header(whole)
    for length, hop in ((0.2, 0.1), (0.1, 0.2), (9.0, 1.0), (1e9, 1e9)):
        found, expected = blocks_of(streamed, length, hop), blocks_of(whole, length, hop)
        for block, other in zip(found, expected, strict=True):
            assert np.array_equal(block.samples, other.samples)
            assert block[1:] == other[1:]


def test_a_flac_that_was_streamed_is_refused_as_any_other(streamed):
    with pytest.raises(AudioError, match="cannot be decoded"):
        decode(streamed[: len(streamed) // 2])
    with pytest.raises(AudioError, match=r"lasts .* s, longer than max_duration=0.4 s"):
        decode(streamed, max_duration=0.4)
    with pytest.raises(AudioError, match=r"lasts .* s, longer than max_duration=0.4 s"):
        blocks_of(streamed, 0.1, 0.1, max_duration=0.4)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_of_several_streams_is_not_taken_for_its_first(subtype):
    first, second = (encode(tone(hz=hz), kind="OGG", subtype=subtype) for hz in (300, 600))
    with pytest.raises(AudioError, match=r"holds several streams, .* encode it as one"):
        decode(first + second)
    with pytest.raises(AudioError, match="holds several streams"):
        blocks_of(first + second, 0.1, 0.1)


def test_streams_of_an_ogg_that_lie_side_by_side_are_no_further_ones():
    """As the sound of a film: all of them begin before any goes on."""
    content, other = encode(STEREO, kind="OGG"), encode(tone(hz=600.0), kind="OGG")
    begin, end = content.index(b"OggS", 1), other.index(b"OggS", 1)
    both = content[:begin] + other[:end] + content[begin:] + other[end:]
    assert np.array_equal(decode(both)[0], decode(content)[0])


def test_an_ogg_that_ends_with_an_empty_page_is_whole():
    content = encode(STEREO, kind="OGG")
    last = bytearray(content[content.rindex(b"OggS") :][:27])
    last[18] += 1
    last[26] = 0
    assert decode(content + bytes(last))[0].shape == (2, len(STEREO))


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_that_was_streamed_does_not_know_its_size(size):
    content = bytearray(encode(STEREO))
    place = content.index(b"data") + 4
    content[place : place + 4] = size.to_bytes(4, "little")
    assert np.array_equal(decode(bytes(content))[0], decode(encode(STEREO))[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_an_audio_error(value):
    content = encode(np.array([0.0, value, 0.1]), subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN or infinite"):
        decode(content)


def test_wav_without_samples_is_an_audio_error():
    with pytest.raises(AudioError, match="holds no samples"):
        decode(encode(np.zeros(0)))


def test_nonsense_sample_rate_of_a_damaged_header_is_an_audio_error():
    content = bytearray(encode(tone()))
    content[24:28] = (2**31 - 1).to_bytes(4, "little")
    with pytest.raises(AudioError, match="claims a sample rate of 2147483647 Hz"):
        decode(bytes(content))


def test_a_header_that_leads_before_the_start_is_an_audio_error(capfd):
    content = bytearray(encode(np.zeros(1000), kind="AIFF"))
    content[38] = 0  # in the name of the chunk with the samples
    with pytest.raises(AudioError):
        decode(bytes(content))
    assert capfd.readouterr().err == ""


def test_header_says_duration_rate_and_channels_without_decoding():
    assert read_header(encode(STEREO)) == Header(0.5, RATE, 2)
    assert read_header(encode(tone(rate=44100), kind="FLAC", rate=44100)) == Header(0.5, 44100, 1)


def test_header_of_something_else_is_an_audio_error():
    with pytest.raises(AudioError, match="cannot be decoded"):
        read_header(b"<html>404 Not Found</html>" * 10)


@pytest.mark.parametrize("target", [8000, 22050, 48000])
def test_resampling_keeps_the_duration_and_the_tone(target):
    samples = STEREO.T.astype(np.float32)
    resampled = resample(samples, sample_rate=RATE, target_rate=target)
    assert resampled.shape == (2, target // 2)
    assert resampled.dtype == np.float32
    assert resampled.flags.c_contiguous
    middle = slice(target // 8, 3 * target // 8)
    np.testing.assert_allclose(resampled[0, middle], tone(rate=target)[middle], atol=1e-3)


def test_resampling_to_the_same_rate_changes_nothing():
    samples = STEREO.T.astype(np.float32)
    assert resample(samples, sample_rate=RATE, target_rate=RATE) is samples


def blocks_of(content, length, hop, **settings):
    return list(
        decode_blocks(io.BytesIO(content), length_seconds=length, hop_seconds=hop, **settings)
    )


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
@pytest.mark.parametrize(
    ("length", "hop", "starts"),
    [
        (0.2, 0.1, [0.0, 0.1, 0.2, 0.3]),  # overlapping; the last ends with the recording
        (0.2, 0.2, [0.0, 0.2, 0.4]),  # one after the other; the last is shorter
        (0.1, 0.2, [0.0, 0.2, 0.4]),  # with gaps
        (0.5, 0.5, [0.0]),
        (9.0, 1.0, [0.0]),
    ],
)
def test_blocks_are_the_pieces_of_the_whole_recording(kind, length, hop, starts):
    content = encode(STEREO, kind=kind)
    samples, _ = decode(content)
    blocks = blocks_of(content, length, hop)
    assert [block.start for block in blocks] == pytest.approx(starts)
    for block in blocks:
        first, last = round(block.start * RATE), round(block.end * RATE)
        assert last == min(first + round(length * RATE), samples.shape[1])
        assert np.array_equal(block.samples, samples[:, first:last])
        assert block.sample_rate == RATE


def test_blocks_of_half_samples_start_on_whole_ones():
    blocks = blocks_of(encode(tone(1.0, rate=11025), rate=11025), 0.1, 0.03333)
    hop = round(0.03333 * 11025)
    assert [round(block.start * 11025) for block in blocks] == [
        hop * number for number in range(len(blocks))
    ]
    assert round(blocks[-1].end * 11025) == 11025


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"", {}, "is empty"),
        (b"text", {}, "cannot be decoded"),
        (encode(tone(2.0)), {"max_duration": 1.5}, "lasts 2 s, longer than max_duration=1.5 s"),
        (encode(tone(), rate=3), {}, "3 Hz, too low for blocks of 0.1 s every 0.1 s"),
        (encode(np.full(RATE, np.nan), subtype="FLOAT"), {}, "NaN or infinite"),
    ],
)
def test_blocks_of_bad_recordings_are_audio_errors(content, settings, message):
    with pytest.raises(AudioError, match=message):
        blocks_of(content, 0.1, 0.1, **settings)


def test_a_recording_that_is_too_long_is_not_decoded():
    with pytest.raises(AudioError, match=r"lasts 0.5 s, longer than max_duration=0.4 s"):
        decode(encode(tone()), max_duration=0.4)


def test_what_the_storage_says_is_not_taken_for_bad_audio():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 4000:
                raise ConnectionResetError("gone")
            return super().read(size)

    with pytest.raises(ConnectionResetError, match="gone"):
        list(decode_blocks(Broken(encode(STEREO)), length_seconds=0.1, hop_seconds=0.1))
