import math
import re
from typing import Any

import pytest
import torch
from helpers import not_none
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from precision import HALVES, assert_near_in
from torch import nn

from gatutils.attention import (
    Additive,
    Cosine,
    Dot,
    General,
    MultiHeadAttention,
    ScaledDot,
    attend,
)

DTYPES = [torch.float32, torch.float64]


@st.composite
def problems(draw):
    """Scores, values and a mask of random shapes; some rows may be masked whole."""
    batch = draw(st.lists(st.integers(1, 3), max_size=2))
    queries, keys, dim = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 4))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dtype = draw(st.sampled_from(DTYPES))
    scale = draw(st.sampled_from([0.1, 1.0, 100.0]))
    scores = scale * torch.randn(*batch, queries, keys, generator=rng, dtype=dtype)
    values = torch.randn(*batch, keys, dim, generator=rng, dtype=dtype)
    mask = torch.rand(*batch, queries, keys, generator=rng) < draw(st.sampled_from([0.2, 0.5, 0.9]))
    return scores, values, mask


@given(problems())
def test_weights_are_a_distribution_over_what_is_visible(problem):
    scores, values, mask = problem
    context, weights = attend(scores, values, mask)
    assert (weights >= 0).all()
    assert (weights[~mask] == 0).all()
    seen = mask.any(dim=-1)
    torch.testing.assert_close(weights.sum(dim=-1), seen.to(weights.dtype))
    assert (context[~seen] == 0).all()
    assert context.dtype == scores.dtype


@given(problems())
def test_equals_torch_where_a_row_sees_something(problem):
    scores, values, mask = problem
    mask = mask | ~mask.any(dim=-1, keepdim=True)
    ours_in, theirs_in = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    ours, _ = attend(ours_in, values, mask)
    theirs = theirs_in.masked_fill(~mask, -torch.inf).softmax(dim=-1) @ values
    torch.testing.assert_close(ours, theirs)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    torch.testing.assert_close(ours_in.grad, theirs_in.grad)


@given(problems())
def test_equals_scaled_dot_product_attention(problem):
    scores, values, mask = problem
    mask = mask | ~mask.any(dim=-1, keepdim=True)
    # Queries and keys whose dot products are the scores: one-hot keys.
    keys = torch.eye(scores.shape[-1], dtype=scores.dtype).expand(*scores.shape[:-2], -1, -1)
    theirs = torch.nn.functional.scaled_dot_product_attention(
        scores, keys, values, attn_mask=mask, scale=1.0
    )
    torch.testing.assert_close(attend(scores, values, mask)[0], theirs)


@given(problems())
def test_hidden_keys_change_nothing_and_get_no_gradient(problem):
    scores, values, mask = problem
    scores.requires_grad_()
    context, weights = attend(scores, values, mask)
    (context.sum() + weights.square().sum()).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert (scores.grad[~mask] == 0).all()
    other = torch.where(mask, scores.detach(), torch.nan)
    again, _ = attend(other, values, mask)
    assert torch.equal(again, context)


@given(problems())
def test_a_fully_masked_row_is_zero_in_value_and_gradient(problem):
    scores, values, mask = problem
    mask[..., 0, :] = False
    scores.requires_grad_()
    values.requires_grad_()
    context, weights = attend(scores, values, mask)
    assert (context[..., 0, :] == 0).all()
    assert (weights[..., 0, :] == 0).all()
    (context.sum() + weights.sum()).backward()
    assert (scores.grad[..., 0, :] == 0).all()
    assert values.grad.isfinite().all()


@given(problems(), st.randoms(use_true_random=False))
def test_permuting_keys_permutes_weights(problem, random):
    scores, values, mask = problem
    order = list(range(scores.shape[-1]))
    random.shuffle(order)
    context, weights = attend(scores, values, mask)
    again, permuted = attend(scores[..., order], values[..., order, :], mask[..., order])
    torch.testing.assert_close(again, context)
    torch.testing.assert_close(permuted, weights[..., order])


def test_equal_scores_give_the_mean_and_a_high_one_the_lookup():
    values = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    mean, _ = attend(torch.zeros(1, 2), values)
    assert mean.tolist() == [[2.0, 1.0]]
    found, weights = attend(torch.tensor([[0.0, 1000.0]]), values)
    assert found.tolist() == [[3.0, 2.0]]
    assert weights.tolist() == [[0.0, 1.0]]


def test_very_low_scores_are_not_hidden():
    _, weights = attend(torch.tensor([[-1e6, -1e6]]), torch.eye(2))
    assert weights.tolist() == [[0.5, 0.5]]


def test_minus_infinity_hides_like_a_mask():
    scores, values = torch.randn(3, 4), torch.randn(4, 2)
    mask = torch.tensor([True, False, True, True])
    hidden = scores.masked_fill(~mask, -torch.inf)
    assert torch.equal(attend(hidden, values)[0], attend(scores, values, mask)[0])
    assert (attend(torch.full((1, 4), -torch.inf), values)[0] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_is_the_derivative(dtype):
    scores = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    values = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(2, 3, 4) < 0.6
    assert torch.autograd.gradcheck(lambda s, v: attend(s, v, mask), (scores, values))
    assert attend(scores.to(dtype), values.to(dtype))[0].dtype == dtype


def reference(kind, score, q, k):
    """One score by the formula, in Python floats."""
    W, U, a = (
        getattr(score, name).weight.tolist() if hasattr(score, name) else []
        for name in ("W", "U", "a")
    )

    def dot(x, y):
        return sum(p * r for p, r in zip(x, y, strict=True))

    def norm(x):
        return math.sqrt(dot(x, x))

    return {
        "dot": lambda: dot(q, k),
        "scaled": lambda: dot(q, k) / math.sqrt(len(q)),
        "general": lambda: dot(q, [dot(row, k) for row in W]),
        "additive": lambda: sum(
            v * math.tanh(dot(w, q) + dot(u, k)) for v, w, u in zip(a[0], W, U, strict=True)
        ),
        "cosine": lambda: dot(q, k) / norm(q) / norm(k) / 0.5,
    }[kind]()


SCORES = {
    "dot": lambda d, e: Dot(),
    "scaled": lambda d, e: ScaledDot(),
    "general": General,
    "additive": lambda d, e: Additive(d, e, size=5),
    "cosine": lambda d, e: Cosine(temperature=0.5),
}


@pytest.mark.parametrize("kind", SCORES)
@settings(max_examples=20)
@given(st.lists(st.integers(1, 3), max_size=2), st.integers(1, 4), st.integers(1, 4))
def test_scores_follow_the_formula(kind, batch, d, e):
    if kind in ("dot", "scaled", "cosine"):
        e = d
    torch.manual_seed(0)
    score = SCORES[kind](d, e).double()
    q = torch.randn(*batch, 2, d, dtype=torch.float64)
    k = torch.randn(*batch, 3, e, dtype=torch.float64)
    out = score(q, k)
    assert out.shape == (*batch, 2, 3)
    flat_q, flat_k, flat = q.view(-1, 2, d), k.view(-1, 3, e), out.view(-1, 2, 3)
    for b in range(len(flat)):
        for i in range(2):
            for j in range(3):
                expected = reference(kind, score, flat_q[b, i].tolist(), flat_k[b, j].tolist())
                assert flat[b, i, j].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", SCORES)
def test_every_score_learns(kind):
    """Gradients reach queries, keys and every parameter."""
    score = SCORES[kind](4, 4)
    q, k = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 5, 4, requires_grad=True)
    attend(score(q, k), k)[0].square().sum().backward()
    for tensor in (q, k, *score.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0


def test_cosine_temperature_and_zero_vectors():
    q, k = torch.randn(2, 4), torch.randn(3, 4)
    torch.testing.assert_close(Cosine(0.25)(q, k), 4 * Cosine()(q, k))
    torch.testing.assert_close(Cosine()(5 * q, k), Cosine()(q, k))
    assert (Cosine()(torch.zeros(1, 4), k) == 0).all()
    assert Cosine()(torch.zeros(1, 4, dtype=torch.half), k.half()).isfinite().all()
    learned = Cosine(0.25, learned=True)
    torch.testing.assert_close(learned(q, k), Cosine(0.25)(q, k))
    learned(q, k).sum().backward()
    assert [not_none(p.grad).abs() > 0 for p in learned.parameters()] == [True]
    assert len(list(Cosine().parameters())) == 0


def test_shapes_are_checked_in_tests():
    with pytest.raises(TypeCheckError):
        attend(torch.zeros(2, 3), torch.zeros(4, 5))


S, V = torch.zeros(2, 3), torch.zeros(3, 4)
X, MASK, MULTI = torch.zeros(3, 4), torch.ones(3, 3, dtype=torch.bool), MultiHeadAttention(4, 2)
HALF_BAD = torch.tensor([[0.0], [torch.nan], [0.0]])  # hidden, and bad all the same


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: attend(S, torch.zeros(5, 4)), ValueError, r"values: .*3 rows.*\(5, 4\)"),
        (lambda: attend(S, V, torch.ones(7, dtype=torch.bool)), ValueError, r"mask: .*\(2, 3\)"),
        (lambda: attend(S, V, torch.ones(2, 2, 3) > 0), ValueError, r"mask: .*\(2, 2, 3\)"),
        (lambda: attend(S, V, torch.ones(2, 3)), TypeError, "mask: expected a bool.*float32"),
        (lambda: attend(S.int(), V), TypeError, "scores: expected a float.*int32"),
        (lambda: attend(S, [1, 2]), TypeError, "values: expected a float tensor, got list"),  # type: ignore[arg-type]
        (lambda: attend(S[0], V), ValueError, "scores: .*2 axes"),
        (lambda: attend(S / 0, V), ValueError, "scores: .*finite.*NaN"),
        (lambda: attend(S + torch.inf, V), ValueError, "scores: .*finite"),
        (lambda: attend(S, V / 0), ValueError, "values: .*finite.*NaN"),
        (lambda: attend(S, HALF_BAD, HALF_BAD[:, 0] == 0), ValueError, "values: .*finite.*NaN"),
        (lambda: attend(S, V.double()), TypeError, "values: .*float32 like scores.*float64"),
        (lambda: attend(S.expand(2, 2, 3), V.expand(3, 3, 4)), ValueError, "values: .*batch axes"),
        (lambda: Dot()(S, S.double()), TypeError, "keys: .*float32 like queries"),
        (lambda: Additive(3, 4, size=2.5), TypeError, "size: .*int, got 2.5"),  # type: ignore[arg-type]
        (lambda: Dot()(S, torch.zeros(2, 4)), ValueError, "keys: expected width 3, got 4"),
        (lambda: General(2, 4)(S, S), ValueError, "queries: expected width 2, got 3"),
        (lambda: Additive(3, 4)(S, S), ValueError, "keys: expected width 4, got 3"),
        (lambda: Additive(3, 4, size=0), ValueError, "size: .*at least 1, got 0"),
        (lambda: General(0, 4), ValueError, "query_dim: .*at least 1, got 0"),
        (lambda: Dot()(torch.zeros(2, 2, 3), S), ValueError, "keys: .*batch axes"),
        (lambda: Dot()(S, S.long()), TypeError, "keys: expected a float.*int64"),
        (lambda: Cosine(temperature=0), ValueError, "temperature: .*above 0, got 0"),
        (lambda: Cosine(temperature=math.nan), ValueError, "temperature: .*got nan"),
        (
            lambda: MultiHeadAttention(4, 3),
            ValueError,
            r"heads: expected a divisor of dim \(4\), got 3",
        ),
        (lambda: MultiHeadAttention(4, 0), ValueError, "heads: .*at least 1, got 0"),
        (lambda: MultiHeadAttention(0, 1), ValueError, "dim: .*at least 1, got 0"),
        (lambda: MultiHeadAttention(4.0, 2), TypeError, "dim: expected an int, got 4.0"),  # type: ignore[arg-type]
        (lambda: MultiHeadAttention(4, True), TypeError, "heads: expected an int, got True"),
        (lambda: MULTI(X[0], X), ValueError, r"query: .*2 axes, got shape \(4,\)"),
        (lambda: MULTI(X, X.tolist()), TypeError, "key_value: expected a float tensor, got list"),
        (lambda: MULTI(X, None), TypeError, "key_value: expected a float tensor, got NoneType"),
        (lambda: MULTI(X.long(), X), TypeError, "query: expected a float.*int64"),
        (lambda: MULTI(X[:, 1:], X), ValueError, "query: expected width 4, got 3"),
        (lambda: MULTI(X, X[:, 1:]), ValueError, "key_value: expected width 4, got 3"),
        (lambda: MULTI(X.double(), X), TypeError, "query: .*float32 like the weights.*float64"),
        (lambda: MULTI(X, X.double()), TypeError, "key_value: .*float32 like the weights.*float64"),
        (lambda: MULTI(X[None], X), ValueError, r"key_value: .*batch axes \(1,\) like query"),
        (lambda: MULTI(X, X, torch.ones(3, 3)), TypeError, "mask: expected a bool.*float32"),
        (lambda: MULTI(X, X, MASK[:, :2]), ValueError, r"mask: .*to \(3, 3\), got shape \(3, 2\)"),
        (lambda: MULTI(X, X[:2], MASK), ValueError, r"mask: .*to \(3, 2\), got shape \(3, 3\)"),
        (lambda: MULTI(X, X, MASK.expand(3, 3, 3)), ValueError, r"mask: .*got shape \(3, 3, 3\)"),
        (lambda: MULTI(X, X, MASK.expand(1, 1, 3, 3)), ValueError, r"mask: .*\(1, 1, 3, 3\)"),
        # One for each head, where the axis says batch: as torch's own layer has it.
        (lambda: MULTI(X[None], X[None], MASK.expand(2, 3, 3)), ValueError, r"mask: .*\(2, 3, 3\)"),
        (
            lambda: MULTI(X.expand(2, 3, 4), X.expand(2, 3, 4), MASK[:2]),
            ValueError,
            "mask: .*key_m",
        ),
        (
            lambda: MULTI(X, X, key_mask=MASK),
            ValueError,
            r"key_mask: .*to \(3,\).*got shape \(3, 3\)",
        ),
        (lambda: MULTI(X, X[:2], key_mask=MASK[0]), ValueError, r"key_mask: .*\(2,\).*\(3,\)"),
        (lambda: MULTI(X, X, key_mask=MASK[0, 0]), ValueError, "key_mask: .*1 axes"),
        (lambda: MULTI(X, X, key_mask=X[:, 0]), TypeError, "key_mask: expected a bool.*float32"),
        (lambda: MULTI(X, X, key_mask=[True] * 3), TypeError, "key_mask: expected a bool.*list"),
    ],
)
def test_bad_input_names_the_argument(unchecked, call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert re.search(words, str(caught.value)), caught.value


@st.composite
def heads_at_work(draw, most_batch=2, itself=None):
    """A module, who asks, who is asked, and a mask of some shape, or None."""
    batch = draw(st.lists(st.integers(1, 3), max_size=most_batch))
    heads, d = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    queries, keys = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    if itself is None:
        itself = draw(st.booleans())
    torch.manual_seed(draw(st.integers(0, 2**31)))
    dtype = draw(st.sampled_from(DTYPES))
    module = MultiHeadAttention(heads * d, heads).to(dtype)
    for matrix in module.parameters():
        nn.init.normal_(matrix, std=0.7)
    asking = torch.randn(*batch, queries, heads * d, dtype=dtype)
    asked = asking if itself else torch.randn(*batch, keys, heads * d, dtype=dtype)
    keys = asked.shape[-2]
    ones = [1] * len(batch)
    shapes = [[queries, keys], [keys], [*batch, 1, keys], [*batch, queries, keys]]
    shape = draw(st.sampled_from([None, *shapes, [*ones, queries, keys]]))
    mask = None if shape is None else torch.rand(shape) < draw(st.sampled_from([0.3, 0.7]))
    return module, asking, asked, mask


def in_full(mask, asking, asked):
    """The mask with all its axes, (..., queries, keys)."""
    shape = (*asking.shape[:-1], asked.shape[-2])
    return torch.ones(shape, dtype=torch.bool) if mask is None else mask.expand(shape)


def nobody_blind(mask, keys):
    """The mask with everybody who could look at nothing looking at all."""
    return None if mask is None else mask.expand(*mask.shape[:-1], keys) | ~mask.any(-1, True)


few = settings(max_examples=60)


def assert_near(ours, theirs):
    """As torch's own check, but sums of many float32 numbers may differ in the last digits."""
    kept: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4} if ours.dtype == torch.float32 else {}
    torch.testing.assert_close(ours, theirs, **kept)


@few
@given(heads_at_work())
def test_every_head_has_a_distribution_over_what_is_visible(problem):
    module, asking, asked, mask = problem
    out, weights = module(asking, asked, mask)
    full = in_full(mask, asking, asked).unsqueeze(-3).expand_as(weights)
    assert out.shape == asking.shape
    assert weights.shape == (*asking.shape[:-2], module.heads, asking.shape[-2], asked.shape[-2])
    assert out.dtype == weights.dtype == asking.dtype
    assert (weights >= 0).all()
    assert (weights[~full] == 0).all()
    assert_near(weights.sum(dim=-1), full.any(dim=-1).to(weights.dtype))
    assert (out[~in_full(mask, asking, asked).any(dim=-1)] == 0).all()


@few
@given(heads_at_work(itself=False))
def test_whoever_sees_nothing_gets_zeros_and_passes_back_zeros(problem):
    module, asking, asked, mask = problem
    full = in_full(mask, asking, asked).clone()
    full[..., 0, :] = False
    asking.requires_grad_()
    asked.requires_grad_()
    out, weights = module(asking, asked, full)
    assert (out[..., 0, :] == 0).all()
    assert (weights[..., 0, :] == 0).all()
    (out.square().sum() + weights.square().sum()).backward()
    assert (asking.grad[..., 0, :] == 0).all()
    unseen = ~full.any(dim=-2)
    assert (asked.grad[unseen] == 0).all()
    for tensor in (asking, asked, *module.parameters()):
        assert tensor.grad.isfinite().all()


@few
@given(heads_at_work(itself=False))
def test_what_is_hidden_from_all_changes_nothing(problem):
    module, asking, asked, mask = problem
    full = in_full(mask, asking, asked)
    unseen = ~full.any(dim=-2)
    out, _ = module(asking, asked, full)
    other, _ = module(asking, asked.masked_fill(unseen.unsqueeze(-1), 1e3), full)
    assert_near(other, out)


def shuffled(random, n):
    order = list(range(n))
    random.shuffle(order)
    return order


@few
@given(heads_at_work(itself=True), st.randoms(use_true_random=False))
def test_self_attention_is_permutation_equivariant(problem, random):
    module, x, _, mask = problem
    order = shuffled(random, x.shape[-2])
    full = in_full(mask, x, x)
    out, weights = module(x, x, full)
    moved = x[..., order, :]
    again, permuted = module(moved, moved, full[..., order, :][..., order])
    assert_near(again, out[..., order, :])
    assert_near(permuted, weights[..., order, :][..., order])


@few
@given(heads_at_work(itself=False), st.randoms(use_true_random=False))
def test_the_order_of_those_asked_does_not_count(problem, random):
    module, asking, asked, mask = problem
    order = shuffled(random, asked.shape[-2])
    full = in_full(mask, asking, asked)
    out, weights = module(asking, asked, full)
    again, permuted = module(asking, asked[..., order, :], full[..., order])
    assert_near(again, out)
    assert_near(permuted, weights[..., order])


@few
@given(heads_at_work())
def test_heads_are_single_attentions_side_by_side(problem):
    """Head m has rows md to (m+1)d of each matrix; what they find is joined in that order."""
    module, asking, asked, mask = problem
    d = asking.shape[-1] // module.heads
    out, weights = module(asking, asked, mask)
    contexts = []
    for m in range(module.heads):
        Q, K, V = (getattr(module, name).weight[m * d : (m + 1) * d] for name in "QKV")
        scores = ScaledDot()(asking @ Q.T, asked @ K.T)
        context, alone = attend(scores, asked @ V.T, mask)
        assert_near(weights[..., m, :, :], alone)
        contexts.append(context)
    assert_near(out, torch.cat(contexts, dim=-1) @ module.O.weight.T)


def test_one_head_with_matrices_of_one_is_scaled_dot_product_attention():
    module = MultiHeadAttention(3, 1)
    for matrix in module.parameters():
        nn.init.eye_(matrix)
    x, y = torch.randn(2, 4, 3), torch.randn(2, 5, 3)
    context, weights = attend(ScaledDot()(x, y), y)
    found, seen = module(x, y)
    assert_near(found, context)
    assert_near(seen.squeeze(1), weights)


@few
@given(heads_at_work(most_batch=1))
def test_equals_torch_multihead_attention(problem):
    """In values, weights and all gradients; torch's mask is True where nobody may look."""
    module, asking, asked, mask = problem
    itself = asked is asking
    mask = nobody_blind(mask, asked.shape[-2])
    heads, width = module.heads, asking.shape[-1]
    theirs = nn.MultiheadAttention(width, heads, bias=False, batch_first=True).to(asking.dtype)
    matrices = [module.Q.weight, module.K.weight, module.V.weight]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat(matrices))
        theirs.out_proj.weight.copy_(module.O.weight)
    hidden = None
    if mask is not None:
        hidden = ~in_full(mask, asking, asked)
        if hidden.ndim == 3:  # torch wants one for each sentence and head
            hidden = hidden.repeat_interleave(heads, dim=0)
    results = []
    for ours in (True, False):
        x = asking.clone().requires_grad_()
        y = x if itself else asked.clone().requires_grad_()
        if ours:
            out, weights = module(x, y, mask)
        else:
            out, weights = theirs(x, y, y, attn_mask=hidden, average_attn_weights=False)
        (out.square().sum() + weights.pow(3).sum()).backward()
        results.append((out, weights, x.grad, y.grad))
    for mine, other in zip(*results, strict=True):
        assert_near(mine, other)
    assert_near(torch.cat([matrix.grad for matrix in matrices]), theirs.in_proj_weight.grad)
    assert_near(module.O.weight.grad, theirs.out_proj.weight.grad)


@few
@given(heads_at_work(), st.booleans())
def test_equals_torch_scaled_dot_product_attention(problem, causal):
    """With any number of batch axes; with a mask, or torch's own causal one."""
    module, asking, asked, mask = problem
    hidden = None if mask is None else nobody_blind(in_full(mask, asking, asked), asked.shape[-2])
    if causal:
        hidden = torch.ones(asking.shape[-2], asked.shape[-2], dtype=torch.bool).tril()
    q, k, v = (
        (elements @ matrix.weight.T).unflatten(-1, (module.heads, -1)).movedim(-2, -3)
        for matrix, elements in ((module.Q, asking), (module.K, asked), (module.V, asked))
    )
    if causal:
        theirs = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        each = None if hidden is None else hidden.unsqueeze(-3)
        theirs = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=each)
    joined = torch.cat(theirs.unbind(dim=-3), dim=-1)
    out, _ = module(asking, asked, hidden)
    assert_near(out, joined @ module.O.weight.T)


@given(heads_at_work())
@settings(max_examples=30)
def test_batches_are_sentences_by_themselves(problem):
    module, asking, asked, mask = problem
    out, _ = module(asking, asked, mask)
    full = in_full(mask, asking, asked)
    flat = [t.flatten(0, -3) if t.ndim > 2 else t[None] for t in (asking, asked, full, out)]
    for x, y, m, expected in zip(*flat, strict=True):
        assert_near(module(x, y, m)[0], expected)


def test_the_gradient_of_heads_is_the_derivative():
    torch.manual_seed(0)
    module = MultiHeadAttention(4, 2).double()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    y = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(3, 5) < 0.6
    mask[0] = False
    assert torch.autograd.gradcheck(lambda a, b: module(a, b, mask), (x, y))


def test_heads_have_four_matrices_and_no_bias():
    shapes = {name: tuple(p.shape) for name, p in MultiHeadAttention(6, 3).named_parameters()}
    assert shapes == {f"{name}.weight": (6, 6) for name in "QKVO"}


@pytest.mark.parametrize(
    ("scores", "values", "word"),
    [
        (torch.tensor([[torch.nan, 1.0]]), torch.zeros(2, 0), "scores"),
        (torch.full((1, 2, 2), torch.nan), torch.zeros(0, 2, 3), "scores"),
        (torch.zeros(0, 2), torch.full((2, 3), torch.nan), "values"),
    ],
    ids=["no width", "no batch", "no query"],
)
def test_bad_numbers_are_seen_where_nothing_comes_out(unchecked, scores, values, word):
    with pytest.raises(ValueError, match=f"{word}: expected finite"):
        attend(scores, values)


def test_no_keys_give_a_context_of_zeros():
    context, weights = attend(torch.zeros(2, 0), torch.zeros(0, 3))
    assert (context == 0).all()
    assert context.shape == (2, 3)
    assert weights.shape == (2, 0)


def test_batch_axes_broadcast_like_a_product():
    scores, values = torch.randn(3, 1, 2, 5), torch.randn(1, 4, 5, 2)
    context, weights = attend(scores, values)
    torch.testing.assert_close(context, scores.softmax(dim=-1) @ values)
    assert weights.shape == (3, 1, 2, 5)


def test_the_largest_floats_are_no_fault_of_the_values():
    values = torch.full((6, 1), torch.finfo(torch.float32).max)
    attend(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)), values)


def test_heads_name_what_is_not_finite(unchecked):
    layer, bad = MultiHeadAttention(8, 2), torch.zeros(2, 8)
    bad[0, 0] = torch.nan
    with pytest.raises(ValueError, match="query: expected finite numbers"):
        layer(bad, torch.zeros(3, 8))
    with pytest.raises(ValueError, match="key_value: expected finite numbers"):
        layer(torch.zeros(3, 8), bad)


# ---- Two masks ------------------------------------------------------------------------------


@st.composite
def masked_twice(draw, most_batch=1):
    """Heads at work, and both masks; the first key can be seen by all."""
    module, asking, asked, mask = draw(heads_at_work(most_batch))
    batch, queries, keys = asking.shape[:-2], asking.shape[-2], asked.shape[-2]
    shapes = [(*batch, module.heads, queries, keys), (*batch, 1, queries, keys), (queries, keys)]
    if draw(st.booleans()):
        mask = torch.rand(draw(st.sampled_from(shapes))) < 0.6
    key_mask = torch.rand(draw(st.sampled_from([(*batch, keys), (keys,)]))) < 0.6
    for part in (mask, key_mask):
        if part is not None:
            part[..., 0] = True
    return module, asking, asked, mask, key_mask


def written_out(module, asking, asked, mask, key_mask=None):
    """What both masks say of each head, by the number of their axes."""
    batch, axes = asking.shape[:-2], asking.ndim
    full = torch.ones(*batch, module.heads, asking.shape[-2], asked.shape[-2], dtype=torch.bool)
    if mask is not None:
        full &= mask.unsqueeze(-3) if 2 < mask.ndim <= axes else mask
    if key_mask is not None:
        full &= key_mask[..., None, None, :]
    return full


@few
@given(masked_twice(most_batch=2))
def test_each_head_sees_what_both_masks_show(problem):
    module, asking, asked, mask, key_mask = problem
    full = written_out(*problem)
    q, k, v = (
        (elements @ matrix.weight.T).unflatten(-1, (module.heads, -1)).movedim(-2, -3)
        for matrix, elements in ((module.Q, asking), (module.K, asked), (module.V, asked))
    )
    contexts, weights = attend(ScaledDot()(q, k), v, full)
    out, found = module(asking, asked, mask, key_mask)
    assert_near(found, weights)
    assert_near(out, torch.cat(contexts.unbind(dim=-3), dim=-1) @ module.O.weight.T)
    assert_near(module(asking, asked, full)[0], out)


@few
@given(masked_twice())
def test_both_masks_equal_those_of_torch_multihead_attention(problem):
    """torch's are True where one may not look; outputs, weights and gradients."""
    module, asking, asked, mask, key_mask = problem
    heads, batch = module.heads, asking.shape[:-2]
    theirs = nn.MultiheadAttention(asking.shape[-1], heads, bias=False, batch_first=True)
    theirs = theirs.to(asking.dtype)
    with torch.no_grad():
        matrices = [module.Q.weight, module.K.weight, module.V.weight]
        theirs.in_proj_weight.copy_(torch.cat(matrices))
        theirs.out_proj.weight.copy_(module.O.weight)
    hidden = ~written_out(module, asking, asked, mask).flatten(0, -3)  # for each sentence and head
    padding = ~key_mask.expand(*batch, -1)
    results = []
    for ours in (True, False):
        x, y = asking.clone().requires_grad_(), asked.clone().requires_grad_()
        if ours:
            out, weights = module(x, y, mask, key_mask)
        else:
            out, weights = theirs(
                x, y, y, key_padding_mask=padding, attn_mask=hidden, average_attn_weights=False
            )
        (out.square().sum() + weights.pow(3).sum()).backward()
        results.append((out, weights, x.grad, y.grad))
    for mine, other in zip(*results, strict=True):
        assert_near(mine, other)
    assert_near(torch.cat([matrix.grad for matrix in matrices]), theirs.in_proj_weight.grad)


def test_a_padding_mask_is_what_its_name_says_though_there_are_as_many_queries_as_sentences():
    torch.manual_seed(0)
    module, x = MultiHeadAttention(4, 2), torch.randn(3, 3, 4)
    real = torch.arange(3) < torch.tensor([3, 2, 1]).unsqueeze(1)
    out, weights = module(x, x, key_mask=real)
    for sentence, length, found in zip(x, (3, 2, 1), out, strict=True):
        assert_near(found, module(sentence, sentence[:length])[0])
    assert (weights[~real[:, None, None].expand_as(weights)] == 0).all()
    as_pairs, _ = module(x, x, real)
    assert torch.equal(as_pairs, module(x, x, real.expand(3, 3, 3))[0])
    assert (as_pairs - out).abs().max() > 0.01


def test_a_sentence_without_a_real_key_gets_zeros():
    x = torch.randn(2, 3, 4, requires_grad=True)
    real = torch.tensor([[True, True, False], [False, False, False]])
    out, weights = MultiHeadAttention(4, 2)(x, x, key_mask=real)
    out.sum().backward()
    assert (out[1] == 0).all()
    assert (weights[1] == 0).all()
    assert (not_none(x.grad)[1] == 0).all()


# ---- What is not finite -----------------------------------------------------------------------

BAD = [torch.nan, torch.inf, -torch.inf]


def spoiled(numbers, data, bad):
    """The same numbers but one, and where that is."""
    place = tuple(data.draw(st.integers(0, n - 1)) for n in numbers.shape)
    numbers = numbers.clone()
    numbers[place] = bad
    return numbers, place


@pytest.mark.parametrize("bad", BAD)
@given(problems(), st.data())
def test_a_bad_score_is_refused_where_it_is_visible_and_nowhere_else(bad, problem, data):
    scores, values, mask = problem
    other, place = spoiled(scores, data, bad)
    if bad == -torch.inf:
        expected, _ = attend(scores, values, hide(mask, place))
        assert torch.equal(attend(other, values, mask)[0], expected)
    elif mask[place]:
        with pytest.raises(ValueError, match="scores: expected finite numbers where mask is True"):
            attend(other, values, mask)
    else:
        assert torch.equal(attend(other, values, mask)[0], attend(scores, values, mask)[0])


def hide(mask, place):
    mask = mask.clone()
    mask[place] = False
    return mask


@pytest.mark.parametrize("bad", BAD)
@given(problems(), st.data())
def test_a_bad_value_is_refused_even_where_nobody_sees_it(bad, problem, data):
    scores, values, mask = problem
    other, place = spoiled(values, data, bad)
    hidden = mask.clone()
    hidden[(*place[:-2], slice(None), place[-2])] = False
    for seen in (mask, hidden):
        with pytest.raises(ValueError, match="values: expected finite numbers"):
            attend(scores, other, seen)


@pytest.mark.parametrize("bad", BAD)
@few
@given(masked_twice(), st.data(), st.sampled_from(["query", "key_value"]))
def test_heads_refuse_what_is_not_finite_masked_or_not(bad, problem, data, name):
    module, asking, asked, mask, key_mask = problem
    parts = {"query": asking, "key_value": asked}
    parts[name], _ = spoiled(parts[name], data, bad)
    for seen in (key_mask, torch.zeros_like(key_mask)):
        with pytest.raises(ValueError, match=f"{name}: expected finite numbers, got NaN or inf"):
            module(parts["query"], parts["key_value"], mask, seen)


# ---- Mixed precision --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("kind", SCORES)
def test_scores_and_attention_under_autocast(kind, dtype):
    """Behind a linear layer, whose outputs are of autocast's type; values and gradients."""
    torch.manual_seed(0)
    score, before = SCORES[kind](6, 6), nn.Linear(6, 6)
    q, k, mask = torch.randn(2, 3, 6), torch.randn(2, 5, 6), torch.rand(2, 3, 5) < 0.7
    parameters = [*score.parameters(), *before.parameters()]
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype, enabled=enabled):
            scores = score(q, before(k))
            context, weights = attend(scores, before(k), mask)
        context.float().square().sum().backward()
        results.append([scores, context, weights, *(p.grad for p in parameters)])
        score.zero_grad()
        before.zero_grad()
        expected = [dtype, dtype, torch.float32] if enabled else [torch.float32] * 3
        assert [part.dtype for part in results[-1][:3]] == expected
    for exact, ours in zip(*results, strict=True):
        assert_near_in(dtype, ours, exact)
    # The softmax is not rounded to the half type: the weights sum to 1.
    assert_near(results[1][2].sum(dim=-1), mask.any(dim=-1).float())


@pytest.mark.parametrize("dtype", HALVES)
def test_types_that_torch_multiplies_go_together_under_autocast_alone(unchecked, dtype):
    scores, values = torch.randn(3, 4), torch.randn(4, 2)
    with torch.autocast("cpu", dtype):
        exact, _ = attend(scores, values)
        for mixed in ((scores, values.to(dtype)), (scores.to(dtype), values)):
            assert_near_in(dtype, attend(*mixed)[0], exact)
        assert_near_in(dtype, Dot()(scores, scores.to(dtype)), scores @ scores.T)
        with pytest.raises(TypeError, match=r"values: .*float32 like scores.*float64"):
            attend(scores, values.double())
    with pytest.raises(TypeError, match=f"values: expected torch.float32 like scores, got {dtype}"):
        attend(scores, values.to(dtype))


@pytest.mark.parametrize("dtype", HALVES)
@few
@given(problem=masked_twice())
def test_heads_under_autocast(dtype, problem):
    module, asking, asked, mask, key_mask = problem
    module, asking, asked = module.float(), asking.float(), asked.float()
    exact, exact_weights = module(asking, asked, mask, key_mask)
    with torch.autocast("cpu", dtype):
        out, weights = module(asking, asked, mask, key_mask)
        again, _ = module(asking.to(dtype), asked, mask, key_mask)
    assert (out.dtype, weights.dtype) == (dtype, torch.float32)
    bound = 16 * max(1, asking.abs().max().item() ** 2)  # what scores are off by
    for ours, theirs in ((out, exact), (again, exact), (weights, exact_weights)):
        assert_near_in(dtype, ours, theirs, roundings=16 * bound)


def test_autocast_leaves_double_precision_as_it_is():
    torch.manual_seed(0)
    module, x = MultiHeadAttention(4, 2).double(), torch.randn(3, 4, dtype=torch.float64)
    alone = module(x, x)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(x, x)
    for mine, exact in zip(found, alone, strict=True):
        assert mine.dtype == torch.float64
        assert torch.equal(mine, exact)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("kind", [*SCORES, "heads"])
def test_modules_in_half_precision_without_autocast(kind, dtype):
    torch.manual_seed(0)
    module = MultiHeadAttention(6, 2) if kind == "heads" else SCORES[kind](6, 6)
    q, k = torch.randn(2, 3, 6), torch.randn(2, 5, 6)
    exact = module(q, k)
    found = module.to(dtype)(q.to(dtype), k.to(dtype))
    if kind != "heads":
        exact, found = attend(exact, k), attend(found, k.to(dtype))
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.dtype == dtype
        assert_near_in(dtype, ours, theirs)
