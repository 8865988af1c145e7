"""The rewards of the mini world, whose weights come with the package: one to train on, another to judge by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.hpsv2 import load_hpsv2
from rewardkit.rewards.release import Release
from rewardkit.weights.source import PackageFile

CONTEXT = 16  # tokens; the longest caption has 9, begin and end included
WORDS = 23
TEXT: Mapping[str, Any] = {"context_length": CONTEXT, "vocab_size": WORDS + 4, "width": 64, "heads": 4}
TRANSFORMER: Mapping[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {
        "image_size": 32,
        "patch_size": 4,
        "width": 64,
        "head_width": 32,
        "layers": 3,
        "mlp_ratio": 2.0,
        "pool_type": "avg",
        "final_ln_after_pool": True,
    },
    "text_cfg": {**TEXT, "layers": 2},
}
RESNET: Mapping[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 64, "width": 8, "head_width": 64, "layers": (1, 1, 1, 1)},
    "text_cfg": {**TEXT, "layers": 1},
}
VOCABULARY = PackageFile("rewardkit.miniworld", "weights/vocabulary.txt")

MINIWORLD = Release(
    RewardCard(
        name="miniworld",
        summary="which of two pictures of the mini world is better for a caption; a proof of the machinery only",
        source="trained as HPSv2, Wu et al., arXiv:2306.09341, by benchmarks/miniworld/preference.py",
        code_licence="Apache-2.0",
        weights_licence="Apache-2.0",
        score_range=(0.0, 1.0),
        unit="cosine of picture and caption; means something in the mini world alone, never for big models",
        needs_prompt=True,
        max_prompt_tokens=CONTEXT,
        parameters=219_009,
        input="32x32, longer side, padded black",
        preprocess=("exact", "diff"),
    ),
    load_hpsv2,
    {"checkpoint": PackageFile("rewardkit.miniworld", "weights/preference.safetensors"), "tokenizer": VOCABULARY},
    {"architecture": TRANSFORMER},
)
JUDGE = Release(
    MINIWORLD.card.model_copy(
        update={
            "name": "miniworld-judge",
            "summary": "how good a picture of the mini world is and fits its caption; never trained against",
            "source": "a regression on the known truth, by benchmarks/miniworld/preference.py",
            "score_range": (0.0, 1.0),
            "parameters": 394_701,
            "input": "64x64, longer side, padded black",
        }
    ),
    load_hpsv2,
    {"checkpoint": PackageFile("rewardkit.miniworld", "weights/judge.safetensors"), "tokenizer": VOCABULARY},
    {"architecture": RESNET},
)
