"""Checks of what the operating system allows, and of its clock."""

from __future__ import annotations

from datetime import UTC, datetime

from rewardkit.doctor.finding import Finding

LEAST_FILES = 1024
RELEASED = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock of a machine that runs this can be before."""


def open_files() -> Finding:
    """How many files may be open at once: every video that is read is one, and Ray needs hundreds."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Finding("open files", "ok", "as many as there are")
    if soft >= LEAST_FILES:
        return Finding("open files", "ok", f"{soft} at once")
    may = LEAST_FILES if hard == resource.RLIM_INFINITY else min(hard, LEAST_FILES)
    mend = f"ulimit -n {may}" if may > soft else "ask who runs this machine to raise the hard limit (ulimit -Hn)"
    return Finding("open files", "warn", f"{soft} at once", mend)


def clock(now: datetime | None = None) -> Finding:
    """Whether the clock can be right; one far behind breaks downloads, and the order of runs."""
    now = now or datetime.now(UTC)
    words = f"{now:%Y-%m-%d %H:%M} UTC"
    if now < RELEASED:
        return Finding("clock", "bad", f"{words}, before this rewardkit was made", "sudo timedatectl set-ntp true")
    return Finding("clock", "ok", words)
