"""Checkpoints of a fine-tuning: whole or not at all, checked when read, the newest few and the best."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rewardkit.engine.durable import SUMS, check_sums, flush, write_sums
from rewardkit.engine.guards import Look
from rewardkit.engine.lora import FILE, put_lora
from rewardkit.engine.ranks import Ranks
from rewardkit.errors import BadCheckpointError, OutputError, first_line

STATE, OPTIMISER = "state.json", "optimiser.safetensors"
FILES = (FILE, OPTIMISER, STATE)
REPLACED = ".replaced-"
LOGGER = logging.getLogger(__name__)


class State(BaseModel):
    """What a checkpoint holds beside tensors.

    Attributes:
        step: after which it was written.
        statistics: of `PromptStatistics`.
        looks: what the guards saw.
        sums: the file with the SHA-256 of the others; None in checkpoints of before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    statistics: dict[str, list[float]]
    looks: list[Look]
    sums: str | None = None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training at the end of a step, as copies in main memory: the LoRA, what AdamW remembers, and the rest."""

    lora: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    state: State

    @classmethod
    def of(cls, weights: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer, state: State) -> Checkpoint:
        """Of this moment."""
        remembered = optimiser.state_dict()["state"]
        moments = {f"{number}.{name}": _copy(value) for number, of in remembered.items() for name, value in of.items()}
        return cls({name: _copy(weight) for name, weight in weights.items()}, moments, state)

    def put(self, weights: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer) -> None:
        """Makes LoRA and optimiser what they were."""
        whole = optimiser.state_dict()
        whole["state"] = {}
        for key, value in self.moments.items():
            number, _, name = key.partition(".")
            whole["state"].setdefault(int(number), {})[name] = value
        put_lora(weights, self.lora, Path(FILE))
        optimiser.load_state_dict(whole)

    def write(self, folder: Path, metadata: dict[str, str]) -> None:
        """Into an empty folder; when this returns, it is on the disk."""
        save_file(dict(self.lora), folder / FILE, metadata=metadata)
        save_file(dict(self.moments), folder / OPTIMISER)
        state = self.state.model_copy(update={"sums": SUMS}).model_dump()
        (folder / STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")
        write_sums(folder, FILES)
        for path in (*folder.iterdir(), folder):
            flush(path)

    @classmethod
    def read(cls, folder: Path, weights: Mapping[str, nn.Parameter]) -> Checkpoint:
        """Changes nothing yet.

        Raises:
            BadCheckpointError: a file is missing, damaged, or does not fit the weights.
        """
        try:
            state = State.model_validate_json((folder / STATE).read_bytes())
            if state.sums or (folder / SUMS).is_file():
                check_sums(folder, FILES)
            found = cls(load_file(folder / FILE), load_file(folder / OPTIMISER), state)
        except (OSError, ValueError, SafetensorError) as error:
            raise BadCheckpointError(f"the checkpoint {folder} is damaged: {first_line(error)}") from None
        found._check_fit(folder, weights)
        return found

    def _check_fit(self, folder: Path, weights: Mapping[str, nn.Parameter]) -> None:
        lora = {name: weight.shape for name, weight in weights.items()}
        moments = {f"{number}.step": torch.Size() for number in range(len(lora))}
        for name in ("exp_avg", "exp_avg_sq"):
            moments |= {f"{number}.{name}": shape for number, shape in enumerate(lora.values())}
        moments = moments if self.state.step else {}
        for name, needed, there in ((FILE, lora, self.lora), (OPTIMISER, moments, self.moments)):
            if needed != {key: tensor.shape for key, tensor in there.items()}:
                raise BadCheckpointError(f"{folder / name} holds {len(there)} tensors that do not fit this LoRA")


class Checkpoints:
    """A folder with a folder a checkpoint, named by its step.

    Args:
        folder: for them.
        keep: so many of the newest.
        ranks: the processes, which all read them and of which the first writes.
    """

    def __init__(self, folder: Path, keep: int, ranks: Ranks) -> None:
        self.folder = folder
        self._keep, self._ranks = keep, ranks
        self._writing = threading.Lock()
        self._written: Checkpoint | None = None

    def steps(self) -> list[int]:
        """Those that are there, oldest first."""
        return sorted(int(path.name) for path in self.folder.glob("*") if path.name.isdecimal())

    def path(self, step: int) -> Path:
        """Where the one of that step is."""
        return self.folder / f"{step:06d}"

    def save(self, checkpoint: Checkpoint, metadata: dict[str, str], best: int) -> None:
        """Writes one, and then lets go of those that are neither among the newest nor `best`.

        May be called from several threads; what was written last is not written again.

        Raises:
            OutputError: it cannot be written; what was there stays.
        """
        with self._writing:
            if checkpoint is not self._written:
                self._write(checkpoint, metadata)
                self._written = checkpoint
        for old in self.steps()[: -self._keep]:
            if old != best:
                self._drop(self.path(old))

    def newest(self, weights: Mapping[str, nn.Parameter]) -> Checkpoint | None:
        """The newest that all processes can read; None where none was ever written.

        Damaged ones that are newer are named in a warning and set aside.

        Raises:
            BadCheckpointError: all are damaged.
        """
        self._bring_back()
        steps, *_ = self._ranks.together([self.steps()])
        damaged: dict[int, str] = {}
        for step in reversed(steps):
            found, reason = self._attempt(step, weights)
            reasons = [said for said in self._ranks.together([reason]) if said]
            if found and not reasons:
                self._set_aside(damaged, step)
                self._written = found
                return found
            damaged[step] = reasons[0]
        if damaged:
            raise BadCheckpointError(
                f"no checkpoint in {self.folder} can be read ({'; '.join(damaged.values())}): "
                "take another folder, or delete it to begin anew"
            )
        return None

    def read(self, step: int, weights: Mapping[str, nn.Parameter]) -> Checkpoint:
        """That of the step.

        Raises:
            BadCheckpointError: see `Checkpoint.read`.
        """
        return Checkpoint.read(self.path(step), weights)

    def _attempt(self, step: int, weights: Mapping[str, nn.Parameter]) -> tuple[Checkpoint | None, str]:
        """It, or why it cannot be read."""
        try:
            return self.read(step, weights), ""
        except BadCheckpointError as error:
            return None, str(error)

    def _set_aside(self, damaged: Mapping[int, str], used: int) -> None:
        """So that they do not count among the newest that are kept."""
        for step, reason in damaged.items() if self._ranks.first else ():
            aside = self.folder / f"damaged-{self.path(step).name}"
            LOGGER.warning("%s; it is set aside as %s, and step %d is used", reason, aside.name, used)
            shutil.rmtree(aside, ignore_errors=True)
            try:
                self.path(step).replace(aside)
            except OSError as error:
                raise OutputError(f"cannot rename {self.path(step)}, which is damaged: {error.strerror}") from None

    def _write(self, checkpoint: Checkpoint, metadata: dict[str, str]) -> None:
        step = checkpoint.state.step
        draft = self.folder / ".draft"
        shutil.rmtree(draft, ignore_errors=True)  # of a training that was killed while it wrote
        try:
            draft.mkdir(parents=True)
            checkpoint.write(draft, metadata)
            replaced = self.folder / f"{REPLACED}{self.path(step).name}"
            if self.path(step).exists():
                self.path(step).replace(replaced)
            draft.replace(self.path(step))
            flush(self.folder)
            shutil.rmtree(replaced, ignore_errors=True)
        except (OSError, SafetensorError) as error:  # which safetensors has of its own for a full disk
            raise OutputError(f"cannot write the checkpoint of step {step} to {self.folder}: {error}") from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _bring_back(self) -> None:
        """What a process that was killed had put aside for another of its step, and not yet replaced."""
        for replaced in self.folder.glob(f"{REPLACED}*") if self._ranks.first else ():
            path = self.folder / replaced.name.removeprefix(REPLACED)
            if path.exists():
                shutil.rmtree(replaced, ignore_errors=True)
            else:
                replaced.replace(path)

    def _drop(self, path: Path) -> None:
        """Under another name first: a deletion that breaks off must not leave half a checkpoint."""
        if path.exists():
            gone = self.folder / ".gone"
            shutil.rmtree(gone, ignore_errors=True)
            path.replace(gone)
            shutil.rmtree(gone, ignore_errors=True)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()
