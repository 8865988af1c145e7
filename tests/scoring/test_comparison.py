import json
import random
import statistics

import numpy as np
import pytest

from rewardkit.errors import UsageError
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
    # resampled means are x, (x + y) / 2, y
    total = compare(rows([0.0, 0.0]), rows([0.1, 0.3], "b")).total
    assert total.difference_interval == pytest.approx((0.1, 0.3))


def test_relative_change_is_a_share_of_the_mean_before():
    assert compare(rows([0.0, 2.0]), rows([0.5, 1.0], "b")).total.relative == pytest.approx(-0.25)
    assert compare(rows([-1.0, -3.0]), rows([-2.0, -4.0], "b")).total.relative == pytest.approx(-0.5)


@pytest.mark.parametrize(("before", "after"), [([1.0, -0.5], [1.0, 0.5]), ([0.2, 0.3], [0.2, -0.3]), ([0, 0], [1, 1])])
def test_scores_of_both_signs_or_none_have_no_relative_change(before, after):
    assert compare(rows(before), rows(after, "b")).total.relative is None


def test_one_pair_has_no_interval_and_the_verdict_says_so():
    result = compare(rows([0.1]), rows([0.2], "b"))
    assert result.total.difference_interval is None
    assert result.total.win_rate_interval is None
    assert result.verdict == "after cannot be told from before on technical: one prompt gives no interval"


def test_equal_scores_are_all_ties_and_no_change():
    result = compare(rows([0.1, 0.5, 0.7]), rows([0.1, 0.5, 0.7], "b"))
    assert (result.total.ties, result.total.win_rate, result.total.difference) == (3, 0.5, 0)
    assert result.total.difference_interval == (0, 0)
    assert result.verdict == "after and before score the same on technical in 3 prompts"
    assert result.worst == result.best == result.look_at == []


def test_same_seed_same_result_whatever_the_order_of_rows():
    before, after = rows(np.random.default_rng(0).random(20)), rows(np.random.default_rng(1).random(20), "b")
    first = compare(before, after, seed=4)
    shuffled = random.Random(0)
    shuffled.shuffle(before)
    shuffled.shuffle(after)
    assert compare(before, after, seed=4) == first
    assert compare(before, after, seed=5).total.difference_interval != first.total.difference_interval


# ---- what it says


def test_verdict_says_that_one_beats_the_other_by_name():
    after = [i / 10 + 0.05 + i / 100 for i in range(8)]
    result = compare(rows([i / 10 for i in range(8)]), rows(after, "b"), names=("base", "tuned"))
    assert result.total.outcome == "rose"
    # Wilson: 8 / (8 + 1.96**2) = 0.68
    assert result.verdict == "tuned beats base on technical in 100 % of 8 prompts (95 %: 68 to 100 %)"
    assert result.look_at == []


def test_verdict_says_that_one_loses_to_the_other_and_where():
    before = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    after = [0.5, 1.4, 2.3, 3.2, 4.1, 5.0, 5.9, 8.1, 9.0]
    result = compare(rows(before), rows(after, "b"), names=("base", "tuned"))
    assert result.total.outcome == "fell"
    # (18.84 -+ 1.96 * sqrt(5 - 1 + 3.415)) / 25.68 of 7.5 losses in 9
    assert result.verdict == (
        "tuned loses to base on technical in 83 % of 9 prompts (95 %: 53 to 94 %; 1 tie counted half); "
        "look at these five: 6.mp4, 5.mp4, 4.mp4, 3.mp4, 2.mp4"
    )
    assert result.look_at == ["b/6.mp4", "b/5.mp4", "b/4.mp4", "b/3.mp4", "b/2.mp4"]


def test_verdict_claims_nothing_when_the_interval_includes_zero():
    result = compare(rows([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), rows([0.2, 0.1, 0.5, 0.3, 0.6, 0.5], "b"))
    assert result.total.outcome == "unclear"
    assert result.verdict == (
        "after cannot be told from before on technical: it wins in 50 % of 6 prompts (95 %: 19 to 81 %)"
    )


def test_verdict_says_that_a_mean_rose_without_a_majority():
    change = [5.0] * 10 + [-0.1] * 10
    result = compare(rows([1.0] * 20), rows([1 + c for c in change], "b"))
    assert result.total.outcome == "rose"
    assert result.verdict == (
        "after beats before on technical only on average (+2.5): it wins in 50 % of 20 prompts (95 %: 30 to 70 %)"
    )


def test_verdict_claims_no_win_from_a_majority_without_a_clear_mean():
    result = compare(rows([0.0] * 20), rows([0.1] * 18 + [-1.0] * 2, "b"))
    assert result.verdict == (
        "after cannot be told from before on technical: it wins in 90 % of 20 prompts (95 %: 70 to 97 %), "
        "but on average may not differ (-0.010)"
    )


def test_verdict_claims_nothing_from_five_pairs_that_all_rose():
    result = compare(rows([0.1] * 5), rows([0.2, 0.3, 0.4, 0.5, 0.6], "b"))
    assert result.total.difference_interval[0] > 0
    assert result.total.outcome == "unclear"
    assert result.verdict.endswith(
        "cannot be told from before on technical: 5 prompts are too few, at least 6 are needed"
    )


def test_verdict_says_a_hundred_percent_only_of_all():
    result = compare(rows([0.0] * 300), rows([-0.1] + [0.1] * 299, "b"))
    assert "in 99 % of 300 prompts" in result.verdict


def test_verdict_counts_pairs_where_a_prompt_occurs_twice():
    before = [row(f"a/{i}.mp4", 0.1, "cat") for i in range(7)]
    after = [row(f"b/{i}.mp4", 0.2 + i / 10, "cat") for i in range(7)]
    assert "100 % of 7 pairs" in compare(before, after).verdict


def of_sum(parts, folder="a"):
    """Rows of a sum whose total rises, with these scores of the parts."""
    return [
        row(f"{folder}/{i}.mp4", 0.1 + (folder == "b"), f"p{i}", "sum", dict(zip(parts, scores, strict=True)))
        for i, scores in enumerate(zip(*parts.values(), strict=True))
    ]


def test_a_part_that_fell_is_in_the_verdict_with_the_videos_where_it_fell_most():
    before = of_sum({"up": [0.1] * 9, "down": [0.5] * 9})
    after = of_sum({"up": [0.6] * 9, "down": [0.38, 0.46, 0.45, 0.48, 0.47, 0.44, 0.43, 0.41, 0.44]}, "b")
    result = compare(before, after)
    assert [(part.name, part.outcome) for part in result.parts] == [("up", "rose"), ("down", "fell")]
    # 0.54 of 4.5
    assert result.verdict.endswith("; down fell 12 %: look at these five: 0.mp4, 7.mp4, 6.mp4, 5.mp4, 8.mp4")
    assert result.look_at == ["b/0.mp4", "b/7.mp4", "b/6.mp4", "b/5.mp4", "b/8.mp4"]


def test_of_two_fallen_parts_the_one_that_fell_in_most_pairs_leads():
    before = of_sum({"some": [1.0] * 9, "all": [2.0] * 9})
    after = of_sum({"some": [0.5] * 8 + [1.1], "all": [1.9] * 8 + [1.0]}, "b")
    result = compare(before, after)
    assert "; all fell 10 %, some fell 43 %: look at these five, for all: 8.mp4, 0.mp4" in result.verdict


def test_a_fall_of_scores_around_zero_is_in_the_unit_of_the_reward():
    before = of_sum({"a": [0.1, -0.1] * 4, "b": [-0.001] * 8})
    after = of_sum({"a": [-0.3, -0.5] * 4, "b": [-0.5] * 8}, "b")
    assert "; a fell by 0.40, b fell by 0.50: look" in compare(before, after).verdict


def test_a_small_fall_is_not_rounded_to_none():
    result = compare(of_sum({"down": [1.0] * 8}), of_sum({"down": [0.9982] * 8}, "b"))
    assert "; down fell 0.2 %: look" in result.verdict


def test_videos_of_one_file_name_are_told_apart_by_their_paths():
    before = [row(f"a/{i}/x.mp4", 1.0, f"p{i}") for i in range(6)]
    after = [row(f"b/{i}/x.mp4", 0.5 - i / 10, f"p{i}") for i in range(6)]
    assert "look at these five: b/5/x.mp4, b/4/x.mp4," in compare(before, after).verdict


def test_a_verdict_with_a_file_name_that_is_no_unicode_can_be_printed():
    before = [row(f"a/{i}\udcff.mp4", 1.0, f"p{i}") for i in range(6)]
    after = [row(f"b/{i}\udcff.mp4", 0.5, f"p{i}") for i in range(6)]
    assert "0\\udcff.mp4" in compare(before, after).verdict.encode("utf-8").decode()


def test_one_name_for_both_sets_is_a_usage_error():
    with pytest.raises(UsageError, match="both sets are called 'base'"):
        compare(rows([0.1]), rows([0.2]), names=("base", "base"))


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


def test_rows_left_out_are_of_a_set_by_its_name():
    result = compare(rows([0.1, 0.2]), rows([0.1], "b"), names=("base", "tuned"))
    assert "1 row of base without a partner" in result.pairing


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
