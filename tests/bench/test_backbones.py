"""Backbones side by side: a generator of one linear layer, with and without guidance and LoRA, and a folder."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import rewardkit as rk
from rewardkit.bench.backbones import benchmark_backbones
from rewardkit.bench.result import Estimate, Films, Forest, Result, Table
from rewardkit.bench.suites import BackbonesSuite, read_suite
from rewardkit.engine.create import create_backbone
from rewardkit.engine.lora import LoraSettings, add_lora, save_lora
from rewardkit.engine.trial import film_noise
from rewardkit.errors import NothingToDoError, RewardFailedError, UsageError

TOY = {"backbone": "tests.engine.toy:Toy", "model": "epsilon"}
BRIGHT = "tests.judges:Brightness"
PROMPTS = {"a": ["a cat", "a tall dog", "a hat"], "b": ["an owl at night", "rain", "a car and a bar"]}


def suite(folder: Path, entries: list[dict[str, object]], **changes: object) -> BackbonesSuite:
    for name, prompts in PROMPTS.items():
        (folder / f"{name}.txt").write_text("\n".join(prompts))
    films = {
        "prompts": {name: folder / f"{name}.txt" for name in PROMPTS},
        "steps": 4,
        "files": "npy",
        **changes.pop("films", {}),  # type: ignore[dict-item]
    }
    given = {"rewards": [BRIGHT, "tests.judges:LastMinusFirst"], "entries": entries, "films": films, "device": "cpu"}
    return BackbonesSuite.model_validate(given | changes)


def run(asked: BackbonesSuite, out: Path) -> Result:
    return benchmark_backbones(asked, out, lambda what, done, total, note: None)


def table(result: Result, slug: str) -> Table:
    return next(one for one in result.blocks() if one.kind == "table" and one.slug == slug)  # type: ignore[return-value]


def number(result: Result, slug: str, row: int, column: str) -> float:
    found = table(result, slug)
    cell = found.rows[row][[one.name for one in found.columns].index(column)]
    assert isinstance(cell, Estimate)
    return cell.value


def test_films_are_those_that_generate_makes_from_the_noise_of_prompt_and_seed(tmp_path: Path) -> None:
    asked = suite(tmp_path, [{"name": "toy", **TOY}, {"name": "unguided", "guidance": 1.0, **TOY}])
    result = run(asked, tmp_path / "out")
    toy = create_backbone("tests.engine.toy:Toy", "epsilon", "cpu")
    every = [prompt for prompts in PROMPTS.values() for prompt in prompts]
    noise = film_noise(toy.latent_shape(toy.default_shape), [(prompt, seed) for prompt in every for seed in (0, 1)])
    doubled = [prompt for prompt in every for _ in range(2)]
    for row, guidance in enumerate((3.0, 1.0)):
        films = rk.generate(toy, doubled, steps=4, guidance=guidance, noise=noise)
        films = (films * 255).round() / 255  # as files have them
        bright = films.mean(dim=(1, 2, 3, 4))
        assert number(result, "means", row, "Brightness") == pytest.approx(float(bright.mean()), abs=1e-5)
        apart = (films[0::2] - films[1::2]).abs().mean()
        assert number(result, "means", row, "diversity") == pytest.approx(float(apart), abs=1e-5)
        for split, first in (("a", 0), ("b", 6)):
            mean = bright[first : first + 6].mean()
            assert number(result, "splits", row, split) == pytest.approx(float(mean), abs=1e-5)


def test_a_lora_is_compared_with_its_base_prompt_by_prompt(tmp_path: Path) -> None:
    toy = create_backbone("tests.engine.toy:Toy", "epsilon", "cpu")
    weights = add_lora(toy, LoraSettings(rank=1))
    with torch.no_grad():
        for weight in weights.values():
            weight.fill_(0.5)
    save_lora(toy, LoraSettings(rank=1), tmp_path / "lora", {})
    entries = [{"name": "base", **TOY}, {"name": "tuned", "lora": tmp_path / "lora", **TOY}]
    result = run(suite(tmp_path, entries), tmp_path / "out")
    before, after = (
        np.array([np.load(path).mean() / 255 for path in sorted((tmp_path / "out" / "films" / name).glob("*.npy"))])
        for name in ("base", "tuned")
    )
    by_prompt = (after - before).reshape(6, 2).mean(axis=1)
    forest = next(one for one in result.blocks() if isinstance(one, Forest))
    row = next(row for row in forest.rows if row.group == "Brightness")
    assert row.estimate.value == pytest.approx(float((by_prompt > 0).mean()))
    assert row.estimate.count == 6
    assert number(result, "splits", 1, "minus base") == pytest.approx(float(by_prompt.mean()), abs=1e-6)
    assert "base on tests.judges:Brightness" in result.headline[0]
    shown = next(one for one in result.blocks() if isinstance(one, Films))
    assert [film.label for film in shown.rows[0].films] == ["base", "tuned"]
    assert all((tmp_path / "out" / film.path).is_file() for row in shown.rows for film in row.films)


def test_what_is_made_is_not_made_again_and_another_model_is_refused(tmp_path: Path) -> None:
    asked = suite(tmp_path, [{"name": "toy", **TOY}])
    first = run(asked, tmp_path / "out")
    films = sorted((tmp_path / "out" / "films" / "toy").glob("*.npy"))
    stamps = [path.stat().st_mtime_ns for path in films]
    films[0].unlink()
    again = run(asked, tmp_path / "out")
    assert [path.stat().st_mtime_ns for path in films][1:] == stamps[1:]
    assert again.sections[0] == first.sections[0]
    with pytest.raises(
        UsageError, match=r"holds films made with guidance 3\.0, not with guidance 2\.0: take another --out"
    ):
        run(suite(tmp_path, [{"name": "toy", "guidance": 2.0, **TOY}]), tmp_path / "out")


def test_another_guidance_of_all_films_is_refused_too(tmp_path: Path) -> None:
    run(suite(tmp_path, [{"name": "toy", **TOY}]), tmp_path / "out")
    with pytest.raises(UsageError, match=r"holds films made with guidance 3\.0, not with guidance 6\.0"):
        run(suite(tmp_path, [{"name": "toy", **TOY}], films={"guidance": 6.0}), tmp_path / "out")


def test_entries_that_share_no_prompt_are_not_called_alone(tmp_path: Path) -> None:
    entries = [
        {"name": name, "folder": elsewhere(tmp_path / name, PROMPTS[split])} for name, split in (("x", "a"), ("y", "b"))
    ]
    result = run(suite(tmp_path, entries, films={"film_seeds": [0]}), tmp_path / "out")
    assert result.headline == [f"x and y have no prompt of which both films are scored by {BRIGHT}."]


def test_what_is_missing_is_told_before_anything_is_made(tmp_path: Path) -> None:
    entries = [{"name": "toy", **TOY}, {"name": "tuned", "lora": tmp_path / "none", **TOY}]
    with pytest.raises(UsageError, match="no LoRA at"):
        run(suite(tmp_path, entries), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_films_that_cannot_be_read_have_no_diversity(tmp_path: Path) -> None:
    folder = elsewhere(tmp_path / "theirs", PROMPTS["a"] * 2)
    with (folder / "prompts.csv").open("w", newline="") as file:
        rows = [(f"{place}.npy", prompt, place // 3) for place, prompt in enumerate(PROMPTS["a"] * 2)]
        csv.writer(file).writerows([("path", "prompt", "seed"), *rows])
    for place in (0, 3):
        (folder / f"{place}.npy").write_bytes(b"no film")
    result = run(suite(tmp_path, [{"name": "theirs", "folder": folder}]), tmp_path / "out")
    found = table(result, "means").rows[0][-1]
    assert isinstance(found, Estimate)
    assert (found.value, found.count) == (0.0, 2)  # films of one level, of the two prompts that can be read
    assert any("the diversity of theirs is without 1 prompts" in told for told in result.warnings)


def test_cost_is_of_the_films_that_were_made(tmp_path: Path) -> None:
    result = run(suite(tmp_path, [{"name": "toy", **TOY}]), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "films" / "toy" / "cost.jsonl").read_text().splitlines()]
    assert sum(line["films"] for line in lines) == 12
    seconds = sum(line["seconds"] for line in lines) / 12
    assert number(result, "cost", 0, "seconds a film") == pytest.approx(seconds)


def elsewhere(folder: Path, prompts: list[str], level: int = 200) -> Path:
    folder.mkdir()
    for place, _ in enumerate(prompts):
        np.save(folder / f"{place}.npy", np.full((6, 3, 4, 5), level, np.uint8))
    with (folder / "prompts.csv").open("w", newline="") as file:
        rows = [(f"{place}.npy", prompt) for place, prompt in enumerate(prompts)]
        csv.writer(file).writerows([("path", "prompt"), *rows])
    return folder


def test_a_folder_counts_for_the_prompts_that_it_has_and_says_which_it_lacks(tmp_path: Path) -> None:
    folder = elsewhere(tmp_path / "theirs", PROMPTS["a"])
    result = run(suite(tmp_path, [{"name": "toy", **TOY}, {"name": "theirs", "folder": folder}]), tmp_path / "out")
    assert number(result, "means", 1, "Brightness") == pytest.approx(200 / 255)
    assert result.warnings == [
        "theirs lacks 9 of 12 films, such as of 'a cat' with the seed 1",
        "the diversity of theirs is without 3 prompts, which have a single film or films of different shapes, "
        "such as 'a cat'",
    ]
    counts = [row.estimate.count for row in next(b for b in result.blocks() if isinstance(b, Forest)).rows]
    assert counts[0] == 3
    assert table(result, "cost").rows[1][1:] == [None, None]


def test_folders_without_a_prompt_in_common_are_refused(tmp_path: Path) -> None:
    folder = elsewhere(tmp_path / "theirs", ["nothing of ours"])
    with pytest.raises(UsageError, match="has no film that is asked for, such as of 'a car and a bar'"):
        run(suite(tmp_path, [{"name": "theirs", "folder": folder}]), tmp_path / "out")


def test_films_that_cannot_be_scored_are_told(tmp_path: Path) -> None:
    bright = elsewhere(tmp_path / "bright", PROMPTS["a"])
    dark = elsewhere(tmp_path / "dark", PROMPTS["a"], level=60)
    entries = [{"name": "bright", "folder": bright}, {"name": "dark", "folder": dark}]
    asked = suite(
        tmp_path,
        entries,
        rewards=["tests.judges:Raises"],
        films={"prompts": {"a": tmp_path / "a.txt"}, "film_seeds": [0]},
    )
    result = run(asked, tmp_path / "out")
    assert result.warnings[0].startswith("tests.judges:Raises failed on 3 of 3 films of bright, which are left out")
    assert table(result, "means").rows[0][1:] == [None]
    with pytest.raises(RewardFailedError, match=r"no film has a score; .* failed on 3 of 3 films"):
        run(
            suite(tmp_path, entries[:1], rewards=["tests.judges:Raises"], films={"film_seeds": [0]}), tmp_path / "other"
        )


def test_bad_suites_are_one_sentence(tmp_path: Path) -> None:
    for text, told in (
        ('rewards = ["technical"]\n[[entries]]\nname = "a"', "needs either a backbone or a folder of films"),
        ('rewards = ["technical"]\nentries = []', "entries: Tuple should have at least 1 item"),
        ('rewards = ["technical"]\n[[entries]]\nname = "a"\nbackbone = "wan"\nloras = "x"', "Extra inputs"),
        ('rewards = ["technical"]\n[[entries]]\nname = "a"\nfolder = "b"\nlora = "x"', "which has no lora"),
        ('rewards = ["technical"]\n[[entries]]\nname = "a"\nbackbone = "wan"\nmanifest = "x"', "has no manifest"),
        (
            'rewards = ["technical"]\n[[entries]]\nname = "a"\nbackbone = "wan"\n[films]\nprompts = {all = "x"}',
            "a split cannot be called 'all'",
        ),
    ):
        (tmp_path / "suite.toml").write_text(text)
        with pytest.raises(UsageError, match=told):
            read_suite(BackbonesSuite, tmp_path / "suite.toml", {})
    asked = suite(tmp_path, [{"name": "toy", **TOY}])
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(NothingToDoError, match=r"no prompts in .*a\.txt, the split 'a'"):
        run(asked, tmp_path / "out")
    (tmp_path / "a.txt").write_text("rain\n")
    with pytest.raises(UsageError, match="the prompt 'rain' stands in the splits 'a' and 'b'"):
        run(asked, tmp_path / "out")
    with pytest.raises(UsageError, match="no reward is called 'motoin': did you mean motion"):
        run(asked.model_copy(update={"rewards": ("motoin",)}), tmp_path / "out")


def test_a_share_of_all_films_has_the_interval_of_wilson_and_a_constant_its_own(tmp_path: Path) -> None:
    asked = suite(tmp_path, [{"name": "toy", **TOY}], rewards=["tests.judges:BeginsWithA", "tests.judges:One"])
    means = {str(row[0]): row[2:] for row in table(run(asked, tmp_path / "out"), "splits").rows}
    of_three = 3 / (3 + 1.959964**2)
    share, constant = means["BeginsWithA"][0], means["One"][0]
    assert isinstance(share, Estimate)
    assert (share.value, share.high) == (1.0, 1.0)
    assert share.low == pytest.approx(of_three)
    assert constant == Estimate(value=1.0, low=1.0, high=1.0, count=3)
