"""The book in other languages: catalogues, and what Sphinx does not translate by itself."""

import html
import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, cast

import pytest
import torch
from babel.messages.pofile import read_po
from docutils import frontend, nodes
from docutils.parsers.rst import Parser
from helpers import ROOT, html_of, load_script, not_none
from hypothesis import given
from hypothesis import strategies as st
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.errors import PycodeError

from gatutils.book.figures import (
    decoder,
    graph_attention,
    gru_cell,
    heads,
    lookup,
    masks,
    message_passing,
    minefield,
    pronounce,
    receptive_field,
    self_attention,
)
from gatutils.book.figures.elements import SCRIPTS
from gatutils.book.tasks.graphs import scale_free
from gatutils.graph import Graph

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
        assert not set(translate.problems(message, message)) - {
            "is in English",
            "begins a list: write 1\\. for 1.",
        }


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
        ("${one} and ${other}", "${other}, ${one}", None),
        ("word ${place} of ${count}", "${count} 중 ${place}번째 단어", None),
        ("word ${place} of ${count}", "${place}번째 단어", "lacks 1 x placeholder ${count}"),
        ("\nx = \\text{old}\n", "\nx = \\text{옛}\n", None),
        ("\nx = \\text{old}\n", "\ny = \\text{옛}\n", "lacks 1 x formula x = \\text{}"),
        ("all of these words are English", "all of these words are English", "is in English"),
        ("1. A pencil", "1. 연필", "begins a list: write 1\\. for 1."),
        ("1. A pencil", "1\\. 연필", None),
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


def test_a_quotation_mark_does_not_end_a_label():
    label = '<svg aria-label="a curve">'
    assert translation.replaced(label, lambda _: 'a "curve"') == (
        '<svg aria-label="a &quot;curve&quot;">'
    )


def test_what_a_script_says_is_replaced_and_nothing_else_of_it():
    html = (
        "<script>const a = say`two of ${name}`; b.say`x y`; // it falls\n</script><th>it falls</th>"
    )
    assert translation.replaced(html, str.upper) == (
        "<script>const a = say`TWO OF ${NAME}`; b.say`x y`; // it falls\n</script><th>IT FALLS</th>"
    )


# ---- Interactive figures -------------------------------------------------------------------------

EYE = torch.eye(3)
TWO_EDGES = Graph.from_edges([(0, 1), (1, 2)], 4, undirected=True)
LETTERS = ["가", "나", "다"]
WEIGHTS = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.7, 0.1], [1.0, 0.0, 0.0]])
BOARD = ["1" if k % 3 else "" for k in range(64)]
NEAR = [3 - (k in (0, 7)) for k in range(8)]

# An example of each element, whose data has no English words of its own.
FIGURES = {
    "gat-receptive-field": lambda: receptive_field(*scale_free(), "layers and fan-outs", start=21),
    "gat-attention": lambda: graph_attention(
        TWO_EDGES,
        torch.tensor([[1.0, 0], [0, 1], [1, 1], [2, 0]]),
        torch.tensor([[1.0, 1], [1, -1]]),
        torch.tensor([-1, 0.5, 0.5, -1]),
        list("1234"),
        "step by step",
    ),
    "gat-decoder": lambda: decoder(WEIGHTS, LETTERS, LETTERS, "word by word"),
    "gat-gru-cell": lambda: gru_cell("a GRU", input_label="sum of messages c"),
    "gat-heads": lambda: heads(
        torch.stack([WEIGHTS, WEIGHTS * torch.tensor([[1.0], [0], [1]])]), LETTERS, LETTERS, "two"
    ),
    "gat-lookup": lambda: lookup(
        {"가": [0.8, 0.6], "나": [0.96, 0.28], "다": [1.0, 0.0]},
        {"라": [0.8, 0.6], "마": [0.8, 0.6], "바": [1.0, 0.0]},
        [1.0, 2.0, 3.0],
        "a lookup",
        axes=("sweet", "sour"),
    ),
    "gat-masks": lambda: masks(
        {"causal": EYE.bool(), "none": torch.zeros(3, 3, dtype=torch.bool)},
        {"causal": EYE, "none": 0 * EYE},
        LETTERS,
        "two masks",
    ),
    "gat-message-passing": lambda: message_passing(
        TWO_EDGES, torch.arange(4.0)[:, None], list("1234"), "one round"
    ),
    "gat-minefield": lambda: minefield(
        BOARD,
        [k % 5 == 0 for k in range(64)],
        [9] * 64,
        [[[0] * (a * b - 1) + [100] for a in NEAR for b in NEAR]],
        "a board",
    ),
    "gat-pronounce": lambda: pronounce(
        ["a", "be", "o"],
        [["AH", "EY"], ["B IY"], ["OW"]],
        {"one context vector": ["AH", "IY", "OW B IY"], "attention": ["AA", "B IY", ""]},
        [[[100], [100]], [[90, 10], [0, 100], [50, 50]], [[100]]],
        [True, False, True],
        "a",
        "three words",
        examples=["a", "be", "o"],
    ),
    "gat-self": lambda: self_attention(
        torch.eye(4)[:3],
        torch.eye(4),
        torch.eye(4),
        torch.eye(4),
        LETTERS,
        "words",
        features=list("1234"),
        dimensions=list("1234"),
    ),
}

# Names that stand in any language: of functions, of an exception, of indices.
NAMES = {"LeakyReLU", "KeyError", "tanh", "exp", "max", "ij"}

# Choose, click and move at random what a reader can, and return all that stood there to be read.
WALK = """async steps => {
  const root = document.querySelector('[data-figure]').shadowRoot, found = new Set();
  let seed = 1;
  const random = below => (seed = (seed * 48271) % 2147483647) % below;
  const read = () => {
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (texts.nextNode())
      if (texts.currentNode.parentElement?.localName !== 'style') found.add(texts.currentNode.data);
    for (const element of root.querySelectorAll('*'))
      for (const name of ['aria-label', 'aria-valuetext', 'title', 'placeholder', 'alt', 'label'])
        if (element.hasAttribute(name)) found.add(element.getAttribute(name));
  };
  read();
  for (let k = 0; k < steps; k++) {
    const all = [...root.querySelectorAll(
      'button, input, option, td[data-i], [role=button], [role=slider]')];
    const kinds = Object.values(Object.groupBy(all, e => `${e.localName}${e.className}${e.type}`));
    const kind = kinds[random(kinds.length)], element = kind[random(kind.length)];
    if (element.type === 'range') {
      const { min, max } = element, at = random(4) / 3;
      element.value = Number(min) + at * (max - min);
      element.dispatchEvent(new Event('input', { bubbles: true }));
    } else if (element.type === 'text') {
      element.value = ['be', '\u00e9', 'a1'][random(3)];
      element.dispatchEvent(new Event('change', { bubbles: true }));
    } else if (element.localName === 'option') {
      element.parentElement.value = element.value;
      element.parentElement.dispatchEvent(new Event('change', { bubbles: true }));
    } else if (element.getAttribute('role') === 'slider') {
      const key = ['ArrowUp', 'ArrowDown', 'Home', 'End'][random(4)];
      element.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
    } else element.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    read();
  }
  return [...found];
}"""


def veiled(message):
    """A message in no language, with its placeholders and tags."""
    return re.sub(r"(\$\{\w+\}|<[^>]*>|&[#\w]+;)|[A-Za-z]", lambda found: found[1] or "ㅁ", message)


def own_words(data):
    """The words in a figure's data."""
    if isinstance(data, dict):
        return set().union(*map(own_words, data.values()))
    if isinstance(data, list):
        return set().union(*map(own_words, data))
    return set(re.findall(r"[A-Za-z]{2,}", data)) if isinstance(data, str) else set()


def test_every_interactive_figure_has_an_example():
    assert set(FIGURES) == set(SCRIPTS)


@pytest.mark.parametrize("element", FIGURES)
def test_all_that_is_read_in_a_figure_is_a_message(shared_page, element):
    """With each message veiled, whatever a reader does, no English is left."""
    figure = FIGURES[element]()
    page = translation.replaced(html_of(figure), veiled)
    shared_page.set_content(page)
    written = re.search(r'data-figure="([^"]*)"', page)
    assert written is not None
    own = own_words(json.loads(html.unescape(written[1])))
    read = shared_page.evaluate(WALK, 400)
    assert any("ㅁ" in text for text in read)
    english = {
        text: words
        for text in read
        if (words := set(re.findall(r"[A-Za-z]{2,}", text)) - own - NAMES)
    }
    assert english == {}


def test_the_words_in_the_data_of_a_figure_are_replaced():
    written = translation.replaced(html_of(FIGURES["gat-gru-cell"]()), veiled)
    assert "[[&quot;ㅁㅁㅁ ㅁㅁ&quot;,&quot;ㅁㅁㅁㅁㅁㅁㅁㅁ&quot;],&quot;c&quot;]" in written
    written = translation.replaced(html_of(FIGURES["gat-lookup"]()), str.upper)
    assert "&quot;axes&quot;:[&quot;SWEET&quot;,&quot;SOUR&quot;]" in written
    assert 'aria-label="A LOOKUP" data-figure="' in written
    script = 'customElements.define("gat-lookup", Lookup)'
    assert script in written


@pytest.mark.parametrize("element", FIGURES)
def test_a_message_of_a_figure_is_whole_and_can_be_replaced(element):
    """It has words, and placeholders that are plain names; none is inside another."""
    script = html_of(FIGURES[element]()).split("<script>")[1].split("</script>")[0]
    said = [found[1] for found in translation.SAID.finditer(script)]
    assert len(said) == script.count("say`") > 0
    for message in said:
        assert translate.has_words(message)
        assert re.fullmatch(r"(?:[^${}]|\$\{\w+\})*", message)
        assert "\n" not in message


# ---- The pages -----------------------------------------------------------------------------------

PAGE = re.compile(r"<article.*?</article>", re.DOTALL)
HEADING = re.compile(r"<h([1-6])\b[^>]*>(.*?)</h\1>", re.DOTALL)
IN_BOTH = {"1. Seq2seq", "API"}


@pytest.mark.parametrize("page", [page for page in PAGES if "/" in page])
def test_headings_are_translated_and_have_the_same_addresses(book, page):
    """The switch between the languages stays at a section."""
    english, korean = (
        not_none(PAGE.search((book / folder / f"{page}.html").read_text(encoding="utf-8")))[0]
        for folder in ("", LANGUAGE)
    )
    ids = [set(re.findall(r'<section[^>]* id="([^"]*)"', text)) for text in (english, korean)]
    assert ids[0] == ids[1]
    for found in HEADING.finditer(korean):
        text = re.sub(r"<[^>]*>", "", found[2]).removesuffix("#").strip()
        assert re.search(r"[가-힣]", text) or text in IN_BOTH


FORMULA = re.compile(r"\\\[(.*?)\\\]|\\\((.*?)\\\)", re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if "/" in page])
def test_a_page_has_the_formulas_of_its_source(book, page):
    """Their order may differ within a sentence, and so may the words in them."""
    found = []
    for folder in ("", LANGUAGE):
        text = not_none(PAGE.search((book / folder / f"{page}.html").read_text(encoding="utf-8")))
        formulas = (block or inline for block, inline in FORMULA.findall(text[0]))
        found.append(sorted(re.sub(r"\\text\{[^}]*\}", "", formula) for formula in formulas))
    assert found[0] == found[1]


def test_a_page_names_its_other_edition(book):
    for page in ("book/index", "notebooks/10-graph-attention"):
        for folder, language in (("", "en"), (LANGUAGE, LANGUAGE)):
            path = book / folder / f"{page}.html"
            head = path.read_text(encoding="utf-8").split("</head>")[0]
            assert f'<html lang="{language}"' in head
            links = dict(
                re.findall(r'<link rel="alternate" hreflang="(\w+)" href="([^"]*)">', head)
            )
            assert set(links) == {"en", LANGUAGE}
            for code, address in links.items():
                other = (path.parent / address).resolve()
                assert other == (book / ("" if code == "en" else code) / f"{page}.html").resolve()
                assert other.is_file()


def test_no_label_of_the_theme_is_left_in_english(book):
    for path in (book / LANGUAGE).rglob("*.html"):
        labels = re.findall(r' (?:aria-label|title)="([^"]*)"', path.read_text(encoding="utf-8"))
        assert not {*labels} & {*translation.LABELS, "Link to this heading"}


def test_the_source_code_has_one_edition(book):
    assert not (book / LANGUAGE / "_modules").exists()
    for folder in ("", LANGUAGE):
        page = book / folder / "book" / "api" / "attention.html"
        links = re.findall(r'href="([^"]*_modules/[^"]*)"', page.read_text(encoding="utf-8"))
        assert links
        for link in links:
            address, anchor = link.split("#")
            assert f'id="{anchor}"' in (page.parent / address).read_text(encoding="utf-8")
    source = (book / "_modules" / "gatutils" / "attention.html").read_text(encoding="utf-8")
    assert 'rel="alternate"' not in source
    assert "gat-language" not in source
    assert 'href="../../book/index.html"' in source  # its sidebar leads home, and searches
    assert "search-button-field" in source
    assert "bd-links" not in source  # but the list of all chapters costs the build time


def test_without_the_messages_of_the_pages_no_catalogue_is_lost(tmp_path, monkeypatch):
    """As after a build that failed."""
    kept = tmp_path / LANGUAGE / "LC_MESSAGES" / "book" / "index.po"
    kept.parent.mkdir(parents=True)
    kept.write_text('msgid "a"\nmsgstr "가"\n', encoding="utf-8")
    monkeypatch.setattr(translate, "CATALOGUES", tmp_path)
    monkeypatch.setattr(translate, "TEMPLATES", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no messages of the pages"):
        translate.refresh()
    assert kept.is_file()


# ---- What a build caches ------------------------------------------------------------------------


def set_up_cache(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put its functions in the place of the libraries', until the test is over."""
    for name, replaced in {
        "docutils.frontend": ["get_default_settings"],
        "docutils.nodes": ["Node._fast_findall", "Node._superfast_findall"],
        "myst_parser.parsers.sphinx_": ["create_md_parser"],
        "pybtex.plugin": ["entry_points"],
        "sphinx.environment.collectors.toctree": ["TocTreeCollector.assign_figure_numbers"],
        "sphinx.ext.autodoc": ["ModuleAnalyzer"],
        "sphinx.ext.autodoc.importer": ["ModuleAnalyzer"],
    }.items():
        module = importlib.import_module(name)
        for path in replaced:
            *owners, attribute = path.split(".")
            owner = getattr(module, owners[0]) if owners else module
            monkeypatch.setattr(owner, attribute, getattr(owner, attribute))
    script = load_script("book/build_cache.py")
    script.setup(None)
    return script


def test_what_a_build_caches_is_what_it_would_compute(monkeypatch):
    """And what differs between calls is not shared."""
    markdown: Any = importlib.import_module("myst_parser.parsers.sphinx_")
    plugins: Any = importlib.import_module("pybtex.plugin")
    settings = frontend.get_default_settings(Parser)
    found = list(plugins.entry_points(group="pybtex.backends"))
    set_up_cache(monkeypatch)

    one, other = (frontend.get_default_settings(Parser) for _ in range(2))
    assert vars(one).keys() == vars(settings).keys()
    one.language_code = "ko"
    assert other.language_code == settings.language_code == "en"
    assert list(plugins.entry_points(group="pybtex.backends")) == found
    assert list(plugins.entry_points(group="pybtex.style.names")) != found

    plain, formulas = MdParserConfig(), MdParserConfig(enable_extensions={"dollarmath"})
    parsers = [markdown.create_md_parser(config, RendererHTML) for config in (plain, formulas)]
    assert markdown.create_md_parser(plain, RendererHTML) is parsers[0]
    assert parsers[0].render("$x$") == "<p>$x$</p>\n"
    assert "math" in parsers[1].render("$x$")


@given(st.data())
def test_a_walk_through_a_page_meets_what_docutils_meets(data):
    """Also where what has been met is changed on the way, as transforms do."""
    script = load_script("book/build_cache.py")
    kinds = [nodes.emphasis, nodes.paragraph, nodes.section]

    def tree(depth: int) -> nodes.Node:
        if depth == 0 or data.draw(st.integers(0, 3)) == 0:
            return nodes.Text(data.draw(st.text("ab", max_size=2)))
        below = [tree(depth - 1) for _ in range(data.draw(st.integers(0, 3)))]
        return data.draw(st.sampled_from(kinds))("", *below)

    root = tree(4)
    assert list(script.find_all(root)) == list(nodes.Node._superfast_findall(root))
    for kind in (*kinds, nodes.Text, nodes.Element):
        met = list(script.find_instances(root, kind))
        theirs = list(nodes.Node._fast_findall(root, kind))
        assert [id(node) for node in met] == [id(node) for node in theirs]

    changed = root.deepcopy()
    for walk, walked in ((script.find_all, root), (nodes.Node._superfast_findall, changed)):
        for count, node in enumerate(walk(walked)):
            if count % 3 == 1 and isinstance(node, nodes.Element):
                node.children = node.children[::2]
    assert root.pformat() == changed.pformat()


def test_a_page_is_read_from_memory_only_while_figures_are_numbered(monkeypatch):
    asked: list[object] = []

    def number(_: object, env: Any) -> None:
        asked.extend(env.get_doctree(page) for page in ("kept", "stored"))

    monkeypatch.setattr(TocTreeCollector, "assign_figure_numbers", number)
    set_up_cache(monkeypatch)

    class Environment:
        _write_doc_doctree_cache: ClassVar = {"kept": nodes.section()}

        def get_doctree(self, page: str) -> str:
            return f"{page}, from the disk"

    collector, environment = TocTreeCollector(), cast(Any, Environment())
    collector.assign_figure_numbers(environment)
    assert asked == [Environment._write_doc_doctree_cache["kept"], "stored, from the disk"]
    assert environment.get_doctree("kept") == "kept, from the disk"


def test_autodoc_reads_no_sources_of_others(monkeypatch):
    set_up_cache(monkeypatch)
    analyzer = importlib.import_module("sphinx.ext.autodoc").ModuleAnalyzer
    assert "GATConv" in analyzer.for_module("gatutils.graph_attention").find_tags()
    with pytest.raises(PycodeError, match="not documented here"):
        analyzer.for_module("torch.nn.modules.module")
