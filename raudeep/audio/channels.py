"""The order of channels that decoders give, put into WAV's: left, right, centre, bass, rear."""

import re
from typing import Any

from raudeep.audio.tags import Readable

__all__ = ["wave_order"]

# Vorbis has the centre second and the bass last (Vorbis I, section 4.3.9), and so has Opus (RFC
# 7845, section 5.1.1.2); libsndfile leaves them so. What FFmpeg decodes, and FLAC, is as in WAV.
_OF_VORBIS = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
_OPUS = b"OpusHead"
_FAMILY = 18  # byte of its header that says whether channels have places; 1: as in Vorbis
_FIRST_PAGE = 128  # bytes that hold that header
# libsndfile's log of the order that CAF and AIFF name, and the places of WAV in their order.
_LAYOUT = re.compile(r"Layout : .*\((.*?),?\)")
_PLACES = ("L", "R", "C", "LFE", "RLS", "RRS", "LC", "RC", "CS", "LS", "RS")


def wave_order(sound: Any, file: Readable) -> tuple[int, ...] | None:
    """Return which channel of `sound` comes first in WAV, which second …; None if all are in place.

    Parameters
    ----------
    sound : soundfile.SoundFile
        The file, opened.
    file : seekable binary file
        What `sound` reads from; its position is kept.
    """
    if sound.format == "OGG":
        return _OF_VORBIS.get(sound.channels) if _has_places(file) else None
    layout = re.search(_LAYOUT, sound.extra_info) if sound.channels > 2 else None
    names = layout.group(1).upper().split(", ") if layout else []
    if len(set(names) & set(_PLACES)) != sound.channels:  # one has a name twice there
        return None
    return tuple(sorted(range(len(names)), key=lambda index: _PLACES.index(names[index])))


def _has_places(file: Readable) -> bool:
    """Return whether the channels of an Ogg file have places, as all of Vorbis and most of Opus."""
    position = file.tell()
    file.seek(0)
    page = file.read(_FIRST_PAGE)
    file.seek(position)
    header = page[page.find(_OPUS) :] if _OPUS in page else b""
    return not header or header[_FAMILY : _FAMILY + 1] == b"\1"
