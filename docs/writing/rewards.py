"""The pages of rewards, read off their cards."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import get_type_hints

from writing.tables import NOTE, as_table, plain, result

from rewardkit.registry import REWARDS
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.catalog import list_rewards, published_files, reward_files, reward_info, reward_settings
from rewardkit.rewards.release import Release

HEAD = f"""{NOTE}

# Rewards

The rewards that come with the package, read off their cards. Higher is better in every one; `open` is an end of the
range without a bound. `rewardkit list` and `rewardkit info NAME` say the same on the command line, also of rewards from
other packages and from your own files.
"""


LEARNED_HEAD = """
The learned rewards. `exact` and `diff` are the greatest differences from the official package's scores on the two ways
of [preprocessing](../../explanation/parity.md), in units of the score, over pictures of eight shapes and five prompts
with small random weights in the official layout (`python benchmarks/check_parity.py`); milliseconds a frame are for
full-size random weights at float32 on two x86-64 cores (`python benchmarks/learned_frame_times.py`).
"""
OF_THE_RELEASE = ("architecture", "parts")
"""Settings that are no choice: another checkpoint may need them, in Python."""
EXACT, DIFF, TIME = "greatest difference, exact", "greatest difference, diff", "time a frame, float32, 2 CPU cores"


def rewards_index() -> str:
    """The rewards of this package in two tables."""
    columns = ("Reward", "Measures", "Judges", "Range", "Gradient")
    table = as_table(columns, [_card_cells(reward_info(name)) for name in our_rewards()])
    learned = [name for name in our_rewards() if published_files(name)]
    return "\n".join([HEAD, table, LEARNED_HEAD, learned_table(learned)])


def reward_page(name: str) -> str:
    """What a reward says of itself, and the lines that use it."""
    card, made = reward_info(name), REWARDS.load(name)
    facts = [(what, value) for what, value in _facts(card) if value]
    prompts = " --prompts clips/prompts.csv" if card.needs_prompt else ""
    spec = f'"{name}[url=http://127.0.0.1:8765]"' if name == "remote" else name
    return "\n".join(
        [
            f"{NOTE}\n\n# {name}\n\n{plain(card.summary[0].upper() + card.summary[1:])}.\n",
            as_table(("Property", "Value"), facts),
            f"```console\nrewardkit score clips/ -r {spec}{prompts} -o scores.jsonl\n```\n",
            _settings(name, made) if isinstance(made, Release) else _documentation(made),
        ]
    )


def _documentation(made: object) -> str:
    assert isinstance(made, type)
    options = "show_root_heading: false\n      show_root_toc_entry: false\n      members: false"
    return f"::: {made.__module__}.{made.__name__}\n    options:\n      {options}\n"


def _settings(name: str, release: Release) -> str:
    """What the score is, and what may be given in brackets."""
    build, score = inspect.getdoc(release.build) or "", inspect.getdoc(get_type_hints(release.build)["return"]) or ""
    told, _, arguments = build.partition("\n\nArgs:\n")
    meanings = dict(re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", arguments.partition("\n\n")[0], re.MULTILINE))
    rows = [
        (f"`{key}`", plain(" ".join(meanings[key].split())), _default(release, key))
        for key in reward_settings(name)
        if key not in OF_THE_RELEASE
    ]
    return "\n\n".join(
        [
            score.partition("\n\nArgs:\n")[0],
            told,
            f"What may be given in [brackets](../../how-to/learned-rewards.md#get-the-weights), as in "
            f"`{name}[preprocess=diff]`:",
            as_table(("Setting", "Meaning", "Default"), rows),
        ]
    )


def _default(release: Release, key: str) -> str:
    if key in release.files:
        return "the file above"
    value = release.defaults.get(key, inspect.signature(release.build).parameters[key].default)
    return "" if value in (None, "") else f"`{value}`"


def _facts(card: RewardCard) -> list[tuple[str, str]]:
    numbers, tokens = measurements().get(card.name, {}), card.max_prompt_tokens or "all"
    return [
        ("Judges", "frames together" if card.video_level else "single frames"),
        ("Prompt", f"needed; {tokens} tokens are read" if card.needs_prompt else "not read"),
        ("Range", f"{card.range_in_words}; {plain(card.unit)}"),
        ("Frames unless you choose", f"`{card.frames}`"),
        ("Gradient", "yes" if card.differentiable else "no"),
        ("Sees", plain(card.input)),
        ("Parameters", "" if card.parameters is None else f"{card.parameters / 1e6:,.0f} M"),
        ("Licence of the code, of the weights", f"{card.code_licence}; {card.weights_licence or 'no weights'}"),
        ("Source", plain(card.source)),
        *((f"File `{key}`", plain(str(source))) for key, source in reward_files(card.name).items()),
        ("Greatest difference from the official scores", _differences(numbers)),
        ("Time a frame, float32, two CPU cores", numbers.get(TIME, "")),
    ]


def _differences(numbers: Mapping[str, str]) -> str:
    """With a link to what they are."""
    if EXACT not in numbers:
        return ""
    return f"{numbers[EXACT]} exact, {numbers[DIFF]} diff ([how and why two](../../explanation/parity.md))"


def our_rewards() -> list[str]:
    """Names of the rewards that come with the package."""
    return [name for name in list_rewards() if _is_ours(REWARDS.load(name))]


def _is_ours(made: object) -> bool:
    home = made.build.__module__ if isinstance(made, Release) else getattr(made, "__module__", "")
    return home.partition(".")[0] == "rewardkit"


def learned_table(names: Iterable[str]) -> str:
    """Licences, sizes and proofs of learned rewards."""
    columns = ("Reward", "Code", "Weights", "Parameters", "Input", "Prompt", "Gradient", "exact", "diff", "ms a frame")
    return as_table(columns, [_learned_cells(reward_info(name)) for name in names])


def _learned_cells(card: RewardCard) -> tuple[str, ...]:
    numbers = measurements().get(card.name, {})
    return (
        f"`{card.name}`",
        card.code_licence,
        card.weights_licence or "none",
        "" if card.parameters is None else f"{card.parameters / 1e6:,.0f} M",
        plain(card.input),
        f"{card.max_prompt_tokens} tokens" if card.max_prompt_tokens else "any length" if card.needs_prompt else "none",
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


def _card_cells(card: RewardCard) -> tuple[str, ...]:
    return (
        f"[{card.name}]({card.name}.md)",
        plain(card.summary),
        "frames together" if card.video_level else "single frames",
        card.range_in_words,
        "yes" if card.differentiable else "no",
    )


def sources_table() -> str:
    """Source and licences of every reward."""
    cards = map(reward_info, our_rewards())
    rows = [(f"`{c.name}`", plain(c.source), c.code_licence, c.weights_licence or "no weights") for c in cards]
    return as_table(("Reward", "Source", "Code", "Weights"), rows)
