"""The training loop: it learns, resumes to the bit, shares batches out, and refuses what cannot be trained on."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rewardkit as rk
from rewardkit.engine.examples import Example, Starts, WordCache, order
from rewardkit.engine.finetune import Finetuning, finetune
from rewardkit.engine.generate import generate
from rewardkit.engine.guards import GuardSettings
from rewardkit.engine.lora import FILE, LoraSettings, lora_weights
from rewardkit.engine.objectives import Ddpo, Draft, RewardGradient, RewardWeighted
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.engine.trial import Bench
from rewardkit.errors import BadInputError, RewardFailedError, UsageError
from rewardkit_adapters.modelscope import ModelScope
from rewardkit_adapters.wan import Wan
from tests.engine.toy import Toy, trained_lora
from tests.judges import Brightness

PROMPTS = ["a cat", "two dogs in a boat", "rain", "the last tram at night"]
REWARD = "tests.judges:Brightness"


def bright() -> rk.Reward:
    return rk.create_reward(REWARD, frames="segments:2")


def config(**changes: object) -> FinetuneConfig:
    settings = {
        "steps": 6,
        "batch_size": 4,
        "learning_rate": 0.02,
        "walk_steps": 4,
        "warmup": 2,
        "checkpoint_every": 2,
        "lora": LoraSettings(rank=2),
        "guards": GuardSettings(every=0),
        "objective": RewardGradient(gradient_steps="tail:2", guidance=2.0),
    }
    return FinetuneConfig.model_validate(settings | changes)


def trained(folder: Path, **changes: object) -> dict[str, Tensor]:
    toy = Toy()
    finetune(toy, bright(), prompts=PROMPTS, config=config(**changes), output_dir=folder)
    return {name: weight.detach().clone() for name, weight in lora_weights(toy).items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("start", ["base", "noise"])
def test_the_reward_rises(tmp_path: Path, start: str) -> None:
    toy, objective = Toy(), RewardGradient(start=start, gradient_steps="tail:2", guidance=2.0)
    before = bright()(generate(toy, PROMPTS, steps=4, guidance=2.0)).mean()
    finetune(toy, bright(), prompts=PROMPTS, config=config(steps=20, objective=objective), output_dir=tmp_path)
    assert bright()(generate(toy, PROMPTS, steps=4, guidance=2.0)).mean() > before + 0.02
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 21))


@pytest.mark.parametrize("objective", [Draft(guidance=2.0), RewardWeighted(guidance=2.0), Ddpo(guidance=2.0)])
def test_a_training_in_two_parts_ends_in_the_same_bits(tmp_path: Path, objective: object) -> None:
    whole = trained(tmp_path / "whole", objective=objective)
    trained(tmp_path / "parts", objective=objective, steps=3)
    assert same(whole, trained(tmp_path / "parts", objective=objective, steps=6))
    assert any(float(weight.abs().max()) > 0 for name, weight in whole.items() if "lora_B" in name)


class Fails(Brightness):
    """Counts its calls, and raises or calls at the one asked for."""

    def __init__(self, at: int, how: str) -> None:
        super().__init__()
        self.calls, self.at, self.how = 0, at, how

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        self.calls += 1
        if self.calls == self.at and self.how == "raise":
            raise RuntimeError("the machine is gone")
        if self.calls == self.at and self.how.startswith("SIG"):
            signal.raise_signal(getattr(signal, self.how))
        scores = super().forward(images, prompts)
        return scores * float("nan") if self.calls == self.at and self.how == "nan" else scores


def fails(at: int, how: str) -> rk.Reward:
    return rk.VideoReward(Fails(at, how), frames="segments:2")


@pytest.mark.parametrize("at", [1, 2, 4, 5])
def test_a_training_that_broke_off_goes_on_as_if_nothing_had_happened(tmp_path: Path, at: int) -> None:
    with pytest.raises(RuntimeError, match="the machine is gone"):
        finetune(Toy(), fails(at, "raise"), prompts=PROMPTS, config=config(), output_dir=tmp_path / "broken")
    assert same(trained(tmp_path / "whole"), trained(tmp_path / "broken"))
    lines = [json.loads(line)["step"] for line in (tmp_path / "broken" / "log.jsonl").read_text().splitlines()]
    assert lines == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_a_signal_lets_the_step_end_and_saves_it(tmp_path: Path, how: str) -> None:
    before = signal.getsignal(getattr(signal, how))
    with pytest.raises(KeyboardInterrupt):
        finetune(Toy(), fails(3, how), prompts=PROMPTS, config=config(), output_dir=tmp_path / "stopped")
    assert signal.getsignal(getattr(signal, how)) == before
    saved = Finetuning(Toy(), bright(), [Example(p) for p in PROMPTS], config(), tmp_path / "stopped")
    assert saved.step == 3
    assert same(trained(tmp_path / "whole"), trained(tmp_path / "stopped"))


def test_groups_give_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", steps=1)
    parts = trained(tmp_path / "parts", steps=1, films_at_once=1)
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, atol=1e-6, rtol=1e-5)


SCRIPT = """
import sys
from pathlib import Path
import torch
from torch.distributed.tensor import DTensor
from tests.engine.test_finetune import shared_training
torch.set_num_threads(1)
weights, denoisers, seen = shared_training(Path(sys.argv[1]) / "run", sys.argv[2])
held = [weight.to_local() if isinstance(weight, DTensor) else weight for d in denoisers for weight in d.parameters()]
held = sum(part.numel() for part in held if not part.requires_grad)
torch.save((weights, held, seen), Path(sys.argv[1]) / f"{torch.distributed.get_rank()}.pt")
"""


class Recalls(Brightness):
    """Notes which prompts were trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        if images.requires_grad:
            self.seen += dict.fromkeys(prompts or ())
        return super().forward(images, prompts)


def shared_training(folder: Path, backbone: str) -> tuple[dict[str, Tensor], list[nn.Module], list[str]]:
    """Trains a little, from base films and with guards; gives the LoRA, the denoisers and the prompts seen."""
    made = {"toy": Toy, "modelscope": ModelScope.tiny, "wan": lambda: Wan.tiny("2.2-a14b")}  # of two experts
    generator = made[backbone]()
    settings = config(steps=5, guards=GuardSettings(every=5, prompts=1, action="warn"))
    recalls = Recalls()
    reward = rk.VideoReward(recalls, frames="segments:2")
    finetune(generator, reward, prompts=PROMPTS, config=settings, output_dir=folder)
    weights = {name: weight.detach().clone() for name, weight in lora_weights(generator).items()}
    return weights, list(generator.denoisers().values()), recalls.seen


def two_processes(folder: Path, backbone: str, shards: bool) -> list[tuple[dict[str, Tensor], int, list[str]]]:
    """What each has of a training that they share: the LoRA, how many frozen numbers it holds, the prompts seen."""
    folder.mkdir(exist_ok=True)
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    subprocess.run(
        [*command, folder / "script.py", folder, backbone],
        check=True,
        env={
            "PYTHONPATH": str(Path(__file__).parent.parent.parent),
            "PATH": "/usr/bin:/bin",
            "ACCELERATE_USE_CPU": "1",
            "ACCELERATE_USE_FSDP": str(shards).lower(),
        },
        timeout=300,
    )
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "shards"), [("toy", False), ("toy", True), ("modelscope", True)])
def test_two_processes_end_alike_and_as_one_with_the_whole_batch(tmp_path: Path, backbone: str, shards: bool) -> None:
    (one, held, seen), (other, held_there, seen_there) = two_processes(tmp_path, backbone, shards)
    assert same(one, other)
    alone, denoisers, seen_alone = shared_training(tmp_path / "alone", backbone)
    for step in range(5):
        shares = seen[2 * step :][:2] + seen_there[2 * step :][:2]
        assert shares == seen_alone[4 * step :][:4]
        assert len(set(shares)) == 4
    for name, weight in alone.items():
        torch.testing.assert_close(one[name], weight, atol=1e-5, rtol=1e-5)
    frozen = sum(w.numel() for denoiser in denoisers for w in denoiser.parameters() if not w.requires_grad)
    assert held + held_there == (frozen if shards else 2 * frozen)
    assert not shards or max(held, held_there) < 0.7 * frozen


@pytest.mark.slow
def test_sharing_out_two_experts_changes_nothing(tmp_path: Path) -> None:
    """Compared between two processes each: of batches of another size rounding differs, and Adam makes much of it."""
    (whole, held, _), _ = two_processes(tmp_path / "whole", "wan", shards=False)
    (shared, held_here, _), (other, held_there, _) = two_processes(tmp_path / "shared", "wan", shards=True)
    assert same(shared, other)
    assert held == held_here + held_there
    for name, weight in whole.items():
        torch.testing.assert_close(shared[name], weight, atol=1e-6, rtol=1e-5)
    assert any(weight.any() for name, weight in whole.items() if "transformer_2" in name and ".lora_B" in name)


def test_mixed_precision_is_that_of_accelerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def first_gradient(folder: Path) -> float:
        weights = trained(folder, steps=1)
        assert all(weight.dtype == torch.float32 for weight in weights.values())
        norm: float = json.loads((folder / "log.jsonl").read_text())["gradient_norm"]
        return norm

    plain = first_gradient(tmp_path / "plain")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    mixed = first_gradient(tmp_path / "mixed")
    assert mixed == pytest.approx(plain, rel=0.02)
    assert mixed != plain
    with pytest.raises(UsageError, match=r"another training \(precision differ"):
        trained(tmp_path / "plain", steps=2)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("ACCELERATE_USE_MEGATRON_LM", "true", "told to use MEGATRON_LM: take FSDP"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "needs a zero_stage of DeepSpeed: got none, take 0, 1, 2, 3$"),
        ("ACCELERATE_MIXED_PRECISION", "fp8", "mixed precision 'fp8': take no, bf16, fp16"),
    ],
)
def test_what_accelerate_asks_for_and_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=sentence):
        trained(tmp_path)


def test_processes_make_equally_many_base_films(tmp_path: Path) -> None:
    toy = Toy()
    trained_lora(toy)
    bench = Bench(toy, bright(), toy.levels(4, toy.default_shape), toy.default_shape, torch.device("cpu"))
    words = WordCache(toy, PROMPTS, bench.device)
    objective, examples = RewardGradient(start="base"), [Example(p) for p in PROMPTS[:2]]
    alone = Starts(bench, objective, words, 0, tmp_path / "alone")(examples)
    toy.denoiser.calls.clear()
    beside = Starts(bench, objective, words, 0, tmp_path / "beside", lambda own: [*own, 3])(examples)
    assert len(toy.denoiser.calls) == 3 * 4
    assert torch.equal(alone, beside)


def test_an_epoch_takes_every_example_once_in_an_order_of_its_own() -> None:
    steps = [order(6, 4, step, seed=1) for step in range(6)]
    places = [place for step in steps for place in step]
    epochs = [places[start : start + 6] for start in range(0, 24, 6)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert order(6, 4, 3, seed=1) == steps[3]


def test_a_reward_that_is_no_number_is_named_and_the_checkpoint_kept(tmp_path: Path) -> None:
    with pytest.raises(RewardFailedError, match=r"gave a score of nan for film 1 of \d, '"):
        finetune(Toy(), fails(4, "nan"), prompts=PROMPTS, config=config(), output_dir=tmp_path)
    assert (tmp_path / "checkpoints" / "000002" / FILE).is_file()


class Deaf(Brightness):
    card = rk.RewardCard(name="deaf", differentiable=False)

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return super().forward(images.detach(), prompts)


def test_a_reward_without_gradient_is_refused_where_gradient_is_needed(tmp_path: Path) -> None:
    deaf = rk.VideoReward(Deaf())
    with pytest.raises(UsageError, match=r"deaf gives no gradient.*rwr"):
        finetune(Toy(), deaf, prompts=PROMPTS, config=config(), output_dir=tmp_path)
    finetune(Toy(), deaf, prompts=PROMPTS, config=config(steps=2, objective=Ddpo()), output_dir=tmp_path / "ddpo")


class Constant(Brightness):
    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return super().forward(images, prompts) * 0


def test_a_first_step_without_gradient_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RewardFailedError, match=r"no gradient of .* reaches the LoRA in the first step"):
        finetune(Toy(), rk.VideoReward(Constant()), prompts=PROMPTS, config=config(), output_dir=tmp_path)


@pytest.mark.parametrize(
    ("prompts", "sentence"), [([], "needs prompts: got none"), (["a", " "], "prompt 2 of 2 is empty")]
)
def test_prompts_that_cannot_be_trained_on(tmp_path: Path, prompts: list[str], sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        finetune(Toy(), bright(), prompts=prompts, config=config(), output_dir=tmp_path)


def test_clips_that_are_missing_or_unreadable_are_named_before_anything_is_trained(tmp_path: Path) -> None:
    settings = config(objective=RewardGradient(start="clip", guidance=2.0))
    with pytest.raises(BadInputError, match="4 of 4 prompts have none, such as 'a cat'"):
        finetune(Toy(), bright(), prompts=PROMPTS, config=settings, output_dir=tmp_path)
    (tmp_path / "bad.mp4").write_bytes(b"not a video")
    bad = [Example("a cat", tmp_path / "bad.mp4")]
    with pytest.raises(BadInputError, match=r"1 of 1 clips cannot be read, the first: .*bad.mp4"):
        finetune(Toy(), bright(), examples=bad, config=settings, output_dir=tmp_path)


def test_walks_start_from_clips(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for number in range(4):
        torch.save(torch.rand(9, 3, 4, 5), tmp_path / f"{number}.pt")
    examples = [Example(prompt, tmp_path / f"{number}.pt") for number, prompt in enumerate(PROMPTS)]
    settings = config(objective=RewardGradient(start="clip", tau=0.5, guidance=2.0), batch_size=2)
    result = finetune(Toy(), bright(), examples=examples, config=settings, output_dir=tmp_path / "run")
    assert result.steps == 6
    assert len(list((tmp_path / "run" / "starts").iterdir())) == 4


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, steps=2)
    with pytest.raises(UsageError, match=r"holds another training \(settings differ\)"):
        trained(tmp_path, learning_rate=0.5)


def test_settings_of_another_lora_than_the_generators_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    toy = Toy()
    weights = trained_lora(toy, settings=LoraSettings(rank=2, alpha=4.0))
    message = r"^the LoRA in toy has rank 2 and alpha 4: the settings say 2 and 2$"
    with pytest.raises(UsageError, match=message):
        finetune(toy, bright(), prompts=PROMPTS, config=config(), output_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    settings = config(steps=1, lora=LoraSettings(rank=2, alpha=4.0))
    finetune(toy, bright(), prompts=PROMPTS, config=settings, output_dir=tmp_path / "run")
    assert not same(before, {name: weight.detach() for name, weight in lora_weights(toy).items()})


def test_what_a_killed_training_left_of_a_checkpoint_is_cleared_away(tmp_path: Path) -> None:
    trained(tmp_path, steps=2)
    draft = tmp_path / "checkpoints" / ".draft"
    draft.mkdir()
    (draft / FILE).write_bytes(b"half")
    trained(tmp_path, steps=4)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"000002", "000004"}


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        config(learning_rte=0.5)


def test_a_reward_that_is_pushed_too_far_is_stopped_and_taken_back(tmp_path: Path) -> None:
    """Brightness without end saturates pixels; the held-out contrast falls."""
    toy = Toy()
    held_out = {"contrast": rk.create_reward("contrast")}
    settings = config(
        steps=60, learning_rate=0.3, checkpoint_every=5, guards=GuardSettings(every=5, prompts=3, least_motion=0.2)
    )
    result = finetune(toy, bright(), prompts=PROMPTS, config=settings, output_dir=tmp_path, held_out=held_out)
    assert result.stopped
    assert result.steps < 60
    best = max(result.looks[:-1], key=lambda look: look.held_out["contrast"])
    now = Finetuning(toy, bright(), [Example(p) for p in PROMPTS], settings, tmp_path, held_out=held_out)
    assert now.looks[-1].reward > result.looks[0].reward
    assert best.step < result.steps
