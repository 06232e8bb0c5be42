import math
from collections import Counter
from functools import partial

import pytest
import torch
from helpers import few, normal, not_none, plain, problems, side_by_side
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch_geometric.nn import GATConv as TheirGATConv
from torch_geometric.nn import GATv2Conv as TheirGATv2Conv

from gatutils import _kernels
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv, GraphAttention, attend_edges
from gatutils.message_passing import (
    GatedGraphConv,
    GCNConv,
    GINConv,
    GraphNet,
    SAGEConv,
    aggregate,
    readout,
)
from gatutils.sparse import CSRMatrix

every_kind = pytest.mark.parametrize("kind", [GATConv, GATv2Conv])
# Far below what single precision would leave.
assert_near = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)


def made(kind, *widths, seed=0, **more):
    """A layer in double precision, none of its weights 0 as some are at the start."""
    layer = kind(*(widths or (3, 2)), **more).double()
    with torch.no_grad():
        for k, weights in enumerate(layer.parameters()):
            weights.copy_(normal(*weights.shape, seed=seed + k))
    return layer


@st.composite
def choices(draw):
    """What a layer can be made with."""
    return {
        "heads": draw(st.integers(1, 4)),
        "concat": draw(st.booleans()),
        "negative_slope": draw(st.sampled_from([0.2, 0.0, 0.01, 1.0])),
        "bias": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**31)),
    }


def slopes(layer, states, run):
    """What ``run`` returns, and the gradients of states and weights by a loss on all of that."""
    x = states.clone().requires_grad_()
    outputs = run(x)
    loss = sum((out * normal(*out.shape, seed=k)).sum() for k, out in enumerate(outputs))
    inputs = (x, *layer.parameters())
    return *outputs, *torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)


# ---- What it computes -------------------------------------------------------------------------


@every_kind
def test_the_edges_alone_give_what_all_pairs_and_a_mask_give(kind):
    """In states, weights and all gradients, on 200 graphs or more."""
    met: Counter[str] = Counter()

    @settings(max_examples=103)
    @given(side_by_side(2, most=7), choices(), st.booleans(), st.sampled_from([_kernels.CHUNK, 3]))
    def compare(problem, chosen, weights_too, chunk):
        states, edges, seen = problem
        graph = plain(len(states), edges).without_duplicates()
        met.update(seen)
        layer, mask = made(kind, **chosen), graph.mask()

        def by_edges(x):
            out, weights = layer(x, graph, return_attention_weights=True)
            assert torch.equal(layer(x, graph), out)
            return (out, weights.T) if weights_too else (out,)

        def by_pairs(x):
            out, weights = layer.dense(x, mask)
            assert (weights[:, ~mask] == 0).all()
            return (out, weights[:, graph.target, graph.source]) if weights_too else (out,)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_kernels, "CHUNK", chunk)
            found = slopes(layer, states, by_edges)
        for one, other in zip(found, slopes(layer, states, by_pairs), strict=True):
            assert_near(one, other)

    compare()
    assert met["a graph"] >= 200
    assert min(met["a node without edges"], met["a self-loop"]) >= 20


def times(matrix, vector):
    return [math.fsum(w * x for w, x in zip(row, vector, strict=True)) for row in matrix]


def dot(one, other):
    return math.fsum(x * y for x, y in zip(one, other, strict=True))


def by_formula(layer, states, edges):
    """The papers' equations in Python's numbers, a head and a node at a time."""

    def leaky(number):
        return number if number > 0 else layer.negative_slope * number

    rows, W, a = states.tolist(), layer.W.tolist(), layer.a.tolist()
    dim, second = layer.out_features, isinstance(layer, GATv2Conv)
    heads, all_weights = [], []
    for h in range(layer.heads):
        if second:
            bias = [0.0] * dim, [0.0] * dim
            if layer.b is not None:
                at = slice(h * dim, (h + 1) * dim)
                bias = layer.b_W.tolist()[at], layer.b_U.tolist()[at]
            asks = [[x + y for x, y in zip(times(W[h], r), bias[0], strict=True)] for r in rows]
            U = layer.U.tolist()[h]
            asked = [[x + y for x, y in zip(times(U, r), bias[1], strict=True)] for r in rows]
        else:
            asks = asked = [times(W[h], r) for r in rows]
        contexts = []
        for i in range(len(rows)):
            seen = [j for j, target in edges if target == i]
            scores = [
                dot(a[h], [leaky(q + k) for q, k in zip(asks[i], asked[j], strict=True)])
                if second
                else leaky(dot(a[h], asks[i] + asked[j]))
                for j in seen
            ]
            exps = [math.exp(score) for score in scores]
            weights = [number / math.fsum(exps) for number in exps]
            all_weights += weights
            mixed = (dot(weights, [asked[j][d] for j in seen]) for d in range(dim))
            contexts.append(list(mixed))
        heads.append(contexts)
    out = []
    for own in zip(*heads, strict=True):  # a node's contexts
        if layer.concat:
            joined = [number for context in own for number in context]
        else:
            joined = [math.fsum(column) / len(own) for column in zip(*own, strict=True)]
        shift = [0.0] * len(joined) if layer.b is None else layer.b.tolist()
        out.append([x + y for x, y in zip(joined, shift, strict=True)])
    return torch.tensor(out, dtype=torch.float64), torch.tensor(all_weights, dtype=torch.float64)


@every_kind
@settings(max_examples=100)
@given(problem=problems(least=1), chosen=choices())
def test_is_the_formula_of_its_paper(kind, problem, chosen):
    """An edge that is there twice counts twice."""
    states, edges = problem
    graph, layer = plain(len(states), edges), made(kind, **chosen)
    out, weights = layer(states, graph, return_attention_weights=True)
    expected, expected_weights = by_formula(layer, states, edges)
    assert_near(out, expected)
    assert_near(weights.T.flatten(), expected_weights)


@every_kind
def test_an_edge_that_is_there_twice_counts_twice(kind):
    layer, x = made(kind, heads=2), normal(3, 3)
    _, once = layer(x, plain(3, [(0, 1), (2, 1)]), return_attention_weights=True)
    _, twice = layer(x, plain(3, [(0, 1), (2, 1), (2, 1)]), return_attention_weights=True)
    assert_near(twice[1], twice[2])
    assert_near(twice[1] / twice[0], once[1] / once[0])
    assert_near(twice[0], once[0] / (1 + once[1]))


# No node, one, more edges than pairs of nodes; and a graph as others are.
@pytest.mark.parametrize(
    ("nodes", "edges"),
    [
        (0, []),
        (1, []),
        (1, [(0, 0)]),
        (1, [(0, 0)] * 3),
        (2, [(0, 1), (0, 1), (0, 1), (1, 1), (1, 0), (0, 1)]),
        (2, []),
        (4, [(0, 1), (2, 1), (2, 1), (2, 2), (0, 2)]),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.5])
@every_kind
def test_the_gradients_are_the_derivatives(kind, nodes, edges, share):
    """Of states and weights together, by inputs and every parameter, in training too."""
    graph, layer = plain(nodes, edges), made(kind, heads=2, concat=share == 0, dropout=share)
    names, weights = zip(*layer.named_parameters(), strict=True)

    def run(x, *weights):
        torch.manual_seed(5)  # the same numbers go dark
        named = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(layer, named, (x, graph, True))

    inputs = (normal(nodes, 3, seed=9).requires_grad_(), *weights)
    out, attention = run(*inputs)
    assert (len(out), len(attention)) == (nodes, len(edges))
    if nodes:
        assert torch.autograd.gradcheck(run, inputs)
    else:
        grads = torch.autograd.grad(out.sum() + attention.sum(), inputs)
        assert all((grad == 0).all() for grad in grads)


@every_kind
@few
@given(problem=problems(), chosen=choices())
def test_the_weights_of_each_node_and_head_are_a_distribution(kind, problem, chosen):
    states, edges = problem
    graph = plain(len(states), edges)
    layer = made(kind, **chosen, dropout=0.9)  # which acts behind them
    _, weights = layer(states, graph, return_attention_weights=True)
    assert weights.shape == (graph.num_edges, layer.heads)
    assert (weights >= 0).all()
    total = torch.zeros(len(states), layer.heads).double().index_add(0, graph.target, weights)
    assert_near(total, (graph.degree > 0).double()[:, None].expand_as(total))


@every_kind
@pytest.mark.parametrize("dense", [False, True])
def test_each_head_has_a_vector_of_its_own(kind, dense):
    x, graph = normal(4, 3), plain(4, [(0, 1), (2, 1), (3, 1), (0, 2), (1, 2)])
    layer = made(kind, heads=3)
    run = (lambda: layer.dense(x, graph.mask())[0]) if dense else (lambda: layer(x, graph))
    before = run().view(4, 3, 2)
    with torch.no_grad():
        layer.a[1] = normal(*layer.a[1].shape, seed=8)
    after = run().view(4, 3, 2)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert (before[[1, 2], 1] != after[[1, 2], 1]).all()


@every_kind
@few
@given(problem=problems(least=1), chosen=choices())
def test_with_equal_scores_it_is_the_mean(kind, problem, chosen):
    """Of the values: what SAGE brings together."""
    states, edges = problem
    graph, layer = plain(len(states), edges), made(kind, **(chosen | {"concat": True}))
    with torch.no_grad():
        layer.a.zero_()
        *_, values = layer.project(states)
        expected = aggregate(values.flatten(1), graph, "mean")
    assert_near(layer(states, graph), expected if layer.b is None else expected + layer.b)


def rankings(layer, states):
    """For each node and head, all nodes from the most to the least wanted."""
    nodes = len(states)
    graph = plain(nodes, [(j, i) for i in range(nodes) for j in range(nodes)])
    _, weights = layer(states, graph, return_attention_weights=True)
    return weights.T.reshape(layer.heads, nodes, nodes).argsort(dim=2, descending=True)


@pytest.mark.parametrize("seed", range(10))
def test_the_ranking_of_gat_is_the_same_for_all_that_ask(seed):
    """Which is what GATv2 was made for."""
    states = normal(6, 3, seed=seed)
    ranks = rankings(made(GATConv, heads=4, seed=10 * seed), states)
    assert (ranks == ranks[:, :1]).all()
    ranks = rankings(made(GATv2Conv, heads=4, seed=10 * seed), states)
    assert (ranks != ranks[:, :1]).any()


# ---- Nodes without neighbours, large and bad numbers ------------------------------------------


@every_kind
@pytest.mark.parametrize("concat", [True, False])
def test_who_sees_nobody_gets_the_bias(kind, concat):
    graph, x = plain(4, [(0, 1), (1, 1)]), normal(4, 3).requires_grad_()
    layer = made(kind, heads=2, concat=concat)
    out = layer(x, graph)
    assert_near(out[[0, 2, 3]], layer.b.expand(3, -1))
    out.square().sum().backward()
    for tensor in (x, *layer.parameters()):
        assert tensor.grad.isfinite().all()
    assert (x.grad[2:] == 0).all()
    bare = made(kind, heads=2, concat=concat, bias=False)
    assert (bare(x, graph)[[0, 2, 3]] == 0).all()


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [1, -1])
def test_large_scores_do_not_overflow(kind, dtype, sign):
    graph, x = plain(3, [(0, 1), (2, 1), (1, 2), (1, 1), (0, 2)]), normal(3, 3).to(dtype)
    layer = made(kind, heads=2, negative_slope=1.0).to(dtype)
    with torch.no_grad():
        layer.a *= sign * 1e4
    queries, keys, _ = layer.project(x)
    assert layer.score(queries, keys, graph).abs().max() > 1e4
    out, weights = layer(x.requires_grad_(), graph, return_attention_weights=True)
    assert torch.equal(weights.detach().round(), weights.detach())  # one neighbour has it all
    torch.testing.assert_close(out, layer.dense(x, graph.mask())[0])
    out.square().sum().backward()
    for tensor in (out, x.grad, *(p.grad for p in layer.parameters())):
        assert tensor.isfinite().all()


@every_kind
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("node", [0, 1, 2, 3])
def test_a_number_that_is_not_finite_is_refused_wherever_it_stands(kind, bad, node):
    """Also at a node that is alone, whose gradient it would spoil."""
    x, graph = normal(4, 3), plain(4, [(0, 1), (1, 1), (1, 2)])
    x[node, 1] = bad
    layer = made(kind)
    runs = [
        lambda: layer(x, graph),
        lambda: layer(CSRMatrix.from_dense(x), graph),
        lambda: layer.dense(x, graph.mask()),
    ]
    for run in runs:
        with pytest.raises(ValueError, match=r"states: expected finite numbers.*got NaN or inf"):
            run()


@every_kind
def test_a_score_that_overflows_is_refused(kind):
    x, graph = 1e20 * torch.ones(2, 3), plain(2, [(0, 1), (1, 1)])
    layer = kind(3, 2)
    with torch.no_grad():
        for weights in (layer.W, layer.a):
            weights.fill_(1e10)
    with pytest.raises(ValueError, match="scores: expected finite numbers"):
        layer(x, graph)


# ---- Dropout ----------------------------------------------------------------------------------


@every_kind
def test_nothing_is_dropped_out_of_training(kind):
    x, graph = normal(4, 3), plain(4, [(0, 1), (2, 1), (3, 3)])
    layer, calm = made(kind, heads=2, dropout=0.9), made(kind, heads=2)
    assert not torch.equal(layer(x, graph), calm(x, graph))
    layer.eval()
    assert torch.equal(layer(x, graph), calm(x, graph))
    assert torch.equal(layer.dense(x, graph.mask())[0], calm.dense(x, graph.mask())[0])


def copies(layer):
    """The matrix of the values copies the state in each head, and no bias is added."""
    with torch.no_grad():
        for name, weights in layer.named_parameters():
            if name in ("W", "U"):
                weights.copy_(torch.eye(weights.shape[1]).expand_as(weights))
            elif name.startswith("b"):
                weights.zero_()
    return layer


@every_kind
@pytest.mark.parametrize("form", ["edges", "sparse rows", "dense"])
def test_weights_are_dropped_in_each_head_and_inputs_are_not(kind, form):
    """Each node sees itself alone, with a weight of 1, so that what is missing was dropped."""
    torch.manual_seed(0)
    nodes, width, heads, p = 500, 40, 2, 0.25
    graph = plain(nodes, [(i, i) for i in range(nodes)])
    layer = copies(kind(width, width, heads, dropout=p))
    x = torch.ones(nodes, width)
    if form == "dense":
        out, weights = layer.dense(x, graph.mask())
        weights = weights.diagonal(dim1=1, dim2=2).T
    else:
        states = CSRMatrix.from_dense(x) if form == "sparse rows" else x
        out, weights = layer(states, graph, return_attention_weights=True)
    torch.testing.assert_close(weights, torch.ones(nodes, heads))  # of before dropout
    out = out.detach().view(nodes, heads, width)
    live = (out != 0).any(dim=2)
    assert live.float().mean().item() == pytest.approx(1 - p, abs=0.04)
    both = live.all(dim=1)
    assert both.float().mean().item() == pytest.approx((1 - p) ** 2, abs=0.06)  # each head its own
    torch.testing.assert_close(out[live], torch.full_like(out[live], 1 / (1 - p)))


@every_kind
@pytest.mark.parametrize("dense", [False, True])
def test_dropout_changes_no_expectation(kind, dense):
    """With scores that do not depend on the states, so that all behind them is linear."""
    torch.manual_seed(0)
    layer = made(kind, heads=2, dropout=0.4)
    with torch.no_grad():
        layer.a.zero_()
    x, graph, runs = normal(4, 3), plain(4, [(0, 1), (2, 1), (3, 1), (1, 2), (2, 2)]), 400
    batch = Graph.from_graphs([graph] * runs)
    if dense:
        found = layer.dense(x.repeat(runs, 1), batch.mask())[0].view(runs, 4, -1)
    else:
        found = layer(x.repeat(runs, 1), batch).view(runs, 4, -1)
    off = (found.mean(dim=0) - layer.eval()(x, graph)).abs()
    error = found.std(dim=0) / math.sqrt(runs)
    assert (off <= 4 * error + 1e-12).all()
    assert (error[1:3] > 0).all()


@every_kind
def test_a_share_of_one_leaves_the_bias(kind):
    x, graph = normal(4, 3), plain(4, [(0, 1), (2, 1), (3, 3)])
    layer = made(kind, heads=2, dropout=1.0)
    for out in (layer(x, graph), layer.dense(x, graph.mask())[0]):
        assert torch.equal(out, layer.b.expand(4, -1))
        for grad in torch.autograd.grad(out.sum(), [layer.W, layer.a]):
            assert (grad == 0).all()


@every_kind
def test_a_seed_repeats_what_goes_dark(kind):
    x, graph = normal(20, 3), plain(20, [(i, (3 * i + 1) % 20) for i in range(20)])
    layer = made(kind, heads=2, dropout=0.5)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(layer(x, graph))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


# ---- Graphs -----------------------------------------------------------------------------------


@every_kind
@few
@given(
    problem=problems(),
    chosen=choices(),
    random=st.randoms(use_true_random=False),
)
def test_other_numbers_for_the_nodes_permute_the_output(kind, problem, chosen, random):
    states, edges = problem
    graph, layer = plain(len(states), edges), made(kind, **chosen)
    order = list(range(len(states)))
    random.shuffle(order)
    out = layer(states[order], graph.permute(torch.tensor(order, dtype=torch.long)))
    assert_near(out, layer(states, graph)[order])


@every_kind
@few
@given(parts=st.lists(problems(most=4), min_size=1, max_size=3), chosen=choices())
def test_a_batch_is_its_graphs_one_by_one(kind, parts, chosen):
    layer = made(kind, **chosen)
    graphs = [plain(len(states), edges) for states, edges in parts]
    out = layer(torch.cat([states for states, _ in parts]), Graph.from_graphs(graphs))
    alone = [layer(states, graph) for (states, _), graph in zip(parts, graphs, strict=True)]
    assert_near(out, torch.cat(alone))


@every_kind
@few
@given(problem=problems(least=2))
def test_only_those_that_are_seen_are_heard(kind, problem):
    """Other numbers at a node change the outputs of those that see it, and of no other."""
    states, edges = problem
    layer, graph = made(kind, heads=2), plain(len(states), edges)
    before, other = layer(states, graph), states.clone()
    other[0] += 1
    after = layer(other, graph)
    seen = {i for j, i in edges if j == 0}
    for i in range(1, len(states)):
        assert torch.equal(before[i], after[i]) == (i not in seen)


@every_kind
def test_every_weight_learns(kind):
    torch.manual_seed(3)
    layer = GraphNet([kind(3, 4, heads=2), kind(8, 2, heads=3, concat=False)])
    x = normal(5, 3, dtype=torch.float32).requires_grad_()
    graph = plain(5, [(0, 1), (1, 0), (1, 2), (3, 2), (3, 3), (2, 0), (4, 1)])
    layer(x, graph).square().sum().backward()
    for tensor in (x, *layer.parameters()):
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().sum() > 0


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_keep_their_precision(kind, dtype):
    layer, graph = kind(3, 2, dropout=0.5).to(dtype), plain(3, [(0, 1), (1, 1)])
    out, weights = layer(normal(3, 3, dtype=dtype), graph, return_attention_weights=True)
    assert (out.dtype, weights.dtype) == (dtype, dtype)


def test_it_starts_as_the_paper_says():
    """Glorot and Bengio's uniform draws, each head on its own; biases of zero."""
    torch.manual_seed(0)
    gat, second = GATConv(200, 100, heads=8), GATv2Conv(200, 100, heads=8)
    for weights, ins, outs in (
        (gat.W, 200, 100),
        (gat.a, 200, 1),
        (second.W, 200, 100),
        (second.U, 200, 100),
        (second.a, 100, 1),
    ):
        bound = math.sqrt(6 / (ins + outs))
        assert weights.abs().max() <= bound
        assert weights.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert not any(not_none(b).any() for b in (gat.b, second.b, second.b_W, second.b_U))
    assert (gat.heads, gat.concat, gat.negative_slope, gat.dropout) == (8, True, 0.2, 0)
    assert repr(GATConv(3, 2, 4, False)) == (
        "GATConv(3, 2, heads=4, concat=False, negative_slope=0.2, dropout=0.0, "
        "add_self_loops=False)"
    )


# ---- Sparse rows ------------------------------------------------------------------------------

TAKERS = {
    "GCN": lambda: made(GCNConv, 3, 4),
    "GAT": lambda: made(GATConv, 3, 2, heads=2),
    "GATv2": lambda: made(GATv2Conv, 3, 2, heads=2),
    "GraphNet of GCN": lambda: GraphNet([made(GCNConv, 3, 4), made(SAGEConv, 4, 4)], dropout=0.5),
    "GraphNet of GAT": lambda: GraphNet(
        [made(GATConv, 3, 2, heads=2, dropout=0.5), made(GATv2Conv, 4, 2)], dropout=0.5
    ),
}


@pytest.mark.parametrize("name", TAKERS)
@few
@given(problem=problems(), share=st.sampled_from([0.0, 0.4, 1.0]))
def test_sparse_rows_do_for_states(name, problem, share):
    """In values, and in the gradients of all weights."""
    states, edges = problem
    lit = torch.rand(states.shape, generator=torch.Generator().manual_seed(2)) < share
    states, graph = states * lit, plain(len(states), edges)
    layer = TAKERS[name]().eval()
    found = []
    for x in (states, CSRMatrix.from_dense(states)):
        out = layer(x, graph)
        found.append((out, *torch.autograd.grad(out.square().sum(), list(layer.parameters()))))
    for one, other in zip(*found, strict=True):
        assert_near(one, other)


@pytest.mark.parametrize("name", ["GAT", "GATv2"])
def test_the_dense_form_takes_sparse_rows_too(name):
    layer, x, mask = TAKERS[name](), normal(3, 3), torch.eye(3).bool()
    assert_near(layer.dense(CSRMatrix.from_dense(x), mask)[0], layer.dense(x, mask)[0])


X, G = torch.zeros(3, 2), plain(3, [(0, 1), (1, 2)])
R = CSRMatrix.from_dense(torch.eye(3)[:, :2])


@pytest.mark.parametrize(
    "refuse",
    [
        lambda: SAGEConv(2, 2)(R, G),
        lambda: SAGEConv(2, 2, "max")(R, G),
        lambda: GINConv(2, 2)(R, G),
        lambda: GatedGraphConv(2)(R, G),
        lambda: GraphNet([GINConv(2, 2)])(R, G),
        lambda: aggregate(R, G),  # type: ignore[arg-type]
        lambda: readout(R, G),  # type: ignore[arg-type]
    ],
)
def test_what_needs_a_tensor_refuses_sparse_rows(unchecked, refuse):
    with pytest.raises(TypeError, match="states: expected a float tensor, got CSRMatrix"):
        refuse()


# ---- Memory -----------------------------------------------------------------------------------

NODES, EDGES, HEADS, WIDTH = 300, 20_000, 4, 16


def largest_kept(run):
    """How many numbers the largest tensor has that is kept for the way back."""
    sizes = [0]

    def look(tensor):
        sizes.append(tensor.numel())
        return tensor

    with saved_tensors_hooks(look, lambda tensor: tensor):
        run().sum().backward()
    return max(sizes)


class Largest(TorchDispatchMode):
    """Looks at every tensor that is made, whoever keeps it."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for part in tree_leaves(made):
            if isinstance(part, torch.Tensor):  # of a sparse one, what it stores
                held = part.values() if part.layout == torch.sparse_csr else part
                self.numel = max(self.numel, held.numel())
        return made


def largest_made(run):
    with Largest() as largest:
        run().sum().backward()
    return largest.numel


@pytest.mark.parametrize("largest", [largest_kept, largest_made])
@pytest.mark.parametrize(
    ("kind", "theirs"), [(GATConv, TheirGATConv), (GATv2Conv, TheirGATv2Conv)], ids=["GAT", "GATv2"]
)
@pytest.mark.parametrize("edge_dim", [None, 3])
def test_no_row_for_each_edge_and_head_is_kept_or_made(largest, kind, theirs, edge_dim):
    """A layer that makes one is found out: PyTorch Geometric's."""
    ends = torch.randint(0, NODES, (2, EDGES), generator=torch.Generator().manual_seed(0))
    graph, x = Graph(NODES, *ends), normal(NODES, 8, dtype=torch.float32).requires_grad_()
    layer = kind(8, WIDTH, HEADS, dropout=0.5, edge_dim=edge_dim)
    data = normal(EDGES, edge_dim, dtype=torch.float32).requires_grad_() if edge_dim else None
    rows = EDGES * HEADS * WIDTH
    assert EDGES * HEADS <= largest(lambda: layer(x, graph, edge_features=data)) < rows
    copying = theirs(8, WIDTH, HEADS, add_self_loops=False, edge_dim=edge_dim)
    assert largest(lambda: copying(x, ends, data)) >= rows


@every_kind
def test_work_grows_with_edges_not_with_pairs_of_nodes(kind):
    """A matrix of a number for each pair of these nodes would fill 160 gigabytes."""
    nodes = 200_000
    edges = [(0, 1), (1, nodes - 1), (nodes - 1, 7), (7, 7), (7, 7)]
    layer, x = made(kind), normal(nodes, 3).requires_grad_()
    out = layer(x, plain(nodes, edges))
    out.square().sum().backward()
    assert x.grad.isfinite().all()
    busy = [0, 1, 7, nodes - 1]
    small = plain(4, [(busy.index(j), busy.index(i)) for j, i in edges])
    assert_near(out[busy], layer(x[busy], small))


# ---- Errors -----------------------------------------------------------------------------------

M = G.mask()


def words_of(kind):
    """Calls that are wrong in one argument, and what is said."""
    layer = kind(2, 2)
    return [
        (lambda: kind(0, 2), ValueError, "in_features: .*at least 1, got 0"),
        (lambda: kind(2, 2.0), TypeError, "out_features: expected an int, got 2.0"),
        (lambda: kind(2, 2, 0), ValueError, "heads: .*at least 1, got 0"),
        (lambda: kind(2, 2, True), TypeError, "heads: expected an int, got True"),
        (lambda: kind(2, 2, negative_slope=-0.1), ValueError, "negative_slope: .*got -0.1"),
        (lambda: kind(2, 2, negative_slope=1.5), ValueError, "negative_slope: .*got 1.5"),
        (lambda: kind(2, 2, negative_slope=math.nan), ValueError, "negative_slope: .*got nan"),
        (lambda: kind(2, 2, dropout=1.1), ValueError, "dropout: .*from 0 to 1, got 1.1"),
        (lambda: kind(2, 2, dropout=-0.1), ValueError, "dropout: .*from 0 to 1, got -0.1"),
        (lambda: kind(2, 2, dropout=math.nan), ValueError, "dropout: .*got nan"),
        (lambda: layer(X[:2], G), ValueError, "states: expected 3 rows, .*got 2"),
        (lambda: layer(X[0], G), ValueError, r"states: expected 2 axes, got shape \(2,\)"),
        (lambda: layer(X[:, :1], G), ValueError, "states: expected width 2, got 1"),
        (lambda: layer(X.int(), G), TypeError, "states: expected a float.*int32"),
        (lambda: layer(X.tolist(), G), TypeError, "states: expected a float tensor, got list"),
        (lambda: layer(X.double(), G), TypeError, "states: .*float32 like the weights, .*float64"),
        (lambda: layer(X, M), TypeError, "graph: expected a Graph, got Tensor"),
        (lambda: layer(X, None), TypeError, "graph: expected a Graph, got NoneType"),
        (lambda: layer(R, plain(2, [])), ValueError, "states: expected 2 rows, .*got 3"),
        (lambda: kind(3, 2)(R, G), ValueError, "states: expected width 3, got 2"),
        (lambda: kind(2, 2).double()(R, G), TypeError, "states: .*float64 like the weights"),
        (lambda: layer.dense(X[:2], M), ValueError, "states: expected 3 rows, .*got 2"),
        (lambda: layer.dense(X[:, :1], M), ValueError, "states: expected width 2, got 1"),
        (lambda: layer.dense(X.int(), M), TypeError, "states: expected a float.*int32"),
        (lambda: layer.dense(X, M.float()), TypeError, "mask: expected a bool tensor, .*float32"),
        (lambda: layer.dense(X, M[:2]), ValueError, r"mask: expected as many rows.*\(2, 3\)"),
        (lambda: layer.dense(X, G), TypeError, "mask: expected a bool tensor, got Graph"),
    ]


@every_kind
@pytest.mark.parametrize("at", range(len(words_of(GATConv))))
def test_errors_name_the_argument(unchecked, kind, at):
    call, error, words = words_of(kind)[at]
    with pytest.raises(error, match=words):
        call()


def test_a_kind_of_attention_says_how_it_projects_and_scores():
    """The base class leaves these to its kinds."""
    with pytest.raises(NotImplementedError):
        GraphAttention(2, 2)


# ---- Layers of others -------------------------------------------------------------------------


class Dotted(GATConv):
    """Scores by a product, whose dtype autocast lowers; what is wrong with them is chosen."""

    wrong = ""

    def project(self, states):
        query, key, value = super().project(states)
        value = value / 0 if self.wrong == "values" else value
        return query, key, value[1:] if self.wrong == "rows" else value

    def score(self, query, key, graph, edge_features=None):
        rows, columns = query[graph.target].unsqueeze(2), key[graph.source].unsqueeze(3)
        scores = (rows @ columns).flatten(1)
        return scores.repeat(1, 2) if self.wrong == "heads" else scores


def test_a_layer_with_scores_of_its_own_runs_under_autocast():
    layer, x, graph = Dotted(3, 2, 2), normal(6, 3).float(), plain(6, [(0, 1), (2, 1), (1, 5)])
    with torch.autocast("cpu", torch.bfloat16):
        lowered = layer(x, graph)
    assert lowered.dtype == torch.float32
    torch.testing.assert_close(lowered, layer(x, graph), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("values", "states: expected finite"), ("rows", "scores: expected"), ("heads", "scores: .*4")],
)
def test_what_a_layer_of_ones_own_gets_wrong_is_named(unchecked, wrong, words):
    layer = Dotted(3, 2, 2)
    layer.wrong = wrong
    with pytest.raises(ValueError, match=words):
        layer(normal(6, 3).float(), plain(6, [(0, 1), (2, 1), (1, 5)]))


@every_kind
@pytest.mark.parametrize("scale", [1, 1e4])
def test_what_a_layer_returns_can_be_changed_in_place(kind, scale):
    """Whether or not a maximum was subtracted."""
    x, graph = scale * normal(6, 3).float(), plain(6, [(0, 1), (2, 1), (1, 5)])
    for heads in (1, 2):
        layer = kind(3, 2, heads, bias=False)
        layer(x, graph).relu_().sum().backward()
        found = [not_none(each.grad).clone() for each in layer.parameters()]
        layer.zero_grad()
        layer(x, graph).relu().sum().backward()
        for one, each in zip(found, layer.parameters(), strict=True):
            assert_near(one, each.grad)


def test_values_without_width_have_contexts_without_width():
    graph = plain(3, [(0, 1), (2, 1)])
    context, alpha = attend_edges(torch.randn(2, 2), torch.randn(3, 2, 0), graph)
    assert (context.shape, alpha.shape) == ((3, 2, 0), (2, 2))


# ---- What a layer returns ------------------------------------------------------------------------


@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_joining_the_heads_changes_what_it_is_given_only_if_it_may(concat, bias):
    layer = GATConv(3, 4, heads=2, concat=concat, bias=bias)
    for weights in layer.parameters():
        torch.nn.init.normal_(weights)
    given_here = normal(5, 2, 4, dtype=torch.float32)
    before = given_here.clone()
    joined = layer.join_heads(given_here)
    assert torch.equal(given_here, before)
    assert torch.equal(layer.join_heads(before, in_place=True), joined)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("layer", [GATConv, GATv2Conv])
def test_new_states_can_be_changed_in_place(layer, heads):
    """As by a nonlinearity, and where no gradient was recorded by adding something that has one."""
    torch.manual_seed(0)
    made, graph = layer(3, 4, heads=heads), plain(4, [(0, 1), (2, 1), (3, 3)])
    states, more = normal(4, 3, dtype=torch.float32), torch.ones(4 * heads, requires_grad=True)
    expected = torch.autograd.grad(made(states, graph).relu().square().sum(), made.W)
    found = torch.autograd.grad(made(states, graph).relu_().square().sum(), made.W)
    assert torch.equal(found[0], expected[0])
    made(states, graph).detach_()
    with torch.no_grad():
        new = made(states, graph)
    new.add_(more).sum().backward()
    assert torch.equal(not_none(more.grad), torch.full((4 * heads,), 4.0))


def test_weights_of_scores_without_a_gradient_have_none():
    graph = plain(3, [(0, 1), (2, 1), (1, 1)])
    values = normal(3, 2).requires_grad_()
    context, weights = attend_edges(normal(3, seed=1), values, graph)
    assert context.requires_grad
    assert not weights.requires_grad


@few
@given(problems(), st.booleans())
def test_dropout_multiplies_the_weights_that_are_summed(problem, several):
    """With one set of scores, and with one for each of two heads."""
    graph, heads = plain(len(problem[0]), problem[1]), (2,) if several else ()
    scores, values = normal(graph.num_edges, *heads), normal(graph.num_nodes, *heads, 3, seed=1)
    mask = (normal(graph.num_edges, *heads, seed=2) > 0) * 2.0
    context, weights = attend_edges(scores, values, graph, mask.double())
    assert torch.equal(weights, attend_edges(scores, values, graph)[1])
    by_hand = torch.zeros_like(values).index_add(
        0, graph.target, (weights * mask).unsqueeze(-1) * values[graph.source]
    )
    torch.testing.assert_close(context, by_hand)


@pytest.mark.parametrize("concat", [True, False])
def test_both_forms_have_the_dtype_of_the_weights_under_autocast(concat):
    layer, mask = GATConv(3, 4, heads=2, concat=concat), torch.ones(5, 5).bool()
    states = normal(5, 3, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        whole = layer.dense(states, mask)[0]
        assert layer(states, Graph.from_mask(mask)).dtype == whole.dtype == torch.float32
