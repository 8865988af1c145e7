"""Rewards side by side: every reward on the same videos, as they are, spoiled in known ways, and read otherwise."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rewardkit.bench.defects import WRONG_PROMPT, Resized, Spoiled, settings_of, spoiled_so, wrong_prompt
from rewardkit.bench.films.entries import Shown
from rewardkit.bench.memory import PeakMemory
from rewardkit.bench.names import slug
from rewardkit.bench.result import Result
from rewardkit.bench.rewards.report import report_rewards
from rewardkit.bench.rewards.scores import AS_IS, CODED, COPIED, Found, Scores, Videos
from rewardkit.bench.rewards.videos import find_sets
from rewardkit.bench.scoring import score_files
from rewardkit.bench.suites import RewardsSuite
from rewardkit.device import choose_device
from rewardkit.errors import BadInputError
from rewardkit.files import replacing
from rewardkit.reducers.create import create_reward, named_cards
from rewardkit.reducers.reward import Reward
from rewardkit.reducers.sampling import SAMPLERS, FrameSampler
from rewardkit.reducers.video_reward import VideoReward
from rewardkit.scoring.altering import Alteration
from rewardkit.scoring.rows import ScoreRow
from rewardkit.spec import parse_part
from rewardkit.types import Frames
from rewardkit.video import H264_SUFFIXES, open_video, write_video

COST = "cost.json"
_FPS = 8.0  # of what has no rate of its own
_MOST_BYTES = 2**30  # of a decoded video: 388 frames of 1280 by 720


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
    coded = {f"{CODED}{crf}": _copies(videos.tried, out / "clips" / f"crf-{crf}", show, crf) for crf in suite.codecs}
    found = {}
    for number, name in enumerate(suite.rewards):
        run = _Run(suite, videos, out / "scores" / slug(name), lambda what, name=name, number=number: show(  # type: ignore[misc]
            "rewards", number, len(suite.rewards), f"{name}, {what}"
        ))  # fmt: skip
        found[name] = run.scores(name, samplers, decoded, coded)
    return report_rewards(Found(suite, videos, found, out))


@dataclass(frozen=True)
class Copies:
    """Files that stand for videos: original by copy, and a sentence for each video of which none could be made."""

    files: Mapping[Path, Path]
    failed: Sequence[str] = ()


def _copies(paths: Sequence[Path], folder: Path, show: Shown, crf: int | None = None) -> Copies:
    """Each video as h264 of that quality or, without one, decoded, so that it is decoded once for all ways to score it.

    A video that cannot be read or is too long to be decoded as a whole is not among those of a quality; decoded, it
    stands for itself. Names are the originals', by which random samplers draw; folders tell apart what a file was.
    """
    files: dict[Path, Path] = {}
    failed = []
    for number, path in enumerate(paths):
        suffix = ".npy" if crf is None else path.suffix if path.suffix.lower() in H264_SUFFIXES else ".mp4"
        copy = folder / _state(path) / f"{path.stem}{suffix}"
        if not copy.exists():
            show("videos copied", number, len(paths), folder.name)
            try:
                write_video(copy, *_whole(path), crf=crf or 0)
            except BadInputError as error:
                if crf is not None:
                    failed.append(str(error))
                    continue
                copy = path
        files[copy] = path
    return Copies(files, failed)


def _state(path: Path) -> str:
    """Changes with a video's place, size and time of change."""
    try:
        status = path.stat()
    except OSError:
        return "gone"
    words = f"{path}\0{status.st_size}\0{status.st_mtime_ns}"
    return hashlib.sha256(words.encode(errors="surrogatepass")).hexdigest()[:12]


def _whole(path: Path) -> tuple[Frames, float]:
    """All frames, and their rate."""
    with open_video(path) as video:
        while True:  # a file that announces other frames than it has is corrected while it is read
            info = video.info
            size = 3 * info.num_frames * info.height * info.width
            if size > _MOST_BYTES:
                raise BadInputError(f"{path} takes {size / 2**20:,.0f} MiB decoded, over {_MOST_BYTES / 2**20:,.0f}")
            try:
                return video.read(range(info.num_frames)), info.fps or _FPS
            except BadInputError:
                if video.info == info:
                    raise


class _Run:
    """All scores of one reward."""

    def __init__(self, suite: RewardsSuite, videos: Videos, folder: Path, show: Callable[[str], None]) -> None:
        self._suite, self._videos, self._folder, self._show = suite, videos, folder, show

    def scores(
        self,
        name: str,
        samplers: Sequence[FrameSampler],
        decoded: Copies,
        coded: Mapping[str, Copies],
    ) -> Scores:
        """As is, spoiled, in other sizes and codes, and with other frames."""
        suite, found = self._suite, Scores()
        memory = PeakMemory(choose_device(suite.device))
        memory.start()
        reward = create_reward(name, device=suite.device, dtype=suite.dtype)
        new = self._score(found, AS_IS, reward, {path: path for path in self._videos.all})
        if new or not (self._folder / COST).exists():
            with replacing(self._folder / COST) as draft:
                draft.write_text(json.dumps({"peak_bytes": memory.peak()}) + "\n", encoding="utf-8")
        found.peak_bytes = json.loads((self._folder / COST).read_text(encoding="utf-8"))["peak_bytes"]
        self._score(found, COPIED, reward, decoded.files)
        spoiled = [Spoiled(name, s) for name in suite.defects if name != WRONG_PROMPT for s in settings_of(name)]
        for alter in (*spoiled, *map(Resized, suite.resolutions)):
            self._score(found, alter.spec, reward, decoded.files, alter)
        if WRONG_PROMPT in suite.defects:
            self._wrong_prompts(found, reward, decoded.files)
        for variant, copies in coded.items():
            self._score(found, variant, reward, copies.files)
            found.failed[variant] = [*copies.failed, *found.failed.get(variant, ())]
        if isinstance(reward, VideoReward):
            for sampler in samplers:
                read = VideoReward(reward.image_reward, sampler, reward.weights, reward.reduce)
                self._score(found, f"frames {sampler}", read, decoded.files)
        return found

    def _wrong_prompts(self, found: Scores, reward: Reward, decoded: Mapping[Path, Path]) -> None:
        """Every video that has a prompt with more and more words of the next one that has another."""
        prompts = self._videos.prompts
        told = [path for path in self._videos.tried if prompts.get(path)]
        if not reward.needs_prompt or len({prompts[path] for path in told}) < 2:
            return
        files = {copy: path for copy, path in decoded.items() if path in told}
        for share in settings_of(WRONG_PROMPT):
            wrong = {}
            for place, path in enumerate(told):
                others = [prompts[other] for other in (*told[place:], *told[:place])]
                other = next(prompt for prompt in others if prompt != prompts[path])
                wrong[path] = wrong_prompt(prompts[path], other, share)
            self._score(found, spoiled_so(WRONG_PROMPT, share), reward, files, prompts=wrong)

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
        found.rows[variant] = {}
        if not files:  # of none of the videos a copy could be made
            return False
        new = [False]

        def note(row: ScoreRow | None, done: int, total: int) -> None:
            new[0] |= row is not None

        told = prompts or self._videos.prompts
        by_file = score_files(
            list(files),
            {file: told[video] for file, video in files.items() if video in told},
            reward,
            self._folder / f"{slug(variant)}.jsonl",
            self._suite,
            alter,
            note,
        )
        rows = {video: by_file[file] for file, video in files.items()}
        found.rows[variant] = {path: row for path, row in rows.items() if row.score is not None}
        failed = [row.error or "" for row in rows.values() if row.score is None]
        if failed:
            found.failed[variant] = failed
        return new[0]
