"""Scores of the official hpsv3 package, for a random tiny HPSv3 and a tokenizer of our own.

.environments/qwen2vl/bin/python references/hpsv3.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.remove(str(Path(__file__).resolve().parent))  # this file bears the name of the package

import golden
import tokens
import torch
from hpsv3 import HPSv3RewardInferencer
from hpsv3.dataset.utils import smart_resize
from material import PROMPTS, pictures
from safetensors.torch import save_file
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

GAIN = 1.0
AREA = 256 * 28 * 28  # what HPSv3RewardInferencer.prepare_batch asks for, at least and at most
TRACED = ("tall", 1)
"""The picture and the number of the prompt whose model input is recorded too."""
ASKED = ((256, 256), (432, 256), (576, 320), (28, 28), (31, 57), (1, 150), (1080, 1920), (448, 449), (100, 9000))
"""Heights and widths whose resized ones are recorded."""


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        folder = Path(name)
        base = write_base(folder / "base")
        settings = write_settings(folder / "HPSv3_tiny.yaml", base)
        made = golden.file(layout(settings), gain=GAIN)
        checkpoint = folder / "HPSv3.safetensors"
        save_file(golden.tensors(made), checkpoint)
        official = HPSv3RewardInferencer(str(settings), str(checkpoint), device="cpu")
        outputs = score(official)
        trace = traced(official)
    golden.write(
        "hpsv3",
        "HPSv3RewardInferencer.reward, first of (mu, sigma)",
        packages=["hpsv3", "transformers", "tokenizers"],
        architecture=tokens.architecture(),
        files={"checkpoint": made},
        scores={name: [row[0] for row in rows] for name, rows in outputs.items()},
        sigmas={name: [row[1] for row in rows] for name, rows in outputs.items()},
        trace=trace,
        sides=[[*asked, *smart_resize(*asked, min_pixels=AREA, max_pixels=AREA)] for asked in ASKED],
    )


def write_base(folder: Path) -> Path:
    """A folder as that of Qwen/Qwen2-VL-7B-Instruct; its weights are replaced by those of the checkpoint."""
    folder.mkdir()
    tokens.write_processor(folder)
    Qwen2VLForConditionalGeneration(Qwen2VLConfig(**tokens.architecture())).save_pretrained(folder)
    return folder


def write_settings(place: Path, base: Path) -> Path:
    """The package's own configuration, in float32 and with another base model; YAML is a superset of JSON."""
    import hpsv3
    import yaml

    settings: dict[str, Any] = yaml.safe_load((Path(hpsv3.__file__).parent / "config/HPSv3_7B.yaml").read_text())
    settings |= {
        "model_name_or_path": str(base),
        "torch_dtype": "float32",
        "bf16": False,
        "disable_flash_attn2": True,
        "output_dir": str(place.parent / "out"),
        "report_to": "none",
    }
    place.write_text(json.dumps(settings))
    return place


def layout(settings: Path) -> dict[str, torch.Tensor]:
    """The names and shapes of the model that the package builds."""
    from hpsv3.train import create_model_and_processor
    from hpsv3.utils.parser import DataConfig, ModelConfig, PEFTLoraConfig, TrainingConfig, parse_args_with_yaml

    kinds = (DataConfig, TrainingConfig, ModelConfig, PEFTLoraConfig)
    (_, training, model, lora), _ = parse_args_with_yaml(kinds, str(settings), is_train=False)
    built, _, _ = create_model_and_processor(model_config=model, peft_lora_config=lora, training_args=training)
    state: dict[str, torch.Tensor] = built.state_dict()
    return state


def score(official: HPSv3RewardInferencer) -> dict[str, list[list[float]]]:
    """(mu, sigma) of each picture for each prompt; the prompts of one picture go together, padded to the longest."""
    return {
        name: official.reward([picture] * len(PROMPTS), list(PROMPTS)).tolist() for name, picture in pictures().items()
    }


def traced(official: HPSv3RewardInferencer) -> dict[str, Any]:
    """What the model was given for one picture and prompt, so that a difference can be followed to where it arises."""
    name, prompt = TRACED
    batch = official.prepare_batch([pictures()[name]], [PROMPTS[prompt]])
    pixels = batch["pixel_values"]
    return {
        "picture": name,
        "prompt": prompt,
        "input_ids": batch["input_ids"][0].tolist(),
        "grid": batch["image_grid_thw"][0].tolist(),
        "pixel_shape": list(pixels.shape),
        "pixel_mean": pixels.mean().item(),
        "pixel_std": pixels.std().item(),
        "pixel_row": pixels[pixels.shape[0] // 2, ::97].tolist(),
    }


if __name__ == "__main__":
    main()
