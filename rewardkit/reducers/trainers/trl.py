"""A reward as TRL's trainers call it: `reward_funcs=[reward.as_trl(...)]` of GRPOTrainer and RLOOTrainer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from jaxtyping import Shaped
from torch import Tensor

from rewardkit.errors import BadInputError
from rewardkit.reducers.reward import Reward
from rewardkit.reducers.trainers.films import Film, as_films, score_films

Message = str | Sequence[Mapping[str, object]]
"""A prompt or completion: text, or the messages of a conversation."""

Load = Callable[[str], Shaped[Tensor, "frame 3 height width"] | None]
"""The film that a completion stands for; None where it stands for none."""


def trl_function(
    reward: Reward, load: Load | None = None, prompt_column: str = "prompts"
) -> Callable[..., list[float | None]]:
    """See `Reward.as_trl`."""

    def score(completions: Sequence[Message], **columns: object) -> list[float | None]:
        texts = [text_of(completion) for completion in completions]
        made = {number: film for number, text in enumerate(texts) if (film := _film(text, load)) is not None}
        told = _prompts(columns, prompt_column, len(texts)) if reward.needs_prompt else None
        scores, parts = score_films(
            reward, as_films(list(made.values())), None if told is None else [told[number] for number in made]
        )
        log = columns.get("log_metric")
        if callable(log) and made:
            for name, values in parts.items():
                log(f"{score.__name__}/{name}", float(values.mean()))
        found = dict(zip(made, scores.tolist(), strict=True))
        return [found.get(number) for number in range(len(texts))]

    score.__name__ = score.__qualname__ = re.sub(r"\W+", "_", reward.name).strip("_")
    return score


def text_of(message: Message) -> str:
    """The words of a text, or of the last message of a conversation.

    Raises:
        BadInputError: there are none.
    """
    if isinstance(message, str):
        return message
    content = message[-1].get("content") if message and isinstance(message[-1], Mapping) else None
    if isinstance(content, Sequence) and not isinstance(content, str):
        content = "".join(str(part["text"]) for part in content if isinstance(part, Mapping) and "text" in part)
    if not isinstance(content, str):
        raise BadInputError(f"needs text, or messages with a content: got {repr(message)[:200]}")
    return content


def _film(text: str, load: Load | None) -> Film | None:
    return as_films([text.strip()])[0] if load is None else load(text)


def _prompts(columns: Mapping[str, object], name: str, count: int) -> list[str]:
    column = columns.get(name)
    if not isinstance(column, Sequence) or len(column) != count:
        known = ", ".join(sorted(key for key, value in columns.items() if isinstance(value, list)))
        raise BadInputError(f"no column {name!r} with one prompt a completion: give prompt_column one of {known}")
    return [text_of(prompt) for prompt in column]
