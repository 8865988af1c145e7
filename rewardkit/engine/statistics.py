"""How good a reward is for its prompt: mean and deviation over what each prompt's films got so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Scored = tuple[str, float]


class PromptStatistics:
    """Rewards of the last films, by prompt.

    Args:
        kept: rewards remembered of each prompt.
        least: with fewer than these, a prompt is judged by the batch's mean and deviation.
        together: from this process's scores to those of all.

    Source: kvablack/ddpo-pytorch, stat_tracking.py, where the numbers are 16 and 16.
    """

    def __init__(
        self, kept: int = 16, least: int = 4, together: Callable[[list[Scored]], list[Scored]] = lambda scores: scores
    ) -> None:
        self._kept, self._least, self._together = kept, least, together
        self._known: dict[str, deque[float]] = {}

    def advantages(self, prompts: Sequence[str], rewards: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """(reward - mean) / (deviation + 1e-6) of each film, which is remembered first."""
        everyone = self._together(list(zip(prompts, rewards.tolist(), strict=True)))
        for prompt, reward in everyone:
            self._known.setdefault(prompt, deque(maxlen=self._kept)).append(reward)
        batch = [reward for _, reward in everyone]
        found = []
        for prompt, reward in zip(prompts, rewards.tolist(), strict=True):
            known = self._known[prompt]
            values = torch.tensor(known if len(known) >= self._least else batch, dtype=torch.float64)
            found.append((reward - values.mean()) / (values.std(correction=0) + 1e-6))
        return torch.stack(found).to(rewards)

    def state(self) -> dict[str, list[float]]:
        """All that is remembered."""
        return {prompt: list(rewards) for prompt, rewards in self._known.items()}

    def restore(self, state: Mapping[str, Sequence[float]]) -> None:
        """Remembers that and nothing else."""
        self._known = {prompt: deque(rewards, maxlen=self._kept) for prompt, rewards in state.items()}
