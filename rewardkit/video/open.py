"""Which reader for which file."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from rewardkit.limits import MAX_PIXELS
from rewardkit.video.arrays import ARRAY_SUFFIXES, ArrayFile
from rewardkit.video.container import CONTAINER_SUFFIXES, ContainerFile
from rewardkit.video.file import VideoFile, check_length, unreadable
from rewardkit.video.pictures import AnimatedWebp, PictureFolder

VIDEO_SUFFIXES: frozenset[str] = CONTAINER_SUFFIXES | ARRAY_SUFFIXES | {".webp"}
"""Every single-file format that `open_video` reads: lower case, with the dot."""


def open_video(
    path: str | Path, *, decoder_threads: int = 1, max_pixels: int = MAX_PIXELS, max_frames: int | None = None
) -> VideoFile:
    """Opens a video file, a folder of pictures, or an array of frames, and finds its length and size.

    The reader is chosen by the suffix: .npy, .pt and .webp have their own, everything else goes to FFmpeg,
    which looks at the content. A folder is a film of the pictures in it, in natural order of their names (2
    before 10). Where frames have transparent parts (GIF, WebP, PNG), these become white, as on a web page.

    `decoder_threads` speeds up one large video; for many videos, one thread each in a pool is faster.
    `max_pixels` bounds one frame and is checked before it is allocated, `max_frames` the length of the whole video.

    A file that announces its length (MP4, Matroska, AVI, WebP, GIF) and is shorter is refused as a whole, for as a
    shorter video it would be scored on other frames. A transport stream announces none: it has the frames that
    are there, and one that the cut left incomplete is an error when it is read, never a patched-up picture.

    Raises UnreadableVideoError, with what is wrong, for anything that cannot be read: missing, empty, cut
    short, not a video, no video stream, no frames, a device or pipe.
    """
    video = _reader(Path(path), decoder_threads, max_pixels, max_frames)
    try:
        check_length(video.path, video.info.num_frames, max_frames)
    except BaseException:
        video.close()
        raise
    return video


def _reader(path: Path, decoder_threads: int, max_pixels: int, max_frames: int | None) -> VideoFile:
    if _is_folder(path):
        return PictureFolder(path, max_pixels)
    suffix = path.suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        return ArrayFile(path, max_pixels)
    if suffix == ".webp":
        return AnimatedWebp(path, max_pixels)
    return ContainerFile(path, decoder_threads, max_pixels, max_frames)


def read_video(path: str | Path, frames: Sequence[int] | None = None) -> Float[Tensor, "frame 3 height width"]:
    """The frames of a video as float32 RGB in [0, 1].

    `frames` are the wanted frames, counted from 0 (-1 is the last), in any order; None is all of them, at 12
    bytes a pixel. Raises UnreadableVideoError as `open_video` and `VideoFile.read` do.
    """

    def wanted(count: int) -> Sequence[int]:
        return range(count) if frames is None else [number + count if number < 0 else number for number in frames]

    with open_video(path) as video:
        return video.read_planned(wanted).float().div_(255)


def _is_folder(path: Path) -> bool:
    """Whether `path` is a folder; raises unless it is that or a non-empty regular file that may be read."""
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            return True
        # before opening: opening a pipe without a writer blocks for ever
        if not stat.S_ISREG(state.st_mode):
            raise unreadable(path, "is not a regular file but a device, pipe or socket")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        if path.is_symlink():
            raise unreadable(path, f"is a link to {str(path.readlink())!r}, which does not exist") from None
        raise unreadable(path, "does not exist") from None
    except OSError as error:
        raise unreadable(path, f"cannot be opened: {error.strerror}") from error
    except ValueError as error:
        raise unreadable(path, f"cannot be the name of a file: {error}") from error
    if state.st_size == 0:
        raise unreadable(path, "is empty (0 bytes)")
    return False
