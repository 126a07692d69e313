"""Channels come in the order of WAV, left and right first, whatever order a file has them in."""

import io

import numpy as np
import pytest
import soundfile

from raudeep.audio.decode import decode, decode_blocks

RATE = 48000
VORBIS = {
    1: "L",
    2: "L R",
    3: "L C R",
    4: "L R Ls Rs",
    5: "L C R Ls Rs",
    6: "L C R Ls Rs LFE",
    7: "L C R Ls Rs Cs LFE",
    8: "L C R Ls Rs Rls Rrs LFE",
}
WAV = ("L", "R", "C", "LFE", "Rls", "Rrs", "Lc", "Rc", "Cs", "Ls", "Rs")
APPLE = {  # kAudioChannelLayoutTag_…, with the number of channels in the last bits
    (121 << 16) + 6: "L R C LFE Ls Rs",
    (122 << 16) + 6: "L R Ls Rs C LFE",
    (123 << 16) + 6: "L C R Ls Rs LFE",
    (124 << 16) + 6: "C L R Ls Rs LFE",
    (114 << 16) + 3: "C L R",
    (120 << 16) + 5: "C L R Ls Rs",
    (127 << 16) + 8: "C Lc Rc L R Ls Rs LFE",
    (142 << 16) + 7: "C L R Ls Rs Cs LFE",
}


def encode(kind, channels, subtype=None):
    """Return channel k as a tone of 20 Hz times (9 - k), so that the bass can carry the last."""
    time = np.arange(RATE) / RATE
    tones = [0.5 * np.sin(2 * np.pi * 20 * (9 - k) * time) for k in range(channels)]
    file = io.BytesIO()
    soundfile.write(file, np.stack(tones, axis=1), RATE, format=kind, subtype=subtype)
    return file.getvalue()


def order_of(samples):
    """Return which of the channels that were encoded comes first, second …"""
    middle = samples[:, RATE // 4 : 3 * RATE // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.shape[1])))
    return [9 - round(2 * peak / 20) for peak in spectrum.argmax(axis=1)]


def in_wav(names):
    """Return the order of channels that have these names, as WAV has them."""
    named = names.split()
    return sorted(range(len(named)), key=lambda index: WAV.index(named[index]))


def assert_ordered(content, expected):
    assert order_of(decode(content)[0]) == expected
    (block, *_) = decode_blocks(io.BytesIO(content), length_seconds=1.0, hop_seconds=1.0)
    assert order_of(block.samples) == expected


@pytest.mark.parametrize("channels", VORBIS)
@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_ogg_has_its_centre_second(codec, channels):
    """What libsndfile writes and reads is in the order of Vorbis, for Opus as well."""
    expected = in_wav(VORBIS[channels])
    assert channels != 6 or expected == [0, 2, 1, 5, 3, 4]
    assert_ordered(encode("OGG", channels, codec), expected)


def test_opus_whose_channels_have_no_places_stays_as_it_is():
    content = bytearray(encode("OGG", 6, "OPUS"))
    end = content.index(b"OggS", 1)
    content[content.index(b"OpusHead") + 18] = 255
    content[22:26] = bytes(4)
    content[22:26] = page_checksum(content[:end]).to_bytes(4, "little")
    assert order_of(decode(bytes(content))[0])[:3] == [0, 1, 2]


def page_checksum(page):
    """Return the checksum of an Ogg page (RFC 3533, section 6)."""
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum >> 31 else 0)) & 0xFFFFFFFF
    return checksum


@pytest.mark.parametrize("kind", ["CAF", "AIFF"])
@pytest.mark.parametrize("tag", APPLE)
def test_the_order_that_a_file_names_is_used(kind, tag):
    content = bytearray(encode(kind, tag & 0xFF, "PCM_16"))
    layout = tag.to_bytes(4, "big") + bytes(8)
    if kind == "CAF":
        content[52:52] = b"chan" + (12).to_bytes(8, "big") + layout
    else:
        content[12:12] = b"CHAN" + (12).to_bytes(4, "big") + layout
        content[4:8] = (len(content) - 8).to_bytes(4, "big")
    assert_ordered(bytes(content), in_wav(APPLE[tag]))


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "W64", "FLAC", "AU", "AIFF", "CAF"])
def test_others_are_as_wav(kind):
    for channels in (1, 2, 6, 8):
        assert_ordered(encode(kind, channels), list(range(channels)))
