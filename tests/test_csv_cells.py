"""Tables that people open hold no formulas, and manifests that programs read hold every prompt to the letter."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardkit.bench.pages.tables import as_csv
from rewardkit.bench.result import Column, Estimate, Table
from rewardkit.engine.folder import generate_folder
from rewardkit.files import no_formula
from rewardkit.scoring.manifest import read_manifest
from rewardkit.scoring.rows import PartScore, ScoreRow
from rewardkit.scoring.table import ScoreTable
from tests.engine.toy import Toy

SIGNS = (
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "'=1",
    "''-1",
    "'",
    "x\r=1",
    'a"\r\n=1',
]

words = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.builds(
        lambda start, rest: start + rest,
        st.text(f"{SIGNS}', ;\"", min_size=1, max_size=4),
        st.text("ab1()", max_size=4),
    ),
    st.sampled_from(HOSTILE),
)
numbers = st.floats(allow_nan=False, allow_infinity=False)


def original(cell: str) -> str:
    """The text that a cell stands for, by what the documentation says."""
    rest = cell.lstrip("'")
    return cell[1:] if rest != cell and rest.startswith(tuple(SIGNS)) else cell


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@given(words)
def test_no_cell_begins_like_a_formula_and_its_text_can_be_told(text: str) -> None:
    cell = no_formula(text)
    assert not cell.startswith(tuple(SIGNS))
    assert original(cell) == text


@given(words, words)
def test_two_texts_never_share_a_cell(one: str, other: str) -> None:
    assert (no_formula(one) == no_formula(other)) == (one == other)


@pytest.mark.parametrize("text", ["a cat", "a-b", "1", "'tis", "", " =1", "🐈 runs"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert no_formula(text) == text


@given(text=words, score=numbers)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_table_of_scores_holds_no_formula_and_its_numbers_unchanged(tmp_path: Path, text: str, score: float) -> None:
    part = PartScore(score=score, per_frame=[score], frame_index=[3], weights=[-1.0])
    row = ScoreRow(
        key="k", path=text, prompt=text, prompt_source="manifest", reward=text, score=score, status="ok", error=text,
        per_frame=[score, -score], preprocess=text, parts={text: part}, fps=abs(score), num_frames=7,
    )  # fmt: skip
    ScoreTable([row, row.model_copy(update={"score": None, "prompt": None})]).save(tmp_path / "rows.csv")
    head, *lines = read((tmp_path / "rows.csv").read_bytes().decode())
    cells, failed = (dict(zip(head, line, strict=True)) for line in lines)
    numeric = {name for name in head if isinstance(getattr(row, name), int | float)}
    assert {"score", "fps", "num_frames"} <= numeric
    assert not [cell for name, cell in cells.items() if name not in numeric and cell.startswith(tuple(SIGNS))]
    assert {original(cells[name]) for name in ("path", "prompt", "reward", "error", "preprocess")} == {text}
    assert (float(cells["score"]), float(cells["fps"]), cells["num_frames"]) == (score, abs(score), "7")
    assert json.loads(cells["per_frame"]) == [score, -score]
    assert list(json.loads(cells["parts"])) == [text]
    assert (failed["score"], failed["prompt"]) == ("", "")


@given(text=words, value=numbers)
def test_a_table_of_a_benchmark_holds_no_formula_and_its_numbers_unchanged(text: str, value: float) -> None:
    columns = [Column(name=text, unit="text"), Column(name=text)]
    rows = [[text, Estimate(value=value, low=-abs(value))], [None, text]]
    head, first, second = read(as_csv(Table(slug="t", title="t", columns=columns, rows=rows)))
    for cell in (*head, first[0], *second):
        assert not cell.startswith(tuple(SIGNS))
    assert {original(cell) for cell in (*head[:2], first[0], second[1])} == {text}
    assert [original(cell) for cell in head[2:]] == [f"{text} low", f"{text} high", f"{text} count"]
    assert (float(first[1]), float(first[2]), first[3:]) == (value, -abs(value), ["", ""])


def test_a_formula_that_is_written_as_it_is_would_be_noticed() -> None:
    out = io.StringIO()
    csv.writer(out).writerow(HOSTILE[:7])
    assert all(cell.startswith(tuple(SIGNS)) for cell in read(out.getvalue())[0])


# ---- manifests


def test_prompts_of_generated_films_are_read_back_to_the_letter(tmp_path: Path) -> None:
    """They are what rewards are asked about: an apostrophe more would be another prompt, and another score."""
    prompts = [*HOSTILE, "a cat, running", 'the "fox"', "two\nlines", "猫 🐈", " spaces "]
    for _ in range(2):  # the second time finds its films
        manifest = generate_folder(Toy(), prompts, tmp_path, steps=1, suffix=".npy")
    assert [entry.prompt for entry in read_manifest(manifest)] == prompts
    assert len(list(tmp_path.glob("*.npy"))) == len(prompts)
