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


def pages() -> list[str]:
    """Return the pages of the table of contents, in order, such as "notebooks/01-seq2seq"."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *files]


def joined(html: Path) -> str:
    """Return one page that holds all articles; links between them lead to places inside it."""
    names = pages()
    whole = BeautifulSoup((html / f"{names[1]}.html").read_text(encoding="utf-8"), "html.parser")
    for script in whole.find_all("script"):  # of the scripts only MathJax is needed
        if "MathJax" not in script.get_text() and "mathjax" not in str(script.get("src")):
            script.decompose()
    book, contents, solutions = (whole.new_tag(name) for name in ("main", "ul", "section"))
    heading = whole.new_tag("h1")
    heading.string = "Solutions"
    solutions.append(heading)
    for number, name in enumerate(names):
        page = BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        article: Any = page.find("article", class_="bd-article")
        _keep_links(article, name)
        for link in article.find_all("a", class_="headerlink"):
            link.decompose()
        title = article.find("h1")
        entry, link = whole.new_tag("li"), whole.new_tag("a", href=f"#{_anchor(name)}")
        link.string = title.get_text()
        entry.append(link)
        contents.append(entry)
        article["id"] = _anchor(name)
        found = article.find_all("div", class_="solution")
        if found:
            of_chapter = whole.new_tag("h2")
            of_chapter.string = title.get_text()
            solutions.append(of_chapter)
            solutions.extend([solution.extract() for solution in found])
        book.append(article)
        if number == 0:
            nav = whole.new_tag("nav")
            caption = whole.new_tag("h1")
            caption.string = "Contents"
            nav.extend([caption, contents])
            book.append(nav)
    wrapper = whole.new_tag("article", attrs={"class": "bd-article"})
    wrapper.append(solutions)
    book.append(wrapper)
    style = whole.new_tag("style")
    style.string = (
        "article + article, article + nav, nav + article { break-before: page }"
        " .bd-article section { max-width: none } nav li { margin: .4em 0 }"
    )
    body: Any = whole.body
    head: Any = whole.head
    body.clear()
    body.append(book)
    head.append(style)
    whole.html["data-theme"] = "light"  # type: ignore[index]
    return str(whole)


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
            page.pdf(
                path=draft,
                format="A4",
                margin={"top": "18mm", "bottom": "18mm", "left": "20mm", "right": "20mm"},
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
                print_background=True,
                outline=True,
                tagged=True,
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
