"""Every file that cannot be read gives one clear sentence, at once, and nothing on stderr."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clips import encode, h264

from rewardkit.errors import UnreadableVideoError
from rewardkit.video import open_video, read_video, write_video


def cut(path: Path, share: float = 0.6) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def dangling_link(folder: Path) -> Path:
    (folder / "link.mp4").symlink_to(folder / "gone.mp4")
    return folder / "link.mp4"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def folder_of_text(folder: Path) -> Path:
    (folder / "frames").mkdir()
    (folder / "frames" / "notes.txt").write_text("no pictures here")
    return folder / "frames"


def without_moov(folder: Path) -> Path:
    data = h264(folder / "whole.mp4", num_frames=10).read_bytes()
    return written(folder / "unfinished.mp4", data[: data.index(b"moov") - 4])


def sound_only(folder: Path) -> Path:
    path = folder / "sound.mp4"
    with av.open(path, "w") as out:
        stream = out.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def cover_picture(folder: Path) -> Path:
    path = folder / "song.m4a"
    with av.open(path, "w", format="mp4") as out:
        sound, cover = out.add_stream("aac", rate=8000, layout="mono"), out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        out.mux(cover.encode(av.VideoFrame(64, 48, "yuvj420p")) + cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        out.mux(sound.encode(frame) + sound.encode(None))
    return path


def no_frames(folder: Path) -> Path:
    path = folder / "none.avi"
    with av.open(path, "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        out.start_encoding()
    return path


def gif_of_size(folder: Path, width: int, height: int) -> Path:
    data = bytearray(encode(folder / "size.gif", "gif", 2, pix_fmt="rgb8").read_bytes())
    data[6:10] = struct.pack("<HH", width, height)
    return written(folder / "size.gif", bytes(data))


def damaged(folder: Path) -> Path:
    """Twenty bytes in the middle of the pictures are wrong."""
    path = h264(folder / "damaged.mp4", num_frames=60, size=(512, 384))
    data = bytearray(path.read_bytes())
    for place in range(20):
        data[len(data) // 2 + 7 * place] ^= 0x5A
    return written(path, bytes(data))


def cut_in_last_packet(folder: Path) -> Path:
    """A transport stream announces no length: it loses its last packets without a trace, and a part of one."""
    return cut(h264(folder / "cut.ts", ":crf=5", num_frames=60, size=(512, 384)), 0.65)


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "no.mp4", "does not exist"),
    "dangling link": (dangling_link, r"is a link to '.*gone\.mp4', which does not exist"),
    "empty": (lambda folder: written(folder / "empty.mp4", b""), r"is empty \(0 bytes\)"),
    "text": (lambda folder: written(folder / "text.mp4", b"not a video\n" * 99), "is not a video file"),
    "noise": (lambda folder: written(folder / "noise.mkv", random.Random(0).randbytes(5000)), "is not a video file"),
    "playlist": (
        lambda folder: written(folder / "list.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        "is not a video file",
    ),
    "no moov": (without_moov, r"has no index \(moov box\)"),
    "cut mp4": (lambda folder: cut(h264(folder / "a.mp4", num_frames=30)), "is cut short: it announces"),
    "cut mkv": (lambda folder: cut(h264(folder / "a.mkv", num_frames=30)), "is cut short: it announces"),
    "cut avi": (
        lambda folder: cut(encode(folder / "a.avi", "mjpeg", 9, pix_fmt="yuvj420p")),
        "is cut short: it announces",
    ),
    "cut gif": (lambda folder: cut(encode(folder / "a.gif", "gif", 9, pix_fmt="rgb8")), "is cut short"),
    "sound only": (sound_only, "has no video stream, only audio"),
    "cover picture": (cover_picture, "has no video stream, only sound with a cover picture"),
    "no frames": (no_frames, "without any frames"),
    "0x0": (lambda folder: gif_of_size(folder, 0, 0), "is not a video file, or is damaged"),
    "huge": (lambda folder: gif_of_size(folder, 20000, 10000), "over the limit"),
    "impossibly huge": (lambda folder: gif_of_size(folder, 65535, 65535), "over the limit"),
    "pipe": (pipe, "is not a regular file"),
    "device": (lambda folder: Path("/dev/null"), "is not a regular file"),
    "folder without pictures": (folder_of_text, "is a folder without pictures"),
    "damaged": (damaged, "is damaged"),
}


def npy(path: Path) -> Path:
    np.save(path, np.zeros((3, 3, 48, 64), np.uint8))
    return path


WHOLE: dict[str, Callable[[Path], Path]] = {
    ".mp4": lambda path: h264(path, num_frames=15),
    ".ts": lambda path: h264(path, num_frames=15),
    ".avi": lambda path: encode(path, "mjpeg", 8, pix_fmt="yuvj420p"),
    ".webm": lambda path: encode(path, "libvpx-vp9", 15, options={"cpu-used": "8", "deadline": "realtime"}),
    ".npy": npy,
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_file_gives_one_clear_sentence(tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, sentence = BAD[case]
    path = make(tmp_path)
    capfd.readouterr()  # encoders talk
    with pytest.raises(UnreadableVideoError, match=sentence) as caught:
        read_video(path)
    message = str(caught.value)
    assert message.startswith(repr(str(path)))
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = h264(tmp_path / "secret.mp4", num_frames=2)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything

        def refuse(self: Path, mode: str) -> None:
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UnreadableVideoError, match="cannot be opened: Permission denied"):
        open_video(path)


def test_frames_over_the_limit_are_refused(h264_clip: Path) -> None:
    with pytest.raises(UnreadableVideoError, match="128x96 pixels, over the limit of 12287"):
        open_video(h264_clip, max_pixels=128 * 96 - 1)
    with open_video(h264_clip, max_pixels=128 * 96) as video:
        assert video.info.num_frames == 100


def test_good_frames_before_the_damage_are_read(tmp_path: Path) -> None:
    with open_video(damaged(tmp_path)) as video:
        assert video.read([0, 5]).shape == (2, 3, 384, 512)


def test_frame_that_was_cut_off_is_an_error_and_not_its_neighbour(tmp_path: Path) -> None:
    with open_video(cut_in_last_packet(tmp_path)) as video:
        last = video.info.num_frames - 1
        assert 30 < last < 45
        video.read([last - 5])
        with pytest.raises(UnreadableVideoError, match=f"has no frame {last}|is damaged"):
            video.read([last])


def test_names_with_newline_colon_percent_and_unicode_are_read(tmp_path: Path) -> None:
    for name in ("two\nlines.mp4", "http:clip.mp4", "clip%03d.gif", "ein schöner 猫 ✨.mp4", "-.mp4"):
        if name.endswith(".gif"):
            encode(tmp_path / name, "gif", 3, pix_fmt="rgb8")
        else:
            h264(tmp_path / "plain.mp4", num_frames=3).rename(tmp_path / name)
        with open_video(tmp_path / name) as video:
            assert video.info.num_frames == 3


def test_film_of_one_frame_is_read(tmp_path: Path) -> None:
    with open_video(h264(tmp_path / "one.mp4", num_frames=1)) as video:
        assert video.read([0, 0]).shape == (2, 3, 96, 128)


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".avi", ".webm", ".npy"])
def test_files_with_random_damage_give_frames_or_one_error(tmp_path: Path, suffix: str) -> None:
    rng = random.Random(suffix)
    whole = WHOLE[suffix](tmp_path / f"whole{suffix}").read_bytes()
    outcomes = set()
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 5, 20))):
            # half of the hits in the header, where the file's structure is
            data[rng.randrange(min(600, len(data)) if rng.random() < 0.5 else len(data))] = rng.randrange(256)
        path = written(tmp_path / f"hit{suffix}", bytes(data[: rng.choice((len(data), rng.randrange(1, len(data))))]))
        try:
            outcomes.add(read_video(path, [0, -1]).shape[0])
        except UnreadableVideoError:
            outcomes.add("error")
    assert outcomes == {2, "error"}


def test_title_that_is_not_utf8_does_not_matter(tmp_path: Path) -> None:
    data = h264(tmp_path / "a.mp4", num_frames=3).read_bytes()
    path = written(tmp_path / "a.mp4", data.replace(b"VideoHandler", b"Vid\xe9oHandler"))
    assert b"\xe9" in path.read_bytes()
    assert read_video(path).shape[0] == 3


def test_a_playlist_is_not_a_video(tmp_path: Path) -> None:
    write_video(tmp_path / "real.mp4", torch.rand(4, 3, 16, 16), 8)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile real.mp4\n")
    with pytest.raises(UnreadableVideoError, match="is a playlist"):
        open_video(tmp_path / "list.mp4")
