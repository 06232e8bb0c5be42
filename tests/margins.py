"""Do the chapters' assertions hold for other seeds, and under other instruction sets?

``python tests/margins.py notebooks/09-gated-graphs.ipynb --seeds 1 2 3 4`` runs the chapter's code
with every seed shifted, and goes on after an assertion that fails. A line is printed for each
failure; the status is 1 if there was one. What is drawn at random for an example to look at (and
is not trained) may fail for other seeds by design: the reader of the report decides.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

INSTRUCTIONS = {
    "own": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "default": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    },
}
"""Name of an instruction set -> what makes torch, MKL and oneDNN use no other."""


def failures(path: Path, shift: int) -> list[str]:
    """Run a notebook's code with every seed shifted, and return a line for each failed cell."""
    import torch
    from IPython.core.interactiveshell import InteractiveShell

    from gatutils import training

    if shift:
        seed_everything, manual_seed = training.seed_everything, torch.manual_seed
        nested = False

        def shifted(function):
            def seed(number=0):
                nonlocal nested
                if nested:  # seed_everything calls torch.manual_seed
                    return function(number)
                nested = True
                try:
                    return function(number + 1000 * shift)
                finally:
                    nested = False

            return seed

        training.seed_everything = shifted(seed_everything)
        torch.manual_seed = shifted(manual_seed)

    os.chdir(path.parent)
    shell = InteractiveShell.instance()
    shell.run_line_magic("colors", "NoColor")
    found = []
    cells = json.loads(Path(path.name).read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(c for c in cells if c["cell_type"] == "code"):
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            result = shell.run_cell("".join(cell["source"]))
        error = result.error_in_exec or result.error_before_exec
        if error is not None:
            line = [row for row in shown.getvalue().splitlines() if row.startswith("----> ")]
            where = line[-1][6:].strip() if line else ""
            kind = type(error).__name__
            found.append(f"code cell {number + 1} ({cell['id']}): {kind}: {error} | {where}")
    return found


def main() -> int:
    """Run each notebook with each seed under each instruction set, one process each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="shifts")
    parser.add_argument("--under", nargs="+", choices=INSTRUCTIONS, default=["own", "default"])
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        (path,), (seed,) = options.notebooks, options.seeds
        found = failures(path.resolve(), seed)
        print(json.dumps(found), flush=True)
        return bool(found)
    failed = False
    for seed in options.seeds:
        for under in options.under:
            for path in options.notebooks:
                start = time.monotonic()
                done = subprocess.run(
                    [sys.executable, __file__, str(path), "--seeds", str(seed), "--inside"],
                    env={**os.environ, **INSTRUCTIONS[under], "GATUTILS_PROGRESS": "0"},
                    capture_output=True,
                    encoding="utf-8",
                )
                lines = done.stdout.strip().splitlines()
                found = json.loads(lines[-1]) if lines else [done.stderr[-500:]]
                seconds = time.monotonic() - start
                print(f"{path.stem}, seed {seed}, {under}: {len(found)} failed ({seconds:.0f} s)")
                print(*(f"    {line}" for line in found), sep="\n", end="\n" if found else "")
                sys.stdout.flush()
                failed = failed or bool(found)
    return failed


if __name__ == "__main__":
    sys.exit(main())
