"""The book's longer runs, one command each: ``python -m gatutils.book.reproduce lengths``.

A chapter trains what takes less than a minute and reads the rest from
:mod:`gatutils.book.results`. Each file there contains the protocol, the versions and every run. A
run that is already stored is not repeated, so an interrupted command resumes where it stopped.
``--compare`` repeats some of the runs and reports whether they agree with those stored.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from gatutils._checks import expect
from gatutils.book.protocols import ROWS, run
from gatutils.book.results import FOLDER, bounds, read
from gatutils.book.results.store import (
    MATTERS,
    add,
    existing,
    expect_alike,
    prepare,
    versions,
)


def main(arguments: list[str] | None = None) -> int:
    """Do the missing runs and store each as it finishes, or compare new runs with those stored.

    Args:
        arguments: The command-line arguments; None for those of the process.

    Returns:
        The exit status, which is 0 on success, 1 if new runs do not agree with those stored, 2 if a
        file or folder cannot be used, 130 after Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    known = list(ROWS[options.row].models)
    for model in options.models or []:
        if model not in known:
            parser.error(f"--models: expected some of {', '.join(known)}, got {model!r}")
    options.models = list(dict.fromkeys(options.models or [])) or None  # without duplicates
    torch.set_num_threads(1)  # the last digits depend on the number of threads
    try:
        return _compare(options) if options.compare else _complete(options)
    except KeyboardInterrupt:
        print("interrupted; what has been stored is kept", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gatutils.book.reproduce",
        description="Run the longer experiments whose results the book stores. Stored runs are "
        "skipped, so an interrupted command resumes where it stopped.",
    )
    folder = str(FOLDER).replace("%", "%%")
    rows = f"what to reproduce: {', '.join(ROWS)}"
    parser.add_argument("row", choices=list(ROWS), metavar="row", help=rows)
    parser.add_argument(
        "--seeds", type=_count, help="number of seeds (default 5, or 1 with --compare)"
    )
    parser.add_argument("--models", nargs="+", help="only these models (default: all)")
    parser.add_argument(
        "--steps",
        type=_count,
        help="number of training steps instead of the protocol's, for a quick trial",
    )
    parser.add_argument(
        "--jobs", type=_count, default=1, help="number of parallel processes (default 1)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help=f"folder of the results (default {folder})"
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="store nothing; repeat the first seeds and report for each model whether every score "
        "lies within the range of the stored ones, widened on each side by the width of that range "
        "or by 0.25 divided by the number of stored runs, whichever is larger. The exit status is "
        "1 if a model does not agree. About two runs in a hundred fall outside by chance; then try "
        "more seeds",
    )
    return parser


def _count(text: str) -> int:
    """Parse a number on the command line; raise unless it is 1 or more."""
    count = int(text) if text.isdecimal() else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return count


def _file(options: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    """Return the path of the row's results, and their protocol after a round trip through JSON."""
    protocol: dict[str, Any] = json.loads(json.dumps(ROWS[options.row].stored()))
    if options.steps is not None:
        protocol["steps"] = options.steps  # so that such runs are not mixed with regular ones
    return (options.out or FOLDER) / f"{options.row}.json", protocol


def _complete(options: argparse.Namespace) -> int:
    """Do and store the runs that are missing."""
    path, protocol = _file(options)
    stored, here = existing(path, protocol), versions()
    models = options.models or list(protocol["models"])
    wanted = [(model, seed) for seed in range(options.seeds or 5) for model in models]
    done = {(run["model"], run["seed"]) for run in stored["runs"]}
    missing = [one for one in wanted if one not in done]
    if missing:
        expect_alike(path, stored, here)
        if options.out is None and not (FOLDER.parents[2] / "pyproject.toml").is_file():
            raise ValueError(
                f"{path}: lacks {len(missing)} of {len(wanted)} runs, and belongs to an installed "
                "package, which is left as it is; name a folder with --out"
            )
        prepare(path.parent)
        with closing(_runs(options, missing)) as finished:
            for found in finished:
                add(path, protocol, here, found)
    print(f"all {len(wanted)} runs are stored in {path}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    """Repeat stored runs, and report for each model whether the scores agree."""
    path, protocol = _file(options)
    expect(path.exists(), str(path), "stored runs to compare with", "no such file")
    stored, here = existing(path, protocol), versions()
    scores = read(path)
    models, seeds = options.models or list(scores), options.seeds or 1
    for model in models:
        count = len(scores.get(model, []))
        expect(count > 1, f"{path}: {model}", "two stored runs or more to compare with", count)
    then, now = (", ".join(str(of[name]) for name in MATTERS) for of in (stored["versions"], here))
    print(f"{', '.join(MATTERS)} of the stored runs: {then}; here: {now}")
    outside: dict[str, list[str]] = {model: [] for model in models}
    left = dict.fromkeys(models, seeds)
    with closing(_runs(options, [(m, s) for m in models for s in range(seeds)])) as finished:
        for found in finished:
            model = found["model"]
            outside[model] += _outside(found, bounds(scores[model]))
            left[model] -= 1
            if left[model] == 0:
                said = (
                    f"does not agree: {'; '.join(outside[model])}" if outside[model] else "agrees"
                )
                tqdm.write(f"{model}: {said}")
    agree = sum(not found for found in outside.values())
    print(f"{agree} of {len(models)} models agree with {path}")
    return 0 if agree == len(models) else 1


def _outside(found: dict[str, Any], limits: list[tuple[float, float]]) -> list[str]:
    """Return a phrase for each score of a run that lies outside its limits."""
    seed, count = found["seed"], len(limits)
    return [
        f"seed {seed}, score {k} of {count} is {score:.4g}, not between {low:.4g} and {high:.4g}"
        for k, (score, (low, high)) in enumerate(zip(found["scores"], limits, strict=True), 1)
        if not low <= score <= high
    ]


_Finished = Generator[dict[str, Any], None, None]


def _runs(options: argparse.Namespace, plan: list[tuple[str, int]]) -> _Finished:
    """Do the runs, yielding each as it finishes, and show a progress bar."""
    hidden = os.environ.get("GATUTILS_PROGRESS", "1") == "0"
    do = _run_serially if options.jobs == 1 else _run_in_parallel
    with closing(do(options, plan)) as finished:
        yield from tqdm(finished, total=len(plan), unit="run", disable=hidden)


def _run_serially(options: argparse.Namespace, plan: list[tuple[str, int]]) -> _Finished:
    for model, seed in plan:
        with _named(options.row, model, seed):
            found = run(options.row, model, seed, options.steps)
        yield found


def _run_in_parallel(options: argparse.Namespace, plan: list[tuple[str, int]]) -> _Finished:
    """Do the runs in several processes; after an error, start no more but finish the others."""
    spawn = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(options.jobs, len(plan)), spawn, _init_worker)
    running: dict[Future[dict[str, Any]], tuple[str, int]] = {}
    waiting, failed = list(reversed(plan)), None
    try:
        while running or (waiting and failed is None):
            while waiting and failed is None and len(running) < options.jobs:
                one = waiting.pop()
                running[pool.submit(run, options.row, *one, options.steps)] = one
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                model, seed = running.pop(future)
                try:
                    with _named(options.row, model, seed):
                        found = future.result()
                except Exception as error:
                    failed = failed or error
                else:
                    yield found
        if failed is not None:
            raise failed
    except BaseException:  # Ctrl-C, or the generator is closed
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _init_worker() -> None:
    """Prepare a process for its runs: one thread, no bars, and no traceback on Ctrl-C."""
    torch.set_num_threads(1)
    os.environ["GATUTILS_PROGRESS"] = "0"
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def _named(row: str, model: str, seed: int) -> Iterator[None]:
    """Name the run in an error's message."""
    where = f"{row}, model {model!r}, seed {seed}"
    try:
        yield
    except OSError as error:  # for example a missing file, rather than a bug
        raise OSError(f"{where}: {error}") from error
    except Exception as error:
        raise RuntimeError(f"{where}: {type(error).__name__}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
