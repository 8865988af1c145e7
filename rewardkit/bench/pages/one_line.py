"""Text of others where only a line has room."""

from __future__ import annotations


def one_line(text: str, most: int | None = None) -> str:
    """On one line, without what is not printed, cut at `most` characters where a number is given."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words if most is None or len(words) <= most else f"{words[: most - 1]}…"
