"""The settings of `rewardkit score`, from a file or the command line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from rewardkit.limits import Limits
from rewardkit.scoring.rows import ShardFormat

Engine = Literal["local", "ray"]


class ScoreConfig(Limits):
    """What to score, with what, where the rows go, and what a video may cost; `score_folder` explains each setting."""

    source: list[str] = Field(default_factory=list)
    reward: str = "technical"
    frames: str | None = None
    weights: str | None = None
    reduce: str | None = None
    prompts: str = "auto"
    prompt: str | None = None
    out: str | None = None
    shards: ShardFormat = "jsonl"
    overwrite: bool = False
    retry_failed: bool = False
    limit: PositiveInt | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: PositiveInt | Literal["auto"] = "auto"
    num_workers: PositiveInt | Literal["auto"] = "auto"
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    engine: Engine = "local"
    ray_address: str | None = None
    allow_outside: bool = False

    @property
    def limits(self) -> Limits:
        """What a video may cost."""
        return Limits(**self.model_dump(include=set(Limits.model_fields)))
