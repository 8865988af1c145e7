"""BLIP: picture and text towers of ImageReward and BLIPScore, on timm and transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from rewardkit.errors import BadCheckpointError
from rewardkit.rewards.towers.clip import widened
from rewardkit.weights.content import sha256_of
from rewardkit.weights.filling import Placement, filled
from rewardkit.weights.reading import read_tensors
from rewardkit.weights.sharing import shared
from rewardkit.weights.stored import Tensors, derived, part

LONGEST = 35  # tokens, begin and end included
VOCABULARY = 30522
PARTS = ("visual_encoder.", "text_encoder.", "vision_proj.", "text_proj.")
POSITIONS = "visual_encoder.pos_embed"
ADDED = 2  # [DEC] and [ENC], which have rows in the embedding


class BlipArchitecture(NamedTuple):
    """Sizes of both towers; by default BLIP large (ViT-L/16 and a BERT base with cross-attention)."""

    vision_width: int = 1024
    vision_layers: int = 24
    vision_heads: int = 16
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    text_inner: int = 3072
    common_width: int = 256
    size: int = 224
    patch: int = 16


class Tokens(NamedTuple):
    """Texts as numbers, and which of them are text rather than filling."""

    ids: Int[Tensor, "text token"]
    mask: Int[Tensor, "text token"]


class BlipTower(nn.Module):
    """A picture tower, a text tower that can look at pictures, and projections of both into one space."""

    def __init__(self, sizes: BlipArchitecture) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer
        from transformers import BlipTextConfig, BlipTextModel

        self.visual_encoder = VisionTransformer(
            img_size=sizes.size,
            patch_size=sizes.patch,
            embed_dim=sizes.vision_width,
            depth=sizes.vision_layers,
            num_heads=sizes.vision_heads,
            num_classes=0,
            global_pool="",
        )
        config = BlipTextConfig(
            vocab_size=VOCABULARY + ADDED,
            hidden_size=sizes.text_width,
            encoder_hidden_size=sizes.vision_width,
            intermediate_size=sizes.text_inner,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=sizes.text_heads,
            max_position_embeddings=512,
            hidden_act="gelu",
            layer_norm_eps=1e-12,
            is_decoder=True,  # without it there are no layers that look at the picture
        )
        self.text_encoder = BlipTextModel(config, add_pooling_layer=False)
        self.vision_proj = nn.Linear(sizes.vision_width, sizes.common_width)
        self.text_proj = nn.Linear(sizes.text_width, sizes.common_width)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.vision_proj.weight.dtype

    def image_tokens(self, pixels: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image patch feature"]:
        """Every patch after the last norm, class token first, in the tower's precision."""
        gradient = pixels.requires_grad and torch.is_grad_enabled()
        self.visual_encoder.set_grad_checkpointing(gradient)  # activations are computed again on the way back
        patches: Tensor = self.visual_encoder.forward_features(pixels.to(self.dtype))
        return patches

    def read(
        self, tokens: Tokens, patches: Float[Tensor, "text patch seen"] | None = None
    ) -> Float[Tensor, "text feature"]:
        """What the text tower says at its first token, having looked at `patches`, one picture a text, if any."""
        device = self.vision_proj.weight.device
        longest = int(tokens.mask.sum(dim=1).max())  # what fills up the rest is looked at by no one
        hidden: Tensor = self.text_encoder(
            input_ids=tokens.ids[:, :longest].to(device),
            attention_mask=tokens.mask[:, :longest].to(device),
            encoder_hidden_states=patches,
            is_decoder=False,  # a text is read as a whole, not from left to right
        ).last_hidden_state[:, 0]
        return hidden

    def images(self, pixels: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image feature"]:
        """One vector a picture in the common space, not normalised."""
        return widened(self.vision_proj(self.image_tokens(pixels)[:, 0]))

    def texts(self, tokens: Tokens) -> Float[Tensor, "text feature"]:
        """One vector a text in the common space, not normalised."""
        return widened(self.text_proj(self.read(tokens)))


def load_blip(who: str, path: Path, sizes: BlipArchitecture, placement: Placement, under: str = "") -> BlipTower:
    """The towers in the checkpoint at `path`, shared as `load_clip` shares.

    What else the file holds under `under` is left out: a head, a decoder, the momentum copies that BLIP trains with.

    Raises:
        BadCheckpointError: the file holds something else.
    """

    def load() -> BlipTower:
        tensors = part(read_tensors(who, path), under)
        kept = {name: value for name, value in tensors.items() if name.startswith(PARTS)}
        _resize_positions(kept, sizes)
        return filled(who, lambda: BlipTower(sizes), kept, path, placement, ["text_encoder.*position_ids"])

    return shared(("blip", sizes, sha256_of(path), under), placement, load)


def _resize_positions(tensors: Tensors, sizes: BlipArchitecture) -> None:
    """Position embeddings of a checkpoint trained at another size, as salesforce/BLIP, models/vit.py does it."""
    positions, side = tensors.get(POSITIONS), sizes.size // sizes.patch
    if positions is None or positions.shape[1] == 1 + side * side:
        return
    own = round((positions.shape[1] - 1) ** 0.5)

    def resize(values: Tensor) -> Tensor:
        grid = values[:, 1:].float().view(1, own, own, -1).permute(0, 3, 1, 2)
        resized = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
        return torch.cat([values[:, :1].float(), resized], dim=1)

    tensors[POSITIONS] = derived(resize, positions)


class BertTokenizer:
    """BERT's lower-case word pieces, padded to 35.

    Args:
        who: the reward, for errors.
        vocabulary: `vocab.txt` of bert-base-uncased, or a folder that holds it.
    """

    context = LONGEST

    def __init__(self, who: str, vocabulary: Path) -> None:
        from transformers import BertTokenizer as WordPieces

        path = vocabulary / "vocab.txt" if vocabulary.is_dir() else vocabulary
        words = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        if len(words) != VOCABULARY or "[CLS]" not in words:
            raise BadCheckpointError(
                f"{who} needs the vocabulary of bert-base-uncased, {VOCABULARY} lines: {path} has {len(words)}"
            )
        self._pieces: Any = WordPieces(vocab=str(path))

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokens of each text; what is too long is cut, with the end token last."""
        encoded: Mapping[str, list[list[int]]] = self._pieces(
            list(texts), padding="max_length", truncation=True, max_length=LONGEST
        )
        return Tokens(torch.tensor(encoded["input_ids"]), torch.tensor(encoded["attention_mask"]))

    def length(self, text: str) -> int:
        """Tokens of the whole text, begin and end included."""
        return len(self._pieces(text, verbose=False)["input_ids"])
