"""The pages of backbones, read off their adapters and benchmarks/results, backbones.json and gpu.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from writing.tables import NOTE, as_table, result

from rewardkit.registry import BACKBONES

HEAD = f"""{NOTE}

# Backbones

What comes along, over diffusers; [how to use one](../../how-to/use-a-backbone.md). Films of each are equal to those of
its pipeline with a DDIM or flow-Euler scheduler, from the same noise and prompts (small random networks of the real
classes, on CPUs, to 1e-4). Wan ships UniPC, which gives
[other films](../../how-to/use-a-backbone.md#the-same-films-in-diffusers). No published weights were run.

"""

PREFIX_NOTE = """
`prefix`: how far pixels are off on average, in [0, 1], if later latents are left out though frames depend on them, with
a small random decoder and the first two of four latents.
"""

COMPUTED_HEAD = """
## A step in numbers

`tiny` is measured: one step of fine-tuning of the small random network that `tiny()` makes, two films, on one x86-64
core. *Measured*, with `auto` and with `low`, is the peak of a step on [one H100](../../explanation/speed.md#on-a-gpu).
All other numbers are **computed and not measured**, in GB: networks of the published sizes run on tensors without
memory, in bfloat16, one film of the shape named, and what autograd would keep is counted. A step keeps the graph of one
pass of the denoiser, or that of decoding 4 planned frames; the larger counts. `a / b` is all kept / blocks and layers
computed again. Gradients in flight, workspaces, the reward and the optimiser are not in it; the measured step had all
but the optimiser, its reward HPSv2 in bfloat16 (2 GB). `fast`, `auto` and `low` are
[choices of memory](../../how-to/use-a-backbone.md#save-memory); of the weights (denoisers + autoencoder + text
encoders) `low` gives up the last. The GPUs are the smallest with room for the computed step of `fast` and of `low`, a
tenth and a gigabyte to spare; go by the measured number where there is one. `python benchmarks/backbones.py` and
`python benchmarks/gpu.py` write this anew.

"""

EXACT = "exact, not needed"
COLUMNS = ("Backbone", "Models", "Predicts", "Guidance", "Chosen frames need", "LoRA in plain diffusers", "prefix")
COSTS = ("Model", "Film", "tiny", "Weights", "Pass", "Decoding", "Decoding, low", "Step, fast", "Step, low",
         "Measured, auto; low", "GPU, fast; low")  # fmt: skip


def backbones_index() -> str:
    """What backbones can do, and what they cost."""
    facts = as_table(COLUMNS, [_can(name, models) for name, models in by_backbone().items()])
    numbers = as_table(COSTS, [_cost(name, row) for models in by_backbone().values() for name, row in models.items()])
    return "".join([HEAD, facts, PREFIX_NOTE, COMPUTED_HEAD, numbers])


def backbone_page(name: str) -> str:
    """What an adapter says of its backbone, the lines that use it, and what its models cost."""
    adapter, models = BACKBONES.load(name), by_backbone()[name]
    assert isinstance(adapter, type)
    _, known, predicts, guidance, need, lora, prefix = _can(name, models)
    facts = [
        ("Models", known),
        ("Pipeline of diffusers", f"`{adapter.pipeline}`"),
        ("Predicts", predicts),
        ("Guidance", f"{guidance}; scale {adapter.default_guidance:g} unless you choose"),
        ("Chosen frames need", need),
        ("Error of `prefix`", "" if prefix == EXACT else prefix),
        ("LoRA in plain diffusers", lora),
    ]
    options = "show_root_heading: false\n      show_root_toc_entry: false\n      members: false"
    return "\n".join(
        [
            f"{NOTE}\n\n# {name}\n",
            as_table(("Property", "Value"), [(what, value) for what, value in facts if value]),
            f'```console\nrewardkit generate "a cat on a wall" -b {name} --model FOLDER_OR_HUB_ID --out films\n```\n',
            f"::: {adapter.__module__}.{adapter.__name__}\n    options:\n      {options}\n",
            "[What the numbers mean](index.md#a-step-in-numbers).\n",
            as_table(COSTS, [_cost(model, row) for model, row in models.items()]),
        ]
    )


def by_backbone() -> dict[str, dict[str, Any]]:
    """The models that were measured, by backbone."""
    found: dict[str, dict[str, Any]] = {}
    for name, row in result("backbones")["models"].items():
        found.setdefault(row["backbone"], {})[name] = row
    return dict(sorted(found.items()))


def _can(backbone: str, models: Mapping[str, Any]) -> tuple[str, ...]:
    first = next(iter(models.values()))
    return (
        f"[{backbone}]({backbone}.md)",
        ", ".join(models),
        first["prediction"].removesuffix("_prediction"),
        first["guidance"],
        first["decoding"],
        "yes" if first["lora_file"] else "no: `fused` or `peft`",
        EXACT if first["prefix_error"] is None else f"{first['prefix_error']:.3f}",
    )


def _cost(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    found, (frames, height, width), tiny = row["computed"], row["shape"], row["tiny"]
    weights = " + ".join(f"{found['weights'][part]:.1f}" for part in ("denoisers", "vae", "text"))
    saved = found["window"] if "window" in found else found["tiles"]
    return (
        name,
        f"{frames} of {height} by {width}",
        f"{tiny['seconds']:.1f} s, {tiny['megabytes']:.0f} MB",
        weights,
        *(f"{found[what]['kept']:.0f} / {found[what]['checkpointed']:.0f}" for what in ("pass", "decode")),
        f"{saved['checkpointed']:.0f}",
        *(f"{found['step'][choice]:.0f}" for choice in ("fast", "low")),
        "; ".join(_measured(name, row["shape"])),
        f"{found['gpu']['fast']}; {found['gpu']['low']}",
    )


def _measured(name: str, shape: Sequence[int]) -> list[str]:
    """Peak gigabytes of a step with a film of this shape on a GPU, with `auto` and with `low`."""
    rows = {row["name"]: row for row in result("gpu")["rows"] if row["status"] == "ok"}
    steps = [rows.get(f"step, {name}, {choice}", {}) for choice in ("auto", "low")]
    return [f"{step['peak_gigabytes']:.0f}" for step in steps if step.get("film") == list(shape)]
