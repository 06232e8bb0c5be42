"""Chapter 12's figure: the nodes on which the new state of one node depends."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from gatutils._checks import expect, expect_int, expect_list
from gatutils.book.figures.core import TOLERANCE, Picture
from gatutils.book.figures.elements import element
from gatutils.book.figures.lookup import STILL
from gatutils.book.figures.networks import Layout, node_places
from gatutils.graph import Graph

LAYERS = 3
"""The largest number of layers that the reader can choose."""

WIDTH, MARGIN = 340, 20
"""Of the drawing and around its nodes, in pixels at the size that it has on a phone."""

FINGER = 39.5
"""The least distance between two nodes, across plus down, in pixels; the grid's 40 are rounded."""

BYTES = 4
"""Of one number in single precision."""

Hop = list[tuple[int, int]]
"""The edges along which one layer receives, each as (source, target)."""


def receptive_field(
    graph: Graph,
    positions: Layout,
    alt: str,
    caption: str = "",
    start: int = 0,
    layers: int = LAYERS,
    fanout: int | None = None,
    fanouts: Sequence[int | None] = (1, 2, 3, 4, None),
    features: int = 128,
    draw: int = 1,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader choose a node, a number of layers and a fan-out, and see what is needed.

    The nodes whose features the new state depends on are numbered by the hop in which the sampling
    first reaches them, and counted in nodes, edges and bytes. The sampling is that of
    :meth:`~gatutils.graph.Graph.sample`: the sources of each hop include its
    targets, whose edges are drawn again in the next one. The random numbers are hashes, so that
    they are the same on every machine; a reader who asks for another draw gets others. Without
    JavaScript the figure consists of two tables: the nodes needed for each choice, and the counts
    of the initial one.

    About 70 nodes fit on a phone: around each there is room for a finger.

    Args:
        graph: Which nodes receive from which, without self-loops and duplicates.
        positions: A pair (x, y) per node, with y pointing up.
        alt: What the figure shows, in words.
        caption: A line below it.
        start: The node selected initially.
        layers: The number of layers selected initially, 1 to 3.
        fanout: The fan-out selected initially, one of ``fanouts``.
        fanouts: How many incoming edges are drawn per node and layer: increasing numbers, then None
            for all edges.
        features: How many features each node has, as numbers of four bytes.
        draw: The number of the first draw; another number gives other samples.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If ``graph`` is not a :class:`~gatutils.graph.Graph`, or a number is not an int.
        ValueError: If the graph is bipartite or has a self-loop or a duplicated edge, two nodes are
            too close for a finger on a phone, the fan-outs do not increase or do not end with None,
            or a choice is out of range.
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a Graph, got {type(graph).__name__}")
    expect(not graph.is_bipartite, "graph", "targets that are its sources", "a bipartite graph")
    n = graph.num_nodes
    expect(n > 0, "graph", "one node or more", "none")
    edges = list(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
    expect(all(j != i for j, i in edges), "graph", "no self-loop", "one")
    expect(len(set(edges)) == len(edges), "graph", "each edge once", "a duplicate")
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    expect_list(fanouts, "fanouts", object)
    finite = [size for size in fanouts if size is not None]
    for size in finite:
        expect_int(size, "fanouts", least=1)
    grows = finite == sorted(set(finite)) and [*finite, None] == list(fanouts) and finite != []
    expect(grows, "fanouts", "increasing numbers, then None", fanouts)
    expect(fanout in fanouts, "fanout", f"one of {list(fanouts)}", fanout)
    for number, name, least, most in (
        (start, "start", 0, n - 1),
        (layers, "layers", 1, LAYERS),
        (features, "features", 1, 10**6),
        (draw, "draw", 0, 10**6),
    ):
        expect_int(number, name, least=least)
        expect(number <= most, name, f"at most {most}", number)

    places, room = _places(positions, n)
    sources = [[j for j, target in edges if target == i] for i in range(n)]
    data = {
        "sources": sources,
        "places": places.tolist(),
        "size": [WIDTH, round(float(places[:, 1].max()) + MARGIN, 1)],
        "room": room,
        "fanouts": list(fanouts),
        "features": features,
        "layers": LAYERS,
        "draw": draw,
        "start": [start, layers, list(fanouts).index(fanout)],
    }
    still = STILL + _choices(sources, start, fanouts, draw)
    still += _counts(sampled(sources, start, [fanout] * layers, draw), n, features, fanout)
    return element("gat-receptive-field", data, still, alt, caption, tolerance)


def sampled(
    sources: Sequence[Sequence[int]], node: int, sizes: Sequence[int | None], draw: int
) -> tuple[dict[int, int], list[Hop]]:
    """Return the nodes that a node's new state depends on, and the edges, as the script does.

    Args:
        sources: For each node, the nodes that it receives from.
        node: The node whose new state is wanted.
        sizes: For each hop, how many incoming edges are drawn per node; None for all of them.
        draw: Another number gives other samples.

    Returns:
        ``hops``, each node with the hop in which it is first reached, and for each hop its edges.
    """
    hops, drawn = {node: 0}, list[Hop]()
    for hop, size in enumerate(sizes, 1):
        edges = []
        for i in hops:
            order = {j: _hash(draw, hop, i, j) for j in sources[i]}
            edges += [(j, i) for j in sorted(order, key=order.__getitem__)[:size]]
        for j, _ in edges:
            hops.setdefault(j, hop)
        drawn.append(edges)
    return hops, drawn


def _hash(*numbers: int) -> int:
    """Return a number from 0 to 2^32 - 1 that looks random, the same on every machine."""
    mixed = 0
    for number in numbers:
        x = (mixed + number + 0x9E3779B9) % 2**32
        x = (x ^ x >> 16) * 0x21F0AAAD % 2**32
        x = (x ^ x >> 15) * 0x735A2D97 % 2**32
        mixed = x ^ x >> 15
    return mixed


def _places(positions: Layout, n: int) -> tuple[np.ndarray, float]:
    """Return positions in pixels, with y pointing down, and half the width of a finger's room.

    The room around each node is a square on its tip, so that a finger may be as far above, below or
    beside it; rows of nodes that are shifted by half a step then lie close together.

    Raises:
        ValueError: If two nodes are closer than that.
    """
    at: np.ndarray = node_places(positions, "positions", n) * (1, -1)
    at = at - at.min(axis=0)
    at = (at * ((WIDTH - 2 * MARGIN) / (float(at[:, 0].max()) or 1.0)) + MARGIN).round(1)
    gaps = (float(np.abs(a - b).sum()) for a, b in itertools.combinations(at, 2))
    nearest = min(gaps, default=math.inf)
    wanted = f"nodes {FINGER} pixels apart where the drawing is {WIDTH} pixels wide"
    expect(nearest >= FINGER, "positions", wanted, f"{nearest:.1f}")
    return at, min(round(nearest / 2, 1), 1.25 * MARGIN)


def _choices(
    sources: Sequence[Sequence[int]], node: int, fanouts: Sequence[int | None], draw: int
) -> str:
    """Return a table of the nodes needed: a row for each fan-out, a column per number of layers."""
    body = ""
    for size in fanouts:
        counts = (
            len(sampled(sources, node, [size] * layers, draw)[0]) for layers in range(1, LAYERS + 1)
        )
        cells = "".join(f"<td>{count}</td>" for count in counts)
        body += f'<tr><th scope="row">{size or "all"}</th>{cells}</tr>'
    columns = "".join(
        f'<th scope="col">{layers} layer{"s" * (layers > 1)}</th>'
        for layers in range(1, LAYERS + 1)
    )
    return (
        f'<table class="gat-still"><caption>nodes needed, of {len(sources)}</caption><thead><tr>'
        f'<th scope="col">fan-out</th>{columns}</tr></thead><tbody>{body}</tbody></table>'
    )


def _counts(
    found: tuple[dict[int, int], list[Hop]], n: int, features: int, fanout: int | None
) -> str:
    """Return a table of the nodes first reached and the edges of each hop, and the bytes."""
    hops, drawn = found
    reached = list(hops.values())
    body = "".join(
        f'<tr><th scope="row">{hop}</th><td>{reached.count(hop)}</td><td>{len(edges)}</td></tr>'
        for hop, edges in enumerate([[], *drawn])
    )
    size = features * BYTES
    return (
        f'<table class="gat-still"><caption>{len(drawn)} layer{"s" * (len(drawn) > 1)}, '
        f'fan-out {fanout or "all"}</caption><thead><tr><th scope="col">hop</th>'
        '<th scope="col">new nodes</th><th scope="col">edges</th></tr></thead>'
        f'<tbody>{body}</tbody><tfoot><tr><th scope="row">sum</th><td>{len(hops)} of {n}</td>'
        f'<td>{sum(map(len, drawn))}</td></tr><tr><th scope="row">features</th>'
        f'<td colspan="2">{len(hops) * size:,} of {n * size:,} bytes</td></tr></tfoot></table>'
    )
