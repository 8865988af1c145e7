"""Through which steps of a walk the gradient goes. Every choice is also a line: `last`, `tail:4`, `random:2`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import torch
from pydantic import BeforeValidator, Field, PositiveInt
from pydantic.dataclasses import dataclass

from rewardkit.errors import UsageError
from rewardkit.spec import STRICT_FIELDS, Part, split_numbers


class GradientSteps(Part, ABC):
    """Chooses steps of a walk, once a batch, the same for all its films."""

    kind: ClassVar[str] = "choice of gradient steps"

    @abstractmethod
    def chosen(self, steps: int, generator: torch.Generator) -> frozenset[int]:
        """The steps that carry gradient, counted from 0, the noisiest.

        Raises:
            UsageError: there are not as many steps as asked for.
        """


@dataclass(frozen=True, config=STRICT_FIELDS)
class Tail(GradientSteps):
    """The last `count` steps: DRaFT-K (Clark et al., arXiv:2309.17400)."""

    name: ClassVar[str] = "tail"
    count: PositiveInt = 1

    def chosen(self, steps: int, generator: torch.Generator) -> frozenset[int]:
        """The last ones."""
        return frozenset(range(steps - _at_most(self, self.count, steps), steps))


@dataclass(frozen=True, config=STRICT_FIELDS)
class Last(GradientSteps):
    """The last step alone: InstructVideo."""

    name: ClassVar[str] = "last"

    def chosen(self, steps: int, generator: torch.Generator) -> frozenset[int]:
        """The last one."""
        return frozenset({steps - 1})


@dataclass(frozen=True, config=STRICT_FIELDS)
class Spread(GradientSteps):
    """`count` steps at equal distances, the last among them."""

    name: ClassVar[str] = "uniform"
    count: PositiveInt

    def chosen(self, steps: int, generator: torch.Generator) -> frozenset[int]:
        """ceil((i + 1) * steps / count) - 1 for i = 0 ... count - 1."""
        count = _at_most(self, self.count, steps)
        return frozenset(-(-(i + 1) * steps // count) - 1 for i in range(count))


@dataclass(frozen=True, config=STRICT_FIELDS)
class Drawn(GradientSteps):
    """`count` steps at random, drawn anew for each batch."""

    name: ClassVar[str] = "random"
    count: PositiveInt = 1

    def chosen(self, steps: int, generator: torch.Generator) -> frozenset[int]:
        """Drawn without putting back."""
        return frozenset(torch.randperm(steps, generator=generator)[: _at_most(self, self.count, steps)].tolist())


@dataclass(frozen=True, config=STRICT_FIELDS)
class Listed(GradientSteps):
    """Exactly these steps; -1 is the last."""

    name: ClassVar[str] = "steps"
    steps: Annotated[tuple[int, ...], BeforeValidator(split_numbers), Field(min_length=1)]

    def chosen(self, steps: int, generator: torch.Generator) -> frozenset[int]:
        """Those asked for."""
        for step in self.steps:
            if not -steps <= step < steps:
                raise UsageError(f"{self} asks for step {step}: the walk has {steps}")
        return frozenset(step % steps for step in self.steps)


GRADIENT_STEPS: dict[str, type[GradientSteps]] = {part.name: part for part in (Last, Tail, Spread, Drawn, Listed)}


def _at_most(choice: GradientSteps, count: int, steps: int) -> int:
    if count > steps:
        raise UsageError(f"{choice} needs {count} steps: the walk has {steps}")
    return count
