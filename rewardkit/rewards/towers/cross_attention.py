"""The layers in which MPS lets a picture look at the words that a condition selects.

Written from Kwai-Kolors/MPS@be9027f, trainer/models/cross_modeling.py: multi-query attention (one key and value for all
heads), SwiGLU, no biases; first the picture looks at the text, then at itself with rotary positions, each beside a
feed-forward branch.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rewardkit.weights.content import sha256_of
from rewardkit.weights.filling import Placement, filled
from rewardkit.weights.reading import read_tensors
from rewardkit.weights.sharing import shared
from rewardkit.weights.stored import part

HEAD_WIDTH = 64
WIDENING = 4


def load_cross_model(who: str, path: Path, width: int, layers: int, heads: int, placement: Placement) -> CrossModel:
    """The layers in the checkpoint at `path`, shared as `load_clip` shares.

    Raises:
        BadCheckpointError: the file holds something else.
    """

    def load() -> CrossModel:
        tensors = part(read_tensors(who, path), "cross_model.")
        return filled(who, lambda: CrossModel(width, layers, heads), tensors, path, placement, ["*inv_freq"])

    return shared(("mps", width, layers, heads, sha256_of(path)), placement, load)


class CrossModel(nn.Module):
    """Pairs of layers: picture to text, picture to itself."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList([Residual(LookAtText(width, heads)), Residual(LookAtSelf(width, heads))])
            for _ in range(layers)
        )

    def forward(
        self,
        picture: Float[Tensor, "image patch feature"],
        text: Float[Tensor, "image token feature"],
        seen: Bool[Tensor, "image token"],
    ) -> Float[Tensor, "image patch feature"]:
        """The picture's patches after having looked at the tokens that are `seen`."""
        for pair in self.layers:
            assert isinstance(pair, nn.ModuleList)
            picture = pair[1](pair[0](picture, text, seen))
        return picture


class Residual(nn.Module):
    """What a layer adds."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, hidden: Tensor, *rest: Tensor) -> Tensor:
        """Input and output added up."""
        added: Tensor = self.fn(hidden, *rest)
        return hidden + added


class Norm(nn.Module):
    """Layer norm whose bias is fixed, though it stands in the checkpoint."""

    bias: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.register_buffer("bias", torch.zeros(width))

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalised over the last axis."""
        return F.layer_norm(hidden, hidden.shape[-1:], self.weight, self.bias)


class Gated(nn.Module):
    """SwiGLU: the second half of the features opens the first."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Half as many features."""
        first, gate = hidden.chunk(2, dim=-1)
        return F.silu(gate) * first


class LookAtText(nn.Module):
    """Picture queries, text keys; the feed-forward branch reads the picture."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = Norm(width)
        self.to_q = nn.Linear(width, heads * HEAD_WIDTH, bias=False)
        self.to_kv = nn.Linear(width, 2 * HEAD_WIDTH, bias=False)
        self.to_out = nn.Linear(heads * HEAD_WIDTH, width, bias=False)
        self.ff = nn.Sequential(
            nn.Linear(width, 2 * WIDENING * width, bias=False), Gated(), nn.Linear(WIDENING * width, width, bias=False)
        )

    def forward(self, picture: Tensor, text: Tensor, seen: Tensor) -> Tensor:
        """What is added to the picture."""
        picture = self.norm(picture)
        query = self.to_q(picture).unflatten(-1, (self.heads, HEAD_WIDTH)).transpose(1, 2)
        key, value = self.to_kv(text).unsqueeze(1).chunk(2, dim=-1)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None, :])
        looked: Tensor = self.to_out(found.transpose(1, 2).flatten(2)) + self.ff(picture)
        return looked


class LookAtSelf(nn.Module):
    """All projections in one matrix, rotary positions along the patches."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.widths = (heads * HEAD_WIDTH, HEAD_WIDTH, HEAD_WIDTH, 2 * WIDENING * width)
        self.norm = Norm(width)
        self.rotary_emb = Rotary()
        self.fused_attn_ff_proj = nn.Linear(width, sum(self.widths), bias=False)
        self.attn_out = nn.Linear(heads * HEAD_WIDTH, width, bias=False)
        self.ff_out = nn.Sequential(Gated(), nn.Linear(WIDENING * width, width, bias=False))

    def forward(self, picture: Tensor) -> Tensor:
        """What is added to the picture."""
        query, key, value, ff = self.fused_attn_ff_proj(self.norm(picture)).split(self.widths, dim=-1)
        query = query.unflatten(-1, (self.heads, HEAD_WIDTH)).transpose(1, 2)
        query, key = self.rotary_emb(query), self.rotary_emb(key.unsqueeze(1))
        found = F.scaled_dot_product_attention(query, key, value.unsqueeze(1))
        looked: Tensor = self.attn_out(found.transpose(1, 2).flatten(2)) + self.ff_out(ff)
        return looked


class Rotary(nn.Module):
    """Positions as rotations; Su et al., arXiv:2104.09864.

    The checkpoint's frequencies are not read but computed, since in bfloat16 they would drift.
    """

    def forward(self, hidden: Float[Tensor, "image head patch feature"]) -> Float[Tensor, "image head patch feature"]:
        """Each patch turned by its position."""
        precision = torch.promote_types(hidden.dtype, torch.float32)
        step = torch.arange(0, HEAD_WIDTH, 2, device=hidden.device, dtype=precision) / HEAD_WIDTH
        position = torch.arange(hidden.shape[-2], device=hidden.device, dtype=precision)
        angle = torch.outer(position, 10000**-step).repeat(1, 2)
        first, second = hidden.chunk(2, dim=-1)
        return hidden * angle.cos().to(hidden) + torch.cat((-second, first), dim=-1) * angle.sin().to(hidden)
