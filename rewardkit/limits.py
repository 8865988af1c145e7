"""What a video may cost: bounds for files that others made."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

MAX_PIXELS = 8192 * 8192
"""Largest frame read by default: 192 MiB as RGB."""

Seconds = Annotated[float, Field(gt=0, le=86400)]
"""At most a day: a clock takes no more than so many."""


class Limits(BaseModel):
    """Bounds for one video; one that goes over them cannot be read, and the others can.

    Attributes:
        max_pixels: of a frame; checked before it is allocated.
        max_frames: of a video, also of those that are not read: to find its length all packets are looked at.
        timeout: seconds in which a video has to be opened and read. Only a process can be stopped in the middle, so
            videos are then read in processes of their own.
        isolate: whether videos are read in processes of their own, which may crash or run out of memory without
            taking this one along. Each takes about a second to start.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_pixels: PositiveInt = MAX_PIXELS
    max_frames: PositiveInt | None = None
    timeout: Seconds | None = None
    isolate: bool = False

    @property
    def isolated(self) -> bool:
        """Whether processes of their own are needed."""
        return self.isolate or self.timeout is not None
