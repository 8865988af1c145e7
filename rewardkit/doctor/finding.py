"""What a check found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "bad"]


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        name: what was looked at.
        state: `warn` where something will be slow or missing, `bad` where rewardkit will fail.
        found: what is there.
        mend: what to do about it, as a command where there is one; empty where nothing is amiss.
    """

    name: str
    state: State
    found: str
    mend: str = ""


Check = Callable[[], Finding]
