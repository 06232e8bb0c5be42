"""Figures: a colour per role, others for series, legible on light and dark, readable on a phone.

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
    SERIES,
    SLIM,
    TOLERANCE,
    WIDE,
    Picture,
    arrow,
    box,
    canvas,
    drawing,
    picture,
    role_color,
    series_color,
    style_sheet,
)
from gatutils.book.figures.curves import Curve, curves, strips
from gatutils.book.figures.decoder import decoder
from gatutils.book.figures.graph_attention import graph_attention
from gatutils.book.figures.gru_cell import gru_cell
from gatutils.book.figures.heads import heads
from gatutils.book.figures.heatmaps import heatmap
from gatutils.book.figures.lookup import lookup
from gatutils.book.figures.masks import masks
from gatutils.book.figures.message_passing import message_passing
from gatutils.book.figures.minefield import minefield
from gatutils.book.figures.networks import Network, circle, networks
from gatutils.book.figures.pronounce import pronounce
from gatutils.book.figures.receptive_field import receptive_field
from gatutils.book.figures.self_attention import self_attention
from gatutils.book.figures.tables import Table, table

__all__ = [
    "INK",
    "ROLES",
    "SERIES",
    "SLIM",
    "TOLERANCE",
    "WIDE",
    "Curve",
    "Network",
    "Picture",
    "Table",
    "arrow",
    "box",
    "canvas",
    "circle",
    "curves",
    "decoder",
    "drawing",
    "graph_attention",
    "gru_cell",
    "heads",
    "heatmap",
    "lookup",
    "masks",
    "message_passing",
    "minefield",
    "networks",
    "picture",
    "pronounce",
    "receptive_field",
    "role_color",
    "self_attention",
    "series_color",
    "strips",
    "style_sheet",
    "table",
]
