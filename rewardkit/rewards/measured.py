"""What was measured of the rewards that come with the package, read from a file that the measuring commands write."""

from __future__ import annotations

import functools
import json
from importlib import resources


def measured(name: str) -> dict[str, str]:
    """Numbers of one reward, in words: difference from the official code, time a frame; empty if not measured."""
    return dict(_all().get(name, {}))


@functools.cache
def _all() -> dict[str, dict[str, str]]:
    file = resources.files("rewardkit.rewards") / "measured.json"
    found: dict[str, dict[str, str]] = json.loads(file.read_text(encoding="utf-8"))
    return found
