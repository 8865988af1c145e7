"""Films of 32 by 24 pixels in every format that is read, for `write_seeds.py`."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from tests.fuzz.seed_weights import TUPLES, archive, squeezed, torch_file

WIDTH, HEIGHT, FRAMES = 32, 24, 8


def picture(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 7, y * 9, x + y + 20 * number], axis=-1).astype(np.uint8)


def film(container: str, codec: str, pix_fmt: str = "yuv420p", movflags: str = "", **options: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container, options={"movflags": movflags} if movflags else {}) as out:
        stream = out.add_stream(codec, rate=8, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, pix_fmt, 4
        for number in range(FRAMES):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        out.mux(stream.encode(None))
    return file.getvalue()


def still(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(0)).save(file, kind, **options)
    return file.getvalue()


def numpy_file(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def videos() -> dict[str, bytes]:
    frames = np.stack([picture(number)[:6, :8] for number in range(FRAMES)])
    turned = Image.Exif()
    turned[0x0112] = 3
    more = [Image.fromarray(picture(number)) for number in range(1, FRAMES)]
    return {
        "h264.mp4": film("mp4", "libx264", crf="40"),
        "fragments.mp4": film("mp4", "libx264", crf="40", movflags="frag_keyframe+empty_moov"),
        "hevc.mp4": film("mp4", "libx265", crf="40", **{"x265-params": "log-level=none"}),
        "mpeg4.mp4": film("mp4", "mpeg4", bf="2"),
        "h264.mkv": film("matroska", "libx264", crf="40"),
        "vp9.webm": film("webm", "libvpx-vp9", **{"cpu-used": "8"}),
        "vp8.webm": film("webm", "libvpx"),
        "mjpeg.avi": film("avi", "mjpeg", "yuvj420p"),
        "h264.ts": film("mpegts", "libx264", crf="40"),
        "mpeg2.ts": film("mpegts", "mpeg2video"),
        "film.gif": film("gif", "gif", "rgb8"),
        "film.webp": still("webp", save_all=True, append_images=more, duration=125, quality=10),
        "still.webp": still("webp"),
        "bytes.npy": numpy_file(frames),
        "floats.npy": numpy_file((frames.transpose(0, 3, 1, 2) / 255).astype(np.float32)),
        "bytes.pt": torch_file(torch.from_numpy(frames)),
        "halves.pt": torch_file(torch.from_numpy(frames).half() / 255),
        "picture.png": still("png"),
        "picture.jpg": still("jpeg", exif=turned),
        "bad-squeezed.pt": squeezed(torch_file(torch.from_numpy(frames))),
        "bad-tuples.pt": archive(TUPLES),
        "bad-nested.npy": numpy_header("-" * 6000 + "1"),
        "bad-number.npy": numpy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 6, 8, 3)}"),
        "bad-size.npy": numpy_header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({2**62}, 6, 8, 3)}}"),
    }


def numpy_header(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
