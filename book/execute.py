"""Execute notebooks in place, from a fresh kernel, and normalise what is stored.

Stored notebooks hold nothing that changes from run to run without cause: no times of
execution, no Python version, no widget state. A notebook that fails is left as it was.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Keep what the book needs: the kernel's name, cells with their tags, outputs."""
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        for key in set(cell.metadata) - {"tags", "mystnb"}:
            del cell.metadata[key]
    return notebook


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


if __name__ == "__main__":
    os.environ.setdefault("GATUTILS_PROGRESS", "0")
    for name in tqdm(sys.argv[1:], unit="notebook"):
        execute(Path(name))
