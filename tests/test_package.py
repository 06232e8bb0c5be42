"""The package's shape, and the tool that executes the notebooks."""

import ast
import importlib
import inspect
import json
import subprocess
import sys

import nbformat
import pytest
from helpers import ROOT, load_script
from nbclient.exceptions import CellExecutionError

import gatutils

# From the bottom to the top: a module may import those before it.
LIBRARY = [
    "_checks",
    "attention",
    "seq2seq",
    "decoding",
    "transformer",
    "_csr",
    "_derived",
    "sampling",
    "graph",
    "_compiled",
    "_kernels",
    "_gatv2",
    "_aggregations",
    "sparse",
    "_layers",
    "_gat",
    "_fused",
    "_aggregate",
    "storage",
    "tables",
    "message_passing",
    "_attend_edges",
    "graph_attention",
    "training",
    "planetoid",
    "_networkx",
    "interop",
]
BOOK = [
    "book.tasks.splits",
    "book.tasks.grammar",
    "book.tasks.vocabulary",
    "book.tasks.sentences",
    "book.tasks.spelling",
    "book.tasks.graphs",
    "book.tasks.relay",
    "book.tasks.witnesses",
    "book.tasks.minesweeper",
    "book.tasks.dictionaries",
    "book.tasks.puzzles",
    "book.tasks",
    "book.figures.data",
    "book.figures.core",
    "book.figures.elements",
    "book.figures.curves",
    "book.figures.networks",
    "book.figures.heatmaps",
    "book.figures.heads",
    "book.figures.decoder",
    "book.figures.masks",
    "book.figures.lookup",
    "book.figures.graph_attention",
    "book.figures.self_attention",
    "book.figures.message_passing",
    "book.figures.gru_cell",
    "book.figures.pronounce",
    "book.figures.minefield",
    "book.figures.receptive_field",
    "book.figures.tables",
    "book.figures",
    "book.figures.__main__",
    "book.experiments.batching",
    "book.experiments.plan",
    "book.experiments.encoder_decoder",
    "book.experiments.translation",
    "book.experiments.roles",
    "book.experiments.parts",
    "book.experiments.spelling",
    "book.experiments.nodes",
    "book.experiments.witnesses",
    "book.experiments.dictionary",
    "book.experiments.attention",
    "book.experiments.minesweeper",
    "book.experiments.graph_transformer",
    "book.experiments.sampling",
    "book.experiments.published",
    "book.experiments.ladder",
    "book.experiments.questions",
    "book.experiments.relay",
    "book.experiments.puzzles",
    "book.experiments",
    "book.results",
    "book.results.store",
    "book.protocols.sequences",
    "book.protocols.graphs",
    "book.protocols.published",
    "book.protocols",
    "book.reproduce",
    "book",
]
ORDER = [*LIBRARY, *BOOK]
FOLDER = ROOT / "gatutils"


def home(module):
    """The file of a module."""
    path = FOLDER.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(module):
    """The modules of the package that a module imports."""
    for node in ast.walk(ast.parse(home(module).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        origin = node.module or ""
        if not origin.startswith("gatutils"):
            continue
        source = origin.removeprefix("gatutils").lstrip(".")
        for name in node.names:
            inner = f"{source}.{name.name}".lstrip(".")
            yield inner if inner in ORDER else source


def test_every_module_has_its_place():
    files = {file.relative_to(FOLDER).with_suffix("") for file in FOLDER.rglob("*.py")}
    modules = {".".join(file.parts).removesuffix(".__init__") for file in files} - {"__init__"}
    assert modules == set(ORDER)


@pytest.mark.parametrize("module", LIBRARY)
def test_the_package_says_what_is_in_each_module(module):
    assert module.startswith("_") or f"``{module}``" in gatutils.__doc__


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_downwards(module):
    assert set(imported(module)) <= set(ORDER[: ORDER.index(module)])


@pytest.mark.parametrize("module", ORDER)
def test_a_module_can_be_read_at_one_sitting(module):
    assert len(home(module).read_text(encoding="utf-8").splitlines()) <= 540


def test_the_library_imports_neither_the_book_nor_matplotlib():
    ask = "import gatutils, sys; print(*sys.modules)"
    run = [sys.executable, "-c", ask]
    loaded = subprocess.run(run, capture_output=True, encoding="utf-8", check=True).stdout.split()
    assert "gatutils.graph_attention" in loaded
    assert not {"gatutils.book", "matplotlib", "filelock", "torch_geometric"} & set(loaded)


def test_each_public_name_of_the_library_can_be_imported_from_the_package():
    for module in LIBRARY:
        if not module.startswith("_") and module != "planetoid":  # which is also a function's name
            loaded = importlib.import_module(f"gatutils.{module}")
            for name in loaded.__all__:
                assert getattr(gatutils, name) is getattr(loaded, name), name
                assert name in gatutils.__all__


@pytest.mark.parametrize("module", ORDER)
def test_public_names_are_there_and_described(module):
    loaded = importlib.import_module(f"gatutils.{module}")
    own = [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == loaded.__name__
    ]
    public = getattr(loaded, "__all__", own)
    for name in public:
        value = getattr(loaded, name)
        if inspect.isroutine(value) or inspect.isclass(value):
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
