"""Is one set of videos better than another? Two scored sets, matched by prompt."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from rewardkit.errors import UsageError
from rewardkit.scoring.change import Change, ScoreOf, measure_change
from rewardkit.scoring.pairing import Pairing, has_score, pair_rows
from rewardkit.scoring.rows import ScoreRow
from rewardkit.scoring.verdict import pairing_sentence, verdict

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
        pairing: one sentence on how rows were matched and what was left out.
        total: the reward asked for.
        parts: every reward of a weighted sum that all pairs have on both sides, before its coefficient.
        failed_pairs: matches left out because a side has no score.
        worst, best: up to five pairs that fell most and rose most.
    """

    model_config = ConfigDict(frozen=True)

    verdict: str
    pairing: str
    reward: str
    paired_by: str
    total: Change
    parts: list[Change]
    worst: list[PairedScore]
    best: list[PairedScore]
    failed_pairs: int
    before: Side
    after: Side
    seed: int
    resamples: int


def compare(
    before: Sequence[ScoreRow], after: Sequence[ScoreRow], *, seed: int = 0, resamples: int = 10_000
) -> Comparison:
    """Compare two scored sets pair by pair: who wins, by how much, which reward fell, where it got worse.

    Rows are matched by prompt (see `pair_rows`); their order does not matter. Intervals are percentile
    intervals of the bootstrap over pairs, each pair one independent draw.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    Raises:
        UsageError: the sets were scored with different rewards, or rows cannot be matched.
    """
    if resamples < 1:
        raise UsageError(f"compare needs at least 1 resample: got {resamples}")
    reward = _one_reward(before, after)
    pairing = pair_rows(before, after)
    total = measure_change(reward, pairing.pairs, _score, seed, resamples)
    parts = [measure_change(name, pairing.pairs, _part_score(name), seed, resamples) for name in _parts(pairing)]
    examples = sorted(map(_paired_score, pairing.pairs), key=lambda pair: pair.difference)
    sides = [
        Side(rows=len(rows), failed=sum(not has_score(row) for row in rows), unpaired=unpaired)
        for rows, unpaired in ((before, pairing.unpaired_before), (after, pairing.unpaired_after))
    ]
    return Comparison(
        verdict=verdict(total, parts),
        pairing=pairing_sentence(pairing),
        reward=reward,
        paired_by=pairing.paired_by,
        total=total,
        parts=parts,
        worst=[pair for pair in examples if pair.difference < 0][:_EXAMPLES],
        best=[pair for pair in reversed(examples) if pair.difference > 0][:_EXAMPLES],
        failed_pairs=pairing.failed_pairs,
        before=sides[0],
        after=sides[1],
        seed=seed,
        resamples=resamples,
    )


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
