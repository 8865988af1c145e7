"""The eight ways in which a file may ask for its pictures to be turned."""

from __future__ import annotations

import gc
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Picture, h264, write_display_matrix

from rewardkit.errors import UnreadableVideoError
from rewardkit.video import open_video


def shown(picture: Picture, matrix: tuple[int, int, int, int]) -> Picture:
    """Point by point, as FFmpeg's libavutil/display.h says: (x, y) is shown at (a x + c y, b x + d y)."""
    a, b, c, d = matrix
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    right, down = a * x + c * y, b * x + d * y
    right, down = right - right.min(), down - down.min()
    out = np.empty((down.max() + 1, right.max() + 1, 3), dtype=np.uint8)
    out[down, right] = picture
    return out


def with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    data = bytearray(h264(path, num_frames=3).read_bytes())
    write_display_matrix(data, matrix)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "matrix",
    [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)],
)
def test_frames_are_turned_as_the_display_matrix_says(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    path = with_matrix(tmp_path / "turned.mp4", matrix)
    with av.open(path) as container:
        stored = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with open_video(path) as video:
        (read,) = video.read([1]).permute(0, 2, 3, 1).numpy()
        assert (video.info.height, video.info.width) == read.shape[:2]
    np.testing.assert_array_equal(read, shown(stored[1], matrix))


def test_other_angles_are_an_error(tmp_path: Path) -> None:
    path = with_matrix(tmp_path / "askew.mp4", (1, 1, -1, 1))
    with pytest.raises(UnreadableVideoError, match="not a multiple of 90 degrees"):
        open_video(path)


def test_reading_leaves_nothing_to_the_garbage_collector(tmp_path: Path) -> None:
    path = h264(tmp_path / "clip.mp4", num_frames=3)

    def read() -> None:
        with open_video(path) as video:
            video.read([0, 2])

    gc.collect()
    gc.disable()
    try:
        read()
        assert gc.collect() == 0, "nothing is left for it to find"
    finally:
        gc.enable()
