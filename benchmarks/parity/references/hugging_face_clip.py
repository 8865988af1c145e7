"""What the references that stand on transformers' CLIP share: a tiny model of its kind, tokenizer and processor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import golden
from clip.simple_tokenizer import SimpleTokenizer
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizerFast

ACTIVATION = {True: "quick_gelu", False: "gelu"}


def config(sizes: Mapping[str, Any]) -> CLIPConfig:
    """The configuration that says what `sizes` says in the words of open_clip's."""
    vision, text = sizes["vision_cfg"], sizes["text_cfg"]
    activation = ACTIVATION[sizes["quick_gelu"]]
    return CLIPConfig(
        projection_dim=sizes["embed_dim"],
        vision_config={
            "hidden_size": vision["width"],
            "intermediate_size": 4 * vision["width"],
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // vision["head_width"],
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "hidden_act": activation,
        },
        text_config={
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "max_position_embeddings": text["context_length"],
            "vocab_size": text["vocab_size"],
            "hidden_act": activation,
        },
    )


def write(folder: Path, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves model and processor in `folder`, as on the hub; gives how the weights are made."""
    settings = config(sizes)
    made = golden.file(CLIPModel(settings).state_dict())
    settings.architectures = ["CLIPModel"]
    settings.save_pretrained(folder)
    golden.save(made, folder / "pytorch_model.bin")
    CLIPImageProcessor().save_pretrained(folder)
    tokenizer(folder).save_pretrained(folder)
    return made


def tokenizer(folder: Path) -> CLIPTokenizerFast:
    """CLIP's tokenizer in transformers, from the vocabulary in OpenAI's package, since the hub cannot be reached."""
    original = SimpleTokenizer()
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps(original.encoder, ensure_ascii=False), encoding="utf-8")
    pairs = sorted(original.bpe_ranks, key=original.bpe_ranks.__getitem__)
    merges.write_text("\n".join(["#version: 0.2", *map(" ".join, pairs)]) + "\n", encoding="utf-8")
    return CLIPTokenizerFast(str(vocabulary), str(merges), model_max_length=77)
