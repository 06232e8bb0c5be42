"""The rendered book: it reads from a file, in both schemes, on a phone, by keyboard."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
import yaml
from helpers import (
    DESKTOP,
    OF_A_SCHEME,
    PHONE,
    ROOT,
    SCHEMES,
    Visit,
    build_book,
    load_script,
    slow_but,
)

from gatutils.attention import attend

# What axe-core finds in the book though nothing of the book's own is wrong: rule -> reason.
# `test_axe_baseline_is_the_bare_theme` holds each against a book with the theme's defaults.
AXE_BASELINE = {
    "region": "the theme puts the sidebar's logo outside of all landmarks",
    "aria-allowed-role": "docutils gives each bibliography entry the role doc-biblioentry",
    "aria-deprecated-role": "the same role, which WAI-ARIA has given up",
    "aria-required-children": "docutils makes the bibliography a list, and puts links into it",
}


def _toc_pages() -> list[str]:
    """The pages in reading order, without file endings."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


PAGES = _toc_pages()
# The pages of the API are all made alike from docstrings: a browser looks at the longest of them.
VISITED = [page for page in PAGES if not page.startswith("book/api/") or page.endswith("results")]

KOREAN = [f"ko/{page}" for page in VISITED if not page.startswith(("book/api/", "book/references"))]


# ---- Fixtures --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of two pages with all settings as they come, and what most pages have in them."""
    source = tmp_path_factory.mktemp("bare")
    files = {
        "_config.yml": "title: Bare\nlogo: logo.svg\nbibtex_bibfiles: [some.bib]\n",
        "_toc.yml": "format: jb-book\nroot: one\nchapters:\n  - file: two\n",
        "logo.svg": "<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'></svg>",
        "some.bib": "@book{one, author={A One}, title={B}, publisher={C}, year={2000}}\n"
        "@book{two, author={A Two}, title={B}, publisher={C}, year={2000}}\n",
        "one.md": "# One\n\nA [link](two.md), `code`, {cite:p}`one` and {cite:p}`two`.\n\n"
        "```python\nfor i in range(3):  # a comment\n    print(i, 'text')\n```\n",
        "two.md": "# Two\n\n```{bibliography}\n```\n",
    }
    for name, text in files.items():
        (source / name).write_text(text, encoding="utf-8")
    return build_book(source, source)


# With a scope, pytest puts all tests of a page after each other, and `visits` opens it once.
every_page = pytest.mark.parametrize("page", VISITED, scope="module")
every_edition = pytest.mark.parametrize("page", VISITED + KOREAN, scope="module")
every_chapter = pytest.mark.parametrize(
    "page", [page for page in VISITED if page.startswith("notebooks/")], scope="module"
)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)


# ---- Without a browser -----------------------------------------------------------------------


class _Loads(HTMLParser):
    """Collects the addresses that a browser would fetch on opening the page."""

    LINKS = frozenset(
        {"stylesheet", "preload", "prefetch", "modulepreload", "icon", "manifest", "preconnect"}
    )

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        names = ["src", "srcset", "poster"]
        if tag == "object":
            names.append("data")
        if tag in {"image", "use"}:
            names += ["href", "xlink:href"]
        if tag == "link" and self.LINKS & set(given.get("rel", "").lower().split()):
            names.append("href")
        self.addresses += [given[name] for name in names if name in given]
        self.addresses += _css_loads(given.get("style", ""))


def _css_loads(css: str) -> list[str]:
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    return re.findall(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""", css)


def _is_remote(address: str) -> bool:
    return address.startswith("//") or urlsplit(address).scheme in {"http", "https"}


def test_nothing_built_loads_from_the_network(book: Path) -> None:
    remote = {}
    for path in sorted([*book.rglob("*.html"), *book.rglob("*.css")]):
        text = path.read_text(encoding="utf-8")
        css = [text] if path.suffix == ".css" else re.findall(r"<style[^>]*>(.*?)</style>", text)
        addresses = [address for part in css for address in _css_loads(part)]
        if path.suffix == ".html":
            addresses += _Loads(text).addresses
        if bad := [address for address in addresses if _is_remote(address)]:
            remote[str(path.relative_to(book))] = bad
    assert not remote


def test_every_page_of_the_toc_is_built(book: Path) -> None:
    missing = [page for page in PAGES if not (book / f"{page}.html").is_file()]
    assert not missing
    assert f"{PAGES[0]}.html" in (book / "index.html").read_text(encoding="utf-8")


# ---- In a browser ----------------------------------------------------------------------------


@every_edition
def test_opens_from_a_file_without_network_or_errors(visits: Any, page: str) -> None:
    visit = visits(page)
    assert not visit.remote, "the page asks the network"
    assert not visit.failed, "a file is missing"
    assert not visit.errors, "the console complains"


@every_edition
def test_maths_is_rendered(visits: Any, page: str) -> None:
    found = visits(page).page.evaluate(
        r"""() => {
          const article = document.querySelector('article').cloneNode(true);
          const formulas = [...article.querySelectorAll('.math')];
          const bare = formulas.filter(f => !f.querySelector('mjx-container'));
          const errors = [...article.querySelectorAll('mjx-merror, [data-mjx-error]')];
          const silent = [...article.querySelectorAll('mjx-container')]
            .filter(m => !m.querySelector('mjx-assistive-mml math'));
          article.querySelectorAll('pre, code, script, style, mjx-container, .sig')
            .forEach(e => e.remove());
          return {
            bare: bare.map(f => f.textContent),
            errors: errors.map(e => e.getAttribute('data-mjx-error') || e.textContent),
            silent: silent.length,
            raw: article.textContent.match(/\\[()[\]]|\$\$|\\(?:begin|frac|alpha|sum)\b/g) || [],
          };
        }"""
    )
    assert found == {"bare": [], "errors": [], "silent": 0, "raw": []}


@every_page
def test_every_picture_says_what_it_shows(visits: Any, page: str) -> None:
    mute = visits(page).page.evaluate(
        """() => {
          const named = e => (e.getAttribute('aria-label') || '').trim() ||
            (e.getAttribute('aria-labelledby') || '').split(/\\s+/)
              .some(id => (document.getElementById(id)?.textContent || '').trim());
          const pictures = [...document.querySelectorAll('img')]
            .filter(e => !(e.getAttribute('alt') || '').trim());
          const drawings = [...document.querySelectorAll('article svg')]
            // The theme's icons stand inside controls, which have names of their own.
            .filter(e => !e.closest('[aria-hidden="true"], button, summary'))
            .filter(e => !(e.getAttribute('role') === 'img' && named(e)));
          return [...pictures, ...drawings].map(e => e.outerHTML.slice(0, 200));
        }"""
    )
    assert not mute


@every_page
def test_text_in_drawings_follows_the_scheme(visits: Any, page: str) -> None:
    """A colour that is fixed cannot be legible on both grounds; axe does not look into SVG."""
    light, dark = (
        visits(page, DESKTOP, scheme).page.evaluate(
            """() => [...document.querySelectorAll('article svg text')]
                 .map(e => [e.textContent.trim(), getComputedStyle(e).fill])"""
        )
        for scheme in SCHEMES
    )
    fixed = [text for text, other in zip(light, dark, strict=True) if text == other]
    assert not fixed


@every_page
def test_no_letter_stands_for_an_icon_that_its_font_does_not_have(visits: Any, page: str) -> None:
    """Icons are private characters; only the icon font has them."""
    found = visits(page).page.evaluate(
        """() => [...document.querySelectorAll('body, body *')].flatMap(e =>
          ['::before', '::after'].map(part => getComputedStyle(e, part))
            .filter(style => /[\ue000-\uf8ff]/.test(style.content)
              && !style.fontFamily.includes('Font Awesome'))
            .map(style => `${e.tagName} ${e.className} ${style.content}`))"""
    )
    assert not found


@pytest.mark.parametrize("page", ["notebooks/05-transformer"], scope="module")
def test_a_page_asks_for_little(visits: Any, page: str) -> None:
    """The icons are a font, not a script of 1.5 MB; the rest is the page, MathJax and the theme."""
    visit = visits(page)
    names = visit.page.evaluate(
        """() => [...document.querySelectorAll('script[src], link[rel=stylesheet], img')]
          .map(element => element.src || element.href)"""
    )
    files = [Path(unquote(urlsplit(name).path)) for name in {*names, visit.page.url}]
    weights = {file.name: file.stat().st_size for file in files if file.is_file()}
    assert "tex-mml-chtml.js" in weights
    assert sum(weights.values()) < 2.8e6, weights
    font = "document.fonts.check('900 16px \"Font Awesome 6 Free\"', '\\uf185')"
    assert visit.page.evaluate(font)  # the sun of the switch


@every_page
def test_headings_are_in_order(visits: Any, page: str) -> None:
    levels = visits(page).page.evaluate(
        """() => [...document.querySelectorAll('article :is(h1, h2, h3, h4, h5, h6)')]
                   .map(e => Number(e.tagName[1]))"""
    )
    assert levels[:1] == [1], "the article starts with its title"
    assert levels.count(1) == 1, "one title"
    jumps = [(a, b) for a, b in pairwise(levels) if b > a + 1]
    assert not jumps, "a level is skipped"


@every_edition
def test_a_phone_shows_the_page_without_scrolling_sideways(visits: Any, page: str) -> None:
    wide = visits(page, PHONE).page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          const clipped = e => {
            for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
              if (getComputedStyle(p).overflowX !== 'visible') return true;
            return false;
          };
          const out = [...document.querySelectorAll('article *, footer *')].filter(e => {
            const box = e.getBoundingClientRect();
            return box.width && box.right > width + 1 && !clipped(e);
          });
          return {
            page: document.documentElement.scrollWidth - width,
            elements: out.slice(0, 5).map(e => e.outerHTML.slice(0, 160)),
          };
        }"""
    )
    assert wide == {"page": 0, "elements": []}


@every_page
def test_a_table_fits_the_column_of_a_desktop(visits: Any, page: str) -> None:
    """And no cell runs into the next one."""
    wide = visits(page).page.evaluate(
        """() => [...document.querySelectorAll('article .pst-scrollable-table-container')]
          .flatMap(box => [box, ...box.querySelectorAll('th, td')])
          .filter(e => e.scrollWidth > e.clientWidth + 1)
          .map(e => [e.localName, e.scrollWidth, e.clientWidth, e.innerText.slice(0, 80)])"""
    )
    assert not wide


@pytest.mark.parametrize(
    "page", ["book/results", "book/notation", "notebooks/11-dynamic-attention"], scope="module"
)
def test_a_table_of_papers_or_symbols_is_cards_on_a_phone(visits: Any, page: str) -> None:
    table = ":is(table.gat-papers, table.gat-stack, table.gat-attentions)"
    widths = visits(page).page.evaluate(
        f"""() => [...document.querySelectorAll('article {table}')]
          .map(table => [...table.rows[0].cells].map(cell => cell.offsetWidth))"""
    )
    assert widths
    if page == "book/notation":
        assert all(row[1] == max(row) for row in widths), "its meaning has the most room"
    cut = visits(page, PHONE).page.evaluate(
        f"""() => [...document.querySelectorAll('article {table} td')]
          .filter(cell => cell.checkVisibility() && cell.scrollWidth > cell.clientWidth + 1
            || cell.getBoundingClientRect().right > innerWidth)
          .map(cell => cell.innerText)"""
    )
    assert not cut


@every_page
def test_only_what_scrolls_fades(visits: Any, page: str) -> None:
    wrong = visits(page, PHONE).page.evaluate(
        """async () => {
          for (let k = 0; k < 3; k++) await new Promise(requestAnimationFrame);
          return [...document.querySelectorAll(`article :is(.highlight pre, .output.text_html,
              .pst-scrollable-table-container, mjx-container[display])`)]
            .filter(e => e.checkVisibility())
            .filter(e => (e.scrollWidth > e.clientWidth)
              !== getComputedStyle(e).backgroundImage.includes('gradient'))
            .map(e => [e.scrollWidth, e.clientWidth, e.innerText.slice(0, 80)]);
        }"""
    )
    assert not wrong


@every_page
def test_no_line_of_a_phone_starts_with_what_belongs_to_the_one_above(
    visits: Any, page: str
) -> None:
    """The comma behind a formula, and the percent sign or the spread of a number."""
    lost = visits(page, PHONE).page.evaluate(
        r"""async () => {
          for (let k = 0; k < 3; k++) await new Promise(requestAnimationFrame);
          const lost = [];
          for (const formula of document.querySelectorAll('article span.math')) {
            const text = formula.nextSibling;
            if (!/^[,.;:)?!]/.test(text?.data ?? '') || !formula.checkVisibility()) continue;
            const mark = document.createRange();
            mark.setStart(text, 0);
            mark.setEnd(text, 1);
            const last = [...formula.querySelectorAll('mjx-container')].at(-1);
            if (mark.getBoundingClientRect().left < last.getBoundingClientRect().left)
              lost.push(formula.parentElement.innerText + text.data);
          }
          const texts = document.createTreeWalker(document.querySelector('article'),
            NodeFilter.SHOW_TEXT);
          while (texts.nextNode()) {
            const {data, parentElement} = texts.currentNode;
            if (/\d [%±]|± \d/.test(data)
                && !parentElement.closest('pre, code, script, style, svg, .math'))
              lost.push(data);
          }
          return lost;
        }"""
    )
    assert not lost


# ---- A chapter: quiet code, figures that fill the column ----------------------------------------


@every_chapter
def test_at_most_a_fifth_of_a_chapter_is_visible_code(visits: Any, page: str) -> None:
    """Of the height above the exercises; and no cell is longer than 25 lines."""
    shares = visits(page).page.evaluate(
        """() => {
          const heads = [...document.querySelectorAll('article h2')];
          const end = heads.find(h => h.textContent.startsWith('Exercises'))
            .getBoundingClientRect().top;
          const start = document.querySelector('article').getBoundingClientRect().top;
          const cells = [...document.querySelectorAll('article .cell_input')]
            .filter(e => e.checkVisibility() && e.getBoundingClientRect().top < end);
          const height = e => e.getBoundingClientRect().height;
          return {
            code: cells.map(height).reduce((a, b) => a + b, 0) / (end - start),
            longest: Math.max(...cells.map(e => e.innerText.trim().split('\\n').length)),
          };
        }"""
    )
    assert 0 < shares["code"] <= 0.2
    assert 0 < shares["longest"] <= 25


@every_chapter
def test_folded_code_is_one_word_below_what_it_shows(visits: Any, page: str) -> None:
    folded = visits(page).page.evaluate(
        """() => [...document.querySelectorAll('div.cell > details.hide')].map(e => ({
          words: e.querySelector('summary').innerText.replace(/[^a-z]/g, ''),
          last: e === e.parentElement.lastElementChild,
          below: [...e.parentElement.children].every(other => other === e ||
            other.getBoundingClientRect().bottom <= e.getBoundingClientRect().top + 1),
          height: e.getBoundingClientRect().height, shown: e.checkVisibility(),
        }))"""
    )
    assert {cell["words"] for cell in folded if cell["shown"]} <= {"code", "checked", "setup"}
    assert "checked" in {cell["words"] for cell in folded}
    assert all(cell["last"] and cell["below"] for cell in folded)
    assert max(cell["height"] for cell in folded) < 40


@every_chapter
def test_folded_cells_with_nothing_between_them_share_a_line(visits: Any, page: str) -> None:
    heights = visits(page).page.evaluate(
        """() => [...document.querySelectorAll('div.cell + div.cell > details.hide:only-child')]
          .map(e => [e, e.parentElement.previousElementSibling.querySelector(':scope > .hide')])
          .filter(([e, before]) => before && e.checkVisibility())
          .map(pair => pair.map(e => Math.round(e.getBoundingClientRect().top)))"""
    )
    assert all(one == other for one, other in heights)


@every_chapter
def test_a_caption_is_as_wide_as_the_column(visits: Any, page: str) -> None:
    """However narrow its table, one of a line's length takes one line, and widens nothing."""
    tall = visits(page).page.evaluate(
        """() => [...document.querySelectorAll('article table.gat-table > caption')]
          .filter(e => e.checkVisibility() && e.textContent.length < 70)
          .filter(e => e.clientHeight > 2.5 * parseFloat(getComputedStyle(e).fontSize)
            || e.closest('.output').scrollWidth > e.closest('.output').clientWidth)
          .map(e => e.textContent)"""
    )
    assert not tall


@every_chapter
def test_chapters_are_numbered_wherever_they_are_named(visits: Any, page: str) -> None:
    tab = visits(page).page
    number = int(re.findall(r"\d+", page)[0])
    assert tab.title().startswith(f"{number}. ")
    assert tab.inner_text("article h1").startswith(f"{number}. ")
    current = tab.eval_on_selector(".bd-sidebar-primary .current.active > a", "e => e.innerText")
    assert current.startswith(f"{number}. ")
    following = tab.eval_on_selector("a.right-next .prev-next-title", "e => e.innerText")
    assert following.startswith(f"{number + 1}. ") or number == 12


@every_chapter
@pytest.mark.parametrize(
    ("viewport", "least"),
    [({"width": 390, "height": 844}, 12), ({"width": 1440, "height": 900}, 12)],
)
def test_text_in_drawings_is_large_enough(
    visits: Any, page: str, viewport: Any, least: float
) -> None:
    """At least 12 pixels on a phone too, and on a desktop plots are as wide as the column."""
    drawn = visits(page, viewport).page.evaluate(
        """() => [...document.querySelectorAll('figure.gat-figure > svg')]
          .filter(svg => svg.checkVisibility()).map(svg => {
            const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
            const sizes = [...svg.querySelectorAll('text')]
              .map(e => parseFloat(getComputedStyle(e).fontSize) * scale);
            return {
              kind: svg.classList[0], alt: svg.getAttribute('aria-label'),
              smallest: Math.min(...sizes), width: box.width,
              column: svg.closest('section').getBoundingClientRect().width,
            };
          })"""
    )
    small = [(svg["alt"], svg["smallest"]) for svg in drawn if svg["smallest"] < least - 0.05]
    assert not small
    plots = [svg for svg in drawn if svg["kind"] == "gat-wide"]
    assert bool(plots) == (
        viewport["width"] > 1000 and any(svg["kind"] != "gat-drawing" for svg in drawn)
    )
    assert all(svg["width"] >= 0.95 * svg["column"] for svg in plots)


@every_chapter
def test_what_is_printed_does_not_wrap_on_a_phone(visits: Any, page: str) -> None:
    """Tables are tables; only sentences may wrap."""
    wrapped = visits(page, PHONE).page.evaluate(
        """() => [...document.querySelectorAll('article table.gat-table :is(th, td)')]
          .filter(cell => cell.checkVisibility()
            && cell.clientHeight > 3 * parseFloat(getComputedStyle(cell).fontSize))
          .map(cell => cell.innerText)"""
    )
    assert not wrapped


@pytest.mark.slow
@pytest.mark.parametrize("page", ["notebooks/02-attention", "notebooks/10-graph-attention"])
def test_paper_has_no_dead_words_and_ends_with_the_solutions(open_page: Any, page: str) -> None:
    tab = open_page(page)
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    shown = tab.evaluate(
        """() => ({
          bars: [...document.querySelectorAll('details.hide:not([open]) summary, .copybtn')]
            .filter(e => e.checkVisibility()).length,
          order: [...document.querySelectorAll('article :is(h2, div.exercise, div.solution)')]
            .map(e => e.matches('h2') ? e.firstChild.textContent : e.classList[0]),
          solutions: [...document.querySelectorAll('div.solution')]
            .map(e => e.innerText.length),
        })"""
    )
    assert shown["bars"] == 0
    last = shown["order"].index("Solutions")
    assert {"exercise"} == {
        kind for kind in shown["order"][:last] if kind in ("exercise", "solution")
    }
    assert set(shown["order"][last + 1 :]) == {"solution"}
    assert min(shown["solutions"]) > 60  # they are open
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator(".gat-solutions").count() == 0
    assert tab.locator("article div.exercise ~ div.solution").count() >= 3


def test_further_experiments_are_folded_until_one_asks_for_them(open_page: Any) -> None:
    tab = open_page("notebooks/04-self-attention")
    tab.reload(wait_until="load")  # the tests' own visits unfold a page
    folds = tab.locator("#further-experiments details.gat-further")
    count = folds.count()
    assert count >= 2
    assert tab.locator("details.gat-further[open]").count() == 0
    assert tab.locator("#further-experiments h3").count() == count
    assert all(folds.nth(k).locator("> summary h3").is_visible() for k in range(count))
    assert not folds.nth(0).locator("p").first.is_visible()

    folds.nth(0).locator("> summary").focus()
    tab.keyboard.press("Enter")
    assert folds.nth(0).locator("p").first.is_visible()

    last = tab.locator("#further-experiments > section").nth(count - 1)
    tab.evaluate("id => { location.hash = id }", last.get_attribute("id"))
    tab.wait_for_function("document.querySelectorAll('details.gat-further[open]').length == 2")

    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("details.gat-further[open]").count() == count
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator("details.gat-further[open]").count() == 2


# ---- The home page, and what every page's head says ---------------------------------------------


def test_home_shows_six_linked_panels_in_the_first_screen(visits: Any, book: Path) -> None:
    tab = visits("book/index", {"width": 1440, "height": 900}).page
    panels = tab.eval_on_selector_all(
        ".gat-way a", "all => all.map(a => [a.href, a.getBoundingClientRect().bottom])"
    )
    assert len(panels) == 6
    assert max(bottom for _, bottom in panels) <= 900
    for address, _ in panels:
        assert Path(unquote(urlsplit(address).path)).is_file()
    start = tab.locator("a.gat-start").first
    assert start.get_attribute("href") == "../notebooks/01-seq2seq.html"


@pytest.mark.parametrize("page", ["book/index", "notebooks/10-graph-attention", "genindex"])
def test_a_head_says_each_thing_once(book: Path, page: str) -> None:
    head = (book / f"{page}.html").read_text(encoding="utf-8").split("</head>")[0]
    assert head.count('name="viewport"') == 1
    if page != "genindex":
        assert head.count('property="og:image"') == 1
        assert (book / "_static" / "og.png").read_bytes()[16:24] == bytes(
            [0, 0, 4, 176, 0, 0, 2, 118]
        )


# Not the home page: sphinx-exercise notes formulas in titles of exercises for it by mistake.
@pytest.mark.parametrize("page", ["book/run", "book/api", "book/references"])
def test_a_page_without_a_formula_loads_no_mathjax(book: Path, page: str) -> None:
    text = (book / f"{page}.html").read_text(encoding="utf-8")
    assert 'class="math' not in text
    assert "tex-mml-chtml" not in text


@pytest.mark.slow
def test_the_pdf_holds_every_page_and_its_links_lead_inside(book: Path) -> None:
    pdf = load_script("book/pdf.py")
    text = pdf.joined(book)
    assert pdf.pages() == PAGES
    ids = set(re.findall(r' id="([^"]+)"', text))
    assert {pdf._anchor(page) for page in PAGES} <= ids
    lost = [link for link in re.findall(r'<a [^>]*href="#([^"]+)"', text) if link not in ids]
    assert not [link for link in lost if link.startswith("page-notebooks")]
    last = [page for page in PAGES if page.startswith("notebooks/")][-1]
    after = PAGES[PAGES.index(last) + 1]
    places = [f'id="{pdf._anchor(last)}"', "Solutions</h1>", f'id="{pdf._anchor(after)}"']
    assert sorted(places, key=text.index) == places
    contents = text[text.index("Contents</h1>") : text.index("</nav>", text.index("Contents</h1>"))]
    listed = re.findall(r'href="#([^"]+)"', contents)
    assert set(listed) == {pdf._anchor(page) for page in [*PAGES[1:], "solutions"]}
    assert listed.index("page-solutions") == listed.index(pdf._anchor(last)) + 1
    assert re.search(r'#page-book-api"[^<]*</a><ul>', contents)  # its pages are listed below it
    # The values of the tables of settings would fill pages.
    value = ">Seq2SeqPlan(steps="
    assert value in (book / "book/api/book-results.html").read_text(encoding="utf-8")
    assert value not in text
    assert "[source]" not in text


def test_the_contents_of_the_pdf_know_their_pages() -> None:
    written = b"""2 0 obj
<</Type /Page
/Resources 1 0 R>>
endobj
9 0 obj
<</Type /Page
/Resources 1 0 R>>
endobj
10 0 obj
<</Type /Pages
/Kids [2 0 R 9 0 R]>>
endobj
11 0 obj
<</page-one [2 0 R /XYZ 0 836.88 0]
/page-two--place [9 0 R /XYZ 0 464.13 0]>>"""
    pages = load_script("book/pdf.py").page_numbers(written)
    assert pages == {"page-one": 1, "page-two--place": 2}


def press_tab_until(tab: Any, condition: str, most: int) -> bool:
    """Hold Tab down until a condition in JavaScript holds, for at most so many stops."""
    try:
        for _ in range(0, most, 10):
            for _ in range(10):
                tab.keyboard.down("Tab")
            if tab.evaluate(condition):
                return True
        return False
    finally:
        tab.keyboard.up("Tab")


@pytest.mark.parametrize(
    "page",
    slow_but(["book/index", "notebooks/03-soft-dictionary"], VISITED[:-1]),
    scope="module",
)
def test_the_keyboard_reaches_the_next_chapter(visits: Any, page: str) -> None:
    """Tab leaves each interactive figure, and comes to the link at the end of the page."""
    tab = visits(page).page
    figures = tab.evaluate(
        """() => {
          const next = document.querySelector('a.right-next');
          window.rings = [];
          next.addEventListener('focus', event =>
            rings.push(getComputedStyle(event.target).outlineStyle));
          // The last to hear of it: where nobody has objected, the browser would go there now.
          window.addEventListener('click', event => {
            window.followed = event.defaultPrevented || event.target.closest('a')?.href;
            event.preventDefault();
          }, {once: true});
          window.figures = [...document.querySelectorAll('article *')]
            .filter(e => e.localName.startsWith('gat-'));
          window.before = (element, count) => {  // focus the stop that lies so many before it
            const stops = [...document.querySelectorAll('a[href], button, summary, input')];
            const earlier = stops.filter(e => e.checkVisibility({checkVisibilityCSS: true})
              && element.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_PRECEDING);
            (earlier.at(-count) ?? earlier[0]).focus();
          };
          return figures.length;
        }"""
    )
    for k in range(figures):
        tab.evaluate("k => before(figures[k], 1)", k)
        left = f"""() => figures[{k}].compareDocumentPosition(document.activeElement)
          & Node.DOCUMENT_POSITION_FOLLOWING"""
        assert press_tab_until(tab, left, 200), f"Tab does not leave figure {k + 1}"
    tab.evaluate("before(document.querySelector('a.right-next'), 40)")
    press_tab_until(tab, "rings.length", 300)
    ring = tab.evaluate("rings[0]")
    assert ring, "Tab does not come to the link to the next page"
    assert ring != "none", "the focus is not to be seen"
    tab.locator("a.right-next").press("Enter")
    here, following = Path(unquote(urlsplit(tab.url).path)), PAGES[PAGES.index(page) + 1]
    target = Path(unquote(urlsplit(tab.evaluate("followed")).path))
    assert target == here.parents[page.count("/")] / f"{following}.html"


@pytest.mark.slow  # on all pages together
@every_scheme
@every_edition
def test_axe_finds_nothing_of_our_own(visits: Any, axe: Any, page: str, scheme: str) -> None:
    tab = visits(page, DESKTOP, scheme).page
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    found = axe(tab, OF_A_SCHEME if scheme == "dark" else ())
    news = {rule: nodes[:5] for rule, nodes in found.items() if rule not in AXE_BASELINE}
    assert not news, json.dumps(news, indent=1, ensure_ascii=False)


@pytest.mark.slow
def test_axe_baseline_is_the_bare_theme(browser: Any, axe: Any, bare_book: Path) -> None:
    assert not set(AXE_BASELINE) & set(OF_A_SCHEME), "one scheme tells"
    visit, bare = Visit(browser), set()
    for name in ("one", "two"):
        bare |= set(axe(visit.open(bare_book / f"{name}.html")))
    visit.close()
    extra = set(AXE_BASELINE) - bare
    assert not extra, f"not a finding of the bare theme, which has {sorted(bare)}"


@pytest.mark.slow
def test_the_switch_changes_the_scheme_and_the_choice_is_kept(book: Path, open_page: Any) -> None:
    tab = open_page(PAGES[0])
    grounds, chosen = {}, {}
    for _ in range(3):  # light, automatic, dark
        look = "() => [{...document.documentElement.dataset}, getComputedStyle(document.body)" + (
            ".backgroundColor]"
        )
        data, ground = tab.evaluate(look)
        grounds[data["theme"]], chosen[data["mode"]] = ground, data["theme"]
        if data["mode"] == "dark":
            # What a page stores reaches the browser a little later: a reader comes back later, too.
            for _ in range(20):
                tab.reload()
                again, ground = tab.evaluate(look)
                if again["mode"] == "dark":
                    break
                tab.wait_for_timeout(100)
            assert (again["mode"], again["theme"], ground) == ("dark", "dark", grounds["dark"])
        tab.locator("button.theme-switch-button:visible").first.click()
    assert chosen == {"light": "light", "auto": "light", "dark": "dark"}
    assert grounds["light"] != grounds["dark"]


# ---- The figures that one touches, on their pages ----------------------------------------------


def shown_by_each_key(page: Any, figure: str, read: str, keys: list[str]) -> list[Any]:
    """Press keys, and return what a figure shows after each, as ``read`` of JavaScript tells."""
    page.locator(figure).evaluate(
        """(figure, read) => {
          const look = eval(read);
          window.seen = [];
          window.hear = () => seen.push(look(figure.shadowRoot));
          addEventListener('keyup', hear);
        }""",
        read,
    )
    for key in keys:
        page.keyboard.press(key)
    return list(page.evaluate("() => (removeEventListener('keyup', hear), seen)"))


@pytest.mark.slow
def test_chapter_3_slider_gives_what_attend_gives(open_page: Any) -> None:
    page = open_page("notebooks/03-soft-dictionary")
    taste = torch.tensor([[0.0, 1.0], [0.6, 0.8], [0.8, 0.6], [1.0, 0.0]])
    prices = torch.tensor([[1.0], [2.0], [3.0], [8.0]])
    pear = torch.tensor([[0.96, 0.28]])
    page.locator("gat-lookup input[type=range]").focus()
    read = """root => ['weight', 'result'].map(name =>
      [...root.querySelectorAll(`[data-${name}]`)].map(e => Number(e.dataset[name])))"""
    shown = shown_by_each_key(page, "gat-lookup", read, ["Home", *["ArrowRight"] * 40])
    assert shown[0] == [[0, 0, 0, 1], [8]]  # a dictionary: the melon is nearest
    for position, (weight, result) in enumerate(shown[1:40], start=1):
        temperature = 10 ** ((position - 20) / 10)
        context, weights = attend(pear @ taste.T / temperature, prices)
        assert weight == pytest.approx(weights[0].tolist(), abs=1e-5)
        assert result == pytest.approx([context.item()], abs=1e-4)
    assert shown[40] == [[0.25] * 4, [3.5]]  # the plain mean


@pytest.mark.slow
@pytest.mark.parametrize("name", ["04-self-attention", "05-transformer"])
def test_heads_answer_to_the_keyboard(open_page: Any, name: str) -> None:
    """Every word of every head: what is shown is the row of that head's table."""
    page = open_page(f"notebooks/{name}")
    radios = page.locator("gat-heads input[type=radio]")
    tables = page.locator("gat-heads table").evaluate_all(
        """tables => tables.map(table => [...table.tBodies[0].rows].map(row =>
             [...row.querySelectorAll('td')].map(cell => Number(cell.textContent))))"""
    )
    assert len(tables) == radios.count()
    radios.first.focus()
    page.keyboard.press("Space")
    read = """root => [root.querySelectorAll('button[aria-pressed=true]').length,
      [...root.querySelectorAll('li[data-weight]')].map(e => Number(e.dataset.weight))]"""
    for head, table in enumerate(tables):
        if head:
            page.keyboard.press("ArrowRight")
        assert radios.nth(head).is_checked()
        page.keyboard.press("Tab")  # the words: one stop
        keys = ["Home", *["ArrowDown"] * (len(table) - 1)]
        for row, (pressed, weights) in zip(
            table, shown_by_each_key(page, "gat-heads", read, keys), strict=True
        ):
            assert pressed == 1
            assert weights == pytest.approx(row, abs=0.0051)
            assert sum(weights) == pytest.approx(1, abs=0.002)
        page.keyboard.press("Shift+Tab")
