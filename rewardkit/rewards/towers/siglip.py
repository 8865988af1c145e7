"""SigLIP's picture tower, on transformers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rewardkit.rewards.towers.clip import widened
from rewardkit.rewards.towers.recompute import recompute
from rewardkit.weights.content import sha256_of
from rewardkit.weights.filling import Placement, filled
from rewardkit.weights.reading import read_tensors
from rewardkit.weights.sharing import shared


class SiglipArchitecture(NamedTuple):
    """Sizes of the picture tower; by default so400m-patch14-384."""

    width: int = 1152
    inner: int = 4304
    layers: int = 27
    heads: int = 16
    size: int = 384
    patch: int = 14


class SiglipTower(nn.Module):
    """Pictures as vectors."""

    def __init__(self, sizes: SiglipArchitecture) -> None:
        super().__init__()
        from transformers import SiglipVisionConfig, SiglipVisionModel

        self.vision_model = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=sizes.width,
                intermediate_size=sizes.inner,
                num_hidden_layers=sizes.layers,
                num_attention_heads=sizes.heads,
                image_size=sizes.size,
                patch_size=sizes.patch,
                hidden_act="gelu_pytorch_tanh",
                layer_norm_eps=1e-6,
            )
        )

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.vision_model.post_layernorm.weight.dtype

    def images(self, pixels: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image feature"]:
        """One vector a picture, from the attention pool, not normalised."""
        pooled: Tensor = self.vision_model(pixels.to(self.dtype)).pooler_output
        return widened(pooled)


def load_siglip(who: str, path: Path, sizes: SiglipArchitecture, placement: Placement) -> SiglipTower:
    """The picture tower in the checkpoint at `path`, with or without the text tower; shared as `load_clip` shares.

    Raises:
        BadCheckpointError: the file holds something else.
    """

    def load() -> SiglipTower:
        tensors = read_tensors(who, path)
        for name in [name for name in tensors if name.startswith(("text_model.", "logit_"))]:
            del tensors[name]
        tower = filled(who, lambda: SiglipTower(sizes), tensors, path, placement, ["*position_ids"])
        recompute(tower.vision_model.encoder.layers)
        return tower

    return shared(("siglip", sizes, sha256_of(path)), placement, load)
