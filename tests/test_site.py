"""What the pages do besides being read: notebooks are saved, and the search works from a file."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Quiet(SimpleHTTPRequestHandler):
    # A browser shows what it takes for JSON, unless the link says that it is to be saved.
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".ipynb": "application/json"}

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address(book: Path) -> Iterator[str]:
    """Where the book is served, as it is on the web."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=book))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab that keeps what is written to its console, in `tab.heard`."""
    context = browser.new_context(accept_downloads=True)
    context.add_init_script("for (const n of ['mode', 'theme']) localStorage.setItem(n, 'light')")
    page = context.new_page()
    page.heard = []
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("console", lambda said: page.heard.append(said.text) if said.type == "error" else None)
    yield page
    context.close()


def test_the_button_saves_the_notebook(address: str, tab: Any) -> None:
    tab.goto(f"{address}/notebooks/06-masks-are-graphs.html")
    link = tab.locator("a.btn-download-source-button")
    with tab.expect_download() as download:
        link.evaluate("element => element.click()")
    assert download.value.suggested_filename == "06-masks-are-graphs.ipynb"
    saved = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert saved["cells"]


def search(tab: Any, page: str, word: str = "softmax") -> Any:
    tab.goto(f"{page}?q={word}")
    tab.wait_for_function("document.querySelector('.search-summary')?.textContent.match(/\\d/)")
    tab.wait_for_timeout(500)  # what is fetched comes after the titles
    return tab.locator("#search-results li")


def test_the_search_finds_pages_from_a_file_without_errors(book: Path, tab: Any) -> None:
    assert search(tab, (book / "search.html").as_uri()).count() > 5
    assert tab.heard == []


@pytest.mark.parametrize("word", ["주의", "어텐션", "질의", "그래프", "softmax"])
def test_the_search_finds_korean_words_whatever_follows_them(
    book: Path, tab: Any, word: str
) -> None:
    assert search(tab, (book / "ko" / "search.html").as_uri(), word).count() >= 1
    assert tab.heard == []


def test_the_search_shows_excerpts_where_it_can_fetch_them(address: str, tab: Any) -> None:
    found = search(tab, f"{address}/search.html")
    assert found.locator("p.context").count() > 5
    assert tab.heard == []
