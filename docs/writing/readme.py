"""The tables of the README, and those of benchmarks on any page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from writing.rewards import learned_table
from writing.speed import readme_speed
from writing.tables import RESULTS, ROOT, as_table, plain, result, with_tables

from rewardkit.bench.pages.tables import as_markdown
from rewardkit.bench.result import Cell, Column, Forest, Result, Table
from rewardkit.registry import REWARDS
from rewardkit.rewards.catalog import list_rewards, published_files, reward_info
from rewardkit.rewards.release import Release

README = ROOT / "README.md"


def readme() -> str:
    """The README with its tables written anew."""
    tables = {
        "rewards": _readme_rewards(),
        "learned": learned_table(filter(published_files, list_rewards())),
        "truth": _readme_truth(),
        "speed": readme_speed(),
        **benchmark_tables(README),
    }
    return with_tables(README, tables)


def benchmark_tables(page: Path) -> dict[str, str]:
    """Those that a page has a place for, between marks that name the result and the block."""
    named = re.findall(r"^<!-- (\w+) ([\w.-]+): written by", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {f"{name} {slug}": _benchmark_table(name, slug) for name, slug in named}


def _benchmark_table(name: str, slug: str) -> str:
    path = RESULTS / f"side_by_side_{name}.json"
    if not path.is_file():
        return "Not run.\n"
    found = Result.model_validate_json(path.read_bytes())
    if slug == "headline":
        return "".join(f"> {line}\n>\n" for line in [*found.headline, *found.warnings])
    block = next(block for block in found.blocks() if block.slug == slug)
    if isinstance(block, Forest):
        rows: list[list[Cell]] = [[row.group, row.label, row.estimate] for row in block.rows]
        unit: Literal["number", "percent"] = "percent" if block.percent else "number"
        columns = [
            Column(name="", unit="text"),
            Column(name="against", unit="text"),
            Column(name="difference", unit=unit),
        ]
        block = Table(slug=slug, title=block.title, note=block.note, columns=columns, rows=rows)
    assert isinstance(block, Table)
    return as_markdown(block)


def _readme_rewards() -> str:
    cards = [reward_info(name) for name in list_rewards() if not isinstance(REWARDS.load(name), Release)]
    cells = [
        (f"`{c.name}`", plain(c.summary), c.kind, c.range_in_words, "yes" if c.differentiable else "no") for c in cards
    ]
    return as_table(("Reward", "Measures", "Judges", "Range", "Gradient"), cells)


def _readme_truth() -> str:
    steps = result("technical_truth")["right_steps"]
    defects = list(steps["held out"]["technical"])[:5]
    shares = [(group, *(f"{steps[group]['technical'][d]:.0%}" for d in defects)) for group in ("fitted", "held out")]
    return as_table(("Clips", *defects), shares)
