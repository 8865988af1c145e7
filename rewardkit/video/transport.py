"""Transport streams in which a stream changes its codec, as in two that were put one after the other."""

from __future__ import annotations

import mmap
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from rewardkit.video.file import unreadable

LOOKED_AT = 5_000_000
"""Bytes in which FFmpeg makes up its mind about streams."""

MAP = re.compile(rb"\x02[\xb0-\xbf]")
"""Where a table that maps streams to codecs may begin, and its length with it."""

MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def check_codecs(path: Path, data: mmap.mmap) -> None:
    """Raises UnreadableVideoError if a stream changes its codec while FFmpeg still looks for it.

    FFmpeg 8 ends the process over such a file: "Assertion sti->avctx->codec_id == AV_CODEC_ID_H264 failed".
    """
    known: dict[int, int] = {}
    for found in MAP.finditer(data, 0, LOOKED_AT):
        start = found.start()
        section = data[start : start + 3 + (int.from_bytes(data[start + 1 : start + 3]) & 0xFFF)]
        # the checksum of such tables takes bits in the other order than zlib's; after itself it leaves nothing
        if zlib.crc32(section.translate(MIRRORED)) != 0xFFFFFFFF:
            continue
        for stream, codec in _streams(section):
            if known.setdefault(stream, codec) != codec:
                raise unreadable(path, f"changes the codec of its stream {stream} half-way: it is two videos in a row")


def _streams(section: bytes) -> Iterator[tuple[int, int]]:
    """Number and kind of codec of each stream in a table.

    Source: ISO/IEC 13818-1, 2.4.4.8.
    """
    place = 12 + (int.from_bytes(section[10:12]) & 0xFFF)
    while place + 9 <= len(section):
        yield int.from_bytes(section[place + 1 : place + 3]) & 0x1FFF, section[place]
        place += 5 + (int.from_bytes(section[place + 3 : place + 5]) & 0xFFF)
