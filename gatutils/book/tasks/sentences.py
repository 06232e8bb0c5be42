"""Translation: sentences of the grammar, drawn, numbered and scored."""

import difflib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gatutils._checks import expect_int, expect_list
from gatutils.book.tasks.grammar import (
    ADJECTIVES,
    NOUNS,
    OBJECT,
    PLACES,
    SUBJECT,
    TIMES,
    VERBS,
    Pair,
    sample_pair,
    verb_roles,
)
from gatutils.book.tasks.splits import split_of_text

__all__ = [
    "ADJECTIVES",
    "BOS",
    "ENGLISH",
    "EOS",
    "KOREAN",
    "NOUNS",
    "PAD",
    "PLACES",
    "SPECIAL",
    "TIMES",
    "VERBS",
    "Batch",
    "Pair",
    "Vocabulary",
    "batches",
    "collate",
    "exact_match",
    "sample_pair",
    "sample_pairs",
    "score_by_clauses",
    "split_of",
    "verb_roles",
]

PAD, BOS, EOS = 0, 1, 2


SPECIAL = ("<pad>", "<bos>", "<eos>")


def split_of(english: Sequence[str]) -> str:
    """Return the split to which a sentence belongs, ``"train"`` or ``"test"``.

    It depends on the sentence alone, so the splits have no sentence in common, whatever the seed.

    Raises:
        TypeError: If ``english`` is not a sequence of words.
    """
    expect_list(english, "english", str)
    return split_of_text(" ".join(english))


def _pairs(clauses: int | Sequence[int], split: str, seed: int, purpose: str) -> Iterator[Pair]:
    counts = [clauses] if isinstance(clauses, int) else clauses
    expect_list(counts, "clauses", int)
    if not counts:
        raise ValueError(f"clauses: expected an int or at least one, got {clauses!r}")
    for count in counts:
        expect_int(count, "clauses", least=0)
    if split not in ("train", "test"):
        raise ValueError(f"split: expected 'train' or 'test', got {split!r}")
    expect_int(seed, "seed")
    counts = tuple(counts)  # the caller's list may change
    # A string as the seed separates the streams; an int would give every purpose the same stream.
    rng = random.Random(f"{purpose} {split} {seed}")

    def endless() -> Iterator[Pair]:
        while True:
            count = counts[int(rng.random() * len(counts))]
            while split_of((pair := sample_pair(count, rng)).english) != split:
                pass
            yield pair

    return endless()  # an inner generator, so that bad arguments fail at the call


def sample_pairs(
    count: int, clauses: int | Sequence[int], split: str = "train", seed: int = 0
) -> list[Pair]:
    """Draw sentences of one split; short ones may be repeated.

    Args:
        count: Number of pairs.
        clauses: Number of relative clauses per sentence; the numbers in a sequence are equally
            probable.
        split: ``"train"`` or ``"test"``.
        seed: The same seed gives the same pairs on every machine.

    Raises:
        TypeError: If ``count``, ``clauses`` or ``seed`` is not made up of ints.
        ValueError: If ``count`` or ``clauses`` is negative, ``clauses`` is empty, or there is no
            such ``split``.
    """
    expect_int(count, "count", least=0)
    return list(islice(_pairs(clauses, split, seed, "sample"), count))


class Vocabulary:
    """The tokens of one language, numbered from 0; ``<pad>``, ``<bos>``, ``<eos>`` come first.

    There is no token for unknown words, since the grammar generates none.

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


ENGLISH = Vocabulary(["the", "that", "in", *NOUNS, *VERBS, *ADJECTIVES, *PLACES, *TIMES])


_FORMS = [form for forms in VERBS.values() for form in forms]


_KOREAN = [NOUNS, ADJECTIVES, PLACES, TIMES]


KOREAN = Vocabulary(
    [*SUBJECT, *OBJECT, "에서", *_FORMS, *(word for words in _KOREAN for word in words.values())]
)


@dataclass
class Batch:
    """Pairs as padded tensors of token indices, one sentence per row.

    Attributes:
        source: The English tokens, without ``<bos>`` and ``<eos>``.
        source_mask: True at tokens, False at padding.
        target_in: The decoder's input: ``<bos>``, then the Korean tokens.
        target_out: The tokens to predict: the Korean tokens, then ``<eos>``.
        pairs: The pairs themselves, in the order of the rows.
    """

    source: Int[Tensor, "batch source"]
    source_mask: Bool[Tensor, "batch source"]
    target_in: Int[Tensor, "batch target"]
    target_out: Int[Tensor, "batch target"]
    pairs: Sequence[Pair]


def collate(pairs: Sequence[Pair]) -> Batch:
    """Collate the pairs into one padded batch.

    Raises:
        TypeError: If ``pairs`` is not a sequence of ``Pair``.
        ValueError: If ``pairs`` is empty, or a word is not in the vocabulary.
    """
    expect_list(pairs, "pairs", Pair)
    if not pairs:
        raise ValueError(f"pairs: expected at least one, got {pairs!r}")

    def padded(rows: list[list[int]]) -> Int[Tensor, "batch length"]:
        width = max(map(len, rows))
        return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])

    source = padded([ENGLISH.encode(pair.english) for pair in pairs])
    korean = [KOREAN.encode(pair.korean) for pair in pairs]
    target_in = padded([[BOS, *row] for row in korean])
    target_out = padded([[*row, EOS] for row in korean])
    return Batch(source, source != PAD, target_in, target_out, pairs)


def batches(
    size: int, clauses: int | Sequence[int], seed: int, split: str = "train"
) -> Iterator[Batch]:
    """Draw batches without end; no state is shared with other calls or with ``sample_pairs``.

    Args:
        size: Number of sentences in a batch.
        clauses: As in ``sample_pairs``.
        seed: The same seed gives the same batches on every machine.
        split: ``"train"`` or ``"test"``.

    Raises:
        TypeError: If ``size``, ``clauses`` or ``seed`` is not made up of ints.
        ValueError: If ``size`` is below 1, ``clauses`` is negative or empty, or there is no such
            ``split``.
    """
    expect_int(size, "size", least=1)
    pairs = _pairs(clauses, split, seed, "batches")
    return (collate(list(islice(pairs, size))) for _ in iter(int, 1))


def exact_match(predictions: Sequence[Sequence[str]], pairs: Sequence[Pair]) -> float:
    """Return the fraction of sentences, 0 to 1, that are translated without a single error.

    Args:
        predictions: The predicted Korean tokens of each pair, without special tokens.
        pairs: The pairs, in the same order.

    Raises:
        TypeError: If ``predictions`` does not consist of sequences of words, or ``pairs`` of
            ``Pair``.
        ValueError: If there are no pairs, or not as many predictions as pairs.
    """
    expect_list(pairs, "pairs", Pair)
    expect_list(predictions, "predictions", Sequence)
    if not pairs or len(predictions) != len(pairs):
        raise ValueError(
            f"predictions: expected as many as pairs, at least one; "
            f"got {len(predictions)} predictions for {len(pairs)} pairs"
        )
    for words in predictions:
        expect_list(words, "predictions", str)
    right = sum(tuple(words) == p.korean for words, p in zip(predictions, pairs, strict=True))
    return right / len(pairs)


def score_by_clauses(
    translate: Callable[[Batch], Sequence[Sequence[int]]],
    clauses: Sequence[int] = tuple(range(8)),
    count: int = 200,
    seed: int = 0,
    split: str = "test",
) -> list[float]:
    """Return the fraction of exact matches for each number of relative clauses.

    Args:
        translate: Returns the Korean token indices for each row of a batch.
        clauses: The numbers of relative clauses to test.
        count: How many sentences are drawn for each of them.
        seed: Determines which sentences are drawn.
        split: ``"train"`` or ``"test"``.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If ``count`` is below 1, ``clauses`` is negative, or there is no such ``split``.
    """
    expect_int(count, "count", least=1)
    scores = []
    for number in clauses:
        batch = collate(sample_pairs(count, number, split, seed))
        said = [KOREAN.decode(list(ids)) for ids in translate(batch)]
        scores.append(exact_match(said, batch.pairs))
    return scores
