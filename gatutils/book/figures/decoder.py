"""Chapter 2's figure: a decoder with attention writes one word after the other."""

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
from gatutils.book.figures.heads import distributions
from gatutils.book.figures.heatmaps import heat_table, rounded_weight, side_by_side


def decoder(
    weights: Float[Tensor, "target source"],
    source: Sequence[str],
    target: Sequence[str],
    alt: str,
    caption: str = "",
    glosses: Sequence[str] | None = None,
    start: int = 0,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader follow a decoder word by word: which source words does each context contain?

    One side of the source words shows attention, whose context differs from word to word; the other
    shows one context vector, which does not. Up to about 15 source words are legible. Without
    JavaScript the figure is a heat table with one row per target word.

    Args:
        weights: What :func:`gatutils.attention.attend` returns, one row per target word.
        source: The words attended to.
        target: The words written, in their order.
        alt: What the figure shows, in words.
        caption: A line below it.
        glosses: A translation of each target word, possibly empty; none if None.
        start: The target word shown initially.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If ``weights`` is not a float tensor, or ``start`` is not an int.
        ValueError: If labels do not match, a row of weights does not sum to 1, or ``start`` is out
            of range.
    """
    expect_tensor(weights, "weights", "float", ndim=2, exact=True)
    for labels, name, count in zip(
        (target, source), ("target", "source"), weights.shape, strict=True
    ):
        expect_list(labels, name, str)
        expect(len(labels) == count > 0, name, f"{count or 'one or more'} words", len(labels))
    glosses = [""] * len(target) if glosses is None else glosses
    expect_list(glosses, "glosses", str)
    expect(len(glosses) == len(target), "glosses", f"{len(target)} of them", len(glosses))
    weights = distributions(weights, "weights")
    expect(bool((weights.sum(dim=1) > 0).all()), "weights", "rows that sum to 1", "a row of zeros")
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    expect_int(start, "start", least=0)
    expect(start < len(target), "start", f"less than {len(target)}", start)
    data = {
        "source": list(source),
        "target": list(target),
        "glosses": list(glosses),
        "weights": [[rounded_weight(w) for w in row] for row in weights.tolist()],
        "start": start,
    }
    rows = [f"{word} {gloss}".strip() for word, gloss in zip(target, glosses, strict=True)]
    table = heat_table(weights, rows, source, title="weights of each word that is written")
    return element("gat-decoder", data, side_by_side([table]), alt, caption, tolerance)
