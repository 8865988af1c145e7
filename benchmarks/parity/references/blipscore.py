"""Scores of BLIPScore in the official image-reward package, for a tiny random BLIP.

.environments/imagereward/bin/python references/blipscore.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import blip
import golden
import torch
from material import PROMPTS, pictures

TOWERS = ("visual_encoder", "text_encoder", "vision_proj", "text_proj")


def main() -> None:
    package = blip.image_reward()
    blip.shrink(blip.TINY)
    with blip.hub(blip.TINY) as folder:
        package.utils.ImageReward_download = lambda url, root: str(folder / Path(url).name)
        made = golden.file(published(folder / "med_config.json"), top="model")
        golden.save(made, folder / "model_large.pth")
        model = package.load_score("BLIP", device="cpu", download_root=str(folder))
        scores = {}
        for name, picture in pictures().items():
            place = folder / f"{name}.png"
            picture.save(place)
            scores[name] = [model.score(prompt, str(place)) for prompt in PROMPTS]
    golden.write(
        "blipscore",
        'ImageReward.load_score("BLIP").score',
        packages=["image-reward", "transformers", "timm"],
        architecture=blip.TINY,
        files={"checkpoint": made},
        scores=scores,
    )


def published(med_config: Path) -> dict[str, torch.Tensor]:
    """All that BLIP's pre-training saves, as salesforce/BLIP@056a169, models/blip_pretrain.py; with short queues."""
    from ImageReward.models.BLIP.blip_pretrain import BLIP_Pretrain
    from ImageReward.models.BLIP.med import BertConfig, BertLMHeadModel

    config: Any = BertConfig.from_json_file(med_config)
    config.encoder_width = blip.TINY["vision_width"]
    towers = BLIP_Pretrain(str(med_config), vit="large").state_dict()
    momentum = {}
    for key, value in towers.items():
        tower, rest = key.split(".", 1)
        momentum[f"{tower}_m.{rest}"] = value
    return {
        "image_queue": torch.empty(blip.TINY["common_width"], 8),
        "text_queue": torch.empty(blip.TINY["common_width"], 8),
        "queue_ptr": torch.empty(1),
        "temp": torch.empty(()),
        **towers,
        "itm_head.weight": torch.empty(2, blip.TINY["text_width"]),
        "itm_head.bias": torch.empty(2),
        **momentum,
        **{f"text_decoder.{key}": value for key, value in BertLMHeadModel(config).state_dict().items()},
    }


if __name__ == "__main__":
    main()
