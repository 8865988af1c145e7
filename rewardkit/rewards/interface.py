"""What a reward model is: the two interfaces that every reward, ours or yours, fills in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.preprocessing import Preprocessing, Way


class FrozenModel(nn.Module, ABC):
    """A judge: it has a card, its weights never train, and it is always in evaluation mode.

    Attributes:
        card: what it says of itself.
        preprocessing: how pictures get to the model's size; None where they are taken as they are.
        loaded_from: `setting/file name` to sha256 of every file in use; empty for a reward without weights.
        settings: what was given to the one who built it beside files, as text; part of the reward's spec.
        takes_bytes: whether `forward` takes uint8 pixels too, and shrinks them before they become float. Float takes
            four times the memory, and gigabytes for a long video.
    """

    card: RewardCard
    takes_bytes: ClassVar[bool] = False
    preprocessing: Preprocessing | None = None
    loaded_from: Mapping[str, str] = MappingProxyType({})
    settings: Mapping[str, str] = MappingProxyType({})

    def preprocess_of(self, pixels: Tensor) -> Way | None:
        """How `pixels` get to the model's size: `exact` or `diff`; None where they are taken as they are."""
        return None if self.preprocessing is None else self.preprocessing.used_for(pixels)

    def truncates(self, prompt: str) -> bool:
        """Whether `prompt` is longer than the model reads; models with a prompt limit say so here."""
        del prompt
        return False

    def weights_sha256(self) -> dict[str, str]:
        """File, by name, to sha256 of all that is in use; empty for a reward without weights."""
        return dict(self.loaded_from)

    def freeze(self) -> None:
        """Takes the gradient off all weights and goes to evaluation mode, in which it stays."""
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenModel:
        """Stays in evaluation mode whatever `mode`: dropout in a judge would make scores random."""
        del mode
        return super().train(False)


class ImageReward(FrozenModel):
    """Judges pictures one by one.

    A subclass sets `card` and writes `forward`. Score i must depend on picture i and prompt i alone, and be float32
    (float64 for float64 pictures).
    """

    @abstractmethod
    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """One score a picture. `images` are RGB in [0, 1]; `prompts`, where the reward needs them, one a picture."""


class TemporalReward(FrozenModel):
    """Judges the chosen frames of a video together, in order: motion, flicker, text-to-video agreement."""

    @abstractmethod
    def forward(
        self, video: Float[Tensor, "batch frame 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " batch"]:
        """One score a video. `video` is RGB in [0, 1]; `prompts`, where the reward needs them, one a video."""
