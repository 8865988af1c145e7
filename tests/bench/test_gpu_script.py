"""The benchmark for CUDA machines, in small on the processor: whether it is whole, and what it does not record."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT, RESULT = ROOT / "benchmarks" / "gpu.py", ROOT / "benchmarks" / "results" / "gpu.json"


def call(*words: str) -> subprocess.CompletedProcess[str]:
    """With no GPU in sight, even where there is one."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, env=environment)


def recorded() -> bytes | None:
    return RESULT.read_bytes() if RESULT.exists() else None


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`gpu_parts.jobs`, which scripts import from beside themselves."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from gpu_parts import jobs

    return jobs


def numbers(value: object) -> list[float]:
    """All that are in a row."""
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers(part)]
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


@pytest.mark.slow
def test_without_a_gpu_it_says_so_and_records_nothing() -> None:
    before = recorded()
    done = call()
    assert done.returncode == 2
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert "needs a CUDA GPU" in sentence
    assert recorded() == before


@pytest.mark.slow
def test_every_part_runs_in_small_and_nothing_is_recorded() -> None:
    before = recorded()
    done = call("--device", "cpu", "--small")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    failed = {name: row["why"] for name, row in rows.items() if row["status"] != "ok"}
    assert list(failed) == ["hpsv2's call, its package"]  # it comes at full size only
    kinds = ("tower", "hpsv2's call", "score_folder", "step, ModelScope", "step, Wan", "step, CogVideoX")
    for kind in kinds:
        assert any(name.startswith(kind) for name in rows)
    for name in rows.keys() - failed.keys():
        assert min(numbers(rows[name])) >= 0, name
    # the restated call does the same work: float32 on both sides, but for the order of sums
    assert rows["hpsv2's call, restated"]["greatest_difference"]["float32"] < 1e-6
    for name, row in rows.items():
        if name.startswith("step"):
            assert row["gradient_is_finite"]
            assert list(row["seconds"]) == ["walk", "gradient step", "decode and reward", "backward"]
            assert list(row["seconds_of_a_pass"]) == ["walk", "gradient step"]
    assert recorded() == before


def test_what_fails_or_is_missing_has_a_reason_and_no_number(parts: Any) -> None:
    def fails() -> dict[str, float]:
        raise RuntimeError("CUDA error: an illegal memory access\nmore about it")

    def missing() -> dict[str, float]:
        raise parts.NotRunError("there is no environment")

    made = {"fails": fails, "missing": missing, "works": lambda: {"seconds": 1.5}}
    kept: list[list[dict[str, object]]] = []
    jobs = [parts.Job("part", name, "what it is", run) for name, run in made.items()]
    rows = parts.run_all(jobs, 9, "cpu", lambda found: kept.append(list(found)))
    failed, absent, worked = rows
    assert failed["status"] == "failed"
    assert failed["why"] == "RuntimeError: CUDA error: an illegal memory access"
    assert (absent["status"], absent["why"]) == ("not run", "there is no environment")
    assert (worked["status"], worked["seconds"]) == ("ok", 1.5)
    assert numbers(failed) == numbers(absent) == []
    assert [row["status"] for row in kept[0]] == ["failed", "not run", "not run"]  # written before the next begins


def test_what_is_not_begun_in_time_is_not_run(parts: Any) -> None:
    begun: list[str] = []
    (row,) = parts.run_all([parts.Job("part", "late", "", lambda: begun.append("late"))], 0, "cpu", lambda rows: None)
    assert (row["status"], row["why"]) == ("not run", "0 minutes were over")
    assert begun == []


def test_the_towers_operations_are_those_of_its_products(parts: Any) -> None:
    from towers import flops_of_picture

    tokens, width, layers, patch, output = 4 * 4 + 1, 80, 3, 14, 48
    products = layers * (tokens * 2 * 12 * width**2 + 4 * tokens**2 * width)
    ends = 2 * (tokens - 1) * 3 * patch**2 * width + 2 * width * output
    assert flops_of_picture(parts.small("cpu").architecture) == products + ends


def test_a_film_that_does_not_fit_is_followed_by_a_shorter_one(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu_parts import steps

    def measured(published: Any, shapes: Any, way: Any, setting: Any) -> dict[str, Any]:
        if shapes[-1].frames > 17:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return {"film": list(shapes[-1])}

    monkeypatch.setattr(steps, "measured", measured)
    found = steps.step(steps.FILMS["wan"], steps.WAYS["auto"], parts.FULL)
    assert found["film"] == [17, 480, 832]
    assert [short["frames"] for short in found["out_of_memory"]] == [81, 41]
