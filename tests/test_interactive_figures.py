"""The interactive figures, driven in a browser from a bare page of their own."""

import math
import re

import pytest
import torch
from helpers import OF_A_SCHEME, html_of, not_none, pair_scores, slow_but
from hypothesis import given, settings
from hypothesis import strategies as st

from gatutils.attention import Dot, attend
from gatutils.book.figures import (
    decoder,
    graph_attention,
    gru_cell,
    heads,
    heatmap,
    lookup,
    masks,
    message_passing,
    minefield,
    pronounce,
    receptive_field,
    self_attention,
)
from gatutils.book.tasks.graphs import scale_free
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv

FRUIT = {"lemon": [0.0, 1.0], "orange": [0.6, 0.8], "apple": [0.8, 0.6], "melon": [1.0, 0.0]}
QUERIES = {"apple": [0.8, 0.6], "pear": [0.96, 0.28]}
VALUES = [1.0, 2.0, 3.0, 8.0]
LOOKUP = lookup(QUERIES, FRUIT, VALUES, "a lookup", unit="won", axes=("sweet", "sour"))

WORDS = ["the", "small", "cat", "chased", "the", "dog", "that", "bit", "the", "boy", "today"]
WEIGHTS = (3 * torch.randn(4, 11, 11, generator=torch.manual_seed(3))).softmax(dim=-1)
WEIGHTS[1, 5] = 0  # all keys are masked for "dog"
HEADS = heads(WEIGHTS, WORDS, WORDS, "who asks whom", start=(1, 3))

KOREAN = ["그", "작은", "고양이", "가", "소년", "을", "문", "개", "를", "쫓았다", "."]
ENGLISH = (WORDS * 3)[:25]
ACROSS = heads(
    torch.full((1, len(KOREAN), len(ENGLISH)), 1 / len(ENGLISH)),
    KOREAN,
    ENGLISH,
    "Korean asks English",
    choice="layer",
    asks="looks for",
    answers="is found",
)

SEVEN = ["the", "cat", "that", "the", "dog", "saw", "slept"]
TREE = Graph.from_edges([(1, 6), (0, 1), (5, 1), (2, 5), (4, 5), (3, 4)], 7, undirected=True)
ALL = torch.ones(7, 7, dtype=torch.bool)
UNDER = {"full": ALL, "causal": ALL.tril(), "a <tree>": TREE.with_self_loops().mask()}
UNDER["a <tree>"][3] = False  # for the second "the" all are masked
SCORES = 2 * torch.randn(7, 7, generator=torch.manual_seed(4))
GIVEN = {name: attend(SCORES, torch.eye(7), mask)[1] for name, mask in UNDER.items()}
PLACES = {"a <tree>": [(0, 1), (1, 2), (1.2, 0), (2.2, -0.9), (3, 0), (2, 1), (2, 3)]}
MASKS = masks(UNDER, GIVEN, SEVEN, "three masks", start=1, positions=PLACES)

LINKS = [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4)]
FIVE_ALONE = Graph.from_edges(LINKS, 5, undirected=True)
FIVE = FIVE_ALONE.with_self_loops()
STATES = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0], [0.0, 2.0]]
W, A = torch.tensor([[1.0, 1], [1, -1]]), torch.tensor([-1, 0.5, 0.5, -1])
ATTENTION = graph_attention(FIVE, torch.tensor(STATES), W, A, list("12345"), "step by step", step=1)


def opacity(tint):
    """The last number of a colour as the browser writes it."""
    return float(not_none(re.search(r"[/,] ?([\d.e-]+)\)$", tint))[1])


# ---- lookup ----------------------------------------------------------------------------------


def numbers(page, at=0):
    """All numbers of a lookup, in full precision, and what is written for them."""
    return (
        page.locator("gat-lookup")
        .nth(at)
        .evaluate(
            """figure => {
          const root = figure.shadowRoot, read = {};
          root.getAnimations().forEach(moving => moving.finish());
          for (const name of ['score', 'weight', 'value', 'product', 'result',
                              'equal', 'hard', 'part', 'found']) {
            const cells = [...root.querySelectorAll(`[data-${name}]`)];
            read[name] = cells.map(c => Number(c.dataset[name]));
            read[name + ' text'] = cells.map(c => c.innerText.trim());
          }
          const slider = root.querySelector('input');
          read.place = Number(slider.value);
          read.spoken = slider.getAttribute('aria-valuetext');
          read.shown = root.querySelector('output').textContent;
          read.says = root.querySelector('[aria-live="polite"]').textContent;
          const filled = b =>
            b.getBoundingClientRect().width / b.parentElement.getBoundingClientRect().width;
          read.bars = [...root.querySelectorAll('[data-weight] .bar i')].map(filled);
          read['hard bars'] = [...root.querySelectorAll('[data-hard] .bar i')].map(filled);
          return read;
        }"""
        )
    )


def attended(query, keys, values, place):
    """What the package gives for a place of the slider."""
    scores = Dot()(*(torch.tensor(x, dtype=torch.float64) for x in ([query], list(keys))))
    columns = torch.tensor(values, dtype=torch.float64)[:, None]
    if place == 0:
        shown = torch.tensor([[float(f"{score:.12g}") for score in scores[0].tolist()]])
        context, weights = attend(scores, columns, shown == shown.max())
    else:
        tau = math.inf if place == 40 else 10 ** ((place - 20) / 10)
        context, weights = attend(scores / tau, columns)
    return scores[0].tolist(), weights[0].tolist(), context.item()


def check(read, query="apple"):
    scores, weights, result = attended(QUERIES[query], FRUIT.values(), VALUES, read["place"])
    assert read["score"] == pytest.approx(scores, abs=1e-9)
    assert read["weight"] == pytest.approx(weights, abs=1e-9)
    assert read["product"] == pytest.approx(
        [w * v for w, v in zip(weights, VALUES, strict=True)], abs=1e-9
    )
    assert read["value"] == VALUES
    assert read["result"] == pytest.approx([result], abs=1e-9)
    assert read["weight text"] == [f"{w:.3f}" for w in weights]
    assert read["score text"] == [f"{s:.3f}" for s in scores]
    assert read["result text"] == [f"{result:.3f} won"]
    assert read["bars"] == pytest.approx(weights, abs=0.01)
    assert re.search(
        f" returns (the (weighted )?mean, )?{result:.2f} won( as well)?[.]$", read["says"]
    )
    # A dictionary whose keys are the vectors.
    prices = {tuple(key): value for key, value in zip(FRUIT.values(), VALUES, strict=True)}
    same = [float(list(key) == list(QUERIES[query])) for key in FRUIT.values()]
    assert read["equal"] == read["hard"] == same
    assert read["hard bars"] == pytest.approx(same, abs=0.01)
    assert read["part"] == [w * v for w, v in zip(same, VALUES, strict=True)]
    if tuple(QUERIES[query]) in prices:
        price = prices[tuple(QUERIES[query])]
        assert read["found"] == [price]
        assert read["found text"] == [f"{price:g} won"]
        assert f"so the dictionary returns {price:g} won." in read["says"]
    else:
        assert math.isnan(read["found"][0])
        assert read["found text"] == ["KeyError:\nno such key"]
        assert "so the dictionary raises a KeyError." in read["says"]


@pytest.mark.slow
def test_every_temperature_is_attention(show):
    page = show(LOOKUP)
    assert numbers(page)["place"] == 20
    for _ in ("the queries", "the query's arrow", "the temperature"):
        page.keyboard.press("Tab")
    page.keyboard.press("Home")
    for place in range(41):
        read = numbers(page)
        assert read["place"] == place
        check(read)
        page.keyboard.press("ArrowRight")
    assert numbers(page)["place"] == 40  # the end is the end
    page.keyboard.press("Home")
    assert numbers(page)["weight"] == [0, 0, 1, 0]
    page.keyboard.press("End")
    assert numbers(page)["weight"] == [0.25] * 4


def test_temperatures_are_said_in_words(show):
    page = show(LOOKUP)
    slider = page.get_by_role("slider", name="temperature τ")
    said = {
        0: ("temperature 0, only the best match", "0"),
        1: ("temperature 0.013", "0.013"),
        16: ("temperature 0.40", "0.40"),
        20: ("temperature 1.0", "1.0"),
        39: ("temperature 79", "79"),
        40: ("temperature infinite, the plain mean", "∞"),
    }
    for place, words in said.items():
        slider.fill(str(place))
        read = numbers(page)
        assert (read["spoken"], read["shown"]) == words
    slider.fill("0")
    hard = "The query apple equals the key apple, so the dictionary returns 3 won. "
    assert numbers(page)["says"] == (
        hard + "At temperature 0 all weight is on the key with the highest score, apple, and "
        "attention returns 3.00 won as well."
    )
    slider.fill("10")
    assert numbers(page)["says"] == (
        hard + "The attention weights are apple 0.55, orange 0.37, melon 0.07 …; attention returns "
        "the weighted mean, 2.98 won."
    )
    slider.fill("40")
    assert numbers(page)["says"] == (
        hard + "At infinite temperature all weights are equal, and attention returns the mean, "
        "3.50 won."
    )


def test_another_query_is_chosen_by_keyboard(show):
    page = show(LOOKUP)
    page.keyboard.press("Tab")
    apple, pear = (page.get_by_role("button", name=name) for name in ("apple", "pear"))
    assert apple.evaluate("e => e.matches(':focus')")
    assert apple.get_attribute("aria-pressed") == "true"
    page.keyboard.press("ArrowRight")
    assert pear.evaluate("e => e.matches(':focus')")
    assert [e.get_attribute("aria-pressed") for e in (apple, pear)] == ["false", "true"]
    check(numbers(page), "pear")
    assert page.get_by_text("(0.96, 0.28)").first.is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    read = numbers(page)
    assert read["place"] == 19
    check(read, "pear")


def test_a_lookup_starts_where_it_is_told_and_one_query_is_no_choice(show):
    one = lookup({"fig": [0.0, 2.0, 0.0]}, {"a": [0.0, 1.0, 0.0]}, [1.0], "one", unit="won")
    up = lookup({"fig": [0.0, 2.0]}, FRUIT, VALUES, "up", unit="won")
    page = show(lookup(QUERIES, FRUIT, VALUES, "two", start="pear", unit="won"), one, up)
    check(numbers(page), "pear")
    buttons = page.get_by_role("button")
    pressed = [button.get_attribute("aria-pressed") for button in buttons.all()]
    assert pressed == ["false", "true", "true"]  # the last leads an arrow back to its start
    assert numbers(page, 2)["score"] == [2, 1.6, 1.2, 0]
    for at, written in ((1, "(0, 2, 0)"), (2, "(0, 2)")):
        assert page.locator("gat-lookup").nth(at).get_by_text(written, exact=True).is_visible()


vectors = st.lists(st.floats(-4, 4, width=16), min_size=2, max_size=2)


@pytest.mark.slow
@settings(max_examples=12)
@given(
    query=vectors,
    pairs=st.lists(st.tuples(vectors, st.floats(-9, 9, width=16)), min_size=1, max_size=5),
    place=st.integers(0, 40),
)
def test_any_lookup_is_attention(shared_page, query, pairs, place):
    keys = {f"key {j}": key for j, (key, _) in enumerate(pairs)}
    values = [value for _, value in pairs]
    shared_page.set_content(html_of(lookup({"q": query}, keys, values, "any")))
    shared_page.get_by_role("slider", name="temperature τ").fill(str(place))
    read = numbers(shared_page)
    scores, weights, result = attended(query, keys.values(), values, place)
    assert read["score"] == pytest.approx(scores, abs=1e-9)
    assert read["weight"] == pytest.approx(weights, abs=1e-7)
    assert sum(read["weight"]) == pytest.approx(1)
    assert read["result"] == pytest.approx([result], abs=1e-6)
    hits = [value for key, value in pairs if key == query]
    assert read["equal"] == [float(key == query) for key, _ in pairs]
    assert sum(read["hard"]) == pytest.approx(float(bool(hits)))
    assert math.isnan(read["found"][0]) == (not hits)
    if hits:  # keys that are equal share the weight
        assert read["found"] == pytest.approx([sum(hits) / len(hits)])


def test_names_are_text_never_html(show):
    page = show(
        lookup({"<b>q</b>": [1.0], "r": [0.0]}, {"<i>k</i>'\"&": [1.0]}, [1.0], '"<s>'),
        heads(torch.eye(1)[None], ["<b>w"], ["</script>"], "<s>", names=["<u>h"]),
        masks({"<em>m": ALL[:1, :1]}, {"<em>m": torch.eye(1)}, ["<a>n"], "one"),
        graph_attention(FIVE, torch.tensor(STATES), W, A, ["<a>1", *"2345"], "<s>"),
    )
    page.locator("gat-attention summary").click()
    assert page.get_by_role("rowheader", name="<a>1", exact=True).is_visible()
    assert page.get_by_role("rowheader", name="row <a>1", exact=True).is_visible()
    assert page.get_by_role("button", name="node <a>1", exact=True).is_visible()
    assert seen(page)["caption"].startswith("what node <a>1 attends to")
    assert page.get_by_role("table", name="<em>m", exact=True).is_visible()
    assert page.get_by_role("button", name="<a>n", exact=True).count() == 2
    assert panels(page)[0]["says"] == "<em>m: <a>n 1.00"
    for text in ("<i>k</i>'\"&", "<b>w", "</script>", "<u>h"):
        assert page.get_by_text(text, exact=True).locator("visible=true").count() == 1
    assert page.get_by_role("button", name="<b>q</b>").count() == 1
    assert page.get_by_role("group", name='"<s>').count() == 1


# ---- heads -----------------------------------------------------------------------------------


def state(page, at=0):
    """What is chosen in a figure of heads, and what it shows."""
    return (
        page.locator("gat-heads")
        .nth(at)
        .evaluate(
            """figure => {
          const root = figure.shadowRoot, all = s => [...root.querySelectorAll(s)];
          return {
            head: all('input').findIndex(i => i.checked),
            row: all('button').findIndex(b => b.getAttribute('aria-pressed') === 'true'),
            pressed: all('[aria-pressed="true"]').length,
            stops: all('button[tabindex="0"]').length,
            focus: all('button').indexOf(root.activeElement),
            weights: all('li').map(l => Number(l.dataset.weight)),
            words: all('.word').map(w => w.textContent),
            texts: all('.number').map(n => n.textContent),
            tints: all('li').map(l => getComputedStyle(l).backgroundColor),
            lines: all('svg path').map(p => [p.getAttribute('d').split(' ').at(-1) - .5,
              Number(p.getAttribute('stroke-width')), Number(p.getAttribute('stroke-opacity'))]),
            says: root.querySelector('[aria-live="polite"]').textContent,
          };
        }"""
        )
    )


def check_heads(found, head, row):
    given_ = WEIGHTS[head, row].tolist()
    assert (found["head"], found["row"], found["pressed"], found["stops"]) == (head, row, 1, 1)
    assert found["words"] == WORDS
    assert found["weights"] == pytest.approx(given_, abs=5.1e-5)
    written = [float(text or 0) for text in found["texts"]]
    assert written == pytest.approx(given_, abs=0.0051)
    assert ["" if w < 0.005 else f"{w:.2f}" for w in found["weights"]] == found["texts"]
    drawn = {j: (width, opacity) for j, width, opacity in found["lines"]}
    assert set(drawn) == {j for j, w in enumerate(found["weights"]) if w >= 0.005}
    by_weight = sorted(drawn, key=lambda j: found["weights"][j])
    for how in (0, 1):  # thickness, opacity
        assert sorted(drawn, key=lambda j: drawn[j][how]) == by_weight
    alphas = [opacity(tint) for tint in found["tints"]]
    assert alphas == pytest.approx([0.36 * w for w in found["weights"]], abs=0.005)


def test_words_and_heads_are_chosen_by_keyboard(show):
    page = show(HEADS)
    check_heads(state(page), 1, 3)
    page.keyboard.press("Tab")  # the heads
    page.keyboard.press("ArrowRight")
    check_heads(state(page), 2, 3)
    page.keyboard.press("ArrowRight")
    check_heads(state(page), 3, 3)
    page.keyboard.press("Tab")  # the words: one stop
    assert state(page)["focus"] == 3
    page.evaluate("addEventListener('keydown', e => window.kept = e.defaultPrevented)")
    for key, row in [
        ("ArrowDown", 4),
        ("ArrowUp", 3),
        ("Home", 0),
        ("ArrowUp", 0),
        ("End", 10),
        ("ArrowDown", 10),
    ]:
        page.keyboard.press(key)
        assert page.evaluate("kept")  # the choice moves, the page does not
        assert state(page)["focus"] == row
        check_heads(state(page), 3, row)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.shadowRoot.activeElement.localName") == "summary"
    page.keyboard.press("Enter")
    assert page.get_by_role("table", name="head 4").is_visible()


def test_a_word_is_chosen_by_mouse_and_by_touch_and_stays(show):
    page = show(HEADS)
    page.get_by_role("button", name="cat").hover()
    check_heads(state(page), 1, 2)
    page.mouse.move(0, 0)
    check_heads(state(page), 1, 2)
    page.get_by_role("radio", name="head 4").check()
    check_heads(state(page), 3, 2)
    touch = show(HEADS, has_touch=True, viewport={"width": 360, "height": 740})
    touch.get_by_role("button", name="today").tap()
    check_heads(state(touch), 1, 10)


def test_whom_a_word_asks_is_said(show):
    five = heads(torch.full((1, 1, 5), 0.2), ["f"], list("abcde"), "all alike")
    page = show(HEADS, ACROSS, five)
    assert state(page, 2)["says"] == "“f” attends to: a 0.20, b 0.20, c 0.20, d 0.20 …"
    for role, name in (
        ("group", "looks for"),
        ("list", "is found"),
        ("group", "head"),
        ("group", "layer"),
    ):
        assert page.get_by_role(role, name=name, exact=True).count() > 0
    head, row = 2, 7
    page.get_by_role("radio", name="head 3").check()
    page.get_by_role("button", name="bit").hover()
    best = WEIGHTS[head, row].sort(descending=True)
    pairs = [(WORDS[j], w) for w, j in zip(*(x.tolist() for x in best), strict=True) if w >= 0.05]
    words = ", ".join(f"{word} {w:.2f}" for word, w in pairs[:4])
    assert state(page)["says"].removesuffix(" …") == f"“bit” attends to: {words}"
    page.get_by_role("radio", name="head 2").check()
    page.get_by_role("button", name="dog").hover()
    found = state(page)
    assert found["says"] == "“dog” attends to nothing: every key is masked"
    assert found["lines"] == []
    assert not any(found["texts"])
    assert state(page, 1)["says"] == "“그” attends to: the 0.04 …"
    assert page.get_by_text("is found", exact=True).is_visible()


def test_lines_meet_their_words(show):
    page = show(ACROSS)
    page.get_by_role("button", name="쫓았다").hover()
    ends = page.locator("gat-heads").evaluate(
        """figure => {
          const root = figure.shadowRoot, middle = e => {
            const box = e.getBoundingClientRect(); return box.top + box.height / 2; };
          const svg = root.querySelector('svg').getBoundingClientRect();
          const unit = svg.height / root.querySelectorAll('li').length;
          const paths = [...root.querySelectorAll('path')].map(p => p.getAttribute('d'));
          return {
            from: paths.map(d => svg.top + unit * Number(d.match(/^M0 ([\\d.]+)/)[1])),
            to: paths.map(d => svg.top + unit * Number(d.split(' ').at(-1))),
            word: middle(root.querySelector('[aria-pressed="true"]')),
            words: [...root.querySelectorAll('li')].map(middle),
            high: root.host.getBoundingClientRect().height
              / parseFloat(getComputedStyle(root.host).fontSize),
          };
        }"""
    )
    assert ends["from"] == pytest.approx([ends["word"]] * 25, abs=1.5)
    assert ends["to"] == pytest.approx(ends["words"], abs=1.5)
    assert ends["high"] < 54  # 25 rows of 1.7 em, heads, sentence and tables below


# ---- masks -----------------------------------------------------------------------------------


def panels(page, at=0):
    """What each panel of a figure of masks shows."""
    return (
        page.locator("gat-masks")
        .nth(at)
        .evaluate(
            """figure => [...figure.shadowRoot.querySelectorAll('table')].map(table => {
          const panel = table.parentElement, all = s => [...panel.querySelectorAll(s)];
          const seen = e => !getComputedStyle(e).clipPath.startsWith('inset');
          const matrix = e => e.getAttribute('transform').match(/[-\\d.]+/g).map(Number);
          const nodes = all('.node');
          return {
            name: table.caption.textContent,
            rows: all('tbody tr').flatMap((row, i) => row.className === 'chosen' ? [i] : []),
            pressed: [all('button'), nodes].map(stops => stops.flatMap((stop, i) =>
              stop.getAttribute('aria-pressed') === 'true' ? [i] : [])),
            stops: [all('button'), nodes].map(stops => stops.flatMap((stop, i) =>
              stop.getAttribute('tabindex') === '0' ? [i] : [])),
            cells: all('td[data-weight]').map(cell => Number(cell.dataset.weight)),
            texts: all('tbody span').flatMap(s => seen(s) ? [s.textContent] : []),
            hatched: all('tbody tr').map(row => [...row.cells].slice(1).map(cell =>
              getComputedStyle(cell).backgroundImage.includes('gradient'))),
            tints: all('td[data-weight]').map(c => getComputedStyle(c).backgroundColor),
            words: all('.word').map(word => word.textContent),
            numbers: all('.number').map(number => number.textContent),
            crossed: nodes.map(node =>
              getComputedStyle(node.firstElementChild).fill.includes('#hatch')),
            places: nodes.map(matrix),
            radius: Number(panel.querySelector('circle').getAttribute('r')),
            own: all('.row [data-weight]').map(g => [Number(g.dataset.from),
              Number(g.dataset.weight), Number(g.firstElementChild.getAttribute('stroke-width'))]),
            lines: all('.arrows path').map(p => p.getAttribute('d').match(/^M([-\\d.]+),([-\\d.]+)/)
              .slice(1).map(Number)),
            tips: all('.arrows polygon').map(p => p.getAttribute('points').split(',')
              .slice(0, 2).map(Number)),
            says: panel.querySelector('[aria-live=polite]').textContent,
          };
        })"""
        )
    )


def check_masks(found, i):
    """All panels show row i of what Python gave."""
    assert [panel["name"] for panel in found] == list(UNDER)
    for panel, mask, weights in zip(found, UNDER.values(), GIVEN.values(), strict=True):
        row, visible = weights[i].tolist(), mask[i].tolist()
        assert panel["rows"] == [i]
        assert panel["pressed"] == panel["stops"] == [[i], [i]]
        assert panel["words"] == SEVEN
        assert panel["cells"] == pytest.approx(row, abs=5.1e-5)
        written = [f"{w:.2f}" for w, see in zip(panel["cells"], visible, strict=True) if see]
        assert panel["texts"] == [text for text in panel["numbers"] if text] == written
        assert [text != "" for text in panel["numbers"]] == visible
        assert panel["hatched"] == (~mask).tolist()
        assert panel["crossed"] == [not see for see in visible]
        alphas = [opacity(tint) for tint in panel["tints"]]
        shown = [(a, w) for a, w, v in zip(alphas, row, visible, strict=True) if v]
        assert [a for a, _ in shown] == pytest.approx([0.04 + 0.36 * w for _, w in shown], abs=0.01)
        assert [j for j, *_ in panel["own"]] == [j for j in range(7) if visible[j]]
        for j, weight, width in panel["own"]:
            assert weight == pytest.approx(row[j], abs=5.1e-5)
            assert width == pytest.approx(1.25 + 5 * weight)
        order = sorted(filter(visible.__getitem__, range(7)), key=lambda j: -row[j])
        words = ", ".join(f"{SEVEN[j]} {panel['cells'][j]:.2f}" for j in order)
        assert panel["says"] == f"{panel['name']}: {words or 'nobody'}"


@pytest.mark.slow
def test_nodes_are_chosen_by_keyboard_in_every_table_and_graph(show):
    page = show(MASKS)
    check_masks(panels(page), 1)
    page.evaluate("addEventListener('keydown', e => window.kept = e.defaultPrevented)")
    at = 1
    for stop in range(6):  # one for each table and each graph
        page.keyboard.press("Tab")
        focus = "document.activeElement.shadowRoot.activeElement"
        assert page.evaluate(f"{focus}.localName") == ("button", "g")[stop % 2]
        assert page.evaluate(f"getComputedStyle({focus}).outlineStyle") == "solid"
        forth, back = (("ArrowDown", "ArrowUp"), ("ArrowRight", "ArrowLeft"))[stop % 2]
        for key, row in ((forth, at + 1), (back, at), ("Home", 0), (back, 0), ("End", 6)):
            page.keyboard.press(key)
            assert page.evaluate("kept")  # the choice moves, the page does not
            check_masks(panels(page), row)
        page.keyboard.press(forth)
        page.keyboard.press(back)
        at = 5
        check_masks(panels(page), at)
    page.keyboard.press("Space")
    assert page.evaluate("kept")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.localName") == "body"


def test_a_node_is_chosen_by_mouse_touch_and_a_reader_of_the_screen(show):
    page = show(MASKS)
    second = page.get_by_role("group", name="causal, as a graph")
    second.get_by_role("button", name="saw").click()
    check_masks(panels(page), 5)
    page.get_by_role("table", name="full").get_by_role("button", name="that").click()
    check_masks(panels(page), 2)
    second.get_by_role("button", name="dog").dispatch_event("click")  # without focus
    check_masks(panels(page), 4)
    cells = page.get_by_role("table", name="causal").locator("tbody td")
    for row in (6, 4):  # a cell, masked or not
        cells.nth(7 * row + 5).click()
        check_masks(panels(page), row)
    page.get_by_role("button", name="slept").nth(3).hover()
    check_masks(panels(page), 4)
    touch = show(MASKS, has_touch=True, viewport={"width": 360, "height": 740})
    touch.get_by_role("group", name="a <tree>, as a graph").get_by_role("button").nth(3).tap()
    check_masks(panels(touch), 3)
    assert panels(touch)[2]["says"] == "a <tree>: nobody"


def test_what_was_said_is_not_said_again(show):
    page = show(MASKS)
    node = page.get_by_role("group", name="full, as a graph").get_by_role("button", name="saw")
    node.click()
    page.locator("gat-masks").evaluate(
        """figure => new MutationObserver(() => window.said = true)
             .observe(figure.shadowRoot, {childList: true, subtree: true})"""
    )
    node.click()
    page.keyboard.press("Enter")
    assert not page.evaluate("window.said")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("window.said")


def test_arrows_of_a_graph_are_the_true_cells_of_its_mask(show):
    for panel, mask in zip(panels(show(MASKS)), UNDER.values(), strict=True):
        places = torch.tensor(panel["places"])

        def nearest(points, places=places):
            distance, node = torch.cdist(torch.tensor(points), places).min(dim=1)
            return distance, node.tolist()

        begin, sources = nearest(panel["lines"])
        end, targets = nearest(panel["tips"])
        assert sorted(zip(targets, sources, strict=True)) == [
            tuple(edge) for edge in mask.nonzero().tolist()
        ]
        r = panel["radius"]
        for distance in (begin, end):
            assert (distance - r).abs().max() < 1.5  # at the rim, never in the word
        assert torch.pdist(places).min() > 2 * r + 2


def test_words_and_numbers_fit_their_nodes_and_cells(show):
    long = ["고양이가", "chased", "it", "international", "문", "a", "그"]
    names = masks(UNDER, GIVEN, long, "long names")
    for page in (
        show(MASKS, names, viewport={"width": 720, "height": 900}),
        show(MASKS, names, viewport={"width": 360, "height": 740}),
    ):
        wide = page.locator("gat-masks .node").evaluate_all(
            """all => all.flatMap(node => [...node.querySelectorAll('text')].map(text =>
                 text.getBBox().width / node.querySelector('circle').getBBox().width))"""
        )
        assert max(wide) < 1
        over = page.locator("gat-masks .node").evaluate_all(
            """all => all.filter(node => node.children[2].textContent).map(node => {
                 const [, word, number] = [...node.children].map(e => e.getBBox());
                 return word.y + word.height - number.y;
               })"""
        )
        assert max(over) < 1
        out = page.locator("gat-masks").first.locator("tbody :is(.chosen span, button)")
        cut = """all => all.filter(e => e.getBoundingClientRect().width >
                   e.parentElement.getBoundingClientRect().width + 1).length"""
        assert out.evaluate_all(cut) == 0


@pytest.mark.parametrize(("width", "abreast"), [(704, 3), (360, 1)])
def test_masks_stand_side_by_side_where_there_is_room(show, width, abreast):
    page = show(MASKS, viewport={"width": width, "height": 740})
    tops = page.locator("gat-masks .panels table").evaluate_all(
        "all => all.map(e => Math.round(e.getBoundingClientRect().top))"
    )
    assert max(map(tops.count, tops)) == abreast


def test_on_paper_all_rows_of_the_masks_are_plain(show):
    page = show(MASKS)
    fades = "all => [...new Set(all.map(e => getComputedStyle(e).opacity))]"
    cells = page.locator("gat-masks .panels tbody td")
    assert cells.evaluate_all(fades) == ["0.7", "1"]
    page.emulate_media(media="print")
    assert cells.evaluate_all(fades) == ["1"]
    assert page.get_by_role("table", name="causal").is_visible()
    assert page.get_by_role("group", name="causal, as a graph").is_visible()


# ---- Graph attention -------------------------------------------------------------------------


# What a figure of graph attention shows; text that is hidden is not there.
SEEN = """figure => {
          const root = figure.shadowRoot; root.querySelector('details').open = true;
          const all = s => [...root.querySelectorAll(s)];
          const where = (elements, test) => elements.flatMap((e, k) => test(e) ? [k] : []);
          const rows = all('.trace tr'), nodes = all('.node'), text = e => e.innerText.trim();
          return {
            step: where(all('[type=radio]'), e => e.checked).map(k => k + 1),
            ends: all('.stepper button').map(b => b.getAttribute('aria-disabled')),
            pressed: where(nodes, e => e.getAttribute('aria-pressed') === 'true'),
            stops: where(nodes, e => e.getAttribute('tabindex') === '0'),
            changed: root.querySelector('select').selectedIndex,
            sliders: all('[type=range]').map(e => Number(e.value)),
            outputs: all('output').map(text),
            table: rows.map(row => [...row.cells].map(cell =>
              getComputedStyle(cell).display === 'none' ? null : text(cell))),
            struck: where(rows.slice(1), row => row.querySelector('s')),
            columns: [...rows[0].cells].flatMap((cell, c) =>
              getComputedStyle(cell).visibility === 'visible' && cell.offsetWidth ? [c] : []),
            now: where([...rows[0].cells], cell =>
              getComputedStyle(cell).backgroundColor !== 'rgba(0, 0, 0, 0)'),
            numbers: nodes.map(n => [...n.querySelectorAll('.number')]
              .map(e => e.textContent).filter(Boolean)),
            hatched: where(nodes, n =>
              getComputedStyle(n.firstElementChild).fill.includes('#hatch')),
            lined: where(nodes, n => getComputedStyle(n.querySelector('.number'))
              .textDecorationLine === 'line-through'),
            arrows: all('.own g').map(g => [g.dataset.from, g.getAttribute('opacity'),
              g.querySelector('path').getAttribute('stroke-width')].map(Number)),
            dotted: all('.own path').map(p => getComputedStyle(p).strokeDasharray !== 'none'),
            says: root.querySelector('[aria-live=polite]').textContent.replaceAll('\\u00a0', ' '),
            caption: text(root.querySelector('.trace caption')).replaceAll('\\u00a0', ' '),
          };
        }"""


def seen(page, at=0):
    """What a figure of graph attention shows."""
    return page.locator("gat-attention").nth(at).evaluate(SEEN)


def seen_everywhere(page):
    """What the figure shows at each node and step: a list for each node."""
    return page.locator("gat-attention").evaluate(
        f"""figure => {{
          const choose = kind => [...figure.shadowRoot.querySelectorAll(kind)];
          const press = e => e.dispatchEvent(new MouseEvent('click', {{bubbles: true}}));
          return choose('.node').map(node => {{
            press(node);
            return choose('[type=radio]').map(step => (step.click(), ({SEEN})(figure)));
          }});
        }}"""
    )


def two(x):
    return f"{x:z.2f}".replace("-", "−")


def pair(row):
    return f"({two(row[0])}, {two(row[1])})"


def layer(features, i):
    """The package's numbers of node i: projected, scores, weights, and its new state."""
    conv = GATConv(2, 2, bias=False).double()
    conv.W.data, conv.a.data = W.double().unsqueeze(0), A.double().unsqueeze(0)
    states = torch.tensor(features, dtype=torch.float64)
    new, weights = conv.dense(states, FIVE.mask())
    projected = conv.project(states)[0]
    return (
        projected[:, 0],
        pair_scores(conv, projected)[0, i],
        weights[0, i].tolist(),
        new[i].tolist(),
    )


def check_attention(found, features, i, step, changed):
    """Everything that a figure shows at this step is what the layer gives."""
    projected, scores, weights, new = layer(features, i)
    near = FIVE.mask()[i].tolist()
    out = [] if step < 3 else [j for j in range(5) if not near[j]]
    assert (found["step"], found["pressed"], found["stops"]) == ([step], [i], [i])
    assert found["ends"] == [str(step == 1).lower(), str(step == 5).lower()]
    given_ = "W = [[1, 1], [1, −1]], a = [−1, 0.5, 0.5, −1]"
    assert found["caption"] == f"what node {i + 1} attends to; {given_}"
    assert found["changed"] == changed
    assert found["sliders"] == features[changed]
    short = [[f"{round(x, 2):g}".replace("-", "−") for x in row] for row in features]
    assert found["outputs"] == short[changed]

    columns = {1: 3, 2: 5, 3: 5, 4: 6, 5: 7}[step]  # so many are filled
    assert found["columns"] == list(range(columns))
    assert found["now"] == {1: [1, 2], 2: [3, 4], 3: [4], 4: [5], 5: [6]}[step]
    _, *body, foot = found["table"]
    for j, row in enumerate(body):
        raw = scores[j].item() * (1 if scores[j] > 0 else 5)
        texts = [str(j + 1), f"({', '.join(short[j])})", pair(projected[j]), two(raw)]
        texts += [two(scores[j]), two(weights[j]), pair([weights[j] * x for x in projected[j]])]
        assert [text.replace("\xa0", " ") for text in row] == [
            *texts[:columns],
            *[""] * (7 - columns),
        ]
    sums = ["sum", "", "", "", "", "1.00", pair(new) if step == 5 else ""]
    assert [text.replace("\xa0", " ") for text in foot] == (sums if step > 3 else [""] * 7)
    assert found["struck"] == out

    inside = [
        [two(x) for x in projected[j]]
        if step == 1
        else [two(scores[j])]
        if step < 4
        else [two(x) for x in new]
        if step == 5 and j == i
        else [two(weights[j])]
        if near[j]
        else []
        for j in range(5)
    ]
    assert found["numbers"] == inside
    assert found["hatched"] == found["lined"] == out
    arrows = [j for j in range(5) if step == 2 or (step > 2 and near[j])]
    assert [j for j, *_ in found["arrows"]] == arrows
    assert found["dotted"] == [step == 2] * len(arrows)
    for j, opacity, width in found["arrows"]:
        weight = weights[j] if step > 3 else 0
        assert width == pytest.approx(1.25 + 5 * weight)
        assert opacity == pytest.approx(0.4 + 0.6 * weight if step > 3 else 1)


SAID = [
    "W h2 = W (0, 1) = (1, −1). Every node is projected by the same matrix W.",
    "e12 = LeakyReLU(a · [W h1 ‖ W h2]) = LeakyReLU(1.00) = 1.00. "
    "All pairs are scored, whether or not an edge joins them.",
    "Node 1 does not attend to nodes 4 and 5: e14 = −0.30 and e15 = 2.50 become −∞. "
    "The highest score of the row, e15, is masked.",
    "α12 = exp(1.00) / (exp(−0.20) + exp(1.00) + exp(0.50)) = 0.52. Node 1 attends most to node 2.",
    "The new state of node 1 is the weighted sum of the values of its neighbours: "
    "(1, 0) becomes (1.318, −0.366).",
]


def test_attention_goes_step_by_step(show):
    page = show(ATTENTION)
    for role, name in (("radiogroup", "step"), ("group", "graph"), ("group", "features")):
        assert page.get_by_role(role, name=name, exact=True).count() == 1
    forth = page.get_by_role("button", name="next step")
    back = page.get_by_role("button", name="previous step")
    for step in (1, 2, 3, 4, 5):
        found = seen(page)
        check_attention(found, STATES, 0, step, 1)
        assert found["says"] == SAID[step - 1]
        forth.press("Enter")  # at the end it does nothing, and keeps the focus
    check_attention(seen(page), STATES, 0, 5, 1)
    assert forth.evaluate("button => button.matches(':focus')")
    back.click()
    check_attention(seen(page), STATES, 0, 4, 1)
    page.get_by_role("radio", name="2 score").check()
    check_attention(seen(page), STATES, 0, 2, 1)
    page.keyboard.press("ArrowRight")
    check_attention(seen(page), STATES, 0, 3, 1)
    page.get_by_role("radio", name="1 project").check()
    back.press("Space")
    check_attention(seen(page), STATES, 0, 1, 1)


def test_a_node_of_the_graph_is_chosen_by_mouse_and_keyboard(show):
    page = show(ATTENTION)
    page.get_by_role("radio", name="4 softmax").check()
    page.get_by_role("button", name="node 5").click()
    check_attention(seen(page), STATES, 4, 4, 3)  # the sliders went to a neighbour
    page.keyboard.press("Home")
    check_attention(seen(page), STATES, 0, 4, 1)
    page.evaluate("addEventListener('keydown', e => window.kept = e.defaultPrevented)")
    for key, i, changed in (
        *(("ArrowRight", 1, 1), ("ArrowDown", 2, 1), ("ArrowRight", 3, 2)),
        *(("ArrowLeft", 2, 2), ("End", 4, 3), ("ArrowRight", 4, 3), (" ", 4, 3)),
    ):
        page.keyboard.press(key)
        assert page.evaluate("kept")  # the choice moves, the page does not
        check_attention(seen(page), STATES, i, 4, changed)
    page.get_by_role("button", name="node 3").dispatch_event("click")  # without focus
    check_attention(seen(page), STATES, 2, 4, 3)
    page.keyboard.press("Tab")  # the graph is one stop
    focus = "document.activeElement.shadowRoot.activeElement"
    assert page.evaluate(f"{focus}.getAttribute('aria-label')") == "row 3"
    touch = show(ATTENTION, has_touch=True, viewport={"width": 390, "height": 844})
    touch.get_by_role("button", name="node 4").tap()
    assert seen(touch)["pressed"] == [3]


CHANGES = {
    "two neighbours": {1: (-2, 2), 2: (0.3, -1.7)},
    "itself and strangers": {0: (0.1, 0.1), 3: (-2, -2), 4: (2, 2)},
    "all": {j: ((3 * j - 7) / 10, (11 - 4 * j) / 10) for j in range(5)},
    "all that it sees to 0": {0: (0, 0), 1: (0, 0), 2: (0, 0)},
}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(changes, id=name, marks=[] if name == "all" else pytest.mark.slow)
        for name, changes in CHANGES.items()
    ],
)
def test_features_move_scores_weights_and_arrows_as_the_layer_does(show, changes):
    page = show(ATTENTION)
    features = [list(entries) for entries in STATES]
    page.get_by_role("radio", name="5 combine").check()
    for j, entries in changes.items():
        page.get_by_label("features of").select_option(index=j)
        for name, k in (("first", 0), ("second", 1)):
            page.get_by_role("slider", name=name).fill(str(entries[k]))
            features[j][k] = entries[k]
            check_attention(seen(page), features, 0, 5, j)
    for i, of_node in enumerate(seen_everywhere(page)):
        for step, found in enumerate(of_node, start=1):
            check_attention(found, features, i, step, found["changed"])
    page.get_by_role("button", name="reset").click()
    check_attention(found := seen(page), STATES, 4, 5, found["changed"])


def test_a_slider_moves_by_keyboard_in_tenths(show):
    page = show(ATTENTION)
    page.get_by_role("radio", name="2 score").check()
    page.get_by_role("slider", name="second").focus()
    page.keyboard.press("ArrowLeft")
    found = seen(page)
    features = [list(entries) for entries in STATES]
    features[1][1] = 0.9
    check_attention(found, features, 0, 2, 1)
    assert found["says"].startswith("e12 = LeakyReLU(a · [W h1 ‖ W h2]) = LeakyReLU(0.85)")
    page.keyboard.press("End")
    assert seen(page)["sliders"] == [0, 2]


def test_the_sentence_of_graph_attention_knows_its_cases(show):
    graph = Graph.from_edges([(0, 0), (1, 0), (2, 0), (0, 1)], 3)
    figure = graph_attention(
        graph, torch.tensor(STATES[:3]), W, A, ["a", "b", "<i>c"], "three", step=3
    )
    page = show(figure)
    assert seen(page)["says"] == "Node a attends to all nodes, so no score of its row is masked."
    page.get_by_role("button", name="node <i>c").click()
    found = seen(page)
    assert found["says"] == "Node <i>c attends to no node: its whole row is masked."
    assert found["struck"] == found["lined"] == [0, 1, 2]
    page.get_by_role("radio", name="5 combine").check()
    assert seen(page)["table"][-1][5:] == ["0.00", "(0.00, 0.00)".replace(" ", "\xa0")]
    page.get_by_role("button", name="node b").click()
    found = seen(page)
    assert found["says"].endswith(": (0, 1) becomes (1.000, 1.000).")
    assert [j for j, *_ in found["arrows"]] == [0]  # and no loop
    page.get_by_label("features of").select_option("<i>c")
    page.get_by_role("radio", name="4 softmax").check()
    assert seen(page)["says"] == (
        "αb, <i>c = 0, because eb, <i>c = −0.10 is masked. Node b attends most to node a."
    )


def test_what_graph_attention_said_is_not_said_again(show):
    page = show(ATTENTION)
    page.locator("gat-attention").evaluate(
        """figure => new MutationObserver(() => window.said = (window.said ?? 0) + 1).observe(
             figure.shadowRoot.querySelector('[aria-live]'), {childList: true, subtree: true})"""
    )
    page.get_by_role("button", name="node 1").click()
    page.get_by_role("button", name="node 3").click()  # W h(2) is the same for both
    page.get_by_role("button", name="reset").click()
    assert not page.evaluate("window.said")
    page.get_by_role("button", name="next step").click()
    assert page.evaluate("window.said") == 1


def test_numbers_fit_the_nodes_of_graph_attention(show):
    page = show(ATTENTION, viewport={"width": 390, "height": 844})
    page.get_by_role("slider", name="first").fill("-2")
    for step in range(5):
        page.get_by_role("radio").nth(step).check()
        inside = page.locator("gat-attention .node").evaluate_all(
            """all => all.map(node => {
                 const [circle, ...texts] = [...node.children].map(e => e.getBBox());
                 const r = circle.width / 2;
                 return texts.filter(t => t.width).every(t => [-1, 1].every(side =>
                   Math.hypot(t.width / 2 - 1, side < 0 ? t.y + 3 : t.y + t.height - 3) < r));
               })"""
        )
        assert all(inside)
        sizes = page.locator("gat-attention .number").evaluate_all(
            "all => all.map(e => e.getBoundingClientRect().height).filter(Boolean)"
        )
        assert min(sizes) > 11  # of a line: letters of 10 px or more


def test_the_graph_shows_its_edges_an_arrow_where_there_is_no_way_back(show):
    graph = Graph.from_edges([(0, 1), (1, 0), (1, 2), (2, 2)], 3)
    page = show(graph_attention(graph, torch.tensor(STATES[:3]), W, A, list("abc"), "three"))
    drawn = page.locator("gat-attention .edges")
    assert drawn.locator("path").count() == 3  # a pair, an arrow, a loop
    assert drawn.locator("polygon").count() == 1


@pytest.mark.parametrize(
    ("width", "needed"), [(704, (0, 1, 2, 3, 4, 5, 6)), (390, (0, 2, 5, 6))], ids=["wide", "phone"]
)
def test_a_phone_shows_the_columns_that_a_step_needs(show, width, needed):
    page = show(ATTENTION, viewport={"width": width, "height": 844})
    page.get_by_role("radio", name="5 combine").check()
    assert seen(page)["columns"] == list(needed)
    page.get_by_role("radio", name="3 mask").check()
    tops = page.locator("gat-attention").locator(".graph svg, .pairs")
    first, second = (box["y"] for box in (tops.nth(0).bounding_box(), tops.nth(1).bounding_box()))
    height = tops.nth(0).bounding_box()["height"]
    assert (second >= first + height) == (width == 390)


# ---- All -------------------------------------------------------------------------------------


def test_figures_on_one_page_do_not_disturb_each_other(show):
    page = show(LOOKUP, HEADS, LOOKUP, HEADS, MASKS, MASKS, ATTENTION, ATTENTION)
    page.locator("gat-attention").nth(1).get_by_role("button", name="next step").click()
    page.locator("gat-attention").nth(1).get_by_role("slider", name="first").fill("1.5")
    check_attention(seen(page), STATES, 0, 1, 1)
    check_attention(seen(page, 1), [[1, 0], [1.5, 1], *STATES[2:]], 0, 2, 1)
    page.get_by_role("button", name="slept").last.click()
    check_masks(panels(page), 1)
    check_masks(panels(page, 1), 6)
    page.get_by_role("slider", name="temperature τ").nth(1).fill("0")
    page.get_by_role("radio", name="head 4").nth(1).check()
    page.get_by_role("button", name="today").nth(1).hover()
    check(numbers(page))
    assert numbers(page, 1)["weight"] == [0, 0, 1, 0]
    check_heads(state(page), 1, 3)
    check_heads(state(page, 1), 3, 10)
    # A notebook takes outputs out of the page and puts them back.
    page.evaluate("document.querySelector('main').append(document.querySelector('figure'))")
    check(numbers(page, 1))
    assert page.get_by_role("slider").count() == 2 * 2 + 2 * 2


def test_a_figure_comes_alive_when_it_is_put_into_a_page(shared_page):
    """As JupyterLab does it: the HTML first, then its scripts."""
    shared_page.set_content("<main></main>")
    shared_page.evaluate(
        """html => {
          document.querySelector('main').innerHTML = html;
          for (const old of document.querySelectorAll('script')) {
            const script = document.createElement('script');
            script.textContent = old.textContent;
            old.replaceWith(script);
          }
        }""",
        ATTENTION.content + LOOKUP.content + HEADS.content + MASKS.content,
    )
    check_attention(seen(shared_page), STATES, 0, 1, 1)
    check_masks(panels(shared_page), 1)
    check(numbers(shared_page))
    check_heads(state(shared_page), 1, 3)


def test_without_javascript_there_are_tables(show):
    page = show(LOOKUP, HEADS, MASKS, ATTENTION, java_script_enabled=False)
    assert page.get_by_role("table").count() == 5 + 3 + 2
    assert page.get_by_role("table", name="what node 1 attends to").is_visible()
    assert page.get_by_role("table", name="scores of all pairs").is_visible()
    assert page.get_by_role("cell", name="(1.32, −0.37)").is_visible()
    for name, mask in UNDER.items():
        cells = page.get_by_role("table", name=name).locator("tbody td")
        hatched = "all => all.map(e => getComputedStyle(e).backgroundImage.includes('gradient'))"
        assert cells.evaluate_all(hatched) == (~mask).flatten().tolist()
    assert page.get_by_role("slider").count() == 0
    assert page.get_by_role("columnheader", name="weight at temperature τ").is_visible()
    assert page.get_by_role("table", name="head 4").is_visible()


def test_on_paper_a_lookup_and_graph_attention_are_their_tables(show):
    page = show(LOOKUP, HEADS, ATTENTION)
    stills = page.locator("table.gat-still").all()
    assert [still.is_visible() for still in stills] == [False] * 3
    page.emulate_media(media="print")
    assert [still.is_visible() for still in stills] == [True] * 3
    assert page.get_by_role("slider").count() == 0
    assert page.get_by_role("button", name="chased").is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [704, 390])
def test_axe_finds_nothing(show, axe, theme, width):
    """Every figure, with its tables open, and graph attention at each of its steps."""
    steps = [
        graph_attention(FIVE, torch.tensor(STATES), W, A, list("12345"), f"step {k}", step=k)
        for k in (1, 2, 3, 4, 5)
    ]
    page = show(
        *(LOOKUP, HEADS, ACROSS, MASKS, *steps),
        theme=theme,
        viewport={"width": width, "height": 844},
    )
    for summary in page.locator("summary").all():
        summary.click()
    assert [seen(page, k)["step"] for k in range(5)] == [[1], [2], [3], [4], [5]]
    assert axe(page, OF_A_SCHEME if theme == "dark" else ()) == {}


@pytest.mark.parametrize("scripts", [True, False])
def test_figures_fit_a_phone(show, scripts):
    page = show(
        *(LOOKUP, HEADS, ACROSS, MASKS, ATTENTION),
        viewport={"width": 360, "height": 740},
        java_script_enabled=scripts,
    )
    for summary in page.locator("summary").all():
        summary.click()
    for step in range(5 if scripts else 1):
        if scripts:
            page.locator("gat-attention [type=radio]").nth(step).check()
        out = page.locator("figure *").evaluate_all(
            """all => all.flatMap(e => [e, ...(e.shadowRoot?.querySelectorAll('*') ?? [])])
                 .filter(e => e.getBoundingClientRect().right > 361).map(e => e.outerHTML)"""
        )
        assert out == []
        assert page.evaluate("document.documentElement.scrollWidth") == 360
    cut = page.locator("button, span.word")
    assert not any(cut.evaluate_all("all => all.map(e => e.scrollWidth > e.clientWidth)"))


# The figure, how many targets it has, and those that are too small: elements of less than 40 CSS
# px, and all where a finger almost 20 px beside the middle finds something else. One figure at a
# time is shown, because finding what lies at a point takes longer the more there is on the page.
TARGETS = (
    "button, select, summary, label:has([type=radio]), input:not([type=radio]), "
    "[role=button], [role=slider], tr:has(td[title]), td[data-i]"
)
TOO_SMALL = """targets => [...document.querySelectorAll('[data-figure]')].map((figure, _, all_) => {
  for (const other of all_) other.style.display = other === figure ? '' : 'none';
  const root = figure.shadowRoot;
  const all = [...root.querySelectorAll(targets)].filter(e =>
    e.checkVisibility({visibilityProperty: true}));
  const small = all.flatMap(e => {
    const drawn = e.ownerSVGElement, part = e.querySelector('circle') ?? e;
    const { top, bottom } = part.getBoundingClientRect();
    if (top < 50 || bottom > innerHeight - 200) scrollTo(0, scrollY + top - 50);
    const box = part.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const far = drawn ? 19.9 : 19; // only what is drawn may lie between two pixels
    const beside = [[0, 0], [-far, 0], [far, 0], [0, -far], [0, far]].filter(([a, b]) =>
      !e.contains(root.elementFromPoint(x + a, y + b)));
    const fits = drawn || Math.min(box.width, box.height) > 39.9;
    return fits && !beside.length ? [] :
      [[e.outerHTML.slice(0, 90), box.width, box.height, beside]];
  });
  return [figure.localName, all.length, small];
})"""


@pytest.mark.parametrize(
    ("touch", "widths"),
    slow_but(
        [(False, (390,)), (True, (688,))],
        [(False, (390,)), (False, (360,)), (True, (688,)), (True, (360, 390, 640, 704, 820))],
    ),
)
def test_every_target_is_large_enough_for_a_finger(show, touch, widths):
    """On a phone always; on a wider page where the main pointer is a finger."""
    eye = torch.eye(4)
    near = [[3 - (k in (0, 7)) for k in line] for line in (range(8), range(8))]
    alone = [[0] * (a * b - 1) + [100] for a in near[0] for b in near[1]]
    counts = {
        "gat-lookup": {2 + 1 + 1},
        "gat-heads": {4 + 11 + 1},
        "gat-masks": {3 * (7 + 7 + 7)},
        "gat-attention": {17, 17 + 30, 17 + 30 + 5},  # nodes, pairs, keys
        "gat-decoder": {4},
        "gat-gru-cell": {4},
        "gat-message-passing": {4 + 5 + 5 + 1 + 6},
        "gat-minefield": {64 + 1},
        "gat-pronounce": {2 + 2},
        "gat-receptive-field": {64 + 15 + 1},
    }
    page = show(
        *(LOOKUP, HEADS, MASKS, gru_cell("a GRU")),
        *(
            graph_attention(FIVE, torch.tensor(STATES), W, A, list("12345"), "five", step=step)
            for step in range(1, 6)
        ),
        decoder(torch.eye(5), WORDS[:5], WORDS[:5], "word by word"),
        message_passing(FIVE_ALONE, torch.arange(5.0)[:, None], list("12345"), "one round"),
        *(
            self_attention(eye, eye, eye, eye, ["dog", "chased", "the", "cat"], "words", step=step)
            for step in range(1, 9)
        ),
        pronounce(
            *(["a", "be"], [["AH"], ["B IY"]], {"attention": ["AH", "B IY"]}),
            *([[[100], [100]], [[90, 10], [0, 100], [50, 50]]], [True, False]),
            *("a", "two words"),
            examples=["a", "be"],
        ),
        minefield(["1"] * 64, [False] * 64, [9] * 64, [alone], "a board"),
        receptive_field(*scale_free(), "what is needed"),
        viewport={"width": widths[0], "height": 3000},
        has_touch=touch,
    )
    for width in widths:
        page.set_viewport_size({"width": width, "height": 3000})
        page.wait_for_timeout(100)
        found = page.evaluate(TOO_SMALL, TARGETS)
        assert [(width, name, small) for name, _, small in found if small] == []
        assert all(count in counts.get(name, {count}) for name, count, _ in found)


def test_what_is_touched_shows_its_focus(show):
    page = show(LOOKUP, HEADS, MASKS, ATTENTION)
    for _ in range(1 + 5 + 6 + 9):
        page.keyboard.press("Tab")
        outline = page.evaluate(
            """() => {
              const focus = document.activeElement.shadowRoot.activeElement;
              const style = getComputedStyle(focus);
              return [style.outlineStyle, parseFloat(style.outlineWidth)];
            }"""
        )
        assert outline == ["solid", 3]


def test_tables_of_two_roles_keep_their_colours(show):
    eye = torch.eye(2)
    page = show(
        heatmap(eye, "ab", "ab", "queries", role="query"),
        HEADS,
        heatmap(eye, "ab", "ab", "values", role="value"),
    )
    colors = [
        page.locator(f"table[aria-label={name}] tbody td").first.evaluate(
            "cell => getComputedStyle(cell).backgroundColor"
        )
        for name in ("queries", "values")
    ]
    assert len(set(colors)) == 2


def test_a_mouse_that_passes_by_does_not_move_the_keyboard(show):
    page = show(HEADS)
    words = page.locator("gat-heads button")
    words.nth(3).focus()
    page.keyboard.press("ArrowDown")
    words.nth(0).hover()
    assert words.nth(4).get_attribute("aria-pressed") == "true"
    assert words.nth(4).get_attribute("tabindex") == "0"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.shadowRoot.activeElement.type") == "radio"
