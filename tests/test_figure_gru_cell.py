"""The GRU cell with gates to open and close: what it shows is what torch.nn.GRUCell computes."""

import itertools
import re
from typing import Any

import pytest
import torch
from helpers import OF_A_SCHEME
from torch import nn

from gatutils.book.figures import gru_cell

START = {"z": 0.95, "r": 1.0, "x": -1.0, "h": 0.8}
FIGURE = gru_cell("one unit of a GRU")
NAMES = {"z": "update gate z", "r": "reset gate r", "x": "input x", "h": "old state h"}

SEEN = """figure => {
  const root = figure.shadowRoot, all = s => [...root.querySelectorAll(s)];
  const plain = e => e.textContent.replaceAll('\\u00a0', ' ').trim();
  return {
    sliders: all('input').map(e => [e.name, Number(e.value), e.getAttribute('aria-valuetext')]),
    outputs: all('output').map(plain),
    boxes: Object.fromEntries(all('.box').map(e =>
      [e.classList[1], plain(e.querySelector('.number'))])),
    candidate: Number(root.querySelector('.box.candidate .number').dataset.value),
    state: Number(root.querySelector('.box.new .number').dataset.value),
    flows: Object.fromEntries(all('[data-pipe]').map(e =>
      [e.dataset.pipe, parseFloat(e.querySelector('.flow').style.strokeWidth) / 36])),
    doors: Object.fromEntries(all('[data-gate]').map(e => [e.dataset.gate,
      [...e.children].map(d => parseFloat(d.style.transform.slice('translateY('.length)) / 18)])),
    labels: all('.label').map(plain),
    sums: all('.sums > div > span:last-child').map(plain),
    bars: all('li').map(e => Number(e.dataset.value)),
    heights: all('li i').map(e => parseFloat(getComputedStyle(e).height)),
    marks: all('li span').map(plain),
    says: plain(root.querySelector('[aria-live=polite]')),
  };
}"""


def seen(page):
    """What the figure shows now."""
    return page.locator("gat-gru-cell").evaluate(SEEN)


def torch_says(z, r, x, h, W=2.0, U=1.5):
    """The candidate and the new state that torch.nn.GRUCell computes with these gates."""
    found = []
    for gate in (0.0, z):  # with the update gate at 0 the new state is the candidate
        cell = nn.GRUCell(1, 1).double()
        for parameter in cell.parameters():
            nn.init.zeros_(parameter)
        with torch.no_grad():
            cell.bias_hh[:2] = torch.tensor([r, gate], dtype=torch.float64).logit()
            cell.weight_ih[2], cell.weight_hh[2] = W, U
            rows = (torch.tensor([[number]], dtype=torch.float64) for number in (x, h))
            found.append(cell(*rows).item())
    return found


def two(number):
    return f"{number:z.2f}".replace("-", "−")


def plain(number):
    return f"{round(number, 2):g}".replace("-", "−")


def check(found, z, r, x, h):
    """Every number and every width is that of the cell."""
    given = {"z": z, "r": r, "x": x, "h": h}
    candidate, state = torch_says(z, r, x, h)
    assert found["sliders"] == [[name, number, plain(number)] for name, number in given.items()]
    assert found["outputs"] == [plain(number) for number in given.values()]
    assert found["candidate"] == pytest.approx(candidate, abs=1e-12)
    assert found["state"] == pytest.approx(state, abs=1e-12)
    shown = {"h": f"h = {plain(h)}", "x": f"x = {plain(x)}"}
    shown |= {"new": f"h′ = {two(state)}", "candidate": f"h̃ = {two(candidate)}"}
    assert found["boxes"] == shown
    assert found["flows"] == pytest.approx({"z": z, "r": r, "x": 1, "rest": 1 - z}, abs=1e-5)
    for name, share in (("z", z), ("r", r), ("rest", 1 - z)):
        assert found["doors"][name] == pytest.approx([-share, share], abs=1e-5)
    assert found["labels"] == [
        f"update gate z = {plain(z)}",
        f"reset gate r = {plain(r)}",
        f"1 − z = {plain(1 - z)}",
    ]
    for line, result in zip(found["sums"], (candidate, state), strict=True):
        assert line.endswith(f"= {two(result)}")
    assert found["bars"] == pytest.approx([z**t for t in range(11)], abs=1e-12)
    assert [float(mark) for mark in found["marks"]] == pytest.approx(found["bars"], abs=0.0051)


def test_it_opens_with_a_state_that_is_kept(show):
    found = seen(show(FIGURE, reduced_motion="reduce"))
    check(found, **START)
    assert found["boxes"]["h"] == "h = 0.8"
    assert found["boxes"]["new"] == "h′ = 0.73"
    assert found["sums"] == [
        "h̃ = tanh(W x + r · U h) = tanh(2 · (−1) + 1 · 1.5 · 0.8) = −0.66",
        "h′ = z h + (1 − z) h̃ = 0.95 · 0.8 + 0.05 · (−0.66) = 0.73",
    ]
    assert found["says"] == (
        "The new state is 95% old state and 5% candidate: 0.8 becomes 0.73. After 10 steps, 60% of "
        "the first state is left. The reset gate lets all of U h, the old state’s part, into the "
        "candidate."
    )
    tallest = found["heights"][0]
    assert [height / tallest for height in found["heights"]] == pytest.approx(
        found["bars"], abs=0.02
    )


@pytest.mark.slow
def test_every_gate_input_and_state_is_what_torch_computes(show):
    page = show(FIGURE)
    sliders = {name: page.get_by_role("slider", name=words) for name, words in NAMES.items()}
    for numbers in itertools.product((0, 0.35, 1), (0, 0.6, 1), (-2, 0.7), (-1, 0, 0.4)):
        state = dict(zip(NAMES, map(float, numbers), strict=True))
        for name, number in state.items():
            sliders[name].fill(f"{number:g}")
        check(seen(page), **state)


def test_the_gates_open_and_close_by_keyboard(show):
    page = show(FIGURE)
    state = dict(START)
    for name, key, number in (
        *(("z", "Home", 0.0), ("r", "ArrowLeft", 0.95)),
        *(("x", "ArrowRight", -0.9), ("h", "End", 1.0)),
    ):
        page.keyboard.press("Tab")
        page.keyboard.press(key)
        state[name] = number
        check(seen(page), **state)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body")  # there is nothing else


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"z": 1.0}, r"The update gate is 1: the state is kept exactly, h′ = h = 0\.8"),
        ({"z": 0.0}, r"The update gate is 0: the old state is overwritten, and .* −0\.66\."),
        ({"z": 0.5}, r"50% old state and 50% candidate: 0\.8 becomes 0\.07\. .* less than 1%"),
        ({"r": 0.0}, r"The reset gate is 0: the candidate depends on the input alone\.$"),
        ({"r": 0.4}, r"The reset gate lets 40% of U h, the old state’s part, into the candidate\."),
    ],
)
def test_the_sentence_says_what_the_gates_do(show, state, words):
    page = show(gru_cell("one", **(START | state)))
    check(seen(page), **(START | state))
    assert re.search(words, seen(page)["says"])


def test_input_and_state_go_by_the_names_that_they_are_given(show):
    labels: Any = {"input_label": "sum of <b>messages a", "state_label": "node's state s"}
    state: Any = {"z": 0.25, "r": 0.5, "x": -1.0, "h": 0.8}
    figure = gru_cell("a node", **state, W=1.0, U=1.0, **labels)
    page = show(figure, reduced_motion="reduce")
    found = seen(page)
    candidate, new = torch_says(**state, W=1.0, U=1.0)
    assert (found["candidate"], found["state"]) == pytest.approx((candidate, new))
    assert (found["boxes"]["h"], found["boxes"]["x"]) == ("s = 0.8", "a = −1")
    assert found["sums"] == [
        "s\u0303 = tanh(W a + r · U s) = tanh(1 · (−1) + 0.5 · 1 · 0.8) = −0.54",
        "s′ = z s + (1 − z) s\u0303 = 0.25 · 0.8 + 0.75 · (−0.54) = −0.20",
    ]
    words = page.locator("gat-gru-cell .box .word").all_text_contents()
    assert words == ["node's state", "new state", "sum of", "<b>messages", "candidate"]
    assert found["says"].startswith("The new state is 25% node's state and 75% candidate")
    assert "of U s, the node's state’s part" in found["says"]
    page.get_by_role("slider", name="sum of <b>messages a").fill("0.5")
    page.get_by_role("slider", name="node's state s").fill("-0.5")
    page.get_by_role("slider", name="reset gate").fill("0")
    page.get_by_role("slider", name="update gate").fill("1")
    assert seen(page)["says"] == (
        "The update gate is 1: the state is kept exactly, s′ = s = −0.5, whatever the sum of "
        "<b>messages is, at every step. The reset gate is 0: the candidate depends on the sum of "
        "<b>messages alone."
    )
    page.emulate_media(media="print")
    written = page.locator("gat-gru-cell caption").inner_text()
    assert written.startswith("node's state s = 0.8, sum of <b>messages a = −1, r = 0.5, ")


def test_what_changes_moves_unless_motion_is_unwanted(show):
    moves = """figure => {
      const root = figure.shadowRoot, slider = root.querySelector('input');
      slider.value = 0.5;
      slider.dispatchEvent(new Event('input'));
      getComputedStyle(root.querySelector('.flow')).strokeWidth;
      return [...new Set(root.getAnimations().map(a =>
        [a.transitionProperty, a.effect.getTiming().duration].join(' ')))].sort();
    }"""
    found = show(FIGURE).locator("gat-gru-cell").evaluate(moves)
    assert found == ["height 250", "stroke-width 250", "transform 250"]
    calm = show(FIGURE, reduced_motion="reduce")
    assert calm.locator("gat-gru-cell").evaluate(moves) == []


def test_without_javascript_and_on_paper_it_is_a_table(show):
    page = show(FIGURE, java_script_enabled=False, viewport={"width": 390, "height": 844})
    table = page.get_by_role("table")
    caption = "old state h = 0.8, input x = −1, r = 1, candidate h̃ = −0.66"
    assert table.locator("caption").inner_text() == caption
    rows = [
        [cell.inner_text() for cell in row.locator("th, td").all()]
        for row in table.locator("tbody tr").all()
    ]
    candidate = torch_says(**START)[0]
    assert rows == [
        [
            plain(z),
            two(z * 0.8),
            two((1 - z) * candidate),
            two(torch_says(**(START | {"z": z}))[1]),
            two(z**10),
        ]
        for z in (0, 0.5, 0.95, 1)
    ]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    live = show(FIGURE)
    assert not live.locator("table.gat-still").is_visible()
    live.emulate_media(media="print")
    assert live.locator("table.gat-still").is_visible()
    assert live.get_by_role("slider").count() == 0


def test_other_weights_and_fewer_steps(show):
    page = show(gru_cell("another", W=-1.5, U=0.25, steps=4, z=0.5, x=2, h=-1))
    found = seen(page)
    candidate, state = torch_says(0.5, 1, 2, -1, -1.5, 0.25)
    assert (found["candidate"], found["state"]) == pytest.approx((candidate, state))
    assert found["bars"] == [1, 0.5, 0.25, 0.125, 0.0625]
    assert "tanh(−1.5 · 2 + 1 · 0.25 · (−1))" in found["sums"][0]


def test_it_is_the_same_each_time_and_draws_no_random_number():
    state = torch.get_rng_state()
    assert gru_cell("one") == gru_cell("one")
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [704, 390])
def test_axe_finds_nothing(show, axe, theme, width):
    page = show(
        *(gru_cell("kept", z=1.0), gru_cell("overwritten", z=0.0, r=0.0), FIGURE),
        theme=theme,
        viewport={"width": width, "height": 844},
    )
    assert axe(page, OF_A_SCHEME if theme == "dark" else ()) == {}


@pytest.mark.parametrize("label", ["input x", "sum of messages c"])
def test_it_fits_a_phone(show, label):
    figure = gru_cell("long", z=0.35, r=0.65, x=-1.7, h=-0.9, input_label=label)
    page = show(figure, viewport={"width": 360, "height": 740})
    figure = page.locator("gat-gru-cell")
    out = figure.evaluate(
        """figure => [...figure.shadowRoot.querySelectorAll('.live *')].filter(e =>
             e.getBoundingClientRect().right > 361).map(e => e.outerHTML)"""
    )
    assert out == []
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    sizes = figure.evaluate(
        """figure => [...figure.shadowRoot.querySelectorAll('.live *')].filter(e =>
             [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e =>
             parseFloat(getComputedStyle(e).fontSize) *
             (e.closest('svg') ? e.closest('svg').getScreenCTM().a : 1))"""
    )
    assert min(sizes) > 11.9
    inside = figure.evaluate(
        """figure => [...figure.shadowRoot.querySelectorAll('.box')].map(box => {
             const frame = box.querySelector('rect').getBBox();
             return [...box.querySelectorAll('text')].every(t =>
               t.getBBox().width < frame.width - 12);
           })"""
    )
    assert inside == [True] * 4
    touching = figure.evaluate(
        """figure => {
          const rects = s => [...figure.shadowRoot.querySelectorAll(s)].map(e =>
            e.getBoundingClientRect());
          return rects('.label').flatMap(a => rects('.box, .door').filter(b =>
            a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top < a.bottom - 2)
          ).length;
        }"""
    )
    assert touching == 0


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alt": ""}, "alt: expected a sentence"),
        ({"z": 1.1}, "z: expected a number from 0 to 1"),
        ({"r": -0.1}, "r: expected a number from 0 to 1"),
        ({"x": 3}, "x: expected a number from -2 to 2"),
        ({"h": float("nan")}, "h: expected finite numbers"),
        ({"W": 10}, "W: expected a number from -9 to 9"),
        ({"U": "one"}, "U: expected"),
        ({"steps": 0}, "steps: expected an int of at least 1"),
        ({"steps": 11}, "steps: expected at most 10"),
        ({"steps": 2.0}, "steps: expected an int"),
        ({"input_label": "x"}, "input_label: expected a name"),
        ({"input_label": "input xy"}, "input_label: expected a name .* and a symbol of one"),
        ({"input_label": "all messages of all neighbours c"}, "input_label: expected a name"),
        ({"state_label": "incomprehensible h"}, "state_label: expected a name"),
        ({"state_label": 3}, "state_label: expected only str"),
        ({"tolerance": -1.0}, "tolerance: expected"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        gru_cell(**({"alt": "one"} | options))
