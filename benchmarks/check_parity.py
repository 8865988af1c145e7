"""Are our reward models equal to the official packages? Prints and records the greatest differences.

    python benchmarks/check_parity.py [--rebuild] [--full] [NAME ...]

Compares with the golden files in `parity/golden`. With `--rebuild` the official packages score anew first, in the
environments that `parity/build.py` makes, and what they give must be what the golden files held. `--full` takes models
of full size (HPSv2 and ImageReward; 10 GB of memory). Without NAME results/parity.json is written, or parity_full.json;
from the first the README's table and `rewardkit info` are made. `make parity` and `make parity FULL=1` do all of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from recording import record

PARITY = Path(__file__).resolve().parent / "parity"
sys.path.insert(0, str(PARITY))

import golden  # noqa: E402
import ours  # noqa: E402
import torch  # noqa: E402

REFERENCES = {
    "hpsv2": ("hpsv2",),
    "imagereward": ("imagereward", "blipscore", "pickscore", "mps", "clipscore", "aesthetic", "clip_iqa"),
    "qwen2vl": ("aesthetic_v2_5", "viclip", "hpsv3", "videoreward"),
}
"""Scripts in `parity/references`, by the environment they run in."""

FULL = ("hpsv2", "imagereward")
SAME = 1e-6  # of a score's size: official scores made twice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"golden files: {', '.join(ours.CHECKS)}")
    parser.add_argument("--rebuild", action="store_true", help="let the official packages score anew")
    parser.add_argument("--full", action="store_true", help="models of full size")
    given = parser.parse_args()
    names = given.names or (FULL if given.full else list(ours.CHECKS))
    if given.rebuild:
        rebuild(names, given.full)
    found = {name: compare(name, given.full) for name in names}
    print(f"{'':16} {'exact':>8} {'diff':>8}   greatest difference from the official scores")
    for name, (exact, diff) in found.items():
        print(f"{name:16} {exact:8.1e} {diff:8.1e}   {'' if exact <= ours.CHECKS[name].exact else 'NOT EQUAL'}")
    wrong = [name for name, (exact, _) in found.items() if exact > ours.CHECKS[name].exact]
    if wrong:
        raise SystemExit(f"not equal to the official code: {', '.join(wrong)}")
    if not given.names:
        proved = {
            reward: {"exact": exact, "diff": diff, "official": golden.read(name, given.full)["packages"]}
            for name, (exact, diff) in found.items()
            for reward in ours.CHECKS[name].proves
        }
        record("parity_full" if given.full else "parity", {"rewards": proved})


def compare(name: str, full: bool) -> tuple[float, float]:
    """The greatest difference from the official scores on the exact and on the differentiable path."""
    with tempfile.TemporaryDirectory() as folder:
        model = ours.build(name, Path(folder), full)
        return ours.difference(name, model, "exact", full), ours.difference(name, model, "diff", full)


def rebuild(names: list[str], full: bool) -> None:
    """Runs the official packages and holds what they give against what the golden files held."""
    before = {name: golden.read(name, full)["scores"] for name in names}
    for environment, scripts in REFERENCES.items():
        for script in scripts:
            if any(name.startswith(script) for name in names):
                python = PARITY / ".environments" / environment / "bin" / "python"
                command = [python, PARITY / "references" / f"{script}.py", *(["--full"] if full else [])]
                print(f"official: {script}")
                subprocess.run(command, check=True, cwd=PARITY, stdout=subprocess.DEVNULL)
    for name in names:
        for shown, row in golden.read(name, full)["scores"].items():
            new, old = torch.tensor(row), torch.tensor(before[name][shown])
            if not torch.allclose(new, old, rtol=SAME, atol=SAME):
                raise SystemExit(
                    f"the official scores of {name} are not those of the golden file: {new} now, {old} then"
                )


if __name__ == "__main__":
    main()
