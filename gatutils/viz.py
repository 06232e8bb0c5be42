"""Figures: one colour per role, legible on light and dark, readable on a phone.

Curves and drawings are made by matplotlib and shown as SVG inside the page, where colours are
variables of the page's style and text is in the page's own colour and font. So one figure
serves both schemes, and Hangul needs no font of ours. Heat maps are real tables. Two figures
can be touched: custom elements (``figures.js``) over tables, which show where no script runs.
Every figure has alternative text. ``python -m gatutils.viz`` prints the style sheet.
"""

import hashlib
import html
import io
import json
import math
import operator
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from gatutils.attention import attend
from gatutils.checks import expect, expect_int, expect_list, expect_tensor

__all__ = [
    "INK",
    "ROLES",
    "Curve",
    "Picture",
    "arrow",
    "box",
    "canvas",
    "curves",
    "drawing",
    "heads",
    "heatmap",
    "lookup",
    "picture",
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

    Attributes:
        content: An ``<svg>``, a ``<table>``, or a custom element with its script.
        alt: What the figure shows, in words.
        caption: A line below it, or nothing.
    """

    content: str
    alt: str
    caption: str = ""

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        return {
            "text/html": f'<figure class="gat-figure">{self.content}{caption}</figure>',
            "text/plain": f"[figure: {self.alt}]",
        }

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


def picture(figure: Figure, alt: str, caption: str = "") -> Picture:
    """Turn a matplotlib figure into SVG that follows the page's scheme.

    Args:
        figure: From :func:`canvas` or :func:`drawing`.
        alt: What it shows, in words, for those who cannot see it.
        caption: A line below it.

    Raises:
        ValueError: If ``alt`` is empty.
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

    # Two figures on one page must not share ids: those in use get the content's own prefix.
    prefix = "f" + hashlib.sha256((alt + svg).encode()).hexdigest()[:8]
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)

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
    return Picture(head + svg[svg.index(">") + 1 :].strip(), alt, caption)


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
    return picture(figure, alt, caption)


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


def heatmap(
    weights: Float[Tensor, "rows columns"],
    rows: Sequence[str],
    columns: Sequence[str],
    alt: str,
    caption: str = "",
    role: str = "weight",
    marks: Mapping[tuple[int, int], str] | None = None,
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
    return Picture(_heat_style() + table, alt, caption)


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
    weights = weights.detach().double().cpu()
    total = weights.sum(dim=-1)
    right = ((total - 1).abs() < 1e-3) | (total == 0)
    inside = bool((weights >= 0).all() and right.all())
    expect(inside, "weights", "rows of numbers from 0 up that sum to 1, or all 0", "others")
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
        # Fewer digits than a machine's own, so that the HTML is the same on all of them.
        "weights": [[[float(f"{w:.4f}") or 0 for w in r] for r in h] for h in weights.tolist()],
        "start": list(start),
        "asks": asks,
        "answers": answers,
    }
    tables = "".join(
        _heat_table(head, rows, columns, title=name)
        for head, name in zip(weights, names, strict=True)
    )
    style = (
        "<style>.gat-heats{display:flex;flex-wrap:wrap;gap:1.5rem;justify-content:center}"
        ".gat-heats thead th{line-height:1;padding:.15em 0}</style>"  # 25 columns fit a phone
    )
    still = f'{_heat_style()}{style}<div class="gat-heats">{tables}</div>'
    return _interactive("gat-heads", data, still, alt, caption)


def lookup(
    queries: Mapping[str, Sequence[float]],
    keys: Mapping[str, Sequence[float]],
    values: Sequence[float],
    alt: str,
    caption: str = "",
    unit: str = "",
    start: str | None = None,
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
    return _interactive("gat-lookup", data, still, alt, caption)


def _expect_numbers(value: Sequence[float], name: str, count: int) -> None:
    """Raise unless ``value`` is a sequence of ``count`` finite numbers."""
    expect_list(value, name, Real)
    expect(len(value) == count, name, f"{count} numbers", len(value))
    expect(all(map(math.isfinite, value)), name, "finite numbers", value)


def _vector(vector: Sequence[float]) -> str:
    return f"({', '.join(f'{x:g}' for x in vector)})"


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
        "<style>.gat-still{border-collapse:collapse;margin:auto;"
        "font-size:clamp(.7rem,2vw + .25rem,.85rem);font-variant-numeric:tabular-nums}"
        ".gat-still :is(th,td){padding:.25em .4em}</style>"
        f'<table class="gat-still"><caption>query {html.escape(asked)}</caption><thead><tr>'
        f'<th scope="col" rowspan="2" style="color:{_variable("key")}">key</th>'
        f'<th scope="col" rowspan="2" style="color:{_variable("value")}">value</th>'
        '<th scope="col" rowspan="2">score</th><th scope="colgroup" colspan="5" '
        f'style="color:{_variable("weight")}">weight at temperature τ</th></tr><tr>{head}</tr>'
        f'</thead><tbody>{body}</tbody><tfoot><tr><th scope="row" colspan="3">{named}</th>'
        f"{results}</tr></tfoot></table>"
    )


def _interactive(tag: str, data: object, still: str, alt: str, caption: str) -> Picture:
    """Wrap the still form of a figure in the custom element that ``figures.js`` brings to life."""
    script = resources.files("gatutils").joinpath("figures.js").read_text(encoding="utf-8")
    written = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Picture(
        f'<{tag} role="group" aria-label="{html.escape(alt)}" '
        f'data-figure="{html.escape(written)}">{still}</{tag}><script>{script}</script>',
        alt,
        caption,
    )


if __name__ == "__main__":
    print(style_sheet(), end="")
