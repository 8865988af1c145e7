"""`rewardkit generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewardkit.cli.options import Quiet, complete_backbone, complete_reward


def generate(
    prompt: Annotated[list[str] | None, typer.Argument(help="Prompts; or give --prompts.")] = None,
    backbone: Annotated[
        str, typer.Option("--backbone", "-b", help="A text-to-video backbone.", autocompletion=complete_backbone)
    ] = "miniworld",
    model: Annotated[str | None, typer.Option(help="Folder in the layout of diffusers, or a hub id.")] = None,
    lora: Annotated[Path | None, typer.Option(help="Folder of a LoRA that `rewardkit finetune` wrote.")] = None,
    prompts: Annotated[Path | None, typer.Option(help=".txt with a prompt a line, or a manifest.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the films.")] = Path("films"),
    seeds: Annotated[int, typer.Option(help="Films of each prompt.")] = 1,
    steps: Annotated[int, typer.Option(help="Of the walk from noise.")] = 20,
    guidance: Annotated[float | None, typer.Option(help="Scale; 1 is none. [default: the backbone's]")] = None,
    frames: Annotated[int | None, typer.Option(help="Of a film. [default: the backbone's]")] = None,
    height: Annotated[int | None, typer.Option(help="In pixels. [default: the backbone's]")] = None,
    width: Annotated[int | None, typer.Option(help="In pixels. [default: the backbone's]")] = None,
    fps: Annotated[float, typer.Option(help="Of the files.")] = 8.0,
    lora_strength: Annotated[float, typer.Option(help="How much of the LoRA counts; 0 is the base model.")] = 1.0,
    lora_from: Annotated[float, typer.Option(help="Share of the walk, from its end, with the LoRA on.")] = 1.0,
    guide_by: Annotated[
        str | None,
        typer.Option(help="Pull films towards this reward while they are made.", autocompletion=complete_reward),
    ] = None,
    guide_scale: Annotated[float, typer.Option(help="How far, in units of the noise that is left.")] = 0.2,
    guide_steps: Annotated[str, typer.Option(help="In which steps: tail:10, uniform:5, steps:0,5,-1.")] = "tail:10",
    best_by: Annotated[
        str | None,
        typer.Option(
            help="Score the films of all seeds, and list the best of each prompt in best.csv.",
            autocompletion=complete_reward,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Films made at once.")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Of the weights: auto, float32, bfloat16, float16.")] = "auto",
    memory: Annotated[str, typer.Option(help="To save: low, auto, fast; see Memory.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Forget the films in --out.")] = False,
    quiet: Quiet = False,
) -> None:
    """Make a film of each prompt and seed. Runs again from where it stopped."""
    from rewardkit.bench.films.best import write_best
    from rewardkit.bench.films.prompt_files import read_prompts
    from rewardkit.engine.create import create_backbone
    from rewardkit.engine.folder import generate_folder
    from rewardkit.engine.lora import load_lora
    from rewardkit.engine.reward_guidance import RewardGuidance
    from rewardkit.reducers.create import create_reward

    said = [*(prompt or ()), *(read_prompts(prompts) if prompts else ())]
    if not said:
        raise typer.BadParameter("write a prompt, or give a file with --prompts", param_hint="PROMPT")
    generator = create_backbone(backbone, model, device, dtype, memory)
    if lora is not None:
        load_lora(generator, lora)
    shape = generator.default_shape.but(frames, height, width)
    guiding = (
        None if guide_by is None else RewardGuidance(create_reward(guide_by, device=device), guide_scale, guide_steps)
    )
    judge = None if best_by is None else create_reward(best_by, device=device)

    def show(done: int, total: int) -> None:
        if not quiet:
            typer.echo(f"{done} of {total} films", err=True)

    try:
        manifest = generate_folder(
            generator, list(dict.fromkeys(said)), out, seeds=range(seeds), fps=fps, steps=steps, guidance=guidance,
            shape=shape, lora_strength=lora_strength, lora_from=lora_from, batch_size=batch_size,
            reward_guidance=guiding, overwrite=overwrite, progress=show,
        )  # fmt: skip
        if judge is not None:
            manifest = write_best(manifest, judge, overwrite)
    except KeyboardInterrupt:
        again = "run the same command without --overwrite" if overwrite else "run the same command"
        typer.echo(f"interrupted; finished films are in {out}; {again} to go on", err=True)
        raise typer.Exit(130) from None
    typer.echo(manifest)
