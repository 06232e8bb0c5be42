"""How the environment is made: which PyTorch, what is deleted, and that all recipes agree."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, load_script, not_none

install = load_script("book/install.py")


def never(*_):
    pytest.fail("this need not be asked")


# ---- Which PyTorch -------------------------------------------------------------------------------


def test_linux_without_a_driver_takes_the_small_build():
    asked = []
    build = install.choose("auto", "Linux", lambda: False, lambda url: asked.append(url) or True)
    assert build.kind == "cpu"
    assert build.index_url == install.CPU_INDEX
    assert asked == [f"{install.CPU_INDEX}/torch/"]


def test_a_driver_means_the_build_for_cuda():
    build = install.choose("auto", "Linux", lambda: True, never)
    assert (build.kind, build.index_url) == ("cuda", None)


def test_an_index_that_does_not_answer_is_not_used():
    build = install.choose("auto", "Linux", lambda: False, lambda _: False)
    assert (build.kind, build.index_url) == ("auto", None)
    assert "does not answer" in build.why


@pytest.mark.parametrize("wish", ["auto", "cpu"])
@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_other_systems_have_one_build(system, wish):
    build = install.choose(wish, system, never, never)
    assert (build.kind, build.index_url) == ("cpu", None)


@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_other_systems_have_no_build_for_cuda(system):
    with pytest.raises(SystemExit, match=f"no PyTorch for CUDA on {system}"):
        install.choose("cuda", system, never, never)


@pytest.mark.parametrize(("wish", "index"), [("cpu", install.CPU_INDEX), ("cuda", None)])
def test_a_wish_is_not_questioned(wish, index):
    build = install.choose(wish, "Linux", never, never)
    assert (build.kind, build.index_url) == (wish, index)


@pytest.mark.parametrize("folder", [True, False])
@pytest.mark.parametrize("program", [True, False])
def test_a_driver_is_found_by_its_folder_or_its_program(folder, program, tmp_path, monkeypatch):
    if folder:
        (tmp_path / "nvidia").mkdir()
    monkeypatch.setattr(install, "DRIVER", tmp_path / "nvidia")
    monkeypatch.setattr(shutil, "which", lambda name: (program and name == "nvidia-smi") or None)
    assert install.has_gpu() == (folder or program)


def test_a_server_that_accepts_and_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert not install.answers(url, patience=0.2)


def test_a_name_that_is_never_found_is_given_up(monkeypatch):
    """No timeout of a socket ends the look-up of a name."""
    over = threading.Event()

    def fit_lookup(*_, **__):
        over.wait(30)
        raise OSError("no such name")

    monkeypatch.setattr(install, "urlopen", fit_lookup)
    assert not install.answers("http://nowhere.invalid/", patience=0.2)
    waiting = [thread for thread in threading.enumerate() if thread.name.endswith("(ask)")]
    assert waiting  # it was not waited for
    over.set()
    for thread in waiting:
        thread.join()


def test_a_port_where_nobody_listens_does_not_answer(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    assert not install.answers("http://127.0.0.1:1/")


# ---- The environment -----------------------------------------------------------------------------


class Runs(list[str]):
    """Stands for `subprocess.run`: makes the folder of an environment, and only notes the rest."""

    def __call__(self, command, **_):
        self.append(" ".join(map(str, command)))
        if "venv" in command:
            Path(command[-1]).mkdir()
        elif self.broken:
            raise subprocess.CalledProcessError(1, command)

    broken = False


@pytest.fixture
def runs(monkeypatch):
    monkeypatch.setattr(install.platform, "system", lambda: "Linux")
    return Runs()


def test_pytorch_comes_alone_from_its_index(runs, tmp_path):
    install.install(tmp_path / "env", "cpu", runs)
    made, torch, rest = runs
    assert made.endswith(f"-m venv {tmp_path / 'env'}")
    assert torch.endswith(f"--no-deps --index-url {install.CPU_INDEX} torch==2.13.0")
    assert "--index-url" not in rest
    assert rest.endswith(" ".join(install.REQUIREMENTS))


def test_without_an_index_pip_is_left_to_itself(runs, tmp_path):
    install.install(tmp_path / "env", "cuda", runs)
    _, rest = runs
    assert "torch" not in rest
    assert "--index-url" not in rest


@pytest.mark.parametrize(("wish", "again"), [("auto", False), ("cpu", False), ("cuda", True)])
def test_an_environment_is_made_once_for_each_build(wish, again, runs, tmp_path):
    install.install(tmp_path / "env", "cpu", runs)
    runs.clear()
    install.install(tmp_path / "env", wish, runs)
    assert bool(runs) == again


def test_an_environment_of_other_pins_is_made_anew(runs, tmp_path):
    env = tmp_path / "env"
    install.install(env, "cpu", runs)
    (env / "old").touch()
    stored = json.loads((env / install.STAMP).read_text(encoding="utf-8"))
    stamp = json.dumps(stored | {"made_from": "other files"})
    (env / install.STAMP).write_text(stamp, encoding="utf-8")
    install.install(env, "auto", runs)
    assert not (env / "old").exists()


def test_an_interrupted_installation_is_begun_again(runs, tmp_path):
    runs.broken = True
    with pytest.raises(subprocess.CalledProcessError):
        install.install(tmp_path / "env", "cpu", runs)
    runs.clear()
    runs.broken = False
    install.install(tmp_path / "env", "cpu", runs)
    assert len(runs) == 3


@pytest.mark.parametrize("kind", ["a folder", "a link", "a link to one of ours"])
@pytest.mark.parametrize("command", ["install", "remove"])
def test_an_environment_that_is_not_ours_is_left_alone(kind, command, runs, tmp_path):
    env, other = tmp_path / "env", tmp_path / "other"
    if kind == "a folder":
        other = env
    other.mkdir()
    (other / "mine").touch()
    if kind == "a link to one of ours":
        (other / install.STAMP).write_text("{}", encoding="utf-8")
    if other is not env:
        env.symlink_to(other)
    with pytest.raises(SystemExit, match=r"env was not made by this project's make.*VENV="):
        install.remove(env) if command == "remove" else install.install(env, "cpu", runs)
    assert (other / "mine").exists()
    assert not runs


def test_an_environment_of_ours_is_removed_and_none_is_no_error(runs, tmp_path):
    install.install(tmp_path / "env", "cpu", runs)
    install.remove(tmp_path / "env")
    install.remove(tmp_path / "env")
    assert not (tmp_path / "env").exists()


# ---- The other recipes ---------------------------------------------------------------------------


def test_conda_installs_the_same_and_binder_no_cuda():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    *same, index = pip
    assert [word for line in same for word in line.split()] == install.REQUIREMENTS
    assert index == f"--extra-index-url {install.CPU_INDEX}"
    python = not_none(re.search(r"python=([\d.]+)", str(conda["dependencies"])))[1]
    assert f'requires-python = ">={python}"' in (ROOT / "pyproject.toml").read_text(
        encoding="utf-8"
    )


def dry(*words):
    """What make would run."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    command = [make, "--dry-run", f"PYTHON={sys.executable}", *words]
    # Not what a make that runs these tests was told.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "SLOW")}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout


def test_the_notebooks_run_under_each_set_of_instructions_or_one():
    every, one = (
        re.findall(
            r"env (.*?) ?\.venv\S*python.* --nbval .*",
            dry("test-portable", *more).replace("\\\n", ""),
        )
        for more in ([], ["UNDER=default"])
    )
    assert len(every) == 3
    assert every[0] == ""
    assert "ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=AVX2 ONEDNN_MAX_CPU_ISA=AVX2" in every[1]
    assert one == every[2:]
    assert one == ["ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=SSE41"]


def test_every_notebook_is_compared_and_trusted():
    every = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("[bn]*/*.ipynb"))
    assert len(every) > 10
    for target in ("test", "lab"):
        assert set(every) <= set(dry(target).split())


def test_readme_gives_windows_the_commands_of_make():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    windows = readme.partition("## On Windows")[2].partition("\n## ")[0].replace("\\", "/")
    for target in ("book", "test", "lab"):
        for line in dry(target).replace("\\\n", "").splitlines():
            if found := re.search(r"\.venv/\w+/(.*?)(?= notebooks| book/|$)", line):
                assert ".venv/Scripts/" + re.sub(r"\s+", " ", found[1]).strip() in windows


def test_ci_resolves_for_the_lowest_and_the_highest_python():
    workflow = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8"))
    tried = workflow["jobs"]["resolve"]["strategy"]["matrix"]["python"]
    stated = re.findall(
        r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )
    assert tried == [f"{stated[0]}.0", stated[-1]]
