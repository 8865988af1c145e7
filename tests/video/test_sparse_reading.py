"""What reading a few frames costs, and what happens when a file's own list of key frames is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from av.video.frame import VideoFrame
from clips import KINDS, h264, number_of

from rewardkit.errors import UnreadableVideoError
from rewardkit.types import Frames
from rewardkit.video import container, open_video, read_video
from rewardkit.video.stream import Decoder
from rewardkit.video.timeline import Timeline, survey


def numbers(frames: Frames) -> list[int]:
    return [number_of(picture) for picture in frames.permute(0, 2, 3, 1).numpy()]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Fills with the timestamp of every frame that is decoded."""
    seen: list[int | None] = []
    frames = Decoder.frames

    def counting(self: Decoder, sound_from: float) -> Iterator[VideoFrame]:
        for frame in frames(self, sound_from):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(Decoder, "frames", counting)
    return seen


def test_short_gops_are_not_decoded_in_full(h264_clip: Path, decoded: list[int | None]) -> None:
    with open_video(h264_clip) as video:
        assert numbers(video.read([90, 30])) == [90, 30]
    # frame 0 to know the size; 24 to 30; 84 to 90
    assert len(decoded) == 1 + 7 + 7


def test_one_long_gop_is_decoded_up_to_the_last_wanted_frame(tmp_path: Path, decoded: list[int | None]) -> None:
    clip = h264(tmp_path / "long.mp4", ":keyint=250")
    with open_video(clip) as video:
        assert numbers(video.read([90, 30])) == [90, 30]
    assert len(decoded) == 91


def test_reading_on_does_not_decode_twice(h264_clip: Path, decoded: list[int | None]) -> None:
    with open_video(h264_clip) as video:
        for number in range(30):
            video.read([number])
    assert len(decoded) == 30


def test_lying_key_frame_table_does_not_give_wrong_frames(h264_clip: Path, tmp_path: Path) -> None:
    data = bytearray(h264_clip.read_bytes())
    entries = data.index(b"stss") + 12
    for entry in range(1, 8):  # the first stays: samples count from 1
        data[entries + 4 * entry : entries + 4 * entry + 4] = (12 * entry + 6).to_bytes(4)
    (tmp_path / "lie.mp4").write_bytes(data)
    index = [95, 20, 7, 44, 60, 61, 20]
    with open_video(tmp_path / "lie.mp4") as video:
        assert numbers(video.read(index)) == index


@pytest.mark.parametrize("wrong", ["one frame too many", "one frame too few"])
def test_decoding_wins_over_the_list_of_packets(h264_clip: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    def misled(path: Path, reopen: Callable[[], Decoder], max_frames: int | None) -> Timeline:
        right = survey(path, reopen, max_frames)
        times = (*right.pts[:50], *((right.pts[49] + 1,) if wrong == "one frame too many" else ()))  # type: ignore[operator]
        rest = right.pts[50:] if wrong == "one frame too many" else right.pts[51:]
        return replace(right, pts=(*times, *rest), keys=(), key_times=())

    monkeypatch.setattr(container, "survey", misled)
    with open_video(h264_clip) as video:
        assert video.info.num_frames != 100
        assert numbers(video.read([60, 10, 98])) == [60, 10, 98]
        assert video.info.num_frames == 100


def test_frames_past_the_end_are_an_error(h264_clip: Path) -> None:
    with open_video(h264_clip) as video, pytest.raises(UnreadableVideoError, match="no frame 100: it has 100"):
        video.read([3, 100])


def test_empty_index_gives_no_frames(h264_clip: Path) -> None:
    with open_video(h264_clip) as video:
        assert video.read([]).shape == (0, 3, 96, 128)


def test_read_video_counts_negative_frames_from_the_end(h264_clip: Path) -> None:
    video = read_video(h264_clip, [-1, 0, -100])
    assert video.dtype == torch.float32
    assert 0 <= video.min() < video.max() <= 1
    assert numbers(video.mul(255).round().to(torch.uint8)) == [99, 0, 0]


def test_read_video_without_frames_reads_all(h264_clip: Path) -> None:
    assert numbers(read_video(h264_clip).mul(255).round().to(torch.uint8)) == list(range(100))


def test_fps_is_the_mean_rate(h264_clip: Path, clip_folder: Path) -> None:
    with open_video(h264_clip) as video:
        assert video.info.fps == 25
    with open_video(KINDS["GIF"].make(clip_folder / "fps.gif")) as video:
        assert video.info.fps == pytest.approx(25)


def test_several_decoder_threads_give_the_same_frames(h264_clip: Path) -> None:
    with open_video(h264_clip) as one, open_video(h264_clip, decoder_threads=4) as four:
        index = [80, 3, 41, 99, 98]
        assert torch.equal(one.read(index), four.read(index))


def test_many_threads_each_with_its_own_file_get_right_frames(h264_clip: Path) -> None:
    def read(number: int) -> list[int]:
        with open_video(h264_clip) as video:
            return numbers(video.read([number, 99 - number]))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(40))) == [[number, 99 - number] for number in range(40)]
