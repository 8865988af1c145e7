"""What a run has done so far, in numbers."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sized

from rewardkit.scoring.rows import ScoreRow


class Counters:
    """Counts rows as they are made; may be read at any time.

    Attributes:
        ok: videos scored.
        failed: videos that could not be, by kind of error.
        decode_ms, model_ms: milliseconds of work, over all threads and machines.
        waiting: the videos that are decoded, or being decoded, ahead of the reward; empty where Ray keeps them.
    """

    def __init__(self) -> None:
        self.ok = 0
        self.failed: Counter[str] = Counter()
        self.decode_ms = self.model_ms = 0.0
        self.waiting: Sized = deque[object]()
        self._start = time.monotonic()

    def take(self, row: ScoreRow) -> None:
        """Counts a row."""
        if row.status == "ok":
            self.ok += 1
        else:
            self.failed[row.error_kind or "unknown"] += 1
        self.decode_ms += row.decode_ms or 0.0
        self.model_ms += row.model_ms or 0.0

    def facts(self) -> dict[str, object]:
        """All of it by name, with the videos a second since the start."""
        seconds = time.monotonic() - self._start
        videos = self.ok + self.failed.total()
        return {
            "videos": videos,
            "ok": self.ok,
            "failed": dict(self.failed),
            "seconds": round(seconds, 3),
            "videos_per_second": round(videos / max(1e-9, seconds), 3),
            "decode_ms": round(self.decode_ms, 3),
            "model_ms": round(self.model_ms, 3),
            "waiting": len(self.waiting),
        }
