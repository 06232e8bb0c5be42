"""pyproject.toml and constraints.txt say the same thing, and it is installed."""

import re
import tomllib
from importlib.metadata import distribution, distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
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
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in LINES)
    assert len(PINNED) == len(LINES)
    assert str(PINNED["torch"]) == "2.13.0"  # no local suffix: any build of it will do


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


def test_the_core_stays_small():
    core = {Requirement(r).name for r in PROJECT["dependencies"]}
    assert core == {"torch", "numpy", "networkx", "matplotlib", "jaxtyping", "tqdm", "filelock"}


def test_what_is_installed_is_what_is_pinned():
    """Everything in the environment of `make`, down to what the packages ask for themselves."""
    if Version(distribution("torch").version).base_version != "2.13.0":
        pytest.skip("this is not the environment that make installs")
    installed = {canonicalize_name(d.name): Version(d.version).public for d in distributions()}
    # What torch brings along on a machine with a GPU, and what came with Python.
    ours = {"gatutils", "pip", "setuptools", "wheel"}
    for name, version in installed.items():
        if name in ours or name.startswith(("nvidia-", "cuda-", "triton")):
            continue
        assert name in PINNED, f"{name} {version} is installed and not in constraints.txt"
        assert version == str(PINNED[name]), name
