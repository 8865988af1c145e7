"""The client that is copied to a trainer's environment, against the reward that is served."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import rewardkit as rk
from rewardkit.cli import main
from rewardkit.reducers.trainers.serving import judge_of
from rewardkit.rewards.remote import RemoteReward
from rewardkit.serving import scorer_client, scorer_server
from rewardkit.serving.scorer_client import AddressError, Scorer, ScorerError
from rewardkit.serving.scorer_server import make_server
from tests.serving.judging import running


class Letters(rk.ImageReward):
    """Red of the picture, and the letters of its prompt."""

    card = rk.RewardCard(name="letters", summary="red and letters", needs_prompt=True, frames="uniform:3")

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        assert prompts is not None
        return images[:, 0].mean(dim=(1, 2)) + torch.tensor([float(len(prompt)) for prompt in prompts])


REWARD = 0.5 * rk.create_reward(Letters()) + rk.create_reward("flicker")
BYTES = torch.randint(256, (3, 6, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
PROMPTS = ["a", "snöw", "猫"]


@pytest.fixture
def url() -> Iterator[str]:
    with running(make_server(judge_of(REWARD), port=0)) as found:
        yield found


@pytest.mark.parametrize(
    "videos",
    [BYTES, BYTES / 255, BYTES.movedim(2, -1).numpy(), BYTES.movedim(2, -1).numpy() / 255, list(BYTES)],
    ids=["bytes", "floats", "array", "array of floats", "list"],
)
def test_the_client_gives_what_the_reward_gives(videos: object, url: str) -> None:
    expected = REWARD(BYTES, PROMPTS).tolist()
    assert Scorer(url)(videos, PROMPTS) == pytest.approx(expected, rel=1e-6)
    scores, info = Scorer(url).as_ddpo()(videos, PROMPTS, [{}] * 3)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    assert info == {}


def test_many_bytes_go_in_several_requests(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Scorer(url)(BYTES, PROMPTS)
    sent: list[int] = []
    scores = scorer_client.Server.scores

    def counted(
        self: scorer_client.Server, videos: list[tuple[list[int], bytes]], prompts: list[str] | None
    ) -> list[float]:
        sent.append(len(videos))
        return scores(self, videos, prompts)

    monkeypatch.setattr(scorer_client, "BYTES_AT_ONCE", BYTES[0].numel() + 1)
    monkeypatch.setattr(scorer_client.Server, "scores", counted)
    assert Scorer(url)(BYTES, PROMPTS) == pytest.approx(whole)
    assert sent == [2, 1]


def test_a_served_reward_is_a_remote_reward_and_other_frames_are_other_work(url: str) -> None:
    remote = rk.create_reward(RemoteReward(url))
    torch.testing.assert_close(remote(BYTES, PROMPTS), REWARD(BYTES, PROMPTS))
    with running(make_server(judge_of(rk.create_reward(Letters(), frames="all")), port=0)) as other:
        assert RemoteReward(url).weights_sha256() != RemoteReward(other).weights_sha256()


@pytest.mark.parametrize(
    ("videos", "prompts", "sentence"),
    [
        (BYTES / 255 * 2 - 1, PROMPTS, r"needs pixels in \[0, 1\] or uint8: got -1 to 1"),
        (BYTES.int(), PROMPTS, "needs pixels in .0, 1. or uint8: got int32"),
        (BYTES.movedim(2, -1), PROMPTS, "channels first in tensors, last in arrays"),
        (BYTES, PROMPTS[:2], "needs a list of prompts, one a video: got 2 for 3 videos"),
    ],
)
def test_what_cannot_be_sent_is_said_here(videos: object, prompts: list[str], sentence: str, url: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Scorer(url)(videos, prompts)


def test_what_the_server_refuses_is_one_sentence(url: str) -> None:
    with pytest.raises(ScorerError, match="this judge needs one prompt a video: got none"):
        Scorer(url)(BYTES)
    with pytest.raises(ScorerError, match=r"does not answer: ConnectionRefusedError: .*rewardkit serve"):
        Scorer("http://127.0.0.1:1")
    with pytest.raises(AddressError, match="needs an address such as"):
        Scorer("127.0.0.1:8765")


def test_client_and_server_speak_of_the_same_things() -> None:
    assert (scorer_client.PROTOCOL, scorer_client.TOKEN) == (scorer_server.PROTOCOL, scorer_server.TOKEN)


def test_the_file_alone_is_enough(url: str, tmp_path: Path) -> None:
    shutil.copy(scorer_client.__file__, tmp_path)
    code = (
        "import sys, numpy; from scorer_client import Scorer\n"
        "video = numpy.arange(2 * 6 * 5 * 7 * 3, dtype='uint8').reshape(2, 6, 5, 7, 3)\n"
        f"print(Scorer({url!r})(video, ['a', 'bb'])); assert not {{'rewardkit', 'torch'}} & set(sys.modules)"
    )
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    video = torch.arange(2 * 6 * 5 * 7 * 3).to(torch.uint8).view(2, 6, 5, 7, 3).movedim(-1, 2)
    assert eval(done.stdout) == pytest.approx(REWARD(video, ["a", "bb"]).tolist(), rel=1e-6)


def test_serve_takes_a_judge_or_a_reward(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["judge.py:score", "--reward", "technical"]):
        monkeypatch.setattr(sys, "argv", ["rewardkit", "serve", *words])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        assert "give a judge, FILE.py:FUNCTION, or a reward with --reward" in " ".join(capfd.readouterr().err.split())
