"""What the references of ImageReward and BLIPScore share: the package, a tiny BLIP, a folder in place of the hub."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from material import vocabulary

LARGE = {
    "vision_width": 1024,
    "vision_layers": 24,
    "vision_heads": 16,
    "text_width": 768,
    "text_layers": 12,
    "text_heads": 12,
    "text_inner": 3072,
    "common_width": 256,
    "size": 224,
    "patch": 16,
}
TINY = LARGE | {
    "vision_width": 48,
    "vision_layers": 3,
    "vision_heads": 3,
    "text_width": 64,
    "text_layers": 2,
    "text_heads": 2,
    "text_inner": 96,
}


def image_reward() -> Any:
    """The official package without its training, which needs old versions of diffusers, datasets and accelerate."""
    sys.modules["ImageReward.ReFL"] = ModuleType("ImageReward.ReFL")
    import ImageReward

    return ImageReward


def shrink(sizes: Mapping[str, int]) -> None:
    """Makes the package build its towers in other sizes than BLIP large."""
    from ImageReward.models.BLIP import blip_pretrain
    from ImageReward.models.BLIP.vit import VisionTransformer

    def create_vit(*_: object) -> tuple[Any, int]:
        tower = VisionTransformer(
            img_size=sizes["size"],
            patch_size=sizes["patch"],
            embed_dim=sizes["vision_width"],
            depth=sizes["vision_layers"],
            num_heads=sizes["vision_heads"],
            drop_path_rate=0.1,
        )
        return tower, sizes["vision_width"]

    blip_pretrain.create_vit = create_vit


@contextlib.contextmanager
def hub(sizes: Mapping[str, int]) -> Iterator[Path]:
    """A working directory with what the package would download, checkpoints excepted."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bert-base-uncased").mkdir()
        (folder / "bert-base-uncased" / "vocab.txt").write_text("\n".join(vocabulary()), encoding="utf-8")
        (folder / "med_config.json").write_text(json.dumps(_med_config(sizes)))
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def _med_config(sizes: Mapping[str, int]) -> dict[str, Any]:
    """As salesforce/BLIP@056a169, configs/med_config.json, has it for BLIP large."""
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": sizes["text_width"],
        "initializer_range": 0.02,
        "intermediate_size": sizes["text_inner"],
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "num_attention_heads": sizes["text_heads"],
        "num_hidden_layers": sizes["text_layers"],
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": 30524,
        "encoder_width": 768,
        "add_cross_attention": True,
    }
