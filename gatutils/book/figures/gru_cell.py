"""The gated recurrent unit with gates that the reader opens and closes (chapters 1 and 9)."""

import html
import math
from textwrap import wrap

import torch
from torch import nn

from gatutils._checks import expect, expect_int, expect_list
from gatutils.book.figures.core import TOLERANCE, Picture
from gatutils.book.figures.elements import element, two
from gatutils.book.figures.lookup import STILL, expect_numbers


def gru_cell(
    alt: str,
    caption: str = "",
    z: float = 0.95,
    r: float = 1.0,
    x: float = -1.0,
    h: float = 0.8,
    W: float = 2.0,
    U: float = 1.5,
    steps: int = 10,
    input_label: str = "input x",
    state_label: str = "old state h",
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader open and close the gates of one hidden unit of a GRU.

    The unit is a :class:`torch.nn.GRUCell` of one input and one hidden dimension whose gates depend
    on their biases alone. Below it, bars show the share of the first state that the update gate
    leaves after each further step, the powers of z. Without JavaScript the figure is a table with
    four values of the update gate.

    Args:
        alt: What the figure shows, in words.
        caption: A line below it.
        z: The update gate initially, 0 to 1: the share of the old state that stays.
        r: The reset gate initially, 0 to 1.
        x: The input initially, -2 to 2.
        h: The old state initially, -1 to 1.
        W: The candidate's weight of the input.
        U: The candidate's weight of the old state.
        steps: How many steps the bars show, 1 to 10.
        input_label: What the input is called, with its symbol as the last word, such as
            "aggregate c" where the unit is a node of a graph.
        state_label: What the old state is called, likewise.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If something is not a number, ``steps`` is not an int, or a label is not a str.
        ValueError: If ``alt`` is empty, a number is out of range, or a label is not a name, which
            fits in two lines of 12 characters, and a symbol of one.

    Source:
        Cho et al. (2014), equations 5 to 8, with the reset gate after the matrix product, as in
        :class:`torch.nn.GRUCell`.
    """
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    given = {"z": (z, 0, 1), "r": (r, 0, 1), "x": (x, -2, 2), "h": (h, -1, 1)}
    given |= {"W": (W, -9, 9), "U": (U, -9, 9)}
    for name, (number, least, most) in given.items():
        expect_numbers([number], name, 1)
        expect(least <= number <= most, name, f"a number from {least} to {most}", number)
    expect_int(steps, "steps", least=1)
    expect(steps <= 10, "steps", "at most 10", steps)
    numbers = {name: _rounded(number) for name, (number, _, _) in given.items()}
    labels = {
        "x": _lines_and_symbol(input_label, "input_label"),
        "h": _lines_and_symbol(state_label, "state_label"),
    }
    data = numbers | {"steps": steps, "labels": labels}
    still = _gates(**numbers, steps=steps, labels=labels)
    return element("gat-gru-cell", data, still, alt, caption, tolerance)


def _lines_and_symbol(label: str, argument: str) -> tuple[list[str], str]:
    """Return (["sum of", "messages"], "c") for "sum of messages c"."""
    expect_list([label], argument, str)
    name, _, symbol = label.strip().rpartition(" ")
    lines = wrap(name, 12, break_long_words=False)
    fits = len(symbol) == 1 and 0 < len(lines) <= 2 and max(map(len, lines)) <= 12
    words = "a name that fits in two lines of 12 characters, and a symbol of one"
    expect(fits, argument, words, repr(label))
    return lines, symbol


@torch.no_grad()
def unit(z: float, r: float, W: float, U: float) -> nn.GRUCell:
    """Return a cell of one unit whose gates have the given values for every input and state."""
    with torch.random.fork_rng(devices=[]):  # a figure must not affect later random numbers
        cell = nn.GRUCell(1, 1).double()
    for parameter in cell.parameters():
        parameter.zero_()
    gates = torch.tensor([r, z], dtype=torch.float64)
    cell.bias_ih[:2] = gates.logit()  # minus or plus infinity for a gate of 0 or 1
    cell.weight_ih[2], cell.weight_hh[2] = W, U
    return cell


def _gates(
    z: float,
    r: float,
    x: float,
    h: float,
    W: float,
    U: float,
    steps: int,
    labels: dict[str, tuple[list[str], str]],
) -> str:
    """Return :func:`gru_cell` as a table of four values of the update gate."""
    given, state = (html.escape(" ".join(labels[key][0])) for key in "xh")
    x_symbol, h_symbol = (html.escape(labels[key][1]) for key in "xh")
    candidate = _step(0, r, x, h, W, U)
    body = "".join(
        f'<tr><th scope="row">{gate:g}</th><td>{two(gate * h)}</td>'
        f"<td>{two((1 - gate) * candidate)}</td><td><b>{two(_step(gate, r, x, h, W, U))}</b></td>"
        f"<td>{two(gate**steps)}</td></tr>"
        for gate in sorted({0.0, 0.5, z, 1.0})
    )
    words = (
        "update gate z",
        f"{state}, z\u00a0{h_symbol}",
        f"candi\u00addate, (1\u00a0−\u00a0z)\u00a0{h_symbol}\u0303",
        f"new state\u00a0{h_symbol}′",
        f"left after {steps} steps, z<sup>{steps}</sup>",
    )
    head = "".join(f'<th scope="col">{word}</th>' for word in words)
    at = (
        f"{state} {h_symbol} = {_plain(h)}, {given} {x_symbol} = {_plain(x)}, "
        f"r = {_plain(r)}, candidate {h_symbol}\u0303 = {two(candidate)}"
    )
    return (
        f'{STILL}<table class="gat-still"><caption>{at}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


@torch.no_grad()
def _step(z: float, r: float, x: float, h: float, W: float, U: float) -> float:
    """Return the new state."""
    rows = (torch.tensor([[number]], dtype=torch.float64) for number in (x, h))
    new: float = unit(z, r, W, U)(*rows).item()
    return new


def _rounded(number: float) -> float:
    """Round to the two decimals in which the figure writes what is given."""
    return math.floor(100 * number + 0.5) / 100 or 0.0


def _plain(number: float) -> str:
    return f"{number:g}".replace("-", "−")
