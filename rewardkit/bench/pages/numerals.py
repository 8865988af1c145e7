"""Numbers as people read them."""

from __future__ import annotations

import math

MISSING = "\N{EN DASH}"
"""Stands for a number that is not there."""


def fixed(number: float | None, decimals: int) -> str:
    """With that many decimals and a true minus sign; a dash for what is missing or not finite."""
    if number is None or not math.isfinite(number):
        return MISSING
    if abs(number) >= 1e9:
        return f"{number:.3g}".replace("-", "\N{MINUS SIGN}")
    words = f"{number:,.{decimals}f}"
    # a rounded zero has no sign
    return (words.lstrip("-") if not float(words.replace(",", "")) else words).replace("-", "\N{MINUS SIGN}")


def duration(milliseconds: float | None) -> str:
    """`0.4 ms`, `239 ms`, `2.1 s`, `3 min 5 s`."""
    if milliseconds is None or not math.isfinite(milliseconds):
        return MISSING
    if milliseconds < 9.95:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    return f"{round(seconds) // 60} min {round(seconds) % 60} s"
