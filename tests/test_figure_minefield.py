"""The board of Minesweeper to touch, driven in a browser."""

from typing import Any

import pytest
from helpers import OF_A_SCHEME, html_of

from gatutils.book.figures import minefield
from gatutils.book.figures.minefield import AROUND

SIZE, OWN = 8, 4
CLUES = ["", "0", "3", "5+", "", "1", "2"] * 9 + [""]
MINES = [cell % 5 == 0 for cell in range(SIZE * SIZE)]
CHANCES = [cell % 101 for cell in range(0, 3 * SIZE * SIZE, 3)]


def near(cell):
    """Each cell around this one, and itself, with its place."""
    row, column = divmod(cell, SIZE)
    for place, (down, right) in enumerate(AROUND):
        if 0 <= row + down < SIZE and 0 <= column + right < SIZE:
            yield place, cell + down * SIZE + right


def row_of(head, cell):
    """Weights in the order of the neighbours' numbers, then the cell's own; they sum to 100."""
    others = [place for place, _ in near(cell) if place != OWN]
    weights = [head + place for place in others]
    return [*weights, 100 - sum(weights)]


HEADS = [[row_of(head, cell) for cell in range(SIZE * SIZE)] for head in range(3)]
START = 1, 3 * SIZE + 4


def field(**changed):
    given: dict[str, Any] = {
        "clues": CLUES,
        "mines": MINES,
        "chances": CHANCES,
        "weights": HEADS,
        "start": START,
        "alt": "a board of <mines>",
    }
    return minefield(**(given | changed))


FIGURE = field()
SHOWN = """figure => {
  const root = figure.shadowRoot, all = s => [...root.querySelectorAll(s)];
  const text = e => e.innerText.replace(/\\s+/g, ' ').trim();
  const cells = all('.board button');
  return {
    pressed: cells.flatMap((b, i) => b.getAttribute('aria-pressed') === 'true' ? [i] : []),
    stops: cells.flatMap((b, i) => b.tabIndex === 0 ? [i] : []),
    focus: cells.indexOf(root.activeElement),
    names: cells.map(b => b.getAttribute('aria-label')),
    clues: cells.map(text),
    tints: cells.map(b => b.style.getPropertyValue('--w')),
    seen: cells.flatMap((b, i) => b.matches('.seen') ? [i] : []),
    head: all('input').findIndex(i => i.checked),
    near: all('.near td').map(c => [c.className, c.dataset.weight, text(c)]),
    caption: text(root.querySelector('caption')),
    chance: text(root.querySelector('.chance')),
    bar: root.querySelector('.bar i').style.width,
    says: text(root.querySelector('.says')),
  };
}"""


def shown(page, at=0):
    return page.locator("gat-minefield").nth(at).evaluate(SHOWN)


def check(found, head, cell):
    """All that is shown about a cell is what was given."""
    assert (found["pressed"], found["stops"], found["head"]) == ([cell], [cell], head)
    assert found["clues"] == [clue or "?" for clue in CLUES]
    ends = row_of(head, cell)
    places = [place for place, _ in near(cell) if place != OWN] + [OWN]
    given = dict(zip(places, ends, strict=True))
    around = dict(near(cell))
    for place, (kind, weight, text) in enumerate(found["near"]):
        if place in given:
            assert kind == ("own" if place == OWN else "")
            assert weight == str(given[place])
            assert text == f"{CLUES[around[place]] or '?'} {given[place]} %"
        else:
            assert (kind, weight, text) == ("beyond", "", "")
    tints = {around[place]: str(weight) for place, weight in given.items()}
    assert found["tints"] == [tints.get(k, "") for k in range(SIZE * SIZE)]
    assert found["seen"] == sorted(around[place] for place in given if place != OWN)
    assert found["caption"].endswith(f"with head {head + 1}: weights")
    assert found["chance"] == f"probability of a mine: {CHANCES[cell]} %"
    assert found["bar"] == f"{CHANCES[cell]}%"
    row, column = divmod(cell, SIZE)
    named = f"row {row + 1}, column {column + 1}"
    assert found["names"][cell] == f"{named}: {'shows ' + CLUES[cell] if CLUES[cell] else 'hidden'}"
    numbered = [place for place in given if place != OWN and CLUES[around[place]]]
    hidden = [place for place in given if place != OWN and not CLUES[around[place]]]
    one = "is one" if MINES[cell] else "is not"
    clue = f"shows {CLUES[cell]}" if CLUES[cell] else "is hidden"
    groups = (numbered, "neighbour", " with a number"), (hidden, "hidden neighbour", "")
    parts = [
        f"{sum(given[p] for p in places)} % to the "
        + (f"one {noun}{which}" if len(places) == 1 else f"{len(places)} {noun}s{which}")
        for places, noun, which in groups
        if places
    ]
    parts[0] = parts[0].replace(" % to", " % of the weight to")
    comma = "," if len(parts) > 1 else ""
    assert found["says"] == (
        f"The cell in {named} {clue}. The network gives it a probability of {CHANCES[cell]} % of "
        f"being a mine; it {one}. Head {head + 1} gives {', '.join(parts)}{comma} and "
        f"{given[OWN]} % to the cell itself."
    )


def test_every_cell_shows_what_was_given(show):
    page = show(FIGURE, reduced_motion="reduce")
    check(shown(page), *START)
    cells = page.locator("gat-minefield .board button")
    for cell in (0, 7, 56, 63, 3, 24, 28):  # corners, edges, and one in the middle
        cells.nth(cell).click()
        check(shown(page), 1, cell)
    for head in (2, 0):
        page.get_by_role("radio", name=str(head + 1), exact=True).check()
        check(shown(page), head, 28)


def test_the_board_is_one_stop_and_arrow_keys_move_over_it(show):
    page = show(FIGURE, reduced_motion="reduce")
    page.keyboard.press("Tab")
    assert shown(page)["focus"] == START[1]
    row, column = divmod(START[1], SIZE)
    for key, move in (
        ("ArrowUp", (-1, 0)),
        ("ArrowLeft", (0, -1)),
        ("ArrowDown", (1, 0)),
        ("ArrowRight", (0, 1)),
    ):
        page.keyboard.press(key)
        row, column = row + move[0], column + move[1]
        check(shown(page), 1, row * SIZE + column)
        assert shown(page)["focus"] == row * SIZE + column
    for key, at in (
        ("Home", 0),
        ("ArrowLeft", 0),  # the end is the end
        ("End", SIZE - 1),
        ("ArrowRight", SIZE - 1),
    ):
        page.keyboard.press(key)
        check(shown(page), 1, row * SIZE + at)
    for _ in range(SIZE):
        page.keyboard.press("ArrowDown")
    check(shown(page), 1, SIZE * SIZE - 1)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    check(shown(page), 2, SIZE * SIZE - 1)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.localName") == "body"


@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
def test_the_colours_move_unless_the_reader_wants_no_motion(show, motion, moves):
    page = show(FIGURE, reduced_motion=motion)
    found = page.locator("gat-minefield :is(.board button, .near td, .bar i)").evaluate_all(
        "all => all.map(e => getComputedStyle(e).transitionDuration)"
    )
    assert set(found) == {"0.3s" if moves else "0s"}


@pytest.mark.parametrize("width", [360, 390, 820, 1440])
def test_it_fits_with_text_that_is_large_enough(show, width):
    page = show(FIGURE, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    for cell in (0, 28, 63):
        page.locator("gat-minefield .board button").nth(cell).click()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        sizes = page.locator("gat-minefield").evaluate(
            """figure => [...figure.shadowRoot.querySelectorAll('.live *')].filter(e =>
                 e.checkVisibility() &&
                 [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
                 .map(e => parseFloat(getComputedStyle(e).fontSize))"""
        )
        assert min(sizes) >= 12


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [704, 390])
def test_axe_finds_nothing(show, axe, theme, width):
    full = [[[0] * (len(row) - 1) + [100] for row in HEADS[0]], *HEADS[1:]]  # the darkest tint
    page = show(
        field(weights=full, start=(0, 0)),
        theme=theme,
        viewport={"width": width, "height": 844},
        reduced_motion="reduce",
    )
    assert axe(page, OF_A_SCHEME if theme == "dark" else ()) == {}


def test_without_javascript_and_on_paper_it_is_two_tables(show):
    page = show(FIGURE, java_script_enabled=False, viewport={"width": 390, "height": 844})
    around = page.get_by_role("table", name="what the cell in row 4, column 5 attends to")
    found = [line.locator("th, td").all_inner_texts() for line in around.locator("tbody tr").all()]
    given = [dict(zip([p for p, _ in near(START[1]) if p != OWN] + [OWN], rows, strict=True))
             for rows in (head[START[1]] for head in HEADS)]  # fmt: skip
    assert [line[2:] for line in found] == [[str(head[p]) for head in given] for p in range(9)]
    assert [line[1] for line in found] == [CLUES[k] or "hidden" for _, k in near(START[1])]
    board = page.get_by_role("table", name="the board")
    assert board.locator("td").count() == SIZE * SIZE + 1
    assert board.locator("b").count() == sum(MINES)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    live = show(FIGURE)
    assert live.get_by_role("table").count() == 1
    live.emulate_media(media="print")
    assert live.get_by_role("table").count() == 2
    assert live.get_by_role("button").count() == 0


def test_two_figures_do_not_disturb_each_other(show):
    page = show(FIGURE, field(start=(0, 0)), reduced_motion="reduce")
    page.locator("gat-minefield").nth(1).locator(".board button").nth(9).click()
    check(shown(page), *START)
    check(shown(page, 1), 0, 9)


# ---- What is written, without a browser ----------------------------------------------------------


def test_the_still_tables_hold_what_was_given():
    still = FIGURE.content.split("<script>")[0]
    assert still.count("<table") == 2
    for head in HEADS:
        assert f"<td>{head[START[1]][-1]}</td>" in still
    assert still.count("<b>") == sum(MINES)
    assert "row 4, column 5" in still
    corner = field(start=(0, 0)).content.split("<script>")[0]
    assert corner.count('<th scope="row">') == 4 + SIZE  # the corner's neighbours, and the board
    for place in ("itself", "right", "below", "below right"):
        assert f'<th scope="row">{place}</th>' in corner


def test_the_html_is_the_same_on_every_run():
    assert field()._repr_mimebundle_() == FIGURE._repr_mimebundle_()
    assert html_of(FIGURE).count("<gat-minefield") == 1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clues": CLUES[1:]}, "clues: expected a square board of four cells or more, got 63"),
        ({"clues": ["1"]}, "clues: expected a square board"),
        ({"clues": None}, "clues: expected a sequence of str"),
        ({"mines": MINES[1:]}, "mines: expected 64 of them, got 63"),
        ({"chances": [*CHANCES[1:], 101]}, "chances: expected percentages up to 100, got 101"),
        ({"chances": [*CHANCES[1:], -1]}, "chances: expected an int of at least 0"),
        ({"weights": []}, "weights: expected one head or more, got none"),
        ({"weights": [HEADS[0][1:]]}, "weights: expected 64 lists in each head, got 63"),
        ({"weights": [[[100]] * 64]}, "weights: expected 4 for this cell, got 1"),
        ({"weights": [[[0, 0, 0, 97], *HEADS[0][1:]]]}, "lists that sum to 100, got 97"),
        ({"alt": " "}, "alt: expected a sentence"),
        ({"start": (3, 0)}, "start: expected less than 3, got 3"),
        ({"start": (0, 64)}, "start: expected less than 64, got 64"),
        ({"start": (0,)}, "start: expected a head and a cell"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    with pytest.raises((TypeError, ValueError)) as error:
        field(**changed)
    assert message in str(error.value)
