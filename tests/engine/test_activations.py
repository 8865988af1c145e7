"""Which steps keep what they computed: measured, within a budget, and of no consequence for the gradient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import rewardkit as rk
from rewardkit.engine.activations import bytes_kept
from rewardkit.engine.denoise import Guidance, Words, guided_clean, level_at
from rewardkit.engine.examples import Example
from rewardkit.engine.finetune import Finetuning
from rewardkit.engine.lora import LoraSettings, lora_weights
from rewardkit.engine.memory import Memory
from rewardkit.engine.objectives import RewardGradient
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.trial import Bench, Group
from rewardkit_adapters.backbone import Backbone
from tests.adapters.backbones import FIRST, PROMPTS, kind_of, noise, short, with_lora
from tests.engine.toy import Toy
from tests.judges import Brightness


def test_bytes_kept_are_those_that_the_graph_holds() -> None:
    x = torch.randn(100, 100, requires_grad=True)
    # exp keeps its result, which the product keeps too, with the other factor; sum gives a number
    assert bytes_kept(lambda: (x.exp() * (x.detach() + 1)).sum()) == 2 * 40_000 + 4
    assert bytes_kept(lambda: x.detach().exp().sum()) == 4
    assert bytes_kept(lambda: x.view(-1).unsqueeze(0)) == 0, "views of what was there are not made"
    weight = torch.randn(100, 100)
    assert bytes_kept(lambda: (x @ weight.t()).t()) == 40_000, "nor are those of weights"


def test_an_address_that_is_used_again_hides_nothing() -> None:
    def run() -> Tensor:
        y = torch.randn(1000, requires_grad=True)
        for _ in range(20):
            y = (y + torch.from_numpy(np.zeros(1000, dtype=np.float32))).exp()  # dies, and its place is taken
        return y

    assert bytes_kept(run) >= 20 * 4_000


def fresh(name: str, kind: str) -> Backbone:
    backbone = kind_of(name).tiny(kind)
    with_lora(backbone, LoraSettings(rank=2))
    return backbone


def bench_of(backbone: Backbone, **memory: object) -> tuple[Bench, Group]:
    shape = short(backbone)
    backbone.memory = Memory.model_validate(memory)
    reward = rk.VideoReward(Brightness(), frames="segments:2")
    bench = Bench(backbone, reward, backbone.levels(4, shape), shape, torch.device("cpu"))
    words = Words(backbone.embed(PROMPTS), backbone.embed(["", ""]))
    one = Words(backbone.embed(PROMPTS[:1]), backbone.embed([""]))
    bench = replace(bench, kept_a_film=bench.kept_by_a_step(one, Guidance(3.0)))
    return bench, Group(PROMPTS, words, noise(backbone, shape), ["0", "1"], "0")


def gradient(bench: Bench, group: Group, **settings: object) -> list[Tensor]:
    objective = RewardGradient.model_validate({"guidance": 3.0, "tau": 1.0, **settings})
    ((loss,),) = map(list, objective.updates(bench, [group], PromptStatistics()))
    loss.value.backward()  # type: ignore[no-untyped-call]
    found = [weight.grad for weight in lora_weights(bench.generator).values()]
    assert all(part is not None for part in found)
    for weight in lora_weights(bench.generator).values():
        weight.grad = None
    return found  # type: ignore[return-value]


OTHERS = [("last", "both"), ("steps:0,2", "conditional"), ("last", "off")]


@pytest.mark.parametrize(
    ("name", "kind", "steps", "through"),
    [*((*case, "tail:2", "both") for case in FIRST), *(("wan", "2.1", *other) for other in OTHERS)],
)
def test_what_is_kept_or_batched_changes_no_gradient(name: str, kind: str, steps: str, through: str) -> None:
    backbone = fresh(name, kind)
    for network in backbone.networks().values():
        network.double()  # at float32 rounding is 4e-5 of so small a network's gradient; some layers stay there
    settings = {"gradient_steps": steps, "guidance_gradient": through}
    saving = gradient(*bench_of(backbone, split_guidance=True, activations=0), **settings)
    fast = gradient(*bench_of(backbone), **settings)
    largest = max(float(part.abs().max()) for part in saving)
    for a, b in zip(saving, fast, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6 * largest, rtol=1e-5)


def test_a_budget_keeps_the_last_steps_that_fit() -> None:
    bench, group = bench_of(fresh("wan", "2.1"))
    size = bench.kept_a_film
    assert size
    chosen = frozenset({1, 2, 3})
    for steps in (0, 1, 2, 3):
        bench.generator.memory = Memory(activations=(steps + 0.5) * size * len(group) / 1e9)
        assert bench.kept_steps(chosen, len(group)) == frozenset(sorted(chosen)[3 - steps :])
    assert bench.kept_steps(chosen, 4 * len(group)) == frozenset()
    assert replace(bench, kept_a_film=None).kept_steps(chosen, 1) == frozenset()


@pytest.mark.parametrize(("name", "kind"), FIRST)
def test_what_is_measured_is_what_a_step_with_gradient_holds(name: str, kind: str) -> None:
    """Against what autograd packs, which leaves out what graphs hold otherwise: a tenth and no more."""
    backbone = fresh(name, kind)
    bench, group = bench_of(backbone)
    weights = {w.untyped_storage().data_ptr() for part in backbone.networks().values() for w in part.parameters()}
    held: dict[int, Tensor] = {}

    def pack(saved: Tensor) -> Tensor:
        held[saved.untyped_storage().data_ptr()] = saved
        return saved

    level = level_at(bench.levels, 3, group.words.prompts["encoder_hidden_states"])
    one = Words(*({name: part[:1] for name, part in side.items()} for side in (group.words.prompts, group.words.empty)))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        guided_clean(backbone, noise(backbone, bench.shape, 1).requires_grad_(), level, one, Guidance(3.0), keep=True)
    packed = sum(saved.untyped_storage().nbytes() for address, saved in held.items() if address not in weights)
    assert bench.kept_a_film
    assert 0.9 * bench.kept_a_film < packed < 1.1 * bench.kept_a_film


def test_a_training_measures_once_and_computes_less_often(tmp_path: Path) -> None:
    calls: dict[float, list[int]] = {}
    for budget in (0.0, 1.0):
        toy = Toy()
        toy.memory = Memory(activations=budget)
        settings = FinetuneConfig.model_validate(
            {"steps": 2, "batch_size": 2, "walk_steps": 10, "guards": {"every": 0}}
        )
        reward = rk.VideoReward(Brightness(), frames="segments:2")
        training = Finetuning(toy, reward, [Example("a cat")], settings, tmp_path / str(budget))
        calls[budget] = [report.denoiser_calls or 0 for report in training.steps()]
    again = 2 * 2  # both passes of the last step, of two films
    assert calls[0.0] == [films + again for films in calls[1.0]], "and measuring does not count"
