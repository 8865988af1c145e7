"""Rewards side by side: on films of known brightness, by rewards of known answers."""

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rewardkit.bench.result import Estimate, Forest, Panels, Result, Table
from rewardkit.bench.rewards.benchmark import benchmark_rewards
from rewardkit.bench.suites import RewardsSuite, VideoSet, read_suite
from rewardkit.cli import app, main
from rewardkit.errors import MissingExtraError, RewardFailedError, UsageError

BRIGHT, DARK, LAST = "tests.judges:Brightness", "-1*tests.judges:Brightness", "tests.judges:LastMinusFirst"
PROMPT, RAISES = "tests.judges:PromptLength", "tests.judges:Raises"
QUICK = {"resolutions": (0.5,), "codecs": (), "frames": ("first:1", "all"), "defects": ("darkening", "frozen")}


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Six films of three prompts, brighter and brighter, with ratings that say the same and preferences that do not."""
    folder = tmp_path / "films"
    lines = [(f"{n}.npy", f"prompt {n // 2}") for n in range(6)]
    for n, (name, _) in enumerate(lines):
        save_film(folder / name, 0.1 + n / 20)
    write(folder / "prompts.csv", ("path", "prompt"), lines)
    write(folder / "ratings.csv", ("path", "rating"), [(f"{n}.npy", n) for n in range(6)])
    pairs = [("0.npy", "1.npy", "second"), ("2.npy", "3.npy", "first"), ("4.npy", "5.npy", "tie")]
    write(folder / "pairs.csv", ("first", "second", "preferred"), pairs)
    return folder


def save_film(path: Path, level: float) -> None:
    """Grey, brighter by 5 of 255 levels from frame to frame."""
    path.parent.mkdir(exist_ok=True)
    levels = (round(level * 255) + 5 * np.arange(6)).astype(np.uint8)
    np.save(path, np.broadcast_to(levels[:, None, None, None], (6, 3, 16, 24)))


def write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def suite(films: Path, *rewards: str, **changes: object) -> RewardsSuite:
    one = VideoSet(name="films", source=str(films), prompts=str(films / "prompts.csv"), ratings=films / "ratings.csv")
    given = {"rewards": rewards, "videos": (one,), "device": "cpu", **QUICK, **changes}
    return RewardsSuite.model_validate(given)


def run(suite: RewardsSuite, out: Path) -> Result:
    return benchmark_rewards(suite, out, lambda what, done, total, note: None)


def block(result: Result, slug: str) -> Table:
    return next(one for one in result.blocks() if one.slug == slug)  # type: ignore[return-value]


def cell(result: Result, slug: str, reward: str, column: str) -> Estimate | str | None:
    table = block(result, slug)
    names = [one.name for one in table.columns]
    return next(row for row in table.rows if row[0] == reward)[names.index(column)]


def value(result: Result, slug: str, reward: str, column: str) -> float:
    found = cell(result, slug, reward, column)
    assert isinstance(found, Estimate)
    return found.value


def test_a_reward_that_rates_as_people_do_agrees_and_its_negative_does_not(films: Path, tmp_path: Path) -> None:
    result = run(suite(films, BRIGHT, DARK), tmp_path / "out")
    for reward, agreement in ((BRIGHT, 1.0), (DARK, 0.0)):
        assert value(result, "leaderboard", reward, "agrees with people") == agreement
        for column in ("Kendall's tau-b", "Spearman's rho"):
            assert value(result, "agreement-numbers", reward, column) == pytest.approx(2 * agreement - 1)
    assert result.headline[0].startswith(f"{BRIGHT} agrees best with people: 100 % of 3 decided pairs")
    assert "too few prompts to conclude (3, at least 6 are needed)" in result.headline[0]
    heat = next(one for one in result.blocks() if one.kind == "heat")
    assert heat.values == [[pytest.approx(1), pytest.approx(-1)], [pytest.approx(-1), pytest.approx(1)]]


def test_preferences_count_as_they_are_written(films: Path, tmp_path: Path) -> None:
    save_film(films / "5.npy", 0.1 + 4 / 20 + 1 / 255)  # all but as bright as 4.npy
    one = VideoSet(
        name="a", source=str(films), prompts=str(films / "prompts.csv"), preferences=films / "pairs.csv", labels="me"
    )
    result = run(suite(films, BRIGHT, videos=(one,)), tmp_path / "out")
    assert value(result, "leaderboard", BRIGHT, "agrees with me") == 0.5  # right on the first pair, wrong on the second
    ties = cell(result, "agreement-numbers", BRIGHT, "with ties")
    assert isinstance(ties, Estimate)
    assert ties.value == pytest.approx(2 / 3)  # the tie is seen, too
    wrong = next(one for one in result.blocks() if one.slug == "disagreements")
    assert [[film.label for film in row.films] for row in wrong.rows] == [["preferred: 2.npy", "3.npy"]]


def test_a_defect_that_is_seen_falls_in_every_step_and_one_that_is_not_in_half(films: Path, tmp_path: Path) -> None:
    result = run(suite(films, BRIGHT, LAST, frames=()), tmp_path / "out")
    assert value(result, "seen", BRIGHT, "darkening") == 1.0
    # brightness rises from frame to frame, so that a frozen film is darker, and its last frame is more like its first
    assert value(result, "seen", LAST, "frozen") == 1.0
    panels = next(one for one in result.blocks() if isinstance(one, Panels))
    line = next(line for line in panels.panels[0].lines if line.name == BRIGHT)
    clean = np.array([(round((0.1 + n / 20) * 255) + 12.5) / 255 for n in range(6)])
    expected = [np.mean((factor - 1) * clean) / clean.std(ddof=1) for factor in (1, 0.8, 0.65, 0.5, 0.35, 0.2)]
    # pixels are rounded to 8 bits again
    assert [point.value for point in line.y] == pytest.approx(expected, abs=0.05)


def test_what_is_not_answered_is_half_and_not_seen(films: Path, tmp_path: Path) -> None:
    """A reward that looks at the first frame alone cannot know that a film stops."""
    first = f"{BRIGHT}[frames=first:1]"
    result = run(suite(films, first, frames=()), tmp_path / "out")
    assert value(result, "seen", first, "frozen") == 0.5
    assert f"{first} hardly sees frozen" in result.headline[-1]


def test_a_wrong_prompt_is_told_to_rewards_that_read_prompts_only(films: Path, tmp_path: Path) -> None:
    result = run(suite(films, BRIGHT, PROMPT, defects=("wrong prompt",), frames=()), tmp_path / "out")
    assert cell(result, "seen", BRIGHT, "wrong prompt") is None
    assert value(result, "seen", PROMPT, "wrong prompt") == 0.5  # prompts are equally long
    rows = (tmp_path / "out" / "scores").glob("*promptlength*/wrong-prompt-1.jsonl")
    told = [json.loads(line)["prompt"] for line in next(rows).read_text().splitlines()]
    assert told == ["prompt 1", "prompt 1", "prompt 2", "prompt 2", "prompt 0", "prompt 0"]


def test_other_frames_and_sizes_keep_the_ranking_of_plain_films(films: Path, tmp_path: Path) -> None:
    result = run(suite(films, BRIGHT, LAST), tmp_path / "out")
    for way in ("resolution 0.5", "frames first", "frames all"):
        assert value(result, "ranking", BRIGHT, way) == pytest.approx(1)
    assert cell(result, "ranking", LAST, "frames all") is None  # it judges all frames or none


def test_a_failed_video_is_told_and_counts_nowhere(films: Path, tmp_path: Path) -> None:
    save_film(films / "9.npy", 0.9)
    result = run(suite(films, BRIGHT, RAISES, defects=(), frames=(), resolutions=()), tmp_path / "out")
    told = f"{RAISES} has no score of some videos, which are left out (as is 1 of 7, copied 1 of 7): "
    assert result.warnings[-1].startswith(told)
    assert "too bright" in result.warnings[-1]
    spread = {reward: cell(result, "spread", reward, "mean") for reward in (BRIGHT, RAISES)}
    assert [found.count for found in spread.values() if isinstance(found, Estimate)] == [7, 6]
    assert value(result, "spread", RAISES, "highest") < 0.5


def test_what_is_scored_is_not_scored_again(films: Path, tmp_path: Path) -> None:
    asked = suite(films, BRIGHT)
    first = run(asked, tmp_path / "out")
    kept = {path: path.read_bytes() for path in (tmp_path / "out" / "scores").rglob("*.jsonl")}
    assert len(kept) == 2 + 5 + 5 + 1 + 2
    again = run(asked, tmp_path / "out")
    assert kept == {path: path.read_bytes() for path in kept}  # with the time that each row took
    assert again.sections == first.sections
    next(path for path in kept if path.name == "frozen-1.jsonl").unlink()
    assert run(asked, tmp_path / "out").sections == first.sections
    next((tmp_path / "out" / "scores").rglob("cost.json")).unlink()  # memory is measured anew, all else is as it was
    assert measured(run(asked, tmp_path / "out")) == measured(first)


def measured(result: Result) -> list[object]:
    """All blocks but those that tell how long it took."""
    return [block for block in result.blocks() if block.slug not in ("leaderboard", "cost")]


def test_a_video_that_changed_is_spoiled_and_scored_anew(films: Path, tmp_path: Path) -> None:
    asked = suite(films, BRIGHT, frames=(), codecs=(38,))
    run(asked, tmp_path / "out")
    save_film(films / "0.npy", 0.6)
    assert measured(run(asked, tmp_path / "out")) == measured(run(asked, tmp_path / "new"))


def test_copies_of_sets_with_equal_names_are_not_mixed_up(films: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for n in range(6):
        save_film(other / f"{n}.npy", 0.4 + n / 20)
    sets = [VideoSet(name=f.name, source=str(f)) for f in (films, other)]
    for tried_on in ("films", "other"):
        asked = suite(films, BRIGHT, videos=sets, tried_on=(tried_on,), frames=(), defects=("darkening",))
        found, fresh = run(asked, tmp_path / "out"), run(asked, tmp_path / f"new {tried_on}")
        assert measured(found) == measured(fresh)


def test_random_frames_are_the_same_spoiled_or_not(films: Path, tmp_path: Path) -> None:
    """A defect that changes nothing here must change no score, whichever frames are drawn."""
    drawn = f"{BRIGHT}[frames=segments:3]"
    result = run(suite(films, drawn, defects=("blur", "desaturation"), frames=()), tmp_path / "out")
    panels = next(one for one in result.blocks() if isinstance(one, Panels))
    assert [point.value for panel in panels.panels for point in panel.lines[0].y] == pytest.approx([0] * 12, abs=1e-6)


def test_a_codec_is_applied_and_one_that_cannot_be_is_told(films: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for n in range(6):
        np.save(films / f"{n}.npy", random.integers(0, 256, (6, 3, 16, 24), dtype=np.uint8))
    (films / "7.npy").write_bytes(b"no film")
    sharp = "sharpness"
    result = run(suite(films, sharp, codecs=(0, 51), defects=(), frames=(), resolutions=()), tmp_path / "out")
    assert value(result, "shift", sharp, "crf 51") < value(result, "shift", sharp, "crf 0") < 0.5
    assert "crf 0 1 of 7, crf 51 1 of 7" in result.warnings[-1]


def test_where_no_video_can_be_written_anew_the_codec_is_a_dash(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewardkit.bench.rewards.benchmark._MOST_BYTES", 100)
    result = run(suite(films, BRIGHT, codecs=(38,), defects=(), frames=()), tmp_path / "out")
    assert cell(result, "ranking", BRIGHT, "crf 38") is None
    assert value(result, "ranking", BRIGHT, "resolution 0.5") == pytest.approx(1)
    assert "crf 38 6 of 6" in result.warnings[-1]


def test_a_video_without_a_prompt_is_left_out_of_wrong_prompts_alone(films: Path, tmp_path: Path) -> None:
    write(films / "prompts.csv", ("path", "prompt"), [(f"{n}.npy", f"prompt {n}") for n in range(5)] + [("x.npy", "x")])
    result = run(suite(films, PROMPT, defects=("wrong prompt",), frames=()), tmp_path / "out")
    assert "1 prompts of" in result.warnings[0]
    assert "as is 1 of 6" in result.warnings[1]
    seen = cell(result, "seen", PROMPT, "wrong prompt")
    assert isinstance(seen, Estimate)
    assert seen.count == 5


def test_a_sum_of_rewards_has_every_block_but_samplers(films: Path, tmp_path: Path) -> None:
    total = f"0.5*{BRIGHT} + 0.5*{LAST}"
    result = run(suite(films, total, BRIGHT), tmp_path / "out")
    assert cell(result, "ranking", total, "frames all") is None
    assert value(result, "ranking", total, "resolution 0.5") == pytest.approx(1)
    assert value(result, "seen", total, "darkening") == 1.0


def test_labels_that_are_named_twice_count_once(films: Path, tmp_path: Path) -> None:
    one = {"prompts": str(films / "prompts.csv"), "preferences": films / "pairs.csv"}
    halves = [VideoSet(name=n, source=str(films / f"[{r}].npy"), **one) for n, r in (("a", "0-2"), ("b", "3-5"))]
    result = run(suite(films, BRIGHT, videos=halves, defects=(), frames=()), tmp_path / "out")
    found = cell(result, "leaderboard", BRIGHT, "agrees with people")
    assert isinstance(found, Estimate)
    assert found.count == 2


def test_a_reward_without_a_pair_does_not_stop_the_others(films: Path, tmp_path: Path) -> None:
    bright = tmp_path / "bright"
    for n in range(6):
        save_film(bright / f"{n}.npy", 0.7)
    write(bright / "prompts.csv", ("path", "prompt"), [(f"{n}.npy", f"prompt {n // 2}") for n in range(6)])
    sets = [VideoSet(name=f.name, source=str(f), prompts=str(f / "prompts.csv")) for f in (films, bright)]
    asked = suite(films, BRIGHT, RAISES, videos=sets, compare=("films", "bright"), tried_on=("films",), defects=())
    result = run(asked, tmp_path / "out")
    assert f"{RAISES} has scores of no pair of films and bright" in result.warnings
    assert result.headline[0].startswith("bright beats films")


def test_few_pairs_tell_nothing_and_one_sentence_says_so(films: Path, tmp_path: Path) -> None:
    halves = [
        VideoSet(name=n, source=str(films / f"[{r}].npy"), prompts="filename") for n, r in (("a", "0-2"), ("b", "3-5"))
    ]
    with pytest.raises(UsageError, match="finds no pair"):  # no prompt and no file name is the same
        run(suite(films, BRIGHT, videos=halves, compare=("a", "b"), defects=()), tmp_path / "none")
    same = [
        one.model_copy(update={"prompts": "none", "source": str(films / f"[{r}].npy")})
        for one, r in zip(halves, ("0-2", "1-3"), strict=True)
    ]
    result = run(suite(films, BRIGHT, DARK, videos=same, compare=("a", "b"), defects=(), frames=()), tmp_path / "out")
    assert result.headline[0] == "2 pairs are too few to tell b from a: at least 6 are needed."
    assert any("1 row of a without a partner" in told for told in result.warnings)


def test_the_second_set_wins_where_it_is_brighter(films: Path, tmp_path: Path) -> None:
    brighter = tmp_path / "brighter"
    for n in range(6):
        save_film(brighter / f"{n}.npy", 0.15 + n / 20)
    write(brighter / "prompts.csv", ("path", "prompt"), [(f"{n}.npy", f"prompt {n // 2}") for n in range(6)])
    sets = [VideoSet(name=f.name, source=str(f), prompts=str(f / "prompts.csv")) for f in (films, brighter)]
    asked = suite(films, BRIGHT, DARK, videos=sets, compare=("films", "brighter"), defects=())
    result = run(asked, tmp_path / "out")
    forest = next(one for one in result.blocks() if isinstance(one, Forest) and one.slug == "sets")
    assert [row.estimate.value for row in forest.rows] == [1.0, 0.0]
    assert result.headline[0].startswith(f"brighter beats films on {BRIGHT} in 100 % of 6 pairs (95 %: ")
    assert f"brighter loses to films on {DARK}" in result.headline[1]


def test_the_command_ends_with_1_where_something_was_left_out(films: Path, tmp_path: Path) -> None:
    save_film(films / "9.npy", 0.9)
    text = f'rewards = ["{RAISES}"]\ndefects = []\nframes = []\ncodecs = []\n[[videos]]\nname = "a"\nsource = "."\n'
    (films / "suite.toml").write_text(text)
    words = ["benchmark", "rewards", str(films / "suite.toml"), "--out", str(tmp_path / "out"), "--quiet"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 1
    assert "which are left out (as is 1 of 7, copied 1 of 7" in done.stderr


def test_without_matplotlib_nothing_is_begun(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.chdir(films)
    with pytest.raises(MissingExtraError, match=r"pip install 'rewardkit\[report\]'"):
        CliRunner().invoke(app, ["benchmark", "rewards"], catch_exceptions=False)
    assert not (films / "benchmark-rewards").exists()


def refused(asked: RewardsSuite, out: Path) -> str:
    with pytest.raises((UsageError, RewardFailedError)) as error:
        run(asked, out)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_bad_suites_say_what_is_wrong(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "no reward is called 'tecnical': did you mean technical" in refused(suite(films, "tecnical"), out)
    nowhere = VideoSet(name="a", source=str(tmp_path / "none"))
    assert "no such file or folder" in refused(suite(films, BRIGHT, videos=(nowhere,)), out)
    alone = VideoSet(name="a", source=str(films / "0.npy"))
    assert "on 2 videos or more: got" in refused(suite(films, BRIGHT, videos=(alone,)), out)
    write(films / "ratings.csv", ("path", "rating"), [("elsewhere.npy", 1)])
    assert "1 of 1 videos that people judged are in no set" in refused(suite(films, BRIGHT), out)
    write(films / "ratings.csv", ("path", "score"), [("0.npy", 1)])
    assert "has no column 'rating'" in refused(suite(films, BRIGHT), out)
    write(films / "ratings.csv", ("path", "rating"), [("0.npy", "good")])
    assert "a rating is a number, got 'good'" in refused(suite(films, BRIGHT), out)
    (films / "ratings.csv").unlink()
    for path in films.glob("*.npy"):
        path.write_bytes(b"no film")
    assert "no reward could score a video" in refused(suite(films, BRIGHT, videos=(nowhere_but(films),)), out)


def nowhere_but(films: Path) -> VideoSet:
    return VideoSet(name="films", source=str(films))


def test_sets_that_share_no_prompt_cannot_be_compared(films: Path, tmp_path: Path) -> None:
    save_film(tmp_path / "other" / "x.npy", 0.3)
    write(tmp_path / "other" / "prompts.csv", ("path", "prompt"), [("x.npy", "something else")])
    sets = [VideoSet(name=f.name, source=str(f), prompts=str(f / "prompts.csv")) for f in (films, tmp_path / "other")]
    told = refused(suite(films, BRIGHT, videos=sets, compare=("films", "other"), defects=()), tmp_path / "out")
    assert "finds no pair" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rewards = []", "rewards: Tuple should have at least 1 item"),
        ('reward = ["technical"]', "did you mean rewards"),
        ('rewards = ["technical", "technical"]', "each reward once: 'technical' is there twice"),
        ('rewards = ["technical"]\ndefects = ["blurr"]', "did you mean blur"),
        ('rewards = ["technical"]\nmost = 1', "most: Input should be greater than or equal to 2"),
        ('rewards = ["technical"]\ncompare = ["a", "b"]', "no set of videos is called 'a': there are none"),
        ('rewards = ["technical"]\ndefects = ["blur", "blur"]', "each defect once: 'blur' is there twice"),
        ('rewards = ["technical"]\n[[videos]]\nname = "a"\nsource = "b"\nrating = "c"', "Extra inputs"),
        ('rewards = ["technical"]\ncompare = ["a", "b"]\n[[videos]]\nname = "a"\nsource = "."', "called 'b'"),
    ],
)
def test_a_bad_suite_file_is_one_sentence(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "suite.toml").write_text(text)
    monkeypatch.setattr("sys.argv", ["rewardkit", "benchmark", "rewards", str(tmp_path / "suite.toml")])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert told in said
    assert said.count("\n") == 1


def test_paths_of_a_suite_start_at_its_folder(films: Path) -> None:
    text = 'rewards = ["technical"]\n[[videos]]\nname = "a"\nsource = "."\nprompts = "prompts.csv"\n'
    (films / "suite.toml").write_text(text)
    found = read_suite(RewardsSuite, films / "suite.toml", {}).videos[0]
    assert (Path(found.source), found.prompts) == (films, str(films / "prompts.csv"))


def test_the_command_writes_rows_tables_figures_and_page(films: Path, tmp_path: Path) -> None:
    text = f'rewards = ["{BRIGHT}"]\ndefects = ["blur"]\nframes = []\ncodecs = []\n'
    text += '[[videos]]\nname = "a"\nsource = "."\nprompts = "prompts.csv"\nratings = "ratings.csv"\n'
    (films / "suite.toml").write_text(text)
    out = tmp_path / "out"
    words = ["benchmark", "rewards", str(films / "suite.toml"), "--out", str(out), "--quiet", "--device", "cpu"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    answer, table = done.stdout.split("\n", 1)
    assert answer.startswith(f"{BRIGHT} agrees best with people")
    assert "defects seen" in table
    assert {path.name for path in (out / "tables").iterdir()} >= {
        "leaderboard.md",
        "leaderboard.csv",
        "leaderboard.tex",
    }
    assert {path.name for path in (out / "figures").iterdir()} >= {"defects.png", "defects.svg", "agreement.png"}
    made = Result.read(out).made
    assert {"command", "commit", "versions", "device", "suite"} <= set(made)
    (out / "report.html").unlink()
    CliRunner().invoke(app, ["report", str(out)], catch_exceptions=False)
    assert "agrees best with people" in (out / "report.html").read_text()
