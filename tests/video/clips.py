"""Clips that carry their own frame numbers, made with PyAV alone: no ffmpeg program, no downloads.

Each frame shows its number as eight black or white bars, most significant bit left, above a moving gradient.
A bar is 16 pixels wide, far coarser than what any of the codecs here can smear, so a number is read back
without doubt.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

BITS, BAR = 8, 16
WIDTH, HEIGHT = BITS * BAR, 96

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    `make` writes one; `has_feature` says whether a file really is of that kind, so that a test cannot pass on
    something plainer; `quarter_turns`: how its stored pictures must be turned, counterclockwise, to stand upright.
    """

    suffix: str
    make: Callable[[Path], Path]
    has_feature: Callable[[Path], bool]
    quarter_turns: int = 0


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> Picture:
    """One RGB picture (height, width, 3) that shows `number` and some motion."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 100 * np.sin((x + y + 7 * number) / 17 + phase) for phase in (0.0, 2.0, 4.0)]
    picture = np.stack(waves, axis=-1).astype(np.uint8)
    bits = [number >> (BITS - 1 - i) & 1 for i in range(BITS)]
    picture[: height * 2 // 3] = np.repeat(np.array(bits, dtype=np.uint8) * 255, width // BITS)[None, :, None]
    return picture


def number_of(picture: Picture) -> int:
    """The number that a (height, width, 3) picture shows; fails where a bar is neither black nor white."""
    height, width = picture.shape[:2]
    bar = width // BITS
    code = picture[height // 6 : height // 2].mean(axis=(0, 2)).reshape(BITS, bar)[:, bar // 4 : -bar // 4].mean(axis=1)
    if np.abs(code - 127.5).min() < 60:
        raise ValueError(f"no clear bar code: {code.round()}")
    return int(sum(1 << (BITS - 1 - i) for i, level in enumerate(code) if level > 127.5))


def encode(
    path: Path,
    codec: str,
    num_frames: int,
    *,
    pix_fmt: str = "yuv420p",
    times: Iterable[int] | None = None,
    rate: int = 25,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    container: str | None = None,
    gop: int = 12,
    b_frames: int | None = None,
    options: Mapping[str, str] = {},
    quarter_turns: int = 0,
) -> Path:
    """Write frames 0, 1, 2, ... with a PyAV encoder. `times`: ticks of 1/rate s, for variable rate."""
    with av.open(path, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height = size[::-1] if quarter_turns % 2 else size
        stream.pix_fmt = pix_fmt
        stream.gop_size = gop
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        stream.codec_context.time_base = Fraction(1, rate)
        for number, tick in enumerate(times if times is not None else range(num_frames)):
            picture = np.ascontiguousarray(np.rot90(numbered(number, *size), quarter_turns))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


X264 = "bframes=3:b-adapt=0:keyint=12:min-keyint=12:scenecut=0"


def h264(path: Path, extra: str = "", num_frames: int = 100, **settings: Any) -> Path:
    """h264 with three B-frames in a row and a key frame every 12."""
    return encode(path, "libx264", num_frames, options={"x264-params": X264 + extra}, **settings)


def trimmed(path: Path) -> Path:
    """A stream copy that starts at frame 5: the file keeps frames 0 to 4 and an edit list hides them."""
    whole = h264(path.with_name("whole.mp4"))
    with av.open(whole) as source, av.open(path, "w") as out:
        there = source.streams.video[0]
        here = out.add_stream_from_template(there)
        ticks = int(5 / (there.average_rate * there.time_base))
        for packet in source.demux(there):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, here
                out.mux(packet)
    return path


def cut_stream(path: Path) -> Path:
    """A transport stream with open GOPs whose first third is missing, up to the middle of a group of pictures."""
    whole = h264(path.with_name("whole.ts"), ":open-gop=1").read_bytes()
    packets = len(whole) // 188
    path.write_bytes(whole[packets // 3 * 188 :])
    return path


def rotated(path: Path) -> Path:
    """Pictures stored lying on their side, with the note to show them turned by 90 degrees."""
    data = bytearray(h264(path, num_frames=40, quarter_turns=1).read_bytes())
    write_display_matrix(data, (0, 1, -1, 0))
    path.write_bytes(data)
    return path


def write_display_matrix(data: bytearray, matrix: tuple[int, int, int, int]) -> None:
    """Put (a, b, c, d) into the track header of an mp4: 16.16 fixed point, 40 bytes after the end of its version."""
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)


def packets_of(path: Path) -> list[av.Packet]:
    with av.open(path) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def _reordered(path: Path) -> bool:
    times = [packet.pts for packet in packets_of(path)]
    return times != sorted(times)


def _open_gops(path: Path) -> bool:
    """Whether pictures that come after a later key frame in the file are shown before it."""
    packets = packets_of(path)
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe and place]
    return bool(keys) and all(packets[key + 1].pts < packets[key].pts for key in keys[:-1])


def _codec(name: str, key_frames: int) -> Callable[[Path], bool]:
    def is_it(path: Path) -> bool:
        with av.open(path) as container:
            codec = container.streams.video[0].codec_context.name
        return codec in (name, f"lib{name}", "libdav1d") and sum(p.is_keyframe for p in packets_of(path)) >= key_frames

    return is_it


def _variable_rate(path: Path) -> bool:
    times = sorted(packet.pts for packet in packets_of(path))
    return len(set(np.diff(times))) > 10


def _edit_list(path: Path) -> bool:
    return b"elst" in path.read_bytes() and sum(packet.is_discard for packet in packets_of(path)) == 5


def _cut_inside_gop(path: Path) -> bool:
    packets = packets_of(path)
    return not packets[0].is_keyframe and any(packet.is_keyframe for packet in packets)


def _turned(path: Path) -> bool:
    with av.open(path) as container:
        return abs(next(container.decode(video=0)).rotation) == 90


_HEVC = {"x265-params": "log-level=none:bframes=3:keyint=12:min-keyint=12:open-gop=1:scenecut=0"}
_AV1 = {"preset": "10", "crf": "20", "svtav1-params": "enable-tf=0:enable-overlays=0"}
_VP9 = {"cpu-used": "8", "deadline": "realtime"}
_TICKS = [i * i // 7 + i for i in range(100)]

KINDS: dict[str, Kind] = {
    "h264 with B-frames": Kind(".mp4", h264, _reordered),
    "h264 open GOP": Kind(".mp4", lambda path: h264(path, ":open-gop=1"), _open_gops),
    "HEVC": Kind(".mp4", lambda path: encode(path, "libx265", 100, options=_HEVC), _codec("hevc", 8)),
    "mpeg4 with B-frames": Kind(".mp4", lambda path: encode(path, "mpeg4", 100, b_frames=2), _reordered),
    "VP9": Kind(".webm", lambda path: encode(path, "libvpx-vp9", 100, options=_VP9), _codec("vp9", 8)),
    "AV1": Kind(".mp4", lambda path: encode(path, "libsvtav1", 100, options=_AV1), _codec("av1", 8)),
    "mjpeg": Kind(".avi", lambda path: encode(path, "mjpeg", 60, pix_fmt="yuvj420p"), _codec("mjpeg", 60)),
    "GIF": Kind(".gif", lambda path: encode(path, "gif", 60, pix_fmt="rgb8"), _codec("gif", 1)),
    "variable rate": Kind(".mp4", lambda path: h264(path, times=_TICKS, rate=250), _variable_rate),
    "edit list": Kind(".mp4", trimmed, _edit_list),
    "TS cut mid-GOP": Kind(".ts", cut_stream, _cut_inside_gop),
    "rotated": Kind(".mp4", rotated, _turned, quarter_turns=-1),
}
"""The twelve kinds of file in which readers are known to give wrong frames."""
