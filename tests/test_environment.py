"""pyproject.toml and constraints.txt say the same thing, and it is installed."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, distributions, packages_distributions
from itertools import chain

import pytest
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED = {
    canonicalize_name(r.name): r
    for r in map(Requirement, [*PROJECT["dependencies"], *chain(*EXTRAS.values())])
}
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PINNED = {canonicalize_name(name): Version(v) for name, v in (line.split("==") for line in LINES)}


def test_constraints_pin_each_package_once_and_exactly():
    # No local suffix, such as torch's +cpu: any build will do.
    assert [line for line in LINES if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert len(PINNED) == len(LINES)


@pytest.mark.parametrize("name", ASKED)
def test_what_the_project_asks_for_is_pinned_within_its_range(name):
    assert name in PINNED
    assert PINNED[name] in ASKED[name].specifier


def test_the_lowest_and_the_highest_python_take_what_is_installed():
    """One release of a pinned package asked for 3.11.5, and Debian 12 has Python 3.11.2."""
    kinds = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"]]
    assert PROJECT["requires-python"] == f">={kinds[0]}"
    checked = 0
    for each in distributions():
        asked = SpecifierSet(each.metadata["Requires-Python"] or "")
        for python in (kinds[0], kinds[-1]):
            assert f"{python}.0" in asked, f"{each.name} {each.version} asks for Python {asked}"
            checked += 1
    assert checked > 200


def brought_by(names):
    """The distributions that pip installs for these, and for what those ask for in turn."""
    found, left = set(), [canonicalize_name(name) for name in names]
    while left:
        if (name := left.pop()) in found:
            continue
        found.add(name)
        for asked in map(Requirement, distribution(name).requires or []):
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                left.append(canonicalize_name(asked.name))
    return found


# What is named on the command line seems not to be installed.
ONLY_CORE = """
import importlib, pkgutil, sys
from importlib.machinery import PathFinder

class Others(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in sys.argv else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Others
import gatutils
for module in pkgutil.walk_packages(gatutils.__path__, "gatutils."):
    if "--book" in sys.argv or not module.name.startswith("gatutils.book"):
        importlib.import_module(module.name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("book", [False, True], ids=["the library", "the book's room too"])
def test_every_module_imports_where_only_what_it_asks_for_is_installed(book):
    asked_for = PROJECT["dependencies"] + book * PROJECT["optional-dependencies"]["notebooks"]
    core = brought_by(Requirement(asked).name for asked in asked_for)
    extra = [
        name
        for name, sources in packages_distributions().items()
        if not {"gatutils", *core} & set(map(canonicalize_name, sources))
    ]
    assert {"scipy", "torch_geometric", "pytest"} <= set(extra)
    done = subprocess.run(
        [sys.executable, "-c", ONLY_CORE, *extra, *["--book"] * book],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr


def test_the_core_holds_nothing_that_no_module_imports():
    imported = set()
    for file in (ROOT / "gatutils").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    # Each of them is imported by the name that it is installed by.
    assert {Requirement(asked).name for asked in PROJECT["dependencies"]} <= imported


def test_what_is_installed_is_what_is_pinned():
    """Everything in the environment of `make`, down to what the packages ask for themselves."""
    pinned = PINNED[canonicalize_name("torch")]
    if Version(distribution("torch").version).base_version != str(pinned):
        pytest.skip("this is not the environment that make installs")
    installed = {canonicalize_name(d.name): Version(d.version).public for d in distributions()}
    # What torch brings along on a machine with a GPU, and what came with Python.
    ours = {"gatutils", "pip", "setuptools", "wheel"}
    for name, version in installed.items():
        if name in ours or name.startswith(("nvidia-", "cuda-", "triton")):
            continue
        assert name in PINNED, f"{name} {version} is installed and not in constraints.txt"
        assert version == str(PINNED[name]), name
