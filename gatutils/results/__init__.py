"""The results that the book stores, read by name: ``read("lengths")``.

They are package data, so a notebook finds them wherever it lies. ``python -m gatutils.reproduce``
makes the files with runs, and ``benchmarks/`` those of what was timed.
"""

import json
from pathlib import Path
from typing import Any, cast

from gatutils.checks import expect

__all__ = ["FOLDER", "load", "read", "runs"]

FOLDER = Path(__file__).parent
"""Where the package keeps them."""


def load(source: str | Path) -> dict[str, Any]:
    """Return a result file as it is stored.

    Args:
        source: The name of a result of the book, such as ``"lengths"``, or a path that ends in
            ``.json``.

    Raises:
        ValueError: If there is no such result, or the file holds no JSON object.
    """
    path = Path(source)
    if path.suffix != ".json":
        known = sorted(file.stem for file in FOLDER.glob("*.json"))
        expect(str(source) in known, "source", f"one of {', '.join(known)}", repr(str(source)))
        path = FOLDER / f"{source}.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"source: expected a file, got {path}, which is not there") from error
    except ValueError as error:
        raise ValueError(
            f"{path}: expected a JSON file, got one that breaks off: {error}"
        ) from error
    expect(isinstance(stored, dict), str(path), "a JSON object", type(stored).__name__)
    return cast(dict[str, Any], stored)


def runs(source: str | Path, model: str) -> list[dict[str, Any]]:
    """Return all that is stored of each run of a model, in the order of the seeds.

    Args:
        source: A name or a path, as in :func:`load`.
        model: One of the models whose runs it holds.

    Raises:
        ValueError: If the file holds no runs, or none of this model.
    """
    stored = _runs(source)
    found = [run for run in stored if run["model"] == model]
    known = ", ".join({run["model"]: 0 for run in stored})
    expect(bool(found), "model", f"one of {known}", repr(model))
    return sorted(found, key=lambda run: run["seed"])


def read(source: str | Path) -> dict[str, list[list[float]]]:
    """Return model -> one row of scores for each seed, in the order of the seeds.

    Args:
        source: A name or a path, as in :func:`load`.

    Raises:
        ValueError: If the file holds no runs.
    """
    models = {run["model"]: 0 for run in _runs(source)}
    return {model: [run["scores"] for run in runs(source, model)] for model in models}


def _runs(source: str | Path) -> list[dict[str, Any]]:
    stored = load(source)
    expect("runs" in stored, "source", "a result of gatutils.reproduce", str(source))
    return cast(list[dict[str, Any]], stored["runs"])
