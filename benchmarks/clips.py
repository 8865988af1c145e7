"""The real clips that benchmarks run on."""

from __future__ import annotations

import sys
from pathlib import Path

from recording import ROOT
from torch import Tensor

from rewardkit import Uniform, open_video
from rewardkit.video import VIDEO_SUFFIXES

FOLDERS = [ROOT.parent / "shared/data" / name for name in ("instructvideo", "wan21_base", "wan21_tuned")]


def find_clips(folders: list[Path]) -> list[Path]:
    """All video files of the folders, sorted; stops the script where there are none."""
    found = sorted(path for folder in folders for path in folder.iterdir() if path.suffix in VIDEO_SUFFIXES)
    if not found:
        sys.exit(f"no clips in {', '.join(map(str, folders))}")
    return found


def clip_name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def sample_frames(path: Path, count: int) -> Tensor:
    """`count` frames from the middles of as many equal stretches, (frame, 3, height, width) in [0, 1]."""
    with open_video(path) as video:
        return video.read(Uniform(count).indices(video.info.num_frames).tolist()).float() / 255
