"""MPS: which of two pictures people would prefer, all things considered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward
from rewardkit.rewards.preprocessing import Crop, Mode, Preprocessing
from rewardkit.rewards.prompts import Features, PromptCache, paired
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.clip import (
    ClipTower,
    HuggingFaceTokenizer,
    cosine,
    load_clip,
    widened,
)
from rewardkit.rewards.towers.cross_attention import load_cross_model
from rewardkit.weights.filling import Placement
from rewardkit.weights.source import ElsewhereFile

CONDITION = (
    "light, color, clarity, tone, style, ambiance, artistry, shape, face, hair, hands, limbs, structure, instance, "
    "texture, quantity, attributes, position, number, location, word, things."
)
"""The words of "overall" preference; Kwai-Kolors/MPS@be9027f, README."""

LEAST = 0.01  # of the best agreement with the condition: tokens below are not looked at


class MpsArchitecture(NamedTuple):
    """CLIP and the layers on top."""

    clip: str | Mapping[str, object] = "ViT-H-14"
    layers: int = 4
    heads: int = 16


class MultiDimensionalPreference(ImageReward):
    """The picture looks at words of the prompt that agree with a condition; what it sees is compared with it."""

    preprocessing: Preprocessing
    takes_bytes = True

    def __init__(
        self, card: RewardCard, tower: ClipTower, cross_model: nn.Module, preprocessing: Preprocessing
    ) -> None:
        super().__init__()
        self.card = card
        self.tower = tower
        self.cross_model = cross_model
        self.preprocessing = preprocessing
        self.tokenizer = HuggingFaceTokenizer()
        self.texts = PromptCache()

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """100 times the cosine of the prompt and what the picture sees in it."""
        prompts = paired(self.card.name, prompts, images)
        patches = self.tower.image_tokens(self.preprocessing(self.card.name, images))
        tokens, said, seen = self.texts.features(prompts, self._encode)
        looked = self.cross_model(patches.to(self.tower.dtype), tokens.to(self.tower.dtype), seen)
        return self.tower.scale * cosine(widened(looked[:, 0]), said)

    def truncates(self, prompt: str) -> bool:
        """Whether `prompt` has more than 77 tokens."""
        return self.tokenizer.length(prompt) > self.tokenizer.context

    def _encode(self, prompts: list[str]) -> Features:
        ids = self.tokenizer([*prompts, CONDITION])
        words = self.tower.text_tokens(ids)
        tokens, condition = words[:-1], words[-1]
        said = tokens[torch.arange(len(tokens)), ids[:-1].argmax(dim=-1)]  # at the first end token
        return tokens, said, selected(tokens, condition)


def selected(
    tokens: Float[Tensor, "text token feature"], condition: Float[Tensor, "word feature"]
) -> Bool[Tensor, "text token"]:
    """Tokens that agree with some word of the condition at least `LEAST` as well as their prompt's best token does.

    The official code divides by the best of the whole batch, so that a score depends on its batch mates; in a batch of
    one both are the same.
    """
    agreement = (tokens @ condition.T).amax(dim=-1)
    return agreement / agreement.amax(dim=-1, keepdim=True) > LEAST


def load_mps(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    architecture: MpsArchitecture,
    preprocess: Mode = "auto",
) -> MultiDimensionalPreference:
    """MPS from a state dict of the official model, such as `MPS_overall.pth`.

    The authors' own file is a pickled module: it needs their code and runs whatever it holds, so it is refused.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: the weights.
        architecture: what the file must hold.
        preprocess: `exact`, `diff`, or `auto`.
    """
    tower = load_clip(card.name, checkpoint, architecture.clip, placement, under="model.")
    layers = load_cross_model(card.name, checkpoint, tower.width, architecture.layers, architecture.heads, placement)
    return MultiDimensionalPreference(card, tower, layers, Preprocessing(Crop(offset="transformers"), mode=preprocess))


MPS = Release(
    RewardCard(
        name="mps",
        summary="which of two pictures for a prompt people would prefer, overall",
        source="MPS, Zhang et al., CVPR 2024, arXiv:2405.14705; Kwai-Kolors/MPS@be9027f, trainer/models",
        code_licence="MIT",
        weights_licence="not stated",
        score_range=(-100.0, 100.0),
        unit="100 times a cosine; only scores for the same prompt compare",
        needs_prompt=True,
        max_prompt_tokens=77,
        parameters=1_104_606_721,
        input="224x224, middle square",
        preprocess=("exact", "diff"),
    ),
    load_mps,
    {
        "checkpoint": ElsewhereFile(
            "MPS_overall.pth",
            "https://pai-aigc-photog.oss-cn-hangzhou.aliyuncs.com/easyanimate/Third_Party/MPS_overall.pth",
        )
    },
    {"architecture": MpsArchitecture()},
)
