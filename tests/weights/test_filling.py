"""Models get their weights strictly, in the precision asked for, and one copy serves all."""

import gc
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from rewardkit.errors import BadCheckpointError
from rewardkit.weights.filling import Placement, filled, parameters_on_meta
from rewardkit.weights.sharing import shared
from rewardkit.weights.stored import Stored, Tensors, derived, in_memory, part

CPU = torch.device("cpu")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("table", torch.arange(4.0))
        self.register_buffer("mask", torch.full((2, 2), 5.0), persistent=False)


def weights() -> Tensors:
    torch.manual_seed(0)
    return {name: in_memory(torch.rand(value.shape)) for name, value in Net().state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_every_tensor_is_in_its_place_in_the_precision_asked_for(dtype: torch.dtype) -> None:
    given = weights()
    net = filled("x", Net, dict(given), Path("x.pt"), Placement(CPU, dtype))
    for name, value in net.state_dict().items():
        wide = torch.promote_types(dtype, torch.float32)
        assert value.dtype == (wide if value.ndim == 0 else dtype)
        assert torch.equal(value, given[name].read().to(value.dtype))
    assert torch.equal(net.mask, torch.full((2, 2), 5.0))
    assert not any(weight.requires_grad for weight in net.parameters())
    assert not net.training


def test_tensors_are_let_go_one_by_one() -> None:
    given = weights()
    filled("x", Net, given, Path("x.pt"), Placement(CPU, torch.float32))
    assert given == {}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_parameters_that_are_replaced_take_no_memory() -> None:
    def peak() -> int:
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])  # type: ignore[index]

    Path("/proc/self/clear_refs").write_text("5")  # forget the peak until now
    before = peak()
    with parameters_on_meta():
        net = nn.Linear(20_000, 20_000)
    assert net.weight.device.type == "meta"
    assert peak() - before < 50_000  # kB, of 1.6 GB
    assert nn.Linear(2, 2).weight.device.type == "cpu"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.pop("layer.bias"), "of the 4 tensors expected 1 are missing, such as layer.bias"),
        (lambda w: w.update(other=in_memory(torch.ones(1))), "1 are unknown to it, such as other"),
        (
            lambda w: w.update({"layer.bias": in_memory(torch.ones(7))}),
            r"1 have another shape.*layer.bias: \(7,\) instead of \(2,\)",
        ),
        (lambda w: w.clear(), "of the 4 tensors expected 4 are missing"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(change: object, sentence: str) -> None:
    given = weights()
    change(given)  # type: ignore[operator]
    with pytest.raises(BadCheckpointError, match=rf"x.pt is not a checkpoint of hpsv2.1: .*{sentence}") as caught:
        filled("hpsv2.1", Net, given, Path("x.pt"), Placement(CPU, torch.float32))
    assert "\n" not in str(caught.value)


def test_names_that_may_be_left_out_are() -> None:
    given = weights() | {name: in_memory(torch.arange(3)) for name in ("a.position_ids", "b.c.position_ids")}
    filled("x", Net, given, Path("x.pt"), Placement(CPU, torch.float32), drop=["*position_ids"])


def test_tensors_are_read_one_at_a_time_and_only_those_that_are_needed() -> None:
    read: list[str] = []

    def watched(name: str, value: Stored) -> Stored:
        def note() -> torch.Tensor:
            read.append(name)
            return value.read()

        return Stored(value.shape, note)

    given = {name: watched(name, value) for name, value in weights().items()}
    given["momentum"] = watched("momentum", in_memory(torch.ones(3)))
    assert read == []
    filled("x", Net, given, Path("x.pt"), Placement(CPU, torch.float32), drop=["momentum"])
    assert sorted(read) == sorted(Net().state_dict())


def test_a_derived_tensor_knows_its_shape_before_anything_is_read() -> None:
    def fail() -> torch.Tensor:
        raise AssertionError("read too early")

    rows = derived(lambda a, b: torch.cat([a, b]).T, Stored(torch.Size((2, 3)), fail), Stored(torch.Size((4, 3)), fail))
    assert rows.shape == (3, 6)
    a, b = torch.rand(2, 3), torch.rand(4, 3)
    rows = derived(lambda a, b: torch.cat([a, b]).T, in_memory(a), in_memory(b))
    assert torch.equal(rows.read(), torch.cat([a, b]).T)


def test_a_part_is_what_lies_under_a_prefix() -> None:
    one, other = in_memory(torch.ones(1)), in_memory(torch.ones(2))
    assert part({"a.x": one, "b.a.x": other}, "a.") == {"x": one}
    assert part({"a.x": one}, "") == {"a.x": one}


@pytest.fixture
def loads() -> Iterator[list[nn.Module]]:
    yield []
    gc.collect()


def test_one_copy_serves_all_who_ask_for_the_same(loads: list[nn.Module]) -> None:
    placement = Placement(CPU, torch.float32)

    def load() -> nn.Module:
        loads.append(nn.Linear(2, 2))
        return loads[-1]

    one = shared("some weights", placement, load)
    assert shared("some weights", placement, load) is one
    assert shared("other weights", placement, load) is not one
    assert shared("some weights", placement._replace(dtype=torch.float64), load) is not one
    assert len(loads) == 3


def test_a_copy_that_was_cast_by_its_user_is_not_handed_out() -> None:
    placement = Placement(CPU, torch.float32)
    one = shared("cast", placement, lambda: nn.Linear(2, 2))
    one.to(torch.bfloat16)
    other = shared("cast", placement, lambda: nn.Linear(2, 2))
    assert next(other.parameters()).dtype == torch.float32
    assert next(one.parameters()).dtype == torch.bfloat16


def test_weights_go_when_nobody_uses_them() -> None:
    placement, made = Placement(CPU, torch.float32), []

    def load() -> nn.Module:
        made.append(1)
        return nn.Linear(2, 2)

    one = shared("gone", placement, load)
    del one
    gc.collect()
    shared("gone", placement, load)
    assert len(made) == 2
