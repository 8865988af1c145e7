"""Teaches a language model to write prompts whose films score high: GRPO of TRL, with a video reward.

    python trl_prompts.py --language-model Qwen/Qwen2.5-0.5B-Instruct --prompts prompts.txt --reward hpsv2.1

Each prompt of the file is written anew several times, each version becomes a film, and the reward says how well the
film shows what the file asked for. Generator and reward stay as they are; the language model learns.
Needs rewardkit[adapters] and trl.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

import rewardkit as rk

ASK = "Describe this scene for a film, in one sentence: "


def film_maker(generator: rk.Generator, steps: int):
    """From a text to its film, always from the same noise, so that films differ by their prompts alone."""

    def make(text: str) -> torch.Tensor | None:
        return rk.generate(generator, [text], steps=steps)[0] if text.strip() else None

    return make


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--language-model", required=True)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--backbone", default="miniworld")
    parser.add_argument("--model")
    parser.add_argument("--reward", default="miniworld")
    parser.add_argument("--walk-steps", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--versions", type=int, default=4, help="of each prompt")
    parser.add_argument("--max-tokens", type=int, default=48, help="of a version")
    parser.add_argument("--out", default="prompter")
    chosen = parser.parse_args()

    wanted = [line.strip() for line in chosen.prompts.read_text(encoding="utf-8").split("\n") if line.strip()]
    reward = rk.create_reward(chosen.reward)
    generator = rk.create_backbone(chosen.backbone, model=chosen.model)
    trainer = GRPOTrainer(
        model=chosen.language_model,
        # `caption` is the scene that was asked for; the film is made from the completion
        reward_funcs=[reward.as_trl(load=film_maker(generator, chosen.walk_steps), prompt_column="caption")],
        train_dataset=Dataset.from_list([{"prompt": ASK + text, "caption": text} for text in wanted]),
        args=GRPOConfig(
            output_dir=chosen.out,
            max_steps=chosen.steps,
            num_generations=chosen.versions,
            per_device_train_batch_size=chosen.versions,
            max_completion_length=chosen.max_tokens,
            logging_steps=1,
            bf16=torch.cuda.is_available(),
            report_to="none",
        ),
    )
    trainer.train()
    trainer.save_model(chosen.out)
    trainer.save_state()


if __name__ == "__main__":
    main()
