"""The compiled kernels compute what torch's operations do: values, gradients, and refusals."""

import subprocess
import sys

import pytest
import torch
from helpers import needs_compiler, not_none
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gatutils import (
    GATConv,
    GATv2Conv,
    Graph,
    _compiled,
    attend_edges,
    use_compiled_kernels,
)
from gatutils._kernels import both_ways

pytestmark = needs_compiler

KINDS = (GATConv, GATv2Conv)


@pytest.fixture(autouse=True)
def on():
    """Compile them once on this machine; each test begins with them and ends without."""
    use_compiled_kernels()
    yield
    use_compiled_kernels(False)


def both(run):
    """What a function returns by torch's operations, and by the compiled ones."""
    use_compiled_kernels(False)
    torch.manual_seed(1)
    slow = run()
    use_compiled_kernels()
    torch.manual_seed(1)
    fast = run()
    return slow, fast


def assert_equal(run):
    """A function returns the same both ways, up to rounding."""
    slow, fast = both(run)
    assert len(slow) == len(fast)
    for one, other in zip(slow, fast, strict=True):
        assert one.dtype == other.dtype
        scale = float(one.detach().abs().max()) if one.numel() else 0.0
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5 * max(scale, 1))
    return fast


def random_graph(seed, nodes, edges, sources=None):
    draw = torch.Generator().manual_seed(seed)
    source = torch.randint(0, sources or nodes, (edges,), generator=draw)
    target = torch.randint(0, nodes, (edges,), generator=draw)
    return Graph(nodes, source, target, num_sources=sources)


def derivatives(layer, states, graph, **more):
    """The new states, the weights, and the gradients of all inputs where both are used."""
    given = [*(states if isinstance(states, tuple) else (states,)), *more.values()]
    for each in given:
        each.requires_grad_()
    new, weights = layer(states, graph, return_attention_weights=True, **more)
    loss = (new * torch.randn_like(new)).sum() + (weights * torch.randn_like(weights)).sum()
    wanted = [*given, *layer.parameters()]
    return [new, weights, *torch.autograd.grad(loss, wanted)]


@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
    nodes=st.integers(1, 40),
    edges=st.integers(0, 150),
    heads=st.sampled_from([1, 2, 3, 4, 8, 9]),
    dim=st.sampled_from([1, 2, 3, 4, 5, 8, 12, 16, 24, 32, 64, 65]),
    loops=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_layers_are_the_same_in_value_and_in_every_gradient(
    kind, seed, nodes, edges, heads, dim, loops, dropout, dtype
):
    graph = random_graph(seed, nodes, edges)
    torch.manual_seed(seed)
    layer = kind(6, dim, heads, dropout=dropout, add_self_loops=loops).to(dtype)
    states = torch.randn(nodes, 6, dtype=dtype)
    assert_equal(lambda: derivatives(layer, states, graph))


@pytest.mark.parametrize("kind", KINDS)
def test_bipartite_graphs_blocks_and_edge_features(kind):
    graph = random_graph(0, 20, 70, sources=31)
    layer, pair = kind(5, 8, 4, add_self_loops=False), (torch.randn(31, 5), torch.randn(20, 5))
    assert_equal(lambda: derivatives(layer, pair, graph))
    whole = random_graph(1, 60, 400)
    draw = torch.Generator().manual_seed(0)
    (block,) = whole.sample(torch.arange(9), [4], generator=draw)
    states = torch.randn(block.graph.num_sources, 5)
    assert_equal(lambda: derivatives(layer, states, block))
    layer = kind(5, 8, 2, edge_dim=3)
    features = torch.randn(whole.num_edges, 3)
    assert_equal(lambda: derivatives(layer, torch.randn(60, 5), whole, edge_features=features))


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_derivatives(kind):
    graph = random_graph(3, 6, 15)
    torch.manual_seed(0)
    layer = kind(3, 4, 2).double()
    states = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    weights = [parameter for parameter in layer.parameters()]

    def run(states, *parameters):
        named = dict(zip(dict(layer.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(layer, named, (states, graph))

    assert torch.autograd.gradcheck(run, (states, *weights))
    assert torch.autograd.gradgradcheck(run, (states, *weights))


def test_scores_whose_exponentials_overflow():
    graph = random_graph(0, 10, 60)
    scores, values = 300 * torch.randn(60, 3), torch.randn(10, 3, 8)
    _, weights = assert_equal(lambda: attend_edges(scores, values, graph))
    total = torch.zeros(10, 3).index_add_(0, graph.target, weights)
    torch.testing.assert_close(total, (graph.indptr.diff() > 0).float().unsqueeze(1).expand(10, 3))


def test_only_one_of_scores_and_values_may_need_a_gradient():
    graph = random_graph(0, 10, 60)
    scores, values = torch.randn(60, 3), torch.randn(10, 3, 8)
    for needs in (scores, values):
        needs.requires_grad_()
        assert_equal(
            lambda x=needs: torch.autograd.grad(attend_edges(scores, values, graph)[0].sum(), x)
        )
        needs.requires_grad_(False)


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_changes_nothing_but_rounding(kind):
    graph = random_graph(0, 3000, 20000)
    layer, states = kind(16, 16, 4), torch.randn(3000, 16)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            found.append(derivatives(layer, states, graph))
    finally:
        torch.set_num_threads(before)
    for more in found[1:]:
        torch.testing.assert_close(more[:2], found[0][:2], rtol=0, atol=0)
        torch.testing.assert_close(more[2:], found[0][2:], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_a_is_exact_also_where_many_like_terms_add_up(kind):
    """Each node attends to two sources of its own; all nodes have the same term."""
    nodes = 300_000
    graph = Graph(
        nodes, torch.arange(2 * nodes), torch.arange(2 * nodes) // 2, num_sources=2 * nodes
    )
    states = torch.tensor([[0.3], [-0.4]]).repeat(nodes, 1), torch.full((nodes, 1), 0.2)
    layer = kind(1, 1)

    def gradient():
        _, weights = layer(states, graph, return_attention_weights=True)
        return torch.autograd.grad(weights[::2].sum(), layer.a)[0]

    found = gradient()
    use_compiled_kernels(False)
    layer, states = layer.double(), (states[0].double(), states[1].double())
    exact = gradient()
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5 * float(exact.abs().max()))


def test_sizes_that_do_not_fit_are_refused_instead_of_read():
    pattern, operations = random_graph(0, 50, 200).pattern, _compiled._load()
    rows = pattern.indptr, pattern.rows, pattern.indices
    scores, values = torch.randn(200, 2), torch.randn(50, 2, 4)
    for wrong in ((scores[:9], values), (scores, values[:, :1])):
        with pytest.raises(RuntimeError, match="scores: expected shape"):
            operations.softmax_and_sums(*wrong, None, False, *rows)
    right = {
        "queries": values,
        "values": values,
        "a": torch.randn(2, 8),
        "terms": scores,
        "mask": scores,
        "bias": torch.randn(8),
    }
    operations.gat(*right.values(), 0.2, 20.0, *rows)
    for name, bad in (
        ("queries", values[:9]),
        ("values", values[:, :, 0]),
        ("a", torch.randn(2, 9)),
        ("a", torch.randn(1, 8)),
        ("terms", scores[:9]),
        ("mask", scores[:, :1]),
        ("bias", torch.randn(4)),
    ):
        with pytest.raises(RuntimeError, match=f"{name}: expected"):
            operations.gat(*(right | {name: bad}).values(), 0.2, 20.0, *rows)
    with pytest.raises(RuntimeError, match="values: expected 50 or more"):
        operations.gat(None, values[:9], *list(right.values())[2:], 0.2, 20.0, *rows)
    del right["terms"]
    right["a"] = torch.randn(2, 4)
    operations.gatv2(*right.values(), 0.2, 20.0, *rows)
    for name, bad in (
        ("queries", values[:9]),
        ("values", values[:, :, 0]),
        ("a", torch.randn(2, 5)),
        ("mask", scores[:9]),
        ("bias", torch.randn(4)),
    ):
        with pytest.raises(RuntimeError, match=f"{name}: expected"):
            operations.gatv2(*(right | {name: bad}).values(), 0.2, 20.0, *rows)


@pytest.mark.parametrize("name", ["gat", "gatv2"])
def test_sizes_of_a_backward_pass_that_do_not_fit_are_refused_too(name):
    pattern, operations = random_graph(0, 50, 200).pattern, _compiled._load()
    values, weights = torch.randn(50, 2, 4), torch.randn(200, 2)
    right: dict[str, torch.Tensor] = {
        "gradient": torch.randn(50, 8),
        "gradient of the weights": weights,
        "weights": weights,
        "halves": torch.randn(200),
        "queries": values,
        "values": values,
        "a": torch.randn(2, 8 if name == "gat" else 4),
        "terms": weights,
        "mask": weights,
    }
    if name == "gatv2":
        del right["halves"], right["terms"]
    *first, column_indptr, order, rows = both_ways(pattern)
    more = False, 0.2, *first, column_indptr, order, rows
    backward = getattr(operations, f"{name}_backward")
    backward(*right.values(), *more)
    for each in right.keys() - {"values", "a"}:  # from which the others' sizes are taken
        with pytest.raises(RuntimeError, match=f"^{each}: expected shape"):
            backward(*(right | {each: right[each][:9]}).values(), *more)
    short = False, 0.2, *first, column_indptr[:9], order, rows
    with pytest.raises(RuntimeError, match="column_indptr: expected shape"):
        backward(*right.values(), *short)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_ends_as_it_began_if_they_are_switched_in_between(kind):
    graph = random_graph(0, 9, 30)
    layer, states = kind(3, 4, 2), torch.randn(9, 3)

    def step(first, then):
        use_compiled_kernels(first)
        out = layer(states, graph)
        use_compiled_kernels(then)
        return torch.autograd.grad(out.square().sum(), list(layer.parameters()))

    whole = step(True, True)
    assert all(not each.requires_grad for each in step(True, False))
    for first, then in ((True, False), (False, True)):
        torch.testing.assert_close(step(first, then), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_any_part_alone_may_need_a_gradient(kind):
    """Also one through which the gradient is differentiated again."""
    graph = random_graph(0, 9, 30)
    layer, states = kind(3, 4, 2, edge_dim=2), torch.randn(9, 3)
    features = torch.randn(graph.num_edges, 2)
    parts = {"states": states, "features": features, **dict(layer.named_parameters())}
    for wanted in parts:
        for name, part in parts.items():
            part.requires_grad_(name == wanted)

        def run(part=parts[wanted]):
            new, weights = layer(
                states, graph, edge_features=features, return_attention_weights=True
            )
            loss = new.square().sum() + (weights.square().sum() if weights.requires_grad else 0)
            (once,) = torch.autograd.grad(loss, part, retain_graph=True)
            (recorded,) = torch.autograd.grad(loss, part, create_graph=True)
            assert_near(once, recorded)
            (twice,) = torch.autograd.grad(recorded.square().sum(), part)
            return [once, twice]

        assert_equal(run)


def assert_near(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_layer_with_parts_of_its_own_is_computed_by_them(monkeypatch):
    class OwnScore(GATConv):
        def score(self, query, key, graph, edge_features=None):
            return super().score(query, key, graph, edge_features).neg()

    class OwnHeads(GATConv):
        def join_heads(self, out, *, in_place=False):
            return super().join_heads(out, in_place=in_place).neg()

    class OwnValues(GATConv):
        def project(self, states):
            projected = super().project(states)[0]
            return projected, projected, 2 * projected

    patched = GATv2Conv(3, 4, 2)
    even = torch.zeros(12, 2)
    monkeypatch.setattr(patched, "score", lambda *_: even)
    graph, states = random_graph(0, 5, 12), torch.randn(5, 3)
    for layer in (OwnScore(3, 4, 2), OwnHeads(3, 4, 2), OwnValues(3, 4, 2), patched):
        with monkeypatch.context() as during:
            seen = calls(during)
            found = layer(states, graph, return_attention_weights=True)
        use_compiled_kernels(False)
        assert seen == ["softmax_and_sums"]
        assert_near(found, layer(states, graph, return_attention_weights=True))
        use_compiled_kernels()


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_whose_keys_are_too_few_is_refused(kind, monkeypatch):
    """As without the kernels: the operation would read beyond the keys."""
    layer, graph = kind(3, 4), random_graph(0, 40, 90)
    project = layer.project

    def half(states):
        query, key, _ = project(states)
        few = key[: len(key) // 2]
        return (few if query is key else query), few, few

    monkeypatch.setattr(layer, "project", half)
    seen = calls(monkeypatch)
    with torch.no_grad(), pytest.raises((ValueError, RuntimeError, IndexError)):
        layer(torch.randn(40, 3), graph)
    assert seen == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_every_setting(kind, bias, concat, slope):
    graph = random_graph(0, 9, 40)
    layer = kind(3, 8, 3, bias=bias, concat=concat, negative_slope=slope, add_self_loops=True)
    if layer.b is not None:
        torch.nn.init.normal_(layer.b)
    states = torch.randn(9, 3, requires_grad=True)
    parts = [states, *layer.parameters()]
    gradient = torch.randn(1).expand_as(layer(states, graph))  # not contiguous

    def run():
        new = layer(states, graph)
        return [new, *torch.autograd.grad(new, parts, gradient)]

    assert_equal(run)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slope_beyond_the_usual_ones_does_not_make_weights_nan(kind):
    graph = Graph.from_edges([(1, 0)], num_nodes=2)
    layer = kind(1, 1, bias=False)
    layer.negative_slope = 5.0
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(1.0)
    _, weights = layer(torch.full((2, 1), -11.0), graph, return_attention_weights=True)
    assert weights.tolist() == [[1.0]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("sources", "nodes"), [(0, 0), (4, 0), (0, 4), (4, 4)])
def test_graphs_without_edges_or_without_nodes(kind, sources, nodes):
    none = torch.zeros(0, dtype=torch.long)
    graph, layer = Graph(nodes, none, none, num_sources=sources), kind(3, 8, 2)
    states = torch.randn(sources, 3), torch.randn(nodes, 3)
    assert_equal(lambda: derivatives(layer, states, graph))


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast(kind):
    graph, layer, states = random_graph(0, 9, 40), kind(3, 8, 2), torch.randn(9, 3)

    def run():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            new, weights = layer(states, graph, return_attention_weights=True)
        loss = new.square().sum() + weights.square().sum()
        return [new, weights, *torch.autograd.grad(loss, list(layer.parameters()))]

    assert_equal(run)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bias_may_be_changed_before_the_backward_pass(kind):
    """As without the kernels: its number is in no gradient."""
    layer = kind(3, 4, 2)
    new = layer(torch.randn(5, 3), random_graph(0, 5, 12))
    with torch.no_grad():
        not_none(layer.b).add_(1)
    new.sum().backward()


def test_edges_whose_part_of_the_score_overflows_are_refused():
    graph = random_graph(0, 5, 12)
    layer = GATConv(3, 4, 2, edge_dim=1)
    features = torch.zeros(12, 1)
    features[7] = 3e38
    with torch.no_grad():
        not_none(layer.a_e).fill_(9.0)
        not_none(layer.W_e).fill_(9.0)
    for enabled in (True, False):
        use_compiled_kernels(enabled)
        with pytest.raises(ValueError, match="scores: expected finite numbers"):
            layer(torch.randn(5, 3), graph, edge_features=features)


def test_a_layer_with_its_own_score_refuses_nan_too(monkeypatch):
    class Even(GATConv):
        def score(self, query, key, graph, edge_features=None):
            return query.new_zeros(graph.num_edges, self.heads)

    patched = GATConv(2, 3)
    monkeypatch.setattr(patched, "score", lambda *_: torch.zeros(9, 1))
    states = torch.randn(4, 2)
    states[1, 1] = float("nan")
    for layer in (Even(2, 3), patched):
        for enabled in (True, False):
            use_compiled_kernels(enabled)
            with pytest.raises(ValueError, match="states: expected finite numbers"):
                layer(states, random_graph(0, 4, 9))


@pytest.mark.parametrize("kind", KINDS)
def test_nan_and_infinity_are_refused_at_whichever_node(kind):
    graph = Graph.from_edges([(0, 1)], num_nodes=4)
    layer = kind(2, 8, 2, add_self_loops=False)
    for number in (float("nan"), float("inf")):
        for node in range(4):
            states = torch.randn(4, 2)
            states[node, 0] = number
            for enabled in (True, False):
                use_compiled_kernels(enabled)
                with pytest.raises(ValueError, match="states: expected finite numbers"):
                    layer(states, graph)


def calls(monkeypatch):
    """The names of the compiled operations, as they are called."""
    seen = []

    def noted(name, operation):
        return lambda *args: seen.append(name) or operation(*args)

    operations = _compiled._load()
    noting = {name: noted(name, getattr(operations, name)) for name in operations._fields}
    monkeypatch.setattr(_compiled, "_operations", operations._replace(**noting))
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_used_where_promised_and_nowhere_else(kind, monkeypatch):
    graph = random_graph(0, 5, 12)
    seen = calls(monkeypatch)

    def used(dtype=torch.float32, **more):
        seen.clear()
        layer = kind(3, 4, 2, **more).to(dtype)
        features = {"edge_features": torch.randn(12, 2)} if more else {}
        layer(torch.randn(5, 3, dtype=dtype), graph, **features).sum().backward()
        return seen

    both_ways = [kind.__name__[:-4].lower()]
    both_ways.append(f"{both_ways[0]}_backward")
    assert used() == used(torch.float64) == both_ways
    assert used(torch.bfloat16) == []
    with monkeypatch.context() as during:
        during.setattr(torch.compiler, "is_compiling", lambda: True)
        assert used() == []
    assert used(edge_dim=2) == (
        both_ways if kind is GATConv else ["softmax_and_sums", "softmax_and_sums_backward"]
    )
    use_compiled_kernels(False)
    assert used() == []


def test_without_a_compiler_the_error_says_what_is_needed(monkeypatch, tmp_path):
    """In a process of its own, as this one has them."""
    fake = tmp_path / "c++"
    script = "#!/bin/sh\ncase $* in *--version*) exit 0;; esac\necho no such header >&2\nexit 1\n"
    fake.write_text(script, encoding="utf-8")
    fake.chmod(0o755)
    code = (
        "import gatutils, torch\n"
        "try: gatutils.use_compiled_kernels()\n"
        "except RuntimeError as error: print('refused:', error)\n"
        "layer = gatutils.GATConv(2, 2)\n"
        "print(layer(torch.ones(2, 2), gatutils.Graph.from_edges([(0, 1)], num_nodes=2)).shape)\n"
    )
    monkeypatch.setenv("CXX", str(fake))
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert "refused: use_compiled_kernels: expected GCC (on macOS Clang), Ninja" in ran.stdout
    assert "no such header" in ran.stdout
    assert "torch.Size([2, 2])" in ran.stdout
    assert list((tmp_path / "extensions").iterdir()) == []


def test_what_one_process_has_compiled_the_next_one_loads(monkeypatch):
    """Without a compiler, which it does not need."""
    code = (
        "import gatutils, sys, torch\n"
        "before = list(sys.path)\n"
        "gatutils.use_compiled_kernels()\n"
        "print(hasattr(torch.ops.gatutils, 'gat') and sys.path == before)\n"
    )
    monkeypatch.setenv("CXX", "/nowhere")
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert ran.stdout == "True\n"
    assert ran.stderr == ""


def test_a_training_run_is_the_same_up_to_rounding():
    graph = random_graph(0, 30, 120)
    states, labels = torch.randn(30, 8), torch.randint(0, 3, (30,))

    def train():
        torch.manual_seed(0)
        first, second = GATConv(8, 8, 4, dropout=0.2), GATv2Conv(32, 3, 2, concat=False)
        optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=0.01)
        for _ in range(20):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(second(first(states, graph).relu(), graph), labels)
            loss.backward()
            optimizer.step()
        return [loss.detach()]

    assert_equal(train)
