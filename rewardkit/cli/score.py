"""`rewardkit score`."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewardkit.cli.options import AsJson, Quiet, complete_reward

if TYPE_CHECKING:
    from rewardkit.scoring.config import ScoreConfig
    from rewardkit.scoring.counters import Counters
    from rewardkit.scoring.rows import ScoreRow
    from rewardkit.scoring.table import ScoreTable


def score(
    source: Annotated[
        list[str] | None, typer.Argument(help="Files, folders, globs, manifests, or - for paths on stdin.")
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            "--reward",
            "-r",
            help="A reward or a sum: 0.7*technical+0.3*flicker. [default: technical]",
            autocompletion=complete_reward,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help=".jsonl, .csv, .parquet, or a folder or s3://... of files; without it rows go to stdout.",
        ),
    ] = None,
    shards: Annotated[str | None, typer.Option(help="Files in such a folder: jsonl, parquet. [default: jsonl]")] = None,
    prompts: Annotated[
        str | None,
        typer.Option(help="CSV, TSV, JSONL or JSON file; or sidecar, filename, none. [default: sidecars if any]"),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="One prompt for all videos.")] = None,
    frames: Annotated[
        str | None,
        typer.Option(help="all, first:N, every:N, uniform:N, segments:N, index:0,4,-1. [default: the reward's]"),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="equal or attenuate:RATE. [default: equal]")] = None,
    reduce: Annotated[
        str | None,
        typer.Option(help="mean, min, max, quantile:Q, trimmed:SHARE, softmin:T, logmeanexp:B. [default: mean]"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML or TOML with any of these settings; the command line wins.")
    ] = None,
    overwrite: Annotated[
        bool | None, typer.Option("--overwrite/--no-overwrite", help="Forget the rows in --out.")
    ] = None,
    retry_failed: Annotated[
        bool | None, typer.Option("--retry-failed/--no-retry-failed", help="Score failed videos again.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be scored.")] = False,
    limit: Annotated[int | None, typer.Option(help="Only the first so many videos.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps. [default: auto]")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="Precision of a reward's weights: auto, float32, bfloat16, float16. [default: auto]"),
    ] = None,
    batch_size: Annotated[str | None, typer.Option(help="Frames scored at once, or auto. [default: auto]")] = None,
    num_workers: Annotated[str | None, typer.Option(help="Threads that decode, or auto. [default: auto]")] = None,
    seed: Annotated[int | None, typer.Option(help="For random frames. [default: 0]")] = None,
    engine: Annotated[str | None, typer.Option(help="What does the work: local, ray. [default: local]")] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="Of a cluster of Ray. [default: RAY_ADDRESS, or this machine]")
    ] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Refuse larger frames. [default: 67108864]")] = None,
    max_frames: Annotated[int | None, typer.Option(help="Refuse longer videos. [default: any length]")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds to read a video in; switches --isolate on. [default: any time]")
    ] = None,
    isolate: Annotated[
        bool | None, typer.Option("--isolate/--no-isolate", help="Read videos in processes that may crash.")
    ] = None,
    allow_outside: Annotated[
        bool | None,
        typer.Option("--allow-outside/--no-allow-outside", help="Let manifests name videos outside their folder."),
    ] = None,
    as_json: AsJson = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Lines of JSON on stderr, for programs.")] = False,
    quiet: Quiet = False,
) -> None:
    """Score videos; one row a video. Runs again from where it stopped."""
    from rewardkit.config import load_config
    from rewardkit.scoring.config import ScoreConfig

    typed: dict[str, object] = {
        "source": source, "reward": reward, "out": out, "prompts": prompts, "prompt": prompt,
        "frames": frames, "weights": weights, "reduce": reduce,
        "overwrite": overwrite, "retry_failed": retry_failed, "limit": limit, "seed": seed,
        "device": device, "dtype": dtype, "batch_size": batch_size, "num_workers": num_workers,
        "shards": shards, "engine": engine, "ray_address": ray_address, "allow_outside": allow_outside,
        "max_pixels": max_pixels, "max_frames": max_frames, "timeout": timeout, "isolate": isolate,
    }  # fmt: skip
    settings = load_config(ScoreConfig, config, typed)
    if not settings.source:
        raise typer.BadParameter("name a file, folder, glob or manifest, or - for paths on stdin", param_hint="SOURCE")
    if dry_run:
        _dry_run(settings, as_json)
    else:
        _score(settings, as_json, log_json, quiet)


def _score(settings: ScoreConfig, as_json: bool, log_json: bool, quiet: bool) -> None:
    from rewardkit.cli.json_log import JsonLog
    from rewardkit.cli.progress import ScoreProgress
    from rewardkit.limits import Limits
    from rewardkit.reducers.create import create_reward
    from rewardkit.scoring.counters import Counters
    from rewardkit.scoring.folder import score_folder
    from rewardkit.scoring.journal import row_line

    chosen = settings.model_dump(exclude={"frames", "weights", "reduce", "reward", *Limits.model_fields})
    parts = settings.model_dump(include={"frames", "weights", "reduce", "device", "dtype"})
    if settings.engine == "ray":
        parts["device"] = "cpu"  # the actors' is the one that counts
    reward = create_reward(settings.reward, **parts)
    rows_out, counters = sys.stdout.buffer, Counters()
    shown = JsonLog(counters) if log_json else ScoreProgress(quiet)
    with shown as progress, contextlib.redirect_stdout(sys.stderr), _told_to_stop():  # a reward may print

        def show(row: ScoreRow | None, done: int, total: int) -> None:
            if row is not None and settings.out is None and not as_json:
                rows_out.write(row_line(row))
                rows_out.flush()
            progress(row, done, total)

        try:
            table = score_folder(reward=reward, progress=show, counters=counters, limits=settings.limits, **chosen)
        except KeyboardInterrupt:
            _tell_interrupted(settings, counters, log_json)
            raise typer.Exit(130) from None
    _summarise(table, settings, counters, as_json, log_json, quiet)


@contextlib.contextmanager
def _told_to_stop() -> Iterator[None]:
    """In here SIGTERM, which schedulers send some seconds before they kill, is taken as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _summarise(
    table: ScoreTable, settings: ScoreConfig, counters: Counters, as_json: bool, log_json: bool, quiet: bool
) -> None:
    from rewardkit.cli.json_log import say
    from rewardkit.cli.tables import echo_json

    summary = table.summary()
    if as_json:
        rows = {"out": settings.out} if settings.out else {"results": [row.model_dump() for row in table]}
        echo_json(summary.model_dump() | rows)
    if log_json:
        say("summary", {"out": settings.out, **summary.model_dump(), "new": counters.facts()})
    elif not quiet:
        mean = "" if summary.mean is None else f", mean {summary.mean:.4f}"
        where = f", rows in {settings.out}" if settings.out else ""
        typer.echo(f"{summary.reward}: {summary.ok} of {summary.rows} videos scored{mean}{where}", err=True)
        if summary.truncated_prompts:
            typer.echo(f"{summary.truncated_prompts} prompts are longer than {summary.reward} reads", err=True)
        for row in table.failed()[:5]:
            error = row.error or ""
            typer.secho(f"failed: {error if row.path in error else f'{row.path!r}: {error}'}", fg="red", err=True)
        if summary.failed > 5:
            typer.echo(f"... and {summary.failed - 5} more failed", err=True)
        if counters.failed:
            kinds = ", ".join(f"{kind} {count}" for kind, count in counters.failed.most_common())
            typer.echo(f"failed now, by kind: {kinds}", err=True)
    if summary.failed:
        raise typer.Exit(1)


def _dry_run(settings: ScoreConfig, as_json: bool) -> None:
    from rewardkit.cli.tables import echo_json
    from rewardkit.scoring.preview import preview

    seen = preview(settings)
    if as_json:
        echo_json(seen.model_dump())
        return
    for line in seen.lines():
        typer.echo(line)


def _tell_interrupted(settings: ScoreConfig, counters: Counters, log_json: bool) -> None:
    from rewardkit.cli.json_log import say

    words = [word for word in sys.argv[1:] if word != "--overwrite"]
    again = shlex.join(["rewardkit", *words, *(["--no-overwrite"] if settings.overwrite else [])])
    if log_json:
        say("interrupted", {"out": settings.out, "go_on_with": again, **counters.facts()}, "warning")
    elif settings.out is None:
        typer.echo("interrupted; without --out nothing is kept", err=True)
    else:
        typer.echo(f"interrupted; every finished row is in {settings.out}; go on with: {again}", err=True)
