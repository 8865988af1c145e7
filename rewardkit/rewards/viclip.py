"""ViCLIP: how well a film fits its prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rewardkit.errors import BadInputError
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import TemporalReward
from rewardkit.rewards.preprocessing import IMAGENET_COLOURS, CropUnclamped, Mode, Preprocessing
from rewardkit.rewards.prompts import Features, PromptCache, paired
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.clip import Architecture, ClipTower, OpenAITokenizer, configuration, cosine, widened
from rewardkit.weights.content import sha256_of
from rewardkit.weights.filling import Placement, filled
from rewardkit.weights.reading import read_tensors
from rewardkit.weights.sharing import shared
from rewardkit.weights.source import ElsewhereFile
from rewardkit.weights.stored import Tensors, derived

FRAMES = 8
WORDS = 32  # tokens, begin and end included


class FilmTower(ClipTower):
    """CLIP whose picture tower looks at the patches of all frames together, each frame marked by a learned vector."""

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__(architecture)
        self.frame_embedding = nn.Parameter(torch.zeros(1, FRAMES, architecture["vision_cfg"]["width"]))

    def films(self, pixels: Float[Tensor, "film frame 3 height width"]) -> Float[Tensor, "film feature"]:
        """One vector a film, not normalised."""
        self._checkpoint_where_gradient_goes(pixels)
        visual = self.clip.visual
        films, frames = pixels.shape[:2]
        patches = visual.conv1(pixels.flatten(0, 1).to(self.dtype)).flatten(2).transpose(1, 2)
        patches = patches + visual.positional_embedding[1:]
        patches = patches.unflatten(0, (films, frames)) + self.frame_embedding.unsqueeze(2)
        # place by place, and within a place frame by frame, as it was trained
        joint = patches.transpose(1, 2).flatten(1, 2)
        first = (visual.class_embedding + visual.positional_embedding[0]).expand(films, 1, -1)
        hidden = visual.transformer(visual.ln_pre(torch.cat([first, joint], dim=1)))
        return widened(visual.ln_post(hidden[:, 0]) @ visual.proj)


class ViClip(TemporalReward):
    """The cosine of film and prompt in ViCLIP's space."""

    preprocessing: Preprocessing
    takes_bytes = True

    def __init__(self, card: RewardCard, tower: FilmTower, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.card = card
        self.tower = tower
        self.preprocessing = preprocessing
        self.tokenizer = OpenAITokenizer(WORDS)
        self.texts = PromptCache()

    def forward(
        self, video: Float[Tensor, "batch frame 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " batch"]:
        """The cosine of each film of 8 frames with its own prompt."""
        prompts = paired(self.card.name, prompts, video)
        if video.ndim != 5 or video.shape[1] != FRAMES:
            raise BadInputError(
                f"{self.card.name} reads (batch, {FRAMES}, 3, height, width): got {tuple(video.shape)}; choose frames "
                f"with frames=uniform:{FRAMES}"
            )
        flat = self.preprocessing(self.card.name, video.flatten(0, 1))
        fitted = flat.view(*video.shape[:2], *flat.shape[1:])
        (said,) = self.texts.features(prompts, self._encode)
        return cosine(self.tower.films(fitted), said)

    def truncates(self, prompt: str) -> bool:
        """Whether `prompt` has more than 32 tokens."""
        return self.tokenizer.length(prompt) > self.tokenizer.context

    def _encode(self, prompts: list[str]) -> Features:
        return (self.tower.texts(self.tokenizer(prompts)),)


def load_viclip(
    card: RewardCard, placement: Placement, checkpoint: Path, architecture: Architecture, preprocess: Mode = "auto"
) -> ViClip:
    """ViCLIP from `ViClip-InternVid-10M-FLT.pth`.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: the weights.
        architecture: what the file must hold, given as CLIP's; its text tower reads 32 tokens instead of 77.
        preprocess: `exact`, `diff`, or `auto`.
    """
    config = configuration(architecture)
    config = {**config, "text_cfg": {**config["text_cfg"], "context_length": WORDS}}

    def load() -> FilmTower:
        tensors = _renamed(read_tensors(card.name, checkpoint))
        return filled(card.name, lambda: FilmTower(config), tensors, checkpoint, placement)

    tower = shared(("viclip", repr(config), sha256_of(checkpoint)), placement, load)
    return ViClip(card, tower, Preprocessing(CropUnclamped(), IMAGENET_COLOURS, preprocess))


def _renamed(tensors: Tensors) -> Tensors:
    """ViCLIP's names as those of `FilmTower`; its 3-d patch convolution has depth 1 and becomes a 2-d one."""
    named: Tensors = {}
    for name in list(tensors):
        value = tensors.pop(name)
        if name == "temp":
            named["clip.logit_scale"] = derived(lambda temperature: -temperature.log(), value)
        elif name == "vision_encoder.temporal_positional_embedding":
            named["frame_embedding"] = value
        elif name == "vision_encoder.conv1.weight" and len(value.shape) == 5 and value.shape[2] == 1:
            named["clip.visual.conv1.weight"] = derived(lambda weight: weight.squeeze(2), value)
        elif name.startswith("vision_encoder."):
            named[f"clip.visual.{name.removeprefix('vision_encoder.')}"] = value
        else:
            named[f"clip.{name.removeprefix('text_encoder.')}"] = value
    return named


VICLIP = Release(
    RewardCard(
        name="viclip",
        summary="how well a film fits its prompt, 8 frames seen together",
        source="InternVid, Wang et al., arXiv:2307.06942; Ji4chenLi/t2v-turbo, reward_fn/reward_fn.py",
        code_licence="Apache-2.0",
        weights_licence="Apache-2.0",
        score_range=(0.0, 0.4),
        unit="cosine of film and prompt",
        needs_prompt=True,
        max_prompt_tokens=WORDS,
        video_level=True,
        frames=f"uniform:{FRAMES}",
        parameters=427_590_145,
        input="8 frames of 224x224, middle square",
        preprocess=("exact", "diff"),
    ),
    load_viclip,
    {
        "checkpoint": ElsewhereFile(
            "ViClip-InternVid-10M-FLT.pth", "https://huggingface.co/OpenGVLab/ViCLIP (asks to accept its terms first)"
        )
    },
    {"architecture": "ViT-L-14-quickgelu"},
)
