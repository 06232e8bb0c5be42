"""The notebook rules, one test each. `make notebooks` puts most of them right."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [*NOTEBOOKS, ROOT / "book" / "results.ipynb"]
IGNORED = "nbval-ignore-output"
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
    assert "book/results" in listed
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
            for pattern, what in UNSTABLE:
                bare = re.sub(r"<[^>]+>", " ", text)
                assert not re.search(pattern, bare), f"{what} in the output of:\n{source(cell)}"


@rules
def test_an_ignored_cell_is_followed_by_assertions(path):
    cells = code(path)
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if IGNORED in tags(cell):
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
                "figures go through gatutils.viz.picture, which asks for alternative text"
            )
            page = "".join(data.get("text/html", ""))
            page = re.sub(r"<script.*?</script>", "", page, flags=re.S)  # it draws, later
            for svg in re.findall(r"<svg[^>]*>", page):
                assert 'role="img"' in svg
                assert re.search(r'aria-label="[^"]{20,}"', svg)
    for alt in re.findall(r"!\[(.*?)\]\(", prose(path)):
        assert len(alt) >= 20


@rules
def test_metadata_is_normal(path):
    notebook = load(path)
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        assert set(cell["metadata"]) <= {"tags", "mystnb"}


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


@chapters
def test_no_chapter_is_longer_than_25_minutes(path):
    """Up to the exercises, at 200 words of prose a minute and a line of code in four seconds.

    Neither folded cells count, nor lines without a word, nor the texts of figures.
    """
    words = lines = 0
    for cell in load(path)["cells"]:
        if cell["cell_type"] == "markdown":
            text, *exercises = re.split(r"^## Exercises", source(cell), flags=re.M)
            words += len(re.findall(r"\w+", text))
            if exercises:
                break
        elif "hide-input" not in tags(cell):
            lines += len(re.findall(r"^(?!\s*(?:f?\"|\w+=\")).*\w", source(cell), re.M))
    assert words / 200 + lines * 4 / 60 <= 25, (words, lines)


@rules
def test_glued_numbers_exist(path):
    """Every {glue:...} in the prose names a number that a cell of this chapter has glued."""
    asked = set(re.findall(r"\{glue:\w*\}`([^`:]+)", prose(path)))
    glued = {
        output["metadata"]["scrapbook"]["name"]
        for cell in code(path)
        for output in cell["outputs"]
        if "scrapbook" in output.get("metadata", {})
    }
    assert asked <= glued
    assert glued <= asked, "glued and never told"
