"""How many bytes of sound a container says it has, and how many there are: nothing is decoded.

Most containers are chunks one after the other, each with a name and a size. What follows the last
of them, or begins as the file did, is sound or another recording, which decoders do not look for.
"""

import io
from collections.abc import Iterator
from typing import Literal, NamedTuple

from raudeep.audio.tags import Readable

__all__ = ["Extent", "extent_of"]

_AGAIN = b"again"
_EBML = b"\x1aE\xdf\xa3"
_AU = {b".snd": "big", b"dns.": "little"}
_HEADER = 24  # bytes that hold the name and the size of any chunk
_UNKNOWN = 4096  # so near to the largest size writers say that they do not know it
_ELEMENTS = (_EBML, b"\x18S\x80g", b"\xec", b"\xbf")  # header, segment, void, checksum
_NAMES = frozenset(range(0x20, 0x7F)) | {0xA9}  # bytes of names of four letters


class Extent(NamedTuple):
    """Bytes of a file: of its samples, or of all of it where these do not lie side by side."""

    promised: int | None
    """What its header says; None where it was written by who did not know."""
    held: int
    """What there is."""
    is_samples: bool
    is_several: bool = False
    """Whether it begins once more, as another recording."""
    size_place: int | None = None
    """Where a WAV file says its promise, in four bytes."""


class _Layout(NamedTuple):
    """How the chunks of a container are written."""

    name: int
    """Bytes of a name."""
    size: int
    """Bytes of a size."""
    order: Literal["little", "big"] = "little"
    first: int = 0
    """Where the first chunk begins."""
    align: int = 1
    """Chunks begin at multiples of it."""
    is_inclusive: bool = False
    """Whether a size counts name and size as well."""
    is_size_first: bool = False
    samples: bytes = b""
    """How the name of the chunk with the samples begins."""
    before: int = 0
    """Bytes in that chunk before the samples."""


class _Chunk(NamedTuple):
    name: bytes
    begin: int
    """Of what it holds."""
    end: int | None
    """None where its size is not known."""


_WAV = _Layout(4, 4, first=12, align=2, samples=b"data")
_MP4 = _Layout(4, 4, "big", is_inclusive=True, is_size_first=True)
_LAYOUTS = {  # by the first bytes of a file
    b"RIFF": _WAV,
    b"RF64": _WAV,
    b"BW64": _WAV,
    b"RIFX": _WAV._replace(order="big"),
    b"FORM": _Layout(4, 4, "big", first=12, align=2, samples=b"SSND", before=8),
    b"riff": _Layout(16, 8, first=40, align=8, is_inclusive=True, samples=b"data"),  # W64
    b"caff": _Layout(4, 8, "big", first=8, samples=b"data", before=4),
    b"0&\xb2u": _Layout(16, 8, is_inclusive=True),  # ASF
}


def extent_of(file: Readable) -> Extent | None:
    """Return what a file says of its size and what it has; None if it is no such container.

    The position of the file is kept.
    """
    position = file.tell()
    length = file.seek(0, io.SEEK_END)
    start = _at(file, 0)
    layout = _MP4 if start[4:8] == b"ftyp" else _LAYOUTS.get(start[:4])
    extent = None
    if start[:4] in _AU:
        extent = _of_au(start, length)
    elif start[:4] == _EBML:
        extent = _of_all(_elements(file, length), length)
    elif layout is not None and layout.samples:
        extent = _of_samples(_chunks(file, layout, length), layout, length)
    elif layout is not None:
        extent = _of_all(_chunks(file, layout, length), length)
    file.seek(position)
    return extent


def _of_au(start: bytes, length: int) -> Extent:
    order: Literal["little", "big"] = "big" if start[:1] == b"." else "little"
    begin, size = (int.from_bytes(start[at : at + 4], order) for at in (4, 8))
    return Extent(None if _is_unknown(size, 4) else size, max(0, length - begin), is_samples=True)


def _of_samples(chunks: Iterator[_Chunk], layout: _Layout, length: int) -> Extent | None:
    """Return the extent of the chunk with samples, and of what follows the last chunk."""
    begin = promised = None
    end = 0
    for chunk in chunks:
        is_samples = chunk.name.startswith(layout.samples)
        if chunk.name == _AGAIN:
            return Extent(promised, length - (begin or 0), is_samples=True, is_several=True)
        fits = chunk.end is not None and chunk.end <= length
        if begin is not None and (is_samples or not fits):
            break
        if is_samples:
            begin = chunk.begin + layout.before
            promised = None if chunk.end is None else max(0, chunk.end - begin)
            if not fits:
                return Extent(promised, max(0, length - begin), is_samples=True)
        end = chunk.end or length
    if promised is None:
        return None
    place = None if layout != _WAV or begin is None else begin - layout.size
    return Extent(promised, promised + max(0, length - end), is_samples=True, size_place=place)


def _of_all(chunks: Iterator[_Chunk], length: int) -> Extent:
    end: int | None = 0
    for chunk in chunks:
        if chunk.name == _AGAIN:
            return Extent(end, length, is_samples=False, is_several=True)
        end = chunk.end
    return Extent(end, length, is_samples=False)


def _chunks(file: Readable, layout: _Layout, length: int) -> Iterator[_Chunk]:
    """Yield chunks up to what is none; `_AGAIN` stands for another start of a file."""
    start = _at(file, 0)[: layout.name]
    place, large, width = layout.first, 0, layout.name + layout.size
    while place + width <= length:
        header = _at(file, place)
        name, size = header[: layout.name], header[layout.name : width]
        if layout.is_size_first:
            name, size = header[layout.size : width], header[: layout.size]
            start = b"ftyp"
        count = int.from_bytes(size, layout.order)
        begin = place + width
        if place > layout.first and name == start:
            yield _Chunk(_AGAIN, place, length)
            return
        if not _is_name(name):
            return
        if layout.is_size_first and count == 1:  # its size is written behind it, in 64 bits
            begin += 8
            count = int.from_bytes(header[width : width + 8], layout.order)
        end: int | None = (place if layout.is_inclusive else begin) + count
        if name == b"ds64":
            large = int.from_bytes(_at(file, begin)[8:16], "little")
        elif _is_unknown(count, layout.size) or (layout.is_size_first and count == 0):
            end = begin + large if name == b"data" and large else None
        yield _Chunk(name, begin, end)
        if end is None or end <= place:
            return
        place = end + -end % layout.align
        if end < length and _at(file, end).startswith(
            start
        ):  # another file, put behind this one as it is
            place = end


def _elements(file: Readable, length: int) -> Iterator[_Chunk]:
    """Yield the elements of Matroska, as chunks."""
    place = 0
    while place + 2 <= length:
        header = _at(file, place)
        name_bytes = 9 - header[0].bit_length()
        if name_bytes >= len(header):
            return
        name = header[:name_bytes]
        first = header[name_bytes]
        size_bytes = 9 - first.bit_length()
        if place > 0 and name == _EBML:
            yield _Chunk(_AGAIN, place, length)
            return
        if name not in _ELEMENTS or size_bytes > 8:
            return
        begin = place + name_bytes + size_bytes
        count = int.from_bytes(header[name_bytes : name_bytes + size_bytes], "big")
        count ^= 1 << 7 * size_bytes
        end = None if count == (1 << 7 * size_bytes) - 1 else begin + count
        yield _Chunk(name, begin, end)
        if end is None:
            return
        place = end


def _is_name(name: bytes) -> bool:
    return any(name) if len(name) > 4 else _NAMES.issuperset(name)


def _is_unknown(size: int, num_bytes: int) -> bool:
    """Return whether a size is one that is written where the end is not known yet."""
    half = 1 << (8 * num_bytes - 1)  # what does not fit signed numbers is unknown as well
    return size % half >= half - _UNKNOWN


def _at(file: Readable, place: int) -> bytes:
    file.seek(place)
    return file.read(_HEADER)
