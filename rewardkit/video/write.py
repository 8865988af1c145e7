"""Write h264, or arrays that lose nothing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Shaped
from torch import Tensor

from rewardkit.errors import BadInputError, OutputError, UsageError
from rewardkit.files import replacing
from rewardkit.video.levels import level_problem, to_uint8

ARRAY = ".npy"
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
H264_SUFFIXES = frozenset(FORMATS)

BT709, LIMITED_RANGE = 1, 1
"""As h264 numbers them (ITU-T H.273)."""


def write_video(path: str | Path, video: Shaped[Tensor, "frame 3 height width"], fps: float, *, crf: int = 18) -> None:
    """Writes a video as h264 in .mp4, .m4v, .mov or .mkv, or as it is in .npy; the file appears when it is complete.

    `video` is RGB, float in [0, 1] or uint8; it is written at its own size, in BT.709 and tagged so. Even
    sizes are yuv420p, which plays everywhere. An odd width or height cannot be halved for 4:2:0; such videos
    are written as yuv444p, which keeps every pixel but which some browsers and phones do not play. `crf` is
    x264's quality: 0 is lossless up to colour conversion, 18 looks lossless, 51 is worst. `fps` is in frames
    a second.

    h264 loses some detail: the score of the file differs from the score of the tensor. `.npy` holds the 8 bits of
    every pixel and no rate; films of few pixels, whose colours 4:2:0 would smear, belong there.

    Raises UsageError for a suffix, fps or crf that cannot be; BadInputError for a video of wrong shape, type
    or range; OutputError if the file cannot be written.
    """
    path = Path(path)
    _check(path, video, fps, crf)
    with replacing(path) as draft:
        if path.suffix.lower() == ARRAY:
            np.save(draft, to_uint8(video.detach()).cpu().numpy())
            return
        try:
            _encode(draft, FORMATS[path.suffix.lower()], video, Fraction(fps).limit_denominator(65535), crf)
        except av.FFmpegError as error:
            raise OutputError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def _check(path: Path, video: Tensor, fps: float, crf: int) -> None:
    if path.suffix.lower() not in (*FORMATS, ARRAY):
        raise UsageError(f"write_video writes {', '.join(FORMATS)}, {ARRAY}: got {str(path)!r}")
    if not 0.01 <= fps <= 1000:
        raise UsageError(f"write_video needs between 0.01 and 1000 frames a second: got {fps}")
    if not 0 <= crf <= 51:
        raise UsageError(f"write_video needs a crf from 0 to 51: got {crf}")
    if video.ndim != 4 or video.shape[1] != 3 or not video.numel():
        raise BadInputError(f"write_video needs a video (frame, 3, height, width): got shape {tuple(video.shape)}")
    problem = level_problem(video.detach())
    if problem is not None:
        raise BadInputError(f"write_video needs uint8, or float in [0, 1]: the video {problem}")


def _encode(path: Path, container: str, video: Tensor, rate: Fraction, crf: int) -> None:
    height, width = video.shape[2:]
    with av.open(str(path.absolute()), "w", format=container) as out:
        stream: VideoStream = out.add_stream("libx264", rate=rate, options={"crf": str(crf)})
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        for number, picture in enumerate(video.detach()):
            rgb = to_uint8(picture).permute(1, 2, 0).contiguous().cpu().numpy()
            frame = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                format=stream.pix_fmt, dst_colorspace=BT709, dst_color_range=LIMITED_RANGE
            )
            frame.pts, frame.time_base = number, 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
