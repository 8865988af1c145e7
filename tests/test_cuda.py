"""On a CUDA GPU everything gives what it gives on the processor; skipped where there is none."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import rewardkit as rk
from rewardkit.bench.memory import PeakMemory
from rewardkit.engine.create import create_backbone
from rewardkit.engine.denoise import Guidance, Words, walk
from rewardkit.engine.finetune import finetune
from rewardkit.engine.generate import generate
from rewardkit.engine.lora import FILE, LoraSettings, lora_weights
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.miniworld.clips import write_clips
from rewardkit_adapters.backbone import Backbone
from tests.adapters.backbones import (
    CASES,
    FIRST,
    NAMES,
    PROMPTS,
    SCALE,
    STEPS,
    film_of_pipeline,
    kind_of,
    noise,
    short,
    with_lora,
)
from tests.adapters.backbones import tiny as tiny_on_cpu
from tests.adapters.test_training import check_that_one_command_trains
from tests.rewards import learned

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.filterwarnings("default"),  # of kernels and drivers
]
JUDGE = "tests.judges:Brightness[frames=uniform:2]"
WORLD = {
    "objective": {"kind": "reward", "start": "noise", "tau": 0.5, "guidance": 2.0},
    "lora": {"rank": 2},
    "guards": {"every": 0},
    "batch_size": 2,
    "walk_steps": 4,
    "checkpoint_every": 2,
    "learning_rate": 0.01,
}


@pytest.fixture(autouse=True)
def float32_is_float32() -> Iterator[None]:
    """Without TF32 in convolutions, which PyTorch allows unless told, so that both sides can be compared."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    yield
    torch.backends.cudnn.allow_tf32 = before


def on_cuda(name: str, kind: str, memory: str = "fast") -> Backbone:
    backbone = kind_of(name).tiny(kind)
    backbone.place(torch.device("cuda"), memory)
    return backbone


def config(steps: int = 4, **changes: object) -> FinetuneConfig:
    return FinetuneConfig.model_validate({**WORLD, "steps": steps, **changes})


def near(one: Tensor, other: Tensor, share: float = 1e-3) -> None:
    """Apart by so much of the second's size at most."""
    one, other = one.detach().cpu().double(), other.detach().cpu().double()
    assert other.norm() > 0
    assert float((one - other).norm() / other.norm()) < share


@pytest.mark.parametrize("mode", ["exact", "diff"])
@pytest.mark.parametrize("name", learned.NAMES)
def test_learned_rewards_give_the_same_scores(name: str, mode: str) -> None:
    here = learned.model(name, mode)  # type: ignore[arg-type]
    there, pixels = copy.deepcopy(here).cuda(), learned.pixels(here)
    scores = learned.score(there, pixels.cuda())
    assert scores.device.type == "cuda"
    torch.testing.assert_close(scores.cpu(), learned.score(here, pixels), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", learned.NAMES)
def test_learned_rewards_give_the_same_gradient(name: str) -> None:
    here = learned.model(name, "diff", torch.float64)  # small random ResNets make much of the rounding of float32
    if not here.card.differentiable:
        pytest.skip("gives no gradient")
    found = []
    for model, device in ((copy.deepcopy(here).cuda(), "cuda"), (here, "cpu")):
        pixels = learned.pixels(here).double().to(device).requires_grad_()
        learned.score(model, pixels).sum().backward()  # type: ignore[no-untyped-call]
        assert pixels.grad is not None
        found.append(pixels.grad)
    near(*found)


@pytest.mark.parametrize("name", learned.NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_learned_rewards_run_in_half_precision(name: str, dtype: torch.dtype) -> None:
    if (name, dtype) == ("clip_iqa", torch.float16):
        pytest.skip("a ResNet of random weights leaves the range of float16")
    here = learned.model(name, "exact")
    there, pixels = learned.model(name, "exact", dtype).cuda(), learned.pixels(here)
    scores = learned.score(there, pixels.cuda())
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.cpu(), learned.score(here, pixels), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("workers", [1, 3])
def test_folders_get_the_same_rows(workers: int, tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", films=2)
    line = "technical[frames=segments:3;weights=attenuate:1.0] + 0.1*motion"
    here, there = (
        rk.score_folder(tmp_path / "clips", line, device=device, out=tmp_path / f"{device}.jsonl", num_workers=workers)
        for device in ("cpu", "cuda")
    )
    assert not here.failed()
    assert len(list(here)) > 10
    for one, other in zip(here, there, strict=True):
        assert (one.path, one.status) == (other.path, other.status)
        assert other.score == pytest.approx(one.score, abs=1e-4)


class Hungry(rk.ImageReward):
    """The mean of all pixels, at the price of two gigabytes a picture."""

    card = rk.RewardCard(name="hungry", summary="mean of all pixels", frames="all")

    def forward(self, images: Tensor, prompts: object = None) -> Tensor:
        torch.empty(len(images), 2**31, dtype=torch.uint8, device=images.device)
        return images.mean(dim=(1, 2, 3))


def test_batches_that_do_not_fit_are_made_smaller(tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", films=1)
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 7 * 2**30) / whole)
    try:
        table = rk.score_folder(tmp_path / "clips", rk.create_reward(Hungry()), device="cuda", batch_size=64)
        assert not table.failed()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    plain = rk.score_folder(tmp_path / "clips", "tests.judges:Brightness[frames=all]", device="cpu")
    for one, other in zip(table, plain, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_backbones_make_the_same_film(name: str, kind: str) -> None:
    here, there = tiny_on_cpu(name, kind), on_cuda(name, kind)
    shape = short(there)
    films = [generate(one, PROMPTS, steps=STEPS, guidance=SCALE, shape=shape, seed=3) for one in (there, here)]
    assert films[0].device.type == "cpu"
    near(films[0], films[1], 5e-3)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_backbones_get_the_same_gradient_however_memory_is_saved(name: str, kind: str) -> None:
    found: dict[str, Tensor] = {}
    for where in ("cpu", "fast", "auto", "low"):
        backbone = kind_of(name).tiny(kind) if where == "cpu" else on_cuda(name, kind, where)
        weights = with_lora(backbone, LoraSettings(rank=2))
        for weight in weights.values():
            weight.data = weight.data.to(backbone.device)
        found[where] = gradient(backbone)
    near(found["fast"], found["cpu"], 1e-2)
    near(found["auto"], found["fast"], 1e-2)
    assert found["low"].isfinite().all()


def gradient(backbone: Backbone) -> Tensor:
    """Of the LoRA through the last two of five steps and two frames."""
    shape = short(backbone)
    device = backbone.device
    words = Words(backbone.embed(PROMPTS), backbone.embed(["", ""]))
    start = noise(backbone, shape).to(device)
    latents = walk(backbone, start, backbone.levels(STEPS, shape), words, Guidance(SCALE), frozenset({3, 4}))
    frames = torch.tensor([[0, 2], [2, 1]], device=device)
    backbone.decode(latents, frames).pow(2).mean().backward()  # type: ignore[no-untyped-call]
    return torch.cat(
        [weight.grad.flatten().cpu() for weight in lora_weights(backbone).values() if weight.grad is not None]
    )


@pytest.mark.parametrize("name", NAMES)
def test_one_command_trains_every_backbone_in_its_own_precision(name: str, tmp_path: Path) -> None:
    check_that_one_command_trains(name, tmp_path, "cuda")


def test_training_learns_the_same_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    prompts, judge = ["a red circle moving right", "a blue square"], rk.create_reward(JUDGE)
    trained: dict[str, dict[str, Tensor]] = {}
    for name, device, parts in (("cpu", "cpu", [6]), ("whole", "cuda", [6]), ("parts", "cuda", [3, 6])):
        for steps in parts:
            world = create_backbone("miniworld", device=device)
            finetune(world, judge, prompts=prompts, config=config(steps), output_dir=tmp_path / name)
        trained[name] = {key: weight.detach().cpu() for key, weight in lora_weights(world).items()}
    together = {name: torch.cat([weight.flatten() for weight in lora.values()]) for name, lora in trained.items()}
    near(together["parts"], together["whole"], 1e-3)
    near(together["cpu"], together["whole"], 0.1)  # Adam makes much of the sign of a gradient near zero


@pytest.mark.parametrize(("name", "kind"), FIRST)
def test_films_are_pulled_chosen_and_scored_on_the_way(name: str, kind: str) -> None:
    here, backbone = tiny_on_cpu(name, kind), on_cuda(name, kind)
    shape, judge = short(backbone), rk.create_reward(JUDGE, device="cuda")
    pulls = [rk.RewardGuidance(one, 0.3, "tail:3") for one in (judge, rk.create_reward(JUDGE, device="cpu"))]
    films = [
        generate(one, PROMPTS, steps=STEPS, guidance=SCALE, shape=shape, reward_guidance=pull)
        for one, pull in zip((backbone, here), pulls, strict=True)
    ]
    near(*films, 5e-3)
    best = rk.best_of(backbone, judge, PROMPTS, [1, 2], steps=STEPS, shape=shape)
    assert best.scores.isfinite().all()
    scores = rk.SamplingScores(backbone, judge, PROMPTS, STEPS, shape=shape)
    told = {"callback": scores.after} if name == "modelscope" else {"callback_on_step_end": scores}
    start = noise(backbone, shape).cuda()
    film = film_of_pipeline(backbone.plain(), name, start, shape, **told)
    assert torch.as_tensor(film).isfinite().all()
    assert [one.step for one in scores.found] == [1, 2, 3, 4]
    assert all(one.score.isfinite().all() for one in scores.found)


def test_trainers_may_hold_films_on_either_side() -> None:
    film = torch.rand(3, 5, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    here, there = (rk.create_reward("technical[frames=uniform:3]", device=device) for device in ("cpu", "cuda"))
    wanted = here(film)
    for given, judge in ((film.cuda(), here), (film, there), (film.cuda(), there)):
        scores, _ = judge.as_ddpo()(given, ["a"] * 3)
        torch.testing.assert_close(torch.as_tensor(scores), wanted, atol=1e-5, rtol=1e-4)
        trl = judge.as_trl(load=lambda number, films=given: films[int(number)])
        found = torch.tensor(trl(prompts=["a"] * 3, completions=["0", "1", "2"]))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
        metric = judge.as_metric().to(given.device)
        metric.update(given, ["a"] * 3)
        torch.testing.assert_close(metric.compute().cpu(), wanted.mean(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("of_reward", "of_films"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_films_go_where_the_weights_are_and_gradient_comes_back(of_reward: str, of_films: str) -> None:
    model = learned.model("hpsv2", dtype=torch.float32).to(of_reward)
    reward = rk.create_reward(model, frames="uniform:2", device=of_reward)
    films = torch.rand(2, 4, 3, 40, 50, generator=torch.Generator().manual_seed(0)).to(of_films).requires_grad_()
    scores = reward(films, ["a red boat", "two cats"])
    assert scores.device.type == of_reward
    scores.sum().backward()
    assert films.grad is not None
    assert films.grad.device.type == of_films
    assert films.grad.any()


def test_the_reward_may_be_on_another_device_than_the_training(tmp_path: Path) -> None:
    world, judge = create_backbone("miniworld", device="cuda"), rk.create_reward("miniworld", device="cpu")
    result = finetune(world, judge, prompts=["a red circle moving right"], config=config(2), output_dir=tmp_path / "a")
    assert (tmp_path / "a" / "lora" / FILE).is_file(), result


def test_memory_is_counted_on_the_gpu() -> None:
    peak = PeakMemory(torch.device("cuda"))
    peak.start()
    held = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    del held
    assert peak.peak() == 2**28


@pytest.mark.parametrize("words", [["env"], ["doctor"]])
def test_the_machine_is_described(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "rewardkit", *words], capture_output=True, text=True, check=False)
    assert torch.cuda.get_device_name() in done.stdout
    assert "Traceback" not in done.stderr
