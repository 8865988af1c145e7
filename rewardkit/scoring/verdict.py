"""What a comparison found, in sentences that claim no more than the numbers do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from rewardkit.scoring.change import LEAST_PAIRS, Change
from rewardkit.scoring.decimals import decimals_for
from rewardkit.scoring.pairing import Pairing

_THESE = ("this one", "these two", "these three", "these four", "these five")

Names = tuple[str, str]
"""What the two sets are called: (before, after)."""


def verdict(total: Change, fallen: Sequence[Change], look_at: Sequence[str], names: Names, noun: str = "pair") -> str:
    """Who wins, in how many pairs, which parts of the sum fell, and which videos to look at.

    Args:
        total: the reward asked for.
        fallen: parts of the sum that fell, the clearest first.
        look_at: paths of videos, five at most, that fell most in the first fallen part, or in `total` without one.
        names, noun: see `sentence`.
    """
    falls = f"; {', '.join(map(_fall, fallen))}" if fallen else ""
    told = sentence(total, names, noun) + falls
    if look_at:
        part = f", for {fallen[0].name}" if len(fallen) > 1 else ""
        told += f"{':' if fallen else ';'} look at {_THESE[len(look_at) - 1]}{part}: {', '.join(_file_names(look_at))}"
    return told.encode(errors="backslashreplace").decode()  # a file name need not be unicode, what is printed must


def sentence(change: Change, names: Names, noun: str = "pair") -> str:
    """Whether the second of two sets beats the first: `tuned beats base on motion in 71 % of 96 pairs (95 %: ...)`.

    It beats or loses to the first only if the mean change is clear; if no majority of pairs is, that is said too.

    Args:
        change: from the first to the second.
        names: of the two sets.
        noun: what one pair is, such as `prompt`.
    """
    before, after = names
    if change.ties == change.pairs:
        return f"{after} and {before} score the same on {change.name} in {_count(change.pairs, noun)}"
    if change.outcome == "unclear":
        return f"{after} cannot be told from {before} on {change.name}: {_doubt(change, noun)}"
    rose = change.outcome == "rose"
    claim = f"{after} {'beats' if rose else 'loses to'} {before} on {change.name}"
    if _majority(change) == change.outcome:
        return f"{claim} in {_share(change, noun, losses=not rose)}"
    return f"{claim} only on average ({_amount(change)}): it wins in {_share(change, noun)}"


def pairing_sentence(pairing: Pairing, names: Names) -> str:
    """How rows were matched, and what was left out."""
    left_out = [
        f"{_count(number, 'row')} of {side} without a partner"
        for side, number in zip(names, (pairing.unpaired_before, pairing.unpaired_after), strict=True)
        if number
    ]
    if pairing.failed_pairs:
        left_out.append(f"{_count(pairing.failed_pairs, 'pair')} with a failed side")
    rest = f"; left out: {', '.join(left_out)}" if left_out else "; no row was left out"
    return f"{_count(len(pairing.pairs), 'pair')}, matched by {pairing.paired_by}{rest}"


def _doubt(change: Change, noun: str) -> str:
    if change.pairs == 1:
        return f"one {noun} gives no interval"
    if change.pairs < LEAST_PAIRS:
        return f"{change.pairs} {noun}s are too few, at least {LEAST_PAIRS} are needed"
    wins = f"it wins in {_share(change, noun)}"
    return wins if _majority(change) is None else f"{wins}, but on average may not differ ({_amount(change)})"


def _majority(change: Change) -> str | None:
    """`rose` if surely more than half of the pairs are wins, `fell` if surely more than half are losses."""
    low, high = change.win_rate_interval or (0.0, 1.0)
    return "rose" if low > 0.5 else "fell" if high < 0.5 else None


def _share(change: Change, noun: str, losses: bool = False) -> str:
    rate, (low, high) = change.win_rate, change.win_rate_interval or (0.0, 1.0)
    if losses:
        rate, low, high = 1 - rate, 1 - high, 1 - low
    ties = f"; {_count(change.ties, 'tie')} counted half" if change.ties else ""
    between = f"{_percent(low)} to {_percent(high)} %"
    return f"{_percent(rate)} % of {_count(change.pairs, noun)} (95 %: {between}{ties})"


def _percent(share: float) -> str:
    rounded = round(100 * share)
    return str(rounded if share in (0, 1) else min(max(rounded, 1), 99))  # 100 % only where all are


def _fall(change: Change) -> str:
    # more than all of it: the mean before was near zero, and no measure of the fall
    if change.relative is None or change.relative < -1:
        return f"{change.name} fell by {_amount(change).removeprefix('-')}"
    percent = -100 * change.relative
    return f"{change.name} fell {percent:.{decimals_for(percent, digits=1)}f} %"


def _amount(change: Change) -> str:
    return f"{change.difference:+.{decimals_for(change.difference, digits=2)}f}"


def _file_names(paths: Sequence[str]) -> Sequence[str]:
    names = [PurePath(path).name for path in paths]
    return names if len(set(names)) == len(names) else paths


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
