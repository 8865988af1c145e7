"""Everything that a finished benchmark leaves beside its `result.json`: tables, figures and the page."""

from __future__ import annotations

import re
from pathlib import Path

from rewardkit.bench.pages.benchmark_page import write_page
from rewardkit.bench.pages.figures import save_figure
from rewardkit.bench.pages.tables import as_csv, as_latex, as_markdown
from rewardkit.bench.result import Result, Table
from rewardkit.errors import UsageError
from rewardkit.files import replacing

TABLES, FIGURES, PAGE = "tables", "figures", "report.html"


def write_outputs(result: Result, folder: Path) -> None:
    """Writes `tables/{slug}.md`, `.csv`, `.tex`, `report.html`, and then `figures/{slug}.png`, `.svg` to `folder`.

    The figures come last, so that without matplotlib all else is there.

    Raises:
        UsageError: two blocks share a slug, or one can name no file.
        MissingExtraError: matplotlib is not installed.
        OutputError: something cannot be written.
    """
    _check_slugs([block.slug for block in result.blocks()])
    for block in result.blocks():
        if block.kind == "table":
            _write_table(block, folder / TABLES)
    write_page(result, folder, folder / PAGE)
    for block in result.blocks():
        if block.kind in ("forest", "panels", "heat"):
            save_figure(block, folder / FIGURES)


def _write_table(table: Table, folder: Path) -> None:
    for suffix, write in {"md": as_markdown, "csv": as_csv, "tex": as_latex}.items():
        with replacing(folder / f"{table.slug}.{suffix}") as draft:
            draft.write_text(write(table), encoding="utf-8", newline="")


def _check_slugs(slugs: list[str]) -> None:
    """They become names of files: none may lead elsewhere or overwrite another."""
    for slug in slugs:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", slug):
            raise UsageError(
                f"a block's slug names its files: give lower-case letters, digits and dashes, got {slug!r}"
            )
    twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    if twice:
        raise UsageError(f"blocks need slugs of their own: {', '.join(twice)} came twice")
