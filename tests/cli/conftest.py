import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from rewardkit.cli import main


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def rewardkit(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs the command line in this process."""

    def run(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["rewardkit", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        code = stopped.value.code
        captured = capfd.readouterr()
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run
