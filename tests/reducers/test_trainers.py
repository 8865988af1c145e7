"""A reward as others' trainers call it, against the reward itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import rewardkit as rk
from rewardkit.errors import BadInputError, MissingExtraError, RewardFailedError, UnreadableVideoError


class Letters(rk.ImageReward):
    """Red of the picture, and ten times the letters of its prompt."""

    card = rk.RewardCard(name="letters", summary="red and letters", needs_prompt=True, frames="all")

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        assert prompts is not None
        return images[:, 0].mean(dim=(1, 2)) + torch.tensor([10.0 * len(prompt) for prompt in prompts])


class Red(rk.ImageReward):
    """Red of the picture."""

    card = rk.RewardCard(name="red", summary="red")

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return images[:, 0].mean(dim=(1, 2))


class Broken(rk.ImageReward):
    """Nothing that is a number."""

    card = rk.RewardCard(name="broken", summary="not a number")

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return images[:, 0].mean(dim=(1, 2)) * torch.nan


LETTERS, RED = rk.create_reward(Letters()), rk.create_reward(Red(), frames="uniform:3")
VIDEO = torch.rand(3, 5, 3, 4, 6, generator=torch.Generator().manual_seed(0))
BYTES = (VIDEO * 255).round().to(torch.uint8)
PROMPTS = ["a", "bb", "cccc"]


@pytest.mark.parametrize("films_at_once", [1, 2, 8])
def test_ddpo_gives_what_the_reward_gives(films_at_once: int) -> None:
    scores, info = LETTERS.as_ddpo(films_at_once)(VIDEO, PROMPTS, [{}] * 3)
    assert isinstance(scores, np.ndarray)
    assert scores.dtype == np.float32
    assert info == {}
    np.testing.assert_allclose(scores, LETTERS(VIDEO, PROMPTS).numpy(), rtol=1e-6)


def test_ddpo_tells_the_parts_of_a_sum() -> None:
    total = 0.7 * RED + 0.3 * LETTERS
    scores, info = total.as_ddpo()(VIDEO, PROMPTS)
    np.testing.assert_allclose(info["red"], RED(VIDEO).numpy(), rtol=1e-6)
    np.testing.assert_allclose(info["letters"], LETTERS(VIDEO, PROMPTS).numpy(), rtol=1e-6)
    np.testing.assert_allclose(scores, 0.7 * info["red"] + 0.3 * info["letters"], rtol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        BYTES,
        BYTES.movedim(2, -1).numpy(),
        BYTES.movedim(2, -1).numpy().astype(np.float64) / 255,
        BYTES.numpy(),
        list(BYTES),
        [[Image.fromarray(frame.movedim(0, -1).numpy()) for frame in film] for film in BYTES],
        [film.movedim(1, -1).numpy() for film in BYTES],
    ],
    ids=["tensor", "array", "array of floats", "array, channels first", "tensors", "pictures", "arrays"],
)
def test_films_come_in_every_shape_that_trainers_have(given: object) -> None:
    scores, _ = LETTERS.as_ddpo()(given, PROMPTS)
    np.testing.assert_allclose(scores, LETTERS(BYTES, PROMPTS).numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "given",
    [BYTES[:, 0], BYTES[:, 0].movedim(1, -1).numpy(), [Image.fromarray(f[0].movedim(0, -1).numpy()) for f in BYTES]],
    ids=["tensor", "array", "pictures"],
)
def test_pictures_are_films_of_one_frame(given: object) -> None:
    scores, _ = LETTERS.as_ddpo()(given, PROMPTS)
    np.testing.assert_allclose(scores, LETTERS(BYTES[:, :1], PROMPTS).numpy(), rtol=1e-6)


def test_films_of_several_lengths_and_sizes_keep_their_places() -> None:
    films = [VIDEO[0], VIDEO[1, :2], VIDEO[2, :, :, :3], VIDEO[0, :2]]
    prompts = ["a", "bb", "ccc", "dddd"]
    scores, _ = LETTERS.as_ddpo()(films, prompts)
    alone = [float(LETTERS(film[None], [prompt])) for film, prompt in zip(films, prompts, strict=True)]
    np.testing.assert_allclose(scores, alone, rtol=1e-6)


def test_of_files_only_planned_frames_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rewardkit.video.file import VideoFile

    read: list[list[int]] = []
    whole = VideoFile.read
    monkeypatch.setattr(VideoFile, "read", lambda self, index: (read.append(list(index)), whole(self, index))[1])
    for number, film in enumerate(BYTES):
        np.save(tmp_path / f"{number}.npy", film.movedim(1, -1).numpy())
    scores, _ = RED.as_ddpo()([str(tmp_path / f"{number}.npy") for number in range(3)], PROMPTS)
    np.testing.assert_allclose(scores, RED(BYTES).numpy(), rtol=1e-6)
    assert read == [RED.plan(5).index[0].tolist()] * 3


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (VIDEO[0, 0], r"needs a batch of pictures .4 axes. or of films .5 axes.: got shape"),
        ("films/", "needs a batch of films as one tensor, one array or a list: got str"),
        ([VIDEO[0], 7], r"film 2 must be a path, pictures of Pillow, a tensor .*: got int"),
        (VIDEO.movedim(2, 1), r"film 1 must be .*: got shape \(3, 5, 4, 6\)"),
        (VIDEO * 2 - 1, r"needs pixels in \[0, 1\]"),
        (VIDEO[:2], "needs one prompt per film: got 3 prompts, 2 films"),
    ],
)
def test_what_is_no_batch_of_films_is_one_sentence(given: object, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        LETTERS.as_ddpo()(given, PROMPTS)


def test_a_score_that_is_no_number_stops_the_trainer() -> None:
    with pytest.raises(RewardFailedError, match=f"broken gave a score of nan for film 1 of 3, {PROMPTS[0]!r}"):
        rk.create_reward(Broken()).as_ddpo()(VIDEO, PROMPTS)


def test_trl_gets_a_plain_named_function_and_numbers_in_order(tmp_path: Path) -> None:
    films = dict(zip(PROMPTS, VIDEO, strict=True))
    score = (0.5 * LETTERS + RED).as_trl(load=films.get)
    assert type(score).__name__ == "function"
    assert score.__name__ == "0_5_letters_red"
    logged: dict[str, float] = {}
    found = score(
        prompts=["x", "yy", "zzz", "w"],
        completions=["cccc", "no film", "a", "bb"],
        completion_ids=[[1]] * 4,
        trainer_state=None,
        log_metric=logged.__setitem__,
    )
    order = torch.stack([films["cccc"], films["a"], films["bb"]])
    expected = (0.5 * LETTERS + RED)(order, ["x", "zzz", "w"]).tolist()
    assert found[1] is None, "a completion without a film has no score"
    assert [found[0], found[2], found[3]] == pytest.approx(expected)
    assert all(type(number) is float for number in expected)
    assert logged["0_5_letters_red/red"] == pytest.approx(float(RED(order).mean()))


def test_trl_messages_and_a_column_of_ones_own() -> None:
    films = dict(zip(PROMPTS, VIDEO, strict=True))
    talk = [[{"role": "assistant", "content": text}] for text in PROMPTS[:2]]
    talk.append([{"role": "assistant", "content": [{"type": "text", "text": "cc"}, {"type": "text", "text": "cc"}]}])
    asked = [[{"role": "system", "content": "rewrite"}, {"role": "user", "content": text}] for text in ("p", "qq", "r")]
    expected = LETTERS(VIDEO, ["p", "qq", "r"]).tolist()
    assert LETTERS.as_trl(films.get)(prompts=asked, completions=talk) == pytest.approx(expected)
    by_column = LETTERS.as_trl(films.get, prompt_column="caption")
    assert by_column(prompts=asked, completions=talk, caption=["p", "qq", "r"]) == pytest.approx(expected)
    with pytest.raises(BadInputError, match=r"no column 'caption' with one prompt a completion: .* one of prompts"):
        by_column(prompts=asked, completions=talk)
    with pytest.raises(BadInputError, match="needs text, or messages with a content"):
        LETTERS.as_trl(films.get)(prompts=asked, completions=[[{"role": "tool"}]] * 3)


def test_trl_completions_are_paths_where_nothing_loads_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", BYTES[0].movedim(1, -1).numpy())
    path = str(tmp_path / "a.npy")
    assert RED.as_trl()(prompts=["x"], completions=[f" {path}\n"]) == pytest.approx(RED(BYTES[:1]).tolist())
    with pytest.raises(UnreadableVideoError, match=r"gone.npy"):
        RED.as_trl()(prompts=["x"], completions=[str(tmp_path / "gone.npy")])


def test_a_metric_is_the_mean_over_all_videos() -> None:
    pytest.importorskip("torchmetrics")
    metric = LETTERS.as_metric()
    metric.update(VIDEO[:1], PROMPTS[:1])
    metric.update(VIDEO[1:], PROMPTS[1:])
    assert float(metric.compute()) == pytest.approx(float(LETTERS(VIDEO, PROMPTS).mean()))
    assert float(metric(VIDEO[:1], PROMPTS[:1])) == pytest.approx(float(LETTERS(VIDEO[:1], PROMPTS[:1])))
    metric.reset()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert bool(metric.compute().isnan())
    assert not list(metric.parameters()), "checkpoints of a training must not hold a judge"


def test_a_metric_without_torchmetrics_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.delitem(sys.modules, "rewardkit.reducers.trainers.metric", raising=False)
    with pytest.raises(MissingExtraError, match=r"as_metric needs torchmetrics: pip install 'rewardkit\[metrics\]'"):
        RED.as_metric()


def test_trainers_conventions_load_no_trainer() -> None:
    code = "import sys; import rewardkit.reducers.trainers.trl, rewardkit.reducers.trainers.ddpo; " + (
        "assert not {'trl', 'torchmetrics', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
