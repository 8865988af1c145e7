"""The report: one HTML file that holds everything it shows and asks the network for nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rewardkit.bench.pages.curve import HEIGHT, WIDTH
from rewardkit.bench.pages.html import check_page, render
from rewardkit.bench.pages.page import build_page, pictured_frames
from rewardkit.bench.pages.thumbnails import read_strip
from rewardkit.errors import NothingToDoError, UsageError
from rewardkit.files import replacing
from rewardkit.scoring.pairing import has_score
from rewardkit.scoring.rows import ScoreHeader, ScoreRow

_DECODERS = 2


def write_report(rows: Iterable[ScoreRow], header: ScoreHeader | None, out: Path, *, thumbnails: int = 200) -> None:
    """Write a page with statistics, a sortable table, pictures of the scored frames and per-frame curves.

    The pictures are read again from the videos, about 40 kB for 8 frames. With more than `thumbnails` videos
    only the worst and the best half of that number have them, and the others say so; 0 reads no video at all.
    A video that can no longer be read says so in its row. Relative paths start from the header's `cwd`.

    Raises:
        NothingToDoError: no rows.
        UsageError: rows of several rewards, or a negative number of thumbnails.
        OutputError: `out` cannot be written.
    """
    rows = list(rows)
    rewards = sorted({row.reward for row in rows})
    if not rows:
        raise NothingToDoError("a report needs at least one row: got none")
    if len(rewards) > 1:
        raise UsageError(f"a report shows one reward: the rows were scored with {' and '.join(map(repr, rewards))}")
    check_page(out)
    if thumbnails < 0:
        raise UsageError(f"a report cannot have {thumbnails} thumbnails: give 0 or more")
    pictured = _choose(rows, thumbnails)
    folder = Path(header.cwd) if header else Path()
    with ThreadPoolExecutor(_DECODERS) as pool:
        strips = pool.map(lambda order: read_strip(folder / rows[order].path, pictured_frames(rows[order])), pictured)
        page = build_page(rewards[0], rows, dict(zip(pictured, strips, strict=True)))
    html = render(
        "report.html.j2",
        ["base.css", "report.css"],
        ["report.js", "theme.js"],
        page=page,
        header=header,
        configuration=_as_json(header.configuration) if header else "",
        pictured=len(pictured),
        width=WIDTH,
        height=HEIGHT,
    )
    with replacing(out) as draft:
        draft.write_bytes(html)


def _choose(rows: Sequence[ScoreRow], most: int) -> list[int]:
    """Which rows have pictures: all with a score, or the worst and the best of them."""
    scored = [order for order, row in enumerate(rows) if has_score(row) and row.frame_index]
    if len(scored) <= most:
        return scored
    scored.sort(key=lambda order: rows[order].score or 0.0)
    return scored[: math.ceil(most / 2)] + scored[len(scored) - most // 2 :]


def _as_json(configuration: dict[str, object]) -> str:
    return json.dumps(configuration, indent=2, ensure_ascii=False, default=str)
