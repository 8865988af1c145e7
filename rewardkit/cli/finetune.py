"""`rewardkit finetune`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewardkit.cli.options import AsJson, Quiet, complete_backbone, complete_reward

if TYPE_CHECKING:
    from rewardkit.engine.finetune import StepReport


def finetune(
    config: Annotated[
        Path | None, typer.Option(help="YAML or TOML with any of these settings and FinetuneConfig's; options win.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", "-b", help="A backbone. [default: miniworld]", autocompletion=complete_backbone),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Folder in the layout of diffusers, or a hub id.")] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            "--reward", "-r", help="To train on, with its frames and weights.", autocompletion=complete_reward
        ),
    ] = None,
    held_out: Annotated[
        list[str] | None, typer.Option(help="A reward that is watched and not trained on; may be given again.")
    ] = None,
    prompts: Annotated[Path | None, typer.Option(help=".txt with a prompt a line, or a manifest of clips.")] = None,
    watch: Annotated[Path | None, typer.Option(help="Prompts of the guards' films. [default: the first]")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the training. [default: run]")] = None,
    steps: Annotated[int | None, typer.Option(help="Batches to train on. [default: 200]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Films a step. [default: 8]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of AdamW. [default: 0.0001]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random. [default: 0]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps. [default: auto]")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of frozen weights; the LoRA is float32. [default: auto]")] = None,
    memory: Annotated[
        str | None, typer.Option(help="To save: low, auto, fast; each setting in --config. [default: auto]")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Of a film. [default: the backbone's]")] = None,
    height: Annotated[int | None, typer.Option(help="In pixels. [default: the backbone's]")] = None,
    width: Annotated[int | None, typer.Option(help="In pixels. [default: the backbone's]")] = None,
    allow_outside: Annotated[
        bool | None,
        typer.Option("--allow-outside/--no-allow-outside", help="Let a manifest name clips outside its folder."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a backbone on a reward. Runs again from the last checkpoint."""
    from rewardkit.bench.films.prompt_files import read_examples, read_prompts
    from rewardkit.cli.progress import Bar
    from rewardkit.cli.tables import echo_json
    from rewardkit.config import load_config
    from rewardkit.engine.ranks import is_first
    from rewardkit.engine.training import TrainingConfig, train

    typed: dict[str, object] = {
        "backbone": backbone, "model": model, "reward": reward, "held_out": held_out or None, "prompts": prompts,
        "watch": watch, "out": out, "steps": steps, "batch_size": batch_size, "learning_rate": learning_rate,
        "seed": seed, "device": device, "dtype": dtype, "memory": memory, "frames": frames,
        "height": height, "width": width, "allow_outside": allow_outside,
    }  # fmt: skip
    settings = load_config(TrainingConfig, config, typed)
    if settings.prompts is None:
        raise typer.BadParameter("name a file of prompts or a manifest of clips", param_hint="--prompts")
    watched = read_prompts(settings.watch) if settings.watch else None

    examples = read_examples(settings.prompts, settings.allow_outside)
    first = is_first()  # of several processes, which would otherwise all say the same
    try:
        with Bar(quiet or not first) as bar:

            def show(report: StepReport) -> None:
                facts = ", ".join(f"{name} {value:.4f}" for name, value in report.facts.items())
                bar.at("steps", report.step, settings.steps, facts)

            result = train(settings, examples, watched, show)
    except KeyboardInterrupt:
        if first:
            alone = os.environ.get("WORLD_SIZE", "1") == "1"  # else a launcher's words came before ours
            again = shlex.join(["rewardkit", *sys.argv[1:]]) if alone else "the same command"
            typer.echo(f"interrupted; complete steps are saved in {settings.out}; go on with: {again}", err=True)
        raise typer.Exit(130) from None
    if not first:
        return
    if as_json:
        echo_json(result.model_dump(mode="json"))
        return
    for reason in result.stopped:
        typer.secho(f"stopped by a guard: {reason}", fg="yellow", err=True)
    typer.echo(result.lora)
