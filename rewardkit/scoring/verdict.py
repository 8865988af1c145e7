"""What a comparison found, in sentences that claim no more than the numbers do."""

from __future__ import annotations

from collections.abc import Sequence

from rewardkit.scoring.change import LEAST_PAIRS, Change
from rewardkit.scoring.decimals import decimals_for
from rewardkit.scoring.pairing import Pairing


def verdict(total: Change, parts: Sequence[Change]) -> str:
    """Who wins, by how much, whether that can be told from chance, and which part of the sum fell."""
    ties = f", {_count(total.ties, 'tie')} counted half" if total.ties else ""
    wins = f"{_percent(total.win_rate)} of {_count(total.pairs, 'pair')}{_percent_range(total)}{ties}"
    fallen = [f"{part.name} ({_amount(part)})" for part in parts if part.outcome == "fell"]
    warning = f"; but fallen: {', '.join(fallen)}" if fallen else ""
    change = f"mean change {_amount(total)}: {_conclusion(total)}"
    return f"after beats before on {total.name} in {wins}; {change}{warning}"


def pairing_sentence(pairing: Pairing) -> str:
    """How rows were matched, and what was left out."""
    left_out = [
        f"{_count(number, 'row')} of {side} without a partner"
        for side, number in (("before", pairing.unpaired_before), ("after", pairing.unpaired_after))
        if number
    ]
    if pairing.failed_pairs:
        left_out.append(f"{_count(pairing.failed_pairs, 'pair')} with a failed side")
    rest = f"; left out: {', '.join(left_out)}" if left_out else "; no row was left out"
    return f"{_count(len(pairing.pairs), 'pair')}, matched by {pairing.paired_by}{rest}"


def _conclusion(change: Change) -> str:
    if change.difference_interval is None:
        return "one pair gives no interval, so nothing can be concluded"
    if change.ties == change.pairs:
        return "no score changed"
    if change.outcome != "unclear":
        return "a rise" if change.outcome == "rose" else "a fall"
    low, high = change.difference_interval
    if low <= 0 <= high:
        return "not distinguishable from no change"
    return f"too few pairs to rule out chance (at least {LEAST_PAIRS} are needed)"


def _percent_range(change: Change) -> str:
    if change.win_rate_interval is None:
        return ""
    low, high = change.win_rate_interval
    return f" (95 %: {_percent(low)} to {_percent(high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _amount(change: Change) -> str:
    interval = change.difference_interval or ()
    decimals = decimals_for(max(map(abs, (change.difference, *interval))), digits=2)
    first, *rest = (f"{number:+.{decimals}f}" for number in (change.difference, *interval))
    return f"{first} ({rest[0]} to {rest[1]})" if rest else first


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
