import json
from pathlib import Path

import pytest

from gatutils import reproduce
from gatutils.reproduce import LENGTHS, PROTOCOL, main, read, run_lengths

STORED = Path(__file__).parents[1] / "book" / "results" / "lengths.json"


@pytest.fixture(autouse=True)
def few_test_sentences(request, monkeypatch):
    """Untrained models talk on for ever: two sentences of each length are enough for them."""
    if "stored" not in request.node.name.split("[")[0].split("_"):
        few = {**PROTOCOL["test"], "count": 2, "clauses": [0, 1]}
        monkeypatch.setitem(PROTOCOL, "test", few)


def as_json(value):
    return json.loads(json.dumps(value))


def test_the_stored_results_are_those_of_this_code():
    stored = json.loads(STORED.read_text())
    assert stored["protocol"] == as_json(PROTOCOL)
    assert sorted((r["model"], r["seed"]) for r in stored["runs"]) == sorted(
        (model, seed) for model in LENGTHS for seed in range(5)
    )
    clauses = PROTOCOL["test"]["clauses"]
    for run in stored["runs"]:
        assert len(run["scores"]) == len(clauses)
        assert all(0 <= score <= 1 for score in run["scores"])
    assert set(stored["versions"]) == {"gatutils", "torch", "python", "machine", "threads"}


@pytest.mark.parametrize("model", LENGTHS)
def test_each_model_is_as_large_as_the_one_that_ran(model):
    stored = json.loads(STORED.read_text())["runs"]
    (parameters,) = {run["parameters"] for run in stored if run["model"] == model}
    assert run_lengths(model, seed=0, steps=1)["parameters"] == parameters


def quick(folder, *options):
    main(["lengths", "--steps", "1", "--models", "additive", "--out", str(folder), *options])
    return folder / "lengths.json"


def test_a_stopped_command_goes_on_where_it_was(tmp_path, monkeypatch):
    done = []
    real = run_lengths
    monkeypatch.setattr(
        reproduce, "run_lengths", lambda *arguments: done.append(arguments) or real(*arguments)
    )
    path = quick(tmp_path, "--seeds", "1")
    first = json.loads(path.read_text())["runs"]
    quick(tmp_path, "--seeds", "2")
    assert [seed for _, seed, _ in done] == [0, 1]
    assert json.loads(path.read_text())["runs"][0] == first[0]
    assert [p.name for p in tmp_path.iterdir()] == ["lengths.json"]
    assert [len(rows) for rows in read(path).values()] == [2]


def test_the_same_seed_gives_the_same_run():
    one, other = (run_lengths("general", seed=3, steps=2) for _ in range(2))
    assert (one["scores"], one["loss"]) == (other["scores"], other["loss"])
    assert run_lengths("general", seed=4, steps=2)["loss"] != one["loss"]


def test_results_of_another_protocol_are_not_mixed_in(tmp_path):
    path = quick(tmp_path, "--seeds", "1")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="--out: expected a folder without results of another"):
        main(["lengths", "--steps", "2", "--out", str(tmp_path)])
    assert path.read_bytes() == before


def test_bad_input_is_named(tmp_path, capsys):
    with pytest.raises(ValueError, match="model: expected one of one vector"):
        run_lengths("two vectors", 0)
    with pytest.raises(SystemExit):
        main(["heights"])
    assert "invalid choice: 'heights'" in capsys.readouterr().err
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match=r"path: expected a result of gatutils\.reproduce"):
        read(tmp_path / "other.json")
