"""The scripts in docs/examples/trainers, run as they stand against the real trainers, with small models."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples" / "trainers"
PROMPTS = ["a red ball moving left", "a blue star moving right"]
pytestmark = pytest.mark.slow


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def run(folder: Path, name: str, *words: str) -> str:
    """What a script prints."""
    (folder / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
    command = [sys.executable, str(EXAMPLES / name), "--prompts", "prompts.txt", *words]
    places = [str(ROOT), str(ROOT / "adapters"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def write_language_model(folder: Path) -> Path:
    """A LLaMA with random weights that knows the words of the prompts, in the hub's layout."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "</s>", *dict.fromkeys(" ".join(PROMPTS).split())]
    known = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    known.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=known, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        pad_token_id=0, eos_token_id=2, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(sizes).save_pretrained(folder)
    return folder


@needs("trl")
def test_trl_teaches_a_language_model_with_a_video_reward(tmp_path: Path) -> None:
    model = write_language_model(tmp_path / "language-model")
    words = ("--language-model", str(model), "--steps", "3", "--walk-steps", "2", "--max-tokens", "6")
    run(tmp_path, "trl_prompts.py", *words, "--reward", "0.5*miniworld+0.5*technical")
    name, state = "0_5_miniworld_0_5_technical", json.loads((tmp_path / "prompter" / "trainer_state.json").read_text())
    logged = [line for line in state["log_history"] if f"rewards/{name}/mean" in line]
    assert len(logged) == 3
    assert all(line[f"rewards/{name}/std"] > 0 for line in logged), "films of a prompt differ"
    for line in logged:
        parts = [line[f"{name}/{part}"] for part in ("miniworld", "technical")]
        assert sum(parts) / 2 == pytest.approx(line[f"rewards/{name}/mean"], abs=1e-4)
    changed = load_file(tmp_path / "prompter" / "model.safetensors")
    before = load_file(model / "model.safetensors")
    assert any(not torch.equal(changed[name], before[name]) for name in before)


def test_a_bare_loop_raises_the_reward(tmp_path: Path) -> None:
    said = run(tmp_path, "accelerate_loop.py", "--steps", "24", "--reward", "technical[frames=segments:2]")
    means = [float(value) for value in re.findall(r"^step \d+: reward ([\d.]+)$", said, re.MULTILINE)]
    assert len(means) == 24
    assert sum(means[-6:]) / 6 > sum(means[:6]) / 6 + 0.01
    lora = load_file(tmp_path / "lora.safetensors")
    assert all(bool(weight.any()) for name, weight in lora.items() if "lora_B" in name)


@needs("pytorch_lightning")
@needs("torchmetrics")
def test_lightning_trains_and_watches(tmp_path: Path) -> None:
    run(tmp_path, "lightning_module.py", "--steps", "2", "--batch-size", "2")
    (table,) = tmp_path.rglob("metrics.csv")
    with table.open() as file:
        lines = list(csv.DictReader(file))
    assert len([line for line in lines if line["reward"]]) == 2
    assert all(0 < float(line["watched"]) < 1 for line in lines if line["watched"])
    assert any(line["watched"] for line in lines)
    lora = load_file(tmp_path / "lora.safetensors")
    assert any(bool(weight.any()) for name, weight in lora.items() if "lora_B" in name)
