"""Heat maps, as real tables."""

import html
from collections.abc import Mapping, Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from gatutils._checks import (
    expect,
)
from gatutils.book.figures.core import TOLERANCE, Picture, role_color


def heatmap(
    weights: Float[Tensor, "rows columns"],
    rows: Sequence[str],
    columns: Sequence[str],
    alt: str,
    caption: str = "",
    role: str = "weight",
    marks: Mapping[tuple[int, int], str] | None = None,
    mask: Bool[Tensor, "rows columns"] | None = None,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Draw weights as a real table: the darker a cell, the larger its weight.

    Each cell contains its number, for screen readers and as a tooltip. The labels are in the
    browser's own fonts, which also cover Hangul.

    Args:
        weights: Numbers from 0 to 1.
        rows: A label for each row (a query).
        columns: A label for each column (a key).
        alt: What the table shows, in words.
        caption: A line below it.
        role: The role whose colour the cells have.
        marks: Cell (row, column) -> why it is framed, which is added to its tooltip.
        mask: False where a cell is masked; it is hatched.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        ValueError: If labels or the mask do not match, or a number is outside 0 to 1.
    """
    expect(weights.ndim == 2, "weights", "two axes", f"shape {tuple(weights.shape)}")
    expect(len(rows) == weights.shape[0], "rows", f"{weights.shape[0]} labels", len(rows))
    expect(len(columns) == weights.shape[1], "columns", f"{weights.shape[1]} labels", len(columns))
    if mask is not None:
        shape = tuple(weights.shape)
        expect(tuple(mask.shape) == shape, "mask", f"shape {shape}", tuple(mask.shape))
    inside = bool(((weights >= 0) & (weights <= 1 + 1e-6)).all())
    expect(inside, "weights", "numbers from 0 to 1", "others")
    expect(bool(alt.strip()), "alt", "a sentence that says what the table shows", repr(alt))
    attributes = f'aria-label="{html.escape(alt)}"'
    table = heat_table(weights, rows, columns, attributes, "", marks, role, mask)
    return Picture(_heat_style() + table, alt, caption, tolerance=tolerance)


def _heat_style() -> str:
    """Return the CSS that heat tables need on a page without the book's style sheet."""
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
        ".gat-heat td.mark{outline:2px solid currentColor;outline-offset:-2px}"
        f".gat-heat td.masked{{background:{hatching()}}}"
        ".gat-heat.upright thead th{writing-mode:horizontal-tb;transform:none;text-align:center}"
        "</style>"
    )


def css_variable(role: str) -> str:
    """Return the CSS of a role's colour: the page's, with the light one as a fallback."""
    return f"var(--gat-{role},{role_color(role)})"


def hatching() -> str:
    """Return the CSS background that masked cells have in every figure."""
    color = f"color-mix(in srgb,{css_variable('masked')} 70%,transparent)"
    return f"repeating-linear-gradient(135deg,{color} 0 1px,transparent 1px 5px)"


def heat_table(
    weights: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    attributes: str = "",
    title: str = "",
    marks: Mapping[tuple[int, int], str] | None = None,
    role: str = "weight",
    mask: Tensor | None = None,
) -> str:
    """Return a table of weights, with a title above it or attributes that describe it."""
    upright = all(len(name) <= 2 for name in columns)  # longer ones would widen the columns
    head = "".join(f'<th scope="col"><span>{html.escape(c)}</span></th>' for c in columns)
    room = max(3.6, 0.6 + 0.6 * max(map(len, rows), default=0))  # for the row labels
    corner = "<td></td>" if room == 3.6 else f'<td style="width:{room:.1f}em"></td>'
    body = []
    for i, (label, row) in enumerate(zip(rows, weights.tolist(), strict=True)):
        cells = []
        for j, weight in enumerate(row):
            tip = f"{label} ← {columns[j]}: {weight:.2f}"
            kinds = []
            if marks and (i, j) in marks:
                tip += f" ({marks[i, j]})"
                kinds.append("mark")
            if mask is not None and not mask[i, j]:
                tip = f"{label} ← {columns[j]}: masked"
                kinds.append("masked")
            frame = f' class="{" ".join(kinds)}"' if kinds else ""
            cells.append(
                f'<td{frame} style="--w:{100 * weight:.0f}%" title="{html.escape(tip)}">'
                f"<span>{weight:.2f}</span></td>"
            )
        body.append(f'<tr><th scope="row">{html.escape(label)}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="gat-heat{" upright" * upright}"{" " * bool(attributes)}{attributes} '
        f'style="--role:{css_variable(role)};table-layout:fixed;'
        f'width:min(100%,{1.7 * len(columns) + room:.1f}em)">'
        + (f"<caption>{html.escape(title)}</caption>" if title else "")
        + f"<thead><tr>{corner}{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def rounded_weight(number: float) -> float:
    """Round a number to four decimals, so that the HTML is the same on all machines."""
    return float(f"{number:.4f}") or 0


def side_by_side(tables: Sequence[str]) -> str:
    """Return heat tables in rows, as many side by side as there is room for."""
    style = (
        "<style>.gat-heats{display:flex;flex-wrap:wrap;gap:1.5rem;justify-content:center}"
        ".gat-heats thead th{line-height:1;padding:.15em 0}</style>"  # 25 columns fit a phone
    )
    return f'{_heat_style()}{style}<div class="gat-heats">{"".join(tables)}</div>'
