"""A training in a process of its own, or in several, that something happens to."""

from __future__ import annotations

import argparse
import ctypes
import datetime
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import rewardkit as rk
from rewardkit.engine import interruption
from rewardkit.engine.finetune import finetune
from tests.engine.test_finetune import PROMPTS, config
from tests.engine.toy import Toy
from tests.judges import Brightness

DAY = 86400.0


def sit_in_c() -> None:
    """Never returns to Python, as a collective whose partner is gone: no handler of Python's runs any more."""
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


class Struck(Brightness):
    """Brightness, until a step: then it says so in a file, and something happens to its process."""

    def __init__(self, step: int, how: str, said: Path) -> None:
        super().__init__()
        self.calls, self.step, self.how, self.said = 0, step, how, said

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        self.calls += 1
        if self.calls == self.step:
            self.said.write_text(str(os.getpid()))
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            sit_in_c()
        return super().forward(images, prompts)


def jump(days: float) -> None:
    """Makes the clock on the wall jump by turns into the future and the past; the steady clocks go on."""
    real, calls = time.time, iter(range(10**9))
    time.time = lambda: real() + (-1) ** next(calls) * days * DAY
    time.time_ns = lambda: int(time.time() * 1e9)

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Jumping:
            return cls.fromtimestamp(time.time(), tz)

    datetime.datetime = Jumping  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--every", type=int, default=2, help="steps between checkpoints")
    parser.add_argument("--strike", type=int, default=0, help="in the call of this number; 0 never")
    parser.add_argument("--how", choices=("kill", "sit"), default="sit")
    parser.add_argument("--rank", type=int, default=0, help="of the process that is struck")
    parser.add_argument("--patience", type=float, default=interruption.PATIENCE)
    parser.add_argument("--days", type=float, default=0.0)
    parser.add_argument("--again", type=bool, default=False, help="the generator is trained a second time")
    told = parser.parse_args()
    torch.set_num_threads(1)
    interruption.PATIENCE = told.patience
    if told.days:
        jump(told.days)
    struck = told.strike if int(os.environ.get("RANK", "0")) == told.rank else 0
    reward = rk.VideoReward(Struck(struck, told.how, told.folder / "struck"), frames="segments:2")
    settings = config(steps=told.steps, batch_size=told.batch, checkpoint_every=told.every)
    toy = Toy()
    finetune(toy, reward, prompts=PROMPTS, config=settings, output_dir=told.folder)
    if told.again:
        finetune(toy, reward, prompts=PROMPTS, config=settings, output_dir=told.folder / "again")


if __name__ == "__main__":
    main()
