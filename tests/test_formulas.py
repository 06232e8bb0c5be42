"""Symbols that have a role carry its colour in the pages' formulas; the sources stay plain TeX."""

import json
import re

import pytest
from helpers import ROOT, load_script

formulas = load_script("book/formulas.py")


@pytest.mark.parametrize(
    ("tex", "coloured"),
    [
        (r"q^\top", r"{\class{q}{q}}^\top"),
        (r"Q_m K_m^\top", r"{\class{q}{Q}}_{\class{q}{m}} {\class{k}{K}}_{\class{k}{m}}^\top"),
        (r"k_{j'}", r"{\class{k}{k}}_{\class{k}{j'}}"),
        (r"\hat v", r"\hat {\class{v}{v}}"),
        (r"\alpha_{ij} v_j", r"{\class{w}{\alpha}}_{\class{w}{ij}} {\class{v}{v}}_{\class{v}{j}}"),
        (r"\frac{q}{2}", r"\frac{{\class{q}{q}}}{2}"),
        (r"[W h_i \Vert W h_j]", r"[\class{q}{W h_i} \Vert \class{k}{W h_j}]"),
        (r"s_{i-1}^\top W h_j", r"\class{q}{s_{i-1}}^\top W \class{k}{h_j}"),
    ],
)
def test_a_symbol_with_a_role_has_its_class(tex, coloured):
    assert formulas.with_roles(tex) == coloured


@pytest.mark.parametrize(
    "tex",
    [
        r"X W_Q^\top",  # an index
        r"\mathrm{query}",
        r"\kappa(x)",
        r"v_a^\top \tanh(W_a)",  # a paper's own letters
        r"h_{\mathcal{N}(v)}",
        r"m_v + e_{vw}",
        r"c_i = \sum_{j \in \mathcal{N}(i)} W h_j",  # a state without a role
    ],
)
def test_what_has_no_role_stays_as_it_is(tex):
    assert formulas.with_roles(tex) == tex


def test_the_sources_are_plain_tex():
    """JupyterLab with jupyterlab-myst shows an error in place of a formula with a class."""
    files = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("book/*.ipynb"), *ROOT.glob("book/*.md")]
    cells = {
        file.name: [file.read_text(encoding="utf-8")]
        if file.suffix == ".md"
        else [
            "".join(cell["source"])
            for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "markdown"
        ]
        for file in files
    }
    assert len(cells) > 12
    assert [name for name, texts in cells.items() if re.search(r"\\class\b", str(texts))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_shows_the_colours(visits, scheme):
    tab = visits("notebooks/03-soft-dictionary", scheme=scheme).page
    found = tab.evaluate(
        """() => [...'qkvw'].map(role => {
          const at = document.querySelector(`div.math mjx-container .${role}`);
          const probe = document.querySelector('.bd-article').appendChild(
            document.createElement('span'));
          probe.style.color = `var(--gat-${{q: 'query', k: 'key', v: 'value', w: 'weight'}[role]})`;
          const wanted = getComputedStyle(probe).color;
          probe.remove();
          return [at && getComputedStyle(at).color, wanted];
        })"""
    )
    assert all(colour == wanted for colour, wanted in found)
    assert len({colour for colour, _ in found}) == 4
