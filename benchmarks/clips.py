"""The clips that benchmarks run on, and where their results come from."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import PIL
import torch
from torch import Tensor

import rewardkit
from rewardkit.video import VIDEO_SUFFIXES, open_video, read_video

ROOT = Path(__file__).resolve().parent.parent
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
        total = video.info.num_frames
    return read_video(path, [int((position + 0.5) * total / count) for position in range(count)])


def provenance() -> dict[str, str]:
    """What a recorded number needs beside it: command, commit, versions, device."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    code = ["rewardkit/rewards", "rewardkit/pixels.py", "benchmarks/defects.py", "benchmarks/*technical*.py"]
    dirty = subprocess.run([*git, "status", "--short", "--", *code], capture_output=True, text=True, check=True)
    return {
        "command": " ".join(["python", *sys.argv]),
        "commit": commit.strip() + (" with changes" if dirty.stdout else ""),
        "rewardkit": rewardkit.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pillow": PIL.__version__,
        "device": f"cpu, {platform.machine()}",
    }
