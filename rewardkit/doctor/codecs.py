"""Checks of FFmpeg, as PyAV brings it: a tiny film is written and read in every codec that videos mostly come in."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rewardkit.doctor.finding import Finding, State
from rewardkit.errors import first_line

LEVELS = (40, 90, 140, 190)
"""Of the film's frames, each of one grey."""

SIDE = 64
NEAR = 20
"""A gif of 256 colours is that far off."""

CODECS = {
    "h264": ("mp4", "yuv420p"),
    "hevc": ("mp4", "yuv420p"),
    "vp9": ("webm", "yuv420p"),
    "av1": ("mp4", "yuv420p"),
    "mpeg4": ("avi", "yuv420p"),
    "gif": ("gif", "rgb8"),
}
"""Container and layout of pixels for each codec."""

MEND = "pip install --upgrade --force-reinstall av  # its wheels bring FFmpeg with them"


def ffmpeg() -> Finding:
    """Which FFmpeg reads videos."""
    import av

    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return Finding("FFmpeg", "ok", f"{av.ffmpeg_version_info} (libavcodec {libavcodec}), by PyAV {av.__version__}")


def codec(name: str) -> Finding:
    """Whether videos of that codec are read, by writing one where this FFmpeg can."""
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError
    from av.error import FFmpegError

    title = f"codec {name}"
    amiss: State = "bad" if name == "h264" else "warn"  # what rewardkit writes, and most others
    try:
        Codec(name, "r")
    except UnknownCodecError:
        return Finding(title, amiss, "cannot be read: this FFmpeg has no decoder for it", MEND)
    try:
        Codec(name, "w")
    except UnknownCodecError:
        return Finding(title, "ok", "has a decoder; not tried, as this FFmpeg cannot write it")
    try:
        levels = _read(_written(name))
    except FFmpegError as error:
        return Finding(title, amiss, f"cannot be written and read again: {first_line(error)}", MEND)
    if not as_written(levels):
        return Finding(title, amiss, f"is read wrongly: greys of {LEVELS} came back as {levels}", MEND)
    return Finding(title, "ok", "written and read")


def as_written(levels: Sequence[int]) -> bool:
    """Whether the frames that were read are those that were written, by their greys."""
    return len(levels) == len(LEVELS) and all(abs(a - b) <= NEAR for a, b in zip(levels, LEVELS, strict=True))


def _written(name: str) -> io.BytesIO:
    """A film in memory, so that it needs no folder."""
    import av
    import numpy as np
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    container, pixels = CODECS[name]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(name, rate=8)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, pixels
        for level in LEVELS:
            frame = VideoFrame.from_ndarray(np.full((SIDE, SIDE, 3), level, dtype=np.uint8), format="rgb24")
            out.mux(stream.encode(frame.reformat(format=pixels)))
        out.mux(stream.encode(None))
    file.seek(0)
    return file


def _read(file: io.BytesIO) -> list[int]:
    """The grey of each frame."""
    import av

    with av.open(file, "r") as film:
        return [round(frame.to_ndarray(format="rgb24").mean()) for frame in film.decode(video=0)]
