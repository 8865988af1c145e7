"""Faults are real: folders that cannot be written, full disks, broken packages, small limits, each in a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rewardkit.doctor import codecs, software, system
from rewardkit.doctor.checks import CHECKS, make
from rewardkit.doctor.compute import usable_processors
from rewardkit.doctor.finding import Finding
from tests.test_start_up import BASE, EXTRA, OPEN_CLIP, loaded

ROOT = Path(__file__).parent.parent
ONE = "import json, sys\nfrom dataclasses import asdict\nfrom rewardkit.doctor.checks import make\n"
ONE += "print(json.dumps(asdict(make(sys.argv[1]))))"
ALL = "import json\nfrom dataclasses import asdict\nfrom rewardkit.doctor.examination import examine\n"
ALL += "print(json.dumps([asdict(finding) for finding in examine({patience})]))"
MOUNT = "mount -t tmpfs -o size=64k none"


def shell(first: str, *words: str, mounts: bool = False, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs `words` after a line of shell, in a shell that may mount what no other process sees."""
    namespace = ["unshare", "--mount", "--map-root-user"] if mounts else []
    if (
        mounts
        and subprocess.run([*namespace, "sh", "-c", f"{MOUNT} /mnt"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs to mount a file system in a namespace of its own, which is not allowed here")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {name: str(value) for name, value in variables.items()}
    command = [*namespace, "bash", "-c", f'{first or "true"} && exec "$@"', "bash", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def found(name: str, first: str = "", mounts: bool = False, **variables: str | Path) -> Finding:
    """What the check of that name finds in a fresh process."""
    run = shell(first, sys.executable, "-c", ONE, name, mounts=mounts, **variables)
    assert run.returncode == 0, run.stderr
    return Finding(**json.loads(run.stdout))


def installed(folder: Path, name: str, version: str, *lines: str) -> Path:
    """A folder in which a package is installed as far as its metadata tells; found first on PYTHONPATH."""
    facts = folder / f"{name}-{version}.dist-info"
    facts.mkdir(parents=True)
    head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
    (facts / "METADATA").write_text("\n".join((*head, *lines)) + "\n")
    return folder


def torchvision(folder: Path, body: str) -> Path:
    """A folder with a torchvision of which only this is left."""
    (folder / "torchvision").mkdir(parents=True)
    (folder / "torchvision" / "__init__.py").write_text(body)
    (folder / "torchvision" / "ops.py").write_text(
        "def nms(*boxes):\n    raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    return folder


# ---- packages


def test_it_loads_nothing_heavy_before_a_check_is_made() -> None:
    assert not loaded("import rewardkit.doctor.examination") & (BASE | OPEN_CLIP | EXTRA)


def test_every_extra_says_what_it_is_for() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) - {"dev", "docs", "fuzz"} == set(software.EXTRAS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "RuntimeError: operator torchvision::nms does not exist"),
        ("raise ImportError('libc10_cuda.so: cannot open')", "ImportError: libc10_cuda.so: cannot open"),
        ("import torchvision._C", "ModuleNotFoundError: No module named 'torchvision._C'"),
    ],
)
def test_a_broken_torchvision_is_bad(body: str, said: str, tmp_path: Path) -> None:
    finding = found("torch, torchvision", PYTHONPATH=torchvision(tmp_path, body))
    assert (finding.state, finding.found) == ("bad", said)
    assert finding.mend == "pip install --upgrade --force-reinstall torch torchvision"


@pytest.mark.slow
def test_a_torchvision_for_another_torch_is_bad(tmp_path: Path) -> None:
    finding = found(
        "torch, torchvision", PYTHONPATH=installed(tmp_path, "torchvision", "0.1", "Requires-Dist: torch==1.0")
    )
    assert finding.state == "bad"
    assert "this torchvision is made for torch ==1.0" in finding.found


@pytest.mark.slow
def test_the_torchvision_here_fits() -> None:
    assert found("torch, torchvision").state == "ok"


def test_packages_that_are_too_old_or_missing_are_bad(tmp_path: Path) -> None:
    needs = ("Requires-Dist: rich>=13", "Requires-Dist: no-such-thing>=2", "Requires-Dist: typer")
    installed(tmp_path, "rewardkit", "9", *needs, "Requires-Dist: unused; extra == 'more'")
    finding = found("packages", PYTHONPATH=installed(tmp_path, "rich", "1.0"))
    assert finding.state == "bad"
    assert finding.found == "rich 1.0, needs >=13; no-such-thing is missing, needs >=2"
    assert finding.mend == "pip install 'rich>=13' 'no-such-thing>=2'"


def test_the_packages_here_are_enough() -> None:
    assert make("packages").state == "ok"


@pytest.mark.parametrize(
    ("lines", "state", "said"),
    [
        (
            ["Provides-Extra: parquet", "Requires-Dist: no-such>=1; extra == 'parquet'"],
            "ok",
            "not installed; for rows as",
        ),
        (["Provides-Extra: parquet", "Requires-Dist: rich>=999; extra == 'parquet'"], "warn", "needs >=999"),
        (
            ["Provides-Extra: parquet", "Requires-Dist: rich; extra == 'parquet'"],
            "ok",
            "installed; for rows as Parquet",
        ),
        (["Provides-Extra: other"], "warn", "this installation is older than its code"),
    ],
)
def test_an_extra_is_there_or_too_old_or_not_there(lines: list[str], state: str, said: str, tmp_path: Path) -> None:
    finding = found("extra parquet", PYTHONPATH=installed(tmp_path, "rewardkit", "9", *lines))
    assert finding.state == state
    assert said in finding.found


def test_a_python_that_is_too_old_is_bad(tmp_path: Path) -> None:
    finding = found("python", PYTHONPATH=installed(tmp_path, "rewardkit", "9", "Requires-Python: >=99"))
    assert (finding.state, finding.mend) == ("bad", "make an environment of Python >=99")


def test_two_packages_that_offer_one_reward_are_bad(tmp_path: Path) -> None:
    folder = installed(tmp_path, "other", "1")
    (folder / "other-1.dist-info" / "entry_points.txt").write_text("[rewardkit.rewards]\nsharpness = other:Sharpness\n")
    finding = found("rewardkit", PYTHONPATH=folder)
    assert finding.state == "bad"
    assert "two packages offer a reward called 'sharpness'" in finding.found


# ---- device and processors


@pytest.mark.slow
def test_a_driver_that_is_too_old_is_named(tmp_path: Path) -> None:
    """A libcuda that speaks of CUDA 11.4, as an old driver's does."""
    import torch

    compiler = shutil.which("cc")
    if compiler is None or torch.version.cuda is None or torch.cuda.is_available():
        pytest.skip("needs a C compiler, and a torch for CUDA where there is no GPU")
    code = "int cuInit(unsigned f){return 0;} int cuDriverGetVersion(int *v){*v = 11040; return 0;}"
    code += "int cuGetProcAddress(const char *s, void **p, int v, unsigned long f){*p = 0; return 500;}"
    (tmp_path / "cuda.c").write_text(code)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "libcuda.so.1", tmp_path / "cuda.c"], check=True)
    finding = found("device", LD_LIBRARY_PATH=tmp_path)
    assert finding.state == "warn"
    assert "NVIDIA driver on your system is too old (found version 11040)" in finding.found
    assert "newer driver" in finding.mend


@pytest.mark.slow
def test_the_processor_multiplies() -> None:
    finding = found("device", CUDA_VISIBLE_DEVICES="")
    assert finding.state in ("ok", "warn")  # the latter where a GPU is hidden
    assert finding.found.startswith("cpu, ")


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({}, 2),
    ],
)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_a_container_may_use_its_share_of_the_processors(
    files: dict[str, str], processors: int, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert min(2, usable_processors(tmp_path)) == processors


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_threads_that_do_not_fit_the_processors_are_told() -> None:
    one = min(os.sched_getaffinity(0))
    many = found("threads", f"taskset --pid --cpu-list {one} $$ >/dev/null", OMP_NUM_THREADS="7")
    assert (many.state, many.mend) == ("warn", "export OMP_NUM_THREADS=1")
    few = found("threads", OMP_NUM_THREADS="1")
    assert (few.state, few.mend) == ("warn", "unset OMP_NUM_THREADS")


# ---- codecs


@pytest.mark.parametrize("name", codecs.CODECS)
def test_a_film_is_written_and_read_in_every_codec(name: str) -> None:
    finding = make(f"codec {name}")
    assert finding.state == "ok", finding
    assert finding.found == "written and read"


def test_a_codec_that_ffmpeg_lacks_is_told_and_one_that_it_only_reads_is_fine() -> None:
    assert codecs.codec("nonsense").state == "warn"
    assert codecs.codec("vc1").found == "has a decoder; not tried, as this FFmpeg cannot write it"


@pytest.mark.parametrize("levels", [[40, 90, 140], [40, 90, 140, 190, 190], [40, 40, 90, 140], [0, 0, 0, 0], []])
def test_frames_that_are_not_those_written_are_noticed(levels: list[int]) -> None:
    assert not codecs.as_written(levels)
    assert codecs.as_written([38, 95, 139, 190])


def test_a_broken_ffmpeg_is_bad(tmp_path: Path) -> None:
    (tmp_path / "av.py").write_text("raise ImportError('libavcodec.so.62: cannot open shared object file')")
    finding = found("codec h264", PYTHONPATH=tmp_path)
    assert finding.state == "bad"
    assert finding.found == "cannot be checked: ImportError: libavcodec.so.62: cannot open shared object file"


# ---- folders


def test_a_cache_that_cannot_be_written_is_bad(tmp_path: Path) -> None:
    read_only = f"{MOUNT} {tmp_path} && mount -o remount,ro none {tmp_path}"
    finding = found("hub cache", read_only, mounts=True, HF_HOME=tmp_path)
    assert finding.state == "bad"
    assert finding.found == f"{tmp_path}/hub (not there yet) cannot be written: Read-only file system"
    assert finding.mend.startswith("export HF_HOME=")


def test_a_filled_cache_need_not_be_written_where_there_is_no_network(tmp_path: Path) -> None:
    read_only = f"{MOUNT} {tmp_path} && mkdir {tmp_path}/hub && mount -o remount,ro none {tmp_path}"
    assert found("hub cache", read_only, mounts=True, HF_HOME=tmp_path, HF_HUB_OFFLINE="1").state == "warn"
    assert found("hub cache", read_only, mounts=True, HF_HOME=tmp_path).state == "bad"


@pytest.mark.parametrize("link", ["", "hub"])
def test_a_cache_on_a_disk_that_is_not_there_is_bad(link: str, tmp_path: Path) -> None:
    """The link stands where the folder would have to be made."""
    home = tmp_path / "home"
    (home / link).parent.mkdir(exist_ok=True)
    (home / link).symlink_to("/no/such/disk")
    finding = found("hub cache", HF_HOME=home)
    assert finding.state == "bad"
    assert f"{home / link} is a link to /no/such/disk, which is not there" in finding.found
    assert finding.mend.startswith("export HF_HOME=")


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_file_in_the_place_of_the_cache_is_bad(offline: str, tmp_path: Path) -> None:
    (tmp_path / "hub").touch()
    finding = found("hub cache", HF_HOME=tmp_path, HF_HUB_OFFLINE=offline)
    assert (finding.state, finding.found) == ("bad", f"{tmp_path}/hub cannot be written: Not a directory")


def test_a_cache_in_a_folder_of_another_user_is_bad(tmp_path: Path) -> None:
    """As after `sudo -u`: not even whether it is there can be told."""
    as_nobody = 'exec setpriv --reuid=65534 --clear-groups "$@"'
    if os.geteuid() or shell(as_nobody, sys.executable, "-c", "import rewardkit").returncode:
        pytest.skip("needs to become a user who can read this installation, which is not allowed here")
    (tmp_path / "closed").mkdir(mode=0o700)
    finding = found("hub cache", as_nobody, HF_HOME=tmp_path / "closed" / "cache")
    assert finding.state == "bad"
    assert finding.found.endswith(" cannot be written: Permission denied")
    assert finding.mend.startswith("export HF_HOME=")


@pytest.mark.slow
def test_a_cache_with_too_little_room_is_told(tmp_path: Path) -> None:
    finding = found("hub cache", f"{MOUNT} {tmp_path}", mounts=True, HF_HOME=tmp_path)
    assert finding.state == "warn"
    assert "65.5 kB free; the largest reward, " in finding.found


@pytest.mark.slow
def test_a_cache_that_is_not_there_yet_is_fine(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 50e9:
        pytest.skip("needs room for the largest reward")
    finding = found("hub cache", HF_HOME=tmp_path / "a" / "b")
    assert finding.state == "ok"
    assert finding.found.startswith(f"{tmp_path}/a/b/hub (not there yet), ")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_a_network_that_is_switched_off_is_told(name: str) -> None:
    finding = found("network", **{name: "1"})
    assert (finding.state, finding.mend) == ("warn", f"unset {name}")


def test_a_network_that_is_not_switched_off_is_fine() -> None:
    assert found("network").state == "ok"


def test_a_token_is_seen_and_not_shown(tmp_path: Path) -> None:
    assert found("hub token", HF_TOKEN="hf_secret", HF_HOME=tmp_path) == Finding("hub token", "ok", "set")
    assert found("hub token", HF_HOME=tmp_path).found.startswith("not set")


@pytest.mark.parametrize(
    ("name", "there"), [("this folder", "cd {folder}"), ("temporary folder", "export TMPDIR={folder}")]
)
def test_a_disk_with_little_room_is_told(name: str, there: str, tmp_path: Path) -> None:
    finding = found(name, f"{MOUNT} {tmp_path} && {there.format(folder=tmp_path)}", mounts=True)
    assert (finding.state, finding.found) == ("warn", f"{tmp_path}, 65.5 kB free")


def test_a_full_disk_is_bad(tmp_path: Path) -> None:
    fill = f"{MOUNT} {tmp_path} && cd {tmp_path} && (head -c 1M /dev/zero > full 2>/dev/null || true)"
    finding = found("this folder", fill, mounts=True)
    assert (finding.state, finding.found) == ("bad", f"{tmp_path} cannot be written: No space left on device")


def test_a_folder_that_is_gone_is_bad(tmp_path: Path) -> None:
    finding = found("this folder", f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone")
    assert (finding.state, finding.mend) == ("bad", "cd /a/folder/of/yours")
    assert finding.found.startswith("was deleted")


def test_no_folder_for_temporary_files_is_bad(tmp_path: Path) -> None:
    if any(place.startswith(("/tmp/", "/var/tmp/")) for place in (sys.prefix, str(ROOT))):
        pytest.skip("hides /tmp, where this checkout is")
    nowhere = f"{MOUNT} {tmp_path} && cd {tmp_path} && mount -o remount,ro none {tmp_path}"
    hidden = "".join(f" && mount --bind {tmp_path} {place}" for place in ("/var/tmp", "/tmp"))
    finding = found("temporary folder", nowhere + hidden, mounts=True, TMPDIR=tmp_path)
    assert finding.state == "bad"
    assert finding.found.startswith("No usable temporary directory found")


def test_little_shared_memory_is_told() -> None:
    finding = found("shared memory", f"{MOUNT} /dev/shm", mounts=True)
    assert finding.state == "warn"
    assert finding.found.startswith("65.5 kB in /dev/shm")


# ---- system


@pytest.mark.parametrize(("how", "mend"), [("-Sn", "ulimit -n 1024"), ("-n", "ask who runs this machine")])
def test_few_open_files_are_told(how: str, mend: str) -> None:
    finding = found("open files", f"ulimit {how} 200")
    assert (finding.state, finding.found) == ("warn", "200 at once")
    assert finding.mend.startswith(mend)


def test_enough_open_files_are_fine() -> None:
    assert found("open files", "ulimit -Sn 1024").state == "ok"


def test_a_clock_that_was_never_set_is_bad() -> None:
    assert system.clock(datetime(1970, 1, 1, tzinfo=UTC)).state == "bad"
    assert system.clock().state == "ok"


# ---- all together


def everything(patience: str = "", **variables: str | Path) -> list[Finding]:
    run = shell("", sys.executable, "-c", ALL.format(patience=patience), **variables)
    assert run.returncode == 0, run.stderr
    return [Finding(**finding) for finding in json.loads(run.stdout)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "patience", "said"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "", "ends the process with SIGSEGV"),
        ("import os\nos._exit(3)", "", "ends the process with exit code 3"),
        ("import time\ntime.sleep(600)", "20", "takes longer than 20 seconds"),
        ("print('{}')\nimport sys\nsys.exit('no')", "", "cannot be checked: SystemExit: no"),
    ],
)
def test_a_check_that_ends_its_process_is_bad_and_the_others_go_on(
    body: str, patience: str, said: str, tmp_path: Path
) -> None:
    findings = everything(patience, PYTHONPATH=torchvision(tmp_path, body))
    assert [finding.name for finding in findings] == list(CHECKS)
    by_name = {finding.name: finding for finding in findings}
    assert (by_name["torch, torchvision"].state, by_name["torch, torchvision"].found) == ("bad", said)
    assert by_name["codec h264"].state == "ok"


@pytest.mark.slow
def test_the_command_prints_a_line_to_paste_for_whatever_is_amiss(tmp_path: Path) -> None:
    words = (sys.executable, "-m", "rewardkit", "doctor")
    run = shell("", *words, PYTHONPATH=torchvision(tmp_path, ""), HF_HUB_OFFLINE="1", HF_TOKEN="hf_secret")
    assert run.returncode == 1, run.stderr
    lines = run.stdout.splitlines()
    assert "    pip install --upgrade --force-reinstall torch torchvision" in lines
    assert lines[lines.index("    unset HF_HUB_OFFLINE") - 1] == "to mend network:"
    assert lines[-1].endswith("1 something bad")
    assert "hf_secret" not in run.stdout + run.stderr
    assert run.stderr == ""


@pytest.mark.slow
def test_the_command_gives_json_and_exits_with_0_where_nothing_is_bad() -> None:
    run = shell("", sys.executable, "-m", "rewardkit", "doctor", "--json")
    findings = [Finding(**finding) for finding in json.loads(run.stdout)]
    assert [finding.name for finding in findings] == list(CHECKS)
    assert all(finding.mend for finding in findings if finding.state != "ok")
    assert run.returncode == int(any(finding.state == "bad" for finding in findings))
