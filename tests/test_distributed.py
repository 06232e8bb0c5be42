"""The example that trains in several processes: the same weights for any number, and restarts.

One process is this one, wherever that is enough: to start another takes longer than to train.
"""

import gc
import os
import shutil
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT, load_script
from torch.nn.parallel import DistributedDataParallel

from gatutils.interop import from_pyg
from gatutils.storage import load_nodes

distributed = load_script("examples/distributed.py")
SCRIPT = ROOT / "examples" / "distributed.py"
WORDS = ["--batch", "6", "--steps", "10", "--every", "4", "--sizes", "4", "3", "--timeout", "200"]
needs_kill = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    """Let gloo look for no other network than this machine's own."""
    if sys.platform == "linux":
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")


def place(rank, world, port=0):
    """What torchrun tells a process."""
    named = {"RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in named.items()}


def be(monkeypatch, *where):
    for name, value in place(*where).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def alone(monkeypatch):
    """This process is the only one."""
    be(monkeypatch, 0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A graph of 300 nodes in float64, and four shares of 60."""
    path = tmp_path_factory.mktemp("prepared") / "graph"
    assert distributed.main(["prepare", str(path), "--random", "300", "--double"]) == 0
    return path


def train(folder, checkpoint, *more):
    words = ["train", str(folder), "--checkpoint", str(checkpoint), *WORDS, *more]
    return distributed.main(words)


def torchrun(folder, checkpoint, *more, options=("--standalone", "--nproc-per-node=2")):
    """Start the script as a reader does, and wait for its end."""
    command = [sys.executable, "-m", "torch.distributed.run", *options, str(SCRIPT), "train"]
    command += [str(folder), "--checkpoint", str(checkpoint), *WORDS, *more]
    env = {name: value for name, value in os.environ.items() if name not in place(0, 1)}
    env["PYTHONUNBUFFERED"] = "1"  # to see how far it came, if it does not end
    if any(option.startswith("--max-restarts") for option in options):
        env["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    return subprocess.Popen(
        command,
        env={**env, "OMP_NUM_THREADS": "1", "TMPDIR": str(checkpoint.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def ended(process):
    """The output, the errors and the exit status of a process, which must end in four minutes."""
    try:
        out, err = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.terminate()  # not kill: torchrun has processes of its own to end
        out, err = process.communicate()
        pytest.fail(f"it did not end:\n{out}\n{err}")
    return out, err, process.returncode


def state(checkpoint):
    """Weights, and Adam's means of gradients and of their squares."""
    held = torch.load(checkpoint, weights_only=True)["state"]
    return {"network": held["network"], "adam": held["optimizer"]["state"], "step": held["step"]}


def files(folder):
    """The files there; the folders are those that torchrun leaves, and a graph."""
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def assert_same(one, other):
    torch.testing.assert_close(state(one), state(other), rtol=1e-7, atol=1e-9)


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    """What one process ends with, with dropout."""
    checkpoint = tmp_path_factory.mktemp("undisturbed") / "checkpoint.pt"
    with pytest.MonkeyPatch.context() as patch:
        be(patch, 0, 1)
        assert train(folder, checkpoint, "--dropout", "0.2") == 0
    return checkpoint


# ---- The same weights ---------------------------------------------------------------------------


def test_two_processes_compute_the_weights_of_one(folder, undisturbed, tmp_path, alone):
    two = tmp_path / "two.pt"
    out, err, status = ended(torchrun(folder, two, "--dropout", "0.2"))
    assert status == 0, err
    lines = out.splitlines()  # of the first process alone
    assert [line.partition(":")[0] for line in lines[:-1]] == [
        f"step {k} of 10" for k in (4, 8, 10)
    ]
    assert lines[-1].startswith("correct on ")
    assert files(tmp_path) == ["two.pt"]
    assert_same(two, undisturbed)
    # One process goes on where two have stopped.
    one = shutil.copy(undisturbed, tmp_path / "one.pt")
    for checkpoint in (one, two):
        assert train(folder, checkpoint, "--dropout", "0.2", "--steps", "12") == 0
        assert state(checkpoint)["step"] == 12
    assert_same(one, two)


@needs_kill
def test_after_a_process_is_killed_training_goes_on_from_the_checkpoint(
    folder, undisturbed, tmp_path
):
    again, options = tmp_path / "again.pt", ["--standalone", "--nproc-per-node=2"]
    more = ["--dropout", "0.2", "--fail-at", "6"]
    out, err, status = ended(torchrun(folder, again, *more, options=[*options, "--max-restarts=1"]))
    assert status == 0, err
    assert "exitcode: -9" in err  # it was killed
    assert out.count("step 4 of 10") == 1  # and did not begin again
    assert files(tmp_path) == ["again.pt"]
    assert_same(again, undisturbed)


def test_a_training_in_two_parts_is_that_in_one(folder, undisturbed, tmp_path, alone, capsys):
    parts = tmp_path / "parts.pt"
    for steps in ("3", "7", "10"):
        assert train(folder, parts, "--dropout", "0.2", "--steps", steps) == 0
    assert_same(parts, undisturbed)
    before = parts.stat().st_size
    capsys.readouterr()
    assert train(folder, parts, "--dropout", "0.2") == 0  # nothing is left to do
    assert "step" not in capsys.readouterr().out
    assert parts.stat().st_size == before
    assert_same(parts, undisturbed)


def test_the_layers_of_pytorch_geometric_learn_the_same(folder, tmp_path, alone):
    pytest.importorskip("torch_geometric")
    for layer in ("gat", "pyg"):
        assert train(folder, tmp_path / layer, "--layer", layer) == 0
    networks = []
    for layer in ("gat", "pyg"):
        args = SimpleNamespace(layer=layer, hidden=8, heads=4, dropout=0.0)
        network = distributed.Network(args, 32, 8).double()
        network.load_state_dict(state(tmp_path / layer)["network"])
        networks.append(network)
    ours, theirs = networks
    torch.testing.assert_close(dict(ours.own.state_dict()), dict(theirs.own.state_dict()))
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        assert type(mine) is not type(other)
        converted = dict(from_pyg(other).state_dict())
        torch.testing.assert_close(dict(mine.state_dict()), converted, rtol=1e-7, atol=1e-9)


def test_gatv2_is_trained_as_well(folder, tmp_path, alone, capsys):
    assert train(folder, tmp_path / "v2", "--layer", "gatv2") == 0
    assert {"layers.0.b_U", "layers.1.b_U"} < set(state(tmp_path / "v2")["network"])


def test_the_shares_are_the_training_nodes_and_a_process_reads_its_own_alone(folder, tmp_path):
    names = [f"share-{k}-of-4" for k in range(4)]
    parts = [load_nodes(folder, name).tolist() for name in ("test", *names)]
    assert [len(part) for part in parts] == [60] * 5
    assert sorted(node for part in parts for node in part) == list(range(300))
    part = shutil.copytree(folder, tmp_path / "part")
    for k in (0, 2):
        (part / f"share-{k}-of-4.npz").unlink()
    args = SimpleNamespace(folder=part, shares=4, batch=6, layer="gat", hidden=8, heads=4)
    vars(args).update(dropout=0.0, sizes=[4, 3], lr=0.01, seed=0)
    _, shares, _, _ = distributed.read(args, 1, 2)
    assert {k: nodes.tolist() for k, nodes in shares.items()} == {1: parts[2], 3: parts[4]}
    with pytest.raises(FileNotFoundError, match="share-0-of-4"):
        distributed.read(args, 0, 2)
    with pytest.raises(distributed.Stop, match="4 shares are for at most 4 processes: start no m"):
        distributed.read(args, 0, 5)


@pytest.mark.slow
def test_two_machines_are_two_torchruns(folder, undisturbed, tmp_path):
    """As far as one machine can tell: each has a folder of its own, with its own shares."""
    options = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=test"]
    options += [f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--local-addr=127.0.0.1"]
    running = []
    for k in range(2):
        there = shutil.copytree(folder, tmp_path / str(k) / "graph")
        more = ["--dropout", "0.2"]
        running.append(torchrun(there, tmp_path / str(k) / "a.pt", *more, options=options))
    for process in running:
        _, err, status = ended(process)
        assert status == 0, err
    (found,) = tmp_path.glob("*/a.pt")  # by the first process alone
    assert_same(found, undisturbed)


# ---- What goes wrong ----------------------------------------------------------------------------


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def assert_sentence(capsys, *words):
    """One line on stderr, which says all of this."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("distributed.py: ")
    assert not [each for each in words if each not in line], line


def other_graph(folder):
    distributed.main(["prepare", str(folder / "other"), "--random", "200"])
    shutil.copy(folder / "other" / "share-1-of-4.npz", folder)


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("damage", "more", "words"),
    [
        (shutil.rmtree, [], ["expected one with a graph"]),
        (lambda f: cut(f / "target.npy"), [], ["target.npy", "damaged"]),
        (lambda f: (f / "share-2-of-4.npz").unlink(), [], ["share-2-of-4.npz", "no file: copy it"]),
        (lambda f: cut(f / "share-2-of-4.npz"), [], ["share-2-of-4.npz", "damaged file: copy it"]),
        (other_graph, [], ["share-1-of-4.npz", "another one: copy it"]),
        (lambda f: None, ["--shares", "8"], ["share-0-of-8.npz", "no file"]),
        (lambda f: None, ["--batch", "61"], ["a share has 60 nodes: choose a --batch of at most"]),
    ],
)
def test_data_that_do_not_fit_stop_it(folder, tmp_path, alone, capsys, damage, more, words):
    there = shutil.copytree(folder, tmp_path / "graph")
    damage(there)
    capsys.readouterr()
    assert train(there, tmp_path / "a.pt", *more) == 2
    assert_sentence(capsys, *words)
    assert not (tmp_path / "a.pt").exists()


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        (lambda whole: whole, ["--lr", "0.5"], ["lr 0.01, not 0.5", "name another file"]),
        (lambda whole: whole, ["--seed", "1"], ["seed 0, not 1"]),
        (lambda whole: whole[:-100], [], ["expected a whole checkpoint", "delete it"]),
        (lambda whole: b"a letter", [], ["expected a whole checkpoint", "delete it"]),
    ],
)
def test_a_checkpoint_that_does_not_fit_stops_it_and_is_kept(
    folder, undisturbed, tmp_path, alone, capsys, content, more, words
):
    path = tmp_path / "a.pt"
    path.write_bytes(content(undisturbed.read_bytes()))
    before = path.read_bytes()
    assert train(folder, path, "--dropout", "0.2", *more) == 2
    assert_sentence(capsys, *words)
    assert path.read_bytes() == before
    assert files(tmp_path) == ["a.pt"]


def test_a_folder_that_cannot_be_written_stops_it_before_it_trains(
    folder, tmp_path, alone, capsys, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(distributed, "share_loss", None)
    assert train(folder, tmp_path / "file" / "a.pt") == 2
    assert_sentence(capsys, "cannot be written", "name another --checkpoint")
    assert distributed.main(["prepare", str(tmp_path / "file")]) == 2
    assert_sentence(capsys, "name another folder")
    assert distributed.main(["prepare", str(folder)]) == 2
    assert_sentence(capsys, "expected one without a graph", "name another folder")


def test_a_full_disk_loses_nothing(folder, tmp_path, alone, capsys, monkeypatch):
    real, calls = os.replace, []

    def replace(*names):
        calls.append(names)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(*names)

    monkeypatch.setattr(os, "replace", replace)
    assert train(folder, tmp_path / "a.pt") == 2
    assert_sentence(capsys, "No space left on device", "make room")
    assert state(tmp_path / "a.pt")["step"] == 4
    assert files(tmp_path) == ["a.pt"]


def test_the_model_is_gone_before_its_group(folder, tmp_path, alone, monkeypatch):
    """Otherwise a deadlock is possible; see the end of the script's ``run``."""
    destroy, living = distributed.dist.destroy_process_group, []

    def look():
        models = [each for each in gc.get_objects() if type(each) is DistributedDataParallel]
        living.append(len(models))
        del models
        destroy()

    monkeypatch.setattr(distributed.dist, "destroy_process_group", look)
    (tmp_path / "file").touch()
    assert train(folder, tmp_path / "a.pt") == 0
    assert train(folder, tmp_path / "file" / "a.pt") == 2  # when the model has been made
    assert living == [0, 0]


def test_without_pytorch_geometric_it_names_the_other_layers(
    folder, tmp_path, alone, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "torch_geometric.nn", None)
    assert train(folder, tmp_path / "a.pt", "--layer", "pyg") == 2
    assert_sentence(capsys, "pip install 'gatutils[pyg]'")


def test_ctrl_c_ends_it_quietly(folder, tmp_path, alone, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(distributed, "share_loss", interrupted)
    assert train(folder, tmp_path / "a.pt") == 130
    assert capsys.readouterr() == ("", "")


def test_it_needs_torchrun(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert train(folder, tmp_path / "a.pt") == 2
    assert_sentence(capsys, "not started by torchrun", "torchrun --nproc-per-node 2")


def test_it_knows_when_a_restart_would_fail(folder, tmp_path, alone, capsys, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    assert train(folder, tmp_path / "a.pt") == 2
    assert_sentence(capsys, "put TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before it")


@pytest.mark.parametrize("rank", [0, 1])
def test_it_does_not_wait_for_ever_for_others(folder, tmp_path, capsys, monkeypatch, rank):
    be(monkeypatch, rank, 2, free_port())
    assert train(folder, tmp_path / "a.pt", "--timeout", "1") == 2
    assert_sentence(capsys, f"process {rank} of 2", "did not come in 0:00:01: start them too")


def second(folder, tmp_path, monkeypatch, *more):
    """Start the second of two processes; this one becomes the first."""
    port = free_port()
    be(monkeypatch, 0, 2, port)
    # torch counts the groups that did not come about, and they would have to be as many there.
    monkeypatch.setattr(torch.distributed.distributed_c10d, "_group_count", 0)
    command = [sys.executable, str(SCRIPT), "train", str(folder), *WORDS, *more]
    command += ["--checkpoint", str(tmp_path / "second.pt")]
    env = {**os.environ, **place(1, 2, port), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, encoding="utf-8")


@needs_kill
def test_a_lost_process_is_missed_and_nothing_else_is_lost(folder, tmp_path, capsys, monkeypatch):
    other = second(folder, tmp_path, monkeypatch, "--fail-at", "6")
    assert train(folder, tmp_path / "a.pt") == 2
    assert_sentence(capsys, "another process was lost: start again, from the last checkpoint")
    assert ended(other)[2] == -9
    assert state(tmp_path / "a.pt")["step"] == 4
    assert files(tmp_path) == ["a.pt"]


def test_all_processes_must_be_started_with_the_same_words(folder, tmp_path, capsys, monkeypatch):
    other = second(folder, tmp_path, monkeypatch, "--lr", "0.5")
    assert train(folder, tmp_path / "a.pt") == 2
    assert_sentence(capsys, "process 1 has lr 0.5, not 0.01: use the same words for all")
    _, err, status = ended(other)
    assert (err, status) == ("", 2)  # the first one has said it
    assert not list(tmp_path.iterdir())
