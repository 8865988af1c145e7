"""A stopwatch on a generator: what the parts of a step take while the engine takes it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal
from unittest.mock import patch

import torch
from timing import finish
from torch import Tensor

from rewardkit.engine.generator import Embedding, Level

Part = Literal["walk", "gradient step", "decode and reward", "backward", ""]


class Stopwatch:
    """Seconds of the parts of a step, and of its passes of the denoiser on the way forward.

    At each border the GPU is waited for.

    Attributes:
        parts: seconds by name.
    """

    def __init__(self, device: str) -> None:
        self.parts: dict[str, float] = {}
        self._device, self._part, self._since = device, "", 0.0
        self._passes: list[tuple[str, int, float]] = []

    def enter(self, part: Part) -> None:
        """One part ends, another begins."""
        now = self._now()
        if self._part:
            self.parts[self._part] = now - self._since
        self._part, self._since = part, now

    def passes(self) -> dict[str, tuple[int, float]]:
        """Films of a pass and median seconds, without gradient (`walk`) and with (`gradient step`)."""
        names = dict.fromkeys(name for name, _, _ in self._passes)
        own = {name: [(films, seconds) for part, films, seconds in self._passes if part == name] for name in names}
        return {name: (some[0][0], statistics.median(seconds for _, seconds in some)) for name, some in own.items()}

    @contextmanager
    def on(self, generator: Any) -> Iterator[Stopwatch]:
        """Passes and decoding of the generator are clocked in here."""
        predict, decode = generator.predict_clean, generator.decode

        def clocked_predict(noisy: Tensor, level: Level, embedding: Embedding) -> Tensor:
            if self._part == "walk" and torch.is_grad_enabled():
                self.enter("gradient step")
            start = self._now()
            clean: Tensor = predict(noisy, level, embedding)  # on the way back it may be left half-way
            if self._part != "backward":
                self._passes.append((self._part, len(noisy), self._now() - start))
            return clean

        def clocked_decode(latents: Tensor, frames: Tensor | None = None) -> Tensor:
            self.enter("decode and reward")
            film: Tensor = decode(latents, frames)
            return film

        with ExitStack() as stack:
            stack.enter_context(patch.object(generator, "predict_clean", clocked_predict))
            stack.enter_context(patch.object(generator, "decode", clocked_decode))
            yield self

    def _now(self) -> float:
        finish(self._device)
        return time.perf_counter()
