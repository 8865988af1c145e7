"""What is promised of every reader of strangers' files, and how it is checked.

A reader gives its result, or raises one of our errors, whose message is one line that a terminal can print. Nothing
else is raised, and neither time nor memory runs away.
"""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rewardkit.errors import LONGEST_MESSAGE, RewardkitError

SECONDS = 5.0
LONGEST = 10 * LONGEST_MESSAGE
"""Characters: of a message that quotes a file each may be written as `\\U0001f600`."""

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class BrokenPromiseError(AssertionError):
    """A reader did on a stranger's file what no reader may do."""


class _TooSlowError(BaseException):
    """The time is over; no reader must take it for an error of its own."""


def outcome(read: Callable[[], object], most_bytes: int, seconds: float = SECONDS) -> str:
    """`ok`, or the kind of our error.

    Raises:
        BrokenPromiseError: with what was done instead, and where.
    """
    before = _watch_memory()
    try:
        with _within(seconds):
            read()
        found = "ok"
    except RewardkitError as error:
        found = type(error).__name__
        _check_message(str(error))
    except _TooSlowError:
        raise BrokenPromiseError(f"takes longer than {seconds:g} s") from None
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        raise BrokenPromiseError(f"raises {type(error).__name__} at {where}: {str(error)[:300]!r}") from error
    grown = _memory("VmHWM") - before
    if grown > most_bytes:
        raise BrokenPromiseError(f"takes {grown >> 20} MiB, more than {most_bytes >> 20}")
    return found


def resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not tell."""
    return _memory("VmRSS")


def _watch_memory() -> int:
    """As `resident`; the peak is counted from now on."""
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")
    return resident()


def _memory(line: str) -> int:
    if not STATUS.exists():
        return 0
    return int(STATUS.read_text().split(f"{line}:")[1].split()[0]) << 10


def _check_message(message: str) -> None:
    if not message.isprintable():
        raise BrokenPromiseError(f"says what a terminal cannot print: {message[:300]!r}")
    if not 0 < len(message) <= LONGEST:
        raise BrokenPromiseError(f"says {len(message)} characters: {message[:300]!r}")


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Ends Python code that takes longer; C code ends first, and only then hears of it."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise _TooSlowError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
