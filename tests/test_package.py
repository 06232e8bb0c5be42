"""The package's shape, and the tool that executes the notebooks."""

import ast
import importlib
import json

import nbformat
import pytest
from helpers import ROOT, load_script
from nbclient.exceptions import CellExecutionError

import gatutils

# From the bottom to the top: a module may import those before it.
ORDER = [
    "checks",
    "attention",
    "seq2seq",
    "transformer",
    "csr",
    "graph",
    "sparse",
    "gnn",
    "datasets",
    "planetoid",
    "training",
    "experiments",
    "viz",
    "interop",
    "results",
    "reproduce",
]


def imported(module):
    """The modules of the package that a module imports."""
    file = ROOT / "gatutils" / f"{module}.py"
    tree = ast.parse(
        (file if file.exists() else file.with_suffix("") / "__init__.py").read_text(
            encoding="utf-8"
        )
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gatutils."):
            yield node.module.split(".")[1]


def test_every_module_has_its_place():
    modules = {p.stem for p in (ROOT / "gatutils").glob("*.py")} - {"__init__"}
    folders = {p.parent.name for p in (ROOT / "gatutils").glob("*/__init__.py")}
    assert modules | folders == set(ORDER)
    for module in ORDER:
        assert f"``{module}``" in gatutils.__doc__


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_downwards(module):
    assert set(imported(module)) <= set(ORDER[: ORDER.index(module)])


@pytest.mark.parametrize("module", ORDER)
def test_public_names_are_there_and_described(module):
    loaded = importlib.import_module(f"gatutils.{module}")
    own = [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == loaded.__name__
    ]
    public = getattr(loaded, "__all__", own)
    assert public
    for name in public:
        value = getattr(loaded, name)
        if callable(value):
            assert (value.__doc__ or "").strip(), f"{module}.{name} has no docstring"


@pytest.fixture
def execute():
    return load_script("book/execute.py").execute


def notebook(path, source):
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": ["a"], "collapsed": True})]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_execution_stores_outputs_and_normal_metadata(execute, tmp_path):
    path = tmp_path / "a.ipynb"
    notebook(path, "print(6 * 7)")
    execute(path)
    stored = json.loads(path.read_text(encoding="utf-8"))
    (cell,) = stored["cells"]
    assert cell["outputs"][0]["text"] == ["42\n"]
    assert cell["execution_count"] == 1
    assert cell["metadata"] == {"tags": ["a"]}
    assert set(stored["metadata"]) == {"kernelspec", "language_info"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.ipynb"]


def test_a_notebook_that_fails_is_left_as_it_was(execute, tmp_path):
    path = tmp_path / "a.ipynb"
    notebook(path, "1 / 0")
    before = path.read_bytes()
    with pytest.raises(CellExecutionError):
        execute(path)
    assert path.read_bytes() == before
