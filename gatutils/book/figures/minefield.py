"""A board of Minesweeper: a network's probability of a mine, and what a cell attends to."""

import html
import math
from collections.abc import Sequence

from gatutils._checks import expect, expect_int, expect_list
from gatutils.book.figures.core import TOLERANCE, Picture
from gatutils.book.figures.elements import element
from gatutils.book.figures.lookup import STILL

AROUND = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1))
"""The places of a cell's neighbourhood, row by row, as steps down and to the right."""


def minefield(
    clues: Sequence[str],
    mines: Sequence[bool],
    chances: Sequence[int],
    weights: Sequence[Sequence[Sequence[int]]],
    alt: str,
    caption: str = "",
    start: tuple[int, int] = (0, 0),
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader choose a cell and a head, and see a probability and attention weights.

    A board of eight cells along each side fits on a phone. Without JavaScript the figure consists
    of two tables: all heads' weights around the cell selected initially, and the board.

    Args:
        clues: For each cell, row by row, what it shows; an empty string if it is hidden.
        mines: For each cell, whether it is a mine.
        chances: For each cell, the probability of a mine that the network gives, in percent.
        weights: For each head and each cell, the weights in percent of its neighbours in the order
            of their numbers, then of the cell itself.
        alt: What the figure shows, in words.
        caption: A line below it.
        start: The head and the cell selected initially.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If the board is not square or has fewer than four cells, a list has another
            length, a percentage is not from 0 to 100, a cell's weights do not sum to 100 but for
            rounding, or ``start`` is out of range.
    """
    expect_list(clues, "clues", str)
    size = math.isqrt(len(clues))
    square = size > 1 and size * size == len(clues)
    expect(square, "clues", "a square board of four cells or more", len(clues))
    expect_list(mines, "mines", bool)
    expect_list(chances, "chances", int)
    for of, name in ((mines, "mines"), (chances, "chances")):
        expect(len(of) == len(clues), name, f"{len(clues)} of them", len(of))
    _expect_percents(chances, "chances")
    expect_list(weights, "weights", Sequence)
    expect(len(weights) > 0, "weights", "one head or more", "none")
    placed = [[_places(size, cell) for cell in range(len(clues))]] * len(weights)
    for head, every in zip(weights, placed, strict=True):
        expect(len(head) == len(clues), "weights", f"{len(clues)} lists in each head", len(head))
        for row, places in zip(head, every, strict=True):
            expect_list(row, "weights", int)
            expect(len(row) == len(places), "weights", f"{len(places)} for this cell", len(row))
            _expect_percents(row, "weights")
            # Each number is rounded by itself, by half a percent at most.
            near = abs(sum(row) - 100) <= len(row) / 2
            expect(near, "weights", "lists that sum to 100", sum(row))
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    expect_list(start, "start", int)
    expect(len(start) == 2, "start", "a head and a cell", start)
    for chosen, count in zip(start, (len(weights), len(clues)), strict=True):
        expect_int(chosen, "start", least=0)
        expect(chosen < count, "start", f"less than {count}", chosen)

    # The nine places around each cell, row by row; None beyond the edge of the board.
    around = [
        [
            [dict(zip(places, row, strict=True)).get(place) for place in range(len(AROUND))]
            for row, places in zip(head, every, strict=True)
        ]
        for head, every in zip(weights, placed, strict=True)
    ]
    data = {
        "size": size,
        "clues": list(clues),
        "mines": list(mines),
        "chances": list(chances),
        "weights": around,
        "start": list(start),
    }
    cell = start[1]
    still = STILL + _around(clues, size, cell, [head[cell] for head in around])
    still += _board(clues, mines, chances, size)
    return element("gat-minefield", data, still, alt, caption, tolerance)


def _expect_percents(numbers: Sequence[int], name: str) -> None:
    for number in numbers:
        expect_int(number, name, least=0)
        expect(number <= 100, name, "percentages up to 100", number)


def _places(size: int, cell: int) -> list[int]:
    """Return the places of a cell's neighbours on the board, then the cell's own."""
    row, column = divmod(cell, size)
    inside = [
        place
        for place, (down, right) in enumerate(AROUND)
        if 0 <= row + down < size and 0 <= column + right < size
    ]
    own = AROUND.index((0, 0))
    return [place for place in inside if place != own] + [own]


def _around(
    clues: Sequence[str], size: int, cell: int, heads: Sequence[Sequence[int | None]]
) -> str:
    """Return a table: a row for each cell of a neighbourhood, a column for each head."""
    names = ["above left", "above", "above right", "left", "itself", "right"]
    names += ["below left", "below", "below right"]
    body = ""
    for place, (down, right) in enumerate(AROUND):
        if heads[0][place] is None:
            continue
        clue = clues[cell + down * size + right] or "hidden"
        numbers = "".join(f"<td>{head[place]}</td>" for head in heads)
        body += f'<tr><th scope="row">{names[place]}</th><td>{html.escape(clue)}</td>{numbers}</tr>'
    columns = "".join(f'<th scope="col">head {k + 1}</th>' for k in range(len(heads)))
    row, column = divmod(cell, size)
    title = f"what the cell in row {row + 1}, column {column + 1} attends to: weights in percent"
    return (
        f'<table class="gat-still"><caption>{title}</caption><thead><tr><td></td>'
        f'<th scope="col">shows</th>{columns}</tr></thead><tbody>{body}</tbody></table>'
    )


def _board(clues: Sequence[str], mines: Sequence[bool], chances: Sequence[int], size: int) -> str:
    """Return the board as a table: each cell's clue, the probability, and whether it is a mine."""
    body = ""
    for row in range(size):
        cells = ""
        for cell in range(row * size, (row + 1) * size):
            chance = f"<b>{chances[cell]}</b>" if mines[cell] else str(chances[cell])
            cells += f"<td>{html.escape(clues[cell] or '?')}<br/>{chance}</td>"
        body += f'<tr><th scope="row">{row + 1}</th>{cells}</tr>'
    columns = "".join(f'<th scope="col">{column + 1}</th>' for column in range(size))
    return (
        '<table class="gat-still"><caption>the board: what each cell shows (? if hidden), and '
        "below it the probability of a mine in percent, bold if the cell is a mine</caption>"
        f"<thead><tr><td></td>{columns}</tr></thead><tbody>{body}</tbody></table>"
    )
