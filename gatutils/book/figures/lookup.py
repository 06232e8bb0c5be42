"""Chapter 3's figure: a soft dictionary with a temperature slider."""

import html
import math
import operator
from collections.abc import Mapping, Sequence
from numbers import Real

import torch

from gatutils._checks import (
    expect,
    expect_list,
)
from gatutils.attention import attend
from gatutils.book.figures.core import TOLERANCE, Picture
from gatutils.book.figures.elements import element
from gatutils.book.figures.heatmaps import css_variable


def lookup(
    queries: Mapping[str, Sequence[float]],
    keys: Mapping[str, Sequence[float]],
    values: Sequence[float],
    alt: str,
    caption: str = "",
    unit: str = "",
    start: str | None = None,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader turn a dictionary into attention, and attention into the mean.

    The score of a key is its dot product with the query. The weights are the softmax of all scores
    divided by the temperature. Without JavaScript the figure is a table with five temperatures.

    Args:
        queries: Name -> vector.
        keys: Name -> vector.
        values: One number per key.
        alt: What the figure shows, in words.
        caption: A line below it.
        unit: The unit of the result, written after it.
        start: The query selected initially; the first one if None.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If a vector is not a sequence of numbers.
        ValueError: If there is no query or no key, sizes do not match, a number is not finite, or
            ``start`` is not the name of a query.
    """
    for vectors, name in ((queries, "queries"), (keys, "keys")):
        expect(len(vectors) > 0, name, "one vector or more", "none")
        for word, vector in vectors.items():
            expect_numbers(vector, f"{name}[{word!r}]", len(next(iter(queries.values()))))
    expect_numbers(values, "values", len(keys))
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    start = next(iter(queries)) if start is None else start
    expect(start in queries, "start", f"one of {', '.join(queries)}", repr(start))

    # With twelve digits, keys that tie on paper also tie here. fsum is the same in every Python.
    scores = {
        word: [float(f"{math.fsum(map(operator.mul, q, k)):.12g}") for k in keys.values()]
        for word, q in queries.items()
        if all(
            map(math.isfinite, (x * y for k in keys.values() for x, y in zip(q, k, strict=True)))
        )
    }
    expect(len(scores) == len(queries), "queries", "numbers whose products are finite", "others")
    named = [[word, _vector(vector)] for word, vector in keys.items()]
    numbers = [float(value) for value in values]
    data = {
        "queries": [[word, _vector(queries[word]), scores[word]] for word in queries],
        "keys": named,
        "values": numbers,
        "unit": unit and f" {unit}",
        "start": list(queries).index(start),
    }
    asked = f"{start} {_vector(queries[start])}"
    still = _temperatures(scores[start], named, numbers, asked, unit)
    return element("gat-lookup", data, still, alt, caption, tolerance)


def expect_numbers(value: Sequence[float], name: str, count: int) -> None:
    """Raise unless ``value`` is a sequence of ``count`` finite numbers."""
    expect_list(value, name, Real)
    expect(len(value) == count, name, f"{count} numbers", len(value))
    expect(all(map(math.isfinite, value)), name, "finite numbers", value)


def _vector(vector: Sequence[float]) -> str:
    return f"({', '.join(f'{x:g}' for x in vector)})"


STILL = (
    "<style>.gat-still{border-collapse:collapse;margin:auto;"
    "font-size:clamp(.7rem,2vw + .25rem,.85rem);font-variant-numeric:tabular-nums}"
    ".gat-still :is(th,td){padding:.25em .4em}</style>"
)


def _temperatures(
    scores: list[float], keys: list[list[str]], values: list[float], asked: str, unit: str
) -> str:
    """Return :func:`lookup` as a table of the weights and results at five temperatures."""
    e = torch.tensor([scores], dtype=torch.float64)
    v = torch.tensor(values, dtype=torch.float64)[:, None]
    # At 0, the dictionary, all keys but the best are masked; at infinity all have score 0.
    at = {"0": attend(e, v, e == e.max())}
    at |= {name: attend(e / float(name), v) for name in ("0.1", "1", "10")}
    at["∞"] = attend(0 * e, v)
    head = "".join(f'<th scope="col">{name}</th>' for name in at)
    body = "".join(
        f'<tr><th scope="row" style="color:{css_variable("key")}">{html.escape(name)} '
        f"<small>{vector}</small></th><td>{values[j]:g}</td><td>{scores[j]:.3f}</td>"
        + "".join(f"<td>{weights[0, j]:.2f}</td>" for _, weights in at.values())
        + "</tr>"
        for j, (name, vector) in enumerate(keys)
    )
    results = "".join(f"<td><b>{result.item():.2f}</b></td>" for result, _ in at.values())
    named = html.escape(f"result, weight × value summed{unit and f', {unit}'}")
    return (
        f'{STILL}<table class="gat-still"><caption>query {html.escape(asked)}</caption><thead><tr>'
        f'<th scope="col" rowspan="2" style="color:{css_variable("key")}">key</th>'
        f'<th scope="col" rowspan="2" style="color:{css_variable("value")}">value</th>'
        '<th scope="col" rowspan="2">score</th><th scope="colgroup" colspan="5" '
        f'style="color:{css_variable("weight")}">weight at temperature τ</th></tr><tr>{head}</tr>'
        f'</thead><tbody>{body}</tbody><tfoot><tr><th scope="row" colspan="3">{named}</th>'
        f"{results}</tr></tfoot></table>"
    )
