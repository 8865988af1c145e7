"""Films made of pictures: a folder of frames, an animated WebP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from rewardkit import storage
from rewardkit.errors import RewardkitError
from rewardkit.files import natural_order
from rewardkit.video.completeness import check_complete
from rewardkit.video.file import Picture, VideoFile, VideoInfo, check_size, unreadable

IMAGE_SUFFIXES: frozenset[str] = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""The pictures that are frames of an image folder: lower case, with the dot."""

EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"})


class PictureFolder(VideoFile):
    """A folder whose pictures are the frames, in natural order of their names: 2 before 10.

    Other files, hidden files and folders inside are passed over. All pictures that are read must have the
    first one's size, after turning as their EXIF data say. Grey and palette become RGB, transparent parts
    white. There is no fps.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.path, self._max_pixels = path, max_pixels
        try:
            files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
        except OSError as error:
            raise unreadable(path, f"cannot be listed: {error.strerror}") from error
        self._files = sorted(
            (file for file in files if not file.name.startswith(".")), key=lambda file: natural_order(file.name)
        )
        if not self._files:
            raise unreadable(path, f"is a folder without pictures ({' '.join(sorted(IMAGE_SUFFIXES))})")
        height, width = _read_picture(self._files[0], max_pixels).shape[:2]
        self.info = VideoInfo(len(self._files), None, width, height)

    def close(self) -> None:
        """Nothing is held open between reads."""

    def _pictures(self, wanted: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        for number in wanted:
            yield number, _read_picture(self._files[number], self._max_pixels)


class AnimatedWebp(VideoFile):
    """An animated (or still) WebP; fps is the mean over its frames, transparent parts become white."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.path = path
        check_complete(path)
        with _pillow(path):
            self._image = Image.open(path)
        try:
            if self._image.format != "WEBP":
                raise unreadable(path, f"is called .webp but is {self._image.format}: name it by its format")
            check_size(path, *self._image.size, max_pixels)
            count = getattr(self._image, "n_frames", 1)
        except BaseException:
            self.close()
            raise
        total = sum(webp_durations(path.read_bytes()))
        self.info = VideoInfo(count, count * 1000 / total if total else None, *self._image.size)

    def close(self) -> None:
        """Let go of the file."""
        self._image.close()

    def _pictures(self, wanted: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        for number in wanted:
            with _pillow(self.path):
                self._image.seek(number)
                yield number, _to_rgb(self.path, self._image)


def is_animated_webp(path: str | Path) -> bool:
    """Whether a .webp file is a film and not a still; False where it cannot be read.

    Source: the WebP container specification: bit 1 of the flags in the VP8X chunk, which comes first.
    """
    try:
        head = storage.read_bytes(str(path), most=21)
    except OSError:
        return False
    return len(head) == 21 and head[12:16] == b"VP8X" and bool(head[20] & 2)


def webp_durations(data: bytes) -> list[int]:
    """Milliseconds that each frame of an animated WebP stands; empty for a still one.

    Source: the WebP container specification: a frame chunk ANMF holds its duration in bytes 12 to 14.
    """
    place, durations = 12, []
    while place + 8 <= len(data):
        if data[place : place + 4] == b"ANMF":
            durations.append(int.from_bytes(data[place + 20 : place + 23], "little"))
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return durations


def _read_picture(path: Path, max_pixels: int) -> Picture:
    if not path.is_file():
        raise unreadable(path, "is not a regular file, or is a link to a file that does not exist")
    with _pillow(path), Image.open(path) as image:
        check_size(path, *image.size, max_pixels)
        return _to_rgb(path, ImageOps.exif_transpose(image))


def _to_rgb(path: Path, image: Image.Image) -> Picture:
    if image.mode not in EIGHT_BIT_MODES:
        raise unreadable(path, f"has pixels of mode {image.mode}, not 8 bits a colour: convert it to 8 bits first")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.array(image.convert("RGB"))


@contextmanager
def _pillow(path: Path) -> Iterator[None]:
    """Names the file in whatever Pillow raises for a broken picture."""
    try:
        yield
    except RewardkitError:
        raise
    except Exception as error:  # Pillow's readers raise what the parsing of broken bytes raises
        raise unreadable(path, f"cannot be decoded as a picture: {error}") from error
