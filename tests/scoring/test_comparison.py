import json
import math
import random
import statistics

import numpy as np
import pytest

from rewardkit.errors import UsageError
from rewardkit.scoring.change import bootstrap_interval
from rewardkit.scoring.comparison import Comparison, compare
from rewardkit.scoring.decimals import decimals_for
from rewardkit.scoring.rows import PartScore, ScoreRow


def row(path, score, prompt=None, reward="technical", parts=None):
    failed = score is None
    return ScoreRow(
        key=f"{path}|{prompt}",
        path=path,
        prompt=prompt,
        prompt_source="none" if prompt is None else "manifest",
        reward=reward,
        score=score,
        parts={
            name: PartScore(score=value, per_frame=None, frame_index=[0], weights=None)
            for name, value in (parts or {}).items()
        },
        status="error" if failed else "ok",
        error="it broke" if failed else None,
    )


def rows(scores, folder="a", **rest):
    return [row(f"{folder}/{i}.mp4", score, prompt=f"prompt {i}", **rest) for i, score in enumerate(scores)]


# ---- numbers


def test_means_difference_and_win_rate_are_those_of_plain_arithmetic():
    before, after = [0.1, 0.2, 0.3, 0.9, 0.5], [0.2, 0.1, 0.3, 1.2, 0.6]
    total = compare(rows(before), rows(after, "b")).total
    assert total.mean_before == pytest.approx(statistics.mean(before))
    assert total.mean_after == pytest.approx(statistics.mean(after))
    assert total.difference == pytest.approx(sum(b - a for a, b in zip(before, after, strict=True)) / 5)
    assert (total.wins, total.ties, total.losses) == (3, 1, 1)
    assert total.win_rate == pytest.approx((3 + 0.5) / 5)


def test_interval_of_two_pairs_is_their_range():
    # resampled means are x, (x + y) / 2, y with chances 1/4, 1/2, 1/4
    total = compare(rows([0.0, 0.0]), rows([0.1, 0.3], "b")).total
    assert total.difference_interval == pytest.approx((0.1, 0.3))


def test_interval_of_zeros_and_ones_is_the_binomial_one():
    count, share = 40, 0.3
    values = np.array([1.0] * 12 + [0.0] * 28)
    mass = [math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(count + 1)]
    cumulative = np.cumsum(mass)
    exact = [int(np.searchsorted(cumulative, q)) / count for q in (0.025, 0.975)]
    # a quantile of 10,000 draws may land on the next attainable value
    assert bootstrap_interval(values, seed=1) == pytest.approx(exact, abs=1 / count + 1e-9)


def test_interval_agrees_with_the_normal_one_for_many_pairs():
    values = np.random.default_rng(0).normal(0.02, 0.1, size=2_000)
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    # 2 % of the standard error from 10,000 draws, and the skew of this sample
    assert bootstrap_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.08 * half)


def test_interval_equals_a_loop_over_resamples():
    values = np.random.default_rng(3).normal(size=7)
    draws = np.random.default_rng(5)
    means = sorted(sum(values[i] for i in draws.integers(7, size=7)) / 7 for _ in range(400))
    low, high = (np.interp(q * 399, range(400), means) for q in (0.025, 0.975))
    assert bootstrap_interval(values, seed=5, resamples=400) == pytest.approx((low, high))


def test_interval_does_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    values = np.random.default_rng(3).normal(size=50)
    whole = bootstrap_interval(values, resamples=999)
    monkeypatch.setattr("rewardkit.scoring.change._DRAWN_AT_ONCE", 120)
    assert bootstrap_interval(values, resamples=999) == whole


def test_interval_covers_the_truth_about_as_often_as_it_says():
    source = np.random.default_rng(8)
    covered = 0
    for trial in range(400):
        low, high = bootstrap_interval(source.normal(0.1, 1, size=30), seed=trial, resamples=500)
        covered += low <= 0.1 <= high
    # percentile intervals of 30 values reach about 0.935; 400 trials have a deviation of 0.012
    assert 0.895 <= covered / 400 <= 0.975


def test_too_small_a_nominal_level_would_fail_the_coverage_test():
    source = np.random.default_rng(8)
    covered = 0
    for trial in range(400):
        values = source.normal(0.1, 1, size=30)
        low, high = bootstrap_interval(values, seed=trial, resamples=500)
        middle = (low + high) / 2
        covered += abs(middle - 0.1) <= (high - low) / 4
    assert covered / 400 < 0.895


def test_one_pair_has_no_interval_and_the_verdict_says_so():
    result = compare(rows([0.1]), rows([0.2], "b"))
    assert result.total.difference_interval is None
    assert result.total.win_rate_interval is None
    assert "one pair gives no interval" in result.verdict


def test_equal_scores_are_all_ties_and_no_change():
    result = compare(rows([0.1, 0.5, 0.7]), rows([0.1, 0.5, 0.7], "b"))
    assert (result.total.ties, result.total.win_rate, result.total.difference) == (3, 0.5, 0)
    assert result.total.difference_interval == (0, 0)
    assert result.verdict.endswith("no score changed")
    assert result.worst == result.best == []


def test_same_seed_same_result_whatever_the_order_of_rows():
    before, after = rows(np.random.default_rng(0).random(20)), rows(np.random.default_rng(1).random(20), "b")
    first = compare(before, after, seed=4)
    shuffled = random.Random(0)
    shuffled.shuffle(before)
    shuffled.shuffle(after)
    assert compare(before, after, seed=4) == first
    assert compare(before, after, seed=5).total.difference_interval != first.total.difference_interval


# ---- what it says


def test_verdict_claims_a_rise_when_the_interval_excludes_zero():
    after = [i / 10 + 0.05 + i / 100 for i in range(8)]
    result = compare(rows([i / 10 for i in range(8)]), rows(after, "b"))
    assert result.total.outcome == "rose"
    assert result.verdict.startswith("after beats before on technical in 100 % of 8 pairs (95 %: 100 % to 100 %)")
    assert result.verdict.endswith("a rise")


def test_verdict_claims_a_fall_the_other_way_round():
    result = compare(rows([i + 0.5 for i in range(8)]), rows(range(8), "b"))
    assert result.total.outcome == "fell"
    assert result.verdict.endswith("mean change -0.50 (-0.50 to -0.50): a fall")


def test_verdict_claims_nothing_when_the_interval_includes_zero():
    result = compare(rows([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), rows([0.2, 0.1, 0.5, 0.3, 0.6, 0.5], "b"))
    assert result.total.outcome == "unclear"
    assert result.verdict.endswith("not distinguishable from no change")


def test_verdict_claims_nothing_from_five_pairs_that_all_rose():
    result = compare(rows([0.1] * 5), rows([0.2, 0.3, 0.4, 0.5, 0.6], "b"))
    assert result.total.difference_interval[0] > 0
    assert result.total.outcome == "unclear"
    assert "too few pairs to rule out chance" in result.verdict


def test_verdict_counts_ties():
    result = compare(rows([0.1, 0.2]), rows([0.1, 0.3], "b"))
    assert "75 % of 2 pairs" in result.verdict
    assert "1 tie counted half" in result.verdict


def test_a_part_that_fell_is_in_the_verdict():
    total = "0.7*up+0.3*down"
    before = [row(f"{i}.mp4", 0.1, f"p{i}", total, {"up": 0.1, "down": 0.5}) for i in range(9)]
    after = [row(f"{i}.mp4", 0.2 + i / 50, f"p{i}", total, {"up": 0.6, "down": 0.3}) for i in range(9)]
    result = compare(before, after)
    assert [(part.name, part.outcome) for part in result.parts] == [("up", "rose"), ("down", "fell")]
    assert result.parts[1].difference == pytest.approx(-0.2)
    assert "fallen: down (-0.20" in result.verdict


def test_only_parts_that_every_row_has_are_compared():
    before = [row("0.mp4", 0.1, "p", "s", {"x": 0.1, "y": 0.2}), row("1.mp4", 0.1, "q", "s", {"x": 0.1})]
    after = [row("0.mp4", 0.1, "p", "s", {"x": 0.2, "y": 0.2}), row("1.mp4", 0.1, "q", "s", {"x": 0.2})]
    assert [part.name for part in compare(before, after).parts] == ["x"]


def test_examples_are_the_five_largest_falls_and_rises_in_order():
    change = [0.3, -0.1, 0.2, -0.4, -0.2, -0.3, 0.1, 0.0, -0.5, -0.6]
    result = compare(rows([1.0] * 10), rows([1 + c for c in change], "b"))
    assert [pair.difference for pair in result.worst] == pytest.approx([-0.6, -0.5, -0.4, -0.3, -0.2])
    assert [pair.prompt for pair in result.best] == ["prompt 0", "prompt 2", "prompt 6"]
    worst = result.worst[0]
    assert (worst.before_path, worst.after_path, worst.before, worst.after) == (
        "a/9.mp4",
        "b/9.mp4",
        1.0,
        0.4,
    )


def test_json_comes_back_equal():
    result = compare(rows([0.1, 0.2]), rows([0.3, 0.1], "b"))
    assert Comparison.model_validate_json(result.model_dump_json()) == result
    assert json.loads(result.model_dump_json())["total"]["pairs"] == 2


def test_file_names_that_are_no_unicode_can_be_written():
    result = compare([row("a/\udcff.mp4", 1.0, "p")], [row("b/\udcff.mp4", 2.0, "p")])
    assert json.loads(json.dumps(result.model_dump()))["best"][0]["after_path"] == "b/\udcff.mp4"


# ---- matching


def test_rows_are_matched_by_prompt_not_by_file_name_or_place():
    before = [row("a/x.mp4", 1.0, "cat"), row("a/y.mp4", 2.0, "dog")]
    after = [row("b/1.mp4", 2.5, "dog"), row("b/2.mp4", 1.5, "cat")]
    result = compare(before, after)
    assert result.paired_by == "prompt"
    assert result.total.difference_interval == (0.5, 0.5)


def test_a_prompt_that_occurs_twice_is_matched_by_file_name_too():
    before = [row("a/0.mp4", 1.0, "cat"), row("a/1.mp4", 5.0, "cat"), row("a/2.mp4", 3.0, "dog")]
    after = [row("b/1.mp4", 5.5, "cat"), row("b/0.mp4", 1.5, "cat"), row("b/9.mp4", 3.5, "dog")]
    result = compare(before, after)
    assert result.paired_by == "prompt or prompt and file name"
    assert result.total.difference_interval == (0.5, 0.5)


def test_rows_without_prompts_are_matched_by_file_name():
    before = [row("a/0.mp4", 1.0), row("a/1.mp4", 5.0, "  ")]
    after = [row("b/1.mp4", 5.5), row("b/0.mp4", 1.5)]
    result = compare(before, after)
    assert result.paired_by == "file name"
    assert result.total.difference_interval == (0.5, 0.5)


@pytest.mark.parametrize(("prompt", "named"), [("cat", "the prompt 'cat'"), (None, "no prompt")])
def test_rows_that_cannot_be_told_apart_are_a_usage_error(prompt, named):
    before = [row("a/s0/1.mp4", 1.0, prompt), row("a/s1/1.mp4", 2.0, prompt)]
    with pytest.raises(UsageError, match=f"'a/s0/1.mp4' and 'a/s1/1.mp4' both have {named}.*rename"):
        compare(before, [row("b/1.mp4", 1.0, prompt)])


def test_unpaired_and_failed_rows_are_counted_and_named():
    before = [
        *rows([0.1, 0.2, None, None]),
        row("a/only.mp4", 0.5, "only before"),
        row("a/bad.mp4", None, "gone"),
    ]
    after = [*rows([0.2, None, 0.3, None], "b"), row("b/new.mp4", 0.5, "only after")]
    result = compare(before, after)
    assert result.total.pairs == 1
    assert result.failed_pairs == 3
    assert (result.before.rows, result.before.failed, result.before.unpaired) == (6, 3, 2)
    assert (result.after.rows, result.after.failed, result.after.unpaired) == (5, 2, 1)
    assert result.pairing == (
        "1 pair, matched by prompt; left out: 2 rows of before without a partner, "
        "1 row of after without a partner, 3 pairs with a failed side"
    )


def test_nothing_left_out_is_said_too():
    assert compare(rows([0.1]), rows([0.2])).pairing == "1 pair, matched by prompt; no row was left out"


def test_a_score_that_is_not_finite_counts_as_failed():
    result = compare(rows([0.1, float("nan")]), rows([0.2, 0.3], "b"))
    assert (result.total.pairs, result.before.failed, result.failed_pairs) == (1, 1, 1)


def test_no_common_prompt_shows_an_example_of_each_side():
    with pytest.raises(UsageError, match=r"before has the prompt 'cat'.*after has the file name '1\.mp4'"):
        compare([row("a/1.mp4", 1.0, "cat")], [row("b/1.mp4", 1.0)])


def test_pairs_without_two_scores_are_a_usage_error():
    with pytest.raises(UsageError, match="all 2 pairs have a failed side"):
        compare(rows([0.1, None]), rows([None, 0.1]))


def test_different_rewards_are_a_usage_error_naming_both():
    with pytest.raises(UsageError, match=r"'technical', after with 'hpsv2\.1'"):
        compare(rows([0.1]), rows([0.1], reward="hpsv2.1"))


@pytest.mark.parametrize(("before", "after", "empty"), [([], [0.1], "before"), ([0.1], [], "after")])
def test_an_empty_side_is_a_usage_error(before, after, empty):
    with pytest.raises(UsageError, match=f"{empty} has none"):
        compare(rows(before), rows(after))


def test_no_resamples_is_a_usage_error():
    with pytest.raises(UsageError, match="at least 1 resample"):
        compare(rows([0.1]), rows([0.1]), resamples=0)


@pytest.mark.parametrize(
    ("size", "decimals"), [(0.3, 3), (0.002, 5), (1.0, 2), (-42, 1), (500, 0), (5e6, 0), (0, 3), (1e-30, 9)]
)
def test_decimals_show_three_digits(size, decimals):
    assert decimals_for(size) == decimals
