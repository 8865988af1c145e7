"""The generator that comes with rewardkit: films of a tiny world, 8 frames of 32 by 32 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import rewardkit.miniworld
from rewardkit.engine.generator import FilmShape
from rewardkit_adapters.modelscope import ModelScope


class MiniWorld(ModelScope):
    """A ModelScope with weights of its own, which lie in the package."""

    name: ClassVar[str] = "miniworld"
    default_guidance: ClassVar[float] = 4.0
    default_model: ClassVar[str | None] = str(Path(rewardkit.miniworld.__file__).parent / "weights" / "generator")
    frames: int = 8
    tiny_shape: ClassVar[FilmShape] = FilmShape(8, 32, 32)
