"""The stored results themselves, how they are read, and how they are written."""

import errno
import itertools
import json
import math
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gatutils.book import reproduce
from gatutils.book.experiments.attention import fix_equal_weights
from gatutils.book.experiments.minesweeper import MineNet, shown_board
from gatutils.book.experiments.spelling import FAMILIAR
from gatutils.book.experiments.translation import TranslationPlan
from gatutils.book.protocols import LADDERS, PUBLISHED, ROWS, run
from gatutils.book.reproduce import main
from gatutils.book.results import (
    FOLDER,
    bounds,
    load,
    read,
    runs,
    store,
)
from gatutils.book.results.store import (
    add,
    differences,
    existing,
    prepare,
    versions,
)
from gatutils.book.tasks.spelling import LENGTHS

MODELS = [(row, model) for row, protocol in ROWS.items() for model in protocol.models]
TRANSLATIONS = [
    row
    for row, protocol in ROWS.items()
    if isinstance(next(iter(protocol.models.values())), TranslationPlan)
]
SEEDS = {
    **dict.fromkeys(ROWS, 5),
    **dict.fromkeys(["nodes", "attention", "dictionary", "minesweeper"], 10),
    "longer": 3,
    "spelling-longer": 1,  # nearly an hour
    "pronounced": 1,  # what one model of each kind says
    **{row: 20 if row.startswith("pubmed") else 100 for row in PUBLISHED},
    "cora-equal-gat": 30,
    "cora-ladder": 30,
    "citeseer-ladder": 30,
    "pubmed-ladder": 20,
}
ENDS = {"cora-ladder": 100, "citeseer-ladder": 100}  # of the paper's layer and of the code's
SPELLINGS = "spelling", "spelling-longer", "pronounced"
every_row = pytest.mark.parametrize("row", ROWS)


def plan_of(row: str, model: str) -> Any:
    """A plan of any type."""
    return ROWS[row].models[model]


def as_json(value):
    return json.loads(json.dumps(value))


# ---- What is stored ------------------------------------------------------------------------------


def stored_runs(row):
    return load(row)["runs"]


def keys_of(row):
    """What a run of a row holds that translates nothing."""
    more = set()
    if row == "attention" or row.endswith("-gat"):
        more |= {"normalised_entropy"}
    if row in PUBLISHED:
        more |= {"steps", "best"}
    if row in LADDERS:
        more |= {"steps", "best", "valid"}
    if row == "dictionary":
        more |= {"validation"}
    if row in SPELLINGS:
        more |= {"loss", "parameters"}
    if row == "minesweeper":
        more |= {"best", "parameters"}
    if row == "sampling":
        more |= {"edges", "milliseconds"}
    if row in ("roles", "kinds", "graph-transformers"):
        more |= {"parameters"}
    if row == "parts":
        more |= {"loss", "parameters", "spread", "first_word"}
    return {"model", "seed", "scores", "cpu_seconds"} | more


def scores_of(row, model):
    """How many scores a run has."""
    plan = plan_of(row, model)
    if row == "relay":
        return len(plan.test_lengths)
    if row == "puzzles":
        return 5 if model.startswith("path") else 1
    if row in TRANSLATIONS:
        return len(plan.test.clauses)
    if row in SPELLINGS:
        return 2 + len(LENGTHS)
    if row in LADDERS:
        return 3
    return 1 if row in ("witnesses", "kinds", "dictionary") else 2


def seeds_of(row, model):
    """How many runs of a model are stored; of a ladder, more of its ends."""
    return ENDS.get(row, SEEDS[row]) if model in ("paper", "code") else SEEDS[row]


@every_row
def test_the_stored_results_are_whole(row):
    assert sorted((r["model"], r["seed"]) for r in stored_runs(row)) == sorted(
        (model, seed) for model in ROWS[row].models for seed in range(seeds_of(row, model))
    )


@every_row
def test_the_stored_results_are_those_of_this_code(row):
    stored = load(row)
    assert stored["protocol"] == as_json(ROWS[row].stored())
    assert existing(FOLDER / f"{row}.json", as_json(ROWS[row].stored())) == stored
    for done in stored["runs"]:
        assert len(done["scores"]) == scores_of(row, done["model"])
        errors = done["model"].startswith(("number", "share"))  # of a number, not a share right
        assert all(0 <= score <= (math.inf if errors else 1) for score in done["scores"])
        assert row not in TRANSLATIONS or math.isfinite(done["loss"])
    assert set(stored["versions"]) == {"gatutils", "torch", "python", "machine", "threads"}


@every_row
def test_a_stored_file_is_written_as_it_stands(row):
    text = (FOLDER / f"{row}.json").read_text(encoding="utf-8")
    assert store._one_run_a_line(load(row)) == text


@every_row
def test_the_stored_losses_are_one_for_every_so_many_steps(row):
    for done in stored_runs(row):
        plan = plan_of(row, done["model"])
        every = plan.losses_every if row in TRANSLATIONS else None
        assert ("losses" in done) == (every is not None)
        if every is not None:
            assert len(done["losses"]) == math.ceil(plan.steps / every)
            assert all(0 < loss < math.inf for loss in done["losses"])


@pytest.mark.parametrize("row", [row for row in ROWS if row not in TRANSLATIONS])
def test_the_stored_runs_of_other_tasks_hold_what_their_row_says(row):
    for done in stored_runs(row):
        plan = plan_of(row, done["model"])
        shown = {"said"} if row == "pronounced" else set()
        shown |= {"percents"} if shown and plan.score else set()
        if row == "minesweeper":
            attends = plan.layer.startswith("GAT")
            shown = {"normalised_entropy"} if attends else set()
            shown |= {"chances", "percents"} if plan.shown else set()
        assert set(done) == keys_of(row) | shown
        if row == "minesweeper":
            sweeps(done, plan)
        if row == "pronounced":
            assert len(done["said"]) == len(done.get("percents", done["said"])) == len(FAMILIAR)
        if row == "dictionary":
            assert len(done["validation"]) == plan.steps // plan.every
            assert all(0 <= share <= 1 for share in done["validation"])
        if "normalised_entropy" in done:
            heads = [plan.heads, 1] if row == "attention" else [8, getattr(plan, "heads_out", 8)]
            heads = [plan.heads] * plan.depth if row == "minesweeper" else heads
            assert [len(of) for of in done["normalised_entropy"]] == heads
            assert all(0 <= one <= 1 for of in done["normalised_entropy"] for one in of)
            if row in ("attention", "minesweeper") and plan.equal:
                assert done["normalised_entropy"] == [[1] * count for count in heads]
        if row.endswith("-gat"):
            assert done["best"] + 100 <= done["steps"] <= plan.steps
        if row.endswith("-gcn"):
            assert 12 <= done["best"] == done["steps"] <= plan.steps


def sweeps(done, plan):
    """A run on Minesweeper holds a step, a size, and what it says of a small board if asked."""
    assert 0 < done["best"] <= plan.steps
    assert done["best"] % plan.every == 0
    net = MineNet(plan.layer, plan.dim, plan.depth, plan.heads)
    if plan.equal:
        fix_equal_weights(net)
    assert done["parameters"] == sum(p.numel() for p in net.parameters() if p.requires_grad)
    if plan.shown:
        degrees = shown_board(plan.shown).with_self_loops().degree.tolist()
        assert len(done["chances"]) == len(degrees)
        assert [[len(row) for row in head] for head in done["percents"]] == [degrees] * plan.heads
        assert all(abs(sum(row) - 100) <= 4 for head in done["percents"] for row in head)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "model", "near"),
    [
        pytest.param("witnesses", "GAT, 9", 0.01, id="witnesses"),
        pytest.param("attention", "GAT", 0.03, id="attention"),
    ],
)
def test_a_stored_run_comes_out_alike_when_it_is_made_again(row, model, near):
    (stored,) = (done for done in runs(row, model) if done["seed"] == 0)
    again = run(row, model, 0)
    assert set(again) == set(stored)
    assert again["scores"] == pytest.approx(stored["scores"], abs=near)
    entropies = (done.get("normalised_entropy", []) for done in (again, stored))
    for ours, theirs in zip(*entropies, strict=True):
        assert ours == pytest.approx(theirs, abs=near)


def test_stored_runs_of_one_model_in_two_rows_agree():
    """The same model, budget and seed, trained on two days."""
    compared = 0
    for model in ("one vector", "additive"):
        plan = replace(plan_of("lengths", model), losses_every=20)  # which changes no score
        assert plan == plan_of("transformers", model)
        one, other = (
            {done["seed"]: done for done in stored_runs(row) if done["model"] == model}
            for row in ("lengths", "transformers")
        )
        for seed in one:
            assert one[seed]["scores"] == other[seed]["scores"]
            assert one[seed]["loss"] == other[seed]["loss"]
            compared += 1
    assert compared == 10


def test_stored_looks_are_of_the_sentence_and_of_the_model_of_chapter_2():
    lengths = {done["seed"]: done for done in stored_runs("lengths") if done["model"] == "additive"}
    words = plan_of("alignment", "additive").alignment.sentence.split()
    for done in stored_runs("alignment"):
        assert done["scores"] == lengths[done["seed"]]["scores"]
        weights = torch.tensor(done["weights"])
        assert weights.shape[1] == len(words)
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)), atol=1e-4, rtol=0)
        assert 0 <= done["aligned"] <= 1


@pytest.mark.parametrize(("row", "model"), [pair for pair in MODELS if pair[0] in TRANSLATIONS])
def test_each_model_is_as_large_as_the_one_that_ran(row, model):
    (parameters,) = {done["parameters"] for done in stored_runs(row) if done["model"] == model}
    built = plan_of(row, model).build()
    assert sum(p.numel() for p in built.parameters()) == parameters


def test_the_rows_of_chapters_10_and_11_are_tested_on_many():
    for row, model in MODELS:
        if row == "dictionary":
            assert plan_of(row, model).test_count == 512
        if row == "witnesses":
            plan = plan_of(row, model)
            assert (plan.test_count, plan.test_seed) == (5000, 10**6)


@every_row
def test_nothing_is_run_where_all_is_stored(row, monkeypatch, capsys):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(reproduce, "run", never)
    before = sorted(FOLDER.iterdir())
    seeds = min(seeds_of(row, model) for model in ROWS[row].models)
    default = ["--seeds", str(seeds)] if seeds != 5 else []
    assert main([row, *default]) == 0
    count = seeds * len(ROWS[row].models)
    said = capsys.readouterr()
    assert said.out == f"all {count} runs are stored in {FOLDER / f'{row}.json'}\n"
    assert said.err == ""
    assert sorted(FOLDER.iterdir()) == before


# ---- How results are read ------------------------------------------------------------------------


def test_reading_results_imports_neither_the_experiments_nor_the_figures():
    """A notebook that only reads results starts as fast as it can."""
    ask = "import gatutils.book.results, sys; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, encoding="utf-8")
    ours = {name for name in said.stdout.split() if name.split(".")[0] == "gatutils"}
    assert "gatutils.book.results" in ours
    others = ("experiments", "figures", "reproduce", "protocols")
    assert not {name for name in ours if name.split(".")[2:3] and name.split(".")[2] in others}


MADE = [
    {"model": "one", "seed": 10, "scores": [0.1], "grown": [0.3]},
    {"model": "other", "seed": 0, "scores": [0.2]},
    {"model": "one", "seed": 2, "scores": [0.4]},
    {"model": "one", "seed": 1, "scores": [0.5]},
]


def test_runs_are_all_that_is_stored_of_a_model_in_the_order_of_the_seeds(tmp_path):
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"runs": MADE}), encoding="utf-8")
    assert runs(path, "one") == runs(str(path), "one") == [MADE[3], MADE[2], MADE[0]]
    assert runs(path, "other") == [MADE[1]]
    assert read(path) == {"one": [[0.5], [0.4], [0.1]], "other": [[0.2]]}
    assert list(read(path)) == ["one", "other"]
    with pytest.raises(ValueError, match=r"model: expected one of one, other, got 'none'"):
        runs(path, "none")


def test_a_result_is_found_by_its_name_or_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a notebook may lie anywhere
    assert load("lengths") == load(FOLDER / "lengths.json")
    assert load("gat_layer")["torch"]
    with pytest.raises(ValueError, match=r"source: expected one of alignment, .*, got 'heights'"):
        load("heights")
    with pytest.raises(ValueError, match=r"lengths\.json: expected a JSON file, got nothing"):
        load("lengths.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "expected a JSON file, got an empty one", id="empty"),
        pytest.param(b" \n", "expected a JSON file, got an empty one", id="blank"),
        pytest.param(b'{"runs": [', "expected JSON, got text that is broken", id="truncated"),
        pytest.param(b'{"runs": "\xff"}', "expected text in UTF-8", id="latin-1"),
        pytest.param(b"[1, 2]", "expected a JSON object, got list", id="list"),
        pytest.param(b'"runs"', "expected a JSON object, got str", id="string"),
    ],
)
@pytest.mark.parametrize(
    "ask", [load, read, lambda path: runs(path, "one")], ids=["load", "read", "runs"]
)
def test_a_file_that_is_no_json_object_is_named(ask, content, said, tmp_path):
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.json: ") as error:
        ask(path)
    assert said in str(error.value)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "some.json").mkdir()
    with pytest.raises(ValueError, match=r"some\.json: cannot be read \("):
        load(tmp_path / "some.json")


ONE = {"model": "one", "seed": 0, "scores": [0.5]}
DAMAGED = {
    "no runs": ({}, ": expected a result of gatutils.book.reproduce, got only []"),
    "other keys": ({"b": 1}, ": expected a result of gatutils.book.reproduce, got only ['b']"),
    "runs no list": ({"runs": {}}, ": runs: expected a list, got dict"),
    "run no object": ({"runs": [ONE, 3]}, ": runs[1]: expected a JSON object, got int"),
    "no model": ({"runs": [{"seed": 0, "scores": [1]}]}, "got a run without model"),
    "no seed": ({"runs": [{"model": "one", "scores": [1]}]}, "got a run without seed"),
    "no scores": ({"runs": [{"model": "one", "seed": 0}]}, "got a run without scores"),
    "nothing": ({"runs": [ONE, {}]}, ": runs[1]: expected model, seed and scores, got a run "),
    "model no string": ({"runs": [{**ONE, "model": 1}]}, "runs[0].model: expected a string, got 1"),
    "seed a string": ({"runs": [{**ONE, "seed": "0"}]}, "runs[0].seed: expected an int"),
    "seed a bool": ({"runs": [{**ONE, "seed": True}]}, "runs[0].seed: expected an int"),
    "seed negative": ({"runs": [{**ONE, "seed": -1}]}, "runs[0].seed: expected an int of at le"),
    "scores a number": ({"runs": [{**ONE, "scores": 1}]}, "runs[0].scores: expected one finite"),
    "scores empty": ({"runs": [{**ONE, "scores": []}]}, "runs[0].scores: expected one finite"),
    "score null": ({"runs": [{**ONE, "scores": [None]}]}, "runs[0].scores: expected one finite"),
    "score a bool": ({"runs": [{**ONE, "scores": [True]}]}, "runs[0].scores: expected one finite"),
    "score NaN": ({"runs": [{**ONE, "scores": [math.nan]}]}, "runs[0].scores: expected one finite"),
    "a score less": (
        {"runs": [{**ONE, "scores": [1, 0.5]}, {**ONE, "seed": 1}]},
        "runs[1].scores: expected 2 as in the runs before, got 1",
    ),
    "twice": ({"runs": [ONE, ONE]}, "runs[1]: expected each model and seed once, got one, 0 again"),
}


@pytest.mark.parametrize(("stored", "said"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_runs_are_named(stored, said, tmp_path):
    path = tmp_path / "some.json"
    path.write_text(json.dumps(stored), encoding="utf-8")
    assert load(path).keys() == stored.keys()
    for ask in (read, lambda path: runs(path, "one")):
        with pytest.raises(ValueError, match=r"some\.json: ") as error:
            ask(path)
        assert said in str(error.value)


# ---- What agrees with stored runs ----------------------------------------------------------------

tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.floats(0, 1, width=32), min_size=width, max_size=width), min_size=2, max_size=9
    )
)


@given(tables)
def test_bounds_are_a_margin_away_from_the_lowest_and_the_highest(scores):
    for column, (low, high) in zip(zip(*scores, strict=True), bounds(scores), strict=True):
        spread = max(column) - min(column)
        for margin in (min(column) - low, high - max(column)):
            assert margin == pytest.approx(max(spread, 0.25 / len(scores)))


def test_bounds_of_a_wide_and_of_a_narrow_spread():
    wide, narrow = bounds([[0.2, 0.9], [0.5, 0.9], [0.3, 0.9], [0.4, 0.9], [0.4, 0.91]])
    assert wide == pytest.approx((-0.1, 0.8))
    assert narrow == pytest.approx((0.85, 0.96))


@given(tables, st.randoms())
def test_bounds_do_not_depend_on_the_order(scores, random):
    assert bounds(random.sample(scores, len(scores))) == bounds(scores)


def test_two_in_a_hundred_stored_runs_are_outside_the_bounds_of_the_others():
    outside = total = 0
    for row in ROWS:
        for scores in read(row).values():
            for k, own in enumerate(scores if len(scores) > 1 else []):
                limits = bounds(scores[:k] + scores[k + 1 :])
                outside += any(not a <= x <= b for x, (a, b) in zip(own, limits, strict=True))
                total += 1
    assert total > 1000
    assert 0.01 < outside / total < 0.025


def test_bounds_refuse_what_has_no_spread():
    with pytest.raises(ValueError, match="scores: expected those of two runs or more"):
        bounds([[0.5, 0.5]])
    with pytest.raises(
        ValueError, match=r"scores: expected rows of one length, got rows of \[1, 2"
    ):
        bounds([[0.5], [0.5, 0.5]])


# ---- How results are written ---------------------------------------------------------------------

PROTOCOL = {"budget": {"steps": 3}, "models": {"one": {}, "other": {}}}
HERE = versions()


def some(model, seed, **more):
    return {"model": model, "seed": seed, "scores": [seed / 10], **more}


def test_versions_are_those_of_this_process():
    assert torch.__version__.startswith(HERE["torch"])
    assert HERE["python"] == platform.python_version()
    assert set(store.MATTERS) < set(HERE)


def test_runs_are_added_in_order_one_a_line(tmp_path):
    path = tmp_path / "some.json"
    for model, seed in [("other", 1), ("one", 10), ("one", 2), ("other", 0)]:
        add(path, PROTOCOL, HERE, some(model, seed))
    assert load(path) == {
        "protocol": PROTOCOL,
        "versions": HERE,
        "runs": [some("one", 2), some("one", 10), some("other", 0), some("other", 1)],
    }
    text = path.read_bytes()
    assert text.endswith(b"}\n")
    assert b"\r" not in text
    assert [line for line in text.decode().split("\n") if '"model"' in line] == [
        f"  {json.dumps(run)}{',' if k < 3 else ''}" for k, run in enumerate(load(path)["runs"])
    ]


def test_nothing_but_the_file_and_its_lock_is_left(tmp_path):
    add(tmp_path / "some.json", PROTOCOL, HERE, some("one", 0))
    assert {p.name for p in tmp_path.iterdir()} - {".some.json.lock"} == {"some.json"}


def test_a_run_that_another_command_has_stored_stays(tmp_path):
    path = tmp_path / "some.json"
    add(path, PROTOCOL, HERE, some("one", 0, by="the first"))
    add(path, PROTOCOL, HERE, some("one", 0, by="the second"))
    assert load(path)["runs"] == [some("one", 0, by="the first")]


@pytest.mark.parametrize(
    ("changed", "phrase"),
    [
        pytest.param({"torch": "1.9.1"}, "torch 1.9 (here {torch})", id="torch"),
        pytest.param({"python": "2.7.18"}, "python 2.7 (here {python})", id="python"),
        pytest.param({"machine": "ppc64le"}, "machine ppc64le (here {machine})", id="machine"),
    ],
)
def test_runs_of_versions_that_matter_are_not_mixed(changed, phrase, tmp_path):
    path = tmp_path / "some.json"
    add(path, PROTOCOL, {**HERE, **changed}, some("one", 0))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"some\.json: its runs were made with ") as error:
        add(path, PROTOCOL, HERE, some("one", 1))
    short = {name: store._what_matters(name, HERE) for name in store.MATTERS}
    assert phrase.format(**short) in str(error.value)
    assert "--out FOLDER" in str(error.value)
    assert "--compare" in str(error.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param({"python": "3.11.2"}, {"python": "3.11.9"}, id="Python patch"),
        pytest.param({"torch": "2.13.0"}, {"torch": "2.13.1"}, id="torch patch"),
        pytest.param({"gatutils": "0.1.0"}, {"gatutils": "0.2.0"}, id="gatutils"),
        pytest.param({"machine": "x86_64"}, {"machine": "AMD64"}, id="Windows' name"),
        pytest.param({"machine": "arm64"}, {"machine": "aarch64"}, id="Linux' name"),
    ],
)
def test_other_versions_are_kept_with_the_run(old, new, tmp_path):
    path = tmp_path / "some.json"
    assert differences({**HERE, **old}, {**HERE, **new}) == []
    add(path, PROTOCOL, {**HERE, **old}, some("one", 0))
    add(path, PROTOCOL, {**HERE, **new}, some("one", 1))
    add(path, PROTOCOL, {**HERE, **old}, some("one", 2))
    assert load(path)["versions"] == {**HERE, **old}
    assert load(path)["runs"] == [some("one", 0), some("one", 1, versions=new), some("one", 2)]


def test_numbers_of_versions_are_not_compared_as_text():
    """2.1 begins like 2.13."""
    assert differences({**HERE, "torch": "2.1.0"}, {**HERE, "torch": "2.13.0"}) == [
        "torch 2.1 (here 2.13)"
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"budget": {"steps": 4}}, "differs in budget;", id="a value"),
        pytest.param({"steps": 4}, "differs in steps;", id="a key more"),
        pytest.param({"models": {"one": {}}}, "differs in models;", id="a model less"),
    ],
)
def test_runs_of_another_protocol_are_not_mixed(changed, said, tmp_path):
    path = tmp_path / "some.json"
    add(path, PROTOCOL, HERE, some("one", 0))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"some\.json: its runs follow another protocol") as error:
        add(path, {**PROTOCOL, **changed}, HERE, some("one", 1))
    assert said in str(error.value)
    assert path.read_bytes() == before


WHOLE = {"protocol": PROTOCOL, "versions": HERE, "runs": [some("one", 0)]}


def without(key):
    return {name: value for name, value in WHOLE.items() if name != key}


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        pytest.param(without("protocol"), "a result of gatutils.book.reproduce", id="no protocol"),
        pytest.param(without("versions"), "a result of gatutils.book.reproduce", id="no versions"),
        pytest.param(without("runs"), "a result of gatutils.book.reproduce", id="no runs"),
        pytest.param({**WHOLE, "protocol": []}, "protocol: expected a JSON object", id="list"),
        pytest.param({**WHOLE, "versions": None}, "versions: expected a JSON object", id="null"),
        pytest.param(
            {**WHOLE, "versions": {"torch": "2.13.0"}}, "got no python, machine", id="some"
        ),
        pytest.param({**WHOLE, "runs": [some("two", 0)]}, "only models of one, other", id="model"),
    ],
)
def test_a_file_without_a_part_takes_no_run(stored, said, tmp_path):
    path = tmp_path / "some.json"
    path.write_text(json.dumps(stored), encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"some\.json") as error:
        add(path, PROTOCOL, HERE, some("one", 1))
    assert said in str(error.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    error, moment, tmp_path, monkeypatch
):
    path = tmp_path / "some.json"
    add(path, PROTOCOL, HERE, some("one", 0))
    before = path.read_bytes()

    def fail(*_):
        assert any(p.suffix == ".tmp" for p in tmp_path.iterdir())  # a part was written
        raise error

    monkeypatch.setattr(os, moment, fail)
    with pytest.raises(type(error)) as raised:
        add(path, PROTOCOL, HERE, some("one", 1))
    if isinstance(error, OSError):
        assert str(raised.value) == f"{path}: cannot be written (full), and is unchanged"
    assert path.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} - {".some.json.lock"} == {"some.json"}


def test_a_file_that_is_being_read_is_replaced_a_moment_later(tmp_path, monkeypatch):
    """Windows refuses to replace a file that is open."""
    refused: list[object] = []
    replace = os.replace

    def busy(*names):
        if len(refused) < 3:
            refused.append(names)
            raise PermissionError(errno.EACCES, "in use")
        replace(*names)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    add(tmp_path / "some.json", PROTOCOL, HERE, some("one", 0))
    assert len(refused) == 3
    assert load(tmp_path / "some.json")["runs"] == [some("one", 0)]


def test_a_folder_is_made_and_one_that_cannot_be_written_is_named(tmp_path):
    prepare(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OSError, match=r"file: cannot be written to \(.*; name another folder"):
        prepare(tmp_path / "file")


ADD = """
import sys, time
from pathlib import Path
from gatutils.book.results.store import add, versions
folder, model = Path(sys.argv[1]), sys.argv[2]
(folder / model).touch()
while not (folder / "go").exists():
    time.sleep(0.001)
for seed in range(25):
    run = {"model": model, "seed": seed, "scores": [0.5]}
    add(folder / "some.json", {"models": {"one": {}, "other": {}}}, versions(), run)
"""


@pytest.mark.slow
def test_two_processes_that_add_to_one_file_lose_nothing(tmp_path, monkeypatch):
    """This one and another."""
    one = subprocess.Popen([sys.executable, "-c", ADD, tmp_path, "one"])
    while not (tmp_path / "one").exists():
        assert one.poll() is None
        time.sleep(0.01)
    (tmp_path / "go").touch()
    monkeypatch.setattr(sys, "argv", ["", tmp_path, "other"])
    exec(ADD, {})
    assert one.wait(timeout=300) == 0
    stored = [(done["model"], done["seed"]) for done in load(tmp_path / "some.json")["runs"]]
    assert stored == list(itertools.product(["one", "other"], range(25)))
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))
