"""Prompts beside pictures: one each, and encoded once however often they come."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rewardkit.errors import BadInputError

Features = tuple[Tensor, ...]
MOST_PROMPTS = 1024
PROMPTS_AT_ONCE = 64


def paired(who: str, prompts: Sequence[str] | None, pixels: Tensor) -> Sequence[str]:
    """The prompts, refused unless there is one a picture (image, 3, height, width) or one a video.

    Raises:
        BadInputError: in the name of `who`.
    """
    if prompts is None or isinstance(prompts, str) or len(prompts) != len(pixels):
        what = "video" if pixels.ndim == 5 else "image"
        got = f"the text {prompts!r}" if isinstance(prompts, str) else "none" if prompts is None else str(len(prompts))
        raise BadInputError(f"{who} needs one prompt per {what}: got {got} for {len(pixels)} {what}s")
    return prompts


class PromptCache(nn.Module):
    """What a frozen text tower gives for the last prompts; a film's frames and a training's epochs repeat them.

    It is a module only to forget everything once the reward is moved or cast.
    """

    def __init__(self, most: int = MOST_PROMPTS) -> None:
        super().__init__()
        self._most = most
        self._known: OrderedDict[str, Features] = OrderedDict()

    @torch.no_grad()
    def features(self, prompts: Sequence[str], encode: Callable[[list[str]], Features]) -> Features:
        """Tensors whose row i belongs to prompt i; `encode` is asked only for prompts not seen before, each once."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        for start in range(0, len(new), PROMPTS_AT_ONCE):
            some = new[start : start + PROMPTS_AT_ONCE]
            self._known.update(zip(some, zip(*encode(some), strict=True), strict=True))
        rows = [self._known[prompt] for prompt in prompts]
        for prompt in dict.fromkeys(prompts):
            self._known.move_to_end(prompt)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return tuple(torch.stack(part) for part in zip(*rows, strict=True))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PromptCache:
        self._known.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self
