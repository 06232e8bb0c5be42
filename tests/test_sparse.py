import copy
import pickle

import pytest
import torch
from helpers import few, multigraphs, normal, not_none, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from gatutils import _kernels
from gatutils._aggregations import row_maxima, row_sums
from gatutils._checks import expect_finite
from gatutils._gat import pair_scores
from gatutils._gatv2 import gatv2_scores
from gatutils._kernels import (
    dropout_mask,
    entry_dots,
    entry_sums,
    segment_softmax,
    softmax_and_sums,
    weighted_column_sums,
    weighted_row_sums,
    weighted_sum,
)
from gatutils._layers import dropout
from gatutils.sparse import CSRMatrix

assert_near = torch.testing.assert_close


@st.composite
def matrices(draw, most=6):
    """A matrix that is mostly zeros; rows and columns without a number, perhaps no row at all."""
    rows, width = draw(st.integers(0, most)), draw(st.integers(1, most))
    matrix = normal(rows, width, seed=draw(st.integers(0, 2**31)))
    share = draw(st.sampled_from([0.0, 0.3, 1.0]))
    return matrix * (torch.rand(rows, width, generator=torch.Generator().manual_seed(1)) < share)


@st.composite
def headed(draw, dim=2):
    """A graph, and numbers for each head: at its edges, at its nodes."""
    nodes, edges = draw(multigraphs())
    graph, heads, seed = plain(nodes, edges), draw(st.integers(1, 3)), draw(st.integers(0, 2**31))
    scores, values = (
        normal(graph.num_edges, heads, seed=seed),
        normal(nodes, heads, dim, seed=seed + 1),
    )
    return graph, scores.requires_grad_(), values.requires_grad_()


# ---- Weighted sums ----------------------------------------------------------------------------


@few
@given(headed())
def test_a_weighted_sum_is_a_loop_over_the_members(problem):
    graph, scores, values = problem
    weights, rows = scores.detach()[:, 0].contiguous(), values.detach()[:, 0]
    for given_weights in (weights, None):
        expected = torch.zeros_like(rows)
        for k, (j, i) in enumerate(zip(graph.source.tolist(), graph.target.tolist(), strict=True)):
            expected[i] += rows[j] if given_weights is None else given_weights[k] * rows[j]
        assert_near(weighted_sum(graph.indptr, graph.source, given_weights, rows), expected)


def test_bags_without_members_sum_to_zeros_of_the_same_type():
    none = torch.zeros(0, dtype=torch.long)
    sums = weighted_sum(torch.zeros(4, dtype=torch.long), none, None, normal(2, 5))
    assert_near(sums, torch.zeros(3, 5, dtype=torch.float64))


# ---- Sparse rows ------------------------------------------------------------------------------


@given(matrices())
def test_sparse_rows_hold_the_numbers_that_are_not_zero(matrix):
    rows = CSRMatrix.from_dense(matrix)
    assert torch.equal(rows.to_dense(), matrix)
    assert (rows.values != 0).all()
    assert len(rows.values) == matrix.count_nonzero()
    assert (rows.shape, rows.dtype, rows.ndim) == (matrix.shape, matrix.dtype, matrix.ndim)
    assert len(rows) == len(matrix)


def test_sparse_rows_say_how_large_they_are():
    rows = CSRMatrix.from_dense(torch.eye(3)[:, :2])
    assert repr(rows) == "CSRMatrix(3 x 2, 2 entries)"
    assert (rows.indptr.tolist(), rows.indices.tolist()) == ([0, 1, 2, 2], [0, 1])


@given(matrices(), st.data())
def test_some_rows_are_those_of_the_matrix(matrix, data):
    """Of a slice, and of indices in any order, some of them twice or counted from the end."""
    rows, n = CSRMatrix.from_dense(matrix), len(matrix)
    start, stop = (data.draw(st.none() | st.integers(-n - 1, n + 1)) for _ in range(2))
    some = data.draw(st.lists(st.integers(-n, n - 1), max_size=8)) if n else []
    for chosen in (slice(start, stop), torch.tensor(some, dtype=torch.int32)):
        found = rows[chosen]
        assert torch.equal(found.to_dense(), matrix[chosen])
        assert (found.shape, len(found)) == (matrix[chosen].shape, len(matrix[chosen]))
        weight = normal(2, matrix.shape[1], seed=1)
        assert_near(found.matmul(weight), matrix[chosen] @ weight.T)


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ([0], TypeError, "rows: expected an int tensor, got list"),
        (torch.ones(2), TypeError, "rows: expected an int tensor.*float32"),
        (torch.ones(2, dtype=torch.bool), TypeError, "rows: expected an int tensor.*bool"),
        (torch.tensor([[0]]), ValueError, "rows: expected 1 axes"),
        (slice(None, None, 2), ValueError, "rows: expected a slice with step 1, got 2"),
        (torch.tensor([2]), IndexError, "out of bounds"),
    ],
)
def test_rows_that_cannot_be_picked_are_refused(unchecked, rows, error, words):
    with pytest.raises(error, match=words):
        CSRMatrix.from_dense(torch.eye(2))[rows]


@few
@given(matrices(), st.integers(1, 3), st.booleans())
def test_a_product_of_sparse_rows_is_that_of_the_matrix(matrix, out, columns_in_memory):
    """In values and gradient, also where the gradient's rows are columns in memory."""
    weight, probe = normal(out, matrix.shape[1], seed=1), normal(len(matrix), out, seed=2)
    found = []
    for times in (CSRMatrix.from_dense(matrix).matmul, lambda W: matrix @ W.T):
        W = weight.clone().requires_grad_()
        product = times(W)
        loss = (product.T * probe.T.contiguous() if columns_in_memory else product * probe).sum()
        found.append((product, torch.autograd.grad(loss, W)[0]))
    for one, other in zip(*found, strict=True):
        assert_near(one, other)


def test_the_gradient_of_a_product_is_its_derivative():
    rows = CSRMatrix.from_dense(normal(4, 3) * (normal(4, 3, seed=1) > 0))
    assert torch.autograd.gradcheck(rows.matmul, normal(2, 3, seed=2).requires_grad_())


@pytest.mark.parametrize("bad", [[[1.0]], torch.ones(2, 2, dtype=torch.long)])
def test_sparse_rows_are_made_of_a_float_tensor(unchecked, bad):
    with pytest.raises(TypeError, match="matrix: expected a float"):
        CSRMatrix.from_dense(bad)


def test_sparse_rows_are_made_of_two_axes(unchecked):
    with pytest.raises(ValueError, match=r"matrix: expected 2 axes, got shape \(2,\)"):
        CSRMatrix.from_dense(torch.ones(2))


@settings(max_examples=8)
@given(matrices(most=4), st.integers(1, 2))
def test_a_product_is_differentiable_twice_in_both_factors(matrix, out):
    rows = CSRMatrix.from_dense(matrix)
    values = rows.values.clone().requires_grad_()
    weight = normal(out, matrix.shape[1], seed=1).requires_grad_()

    def times(values, weight):
        return CSRMatrix(rows.indptr, rows.indices, values, matrix.shape[1]).matmul(weight)

    if rows.values.numel():
        assert_derivatives(times, (values, weight))


def test_the_gradient_reaches_the_matrix_that_the_numbers_were_taken_from():
    matrix = (normal(4, 3) * (normal(4, 3, seed=1) > 0)).requires_grad_()
    weight = normal(2, 3, seed=2)
    (slope,) = torch.autograd.grad(
        CSRMatrix.from_dense(matrix).matmul(weight).square().sum(), matrix
    )
    (expected,) = torch.autograd.grad((matrix @ weight.T).square().sum(), matrix)
    assert_near(slope, expected * (matrix != 0))


def test_sparse_rows_move_and_change_type():
    rows = CSRMatrix.from_dense(normal(4, 3) * (normal(4, 3, seed=1) > 0))
    single = rows.to(dtype=torch.float32)
    assert (single.dtype, rows.dtype) == (torch.float32, torch.float64)
    assert torch.equal(single.to_dense(), rows.to_dense().float())
    there = rows.to("meta")
    assert there.device.type == there.indptr.device.type == there.indices.device.type == "meta"
    assert there.shape == rows.shape
    assert torch.equal(rows.to("cpu").to_dense(), rows.to_dense())


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_sparse_rows_are_copied_and_pickled(again):
    rows = CSRMatrix.from_dense(normal(4, 3) * (normal(4, 3, seed=1) > 0))
    rows.matmul(normal(2, 3))  # whatever is derived on the way
    assert torch.equal(again(rows).to_dense(), rows.to_dense())


WHOLE, NUMBERS = torch.tensor([0, 1, 2]), torch.ones(2)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((WHOLE.float(), WHOLE[:2], NUMBERS, 3), TypeError, "indptr: expected an int"),
        ((WHOLE, NUMBERS, NUMBERS, 3), TypeError, "indices: expected an int"),
        ((WHOLE, WHOLE[:2], WHOLE[:2], 3), TypeError, "values: expected a float"),
        ((WHOLE, WHOLE, NUMBERS, 3), ValueError, "indices: expected 2 like values, got 3"),
        ((WHOLE[:2], WHOLE[:2], NUMBERS, 3), ValueError, "indptr: expected numbers rising"),
        ((WHOLE[1:], WHOLE[:2], NUMBERS, 3), ValueError, "indptr: .*from 0 to 2, got .1, 2."),
        ((WHOLE[[0, 2, 1, 2]], WHOLE[:2], NUMBERS, 3), ValueError, "indptr: .*rising"),
        (
            (WHOLE, WHOLE[1:], NUMBERS, 2),
            ValueError,
            "indices: expected columns 0 to 1, got 1 to 2",
        ),
        ((WHOLE, WHOLE[:2] - 1, NUMBERS, 2), ValueError, "indices: .*got -1 to 0"),
    ],
)
def test_places_that_do_not_fit_are_refused(unchecked, arguments, error, words):
    with pytest.raises(error, match=words):
        CSRMatrix(*arguments)


def test_a_product_of_two_types_is_refused(unchecked):
    with pytest.raises(
        TypeError, match=r"weight: expected torch\.float32 like values, got .*float64"
    ):
        CSRMatrix.from_dense(torch.eye(2)).matmul(torch.eye(2).double())


# ---- Dropout ----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_drop_is_zero_for_a_share_and_makes_up_for_it(share, dtype):
    torch.manual_seed(0)
    factors = dropout_mask(torch.zeros(200, 200, dtype=dtype), share)
    assert factors.dtype == dtype
    assert (factors == 0).double().mean().item() == pytest.approx(share, abs=0.01)
    kept = factors[factors != 0]
    assert_near(kept, torch.full_like(kept, 1 / (1 - share) if share < 1 else 0))


def whole(states):
    return states.to_dense() if isinstance(states, CSRMatrix) else states


@pytest.mark.parametrize("make", [lambda x: x, CSRMatrix.from_dense])
def test_dropout_of_states(make):
    """What is kept is that much larger; a zero stays one; nothing is dropped out of training."""
    torch.manual_seed(0)
    x = normal(200, 50, dtype=torch.float32) * (normal(200, 50, seed=1) > 0)
    states = make(x)
    assert dropout(states, 0.6, training=False) is states
    assert dropout(states, 0.0, training=True) is states
    runs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        runs.append(dropout(states, 0.6, training=True))
    one, same, other = map(whole, runs)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    kept = one != 0
    assert_near(one[kept], x[kept] / 0.4)
    assert kept[x != 0].float().mean().item() == pytest.approx(0.4, abs=0.03)
    assert torch.equal(whole(dropout(states, 1.0, training=True)), torch.zeros_like(x))
    assert torch.equal(whole(states), x)


def test_sparse_rows_after_dropout_have_a_gradient_of_their_own():
    """The way back is made once for all; the numbers are those that were kept."""
    torch.manual_seed(0)
    rows = CSRMatrix.from_dense(normal(6, 4) * (normal(6, 4, seed=1) > 0))
    before, W = rows.values.clone(), normal(3, 4, seed=2).requires_grad_()
    for kept in (rows.dropout(0.5), rows.dropout(0.5).dropout(0.5), rows):
        (sparse_way,) = torch.autograd.grad(kept.matmul(W).square().sum(), W)
        (dense_way,) = torch.autograd.grad((kept.to_dense() @ W.T).square().sum(), W)
        assert_near(sparse_way, dense_way)
    assert torch.equal(rows.values, before)


# ---- Operations along edges -------------------------------------------------------------------


@pytest.fixture(params=["fused", "portable"])
def device(request, monkeypatch):
    """As the CPU and CUDA reduce, and as other devices do."""
    if request.param == "portable":
        monkeypatch.setattr(_kernels, "FUSED", set())


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("aggr", ["sum", "max"])
def test_a_single_edge_is_read_where_it_stands_in_each_head(heads, aggr, device):
    """Where an axis has length one, its stride may be any number, and counts for nothing."""
    numbers, pattern = normal(heads, 1).T, plain(3, [(0, 1)]).pattern
    reduce = {"sum": entry_sums, "max": _kernels._row_maxima}[aggr]
    assert torch.equal(reduce(numbers, pattern)[1], numbers[0])
    values = normal(3, heads, 2, seed=1)
    weights = segment_softmax(numbers, pattern)
    assert torch.equal(weights, torch.ones(1, heads, dtype=torch.float64))
    assert torch.equal(weighted_row_sums(weights, values, pattern)[1], values[0])


def in_one(parts):
    return torch.cat([part.flatten() for part in parts])


def operations(graph, kept=None):
    """Name -> (the operation, tensors to call it with)."""
    pattern, nodes, edges, heads, dim = graph.pattern, graph.num_nodes, graph.num_edges, 2, 2
    at_edges, at_nodes = normal(edges, heads), normal(nodes, heads, seed=1)
    rows, more = normal(nodes, heads, dim, seed=2), normal(nodes, heads, dim, seed=3)
    return {
        "product": (lambda w, v: weighted_row_sums(w, v, pattern), (at_edges, rows)),
        "product of columns": (lambda w, v: weighted_column_sums(w, v, pattern), (at_edges, rows)),
        "product, dropout": (
            lambda w, v: weighted_row_sums(w, v, pattern, (w.detach() > 0) * 2.0),
            (at_edges, rows),
        ),
        "along": (lambda g, v: entry_dots(g, v, pattern), (more, rows)),
        "row sums": (lambda e: entry_sums(e, pattern), (at_edges,)),
        "column sums": (lambda e: entry_sums(e, pattern, transposed=True), (at_edges,)),
        "pair scores": (
            lambda q, k, x: pair_scores(q, k, x, 0.2, pattern),
            (at_nodes, normal(nodes, heads, seed=4), at_edges),
        ),
        "softmax": (
            lambda e, v: in_one(softmax_and_sums(e, v, pattern)),
            (at_edges, rows),
        ),
        "softmax, dropout": (
            lambda e, v: in_one(softmax_and_sums(e, v, pattern, (at_edges > 0) * 2.0)),
            (at_edges, rows),
        ),
        "additive scores": (
            lambda q, k, a: gatv2_scores(q, k, a, 0.2, pattern),
            (
                normal(nodes, heads * dim, seed=5),
                normal(nodes, heads * dim, seed=6),
                normal(heads, dim, seed=7),
            ),
        ),
        "sum": (lambda v: row_sums(v, pattern), (rows[:, 0],)),
        "max": (lambda v: row_maxima(v, pattern), (rows[:, 0],)),
    }


every_operation = pytest.mark.parametrize("name", operations(plain(1, [])))


def assert_derivatives(run, inputs):
    """Of the first and of the second order, by finite differences."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_kernels, "CHUNK", 5)
        assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@every_operation
@settings(max_examples=6)
@given(problem=multigraphs(least=1, most=4))
def test_the_gradients_are_the_derivatives_to_the_second_order(name, problem):
    run, inputs = operations(plain(*problem))[name]
    if all(tensor.numel() for tensor in inputs):
        assert_derivatives(run, [tensor.requires_grad_() for tensor in inputs])


FLOATS = [torch.float32, torch.float64]

MIXED = plain(4, [(0, 1), (2, 1), (2, 1), (3, 3), (1, 0)])


@every_operation
def test_the_gradients_of_other_devices_are_the_derivatives_too(name, monkeypatch):
    monkeypatch.setattr(_kernels, "FUSED", set())
    run, inputs = operations(MIXED)[name]
    assert_derivatives(run, [tensor.requires_grad_() for tensor in inputs])


@every_operation
def test_third_derivatives_follow_too(name):
    """Of the sum of cubes, which has some even where the operation is linear."""
    run, inputs = operations(MIXED)[name]
    inputs = [tensor.requires_grad_() for tensor in inputs]

    def slope(*inputs):
        return torch.autograd.grad(run(*inputs).pow(3).sum(), inputs, create_graph=True)

    assert torch.autograd.gradcheck(slope, inputs)


@every_operation
@few
@given(problem=multigraphs())
def test_other_devices_compute_the_same(name, problem):
    """In values and in the gradients of the first order, which have ways of their own."""
    run, inputs = operations(plain(*problem))[name]
    found = []
    for fused in ({"cpu"}, set()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_kernels, "FUSED", fused)
            given_here = [tensor.clone().requires_grad_() for tensor in inputs]
            out = run(*given_here)
            found.append((out, *torch.autograd.grad(out.square().sum(), given_here)))
    for one, other in zip(*found, strict=True):
        assert_near(one, other)


def test_other_devices_take_no_step_that_only_the_cpu_and_cuda_have():
    class Names(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            met.add(str(func))
            return func(*args, **(kwargs or {}))

    bad = ("embedding_bag", "sampled_addmm", "sparse")
    for fused in ({"cpu"}, set()):
        met: set[str] = set()
        with pytest.MonkeyPatch.context() as patch, Names():
            patch.setattr(_kernels, "FUSED", fused)
            for run, inputs in operations(MIXED).values():
                inputs = [tensor.requires_grad_() for tensor in inputs]
                torch.autograd.grad(run(*inputs).square().sum(), inputs)
        assert any(word in name for name in met for word in bad) == bool(fused), met


@few
@given(headed(), st.sampled_from([0.1, 10.0, 60.0, 1e4]), st.sampled_from(["float32", "float64"]))
def test_the_softmax_is_that_of_torch_whether_or_not_the_maximum_is_subtracted(
    problem, scale, dtype
):
    """It is subtracted where exponentials could overflow, or all of a row's underflow."""
    graph, scores, _ = problem
    scores = (scale * scores.detach()).to(getattr(torch, dtype))
    largest = expect_finite(scores, "scores")
    assert largest == (float(scores.abs().max()) if scores.numel() else 0)
    weights = segment_softmax(scores, graph.pattern, largest)
    torch.testing.assert_close(weights, segment_softmax(scores, graph.pattern))
    for i in range(graph.num_nodes):
        own = graph.target == i
        torch.testing.assert_close(weights[own], scores[own].softmax(dim=0))


@pytest.mark.parametrize("heads", [1, 2])
def test_sums_can_be_changed_in_place(heads, device):
    """As a nonlinearity in place after a layer does."""
    weights, values = normal(5, heads).requires_grad_(), normal(4, heads, 2, seed=1)
    found = []
    for relu in (torch.relu, torch.relu_):
        for sums in (weighted_row_sums, weighted_column_sums):
            out = relu(sums(weights, values, MIXED.pattern))
            found.append(torch.autograd.grad(out.square().sum(), weights)[0])
        out = relu(softmax_and_sums(weights, values, MIXED.pattern)[0])
        found.append(torch.autograd.grad(out.square().sum(), weights)[0])
    for one, other in zip(found[:3], found[3:], strict=True):
        assert_near(one, other)


def test_a_pattern_is_pickled_without_what_was_derived():
    rows = CSRMatrix.from_dense(normal(5, 4))
    size = len(pickle.dumps(rows))
    whole = rows.matmul(normal(3, 4, seed=1).requires_grad_())
    whole.sum().backward()
    rows.pattern.head_rows(3, transposed=True)
    other = pickle.loads(pickle.dumps(rows))
    assert len(pickle.dumps(rows)) <= size
    assert_near(other.matmul(normal(3, 4, seed=1)), whole)


@few
@given(headed())
def test_dropout_acts_on_weights_that_are_made(problem):
    """The products are sums with what is kept of the weights."""
    graph, scores, values = problem
    torch.manual_seed(0)
    kept = dropout_mask(scores.detach(), 0.5)
    weights = segment_softmax(scores, graph.pattern)
    context = weighted_row_sums(weights, values, graph.pattern, kept)
    for one, other in zip(
        softmax_and_sums(scores, values, graph.pattern, kept), (context, weights), strict=True
    ):
        assert_near(one, other)
    for h, carried in enumerate((weights * kept).T):
        rows = values[:, h].contiguous()
        by_hand = weighted_sum(graph.indptr, graph.source, carried.contiguous(), rows)
        assert_near(context[:, h], by_hand)
    whole = weighted_row_sums(weights, values, graph.pattern)
    assert_near(weighted_row_sums(weights, values, graph.pattern, torch.ones_like(kept)), whole)


@few
@given(multigraphs(most=4), st.integers(1, 3), st.integers(1, 3), st.sampled_from(FLOATS))
def test_products_along_edges_are_a_loop_over_them(problem, times, heads, dtype):
    """Also where edges are there so often that they outnumber the pairs of nodes."""
    nodes, edges = problem
    graph = plain(nodes, edges * times)
    targets, sources = (normal(nodes, heads, 3, seed=seed, dtype=dtype) for seed in (0, 1))
    expected = (targets[graph.target] * sources[graph.source]).sum(dim=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_kernels, "CHUNK", 4)
        assert_near(entry_dots(targets, sources, graph.pattern), expected)


def test_the_first_of_equal_largest_values_receives_the_gradient(device):
    x = torch.tensor([[1.0], [2.0], [2.0]]).requires_grad_()
    graph = plain(3, [(0, 1), (2, 1), (1, 1), (0, 0)])
    row_maxima(x, graph.pattern).sum().backward()
    assert not_none(x.grad).tolist() == [[1.0], [0.0], [1.0]]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_forward_mode_and_transforms_of_functions_are_refused_not_wrong():
    run, inputs = operations(plain(3, [(0, 1), (2, 1), (1, 1)]))["softmax"]
    with pytest.raises(RuntimeError, match="setup_context"):
        torch.func.grad(lambda *of: run(*of).pow(2).sum())(*inputs)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(inputs[0], torch.ones_like(inputs[0]))
        with pytest.raises((RuntimeError, NotImplementedError), match=r"jvp|forward"):
            run(dual, inputs[1])


@every_operation
def test_forward_mode_is_refused_also_where_no_gradient_is_recorded(name):
    run, inputs = operations(MIXED)[name]
    with torch.no_grad(), torch.autograd.forward_ad.dual_level():
        for k, given_here in enumerate(inputs):
            dual = torch.autograd.forward_ad.make_dual(given_here, torch.ones_like(given_here))
            with pytest.raises((RuntimeError, NotImplementedError), match=r"jvp|forward"):
                run(*inputs[:k], dual, *inputs[k + 1 :])
