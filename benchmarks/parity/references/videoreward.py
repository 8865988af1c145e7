"""Scores of the official VideoAlign code, for a random tiny VideoReward and a tokenizer of our own.

    .environments/qwen2vl/bin/python references/videoreward.py

The released checkpoint holds a Qwen2-VL with its LoRA still beside it, under the names of peft.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import golden
import tokens
import torch
from material import PROMPTS, clips
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

SOURCE = "VideoAlign"
GAIN = 0.6
LORA = {
    "lora_enable": True,
    "lora_r": 4,
    "lora_alpha": 8,
    "lora_namespan_exclude": ["lm_head", "rm_head", "embed_tokens"],
}
NORM = {"VQ": (3.6757, 2.2476), "MQ": (1.1646, 1.3811), "TA": (2.8105, 2.5121)}
"""Mean and standard deviation in the released model_config.json, as others have published them."""
FPS = {"two_seconds": 4, "four_seconds": 2}
"""Frames a second of the files: at 2 fps the official code reads 4 frames of the first and all 8 of the second."""
TRACED = ("tall", 1)
ASKED = ((256, 256), (256, 432), (576, 320), (28, 28), (31, 57), (1, 150), (1080, 1920), (448, 449), (100, 9000))
"""Heights and widths whose resized ones are recorded."""


def main() -> None:
    sys.path.insert(0, str(golden.FOLDER / ".sources" / SOURCE))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        folder = Path(name)
        write_run(folder)
        films = {pace: write_films(folder / pace, fps) for pace, fps in FPS.items()}
        with official_code() as inference:
            made = golden.file(layout(inference, folder), gain=GAIN)
            golden.save(made, folder / "checkpoint-1" / "model.pth")
            official = inference.VideoVLMRewardInference(str(folder), device="cpu", dtype=torch.float32)
            raw = score(official, films["four_seconds"], use_norm=False)
            normed = score(official, films["four_seconds"], use_norm=True)
            short = score(official, films["two_seconds"], use_norm=True)
            trace = traced(official, films["four_seconds"])
            sides = resized()
    golden.write(
        "videoreward",
        "VideoVLMRewardInference.reward",
        packages=["transformers", "tokenizers", "peft", "decord"],
        sources=[SOURCE],
        architecture=tokens.architecture() | {"tie_word_embeddings": True, "lora": LORA, "norm": NORM},
        files={"checkpoint": made},
        scores=normed["Overall"],
        parts={"raw": raw, "norm": normed, "norm_of_frames_0_2_5_7": short},
        trace=trace,
        sides=sides,
    )


def write_run(folder: Path) -> None:
    """A folder as that of KwaiVGI/VideoReward, without the checkpoint, and the base model that it names."""
    base = folder / "base"
    (folder / "checkpoint-1").mkdir()
    base.mkdir()
    tokens.write_processor(base)
    config = Qwen2VLConfig(**tokens.architecture(), tie_word_embeddings=True)
    Qwen2VLForConditionalGeneration(config).save_pretrained(base)
    settings = {
        "data_config": {
            "meta_data": "",
            "data_dir": "",
            "max_frame_pixels": 448 * 448,
            "fps": 2.0,
            "eval_dim": ["VQ", "MQ", "TA"],
            "prompt_template_type": "detailed_special",
            "sample_type": "uniform",
        },
        "model_config": {
            "model_name_or_path": str(base),
            "torch_dtype": "float32",
            "output_dim": 3,
            "use_special_tokens": True,
            "reward_token": "special",
        },
        "peft_lora_config": LORA | {"lora_namespan_exclude": [*LORA["lora_namespan_exclude"], "visual"]},
        "inference_config": {f"{k}_{what}": v[i] for k, v in NORM.items() for i, what in enumerate(("mean", "std"))},
    }
    (folder / "model_config.json").write_text(json.dumps(settings))


def write_films(folder: Path, fps: int) -> dict[str, str]:
    """The clips as files without loss: FFV1 in RGB."""
    folder.mkdir()
    places = {name: str(folder / f"{name}.mkv") for name in clips()}
    for name, frames in clips().items():
        with av.open(places[name], "w") as file:
            stream = file.add_stream("ffv1", rate=fps)
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "bgr0"
            for frame in frames:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            file.mux(stream.encode())
    return places


@contextmanager
def official_code() -> Iterator[Any]:
    """The official module, told to do without flash-attn, which it would ask for."""
    import inference

    configured = inference.TrainingConfig
    inference.TrainingConfig = lambda **settings: configured(**settings | {"disable_flash_attn2": True})
    yield inference
    inference.TrainingConfig = configured


def layout(inference: Any, folder: Path) -> dict[str, torch.Tensor]:
    """The names and shapes of the model that the official code builds."""
    load = inference.load_model_from_checkpoint
    inference.load_model_from_checkpoint = lambda model, *_: (model, None)
    built = inference.VideoVLMRewardInference(str(folder), device="cpu", dtype=torch.float32)
    inference.load_model_from_checkpoint = load
    state: dict[str, torch.Tensor] = built.model.state_dict()
    return state


def score(official: Any, films: dict[str, str], use_norm: bool) -> dict[str, dict[str, list[float]]]:
    """Every score of each film for each prompt; the prompts of one film go together, padded to the longest."""
    parts: dict[str, dict[str, list[float]]] = {}
    for name, film in films.items():
        rows = official.reward([film] * len(PROMPTS), list(PROMPTS), use_norm=use_norm)
        for part in rows[0]:
            parts.setdefault(part, {})[name] = [row[part] for row in rows]
    return parts


def traced(official: Any, films: dict[str, str]) -> dict[str, Any]:
    """What the model was given for one film and prompt, so that a difference can be followed to where it arises."""
    name, prompt = TRACED
    batch = official.prepare_batch([films[name]], [PROMPTS[prompt]])
    pixels = batch["pixel_values_videos"]
    return {
        "clip": name,
        "prompt": prompt,
        "input_ids": batch["input_ids"][0].tolist(),
        "grid": batch["video_grid_thw"][0].tolist(),
        "pixel_shape": list(pixels.shape),
        "pixel_mean": pixels.mean().item(),
        "pixel_std": pixels.std().item(),
        "pixel_row": pixels[pixels.shape[0] // 2, ::97].tolist(),
    }


def resized() -> list[list[int]]:
    """What becomes of the sizes in ASKED."""
    from vision_process import VIDEO_MIN_PIXELS, smart_resize

    return [[*asked, *smart_resize(*asked, min_pixels=VIDEO_MIN_PIXELS, max_pixels=448 * 448)] for asked in ASKED]


if __name__ == "__main__":
    main()
