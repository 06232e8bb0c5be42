import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import nn

from gatutils.attention import Additive, Cosine, Dot, General, MultiHead, ScaledDot, attend

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
    assert [p.grad.abs() > 0 for p in learned.parameters()] == [True]
    assert len(list(Cosine().parameters())) == 0


def test_shapes_are_checked_in_tests():
    with pytest.raises(TypeCheckError):
        attend(torch.zeros(2, 3), torch.zeros(4, 5))


S, V = torch.zeros(2, 3), torch.zeros(3, 4)
X, MASK, MULTI = torch.zeros(3, 4), torch.ones(3, 3, dtype=torch.bool), MultiHead(4, 2)
HALF_BAD = torch.tensor([[0.0], [torch.nan], [0.0]])  # hidden, and bad all the same


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: attend(S, torch.zeros(5, 4)), ValueError, r"values: .*3 rows.*\(5, 4\)"),
        (lambda: attend(S, V, torch.ones(7, dtype=torch.bool)), ValueError, r"mask: .*\(2, 3\)"),
        (lambda: attend(S, V, torch.ones(2, 2, 3) > 0), ValueError, r"mask: .*\(2, 2, 3\)"),
        (lambda: attend(S, V, torch.ones(2, 3)), TypeError, "mask: expected a bool.*float32"),
        (lambda: attend(S.int(), V), TypeError, "scores: expected a float.*int32"),
        (lambda: attend(S, [1, 2]), TypeError, "values: expected a float tensor, got list"),
        (lambda: attend(S[0], V), ValueError, "scores: .*2 axes"),
        (lambda: attend(S / 0, V), ValueError, "scores: .*finite.*NaN"),
        (lambda: attend(S + torch.inf, V), ValueError, "scores: .*finite"),
        (lambda: attend(S, V / 0), ValueError, "values: .*finite.*NaN"),
        (lambda: attend(S, HALF_BAD, HALF_BAD[:, 0] == 0), ValueError, "values: .*finite.*NaN"),
        (lambda: attend(S, V.double()), TypeError, "values: .*float32 like scores.*float64"),
        (lambda: attend(S.expand(2, 2, 3), V.expand(3, 3, 4)), ValueError, "values: .*batch axes"),
        (lambda: Dot()(S, S.double()), TypeError, "keys: .*float32 like queries"),
        (lambda: Additive(3, 4, size=2.5), TypeError, "size: .*int, got 2.5"),
        (lambda: Dot()(S, torch.zeros(2, 4)), ValueError, "keys: expected width 3, got 4"),
        (lambda: General(2, 4)(S, S), ValueError, "queries: expected width 2, got 3"),
        (lambda: Additive(3, 4)(S, S), ValueError, "keys: expected width 4, got 3"),
        (lambda: Additive(3, 4, size=0), ValueError, "size: .*at least 1, got 0"),
        (lambda: General(0, 4), ValueError, "query_dim: .*at least 1, got 0"),
        (lambda: Dot()(torch.zeros(2, 2, 3), S), ValueError, "keys: .*batch axes"),
        (lambda: Dot()(S, S.long()), TypeError, "keys: expected a float.*int64"),
        (lambda: Cosine(temperature=0), ValueError, "temperature: .*above 0, got 0"),
        (lambda: Cosine(temperature=math.nan), ValueError, "temperature: .*got nan"),
        (lambda: MultiHead(4, 3), ValueError, r"heads: expected a divisor of dim \(4\), got 3"),
        (lambda: MultiHead(4, 0), ValueError, "heads: .*at least 1, got 0"),
        (lambda: MultiHead(0, 1), ValueError, "dim: .*at least 1, got 0"),
        (lambda: MultiHead(4.0, 2), TypeError, "dim: expected an int, got 4.0"),
        (lambda: MultiHead(4, True), TypeError, "heads: expected an int, got True"),
        (lambda: MULTI(X[0], X), ValueError, r"asking: .*2 axes, got shape \(4,\)"),
        (lambda: MULTI(X, X.tolist()), TypeError, "asked: expected a float tensor, got list"),
        (lambda: MULTI(X, None), TypeError, "asked: expected a float tensor, got NoneType"),
        (lambda: MULTI(X.long(), X), TypeError, "asking: expected a float.*int64"),
        (lambda: MULTI(X[:, 1:], X), ValueError, "asking: expected width 4, got 3"),
        (lambda: MULTI(X, X[:, 1:]), ValueError, "asked: expected width 4, got 3"),
        (lambda: MULTI(X.double(), X), TypeError, "asking: .*float32 like the weights.*float64"),
        (lambda: MULTI(X, X.double()), TypeError, "asked: .*float32 like the weights.*float64"),
        (lambda: MULTI(X[None], X), ValueError, r"asked: .*batch axes \(1,\) like asking"),
        (lambda: MULTI(X, X, torch.ones(3, 3)), TypeError, "mask: expected a bool.*float32"),
        (lambda: MULTI(X, X, MASK[:, :2]), ValueError, r"mask: .*to \(3, 3\), got shape \(3, 2\)"),
        (lambda: MULTI(X, X, MASK[None]), ValueError, r"mask: .*\(3, 3\), got shape \(1, 3, 3\)"),
        (lambda: MULTI(X, X[:2], MASK), ValueError, r"mask: .*to \(3, 2\), got shape \(3, 3\)"),
        # One mask for each head is not on offer, even where the numbers would fit.
        (lambda: MULTI(X, X, MASK.expand(2, 3, 3)), ValueError, r"mask: .*got shape \(2, 3, 3\)"),
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
    module = MultiHead(heads * d, heads).to(dtype)
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
    kept = {"rtol": 1e-4, "atol": 1e-4} if ours.dtype == torch.float32 else {}
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
    module = MultiHead(3, 1)
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
    module = MultiHead(4, 2).double()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    y = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(3, 5) < 0.6
    mask[0] = False
    assert torch.autograd.gradcheck(lambda a, b: module(a, b, mask), (x, y))


def test_heads_have_four_matrices_and_no_bias():
    shapes = {name: tuple(p.shape) for name, p in MultiHead(6, 3).named_parameters()}
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
    layer, bad = MultiHead(8, 2), torch.zeros(2, 8)
    bad[0, 0] = torch.nan
    with pytest.raises(ValueError, match="asking: expected finite numbers"):
        layer(bad, torch.zeros(3, 8))
    with pytest.raises(ValueError, match="asked: expected finite numbers"):
        layer(torch.zeros(3, 8), bad)
