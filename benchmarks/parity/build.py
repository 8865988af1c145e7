"""Isolated environments and checkouts of the official packages, from the pins in `environments/`.

    python benchmarks/parity/build.py [--mirror FOLDER] [NAME ...]

For each NAME (all of them if none is given) there stands, in `environments/`,

- NAME.txt: pins that pip resolves;
- NAME.nodeps.txt, where there is one: pins installed after them without their dependencies, because what they ask for
  contradicts what they run with;
- NAME.sources.txt, where there is one: `owner/name@commit` of official code that no registry has.

Environments are made in `.environments/NAME`, checkouts in `.sources/name`. What is already there with the same pins is
left alone. torch, torchvision, numpy and Pillow take 5 GB and are needed by all, so they stand once, in the environment
`torch`, which the others see. They see this folder too, so that references can import `golden` and `material`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PINS = FOLDER / "environments"
ENVIRONMENTS = FOLDER / ".environments"
SOURCES = FOLDER / ".sources"
SHARED = "torch"
CODE = ("*.py", "*.ipynb", "*.md", "*.json", "*.yaml", "*.txt", "*.txt.gz")


def main() -> None:
    if sys.version_info[:2] != (3, 11):
        sys.exit(
            f"the official packages are pinned for Python 3.11: got {sys.version.split()[0]}, run it with python3.11"
        )
    known = sorted(file.stem for file in PINS.glob("*.txt") if "." not in file.stem)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"environments to make: {', '.join(known)}")
    parser.add_argument("--mirror", type=Path, help="clone from FOLDER/owner+name/repo instead of github.com")
    given = parser.parse_args()
    if unknown := set(given.names) - set(known):
        parser.error(f"no pins for {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    for name in [SHARED, *(name for name in given.names or known if name != SHARED)]:
        build(name)
        for source in _lines(PINS / f"{name}.sources.txt"):
            check_out(source, given.mirror)


def build(name: str) -> None:
    """The environment `name`, made anew if its pins changed."""
    folder, stamp = ENVIRONMENTS / name, ENVIRONMENTS / name / "pins.txt"
    pins = "\n".join(["", *_lines(PINS / f"{name}.txt"), "--no-deps", *_lines(PINS / f"{name}.nodeps.txt"), ""])
    if stamp.exists() and stamp.read_text() == pins:
        return
    print(f"environment {name}: {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    _run(sys.executable, "-m", "venv", folder)
    if name != SHARED:
        (_packages(name) / "shared.pth").write_text(f"{_packages(SHARED)}\n{FOLDER}\n")
    install = (folder / "bin" / "python", "-m", "pip", "install", "--quiet")
    _run(*install, "--requirement", PINS / f"{name}.txt")
    if _lines(PINS / f"{name}.nodeps.txt"):
        _run(*install, "--no-deps", "--requirement", PINS / f"{name}.nodeps.txt")
    stamp.write_text(pins)


def check_out(source: str, mirror: Path | None) -> None:
    """The code of `owner/name@commit`, without its pictures and weights: a mirror may lack them."""
    repository, commit = source.split("@")
    folder = SOURCES / repository.split("/")[1]
    if not folder.exists():
        print(f"checkout {source}: {folder}")
        origin = mirror / repository.replace("/", "+") / "repo" if mirror else f"https://github.com/{repository}"
        _run("git", "clone", "--quiet", "--no-checkout", origin, folder)
        _run("git", "-C", folder, "sparse-checkout", "set", "--no-cone", *CODE)
    _run("git", "-C", folder, "checkout", "--quiet", commit)


def _packages(name: str) -> Path:
    return ENVIRONMENTS / name / "lib" / "python3.11" / "site-packages"


def _lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
