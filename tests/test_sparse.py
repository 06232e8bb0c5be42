import pytest
import torch
from helpers import few, multigraphs, normal, plain
from hypothesis import given
from hypothesis import strategies as st

from gatutils import sparse
from gatutils.sparse import (
    AdditiveScores,
    Attend,
    PairSums,
    SparseRows,
    drop,
    dropout,
    weighted_sum,
)

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
    scores, values = normal(heads, graph.edges, seed=seed), normal(heads, nodes, dim, seed=seed + 1)
    return graph, scores.requires_grad_(), values.requires_grad_()


# ---- Weighted sums ----------------------------------------------------------------------------


@few
@given(headed())
def test_a_weighted_sum_is_a_loop_over_the_members(problem):
    graph, scores, values = problem
    weights, rows = scores.detach()[0], values.detach()[0]
    for given_weights in (weights, None):
        expected = torch.zeros_like(rows)
        for k, (j, i) in enumerate(zip(graph.source.tolist(), graph.target.tolist(), strict=True)):
            expected[i] += rows[j] if given_weights is None else given_weights[k] * rows[j]
        assert_near(weighted_sum(graph.offsets, graph.source, given_weights, rows), expected)


def test_bags_without_members_sum_to_zeros_of_the_same_type():
    none = torch.zeros(0, dtype=torch.long)
    sums = weighted_sum(torch.zeros(4, dtype=torch.long), none, None, normal(2, 5))
    assert_near(sums, torch.zeros(3, 5, dtype=torch.float64))


# ---- Sparse rows ------------------------------------------------------------------------------


@given(matrices())
def test_sparse_rows_hold_the_numbers_that_are_not_zero(matrix):
    rows = SparseRows.from_dense(matrix)
    assert torch.equal(rows.dense(), matrix)
    assert (rows.values != 0).all()
    assert len(rows.values) == matrix.count_nonzero()
    assert (rows.shape, rows.dtype, rows.ndim) == (matrix.shape, matrix.dtype, matrix.ndim)
    assert len(rows) == len(matrix)


def test_sparse_rows_say_how_large_they_are():
    rows = SparseRows.from_dense(torch.eye(3)[:, :2])
    assert repr(rows) == "SparseRows(3 x 2, 2 not zero)"
    assert (rows.offsets.tolist(), rows.columns.tolist()) == ([0, 1, 2, 2], [0, 1])


@few
@given(matrices(), st.integers(1, 3), st.booleans())
def test_a_product_of_sparse_rows_is_that_of_the_matrix(matrix, out, columns_in_memory):
    """In values and gradient, also where the gradient's rows are columns in memory."""
    weight, probe = normal(out, matrix.shape[1], seed=1), normal(len(matrix), out, seed=2)
    found = []
    for times in (SparseRows.from_dense(matrix).times, lambda W: matrix @ W.T):
        W = weight.clone().requires_grad_()
        product = times(W)
        loss = (product.T * probe.T.contiguous() if columns_in_memory else product * probe).sum()
        found.append((product, torch.autograd.grad(loss, W)[0]))
    for one, other in zip(*found, strict=True):
        assert_near(one, other)


def test_the_gradient_of_a_product_is_its_derivative():
    rows = SparseRows.from_dense(normal(4, 3) * (normal(4, 3, seed=1) > 0))
    assert torch.autograd.gradcheck(rows.times, normal(2, 3, seed=2).requires_grad_())


@pytest.mark.parametrize("bad", [[[1.0]], torch.ones(2, 2, dtype=torch.long)])
def test_sparse_rows_are_made_of_a_float_tensor(unchecked, bad):
    with pytest.raises(TypeError, match="matrix: expected a float"):
        SparseRows.from_dense(bad)


def test_sparse_rows_are_made_of_two_axes(unchecked):
    with pytest.raises(ValueError, match=r"matrix: expected 2 axes, got shape \(2,\)"):
        SparseRows.from_dense(torch.ones(2))


# ---- Dropout ----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_drop_is_zero_for_a_share_and_makes_up_for_it(share, dtype):
    torch.manual_seed(0)
    factors = drop(torch.zeros(200, 200, dtype=dtype), share)
    assert factors.dtype == dtype
    assert (factors == 0).double().mean().item() == pytest.approx(share, abs=0.01)
    kept = factors[factors != 0]
    assert_near(kept, torch.full_like(kept, 1 / (1 - share) if share < 1 else 0))


def whole(states):
    return states.dense() if isinstance(states, SparseRows) else states


@pytest.mark.parametrize("make", [lambda x: x, SparseRows.from_dense])
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
    rows = SparseRows.from_dense(normal(6, 4) * (normal(6, 4, seed=1) > 0))
    before, W = rows.values.clone(), normal(3, 4, seed=2).requires_grad_()
    for kept in (rows.dropout(0.5), rows.dropout(0.5).dropout(0.5), rows):
        (sparse_way,) = torch.autograd.grad(kept.times(W).square().sum(), W)
        (dense_way,) = torch.autograd.grad((kept.dense() @ W.T).square().sum(), W)
        assert_near(sparse_way, dense_way)
    assert torch.equal(rows.values, before)


# ---- Numbers of nodes and numbers of edges ----------------------------------------------------


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("how", ["sum", "max"])
def test_a_single_edge_is_read_where_it_stands_in_each_head(heads, how):
    """Where an axis has one place, its stride may be any number, and counts for nothing."""
    numbers, graph = normal(1, heads).T.contiguous(), plain(3, [(0, 1)])
    assert torch.equal(sparse._per_target(numbers, graph, how)[:, 1], numbers[:, 0])
    values = normal(heads, 3, 2, seed=1)
    context, weights = Attend.apply(numbers, values, graph, None)
    assert torch.equal(weights, torch.ones(heads, 1, dtype=torch.float64))
    assert torch.equal(context[:, 1], values[:, 0])


@few
@given(headed())
def test_the_gradient_of_attention_is_its_derivative_with_dropout_too(problem):
    graph, scores, values = problem
    torch.manual_seed(0)
    for kept in (None, drop(scores.detach(), 0.5), torch.zeros_like(scores)):

        def attend(e, v, kept=kept):
            return Attend.apply(e, v, graph, kept)

        assert torch.autograd.gradcheck(attend, (scores, values))


@few
@given(headed())
def test_dropout_acts_on_weights_that_are_made(problem):
    """The contexts are sums with what is kept of the weights; those returned are all of them."""
    graph, scores, values = problem
    torch.manual_seed(0)
    kept = drop(scores.detach(), 0.5)
    whole, weights = Attend.apply(scores, values, graph, None)
    context, same = Attend.apply(scores, values, graph, kept)
    assert torch.equal(weights, same)
    for h, head in enumerate(context):
        carried = (weights * kept)[h]
        assert_near(head, weighted_sum(graph.offsets, graph.source, carried, values[h]))
    assert_near(Attend.apply(scores, values, graph, torch.ones_like(kept))[0], whole)


@few
@given(headed())
def test_the_gradients_of_sums_and_scores_are_their_derivatives(problem):
    graph, _, values = problem
    heads, nodes, dim = values.shape
    asks, answers = values.detach()[..., 0].requires_grad_(), values.detach()[..., 1].clone()
    sums = PairSums.apply(asks, answers.requires_grad_(), graph)
    assert_near(sums, asks[:, graph.target] + answers[:, graph.source])
    pair = (asks, answers)
    assert torch.autograd.gradcheck(lambda q, k: PairSums.apply(q, k, graph), pair)
    queries, keys = normal(nodes, heads * dim, seed=3), normal(nodes, heads * dim, seed=4)
    inputs = [queries, keys, normal(heads, dim, seed=5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "CHUNK", 5)
        assert torch.autograd.gradcheck(
            lambda q, k, a: AdditiveScores.apply(q, k, a, 0.2, graph),
            [tensor.requires_grad_() for tensor in inputs],
        )


@few
@given(multigraphs(most=4), st.integers(1, 3), st.sampled_from([torch.float32, torch.float64]))
def test_products_along_edges_are_a_loop_over_them(problem, times, dtype):
    """Also where edges are there so often that they outnumber the pairs of nodes."""
    nodes, edges = problem
    graph = plain(nodes, edges * times)
    targets, sources = normal(nodes, 3, dtype=dtype), normal(nodes, 3, seed=1, dtype=dtype)
    expected = (targets[graph.target] * sources[graph.source]).sum(dim=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "CHUNK", 4)
        assert_near(sparse._products(targets, sources, graph), expected)


def test_a_gradient_of_a_gradient_is_refused():
    graph, scores = plain(2, [(0, 1), (1, 1)]), normal(1, 2).requires_grad_()
    context, _ = Attend.apply(scores, normal(1, 2, 3), graph, None)
    (slope,) = torch.autograd.grad(context.square().sum(), scores, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
