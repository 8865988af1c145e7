from __future__ import annotations

from pathlib import Path

import pytest
from clips import KINDS


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session", params=sorted(KINDS))
def clip(request: pytest.FixtureRequest, clip_folder: Path) -> tuple[str, Path]:
    """Each of the twelve kinds of file: its name and path."""
    folder = clip_folder / request.param.replace(" ", "_")
    folder.mkdir()
    kind = KINDS[request.param]
    return request.param, kind.make(folder / f"clip{kind.suffix}")


@pytest.fixture(scope="session")
def h264_clip(clip_folder: Path) -> Path:
    """100 frames with a key frame every 12."""
    return KINDS["h264 with B-frames"].make(clip_folder / "h264.mp4")
