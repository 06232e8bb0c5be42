"""Colours, the style of plots and drawings, and the picture that a notebook shows."""

import hashlib
import html
import io
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text

from gatutils._checks import (
    expect,
)
from gatutils.book.figures.data import figure_data

ROLES: dict[str, tuple[str, str]] = {
    "query": ("#9c5a0c", "#f0913a"),
    "key": ("#2a50d7", "#7f95ff"),
    "value": ("#137a45", "#5eec9d"),
    "weight": ("#840b7c", "#f2b1fd"),
    "masked": ("#5c5c5c", "#949494"),
}
"""Role -> (its colour on a light background, its colour on a dark background)."""


SERIES: dict[str, tuple[str, str]] = {
    "teal": ("#09817b", "#2b979a"),
    "crimson": ("#bb1f41", "#f83e5c"),
    "gold": ("#7c6b08", "#f5dd24"),
    "sky": ("#164e8d", "#6ac5fc"),
    "grey": ("#6b6b6b", "#9a9a9a"),
}
"""Colour of a series, which has no role -> as in ``ROLES``; grey is for a baseline.

Chosen such that any two of them (and the text's colour), seen without red, green or blue cones,
still differ.
"""


Corner = Literal["upper left", "upper right", "lower left", "lower right"]
"""Where a legend may be placed."""


INK = "#010203"
"""A placeholder for the page's text colour in a drawing, replaced by ``currentColor``."""


COLUMN, NARROW, PHONE = 688, 640, 382
"""Pixels of the page's text on a desktop, below which a plot is narrow, of a phone's figure."""


WIDE, SLIM = (COLUMN / 96, 3.7), (3.75, 3.1)
"""Width and height of a plot on a desktop and on a phone, in inches of 96 CSS pixels."""


TOLERANCE = 0.001
"""How much a figure's data may differ between two machines, as a fraction of the axis's span."""


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


def _add_own_fonts() -> None:
    """Make matplotlib's own fonts known, and preferred to those of the system.

    They are missing from the list that matplotlib caches for all installations of a user if the one
    that wrote it was removed meanwhile; a warning would then stand above every figure.
    """
    own = {str(path) for path in Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf")}
    for path in own - {font.fname for font in fontManager.ttflist}:
        fontManager.addfont(path)
    fontManager.ttflist.sort(key=lambda font: font.fname not in own)


_add_own_fonts()


def style_sheet() -> str:
    """Return the CSS that defines ``--gat-COLOUR`` for both schemes of the book's theme."""
    light, dark = (
        "\n".join(f"  --gat-{name}: {pair[scheme]};" for name, pair in (ROLES | SERIES).items())
        for scheme in (0, 1)
    )
    return (
        "/* Made by `python -m gatutils.book.figures`: change the colours there. */\n"
        f':root,\nhtml[data-theme="light"] {{\n{light}\n}}\n\n'
        f'html[data-theme="dark"] {{\n{dark}\n}}\n'
    )


def role_color(role: str) -> str:
    """Return a role's colour for matplotlib (the one on a light background).

    Raises:
        ValueError: If there is no such role.
    """
    expect(role in ROLES, "role", f"one of {', '.join(ROLES)}", repr(role))
    return ROLES[role][0]


def series_color(color: str | None) -> str:
    """Return a series' colour for matplotlib; the colour of the text if None.

    Raises:
        ValueError: If there is no such colour. Those of roles are for roles alone.
    """
    if color is None:
        return INK
    expect(color in SERIES, "color", f"one of {', '.join(SERIES)}", repr(color))
    return SERIES[color][0]


@dataclass(frozen=True)
class Picture:
    """A figure as HTML, with its alternative text, that a notebook can display.

    A notebook stores the data in the output's metadata, in addition to the HTML. Tests that run the
    notebook again compare the data rather than the drawing.

    Attributes:
        content: An ``<svg>``, a ``<table>``, or a custom element with its script.
        alt: What the figure shows, in words.
        caption: A line below it; may be empty.
        data: What an ``<svg>`` shows, in lines of JSON; the others contain their numbers as text.
        tolerance: How much numbers may differ between two machines, as a fraction of the axis's
            span. In a figure without axes it is a fraction of each number, or of 1 if the number is
            less than that.
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
        # The digest shows whether the HTML is the one that was drawn from these data.
        digest = hashlib.sha256(page.encode()).hexdigest()
        held = {"tolerance": self.tolerance, "data": list(self.data), "sha256": digest}
        return shown, {"gatutils": held}

    def save(self, path: str | Path) -> None:
        """Write the figure alone, SVG or HTML, to a file atomically."""
        draft = Path(f"{path}.tmp")
        draft.write_text(self.content + "\n", encoding="utf-8")
        os.replace(draft, path)


def canvas(width: float = 5.2, height: float = 3.2) -> tuple[Figure, Axes]:
    """Return a figure (size in inches of 72 points) and its axes, in the book's style."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()


def drawing(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure for a schematic: no frame, one unit per inch, origin at the bottom left."""
    figure, ax = canvas(width, height)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    return figure, ax


def box(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    role: str | None = None,
    width: float = 0.62,
    height: float = 0.32,
    size: float = 11,
    fill: float = 0.14,
) -> None:
    """Draw a rounded box around a word, centred at (x, y), in the colour of its role.

    Its text is ``size`` points high; ``fill`` is the opacity of its ground.
    """
    color = INK if role is None else role_color(role)
    place = (x - width / 2, y - height / 2), width, height
    style: Any = {"boxstyle": "round,pad=0,rounding_size=0.07"}
    ax.add_patch(FancyBboxPatch(*place, **style, facecolor=color, alpha=fill, linewidth=0))
    ax.add_patch(FancyBboxPatch(*place, **style, facecolor="none", edgecolor=color, linewidth=1.3))
    ax.text(x, y - 0.01, text, ha="center", va="center", color=INK, fontsize=size)


def arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    role: str | None = None,
    width: float = 1.3,
    bend: float = 0.0,
    through: Sequence[tuple[float, float]] = (),
) -> None:
    """Draw an arrow ``width`` points thick, curved by ``bend`` or with corners at ``through``."""
    color = INK if role is None else role_color(role)
    if through:
        xs, ys = zip(start, *through, strict=True)
        ax.plot(xs, ys, color=color, linewidth=width, solid_capstyle="round")
    ax.add_patch(
        FancyArrowPatch(
            through[-1] if through else start,
            end,
            arrowstyle="-|>",
            mutation_scale=8 + 2 * width,
            shrinkA=0,
            shrinkB=0,
            linewidth=width,
            color=color,
            connectionstyle=f"arc3,rad={bend}",
        )
    )


def picture(
    figure: Figure,
    alt: str,
    caption: str = "",
    tolerance: float = TOLERANCE,
    narrow: Figure | None = None,
) -> Picture:
    """Convert a matplotlib figure to SVG that follows the page's colour scheme.

    Where the page is narrower than ``NARROW`` pixels, ``narrow`` takes the figure's place.
    Without it, text is enlarged where a phone would show it with less than 12 pixels.

    Args:
        figure: A figure made by :func:`canvas` or :func:`drawing`.
        alt: What it shows, in words, for those who cannot see it.
        caption: A line below it.
        tolerance: How much its data may differ from those drawn on another machine, as a fraction
            of the axis's span. The default of 0.001 allows only for the last digits; results of
            training in the notebook need more.
        narrow: The same data drawn for a phone.

    Raises:
        ValueError: If ``alt`` is empty, or ``tolerance`` is not at least 0 and below 1.
    """
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    if narrow is None:
        least = 12 * 72 * figure.get_figwidth() / PHONE
        for text in figure.findobj(Text):
            text.set_fontsize(max(text.get_fontsize(), least))
        content = _svg(figure, alt)
    else:
        wide, small = _svg(figure, alt, "gat-wide"), _svg(narrow, alt, "gat-narrow")
        style = (
            "figure.gat-figure{container-type:inline-size}"
            "figure.gat-figure>svg.gat-narrow{display:none}"
            f"@container (max-width:{NARROW}px){{figure.gat-figure>svg.gat-wide{{display:none}}"
            "figure.gat-figure>svg.gat-narrow{display:block}}"
        )
        content = f"<style>{style}</style>{wide}{small}"
    return Picture(content, alt, caption, figure_data(figure), tolerance)


def _svg(figure: Figure, alt: str, kind: str = "gat-drawing") -> str:
    """Return an ``<svg>`` of this class whose ids and colours are fit for the page."""
    file = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": alt}), warnings.catch_warnings():
        # matplotlib's font has no Hangul; the browser renders it in its own font.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)

    # Two figures on one page must not share ids, and matplotlib's are hashes of coordinates, which
    # differ between machines. The ids in use are therefore numbered, with a prefix per figure.
    prefix = "f" + hashlib.sha256(f"{alt}{kind}".encode()).hexdigest()[:8]
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    names = {name: f"{prefix}-{number}" for number, name in enumerate(used, 1)}
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", svg)
    svg = re.sub(r'(url\(#|href="#)([^)"]+)', lambda m: m[1] + names[m[2]], svg)

    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.S)  # it would apply to the whole page
    svg = re.sub(r"<[^>]+>", lambda tag: _follow_the_page(tag[0]), svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    width, height = (float(v) for v in re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2])
    pixels = min(width * 96 / 72 * (1.15 if kind == "gat-drawing" else 1), COLUMN)
    head = (
        f'<svg class="{kind}" role="img" aria-label="{html.escape(alt)}" '
        f'viewBox="0 0 {width:g} {height:g}" width="{pixels:.0f}" '
        'style="max-width:100%;height:auto;stroke-linejoin:round;stroke-linecap:butt" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + svg[svg.index(">") + 1 :].strip()


def _follow_the_page(tag: str) -> str:
    """Give an SVG tag the page's colours and font, and round its numbers to two decimals."""
    for name, (light, _) in (ROLES | SERIES).items():
        tag = tag.replace(light, f"var(--gat-{name}, {light})")
    tag = tag.replace(INK, "currentColor")
    tag = re.sub(r"font-family:[^;\"]*;? ?", "", tag)
    # The last digits may differ between machines, and they make no visible difference.
    return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), tag)
