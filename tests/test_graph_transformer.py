"""Attention over all pairs of nodes, and how it gets the graph back."""

import math

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gatutils.attention import MultiHeadAttention, attend
from gatutils.book.experiments.graph_transformer import (
    DistanceBias,
    NodeTransformer,
    hop_distances,
    laplacian_encoding,
)
from gatutils.graph import Graph
from gatutils.interop import to_networkx

PATH = Graph.from_edges([(0, 1), (1, 2)], 3, undirected=True)
FEATURES = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
RING = Graph.from_edges(
    [(k, (k + 1) % 8) for k in range(8)] + [(0, 4), (2, 7)],
    9,
    undirected=True,
    features=FEATURES,
    labels=torch.arange(9) % 3,
)


@st.composite
def undirected(draw):
    """Graphs with an edge or more; some have self-loops, several components, lone nodes."""
    nodes = draw(st.integers(2, 9))
    pair = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    edges = [(0, 1), *draw(st.lists(pair, max_size=14))]
    return Graph.from_edges(edges, nodes, undirected=True)


def plain(graph):
    """The same graph for networkx, without self-loops and duplicates."""
    simple = nx.Graph(to_networkx(graph))
    simple.remove_edges_from(list(nx.selfloop_edges(simple)))
    return simple


def positive(graph):
    """How many positive eigenvalues its Laplacian has."""
    return graph.num_nodes - nx.number_connected_components(plain(graph))


def laplacian(graph):
    return torch.from_numpy(nx.normalized_laplacian_matrix(plain(graph)).toarray())


@given(undirected())
def test_encodings_are_orthonormal_eigenvectors_in_order(graph):
    k = positive(graph)
    vectors = laplacian_encoding(graph, k).double()
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(k).double(), atol=1e-5, rtol=0)
    image = laplacian(graph) @ vectors
    values = (vectors * image).sum(dim=0)
    torch.testing.assert_close(image, values * vectors, atol=1e-5, rtol=0)
    assert (values > 1e-4).all()
    assert (values.diff() > -1e-5).all()
    every = torch.linalg.eigvalsh(laplacian(graph))[-k:]
    torch.testing.assert_close(values, every, atol=1e-5, rtol=0)


@given(undirected(), st.integers(0, 2**31), st.integers(1, 8))
def test_encodings_of_renumbered_nodes_span_the_same_spaces(graph, seed, k):
    """Projections onto eigenspaces do not depend on a sign or on the basis."""
    k = min(k, positive(graph))
    values = torch.linalg.eigvalsh(laplacian(graph))[-positive(graph) :]
    while k < len(values) and values[k] - values[k - 1] < 1e-4:
        k += 1  # do not cut an eigenspace in two
    order = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(seed))
    ours = laplacian_encoding(graph, k)
    theirs = laplacian_encoding(graph.permute(order), k)
    torch.testing.assert_close(
        theirs @ theirs.T, (ours @ ours.T)[order][:, order], atol=1e-4, rtol=0
    )


def test_the_encodings_of_a_path_of_three_by_hand():
    first, second = laplacian_encoding(PATH, 2).T
    for found, wanted in ((first, [1.0, 0.0, -1.0]), (second, [1.0, -math.sqrt(2), 1.0])):
        by_hand = nn.functional.normalize(torch.tensor(wanted), dim=0)
        torch.testing.assert_close(found * found[0].sign(), by_hand, atol=1e-6, rtol=0)


def test_encodings_are_refused():
    with pytest.raises(ValueError, match="k: expected at most 2 for this graph, got 3"):
        laplacian_encoding(PATH, 3)
    with pytest.raises(ValueError, match="graph: expected an undirected graph"):
        laplacian_encoding(Graph.from_edges([(0, 1)], 2), 1)


@given(undirected(), st.booleans(), st.integers(1, 6))
def test_hop_distances_are_those_of_networkx(graph, directed, most):
    if directed:  # keep one direction of the first edges
        graph = Graph(graph.num_nodes, graph.source[::2], graph.target[::2])
    wanted = torch.full((graph.num_nodes,) * 2, most)
    for j, lengths in nx.all_pairs_shortest_path_length(to_networkx(graph)):
        for i, length in lengths.items():
            wanted[i, j] = min(length, most)
    assert torch.equal(hop_distances(graph, most), wanted)


def test_a_bias_of_minus_infinity_from_two_steps_on_is_the_mask():
    torch.manual_seed(0)
    masked = MultiHeadAttention(8, 2).double()
    biased = MultiHeadAttention(8, 2).double()
    biased.load_state_dict(masked.state_dict())
    score = DistanceBias(hop_distances(RING, 2), 2).double()
    assert torch.equal(score.bias, torch.zeros(2, 3))
    states = torch.randn(9, 8).double()
    queries, keys = torch.randn(2, 2, 9, 4).double()
    torch.testing.assert_close(score.compare(queries, keys), masked.score.compare(queries, keys))
    with torch.no_grad():
        score.bias[:, 2] = -torch.inf
    biased.score = score
    ours, theirs = biased(states, states), masked(states, states, RING.with_self_loops().mask())
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_a_bias_is_added_to_the_score_of_each_distance():
    score = DistanceBias(hop_distances(PATH, 2), 1)
    with torch.no_grad():
        score.bias[0] = torch.tensor([0.0, -1.0, -2.0])
    _, weights = attend(score.compare(*torch.zeros(2, 1, 3, 4)), torch.zeros(1, 3, 1))
    assert weights[0, 0].tolist() == pytest.approx([0.665, 0.245, 0.090], abs=5e-4)


def net(reach, **more):
    """A network for ``RING`` whose LayerNorms and biases are not at their start."""
    torch.manual_seed(0)
    made = NodeTransformer(RING, 8, 3, reach=reach, **more).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def reached(made):
    """Which nodes change the output of which: one row per output."""
    states = FEATURES.clone().requires_grad_()
    rows = [torch.autograd.grad(out.sum(), states, retain_graph=True)[0].abs().sum(dim=1) > 1e-9
            for out in made(states, RING)]  # fmt: skip
    return torch.stack(rows)


@pytest.mark.parametrize("layers", [1, 2])
def test_nodes_reach_whom_they_attend_to(layers):
    assert torch.equal(reached(net("itself", layers=layers)), torch.eye(9, dtype=torch.bool))
    near = hop_distances(RING, layers + 1) <= layers
    assert torch.equal(reached(net("neighbours", layers=layers)), near)
    assert reached(net("all pairs", layers=layers)).all()


def test_each_node_alone_is_the_mask_of_the_diagonal():
    made = net("itself")
    alone = made(FEATURES, RING)
    made.reach, made.mask = "all pairs", torch.eye(9, dtype=torch.bool)
    torch.testing.assert_close(made(FEATURES, RING), alone)


def test_networks_of_all_kinds_begin_with_the_same_weights():
    kinds = []
    for more in ({}, {"reach": "itself"}, {"encodings": 3}, {"distances": 2}):
        torch.manual_seed(0)
        kinds.append(dict(NodeTransformer(RING, 8, 3, **more).named_parameters()))
    for other in kinds[1:]:
        assert all(torch.equal(other[name], weights) for name, weights in kinds[0].items())


@pytest.mark.parametrize("more", [{}, {"encodings": 3}, {"distances": 2}])
def test_only_encodings_and_distances_bring_the_edges_back(more):
    """The same weights on the same nodes with other edges."""
    made = net("all pairs", **more)
    other = Graph.from_edges([(k, k + 1) for k in range(8)], 9, undirected=True)
    other = other.with_features(FEATURES, RING.labels)
    moved = NodeTransformer(other, 8, 3, **more).eval()
    moved.load_state_dict(made.state_dict())
    same = torch.allclose(moved(FEATURES, other), made(FEATURES, RING))
    assert same == (not more)


def test_signs_are_drawn_in_training_alone():
    made = net("itself", encodings=1)
    still = made(FEATURES, RING)
    assert torch.equal(made(FEATURES, RING), still)
    made.train()
    torch.manual_seed(0)
    drawn = torch.stack([made(FEATURES, RING) for _ in range(20)])
    kinds = drawn.flatten(1).unique(dim=0)
    assert len(kinds) == 2
    made.encoding = -made.encoding
    turned = made.eval()(FEATURES, RING)
    assert {tuple(row) for row in kinds.tolist()} == {
        tuple(row.flatten().tolist()) for row in (still, turned)
    }
    size = laplacian_encoding(RING, 1) * 3
    torch.testing.assert_close(-made.encoding, size)
    assert size.square().mean().item() == pytest.approx(1)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="distances: expected 0 without all pairs"):
        NodeTransformer(RING, 8, 3, reach="neighbours", distances=2)
