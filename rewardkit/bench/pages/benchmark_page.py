"""The page of a benchmark: what it found, in one file that people can show each other."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardkit.bench.pages.cells import shown_rows
from rewardkit.bench.pages.curve import HEIGHT, WIDTH
from rewardkit.bench.pages.estimates import Words
from rewardkit.bench.pages.film_rows import film_rows
from rewardkit.bench.pages.forest_chart import forest_chart
from rewardkit.bench.pages.html import check_page, render
from rewardkit.bench.pages.numerals import MISSING, fixed
from rewardkit.bench.pages.panel_chart import line_names, panel_charts
from rewardkit.bench.result import Block, Heat, Result
from rewardkit.files import replacing


@dataclass(frozen=True)
class HeatCell:
    """A number in words, and its tenths as the name of its colour: `h-10` to `h10`, or `none`."""

    words: str
    colour: str


def write_page(result: Result, folder: Path, out: Path) -> None:
    """Writes the page of what a benchmark found.

    Args:
        result: what it found.
        folder: where the paths of its films start.
        out: the page, `.html`.

    Raises:
        UsageError: `out` is no page.
        OutputError: `out` cannot be written.
    """
    check_page(out)
    html = render(
        "benchmark.html.j2",
        ["base.css", "benchmark.css"],
        ["theme.js"],
        result=result,
        sections=[
            (section, [(block, _view(block, folder)) for block in section.blocks]) for section in result.sections
        ],
        made={name: _as_text(value) for name, value in result.made.items()},
        is_number=lambda cell: isinstance(cell.words, Words),
        line_names=line_names,
        width=WIDTH,
        height=HEIGHT,
    )
    with replacing(out) as draft:
        draft.write_bytes(html)


def _view(block: Block, folder: Path) -> Any:
    """What the template needs to draw that kind of block."""
    match block.kind:
        case "table":
            return shown_rows(block)
        case "forest":
            return forest_chart(block)
        case "panels":
            return panel_charts(block)
        case "heat":
            return _heat_cells(block)
        case "films":
            return film_rows(block, folder)


def _heat_cells(heat: Heat) -> list[list[HeatCell]]:
    return [[_heat_cell(value) for value in row] for row in heat.values]


def _heat_cell(value: float | None) -> HeatCell:
    if value is None or not math.isfinite(value):
        return HeatCell(MISSING, "none")
    return HeatCell(fixed(value, 2), f"h{round(10 * min(max(value, -1.0), 1.0))}")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False, default=str)
