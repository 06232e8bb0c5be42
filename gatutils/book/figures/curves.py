"""Curves with a range over seeds, and strips that show every run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gatutils._checks import (
    expect,
)
from gatutils.book.figures.core import (
    INK,
    SLIM,
    TOLERANCE,
    WIDE,
    Corner,
    Picture,
    canvas,
    picture,
    series_color,
)


@dataclass(frozen=True)
class Curve:
    """One line of :func:`curves`.

    Attributes:
        label: Written at the line's end.
        x: The horizontal coordinates of the values.
        runs: One row of values per run (seed); the line is their mean, the band their range.
        color: One of ``SERIES``, or None for the colour of the text.
        dash: matplotlib's line style.
        marker: matplotlib's marker; an empty string for none.
    """

    label: str
    x: Sequence[float]
    runs: Sequence[Sequence[float]]
    color: str | None = None
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
        lines: The curves to draw.
        alt: What the figure shows, in words.
        xlabel: Label of the horizontal axis, with its unit.
        ylabel: Label of the vertical axis, with its unit.
        ylim: Range of the vertical axis, or None to fit it to the lines.
        caption: A line below the figure.
        log: Use a logarithmic scale on the vertical axis.
        shade: A range of x to shade: its start, its end and its label.
        legend: The corner of a legend that replaces the labels, for lines that end close together.
        ticks: Position on the horizontal axis -> its label, in place of numbers.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        ValueError: If there is no line, or the runs of one do not match its x.
    """
    expect(len(lines) > 0, "lines", "one curve or more", "none")
    for line in lines:
        shape = np.asarray(line.runs, dtype=float).shape
        expect(
            len(shape) == 2 and shape[0] > 0 and shape[1] == len(line.x) > 0,
            f"lines[{line.label!r}].runs",
            f"rows of {len(line.x)} values",
            f"shape {shape}",
        )
    wide, narrow = (
        _curves(*size, lines, xlabel, ylabel, ylim, log, shade, legend, ticks)
        for size in (WIDE, SLIM)
    )
    return picture(wide, alt, caption, tolerance, narrow)


def _curves(
    width: float,
    height: float,
    lines: Sequence[Curve],
    xlabel: str,
    ylabel: str,
    ylim: tuple[float, float] | None,
    log: bool,
    shade: tuple[float, float, str] | None,
    legend: Corner | None,
    ticks: Mapping[float, str] | None,
) -> Figure:
    """Draw :func:`curves` in a figure of this size, in inches."""
    figure, ax = canvas(width, height)
    ax.set_xmargin(0.02)
    ends = []
    for line in lines:
        runs = np.asarray(line.runs, dtype=float)
        color = series_color(line.color)
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
    elif all(isinstance(x, int) for line in lines for x in line.x):
        # No ticks between integers; on a phone few, since their numbers stand side by side.
        count: Any = "auto" if width >= WIDE[0] else 5
        ax.xaxis.set_major_locator(MaxNLocator(count, integer=True))
    if width < WIDE[0]:  # beside the lines there is no room
        named = sum(bool(line.label) for line in lines)
        figure.set_figheight(height + 0.24 * math.ceil(named / 2))
        if named:
            figure.legend(loc="outside lower left", ncols=2, frameon=False, handlelength=3)
    elif legend is None:
        _label_ends(figure, ax, ends)
    else:
        ax.legend(loc=legend, frameon=False, handlelength=3, fontsize=10.5)
    return figure


def strips(
    groups: Mapping[str, Sequence[float]],
    alt: str,
    xlabel: str,
    colors: Mapping[str, str] | None = None,
    caption: str = "",
    tolerance: float = TOLERANCE,
) -> Picture:
    """Draw every run as a dot, in one row per group, and a bar at each mean.

    Args:
        groups: Name -> one number per run (seed).
        alt: What the figure shows, in words.
        xlabel: Label of the horizontal axis, with its unit.
        colors: Name -> one of ``SERIES``; the others have the colour of the text.
        caption: A line below the figure.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        ValueError: If there is no group, one is empty or contains a number that is not finite, or
            ``colors`` names something that is not a group.
    """
    expect(len(groups) > 0, "groups", "one group or more", "none")
    colors = colors or {}
    expect(set(colors) <= set(groups), "colors", f"some of {', '.join(groups)}", list(colors))
    for name, runs in groups.items():
        numbers = np.asarray(runs, dtype=float)
        right = numbers.ndim == 1 and numbers.size > 0 and bool(np.isfinite(numbers).all())
        expect(right, f"groups[{name!r}]", "one finite number or more", runs)
    height = 0.8 + 0.42 * len(groups)
    wide, narrow = (_strips(width, height, groups, xlabel, colors) for width, _ in (WIDE, SLIM))
    return picture(wide, alt, caption, tolerance, narrow)


def _strips(
    width: float,
    height: float,
    groups: Mapping[str, Sequence[float]],
    xlabel: str,
    colors: Mapping[str, str],
) -> Figure:
    """Draw :func:`strips` in a figure of this size, in inches."""
    figure, ax = canvas(width, height)
    for row, (name, runs) in enumerate(groups.items()):
        numbers = np.asarray(runs, dtype=float)
        color = series_color(colors.get(name))
        ax.plot(numbers, [-row] * len(numbers), "o", color=color, alpha=0.45, markersize=6)
        ax.plot(2 * [numbers.mean()], [-row - 0.3, -row + 0.3], color=color, linewidth=2.5)
    ax.set_ylim(-len(groups) + 0.5, 0.5)
    ax.set_yticks([-row for row in range(len(groups))], list(groups))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(True, axis="x", color=INK, alpha=0.15, linewidth=0.6)
    ax.set_xlabel(xlabel)
    return figure


def _label_ends(figure: Figure, ax: Axes, ends: list[list[Any]]) -> None:
    """Write each label beside the end of its line; a leader joins it where ends are close."""
    figure.draw_without_rendering()  # now the axes have their limits and their height
    to_axes = ax.transData + ax.transAxes.inverted()
    places = [float(to_axes.transform((x, y))[1]) for y, _, _, x in ends]
    order = sorted(range(len(ends)), key=lambda k: places[k])
    gap, spots = 0.085, dict.fromkeys(order, 0.0)
    low = -0.02
    for k in order:
        spots[k] = low = max(places[k], low)
        low += gap
    high = 1.02  # and back down from the top, so that none is outside the axes
    for k in reversed(order):
        spots[k] = high = min(spots[k], high)
        high -= gap
    height = ax.get_window_extent().height * 72 / figure.dpi
    for k, (y, label, color, x) in enumerate(ends):
        moved = (spots[k] - places[k]) * height  # points
        leader = {"arrowstyle": "-", "color": color, "linewidth": 0.8}
        leader |= {"shrinkA": 1, "shrinkB": 5, "relpos": (0, 0.5)}
        ax.annotate(
            label,
            (x, y),
            xytext=(14, moved),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize=10.5,
            annotation_clip=False,
            arrowprops=leader if abs(moved) > 3 else None,
        )
