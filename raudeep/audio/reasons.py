"""What libsndfile, FFmpeg and numpy say of a file that they cannot read, said so that it helps."""

import re

import soundfile

__all__ = ["reason_of"]

_DAMAGED = "it is damaged, or not of the kind that its first bytes say; copy it again"
_MEMORY = "it does not fit into memory, or its header claims too much; see --chunk-seconds"
_REASONS = (  # the first that matches; the texts are those of libsndfile 1.2, FFmpeg 8, numpy 2
    (
        r"Format not recognised|RAW file",
        "it does not begin as a sound file does; if it is one, convert it to WAV or FLAC",
    ),
    (
        r"not a regular file|no data could be read",
        "no sound is found in it; see whether it is a recording, and copy it again",
    ),
    (
        r"unsupported (encoding|compression)|[Uu]nimplemented|unknown (encoding )?format|SD2"
        r"|bit width|WAVPACK|does not support|Decoder not found|Not yet implemented"
        r"|Operation not supported",
        "its codec cannot be read; convert it to WAV or FLAC",
    ),
    (
        r"changed mid stream|does not match AudioResampler",
        "its channels or its sample rate change on the way; encode it as one stream",
    ),
    (
        r"seek|End of file|offset beyond end",
        "it ends before a place that its header names: it is damaged or cut off; copy it again",
    ),
    (
        r"(?i)(channel count|too many channels)",
        "its header claims a number of channels that cannot be: it is damaged; copy it again",
    ),
    (r"malloc|Cannot allocate|Unable to allocate|Maximum allowed|array is too big", _MEMORY),
    (r"Invalid data|Invalid argument|not permitted|Input/output|negative dimensions", _DAMAGED),
)


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read, and what to do, in place of what a library says."""
    said = getattr(error, "error_string", None) or str(error)
    for pattern, reason in _REASONS:
        if re.search(pattern, said):
            return reason
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, soundfile.LibsndfileError):
        return _DAMAGED
    return said or type(error).__name__
