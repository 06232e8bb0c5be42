"""Write result files: atomically, and by one command at a time.

A file contains a protocol, the versions with which its first run was made, and the runs. A run made
with other versions records those that differ. Versions that can change a result are never mixed in
one file; see :data:`MATTERS`.
"""

import json
import platform
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from filelock import FileLock

import gatutils
from gatutils._checks import expect
from gatutils.book.results import load, runs_in
from gatutils.storage import write_whole

__all__ = ["MATTERS", "add", "differences", "existing", "expect_alike", "prepare", "versions"]

MATTERS = ("torch", "python", "machine")
"""What can change a result. Operators, initialisation and random numbers depend on torch;
``random``, which draws the sentences and puzzles, depends on Python. For both, only the major and
the minor version are compared, since the third number changes only with bug fixes. For the
machine, the processor family is compared, since the rounding of sums depends on it. The protocol is
compared separately.
"""

_SAME = {"amd64": "x86_64", "aarch64": "arm64"}  # names for the same family on other systems


def versions() -> dict[str, Any]:
    """Return the versions with which a run would be made here."""
    return {
        "gatutils": gatutils.__version__,
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": 1,
    }


def differences(stored: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Return the differences between two environments that can change a result.

    Args:
        stored: The versions recorded in a file.
        here: The versions to compare with.

    Returns:
        For each of :data:`MATTERS` that differs, a phrase such as "torch 2.13 (here 2.14)".
    """
    pairs = [(name, _what_matters(name, stored), _what_matters(name, here)) for name in MATTERS]
    return [f"{name} {old} (here {new})" for name, old, new in pairs if old != new]


def _what_matters(name: str, found: dict[str, Any]) -> str:
    value = str(found[name])
    if name == "machine":
        return _SAME.get(value.lower(), value.lower())
    return ".".join(value.split(".")[:2])


def existing(path: Path, protocol: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a result file, or one without versions and runs if it does not exist.

    Args:
        path: The file.
        protocol: The protocol that its runs must follow.

    Raises:
        ValueError: If it is not a result file, a part of it is missing, or its protocol differs.
    """
    if not path.exists():
        return {"protocol": protocol, "versions": {}, "runs": []}
    stored = load(path)
    for key in ("protocol", "versions"):
        expect(
            key in stored, str(path), "a result of gatutils.book.reproduce", f"only {list(stored)}"
        )
        found = stored[key]
        expect(isinstance(found, dict), f"{path}: {key}", "a JSON object", repr(found))
    theirs = stored["protocol"]
    parts = sorted(k for k in {*theirs, *protocol} if theirs.get(k) != protocol.get(k))
    if parts:
        raise ValueError(
            f"{path}: its runs follow another protocol, which differs in {', '.join(parts)}; name "
            "another folder with --out"
        )
    runs, models = runs_in(stored, path), list(protocol["models"])
    for run in runs:
        known = run["model"] in models
        expect(known, f"{path}: runs", f"only models of {', '.join(models)}", repr(run["model"]))
    lacking = [name for name in MATTERS if runs and name not in stored["versions"]]
    wanted = f"{', '.join(MATTERS)}"
    expect(not lacking, f"{path}: versions", wanted, f"no {', '.join(lacking)}")
    return stored


def expect_alike(path: Path, stored: dict[str, Any], here: dict[str, Any]) -> None:
    """Raise unless new runs may be stored together with those of a file.

    Args:
        path: The file, for the error message.
        stored: Its content.
        here: The versions of the new runs.

    Raises:
        ValueError: If a version that can change a result differs; the message suggests what to do.
    """
    if stored["runs"] and (parts := differences(stored["versions"], here)):
        raise ValueError(
            f"{path}: its runs were made with {', '.join(parts)}, and cannot be mixed with others; "
            "start a new file with --out FOLDER, or see with --compare whether new runs agree"
        )


def prepare(folder: Path) -> None:
    """Create the folder if it does not exist, and check that it is writable.

    Raises:
        OSError: If it cannot be created or is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        why = error.strerror or error
        raise OSError(
            f"{folder}: cannot be written to ({why}); name another folder with --out"
        ) from error


def add(path: Path, protocol: dict[str, Any], here: dict[str, Any], run: dict[str, Any]) -> None:
    """Add a run to a file, keeping what other commands have stored in the meantime.

    If the file already has a run of this model and seed, it is left unchanged.

    Args:
        path: The file; it is created if it does not exist.
        protocol: The protocol that the run followed.
        here: The versions with which it was made.
        run: The run.

    Raises:
        ValueError: If the current file cannot accept the run; see :func:`existing` and
            :func:`expect_alike`.
        OSError: If the file cannot be written; it is then left unchanged.
    """
    with FileLock(path.with_name(f".{path.name}.lock")):
        result = existing(path, protocol)
        expect_alike(path, result, here)
        if any((r["model"], r["seed"]) == (run["model"], run["seed"]) for r in result["runs"]):
            return
        if not result["runs"]:
            result["versions"] = here
        departs = {k: value for k, value in here.items() if result["versions"].get(k) != value}
        result["runs"].append({**run, "versions": departs} if departs else run)
        models = list(protocol["models"])
        result["runs"].sort(key=lambda r: (models.index(r["model"]), r["seed"]))
        text = _one_run_a_line(result)
        write_whole(path, lambda file: file.write(text.encode()))


def _one_run_a_line(result: dict[str, Any]) -> str:
    """Return JSON with one model of the protocol and one run per line, for readable diffs."""
    parts = {key: json.dumps(value) for key, value in result.items()}
    protocol = {key: json.dumps(value) for key, value in result["protocol"].items()}
    models = result["protocol"].get("models")
    if isinstance(models, dict):
        lines = [f"{json.dumps(name)}: {json.dumps(plan)}" for name, plan in models.items()]
        protocol["models"] = _block("{}", lines, 3)
    parts["protocol"] = _block("{}", [f'"{key}": {text}' for key, text in protocol.items()], 2)
    parts["runs"] = _block("[]", [json.dumps(run) for run in result["runs"]], 2)
    return _block("{}", [f'"{key}": {text}' for key, text in parts.items()], 1) + "\n"


def _block(brackets: str, lines: list[str], indent: int) -> str:
    """Return a JSON object or list with one entry per line."""
    if not lines:
        return brackets
    start, end = "\n" + " " * indent, "\n" + " " * (indent - 1)
    return brackets[0] + start + f",{start}".join(lines) + end + brackets[1]
