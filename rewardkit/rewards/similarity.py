"""Agreement of picture and prompt: the cosine that HPSv2, PickScore, CLIPScore and BLIPScore have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from jaxtyping import Float
from torch import Tensor

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward
from rewardkit.rewards.preprocessing import Preprocessing
from rewardkit.rewards.prompts import Features, PromptCache, paired
from rewardkit.rewards.towers.clip import cosine

Tokens = TypeVar("Tokens")
TokensIn = TypeVar("TokensIn", contravariant=True)
TokensOut = TypeVar("TokensOut", covariant=True)


class Tokenizer(Protocol[TokensOut]):
    """A model's own tokenizer."""

    context: int

    def __call__(self, texts: Sequence[str]) -> TokensOut:
        """Tokens of each text, cut to `context`."""

    def length(self, text: str) -> int:
        """Tokens of the whole text."""


class DualTower(Protocol[TokensIn]):
    """Pictures and texts as vectors of one space, not normalised."""

    def images(self, pixels: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image feature"]:
        """One vector a picture."""

    def texts(self, tokens: TokensIn) -> Float[Tensor, "text feature"]:
        """One vector a text."""


class Similarity(ImageReward):
    """The cosine of picture and prompt, each picture with its own prompt.

    Args:
        card: what the reward says of itself.
        tower: frozen, perhaps shared.
        tokenizer: the model's own; they differ on curly quotes.
        preprocessing: the model's own.
        prefix: put before every prompt.
        factor: what the cosine is multiplied by.
        floored: whether negative cosines count as 0, where there is no gradient then.
    """

    preprocessing: Preprocessing
    takes_bytes = True

    def __init__(
        self,
        card: RewardCard,
        tower: DualTower[Tokens],
        tokenizer: Tokenizer[Tokens],
        preprocessing: Preprocessing,
        prefix: str = "",
        factor: float = 1.0,
        floored: bool = False,
    ) -> None:
        super().__init__()
        self.card = card
        self.tower = tower
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.prefix, self.factor, self.floored = prefix, factor, floored
        self.texts = PromptCache()

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """The score of each picture with its own prompt."""
        prompts = paired(self.card.name, prompts, images)
        seen = self.tower.images(self.preprocessing(self.card.name, images))
        (said,) = self.texts.features(prompts, self._encode)
        agreement = cosine(seen, said)
        return self.factor * (agreement.clamp(min=0) if self.floored else agreement)

    def truncates(self, prompt: str) -> bool:
        """Whether `prompt`, prefix included, has more tokens than the tower reads."""
        return self.tokenizer.length(self.prefix + prompt) > self.tokenizer.context

    def _encode(self, prompts: list[str]) -> Features:
        return (self.tower.texts(self.tokenizer([self.prefix + prompt for prompt in prompts])),)
