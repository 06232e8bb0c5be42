"""Chapter 4's figure: self-attention step by step, every matrix a grid of numbers."""

import html
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gatutils._checks import (
    expect,
    expect_int,
    expect_list,
    expect_tensor,
)
from gatutils.attention import ScaledDot, attend
from gatutils.book.figures.core import TOLERANCE, Picture
from gatutils.book.figures.elements import as_written, element, trimmed, two
from gatutils.book.figures.heatmaps import css_variable

HEADS = 2


def self_attention(
    X: Float[Tensor, "words dim"],
    W_Q: Float[Tensor, "dim dim"],
    W_K: Float[Tensor, "dim dim"],
    W_V: Float[Tensor, "dim dim"],
    words: Sequence[str],
    alt: str,
    caption: str = "",
    features: Sequence[str] | None = None,
    dimensions: Sequence[str] | None = None,
    heads: Sequence[Float[Tensor, "dim dim"]] | None = None,
    joined: Sequence[str] | None = None,
    start: int = 0,
    step: int = 7,
    causal: bool = False,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader go through self-attention step by step and see how each number is made.

    The steps are 1 words, 2 project, 3 score, 4 scale, 5 mask, 6 softmax, 7 combine, and 8 two
    heads. A mask, none or causal, is chosen from step 5 on. The numbers are those of
    :func:`~gatutils.attention.attend` with :class:`~gatutils.attention.ScaledDot`; in the last step
    they are those of :class:`~gatutils.attention.MultiHeadAttention` with two heads, before its
    output projection. Up to four words with four dimensions are legible on a phone. Without
    JavaScript the figure is a table for each matrix.

    Args:
        X: One row per word.
        W_Q: The projection to queries, as :class:`torch.nn.Linear` stores it.
        W_K: The projection to keys.
        W_V: The projection to values.
        words: The words, one per row of ``X``.
        alt: What the figure shows, in words.
        caption: A line below it.
        features: Names of the columns of ``X``; 1, 2 and so on if None.
        dimensions: Names of the dimensions of queries, keys and values; 1, 2 and so on if None.
        heads: Matrices like ``W_Q``, ``W_K`` and ``W_V`` for the last step, the two heads one below
            the other. None means the same three: each head has one half of the dimensions.
        joined: Names of the columns of both heads' values; ``dimensions`` if None.
        start: The word whose row is selected initially.
        step: The step shown initially, 1 to 8.
        causal: Start with the causal mask.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If a matrix is not a float tensor, or ``start`` or ``step`` is not an int.
        ValueError: If sizes do not match, the number of dimensions is odd, a number or a result is
            not finite, or ``start`` or ``step`` is out of range.

    Source:
        Vaswani et al. (2017), sections 3.2.1 and 3.2.2.
    """
    expect_tensor(X, "X", "float", ndim=2, exact=True)
    n, dim = X.shape
    expect(n > 0, "X", "one row or more", "none")
    expect(dim > 0 and dim % HEADS == 0, "X", "an even number of columns", dim)
    one = {"W_Q": W_Q, "W_K": W_K, "W_V": W_V}
    two_heads = list(one.values()) if heads is None else heads
    expect_list(two_heads, "heads", Tensor)
    expect(len(two_heads) == 3, "heads", "three matrices", len(two_heads))
    for matrix, name in ((X, "X"), *((one[k], k) for k in one), *((W, "heads") for W in two_heads)):
        expect_tensor(matrix, name, "float", ndim=2, exact=True)
        if name != "X":
            expect(tuple(matrix.shape) == (dim, dim), name, f"shape {(dim, dim)}", matrix.shape)
        expect(bool(matrix.isfinite().all()), name, "finite numbers", "others")
    numbered = [str(k + 1) for k in range(dim)]
    features = numbered if features is None else features
    dimensions = numbered if dimensions is None else dimensions
    joined = dimensions if joined is None else joined
    named = ((words, n), (features, dim), (dimensions, dim), (joined, dim))
    for (labels, count), name in zip(
        named, ("words", "features", "dimensions", "joined"), strict=True
    ):
        expect_list(labels, name, str)
        expect(len(labels) == count, name, f"{count} names", len(labels))
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    for chosen, name, least, most in ((start, "start", 0, n - 1), (step, "step", 1, 8)):
        expect_int(chosen, name, least=least)
        expect(chosen <= most, name, f"at most {most}", chosen)

    X = as_written(X)
    matrices, stacked = ([as_written(W) for W in given] for given in (one.values(), two_heads))
    mask = torch.ones(n, n, dtype=torch.bool)
    for given in (matrices, stacked):
        products = torch.cat([X @ W.mT for W in given])
        finite = bool(products.isfinite().all() and _scores(X, given).isfinite().all())
        expect(finite, "X", "numbers whose products are finite", "others")
    data = {
        "words": list(words),
        "features": list(features),
        "dimensions": list(dimensions),
        "joined": list(joined),
        "X": X.tolist(),
        "W": [W.tolist() for W in matrices],
        "heads": [W.tolist() for W in stacked],
        "start": start,
        "step": step,
        "causal": causal,
    }
    still = _tables(X, matrices, stacked, words, features, dimensions, joined, mask)
    return element("gat-self", data, still, alt, caption, tolerance)


def _scores(X: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Return the scaled scores of all pairs of words."""
    scores: Tensor = ScaledDot()(X @ matrices[0].mT, X @ matrices[1].mT)
    return scores


def _tables(
    X: Tensor,
    matrices: Sequence[Tensor],
    stacked: Sequence[Tensor],
    words: Sequence[str],
    features: Sequence[str],
    dimensions: Sequence[str],
    joined: Sequence[str],
    every: Tensor,
) -> str:
    """Return :func:`self_attention` as one table per matrix, with and without the causal mask."""
    Q, K, V = (X @ W.mT for W in matrices)
    scores = _scores(X, matrices)
    context, weights = attend(scores, V, every)
    after, causal = attend(scores, V, every.tril())
    side, half = [], len(dimensions) // HEADS
    for m in range(HEADS):
        parts = [W[m * half : (m + 1) * half] for W in stacked]
        side.append(attend(_scores(X, parts), X @ parts[2].mT, every)[0])

    def grid(
        title: str,
        matrix: Tensor,
        columns: Sequence[str],
        role: str | None = None,
        write: Callable[[float], str] = two,
        mask: Tensor = every,
    ) -> str:
        return _grid(title, matrix, words, columns, role, write, mask)

    tables = [
        grid("words X", X, features, None, trimmed),
        grid("queries Q", Q, dimensions, "query", trimmed),
        grid("keys K", K, dimensions, "key", trimmed),
        grid("values V", V, dimensions, "value", trimmed),
        grid("scores Q K⊤ / √d", scores, words),
        grid("weights α", weights, words, "weight"),
        grid("α V", context, dimensions, "value"),
        grid("weights α, causal mask", causal, words, "weight", mask=every.tril()),
        grid("α V, causal mask", after, dimensions, "value"),
        grid("two heads, joined", torch.cat(side, dim=1), joined, "value"),
    ]
    style = (
        "<style>.gat-grids{display:flex;flex-wrap:wrap;gap:1rem 2rem;justify-content:center}"
        ".gat-grids table{border-collapse:collapse;margin:0!important;font-size:.8rem;"
        "font-variant-numeric:tabular-nums}.gat-grids :is(th,td){padding:.25em .5em!important;"
        "text-align:end!important}.gat-grids td.masked{background:repeating-linear-gradient(135deg,"
        f"{css_variable('masked')} 0 1px,transparent 1px 5px)!important}}"
        ".gat-grids td.masked span{position:absolute;clip-path:inset(50%)}</style>"
    )
    return f'{style}<div class="gat-grids">{"".join(tables)}</div>'


def _grid(
    title: str,
    matrix: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    role: str | None,
    write: Callable[[float], str],
    mask: Tensor,
) -> str:
    """Return one matrix as a table; its title has the colour of its role."""
    look = "" if role is None else f' style="color:{css_variable(role)}"'
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    square = tuple(mask.shape) == tuple(matrix.shape)
    body = ""
    for i, (name, row) in enumerate(zip(rows, matrix.tolist(), strict=True)):
        body += f'<tr><th scope="row">{html.escape(name)}</th>'
        for j, x in enumerate(row):
            hidden = square and not mask[i, j]
            body += (
                '<td class="masked"><span>masked</span></td>' if hidden else f"<td>{write(x)}</td>"
            )
        body += "</tr>"
    return (
        f"<table><caption><b{look}>{title}</b></caption><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )
