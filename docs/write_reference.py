"""Writes what is read off code and results: reference pages, the tables of other pages, and rewardkit's own numbers.

    python docs/write_reference.py

A test compares them with what this gives, so none can drift.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from writing.backbones import backbone_page, backbones_index, by_backbone
from writing.command_line import cli_page
from writing.exploited import mp4_tables, pulled_tables
from writing.faults import fault_tables
from writing.readme import README, benchmark_tables, readme
from writing.rewards import measurements, our_rewards, reward_page, rewards_index, sources_table
from writing.speed import growth_tables, speed_tables
from writing.tables import DOCS, ROOT, with_tables
from writing.tree import tree_page

REFERENCE, WHY = DOCS / "reference", DOCS / "explanation"
NAV = ROOT / "mkdocs.yml"


def page_with(page: Path, tables: Callable[[], Mapping[str, str]]) -> str:
    """A page with its tables written anew."""
    return with_tables(page, tables())


def navigation() -> str:
    """mkdocs.yml with a line for each page of a reward and a backbone."""
    text = NAV.read_text(encoding="utf-8")
    for kind, names in (("rewards", our_rewards()), ("backbones", list(by_backbone()))):
        begin = f"          # {kind}: written by `python docs/write_reference.py`\n"
        end = f"          # end of {kind}\n"
        before, _, rest = text.partition(begin)
        lines = "".join(f"          - {name}: reference/{kind}/{name}.md\n" for name in names)
        text = f"{before}{begin}{lines}{end}{rest.partition(end)[2]}"
    return text


def pages(kind: str, names: Sequence[str], page: Callable[[str], str]) -> Iterator[tuple[Path, Callable[[], str]]]:
    """One for each name, in a folder of that kind."""
    return ((REFERENCE / kind / f"{name}.md", partial(page, name)) for name in names)


PAGES: dict[Path, Callable[[], str]] = {
    REFERENCE / "cli.md": cli_page,
    REFERENCE / "rewards" / "index.md": rewards_index,
    **dict(pages("rewards", our_rewards(), reward_page)),
    REFERENCE / "backbones" / "index.md": backbones_index,
    **dict(pages("backbones", list(by_backbone()), backbone_page)),
    REFERENCE / "files.md": tree_page,
    README: readme,
    **{
        page: partial(page_with, page, tables)
        for page, tables in (
            (WHY / "ablations.md", partial(benchmark_tables, WHY / "ablations.md")),
            (WHY / "side-by-side.md", partial(benchmark_tables, WHY / "side-by-side.md")),
            (WHY / "faults.md", fault_tables),
            (WHY / "growth.md", growth_tables),
            (WHY / "mp4-against-tensor.md", mp4_tables),
            (WHY / "reward-hacking.md", pulled_tables),
            (WHY / "speed.md", speed_tables),
            (DOCS / "sources.md", lambda: {"sources": sources_table()}),
        )
    },
    NAV: navigation,
    ROOT / "rewardkit" / "rewards" / "measured.json": lambda: json.dumps(measurements(), indent=1) + "\n",
}

if __name__ == "__main__":
    for file, page in PAGES.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(page(), encoding="utf-8")
