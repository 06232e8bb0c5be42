"""The roles' colours in formulas: a Sphinx extension, for the pages alone.

The notation has one meaning for each symbol, so the symbol decides: q and Q are queries, k and K
keys, v and V values, and alpha is a weight. A state has no role of its own, so the formulas in
which one is a query, a key or a value are listed. The sources stay plain TeX, because JupyterLab
with jupyterlab-myst sets formulas by KaTeX, which does not know ``\\class``.
"""

import re
from typing import Any

from docutils import nodes

# The letters are the classes of book.css, as in [query]{.q}.
ROLE_OF = {"q": "q", "Q": "q", "k": "k", "K": "k", "v": "v", "V": "v", r"\alpha": "w"}

STATES = {
    r"[W h_i \Vert W h_j]": r"[\class{q}{W h_i} \Vert \class{k}{W h_j}]",
    r"a_1^\top W h_i + a_2^\top W h_j": r"a_1^\top \class{q}{W h_i} + a_2^\top \class{k}{W h_j}",
    r"W h_i + U h_j": r"\class{q}{W h_i} + \class{k}{U h_j}",
    r"W s_{i-1} + U h_j": r"W \class{q}{s_{i-1}} + U \class{k}{h_j}",
    r"s_{i-1}^\top W h_j": r"\class{q}{s_{i-1}}^\top W \class{k}{h_j}",
    r"\alpha_{ij} h_j": r"\alpha_{ij} \class{v}{h_j}",
    r"\alpha_{ij} W h_j": r"\alpha_{ij} \class{v}{W h_j}",
}

# A symbol and its index. Indices are no symbols (W_Q), nor are the names of classes; v_a and N(v)
# are how some papers write what the book writes otherwise.
SYMBOL = re.compile(
    r"""(?<![A-Za-z\\_]) (?<!\\class\{) (?<!\\mathcal\{N\}\()
    ([qQkKvV]|\\alpha) (?![A-Za-z]|_a)
    (?: _ (\{[^{}]*\}|[A-Za-z0-9]) )?""",
    re.VERBOSE,
)


def _coloured(found: re.Match[str]) -> str:
    symbol, index = found.groups()
    role = ROLE_OF[symbol]
    base = rf"{{\class{{{role}}}{{{symbol}}}}}"  # in braces, so that it can stand after \hat
    # Apart from the symbol, so that a power is set above the index.
    return base + (rf"_{{\class{{{role}}}{{{index.strip('{}')}}}}}" if index else "")


def with_roles(tex: str) -> str:
    """A formula in which each symbol that has a role carries its class."""
    for plain, coloured in STATES.items():
        tex = tex.replace(plain, coloured)
    return SYMBOL.sub(_coloured, tex)


def _colour(app: Any, doctree: nodes.document) -> None:
    if app.builder.format == "html":
        for kind in (nodes.math, nodes.math_block):
            for formula in doctree.findall(kind):
                formula.children = [nodes.Text(with_roles(formula.astext()))]


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx when to call it."""
    app.connect("doctree-read", _colour)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
