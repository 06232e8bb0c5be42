"""Whether pip finds the whole environment for a version of Python, all of it pinned.

    python .ci/resolve.py 3.11.0

Nothing is installed. Run it with a Python of the same minor version: pip reads the conditions of
requirements ("only before 3.13") for the Python that it runs in.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING = ".[book,lab,pyg,test,lint]"
# What PyTorch brings along for NVIDIA's cards is not pinned: PyTorch asks for exact versions.
UNPINNED = re.compile("gatutils|nvidia-|cuda-|triton")


def main(python: str) -> None:
    """Resolve, and complain of what is not pinned."""
    if sys.version_info[:2] != tuple(map(int, python.split(".")[:2])):
        sys.exit(f"error: run this with Python {python}, not {sys.version.split()[0]}")
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {re.sub("[-_.]+", "-", line.lower()) for line in lines}
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--quiet", "--only-binary=:all:", f"--python-version={python}"]
        command += [f"--target={scratch}/none", f"--report={report}"]
        command += ["--constraint=constraints.txt", EVERYTHING]
        subprocess.run(command, cwd=ROOT, check=True)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    named = [f"{each['metadata']['name']}=={each['metadata']['version']}" for each in found]
    loose = [
        name
        for name in named
        if not UNPINNED.match(name)
        and re.sub("[-_.]+", "-", name.lower().partition("+")[0]) not in pins
    ]
    if loose:
        sys.exit(f"error: not pinned in constraints.txt: {', '.join(loose)}")
    print(f"Python {python}: {len(named)} packages, all pinned")


if __name__ == "__main__":
    main(sys.argv[1])
