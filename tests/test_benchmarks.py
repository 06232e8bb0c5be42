"""The benchmarks run, and what they stored is whole. No time that is taken here is asserted."""

import json
import sys

import pytest
import torch
from helpers import load_script, needs_compiler

cost = load_script("benchmarks/attention_cost.py")
# As the scripts that import them find them, which are run in their folder.
gat = sys.modules["gat_layer"] = load_script("benchmarks/gat_layer.py")
gat_forms = load_script("benchmarks/gat_forms.py")
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


@needs_compiler
@pytest.mark.slow
def test_gat_layer_measures_each_library_and_writes_whole(tmp_path, monkeypatch):
    """Its memory too, in processes of their own."""
    pytest.importorskip("resource")
    monkeypatch.setattr(gat, "OUT", tmp_path / "gat.json")
    monkeypatch.setattr(gat, "SIZES", {"large": (300, 80_000, 2)})
    monkeypatch.setattr(gat, "SHAPES", [(2, 64)])
    monkeypatch.setattr(gat, "GROWTH", {"heads": [(50, 1, 2), (50, 2, 2)]})
    monkeypatch.setattr(gat, "NODES", 20)
    gat.main([])
    assert [path.name for path in tmp_path.iterdir()] == ["gat.json"]
    stored = json.loads(gat.OUT.read_text(encoding="utf-8"))
    row, second = stored["rows"]
    assert (row["kind"], second["kind"]) == ("GAT", "GATv2")
    assert (row["nodes"], row["edges"], row["heads"], row["width"]) == (300, 80_300, 2, 64)
    assert [grown["heads"] for grown in stored["growth"]] == [1, 2]
    for what in ("forward", "training"):
        assert min(row[what]["seconds"].values()) > 0
        found = row[what] | {f"compiled {who}": of for who, of in row[what]["compiled"].items()}
        for other in {*found} - {"seconds", "compiled"}:
            low, high = found[other]["quartiles"]
            assert 0 < low <= found[other]["ratio"] <= high
        assert {*row[what]["compiled"]} == {*row[what]["seconds"]} - {"compiled"}
    # Theirs keeps a row of floats for each edge; ours does not.
    for who in ("ours", "compiled"):
        assert row["memory"]["pyg"] > 80_300 * 2 * 64 * 4 / 1e6 > row["memory"][who] > 0


@needs_compiler
def test_gat_layer_stores_nothing_where_only_some_sizes_are_asked_for(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(gat, "OUT", tmp_path / "gat.json")
    monkeypatch.setattr(gat, "SIZES", {"some": (20, 30, 2), "other": (0, 0, 0)})
    monkeypatch.setattr(gat, "SHAPES", [(2, 3)])
    monkeypatch.setattr(gat, "memory", lambda *problem: 0)
    gat.main(["--sizes", "some"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["kind"], row["edges"]) for row in rows] == [("GAT", 50), ("GATv2", 50)]
    assert not list(tmp_path.iterdir())


def test_the_floor_takes_each_operation_as_often_as_it_says(monkeypatch):
    """Sparse products; sampled products, which write the dots."""
    met = []
    monkeypatch.setattr(gat, "weighted_sum", lambda *given: met.append("product"))
    monkeypatch.setattr(gat, "sampled_addmm", lambda *given, **more: met.append("sampled"))
    expected = {
        ("GAT", "forward"): (1, 0),
        ("GAT", "training"): (2, 1),
        ("GATv2", "forward"): (1, 1),
        ("GATv2", "training"): (4, 2),
    }
    for (kind, what), counts in expected.items():
        met.clear()
        gat.floor(kind, 20, 30, 2, 3)[what]()
        assert (met.count("product"), met.count("sampled")) == counts


def test_gat_layer_draws_graphs_of_so_many_edges():
    graph = gat.random_graph(30, 100)
    assert (graph.num_nodes, graph.num_edges) == (30, 130)
    assert (graph.source == graph.target).sum() == 30


@needs_compiler
def test_gat_layer_compares_layers_that_say_the_same(monkeypatch):
    """It stops where they do not."""
    for kind in gat.KINDS:
        gat.compare((kind, 20, 30, 2, 3), 2)
    whole = gat.to_pyg

    def shaken(layer):
        theirs = whole(layer)
        torch.nn.init.normal_(theirs.bias)
        return theirs

    monkeypatch.setattr(gat, "to_pyg", shaken)
    with pytest.raises(AssertionError, match="not close"):
        gat.compare(("GAT", 20, 30, 2, 3), 2)


@pytest.fixture(scope="module")
def stored():
    return json.loads(gat.OUT.read_text(encoding="utf-8"))


def test_gat_layer_stored_what_it_would_measure_again(stored):
    assert [tuple(shape) for shape in stored["shapes"]] == gat.SHAPES
    assert (stored["in_features"], stored["threads"]) == (gat.WIDE, gat.THREADS)
    assert stored["compiled_parts"] == []  # with them, theirs may be another
    compared = {"ours", "compiled", "pyg", "dgl", "floor"}
    for row in stored["rows"] + stored["growth"]:
        assert all(row[what]["seconds"].keys() == compared for what in ("forward", "training"))
    keys = ("size", "kind", "nodes", "edges", "pairs", "heads", "width")
    found = [tuple(row[key] for key in keys) for row in stored["rows"]]
    assert found == [
        (size, kind, nodes, nodes + edges, pairs, *shape)
        for size, (nodes, edges, pairs) in gat.SIZES.items()
        for kind in gat.KINDS
        for shape in gat.SHAPES
    ]
    grown = [(r["grows"], r["edges"], r["heads"], r["width"]) for r in stored["growth"]]
    assert grown == [
        (what, gat.NODES + edges, heads, width)
        for what, rows in gat.GROWTH.items()
        for edges, heads, width in rows
    ]


# ---- Forms of the layer --------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["without Numba", "as if Numba were there"])
def forms(request, monkeypatch, tmp_path):
    """The loops of the fused form run as they are written, without being compiled."""
    monkeypatch.setattr(gat_forms, "has_numba", lambda: request.param)
    monkeypatch.setattr(gat_forms, "numba_version", lambda: None)
    monkeypatch.setattr(gat_forms, "_loops", [gat_forms.forward_loop, gat_forms.backward_loop])
    monkeypatch.setattr(gat_forms.gat_layer, "SIZES", {"some": (9, 20, 2), "other": (5, 4, 2)})
    monkeypatch.setattr(gat_forms.gat_layer, "SHAPES", [(2, 3), (1, 4)])
    monkeypatch.setattr(gat_forms, "OUT", tmp_path / "forms.json")
    return ["together", "loop", "compiled", *(["fused"] if request.param else [])]


@needs_compiler
def test_forms_of_the_layer_are_compared_and_stored_whole(forms, tmp_path):
    """Their outputs and gradients are compared before they are timed."""
    gat_forms.main([])
    if "fused" not in forms:
        assert not list(tmp_path.iterdir())
        return
    assert [path.name for path in tmp_path.iterdir()] == ["forms.json"]
    rows = json.loads(gat_forms.OUT.read_text(encoding="utf-8"))["rows"]
    assert [(row["edges"], row["heads"], row["width"]) for row in rows] == [
        (edges, *shape) for edges in (29, 9) for shape in ((2, 3), (1, 4))
    ]
    for row in rows:
        for what in ("forward", "training"):
            assert list(row[what]["seconds"]) == [*forms, "floor"]
            assert all(row[what][form]["ratio"] > 0 for form in forms)


@needs_compiler
def test_forms_are_not_stored_where_only_some_sizes_are_asked_for(forms, tmp_path):
    gat_forms.main(["--sizes", "some"])
    assert not list(tmp_path.iterdir())


@needs_compiler
def test_forms_whose_outputs_differ_are_not_timed(forms, monkeypatch):
    def perturbed(*given):
        contexts, weights = whole(*given)
        return contexts + 0.1, weights

    whole = gat_forms.softmax_and_sum
    monkeypatch.setattr(gat_forms, "softmax_and_sum", perturbed)
    with pytest.raises(AssertionError, match="not close"):
        gat_forms.main(["--sizes", "some"])


def test_forms_stored_what_they_would_measure_again():
    stored = json.loads(gat_forms.OUT.read_text(encoding="utf-8"))
    assert stored["numba"]
    keys = ("size", "nodes", "edges", "pairs", "heads", "width")
    assert [tuple(row[key] for key in keys) for row in stored["rows"]] == [
        (size, nodes, nodes + edges, pairs, *shape)
        for size, (nodes, edges, pairs) in gat.SIZES.items()
        for shape in gat.SHAPES
    ]
    for row in stored["rows"]:
        for what in ("forward", "training"):
            assert {*row[what]} == {"seconds", "together", "loop", "compiled", "fused"}


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
    assert large["copy per edge"]["megabytes"] > copy
    assert large["copy per edge"]["megabytes"] > 1.5 * large["ours"]["megabytes"] > 0


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
