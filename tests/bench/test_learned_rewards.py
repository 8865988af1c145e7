"""The path from checkpoint to page for every learned reward, with small random weights in the official layouts."""

from pathlib import Path

import pytest
import torch

from rewardkit.bench.result import Estimate, Table
from rewardkit.bench.rewards.benchmark import benchmark_rewards
from rewardkit.bench.suites import RewardsSuite, VideoSet
from rewardkit.miniworld.clips import write_clips
from tests.rewards.learned import NAMES

PLUGIN = """
import sys

sys.path[:0] = {paths!r}
from tests.rewards.learned import model

{lines}
"""


@pytest.mark.slow
def test_every_learned_reward_goes_through_the_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    paths = [str(root), str(root / "benchmarks" / "parity")]
    lines = "\n".join(
        f"def reward_{n}():\n    return model({name!r})\n\n\nreward_{n}.card = reward_{n}().card\n"
        for n, name in enumerate(NAMES)
    )
    (tmp_path / "tiny.py").write_text(PLUGIN.format(paths=paths, lines=lines))
    write_clips(tmp_path / "clips", films=1)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(2)
    suite = RewardsSuite(
        rewards=tuple(f"tiny.py:reward_{number}" for number in range(len(NAMES))),
        videos=(VideoSet(name="clips", source="clips", prompts="clips/prompts.csv"),),
        defects=("blur", "wrong prompt"),
        resolutions=(0.5,),
        codecs=(38,),
        frames=("first:1",),
        most=2,
        device="cpu",
    )
    result = benchmark_rewards(suite, tmp_path / "out", lambda what, done, total, note: None)
    assert result.warnings == []
    (spread,) = [block for block in result.blocks() if isinstance(block, Table) and block.slug == "spread"]
    assert len(spread.rows) == len(NAMES)
    assert all(isinstance(cell, Estimate) and cell.count == 6 for row in spread.rows for cell in row[1:])
