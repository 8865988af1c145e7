"""What happens, as lines of JSON on stderr, for programs that watch a run."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rewardkit.scoring.counters import Counters
    from rewardkit.scoring.rows import ScoreRow

SECONDS_BETWEEN_LINES = 5.0


class JsonLog:
    """Called with each new row, as `score_folder` wants it: says how far it is now and then, and every failure.

    Messages of the library, and of those that it uses, become lines too, as long as it is open.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._last = -SECONDS_BETWEEN_LINES
        self._handler = _LogLines()

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self._handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self._handler)

    def __call__(self, row: ScoreRow | None, done: int, total: int) -> None:
        """A line where it is time for one, or where the row says error."""
        if row is not None and row.status == "error":
            say("failure", {"path": row.path, "kind": row.error_kind, "error": row.error}, "warning")
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES or done == total:
            self._last = now
            say("progress", {"done": done, "total": total, **self._counters.facts()})


def say(event: str, facts: Mapping[str, object], level: str = "info") -> None:
    """One line, with the time in seconds since 1970."""
    line = json.dumps({"time": round(time.time(), 3), "level": level, "event": event, **facts}, default=str)
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class _LogLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say("message", {"logger": record.name, "text": record.getMessage()}, record.levelname.lower())
