"""Chapter 2's figure: words looked up in what two models learned about pronunciation."""

import html
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch

from gatutils._checks import expect, expect_int, expect_list
from gatutils.book.figures.core import TOLERANCE, Picture
from gatutils.book.figures.elements import element
from gatutils.book.figures.heatmaps import heat_table, side_by_side
from gatutils.book.figures.lookup import STILL

EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "AA": "p-al-m", "AE": "c-a-t", "AH": "h-u-t", "AO": "l-aw-", "AW": "c-ow-",
        "AY": "h-i-de", "B": "-b-ee", "CH": "-ch-ip", "D": "-d-og", "DH": "-th-is",
        "EH": "b-e-d", "ER": "b-ir-d", "EY": "d-ay-", "F": "-f-un", "G": "-g-um",
        "HH": "-h-at", "IH": "s-i-t", "IY": "s-ee-", "JH": "-j-am", "K": "-k-ey",
        "L": "-l-eg", "M": "-m-an", "N": "-n-et", "NG": "si-ng-", "OW": "g-o-",
        "OY": "b-oy-", "P": "-p-en", "R": "-r-un", "S": "-s-un", "SH": "-sh-e",
        "T": "-t-en", "TH": "-th-in", "UH": "b-oo-k", "UW": "t-oo-", "V": "-v-an",
        "W": "-w-e", "Y": "-y-es", "Z": "-z-oo", "ZH": "bei-ge-",
    }
)  # fmt: skip
"""Phoneme -> a word that contains it, with hyphens around the letters that stand for it.

:meta hide-value:
"""


def pronounce(
    words: Sequence[str],
    right: Sequence[Sequence[str]],
    said: Mapping[str, Sequence[str]],
    weights: Sequence[Sequence[Sequence[int]]],
    trained: Sequence[bool],
    start: str,
    alt: str,
    caption: str = "",
    examples: Sequence[str] = (),
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader look words up in what several models say, and what one of them attends to.

    A pronunciation is a string of phonemes, such as ``"N AY T"``. What a model says is compared
    with the nearest of the right pronunciations, phoneme by phoneme. Words of 16 letters fit on a
    phone. Without JavaScript the figure consists of two tables about the word ``start``.

    Args:
        words: The words, in letters from a to z.
        right: For each word, its right pronunciations, at least one.
        said: Name of a model -> what it says for each word. The last model attends; its name and
            those of the others must fit into the sentence "With ..., the model says ...".
        weights: For each word the last model's attention weights in percent: a row for each phoneme
            that it says and one for the end token, with a number for each letter.
        trained: For each word, whether it is in the training set.
        start: The word shown initially.
        alt: What the figure shows, in words.
        caption: A line below it.
        examples: Words that a button shows.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If ``words`` is empty, contains a word twice or other characters; a list has
            another length; a phoneme has no entry in :data:`EXAMPLES`; a row of weights does not
            match its word or does not sum to 100 but for rounding; or ``start`` or an example is
            not one of the words.
    """
    expect_list(words, "words", str)
    expect(len(words) > 0, "words", "one word or more", "none")
    for word in words:
        expect(bool(re.fullmatch("[a-z]+", word)), "words", "letters from a to z", repr(word))
    expect(len(set(words)) == len(words), "words", "each word once", f"{len(words)} words")
    expect_list(trained, "trained", bool)
    expect(len(trained) == len(words), "trained", f"{len(words)} of them", len(trained))
    expect_list(right, "right", Sequence)
    expect(len(right) == len(words), "right", f"{len(words)} lists", len(right))
    for ways in right:
        expect(len(ways) > 0, "right", "one pronunciation or more for each word", "none")
        _expect_sounds(ways, "right")
    expect(isinstance(said, Mapping) and len(said) > 0, "said", "one model or more", repr(said))
    for name, ways in said.items():
        _expect_sounds(ways, f"said[{name!r}]")
        expect(len(ways) == len(words), f"said[{name!r}]", f"{len(words)} strings", len(ways))
    expect_list(weights, "weights", Sequence)
    expect(len(weights) == len(words), "weights", f"{len(words)} lists of rows", len(weights))
    for word, way, rows in zip(words, [*said.values()][-1], weights, strict=True):
        _expect_percents(rows, word, len(way.split()) + 1)
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    expect(start in words, "start", "one of the words", repr(start))
    expect_list(examples, "examples", str)
    for word in examples:
        expect(word in words, "examples", "some of the words", repr(word))

    entries = [
        "|".join([word, "01"[seen], ";".join(ways), *spoken, "/".join(map(_row, rows))])
        for word, seen, ways, rows, *spoken in zip(
            words, trained, right, weights, *said.values(), strict=True
        )
    ]
    data = {
        "models": list(said),
        "words": "\n".join(entries),
        "sounds": dict(EXAMPLES),
        "start": start,
        "examples": list(examples),
    }
    at = words.index(start)
    still = _still(start, right[at], {name: ways[at] for name, ways in said.items()}, weights[at])
    return element("gat-pronounce", data, still, alt, caption, tolerance)


def _expect_sounds(ways: Sequence[str], name: str) -> None:
    """Raise unless these are strings of phonemes, each followed by a space but the last."""
    expect_list(ways, name, str)
    for way in ways:
        sounds = way.split()
        expect(" ".join(sounds) == way, name, "single spaces between phonemes", repr(way))
        unknown = [sound for sound in sounds if sound not in EXAMPLES]
        expect(not unknown, name, "phonemes of EXAMPLES", ", ".join(unknown))


def _expect_percents(rows: Sequence[Sequence[int]], word: str, count: int) -> None:
    """Raise unless these are the weights of a word's letters: so many rows of whole percents."""
    name = f"weights of {word!r}"
    expect_list(rows, name, Sequence)
    expect(len(rows) == count, name, f"{count} rows", len(rows))
    for row in rows:
        expect(len(row) == len(word), name, f"rows of {len(word)} numbers", len(row))
        for percent in row:
            expect_int(percent, name, least=0)
        # Each number is rounded by itself, by half a percent at most.
        expect(abs(sum(row) - 100) <= len(row) / 2, name, "rows that sum to 100", sum(row))


def _row(percents: Sequence[int]) -> str:
    """Write a row of weights; most are zero, and nothing stands for them."""
    return ",".join(str(percent or "") for percent in percents)


def _still(
    word: str, right: Sequence[str], said: Mapping[str, str], weights: Sequence[Sequence[int]]
) -> str:
    """Return the tables about one word that are shown where no script runs."""
    lines = [("dictionary", " or ".join(right), "")]
    lines += [(name, way, "right" if way in right else "wrong") for name, way in said.items()]
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{way}</td><td>{verdict}</td></tr>'
        for name, way, verdict in lines
    )
    rows = [f"{s} ({EXAMPLES[s].replace('-', '')})" for s in [*said.values()][-1].split()]
    shares = torch.tensor(weights) / 100
    title = f"attention weights: one row per phoneme, one column per letter of {word}"
    table = heat_table(shares, [*rows, "end"], list(word), title=title)
    return (
        f'{STILL}<table class="gat-still"><caption>How {word} is pronounced</caption><tbody>'
        f"{body}</tbody></table>{side_by_side([table])}"
    )
