import itertools
import math

import networkx as nx
import pytest
import torch
from torch import nn

import gatutils.experiments as module
from gatutils.datasets import (
    QUESTIONS,
    TOKENS,
    Puzzle,
    atlas,
    collate_puzzles,
    random_graphs,
    relay,
    sample_puzzles,
)
from gatutils.experiments import (
    Deep,
    RelationalSAGE,
    Relay,
    Solver,
    TokenReader,
    accuracy,
    carry,
    far_end,
    fit_nodes,
    fit_puzzles,
    fit_question,
    grade,
    label_propagation,
    layers,
    question_net,
    smooth,
    solved,
)
from gatutils.gnn import GCN, GIN, SAGE, Gated, GraphNet
from gatutils.graph import Graph
from gatutils.training import fit

CARRIERS = ["gated", "SAGE", "GCN", "GCN, added", "tanh", "GIN", "SAGE, untied"]


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

    monkeypatch.setattr(module, "fit", spy)
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


@pytest.mark.parametrize(("kind", "made"), [("GCN", GCN), ("SAGE", SAGE), ("GIN", GIN)])
def test_layers_lead_from_each_width_to_the_next(kind, made):
    made_of = layers(kind, [5, 4, 4, 2])
    assert [type(layer) for layer in made_of] == [made] * 3
    states = normal(9, 5)
    for layer, width in zip(made_of, [4, 4, 2], strict=True):
        states = layer(states, VILLAGE)
        assert states.shape == (9, width)
    assert layers(kind, [5]) == []


def test_layers_aggregate_as_they_are_told():
    assert [layers(kind, [1, 1])[0].how for kind in ("SAGE", "GIN")] == ["mean", "sum"]
    assert [layers(kind, [1, 1], "max")[0].how for kind in ("SAGE", "GIN")] == ["max", "max"]


def test_deep_calls_one_layer_so_often():
    torch.manual_seed(0)
    net = Deep(5, 4, 3, rounds=3).eval()
    states = net.read(VILLAGE.features).relu()
    for _ in range(3):
        states = net.layer(states, VILLAGE)
    said = net(VILLAGE.features, VILLAGE)
    assert said.shape == (9, 3)
    torch.testing.assert_close(said, net.say(states))
    shallow = Deep(5, 4, 3, rounds=0)
    assert sum(p.numel() for p in shallow.parameters()) == sum(p.numel() for p in net.parameters())
    torch.testing.assert_close(
        shallow(VILLAGE.features, VILLAGE),
        shallow.say(shallow.read(VILLAGE.features).relu()),
    )


def test_deep_goes_dark_before_its_linear_layers_while_training():
    torch.manual_seed(0)
    net = Deep(5, 4, 3, rounds=0, dropout=0.5)
    nn.init.zeros_(net.read.weight)
    nn.init.ones_(net.read.bias)  # so that no state is 0 but for the darkness
    seen = {}
    for name in ("read", "say"):
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


@pytest.mark.parametrize(("how", "read"), [*itertools.product(["sum", "mean", "max"], repeat=2)])
def test_a_question_net_aggregates_and_reads_out(how, read):
    model = question_net(how, read, width=6, depth=3)
    assert [(type(layer), layer.how) for layer in model.net.layers] == [(GIN, how)] * 3
    assert model.how == read
    batch = Graph.batch(SMALL)
    assert model.net(batch.features, batch).shape == (batch.nodes, 6)
    assert model(batch.features, batch).shape == (30, 1)


@pytest.mark.parametrize("question", ["number of leaves", "a triangle"])
def test_fit_question_learns(question, fits):
    torch.manual_seed(0)
    model = question_net("sum", "sum", 16)
    before = grade(model, question, SMALL)
    fit_question(model, question, SMALL, steps=150, size=10)
    ((history, steps, options),) = fits
    assert fell(history)
    assert (steps, options["lr"]) == (150, 5e-3)
    after = grade(model, question, SMALL)
    assert after < before / 2 if question == "number of leaves" else after > max(before, 0.9)


def test_fit_question_is_drawn_by_its_seed():
    same = same_weights(
        lambda: question_net("sum", "mean", 4),
        lambda model, seed: fit_question(model, "a triangle", SMALL, seed, steps=4, size=7),
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
            return self.bias.expand(graph.graphs, 1)

    fit_question(Watch(), "a triangle", SMALL, steps=8, size=8)
    sizes = [graph.nodes for graph in SMALL]
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
    model = Relay(kind, width=6)
    batch = relay(3, 2, torch.Generator().manual_seed(0))
    states = model.read(batch.features)
    for k in range(4):
        layer = model.layers[k if kind == "SAGE, untied" else 0]
        new = layer(states, batch)
        states = {
            "gated": lambda new=new: new,
            "tanh": lambda new=new: new.tanh(),
            "GCN, added": lambda new=new, old=states: old + new.relu(),
        }.get(kind, lambda new=new: new.relu())()
    said = model(batch.features, batch, 4)
    assert said.shape == (8, TOKENS)
    torch.testing.assert_close(said, model.say(states))


def test_the_kinds_of_relay_are_those_layers():
    made = {
        "gated": Gated, "SAGE": SAGE, "GCN": GCN, "GCN, added": GCN, "tanh": SAGE, "GIN": GIN,
        "SAGE, untied": SAGE,
    }  # fmt: skip
    for kind in CARRIERS:
        model = Relay(kind, 4)
        assert {type(layer) for layer in model.layers} == {made[kind]}
        assert len(model.layers) == (17 if kind == "SAGE, untied" else 1)
    assert Relay("tanh").layers[0].how == "sum"
    assert Relay("SAGE").layers[0].how == Relay("SAGE, untied").layers[0].how == "mean"
    assert Relay("gated").read.out_features == 32


def test_untied_layers_stop_after_the_last():
    torch.manual_seed(0)
    batch = relay(2, 1, torch.Generator())
    untied, tied = Relay("SAGE, untied", 4), Relay("SAGE", 4)
    seventeen, more = (untied(batch.features, batch, rounds) for rounds in (17, 40))
    assert torch.equal(seventeen, more)
    assert not torch.equal(untied(batch.features, batch, 16), seventeen)
    assert not torch.equal(tied(batch.features, batch, 2), tied(batch.features, batch, 3))


@pytest.mark.parametrize("kind", CARRIERS)
def test_a_relay_carries_no_further_than_its_rounds(kind):
    torch.manual_seed(0)
    model = Relay(kind, 6).double()
    batch = relay(6, 1, torch.Generator().manual_seed(0))
    features = batch.features.double().requires_grad_()
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
    carry(model, lengths=[1], steps=150, lr=0.02)
    ((history, steps, options),) = fits
    assert fell(history)
    assert (steps, options["lr"]) == (150, 0.02)
    assert far_end(model, 1) > 0.6


def test_carry_draws_paths_of_the_lengths_by_its_seed():
    seen = []

    class Watch(Relay):
        def forward(self, features, graph, rounds):
            seen.append((graph.graphs, graph.sizes[0].item() - 1, rounds))
            return super().forward(features, graph, rounds)

    same = same_weights(
        lambda: Watch("GCN", 4),
        lambda model, seed: carry(model, seed, lengths=[2, 3, 5], steps=12, size=4),
    )
    assert same == [True, False]
    assert {graphs for graphs, _, _ in seen} == {4}
    assert all(rounds == length + 1 for _, length, rounds in seen)
    assert {length for _, length, _ in seen} == {2, 3, 5}
    assert seen[:12] == seen[12:24] != seen[24:]
    tokens = same_weights(
        lambda: Relay("GCN", 4), lambda model, seed: carry(model, seed, lengths=[2], steps=2)
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
    assert far_end(herald, length, 50) == 1
    assert not herald.training
    # A round too few: the last node alone has heard nothing, and always says token 0.
    late = far_end(Herald(lost=1), length, 400)
    first = relay(length, 400, torch.Generator().manual_seed(10**6)).labels.view(400, -1)[:, 0]
    assert late == pytest.approx((first == 0).float().mean().item())
    assert 0 < late < 0.3
    assert far_end(Herald(lost=1), length, 400, seed=1) != late


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
    several, one = RelationalSAGE(3, 1), SAGE(3, 3)
    with torch.no_grad():
        one.W.weight.copy_(several.W.weight)
        one.U.weight.copy_(several.U[0].weight)
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
    assert type(model.layer) is {"gated": Gated, "SAGE": RelationalSAGE}[layer]
    states = torch.cat([batch.marks, torch.zeros(len(batch.marks), 8 - batch.marks.shape[1])], 1)
    for _ in range(3):
        states = model.layer(states, batch.graphs)
    wanted = model.say(torch.cat([states, batch.marks], dim=1)).view(6, batch.puzzles[0].entities)
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
    torch.testing.assert_close(model(batch), model.say(last[0]))
    assert (model.gru.hidden_size, TokenReader(task, 3).gru.hidden_size) == (4, 64)
    assert TokenReader(task, 3).embed.embedding_dim == 32


def test_a_gated_solver_learns_deduction_from_a_few(fits):
    torch.manual_seed(0)
    model = Solver(4, 1, 2)
    fit_puzzles(model, sample_puzzles("deduction", 20, 1), steps=60, lr=0.01)
    ((history, steps, options),) = fits
    assert fell(history)
    assert (steps, options["lr"]) == (60, 0.01)
    assert solved(model, sample_puzzles("deduction", 100, 1, "test")) > 0.9


def test_a_token_reader_learns_puzzles_by_heart():
    torch.manual_seed(0)
    model = TokenReader("deduction", 8)
    puzzles = sample_puzzles("deduction", 10, 1)
    fit_puzzles(model, puzzles, steps=80, lr=0.01)
    assert solved(model, puzzles) > 0.8


def test_fit_puzzles_is_drawn_by_its_seed():
    puzzles = sample_puzzles("path", 9, 2)
    same = same_weights(
        lambda: Solver(1, 2, 1, width=4),
        lambda model, seed: fit_puzzles(model, puzzles, seed, steps=5, size=2),
    )
    assert same == [True, False]


def test_every_puzzle_comes_once_an_epoch():
    seen = []

    class Watch(Solver):
        def forward(self, batch):
            seen.append(tuple(batch.puzzles))
            return super().forward(batch)

    puzzles = sample_puzzles("path", 7, 2)
    fit_puzzles(Watch(1, 2, 0, width=2), puzzles, steps=6, size=3)
    parts = [tuple(puzzles[k : k + 3]) for k in (0, 3, 6)]
    assert set(seen[:3]) == set(seen[3:]) == set(parts)


def test_solved_is_the_share_of_right_answers():
    said = nn.functional.one_hot(PATHS.answer, 20).float()
    assert solved(Says(said), PATHS.puzzles) == 1
    said[[0, 4]] = said[[0, 4]].roll(1, dims=1)
    model = Says(said).train()
    assert solved(model, PATHS.puzzles) == pytest.approx(4 / 6)
    assert not model.training


# --- bad input ------------------------------------------------------------------------------------

BARE = Graph(9, VILLAGE.source, VILLAGE.target)
UNNAMED = Graph(9, VILLAGE.source, VILLAGE.target, VILLAGE.features)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: layers("GAT", [1, 1]), "kind: .*GCN, SAGE, GIN.*'GAT'"),
        (lambda: Deep(1, 1, 1, rounds=-1), "rounds: .*-1"),
        (lambda: fit_nodes(GCN(5, 3), BARE, FIRST), "graph: .*with features"),
        (lambda: fit_nodes(GCN(5, 3), UNNAMED, FIRST), "graph: .*with labels"),
        (lambda: accuracy(GCN(5, 3), BARE, FIRST), "graph: .*with features"),
        (lambda: label_propagation(BARE, FIRST), "graph: .*with labels"),
        (lambda: smooth(BARE, 1), "graph: .*with features"),
        (lambda: fit_question(question_net("sum", "sum"), "why", SMALL), "question: .*'why'"),
        (lambda: grade(question_net("sum", "sum"), "why", SMALL), "question: .*'why'"),
        (lambda: Relay("GAT"), "kind: .*gated.*SAGE, untied.*'GAT'"),
        (lambda: far_end(Herald(), 0), "length: .*0"),
        (lambda: Solver(1, 1, -1), "rounds: .*-1"),
        (lambda: Solver(1, 1, 1, "GCN"), "layer: .*'gated' or 'SAGE'.*'GCN'"),
        (lambda: Solver(1, 3, 1, width=2), "width: .*3 or more.*2"),
        (lambda: TokenReader("chess", 3), "task: .*deduction, path.*'chess'"),
        (lambda: solved(Solver(1, 2, 1), []), "puzzles: .*none"),
        (lambda: fit_puzzles(Solver(1, 2, 1), []), "puzzles: .*none"),
        (lambda: fit_question(question_net("sum", "sum"), "a triangle", []), "graphs: .*none"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
