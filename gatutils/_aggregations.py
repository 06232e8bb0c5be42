"""Aggregations over neighbours without weights: sums and maxima, each with its gradient."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from gatutils._csr import Pattern
from gatutils._kernels import apply, full_precision, fused, weighted_sum


def row_sums(values: Float[Tensor, "columns dim"], pattern: Pattern) -> Float[Tensor, "rows dim"]:
    """Return for each row the sum of the values of its entries' columns."""
    return cast(Tensor, apply(_RowSums, values, pattern, False))


class _RowSums(torch.autograd.Function):
    """The product with a matrix of ones, or with its transpose, which gives the gradient."""

    @staticmethod
    @full_precision
    def forward(ctx: Any, values: Tensor, pattern: Pattern, transposed: bool) -> Tensor:
        ctx.pattern, ctx.transposed = pattern, transposed
        indptr, indices, _ = pattern.head_rows(1, transposed)
        if values.device.type == "cpu" and fused(values):
            return cast(Tensor, torch.sparse.mm(_ones(values, indptr, indices), values, "sum"))
        return weighted_sum(indptr, indices, None, values.contiguous())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return apply(_RowSums, gradient.contiguous(), ctx.pattern, not ctx.transposed), None, None


def row_maxima(values: Float[Tensor, "columns dim"], pattern: Pattern) -> Float[Tensor, "rows dim"]:
    """Return for each row the element-wise maximum of the values of its entries' columns.

    A row without entries gets zeros. Among equal values, the first entry receives the gradient.
    """
    return cast(Tensor, apply(_RowMaxima, values, pattern))


class _RowMaxima(torch.autograd.Function):
    """See :func:`row_maxima`; the gradient of each maximum goes only to where it came from."""

    @staticmethod
    @full_precision
    def forward(ctx: Any, values: Tensor, pattern: Pattern) -> Tensor:
        largest, first = _largest(values, pattern)
        ctx.save_for_backward(first)
        ctx.pattern = pattern
        return largest

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (first,) = ctx.saved_tensors
        columns, entries = ctx.pattern.indices, len(ctx.pattern.indices)
        zeros = gradient.new_zeros(ctx.pattern.num_columns, gradient.shape[1])
        if not entries:
            return zeros, None
        gradient = gradient.masked_fill(first == entries, 0)
        return zeros.scatter_add(0, columns[first.clamp(max=entries - 1)], gradient), None


def _largest(values: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
    """Return each row's maxima, and for each its first entry (the number of entries if none)."""
    entries, shape = len(pattern.indices), (pattern.num_rows, values.shape[1])
    if values.device.type == "cpu" and fused(values) and entries:
        with torch.enable_grad():  # torch returns the positions only if it expects a backward
            largest, first = torch.ops.aten._sparse_mm_reduce_impl(
                _ones(values, pattern.indptr, pattern.indices),
                values.detach().requires_grad_(),
                "amax",
            )
        return largest.detach(), first
    rows = pattern.rows.unsqueeze(1).expand(-1, shape[1])
    given = values.index_select(0, pattern.indices)
    largest = values.new_zeros(shape).scatter_reduce_(0, rows, given, "amax", include_self=False)
    every = torch.arange(entries, device=values.device).unsqueeze(1)
    at = torch.where(given == largest.index_select(0, pattern.rows), every, entries)
    first = torch.full(shape, entries, device=values.device)
    return largest, first.scatter_reduce_(0, rows, at, "amin")


def _ones(values: Tensor, indptr: Tensor, indices: Tensor) -> Tensor:
    """Return a sparse matrix of ones; with it, values need not be copied to each entry."""
    ones = values.new_ones(len(indices))
    return torch.sparse_csr_tensor(indptr, indices, ones, (len(indptr) - 1, len(values)))
