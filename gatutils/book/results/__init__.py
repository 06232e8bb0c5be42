"""The stored results of the book, read by name: ``read("lengths")``.

They are package data, so a notebook finds them whatever its location. The files of runs are created
by ``python -m gatutils.book.reproduce``, those of timings by ``benchmarks/``.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from gatutils._checks import expect

__all__ = ["FOLDER", "bounds", "load", "read", "runs"]

FOLDER = Path(__file__).parent
"""The folder in which the package stores them.

:meta hide-value:
"""


def load(source: str | Path) -> dict[str, Any]:
    """Return the content of a result file.

    Args:
        source: The name of one of the book's results, such as ``"lengths"``, or a path that ends in
            ``.json``.

    Raises:
        ValueError: If there is no such result, the file cannot be read, or it does not contain a
            JSON object.
    """
    path = _path(source)
    try:
        text = path.read_text(encoding="utf-8")
        expect(bool(text.strip()), str(path), "a JSON file", "an empty one")
        stored = json.loads(text)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: expected a JSON file, got nothing: it does not exist") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text in UTF-8, got other bytes: {error}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: expected JSON, got text that is broken: {error}") from error
    expect(isinstance(stored, dict), str(path), "a JSON object", type(stored).__name__)
    return cast(dict[str, Any], stored)


def runs(source: str | Path, model: str) -> list[dict[str, Any]]:
    """Return everything stored about each run of a model, in the order of the seeds.

    Args:
        source: A name or a path, as in :func:`load`.
        model: One of the models whose runs the file contains.

    Raises:
        ValueError: If the file contains no runs, a run lacks its model, seed or scores, or there is
            no run of this model.
    """
    stored = runs_in(load(source), _path(source))
    found = [run for run in stored if run["model"] == model]
    known = ", ".join({run["model"]: 0 for run in stored})
    expect(bool(found), "model", f"one of {known}", repr(model))
    return sorted(found, key=lambda run: run["seed"])


def read(source: str | Path) -> dict[str, list[list[float]]]:
    """Return model -> one row of scores per seed, in the order of the seeds.

    Args:
        source: A name or a path, as in :func:`load`.

    Raises:
        ValueError: If the file contains no runs, or a run lacks its model, seed or scores.
    """
    stored = runs_in(load(source), _path(source))
    found: dict[str, list[list[float]]] = {run["model"]: [] for run in stored}
    for run in sorted(stored, key=lambda run: run["seed"]):
        found[run["model"]].append(run["scores"])
    return found


def bounds(scores: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return the bounds within which each score of another run agrees with the stored runs.

    A score may lie below the lowest or above the highest of them by a margin: the difference
    between the two, or 0.25 divided by the number of runs if that is more, since the spread of a
    few runs is a poor estimate. Of the book's stored runs, about two in a hundred lie outside the
    bounds given by the other runs of the same model.

    Args:
        scores: One row of scores per stored run, at least two rows.

    Raises:
        ValueError: If there are fewer rows, or they differ in length.
    """
    expect(len(scores) > 1, "scores", "those of two runs or more", f"those of {len(scores)}")
    lengths = sorted({len(row) for row in scores})
    expect(len(lengths) == 1, "scores", "rows of one length", f"rows of {lengths}")
    found = []
    for column in zip(*scores, strict=True):
        low, high = min(column), max(column)
        margin = max(high - low, 0.25 / len(scores))
        found.append((low - margin, high + margin))
    return found


def _path(source: str | Path) -> Path:
    path = Path(source)
    if path.suffix == ".json":
        return path
    known = sorted(file.stem for file in FOLDER.glob("*.json"))
    expect(str(source) in known, "source", f"one of {', '.join(known)}", repr(str(source)))
    return FOLDER / f"{source}.json"


def runs_in(stored: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Return the runs of a result file after validating them.

    Args:
        stored: The content of the file.
        path: The file, for error messages.

    Raises:
        ValueError: If there are no runs, one lacks its model, seed or scores, one is duplicated, or
            runs of the same model differ in the number of scores.
    """
    expect(
        "runs" in stored, str(path), "a result of gatutils.book.reproduce", f"only {list(stored)}"
    )
    found = stored["runs"]
    expect(isinstance(found, list), f"{path}: runs", "a list", type(found).__name__)
    seen: set[tuple[str, int]] = set()
    width: dict[str, int] = {}  # model -> how many scores a run has
    for index, run in enumerate(found):
        name = f"{path}: runs[{index}]"
        expect(isinstance(run, dict), name, "a JSON object", type(run).__name__)
        lacking = [key for key in ("model", "seed", "scores") if key not in run]
        expect(not lacking, name, "model, seed and scores", f"a run without {', '.join(lacking)}")
        model, seed, scores = run["model"], run["seed"], run["scores"]
        expect(isinstance(model, str), f"{name}.model", "a string", repr(model))
        expect(type(seed) is int and seed >= 0, f"{name}.seed", "an int of at least 0", repr(seed))
        right = isinstance(scores, list) and scores and all(_finite(score) for score in scores)
        expect(bool(right), f"{name}.scores", "one finite number or more", repr(scores))
        count = width.setdefault(model, len(scores))
        expect(
            len(scores) == count, f"{name}.scores", f"{count} as in the runs before", len(scores)
        )
        expect(
            (model, seed) not in seen, name, "each model and seed once", f"{model}, {seed} again"
        )
        seen.add((model, seed))
    return cast(list[dict[str, Any]], found)


def _finite(score: object) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
