"""`rewardkit list` and `rewardkit info`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rewardkit.cli.options import AsJson, complete_reward

if TYPE_CHECKING:
    from rewardkit.weights.source import Source

PREPROCESSING = "exact (as the official code) when scoring, diff where a gradient is asked for; preprocess= fixes one"
KINDS = ("rewards", "reducers", "backbones")


def list_known(
    what: Annotated[
        str, typer.Argument(help="rewards, reducers, backbones, or a pattern of reward names.")
    ] = "rewards",
    pattern: Annotated[str, typer.Argument(help="Shell pattern such as '*hps*'.")] = "*",
    as_json: AsJson = False,
) -> None:
    """List rewards, reducers and backbones."""
    kind, pattern = (what, pattern) if what in KINDS else ("rewards", what)
    if kind == "rewards":
        _list_rewards(pattern, as_json)
    elif kind == "reducers":
        _list_reducers(pattern, as_json)
    else:
        _list_backbones(pattern, as_json)


def info(
    name: Annotated[str, typer.Argument(help="A reward.", autocompletion=complete_reward)],
    as_json: AsJson = False,
) -> None:
    """Show a reward's card: source, licences, range, prompt limit, gradient."""
    from rewardkit.cli.tables import echo_json, echo_table
    from rewardkit.rewards.catalog import reward_files, reward_info, reward_settings
    from rewardkit.rewards.measured import measured

    card, files, numbers = reward_info(name), reward_files(name), measured(name)
    if as_json:
        where = {key: {"source": str(source), "cached": source.cached()} for key, source in files.items()}
        echo_json(card.model_dump() | {"files": where, "settings": reward_settings(name), "measured": numbers})
        return
    facts = {
        "name": card.name,
        "measures": card.summary,
        "judges": "frames together, in order" if card.video_level else "single frames",
        "default frames": card.frames,
        "range": card.range_in_words,
        "unit": card.unit,
        "gradient to pixels": _yes(card.differentiable),
        "needs a prompt": _yes(card.needs_prompt),
        "longest prompt": "no limit" if card.max_prompt_tokens is None else f"{card.max_prompt_tokens} tokens",
        "parameters": "none" if card.parameters is None else f"{card.parameters / 1e6:,.1f} million",
        "input": card.input,
        "preprocessing": PREPROCESSING if card.preprocess else "none",
        "source": card.source,
        "licence of code": card.code_licence,
        "licence of weights": card.weights_licence or "no weights",
    }
    facts |= {key: f"{source}{_where(source)}" for key, source in files.items()}
    facts |= {"settings": ", ".join(reward_settings(name)) or "none"}
    facts |= {f"measured: {what}": number for what, number in numbers.items()}
    echo_table(("", ""), facts.items())


def _where(source: Source) -> str:
    place = source.cached()
    return f", here: {place}" if place is not None else ", not downloaded"


def _list_rewards(pattern: str, as_json: bool) -> None:
    from rewardkit.cli.tables import echo_json, echo_table
    from rewardkit.rewards.catalog import list_rewards, reward_info

    cards = [reward_info(name) for name in list_rewards(pattern)]
    if as_json:
        echo_json([card.model_dump() for card in cards])
        return
    echo_table(
        ("reward", "judges", "range", "gradient", "prompt", "weights", "measures"),
        [
            (
                c.name,
                c.kind,
                c.range_in_words,
                _yes(c.differentiable),
                _yes(c.needs_prompt),
                c.weights_licence or "none",
                c.summary,
            )
            for c in cards
        ],
    )


def _list_reducers(pattern: str, as_json: bool) -> None:
    from fnmatch import fnmatch

    from rewardkit.cli.tables import echo_json, echo_table
    from rewardkit.reducers.aggregation import AGGREGATIONS
    from rewardkit.reducers.attenuation import WEIGHTS
    from rewardkit.reducers.normalisation import SCALES
    from rewardkit.reducers.sampling import SAMPLERS
    from rewardkit.spec import usage

    options = {"frames": SAMPLERS, "weights": WEIGHTS, "reduce": AGGREGATIONS, "normalise": SCALES}
    found = [
        {"option": option, "write": usage(part), "does": (part.__doc__ or "").partition("\n")[0]}
        for option, parts in options.items()
        for name, part in parts.items()  # type: ignore[attr-defined]
        if fnmatch(name, pattern)
    ]
    if as_json:
        echo_json(found)
    else:
        echo_table(("option", "write", "does"), [tuple(part.values()) for part in found])


def _list_backbones(pattern: str, as_json: bool) -> None:
    from rewardkit.cli.tables import echo_json, echo_table
    from rewardkit.registry import BACKBONES

    names = BACKBONES.names(pattern)
    if as_json:
        echo_json(names)
    elif names:
        echo_table(("backbone",), [(name,) for name in names])
    else:
        typer.echo("no backbone is installed", err=True)


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
