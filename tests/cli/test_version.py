"""`rewardkit --version`."""

import sys

import pytest

import rewardkit
from rewardkit.cli import main


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["rewardkit", "--version"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    assert capfd.readouterr().out == f"rewardkit {rewardkit.__version__}\n"
