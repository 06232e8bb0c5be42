"""The runs behind the stored results, each with next to nothing to do, and the command."""

import inspect
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from threading import Barrier
from typing import Any

import pytest
import torch
from helpers import not_none, slow_but

from gatutils.book import protocols, reproduce, results
from gatutils.book.experiments import (
    dictionary,
    nodes,
    published,
    puzzles,
    questions,
    relay,
    translation,
    witnesses,
)
from gatutils.book.experiments.attention import attention_entropy
from gatutils.book.experiments.dictionary import DotConv, Lookup
from gatutils.book.experiments.graph_transformer import DistanceBias
from gatutils.book.experiments.nodes import Deep, NodePlan, StackPlan
from gatutils.book.experiments.puzzles import Solver, TokenReader
from gatutils.book.experiments.translation import (
    AlignmentSample,
    SentenceSample,
    TransformerPlan,
    TranslationPlan,
    aligned,
)
from gatutils.book.protocols import BUDGET, PUBLISHED, ROWS, run
from gatutils.book.reproduce import main
from gatutils.book.results import store
from gatutils.book.tasks import graphs as graph_tasks
from gatutils.book.tasks.graphs import atlas, scipy_api
from gatutils.book.tasks.puzzles import sample_puzzles
from gatutils.book.tasks.sentences import TIMES, sample_pairs
from gatutils.book.tasks.spelling import spellings
from gatutils.book.tasks.witnesses import witnesses as draw_witnesses
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv
from gatutils.message_passing import (
    GatedGraphConv,
    GCNConv,
    GINConv,
    SAGEConv,
)
from gatutils.planetoid import Planetoid

MODELS = [(row, model) for row, protocol in ROWS.items() for model in protocol.models]
TRANSLATIONS = [
    row
    for row, protocol in ROWS.items()
    if isinstance(next(iter(protocol.models.values())), TranslationPlan)
]
GRAPHS = [row for row in ROWS if row not in TRANSLATIONS]
every_row = pytest.mark.parametrize("row", ROWS)


@pytest.fixture(autouse=True, scope="module")
def few_words() -> Iterator[None]:
    """Runs of a few steps do not pronounce twenty thousand words afterwards."""
    few = {split: spellings(split)[::400] for split in ("train", "test")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gatutils.book.experiments.spelling.spellings", few.get)
        yield


every_translation = pytest.mark.parametrize("row", TRANSLATIONS)


def every_model(rows):
    return pytest.mark.parametrize(("row", "model"), [pair for pair in MODELS if pair[0] in rows])


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
REAL = published.read_once


def once(function):
    """Remember what a function returned for the same arguments: some draws take seconds."""
    known, signature = {}, inspect.signature(function)

    def ask(*arguments, **options):
        bound = signature.bind(*arguments, **options)
        bound.apply_defaults()
        key = repr(bound.arguments)
        if key not in known:
            known[key] = function(*arguments, **options)
        return known[key]

    return ask


draw_graphs, draw_puzzles = once(graph_tasks.random_graphs), once(sample_puzzles)


def few_puzzles(task, count, sizes, *more, **options):
    """Draw fifty at most, which is one batch."""
    return draw_puzzles(task, min(count, 50), sizes, *more, **options)


def with_values(row, **values):
    """A row's protocol with other values in the plans of all its models."""
    models = {name: replace(plan, **values) for name, plan in ROWS[row].models.items()}
    return replace(ROWS[row], models=models)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Give every run little to draw, to train on and to test; the whole atlas is returned.

    Untrained models talk on for ever: two sentences of each length are enough for them. No data set
    is read from disk: a small one stands for Cora, Citeseer and Pubmed.
    """
    whole = atlas()
    few = whole[1::20]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "read_once", PAPERS.get)
        drawn = SentenceSample(clauses=(2,), count=3, seed=5)
        alignment = AlignmentSample(
            sentence=" ".join(sample_pairs(**asdict(drawn))[1].english),
            drawn_from=drawn,
            counted_on=replace(drawn, count=2, seed=8),
        )
        translated = {"batch_size": 8, "test": SentenceSample(clauses=(0, 1), count=2)}
        less: dict[str, dict[str, Any]] = {
            **dict.fromkeys(TRANSLATIONS, translated),
            "alignment": {**translated, "alignment": alignment},
            "roles": {"batch_size": 8, "test": SentenceSample(clauses=(1,), count=3)},
            "parts": {"batch_size": 8, "test": SentenceSample(clauses=(0,), count=4)},
            "witnesses": {"test_count": 30},
            "kinds": {"batch_size": 8, "test_count": 30},
            "dictionary": {"test_count": 6},
            "relay": {"test_lengths": (1, 3), "test_count": 4},
            "puzzles": {"test_count": 40},
            "readouts": {"train_count": 20},
            "triangles": {"train_count": 20},
            "minesweeper": {"size": 8, "every": 1},
            "sampling": {"nodes": 60, "train": 20, "batch": 8},
        }
        for row, values in less.items():
            patch.setitem(ROWS, row, with_values(row, **values))
        patch.setattr(graph_tasks, "atlas", lambda: list(few))
        patch.setattr(questions, "random_graphs", draw_graphs)
        patch.setattr(puzzles, "sample_puzzles", few_puzzles)
        yield whole


@once
def done_once(row, model, seed, steps):
    """A run that several tests look at, and none changes."""
    return run(row, model, seed, steps)


def scores_of(row, model):
    """How many scores a run has, with so little to test."""
    return 2 if row in ("relay", *TRANSLATIONS) else len(results.runs(row, model)[0]["scores"])


def as_json(value):
    return json.loads(json.dumps(value))


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


@every_translation
def test_a_run_tells_what_it_found_and_what_it_cost(row):
    model = next(iter(ROWS[row].models))
    done = done_once(row, model, 1, 2)
    assert set(done) == set(results.runs(row, model)[0])
    plan: Any = ROWS[row].models[model]
    keys = {"model", "seed", "scores", "loss", "parameters", "cpu_seconds"}
    weights = {"weights", "aligned"} if plan.alignment else set()
    assert set(done) == keys | weights | ({"losses"} if plan.losses_every else set())
    assert (done["model"], done["seed"]) == (model, 1)
    assert len(done["scores"]) == 2
    assert done == as_json(done)


@pytest.mark.parametrize(
    ("row", "model"),
    slow_but(
        [(row, next(iter(ROWS[row].models))) for row in GRAPHS],
        [pair for pair in MODELS if pair[0] in GRAPHS],
    ),
)
def test_a_run_on_graphs_has_as_many_scores_as_its_row_says(row, model):
    done = done_once(row, model, 1, 2)
    assert set(done) == set(results.runs(row, model)[0])
    assert (done["model"], done["seed"]) == (model, 1)
    assert len(done["scores"]) == scores_of(row, model)
    assert all(math.isfinite(score) for score in done["scores"])
    assert done == as_json(done)


@pytest.fixture
def trained(monkeypatch):
    """With what a run trains, instead of the training."""
    seen: dict[str, Any] = {}

    def spy(answer):
        def train(*arguments, **options):
            seen.update(model=arguments[0], given=arguments[1:], **options)
            return answer

        return train

    for module, name, answer in (
        (nodes, "fit_nodes", None),
        (questions, "fit_question", None),
        (relay, "fit_relay", None),
        (puzzles, "fit_puzzles", None),
        (witnesses, "fit_witnesses", None),
        (dictionary, "fit_lookup", ([0.123456, 0.5], 0.654321)),
        (published, "fit_gat", {"scores": [0.123456], "best": 7}),
        (published, "fit_gcn", {"scores": [0.123456], "best": 7}),
    ):
        monkeypatch.setattr(module, name, spy(answer))
    return seen


@every_model(["nodes", "depths"])
def test_a_run_trains_the_network_of_its_plan(row, model, trained):
    run(row, model, seed=1)
    if model == "label propagation":
        assert trained == {}
        return
    graph, train, seed = trained["given"]
    assert seed == 1
    assert torch.equal(train, graph_tasks.split(not_none(scipy_api().graph.labels), 20, 1)[0])
    kind, _, number = model.partition(", ")
    free, added = number.startswith("free, "), number.startswith("added, ")
    amount = [trained[name] for name in ("steps", "lr", "weight_decay")]
    assert amount == [200, 0.01, 0 if free else 5e-4]
    net = trained["model"]
    assert getattr(net.dropout, "p", net.dropout) == (0 if free else 0.5)
    assert getattr(net, "residual", False) == added
    number = number.split(", ")[-1]
    if kind == "gated":
        assert (type(net), net.rounds) == (Deep, int(number))
        return
    depth = int(number) if row == "depths" and kind == "GCN" else 2
    depth = 1 if kind in ("logistic regression", "smooth") else depth
    made = {"SAGE": SAGEConv, "GIN": GINConv}.get(kind, GCNConv)
    assert [type(layer) for layer in net.layers] == [made] * depth
    if kind == "SAGE":
        assert [layer.aggr for layer in net.layers] == [number] * depth
    alone = kind in ("logistic regression", "MLP", "smooth")
    assert graph.num_edges == (0 if alone else 2 * 2309)
    if kind == "smooth":
        smoothed = nodes.smooth(scipy_api().graph, int(number))
        torch.testing.assert_close(graph.features, smoothed)


@every_model(["readouts", "triangles"])
def test_a_run_asks_the_question_of_its_plan(row, model, trained, small, monkeypatch):
    graded = []
    monkeypatch.setattr(questions, "grade", lambda *given: graded.append(given) or 0.0)
    monkeypatch.setattr(graph_tasks, "atlas", lambda: list(small))
    monkeypatch.setitem(ROWS, row, with_values(row, train_count=1000))
    run(row, model, seed=1)
    question, graphs, seed = trained["given"]
    how = model if row == "triangles" else "sum"
    read_by = "sum" if row == "triangles" else model.split(", ")[1]
    assert question == ("a triangle" if row == "triangles" else model.split(", ")[0])
    assert (seed, len(graphs)) == (1, 1000)
    assert [(type(layer), layer.aggr) for layer in trained["model"].net.layers] == [
        (GINConv, how)
    ] * 2
    assert trained["model"].aggr == read_by
    assert (trained["steps"], trained["batch_size"]) == (2000 if row == "triangles" else 600, 50)
    assert [given[:2] for given in graded] == [(trained["model"], question)] * 2
    unseen, large = (given[2] for given in graded)
    assert len(unseen) == 252
    assert not {id(graph) for graph in unseen} & {id(graph) for graph in graphs}
    assert len(large) == 200
    assert {graph.num_nodes for graph in large} <= set(range(15, 41))


@every_model(["relay"])
def test_a_run_carries_over_the_lengths_of_its_plan(row, model, trained, monkeypatch):
    asked = []
    monkeypatch.setattr(relay, "relay_accuracy", lambda *given: asked.append(given) or 0.0)
    run(row, model, seed=1)
    name, _, more = model.partition(", ")
    made = {"gated": GatedGraphConv, "GCN": GCNConv, "GIN": GINConv}.get(name, SAGEConv)
    net = trained["model"]
    assert [type(layer) for layer in net.layers] == [made] * (17 if more == "untied" else 1)
    assert type(net.activation).__name__ == {"gated": "Identity", "tanh": "Tanh"}.get(name, "ReLU")
    assert net.residual == (more == "added")
    assert trained["given"] == (1,)
    assert trained["lengths"] == ((16,) if more == "one length" else tuple(range(1, 17)))
    assert (trained["steps"], trained["batch_size"], trained["lr"]) == (1500, 16, 0.01)
    assert asked == [(trained["model"], 1, 4), (trained["model"], 3, 4)]


@every_model(["puzzles"])
def test_a_run_solves_the_puzzles_of_its_plan(row, model, trained, monkeypatch):
    asked = []
    monkeypatch.setattr(puzzles, "puzzle_accuracy", lambda *given: asked.append(given) or 0.0)
    monkeypatch.setattr(puzzles, "sample_puzzles", draw_puzzles)
    run(row, model, seed=1)
    task, kind, *rounds, examples = model.split(", ")
    task, _, size = task.partition(" ")
    sizes = [int(size)] if size else [2, 3, 4, 5]
    given, seed = trained["given"]
    assert seed == 1
    assert given == draw_puzzles(task, int(examples.split()[0]), sizes, "train", 1)
    made = trained["model"]
    if kind == "tokens":
        assert type(made) is TokenReader
        assert (made.embed.embedding_dim, made.gru.hidden_size) == (32, 64)
        assert made.classifier.out_features == given[0].entities
    else:
        assert (type(made), made.width) == (Solver, 32)
        assert isinstance(made.layer, GatedGraphConv) == (kind == "gated")
        assert made.rounds == int(rounds[0].split()[0])
    amount = tuple(trained[name] for name in ("steps", "batch_size", "lr"))
    assert amount == {
        "gated": (300, 50, 5e-3), "SAGE": (300, 50, 3e-3), "tokens": (600, 50, 3e-3),
    }[kind]  # fmt: skip
    test = draw_puzzles(task, 40, sizes, "test", 1)
    by_size = [[puzzle for puzzle in test if puzzle.size == size] for size in sizes]
    groups = [test, *by_size] if task == "path" else [test]
    assert asked == [(made, group) for group in groups]


@every_model(["attention"])
def test_a_run_trains_the_attention_of_its_plan(row, model, trained):
    done = run(row, model, seed=1)
    graph, train, seed = trained["given"]
    assert seed == 1
    plain: Any = scipy_api().graph
    assert torch.equal(train, graph_tasks.split(plain.labels, 20, 1)[0])
    assert (graph.num_edges, graph.num_nodes) == (
        2 * 2309 + plain.num_nodes,
        plain.num_nodes,
    )  # all see themselves
    assert graph.without_self_loops().num_edges == plain.num_edges
    decay = 0 if model == "GAT, no decay" else 5e-4
    assert tuple(trained[name] for name in ("steps", "lr", "weight_decay")) == (200, 0.01, decay)
    net = trained["model"]
    first, last = net.layers
    assert type(first) is type(last) is (GATv2Conv if model == "GATv2" else GATConv)
    assert (first.heads, first.out_features, first.concat) == (4, 8, True)
    assert (last.heads, last.out_features, last.concat) == (1, len(plain.labels.unique()), False)
    assert (first.dropout, last.dropout, net.dropout) == (0.5, 0.5, 0.5)
    for layer in net.layers:  # if all are to weigh alike, all scores are 0 and remain so
        equal = model == "GAT, equal weights"
        assert (not layer.a.any(), not layer.a.requires_grad) == (equal, equal)
    found = attention_entropy(net, plain.features, plain.with_self_loops())
    assert done["normalised_entropy"] == [pytest.approx(of.tolist(), abs=6e-5) for of in found]
    said = net(plain.features, graph).argmax(dim=1) == plain.labels
    shares = [said[nodes].double().mean().item() for nodes in (~train, train)]
    assert done["scores"] == pytest.approx(shares, abs=6e-5)


@every_model(["graph-transformers"])
def test_a_run_trains_the_transformer_of_its_plan(row, model, trained):
    done = run(row, model, seed=1)
    graph, train, seed = trained["given"]
    plain: Any = scipy_api().graph
    assert (seed, graph.num_edges) == (1, plain.num_edges)
    assert torch.equal(train, graph_tasks.split(plain.labels, 20, 1)[0])
    assert tuple(trained[name] for name in ("steps", "lr", "weight_decay")) == (200, 0.01, 5e-4)
    reach, _, more = model.partition(", ")
    net = trained["model"]
    assert net.reach == reach
    assert (len(net.blocks), net.blocks[0].self_attn.heads, net.dropout.p) == (2, 2, 0.5)
    assert net.input_proj.out_features == 32
    assert (None if net.encoding is None else net.encoding.shape[1]) == (
        16 if more == "encodings" else None
    )
    for block in net.blocks:
        assert isinstance(block.self_attn.score, DistanceBias) == (more == "distances")
        if more == "distances":
            assert int(block.self_attn.score.distances.max()) == 9
    assert done["parameters"] == sum(x.numel() for x in net.parameters())
    assert done["parameters"] == results.runs(row, model)[0]["parameters"]
    said = net(plain.features, graph).argmax(dim=1) == plain.labels
    shares = [said[nodes].double().mean().item() for nodes in (~train, train)]
    assert done["scores"] == pytest.approx(shares, abs=6e-5)


@every_model(["witnesses"])
def test_a_run_hears_the_witnesses_of_its_plan(row, model, trained, monkeypatch):
    asked = []
    monkeypatch.setattr(witnesses, "witness_accuracy", lambda *given: asked.append(given) or 0.25)
    done = [run(row, model, seed)["scores"] for seed in (1, 2)]
    assert done == [[0.25], [0.25]]
    kind, guessing = model.rsplit(", ", 1)
    made = {"GAT": [GATConv], "GCN": [GCNConv], "MLP, GCN": [GCNConv]}[kind]
    layers = trained["model"].layers
    assert [type(layer) for layer in layers[-1:]] == made
    assert len(layers) == (2 if kind == "MLP, GCN" else 1)
    assert trained["given"] == (int(guessing), 2)
    assert (trained["steps"], trained["batch_size"], trained["lr"]) == (300, 200, 0.05)
    one: Any = draw_witnesses(30, int(guessing), torch.Generator().manual_seed(10**6))
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
    made = {"GAT": GATConv, "GATv2": GATv2Conv, "dot": DotConv, "mean": SAGEConv}[kind]
    assert type(net.layer) is made
    shared = heads == "W = U"
    if kind in ("GAT", "GATv2"):
        assert net.layer.heads == (1 if shared else int(heads.split()[0]))
    if kind == "GATv2":
        assert (net.layer.U is net.layer.W) == shared
    assert net.embed.weight.shape == (64, 2 * int(keys.split()[0]))
    assert trained["given"] == (int(keys.split()[0]), 1)
    amount = tuple(trained[name] for name in ("steps", "batch_size", "lr", "every", "test_count"))
    assert amount == (1500, 32, 0.01, 50, 6)
    assert (done["scores"], done["validation"]) == ([0.6543], [0.1235, 0.5])


@every_model(PUBLISHED)
def test_a_run_trains_what_was_published(row, model, trained):
    done = run(row, model, seed=1)
    name, *equal, kind = row.split("-")
    assert model == kind.upper()
    data, seed = trained["given"]
    assert (data, seed) == (PAPERS[name], 1)
    first, last = trained["model"].layers
    amount = tuple(trained[name] for name in ("steps", "lr", "weight_decay"))
    if kind == "gcn":
        assert type(first) is type(last) is GCNConv
        assert amount == (200, 0.01, 5e-4)
        assert (first.W.weight.shape, last.W.weight.shape) == ((16, 9), (3, 16))
    else:
        assert type(first) is type(last) is GATConv
        pubmed = name == "pubmed"
        assert amount == ((100_000, 0.01, 1e-3) if pubmed else (100_000, 0.005, 5e-4))
        assert (first.in_features, last.out_features) == (9, 3)
        assert (first.heads, last.heads) == (8, 8 if pubmed else 1)
        for layer in (first, last):  # where all weights are to be equal, all scores stay 0
            assert (not layer.a.any(), not layer.a.requires_grad) == (bool(equal), bool(equal))
    assert done == {
        "model": model, "seed": 1, "scores": [0.1235], "best": 7, "cpu_seconds": 0,
    }  # fmt: skip


def test_a_data_set_is_read_once(monkeypatch):
    asked = []
    monkeypatch.setattr(published, "planetoid", lambda name: asked.append(name) or papers(0))
    REAL.cache_clear()
    try:
        assert REAL("cora") is REAL("cora") is not REAL("pubmed")
    finally:
        REAL.cache_clear()
    assert asked == ["cora", "pubmed"]


@every_row
def test_a_protocol_is_stored_with_every_setting_of_its_models(row):
    stored = ROWS[row].stored()
    assert list(stored) == ["data", "measure", "models"]
    assert list(stored["models"]) == list(ROWS[row].models)
    for model, plan in ROWS[row].models.items():
        assert set(stored["models"][model]) == {field.name for field in fields(plan)}


def test_the_rows_of_chapters_10_and_11():
    names = ["GAT", "GATv2", "GAT, equal weights", "GAT, no decay"]
    assert list(ROWS["attention"].models) == names
    budget = [field.name for field in fields(NodePlan)]  # as chapter 8's models have it
    for model, plan in ROWS["attention"].models.items():
        others = {name for name in budget if getattr(plan, name) != getattr(StackPlan(), name)}
        assert others == ({"weight_decay"} if model == "GAT, no decay" else set())
    for plan in ROWS["graph-transformers"].models.values():
        assert all(getattr(plan, name) == getattr(StackPlan(), name) for name in budget)
    assert set(ROWS["witnesses"].models) == {
        f"{kind}, {guessing}"
        for kind in ("GCN", "GAT", "MLP, GCN")
        for guessing in (0, 3, 6, 9, 11)
    }
    assert set(ROWS["dictionary"].models) == {
        f"{kind}, {keys} keys"
        for keys in (10, 20)
        for kind in (
            *("GAT, 1 head", "GAT, 8 heads", "GATv2, 1 head", "GATv2, W = U"),
            *("dot, 1 head", "mean, 1 head"),
        )
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
        ("graph-transformers", "itself", "itself"),
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
    monkeypatch.setitem(ROWS, "similarities", with_values("similarities", losses_every=1))
    each = run("similarities", "dot", seed=0, steps=5)
    monkeypatch.setitem(ROWS, "similarities", with_values("similarities", losses_every=2))
    pairs = run("similarities", "dot", seed=0, steps=5)
    a, b, c, d, e = each["losses"]
    assert pairs["losses"] == pytest.approx([(a + b) / 2, (c + d) / 2, e], abs=1e-4)
    assert each["loss"] == pairs["loss"] == pytest.approx((a + b + c + d + e) / 5, abs=1e-4)


def test_a_model_departs_from_its_budget_as_its_plan_says():
    plan = replace(BUDGET, hidden=8, embedding=4)
    assert plan.build().encoder.width == 16
    assert plan.build().decoder.score is None
    narrow: Any = replace(plan, direction=4, score="scaled dot", layout="after").build()
    assert narrow.encoder.width == 8
    assert type(narrow.decoder.score).__name__ == "ScaledDot"
    assert narrow.decoder.layout == "after"
    cosine: Any = replace(plan, direction=4, score="cosine")
    assert cosine.build().decoder.score.temperature == 1
    assert replace(cosine, temperature=0.1).build().decoder.score.temperature == 0.1
    assert cosine.build().decoder.score.log_temperature is None
    assert replace(cosine, learned=True).build().decoder.score.log_temperature is not None
    alone: Any = TransformerPlan(dim=6, heads=3, layers=2, hidden=5, norm="post").build()
    (block, _) = alone.encoder.blocks
    assert (block.self_attn.heads, block.feed_forward[0].out_features, block.norm) == (3, 5, "post")
    assert alone.decoder.embed.embedding_dim == 6
    with pytest.raises(ValueError, match="score: "):
        replace(plan, score="dot").build()


def test_few_sentences_come_again_and_again():
    def seen(seed):
        plan = replace(BUDGET, batch_size=4, sentences=6, clauses=(0, 1))
        stream = translation.training_batches(plan, seed)
        return [[pair.english for pair in b.pairs] for b in itertools.islice(stream, 20)]

    one = seen(0)
    assert all(len(set(sentences)) == 4 for sentences in one)
    assert len({sentence for sentences in one for sentence in sentences}) == 6
    assert one == seen(0) != seen(1)


@pytest.mark.parametrize("row", GRAPHS)
def test_the_same_seed_gives_the_same_run_on_graphs(row):
    model = next(iter(ROWS[row].models))
    one, other = {**done_once(row, model, 1, 2)}, run(row, model, seed=1, steps=2)
    for done in (one, other):
        del done["cpu_seconds"]
        done.pop("milliseconds", None)
    assert one == other


def test_rounding_keeps_four_digits_and_everything_else():
    value = [0.123456, [1, 2.00004], -0.1]
    assert protocols._rounded(value, 4) == [0.1235, [1, 2.0], -0.1]
    assert protocols._rounded(value, 2) == [0.12, [1, 2.0], -0.1]
    assert type(protocols._rounded([3], 4)[0]) is int
    assert protocols._rounded(True, 4) is True
    assert value[0] == 0.123456  # what was given is left as it was


def test_the_same_seed_gives_the_same_run():
    one, other = (run("lengths", "general", seed=3, steps=2) for _ in range(2))
    assert (one["scores"], one["loss"]) == (other["scores"], other["loss"])
    assert run("lengths", "general", seed=4, steps=2)["loss"] != one["loss"]


# ---- The command ---------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """The runs that a command asks for, each answered by one that was really made."""
    seen = []

    def answer(row, model, seed, steps):
        seen.append((model, seed, steps))
        return {
            **done_once(row, next(iter(ROWS[row].models)), 1, 2),
            "model": model,
            "seed": seed,
        }

    monkeypatch.setattr(reproduce, "run", answer)
    return seen


def quick(folder, row, *options):
    """Run the command for the first model of a row."""
    model = next(iter(ROWS[row].models))
    return main([row, "--steps", "1", "--models", model, "--out", str(folder), *options])


def refused(status, capsys):
    """The one line that a command prints when it refuses."""
    assert status == 2
    said = capsys.readouterr()
    assert said.out == ""
    start, _, rest = said.err.partition(": error: ")
    assert start == "python -m gatutils.book.reproduce"
    assert rest.count("\n") == 1
    return rest


@every_row
def test_a_stopped_command_goes_on_where_it_was(row, tmp_path, asked, capsys):
    path = tmp_path / f"{row}.json"
    model = next(iter(ROWS[row].models))
    assert quick(tmp_path, row, "--seeds", "1") == 0
    assert capsys.readouterr().out == f"all 1 runs are stored in {path}\n"
    first = results.runs(path, model)
    assert first == [{**done_once(row, model, 1, 2), "seed": 0}]
    assert quick(tmp_path, row, "--seeds", "2") == 0
    assert capsys.readouterr().out == f"all 2 runs are stored in {path}\n"
    assert asked == [(model, 0, 1), (model, 1, 1)]
    assert results.runs(path, model)[0] == first[0]
    assert {p.name for p in tmp_path.iterdir()} - {f".{row}.json.lock"} == {f"{row}.json"}
    assert [len(rows) for rows in results.read(path).values()] == [2]


def test_rows_do_not_mix(tmp_path):
    """Two rows have a model of the same name; each has a file of its own."""
    for row in ("lengths", "similarities"):
        ask = [row, "--steps", "1", "--models", "general", "--seeds", "1", "--out", str(tmp_path)]
        assert main(ask) == 0
    one, other = (results.load(tmp_path / f"{row}.json") for row in ("lengths", "similarities"))
    plans = [found["protocol"]["models"]["general"] for found in (one, other)]
    assert plans[0] != plans[1]
    assert one["runs"][0]["parameters"] > other["runs"][0]["parameters"]


def test_all_models_of_one_seed_come_before_the_next_seed(tmp_path, asked):
    """So a stopped command leaves something to compare."""
    assert main(["triangles", "--seeds", "2", "--out", str(tmp_path)]) == 0
    models = list(ROWS["triangles"].models)
    assert asked == [(model, seed, None) for seed in (0, 1) for model in models]


@every_row
def test_results_of_another_protocol_are_not_mixed_in(row, tmp_path, asked, capsys):
    quick(tmp_path, row, "--seeds", "1")
    path = tmp_path / f"{row}.json"
    before = path.read_bytes()
    capsys.readouterr()
    said = refused(main([row, "--steps", "2", "--out", str(tmp_path)]), capsys)
    assert said.startswith(f"{path}: its runs follow another protocol, which differs in steps")
    assert path.read_bytes() == before
    assert len(asked) == 1


def test_a_model_that_is_named_twice_is_run_once(tmp_path, asked):
    ask = ["triangles", "--seeds", "1", "--models", "max", "sum", "max", "--out", str(tmp_path)]
    assert main(ask) == 0
    assert asked == [("max", 0, None), ("sum", 0, None)]


def change_versions(path, **changed):
    stored = results.load(path)
    stored["versions"].update(changed)
    path.write_text(json.dumps(stored), encoding="utf-8")


@pytest.mark.parametrize("name", ["torch", "python", "machine"])
def test_results_of_other_versions_are_not_mixed_in(name, tmp_path, asked, capsys):
    quick(tmp_path, "triangles", "--seeds", "1")
    path = tmp_path / "triangles.json"
    change_versions(path, **{name: "1.0"})
    before = path.read_bytes()
    capsys.readouterr()
    said = refused(quick(tmp_path, "triangles", "--seeds", "2"), capsys)
    assert said.startswith(f"{path}: its runs were made with {name} 1.0 (here ")
    assert "start a new file with --out FOLDER, or see with --compare" in said
    assert path.read_bytes() == before
    assert len(asked) == 1
    # Where nothing is missing, nothing would be mixed.
    assert quick(tmp_path, "triangles", "--seeds", "1") == 0


def test_another_patch_of_python_or_torch_goes_on(tmp_path, asked):
    quick(tmp_path, "triangles", "--seeds", "1")
    path = tmp_path / "triangles.json"
    old = {
        name: ".".join([*store.versions()[name].split(".")[:2], "99"])
        for name in ("python", "torch")
    }
    change_versions(path, **old)
    assert quick(tmp_path, "triangles", "--seeds", "2") == 0
    first, second = results.runs(path, "sum")
    assert "versions" not in first
    assert second["versions"] == {name: store.versions()[name] for name in old}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param('{"protocol": {}, "runs": [{', id="truncated"),
        pytest.param("[]", id="list"),
        pytest.param('{"cells": []}', id="other keys"),
        pytest.param('{"protocol": {}, "versions": {}}', id="no runs"),
    ],
)
@pytest.mark.parametrize("compare", [[], ["--compare"]], ids=["complete", "compare"])
def test_a_damaged_file_is_named_and_left_alone(content, compare, tmp_path, asked, capsys):
    path = tmp_path / "triangles.json"
    path.write_text(content, encoding="utf-8")
    assert refused(quick(tmp_path, "triangles", *compare), capsys).startswith(f"{path}: ")
    assert path.read_text(encoding="utf-8") == content
    assert asked == []


@pytest.mark.parametrize("option", ["--seeds", "--jobs", "--steps"])
@pytest.mark.parametrize("count", ["0", "-1", "1.5", "many", "²"])
def test_a_count_that_is_none_is_refused(option, count, asked, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["lengths", f"{option}={count}"])
    said = capsys.readouterr().err
    assert f"argument {option}: expected a whole number of at least 1, got '{count}'" in said


def test_bad_input_is_named(asked, capsys):
    with pytest.raises(ValueError, match=r"row: expected one of lengths, longer.*'heights'"):
        run("heights", "general", 0)
    with pytest.raises(ValueError, match=r"model: expected one of one vector.*'two vectors'"):
        run("lengths", "two vectors", 0)
    with pytest.raises(ValueError, match=r"model: expected one of dot.*'one vector'"):
        run("similarities", "one vector", 0)
    with pytest.raises(SystemExit, match="2"):
        main(["similarities", "--models", "dot", "one vector"])
    assert "--models: expected some of dot, scaled dot, " in (said := capsys.readouterr().err)
    assert "got 'one vector'" in said
    with pytest.raises(SystemExit, match="2"):
        main(["heights"])
    assert "invalid choice: 'heights'" in capsys.readouterr().err


def test_help_names_the_default_folder(monkeypatch, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = "".join(capsys.readouterr().out.split())
    assert f"(default{results.FOLDER})".replace(" ", "") in said


def test_a_percent_sign_in_the_default_folder_is_only_a_sign(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reproduce, "FOLDER", tmp_path / "50%d")
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "50%d" in "".join(capsys.readouterr().out.split())


def test_an_installed_package_is_left_as_it_is(tmp_path, asked, monkeypatch, capsys):
    folder = tmp_path / "site-packages" / "gatutils" / "book" / "results"
    monkeypatch.setattr(reproduce, "FOLDER", folder)
    said = refused(main(["triangles"]), capsys)
    assert said.startswith(f"{folder / 'triangles.json'}: lacks 15 of 15 runs, and belongs to an ")
    assert "name a folder with --out" in said
    assert asked == list(tmp_path.iterdir()) == []
    # In a checkout the same folder is the one to write to.
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "pyproject.toml").touch()
    assert main(["triangles"]) == 0
    assert len(results.read(folder / "triangles.json")["sum"]) == 5


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_run(tmp_path, asked, capsys):
    (tmp_path / "file").touch()
    said = refused(quick(tmp_path / "file", "triangles"), capsys)
    assert said.startswith(f"{tmp_path / 'file'}: cannot be written to")
    assert asked == []


def test_a_full_disk_keeps_what_was_stored(tmp_path, asked, monkeypatch, capsys):
    quick(tmp_path, "triangles", "--seeds", "1")
    path = tmp_path / "triangles.json"
    before = path.read_bytes()
    capsys.readouterr()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    said = refused(quick(tmp_path, "triangles", "--seeds", "2"), capsys)
    assert said == f"{path}: cannot be written (No space left on device), and is unchanged\n"
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))


def failing(error, model, seed):
    """A run that fails for one model and seed."""

    def answer(row, its_model, its_seed, steps):
        if (its_model, its_seed) == (model, seed):
            raise error
        return {"model": its_model, "seed": its_seed, "scores": [0.5, 0.5]}

    return answer


@pytest.fixture(params=["one process", "several"])
def jobs(request, monkeypatch):
    """Options for one process, or for several, in whose place are threads."""
    if request.param == "one process":
        return []
    monkeypatch.setattr(reproduce, "ProcessPoolExecutor", lambda n, *_: ThreadPoolExecutor(n))
    return ["--jobs", "2"]


def test_ctrl_c_leaves_a_whole_file(tmp_path, monkeypatch, capsys, jobs):
    monkeypatch.setattr(reproduce, "run", failing(KeyboardInterrupt(), "max", 1))
    assert main(["triangles", "--out", str(tmp_path), *jobs]) == 130
    assert capsys.readouterr().err == "interrupted; what has been stored is kept\n"
    stored = results.read(tmp_path / "triangles.json")
    counts = {model: len(rows) for model, rows in stored.items()}
    if jobs:  # a run may be done beside the one that is interrupted
        assert counts in ({"sum": 2, "mean": 2, "max": 1}, {"sum": 2, "mean": 1, "max": 1})
    else:
        assert counts == {"sum": 2, "mean": 2, "max": 1}
    assert not list(tmp_path.glob("*.tmp"))


def test_an_error_says_in_which_run(tmp_path, monkeypatch, jobs):
    monkeypatch.setattr(reproduce, "run", failing(ZeroDivisionError("by zero"), "mean", 1))
    with pytest.raises(
        RuntimeError, match="triangles, model 'mean', seed 1: ZeroDivisionError: by"
    ):
        main(["triangles", "--out", str(tmp_path), *jobs])
    stored = {
        (run["model"], run["seed"]) for run in results.load(tmp_path / "triangles.json")["runs"]
    }
    assert stored >= {("sum", 0), ("mean", 0), ("max", 0), ("sum", 1)}  # what went before
    assert stored <= {("sum", 0), ("mean", 0), ("max", 0), ("sum", 1), ("max", 1)}  # and beside


def test_data_that_are_missing_are_no_traceback(tmp_path, monkeypatch, capsys, jobs):
    error = FileNotFoundError("GATUTILS_DATA: expected a folder with the files")
    monkeypatch.setattr(reproduce, "run", failing(error, "sum", 0))
    said = refused(main(["triangles", "--out", str(tmp_path), *jobs]), capsys)
    assert said.startswith("triangles, model 'sum', seed 0: GATUTILS_DATA: expected a folder")


def test_no_more_runs_at_once_than_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "ProcessPoolExecutor", lambda n, *_: ThreadPoolExecutor(9))
    at_once, most, met = [], [], Barrier(3)

    def answer(row, model, seed, steps):
        at_once.append(model)
        met.wait(timeout=60)  # three are needed to go on: so three do run side by side
        most.append(len(at_once))
        at_once.pop()
        return {"model": model, "seed": seed, "scores": [0.5, 0.5]}

    monkeypatch.setattr(reproduce, "run", answer)
    assert main(["triangles", "--out", str(tmp_path), "--jobs", "3"]) == 0
    assert max(most) <= 3
    assert len(results.load(tmp_path / "triangles.json")["runs"]) == 15


# ---- The command, compared with what is stored ---------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    """A file with five runs of each model, whose scores spread from 0.5 to 0.6."""
    protocol = as_json(ROWS["triangles"].stored())
    path = tmp_path / "triangles.json"
    for model in ROWS["triangles"].models:
        for seed, score in enumerate([0.5, 0.52, 0.6, 0.57, 0.55]):
            made = {"model": model, "seed": seed, "scores": [score, 0.9]}
            store.add(path, protocol, store.versions(), made)
    return path


def compare(monkeypatch, path, scores, *options):
    """Compare runs, whose scores are given for each model, with a file."""
    seen = []

    def answer(row, model, seed, steps):
        seen.append((model, seed))
        return {"model": model, "seed": seed, "scores": scores.get(model, [0.55, 0.9])}

    monkeypatch.setattr(reproduce, "run", answer)
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    status = main(["triangles", "--compare", "--out", str(path.parent), *options])
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before  # nothing is written
    return status, seen


def test_compare_says_that_all_agree(stored, monkeypatch, capsys):
    status, seen = compare(monkeypatch, stored, {"sum": [0.41, 0.86], "max": [0.69, 0.94]})
    assert (status, seen) == (0, [("sum", 0), ("mean", 0), ("max", 0)])
    head, *said = capsys.readouterr().out.splitlines()
    here = ", ".join(str(store.versions()[name]) for name in ("torch", "python", "machine"))
    assert head == f"torch, python, machine of the stored runs: {here}; here: {here}"
    assert said == [
        "sum: agrees",
        "mean: agrees",
        "max: agrees",
        f"3 of 3 models agree with {stored}",
    ]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        pytest.param([0.39, 0.9], "score 1 of 2 is 0.39, not between 0.4 and 0.7", id="too low"),
        pytest.param([0.71, 0.9], "score 1 of 2 is 0.71, not between 0.4 and 0.7", id="too high"),
        pytest.param([0.5, 0.84], "score 2 of 2 is 0.84, not between 0.85 and 0.95", id="narrow"),
    ],
)
def test_compare_says_what_does_not_agree(scores, said, stored, monkeypatch, capsys):
    status, _ = compare(monkeypatch, stored, {"mean": scores})
    assert status == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "sum: agrees",
        f"mean: does not agree: seed 0, {said}",
        "max: agrees",
        f"2 of 3 models agree with {stored}",
    ]


def test_compare_takes_some_models_and_more_seeds(stored, monkeypatch, capsys):
    status, seen = compare(
        monkeypatch, stored, {"max": [0.3, 0.9]}, "--models", "max", "sum", "--seeds", "2"
    )
    assert (status, seen) == (1, [("max", 0), ("max", 1), ("sum", 0), ("sum", 1)])
    said = capsys.readouterr().out
    assert "max: does not agree: seed 0, score 1 of 2 is 0.3, " in said
    assert "; seed 1, score 1 of 2 is 0.3, " in said
    assert "1 of 2 models agree" in said


def test_compare_does_not_mind_other_versions_but_names_them(stored, monkeypatch, capsys):
    change_versions(stored, torch="1.0.1", python="3.1.4", machine="abacus")
    assert compare(monkeypatch, stored, {})[0] == 0
    assert "of the stored runs: 1.0.1, 3.1.4, abacus; here: " in capsys.readouterr().out


def test_compare_needs_a_file_with_two_runs_of_the_model(tmp_path, asked, capsys):
    path = tmp_path / "triangles.json"
    said = refused(main(["triangles", "--compare", "--out", str(tmp_path)]), capsys)
    assert said == f"{path}: expected stored runs to compare with, got no such file\n"
    quick(tmp_path, "triangles", "--seeds", "1")
    asked.clear()
    capsys.readouterr()
    said = refused(quick(tmp_path, "triangles", "--compare"), capsys)
    assert said == f"{path}: sum: expected two stored runs or more to compare with, got 1\n"
    ask = ["triangles", "--compare", "--models", "mean", "--steps", "1", "--out", str(tmp_path)]
    assert "mean: expected two stored runs or more to compare with, got 0" in refused(
        main(ask), capsys
    )
    assert asked == []


# ---- The command in processes of its own ---------------------------------------------------------

COMMAND = [sys.executable, "-m", "gatutils.book.reproduce"]


@pytest.mark.slow
def test_two_commands_at_once_on_one_file_lose_nothing(tmp_path):
    """One with processes of its own; the other, here, begins when the first has stored a run."""
    ask = ["nodes", "--steps", "1", "--out", str(tmp_path), "--seeds"]
    models, path = ["logistic regression", "MLP"], tmp_path / "nodes.json"
    command = [*COMMAND, *ask, "12", "--jobs", "2", "--models", models[0]]
    one = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not path.exists():
        assert one.poll() is None
        time.sleep(0.01)
    assert main([*ask, "4", "--models", models[1]]) == 0
    assert one.wait(timeout=500) == 0
    made = results.load(path)["runs"]
    assert [(run["model"], run["seed"]) for run in made] == [
        *((models[0], seed) for seed in range(12)),
        *((models[1], seed) for seed in range(4)),
    ]
    again = run("nodes", models[0], 2, 1)  # the same as in this process
    assert results.runs(path, models[0])[2]["scores"] == again["scores"]


INTERRUPTED = """
import signal, sys
from gatutils.book.reproduce import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start it without
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_the_processes_too(tmp_path):
    ask = [sys.executable, "-c", INTERRUPTED, "relay", "--jobs", "2", "--out", str(tmp_path)]
    bars = {**os.environ, "GATUTILS_PROGRESS": "1"}
    command = subprocess.Popen(ask, env=bars, stderr=subprocess.PIPE, start_new_session=True)
    assert not_none(command.stderr).read(1) == b"\r"  # the bar: the processes are being started
    command.send_signal(signal.SIGINT)
    assert b"interrupted; what has been stored is kept" in command.communicate(timeout=300)[1]
    assert command.returncode == 130
    deadline = time.monotonic() + 60
    while is_alive(command.pid):
        assert time.monotonic() < deadline, "a process goes on"
        time.sleep(0.05)


def is_alive(group):
    """Tell whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
