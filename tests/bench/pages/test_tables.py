from __future__ import annotations

import csv
import io
import re
from typing import Literal

import pytest

from rewardkit.bench.pages.tables import as_csv, as_latex, as_markdown
from rewardkit.bench.result import Cell, Column, Estimate, Table
from tests.bench.pages.sample import HOSTILE, leaderboard


def table(*cells: Cell, unit: Literal["text", "number", "percent"] = "number", best: str | None = None) -> Table:
    """One column of those cells, beside their numbers."""
    columns = [Column(name="row", unit="text"), Column.model_validate({"name": "value", "unit": unit, "best": best})]
    return Table(slug="t", title="T", columns=columns, rows=[[f"r{n}", cell] for n, cell in enumerate(cells)])


def full_of(text: str) -> Table:
    columns = [Column(name=text, unit="text", note=text), Column(name=text, note=text), Column(name=text, unit="text")]
    rows: list[list[Cell]] = [[text, Estimate(value=1.5), text], [text, text, None]]
    return Table(slug="t", title=text, note=text, columns=columns, rows=rows)


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def values(shown: str) -> list[str]:
    """The second column of a Markdown table."""
    lines = [line for line in shown.splitlines() if line.startswith("| r")]
    return [line.split("|")[2].strip() for line in lines[1:]]


# ---- CSV


def test_csv_reads_back_as_the_same_numbers() -> None:
    made = leaderboard()
    head, *lines = read(as_csv(made))
    found = [dict(zip(head, line, strict=True)) for line in lines]
    for line, row in zip(found, made.rows, strict=True):
        for column, cell in zip(made.columns, row, strict=True):
            if isinstance(cell, Estimate):
                for end, number in {"": cell.value, " low": cell.low, " high": cell.high, " count": cell.count}.items():
                    shown = line[column.name + end]
                    assert (float(shown) if shown else None) == number
            else:
                assert line[column.name] == (cell or "")


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_text_is_never_a_formula(text: str) -> None:
    for row in read(as_csv(full_of(text))):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
        assert f"'{text}" in row


def test_csv_leaves_negative_numbers_as_they_are() -> None:
    row = read(as_csv(table(Estimate(value=-0.25, low=-1.0, high=0.5))))[1]
    assert row == ["r0", "-0.25", "-1.0", "0.5", ""]


@pytest.mark.parametrize("text", HOSTILE)
def test_csv_keeps_every_text_whole(text: str) -> None:
    rows = read(as_csv(full_of(text)))
    assert {len(row) for row in rows} == {6}
    assert [row[0].removeprefix("'") for row in rows] == [text] * 3


# ---- Markdown


@pytest.mark.parametrize(
    ("estimate", "unit", "shown"),
    [
        (Estimate(value=0.531, low=0.502, high=0.56), "number", "0.531 (0.502 to 0.560)"),
        (Estimate(value=-5.31, low=-8.2, high=2.2), "number", "\N{MINUS SIGN}5 (\N{MINUS SIGN}8 to 2)"),
        (Estimate(value=0.27101, low=0.27081, high=0.27121), "number", "0.27101 (0.27081 to 0.27121)"),
        (Estimate(value=0.71, low=0.6, high=0.8), "percent", "71 % (60 to 80)"),
        (Estimate(value=0.71), "percent", "71 %"),
        (Estimate(value=0.5314), "number", "0.531"),
        (Estimate(value=0.5314, low=0.5), "number", "0.531"),
        (Estimate(value=48.0), "number", "48"),
        (None, "number", "\N{EN DASH}"),
        ("failed", "number", "failed"),
    ],
)
def test_numbers_have_the_decimals_that_their_interval_deserves(
    estimate: Cell, unit: Literal["number", "percent"], shown: str
) -> None:
    assert f"| r0 | {shown} |" in as_markdown(table(estimate, unit=unit))


def test_numbers_of_one_size_share_their_decimals_and_those_of_several_do_not() -> None:
    near = [Estimate(value=v, low=v - half, high=v + half) for v, half in [(0.5, 0.04), (0.6, 0.06), (0.7, 0.07)]]
    assert values(as_markdown(table(*near))) == ["0.50 (0.46 to 0.54)", "0.60 (0.54 to 0.66)", "0.70 (0.63 to 0.77)"]
    far = [near[0], Estimate(value=532.0, low=502.0, high=562.0)]
    assert values(as_markdown(table(*far))) == ["0.500 (0.460 to 0.540)", "532 (502 to 562)"]


@pytest.mark.parametrize(("best", "marked"), [("high", "r2"), ("low", "r1"), (None, "")])
def test_the_best_is_bold(best: str | None, marked: str) -> None:
    made = table(Estimate(value=2.0), Estimate(value=-1.0), Estimate(value=3.0), None, "no", best=best)
    bold = [line.split()[1] for line in as_markdown(made).splitlines() if line.startswith("| r") and "**" in line]
    assert bold == ([marked] if marked else [])
    rows = [line for line in as_latex(made).splitlines() if "mathbf" in line]
    assert [row.split()[0] for row in rows] == bold


@pytest.mark.parametrize("cells", [[Estimate(value=2.0)], [Estimate(value=2.0)] * 3, [None, None]])
def test_where_nothing_differs_nothing_is_best(cells: list[Cell]) -> None:
    assert "**" not in as_markdown(table(*cells, best="high")).replace("**T**", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_keeps_its_rows_and_columns_whatever_the_text(text: str) -> None:
    shown = as_markdown(full_of(text))
    lines = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert {len(re.findall(r"(?<!\\)\|", line.replace("\\\\", ""))) for line in lines} == {4}
    assert "<script" not in shown
    assert "$" not in shown


# ---- LaTeX


SPECIAL = "&%$#_{}~^\\<>|"


def cells_of(line: str) -> list[str]:
    assert line.endswith(r" \\")
    return re.split(r"(?<!\\)&", line[:-3])


def without_escapes(latex: str) -> str:
    latex = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}", "", latex)
    return re.sub(r"\\[&%$#_{}]", "", latex).replace("{[}", "").replace("{*}", "").replace("$-$", "")


def unescaped(latex: str) -> set[str]:
    """The characters that LaTeX would read as commands."""
    return set(without_escapes(latex)) & set(SPECIAL)


@pytest.mark.parametrize("text", [*HOSTILE, SPECIAL, "[x]", "*", "a\n\nb"])
def test_latex_has_whole_rows_in_which_no_text_is_a_command(text: str) -> None:
    lines = as_latex(full_of(text)).splitlines()
    rows = [cells_of(line) for line in lines if line.endswith(r"\\")]
    assert [len(row) for row in rows] == [3, 3, 3]
    assert rows[1][1].strip() == "$1.50$"
    for cell in [*rows[0], rows[1][0], rows[1][2], *rows[2]]:
        assert not unescaped(cell)
        assert not cell.strip().startswith(("[", "*"))
    (caption,) = [line for line in lines if line.startswith(r"\caption")]
    inside = re.fullmatch(r"\\caption\{\\textbf\{([^{}]*)\}([^{}]*)\}", without_escapes(caption))
    assert inside
    assert not unescaped("".join(inside.groups()))


def test_a_special_character_that_is_not_escaped_would_be_noticed() -> None:
    assert all(unescaped(f"a {character} b") for character in SPECIAL)


def test_latex_shows_values_with_their_intervals() -> None:
    shown = as_latex(leaderboard())
    assert r"$0.531\,(0.503, 0.559)$" in shown
    assert r"$59\,\%\,(53, 65)$" in shown
    assert r"$\mathbf{77}\,\%\,(71, 83)$" in shown
    assert r"-- \\" in shown
    assert r"\begin{tabular}{llrrrr}" in shown
    order = [shown.index(word) for word in (r"\toprule", "method &", r"\midrule", "base &", r"\bottomrule")]
    assert order == sorted(order)


def test_latex_minus_and_thousands_are_mathematics() -> None:
    assert "$-1{,}234$" in as_latex(table(Estimate(value=-1234.0)))
    assert r"$1.5\cdot 10^{12}$" in as_latex(table(Estimate(value=1.5e12)))


def test_notes_stand_below_with_the_names_of_their_columns() -> None:
    assert "*judge*: held-out reward<br>\n*wins*: against the base model<br>\n*minutes*: of training\n" in as_markdown(
        leaderboard()
    )
    assert "judge: held-out reward. wins: against the base model. minutes: of training.}" in as_latex(leaderboard())


@pytest.mark.parametrize("cells", [[], [None], [None, None]])
def test_a_table_without_numbers_is_still_a_table(cells: list[Cell]) -> None:
    made = table(*cells)
    assert len(read(as_csv(made))) == 1 + len(cells)
    assert as_markdown(made).count("\N{EN DASH}") == len(cells)
    assert as_latex(made).count(r"-- \\") == len(cells)
