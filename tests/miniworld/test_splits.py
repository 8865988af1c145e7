from collections import Counter

import pytest

from rewardkit.miniworld.prompts import judged_truths, training_truths
from rewardkit.miniworld.truth import DIRECTIONS


def pairing(truth):
    return truth.colour, truth.shape


def test_training_has_every_direction_and_speed_of_its_pairings():
    truths = training_truths()
    assert len(set(truths)) == len(truths) == 12 * 8 * 2
    assert Counter(map(pairing, truths)) == dict.fromkeys(map(pairing, truths), 16)
    assert {truth.quality for truth in truths} == {"good"}


@pytest.mark.parametrize("each", [1, 16, 20, 24])
def test_splits_are_what_they_are_called(each):
    seen = training_truths()
    pairings = set(map(pairing, seen))
    colours, shapes = ({getattr(truth, kind) for truth in seen} for kind in ("colour", "shape"))
    splits = judged_truths(each)
    assert list(splits) == ["in-domain", "new combinations", "new things"]
    assert all(len(set(truths)) == len(truths) == each for truths in splits.values())
    assert set(splits["in-domain"]) <= set(seen)
    for truth in splits["new combinations"]:
        assert pairing(truth) not in pairings
        assert truth.colour in colours
        assert truth.shape in shapes
    assert all((truth.colour in colours) != (truth.shape in shapes) for truth in splits["new things"])


def test_directions_are_even():
    for truths in judged_truths(24).values():
        counts = Counter(truth.direction for truth in truths)
        assert set(counts) == set(DIRECTIONS)
        assert max(counts.values()) - min(counts.values()) <= 2
