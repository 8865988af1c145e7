"""What is shipped: one version, extras that say what to install, a wheel and an sdist that work where they are put."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import rewardkit
from rewardkit.engine.ranks import Ranks
from rewardkit.errors import MissingExtraError
from rewardkit.miniworld.clips import write_clips

ROOT = Path(__file__).parent.parent


def test_the_version_is_one() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == rewardkit.__version__
    released = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == "Unreleased"
    assert rewardkit.__version__.removesuffix(".dev0") in released or rewardkit.__version__.endswith(".dev0")


@pytest.mark.parametrize(
    ("missing", "words", "sentence"),
    [
        ("diffusers", "generate cat", "a text-to-video backbone needs diffusers: pip install 'rewardkit[adapters]'"),
        ("peft", "finetune --prompts p.txt --steps 1", "LoRA needs peft: pip install 'rewardkit[adapters]'"),
        ("pyarrow", "score clips --out x.parquet", "Parquet needs pyarrow: pip install 'rewardkit[parquet]'"),
        ("ray", "score clips --engine ray", "the engine ray needs ray[data]: pip install 'rewardkit[ray]'"),
        ("s3fs", "score s3://bucket/a.mp4", "s3://bucket/a.mp4 needs s3fs: pip install 'rewardkit[s3]'"),
    ],
)
def test_a_missing_extra_is_one_sentence(missing: str, words: str, sentence: str, tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", films=1)
    (tmp_path / "p.txt").write_text("a red ball\n")
    code = f"import sys; sys.modules[{missing!r}] = None; from rewardkit.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_fine_tuning_says_that_it_needs_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: diffusers does not load where accelerate is installed and cannot be imported."""
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match=r"fine-tuning needs accelerate: pip install 'rewardkit\[train\]'"):
        Ranks()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and an sdist of this tree."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(out)], cwd=ROOT, check=True)
    return out


def environment(folder: Path, package: Path) -> Path:
    """The scripts of a fresh environment with the package, which finds its dependencies where the tests have them."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    # a path alone: the editable install beside these packages is not seen through it
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    programs = folder / "bin"
    subprocess.run([programs / "python", "-m", "pip", "install", *offline, "--ignore-installed", package], check=True)
    return programs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words", "page"),
    [
        ("*.whl", "demo --out out", "finetune.html"),
        ("*.tar.gz", "score clips --prompts clips/prompts.csv -r 0.5*miniworld+technical --out out/a.jsonl", "a.jsonl"),
    ],
)
def test_what_was_built_works_in_a_clean_environment(
    kind: str, words: str, page: str, built: Path, tmp_path: Path
) -> None:
    write_clips(tmp_path / "clips", films=1)
    (tmp_path / "out").mkdir()
    (package,) = built.glob(kind)
    programs = environment(tmp_path / "environment", package)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*words: str | Path) -> str:
        done = subprocess.run(words, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    home = run(programs / "python", "-c", "import rewardkit, rewardkit_adapters; print(rewardkit.__file__)")
    assert str(tmp_path) in home
    assert run(programs / "rewardkit", "--version").strip().endswith(rewardkit.__version__)
    run(programs / "rewardkit", *words.split())
    assert (tmp_path / "out" / page).stat().st_size > 1_000


@pytest.mark.slow
def test_what_was_built_holds_what_it_must_and_nothing_else(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        licences = [name for name in names if name.endswith("licenses/LICENSE")]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"rewardkit", "rewardkit_adapters"}
    assert licences
    weights = "rewardkit/miniworld/weights/preference.safetensors"
    assert {"rewardkit/py.typed", "rewardkit/__init__.pyi", weights} <= set(names)
    assert wheel.stat().st_size < 13e6
    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "Makefile", "constraints.txt", "tests/test_packaging.py", "docs/index.md"} <= sources
    assert not [name for name in sources if "__pycache__" in name or ".environments" in name or ".work" in name]
