"""Prompts that are longer than what is read of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence


class LongPrompts:
    """Warns once of each prompt that is not read to its end.

    Args:
        who: reads them.
        count: of a prompt's tokens, with the marks at its ends.
    """

    def __init__(self, who: str, count: Callable[[str], int]) -> None:
        self._who, self._count, self._seen = who, count, {""}

    def warn(self, prompts: Sequence[str], longest: int) -> None:
        """Of those with more than `longest` tokens."""
        for prompt in prompts:
            if prompt in self._seen:
                continue
            self._seen.add(prompt)
            tokens = self._count(prompt)
            if tokens > longest:
                warnings.warn(
                    f"{self._who} reads {longest} of the {tokens} tokens of {prompt!r}: "
                    "shorten it, or say first what matters",
                    stacklevel=2,
                )
