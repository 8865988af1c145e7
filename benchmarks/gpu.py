"""What does rewardkit reach on a CUDA machine? The whole set takes less than ten minutes.

    python benchmarks/gpu.py [NAME ...] [--minutes 9]
    python benchmarks/gpu.py --device cpu --small

Every model has its published size and random weights, made on the GPU: nothing is downloaded. NAME is a part:

    towers      frames a second of HPSv2's tower (ViT-H/14) by precision and batch, and its share of what a big matrix
                product reaches there in that precision: the roof
    official    the same reward against hpsv2's call, which is restated here, and against the package itself where
                `parity/build.py` made its environment and that sees a GPU
    scoring     `score_folder` over clips, from files to rows: how much of the time the tower runs, and the decoding
    modelscope, wan, cogvideox
                a step of InstructVideo with that generator and HPSv2's reward, for each of `gpu_parts/steps.WAYS`:
                seconds of its parts, peak memory, and the denoiser's share of the roof

A part that fails is recorded as failed, with the reason; one that is not begun after so many minutes as not run. With
`--small` every part runs in seconds with tiny shapes, to see that the script is whole. Each row is printed as a line of
JSON.

Writes results/gpu.json after every row, where the whole set was asked for at full size.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from typing import Any, NoReturn

import diffusers
import open_clip
import torch
from gpu_parts import official, scoring, steps, towers
from gpu_parts.jobs import FULL, Job, Row, Setting, run_all, small
from recording import record

from rewardkit.bench.provenance import device_in_words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="parts; all of them, and recorded, if none is given")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which no part is begun")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny shapes, nothing recorded")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        refuse(f"gpu.py needs a CUDA GPU, and torch {torch.__version__} sees none: nothing was run or recorded")
    if given.device == "cpu" and not given.small:
        refuse("gpu.py runs at full size on a CUDA GPU only: add --small to --device cpu")
    setting = small(given.device) if given.small else FULL
    jobs = all_jobs(setting)
    if unknown := set(given.names) - {job.part for job in jobs}:
        refuse(
            f"gpu.py has no part {', '.join(sorted(unknown))}: take {', '.join(dict.fromkeys(j.part for j in jobs))}"
        )
    warnings.simplefilter("ignore")
    diffusers.logging.set_verbosity_error()
    if given.device == "cpu":
        torch.set_num_threads(1)
    whole = not (given.names or given.small)
    about = facts(given.minutes) if whole else {}

    def keep(rows: list[Row]) -> None:
        if whole:
            record("gpu", {**about, "rows": rows})

    run_all([job for job in jobs if not given.names or job.part in given.names], given.minutes, given.device, keep)


def all_jobs(setting: Setting) -> list[Job]:
    """What matters most first, in case time runs out: each generator once before all ways of a step, compiling last."""
    found = [*towers.jobs(setting), *official.jobs(setting), *scoring.jobs(setting), *steps.jobs(setting)]
    return sorted(found, key=lambda job: job.turn)


def refuse(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(2)


def facts(minutes: float) -> dict[str, Any]:
    """The GPU, and what runs it; `device` takes the place of the processor that `record` names."""
    card = torch.cuda.get_device_properties(torch.device("cuda"))
    return {
        "device": device_in_words(torch.device("cuda")),
        "host": device_in_words(torch.device("cpu")),
        "gpu_gigabytes": round(card.total_memory / 1e9, 1),
        "compute_capability": f"{card.major}.{card.minor}",
        "driver": of_nvidia_smi("driver_version", card.uuid),
        "power_limit": of_nvidia_smi("power.limit", card.uuid),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "diffusers": diffusers.__version__,
        "open_clip": open_clip.__version__,
        "seed": 0,
        "minutes": minutes,
    }


def of_nvidia_smi(what: str, card: object) -> str:
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader", f"--id=GPU-{card}"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "not known: nvidia-smi does not say it"


if __name__ == "__main__":
    main()
