import math
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from helpers import few, multigraphs, normal, pairs, plain, problems, side_by_side
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric.utils import add_remaining_self_loops

from gatutils.attention import attend
from gatutils.graph import Graph
from gatutils.graph_attention import attend_edges
from gatutils.message_passing import (
    GatedGraphConv,
    GCNConv,
    GINConv,
    GraphNet,
    MessagePassing,
    Readout,
    SAGEConv,
    aggregate,
    readout,
)

HOWS = ["sum", "mean", "max", "symmetric"]
DTYPES = [torch.float32, torch.float64]


def shaken(layer):
    """The layer in double precision, none of its weights 0 as some are at the start."""
    torch.manual_seed(0)
    for weights in layer.double().parameters():
        nn.init.normal_(weights)
    return layer


# Width 3 in, width 3 out.
LAYERS = {
    "GCN": lambda: GCNConv(3, 3),
    "SAGE mean": lambda: SAGEConv(3, 3),
    "SAGE max": lambda: SAGEConv(3, 3, "max"),
    "SAGE sum": lambda: SAGEConv(3, 3, "sum"),
    "GIN": lambda: GINConv(3, 3),
    "Gated": lambda: GatedGraphConv(3),
    "GraphNet": lambda: GraphNet(
        [GCNConv(3, 4), SAGEConv(4, 5), GINConv(5, 3), GatedGraphConv(3)], dropout=0.5
    ).eval(),
}
every_layer = pytest.mark.parametrize("name", LAYERS)
every_how = pytest.mark.parametrize("aggr", HOWS)
assert_near = torch.testing.assert_close


# ---- Aggregate --------------------------------------------------------------------------------


def by_hand(states, edges, aggr):
    """A node at a time, in Python's numbers."""
    degree = Counter(i for _, i in edges)
    out = []
    for i in range(len(states)):
        heard = [(j, states[j].tolist()) for j, target in edges if target == i]
        if aggr == "symmetric":
            roots = [math.sqrt(degree[i] * degree[j]) for j, _ in heard]
            heard = [
                (j, [number / root if root else 0 for number in row])
                for (j, row), root in zip(heard, roots, strict=True)
            ]
        columns = list(zip(*(row for _, row in heard), strict=True)) or [(0.0,)] * states.shape[1]
        bring = max if aggr == "max" else math.fsum
        divide = len(heard) or 1 if aggr == "mean" else 1
        out.append([bring(column) / divide for column in columns])
    return torch.tensor(out, dtype=states.dtype).reshape(states.shape)


@every_how
@pytest.mark.parametrize("dtype", DTYPES)
@few
@given(problem=problems())
def test_aggregate_is_a_loop_over_the_edges(aggr, dtype, problem):
    states, edges = problem
    states = states.to(dtype)
    out = aggregate(states, plain(len(states), edges), aggr)
    assert out.dtype == dtype
    near = 1e-12 if dtype == torch.float64 else 1e-5
    assert_near(out, by_hand(states, edges, aggr), rtol=near, atol=near)


def test_aggregate_sums_unless_told():
    states, graph = normal(3, 2), plain(3, [(0, 1), (2, 1), (2, 1)])
    assert torch.equal(aggregate(states, graph), aggregate(states, graph, "sum"))
    assert_near(aggregate(states, graph)[1], states[0] + 2 * states[2])


@every_how
@settings(max_examples=12)
@given(problem=problems(least=1, most=5))
def test_the_gradient_of_aggregate_is_its_derivative(aggr, problem):
    states, edges = problem
    graph = plain(len(states), edges)
    assert torch.autograd.gradcheck(
        lambda h: aggregate(h, graph, aggr), states.requires_grad_(), fast_mode=False
    )


@every_how
def test_the_gradient_may_come_from_any_layout(aggr):
    """Of a tensor whose rows are columns in memory, and of one number that stands for all."""
    graph = plain(4, [(0, 1), (2, 1), (2, 2), (3, 0), (3, 0)])
    wide, weights = normal(3, 4).requires_grad_(), normal(3, 4, seed=1)
    tall = wide.detach().T.contiguous().requires_grad_()
    across, down = aggregate(wide.T, graph, aggr), aggregate(tall, graph, aggr)
    assert_near(across, down)
    (across.T * weights).sum().backward()
    (down * weights.T.contiguous()).sum().backward()
    assert_near(wide.grad, tall.grad.T)
    out, one = aggregate(tall, graph, aggr), torch.ones((), dtype=torch.float64)
    (one_for_all,) = torch.autograd.grad(out, tall, one.expand(4, 3), retain_graph=True)
    (one_each,) = torch.autograd.grad(out, tall, one.repeat(4, 3))
    assert_near(one_for_all, one_each)


@every_how
@few
@given(problem=problems())
def test_who_hears_nobody_gets_zeros_and_no_gradient_is_nan(aggr, problem):
    states, edges = problem
    graph = plain(len(states), edges)
    states = (states - 10).requires_grad_()  # below 0, so that the largest is not the 0 of nobody
    out = aggregate(states, graph, aggr)
    assert (out[graph.degree == 0] == 0).all()
    if aggr != "symmetric":  # where a source that hears nobody gives nothing
        assert (out[graph.degree > 0] < 0).all()
    out.square().sum().backward()
    assert states.grad.isfinite().all()
    silent = [j not in dict(edges) for j in range(len(states))]
    assert (states.grad[silent] == 0).all()


@few
@given(problems())
def test_the_mean_is_attention_with_equal_scores_and_the_graph_as_mask(problem):
    states, edges = problem
    graph = plain(len(states), edges).without_duplicates()
    context, _ = attend(torch.zeros(2 * states.shape[:1], dtype=states.dtype), states, graph.mask())
    assert_near(aggregate(states, graph, "mean"), context)


# ---- Attention over edges ---------------------------------------------------------------------


@st.composite
def scored(draw, scale=(1.0, 100.0, 1e4)):
    """Numbers at the nodes of a graph, and a score at each of its edges."""
    states, edges = draw(problems())
    graph = plain(len(states), edges)
    scores = normal(graph.num_edges, seed=draw(st.integers(0, 2**31)))
    return draw(st.sampled_from(scale)) * scores, states, graph


@few
@given(scored(), st.sampled_from(DTYPES))
def test_attention_over_edges_is_a_loop_over_the_edges(problem, dtype):
    """Also where an edge is there twice, which no mask can say."""
    scores, values, graph = problem
    scores, values = scores.to(dtype), values.to(dtype)
    context, weights = attend_edges(scores, values, graph)
    assert context.dtype == weights.dtype == dtype
    expected = torch.zeros_like(values)
    for i in range(graph.num_nodes):
        own = slice(int(graph.indptr[i]), int(graph.indptr[i + 1]))
        mine = scores[own].softmax(dim=0)
        assert_near(weights[own], mine)
        expected[i] = mine @ values[graph.source[own]]
    assert_near(context, expected)


@few
@given(scored())
def test_attention_over_edges_is_attend_with_the_graph_as_mask(problem):
    """In values and gradients: the scores of the pairs that a mask hides do not count."""
    _, values, graph = problem
    graph = graph.without_duplicates()
    every = normal(graph.num_nodes, graph.num_nodes, seed=1).requires_grad_()
    values.requires_grad_()
    at = graph.target, graph.source
    found = []
    for edges_alone in (True, False):
        if edges_alone:
            context, weights = attend_edges(every[at], values, graph)
        else:
            context, matrix = attend(every, values, graph.mask())
            weights = matrix[at]
        loss = context.pow(2).sum() + weights.pow(3).sum()
        found.append((context, weights, *torch.autograd.grad(loss, (every, values))))
    for one, other in zip(*found, strict=True):
        assert_near(one, other)


@few
@given(scored(scale=(1.0,)))
def test_the_gradient_of_attention_over_edges_is_its_derivative(problem):
    scores, values, graph = problem
    assert torch.autograd.gradcheck(
        lambda e, v: attend_edges(e, v, graph), (scores.requires_grad_(), values.requires_grad_())
    )


@few
@given(scored())
def test_weights_of_edges_are_distributions_and_equal_scores_give_the_mean(problem):
    scores, values, graph = problem
    context, weights = attend_edges(scores, values, graph)
    assert (weights >= 0).all()
    total = torch.zeros(graph.num_nodes).double().index_add(0, graph.target, weights)
    assert_near(total, (graph.degree > 0).double())
    assert (context[graph.degree == 0] == 0).all()
    context, _ = attend_edges(torch.full_like(scores, 700.0), values, graph)
    assert_near(context, aggregate(values, graph, "mean"))


def test_attention_over_edges_makes_no_matrix_of_all_pairs():
    nodes = 200_000
    graph = plain(nodes, [(0, 1), (2, 1), (nodes - 1, 7)])
    values = normal(nodes, 2).requires_grad_()
    context, weights = attend_edges(torch.zeros(3, dtype=torch.float64), values, graph)
    assert weights.tolist() == [0.5, 0.5, 1]
    assert_near(context[[1, 7]], torch.stack([(values[0] + values[2]) / 2, values[-1]]))
    context.sum().backward()
    assert values.grad.count_nonzero() == 6


# ---- PyTorch Geometric ------------------------------------------------------------------------

ROUNDS = 3
PERCEPTRON = {f"mlp.{k}.{kind}": f"nn.{k}.{kind}" for k in (0, 2) for kind in ("weight", "bias")}
GRU = {
    f"gru.{kind}_{end}": f"rnn.{kind}_{end}" for kind in ("weight", "bias") for end in ("ih", "hh")
}
NAMES = {
    "GCN": {"W.weight": "lin.weight", "b": "bias"},
    "SAGE": {"W.weight": "lin_r.weight", "U.weight": "lin_l.weight", "U.bias": "lin_l.bias"},
    "GIN": {"eps": "eps", **PERCEPTRON},
    "Gated": {"W.0.weight": "weight", **GRU},
}


def two_layers(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, n_out), nn.ReLU(), nn.Linear(n_out, n_out))


class Rounds(nn.Module):
    """The same layer again and again, as PyTorch Geometric's gated layer runs all its rounds."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, states, graph):
        for _ in range(ROUNDS):
            states = self.layer(states, graph)
        return states


PAIRS = {
    "GCN": lambda: (GCNConv(3, 2), pyg.GCNConv(3, 2)),
    "SAGE mean": lambda: (SAGEConv(3, 2, "mean"), pyg.SAGEConv(3, 2, aggr="mean")),
    "SAGE max": lambda: (SAGEConv(3, 2, "max"), pyg.SAGEConv(3, 2, aggr="max")),
    "SAGE sum": lambda: (SAGEConv(3, 2, "sum"), pyg.SAGEConv(3, 2, aggr="add")),
    "GIN": lambda: (GINConv(3, 2), pyg.GINConv(two_layers(3, 2), train_eps=True)),
    "Gated": lambda: (GatedGraphConv(3), pyg.GatedGraphConv(3, num_layers=ROUNDS)),
}


def turned(theirs):
    """Their gated layer has a matrix for each round, and it stands behind the states."""
    return theirs.sum(dim=0).T if theirs.ndim == 3 else theirs


@pytest.mark.parametrize("name", PAIRS)
def test_equals_pytorch_geometric(name):
    """In values and all gradients, on 200 graphs or more with all that makes graphs awkward.

    Five lie side by side, so that each layer is asked once for five.
    """
    ours, theirs = PAIRS[name]()
    ours, theirs = shaken(ours), theirs.double()
    mine, other = dict(ours.named_parameters()), dict(theirs.named_parameters())
    same = NAMES[name.split()[0]]
    assert set(same) == set(mine)
    assert set(same.values()) == set(other)
    with torch.no_grad():
        for here, there in same.items():
            other[there].copy_(mine[here].T if other[there].ndim == 3 else mine[here])
    run = Rounds(ours) if name == "Gated" else ours
    met: Counter[str] = Counter()

    @settings(max_examples=41)
    @given(side_by_side(5, least=1, most=7))
    def compare(problem):
        states, edges, seen = problem
        met.update(seen)
        index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T
        weights = None
        found = []
        for layer, graph in ((run, Graph(len(states), *index)), (theirs, index)):
            layer.zero_grad()
            x = states.clone().requires_grad_()
            out = layer(x, graph)
            weights = normal(*out.shape, seed=1) if weights is None else weights
            (out * weights).sum().backward()
            found.append((out, x.grad))
        for one, two in zip(*found, strict=True):
            assert_near(one, two)
        for here, there in same.items():
            assert_near(mine[here].grad, turned(other[there].grad))

    compare()
    assert met["a graph"] >= 200
    assert min(met.values()) >= 20


@given(multigraphs(least=1))
def test_self_loops_are_those_of_pytorch_geometric(problem):
    nodes, edges = problem
    index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T
    theirs, _ = add_remaining_self_loops(index, num_nodes=nodes)
    ours = plain(nodes, edges).with_self_loops()
    assert Counter(pairs(ours)) == Counter(map(tuple, theirs.T.tolist()))


def test_degrees_are_those_of_pytorch_geometric_without_self_loops_too():
    """They count the edges that lead to a node, not those that leave it."""
    states, edges = normal(4, 3), [(0, 1), (1, 2), (2, 1), (2, 1), (3, 3), (0, 3)]
    theirs = pyg.GCNConv(3, 3, add_self_loops=False, bias=False).double()
    nn.init.eye_(theirs.lin.weight)
    expected = theirs(states, torch.tensor(edges).T)
    assert_near(aggregate(states, plain(4, edges), "symmetric"), expected)


# ---- All layers -------------------------------------------------------------------------------


@every_layer
@few
@given(problem=problems(), random=st.randoms(use_true_random=False))
def test_other_numbers_for_the_nodes_permute_the_output(name, problem, random):
    states, edges = problem
    graph, layer = plain(len(states), edges), shaken(LAYERS[name]())
    order = list(range(len(states)))
    random.shuffle(order)
    out = layer(states[order], graph.permute(torch.tensor(order, dtype=torch.long)))
    assert_near(out, layer(states, graph)[order])


@every_layer
@few
@given(problem=problems(least=1), first=st.booleans())
def test_a_node_without_edges_changes_nothing_else(name, problem, first):
    states, edges = problem
    nodes, layer = len(states), shaken(LAYERS[name]())
    alone = normal(1, 3, seed=1)
    if first:  # it takes number 0, and all others move up
        wider, more = torch.cat([alone, states]), [(j + 1, i + 1) for j, i in edges]
    else:
        wider, more = torch.cat([states, alone]), edges
    wider.requires_grad_()
    out = layer(wider, plain(nodes + 1, more))
    at = 0 if first else nodes
    others = [k for k in range(nodes + 1) if k != at]
    assert_near(out[others], layer(states, plain(nodes, edges)))
    assert_near(out[[at]], layer(alone, plain(1, [])))
    out.square().sum().backward()
    for tensor in (out, wider.grad, *(p.grad for p in layer.parameters())):
        assert tensor.isfinite().all()


@every_layer
@few
@given(parts=st.lists(problems(most=4), min_size=1, max_size=3))
def test_a_batch_is_its_graphs_one_by_one(name, parts):
    layer = shaken(LAYERS[name]())
    graphs = [plain(len(states), edges) for states, edges in parts]
    out = layer(torch.cat([states for states, _ in parts]), Graph.from_graphs(graphs))
    alone = [layer(states, graph) for (states, _), graph in zip(parts, graphs, strict=True)]
    assert_near(out, torch.cat(alone))


@every_layer
def test_every_weight_learns(name):
    torch.manual_seed(3)
    layer = LAYERS[name]()
    states = normal(5, 3, dtype=torch.float32).requires_grad_()
    graph = plain(5, [(0, 1), (1, 0), (1, 2), (3, 2), (3, 3)])
    layer(states, graph).square().sum().backward()
    for tensor in (states, *layer.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().sum() > 0


@every_layer
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_keep_their_precision(name, dtype):
    graph = plain(3, [(0, 1), (1, 1)])
    assert LAYERS[name]().to(dtype)(normal(3, 3, dtype=dtype), graph).dtype == dtype


@every_layer
def test_work_grows_with_edges_not_with_pairs_of_nodes(name):
    """A matrix of a number for each pair of these nodes would fill 160 gigabytes."""
    nodes = 200_000
    edges = [(0, 1), (1, nodes - 1), (nodes - 1, 7), (7, 7), (7, 7)]
    layer = shaken(LAYERS[name]()).float()
    states = normal(nodes, 3, dtype=torch.float32).requires_grad_()
    graph = plain(nodes, edges)
    out = layer(states, graph)
    out.sum().backward()
    assert out.shape == (nodes, 3)
    assert states.grad.isfinite().all()
    busy = [0, 1, 7, nodes - 1]
    small = plain(4, [(busy.index(j), busy.index(i)) for j, i in edges])
    assert_near(out[busy], layer(states[busy], small))


# ---- One layer at a time ----------------------------------------------------------------------


def test_a_layer_is_a_message_an_aggregate_and_a_combine():
    class Doubled(MessagePassing):
        aggr = "max"

        def message(self, states):
            return 2 * states

        def combine(self, states, received):
            return torch.cat([states, received], dim=1)

    class Plain(MessagePassing):
        def combine(self, states, received):
            return received - states

    states, graph = normal(3, 2), plain(3, [(0, 1), (2, 1), (1, 1)])
    expected = torch.cat([states, aggregate(2 * states, graph, "max")], dim=1)
    assert_near(Doubled()(states, graph), expected)
    assert_near(Plain()(states, graph), aggregate(states, graph, "sum") - states)
    with pytest.raises(NotImplementedError):
        MessagePassing()(states, graph)


@few
@given(problems())
def test_gcn_adds_the_self_loops_that_its_formula_names(problem):
    states, edges = problem
    graph, layer = plain(len(states), edges), shaken(GCNConv(3, 2))
    out = layer(states, graph)
    assert_near(layer(states, graph.with_self_loops()), out)
    # The formula as matrices: D^-1/2 (A + I) D^-1/2 H W^T + b, A without its diagonal.
    A = graph.without_self_loops().adjacency().double() + torch.eye(len(states)).double()
    roots = A.sum(dim=1).rsqrt()
    assert_near(out, roots[:, None] * A * roots @ states @ layer.W.weight.T + layer.b)


@few
@given(st.builds(normal, st.integers(0, 5), st.just(3)))
def test_without_edges_each_node_is_by_itself(states):
    graph = plain(len(states), [])
    gcn, sage, gin = shaken(GCNConv(3, 2)), shaken(SAGEConv(3, 2)), shaken(GINConv(3, 2))
    assert_near(gcn(states, graph), nn.functional.linear(states, gcn.W.weight, gcn.b))
    assert_near(sage(states, graph), sage.W(states) + sage.U.bias)
    assert_near(gin(states, graph), gin.mlp((1 + gin.eps) * states))
    gated = shaken(GatedGraphConv(3))
    assert_near(gated(states, graph), gated.gru(torch.zeros_like(states), states))


@pytest.mark.parametrize("aggr", ["sum", "mean", "max"])
@few
@given(problem=problems())
def test_gin_brings_together_as_told(aggr, problem):
    states, edges = problem
    layer = shaken(GINConv(3, 2, aggr))
    received = by_hand(states, edges, aggr)
    expected = layer.mlp((1 + layer.eps) * states + received)
    assert_near(layer(states, plain(len(states), edges)), expected)


def test_layers_start_as_their_papers_say():
    assert GINConv(3, 2).aggr == "sum"
    assert GINConv(3, 2).eps.tolist() == [0]
    assert SAGEConv(3, 2).aggr == "mean"
    assert GCNConv(3, 2).b.tolist() == [0, 0]
    assert GCNConv(3, 2).aggr == "symmetric"


@few
@given(problems(), st.data())
def test_gated_has_a_matrix_for_each_kind_of_edge(problem, data):
    states, edges = problem
    nodes, layer = len(states), shaken(GatedGraphConv(3, num_edge_types=3))
    edges_of = [edges]
    for _ in range(2):
        ends = st.integers(0, max(nodes - 1, 0))
        edges_of.append(data.draw(st.lists(st.tuples(ends, ends), max_size=5 if nodes else 0)))
    received = torch.zeros_like(states)
    for W, kind in zip(layer.W, edges_of, strict=True):
        for j, i in kind:
            received[i] = received[i] + W.weight @ states[j]
    graphs = [plain(nodes, kind) for kind in edges_of]
    assert_near(layer(states, graphs), layer.gru(received, states))


def test_gated_takes_one_graph_bare_or_in_a_list():
    layer, states, graph = GatedGraphConv(3), normal(2, 3, dtype=torch.float32), plain(2, [(0, 1)])
    assert torch.equal(layer(states, graph), layer(states, [graph]))


# ---- Networks ---------------------------------------------------------------------------------


def test_graphnet_has_a_relu_between_layers_and_none_behind():
    graph, states = plain(4, [(0, 1), (1, 2), (3, 1)]), normal(4, 3)
    net = shaken(GraphNet([GCNConv(3, 4), SAGEConv(4, 4), GINConv(4, 2)]))
    a, b, c = net.layers
    expected = c(b(a(states, graph).relu(), graph).relu(), graph)
    assert_near(net(states, graph), expected)
    assert (expected < 0).any()
    assert (states < 0).any()
    first = GraphNet([a])
    assert_near(first(states, graph), a(states, graph))
    assert set(net.parameters()) == {p for layer in (a, b, c) for p in layer.parameters()}


class Seen(nn.Module):
    """Passes on what it got, and keeps it."""

    def forward(self, states, graph):
        self.got = states
        return states


def test_graphnet_adds_what_went_in_where_the_width_stays():
    x, graph = normal(5, 3), plain(5, [(0, 1), (2, 1), (3, 3)])
    layers = [GCNConv(3, 4).double(), GCNConv(4, 4).double(), GCNConv(4, 2).double()]
    first = layers[0](x, graph).relu()
    second = layers[1](first, graph) + first
    want = layers[2](second.relu(), graph)
    assert_near(GraphNet(layers, residual=True)(x, graph), want)
    assert not torch.allclose(GraphNet(layers)(x, graph), want)


def test_dropout_acts_before_each_layer_and_only_while_training():
    torch.manual_seed(0)
    states, graph = torch.ones(100, 40), plain(100, [])
    layers = [Seen(), Seen()]
    net = GraphNet(layers, dropout=0.25)
    net.eval()
    assert torch.equal(net(states, graph), states)
    net.train()
    net(states, graph)
    first, second = (layer.got for layer in layers)
    assert (first == 0).float().mean().item() == pytest.approx(0.25, abs=0.05)
    assert (second == 0).float().mean().item() == pytest.approx(1 - 0.75**2, abs=0.05)
    assert_near(first[first > 0].unique(), torch.tensor([1 / 0.75]))
    assert torch.equal(GraphNet([Seen()])(states, graph), states)


# ---- Readout ----------------------------------------------------------------------------------

REDUCE: dict[str, Callable[..., torch.Tensor]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
}
three_hows = pytest.mark.parametrize("aggr", ["sum", "mean", "max"])
several = st.lists(problems(most=3), min_size=1, max_size=5)


def batched(parts):
    """All nodes' numbers and the batch."""
    graphs = [plain(len(states), edges) for states, edges in parts]
    return torch.cat([states for states, _ in parts]), Graph.from_graphs(graphs)


@three_hows
@few
@given(parts=several)
def test_readout_is_a_loop_over_the_graphs(aggr, parts):
    states, batch = batched(parts)
    reduce = REDUCE[aggr]
    expected = [reduce(own, dim=0) if len(own) else torch.zeros(3).double() for own, _ in parts]
    assert_near(readout(states, batch, aggr), torch.stack(expected))


def test_readout_sums_unless_told_and_knows_nothing_of_edges():
    states = normal(3, 2)
    assert_near(readout(states, plain(3, [(0, 1), (1, 1)])), states.sum(dim=0, keepdim=True))
    assert (
        readout(states[:0], Graph.from_graphs([plain(0, [])] * 3), "max").tolist() == [[0, 0]] * 3
    )


@three_hows
def test_the_gradient_of_a_readout_is_its_derivative(aggr):
    batch = Graph.from_graphs([plain(2, []), plain(0, []), plain(3, [(0, 1)]), plain(0, [])])
    states = normal(5, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: readout(h, batch, aggr), states)


@three_hows
@few
@given(parts=several)
def test_a_readout_of_a_batch_is_that_of_its_graphs(aggr, parts):
    states, batch = batched(parts)
    model = shaken(Readout(GraphNet([GCNConv(3, 4), SAGEConv(4, 5)]), aggr, 5, 2))
    out = model(states, batch)
    alone = [model(own, plain(len(own), edges)) for own, edges in parts]
    assert_near(out, torch.cat(alone))
    hidden = model.net(states, batch).relu()
    assert_near(out, model.classifier(readout(hidden, batch, aggr)))


@three_hows
@few
@given(problem=problems(), random=st.randoms(use_true_random=False))
def test_a_readout_does_not_know_the_numbers_of_the_nodes(aggr, problem, random):
    states, edges = problem
    order = list(range(len(states)))
    random.shuffle(order)
    graph = plain(len(states), edges)
    model = shaken(Readout(GINConv(3, 4), aggr, 4, 2))
    other = graph.permute(torch.tensor(order, dtype=torch.long))
    assert_near(model(states[order], other), model(states, graph))


# ---- Errors -----------------------------------------------------------------------------------

X, G, E = torch.zeros(3, 2), plain(3, [(0, 1), (1, 2)]), torch.zeros(2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: aggregate(X, G, "min"), ValueError, "aggr: .*'symmetric', got 'min'"),  # type: ignore[arg-type]
        (lambda: aggregate(X, G, None), ValueError, "aggr: .*'symmetric', got None"),  # type: ignore[arg-type]
        (lambda: aggregate(X[:2], G), ValueError, "states: expected 3 rows, .*got 2"),
        (lambda: aggregate(X[0], G), ValueError, r"states: expected 2 axes, got shape \(2,\)"),
        (lambda: aggregate(X.long(), G), TypeError, "states: expected a float.*int64"),
        (lambda: aggregate(X.tolist(), G), TypeError, "states: expected a float tensor, got list"),  # type: ignore[arg-type]
        (lambda: aggregate(X, G.mask()), TypeError, "graph: expected a Graph, got Tensor"),
        (
            lambda: attend_edges(E[:1], X, G),
            ValueError,
            "scores: expected 2 rows, one per edge, got 1",
        ),
        (lambda: attend_edges(X, X, G), ValueError, r"values: expected 3 axes, got shape \(3, 2\)"),
        (lambda: attend_edges(E.int(), X, G), TypeError, "scores: expected a float.*int32"),
        (lambda: attend_edges(E, X[:2], G), ValueError, "values: expected 3 rows, .*got 2"),
        (lambda: attend_edges(E, X.int(), G), TypeError, "values: expected a float.*int32"),
        (lambda: attend_edges(E, X.double(), G), TypeError, "values: .*float32 like scores"),
        (lambda: attend_edges(E / 0, X, G), ValueError, "scores: expected finite numbers"),
        (lambda: attend_edges(E, X / 0, G), ValueError, "values: expected finite numbers"),
        (lambda: attend_edges(E, X, G.mask()), TypeError, "graph: expected a Graph, got Tensor"),
        (lambda: readout(X, G, "symmetric"), ValueError, "aggr: .*'max', got 'symmetric'"),  # type: ignore[arg-type]
        (lambda: readout(X[:2], G), ValueError, "states: expected 3 rows, .*got 2"),
        (lambda: readout(X.int(), G), TypeError, "states: expected a float.*int32"),
        (lambda: readout(X, [G]), TypeError, "graph: expected a Graph, got list"),  # type: ignore[arg-type]
        (lambda: SAGEConv(2, 2)(X[:2], G), ValueError, "states: expected 3 rows, .*got 2"),
        (lambda: GINConv(2, 2)(X.int(), G), TypeError, "states: expected a float.*int32"),
        (lambda: GINConv(2, 2)(X, None), TypeError, "graph: expected a Graph, got NoneType"),
        (lambda: GCNConv(2, 2)(X[:2], G), ValueError, "states: expected 3 rows, .*got 2"),
        (lambda: GatedGraphConv(2)(X[:2], G), ValueError, "states: expected 3 rows, .*got 2"),
        (lambda: GatedGraphConv(2)(X.int(), G), TypeError, "states: expected a float.*int32"),
        (lambda: GatedGraphConv(2)(X, G.mask()), TypeError, "graph: expected a sequence of Graph"),
        (lambda: GatedGraphConv(2)(X, [None]), TypeError, "graph: expected only Graph, got None"),
        (lambda: GCNConv(2, 2)(X, [G]), TypeError, "graph: expected a Graph, got list"),
        (lambda: GCNConv(3, 2)(X, G), ValueError, "states: expected width 3, got 2"),
        (lambda: SAGEConv(3, 2)(X, G), ValueError, "states: expected width 3, got 2"),
        (lambda: GINConv(1, 2)(X, G), ValueError, "states: expected width 1, got 2"),
        (lambda: GatedGraphConv(3)(X, G), ValueError, "states: expected width 3, got 2"),
        (lambda: GCNConv(2, 2)(X.double(), G), TypeError, "states: .*float32 like the weights"),
        (lambda: SAGEConv(2, 2)(X.double(), G), TypeError, "states: .*float32 like the weights"),
        (lambda: GINConv(2, 2)(X.double(), G), TypeError, "states: .*float32 like the weights"),
        (lambda: GatedGraphConv(2)(X.double(), G), TypeError, "states: .*float32 like the weights"),
        (
            lambda: GatedGraphConv(2)(X.tolist(), G),
            TypeError,
            "states: expected a float tensor, got list",
        ),
        (lambda: Readout(3, "sum", 2, 2), TypeError, "net: expected a Module, got int"),  # type: ignore[arg-type]
        (
            lambda: GatedGraphConv(2, num_edge_types=2)(X, G),
            ValueError,
            "graph: expected 2 edge types, got 1",
        ),
        (
            lambda: GatedGraphConv(2)(X, [G, G]),
            ValueError,
            "graph: expected 1 edge types, got 2",
        ),
        (
            lambda: GatedGraphConv(2, 2)(X, [G, plain(2, [])]),
            ValueError,
            "states: expected 2 rows, .*got 3",
        ),
        (lambda: GatedGraphConv(0), ValueError, "dim: .*at least 1, got 0"),
        (lambda: GatedGraphConv(2, 0), ValueError, "num_edge_types: .*at least 1, got 0"),
        (lambda: GatedGraphConv(2, True), TypeError, "num_edge_types: expected an int, got True"),
        (lambda: GCNConv(0, 2), ValueError, "in_features: .*at least 1, got 0"),
        (lambda: GCNConv(2, 2.0), TypeError, "out_features: expected an int, got 2.0"),  # type: ignore[arg-type]
        (lambda: SAGEConv(-1, 2), ValueError, "in_features: .*at least 1, got -1"),
        (lambda: SAGEConv(2, 2, "symmetric"), ValueError, "aggr: .*'max', got 'symmetric'"),  # type: ignore[arg-type]
        (lambda: GINConv(2, 0), ValueError, "out_features: .*at least 1, got 0"),
        (lambda: GINConv(2, 2, "min"), ValueError, "aggr: .*'max', got 'min'"),  # type: ignore[arg-type]
        (lambda: GraphNet(GCNConv(2, 2)), TypeError, "layers: expected a sequence of Module"),  # type: ignore[arg-type]
        (lambda: GraphNet([GCNConv(2, 2), 3]), TypeError, "layers: expected only Module, got 3"),  # type: ignore[list-item]
        (lambda: GraphNet([], dropout=1), ValueError, "dropout: .*below 1, got 1"),
        (lambda: GraphNet([], dropout=-0.1), ValueError, "dropout: .*from 0.*got -0.1"),
        (lambda: GraphNet([], dropout=math.nan), ValueError, "dropout: .*got nan"),
        (lambda: Readout(GCNConv(2, 2), "symmetric", 2, 2), ValueError, "aggr: .*got 'symmetric'"),  # type: ignore[arg-type]
        (
            lambda: Readout(GCNConv(2, 2), "sum", 0, 2),
            ValueError,
            "in_features: .*at least 1, got 0",
        ),
        (lambda: Readout(GCNConv(2, 2), "sum", 2, "1"), TypeError, "out_features: .*int, got '1'"),  # type: ignore[arg-type]
    ],
)
def test_errors_name_the_argument(unchecked, call, error, words):
    with pytest.raises(error, match=words):
        call()
