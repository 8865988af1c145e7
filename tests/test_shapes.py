"""The shapes in annotations are true: everything a user does with tensors, run with the annotations checked."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
EVERYTHING = """
import tests.test_shapes
from jaxtyping import install_import_hook

hook = install_import_hook(["rewardkit", "rewardkit_adapters"], "tests.test_shapes.checked")
import torch
import ours
import rewardkit as rk
from rewardkit import conformance
from rewardkit.miniworld.clips import write_clips
from rewardkit.rewards.catalog import create_model, reward_settings
from tests.adapters.backbones import CASES, kind_of

hook.uninstall()
for name in (name for name in rk.list_rewards() if not reward_settings(name)):
    conformance.check_reward(create_model(name, device="cpu"))
for name in ours.CHECKS:
    model = ours.build(name, __import__("pathlib").Path(__import__("sys").argv[1]).parent)
    item = torch.rand(8, 3, 40, 50) if isinstance(model, rk.TemporalReward) else torch.rand(3, 40, 50)
    model(torch.stack([item, item]).requires_grad_(), ["a cat", "a dog"]).sum().backward()
    model(torch.stack([item, item]), ["a cat", "a dog"])
sharp, flicker = rk.create_reward("sharpness", frames="segments:4"), rk.create_reward("flicker")
samplers = ("all", "first:2", "every:3", "uniform:4", "index:0,-1", "segments:2,first")
aggregations = ("mean", "min", "max", "quantile:0.3", "trimmed:0.2", "softmin:0.1", "logmeanexp:4")
video = torch.rand(2, 9, 3, 32, 40)
for frames in samplers:
    for reduce in aggregations:
        assert rk.create_reward("contrast", frames=frames, reduce=reduce)(video).shape == (2,)
attenuated = rk.create_reward("contrast", weights="attenuate:0.5,normalise=true", normalise="running").train()
total = 0.7 * sharp + 0.3 * flicker - attenuated
plan = total.plan(9, batch=2, generator=torch.Generator().manual_seed(0))
detail = total.detail(plan.take(video), plan=plan)
assert detail.score.shape == (2,)
for name, kind in CASES:
    generator = kind_of(name).tiny(kind)
    film = rk.generate(generator, ["a cat"], steps=2, shape=generator.tiny_shape)
    assert generator.decode(generator.encode(film), torch.tensor([[0, 2]])).shape[:3] == (1, 2, 3)
folder = write_clips(__import__("pathlib").Path(__import__("sys").argv[1]), films=1).parent
table = rk.score_folder(folder, sharp + flicker, out=folder / "rows.jsonl")
assert not table.failed()
rk.write_report(table, table.header, folder / "report.html")
rows = list(table)
rk.compare(rows, rows)
print("checked")
"""


def checked(thing: object) -> object:
    """beartype, to which an int is a float."""
    from beartype import BeartypeConf, beartype
    from beartype.roar import BeartypeDecorHintPep673Exception

    try:
        return beartype(conf=BeartypeConf(is_pep484_tower=True))(thing)  # type: ignore[call-overload]
    except BeartypeDecorHintPep673Exception:  # Self, which it knows in whole classes only; such methods take no tensors
        return thing


def run(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks" / "parity"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_annotated_shape_is_the_shape_that_comes(tmp_path: Path) -> None:
    done = run(EVERYTHING, tmp_path / "clips")
    assert done.stdout == "checked\n", done.stderr[-2000:]


def test_arrays_in_annotations_are_classes_to_every_numpy() -> None:
    """From NumPy 2.5 on, which is for Python 3.12 and later, `NDArray` is none, and jaxtyping refuses it at import."""
    files = [
        path for folder in ("rewardkit", "adapters", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.py")
    ]
    of_ours = [path for path in files if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)]
    assert len(of_ours) > 100
    shaped = re.compile(r"(Float|Int|UInt8|Bool|Shaped|Num)\[NDArray")
    assert [path.name for path in of_ours if shaped.search(path.read_text(encoding="utf-8"))] == []


def test_a_wrong_shape_is_noticed() -> None:
    code = (
        EVERYTHING.partition("import ours")[0]
        + "import rewardkit as rk\nrk.Mean().reduce(torch.zeros(2, 3), torch.zeros(2, 4))\n"
    )
    done = run(code)
    assert done.returncode != 0
    assert "TypeCheckError" in done.stderr
    assert "reduce" in done.stderr
