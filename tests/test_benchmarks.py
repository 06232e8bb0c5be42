"""The benchmarks run, and what they stored is whole. No time that is taken here is asserted."""

import json
import sys

import pytest
import torch
from helpers import load_script

cost = load_script("benchmarks/attention_cost.py")
gat = load_script("benchmarks/gat_layer.py")
growth = load_script("benchmarks/growth.py")
disk = load_script("benchmarks/out_of_core.py")


def test_attention_cost_measures_both_layers_at_each_length():
    medians = cost.measure([4, 8, 16], repeats=1)
    assert set(medians) == {"self-attention", "recurrent"}
    for row in medians.values():
        assert len(row) == 3
        assert all(seconds > 0 for seconds in row)


def test_attention_cost_stored_what_it_would_measure_again():
    stored = json.loads(cost.OUT.read_text(encoding="utf-8"))
    for name in ("LENGTHS", "REPEATS", "DIM", "HEADS"):
        assert stored[name.lower()] == getattr(cost, name)
    assert all(len(row) == len(cost.LENGTHS) for row in stored["seconds"].values())


def test_attention_cost_writes_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "OUT", tmp_path / "cost.json")
    monkeypatch.setattr(cost, "LENGTHS", [4, 8])
    monkeypatch.setattr(cost, "REPEATS", 1)
    cost.main()
    assert [path.name for path in tmp_path.iterdir()] == ["cost.json"]
    assert json.loads(cost.OUT.read_text(encoding="utf-8"))["lengths"] == [4, 8]


@pytest.mark.slow
def test_gat_layer_measures_both_libraries_and_writes_whole(tmp_path, monkeypatch):
    """Its memory too, in processes of their own."""
    pytest.importorskip("resource")
    monkeypatch.setattr(gat, "OUT", tmp_path / "gat.json")
    monkeypatch.setattr(gat, "SIZES", {"tiny": (300, 80_000, 2)})
    monkeypatch.setattr(gat, "SHAPES", [(2, 64)])
    gat.main([])
    assert [path.name for path in tmp_path.iterdir()] == ["gat.json"]
    (row,) = json.loads(gat.OUT.read_text(encoding="utf-8"))["rows"]
    assert (row["nodes"], row["edges"], row["heads"], row["width"]) == (300, 80_300, 2, 64)
    for what in ("forward", "training"):
        low, high = row[what]["quartiles"]
        assert 0 < low <= row[what]["ratio"] <= high
        assert min(row[what]["ours"], row[what]["pyg"]) > 0
    # Theirs keeps a row of floats for each edge; ours does not.
    assert row["memory"]["pyg"] > 80_300 * 2 * 64 * 4 / 1e6 > row["memory"]["ours"] > 0


def test_gat_layer_stores_nothing_where_only_some_sizes_are_asked_for(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(gat, "OUT", tmp_path / "gat.json")
    monkeypatch.setattr(gat, "measure", lambda sizes: [{"size": size} for size in sizes])
    gat.main(["--sizes", "medium"])
    assert json.loads(capsys.readouterr().out) == {"size": "medium"}
    assert not list(tmp_path.iterdir())


def test_gat_layer_draws_graphs_of_so_many_edges():
    graph = gat.random_graph(30, 100)
    assert (graph.num_nodes, graph.num_edges) == (30, 130)
    assert (graph.source == graph.target).sum() == 30


def test_gat_layer_compares_layers_that_say_the_same(monkeypatch):
    """It stops where they do not."""
    gat.compare((20, 30, 2, 3), 2)
    whole = gat.to_pyg

    def shaken(layer):
        theirs = whole(layer)
        torch.nn.init.normal_(theirs.bias)
        return theirs

    monkeypatch.setattr(gat, "to_pyg", shaken)
    with pytest.raises(AssertionError, match="not close"):
        gat.compare((20, 30, 2, 3), 2)


@pytest.fixture(scope="module")
def stored():
    return json.loads(gat.OUT.read_text(encoding="utf-8"))


def test_gat_layer_stored_what_it_would_measure_again(stored):
    assert [tuple(shape) for shape in stored["shapes"]] == gat.SHAPES
    assert (stored["in_features"], stored["threads"]) == (gat.WIDE, gat.THREADS)
    assert stored["compiled_parts"] == []  # with them, theirs may be another
    found = [
        (row["size"], row["nodes"], row["edges"], row["pairs"], row["heads"], row["width"])
        for row in stored["rows"]
    ]
    assert found == [
        (size, nodes, nodes + edges, pairs, *shape)
        for size, (nodes, edges, pairs) in gat.SIZES.items()
        for shape in gat.SHAPES
    ]


# ---- Growth, and training from disk --------------------------------------------------------------


linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux counts it")


def test_growth_compares_forms_that_compute_the_same():
    layer, states, graph = growth.problem(40)
    graph = graph.without_duplicates()  # which a mask cannot express
    ours = layer(states, graph)
    found = growth.forms(layer, states, graph)
    assert tuple(found) == growth.FORMS
    for run in found.values():
        torch.testing.assert_close(run(), ours, rtol=1e-4, atol=1e-5)


@linux
@pytest.mark.slow
def test_growth_measures_each_form_and_stops_where_memory_is_not_enough(monkeypatch, tmp_path):
    monkeypatch.setattr(growth, "OUT", tmp_path / "growth.json")
    monkeypatch.setattr(growth, "SIZES", [100, 2000, 20_000, 40_000])
    growth.main([])
    stored = json.loads(growth.OUT.read_text(encoding="utf-8"))
    assert [path.name for path in tmp_path.iterdir()] == ["growth.json"]
    rows = stored["rows"]
    assert rows["all pairs"][2:] == [None, None]  # the second is not tried
    assert rows["all pairs"][1]["megabytes"] > 2000**2 * 4 * growth.HEADS / 1e6
    large = {form: row[3] for form, row in rows.items() if form != "all pairs"}
    edges = 40_000 * growth.NEIGHBOURS
    copy = edges * growth.HEADS * growth.WIDTH * 4 / 1e6
    assert large["copy per edge"]["megabytes"] > copy > large["ours"]["megabytes"] > 0


def test_growth_stored_what_it_would_measure_again():
    stored = json.loads(growth.OUT.read_text(encoding="utf-8"))
    assert (stored["sizes"], stored["limit"]) == (growth.SIZES, growth.LIMIT)
    assert (stored["heads"], stored["width"]) == (growth.HEADS, growth.WIDTH)
    assert (stored["in_features"], stored["neighbours"]) == (growth.WIDE, growth.NEIGHBOURS)
    assert tuple(stored["rows"]) == growth.FORMS
    for row in stored["rows"].values():
        assert len(row) == len(growth.SIZES)
        done = [one for one in row if one is not None]
        assert row == done + [None] * (len(row) - len(done))
        assert all(one["seconds"] > 0 and one["megabytes"] > 0 for one in done)


@linux
@pytest.mark.slow
def test_a_graph_on_disk_is_trained_within_a_limit_that_its_copy_exceeds(monkeypatch, tmp_path):
    """A limit of the system, in processes of their own."""
    monkeypatch.setattr(disk, "OUT", tmp_path / "disk.json")
    disk.main([])
    found = json.loads(disk.OUT.read_text(encoding="utf-8"))
    assert found["copied"] is None
    assert found["mapped"]["right"] > 0.5


def test_training_from_disk_stored_what_it_would_measure_again():
    stored = json.loads(disk.OUT.read_text(encoding="utf-8"))
    for name in ("NODES", "LIMIT", "TRAIN", "TEST", "STEPS", "BATCH"):
        assert stored[name.lower()] == getattr(disk, name)
    assert tuple(stored["sizes"]) == disk.SIZES
    assert stored["bytes"] > stored["limit"]
