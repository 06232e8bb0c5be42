"""The scores of GATv2: a sum as wide as a state at each edge, which is never stored for all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import leaky_relu

from gatutils import _kernels
from gatutils._csr import Pattern
from gatutils._kernels import (
    apply,
    block_diagonal,
    full_precision,
    fused,
    gradients,
    weighted_sum,
)


def gatv2_scores(
    queries: Float[Tensor, "queries width"],
    keys: Float[Tensor, "columns width"],
    a: Float[Tensor, "heads dim"],
    slope: float,
    pattern: Pattern,
    edges: Float[Tensor, "entries edge_dim"] | None = None,
    W_e: Float[Tensor, "width edge_dim"] | None = None,
) -> Float[Tensor, "entries heads"]:
    r"""Return :math:`a^\top \mathrm{LeakyReLU}(q_i + k_j + W_e x_{ij})` for each entry (i, j).

    Args:
        queries: :math:`q_i`, the heads side by side (width = heads x dim); of these, those of the
            rows are the first.
        keys: :math:`k_j`, likewise.
        a: One vector per head.
        slope: Slope of the LeakyReLU for negative inputs.
        pattern: The positions (i, j) of the entries.
        edges: :math:`x_{ij}`, the features of the entries; without them the sum has two terms.
        W_e: Their projection; given if ``edges`` is.
    """
    queries = queries if len(queries) == pattern.num_rows else queries[: pattern.num_rows]
    return cast(Tensor, apply(_GATv2Scores, queries, keys, a, edges, W_e, slope, pattern))


class _GATv2Scores(torch.autograd.Function):
    r"""See :func:`gatv2_scores`.

    The sums :math:`q_i + k_j + W_e x_{ij}` are as wide as a state. They are computed for a few
    thousand edges at a time, and recomputed in the backward pass instead of being stored; what is
    stored is one table of queries and keys, from which each sum is made by one operation. If
    gradients of the gradients are required (``create_graph=True``), the sums of all edges are
    computed at once, by :meth:`formula`.
    """

    @staticmethod
    @full_precision
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        a: Tensor,
        edges: Tensor | None,
        W_e: Tensor | None,
        slope: float,
        pattern: Pattern,
    ) -> Tensor:
        """Args are (nodes, heads x dim) twice and (heads, dim); returns (edges, heads)."""
        # The sum of two rows of one table is one operation, several times as fast as three.
        table = torch.cat([queries, keys]) if fused(queries) else None
        ctx.save_for_backward(queries, keys, a, edges, W_e, table)
        ctx.slope, ctx.pattern = slope, pattern
        scores = queries.new_empty(len(pattern.indices), len(a))
        (blocks,) = block_diagonal(a.unsqueeze(1))  # (heads, heads x dim)
        sums_at = _sums(queries, keys, edges, W_e, table, pattern)
        for at in _chunks(pattern):
            scores[at] = leaky_relu(sums_at(at), slope, inplace=True) @ blocks.T
        return scores

    @staticmethod
    def formula(
        queries: Tensor,
        keys: Tensor,
        a: Tensor,
        edges: Tensor | None,
        W_e: Tensor | None,
        slope: float,
        pattern: Pattern,
    ) -> Float[Tensor, "edges heads"]:
        """Return the same scores from one (heads, dim) array per edge, recorded by autograd."""
        sums = queries.index_select(0, pattern.rows) + keys.index_select(0, pattern.indices)
        sums = sums if edges is None or W_e is None else sums + edges @ W_e.T
        return (leaky_relu(sums, slope).view(-1, *a.shape) * a).sum(dim=2)

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of the queries, the keys, a, the edges' features and their map."""
        backward = _GATv2Scores._again if torch.is_grad_enabled() else _GATv2Scores._chunked
        return (*backward(ctx, gradient), None, None)

    @staticmethod
    def _again(ctx: Any, gradient: Tensor) -> Any:
        """Differentiate the formula, so that the gradients can be differentiated in turn."""
        formula = partial(_GATv2Scores.formula, slope=ctx.slope, pattern=ctx.pattern)
        return gradients(formula, list(ctx.saved_tensors[:5]), gradient)

    @staticmethod
    @once_differentiable
    def _chunked(ctx: Any, gradient: Tensor) -> Any:
        """Recompute the sums, a few thousand edges at a time."""
        queries, keys, a, edges, W_e, table = ctx.saved_tensors
        pattern, slope = ctx.pattern, ctx.slope
        (blocks,) = block_diagonal(a.unsqueeze(1))
        of_queries, of_keys = torch.zeros_like(queries), torch.zeros_like(keys)
        of_blocks = torch.zeros_like(blocks)
        of_edges = None if edges is None else torch.zeros_like(edges)
        of_W_e = None if W_e is None else torch.zeros_like(W_e)
        sums_at = _sums(queries, keys, edges, W_e, table, pattern)
        for at in _chunks(pattern):
            sums = leaky_relu(sums_at(at), slope, inplace=True)  # its sign is that of its input
            of_blocks += gradient[at].T @ sums
            of_sums = gradient[at] @ blocks
            of_sums = torch.ops.aten.leaky_relu_backward(of_sums, sums, slope, False)
            of_queries.index_add_(0, pattern.rows[at], of_sums)
            of_keys.index_add_(0, pattern.indices[at], of_sums)
            if of_edges is not None and of_W_e is not None:
                of_edges[at] = of_sums @ W_e
                of_W_e += of_sums.T @ edges[at]
        own = torch.stack([of_blocks.view(len(a), *a.shape)[h, h] for h in range(len(a))])
        return of_queries, of_keys, own, of_edges, of_W_e


def _chunks(pattern: Pattern) -> list[slice]:
    """Return the entries, a few thousand at a time."""
    size = _kernels.CHUNK
    return [slice(k, k + size) for k in range(0, len(pattern.indices), size)]


def _sums(
    queries: Tensor,
    keys: Tensor,
    edges: Tensor | None,
    W_e: Tensor | None,
    table: Float[Tensor, "rows_and_columns width"] | None,
    pattern: Pattern,
) -> Callable[[slice], Float[Tensor, "entries width"]]:
    r"""Return a function that computes :math:`q_i + k_j + W_e x_{ij}` for some of the entries.

    ``table`` has the queries and, below them, the keys, where the fused reductions can be used.
    """
    pairs = torch.arange(0, 2 * _kernels.CHUNK + 1, 2, device=queries.device)
    pairs = pairs if table is None else pairs.to(pattern.ends.dtype)

    def sums_at(at: slice) -> Tensor:
        if table is None:
            sums = queries.index_select(0, pattern.rows[at])
            sums += keys.index_select(0, pattern.indices[at])
        else:
            ends = pattern.ends[2 * at.start : 2 * at.stop]
            sums = weighted_sum(pairs[: len(ends) // 2 + 1], ends, None, table)
        return sums if edges is None or W_e is None else sums.addmm_(edges[at], W_e.T)

    return sums_at
