import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import rewardkit as rk
from rewardkit import conformance
from rewardkit.errors import BadInputError, RewardFailedError, UsageError
from rewardkit.rewards import remote
from rewardkit.rewards.remote import RemoteReward
from tests.serving.judging import BRIGHTNESS_AND_LETTERS, DIGEST, answering, judge_file, serving

CARD = json.dumps({"protocol": 1, "name": "plain"}).encode()


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[str]:
    with serving(judge_file(tmp_path, BRIGHTNESS_AND_LETTERS)) as url:
        yield url


@pytest.fixture
def digest(tmp_path: Path) -> Iterator[str]:
    with serving(judge_file(tmp_path, DIGEST)) as url:
        yield url


def video_of_bytes(batch: int = 2, frames: int = 4, height: int = 5, width: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (batch, frames, 3, height, width), dtype=torch.uint8, generator=generator)


def digests(video: torch.Tensor) -> list[float]:
    """What the judge `DIGEST` must find, computed from numpy."""
    found = []
    for frames in np.moveaxis(video.numpy(), 2, -1):
        facts = [(frame.shape, frame.tobytes()) for frame in frames]
        found.append(float(int.from_bytes(hashlib.sha256(repr(facts).encode()).digest()[:3], "big")))
    return found


def test_every_byte_arrives_in_its_place(digest: str) -> None:
    video = video_of_bytes()
    assert RemoteReward(digest)(video).tolist() == digests(video)
    assert RemoteReward(digest)(video.flip(3)).tolist() == digests(video.flip(3)) != digests(video)


def test_float_pixels_are_rounded_to_the_nearest_byte(digest: str) -> None:
    levels = video_of_bytes()
    shift = 0.49 * (2 * torch.rand(levels.shape, generator=torch.Generator().manual_seed(1)) - 1)
    for pixels in ((levels + shift) / 255, (levels + shift).double() / 255, levels.float() / 255):
        assert RemoteReward(digest)(pixels).tolist() == digests(levels)
    overshooting = torch.tensor([-0.01, 1.01]).repeat(3 * 4)[: 3 * 4].view(1, 1, 3, 2, 2)
    assert RemoteReward(digest)(overshooting).tolist() == digests((overshooting > 0).to(torch.uint8) * 255)


def test_each_prompt_goes_with_its_video(letters: str) -> None:
    video = torch.tensor([0, 51, 255], dtype=torch.uint8)[:, None, None, None, None].expand(3, 5, 3, 4, 6)
    scores = rk.create_reward(RemoteReward(letters))(video, ["a", "snöw", "a 猫"])
    assert scores.tolist() == pytest.approx([1.0, 4.2, 4.0])


def test_a_judge_that_reads_no_prompt_gets_none(digest: str) -> None:
    video = video_of_bytes()
    assert RemoteReward(digest)(video, ["a", "b"]).tolist() == digests(video)  # DIGEST asserts it


def test_the_card_is_the_judges_but_promises_no_gradient(letters: str) -> None:
    card = RemoteReward(letters).card
    assert (card.name, card.frames, card.needs_prompt, card.unit) == ("remote", "uniform:3", True, "letters")
    assert card.score_range == (0, None)
    assert card.video_level
    assert not card.differentiable
    with answering((200, json.dumps({"protocol": 1, "name": "a", "differentiable": True}).encode())) as url:
        assert not RemoteReward(url).card.differentiable


def test_another_judge_at_the_same_address_is_other_work(tmp_path: Path) -> None:
    found = []
    for code in (DIGEST, DIGEST + "\nCARD = {'weights_sha256': {'model.bin': 'abc'}}"):
        with serving(judge_file(tmp_path, code)) as url:
            found.append(RemoteReward(url).weights_sha256())
    assert [set(files) for files in found] == [{"my_judge.py"}, {"my_judge.py", "model.bin"}]
    assert found[0]["my_judge.py"] != found[1]["my_judge.py"]


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_a_remote_judge_conforms(check: Callable[[conformance.Model], None], letters: str) -> None:
    check(RemoteReward(letters))


def test_pixels_that_ask_for_a_gradient_are_refused(digest: str) -> None:
    reward = rk.create_reward(RemoteReward(digest))
    video = (video_of_bytes() / 255).requires_grad_()
    with pytest.raises(BadInputError, match="remote has no gradient but these pixels ask for one"):
        reward(video)
    with torch.no_grad():
        assert reward(video).tolist() == digests(video_of_bytes())
    assert not reward.differentiable


def test_no_proxy_stands_between(digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert RemoteReward(digest)(video_of_bytes()).tolist() == digests(video_of_bytes())


def test_a_folder_is_scored_and_a_failed_video_has_its_row(tmp_path: Path) -> None:
    code = BRIGHTNESS_AND_LETTERS.replace("return [", "assert 'cat' not in prompts, 'no cats'\n    return [")
    (tmp_path / "films").mkdir()
    for number in range(3):
        np.save(tmp_path / "films" / f"{number}.npy", np.full((5, 4, 6, 3), 51, dtype=np.uint8))
    prompts = {"0.npy": "a", "1.npy": "cat", "2.npy": "four"}
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    with serving(judge_file(tmp_path, code)) as url:
        reward = rk.create_reward(RemoteReward(url))
        table = rk.score_folder(tmp_path / "films", reward, prompts=tmp_path / "prompts.json")
    assert [row.score for row in table] == [pytest.approx(1.2), None, pytest.approx(4.2)]
    assert [row.frame_index for row in table if row.score] == [[0, 2, 4]] * 2
    (failed,) = table.failed()
    assert "my_judge.py:score raised AssertionError: no cats" in str(failed.error)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", r"remote needs an address: write remote\[url=.*rewardkit serve my_judge.py:score"),
        ("127.0.0.1:8765", "needs an address such as http://127.0.0.1:8765: got '127.0.0.1:8765'"),
        ("file:///etc/passwd", "needs an address such as"),
        ("http://", "needs an address such as"),
        ("http://127.0.0.1:port", "cannot read the address 'http://127.0.0.1:port'"),
        ("http://127.0.0.1:1", r"http://127.0.0.1:1 does not answer: Conn.*rewardkit serve my_judge.py:score"),
    ],
)
def test_an_address_where_no_judge_can_be_is_an_error_in_use(url: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        RemoteReward(url)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(timeout: float) -> None:
    with pytest.raises(UsageError, match="timeout"):
        RemoteReward("http://127.0.0.1:1", timeout)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((200, b"<html>"), "does not answer in JSON"),
        ((200, b"[" * 100_000), "does not answer in JSON"),
        ((200, b"[]"), "does not answer with a JSON object"),
        ((404, b'{"error": "not here"}'), "answers 404: not here"),
        ((503, b"{}"), "answers 503: it gave no reason"),
        ((200, b"{}"), "does not speak protocol 1"),
        ((200, b'{"protocol": 2, "name": "a"}'), "does not speak protocol 1"),
        ((200, b'{"protocol": 1}'), "needs a name of letters, digits, dots and dashes: got None"),
        ((200, b'{"protocol": 1, "name": "a+b"}'), r"dashes: got 'a\+b'"),
        ((200, b'{"protocol": 1, "name": "a", "fraims": "all"}'), "cannot be read: fraims: Extra inputs"),
        ((200, b'{"protocol": 1, "name": "a", "needs_prompt": "perhaps"}'), "cannot be read: needs_prompt: "),
        ((200, b'{"protocol": 1, "name": "a", "weights_sha256": [1]}'), "cannot be read: .*valid dictionary"),
    ],
)
def test_what_does_not_answer_as_a_judge_is_an_error_in_use(answer: tuple[int, bytes], sentence: str) -> None:
    with answering(answer) as url, pytest.raises(UsageError, match=sentence):
        RemoteReward(url)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((200, b"oops"), "does not answer in JSON"),
        ((200, b'{"protocol": 1}'), "must give 2 finite numbers, one a video: it gave None"),
        ((200, b'{"scores": [1.0]}'), r"it gave \[1.0\]"),
        ((200, b'{"scores": [1.0, NaN]}'), r"it gave \[1.0, nan\]"),
        ((200, b'{"scores": [1.0, 1e39]}'), r"it gave \[1.0, 1e\+39\]"),
        ((200, b'{"scores": [1.0, 1' + b"0" * 400 + b"]}"), "2 finite numbers"),
        ((200, b'{"scores": [1.0, true]}'), "2 finite numbers"),
        ((200, b'{"scores": [1.0, "2"]}'), "2 finite numbers"),
        ((500, b'{"error": "judge raised ValueError:\\n too bright"}'), "answers 500: judge raised ValueError: too"),
    ],
)
def test_an_answer_without_its_numbers_is_a_failure(answer: tuple[int, bytes], sentence: str) -> None:
    with answering((200, CARD), answer) as url, pytest.raises(RewardFailedError, match=sentence):
        RemoteReward(url)(video_of_bytes())


def test_a_judge_that_has_gone_or_says_nothing_is_a_failure(tmp_path: Path) -> None:
    with answering((200, CARD)) as url:
        reward = RemoteReward(url)
    with pytest.raises(RewardFailedError, match="does not answer: Conn"):
        reward(video_of_bytes())
    slow = judge_file(tmp_path, "import time\n\ndef score(v, p):\n    time.sleep(0.3)\n    return [0] * len(v)\n")
    with serving(slow) as url, pytest.raises(RewardFailedError, match=r"did not answer within 0.1 seconds"):
        RemoteReward(url, timeout=0.1)(video_of_bytes())


def test_bad_input_is_said_before_anything_is_sent(letters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = RemoteReward(letters)
    with pytest.raises(BadInputError, match="needs video of shape"):
        reward(video_of_bytes()[0], ["a", "b"])
    for prompts, got in ((None, "none"), (["a"], "1"), ("ab", "the text 'ab'")):
        with pytest.raises(BadInputError, match=f"remote needs one prompt per video: got {got} for 2 videos"):
            reward(video_of_bytes(), prompts)
    monkeypatch.setattr(remote, "LARGEST_BODY", 1000)
    with pytest.raises(BadInputError, match=r"2 videos of 4 frames make .*fewer frames or smaller batches"):
        reward(video_of_bytes(), ["a", "b"])


def test_a_remote_reward_can_be_copied(digest: str) -> None:
    video = video_of_bytes()
    assert copy.deepcopy(RemoteReward(digest))(video).tolist() == digests(video)


def test_the_class_says_what_it_is_without_a_server() -> None:
    card = rk.reward_info("remote")
    assert (card.name, card.differentiable, card.video_level) == ("remote", False, True)
