"""Chapter 12's figure: the nodes that it counts are those that the package would sample."""

from collections import Counter
from typing import Any

import networkx as nx
import pytest
import torch
from helpers import OF_A_SCHEME, html_of, multigraphs, pairs, plain
from hypothesis import given
from hypothesis import strategies as st

from gatutils.book.figures import receptive_field
from gatutils.book.figures.receptive_field import LAYERS, sampled
from gatutils.book.tasks.graphs import scale_free
from gatutils.graph import Graph
from gatutils.interop import from_networkx

GRAPH, PLACES = scale_free()
FANOUTS = (1, 2, 3, 4, None)
START, FEATURES, DRAW = 21, 128, 4


def figure(graph=GRAPH, positions=PLACES, alt="what it <needs>", **options):
    given: dict[str, Any] = {"start": START, "draw": DRAW} | options
    return receptive_field(graph, positions, alt, **given)


FIGURE = figure()
SHOWN = """figure => {
  const root = figure.shadowRoot, all = s => [...root.querySelectorAll(s)];
  const text = e => e.innerText.replace(/\\s+/g, ' ').trim();
  const seen = e => getComputedStyle(e).visibility === 'visible';
  const where = (elements, test) => elements.flatMap((e, k) => test(e) ? [k] : []);
  const nodes = all('.node'), cells = all('.choice button');
  const drawn = k => all(`.used > g:nth-last-child(${k}) > g`).map(e => e.dataset.edge);
  return {
    pressed: [nodes, cells].map(l => where(l, e => e.getAttribute('aria-pressed') === 'true')),
    stops: [nodes, cells].map(l => where(l, e => e.tabIndex === 0)),
    focus: [nodes, cells].map(l => l.indexOf(root.activeElement)),
    labels: nodes.map(e => e.getAttribute('aria-label')),
    hops: nodes.map(e => e.matches('.needed') ? e.querySelector('text').textContent : ''),
    classes: nodes.map(e => e.getAttribute('class')),
    counts: cells.map(text),
    named: cells.map(e => e.getAttribute('aria-label')),
    bars: cells.map(e => e.querySelector('i').style.width),
    used: all('.used > g').map((_, k) => drawn(k + 1)),
    rows: all('.count tbody tr').filter(seen).map(row => [...row.cells].map(text)),
    sums: all('.count tfoot td').map(text),
    says: text(root.querySelector('.says')),
  };
}"""


def shown(page, at=0):
    return page.locator("gat-receptive-field").nth(at).evaluate(SHOWN)


def sources_of(graph):
    return [graph.source[graph.target == i].tolist() for i in range(graph.num_nodes)]


SOURCES = sources_of(GRAPH)
ORDER = sorted(range(64), key=lambda i: (-PLACES[i][1], PLACES[i][0]))  # as one reads


def plural(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"


def check(found, node, layers, fanout, draw=DRAW):
    """All that is shown is what this sample needs."""
    n, row = len(SOURCES), FANOUTS.index(fanout)
    chosen = [[ORDER.index(node)], [row * LAYERS + layers - 1]]
    assert (found["pressed"], found["stops"]) == (chosen, chosen)
    hops, drawn = sampled(SOURCES, node, [fanout] * layers, draw)
    if fanout is None:
        near = GRAPH.neighborhood(torch.tensor([node]), layers)
        assert set(hops) == set(near.nodes.tolist())
    assert found["hops"] == [str(hops.get(i, "")) for i in ORDER]
    assert found["classes"] == [f"node needed hop{hops[i]}" if i in hops else "node" for i in ORDER]
    assert found["labels"] == [
        f"node {i}: " + (f"hop {hops[i]}" if i in hops else "not needed") for i in ORDER
    ]
    counts = [
        len(sampled(SOURCES, node, [size] * k, draw)[0]) for size in FANOUTS for k in (1, 2, 3)
    ]
    assert found["counts"] == [str(count) for count in counts]
    assert [float(bar.removesuffix("%")) for bar in found["bars"]] == pytest.approx(
        [100 * count / n for count in counts], abs=1e-3
    )
    assert found["named"] == [
        f"{plural(k + 1, 'layer')}, fan-out {size or 'all'}: "
        + plural(counts[at * LAYERS + k], "node")
        for at, size in enumerate(FANOUTS)
        for k in range(LAYERS)
    ]
    seen: set[tuple[int, int]] = set()
    for edges, lines in zip(drawn, found["used"], strict=True):  # each edge once, where first used
        assert lines == [f"{j},{i}" for j, i in edges if (j, i) not in seen]
        seen |= set(edges)
    reached = Counter(hops.values())
    assert found["rows"] == [
        [str(hop), str(reached[hop]), str(len(edges))] for hop, edges in enumerate([[], *drawn])
    ]
    size = 4 * FEATURES
    assert found["sums"] == [
        f"{len(hops)} of {n}",
        str(sum(map(len, drawn))),
        f"{len(hops) * size:,} of {n * size:,} bytes",
    ]
    also = counts[(FANOUTS.index(2) if fanout is None else FANOUTS.index(None)) * 3 + layers - 1]
    ways = ["all neighbours", f"a fan-out of {fanout or 2}"]
    here, there = ways if fanout is None else reversed(ways)
    assert found["says"] == (
        f"The outlined node has {plural(len(SOURCES[node]), 'neighbour')}. With "
        f"{plural(layers, 'layer')} and {here}, its new state depends on the features of "
        f"{len(hops)} of {n} nodes, {(200 * len(hops) + n) // (2 * n)} % of the bytes; with "
        f"{there}, on {also}."
    )


# ---- What is sampled -----------------------------------------------------------------------------


@given(
    multigraphs(least=1),
    st.lists(st.integers(0, 4) | st.none(), min_size=1, max_size=3),
    st.data(),
)
def test_each_hop_is_a_block_of_the_packages_sampling(drawn, sizes, data):
    """Each node reached so far receives from as many sources, which are its own."""
    graph = plain(drawn[0], sorted(set(drawn[1])))
    node, draw = data.draw(st.integers(0, drawn[0] - 1)), data.draw(st.integers(0, 99))
    hops, found = sampled(sources_of(graph), node, sizes, draw)
    blocks = graph.sample(torch.tensor([node]), [-1 if size is None else size for size in sizes])
    targets = {node}
    for hop, (edges, size) in enumerate(zip(found, sizes, strict=True), 1):
        assert set(edges) <= set(pairs(graph))
        assert len(set(edges)) == len(edges)
        degree = {i: int(graph.degree[i]) for i in targets}
        wanted = {i: d if size is None else min(d, size) for i, d in degree.items()}
        assert Counter(i for _, i in edges) == Counter(wanted)
        targets |= {j for j, _ in edges}
        assert targets == {i for i, first in hops.items() if first <= hop}
        if set(sizes[:hop]) == {None}:  # nothing was drawn so far, so the two are equal
            block = blocks[-hop]
            assert targets == set(block.sources.tolist())
            ends = graph.source[block.edges].tolist(), graph.target[block.edges].tolist()
            assert sorted(edges) == sorted(zip(*ends, strict=True))


def test_as_many_nodes_are_needed_as_in_the_packages_samples():
    """On the average of 50 draws; the two means differ with a standard error of at most 0.6."""
    for size in (1, 2, 4):
        ours = [len(sampled(SOURCES, START, [size] * 3, draw)[0]) for draw in range(50)]
        generator = torch.Generator().manual_seed(0)
        theirs = [
            len(GRAPH.sample(torch.tensor([START]), [size] * 3, generator)[0].sources)
            for _ in range(50)
        ]
        assert abs(sum(ours) - sum(theirs)) / 50 < 1.5


def test_each_neighbour_is_drawn_equally_often():
    hub = max(range(64), key=lambda i: len(SOURCES[i]))
    met = Counter(j for draw in range(600) for j, _ in sampled(SOURCES, hub, [3], draw)[1][0])
    assert set(met) == set(SOURCES[hub])
    expected = 3 * 600 / len(SOURCES[hub])
    assert all(abs(count - expected) < 5 * expected**0.5 for count in met.values())


def test_the_graph_is_the_one_that_is_named():
    named = from_networkx(nx.dual_barabasi_albert_graph(64, 1, 2, 0.6, seed=27))
    assert sorted(pairs(named)) == sorted(pairs(GRAPH))
    assert len(set(PLACES)) == GRAPH.num_nodes == 64
    assert {(x + y) % 2 for x, y in PLACES} in ({0}, {1})
    assert sorted(GRAPH.degree.tolist())[-4:] == [11, 12, 15, 17]


# ---- In a browser --------------------------------------------------------------------------------


def test_it_opens_with_nearly_the_whole_graph(show):
    found = shown(show(FIGURE, reduced_motion="reduce"))
    check(found, START, 3, None)
    assert found["sums"][0] == "61 of 64"
    assert found["counts"][-3:] == ["4", "23", "61"]
    assert found["counts"][3:6] == ["3", "6", "11"]


def test_every_choice_shows_its_own_sample(show):
    page = show(FIGURE, reduced_motion="reduce")
    cells, nodes = page.locator(".choice button"), page.locator(".node")
    for row, fanout in enumerate(FANOUTS):
        for layers in (1, 2, 3):
            cells.nth(row * LAYERS + layers - 1).click()
            check(shown(page), START, layers, fanout)
    cells.nth(5).click()
    for at in (0, 9, 33, 63):
        nodes.nth(at).click()
        check(shown(page), ORDER[at], 3, 2)
    for draw in range(DRAW + 1, DRAW + 4):
        page.get_by_role("button", name="draw again").click()
        check(shown(page), ORDER[63], 3, 2, draw)


def test_it_starts_as_it_is_told(show):
    page = show(figure(start=0, layers=2, fanout=3, draw=9), reduced_motion="reduce")
    check(shown(page), 0, 2, 3, 9)


def test_edges_of_one_direction_and_a_node_that_receives_nothing(show):
    graph = Graph.from_edges([(1, 0), (2, 1), (3, 2), (0, 3)], 5)
    places = [(0, 0), (3, 0), (6, 0), (9, 0), (12, 0)]
    page = show(figure(graph, places, start=0, fanouts=(1, None)), reduced_motion="reduce")
    found = shown(page)
    assert found["hops"] == ["0", "1", "2", "3", ""]
    assert found["used"] == [["1,0"], ["2,1"], ["3,2"]]
    assert "has 1 neighbour. " in found["says"]
    assert found["says"].endswith("with a fan-out of 1, on 4.")
    page.locator(".node").nth(4).click()
    found = shown(page)
    assert found["hops"] == ["", "", "", "", "0"]
    assert (found["used"], found["counts"]) == ([[], [], []], ["1"] * 6)


def test_the_graph_and_the_table_are_one_stop_each(show):
    page = show(FIGURE, reduced_motion="reduce")
    page.keyboard.press("Tab")
    at = ORDER.index(START)
    assert shown(page)["focus"] == [at, -1]
    page.evaluate("addEventListener('keydown', e => window.kept = e.defaultPrevented)")
    moves = ("ArrowRight", at + 1), ("ArrowUp", at), ("Home", 0), ("End", 63), (" ", 63)
    for key, to in moves:
        page.keyboard.press(key)
        assert page.evaluate("kept")  # the choice moves, the page does not
        found = shown(page)
        check(found, ORDER[to], 3, None)
        assert found["focus"] == [to, -1]
    page.keyboard.press("Tab")
    for key, layers, fanout in (
        ("ArrowUp", 3, 4),
        ("ArrowLeft", 2, 4),
        ("ArrowUp", 2, 3),
        ("Home", 2, 3),
        ("ArrowRight", 3, 3),
        ("ArrowRight", 3, 3),  # the end is the end
        ("ArrowDown", 3, 4),
    ):
        page.keyboard.press(key)
        found = shown(page)
        if key == "Home":
            assert found["pressed"][1] == [6]
            page.keyboard.press("ArrowRight")
        check(shown(page), ORDER[63], layers, fanout)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    check(shown(page), ORDER[63], 3, 4, DRAW + 1)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.localName") == "body"


def test_a_sentence_is_said_once(show):
    page = show(FIGURE, reduced_motion="reduce")
    page.locator("gat-receptive-field").evaluate(
        """figure => new MutationObserver(() => window.said = true).observe(
             figure.shadowRoot.querySelector('[aria-live]'), {childList: true, subtree: true})"""
    )
    page.locator(".choice button").nth(14).click()
    page.locator(".node").nth(ORDER.index(START)).click()
    assert not page.evaluate("window.said")  # nothing changed
    page.locator(".choice button").nth(13).click()
    assert page.evaluate("window.said")


@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
def test_it_moves_unless_the_reader_wants_no_motion(show, motion, moves):
    page = show(FIGURE, reduced_motion=motion)
    times = page.locator("gat-receptive-field :is(.node circle, .node text, .bar i)").evaluate_all(
        "all => all.flatMap(e => getComputedStyle(e).transitionDuration.split(', '))"
    )
    assert set(times) == {"0.25s" if moves else "0s"}
    fading = page.locator("gat-receptive-field").evaluate(
        """figure => {
             figure.shadowRoot.querySelectorAll('.choice button')[5].click();
             return figure.shadowRoot.getAnimations().filter(a => !(a instanceof CSSTransition))
               .map(a => a.effect.getTiming().duration);
           }"""
    )
    assert fading == [300] * 3 * moves


@pytest.mark.parametrize("width", [360, 390, 820, 1440])
def test_it_fits_with_text_that_is_large_enough(show, width):
    page = show(FIGURE, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    height = None
    for cell in (14, 5, 0):
        page.locator(".choice button").nth(cell).click()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        box = page.locator("gat-receptive-field").bounding_box()
        height = height or box["height"]
        assert box["height"] == pytest.approx(height, abs=1)  # nothing jumps
        sizes = page.locator("gat-receptive-field").evaluate(
            """figure => [...figure.shadowRoot.querySelectorAll('.live *')].filter(e =>
                 e.checkVisibility() &&
                 [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
                 .map(e => parseFloat(getComputedStyle(e).fontSize) *
                   (e.closest('svg') ? e.closest('svg').getScreenCTM().a : 1))"""
        )
        assert min(sizes) >= 12
        cut = page.locator("gat-receptive-field :is(th, td, button)").evaluate_all(
            "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML)"
        )
        assert cut == []


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [704, 390])
def test_axe_finds_nothing(show, axe, theme, width):
    page = show(
        FIGURE,
        figure(alt="a sample", fanout=2),
        theme=theme,
        viewport={"width": width, "height": 844},
        reduced_motion="reduce",
    )
    assert axe(page, OF_A_SCHEME if theme == "dark" else ()) == {}


def test_without_javascript_and_on_paper_it_is_two_tables(show):
    page = show(FIGURE, java_script_enabled=False, viewport={"width": 390, "height": 844})

    def rows(table):
        lines = table.locator("tbody tr, tfoot tr").all()
        return [line.locator("th, td").all_inner_texts() for line in lines]

    counts = [[len(sampled(SOURCES, START, [size] * k, DRAW)[0]) for k in (1, 2, 3)]
              for size in FANOUTS]  # fmt: skip
    assert rows(page.get_by_role("table", name="nodes needed, of 64")) == [
        [str(size or "all"), *map(str, row)] for size, row in zip(FANOUTS, counts, strict=True)
    ]
    degree = [len(near) for near in SOURCES]
    within = [GRAPH.neighborhood(torch.tensor([START]), k).nodes.tolist() for k in (0, 1, 2)]
    edges = [sum(degree[i] for i in nodes) for nodes in within]
    assert rows(page.get_by_role("table", name="3 layers, fan-out all")) == [
        ["0", "1", "0"],
        *([str(k), str(new), str(edges[k - 1])] for k, new in ((1, 3), (2, 19), (3, 38))),
        ["sum", "61 of 64", str(sum(edges))],
        ["features", "31,232 of 32,768 bytes"],
    ]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    live = show(FIGURE)
    assert live.locator("table.gat-still:visible").count() == 0
    live.emulate_media(media="print")
    assert live.locator("table.gat-still:visible").count() == 2
    assert live.get_by_role("button").count() == 0


def test_two_figures_do_not_disturb_each_other(show):
    page = show(FIGURE, figure(layers=1, fanout=2), reduced_motion="reduce")
    second = page.locator("gat-receptive-field").nth(1)
    second.get_by_role("button", name="draw again").click()
    check(shown(page), START, 3, None)
    check(shown(page, 1), START, 1, 2, DRAW + 1)


# ---- What is written, without a browser ----------------------------------------------------------


def test_the_html_is_the_same_on_every_run():
    assert figure()._repr_mimebundle_() == FIGURE._repr_mimebundle_()
    assert html_of(FIGURE).count("<gat-receptive-field") == 1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"graph": "a graph"}, "graph: expected a Graph, got str"),
        ({"graph": Graph.from_edges([(0, 0)], 64)}, "graph: expected no self-loop"),
        ({"graph": Graph.from_edges([(0, 1)] * 2, 64)}, "graph: expected each edge once"),
        ({"graph": Graph.from_edges([], 0)}, "graph: expected one node or more"),
        (
            {"graph": Graph.from_edges([(0, 1)], 64, num_sources=64)},
            "graph: expected targets that are its sources",
        ),
        ({"alt": " "}, "alt: expected a sentence"),
        ({"positions": PLACES[1:]}, "positions: expected 64 pairs"),
        ({"positions": [(k, k % 2) for k in range(64)]}, "positions: expected nodes 39.5 pixels"),
        ({"start": 64}, "start: expected at most 63, got 64"),
        ({"layers": 0}, "layers: expected an int of at least 1"),
        ({"layers": 4}, "layers: expected at most 3, got 4"),
        ({"features": 0}, "features: expected an int of at least 1"),
        ({"draw": -1}, "draw: expected an int of at least 0"),
        ({"draw": 1.0}, "draw: expected an int"),
        ({"fanout": 5}, "fanout: expected one of [1, 2, 3, 4, None], got 5"),
        ({"fanouts": 3}, "fanouts: expected a sequence"),
        ({"fanouts": (1, 2.0, None)}, "fanouts: expected an int, got 2.0"),
        ({"fanouts": (0, None)}, "fanouts: expected an int of at least 1"),
        ({"fanouts": (2, 1, None)}, "fanouts: expected increasing numbers, then None"),
        ({"fanouts": (1, 2), "fanout": 1}, "fanouts: expected increasing numbers, then None"),
        ({"fanouts": (None,)}, "fanouts: expected increasing numbers, then None"),
        ({"tolerance": 2.0}, "tolerance: expected"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    with pytest.raises((TypeError, ValueError)) as error:
        figure(**changed)
    assert message in str(error.value)
