"""Features and weights of edges: in the scores of attention, and in weighted sums."""

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from helpers import few, normal, plain, problems, side_by_side
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from gatutils import _kernels
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv
from gatutils.interop import from_pyg, to_pyg
from gatutils.message_passing import GCNConv, aggregate
from gatutils.sparse import CSRMatrix

assert_near = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)
every_attention = pytest.mark.parametrize("kind", [GATConv, GATv2Conv])
DIM = 2  # width of edge features


def shaken(layer, seed=0):
    """The layer in double precision, none of its weights 0 as some are at the start."""
    with torch.no_grad():
        for k, weights in enumerate(layer.double().parameters()):
            weights.copy_(normal(*weights.shape, seed=seed + k))
    return layer


def index_of(edges):
    """The edge index of edges in the order in which they are given."""
    return torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T


# ---- The same as in PyTorch Geometric ---------------------------------------------------------

fills = st.sampled_from(["mean", 0.0, 1.0, -0.5])
gat = st.fixed_dictionaries(
    {
        "heads": st.integers(1, 3),
        "concat": st.booleans(),
        "negative_slope": st.sampled_from([0.2, 0.0, 1.0]),
        "bias": st.booleans(),
        "add_self_loops": st.booleans(),
        "fill_value": fills,
    }
)
# Ours, theirs as they are made from nothing, what both are made with, and how many graphs.
KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any, int]] = {
    "GATConv": (partial(GATConv, edge_dim=DIM), partial(pyg.GATConv, edge_dim=DIM), gat, 360),
    "GATv2Conv": (
        partial(GATv2Conv, edge_dim=DIM),
        partial(pyg.GATv2Conv, edge_dim=DIM),
        gat,
        360,
    ),
    "GCNConv": (
        lambda *widths, improved, **more: GCNConv(
            *widths, fill_value=2.0 if improved else 1.0, **more
        ),
        pyg.GCNConv,
        st.fixed_dictionaries({"improved": st.booleans(), "add_self_loops": st.booleans()}),
        280,
    ),
}


def test_the_graphs_are_a_thousand():
    assert sum(graphs for *_, graphs in KINDS.values()) == 1000


@pytest.mark.parametrize("name", KINDS)
def test_equal_outputs_and_gradients_both_ways(name):
    """Of states, edge data and all weights; ours has the edges sorted, theirs as they are given."""
    make_ours, make_theirs, choices, graphs = KINDS[name]
    together, weighted = 4, name == "GCNConv"
    met: Counter[str] = Counter()

    @settings(max_examples=graphs // together)
    @given(side_by_side(together, least=1, most=7), choices, st.integers(0, 2**31), st.booleans())
    def compare(problem, more, seed, from_ours):
        states, edges, seen_here = problem
        met.update(seen_here)
        met["from ours"] += together * from_ours
        if weighted:  # of several self-loops ours keeps the first, and theirs the last
            edges = [e for k, e in enumerate(edges) if e[0] != e[1] or e not in edges[:k]]
        graph = Graph.from_edges(edges, len(states))
        data = (
            normal(len(edges), seed=seed).abs() if weighted else normal(len(edges), DIM, seed=seed)
        )
        if from_ours:
            ours = shaken(make_ours(3, 2, **more), seed)
            theirs = to_pyg(ours)
        else:
            theirs = shaken(make_theirs(3, 2, **more), seed)
            ours = from_pyg(theirs)
        found = []
        for layer in (ours, theirs):
            x, given_data = states.clone().requires_grad_(), data.clone().requires_grad_()
            if layer is theirs:
                out = layer(x, index_of(edges), given_data)
            elif weighted:
                out = layer(x, graph, edge_weight=given_data[graph.edge_order])
            else:
                out = layer(x, graph, edge_features=given_data[graph.edge_order])
            loss = (out * normal(*out.shape, seed=3)).sum()
            of_all = (x, given_data, *layer.parameters())
            grads = torch.autograd.grad(loss, of_all, allow_unused=True, materialize_grads=True)
            with torch.no_grad():
                for weights, gradient in zip(layer.parameters(), grads[2:], strict=True):
                    weights.copy_(gradient)
            found.append((out, *grads[:2]))
        for one, other in zip(*found, strict=True):
            assert_near(one, other)
        mine, their = to_pyg(ours).state_dict(), theirs.state_dict()
        assert mine.keys() == their.keys()
        for weights in their:
            assert_near(mine[weights], their[weights])

    compare()
    assert met["a graph"] == graphs
    assert graphs / 4 <= met["from ours"] <= graphs * 3 / 4
    assert min(met.values()) >= 10


@every_attention
@settings(max_examples=15)
@given(problem=problems(least=2), fill=fills, loops=st.booleans())
def test_a_gradient_penalty_is_that_of_pytorch_geometric(kind, problem, fill, loops):
    """A loss that holds the gradient with respect to the edges' features."""
    states, edges = problem
    layer = shaken(kind(3, 2, 2, edge_dim=DIM, add_self_loops=loops, fill_value=fill))
    theirs, graph = to_pyg(layer), plain(len(states), edges)
    data, found = normal(len(edges), DIM), []
    for ours in (True, False):
        features, x = data.clone().requires_grad_(), states.clone().requires_grad_()
        if ours:
            out = layer(x, graph, edge_features=features[graph.edge_order])
        else:
            out = theirs(x, index_of(edges), features)
        loss = out.pow(3).sum() + features.pow(3).sum()  # without edges out depends on none
        (slope,) = torch.autograd.grad(loss, features, create_graph=True)
        penalty = slope.square().sum() + x.pow(3).sum()
        grads = torch.autograd.grad(penalty, (features, x))
        found.append((slope, *grads))
    for one, other in zip(*found, strict=True):
        assert_near(one, other)


@pytest.mark.parametrize("name", KINDS)
def test_there_and_back_the_settings_stay(name):
    make_ours, _, _, _ = KINDS[name]
    for fill in (1.0, 2.0) if name == "GCNConv" else ("mean", 0.0, -2.5):
        more = {"improved": fill == 2} if name == "GCNConv" else {"fill_value": fill}
        ours = shaken(make_ours(3, 2, add_self_loops=True, **more))
        back = from_pyg(to_pyg(ours))
        assert repr(back) == repr(ours)
        assert back.fill_value == fill
        for numbers, others in zip(ours.parameters(), back.parameters(), strict=True):
            assert torch.equal(numbers, others)


# ---- Derivatives ------------------------------------------------------------------------------

HUB = plain(6, [(j, 0) for j in range(6)] + [(0, 1), (2, 1), (2, 1), (3, 3), (0, 4)])  # 5 is alone


@pytest.mark.parametrize("chunk", [_kernels.CHUNK, 3])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_the_gradients_are_the_derivatives_to_the_second_order(name, fused, chunk, monkeypatch):
    """By finite differences: in states, edge data and all parameters, on a graph with a hub."""
    monkeypatch.setattr(_kernels, "CHUNK", chunk)
    monkeypatch.setattr(_kernels, "FUSED", _kernels.FUSED if fused else set())
    weighted = name == "GCNConv"
    more = {"improved": True} if weighted else {"heads": 2, "fill_value": "mean"}
    layer = shaken(KINDS[name][0](3, 2, add_self_loops=True, **more))
    names, weights = zip(*layer.named_parameters(), strict=True)
    data = normal(11).abs() + 0.1 if weighted else normal(11, DIM)

    def run(x, data, *weights):
        parameters = dict(zip(names, weights, strict=True))
        given_data = {"edge_weight" if weighted else "edge_features": data}
        return functional_call(layer, parameters, (x, HUB), given_data)

    inputs = (normal(6, 3, seed=9).requires_grad_(), data.requires_grad_(), *weights)
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("aggr", ["sum", "mean", "symmetric"])
def test_weights_of_zero_have_finite_gradients(aggr):
    """Also where they are all that a node receives, so that its degree is 0."""
    weights = torch.zeros(HUB.num_edges, dtype=torch.float64, requires_grad=True)
    x = normal(6, 3).requires_grad_()
    out = aggregate(x, HUB, aggr, weights)
    assert not out.any()
    for gradient in torch.autograd.grad(out.sum(), (x, weights)):
        assert gradient.isfinite().all()


# ---- What they are ----------------------------------------------------------------------------


@every_attention
@few
@given(problem=problems(least=1), heads=st.integers(1, 2), fill=fills, loops=st.booleans())
def test_the_dense_form_computes_the_same(kind, problem, heads, fill, loops):
    states, edges = problem
    graph = plain(len(states), edges).without_duplicates()
    layer = shaken(kind(3, 2, heads, edge_dim=DIM, add_self_loops=loops, fill_value=fill))
    data = normal(graph.num_edges, DIM)
    out, alpha = layer(states, graph, True, edge_features=data)
    dense, matrix = layer.dense(states, graph.mask(), edge_features=data)
    assert_near(out, dense)
    looped = graph.with_self_loops() if loops else graph
    assert_near(alpha, matrix[:, looped.target, looped.source].T)


@every_attention
def test_a_score_is_that_of_the_formula(kind):
    """One edge after the other, with vectors."""
    layer, x = shaken(kind(3, 2, edge_dim=DIM)), normal(6, 3)
    data = normal(HUB.num_edges, DIM, seed=4)
    query, key, _ = layer.project(x)
    scores = layer.score(query, key, HUB, data)
    for k, (j, i) in enumerate(zip(HUB.source, HUB.target, strict=True)):
        projected = layer.W_e[0] @ data[k]
        if kind is GATConv:
            parts = torch.cat([query[i, 0], key[j, 0], projected])
            expected = (torch.cat([layer.a[0], layer.a_e[0]]) @ parts).unsqueeze(0)
            expected = torch.nn.functional.leaky_relu(expected, 0.2)
        else:
            sums = query[i, 0] + key[j, 0] + projected
            expected = (layer.a[0] @ torch.nn.functional.leaky_relu(sums, 0.2)).unsqueeze(0)
        assert_near(scores[k], expected)


def test_features_are_in_the_order_of_the_graph_and_edge_order_brings_them_there():
    """A feature that forbids one edge, given in another order than the graph has it."""
    graph = Graph.from_edges([(0, 2), (1, 0), (1, 2)], num_nodes=3)
    layer = shaken(GATConv(3, 2, edge_dim=1, negative_slope=1.0))
    with torch.no_grad():
        layer.W_e.copy_(torch.tensor([[[1.0], [0.0]]]))
        layer.a_e.copy_(torch.tensor([[1.0, 0.0]]))
    given_data = torch.tensor([[0.0], [0.0], [-1e3]], dtype=torch.float64)  # of (1, 2)
    data = given_data[graph.edge_order]
    _, alpha = layer(normal(3, 3), graph, True, edge_features=data)
    assert_near(alpha[:, 0], torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    assert graph.edge_index.tolist() == [[1, 0, 1], [0, 2, 2]]


@every_attention
def test_loops_that_a_layer_adds_have_the_features_that_fill_value_says(kind):
    """Also in place of those of a loop that is there; other edges keep theirs."""
    graph = plain(3, [(0, 0), (1, 0), (2, 0), (0, 1)])  # 2 has no incoming edge
    data = torch.tensor([[9.0], [1.0], [3.0], [5.0]], dtype=torch.float64)
    x = normal(3, 3)
    for fill, loops in (("mean", [2.0, 5.0, 0.0]), (7.0, [7.0, 7.0, 7.0])):
        adding = shaken(kind(3, 2, edge_dim=1, add_self_loops=True, fill_value=fill))
        plainly = shaken(kind(3, 2, edge_dim=1))
        looped = plain(3, [(1, 0), (2, 0), (0, 0), (0, 1), (1, 1), (2, 2)])
        numbers = [1.0, 3.0, loops[0], 5.0, *loops[1:]]
        expected = plainly(x, looped, edge_features=torch.tensor(numbers).double().unsqueeze(1))
        assert_near(adding(x, graph, edge_features=data), expected)


@pytest.mark.parametrize(
    ("fill", "loops"), [(1.0, [1.0, 1.0]), (2, [2.0, 2.0]), ("mean", [5.0, 0.0])]
)
def test_loops_that_a_gcn_adds_have_the_weight_that_fill_value_says(fill, loops):
    """A loop that is there keeps its own."""
    graph = plain(3, [(0, 0), (1, 0), (2, 0), (0, 1)])
    weights = torch.tensor([9.0, 1.0, 3.0, 5.0], dtype=torch.float64)
    adding, plainly = (
        shaken(GCNConv(3, 2, fill_value=fill)),
        shaken(GCNConv(3, 2, add_self_loops=False)),
    )
    looped = plain(3, [(1, 0), (2, 0), (0, 0), (0, 1), (1, 1), (2, 2)])
    numbers = torch.tensor([1.0, 3.0, 9.0, 5.0, *loops], dtype=torch.float64)
    x = normal(3, 3)
    assert_near(adding(x, graph, edge_weight=weights), plainly(x, looped, edge_weight=numbers))
    assert_near(adding(x, graph), plainly(x, looped))  # without weights each loop counts as 1


@pytest.mark.parametrize("aggr", ["sum", "mean", "symmetric"])
@few
@given(problem=problems())
def test_a_weighted_aggregation_is_a_loop_over_the_edges(aggr, problem):
    states, edges = problem
    graph = plain(len(states), edges)
    weights = normal(graph.num_edges).abs()
    out = aggregate(states, graph, aggr, weights)
    ends = list(zip(graph.source.tolist(), graph.target.tolist(), weights.tolist(), strict=True))
    degree = [math.fsum(w for _, i, w in ends if i == node) for node in range(len(states))]
    expected = torch.zeros_like(states)
    for j, i, w in ends:
        if aggr == "symmetric":
            w = w / math.sqrt(degree[i] * degree[j]) if degree[j] else 0.0
        elif aggr == "mean":
            w = w / graph.degree[i].item()
        expected[i] += w * states[j]
    assert_near(out, expected)
    ones = torch.ones(graph.num_edges, dtype=torch.float64)
    assert_near(aggregate(states, graph, aggr, ones), aggregate(states, graph, aggr))


@few
@given(problem=problems())
def test_an_edge_of_weight_two_is_two_edges(problem):
    states, edges = problem
    twice = plain(len(states), [edge for edge in edges for _ in range(2)])
    once = plain(len(states), edges)
    weights = torch.full((len(edges),), 2.0, dtype=torch.float64)
    for aggr in ("sum", "symmetric"):
        assert_near(aggregate(states, once, aggr, weights), aggregate(states, twice, aggr))


def test_sparse_rows_do_for_states():
    x = normal(6, 3) * (normal(6, 3, seed=1) > 0)
    rows = CSRMatrix.from_dense(x)
    gcn, weights = shaken(GCNConv(3, 2)), normal(HUB.num_edges).abs()
    assert_near(gcn(rows, HUB, weights), gcn(x, HUB, weights))
    for kind in (GATConv, GATv2Conv):
        layer, data = shaken(kind(3, 2, edge_dim=DIM)), normal(HUB.num_edges, DIM)
        assert_near(layer(rows, HUB, edge_features=data), layer(x, HUB, edge_features=data))


@pytest.mark.parametrize("name", KINDS)
def test_autocast_agrees_with_single_precision(name):
    torch.manual_seed(0)
    weighted = name == "GCNConv"
    layer = KINDS[name][0](3, 4, add_self_loops=True, **({"improved": True} if weighted else {}))
    x, data = normal(6, 3).float(), normal(11, DIM).float()
    more = {"edge_weight": data[:, 0].abs()} if weighted else {"edge_features": data}
    found = []
    for low in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            out = layer(x, HUB, **more)
        loss = out.float().square().sum()
        found.append((out.float(), *torch.autograd.grad(loss, list(layer.parameters()))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.03 * one.abs().max().item() + 1e-6)


# ---- Errors -----------------------------------------------------------------------------------

X, G = torch.zeros(3, 2), plain(3, [(0, 1), (1, 2)])
E, W = torch.zeros(2, DIM), torch.ones(2)


def words_of(kind):
    layer, bare = kind(2, 2, edge_dim=DIM), kind(2, 2)
    return [
        (lambda: kind(2, 2, edge_dim=0), ValueError, "edge_dim: .*at least 1, got 0"),
        (lambda: kind(2, 2, edge_dim=1.0), TypeError, "edge_dim: expected an int, got 1.0"),
        (lambda: kind(2, 2, fill_value="max"), ValueError, "fill_value: .*'mean', got 'max'"),
        (lambda: kind(2, 2, fill_value=math.inf), ValueError, "fill_value: .*got inf"),
        (lambda: kind(2, 2, fill_value=True), ValueError, "fill_value: .*got True"),
        (lambda: layer(X, G), ValueError, "edge_features: .*edge_dim = 2 .*got None"),
        (lambda: bare(X, G, edge_features=E), ValueError, "edge_features: expected None, as edge"),
        (lambda: layer(X, G, edge_features=E[:1]), ValueError, "edge_features: .*2 rows.*got 1"),
        (lambda: layer(X, G, edge_features=W), ValueError, "edge_features: expected 2 axes"),
        (lambda: layer(X, G, edge_features=E[:, :1]), ValueError, "edge_features: .*width 2.*1"),
        (lambda: layer(X, G, edge_features=E.int()), TypeError, "edge_features: .*float.*int32"),
        (lambda: layer(X, G, edge_features=E.double()), TypeError, "edge_features: .*float64"),
        (lambda: layer(X, G, edge_features=E / 0), ValueError, "edge_features: .*finite"),
        (lambda: layer.dense(X, G.mask()), ValueError, "edge_features: .*got None"),
        (lambda: layer.dense(X, G.mask(), edge_features=E[:1]), ValueError, "edge_features: .*2 r"),
    ]


@every_attention
@pytest.mark.parametrize("at", range(len(words_of(GATConv))))
def test_errors_of_attention_name_the_argument(unchecked, kind, at):
    call, error, words = words_of(kind)[at]
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: GCNConv(2, 2, fill_value="add"), ValueError, "fill_value: .*got 'add'"),  # type: ignore[arg-type]
        (lambda: GCNConv(2, 2)(X, G, W[:1]), ValueError, "edge_weight: .*2 rows.*got 1"),
        (lambda: GCNConv(2, 2)(X, G, E), ValueError, "edge_weight: expected 1 axes"),
        (lambda: GCNConv(2, 2)(X, G, W.long()), TypeError, "edge_weight: .*float.*int64"),
        (lambda: GCNConv(2, 2)(X, G, W.double()), TypeError, "edge_weight: .*float64"),
        (lambda: GCNConv(2, 2)(X, G, W / 0), ValueError, "edge_weight: .*finite"),
        (lambda: GCNConv(2, 2)(X, G, -2 * W), ValueError, "edge_weight: .*less than 0"),
        (lambda: aggregate(X, G, "max", W), ValueError, "aggr: .*edge_weight.*got 'max'"),
        (lambda: aggregate(X, G, "sum", [1.0, 2.0]), TypeError, "edge_weight: .*got list"),  # type: ignore[arg-type]
        (lambda: to_pyg(GCNConv(2, 2, fill_value="mean")), ValueError, "fill_value: .*got 'mean'"),
        (
            lambda: from_pyg(pyg.GATConv(2, 2, edge_dim=1, fill_value="max")),
            ValueError,
            "fill_value: .*'mean'.*got 'max'",
        ),
    ],
)
def test_errors_name_the_argument(unchecked, call, error, words):
    with pytest.raises(error, match=words):
        call()
