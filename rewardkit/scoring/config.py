"""The settings of `rewardkit score`, from a file or the command line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from rewardkit.scoring.row_folder import ShardFormat
from rewardkit.video.limits import MAX_PIXELS, Limits, Seconds

Engine = Literal["local", "ray"]


class ScoreConfig(BaseModel):
    """What to score, with what, and where the rows go; `score_folder` and `create_reward` explain each setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: list[str] = []
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
    max_pixels: PositiveInt = MAX_PIXELS
    max_frames: PositiveInt | None = None
    timeout: Seconds | None = None
    isolate: bool = False

    @property
    def limits(self) -> Limits:
        """What a video may cost."""
        return Limits(**self.model_dump(include=set(Limits.model_fields)))
