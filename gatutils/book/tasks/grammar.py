"""An endless grammar of English and Korean.

English puts the object after the verb and nests relative clauses to the right; Korean puts the
verb last and nests to the left, so a translation needs long-range reordering::

    the cat chased the dog that bit the boy today
    오늘 고양이 가 소년 을 문 개 를 쫓았다

Every English sentence has exactly one Korean translation, so an output is either right or wrong,
and no score has to be estimated. Three rules ensure this: a noun has at most one relative clause,
place and time belong to the main clause, and the noun inside an object relative clause has no
clause itself.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gatutils._checks import expect_int, expect_list

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
