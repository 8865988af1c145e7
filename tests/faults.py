"""What a fault cost, kept as properties of the test that injected it; benchmarks/faults.py makes a table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Record = Callable[[str, object], None]


def note(record: Record, fault: str, seconds: float | None = None, lost: int = 0, doubled: int = 0) -> None:
    """`record` is pytest's record_property; seconds are until the work went on."""
    record("fault", fault)
    record("lost", lost)
    record("doubled", doubled)
    if seconds is not None:
        record("seconds", round(seconds, 2))


def note_ranks(record: Record, what: str, difference: float) -> None:
    """The largest difference of a weight from that of one process, for trainings by several."""
    record("ranks", what)
    record("difference", difference)


def count(record: Record, fault: str, expected: Iterable[str], found: Iterable[str], seconds: float | None) -> None:
    """The same for videos and the rows that are there in the end; fails where one is lost or doubled."""
    wanted, listed = set(expected), list(found)
    lost, doubled = len(wanted - set(listed)), len(listed) - len(set(listed))
    note(record, fault, seconds, lost, doubled)
    assert (lost, doubled) == (0, 0)
