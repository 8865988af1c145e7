from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clips import numbered
from torch import Tensor

from rewardkit.errors import BadInputError, OutputError, UsageError
from rewardkit.video import open_video, read_video, write_video


def film(num_frames: int = 6, height: int = 64, width: int = 96) -> Tensor:
    """Smooth and colourful: (frame, 3, height, width), float in [0, 1]."""
    t = torch.arange(num_frames).view(-1, 1, 1, 1)
    colour = torch.arange(3).view(1, -1, 1, 1)
    y, x = torch.arange(height).view(1, 1, -1, 1), torch.arange(width).view(1, 1, 1, -1)
    return 0.5 + 0.45 * torch.sin((x + 2 * y) / 20 + 2 * colour + t / 3)


def decibels(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio of values in [0, 1]."""
    return float(-10 * (a - b).square().mean().log10())


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv"])
@pytest.mark.parametrize(("height", "width"), [(64, 96), (63, 96), (64, 95), (31, 33)])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str, height: int, width: int) -> None:
    video = film(6, height, width)
    write_video(tmp_path / f"a{suffix}", video, fps=12.5)
    read = read_video(tmp_path / f"a{suffix}")
    assert read.shape == video.shape
    # halved colour (even sizes) leaves 33 dB of this colourful film, full colour (odd sizes) 41; mistakes leave < 31
    assert decibels(read, video) > (38 if height % 2 or width % 2 else 31)
    with open_video(tmp_path / f"a{suffix}") as file:
        assert file.info.fps == 12.5


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_bound_on_the_round_trip_would_notice_a_shift(axis: int) -> None:
    assert decibels(film().roll(1, axis), film()) < 31


def test_bound_on_the_round_trip_would_notice_the_wrong_colour_matrix(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", film(), fps=8)
    with av.open(tmp_path / "a.mp4") as container:
        pictures = [frame.to_ndarray(format="rgb24", src_colorspace="ITU601") for frame in container.decode(video=0)]
    misread = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    assert decibels(misread, film()) < 31


def test_file_is_tagged_with_the_colours_it_is_written_in(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", film(), fps=8)
    with av.open(tmp_path / "a.mp4") as container:
        context = container.streams.video[0].codec_context
        tags = context.colorspace, context.color_primaries, context.color_trc, context.color_range
        assert (context.pix_fmt, *tags) == ("yuv420p", 1, 1, 1, 1)


def test_uint8_and_float_write_the_same_file(tmp_path: Path) -> None:
    whole = torch.from_numpy(numbered(77)).permute(2, 0, 1)[None]
    write_video(tmp_path / "a.mp4", whole, fps=8)
    write_video(tmp_path / "b.mp4", whole / 255, fps=8)
    assert torch.equal(read_video(tmp_path / "a.mp4"), read_video(tmp_path / "b.mp4"))


def test_video_with_gradient_is_written(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", film().requires_grad_(), fps=8)
    assert read_video(tmp_path / "a.mp4").shape == (6, 3, 64, 96)


def test_lower_crf_is_closer(tmp_path: Path) -> None:
    grey = torch.rand((6, 1, 64, 96), generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    for crf in (1, 40):
        write_video(tmp_path / f"{crf}.mp4", grey, fps=8, crf=crf)
    fine, coarse = (decibels(read_video(tmp_path / f"{crf}.mp4"), grey) for crf in (1, 40))
    assert fine > coarse + 5


@pytest.mark.parametrize(
    ("video", "sentence"),
    [
        (torch.zeros(3, 8, 8), r"got shape \(3, 8, 8\)"),
        (torch.zeros(2, 8, 8, 3), r"got shape \(2, 8, 8, 3\)"),
        (torch.zeros(0, 3, 8, 8), r"got shape \(0, 3, 8, 8\)"),
        (torch.full((2, 3, 8, 8), 255.0), "has values from 255 to 255"),
        (torch.full((2, 3, 8, 8), torch.nan), "has values from nan to nan"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int32), "holds int32"),
    ],
)
def test_video_that_cannot_be_written_is_an_error(tmp_path: Path, video: Tensor, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        write_video(tmp_path / "a.mp4", video, fps=8)
    assert list(tmp_path.iterdir()) == []


def test_an_array_keeps_every_level(tmp_path: Path) -> None:
    video = film(6, 31, 33)
    write_video(tmp_path / "a.npy", video, fps=8)
    assert torch.equal(read_video(tmp_path / "a.npy"), (video * 255).round() / 255)


@pytest.mark.parametrize(
    ("name", "fps", "crf", "sentence"),
    [
        ("a.gif", 8, 18, r"writes \.mp4, \.m4v, \.mov, \.mkv, \.npy: got '.*a\.gif'"),
        ("a.mp4", 0, 18, "got 0"),
        ("a.mp4", float("nan"), 18, "got nan"),
        ("a.mp4", 8, 52, "got 52"),
    ],
)
def test_call_that_makes_no_sense_is_an_error(tmp_path: Path, name: str, fps: float, crf: int, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        write_video(tmp_path / name, film(), fps=fps, crf=crf)


def test_folders_that_do_not_exist_are_made(tmp_path: Path) -> None:
    write_video(tmp_path / "new" / "deep" / "a.mp4", film(2), fps=8)
    assert len(read_video(tmp_path / "new" / "deep" / "a.mp4")) == 2


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*a.mp4: (File exists|Not a directory)"):
        write_video(tmp_path / "file" / "a.mp4", film(2), fps=8)


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mp4", film(2), fps=8)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rewardkit.video.write.to_uint8", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        write_video(tmp_path / "a.mp4", film(5), fps=8)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    monkeypatch.undo()
    assert read_video(tmp_path / "a.mp4").shape[0] == 2
