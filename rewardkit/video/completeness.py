"""Does a file hold all the bytes it announces? One cut short would be scored as a shorter video."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

from rewardkit.video.file import unreadable
from rewardkit.video.transport import check_codecs

BOXES = frozenset(
    {
        b"ftyp",
        b"styp",
        b"moov",
        b"mdat",
        b"moof",
        b"mfra",
        b"sidx",
        b"free",
        b"skip",
        b"wide",
        b"uuid",
        b"meta",
        b"udta",
    }
)
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
GIF_EXTENSION, GIF_IMAGE, GIF_END = 0x21, 0x2C, 0x3B


def check_complete(path: Path) -> None:
    """Raises UnreadableVideoError if a file of known structure (MP4, Matroska, RIFF, GIF) ends too early.

    Transport streams, FLV and the like announce no length: they are taken as they are, see `check_codecs`.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        walk = _walk_for(data[:12])
        if walk is None:
            check_codecs(path, data)
            return
        announced = walk(path, data)
        if announced > len(data):
            raise unreadable(path, f"is cut short: it announces at least {announced} bytes and has {len(data)}")


def _walk_for(start: bytes) -> Callable[[Path, mmap.mmap], int] | None:
    if start[4:8] in BOXES:
        return _mp4_length
    if start[:4] == EBML:
        return _matroska_length
    if start[:4] == b"RIFF":
        return lambda path, data: 8 + int.from_bytes(data[4:8], "little")
    if start[:6] in (b"GIF87a", b"GIF89a"):
        return _gif_length
    return None


def _mp4_length(path: Path, data: mmap.mmap) -> int:
    """The end of the last box; what follows the boxes, if anything, is not ours to judge."""
    place, has_index = 0, False
    while data[place + 4 : place + 8] in BOXES:
        kind, size = data[place + 4 : place + 8], int.from_bytes(data[place : place + 4])
        if size == 1:  # a 64-bit size follows
            size = int.from_bytes(data[place + 8 : place + 16])
        elif size == 0:  # to the end of the file
            size = len(data) - place
        if size < 8:
            break
        has_index = has_index or kind == b"moov"
        place += size
    if place <= len(data) and not has_index:
        raise unreadable(path, "has no index (moov box): its recording or copying was not finished")
    return place


def _matroska_length(path: Path, data: mmap.mmap) -> int:
    del path
    size, place = _ebml_size(data, 4)
    place += size or 0
    if data[place : place + 4] != SEGMENT:
        return place
    size, place = _ebml_size(data, place + 4)
    return place + (size or 0)


def _ebml_size(data: mmap.mmap, place: int) -> tuple[int | None, int]:
    """An EBML number (None: unknown) and the place after it; its leading zeros tell its length."""
    length = 9 - int.from_bytes(data[place : place + 1]).bit_length()
    value = int.from_bytes(data[place : place + length]) & (1 << 7 * length) - 1
    return (None if value == (1 << 7 * length) - 1 else value), place + length


def _gif_length(path: Path, data: mmap.mmap) -> int:
    """The length of the blocks up to the trailer; one byte more than there is if the trailer is missing."""
    del path
    try:
        place = 13 + _colour_table(data[10])
        while data[place] != GIF_END:
            if data[place] == GIF_IMAGE:
                place += 11 + _colour_table(data[place + 9])
            elif data[place] == GIF_EXTENSION:
                place += 2
            else:  # not a block: leave the verdict to the decoder
                return 0
            while data[place]:
                place += 1 + data[place]
            place += 1
    except IndexError:
        return len(data) + 1
    return place + 1


def _colour_table(flags: int) -> int:
    """Bytes of the colour table that follows."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
