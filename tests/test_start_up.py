"""What a command must not import: each of these libraries takes from a tenth of a second to two seconds."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewardkit.rewards.towers.clip import configuration
from tests.scoring.films import save_film

BASE = {"torch", "numpy", "av", "PIL", "yaml", "jaxtyping", "safetensors"}
# what open_clip brings, and with it every CLIP tower
OPEN_CLIP = {"open_clip", "torchvision", "torch._dynamo", "sympy", "timm", "transformers", "huggingface_hub", "jinja2"}
EXTRA = {"diffusers", "peft", "accelerate", "scipy", "matplotlib", "pandas", "pyarrow", "ray", "torchcodec"}
REWARDS = {"rewardkit.rewards", "rewardkit.reducers"}
SCORING = {"rewardkit.scoring", "rewardkit.video"}
TOWERS = {"rewardkit.rewards.towers", "rewardkit.miniworld"}
OTHER_WORK = {"rewardkit.engine", "rewardkit.bench", "rewardkit_adapters"}
SHELL = {"rewardkit.cli", "typer", "rich"}

FORBIDDEN_TO_COMMANDS = {
    "--help": BASE | OPEN_CLIP | EXTRA | REWARDS | SCORING | OTHER_WORK | {"pydantic", "rich"},
    # typer itself loads pydantic to read the words of a command
    "finetune --help": BASE | OPEN_CLIP | EXTRA | REWARDS | SCORING | OTHER_WORK | {"rich"},
    "benchmark --help": BASE | OPEN_CLIP | EXTRA | REWARDS | SCORING | OTHER_WORK | {"rich"},
    "list backbones": BASE | OPEN_CLIP | EXTRA | REWARDS | SCORING | OTHER_WORK,
    # a card stands beside its model, in a file that needs torch
    "list": OPEN_CLIP | EXTRA | SCORING | OTHER_WORK | {"av"},
    "info technical": OPEN_CLIP | EXTRA | SCORING | TOWERS | OTHER_WORK | {"av", "safetensors"},
    "score CLIP --quiet": OPEN_CLIP | EXTRA | TOWERS | OTHER_WORK | {"rich", "safetensors"},
    "score CLIP --quiet --reward miniworld-judge --prompt cat": EXTRA | OTHER_WORK | {"rich"},
}
FORBIDDEN_TO_MODULES = {
    "rewardkit": BASE | OPEN_CLIP | EXTRA | REWARDS | SCORING | OTHER_WORK | SHELL | {"pydantic"},
    "rewardkit.scoring.config": BASE | OPEN_CLIP | EXTRA | REWARDS | OTHER_WORK | SHELL | {"rewardkit.video"},
    "rewardkit.scoring.folder": OPEN_CLIP | EXTRA | TOWERS | OTHER_WORK | SHELL,
    "rewardkit.engine.finetune": OPEN_CLIP | EXTRA | TOWERS | SHELL | {"rewardkit.scoring", "rewardkit_adapters"},
}

THEN_TELL = "\nimport json, sys\nprint()\nprint(json.dumps(sorted(sys.modules)))"
COMMAND = (
    "import sys\nsys.argv[0] = 'rewardkit'\nfrom rewardkit.cli import main\n"
    "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
)


def loaded(code: str, *words: str) -> set[str]:
    """The modules of a fresh process that has run `code`."""
    run = subprocess.run([sys.executable, "-c", code + THEN_TELL, *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", FORBIDDEN_TO_COMMANDS)
def test_a_command_imports_only_what_it_needs(command: str, tmp_path: Path) -> None:
    clip = str(save_film(tmp_path / "clip.npy", 0.3, frames=2, height=40, width=48))
    found = loaded(COMMAND, *(clip if word == "CLIP" else word for word in command.split()))
    assert sorted(found & FORBIDDEN_TO_COMMANDS[command]) == []


@pytest.mark.parametrize("module", FORBIDDEN_TO_MODULES)
def test_a_module_imports_only_what_it_needs(module: str) -> None:
    assert sorted(loaded(f"import {module}") & FORBIDDEN_TO_MODULES[module]) == []


def test_an_import_that_a_command_causes_is_seen(tmp_path: Path) -> None:
    own = tmp_path / "eager.py"
    own.write_text("import sympy\nfrom rewardkit.rewards.exposure import Exposure as Eager\n")
    assert {"torch", "sympy", "rewardkit.rewards"} <= loaded(COMMAND, "info", f"{own}:Eager")


def test_the_package_lists_its_names_without_loading_them() -> None:
    assert "torch" not in loaded("import rewardkit\nassert 'Segments' in dir(rewardkit)")


def test_help_is_quick() -> None:
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "rewardkit", "--help"], check=True, capture_output=True)
        after = os.times()
        # of the processor, not of the clock: other work beside must not count
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(seconds) < 0.3


def test_the_command_line_ends_without_a_search_for_garbage() -> None:
    """With a learned reward it took 0.8 seconds, after the work was done."""
    last = "import atexit, gc\natexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"  # first in, last out
    run = subprocess.run([sys.executable, "-c", last + COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize("collecting", [True, False])
def test_a_tower_leaves_the_garbage_collector_as_it_was(collecting: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        configuration("ViT-B-32")
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if before else gc.disable)()
