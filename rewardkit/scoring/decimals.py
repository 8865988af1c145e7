"""How many decimals a column of numbers deserves."""

from __future__ import annotations

import math


def decimals_for(size: float, digits: int = 3) -> int:
    """Decimals that show a number of that size to so many digits: 3 for 0.3, 5 for 0.002, 0 for 500."""
    if not size or not math.isfinite(size):
        return digits
    return min(max(digits - 1 - math.floor(math.log10(abs(size))), 0), 9)
