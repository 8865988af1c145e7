"""`rewardkit generate` into a folder that holds films already."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rewardkit.engine import folder
from tests.cli.conftest import Result
from tests.threads import one_thread as one_thread

Run = Callable[..., Result]
FILM = "0001-a-red-ball-s0.mp4"


def made(rewardkit: Run, out: Path, *words: object) -> Result:
    return rewardkit("generate", "a red ball", "--steps", 4, "--frames", 2, "--out", out, "--device", "cpu", *words)


def test_other_settings_need_another_folder_or_overwrite(rewardkit: Run, tmp_path: Path) -> None:
    assert made(rewardkit, tmp_path).code == 0
    first = (tmp_path / FILM).read_bytes()
    assert made(rewardkit, tmp_path, "--batch-size", 1, "--quiet").code == 0
    refused = made(rewardkit, tmp_path, "--guidance", 1)
    assert refused.code == 2
    assert refused.err == (
        f"error: {tmp_path} holds films made with guidance 4.0, not with guidance 1.0: "
        "take another --out, or overwrite them\n"
    )
    assert (tmp_path / FILM).read_bytes() == first
    assert made(rewardkit, tmp_path, "--guidance", 1, "--overwrite").code == 0
    assert (tmp_path / FILM).read_bytes() != first
    assert made(rewardkit, tmp_path, "--guidance", 1).code == 0


def test_films_judged_by_another_reward_are_scored_anew_when_overwritten(rewardkit: Run, tmp_path: Path) -> None:
    assert made(rewardkit, tmp_path, "--best-by", "exposure").code == 0
    refused = made(rewardkit, tmp_path, "--best-by", "contrast")
    assert refused.code == 2
    assert "holds rows of exposure" in refused.err
    assert made(rewardkit, tmp_path, "--best-by", "contrast", "--overwrite").code == 0


@pytest.mark.parametrize(
    ("words", "said"), [((), "run the same command to go on"), (("--overwrite",), "without --overwrite to go on")]
)
def test_ctrl_c_says_how_to_go_on(
    rewardkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "write_video", stop)
    result = made(rewardkit, tmp_path, *words)
    assert result.code == 130
    assert said in result.err
