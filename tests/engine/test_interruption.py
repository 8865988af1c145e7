"""What is kept when a step cannot end, in one process; see test_faults.py for real signals from outside."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from torch import Tensor

import rewardkit as rk
from rewardkit.engine.finetune import finetune
from rewardkit.engine.interruption import interruptible
from tests.engine.test_finetune import PROMPTS, config, fails, same, trained
from tests.engine.toy import Toy
from tests.judges import Brightness


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("[0-9]*"))


class TwiceInterrupted(Brightness):
    """As somebody who presses Ctrl-C twice in the fourth step."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        self.calls += 1
        for _ in range(2 if self.calls == 4 else 0):
            signal.raise_signal(signal.SIGINT)
        return super().forward(images, prompts)


def test_a_second_interruption_breaks_the_step_off_and_keeps_those_before(tmp_path: Path) -> None:
    reward = rk.VideoReward(TwiceInterrupted(), frames="segments:2")
    settings = config(checkpoint_every=100)
    with pytest.raises(KeyboardInterrupt):
        finetune(Toy(), reward, prompts=PROMPTS, config=settings, output_dir=tmp_path / "broken")
    assert saved(tmp_path / "broken") == ["000003"]
    assert same(trained(tmp_path / "broken"), trained(tmp_path / "whole"))


def test_an_error_of_the_machine_keeps_the_steps_before(tmp_path: Path) -> None:
    settings = config(checkpoint_every=100)
    with pytest.raises(RuntimeError, match="the machine is gone"):
        finetune(Toy(), fails(4, "raise"), prompts=PROMPTS, config=settings, output_dir=tmp_path)
    assert saved(tmp_path) == ["000003"]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError, MemoryError, ValueError])
def test_everything_is_as_it_was_after_training(error: type[BaseException] | None) -> None:
    """An event loop may have its own ears for signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads, rescued = threading.active_count(), []

    def rescue() -> str:
        rescued.append(1)
        return "saved"

    with contextlib.suppress(error or ()), interruptible(rescue):
        assert threading.active_count() == threads + 1
        if error:
            raise error
    assert len(rescued) == (error in (KeyboardInterrupt, RuntimeError, MemoryError))
    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.set_wakeup_fd(-1) == -1
    assert threading.active_count() == threads
