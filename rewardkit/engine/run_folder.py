"""The folder of a training: which training it is of, and the logs that grow in it and are told to trackers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rewardkit.engine.durable import flush
from rewardkit.engine.examples import Example
from rewardkit.engine.ranks import Ranks, Trackers
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.errors import OutputError, UsageError
from rewardkit.files import replacing

LOG, LOOKS, SETTINGS, SAMPLES = "log.jsonl", "looks.jsonl", "settings.json", "samples"
CHANGEABLE = frozenset({"steps", "checkpoint_every", "keep", "trackers", "films_at_once"})
"""Settings that a training may go on with when they are changed."""


class Line(Protocol):
    """What is known at a step, as pydantic has it."""

    step: int

    def model_dump(self, *, exclude: set[str]) -> dict[str, object]:
        """By name."""

    def model_dump_json(self) -> str:
        """In one line."""


class RunFolder:
    """Is written by the first of several processes only.

    Args:
        path: of the folder.
        ranks: the processes.
        trackers: names that accelerate knows, which are told every line.

    Raises:
        UsageError: trackers that are not there.
    """

    def __init__(self, path: Path, ranks: Ranks, trackers: Sequence[str]) -> None:
        self.path = path
        self._ranks = ranks
        self._trackers = Trackers(trackers, path / "trackers")

    def claim(self, backbone: str, reward: str, examples: Sequence[Example], config: FinetuneConfig) -> None:
        """Makes sure that the folder is new or holds this very training.

        Raises:
            UsageError: it holds another.
            OutputError: it cannot be written, or its settings are damaged.
        """
        settings = config.model_dump(mode="json")
        facts = {
            "backbone": backbone,
            "reward": reward,
            "precision": self._ranks.precision,
            "examples": [[example.prompt, str(example.video or "")] for example in examples],
            "settings": {key: value for key, value in settings.items() if key not in CHANGEABLE},
        }
        path = self.path / SETTINGS
        if path.is_file():
            known = _read(path, path.read_bytes())
            changed = [key for key, value in json.loads(json.dumps(facts)).items() if known.get(key) != value]
            if changed:
                raise UsageError(
                    f"{self.path} holds another training ({', '.join(changed)} differ): take another folder"
                )
            return
        if self._ranks.first:
            with replacing(path) as draft:
                draft.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
                flush(draft)

    def cut(self, name: str, step: int) -> None:
        """Takes back a log's lines of steps after `step`, which will be taken again.

        Raises:
            OutputError: a line is damaged, or the log cannot be written.
        """
        path = self.path / name
        if self._ranks.first and path.is_file():
            lines = path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith(b"\n") and _read(path, line, "step")["step"] <= step]
            with replacing(path) as draft:
                draft.write_bytes(b"".join(kept))
                flush(draft)

    @contextmanager
    def tracked(self, config: FinetuneConfig) -> Iterator[None]:
        """In here the trackers are told every line that is written."""
        if self._ranks.first:
            self._trackers.start(config.model_dump(mode="json"))
        try:
            yield
        finally:
            self._trackers.finish()

    def write(self, name: str, line: Line) -> None:
        """Appends to a log.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._ranks.first:
            return
        try:
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(line.model_dump_json() + "\n")
                file.flush()
                os.fsync(file.fileno())  # a checkpoint that outlasts a power cut needs its lines, too
        except OSError as error:
            raise OutputError(f"cannot write {self.path / name}: {error.strerror}") from None
        self._trackers.log({Path(name).stem: line.model_dump(exclude={"step"})}, line.step)


def _read(path: Path, text: bytes, *needed: str) -> dict[str, Any]:
    """What a file, or a line of it, says by name."""
    try:
        said = json.loads(text)
    except ValueError:  # no JSON, or no text
        said = None
    if not isinstance(said, dict) or not said.keys() >= set(needed):
        raise OutputError(f"{path} is damaged at {text[:40]!r}: put it right, or delete it")
    return said
