"""The book in other languages: catalogues, and what Sphinx does not translate by itself."""

import json
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from helpers import ROOT, load_script
from hypothesis import given
from hypothesis import strategies as st

LANGUAGE = "ko"
CATALOGUES = ROOT / "book" / "locale" / LANGUAGE / "LC_MESSAGES"
PAGES = sorted(
    path.relative_to(CATALOGUES).with_suffix("").as_posix() for path in CATALOGUES.rglob("*.po")
)


translation = load_script("book/translation.py")
translate = load_script("book/translate.py")


def entries(page: str) -> list[tuple[str, str]]:
    """The messages of a page with their translations."""
    with (CATALOGUES / f"{page}.po").open("rb") as file:
        return [(str(m.id), str(m.string)) for m in read_po(file) if m.id]


def notebooks() -> list[Path]:
    return [*sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted((ROOT / "book").glob("*.ipynb"))]


# ---- The catalogues ------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_translated_and_loses_nothing_of_its_source(page):
    assert translate.check(CATALOGUES / f"{page}.po") == []


def test_every_page_has_a_catalogue():
    written = {path.relative_to(ROOT).with_suffix("").as_posix() for path in notebooks()}
    written |= {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")} - {"book/references"}
    assert written <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_catalogue_stands_as_the_tool_writes_it(page, tmp_path):
    path = CATALOGUES / f"{page}.po"
    with path.open("rb") as file:
        catalogue = read_po(file, locale=LANGUAGE)
    translate.write(tmp_path / "same.po", catalogue)
    assert (tmp_path / "same.po").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("page", PAGES)
def test_a_message_keeps_what_it_has_itself(page):
    for message, _ in entries(page):
        assert set(translate.problems(message, message)) <= {"is in English"}


LINK = "A [layer](10-graph-attention.ipynb) with **two** heads, `attend`, $h_j$ and 3.5 %"


@pytest.mark.parametrize(
    ("message", "translated", "found"),
    [
        ("A score", "", "not translated"),
        ("A {term}`score`", "스코어", "lacks 1 x role term score"),
        ("A {term}`score`", "{term}`스코어 <Score>`", None),
        ("By {cite:t}`a2018`", "{cite:t}`a2019`", "lacks 1 x role cite:t a2018"),
        ("See [it](a.md)", "[보기](b.md)", "lacks 1 x link a.md"),
        ("$h_j$ is a state", "상태 $h_i$", "lacks 1 x formula h_j"),
        ("`attend` returns it", "반환합니다", "lacks 1 x code attend"),
        ("It is **never** so", "결코 아닙니다", "lacks 1 x strong"),
        ("It is **never** so", "**결코**(never)가 아닙니다", None),
        ("It is **never** so", "**결코(never)**가 아닙니다", "lacks 1 x strong"),
        ("12.5 % of them", "12.4 %", "lacks 1 x number 12.5"),
        ("two of them", "2개", "has 1 x number 2 too many"),
        ("a <b>bold</b> word", "굵은 낱말", "lacks 1 x tag <b>"),
        ("To ${name} it attends", "주의합니다", "lacks 1 x placeholder ${name}"),
        ("\nx = \\text{old}\n", "\nx = \\text{옛}\n", None),
        ("\nx = \\text{old}\n", "\ny = \\text{옛}\n", "lacks 1 x formula x = \\text{}"),
        ("all of these words are English", "all of these words are English", "is in English"),
        (LINK, LINK.replace("with", "헤드"), None),
    ],
)
def test_what_a_translation_lacks_is_said(message, translated, found):
    said = list(translate.problems(message, translated))
    assert said == [] if found is None else found in said


def test_what_has_changed_in_english_is_said():
    assert "fuzzy: the English has changed" in translate.problems("new words", "낱말", fuzzy=True)


# ---- What Sphinx does not read -------------------------------------------------------------------


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_nothing_but_the_messages_changes_in_a_notebook(path):
    """Putting each message in its own place gives the notebook; marking each marks all captions."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    same, marked = (json.loads(path.read_text(encoding="utf-8")) for _ in range(2))
    translation.rewrite(same, lambda text: text)
    translation.rewrite(marked, lambda text: f"@{text}")
    for cell, before, after in zip(notebook["cells"], same["cells"], marked["cells"], strict=True):
        assert "".join(cell["source"]) == "".join(before["source"])
        outputs = zip(cell.get("outputs", []), before.get("outputs", []), strict=True)
        for one, other in outputs:
            for kind, text in one.get("data", {}).items():
                assert "".join(text) == "".join(other["data"][kind])
        for output in after.get("outputs", []):
            html = "".join(output.get("data", {}).get("text/html", ""))
            assert html.count("<figcaption>") == html.count("<figcaption>@")


@given(st.text(alphabet="ab<>&;\"'`$% 가", max_size=30))
def test_any_text_is_put_in_its_place_as_it_is(text):
    caption = '<figure><svg aria-label="a curve"><text>x axis</text></svg><figcaption>it falls'
    html = f"{caption}</figcaption></figure>"
    out = translation.replaced(html, lambda old: text if old == "it falls" else old)
    assert out == html.replace("it falls", text)


def test_what_a_script_says_is_replaced_and_nothing_else_of_it():
    html = (
        "<script>const a = say`two of ${name}`; b.say`x y`; // it falls\n</script><th>it falls</th>"
    )
    assert translation.replaced(html, str.upper) == (
        "<script>const a = say`TWO OF ${NAME}`; b.say`x y`; // it falls\n</script><th>IT FALLS</th>"
    )
