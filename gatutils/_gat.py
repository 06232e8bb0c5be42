"""The scores of GAT: a sum of what the two nodes of an edge contribute, computed once per node."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import leaky_relu

from gatutils._checks import expect_finite, exporting
from gatutils._csr import Pattern
from gatutils._kernels import apply, block_diagonal, entry_sums, select_rows
from gatutils._layers import expect_finite_states


def gat_scores(
    query: Float[Tensor, "queries heads dim"],
    key: Float[Tensor, "columns heads dim"],
    a: Float[Tensor, "heads twice_dim"],
    of_entries: Float[Tensor, "entries heads"] | None,
    slope: float,
    pattern: Pattern,
) -> Float[Tensor, "entries heads"]:
    r"""Return :math:`\mathrm{LeakyReLU}(a_1^\top q_i + a_2^\top k_j + x_{ij})` for each entry.

    Args:
        query: :math:`q_i`, of which those of the rows are the first.
        key: :math:`k_j`.
        a: Per head :math:`a_1`, then :math:`a_2`.
        of_entries: :math:`x_{ij}`; None for zeros.
        slope: Slope of the LeakyReLU for negative inputs.
        pattern: The positions (i, j) of the entries.

    Raises:
        ValueError: If a query or a key is NaN or infinite, or its product with a half of ``a``.
    """
    of_query, of_key = score_halves(query, key, a)
    return pair_scores(of_query[: pattern.num_rows], of_key, of_entries, slope, pattern)


def score_halves(
    query: Float[Tensor, "queries heads dim"],
    key: Float[Tensor, "columns heads dim"],
    a: Float[Tensor, "heads twice_dim"],
) -> tuple[Float[Tensor, "queries heads"], Float[Tensor, "columns heads"]]:
    r"""Return :math:`a_1^\top q_i` and :math:`a_2^\top k_j`.

    Raises:
        ValueError: If one is NaN or infinite, or a query or key.
    """
    blocks = block_diagonal(a.view(len(a), 2, -1))  # (2, heads, heads x dim)
    if query is key:  # one product instead of two
        halves = key.flatten(1) @ blocks.flatten(0, 1).T
        _expect_finite(halves, query, key)
        of_query, of_key = halves.chunk(2, dim=1)
        return of_query, of_key
    of_query, of_key = query.flatten(1) @ blocks[0].T, key.flatten(1) @ blocks[1].T
    for half in (of_query, of_key):
        _expect_finite(half, query, key)
    return of_query, of_key


def _expect_finite(halves: Tensor, query: Tensor, key: Tensor) -> None:
    """Raise if a query or key is NaN or infinite, or a half of a score.

    The halves are far fewer numbers, and none is finite whose query or key is not.
    """
    if exporting():
        expect_finite_states(query)
        expect_finite_states(key)
        return
    try:
        expect_finite(halves, "scores")
    except ValueError:
        expect_finite_states(query)
        expect_finite_states(key)
        raise


def pair_scores(
    of_rows: Float[Tensor, "rows heads"],
    of_columns: Float[Tensor, "columns heads"],
    of_entries: Float[Tensor, "entries heads"] | None,
    slope: float,
    pattern: Pattern,
) -> Float[Tensor, "entries heads"]:
    r"""Return :math:`\mathrm{LeakyReLU}(q_i + k_j + x_{ij})` for each entry (i, j), in each head.

    Args:
        of_rows: :math:`q_i`.
        of_columns: :math:`k_j`.
        of_entries: :math:`x_{ij}`; None for zeros.
        slope: Slope of the LeakyReLU for negative inputs, not negative itself.
        pattern: The positions (i, j) of the entries.
    """
    return cast(Tensor, apply(_PairScores, of_rows, of_columns, of_entries, slope, pattern))


class _PairScores(torch.autograd.Function):
    """See :func:`pair_scores`."""

    @staticmethod
    def forward(
        ctx: Any,
        of_rows: Tensor,
        of_columns: Tensor,
        of_entries: Tensor | None,
        slope: float,
        pattern: Pattern,
    ) -> Tensor:
        """Args are (rows, heads), (columns, heads), (entries, heads) or None; returns scores."""
        sums = select_rows(of_rows, pattern.rows).add_(select_rows(of_columns, pattern.indices))
        sums = sums if of_entries is None else sums.add_(of_entries)
        scores = leaky_relu(sums, slope, inplace=True)
        ctx.save_for_backward(scores)  # its sign is that of the sum
        ctx.slope, ctx.pattern = slope, pattern
        return scores

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of the sums, added up for each row and each column, and as such."""
        (scores,) = ctx.saved_tensors
        of_sums = torch.ops.aten.leaky_relu_backward(gradient, scores, ctx.slope, True)
        of_rows, of_columns, of_entries, *_ = ctx.needs_input_grad
        return (
            entry_sums(of_sums, ctx.pattern) if of_rows else None,
            entry_sums(of_sums, ctx.pattern, True) if of_columns else None,
            of_sums if of_entries else None,
            None,
            None,
        )
