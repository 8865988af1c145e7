"""Which row of one scored set belongs to which row of another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from rewardkit.errors import UsageError
from rewardkit.scoring.rows import ScoreRow

Key = tuple[str, str]
"""(prompt, file name); the part that is not needed to tell rows apart is empty."""


@dataclass(frozen=True)
class Pairing:
    """Two sets of rows, matched, in an order that does not depend on theirs.

    Attributes:
        pairs: (before, after) where both have a score, sorted by prompt and file name.
        paired_by: what identifies a row, in words.
        failed_pairs: matches left out because one side or both have no score.
        unpaired_before, unpaired_after: rows without a partner in the other set, failed ones included.
    """

    pairs: list[tuple[ScoreRow, ScoreRow]]
    paired_by: str
    failed_pairs: int
    unpaired_before: int
    unpaired_after: int


def has_score(row: ScoreRow) -> bool:
    """Whether the row holds a number to compare."""
    return row.status == "ok" and row.score is not None and math.isfinite(row.score)


def pair_rows(before: Sequence[ScoreRow], after: Sequence[ScoreRow]) -> Pairing:
    """Match rows by prompt, by prompt and file name where a prompt occurs twice, by file name without one.

    Raises:
        UsageError: two rows of one set cannot be told apart, or nothing matches.
    """
    repeated = _repeated_prompts(before) | _repeated_prompts(after)
    left, right = _by_key("before", before, repeated), _by_key("after", after, repeated)
    shared = sorted(left.keys() & right.keys())
    if not shared:
        raise UsageError(_nothing_matches(left, right))
    matches = [(left[key], right[key]) for key in shared]
    pairs = [(a, b) for a, b in matches if has_score(a) and has_score(b)]
    if not pairs:
        raise UsageError(f"compare needs a pair with two scores: all {len(matches)} pairs have a failed side")
    return Pairing(
        pairs=pairs,
        paired_by=_in_words(shared),
        failed_pairs=len(matches) - len(pairs),
        unpaired_before=len(left) - len(matches),
        unpaired_after=len(right) - len(matches),
    )


def _prompt(row: ScoreRow) -> str:
    return (row.prompt or "").strip()


def _repeated_prompts(rows: Iterable[ScoreRow]) -> set[str]:
    return {prompt for prompt, count in Counter(map(_prompt, rows)).items() if count > 1}


def _by_key(side: str, rows: Sequence[ScoreRow], repeated: set[str]) -> dict[Key, ScoreRow]:
    keyed: dict[Key, ScoreRow] = {}
    for row in rows:
        prompt = _prompt(row)
        key = (prompt, PurePath(row.path).name if not prompt or prompt in repeated else "")
        if key in keyed:
            subject = f"the prompt {prompt!r}" if prompt else "no prompt"
            raise UsageError(
                f"compare cannot tell two rows of {side} apart: {keyed[key].path!r} and {row.path!r} both "
                f"have {subject} and the file name {key[1]!r}; rename one, or compare folder by folder"
            )
        keyed[key] = row
    return keyed


def _nothing_matches(left: dict[Key, ScoreRow], right: dict[Key, ScoreRow]) -> str:
    sides = []
    for side, keyed in (("before", left), ("after", right)):
        sides.append(f"{side} has {_named(min(keyed))}" if keyed else f"{side} has no rows")
    return f"compare finds no pair: {', '.join(sides)}; score both with the same prompts or file names"


def _named(key: Key) -> str:
    prompt, name = key
    words = [f"the prompt {prompt!r}"] if prompt else []
    return " and ".join(words + ([f"the file name {name!r}"] if name else []))


def _in_words(keys: Iterable[Key]) -> str:
    kinds = {
        "prompt and file name" if prompt and name else "prompt" if prompt else "file name" for prompt, name in keys
    }
    return " or ".join(sorted(kinds, key=["prompt", "prompt and file name", "file name"].index))
