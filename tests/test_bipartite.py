"""Graphs whose sources are not their targets, and layers that take a pair of states."""

import copy
import math
import pickle
from functools import partial

import pytest
import torch
from helpers import few, normal, pairs, plain
from hypothesis import given, settings
from hypothesis import strategies as st

from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv, attend_edges
from gatutils.interop import to_networkx, to_pyg
from gatutils.message_passing import (
    GatedGraphConv,
    GCNConv,
    GINConv,
    SAGEConv,
    aggregate,
    readout,
)
from gatutils.sparse import CSRMatrix

assert_near = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)


def shaken(layer):
    """The layer in double precision, none of its weights 0 as some are at the start."""
    with torch.no_grad():
        for k, weights in enumerate(layer.double().parameters()):
            weights.copy_(normal(*weights.shape, seed=k))
    return layer


def between(sources, targets, edges, **more):
    """The bipartite graph of these edges."""
    ends = torch.tensor(edges, dtype=torch.long).reshape(-1, 2)
    return Graph(targets, ends[:, 0], ends[:, 1], num_sources=sources, **more)


@st.composite
def bipartite(draw, least=0, most=6):
    """How many sources and targets, edges from the ones to the others, and states of both."""
    sources, targets = draw(st.integers(least, most)), draw(st.integers(least, most))
    ends = st.tuples(st.integers(0, max(sources - 1, 0)), st.integers(0, max(targets - 1, 0)))
    edges = draw(st.lists(ends, max_size=12 if sources and targets else 0))
    seed = draw(st.integers(0, 2**31))
    return (normal(sources, 3, seed=seed), normal(targets, 3, seed=seed + 1)), edges


LAYERS = {
    "GAT": lambda: GATConv(3, 2, heads=2),
    "GATv2": lambda: GATv2Conv(3, 2, heads=2),
    "SAGE mean": lambda: SAGEConv(3, 2),
    "SAGE max": lambda: SAGEConv(3, 2, "max"),
    "SAGE sum": lambda: SAGEConv(3, 2, "sum"),
    "GIN": lambda: GINConv(3, 2),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


@every_layer
@settings(max_examples=30)
@given(problem=bipartite(least=1))
def test_equal_outputs_and_gradients_in_pytorch_geometric(name, problem):
    (x_source, x_target), edges = problem
    graph, ours = between(len(x_source), len(x_target), edges), shaken(LAYERS[name]())
    if name == "SAGE max":  # of equal values theirs divides the gradient, ours takes the first
        graph = graph.without_duplicates()
    theirs, found = to_pyg(ours), []
    for layer, seen in ((ours, graph), (theirs, graph.edge_index)):
        inputs = [x.clone().requires_grad_() for x in (x_source, x_target)]
        out = layer(tuple(inputs), seen)
        assert out.shape[0] == len(x_target)
        total = (out * normal(*out.shape, seed=3)).sum() + 0 * sum(x.sum() for x in inputs)
        found.append((out, *torch.autograd.grad(total, inputs)))
    for one, other in zip(*found, strict=True):
        assert_near(one, other)


@every_layer
@few
@given(problem=bipartite())
def test_it_is_the_square_graph_of_both_sets_of_nodes(name, problem):
    """The targets first, then the sources, from which all edges come; of it the targets' rows."""
    (x_source, x_target), edges = problem
    layer, count = shaken(LAYERS[name]()), len(x_target)
    square = plain(count + len(x_source), [(count + j, i) for j, i in edges])
    out = layer((x_source, x_target), between(len(x_source), count, edges))
    assert_near(out, layer(torch.cat([x_target, x_source]), square)[:count])


@every_layer
@few
@given(problem=bipartite(least=2))
def test_a_square_graph_takes_a_pair_too(name, problem):
    (x, other), edges = problem
    layer = shaken(LAYERS[name]())
    graph = plain(len(x), [(j, i) for j, i in edges if i < len(x)])
    assert_near(layer((x, x), graph), layer(x, graph))
    other = normal(*x.shape, seed=7)
    bipartite_graph = between(len(x), len(x), pairs(graph))
    assert_near(layer((x, other), graph), layer((x, other), bipartite_graph))


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv])
def test_edge_features_and_sparse_rows_and_weights_that_are_returned(kind):
    x_source, x_target = normal(4, 3), normal(2, 3, seed=1)
    graph, layer = between(4, 2, [(0, 1), (3, 1), (2, 0), (3, 0)]), shaken(kind(3, 2, edge_dim=2))
    data = normal(4, 2, seed=2)
    out, alpha = layer((x_source, x_target), graph, True, edge_features=data)
    assert alpha.shape == (4, 1)
    square = plain(6, [(2 + j, i) for j, i in pairs(graph)])
    expected = layer(torch.cat([x_target, x_source]), square, True, edge_features=data)
    assert_near(out, expected[0][:2])
    assert_near(alpha, expected[1])
    rows = CSRMatrix.from_dense(x_source), CSRMatrix.from_dense(x_target)
    assert_near(layer(rows, graph, edge_features=data), out)


@pytest.mark.parametrize("name", LAYERS)
def test_the_hessian_is_the_derivative_of_the_gradient(name):
    graph = between(4, 3, [(0, 1), (3, 1), (2, 0), (3, 0), (3, 0), (1, 1)])
    layer = shaken(LAYERS[name]())
    inputs = (normal(4, 3).requires_grad_(), normal(3, 3, seed=1).requires_grad_())
    assert torch.autograd.gradgradcheck(lambda s, t: layer((s, t), graph), inputs, fast_mode=True)


@few
@given(problem=bipartite())
def test_sums_and_attention_over_edges(problem):
    (x_source, x_target), edges = problem
    graph = between(len(x_source), len(x_target), edges)
    weights = normal(len(edges), seed=4)
    expected = torch.zeros(len(x_target), 3, dtype=torch.float64)
    for k, (j, i) in enumerate(pairs(graph)):
        expected[i] += weights[k] * x_source[j]
    assert_near(aggregate(x_source, graph, "sum", weights), expected)
    context, alpha = attend_edges(weights, x_source, graph)
    assert context.shape == expected.shape
    assert_near(aggregate(x_source, graph, "sum", alpha), context)
    assert_near(readout(x_target, graph, "sum"), x_target.sum(dim=0, keepdim=True))


# ---- Graphs -----------------------------------------------------------------------------------


@few
@given(problem=bipartite())
def test_sources_and_targets_are_counted_apart(problem):
    (x_source, x_target), edges = problem
    graph = between(len(x_source), len(x_target), edges, features=x_target)
    others = [
        graph,
        Graph.from_edges(edges, len(x_target), features=x_target, num_sources=len(x_source)),
        Graph.from_edge_index(graph.edge_index, len(x_target), num_sources=len(x_source)),
        copy.deepcopy(graph),
        pickle.loads(pickle.dumps(graph)),
        graph.to("cpu"),
    ]
    for other in others:
        assert (other.num_nodes, other.num_sources) == (len(x_target), len(x_source))
        assert other.is_bipartite
        assert pairs(other) == sorted(edges, key=lambda edge: edge[1])
        assert len(other.degree) == len(x_target)
        assert other.pattern.num_columns == len(x_source)
    assert graph.features is x_target
    assert set(pairs(graph.without_duplicates())) == set(edges)
    assert graph.without_duplicates().is_bipartite
    assert graph.without_edges().num_sources == len(x_source)


def test_a_graph_is_square_unless_told():
    graph = plain(3, [(0, 1)])
    assert not graph.is_bipartite
    assert graph.num_sources == graph.num_nodes == 3
    assert not graph.with_self_loops().is_bipartite
    assert between(3, 3, [(0, 1)]).is_bipartite  # three nodes, and three others
    assert repr(between(5, 3, [(4, 1)])) == "Graph(5 sources, 3 targets, 1 edges)"


B = between(4, 2, [(0, 1), (3, 1), (2, 0)])
S, T, X = torch.zeros(4, 2), torch.zeros(2, 2), torch.zeros(3, 2)
G, TWO = plain(3, [(0, 1), (1, 2)]), torch.tensor([0, 1])
SAGE, GAT = SAGEConv(2, 2), GATConv(2, 2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (B.with_self_loops, ValueError, "num_sources: expected None, since a self-loop .*got 4"),
        (B.without_self_loops, ValueError, "num_sources: .*self-loop.*got 4"),
        (lambda: B.loop_order, ValueError, "num_sources: .*self-loop"),
        (B.mask, ValueError, "num_sources: .*square matrix"),
        (B.adjacency, ValueError, "num_sources: .*square matrix"),
        (lambda: B.permute(TWO), ValueError, "num_sources: .*permute"),
        (lambda: B.subgraph(TWO), ValueError, "num_sources: .*subgraph"),
        (lambda: B.neighborhood(TWO, 1), ValueError, "num_sources: .*neighborhood"),
        (lambda: B.sample(TWO, [1]), ValueError, "num_sources: .*sample"),
        (lambda: Graph.from_graphs([B, B]), ValueError, "num_sources: .*batch"),
        (lambda: Graph.from_graphs([B]), ValueError, "num_sources: .*batch"),
        (lambda: to_networkx(B), ValueError, "num_sources: .*to_networkx"),
        (
            lambda: Graph.from_edges([(0, 1)], 2, undirected=True, num_sources=2),
            ValueError,
            "num_sources: .*undirected",
        ),
        (lambda: between(2, 2, [], sizes=[1, 1]), ValueError, "num_sources: .*batch"),
        (lambda: between(-1, 2, []), ValueError, "num_sources: .*at least 0, got -1"),
        (lambda: between(2.0, 2, []), TypeError, "num_sources: expected an int, got 2.0"),
        (lambda: between(2, 3, [(2, 0)]), ValueError, "source: .*0 to 1, got 2 to 2"),
        (lambda: between(3, 2, [(0, 2)]), ValueError, "target: .*0 to 1, got 2 to 2"),
        (lambda: between(0, 2, [(0, 1)]), ValueError, "source: expected no edges"),
        (lambda: GCNConv(2, 2)((S, T), B), ValueError, "states: .*GCN.*got a pair"),
        (lambda: GCNConv(2, 2)(T, B), ValueError, "num_sources: expected None.*got 4"),
        (lambda: GatedGraphConv(2)(T, B), ValueError, "num_sources: expected None.*got 4"),
        (lambda: aggregate(S, B, "symmetric"), ValueError, "aggr: .*bipartite.*'symmetric'"),
        (lambda: aggregate(T, B), ValueError, "states: expected 4 rows, one per source, got 2"),
        (lambda: readout(S, B), ValueError, "states: expected 2 rows, one per node, got 4"),
        (lambda: attend_edges(torch.zeros(3), T, B), ValueError, "values: .*4 rows, .*source"),
        (
            lambda: GATConv(2, 2, add_self_loops=True)((S, T), B),
            ValueError,
            "num_sources: .*self-loop",
        ),
        (lambda: SAGE((S, X), B), ValueError, r"states\[1\]: expected 2 rows, one per target"),
        (lambda: SAGE((S, S[:, :1]), B), ValueError, r"states\[1\]: expected 2 rows"),
        (lambda: SAGE((S[:, :1], T), B), ValueError, "states: expected width 2, got 1"),
        (lambda: SAGE((S, T[:, :1]), B), ValueError, "states: expected width 2, got 1"),
        (lambda: GINConv(2, 2)((S[:, :1], T), B), ValueError, "states: expected width 2, got 1"),
        (lambda: GAT((S[:, :1], T), B), ValueError, "states: expected width 2, got 1"),
        (lambda: GAT((S, T[:, :1]), B), ValueError, "states: expected width 2, got 1"),
        (lambda: GAT((S, T, T), B), ValueError, "states: expected a pair.*got 3 parts"),
        (lambda: GAT(S, B), ValueError, "states: expected a pair.*num_sources is 4.*got Tensor"),
        (lambda: SAGE(S, B), ValueError, "states: expected a pair.*num_sources is 4.*got Tensor"),
        (lambda: SAGE((S, T.int()), B), TypeError, r"states\[1\]: expected a float"),
        (lambda: SAGE((CSRMatrix.from_dense(S), T), B), TypeError, r"states\[0\]: .*CSRMatrix"),
        (lambda: SAGE((S, T / 0), B), ValueError, "states: expected finite numbers"),
        (lambda: SAGE((S / 0, T), B), ValueError, "states: expected finite numbers"),
        (lambda: GAT((S, T + math.inf), B), ValueError, "states: expected finite numbers"),
        (lambda: GAT.dense((X, X), G.mask()), TypeError, "states: expected a float.*tuple"),  # type: ignore[arg-type]
    ],
)
def test_errors_name_the_argument(unchecked, call, error, words):
    with pytest.raises(error, match=words):
        call()
