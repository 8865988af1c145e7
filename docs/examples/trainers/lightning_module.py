"""The same training as a LightningModule, watched by a metric.

    python lightning_module.py --prompts prompts.txt --reward "hpsv2.1[frames=segments:4]" --watch technical

Needs rewardkit[train,metrics] and pytorch-lightning.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pytorch_lightning as lightning
import torch
from films_with_gradient import MINIWORLD, films, load, save
from torch.utils.data import DataLoader

import rewardkit as rk


class RewardTuned(lightning.LightningModule):
    """A LoRA that is trained on one reward and watched by another."""

    def __init__(self, model: str, reward: str, watch: str, frames: int, learning_rate: float) -> None:
        super().__init__()
        self.pipe = load(model)
        self.unet = self.pipe.unet
        self.frames, self.learning_rate = frames, learning_rate
        self.reward = rk.create_reward(reward)
        self.watched = rk.create_reward(watch).as_metric()

    def on_fit_start(self) -> None:
        """The pipeline is no module, and its parts do not follow by themselves."""
        self.pipe.to(self.device)

    def noise(self, prompts: list[str], seed: int) -> torch.Tensor:
        """Of a film a prompt."""
        sizes = self.unet.config
        size = (len(prompts), sizes.in_channels, self.frames, sizes.sample_size, sizes.sample_size)
        return torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(self.device)

    def training_step(self, prompts: list[str], number: int) -> torch.Tensor:
        """Minus the reward."""
        plan = self.reward.plan(self.frames, batch=len(prompts))
        noise = self.noise(prompts, self.global_step)
        frames = films(self.pipe, self.unet, prompts, plan.index.to(self.device), noise)
        scores = self.reward(frames, prompts, plan=plan)
        self.log("reward", scores.mean())
        return -scores.mean()

    def validation_step(self, prompts: list[str], number: int) -> None:
        """Whole films of fixed noise, by the other reward."""
        every = torch.arange(self.frames, device=self.device).expand(len(prompts), -1)
        self.watched.update(films(self.pipe, self.unet, prompts, every, self.noise(prompts, number)), prompts)
        self.log("watched", self.watched)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Of the LoRA alone."""
        lora = [weight for weight in self.unet.parameters() if weight.requires_grad]
        return torch.optim.AdamW(lora, lr=self.learning_rate)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Without the frozen models, which are where they came from."""
        learnt = {name for name, weight in self.named_parameters() if weight.requires_grad}
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in learnt}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--model", default=str(MINIWORLD))
    parser.add_argument("--reward", default="miniworld[frames=segments:2]")
    parser.add_argument("--watch", default="technical")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("lora.safetensors"))
    chosen = parser.parse_args()

    prompts = [line.strip() for line in chosen.prompts.read_text(encoding="utf-8").split("\n") if line.strip()]
    module = RewardTuned(chosen.model, chosen.reward, chosen.watch, chosen.frames, chosen.learning_rate)
    trainer = lightning.Trainer(
        max_steps=chosen.steps, log_every_n_steps=1, default_root_dir=chosen.out.parent, enable_checkpointing=False
    )
    batches = DataLoader(prompts, batch_size=chosen.batch_size)
    trainer.fit(module, batches, batches)
    save(module.pipe, chosen.out)


if __name__ == "__main__":
    main()
