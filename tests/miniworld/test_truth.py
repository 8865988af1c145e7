import dataclasses
import itertools
from collections import Counter

import pytest

from rewardkit.errors import BadInputError, UnknownNameError
from rewardkit.miniworld.truth import (
    COLOURS,
    DIRECTIONS,
    QUALITIES,
    SHAPES,
    SPEEDS,
    Truth,
    caption,
    parse_caption,
    sample_truths,
)

EVERY_GOOD_TRUTH = [Truth(*words) for words in itertools.product(COLOURS, SHAPES, DIRECTIONS, SPEEDS)]


def test_every_truth_has_its_own_caption():
    assert len({caption(truth) for truth in EVERY_GOOD_TRUTH}) == 8 * 6 * 8 * 2


def test_every_caption_parses_back():
    assert [parse_caption(caption(truth)) for truth in EVERY_GOOD_TRUTH] == EVERY_GOOD_TRUTH


def test_caption_does_not_tell_the_quality():
    truth = Truth("orange", "ring", "left")
    assert {caption(dataclasses.replace(truth, quality=quality)) for quality in QUALITIES} == {
        "an orange ring moving quickly left"
    }


@pytest.mark.parametrize("text", ["", "a red dog moving quickly up", "a red star moving quickly up and away"])
def test_text_of_another_world_is_no_caption(text):
    with pytest.raises(BadInputError, match="a red star moving quickly up left"):
        parse_caption(text)


def test_unknown_word_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean green"):
        Truth("greem", "star", "up")


def test_samples_are_the_same_for_one_seed_only():
    assert sample_truths(20, seed=3) == sample_truths(20, seed=3) != sample_truths(20, seed=4)


def test_first_samples_do_not_depend_on_the_count():
    assert sample_truths(5, seed=0) == sample_truths(50, seed=0)[:5]


def test_samples_use_the_whole_vocabulary_and_half_are_good():
    truths = sample_truths(2_000, seed=0)
    assert {truth.colour for truth in truths} == set(COLOURS)
    assert {truth.shape for truth in truths} == set(SHAPES)
    assert {truth.direction for truth in truths} == set(DIRECTIONS)
    assert {truth.speed for truth in truths} == set(SPEEDS)
    qualities = Counter(truth.quality for truth in truths)
    # four standard deviations of a fair coin and of a 1-in-10 draw
    assert abs(qualities["good"] - 1_000) < 90
    assert all(abs(qualities[quality] - 200) < 54 for quality in QUALITIES[1:])
