"""Folders of films: what is kept, what is refused, and what is written down to tell one from the other."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rewardkit.engine.create import create_backbone
from rewardkit.engine.film_record import RECORD
from rewardkit.engine.folder import generate_folder
from rewardkit.engine.generator import FilmShape, Generator, Level
from rewardkit.engine.lora import LoraSettings, load_lora, save_lora
from rewardkit.engine.reward_guidance import RewardGuidance
from rewardkit.errors import UsageError
from rewardkit.reducers.create import create_reward
from tests.engine.toy import Toy, trained_lora

PROMPTS = ["a cat", "rain over a harbour"]
FIRST, SECOND = "0001-a-cat-s0.npy", "0002-rain-over-a-harbour-s0.npy"
WAY_OUT = ": take another --out, or overwrite them"


def films(folder: Path, generator: Generator | None = None, prompts: list[str] = PROMPTS, **changes: object) -> Path:
    settings: dict[str, object] = {"steps": 4, "suffix": ".npy", **changes}
    return generate_folder(generator or Toy(), prompts, folder, **settings)  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pull(reward: str = "exposure", scale: float = 0.2, steps: str = "tail:2") -> RewardGuidance:
    return RewardGuidance(create_reward(reward, device="cpu"), scale, steps)


def refusal(folder: Path, make: Callable[[], object]) -> str:
    """What is said, without the folder; nothing in it may change."""
    before = content(folder)
    with pytest.raises(UsageError) as caught:
        make()
    assert content(folder) == before
    return str(caught.value).replace(f"{folder}", "films")


def test_the_same_settings_go_on_with_what_is_there(tmp_path: Path) -> None:
    films(tmp_path)
    whole = content(tmp_path)
    stamp = (tmp_path / FIRST).stat().st_mtime_ns
    (tmp_path / SECOND).unlink()
    toy = Toy()
    films(tmp_path, toy)
    assert content(tmp_path) == whole
    assert (tmp_path / FIRST).stat().st_mtime_ns == stamp
    assert toy.denoiser.films == [2] * 4, "one film, with and without its prompt"


@pytest.mark.parametrize(
    ("changes", "found", "asked"),
    [
        ({"steps": 10}, "steps 4", "steps 10"),
        ({"guidance": 2.0}, "guidance 3.0", "guidance 2.0"),
        ({"fps": 24}, "fps 8.0", "fps 24.0"),
        ({"shape": FilmShape(6, 5, 4)}, "height 4, width 5", "height 5, width 4"),
        ({"shape": FilmShape(2, 4, 5), "steps": 5}, "frames 6, steps 4", "frames 2, steps 5"),
        (
            {"reward_guidance": pull()},
            "guide_by none",
            "guide_by exposure (scale 0.2, steps tail:2, through estimate)",
        ),
    ],
)
def test_films_of_other_settings_are_refused_with_what_differs(
    tmp_path: Path, changes: dict[str, object], found: str, asked: str
) -> None:
    films(tmp_path)
    said = refusal(tmp_path, lambda: films(tmp_path, **changes))
    assert said == f"films holds films made with {found}, not with {asked}{WAY_OUT}"


@pytest.mark.parametrize("other", [pull(scale=0.5), pull(steps="steps:0,1"), pull("sharpness")])
def test_films_that_are_pulled_otherwise_are_refused(tmp_path: Path, other: RewardGuidance) -> None:
    films(tmp_path, reward_guidance=pull())
    films(tmp_path, reward_guidance=pull(steps="tail:count=2"))
    assert "guide_by" in refusal(tmp_path, lambda: films(tmp_path, reward_guidance=other))


def test_another_backbone_model_or_precision_is_refused(tmp_path: Path) -> None:
    class Other(Toy):
        name = "other"

    class Halved(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.denoiser.told.bfloat16()

    films(tmp_path, create_backbone("tests.engine.toy:Toy", "epsilon", "cpu"))
    for generator, found, asked in (
        (create_backbone("tests.engine.toy:Toy", "sample", "cpu"), "model epsilon", "model sample"),
        (Other(), "backbone toy, model epsilon", "backbone other, model none"),
        (Halved(), "model epsilon, dtype float32", "model none, dtype bfloat16 and float32"),
    ):
        said = refusal(tmp_path, lambda generator=generator: films(tmp_path, generator))
        assert said == f"films holds films made with {found}, not with {asked}{WAY_OUT}"


def test_a_folder_of_a_model_is_the_same_by_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "epsilon").mkdir()
    monkeypatch.chdir(tmp_path)
    near, far = (
        create_backbone("tests.engine.toy:Toy", path, "cpu") for path in ("epsilon", str(tmp_path / "epsilon"))
    )
    assert near.loaded_from == far.loaded_from == str((tmp_path / "epsilon").resolve())
    assert create_backbone("tests.engine.toy:Toy", "hub/epsilon", "cpu").loaded_from == "hub/epsilon"
    assert create_backbone("miniworld", device="cpu").loaded_from is None, "wherever it is installed"


def test_a_lora_counts_by_its_weights_and_strength(tmp_path: Path) -> None:
    tuned, again, other = Toy(), Toy(), Toy()
    trained_lora(tuned)
    trained_lora(other, seed=2, settings=LoraSettings(rank=2, seed=1))
    save_lora(tuned, LoraSettings(rank=2, seed=1), tmp_path / "lora", {})
    load_lora(again, tmp_path / "lora")
    out = tmp_path / "films"
    films(out, tuned)
    films(out, again)
    for generator, changes in ((other, {}), (Toy(), {}), (tuned, {"lora_strength": 0.5}), (tuned, {"lora_from": 0.5})):
        said = refusal(out, lambda generator=generator, changes=changes: films(out, generator, **changes))
        assert said.count("lora ") == 2
    films(tmp_path / "base", Toy())
    films(tmp_path / "base", tuned, lora_strength=0)


def test_a_lora_that_counts_more_is_another(tmp_path: Path) -> None:
    tuned, louder = Toy(), Toy()
    trained_lora(tuned, settings=LoraSettings(rank=2))
    trained_lora(louder, settings=LoraSettings(rank=2, alpha=4))
    films(tmp_path, tuned)
    assert "lora" in refusal(tmp_path, lambda: films(tmp_path, louder))


def test_experts_are_recorded_with_a_scale_each(tmp_path: Path) -> None:
    class Experts(Toy):
        def guidance_at(self, level: Level) -> float:
            return 4.0 if level.timestep > 500 else 3.0

    films(tmp_path, Experts())
    said = refusal(tmp_path, lambda: films(tmp_path, Experts(), guidance=4))
    assert said == f"films holds films made with guidance 4.0 and 3.0, not with guidance 4.0{WAY_OUT}"


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 1},
        {"guidance": 3},
        {"shape": FilmShape(6, 4, 5)},
        {"lora_strength": 0.5, "lora_from": 0.5},  # there is none
        {"fps": 8},
    ],
)
def test_what_changes_no_film_is_not_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    films(tmp_path)
    before = content(tmp_path)
    films(tmp_path, **changes)
    assert content(tmp_path) == before


def test_prompts_and_seeds_may_be_added_and_the_manifest_lists_those_asked_for(tmp_path: Path) -> None:
    films(tmp_path)
    stamp = (tmp_path / FIRST).stat().st_mtime_ns
    manifest = films(tmp_path, prompts=["a cat"], seeds=range(2))
    with manifest.open(newline="", encoding="utf-8") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [FIRST, "0001-a-cat-s1.npy"]
    assert (tmp_path / FIRST).stat().st_mtime_ns == stamp
    assert (tmp_path / SECOND).exists()
    assert "steps 4" in refusal(tmp_path, lambda: films(tmp_path, prompts=["snow"], steps=10))


def test_a_film_of_another_prompt_under_the_same_name_is_refused_whatever_was_made_between(tmp_path: Path) -> None:
    films(tmp_path, prompts=["A cat"])
    films(tmp_path, prompts=["snow"])
    said = refusal(tmp_path, lambda: films(tmp_path, prompts=["a cat!"]))
    assert said.replace("\\", "/") == f"films/{FIRST} is a film of 'A cat', not of 'a cat!'{WAY_OUT}"
    (tmp_path / FIRST).unlink()
    films(tmp_path, prompts=["a cat!"])


@pytest.mark.parametrize(
    "record",
    [
        None,
        b"",
        b"\xff",
        b"[1]",
        b'{"steps": 4, "guidance": null, "files": "npy"}',  # as benchmarks of 0.1.0 wrote it
        json.dumps({"settings": {}, "prompts": {"../a.npy": "a cat", FIRST: "a cat", SECOND: PROMPTS[1]}}).encode(),
    ],
)
def test_films_of_which_nothing_is_known_are_refused(tmp_path: Path, record: bytes | None) -> None:
    films(tmp_path)
    (tmp_path / RECORD).unlink()
    if record is not None:
        (tmp_path / RECORD).write_bytes(record)
    said = refusal(tmp_path, lambda: films(tmp_path))
    assert said == f"no {RECORD} in films says how films such as {FIRST} were made{WAY_OUT}"


def test_files_under_other_names_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.npy").write_bytes(b"mine")
    films(tmp_path)
    films(tmp_path, steps=5, overwrite=True)
    assert (tmp_path / "mine.npy").read_bytes() == b"mine"


def test_settings_of_films_that_are_gone_bind_nobody(tmp_path: Path) -> None:
    films(tmp_path)
    for name in (FIRST, SECOND):
        (tmp_path / name).unlink()
    films(tmp_path, steps=10)
    assert "steps 10" in refusal(tmp_path, lambda: films(tmp_path))


def test_overwriting_makes_the_films_that_a_new_folder_would_hold(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    films(old, seeds=range(2))
    films(old, steps=10, overwrite=True)
    films(new, steps=10)
    assert content(old) == content(new)


def test_overwriting_takes_films_of_which_nothing_is_known(tmp_path: Path) -> None:
    np.save(tmp_path / FIRST, np.zeros((6, 3, 4, 5), np.uint8))
    films(tmp_path, overwrite=True)
    films(tmp_path)
    assert np.load(tmp_path / FIRST).any()


def test_overwriting_deletes_nothing_outside_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "a.npy"
    outside.write_bytes(b"mine")
    out = tmp_path / "films"
    out.mkdir()
    (out / RECORD).write_text(json.dumps({"settings": {}, "prompts": {"../a.npy": "a cat", str(outside): "a cat"}}))
    films(out, overwrite=True)
    assert outside.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 30},
        {"steps": 0},
        {"guidance": -1.0},
        {"lora_from": 2.0},
        {"lora_strength": float("nan")},
        {"batch_size": 0},
        {"reward_guidance": pull(steps="tail:5")},
    ],
)
def test_numbers_that_make_no_sense_cost_no_film(tmp_path: Path, changes: dict[str, object]) -> None:
    films(tmp_path)
    refusal(tmp_path, lambda: films(tmp_path, overwrite=True, **changes))


def test_an_interrupted_overwriting_goes_on_without(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    films(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        films(tmp_path, steps=10, overwrite=True, batch_size=1, progress=stop)
    toy = Toy()
    films(tmp_path, toy, steps=10)
    assert len(toy.denoiser.films) == 10, "the other one"
    films(tmp_path / "new", steps=10)
    for name in (FIRST, SECOND):
        np.testing.assert_array_equal(np.load(tmp_path / name), np.load(tmp_path / "new" / name))
