"""Is a figure held by its data: neither by a machine's last digits, nor loosely?"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from comparison import TIGHT, differences
from helpers import load_script
from mutations import mutants

from gatutils.book import figures as viz
from gatutils.book.figures import (
    Curve,
    Network,
    curves,
    graph_attention,
    heads,
    heatmap,
    lookup,
    masks,
    networks,
    strips,
)
from gatutils.graph import Graph

ROOT = Path(__file__).parents[1]
WIDE = 0.1
NAMES = ["one", "two", "three"]


def line(noise=0.0, tolerance=TIGHT, **options):
    """Two curves, one with a spread, all of whose numbers move by ``noise``."""
    move = 1 + noise
    runs = [[0.913 * move, 0.7 * move, 0.25 * move], [0.9 * move, 0.65 * move, 0.2 * move]]
    return curves(
        [Curve("spread", [1, 2, 4], runs, "teal"), Curve("one run", [1, 2, 4], runs[:1])],
        alt="Two curves that fall.",
        xlabel="x",
        ylabel="y",
        caption="They fall by 0.7.",
        tolerance=tolerance,
        **options,
    )


def weights(noise=0.0):
    """Two heads of weights for three words; noise moves weight from a key to the next."""
    plain = torch.tensor([[[0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.6, 0.2, 0.2]]]).repeat(2, 1, 1)
    return plain + noise * torch.tensor([1.0, -1.0, 0.0])


GRAPH = Graph.from_edges([(0, 1), (1, 0), (1, 2), (2, 2)], 3)
FIGURES = {
    "curves": line,
    "powers of ten": lambda noise=0.0, tolerance=TIGHT: line(
        noise, tolerance, ylim=None, log=True, shade=(1, 2, "seen"), legend="upper right"
    ),
    "strips": lambda noise=0.0, tolerance=TIGHT: strips(
        {"few": [1 + noise, 3.0], "many": [2.0]}, "Dots.", "share", tolerance=tolerance
    ),
    "networks": lambda noise=0.0, tolerance=TIGHT: networks(
        [Network(GRAPH, [(0, 0), (1, noise), (1, 1)], "net", NAMES, shades=[0, 0.5, 1])],
        "A graph.",
        legend={"gold": "a key"},
        tolerance=tolerance,
    ),
    "heat map": lambda noise=0.0, tolerance=TIGHT: heatmap(
        weights(noise)[0], NAMES, NAMES, "Weights.", tolerance=tolerance, marks={(0, 1): "own"}
    ),
    "heads": lambda noise=0.0, tolerance=TIGHT: heads(
        weights(noise), NAMES, NAMES, "Weights.", caption="Two heads.", tolerance=tolerance
    ),
    "masks": lambda noise=0.0, tolerance=TIGHT: masks(
        {"all": torch.ones(3, 3).bool()},
        {"all": weights(noise)[0]},
        NAMES,
        "Weights.",
        tolerance=tolerance,
    ),
    "lookup": lambda noise=0.0, tolerance=TIGHT: lookup(
        {"q": [0.8, 0.6]},
        {"a": [1.0, 0.0], "b": [0.0, 1.0]},
        [3.0 + noise, 1.0],
        "A lookup.",
        tolerance=tolerance,
    ),
    "graph attention": lambda noise=0.0, tolerance=TIGHT: graph_attention(
        GRAPH,
        torch.tensor([[1.0, 0.3 + noise], [0.0, 1.0], [1.0, 1.0]]),
        torch.eye(2),
        torch.tensor([0.5, -1.0, 1.0, 0.2]),
        NAMES,
        "Attention.",
        tolerance=tolerance,
    ),
}
each_figure = pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=pytest.mark.slow if name == "powers of ten" else [])
        for name, make in FIGURES.items()
    ],
)


def shown(figure):
    """What a notebook stores of a cell that shows a figure."""
    data, metadata = figure._repr_mimebundle_()
    return [{"output_type": "execute_result", "data": data, "metadata": metadata}]


@each_figure
def test_last_digits_are_no_difference(make):
    stored = shown(make())
    json.dumps(stored, allow_nan=False)
    for noise in (0.0, 1e-7, -1e-7):
        assert differences(stored, shown(make(noise))) == []


@each_figure
def test_a_changed_datum_is_a_difference_unless_it_is_declared(make):
    assert differences(shown(make()), shown(make(0.02)))
    wide = shown(make(tolerance=WIDE))
    assert differences(wide, shown(make(0.02, tolerance=WIDE))) == []
    assert differences(wide, shown(make(0.02)))  # another tolerance is a change


@each_figure
@pytest.mark.parametrize("tolerance", [TIGHT, WIDE], ids=["tight", "wide"])
def test_no_change_goes_unnoticed(make, tolerance):
    stored = shown(make(tolerance=tolerance))
    changed = dict(mutants(stored))
    assert len(changed) > 5
    assert not [name for name, mutant in changed.items() if not differences(mutant, stored)]


@pytest.mark.parametrize("name", ["curves", "powers of ten", "strips", "networks"])
def test_ids_do_not_depend_on_last_digits(name):
    ids = [
        re.findall(r'(?: id="|href="#|url[(]#)([^")]+)', FIGURES[name](noise).content)
        for noise in (0, 1e-7)
    ]
    assert ids[0] == ids[1] != []


def test_a_difference_says_where_it_is():
    stored, now = shown(line()), shown(line(0.05))
    found = "\n".join(differences(stored, now))
    assert "figure 1: line one run" in found
    assert "y[0]: stored 0.913, now 0.9587 (0.00103 units are tolerated)" in found
    stored, now = (shown(FIGURES["heat map"](noise)) for noise in (0.0, 0.1))
    assert "stored …'0.10'…, now …'0.20'…" in "\n".join(differences(stored, now))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda out: out.clear(), "1 figures with data are stored, 0 are shown now"),
        (lambda out: out[0]["data"].pop("text/plain"), "stored as"),
        (lambda out: out[0]["metadata"]["gatutils"]["data"].pop(), "it has other marks"),
    ],
)
def test_what_is_missing_is_a_difference(change, words):
    stored, now = shown(line()), shown(line())
    change(now)
    assert words in "\n".join(differences(stored, now))
    assert differences(now, stored)


def test_a_point_more_is_a_difference():
    def draw(x):
        return shown(curves([Curve("a", x, [x])], "Falls.", "x", "y", ylim=(0, 9)))

    found = differences(draw([0, 1, 8]), draw([0, 1, 2, 8]))
    assert any("other numbers of values" in difference for difference in found)


def test_nothing_that_a_plot_shows_is_left_out():
    """Bars, areas, images, dots, reference lines, and what an arrow points at."""
    figure, ax = viz.canvas()
    ax.imshow([[1.0, 2.0], [3.0, float("nan")]], extent=(0, 1, 0, 1))
    ax.bar([1, 2], [3, 4])
    ax.scatter([1, 2], [3, 4], c=[0.1, 0.2])
    ax.fill([0, 1, 1], [0, 0, 1])
    ax.axhline(0.5)
    ax.annotate("here", (1, 2), (1.5, 2.5), arrowprops={})
    ax.annotate("end", (1, 0.5), xycoords=("data", "axes fraction"))
    ax.set_xticks([1, 2], ["one", "two"])
    ax.set_xscale("linear")
    records = [json.loads(line) for line in viz.picture(figure, "All.").data]
    held = {record.pop("mark").split()[0]: record for record in records}
    assert held["Rectangle"]["y"] == [0, 3, 0, 4]
    assert held["image"] == {"values": [1, 2, 3, None], "x": [0, 1], "y": [0, 1]}
    assert held["PathCollection"] == {"values": [0.1, 0.2], "x": [1, 2], "y": [3, 4]}
    assert held["Polygon"]["x"] == [0, 1, 1, 0, None]
    assert held["line"] == {"x": [], "y": [0.5, 0.5, None]}  # across, whatever x is
    assert held["text"]["words"] == ["here", "end"]
    assert (held["text"]["x"], held["text"]["y"]) == ([1, 1], [2])
    assert held["axes"]["words"] == ["", "", ""]


@pytest.mark.parametrize("tolerance", [-0.1, 1.0, float("nan")])
def test_a_tolerance_is_a_share(tolerance):
    with pytest.raises(ValueError, match="tolerance: expected a share from 0 to 1"):
        line(tolerance=tolerance)


SETUP = """
import torch
from gatutils.book.figures import Curve, curves, heatmap
"""
CURVES = """
curves(
    [Curve("a", [0, 1], [[0.5, 0.25]])],
    alt="A line that falls by a quarter.", xlabel="x", ylabel="y", caption="It falls.",
)
"""
TABLE = """
heatmap(torch.eye(2) * 0.5, ["a", "b"], ["c", "d"], alt="Halves on the diagonal.")
"""
CHANGES = [  # a cell, what is changed in it, and whether it fails
    ("print(0.5)", ("0.5", "0.5"), False),
    ("print(0.25)", ("0.25", "0.26"), True),
    (CURVES, ("0.5", "0.5 * (1 + 1e-7)"), False),
    (CURVES, ("0.5", "0.51"), True),
    (CURVES, ("It falls", "It rises"), True),
    (CURVES, ("quarter", "half"), True),
    (TABLE, ("0.5", "0.5 * (1 + 1e-7)"), False),
    (TABLE, ("0.5", "0.51"), True),
    (TABLE, ('"c"', '"e"'), True),
    (TABLE, ("Halves", "Thirds"), True),
]


@pytest.mark.slow
def test_nbval_compares_figures_by_their_data(tmp_path):
    """The whole chain: a notebook is executed, changed, and run again by nbval."""
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "conftest.py", tmp_path)
    shutil.copy(ROOT / "tests" / "comparison.py", tmp_path / "tests")
    path = tmp_path / "some.ipynb"
    sources = [SETUP, *(source for source, *_ in CHANGES), CURVES]
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, sources)])
    nbformat.write(notebook, path)
    load_script("book/execute.py").execute(path)

    notebook = nbformat.read(path, as_version=4)
    for cell, (_, words, _) in zip(notebook.cells[1:], CHANGES, strict=False):
        assert words[0] in cell.source
        cell.source = cell.source.replace(*words)
    shown = notebook.cells[-1].outputs[0].data
    shown["text/html"] = shown["text/html"].replace("M 0 ", "M 1 ")  # the stored drawing
    nbformat.write(notebook, path)
    nbval = [sys.executable, "-m", "pytest", "-p", "nbval.plugin"]
    report = subprocess.run(
        [*nbval, "--nbval", "--nbval-current-env", path.name],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # others take time to start
        capture_output=True,
        encoding="utf-8",
    ).stdout
    fails = [False, *(fails for *_, fails in CHANGES), True]
    failed = [f"FAILED some.ipynb::Cell {k} " in report for k in range(len(fails))]
    assert failed == fails, report
    assert "line a #010203 - 2 o: y[0]: stored 0.5, now 0.51" in report
