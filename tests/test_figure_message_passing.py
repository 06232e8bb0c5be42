"""Chapter 7's figure: what it shows is what gatutils aggregates, combines and reads out."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
import torch
from helpers import OF_A_SCHEME, slow_but

from gatutils.book.figures import message_passing
from gatutils.graph import Graph
from gatutils.message_passing import aggregate, readout

LINKS = [(0, 1), (0, 2), (1, 2), (2, 3)]
GRAPH = Graph.from_edges(LINKS, 5, undirected=True)
STATES = [1, 2, 3, 10, 5]
PLACES = [(0, 1), (0, 0), (0.9, 0.5), (1.9, 0.8), (1.9, 0)]
WAYS = ("sum", "mean", "max")


def figure(graph=GRAPH, states=STATES, names=tuple("01234"), alt="one round", **options):
    given: dict[str, Any] = {"start": 2, "positions": PLACES} | options
    numbers = torch.tensor(states, dtype=torch.float32).unsqueeze(1)
    return message_passing(graph, numbers, list(names), alt, **given)


FIGURE = figure()

# What the figure shows; text that is hidden is not there.
SEEN = """figure => {
  const root = figure.shadowRoot, all = s => [...root.querySelectorAll(s)];
  const where = (elements, test) => elements.flatMap((e, k) => test(e) ? [k] : []);
  const plain = e => e.textContent.replaceAll('\\u00a0', ' ').trim();
  const pressed = list => where(list, e => e.getAttribute('aria-pressed') === 'true');
  return {
    step: pressed(all('.steps button')).map(k => k + 1),
    chosen: pressed(all('.node')),
    ways: all('.ways').map(ways => pressed([...ways.children])),
    stops: ['.steps button', '.node'].map(s => all(s).filter(e => e.tabIndex === 0).length),
    table: all('tbody tr').map(row => [...row.cells].slice(2).map(cell =>
      getComputedStyle(cell).visibility === 'visible' ? plain(cell) : null)),
    sliders: all('input').map(e => [Number(e.value), e.getAttribute('aria-valuetext')]),
    nodes: all('.node').map(n => [...n.querySelectorAll('text')].map(plain).filter(Boolean)),
    labels: all('.node').map(n => n.getAttribute('aria-label')),
    arrows: all('.chip').map(e => [Number(e.dataset.from), plain(e)]),
    heads: all('.sent polygon').length,
    sends: where(all('tbody tr'), e => e.classList.contains('sends')),
    sums: all('.sum').map(plain),
    now: where(all('.sums > div'), e => e.classList.contains('now')),
    readout: plain(root.querySelector('.summary')),
    says: plain(root.querySelector('[aria-live=polite]')),
  };
}"""


def seen(page):
    """What the figure shows now."""
    return page.locator("gat-message-passing").evaluate(SEEN)


def two(number):
    """A number as the figure writes it."""
    return str(Decimal(number).quantize(Decimal("0.01"), ROUND_HALF_UP)).rstrip("0").rstrip(".")


def by_hand(numbers, way, result):
    """An aggregation, written out."""
    if not numbers:
        return "0"
    if way == "max":
        return f"max({', '.join(map(two, numbers))}) = {two(result)}"
    terms = " + ".join(map(two, numbers))
    if way == "mean":
        return f"({terms}) / {len(numbers)} = {two(result)}"
    return f"{terms} = {two(result)}" if len(numbers) > 1 else two(result)


def check(found, states, chosen, step, aggr="sum", pooling="sum", graph=GRAPH):
    """Everything that the figure shows is what the package computes."""
    n = graph.num_nodes
    h = torch.tensor(states, dtype=torch.float64).unsqueeze(1)
    c = aggregate(h, graph, aggr)
    new = h + c
    summary = readout(new, graph, pooling).item()
    old, got, fresh = (x.flatten().tolist() for x in (h, c, new))
    near = graph.source[graph.target == chosen].tolist()

    assert (found["step"], found["chosen"], found["stops"]) == ([step], [chosen], [1, 1])
    assert found["ways"] == [[WAYS.index(aggr)], [WAYS.index(pooling)]]
    assert found["table"] == [
        [two(old[i]), two(got[i]) if step > 1 else None, two(fresh[i]) if step > 2 else None]
        for i in range(n)
    ]
    assert [value for value, _ in found["sliders"]] == old
    assert [said for _, said in found["sliders"]] == [
        two(old[i]) + (f"; new state {two(fresh[i])}" if step > 2 else "") for i in range(n)
    ]
    sent = near if step in (2, 3) else []
    assert found["arrows"] == [[j, two(old[j])] for j in sent]
    assert (found["heads"], found["sends"]) == (len(sent), sorted(sent))
    for i, (name, *lines) in enumerate(found["nodes"]):
        assert name == f"node {i}"
        if step == 4:
            assert lines == [two(fresh[i])]
        elif i != chosen or step == 1:
            assert lines == [two(old[i])]
        elif step == 2:
            assert sorted(lines) == sorted([two(old[i]), f"c = {two(got[i])}"])
        else:
            assert lines == [f"{two(old[i])} + {two(got[i])}", two(fresh[i])]
        last = step == 4 or (step == 3 and i == chosen)
        label = f"new state {two(fresh[i])}" if last else f"state {two(old[i])}"
        assert found["labels"][i] == f"node {i}, {label}"
    lines = [
        f"c{chosen} = {by_hand([old[j] for j in near], aggr, got[chosen])}"
        + ("" if near else ", no neighbours"),
        f"h′{chosen} = h{chosen} + c{chosen} = {two(old[chosen])} + {two(got[chosen])} = "
        + two(fresh[chosen]),
        by_hand(fresh, pooling, summary),
    ]
    assert found["sums"] == [line if step > k + 1 else "" for k, line in enumerate(lines)]
    assert found["now"] == [step - 2] * (step > 1)
    assert found["readout"] == (f"readout {two(summary)}" if step == 4 else "")


def test_it_opens_with_a_new_state_made_of_the_neighbours_and_its_own(show):
    found = seen(show(FIGURE))
    check(found, STATES, 2, 3)
    assert found["sums"] == ["c2 = 1 + 2 + 10 = 13", "h′2 = h2 + c2 = 3 + 13 = 16", ""]
    assert found["table"][4] == ["5", "0", "5"]  # nobody sends anything to node 4


STEPS = ("1 states", "2 aggregate", "3 combine", "4 readout")


@pytest.mark.parametrize("aggr", slow_but(["mean"], WAYS))
def test_every_node_step_and_choice_is_the_packages(show, aggr):
    page = show(FIGURE)
    states = [4, 0, 7, 9, 2]
    for i, state in enumerate(states):
        page.get_by_role("slider", name=f"state of node {i}").fill(str(state))
    page.get_by_role("group", name="aggregate").get_by_role("button", name=aggr).click()
    for step, name in enumerate(STEPS, start=1):
        page.get_by_role("button", name=name).click()
        for chosen in range(5):
            page.get_by_role("button", name=f"node {chosen}, ").click()
            check(seen(page), states, chosen, step, aggr)
    for pooling in WAYS:
        page.get_by_role("group", name="readout").get_by_role("button", name=pooling).click()
        check(seen(page), states, 4, 4, aggr, pooling)
    page.get_by_role("button", name="reset").click()
    check(seen(page), STATES, 4, 4, aggr, "max")


def test_edges_of_one_direction_and_large_states(show):
    graph = Graph.from_edges([(0, 1), (2, 1), (1, 2), (3, 2)], 4)
    page = show(figure(graph, [4, 33, 7, 20], "0123", positions=None, aggr="mean", pooling="max"))
    check(seen(page), [4, 33, 7, 20], 2, 3, "mean", "max", graph)
    drawn = page.locator("gat-message-passing .edges")
    assert drawn.locator("path").count() == 3  # a pair each way is one line
    assert drawn.locator("polygon").count() == 2
    page.get_by_role("slider", name="state of node 3").press("End")
    check(seen(page), [4, 33, 7, 33], 2, 3, "mean", "max", graph)  # up to the largest given
    page.get_by_role("slider", name="state of node 3").press("Home")
    check(seen(page), [4, 33, 7, 0], 2, 3, "mean", "max", graph)


SAID = {
    (2, 1): "Node 2 has the state 3. It will receive the states of its neighbours 0, 1 and 3.",
    (3, 1): "Node 3 has the state 10. It will receive the state of its only neighbour, node 2.",
    (4, 1): "Node 4 has the state 5 and no neighbours.",
    (2, 2): "Node 2 receives the states 1, 2 and 10 of its neighbours 0, 1 and 3; "
    "their maximum is 10.",
    (3, 2): "Node 3 receives the state 3 of its only neighbour, node 2.",
    (4, 2): "Node 4 has no neighbours, so it receives 0.",
    (2, 3): "Node 2 adds what it receives to its own state: 3 + 10 = 13. "
    "All nodes do so at the same time, from the old states.",
    (4, 3): "Node 4 has no neighbours and receives 0, so its new state is its old one, 5.",
    (0, 4): "The readout turns the new states of all nodes into one number for the whole graph: "
    "their mean is 8.",
}


@pytest.mark.parametrize(("node", "step"), SAID)
def test_the_sentence_says_what_happens(show, node, step):
    page = show(figure(start=node, step=step, aggr="max", pooling="mean"))
    assert seen(page)["says"] == SAID[node, step]
    page.locator("gat-message-passing").evaluate(
        """figure => new MutationObserver(() => window.said = true).observe(
             figure.shadowRoot.querySelector('[aria-live]'), {childList: true, subtree: true})"""
    )
    page.get_by_role("button", name=f"node {node}, ").click()
    assert not page.evaluate("window.said")  # nothing changed, so nothing is said again


def test_all_of_it_works_by_keyboard(show):
    page = show(FIGURE)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    check(seen(page), STATES, 2, 2)
    page.keyboard.press("End")
    check(seen(page), STATES, 2, 4)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")  # the graph is one stop
    page.evaluate("addEventListener('keydown', e => window.kept = e.defaultPrevented)")
    for key, chosen in (("ArrowRight", 3), ("End", 4), (" ", 4), ("Home", 0), ("ArrowDown", 1)):
        page.keyboard.press(key)
        assert page.evaluate("kept")  # the choice moves, the page does not
        check(seen(page), STATES, chosen, 3)
    page.keyboard.press("Tab")  # reset
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    check(seen(page), [2, 2, 3, 10, 5], 1, 3)
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("Home")
    check(seen(page), [2, 2, 3, 10, 0], 1, 3)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    check(seen(page), [2, 2, 3, 10, 0], 1, 3, "mean")
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    check(seen(page), [2, 2, 3, 10, 0], 1, 3, "mean", "max")


def moving(page):
    """How many things move a moment after another node is chosen and a state is changed."""
    return page.locator("gat-message-passing").evaluate(
        """figure => {
          const root = figure.shadowRoot;
          root.querySelectorAll('.node')[0].dispatchEvent(new MouseEvent('click'));
          const slider = root.querySelectorAll('input')[3];
          slider.value = 4;
          slider.dispatchEvent(new Event('input'));
          const scripted = root.getAnimations().filter(a => !(a instanceof CSSTransition));
          return [scripted.filter(a => a.effect.target.localName === 'g').length,
            scripted.filter(a => a.effect.target.localName === 'td').length,
            Math.max(0, ...scripted.map(a => a.effect.getTiming().duration))];
        }"""
    )


def test_nothing_fades_where_motion_is_unwanted(show):
    fading = """figure => [...figure.shadowRoot.querySelectorAll('.live *')].some(e =>
      getComputedStyle(e).transitionDuration !== '0s')"""
    assert show(FIGURE).locator("gat-message-passing").evaluate(fading)
    calm = show(FIGURE, reduced_motion="reduce")
    assert not calm.locator("gat-message-passing").evaluate(fading)


def test_numbers_travel_along_the_arrows_and_what_changes_lights_up(show):
    # Node 0 hears from two; a new state of node 3 changes c of node 2 and the states of both.
    assert moving(show(FIGURE)) == [2, 3, 400]
    assert moving(show(FIGURE, reduced_motion="reduce")) == [0, 0, 0]


def test_without_javascript_and_on_paper_it_is_a_table(show):
    page = show(FIGURE, java_script_enabled=False, viewport={"width": 390, "height": 844})
    table = page.get_by_role("table", name="One round of message passing")
    rows = [
        [cell.inner_text() for cell in row.locator("th, td").all()]
        for row in table.locator("tbody tr, tfoot tr").all()
    ]
    assert rows == [
        ["0", "1, 2", "1", "2 + 3 = 5", "1 + 5 = 6"],
        ["1", "0, 2", "2", "1 + 3 = 4", "2 + 4 = 6"],
        ["2", "0, 1, 3", "3", "1 + 2 + 10 = 13", "3 + 13 = 16"],
        ["3", "2", "10", "3", "10 + 3 = 13"],
        ["4", "none", "5", "0", "5 + 0 = 5"],
        ["readout, sum", "6 + 6 + 16 + 13 + 5 = 46"],
    ]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    live = show(FIGURE)
    assert not live.locator("table.gat-still").is_visible()
    live.emulate_media(media="print")
    assert live.locator("table.gat-still").is_visible()
    assert live.get_by_role("slider").count() == 0


@pytest.mark.parametrize("aggr", ["mean", "max"])
def test_the_table_without_javascript_writes_every_aggregation(aggr):
    content = figure(aggr=aggr, pooling=aggr).content
    c = aggregate(torch.tensor(STATES).double().unsqueeze(1), GRAPH, aggr)
    new = torch.tensor(STATES) + c.flatten()
    sent = {"mean": "(1 + 2 + 10) / 3 = 4.33", "max": "max(1, 2, 10) = 10"}[aggr]
    assert f"<td>{sent}</td>" in content
    assert by_hand(new.tolist(), aggr, getattr(new, aggr)().item()) in content


def test_names_are_text_never_html(show):
    page = show(figure(names=["<b>", *"1234"]))
    assert page.get_by_role("button", name="node <b>, state 1", exact=True).is_visible()
    assert page.get_by_role("rowheader", name="<b>", exact=True).is_visible()
    assert seen(page)["says"].startswith("Node 2 adds")
    page.get_by_role("button", name="node <b>").click()
    assert seen(page)["sums"][0] == "c<b> = 2 + 3 = 5"


def test_it_is_the_same_each_time():
    assert figure() == figure()


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [704, 390])
def test_axe_finds_nothing(show, axe, theme, width):
    steps = [figure(alt=f"step {k}", step=k) for k in (1, 2, 3, 4)]
    page = show(*steps, theme=theme, viewport={"width": width, "height": 844})
    assert axe(page, OF_A_SCHEME if theme == "dark" else ()) == {}


def test_it_fits_a_phone(show):
    page = show(figure(aggr="mean", pooling="mean", step=4), viewport={"width": 360, "height": 740})
    small = """figure => [...figure.shadowRoot.querySelectorAll('*')].filter(e =>
      [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.checkVisibility()
      && e.localName !== 'style').map(e => parseFloat(getComputedStyle(e).fontSize) *
      (e.closest('svg') ? e.closest('svg').getScreenCTM().a : 1))"""
    for step in STEPS:
        page.get_by_role("button", name=step).click()
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert min(page.locator("gat-message-passing").evaluate(small)) > 11.9


def test_numbers_stay_inside_their_nodes(show):
    page = show(figure(states=[29, 12, 10, 99, 5], aggr="mean"))
    for step in STEPS:
        page.get_by_role("button", name=step).click()
        inside = page.locator("gat-message-passing .node").evaluate_all(
            """all => all.map(node => {
                 const [circle, ...texts] = [...node.children].map(e => e.getBBox());
                 const r = circle.width / 2;
                 return texts.filter(t => t.width).every(t => [-1, 1].every(side =>
                   Math.hypot(t.width / 2, side < 0 ? t.y + 4 : t.y + t.height - 4) < r));
               })"""
        )
        assert all(inside)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"graph": "a graph"}, "graph: expected a Graph"),
        ({"graph": Graph.from_edges([(0, 0)], 5)}, "graph: expected no self-loop"),
        ({"graph": Graph.from_edges([(0, 1), (0, 1)], 5)}, "graph: expected each edge once"),
        ({"graph": Graph.from_edges([], 0)}, "graph: expected one node or more"),
        ({"states": [1, 2, 3]}, "states: expected shape"),
        ({"states": [1, 2, 3, 4.5, 5]}, "states: expected whole numbers"),
        ({"states": [1, 2, 3, float("nan"), 5]}, "states: expected whole numbers"),
        ({"states": [1, 2, 3, 100, 5]}, "states: expected whole numbers"),
        ({"states": [1, 2, 3, -1, 5]}, "states: expected whole numbers"),
        ({"names": "0123"}, "names: expected 5 names"),
        ({"alt": " "}, "alt: expected a sentence"),
        ({"start": 5}, "start: expected at most 4"),
        ({"start": 1.0}, "start: expected an int"),
        ({"step": 0}, "step: expected an int of at least 1"),
        ({"step": 5}, "step: expected at most 4"),
        ({"aggr": "symmetric"}, "aggr: expected 'sum', 'mean' or 'max'"),
        ({"pooling": "last"}, "pooling: expected 'sum', 'mean' or 'max'"),
        ({"positions": [(0, 0), (2, 0), (1, 0), (3, 1), (4, 1)]}, "positions: expected no edge"),
        ({"positions": [(0, 0)] * 5}, "positions: expected a place of its own"),
        ({"tolerance": 2.0}, "tolerance: expected"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        figure(**options)
