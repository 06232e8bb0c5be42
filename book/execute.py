"""Execute notebooks in place, from a fresh kernel, and normalise what is stored.

Stored notebooks hold nothing that changes from run to run without cause: no times of
execution, no Python version, no widget state. A notebook that fails is left as it was.
``--check`` executes and writes nothing: it names the notebooks that are not in normal form,
such as those that were saved in JupyterLab.
"""

import argparse
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    # nbconvert takes the end of a script's name from here.
    "language_info": {"name": "python", "file_extension": ".py"},
}
PROMPTS = ("checked", "setup")
"""Tags that are also the word under which the book folds a cell; of the others it says "code"."""
SOLUTION = "#### Solution"
"""A heading that only notebooks show: JupyterLab collapses what is below it."""


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Keep what the book needs, and hide in JupyterLab what the book folds."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if "hide-input" in tags:
            cell.metadata["jupyter"] = {"source_hidden": True}
            for word in set(PROMPTS) & set(tags):
                cell.metadata["mystnb"] = {"code_prompt_show": word, "code_prompt_hide": word}
        if cell.source.strip() == SOLUTION:
            cell.metadata["jp-MarkdownHeadingCollapsed"] = True
        if not cell.get("attachments", True):
            del cell["attachments"]
        if "outputs" in cell:
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join what was printed: where the kernel cuts it in pieces is a matter of time."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        if joined and output.get("name", "") == joined[-1].get("name"):
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def execute(path: Path) -> None:
    """Run every cell in order and write the notebook whole, or not at all."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    nbformat.validate(normalise(notebook))
    draft = path.with_suffix(".tmp")
    draft.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    os.replace(draft, path)


def is_normal(path: Path) -> bool:
    """Tell whether a notebook is stored as `execute` writes it."""
    stored = path.read_text(encoding="utf-8")
    normal: str = nbformat.writes(normalise(nbformat.reads(stored, as_version=4)))
    return normal + "\n" == stored


def main() -> int:
    """Execute the notebooks that are named, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if one differs")
    options = parser.parse_args()
    if options.check:
        others = [str(path) for path in options.notebooks if not is_normal(path)]
        if others:
            print("not in normal form (`make notebooks` mends it):", *others, file=sys.stderr)
        return bool(others)
    os.environ.setdefault("GATUTILS_PROGRESS", "0")
    for path in tqdm(options.notebooks, unit="notebook"):
        execute(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
