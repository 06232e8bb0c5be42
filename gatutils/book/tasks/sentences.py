"""Translation: sentences of the grammar, drawn, numbered and scored."""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

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
from gatutils.book.tasks.vocabulary import BOS, EOS, PAD, SPECIAL, Batch, Vocabulary, padded

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


ENGLISH = Vocabulary(["the", "that", "in", *NOUNS, *VERBS, *ADJECTIVES, *PLACES, *TIMES])


_FORMS = [form for forms in VERBS.values() for form in forms]


_KOREAN = [NOUNS, ADJECTIVES, PLACES, TIMES]


KOREAN = Vocabulary(
    [*SUBJECT, *OBJECT, "에서", *_FORMS, *(word for words in _KOREAN for word in words.values())]
)


def collate(pairs: Sequence[Pair]) -> Batch[Pair]:
    """Collate the pairs into one padded batch.

    Raises:
        TypeError: If ``pairs`` is not a sequence of ``Pair``.
        ValueError: If ``pairs`` is empty, or a word is not in the vocabulary.
    """
    expect_list(pairs, "pairs", Pair)
    if not pairs:
        raise ValueError(f"pairs: expected at least one, got {pairs!r}")
    english = [ENGLISH.encode(pair.english) for pair in pairs]
    korean = [KOREAN.encode(pair.korean) for pair in pairs]
    return padded(english, korean, pairs)


def batches(
    size: int, clauses: int | Sequence[int], seed: int, split: str = "train"
) -> Iterator[Batch[Pair]]:
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
    translate: Callable[[Batch[Pair]], Sequence[Sequence[int]]],
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
