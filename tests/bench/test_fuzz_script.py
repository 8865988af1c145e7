"""The fuzzing script: a reader that dies or falls silent costs one case, and the case is kept."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
READER = """
import json, os, pathlib, signal, sys, time
work = pathlib.Path(sys.argv[1])
print(json.dumps({"ready": True}), flush=True)
for number in range(int(sys.argv[2]), 8):
    (work / "current").write_bytes(b"csv\\n" + bytes([number]))
    if number == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 4:
        time.sleep(60)
    facts = {"case": number, "outcome": "ok", "resident": number << 20}
    if number in (5, 6):
        (work / f"found-{number}.csv").write_bytes(b"broken")
        facts |= {"outcome": "broken", "file": f"found-{number}.csv", "broken": f"raises KeyError: 'x{number}'"}
    print(json.dumps(facts), flush=True)
"""


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of a reader of eight cases, which dies over the third and sleeps over the fifth."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from fuzz_parts.watch import Watch

    watch = Watch([sys.executable, "-S", "-c", READER, str(tmp_path)], tmp_path, cases=8, patience=2.0)
    watch.run()
    return watch


@pytest.mark.slow
def test_a_death_and_a_silence_cost_one_case_each(watch: Any, tmp_path: Path) -> None:
    found = watch.summary()
    assert found["cases"] == 8
    assert found["outcomes"] == {"ok": 4, "broken": 4}
    assert [(finding["what"], finding["case"], finding["times"]) for finding in found["findings"]] == [
        ("ends the process by SIGSEGV", 2, 1),
        ("is silent for too long", 4, 1),
        ("raises KeyError: 'x5'", 5, 2),
    ]
    assert (tmp_path / "found-2.csv").read_bytes() == b"\x02"
    assert (tmp_path / "found-4.csv").read_bytes() == b"\x04"
    assert [path.name for path in sorted(tmp_path.glob("found-*"))] == ["found-2.csv", "found-4.csv", "found-5.csv"]


def test_a_reader_that_does_not_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from fuzz_parts.watch import Watch

    with pytest.raises(SystemExit, match="does not start"):
        Watch([sys.executable, "-c", "raise ValueError"], tmp_path, cases=8, patience=2.0).run()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest", "video"])
def test_cases_are_read_and_counted(tmp_path: Path, name: str) -> None:
    reader = ROOT / "benchmarks" / "fuzz_parts" / "reader.py"
    words = [sys.executable, str(reader), name, str(tmp_path), "30", "0", "5", "10"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    ready, *answers = map(json.loads, done.stdout.splitlines())
    assert ready == {"ready": True}
    assert [answer["case"] for answer in answers] == list(range(10, 30))
    assert not [answer for answer in answers if "broken" in answer]
