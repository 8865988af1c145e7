"""`rewardkit export-lora`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewardkit.cli.options import complete_backbone


def export(
    lora: Annotated[Path, typer.Argument(help="Folder of a LoRA that `rewardkit finetune` wrote.")],
    backbone: Annotated[
        str, typer.Option("--backbone", "-b", help="That it was trained in.", autocompletion=complete_backbone)
    ] = "miniworld",
    model: Annotated[str | None, typer.Option(help="Folder in the layout of diffusers, or a hub id.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder.")] = Path("exported"),
    form: Annotated[
        str,
        typer.Option(
            help="diffusers or peft: the LoRA alone; fused: the denoiser with it; auto: as diffusers can load it."
        ),
    ] = "auto",
    dtype: Annotated[str, typer.Option(help="Of fused weights: auto, float32, bfloat16, float16.")] = "auto",
) -> None:
    """Write a LoRA so that diffusers or peft load it without rewardkit."""
    from rewardkit.engine.create import create_backbone
    from rewardkit.engine.export import export_lora
    from rewardkit.engine.lora import load_lora

    generator = create_backbone(backbone, model, "cpu", dtype)
    load_lora(generator, lora)
    typer.echo(export_lora(generator, out, form))
