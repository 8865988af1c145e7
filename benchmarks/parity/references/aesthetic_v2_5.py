"""Scores of the official aesthetic-predictor-v2-5 package, for a random tiny SigLIP and head.

    .environments/qwen2vl/bin/python references/aesthetic_v2_5.py

The package is under the AGPL: it is run here, in an environment of its own, and nothing of it is copied.
"""

from __future__ import annotations

import json
import tempfile
from collections import OrderedDict
from pathlib import Path

import golden
import torch
from aesthetic_predictor_v2_5 import AestheticPredictorV2_5Head, convert_v2_5_from_siglip
from material import pictures
from safetensors.torch import save_file
from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

SIZES = {"width": 64, "inner": 96, "layers": 2, "heads": 4, "size": 384, "patch": 14}
GAIN = 1.0


def main() -> None:
    torch.set_num_threads(1)
    config = siglip()
    backbone = golden.file(SiglipModel(config).state_dict(), gain=GAIN)
    head = golden.file(AestheticPredictorV2_5Head(config.vision_config).state_dict(), gain=GAIN)
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        # as the folder of google/siglip-so400m-patch14-384
        save_file(golden.tensors(backbone), folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(config.to_dict()))
        SiglipImageProcessor(size={"height": 384, "width": 384}).save_pretrained(folder)
        torch.save(OrderedDict(golden.tensors(head)), folder / "head.pth")
        model, processor = convert_v2_5_from_siglip(str(folder / "head.pth"), str(folder))
        scores = {}
        for name, picture in pictures().items():
            pixels = processor(images=picture.convert("RGB"), return_tensors="pt").pixel_values
            scores[name] = model(pixels).logits.squeeze().item()
    golden.write(
        "aesthetic_v2_5",
        "convert_v2_5_from_siglip(...), as in the README, in float32",
        packages=["aesthetic-predictor-v2-5", "transformers"],
        architecture=SIZES,
        files={"checkpoint": head, "backbone": backbone},
        scores=scores,
    )


def siglip() -> SiglipConfig:
    """so400m-patch14-384 in small; the text tower is in the file, and nobody reads it."""
    shape = {
        "hidden_size": SIZES["width"],
        "intermediate_size": SIZES["inner"],
        "num_hidden_layers": SIZES["layers"],
        "num_attention_heads": SIZES["heads"],
    }
    return SiglipConfig(
        text_config=shape | {"vocab_size": 32},
        vision_config=shape | {"image_size": SIZES["size"], "patch_size": SIZES["patch"]},
    )


if __name__ == "__main__":
    main()
