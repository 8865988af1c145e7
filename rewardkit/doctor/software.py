"""Checks of what is installed: Python, rewardkit, the packages that it needs and those that it can do without."""

from __future__ import annotations

import shlex
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from rewardkit.doctor.finding import Finding
from rewardkit.errors import first_line

if TYPE_CHECKING:
    from packaging.requirements import Requirement

OWN = "rewardkit"
EXTRAS = {
    "adapters": "generators such as Wan or CogVideoX",
    "train": "fine-tuning of generators",
    "report": "figures of benchmarks as PNG and SVG",
    "parquet": "rows as Parquet",
    "ray": "scoring on many machines",
    "metrics": "rewards as metrics of torchmetrics",
    "s3": "videos and rows in s3:// stores",
    "gs": "videos and rows in gs:// stores",
}
"""What each optional part is for."""

MEND_TORCH = "pip install --upgrade --force-reinstall torch torchvision"
MEND_OWN = "pip install --upgrade rewardkit  # in a checkout of it: pip install -e ."


def python() -> Finding:
    """Whether this Python is one that rewardkit runs on."""
    from packaging.specifiers import SpecifierSet

    version = sys.version.split()[0]
    needed = metadata.metadata(OWN)["Requires-Python"]
    if not SpecifierSet(needed).contains(version, prereleases=True):
        return Finding(
            "python", "bad", f"{version}; rewardkit needs {needed}", f"make an environment of Python {needed}"
        )
    return Finding("python", "ok", f"{version}, {sys.executable}")


def installation() -> Finding:
    """Whether rewardkit is installed, so that its rewards and backbones are found by name."""
    from rewardkit.registry import BACKBONES, REWARDS

    try:
        version = metadata.version(OWN)
    except metadata.PackageNotFoundError:
        return Finding(OWN, "bad", "imported but not installed, so no reward is found by name", MEND_OWN)
    rewards, backbones = len(REWARDS.names()), len(BACKBONES.names())
    return Finding(OWN, "ok", f"{version}; {rewards} rewards and {backbones} backbones are known")


def torch_and_torchvision() -> Finding:
    """Whether the two fit: their wheels are made for each other, and others fail when an operator is first used."""
    name = "torch, torchvision"
    try:
        import torch
        from torchvision.ops import nms  # type: ignore[import-untyped]

        kept = nms(torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]]), torch.tensor([0.9, 0.5, 0.8]), 0.5)
    except Exception as error:  # noqa: BLE001 - a broken build raises whatever it runs into
        return Finding(name, "bad", f"{type(error).__name__}: {first_line(error)}", MEND_TORCH)
    versions = f"{metadata.version('torch')}, {metadata.version('torchvision')}"
    wanted = [need for need in _needs("torchvision", "") if need.name == "torch" and not _met(need)]
    if wanted:
        return Finding(name, "bad", f"{versions}: this torchvision is made for torch {wanted[0].specifier}", MEND_TORCH)
    if kept.tolist() != [0, 2]:
        return Finding(name, "bad", f"{versions}: torchvision.ops.nms gives wrong numbers", MEND_TORCH)
    return Finding(name, "ok", f"{versions}; they fit")


def packages() -> Finding:
    """Whether every package that rewardkit needs is there, in a version that it can use."""
    needs = _needs(OWN, "")
    unmet = [need for need in needs if not _met(need)]
    if unmet:
        found = "; ".join(f"{need.name} {_version(need) or 'is missing'}, needs {need.specifier}" for need in unmet)
        return Finding("packages", "bad", found, _install(unmet))
    return Finding("packages", "ok", f"all {len(needs)} that rewardkit needs")


def extra(name: str) -> Finding:
    """Whether an optional part is there. Without one all else works."""
    title, purpose = f"extra {name}", EXTRAS[name]
    if name not in (metadata.metadata(OWN).get_all("Provides-Extra") or []):
        return Finding(title, "warn", f"for {purpose}: this installation is older than its code", MEND_OWN)
    needs = _needs(OWN, name)
    absent = [need for need in needs if _version(need) is None]
    unmet = [need for need in needs if need not in absent and not _met(need)]
    if unmet:
        found = "; ".join(f"{need.name} {_version(need)}, needs {need.specifier}" for need in unmet)
        return Finding(title, "warn", f"for {purpose}: {found}", _install(unmet))
    if absent:
        return Finding(title, "ok", f"not installed; for {purpose}: pip install 'rewardkit[{name}]'")
    return Finding(title, "ok", f"installed; for {purpose}")


def _needs(package: str, extra: str) -> list[Requirement]:
    """What a package needs on this machine, or one of its extras beyond that."""
    from packaging.requirements import Requirement

    needs = [Requirement(text) for text in metadata.requires(package) or []]
    always = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    if not extra:
        return always
    return [need for need in needs if need not in always and need.marker and need.marker.evaluate({"extra": extra})]


def _version(need: Requirement) -> str | None:
    try:
        return metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return None


def _met(need: Requirement) -> bool:
    version = _version(need)
    return version is not None and need.specifier.contains(version, prereleases=True)


def _install(needs: list[Requirement]) -> str:
    return shlex.join(["pip", "install", *(str(need).partition(";")[0].strip() for need in needs)])
