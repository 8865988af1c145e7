"""Turn frames as the file says: phones film sideways and note it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

from av.sidedata.sidedata import SideData, SideDataContainer, Type
from av.video.frame import VideoFrame

from rewardkit.video.file import Picture, unreadable


class Orientation(NamedTuple):
    """How to turn a decoded picture: swap rows and columns, then reverse rows, then reverse columns."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after turning."""
        return (height, width) if self.transpose else (width, height)

    def turn(self, picture: Picture) -> Picture:
        """The picture as it is to be shown."""
        if self.transpose:
            picture = picture.transpose(1, 0, 2)
        return picture[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


def orientation_of(path: Path, frame: VideoFrame) -> Orientation:
    """The orientation that a frame's display matrix asks for; turns by anything but quarters are an error.

    The matrix is nine 32-bit fixed-point numbers in row order; the decoded point (x, y) is shown at
    (a x + c y, b x + d y). Source: FFmpeg libavutil/display.h.
    """
    # not frame.side_data: kept by the frame, it would tie it into a circle that only the garbage collector undoes
    side_data = cast(Mapping[Type, SideData], SideDataContainer(frame))  # type: ignore[call-arg]  # which the stub leaves out
    if Type.DISPLAYMATRIX not in side_data:
        return Orientation()
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(side_data[Type.DISPLAYMATRIX]))
    if a and d and not b and not c:
        return Orientation(False, d < 0, a < 0)
    if b and c and not a and not d:
        return Orientation(True, b < 0, c < 0)
    raise unreadable(path, "is to be shown turned by an angle that is not a multiple of 90 degrees")
