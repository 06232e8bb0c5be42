"""The figure of graph attention: its pair of nodes, its matrix and its sum, driven in a browser."""

import functools
import itertools
import math
import re

import pytest
import torch
from helpers import pair_scores, slow_but
from test_figures import parts
from test_interactive_figures import (
    FIVE,
    STATES,
    A,
    W,
    two,
)

from gatutils.book.figures import circle, graph_attention
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv

# What the matrix, the list of keys and the panel of the step show; hidden text is not there.
SHOWN = """figure => {
  const root = figure.shadowRoot, all = s => [...root.querySelectorAll(s)];
  const one = s => root.querySelector(s), text = e => e.innerText.replaceAll('\\u00a0', ' ').trim();
  const pressed = s => all(s).flatMap((e, k) =>
    e.getAttribute('aria-pressed') === 'true' ? [k] : []);
  const style = (e, pseudo) => getComputedStyle(e, pseudo);
  const ends = e => e.dataset.vector.split(',').map(Number);
  return {
    node: pressed('.node'), row: pressed('.row'),
    entry: pressed('.entry'), key: pressed('.keys button'),
    stops: ['.node', '.row', '.entry', '.keys button'].map(s =>
      all(s).filter(e => e.getAttribute('tabindex') === '0').length),
    other: all('.node').flatMap((e, k) => e.classList.contains('other') ? [k] : []),
    legend: all('.graph p span').map(text),
    rows: all('.pairs tbody tr').flatMap((e, k) => e.className === 'chosen' ? [k] : []),
    caption: text(one('.pairs caption')),
    labels: all('.entry .label').map(text),
    entries: all('.entry .number').map(text),
    spoken: all('.entry').map(e => e.getAttribute('aria-label')),
    hatched: all('.entry').map(e => Number(style(e, '::before').opacity) > 0.5),
    shares: all('.entry').map(e => Number(e.style.getPropertyValue('--w'))),
    keys: all('.keys button').map(text),
    named: all('.keys button').map(e => e.getAttribute('aria-label')),
    bars: all('.track').map(e => Number(e.style.getPropertyValue('--w'))),
    lengths: all('.track').map(e => e.firstChild.getBoundingClientRect().width /
      e.getBoundingClientRect().width),
    strips: all('.strips tr').slice(1).map(row => [...row.cells].slice(1).map(text)),
    heads: all('.strips th').map(text),
    total: text(one('.total')), bent: text(one('.bent')),
    points: all('.points circle').map(e => [Number(e.dataset.raw), Number(e.dataset.score)]),
    drawn: all('.points circle').map(e =>
      e.style.transform.match(/[-\\d.]+(?=px)/g).map(Number)),
    curve: one('.curve .line').getAttribute('d').match(/[-\\d.]+/g).map(Number),
    projected: all('.project table').map(t =>
      [...t.tBodies[0].rows].map(row => [...row.cells].map(text))),
    vectors: all('.plane .arrows g').map(e => [e.classList[0], ...ends(e)]),
    plane: all('.plane .arrows polygon').map(e =>
      e.getAttribute('points').split(',').slice(0, 2).map(Number)),
    ticks: all('.plane text').map(e => e.textContent),
    lines: all('.equation .line').map(text),
    widths: all('.own path').map(e => Number(e.getAttribute('stroke-width'))),
    says: text(one('.says')),
  };
}"""

# What is shown at every step after a cell of the matrix has been chosen; the clicks are the page's
# own, because a browser's take a tenth of a second each.
EVERY_STEP = f"""(figure, cell) => {{
  const shown = {SHOWN};
  const radios = figure.shadowRoot.querySelectorAll('[type=radio]');
  radios[3].click();
  figure.shadowRoot.querySelectorAll('.entry')[cell].click();
  return [...radios].map(radio => (radio.click(), shown(figure)));
}}"""


def layer(features, slope=0.2):
    """The package's projected states, scores of all pairs, weights, and new states."""
    return _layer(tuple(map(tuple, features)), slope)


@functools.cache
def _layer(features, slope):
    conv = GATConv(2, 2, bias=False, negative_slope=slope).double()
    conv.W.data, conv.a.data = W.double().unsqueeze(0), A.double().unsqueeze(0)
    states = torch.tensor(features, dtype=torch.float64)
    new, weights = conv.dense(states, FIVE.mask())
    projected = conv.project(states)[0]
    return projected[:, 0], pair_scores(conv, projected)[0], weights[0], new


def figure(step=4, slope=0.2, **options):
    return graph_attention(
        FIVE,
        torch.tensor(STATES),
        W,
        A,
        list("12345"),
        "five nodes",
        step=step,
        slope=slope,
        **options,
    )


def shown(page, step=None):
    if step:
        page.locator("gat-attention [type=radio]").nth(step - 1).check()
    return page.locator("gat-attention").evaluate(SHOWN)


def short(x):
    return re.sub(r"\.?0+$", "", two(x))


def vector(row, write=short):
    return f"({', '.join(map(write, row))})"


def thousandths(x):
    return f"{x:z.3f}".replace("-", "−")


def check(found, features, i, j, step, slope=0.2):
    """Every number of the matrix and of the step's panel is the layer's."""
    projected, scores, weights, new = layer(features, slope)
    mask, states = FIVE.mask(), torch.tensor(features, dtype=torch.float64)
    assert (found["node"], found["row"], found["rows"]) == ([i], [i], [i])
    assert (found["entry"], found["key"], found["other"]) == ([5 * i + j], [j], [j])
    assert found["stops"] == [1, 1, 1, 1]
    assert found["legend"] == [f"query i = {i + 1}", f"key j = {j + 1}"]

    masked = (~mask if step > 2 else torch.zeros_like(mask)).flatten().tolist()
    assert found["hatched"] == masked
    table = weights if step > 3 else scores
    numbers = [
        "" if step == 1 else two(x) if not out else "0" if step > 3 else "−∞"
        for x, out in zip(table.flatten().tolist(), masked, strict=True)
    ]
    symbol = "α" if step > 3 else "e"
    pairs = list(itertools.product(range(1, 6), repeat=2))
    assert found["caption"].startswith("weights αij" if step > 3 else "scores eij")
    assert found["labels"] == [f"{symbol}{q}{k}" for q, k in pairs]
    assert found["entries"] == numbers
    word = "weight" if step > 3 else "score"
    assert found["spoken"] == [
        f"{word} of key {k} for query {q}: {'masked' if out else text or 'to be computed'}"
        for (q, k), out, text in zip(pairs, masked, numbers, strict=True)
    ]
    span = (scores - scores.min()) / (scores.max() - scores.min())
    share = weights if step > 3 else span if step > 1 else 0 * span
    shares = share.flatten().masked_fill(torch.tensor(masked), 0).tolist()
    assert found["shares"] == pytest.approx(shares, abs=1e-9)

    if step == 1:
        matrices = [W.tolist(), states.T.tolist(), projected.T.tolist()]
        assert found["projected"] == [[list(map(short, row)) for row in m] for m in matrices]
    if step in {2, 3, 4}:
        out = masked[5 * i : 5 * i + 5]
        both = torch.cat([projected[i], projected[j]])
        products = A.double() * both
        assert found["strips"] == [list(map(short, row.tolist())) for row in (both, A, products)]
        assert found["heads"][:2] == [f"query W h{i + 1}", f"key W h{j + 1}"]
        assert found["total"] == f"sum {two(products.sum().item())}"
        assert found["bent"] == f"e{i + 1}{j + 1} = {two(scores[i, j].item())}"
        raw = [(A.double() @ torch.cat([projected[i], key])).item() for key in projected]
        points = [(raw[k], scores[i, k].item()) for k in (*range(5), j)]
        for point, expected in zip(found["points"], points, strict=True):
            assert point == pytest.approx(expected, abs=1e-9)
        low, zero, high = zip(found["curve"][::2], found["curve"][1::2], strict=True)
        assert (low[1] - zero[1]) == pytest.approx(slope * (zero[0] - low[0]))
        assert (zero[1] - high[1]) == pytest.approx(high[0] - zero[0])
        reach = max(1, math.ceil(max(map(abs, raw))))
        unit = (high[0] - zero[0]) / reach
        for (x, y), (along, up) in zip(found["drawn"], points, strict=True):
            place = (zero[0] + unit * along, zero[1] - unit * up)
            assert (x, y) == pytest.approx(place, abs=0.01)  # on the curve
        bars = weights[i].tolist() if step > 3 else [0] * 5
        assert found["bars"] == pytest.approx(bars, abs=1e-9)
        assert found["lengths"] == pytest.approx(bars, abs=0.03)
        written = [
            [f"e{i + 1}{k + 1}", two(scores[i, k].item())]
            + ([] if step < 4 else ["0" if out[k] else two(weights[i, k].item())])
            for k in range(5)
        ]
        assert [text.split() for text in found["keys"]] == written
        assert found["named"] == [
            f"key {k + 1}: score {two(scores[i, k].item())}"
            + (", masked" if out[k] else f", weight {two(bars[k])}" if step > 3 else "")
            for k in range(5)
        ]
    if step == 5:
        near = mask[i].nonzero().flatten().tolist()
        vectors = [
            ["old", *features[i]],
            *(["term", *(weights[i, k] * projected[k]).tolist()] for k in near),
            ["sum", *new[i].tolist()],
        ]
        assert [kind for kind, *_ in found["vectors"]] == [kind for kind, *_ in vectors]
        for drawn, wanted in zip(found["vectors"], vectors, strict=True):
            assert drawn[1:] == pytest.approx(wanted[1:], abs=1e-9)
        terms = [
            f"{'+' if n else f'new state h′{i + 1}='} {thousandths(weights[i, k].item())} · "
            f"{vector(projected[k].tolist())}node {k + 1}"
            for n, k in enumerate(near)
        ]
        flat = [line.replace("\n", "") for line in found["lines"]]
        assert flat == [
            f"old state h{i + 1}= {vector(features[i])}",
            *terms,
            f"= {vector(new[i].tolist(), thousandths)}",
        ]
        assert found["widths"] == pytest.approx([1.25 + 5 * weights[i, k].item() for k in near])


def test_it_opens_on_the_weights_of_node_1(show):
    page = show(graph_attention(FIVE, torch.tensor(STATES), W, A, list("12345"), "five"))
    found = shown(page)
    check(found, STATES, 0, 1, 4)
    assert found["says"].endswith("= 0.52. Node 1 attends most to node 2.")


@pytest.mark.slow
@pytest.mark.parametrize("slope", [0.2, 0.0, 1.0])
def test_every_pair_and_step_shows_the_numbers_of_the_layer(show, slope):
    element = show(figure(slope=slope), reduced_motion="reduce").locator("gat-attention")
    for i, j in itertools.product(range(5), repeat=2):
        if slope != 0.2 and (i, j) not in {(0, 1), (3, 4)}:
            continue
        for step, found in enumerate(element.evaluate(EVERY_STEP, 5 * i + j), start=1):
            check(found, STATES, i, j, step, slope)


@pytest.mark.slow
def test_sliders_change_the_whole_matrix_and_every_panel(show):
    page = show(figure(), reduced_motion="reduce")
    features = [list(row) for row in STATES]
    for j, row in {1: (-2.0, 1.5), 4: (0.3, -0.7), 0: (0.0, 0.0)}.items():
        page.get_by_label("features of").select_option(index=j)
        for name, x in zip(("first", "second"), row, strict=True):
            page.get_by_role("slider", name=name).fill(str(x))
        features[j] = list(row)
        for step in (1, 2, 3, 4, 5):
            check(shown(page, step), features, 0, j, step)
    page.get_by_role("button", name="reset").click()
    check(shown(page), STATES, 0, 0, 5)


def test_a_row_a_cell_a_key_and_a_node_answer_together(show):
    page = show(figure(), reduced_motion="reduce")
    page.get_by_role("button", name="row 4", exact=True).click()
    check(shown(page), STATES, 3, 2, 4)  # node 4 does not attend to node 2
    page.get_by_role("button", name="weight of key 5 for query 4").click()
    check(shown(page), STATES, 3, 4, 4)
    page.get_by_role("button", name="key 1: score −0.30, masked").click()
    check(shown(page), STATES, 3, 0, 4)
    assert shown(page)["says"].startswith("α41 = 0, because e41 = −0.30 is masked.")
    page.get_by_role("button", name="node 5", exact=True).click()
    check(shown(page), STATES, 4, 3, 4)
    page.get_by_role("button", name="node 4", exact=True).click()
    check(shown(page), STATES, 3, 3, 4)  # to itself too: the key stays
    touch = show(figure(), has_touch=True, viewport={"width": 390, "height": 844})
    touch.get_by_role("button", name="weight of key 3 for query 2").tap()
    touch.wait_for_timeout(400)
    check(shown(touch), STATES, 1, 2, 4)


def test_the_matrix_and_the_keys_are_walked_by_keyboard(show):
    page = show(figure(), reduced_motion="reduce")
    page.evaluate("addEventListener('keydown', e => window.kept = e.defaultPrevented)")
    page.locator("gat-attention .entry").nth(1).focus()
    walks = (
        *(("ArrowRight", 0, 2), ("ArrowDown", 1, 2), ("ArrowDown", 2, 2), ("ArrowLeft", 2, 1)),
        *(
            ("End", 2, 4),
            ("ArrowRight", 2, 4),
            ("ArrowUp", 1, 4),
            ("Home", 1, 0),
            ("ArrowUp", 0, 0),
        ),
        ("ArrowUp", 0, 0),
    )
    for key, i, j in walks:
        page.keyboard.press(key)
        assert page.evaluate("kept")
        check(shown(page), STATES, i, j, 4)
    page.keyboard.press("Tab")  # the matrix is one stop, and so are the keys
    focus = "document.activeElement.shadowRoot.activeElement"
    for key, j in (("ArrowDown", 1), ("End", 4), ("ArrowUp", 3)):
        page.keyboard.press(key)
        check(shown(page), STATES, 0, j, 4)
        assert page.evaluate(f"{focus}.getAttribute('aria-label')").startswith(f"key {j + 1}:")
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focus}.localName") == "select"
    page.locator("gat-attention .row").nth(0).focus()
    page.keyboard.press("End")
    check(shown(page), STATES, 4, 3, 4)


def test_the_mask_fades_in_unless_the_reader_wants_no_motion(show):
    faded = "e => getComputedStyle(e, '::before').transitionDuration"
    entry = show(figure(step=2)).locator("gat-attention .entry").nth(4)
    assert entry.evaluate(faded) == "0.3s"
    still = show(figure(step=2), reduced_motion="reduce").locator("gat-attention .entry").nth(4)
    assert still.evaluate(faded) == "0s"


def test_the_sentence_says_what_is_highest_and_whether_all_are_alike(show):
    page = show(
        graph_attention(FIVE, torch.tensor(STATES), W, 0 * A, list("12345"), "a = 0", step=4)
    )
    assert shown(page)["says"].endswith("= 0.33. Node 1 gives all its neighbours the same weight.")
    page.get_by_role("button", name="node 3", exact=True).click()
    assert shown(page, 3)["says"] == "Node 3 does not attend to node 5: e35 = 0.00 becomes −∞."


@pytest.mark.parametrize("nodes", range(1, 8))
def test_no_arrow_runs_behind_a_node_of_a_circle(nodes):
    graph = Graph.from_mask(torch.ones(nodes, nodes, dtype=torch.bool))
    names = [str(k) for k in range(nodes)]
    _, data, _ = parts(graph_attention(graph, torch.ones(nodes, 2), W, A, names, "all"))
    places = torch.tensor(data["places"])
    for i, j, k in itertools.permutations(range(nodes), 3):
        share = torch.linspace(0, 1, 50)[:, None]
        way = places[i] + share * (places[j] - places[i])
        assert (way - places[k]).norm(dim=1).min() > data["radius"] + 4


def test_a_layout_keeps_arrows_off_its_nodes_or_is_refused():
    for positions in (circle(5), [(0, 3), (0, 0), (1, 2.2), (2, 0), (3, 3)]):
        places = torch.tensor(parts(figure(positions=positions))[1]["places"])
        for i, j, k in itertools.permutations(range(5), 3):
            along = (places[j] - places[i]) / (places[j] - places[i]).norm()
            ahead = ((places[k] - places[i]) @ along).clamp(0, (places[j] - places[i]).norm())
            assert (places[i] + ahead * along - places[k]).norm() > 29 + 4
    with pytest.raises(ValueError, match="positions: expected no node between two others"):
        figure(positions=[(0, 1), (0, 0), (1, 0.5), (2, 0.5), (3, 0.5)])


def test_the_still_form_has_the_matrix_of_all_pairs():
    element, *_ = parts(figure())
    table = element.find("div/table")
    scores, mask = layer(STATES)[1], FIVE.mask()
    rows = table.findall("tbody/tr")
    for i, row in enumerate(rows):
        assert row[0].text == str(i + 1)
        for j, cell in enumerate(row[1:]):
            assert "".join(cell.itertext()) == f"e{i + 1}{j + 1}{two(scores[i, j].item())}"
            assert (cell.get("class") == "masked") == (not mask[i, j])
            assert (cell.find("span/s") is not None) == (not mask[i, j])
    assert [th.text for th in table.findall("thead/tr/th")] == list("12345")


@pytest.mark.parametrize("scripts", [True, False])
def test_the_still_matrix_is_hatched_and_fits_a_phone(show, scripts):
    page = show(figure(), viewport={"width": 390, "height": 844}, java_script_enabled=scripts)
    if scripts:
        page.emulate_media(media="print")
    cells = page.get_by_role("table", name="scores of all pairs").locator("tbody td")
    hatched = cells.evaluate_all(
        "all => all.map(e => getComputedStyle(e).backgroundImage.includes('gradient'))"
    )
    assert hatched == (~FIVE.mask()).flatten().tolist()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("width", slow_but([390], [390, 820]))
def test_text_is_large_and_nothing_overlaps(show, width):
    page = show(figure(), viewport={"width": width, "height": 844})
    for step in (1, 2, 3, 4, 5):
        shown(page, step)
        small = page.locator("gat-attention").evaluate(
            """figure => [...figure.shadowRoot.querySelectorAll('.live *')].filter(e =>
                 e.checkVisibility({visibilityProperty: true}) && !e.closest('details') &&
                 [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
                   const scale = e.ownerSVGElement?.getScreenCTM().a ?? 1;
                   return [e.textContent, parseFloat(getComputedStyle(e).fontSize) * scale];
                 }).filter(([, size]) => size < 12)"""
        )
        assert small == []
        over = page.locator("gat-attention").evaluate(
            """figure => {
              const parts = '.stepper, .says, .graph, .pairs, .project > *, .strip, .bending, ' +
                '.keys button, .plane, .line, .change, .change > *, details, .steps label span, ' +
                '.strips th, .project th, .entry .label, .entry .number';
              const boxes = [...figure.shadowRoot.querySelectorAll(parts)]
                .filter(e => e.checkVisibility() && e.getBoundingClientRect().width)
                .map(e => [e, e.getBoundingClientRect()]);
              return boxes.flatMap(([e, a], k) => boxes.slice(k + 1).filter(([f, b]) =>
                !e.contains(f) && !f.contains(e) && a.left < b.right - 1 && b.left < a.right - 1
                && a.top < b.bottom - 1 && b.top < a.bottom - 1)
                .map(([f]) => e.outerHTML.slice(0, 60) + ' | ' + f.outerHTML.slice(0, 60)));
            }"""
        )
        assert over == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
