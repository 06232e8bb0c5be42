"""What several files of tests share: scripts loaded as modules, graphs of every kind, pages."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

from gatutils.decoding import beam_search, greedy
from gatutils.graph import Graph

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")


def not_none(value: T | None) -> T:
    """A value that may be None by its type, but is not here."""
    assert value is not None
    return value


def load_script(path: str) -> ModuleType:
    """Load a file of the repository that is not part of the package, such as "book/draw.py"."""
    spec = not_none(importlib.util.spec_from_file_location(Path(path).stem, ROOT / path))
    module = importlib.util.module_from_spec(spec)
    not_none(spec.loader).exec_module(module)
    return module


needs_compiler = pytest.mark.skipif(
    sys.platform == "win32" or not shutil.which("c++"),
    reason="the compiled kernels need a C++ compiler: GCC, on macOS Clang",
)


def slow_but(fast, values):
    """All the values of a test's parameter; only those that are fast run without ``SLOW=1``."""
    rows = [(value, value if isinstance(value, tuple) else (value,)) for value in values]
    return [
        pytest.param(*row, marks=() if value in fast else pytest.mark.slow) for value, row in rows
    ]


# ---- Graphs ----------------------------------------------------------------------------------

few = settings(max_examples=20)


@st.composite
def multigraphs(draw, least=0, most=6):
    """How many nodes, and edges: loops, duplicates, nodes without any; perhaps no node at all."""
    nodes = draw(st.integers(least, most))
    ends = st.integers(0, max(nodes - 1, 0))
    edges = draw(st.lists(st.tuples(ends, ends), max_size=12 if nodes else 0))
    again = draw(st.sampled_from([[], [], edges[:1], edges[-2:]]))
    return nodes, edges + again


def plain(nodes, edges, dtype=torch.long, **more):
    """The graph of these edges, by nothing but the class itself."""
    ends = torch.tensor(edges, dtype=dtype).reshape(-1, 2)
    return Graph(nodes, ends[:, 0], ends[:, 1], **more)


def pairs(graph):
    """The edges of a graph as (source, target)."""
    return list(zip(graph.source.tolist(), graph.target.tolist(), strict=True))


def pair_scores(conv, projected):
    """The scores of all pairs of nodes in each head of a GATConv: (heads, nodes, nodes)."""
    every = Graph.from_mask(torch.ones(len(projected), len(projected), dtype=torch.bool))
    return conv.score(projected, projected, every).T.unflatten(1, (len(projected), -1))


def normal(*shape, seed=0, dtype=torch.float64):
    """Normal numbers that depend on nothing but the seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@st.composite
def problems(draw, least=0, most=6):
    """Numbers at the nodes of a graph of any kind."""
    nodes, edges = draw(multigraphs(least, most))
    return normal(nodes, 3, seed=draw(st.integers(0, 2**31))), edges


@st.composite
def side_by_side(draw, /, count, **sizes):
    """So many graphs as one that no edge joins, and how many are examples of what."""
    rows: list[torch.Tensor] = []
    ends: list[tuple[int, int]] = []
    met: Counter[str] = Counter()
    for states, edges in [draw(problems(**sizes)) for _ in range(count)]:
        start = sum(map(len, rows))
        ends += [(j + start, i + start) for j, i in edges]
        rows.append(states)
        met.update(kinds(len(states), edges))
    return torch.cat(rows), ends, met


def kinds(nodes, edges):
    """What a graph is an example of."""
    counts, ends = Counter(edges), {end for edge in edges for end in edge}
    return {
        "a graph": True,
        "a node without edges": len(ends) < nodes,
        "a self-loop": any(j == i for j, i in edges),
        "a self-loop twice": any(counts[j, i] > 1 for j, i in edges if j == i),
        "an edge twice": any(counts[j, i] > 1 for j, i in edges if j != i),
    }


# ---- Decoding --------------------------------------------------------------------------------


def log_probability(model, source, mask, words, eos=2):
    """Of words and the end mark, by teacher forcing."""
    logits, _ = model(source, mask, torch.tensor([[1, *words]]))
    out = [*words, eos]
    return logits[0].log_softmax(dim=-1)[range(len(out)), out].sum().item()


def assert_greedy(model, source, mask, *, max_length, atol):
    """Greedy decoding takes the likeliest word each time, and counts and weights what it took."""
    for row, found in enumerate(greedy(model, source, mask, max_length=max_length)):
        alone, seen = source[row : row + 1], mask[row : row + 1]
        words = [1]
        while len(words) <= max_length:
            best = int(model(alone, seen, torch.tensor([words]))[0][0, -1].argmax())
            if best == 2:
                break
            words.append(best)
        assert found.words == tuple(words[1:])
        assert found.finished == (len(words) <= max_length)
        if found.finished:
            expected = log_probability(model, alone, seen, found.words)
            assert found.log_probability == pytest.approx(expected, abs=atol)
        if found.weights is not None:
            steps = len(found.words) + found.finished
            assert found.weights.shape == (steps, int(seen.sum()))
            sums = found.weights.sum(dim=1)
            torch.testing.assert_close(sums, torch.ones_like(sums))


def assert_a_beam_of_one_is_greedy(model, source, mask, *, max_length, atol):
    """The same words, probability and weights, and no second hypothesis."""
    singles = greedy(model, source, mask, max_length=max_length)
    beams = beam_search(model, source, mask, width=1, max_length=max_length)
    for one, (best, *rest) in zip(singles, beams, strict=True):
        assert (best.words, best.finished) == (one.words, one.finished)
        assert best.log_probability == pytest.approx(one.log_probability, abs=atol)
        assert (best.weights is None) == (one.weights is None)
        if one.weights is not None:
            torch.testing.assert_close(best.weights, one.weights)
        assert not rest


# ---- The book and its pages ------------------------------------------------------------------


def build_book(source: Path, target: Path, *flags: str, language: str = "en") -> Path:
    """Build a book in a language, and return the folder with the finished HTML."""
    run = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", run, "build", str(source), *flags]
    done = subprocess.run(
        [*command, "--path-output", str(target)],
        cwd=source,
        env=os.environ | {"BOOK_LANGUAGE": language},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        pytest.fail("the book does not build:\n" + (done.stdout + done.stderr)[-4000:])
    return target / "_build" / "html"


SCHEMES = ("light", "dark")
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}
# The rules of axe-core that can find something in one scheme alone: colours differ, and some
# pictures are there in one of them. All other rules see the same page in both.
OF_A_SCHEME = ("color-contrast", "link-in-text-block", "image-alt", "role-img-alt", "svg-img-alt")


class Visit:
    """A tab in a context of its own, with all that its page asked for and complained of."""

    def __init__(
        self, browser: Any, viewport: dict[str, int] = DESKTOP, scheme: str = "light", **options
    ) -> None:
        self.remote: list[str] = []
        self.failed: list[str] = []
        self.errors: list[str] = []
        self.context = browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
        # The theme keeps the reader's choice here; its switch writes the same two names.
        self.context.add_init_script(
            "for (const name of ['mode', 'theme']) {"
            "  if (!localStorage.getItem(name)) localStorage.setItem(name, " + repr(scheme) + ")}"
        )
        # Only what leaves the machine passes through here; anything else would be slow.
        self.context.route(re.compile("^(?!file:|data:|blob:)"), self._refuse)
        self.page = self.context.new_page()
        self.page.on("requestfailed", lambda request: self.failed.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)

    def _refuse(self, route: Any) -> None:
        self.remote.append(route.request.url)
        route.abort()

    def _hear(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"{message.type}: {message.text}")

    def open(self, path: Path) -> Any:
        """Load a page, wait until its formulas and fonts are there or have failed, and unfold."""
        for heard in (self.remote, self.failed, self.errors):
            heard.clear()
        self.page.goto(path.as_uri(), wait_until="load")
        self.page.evaluate(
            """async () => {
              for (let i = 0; i < 100 && window.MathJax && !MathJax.startup?.promise; i++)
                await new Promise(done => setTimeout(done, 50));
              await window.MathJax?.startup?.promise?.catch(() => {});
              await document.fonts.ready;
              // What a reader may open must be as good as what is open.
              for (const folded of document.querySelectorAll('details.gat-further'))
                folded.open = true;
            }"""
        )
        return self.page

    def show(self, viewport: dict[str, int], scheme: str) -> None:
        """Change the window and the scheme, as a reader does: by the theme's own switch."""
        if self.page.viewport_size != viewport:
            self.page.set_viewport_size(viewport)
        self.page.evaluate(
            """scheme => {
              const chosen = document.documentElement.dataset;
              for (let k = 0; k < 3 && chosen.mode !== scheme; k++)  // light, automatic, dark
                document.querySelector('.theme-switch-button').click();
              for (const change of document.getAnimations())
                if (change instanceof CSSTransition) change.finish();
            }""",
            scheme,
        )

    def close(self) -> None:
        self.context.close()


# ---- Interactive figures, on a bare page of their own -------------------------------------------

STATIC = ROOT / "book" / "_static"


def html_of(*figures, theme="light"):
    style = "".join(
        (STATIC / name).read_text(encoding="utf-8") for name in ("book.css", "roles.css")
    )
    shown = "".join(figure._repr_mimebundle_()[0]["text/html"] for figure in figures)
    return (
        f'<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Figures'
        f"</title><style>{style} html{{color-scheme:{theme};color:var(--pst-color-text-base);"
        "background:var(--pst-color-background);font-family:var(--pst-font-family-base)}"
        f'</style></head><body><main class="bd-article"><h1>Figures</h1>{shown}</main></body>'
    )


class Tab:
    """A page of the browser that one test after another opens its file in.

    To start a page anew takes three times as long as to open the next file in it.
    """

    def __init__(self, browser, options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.file = None
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("request", self.fit_witnesses)

    def fit_witnesses(self, request):
        if request.url != self.file:
            self.troubles.append(request.url)

    def open(self, file):
        self.file = file.as_uri()
        self.troubles.clear()
        self.page.emulate_media(media="null")
        self.page.mouse.move(0, 0)
        self.page.goto(self.file)
