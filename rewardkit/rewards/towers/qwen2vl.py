"""Qwen2-VL as a judge: it reads a picture or a film and an instruction, and a small head scores its hidden states.

HPSv3 and VideoReward are both of this kind. Both were trained with plain positions 0, 1, 2, ... on all three axes of
the rotary embedding, since their code calls the decoder of transformers 4.45 without positions; with the positions that
Qwen2-VL itself counts, by time, row and column, the same weights give other scores.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rewardkit.rewards.heads import Head, filled_head
from rewardkit.rewards.towers.qwen2vl_input import PATCH, TOGETHER, Reading, patches
from rewardkit.rewards.towers.recompute import recompute
from rewardkit.weights.content import sha256_of
from rewardkit.weights.filling import Placement, filled
from rewardkit.weights.reading import read_tensors
from rewardkit.weights.sharing import shared
from rewardkit.weights.stored import Tensors, derived, part


class Qwen2VLArchitecture(NamedTuple):
    """Sizes; by default those of Qwen2-VL-7B. The vocabulary's is that of the tokenizer.

    `rotary` are the pairs of a head that time, row and column turn; `tied` says that the language head is the
    embedding.
    """

    width: int = 3584
    inner: int = 18944
    layers: int = 28
    heads: int = 28
    key_heads: int = 4
    rotary: tuple[int, int, int] = (16, 24, 24)
    vision_width: int = 1280
    vision_layers: int = 32
    vision_heads: int = 16
    tied: bool = False


QWEN2_VL_2B = Qwen2VLArchitecture(width=1536, inner=8960, heads=12, key_heads=2, tied=True)


class Qwen2VLTower(nn.Module):
    """Qwen2-VL without its language head."""

    def __init__(self, sizes: Qwen2VLArchitecture, words: int) -> None:
        super().__init__()
        from transformers import Qwen2VLConfig, Qwen2VLModel

        text = {
            "vocab_size": words,
            "hidden_size": sizes.width,
            "intermediate_size": sizes.inner,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": sizes.key_heads,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(sizes.rotary)},
            "bos_token_id": None,
            "eos_token_id": None,
        }
        vision = {
            "hidden_size": sizes.width,
            "embed_dim": sizes.vision_width,
            "depth": sizes.vision_layers,
            "num_heads": sizes.vision_heads,
        }
        self.model: Any = Qwen2VLModel(Qwen2VLConfig(text_config=text, vision_config=vision))

    def forward(
        self, film: Float[Tensor, "film frame 3 row column"], reading: Reading
    ) -> Float[Tensor, "film token width"]:
        """Hidden states of the tokens after what is shown, each film read with its own prompt."""
        films, frames, _, rows, columns = film.shape
        grid = torch.tensor([[frames // TOGETHER, rows // PATCH, columns // PATCH]], device=film.device)
        seen = self.model.visual(patches(film), grid_thw=grid.expand(films, -1)).pooler_output
        embed = self.model.language_model.embed_tokens
        before = embed(reading.before).expand(films, -1, -1)
        read = torch.cat([before, seen.unflatten(0, (films, -1)), embed(reading.after)], dim=1)
        # plain positions, see above
        positions = torch.arange(read.shape[1], device=read.device).expand(3, films, -1)
        hidden: Tensor = self.model.language_model(
            inputs_embeds=read, position_ids=positions, use_cache=False
        ).last_hidden_state
        return hidden[:, -reading.after.shape[1] :]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Qwen2VLTower:
        angles = dict(self.named_buffers())
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, moved in list(self.named_buffers()):  # bfloat16 has not the digits to turn by position 2000
            owner, _, own = name.rpartition(".")
            self.get_submodule(owner)._buffers[own] = angles[name].to(moved.device)
        return self


class Judge(nn.Module):
    """A tower and the head on it."""

    def __init__(self, tower: Qwen2VLTower, head: Head) -> None:
        super().__init__()
        self.tower, self.head = tower, head

    def forward(
        self, film: Float[Tensor, "film frame 3 row column"], reading: Reading
    ) -> Float[Tensor, "film mark score"]:
        """What the head says at each mark."""
        hidden = self.tower(film, reading)
        places = torch.stack([reading.after.eq(mark).int().argmax(1) for mark in reading.marks], dim=1)
        said: Tensor = self.head(hidden.gather(1, places.unsqueeze(-1).expand(-1, -1, hidden.shape[-1])))
        return said


def load_judge(
    who: str,
    path: Path,
    sizes: Qwen2VLArchitecture,
    words: int,
    head: Callable[[], nn.Module],
    placement: Placement,
    lora_scale: float | None = None,
) -> Judge:
    """The model in the checkpoint at `path`, shared with every reward that uses it already.

    Args:
        who: the reward, for errors.
        path: in the layout of transformers 4.45, with or without the names of peft.
        sizes: what it must be.
        words: tokens in the vocabulary.
        head: makes the layers of `rm_head`.
        placement: device and precision; the head stays at float32.
        lora_scale: what the LoRA in the file is multiplied by; None where there must be none.

    Raises:
        BadCheckpointError: the file holds something else.
    """

    def load() -> Judge:
        tensors = read_tensors(who, path)
        if lora_scale is not None:
            tensors = merged(tensors, lora_scale)
        top = part(tensors, "rm_head.")
        if sizes.tied and "lm_head.weight" in tensors:  # the official code loads this one last into both
            tensors["model.embed_tokens.weight"] = tensors["lm_head.weight"]
        named = {_name(name): tensor for name, tensor in tensors.items() if not name.startswith("rm_head.")}
        tower = filled(who, lambda: Qwen2VLTower(sizes, words), named, path, placement, ["lm_head.weight"])
        recompute(tower.model.visual.blocks)
        recompute(tower.model.language_model.layers)
        return Judge(tower, filled_head(who, top, path, head, placement))

    return shared(("qwen2vl", sizes, words, sha256_of(path), lora_scale), placement, load)


def _name(name: str) -> str:
    """A name of transformers 4.45 as it is now."""
    if name.startswith("model."):
        return f"model.language_model.{name.removeprefix('model.')}"
    return f"model.{name}" if name.startswith("visual.") else name


def merged(tensors: Tensors, scale: float) -> Tensors:
    """Weights in which the LoRA of peft is dissolved: base + scale * B A, computed in float32.

    What is not in pairs keeps its name, and so is unknown to the model.
    """

    def add(base: Tensor, up: Tensor, down: Tensor) -> Tensor:
        return base.float() + scale * (up.float() @ down.float())

    plain = {name.removeprefix("base_model.model."): value for name, value in tensors.items()}
    for name in [name for name in plain if name.endswith(".lora_A.default.weight")]:
        layer = name.removesuffix(".lora_A.default.weight")
        base, up = f"{layer}.base_layer.weight", f"{layer}.lora_B.default.weight"
        if base in plain and up in plain:
            plain[base] = derived(add, plain[base], plain.pop(up), plain.pop(name))
    return {name.replace(".base_layer.", "."): value for name, value in plain.items()}
