"""How far scoring is: a bar on a terminal, otherwise a line now and then; always on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from rewardkit.scoring.rows import ScoreRow

SECONDS_BETWEEN_LINES = 30.0


class ScoreProgress:
    """Called with each new row, as `score_folder` wants it; shows videos per second, time left and failures."""

    def __init__(self, quiet: bool) -> None:
        self.done = self.total = self.new = self.failed = 0
        self._quiet = quiet
        self._bar: Progress | None = None
        self._start = self._last_line = time.monotonic()

    def __enter__(self) -> ScoreProgress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[pace]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("score", total=None, pace="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, row: ScoreRow | None, done: int, total: int) -> None:
        """Shows where scoring is."""
        self.done, self.total = done, total
        if row is None:
            if done and not self._quiet:
                typer.echo(f"{done} of {total} videos have their row already", err=True)
        else:
            self.new += 1
            self.failed += row.status == "error"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, pace=self._pace())
        elif not self._quiet and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            left = (total - done) * (time.monotonic() - self._start) / max(1, self.new)
            typer.echo(f"{done} of {total} videos, {self._pace()}, about {left:.0f} s left", err=True)

    def _pace(self) -> str:
        per_second = self.new / max(1e-9, time.monotonic() - self._start)
        return f"{per_second:.1f} videos/s, {self.failed} failed"
