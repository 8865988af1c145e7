"""Every official kind of checkpoint is read, every wrong one refused in one sentence; nothing in any of them is run."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rewardkit.errors import BadCheckpointError, UsageError
from rewardkit.weights.reading import read_tensors
from rewardkit.weights.stored import Stored

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.tensor([1.0, 2.0]), "steps": torch.tensor(7)}


def check(found: dict[str, Stored], wanted: dict[str, Tensor] = WEIGHTS) -> None:
    assert found.keys() >= wanted.keys()
    for name, value in wanted.items():
        assert found[name].shape == value.shape, name
        read = found[name].read()
        assert torch.equal(read, value), name
        assert read.dtype == value.dtype


@pytest.mark.parametrize("top", [None, "state_dict", "model", "module"])
@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_save(tmp_path: Path, top: str | None, zipped: bool) -> None:
    path = tmp_path / "x.anything"
    content = {top: OrderedDict(WEIGHTS), "epoch": 3} if top else OrderedDict(WEIGHTS)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    check(read_tensors("x", path))


def test_safetensors_under_any_name(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "x.pth")
    check(read_tensors("x", tmp_path / "x.pth"))


def test_numbers_of_numpy_beside_the_weights(tmp_path: Path) -> None:
    """HPS_v2.pt keeps its best loss as a numpy scalar, which torch.load refuses by itself."""
    torch.save({"state_dict": WEIGHTS, "best": np.float64(0.5)}, tmp_path / "x.pt")
    check(read_tensors("x", tmp_path / "x.pt"))


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 2).half()
        self.two = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 4, bias=False))
        self.alias = nn.Parameter(self.one.weight.detach().T)  # a view with strides of its own
        self.register_buffer("mask", torch.tensor([True, False]))

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x.half()).float())


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_torchscript_archives_give_the_state_dict_of_the_module(tmp_path: Path) -> None:
    model = Layers().eval()
    torch.jit.trace(model, torch.rand(2, 3)).save(str(tmp_path / "x.pt"))
    check(read_tensors("x", tmp_path / "x.pt"), model.state_dict())


def test_views_and_every_precision_are_read_from_their_place(tmp_path: Path) -> None:
    whole = torch.rand(6, 8, dtype=torch.float64)
    weights = {"whole": whole, "view": whole[1:3, ::2], "turned": whole.T, "empty": torch.empty(0, 3)}
    weights |= {str(dtype): torch.rand(3, 2).to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.int64)}
    torch.save(weights, tmp_path / "x.pt")
    check(read_tensors("x", tmp_path / "x.pt"), weights)


def test_an_archive_that_someone_squeezed(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "x.pt", "w") as squeezed:
        for entry in plain.infolist():
            squeezed.writestr(entry.filename, plain.read(entry), zipfile.ZIP_DEFLATED)
    check(read_tensors("x", tmp_path / "x.pt"))


def test_a_file_that_is_cut_after_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(WEIGHTS, path)
    found = read_tensors("x", path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadCheckpointError, match=r"x cannot read .*x.pt, perhaps it was cut short"):
        found["a.weight"].read()


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def archive(path: Path, pickled: bytes) -> None:
    """A TorchScript archive whose attributes are this pickle."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", pickled)
        file.writestr("x/constants.pkl", pickle.dumps(()))


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "torchscript"])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, kind: str) -> None:
    path, touched = tmp_path / "x.pt", tmp_path / "it ran"
    content = {"state_dict": WEIGHTS, "hook": Bomb(touched)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb(touched), protocol=2))
    elif kind == "torchscript":
        archive(path, pickle.dumps(Bomb(touched), protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(BadCheckpointError, match=r"x cannot (use|read) .*x.pt"):
        read_tensors("x", path)
    assert not touched.exists()
    if kind != "torchscript":  # it would have run: the bomb works
        with path.open("rb") as file:
            torch.load(file, weights_only=False) if kind != "pickle" else pickle.load(file)
        assert touched.exists()


def test_a_pickled_module_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """The authors of MPS publish one."""
    torch.save(nn.Linear(2, 2), tmp_path / "x.pth")
    with pytest.raises(BadCheckpointError, match=r"which are never loaded.*convert it to a plain state dict"):
        read_tensors("mps", tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\n <!DOCTYPE html><html>404</html>", "a web page saved under the name of a checkpoint"),
        (b"<html><body>Too many requests", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a git-lfs pointer"),
        (b"\x89PNG\r\n\x1a\n and so on", "expected safetensors or a file of torch.save, but it begins with"),
        (b'{"error": "not found"}', "expected safetensors or a file of torch.save"),
    ],
)
def test_what_is_no_checkpoint_is_told_by_its_beginning(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(BadCheckpointError, match=sentence) as caught:
        read_tensors("hpsv2.1", tmp_path / "x.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("left", [0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tmp_path: Path, kind: str, left: float) -> None:
    path = tmp_path / "x.pt"
    large = {name: torch.rand(40, 50) for name in "abcdef"}
    if kind == "safetensors":
        save_file(large, path)
    else:
        torch.save(large, path, _use_new_zipfile_serialization=kind == "zip")
    path.write_bytes(path.read_bytes()[: int(left * path.stat().st_size)])
    with pytest.raises(BadCheckpointError, match=r"perhaps it was cut short; download it again|never loaded") as caught:
        read_tensors("hpsv2.1", path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {}, torch.ones(2), {"model": {"a": torch.ones(1), "b": "c"}}])
def test_other_contents_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(BadCheckpointError, match="expected a state dict of tensors, found"):
        read_tensors("x", tmp_path / "x.pt")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="x: no checkpoint at"):
        read_tensors("x", tmp_path / "gone.pt")
