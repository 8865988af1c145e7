"""The generator that comes along."""

from __future__ import annotations

from pathlib import Path

import pytest

from rewardkit.engine.create import create_backbone
from rewardkit.engine.generate import generate
from rewardkit.errors import UsageError
from rewardkit_adapters.miniworld import MiniWorld


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random weights where the package has trained ones."""
    tiny = MiniWorld.tiny()
    tiny.plain().save_pretrained(tmp_path)
    monkeypatch.setattr(MiniWorld, "default_model", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_it_needs_no_model_and_makes_its_own_kind_of_films() -> None:
    world = create_backbone("miniworld", device="cpu")
    assert (world.name, world.default_shape, world.default_guidance) == ("miniworld", (8, 32, 32), 4.0)
    assert generate(world, ["a red circle moving right"], steps=2).shape == (1, 8, 3, 32, 32)


def test_a_model_of_ones_own_is_taken_instead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MiniWorld, "default_model", "nowhere")
    assert create_backbone("miniworld", folder, device="cpu").default_shape == (8, 32, 32)
    with pytest.raises(UsageError, match=r"^miniworld: no such folder: nowhere$"):
        create_backbone("miniworld", device="cpu")


def test_its_weights_lie_in_the_package() -> None:
    assert MiniWorld.default_model is not None
    assert MiniWorld.default_model.endswith("rewardkit/miniworld/weights/generator")
