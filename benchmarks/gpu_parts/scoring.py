"""`score_folder` from files to rows: how much of the time the tower runs."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import torch
from gpu_parts.jobs import Job, Setting, digits
from gpu_parts.towers import hpsv2, tower_of
from timing import finish, in_turn, middle
from video_reading import write_clip

from rewardkit import VideoReward, score_folder
from rewardkit.rewards.prompts import PromptCache
from rewardkit.scoring.table import ScoreTable

ROUNDS = 3
WORKERS: dict[str, int | Literal["auto"]] = {"1 worker": 1, "default workers": "auto"}


def jobs(setting: Setting) -> list[Job]:
    length, width, height = setting.clip
    what = (
        f"HPSv2 in bfloat16 over {setting.clips} h264 clips of {length} frames {width}x{height}, {setting.chosen} of "
        "each scored, a prompt a clip; `reward` is all that it does with frames that were read, `tower` its pictures"
    )
    return [Job("scoring", "score_folder", what, partial(from_files_to_rows, setting), turn=2)]


def from_files_to_rows(setting: Setting) -> dict[str, Any]:
    """By number of threads that decode."""
    reward = hpsv2(setting, torch.bfloat16, f"uniform:{setting.chosen}")
    spent: dict[str, list[dict[str, float]]] = {way: [] for way in WORKERS}
    with tempfile.TemporaryDirectory() as name:
        prompts = write_clips(Path(name), setting)

        def watched(way: str) -> None:
            with clocked(reward, setting.device) as seconds:
                table = scored(reward, prompts, WORKERS[way], setting)
            spent[way].append(seconds | {"decoding": sum(row.decode_ms or 0 for row in table) / 1000})

        free = {way: partial(scored, reward, prompts, WORKERS[way], setting) for way in WORKERS}
        times = in_turn(free, ROUNDS, setting.device)  # waiting for the GPU at every border would take run-ahead away
        walls = in_turn({way: partial(watched, way) for way in WORKERS}, ROUNDS, setting.device)
    return {way: summed_up(times[way], walls[way], spent[way][1:], setting) for way in WORKERS}


def scored(
    reward: VideoReward, prompts: Mapping[str, str], workers: int | Literal["auto"], setting: Setting
) -> ScoreTable:
    """With prompts that were not read before."""
    reward.image_reward.texts = PromptCache()
    table = score_folder(list(prompts), reward, prompts=prompts, num_workers=workers, device=setting.device)
    for row in table.failed():
        raise RuntimeError(row.error)
    return table


@contextmanager
def clocked(reward: VideoReward, device: str) -> Iterator[dict[str, float]]:
    """Seconds that the reward and its picture tower take in here, until the GPU is done each time."""
    seconds, inner, started = {"reward": 0.0, "tower": 0.0}, reward.detail, [0.0]

    def now() -> float:
        finish(device)
        return time.perf_counter()

    def detail(*given: Any, **named: Any) -> Any:
        start = now()
        found = inner(*given, **named)
        seconds["reward"] += now() - start
        return found

    def begin(*_: object) -> None:
        started[0] = now()

    def end(*_: object) -> None:
        seconds["tower"] += now() - started[0]

    visual = tower_of(reward).clip.visual
    hooks = visual.register_forward_pre_hook(begin), visual.register_forward_hook(end)
    with patch.object(reward, "detail", detail):
        yield seconds
    for hook in hooks:
        hook.remove()


def summed_up(
    times: list[float], walls: list[float], spent: list[dict[str, float]], setting: Setting
) -> dict[str, float]:
    """Medians over rounds: of those that ran free, and of those that were watched."""
    shares = {
        part: statistics.median(seconds[part] / whole for seconds, whole in zip(spent, walls, strict=True))
        for part in ("reward", "tower")
    }
    return {
        "seconds": middle(times),
        "frames_a_second": digits(setting.clips * setting.chosen / middle(times)),
        "decode_seconds_of_all_threads": middle([seconds["decoding"] for seconds in spent]),
        "reward_share_of_time": round(shares["reward"], 3),
        "tower_share_of_time": round(shares["tower"], 3),
    }


def write_clips(folder: Path, setting: Setting) -> dict[str, str]:
    """Prompts by path."""
    paths = [folder / f"{number}.mp4" for number in range(setting.clips)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda path: write_clip(path, *setting.clip, int(path.stem)), paths))
    return {str(path): f"a film of {path.stem} cats" for path in paths}
