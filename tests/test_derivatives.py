"""Layers on graphs: derivatives of any order, mixed precision, other devices, bad numbers.

The reference is the dense form, in which autograd follows plain tensors, and PyTorch Geometric.
"""

import copy
import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch
from helpers import few, normal, plain, problems, slow_but
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn.functional import leaky_relu

from gatutils import _gatv2, _kernels, interop
from gatutils.attention import MultiHeadAttention, attend
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv, attend_edges
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

near = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)


def made(layer):
    """A layer in double precision, none of its weights 0 as some are at the start."""
    with torch.no_grad():
        for k, weights in enumerate(layer.double().parameters()):
            weights.copy_(normal(*weights.shape, seed=k))
    return layer


LAYERS = {
    "GAT": lambda: GATConv(3, 2, heads=2),
    "GAT, averaged": lambda: GATConv(3, 3, heads=2, concat=False, bias=False),
    "GATv2": lambda: GATv2Conv(3, 2, heads=2),
    "GATv2, averaged": lambda: GATv2Conv(3, 3, heads=2, concat=False, bias=False),
    "GCN": lambda: GCNConv(3, 3),
    "SAGE mean": lambda: SAGEConv(3, 3),
    "SAGE max": lambda: SAGEConv(3, 3, "max"),
    "SAGE sum": lambda: SAGEConv(3, 3, "sum"),
    "GIN": lambda: GINConv(3, 3),
    "Gated": lambda: GatedGraphConv(3),
}
every_layer = pytest.mark.parametrize("name", LAYERS)
every_attention = pytest.mark.parametrize("kind", [GATConv, GATv2Conv])
HUB = plain(6, [(j, 0) for j in range(6)] + [(0, 1), (2, 1), (2, 1), (3, 3), (0, 4)])  # 5 is alone


# ---- Derivatives of a derivative --------------------------------------------------------------


def penalised(run, layer, states):
    """The gradients of a loss that holds a gradient: of the states and of every parameter."""
    x = states.clone().requires_grad_()
    out = run(x)
    (slope,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
    inputs = (x, *layer.parameters())
    loss = slope.square().sum() + out.sum()
    return torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)


@every_attention
@settings(max_examples=25)
@given(
    problem=problems(least=1),
    heads=st.integers(1, 3),
    slope=st.sampled_from([0.2, 0.0, 1.0]),
    bias=st.booleans(),
)
def test_a_gradient_penalty_is_that_of_the_dense_form(kind, problem, heads, slope, bias):
    states, edges = problem
    graph = plain(len(states), edges).without_duplicates()
    layer = made(kind(3, 2, heads, negative_slope=slope, bias=bias))
    mask = graph.mask()
    found = penalised(lambda x: layer(x, graph), layer, states)
    expected = penalised(lambda x: layer.dense(x, mask)[0], layer, states)
    for one, other in zip(found, expected, strict=True):
        near(one, other)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "Gated"])
@settings(max_examples=15)
@given(problem=problems(least=2))
def test_a_gradient_penalty_is_that_of_pytorch_geometric(name, problem):
    states, edges = problem
    graph, layer = plain(len(states), edges), made(LAYERS[name]())
    theirs = interop.to_pyg(layer)
    index = graph.edge_index
    if name == "SAGE max":  # of equal values theirs divides the gradient, ours takes the first
        states = states + torch.linspace(0, 0.1, states.numel()).double().view_as(states)
        graph = graph.without_duplicates()
        index = graph.edge_index
    found = penalised(lambda x: layer(x, graph), layer, states)
    expected = penalised(lambda x: theirs(x, index), theirs, states)
    near(found[0], expected[0])
    one, other = (
        sorted(g.square().sum().item() for g in grads[1:] if g.numel())
        for grads in (found, expected)
    )
    total = pytest.approx(sum(other), rel=1e-8, abs=1e-8)
    assert sum(one) == total  # their parameters are split and ordered in another way


@every_layer
def test_the_hessian_is_the_derivative_of_the_gradient(name):
    """By finite differences, in states and all parameters, on a graph with a hub."""
    layer = made(LAYERS[name]())
    names, weights = zip(*layer.named_parameters(), strict=True)

    def run(x, *weights):
        return functional_call(layer, dict(zip(names, weights, strict=True)), (x, HUB))

    inputs = (normal(6, 3, seed=9).requires_grad_(), *weights)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@every_attention
def test_the_hessian_of_torch_is_not_zero(kind):
    """As ``torch.autograd.functional`` computes it; all rows at once is refused, not wrong."""
    layer, x = made(kind(3, 1)), normal(6, 3, seed=9)
    mask = HUB.without_duplicates().mask()
    graph = Graph.from_mask(mask)
    hessian = torch.autograd.functional.hessian
    expected = hessian(lambda z: layer.dense(z, mask)[0].sum(), x)
    assert expected.norm() > 0.05
    near(hessian(lambda z: layer(z, graph).sum(), x), expected)
    with pytest.raises(RuntimeError):
        hessian(lambda z: layer(z, graph).sum(), x, vectorize=True)


@pytest.mark.parametrize("name", ["GAT", "GATv2", "GCN"])
def test_second_derivatives_with_features_that_are_mostly_zeros(name):
    layer = made(LAYERS[name]())
    x = normal(6, 3, seed=9) * (normal(6, 3, seed=8) > 0)
    rows = CSRMatrix.from_dense(x)
    found = []
    for numbers in (rows.values.clone(), x.clone()):
        numbers.requires_grad_()
        given_states = (
            CSRMatrix(rows.indptr, rows.indices, numbers, 3) if numbers.ndim == 1 else numbers
        )
        out = layer(given_states, HUB)
        (slope,) = torch.autograd.grad(out.pow(3).sum(), numbers, create_graph=True)
        slope = slope if numbers.ndim == 1 else slope[x != 0]
        found.append(torch.autograd.grad(slope.square().sum(), list(layer.parameters())))
    for one, other in zip(*found, strict=True):
        near(one, other)


@few
@given(problem=problems(least=1), heads=st.integers(1, 2))
def test_second_derivatives_of_attention_over_edges(problem, heads):
    values, edges = problem
    graph = plain(len(values), edges)
    if graph.num_edges:
        values = values.unsqueeze(1).expand(-1, heads, -1).contiguous().requires_grad_()
        scores = normal(graph.num_edges, heads).requires_grad_()
        assert torch.autograd.gradgradcheck(
            lambda e, v: attend_edges(e, v, graph), (scores, values), fast_mode=True
        )


@pytest.mark.parametrize("aggr", ["sum", "mean", "max"])
def test_second_derivatives_of_a_readout(aggr):
    batch = Graph.from_graphs([HUB, plain(0, []), plain(2, [(0, 1)])])
    states = normal(8, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda h: readout(h, batch, aggr), states, fast_mode=True)


@every_attention
def test_with_a_slope_of_zero_the_derivative_at_zero_is_that_of_torch(kind):
    """A score, or a sum inside it, that is exactly 0."""
    layer = made(kind(3, 2, negative_slope=0.0, bias=False))
    x = torch.zeros(3, 3, dtype=torch.float64)
    x[2] = 1
    graph = plain(3, [(0, 1), (1, 1), (2, 1)])
    found = []
    for run in (lambda h: layer(h, graph), lambda h: layer.dense(h, graph.mask())[0]):
        h = x.clone().requires_grad_()
        found.append(torch.autograd.grad(run(h).pow(3).sum(), (h, layer.a, layer.W)))
    for one, other in zip(*found, strict=True):
        near(one, other)
    queries = torch.tensor([[0.0], [1.0]], dtype=torch.float64).requires_grad_()
    a = torch.ones(1, 1, dtype=torch.float64)
    pattern = plain(2, [(0, 0)]).pattern
    scores = _gatv2.gatv2_scores(queries, -queries.detach(), a, 0.25, pattern)
    (slope,) = torch.autograd.grad(scores.sum(), queries)
    zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(leaky_relu(zero, 0.25).sum(), zero)
    assert slope[0].item() == expected.item() == 0.25


# ---- Mixed precision --------------------------------------------------------------------------

STACKS: dict[str, Callable[[], list[nn.Module]]] = {
    "a Linear before GAT": lambda: [nn.Linear(3, 4), GATConv(4, 3, heads=2)],
    "a Linear before GATv2": lambda: [nn.Linear(3, 4), GATv2Conv(4, 3, heads=2)],
    "GAT after GAT": lambda: [GATConv(3, 2, heads=2), GATConv(4, 3, concat=False)],
    "GATv2 after GATv2": lambda: [GATv2Conv(3, 2, heads=2), GATv2Conv(4, 3, concat=False)],
    "GCN after GCN": lambda: [GCNConv(3, 4), GCNConv(4, 3)],
    "SAGE after SAGE": lambda: [SAGEConv(3, 4), SAGEConv(4, 3)],
    "SAGE max after SAGE": lambda: [SAGEConv(3, 4), SAGEConv(4, 3, "max")],
    "GIN after GIN": lambda: [GINConv(3, 4), GINConv(4, 3)],
    "a Linear before Gated": lambda: [nn.Linear(3, 4), GatedGraphConv(4), GatedGraphConv(4)],
    "sparse rows, GAT": lambda: [GATConv(3, 2, heads=2)],
    "sparse rows, GATv2": lambda: [GATv2Conv(3, 2, heads=2)],
    "sparse rows, GCN": lambda: [GCNConv(3, 4), SAGEConv(4, 3)],
}


def through(stack, x, graph):
    for layer in stack:
        x = layer(x) if isinstance(layer, nn.Linear) else layer(x, graph)
    return x


@pytest.mark.parametrize("name", STACKS)
def test_autocast_agrees_with_single_precision(name):
    """In values and in the gradients of all weights, up to bfloat16's eight bits."""
    torch.manual_seed(0)
    stack, x = nn.ModuleList(STACKS[name]()), normal(6, 3, dtype=torch.float32)
    states = CSRMatrix.from_dense(x) if name.startswith("sparse") else x
    found = []
    for low in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            out = through(stack, states, HUB)
            loss = out.float().square().sum()
        found.append((out.float(), *torch.autograd.grad(loss, list(stack.parameters()))))
    for one, other in zip(*found, strict=True):
        scale = one.abs().max().item()
        torch.testing.assert_close(one, other, rtol=0, atol=0.03 * scale + 1e-6)


def test_autocast_changes_nothing_for_double_precision():
    layer, x = made(GATConv(3, 2, heads=2)), normal(6, 3)
    expected = layer(x, HUB)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x, HUB), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every_layer
def test_modules_of_half_the_width_keep_their_type(name, dtype):
    layer = LAYERS[name]().to(dtype)
    out = layer(normal(6, 3).to(dtype), HUB)
    assert out.dtype == dtype
    out.float().square().sum().backward()
    assert all(p.grad.dtype == dtype for p in layer.parameters() if p.grad is not None)


def test_attention_over_edges_takes_the_wider_type_under_autocast_alone(unchecked):
    scores, values = normal(HUB.num_edges, dtype=torch.float32), normal(6, 2, dtype=torch.float32)
    context, weights = attend_edges(scores, values, HUB)
    with pytest.raises(TypeError, match=r"values: expected torch\.float32 like scores"):
        attend_edges(scores, values.bfloat16(), HUB)
    with torch.autocast("cpu", torch.bfloat16):
        low, same = attend_edges(scores, values.bfloat16(), HUB)
    assert torch.equal(weights, same)
    torch.testing.assert_close(low, context, rtol=0, atol=0.02)


@every_attention
@pytest.mark.parametrize("heads", [1, 2])
def test_gradients_are_stored_as_their_parameters_are(kind, heads):
    """Otherwise DistributedDataParallel copies them, with a warning."""
    layer = kind(3, 2, heads)
    layer(normal(6, 3).float(), HUB).sum().backward()
    for weights in layer.parameters():
        assert weights.grad.stride() == weights.stride()


# ---- Other devices ----------------------------------------------------------------------------


@every_layer
def test_a_training_step_is_the_same_as_other_devices_take_it(name, monkeypatch):
    layer, x = made(LAYERS[name]()), normal(6, 3)
    found = []
    for fused in (_kernels.FUSED, set()):
        monkeypatch.setattr(_kernels, "FUSED", fused)
        trained = copy.deepcopy(layer)
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            trained(x, HUB).square().sum().backward()
            optimizer.step()
        found.append([trained(x, HUB), *trained.parameters()])
    for one, other in zip(*found, strict=True):
        near(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
@every_layer
def test_a_gpu_computes_the_same(name):
    layer, x = made(LAYERS[name]()), normal(6, 3)
    found = []
    for device in ("cpu", "cuda"):
        there = copy.deepcopy(layer).to(device)
        graph, states = HUB.to(device), x.to(device).requires_grad_()
        out = there(states, graph)
        (slope,) = torch.autograd.grad(out.pow(3).sum(), states, create_graph=True)
        slope.square().sum().backward()
        parts = [out, slope, *(p.grad for p in there.parameters() if p.grad is not None)]
        found.append([part.detach().cpu() for part in parts])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)


# ---- Bad numbers, self-loops, dropout ---------------------------------------------------------


@every_layer
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("node", [0, 5], ids=["a hub", "a node alone"])
def test_nan_and_infinity_are_refused_by_every_layer(name, bad, node):
    x = normal(6, 3)
    x[node, 1] = bad
    with pytest.raises(ValueError, match=r"states: expected finite numbers.*got NaN or inf"):
        made(LAYERS[name]())(x, HUB)


@pytest.mark.parametrize("aggr", ["sum", "mean", "max", "symmetric"])
def test_nan_is_refused_by_aggregate_and_readout(aggr):
    x = normal(6, 3)
    x[5] = math.nan
    with pytest.raises(ValueError, match="states: expected finite numbers"):
        aggregate(x, HUB, aggr)
    if aggr != "symmetric":
        with pytest.raises(ValueError, match="states: expected finite numbers"):
            readout(x, HUB, aggr)


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv, GCNConv])
@few
@given(problem=problems())
def test_self_loops_are_added_once_however_often_one_asks(kind, problem):
    states, edges = problem
    graph = plain(len(states), edges)
    adding = made(kind(3, 2, add_self_loops=True))
    plainly = made(kind(3, 2, add_self_loops=False))
    expected = plainly(states, graph.with_self_loops())
    assert torch.equal(adding(states, graph), expected)
    assert torch.equal(adding(states, graph.with_self_loops()), expected)
    if kind is not GCNConv:
        simple = graph.without_duplicates()
        near(adding.dense(states, simple.mask())[0], adding(states, simple))
        _, weights = adding(states, graph, return_attention_weights=True)
        assert len(weights) == graph.with_self_loops().num_edges


def test_gcn_adds_self_loops_and_attention_does_not_unless_asked():
    assert GCNConv(2, 2).add_self_loops
    assert not GATConv(2, 2).add_self_loops
    assert not GATv2Conv(2, 2).add_self_loops


@every_attention
def test_dropout_of_a_layer_acts_on_weights_alone(kind):
    """A node with one neighbour receives the neighbour's value or nothing, never a part of it."""
    torch.manual_seed(0)
    layer, x = made(kind(3, 2, bias=False, dropout=0.5)), normal(2, 3)
    graph = plain(2, [(0, 1)])
    whole = layer.eval()(x, graph)[1]
    layer.train()
    outs = torch.stack([layer(x, graph)[1] for _ in range(50)])
    kept = outs.abs().sum(dim=1) > 0
    assert 10 < kept.sum() < 40
    near(outs[kept], (2 * whole).expand(int(kept.sum()), -1))


def test_a_network_drops_inputs_once_and_its_layers_drop_weights():
    torch.manual_seed(0)
    net = GraphNet([made(GATConv(3, 2, dropout=0.0))], dropout=0.5)
    x = torch.ones(2, 3, dtype=torch.float64)
    seen = []
    net.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for _ in range(100):
        net(x, plain(2, [(0, 1)]))
    values = torch.stack(seen)
    assert set(values.unique().tolist()) == {0.0, 2.0}
    assert (values == 0).double().mean().item() == pytest.approx(0.5, abs=0.1)


# ---- What the README says about torch's transforms -----------------------------------------------


# A layer on graphs, and the edge data it is called with.
CALLS: dict[str, tuple[Callable[[], nn.Module], dict[str, torch.Tensor]]] = {
    **{name: (make, {}) for name, make in LAYERS.items()},
    "GAT, edges": (
        lambda: GATConv(3, 2, edge_dim=2, add_self_loops=True),
        {"edge_features": normal(HUB.num_edges, 2)},
    ),
    "GATv2, edges": (
        lambda: GATv2Conv(3, 2, edge_dim=2, add_self_loops=True),
        {"edge_features": normal(HUB.num_edges, 2)},
    ),
    "GCN, edges": (lambda: GCNConv(3, 3), {"edge_weight": normal(HUB.num_edges).abs()}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)  # compiling takes seconds
@pytest.mark.usefixtures("unchecked")
def test_a_compiled_layer_is_the_layer(name):
    make, more = CALLS[name]
    layer, x = made(make()), normal(6, 3).requires_grad_()
    # First, as torch cannot trace these tests' checks of types where the graph derives something.
    expected = layer(x, HUB, **more)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="eager")
    out = compiled(x, HUB, **more)
    near(out, expected)
    near(*(torch.autograd.grad(y.square().sum(), x) for y in (out, expected)))


NEW = """
import torch
from gatutils import GATConv, GATv2Conv, Graph
for make in (GATConv, GATv2Conv):
    graph = Graph(4, torch.tensor([0, 1, 2, 3]), torch.tensor([1, 2, 2, 0]))
    layer, x = make(3, 4, heads=2), torch.randn(4, 3)
    torch.testing.assert_close(torch.compile(layer, backend="eager")(x, graph), layer(x, graph))
"""


@pytest.mark.slow
def test_a_layer_is_compiled_with_a_graph_that_has_derived_nothing_yet():
    """In a process of its own, without these tests' checks of types."""
    subprocess.run([sys.executable, "-c", NEW], check=True)


class Holding(nn.Module):
    """A layer and its graph: what can be exported takes tensors alone."""

    def __init__(self, layer, graph, **more):
        super().__init__()
        self.layer, self.graph, self.more = layer, graph, more

    def forward(self, *states):
        return self.layer(states if len(states) > 1 else states[0], self.graph, **self.more)


@pytest.mark.parametrize("name", slow_but(["GATv2", "SAGE max", "GCN, edges"], CALLS))
@pytest.mark.usefixtures("unchecked")
def test_an_exported_layer_is_the_layer(name):
    """For other states too; and it refuses NaN as the layer does."""
    make, more = CALLS[name]
    layer, x = made(make()), normal(6, 3)
    layer(x, HUB, **more)  # which finds out where the self-loops are
    program = torch.export.export(Holding(layer, HUB, **more), (x,)).module()
    other = normal(6, 3, seed=1)
    near(program(other), layer(other, HUB, **more))
    other[5, 0] = math.nan
    with pytest.raises(RuntimeError, match="states: expected finite numbers"):
        program(other)


@pytest.mark.parametrize("name", slow_but(["GAT"], ["GAT", "GATv2", "SAGE mean", "GIN"]))
@pytest.mark.usefixtures("unchecked")
def test_a_layer_on_a_sampled_block_can_be_exported(name):
    (block,) = HUB.sample(torch.tensor([0, 1]), [2], torch.Generator().manual_seed(0))
    layer, x = made(LAYERS[name]()), normal(6, 3)[block.sources]
    pair = x, x[:2]
    program = torch.export.export(Holding(layer, block.graph), pair).module()
    near(program(*pair), layer(pair, block.graph))


@pytest.mark.usefixtures("unchecked")
def test_exported_attention_is_attention():
    """Also in rows in which all is masked; and it refuses NaN."""

    class Masked(nn.Module):
        def forward(self, scores, values, mask):
            return attend(scores, values, mask)

    scores, values = normal(3, 4), normal(4, 2)
    mask = torch.tensor([[True, False, True, True], [False] * 4, [True] * 4])
    program = torch.export.export(Masked(), (scores, values, mask)).module()
    for seen in (mask, ~mask):
        for one, other in zip(
            program(scores, values, seen), attend(scores, values, seen), strict=True
        ):
            near(one, other)
    with pytest.raises(RuntimeError, match="expected finite numbers"):
        program(scores, values / 0, mask)
    heads, x = made(MultiHeadAttention(4, 2)), normal(1, 3, 4)
    near(torch.export.export(heads, (x, x)).module()(x, x)[0], heads(x, x)[0])


@every_layer
@pytest.mark.usefixtures("unchecked")
def test_transforms_that_a_layer_on_graphs_does_not_have_raise(name):
    layer, x = made(LAYERS[name]()), normal(6, 3)
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        with pytest.raises(RuntimeError, match="functorch transforms"):
            transform(lambda z: layer(z, HUB))(x)
    with pytest.raises(RuntimeError, match="vmap"):
        torch.vmap(lambda z: layer(z, HUB))(torch.stack([x, x]))


@pytest.mark.usefixtures("unchecked")
def test_transforms_of_dense_attention():
    heads, x = made(MultiHeadAttention(4, 2)), normal(1, 3, 4)

    def out(z):
        return heads(z, z)[0]

    expected = torch.autograd.functional.jacobian(out, x)
    near(torch.func.jacrev(out)(x), expected)
    near(torch.func.jacfwd(out)(x), expected)
    torch._dynamo.reset()
    near(torch.compile(heads, backend="eager")(x, x)[0], out(x))
    with pytest.raises(RuntimeError, match="vmap"):
        torch.vmap(out)(torch.stack([x, x]))
