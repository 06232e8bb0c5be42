"""Figures: one colour per role, legible on light and dark, readable on a phone.

Curves and drawings are made by matplotlib and shown as SVG inside the page, where colours are
variables of the page's style and text is in the page's own colour and font. So one figure
serves both schemes, and Hangul needs no font of ours. Heat maps are real tables. Four figures
can be touched: custom elements (``figures.js``, ``steps.js``) over tables, which show where no
script runs. Every figure has alternative text, and carries the data that it shows, because the
drawing of the same data may differ in its last digits on another machine.
``python -m gatutils.viz`` prints the style sheet.
"""

import hashlib
import html
import io
import itertools
import json
import math
import operator
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection, PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from matplotlib.text import Annotation, Text
from matplotlib.ticker import LogFormatter, MaxNLocator, ScalarFormatter
from torch import Tensor
from torch.nn.functional import leaky_relu

from gatutils.attention import attend
from gatutils.checks import expect, expect_int, expect_list, expect_tensor
from gatutils.graph import Graph

__all__ = [
    "INK",
    "ROLES",
    "TOLERANCE",
    "Curve",
    "Network",
    "Picture",
    "arrow",
    "box",
    "canvas",
    "circle",
    "curves",
    "drawing",
    "graph_attention",
    "heads",
    "heatmap",
    "lookup",
    "masks",
    "networks",
    "picture",
    "strips",
    "style_sheet",
]

ROLES: dict[str, tuple[str, str]] = {
    "query": ("#9c5a0c", "#f0913a"),
    "key": ("#2a50d7", "#7f95ff"),
    "value": ("#137a45", "#5eec9d"),
    "weight": ("#840b7c", "#f2b1fd"),
    "masked": ("#5c5c5c", "#949494"),
}
"""Role -> (its colour on a light ground, its colour on a dark ground)."""

Corner = Literal["upper left", "upper right", "lower left", "lower right"]
"""Where a legend may stand."""

INK = "#010203"
"""Stands for the page's text colour in a drawing; replaced by ``currentColor``."""

TOLERANCE = 0.001
"""How far the data of a figure may be apart on two machines, as a share of the axis's span."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlesize": 11,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "savefig.transparent": True,
}


def style_sheet() -> str:
    """Return the CSS that defines ``--gat-ROLE`` for both schemes of the book's theme."""
    light, dark = (
        "\n".join(f"  --gat-{role}: {pair[scheme]};" for role, pair in ROLES.items())
        for scheme in (0, 1)
    )
    return (
        "/* Made by `python -m gatutils.viz`: change the colours there. */\n"
        f':root,\nhtml[data-theme="light"] {{\n{light}\n}}\n\n'
        f'html[data-theme="dark"] {{\n{dark}\n}}\n'
    )


def role_color(role: str) -> str:
    """Return a role's colour for matplotlib (the one on a light ground).

    Raises:
        ValueError: If there is no such role.
    """
    expect(role in ROLES, "role", f"one of {', '.join(ROLES)}", repr(role))
    return ROLES[role][0]


@dataclass(frozen=True)
class Picture:
    """A figure as HTML, with its alternative text; a notebook shows it.

    A notebook stores the data beside the HTML, in the output's metadata. A test that runs the
    notebook again compares those, and not the drawing.

    Attributes:
        content: An ``<svg>``, a ``<table>``, or a custom element with its script.
        alt: What the figure shows, in words.
        caption: A line below it, or nothing.
        data: What an ``<svg>`` shows, in lines of JSON; the others hold their numbers as text.
        tolerance: How far numbers may be apart on two machines, as a share of the axis's span. Of
            a figure without axes it is the share of each number, or of 1 where that is less.
    """

    content: str
    alt: str
    caption: str = ""
    data: tuple[str, ...] = ()
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        expect(0 <= self.tolerance < 1, "tolerance", "a share from 0 to 1", self.tolerance)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, Any]]:
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        page = f'<figure class="gat-figure">{self.content}{caption}</figure>'
        shown = {"text/html": page, "text/plain": f"[figure: {self.alt}]"}
        # The digest tells whether the HTML beside the data is the one that was drawn with them.
        digest = hashlib.sha256(page.encode()).hexdigest()
        held = {"tolerance": self.tolerance, "data": list(self.data), "sha256": digest}
        return shown, {"gatutils": held}

    def save(self, path: str | Path) -> None:
        """Write the bare figure, SVG or HTML, to a file, whole or not at all."""
        draft = Path(f"{path}.tmp")
        draft.write_text(self.content + "\n", encoding="utf-8")
        os.replace(draft, path)


def canvas(width: float = 5.2, height: float = 3.2) -> tuple[Figure, Axes]:
    """Return a figure (size in inches of 72 points) and its axes, in the book's style."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()


def drawing(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure for a schematic: axes without frame, one unit an inch, origin at the left."""
    figure, ax = canvas(width, height)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    return figure, ax


def box(
    ax: Axes, x: float, y: float, text: str, role: str | None = None, width: float = 0.62
) -> None:
    """Draw a rounded box around a word, centred at (x, y), in the colour of its role."""
    color = INK if role is None else role_color(role)
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.16),
            width,
            0.32,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor=color,
            alpha=0.14,
            linewidth=0,
        )
    )
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.16),
            width,
            0.32,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor="none",
            edgecolor=color,
            linewidth=1.3,
        )
    )
    ax.text(x, y - 0.01, text, ha="center", va="center", color=INK, fontsize=11)


def arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    role: str | None = None,
    width: float = 1.3,
    bend: float = 0.0,
) -> None:
    """Draw an arrow; ``bend`` curves it, ``width`` is its thickness in points."""
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=8 + 2 * width,
            shrinkA=0,
            shrinkB=0,
            linewidth=width,
            color=INK if role is None else role_color(role),
            connectionstyle=f"arc3,rad={bend}",
        )
    )


def picture(figure: Figure, alt: str, caption: str = "", tolerance: float = TOLERANCE) -> Picture:
    """Turn a matplotlib figure into SVG that follows the page's scheme.

    Args:
        figure: From :func:`canvas` or :func:`drawing`.
        alt: What it shows, in words, for those who cannot see it.
        caption: A line below it.
        tolerance: How far its data may be from those that another machine draws, as a share of
            the axis's span. What is trained while the notebook runs needs more than the default,
            0.001, which allows for last digits only.

    Raises:
        ValueError: If ``alt`` is empty, or ``tolerance`` is not at least 0 and below 1.
    """
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    file = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": alt}), warnings.catch_warnings():
        # matplotlib's font has no Hangul; the browser's will write it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)

    # Two figures on one page must not share ids, and matplotlib's are hashes of coordinates,
    # which differ between machines: those in use are numbered, under a prefix for this figure.
    prefix = "f" + hashlib.sha256(alt.encode()).hexdigest()[:8]
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    names = {name: f"{prefix}-{number}" for number, name in enumerate(used, 1)}
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", svg)
    svg = re.sub(r'(url\(#|href="#)([^)"]+)', lambda m: m[1] + names[m[2]], svg)

    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.S)  # it would hold for the whole page
    svg = re.sub(r"<[^>]+>", lambda tag: _follow_the_page(tag[0]), svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    width, height = (float(v) for v in re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2])
    head = (
        f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width * 4 / 3:.0f}" '
        'style="max-width:100%;height:auto;stroke-linejoin:round;stroke-linecap:butt" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    content = head + svg[svg.index(">") + 1 :].strip()
    return Picture(content, alt, caption, _figure_data(figure), tolerance)


def _figure_data(figure: Figure) -> tuple[str, ...]:
    """Return what a figure shows: a line of JSON for each axes, and for each kind of mark in it.

    Marks of one kind, name and style share a line. Coordinates are in the units of the axes; one
    that is not, as that of a label beside the end of a curve, is a matter of layout and left out.
    """
    lines: list[str] = []
    for number, ax in enumerate(figure.axes, 1):
        legend = ax.get_legend()
        words = [ax.get_title(), ax.get_xlabel(), ax.get_ylabel()]
        words += [text.get_text() for text in legend.get_texts()] if legend else []
        scales = ax.get_xscale(), ax.get_yscale()
        limits = ax.get_xlim(), ax.get_ylim()
        frame: dict[str, list[Any]] = {"x": [*limits[0]], "y": [*limits[1]], "words": words}
        records: dict[tuple[str, ...], dict[str, list[Any]]]
        records = {(f"axes {number}", *scales): frame}
        for key, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
            # Other formatters write what the limits hold already.
            if not isinstance(axis.get_major_formatter(), (ScalarFormatter, LogFormatter)):
                words = [label.get_text() for label in axis.get_ticklabels()]
                records["ticks", key] = {key: [*axis.get_majorticklocs()], "words": words}
        for artist in (*ax.lines, *ax.patches, *ax.collections, *ax.images, *ax.texts):
            style, shown = _mark(artist, ax)
            for key, values in shown.items():
                records.setdefault(style, {}).setdefault(key, []).extend(values)
        for style, shown in records.items():
            for key, between, scale in zip("xy", limits, scales, strict=True):
                shown[key] = _rounded(shown.get(key, []), between, scale)
            record = {"mark": " ".join(filter(None, style)), **shown}
            lines.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
    return tuple(lines)


def _mark(artist: Any, ax: Axes) -> tuple[tuple[str, ...], dict[str, list[Any]]]:
    """Return a mark's kind, name and style, and what it shows: coordinates, words, shades."""
    name = artist.get_label() or ""
    name = "" if name.startswith("_") else name
    shown: dict[str, list[Any]] = {}
    units = artist.get_transform()
    style: tuple[str, ...]
    at: Any
    if isinstance(artist, Line2D):
        style = ("line", name, _hex(artist.get_color()), str(artist.get_linestyle()))
        style += (f"{artist.get_linewidth():g}", str(artist.get_marker()))
        at = [*np.asarray(artist.get_xydata()), (math.nan, math.nan)]
    elif isinstance(artist, Text):
        style = ("text", _hex(artist.get_color()))
        at, shown["words"] = [artist.get_position()], [artist.get_text()]
    elif isinstance(artist, Patch):
        style = (type(artist).__name__, name)
        style += (_hex(artist.get_facecolor()), _hex(artist.get_edgecolor()))
        path, units = artist.get_path(), artist.get_data_transform()
        path = path.transformed(artist.get_patch_transform())
        corners = np.asarray(path.vertices)
        if isinstance(artist, FancyArrowPatch):
            at = corners[:3]  # its start, its bend, and its tip
        elif isinstance(artist, (Ellipse, FancyBboxPatch, Rectangle)):
            at = path.get_extents().get_points()
        else:
            at = [*corners, (math.nan, math.nan)]
    elif isinstance(artist, Collection):
        colors = artist.get_facecolor(), artist.get_edgecolor()
        style = (type(artist).__name__, name, *(_hex(c[0]) for c in colors if len(c)))
        if isinstance(artist, PathCollection):
            at, units = artist.get_offsets(), artist.get_offset_transform()
        else:
            paths = (np.asarray(path.vertices) for path in artist.get_paths())
            at = [point for path in paths for point in (*path, (math.nan, math.nan))]
    else:
        left, right, bottom, top = artist.get_extent()
        style, at = ("image", name), [(left, bottom), (right, top)]
    if isinstance(artist, ScalarMappable) and artist.get_array() is not None:
        array: Any = artist.get_array()
        values = np.ma.filled(np.ma.ravel(array).astype(float), math.nan)
        shown["values"] = _rounded(values, (np.nanmin(values), np.nanmax(values)))
    if artist.get_alpha() is not None:
        shown["alpha"] = _rounded(np.ravel(artist.get_alpha()), (0, 1))
    if isinstance(artist, Annotation):
        where = artist.xycoords if isinstance(artist.xycoords, tuple) else 2 * (artist.xycoords,)
        in_data, at = [unit == "data" for unit in where], [artist.xy]
    else:
        in_data = units.contains_branch_seperately(ax.transData)
    for key, of_axis, numbers in zip("xy", in_data, np.asarray(at, dtype=float).T, strict=True):
        shown[key] = numbers.tolist() if of_axis else []
    return style, shown


def _hex(color: Any) -> str:
    """Return a colour without its opacity, or none."""
    return "none" if tuple(to_rgba(color)) == (0, 0, 0, 0) else to_hex(color)


def _rounded(
    numbers: Iterable[Any], limits: tuple[float, float], scale: str = "linear"
) -> list[float | None]:
    """Return numbers no finer than 1/10,000 of an axis; None for one that is not finite."""
    digits = 4 - math.floor(math.log10(abs(limits[1] - limits[0]) or 1))
    rounded: list[float | None] = []
    for x in map(float, numbers):
        if math.isfinite(x):
            x = float(f"{x:.5g}") if scale == "log" else round(x, digits)
        rounded.append(None if not math.isfinite(x) else int(x) if x == int(x) else x)
    return rounded


def _follow_the_page(tag: str) -> str:
    """Give an SVG tag the page's colours and font, and numbers no finer than the eye."""
    for role, (light, _) in ROLES.items():
        tag = tag.replace(light, f"var(--gat-{role}, {light})")
    tag = tag.replace(INK, "currentColor")
    tag = re.sub(r"font-family:[^;\"]*;? ?", "", tag)
    # The last digits of two machines may differ, and they do not matter.
    return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), tag)


@dataclass(frozen=True)
class Curve:
    """One line of :func:`curves`.

    Attributes:
        label: Written at the line's end.
        x: Where it was measured.
        runs: One row of values a run (a seed); the line is their mean, the band their range.
        role: A role's colour, or None for the text's.
        dash: matplotlib's line style.
        marker: matplotlib's marker, or nothing.
    """

    label: str
    x: Sequence[float]
    runs: Sequence[Sequence[float]]
    role: str | None = None
    dash: str = "-"
    marker: str = "o"


def curves(
    lines: Sequence[Curve],
    alt: str,
    xlabel: str,
    ylabel: str,
    ylim: tuple[float, float] | None = (0, 1.03),
    caption: str = "",
    log: bool = False,
    shade: tuple[float, float, str] | None = None,
    legend: Corner | None = None,
    ticks: Mapping[float, str] | None = None,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Draw curves with their spread, each labelled at its end.

    Args:
        lines: What to draw.
        alt: What the figure shows, in words.
        xlabel: With its unit.
        ylabel: With its unit.
        ylim: Range of the vertical axis, or None for what the lines need.
        caption: A line below the figure.
        log: Draw the vertical axis in powers of ten.
        shade: From, to, and what to call that range of x.
        legend: The corner of a legend instead, for lines that end in one place.
        ticks: Places on the horizontal axis and what to write there, instead of numbers.
        tolerance: As in :func:`picture`.

    Raises:
        ValueError: If there is no line, or one whose runs do not fit its x.
    """
    expect(len(lines) > 0, "lines", "one curve or more", "none")
    figure, ax = canvas()
    ax.set_xmargin(0.02)
    ends = []
    for line in lines:
        runs = np.asarray(line.runs, dtype=float)
        expect(
            runs.ndim == 2 and runs.shape[1] == len(line.x) and runs.size > 0,
            f"lines[{line.label!r}].runs",
            f"rows of {len(line.x)} values",
            f"shape {runs.shape}",
        )
        color = INK if line.role is None else role_color(line.role)
        mean = runs.mean(axis=0)
        if len(runs) > 1:
            ax.fill_between(
                line.x, runs.min(axis=0), runs.max(axis=0), color=color, alpha=0.18, linewidth=0
            )
        ax.plot(
            line.x,
            mean,
            line.dash,
            color=color,
            marker=line.marker,
            label=line.label,
            linewidth=2,
            markersize=5.5,
        )
        ends.append([float(mean[-1]), line.label, color, float(line.x[-1])])
    if ylim is not None:
        ax.set_ylim(*ylim)
    if log:
        ax.set_yscale("log")
    if shade is not None:
        ax.axvspan(shade[0], shade[1], color=INK, alpha=0.07, linewidth=0)
        ax.text(
            (shade[0] + shade[1]) / 2,
            1.0,
            shade[2],
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=10,
        )
    ax.grid(True, axis="y", color=INK, alpha=0.15, linewidth=0.6)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if ticks is not None:
        ax.set_xticks(list(ticks), list(ticks.values()))
    elif not all(float(tick).is_integer() for tick in ax.get_xticks()) and all(
        isinstance(x, int) for line in lines for x in line.x
    ):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))  # there is no clause 2.5
    if legend is None:
        _label_ends(ax, ends)
    else:
        ax.legend(loc=legend, frameon=False, handlelength=3, fontsize=10.5)
    return picture(figure, alt, caption, tolerance)


def strips(
    groups: Mapping[str, Sequence[float]],
    alt: str,
    xlabel: str,
    roles: Mapping[str, str] | None = None,
    caption: str = "",
    tolerance: float = TOLERANCE,
) -> Picture:
    """Draw every run as a dot, a row for each group, and a bar at the mean.

    Args:
        groups: Name -> one number a run (a seed).
        alt: What the figure shows, in words.
        xlabel: With its unit.
        roles: Name -> a role's colour; the others are in the text's.
        caption: A line below the figure.
        tolerance: As in :func:`picture`.

    Raises:
        ValueError: If there is no group, one is empty or holds no finite number, or ``roles`` names
            none of them.
    """
    expect(len(groups) > 0, "groups", "one group or more", "none")
    roles = roles or {}
    expect(set(roles) <= set(groups), "roles", f"some of {', '.join(groups)}", list(roles))
    figure, ax = canvas(5.2, 0.8 + 0.42 * len(groups))
    for row, (name, runs) in enumerate(groups.items()):
        numbers = np.asarray(runs, dtype=float)
        right = numbers.ndim == 1 and numbers.size > 0 and bool(np.isfinite(numbers).all())
        expect(right, f"groups[{name!r}]", "one finite number or more", runs)
        color = role_color(roles[name]) if name in roles else INK
        ax.plot(numbers, [-row] * len(numbers), "o", color=color, alpha=0.45, markersize=6)
        ax.plot(2 * [numbers.mean()], [-row - 0.3, -row + 0.3], color=color, linewidth=2.5)
    ax.set_ylim(-len(groups) + 0.5, 0.5)
    ax.set_yticks([-row for row in range(len(groups))], list(groups))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(True, axis="x", color=INK, alpha=0.15, linewidth=0.6)
    ax.set_xlabel(xlabel)
    return picture(figure, alt, caption, tolerance)


def _label_ends(ax: Axes, ends: list[list[Any]]) -> None:
    """Write each label beside the end of its line, pushed apart where ends are close."""
    to_axes = ax.transData + ax.transAxes.inverted()
    places = [float(to_axes.transform((x, y))[1]) for y, _, _, x in ends]
    order = sorted(range(len(ends)), key=lambda k: places[k])
    gap, spots = 0.085, dict.fromkeys(order, 0.0)
    low = -0.02
    for k in order:
        spots[k] = low = max(places[k], low)
        low += gap
    high = 1.02  # and back down from the top, where they would leave the axes
    for k in reversed(order):
        spots[k] = high = min(spots[k], high)
        high -= gap
    for k, (_, label, color, x) in enumerate(ends):
        ax.annotate(
            label,
            (x, spots[k]),
            xycoords=("data", "axes fraction"),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize=10.5,
            annotation_clip=False,
        )


Layout = Sequence[Any] | Mapping[int, Any] | np.ndarray
"""A pair (x, y) for each node, y upwards, in a sequence, an array, or under the node's number."""


def circle(nodes: int) -> list[tuple[float, float]]:
    """Return places on a circle, clockwise from the top."""
    turns = (math.tau * i / nodes for i in range(nodes))
    return [(math.sin(turn), math.cos(turn)) for turn in turns]


def _places(positions: Layout | None, name: str, nodes: int) -> np.ndarray:
    """Return positions, on a circle if None, centred in a square of side 1.

    They are rounded: the last digits of a layout differ between machines.
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


def _open_sides(places: np.ndarray, edges: Sequence[tuple[int, int]]) -> list[float]:
    """Return for each node the angle that is farthest from its edges: a loop has room there."""
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
        graph: An edge and its way back are one plain line, an edge without it is an arrow.
        positions: A pair (x, y) for each node, y upwards; on a circle if None. What networkx's
            layouts return will do where its nodes are 0 to n - 1.
        title: Written above.
        names: Written inside the nodes: a number or a short word each.
        notes: Written beside the nodes, where there is room between their edges.
        roles: A role's colour for each node, or None for the text's.
        shades: How full each node is, from 0 (hollow) to 1.
        highlight: Edges (source, target) to draw as thick arrows in the colour of weights.
    """

    graph: Graph
    positions: Layout | None = None
    title: str = ""
    names: Sequence[str] | None = None
    notes: Sequence[str] | None = None
    roles: Sequence[str | None] | None = None
    shades: Sequence[float] | None = None
    highlight: Sequence[tuple[int, int]] = ()


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
        panels: What to draw, row by row.
        alt: What the figure shows, in words.
        caption: A line below it.
        columns: How many stand side by side; two, or one where there is only one, if None. More
            are hard to read on a phone.
        height: Of each panel, in inches of 72 points; the whole figure is 5.2 wide.
        legend: Role -> what a node of that colour is.
        tolerance: As in :func:`picture`.

    Raises:
        TypeError: If ``panels`` holds something else, or positions are no numbers.
        ValueError: If there is no panel, or what belongs to its nodes does not fit them.
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
    r = min(map(_radius, spots))  # so that graphs beside each other compare
    for panel, places in zip(panels, spots, strict=True):
        _draw(ax, panel, places, r)
    if legend:
        dots = [
            Line2D([], [], linestyle="", marker="o", markersize=9, color=role_color(role))
            for role in legend
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
    """Return where the nodes of a graph are in its panel, in inches, once all of it fits."""
    n = panel.graph.nodes
    expect(n > 0, f"{name}.graph", "one node or more", "none")
    for field in ("names", "notes", "roles", "shades"):
        given = getattr(panel, field)
        expect(given is None or len(given) == n, f"{name}.{field}", f"{n} of them", given)
    inside = all(0 <= shade <= 1 for shade in panel.shades or ())
    expect(inside, f"{name}.shades", "numbers from 0 to 1", panel.shades)
    edges = _edges(panel.graph)
    others = set(panel.highlight) - set(edges)
    expect(not others, f"{name}.highlight", "edges of the graph", sorted(others))

    places = _places(panel.positions, f"{name}.positions", n) - 0.5
    before, behind = np.full((n, 2), 0.22), np.full((n, 2), 0.22)  # a node needs so much room
    for i, side in enumerate(_open_sides(places, edges)):
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
    """Return how large nodes may be that leave room for the edges between them."""
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    return min(0.2, max(0.055, 0.3 * float((apart + 9 * np.eye(len(places))).min())))


def _draw(ax: Axes, panel: Network, places: np.ndarray, r: float) -> None:
    """Draw a graph whose nodes are at these places."""
    edges = _edges(panel.graph)
    both = {(i, j) for j, i in edges} & set(edges)
    strong = set(panel.highlight)
    sides = _open_sides(places, edges)
    for j, i in sorted(edges, key=lambda edge: edge in strong):  # those on top
        thick = (j, i) in strong
        role, line = ("weight", 2.6) if thick else (None, 1.1 if len(places) < 16 else 0.7)
        if i == j:
            _loop(ax, places[i], sides[i], r, role, line)
        elif thick or (j, i) not in both or (j < i and (i, j) not in strong):
            _edge(ax, places, j, i, r, role, line, thick or (j, i) not in both)
    for i, (x, y) in enumerate(places.tolist()):
        role = panel.roles[i] if panel.roles else None
        color = INK if role is None else role_color(role)
        alpha = 0.14 if panel.names or role is None else 0.9
        if panel.shades:  # text stays legible on them
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
    """Draw the edge from j to i as far as it is not under a node."""
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
    """Draw the edge from a node to itself as a circle that looks out from under it."""
    small, (dx, dy) = 0.7 * r, (math.cos(side), math.sin(side))
    reach = 1.25 * r  # of its centre; it meets the node's rim at an angle of `cut`
    cut = math.acos((reach**2 + small**2 - r**2) / (2 * reach * small))
    turns = side + math.pi + np.linspace(cut, math.tau - cut, 24)
    x, y = place[0] + reach * dx, place[1] + reach * dy
    color = INK if role is None else role_color(role)
    ax.plot(
        x + small * np.cos(turns), y + small * np.sin(turns), color=color, linewidth=width, zorder=1
    )


def heatmap(
    weights: Float[Tensor, "rows columns"],
    rows: Sequence[str],
    columns: Sequence[str],
    alt: str,
    caption: str = "",
    role: str = "weight",
    marks: Mapping[tuple[int, int], str] | None = None,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Draw weights as a real table: the darker a cell, the more it weighs.

    Each cell holds its number, for screen readers and as a tooltip; the browser's own fonts
    write the labels, Hangul too.

    Args:
        weights: Numbers from 0 to 1.
        rows: A label for each row (a query).
        columns: A label for each column (a key).
        alt: What the table shows, in words.
        caption: A line below it.
        role: The colour.
        marks: Cells to frame, each with the reason (its tooltip).
        tolerance: As in :func:`picture`.

    Raises:
        ValueError: If labels do not fit, or a number is outside 0 to 1.
    """
    expect(weights.ndim == 2, "weights", "two axes", f"shape {tuple(weights.shape)}")
    expect(len(rows) == weights.shape[0], "rows", f"{weights.shape[0]} labels", len(rows))
    expect(len(columns) == weights.shape[1], "columns", f"{weights.shape[1]} labels", len(columns))
    inside = bool(((weights >= 0) & (weights <= 1 + 1e-6)).all())
    expect(inside, "weights", "numbers from 0 to 1", "others")
    expect(bool(alt.strip()), "alt", "a sentence that says what the table shows", repr(alt))
    table = _heat_table(weights, rows, columns, f'aria-label="{html.escape(alt)}"', "", marks, role)
    return Picture(_heat_style() + table, alt, caption, tolerance=tolerance)


def _heat_style() -> str:
    """Return the few rules that heat tables on a page without the book's style need."""
    return (
        "<style>.gat-heat{border-collapse:collapse;margin:auto;font-size:.8rem}"
        ".gat-heat thead td{width:3.6em}"
        ".gat-heat thead th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left}"
        ".gat-heat th{font-weight:normal;padding:.15em .2em;border:0;background:none}"
        ".gat-heat tbody th{text-align:right;white-space:nowrap}"
        ".gat-heat td{height:1.6em;padding:0;border:1px solid "
        "color-mix(in srgb,currentColor 12%,transparent);"
        "background:color-mix(in srgb,var(--role) var(--w),transparent)}"
        ".gat-heat thead td{border:0}"
        ".gat-heat td span{position:absolute;clip-path:inset(50%);width:1px;overflow:hidden}"
        ".gat-heat td.mark{outline:2px solid currentColor;outline-offset:-2px}</style>"
    )


def _variable(role: str) -> str:
    """Return the CSS of a role's colour: the page's, or the light one where it has none."""
    return f"var(--gat-{role},{role_color(role)})"


def _heat_table(
    weights: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    attributes: str = "",
    title: str = "",
    marks: Mapping[tuple[int, int], str] | None = None,
    role: str = "weight",
) -> str:
    """Return a table of weights, with a title above it or attributes that say what it is."""
    head = "".join(f'<th scope="col"><span>{html.escape(c)}</span></th>' for c in columns)
    room = max(3.6, 0.6 + 0.6 * max(map(len, rows), default=0))  # for the labels of the rows
    corner = "<td></td>" if room == 3.6 else f'<td style="width:{room:.1f}em"></td>'
    body = []
    for i, (label, row) in enumerate(zip(rows, weights.tolist(), strict=True)):
        cells = []
        for j, weight in enumerate(row):
            tip = f"{label} ← {columns[j]}: {weight:.2f}"
            frame = ""
            if marks and (i, j) in marks:
                tip += f" ({marks[i, j]})"
                frame = ' class="mark"'
            cells.append(
                f'<td{frame} style="--w:{100 * weight:.0f}%" title="{html.escape(tip)}">'
                f"<span>{weight:.2f}</span></td>"
            )
        body.append(f'<tr><th scope="row">{html.escape(label)}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="gat-heat"{" " * bool(attributes)}{attributes} '
        f'style="--role:{_variable(role)};table-layout:fixed;'
        f'width:min(100%,{1.7 * len(columns) + room:.1f}em)">'
        + (f"<caption>{html.escape(title)}</caption>" if title else "")
        + f"<thead><tr>{corner}{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def heads(
    weights: Float[Tensor, "heads rows columns"],
    rows: Sequence[str],
    columns: Sequence[str],
    alt: str,
    names: Sequence[str] | None = None,
    caption: str = "",
    start: tuple[int, int] = (0, 0),
    asks: str = "asks",
    answers: str = "is asked",
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader choose a head and a word, and see whom that word asks.

    Without JavaScript it is one heat table a head.

    Args:
        weights: What :func:`gatutils.attention.attend` returns; a row of zeros asks nobody.
        rows: The words that ask, one a query.
        columns: The words that are asked, one a key.
        alt: What the figure shows, in words.
        names: A name for each head; "head 1" and so on if None.
        caption: A line below it.
        start: The head and the row that are chosen at first.
        asks: Stands over the rows, and in the sentence below them.
        answers: Stands over the columns.
        tolerance: As in :func:`picture`.

    Raises:
        TypeError: If ``weights`` is no float tensor, or ``start`` no pair of ints.
        ValueError: If labels do not fit, or a row of weights is no distribution.
    """
    expect_tensor(weights, "weights", "float", ndim=3, exact=True)
    names = [f"head {h + 1}" for h in range(len(weights))] if names is None else names
    for labels, name, count in zip(
        (names, rows, columns), ("names", "rows", "columns"), weights.shape, strict=True
    ):
        expect_list(labels, name, str)
        expect(len(labels) == count > 0, name, f"{count or 'one or more'} labels", len(labels))
    weights = _distributions(weights, "weights")
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
        "weights": [[[_short(w) for w in row] for row in head] for head in weights.tolist()],
        "start": list(start),
        "asks": asks,
        "answers": answers,
    }
    tables = [
        _heat_table(head, rows, columns, title=name)
        for head, name in zip(weights, names, strict=True)
    ]
    return _interactive("gat-heads", data, _side_by_side(tables), alt, caption, tolerance)


def _distributions(weights: Tensor, name: str) -> Tensor:
    """Return weights in double precision.

    Raises:
        ValueError: If a row neither sums to 1 nor is all 0.
    """
    weights = weights.detach().double().cpu()
    total = weights.sum(dim=-1)
    right = ((total - 1).abs() < 1e-3) | (total == 0)
    inside = bool((weights >= 0).all() and right.all())
    expect(inside, name, "rows of numbers from 0 up that sum to 1, or all 0", "others")
    return weights


def _short(number: float) -> float:
    """Return fewer digits than a machine's own, so that the HTML is the same on all of them."""
    return float(f"{number:.4f}") or 0


def _side_by_side(tables: Sequence[str]) -> str:
    """Return heat tables in rows, as many beside each other as there is room for."""
    style = (
        "<style>.gat-heats{display:flex;flex-wrap:wrap;gap:1.5rem;justify-content:center}"
        ".gat-heats thead th{line-height:1;padding:.15em 0}</style>"  # 25 columns fit a phone
    )
    return f'{_heat_style()}{style}<div class="gat-heats">{"".join(tables)}</div>'


def masks(
    masks: Mapping[str, Bool[Tensor, "nodes nodes"]],
    weights: Mapping[str, Float[Tensor, "nodes nodes"]],
    labels: Sequence[str],
    alt: str,
    caption: str = "",
    start: int = 0,
    positions: Mapping[str, Layout] | None = None,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader choose a node, and see under each mask whom it may look at.

    Each mask is a table and, below it, the same as a graph: an arrow leads from j to i where i
    may look at j. Up to seven nodes stand well three abreast. Without JavaScript it is one heat
    table a mask, in which the hidden cells are hatched.

    Args:
        masks: Name -> True in row i and column j where node i may look at node j.
        weights: Name -> what :func:`gatutils.attention.attend` returns under that mask; a row
            of zeros looks at nobody.
        labels: The nodes' names.
        alt: What the figure shows, in words.
        caption: A line below it.
        start: The node that is chosen at first.
        positions: Name -> a pair (x, y) for each node, y upwards; on a circle where there is none.
        tolerance: As in :func:`picture`.

    Raises:
        TypeError: If a mask is no bool tensor, weights are no float tensor, or ``start`` is no int.
        ValueError: If names or sizes do not fit, a row of weights is no distribution, or what is
            hidden weighs something.
    """
    expect_list(labels, "labels", str)
    n = len(labels)
    expect(n > 0, "labels", "one label or more", "none")
    expect(len(masks) > 0, "masks", "one mask or more", "none")
    expect(set(weights) == set(masks), "weights", f"those of {', '.join(masks)}", list(weights))
    positions = positions or {}
    expect(
        set(positions) <= set(masks), "positions", f"some of {', '.join(masks)}", list(positions)
    )
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    expect_int(start, "start", least=0)
    expect(start < n, "start", f"less than {n}", start)

    shown, places, loops, tables = [], [], [], []
    for name, mask in masks.items():
        for square, of, kind in ((mask, "masks", "bool"), (weights[name], "weights", "float")):
            expect_tensor(square, f"{of}[{name!r}]", kind, ndim=2, exact=True)
            fits = tuple(square.shape) == (n, n)
            expect(fits, f"{of}[{name!r}]", f"shape {(n, n)}", tuple(square.shape))
        given = _distributions(weights[name], f"weights[{name!r}]")
        hidden = [(i, j) for i, j in (~mask).nonzero().tolist()]
        zero = all(given[i, j] == 0 for i, j in hidden)
        expect(zero, f"weights[{name!r}]", "0 where the mask hides", "others")
        shown.append([[_short(w) for w in row] for row in given.tolist()])
        for i, j in hidden:
            shown[-1][i][j] = None
        at = _places(positions.get(name), f"positions[{name!r}]", n)
        at[:, 1] = 1 - at[:, 1]  # in SVG y points down
        places.append(at.round(3).tolist())
        edges = [(j, i) for i, j in mask.nonzero().tolist()]
        loops.append([_short(angle) for angle in _open_sides(at, edges)])
        marks = dict.fromkeys(hidden, "masked")
        tables.append(_heat_table(given, labels, labels, title=name, marks=marks))
    data = {
        "names": list(masks),
        "labels": list(labels),
        "weights": shown,
        "places": places,
        "loops": loops,
        "start": start,
    }
    style = (
        "<style>.gat-masked .gat-heat td.mark{outline:0;background:repeating-linear-gradient("
        f"135deg,{_variable('masked')} 0 1px,transparent 1px 5px)}}</style>"
    )
    still = f'{style}<div class="gat-masked">{_side_by_side(tables)}</div>'
    return _interactive("gat-masks", data, still, alt, caption, tolerance)


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

    The score of a key is its dot product with the query, its weight the softmax of all scores
    over the temperature. Without JavaScript it is a table of five temperatures.

    Args:
        queries: Name -> vector.
        keys: Name -> vector.
        values: One number for each key.
        alt: What the figure shows, in words.
        caption: A line below it.
        unit: Written after the result.
        start: The query that is chosen at first; the first one if None.
        tolerance: As in :func:`picture`.

    Raises:
        TypeError: If a vector is no sequence of numbers.
        ValueError: If there is no query or key, sizes do not fit, a number is not finite, or
            ``start`` is no query.
    """
    for vectors, name in ((queries, "queries"), (keys, "keys")):
        expect(len(vectors) > 0, name, "one vector or more", "none")
        for word, vector in vectors.items():
            _expect_numbers(vector, f"{name}[{word!r}]", len(next(iter(queries.values()))))
    _expect_numbers(values, "values", len(keys))
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    start = next(iter(queries)) if start is None else start
    expect(start in queries, "start", f"one of {', '.join(queries)}", repr(start))

    # Twelve digits: keys that tie on paper tie here. fsum is the same in every Python.
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
    return _interactive("gat-lookup", data, still, alt, caption, tolerance)


def _expect_numbers(value: Sequence[float], name: str, count: int) -> None:
    """Raise unless ``value`` is a sequence of ``count`` finite numbers."""
    expect_list(value, name, Real)
    expect(len(value) == count, name, f"{count} numbers", len(value))
    expect(all(map(math.isfinite, value)), name, "finite numbers", value)


def _vector(vector: Sequence[float]) -> str:
    return f"({', '.join(f'{x:g}' for x in vector)})"


_STILL = (
    "<style>.gat-still{border-collapse:collapse;margin:auto;"
    "font-size:clamp(.7rem,2vw + .25rem,.85rem);font-variant-numeric:tabular-nums}"
    ".gat-still :is(th,td){padding:.25em .4em}</style>"
)


def _temperatures(
    scores: list[float], keys: list[list[str]], values: list[float], asked: str, unit: str
) -> str:
    """Return :func:`lookup` as a table: its weights and results at five temperatures."""
    e = torch.tensor([scores], dtype=torch.float64)
    v = torch.tensor(values, dtype=torch.float64)[:, None]
    # At 0, the dictionary, all but the best keys are hidden; at infinity all score 0.
    at = {"0": attend(e, v, e == e.max())}
    at |= {name: attend(e / float(name), v) for name in ("0.1", "1", "10")}
    at["∞"] = attend(0 * e, v)
    head = "".join(f'<th scope="col">{name}</th>' for name in at)
    body = "".join(
        f'<tr><th scope="row" style="color:{_variable("key")}">{html.escape(name)} '
        f"<small>{vector}</small></th><td>{values[j]:g}</td><td>{scores[j]:.3f}</td>"
        + "".join(f"<td>{weights[0, j]:.2f}</td>" for _, weights in at.values())
        + "</tr>"
        for j, (name, vector) in enumerate(keys)
    )
    results = "".join(f"<td><b>{result.item():.2f}</b></td>" for result, _ in at.values())
    named = html.escape(f"result, weight × value summed{unit and f', {unit}'}")
    return (
        f'{_STILL}<table class="gat-still"><caption>query {html.escape(asked)}</caption><thead><tr>'
        f'<th scope="col" rowspan="2" style="color:{_variable("key")}">key</th>'
        f'<th scope="col" rowspan="2" style="color:{_variable("value")}">value</th>'
        '<th scope="col" rowspan="2">score</th><th scope="colgroup" colspan="5" '
        f'style="color:{_variable("weight")}">weight at temperature τ</th></tr><tr>{head}</tr>'
        f'</thead><tbody>{body}</tbody><tfoot><tr><th scope="row" colspan="3">{named}</th>'
        f"{results}</tr></tfoot></table>"
    )


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
    step: int = 1,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader choose a node, go through graph attention step by step, and change features.

    The steps are 1 project, 2 score all pairs, 3 mask, 4 softmax, 5 combine; the layer is
    :class:`~gatutils.gnn.GATConv` with one head and no bias. Up to seven nodes are legible. Without
    JavaScript it is a table of all steps for the node that is chosen at first.

    Args:
        graph: Who may look at whom; as it is, so with self-loops where a node sees itself.
        features: One row a node.
        W: The projection.
        a: The vector of the score: a half for the node that looks, a half for the neighbour.
        names: The nodes' names, a number or a short word each.
        alt: What the figure shows, in words.
        caption: A line below it.
        start: The node that is chosen at first.
        positions: A pair (x, y) for each node, y upwards; on a circle if None.
        slope: Of the LeakyReLU, 0 to 1.
        step: The step that is shown at first, 1 to 5.
        tolerance: As in :func:`picture`.

    Raises:
        TypeError: If ``graph`` is no :class:`~gatutils.graph.Graph`, a tensor holds no floats, or
            ``start`` or ``step`` is no int.
        ValueError: If sizes do not fit, an edge is there twice, a number or a result is not
            finite, or ``start`` or ``step`` is none.

    Source:
        Velickovic et al. (2018), equations 1 to 4.
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a Graph, got {type(graph).__name__}")
    n = graph.nodes
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
    _expect_numbers([slope], "slope", 1)
    expect(0 <= slope <= 1, "slope", "a number from 0 to 1", slope)

    h, W, a = map(_as_written, (features, W, a))
    projected, mask = h @ W.T, graph.mask().cpu()
    raw = projected[start] @ a[:2] + projected @ a[2:]
    scores = leaky_relu(raw, slope)
    finite = bool(scores.isfinite().all() and projected.isfinite().all())
    expect(finite, "features", "numbers whose products are finite", "others")
    state, weights = attend(scores.unsqueeze(0), projected, mask[start : start + 1])
    at = _places(positions, "positions", n) * (1, -1)  # in SVG y points down
    at -= at.min(axis=0)
    radius, pairs = 29, itertools.combinations(at.tolist(), 2)
    gap = min((math.dist(*pair) for pair in pairs), default=1.0)  # it has room for an arrow
    at = (at * max(150.0, (2 * radius + 30) / gap) + radius + 20).round(1)
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
        "loops": [_short(angle) for angle in _open_sides(at, edges)],
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
        list(map(_two, raw.tolist())),
        list(map(_two, scores.tolist())),
        list(map(_two, weights[0].tolist())),
        list(map(_pair, weights.T * projected)),
    ]
    sums = _two(weights.sum().item()), _pair(state[0])
    title = f"node {names[start]} looks; what it does not see is struck out; {given}"
    still = _attention_table(title, names, mask[start].tolist(), columns, sums)
    return _interactive("gat-attention", data, still, alt, caption, tolerance)


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
    """Return :func:`graph_attention` as a table: all steps for one node."""
    head = "".join(f'<th scope="col">{words}</th>' for words in _ATTENTION_COLUMNS)
    body = ""
    for name, see, cells in zip(names, seen, zip(*columns, strict=True), strict=True):
        look = "" if see else f' style="color:{_variable("masked")}"'
        body += f'<tr{look}><th scope="row">{html.escape(name)}</th>'
        for column, cell in enumerate(cells):
            struck = column == 3 and not see  # the score
            body += f"<td><s>{cell}</s></td>" if struck else f"<td>{cell}</td>"
        body += "</tr>"
    return (
        f'{_STILL}<table class="gat-still"><caption>{html.escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot><tr>"
        f'<th scope="row" colspan="5">sum</th><td>{sums[0]}</td><td><b>{sums[1]}</b></td>'
        "</tr></tfoot></table>"
    )


def _as_written(tensor: Tensor) -> Tensor:
    """Return numbers in double precision as one writes them: 0.2, and not 0.200000003."""
    numbers = [float(f"{x:.7g}") or 0.0 for x in tensor.flatten().tolist()]
    return torch.tensor(numbers, dtype=torch.float64).view(tensor.shape)


def _two(number: float) -> str:
    return f"{number:z.2f}".replace("-", "−")


def _pair(numbers: Tensor) -> str:
    return f"({_commas(map(_two, numbers.tolist()))})"


def _given(numbers: Tensor) -> str:
    return _commas(re.sub(r"\.?0+$", "", _two(x)) for x in numbers.tolist())


def _commas(numbers: Iterable[str]) -> str:
    return ", ".join(numbers)


def _interactive(
    tag: str, data: object, still: str, alt: str, caption: str, tolerance: float
) -> Picture:
    """Wrap the still form of a figure in the custom element that its script brings to life."""
    script = _script("figures.js")
    if tag == "gat-attention":
        # figures.js stands in stored notebooks as it is: what steps.js needs of it is copied out.
        shared = _between(script, "  // ---- The maths", "  // ---- A lookup")
        arrows = _between(script, "  // From a to b in a graph", "  class Masks")
        script = _script("steps.js").replace("  // <helpers of figures.js>\n", shared + arrows)
    written = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Picture(
        f'<{tag} role="group" aria-label="{html.escape(alt)}" '
        f'data-figure="{html.escape(written)}">{still}</{tag}><script>{script}</script>',
        alt,
        caption,
        tolerance=tolerance,
    )


def _script(name: str) -> str:
    return resources.files("gatutils").joinpath(name).read_text(encoding="utf-8")


def _between(text: str, start: str, end: str) -> str:
    return text[text.index(start) : text.index(end)]


if __name__ == "__main__":
    print(style_sheet(), end="")
