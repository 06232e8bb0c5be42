"""Attention weights of several heads, as an interactive table."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from gatutils._checks import (
    expect,
    expect_int,
    expect_list,
    expect_tensor,
)
from gatutils.book.figures.core import TOLERANCE, Picture
from gatutils.book.figures.elements import element
from gatutils.book.figures.heatmaps import heat_table, rounded_weight, side_by_side


def heads(
    weights: Float[Tensor, "heads rows columns"],
    rows: Sequence[str],
    columns: Sequence[str],
    alt: str,
    names: Sequence[str] | None = None,
    caption: str = "",
    start: tuple[int, int] = (0, 0),
    choice: str = "head",
    asks: str = "attends to",
    answers: str = "is attended to",
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader choose a head and a word, and see which words it attends to.

    Without JavaScript the figure is one heat table per head.

    Args:
        weights: What :func:`gatutils.attention.attend` returns; a row of zeros attends to nothing.
        rows: The words that attend, one per query.
        columns: The words attended to, one per key.
        alt: What the figure shows, in words.
        names: A name for each head; "head 1" and so on if None.
        caption: A line below it.
        start: The head and the row selected initially.
        choice: What the names name, beside the choice among them.
        asks: The heading of the rows.
        answers: The heading of the columns.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If ``weights`` is not a float tensor, or ``start`` is not a pair of ints.
        ValueError: If labels do not match, or a row of weights is not a distribution.
    """
    expect_tensor(weights, "weights", "float", ndim=3, exact=True)
    names = [f"head {h + 1}" for h in range(len(weights))] if names is None else names
    for labels, name, count in zip(
        (names, rows, columns), ("names", "rows", "columns"), weights.shape, strict=True
    ):
        expect_list(labels, name, str)
        expect(len(labels) == count > 0, name, f"{count or 'one or more'} labels", len(labels))
    weights = distributions(weights, "weights")
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    expect_list(start, "start", int)
    expect(len(start) == 2, "start", "a head and a row", start)
    for chosen, count in zip(start, weights.shape[:2], strict=True):
        expect_int(chosen, "start", least=0)
        expect(chosen < count, "start", f"less than {count}", chosen)
    data = {
        "rows": list(rows),
        "columns": list(columns),
        "names": list(names),
        "weights": [
            [[rounded_weight(w) for w in row] for row in head] for head in weights.tolist()
        ],
        "start": list(start),
        "choice": choice,
        "asks": asks,
        "answers": answers,
    }
    tables = [
        heat_table(head, rows, columns, title=name)
        for head, name in zip(weights, names, strict=True)
    ]
    return element("gat-heads", data, side_by_side(tables), alt, caption, tolerance)


def distributions(weights: Tensor, name: str) -> Tensor:
    """Return weights in double precision.

    Raises:
        ValueError: If a weight is negative, or a row neither sums to 1 nor is all 0.
    """
    weights = weights.detach().double().cpu()
    total = weights.sum(dim=-1)
    right = ((total - 1).abs() < 1e-3) | (total == 0)
    inside = bool((weights >= 0).all() and right.all())
    expect(inside, name, "rows of numbers from 0 up that sum to 1, or all 0", "others")
    return weights
