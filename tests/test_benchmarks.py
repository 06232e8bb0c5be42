"""The benchmarks run, and what they stored is whole. No times are asserted here."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cost = load("attention_cost")


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
    assert json.loads(cost.OUT.read_text())["lengths"] == [4, 8]
