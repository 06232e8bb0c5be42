"""Attention: score -> mask -> softmax -> weighted sum of values.

:func:`attend` is the one function that every chapter meets again. What differs between
a decoder that looks back, a transformer head and a graph attention head is how the scores
are made and what the mask hides. The ways to score are the small modules below; all have
one interface::

    scores = score(queries, keys)            # (..., queries, keys)
    context, weights = attend(scores, values, mask)
"""

import math
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gatutils.checks import (
    expect,
    expect_finite,
    expect_int,
    expect_same_dtype,
    expect_tensor,
    softmax_dtype,
)

__all__ = ["Additive", "Cosine", "Dot", "General", "MultiHead", "ScaledDot", "Score", "attend"]


def attend(
    scores: Float[Tensor, "*#batch queries keys"],
    values: Float[Tensor, "*#batch keys dim"],
    mask: Bool[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "*batch queries dim"], Float[Tensor, "*_batch queries keys"]]:
    r"""Mix the values, each in proportion to the softmax of its score.

    .. math::

        \alpha_{ij} = \frac{\exp e_{ij}}{\sum_{j' \in \mathcal{N}(i)} \exp e_{ij'}}
        \qquad
        c_i = \sum_{j \in \mathcal{N}(i)} \alpha_{ij} v_j

    where :math:`\mathcal{N}(i)` are the keys that query :math:`i` may look at. A key that
    it may not look at weighs exactly 0. A query that may look at nothing gets a context of
    zeros and weights of zero, and passes back a gradient of zero: never NaN, never the mean
    of what is hidden.

    NaN and infinity are refused, because they would spread to every query that they reach. A
    hidden score may be anything, since it is never read. The value of a hidden key must be finite
    like any other: its weight is 0, and 0 times NaN is NaN.

    Under autocast the softmax is computed in float32 and the product with the values in the type
    of autocast, as torch does.

    Args:
        scores: :math:`e_{ij}`, how well key j answers query i. A score of minus infinity
            hides its key, as a mask does.
        values: :math:`v_j`, what key j has to give.
        mask: True where a query may look at a key. Anything that broadcasts to the shape of
            ``scores``; None lets every query look at every key.

    Returns:
        The contexts :math:`c_i`, shape (..., queries, dim), and the weights
        :math:`\alpha_{ij}`, shape (..., queries, keys).

    Raises:
        TypeError: If ``scores`` or ``values`` is no float tensor, both are not of one dtype
            (under autocast, float32 goes with float16 and bfloat16), or ``mask`` is no bool
            tensor.
        ValueError: If shapes do not fit, or a value, or a score that is not hidden, is NaN or
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

    # The largest visible score is taken off each row inside softmax, so nothing overflows.
    # A row with everything hidden would be softmax(-inf, ..., -inf) = NaN, in the gradient
    # too: such a row is scored 0 first, and its weights are then set to 0 like all hidden ones.
    nothing_to_see = visible.detach().amax(dim=-1, keepdim=True) == -torch.inf if keys else None
    if nothing_to_see is None or not nothing_to_see.any():
        weights = visible.softmax(dim=-1, dtype=softmax_dtype(scores))
    else:
        weights = visible.masked_fill(nothing_to_see, 0)
        weights = weights.softmax(dim=-1, dtype=softmax_dtype(scores))
        weights = weights.masked_fill(nothing_to_see, 0)
    context = weights @ values
    # A visible score that is NaN or infinite makes its row NaN, and a weight of 0 does not hide
    # a bad value: 0 times NaN is NaN. So the contexts tell, which are fewer than the scores.
    if context.numel() == 0 or not context.detach().isfinite().all():
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
    """How well does each key answer each query? The interface of all similarity functions.

    ``score(queries, keys)`` is ``score.compare(queries, score.prepare(keys))``. What
    :meth:`prepare` computes depends on the keys alone: a decoder that asks the same keys at
    every step does it once (Bahdanau et al. 2015, appendix A.1.2, give the same advice).

    Args:
        query_dim: Width of a query, or None where any will do.
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
            TypeError: If ``queries`` or ``keys`` is no float tensor, or both differ in dtype.
            ValueError: If a width or a batch axis does not fit.
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
        """Do the part that needs the keys alone."""
        return keys

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Score prepared keys for the queries, without checks."""
        raise NotImplementedError


class Dot(Score):
    r"""The dot product, :math:`e_{ij} = q_i^\top k_j` (Luong et al. 2015, section 3.1, *dot*)."""

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return one dot product for each pair."""
        return queries @ prepared.mT


class ScaledDot(Dot):
    r"""The scaled dot product, :math:`e_{ij} = q_i^\top k_j / \sqrt d` (Vaswani et al. 2017)."""

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return one scaled dot product for each pair."""
        return super().compare(queries, prepared) / math.sqrt(queries.shape[-1])


class General(Score):
    r"""A learned product, :math:`e_{ij} = q_i^\top W k_j` (Luong et al. 2015, section 3.1)."""

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__(query_dim, key_dim)
        self.W = nn.Linear(key_dim, query_dim, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        """Bring the keys into the space of the queries."""
        return cast(Tensor, self.W(keys))

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return one dot product for each pair."""
        return queries @ prepared.mT


class Additive(Score):
    r"""A small network, :math:`e_{ij} = a^\top \tanh(W q_i + U k_j)`.

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
        return cast(Tensor, self.U(keys))

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return one score for each pair; the sum is a tensor of pairs times ``size``."""
        pairs = self.W(queries).unsqueeze(-2) + prepared.unsqueeze(-3)  # (..., queries, keys, size)
        return cast(Tensor, self.a(pairs.tanh()).squeeze(-1))


class Cosine(Score):
    r"""The angle alone, :math:`e_{ij} = \cos(q_i, k_j) / \tau`, so lengths do not count.

    A cosine lies between -1 and 1, so at :math:`\tau = 1` no weight can be more than
    :math:`e^2 \approx 7.4` times another. A vector of zeros has cosine 0 with everything.

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
        """Bring every key to length 1."""
        return nn.functional.normalize(keys, dim=-1, eps=1e-6)

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return one cosine, divided by the temperature, for each pair."""
        cosine = nn.functional.normalize(queries, dim=-1, eps=1e-6) @ prepared.mT
        if self.log_temperature is None:
            return cosine / self.temperature
        return cosine / self.log_temperature.exp().to(cosine.dtype)


class MultiHead(nn.Module):
    r"""Several attentions side by side, each with its own projections.

    .. math::

        \mathrm{head}_m = \mathrm{attend}\left(
            \frac{(X W_Q^{m\top})(Y W_K^{m\top})^\top}{\sqrt{d}},\; Y W_V^{m\top}\right)
        \qquad
        \mathrm{out} = [\mathrm{head}_1 \Vert \dots \Vert \mathrm{head}_H]\, W_O^\top

    X are the elements that ask, Y those that are asked; with Y = X it is self-attention. The
    matrices of all heads stand one below the other in one, so that all heads take one product.

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
        asking: Float[Tensor, "*batch queries dim"],
        asked: Float[Tensor, "*batch keys dim"],
        mask: Bool[Tensor, "..."] | None = None,
        key_mask: Bool[Tensor, "... keys"] | None = None,
    ) -> tuple[Float[Tensor, "*batch queries dim"], Float[Tensor, "*batch heads queries keys"]]:
        """Let every element of ``asking`` look at those of ``asked``.

        Both masks are True where one may look at the other (in torch's own layer True hides). A
        pair is visible where both are True. What a mask says depends on how many axes it has, and
        never on their sizes. With one batch axis:

        - two axes are (queries, keys), the same for the whole batch;
        - three are (batch, queries, keys);
        - four are (batch, heads, queries, keys).

        So a padding mask (batch, keys) is a ``key_mask``. As ``mask`` it would be read as (queries,
        keys), which cannot be noticed where there are as many queries as sentences.

        Args:
            asking: X.
            asked: Y.
            mask: Anything that broadcasts to (..., queries, keys); with one axis more than
                ``asking``, anything that broadcasts to (..., heads, queries, keys).
            key_mask: True where a key is real and False at padding, (..., keys); the same for all
                queries and heads.

        Returns:
            The new elements, shape (..., queries, dim), and the weights of each head,
            shape (..., heads, queries, keys).

        Raises:
            TypeError: If a dtype is wrong.
            ValueError: If shapes do not fit, a number of ``asking`` or ``asked`` is NaN or
                infinite, masked or not, or a score overflows.
        """
        width = self.Q.in_features
        for name, elements in (("asking", asking), ("asked", asked)):
            expect_tensor(elements, name, "float", ndim=2)
            expect(elements.shape[-1] == width, name, f"width {width}", elements.shape[-1])
            expect_same_dtype(elements, name, self.Q.weight, "the weights")
        expect(
            asking.shape[:-2] == asked.shape[:-2],
            "asked",
            f"batch axes {tuple(asking.shape[:-2])} like asking",
            f"shape {tuple(asked.shape)}",
        )
        visible = self._visible(asking, asked, mask, key_mask)
        expect_finite(asking, "asking")
        if asked is not asking:
            expect_finite(asked, "asked")
        queries, keys, values = (
            self._split(matrix(elements))  # (..., heads, elements, d)
            for matrix, elements in ((self.Q, asking), (self.K, asked), (self.V, asked))
        )
        contexts, weights = attend(self.score.compare(queries, keys), values, visible)
        joined = contexts.transpose(-2, -3).flatten(-2)  # the heads side by side
        return cast(Tensor, self.O(joined)), weights

    def _visible(
        self, asking: Tensor, asked: Tensor, mask: Tensor | None, key_mask: Tensor | None
    ) -> Tensor | None:
        """Return both masks in one that broadcasts to (..., heads, queries, keys)."""
        if mask is not None:
            expect_tensor(mask, "mask", "bool")
            pairs = torch.Size((*asking.shape[:-1], asked.shape[-2]))
            heads = torch.Size((*pairs[:-2], self.heads, *pairs[-2:]))
            has_heads = mask.ndim > len(pairs)
            padding = (
                " (key_mask takes one of keys alone)" if mask.shape == asked.shape[:-1] else ""
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
            _broadcasts(key_mask.shape, asked.shape[:-1]),
            "key_mask",
            f"a shape that broadcasts to {tuple(asked.shape[:-1])}, one for each key",
            f"shape {tuple(key_mask.shape)}",
        )
        key_mask = key_mask[..., None, None, :]
        return key_mask if mask is None else mask & key_mask

    def _split(self, rows: Tensor) -> Tensor:
        """Cut each row into the heads' pieces: (..., n, dim) to (..., heads, n, d)."""
        return cast(Tensor, rows.unflatten(-1, (self.heads, -1))).transpose(-2, -3)
