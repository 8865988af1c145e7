"""The suites that come with the package, cut short: nothing is needed beside them."""

from pathlib import Path

import pytest

from rewardkit.bench.backbones import benchmark_backbones
from rewardkit.bench.pages.outputs import write_outputs
from rewardkit.bench.result import Estimate, Forest, Result
from rewardkit.bench.rewards.benchmark import benchmark_rewards
from rewardkit.bench.suites import BackbonesSuite, RewardsSuite, read_suite


def quiet(what: str, done: int, total: int, note: str) -> None:
    """Shows nothing."""


@pytest.mark.slow
def test_rewards_of_the_mini_world_agree_with_its_truth(tmp_path: Path) -> None:
    short = {"defects": ["blur", "wrong prompt"], "frames": [], "codecs": [], "resolutions": [], "most": 4}
    suite = read_suite(RewardsSuite, None, {"rewards": ["miniworld", "technical"], "device": "cpu", **short})
    result = benchmark_rewards(suite, tmp_path, quiet)
    agreement = next(block for block in result.blocks() if isinstance(block, Forest))
    right = {row.label: row.estimate for row in agreement.rows}
    assert right["miniworld"].count == 72
    assert right["miniworld"].value > 0.95
    assert right["technical"].value < right["miniworld"].value  # it likes watermarks, and reads no prompt
    assert result.warnings == []


@pytest.mark.slow
def test_the_lora_that_comes_along_does_what_it_was_tuned_for(tmp_path: Path) -> None:
    suite = read_suite(BackbonesSuite, None, {"device": "cpu"})
    suite = suite.model_copy(update={"films": suite.films.model_copy(update={"each": 4, "film_seeds": (0,)})})
    result = benchmark_backbones(suite, tmp_path, quiet)
    means = next(block for block in result.blocks() if block.kind == "table")
    reward = {str(row[0]): row[1] for row in means.rows}
    assert isinstance(reward["base"], Estimate)
    assert isinstance(reward["fine-tuned"], Estimate)
    assert reward["fine-tuned"].value > reward["base"].value
    result.save(tmp_path)
    write_outputs(Result.read(tmp_path), tmp_path)
    assert (tmp_path / "report.html").stat().st_size > 100_000  # with films in it
