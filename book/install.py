"""Make the environment that the commands run in; `make` calls this each time.

    python book/install.py [--torch auto|cpu|cuda] [--venv .venv] [--remove]

Nothing happens if the environment is there and up to date. It is stale if `pyproject.toml` or
`constraints.txt` has changed, or if another build of PyTorch is asked for by name.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    # Before anything that an older Python has not.
    sys.exit("error: this is not Python 3.11 or newer; try make PYTHON=python3.11")

import argparse
import hashlib
import json
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
MADE_FROM = ("pyproject.toml", "constraints.txt")
REQUIREMENTS = ["--constraint", "constraints.txt", "--editable", ".[notebooks,book,lab,test,lint]"]
STAMP = "gatutils.json"  # lies in an environment that was made here; no other is ever deleted

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 3  # seconds for the index to answer, its name to be looked up among them
DRIVER = Path("/proc/driver/nvidia")


class Build(NamedTuple):
    """Which build of PyTorch to install.

    Attributes:
        kind: `"cpu"`, `"cuda"`, or `"auto"` where pip's own settings decide.
        index_url: Where it comes from, or None for the index that pip takes by itself.
        why: What is taken and why, in words.
    """

    kind: str
    index_url: str | None
    why: str


def has_gpu() -> bool:
    """Whether an NVIDIA driver is installed."""
    return DRIVER.exists() or shutil.which("nvidia-smi") is not None


def answers(url: str, patience: float = PATIENCE) -> bool:
    """Whether a server answers within so many seconds."""
    found = []

    def ask() -> None:
        try:
            with urlopen(url, timeout=patience) as answer:
                found.append(answer.status == 200)
        except OSError:  # no name, no way, no certificate, no such page
            found.append(False)

    # The timeout of a socket does not cover the look-up of the name, which can take far longer.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    return found == [True]


def choose(
    wish: str,
    system: str,
    gpu: Callable[[], bool] = has_gpu,
    reachable: Callable[[str], bool] = answers,
) -> Build:
    """Which build of PyTorch to take.

    On Linux, the package index has PyTorch for CUDA: with what it brings along, several gigabytes.
    The book needs none of it. On other systems, it has only the build for the CPU.

    Args:
        wish: `"cpu"`, `"cuda"`, or `"auto"`, which means CUDA only where an NVIDIA driver is.
        system: As `platform.system()` says it.
        gpu: Whether there is such a driver.
        reachable: Whether a server answers.

    Raises:
        SystemExit: CUDA is asked for where there is no such build.
    """
    if system != "Linux":
        if wish == "cuda":
            sys.exit(f"error: the package index has no PyTorch for CUDA on {system}; see README.md")
        return Build("cpu", None, f"the build for the CPU, the only one there is for {system}")
    if wish == "cuda":
        return Build("cuda", None, "the build for CUDA, as you asked")
    if wish == "auto" and gpu():
        return Build("cuda", None, "the build for CUDA, because there is an NVIDIA driver")
    if wish == "cpu":
        return Build("cpu", CPU_INDEX, "the build for the CPU, as you asked")
    if reachable(f"{CPU_INDEX}/torch/"):
        return Build("cpu", CPU_INDEX, "the build for the CPU, because there is no NVIDIA driver")
    return Build("auto", None, f"what pip finds by itself, because {CPU_INDEX} does not answer")


def is_ours(venv: Path) -> bool:
    """Whether an environment was made here. A link never was."""
    stamps = [venv / STAMP, *venv.glob("stamp-*")]  # the second kind is of an earlier version
    return not venv.is_symlink() and any(stamp.is_file() for stamp in stamps)


def remove(venv: Path) -> None:
    """Delete an environment, but only one that was made here.

    Raises:
        SystemExit: It was not.
    """
    if not (venv.is_symlink() or venv.exists()):
        return
    if not is_ours(venv):
        sys.exit(
            f"error: {venv} was not made by this project's make, so it is left alone; move it "
            "away, or name another folder: make VENV=.venv-book"
        )
    shutil.rmtree(venv)


def is_up_to_date(venv: Path, made_from: str, wish: str) -> bool:
    """Whether an environment was made from the same files, with a build that meets the wish."""
    if venv.is_symlink() or not (venv / STAMP).is_file():
        return False
    stored = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    return stored["made_from"] == made_from and wish in ("auto", stored["torch"])


def install(venv: Path, wish: str, run: Callable[..., object] = subprocess.run) -> None:
    """Make the environment anew, unless it is up to date."""
    made_from = hashlib.sha256(b"".join((ROOT / f).read_bytes() for f in MADE_FROM)).hexdigest()
    if is_up_to_date(venv, made_from, wish):
        return
    remove(venv)
    build = choose(wish, platform.system())
    print(f"PyTorch: {build.why}. To choose: make TORCH=cpu or make TORCH=cuda.")
    print(f"Installing into {venv}; the first time this takes some minutes.", flush=True)

    run([sys.executable, "-m", "venv", str(venv)], check=True)
    # Before the rest: an installation that was interrupted is ours to delete.
    stamp = {"made_from": None, "torch": build.kind}
    (venv / STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    python = venv / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if build.index_url:
        # PyTorch alone comes from its index: everything else is as it would be without it.
        pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
        (torch,) = re.findall(r"^torch==.*$", pins, re.MULTILINE)
        run([*pip, "--no-deps", "--index-url", build.index_url, torch], check=True, cwd=ROOT)
    run([*pip, *REQUIREMENTS], check=True, cwd=ROOT)
    (venv / STAMP).write_text(json.dumps(stamp | {"made_from": made_from}), encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description="Make the environment of the book.")
    parser.add_argument("--torch", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--venv", type=Path, default=Path(".venv"))
    parser.add_argument("--remove", action="store_true", help="delete the environment instead")
    given = parser.parse_args(arguments)
    if given.remove:
        remove(ROOT / given.venv)
        return
    try:
        install(ROOT / given.venv, given.torch)
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(error.cmd)} failed with exit code {error.returncode}")


if __name__ == "__main__":
    main(sys.argv[1:])
