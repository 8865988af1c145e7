import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.bench.defects import PICTURE, TIME, Resized, Spoiled, find_defect, frozen, shuffled, wrong_prompt
from rewardkit.errors import UnknownNameError

FRAMES = torch.randint(0, 256, (6, 3, 20, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
WORDS = st.lists(st.sampled_from(["a", "red", "blue", "cat", "dog", "runs"]), min_size=1, max_size=8).map(" ".join)


@pytest.mark.parametrize("name", [*PICTURE, *TIME])
def test_a_spoiled_video_is_the_defect_on_its_whole_clip(name: str) -> None:
    """What scoring applies to the frames it reads equals spoiling all of them."""
    setting = find_defect(name).settings[2]
    alteration = Spoiled(name, setting)
    whole = find_defect(name).clips(FRAMES.float() / 255)[3]
    read = alteration.pictures(FRAMES[alteration.order(len(FRAMES))])
    assert torch.equal(read, (whole * 255).round().byte())


@pytest.mark.parametrize("name", PICTURE)
def test_each_strength_of_a_picture_defect_is_further_from_the_clip(name: str) -> None:
    clips = find_defect(name).clips(FRAMES.float() / 255)
    away = [float((clip - clips[0]).abs().mean()) for clip in clips]
    assert away == sorted(away)
    assert away[1] > 0


@given(st.integers(1, 40), st.sampled_from(TIME["shuffled"].settings))
def test_shuffling_loses_no_frame_and_freezing_shows_none_that_is_later(count: int, share: float) -> None:
    assert sorted(shuffled(count, share).tolist()) == list(range(count))
    still = frozen(count, share).tolist()
    assert still == sorted(still)
    assert all(shown <= place for place, shown in enumerate(still))


def test_a_film_frozen_from_the_start_is_one_frame() -> None:
    assert set(frozen(9, 1.0).tolist()) == {0}
    assert frozen(11, 0.5).tolist() == [0, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5]


def test_blur_is_wider_than_a_small_picture_and_still_works() -> None:
    assert Spoiled("blur", 4).pictures(FRAMES[:1, :, :5, :7]).shape == (1, 3, 5, 7)


@pytest.mark.parametrize("share", [0.5, 1.0, 2.0])
def test_resizing_keeps_the_mean_and_changes_the_size(share: float) -> None:
    small = Resized(share).pictures(FRAMES)
    assert small.shape[-2:] == (round(20 * share), round(28 * share))
    assert float(small.float().mean()) == pytest.approx(float(FRAMES.float().mean()), abs=1.5)


@given(WORDS, WORDS)
def test_more_of_a_wrong_prompt_holds_less_of_the_right_one(prompt: str, other: str) -> None:
    def kept(words: str) -> int:
        return sum(a == b for a, b in zip(words.split(), prompt.split(), strict=False))

    told = [wrong_prompt(prompt, other, share) for share in (0.2, 0.4, 0.6, 0.8)]
    assert [kept(words) for words in told] == sorted(map(kept, told), reverse=True)
    assert wrong_prompt(prompt, other, 1.0) == other
    if prompt.split()[0] != other.split()[0]:
        assert told[-1] != prompt


def test_an_unknown_defect_is_told_with_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="no defect is called 'blurr': did you mean blur"):
        Spoiled("blurr", 1)
