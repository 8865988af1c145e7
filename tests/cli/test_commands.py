import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rewardkit.cli import compare
from tests.cli.conftest import Result
from tests.scoring.films import save_film

BRIGHT = "tests.judges:Brightness"
Run = Callable[..., Result]


def test_list_shows_rewards_with_their_cards(rewardkit: Run) -> None:
    result = rewardkit("list")
    assert result.code == 0
    assert "technical" in result.out
    cards = {card["name"]: card for card in json.loads(rewardkit("list", "--json").out)}
    assert {"technical", "sharpness", "flicker", "jpeg"} <= set(cards)
    assert cards["jpeg"]["differentiable"] is False
    assert cards["flicker"]["video_level"] is True
    assert set(cards["technical"]) >= {"source", "code_licence", "weights_licence", "score_range", "needs_prompt"}
    assert [card["name"] for card in json.loads(rewardkit("list", "*sharp*", "--json").out)] == ["sharpness"]


def test_list_shows_how_reducers_are_written(rewardkit: Run) -> None:
    written = {part["write"] for part in json.loads(rewardkit("list", "reducers", "--json").out)}
    assert {"all", "segments:count,pick=random", "attenuate:rate=1.0,normalise=false,length_scaled=false"} <= written
    assert "quantile:q" in rewardkit("list", "reducers", "quant*").out


def test_info_shows_a_card_and_suggests_names(rewardkit: Run) -> None:
    assert "Hasler" in rewardkit("info", "colourfulness").out
    assert json.loads(rewardkit("info", BRIGHT, "--json").out)["name"] == "brightness"
    result = rewardkit("info", "colorfulness")
    assert result.code == 2
    assert "did you mean colourfulness" in result.err


def test_every_reward_that_ships_states_source_and_licence(rewardkit: Run) -> None:
    for card in json.loads(rewardkit("list", "--json").out):
        assert "not stated" not in (card["source"], card["code_licence"]), card["name"]
        assert card["summary"], card["name"]
        assert card["score_range"] is not None, card["name"]


def test_env_names_versions(rewardkit: Run) -> None:
    facts = json.loads(rewardkit("env", "--json").out)
    assert {"python", "rewardkit", "torch", "av", "device", "platform"} <= set(facts)
    assert "rewardkit" in rewardkit("env").out


@pytest.fixture
def two_runs(rewardkit: Run, tmp_path: Path) -> tuple[Path, Path]:
    for name, shift in (("base", 0.0), ("tuned", 0.1)):
        for number in range(8):
            save_film(tmp_path / name / f"{number}.npy", 0.2 + number / 50 + shift * (number != 3))
        prompts = {f"{number}.npy": f"prompt {number}" for number in range(8)}
        (tmp_path / name / "p.json").write_text(json.dumps(prompts))
        rows = tmp_path / f"{name}.jsonl"
        assert (
            rewardkit("score", tmp_path / name, "-r", BRIGHT, "--prompts", tmp_path / name / "p.json", "-o", rows).code
            == 0
        )
    return tmp_path / "base.jsonl", tmp_path / "tuned.jsonl"


def test_compare_answers_in_one_sentence_first(rewardkit: Run, two_runs: tuple[Path, Path]) -> None:
    result = rewardkit("compare", *two_runs)
    assert result.code == 0, result.err
    assert "tuned beats base on" in result.out.splitlines()[0]
    assert "94 % of 8 prompts" in result.out.splitlines()[0]
    compared = json.loads(rewardkit("compare", *two_runs, "--json").out)
    assert compared["total"]["wins"] == 7
    assert compared["total"]["ties"] == 1
    assert compared["total"]["difference"] == pytest.approx(0.0875, abs=2e-3)


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ("x/base.jsonl", "y/tuned.parquet", ("base", "tuned")),
        ("base/rows.jsonl", "tuned/rows.jsonl", ("base", "tuned")),
        ("x/rows.jsonl", "x/rows.parquet", ("before", "after")),
    ],
)
def test_compare_calls_sets_by_what_tells_their_files_apart(before: str, after: str, names: tuple[str, str]) -> None:
    assert compare.names_of(Path(before), Path(after)) == names


def test_compare_warns_of_sets_that_were_scored_otherwise(
    rewardkit: Run, two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    assert "warning" not in rewardkit("compare", *two_runs).err
    other = tmp_path / "other.jsonl"
    prompts = ("--prompts", tmp_path / "tuned" / "p.json")
    assert rewardkit("score", tmp_path / "tuned", "-r", BRIGHT, *prompts, "--seed", 7, "-o", other).code == 0
    assert "scored with other code, weights, seed or precision" in rewardkit("compare", two_runs[0], other).err


def test_compare_refuses_what_is_not_rows(rewardkit: Run, two_runs: tuple[Path, Path], tmp_path: Path) -> None:
    result = rewardkit("compare", two_runs[0], tmp_path / "missing.jsonl")
    assert result.code == 2
    assert "no scores in" in result.err


def test_report_writes_one_page(rewardkit: Run, two_runs: tuple[Path, Path], tmp_path: Path) -> None:
    result = rewardkit("report", two_runs[0], "-o", tmp_path / "page.html")
    assert result.code == 0, result.err
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 8 * 6, "the six scored frames of eight films"
    assert rewardkit("report", two_runs[0]).code == 0
    assert two_runs[0].with_suffix(".html").exists()


def test_demo_runs_the_whole_loop(rewardkit: Run, tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    result = rewardkit("demo", "-o", demo, "--steps", "1", "--films", "1")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert "score" in result.out
    assert lines[-2:] == [f"LoRA: {demo / 'run' / 'lora'}", f"report: {demo / 'finetune.html'}"]
    assert any(line.startswith("Fine-tuning moved miniworld by ") for line in lines)
    assert (demo / "run" / "lora" / "lora.safetensors").exists()
    assert (demo / "report.html").exists()
    page = (demo / "finetune.html").read_text()
    assert page.count("data:image/webp;base64,") == 2 * 3, "three prompts, before and after"
    assert page.count("data:image/png;base64,") == 2, "the guards' films at the base model and after the step"
    listed = [line for line in lines if ".mp4" in line]
    assert len(listed) == 18
    rank = {Path(line.split()[1]).stem: place for place, line in enumerate(listed)}
    for film in "123":
        for spoiled in ("washed-out", "blurred", "dark"):
            assert rank[f"{film}-good"] < rank[f"{film}-{spoiled}"]


def test_a_report_does_not_replace_rows(rewardkit: Run, two_runs: tuple[Path, Path]) -> None:
    before = two_runs[0].read_bytes()
    result = rewardkit("report", two_runs[0], "-o", two_runs[0])
    assert result.code == 2
    assert "give a name that ends in .html" in result.err
    assert two_runs[0].read_bytes() == before


def test_the_demo_does_not_overwrite_what_is_not_its_own(rewardkit: Run, tmp_path: Path) -> None:
    (tmp_path / "scores.jsonl").write_text("precious")
    result = rewardkit("demo", "-o", tmp_path)
    assert result.code == 2
    assert "holds other files" in result.err
    assert (tmp_path / "scores.jsonl").read_text() == "precious"
