"""The data that a plot shows, read from its artists.

The drawing of the same data may differ in its last digits on another machine, so tests compare the
data instead of the SVG.
"""

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection, PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from matplotlib.text import Annotation, Text
from matplotlib.ticker import LogFormatter, ScalarFormatter


def figure_data(figure: Figure) -> tuple[str, ...]:
    """Return what a figure shows: one line of JSON per axes, and one per kind of mark in it.

    Marks of the same kind, name and style share a line. Coordinates are in the units of the axes.
    Those in other units, such as that of a label beside the end of a curve, are a matter of layout
    and are left out.
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
            # The labels of these formatters follow from the limits, which are included already.
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
    """Return a mark's kind, name and style, and its data: coordinates, words, values, opacity."""
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
            at = corners[:3]  # its start, its control point and its tip
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
    """Return a colour without its opacity, or "none" for no colour."""
    return "none" if tuple(to_rgba(color)) == (0, 0, 0, 0) else to_hex(color)


def _rounded(
    numbers: Iterable[Any], limits: tuple[float, float], scale: str = "linear"
) -> list[float | None]:
    """Round numbers to about 1/10,000 of the axis's span; one that is not finite becomes None."""
    digits = 4 - math.floor(math.log10(abs(limits[1] - limits[0]) or 1))
    rounded: list[float | None] = []
    for x in map(float, numbers):
        if math.isfinite(x):
            x = float(f"{x:.5g}") if scale == "log" else round(x, digits)
        rounded.append(None if not math.isfinite(x) else int(x) if x == int(x) else x)
    return rounded
