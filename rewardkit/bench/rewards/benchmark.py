"""Rewards side by side: every reward on the same videos, as they are, spoiled in known ways, and read otherwise."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rewardkit.bench.defects import WRONG_PROMPT, WRONG_SHARES, Resized, Spoiled, find_defect, wrong_prompt
from rewardkit.bench.films.entries import Shown
from rewardkit.bench.memory import PeakMemory
from rewardkit.bench.pages.thumbnails import spread_over
from rewardkit.bench.result import Result
from rewardkit.bench.rewards.labels import Preference, read_preferences, read_ratings
from rewardkit.bench.rewards.report import report_rewards
from rewardkit.bench.rewards.scores import AS_IS, Found, Scores, Videos
from rewardkit.bench.slugs import slug
from rewardkit.bench.suites import RewardsSuite, VideoSet
from rewardkit.device import choose_device
from rewardkit.errors import BadInputError, UsageError
from rewardkit.files import replacing
from rewardkit.miniworld.clips import write_judged_clips
from rewardkit.reducers.create import create_reward, named_cards
from rewardkit.reducers.reward import Reward
from rewardkit.reducers.sampling import SAMPLERS, FrameSampler
from rewardkit.reducers.video_reward import VideoReward
from rewardkit.scoring.altering import Alteration
from rewardkit.scoring.folder import score_folder
from rewardkit.scoring.inputs import find_videos
from rewardkit.scoring.prompts import attach_prompts
from rewardkit.scoring.rows import ScoreRow
from rewardkit.spec import parse_part
from rewardkit.video import open_video, write_video

COST = "cost.json"
_FPS = 8.0  # of what has no rate of its own
_MOST_BYTES = 2**28  # of a decoded video: 85 frames of 1280 by 720
MINIWORLD_SETS = (
    VideoSet(name="good", source="good/prompts.csv"),
    VideoSet(name="bad", source="bad/prompts.csv", preferences=Path("preferences.csv"), labels="the truth"),
)


def benchmark_rewards(suite: RewardsSuite, out: Path, show: Shown) -> Result:
    """Scores everything with every reward; what is in `out` already is not scored again.

    Raises:
        UsageError: a reward or set that does not exist, labels of no video, or sets to compare that share no prompt.
        NothingToDoError: a set without videos.
    """
    for reward in suite.rewards:
        named_cards(reward)  # a wrong name ends it before anything is scored
    samplers = [parse_part(FrameSampler, frames, SAMPLERS) for frames in suite.frames]
    videos = find_sets(suite, out)
    out = Path(os.path.abspath(out))
    decoded = _copies(videos.tried, out / "clips" / "decoded", show)
    coded = {f"crf {crf}": _copies(videos.tried, out / "clips" / f"crf-{crf}", show, crf) for crf in suite.codecs}
    found = {}
    for number, name in enumerate(suite.rewards):
        run = _Run(suite, videos, out / "scores" / slug(name), lambda what, name=name, number=number: show(  # type: ignore[misc]
            "rewards", number, len(suite.rewards), f"{name}, {what}"
        ))  # fmt: skip
        found[name] = run.scores(name, samplers, decoded, coded)
    return report_rewards(Found(suite, videos, found, out))


def find_sets(suite: RewardsSuite, out: Path) -> Videos:
    """The videos of a suite and what is known of them; without sets, films of the mini world are drawn into `out`."""
    declared: Sequence[VideoSet] = suite.videos
    tried_on = suite.tried_on
    if not declared:
        folder = out / "miniworld"
        if not (folder / "preferences.csv").is_file():  # it is written last
            write_judged_clips(folder)
        declared, tried_on = [one.beside(folder) for one in MINIWORLD_SETS], ("good",)
    sets: dict[str, list[Path]] = {}
    prompts: dict[Path, str] = {}
    for one in declared:
        items = attach_prompts(find_videos([one.source]), one.prompts).items
        sets[one.name] = [Path(os.path.abspath(item.path)) for item in items]
        for path, item in zip(sets[one.name], items, strict=True):
            if prompts.setdefault(path, item.prompt or "") != (item.prompt or ""):
                raise UsageError(f"{path} is in two sets with two prompts: name it once")
    ratings = {video: rating for one in declared if one.ratings for video, rating in read_ratings(one.ratings).items()}
    preferences = [pair for one in declared if one.preferences for pair in read_preferences(one.preferences)]
    if len(prompts) < 2:
        raise UsageError(f"rewards are compared on 2 videos or more: got {', '.join(map(str, prompts))}")
    _check_labels(prompts, ratings, preferences)
    chosen = [path for name, paths in sets.items() if not tried_on or name in tried_on for path in paths]
    labels = ", ".join(dict.fromkeys(one.labels for one in declared if one.ratings or one.preferences))
    return Videos(sets, prompts, ratings, preferences, labels, spread_over(chosen, suite.most))


def _check_labels(
    prompts: Mapping[Path, str], ratings: Mapping[Path, float], preferences: Sequence[Preference]
) -> None:
    judged = [*ratings, *(path for pair in preferences for path in (pair.first, pair.second))]
    strangers = [path for path in judged if path not in prompts]
    if strangers:
        raise UsageError(
            f"{len(strangers)} of {len(judged)} videos that people judged are in no set, such as {strangers[0]}"
        )


def _copies(paths: Sequence[Path], folder: Path, show: Shown, crf: int | None = None) -> dict[Path, Path]:
    """Each video as h264 of that quality or, without one, decoded, so that it is decoded once for all ways to score it.

    By copy, its original. A video that cannot be read, whose rows will say so, or would take too much when decoded
    stands for itself.
    """
    found = {}
    for number, path in enumerate(paths):
        copy = folder / f"{number:04d}-{path.stem}.{'npy' if crf is None else 'mp4'}"
        if not copy.exists():
            show("videos copied", number, len(paths), folder.name)
            try:
                with open_video(path) as video:
                    size = 3 * video.info.num_frames * video.info.height * video.info.width
                    if crf is None and size > _MOST_BYTES:
                        raise BadInputError(f"{path} is too long to be kept decoded")
                    frames, fps = video.read(range(video.info.num_frames)), video.info.fps or _FPS
                write_video(copy, frames, fps, crf=crf or 0)
            except BadInputError:
                copy = path
        found[copy] = path
    return found


class _Run:
    """All scores of one reward."""

    def __init__(self, suite: RewardsSuite, videos: Videos, folder: Path, show: Callable[[str], None]) -> None:
        self._suite, self._videos, self._folder, self._show = suite, videos, folder, show

    def scores(
        self,
        name: str,
        samplers: Sequence[FrameSampler],
        decoded: Mapping[Path, Path],
        coded: Mapping[str, Mapping[Path, Path]],
    ) -> Scores:
        """As is, spoiled, in other sizes and codes, and with other frames."""
        suite, found = self._suite, Scores()
        memory = PeakMemory(choose_device(suite.device))
        memory.start()
        reward = create_reward(name, device=suite.device, dtype=suite.dtype)
        if self._score(found, AS_IS, reward, {path: path for path in self._videos.all}):
            with replacing(self._folder / COST) as draft:
                draft.write_text(json.dumps({"peak_bytes": memory.peak()}) + "\n", encoding="utf-8")
        found.peak_bytes = json.loads((self._folder / COST).read_text(encoding="utf-8"))["peak_bytes"]
        for defect in suite.defects:
            if defect == WRONG_PROMPT:
                self._wrong_prompts(found, reward, decoded)
                continue
            for setting in find_defect(defect).settings:
                self._score(found, f"{defect} {setting:g}", reward, decoded, Spoiled(defect, setting))
        for share in suite.resolutions:
            self._score(found, f"resolution {share:g}", reward, decoded, Resized(share))
        for variant, files in coded.items():
            self._score(found, variant, reward, files)
        if isinstance(reward, VideoReward):
            for sampler in samplers:
                read = VideoReward(reward.image_reward, sampler, reward.weights, reward.reduce)
                self._score(found, f"frames {sampler}", read, decoded)
        return found

    def _wrong_prompts(self, found: Scores, reward: Reward, decoded: Mapping[Path, Path]) -> None:
        """Every video with more and more words of the next video that has another prompt."""
        prompts, tried = self._videos.prompts, self._videos.tried
        if not reward.needs_prompt or len({prompts[path] for path in tried}) < 2:
            return
        for share in WRONG_SHARES:
            wrong = {}
            for place, path in enumerate(tried):
                others = [prompts[other] for other in (*tried[place:], *tried[:place])]
                other = next(prompt for prompt in others if prompt != prompts[path])
                wrong[path] = wrong_prompt(prompts[path], other, share)
            self._score(found, f"{WRONG_PROMPT} {share:g}", reward, decoded, prompts=wrong)

    def _score(
        self,
        found: Scores,
        variant: str,
        reward: Reward,
        files: Mapping[Path, Path],
        alter: Alteration | None = None,
        *,
        prompts: Mapping[Path, str] | None = None,
    ) -> bool:
        """Scores files, which stand for videos, in one way; whether any row was new."""
        self._show(variant)
        new = [False]

        def note(row: ScoreRow | None, done: int, total: int) -> None:
            new[0] |= row is not None

        told = prompts or self._videos.prompts
        table = score_folder(
            list(files),
            reward,
            prompts={str(file): told[video] for file, video in files.items()},
            out=self._folder / f"{slug(variant)}.jsonl",
            seed=self._suite.seed,
            device=self._suite.device,
            dtype=self._suite.dtype,
            alter=alter,
            progress=note,
        )
        rows = {files[Path(os.path.abspath(row.path))]: row for row in table}
        found.rows[variant] = {path: row for path, row in rows.items() if row.score is not None}
        failed = [row.error or "" for row in rows.values() if row.score is None]
        if failed:
            found.failed[variant] = failed
        return new[0]
