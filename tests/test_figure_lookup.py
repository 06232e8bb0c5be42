"""The arrows of the figure of chapter 3, and the dictionary that stands beside attention."""

import math
import re
from typing import Any

import pytest
from helpers import html_of, slow_but
from hypothesis import given, settings
from hypothesis import strategies as st
from test_interactive_figures import attended, numbers, vectors

from gatutils.book import figures

TASTE = {"lemon": (0.0, 1.0), "orange": (0.6, 0.8), "apple": (0.8, 0.6), "melon": (1.0, 0.0)}
QUERIES = {"pear": (0.96, 0.28), **TASTE}
PRICES = dict(zip(TASTE, (1.0, 2.0, 3.0, 8.0), strict=True))


def fruit(**options):
    given: dict[str, Any] = {
        "alt": "fruit",
        "temperature": 0.1,
        "axes": ("sweet", "sour"),
    } | options
    return figures.lookup(QUERIES, TASTE, list(PRICES.values()), **given)


def arrows(page):
    """The query's arrow and what stands around it."""
    return page.locator("gat-lookup").evaluate(
        """figure => {
          const root = figure.shadowRoot, grip = root.querySelector('.grip');
          root.getAnimations().forEach(moving => moving.finish());
          const turned = new DOMMatrix(getComputedStyle(root.querySelector('.turns')).transform);
          return {
            query: JSON.parse(grip.dataset.query),
            now: Number(grip.getAttribute('aria-valuenow')),
            ends: ['min', 'max'].map(end => Number(grip.getAttribute(`aria-value${end}`))),
            spoken: grip.getAttribute('aria-valuetext'),
            drawn: -Math.atan2(turned.b, turned.a) * 180 / Math.PI,
            discs: [...root.querySelectorAll('.disc')].map(disc =>
              new DOMMatrix(getComputedStyle(disc).transform).a ** 2),
            name: root.querySelector('.ask strong').textContent,
            written: root.querySelector('.ask small').textContent,
            pressed: [...root.querySelectorAll('button')]
              .filter(b => b.getAttribute('aria-pressed') === 'true').map(b => b.textContent),
            focused: root.activeElement === grip,
          };
        }"""
    )


def check_turned(page, keys, values):
    """The numbers are the package's for the query that is drawn; return both."""
    found, read = arrows(page), numbers(page)
    query = found["query"]
    scores, weights, result = attended(query, keys, values, read["place"])
    assert read["score"] == pytest.approx(scores, abs=1e-9)
    assert read["weight"] == pytest.approx(weights, abs=1e-7)
    assert read["result"] == pytest.approx([result], abs=1e-6)
    assert found["discs"] == pytest.approx(weights, abs=1e-4)  # areas
    assert read["equal"] == [float(list(key) == query) for key in keys]
    if math.hypot(*query):
        angle = math.degrees(math.atan2(query[1], query[0]))
        assert math.cos(math.radians(found["drawn"] - angle)) == pytest.approx(1)
        assert found["now"] == pytest.approx(angle, abs=0.51)
        assert found["spoken"].startswith(f"{found['now']} degrees")
    return found, read


def at(page, degrees, far=0.6):
    """The place on the screen at this angle, as far from the origin as this share of an arrow."""
    return page.locator("gat-lookup").evaluate(
        """(figure, [x, y]) => {
          const svg = figure.shadowRoot.querySelector('svg');
          const point = new DOMPoint(150 * x, -150 * y).matrixTransform(svg.getScreenCTM());
          return [point.x, point.y];
        }""",
        [far * math.cos(math.radians(degrees)), far * math.sin(math.radians(degrees))],
    )


def test_it_starts_where_the_dictionary_fails_and_attention_answers(show):
    page = show(fruit())
    found, read = check_turned(page, TASTE.values(), list(PRICES.values()))
    assert (found["name"], found["pressed"], found["written"]) == ("pear", ["pear"], "(0.96, 0.28)")
    assert found["spoken"] == "16 degrees, pear, between apple and melon"
    assert (read["place"], read["shown"]) == (10, "0.10")
    assert read["says"] == (
        "The query pear equals no key, so the dictionary raises a KeyError. The attention weights "
        "are melon 0.50, apple 0.40, orange 0.10; attention returns the weighted mean, 5.41."
    )
    assert read["found text"] == ["KeyError:\nno such key"]
    assert read["hard"] == read["part"] == [0, 0, 0, 0]
    with pytest.raises(KeyError):
        PRICES["pear"]


@pytest.mark.parametrize("name", TASTE)
def test_at_temperature_0_attention_is_the_dictionary(show, name):
    page = show(fruit(start=name, temperature=0))
    read = numbers(page)
    assert read["weight"] == read["hard"] == [float(key == name) for key in TASTE]
    assert read["product"] == read["part"]
    assert read["result"] == read["found"] == [PRICES[name]]
    assert read["says"].endswith(f"and attention returns {PRICES[name]:.2f} as well.")
    assert numbers(page)["equal"] == read["hard"]
    page.get_by_role("slider", name="temperature τ").fill("40")
    read = numbers(page)
    assert (read["result"], read["found"]) == ([3.5], [PRICES[name]])  # the mean; no change


def test_without_a_key_temperature_0_takes_the_best_match(show):
    read = numbers(show(fruit(temperature=0)))
    assert read["says"].endswith(
        "At temperature 0 all weight is on the key with the highest score, melon, and attention "
        "returns 8.00."
    )


def test_a_mouse_drags_the_query_and_it_catches_on_keys(show):
    page = show(fruit())
    page.mouse.move(*at(page, 16.26))
    page.mouse.down()
    page.mouse.move(*at(page, 30, 0.9))  # not only along its circle
    found, read = check_turned(page, TASTE.values(), list(PRICES.values()))
    assert found["query"] == pytest.approx([math.cos(math.pi / 6), 0.5])
    assert (found["pressed"], found["name"], found["written"]) == ([], "", "(0.87, 0.50)")
    assert found["focused"]
    assert found["spoken"] == "30 degrees, between apple and melon"
    assert read["says"].startswith("The query (0.87, 0.50) equals no key, so the dictionary raises")
    page.mouse.move(*at(page, 38.5, 0.4))
    found, read = check_turned(page, TASTE.values(), list(PRICES.values()))
    assert (found["query"], found["pressed"]) == ([0.8, 0.6], ["apple"])
    assert found["spoken"] == "37 degrees, equal to apple"
    assert read["found"] == [3]
    page.mouse.move(*at(page, 130, 1.2))  # beyond the end
    assert arrows(page)["query"] == [0, 1]
    page.mouse.move(*at(page, -60, 1))
    assert arrows(page)["query"] == [1, 0]
    page.mouse.up()
    page.mouse.move(*at(page, 60))
    assert arrows(page)["query"] == [1, 0]


def test_a_finger_turns_the_query(show):
    page = show(fruit(), has_touch=True, viewport={"width": 390, "height": 500})
    page.touchscreen.tap(*at(page, 70, 0.8))
    found, _ = check_turned(page, TASTE.values(), list(PRICES.values()))
    assert found["now"] == 70
    drag = page.context.new_cdp_session(page)
    touch = "Input.dispatchTouchEvent"
    for kind, angle in (
        ("touchStart", 70),
        ("touchMove", 55),
        ("touchMove", 30),
        ("touchMove", 46),
    ):
        x, y = at(page, angle)
        drag.send(touch, {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    drag.send(touch, {"type": "touchEnd", "touchPoints": []})
    found, _ = check_turned(page, TASTE.values(), list(PRICES.values()))
    assert found["now"] == 46
    assert page.evaluate("scrollY") == 0
    of = "e => getComputedStyle(e).touchAction"
    assert page.locator("gat-lookup .turns").evaluate(of) == "none"  # a finger there never scrolls
    assert page.locator("gat-lookup svg").evaluate(of) == "pan-y"


@pytest.mark.slow
def test_arrow_keys_turn_the_query_through_every_key(show):
    page = show(fruit())
    page.evaluate("addEventListener('keydown', e => window.kept = e.defaultPrevented)")
    grip = page.get_by_role("slider", name="query")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert grip.evaluate("e => e.matches(':focus')")
    page.keyboard.press("End")
    met, angles = [], []
    for _ in range(90):
        found, _ = check_turned(page, TASTE.values(), list(PRICES.values()))
        met += found["pressed"]
        angles.append(found["drawn"])
        page.keyboard.press("ArrowRight")
        assert page.evaluate("kept")
    assert met == ["lemon", "orange", "apple", "pear"]
    found = arrows(page)
    assert (found["pressed"], found["now"], found["ends"]) == (["melon"], 0, [0, 90])
    assert angles[0] == pytest.approx(90)
    steps = [a - b for a, b in zip(angles, [*angles[1:], 0], strict=True)]
    assert 0.5 < min(steps) <= max(steps) < 1.5
    page.keyboard.press("ArrowDown")  # the end is the end
    assert arrows(page)["query"] == [1, 0]
    for key, degrees in (("PageUp", 10), ("ArrowLeft", 11), ("ArrowUp", 12), ("PageDown", 2)):
        page.keyboard.press(key)
        assert arrows(page)["now"] == degrees
    page.keyboard.press("Home")
    assert arrows(page)["spoken"] == "0 degrees, equal to melon"
    page.keyboard.press("x")
    assert not page.evaluate("kept")


def test_what_is_said_of_an_arrow_knows_its_cases(show):
    keys = {"a": [1.0, 1.0], "b": [2.0, 2.0], "none": [0.0, 0.0], "<c>": [-3.0, 0.0]}
    queries = {
        "a": [1.0, 1.0],
        "q": [3.0, 3.0],
        "x": [1.0, 0.0],
        "d": [0.0, -2.0],
        "nil": [0.0, 0.0],
    }
    page = show(figures.lookup(queries, keys, [1, 2, 3, 4], "cases", start="q"))
    said = {
        "q": "45 degrees, q, in the direction of b",
        "a": "45 degrees, equal to a",
        "x": "0 degrees, x, beyond a",
        "d": "-90 degrees, d, beyond a",
        "nil": "0 degrees, nil, equal to none",
    }
    for name, words in said.items():
        page.get_by_role("button", name=name, exact=True).click()
        found, _ = check_turned(page, keys.values(), [1, 2, 3, 4])
        assert re.sub("of [ab]$", "of b", found["spoken"]) == words
    # An arrow of length 0 is as long as the longest key once it is turned.
    page.get_by_role("slider", name="query").focus()
    page.keyboard.press("ArrowUp")
    assert math.hypot(*arrows(page)["query"]) == pytest.approx(3)


def test_a_query_that_equals_two_keys_says_so(show):
    keys = {"a": [1.0, 0.0], "b": [1.0, 0.0], "c": [0.0, 1.0]}
    page = show(figures.lookup({"q": [1.0, 0.0]}, keys, [1, 2, 6], "two", temperature=0))
    read = numbers(page)
    assert read["hard"] == read["weight"] == [0.5, 0.5, 0]
    assert read["says"] == (
        "The query q equals the keys a and b, so the dictionary returns 1.5. At temperature 0 all "
        "weight is on the keys with the highest score, a and b, and attention returns 1.50 as well."
    )


@pytest.mark.slow
@settings(max_examples=15)
@given(
    query=vectors,
    pairs=st.lists(st.tuples(vectors, st.floats(-9, 9, width=16)), min_size=1, max_size=5),
    place=st.integers(0, 40),
    turns=st.lists(st.sampled_from(["ArrowUp", "ArrowRight", "PageUp", "PageDown", "End"])),
)
def test_any_query_that_is_turned_is_attention(shared_page, query, pairs, place, turns):
    keys = {f"key {j}": key for j, (key, _) in enumerate(pairs)}
    figure = figures.lookup({"q": query}, keys, [value for _, value in pairs], "any")
    shared_page.set_content(html_of(figure))
    shared_page.get_by_role("slider", name="temperature τ").fill(str(place))
    shared_page.get_by_role("slider", name="query").focus()
    for turn in turns:
        shared_page.keyboard.press(turn)
    found, _ = check_turned(shared_page, keys.values(), [value for _, value in pairs])
    longest = max(math.hypot(*key) for key in keys.values()) or 1
    if turns:
        assert math.hypot(*found["query"]) == pytest.approx(math.hypot(*query) or longest, rel=1e-9)
    low, high = found["ends"]
    assert low <= found["now"] <= high


BOXES = """figure => {
  const box = e => { const { left, top, right, bottom } = e.getBoundingClientRect();
                     return [left, top, right, bottom]; };
  const svg = figure.shadowRoot.querySelector('svg');
  return { svg: box(svg), size: [...svg.querySelectorAll('text')].map(e =>
             parseFloat(getComputedStyle(e).fontSize) * svg.getScreenCTM().a),
           texts: [...svg.querySelectorAll('.name, .axis text')].map(box),
           grip: box(svg.querySelector('.grip circle:not(.reach)')),
           discs: [...svg.querySelectorAll('.disc')].map(box),
           table: box(figure.shadowRoot.querySelector('table')),
           figure: box(figure) };
}"""


def overlap(one, other, by=0.5):
    return all(one[k] < other[k + 2] - by and other[k] < one[k + 2] - by for k in (0, 1))


@pytest.mark.parametrize("width", slow_but([390], [360, 390, 688, 1440]))
def test_names_of_arrows_overlap_nothing_and_are_large(show, width):
    page = show(
        fruit(temperature=math.inf),
        viewport={"width": width, "height": 900},
        reduced_motion="reduce",
    )
    page.locator("gat-lookup button").first.focus()
    for key in ("lemon", "orange", "apple", "melon", "pear"):
        page.get_by_role("button", name=key).click()
        found = page.locator("gat-lookup").evaluate(BOXES)
        assert min(found["size"]) >= 12
        assert len(found["texts"]) == 4 + 2
        things = [*found["texts"], found["grip"], found["table"]]
        assert not [(a, b) for i, a in enumerate(things) for b in things[:i] if overlap(a, b)]
        assert not [(a, b) for a in found["texts"] for b in found["discs"] if overlap(a, b, 3)]
        around = found["svg"]
        for text in found["texts"]:
            assert all(
                text[k] >= around[k] - 3 and text[k + 2] <= around[k + 2] + 3 for k in (0, 1)
            )
        assert found["table"][2] <= found["figure"][2] + 0.5
    beside = found["table"][0] >= found["svg"][2]
    below = found["table"][1] >= found["svg"][3]
    assert (beside, below) == ((True, False) if width >= 688 else (False, True))


def test_what_changes_moves_unless_the_reader_wants_no_motion(show):
    read = """figure => [...figure.shadowRoot.querySelectorAll('.turns, .disc, .bar i')].map(e =>
      getComputedStyle(e).transitionDuration)"""
    moving = show(fruit()).locator("gat-lookup").evaluate(read)
    assert set(moving) == {"0.25s", "0.3s"}
    still = show(fruit(), reduced_motion="reduce").locator("gat-lookup").evaluate(read)
    assert set(still) == {"0s"}


def test_vectors_of_another_size_have_no_arrows(show):
    page = show(figures.lookup({"q": [1.0], "r": [2.0]}, {"a": [1.0], "b": [0.5]}, [1, 2], "flat"))
    assert page.locator("gat-lookup svg").count() == 0
    assert page.get_by_role("slider").count() == 1
    assert not page.get_by_text("Drag").count()
    page.get_by_role("button", name="r").click()
    assert numbers(page)["score"] == [2, 1]
    assert math.isnan(numbers(page)["found"][0])


def test_the_three_steps_are_the_headings_of_both(show):
    page = show(fruit())
    heads = [e.inner_text().split() for e in page.get_by_role("columnheader").all()]
    assert [words[0] for words in heads[:4]] == ["key", "value", "dictionary", "attention"]
    steps = [words[:2] for words in heads[4:]]
    assert steps == 2 * [["1", "compare"], ["2", "weight"], ["3", "sum"]]


def test_without_javascript_both_answers_are_there(show):
    page = show(fruit(), java_script_enabled=False, viewport={"width": 390, "height": 844})
    caption = page.locator("gat-lookup caption")
    assert caption.inner_text().split("\n") == [
        "query pear (0.96, 0.28)",
        "a dictionary raises a KeyError; attention:",
    ]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert "a dictionary returns 3 won; attention:" in fruit(start="apple", unit="won").content


def test_a_lookup_is_the_same_html_each_time():
    assert fruit()._repr_mimebundle_() == fruit()._repr_mimebundle_()
    assert fruit().content != fruit(temperature=0.2).content


@pytest.mark.parametrize(
    ("temperature", "place"),
    [(0, 0), (0.0126, 1), (0.1, 10), (0.11, 10), (1, 20), (79.4, 39), (math.inf, 40)],
)
def test_a_lookup_starts_at_a_stop_of_its_slider(temperature, place):
    assert f'"place":{place},' in fruit(temperature=temperature).content.replace("&quot;", '"')


@pytest.mark.parametrize("temperature", [-1, -math.inf, math.nan, 1e-9, 100])
def test_a_lookup_refuses_a_temperature_that_its_slider_has_not(unchecked, temperature):
    with pytest.raises(ValueError, match="temperature: expected"):
        fruit(temperature=temperature)


def test_a_lookup_refuses_an_arrow_of_infinite_length(unchecked):
    with pytest.raises(ValueError, match="keys: expected vectors of finite length"):
        figures.lookup({"q": [0.0, 0.0]}, {"k": [1.7e308, 1.7e308]}, [1.0], "alt")


def test_a_lookup_refuses_axes_without_a_plane(unchecked):
    with pytest.raises(ValueError, match="axes: expected"):
        figures.lookup({"q": [1.0]}, {"k": [1.0]}, [1.0], "alt", axes=("x", "y"))
    with pytest.raises((TypeError, ValueError), match="axes: expected"):
        fruit(axes=("x",))
