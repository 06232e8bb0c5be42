import importlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import networkx as nx
import pytest
import torch
import torch_geometric.nn as pyg
from helpers import few, multigraphs, normal, pairs, plain, problems, side_by_side
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv
from gatutils.interop import NetworkxData, from_networkx, from_pyg, to_networkx, to_pyg
from gatutils.message_passing import (
    GatedGraphConv,
    GCNConv,
    GINConv,
    SAGEConv,
)

# ---- networkx -------------------------------------------------------------------------------

NAMES = ["b", "a", (0, 1), 7, None.__class__, 2.5]  # all that can be hashed is a name


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
@few
@given(multigraphs())
def test_from_networkx(kind, problem):
    nodes, edges = problem
    theirs = kind()
    theirs.add_nodes_from(NAMES[:nodes], color="red")
    theirs.add_edges_from([(NAMES[j], NAMES[i]) for j, i in edges], weight=2)
    expected = [(NAMES.index(j), NAMES.index(i)) for j, i in theirs.edges()]
    if not theirs.is_directed():
        expected += [(i, j) for j, i in expected if i != j]
    graph = from_networkx(theirs)
    assert graph.num_nodes == nodes
    assert Counter(pairs(graph)) == Counter(expected)
    assert graph.features is None
    assert graph.labels is None


def test_networkx_counts_as_told():
    """Numbers in the order of the nodes; features and labels come with the call."""
    path = nx.Graph([("z", "y"), ("y", "x"), ("x", "x")])
    features, labels = torch.randn(3, 2), torch.arange(3)
    graph = from_networkx(path, features=features, labels=labels)
    assert sorted(pairs(graph)) == [(0, 1), (1, 0), (1, 2), (2, 1), (2, 2)]
    assert graph.features is features
    assert graph.labels is labels
    twice = nx.MultiGraph([(0, 1), (0, 1), (1, 1), (1, 1)])
    assert from_networkx(twice).adjacency().tolist() == [[0, 2], [2, 2]]


@given(multigraphs())
def test_to_networkx_and_back(problem):
    nodes, edges = problem
    graph = plain(nodes, edges)
    theirs = to_networkx(graph)
    assert theirs.is_directed()
    assert theirs.is_multigraph() == (len(set(edges)) < len(edges))
    assert list(theirs) == list(range(nodes))
    assert Counter(list(theirs.edges())) == Counter(edges)
    back = from_networkx(theirs)
    assert (back.num_nodes, Counter(pairs(back))) == (nodes, Counter(edges))


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
@few
@given(multigraphs())
def test_edge_order_counts_in_the_edges_of_networkx(kind, problem):
    nodes, edges = problem
    theirs = kind()
    theirs.add_nodes_from(range(nodes))
    theirs.add_edges_from(edges)
    for number, (*_, data) in enumerate(theirs.edges(data=True)):
        data["number"] = number
    graph = from_networkx(theirs)
    numbers = torch.tensor([data["number"] for *_, data in theirs.edges(data=True)]).long()
    for (j, i), number in zip(pairs(graph), numbers[graph.edge_order].tolist(), strict=True):
        between = theirs.get_edge_data(j, i)
        several = between.values() if theirs.is_multigraph() else [between]
        assert number in [data["number"] for data in several]


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
@few
@given(multigraphs())
def test_names_and_chosen_attributes_are_kept(kind, problem):
    """Each edge of the graph has the attributes of its own edge in networkx."""
    nodes, edges = problem
    theirs = kind()
    for k, name in enumerate(NAMES[:nodes]):
        theirs.add_node(name, size=k / 2, place=[k, -k], label="not chosen")
    for k, (j, i) in enumerate(edges):
        theirs.add_edge(NAMES[j], NAMES[i], length=k + 0.5, ends=torch.tensor([k, k + 1]))
    found = from_networkx(
        theirs, node_attrs=["size", "place"], edge_attrs=("length", "ends"), return_data=True
    )
    assert isinstance(found, NetworkxData)
    assert pairs(found.graph) == pairs(from_networkx(theirs))
    assert found.number == {name: k for k, name in enumerate(NAMES[:nodes])}
    assert found.nodes.keys() == {"size", "place"}
    assert found.edges.keys() == {"length", "ends"}
    assert found.nodes["size"].tolist() == [k / 2 for k in range(nodes)]
    assert found.nodes["place"].tolist() == [[k, -k] for k in range(nodes)]
    expected: Counter[Any] = Counter()
    for j, i, data in theirs.edges(data=True):
        one = (found.number[j], found.number[i]), data["length"], tuple(data["ends"].tolist())
        expected[one] += 1
        if not theirs.is_directed() and i != j:
            expected[(one[0][::-1], *one[1:])] += 1
    lengths, ends = found.edges["length"].tolist(), map(tuple, found.edges["ends"].tolist())
    assert Counter(zip(pairs(found.graph), lengths, ends, strict=True)) == expected


@given(multigraphs(), st.booleans())
def test_attributes_to_networkx_and_back(problem, undirected):
    nodes, edges = problem
    graph = Graph.from_edges(edges, nodes, undirected=undirected)
    names = NAMES[:nodes]
    lengths = torch.arange(len(edges))[graph.edge_order].double() / 2
    places = normal(nodes, 2)
    theirs = to_networkx(
        graph,
        undirected=undirected,
        node_attrs={"place": places},
        edge_attrs={"length": lengths},
        names=names,
    )
    assert theirs.is_directed() is not undirected
    assert list(theirs) == names
    assert theirs.number_of_edges() == len(edges)  # both directions are one edge again
    back = from_networkx(theirs, node_attrs=["place"], edge_attrs=["length"], return_data=True)
    assert [back.number[name] for name in names] == list(range(nodes))
    torch.testing.assert_close(back.nodes["place"].view(nodes, 2), places.float())
    here = Counter(zip(pairs(graph), lengths.tolist(), strict=True))
    there = Counter(zip(pairs(back.graph), back.edges["length"].tolist(), strict=True))
    assert there == here


def test_an_undirected_graph_in_networkx_is_simple_if_each_edge_is_there_once():
    graph = Graph.from_edges([(0, 1), (2, 2)], 3, undirected=True)
    theirs = to_networkx(graph, undirected=True)
    assert type(theirs) is nx.Graph
    assert sorted(theirs.edges()) == [(0, 1), (2, 2)]
    twice = Graph.from_edges([(0, 1), (0, 1)], 2, undirected=True)
    assert type(to_networkx(twice, undirected=True)) is nx.MultiGraph


ONE_WAY = plain(3, [(0, 1)])
BOTH_WAYS = plain(2, [(1, 0), (0, 1)])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: to_networkx(ONE_WAY, undirected=True), ValueError, "undirected: .*both dir"),
        (
            lambda: to_networkx(
                BOTH_WAYS, undirected=True, edge_attrs={"w": torch.tensor([1.0, 2.0])}
            ),
            ValueError,
            "undirected: .*same attributes",
        ),
        (
            lambda: to_networkx(ONE_WAY, node_attrs={"w": torch.zeros(2)}),
            ValueError,
            r"node_attrs: expected 3 rows of 'w', got shape \(2,\)",
        ),
        (
            lambda: to_networkx(ONE_WAY, edge_attrs={"w": torch.zeros(())}),
            ValueError,
            r"edge_attrs: expected 1 rows of 'w', got shape \(\)",
        ),
        (
            lambda: to_networkx(ONE_WAY, edge_attrs={"w": [1]}),  # type: ignore[dict-item]
            TypeError,
            "edge_attrs: .*got list",
        ),
        (lambda: to_networkx(ONE_WAY, names="ab"), ValueError, "names: expected 3 .*got 2"),
        (lambda: to_networkx(ONE_WAY, names="aba"), ValueError, "names: expected 3 different"),
        (
            lambda: from_networkx(nx.path_graph(2), edge_attrs=["w"], return_data=True),
            ValueError,
            "edge_attrs: expected 'w' at all 1, got 1 without it",
        ),
        (
            lambda: from_networkx(nx.path_graph(2), node_attrs=["w"], return_data=True),
            ValueError,
            "node_attrs: expected 'w' at all 2, got 2 without it",
        ),
        (
            lambda: from_networkx(
                nx.Graph([(0, 1, {"w": "far"})]), edge_attrs=["w"], return_data=True
            ),
            ValueError,
            "edge_attrs: expected numbers of one shape as 'w'",
        ),
        (
            lambda: from_networkx(nx.path_graph(2), edge_attrs=["w"]),
            ValueError,
            "return_data: expected True, since",
        ),
        (
            lambda: from_networkx(nx.path_graph(2), edge_attrs="w", return_data=True),
            TypeError,
            "edge_attrs: expected a sequence of str",
        ),
    ],
)
def test_wrong_attributes_are_refused(unchecked, call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: from_networkx([(0, 1)]), "graph: .*networkx graph, got list"),
        (lambda: from_networkx(plain(2, [])), "graph: .*networkx graph, got Graph"),
        (lambda: to_networkx(nx.Graph()), "graph: expected a gatutils.Graph, got .*networkx"),
    ],
)
def test_graphs_of_another_type_are_refused(unchecked, call, problem):
    with pytest.raises(TypeError, match=problem):
        call()


# ---- PyTorch Geometric ------------------------------------------------------------------------

assert_near = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)


def shaken(layer, seed=0):
    """The layer in double precision, none of its weights 0 as some are at the start."""
    with torch.no_grad():
        for k, weights in enumerate(layer.double().parameters()):
            weights.copy_(normal(*weights.shape, seed=seed + k))
    return layer


def perceptron(n_in, n_out, hidden=None, bias=True):
    hidden = hidden or n_out
    return nn.Sequential(nn.Linear(n_in, hidden, bias), nn.ReLU(), nn.Linear(hidden, n_out, bias))


@st.composite
def chosen(draw, *names):
    """Some of the settings of graph attention."""
    every = {
        "heads": st.integers(1, 4),
        "concat": st.booleans(),
        "negative_slope": st.sampled_from([0.2, 0.0, 1.0]),
        "bias": st.booleans(),
        "add_self_loops": st.booleans(),
    }
    return {name: draw(every[name]) for name in names or every}


gat = chosen()
# Ours, theirs as they are made from nothing, what both are made with, and how many graphs.
KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any, int]] = {
    "GATConv": (
        lambda **more: GATConv(3, 2, **more),
        lambda **more: pyg.GATConv(3, 2, **{"add_self_loops": False, **more}),
        gat,
        250,
    ),
    "GATv2Conv": (
        lambda **more: GATv2Conv(3, 2, **more),
        lambda **more: pyg.GATv2Conv(3, 2, **{"add_self_loops": False, **more}),
        gat,
        250,
    ),
    "GCN": (
        lambda **more: GCNConv(3, 2, **more),
        lambda **more: pyg.GCNConv(3, 2, **more),
        chosen("add_self_loops"),
        100,
    ),
    "SAGE mean": (lambda: SAGEConv(3, 2), lambda: pyg.SAGEConv(3, 2), st.just({}), 100),
    "SAGE max": (
        lambda: SAGEConv(3, 2, "max"),
        lambda: pyg.SAGEConv(3, 2, aggr="max"),
        st.just({}),
        100,
    ),
    "SAGE sum": (
        lambda: SAGEConv(3, 2, "sum"),
        lambda: pyg.SAGEConv(3, 2, aggr="sum"),
        st.just({}),
        100,
    ),
    "GIN": (
        lambda: GINConv(3, 2),
        lambda: pyg.GINConv(perceptron(3, 2), train_eps=True),
        st.just({}),
        100,
    ),
}


def gradients(layer):
    """The layer, now with the gradients of its weights in their places."""
    with torch.no_grad():
        for weights in layer.parameters():
            weights.copy_(weights.grad)
    return layer


def assert_same_weights(one, other):
    mine, theirs = one.state_dict(), other.state_dict()
    assert set(mine) == set(theirs)
    for name, weights in mine.items():
        assert_near(weights, theirs[name])


def test_the_graphs_are_a_thousand():
    assert sum(graphs for *_, graphs in KINDS.values()) == 1000


@pytest.mark.parametrize("name", KINDS)
def test_equal_outputs_and_gradients_both_ways(name):
    """Of states and of every weight, whichever library made the layer."""
    make_ours, make_theirs, choices, graphs = KINDS[name]
    together = 2 if choices is gat else 5  # graphs side by side: attention has many settings
    met: Counter[str] = Counter()

    @settings(max_examples=graphs // together)
    @given(side_by_side(together, least=1, most=7), choices, st.integers(0, 2**31), st.booleans())
    def compare(problem, more, seed, from_ours):
        states, edges, seen_here = problem
        graph = plain(len(states), edges)
        met.update(seen_here)
        met["from ours"] += together * from_ours
        if from_ours:
            ours = shaken(make_ours(**more), seed)
            theirs = to_pyg(ours)
        else:
            theirs = shaken(make_theirs(**more), seed)
            ours = from_pyg(theirs)
        index, found = graph.edge_index, []
        for layer, seen in ((ours, graph), (theirs, index)):
            x = states.clone().requires_grad_()
            out = layer(x, seen)
            (out * normal(*out.shape, seed=3)).sum().backward()
            found.append((out, x.grad))
        for one, other in zip(*found, strict=True):
            assert_near(one, other)
        assert_same_weights(to_pyg(gradients(ours)), gradients(theirs))

    compare()
    assert met["a graph"] == graphs
    assert graphs / 4 <= met["from ours"] <= graphs * 3 / 4
    assert min(met.values()) >= 10


@given(st.sampled_from(["GATConv", "GATv2Conv"]), gat, problems(least=1))
def test_the_weights_of_attention_are_those_of_pytorch_geometric(name, more, problem):
    """In the order of the edges too; those of added self-loops stand at the end in theirs."""
    make_ours, *_ = KINDS[name]
    states, edges = problem
    graph, ours = plain(len(states), edges), shaken(make_ours(**more))
    _, (index, theirs) = to_pyg(ours)(states, graph.edge_index, return_attention_weights=True)
    if ours.add_self_loops:
        graph = graph.with_self_loops()
        assert torch.equal(
            index[:, -graph.num_nodes :], torch.arange(graph.num_nodes).expand(2, -1)
        )
        order = index[1].argsort(stable=True)
        index, theirs = index[:, order], theirs[order]
    assert torch.equal(index, graph.edge_index)
    assert_near(ours(states, graph, return_attention_weights=True)[1], theirs)


# ---- Round trips ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=15)
@given(data=st.data())
def test_there_and_back_is_where_it_began(name, data):
    """Number by number, with the same settings; and the layers share no memory."""
    make_ours, make_theirs, choices, _ = KINDS[name]
    more = data.draw(choices)
    ways: list[tuple[Any, Any, Any]] = [
        (shaken(make_ours(**more)), to_pyg, from_pyg),
        (shaken(make_theirs(**more)), from_pyg, to_pyg),
    ]
    for start, there, back in ways:
        middle = there(start)
        end = back(middle)
        assert repr(end) == repr(start)
        before = {name: w.clone() for name, w in start.state_dict().items()}
        with torch.no_grad():
            for layer in (middle, end):
                for weights in layer.parameters():
                    weights.zero_()
        assert {k: w.tolist() for k, w in start.state_dict().items()} == {
            k: w.tolist() for k, w in before.items()
        }
        end = back(there(start))
        for kind, numbers in end.state_dict().items():
            assert torch.equal(numbers, before[kind])


@pytest.mark.parametrize("name", ["GATConv", "GATv2Conv"])
def test_settings_of_attention_go_over(name):
    more = {"heads": 3, "concat": False, "negative_slope": 0.3, "dropout": 0.6, "bias": False}
    theirs: Any = to_pyg(KINDS[name][0](**more))
    for setting in ("heads", "concat", "negative_slope", "dropout"):
        assert getattr(theirs, setting) == more[setting]
    assert (theirs.in_channels, theirs.out_channels, theirs.bias) == (3, 2, None)
    assert theirs.add_self_loops is False
    ours = from_pyg(theirs)
    for setting in ("heads", "concat", "negative_slope", "dropout"):
        assert getattr(ours, setting) == more[setting]
    assert ours.add_self_loops is False
    assert (ours.in_features, ours.out_features, ours.b) == (3, 2, None)


@pytest.mark.parametrize("name", KINDS)
def test_type_device_and_mode_stay(name):
    make_ours, make_theirs, *_ = KINDS[name]
    for layer, convert in ((make_ours(), to_pyg), (make_theirs(), from_pyg)):
        for dtype, mode in ((torch.float64, True), (torch.float16, False)):
            new = convert(layer.to(dtype).train(mode))
            assert {number.dtype for number in new.state_dict().values()} == {dtype}
            assert {module.training for module in new.modules()} == {mode}
        new = convert(layer.to("meta"))
        assert {number.device.type for number in new.state_dict().values()} == {"meta"}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_not_learned_stays_so(name):
    """Epsilon too, which is a buffer there."""
    make_ours, make_theirs, *_ = KINDS[name]
    for layer, convert in ((make_ours(), to_pyg), (make_theirs(), from_pyg)):
        assert all(weights.requires_grad for weights in convert(layer).parameters())
        layer.requires_grad_(False)
        assert not any(weights.requires_grad for weights in convert(layer).parameters())


@pytest.mark.parametrize("name", KINDS)
def test_no_random_number_is_used_up(name):
    make_ours, make_theirs, *_ = KINDS[name]
    ours, theirs = make_ours(), make_theirs()
    before = torch.random.get_rng_state()
    to_pyg(ours)
    from_pyg(theirs)
    assert torch.equal(torch.random.get_rng_state(), before)


# ---- What is told apart -----------------------------------------------------------------------


@pytest.mark.parametrize("make", [pyg.GATConv, pyg.GATv2Conv])
@few
@given(problem=problems(least=1))
def test_self_loops_that_theirs_adds_ours_adds_too(make, problem):
    states, edges = problem
    graph, theirs = plain(len(states), edges), shaken(make(3, 2, heads=2))
    assert theirs.add_self_loops  # unless told
    ours, expected = from_pyg(theirs), theirs(states, graph.edge_index)
    assert_near(ours(states, graph), expected)
    assert_near(ours(states, graph.with_self_loops()), expected)
    assert_near(to_pyg(ours)(states, graph.edge_index), expected)
    assert_near(to_pyg(ours)(states, graph.with_self_loops().edge_index), expected)


def test_dropout_acts_on_weights_in_both():
    """Each node sees itself alone: what is kept of it is doubled, the rest is the bias."""
    ours = shaken(GATConv(3, 2, dropout=0.5))
    theirs = to_pyg(ours)
    x, graph = normal(40, 3), plain(40, [(i, i) for i in range(40)])
    values = x @ ours.W[0].T + ours.b
    for layer, seen in ((ours, graph), (theirs, graph.edge_index)):
        torch.manual_seed(0)
        out = layer(x, seen)
        live = (out != ours.b).any(dim=1)
        assert 0 < live.sum() < 40
        assert_near(out[live] - ours.b, 2 * (values[live] - ours.b))
        assert_near(layer.eval()(x, seen), values)


GRAPH = plain(4, [(0, 1), (2, 1), (3, 1), (1, 2), (2, 2)])
STATES = normal(4, 3)


@pytest.mark.parametrize("bias", [True, False])
def test_a_matrix_that_gatv2_shares_is_copied_twice(bias):
    theirs = shaken(pyg.GATv2Conv(3, 2, 2, share_weights=True, add_self_loops=False, bias=bias))
    ours = from_pyg(theirs)
    assert isinstance(ours, GATv2Conv)
    assert torch.equal(ours.W, ours.U)
    assert_near(ours(STATES, GRAPH), theirs(STATES, GRAPH.edge_index))
    with torch.no_grad():
        ours.W.zero_()
    assert ours.U.any()


@pytest.mark.parametrize(
    "theirs",
    [
        pyg.GCNConv(3, 2, bias=False),
        pyg.SAGEConv(3, 2, bias=False),
        pyg.SAGEConv(3, 2, aggr="add"),
        pyg.GINConv(perceptron(3, 2), eps=0.5),
        pyg.GCNConv(3, 2, cached=True),
        pyg.GCNConv(-1, 2),
        pyg.GATConv(-1, 2, add_self_loops=False),
        pyg.GATv2Conv((3, 3), 2, add_self_loops=False),
        pyg.SAGEConv((3, 3), 2),
        pyg.SAGEConv((-1, -1), 2),
        pyg.GATConv(3, 2, add_self_loops=False, fill_value=5.0),
    ],
    ids=repr,
)
def test_what_changes_no_number_goes_over(theirs):
    """What theirs has not, or does not learn, is not learned here: both learn the same."""
    theirs(STATES.float(), GRAPH.edge_index)  # which tells how wide the states are
    if getattr(theirs, "cached", False):
        theirs.reset_parameters()
    ours = from_pyg(shaken(theirs))
    for _ in range(2):
        for layer, graph in ((ours, GRAPH), (theirs, GRAPH.edge_index)):
            out = layer(STATES, graph)
            optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=0.5)
            optimizer.zero_grad()
            out.square().sum().backward()
            optimizer.step()
        assert_near(ours(STATES, GRAPH), theirs(STATES, GRAPH.edge_index))


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("aggr", ["sum", "mean", "max"])
def test_epsilon_is_learned_where_it_was(learned, aggr):
    ours = shaken(GINConv(3, 2, aggr))
    ours.eps.requires_grad_(learned)
    theirs: Any = to_pyg(ours)
    assert isinstance(theirs.eps, nn.Parameter) == learned
    assert theirs.eps.item() == ours.eps.item() != 0
    assert_near(ours(STATES, GRAPH), theirs(STATES, GRAPH.edge_index))
    back = from_pyg(theirs)
    assert (back.aggr, back.eps.requires_grad) == (aggr, learned)


def test_an_edge_index_is_sources_above_targets():
    assert plain(3, [(2, 0), (0, 1), (0, 1)]).edge_index.tolist() == [[2, 0, 0], [0, 1, 1]]
    assert plain(3, []).edge_index.shape == (2, 0)
    assert pairs(Graph.from_edge_index(GRAPH.edge_index, 4)) == pairs(GRAPH)


# ---- What is refused --------------------------------------------------------------------------


def deep():
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))


def smooth():
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


class Other(pyg.GATConv):
    """Somebody's own layer, which may do something else."""


class Mine(GATConv):
    """The same."""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pyg.GATConv(3, 2, residual=True), "residual: expected False, .*got True"),
        (lambda: pyg.GATv2Conv(3, 2, residual=True), "residual: expected False, .*got True"),
        (lambda: pyg.GATConv((3, 4), 2), r"in_channels: expected one width, got \(3, 4\)"),
        (lambda: pyg.GATConv((3, 3), 2), r"in_channels: expected one width, got \(3, 3\)"),
        (lambda: pyg.GATv2Conv((3, 4), 2), r"in_channels: expected one width, got \(3, 4\)"),
        (lambda: pyg.SAGEConv((3, 4), 2), r"in_channels: expected one width, got \(3, 4\)"),
        (lambda: pyg.GATConv(-1, 2), "in_channels: .*has been called, got -1"),
        (lambda: pyg.GATv2Conv(-1, 2), "in_channels: .*has been called, got -1"),
        (lambda: pyg.GCNConv(-1, 2), "in_channels: .*has been called, got -1"),
        (lambda: pyg.SAGEConv(-1, 2), "in_channels: .*has been called, got -1"),
        (lambda: pyg.GATConv(3, 2, negative_slope=2.0), "negative_slope: .*from 0 to 1, got 2.0"),
        (lambda: pyg.GATConv(3, 2, aggr="mean"), "aggr: expected 'add' or 'sum', .*got 'mean'"),
        (lambda: pyg.GATv2Conv(3, 2, aggr="max"), "aggr: expected 'add' or 'sum', .*got 'max'"),
        (lambda: pyg.GATConv(3, 2, flow="target_to_source"), "flow: .*got 'target_to_source'"),
        (lambda: pyg.GINConv(perceptron(3, 2), flow="target_to_source"), "flow: .*got 'target"),
        (lambda: pyg.GCNConv(3, 2, normalize=False), "normalize: expected True, .*got False"),
        (lambda: pyg.GCNConv(3, 2, aggr="mean"), "aggr: expected 'add' or 'sum', .*got 'mean'"),
        (lambda: pyg.SAGEConv(3, 2, normalize=True), "normalize: expected False, .*got True"),
        (lambda: pyg.SAGEConv(3, 2, project=True), "project: expected False, .*got True"),
        (lambda: pyg.SAGEConv(3, 2, root_weight=False), "root_weight: expected True, .*got False"),
        (lambda: pyg.SAGEConv(3, 2, aggr="min"), "aggr: expected .*'max', .*got 'min'"),
        (lambda: pyg.SAGEConv(3, 2, aggr="lstm"), "aggr: expected .*'max', .*got 'lstm'"),
        (lambda: pyg.SAGEConv(3, 2, aggr=["mean", "max"]), r"aggr: .*got \['mean', 'max'\]"),
        (lambda: pyg.GINConv(perceptron(3, 2), aggr="min"), "aggr: expected .*'max', .*got 'min'"),
        (lambda: pyg.GINConv(perceptron(3, 2, 5)), r"nn: expected Sequential\(Linear\(in, out\)"),
        (lambda: pyg.GINConv(perceptron(3, 2, bias=False)), "nn: expected .*with biases, got Seq"),
        (lambda: pyg.GINConv(deep()), "nn: expected .*with biases, got Sequential"),
        (lambda: pyg.GINConv(smooth()), "nn: expected .*with biases, got Sequential"),
        (lambda: pyg.GINConv(nn.Linear(3, 2)), "nn: expected .*got Linear"),
        (lambda: pyg.GINConv(pyg.MLP([3, 2, 2])), "nn: expected .*got MLP"),
    ],
)
def test_what_ours_cannot_do_is_refused_by_its_name(unchecked, make, words):
    with pytest.raises(ValueError, match=words):
        from_pyg(make())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: to_pyg(GatedGraphConv(3)),  # type: ignore[arg-type]
            "layer: expected one of GCNConv, .*GATv2Conv, got GatedGraphConv",
        ),
        (lambda: to_pyg(Mine(3, 2)), "layer: expected one of GCNConv, .*GATv2Conv, got Mine"),
        (lambda: to_pyg(pyg.GATConv(3, 2)), "layer: expected one of GCNConv, .*, got GATConv"),
        (lambda: to_pyg(None), "layer: expected one of GCNConv, .*GATv2Conv, got NoneType"),  # type: ignore[arg-type]
        (lambda: from_pyg(Other(3, 2)), "layer: expected one of GATConv, .*GINConv, got Other"),
        (lambda: from_pyg(GATConv(3, 2)), "layer: expected one of GATConv, .*, got GATConv"),
        (lambda: from_pyg(pyg.GATConv), "layer: expected one of GATConv, .*GINConv, got type"),
    ],
)
def test_other_layers_are_refused(unchecked, call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_without_pytorch_geometric_it_says_what_to_install(monkeypatch):
    """And not before it is needed: the module itself is loaded without."""
    whole = importlib.import_module

    def lacking(name, *more):
        if name.startswith("torch_geometric"):
            raise ModuleNotFoundError("No module named 'torch_geometric'")
        return whole(name, *more)

    monkeypatch.setattr(importlib, "import_module", lacking)
    assert GRAPH.edge_index.shape == (2, 5)
    for call in (lambda: to_pyg(GCNConv(3, 2)), lambda: from_pyg(nn.Linear(3, 2))):
        with pytest.raises(ImportError, match=r"torch_geometric: .*gatutils\[pyg\]"):
            call()
