import copy
import importlib
import itertools
import math
import os
from collections import Counter
from fractions import Fraction
from typing import Any

import networkx as nx
import pytest
import torch
from helpers import not_none
from torch import nn
from torch.nn.functional import cross_entropy, elu

from gatutils.attention import MultiHeadAttention
from gatutils.book.experiments import dictionary
from gatutils.book.experiments import witnesses as module
from gatutils.book.experiments.attention import (
    attention_entropy,
    attention_net,
    attention_weights,
    largest_to_mean,
    normalised_entropy,
)
from gatutils.book.experiments.dictionary import DotConv, Lookup, fit_lookup
from gatutils.book.experiments.nodes import (
    Deep,
    accuracy,
    fit_nodes,
    label_propagation,
    layers,
    smooth,
)
from gatutils.book.experiments.published import fit_gat, fit_gcn, gat_net, gcn_net
from gatutils.book.experiments.puzzles import (
    RelationalSAGE,
    Solver,
    TokenReader,
    fit_puzzles,
    puzzle_accuracy,
)
from gatutils.book.experiments.questions import fit_question, grade, question_net
from gatutils.book.experiments.relay import Relay, fit_relay, relay_accuracy
from gatutils.book.experiments.witnesses import (
    counted,
    fit_witnesses,
    witness_accuracy,
    witness_net,
)
from gatutils.book.tasks.dictionaries import dictionaries
from gatutils.book.tasks.graphs import QUESTIONS, atlas, random_graphs
from gatutils.book.tasks.puzzles import Puzzle, collate_puzzles, sample_puzzles
from gatutils.book.tasks.relay import TOKENS, relay
from gatutils.book.tasks.witnesses import ANSWERS, WITNESSES, witnesses
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv
from gatutils.message_passing import (
    GatedGraphConv,
    GCNConv,
    GINConv,
    GraphNet,
    SAGEConv,
)
from gatutils.planetoid import Planetoid, planetoid
from gatutils.sparse import CSRMatrix
from gatutils.training import fit

CARRIERS = {
    "gated": lambda width: Relay("gated", width),
    "SAGE": lambda width: Relay("SAGE", width),
    "GCN": lambda width: Relay("GCN", width),
    "GCN, added": lambda width: Relay("GCN", width, residual=True),
    "tanh": lambda width: Relay("tanh", width),
    "GIN": lambda width: Relay("GIN", width),
    "SAGE, untied": lambda width: Relay("SAGE", width, untied=17),
}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def village(classes=3):
    """A ring of nodes with two chords and a hermit, with features and labels."""
    edges = [(k, (k + 1) % 8) for k in range(8)] + [(0, 4), (2, 7)]
    labels = torch.arange(9) % classes
    return Graph.from_edges(edges, 9, undirected=True, features=normal(9, 5), labels=labels)


VILLAGE = village()
FIRST = torch.arange(9) < 6


@pytest.fixture
def fits(monkeypatch):
    """What each training returned, and what it was told."""
    seen = []

    def spy(*arguments, **options):
        history = fit(*arguments, **options)
        seen.append((history, arguments[3], options))
        return history

    for name in ("nodes", "witnesses", "dictionary", "published", "questions", "relay", "puzzles"):
        home = importlib.import_module(f"gatutils.book.experiments.{name}")
        monkeypatch.setattr(home, "fit", spy)
    return seen


def fell(history):
    """Whether the loss of the last steps is less than half that of the first."""
    few = max(1, len(history.loss) // 8)
    return sum(history.loss[-few:]) < sum(history.loss[:few]) / 2


def same_weights(make, train):
    """Train twice from the same weights with seed 3, then with seed 4: are they the same?"""
    trained = []
    for seed in (3, 3, 4):
        torch.manual_seed(0)
        model = make()
        train(model, seed)
        trained.append(torch.cat([weights.detach().flatten() for weights in model.parameters()]))
    return [torch.equal(trained[0], other) for other in trained[1:]]


# --- layers, and nodes of one graph ---------------------------------------------------------------


@pytest.mark.parametrize(("kind", "made"), [("GCN", GCNConv), ("SAGE", SAGEConv), ("GIN", GINConv)])
def test_layers_lead_from_each_width_to_the_next(kind, made):
    made_of = layers(kind, [5, 4, 4, 2])
    assert [type(layer) for layer in made_of] == [made] * 3
    states = normal(9, 5)
    for layer, width in zip(made_of, [4, 4, 2], strict=True):
        states = layer(states, VILLAGE)
        assert states.shape == (9, width)
    assert layers(kind, [5]) == []


def test_layers_aggregate_as_they_are_told():
    assert [layers(kind, [1, 1])[0].aggr for kind in ("SAGE", "GIN")] == ["mean", "sum"]
    assert [layers(kind, [1, 1], "max")[0].aggr for kind in ("SAGE", "GIN")] == ["max", "max"]


def test_deep_calls_one_layer_so_often():
    torch.manual_seed(0)
    net = Deep(5, 4, 3, rounds=3).eval()
    states = net.input_proj(VILLAGE.features).relu()
    for _ in range(3):
        states = net.layer(states, VILLAGE)
    said = net(VILLAGE.features, VILLAGE)
    assert said.shape == (9, 3)
    torch.testing.assert_close(said, net.classifier(states))
    shallow = Deep(5, 4, 3, rounds=0)
    assert sum(p.numel() for p in shallow.parameters()) == sum(p.numel() for p in net.parameters())
    torch.testing.assert_close(
        shallow(VILLAGE.features, VILLAGE),
        shallow.classifier(shallow.input_proj(VILLAGE.features).relu()),
    )


def test_deep_goes_dark_before_its_linear_layers_while_training():
    torch.manual_seed(0)
    net = Deep(5, 4, 3, rounds=0, dropout=0.5)
    nn.init.zeros_(net.input_proj.weight)
    nn.init.ones_(net.input_proj.bias)  # so that no state is 0 but for the darkness
    seen = {}
    for name in ("input_proj", "classifier"):
        net.get_submodule(name).register_forward_pre_hook(
            lambda _, given, name=name: seen.update({name: given[0]})
        )
    net(torch.ones(9, 5), VILLAGE)
    for given in seen.values():
        assert set(given.unique().tolist()) == {0, 2}
    net.eval()(torch.ones(9, 5), VILLAGE)
    for given in seen.values():
        assert (given == 1).all()


def test_fit_nodes_learns_the_labels_shown_and_no_others(fits):
    torch.manual_seed(0)
    net = GraphNet(layers("SAGE", [5, 16, 3]))
    fit_nodes(net, VILLAGE, FIRST, steps=100)
    ((history, steps, options),) = fits
    assert fell(history)
    assert (steps, options["lr"], options["weight_decay"]) == (100, 0.01, 5e-4)
    assert accuracy(net, VILLAGE, FIRST) > 0.8
    other = VILLAGE.with_features(VILLAGE.features, torch.where(FIRST, VILLAGE.labels, 0))
    torch.manual_seed(0)
    again = GraphNet(layers("SAGE", [5, 16, 3]))
    fit_nodes(again, other, FIRST, steps=100)
    for one, two in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)


def test_fit_nodes_is_drawn_by_its_seed():
    same = same_weights(
        lambda: GraphNet(layers("SAGE", [5, 4, 3]), dropout=0.5),
        lambda net, seed: fit_nodes(net, VILLAGE, FIRST, seed, steps=3),
    )
    assert same == [True, False]


class Says(nn.Module):
    """Whatever it is given, it says the same."""

    def __init__(self, said):
        super().__init__()
        self.said = said

    def forward(self, *given):
        return self.said


def test_accuracy_counts_the_nodes_asked_for():
    said = nn.functional.one_hot(VILLAGE.labels, 3).float()
    said[[0, 1, 8]] = said[[0, 1, 8]].roll(1, dims=1)
    net = Says(said).train()
    assert accuracy(net, VILLAGE, FIRST) == pytest.approx(4 / 6)
    assert accuracy(net, VILLAGE, ~FIRST) == pytest.approx(2 / 3)
    assert not net.training


def neighbours(graph, node):
    return graph.source[graph.target == node].tolist()


@pytest.mark.parametrize("rounds", [0, 1, 4])
def test_label_propagation_against_a_plain_loop(rounds):
    shown = [0, 1, 5]
    train = torch.zeros(9, dtype=torch.bool)
    train[shown] = True
    rows = [[float(k in shown and VILLAGE.labels[k] == c) for c in range(3)] for k in range(9)]
    for _ in range(rounds):
        new = []
        for k in range(9):
            near = neighbours(VILLAGE, k)
            mean = [sum(rows[j][c] for j in near) / max(1, len(near)) for c in range(3)]
            new.append(rows[k] if k in shown else mean)
        rows = new
    torch.testing.assert_close(label_propagation(VILLAGE, train, rounds), torch.tensor(rows))


def test_label_propagation_does_not_use_the_labels_of_the_others():
    hidden = VILLAGE.with_features(VILLAGE.features, VILLAGE.labels.masked_fill(~FIRST, -1))
    found = label_propagation(hidden, FIRST)
    classes = found.shape[1]
    assert classes == VILLAGE.labels[FIRST].max() + 1
    assert torch.equal(found, label_propagation(VILLAGE, FIRST)[:, :classes])


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_smooth_against_a_plain_loop(rounds):
    degree = [1 + len(neighbours(VILLAGE, k)) for k in range(9)]
    rows = VILLAGE.features.tolist()
    for _ in range(rounds):
        rows = [
            [sum(rows[j][c] / math.sqrt(degree[j] * degree[k]) for j in near) for c in range(5)]
            for k, near in ((k, [k, *neighbours(VILLAGE, k)]) for k in range(9))
        ]
    torch.testing.assert_close(smooth(VILLAGE, rounds), torch.tensor(rows))


# --- many small graphs ----------------------------------------------------------------------------

SMALL = random_graphs(30, 0, 3, 7)


@pytest.mark.parametrize(("aggr", "read"), [*itertools.product(["sum", "mean", "max"], repeat=2)])
def test_a_question_net_aggregates_and_reads_out(aggr, read):
    model: Any = question_net(aggr, read, width=6, depth=3)
    assert [(type(layer), layer.aggr) for layer in model.net.layers] == [(GINConv, aggr)] * 3
    assert model.aggr == read
    batch = Graph.from_graphs(SMALL)
    assert model.net(batch.features, batch).shape == (batch.num_nodes, 6)
    assert model(batch.features, batch).shape == (30, 1)


@pytest.mark.parametrize("question", ["number of leaves", "a triangle"])
def test_fit_question_learns(question, fits):
    torch.manual_seed(0)
    model = question_net("sum", "sum", 16)
    before = grade(model, question, SMALL)
    fit_question(model, question, SMALL, steps=150, batch_size=10)
    ((history, steps, options),) = fits
    assert fell(history)
    assert (steps, options["lr"]) == (150, 5e-3)
    after = grade(model, question, SMALL)
    assert after < before / 2 if question == "number of leaves" else after > max(before, 0.9)


def test_fit_question_is_drawn_by_its_seed():
    same = same_weights(
        lambda: question_net("sum", "mean", 4),
        lambda model, seed: fit_question(model, "a triangle", SMALL, seed, steps=4, batch_size=7),
    )
    assert same == [True, False]


def test_every_graph_comes_once_an_epoch():
    seen = []

    class Watch(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(1))

        def forward(self, features, graph):
            seen.append(tuple(graph.sizes.tolist()))
            return self.bias.expand(graph.num_graphs, 1)

    fit_question(Watch(), "a triangle", SMALL, steps=8, batch_size=8)
    sizes = [graph.num_nodes for graph in SMALL]
    parts = [tuple(sizes[k : k + 8]) for k in (0, 8, 16, 24)]
    assert sorted(seen[:4]) == sorted(seen[4:]) == sorted(parts)


def test_grade_is_a_share_or_an_error():
    graphs = atlas()[1:60]
    for question, ask in QUESTIONS.items():
        answers = torch.tensor([ask(graph) for graph in graphs]).unsqueeze(1)
        yes_or_no = question.startswith("a ")
        right = Says(answers - 0.5 if yes_or_no else answers).train()
        assert grade(right, question, graphs) == (1 if yes_or_no else 0)
        assert not right.training
        wrong = Says(
            0.5 - answers if yes_or_no else answers + 3 * (-1) ** torch.arange(59)[:, None]
        )
        assert grade(wrong, question, graphs) == pytest.approx(0 if yes_or_no else 3)
    half = torch.tensor([1.0, -1.0] * 2).unsqueeze(1)
    line = Graph.from_edges([(0, 1)], 2, undirected=True, features=torch.ones(2, 1))
    assert grade(Says(half), "a triangle", [line] * 4) == 0.5


# --- a token carried along a path -----------------------------------------------------------------


@pytest.mark.parametrize("kind", CARRIERS)
def test_relay_calls_its_layer_as_often_as_asked(kind):
    torch.manual_seed(0)
    model = CARRIERS[kind](6)
    batch = relay(3, 2, torch.Generator().manual_seed(0))
    states = model.input_proj(batch.features)
    for k in range(4):
        layer = model.layers[k if kind == "SAGE, untied" else 0]
        new = layer(states, batch)
        relu = new.relu()
        states = {"gated": new, "tanh": new.tanh(), "GCN, added": states + relu}.get(kind, relu)
    said = model(batch.features, batch, 4)
    assert said.shape == (8, TOKENS)
    torch.testing.assert_close(said, model.classifier(states))


def test_the_kinds_of_relay_are_those_layers():
    made = {
        "gated": GatedGraphConv, "SAGE": SAGEConv, "GCN": GCNConv, "GCN, added": GCNConv,
        "tanh": SAGEConv, "GIN": GINConv, "SAGE, untied": SAGEConv,
    }  # fmt: skip
    for kind in CARRIERS:
        model = CARRIERS[kind](4)
        assert {type(layer) for layer in model.layers} == {made[kind]}
        assert len(model.layers) == (17 if kind == "SAGE, untied" else 1)
    assert Relay("tanh").layers[0].aggr == "sum"
    assert Relay("SAGE").layers[0].aggr == "mean"
    assert Relay("gated").input_proj.out_features == 32


def test_untied_layers_stop_after_the_last():
    torch.manual_seed(0)
    batch = relay(2, 1, torch.Generator())
    untied, tied = Relay("SAGE", 4, untied=17), Relay("SAGE", 4)
    seventeen, more = (untied(batch.features, batch, rounds) for rounds in (17, 40))
    assert torch.equal(seventeen, more)
    assert not torch.equal(untied(batch.features, batch, 16), seventeen)
    assert not torch.equal(tied(batch.features, batch, 2), tied(batch.features, batch, 3))


@pytest.mark.parametrize("kind", CARRIERS)
def test_a_relay_carries_no_further_than_its_rounds(kind):
    torch.manual_seed(0)
    model = CARRIERS[kind](6).double()
    batch = relay(6, 1, torch.Generator().manual_seed(0))
    features = not_none(batch.features).double().requires_grad_()
    for rounds in (0, 2, 5):
        (gradient,) = torch.autograd.grad(
            model(features, batch, rounds)[0].square().sum(), features
        )
        reached = gradient.abs().sum(dim=1) > 0
        assert not reached[rounds + 1 :].any()
        assert kind not in ("gated", "tanh") or reached[: rounds + 1].all()


def test_carry_learns_on_short_paths(fits):
    torch.manual_seed(0)
    model = Relay("gated", 16)
    fit_relay(model, lengths=[1], steps=150, lr=0.02)
    ((history, steps, options),) = fits
    assert fell(history)
    assert (steps, options["lr"]) == (150, 0.02)
    assert relay_accuracy(model, 1) > 0.6


def test_carry_draws_paths_of_the_lengths_by_its_seed():
    seen = []

    class Watch(Relay):
        def forward(self, features, graph, rounds):
            seen.append((graph.num_graphs, graph.sizes[0].item() - 1, rounds))
            return super().forward(features, graph, rounds)

    same = same_weights(
        lambda: Watch("GCN", 4),
        lambda model, seed: fit_relay(model, seed, lengths=[2, 3, 5], steps=12, batch_size=4),
    )
    assert same == [True, False]
    assert {graphs for graphs, _, _ in seen} == {4}
    assert all(rounds == length + 1 for _, length, rounds in seen)
    assert {length for _, length, _ in seen} == {2, 3, 5}
    assert seen[:12] == seen[12:24] != seen[24:]
    tokens = same_weights(
        lambda: Relay("GCN", 4), lambda model, seed: fit_relay(model, seed, lengths=[2], steps=2)
    )
    assert tokens == [True, False]


class Herald(nn.Module):
    """Right by construction: in each round a node says what is nearer to the flag."""

    def __init__(self, lost=0):
        super().__init__()
        self.lost = lost

    def forward(self, features, graph, rounds):
        heard = features[:, :-1] * features[:, -1:]
        for _ in range(rounds - 1 - self.lost):
            from_others = torch.zeros_like(heard).index_add(0, graph.target, heard[graph.source])
            heard = torch.maximum(heard, from_others.clamp(max=1))
        return heard


@pytest.mark.parametrize("length", [1, 7])
def test_far_end_asks_the_last_node_for_the_first_one_s_token(length):
    herald = Herald().train()
    assert relay_accuracy(herald, length, 50) == 1
    assert not herald.training
    # A round too few: the last node alone has heard nothing, and always says token 0.
    late = relay_accuracy(Herald(lost=1), length, 400)
    graph = relay(length, 400, torch.Generator().manual_seed(10**6))
    first = not_none(graph.labels).view(400, -1)[:, 0]
    assert late == pytest.approx((first == 0).float().mean().item())
    assert 0 < late < 0.3
    assert relay_accuracy(Herald(lost=1), length, 400, seed=1) != late


# --- puzzles --------------------------------------------------------------------------------------

DEDUCTIONS = collate_puzzles(sample_puzzles("deduction", 6, 2))
PATHS = collate_puzzles(sample_puzzles("path", 6, [3, 4, 5]))


def test_relational_sage_against_a_plain_loop():
    torch.manual_seed(0)
    layer = RelationalSAGE(3, 2)
    graphs = [VILLAGE, Graph.from_edges([(0, 8), (1, 8), (8, 0)], 9)]
    states = normal(9, 3)
    with torch.no_grad():
        wanted = []
        for k in range(9):
            row = layer.W(states[k])
            for U, graph in zip(layer.U, graphs, strict=True):
                near = neighbours(graph, k)
                if near:
                    row = row + U(states[near].mean(dim=0))
            wanted.append(row.clamp(min=0))
        torch.testing.assert_close(layer(states, graphs), torch.stack(wanted))


def test_relational_sage_of_one_kind_is_sage():
    torch.manual_seed(0)
    several, one = RelationalSAGE(3, 1), SAGEConv(3, 3)
    with torch.no_grad():
        one.W.weight.copy_(several.W.weight)
        one.U.weight.copy_(several.U[0].state_dict()["weight"])
        one.U.bias.copy_(several.W.bias)
    states = normal(9, 3)
    torch.testing.assert_close(several(states, [VILLAGE]), one(states, VILLAGE).relu())


def solver(batch, rounds, layer="gated", width=8):
    torch.manual_seed(0)
    return Solver(len(batch.graphs), batch.marks.shape[1], rounds, layer, width).double()


def in_double(batch):
    batch.marks = batch.marks.double()
    return batch


both_layers = pytest.mark.parametrize("layer", ["gated", "SAGE"])


@both_layers
@pytest.mark.parametrize("batch", [DEDUCTIONS, PATHS], ids=["deduction", "path"])
def test_a_solver_scores_every_entity(batch, layer):
    model = Solver(len(batch.graphs), batch.marks.shape[1], 3, layer, width=8)
    assert type(model.layer) is {"gated": GatedGraphConv, "SAGE": RelationalSAGE}[layer]
    states = torch.cat([batch.marks, torch.zeros(len(batch.marks), 8 - batch.marks.shape[1])], 1)
    for _ in range(3):
        states = model.layer(states, batch.graphs)
    wanted = model.classifier(torch.cat([states, batch.marks], dim=1)).view(
        6, batch.puzzles[0].entities
    )
    torch.testing.assert_close(model(batch), wanted)
    assert Solver(1, 2, 1).width == 32


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
@both_layers
def test_nothing_reaches_further_than_its_rounds(rounds, layer):
    (puzzle,) = sample_puzzles("path", 1, 5)
    batch = in_double(collate_puzzles([puzzle]))
    model = solver(batch, rounds, layer)
    marks = batch.marks.requires_grad_()
    world = nx.Graph([(a, b) for a, _, b in puzzle.facts])
    away = dict(nx.all_pairs_shortest_path_length(world))
    score = model(batch)[0]
    for node in range(20):
        (gradient,) = torch.autograd.grad(score[node], marks, retain_graph=True)
        reached = {k for k in range(20) if gradient[k].abs().sum() > 0}
        near = {k for k in range(20) if away[node].get(k, 99) <= rounds}
        assert reached == near if layer == "gated" else reached <= near


@both_layers
@pytest.mark.parametrize("size", [1, 3])
def test_the_ends_look_alike_until_word_has_come(size, layer):
    """So many rounds as a chain has facts, and whoever is not its end is one of three."""
    (puzzle,) = sample_puzzles("deduction", 1, size)
    batch = in_double(collate_puzzles([puzzle]))
    known = {(who, relation): whom for who, relation, whom in puzzle.facts}
    own = puzzle.asked[0]
    for _ in range(size):
        own = known[own, "is"]
    others = [a for a, relation in known if relation == "fears" and a != own]
    early, late = (solver(batch, size + k, layer)(batch)[0, others] for k in (0, 1))
    torch.testing.assert_close(early, early[:1].expand(3))
    assert late.std() > 1e-6


@both_layers
@pytest.mark.parametrize("task", ["deduction", "path"])
def test_other_numbers_change_no_answer(task, layer):
    puzzles = sample_puzzles(task, 4, 3)
    batch = in_double(collate_puzzles(puzzles))
    model = solver(batch, 4, layer)
    order = torch.randperm(batch.puzzles[0].entities, generator=torch.Generator().manual_seed(0))
    name = order.tolist()
    renamed = [
        Puzzle(
            p.task,
            p.size,
            p.entities,
            tuple((name[a], relation, name[b]) for a, relation, b in reversed(p.facts)),
            tuple(name[a] for a in p.asked),
            name[p.answer],
        )
        for p in puzzles
    ]
    torch.testing.assert_close(model(in_double(collate_puzzles(renamed)))[:, order], model(batch))


def test_puzzles_of_a_batch_do_not_mix():
    for batch in (DEDUCTIONS, PATHS):
        model = Solver(len(batch.graphs), batch.marks.shape[1], 3)
        alone = torch.cat([model(collate_puzzles([puzzle])) for puzzle in batch.puzzles])
        torch.testing.assert_close(model(batch), alone)


@pytest.mark.parametrize("task", ["deduction", "path"])
def test_a_token_reader_reads_to_the_end_and_scores_every_entity(task):
    batch = {"deduction": DEDUCTIONS, "path": PATHS}[task]
    entities = batch.puzzles[0].entities
    model = TokenReader(task, entities, embedding=3, width=4)
    assert model.embed.num_embeddings == entities + {"deduction": 2, "path": 1}[task]
    assert model(batch).shape == (6, entities)
    _, last = model.gru(model.embed(batch.tokens))
    torch.testing.assert_close(model(batch), model.classifier(last[0]))
    assert (model.gru.hidden_size, TokenReader(task, 3).gru.hidden_size) == (4, 64)
    assert TokenReader(task, 3).embed.embedding_dim == 32


def test_a_gated_solver_learns_deduction_from_a_few(fits):
    torch.manual_seed(0)
    model = Solver(4, 1, 2)
    fit_puzzles(model, sample_puzzles("deduction", 20, 1), steps=60, lr=0.01)
    ((history, steps, options),) = fits
    assert fell(history)
    assert (steps, options["lr"]) == (60, 0.01)
    assert puzzle_accuracy(model, sample_puzzles("deduction", 100, 1, "test")) > 0.9


def test_a_token_reader_learns_puzzles_by_heart():
    torch.manual_seed(0)
    model = TokenReader("deduction", 8)
    puzzles = sample_puzzles("deduction", 10, 1)
    fit_puzzles(model, puzzles, steps=80, lr=0.01)
    assert puzzle_accuracy(model, puzzles) > 0.8


def test_fit_puzzles_is_drawn_by_its_seed():
    puzzles = sample_puzzles("path", 9, 2)
    same = same_weights(
        lambda: Solver(1, 2, 1, width=4),
        lambda model, seed: fit_puzzles(model, puzzles, seed, steps=5, batch_size=2),
    )
    assert same == [True, False]


def test_every_puzzle_comes_once_an_epoch():
    seen = []

    class Watch(Solver):
        def forward(self, batch):
            seen.append(tuple(batch.puzzles))
            return super().forward(batch)

    puzzles = sample_puzzles("path", 7, 2)
    fit_puzzles(Watch(1, 2, 0, width=2), puzzles, steps=6, batch_size=3)
    parts = [tuple(puzzles[k : k + 3]) for k in (0, 3, 6)]
    assert set(seen[:3]) == set(seen[3:]) == set(parts)


def test_solved_is_the_share_of_right_answers():
    said = nn.functional.one_hot(PATHS.answer, 20).float()
    assert puzzle_accuracy(Says(said), PATHS.puzzles) == 1
    said[[0, 4]] = said[[0, 4]].roll(1, dims=1)
    model = Says(said).train()
    assert puzzle_accuracy(model, PATHS.puzzles) == pytest.approx(4 / 6)
    assert not model.training


# --- witnesses ------------------------------------------------------------------------------------


def drawn_by(seed):
    return torch.Generator().manual_seed(seed)


def gathered(graph, marks):
    """For each node that asks, its label and how often each answer was named, counted by hand."""
    for node, label in enumerate(graph.labels.tolist()):
        if label >= 0:
            told = graph.features[neighbours(graph, node)].tolist()
            heard = [row for row in told if not (marks and row[ANSWERS])]
            yield label, Counter(row[:ANSWERS].index(1) for row in heard)


def share_right(best):
    """How often the right one is picked, if any of the best is picked with the same chance."""
    shares = [Fraction(label in chosen, len(chosen)) for label, chosen in best]
    return float(sum(shares) / len(shares))


both_ways = pytest.mark.parametrize("marks", [True, False])


@both_ways
@pytest.mark.parametrize("guessing", [0, 5, 10, 12])
def test_counted_against_a_count_by_hand(guessing, marks):
    graph = witnesses(60, guessing, drawn_by(guessing))
    best = [
        (label, [answer for answer in range(ANSWERS) if votes[answer] == max(votes.values())])
        if votes
        else (label, range(ANSWERS))
        for label, votes in gathered(graph, marks)
    ]
    assert len(best) == 60
    assert any(len(chosen) > 1 for _, chosen in best)  # there are ties
    assert counted(graph, marks) == pytest.approx(share_right(best), abs=1e-12)
    if guessing == 12 and marks:
        assert counted(graph, marks) == 1 / 4


@both_ways
@pytest.mark.parametrize("guessing", [0, 3, 9, 11])
def test_no_rule_does_better_than_to_count(guessing, marks):
    """Bayes: how likely is what the witnesses named, under each answer? In fractions, so exact.

    With marks it is the product over those who saw it. Without, any of the twelve may be those,
    all choices alike: the sum over aggr many of those who named an answer saw it.
    """
    graph = witnesses(150, guessing, drawn_by(20 + guessing))
    saw = WITNESSES - guessing
    right, wrong = Fraction(6, 10), Fraction(4, 30)

    def likelihood(named):
        if marks:
            return right**named * wrong ** (saw - named)
        return sum(
            math.comb(named, k)
            * math.comb(WITNESSES - named, saw - k)
            * right**k
            * wrong ** (saw - k)
            for k in range(saw + 1)
        )

    best = []
    for label, votes in gathered(graph, marks):
        likely = [likelihood(votes[answer]) for answer in range(ANSWERS)]
        best.append((label, [a for a in range(ANSWERS) if likely[a] == max(likely)]))
    assert counted(graph, marks) == pytest.approx(share_right(best), abs=1e-12)


def test_marks_help_where_there_is_something_to_leave_out():
    many = witnesses(2000, 9, drawn_by(0))
    assert counted(many, marks=True) > counted(many, marks=False) + 0.1
    none = witnesses(2000, 0, drawn_by(0))
    assert counted(none, marks=True) == counted(none, marks=False) > 0.9


def test_answered_is_the_share_of_those_who_ask():
    graph = witnesses(10, 3, drawn_by(0))
    said = nn.functional.one_hot(not_none(graph.labels).clamp(min=0), ANSWERS).float()
    said[10:] = 0
    said[[2, 5, 7]] = said[[2, 5, 7]].roll(1, dims=1)
    net = Says(said).train()
    assert witness_accuracy(net, graph) == pytest.approx(7 / 10)
    assert not net.training


def test_a_witness_net_is_of_its_kind():
    torch.manual_seed(0)
    graph = witnesses(6, 3, drawn_by(0))
    for layer, mlp, made in (
        ("GAT", False, [GATConv]),
        ("GCN", False, [GCNConv]),
        ("GCN", True, [module._NodeLinear, GCNConv]),
    ):
        net: Any = witness_net(layer, mlp)
        assert [type(layer) for layer in net.layers] == made
        assert net(graph.features, graph).shape == (graph.num_nodes, ANSWERS)
        assert (net.dropout, net.activation) == (0, torch.relu)
    alone, gcn = net.layers
    assert gcn.W.in_features == alone.out_features == 16
    told = not_none(graph.features)
    states = (told @ alone.weight.T + alone.bias).relu()  # nobody is heard before
    torch.testing.assert_close(net(graph.features, graph), gcn(states, graph))


def test_hear_learns_from_fresh_draws(fits, monkeypatch):
    seen: list[Any] = []

    def spy(*given):
        seen.append(witnesses(*given))
        return seen[-1]

    monkeypatch.setattr(module, "witnesses", spy)
    torch.manual_seed(0)
    net = witness_net("GAT")
    test = witnesses(1000, 9, drawn_by(10**6))
    before = witness_accuracy(net, test)
    fit_witnesses(net, 9, steps=60, batch_size=50)
    ((history, steps, options),) = fits
    assert (steps, options["lr"], options["seed"]) == (60, 0.05, 0)
    assert len(seen) == 60
    assert all(graph.features[:, ANSWERS].sum() == 9 * 50 for graph in seen)
    assert all((graph.labels >= 0).sum() == 50 for graph in seen)
    assert len({tuple(graph.labels[:50].tolist()) for graph in seen}) == 60
    assert history.loss[-1] < history.loss[0]
    # More than who cannot tell the witnesses apart, and no more than the best rule but for luck.
    assert (
        counted(test, marks=False) < witness_accuracy(net, test) < counted(test, marks=True) + 0.02
    )
    assert before < 0.5
    with torch.no_grad():
        right = net(seen[0].features, seen[0])[:50].log_softmax(dim=1)
    own = right[torch.arange(50), seen[0].labels[:50]]
    assert module.answer_loss(net, seen[0]).item() == pytest.approx(-own.mean().item(), rel=1e-5)


def test_hear_is_drawn_by_its_seed():
    same = same_weights(
        lambda: witness_net("GCN"),
        lambda net, seed: fit_witnesses(net, 3, seed, steps=3, batch_size=5),
    )
    assert same == [True, False]


# --- graph attention ------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "made"), [("GAT", GATConv), ("GATv2", GATv2Conv)])
def test_an_attention_net_has_heads_then_one_that_answers(kind, made):
    torch.manual_seed(0)
    net: Any = attention_net(kind, 5, 12, 3, heads=4, dropout=0.3)
    assert (net.dropout, net.activation) == (0.3, torch.relu)  # of the inputs
    first, last = net.layers
    assert type(first) is type(last) is made
    assert (first.heads, first.out_features, first.concat, first.dropout) == (4, 3, True, 0.3)
    assert (last.heads, last.out_features, last.concat, last.dropout) == (1, 3, False, 0.3)
    assert attention_net(kind, 5, 12, 3, heads=4).layers[0].dropout == 0
    net.eval()
    said = net(VILLAGE.features, VILLAGE)
    assert said.shape == (9, 3)
    torch.testing.assert_close(said, last(first(VILLAGE.features, VILLAGE).relu(), VILLAGE))


def test_dot_attention_is_a_head_of_chapter_4_whose_mask_is_the_graph():
    torch.manual_seed(0)
    layer, head = DotConv(5), MultiHeadAttention(5, 1)
    for name in "QKV":
        head.get_submodule(name).load_state_dict(layer.get_submodule(name).state_dict())
    nn.init.eye_(head.O.weight)
    one_way = Graph.from_edges([(1, 0), (2, 0), (0, 2), (3, 2), (3, 3)], 9)
    for graph in (VILLAGE, VILLAGE.with_self_loops(), one_way):
        states = 3 * normal(9, 5)
        wanted, dense = head(states, states, graph.mask())
        context, weights = layer(states, graph, return_attention_weights=True)
        torch.testing.assert_close(context, wanted)
        assert weights.shape == (graph.num_edges, 1)
        torch.testing.assert_close(weights[:, 0], dense[0, graph.target, graph.source])
        torch.testing.assert_close(layer(states, graph), wanted)
    assert sum(weights.numel() for weights in layer.parameters()) == 75  # no bias


def even(weights, graph):
    """The normalised entropy of one head, from its definition: neighbour by neighbour."""
    entropy = most = 0.0
    for node in range(graph.num_nodes):
        own = [w for w, i in zip(weights.tolist(), graph.target.tolist(), strict=True) if i == node]
        entropy -= sum(w * math.log(w) for w in own if w > 0)
        most += math.log(len(own)) if own else 0
    return entropy / most


def shared(scores, graph):
    """Weights that sum to 1 at each node."""
    weights = scores.exp()
    total = torch.zeros(graph.num_nodes, *scores.shape[1:]).index_add(0, graph.target, weights)
    return weights / total[graph.target]


LEAF = Graph.from_edges([(0, 1), (2, 1), (3, 1), (1, 0), (0, 2), (3, 2)], 5)


def test_entropy_is_one_for_the_mean_and_zero_for_a_choice():
    for graph in (VILLAGE, LEAF):
        equal = (1 / graph.degree[graph.target]).unsqueeze(1)
        first = torch.zeros(graph.num_edges)
        first[graph.indptr[:-1][graph.degree > 0]] = 1
        drawn = shared(2 * normal(graph.num_edges, 2), graph)
        found = normalised_entropy(torch.cat([equal, first.unsqueeze(1), drawn], dim=1), graph)
        assert found.shape == (4,)
        assert found[:2].tolist() == pytest.approx([1, 0], abs=1e-6)
        assert found[2:].tolist() == pytest.approx([even(of, graph) for of in drawn.T], abs=1e-5)
        assert 0 < found[2] != found[3] < 1


def test_who_has_no_choice_does_not_count():
    drawn = shared(normal(LEAF.num_edges, 3), LEAF)
    assert (LEAF.degree == 1).sum() == 1
    more = [*zip(LEAF.source.tolist(), LEAF.target.tolist(), strict=True), (4, 5), (5, 6), (2, 7)]
    wider = Graph.from_edges(more, 9)
    torch.testing.assert_close(
        normalised_entropy(torch.cat([drawn, torch.ones(3, 3)]), wider),
        normalised_entropy(drawn, LEAF),
    )


def test_entropy_in_double_keeps_its_digits():
    drawn = shared(normal(LEAF.num_edges, 1), LEAF).double()
    found = normalised_entropy(drawn, LEAF)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(even(drawn[:, 0], LEAF), abs=1e-12)


def test_largest_to_mean_against_a_loop():
    lone = VILLAGE.degree == 0
    assert lone.sum() == 1
    for graph in (VILLAGE, LEAF):
        drawn = shared(2 * normal(graph.num_edges, 2), graph)
        found = largest_to_mean(drawn, graph)
        assert found.shape == (graph.num_nodes, 2)
        for i in range(graph.num_nodes):
            own = drawn[graph.target == i]
            if len(own):
                torch.testing.assert_close(found[i], own.amax(dim=0) / own.mean(dim=0))
            else:
                assert found[i].isnan().all()
        equal = (1 / graph.degree[graph.target]).unsqueeze(1)
        even_ones = largest_to_mean(equal, graph)[graph.degree > 0]
        torch.testing.assert_close(even_ones, torch.ones_like(even_ones))
    weights = torch.tensor([[0.158], [0.524], [0.318]])  # node 1 of chapter 10
    five = Graph.from_edges([(0, 0), (1, 0), (2, 0)], 3)
    assert largest_to_mean(weights, five)[0].item() == pytest.approx(1.572)


def test_largest_to_mean_refuses_other_weights(unchecked):
    with pytest.raises(ValueError, match="weights: expected 20, one per edge, got 3"):
        largest_to_mean(torch.ones(3, 1), VILLAGE)
    with pytest.raises(TypeError, match="weights: expected a float tensor"):
        largest_to_mean(torch.ones(VILLAGE.num_edges, 1).long(), VILLAGE)


def test_the_weights_of_a_layer_with_added_self_loops_come_with_its_graph():
    torch.manual_seed(0)
    net = GraphNet([GATConv(5, 4, 3, add_self_loops=True), GATv2Conv(12, 3)])
    (first, looped), (last, plain) = attention_weights(net, VILLAGE.features, VILLAGE)
    assert (first.shape, last.shape) == ((VILLAGE.num_edges + 9, 3), (VILLAGE.num_edges, 1))
    assert plain is VILLAGE
    total = torch.zeros(9, 3).index_add(0, looped.target, first)
    torch.testing.assert_close(total, torch.ones(9, 3))
    assert not first.requires_grad


@pytest.mark.parametrize("activation", [elu, torch.tanh])
@pytest.mark.parametrize("made", [GATConv, GATv2Conv])
def test_entropy_of_a_network_is_that_of_each_layer_by_hand(made, activation):
    torch.manual_seed(0)
    parts = [made(5, 4, 3, dropout=0.6), made(12, 4, 2, dropout=0.6), made(8, 3, concat=False)]
    net = GraphNet(parts, activation=activation).train()
    graph, wanted, states = VILLAGE.with_self_loops(), [], 4 * VILLAGE.features
    found = attention_entropy(net, states, graph)
    assert not net.training
    for k, layer in enumerate(parts):
        given = activation(states) if k else states
        states, dense = layer.dense(given, graph.mask())
        wanted.append([even(of[graph.target, graph.source], graph) for of in dense])
    assert [len(of) for of in found] == [3, 2, 1]
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.tolist() == pytest.approx(theirs, abs=1e-5)
        assert not ours.requires_grad
    sparse = attention_entropy(net, CSRMatrix.from_dense(4 * VILLAGE.features), graph)
    for ours, again in zip(found, sparse, strict=True):
        torch.testing.assert_close(ours, again)


@pytest.mark.parametrize("edges", [[], [(0, 1)], [(0, 1), (1, 2), (2, 0)]], ids=str)
def test_entropy_is_one_where_no_node_has_two_neighbours(edges):
    """Each weight is then the mean of its node's weights."""
    graph = Graph.from_edges(edges, 3)
    assert normalised_entropy(torch.ones(len(edges), 2), graph).tolist() == [1, 1]


def test_entropy_of_a_network_sees_what_each_layer_is_given():
    """The states that were added before it; by hooks that are gone afterwards."""
    torch.manual_seed(0)
    parts = [GATv2Conv(5, 5), GATv2Conv(5, 5), GATv2Conv(5, 5)]
    net = GraphNet([*parts, parts[0]], residual=True, activation=torch.tanh)
    states, graph = 4 * VILLAGE.features, VILLAGE.with_self_loops()
    found = attention_entropy(net, states, graph)
    for k, layer in enumerate(net.layers):
        given = torch.tanh(states) if k else states
        new, weights = layer(given, graph, return_attention_weights=True)
        torch.testing.assert_close(found[k], normalised_entropy(weights, graph))
        states = new + given
    assert len(found) == 4
    assert not any(layer._forward_pre_hooks for layer in parts)


def test_entropy_of_other_layers_is_refused(unchecked):
    with pytest.raises(TypeError, match="net: expected layers of graph attention, got GCN"):
        attention_entropy(GraphNet([GCNConv(5, 3)]), VILLAGE.features, VILLAGE)


# --- dictionaries ---------------------------------------------------------------------------------


KINDS: dict[str, Any] = {"GAT": GATConv, "GATv2": GATv2Conv, "dot": DotConv, "mean": SAGEConv}


@pytest.mark.parametrize("kind", KINDS)
def test_a_lookup_embeds_looks_once_and_names_a_value(kind):
    torch.manual_seed(0)
    net: Any = Lookup(4, kind, heads=2, width=6)
    assert type(net.layer) is KINDS[kind]
    if kind in ("GAT", "GATv2"):
        assert (net.layer.heads, net.layer.out_features, net.layer.concat) == (2, 3, True)
        assert net.layer.dropout == 0
    graph = dictionaries(4, 3, drawn_by(0))
    states = not_none(graph.features) @ net.embed.weight.T
    said = net(graph.features, graph)
    assert said.shape == (24, 4)
    torch.testing.assert_close(said, net.classifier(net.layer(states, graph)))
    wide = Lookup(20, kind).embed.weight
    assert wide.shape == (64, 40)
    assert wide.std().item() == pytest.approx(1, abs=0.1)


def by_hand(net, keys):
    """Embed each one-hot as it is, answer with what stands behind the key; both are 2k wide."""
    with torch.no_grad():
        net.embed.weight.copy_(torch.eye(2 * keys))
        net.classifier.weight.copy_(torch.eye(2 * keys)[keys:])
        net.classifier.bias.zero_()
    return net


@pytest.mark.parametrize("keys", [2, 7])
def test_gatv2_can_look_up_anything(keys):
    """LeakyReLU(asked + asking - 1) is 1 once where both name one key, else 0 twice."""
    net = by_hand(Lookup(keys, "GATv2", width=2 * keys), keys)
    with torch.no_grad():
        net.layer.W[0] = net.layer.U[0] = torch.eye(2 * keys)
        net.layer.b_W[:keys] = -1
        net.layer.a[0] = torch.tensor([50.0] * keys + [0.0] * keys)
    graph = dictionaries(keys, 40, drawn_by(0))
    assert witness_accuracy(net, graph) == 1
    _, weights = net.layer(graph.features, graph, return_attention_weights=True)
    right = (graph.source - graph.target) % (2 * keys) == keys
    torch.testing.assert_close(weights[:, 0], right.float())


@pytest.mark.parametrize("keys", [2, 7])
def test_dot_attention_can_look_up_anything(keys):
    net = by_hand(Lookup(keys, "dot", width=2 * keys), keys)
    names = torch.diag(torch.tensor([1.0] * keys + [0.0] * keys))
    with torch.no_grad():
        net.layer.Q.weight.copy_(100 * names)
        net.layer.K.weight.copy_(names)
        net.layer.V.weight.copy_(torch.eye(2 * keys))
    assert witness_accuracy(net, dictionaries(keys, 40, drawn_by(0))) == 1


def test_the_mean_says_the_same_of_every_dictionary():
    """Each holds all keys and all values."""
    torch.manual_seed(0)
    net = Lookup(5, "mean")
    graph = dictionaries(5, 30, drawn_by(0))
    said = net(graph.features, graph).view(30, 10, 5)[:, :5]
    torch.testing.assert_close(said, said[:1].expand(30, -1, -1))
    assert witness_accuracy(net, graph) < 0.5


def test_all_queries_of_one_head_of_gat_rank_the_keys_alike():
    torch.manual_seed(0)
    graph = dictionaries(6, 20, drawn_by(0))
    heaviest = {}
    for kind in ("GAT", "GATv2"):
        net = Lookup(6, kind)
        states = net.embed(graph.features)
        _, weights = net.layer(states, graph, return_attention_weights=True)
        heaviest[kind] = weights.view(20, 6, 6).argmax(dim=2)  # dictionaries, queries, keys
    assert (heaviest["GAT"] == heaviest["GAT"][:, :1]).all()
    assert not (heaviest["GATv2"] == heaviest["GATv2"][:, :1]).all()


def permutations_of(graph, keys):
    return set(map(tuple, graph.labels.view(-1, 2 * keys)[:, :keys].tolist()))


@pytest.fixture
def drawn(monkeypatch):
    """All dictionaries that a training draws: the test, those that watch, each batch."""
    seen = []

    def spy(*given):
        seen.append(dictionaries(*given))
        return seen[-1]

    monkeypatch.setattr(dictionary, "dictionaries", spy)
    return seen


def test_look_up_never_trains_on_what_it_is_tested_on(drawn, fits):
    torch.manual_seed(0)
    net = Lookup(4, "GAT", width=4)
    grown, share = fit_lookup(net, 4, steps=30, batch_size=16, every=10, test_count=6, lr=0.02)
    ((history, steps, options),) = fits
    assert (steps, options["lr"], options["every"], options["seed"]) == (30, 0.02, 10, 0)
    tested, watched, *trained = drawn
    assert (tested.num_graphs, watched.num_graphs) == (6, 6)
    assert len(trained) == 30
    assert {batch.num_graphs for batch in trained} == {16}
    held = permutations_of(tested, 4) | permutations_of(watched, 4)
    assert not permutations_of(tested, 4) & permutations_of(watched, 4)
    others = set().union(*(permutations_of(batch, 4) for batch in trained))
    assert held | others == set(itertools.permutations(range(4)))  # else there is nothing to avoid
    assert not held & others
    assert grown == [score for _, score in history.scores]
    assert len(grown) == 3
    assert grown[-1] == witness_accuracy(net, watched)  # the weights are the last ones
    assert share == witness_accuracy(net, tested)


def test_look_up_has_its_defaults(drawn, fits):
    grown, _ = fit_lookup(Lookup(6, "mean", width=2), 6, steps=2, every=1)
    assert [batch.num_graphs for batch in drawn] == [512, 512, 32, 32]
    assert fits[0][2]["lr"] == 0.01
    assert len(grown) == 2


def test_look_up_is_drawn_by_its_seed():
    def train(net, seed):
        fit_lookup(net, 6, seed, steps=2, batch_size=2, every=1, test_count=3)

    assert same_weights(lambda: Lookup(6, "GATv2", width=4), train) == [True, False]


def test_gatv2_learns_to_look_up_and_one_head_of_gat_does_not():
    shares = {}
    for kind in ("GAT", "GATv2"):
        torch.manual_seed(0)
        net = Lookup(5, kind, width=32)
        _, shares[kind] = fit_lookup(net, 5, steps=150, every=150, test_count=12, lr=0.02)
    assert shares["GATv2"] > 0.95
    assert shares["GAT"] < 0.6  # a fifth by chance


# --- the published protocols ----------------------------------------------------------------------


def papers(classes=3, words=24):
    """A data set of sixty papers; two of them cite themselves."""
    labels = torch.arange(60) % classes
    topic = torch.arange(words) % classes == labels.unsqueeze(1)
    drawn = torch.rand(60, words, generator=drawn_by(0))
    features = (drawn < 0.1 + 0.3 * topic) * (1.0 + torch.arange(words) % 4)
    features[7] = 0  # a paper without a word
    pairs = itertools.combinations(range(60), 2)
    chance = torch.rand(60 * 59 // 2, generator=drawn_by(1)).tolist()
    near = [
        (i, j)
        for (i, j), c in zip(pairs, chance, strict=True)
        if c < (0.12 if labels[i] == labels[j] else 0.02)
    ]
    edges = [*near, (3, 3), (20, 20)]
    graph = Graph.from_edges(edges, 60, undirected=True, features=features, labels=labels)
    node = torch.arange(60)
    return Planetoid(graph, node < 12, (node >= 12) & (node < 32), node >= 32, classes)


PAPERS = papers()
NETS = {"GAT": gat_net, "GCN": gcn_net}
FITS = {"GAT": fit_gat, "GCN": fit_gcn}


def seen_by(net):
    """What a network is given from now on: features, graph, and whether it trains."""
    given = []
    net.register_forward_pre_hook(lambda net, inputs: given.append((*inputs, net.training)))
    return given


@pytest.mark.parametrize(
    ("words", "classes", "heads_out"), [(1433, 7, 1), (3703, 6, 1), (500, 3, 8)]
)
def test_the_published_networks_are_as_large_as_theirs(words, classes, heads_out):
    """Counted by hand: of a head W and both halves of a; a bias for each number of a new state."""
    first = 8 * (8 * words + 2 * 8) + 64
    last = heads_out * (classes * 64 + 2 * classes) + classes
    gat = gat_net(words, classes, heads_out)
    assert sum(w.numel() for w in gat.parameters()) == first + last
    gcn = gcn_net(words, classes)
    trained = [w for w in gcn.parameters() if w.requires_grad]
    assert sum(w.numel() for w in trained) == 16 * words + 16 * classes
    if words == 1433:
        assert (first + last, 16 * words + 16 * classes) == (92_373, 23_040)


def test_the_published_gat_is_that_of_the_paper():
    torch.manual_seed(0)
    net = gat_net(24, 3, heads_out=2).eval()
    first, last = net.layers
    assert type(first) is type(last) is GATConv
    assert (first.heads, first.out_features, first.concat) == (8, 8, True)
    assert (last.heads, last.out_features, last.concat) == (2, 3, False)
    assert (first.dropout, last.dropout, net.dropout) == (0.6, 0.6, 0.6)  # weights, inputs
    assert first.negative_slope == last.negative_slope == 0.2
    assert gat_net(24, 3).layers[1].heads == 1
    graph = PAPERS.graph.with_self_loops()
    hidden, _ = first.dense(graph.features, graph.mask())
    hidden = torch.where(hidden > 0, hidden, hidden.exp() - 1)  # ELU
    torch.testing.assert_close(net(graph.features, graph), last.dense(hidden, graph.mask())[0])


def test_the_published_gcn_is_that_of_the_paper():
    torch.manual_seed(0)
    net = gcn_net(1433, 7)
    first, last = net.layers
    assert type(first) is type(last) is GCNConv
    assert (net.dropout, net.activation, net.residual) == (0.5, torch.relu, False)
    for layer in (first, last):
        weight = layer.W.weight
        bound = math.sqrt(6 / sum(weight.shape))
        assert 0.9 * bound < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.2)
        assert (layer.b == 0).all()
        assert not layer.b.requires_grad


@pytest.mark.parametrize("kind", ["GAT", "GCN"])
def test_the_published_networks_go_dark_in_training(kind):
    """Before both layers; what is left is made that much larger."""
    torch.manual_seed(0)
    net = NETS[kind](24, 3)
    share = {"GAT": 0.6, "GCN": 0.5}[kind]
    graph = PAPERS.graph.with_self_loops()
    with pytest.MonkeyPatch.context() as patch:
        sent = []
        for layer in net.layers:
            name = "project" if kind == "GAT" else "message"
            told = getattr(layer, name)
            patch.setattr(layer, name, lambda s, told=told: sent.append(s) or told(s))
        ones = torch.ones(60, 24)
        net(ones, graph)
        dark = (sent[0] == 0).float().mean().item()
        assert dark == pytest.approx(share, abs=0.06)
        assert set(sent[0].unique().tolist()) == {0, torch.tensor(1 / (1 - share)).item()}
        assert (sent[1] == 0).float().mean() > share - 0.1
        net.eval()(ones, graph)
        assert (sent[2] == 1).all()


@pytest.mark.parametrize("kind", ["GAT", "GCN"])
def test_the_published_training_sees_rows_that_sum_to_one_and_each_loop_once(kind, fits):
    torch.manual_seed(0)
    net = NETS[kind](24, 3)
    given = seen_by(net)
    done = FITS[kind](net, PAPERS, 3, steps=4, lr=0.02, weight_decay=0.01)
    ((_, steps, options),) = fits
    assert steps == 4
    told = [options[name] for name in ("lr", "warmup", "clip", "cosine", "seed")]
    assert told == [0.02, 0, math.inf, False, 3]
    assert options["weight_decay"] == (0 if kind == "GCN" else 0.01)
    keys = {"scores", "steps", "best"} | ({"normalised_entropy"} if kind == "GAT" else set())
    assert set(done) == keys
    assert done["steps"] == 4
    # Each step is one look to train and one to validate; the last are for scores and entropies.
    last = [False] * (2 if kind == "GAT" else 1)
    assert [training for _, _, training in given] == [True, False] * 4 + last
    total = PAPERS.graph.features.sum(dim=1, keepdim=True)
    rows = PAPERS.graph.features / total.where(total > 0, 1)
    looped = PAPERS.graph.mask() | torch.eye(60, dtype=torch.bool)
    for features, graph, training in given:
        if isinstance(graph, Graph):
            torch.testing.assert_close(features.to_dense(), rows)
            assert torch.equal(graph.mask(), looped)
            continue
        # Two layers need no more than what is two hops from the nodes whose labels are shown.
        torch.testing.assert_close(features.to_dense(), rows[graph[0].sources])
        nodes = (PAPERS.train if training else PAPERS.valid).nonzero().squeeze(1)
        for block in reversed(graph):
            assert torch.equal(block.sources[: len(nodes)], nodes)
            reached = torch.zeros(len(nodes), 60, dtype=torch.bool)
            reached[block.graph.target, block.sources[block.graph.source]] = True
            assert torch.equal(reached, looped[nodes])
            nodes = block.sources
    assert sum(not isinstance(graph, Graph) for _, graph, _ in given) == (8 if kind == "GAT" else 0)


@pytest.mark.parametrize("kind", ["GAT", "GCN"])
def test_the_published_scores_are_shares_of_test_and_validation(kind):
    torch.manual_seed(0)
    net = NETS[kind](24, 3)
    given = seen_by(net)
    done = FITS[kind](net, PAPERS, steps=40, lr=0.05, weight_decay=5e-4)
    features, graph, _ = given[-1]
    right = net(features, graph).argmax(dim=1) == PAPERS.graph.labels
    assert not net.training
    wanted = [right[32:].double().mean().item(), right[12:32].double().mean().item()]
    assert done["scores"] == pytest.approx(wanted)
    assert wanted[0] != wanted[1]
    assert done["scores"][0] > 0.5  # by chance it is a third
    if kind == "GAT":
        assert [len(of) for of in done["normalised_entropy"]] == [8, 1]
        found = attention_entropy(net, features.to_dense(), graph)
        for ours, theirs in zip(done["normalised_entropy"], found, strict=True):
            assert ours == pytest.approx(theirs.tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", ["GAT", "GCN"])
def test_the_published_training_learns_from_the_labels_shown_alone(kind):
    labels = PAPERS.graph.labels.clone()
    labels[32:] = 0
    graph = PAPERS.graph.with_features(PAPERS.graph.features, labels)
    other = Planetoid(graph, PAPERS.train, PAPERS.valid, PAPERS.test, 3)
    trained = []
    for data in (PAPERS, other):
        torch.manual_seed(0)
        net = NETS[kind](24, 3)
        FITS[kind](net, data, steps=5, lr=0.02, weight_decay=5e-4)
        trained.append(net.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


@pytest.mark.parametrize("kind", ["GAT", "GCN"])
def test_the_published_training_is_drawn_by_its_seed(kind):
    same = same_weights(
        lambda: NETS[kind](24, 3),
        lambda net, seed: FITS[kind](net, PAPERS, seed, steps=3, lr=0.02, weight_decay=5e-4),
    )
    assert same == [True, False]


def in_the_light(kind):
    """A network without dropout and its data, in double: only rounding can tell two loops apart."""
    torch.manual_seed(1)
    net: Any = NETS[kind](24, 3).double()
    net.dropout = 0.0
    if kind == "GAT":
        for layer in net.layers:
            layer.dropout = 0.0
    graph = PAPERS.graph.with_features(PAPERS.graph.features.double())
    return net, Planetoid(graph, PAPERS.train, PAPERS.valid, PAPERS.test, 3)


def dense_features(data):
    total = data.graph.features.sum(dim=1, keepdim=True)
    return data.graph.features / total.where(total > 0, 1)


@pytest.mark.parametrize(
    ("lr", "decay", "least"), [(0.01, 0.05, 60), (0.1, 0.05, 20), (0.1, 0.005, 12)]
)
def test_gcn_against_the_loop_of_its_authors(lr, decay, least):
    """Dense matrices, the penalty of the first one in both losses, and their window of ten."""
    net, data = in_the_light("GCN")
    labels = data.graph.labels
    first, last = (layer.W.weight.detach().T.clone().requires_grad_() for layer in net.layers)
    looped = (data.graph.adjacency() + torch.eye(60)).clamp(max=1).double()
    root = looped.sum(dim=1).rsqrt().diag()
    mixed, words = root @ looped @ root, dense_features(data)
    adam = torch.optim.Adam([first, last], lr=lr)

    def forward(nodes):
        said = (mixed @ (mixed @ words @ first).relu() @ last)[nodes]
        return cross_entropy(said, labels[nodes]) + decay * (first**2).sum() / 2, said

    costs = []
    for epoch in range(60):
        adam.zero_grad()
        forward(data.train)[0].backward()
        adam.step()
        costs.append(forward(data.valid)[0].item())
        if epoch > 10 and costs[-1] > sum(costs[-11:-1]) / 10:
            break
    done = fit_gcn(net, data, steps=60, lr=lr, weight_decay=decay)
    assert done["steps"] == done["best"] == len(costs) >= least
    assert (len(costs) < 60) == (least < 60)  # all but the first stop early
    assert (len(costs) == 12) == (least == 12)  # and the last one as soon as may be
    for ours, theirs in zip(net.layers, (first, last), strict=True):
        torch.testing.assert_close(ours.W.weight.T, theirs)
        assert (ours.b == 0).all()
    right = forward(data.valid)[1].argmax(dim=1) == labels[data.valid]
    assert done["scores"][1] == right.double().mean().item()


@pytest.mark.slow
def test_gat_against_the_loop_of_its_authors():
    """Dense attention, weight decay on everything, and the weights of their checkpoint."""
    net, data = in_the_light("GAT")
    theirs = copy.deepcopy(net)
    mask, labels = data.graph.mask() | torch.eye(60, dtype=torch.bool), data.graph.labels
    adam = torch.optim.Adam(theirs.parameters(), lr=0.01, weight_decay=0.1)

    def forward(nodes):
        first, last = theirs.layers
        said = last.dense(elu(first.dense(dense_features(data), mask)[0]), mask)[0][nodes]
        return cross_entropy(said, labels[nodes]), said.argmax(dim=1) == labels[nodes]

    lowest, highest, waited, epochs = math.inf, 0.0, 0, 0
    while waited < 100:
        adam.zero_grad()
        forward(data.train)[0].backward()
        adam.step()
        with torch.no_grad():
            loss, right = forward(data.valid)
        loss, accuracy = loss.item(), right.double().mean().item()
        epochs += 1
        waited += 1
        if accuracy >= highest or loss <= lowest:
            if accuracy >= highest and loss <= lowest:
                best, kept, reached = epochs, copy.deepcopy(theirs.state_dict()), accuracy
            highest, lowest, waited = max(accuracy, highest), min(loss, lowest), 0
    done = fit_gat(net, data, steps=1000, lr=0.01, weight_decay=0.1)
    assert (done["steps"], done["best"]) == (epochs, best)
    assert 1 < best < epochs - 100 < epochs < 1000
    assert done["scores"][1] == reached
    torch.testing.assert_close(net.state_dict(), kept)


@pytest.fixture(scope="module")
def cora():
    """Cora as it was published; where GATUTILS_DATA is set it must be there."""
    try:
        return planetoid("Cora", download=False)
    except FileNotFoundError as error:
        if os.environ.get("GATUTILS_DATA"):
            raise
        pytest.skip(str(error))


def test_gcn_learns_cora(cora):
    torch.manual_seed(0)
    net = gcn_net(1433, 7)
    done = fit_gcn(net, cora, steps=60, lr=0.01, weight_decay=5e-4)
    assert done["steps"] == done["best"] == 60
    assert min(done["scores"]) > 0.7


# --- bad input ------------------------------------------------------------------------------------

BARE = Graph(9, VILLAGE.source, VILLAGE.target)
LACKING = Graph(
    9,
    VILLAGE.source,
    VILLAGE.target,
    None,
    VILLAGE.labels.clone().index_fill(0, torch.tensor([2]), -1),
)
UNNAMED = Graph(9, VILLAGE.source, VILLAGE.target, VILLAGE.features)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: layers("GAT", [1, 1]), "layer: .*GCN, SAGE, GIN.*'GAT'"),
        (lambda: Deep(1, 1, 1, rounds=-1), "rounds: .*-1"),
        (lambda: fit_nodes(GCNConv(5, 3), BARE, FIRST), "graph: .*with features"),
        (lambda: fit_nodes(GCNConv(5, 3), UNNAMED, FIRST), "graph: .*with labels"),
        (lambda: accuracy(GCNConv(5, 3), BARE, FIRST), "graph: .*with features"),
        (lambda: layers("GCN", [1, 1], "mean"), "aggr: expected None for GCN, got 'mean'"),
        (lambda: label_propagation(BARE, FIRST), "graph: .*with labels"),
        (
            lambda: label_propagation(LACKING, FIRST),
            r"train: .*label of 0 or more, got nodes \[2\]",
        ),
        (lambda: label_propagation(VILLAGE, FIRST[1:]), "train: expected 9, one per node, got 8"),
        (lambda: label_propagation(VILLAGE, FIRST, -1), "rounds: .*at least 0, got -1"),
        (
            lambda: normalised_entropy(torch.ones(3, 1), VILLAGE),
            "weights: expected .*one per edge, got 3",
        ),
        (lambda: smooth(BARE, 1), "graph: .*with features"),
        (lambda: fit_question(question_net("sum", "sum"), "why", SMALL), "question: .*'why'"),
        (lambda: grade(question_net("sum", "sum"), "why", SMALL), "question: .*'why'"),
        (lambda: Relay("GAT"), "layer: .*gated.*tanh.*'GAT'"),  # type: ignore[arg-type]
        (lambda: Relay("SAGE", untied=0), "untied: .*at least 1, got 0"),
        (lambda: relay_accuracy(Herald(), 0), "length: .*0"),
        (lambda: Solver(1, 1, -1), "rounds: .*-1"),
        (lambda: Solver(1, 1, 1, "GCN"), "layer: .*'gated' or 'SAGE'.*'GCN'"),
        (lambda: Solver(1, 3, 1, width=2), "width: .*3 or more.*2"),
        (lambda: TokenReader("chess", 3), "task: .*deduction, path.*'chess'"),
        (lambda: puzzle_accuracy(Solver(1, 2, 1), []), "puzzles: .*none"),
        (lambda: fit_puzzles(Solver(1, 2, 1), []), "puzzles: .*none"),
        (lambda: fit_question(question_net("sum", "sum"), "a triangle", []), "graphs: .*none"),
        (lambda: attention_net("GCN", 5, 4, 3, 2), "layer: .*GAT, GATv2.*'GCN'"),
        (lambda: attention_net("GAT", 5, 4, 3, 0), "heads: .*at least 1, got 0"),
        (lambda: attention_net("GAT", 5, 4, 3, 3), r"heads: .*divisor of width \(4\), got 3"),
        (lambda: witness_net("SAGE"), "layer: .*GAT, GCN.*'SAGE'"),
        (lambda: fit_witnesses(witness_net("GAT"), 13), "guessing: .*at most 12, got 13"),
        (lambda: counted(BARE, True), "graph: .*with features"),
        (lambda: witness_accuracy(GCNConv(5, 3), UNNAMED), "graph: .*with labels"),
        (lambda: Lookup(4, "GCN"), "layer: .*GAT, GATv2, GATv2-shared, dot, mean.*'GCN'"),
        (lambda: Lookup(4, "GAT", heads=0), "heads: .*at least 1, got 0"),
        (lambda: Lookup(4, "GAT", heads=3), r"heads: .*divisor of width \(64\), got 3"),
        (lambda: fit_lookup(Lookup(2, "mean"), 2), "avoid: .*fewer than all 2 permutations, got 2"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
