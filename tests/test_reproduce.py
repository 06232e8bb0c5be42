import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from gatutils import datasets, reproduce
from gatutils.datasets import TIMES, atlas, sample_pairs, sample_puzzles, scipy_api, witnesses
from gatutils.experiments import Deep, DotConv, Lookup, Solver, TokenReader, evenness_of
from gatutils.gnn import GCN, GIN, SAGE, GATConv, Gated, GATv2Conv
from gatutils.graph import Graph
from gatutils.planetoid import Planetoid
from gatutils.reproduce import BUDGET, FULLER, GRAPHS, ROWS, aligned, build, main, read, run, runs

RESULTS = Path(__file__).parents[1] / "gatutils" / "results"
MODELS = [(row, model) for row, protocol in ROWS.items() for model in protocol["models"]]
TRANSLATIONS = [row for row in ROWS if row not in {*GRAPHS, *FULLER}]
PUBLISHED = [f"{name}-{kind}" for kind in ("gat", "gcn") for name in ("cora", "citeseer", "pubmed")]
SEEDS = {
    **dict.fromkeys(ROWS, 5),
    **dict.fromkeys(["nodes", "attention", "dictionary"], 10),
    **{row: 20 if row.startswith("pubmed") else 100 for row in PUBLISHED},
}
every_row = pytest.mark.parametrize("row", ROWS)
every_translation = pytest.mark.parametrize("row", TRANSLATIONS)


def every_model(rows):
    return pytest.mark.parametrize(("row", "model"), [pair for pair in MODELS if pair[0] in rows])


@pytest.fixture(scope="module")
def small():
    """The atlas, which takes a while to read."""
    return atlas()


def papers(seed):
    """Forty papers in place of a data set."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(40) % 3
    features = (torch.rand(40, 9, generator=draw) < 0.4).float()
    ends = torch.randint(40, (2, 80), generator=draw)
    graph = Graph(40, ends[0], ends[1], features, labels).without_duplicates()
    node = torch.arange(40)
    return Planetoid(graph, node < 9, (node >= 9) & (node < 20), node >= 20, 3)


PAPERS = {name: papers(seed) for seed, name in enumerate(["cora", "citeseer", "pubmed"])}


@pytest.fixture(autouse=True)
def little_to_test(request, monkeypatch):
    """Untrained models talk on for ever: two sentences of each length are enough for them.

    No data set is read from disk: a small one stands for Cora, Citeseer and Pubmed.
    """
    if "stored" in request.node.name.split("[")[0].split("_"):
        return
    monkeypatch.setattr(reproduce, "_papers", PAPERS.get)
    monkeypatch.setitem(ROWS["witnesses"]["test"], "count", 30)
    few = {**ROWS["dictionary"]["budget"], "test": 6}
    monkeypatch.setitem(ROWS["dictionary"], "budget", few)
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
    if row in TRANSLATIONS:
        return len(protocol["test"]["clauses"])
    return 1 if row in ("witnesses", "dictionary") else 2


def keys_of(row):
    """What a run of a row about graphs tells."""
    more = set()
    if row in ("attention", *PUBLISHED[:3]):
        more |= {"evenness"}
    if row in PUBLISHED:
        more |= {"steps", "best"}
    if row == "dictionary":
        more |= {"grown"}
    return {"model", "seed", "scores", "cpu seconds"} | more


def as_json(value):
    return json.loads(json.dumps(value))


def stored_runs(row):
    return json.loads((RESULTS / f"{row}.json").read_text(encoding="utf-8"))["runs"]


@every_row
def test_the_stored_results_are_whole(row):
    stored = json.loads((RESULTS / f"{row}.json").read_text(encoding="utf-8"))
    assert sorted((r["model"], r["seed"]) for r in stored["runs"]) == sorted(
        itertools.product(ROWS[row]["models"], range(SEEDS[row]))
    )


@every_row
def test_the_stored_results_are_those_of_this_code(row):
    stored = json.loads((RESULTS / f"{row}.json").read_text(encoding="utf-8"))
    protocol = ROWS[row]
    assert stored["protocol"] == as_json(protocol)
    ran = [(r["model"], r["seed"]) for r in stored["runs"]]
    assert len(ran) == len(set(ran)) > 0
    assert set(ran) <= set(itertools.product(protocol["models"], range(SEEDS[row])))
    for done in stored["runs"]:
        assert len(done["scores"]) == scores_of(row, done["model"])
        errors = done["model"].startswith(("number", "share"))  # of a number, not a share right
        assert all(0 <= score <= (math.inf if errors else 1) for score in done["scores"])
        assert row not in TRANSLATIONS or math.isfinite(done["loss"])
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


@pytest.mark.parametrize("row", FULLER)
def test_the_stored_runs_hold_more_than_scores(row):
    for done in stored_runs(row):
        plan = {**ROWS[row]["budget"], **ROWS[row]["models"][done["model"]]}
        assert set(done) == keys_of(row)
        if row == "dictionary":
            assert len(done["grown"]) == plan["steps"] // plan["every"]
            assert all(0 <= share <= 1 for share in done["grown"])
        if "evenness" in done:
            heads = [plan["heads"], 1] if row == "attention" else [8, plan["heads out"]]
            assert [len(of) for of in done["evenness"]] == heads
            assert all(0 <= one <= 1 for of in done["evenness"] for one in of)
            if plan.get("equal"):
                assert done["evenness"] == [[1] * count for count in heads]
        if row.endswith("-gat"):
            assert done["best"] + 100 <= done["steps"] <= plan["steps"]
        if row.endswith("-gcn"):
            assert 12 <= done["best"] == done["steps"] <= plan["steps"]


@pytest.mark.parametrize(
    ("row", "model", "near"), [("witnesses", "GAT, 9", 0.01), ("attention", "GAT", 0.03)]
)
def test_a_stored_run_comes_out_alike_when_it_is_made_again(row, model, near):
    (stored,) = (done for done in runs(RESULTS / f"{row}.json", model) if done["seed"] == 0)
    again = run(row, model, 0)
    assert set(again) == set(stored)
    assert again["scores"] == pytest.approx(stored["scores"], abs=near)
    for ours, theirs in zip(again.get("evenness", []), stored.get("evenness", []), strict=True):
        assert ours == pytest.approx(theirs, abs=near)


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


@every_model([*GRAPHS, *FULLER])
def test_a_run_on_graphs_has_as_many_scores_as_its_row_says(row, model):
    done = run(row, model, seed=1, steps=2)
    assert set(done) == keys_of(row)
    assert (done["model"], done["seed"]) == (model, 1)
    assert len(done["scores"]) == scores_of(row, model)
    assert all(math.isfinite(score) for score in done["scores"])
    assert done == as_json(done)


@pytest.fixture
def trained(monkeypatch):
    """With what a run trains, instead of the training."""
    seen = {}

    def spy(answer):
        def train(*arguments, **options):
            seen.update(model=arguments[0], given=arguments[1:], **options)
            return answer

        return train

    for name in ("fit_nodes", "fit_question", "carry", "fit_puzzles", "hear"):
        monkeypatch.setattr(reproduce, name, spy(None))
    monkeypatch.setattr(reproduce, "look_up", spy(([0.123456, 0.5], 0.654321)))
    monkeypatch.setattr(reproduce, "fit_published", spy({"scores": [0.123456], "best": 7}))
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
    assert getattr(net.dropout, "p", net.dropout) == (0 if free else 0.5)
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


@every_model(["attention"])
def test_a_run_trains_the_attention_of_its_plan(row, model, trained):
    done = run(row, model, seed=1)
    graph, train, seed = trained["given"]
    assert seed == 1
    plain = scipy_api().graph
    assert torch.equal(train, datasets.split(plain.labels, 20, 1)[0])
    assert (graph.edges, graph.nodes) == (2 * 2309 + plain.nodes, plain.nodes)  # all see themselves
    assert graph.without_self_loops().edges == plain.edges
    assert tuple(trained[name] for name in ("steps", "lr", "weight_decay")) == (200, 0.01, 5e-4)
    net = trained["model"]
    first, last = net.layers
    assert type(first) is type(last) is (GATv2Conv if model == "GATv2" else GATConv)
    assert (first.heads, first.out_features, first.concat) == (4, 8, True)
    assert (last.heads, last.out_features, last.concat) == (1, len(plain.labels.unique()), False)
    assert (first.dropout, last.dropout, net.dropout) == (0.5, 0.5, 0.5)
    for layer in net.layers:  # if all are to weigh alike, all scores are 0 and remain so
        equal = model == "GAT, equal weights"
        assert (not layer.a.any(), not layer.a.requires_grad) == (equal, equal)
    found = evenness_of(net, plain.features, plain.with_self_loops())
    assert done["evenness"] == [pytest.approx(of.tolist(), abs=6e-5) for of in found]
    said = net(plain.features, graph).argmax(dim=1) == plain.labels
    shares = [said[nodes].double().mean().item() for nodes in (~train, train)]
    assert done["scores"] == pytest.approx(shares, abs=6e-5)


@every_model(["witnesses"])
def test_a_run_hears_the_witnesses_of_its_plan(row, model, trained, monkeypatch):
    asked = []
    monkeypatch.setattr(reproduce, "answered", lambda *given: asked.append(given) or 0.25)
    done = [run(row, model, seed)["scores"] for seed in (1, 2)]
    assert done == [[0.25], [0.25]]
    kind, guessing = model.rsplit(", ", 1)
    made = {"GAT": [GATConv], "GCN": [GCN], "MLP, GCN": [GCN]}[kind]
    layers = trained["model"].layers
    assert [type(layer) for layer in layers[-1:]] == made
    assert len(layers) == (2 if kind == "MLP, GCN" else 1)
    assert trained["given"] == (int(guessing), 2)
    assert (trained["steps"], trained["size"], trained["lr"]) == (300, 200, 0.05)
    one = witnesses(30, int(guessing), torch.Generator().manual_seed(10**6))
    for _, graph in asked:  # the same for each seed
        assert torch.equal(graph.features, one.features)
        assert torch.equal(graph.labels, one.labels)
    assert asked[-1][0] is trained["model"]


@every_model(["dictionary"])
def test_a_run_looks_up_as_its_plan_says(row, model, trained):
    done = run(row, model, seed=1)
    kind, heads, keys = model.split(", ")
    net = trained["model"]
    assert type(net) is Lookup
    made = {"GAT": GATConv, "GATv2": GATv2Conv, "dot": DotConv, "mean": SAGE}[kind]
    assert type(net.layer) is made
    if kind in ("GAT", "GATv2"):
        assert net.layer.heads == int(heads.split()[0])
    assert net.embed.weight.shape == (64, 2 * int(keys.split()[0]))
    assert trained["given"] == (int(keys.split()[0]), 1)
    amount = tuple(trained[name] for name in ("steps", "size", "lr", "every", "test"))
    assert amount == (1500, 32, 0.01, 50, 6)
    assert (done["scores"], done["grown"]) == ([0.6543], [0.1235, 0.5])


def test_a_stored_dictionary_is_tested_on_512():
    assert ROWS["dictionary"]["budget"]["test"] == 512
    assert ROWS["witnesses"]["test"] == {"count": 5000, "seed": 10**6}


@every_model(PUBLISHED)
def test_a_run_trains_what_was_published(row, model, trained):
    done = run(row, model, seed=1)
    name, kind = row.split("-")
    assert model == kind.upper()
    data, seed = trained["given"]
    assert (data, seed) == (PAPERS[name], 1)
    first, last = trained["model"].layers
    amount = tuple(trained[name] for name in ("steps", "lr", "weight_decay"))
    if kind == "gcn":
        assert type(first) is type(last) is GCN
        assert amount == (200, 0.01, 5e-4)
        assert (first.W.weight.shape, last.W.weight.shape) == ((16, 9), (3, 16))
    else:
        assert type(first) is type(last) is GATConv
        pubmed = name == "pubmed"
        assert amount == ((100_000, 0.01, 1e-3) if pubmed else (100_000, 0.005, 5e-4))
        assert (first.in_features, last.out_features) == (9, 3)
        assert (first.heads, last.heads) == (8, 8 if pubmed else 1)
    assert done == {
        "model": model, "seed": 1, "scores": [0.1235], "best": 7, "cpu seconds": 0,
    }  # fmt: skip


REAL = reproduce._papers


def test_a_data_set_is_read_once(monkeypatch):
    asked = []
    monkeypatch.setattr(reproduce, "planetoid", lambda name: asked.append(name) or papers(0))
    REAL.cache_clear()
    try:
        assert REAL("cora") is REAL("cora") is not REAL("pubmed")
    finally:
        REAL.cache_clear()
    assert asked == ["cora", "pubmed"]


def test_every_row_is_run_in_one_way():
    ways = [*GRAPHS, *FULLER, *TRANSLATIONS]
    assert sorted(ways) == sorted(ROWS)
    assert list(FULLER) == ["attention", "witnesses", "dictionary", *PUBLISHED]
    for row in FULLER:
        assert ROWS[row]["models"]
        assert {"budget", "models", "measure"} <= set(ROWS[row])
        assert ROWS[row] == as_json(ROWS[row])


def test_the_rows_of_chapters_10_and_11():
    assert list(ROWS["attention"]["models"]) == ["GAT", "GATv2", "GAT, equal weights"]
    assert ROWS["attention"]["budget"] == ROWS["nodes"]["budget"]  # as chapter 8's models have it
    assert set(ROWS["witnesses"]["models"]) == {
        f"{kind}, {guessing}"
        for kind in ("GCN", "GAT", "MLP, GCN")
        for guessing in (0, 3, 6, 9, 11)
    }
    assert set(ROWS["dictionary"]["models"]) == {
        f"{kind}, {keys} keys"
        for keys in (10, 20)
        for kind in ("GAT, 1 head", "GAT, 8 heads", "GATv2, 1 head", "dot, 1 head", "mean, 1 head")
    }


def test_weights_are_drawn_by_the_seed(trained):
    """Before anything else is drawn, so that models of one shape begin alike."""
    for row, one, other in (
        ("nodes", "GCN", "GCN"),
        ("depths", "GCN, 2", "GCN, 2"),
        ("readouts", "share of leaves, sum", "number of leaves, mean"),
        ("relay", "gated", "gated, one length"),
        ("puzzles", "path, gated, 5 rounds, 50 examples", "path, gated, 1 rounds, 250 examples"),
        ("attention", "GAT", "GAT"),
        ("witnesses", "GAT, 0", "GAT, 9"),
        ("dictionary", "dot, 1 head, 10 keys", "dot, 1 head, 10 keys"),
        ("cora-gat", "GAT", "GAT"),
        ("pubmed-gcn", "GCN", "GCN"),
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
    first = json.loads(path.read_text(encoding="utf-8"))["runs"]
    quick(tmp_path, row, "--seeds", "2")
    model = next(iter(ROWS[row]["models"]))
    assert done == [(row, model, 0, 1), (row, model, 1, 1)]
    assert json.loads(path.read_text(encoding="utf-8"))["runs"][0] == first[0]
    assert [p.name for p in tmp_path.iterdir()] == [f"{row}.json"]
    assert [len(rows) for rows in read(path).values()] == [2]


def test_rows_do_not_mix(tmp_path):
    """Two rows have a model of the same name; each has a file of its own."""
    for row in ("lengths", "similarities"):
        main([row, "--steps", "1", "--models", "general", "--seeds", "1", "--out", str(tmp_path)])
    one, other = (
        json.loads((tmp_path / f"{row}.json").read_text(encoding="utf-8"))
        for row in ("lengths", "similarities")
    )
    assert one["protocol"]["budget"] != other["protocol"]["budget"]
    assert one["runs"][0]["parameters"] > other["runs"][0]["parameters"]


@pytest.mark.parametrize("row", [*GRAPHS, *FULLER])
def test_the_same_seed_gives_the_same_run_on_graphs(row):
    model = next(iter(ROWS[row]["models"]))
    one, other = (run(row, model, seed=3, steps=3) for _ in range(2))
    for done in (one, other):
        del done["cpu seconds"]
    assert one == other


def test_rounding_keeps_four_digits_and_everything_else():
    value = {
        "a": [0.123456, [1, 2.00004]],
        "b": {"c": (0.5).hex(), "d": None, "e": True},
        "f": -0.1,
    }
    assert reproduce._rounded(value) == {
        "a": [0.1235, [1, 2.0]], "b": {"c": (0.5).hex(), "d": None, "e": True}, "f": -0.1,
    }  # fmt: skip
    assert type(reproduce._rounded([3])[0]) is int
    assert reproduce._rounded(True) is True
    assert value["a"][0] == 0.123456  # what was given is left as it was


def test_runs_are_all_that_is_stored_of_a_model_in_the_order_of_the_seeds(tmp_path):
    path = tmp_path / "some.json"
    made = [
        {"model": "one", "seed": 10, "scores": [0.1], "grown": [0.3]},
        {"model": "other", "seed": 0, "scores": [0.2]},
        {"model": "one", "seed": 2, "scores": [0.4]},
        {"model": "one", "seed": 1, "scores": [0.5]},
    ]
    path.write_text(json.dumps({"runs": made}), encoding="utf-8")
    assert runs(path, "one") == runs(str(path), "one") == [made[3], made[2], made[0]]
    assert runs(path, "other") == [made[1]]
    assert read(path) == {"one": [[0.5], [0.4], [0.1]], "other": [[0.2]]}
    with pytest.raises(ValueError, match=r"model: expected one of one, other, got 'none'"):
        runs(path, "none")


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
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(ValueError, match=r"--out: .*of other versions"):
        quick(tmp_path, "lengths", "--seeds", "2")
    assert json.loads(path.read_text(encoding="utf-8")) == stored


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
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    for ask in (read, lambda path: runs(path, "general")):
        with pytest.raises(ValueError, match=r"source: expected a result of gatutils\.reproduce"):
            ask(tmp_path / "other.json")
