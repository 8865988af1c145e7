"""Ways to fine-tune at equal cost, with a generator of one linear layer."""

from pathlib import Path

import numpy as np
import pytest

import rewardkit as rk
from rewardkit.bench.methods import tuning
from rewardkit.bench.methods.benchmark import benchmark_methods
from rewardkit.bench.methods.tuning import CALLS, TIME, read_log
from rewardkit.bench.result import Estimate, Forest, Panels, Result, Table
from rewardkit.bench.suites import MethodsSuite, read_suite
from rewardkit.engine.finetune import Finetuning, StepReport
from rewardkit.engine.guards import GuardSettings
from rewardkit.errors import UsageError
from tests.engine.toy import Toy

BRIGHT = "tests.judges:Brightness"
PROMPTS = ["a cat", "a tall dog", "a hat", "an owl at night"]
METHODS = [
    {"name": "reward", "settings": {"objective": {"kind": "reward", "start": "base", "tau": 0.5}}},
    {"name": "draft", "settings": {"objective": {"kind": "draft"}}},
    {"name": "ddpo", "settings": {"objective": {"kind": "ddpo"}}},
]


def suite(folder: Path, **changes: object) -> MethodsSuite:
    (folder / "prompts.txt").write_text("\n".join(PROMPTS))
    given: dict[str, object] = {
        "backbone": "tests.engine.toy:Toy",
        "model": "epsilon",
        "reward": f"{BRIGHT}[frames=segments:2]",
        "rewards": [BRIGHT, "tests.judges:LastMinusFirst"],
        "training": folder / "prompts.txt",
        "methods": METHODS,
        "settings": {
            "batch_size": 2,
            "learning_rate": 0.02,
            "warmup": 0,
            "lora": {"rank": 1},
            "guards": {"every": 4, "prompts": 2, "action": "warn"},
            "checkpoint_every": 3,
        },
        "seeds": [0, 1],
        "calls": 160,
        "films": {"prompts": {"all of them": folder / "prompts.txt"}, "steps": 4, "files": "npy", "film_seeds": [5]},
        "device": "cpu",
    }
    return MethodsSuite.model_validate(given | changes)


def run(asked: MethodsSuite, out: Path) -> Result:
    return benchmark_methods(asked, out, lambda what, done, total, note: None)


def logs(out: Path) -> dict[str, list[StepReport]]:
    return {path.name: read_log(path) for path in sorted((out / "runs").iterdir())}


def table(result: Result, slug: str) -> Table:
    return next(one for one in result.blocks() if one.kind == "table" and one.slug == slug)  # type: ignore[return-value]


def steps_within(log: list[StepReport], budget: float, cost: str) -> int:
    spent = np.cumsum([getattr(report, cost) for report in log])
    return max(1, int((spent <= budget).sum()))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[MethodsSuite, Path, Result]:
    folder = tmp_path_factory.mktemp("methods")
    asked = suite(folder)
    return asked, folder / "out", run(asked, folder / "out")


def test_every_method_takes_the_steps_that_fit_into_the_calls(done: tuple[MethodsSuite, Path, Result]) -> None:
    asked, out, result = done
    found = logs(out)
    assert len(found) == 6
    told = {row[0]: row[3] for row in table(result, "cost").rows}
    for name, log in found.items():
        fits = steps_within(log, asked.calls, "denoiser_calls")
        assert sum(report.denoiser_calls or 0 for report in log[:fits]) <= asked.calls
        assert told[name[:-2]] == str(fits)


def test_calls_are_films_through_the_denoiser_as_it_counts_them_itself(tmp_path: Path) -> None:
    toy, asked = Toy(), suite(tmp_path)
    config = asked.config(asked.methods[0], 0).model_copy(update={"guards": GuardSettings(every=0)})
    examples = tuning.training_examples(asked, tmp_path)
    steps = Finetuning(toy, rk.create_reward(asked.reward, device="cpu"), examples, config, tmp_path / "run").steps()
    for _ in range(2):  # all four base films are made
        next(steps)
    before = sum(toy.denoiser.films)
    # of the chain's four steps two, each with both passes of guidance on two films; the last's activations are kept
    assert next(steps).denoiser_calls == sum(toy.denoiser.films) - before == 2 * 2 * 2


def test_equal_time_is_what_the_first_method_takes_for_its_calls(done: tuple[MethodsSuite, Path, Result]) -> None:
    asked, out, _ = done
    found = logs(out)
    for seed in asked.seeds:
        first = found[f"reward-{seed}"]
        budget = sum(report.seconds for report in first[: steps_within(first, asked.calls, "denoiser_calls")])
        for method in ("draft", "ddpo"):
            log = found[f"{method}-{seed}"]
            took = np.cumsum([report.seconds for report in log])
            # it stops where one more step like the last would be over the budget
            stop = next(n for n, report in enumerate(log, start=1) if took[n - 1] + report.seconds > budget)
            lora = (out / "runs" / f"{method}-{seed}" / f"lora-{TIME}" / "lora.safetensors").read_bytes()
            assert f'"step":"{stop}"'.encode() in lora


def test_tables_are_means_over_seeds_of_the_films_on_disk(done: tuple[MethodsSuite, Path, Result]) -> None:
    asked, out, result = done
    films = {path.name: path for path in (out / "films").iterdir()}
    bright = {
        name: np.array([np.load(film).mean() / 255 for film in sorted(path.glob("*.npy"))])
        for name, path in films.items()
    }
    (base,) = [values for name, values in bright.items() if name.startswith("base")]
    rows = table(result, "scores-at-equal-calls").rows
    assert [row[0] for row in rows] == ["base", "reward", "draft", "ddpo"]
    assert isinstance(rows[0][1], Estimate)
    assert rows[0][1].value == pytest.approx(float(base.mean()), abs=1e-6)
    found = logs(out)
    for row in rows[1:]:
        of_seeds = []
        for seed in asked.seeds:
            steps = steps_within(found[f"{row[0]}-{seed}"], asked.calls, "denoiser_calls")
            (own,) = [v for n, v in bright.items() if n.startswith(f"{row[0]}-seed-{seed}-{steps}-steps")]
            of_seeds.append(own)
        assert isinstance(row[1], Estimate)
        assert row[1].value == pytest.approx(float(np.mean(of_seeds)), abs=1e-6)
    forest = next(one for one in result.blocks() if isinstance(one, Forest))
    assert isinstance(rows[1][1], Estimate)
    assert forest.rows[0].estimate.value == pytest.approx(rows[1][1].value - rows[0][1].value, abs=1e-6)
    assert forest.rows[0].label.startswith("base (")


def test_curves_run_over_seeds_and_guards_are_shown(done: tuple[MethodsSuite, Path, Result]) -> None:
    _, out, result = done
    training, guards = (one for one in result.blocks() if isinstance(one, Panels))
    line = training.panels[0].lines[0]
    found = logs(out)
    first = [found[f"reward-{seed}"][0] for seed in (0, 1)]
    assert line.y[0].value == pytest.approx(np.mean([report.facts["reward"] for report in first]))
    assert line.x[0] == first[0].denoiser_calls
    assert [panel.limit for panel in guards.panels[:2]] == [0.8, 0.5]
    assert all(line.y[0].value == pytest.approx(1) for panel in guards.panels[:2] for line in panel.lines)


def test_a_benchmark_that_was_interrupted_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = suite(tmp_path, seeds=[0], methods=METHODS[:2], budgets=["calls"])
    whole = run(asked, tmp_path / "whole")
    seen = []

    def interrupt(what: str, done: int, total: int, note: str) -> None:
        seen.append(what)
        if len(seen) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark_methods(asked, tmp_path / "again", interrupt)
    assert run(asked, tmp_path / "again").sections[0] == whole.sections[0]


def test_another_budget_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    short = {"seeds": [0], "methods": METHODS[:1], "budgets": ["calls"]}
    run(suite(tmp_path, **short), tmp_path / "out")
    with pytest.raises(UsageError, match="was trained under another budget: take another --out"):
        run(suite(tmp_path, **short, calls=60), tmp_path / "out")


def test_a_budget_that_holds_no_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="calls of the denoiser: the budget of 5 holds none"):
        run(suite(tmp_path, calls=5), tmp_path / "out")


def test_the_suites_that_come_along_can_be_read() -> None:
    asked = read_suite(MethodsSuite, None, {})
    assert [method.name for method in asked.methods] == ["InstructVideo", "DRaFT-1", "RWR", "DDPO"]
    assert len(asked.seeds) >= 3
    assert CALLS != TIME


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("calls = 0", "calls: Input should be greater than 0"),
        ("[[methods]]\nname='x'\n[methods.settings]\nlearning_rat = 1", "learning_rat"),
        ("[[methods]]\nname='x'\n[[methods]]\nname='x'", "each method once: 'x' is there twice"),
        ("[[methods]]\nname='a b'\n[[methods]]\nname='a-b'", "each method once: 'a b' and 'a-b' are too much alike"),
    ],
)
def test_bad_suites_are_one_sentence(text: str, told: str, tmp_path: Path) -> None:
    head = "" if "calls" in text else "calls = 100\n"
    tail = "" if "methods" in text else "\n[[methods]]\nname='x'"
    (tmp_path / "suite.toml").write_text(f'reward = "technical"\nrewards = ["technical"]\n{head}{text}{tail}\n')
    with pytest.raises(UsageError, match=told) as error:
        read_suite(MethodsSuite, tmp_path / "suite.toml", {})
    assert "\n" not in str(error.value)
