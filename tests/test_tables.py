import unicodedata
from html.parser import HTMLParser

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gatutils.book.figures import Table, table


class Cells(HTMLParser):
    """The text of each cell, row by row."""

    def __init__(self):
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def cells(made: Table) -> list[list[str]]:
    parser = Cells()
    parser.feed(made.html())
    return parser.rows


def test_cells_are_shown_as_text_and_as_html():
    made = table(
        {"GCN": [0.8567, 10], "GAT <v1>": [-1.0, None]}, ["share", "seeds"], "Right", "net"
    )
    assert cells(made) == [
        ["net", "share", "seeds"],
        ["GCN", "0.86", "10"],
        ["GAT <v1>", "−1.00", ""],
    ]
    assert str(made).splitlines() == [
        "Right",
        "net       share  seeds",
        "GCN        0.86     10",
        "GAT <v1>  −1.00",
    ]
    shown = made._repr_mimebundle_()
    assert shown == {"text/html": made.html(), "text/plain": str(made)}
    assert "<caption>Right</caption>" in made.html()
    assert 'scope="row"' in made.html()


def test_a_matrix_needs_no_header():
    made = table({"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 4.0])}, digits=1)
    assert cells(made) == [["a", "1.0", "2.0"], ["b", "3.0", "4.0"]]
    assert "<thead>" not in made.html()
    assert str(made) == "a  1.0  2.0\nb  3.0  4.0"


@pytest.mark.parametrize("number", [-0.0, -0.001, 0.004])
def test_no_sign_depends_on_the_last_digit(number):
    assert cells(table({"a": [number]})) == [["a", "0.00"]]


def test_a_column_has_its_roles_colour():
    made = table({"a": [1, 2]}, ["q", "none"], roles=["query", None])
    assert made.html().count("var(--gat-query)") == 2  # its head and its cell


WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)


@given(st.dictionaries(WORDS, st.tuples(WORDS, st.integers(-99, 99)), min_size=1, max_size=4))
def test_columns_of_text_are_aligned(rows):
    """Also where letters are two columns wide."""

    def columns(line):
        return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in line)

    assert len({columns(line) for line in str(table(rows)).splitlines()}) == 1


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: table({}), "rows: expected one row or more"),
        (
            lambda: table({"a": [1], "b": [1, 2]}),
            r"rows: expected as many cells in each, got \[1, 2",
        ),
        (lambda: table({"a": [1]}, ["x", "y"]), "columns: expected 1 of them, got 2"),
        (lambda: table({"a": [1]}, roles=["key", "key"]), "roles: expected 1 of them, got 2"),
        (lambda: table({"a": [1]}, roles=["kye"]), "roles: expected some of query"),
    ],
)
def test_what_does_not_fit_is_refused(call, problem):
    with pytest.raises(ValueError, match=problem):
        call()
