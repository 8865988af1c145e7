import csv
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import rewardkit as rk
from rewardkit.scoring.folder import score_folder
from rewardkit.scoring.rows import ScoreRow
from rewardkit.scoring.table import ScoreTable
from tests.judges import Brightness, GivesNan, LastMinusFirst, PromptLength, Raises
from tests.scoring.films import level_of, save_film, save_films

BRIGHT = "tests.judges:Brightness"
TIMES = {"decode_ms", "model_ms"}


def facts(rows: object) -> list[dict[str, object]]:
    """Rows without what differs between two equal runs."""
    return [row.model_dump(exclude=TIMES) for row in rows]  # type: ignore[attr-defined]


def by_name(rows: object) -> dict[str, ScoreRow]:
    return {Path(row.path).name: row for row in rows}  # type: ignore[attr-defined]


def test_every_video_gets_its_row_with_score_frames_and_weights(tmp_path: Path) -> None:
    levels = save_films(tmp_path, 12)
    rows = list(score_folder(tmp_path, rk.create_reward(BRIGHT, frames="index:1,4", weights="attenuate:0.5")))
    assert [Path(row.path).name for row in rows] == [f"{i}.npy" for i in range(12)]
    for row, level in zip(rows, levels, strict=True):
        assert row.status == "ok"
        assert row.frame_index == [1, 4]
        assert row.weights == pytest.approx([np.exp(-1), np.exp(-0.5)])
        assert row.per_frame == pytest.approx([level_of(level, [1]), level_of(level, [4])], abs=1e-6)
        expected = np.mean(np.array(row.per_frame) * np.array(row.weights))
        assert row.score == pytest.approx(expected, abs=1e-6)
        assert (row.num_frames, row.width, row.height, row.fps) == (6, 6, 4, None)
        assert row.decode_ms is not None


def test_rows_on_disk_are_the_rows_returned(tmp_path: Path) -> None:
    save_films(tmp_path / "films", 3)
    table = score_folder(tmp_path / "films", BRIGHT, out=tmp_path / "s.jsonl")
    read = [ScoreRow.model_validate_json(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert list(table) == list(ScoreTable.read(tmp_path / "s.jsonl")) == read
    assert table.header is not None
    assert table.header.reward == "brightness"
    assert table.header.configuration["seed"] == 0
    assert "torch" in table.header.versions


def test_batch_workers_and_order_do_not_change_a_row(tmp_path: Path) -> None:
    for number in range(9):
        size = [(4, 6), (8, 8)][number % 3 == 0]
        save_film(tmp_path / f"{number}.npy", number / 30, frames=5 + number % 4, height=size[0], width=size[1])
    reward = rk.create_reward(f"{BRIGHT}[frames=segments:3]+{BRIGHT}[frames=segments:2;reduce=min]")
    paths = [str(tmp_path / f"{number}.npy") for number in range(9)]
    expected = {row["path"]: row for row in facts(score_folder(paths, reward, batch_size=1, num_workers=1))}
    for batch_size, workers in ((1, 3), (2, 1), (7, 2), (64, 4)):
        shuffled = random.Random(batch_size).sample(paths, k=9)
        rows = facts(score_folder(shuffled, reward, batch_size=batch_size, num_workers=workers))
        assert [row["path"] for row in rows] == shuffled
        for row in rows:
            assert row == expected[row["path"]]


def test_random_frames_follow_seed_and_name_alone(tmp_path: Path) -> None:
    for place in ("here", "there/deeper"):
        for number in range(4):
            save_film(tmp_path / place / f"{number}.npy", 0.2, frames=500)
    reward = rk.create_reward(BRIGHT, frames="segments:4")

    def frames(place: str, seed: int = 0) -> list[list[int] | None]:
        return [row.frame_index for row in score_folder(tmp_path / place, reward, seed=seed)]

    assert frames("here") == frames("there/deeper")
    assert frames("here") != frames("here", seed=1)
    assert len({tuple(index or []) for index in frames("here")}) == 4, "each video has its own draw"


def test_frames_of_several_videos_share_a_batch(tmp_path: Path) -> None:
    sizes: list[int] = []

    class Counting(Brightness):
        def forward(self, images: Tensor, prompts: object = None) -> Tensor:
            sizes.append(len(images))
            return super().forward(images)

    save_films(tmp_path, 10)
    score_folder(tmp_path, rk.create_reward(Counting(), frames="uniform:4"), batch_size=16)
    assert sizes == [16, 16, 8]


def test_a_batch_that_does_not_fit_is_halved_and_that_is_remembered(tmp_path: Path) -> None:
    sizes: list[int] = []

    class Small(Brightness):
        def forward(self, images: Tensor, prompts: object = None) -> Tensor:
            sizes.append(len(images))
            if len(images) > 3:
                raise torch.OutOfMemoryError("no room")
            return super().forward(images)

    levels = save_films(tmp_path, 8)
    rows = list(score_folder(tmp_path, rk.create_reward(Small(), frames="uniform:2"), batch_size=8))
    assert [row.score for row in rows] == pytest.approx([level_of(level, [1, 4]) for level in levels], abs=1e-6)
    assert sizes == [8, 4, 2, 2, 2, 2, *[2] * 4]


def test_memory_that_does_not_suffice_for_one_frame_is_an_error_row(tmp_path: Path) -> None:
    class Greedy(Brightness):
        def forward(self, images: Tensor, prompts: object = None) -> Tensor:
            raise torch.OutOfMemoryError("no room")

    save_films(tmp_path, 2)
    rows = list(score_folder(tmp_path, Greedy()))
    assert [row.error for row in rows] == ["brightness ran out of memory on 6 frames of 6x4: no room"] * 2


def test_only_the_video_that_a_reward_fails_on_fails(tmp_path: Path) -> None:
    for number, level in enumerate([0.1, 0.9, 0.2]):
        save_film(tmp_path / f"{number}.npy", level)
    for judge, sentence in (
        (Raises(), "raises raised ValueError: too bright for me"),
        (GivesNan(), "givesnan gave nan where a finite number is expected"),
    ):
        rows = list(score_folder(tmp_path, judge, batch_size=64))
        assert [row.status for row in rows] == ["ok", "error", "ok"]
        assert rows[1].error == sentence
        assert rows[1].score is None
        assert rows[1].per_frame is None


def test_a_part_that_is_not_a_number_fails_even_with_coefficient_zero(tmp_path: Path) -> None:
    save_film(tmp_path / "a.npy", 0.9)
    [row] = score_folder(tmp_path, rk.create_reward(Brightness()) + 0 * rk.create_reward(GivesNan()))
    assert row.error == "givesnan gave nan where a finite number is expected"


def test_prompts_meet_their_videos_and_missing_ones_are_error_rows(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        save_film(tmp_path / f"{name}.npy", 0.2)
    prompts = {"a.npy": "one", "b.npy": "three", "c.npy": "   ", "x.npy": "nobody's"}
    rows = by_name(score_folder(tmp_path, PromptLength(), prompts=prompts))
    level = level_of(0.2, [0, 1, 2, 3, 4, 5])
    assert rows["a.npy"].score == pytest.approx(3 + level, abs=1e-5)
    assert rows["b.npy"].score == pytest.approx(5 + level, abs=1e-5)
    assert rows["a.npy"].prompt_source == "manifest"
    assert "needs a prompt, this video has an empty one" in (rows["c.npy"].error or "")
    assert "needs a prompt, this video has none" in (rows["d.npy"].error or "")


def test_truncated_prompts_are_flagged(tmp_path: Path) -> None:
    save_films(tmp_path, 2)
    rows = by_name(score_folder(tmp_path, PromptLength(), prompts={"0.npy": "x" * 21, "1.npy": "x"}))
    assert [rows["0.npy"].prompt_truncated, rows["1.npy"].prompt_truncated] == [True, False]


def test_a_video_too_short_for_the_sampler_says_so(tmp_path: Path) -> None:
    save_film(tmp_path / "one.npy", 0.2, frames=1)
    save_film(tmp_path / "six.npy", 0.2, frames=6)
    rows = by_name(score_folder(tmp_path, rk.create_reward(BRIGHT, frames="segments:4")))
    assert rows["one.npy"].error == (
        "segments:4 needs at least 4 frames, this video has 1: use segments:1 or uniform:4"
    )
    assert rows["six.npy"].status == "ok"
    assert by_name(score_folder(tmp_path, LastMinusFirst()))["six.npy"].score == pytest.approx(5 / 1000, abs=4e-3)


class TestResume:
    def test_nothing_is_scored_twice(self, tmp_path: Path) -> None:
        save_films(tmp_path / "films", 5)
        out = tmp_path / "s.jsonl"
        score_folder(tmp_path / "films", BRIGHT, out=out, limit=2)
        seen: list[tuple[str | None, int, int]] = []
        score_folder(
            tmp_path / "films", BRIGHT, out=out, progress=lambda r, d, t: seen.append((r and Path(r.path).name, d, t))
        )
        assert seen == [(None, 2, 5), ("2.npy", 3, 5), ("3.npy", 4, 5), ("4.npy", 5, 5)]
        whole = facts(score_folder(tmp_path / "films", BRIGHT, out=tmp_path / "whole.jsonl"))
        assert facts(ScoreTable.read(out)) == whole

    @pytest.mark.parametrize("change", ["file", "prompt", "touched"])
    def test_a_changed_video_is_scored_again(self, tmp_path: Path, change: str) -> None:
        save_films(tmp_path / "films", 3)
        out = tmp_path / "s.jsonl"
        prompts = {f"{i}.npy": "a" for i in range(3)}
        score_folder(tmp_path / "films", PromptLength(), prompts=prompts, out=out)
        if change == "file":
            save_film(tmp_path / "films/1.npy", 0.4, frames=7)
        elif change == "touched":
            os.utime(tmp_path / "films/1.npy", ns=(0, 0))
        else:
            prompts["1.npy"] = "aaa"
        again: list[str] = []
        score_folder(
            tmp_path / "films", PromptLength(), prompts=prompts, out=out,
            progress=lambda row, done, total: again.append(Path(row.path).name) if row else None,
        )  # fmt: skip
        assert again == ["1.npy"]
        rows = by_name(ScoreTable.read(out))
        assert len(rows) == len(list(ScoreTable.read(out))) == 3
        assert rows["1.npy"].score == pytest.approx(
            by_name(score_folder(tmp_path / "films", PromptLength(), prompts=prompts))["1.npy"].score
        )

    @pytest.mark.parametrize("other", [{"seed": 1}, {"reward": "tests.judges:Redness"}, {"dtype": "float64"}])
    def test_another_configuration_does_not_join_the_rows(self, tmp_path: Path, other: dict[str, object]) -> None:
        save_films(tmp_path / "films", 2)
        score_folder(tmp_path / "films", BRIGHT, out=tmp_path / "s.jsonl")
        settings: dict[str, object] = {"reward": BRIGHT, "out": tmp_path / "s.jsonl", **other}
        with pytest.raises(rk.OutputError, match="give another --out, or --overwrite"):
            score_folder(tmp_path / "films", **settings)  # type: ignore[arg-type]
        table = score_folder(tmp_path / "films", overwrite=True, **settings)  # type: ignore[arg-type]
        assert len(table) == 2

    def test_a_reward_whose_code_changed_does_not_join_the_rows(self, tmp_path: Path) -> None:
        save_films(tmp_path / "films", 2)
        code = "from tests.judges import Brightness\nclass Mine(Brightness):\n    pass\n"
        for text in (code, code + "# changed\n"):
            name = tmp_path / f"mine{len(text)}.py"
            name.write_text(text)
        score_folder(tmp_path / "films", f"{tmp_path}/mine{len(code)}.py:Mine", out=tmp_path / "s.jsonl")
        with pytest.raises(rk.OutputError, match="other settings, code or weights"):
            score_folder(tmp_path / "films", f"{tmp_path}/mine{len(code) + 10}.py:Mine", out=tmp_path / "s.jsonl")

    def test_running_statistics_are_part_of_the_reward(self, tmp_path: Path) -> None:
        save_films(tmp_path / "films", 3)
        trained = []
        for shift in (0.0, 0.5):
            reward = rk.create_reward(BRIGHT, normalise="running").train()
            reward(torch.rand(4, 2, 3, 4, 6) / 2 + shift)
            trained.append(reward)
        score_folder(tmp_path / "films", trained[0], out=tmp_path / "s.jsonl")
        with pytest.raises(rk.OutputError, match="other settings, code or weights"):
            score_folder(tmp_path / "films", trained[1], out=tmp_path / "s.jsonl")

    def test_random_frames_drawn_under_another_name_are_drawn_again(self, tmp_path: Path) -> None:
        save_film(tmp_path / "films/deep/a.npy", 0.2, frames=400)
        reward, out = rk.create_reward(BRIGHT, frames="segments:3"), tmp_path / "s.jsonl"
        score_folder(tmp_path / "films", reward, out=out)
        score_folder(tmp_path / "films/deep", reward, out=out)
        assert facts(ScoreTable.read(out)) == facts(score_folder(tmp_path / "films/deep", reward))

    def test_failed_videos_are_tried_again_on_request(self, tmp_path: Path) -> None:
        save_films(tmp_path / "films", 2)
        out = tmp_path / "s.jsonl"
        score_folder(tmp_path / "films", PromptLength(), out=out)
        assert len(ScoreTable.read(out).failed()) == 2
        score_folder(tmp_path / "films", PromptLength(), out=out)
        assert len(ScoreTable.read(out)) == 2
        again: list[object] = []
        score_folder(
            tmp_path / "films", PromptLength(), out=out, retry_failed=True, progress=lambda r, d, t: again.append(r)
        )
        assert len(again) == 3
        assert len(ScoreTable.read(out)) == 2

    def test_rows_made_from_another_folder_are_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        save_films(tmp_path / "films", 3)
        monkeypatch.chdir(tmp_path)
        score_folder("films", BRIGHT, out="s.jsonl", limit=2)
        monkeypatch.chdir(tmp_path / "films")
        score_folder(".", BRIGHT, out="../s.jsonl")
        paths = [row.path for row in ScoreTable.read("../s.jsonl")]
        assert paths == ["films/0.npy", "films/1.npy", str(tmp_path / "films/2.npy")]


def test_csv_and_parquet_hold_the_same_rows(tmp_path: Path) -> None:
    save_films(tmp_path / "films", 3)
    prompts = {"0.npy": '=cmd(), "x"', "1.npy": "two\nlines"}
    score_folder(tmp_path / "films", BRIGHT, prompts=prompts, out=tmp_path / "s.csv")
    rows = list(score_folder(tmp_path / "films", BRIGHT, prompts=prompts, out=tmp_path / "s.parquet"))
    with (tmp_path / "s.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert [float(cell["score"]) for cell in cells] == [row.score for row in rows]
    assert [json.loads(cell["per_frame"]) for cell in cells] == [row.per_frame for row in rows]
    assert [cell["prompt"] for cell in cells] == ['\'=cmd(), "x"', "two\nlines", ""]
    parquet = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "s.parquet").to_pylist()
    assert [record["per_frame"] for record in parquet] == [row.per_frame for row in rows]
    assert [record["key"] for record in parquet] == [row.key for row in rows]
    assert facts(ScoreTable.read(tmp_path / "s.parquet")) == facts(rows)


def test_unknown_formats_are_refused_before_anything_is_scored(tmp_path: Path) -> None:
    save_films(tmp_path, 1)
    with pytest.raises(rk.OutputError, match=r"cannot write rows as s.txt: take a name that ends in .jsonl"):
        score_folder(tmp_path, BRIGHT, out=tmp_path / "s.txt")


def test_the_table_summarises(tmp_path: Path) -> None:
    for name, level in (("a", 0.1), ("b", 0.3), ("c", 0.9)):
        save_film(tmp_path / f"{name}.npy", level)
    table = score_folder(tmp_path, GivesNan())
    assert [Path(row.path).name for row in table.best(5)] == ["b.npy", "a.npy"]
    assert [Path(row.path).name for row in table.worst(1)] == ["a.npy"]
    summary = table.summary()
    assert (summary.rows, summary.ok, summary.failed) == (3, 2, 1)
    assert table.mean() == pytest.approx((table.best(2)[0].score + table.best(2)[1].score) / 2)  # type: ignore[operator]


def test_a_tokenizer_that_fails_on_one_prompt_fails_one_video(tmp_path: Path) -> None:
    class Choosy(PromptLength):
        def truncates(self, prompt: str) -> bool:
            if prompt == "bad":
                raise ValueError("tokenizer")
            return False

    save_films(tmp_path, 3)
    prompts = {"0.npy": "good", "1.npy": "bad", "2.npy": "good"}
    rows = list(score_folder(tmp_path, Choosy(), prompts=prompts, batch_size=64))
    assert [row.status for row in rows] == ["ok", "error", "ok"]
    assert rows[1].error == "promptlength raised ValueError: tokenizer"


class Weighted(Brightness):
    def __init__(self, weight: float, sha: str | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([weight, 0.0]))
        self.sha = sha

    def weights_sha256(self) -> dict[str, str]:
        return {"model.safetensors": self.sha} if self.sha else {}

    def forward(self, images: Tensor, prompts: object = None) -> Tensor:
        return super().forward(images) * self.weight[0]


def two_checkpoints(first: str, second: str) -> rk.Reward:
    return rk.create_reward(Weighted(1.0, first)) + rk.create_reward(Weighted(1.0, second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: Weighted(1.0), lambda: Weighted(100.0)),
        (lambda: two_checkpoints("a", "b"), lambda: two_checkpoints("z", "b")),
    ],
    ids=["weights in memory", "two checkpoints of one name"],
)
def test_rows_of_other_weights_are_never_taken_over(
    tmp_path: Path, first: Callable[[], rk.Reward], second: Callable[[], rk.Reward]
) -> None:
    save_films(tmp_path / "films", 2)
    score_folder(tmp_path / "films", first(), out=tmp_path / "s.jsonl")
    score_folder(tmp_path / "films", first(), out=tmp_path / "s.jsonl")
    with pytest.raises(rk.OutputError, match="other settings, code or weights"):
        score_folder(tmp_path / "films", second(), out=tmp_path / "s.jsonl")


def test_scoring_leaves_a_reward_in_the_mode_it_came_in(tmp_path: Path) -> None:
    save_films(tmp_path, 2)
    reward = rk.create_reward(BRIGHT, normalise="running").train()
    reward(torch.rand(4, 2, 3, 4, 6))
    count = int(reward.count)  # type: ignore[arg-type]
    score_folder(tmp_path, reward)
    assert reward.training
    assert reward.count == count, "what is measured does not enter the statistics"


@pytest.mark.parametrize("bad", [{"limit": -1}, {"num_workers": 0}, {"batch_size": "lots"}, {"batch_size": -1}])
def test_impossible_numbers_are_refused(tmp_path: Path, bad: dict[str, object]) -> None:
    save_films(tmp_path, 2)
    with pytest.raises(rk.UsageError, match=next(iter(bad))):
        score_folder(tmp_path, BRIGHT, **bad)  # type: ignore[arg-type]


def test_memory_that_ran_out_on_one_size_does_not_slow_another(tmp_path: Path) -> None:
    sizes: list[tuple[int, int]] = []

    class Small(Brightness):
        def forward(self, images: Tensor, prompts: object = None) -> Tensor:
            sizes.append((images.shape[-1], len(images)))
            if images.numel() > 3 * 64 * 64:
                raise RuntimeError("MPS backend out of memory (allocated 1 GB)")
            return super().forward(images)

    save_film(tmp_path / "1.npy", 0.2, frames=4, height=64, width=64)
    save_film(tmp_path / "2.npy", 0.2, frames=16, height=8, width=8)
    assert not score_folder(tmp_path, rk.create_reward(Small(), frames="all"), num_workers=1).failed()
    assert sizes == [(64, 4), (64, 2), (64, 1), (64, 1), (64, 1), (64, 1), (8, 16)]


def test_the_current_folder_of_pictures_can_be_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        Image.new("RGB", (8, 6), (100, 100, 100)).save(tmp_path / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    [row] = score_folder(".", BRIGHT)
    assert row.score == pytest.approx(100 / 255, abs=1e-6)
