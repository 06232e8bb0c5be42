from collections import Counter

import networkx as nx
import pytest
import torch
from helpers import few, multigraphs, pairs, plain
from hypothesis import given
from hypothesis import strategies as st

from gatutils.graph import Graph


def full(nodes, edges):
    """The same, with features and labels that tell the nodes apart."""
    numbers = torch.arange(nodes)
    return plain(nodes, edges, features=numbers[:, None] + torch.zeros(1, 2), labels=10 + numbers)


def assert_same(one, other):
    """Two graphs hold the same numbers, in the same order."""
    assert one.nodes == other.nodes
    assert pairs(one) == pairs(other)
    assert one.sizes.tolist() == other.sizes.tolist()
    for mine, theirs in ((one.features, other.features), (one.labels, other.labels)):
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.equal(mine, theirs)


# ---- Edges ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@given(multigraphs())
def test_edges_are_sorted_by_target_and_else_keep_their_order(dtype, problem):
    nodes, edges = problem
    graph = plain(nodes, edges, dtype)
    assert pairs(graph) == sorted(edges, key=lambda edge: edge[1])
    assert graph.source.dtype == graph.target.dtype == torch.int64
    assert (graph.nodes, graph.edges, graph.graphs) == (nodes, len(edges), 1)


@given(multigraphs())
def test_offsets_find_the_edges_of_a_target(problem):
    nodes, edges = problem
    graph = plain(nodes, edges)
    offsets = graph.offsets.tolist()
    assert len(offsets) == nodes + 1
    assert offsets[0] == 0
    assert offsets[-1] == len(edges)
    for i in range(nodes):
        found = graph.source[offsets[i] : offsets[i + 1]].tolist()
        assert found == [j for j, target in edges if target == i]
    assert graph.degree.tolist() == [sum(t == i for _, t in edges) for i in range(nodes)]


@given(multigraphs())
def test_the_way_back_finds_the_edges_of_a_source(problem):
    nodes, edges = problem
    graph = plain(nodes, edges)
    offsets = graph.source_offsets.tolist()
    assert len(offsets) == nodes + 1
    assert offsets[0] == 0
    assert offsets[-1] == len(edges)
    assert sorted(graph.by_source.tolist()) == list(range(len(edges)))
    for j in range(nodes):
        found = graph.target[graph.by_source[offsets[j] : offsets[j + 1]]].tolist()
        assert found == sorted(i for source, i in edges if source == j)


@few
@given(multigraphs())
def test_from_edges_takes_pairs_as_they_are(problem):
    nodes, edges = problem
    assert_same(Graph.from_edges(edges, nodes), plain(nodes, edges))
    assert_same(Graph.from_edges(tuple(edges), nodes), plain(nodes, edges))
    given_too = full(nodes, edges)
    again = Graph.from_edges(edges, nodes, features=given_too.features, labels=given_too.labels)
    assert_same(again, given_too)


@given(multigraphs())
def test_undirected_goes_both_ways_and_a_self_loop_stays_one_edge(problem):
    nodes, edges = problem
    graph = Graph.from_edges(edges, nodes, undirected=True)
    back = [(i, j) for j, i in edges if i != j]
    assert Counter(pairs(graph)) == Counter(edges + back)
    assert torch.equal(graph.adjacency(), graph.adjacency().T)


# ---- Masks ----------------------------------------------------------------------------------


@given(multigraphs())
def test_adjacency_counts_the_edges_from_column_to_row(problem):
    nodes, edges = problem
    A = plain(nodes, edges).adjacency()
    counts = Counter(edges)
    assert A.tolist() == [[counts[j, i] for j in range(nodes)] for i in range(nodes)]


@few
@given(st.integers(0, 6), st.integers(0, 2**31), st.sampled_from([0.0, 0.2, 0.7, 1.0]))
def test_a_mask_there_and_back(nodes, seed, share):
    mask = torch.rand(nodes, nodes, generator=torch.Generator().manual_seed(seed)) < share
    graph = Graph.from_mask(mask)
    assert graph.nodes == nodes
    assert graph.edges == mask.sum()
    assert all(mask[i, j] for j, i in pairs(graph))
    assert torch.equal(graph.mask(), mask)


@given(multigraphs())
def test_a_graph_there_and_back_unless_a_mask_cannot_say_it(problem):
    nodes, edges = problem
    graph = plain(nodes, edges)
    if len(set(edges)) < len(edges):
        with pytest.raises(ValueError, match=r"graph: .*without_duplicates.*got duplicates"):
            graph.mask()
        graph = graph.without_duplicates()
    mask = graph.mask()
    assert mask.dtype == torch.bool
    assert torch.equal(mask, graph.adjacency() == 1)
    again = Graph.from_mask(mask)
    assert (again.nodes, Counter(pairs(again))) == (nodes, Counter(set(edges)))


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
    graph = Graph.from_networkx(theirs)
    assert graph.nodes == nodes
    assert Counter(pairs(graph)) == Counter(expected)
    assert graph.features is None
    assert graph.labels is None


def test_networkx_counts_as_told():
    """Numbers in the order of the nodes; features and labels come with the call."""
    path = nx.Graph([("z", "y"), ("y", "x"), ("x", "x")])
    features, labels = torch.randn(3, 2), torch.arange(3)
    graph = Graph.from_networkx(path, features=features, labels=labels)
    assert sorted(pairs(graph)) == [(0, 1), (1, 0), (1, 2), (2, 1), (2, 2)]
    assert graph.features is features
    assert graph.labels is labels
    twice = nx.MultiGraph([(0, 1), (0, 1), (1, 1), (1, 1)])
    assert Graph.from_networkx(twice).adjacency().tolist() == [[0, 2], [2, 2]]


@given(multigraphs())
def test_to_networkx_and_back(problem):
    nodes, edges = problem
    graph = plain(nodes, edges)
    theirs = graph.to_networkx()
    assert theirs.is_directed()
    assert theirs.is_multigraph() == (len(set(edges)) < len(edges))
    assert list(theirs) == list(range(nodes))
    assert Counter(list(theirs.edges())) == Counter(edges)
    back = Graph.from_networkx(theirs)
    assert (back.nodes, Counter(pairs(back))) == (nodes, Counter(edges))


# ---- Graphs made of graphs --------------------------------------------------------------------


@given(multigraphs())
def test_self_loops_are_added_once_and_never_silently(problem):
    nodes, edges = problem
    graph = full(nodes, edges)
    proper = [(j, i) for j, i in edges if i != j]
    looped = graph.with_self_loops()
    assert Counter(pairs(looped)) == Counter(proper + [(i, i) for i in range(nodes)])
    assert Counter(pairs(looped.with_self_loops())) == Counter(pairs(looped))
    assert graph.with_self_loops() is looped
    bare = graph.without_self_loops()
    assert Counter(pairs(bare)) == Counter(proper)
    for other in (looped, bare):
        assert other.features is graph.features
        assert other.labels is graph.labels
    assert Counter(pairs(graph)) == Counter(edges)


@given(multigraphs())
def test_without_duplicates_each_edge_is_there_once(problem):
    nodes, edges = problem
    graph = full(nodes, edges)
    once = graph.without_duplicates()
    assert Counter(pairs(once)) == Counter(set(edges))
    assert once.features is graph.features
    assert once.labels is graph.labels
    assert graph.edges == len(edges)


@few
@given(multigraphs())
def test_other_features_and_no_edges_leave_the_rest_as_it_was(problem):
    nodes, edges = problem
    batch = Graph.batch([full(nodes, edges), full(1, [(0, 0)])])
    features, labels = torch.randn(nodes + 1, 3), torch.randn(nodes + 1)
    other = batch.with_features(features, labels)
    assert other.features is features
    assert other.labels is labels
    bare = other.with_features(None)
    assert bare.features is None
    assert bare.labels is labels
    for graph in (other, bare):
        assert pairs(graph) == pairs(batch)
        assert graph.sizes.tolist() == batch.sizes.tolist() == [nodes, 1]
    alone = batch.without_edges()
    assert_same(alone, Graph.batch([full(nodes, []), full(1, [])]))
    assert batch.edges == len(edges) + 1


@given(multigraphs(), st.randoms(use_true_random=False), st.sampled_from([torch.int32, torch.long]))
def test_permuted_is_the_same_graph_with_other_numbers(problem, random, dtype):
    nodes, edges = problem
    graph = full(nodes, edges)
    order = list(range(nodes))
    random.shuffle(order)
    other = graph.permuted(torch.tensor(order, dtype=dtype))
    renamed = [(order[j], order[i]) for j, i in pairs(other)]
    assert Counter(renamed) == Counter(edges)
    assert other.features[:, 0].tolist() == order
    assert (other.labels - 10).tolist() == order
    assert torch.equal(other.adjacency(), graph.adjacency()[order][:, order])
    bare = plain(nodes, edges).permuted(torch.tensor(order, dtype=dtype))
    assert bare.features is None
    assert bare.labels is None


# ---- Batches ----------------------------------------------------------------------------------


@given(st.lists(multigraphs(most=4), min_size=1, max_size=4))
def test_a_batch_has_the_graphs_as_blocks(problems):
    graphs = [full(*problem) for problem in problems]
    batch = Graph.batch(graphs)
    assert torch.equal(batch.adjacency(), torch.block_diag(*(g.adjacency() for g in graphs)))
    counts = [g.nodes for g in graphs]
    assert batch.graphs == len(graphs)
    assert batch.sizes.tolist() == counts
    assert batch.member.tolist() == [k for k, n in enumerate(counts) for _ in range(n)]
    assert torch.equal(batch.features, torch.cat([g.features for g in graphs]))
    assert torch.equal(batch.labels, torch.cat([g.labels for g in graphs]))
    for other in (batch.with_self_loops(), batch.without_self_loops(), batch.without_duplicates()):
        assert other.sizes.tolist() == counts


@few
@given(st.lists(multigraphs(most=4), min_size=1, max_size=4), st.integers(1, 3))
def test_a_batch_of_batches_is_one_of_all_the_graphs(problems, first):
    graphs = [full(*problem) for problem in problems]
    parts = [part for part in (graphs[:first], graphs[first:]) if part]
    assert_same(Graph.batch([Graph.batch(part) for part in parts]), Graph.batch(graphs))


def test_a_batch_of_one_and_of_bare_graphs():
    graph = full(2, [(0, 1)])
    assert_same(Graph.batch([graph]), graph)
    bare = Graph.batch([plain(2, [(0, 1)]), plain(0, [])])
    assert bare.features is None
    assert bare.labels is None
    assert bare.sizes.tolist() == [2, 0]
    only = [plain(1, [], labels=torch.zeros(1)), plain(2, [], labels=torch.ones(2))]
    assert Graph.batch(only).labels.tolist() == [0, 1, 1]
    assert Graph.batch(only).features is None


# ---- The rest ---------------------------------------------------------------------------------


def test_to_moves_all_there_is():
    batch = Graph.batch([full(2, [(0, 1), (1, 1)]), full(1, [])])
    assert_same(batch.to("cpu"), batch)
    assert_same(batch.to(torch.device("cpu")), batch)
    # A device without numbers is everywhere; only where there are edges would they be read.
    moved = Graph.batch([full(2, []), full(1, [])]).to("meta")
    parts = [moved.source, moved.target, moved.features, moved.labels, moved.member]
    assert {part.device.type for part in parts} == {"meta"}
    assert moved.sizes.tolist() == [2, 1]
    assert plain(1, []).to("meta").features is None


def test_it_says_what_it_is():
    graph = plain(3, [(0, 1), (0, 1)])
    assert repr(graph) == "Graph(3 nodes, 2 edges)"
    assert repr(full(3, [(0, 1)])) == "Graph(3 nodes, 1 edges, 2 features)"
    assert repr(Graph.batch([graph, graph])) == "Graph(2 graphs, 6 nodes, 4 edges)"


NONE = torch.zeros(0, dtype=torch.long)
ONE, TWO = torch.tensor([1]), torch.tensor([0, 1])
PATH = Graph(3, TWO, TWO + 1)
ROWS = torch.zeros(3, 2)
WITH, LABELED = Graph(3, NONE, NONE, ROWS), Graph(3, NONE, NONE, labels=ROWS)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Graph(-1, NONE, NONE), ValueError, "nodes: .*at least 0, got -1"),
        (lambda: Graph(2.0, NONE, NONE), TypeError, "nodes: expected an int, got 2.0"),
        (lambda: Graph(True, NONE, NONE), TypeError, "nodes: expected an int, got True"),
        (lambda: Graph(2, ONE - 2, ONE), ValueError, "source: .*0 to 1, got -1 to -1"),
        (lambda: Graph(2, ONE, ONE - 2), ValueError, "target: .*0 to 1, got -1 to -1"),
        (lambda: Graph(2, TWO + 1, TWO), ValueError, "source: .*0 to 1, got 1 to 2"),
        (lambda: Graph(2, TWO, TWO + 1), ValueError, "target: .*0 to 1, got 1 to 2"),
        (lambda: Graph(0, TWO, TWO), ValueError, "source: expected nodes"),
        (lambda: Graph(2, TWO.float(), TWO), TypeError, "source: expected a int.*float32"),
        (lambda: Graph(2, TWO, TWO.bool()), TypeError, "target: expected a int.*bool"),
        (lambda: Graph(2, TWO, TWO.short()), TypeError, "target: expected a int.*int16"),
        (lambda: Graph(2, [0], ONE), TypeError, "source: expected a int tensor, got list"),
        (lambda: Graph(2, TWO[None], TWO), ValueError, r"source: .*1 axes, got shape \(1, 2\)"),
        (lambda: Graph(2, TWO, TWO[0]), ValueError, r"target: .*1 axes, got shape \(\)"),
        (lambda: Graph(2, TWO, ONE), ValueError, "target: expected 2 like source, got 1"),
        (lambda: Graph(2, NONE, NONE, ROWS), ValueError, "features: expected 2 rows, got 3"),
        (lambda: Graph(3, NONE, NONE, ROWS[0]), ValueError, "features: expected 2 axes"),
        (lambda: Graph(3, NONE, NONE, ROWS.int()), TypeError, "features: expected a float.*int32"),
        (lambda: Graph(3, NONE, NONE, labels=TWO), ValueError, r"labels: .*3 .*shape \(2,\)"),
        (lambda: Graph(1, NONE, NONE, labels=TWO[0]), ValueError, r"labels: .*shape \(\)"),
        (lambda: Graph(1, NONE, NONE, labels=[1]), TypeError, "labels: .*tensor, got list"),
        (lambda: Graph.from_edges([(0, 1, 2)], 3), ValueError, r"edges: .*pairs.*\(0, 1, 2\)"),
        (lambda: Graph.from_edges([0, 1], 3), TypeError, "edges: expected only Sequence, got 0"),
        (lambda: Graph.from_edges({0: 1}, 3), TypeError, "edges: expected a sequence"),
        (lambda: Graph.from_edges([(0, True)], 3), TypeError, "edges: .*int, got True"),
        (lambda: Graph.from_edges([(0, 1.0)], 3), TypeError, "edges: .*int, got 1.0"),
        (lambda: Graph.from_edges(["ab"], 3), TypeError, "edges: .*int, got 'a'"),
        (lambda: Graph.from_edges([(0, 3)], 3), ValueError, "target: .*0 to 2, got 3 to 3"),
        (lambda: Graph.from_edges([(-1, 0)], 3), ValueError, "source: .*0 to 2, got -1 to -1"),
        (lambda: Graph.from_edges([], "3"), TypeError, "nodes: expected an int, got '3'"),
        (lambda: Graph.from_edges([], 2, features=ROWS), ValueError, "features: expected 2 rows"),
        (lambda: Graph.from_mask(ROWS > 0), ValueError, r"mask: .*as columns, got shape \(3, 2\)"),
        (lambda: Graph.from_mask(ROWS), TypeError, "mask: expected a bool tensor.*float32"),
        (lambda: Graph.from_mask(ROWS[0] > 0), ValueError, "mask: expected 2 axes"),
        (lambda: Graph.from_mask([[True]]), TypeError, "mask: expected a bool tensor, got list"),
        (lambda: Graph.from_networkx([(0, 1)]), TypeError, "graph: .*networkx graph, got list"),
        (lambda: Graph.from_networkx(PATH), TypeError, "graph: .*networkx graph, got Graph"),
        (lambda: PATH.with_features(ROWS[:2]), ValueError, "features: expected 3 rows, got 2"),
        (lambda: PATH.with_features(ROWS, [1]), TypeError, "labels: .*tensor, got list"),
        (lambda: PATH.permuted(TWO), ValueError, r"order: .*0 to 2 once, got \[0, 1\]"),
        (lambda: PATH.permuted(torch.tensor([0, 1, 1])), ValueError, "order: .*once"),
        (lambda: PATH.permuted(torch.tensor([1, 2, 3])), ValueError, "order: .*once"),
        (lambda: PATH.permuted(ROWS[:, 0]), TypeError, "order: expected a int.*float32"),
        (lambda: PATH.permuted([0, 1, 2]), TypeError, "order: expected a int tensor, got list"),
        (lambda: PATH.permuted(ROWS.int()), ValueError, "order: expected 1 axes"),
        (
            lambda: Graph.batch([PATH, PATH]).permuted(torch.arange(6)),
            ValueError,
            "graph: expected one graph, got 2 in a batch",
        ),
        (lambda: Graph.batch([]), ValueError, "graphs: expected one graph or more, got none"),
        (lambda: Graph.batch(PATH), TypeError, "graphs: expected a sequence of Graph"),
        (lambda: Graph.batch([PATH, 3]), TypeError, "graphs: expected only Graph, got 3"),
        (lambda: Graph.batch([PATH, WITH]), ValueError, "graphs: .*features in all or none"),
        (lambda: Graph.batch([LABELED, PATH]), ValueError, "graphs: .*labels in all or none"),
        (
            lambda: Graph.batch([WITH, Graph(3, NONE, NONE, ROWS[:, :1])]),
            ValueError,
            r"graphs: .*features of one width, got \[\(1,\), \(2,\)\]",
        ),
        (
            lambda: Graph.batch([LABELED, Graph(3, NONE, NONE, labels=ROWS[:, 0])]),
            ValueError,
            "graphs: .*labels of one width",
        ),
    ],
)
def test_errors_name_the_argument(unchecked, call, error, words):
    with pytest.raises(error, match=words):
        call()
