"""Our HPSv2 against hpsv2's call: restated on the same weights, and the package itself where it can run on the GPU."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import checkpoints
import torch
import torchvision.transforms.functional as picture_work
from gpu_parts.jobs import Job, NotRunError, Setting, digits
from gpu_parts.towers import hpsv2, tower_of
from PIL import Image
from scoring_speed import asked
from timing import in_turn, middle, ratio
from torch import Tensor
from torchvision.io import write_png
from towers import random_tower, side_of

from rewardkit import VideoReward
from rewardkit.rewards.preprocessing import CLIP_COLOURS
from rewardkit.rewards.prompts import PromptCache
from rewardkit.rewards.towers.clip import ClipTower, OpenAITokenizer

VIDEOS, ROUNDS = 8, 3
PROMPTS = [f"{number} cats walk on a wall" for number in range(VIDEOS)]
OURS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def jobs(setting: Setting) -> list[Job]:
    films = f"{VIDEOS} videos of {setting.chosen} frames in main memory, a prompt each"
    restated = (
        f"our reward against the way hpsv2.score works, restated on the same weights, which are not read again; {films}"
    )
    package = (
        f"our reward against hpsv2's package in its own process: `score` as it is, `model` without reading its "
        f"checkpoint in every call; {films}"
    )
    return [
        Job("official", "hpsv2's call, restated", restated, partial(against_restated, setting), turn=1),
        Job("official", "hpsv2's call, its package", package, partial(against_package, setting), turn=9),
    ]


def against_restated(setting: Setting) -> dict[str, Any]:
    """Both sides over the same frames, in turn."""
    films, rewards = frames_of(setting), {name: hpsv2(setting, dtype, "all") for name, dtype in OURS.items()}
    call = AsOfficial(tower_of(rewards["float32"]), setting)
    shown = [[picture_work.to_pil_image(frame) for frame in film] for film in films]

    def score() -> Tensor:
        return torch.tensor([call(film, prompt) for film, prompt in zip(shown, PROMPTS, strict=True)])

    found = compared({"score": score}, rewards, films, setting)
    return found | {"greatest_difference": apart(score(), rewards, films, setting)}


def against_package(setting: Setting) -> dict[str, Any]:
    """The official package, called over a pipe by `parity/official.py`."""
    if setting.tiny:
        raise NotRunError("the official package comes at full size only")
    python = checkpoints.PARITY / ".environments" / "hpsv2" / "bin" / "python"
    if not python.exists():
        raise NotRunError("there is no environment of the official package: parity/build.py makes it")
    if not sees_gpu(python):
        raise NotRunError("torch in the official package's environment sees no GPU")
    films = frames_of(setting)
    with tempfile.TemporaryDirectory() as name:
        checkpoint = write_material(Path(name), films, setting)
        rewards = {way: hpsv2(setting, dtype, "all") for way, dtype in OURS.items()}
        with asked("hpsv2", checkpoint, Path(name)) as ask:
            ways = {way: partial(ask, way) for way in ("score", "model")}
            found = compared(ways, rewards, films, setting)
            scores = ask("model").scores
    theirs = torch.tensor([scores[str(number)] for number in range(VIDEOS)])
    return found | {"greatest_difference": apart(theirs, rewards, films, setting)}


def compared(
    official: Mapping[str, Callable[[], object]], rewards: Mapping[str, VideoReward], films: Tensor, setting: Setting
) -> dict[str, Any]:
    """Seconds of the official ways and of ours, and how many times as long theirs take."""
    mine = {name: partial(ours, reward, films, setting) for name, reward in rewards.items()}
    theirs = {f"official {name}": run for name, run in official.items()}
    times = in_turn({**theirs, **mine}, ROUNDS, setting.device)
    count = films.shape[0] * films.shape[1]
    return {
        "frames": count,
        "seconds": {way: middle(seconds) for way, seconds in times.items()},
        "frames_a_second": {way: digits(count / middle(seconds)) for way, seconds in times.items()},
        "official_over_ours": {way: {name: ratio(times[way], times[name]) for name in mine} for way in theirs},
    }


@torch.no_grad()
def ours(reward: VideoReward, films: Tensor, setting: Setting) -> Tensor:
    """Scores of all frames, preprocessing and prompts included."""
    reward.image_reward.texts = PromptCache()
    detail = reward.detail(films.to(setting.device), PROMPTS, batch_size=max(setting.batches))
    assert detail.per_frame is not None
    return detail.per_frame.cpu()


def apart(theirs: Tensor, rewards: Mapping[str, VideoReward], films: Tensor, setting: Setting) -> dict[str, float]:
    """The greatest difference of a score by our precision: whether both sides did the same work."""
    found = {name: (ours(reward, films, setting) - theirs).abs().max() for name, reward in rewards.items()}
    return {name: float(f"{float(most):.2g}") for name, most in found.items()}


class AsOfficial:
    """The way hpsv2's `score` works: picture by picture, the prompt read again for each, in automatic mixed precision.

    Source: hpsv2 1.2.0, hpsv2/img_score.py and hpsv2/src/open_clip/transform.py. That also reads its checkpoint in
    every call.
    """

    def __init__(self, tower: ClipTower, setting: Setting) -> None:
        self.clip, self.tokens = tower.clip, OpenAITokenizer()
        self.device, self.side = torch.device(setting.device), side_of(setting.architecture)

    def __call__(self, shown: list[Image.Image], prompt: str) -> list[float]:
        return [self.one(picture, prompt) for picture in shown]

    @torch.no_grad()
    def one(self, picture: Image.Image, prompt: str) -> float:
        """The score of a picture."""
        pixels = self.fitted(picture)[None].to(self.device, non_blocking=True)
        words = self.tokens([prompt]).to(self.device, non_blocking=True)
        with torch.autocast("cuda", torch.float16, enabled=self.device.type == "cuda"):
            seen, said = self.clip.encode_image(pixels, normalize=True), self.clip.encode_text(words, normalize=True)
            return float((seen @ said.T).cpu())

    def fitted(self, picture: Image.Image) -> Tensor:
        """On the CPU: float pixels, the longer side as long as the tower's, black around them, normalised."""
        pixels: Tensor = picture_work.to_tensor(picture.convert("RGB"))
        scale = self.side / max(pixels.shape[1:])
        rows, columns = (round(scale * length) for length in pixels.shape[1:])
        fitted = picture_work.resize(pixels, [rows, columns], picture_work.InterpolationMode.BICUBIC)
        left, top = (self.side - columns) // 2, (self.side - rows) // 2
        square = picture_work.pad(fitted, [left, top, self.side - columns - left, self.side - rows - top])
        found: Tensor = picture_work.normalize(square, list(CLIP_COLOURS.mean), list(CLIP_COLOURS.std))
        return found


def frames_of(setting: Setting) -> Tensor:
    """Bytes (video, frame, 3, height, width), seeded."""
    _, width, height = setting.clip
    size = (VIDEOS, setting.chosen, 3, height, width)
    return torch.randint(256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def write_material(folder: Path, films: Tensor, setting: Setting) -> Path:
    """What `parity/official.py` reads: pictures, prompts, and a checkpoint of half precision, as published."""
    (folder / "prompts.json").write_text(json.dumps(dict(enumerate(PROMPTS))))
    for number, film in enumerate(films):
        (folder / str(number)).mkdir()
        for place, frame in enumerate(film):
            write_png(frame, str(folder / str(number) / f"{place:04}.png"), compression_level=1)
    weights = random_tower(setting.architecture).clip.state_dict()
    torch.save({"state_dict": {name: weight.half().cpu() for name, weight in weights.items()}}, folder / "hpsv2.pt")
    return folder / "hpsv2.pt"


def sees_gpu(python: Path) -> bool:
    command = [str(python), "-c", "import sys, torch; sys.exit(not torch.cuda.is_available())"]
    return subprocess.run(command, capture_output=True).returncode == 0
