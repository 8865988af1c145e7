"""Every backbone that comes along, in each of its kinds, small and random."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from rewardkit.engine.generator import FilmShape
from rewardkit.engine.lora import LoraSettings, add_lora
from rewardkit.registry import BACKBONES
from rewardkit_adapters.backbone import Backbone

NAMES = ("animatediff", "cogvideox", "hunyuanvideo", "latte", "ltx", "mochi", "modelscope", "wan")
PROMPTS = ["a red cat", "rain over a harbour at night"]
STEPS, SCALE = 5, 3.0
SHAPE = FilmShape(25, 32, 64)  # which every one of them can make


def kind_of(name: str) -> type[Backbone]:
    found = BACKBONES.load(name)
    assert isinstance(found, type)
    assert issubclass(found, Backbone)
    return found


CASES = [(name, kind) for name in NAMES for kind in kind_of(name).kinds]


FIRST = [(name, kind_of(name).kinds[0]) for name in NAMES]


@cache
def tiny(name: str, kind: str) -> Backbone:
    """Shared by tests that do not change it."""
    return kind_of(name).tiny(kind)


def noise(backbone: Backbone, shape: FilmShape, batch: int = 2, seed: int = 1) -> Tensor:
    size = (batch, *backbone.latent_shape(shape))
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def film_of_pipeline(
    pipeline: Any, name: str, start: Tensor, shape: FilmShape, scale: float = SCALE, **more: object
) -> Tensor:
    """By diffusers alone, from the same noise and prompts."""
    told: dict[str, Any] = {"prompt": PROMPTS[: len(start)], "num_inference_steps": STEPS, "output_type": "pt"}
    told |= {"guidance_scale": scale, "latents": start, "height": shape.height, "width": shape.width}
    told |= {"video_length" if name == "latte" else "num_frames": shape.frames}
    if name == "cogvideox":
        told |= {"latents": start.transpose(1, 2)}
    if name == "ltx":
        told |= {"latents": start.flatten(2).transpose(1, 2)}
    if name == "latte":
        told |= {"clean_caption": False}
    if name == "hunyuanvideo" and not pipeline.transformer.config.guidance_embeds:
        told |= {"negative_prompt": "", "true_cfg_scale": scale, "guidance_scale": 1.0}
    if name == "modelscope":
        del told["height"], told["width"]
    film: Tensor = pipeline(**told, **more).frames
    return film


def with_lora(backbone: Backbone, settings: LoraSettings) -> dict[str, nn.Parameter]:
    """A LoRA that does something: of a fresh one the second matrices are zero."""
    weights, random = add_lora(backbone, settings), torch.Generator().manual_seed(0)
    for weight in weights.values():
        weight.data = 0.1 * torch.randn(weight.shape, generator=random)
    return weights


def short(backbone: Backbone) -> FilmShape:
    """A film of few frames, for tests that go back and forth."""
    return backbone.tiny_shape._replace(
        frames={"animatediff": 3, "modelscope": 3, "mochi": 7, "latte": 25}.get(backbone.name, 9)
    )
