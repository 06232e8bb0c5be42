r"""Sparse kernels for attention along edges, differentiable to any order.

A graph layer multiplies by two sparse matrices: the attention weights of the edges, and often the
features (a bag of words per node). Zeros are neither stored nor multiplied. For the backward pass
attention keeps tensors of (heads, edges) and (num_nodes, heads, dim), never (edges, heads, dim).

Two operations suffice, and the gradient of each is computed by the same two, so higher derivatives
need no larger tensors:

- :func:`weighted_row_sums`, a sparse matrix times a dense one: :math:`c_i = \sum_j w_{ij} v_j`;
- :func:`entry_dots`, a dot product at each entry of the sparse matrix: :math:`g_i^\top v_j`.

What belongs to the entries has the shape (heads, entries); what belongs to the rows and columns,
that of node states, (nodes, heads, dim). The numbers of one head are contiguous in memory.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from gatutils._checks import autocasts, exporting
from gatutils._csr import Pattern

with warnings.catch_warnings():  # torch warns once that its sparse CSR support is in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1))


CHUNK = 2048
"""How many edges are processed at a time where each needs a whole row, so that the rows fit into a
cache."""


FUSED = {"cpu", "cuda"}
"""Device types for which torch has the fused reductions ``segment_reduce`` and ``embedding_bag``.

On others (among them Apple's ``mps``) the kernels gather and scatter, which works on every
device, and can be exported."""


def fused(numbers: Tensor) -> bool:
    """Tell whether the fused reductions can be used for a tensor."""
    return numbers.device.type in FUSED and not exporting()


Function = TypeVar("Function", bound=Callable[..., Any])


def full_precision(function: Function) -> Function:
    """Run a function outside autocast.

    Sums over a node's neighbours are computed in the precision of the input. Autocast would lower
    the precision of individual steps, and does not handle sparse matrices.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        given = next((each for each in args if isinstance(each, Tensor)), None)
        if given is None or not autocasts(given):
            return function(*args, **kwargs)
        with torch.autocast(given.device.type, enabled=False):
            return function(*args, **kwargs)

    return cast(Function, run)


def apply(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """Call an operation with a custom gradient; torch's stubs do not type ``apply``."""
    out: Tensor = function.apply(*args)
    return out


def weighted_sum(
    offsets: Int[Tensor, " bags_and_one"],
    members: Int[Tensor, " members"],
    weights: Float[Tensor, " members"] | None,
    rows: Float[Tensor, "rows dim"],
) -> Float[Tensor, "bags dim"]:
    """Return for each bag the weighted sum of the rows that are its members.

    Args:
        offsets: The members of bag b are those at offsets[b] to offsets[b + 1] - 1.
        members: The index of a row for each member.
        weights: One per member; None for ones.
        rows: The rows to sum.
    """
    if not members.numel():
        return rows.new_zeros(len(offsets) - 1, rows.shape[1])
    if fused(rows):
        return embedding_bag(
            members, rows, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
        )
    bags = torch.arange(len(offsets) - 1, device=rows.device).repeat_interleave(offsets.diff())
    terms = rows.index_select(0, members)
    terms = terms if weights is None else terms * weights.unsqueeze(1)
    return rows.new_zeros(len(offsets) - 1, rows.shape[1]).index_add_(0, bags, terms)


def block_diagonal(
    vectors: Float[Tensor, "heads kinds dim"],
) -> Float[Tensor, "kinds heads width"]:
    """Return matrices that multiply each head's part of a state by that head's vector.

    In a state the heads are side by side (width = heads x dim), so that one product with such a
    matrix does for all of them.
    """
    return torch.diag_embed(vectors.permute(1, 2, 0)).permute(0, 2, 3, 1).flatten(2)


def dropout_mask(values: Tensor, p: float) -> Tensor:
    """Return a dropout mask shaped like ``values``: 0 with probability p, else 1 / (1 - p)."""
    kept = torch.rand_like(values) >= p
    return kept.to(values.dtype).div_(1 - p) if p < 1 else torch.zeros_like(values)


def weighted_row_sums(
    weights: Float[Tensor, "heads entries"],
    values: Float[Tensor, "columns heads dim"],
    pattern: Pattern,
    mask: Float[Tensor, "heads entries"] | None = None,
) -> Float[Tensor, "rows heads dim"]:
    r"""Return :math:`c_i = \sum_j m_{ij} w_{ij} v_j`, row i's weighted sum of the columns' values.

    Args:
        weights: :math:`w_{ij}`, one per head and entry.
        values: :math:`v_j`.
        pattern: The positions (i, j) of the entries.
        mask: :math:`m_{ij}`, the factors by which dropout multiplies the weights; None for ones.
    """
    return apply(_WeightedRowSums, weights, _by_head(values), pattern, mask)


def _by_head(rows: Float[Tensor, "rows heads dim"]) -> Float[Tensor, "rows heads dim"]:
    """Return the same tensor, stored so that the numbers of each head are contiguous."""
    return rows.transpose(0, 1).contiguous().transpose(0, 1)


class _WeightedRowSums(torch.autograd.Function):
    r"""See :func:`weighted_row_sums`.

    With the gradient :math:`g_i` of :math:`c_i`,

    .. math::

        \bar v_j = \sum_i m_{ij} w_{ij} g_i \qquad \bar w_{ij} = m_{ij}\, g_i^\top v_j
    """

    @staticmethod
    @full_precision
    def forward(
        ctx: Any, weights: Tensor, values: Tensor, pattern: Pattern, mask: Tensor | None
    ) -> Tensor:
        """Sum the rows of each head."""
        ctx.save_for_backward(weights, values, mask)
        ctx.pattern = pattern
        carried = weights if mask is None else weights * mask
        # Detached, since embedding_bag would prepare for a backward pass of its own.
        heads = zip(carried.detach(), values.detach().unbind(1), strict=True)
        sums = [weighted_sum(pattern.indptr, pattern.indices, w, v) for w, v in heads]
        return sums[0].unsqueeze(1) if len(sums) == 1 else torch.stack(sums, dim=1)

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of the weights and of the values."""
        weights, values, mask = ctx.saved_tensors
        pattern, of_weights, of_values = ctx.pattern, None, None
        gradient = _by_head(gradient)
        if ctx.needs_input_grad[0]:
            of_weights = entry_dots(gradient, values, pattern)
            of_weights = of_weights if mask is None else of_weights * mask
        if ctx.needs_input_grad[1]:
            carried = weights if mask is None else weights * mask
            of_values = weighted_row_sums(
                carried.index_select(1, pattern.order), gradient, pattern.T
            )
        return of_weights, of_values, None, None


def entry_dots(
    of_rows: Float[Tensor, "rows heads dim"],
    of_columns: Float[Tensor, "columns heads dim"],
    pattern: Pattern,
) -> Float[Tensor, "heads entries"]:
    r"""Return for each entry (i, j) the dot product :math:`g_i^\top v_j`, in each head."""
    return apply(_EntryDots, _by_head(of_rows), _by_head(of_columns), pattern)


class _EntryDots(torch.autograd.Function):
    """See :func:`entry_dots`."""

    @staticmethod
    @full_precision
    def forward(ctx: Any, of_rows: Tensor, of_columns: Tensor, pattern: Pattern) -> Tensor:
        """Args are (rows, heads, dim) and (columns, heads, dim); returns (heads, entries)."""
        ctx.save_for_backward(of_rows, of_columns)
        ctx.pattern = pattern
        out = of_rows.new_zeros(of_rows.shape[1], len(pattern.indices))
        for g, v, dots in zip(of_rows.unbind(1), of_columns.unbind(1), out, strict=True):
            _dots(g, v, pattern, dots)
        return out

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of both, two products with the entries' gradients as weights."""
        of_rows, of_columns = ctx.saved_tensors
        pattern = ctx.pattern
        turned = gradient.index_select(1, pattern.order)
        return (
            weighted_row_sums(gradient, of_columns, pattern) if ctx.needs_input_grad[0] else None,
            weighted_row_sums(turned, of_rows, pattern.T) if ctx.needs_input_grad[1] else None,
            None,
        )


def _dots(
    of_rows: Float[Tensor, "rows dim"],
    of_columns: Float[Tensor, "columns dim"],
    pattern: Pattern,
    out: Float[Tensor, " entries"],
) -> None:
    """Write for each entry the dot product of its row's vector and its column's."""
    entries, size = len(pattern.indices), (pattern.num_rows, pattern.num_columns)
    # torch 2.13 writes out of bounds if a matrix has more entries than positions (duplicates).
    fits = of_rows.dtype in (torch.float32, torch.float64) and entries <= size[0] * size[1]
    if of_rows.device.type == "cpu" and fused(of_rows) and entries and fits:
        places = torch.sparse_csr_tensor(pattern.indptr, pattern.indices, out, size)
        torch.sparse.sampled_addmm(places, of_rows, of_columns.T, beta=0, out=places)
        return
    for k in range(0, entries, CHUNK):
        i, j = pattern.rows[k : k + CHUNK], pattern.indices[k : k + CHUNK]
        out[k : k + CHUNK] = (of_rows[i] * of_columns[j]).sum(dim=1)


def _reduce_rows(numbers: Tensor, pattern: Pattern, reduce: Literal["sum", "max"]) -> Tensor:
    """Return for each head and row the sum (0 without entries) or maximum of its entries."""
    if fused(numbers):
        offsets = pattern.indptr.expand(len(numbers), -1).contiguous()
        # Reset the strides: torch 2.13 uses that of an axis of length one, which is arbitrary.
        numbers = numbers.flatten().view(numbers.shape)
        return torch.segment_reduce(numbers, reduce, offsets=offsets, axis=1, unsafe=True)
    out = numbers.new_zeros(len(numbers), pattern.num_rows)
    if reduce == "sum":
        return out.index_add_(1, pattern.rows, numbers)
    rows = pattern.rows.expand(len(numbers), -1)
    return out.scatter_reduce_(1, rows, numbers, "amax", include_self=False)


def entry_sums(
    numbers: Float[Tensor, "heads entries"], pattern: Pattern
) -> Float[Tensor, "heads rows"]:
    """Return for each head and row the sum of its entries' numbers."""
    return apply(_EntrySums, numbers, pattern)


class _EntrySums(torch.autograd.Function):
    """See :func:`entry_sums`."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, pattern: Pattern) -> Tensor:
        """Args are (heads, entries); returns (heads, rows)."""
        ctx.pattern = pattern
        return _reduce_rows(numbers, pattern, "sum")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return for each entry the gradient of its row."""
        return gradient.index_select(1, ctx.pattern.rows), None


def pair_sums(
    of_rows: Float[Tensor, "heads rows"],
    of_columns: Float[Tensor, "heads columns"],
    pattern: Pattern,
) -> Float[Tensor, "heads entries"]:
    """Return for each entry (i, j) the sum of row i's and column j's number, in each head."""
    return apply(_PairSums, of_rows, of_columns, pattern)


class _PairSums(torch.autograd.Function):
    """See :func:`pair_sums`."""

    @staticmethod
    def forward(ctx: Any, of_rows: Tensor, of_columns: Tensor, pattern: Pattern) -> Tensor:
        """Args are (heads, rows) and (heads, columns); returns (heads, entries)."""
        ctx.pattern = pattern
        sums: Tensor = of_rows.index_select(1, pattern.rows)
        return sums.add_(of_columns.index_select(1, pattern.indices))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return for each row and for each column the sum of its entries' gradients."""
        pattern = ctx.pattern
        zeros = gradient.new_zeros(len(gradient), pattern.num_columns)
        return (
            entry_sums(gradient, pattern),
            zeros.index_add(1, pattern.indices, gradient),
            None,
        )


def segment_softmax(
    scores: Float[Tensor, "heads entries"], pattern: Pattern
) -> Float[Tensor, "heads entries"]:
    """Return the softmax over each row's entries, in each head."""
    return apply(_SegmentSoftmax, scores.contiguous(), pattern)


class _SegmentSoftmax(torch.autograd.Function):
    r"""See :func:`segment_softmax`.

    With the gradient :math:`\bar\alpha_{ij}` of the weights,

    .. math::

        \bar e_{ij} = \alpha_{ij} \big(\bar\alpha_{ij} - \sum_k \alpha_{ik} \bar\alpha_{ik}\big)
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, pattern: Pattern) -> Tensor:
        """Args are (heads, entries); returns the same shape."""
        if _exponentials_fit(scores):
            weights = scores.exp()
        else:
            # Subtracting the largest score of each row leaves the weights unchanged and prevents
            # overflow.
            largest = _reduce_rows(scores, pattern, "max")
            weights = largest.index_select(1, pattern.rows).neg_().add_(scores).exp_()
        weights /= _reduce_rows(weights, pattern, "sum").index_select(1, pattern.rows)
        ctx.save_for_backward(weights)
        ctx.pattern = pattern
        return weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradient of the scores."""
        (weights,) = ctx.saved_tensors
        pattern = ctx.pattern
        total = entry_sums(weights * gradient, pattern)
        # In place, as the tensors of edges are the largest.
        return total.index_select(1, pattern.rows).neg_().add_(gradient).mul_(weights), None


def _exponentials_fit(scores: Tensor) -> bool:
    """Tell whether no sum of exponentials overflows, or is so small that a weight would."""
    if not fused(scores) or not scores.numel():
        return False
    low, high = scores.aminmax()
    return max(-low.item(), high.item()) <= math.log(torch.finfo(scores.dtype).max) / 4
