"""What can go wrong, as a tree. The message of each is one sentence: who needs what, what came, what to do.

```
RewardkitError                 everything that rewardkit raises on purpose
├── UsageError                 the call, option or configuration makes no sense            exit 2
│   ├── UnknownNameError       no reward, sampler, ... of that name (also a KeyError)
│   ├── MissingExtraError      an optional package is not installed
│   ├── OutputError            results cannot be written or do not belong together
│   └── BadCheckpointError     a file does not hold the weights that a reward needs
├── MissingWeightsError        weights are not on this machine and cannot be fetched now      exit 4
├── BadInputError              one video, prompt or tensor cannot be used                  its row says error
│   └── UnreadableVideoError   a file cannot be decoded as video
│       ├── OverLimitError     it is larger, longer or slower than allowed
│       └── DecoderDiedError   the process that read it ended
├── RewardFailedError          a reward raised, or gave something that is not a number     its row says error
├── ConformanceError           a reward breaks a promise that all rewards make
└── NothingToDoError           no input matched                                            exit 3
```
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

LONGEST_MESSAGE = 1000
"""Characters; of a longer one the beginning and the end are kept."""


class RewardkitError(Exception):
    """Everything that rewardkit raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(RewardkitError):
    """The call, option or configuration makes no sense."""

    exit_code = 2


class UnknownNameError(UsageError, KeyError):
    """No thing of that name is known; the message suggests the nearest names."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
        self.message = f"no {kind} is called {name!r}: {hint}"
        super().__init__(self.message)

    def __str__(self) -> str:  # a KeyError would print its message quoted
        return printable(self.message)


class MissingExtraError(UsageError):
    """An optional package is not installed."""

    def __init__(self, need: str, package: str, extra: str) -> None:
        super().__init__(f"{need} needs {package}: pip install 'rewardkit[{extra}]'")


class OutputError(UsageError):
    """Results cannot be written, or do not belong with those already there."""


class BadCheckpointError(UsageError):
    """A file does not hold the weights that a reward needs."""


class MissingWeightsError(RewardkitError):
    """Weights are not on this machine and cannot be fetched now."""

    exit_code = 4


class BadInputError(RewardkitError):
    """One video, prompt or tensor cannot be used."""


class UnreadableVideoError(BadInputError):
    """A file cannot be decoded as video."""


class OverLimitError(UnreadableVideoError):
    """A video is larger, longer or slower to read than allowed."""


class DecoderDiedError(UnreadableVideoError):
    """The process that read a video ended."""


class RewardFailedError(RewardkitError):
    """A reward raised, or gave something that is not a number."""


class ConformanceError(RewardkitError):
    """A reward breaks a promise that all rewards make."""


class NothingToDoError(RewardkitError):
    """No input matched."""

    exit_code = 3


def first_line(error: BaseException) -> str:
    """An exception's message as one line."""
    return printable(" ".join(str(error).split())[:300]) or type(error).__name__


def printable(text: str) -> str:
    """One line for a terminal, whatever a stranger's file put into it: no control characters, and not too long."""
    half = LONGEST_MESSAGE // 2
    short = text if len(text) <= LONGEST_MESSAGE else f"{text[:half]} ... {text[-half:]}"
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in short)
