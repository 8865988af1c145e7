"""What an adapter gives of a text-to-video generator. The engine needs nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rewardkit.engine.memory import Memory
from rewardkit.engine.noise import Latents, Levels, Prediction

Embedding = Mapping[str, Tensor]
"""What a text encoder gives: tensors whose first axis is the prompt, by the name that the denoiser knows them under."""


class FilmShape(NamedTuple):
    """Of a film in pixels."""

    frames: int
    height: int
    width: int

    def but(self, frames: int | None = None, height: int | None = None, width: int | None = None) -> FilmShape:
        """Other frames or sides where they are given."""
        return FilmShape(frames or self.frames, height or self.height, width or self.width)


class Level(NamedTuple):
    """One step of a walk, as a denoiser needs it: single numbers."""

    timestep: Float[Tensor, ""]
    signal: Float[Tensor, ""]
    noise: Float[Tensor, ""]


class Generator(ABC):
    """A text-to-video generator: its parts are frozen, in evaluation mode, and on one device.

    Latents are (batch, channel, frame, height, width) here whatever the backbone has inside.

    Attributes:
        name: of the backbone.
        loaded_from: a folder or a hub id; None where it brings its own model, or was made by hand.
        default_shape: of the films that it was trained for.
        default_guidance: scale of guidance that its authors use; 1 is none.
        default_model: what is loaded where no model is given; None is nothing.
        default_dtype: precision on a GPU where none is given.
        prediction: what a denoiser's output is.
        guidance: how it is guided: by passes with and without the prompt, or `embedded`, where `predict_clean` is told
            the scale as `guidance` of the embedding, and one pass is all.
        memory: how it saves memory, and what the engine may do with it.
        lora_file: whether a pipeline of diffusers loads LoRA files into its denoisers.
    """

    name: ClassVar[str]
    default_guidance: ClassVar[float]
    default_model: ClassVar[str | None] = None
    default_dtype: ClassVar[torch.dtype] = torch.float32
    loaded_from: str | None = None
    default_shape: FilmShape
    prediction: Prediction = "epsilon"
    guidance: Literal["two passes", "embedded"] = "two passes"
    memory: Memory = Memory()
    lora_file: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def load(cls, model: str, dtype: torch.dtype) -> Self:
        """From a folder or a hub id, into main memory.

        Raises:
            UsageError: that holds another kind of model.
            MissingWeightsError: it is not on this machine and cannot be fetched.
            BadCheckpointError: a file is cut.
        """

    @abstractmethod
    def place(self, device: torch.device, memory: str | Memory = "auto") -> None:
        """Moves it to the device where it computes, and saves memory as told; called once, before any other use.

        Raises:
            UsageError: the generator has no means for one of the settings.
        """

    def free_text(self) -> None:  # noqa: B027  # not every generator has something to give up
        """Gives up the text encoder where `Memory.text` says so; a training calls it when its prompts are read."""

    def guidance_at(self, level: Level) -> float:
        """The authors' scale at a level, for those whose experts have a scale each."""
        return self.default_guidance

    @abstractmethod
    def embed(self, prompts: Sequence[str]) -> Embedding:
        """The prompts as the denoiser reads them, without gradient.

        Each row depends on its own prompt alone, and all have one shape, that of the empty prompt included.
        """

    @abstractmethod
    def encode(self, video: Float[Tensor, "batch film_frame 3 film_height film_width"]) -> Latents:
        """Latents of films in [0, 1], without gradient, scaled as the denoiser knows them."""

    @abstractmethod
    def decode(
        self, latents: Latents, frames: Int[Tensor, "batch chosen"] | None = None
    ) -> Float[Tensor, "batch chosen 3 film_height film_width"]:
        """Films in [0, 1], with gradient where latents carry it; of each only the chosen frames, or all."""

    @abstractmethod
    def levels(self, steps: int, shape: FilmShape) -> Levels:
        """The whole chain in that many steps."""

    @abstractmethod
    def predict_clean(self, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """The denoiser's estimate of the clean latents; guidance is the engine's to apply."""

    def from_pipeline(self, latents: Tensor, shape: FilmShape) -> Latents:
        """Latents as the backbone's own pipeline holds them, of films of `shape`, as they are here."""
        return latents

    @abstractmethod
    def latent_shape(self, shape: FilmShape) -> tuple[int, int, int, int]:
        """(channel, frame, height, width) of a film's latents.

        Raises:
            BadInputError: sides or frames that the backbone cannot make.
        """

    @abstractmethod
    def denoisers(self) -> Mapping[str, nn.Module]:
        """The networks that a LoRA goes into, by the name of their folder: one, or two where experts share the walk."""

    @abstractmethod
    def lora_targets(self) -> Sequence[str]:
        """Names of the layers that a LoRA goes into, as peft reads them."""
