"""The interactive figures in Firefox, where one is installed: as the chapters show them."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, STATIC

FIREFOX = shutil.which("firefox") or shutil.which("firefox-esr")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FIREFOX is None, reason="Firefox is not installed"),
]
WIDTHS = (342, 688)  # of the text on a phone and on a desktop

# What the page finds about itself: the lines of a figure's steps must not touch each other.
LOOK = """
const box = element => {  // of its visible words
  const words = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), rects = [];
  while (words.nextNode()) {
    const range = document.createRange(), parent = words.currentNode.parentElement;
    range.selectNodeContents(words.currentNode);
    if (getComputedStyle(parent).clipPath === 'none') rects.push(...range.getClientRects());
  }
  const edge = (name, of) => of(...rects.map(rect => rect[name]));
  return {left: edge('left', Math.min), right: edge('right', Math.max), count: rects.length,
    top: edge('top', Math.min), bottom: edge('bottom', Math.max)};
};
addEventListener('load', () => setTimeout(() => {
  const figures = [...document.querySelectorAll('main *')]
    .filter(e => e.localName.startsWith('gat-'));
  const found = figures.map(figure => {
    const root = figure.shadowRoot, room = figure.closest('section').clientWidth;
    const labels = root ? [...root.querySelectorAll('.steps > *')].map(box)
      .filter(b => b.count) : [];
    return {
      name: figure.localName, room, alive: Boolean(root && root.textContent.trim()),
      wide: Math.max(figure.scrollWidth, ...(root ? [...root.children].map(e => e.scrollWidth)
        : [])) - room,
      touching: labels.slice(1).filter((b, k) =>
        b.top < labels[k].bottom && labels[k].top < b.bottom && b.left < labels[k].right + 2
        && b.right > labels[k].left).length,
    };
  });
  fetch('/found', {method: 'POST', body: JSON.stringify({errors, found})});
}, 500));
"""


def figures() -> Iterator[str]:
    """The stored HTML of each interactive figure of the chapters."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                page = "".join(output.get("data", {}).get("text/html", ""))
                if "<gat-" in page:
                    yield page


def page() -> str:
    style = "".join(
        (STATIC / name).read_text(encoding="utf-8") for name in ("book.css", "roles.css")
    )
    shown = "".join(figures())
    sections = "".join(f'<section style="width:{width}px">{shown}</section>' for width in WIDTHS)
    return (
        f"<!doctype html><html data-theme=light><meta charset=utf-8><style>{style}</style><script>"
        "const errors = []; addEventListener('error', event => errors.push(event.message));"
        f'{LOOK}</script><main class="bd-article">{sections}</main>'
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the page posts when Firefox has shown it."""
    posted: dict[str, Any] = {}
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page().encode())

        def do_POST(self) -> None:
            posted.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    profile: Path = tmp_path_factory.mktemp("firefox")
    firefox = subprocess.Popen(
        [
            *(str(FIREFOX), "--headless", "--no-remote", "--profile", str(profile)),
            f"http://127.0.0.1:{server.server_port}/",
        ],
        env={**os.environ, "HOME": str(profile), "MOZ_DISABLE_CONTENT_SANDBOX": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert done.wait(120), "Firefox has not shown the page"
        yield posted
    finally:
        firefox.kill()
        firefox.wait()
        server.shutdown()


def test_figures_come_alive_without_an_error(found: dict[str, Any]) -> None:
    assert found["errors"] == []
    assert len(found["found"]) == len(WIDTHS) * len(list(figures()))
    assert {figure["name"] for figure in found["found"] if not figure["alive"]} == set()


def test_figures_fit_and_their_steps_do_not_touch(found: dict[str, Any]) -> None:
    assert [figure for figure in found["found"] if figure["wide"] > 1] == []
    assert [figure for figure in found["found"] if figure["touching"]] == []
