"""Chapter 10's figure: graph attention step by step, for a node that the reader chooses."""

import html
import itertools
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gatutils._checks import (
    expect,
    expect_int,
    expect_list,
    expect_tensor,
)
from gatutils.attention import attend
from gatutils.book.figures.core import TOLERANCE, Picture
from gatutils.book.figures.elements import as_written, element, two
from gatutils.book.figures.heatmaps import css_variable, rounded_weight
from gatutils.book.figures.lookup import STILL, expect_numbers
from gatutils.book.figures.networks import Layout, node_places, open_sides
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv


def graph_attention(
    graph: Graph,
    features: Float[Tensor, "nodes 2"],
    W: Float[Tensor, "2 2"],
    a: Float[Tensor, "4"],
    names: Sequence[str],
    alt: str,
    caption: str = "",
    start: int = 0,
    positions: Layout | None = None,
    slope: float = 0.2,
    step: int = 4,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader choose a query and a key, go through graph attention, and change features.

    The steps are 1 project, 2 score all pairs, 3 mask, 4 softmax, 5 combine; the layer is
    :class:`~gatutils.graph_attention.GATConv` with one head and no bias. Beside the graph is the
    matrix of all pairs, and below them the step itself: the matrix product, the score as the paper
    draws it (cells, LeakyReLU, softmax), or the weighted sum in the plane. Up to seven nodes are
    legible. Without JavaScript the figure is two tables: all steps for the node selected
    initially, and the scores of all pairs.

    Args:
        graph: Which nodes attend to which. No self-loops are added.
        features: One row per node.
        W: The projection.
        a: The vector of the score: one half for the query node, one half for the neighbour.
        names: The nodes' names, each a number or a short word.
        alt: What the figure shows, in words.
        caption: A line below it.
        start: The query node selected initially.
        positions: A pair (x, y) per node, with y pointing up; on a circle if None. Arrows lead from
            every node to every other, so no node may lie between two others.
        slope: Slope of the LeakyReLU for negative inputs, 0 to 1.
        step: The step shown initially, 1 to 5.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If ``graph`` is not a :class:`~gatutils.graph.Graph`, a tensor is not a float
            tensor, or ``start`` or ``step`` is not an int.
        ValueError: If sizes do not match, an edge is duplicated, a number or a result is not
            finite, a node lies between two others, or ``start`` or ``step`` is out of range.

    Source:
        Velickovic et al. (2018), equations 1 to 4.
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a Graph, got {type(graph).__name__}")
    n = graph.num_nodes
    expect(n > 0, "graph", "one node or more", "none")
    for tensor, name, shape in ((features, "features", (n, 2)), (W, "W", (2, 2)), (a, "a", (4,))):
        expect_tensor(tensor, name, "float", ndim=len(shape), exact=True)
        expect(tuple(tensor.shape) == shape, name, f"shape {shape}", tuple(tensor.shape))
        expect(bool(tensor.isfinite().all()), name, "finite numbers", "others")
    expect_list(names, "names", str)
    expect(len(names) == n, "names", f"{n} names", len(names))
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    for chosen, name, least, most in ((start, "start", 0, n - 1), (step, "step", 1, 5)):
        expect_int(chosen, name, least=least)
        expect(chosen <= most, name, f"at most {most}", chosen)
    expect_numbers([slope], "slope", 1)
    expect(0 <= slope <= 1, "slope", "a number from 0 to 1", slope)

    h, W, a = map(as_written, (features, W, a))
    mask = graph.mask().cpu()
    try:
        projected, raw, e, weights, state = _layer(h, W, a, slope, mask, start)
    except ValueError as error:
        wanted = "features: expected numbers whose products are finite, got others"
        raise ValueError(wanted) from error
    at = node_places(positions, "positions", n) * (1, -1)  # in SVG, y points down
    at -= at.min(axis=0)
    radius, pairs = 29, itertools.combinations(at.tolist(), 2)
    gap = min((math.dist(*pair) for pair in pairs), default=1.0)  # leaves room for an arrow
    free = _clearance(at)  # so that no arrow runs behind a node
    expect(positions is None or free > 0.1, "positions", "no node between two others", "one")
    at = (at * max(150.0, (2 * radius + 30) / gap, (radius + 8) / free) + radius + 20).round(1)
    edges = [(j, i) for i, j in mask.nonzero().tolist()]
    rows = _commas(f"[{_given(row)}]" for row in W)
    numbers = (f"W = [{rows}]", f"a = [{_given(a)}]")
    given = _commas(number.replace(" ", "\u00a0") for number in numbers)
    data = {
        "names": list(names),
        "features": h.tolist(),
        "W": W.tolist(),
        "a": a.tolist(),
        "slope": slope,
        "sees": [row.nonzero().flatten().tolist() for row in mask],
        "places": at.tolist(),
        "loops": [rounded_weight(angle) for angle in open_sides(at, edges)],
        "size": (at.max(axis=0) + radius + 20).round(1).tolist(),
        "radius": radius,
        "reach": max(2, math.ceil(h.abs().max())),
        "columns": _ATTENTION_COLUMNS,
        "given": given,
        "start": start,
        "step": step,
    }
    columns = [
        [f"({_given(row)})" for row in h],
        list(map(_pair, projected)),
        list(map(two, raw.tolist())),
        list(map(two, e[start].tolist())),
        list(map(two, weights.tolist())),
        list(map(_pair, weights.unsqueeze(1) * projected)),
    ]
    sums = two(weights.sum().item()), _pair(state)
    title = f"what node {names[start]} attends to; masked scores are struck out; {given}"
    still = _attention_table(title, names, mask[start].tolist(), columns, sums)
    still += _pairs_table(names, e.tolist(), mask.tolist())
    return element("gat-attention", data, still, alt, caption, tolerance)


@torch.no_grad()
def _layer(
    h: Tensor, W: Tensor, a: Tensor, slope: float, mask: Tensor, start: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return projections, raw scores of a node, scores of all pairs, and its weights and state."""
    with torch.random.fork_rng(devices=[]):  # a figure must not affect later random numbers
        layer = GATConv(2, 2, negative_slope=slope, bias=False).to(h.dtype)
    layer.W.copy_(W.unsqueeze(0))
    layer.a.copy_(a.unsqueeze(0))
    query, key, value = layer.project(h)
    pairs = Graph.from_mask(torch.ones_like(mask))
    e = layer.score(query, key, pairs).view(len(h), -1)
    layer.negative_slope = 1.0  # which leaves the raw scores unchanged
    raw = layer.score(query, key, pairs).view(len(h), -1)[start]
    state, weights = attend(e[start : start + 1], value[:, 0], mask[start : start + 1])
    return value[:, 0], raw, e, weights[0], state[0]


def _clearance(places: np.ndarray) -> float:
    """Return how near a node comes to the line between two others; infinite with two nodes."""
    nearest = math.inf
    for k, (j, i) in itertools.product(
        range(len(places)), itertools.combinations(range(len(places)), 2)
    ):
        if k not in (i, j):
            along = places[i] - places[j]
            share = float((places[k] - places[j]) @ along / (along @ along))
            foot = places[j] + min(max(share, 0.0), 1.0) * along
            nearest = min(nearest, math.dist(places[k], foot))
    return nearest


_ATTENTION_COLUMNS = [  # soft hyphens, for a phone without JavaScript
    f'{words}<br/><span style="font-size:.85em;font-weight:400">{symbols}</span>'
    for words, symbols in (
        ("node", "j"),
        ("fea\u00adtures", "h<sub>j</sub>"),
        ("pro\u00adjected", "W h<sub>j</sub>"),
        ("raw score", "a · [W h<sub>i</sub> ‖ W h<sub>j</sub>]"),
        ("score", "e<sub>ij</sub>, Leaky\u00adReLU"),
        ("weight", "α<sub>ij</sub>"),
        ("weight\u00aded", "α<sub>ij</sub> W h<sub>j</sub>"),
    )
]


def _attention_table(
    title: str,
    names: Sequence[str],
    seen: Sequence[bool],
    columns: Sequence[Sequence[str]],
    sums: tuple[str, str],
) -> str:
    """Return :func:`graph_attention` as a table of all steps for one node."""
    head = "".join(f'<th scope="col">{words}</th>' for words in _ATTENTION_COLUMNS)
    body = ""
    for name, see, cells in zip(names, seen, zip(*columns, strict=True), strict=True):
        look = "" if see else f' style="color:{css_variable("masked")}"'
        body += f'<tr{look}><th scope="row">{html.escape(name)}</th>'
        for column, cell in enumerate(cells):
            struck = column == 3 and not see  # the score
            body += f"<td><s>{cell}</s></td>" if struck else f"<td>{cell}</td>"
        body += "</tr>"
    return (
        f'{STILL}<table class="gat-still"><caption>{html.escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot><tr>"
        f'<th scope="row" colspan="5">sum</th><td>{sums[0]}</td><td><b>{sums[1]}</b></td>'
        "</tr></tfoot></table>"
    )


def _pairs_table(
    names: Sequence[str], e: Sequence[Sequence[float]], mask: Sequence[Sequence[bool]]
) -> str:
    """Return the scores of all pairs as a table, hatched where they are masked."""
    corner = '<td style="text-align:start"><small>i \\ j</small></td>'
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    body = ""
    for i, scores, seen in zip(names, e, mask, strict=True):
        body += f'<tr><th scope="row">{html.escape(i)}</th>'
        for j, score, see in zip(names, scores, seen, strict=True):
            indices = html.escape(i + j if len(i + j) == 2 else f"{i}, {j}")
            number = two(score) if see else f"<s>{two(score)}</s>"
            look = "" if see else ' class="masked"'
            body += f"<td{look}><span>e<sub>{indices}</sub><br/>{number}</span></td>"
        body += "</tr>"
    masked = css_variable("masked")
    cell = ".gat-pairs .gat-still"
    style = (
        f"<style>{cell} :is(thead th,tbody td){{text-align:center;line-height:1.4}}"
        f"{cell} tbody td{{border:1px solid color-mix(in srgb,currentColor 18%,transparent)}}"
        f"{cell} td.masked{{color:{masked};background:repeating-linear-gradient(135deg,"
        f"{masked} 0 1px,transparent 1px 6px)}}{cell} .masked span{{display:inline-block;"
        "padding:0 .2em;background:var(--pst-color-background,Canvas)}</style>"
    )
    return (
        f'<div class="gat-pairs">{style}<table class="gat-still"><caption>scores of all pairs: '
        "query i in rows, key j in columns; hatched where masked</caption>"
        f"<thead><tr>{corner}{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _pair(numbers: Tensor) -> str:
    return f"({_commas(map(two, numbers.tolist()))})"


def _given(numbers: Tensor) -> str:
    return _commas(re.sub(r"\.?0+$", "", two(x)) for x in numbers.tolist())


def _commas(numbers: Iterable[str]) -> str:
    return ", ".join(numbers)
