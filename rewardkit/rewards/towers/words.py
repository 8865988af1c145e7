"""A tokenizer for small worlds: one token a word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from rewardkit.errors import BadCheckpointError

_FILLING, _UNKNOWN, _BEGIN = range(3)


class WordTokenizer:
    """The words of a vocabulary, in lower case and without punctuation; every other word is the same unknown token.

    Ids: 0 fills up, 1 is an unknown word, 2 begins, then come the words in their order. The end has the highest id,
    where CLIP looks for the vector of a text.

    Args:
        who: the reward, for the error.
        vocabulary: a text file with one word a line.
        context: tokens of a text, begin and end included; what is too long is cut, with the end token last.
        size: how many ids the text tower has.

    Raises:
        BadCheckpointError: the file has another number of words than the tower.
    """

    def __init__(self, who: str, vocabulary: Path, context: int, size: int) -> None:
        words = vocabulary.read_text(encoding="utf-8").split()
        self.context = context
        self._ids = {word: id_ for id_, word in enumerate(words, start=_BEGIN + 1)}
        self._end = _BEGIN + 1 + len(words)
        if self._end + 1 != size:
            expected = size - _BEGIN - 2
            raise BadCheckpointError(
                f"{vocabulary} is not the vocabulary of {who}: it has {len(words)} words, expected {expected}"
            )

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "text token"]:
        """Tokens of each text."""
        tokens = torch.full((len(texts), self.context), _FILLING)
        for row, text in zip(tokens, texts, strict=True):
            words = self._words(text)[: self.context - 2]
            ids = [_BEGIN, *(self._ids.get(word, _UNKNOWN) for word in words), self._end]
            row[: len(ids)] = torch.tensor(ids)
        return tokens

    def length(self, text: str) -> int:
        """Tokens of the whole text, begin and end included."""
        return len(self._words(text)) + 2

    def _words(self, text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())
