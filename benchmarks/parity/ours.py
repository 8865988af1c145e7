"""Our side of the parity check: rewardkit's models, from the same seeded weights as the official ones.

`benchmarks/check_parity.py` is the command, `tests/rewards/test_parity.py` the test.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import golden
import numpy as np
import tokens
import torch
from material import PROMPTS, clips, pictures, vocabulary
from torch import Tensor

from rewardkit.registry import REWARDS
from rewardkit.rewards.interface import ImageReward, TemporalReward
from rewardkit.rewards.mps import MpsArchitecture
from rewardkit.rewards.preprocessing import Way
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.blip import BlipArchitecture
from rewardkit.rewards.towers.qwen2vl import Qwen2VLArchitecture
from rewardkit.rewards.towers.siglip import SiglipArchitecture
from rewardkit.weights.filling import Placement

CPU = Placement(torch.device("cpu"), torch.float32)
MOMENTS = ("mean", "std")


def _bert(folder: Path, sizes: Mapping[str, Any]) -> dict[str, Path]:
    path = folder / "vocab.txt"
    path.write_text("\n".join(vocabulary()), encoding="utf-8")
    return {"tokenizer": path}


def _qwen2(folder: Path, sizes: Mapping[str, Any]) -> dict[str, Path]:
    tokens.write_processor(folder)
    files = {"tokenizer": folder / "tokenizer.json"}
    if "norm" in sizes:
        numbers = {f"{part}_{what}": pair[i] for part, pair in sizes["norm"].items() for i, what in enumerate(MOMENTS)}
        files["config"] = folder / "model_config.json"
        files["config"].write_text(json.dumps({"peft_lora_config": sizes["lora"], "inference_config": numbers}))
    return files


class Check(NamedTuple):
    """One golden file and what must agree with it.

    Attributes:
        reward: the reward that is built.
        exact: the greatest difference allowed on the exact path.
        proves: the rewards for which the result stands: those of the same class and architecture.
        sizes: the golden file's architecture as the reward takes it.
        others: writes what the reward needs beside weights to a folder, for that architecture; paths by setting.
    """

    reward: str
    exact: float
    proves: tuple[str, ...]
    sizes: Callable[[Mapping[str, Any]], Any] = dict
    others: Callable[[Path, Mapping[str, Any]], dict[str, Path]] = _bert


def _blip(sizes: Mapping[str, Any]) -> BlipArchitecture:
    return BlipArchitecture(**sizes)


def _siglip(sizes: Mapping[str, Any]) -> SiglipArchitecture:
    return SiglipArchitecture(**sizes)


def _mps(sizes: Mapping[str, Any]) -> MpsArchitecture:
    cross = sizes["cross_model"]
    clip = {key: value for key, value in sizes.items() if key != "cross_model"}
    return MpsArchitecture(clip, cross["layer_num"], cross["heads"])


def _qwen2vl(sizes: Mapping[str, Any]) -> Qwen2VLArchitecture:
    vision = sizes["vision_config"]
    return Qwen2VLArchitecture(
        width=sizes["hidden_size"],
        inner=sizes["intermediate_size"],
        layers=sizes["num_hidden_layers"],
        heads=sizes["num_attention_heads"],
        key_heads=sizes["num_key_value_heads"],
        rotary=tuple(sizes["rope_scaling"]["mrope_section"]),
        vision_width=vision["embed_dim"],
        vision_layers=vision["depth"],
        vision_heads=vision["num_heads"],
        tied=sizes.get("tie_word_embeddings", False),
    )


VIDEOREWARDS = ("videoreward", "videoreward-vq", "videoreward-mq", "videoreward-ta")
CHECKS = {
    "hpsv2": Check("hpsv2.1", 1e-5, ("hpsv2.0", "hpsv2.1")),
    "imagereward": Check("imagereward", 1e-5, ("imagereward",), _blip),
    "blipscore": Check("blipscore", 1e-5, ("blipscore",), _blip),
    "pickscore": Check("pickscore", 1e-4, ("pickscore",)),
    "clipscore": Check("clipscore", 1e-5, ("clipscore",)),
    "clipscore_l14": Check("clipscore-l14", 1e-5, ("clipscore-l14", "clipscore-h14")),
    "aesthetic_v1": Check("aesthetic-v1", 1e-5, ("aesthetic-v1",)),
    "aesthetic_v2": Check("aesthetic-v2", 1e-5, ("aesthetic-v2",)),
    "aesthetic_v2_5": Check("aesthetic-v2.5", 1e-4, ("aesthetic-v2.5",), _siglip),
    "mps": Check("mps", 1e-4, ("mps",), _mps),
    "clip_iqa": Check("clip-iqa", 1e-5, ("clip-iqa",)),
    "viclip": Check("viclip", 1e-5, ("viclip",)),
    "hpsv3": Check("hpsv3", 1e-5, ("hpsv3",), _qwen2vl, _qwen2),
    "videoreward": Check("videoreward", 1e-5, VIDEOREWARDS, _qwen2vl, _qwen2),
}
LANGUAGE_MODELS = ("hpsv3", "videoreward")
"""They read a thousand tokens a picture even when tiny: half a second each."""


def build(name: str, folder: Path, full: bool = False) -> ImageReward | TemporalReward:
    """The reward of a golden file, loaded from checkpoints in the official layout that are written to `folder`."""
    content, release = golden.read(name, full), REWARDS.load(CHECKS[name].reward)
    assert isinstance(release, Release)
    files = {key: golden.save(made, folder / f"{name}.{key}.pt") for key, made in content["files"].items()}
    if "tokenizer" in release.files:
        files |= CHECKS[name].others(folder, content["architecture"])
    sizes = {"architecture": CHECKS[name].sizes(content["architecture"])}
    model = dataclasses.replace(release, defaults={**release.defaults, **sizes}).load(CPU, files)
    model.freeze()
    return model


@torch.no_grad()
def difference(name: str, model: ImageReward | TemporalReward, way: Way, full: bool = False) -> float:
    """The greatest difference from the official scores, by one way of preprocessing."""
    assert model.preprocessing is not None
    automatic, model.preprocessing = model.preprocessing, dataclasses.replace(model.preprocessing, mode=way)
    official = golden.read(name, full)["scores"]
    found = [(scores(model, shown, row) - torch.tensor(row)).abs().max().item() for shown, row in official.items()]
    model.preprocessing = automatic
    return max(found)


def scores(model: ImageReward | TemporalReward, shown: str, official: float | list[float]) -> Tensor:
    """Our scores of one picture or clip: one number, or one for each of as many prompts as the official side has."""
    pixels = item(shown) if isinstance(model, ImageReward) else item(shown, moving=True)
    if not isinstance(official, list):
        return model(pixels[None])[0]
    prompts = list(PROMPTS[: len(official)])
    return model(pixels.expand(len(prompts), *pixels.shape), prompts)


def item(name: str, moving: bool = False) -> Tensor:
    """A picture (3, height, width) or a clip (frame, 3, height, width), float in [0, 1]."""
    if moving:
        return torch.from_numpy(clips()[name]).permute(0, 3, 1, 2).float() / 255
    picture = pictures()[name.removesuffix("_padded")].convert("RGB")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
