"""Subgraphs, neighbourhoods, and samples for mini-batches."""

from functools import partial
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
import torch_geometric.typing as pyg_typing
from helpers import few, multigraphs, normal, not_none, pairs, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader
from torch_geometric.utils import k_hop_subgraph
from torch_geometric.utils import subgraph as pyg_subgraph

from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv
from gatutils.message_passing import GCNConv, GINConv, GraphNet, SAGEConv
from gatutils.sampling import SampledBlock, Subgraph
from gatutils.sparse import CSRMatrix

assert_near = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def full(nodes, edges):
    """A graph with features and labels that tell the nodes apart."""
    numbers = torch.arange(nodes)
    return plain(nodes, edges, features=numbers[:, None].double(), labels=10 + numbers)


@st.composite
def chosen(draw, least=0, most=7):
    """A graph, and some of its nodes in some order."""
    nodes, edges = draw(multigraphs(least, most))
    some = draw(st.lists(st.integers(0, nodes - 1), unique=True)) if nodes else []
    return full(nodes, edges), torch.tensor(some, dtype=torch.long)


def assert_part(graph, part, nodes):
    """A subgraph says which nodes and edges of the graph its own are, and carries their data."""
    assert isinstance(part, Subgraph)
    small = part.graph
    assert torch.equal(part.nodes, nodes)
    assert small.num_nodes == len(nodes)
    ends = torch.stack([nodes[small.source], nodes[small.target]])
    assert torch.equal(ends, graph.edge_index[:, part.edges])
    assert torch.equal(small.edge_order, graph.edge_order[part.edges])
    assert (small.target.diff() >= 0).all()
    assert torch.equal(small.features, graph.features[nodes])
    assert torch.equal(small.labels, graph.labels[nodes])
    assert small.sizes.tolist() == [len(nodes)]


# ---- Subgraphs --------------------------------------------------------------------------------


@given(chosen(), st.sampled_from([torch.int32, torch.long]))
def test_a_subgraph_has_all_edges_between_its_nodes(problem, dtype):
    graph, nodes = problem
    part = graph.subgraph(nodes.to(dtype))
    assert_part(graph, part, nodes)
    inside = set(nodes.tolist())
    expected = [k for k, (j, i) in enumerate(pairs(graph)) if j in inside and i in inside]
    assert sorted(part.edges.tolist()) == expected
    assert torch.equal(part.graph.adjacency(), graph.adjacency()[nodes][:, nodes])


@few
@given(chosen(least=1))
def test_a_subgraph_is_that_of_pytorch_geometric(problem):
    graph, nodes = problem
    part = graph.subgraph(nodes)
    index, _, kept = pyg_subgraph(
        nodes,
        graph.edge_index,
        relabel_nodes=False,
        num_nodes=graph.num_nodes,
        return_edge_mask=True,
    )
    assert torch.equal(part.edges.sort().values, kept.nonzero().squeeze(1))
    assert sorted(map(tuple, index.T.tolist())) == sorted(
        (int(nodes[j]), int(nodes[i])) for j, i in pairs(part.graph)
    )


@given(chosen())
def test_all_nodes_are_the_graph_and_a_permutation_is_permute(problem):
    graph, _ = problem
    order = torch.randperm(graph.num_nodes, generator=seeded())
    part, expected = graph.subgraph(order).graph, graph.permute(order)
    assert pairs(part) == pairs(expected)
    assert part.edge_order.tolist() == expected.edge_order.tolist()
    assert torch.equal(not_none(part.features), not_none(expected.features))


# ---- Neighbourhoods ---------------------------------------------------------------------------


def reached(graph, nodes, hops):
    """The nodes from which one of some nodes can be reached in so many hops, by a loop."""
    found = set(nodes)
    for _ in range(hops):
        found |= {j for j, i in pairs(graph) if i in found}
    return found


@given(chosen(), st.integers(0, 4))
def test_a_neighbourhood_is_what_reaches_the_nodes(problem, hops):
    """The nodes themselves first, then those that are one hop away, and so on."""
    graph, nodes = problem
    part = graph.neighborhood(nodes, hops)
    assert_part(graph, part, part.nodes)
    assert torch.equal(part.nodes[: len(nodes)], nodes)
    assert set(part.nodes.tolist()) == reached(graph, nodes.tolist(), hops)
    assert len(part.nodes.unique()) == len(part.nodes)
    every = [reached(graph, nodes.tolist(), hop) for hop in range(hops + 1)]
    distance = [next(k for k, found in enumerate(every) if j in found) for j in part.nodes.tolist()]
    assert distance == sorted(distance)


@few
@given(chosen(least=1), st.integers(0, 3))
def test_a_neighbourhood_has_the_nodes_of_pytorch_geometric(problem, hops):
    graph, nodes = problem
    theirs, *_ = k_hop_subgraph(nodes, hops, graph.edge_index, num_nodes=graph.num_nodes)
    assert torch.equal(graph.neighborhood(nodes, hops).nodes.sort().values, theirs.sort().values)


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv, SAGEConv, GCNConv])
@few
@given(problem=chosen(least=1), depth=st.integers(1, 3))
def test_states_in_a_neighbourhood_are_those_in_the_whole_graph(kind, problem, depth):
    """After as many layers as there are hops; GCN needs one hop more, as documented."""
    graph, nodes = problem
    layers = [kind(3, 3).double() for _ in range(depth)]
    part = graph.neighborhood(nodes, depth + (kind is GCNConv))
    whole, small = normal(graph.num_nodes, 3), normal(graph.num_nodes, 3)[part.nodes]
    for layer in layers:
        whole, small = layer(whole, graph), layer(small, part.graph)
    assert_near(small[: len(nodes)], whole[nodes])


def test_gcn_needs_the_extra_hop():
    graph = plain(4, [(1, 0), (2, 1), (3, 1)])
    layer, x = GCNConv(3, 3).double(), normal(4, 3)
    part = graph.neighborhood(torch.tensor([0]), 1)
    assert not torch.allclose(layer(x[part.nodes], part.graph)[0], layer(x, graph)[0])


# ---- Samples ----------------------------------------------------------------------------------

some_sizes = st.lists(st.integers(-1, 4), min_size=1, max_size=3)


@settings(max_examples=150)
@given(chosen(), some_sizes, st.integers(0, 2**31))
def test_a_sample_has_edges_of_the_graph_as_many_as_are_asked_for(problem, sizes, seed):
    graph, nodes = problem
    blocks = graph.sample(nodes, sizes, seeded(seed))
    assert len(blocks) == len(sizes)
    assert torch.equal(blocks[-1].sources[: blocks[-1].graph.num_nodes], nodes)
    for block, size in zip(blocks[::-1], sizes, strict=True):
        assert isinstance(block, SampledBlock)
        small, targets = block.graph, block.sources[: block.graph.num_nodes]
        assert small.is_bipartite
        assert small.num_sources == len(block.sources) == len(block.sources.unique())
        ends = torch.stack([block.sources[small.source], targets[small.target]])
        assert torch.equal(ends, graph.edge_index[:, block.edges])  # every edge is one of the graph
        assert len(block.edges.unique()) == len(block.edges)  # and is there once
        degree = graph.degree[targets]
        expected = degree if size == -1 else degree.clamp(max=size)
        assert torch.equal(small.degree, expected)
        assert torch.equal(small.edge_order, graph.edge_order[block.edges])
        own = small.target.diff() == 0  # the edges of one target keep their order
        assert (block.edges.diff()[own] > 0).all()
        heard = set(ends[0].tolist()) - set(targets.tolist())  # no source that sends nothing
        assert set(block.sources[small.num_nodes :].tolist()) == heard
        assert small.features is small.labels is None
    for one, other in pairwise(blocks):
        assert torch.equal(one.sources[: one.graph.num_nodes], other.sources)


@given(chosen(), some_sizes, st.integers(0, 2**31))
def test_a_seed_draws_the_same_blocks(problem, sizes, seed):
    graph, nodes = problem
    for one, other in zip(*(graph.sample(nodes, sizes, seeded(seed)) for _ in "ab"), strict=True):
        assert torch.equal(one.edges, other.edges)
        assert torch.equal(one.sources, other.sources)
        assert pairs(one.graph) == pairs(other.graph)


def test_without_a_generator_it_is_the_global_one():
    graph = plain(40, [(j, 0) for j in range(40)])
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(graph.sample(torch.tensor([0]), [5])[0].edges.tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    before = torch.random.get_rng_state()
    graph.sample(torch.tensor([0]), [5], seeded())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_all_subsets_are_drawn_equally_often():
    """A chi-square of the 10 pairs among 5 edges, and of each place; the seed is fixed."""
    copies, draws = 3000, 2
    nodes = torch.arange(copies)
    star = Graph.from_graphs([plain(6, [(j, 0) for j in range(1, 6)] + [(0, 1)])] * copies)
    graph = Graph(star.num_nodes, star.source, star.target)  # one graph with many hubs
    (block,) = graph.sample(6 * nodes, [draws], seeded(3))
    edges = block.sources[block.graph.source] % 6
    subsets = edges.view(copies, draws).sort(dim=1).values
    expected = copies / 10
    counts = [
        int((subsets == torch.tensor(pair)).all(dim=1).sum())
        for pair in combinations(range(1, 6), 2)
    ]
    assert sum(counts) == copies
    statistic = sum((count - expected) ** 2 / expected for count in counts)
    assert statistic < 27.9  # which chance exceeds once in a thousand, with 9 degrees of freedom
    assert statistic > 0.5  # nor are the draws more even than chance makes them


@few
@given(chosen(least=1), st.integers(1, 3))
def test_with_all_neighbours_a_sample_gives_the_states_of_the_whole_graph(problem, depth):
    """In values and gradients, also with sizes that no degree exceeds; and edges bring data."""
    graph, nodes = problem
    layers: list[Any] = [GATConv(3, 3, edge_dim=1), GATv2Conv(3, 3, edge_dim=1)] * 2
    data = normal(graph.num_edges, 1, seed=5)
    x = normal(graph.num_nodes, 3).requires_grad_()
    for size in (-1, 100):
        whole, blocks = x, graph.sample(nodes, [size] * depth, seeded())
        states = x[blocks[0].sources]
        for layer, block in zip(layers[:depth], blocks, strict=True):
            layer.double()
            whole = layer(whole, graph, edge_features=data)
            pair, features = (states, states[: block.graph.num_nodes]), data[block.edges]
            by_pair = layer(pair, block.graph, edge_features=features)
            states = layer(states, block, edge_features=features)
            assert_near(states, by_pair)
        assert_near(states, whole[nodes])
        (expected,) = torch.autograd.grad(whole[nodes].sum(), x, retain_graph=True)
        assert_near(torch.autograd.grad(states.sum(), x)[0], expected)


def test_edge_order_refers_to_the_edges_that_the_whole_graph_was_given():
    edges = [(0, 2), (1, 0), (2, 0), (0, 1)]
    graph = Graph.from_edges(edges, 3)
    data = torch.tensor(edges)
    for block in graph.sample(torch.tensor([0, 1]), [1, 2], seeded()):
        found = data[block.graph.edge_order]
        assert found[:, 0].tolist() == block.sources[block.graph.source].tolist()
        assert found[:, 1].tolist() == block.sources[block.graph.target].tolist()


def test_the_mean_of_a_sample_is_on_average_that_of_the_graph():
    graph, x = plain(12, [(j, 0) for j in range(12)]), normal(12, 1)
    layer = SAGEConv(1, 1).double()
    with torch.no_grad():
        layer.W.weight.zero_()
    runs, generator = [], seeded(1)
    for _ in range(400):
        (block,) = graph.sample(torch.tensor([0]), [3], generator)
        states = x[block.sources]
        runs.append(layer((states, states[:1]), block.graph))
    found = torch.cat(runs)
    error = found.std() / 20
    assert (found.mean() - layer(x, graph)[0]).abs() < 4 * error


def test_the_work_does_not_depend_on_nodes_that_are_not_met():
    """Degrees of a power law: the hub alone has all its edges looked at."""
    nodes = 2000
    hub = [(j, 0) for j in range(1, nodes)] + [(0, j) for j in range(1, nodes)]
    graph = plain(nodes, hub)
    blocks = graph.sample(torch.tensor([1, 2]), [5, 3], seeded())
    assert [block.graph.num_edges for block in blocks] == [2 + 3, 2]
    assert [len(block.sources) for block in blocks] == [
        3 + len(set(blocks[0].sources[3:].tolist())),
        3,
    ]


@settings(max_examples=150)
@given(chosen(), some_sizes, st.integers(0, 2**31))
def test_self_loops_are_kept_beside_what_is_drawn(problem, sizes, seed):
    given_graph, nodes = problem
    graph = given_graph.with_self_loops()
    blocks = graph.sample(nodes, sizes, seeded(seed), keep_self_loops=True)
    for block, size in zip(blocks[::-1], sizes, strict=True):
        small, targets = block.graph, block.sources[: block.graph.num_nodes]
        own = small.source == small.target
        assert small.target[own].tolist() == list(range(small.num_nodes))
        others = graph.degree[targets] - 1
        expected = others if size == -1 else others.clamp(max=size)
        assert torch.equal(small.degree, expected + 1)
        assert (graph.source[block.edges] == graph.target[block.edges]).sum() == own.sum()


def test_beside_self_loops_all_subsets_are_drawn():
    graph, generator = plain(4, [(j, 0) for j in range(4)]), seeded(2)
    drawn = [
        graph.sample(torch.tensor([0]), [2], generator, keep_self_loops=True)[0].edges.tolist()
        for _ in range(300)
    ]
    counts = [drawn.count([0, *pair]) for pair in combinations((1, 2, 3), 2)]
    assert sum(counts) == 300
    assert min(counts) > 70  # of 100 on average, with a standard deviation of 8


@few
@given(chosen(least=1), st.booleans(), st.sampled_from([-1, 100]))
def test_a_network_on_blocks_is_that_on_the_graph(problem, residual, size):
    """In values and gradients; the layers need self-loops, or add the node's own state."""
    graph, nodes = problem
    graph = graph.with_self_loops()
    layers = [GATConv(3, 2, 2), SAGEConv(4, 4), GINConv(4, 4), GATv2Conv(4, 2)]
    net = GraphNet(layers, dropout=0.5, residual=residual, activation=torch.tanh).double().eval()
    x = normal(graph.num_nodes, 3).requires_grad_()
    blocks = graph.sample(nodes, [size] * 4, seeded(), keep_self_loops=True)
    found, expected = net(x[blocks[0].sources], blocks), net(x, graph)[nodes]
    assert_near(found, expected)
    (want,) = torch.autograd.grad(expected.sum(), x, retain_graph=True)
    assert_near(torch.autograd.grad(found.sum(), x)[0], want)


@few
@given(chosen(least=1))
def test_a_network_on_blocks_takes_sparse_states(problem):
    graph, nodes = problem
    graph = graph.with_self_loops()
    net = GraphNet([GATConv(3, 2, 2), GATv2Conv(4, 2)]).double()
    x = normal(graph.num_nodes, 3)
    x *= normal(graph.num_nodes, 3, seed=1) > 0
    blocks = graph.sample(nodes, [-1, -1])
    states = CSRMatrix.from_dense(x)[blocks[0].sources]
    assert_near(net(states, blocks), net(x, graph)[nodes])


def test_a_network_on_blocks_drops_a_state_as_a_source_and_as_a_target():
    """One mask for both, since the targets are sources."""
    graph = plain(3, [(0, 0), (1, 1), (2, 2)])
    blocks = graph.sample(torch.arange(3), [-1])
    layer = SAGEConv(1, 1).double()
    with torch.no_grad():
        for weights in (layer.W.weight, layer.U.weight):
            weights.fill_(1)
        layer.U.bias.zero_()
    net = GraphNet([layer], dropout=0.5).train()
    torch.manual_seed(0)
    found = {float(x) for _ in range(20) for x in net(torch.ones(3, 1).double(), blocks).detach()}
    assert found == {0.0, 4.0}  # the state twice, doubled for those that are kept


@pytest.mark.skipif(
    not (pyg_typing.WITH_PYG_LIB or pyg_typing.WITH_TORCH_SPARSE),
    reason="PyTorch Geometric's NeighborLoader needs a compiled sampler that is not on the Python "
    "package index",
)
@few
@given(chosen(least=1))
def test_with_all_neighbours_the_nodes_are_those_of_neighbor_loader(problem):
    graph, nodes = problem
    if not len(nodes):
        return
    whole = Data(x=graph.features, edge_index=graph.edge_index)
    loader = NeighborLoader(whole, num_neighbors=[-1, -1], batch_size=len(nodes), input_nodes=nodes)
    batch = next(iter(loader))
    blocks = graph.sample(nodes, [-1, -1])
    assert set(batch.n_id.tolist()) == set(blocks[0].sources.tolist())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
def test_a_generator_on_the_cpu_draws_the_same_for_a_gpu():
    graph = plain(40, [(j, j % 3) for j in range(40)])
    found = []
    for device in ("cpu", "cuda"):
        blocks = graph.to(device).sample(torch.tensor([0, 1]), [3, 2], seeded())
        found.append([block.edges.tolist() for block in blocks])
    assert found[0] == found[1]


# ---- Errors -----------------------------------------------------------------------------------

G = plain(3, [(0, 1), (1, 2)])
BATCH = Graph.from_graphs([G, G])
ONE = torch.tensor([1])


@pytest.mark.parametrize(
    "method",
    [
        lambda graph, nodes: graph.subgraph(nodes),
        lambda graph, nodes: graph.neighborhood(nodes, 1),
        lambda graph, nodes: graph.sample(nodes, [1]),
    ],
    ids=["subgraph", "neighborhood", "sample"],
)
@pytest.mark.parametrize(
    ("graph", "nodes", "error", "words"),
    [
        (G, [1], TypeError, "nodes: expected an int tensor, got list"),
        (G, ONE.float(), TypeError, "nodes: expected an int tensor.*float32"),
        (G, ONE == 1, TypeError, "nodes: expected an int tensor.*bool"),
        (G, ONE[None], ValueError, "nodes: expected 1 axes"),
        (G, ONE + 2, ValueError, "nodes: expected nodes 0 to 2, got 3 to 3"),
        (G, ONE - 2, ValueError, "nodes: expected nodes 0 to 2, got -1 to -1"),
        (G, torch.tensor([0, 1, 1]), ValueError, "nodes: expected each node once"),
        (plain(0, []), ONE, ValueError, "nodes: expected no nodes, since"),
        (BATCH, ONE, ValueError, "graph: expected one graph, got 2 in a batch"),
    ],
)
def test_errors_name_the_nodes(unchecked, method, graph, nodes, error, words):
    with pytest.raises(error, match=words):
        method(graph, nodes)


NET, X = GraphNet([SAGEConv(1, 1)]), torch.zeros(5, 1)
(BLOCK,) = G.sample(ONE, [1])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: G.neighborhood(ONE, -1), ValueError, "hops: .*at least 0, got -1"),
        (lambda: G.neighborhood(ONE, 1.0), TypeError, "hops: expected an int, got 1.0"),
        (lambda: G.sample(ONE, []), ValueError, "sizes: expected one size per layer, got none"),
        (lambda: G.sample(ONE, [1, -2]), ValueError, "sizes: .*at least -1, got -2"),
        (lambda: G.sample(ONE, [1.0]), TypeError, "sizes: expected only int, got 1.0"),
        (lambda: G.sample(ONE, 2), TypeError, "sizes: expected a sequence of int, got 2"),
        (lambda: G.sample(ONE, [1], 0), TypeError, "generator: .*Generator, got int"),
        (lambda: NET(X, G.sample(ONE, [1, 1])), ValueError, "graph: expected one block per layer"),
        (lambda: NET(X, [G]), TypeError, "graph: expected only SampledBlock"),
        (lambda: NET([0.0], G.sample(ONE, [1])), TypeError, "states: expected a float tensor"),
        (lambda: NET(X, None), TypeError, "graph: expected a .*None"),
        (lambda: NET(X, G.sample(ONE, [1])), ValueError, "states: expected 2 rows, one per source"),
        (lambda: SAGEConv(1, 1)((X, X), BLOCK), ValueError, "states: expected one set.*got a pair"),
        (lambda: GCNConv(1, 1)(X, BLOCK), ValueError, "graph: .*all nodes.*got a block"),
    ],
)
def test_errors_name_the_argument(unchecked, call, error, words):
    with pytest.raises(error, match=words):
        call()
