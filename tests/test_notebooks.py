"""The notebook rules, one test each. `make notebooks` puts most of them right."""

import ast
import copy
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from comparison import digest, is_figure
from helpers import load_script, not_none
from mutations import mutants

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [*NOTEBOOKS, *(ROOT / "book" / f"{name}.ipynb" for name in ("results", "performance"))]
IGNORED = "nbval-ignore-output"
NOT_TRAINED = 0.02
"""A figure that tolerates more has its claims asserted in the next cell."""
MODULES = {"gatutils", "torch", "numpy", "networkx", "matplotlib", "IPython"}
"""What a notebook may import beside the standard library: no builder of books, no tests."""
ON_ITS_OWN = (
    "> **Running this notebook on its own.** It imports the package `gatutils` from the repository "
    "to which it belongs. Where `import gatutils` fails, as on Colab, download the repository as a "
    "ZIP archive, upload the archive beside this notebook, and run "
    '`%pip install "./ARCHIVE.zip[notebooks]"` in a new cell, with the archive\'s name in place of '
    '`ARCHIVE.zip`. From a clone, `%pip install "PATH-TO-THE-CLONE[notebooks]"` does the same.'
)
UNSTABLE = [
    (r"\b0x[0-9a-f]{6,}\b", "an address"),
    (r"(?:/home/|/Users/|/root/|/tmp/|[A-Z]:\\\\)", "a path of one machine"),
    (r"\d+(?:\.\d+)? ?(?:ms|µs|it/s|step/s|CPU-seconds|seconds)\b", "a time"),
    (r"\d+%\|", "a progress bar"),
]


def rules(function):
    """Run a rule on every notebook, and tell the notebook's name."""
    return pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)(function)


def chapters(function):
    """Run a rule on every chapter."""
    return pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)(function)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def execute():
    """The script that executes and normalises notebooks."""
    return load_script("book/execute.py")


def source(cell):
    return "".join(cell["source"])


def code(path):
    return [c for c in load(path)["cells"] if c["cell_type"] == "code"]


def prose(path):
    return "\n".join(source(c) for c in load(path)["cells"] if c["cell_type"] == "markdown")


def tags(cell):
    return set(cell["metadata"].get("tags", []))


def outputs(cell):
    """What a cell shows as text, each piece once."""
    for output in cell["outputs"]:
        yield "".join(output.get("text", ""))
        for kind, data in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield "".join(data)


def test_there_are_notebooks_and_the_contents_list_them_all():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    assert [f"notebooks/{p.stem}" for p in NOTEBOOKS] == [f for f in listed if "notebooks/" in f]
    assert {"book/results", "book/performance"} <= set(listed)
    assert NOTEBOOKS
    assert len({p.stem.split("-")[0] for p in NOTEBOOKS}) == len(NOTEBOOKS)


@chapters
def test_names_are_a_number_and_hyphenated_words(path):
    assert re.fullmatch(r"\d\d(-[a-z0-9]+)+", path.stem)


@rules
def test_executed_in_order_from_a_fresh_kernel(path):
    counts = [cell["execution_count"] for cell in code(path)]
    assert counts == list(range(1, len(counts) + 1))


@rules
def test_no_errors_no_warnings_no_empty_cells(path):
    for cell in code(path):
        assert source(cell).strip()
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", source(cell)


@rules
def test_no_cell_ends_in_a_semicolon(path):
    for cell in code(path):
        assert not source(cell).rstrip().endswith(";"), source(cell)


@rules
def test_what_is_printed_is_stable(path):
    for cell in code(path):
        for text in outputs(cell):
            # A figure's script is a file of the repository; it may say how long a motion takes.
            shown = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
            for pattern, what in UNSTABLE:
                bare = re.sub(r"<[^>]+>", " ", shown)
                assert not re.search(pattern, bare), f"{what} in the output of:\n{source(cell)}"


def figures(cell):
    """The data that each figure of a cell carries."""
    return [o["metadata"]["gatutils"] for o in cell["outputs"] if is_figure(o)]


@rules
def test_a_cell_that_may_differ_is_followed_by_assertions(path):
    cells = code(path)
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        loose = any(figure["tolerance"] > NOT_TRAINED for figure in figures(cell))
        if IGNORED in tags(cell) or loose:
            assert after is not None
            assert IGNORED not in tags(after)
            assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(source(after))))
        assert "NBVAL" not in source(cell)
        assert not {t for t in tags(cell) if t.startswith("nbval") and t != IGNORED}
        assert not {t for t in tags(cell) if t.startswith(("skip", "raises"))}


@rules
def test_figures_have_alternative_text(path):
    for cell in code(path):
        for output in cell["outputs"]:
            data = output.get("data", {})
            assert not {"image/png", "image/jpeg", "image/svg+xml"} & set(data), (
                "figures go through gatutils.book.figures.picture, which asks for alternative text"
            )
            page = "".join(data.get("text/html", ""))
            page = re.sub(r"<script.*?</script>", "", page, flags=re.S)  # it draws, later
            for svg in re.findall(r"<svg[^>]*>", page):
                assert 'role="img"' in svg
                assert re.search(r'aria-label="[^"]{20,}"', svg)
    for alt in re.findall(r"!\[(.*?)\]\(", prose(path)):
        assert len(alt) >= 20


@rules
def test_figures_carry_the_data_that_they_show(path):
    """Else a plot would be compared by its words alone."""
    alts, ids = [], []
    for cell in code(path):
        for output in cell["outputs"]:
            page = "".join(output.get("data", {}).get("text/html", ""))
            if "<figure" not in page:
                assert "<svg" not in page, source(cell)
                continue
            assert is_figure(output), source(cell)
            held = output["metadata"]["gatutils"]
            assert held["sha256"] == digest(output), source(cell)
            page = re.sub(r"<script.*?</script>", "", page, flags=re.S)
            records = [json.loads(line) for line in held["data"]]
            numbers = [x for r in records if "axes" not in r["mark"] for x in r["x"] + r["y"]]
            assert len(numbers) > 3 if "<svg" in page else re.search(r"<td.*?\d", page)
            alts.append("".join(output["data"]["text/plain"]))
            ids += re.findall(r' id="([^"]+)"', page)
    assert len(set(alts)) == len(alts), "two figures with one alternative text share their ids"
    assert len(set(ids)) == len(ids)


def checked(path):
    """The outputs of each cell that nbval compares, and the cell's source."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and IGNORED not in tags(cell):
            yield cell.outputs, cell.source


def same(stored, shown):
    """Whether nbval takes outputs for those that are stored, as conftest.py tells it."""
    plugin = pytest.importorskip("nbval.plugin")
    reader = SimpleNamespace(
        colors=plugin.nocolors, sanitize=lambda text: text, format_output_compare=lambda *_: None
    )
    skipped = ("metadata", "output_type", "name", "execution_count")
    given = [plugin.coalesce_streams(copy.deepcopy(outputs)) for outputs in (shown, stored)]
    return plugin.IPyNbCell.compare_outputs(reader, *given, skipped)


@pytest.mark.slow
@rules
def test_no_change_of_what_is_shown_goes_unnoticed(path):
    """Printed numbers and words, captions, alternative texts, tables, data: one at a time."""
    count = 0
    for outputs, words in checked(path):
        assert same(outputs, outputs), words
        for name, changed in mutants(outputs):
            assert not same(changed, outputs), f"{name} in\n{words}"
            count += 1
    assert count > 50


@rules
def test_metadata_is_what_the_book_and_jupyterlab_need(path):
    """Of a notebook as it is, or as a reader's editor has saved it: that adds more, and may."""
    notebook = load(path)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert notebook["metadata"]["language_info"]["name"] == "python"
    assert notebook["metadata"]["language_info"]["file_extension"] == ".py"
    assert "widgets" not in notebook["metadata"]
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        words = {"checked", "setup"}  # under which the book folds a cell instead of "code"
        assert tags(cell) <= {"hide-input", "remove-cell", IGNORED, *words}, source(cell)
        assert len(tags(cell) & words) == 0 or "hide-input" in tags(cell), source(cell)


@rules
def test_visible_code_teaches(path):
    """At most 25 lines; what imports, draws or asserts alone is folded, under its word."""
    exercises = False
    for cell in load(path)["cells"]:
        text = source(cell)
        if cell["cell_type"] == "markdown":
            exercises = exercises or bool(re.search(r"^## Exercises", text, re.M))
            continue
        statements = ast.parse(text).body
        imports = all(isinstance(part, ast.Import | ast.ImportFrom) for part in statements)
        asserts = all(isinstance(part, ast.Assert) for part in statements)
        folded = tags(cell) & {"hide-input", "remove-cell"}
        assert not imports or "setup" in tags(cell), text
        if not folded and not exercises:
            assert len(text.splitlines()) <= 25, text
            assert not asserts, text
            assert not any("text/html" in output.get("data", {}) for output in cell["outputs"])
        if asserts and folded:
            assert "checked" in tags(cell), text


@rules
def test_what_an_editor_adds_is_taken_away(path, execute):
    """These are the changes of a save in JupyterLab 4.6, after a look around and a run."""
    normal = execute.normalise(nbformat.read(path, as_version=4))
    saved = copy.deepcopy(normal)
    saved.metadata["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    saved.metadata["language_info"] |= {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "mimetype": "text/x-python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": "3.11.7",
    }
    for cell in saved.cells:
        cell.metadata |= {"editable": True, "slideshow": {"slide_type": ""}, "trusted": True}
        cell.metadata.pop("jupyter", None)
        cell.metadata.pop("jp-MarkdownHeadingCollapsed", None)
        if cell.cell_type == "code":
            cell.metadata |= {"execution": {"iopub.status.idle": "now"}, "collapsed": False}
        else:
            cell["attachments"] = {}
    assert saved != normal
    assert execute.normalise(saved) == normal


@rules
def test_jupyterlab_hides_what_the_book_folds(path, execute):
    """Folded cells hide their source; each solution is collapsed under a heading of its own."""
    notebook = execute.normalise(nbformat.read(path, as_version=4))
    inside = collapsed = False
    for cell in notebook.cells:
        hidden = cell.metadata.get("jupyter", {}) == {"source_hidden": True}
        assert hidden == ("hide-input" in tags(cell))
        if cell.cell_type == "markdown":
            if re.search(r"^#{1,4} ", cell.source, re.M):
                assert not inside, "a heading ends what is collapsed"
                collapsed = cell.metadata.get("jp-MarkdownHeadingCollapsed", False)
                assert collapsed == (cell.source == execute.SOLUTION)
                assert not collapsed or "remove-cell" in tags(cell)
            if "{solution-start}" in cell.source:
                assert collapsed
                inside = True
            assert "{exercise-" not in cell.source or not inside
            if "{solution-end}" in cell.source:
                assert cell.source.endswith("```{solution-end}\n```")
                inside = False
    assert not inside
    # What follows the last solution is no part of it.
    assert not collapsed or "{solution-end}" in notebook.cells[-1].source


@rules
def test_a_notebook_needs_only_the_package(path):
    """No builder of books, no file beside it: it runs wherever ``gatutils`` is installed.

    What else it imports is in a block that is left out where that is not installed.
    """
    for cell in code(path):
        tree = ast.parse(source(cell))
        optional = {
            part: found[1]
            for block in ast.walk(tree)
            if isinstance(block, ast.If)
            and (found := re.fullmatch(r"find_spec\('(\w+)'\)", ast.unparse(block.test)))
            for part in ast.walk(block)
        }
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [not_none(node.module)]
            for name in names:
                first = name.split(".")[0]
                assert first in MODULES | sys.stdlib_module_names | {optional.get(node)}, name
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("open", "glue"), source(cell)
    assert "{glue" not in prose(path)


@rules
def test_a_notebook_says_how_it_runs_on_its_own(path):
    note = load(path)["cells"][1]
    assert source(note) == ON_ITS_OWN
    assert tags(note) == {"remove-cell"}  # the book has a page about it


@rules
def test_a_notebook_becomes_a_script(path):
    """``jupyter nbconvert --to script`` makes Python of it, in a file that ends in .py."""
    exporters = pytest.importorskip("nbconvert.exporters")
    body, resources = exporters.ScriptExporter().from_filename(str(path))
    assert resources["output_extension"] == ".py"
    compile(body, path.stem, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["book/results", "notebooks/06-masks-are-graphs"])
def test_a_notebook_runs_in_another_folder(name, tmp_path, execute):
    stored = ROOT / f"{name}.ipynb"
    path = Path(shutil.copy(stored, tmp_path))
    execute.execute(path)
    for (before, _), (now, words) in zip(checked(stored), checked(path), strict=True):
        assert same(before, now), words


def test_a_notebook_that_fails_is_left_as_it_was(tmp_path, execute):
    path = tmp_path / "fails.ipynb"
    cells = [nbformat.v4.new_code_cell("print(1)"), nbformat.v4.new_code_cell("1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="division by zero"):
        execute.execute(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_printed_text_is_joined_and_the_check_names_what_is_not_normal(tmp_path, execute):
    """The kernel sends what a cell prints in pieces, as time has it."""
    pieces = [
        nbformat.v4.new_output("stream", name=name, text=text)
        for name, text in (("stdout", "a\n"), ("stdout", "b\n"), ("stderr", "c\n"))
    ]
    cell = nbformat.v4.new_code_cell("", outputs=pieces)
    path = tmp_path / "some.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[cell])
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    assert not execute.is_normal(path)
    notebook = execute.normalise(notebook)
    assert [output.text for output in notebook.cells[0].outputs] == ["a\nb\n", "c\n"]
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    assert execute.is_normal(path)


@rules
def test_links_between_pages_are_markdown_and_lead_somewhere(path):
    text = prose(path)
    assert "{eval-rst}" not in text
    assert "{doc}" not in text
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / target).resolve().exists(), target


@chapters
def test_chapter_contract(path):
    """One question first; what you need, what you build, how long; limits; exercises that run."""
    cells = load(path)["cells"]
    first = source(cells[0])
    assert re.match(r"# .+\n", first)
    assert ":class: question" in first
    text = prose(path)
    for words in ("You need", "You build", "It runs"):
        assert f"**{words}**" in text, words
    for heading in ("Honest limits", "Exercises", "What real systems do"):
        assert re.search(rf"^## {heading}", text, re.M), heading
    assert len(re.findall(r"^#{1} ", text, re.M)) == 1
    exercises = text.count("{exercise-start}") + text.count("{exercise}")
    assert exercises >= 3
    assert text.count("{solution-start}") == exercises  # solutions that hold code cells
    assert "torch.set_num_threads(1)" in "\n".join(map(source, code(path)))


def reading_minutes(path):
    """Up to the exercises, at 200 words of prose a minute and a line of code in four seconds.

    Neither folded cells count, nor what the book does not show, nor lines without a word, nor the
    texts of figures.
    """
    words = lines = 0
    for cell in load(path)["cells"]:
        if "remove-cell" in tags(cell):
            continue
        if cell["cell_type"] == "markdown":
            text, *exercises = re.split(r"^## Exercises", source(cell), flags=re.M)
            words += len(re.findall(r"\w+", text))
            if exercises:
                break
        elif "hide-input" not in tags(cell):
            lines += len(re.findall(r"^(?!\s*(?:f?\"|\w+=\")).*\w", source(cell), re.M))
    return words / 200 + lines * 4 / 60


@chapters
def test_no_chapter_is_longer_than_25_minutes_and_home_says_how_long(path):
    home = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    stated = re.search(rf"^\|.*/{path.name}\) \|.*\| (\d+) min \|.*\|$", home, re.M)
    assert stated is not None
    assert abs(int(stated[1]) - reading_minutes(path)) <= 2
    assert reading_minutes(path) <= 25
