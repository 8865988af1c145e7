"""A reward as a judge that a server asks: for trainers whose environment conflicts with this one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import torch

from rewardkit.reducers.reward import Reward
from rewardkit.reducers.trainers.films import score_films
from rewardkit.serving.scorer_server import PROTOCOL, Judge


def judge_of(reward: Reward) -> Judge:
    """The judge that `rewardkit serve --reward` serves: whole films come, and the reward takes its frames of them."""

    def score(videos: Sequence[Sequence[memoryview]], prompts: Sequence[str] | None) -> list[float]:
        films = [torch.from_numpy(np.stack([np.asarray(frame) for frame in video])).movedim(-1, 1) for video in videos]
        return score_films(reward, films, prompts)[0].tolist()

    weights = {name: digest for model in reward.models() for name, digest in model.weights_sha256().items()}
    card = {
        "protocol": PROTOCOL,
        "name": re.sub(r"[^\w.-]+", "-", reward.name).strip("-"),
        "summary": reward.spec,
        "needs_prompt": reward.needs_prompt,
        "frames": "all",
        # other frames or coefficients are other work, as other weights are
        "weights_sha256": {**weights, "reward": hashlib.sha256(reward.spec.encode()).hexdigest()},
    }
    return Judge(reward.name, score, card)
