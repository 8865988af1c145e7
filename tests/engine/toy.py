"""A generator small enough to differentiate by hand: its denoiser is one linear layer over channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from rewardkit.engine.denoise import Words
from rewardkit.engine.generator import Embedding, FilmShape, Generator, Level
from rewardkit.engine.lora import LoraSettings, add_lora
from rewardkit.engine.memory import Memory, choose_memory
from rewardkit.engine.noise import Levels, levels_of, to_clean

CHANNELS = 3


def modelscope_scheduler(**changes: object) -> DDIMScheduler:
    """InstructVideo's schedule."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="leading",
        **changes,
    )


class Denoiser(nn.Module):
    """eps = A x + B c + t / 1000, channel by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.told = nn.Linear(2, CHANNELS, bias=False)
        self.calls: list[bool] = []
        self.films: list[int] = []

    def forward(self, x: Tensor, timestep: Tensor, words: Tensor) -> Tensor:
        self.calls.append(torch.is_grad_enabled())
        self.films.append(len(x))
        said = self.told(words)[:, :, None, None, None]
        return self.mix(x.movedim(1, -1)).movedim(-1, 1) + said + timestep / 1000


class Toy(Generator):
    """Latents are pixels: channel first inside, frames decoded by a fixed scale."""

    name = "toy"
    default_guidance = 3.0
    default_shape = FilmShape(6, 4, 5)

    def __init__(self, prediction: str = "epsilon", seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.denoiser = Denoiser().requires_grad_(False)
        self.prediction = prediction
        self.scheduler = modelscope_scheduler()
        self.decoded: list[tuple[int, ...]] = []

    @classmethod
    def load(cls, model: str, dtype: torch.dtype) -> Toy:
        return cls(prediction=model)

    def place(self, device: torch.device, memory: str | Memory = "auto") -> None:
        choose_memory(memory, self.name, (), 0)

    def embed(self, prompts: Sequence[str]) -> Embedding:
        return {"words": torch.tensor([[float(len(prompt)), float(prompt.count("a"))] for prompt in prompts]) / 10}

    def encode(self, video: Tensor) -> Tensor:
        return (video - 0.5).transpose(1, 2)

    def decode(self, latents: Tensor, frames: Tensor | None = None) -> Tensor:
        film = latents.transpose(1, 2)
        if frames is not None:
            film = film[torch.arange(len(film))[:, None], frames]
        self.decoded.append(tuple(film.shape))
        return (0.1 * film + 0.5).clamp(0, 1)

    def levels(self, steps: int, shape: FilmShape) -> Levels:
        return levels_of(self.scheduler, steps)

    def predict_clean(self, noisy: Tensor, level: Level, embedding: Embedding) -> Tensor:
        output = self.denoiser(noisy, level.timestep, **embedding)
        return to_clean(self.prediction, output, noisy, level.signal, level.noise)

    def latent_shape(self, shape: FilmShape) -> tuple[int, int, int, int]:
        return CHANNELS, shape.frames, shape.height, shape.width

    def denoisers(self) -> Mapping[str, nn.Module]:
        return {"denoiser": self.denoiser}

    def lora_targets(self) -> Sequence[str]:
        return ("mix", "told")


def words(toy: Toy, *prompts: str) -> Words:
    """The prompts and as many empty ones."""
    return Words(toy.embed(prompts), toy.embed([""] * len(prompts)))


def trained_lora(toy: Toy, seed: int = 1, settings: LoraSettings | None = None) -> dict[str, nn.Parameter]:
    """A LoRA that does something: of a fresh one the second matrices are zero."""
    weights = add_lora(toy, settings or LoraSettings(rank=2, seed=seed))
    random = torch.Generator().manual_seed(seed)
    for weight in weights.values():
        weight.data = 0.3 * torch.randn(weight.shape, generator=random)
    return weights
