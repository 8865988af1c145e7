"""A backbone from another package: one file and one entry point, and every command knows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.adapters.backbones import kind_of

FILE = '''
"""Films whose every frame is a level of grey."""

from typing import Any, ClassVar

import torch
from diffusers import DDIMScheduler
from torch import nn

from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.noise import levels_of, to_clean


class Grey(Generator):
    name: ClassVar[str] = "grey"
    default_guidance: ClassVar[float] = 2.0
    default_model: ClassVar[str] = "none"
    default_shape = FilmShape(4, 8, 8)
    prediction = "sample"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.mix = nn.ModuleDict({"to_grey": nn.Linear(4, 4)}).requires_grad_(False)
        self.scheduler = DDIMScheduler(clip_sample=False)

    @classmethod
    def load(cls, model, dtype):
        return cls()

    def place(self, device, memory="auto"):
        self.mix.to(device)

    def embed(self, prompts):
        return {"length": torch.tensor([[len(prompt) / 10.0] * 4 for prompt in prompts])}

    def encode(self, video):
        return video.mean(dim=(2, 3, 4))[:, None, :, None, None]

    def decode(self, latents, frames=None):
        grey = latents[:, 0, :, 0, 0].sigmoid()
        grey = grey if frames is None else grey.gather(1, frames)
        return grey[..., None, None, None].expand(*grey.shape, 3, 8, 8)

    def levels(self, steps, shape):
        return levels_of(self.scheduler, steps)

    def predict_clean(self, noisy, level, embedding):
        clean = self.mix["to_grey"](noisy[:, 0, :, 0, 0] + embedding["length"])[:, None, :, None, None]
        return to_clean(self.prediction, clean, noisy, level.signal, level.noise)

    def latent_shape(self, shape):
        return 1, shape.frames, 1, 1

    def denoisers(self):
        return {"mix": self.mix}

    def lora_targets(self):
        return ("to_grey",)
'''


JUDGE = """
import rewardkit as rk


class Bright(rk.ImageReward):
    card = rk.RewardCard(name="bright")

    def forward(self, images, prompts=None):
        return images.mean(dim=(1, 2, 3))
"""


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rewardkit", *words], cwd=folder, env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_backbone_of_another_package_needs_its_file_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "grey_backbone.py").write_text(FILE)
    facts = tmp_path / "grey_backbone-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: grey-backbone\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[rewardkit.backbones]\ngrey = grey_backbone:Grey\n")
    assert '"grey"' in run(tmp_path, "list", "backbones", "--json")
    (tmp_path / "judge.py").write_text(JUDGE)
    (tmp_path / "prompts.txt").write_text("a cat\na dog by the sea\n")
    run(
        tmp_path, "finetune", "-b", "grey", "-r", "judge.py:Bright", "--prompts", "prompts.txt", "-o", "run",
        "--steps", "2", "--batch-size", "2", "--device", "cpu", "--quiet",
    )  # fmt: skip
    assert (tmp_path / "run" / "lora" / "lora.safetensors").is_file()


def test_adapters_are_short() -> None:
    """An adapter says what its backbone is; what it shares with another is written once."""
    home = Path(sys.modules[kind_of("wan").__module__].__file__ or "").parent
    for name in ("modelscope", "animatediff", "latte", "cogvideox", "ltx", "mochi", "hunyuanvideo", "wan"):
        lines = (home / f"{name}.py").read_text().splitlines()
        assert len(lines) <= 140, name
