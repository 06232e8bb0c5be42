"""Figures: one colour per role, legible on light and dark, readable on a phone.

Curves and drawings are made by matplotlib and shown as inline SVG, whose colours are CSS variables
of the page and whose text has the page's colour and font. One figure therefore serves both the
light and the dark scheme, and no font for Hangul has to be supplied. Heat maps are real tables. The
interactive figures are custom elements (``js/``) around tables, which are shown where no script
runs. Every figure has alternative text and stores the data that it shows, because a drawing of the
same data may differ in its last digits on another machine.

There is one module per kind of figure; ``python -m gatutils.book.figures`` prints the style sheet.
"""

from gatutils.book.figures.core import (
    INK,
    ROLES,
    TOLERANCE,
    Picture,
    arrow,
    box,
    canvas,
    drawing,
    picture,
    role_color,
    style_sheet,
)
from gatutils.book.figures.curves import Curve, curves, strips
from gatutils.book.figures.decoder import decoder
from gatutils.book.figures.graph_attention import graph_attention
from gatutils.book.figures.heads import heads
from gatutils.book.figures.heatmaps import heatmap
from gatutils.book.figures.lookup import lookup
from gatutils.book.figures.masks import masks
from gatutils.book.figures.networks import Network, circle, networks
from gatutils.book.figures.self_attention import self_attention

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
    "decoder",
    "drawing",
    "graph_attention",
    "heads",
    "heatmap",
    "lookup",
    "masks",
    "networks",
    "picture",
    "role_color",
    "self_attention",
    "strips",
    "style_sheet",
]
