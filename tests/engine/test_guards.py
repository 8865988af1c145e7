"""Guards see what the trained reward cannot, and go back to the best moment that nothing was wrong with."""

import pytest
import torch

from rewardkit.engine.guards import GuardSettings, Look, diversity, faults, judge, means, motion, saturated


def look(step: int, **changes: object) -> Look:
    facts = {
        "reward": 0.5, "held_out": {"judge": 0.5}, "error": {"judge": 0.01, "trained": 0.01},
        "motion": 0.1, "diversity": 0.2, "saturated": 0.01, "lora_norm": 1.0,
    }  # fmt: skip
    return Look.model_validate(facts | {"step": step} | changes)


def test_nothing_is_wrong_with_a_training_that_goes_well() -> None:
    looks = [look(0), look(5, reward=0.6, held_out={"judge": 0.55}), look(10, reward=0.7, held_out={"judge": 0.6})]
    assert judge(looks, GuardSettings()).model_dump() == {"wrong": [], "best": 10}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"motion": 0.07}, "motion fell to 70% of the base model's"),
        ({"diversity": 0.08}, "films of one prompt grew alike: 40%"),
        ({"saturated": 0.2}, "20% of pixels are black or white, 1%"),
        ({"reward": 0.9, "held_out": {"judge": 0.47}}, "judge fell from 0.5 at step 0 to 0.47 while the reward rose"),
    ],
)
def test_each_bound_is_told_in_words_and_the_best_step_is_one_before(change: dict[str, object], words: str) -> None:
    looks = [look(0), look(5, reward=0.6, held_out={"judge": 0.5}), look(10, **({"reward": 0.7} | change))]
    verdict = judge(looks, GuardSettings())
    assert len(verdict.wrong) == 1
    assert words in verdict.wrong[0]
    assert verdict.best in (0, 5)


def test_a_held_out_reward_may_fall_with_the_trained_one_and_within_its_error() -> None:
    settings = GuardSettings()
    assert not faults([look(0), look(5, reward=0.4, held_out={"judge": 0.3})], settings)
    assert not faults([look(0), look(5, reward=0.9, held_out={"judge": 0.485})], settings)


def test_the_fall_is_counted_from_the_best_so_far_and_not_from_the_base() -> None:
    looks = [look(0), look(5, reward=0.7, held_out={"judge": 0.8}), look(10, reward=0.9, held_out={"judge": 0.6})]
    verdict = judge(looks, GuardSettings())
    assert "fell from 0.8 at step 5" in verdict.wrong[0]
    assert verdict.best == 5


def test_patience_waits_for_several_bad_looks_in_a_row() -> None:
    bad = {"motion": 0.01}
    settings = GuardSettings(patience=2)
    assert not judge([look(0), look(5, **bad)], settings).wrong
    assert not judge([look(0), look(5, **bad), look(10), look(15, **bad)], settings).wrong
    assert judge([look(0), look(5, **bad), look(10, **bad)], settings).wrong


def test_measures_of_films() -> None:
    still = torch.rand(1, 1, 3, 4, 5).expand(4, 6, 3, 4, 5)
    assert motion(still) == 0
    assert diversity(still, seeds=2) == 0
    steps = torch.arange(6.0).view(1, 6, 1, 1, 1).expand(2, 6, 3, 4, 5) / 10
    assert motion(steps) == pytest.approx(0.1)
    assert motion(steps[:, :1]) == 0
    pair = torch.stack([torch.zeros(6, 3, 4, 5), torch.full((6, 3, 4, 5), 0.25)])
    assert diversity(pair, seeds=2) == pytest.approx(0.25)
    assert saturated(pair) == pytest.approx(0.5)


def test_pairs_are_made_within_a_prompt_only() -> None:
    a, b = torch.zeros(1, 2, 3, 4, 4), torch.ones(1, 2, 3, 4, 4)
    assert diversity(torch.cat([a, a, b, b]), seeds=2) == 0
    assert diversity(torch.cat([a, b, a, b]), seeds=2) == 1


def test_means_come_with_their_standard_errors() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    mean, error = means({"a": values})
    assert mean["a"] == 2.5
    assert error["a"] == pytest.approx(values.std().item() / 2)
