"""Recordings in every format that raudeep names, and where each says how long it is."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
import soundfile

__all__ = ["FORMATS", "Format", "noise"]


def noise(seconds, *, rate=16000, channels=1, seed=0):
    """Return noise that gets louder and quieter, shape (samples, channels): no codec drops it."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    swell = 0.15 + 0.1 * np.sin(np.arange(count) / rate)
    return (swell[:, np.newaxis] * rng.standard_normal((count, channels))).astype(np.float32)


def by_soundfile(kind, subtype=None, **settings):
    """Return a function that encodes samples with libsndfile."""

    def encode(samples, rate):
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format=kind, subtype=subtype, **settings)
        return file.getvalue()

    return encode


def without_count(samples, rate):
    """Return an MP3 without the frame that says how many follow."""
    content = by_soundfile("MP3", bitrate_mode="CONSTANT")(samples, rate)
    return content[content.index(content[:2], 4) :]


LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def by_ffmpeg(container, codec, *, rate=None, bits=64_000):
    """Return a function that encodes samples with FFmpeg; `rate` is what the codec takes alone."""

    def encode(samples, given):
        samples = samples if rate is None else samples[:, :1]
        layout = LAYOUTS[samples.shape[1]]
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(codec, rate=rate or given, layout=layout, bit_rate=bits)
            stream.codec_context.open()
            pcm = (32767 * np.clip(samples, -1, 1)).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
            frame.sample_rate = given
            size = stream.codec_context.frame_size or 1024
            resampler = av.AudioResampler(stream.format, layout, rate or given, frame_size=size)
            for block in [*resampler.resample(frame), *resampler.resample(None)]:
                output.mux(stream.encode(block))
            # FLAC ends with a packet of no sound, which Ogg does not take.
            output.mux([packet for packet in stream.encode(None) if packet.size])
        return file.getvalue()

    return encode


def field(name, offset, form, *, last=False):
    """Return a function that multiplies a number behind a name in a file."""

    def scale(content, factor):
        place = (content.rfind if last else content.find)(name)
        if place < 0:
            raise LookupError(f"there is no {name!r}")
        (value,) = struct.unpack_from(form, content, place + offset)
        most = 2 ** (8 * struct.calcsize(form)) - 1
        value = value * factor if form[-1] in "df" else min(most, int(value * factor))
        changed = bytearray(content)
        struct.pack_into(form, changed, place + offset, value)
        return bytes(changed)

    return scale


def flac_total(content, factor):
    """Return FLAC with another number of samples, which has 36 bits."""
    changed = bytearray(content)
    total = int((int.from_bytes(content[21:26], "big") & 2**36 - 1) * factor)
    changed[21:26] = (content[21] >> 4 << 36 | total).to_bytes(5, "big")
    return bytes(changed)


@dataclass(frozen=True)
class Format:
    """How recordings are written in a format."""

    encode: Callable
    """``encode(samples, rate)``"""
    counts: tuple = ()
    """``count(content, factor)`` multiplies one of the numbers that say how long it is."""
    payload: bytes | None = None
    """What stands where the sound begins; None where it does at the start."""
    rates: tuple = (16000, 8000, 22050, 44100, 48000)


MOV = (field(b"mdhd", 20, ">I"), field(b"mvhd", 20, ">I"), field(b"tkhd", 24, ">I"))
OGG = (field(b"OggS", 6, "<q", last=True),)  # of the last page
FORMATS = {
    "wav": Format(by_soundfile("WAV"), (field(b"data", 4, "<I"), field(b"RIFF", 4, "<I")), b"data"),
    "wav float": Format(by_soundfile("WAV", "FLOAT"), (field(b"data", 4, "<I"),), b"data"),
    "wav adpcm": Format(by_soundfile("WAV", "IMA_ADPCM"), (field(b"data", 4, "<I"),), b"data"),
    "wavex": Format(by_soundfile("WAVEX"), (field(b"data", 4, "<I"),), b"data"),
    "rf64": Format(by_soundfile("RF64"), (field(b"ds64", 16, "<Q"),), b"data"),
    "aiff": Format(
        by_soundfile("AIFF"), (field(b"SSND", 4, ">I"), field(b"COMM", 10, ">I")), b"SSND"
    ),
    "au": Format(by_soundfile("AU"), (field(b".snd", 8, ">I"),), b".snd"),
    "caf": Format(by_soundfile("CAF"), (field(b"data", 4, ">Q"),), b"data"),
    "w64": Format(by_soundfile("W64"), (field(b"data\xf3\xac", 16, "<Q"),), b"data\xf3\xac"),
    "flac": Format(by_soundfile("FLAC"), (flac_total,), b"\xff\xf8"),
    "ogg": Format(by_soundfile("OGG"), OGG, b"OggS"),
    "opus": Format(
        by_soundfile("OGG", "OPUS"), (field(b"OggS", 6, "<q", last=True),), b"OggS", (48000,)
    ),
    "mp3": Format(by_soundfile("MP3", bitrate_mode="CONSTANT"), (field(b"Info", 8, ">I"),)),
    "mp3 vbr": Format(by_soundfile("MP3", bitrate_mode="VARIABLE"), (field(b"Xing", 8, ">I"),)),
    "mp3 without a count": Format(without_count),
    "m4a": Format(by_ffmpeg("ipod", "aac"), MOV, b"mdat"),
    "m4a of ALAC": Format(by_ffmpeg("ipod", "alac"), MOV, b"mdat"),
    "mp4": Format(by_ffmpeg("mp4", "aac"), MOV, b"mdat"),
    "aac": Format(by_ffmpeg("adts", "aac")),
    "wma": Format(
        by_ffmpeg("asf", "wmav2"), (field(b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11", 64, "<Q"),), None
    ),
    "webm": Format(
        by_ffmpeg("webm", "libopus", rate=48000), (field(b"\x44\x89\x88", 3, ">d"),), b"\x1fC\xb6u"
    ),
    "amr": Format(by_ffmpeg("amr", "libopencore_amrnb", rate=8000, bits=12_200)),
    "wv": Format(by_ffmpeg("wv", "wavpack"), (field(b"wvpk", 12, "<I"),)),
}
