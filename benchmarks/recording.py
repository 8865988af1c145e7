"""Writing down what was measured, with what another needs to measure it again."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import PIL
import torch

import rewardkit
from rewardkit.bench.provenance import commit, device_in_words

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def record(name: str, result: Mapping[str, object]) -> None:
    """Writes `result` with command, commit, versions and machine to results/{name}.json, and prints where."""
    out = RESULTS / f"{name}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({**_provenance(), **result}, indent=1) + "\n")
    print(f"written: {out.relative_to(ROOT)}")


def recorded(name: str) -> dict[str, Any]:
    """What results/{name}.json holds; nothing where it is not there."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def about(rounds: int) -> dict[str, object]:
    """When and where a part of a result was measured, for results whose parts may be measured anew one by one."""
    load = round(os.getloadavg()[0], 2)
    return {"processor": processor(), "commit": commit(), "rounds": rounds, "load_before": load}


def processor() -> str:
    """Model and what it can: bfloat16 is slow where neither of its instruction sets is there."""
    facts = Path("/proc/cpuinfo").read_text()
    model = facts.split("model name")[1].split(":")[1].split("\n")[0].strip()
    native = sorted(word for word in ("avx512_bf16", "amx_bf16") if f" {word}" in facts)
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}, bfloat16 instructions: {', '.join(native) or 'none'}"


def _provenance() -> dict[str, object]:
    return {
        "command": shlex.join(["python", *sys.argv]),
        "commit": commit(),
        "rewardkit": rewardkit.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "av": av.__version__,
        "pillow": PIL.__version__,
        "device": device_in_words(torch.device("cpu")),
    }
