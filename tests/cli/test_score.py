import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from rewardkit.scoring.table import ScoreTable
from tests.cli.conftest import Result
from tests.scoring.films import save_film, save_films

BRIGHT = "tests.judges:Brightness"
Run = Callable[..., Result]


def test_rows_go_to_stdout_and_all_else_to_stderr(rewardkit: Run, tmp_path: Path) -> None:
    save_films(tmp_path, 3)
    result = rewardkit("score", tmp_path, "-r", BRIGHT)
    assert result.code == 0
    assert [json.loads(line)["status"] for line in result.out.splitlines()] == ["ok"] * 3
    assert "brightness: 3 of 3 videos scored, mean " in result.err


def test_with_out_stdout_is_empty_and_with_json_one_object(rewardkit: Run, tmp_path: Path) -> None:
    save_films(tmp_path / "films", 3)
    assert rewardkit("score", tmp_path / "films", "-r", BRIGHT, "-o", tmp_path / "a.jsonl").out == ""
    result = rewardkit("score", tmp_path / "films", "-r", BRIGHT, "-o", tmp_path / "b.jsonl", "--json", "--quiet")
    summary = json.loads(result.out)
    assert (summary["rows"], summary["ok"], summary["failed"]) == (3, 3, 0)
    assert result.err == ""
    assert len(json.loads(rewardkit("score", tmp_path / "films", "-r", BRIGHT, "--json").out)["results"]) == 3


def test_truncated_prompts_are_counted_once_a_run(rewardkit: Run, tmp_path: Path) -> None:
    save_films(tmp_path, 3)
    result = rewardkit("score", tmp_path, "-r", "tests.judges:PromptLength", "--prompt", "x" * 21)
    assert result.code == 0
    assert result.err.count("3 prompts are longer than promptlength reads") == 1


def test_a_failed_video_exits_1_and_the_rest_is_scored(rewardkit: Run, tmp_path: Path) -> None:
    save_films(tmp_path / "films", 3)
    (tmp_path / "films" / "broken.mp4").write_text("no video")
    result = rewardkit("score", tmp_path / "films", "-r", BRIGHT, "-o", tmp_path / "s.jsonl")
    assert result.code == 1
    assert "3 of 4 videos scored" in result.err
    assert "broken.mp4" in result.err
    assert [row.status for row in ScoreTable.read(tmp_path / "s.jsonl")] == ["ok", "ok", "ok", "error"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["FOLDER", "-r", "brigtness"], 2, "no reward is called 'brigtness'"),
        (["FOLDER", "-r", BRIGHT, "--frames", "segmets:4"], 2, "did you mean segments?"),
        (["FOLDER", "-r", BRIGHT, "--frmes", "all"], 2, "--frmes"),
        (["FOLDER", "-r", BRIGHT, "--device", "tpu9"], 2, "cannot use the device 'tpu9'"),
        (["FOLDER", "-r", BRIGHT, "--dtype", "int3"], 2, "no dtype is called 'int3': take auto, float32"),
        (["FOLDER", "-r", BRIGHT, "--batch-size", "0"], 2, "batch_size"),
        (["FOLDER", "-r", BRIGHT, "--limit", "-1"], 2, "limit: Input should be greater than 0, got -1"),
        (["FOLDER", "-r", BRIGHT, "--prompts", "none.csv"], 2, "no such prompts file: none.csv"),
        (["FOLDER", "-r", BRIGHT, "-o", "rows.txt"], 2, "cannot write rows as rows.txt"),
        (["FOLDER/nowhere", "-r", BRIGHT], 2, "no such file or folder"),
        (["-r", BRIGHT], 2, "name a file, folder, glob or manifest"),
        (["FOLDER/empty", "-r", BRIGHT], 3, "no videos in"),
    ],
)
def test_mistakes_have_their_exit_code_and_one_sentence(
    rewardkit: Run, tmp_path: Path, words: list[str], code: int, sentence: str
) -> None:
    save_films(tmp_path, 1)
    (tmp_path / "empty").mkdir()
    result = rewardkit("score", *[word.replace("FOLDER", str(tmp_path)) for word in words])
    assert result.code == code
    assert sentence in result.err
    assert "Traceback" not in result.err
    assert result.out == ""


def test_a_reward_in_a_file_works_in_one_step(rewardkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_films(tmp_path / "films", 2)
    (tmp_path / "greens.py").write_text(
        "import rewardkit as rk\n"
        "class Green(rk.ImageReward):\n"
        "    card = rk.RewardCard(name='green')\n"
        "    def forward(self, images, prompts=None):\n"
        "        return images[:, 1].mean(dim=(1, 2))\n"
    )
    monkeypatch.chdir(tmp_path)
    for name in ("greens:Green", "greens.py:Green", f"{tmp_path}/greens.py:Green"):
        result = rewardkit("score", "films", "-r", name)
        assert result.code == 0, result.err
        assert json.loads(result.out.splitlines()[0])["reward"] == "green"


@pytest.mark.parametrize("suffix", ["yaml", "toml"])
def test_command_line_over_file_over_default(rewardkit: Run, tmp_path: Path, suffix: str) -> None:
    save_films(tmp_path / "films", 3)
    settings = {"source": [str(tmp_path / "films")], "reward": BRIGHT, "frames": "first:2", "limit": 2}
    if suffix == "yaml":
        text = json.dumps(settings)  # JSON is YAML
    else:
        text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
    config = tmp_path / f"score.{suffix}"
    config.write_text(text)
    rows = [json.loads(line) for line in rewardkit("score", "--config", config).out.splitlines()]
    assert [row["frame_index"] for row in rows] == [[0, 1]] * 2
    rows = [json.loads(line) for line in rewardkit("score", "--config", config, "--limit", 1).out.splitlines()]
    assert [row["frame_index"] for row in rows] == [[0, 1]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("framse: all", "no setting is called 'framse': did you mean frames"),
        ("limit: many", "limit: Input should be a valid integer"),
        ("- a\n- b", "expected settings as key: value, got a list"),
        ("a: [", "cannot read"),
    ],
)
def test_a_bad_configuration_names_file_and_key(rewardkit: Run, tmp_path: Path, text: str, sentence: str) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text(text)
    result = rewardkit("score", tmp_path, "--config", config)
    assert result.code == 2
    assert str(config) in result.err
    assert sentence in result.err


def test_dry_run_tells_what_would_be_scored(rewardkit: Run, tmp_path: Path) -> None:
    save_films(tmp_path, 3)
    (tmp_path / "p.csv").write_text("path,prompt\n0.npy,a\n1.npy,\nz.npy,b\n")
    words = ("score", tmp_path, "-r", "tests.judges:PromptLength", "--prompts", tmp_path / "p.csv", "--dry-run")
    result = rewardkit(*words)
    assert result.code == 0
    assert "3 videos" in result.out
    assert "prompts: 2 manifest, 1 none; tests.judges:PromptLength needs a prompt" in result.out
    assert "2 videos lack a prompt" in result.out
    assert "1 prompts fit no video: z.npy" in result.out
    assert json.loads(rewardkit(*words, "--json").out)["unmatched_prompts"] == ["z.npy"]


def test_prompts_that_fit_no_video_are_told(rewardkit: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_films(tmp_path, 1)
    (tmp_path / "p.csv").write_text("path,prompt\nz.npy,b\n")
    assert rewardkit("score", tmp_path, "-r", BRIGHT, "--prompts", tmp_path / "p.csv").code == 0
    assert "1 prompts fit no video, such as z.npy" in caplog.text  # without pytest, logging prints it on stderr


def test_paths_on_standard_input(rewardkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = save_film(tmp_path / "a.npy", 0.2)
    listed = io.BytesIO(f"{film}\n{tmp_path}/missing.mp4\n".encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=listed))
    result = rewardkit("score", "-", "-r", BRIGHT)
    assert result.code == 1
    assert [json.loads(line)["status"] for line in result.out.splitlines()] == ["ok", "error"]


def test_ctrl_c_exits_130_and_says_how_to_go_on(rewardkit: Run, tmp_path: Path) -> None:
    save_films(tmp_path / "films", 4)
    out = tmp_path / "s.jsonl"
    words = ("score", tmp_path / "films", "-r", "tests.cli.interrupting:Interrupting", "-o", out, "--batch-size", 1)
    result = rewardkit(*words, "--overwrite")
    assert result.code == 130
    assert "interrupted; every finished row is in" in result.err
    again = result.err.split("go on with: rewardkit ")[1].split()
    assert "--overwrite" not in again
    assert again[-1] == "--no-overwrite", "a configuration may say overwrite too"
    assert len(ScoreTable.read(out)) == 2
    assert rewardkit(*again).code == 0
    assert [row.status for row in ScoreTable.read(out)] == ["ok"] * 4


def test_bytes_in_names_that_are_no_text_survive(rewardkit: Run, tmp_path: Path) -> None:
    save_film(tmp_path / "a.npy", 0.2).rename(tmp_path / "not-utf8-\udcff.npy")
    save_film(tmp_path / "b.npy", 0.2).rename(tmp_path / "two\nlines 日本.npy")
    result = rewardkit("score", tmp_path, "-r", BRIGHT)
    assert result.code == 0, result.err
    names = {Path(json.loads(line)["path"]).name for line in result.out.splitlines()}
    assert names == {"not-utf8-\udcff.npy", "two\nlines 日本.npy"}


def test_a_table_that_is_not_ours_is_left_alone(rewardkit: Run, tmp_path: Path) -> None:
    save_films(tmp_path / "films", 2)
    prompts = tmp_path / "p.csv"
    prompts.write_text("path,prompt\n0.npy,a\n")
    before = prompts.read_bytes()
    result = rewardkit("score", tmp_path / "films", "-r", BRIGHT, "--prompts", prompts, "-o", prompts)
    assert result.code == 2
    assert "holds no rows of ours" in result.err
    assert prompts.read_bytes() == before


def test_only_the_videos_asked_for_decide_the_result(rewardkit: Run, tmp_path: Path) -> None:
    save_films(tmp_path / "films", 3)
    broken = tmp_path / "films" / "z.npy"
    broken.write_bytes(b"broken")
    words = ("score", tmp_path / "films", "-r", BRIGHT, "-o", tmp_path / "s.jsonl")
    assert rewardkit(*words).code == 1
    broken.unlink()
    result = rewardkit(*words)
    assert result.code == 0
    assert "3 of 3 videos scored" in result.err


def test_what_a_reward_prints_does_not_mix_with_rows(rewardkit: Run, tmp_path: Path) -> None:
    save_films(tmp_path, 2)
    (tmp_path / "chatty.py").write_text(
        "from tests.judges import Brightness\nclass Chatty(Brightness):\n"
        "    def forward(self, images, prompts=None):\n        print('noise')\n        return super().forward(images)\n"
    )
    result = rewardkit("score", tmp_path, "-r", f"{tmp_path}/chatty.py:Chatty")
    assert [json.loads(line)["status"] for line in result.out.splitlines()] == ["ok"] * 2
    assert "noise" in result.err


def test_a_reward_that_exits_fails_its_video_and_not_the_run(rewardkit: Run, tmp_path: Path) -> None:
    save_films(tmp_path, 2)
    (tmp_path / "exits.py").write_text(
        "import sys\nfrom tests.judges import Brightness\nclass Exits(Brightness):\n"
        "    def forward(self, images, prompts=None):\n        sys.exit(0)\n"
    )
    result = rewardkit("score", tmp_path, "-r", f"{tmp_path}/exits.py:Exits")
    assert result.code == 1
    assert "raised SystemExit" in json.loads(result.out.splitlines()[0])["error"]
