"""Chapter 3's figure: a dictionary and attention side by side on the same table."""

import html
import math
import operator
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch

from gatutils._checks import (
    expect,
    expect_list,
)
from gatutils.attention import attend
from gatutils.book.figures.core import TOLERANCE, Picture
from gatutils.book.figures.elements import element
from gatutils.book.figures.heatmaps import css_variable

Vectors = Mapping[str, Sequence[float]]


def lookup(
    queries: Vectors,
    keys: Vectors,
    values: Sequence[float],
    alt: str,
    caption: str = "",
    unit: str = "",
    start: str | None = None,
    tolerance: float = TOLERANCE,
    temperature: float = 1.0,
    axes: tuple[str, str] | None = None,
) -> Picture:
    """Look a query up in a table twice: as a dictionary does it, and as attention does.

    Both take the same three steps: compare the query with each key, turn the comparisons into
    weights, and sum the weighted values. A dictionary compares by equality. Attention compares by
    the dot product, and its weights are the softmax of the scores divided by the temperature.

    If the vectors have two dimensions, they are also drawn as arrows, and the reader can turn the
    query. Without JavaScript the figure is a table with five temperatures.

    Args:
        queries: Name -> vector.
        keys: Name -> vector.
        values: One number per key.
        alt: What the figure shows, in words.
        caption: A line below it.
        unit: The unit of the result, written after it.
        start: The query selected initially; the first one if None.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.
        temperature: The temperature initially: 0, infinity, or a number from 0.0126 to 79.4, which
            is rounded to the slider's next stop, a tenth of a power of ten.
        axes: What the two numbers of a vector stand for; only for vectors of two numbers.

    Raises:
        TypeError: If a vector is not a sequence of numbers.
        ValueError: If there is no query or no key, sizes do not match, a number is not finite,
            ``start`` is not the name of a query, the slider has no stop near ``temperature``, or
            ``axes`` are named although the vectors do not have two dimensions.
    """
    for vectors, name in ((queries, "queries"), (keys, "keys")):
        expect(len(vectors) > 0, name, "one vector or more", "none")
        for word, vector in vectors.items():
            expect_numbers(vector, f"{name}[{word!r}]", len(next(iter(queries.values()))))
    expect_numbers(values, "values", len(keys))
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    start = next(iter(queries)) if start is None else start
    expect(start in queries, "start", f"one of {', '.join(queries)}", repr(start))
    size = len(queries[start])
    expect(axes is None or size == 2, "axes", "None unless vectors have two numbers", axes)
    expect(axes is None or len(axes) == 2, "axes", "two names", axes)

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
    equal = {word: [int(list(q) == list(k)) for k in keys.values()] for word, q in queries.items()}
    data = {
        "queries": [[word, _vector(queries[word]), scores[word]] for word in queries],
        "keys": named,
        "values": numbers,
        "equal": [equal[word] for word in queries],
        "unit": unit and f" {unit}",
        "start": list(queries).index(start),
        "place": _place(temperature),
        "plane": _plane(queries, keys, axes or ("", "")) if size == 2 else None,
    }
    table = _temperatures(scores[start], named, numbers, unit)
    found = [value for value, same in zip(numbers, equal[start], strict=True) if same]
    answer = f"returns {sum(found) / len(found):g}{data['unit']}" if found else "raises a KeyError"
    asked = html.escape(f"query {start} {_vector(queries[start])}")
    said = html.escape(f"a dictionary {answer}; attention:")
    still = (
        f'{STILL}<table class="gat-still"><caption>{asked}<br/><small>{said}</small></caption>'
        f"{table}</table>"
    )
    return element("gat-lookup", data, still, alt, caption, tolerance)


def expect_numbers(value: Sequence[float], name: str, count: int) -> None:
    """Raise unless ``value`` is a sequence of ``count`` finite numbers."""
    expect_list(value, name, Real)
    expect(len(value) == count, name, f"{count} numbers", len(value))
    expect(all(map(math.isfinite, value)), name, "finite numbers", value)


def _vector(vector: Sequence[float]) -> str:
    return f"({', '.join(f'{x:g}' for x in vector)})"


def _place(temperature: float) -> int:
    """Return the place of the slider, 0 to 40, for a temperature."""
    if temperature in (0, math.inf):
        return 40 if temperature else 0
    # NaN is not above 0.
    place = round(20 + 10 * math.log10(temperature)) if temperature > 0 else 0
    stops = "0, infinity or a number from 0.0126 to 79.4"
    expect(0 < place < 40, "temperature", stops, temperature)
    return place


# ---- Vectors as arrows: one unit is one CSS pixel, the origin is (0, 0), y points down ----------

RADIUS = {90: 150, 180: 105, 360: 90}
"""The degrees that the arrows need -> the length of the longest one."""

WIDTH = 240
"""How wide the drawing may be, so that its letters keep their size."""

GAP = 19
"""Pixels from the tip of a key's arrow to its name, with room for the disc of its weight."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def _plane(queries: Vectors, keys: Vectors, axes: tuple[str, str]) -> dict[str, Any]:
    """Return where the arrows, their names and the axes are drawn."""
    points = [*queries.values(), *keys.values()]
    turn = 360 if any(y < 0 for _, y in points) else 180 if any(x < 0 for x, _ in points) else 90
    longest = max(math.hypot(*point) for point in points) or 1.0
    expect(math.isfinite(longest), "keys", "vectors of finite length", "longer ones")
    radius = RADIUS[turn]
    while True:
        # What the names of the axes stand on: their middles and how they are turned.
        near = round(0.28 * radius)  # beside the query's handle, which is farther out
        places = [[near, 19, 0], [-9, -near, -90]]
        if turn > 90:
            places = [[radius + 8, 19, 0], [-24, 8 - radius, 0]]
        left, bottom = (-radius if turn > 90 else 0), (radius if turn > 180 else 0)
        around: list[Box] = [(left - 16, -radius - 16, radius + 16, bottom + 16)]
        for word, (middle, base, turned) in zip(axes, places, strict=True):
            half, up, down = 3.9 * len(word), 12, 4
            if turned:
                around.append((middle - up, base - half, middle + down, base + half))
            elif word:
                around.append((middle - half, base - up, middle + half, base + down))
        names: list[list[float | str]] = []
        for word, (x, y) in keys.items():
            at, anchor, box = _beside(
                (x / longest * radius, y / longest * radius), word, around[1:]
            )
            names.append([round(at[0], 1), round(at[1], 1), anchor])
            around.append(box)
        edges = [*zip(*around, strict=True)]
        x0, y0 = (math.floor(min(edges[k])) for k in (0, 1))
        x1, y1 = (math.ceil(max(edges[k])) for k in (2, 3))
        if x1 - x0 <= WIDTH or radius <= 40:
            break
        radius -= 10
    return {
        "queries": [[float(x) for x in vector] for vector in queries.values()],
        "keys": [[float(x) for x in vector] for vector in keys.values()],
        "names": names,
        "axes": list(axes),
        "places": places,
        "turn": turn,
        "radius": radius,
        "longest": float(f"{longest:.12g}"),
        "view": [x0, y0, x1 - x0, y1 - y0],
    }


def _beside(tip: tuple[float, float], word: str, taken: list[Box]) -> tuple[Any, str, Box]:
    """Return where a name is written beyond the tip of its arrow, its anchor, and its box."""
    far = math.hypot(*tip)
    ux, uy = (tip[0] / far, tip[1] / far) if far > 1e-6 else (0.0, -1.0)
    wide = 8.8 * len(word)
    anchor = "start" if ux > 0.3 else "end" if ux < -0.3 else "middle"
    before = {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    for step in range(50):
        x, y = (far + GAP + 8 * step) * ux, 4.5 * (1 - uy) - (far + GAP + 8 * step) * uy
        box = (x - before, y - 12, x - before + wide, y + 4)
        if not any(_overlap(box, other) for other in taken):
            break
    return (x, y), anchor, box


def _overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes (left, top, right, bottom) overlap."""
    return all(one[k] < other[k + 2] and other[k] < one[k + 2] for k in (0, 1))


STILL = (
    "<style>.gat-still{border-collapse:collapse;margin:auto;"
    "font-size:clamp(.7rem,2vw + .25rem,.85rem);font-variant-numeric:tabular-nums}"
    ".gat-still :is(th,td){padding:.25em .4em}</style>"
)


def _temperatures(
    scores: list[float], keys: list[list[str]], values: list[float], unit: str
) -> str:
    """Return :func:`lookup`'s table of the weights and results at five temperatures."""
    e = torch.tensor([scores], dtype=torch.float64)
    v = torch.tensor(values, dtype=torch.float64)[:, None]
    # At 0, the hard limit, all keys but the best are masked; at infinity all have score 0.
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
        "<thead><tr>"
        f'<th scope="col" rowspan="2" style="color:{css_variable("key")}">key</th>'
        f'<th scope="col" rowspan="2" style="color:{css_variable("value")}">value</th>'
        '<th scope="col" rowspan="2">score</th><th scope="colgroup" colspan="5" '
        f'style="color:{css_variable("weight")}">weight at temperature τ</th></tr><tr>{head}</tr>'
        f'</thead><tbody>{body}</tbody><tfoot><tr><th scope="row" colspan="3">{named}</th>'
        f"{results}</tr></tfoot>"
    )
