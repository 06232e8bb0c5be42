"""Tables of results and small matrices: real tables on a page, aligned text in a terminal."""

import html
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from gatutils._checks import expect
from gatutils.book.figures.core import ROLES

__all__ = ["Table", "table"]


@dataclass(frozen=True)
class Table:
    """A table that a notebook can display, as HTML and as text.

    Attributes:
        header: The words above the columns, that of the row labels first; may be empty.
        rows: A label for each row, and its cells.
        caption: A line above it; may be empty.
        roles: For each column of cells the role whose colour it has, or None; may be empty.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    roles: tuple[str | None, ...] = ()

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": str(self)}

    def html(self) -> str:
        """Return the table as HTML."""
        colors = [f' style="color:var(--gat-{role})"' if role else "" for role in self.roles]
        colors = colors or [""] * max((len(row) - 1 for row in self.rows), default=0)
        head = "".join(
            f'<th scope="col"{color}>{html.escape(word)}</th>' if word else "<td></td>"
            for word, color in zip(self.header, ["", *colors], strict=True)
        )
        body = "".join(
            f'<tr><th scope="row">{html.escape(label)}</th>'
            + "".join(
                f"<td{color}>{html.escape(cell)}</td>"
                for cell, color in zip(cells, colors, strict=True)
            )
            + "</tr>"
            for label, *cells in self.rows
        )
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        head = f"<thead><tr>{head}</tr></thead>" if any(self.header) else ""
        return f'<table class="gat-table">{caption}{head}<tbody>{body}</tbody></table>'

    def __str__(self) -> str:
        lines = [self.header, *self.rows] if any(self.header) else [*self.rows]
        widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(
                cell + " " * (width - _width(cell))  # labels to the left, cells to the right
                if k == 0
                else " " * (width - _width(cell)) + cell
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.caption, *text] if self.caption else text)


def table(
    rows: Mapping[str, Sequence[object] | Tensor],
    columns: Sequence[object] = (),
    caption: str = "",
    corner: str = "",
    digits: int = 2,
    roles: Sequence[str | None] = (),
) -> Table:
    """Make a table of words and numbers.

    Args:
        rows: The label of each row -> its cells. A cell is text, a number, or None for an empty
            one.
        columns: A word or a number above each column of cells; none by default.
        caption: A line above the table that says what the numbers are, with their unit.
        corner: What is above the labels of the rows.
        digits: How many decimals a float gets; other numbers are shown as they are.
        roles: For each column of cells the role whose colour it has, or None.

    Raises:
        ValueError: If there is no row, rows differ in length, columns or roles do not match, or a
            role does not exist.
    """
    expect(len(rows) > 0, "rows", "one row or more", "none")
    lines = []
    for label, given in rows.items():
        cells = given.tolist() if isinstance(given, Tensor) else given
        lines.append((label, *(_text(cell, digits) for cell in cells)))
    count = len(lines[0]) - 1
    lengths = sorted({len(line) - 1 for line in lines})
    expect(len(lengths) == 1, "rows", "as many cells in each", lengths)
    expect(len(columns) in (0, count), "columns", f"{count} of them", len(columns))
    expect(len(roles) in (0, count), "roles", f"{count} of them", len(roles))
    for role in roles:
        expect(role is None or role in ROLES, "roles", f"some of {', '.join(ROLES)}", repr(role))
    above = [_text(word, digits) for word in columns] or [""] * count
    return Table((corner, *above), tuple(lines), caption, tuple(roles))


def _text(cell: object, digits: int) -> str:
    """Write a cell; minus zero, which depends on the processor, is zero."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        written = f"{cell:.{digits}f}"
        return written.removeprefix("-") if float(written) == 0 else written.replace("-", "−")
    return str(cell)


def _width(text: str) -> int:
    """Return how many columns a terminal needs for it; Hangul takes two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)
