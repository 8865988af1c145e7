"""A training that is killed at moments of chance, and goes on."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import rewardkit as rk
from rewardkit.engine.examples import Example
from rewardkit.engine.finetune import FinetuneResult, Finetuning
from rewardkit.engine.guards import GuardSettings
from rewardkit.engine.lora import FILE
from rewardkit.engine.objectives import RewardGradient
from rewardkit_adapters.modelscope import ModelScope
from tests.engine.test_finetune import PROMPTS, bright, config, same

KILLS = 5


def train(folder: Path) -> FinetuneResult:
    guards = GuardSettings(every=3, prompts=1, action="warn")
    objective = RewardGradient(start="base", guidance=1.0)
    settings = config(batch_size=2, walk_steps=2, checkpoint_every=1, objective=objective, guards=guards)
    examples = [Example(prompt) for prompt in PROMPTS]
    shape = rk.FilmShape(2, 16, 24)
    return Finetuning(ModelScope.tiny(), bright(), examples, settings, folder, shape=shape).run()


def go_on(folder: Path, started: Event) -> None:
    torch.set_num_threads(1)
    started.set()
    train(folder)


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again_ends_in_the_same_bits(tmp_path: Path) -> None:
    """SIGKILL cannot be caught: it may fall into a step, a look, a line of the log or a checkpoint."""
    begun = time.perf_counter()
    whole, killed = train(tmp_path / "whole"), tmp_path / "killed"
    seconds = time.perf_counter() - begun
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])  # so that torch is imported once
    draw, ends = random.Random(0), []
    while 0 not in ends:
        started = processes.Event()
        child = processes.Process(target=go_on, args=(killed, started))
        child.start()
        assert started.wait(200)
        child.join(draw.uniform(0, 0.45 * seconds) if len(ends) < KILLS else 200)
        child.kill()
        child.join()
        ends.append(child.exitcode)
        assert len(ends) <= KILLS + 1
    assert ends.count(-signal.SIGKILL) >= 2
    assert same(load_file(killed / "lora" / FILE), load_file(whole.lora / FILE))
    assert rows(killed / "looks.jsonl") == rows(tmp_path / "whole" / "looks.jsonl")
    assert [row["step"] for row in rows(killed / "log.jsonl")] == [1, 2, 3, 4, 5, 6]
