import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from gatutils import datasets, reproduce
from gatutils.datasets import TIMES, atlas, sample_pairs, sample_puzzles, scipy_api
from gatutils.experiments import Deep, Solver, TokenReader
from gatutils.gnn import GCN, GIN, SAGE, Gated
from gatutils.reproduce import BUDGET, GRAPHS, ROWS, aligned, build, main, read, run

RESULTS = Path(__file__).parents[1] / "book" / "results"
MODELS = [(row, model) for row, protocol in ROWS.items() for model in protocol["models"]]
TRANSLATIONS = [row for row in ROWS if row not in GRAPHS]
every_row = pytest.mark.parametrize("row", ROWS)
every_translation = pytest.mark.parametrize("row", TRANSLATIONS)


def every_model(rows):
    return pytest.mark.parametrize(("row", "model"), [pair for pair in MODELS if pair[0] in rows])


@pytest.fixture(scope="module")
def small():
    """The atlas, which takes a while to read."""
    return atlas()


@pytest.fixture(autouse=True)
def little_to_test(request, monkeypatch):
    """Untrained models talk on for ever: two sentences of each length are enough for them."""
    if "stored" in request.node.name.split("[")[0].split("_"):
        return
    for row in TRANSLATIONS:
        few = {**ROWS[row]["test"], "count": 2, "clauses": [0, 1]}
        monkeypatch.setitem(ROWS[row], "test", few)
    monkeypatch.setitem(ROWS["relay"], "test", {"lengths": [1, 3], "count": 4})
    monkeypatch.setitem(ROWS["puzzles"]["test"], "count", 40)
    few = request.getfixturevalue("small")[1::20]
    monkeypatch.setattr(datasets, "atlas", lambda: list(few))
    for row in ("readouts", "triangles"):
        monkeypatch.setitem(ROWS[row], "budget", {**ROWS[row]["budget"], "train": 20})


def scores_of(row, model):
    """How many scores a run has."""
    protocol = ROWS[row]
    if row == "relay":
        return len(protocol["test"]["lengths"])
    if row == "puzzles":
        return 5 if model.startswith("path") else 1
    return 2 if row in GRAPHS else len(protocol["test"]["clauses"])


def as_json(value):
    return json.loads(json.dumps(value))


def stored_runs(row):
    return json.loads((RESULTS / f"{row}.json").read_text())["runs"]


@every_row
def test_the_stored_results_are_those_of_this_code(row):
    stored = json.loads((RESULTS / f"{row}.json").read_text())
    protocol = ROWS[row]
    assert stored["protocol"] == as_json(protocol)
    seeds = range(max(5, len({r["seed"] for r in stored["runs"]})))
    assert sorted((r["model"], r["seed"]) for r in stored["runs"]) == sorted(
        (model, seed) for model in protocol["models"] for seed in seeds
    )
    for done in stored["runs"]:
        assert len(done["scores"]) == scores_of(row, done["model"])
        errors = done["model"].startswith(("number", "share"))  # of a number, not a share right
        assert all(0 <= score <= (math.inf if errors else 1) for score in done["scores"])
        assert row in GRAPHS or math.isfinite(done["loss"])
    assert set(stored["versions"]) == {"gatutils", "torch", "python", "machine", "threads"}


@every_row
def test_the_stored_losses_are_one_for_every_so_many_steps(row):
    every = ROWS[row].get("losses")
    for done in stored_runs(row):
        assert ("losses" in done) == (every is not None)
        if every is not None:
            plan = {**ROWS[row]["budget"], **ROWS[row]["models"][done["model"]]}
            assert len(done["losses"]) == math.ceil(plan["steps"] / every)
            assert all(0 < loss < math.inf for loss in done["losses"])


def test_stored_runs_of_one_model_in_two_rows_agree():
    """The same model, budget and seed, trained on two days."""
    compared = 0
    for model in ("one vector", "additive"):
        assert ROWS["lengths"]["models"][model] == ROWS["transformers"]["models"][model]
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
    words = ROWS["alignment"]["looks"]["sentence"].split()
    for done in stored_runs("alignment"):
        assert done["scores"] == lengths[done["seed"]]["scores"]
        weights = torch.tensor(done["weights"])
        assert weights.shape[1] == len(words)
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)), atol=1e-4, rtol=0)
        assert 0 <= done["aligned"] <= 1


def test_aligned_counts_content_words_under_each_head():
    pairs = sample_pairs(5, [0, 2], seed=3)
    source = max(len(pair.english) for pair in pairs)
    target = max(len(pair.korean) for pair in pairs)
    right = torch.zeros(len(pairs), target, source)
    for row, pair in enumerate(pairs):
        for i, j in enumerate(pair.alignment):
            if j is not None:
                right[row, i, j] = 1
    wrong = right.roll(1, dims=2)
    both = torch.stack([right, wrong], dim=1)
    assert aligned(both, pairs).tolist() == [1, 0]
    assert aligned(right, pairs).item() == 1
    # What is no noun, verb, adjective or place does not count: the time, the particle for "in".
    some = right.clone()
    for row, pair in enumerate(pairs):
        for i, j in enumerate(pair.alignment):
            if j is not None and pair.english[j] in {"in", *TIMES}:
                some[row, i] = wrong[row, i]
    assert aligned(some, pairs).item() == 1


@every_model(TRANSLATIONS)
def test_each_model_is_as_large_as_the_one_that_ran(row, model):
    (parameters,) = {done["parameters"] for done in stored_runs(row) if done["model"] == model}
    built = build({**ROWS[row]["budget"], **ROWS[row]["models"][model]})
    assert sum(p.numel() for p in built.parameters()) == parameters


@every_translation
def test_a_run_tells_what_it_found_and_what_it_cost(row):
    model = next(iter(ROWS[row]["models"]))
    done = run(row, model, seed=1, steps=3)
    every = ROWS[row].get("losses")
    keys = {"model", "seed", "scores", "loss", "parameters", "cpu seconds"}
    looks = {"weights", "aligned"} if ROWS[row].get("looks") else set()
    assert set(done) == keys | looks | ({"losses"} if every else set())
    assert (done["model"], done["seed"]) == (model, 1)
    assert len(done["scores"]) == 2
    assert done == as_json(done)


@every_model(GRAPHS)
def test_a_run_on_graphs_has_as_many_scores_as_its_row_says(row, model):
    done = run(row, model, seed=1, steps=2)
    assert set(done) == {"model", "seed", "scores", "cpu seconds"}
    assert (done["model"], done["seed"]) == (model, 1)
    assert len(done["scores"]) == scores_of(row, model)
    assert all(math.isfinite(score) for score in done["scores"])
    assert done == as_json(done)


@pytest.fixture
def trained(monkeypatch):
    """With what a run trains, instead of the training."""
    seen = {}

    def spy(*arguments, **options):
        seen.update(model=arguments[0], given=arguments[1:], **options)

    for name in ("fit_nodes", "fit_question", "carry", "fit_puzzles"):
        monkeypatch.setattr(reproduce, name, spy)
    return seen


@every_model(["nodes", "depths"])
def test_a_run_trains_the_network_of_its_plan(row, model, trained):
    run(row, model, seed=1)
    if model == "label propagation":
        assert trained == {}
        return
    graph, train, seed = trained["given"]
    assert seed == 1
    assert torch.equal(train, datasets.split(scipy_api().graph.labels, 20, 1)[0])
    kind, _, number = model.partition(", ")
    free, added = number.startswith("free, "), number.startswith("added, ")
    amount = [trained[name] for name in ("steps", "lr", "weight_decay")]
    assert amount == [200, 0.01, 0 if free else 5e-4]
    net = trained["model"]
    assert net.dropout.p == (0 if free else 0.5)
    assert getattr(net, "added", False) == added
    number = number.split(", ")[-1]
    if kind == "gated":
        assert (type(net), net.rounds) == (Deep, int(number))
        return
    depth = int(number) if row == "depths" and kind == "GCN" else 2
    depth = 1 if kind in ("logistic regression", "smooth") else depth
    made = {"SAGE": SAGE, "GIN": GIN}.get(kind, GCN)
    assert [type(layer) for layer in net.layers] == [made] * depth
    if kind == "SAGE":
        assert [layer.how for layer in net.layers] == [number] * depth
    alone = kind in ("logistic regression", "MLP", "smooth")
    assert graph.edges == (0 if alone else 2 * 2309)
    if kind == "smooth":
        smoothed = reproduce.smooth(scipy_api().graph, int(number))
        torch.testing.assert_close(graph.features, smoothed)


@every_model(["readouts", "triangles"])
def test_a_run_asks_the_question_of_its_plan(row, model, trained, small, monkeypatch):
    graded = []
    monkeypatch.setattr(reproduce, "grade", lambda *given: graded.append(given) or 0.0)
    monkeypatch.setattr(datasets, "atlas", lambda: list(small))
    monkeypatch.setitem(ROWS[row]["budget"], "train", 1000)
    run(row, model, seed=1)
    question, graphs, seed = trained["given"]
    how = model if row == "triangles" else "sum"
    read_by = "sum" if row == "triangles" else model.split(", ")[1]
    assert question == ("a triangle" if row == "triangles" else model.split(", ")[0])
    assert (seed, len(graphs)) == (1, 1000)
    assert [(type(layer), layer.how) for layer in trained["model"].net.layers] == [(GIN, how)] * 2
    assert trained["model"].how == read_by
    assert (trained["steps"], trained["size"]) == (2000 if row == "triangles" else 600, 50)
    assert [given[:2] for given in graded] == [(trained["model"], question)] * 2
    unseen, large = (given[2] for given in graded)
    assert len(unseen) == 252
    assert not {id(graph) for graph in unseen} & {id(graph) for graph in graphs}
    assert len(large) == 200
    assert {graph.nodes for graph in large} <= set(range(15, 41))


@every_model(["relay"])
def test_a_run_carries_over_the_lengths_of_its_plan(row, model, trained, monkeypatch):
    asked = []
    monkeypatch.setattr(reproduce, "far_end", lambda *given: asked.append(given) or 0.0)
    run(row, model, seed=1)
    kind, _, one = model.partition(", one length")
    assert trained["model"].kind == kind
    assert trained["given"] == (1,)
    assert trained["lengths"] == ([16] if one or "one length" in model else list(range(1, 17)))
    assert (trained["steps"], trained["size"], trained["lr"]) == (1500, 16, 0.01)
    assert asked == [(trained["model"], 1, 4), (trained["model"], 3, 4)]


@every_model(["puzzles"])
def test_a_run_solves_the_puzzles_of_its_plan(row, model, trained, monkeypatch):
    asked = []
    monkeypatch.setattr(reproduce, "solved", lambda *given: asked.append(given) or 0.0)
    run(row, model, seed=1)
    task, kind, *rounds, examples = model.split(", ")
    task, _, size = task.partition(" ")
    sizes = [int(size)] if size else [2, 3, 4, 5]
    puzzles, seed = trained["given"]
    assert seed == 1
    assert puzzles == sample_puzzles(task, int(examples.split()[0]), sizes, "train", 1)
    made = trained["model"]
    if kind == "tokens":
        assert type(made) is TokenReader
        assert (made.embed.embedding_dim, made.gru.hidden_size) == (32, 64)
        assert made.say.out_features == puzzles[0].entities
    else:
        assert (type(made), made.width) == (Solver, 32)
        assert isinstance(made.layer, Gated) == (kind == "gated")
        assert made.rounds == int(rounds[0].split()[0])
    amount = tuple(trained[name] for name in ("steps", "size", "lr"))
    assert amount == {
        "gated": (300, 50, 5e-3), "SAGE": (300, 50, 3e-3), "tokens": (600, 50, 3e-3),
    }[kind]  # fmt: skip
    test = sample_puzzles(task, 40, sizes, "test", 1)
    by_size = [[puzzle for puzzle in test if puzzle.size == size] for size in sizes]
    groups = [test, *by_size] if task == "path" else [test]
    assert asked == [(made, group) for group in groups]


def test_weights_are_drawn_by_the_seed(trained):
    """Before anything else is drawn, so that models of one shape begin alike."""
    for row, one, other in (
        ("nodes", "GCN", "GCN"),
        ("depths", "GCN, 2", "GCN, 2"),
        ("readouts", "share of leaves, sum", "number of leaves, mean"),
        ("relay", "gated", "gated, one length"),
        ("puzzles", "path, gated, 5 rounds, 50 examples", "path, gated, 1 rounds, 250 examples"),
    ):
        weights = []
        for model, seed in ((one, 1), (other, 1), (one, 2)):
            run(row, model, seed, steps=1)
            weights.append(torch.cat([p.flatten() for p in trained["model"].parameters()]))
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])


def test_a_run_trains_the_model_that_departs_from_the_budget():
    narrow, wide = (
        run("lengths", model, seed=0, steps=1) for model in ("one vector", "one vector, 2x width")
    )
    assert wide["parameters"] > 2 * narrow["parameters"]


def test_losses_are_means_of_so_many_steps(monkeypatch):
    monkeypatch.setitem(ROWS["similarities"], "losses", 1)
    each = run("similarities", "dot", seed=0, steps=5)
    monkeypatch.setitem(ROWS["similarities"], "losses", 2)
    pairs = run("similarities", "dot", seed=0, steps=5)
    a, b, c, d, e = each["losses"]
    assert pairs["losses"] == pytest.approx([(a + b) / 2, (c + d) / 2, e], abs=1e-4)
    assert each["loss"] == pairs["loss"] == pytest.approx((a + b + c + d + e) / 5, abs=1e-4)


def test_a_model_departs_from_its_budget_as_its_plan_says():
    plan = {**BUDGET, "hidden": 8, "embedding": 4}
    assert build(plan).encoder.width == 16
    assert build(plan).decoder.score is None
    narrow = build({**plan, "direction": 4, "score": "scaled dot", "layout": "after"})
    assert narrow.encoder.width == 8
    assert type(narrow.decoder.score).__name__ == "ScaledDot"
    assert narrow.decoder.layout == "after"
    cosine = {**plan, "direction": 4, "score": "cosine"}
    assert build(cosine).decoder.score.temperature == 1
    assert build({**cosine, "temperature": 0.1}).decoder.score.temperature == 0.1
    assert build(cosine).decoder.score.log_temperature is None
    assert build({**cosine, "learned": True}).decoder.score.log_temperature is not None
    alone = build({**plan, "dim": 6, "heads": 3, "layers": 2, "think": 5, "norm": "post"})
    (block, _) = alone.encoder.blocks
    assert (block.look.heads, block.think[0].out_features, block.norm) == (3, 5, "post")
    assert alone.decoder.embed.embedding_dim == 6
    with pytest.raises(ValueError, match="score: "):
        build({**plan, "score": "dot"})


def test_few_sentences_come_again_and_again():
    def seen(seed):
        stream = reproduce._stream({"batch": 4, "sentences": 6}, [0, 1], seed)
        return [[pair.english for pair in b.pairs] for b in itertools.islice(stream, 20)]

    one = seen(0)
    assert all(len(set(sentences)) == 4 for sentences in one)
    assert len({sentence for sentences in one for sentence in sentences}) == 6
    assert one == seen(0) != seen(1)


def quick(folder, row, *options):
    model = next(iter(ROWS[row]["models"]))
    main([row, "--steps", "1", "--models", model, "--out", str(folder), *options])
    return folder / f"{row}.json"


@every_row
def test_a_stopped_command_goes_on_where_it_was(row, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(
        reproduce, "run", lambda *arguments: done.append(arguments) or run(*arguments)
    )
    path = quick(tmp_path, row, "--seeds", "1")
    first = json.loads(path.read_text())["runs"]
    quick(tmp_path, row, "--seeds", "2")
    model = next(iter(ROWS[row]["models"]))
    assert done == [(row, model, 0, 1), (row, model, 1, 1)]
    assert json.loads(path.read_text())["runs"][0] == first[0]
    assert [p.name for p in tmp_path.iterdir()] == [f"{row}.json"]
    assert [len(rows) for rows in read(path).values()] == [2]


def test_rows_do_not_mix(tmp_path):
    """Two rows have a model of the same name; each has a file of its own."""
    for row in ("lengths", "similarities"):
        main([row, "--steps", "1", "--models", "general", "--seeds", "1", "--out", str(tmp_path)])
    one, other = (
        json.loads((tmp_path / f"{row}.json").read_text()) for row in ("lengths", "similarities")
    )
    assert one["protocol"]["budget"] != other["protocol"]["budget"]
    assert one["runs"][0]["parameters"] > other["runs"][0]["parameters"]


@pytest.mark.parametrize("row", GRAPHS)
def test_the_same_seed_gives_the_same_run_on_graphs(row):
    model = next(iter(ROWS[row]["models"]))
    one, other = (run(row, model, seed=3, steps=3) for _ in range(2))
    assert one["scores"] == other["scores"]


def test_the_same_seed_gives_the_same_run():
    one, other = (run("lengths", "general", seed=3, steps=2) for _ in range(2))
    assert (one["scores"], one["loss"]) == (other["scores"], other["loss"])
    assert run("lengths", "general", seed=4, steps=2)["loss"] != one["loss"]


@every_row
def test_results_of_another_protocol_are_not_mixed_in(row, tmp_path):
    path = quick(tmp_path, row, "--seeds", "1")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="--out: expected a folder without results of another"):
        main([row, "--steps", "2", "--out", str(tmp_path)])
    assert path.read_bytes() == before


def test_results_of_other_versions_are_not_mixed_in(tmp_path):
    path = quick(tmp_path, "lengths", "--seeds", "1")
    stored = json.loads(path.read_text())
    stored["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"--out: .*of other versions"):
        quick(tmp_path, "lengths", "--seeds", "2")
    assert json.loads(path.read_text()) == stored


def test_bad_input_is_named(tmp_path, capsys):
    with pytest.raises(ValueError, match=r"row: expected one of lengths, similarities.*'heights'"):
        run("heights", "general", 0)
    with pytest.raises(ValueError, match=r"model: expected one of one vector.*'two vectors'"):
        run("lengths", "two vectors", 0)
    with pytest.raises(ValueError, match=r"model: expected one of dot.*'one vector'"):
        run("similarities", "one vector", 0)
    with pytest.raises(ValueError, match=r"--models: expected some of dot.*'one vector'"):
        main(["similarities", "--models", "one vector", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        main(["heights"])
    assert "invalid choice: 'heights'" in capsys.readouterr().err
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match=r"path: expected a result of gatutils\.reproduce"):
        read(tmp_path / "other.json")
