"""From tokens to padded batches of their indices, for tasks from one sequence to another."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gatutils._checks import expect_int, expect_list

__all__ = ["BOS", "EOS", "PAD", "SPECIAL", "Batch", "Vocabulary", "padded"]

Example = TypeVar("Example")

PAD, BOS, EOS = 0, 1, 2


SPECIAL = ("<pad>", "<bos>", "<eos>")


class Vocabulary:
    """The tokens of one side of a task, numbered from 0, after ``<pad>``, ``<bos>`` and ``<eos>``.

    There is no token for unknown words: the tasks have none.

    Raises:
        TypeError: If ``words`` contains anything other than strings.
        ValueError: If a word is repeated, or is one of the special tokens.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.tokens = SPECIAL + tuple(words)
        expect_list(self.tokens, "words", str)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            twice = sorted(t for t in self._ids if self.tokens.count(t) > 1)
            raise ValueError(f"words: expected each once and none of {SPECIAL}, got again {twice}")

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Return the indices of the tokens.

        Raises:
            TypeError: If ``tokens`` is not a sequence of strings.
            ValueError: If a token is unknown; the message names the most similar ones.
        """
        expect_list(tokens, "tokens", str)
        try:
            return [self._ids[token] for token in tokens]
        except KeyError as error:
            token = error.args[0]
            close = difflib.get_close_matches(token, self.tokens)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "none is like it"
            raise ValueError(
                f"tokens: expected words of this vocabulary, got {token!r}; {hint}"
            ) from None

    def decode(self, ids: Sequence[int] | Int[Tensor, " length"]) -> list[str]:
        """Return the tokens up to the first ``<eos>``, without ``<bos>`` and ``<pad>``.

        Raises:
            TypeError: If ``ids`` is not a sequence of ints.
            ValueError: If an index is not from 0 to ``len(self) - 1``.
        """
        numbers = ids.tolist() if isinstance(ids, Tensor) else ids
        expect_list(numbers, "ids", int)
        words = []
        for i in numbers:
            expect_int(i, "ids")
            if not 0 <= i < len(self):
                raise ValueError(f"ids: expected ids from 0 to {len(self) - 1}, got {i}")
            if i == EOS:
                break
            if i not in (PAD, BOS):
                words.append(self.tokens[i])
        return words


@dataclass
class Batch(Generic[Example]):
    """Pairs of sequences as padded tensors of token indices, one pair per row.

    Attributes:
        source: The source tokens, without ``<bos>`` and ``<eos>``.
        source_mask: True at tokens, False at padding.
        target_in: The decoder's input: ``<bos>``, then the target tokens.
        target_out: The tokens to predict: the target tokens, then ``<eos>``.
        pairs: What the rows were made from, in their order.
    """

    source: Int[Tensor, "batch source"]
    source_mask: Bool[Tensor, "batch source"]
    target_in: Int[Tensor, "batch target"]
    target_out: Int[Tensor, "batch target"]
    pairs: Sequence[Example]


def padded(
    sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], pairs: Sequence[Example]
) -> Batch[Example]:
    """Pad the token indices of each pair to those of the longest.

    Args:
        sources: The source tokens of each pair.
        targets: Its target tokens, without ``<bos>`` and ``<eos>``.
        pairs: What they were made from.
    """

    def rectangle(rows: Sequence[Sequence[int]]) -> Int[Tensor, "batch length"]:
        width = max(map(len, rows))
        return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])

    source = rectangle(sources)
    target_in = rectangle([[BOS, *row] for row in targets])
    target_out = rectangle([[*row, EOS] for row in targets])
    return Batch(source, source != PAD, target_in, target_out, pairs)
