"""Print the whole book into one PDF, with a table of contents and bookmarks.

``make pdf`` builds the pages and calls this. The pages are put one after another into a single
one, which headless Chromium prints; solutions follow after the last chapter.
"""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
FOOTER = (
    '<div style="font:9px sans-serif;width:100%;text-align:center;color:#555">'
    '<span class="pageNumber"></span></div>'
)

SCALE = 0.85  # 10 points for the text, and 79 characters of code fit

STYLE = """
article + article, article + nav, nav + article { break-before: page }
.bd-article section { max-width: none }
nav.bd-article { line-height: 1.4 }
nav ul { list-style: none; margin: 0; padding: 0 }
nav ul ul { padding-left: 1.5em }
nav p { font-weight: 600; margin: 1em 0 .2em; break-after: avoid }
nav a { color: inherit; display: flex; gap: .5em; padding: .1em 0; text-decoration: none }
nav a::before { border-bottom: 1px dotted; content: ""; flex: 1; margin-bottom: .35em; order: 1 }
nav a::after { content: attr(data-page); order: 2 }
"""
LONGEST_WHOLE = 14  # lines of code that stay on one page
LONGEST_VALUE = 200  # characters; those of tables of settings go on for pages


def _parts() -> dict[str, list[str]]:
    """Return the parts of the table of contents with their pages, without the first page."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return {
        part["caption"]: [chapter["file"] for chapter in part["chapters"]] for part in toc["parts"]
    }


def pages() -> list[str]:
    """Return the pages of the table of contents, in order, such as "notebooks/01-seq2seq"."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(name for names in _parts().values() for name in names)]


def joined(html: Path) -> str:
    """Return one page that holds all articles; links between them lead to places inside it.

    The solutions of all chapters come after the last of them.
    """
    names = pages()
    whole = BeautifulSoup((html / f"{names[1]}.html").read_text(encoding="utf-8"), "html.parser")
    for script in whole.find_all("script"):  # of the scripts only MathJax is needed
        if "MathJax" not in script.get_text() and "mathjax" not in str(script.get("src")):
            script.decompose()
    articles, titles = {}, {}
    solutions = whole.new_tag("section")
    solutions.append(_element(whole, "h1", "Solutions"))
    for name in names:
        page = BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        article: Any = page.find("article", class_="bd-article")
        _keep_links(article, name)
        for dead in article.select("a.headerlink, a:has(> .viewcode-link)"):
            dead.decompose()
        for value in article.select("dt.sig > em.property"):
            if len(value.get_text()) > LONGEST_VALUE:
                value.string = " = …"
        for code in article.find_all("pre"):
            if code.get_text().count("\n") <= LONGEST_WHOLE:
                code.parent["style"] = "break-inside: avoid"
        article["id"] = _anchor(name)
        articles[name], titles[name] = article, article.find("h1").get_text()
        found = article.find_all("div", class_="solution")
        if found:
            solutions.append(_element(whole, "h2", titles[name]))
            solutions.extend([solution.extract() for solution in found])
    wrapper = whole.new_tag("article", attrs={"class": "bd-article", "id": _anchor("solutions")})
    wrapper.append(solutions)
    last = max(i for i, name in enumerate(names) if name.startswith("notebooks/"))
    book: Any = whole.new_tag("main")
    book.append(articles[names[0]])
    book.append(_contents(whole, titles, names[last]))
    for i, name in enumerate(names[1:], start=1):
        book.append(articles[name])
        if i == last:
            book.append(wrapper)
    body: Any = whole.body
    head: Any = whole.head
    body.clear()
    body.append(book)
    head.append(_element(whole, "style", STYLE))
    whole.html["data-theme"] = "light"  # type: ignore[index]
    return str(whole)


def _contents(whole: BeautifulSoup, titles: dict[str, str], last: str) -> Any:
    """Return the table of contents: the parts, their pages, and below a page those of its folder.

    The solutions are listed after the last chapter.
    """
    nav: Any = whole.new_tag("nav", attrs={"class": "bd-article"})
    nav.append(_element(whole, "h1", "Contents"))
    for caption, names in _parts().items():
        nav.append(_element(whole, "p", caption))
        entries: Any = whole.new_tag("ul")
        nav.append(entries)
        for name in names:
            entry = whole.new_tag("li")
            entry.append(_element(whole, "a", titles[name], href=f"#{_anchor(name)}"))
            below = os.path.dirname(name) in names
            if below and not entries.contents[-1].ul:
                entries.contents[-1].append(whole.new_tag("ul"))
            (entries.contents[-1].ul if below else entries).append(entry)
            if name == last:
                entry = whole.new_tag("li")
                entry.append(_element(whole, "a", "Solutions", href=f"#{_anchor('solutions')}"))
                entries.append(entry)
    return nav


def _element(whole: BeautifulSoup, tag: str, text: str, **attributes: str) -> Any:
    element = whole.new_tag(tag, attrs=dict(attributes))
    element.string = text
    return element


def _anchor(page: str) -> str:
    return "page-" + re.sub(r"\W+", "-", page)


def _keep_links(article: Any, page: str) -> None:
    """Give ids a prefix for their page, since two pages may use the same, and follow them."""
    prefix = _anchor(page)
    for element in article.find_all(id=True):
        if not element.find_parent("svg"):
            element["id"] = f"{prefix}--{element['id']}"
    for link in article.find_all("a", href=True):
        target, _, place = unquote(link["href"]).partition("#")
        if re.match(r"\w+:", target):
            continue
        if target.endswith(".html"):
            other = os.path.normpath(os.path.join(os.path.dirname(page), target))
            prefix_there = _anchor(other.removesuffix(".html"))
        elif target:
            continue
        else:
            prefix_there = prefix
        link["href"] = f"#{prefix_there}--{place}" if place else f"#{prefix_there}"


def page_numbers(pdf: bytes) -> dict[str, int]:
    """Return the number of the page on which each article begins, from a PDF as Chromium writes it.

    Chromium has no ``target-counter`` of CSS. It writes the pages in order, and the places that
    links lead to as ``/name [object 0 R /XYZ ...]``.
    """
    pages = re.findall(rb"(\d+) 0 obj\s*<<\s*/Type\s*/Page\b", pdf)
    numbers = {page: number for number, page in enumerate(pages, start=1)}
    places = re.findall(rb"/(page-[\w-]+?)\s*\[\s*(\d+) 0 R\s*/XYZ", pdf)
    return {name.decode(): numbers[page] for name, page in places if page in numbers}


def save(html: Path, path: Path) -> None:
    """Print the built pages into one PDF, written whole or not at all."""
    from playwright.sync_api import sync_playwright

    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
    found = os.environ.get("GATUTILS_CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )
    source = html / "book" / "_print.html"
    draft = path.with_suffix(".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.write_text(joined(html), encoding="utf-8")
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=found)
            page = browser.new_page()
            page.set_default_timeout(0)  # a whole book takes its time
            page.goto(source.as_uri())
            page.evaluate("async () => { await window.MathJax?.startup?.promise }")
            for _ in range(2):  # the first time tells the numbers of the pages for the contents
                page.pdf(
                    path=draft,
                    format="A4",
                    scale=SCALE,
                    margin={"top": "18mm", "bottom": "18mm", "left": "20mm", "right": "20mm"},
                    display_header_footer=True,
                    header_template="<span></span>",
                    footer_template=FOOTER,
                    print_background=True,
                    outline=True,
                    tagged=True,
                )
                page.evaluate(
                    """numbers => {
                      for (const link of document.querySelectorAll("nav.bd-article a"))
                        link.dataset.page = numbers[link.hash.slice(1)] ?? "";
                    }""",
                    page_numbers(draft.read_bytes()),
                )
            browser.close()
        os.replace(draft, path)
    finally:
        source.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)


def main() -> int:
    """Print the book whose pages are built already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("html", type=Path, nargs="?", default=ROOT / "_build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "book.pdf")
    options = parser.parse_args()
    if not (options.html / "index.html").exists():
        print(f"html: expected a built book, got {options.html}; run `make book`", file=sys.stderr)
        return 1
    save(options.html.resolve(), options.out.resolve())
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
