"""Scores of the official ViCLIP, for a random tiny one, by both of its official callers.

    .environments/qwen2vl/bin/python references/viclip.py

T2V-Turbo's reward function shrinks the shorter side to 224 and crops at random: here in the middle. InternVid's own
demonstration squashes to 224x224 with OpenCV.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import golden
import torch
from material import PROMPTS, clips

TURBO, INTERNVID = "t2v-turbo", "InternVideo"
SIZES = {
    "embed_dim": 48,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 3, "width": 64, "head_width": 32, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}
"""In the words of open_clip; ViCLIP reads 32 tokens whatever the text tower's context was before."""
GAIN = 1.0


def main() -> None:
    sys.path.remove(str(Path(__file__).resolve().parent))  # this file bears the name of the package
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        checkpoint = Path(name) / "ViClip-InternVid-10M-FLT.pth"
        with on_path(golden.FOLDER / ".sources" / TURBO):
            viclip = shrunk()
            made = golden.file(viclip.get_viclip("l", None)["viclip"].state_dict(), top="model", gain=GAIN)
            golden.save(made, checkpoint)
            scores = score_by_turbo(checkpoint)
        with on_path(golden.FOLDER / ".sources" / INTERNVID / "Data" / "InternVid"):
            squashed = score_by_internvid(shrunk(), checkpoint)
    golden.write(
        "viclip",
        "T2V-Turbo's get_vi_clip_score_fn, cropping in the middle",
        packages=["timm"],
        sources=[TURBO, INTERNVID],
        architecture=SIZES,
        files={"checkpoint": made},
        scores=scores,
        scores_of_squashed={"reference": "InternVid's frames2tensor, get_vid_features, get_text_features", **squashed},
    )


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """Both sources have a package `viclip`: each is imported from its own folder, and forgotten afterwards."""
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "viclip"]:
        del sys.modules[name]


def shrunk() -> Any:
    """The package `viclip`, whose towers are the official classes with other sizes."""
    package = importlib.import_module("viclip")
    vision, text = SIZES["vision_cfg"], SIZES["text_cfg"]
    model = sys.modules["viclip.viclip"]
    model.clip_joint_l14 = lambda *, pretrained, center, **rest: sys.modules["viclip.viclip_vision"].VisionTransformer(
        patch_size=vision["patch_size"],
        width=vision["width"],
        layers=vision["layers"],
        heads=vision["width"] // vision["head_width"],
        output_dim=SIZES["embed_dim"],
        **rest,
    )
    model.clip_text_l14 = partial(
        model.clip_text_l14,
        embed_dim=SIZES["embed_dim"],
        transformer_width=text["width"],
        transformer_heads=text["heads"],
        transformer_layers=text["layers"],
    )
    return package


def score_by_turbo(checkpoint: Path) -> dict[str, list[float]]:
    """The reward of T2V-Turbo for each clip and prompt."""
    from reward_fn import reward_fn
    from torchvision.transforms import CenterCrop

    reward_fn.RandomCrop = CenterCrop
    official = reward_fn.get_vi_clip_score_fn(str(checkpoint), precision="fp32")
    scores = {}
    for name, frames in clips().items():
        video = torch.from_numpy(frames).permute(0, 3, 1, 2).float().unsqueeze(0) / 255
        scores[name] = [official(video, prompt).item() for prompt in PROMPTS]
    return scores


def score_by_internvid(package: Any, checkpoint: Path) -> dict[str, list[float]]:
    """The cosine of InternVid's demonstration for each clip and prompt."""
    model = package.get_viclip("l", str(checkpoint))["viclip"].eval()
    said = torch.cat([model.get_text_features(prompt, model.tokenizer, {}) for prompt in PROMPTS])
    scores = {}
    for name, frames in clips().items():
        seen = package.frames2tensor([frame[..., ::-1] for frame in frames], device=torch.device("cpu"))
        scores[name] = golden.rows((package.get_vid_feat(seen, model) @ said.T)[0])
    return scores


if __name__ == "__main__":
    main()
