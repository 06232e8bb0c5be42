"""Graphs, nodes and checkpoints on disk."""

import errno
import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import few, multigraphs, normal, not_none, pairs, plain
from hypothesis import given

from gatutils.storage import (
    different_settings,
    graph_fingerprint,
    load_checkpoint,
    load_graph,
    load_nodes,
    save_checkpoint,
    save_graph,
    save_nodes,
    write_whole,
)


def ring(nodes=5):
    ends = [(k, (k + 1) % nodes) for k in range(nodes)]
    return plain(nodes, ends, features=normal(nodes, 3), labels=torch.arange(nodes))


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    return one == other


# ---- Graphs -----------------------------------------------------------------------------------


@few
@given(multigraphs())
def test_a_graph_comes_back_as_it_was(tmp_path_factory, problem):
    nodes, edges = problem
    graph = plain(nodes, edges, features=normal(nodes, 3), labels=torch.arange(nodes))
    folder = tmp_path_factory.mktemp("graph")
    save_graph(graph, folder)
    back = load_graph(folder)
    before, after = graph.__getstate__(), back.__getstate__()
    assert before.keys() == after.keys()
    assert all(same(before[name], after[name]) for name in before)
    assert same(graph.indptr, back.indptr)
    assert pairs(graph.with_self_loops()) == pairs(back.with_self_loops())
    some = torch.arange(nodes)
    for one, other in zip(graph.sample(some, [-1, -1]), back.sample(some, [-1, -1]), strict=True):
        assert same(one.sources, other.sources)
        assert same(one.edges, other.edges)


def test_a_batch_and_a_bipartite_graph_come_back_too(tmp_path):
    batch = type(ring()).from_graphs([ring(), ring(3)])
    save_graph(batch, tmp_path / "batch")
    assert load_graph(tmp_path / "batch").sizes.tolist() == [5, 3]
    save_graph(plain(2, [(3, 0), (1, 1)], num_sources=4), tmp_path / "bipartite")
    back = load_graph(tmp_path / "bipartite")
    assert (back.num_sources, back.features, back.labels) == (4, None, None)


def test_a_graph_is_mapped_and_its_files_are_never_changed(tmp_path):
    save_graph(ring(), tmp_path)
    before = (tmp_path / "features.npy").read_bytes()
    graph = load_graph(tmp_path)
    if sys.platform == "linux":  # elsewhere nothing says so
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        mapped = {line.rpartition("/")[2] for line in maps.splitlines() if str(tmp_path) in line}
        assert {"features.npy", "labels.npy", "source.npy", "target.npy"} <= mapped
    not_none(graph.features).zero_()
    assert (tmp_path / "features.npy").read_bytes() == before
    assert bool(not_none(load_graph(tmp_path).features).any())


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    first = save_graph(ring(), tmp_path / "a")
    assert first == save_graph(ring(), tmp_path / "b") == graph_fingerprint(tmp_path / "a")
    changed = {
        "features": ring().with_features(ring().features + 1),
        "dtype": ring().with_features(ring().features.float()),
        "labels": ring().with_features(ring().features, torch.ones(5)),
        "edges": ring().without_edges(),
        "size": ring(6),
        "none": ring().with_features(None),
    }
    prints = {save_graph(graph, tmp_path / name) for name, graph in changed.items()}
    assert len(prints - {first}) == len(changed)


def test_a_graph_is_not_overwritten(tmp_path):
    save_graph(ring(), tmp_path)
    with pytest.raises(FileExistsError, match="folder: expected one without a graph"):
        save_graph(ring(6), tmp_path)
    assert load_graph(tmp_path).num_nodes == 5


def damage_arrays(folder):
    path = folder / "features.npy"
    path.write_bytes(path.read_bytes()[:-8])


def damage_shape(folder):
    np.save(folder / "features.npy", np.zeros((5, 2)))


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda f: (f / "graph.json").unlink(), FileNotFoundError, "folder: expected one with a"),
        (lambda f: (f / "graph.json").write_text("{", "utf-8"), ValueError, "graph.json: expected"),
        (lambda f: (f / "graph.json").write_text("{}", "utf-8"), ValueError, "something else"),
        (lambda f: (f / "source.npy").unlink(), FileNotFoundError, "source.npy: .*got no file"),
        (lambda f: (f / "source.npy").write_bytes(b""), ValueError, "source.npy: .*damaged"),
        (damage_arrays, ValueError, r"features.npy: expected float64 of shape \(5, 3\).*damaged"),
        (damage_shape, ValueError, r"features.npy: expected .*got float64 of shape \(5, 2\)"),
    ],
)
def test_a_graph_that_is_not_whole_is_refused(tmp_path, damage, error, words):
    save_graph(ring(), tmp_path)
    damage(tmp_path)
    with pytest.raises(error, match=words):
        load_graph(tmp_path)


def test_only_graphs_are_saved(unchecked, tmp_path):
    with pytest.raises(TypeError, match="graph: expected a Graph, got list"):
        save_graph([], tmp_path)  # type: ignore[arg-type]


# ---- Nodes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [[], [4, 0, 2]])
def test_nodes_come_back(tmp_path, nodes):
    save_graph(ring(), tmp_path)
    save_nodes(torch.tensor(nodes, dtype=torch.long), tmp_path, "some")
    assert load_nodes(tmp_path, "some").tolist() == nodes


def test_nodes_are_those_of_the_graph_beside_them(unchecked, tmp_path):
    for name, size in (("a", 5), ("b", 6)):
        save_graph(ring(size), tmp_path / name)
        save_nodes(torch.tensor([1]), tmp_path / name, "some")
    with pytest.raises(ValueError, match="nodes: expected nodes 0 to 4, got 1 to 5"):
        save_nodes(torch.tensor([1, 5]), tmp_path / "a", "some")
    with pytest.raises(TypeError, match="nodes: expected an int tensor"):
        save_nodes([1], tmp_path / "a", "some")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"none.npz: expected nodes, got no file: copy it"):
        load_nodes(tmp_path / "a", "none")
    whole = (tmp_path / "b" / "some.npz").read_bytes()
    (tmp_path / "a" / "some.npz").write_bytes(whole)
    with pytest.raises(ValueError, match="nodes of the graph beside it, got those of another one"):
        load_nodes(tmp_path / "a", "some")
    for part in (b"", whole[:100], whole[:-30]):
        (tmp_path / "b" / "some.npz").write_bytes(part)
        with pytest.raises(ValueError, match=r"some.npz: expected nodes, got a damaged file"):
            load_nodes(tmp_path / "b", "some")


# ---- Checkpoints ------------------------------------------------------------------------------


def test_a_checkpoint_comes_back_if_the_settings_are_the_same(tmp_path):
    path, settings = tmp_path / "checkpoint.pt", {"lr": 0.1, "sizes": [10, 5]}
    assert load_checkpoint(path, settings) is None
    save_checkpoint(path, {"weights": torch.ones(2), "step": 3}, settings)
    back = load_checkpoint(path, settings)
    assert back is not None
    assert (back["weights"].tolist(), back["step"]) == ([1, 1], 3)
    with pytest.raises(ValueError, match=r"got lr 0.1, not 0.2: delete it, or name another file"):
        load_checkpoint(path, {**settings, "lr": 0.2})
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_settings_differ_where_one_is_missing():
    assert different_settings({"a": 1, "b": 2}, {"b": 2, "a": 1}) == ""
    assert different_settings({"a": 1}, {"b": 2}) == "a None, not 1, b 2, not None"


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("made by a checkpoint",)


def test_what_is_no_whole_checkpoint_is_refused_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"weights": torch.ones(1000)}, {})
    whole = path.read_bytes()
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    others = [
        (tmp_path / "other.pt").read_bytes(),
        pickle.dumps(Harmful(), protocol=2),
        b"",
        b"words",
    ]
    for content in [whole[:-1], whole[: len(whole) // 2], whole[:10], *others]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint.pt: expected a whole checkpoint.*delete"):
            load_checkpoint(path, {})
        assert path.read_bytes() == content
    assert not (tmp_path / "made by a checkpoint").exists()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ZeroDivisionError()]
)
def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path, error):
    path = tmp_path / "file"

    def write(file):
        file.write(b"half")
        raise error

    for before in (b"", b"before"):
        if before:
            path.write_bytes(before)
        with pytest.raises(type(error)) as raised:
            write_whole(path, write)
        if isinstance(error, OSError):
            assert "cannot be written (No space left on device), and is unchanged" in str(
                raised.value
            )
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [before] * bool(before)
    write_whole(path, lambda file: file.write(b"after"))
    assert path.read_bytes() == b"after"


def test_the_description_of_a_graph_is_the_same_everywhere(tmp_path):
    save_graph(ring(), tmp_path)
    about = json.loads((tmp_path / "graph.json").read_text(encoding="utf-8"))
    assert about["arrays"]["features"] == ["float64", [5, 3]]
    assert about["fingerprint"] == graph_fingerprint(tmp_path)
