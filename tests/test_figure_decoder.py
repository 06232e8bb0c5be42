"""The figure of a decoder that writes word by word, driven in a browser."""

import pytest
import torch
from helpers import OF_A_SCHEME, html_of, slow_but

from gatutils.attention import attend
from gatutils.book.figures import decoder

SOURCE = ["the", "boy", "saw", "the", "dog"]
TARGET = ["소년", "이", "개", "를", "보았다", "<eos>"]
GLOSSES = ["boy", "", "dog", "", "saw", "end"]
SCORES = torch.zeros(6, 5)
for step, position in enumerate((1, 1, 4, 4, 2, 2)):
    SCORES[step, position] = 4.0
SCORES[5] = torch.tensor([-50.0, 2, 1, -50, 0])
_, WEIGHTS = attend(SCORES, torch.eye(5))
FIGURE = decoder(WEIGHTS, SOURCE, TARGET, "word by word", glosses=GLOSSES, start=2)
LONG = decoder(
    torch.full((16, 14), 1 / 14),
    [*["the", "boy", "helped", "the", "deer", "that", "saw"], *SOURCE, "bit", "today"],
    [f"단어{k}" for k in range(16)],
    "a long sentence",
    glosses=["translated"] * 16,
)

SHOWN = """figure => {
  const root = figure.shadowRoot, all = s => [...root.querySelectorAll(s)];
  const text = s => root.querySelector(s).innerText.replace(/\\s+/g, ' ').trim();
  const slider = root.querySelector('input');
  return {
    at: Number(slider.value), spoken: slider.getAttribute('aria-valuetext'),
    ends: ['.back', '.next'].map(s => root.querySelector(s).getAttribute('aria-disabled')),
    weights: all('.source li').map(e => Number(e.dataset.weight)),
    numbers: all('.number').map(e => e.textContent),
    tints: all('.source li').map(e => getComputedStyle(e).backgroundColor),
    widths: all('.lines g').map(e => parseFloat(e.firstChild.style.strokeWidth)),
    drawn: all('.lines g').map(e => Number(e.style.opacity)),
    written: all('.target li').filter(e => getComputedStyle(e).visibility === 'visible')
      .map(e => e.firstChild.data),
    now: all('[aria-current]').map(e => e.firstChild.data),
    one: text('.one'), own: text('.attention'),
    bracket: root.querySelector('.bracket').getAttribute('d'),
    says: text('.says'), tall: root.querySelector('.live').classList.contains('tall'),
    play: text('.play'),
  };
}"""


def shown(page, at=0):
    return page.locator("gat-decoder").nth(at).evaluate(SHOWN)


def check(found, i, weights=WEIGHTS, target=TARGET, glosses=GLOSSES):
    """All that is shown at word i is what Python gave."""
    row, last = weights[i].tolist(), len(target) - 1
    assert (found["at"], found["spoken"]) == (i, f"word {i + 1} of {last + 1}: {target[i]}")
    assert found["ends"] == [str(i == 0).lower(), str(i == last).lower()]
    assert found["weights"] == pytest.approx(row, abs=5.1e-5)
    assert found["numbers"] == ["" if w < 0.005 else f"{w:.2f}" for w in found["weights"]]
    assert found["widths"] == pytest.approx([0.75 + 7 * w for w in found["weights"]])
    assert [opacity > 0 for opacity in found["drawn"]] == [w >= 0.005 for w in found["weights"]]
    assert found["written"] == target[: i + 1]
    assert found["now"] == [target[i]]
    own = f"c{i + 1} → {target[i]} {glosses[i]}".strip()
    assert found["own"] == f"attention weights of its own for each word {own}"
    name = f"“{target[i]}”{f' ({glosses[i]})' if glosses[i] else ''}"
    assert found["says"].startswith(f"To write word {i + 1}, {name}, the decoder attends to ")


def test_words_come_one_by_one_with_their_weights(show):
    page = show(FIGURE, reduced_motion="reduce")
    check(shown(page), 2)
    back = page.get_by_role("button", name="previous word")
    forth = page.get_by_role("button", name="next word")
    for i in (1, 0, 0):
        back.press("Enter")
        check(shown(page), i)
    one = shown(page)["one"]
    assert one == "one context vector no weights c → every word the same c"
    for i in (1, 2, 3, 4, 5, 5):
        forth.press("Space")
        found = shown(page)
        check(found, i)
        assert found["one"] == one  # the alternative never changes
    assert found["says"].endswith("the decoder attends to boy 0.67, saw 0.24, dog 0.09.")
    assert found["drawn"][0] == found["drawn"][3] == 0  # what has no weight has no arrow


def test_the_slider_moves_by_keyboard_and_by_finger(show):
    page = show(FIGURE, has_touch=True)
    slider = page.get_by_role("slider", name="word")
    slider.focus()
    for key, i in (("Home", 0), ("ArrowRight", 1), ("ArrowUp", 2), ("ArrowLeft", 1), ("End", 5)):
        page.keyboard.press(key)
        check(shown(page), i)
    page.get_by_role("button", name="previous word").tap()
    check(shown(page), 4)


def test_play_goes_on_to_the_end_and_a_hand_stops_it(show):
    page = show(FIGURE, reduced_motion="no-preference")
    page.evaluate(  # the test says when the time has come
        """() => {
          window.setInterval = act => { window.tick = act; return 7; };
          window.clearInterval = timer => { if (timer === 7) window.tick = null; };
        }"""
    )

    def wait():
        return page.evaluate("() => { const goes = !!window.tick; window.tick?.(); return goes; }")

    play = page.locator("gat-decoder .play")
    play.click()
    assert shown(page)["play"] == "❚❚ pause"
    check(shown(page), 2)
    assert wait()
    check(shown(page), 3)
    page.get_by_role("button", name="previous word").click()
    assert shown(page)["play"] == "▶ play"
    assert not wait()
    check(shown(page), 2)
    play.click()
    assert [wait() for _ in range(5)] == [True, True, True, False, False]
    check(shown(page), 5)
    assert shown(page)["play"] == "▶ play"
    play.click()  # from the end it starts again
    check(shown(page), 0)
    play.click()
    assert not wait()
    check(shown(page), 0)


def test_who_wants_no_motion_gets_none(show):
    page = show(FIGURE, reduced_motion="reduce")
    assert not page.locator("gat-decoder .play").is_visible()
    moving = page.locator("gat-decoder :is(li, .lines *)").evaluate_all(
        """all => all.map(e => getComputedStyle(e))
             .filter(s => s.animationName !== 'none' || s.transitionDuration !== '0s').length"""
    )
    assert moving == 0


ENDS = """figure => {
  const root = figure.shadowRoot, box = e => {
    const { left, right, top, bottom } = e.getBoundingClientRect();
    return { left, right, top, bottom };
  };
  const origin = root.querySelector('.drawing').getBoundingClientRect();
  return {
    words: [...root.querySelectorAll('.source li')].map(box),
    own: box(root.querySelector('.attention .vector')),
    from: [...root.querySelectorAll('.lines path')].map(p => {
      const [x, y] = p.getAttribute('d').match(/[-\\d.]+/g).map(Number);
      return [x + origin.left, y + origin.top];
    }),
    tips: [...root.querySelectorAll('.lines polygon')].map(p => {
      const [x, y] = p.style.transform.match(/[-\\d.]+/g).map(Number);
      return [x + origin.left, y + origin.top];
    }),
  };
}"""


@pytest.mark.parametrize(("width", "tall"), [(704, False), (390, True)])
def test_arrows_lead_from_each_word_to_its_context(show, width, tall):
    page = show(LONG, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    assert shown(page)["tall"] == tall
    page.wait_for_timeout(100)
    found = page.locator("gat-decoder").evaluate(ENDS)
    own = found["own"]
    for word, (x, y), (a, b) in zip(found["words"], found["from"], found["tips"], strict=True):
        if tall:
            assert word["top"] < y < word["bottom"]
            assert 0 <= x - word["right"] < 4
            assert own["top"] < b < own["bottom"]
            assert 0 <= own["left"] - a < 4
        else:
            assert word["left"] < x < word["right"]
            assert 0 <= y - word["bottom"] < 4
            assert own["left"] < a < own["right"]
            assert 0 <= own["top"] - b < 4
    page.set_viewport_size({"width": 1094 - width, "height": 844})  # the other one
    page.wait_for_timeout(100)
    assert shown(page)["tall"] != tall
    page.set_viewport_size({"width": width, "height": 844})  # other tests have the same tab


@pytest.mark.parametrize("width", slow_but([390], [1440, 820, 704, 390]))
def test_nothing_overlaps_or_leaves_the_page(show, width):
    page = show(FIGURE, LONG, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    page.get_by_role("slider").nth(1).press("End")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for k in (0, 1):
        root = page.locator("gat-decoder").nth(k)
        boxes = root.locator(".source li, .lane p, .lane .box, .target li").evaluate_all(
            """all => all.map(e => e.getBoundingClientRect()).map(
                 b => [b.left, b.right, b.top, b.bottom])"""
        )
        for n, (left, right, top, bottom) in enumerate(boxes):
            assert left >= 0
            assert right <= width
            for a, b, c, d in boxes[:n]:
                apart = left >= b - 0.5 or a >= right - 0.5 or top >= d - 0.5 or c >= bottom - 0.5
                assert apart, (boxes[n], (a, b, c, d))
    sizes = page.locator("gat-decoder :is(li, small, p, b, sub, span, button)").evaluate_all(
        "all => all.map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12
    room = page.locator("gat-decoder .lane .box").evaluate_all(
        """all => all.map(e => {
             const range = document.createRange(), box = e.getBoundingClientRect();
             range.selectNodeContents(e);
             const texts = [...range.getClientRects()];
             return Math.min(...texts.flatMap(t => [t.left - box.left, box.right - t.right]));
           })"""
    )
    assert min(room) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [704, 390])
def test_axe_finds_nothing(show, axe, theme, width):
    page = show(
        *(FIGURE, LONG),
        theme=theme,
        viewport={"width": width, "height": 844},
        reduced_motion="reduce",
    )
    assert axe(page, OF_A_SCHEME if theme == "dark" else ()) == {}


def test_without_javascript_and_on_paper_it_is_a_table(show):
    page = show(FIGURE, java_script_enabled=False, viewport={"width": 390, "height": 844})
    table = page.get_by_role("table", name="weights of each word that is written")
    assert table.is_visible()
    assert table.get_by_role("rowheader").all_inner_texts()[2] == "개 dog"
    cells = table.locator("tbody td").all_text_contents()
    assert cells == [f"{w:.2f}" for w in WEIGHTS.flatten().tolist()]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    live = show(FIGURE)
    assert not live.get_by_role("table").is_visible()
    live.emulate_media(media="print")
    assert live.get_by_role("table").is_visible()
    assert live.get_by_role("slider").count() == 0


def test_names_are_text_and_one_word_is_enough(shared_page):
    one = decoder(torch.ones(1, 1), ["<b>a"], ["</script>"], "<s>", glosses=["<i>"])
    shared_page.set_content(html_of(one))
    check(shown(shared_page), 0, torch.ones(1, 1), ["</script>"], ["<i>"])
    assert shown(shared_page)["says"].endswith("attends to <b>a 1.00.")
    bare = decoder(torch.ones(1, 1), ["a"], ["b"], "no gloss")
    shared_page.set_content(html_of(bare))
    check(shown(shared_page), 0, torch.ones(1, 1), ["b"], [""])


def test_the_html_is_the_same_on_every_run():
    again = decoder(WEIGHTS.double(), SOURCE, TARGET, "word by word", glosses=GLOSSES, start=2)
    assert again._repr_mimebundle_() == FIGURE._repr_mimebundle_()


def small(weights=None, source=("a", "b"), target=("c",), alt="alt", **more):
    weights = torch.tensor([[0.25, 0.75]]) if weights is None else weights
    return decoder(weights, source, target, alt, **more)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: small(torch.tensor([[0.5, 0.4]])), "weights: expected rows of numbers"),
        (lambda: small(torch.zeros(1, 2)), "weights: expected rows that sum to 1, got a row of"),
        (lambda: small(torch.ones(2)), "weights: expected 2 axes"),
        (lambda: small(source=["a"]), "source: expected 2 words, got 1"),
        (lambda: small(target=["a", "b"]), "target: expected 1 words, got 2"),
        (lambda: small(torch.zeros(0, 2), target=[]), "target: expected one or more words"),
        (lambda: small(glosses=[]), "glosses: expected 1 of them, got 0"),
        (lambda: small(alt=""), "alt: expected a sentence"),
        (lambda: small(start=1), "start: expected less than 1, got 1"),
        (lambda: small(start=-1), "start: expected an int of at least 0"),
    ],
)
def test_bad_input_names_the_argument(unchecked, call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: small([[1.0]]), "weights: expected a float tensor, got list"),
        (lambda: small(source="ab"), "source: expected a sequence of str"),
        (lambda: small(glosses="c"), "glosses: expected a sequence of str"),
        (lambda: small(start=0.0), "start: expected an int"),
    ],
)
def test_input_of_another_kind_names_the_argument(unchecked, call, words):
    with pytest.raises(TypeError, match=words):
        call()
