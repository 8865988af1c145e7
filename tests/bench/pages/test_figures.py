from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from rewardkit.bench.pages import figures
from rewardkit.bench.pages.figures import save_figure
from rewardkit.bench.result import Estimate, Forest, ForestRow, Heat, Line, Panel, Panels
from rewardkit.errors import MissingExtraError, OutputError
from tests.bench.pages.sample import HOSTILE, REWARDS, forest, heat, panels

SVG = "{http://www.w3.org/2000/svg}"
IMPORTS = (ast.Import, ast.ImportFrom)


def drawn(block: Forest | Panels | Heat, folder: Path) -> ElementTree.Element:
    save_figure(block, folder)
    return ElementTree.parse(folder / f"{block.slug}.svg").getroot()


def words(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]


def blocks_with(texts: list[str]) -> list[Forest | Panels | Heat]:
    """Each text is a group, a label, a name of a line and a name of a heat; the first is everything else, too."""
    one, bare, first = Estimate(value=0.5, low=0.4, high=0.6), Estimate(value=0.5), texts[0]
    rows = [ForestRow(label=text, group=text, estimate=one) for text in texts]
    lines = [Line(name=text, x=[0, 1], y=[one, bare]) for text in [*texts, "_other"]]
    panel = Panel(title=first, note=first, x=first, x_names=[first, first], lines=lines)
    return [
        Forest(slug="f", title=first, unit=first, rows=rows),
        Panels(slug="p", title=first, y=first, panels=[panel]),
        Heat(slug="h", title=first, names=texts, values=[[0.5] * len(texts)] * len(texts)),
    ]


@pytest.mark.parametrize("block", [forest(), panels(), heat()], ids=["forest", "panels", "heat"])
def test_the_same_numbers_give_the_same_bytes_whatever_the_users_settings(
    block: Forest | Panels | Heat, tmp_path: Path
) -> None:
    drawn(block, tmp_path / "a")
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 20, "svg.fonttype": "path", "axes.grid": True}):
        drawn(block, tmp_path / "b")
    assert dict(mpl.rcParams) == before
    for suffix in ("png", "svg"):
        first, second = ((tmp_path / name / f"{block.slug}.{suffix}").read_bytes() for name in "ab")
        assert first == second
    with Image.open(tmp_path / "a" / f"{block.slug}.png") as picture:
        assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.1)  # PNG counts whole dots a metre


def test_text_is_shown_as_it_is(tmp_path: Path) -> None:
    for block in blocks_with(HOSTILE):
        shown = words(drawn(block, tmp_path))
        for text in HOSTILE:
            expected = " ".join("".join(c if c.isprintable() else " " for c in text).split())
            assert shown.count(expected) >= (1 if block.kind == "panels" else 2)
        assert block.kind != "panels" or "_other" in shown


def test_long_text_is_cut_and_leaves_room_for_the_chart(tmp_path: Path) -> None:
    for block in blocks_with(["word " * 200]):
        shown = words(drawn(block, tmp_path))  # a warning, which is an error here, would say that there is no room
        assert max(map(len, shown)) <= 90
        assert "…" in "".join(shown)


def test_a_forest_places_values_and_ends_of_intervals_by_their_numbers(tmp_path: Path) -> None:
    block = forest()
    root = drawn(block, tmp_path)
    dots = [(float(use.get("x", "")), float(use.get("y", ""))) for use in root.iter(f"{SVG}use") if in_blue(use)]
    numbers = [row.estimate.value for row in block.rows]
    slope, start = np.polyfit(numbers, [x for x, _ in dots], 1)
    assert slope > 0
    assert [x for x, _ in dots] == pytest.approx([slope * number + start for number in numbers], abs=0.01)
    assert [y for _, y in dots] == sorted(y for _, y in dots)
    paths = [path.get("d", "") for path in root.iter(f"{SVG}path") if in_blue(path)]
    whiskers = [
        list(map(float, re.findall(r"-?[\d.]+", d))) for d in paths if re.fullmatch(r"M \S+ \S+\s+L \S+ \S+\s*", d)
    ]
    wide = [row.estimate for row in block.rows if row.estimate.low is not None]
    assert [x for x, *_ in whiskers] == pytest.approx([slope * (e.low or 0) + start for e in wide], abs=0.05)
    assert [x for _, _, x, _ in whiskers] == pytest.approx([slope * (e.high or 0) + start for e in wide], abs=0.05)


def in_blue(shape: ElementTree.Element) -> bool:
    return "stroke: #0072b2" in shape.get("style", "")


def test_a_heat_shows_every_number_and_a_dash_for_none(tmp_path: Path) -> None:
    block = heat()
    shown = words(drawn(block, tmp_path))
    for row in block.values:
        for value in row:
            assert ("\N{EN DASH}" if value is None else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")) in shown
    assert shown.count("\N{EN DASH}") == 2
    assert all(shown.count(name) == 2 for name in REWARDS)


def test_nothing_to_draw_is_an_empty_figure(tmp_path: Path) -> None:
    nothing: list[Forest | Panels | Heat] = [
        Forest(slug="f", title="t", rows=[]),
        Panels(slug="p", title="t", panels=[]),
        Panels(slug="q", title="t", panels=[Panel(title="t", lines=[Line(name="a", x=[], y=[])])]),
        Heat(slug="h", title="t", names=[], values=[]),
        Heat(slug="i", title="t", names=["a"], values=[[None]]),
    ]
    for block in nothing:
        assert "t" in words(drawn(block, tmp_path))


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(MissingExtraError, match=r"drawing figures needs matplotlib: pip install 'rewardkit\[report\]'"):
        save_figure(forest(), tmp_path)


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_figure(forest(), tmp_path / "file")


def test_matplotlib_is_loaded_only_to_draw() -> None:
    loaded = [node for node in ast.parse(Path(figures.__file__).read_text()).body if isinstance(node, IMPORTS)]
    assert loaded
    assert "matplotlib" not in " ".join(map(ast.unparse, loaded))
