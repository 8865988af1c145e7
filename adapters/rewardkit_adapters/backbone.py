"""What backbones over diffusers share: loading, reading prompts, latents, frames, the pass of a denoiser."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import diffusers
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rewardkit.engine.generator import Embedding, FilmShape, Level
from rewardkit.engine.noise import Latents, Levels, levels_of, to_clean
from rewardkit.errors import BadInputError, UsageError
from rewardkit_adapters.decoding import latent_of, step_through, take
from rewardkit_adapters.folder import Index, load_parts, quiet, read_index
from rewardkit_adapters.parts import Parts
from rewardkit_adapters.prompts import LongPrompts
from rewardkit_adapters.tiny import fill_zeros

FRAMES_AT_ONCE = 16  # pictures in an image autoencoder, whose activations are what fills memory


class Backbone(Parts):
    """A pipeline of diffusers, with whatever an adapter says of it.

    Attributes:
        pipeline: name of its class.
        parts: the kind of each network, by its folder; tokenizers are of the kind that the folder names.
        options: settings of the pipeline that `__init__` takes beside the parts, from `model_index.json`.
        flow: whether the walk is a flow and not a chain of betas.
        prompt_tokens: that are read of a prompt, with its marks.
        decoding: which latents the frames of a film depend on, in words.
        causal: whether later latents change nothing.
        frame_ratio: frames of a latent, but for the first, which has one.
        frame_step: frames come in this many, and one.
        shrinks: pixels of a latent's side.
        side: what the sides of a film are multiples of.
        tiny_shape: of the films of `tiny()`.
    """

    pipeline: ClassVar[str]
    parts: ClassVar[Mapping[str, Any]]
    options: ClassVar[tuple[str, ...]] = ()
    flow: ClassVar[bool] = False
    lora_file: ClassVar[bool] = True
    default_dtype: ClassVar[torch.dtype] = torch.bfloat16
    prompt_tokens: int
    decoding: ClassVar[str]
    causal: ClassVar[bool] = False
    tiny_shape: ClassVar[FilmShape]
    kinds: ClassVar[tuple[str, ...]] = ("",)
    frame_ratio: int
    frame_step: int
    shrinks: int
    side: int

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.prediction = "flow_prediction" if self.flow else parts["scheduler"].config["prediction_type"]
        self._long_prompts = LongPrompts(self.name, self.count_tokens)

    @classmethod
    def load(cls, model: str, dtype: torch.dtype) -> Self:
        """From a folder in the pipeline's layout, or a hub id."""
        index = read_index(cls.name, model)
        index.check(cls.pipeline)
        return cls(
            **load_parts(index, cls.parts_of(index), cls.flow, dtype),
            **{name: index.entries[name] for name in cls.options if name in index.entries},
        )

    @classmethod
    def parts_of(cls, index: Index) -> Mapping[str, Any]:
        """The kinds of parts that a folder with this index has."""
        return cls.parts

    @classmethod
    def tiny(cls, kind: str = "", seed: int = 0) -> Self:
        """The same classes with random weights, on the CPU, of a kind in `kinds`: built in seconds, for tests."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            made = cls(**cls.tiny_parts(kind))
            for network in made.networks().values():
                fill_zeros(network)
        made.default_shape = cls.tiny_shape
        return made

    @classmethod
    @abstractmethod
    def tiny_parts(cls, kind: str) -> dict[str, Any]:
        """What `__init__` takes, small and random."""

    def plain(self) -> Any:
        """The pipeline of diffusers around the same parts."""
        with quiet():
            pipeline = getattr(diffusers, self.pipeline)(
                **self._parts, **{name: getattr(self, name) for name in self.options}
            )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @torch.no_grad()
    def embed(self, prompts: Sequence[str]) -> Embedding:
        """What the pipeline's text encoders give. Warns of a prompt that they cannot read to its end."""
        if self.text_encoder is None:
            raise UsageError(
                f"{self.name} has given up its text encoder, as memory.text says: no new prompt can be read"
            )
        self._long_prompts.warn(prompts, self.prompt_tokens)
        order = sorted(range(len(prompts)), key=lambda place: bool(prompts[place]))
        empty = prompts.count("")
        groups = [[prompts[place] for place in some] for some in (order[:empty], order[empty:]) if some]
        with self._awake("text_encoder"), quiet():
            read = [self.read(group) for group in groups]  # pipelines may treat a batch with an empty prompt as empty
        back = torch.tensor(order).argsort()
        joined = {name: torch.cat([part[name] for part in read]) for name in read[0]}
        return {name: part.to(self.device)[back.to(self.device)] for name, part in joined.items()}

    @abstractmethod
    def read(self, prompts: list[str]) -> Embedding:
        """What the denoiser is told of prompts, all of them empty or none."""

    def count_tokens(self, prompt: str) -> int:
        """Of a prompt, with its marks."""
        return len(self.tokenizer(prompt, verbose=False).input_ids)

    @torch.no_grad()
    def encode(self, video: Float[Tensor, "batch film_frame 3 film_height film_width"]) -> Latents:
        """The mean of the posterior, so that the same film is always the same latents."""
        _, frames, _, height, width = video.shape
        self.latent_shape(FilmShape(frames, height, width))
        with self._awake("vae"):
            pixels = (video * 2 - 1).to(self.device, self.vae.dtype)
            latents: Tensor = self.encoded(pixels).float()
        mean, scale = self._statistics()
        return (latents - mean) / scale

    def encoded(self, pixels: Float[Tensor, "batch film_frame 3 film_height film_width"]) -> Latents:
        """The autoencoder's own latents of pixels in [-1, 1]."""
        latents: Latents = self.vae.encode(pixels.transpose(1, 2)).latent_dist.mode()
        return latents

    def decode(
        self, latents: Latents, frames: Int[Tensor, "batch chosen"] | None = None
    ) -> Float[Tensor, "batch chosen 3 film_height film_width"]:
        """What is decoded, and how, is up to `Memory.decode`; the frames are those of the whole film."""
        with self._awake("vae"):
            mean, scale = self._statistics()
            pixels = self.pictures((self._kept_awake(latents) * scale + mean).to(self.vae.dtype), frames)
        wide = torch.promote_types(pixels.dtype, torch.float32)
        return (pixels.to(wide) / 2 + 0.5).clamp(0, 1)

    def pictures(self, z: Latents, frames: Int[Tensor, "batch chosen"] | None) -> Tensor:
        """(batch, chosen, 3, height, width) in [-1, 1] of the autoencoder's own latents."""
        total, way = z.shape[2], self.memory.decode
        chosen = set(range(total) if frames is None else latent_of(frames, self.frame_ratio).flatten().tolist())
        if self._stepping() and way in ("exact", "window"):
            assert self.steps is not None
            film = step_through(self.steps, z, chosen, way == "window", self.memory.checkpoint_vae)
        else:
            last = max(chosen) + 1
            count = {"prefix": last, "full": total}.get(way, self.needed(last, total))
            film = self.film(z[:, :, :count])
        return take(film, frames)

    def needed(self, latents: int, total: int) -> int:
        """How many of all latents the frames of the first ones depend on."""
        return latents if self.causal else total

    def film(self, z: Latents) -> Float[Tensor, "batch 3 film_frame film_height film_width"]:
        """The autoencoder's film of its own latents."""
        film: Tensor = self.vae.decode(z).sample
        return film

    def levels(self, steps: int, shape: FilmShape) -> Levels:
        """Of Euler for a flow, of DDIM otherwise, whatever solver of the same levels the folder names."""
        return levels_of(self.scheduler, steps, **self.schedule(steps, shape))

    def schedule(self, steps: int, shape: FilmShape) -> dict[str, Any]:
        """What the pipeline passes to its scheduler beside the number of steps."""
        return {}

    def predict_clean(self, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """By one pass of the denoiser."""
        denoiser = self.denoiser_at(level)
        told = {name: part.to(denoiser.dtype) if part.is_floating_point() else part for name, part in embedding.items()}
        output = self.output(denoiser, noisy.to(denoiser.dtype), level, told).to(noisy.dtype)
        return to_clean(self.prediction, output, noisy, level.signal, level.noise)

    def denoiser_at(self, level: Level) -> Any:
        """The denoiser that is at work at a level."""
        (denoiser,) = self.denoisers().values()
        return denoiser

    @abstractmethod
    def output(self, denoiser: Any, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """What one pass of the denoiser gives, as `prediction` says."""

    def latent_shape(self, shape: FilmShape) -> tuple[int, int, int, int]:
        """(channel, frame, height, width)."""
        frames, height, width = shape
        if min(shape) < 1 or (frames - 1) % self.frame_step or height % self.side or width % self.side:
            raise BadInputError(
                f"{self.name} makes films of {self.possible_frames()} whose sides are multiples of {self.side}: "
                f"got {frames} of {height} by {width}"
            )
        count = (frames - 1) // self.frame_ratio + 1
        return self.sizes["in_channels"], count, height // self.shrinks, width // self.shrinks

    def possible_frames(self) -> str:
        """In words."""
        step = self.frame_step
        return "1 frame or more" if step == 1 else f"1, {1 + step}, {1 + 2 * step}, ... frames"

    @property
    def sizes(self) -> Mapping[str, Any]:
        """The denoiser's configuration; that of experts who share the walk is the same."""
        denoiser: Any = next(iter(self.denoisers().values()))
        sizes: Mapping[str, Any] = denoiser.config
        return sizes

    def lora_targets(self) -> Sequence[str]:
        """Queries, keys, values and outputs of every attention, as InstructVideo."""
        return "to_q", "to_k", "to_v", "to_out.0"

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and scale of the autoencoder's own latents, (channel, 1, 1, 1) or single numbers."""
        known = {**self.vae.config, **dict(self.vae.named_buffers())}
        of_channels = [known.get("latents_mean"), known.get("latents_std")]
        mean, deviation = (
            torch.tensor(default) if values is None else torch.as_tensor(values).float().view(-1, 1, 1, 1)
            for values, default in zip(of_channels, (0.0, 1.0), strict=True)
        )
        return mean.to(self.device), deviation.to(self.device) / known.get("scaling_factor", 1.0)


class FrameByFrame(Backbone):
    """Backbones with an image autoencoder: each frame is a latent of its own.

    Attributes:
        frames: that the authors' films have.
    """

    decoding: ClassVar[str] = "independent frames"
    frames: int = 16
    frame_ratio: int = 1
    frame_step: int = 1

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.shrinks = self.side = 2 ** (len(self.vae.config["block_out_channels"]) - 1)
        size = self.sizes["sample_size"] * self.shrinks
        self.default_shape = FilmShape(self.frames, size, size)

    def encoded(self, pixels: Float[Tensor, "batch film_frame 3 film_height film_width"]) -> Latents:
        """Frame by frame."""
        some = torch.split(pixels.flatten(0, 1), FRAMES_AT_ONCE)
        means = torch.cat([self.vae.encode(pictures).latent_dist.mode() for pictures in some])
        return means.view(*pixels.shape[:2], *means.shape[1:]).transpose(1, 2)

    def pictures(self, z: Latents, frames: Int[Tensor, "batch chosen"] | None) -> Tensor:
        """Chosen first and decoded then, which gives the very frames of a whole film."""
        chosen = take(z, None if self.memory.decode == "full" else frames)
        some = torch.split(chosen.flatten(0, 1), FRAMES_AT_ONCE)
        pixels = torch.cat([self.vae.decode(pictures).sample for pictures in some])
        pixels = pixels.view(*chosen.shape[:2], *pixels.shape[1:])
        return take(pixels.transpose(1, 2), frames) if self.memory.decode == "full" else pixels
