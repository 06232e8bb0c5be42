"""Attention: score -> mask -> softmax -> weighted sum of values.

:func:`attend` is the one function that every chapter meets again. A decoder attending to its
source, a transformer head and a graph attention head differ only in how the scores are computed
and in what the mask hides. The score functions are the small modules below; all have one
interface::

    scores = score(queries, keys)            # (..., queries, keys)
    context, weights = attend(scores, values, mask)
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gatutils._checks import (
    expect,
    expect_all,
    expect_finite,
    expect_int,
    expect_same_dtype,
    expect_tensor,
    exporting,
    softmax_dtype,
)

__all__ = [
    "Additive",
    "Cosine",
    "Dot",
    "General",
    "MultiHeadAttention",
    "ScaledDot",
    "Score",
    "attend",
]


def attend(
    scores: Float[Tensor, "*#batch queries keys"],
    values: Float[Tensor, "*#batch keys dim"],
    mask: Bool[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "*batch queries dim"], Float[Tensor, "*_batch queries keys"]]:
    r"""Return the softmax-weighted sum of the values, for each query.

    .. math::

        \alpha_{ij} = \frac{\exp e_{ij}}{\sum_{j' \in \mathcal{N}(i)} \exp e_{ij'}}
        \qquad
        c_i = \sum_{j \in \mathcal{N}(i)} \alpha_{ij} v_j

    where :math:`\mathcal{N}(i)` are the keys to which query :math:`i` may attend. A masked key has
    weight exactly 0. A query whose keys are all masked gets a context of zeros, weights of zero
    and a gradient of zero: never NaN, and never the mean of the masked values.

    NaN and plus infinity are refused, because they would spread to every query that they reach. A
    masked score may be anything, since it is never read. The value of a masked key must be finite
    like any other: its weight is 0, and 0 times NaN is NaN.

    Under autocast the softmax is computed in float32 and the product with the values in the type
    of autocast, as torch does.

    Args:
        scores: :math:`e_{ij}`, how well key j matches query i, shape (..., queries, keys). A score
            of minus infinity masks its key.
        values: :math:`v_j`, shape (..., keys, dim).
        mask: True where a query may attend to a key. Anything that broadcasts to the shape of
            ``scores``; None lets every query attend to every key.

    Returns:
        The contexts :math:`c_i`, shape (..., queries, dim), and the weights
        :math:`\alpha_{ij}`, shape (..., queries, keys).

    Raises:
        TypeError: If ``scores`` or ``values`` is not a float tensor, their dtypes differ (under
            autocast, float32 may be combined with float16 and bfloat16), or ``mask`` is not a bool
            tensor.
        ValueError: If shapes do not match, or a value, or a score that is not masked, is NaN or
            infinite.

    Source:
        Bahdanau et al. (2015), equations 5 and 6, for one query at a time; Vaswani et al.
        (2017), equation 1, for all queries at once.
    """
    expect_tensor(scores, "scores", "float", ndim=2)
    expect_tensor(values, "values", "float", ndim=2)
    keys = scores.shape[-1]
    expect(
        values.shape[-2] == keys,
        "values",
        f"{keys} rows, one for each key of scores {tuple(scores.shape)}",
        f"shape {tuple(values.shape)}",
    )
    expect_same_dtype(values, "values", scores, "scores")
    expect(
        _broadcasts(values.shape[:-2], scores.shape[:-2], both=True),
        "values",
        f"batch axes that broadcast with {tuple(scores.shape[:-2])} of scores",
        f"shape {tuple(values.shape)}",
    )
    visible = scores
    if mask is not None:
        expect_tensor(mask, "mask", "bool")
        expect(
            _broadcasts(mask.shape, scores.shape),
            "mask",
            f"a shape that broadcasts to scores {tuple(scores.shape)}",
            f"shape {tuple(mask.shape)}",
        )
        visible = scores.masked_fill(~mask, -torch.inf)

    # Softmax subtracts the largest visible score of each row, so nothing overflows. A fully masked
    # row would be softmax(-inf, ..., -inf) = NaN, in the gradient too: such a row gets scores of 0
    # first, and its weights are set to 0 afterwards.
    nothing_to_see = visible.detach().amax(dim=-1, keepdim=True) == -torch.inf if keys else None
    if nothing_to_see is None or not (exporting() or nothing_to_see.any()):
        weights = visible.softmax(dim=-1, dtype=softmax_dtype(scores))
    else:
        weights = visible.masked_fill(nothing_to_see, 0)
        weights = weights.softmax(dim=-1, dtype=softmax_dtype(scores))
        weights = weights.masked_fill(nothing_to_see, 0)
    context = weights @ values
    # A visible score that is NaN or infinite makes its row NaN, and a weight of 0 does not hide
    # a bad value: 0 times NaN is NaN. So the contexts tell, which are fewer than the scores.
    if exporting():  # one program for all numbers
        expect_all(
            context.detach().isfinite(), "scores, values", "finite numbers", "NaN or infinity"
        )
    elif context.numel() == 0 or not context.detach().isfinite().all():
        if (visible.isnan() | (visible == torch.inf)).any():
            raise ValueError(
                "scores: expected finite numbers where mask is True, got NaN or infinity"
            )
        if not values.isfinite().all():
            raise ValueError("values: expected finite numbers, got NaN or infinity")
    return context, weights


def _broadcasts(shape: torch.Size, to: torch.Size, both: bool = False) -> bool:
    """Tell whether ``shape`` can be expanded to ``to``, or with ``both`` each to a third shape."""
    try:
        return bool(torch.broadcast_shapes(shape, to) == to) or both
    except RuntimeError:
        return False


class Score(nn.Module):
    """A score function: how well does each key match each query?

    The papers call it an alignment model or a compatibility function.
    ``score(queries, keys)`` is ``score.compare(queries, score.prepare(keys))``. What
    :meth:`prepare` computes depends on the keys alone, so a decoder that attends to the same keys
    at every step computes it once (Bahdanau et al. 2015, appendix A.1.2, give the same advice).

    Args:
        query_dim: Width of a query, or None if any width is accepted.
        key_dim: Width of a key, or None for the width of the query.
    """

    def __init__(self, query_dim: int | None = None, key_dim: int | None = None) -> None:
        super().__init__()
        for name, width in (("query_dim", query_dim), ("key_dim", key_dim)):
            if width is not None:
                expect_int(width, name, least=1)
        self.query_dim = query_dim
        self.key_dim = key_dim

    def forward(
        self, queries: Float[Tensor, "*batch queries dq"], keys: Float[Tensor, "*batch keys dk"]
    ) -> Float[Tensor, "*batch queries keys"]:
        """Score every key for every query.

        Raises:
            TypeError: If ``queries`` or ``keys`` is not a float tensor, or their dtypes differ.
            ValueError: If a width or a batch axis does not match.
        """
        expect_tensor(queries, "queries", "float", ndim=2)
        expect_tensor(keys, "keys", "float", ndim=2)
        expect_same_dtype(keys, "keys", queries, "queries")
        expect(
            queries.shape[:-2] == keys.shape[:-2],
            "keys",
            f"batch axes {tuple(queries.shape[:-2])} like queries",
            f"shape {tuple(keys.shape)}",
        )
        query_dim = self.query_dim or queries.shape[-1]
        key_dim = self.key_dim or query_dim
        expect(queries.shape[-1] == query_dim, "queries", f"width {query_dim}", queries.shape[-1])
        expect(keys.shape[-1] == key_dim, "keys", f"width {key_dim}", keys.shape[-1])
        return self.compare(queries, self.prepare(keys))

    def prepare(self, keys: Tensor) -> Tensor:
        """Compute what depends on the keys alone."""
        return keys

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Score prepared keys against the queries, without validation."""
        raise NotImplementedError


class Dot(Score):
    r"""The dot product, :math:`e_{ij} = q_i^\top k_j` (Luong et al. 2015, section 3.1, *dot*)."""

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return one dot product per pair."""
        return queries @ prepared.mT


class ScaledDot(Dot):
    r"""The scaled dot product, :math:`e_{ij} = q_i^\top k_j / \sqrt d` (Vaswani et al. 2017)."""

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return one scaled dot product per pair."""
        return super().compare(queries, prepared) / math.sqrt(queries.shape[-1])


class General(Score):
    r"""A bilinear form, :math:`e_{ij} = q_i^\top W k_j` (Luong et al. 2015, section 3.1)."""

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__(query_dim, key_dim)
        self.W = nn.Linear(key_dim, query_dim, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        """Project the keys to the width of the queries."""
        prepared: Tensor = self.W(keys)
        return prepared

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return one dot product for each pair."""
        return queries @ prepared.mT


class Additive(Score):
    r"""A feed-forward network with one hidden layer, :math:`e_{ij} = a^\top \tanh(W q_i + U k_j)`.

    Source:
        Bahdanau et al. (2015), appendix A.1.2 (there :math:`v_a, W_a, U_a`).

    Args:
        query_dim: Width of a query.
        key_dim: Width of a key.
        size: Width of the hidden layer.
    """

    def __init__(self, query_dim: int, key_dim: int, size: int = 32) -> None:
        super().__init__(query_dim, key_dim)
        expect_int(size, "size", least=1)
        self.W = nn.Linear(query_dim, size, bias=False)
        self.U = nn.Linear(key_dim, size, bias=False)
        self.a = nn.Linear(size, 1, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        """Return :math:`U k_j`."""
        prepared: Tensor = self.U(keys)
        return prepared

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return one score per pair, from a tensor of (..., queries, keys, size)."""
        pairs = self.W(queries).unsqueeze(-2) + prepared.unsqueeze(-3)  # (..., queries, keys, size)
        scores: Tensor = self.a(pairs.tanh())
        return scores.squeeze(-1)


class Cosine(Score):
    r"""The cosine, :math:`e_{ij} = \cos(q_i, k_j) / \tau`, which ignores lengths.

    A cosine lies between -1 and 1, so at :math:`\tau = 1` no weight can exceed another by more
    than a factor of :math:`e^2 \approx 7.4`. A vector of zeros has cosine 0 with everything.

    Args:
        temperature: :math:`\tau`, above 0.
        learned: Train :math:`\tau` along with the rest (as its logarithm, so it stays above 0).
    """

    def __init__(self, temperature: float = 1.0, learned: bool = False) -> None:
        super().__init__()
        expect(0 < temperature < math.inf, "temperature", "a number above 0", temperature)
        self.temperature = temperature
        self.log_temperature = (
            nn.Parameter(torch.tensor(math.log(temperature))) if learned else None
        )

    def prepare(self, keys: Tensor) -> Tensor:
        """Normalise every key to length 1."""
        return nn.functional.normalize(keys, dim=-1, eps=1e-6)

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return one cosine per pair, divided by the temperature."""
        cosine = nn.functional.normalize(queries, dim=-1, eps=1e-6) @ prepared.mT
        if self.log_temperature is None:
            return cosine / self.temperature
        return cosine / self.log_temperature.exp().to(cosine.dtype)


class MultiHeadAttention(nn.Module):
    r"""Several attention heads in parallel, each with its own projections.

    .. math::

        \mathrm{head}_m = \mathrm{attend}\left(
            \frac{(X W_Q^{m\top})(Y W_K^{m\top})^\top}{\sqrt{d}},\; Y W_V^{m\top}\right)
        \qquad
        \mathrm{out} = [\mathrm{head}_1 \Vert \dots \Vert \mathrm{head}_H]\, W_O^\top

    X are the query elements, Y the key-value elements; with Y = X it is self-attention. The
    matrices of all heads are stacked in one, so that one product serves all heads.

    Args:
        dim: Width of the elements; the H heads share it, so each has :math:`d` = ``dim / heads``.
        heads: H.

    Raises:
        ValueError: If ``heads`` does not divide ``dim``.

    Source:
        Vaswani et al. (2017), section 3.2.2; without biases, as there.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        expect_int(dim, "dim", least=1)
        expect_int(heads, "heads", least=1)
        expect(dim % heads == 0, "heads", f"a divisor of dim ({dim})", heads)
        self.heads = heads
        self.Q = nn.Linear(dim, dim, bias=False)
        self.K = nn.Linear(dim, dim, bias=False)
        self.V = nn.Linear(dim, dim, bias=False)
        self.O = nn.Linear(dim, dim, bias=False)
        self.score = ScaledDot()

    def forward(
        self,
        query: Float[Tensor, "*batch queries dim"],
        key_value: Float[Tensor, "*batch keys dim"],
        mask: Bool[Tensor, "..."] | None = None,
        key_mask: Bool[Tensor, "... keys"] | None = None,
    ) -> tuple[Float[Tensor, "*batch queries dim"], Float[Tensor, "*batch heads queries keys"]]:
        """Let every element of ``query`` attend to those of ``key_value``.

        Both masks are True where a query may attend to a key, and it does so where both are True.
        (Those of :class:`torch.nn.MultiheadAttention` are True where it may not.) What ``mask``
        means depends on how many axes it has, never on their sizes. With one batch axis:

        - two axes are (queries, keys), the same for the whole batch;
        - three are (batch, queries, keys);
        - four are (batch, heads, queries, keys).

        A padding mask of shape (batch, keys) is therefore a ``key_mask``. Given as ``mask`` it is
        read as (queries, keys), which is an error unless there are as many queries as sequences in
        the batch; then the two cannot be told apart.

        Args:
            query: X.
            key_value: Y.
            mask: Anything that broadcasts to (..., queries, keys); with one axis more than
                ``query``, anything that broadcasts to (..., heads, queries, keys).
            key_mask: True where a key is real, False where it is padding, (..., keys); the same
                for all queries and heads.

        Returns:
            The new elements, shape (..., queries, dim), and the weights of each head,
            shape (..., heads, queries, keys).

        Raises:
            TypeError: If a dtype is wrong.
            ValueError: If shapes do not match, ``query`` or ``key_value`` contains NaN or
                infinity, masked or not, or a score overflows to plus infinity. (In float16 a score
                may overflow to minus infinity, which masks its key.)
        """
        width = self.Q.in_features
        for name, elements in (("query", query), ("key_value", key_value)):
            expect_tensor(elements, name, "float", ndim=2)
            expect(elements.shape[-1] == width, name, f"width {width}", elements.shape[-1])
            expect_same_dtype(elements, name, self.Q.weight, "the weights")
        expect(
            query.shape[:-2] == key_value.shape[:-2],
            "key_value",
            f"batch axes {tuple(query.shape[:-2])} like query",
            f"shape {tuple(key_value.shape)}",
        )
        visible = self._visible(query, key_value, mask, key_mask)
        expect_finite(query, "query")
        if key_value is not query:
            expect_finite(key_value, "key_value")
        queries, keys, values = (
            self._split(matrix(elements))  # (..., heads, elements, d)
            for matrix, elements in ((self.Q, query), (self.K, key_value), (self.V, key_value))
        )
        contexts, weights = attend(self.score.compare(queries, keys), values, visible)
        joined = contexts.transpose(-2, -3).flatten(-2)  # the heads side by side
        return self.O(joined), weights

    def _visible(
        self, query: Tensor, key_value: Tensor, mask: Tensor | None, key_mask: Tensor | None
    ) -> Tensor | None:
        """Return both masks in one that broadcasts to (..., heads, queries, keys)."""
        if mask is not None:
            expect_tensor(mask, "mask", "bool")
            pairs = torch.Size((*query.shape[:-1], key_value.shape[-2]))
            heads = torch.Size((*pairs[:-2], self.heads, *pairs[-2:]))
            has_heads = mask.ndim > len(pairs)
            padding = (
                " (key_mask takes one of keys alone)" if mask.shape == key_value.shape[:-1] else ""
            )
            expect(
                _broadcasts(mask.shape, heads if has_heads else pairs),
                "mask",
                f"a shape that broadcasts, with heads, to {tuple(heads)} or to {tuple(pairs)}",
                f"shape {tuple(mask.shape)}{padding}",
            )
            if 2 < mask.ndim <= len(pairs):
                mask = mask.unsqueeze(-3)  # one mask for all heads
        if key_mask is None:
            return mask
        expect_tensor(key_mask, "key_mask", "bool", ndim=1)
        expect(
            _broadcasts(key_mask.shape, key_value.shape[:-1]),
            "key_mask",
            f"a shape that broadcasts to {tuple(key_value.shape[:-1])}, one for each key",
            f"shape {tuple(key_mask.shape)}",
        )
        key_mask = key_mask[..., None, None, :]
        return key_mask if mask is None else mask & key_mask

    def _split(self, rows: Tensor) -> Tensor:
        """Cut each row into the heads' pieces: (..., n, dim) to (..., heads, n, d)."""
        pieces: Tensor = rows.unflatten(-1, (self.heads, -1))
        return pieces.transpose(-2, -3)
