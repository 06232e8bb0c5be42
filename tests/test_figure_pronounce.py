"""The figure that looks words up in what two models say, driven in a browser."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from helpers import OF_A_SCHEME, html_of, not_none

from gatutils.book.experiments.spelling import FAMILIAR
from gatutils.book.figures import pronounce
from gatutils.book.figures.pronounce import EXAMPLES
from gatutils.book.results import runs
from gatutils.book.tasks.spelling import PHONEMES, edit_distance, pronunciations
from gatutils.book.tasks.splits import split_of_text

(ONE,) = runs("pronounced", "one vector")
(ATTENTION,) = runs("pronounced", "additive")
RIGHT = [[" ".join(way) for way in pronunciations()[word].sounds] for word in FAMILIAR]
SAID = {"one vector": ONE["said"], "attention": ATTENTION["said"]}
TRAINED = [split_of_text(word) == "train" for word in FAMILIAR]
FIGURE = pronounce(
    *(FAMILIAR, RIGHT, SAID, ATTENTION["percents"], TRAINED, "attention", "a word by two models"),
    examples=["attention", "knight", "misunderstanding"],
)


def small(**changed):
    """A figure of three words: one that the first model says with every kind of error."""
    given: dict[str, Any] = {
        "words": ["write", "a", "win"],
        "right": [["R AY T S"], ["AH", "EY"], ["W IH N"]],
        "said": {"<b>one": ["W R IY T", "", "W IH N"], "two": ["R AY T S", "EY", "IH N"]},
        "weights": [
            [
                [10, 60, 20, 10, 0],
                [0, 9, 91, 0, 0],
                [0, 0, 0, 100, 0],
                [0, 0, 0, 33, 67],
                [0, 0, 0, 0, 99],
            ],
            [[100], [100]],
            [[40, 40, 21], [0, 0, 100], [1, 2, 97]],
        ],
        "trained": [True, True, False],
        "start": "write",
        "alt": "three words",
    }
    return pronounce(**(given | changed))


SHOWN = """figure => {
  const root = figure.shadowRoot, all = s => [...root.querySelectorAll(s)];
  const text = e => e.innerText.replace(/\\s+/g, ' ').trim();
  const chips = list => [...list.querySelectorAll('li')].map(li =>
    [li.className, li.querySelector('b').textContent, li.querySelector('small').textContent,
     li.querySelector('.unseen')?.textContent ?? '', !!li.querySelector('.cross')]);
  return {
    word: text(root.querySelector('.head b')), set: text(root.querySelector('.set')),
    typed: root.querySelector('input').value,
    missed: text(root.querySelector('.missed')),
    pressed: all('.examples [aria-pressed=true]').map(text),
    names: all('dt').map(e => e.firstChild.data),
    verdicts: all('dt small').map(text),
    right: [...all('dd')[0].querySelectorAll('ol')].map(chips),
    said: all('dd').slice(1).map(chips),
    letters: all('th[scope=col]').map(text),
    rows: all('th[scope=row]').map(e => e.firstChild.textContent),
    weights: all('tbody tr').map(r => [...r.querySelectorAll('td')].map(c =>
      Number(c.dataset.weight))),
    read: all('tbody tr').map(r => [...r.querySelectorAll('td')].map(c => c.textContent)),
    printed: all('tbody tr').map(r => [...r.querySelectorAll('td')].map(c =>
      c.querySelector('.unseen') ? '' : text(c))),
    most: all('tbody tr').map(r => [...r.querySelectorAll('td')].map(c =>
      c.className === 'most')),
    shares: all('tbody td').map(c => Number(c.style.getPropertyValue('--w'))),
    says: text(root.querySelector('.says')),
  };
}"""
EACH = f"""([figure, words]) => {{
  const input = figure.shadowRoot.querySelector('input'), shown = {SHOWN};
  return words.map(word => {{
    input.value = word;
    input.dispatchEvent(new Event('input'));
    return shown(figure);
  }});
}}"""


def shown(page):
    return page.locator("gat-pronounce").evaluate(SHOWN)


def check(found, word):
    """All that is shown about a stored word is what the runs and the dictionary contain."""
    at = FAMILIAR.index(word)
    ways = [way.split() for way in RIGHT[at]]
    assert (found["word"], found["letters"], found["missed"]) == (word, list(word), "")
    trained = found["set"] == "is in the training set"
    assert trained == TRAINED[at]
    assert trained or found["set"] == "is in the test set: no model was trained on it"
    assert found["names"] == ["dictionary", "one vector", "attention"]
    assert [[sound for _, sound, *_ in way] for way in found["right"]] == ways
    for name, verdict, chips in zip(SAID, found["verdicts"], found["said"], strict=True):
        said = SAID[name][at].split()
        assert [sound for kind, sound, *_ in chips if kind != "missing"] == said
        wrong = [kind for kind, *_ in chips if kind != "right"]
        errors = min(edit_distance(said, way) for way in ways)
        assert len(wrong) == errors
        assert [cross for *_, cross in chips] == [kind != "right" for kind, *_ in chips]
        plural = "s" if errors > 1 else ""
        assert verdict == (f"✗ wrong, {errors} error{plural}" if errors else "✓ right")
        # What is marked turns what was said into a right pronunciation.
        mended = [
            {"right": sound, "missing": sound, "extra": None}.get(kind)
            if kind != "swapped"
            else not_none(re.search(r"wrong: (\w+) in", note))[1]
            for kind, sound, _, note, _ in chips
        ]
        assert [sound for sound in mended if sound] in ways
        judged = f"says {SAID[name][at]}, which is {'wrong' if errors else 'right'}"
        assert (
            f"with {name}, {'the model' if name == 'one vector' else 'it'} {judged}"
            in (found["says"])
        )
    percents = ATTENTION["percents"][at]
    said = SAID["attention"][at].split()
    assert found["rows"] == [*said, "end"]
    assert found["weights"] == percents
    assert found["shares"] == [percent for row in percents for percent in row]
    assert found["read"] == [[str(percent) for percent in row] for row in percents]
    assert found["printed"] == [[str(p) if p >= 10 else "" for p in row] for row in percents]
    assert found["most"] == [[p == max(row) for p in row] for row in percents]
    looks = [
        f"{sound} on {word[row.index(max(row))]}"
        for sound, row in zip([*said, "the end"], percents, strict=True)
    ]
    assert found["says"].endswith(f"The highest weights: {', '.join(looks)}.")


@pytest.mark.slow
def test_every_word_shows_what_was_stored(show):
    page = show(FIGURE, reduced_motion="reduce")
    check(shown(page), "attention")
    element = page.locator("gat-pronounce").element_handle()
    every = page.evaluate(EACH, [element, list(FAMILIAR)])
    assert len(every) == len(FAMILIAR) == 435
    for word, found in zip(FAMILIAR, every, strict=True):
        check(found, word)


def test_errors_of_every_kind_are_marked_by_signs_and_words(show):
    page = show(small(), reduced_motion="reduce")
    found = shown(page)
    assert found["said"][0] == [
        ["extra", "W", "we", ", wrong: not in the dictionary", True],
        ["right", "R", "run", "", False],
        ["swapped", "IY", "see", ", wrong: AY in the dictionary", True],
        ["right", "T", "ten", "", False],
        ["missing", "S", "missing", ", missing", True],
    ]
    assert found["verdicts"] == ["✗ wrong, 3 errors", "✓ right"]
    assert found["names"] == ["dictionary", "<b>one", "two"]
    assert found["says"].startswith(
        "“write”: with <b>one, the model says W R IY T, which is wrong;"
    )
    lines = page.locator("gat-pronounce li:not(.right) b").evaluate_all(
        "all => all.map(e => getComputedStyle(e).textDecorationStyle)"
    )
    assert lines == ["wavy", "wavy", "solid"]
    dashed = page.locator("gat-pronounce li.missing")
    assert dashed.evaluate("e => getComputedStyle(e).borderStyle") == "dashed"

    page.get_by_role("combobox").fill("a")  # two pronunciations; the first model says nothing
    found = shown(page)
    assert [[chip[1] for chip in way] for way in found["right"]] == [["AH"], ["EY"]]
    assert found["verdicts"] == ["✗ wrong, 1 error", "✓ right"]
    assert "the model says nothing, which is wrong" in found["says"]
    page.get_by_role("combobox").fill("win")
    found = shown(page)
    assert found["most"][0] == [True, True, False]  # equal weights are equally marked
    assert found["set"].startswith("is in the test set")


def test_typing_shows_a_word_as_soon_as_it_is_complete(show):
    page = show(FIGURE, reduced_motion="reduce")
    box = page.get_by_role("combobox", name="an English word")
    box.focus()  # what is there is selected, and typing replaces it
    said = {}
    for letter in "though":
        page.keyboard.type(letter)
        found = shown(page)
        assert found["missed"] == ""
        said[found["typed"]] = found["word"]
    assert said == {
        **dict.fromkeys(["t", "th", "tho", "thou", "thoug"], "attention"),
        "though": "though",
    }
    check(shown(page), "though")
    assert shown(page)["pressed"] == []
    page.keyboard.type("t")
    check(shown(page), "thought")
    box.fill("  KNIGHT ")
    check(shown(page), "knight")
    assert shown(page)["typed"] == "  KNIGHT "  # nobody's typing is changed
    assert shown(page)["pressed"] == ["knight"]
    page.keyboard.press("Enter")
    assert shown(page)["typed"] == "knight"


def test_a_word_that_is_not_stored_is_refused_in_words(show):
    page = show(FIGURE, reduced_motion="reduce")
    box = page.get_by_role("combobox")
    box.fill("kni")  # it may still become a word
    assert shown(page)["missed"] == ""
    page.keyboard.press("Enter")
    near = "Stored words that begin like it: knife, knight, knit."
    assert shown(page)["missed"] == f"How the models pronounce “kni” is not stored. {near}"
    assert page.get_by_role("status").is_visible()
    assert (shown(page)["word"], shown(page)["typed"]) == ("attention", "kni")
    box.fill("kniz")  # it cannot
    assert shown(page)["missed"] == f"How the models pronounce “kniz” is not stored. {near}"
    box.fill("<b>7")
    assert shown(page)["missed"] == "How the models pronounce “<b>7” is not stored."
    check_again = shown(page)
    assert check_again["word"] == "attention"
    box.fill("")
    assert shown(page)["missed"] == ""
    box.fill("zzz")
    assert shown(page)["missed"].endswith("begin like it: zebra, zero.")
    page.get_by_role("button", name="knight").click()
    check(shown(page), "knight")


def test_examples_and_random_words_are_reached_by_keyboard(show):
    page = show(FIGURE, reduced_motion="reduce")
    page.evaluate("Math.random = () => 0.999999")
    page.keyboard.press("Tab")
    focus = "document.activeElement.shadowRoot.activeElement"
    assert page.evaluate(f"{focus}.localName") == "input"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    check(shown(page), "zero")
    assert shown(page)["typed"] == "zero"
    page.keyboard.press("Space")
    check(shown(page), "zebra")  # another word each time
    page.evaluate("Math.random = () => 0")
    page.keyboard.press("Enter")
    check(shown(page), "a")
    for name in ("attention", "knight", "misunderstanding"):
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        check(shown(page), name)
        assert shown(page)["pressed"] == [name]
    page.keyboard.press("Tab")  # nothing scrolls, and nothing more is a stop
    assert page.evaluate("document.activeElement.localName") == "body"
    options = page.locator("gat-pronounce datalist option")
    assert options.evaluate_all("all => all.map(e => e.value)") == list(FAMILIAR)
    box = page.get_by_role("combobox")
    assert box.evaluate("e => e.list.id") == "words"
    for name, value in (
        ("autocomplete", "off"),
        ("autocapitalize", "none"),
        ("spellcheck", "false"),
    ):
        assert box.get_attribute(name) == value


def test_what_is_seen_is_said_once(show):
    page = show(FIGURE, reduced_motion="reduce")
    page.locator("gat-pronounce").evaluate(
        """figure => new MutationObserver(() => window.said = (window.said ?? 0) + 1).observe(
             figure.shadowRoot.querySelector('[aria-live=polite]'), {childList: true})"""
    )
    page.get_by_role("button", name="attention").click()  # it is shown already
    assert not page.evaluate("window.said")
    page.get_by_role("button", name="knight").click()
    assert page.evaluate("window.said") == 1


@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
def test_a_new_word_moves_unless_the_reader_wants_no_motion(show, motion, moves):
    page = show(FIGURE, reduced_motion=motion)
    found = page.locator("gat-pronounce .live :is(ol, table)").evaluate_all(
        "all => all.map(e => getComputedStyle(e).animationName)"
    )
    assert set(found) == {"come" if moves else "none"}


@pytest.mark.parametrize("width", [360, 390, 820, 1440])
def test_it_fits_with_text_that_is_large_enough(show, width):
    page = show(FIGURE, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    for word in ("attention", "understanding", "misunderstanding", "representative", "a"):
        page.get_by_role("combobox").fill(word)
        assert shown(page)["word"] == word
        assert page.evaluate("document.documentElement.scrollWidth") == width
        grid = page.locator("gat-pronounce .scroll")
        wide, room = grid.evaluate("e => [e.scrollWidth, e.clientWidth]")
        if width > 360 or len(word) <= 14:
            assert wide <= room
        assert grid.get_attribute("tabindex") == ("0" if wide > room + 1 else None)
        sizes = page.locator("gat-pronounce").evaluate(
            """figure => [...figure.shadowRoot.querySelectorAll('.live *')].filter(e =>
                 e.checkVisibility() && !e.matches('option') &&
                 [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
                 .map(e => parseFloat(getComputedStyle(e).fontSize))"""
        )
        assert min(sizes) >= 12
        cut = page.locator("gat-pronounce :is(td, th, li)").evaluate_all(
            """all => all.filter(e => [...e.children].some(c => {
                 const range = document.createRange();
                 range.selectNodeContents(c);
                 const text = range.getBoundingClientRect(), box = e.getBoundingClientRect();
                 return text.width && !c.matches('.unseen, .cross') &&
                   (text.left < box.left - 0.5 || text.right > box.right + 0.5);
               })).map(e => e.outerHTML)"""
        )
        assert cut == []


def test_a_number_of_three_digits_fits_and_a_longer_word_scrolls(show):
    words = ["understandingly", "understandingswell", "u"]
    rows = [[100, *[0] * (len(word) - 1)] for word in words]
    figure = pronounce(
        *(words, [["AH"]] * 3, {"attention": ["AH"] * 3}, [[row, row] for row in rows]),
        *([False] * 3, words[0], "long"),
    )
    page = show(figure, viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    cell = page.locator("gat-pronounce tbody td").first
    text, room = cell.evaluate(
        """cell => {
             const range = document.createRange();
             range.selectNodeContents(cell.firstChild);
             return [range, cell].map(e => e.getBoundingClientRect().width);
           }"""
    )
    assert text <= room
    grid = page.locator("gat-pronounce .scroll")
    assert grid.get_attribute("tabindex") is None
    page.get_by_role("combobox").fill(words[1])
    assert grid.get_attribute("tabindex") == "0"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("combobox").fill("u")
    assert grid.get_attribute("tabindex") is None


def test_each_phoneme_has_a_word_with_its_sound(show):
    assert tuple(EXAMPLES) == PHONEMES.tokens[-39:]
    for sound, written in EXAMPLES.items():
        before, letters, after = written.split("-")
        assert letters
        assert any(sound in way for way in pronunciations()[before + letters + after].sounds)
        assert len(before + letters + after) <= 5
    page = show(FIGURE)
    page.get_by_role("combobox").fill("knight")
    small_ = page.locator("gat-pronounce tbody th small")
    assert small_.all_inner_texts() == ["net", "hide", "ten"]
    assert small_.locator("u").all_inner_texts() == ["n", "i", "t"]


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [704, 390])
def test_axe_finds_nothing(show, axe, theme, width):
    page = show(FIGURE, theme=theme, viewport={"width": width, "height": 844})
    page.get_by_role("combobox").fill("misunderstandings")
    page.get_by_role("button", name="misunderstanding").click()
    page.get_by_role("combobox").fill("misunderstandings")
    assert shown(page)["missed"]
    page.wait_for_timeout(350)
    assert axe(page, OF_A_SCHEME if theme == "dark" else ()) == {}


def test_without_javascript_and_on_paper_it_is_two_tables(show):
    page = show(FIGURE, java_script_enabled=False, viewport={"width": 390, "height": 844})
    at = FAMILIAR.index("attention")
    lines = page.get_by_role("table", name="How attention is pronounced").locator("tr")
    assert [line.locator("th, td").all_inner_texts() for line in lines.all()] == [
        ["dictionary", " or ".join(RIGHT[at]), ""],
        ["one vector", SAID["one vector"][at], "wrong"],
        ["attention", SAID["attention"][at], "right"],
    ]
    grid = page.get_by_role("table", name="attention weights")
    assert grid.get_by_role("columnheader").all_inner_texts() == list("attention")
    cells = grid.locator("tbody td").all_text_contents()
    percents = [percent for row in ATTENTION["percents"][at] for percent in row]
    assert cells == [f"{percent / 100:.2f}" for percent in percents]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    live = show(FIGURE)
    assert live.get_by_role("table").count() == 1
    live.emulate_media(media="print")
    assert live.get_by_role("table").count() == 2
    assert live.get_by_role("combobox").count() == 0


def test_two_figures_do_not_disturb_each_other(show):
    page = show(FIGURE, small(), reduced_motion="reduce")
    page.get_by_role("combobox").nth(1).fill("win")
    check(shown(page.locator("figure").nth(0)), "attention")
    assert shown(page.locator("figure").nth(1))["word"] == "win"


def test_the_html_is_the_same_on_every_run_and_not_large():
    again = pronounce(
        *(list(FAMILIAR), RIGHT, dict(SAID), ATTENTION["percents"], TRAINED),
        *("attention", "a word by two models"),
        examples=("attention", "knight", "misunderstanding"),
    )
    assert again._repr_mimebundle_() == FIGURE._repr_mimebundle_()
    element = ElementTree.fromstring(FIGURE.content.split("<script>")[0])
    assert len(element.attrib["data-figure"]) < 70_000
    assert html_of(FIGURE).count("<gat-pronounce") == 1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"words": "write"}, "words: expected a sequence of str"),
        ({"words": []}, "words: expected one word or more, got none"),
        ({"words": ["Write", "a", "win"]}, "words: expected letters from a to z, got 'Write'"),
        ({"words": ["a|", "a", "win"]}, "words: expected letters from a to z, got 'a|'"),
        ({"words": ["a", "a", "win"]}, "words: expected each word once"),
        ({"right": [["R AY T"]]}, "right: expected 3 lists, got 1"),
        ({"right": [["R AY T"], [], ["T"]]}, "right: expected one pronunciation or more"),
        ({"right": [["R AY T"], "AH", ["T"]]}, "right: expected a sequence of str"),
        ({"right": [["R AY1 T"], ["AH"], ["T"]]}, "right: expected phonemes of EXAMPLES, got AY1"),
        ({"right": [["R  T"], ["AH"], ["T"]]}, "right: expected single spaces"),
        ({"said": {}}, "said: expected one model or more"),
        ({"said": {"two": ["T"]}}, "said['two']: expected 3 strings, got 1"),
        ({"said": {"two": ["T", "X", "T"]}}, "said['two']: expected phonemes of EXAMPLES, got X"),
        ({"said": {"two": ["T", 1, "T"]}}, "said['two']: expected only str, got 1"),
        ({"weights": []}, "weights: expected 3 lists of rows, got 0"),
        ({"said": {"two": ["T", "EY", "IH N"]}}, "weights of 'write': expected 2 rows, got 5"),
        ({"words": ["rite", "a", "win"], "start": "a"}, "weights of 'rite': expected rows of 4"),
        ({"trained": [True]}, "trained: expected 3 of them, got 1"),
        ({"trained": [1, 0, 0]}, "trained: expected only bool, got 1"),
        ({"start": "right"}, "start: expected one of the words, got 'right'"),
        ({"examples": ["a", "b"]}, "examples: expected some of the words, got 'b'"),
        ({"examples": "a"}, "examples: expected a sequence of str"),
        ({"alt": " "}, "alt: expected a sentence"),
        ({"tolerance": 2.0}, "tolerance: expected"),
    ],
)
def test_bad_input_is_named(changed, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        small(**changed)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([50, 51, 1], "weights of 'win': expected rows that sum to 100, got 102"),
        ([50, 0, 48], "weights of 'win': expected rows that sum to 100, got 98"),
        ([0.5, 0, 99], "weights of 'win': expected an int, got 0.5"),
        ([-1, 0, 101], "weights of 'win': expected an int of at least 0, got -1"),
    ],
)
def test_bad_weights_are_named(row, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        pronounce(["win"], [["T"]], {"two": [""]}, [[row]], [True], "win", "a word")
