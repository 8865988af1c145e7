"""Writes what is read off code and results: two reference pages, the tables of other pages, and rewardkit's own
numbers.

    python docs/write_reference.py

A test compares them with what this gives, so none can drift.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_type_hints

from typer.models import ArgumentInfo, CommandInfo, OptionInfo

sys.path.insert(0, str(Path(__file__).parent))
from fault_tables import fault_tables
from speed_tables import RESULTS, as_table, growth_tables, readme_speed, result, speed_tables

from rewardkit.bench.pages.tables import as_markdown
from rewardkit.bench.result import Cell, Column, Forest, Result, Table
from rewardkit.cli import app
from rewardkit.registry import REWARDS
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.catalog import list_rewards, published_files, reward_files, reward_info
from rewardkit.rewards.release import Release

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `python docs/write_reference.py`: change the code it reads, not this page. -->"

CLI_HEAD = f"""{NOTE}

# Command line

Results go to stdout or to `--out`, everything else to stderr. [Exit codes](errors-and-exit-codes.md) tell what
happened. `rewardkit --install-completion` teaches your shell the commands, their options and the names of rewards.
"""

REWARDS_HEAD = f"""{NOTE}

# Rewards

The rewards that come with the package, read off their cards. Higher is better in every one; `open` is an end of the
range without a bound. `rewardkit list` and `rewardkit info NAME` say the same on the command line, also of rewards from
other packages and from your own files.
"""


LEARNED_HEAD = """
The learned rewards. `exact` and `diff` are the greatest differences from the official package's scores on the two ways
of [preprocessing](../explanation/parity.md), in units of the score, over pictures of eight shapes and five prompts with
small random weights in the official layout (`python benchmarks/check_parity.py`); milliseconds a frame are for
full-size random weights at float32 on two x86-64 cores (`python benchmarks/learned_frame_times.py`).
"""
EXACT, DIFF, TIME = "greatest difference, exact", "greatest difference, diff", "time a frame, float32, 2 CPU cores"


def cli_page() -> str:
    """The command line: every command with its arguments and options."""
    return "\n".join([CLI_HEAD, *(_command(info) for info in app.registered_commands)])


def rewards_page() -> str:
    """The rewards of this package: a table, then what each says of itself."""
    made = {name: REWARDS.load(name) for name in list_rewards()}
    ours = {name: thing for name, thing in made.items() if _is_ours(thing)}
    columns = ("Reward", "Measures", "Judges", "Range", "Gradient")
    table = as_table(columns, [_card_cells(reward_info(name)) for name in ours])
    learned = [name for name in ours if published_files(name)]
    parts = [REWARDS_HEAD, table, LEARNED_HEAD, _learned_table(learned)]
    return "\n".join([*parts, *(_reward(reward_info(name), made) for name, made in ours.items())])


def _is_ours(made: object) -> bool:
    home = made.build.__module__ if isinstance(made, Release) else getattr(made, "__module__", "")
    return home.partition(".")[0] == "rewardkit"


def _learned_table(names: Iterable[str]) -> str:
    columns = ("Reward", "Code", "Weights", "Parameters", "Input", "Prompt", "Gradient", "exact", "diff", "ms a frame")
    return as_table(columns, [_learned_cells(reward_info(name)) for name in names])


def _learned_cells(card: RewardCard) -> tuple[str, ...]:
    numbers = measurements().get(card.name, {})
    return (
        f"`{card.name}`",
        card.code_licence,
        card.weights_licence or "none",
        "" if card.parameters is None else f"{card.parameters / 1e6:,.0f} M",
        _text(card.input),
        f"{card.max_prompt_tokens} tokens" if card.max_prompt_tokens else "none",
        "yes" if card.differentiable else "no",
        numbers.get(EXACT, "not run"),
        numbers.get(DIFF, "not run"),
        numbers.get(TIME, "not run").removesuffix(" ms"),
    )


def measurements() -> dict[str, dict[str, str]]:
    """What was measured of each learned reward, in words, from the files that the measuring commands recorded."""
    found: dict[str, dict[str, str]] = {}
    for name, numbers in result("parity")["rewards"].items():
        found[name] = {EXACT: f"{numbers['exact']:.0e}", DIFF: f"{numbers['diff']:.0e}"}
    for name, milliseconds in result("learned_frame_times")["milliseconds"].items():
        found.setdefault(name, {})[TIME] = f"{milliseconds:,.0f} ms"
    return dict(sorted(found.items()))


BACKBONES_HEAD = f"""{NOTE}

# Backbones

What comes along, over diffusers; [how to use one](../how-to/use-a-backbone.md). Films of each are equal to those of its
pipeline from the same noise and prompts (small random networks of the real classes, on CPUs, to 1e-4). No published
weights were run.

"""

PREFIX_NOTE = """
`prefix`: how far pixels are off on average, in [0, 1], if later latents are left out though frames depend on them, with
a small random decoder and the first two of four latents.
"""

COMPUTED_HEAD = """
## A step in numbers

`tiny` is measured: one step of fine-tuning of the small random network that `tiny()` makes, two films, on one x86-64
core. All other numbers are **computed and not measured**, in GB: networks of the published sizes run on tensors without
memory, in bfloat16, one film of the shape named, and what autograd would keep is counted. A step keeps the graph of one
pass of the denoiser, or that of decoding 4 planned frames; the larger counts. `a / b` is all kept / blocks and layers
computed again. Gradients in flight, workspaces, the reward and the optimiser are not in it. `fast` and `low` are
[choices of memory](../how-to/use-a-backbone.md#save-memory); of the weights (denoisers + autoencoder + text encoders)
`low` gives up the last. A GPU named has a tenth and a gigabyte to spare. `python benchmarks/backbones.py` writes this
anew.

"""


def backbones_page() -> str:
    """What backbones can do, and what they cost."""
    models = result("backbones")["models"]
    by_backbone: dict[str, list[str]] = {}
    for name, row in models.items():
        by_backbone.setdefault(row["backbone"], []).append(name)
    facts = [
        (
            f"`{backbone}`",
            ", ".join(names),
            models[names[0]]["prediction"].removesuffix("_prediction"),
            models[names[0]]["guidance"],
            models[names[0]]["decoding"],
            "yes" if models[names[0]]["lora_file"] else "no: `fused` or `peft`",
            "none" if models[names[0]]["prefix_error"] is None else f"{models[names[0]]['prefix_error']:.3f}",
        )
        for backbone, names in sorted(by_backbone.items())
    ]
    columns = ("Backbone", "Models", "Predicts", "Guidance", "Chosen frames need", "LoRA in plain diffusers", "prefix")
    costs = ("Model", "Film", "tiny", "Weights", "Pass", "Decoding", "Decoding, low", "Step, fast", "Step, low", "GPU")
    numbers = as_table(costs, [_cost(name, row) for name, row in models.items()])
    return "".join([BACKBONES_HEAD, as_table(columns, facts), PREFIX_NOTE, COMPUTED_HEAD, numbers])


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
        f"{found['gpu']['fast']}; {found['gpu']['low']}",
    )


def _command(info: CommandInfo) -> str:
    assert info.callback is not None
    name = info.name or info.callback.__name__
    hints = get_type_hints(info.callback, include_extras=True)
    usage, arguments, options = ["rewardkit", name], [], []
    for key, parameter in inspect.signature(info.callback).parameters.items():
        said = hints[key].__metadata__[0]
        if isinstance(said, ArgumentInfo):
            needed = parameter.default is inspect.Parameter.empty
            usage.append(key.upper() if needed else f"[{key.upper()}]")
            arguments.append((f"`{key.upper()}`", *_help(said, "required" if needed else parameter.default)))
        elif isinstance(said, OptionInfo):
            options.append((f"`{_flags(key, said)}`", *_help(said, parameter.default)))
    usage += ["[OPTIONS]"]
    parts = [f"## {name}\n", f"{inspect.getdoc(info.callback)}\n", f"```console\n{' '.join(usage)}\n```\n"]
    parts += [as_table(("Argument", "Meaning", "Default"), arguments)] if arguments else []
    return "\n".join([*parts, as_table(("Option", "Meaning", "Default"), options)])


def _flags(key: str, option: OptionInfo) -> str:
    first = [option.default] if isinstance(option.default, str) else []  # where typer keeps the first name given
    return ", ".join([*first, *(option.param_decls or ())] or [f"--{key.replace('_', '-')}"])


def _help(said: ArgumentInfo | OptionInfo, default: object) -> tuple[str, str]:
    """What it means, and its default: the one that the help text names, or the parameter's own."""
    meaning, _, named = re.sub(r"\]$", "", said.help or "").partition(" [default: ")
    own = "" if default is None or default is False else str(default)
    return _text(meaning), _text(named or own)


def _card_cells(card: RewardCard) -> tuple[str, ...]:
    return (
        f"[{card.name}](#{card.name.replace('.', '')})",  # as the anchor of a heading is made
        _text(card.summary),
        "frames together" if card.video_level else "single frames",
        card.range_in_words,
        "yes" if card.differentiable else "no",
    )


def _reward(card: RewardCard, made: object) -> str:
    documented = made.build if isinstance(made, Release) else made
    assert callable(documented)
    needs = [f"`{key}`: {_text(str(source))}." for key, source in reward_files(card.name).items()]
    facts = [
        f"Unit: {_text(card.unit)}.",
        f"Frames unless you choose: `{card.frames}`.",
        "Needs a prompt." if card.needs_prompt else "Reads no prompt.",
        f"Weights: {card.weights_licence or 'none'}. Code: {card.code_licence}.",
        *needs,
    ]
    options = "show_root_heading: false\n      show_root_toc_entry: false\n      members: false"
    described = f"::: {documented.__module__}.{documented.__name__}\n    options:\n      {options}"
    return f"## {card.name}\n\n{' '.join(facts)}\n\n{described}\n"


def _text(words: str) -> str:
    """Plain words as Markdown that shows them as they are; what is in backticks stays code."""
    pieces = words.split("`")
    pieces[::2] = [re.sub(r"([*_|<\[])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def readme() -> str:
    """The README with its tables written anew."""
    tables = {
        "rewards": _readme_rewards(),
        "learned": _learned_table(filter(published_files, list_rewards())),
        "truth": _readme_truth(),
        "speed": readme_speed(),
        **_benchmark_tables(README),
    }
    return _with_tables(README, tables)


def benchmark_page(page: Path) -> str:
    """A page with its tables of benchmarks written anew."""
    return _with_tables(page, _benchmark_tables(page))


def _benchmark_tables(page: Path) -> dict[str, str]:
    """Those that a page has a place for, between marks that name the result and the block."""
    named = re.findall(r"^<!-- (\w+) ([\w.-]+): written by", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {f"{name} {slug}": _benchmark_table(name, slug) for name, slug in named}


def _benchmark_table(name: str, slug: str) -> str:
    path = RESULTS / f"side_by_side_{name}.json"
    if not path.is_file():
        return "Not run.\n"
    found = Result.model_validate_json(path.read_bytes())
    if slug == "headline":
        return "".join(f"> {line}\n>\n" for line in [*found.headline, *found.warnings])
    block = next(block for block in found.blocks() if block.slug == slug)
    if isinstance(block, Forest):
        rows: list[list[Cell]] = [[row.group, row.label, row.estimate] for row in block.rows]
        unit: Literal["number", "percent"] = "percent" if block.percent else "number"
        columns = [
            Column(name="", unit="text"),
            Column(name="against", unit="text"),
            Column(name="difference", unit=unit),
        ]
        block = Table(slug=slug, title=block.title, note=block.note, columns=columns, rows=rows)
    assert isinstance(block, Table)
    return as_markdown(block)


def measured_page(name: str, tables: Callable[[], Mapping[str, str]]) -> str:
    """A page on what was measured, with its tables written anew."""
    return _with_tables(WHY / name, tables())


def _with_tables(page: Path, tables: Mapping[str, str]) -> str:
    """A page with tables written anew between their marks."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name}: written by `python docs/write_reference.py` -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        assert rest, f"{page.name} has no place for {name}"
        text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


def _readme_rewards() -> str:
    cards = [reward_info(name) for name in list_rewards() if not isinstance(REWARDS.load(name), Release)]
    cells = [
        (f"`{c.name}`", _text(c.summary), c.kind, c.range_in_words, "yes" if c.differentiable else "no") for c in cards
    ]
    return as_table(("Reward", "Measures", "Judges", "Range", "Gradient"), cells)


def _readme_truth() -> str:
    steps = result("technical_truth")["right_steps"]
    defects = list(steps["held out"]["technical"])[:5]
    shares = [(group, *(f"{steps[group]['technical'][d]:.0%}" for d in defects)) for group in ("fitted", "held out")]
    return as_table(("Clips", *defects), shares)


def measured_file() -> str:
    """The numbers that the package shows in `rewardkit info`."""
    return json.dumps(measurements(), indent=1) + "\n"


README = FOLDER.parent.parent / "README.md"
WHY = FOLDER.parent / "explanation"
PAGES: dict[Path, Callable[[], str]] = {
    FOLDER / "cli.md": cli_page,
    FOLDER / "rewards.md": rewards_page,
    FOLDER / "backbones.md": backbones_page,
    README: readme,
    WHY / "ablations.md": partial(benchmark_page, WHY / "ablations.md"),
    WHY / "side-by-side.md": partial(benchmark_page, WHY / "side-by-side.md"),
    WHY / "faults.md": partial(measured_page, "faults.md", fault_tables),
    WHY / "growth.md": partial(measured_page, "growth.md", growth_tables),
    WHY / "speed.md": partial(measured_page, "speed.md", speed_tables),
    README.parent / "rewardkit" / "rewards" / "measured.json": measured_file,
}

if __name__ == "__main__":
    for file, page in PAGES.items():
        file.write_text(page(), encoding="utf-8")
