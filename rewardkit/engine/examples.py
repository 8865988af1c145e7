"""What a training learns from: prompts, with or without a video each, and the latents that walks start from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rewardkit.engine.denoise import Words, walk
from rewardkit.engine.generator import Embedding, FilmShape, Generator
from rewardkit.engine.noise import draw_noise
from rewardkit.engine.objectives import Objective
from rewardkit.engine.trial import Bench, seeded
from rewardkit.errors import BadInputError, OutputError, UnreadableVideoError
from rewardkit.files import replacing
from rewardkit.video import open_video

EMBEDDED_AT_ONCE = 32


@dataclass(frozen=True)
class Example:
    """A prompt, and the video that it describes if there is one."""

    prompt: str
    video: Path | None = None


def check_examples(examples: Sequence[Example], objective: Objective) -> None:
    """Refuses what cannot be trained on, before anything is loaded or made.

    Raises:
        BadInputError: no examples, an empty prompt, no video where walks start from clips, a video that cannot be
            opened.
    """
    if not examples:
        raise BadInputError("fine-tuning needs prompts: got none")
    blank = [number for number, example in enumerate(examples, start=1) if not example.prompt.strip()]
    if blank:
        raise BadInputError(f"prompt {blank[0]} of {len(examples)} is empty: leave it out or write one")
    if objective.start != "clip":
        return
    bare = [example.prompt for example in examples if example.video is None]
    if bare:
        raise BadInputError(
            f"walks start from clips, and {len(bare)} of {len(examples)} prompts have none, such as {bare[0]!r}: "
            'give videos, or set objective.start to "base" or "noise"'
        )
    bad = []
    for example in examples:
        try:
            open_video(str(example.video)).close()
        except UnreadableVideoError as error:
            bad.append(str(error))
    if bad:
        raise BadInputError(f"{len(bad)} of {len(examples)} clips cannot be read, the first: {bad[0]}; leave them out")


def order(count: int, batch: int, step: int, seed: int) -> list[int]:
    """The examples of one step: every epoch a new order of all, whatever the number of processes."""
    found: list[int] = []
    for place in range(step * batch, (step + 1) * batch):
        epoch, position = divmod(place, count)
        found.append(_shuffled(count, seed, epoch)[position])
    return found


def _shuffled(count: int, seed: int, epoch: int) -> list[int]:
    shuffled: list[int] = torch.randperm(count, generator=seeded("order", seed, epoch)).tolist()
    return shuffled


class WordCache:
    """Every prompt's embedding, made once and kept on the CPU; the text encoder is not needed after that."""

    def __init__(self, generator: Generator, prompts: Sequence[str], device: torch.device) -> None:
        self._device = device
        self._known: dict[str, dict[str, Tensor]] = {}
        distinct = list(dict.fromkeys(["", *prompts]))
        for start in range(0, len(distinct), EMBEDDED_AT_ONCE):
            some = distinct[start : start + EMBEDDED_AT_ONCE]
            embedded = generator.embed(some)
            for row, prompt in enumerate(some):
                self._known[prompt] = {name: part[row].cpu() for name, part in embedded.items()}

    def __call__(self, prompts: Sequence[str]) -> Words:
        """The words of a batch."""
        return Words(self._rows(prompts), self._rows([""] * len(prompts)))

    def _rows(self, prompts: Sequence[str]) -> Embedding:
        names = self._known[prompts[0]]
        return {name: torch.stack([self._known[p][name] for p in prompts]).to(self._device) for name in names}


class Starts:
    """The latents that walks start part-way from, each made once and kept in a folder.

    A clip's are those of as many frames as the backbone makes, spread evenly over it, its middle cut out in the
    backbone's shape. A base film's are what the base model makes for the prompt; processes make equally many, since
    they may share the denoiser's weights.

    Args:
        together: what all processes give, in order.
    """

    def __init__(
        self,
        bench: Bench,
        objective: Objective,
        words: WordCache,
        seed: int,
        folder: Path,
        together: Callable[[list[int]], list[int]] = lambda own: own,
    ) -> None:
        self._bench, self._objective, self._words, self._seed, self._folder = bench, objective, words, seed, folder
        self._together = together

    def __call__(self, examples: Sequence[Example]) -> Float[Tensor, "batch channel frame height width"] | None:
        """On the device; None where walks start at noise.

        Raises:
            BadInputError: a clip that cannot be read or is too short.
            OutputError: there is no space for a new one.
        """
        if self._objective.start == "noise":
            return None
        found = {example: latents for example in examples if (latents := self._kept(example)) is not None}
        missing = [example for example in dict.fromkeys(examples) if example not in found]
        if self._objective.start == "base":
            missing += [examples[-1]] * (max(self._together([len(missing)])) - len(missing))
        for example in missing:
            found[example] = self._made(example)
        return torch.stack([found[example] for example in examples]).to(self._bench.device)

    def _kept(self, example: Example) -> Tensor | None:
        try:
            return load_file(self._path(example))["latents"]
        except (FileNotFoundError, SafetensorError):  # not made yet, or cut short by a crash
            return None

    def _made(self, example: Example) -> Tensor:
        latents = self._encoded(example) if self._objective.start == "clip" else self._base_film(example)
        path = self._path(example)
        with replacing(path) as draft:
            try:
                save_file({"latents": latents}, draft)
            except SafetensorError as error:  # it has an error of its own for a full disk
                raise OutputError(f"cannot write {path}: {error}") from None
        return latents

    def _path(self, example: Example) -> Path:
        return self._folder / f"{self._key(example)}.safetensors"

    def _key(self, example: Example) -> str:
        words = [self._bench.generator.name, *self._bench.shape, self._objective.start, example.prompt]
        if self._objective.start == "clip" and example.video is not None:
            status = example.video.stat()
            words += [str(example.video.resolve()), status.st_size, status.st_mtime_ns]
        else:
            words += [self._seed, len(self._bench.levels), self._objective.scale().scale]
        return hashlib.sha256("\0".join(map(str, words)).encode()).hexdigest()[:24]

    def _encoded(self, example: Example) -> Tensor:
        video = read_clip(Path(str(example.video)), self._bench.shape)
        return self._bench.generator.encode(video[None].to(self._bench.device))[0].cpu().contiguous()

    @torch.no_grad()
    def _base_film(self, example: Example) -> Tensor:
        bench = self._bench
        size = bench.generator.latent_shape(bench.shape)
        noise = draw_noise(size, [seeded("base film", self._seed, example.prompt)]).to(bench.device)
        with bench.base():
            scale = self._objective.scale()
            film = walk(bench.generator, noise, bench.levels, self._words([example.prompt]), scale)
        return film[0].cpu().contiguous()


def read_clip(path: Path, shape: FilmShape) -> Float[Tensor, "frame 3 height width"]:
    """So many frames, spread evenly over a video, resized to cover the shape, the middle cut out.

    Raises:
        BadInputError: the video cannot be read, or has fewer frames.
    """
    with open_video(path) as video:
        count = video.info.num_frames
        if count < shape.frames:
            raise BadInputError(f"{path} has {count} frames: {shape.frames} are needed")
        picked = torch.linspace(0, count - 1, shape.frames).round().long().tolist()
        frames = video.read(picked).float() / 255
    scale = max(shape.height / frames.shape[-2], shape.width / frames.shape[-1])
    if scale != 1:
        size = [max(1, round(side * scale)) for side in frames.shape[-2:]]
        frames = F.interpolate(frames, size, mode="bilinear", antialias=True)
    top, left = (frames.shape[-2] - shape.height) // 2, (frames.shape[-1] - shape.width) // 2
    return frames[..., top : top + shape.height, left : left + shape.width].contiguous()
