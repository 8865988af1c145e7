"""Scoring a folder of videos from end to end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rewardkit import storage
from rewardkit.config import load_config
from rewardkit.device import choose_device, choose_dtype
from rewardkit.limits import Limits
from rewardkit.reducers.create import create_reward
from rewardkit.reducers.reward import Reward
from rewardkit.rewards.interface import ImageReward, TemporalReward
from rewardkit.scoring.altering import Alteration
from rewardkit.scoring.config import Engine, ScoreConfig
from rewardkit.scoring.counters import Counters
from rewardkit.scoring.decoding import KeyedItem
from rewardkit.scoring.engines import ScoreOptions, ScoringEngine
from rewardkit.scoring.identity import make_header, row_key
from rewardkit.scoring.inputs import find_videos
from rewardkit.scoring.local_engine import LocalEngine
from rewardkit.scoring.output import Out
from rewardkit.scoring.prompts import attach_prompts
from rewardkit.scoring.row_folder import RowFolder
from rewardkit.scoring.rows import ScoreHeader, ScoreRow, ShardFormat
from rewardkit.scoring.table import ScoreTable

LOGGER = logging.getLogger(__name__)
Progress = Callable[[ScoreRow | None, int, int], None]


def score_folder(
    source: str | Path | Sequence[str | Path],
    reward: str | Reward | ImageReward | TemporalReward = "technical",
    *,
    prompts: str | Path | Mapping[str, str] = "auto",
    prompt: str | None = None,
    out: str | Path | None = None,
    shards: ShardFormat = "jsonl",
    overwrite: bool = False,
    retry_failed: bool = False,
    limit: int | None = None,
    batch_size: int | Literal["auto"] = "auto",
    num_workers: int | Literal["auto"] = "auto",
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    engine: Engine = "local",
    ray_address: str | None = None,
    allow_outside: bool = False,
    limits: Limits | None = None,
    alter: Alteration | None = None,
    progress: Progress | None = None,
    counters: Counters | None = None,
) -> ScoreTable:
    """Scores every video that `source` names; one row a video.

    With `out`, rows are on disk as the work goes on, and videos whose row is there already are not scored again unless
    the file, its prompt, the reward or its weights changed. A video that cannot be scored gets a row with status
    `error` and no number. The table holds the rows of these videos; `out` may hold more.

    Args:
        source: files, folders, globs, manifests or `-` (paths on standard input), here or in a store.
        reward: a line for `create_reward`, or a reward, which is moved to `device`.
        prompts: a manifest, a mapping of path to prompt, `sidecar`, `filename`, `none` or `auto`.
        prompt: one prompt for all videos.
        out: `.jsonl`, to which each row is appended at once; `.csv` and `.parquet`, whose rows are collected in
            `{out}.jsonl` first; or a folder of files of rows (`scores/`, `s3://bucket/scores/`).
        shards: format of the files in such a folder.
        overwrite: forget the rows in `out`.
        retry_failed: score videos again whose row says error.
        limit: only the first so many videos.
        batch_size: frames scored at once, across videos; halved when memory runs out.
        num_workers: threads that decode, or tasks of Ray; `auto` is one a processor, at most 8, or Ray's choice.
        seed: for samplers that draw frames at random; the draw also depends on the video's name, on nothing else.
        device: where the reward runs.
        dtype: precision of the reward's weights.
        engine: `local` is this process; `ray` is Ray Data, with rows in the order in which they are done.
        ray_address: of a cluster; None is the one that RAY_ADDRESS names, or one on this machine while this runs.
        allow_outside: whether manifests may name videos outside their folder.
        limits: what a video may cost, and whether it is read in a process of its own.
        alter: what is done to videos before they are scored.
        progress: called with each new row, the videos done and all videos; first with None and those done before.
        counters: what counts the new rows, for whoever wants to read it meanwhile.

    Raises:
        UsageError: a source, name or option that makes no sense, or rows in `out` of another reward.
        NothingToDoError: no video found.
    """
    numbers = {"limit": limit, "batch_size": batch_size, "num_workers": num_workers, "seed": seed}
    load_config(ScoreConfig, None, numbers | {"engine": engine, "shards": shards})
    rows_to = None if out is None else Out(str(out), shards, overwrite)
    sources = [source] if isinstance(source, str | Path) else source
    prompted = attach_prompts(find_videos(sources, allow_outside), prompts, prompt)
    if prompted.unmatched:
        LOGGER.warning("%d prompts fit no video, such as %s", len(prompted.unmatched), prompted.unmatched[0])
    items = prompted.items[:limit]
    settings = {"source": _shown(source), "prompts": _shown(prompts), "prompt": prompt, "limit": limit}
    settings |= {"batch_size": batch_size, "num_workers": num_workers, "seed": seed, "engine": engine}
    settings |= {"limits": (limits or Limits()).model_dump()} | ({"alter": alter.spec} if alter else {})
    options = ScoreOptions(seed, batch_size, num_workers, alter, limits or Limits())
    counted = counters or Counters()
    with _engine(engine, reward, device, dtype, options, counted, ray_address) as scoring:
        header = make_header(
            scoring.reward,
            settings,
            seed=seed,
            device=scoring.device,
            dtype=str(choose_dtype(dtype)).removeprefix("torch."),
            altered=alter.spec if alter else "",
        )
        keyed = [KeyedItem(item, row_key(item, header.fingerprint)) for item in items]

        def report(row: ScoreRow | None, done: int, total: int) -> None:
            if row is not None:
                counted.take(row)
            if progress is not None:
                progress(row, done, total)

        if rows_to is not None:
            return _score_into(rows_to, header, keyed, scoring.rows, retry_failed, report)
        rows: list[ScoreRow] = []
        for row in scoring.rows(keyed):
            rows.append(row)
            report(row, len(rows), len(keyed))
        return ScoreTable(rows)


def _engine(
    engine: Engine,
    reward: str | Reward | ImageReward | TemporalReward,
    device: str,
    dtype: str,
    options: ScoreOptions,
    counters: Counters,
    ray_address: str | None = None,
) -> ScoringEngine:
    """The engine called `engine`, with the reward.

    Raises:
        UsageError: a reward, device or dtype that is not there, or a cluster that cannot be reached.
        MissingExtraError: Ray is not installed.
    """
    if engine == "local":
        choose_device(device)
        return LocalEngine(create_reward(reward, device=device, dtype=dtype), device, options, counters)
    from rewardkit.scoring.ray_engine import RayEngine

    return RayEngine(create_reward(reward, device="cpu", dtype=dtype), device, options, ray_address)


def _score_into(
    out: Out,
    header: ScoreHeader,
    keyed: Sequence[KeyedItem],
    score: Callable[[Sequence[KeyedItem]], Iterator[ScoreRow]],
    retry_failed: bool,
    report: Progress,
) -> ScoreTable:
    """Scores what has no row in `out` yet."""
    with out.open(header) as store:
        store.keep_only({storage.absolute(k.item.path): k.key for k in keyed}, retry_failed)
        elsewhere = isinstance(store, RowFolder) or store.header.cwd != header.cwd
        remaining = [k for k in keyed if k.key not in store.status]
        done = len(keyed) - len(remaining)
        report(None, done, len(keyed))
        try:
            for row in score([_absolute(k) for k in remaining] if elsewhere else remaining):
                store.append(row)
                done += 1
                report(row, done, len(keyed))
        finally:
            out.collect()
    return ScoreTable(out.rows, frozenset(k.key for k in keyed))


def _absolute(keyed: KeyedItem) -> KeyedItem:
    """The same video with a path that holds from every folder; the rows before were written from another one."""
    return replace(keyed, item=replace(keyed.item, path=storage.absolute(keyed.item.path)))


def _shown(setting: object) -> object:
    if isinstance(setting, Mapping):
        return f"{len(setting)} prompts given in Python"
    if isinstance(setting, Path):
        return str(setting)
    return (
        [str(part) for part in setting] if isinstance(setting, Sequence) and not isinstance(setting, str) else setting
    )
