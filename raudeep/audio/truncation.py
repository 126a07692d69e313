"""Whether all of a recording was read: decoders take what ends early for a shorter one.

What a header promises, what is there and what was decoded are three numbers. Where they differ, it
is an error that says two of them.
"""

from typing import Any, NamedTuple

from raudeep.audio.containers import ENDLESS
from raudeep.audio.faults import SEVERAL, cut_off, longer
from raudeep.audio.following import Followed
from raudeep.audio.sizes import extent_of
from raudeep.audio.tags import Readable
from raudeep.errors import AudioError

__all__ = ["Lengthening", "check_size", "check_whole", "lengthening_of"]

_SPARE_BYTES = 8192  # that a careless header may promise too many
_TAG_BYTES = 256  # of what may follow the sound, as ID3v1 does
_SPARE_SECONDS = 0.1  # likewise; MP3 counts the delay of its decoder
_MOST_BYTES = 2**32 - 1  # that a WAV file can name
_WAV = ("WAV", "WAVEX", "RF64")
_SAMPLE_BYTES = {
    **{"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8},
    **{"ULAW": 1, "ALAW": 1},
}


class Lengthening(NamedTuple):
    """How a header is read so that all samples of the file are."""

    place: int
    """Where it says how many bytes of samples there are."""
    size: bytes
    """What is to stand there."""
    fault: AudioError
    """What is wrong with the header."""


def lengthening_of(file: Readable) -> Lengthening | None:
    """Return how a WAV file that says too little is read to its end; None for any other file.

    A recorder that loses its power leaves a header that was written at the start.
    """
    extent = extent_of(file)
    if extent is None or extent.promised is None or extent.size_place is None:
        return None
    if extent.held - extent.promised <= _spare_after(extent.promised):
        return None
    fault = longer(_amount(extent.promised, 0.0), _amount(extent.held, 0.0))
    size = min(extent.held, _MOST_BYTES).to_bytes(4, "little")
    return Lengthening(extent.size_place, size, fault)


def check_size(sound: Any, file: Followed) -> None:
    """Raise `AudioError` if a container has more or fewer bytes than it says.

    Parameters
    ----------
    sound : soundfile.SoundFile or ContainerSound
        The file, opened.
    file : seekable binary file
        What `sound` reads from; its position is kept.
    """
    extent = extent_of(file)
    if extent is None:
        return
    if extent.is_several:
        raise AudioError(SEVERAL)
    used = extent.held if extent.promised is None else min(extent.promised, extent.held)
    width = _SAMPLE_BYTES.get(getattr(sound, "subtype", ""), 0)
    if extent.is_samples and width and sound.frames < ENDLESS:
        used = width * sound.channels * sound.frames
    rate = sound.frames / sound.samplerate / used if 0 < sound.frames < ENDLESS and used else 0.0
    if extent.promised is not None:
        missing = extent.promised - extent.held
        if missing > min(_SPARE_BYTES, extent.promised // 100):
            promised, held = _amount(extent.promised, rate), _amount(extent.held, rate)
            raise cut_off(promised, held)
    if extent.held - used > _spare_after(used):
        raise longer(_amount(used, rate), _amount(extent.held, rate), _command(sound))


def check_whole(sound: Any, file: Followed, num_frames: int) -> None:
    """Raise `AudioError` if fewer samples were read of each channel than there are.

    The position of `file`, which `sound` reads from, is lost: nothing more can be read.
    """
    rate = sound.samplerate
    read, promised = num_frames / rate, sound.frames / rate
    if sound.frames < ENDLESS and read < promised - _SPARE_SECONDS:
        raise cut_off(_amount(promised), _amount(read))
    walk, num_unread = file.walk()
    if walk is None:
        return
    held = walk.seconds(rate)
    if held - read > _SPARE_SECONDS + walk.spare():
        if sound.frames < ENDLESS:
            raise longer(_amount(promised), _amount(held), _command(sound))
        raise AudioError(
            f"cannot be decoded beyond {read:.6g} s of {held:.6g} s: it is damaged there, or "
            f"changes its sample rate or channels. To mend it: {_command(sound)}"
        )
    walk.check_end(num_unread)


def _spare_after(used: int) -> int:
    """Return how many bytes behind the sound are no sound that is left out."""
    return max(_TAG_BYTES, min(_SPARE_BYTES, used // 100))


def _command(sound: Any) -> str:
    option = "-ignore_length 1 " if sound.format in _WAV else ""
    return f"ffmpeg {option}-i FILE NEW.wav"


def _amount(size: float, seconds_per_byte: float | None = None) -> str:
    """Return a duration in words; with the other, of some bytes."""
    if seconds_per_byte is None:
        return f"{size:.6g} s"
    return f"{size:.0f} bytes" + (f" ({size * seconds_per_byte:.6g} s)" if seconds_per_byte else "")
