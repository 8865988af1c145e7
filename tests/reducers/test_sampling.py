import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardkit import All, BadInputError, Every, First, Index, Segments, Uniform, UsageError
from rewardkit.errors import UnknownNameError
from rewardkit.reducers.sampling import SAMPLERS, FrameSampler
from rewardkit.spec import parse_part

lengths = st.integers(1, 1000)
counts = st.integers(1, 64)
samplers = st.one_of(
    st.just(All()),
    st.builds(First, counts),
    st.builds(Every, counts),
    st.builds(Uniform, counts),
    st.builds(Segments, counts),
    st.builds(Segments, counts, st.just("first")),
    st.builds(Index, st.lists(st.integers(-1000, 999), min_size=1, max_size=8).map(tuple)),
)


def test_golden_choices_for_sixteen_frames() -> None:
    assert Segments(4, pick="first").indices(16).tolist() == [0, 4, 8, 12]  # the paper's metric
    assert Uniform(4).indices(16).tolist() == [2, 6, 10, 14]
    assert Every(6).indices(16).tolist() == [0, 6, 12]
    assert First(2).indices(16).tolist() == [0, 1]
    assert Index((5, -1, 0, 5)).indices(16).tolist() == [0, 5, 15]


@given(sampler=samplers, num_frames=lengths, seed=st.integers(0, 2**32))
def test_any_choice_is_ascending_unique_and_in_range(sampler: FrameSampler, num_frames: int, seed: int) -> None:
    too_short = isinstance(sampler, Segments) and sampler.count > num_frames
    outside = isinstance(sampler, Index) and not all(-num_frames <= frame < num_frames for frame in sampler.frames)
    if too_short or outside:
        with pytest.raises(BadInputError, match=f"this video has {num_frames}"):
            sampler.indices(num_frames)
        return
    chosen = sampler.indices(num_frames, torch.Generator().manual_seed(seed)).tolist()
    assert chosen == sorted(set(chosen))
    assert chosen
    assert chosen[0] >= 0
    assert chosen[-1] < num_frames


@given(count=counts, num_frames=lengths, seed=st.integers(0, 2**32))
def test_segments_take_one_frame_of_each_part_of_the_clip(count: int, num_frames: int, seed: int) -> None:
    if count > num_frames:
        with pytest.raises(BadInputError, match=f"at least {count} frames"):
            Segments(count).indices(num_frames)
        return
    chosen = Segments(count).indices(num_frames, torch.Generator().manual_seed(seed)).tolist()
    assert len(chosen) == count
    for segment, frame in enumerate(chosen):
        assert segment * num_frames // count <= frame < (segment + 1) * num_frames // count


@pytest.mark.parametrize("num_frames", [4, 9, 13, 16, 17, 49, 81])
def test_segments_draw_every_frame_equally_often(num_frames: int) -> None:
    # the official floor division never draws the last frame of 17, 49 or 81
    draws = 4000
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([Segments(4).indices(num_frames, generator) for _ in range(draws)])
    share = torch.bincount(drawn, minlength=num_frames) / draws
    for segment in range(4):
        inside = range(segment * num_frames // 4, (segment + 1) * num_frames // 4)
        for frame in inside:
            expected = 1 / len(inside)
            deviation = (expected * (1 - expected) / draws) ** 0.5
            assert abs(share[frame] - expected) <= 5 * deviation + 1e-9


def test_random_segments_repeat_with_their_generator_and_differ_without() -> None:
    def draw(seed: int) -> list[int]:
        return list(Segments(4).indices(1000, torch.Generator().manual_seed(seed)).tolist())

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_the_draw_is_the_same_on_every_machine() -> None:
    # torch's CPU generator is MT19937 with 53 bits a number: numpy's gives the same stream
    raw = [int(word) for word in np.random.RandomState(1)._bit_generator.random_raw(8)]
    share = [((raw[2 * i] << 32 | raw[2 * i + 1]) % 2**53) / 2**53 for i in range(4)]
    expected = [250 * i + int(share[i] * 250) for i in range(4)]
    assert Segments(4).indices(1000, torch.Generator().manual_seed(1)).tolist() == expected


@given(count=counts, num_frames=lengths)
def test_uniform_takes_what_there_is_when_the_clip_is_short(count: int, num_frames: int) -> None:
    chosen = Uniform(count).indices(num_frames)
    assert len(chosen) == min(count, num_frames)
    mirrored = (num_frames - 1 - chosen).flip(0)
    assert (chosen - mirrored).abs().max() <= 1  # the choice favours neither end


@given(sampler=samplers)
def test_a_sampler_prints_as_the_spec_that_builds_it(sampler: FrameSampler) -> None:
    assert parse_part(FrameSampler, str(sampler), SAMPLERS) == sampler


@pytest.mark.parametrize(
    ("spec", "built"),
    [
        ("segments:4,pick=first", Segments(4, pick="first")),
        ("segments:4,first", Segments(4, pick="first")),
        ("segments:count=4", Segments(4)),
        (" uniform:8 ", Uniform(8)),
        ("index:0,4,-1", Index((0, 4, -1))),
        ("first", First(1)),
    ],
)
def test_spec_strings(spec: str, built: FrameSampler) -> None:
    assert parse_part(FrameSampler, spec, SAMPLERS) == built


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("segments:0", "greater than 0; it reads segments:count,pick=random"),
        ("segments:four", "valid integer"),
        ("segments:4,pick=last", "'random' or 'first'"),
        ("segments:4,first,5", "'random' or 'first'"),
        ("segments:4,size=5", "size"),
        ("segments", "required"),
        ("all:3", "cannot read '3'"),
        ("index:1,x", "valid integer"),
        ("index:", "required"),
    ],
)
def test_bad_specs_say_what_is_wrong(spec: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_part(FrameSampler, spec, SAMPLERS)


def test_unknown_sampler_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="no sampler is called 'segmets': did you mean segments"):
        parse_part(FrameSampler, "segmets:4", SAMPLERS)
