"""Is one set of videos better than another? Two scored sets, matched by prompt."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from rewardkit.errors import UsageError
from rewardkit.scoring.change import Change, ScoreOf, measure_change
from rewardkit.scoring.pairing import Pairing, has_score, pair_rows
from rewardkit.scoring.rows import ScoreRow
from rewardkit.scoring.verdict import Names, pairing_sentence, verdict

_EXAMPLES = 5


class PairedScore(BaseModel):
    """One pair and its scores."""

    model_config = ConfigDict(frozen=True)

    prompt: str | None
    before_path: str
    after_path: str
    before: float
    after: float
    difference: float


class Side(BaseModel):
    """What became of one set's rows. Failed rows may be paired or not."""

    model_config = ConfigDict(frozen=True)

    rows: int
    failed: int
    unpaired: int


class Comparison(BaseModel):
    """The answer, most important first. `json.dumps(answer.model_dump())` writes it, whatever the file names.

    Attributes:
        verdict: one sentence.
        names: what the two sets are called in it.
        pairing: one sentence on how rows were matched and what was left out.
        total: the reward asked for.
        parts: every reward of a weighted sum that all pairs have on both sides, before its coefficient.
        failed_pairs: matches left out because a side has no score.
        look_at: up to five videos of `after` that the verdict names, the worst first: those that fell most in the part
            of the sum that fell in most pairs, or in `total` if it fell and no part did; empty where nothing fell.
        worst, best: up to five pairs whose `total` fell most and rose most.
    """

    model_config = ConfigDict(frozen=True)

    verdict: str
    names: tuple[str, str]
    pairing: str
    reward: str
    paired_by: str
    total: Change
    parts: list[Change]
    look_at: list[str]
    worst: list[PairedScore]
    best: list[PairedScore]
    failed_pairs: int
    before: Side
    after: Side
    seed: int
    resamples: int


def compare(
    before: Sequence[ScoreRow],
    after: Sequence[ScoreRow],
    *,
    names: Names = ("before", "after"),
    seed: int = 0,
    resamples: int = 10_000,
) -> Comparison:
    """Compare two scored sets pair by pair: who wins, by how much, which reward fell, where it got worse.

    Rows are matched by prompt (see `pair_rows`); their order does not matter. Intervals take each pair for one
    independent draw: see `bootstrap_interval` for mean changes, `win_rate_interval` for win rates.

    Args:
        before: rows of the first set.
        after: rows of the second set.
        names: what to call the sets.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        UsageError: the sets were scored with different rewards or have one name, or rows cannot be matched.
    """
    if resamples < 1:
        raise UsageError(f"compare needs at least 1 resample: got {resamples}")
    if names[0] == names[1]:
        raise UsageError(f"compare needs two names: both sets are called {names[0]!r}")
    reward = _one_reward(before, after)
    pairing = pair_rows(before, after)
    total = measure_change(reward, pairing.pairs, _score, seed, resamples)
    parts = [measure_change(name, pairing.pairs, _part_score(name), seed, resamples) for name in _parts(pairing)]
    fallen = sorted((part for part in parts if part.outcome == "fell"), key=lambda part: part.win_rate)
    look_at = _look_at(pairing, total, fallen)
    examples = sorted(map(_paired_score, pairing.pairs), key=lambda pair: pair.difference)
    return Comparison(
        verdict=verdict(total, fallen, look_at, names, "prompt" if pairing.paired_by == "prompt" else "pair"),
        names=names,
        pairing=pairing_sentence(pairing, names),
        reward=reward,
        paired_by=pairing.paired_by,
        total=total,
        parts=parts,
        look_at=look_at,
        worst=[pair for pair in examples if pair.difference < 0][:_EXAMPLES],
        best=[pair for pair in reversed(examples) if pair.difference > 0][:_EXAMPLES],
        failed_pairs=pairing.failed_pairs,
        before=_side(before, pairing.unpaired_before),
        after=_side(after, pairing.unpaired_after),
        seed=seed,
        resamples=resamples,
    )


def _side(rows: Sequence[ScoreRow], unpaired: int) -> Side:
    return Side(rows=len(rows), failed=sum(not has_score(row) for row in rows), unpaired=unpaired)


def _look_at(pairing: Pairing, total: Change, fallen: Sequence[Change]) -> list[str]:
    if not fallen and total.outcome != "fell":
        return []
    score = _part_score(fallen[0].name) if fallen else _score
    changes = sorted((score(after) - score(before), after.path) for before, after in pairing.pairs)
    return [path for change, path in changes if change < 0][:_EXAMPLES]


def _one_reward(before: Sequence[ScoreRow], after: Sequence[ScoreRow]) -> str:
    for side, rows in (("before", before), ("after", after)):
        if not rows:
            raise UsageError(f"compare needs rows on both sides: {side} has none")
    specs = sorted({row.reward for row in before}), sorted({row.reward for row in after})
    if len({*specs[0], *specs[1]}) > 1:
        named = [" and ".join(map(repr, side)) for side in specs]
        raise UsageError(
            f"compare needs one reward on both sides: before was scored with {named[0]}, after with "
            f"{named[1]}; score both with the same one"
        )
    return specs[0][0]


def _score(row: ScoreRow) -> float:
    assert row.score is not None
    return row.score


def _part_score(name: str) -> ScoreOf:
    return lambda row: row.parts[name].score


def _parts(pairing: Pairing) -> list[str]:
    rows = [row for pair in pairing.pairs for row in pair]
    return [name for name in rows[0].parts if all(name in row.parts for row in rows)]


def _paired_score(pair: tuple[ScoreRow, ScoreRow]) -> PairedScore:
    before, after = pair
    return PairedScore(
        prompt=before.prompt,
        before_path=before.path,
        after_path=after.path,
        before=_score(before),
        after=_score(after),
        difference=_score(after) - _score(before),
    )
