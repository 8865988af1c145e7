"""Names as names of files."""

from __future__ import annotations

import hashlib
import re


def slug(name: str) -> str:
    """Letters, digits, dots and dashes; a name that loses more than spaces by it has a few digits of its hash, too."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:60]
    if plain.replace("-", " ") == name.lower().replace("-", " "):
        return plain
    return f"{plain}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:6]}"
