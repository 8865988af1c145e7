"""Names as names of files, and as heads of columns."""

from __future__ import annotations

import hashlib
import re


def slug(name: str) -> str:
    """Letters, digits, dots and dashes; a name that loses more than spaces by it has a few digits of its hash, too."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:60]
    if plain.replace("-", " ") == name.lower().replace("-", " "):
        return plain
    return f"{plain}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:6]}"


def label(reward: str) -> str:
    """A reward's name as people would say it: of `module:Attribute` and `file.py:Attribute` the last word."""
    return reward.rpartition(":")[2] if re.fullmatch(r"[^\s\[\]*+]+:\w+", reward) else reward
