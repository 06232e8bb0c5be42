"""Shapes and types are checked at run time in every test; one browser serves all of them."""

import inspect
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import pytest
import torch
from hypothesis import settings

os.environ["GATUTILS_PROGRESS"] = "0"
jaxtyping.install_import_hook("gatutils", "typecheck.check")
torch.set_num_threads(1)
# The same examples on every run, and no timed tests: machines differ.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")


@pytest.fixture
def unchecked():
    """Let bad input reach the package's own errors, as it does for a user."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
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
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("GATUTILS_CHROMIUM") or next(filter(None, map(shutil.which, names)), "")
    if not found:
        _no_browser(f"no browser is found: neither GATUTILS_CHROMIUM nor {', '.join(names)}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def axe() -> Callable[[Any], dict[str, list[str]]]:
    """``axe(page)`` is what axe-core finds: rule -> the elements that break it."""
    script = pytest.importorskip("axe_playwright_python.base").AXE_SCRIPT

    def look(page: Any) -> dict[str, list[str]]:
        page.evaluate(script)
        violations = page.evaluate(
            """async () => (await axe.run({resultTypes: ['violations'], preload: false}))
                 .violations.map(v =>
                   [v.id, v.nodes.map(n => n.target.join(' ') + ': ' + n.failureSummary)])"""
        )
        return dict(violations)

    return look


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a case by what its lambda returns, and a type or options by themselves."""
    if isinstance(val, torch.dtype | dict):
        return str(val)
    if getattr(val, "__name__", "") != "<lambda>":
        return None
    at = [place for place in val.__code__.co_positions() if all(place)]
    top, left = min((line, column) for line, _, column, _ in at)
    bottom, right = max((line, column) for _, line, _, column in at)
    lines = [line.encode() for line in inspect.findsource(val)[0][top - 1 : bottom]]
    lines[-1] = lines[-1][:right]
    lines[0] = lines[0][left:]
    return " ".join(b"".join(lines).decode().split())
