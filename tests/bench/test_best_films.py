"""The best film of each prompt among files, and the command that lists it."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

import rewardkit as rk
from rewardkit.bench.films.best import write_best
from rewardkit.cli import main
from rewardkit.errors import RewardFailedError

LEVELS = {
    ("a cat", 0): 40,
    ("a cat", 1): 120,
    ("a cat", 2): 80,
    ("=rain, \r\n fog", 0): 128,
    ("=rain, \r\n fog", 1): 10,
}


def write_films(folder: Path) -> Path:
    """Grey films; exposure is best in the middle."""
    with (folder / "prompts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "prompt", "seed"))
        for number, ((prompt, seed), level) in enumerate(LEVELS.items()):
            np.save(folder / f"{number}.npy", np.full((3, 16, 24, 3), level, dtype=np.uint8))
            writer.writerow((f"{number}.npy", prompt, seed))
    return folder / "prompts.csv"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_of_each_prompt_the_best_film_is_listed(tmp_path: Path) -> None:
    best = read(write_best(write_films(tmp_path), rk.create_reward("exposure")))
    assert [(line["path"], line["prompt"], line["seed"]) for line in best] == [
        ("1.npy", "a cat", "1"),
        ("3.npy", "=rain, \r\n fog", "0"),
    ]
    scores = {row.path: row.score for row in rk.score_folder(tmp_path / "prompts.csv", "exposure")}
    assert [float(line["score"]) for line in best] == [
        scores[str(tmp_path / "1.npy")], scores[str(tmp_path / "3.npy")]
    ]  # fmt: skip


def test_a_film_without_a_score_leaves_the_best_unknown(tmp_path: Path) -> None:
    manifest = write_films(tmp_path)
    (tmp_path / "2.npy").write_bytes(b"cut")
    with pytest.raises(RewardFailedError, match=r"2\.npy has no score"):
        write_best(manifest, rk.create_reward("exposure"))
    assert not (tmp_path / "best.csv").exists()


def test_the_command_pulls_and_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def made(out: str, *words: str) -> str:
        sys.argv = ["rewardkit", "generate", "a red ball", "--steps", "4", "--frames", "2", "--out", out, *words]
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        return capfd.readouterr().out.strip()

    monkeypatch.setattr(sys, "argv", [])
    assert made("films", "--seeds", "3", "--best-by", "exposure") == str(Path("films", "best.csv"))
    (best,) = read(Path("films/best.csv"))
    rows = {Path(row.path).name: row.score for row in rk.score_folder("films/prompts.csv", "exposure")}
    assert len(rows) == 3
    assert rows[best["path"]] == max(rows.values())
    made("pulled", "--guide-by", "exposure", "--guide-steps", "tail:2", "--guide-scale", "0.5")
    (pulled,) = [row.score for row in rk.score_folder("pulled/prompts.csv", "exposure")]
    assert pulled > rows["0001-a-red-ball-s0.mp4"] + 0.01
