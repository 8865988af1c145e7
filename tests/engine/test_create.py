"""Backbones by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from rewardkit.cli import app
from rewardkit.engine.create import create_backbone, list_backbones
from rewardkit.errors import UnknownNameError, UsageError
from tests.engine.toy import Toy


class Homely(Toy):
    """Brings a model of its own, and keeps how it was loaded."""

    default_model = "v_prediction"
    loaded: tuple[object, ...] = ()

    @classmethod
    def load(cls, model: str, dtype: torch.dtype) -> Homely:
        cls.loaded = (model, dtype)
        return cls(prediction=model)


NOT_A_BACKBONE = 3


def test_the_backbones_that_come_along_are_listed() -> None:
    assert {"miniworld", "modelscope"} <= set(list_backbones())
    assert list_backbones("mini*") == ["miniworld"]
    assert list_backbones("nothing*") == []


def test_the_command_lists_them_too() -> None:
    run = CliRunner().invoke(app, ["list", "backbones", "m*", "--json"])
    assert run.exit_code == 0
    assert {"miniworld", "modelscope"} <= set(json.loads(run.stdout))


def test_a_backbone_of_ones_own_is_created_by_its_place() -> None:
    made = create_backbone("tests.engine.test_create:Homely", device="cpu", dtype="bfloat16")
    assert type(made).__name__ == "Homely"
    assert Homely.loaded == ("v_prediction", torch.bfloat16)
    create_backbone("tests.engine.test_create:Homely", model=Path("epsilon"), device="cpu")
    assert Homely.loaded == ("epsilon", torch.float32)


def test_a_backbone_without_a_model_asks_for_one() -> None:
    for name in ("tests.engine.toy:Toy", "modelscope"):
        with pytest.raises(UsageError, match=f"^{name} brings no model of its own: give a folder in the layout of"):
            create_backbone(name)


@pytest.mark.parametrize("name", ["NOT_A_BACKBONE", "test_the_command_lists_them_too"])
def test_what_is_no_generator_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"expected a class that implements rewardkit.engine.generator.Generator$"):
        create_backbone(f"tests.engine.test_create:{name}")


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="no backbone is called 'minworld': did you mean miniworld"):
        create_backbone("minworld")


def test_an_unknown_device_or_dtype_is_refused() -> None:
    for wrong in ({"device": "abacus"}, {"dtype": "int4"}):
        with pytest.raises(UsageError):
            create_backbone("tests.engine.test_create:Homely", **wrong)


def test_without_diffusers_the_extra_is_named() -> None:
    """In a process of its own, where no such package can be found."""
    code = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "diffusers" else find(name, package)
from rewardkit.engine.create import create_backbone
from rewardkit.errors import MissingExtraError
try:
    create_backbone("modelscope", "somewhere")
except MissingExtraError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout == "a text-to-video backbone needs diffusers: pip install 'rewardkit[adapters]'\n"
