"""Translation: an endless grammar of English and Korean.

English puts the object after the verb and nests relative clauses to the right; Korean puts the
verb last and nests to the left, so a translation needs long-range reordering::

    the cat chased the dog that bit the boy today
    오늘 고양이 가 소년 을 문 개 를 쫓았다

Every English sentence has exactly one Korean translation, so an output is either right or wrong,
and no score has to be estimated. Three rules ensure this: a noun has at most one relative clause,
place and time belong to the main clause, and the noun inside an object relative clause has no
clause itself.
"""

import difflib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gatutils._checks import (
    expect_int,
    expect_list,
)
from gatutils.book.tasks.splits import split_of_text

# English word -> Korean word; a verb has a past form and an adnominal form, which precedes a noun.
NOUNS = {
    "cat": "고양이", "dog": "개", "fox": "여우", "girl": "소녀",
    "boy": "소년", "bear": "곰", "deer": "사슴", "horse": "말",
}  # fmt: skip


VERBS = {
    "chased": ("쫓았다", "쫓은"), "bit": ("물었다", "문"), "helped": ("도왔다", "도운"),
    "saw": ("보았다", "본"), "found": ("찾았다", "찾은"),
}  # fmt: skip


ADJECTIVES = {"small": "작은", "big": "큰", "quick": "빠른", "young": "어린"}


PLACES = {"park": "공원", "forest": "숲", "garden": "정원"}


TIMES = {"today": "오늘", "yesterday": "어제", "earlier": "아까"}


PAST, ADNOMINAL = 0, 1  # the two forms of a verb


SUBJECT, OBJECT = ("이", "가"), ("을", "를")  # after a final consonant, after a vowel


# The probabilities with which sentences are drawn, independently of each other.
ADJECTIVE = 0.3  # a noun has an adjective


PLACE = 0.4  # the sentence names a place


TIME = 0.4  # the sentence names a time


SUBJECT_CLAUSE = 0.25  # one of the clauses modifies the subject; all others nest in the object


OBJECT_RELATIVE = 0.5  # the innermost clause of a chain is an object relative; outer ones never are


PAD, BOS, EOS = 0, 1, 2


SPECIAL = ("<pad>", "<bos>", "<eos>")


_Words = list[tuple[str, int | None]]  # Korean tokens, each with the index of its English token


_OTHERS = {noun: tuple(n for n in NOUNS if n != noun) for noun in NOUNS}


@dataclass(frozen=True)
class Pair:
    """An English sentence and its Korean translation.

    Attributes:
        english: The English tokens.
        korean: The Korean tokens; particles are separate tokens.
        clauses: Number of relative clauses.
        alignment: For each Korean token the index of the English token that it translates
            (에서 translates "in"); None for 이, 가, 을, 를, which English expresses by word order.

    Raises:
        TypeError: If ``english`` or ``korean`` is not a sequence of words, or ``clauses`` is not an
            int.
        ValueError: If a side is empty or not a tuple, ``clauses`` is negative, or ``alignment``
            does not match.
    """

    english: tuple[str, ...]
    korean: tuple[str, ...]
    clauses: int
    alignment: tuple[int | None, ...]

    def __post_init__(self) -> None:
        for name, side in (("english", self.english), ("korean", self.korean)):
            expect_list(side, name, str)
            if not (side and isinstance(side, tuple)):
                raise ValueError(f"{name}: expected a tuple of at least one word, got {side!r}")
        expect_int(self.clauses, "clauses", least=0)
        inside = all(i is None or 0 <= i < len(self.english) for i in self.alignment)
        if len(self.alignment) != len(self.korean) or not inside:
            raise ValueError(
                f"alignment: expected {len(self.korean)} entries, each None or an index below "
                f"{len(self.english)}, got {self.alignment!r}"
            )

    def __str__(self) -> str:
        return f"{' '.join(self.english)} -> {' '.join(self.korean)}"


def _particle(noun: str, forms: tuple[str, str]) -> tuple[str, None]:
    # Unicode orders syllables in rows of 28, by final consonant; the first of each row has none.
    return forms[(ord(NOUNS[noun][-1]) - ord("가")) % 28 == 0], None


class _Writer:
    """A sentence generator: it writes the English from left to right and returns the Korean."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.english: list[str] = []

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def pick(self, words: Sequence[str]) -> str:
        # Of Python's generator only random() is guaranteed to stay the same across versions.
        return words[int(self.rng.random() * len(words))]

    def say(self, word: str, korean: str) -> tuple[str, int]:
        self.english.append(word)
        return korean, len(self.english) - 1

    def say_any(self, words: Mapping[str, str]) -> tuple[str, int]:
        word = self.pick(tuple(words))
        return self.say(word, words[word])

    def verb(self, form: int) -> tuple[str, int]:
        word = self.pick(tuple(VERBS))
        return self.say(word, VERBS[word][form])

    def simple(self, noun: str) -> _Words:
        self.english.append("the")
        adjective = [self.say_any(ADJECTIVES)] if self.chance(ADJECTIVE) else []
        return [*adjective, self.say(noun, NOUNS[noun])]

    def noun_phrase(self, noun: str, clauses: int) -> _Words:
        korean = self.simple(noun)
        for left in range(clauses, 0, -1):
            self.english.append("that")
            noun = self.pick(_OTHERS[noun])  # no one bites themselves
            if left == 1 and self.chance(OBJECT_RELATIVE):  # that the boy bit
                relative = [*self.simple(noun), _particle(noun, SUBJECT), self.verb(ADNOMINAL)]
            else:  # that bit the boy
                verb = self.verb(ADNOMINAL)
                relative = [*self.simple(noun), _particle(noun, OBJECT), verb]
            korean = relative + korean  # English grows to the right, Korean to the left
        return korean


def sample_pair(clauses: int, rng: random.Random) -> Pair:
    """Draw one sentence with its translation.

    Args:
        clauses: Number of relative clauses in the sentence, 0 or more.
        rng: The source of randomness; it is advanced.

    Raises:
        TypeError: If ``clauses`` is not an int, or ``rng`` is not a ``random.Random``.
        ValueError: If ``clauses`` is negative.
    """
    expect_int(clauses, "clauses", least=0)
    if not isinstance(rng, random.Random):
        raise TypeError(f"rng: expected a random.Random, got {rng!r}")
    writer = _Writer(rng)
    on_subject = int(clauses > 0 and writer.chance(SUBJECT_CLAUSE))
    noun = writer.pick(tuple(NOUNS))
    subject = [*writer.noun_phrase(noun, on_subject), _particle(noun, SUBJECT)]
    verb = writer.verb(PAST)
    noun = writer.pick(_OTHERS[noun])
    thing = [*writer.noun_phrase(noun, clauses - on_subject), _particle(noun, OBJECT)]
    place: _Words = []
    if writer.chance(PLACE):
        particle = writer.say("in", "에서")
        writer.english.append("the")
        place = [writer.say_any(PLACES), particle]
    time = [writer.say_any(TIMES)] if writer.chance(TIME) else []
    korean, alignment = zip(*time, *place, *subject, *thing, verb, strict=True)
    return Pair(tuple(writer.english), korean, clauses, alignment)


def verb_roles(english: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Return who did what to whom: the positions of each verb, its subject and its object.

    In "the dog that bit the boy" the dog bites; in "the dog that the boy bit" the boy does. English
    expresses the difference by word order alone.

    Args:
        english: The words of a sentence of this grammar.

    Returns:
        Index of each verb -> the indices of its subject's and its object's noun.

    Raises:
        TypeError: If ``english`` is not a sequence of words.
        ValueError: If a verb has too few nouns around it.
    """
    expect_list(english, "english", str)
    nouns = [j for j, word in enumerate(english) if word in NOUNS]
    roles: dict[int, tuple[int, int]] = {}
    that: int | None = None  # where a clause begins whose verb is still to come
    for j, word in enumerate(english):
        if word == "that":
            that = j
        if word not in VERBS:
            continue
        before, after = [n for n in nouns if n < j], [n for n in nouns if n > j]
        try:
            if that is None:  # the main verb
                roles[j] = nouns[0], after[0]
            elif that == j - 1:  # the dog that bit the boy
                roles[j] = before[-1], after[0]
            else:  # the dog that the boy bit
                roles[j] = before[-1], before[-2]
        except IndexError:
            raise ValueError(f"english: {word!r} at {j} has too few nouns around it") from None
        that = None
    return roles


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
