"""Scoring on Ray: the same rows as in this process, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import rewardkit as rk
from rewardkit.scoring import ray_engine
from rewardkit.scoring.folder import score_folder
from rewardkit.scoring.rows import ScoreRow
from rewardkit.scoring.table import ScoreTable
from tests.faults import Record, count
from tests.scoring.films import save_films
from tests.scoring.test_folder import TIMES

pytest.importorskip("ray")
ROOT = Path(__file__).parent.parent.parent
SLOW = "tests.scoring.slow_judge:Slow[frames=segments:3]+0*flicker"
COUNT = 120

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::Warning")]  # those of Ray itself


def by_path(rows: Any) -> dict[str, dict[str, object]]:
    """Rows without what differs between two equal runs; each video has one."""
    listed = list(rows)
    found = {row.path: row.model_dump(exclude=TIMES) for row in listed}
    assert len(found) == len(listed)
    return found


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray") / "films"
    save_films(folder, COUNT, frames=9)
    (folder / "7.npy").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def expected(films: Path) -> dict[str, dict[str, object]]:
    return by_path(score_folder(films, SLOW))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "VIDEOS_A_TASK", 4)


def processes_called(name: str) -> list[int]:
    """Processes of Ray by the name that they give themselves."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(b"ray::") and name.encode() in words:
            found.append(int(folder.name))
    return found


class Strike:
    """Called with each row: strikes once `at` videos are done, and notes the longest wait for a row after that."""

    def __init__(self, strike: Callable[[], object], at: int = 12) -> None:
        self._strike, self._at = strike, at
        self.struck: float | None = None
        self.last_gap = 0.0
        self._before = time.monotonic()

    def __call__(self, row: ScoreRow | None, done: int, total: int) -> None:
        now = time.monotonic()
        if self.struck is not None:
            self.last_gap = max(self.last_gap, now - max(self._before, self.struck))
        elif done >= self._at:
            assert self._strike() is not False
            self.struck = time.monotonic()
        self._before = time.monotonic()

    def as_soon_as_possible(self) -> None:
        """Strikes until it hits: for processes that soon have another name."""
        while self._strike() is False:
            time.sleep(0.005)
        self.struck = time.monotonic()


def kill_called(name: str) -> bool:
    """Kills the processes of Ray that are called so; whether there were any."""
    pids = processes_called(name)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_are_those_of_this_process_for_any_number_of_workers(
    films: Path, expected: dict[str, dict[str, object]], workers: int
) -> None:
    assert by_path(score_folder(films, SLOW, engine="ray", num_workers=workers)) == expected


def test_a_learned_reward_is_sent_to_actors(films: Path) -> None:
    """Apart by rounding at most: what is in a batch is not the same in both."""
    reward, prompt = "miniworld[frames=segments:4]+technical[frames=first]", "a red circle moving left"
    here = {r.path: r for r in score_folder(films, reward, prompt=prompt)}
    there = {r.path: r for r in score_folder(films, reward, prompt=prompt, engine="ray")}
    assert here.keys() == there.keys()
    for path, row in here.items():
        assert there[path].status == row.status
        assert there[path].frame_index == row.frame_index
        if row.score is not None:
            assert there[path].score == pytest.approx(row.score, abs=1e-6)


def test_a_run_begun_by_one_engine_is_finished_by_the_other(
    films: Path, expected: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    out = tmp_path / "rows"
    out.mkdir()
    made: list[int] = []
    for limit, engine in ((30, "local"), (80, "ray"), (COUNT, "local")):
        score_folder(
            films, SLOW, out=out, limit=limit, engine=engine,  # type: ignore[arg-type]
            progress=lambda row, done, total: made.append(1) if row is not None else None,
        )  # fmt: skip
    assert len(made) == COUNT
    assert by_path(ScoreTable.read(out)) == expected


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", ["Scorer", "MapBatches(_decode_chunk)"])
def test_a_killed_worker_changes_no_row(
    films: Path, expected: dict[str, dict[str, object]], tmp_path: Path, name: str, record_property: Record
) -> None:
    of_a_task = name != "Scorer"  # tasks may all be done once there are rows
    strike = Strike(lambda: kill_called(name), at=COUNT + 1 if of_a_task else 12)
    hunt = Thread(target=strike.as_soon_as_possible, daemon=True)
    if of_a_task:
        hunt.start()
    out = tmp_path / "rows.jsonl"
    score_folder(films, SLOW, out=out, engine="ray", progress=strike)
    assert strike.struck
    what = "Ray: SIGKILL of the actor" if name == "Scorer" else "Ray: SIGKILL of the tasks that decode"
    count(record_property, what, expected, (row.path for row in ScoreTable.read(out)), strike.last_gap)
    assert by_path(ScoreTable.read(out)) == expected


def test_a_killed_driver_goes_on(
    films: Path, expected: dict[str, dict[str, object]], tmp_path: Path, record_property: Record
) -> None:
    out = tmp_path / "rows.jsonl"
    script = (
        "import sys; from rewardkit.scoring import ray_engine; from rewardkit.scoring.folder import score_folder\n"
        "ray_engine.VIDEOS_A_TASK = 4\n"
        f"score_folder(sys.argv[1], {SLOW!r}, out=sys.argv[2], engine='ray')\n"
    )
    words = [sys.executable, "-c", script, str(films), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as driver:
        while not out.exists() or out.read_bytes().count(b"\n") < 12:
            assert driver.poll() is None
            time.sleep(0.01)
        driver.kill()
    before = out.read_bytes().count(b"\n")
    assert 12 <= before < COUNT
    start, seconds = time.monotonic(), 0.0
    with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as driver:
        while driver.poll() is None:
            if not seconds and out.read_bytes().count(b"\n") > before:
                seconds = time.monotonic() - start
            time.sleep(0.01)
    assert driver.returncode == 0
    count(record_property, "Ray: SIGKILL of the driver", expected, (r.path for r in ScoreTable.read(out)), seconds)
    assert by_path(ScoreTable.read(out)) == expected


@pytest.fixture
def cluster() -> Iterator[Any]:
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.usefixtures("small_chunks")
def test_a_machine_that_dies_takes_no_row_along(
    films: Path,
    expected: dict[str, dict[str, object]],
    tmp_path: Path,
    cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    second = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    out = tmp_path / "rows.jsonl"
    strike = Strike(lambda: cluster.remove_node(second, allow_graceful=False), at=20)
    score_folder(films, SLOW, out=out, engine="ray", ray_address=cluster.address, progress=strike)
    assert strike.struck
    what = "Ray: one of two nodes killed"
    count(record_property, what, expected, (row.path for row in ScoreTable.read(out)), strike.last_gap)
    assert by_path(ScoreTable.read(out)) == expected


def test_what_ray_cannot_do_is_said_in_a_sentence(films: Path) -> None:
    with pytest.raises(rk.UsageError, match=r"no cluster of Ray at 127\.0\.0\.1:1"):
        score_folder(films, "exposure", engine="ray", ray_address="127.0.0.1:1")
    with pytest.raises(rk.UsageError, match="takes the devices auto, cpu and cuda: got 'mps'"):
        score_folder(films, "exposure", engine="ray", device="mps")
