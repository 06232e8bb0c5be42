"""From spelling to sound: the words of the CMU Pronouncing Dictionary and how they are pronounced.

The file beside this module holds the dictionary's words of plain letters, with their
pronunciations in 39 phonemes, without stress; ``python book/cmudict.py`` makes it.

Source: Carnegie Mellon University, `CMUdict <https://github.com/cmusphinx/cmudict>`_; its licence
is in ``LICENSE-CMUdict``.
"""

import hashlib
import lzma
import random
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from gatutils._checks import expect, expect_int, expect_list
from gatutils.book.tasks.splits import split_of_text
from gatutils.book.tasks.vocabulary import Batch, Vocabulary, padded

__all__ = [
    "LENGTHS",
    "LETTERS",
    "PHONEMES",
    "Spelling",
    "SpellingErrors",
    "at_a_steady_rate",
    "batches",
    "collate",
    "edit_distance",
    "errors",
    "phonemes_by_length",
    "pronunciations",
    "spellings",
]

FILE = Path(__file__).with_name("cmudict.txt.xz")


SHA256 = "fcd608e6f74ea9a32b634688f03efc522929a96f35ca41073e2240c8476e906f"


LETTERS = Vocabulary(string.ascii_lowercase)


PHONEMES = Vocabulary(
    [
        "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G",
        "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T",
        "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
    ]
)  # fmt: skip


LENGTHS = range(4, 13)
"""The lengths by which words are told apart; 4 stands for all shorter ones too, 12 for longer."""


@dataclass(frozen=True)
class Spelling:
    """A word and its pronunciations, in the dictionary's order.

    Attributes:
        word: The word, in letters from a to z.
        sounds: Its pronunciations, each a sequence of phonemes.
    """

    word: str
    sounds: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return f"{self.word} -> {' or '.join(map(' '.join, self.sounds))}"


@cache
def pronunciations() -> Mapping[str, Spelling]:
    """Return all words of the dictionary, in its order.

    Raises:
        ValueError: If the file is not the one that belongs to this version.
    """
    data = FILE.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    expect(found == SHA256, str(FILE), f"SHA-256 {SHA256}", found)
    lines = lzma.decompress(data).decode("ascii").splitlines()
    words = (line.split("\t") for line in lines)
    return MappingProxyType(
        {
            word: Spelling(word, tuple(tuple(one.split()) for one in sounds.split(",")))
            for word, sounds in words
        }
    )


def spellings(split: str) -> list[Spelling]:
    """Return the words of one split, in the dictionary's order.

    A word's hash decides where it belongs: four in five are for training.

    Args:
        split: ``"train"`` or ``"test"``.

    Raises:
        ValueError: If there is no such split.
    """
    expect(split in ("train", "test"), "split", "'train' or 'test'", repr(split))
    return list(_split(split))


@cache
def _split(split: str) -> tuple[Spelling, ...]:
    return tuple(s for word, s in pronunciations().items() if split_of_text(word) == split)


def collate(
    words: Sequence[Spelling], sounds: Sequence[Sequence[str]] | None = None
) -> Batch[Spelling]:
    """Collate words into one padded batch.

    Args:
        words: The words.
        sounds: For each, the pronunciation to learn; None for the first of each.

    Raises:
        TypeError: If ``words`` is not a sequence of ``Spelling``.
        ValueError: If ``words`` is empty.
    """
    expect_list(words, "words", Spelling)
    expect(len(words) > 0, "words", "at least one", "none")
    chosen = [s.sounds[0] for s in words] if sounds is None else sounds
    letters = [LETTERS.encode(list(s.word)) for s in words]
    return padded(letters, [PHONEMES.encode(one) for one in chosen], words)


def batches(size: int, seed: int) -> Iterator[Batch[Spelling]]:
    """Draw batches of training words without end.

    Each word is drawn with the same probability, and of its pronunciations each with the same.

    Args:
        size: Number of words in a batch.
        seed: The same seed gives the same batches on every machine.

    Raises:
        TypeError: If ``size`` or ``seed`` is not an int.
        ValueError: If ``size`` is below 1.
    """
    expect_int(size, "size", least=1)
    expect_int(seed, "seed")
    words, rng = _split("train"), random.Random(f"spelling {seed}")

    def endless() -> Iterator[Batch[Spelling]]:
        while True:
            drawn = rng.sample(words, size)
            yield collate(drawn, [rng.choice(word.sounds) for word in drawn])

    return endless()


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many phonemes must be inserted, left out or replaced to make one the other."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


@dataclass(frozen=True)
class SpellingErrors:
    """How often pronunciations are wrong, as fractions.

    Attributes:
        words: Word error rate: words whose pronunciation is none of the dictionary's.
        phonemes: Phoneme error rate: the edit distance to the nearest of the dictionary's
            pronunciations, summed over the words, divided by the sum of those pronunciations'
            lengths.
        by_length: The word error rate for words of each of :data:`LENGTHS`.
    """

    words: float
    phonemes: float
    by_length: tuple[float, ...]


def errors(
    pronounce: Callable[[Batch[Spelling]], Sequence[Sequence[int]]],
    words: Sequence[Spelling],
    batch_size: int = 1000,
) -> SpellingErrors:
    """Return the word and the phoneme error rate, against the nearest right pronunciation.

    Args:
        pronounce: Returns the phonemes' indices for each row of a batch.
        words: The words to pronounce, of every length in :data:`LENGTHS`.
        batch_size: How many are pronounced at once.

    Raises:
        TypeError: If ``words`` is not a sequence of ``Spelling``.
        ValueError: If a length has no word.
    """
    expect_list(words, "words", Spelling)
    wrong = {length: [0, 0] for length in LENGTHS}  # wrong words, all words
    distance = length_of_right = 0
    for start in range(0, len(words), batch_size):
        batch = collate(words[start : start + batch_size])
        for spelling, ids in zip(batch.pairs, pronounce(batch), strict=True):
            said = PHONEMES.decode(list(ids))
            off, right = min((edit_distance(said, s), len(s)) for s in spelling.sounds)
            distance, length_of_right = distance + off, length_of_right + right
            count = wrong[_length(spelling)]
            count[0], count[1] = count[0] + (off > 0), count[1] + 1
    missing = [length for length, (_, count) in wrong.items() if count == 0]
    expect(not missing, "words", "words of every length", f"none of length {missing}")
    return SpellingErrors(
        sum(off for off, _ in wrong.values()) / len(words),
        distance / length_of_right,
        tuple(off / count for off, count in wrong.values()),
    )


def phonemes_by_length(words: Sequence[Spelling]) -> tuple[float, ...]:
    """Return how many phonemes words of each of :data:`LENGTHS` have, on average.

    Args:
        words: Words of every length; the first pronunciation of each counts.

    Raises:
        TypeError: If ``words`` is not a sequence of ``Spelling``.
        ValueError: If a length has no word.
    """
    expect_list(words, "words", Spelling)
    counts: dict[int, list[int]] = {length: [] for length in LENGTHS}
    for spelling in words:
        counts[_length(spelling)].append(len(spelling.sounds[0]))
    missing = [length for length, found in counts.items() if not found]
    expect(not missing, "words", "words of every length", f"none of length {missing}")
    return tuple(sum(found) / len(found) for found in counts.values())


def at_a_steady_rate(share: float, phonemes: Sequence[float]) -> list[float]:
    """Return what share of words would be right if all phonemes were equally difficult.

    If each phoneme is right with the same probability p, independently of the others, a word of n
    phonemes is right with probability p to the power of n; ``share`` gives p.

    Args:
        share: The share of the shortest words that is right, above 0.
        phonemes: How many phonemes words of each length have, the shortest words first.

    Raises:
        ValueError: If ``share`` is not above 0 and at most 1.
    """
    expect(0 < share <= 1, "share", "above 0 and at most 1", share)
    return [share ** (count / phonemes[0]) for count in phonemes]


def _length(spelling: Spelling) -> int:
    """Return which of LENGTHS a word belongs to."""
    return min(max(len(spelling.word), LENGTHS[0]), LENGTHS[-1])
