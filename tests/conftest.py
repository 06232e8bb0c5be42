"""Shapes and types are checked at run time in every test; all share one book and one browser.

The book is built once into a temporary folder. If ``make book`` has built it since its sources last
changed, that book is taken, or the one in the folder that ``GATUTILS_BOOK`` names (the one with
``index.html``). The browser is ``GATUTILS_CHROMIUM`` or a Chromium on the
path. Without one the tests that need it skip; ``GATUTILS_REQUIRE_BROWSER=1`` makes that a failure.
With pytest-xdist each process has a browser of its own, and all read the same book.
"""

import gc
import inspect
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import jaxtyping
import pytest
import torch
from filelock import FileLock
from hypothesis import settings

os.environ["GATUTILS_PROGRESS"] = "0"
jaxtyping.install_import_hook("gatutils", "typecheck.check")
torch.set_num_threads(1)
# Nearly all that is made here lives on, and Python looks through it for what is no longer used
# again and again: less often while there are imports and tests, and never through the imports.
gc.set_threshold(50_000, 20, 100)
# The same examples on every run, and no timed tests: machines differ.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")

# Only here: the package must not be imported before its types are checked.
from helpers import DESKTOP, ROOT, Tab, Visit, build_book, html_of  # noqa: E402


def pytest_collection_finish() -> None:
    """Leave out all that was imported when Python looks for what is no longer used."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def encodings_are_looked_for_here_alone() -> None:
    """Let no process that a test starts warn of encodings: it prints for other eyes."""
    os.environ.pop("PYTHONWARNDEFAULTENCODING", None)


@pytest.fixture
def unchecked():
    """Let bad input reach the package's own errors, as it does for a user."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-software-rasterizer",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]


def _no_browser(reason: str) -> None:
    if os.environ.get("GATUTILS_REQUIRE_BROWSER") == "1":
        pytest.fail(f"GATUTILS_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _no_browser("Playwright is not installed")
    # The shell is the same engine without windows, and a third faster at these tests.
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("GATUTILS_CHROMIUM") or next(filter(None, map(shutil.which, names)), "")
    if not found:
        _no_browser(f"no browser is found: neither GATUTILS_CHROMIUM nor {', '.join(names)}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


# axe-core spends most of its time on contrast, and a page of code has thousands of words in a
# dozen colours. So contrast is measured on three of all elements that share their colours, their
# size, and the grounds below them: the first, the one in the middle and the last. Then the spans
# that do nothing but colour code are words alone while axe-core looks: no other rule asks for
# them, and they are half of the elements that it would walk through.
LOOK = """async options => {
  const kinds = new Map();
  const flat = root => [...root.querySelectorAll('*')]
    .flatMap(e => [e, ...(e.shadowRoot ? flat(e.shadowRoot) : [])]);
  const up = e => e.parentElement ?? e.getRootNode().host;
  const grounds = new Map([[undefined, '']]);
  const ground = e => {
    if (!grounds.has(e)) {
      const style = getComputedStyle(e), own = [style.backgroundColor, style.backgroundImage,
        style.opacity, style.filter, style.mixBlendMode,
        style.position === 'static' ? '' : style.position].join();
      const plain = own === 'rgba(0, 0, 0, 0),none,1,none,normal,';
      grounds.set(e, ground(up(e)) + (plain ? '' : own + ';'));
    }
    return grounds.get(e);
  };
  for (const e of flat(document)) {
    e.removeAttribute('data-contrast');
    const words = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!(words || e.matches('input, select, textarea')) || !e.checkVisibility()) continue;
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    const kind = [style.color, style.webkitTextFillColor, style.textShadow, style.fontSize,
      style.fontWeight, ground(e)].join('|');
    kinds.set(kind, [...(kinds.get(kind) ?? []), e]);
  }
  for (const all of kinds.values())
    for (const e of new Set([all[0], all[all.length >> 1], all.at(-1)]))
      e.toggleAttribute('data-contrast', true);
  axe.configure({rules: [{id: 'color-contrast', selector: '[data-contrast]'}]});

  const colours = node => node.nodeType === 3 || node.nodeType === 1 &&
    node.matches('span, em') && [...node.attributes].every(a => a.name === 'class') &&
    ground(node) === ground(up(node)) && [...node.childNodes].every(colours);
  const taken = [];
  const thin = parent => {
    const nodes = [...parent.childNodes], left = [];
    for (const node of nodes)
      if (!colours(node)) left.push(node);
      else if (typeof left.at(-1) === 'string') left.push(left.pop() + node.textContent);
      else left.push(node.textContent);
    taken.push([parent, nodes]);
    parent.replaceChildren(...left);
    for (const node of left) if (node.nodeType === 1) thin(node);
  };
  for (const code of document.querySelectorAll('pre, .sig')) thin(code);
  try {
    return (await axe.run(options)).violations.map(v =>
      [v.id, v.nodes.map(n => n.target.join(' ') + ': ' + n.failureSummary)]);
  } finally {
    for (const [parent, nodes] of taken.reverse()) parent.replaceChildren(...nodes);
  }
}"""


@pytest.fixture(scope="session")
def axe() -> Callable[..., dict[str, list[str]]]:
    """``axe(page)`` is what axe-core finds: rule -> the elements that break it.

    With ``rules=`` only these are tried.
    """
    script = pytest.importorskip("axe_playwright_python.base").AXE_SCRIPT

    def look(page: Any, rules: Sequence[str] = ()) -> dict[str, list[str]]:
        if not page.evaluate("'axe' in window"):
            page.evaluate(script)
        options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
        if rules:
            options["runOnly"] = list(rules)
        return dict(page.evaluate(LOOK, options))

    return look


def is_current(html: Path) -> bool:
    """Return whether a book was built after its sources last changed."""
    folders = [ROOT / name for name in ("book", "gatutils", "notebooks")]
    files = [
        file for folder in folders for file in folder.rglob("*") if "__pycache__" not in file.parts
    ]
    sources = [*files, *map(ROOT.joinpath, ("_config.yml", "_toc.yml", "README.md"))]
    changed = max(file.stat().st_mtime for file in sources if file.suffix != ".mo")
    # A build writes this file at its end, and index.html only once.
    ends = (html / "searchindex.js", html / "ko" / "searchindex.js")
    return all(end.is_file() and end.stat().st_mtime > changed for end in ends)


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the book's finished HTML."""
    given = os.environ.get("GATUTILS_BOOK")
    if given:
        html = Path(given).resolve()
        assert (html / "index.html").is_file(), f"GATUTILS_BOOK: no index.html in {html}"
        return html
    if is_current(ROOT / "_build" / "html"):
        return ROOT / "_build" / "html"
    pytest.importorskip("jupyter_book")
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all processes
    target, built = shared / "book", shared / "book" / "built"
    with FileLock(shared / "book.lock"):
        if not built.exists():
            flags = "-W", "--keep-going", "-n"  # as in `make book`
            html = build_book(ROOT, target, *flags)
            korean = build_book(ROOT, target / "ko", *flags, language="ko")
            korean.rename(html / "ko")
            built.touch()
    return target / "_build" / "html"


@pytest.fixture(scope="session")
def visits(book: Path, browser: Any) -> Iterator[Callable[..., Visit]]:
    """``visits(page, viewport, scheme)`` shows a page, for tests that leave it as it is.

    A page is named as in _toc.yml, such as "notebooks/04-self-attention". There is one tab: a page
    that another test has just read is not opened again, but given another width and scheme, as a
    reader may. So tests with ``parametrize("page", ..., scope="module")`` open each page once.
    """
    tab, there = Visit(browser), ""

    def visit(page: str, viewport: dict[str, int] = DESKTOP, scheme: str = "light") -> Visit:
        nonlocal there
        if there != page:
            if there:
                tab.show(DESKTOP, "light")  # the choice is kept, and every page is to open alike
            there = page
            tab.open(book / f"{page}.html")
        tab.show(viewport, scheme)
        return tab

    yield visit
    tab.close()


@pytest.fixture
def open_page(book: Path, browser: Any) -> Iterator[Callable[..., Any]]:
    """``open_page(page)`` opens a page that the test may change; it must not report an error.

    ``scheme=``, ``viewport=`` and whatever Playwright's ``new_context`` takes go to its browser.
    """
    opened: list[Visit] = []

    def visit(page: str, **options: Any) -> Any:
        opened.append(Visit(browser, **options))
        return opened[-1].open(book / f"{page}.html")

    yield visit
    errors = [error for each in opened for error in each.errors]
    for each in opened:
        each.close()
    assert not errors


@pytest.fixture(scope="module")
def tabs(browser):
    """The tabs that are open, by their options."""
    opened: dict[str, Tab] = {}
    yield opened
    for tab in opened.values():
        tab.context.close()


@pytest.fixture
def show(browser, tabs, tmp_path):
    """``show(*figures)`` opens a page with them; nothing may fail or ask the network there."""
    used = {}

    def opened(*figures, theme="light", **options):
        key = repr(sorted(options.items()))
        assert key not in used, "a page of this kind is open, and another would take its place"
        if key not in tabs:
            tabs[key] = Tab(browser, options)
        used[key] = tabs[key]
        file = tmp_path / f"{len(used)}.html"
        file.write_text(html_of(*figures, theme=theme), encoding="utf-8")
        used[key].open(file)
        return used[key].page

    yield opened
    assert not [trouble for tab in used.values() for trouble in tab.troubles]


@pytest.fixture(scope="module")
def shared_page(browser):
    """One page for all examples of a property."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a case by what its lambda returns, and a type or options by themselves."""
    if isinstance(val, torch.dtype | dict):
        return re.sub(r" at 0x[0-9a-f]+", "", str(val))  # an address differs between processes
    if not isinstance(val, FunctionType) or val.__name__ != "<lambda>":
        return None
    at: list[Any] = [place for place in val.__code__.co_positions() if all(place)]
    top, left = min((line, column) for line, _, column, _ in at)
    bottom, right = max((line, column) for _, line, _, column in at)
    lines = [line.encode() for line in inspect.findsource(val)[0][top - 1 : bottom]]
    lines[-1] = lines[-1][:right]
    lines[0] = lines[0][left:]
    return " ".join(b"".join(lines).decode().split())
