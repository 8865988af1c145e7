"""How far long work is: a bar on a terminal, otherwise a line now and then; always on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from rewardkit.scoring.rows import ScoreRow

SECONDS_BETWEEN_LINES = 30.0


class Bar:
    """Shows how much of one thing after another is done, time left, and a note."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self._what = ""
        self._bar: Progress | None = None
        self._start = self._last_line = time.monotonic()
        self._first = 0

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("work", total=None, note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def at(self, what: str, done: int, total: int, note: str = "") -> None:
        """`done` counts what was there before, too; time left is judged by what came since."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._first, self._start = what, done, now
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, note=f"{what}  {note}")
        elif not self.quiet and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            said = [f"{done} of {total} {what}", *filter(None, [note])]
            if done > self._first:
                said.append(f"about {(total - done) * (now - self._start) / (done - self._first):.0f} s left")
            typer.echo(", ".join(said), err=True)


class ScoreProgress(Bar):
    """Called with each new row, as `score_folder` wants it; shows videos per second, time left and failures."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet)
        self.done = self.total = self.new = self.failed = 0

    def __call__(self, row: ScoreRow | None, done: int, total: int) -> None:
        """Shows where scoring is."""
        self.done, self.total = done, total
        if row is None:
            if done and not self.quiet:
                typer.echo(f"{done} of {total} videos have their row already", err=True)
        else:
            self.new += 1
            self.failed += row.status == "error"
        per_second = self.new / max(1e-9, time.monotonic() - self._start)
        self.at("videos", done, total, f"{per_second:.1f} videos/s, {self.failed} failed")
