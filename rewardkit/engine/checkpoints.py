"""Checkpoints of a fine-tuning: whole or not at all, the newest few and the best."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rewardkit.engine.generator import Generator
from rewardkit.engine.lora import FILE, LoraSettings, lora_weights, put_lora, save_lora
from rewardkit.errors import BadCheckpointError, OutputError

STATE, OPTIMISER = "state.json", "optimiser.safetensors"


class Checkpoints:
    """A folder with a folder a checkpoint, named by its step."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self._keep = keep

    def steps(self) -> list[int]:
        """Those that are there, oldest first."""
        return sorted(int(path.name) for path in self.folder.glob("[0-9]*") if (path / STATE).is_file())

    def path(self, step: int) -> Path:
        """Where the one of that step is."""
        return self.folder / f"{step:06d}"

    def save(
        self,
        step: int,
        generator: Generator,
        settings: LoraSettings,
        optimiser: torch.optim.Optimizer,
        state: Mapping[str, Any],
        best: int,
    ) -> Path:
        """Writes one, and then lets go of those that are neither among the newest nor `best`.

        Raises:
            OutputError: it cannot be written; what was there stays.
        """
        draft = self.folder / ".draft"
        shutil.rmtree(draft, ignore_errors=True)  # of a training that was killed while it wrote
        try:
            draft.mkdir(parents=True)
            save_lora(generator, settings, draft, {"step": str(step)})
            save_file(_moments(optimiser), draft / OPTIMISER)
            (draft / STATE).write_text(json.dumps({"step": step, **state}) + "\n", encoding="utf-8")
            if self.path(step).exists():
                shutil.rmtree(self.path(step))
            draft.replace(self.path(step))
        except (OSError, SafetensorError) as error:
            raise OutputError(f"cannot write the checkpoint of step {step} to {self.folder}: {error}") from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for old in self.steps()[: -self._keep]:
            if old != best:
                shutil.rmtree(self.path(old), ignore_errors=True)
        return self.path(step)

    def load(self, step: int, generator: Generator, optimiser: torch.optim.Optimizer | None = None) -> dict[str, Any]:
        """Puts one back into the generator's LoRA and the optimiser, and gives its state.

        Raises:
            BadCheckpointError: it is damaged or does not fit.
        """
        path = self.path(step)
        try:
            state: dict[str, Any] = json.loads((path / STATE).read_text(encoding="utf-8"))
            put_lora(lora_weights(generator), load_file(path / FILE), path / FILE)
            if optimiser is not None:
                _restore(optimiser, load_file(path / OPTIMISER))
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise BadCheckpointError(
                f"the checkpoint {path} cannot be read: {error}; delete it to use an older"
            ) from None
        return state


def _moments(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What AdamW remembers, flat."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": value.contiguous() for number, of in state.items() for name, value in of.items()}


def _restore(optimiser: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    whole = optimiser.state_dict()
    whole["state"] = {}
    for key, value in moments.items():
        number, _, name = key.partition(".")
        whole["state"].setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(whole)
