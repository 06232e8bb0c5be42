"""Chapter 7's figure: aggregate, combine and readout, with the arithmetic of one node."""

import html
import itertools
import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import get_args

import numpy as np
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
from gatutils.book.figures.heatmaps import css_variable
from gatutils.book.figures.lookup import STILL
from gatutils.book.figures.networks import Layout, node_places
from gatutils.graph import Graph
from gatutils.message_passing import Pooling, aggregate, readout

RADIUS = 38
"""A node's radius, in pixels at the drawing's own size; it holds three lines of text."""


def message_passing(
    graph: Graph,
    states: Float[Tensor, "nodes 1"],
    names: Sequence[str],
    alt: str,
    caption: str = "",
    start: int = 0,
    positions: Layout | None = None,
    aggr: Pooling = "sum",
    pooling: Pooling = "sum",
    step: int = 3,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader change the nodes' states and follow one round of message passing.

    The steps are 1 states, 2 aggregate, 3 combine, 4 readout. A node's new state is its own state
    plus the aggregate of its neighbours' states. The arithmetic of the selected node is written
    out; up to seven nodes are legible. Without JavaScript the figure is a table with the arithmetic
    of every node.

    Args:
        graph: Which nodes receive from which, without self-loops and duplicates.
        states: One whole number per node, 0 to 99.
        names: The nodes' names, each a number or a letter.
        alt: What the figure shows, in words.
        caption: A line below it.
        start: The node selected initially.
        positions: A pair (x, y) per node, with y pointing up; on a circle if None.
        aggr: How a node's neighbours are aggregated initially: ``"sum"``, ``"mean"`` or ``"max"``.
        pooling: How the graph is read out initially, one of the same three.
        step: The step shown initially, 1 to 4.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If ``graph`` is not a :class:`~gatutils.graph.Graph`, ``states`` is not a float
            tensor, or ``start`` or ``step`` is not an int.
        ValueError: If sizes do not match, the graph has a self-loop or a duplicated edge, an edge
            would be drawn behind a node, a state is not a whole number, or a choice is unknown.
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a Graph, got {type(graph).__name__}")
    n = graph.num_nodes
    expect(n > 0, "graph", "one node or more", "none")
    edges = list(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
    expect(all(j != i for j, i in edges), "graph", "no self-loop", "one")
    expect(len(set(edges)) == len(edges), "graph", "each edge once", "a duplicate")
    expect_tensor(states, "states", "float", ndim=2, exact=True)
    expect(tuple(states.shape) == (n, 1), "states", f"shape {(n, 1)}", tuple(states.shape))
    whole = bool(
        (states.isfinite() & (states == states.round()) & (states >= 0) & (states <= 99)).all()
    )
    expect(whole, "states", "whole numbers from 0 to 99", states.flatten().tolist())
    expect_list(names, "names", str)
    expect(len(names) == n, "names", f"{n} names", len(names))
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    for chosen, name, least, most in ((start, "start", 0, n - 1), (step, "step", 1, 4)):
        expect_int(chosen, name, least=least)
        expect(chosen <= most, name, f"at most {most}", chosen)
    for way, name in ((aggr, "aggr"), (pooling, "pooling")):
        expect(way in get_args(Pooling), name, "'sum', 'mean' or 'max'", repr(way))

    places = _places(positions, n, edges)
    sources = [[j for j, target in edges if target == i] for i in range(n)]
    values = [int(x) for x in states.flatten().tolist()]
    data = {
        "names": list(names),
        "states": values,
        "sources": sources,
        "places": places.tolist(),
        "size": (places.max(axis=0) + RADIUS + 16).round(1).tolist(),
        "radius": RADIUS,
        "most": max(10, *values),
        "aggr": aggr,
        "pooling": pooling,
        "start": start,
        "step": step,
    }
    still = _arithmetic(graph, states.detach().double().cpu(), sources, names, aggr, pooling)
    return element("gat-message-passing", data, still, alt, caption, tolerance)


def _places(positions: Layout | None, n: int, edges: list[tuple[int, int]]) -> np.ndarray:
    """Return positions in pixels, with y pointing down; no edge runs behind a node.

    Between two nodes there is room for an arrow that carries a number.

    Raises:
        ValueError: If a node would lie on the edge of two others.
    """
    at: np.ndarray = node_places(positions, "positions", n) * (1, -1)
    scale = 240.0
    for j, i in itertools.combinations(range(n), 2):
        room = 62 if {(j, i), (i, j)} & set(edges) else 8
        scale = max(scale, (2 * RADIUS + room) / math.dist(at[j], at[i]))
    at = at * scale
    at = (at - at.min(axis=0) + RADIUS + 16).round(1)
    for j, i in edges:
        for k in set(range(n)) - {j, i}:
            along = at[i] - at[j]
            share = float(np.clip((at[k] - at[j]) @ along / (along @ along), 0, 1))
            clear = math.dist(at[k], at[j] + share * along) > RADIUS + 4
            expect(clear, "positions", "no edge behind a node", f"edge ({j}, {i}) behind {k}")
    return at


def _arithmetic(
    graph: Graph,
    states: Tensor,
    sources: Sequence[Sequence[int]],
    names: Sequence[str],
    aggr: Pooling,
    pooling: Pooling,
) -> str:
    """Return :func:`message_passing` as a table with the arithmetic of every node."""
    received = aggregate(states, graph, aggr)
    new = states + received
    summary = readout(new, graph, pooling).item()
    body = ""
    for i, name in enumerate(names):
        sent = [states[j].item() for j in sources[i]]
        cells = (
            ", ".join(names[j] for j in sources[i]) or "none",
            _plain(states[i].item()),
            _sum_written(sent, aggr, received[i].item()),
            f"{_plain(states[i].item())} + {_plain(received[i].item())} = "
            f"<b>{_plain(new[i].item())}</b>",
        )
        shown = "".join(
            f"<td>{html.escape(cell) if k == 0 else cell}</td>" for k, cell in enumerate(cells)
        )
        body += f'<tr><th scope="row">{html.escape(name)}</th>{shown}</tr>'
    foot = _sum_written(new.flatten().tolist(), pooling, summary)
    head = "".join(
        f'<th scope="col"{style}>{words}</th>'
        for words, style in (
            ("node", ""),
            ("neigh\u00adbours", ""),
            ("state\u00a0h", ""),
            (f"aggregate c, {aggr}", f' style="color:{css_variable("value")}"'),
            ("combine h\u00a0+\u00a0c", ""),
        )
    )
    return (
        f'{STILL}<table class="gat-still"><caption>One round of message passing, then the readout'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot><tr>"
        f'<th scope="row" colspan="2">readout, {pooling}</th><td colspan="3">{foot}</td>'
        "</tr></tfoot></table>"
    )


def _sum_written(numbers: Sequence[float], way: Pooling, result: float) -> str:
    """Return an aggregation as it is written by hand: "(1 + 2) / 2 = 1.5"."""
    if not numbers:
        return "0"
    if way == "max":
        return f"max({', '.join(map(_plain, numbers))}) = {_plain(result)}"
    terms = " + ".join(map(_plain, numbers))
    if way == "mean":
        terms = f"({terms}) / {len(numbers)}"
    elif len(numbers) == 1:
        return _plain(result)
    return f"{terms} = {_plain(result)}"


def _plain(number: float) -> str:
    """Write a number with at most two decimals, as the script does."""
    return str(Decimal(number).quantize(Decimal("0.01"), ROUND_HALF_UP)).rstrip("0").rstrip(".")
