"""Frames that carry their number, in twelve kinds of file: the frame asked for is the frame that comes."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from clips import HEIGHT, KINDS, WIDTH, Picture, number_of

from rewardkit.video import open_video


def sequential_numbers(path: Path, quarter_turns: int) -> list[int]:
    """The numbers that PyAV's own loop over the whole file shows."""
    with av.open(path) as container:
        frames = container.decode(video=0)
        return [number_of(np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns)) for frame in frames]


def random_asks(num_frames: int, seed: int) -> list[list[int]]:
    """40 lists of frames: single ones, sorted, unsorted, with repeats, from one file after the other."""
    rng = random.Random(seed)
    asks = []
    for number in range(40):
        index = [rng.randrange(num_frames) for _ in range((1, 4, 6, 5)[number % 4])]
        asks.append(sorted(index) if number % 4 == 1 else [*index, index[0]] if number % 4 == 3 else index)
    return asks


def test_clip_has_the_feature_it_is_named_after(clip: tuple[str, Path]) -> None:
    name, path = clip
    assert KINDS[name].has_feature(path)


def test_every_frame_asked_for_is_the_frame_that_comes(clip: tuple[str, Path]) -> None:
    name, path = clip
    truth = sequential_numbers(path, KINDS[name].quarter_turns)
    wrong = []
    with open_video(path) as video:
        for index in random_asks(len(truth), seed=len(name)):
            pictures: list[Picture] = list(video.read(index).permute(0, 2, 3, 1).numpy())
            wrong += [i for i, picture in zip(index, pictures, strict=True) if number_of(picture) != truth[i]]
    assert wrong == []


def test_info_counts_the_frames_that_sequential_decoding_shows(clip: tuple[str, Path]) -> None:
    name, path = clip
    truth = sequential_numbers(path, KINDS[name].quarter_turns)
    with open_video(path) as video:
        assert (video.info.num_frames, video.info.width, video.info.height) == (len(truth), WIDTH, HEIGHT)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
def test_sequential_numbers_agree_with_the_ffmpeg_program(clip: tuple[str, Path]) -> None:
    name, path = clip
    command = [
        "ffmpeg",
        "-v",
        "quiet",
        "-i",
        str(path),
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    pixels = subprocess.run(command, capture_output=True, check=True).stdout
    shown = np.frombuffer(pixels, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    assert [number_of(picture) for picture in shown] == sequential_numbers(path, KINDS[name].quarter_turns)


def test_frames_equal_those_of_sequential_decoding_bit_for_bit(clip: tuple[str, Path]) -> None:
    name, path = clip
    with av.open(path) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with open_video(path) as video:
        index = [3, len(frames) - 1, len(frames) // 2]
        read = video.read(index).permute(0, 2, 3, 1).numpy()
    expected = [np.rot90(frames[number], KINDS[name].quarter_turns) for number in index]
    np.testing.assert_array_equal(read, np.stack(expected))


def test_bar_code_check_notices_a_frame_off_by_one(h264_clip: Path) -> None:
    with open_video(h264_clip) as video:
        (picture,) = video.read([41]).permute(0, 2, 3, 1).numpy()
    assert number_of(picture) == 41 != 42
