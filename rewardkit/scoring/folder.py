"""Scoring a folder of videos from end to end."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rewardkit.config import load_config
from rewardkit.device import choose_device, choose_dtype
from rewardkit.errors import OutputError
from rewardkit.reducers.create import create_reward
from rewardkit.reducers.reward import Reward
from rewardkit.rewards.interface import ImageReward, TemporalReward
from rewardkit.scoring.altering import Alteration
from rewardkit.scoring.config import ScoreConfig
from rewardkit.scoring.decoding import KeyedItem
from rewardkit.scoring.identity import make_header, row_key
from rewardkit.scoring.inputs import find_videos
from rewardkit.scoring.journal import Journal, read_header
from rewardkit.scoring.pipeline import score_items
from rewardkit.scoring.prompts import attach_prompts
from rewardkit.scoring.rows import ScoreHeader, ScoreRow
from rewardkit.scoring.table import ScoreTable, check_suffix, journal_path

LOGGER = logging.getLogger(__name__)
MOST_WORKERS = 8
Progress = Callable[[ScoreRow | None, int, int], None]


def score_folder(
    source: str | Path | Sequence[str | Path],
    reward: str | Reward | ImageReward | TemporalReward = "technical",
    *,
    prompts: str | Path | Mapping[str, str] = "auto",
    prompt: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    limit: int | None = None,
    batch_size: int | Literal["auto"] = "auto",
    num_workers: int | Literal["auto"] = "auto",
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    alter: Alteration | None = None,
    progress: Progress | None = None,
) -> ScoreTable:
    """Scores every video that `source` names; one row a video.

    With `out`, each row is on disk before the next batch is scored, and videos whose row is there already are not
    scored again unless the file, its prompt, the reward or its weights changed. A video that cannot be scored gets a
    row with status `error` and no number. The table holds the rows of these videos; `out` may hold more.

    Args:
        source: files, folders, globs, manifests or `-`; see `find_videos`.
        reward: a line for `create_reward`, or a reward, which is moved to `device`.
        prompts: a manifest, a mapping of path to prompt, `sidecar`, `filename`, `none` or `auto`; see `attach_prompts`.
        prompt: one prompt for all videos.
        out: `.jsonl`, or `.csv` and `.parquet`, whose rows are collected in `{out}.jsonl` first.
        overwrite: forget the rows in `out`.
        retry_failed: score videos again whose row says error.
        limit: only the first so many videos.
        batch_size: frames scored at once, across videos; halved when memory runs out.
        num_workers: threads that decode; `auto` is one a processor, at most 8.
        seed: for samplers that draw frames at random; the draw also depends on the video's name, on nothing else.
        device: where the reward runs.
        dtype: precision of the reward's weights.
        alter: what is done to videos before they are scored.
        progress: called with each new row, the videos done and all videos; first with None and those done before.

    Raises:
        UsageError: a source, name or option that makes no sense, or rows in `out` of another reward.
        NothingToDoError: no video found.
    """
    numbers = {"limit": limit, "batch_size": batch_size, "num_workers": num_workers, "seed": seed}
    load_config(ScoreConfig, None, numbers)
    if out is not None:
        check_suffix(Path(out))
    videos = find_videos([source] if isinstance(source, str | Path) else source)
    prompted = attach_prompts(videos, prompts, prompt)
    if prompted.unmatched:
        LOGGER.warning("%d prompts fit no video, such as %s", len(prompted.unmatched), prompted.unmatched[0])
    items = prompted.items[:limit]
    where, precision = choose_device(device), choose_dtype(dtype)
    built = create_reward(reward, device=device, dtype=dtype).to(where)
    workers = num_workers if num_workers != "auto" else min(MOST_WORKERS, os.cpu_count() or 1)
    settings = {"source": _shown(source), "prompts": _shown(prompts), "prompt": prompt, "limit": limit}
    settings |= {"batch_size": batch_size, "num_workers": workers, "seed": seed}
    settings |= {"alter": alter.spec} if alter else {}
    header = make_header(
        built,
        settings,
        seed=seed,
        device=str(where),
        dtype=str(precision).removeprefix("torch."),
        altered=alter.spec if alter else "",
    )
    keyed = [KeyedItem(item, row_key(item, header.fingerprint)) for item in items]

    def score(remaining: Sequence[KeyedItem]) -> Iterator[ScoreRow]:
        was_training = built.training
        built.eval()  # a running scale must not learn from what it measures
        try:
            yield from score_items(
                remaining, built, seed=seed, batch_size=batch_size, num_workers=workers, device=where, alter=alter
            )
        finally:
            built.train(was_training)

    report = progress or (lambda row, done, total: None)
    if out is not None:
        return _score_into(Path(out), header, keyed, score, overwrite, retry_failed, report)
    rows: list[ScoreRow] = []
    for row in score(keyed):
        rows.append(row)
        report(row, len(rows), len(keyed))
    return ScoreTable(rows)


def _score_into(
    out: Path,
    header: ScoreHeader,
    keyed: Sequence[KeyedItem],
    score: Callable[[Sequence[KeyedItem]], Iterator[ScoreRow]],
    overwrite: bool,
    retry_failed: bool,
    report: Progress,
) -> ScoreTable:
    """Scores what has no row in `out` yet."""
    table = ScoreTable(journal_path(out), frozenset(k.key for k in keyed))
    if out.exists() and not journal_path(out).exists() and not overwrite:
        raise OutputError(f"{out} is there already and holds no rows of ours: give another --out, or --overwrite")
    with Journal(journal_path(out), header, overwrite) as journal:
        journal.keep_only({os.path.abspath(k.item.path): k.key for k in keyed}, retry_failed)
        elsewhere = read_header(journal.path).cwd != header.cwd
        remaining = [k for k in keyed if k.key not in journal.status]
        done = len(keyed) - len(remaining)
        report(None, done, len(keyed))
        try:
            for row in score([_absolute(k) for k in remaining] if elsewhere else remaining):
                journal.append(row)
                done += 1
                report(row, done, len(keyed))
        finally:
            if journal.path != out:
                ScoreTable(journal.path).save(out)
    return table


def _absolute(keyed: KeyedItem) -> KeyedItem:
    """The same video with a path that holds from every folder; the rows before were written from another one."""
    return replace(keyed, item=replace(keyed.item, path=os.path.abspath(keyed.item.path)))


def _shown(setting: object) -> object:
    if isinstance(setting, Mapping):
        return f"{len(setting)} prompts given in Python"
    if isinstance(setting, Path):
        return str(setting)
    return (
        [str(part) for part in setting] if isinstance(setting, Sequence) and not isinstance(setting, str) else setting
    )
