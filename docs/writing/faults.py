"""The tables of the page on faults, read off benchmarks/results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from writing.tables import as_table, result

NOT_RUN = "Not run.\n"
ENGINES = {
    "local": "local",
    "isolated": "local, videos read in processes of their own",
    "ray": "Ray, started on this machine",
}


def fault_tables() -> dict[str, str]:
    """By mark on the page."""
    faults, load, fuzz = (result(name) for name in ("faults", "load", "fuzz"))
    return {
        "faults injected": _faults(faults["faults"]) if faults else NOT_RUN,
        "faults ranks": _ranks(faults.get("ranks", {})) if faults else NOT_RUN,
        "faults load": _load(load["engines"]) if load else NOT_RUN,
        "faults fuzz": _fuzz(fuzz) if fuzz else NOT_RUN,
    }


def _faults(faults: Mapping[str, Any]) -> str:
    rows = []
    for fault, found in faults.items():
        seconds = "" if found["seconds"] is None else f"{found['seconds'][0]:g}, {found['seconds'][1]:g}"
        right = found["runs"] - found["failed"]
        rows.append((fault, found["runs"], right, found["lost"], found["doubled"], seconds))
    return as_table(("Fault", "Runs", "Right in the end", "Lost", "Doubled", "Seconds"), rows)


def _ranks(ranks: Mapping[str, float]) -> str:
    return as_table(("Processes", "Largest difference"), ((what, f"{most:.1e}") for what, most in ranks.items()))


def _load(engines: Mapping[str, Any]) -> str:
    rows = []
    for name, words in ENGINES.items():
        if name in engines:
            found = engines[name]
            early, late = found["points"][1], found["points"][-1]
            rows.append(
                (
                    words,
                    f"{found['videos']:,}",
                    found["failed"],
                    f"{found['until_first_row_s']:.1f}",
                    f"{found['ms_a_video']:.2f}",
                    f"{found['work_ms_a_video']:.2f}",
                    f"{early['all']:.0f}, {late['all']:.0f}",
                    f"{early['own']:.0f}, {late['own']:.0f}",
                )
            )
    head = ("Engine", "Videos", "Failed", "Seconds to the first row", "ms a video", "of it decoding and reward, ms",
            "MB of all processes", "MB of this one")  # fmt: skip
    return as_table(head, rows)


def _fuzz(fuzz: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            found["by"],
            f"{found['cases']:,}",
            f"{found['outcomes'].get('ok', 0):,}",
            len(found["findings"]),
            "" if found["growth_kib_a_thousand_cases"] is None else f"{found['growth_kib_a_thousand_cases']:g}",
        )
        for name, found in fuzz["targets"].items()
    ]
    total = sum(found["cases"] for found in fuzz["targets"].values())
    rows.append(("together", "", f"{total:,}", "", sum(row[4] for row in rows), ""))
    head = ("Reader", "Cases by", "Cases", "Read all the same", "Findings left", "KiB of memory a thousand cases")
    return as_table(head, rows)
