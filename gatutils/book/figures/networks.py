"""Drawings of graphs, side by side."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from gatutils._checks import (
    expect,
    expect_int,
    expect_list,
)
from gatutils.book.figures.core import (
    INK,
    TOLERANCE,
    Picture,
    arrow,
    drawing,
    picture,
    role_color,
    series_color,
)
from gatutils.graph import Graph

Layout = Sequence[Any] | Mapping[int, Any] | np.ndarray
"""A pair (x, y) per node, with y pointing up, in a sequence, an array or a mapping from nodes."""


def circle(nodes: int) -> list[tuple[float, float]]:
    """Return positions on a circle, clockwise from the top."""
    turns = (math.tau * i / nodes for i in range(nodes))
    return [(math.sin(turn), math.cos(turn)) for turn in turns]


def node_places(positions: Layout | None, name: str, nodes: int) -> np.ndarray:
    """Return positions, on a circle if None, centred in a square of side 1.

    They are rounded, because the last digits of a layout differ between machines.
    """
    if positions is None:
        positions = circle(nodes)
    if isinstance(positions, Mapping):
        expect(set(positions) == set(range(nodes)), name, f"nodes 0 to {nodes - 1}", "others")
        positions = [positions[i] for i in range(nodes)]
    try:
        at: np.ndarray = np.asarray(positions, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected pairs of numbers, got {positions!r}") from error
    expect(at.shape == (nodes, 2), name, f"{nodes} pairs (x, y)", f"shape {at.shape}")
    expect(bool(np.isfinite(at).all()), name, "finite numbers", "others")
    low, high = at.min(axis=0), at.max(axis=0)
    side = float((high - low).max()) or 1.0
    at = np.around((at - (low + high) / 2) / side, 3) + 0.5
    expect(len(np.unique(at, axis=0)) == nodes, name, "a place of its own for each node", "others")
    return at


def open_sides(places: np.ndarray, edges: Sequence[tuple[int, int]]) -> list[float]:
    """Return for each node the middle angle of the widest gap between its edges, for a loop."""
    angles: list[list[float]] = [[] for _ in places]
    for j, i in edges:
        if i != j:
            for a, b in ((i, j), (j, i)):
                x, y = places[b] - places[a]
                angles[a].append(math.atan2(y, x))
    sides = []
    for place, around in zip(places, map(sorted, angles), strict=True):
        outwards = place - places.mean(axis=0)
        middles = []
        for low, high in zip(
            around, [*around[1:], *(x + math.tau for x in around[:1])], strict=True
        ):
            middle = (low + high) / 2
            out = float(outwards @ (math.cos(middle), math.sin(middle)))
            middles.append((round(high - low, 3), round(out, 3), middle))
        sides.append(max(middles)[2] if middles else math.pi / 2)
    return sides


@dataclass(frozen=True)
class Network:
    """One graph of :func:`networks`.

    Attributes:
        graph: The graph. An edge and its reverse are drawn as one plain line, an edge without a
            reverse as an arrow.
        positions: A pair (x, y) per node, with y pointing up; on a circle if None. A layout made by
            networkx is accepted if its nodes are 0 to n - 1.
        title: Written above the graph.
        names: Written inside the nodes, each a number or a short word.
        notes: Written beside the nodes, where there is room between their edges.
        colors: For each node one of ``SERIES``, or None for the colour of the text.
        shades: How strongly each node is filled, from 0 (hollow) to 1.
        highlight: Edges (source, target) to draw as thick arrows in the colour of weights.
        weights: Edge (source, target) -> its weight; it is drawn as a plain line in the colour of
            weights, whose width is in proportion to the weight (0.1 is 2 points).
    """

    graph: Graph
    positions: Layout | None = None
    title: str = ""
    names: Sequence[str] | None = None
    notes: Sequence[str] | None = None
    colors: Sequence[str | None] | None = None
    shades: Sequence[float] | None = None
    highlight: Sequence[tuple[int, int]] = ()
    weights: Mapping[tuple[int, int], float] | None = None


def networks(
    panels: Sequence[Network],
    alt: str,
    caption: str = "",
    columns: int | None = None,
    height: float | None = None,
    legend: Mapping[str, str] | None = None,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Draw graphs, side by side.

    Args:
        panels: The graphs to draw, row by row.
        alt: What the figure shows, in words.
        caption: A line below it.
        columns: How many panels are side by side; if None, at most two, since more are hard to read
            on a phone.
        height: Height of each panel, in inches of 72 points; the whole figure is 5.2 wide.
        legend: One of ``SERIES`` -> what a node of that colour is.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If ``panels`` contains anything else, or positions are not numbers.
        ValueError: If there is no panel, or something given per node does not match the nodes.
    """
    expect_list(panels, "panels", Network)
    expect(len(panels) > 0, "panels", "one network or more", "none")
    columns = min(len(panels), 2) if columns is None else columns
    expect_int(columns, "columns", least=1)
    width = 5.2 / columns
    height = min(3.2, 0.95 * width) if height is None else height
    expect(math.isfinite(height) and height >= 1, "height", "1 inch or more", height)
    rows, foot = math.ceil(len(panels) / columns), 0.35 if legend else 0.0
    figure, ax = drawing(5.2, rows * height + foot)
    spots = []
    for k, panel in enumerate(panels):
        centre = ((k % columns + 0.5) * width, (rows - k // columns - 0.5) * height + foot)
        spots.append(_spots(panel, f"panels[{k}]", centre, width, height))
        if panel.title:
            top = centre[1] + height / 2 - 0.06
            ax.text(centre[0], top, panel.title, ha="center", va="top", color=INK, fontsize=11)
    r = min(map(_radius, spots))  # the same in all panels, so that they can be compared
    for panel, places in zip(panels, spots, strict=True):
        _draw(ax, panel, places, r)
    if legend:
        dots = [
            Line2D([], [], linestyle="", marker="o", markersize=9, color=series_color(color))
            for color in legend
        ]
        ax.legend(
            dots,
            list(legend.values()),
            loc="lower center",
            ncols=len(dots),
            frameon=False,
            borderpad=0,
            handletextpad=0.2,
            fontsize=11,
        )
    return picture(figure, alt, caption, tolerance)


def _spots(
    panel: Network, name: str, centre: tuple[float, float], width: float, height: float
) -> np.ndarray:
    """Return the positions of a graph's nodes in its panel, in inches, scaled so that it fits."""
    n = panel.graph.num_nodes
    expect(n > 0, f"{name}.graph", "one node or more", "none")
    for field in ("names", "notes", "colors", "shades"):
        given = getattr(panel, field)
        expect(given is None or len(given) == n, f"{name}.{field}", f"{n} of them", given)
    inside = all(0 <= shade <= 1 for shade in panel.shades or ())
    expect(inside, f"{name}.shades", "numbers from 0 to 1", panel.shades)
    edges = _edges(panel.graph)
    others = set(panel.highlight) - set(edges)
    expect(not others, f"{name}.highlight", "edges of the graph", sorted(others))
    others = set(panel.weights or ()) - set(edges)
    expect(not others, f"{name}.weights", "edges of the graph", sorted(others))
    low = min((panel.weights or {}).values(), default=0)
    expect(low >= 0, f"{name}.weights", "numbers of 0 or more", low)

    places = node_places(panel.positions, f"{name}.positions", n) - 0.5
    before, behind = np.full((n, 2), 0.22), np.full((n, 2), 0.22)  # room around a node
    for i, side in enumerate(open_sides(places, edges)):
        if (i, i) in edges:
            before[i] = behind[i] = 0.4
        if panel.notes:
            long, anchor = 0.085 * len(panel.notes[i]), _anchor(side)
            before[i, 0] += {"right": long, "center": max(0.0, long / 2 - 0.22), "left": 0}[anchor]
            behind[i, 0] += {"left": long, "center": max(0.0, long / 2 - 0.22), "right": 0}[anchor]
            before[i, 1] += 0.2 * (math.sin(side) < -0.4)
            behind[i, 1] += 0.2 * (math.sin(side) > 0.4)
    head = 0.28 if panel.title else 0.0
    free = np.array([width, height - head]) / 2 - np.where(places < 0, before, behind)
    scale = float((free / np.maximum(np.abs(places), 1e-9)).min())
    expect(scale > 0.3, name, "less around its nodes, or fewer columns", "no room for it")
    return places * scale + (centre[0], centre[1] - head / 2)


def _anchor(side: float) -> str:
    """Return how text beside a node is aligned."""
    x = math.cos(side)
    return "left" if x > 0.4 else "right" if x < -0.4 else "center"


def _edges(graph: Graph) -> list[tuple[int, int]]:
    """Return each (source, target) once."""
    return sorted(set(zip(graph.source.tolist(), graph.target.tolist(), strict=True)))


def _radius(places: np.ndarray) -> float:
    """Return how large nodes may be if the edges between them are to remain visible."""
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    return min(0.2, max(0.055, 0.3 * float((apart + 9 * np.eye(len(places))).min())))


def _draw(ax: Axes, panel: Network, places: np.ndarray, r: float) -> None:
    """Draw a graph whose nodes are at these positions."""
    edges = _edges(panel.graph)
    both = {(i, j) for j, i in edges} & set(edges)
    strong, weights = set(panel.highlight), panel.weights or {}
    sides = open_sides(places, edges)
    for j, i in sorted(edges, key=lambda edge: edge in strong):  # highlighted edges on top
        thick = (j, i) in strong
        role, line = ("weight", 2.6) if thick else (None, 1.1 if len(places) < 16 else 0.7)
        if (j, i) in weights:
            role, line = "weight", 20 * weights[j, i]
        if i == j:
            _loop(ax, places[i], sides[i], r, role, line)
        elif (j, i) in weights:
            _edge(ax, places, j, i, r, role, line, directed=False)
        elif thick or (j, i) not in both or (j < i and (i, j) not in strong):
            _edge(ax, places, j, i, r, role, line, thick or (j, i) not in both)
    for i, (x, y) in enumerate(places.tolist()):
        named = panel.colors[i] if panel.colors else None
        color = series_color(named)
        alpha = 0.14 if panel.names or named is None else 0.9
        if panel.shades:  # paler below a name, which must stay legible
            alpha = panel.shades[i] * (0.36 if panel.names else 0.9)
        ax.add_patch(Circle((x, y), r, facecolor=color, alpha=alpha, linewidth=0, zorder=3))
        ax.add_patch(Circle((x, y), r, facecolor="none", edgecolor=color, linewidth=1.3, zorder=3))
        style: Any = {"ha": "center", "va": "center_baseline", "color": INK}
        if panel.names:
            size = min(11.0, 2.4 * r * 72 / max(1, len(panel.names[i])))
            ax.text(x, y, panel.names[i], fontsize=size, **style)
        if panel.notes:
            dx, dy = math.cos(sides[i]), math.sin(sides[i])
            style["ha"] = _anchor(sides[i])
            ax.text(
                x + (r + 0.06) * dx, y + (r + 0.13) * dy, panel.notes[i], fontsize=10.5, **style
            )


def _edge(
    ax: Axes,
    places: np.ndarray,
    j: int,
    i: int,
    r: float,
    role: str | None,
    width: float,
    directed: bool,
) -> None:
    """Draw the parts of the edge from j to i that are not covered by a node."""
    start, way = places[j], places[i] - places[j]
    length = float(np.hypot(*way))
    along = way / length
    free, begin = [], 0.0
    ahead = (places - start) @ along
    aside = np.abs((places - start) @ (along[1], -along[0]))
    for k in np.argsort(ahead, kind="stable"):
        if aside[k] < r and -r < ahead[k] < length + r:
            half = math.sqrt(r**2 - aside[k] ** 2)
            if ahead[k] - half > begin:
                free.append((begin, float(ahead[k]) - half))
            begin = max(begin, float(ahead[k]) + half)
    color = INK if role is None else role_color(role)
    for k, (a, b) in enumerate(free):
        tail, tip = start + a * along, start + b * along
        if directed and k == len(free) - 1:
            arrow(ax, tuple(tail), tuple(tip), role, width)
        else:
            ax.plot(*zip(tail, tip, strict=True), color=color, linewidth=width, zorder=1)


def _loop(
    ax: Axes, place: np.ndarray, side: float, r: float, role: str | None, width: float
) -> None:
    """Draw the edge from a node to itself as a circle that is partly covered by the node."""
    small, (dx, dy) = 0.7 * r, (math.cos(side), math.sin(side))
    reach = 1.25 * r  # distance to its centre; it meets the node's rim at an angle of `cut`
    cut = math.acos((reach**2 + small**2 - r**2) / (2 * reach * small))
    turns = side + math.pi + np.linspace(cut, math.tau - cut, 24)
    x, y = place[0] + reach * dx, place[1] + reach * dy
    color = INK if role is None else role_color(role)
    ax.plot(
        x + small * np.cos(turns), y + small * np.sin(turns), color=color, linewidth=width, zorder=1
    )
