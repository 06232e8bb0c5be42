import contextlib
import copy
import io
import itertools
import pickle
from collections import Counter
from operator import attrgetter

import pytest
import torch
from helpers import few, multigraphs, not_none, pairs, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from gatutils import graph as graph_module
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv
from gatutils.message_passing import GCNConv


def full(nodes, edges):
    """The same, with features and labels that tell the nodes apart."""
    numbers = torch.arange(nodes)
    return plain(nodes, edges, features=numbers[:, None] + torch.zeros(1, 2), labels=10 + numbers)


def assert_same(one, other):
    """Two graphs hold the same numbers, in the same order."""
    assert one.num_nodes == other.num_nodes
    assert pairs(one) == pairs(other)
    assert one.sizes.tolist() == other.sizes.tolist()
    assert one.edge_order.tolist() == other.edge_order.tolist()
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
    assert (graph.num_nodes, graph.num_edges, graph.num_graphs) == (nodes, len(edges), 1)


@given(multigraphs())
def test_offsets_find_the_edges_of_a_target(problem):
    nodes, edges = problem
    graph = plain(nodes, edges)
    offsets = graph.indptr.tolist()
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
    offsets = graph.pattern.column_indptr.tolist()
    assert len(offsets) == nodes + 1
    assert offsets[0] == 0
    assert offsets[-1] == len(edges)
    assert sorted(graph.pattern.order.tolist()) == list(range(len(edges)))
    for j in range(nodes):
        found = graph.target[graph.pattern.order[offsets[j] : offsets[j + 1]]].tolist()
        assert found == sorted(i for source, i in edges if source == j)


@few
@given(multigraphs(), st.integers(1, 3), st.booleans())
def test_the_heads_of_a_pattern_are_blocks_of_one_matrix(problem, heads, transposed):
    """Its entries in the order of their rows, each with the position of its number."""
    nodes, edges = problem
    pattern = plain(nodes, edges).pattern
    indptr, indices, positions = made = pattern.head_rows(heads, transposed)
    assert pattern.head_rows(heads, transposed) is made
    positions = torch.arange(len(indices)) if positions is None else positions
    numbers = torch.arange(len(edges) * heads).view(-1, heads)
    found = {}
    for row, (first, end) in enumerate(itertools.pairwise(indptr.tolist())):
        for k in range(first, end):
            found[int(positions[k])] = (row, int(indices[k]))
    ends = pattern.rows.tolist(), pattern.indices.tolist()
    rows, columns = ends[::-1] if transposed else ends
    assert found == {
        int(numbers[k, h]): (rows[k] * heads + h, columns[k] * heads + h)
        for k in range(len(edges))
        for h in range(heads)
    }


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
    assert graph.num_nodes == nodes
    assert graph.num_edges == mask.sum()
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
    assert (again.num_nodes, Counter(pairs(again))) == (nodes, Counter(set(edges)))


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
    assert graph.num_edges == len(edges)


@few
@given(multigraphs())
def test_other_features_and_no_edges_leave_the_rest_as_it_was(problem):
    nodes, edges = problem
    batch = Graph.from_graphs([full(nodes, edges), full(1, [(0, 0)])])
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
    assert_same(alone, Graph.from_graphs([full(nodes, []), full(1, [])]))
    assert batch.num_edges == len(edges) + 1


@given(multigraphs(), st.randoms(use_true_random=False), st.sampled_from([torch.int32, torch.long]))
def test_permuted_is_the_same_graph_with_other_numbers(problem, random, dtype):
    nodes, edges = problem
    graph = full(nodes, edges)
    order = list(range(nodes))
    random.shuffle(order)
    other = graph.permute(torch.tensor(order, dtype=dtype))
    renamed = [(order[j], order[i]) for j, i in pairs(other)]
    assert Counter(renamed) == Counter(edges)
    assert other.features[:, 0].tolist() == order
    assert (other.labels - 10).tolist() == order
    assert torch.equal(other.adjacency(), graph.adjacency()[order][:, order])
    bare = plain(nodes, edges).permute(torch.tensor(order, dtype=dtype))
    assert bare.features is None
    assert bare.labels is None


# ---- Batches ----------------------------------------------------------------------------------


@given(st.lists(multigraphs(most=4), min_size=1, max_size=4))
def test_a_batch_has_the_graphs_as_blocks(problems):
    graphs = [full(*problem) for problem in problems]
    batch = Graph.from_graphs(graphs)
    assert torch.equal(batch.adjacency(), torch.block_diag(*(g.adjacency() for g in graphs)))
    counts = [g.num_nodes for g in graphs]
    assert batch.num_graphs == len(graphs)
    assert batch.sizes.tolist() == counts
    assert batch.batch.tolist() == [k for k, n in enumerate(counts) for _ in range(n)]
    assert torch.equal(not_none(batch.features), torch.cat([g.features for g in graphs]))
    assert torch.equal(not_none(batch.labels), torch.cat([g.labels for g in graphs]))
    for other in (batch.with_self_loops(), batch.without_self_loops(), batch.without_duplicates()):
        assert other.sizes.tolist() == counts


@few
@given(st.lists(multigraphs(most=4), min_size=1, max_size=4), st.integers(1, 3))
def test_a_batch_of_batches_is_one_of_all_the_graphs(problems, first):
    graphs = [full(*problem) for problem in problems]
    parts = [part for part in (graphs[:first], graphs[first:]) if part]
    assert_same(
        Graph.from_graphs([Graph.from_graphs(part) for part in parts]), Graph.from_graphs(graphs)
    )


def test_a_batch_of_one_and_of_bare_graphs():
    graph = full(2, [(0, 1)])
    assert_same(Graph.from_graphs([graph]), graph)
    bare = Graph.from_graphs([plain(2, [(0, 1)]), plain(0, [])])
    assert bare.features is None
    assert bare.labels is None
    assert bare.sizes.tolist() == [2, 0]
    only = [plain(1, [], labels=torch.zeros(1)), plain(2, [], labels=torch.ones(2))]
    assert not_none(Graph.from_graphs(only).labels).tolist() == [0, 1, 1]
    assert Graph.from_graphs(only).features is None


# ---- The rest ---------------------------------------------------------------------------------


def test_to_moves_all_there_is(monkeypatch):
    batch = Graph.from_graphs([full(2, [(0, 1), (1, 1)]), full(1, [])])
    assert batch.to("cpu") is batch
    assert batch.to(torch.device("cpu")) is batch
    # A second device that is everywhere; it holds no numbers, and so is refused.
    monkeypatch.setattr(graph_module, "expect_device", lambda device, name: torch.device(device))
    moved = batch.to("meta")
    parts = ["source", "target", "features", "labels", "batch", "edge_order"]
    assert {getattr(moved, name).device.type for name in parts} == {"meta"}
    assert [len(getattr(moved, name)) for name in parts] == [2, 2, 3, 3, 3, 2]
    assert moved.sizes.tolist() == [2, 1]
    assert plain(1, []).to("meta").features is None
    assert batch.source.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@few
@given(multigraphs())
def test_to_cuda_and_back(problem):
    batch = Graph.from_graphs([full(*problem), full(1, [(0, 0)])])
    for graph in (batch, batch.with_self_loops()):
        assert_same(graph.to("cuda").to("cpu"), graph)
    assert_same(batch.to("cuda").with_self_loops().to("cpu"), batch.with_self_loops())
    assert_same(batch.to("cuda").without_duplicates().to("cpu"), batch.without_duplicates())


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_to_cuda_where_there_is_none(unchecked):
    with pytest.raises(ValueError, match=r"device: expected a device that .*'cuda'"):
        PATH.to("cuda")


# ---- Which edge is which ------------------------------------------------------------------------


def ends(edges):
    """What each given edge carries here: its own ends."""
    return torch.tensor(edges, dtype=torch.long).reshape(-1, 2)


@given(multigraphs())
def test_edge_order_brings_data_of_edges_along(problem):
    """One row per given edge; and back again."""
    nodes, edges = problem
    for graph in (plain(nodes, edges), Graph.from_edges(edges, nodes)):
        assert graph.edge_order.dtype == torch.long
        assert sorted(graph.edge_order.tolist()) == list(range(len(edges)))
        assert torch.equal(ends(edges)[graph.edge_order], graph.edge_index.T)
        carried = torch.randn(len(edges), 2)
        back = torch.empty_like(carried).index_copy(0, graph.edge_order, carried)
        assert torch.equal(back[graph.edge_order], carried)
        of_one_target = graph.target.diff() == 0  # they keep their order
        assert (graph.edge_order.diff()[of_one_target] > 0).all()


@given(multigraphs())
def test_both_ways_of_an_undirected_edge_are_one_given_edge(problem):
    nodes, edges = problem
    graph = Graph.from_edges(edges, nodes, undirected=True)
    found = ends(edges)[graph.edge_order]
    assert torch.equal(found.sort(dim=1).values, graph.edge_index.T.sort(dim=1).values)
    counts = Counter(graph.edge_order.tolist())
    assert counts == {k: 1 if j == i else 2 for k, (j, i) in enumerate(edges)}
    one_way = (found == graph.edge_index.T).all(dim=1)
    assert sorted(graph.edge_order[one_way].tolist()) == list(range(len(edges)))


@few
@given(st.integers(0, 6), st.integers(0, 2**31))
def test_the_edges_of_a_mask_are_its_true_entries_row_by_row(nodes, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(nodes, nodes, generator=generator) < 0.5
    scores = torch.randn(nodes, nodes, generator=generator)
    graph = Graph.from_mask(mask)
    assert torch.equal(scores[mask], scores[graph.target, graph.source])
    assert torch.equal(scores[mask][graph.edge_order], scores[graph.target, graph.source])


STEPS = [
    "with_self_loops",
    "without_self_loops",
    "without_duplicates",
    "without_edges",
    "with_features",
    "to",
    "permuted",
    "batch",
]


@settings(max_examples=150)
@given(multigraphs(), st.lists(st.sampled_from(STEPS), max_size=5), multigraphs(most=3), st.data())
def test_edge_order_refers_to_the_given_edges_through_all_that_is_made(problem, steps, other, data):
    """Nodes keep a name, whatever their number; a given edge is the names of its ends."""
    nodes, edges = problem
    graph, names, rows = full(nodes, edges), [*range(nodes)], list(edges)
    for step in steps:
        if step == "permuted":
            if graph.num_graphs > 1:
                continue
            order = data.draw(st.permutations(range(graph.num_nodes)))
            graph, names = graph.permute(torch.tensor(order).long()), [names[k] for k in order]
        elif step == "batch":
            more = len(names)
            graph = Graph.from_graphs([graph, full(*other)])
            names += [more + 100 + k for k in range(other[0])]
            rows += [(more + 100 + j, more + 100 + i) for j, i in other[1]]
        elif step == "with_features":
            graph = graph.with_features(graph.features)
        elif step == "to":
            graph = graph.to("cpu")
        else:
            if step == "with_self_loops":
                looped = {
                    rows[k][0]
                    for k, (j, i) in zip(graph.edge_order, pairs(graph), strict=True)
                    if j == i
                }
                added = set(names) - looped
                rows += [(name, name) for name in names]
            graph = getattr(graph, step)()
            if step == "with_self_loops":
                behind = graph.edge_order >= len(rows) - len(names)
                assert {rows[k][0] for k in graph.edge_order[behind]} == added
        found = [rows[k] for k in graph.edge_order.tolist()]
        assert found == [(names[j], names[i]) for j, i in pairs(graph)]


def test_of_several_edges_the_first_is_kept():
    graph = plain(2, [(1, 1), (0, 1), (1, 1), (0, 0), (0, 1)])
    assert graph.without_duplicates().edge_order.tolist() == [3, 1, 0]
    assert plain(2, [(1, 1), (1, 1)]).with_self_loops().edge_order.tolist() == [2, 0]


def test_data_without_rows_for_added_loops_are_an_error():
    """Instead of the last row, as a number of -1 would give."""
    with pytest.raises(IndexError):
        torch.zeros(2)[PATH.with_self_loops().edge_order]


def test_the_edge_index_is_sources_above_targets():
    graph = plain(3, [(2, 0), (1, 2), (0, 1)])
    assert graph.edge_index.tolist() == [[2, 0, 1], [0, 1, 2]]
    assert plain(3, []).edge_index.shape == (2, 0)


# ---- What cannot be changed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("num_nodes", "create a new one"),
        ("source", "create a new one"),
        ("edge_order", "create a new one"),
        ("indptr", "create a new one"),
        ("features", "with_features returns one with other features"),
        ("labels", r"with_features\(features, labels\)"),
        ("sizes", r"Graph\(\.\.\., sizes=\.\.\.\) or Graph.from_graphs"),
        ("weights", "create a new one"),
    ],
)
def test_no_attribute_can_be_set_or_deleted(name, words):
    graph = Graph.from_graphs([full(2, [(0, 1)])])
    before = pickle.dumps(graph)
    for change in (lambda: setattr(graph, name, None), lambda: delattr(graph, name)):
        with pytest.raises(AttributeError, match=f"{name}: a Graph is immutable; {words}"):
            change()
    assert pickle.dumps(graph) == before


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("edges", [[(0, 1), (1, 2)], [(1, 2), (0, 1)]], ids=["sorted", "not"])
def test_a_graph_keeps_its_edges_when_the_given_tensors_change(edges, dtype):
    given_ends, sizes = torch.tensor(edges, dtype=dtype), torch.tensor([3])
    graph = Graph(3, given_ends[:, 0], given_ends[:, 1], sizes=sizes)
    sorted_already = Graph(3, graph.source, graph.target)
    for tensor in (given_ends, sizes, graph.source):
        tensor.fill_(0)
    assert graph.target.tolist() == [1, 2]
    assert sorted_already.source.tolist() == [0, 1]
    assert graph.sizes.tolist() == [3]


@few
@given(st.lists(multigraphs(most=4), min_size=1, max_size=3))
def test_sizes_can_be_given(problems):
    batch = Graph.from_graphs([full(*problem) for problem in problems])
    for sizes in (batch.sizes, batch.sizes.int(), batch.sizes.tolist()):
        parts = (batch.source, batch.target, batch.features, batch.labels)
        again = Graph(batch.num_nodes, *parts, sizes=sizes)
        assert again.batch.tolist() == batch.batch.tolist()
        assert (again.num_graphs, again.sizes.dtype) == (len(problems), torch.long)


def unpickled(graph):
    return pickle.loads(pickle.dumps(graph))


def saved(graph, **more):
    file = io.BytesIO()
    torch.save(graph, file)
    file.seek(0)
    return torch.load(file, **more)


def saved_as_weights(graph):
    with torch.serialization.safe_globals([Graph]):
        return saved(graph, weights_only=True)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": unpickled,
    "torch.save": lambda graph: saved(graph, weights_only=False),
    "torch.save, weights only": saved_as_weights,
}


@pytest.mark.parametrize("aggr", COPIES)
@few
@given(problem=multigraphs())
def test_copies_are_whole_and_frozen_too(aggr, problem):
    graph = Graph.from_graphs([full(*problem), full(1, [(0, 0)])])
    for original in (graph, graph.with_self_loops()):
        _ = original.indptr, original.pattern.order
        other = COPIES[aggr](original)
        assert other is not original
        assert_same(other, original)
        assert_same(other.with_self_loops(), original.with_self_loops())
        assert torch.equal(other.pattern.column_indptr, original.pattern.column_indptr)
        assert_same(Graph.from_graphs([other, other]), Graph.from_graphs([original, original]))
        with pytest.raises(AttributeError, match="features: a Graph is immutable"):
            other.features = None


def test_a_copy_carries_nothing_that_was_made_on_the_way():
    graph = full(200, [(k, k + 1) for k in range(199)])
    small = len(pickle.dumps(graph))
    _ = graph.with_self_loops().pattern.order, graph.indptr
    assert len(pickle.dumps(graph)) == small


def test_two_graphs_of_the_same_edges_are_two():
    one, other = plain(2, [(0, 1)]), plain(2, [(0, 1)])
    assert one != other
    assert one == one
    assert len({one, other, one}) == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_of_data_batches_graphs(workers):
    graphs = [full(n, [(0, n - 1)]) for n in (1, 2, 3)]
    batches = list(
        DataLoader(graphs, batch_size=2, collate_fn=Graph.from_graphs, num_workers=workers)  # type: ignore[arg-type]
    )
    for batch, expected in zip(batches, (graphs[:2], graphs[2:]), strict=True):
        assert_same(batch, Graph.from_graphs(expected))


class Layer(torch.nn.Module):
    """A layer that holds its graph, as what is exported does."""

    def __init__(self, layer, graph):
        super().__init__()
        self.layer, self.graph = layer, graph

    def forward(self, states):
        return self.layer(states, self.graph)


def uses(graph):
    """All that is made when it is first needed."""
    looped = graph.with_self_loops()
    return [
        graph.indptr,
        graph.pattern.order,
        graph.pattern.column_indptr,
        graph.pattern.every,
        graph.pattern.ends,
        *(part for transposed in (False, True) for part in graph.pattern.head_rows(2, transposed)),
        *graph.pattern.head_rows(1, transposed=True),
        looped.source,
        looped.indptr,
    ]


def exported(graph, make, strict):
    try:
        torch.export.export(Layer(make(2, 2), graph), (torch.ones(3, 2),), strict=strict)
    except Exception:  # whatever it is that torch cannot follow
        return


def faked(graph):
    _ = graph.pattern.column_indptr  # as after training; the rest is not there yet
    with FakeTensorMode(allow_non_fake_inputs=True):
        for heads, transposed in ((1, True), (2, True), (2, False)):
            with contextlib.suppress(Exception):
                graph.pattern.head_rows(heads, transposed)
        derived = ("order", "column_indptr", "every", "ends")
        for use in ("indptr", "with_self_loops", *(f"pattern.{name}" for name in derived)):
            try:
                found = attrgetter(use)(graph)
                found = found() if callable(found) else found
            except Exception:
                continue


def evaluated(graph):
    with torch.inference_mode():
        uses(graph)


def transformed(graph, transform):
    transform(lambda x: x.sum() + sum(use.sum() for use in uses(graph)))(torch.ones(3))


TRACERS = {
    "export of GAT": lambda graph: exported(graph, GATConv, strict=False),
    "export of GCN": lambda graph: exported(graph, GCNConv, strict=False),
    "strict export of GAT": lambda graph: exported(graph, GATConv, strict=True),
    "fake tensors": faked,
    "inference mode": evaluated,
    "jacrev": lambda graph: transformed(graph, torch.func.jacrev),
    "hessian": lambda graph: transformed(graph, torch.func.hessian),
    "vmap": lambda graph: transformed(graph, torch.func.vmap),
}


@pytest.mark.parametrize("aggr", TRACERS)
def test_no_tracer_leaves_a_stand_in_behind(unchecked, aggr):
    """As if it had never been: the graph trains, and can be copied."""
    edges = [(2, 1), (0, 1), (1, 0), (1, 1)]
    graph, expected = plain(3, edges), uses(plain(3, edges))
    TRACERS[aggr](graph)
    for mine, whole in zip(uses(graph), expected, strict=True):
        assert type(mine) is torch.Tensor
        assert not mine.is_inference()
        assert mine.tolist() == whole.tolist()
        assert copy.deepcopy(mine).tolist() == whole.tolist()
    states = torch.ones(4, 2, requires_grad=True)
    (states[graph.pattern.order].sum() + states[graph.with_self_loops().source].sum()).backward()
    assert not_none(states.grad).isfinite().all()


class Watch(TorchDispatchMode):
    """Notes the operations that are done."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "make",
    [
        lambda g: Graph(3, g.source, g.target),
        lambda g: g.with_features(torch.ones(3, 1)),
        lambda g: g.without_self_loops(),
        lambda g: g.without_edges(),
        lambda g: g.to("cpu"),
        lambda g: Graph.from_graphs([g, g]),
        lambda g: Graph.from_mask(g.mask()),
        copy.copy,
    ],
)
def test_what_is_sorted_is_not_sorted_again(make):
    graph = plain(3, [(2, 1), (0, 1), (1, 0), (1, 1)])
    with Watch() as watch:
        made = make(graph)
        _ = made.indptr
    assert made.target.diff().min() >= 0 if made.num_edges else True
    assert not {"sort", "argsort"} & watch.names
    with Watch() as watch:
        plain(2, [(0, 1), (1, 0)])
    assert "sort" in watch.names


def test_it_says_what_it_is():
    graph = plain(3, [(0, 1), (0, 1)])
    assert repr(graph) == "Graph(3 nodes, 2 edges)"
    assert repr(full(3, [(0, 1)])) == "Graph(3 nodes, 1 edges, 2 features)"
    assert repr(Graph.from_graphs([graph, graph])) == "Graph(2 graphs, 6 nodes, 4 edges)"


NONE = torch.zeros(0, dtype=torch.long)
ONE, TWO = torch.tensor([1]), torch.tensor([0, 1])
PATH = Graph(3, TWO, TWO + 1)
ROWS = torch.zeros(3, 2)
WITH, LABELED = Graph(3, NONE, NONE, ROWS), Graph(3, NONE, NONE, labels=ROWS)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Graph(-1, NONE, NONE), ValueError, "nodes: .*at least 0, got -1"),
        (lambda: Graph(2.0, NONE, NONE), TypeError, "nodes: expected an int, got 2.0"),  # type: ignore[arg-type]
        (lambda: Graph(True, NONE, NONE), TypeError, "nodes: expected an int, got True"),
        (lambda: Graph(2, ONE - 2, ONE), ValueError, "source: .*0 to 1, got -1 to -1"),
        (lambda: Graph(2, ONE, ONE - 2), ValueError, "target: .*0 to 1, got -1 to -1"),
        (lambda: Graph(2, TWO + 1, TWO), ValueError, "source: .*0 to 1, got 1 to 2"),
        (lambda: Graph(2, TWO, TWO + 1), ValueError, "target: .*0 to 1, got 1 to 2"),
        (lambda: Graph(0, TWO, TWO), ValueError, "source: expected no edges, since .* got 0 to 1"),
        (lambda: Graph(2, TWO.float(), TWO), TypeError, "source: expected an int.*float32"),
        (lambda: Graph(2, TWO, TWO.bool()), TypeError, "target: expected an int.*bool"),
        (lambda: Graph(2, TWO, TWO.short()), TypeError, "target: expected an int.*int16"),
        (lambda: Graph(2, [0], ONE), TypeError, "source: expected an int tensor, got list"),  # type: ignore[arg-type]
        (lambda: Graph(2, TWO[None], TWO), ValueError, r"source: .*1 axes, got shape \(1, 2\)"),
        (lambda: Graph(2, TWO, TWO[0]), ValueError, r"target: .*1 axes, got shape \(\)"),
        (lambda: Graph(2, TWO, ONE), ValueError, "target: expected 2 like source, got 1"),
        (lambda: Graph(2, NONE, NONE, ROWS), ValueError, "features: expected 2 rows, got 3"),
        (lambda: Graph(3, NONE, NONE, ROWS[0]), ValueError, "features: expected 2 axes"),
        (lambda: Graph(3, NONE, NONE, ROWS.int()), TypeError, "features: expected a float.*int32"),
        (lambda: Graph(3, NONE, NONE, labels=TWO), ValueError, r"labels: .*3 .*shape \(2,\)"),
        (lambda: Graph(1, NONE, NONE, labels=TWO[0]), ValueError, r"labels: .*shape \(\)"),
        (lambda: Graph(1, NONE, NONE, labels=[1]), TypeError, "labels: .*tensor, got list"),  # type: ignore[arg-type]
        (lambda: Graph(3, TWO, TWO, sizes=[2]), ValueError, r"sizes: .*sum to 3, got \[2\]"),
        (lambda: Graph(3, TWO, TWO, sizes=[4, -1]), ValueError, r"sizes: .*got \[4, -1\]"),
        (lambda: Graph(0, NONE, NONE, sizes=[]), ValueError, r"sizes: .*got \[\]"),
        (lambda: Graph(3, TWO, TWO, sizes=3), TypeError, "sizes: expected a sequence of int"),  # type: ignore[arg-type]
        (lambda: Graph(3, TWO, TWO, sizes=[3.0]), TypeError, "sizes: expected only int, got 3.0"),  # type: ignore[list-item]
        (lambda: Graph(3, TWO, TWO, sizes=ROWS[0]), TypeError, "sizes: expected an int tensor"),
        (lambda: Graph(3, TWO, TWO + 1, sizes=[1, 2]), ValueError, r"sizes: .*\[\(0, 1\)\]"),
        (lambda: Graph(3, TWO.to("meta"), TWO), ValueError, "source: .*numbers, got one on 'meta'"),
        (lambda: PATH.to("meta"), ValueError, "device: expected a device that holds numbers"),
        (lambda: PATH.to("nonsense"), ValueError, "device: expected .*machine.*got 'nonsense'"),
        (lambda: PATH.to(torch.float64), TypeError, "device: expected a device .*float64"),  # type: ignore[arg-type]
        (lambda: plain(0, []).permute(ONE), ValueError, r"order: .*since .* no nodes, got \[1\]"),
        (lambda: Graph.from_edges([(0, 1, 2)], 3), ValueError, r"edges: .*pairs.*\(0, 1, 2\)"),  # type: ignore[list-item]
        (lambda: Graph.from_edges([0, 1], 3), TypeError, "edges: expected only Sequence, got 0"),  # type: ignore[list-item]
        (lambda: Graph.from_edges({0: 1}, 3), TypeError, "edges: expected a sequence"),  # type: ignore[arg-type]
        (lambda: Graph.from_edges([(0, True)], 3), TypeError, "edges: .*int, got True"),
        (lambda: Graph.from_edges([(0, 1.0)], 3), TypeError, "edges: .*int, got 1.0"),  # type: ignore[list-item]
        (lambda: Graph.from_edges(["ab"], 3), TypeError, "edges: .*int, got 'a'"),  # type: ignore[list-item]
        (lambda: Graph.from_edges([(0, 3)], 3), ValueError, "target: .*0 to 2, got 3 to 3"),
        (lambda: Graph.from_edges([(-1, 0)], 3), ValueError, "source: .*0 to 2, got -1 to -1"),
        (lambda: Graph.from_edges([], "3"), TypeError, "nodes: expected an int, got '3'"),  # type: ignore[arg-type]
        (lambda: Graph.from_edges([], 2, features=ROWS), ValueError, "features: expected 2 rows"),
        (lambda: Graph.from_mask(ROWS > 0), ValueError, r"mask: .*as columns, got shape \(3, 2\)"),
        (lambda: Graph.from_mask(ROWS), TypeError, "mask: expected a bool tensor.*float32"),
        (lambda: Graph.from_mask(ROWS[0] > 0), ValueError, "mask: expected 2 axes"),
        (lambda: Graph.from_mask([[True]]), TypeError, "mask: expected a bool tensor, got list"),  # type: ignore[arg-type]
        (lambda: PATH.with_features(ROWS[:2]), ValueError, "features: expected 3 rows, got 2"),
        (lambda: PATH.with_features(ROWS, [1]), TypeError, "labels: .*tensor, got list"),  # type: ignore[arg-type]
        (lambda: PATH.permute(TWO), ValueError, r"order: .*0 to 2 once, got \[0, 1\]"),
        (lambda: PATH.permute(torch.tensor([0, 1, 1])), ValueError, "order: .*once"),
        (lambda: PATH.permute(torch.tensor([1, 2, 3])), ValueError, "order: .*once"),
        (lambda: PATH.permute(ROWS[:, 0]), TypeError, "order: expected an int.*float32"),
        (lambda: PATH.permute([0, 1, 2]), TypeError, "order: expected an int tensor, got list"),  # type: ignore[arg-type]
        (lambda: PATH.permute(ROWS.int()), ValueError, "order: expected 1 axes"),
        (
            lambda: Graph.from_graphs([PATH, PATH]).permute(torch.arange(6)),
            ValueError,
            "graph: expected one graph, got 2 in a batch",
        ),
        (lambda: Graph.from_graphs([]), ValueError, "graphs: expected one graph or more, got none"),
        (lambda: Graph.from_graphs(PATH), TypeError, "graphs: expected a sequence of Graph"),  # type: ignore[arg-type]
        (lambda: Graph.from_graphs([PATH, 3]), TypeError, "graphs: expected only Graph, got 3"),  # type: ignore[list-item]
        (lambda: Graph.from_graphs([PATH, WITH]), ValueError, "graphs: .*features in all or none"),
        (lambda: Graph.from_graphs([LABELED, PATH]), ValueError, "graphs: .*labels in all or none"),
        (
            lambda: Graph.from_graphs([WITH, Graph(3, NONE, NONE, ROWS[:, :1])]),
            ValueError,
            r"graphs: .*features of one width, got \[\(1,\), \(2,\)\]",
        ),
        (
            lambda: Graph.from_graphs([LABELED, Graph(3, NONE, NONE, labels=ROWS[:, 0])]),
            ValueError,
            "graphs: .*labels of one width",
        ),
    ],
)
def test_errors_name_the_argument(unchecked, call, error, words):
    with pytest.raises(error, match=words):
        call()
