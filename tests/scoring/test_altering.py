"""Videos scored otherwise than they are: as if the altered video lay on disk, and never mixed with others' rows."""

from pathlib import Path

import numpy as np
import pytest
import torch

import rewardkit as rk
from rewardkit.errors import OutputError
from rewardkit.scoring.altering import Alteration
from rewardkit.types import Frames


class BackwardsAndDark(Alteration):
    """The last frame first, each half as bright."""

    spec = "backwards and dark"

    def order(self, num_frames: int) -> torch.Tensor:
        return torch.arange(num_frames).flip(0)

    def pictures(self, frames: Frames) -> Frames:
        return frames // 2


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(3):
        random = np.random.default_rng(number)
        np.save(folder / f"{number}.npy", random.integers(0, 256, (9, 3, 8, 10), dtype=np.uint8))
    return folder


@pytest.mark.parametrize(
    "reward", ["tests.judges:Brightness[frames=uniform:4]", "tests.judges:LastMinusFirst", "tests.judges:Redness"]
)
def test_scores_are_those_of_altered_files(reward: str, films: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in films.iterdir():
        np.save(changed / path.name, np.load(path)[::-1] // 2)
    altered = rk.score_folder(films, reward, alter=BackwardsAndDark(), device="cpu")
    on_disk = rk.score_folder(changed, reward, device="cpu")
    assert [row.score for row in altered] == [row.score for row in on_disk]
    assert [row.frame_index for row in altered] == [row.frame_index for row in on_disk]


def test_altered_rows_are_not_mixed_with_others(films: Path, tmp_path: Path) -> None:
    rk.score_folder(films, "tests.judges:Brightness", out=tmp_path / "rows.jsonl", device="cpu")
    with pytest.raises(OutputError, match="made by other settings"):
        rk.score_folder(
            films, "tests.judges:Brightness", out=tmp_path / "rows.jsonl", alter=BackwardsAndDark(), device="cpu"
        )
    table = rk.score_folder(
        films, "tests.judges:Brightness", out=tmp_path / "b.jsonl", alter=BackwardsAndDark(), device="cpu"
    )
    assert table.header is not None
    assert table.header.configuration["alter"] == "backwards and dark"
