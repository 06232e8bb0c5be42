r"""Sparse kernels for attention along edges, differentiable to any order.

A graph layer multiplies by two sparse matrices: the attention weights of the edges, and often the
features (a bag of words per node). Zeros are neither stored nor multiplied. For the backward pass
attention keeps tensors of (edges, heads) and (num_nodes, heads, dim), never (edges, heads, dim).

Attention itself is :func:`softmax_and_sums`. Three operations suffice for its gradient, and the
gradient of each is computed by the others, so higher derivatives need no larger tensors. With a
sparse matrix of weights :math:`w_{ij}` they are

- :func:`weighted_row_sums`, the matrix times a dense one: :math:`c_i = \sum_j w_{ij} v_j`;
- :func:`weighted_column_sums`, its transpose times a dense one: :math:`\sum_i w_{ij} g_i`;
- :func:`entry_dots`, a dot product at each of its entries: :math:`g_i^\top v_j`.

What belongs to the entries has the shape (entries, heads), in the order of the pattern; what
belongs to the rows and columns has that of node states, (nodes, heads, dim). Where torch has fused
operations, all heads are processed at once, as one block-diagonal matrix; see
:meth:`gatutils._csr.Pattern.head_rows`.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.functional import embedding_bag

from gatutils._checks import autocasts, exporting
from gatutils._compiled import compiled
from gatutils._csr import Pattern

with warnings.catch_warnings():  # torch warns once that its sparse CSR support is in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1))


CHUNK = 2048
"""How many edges are processed at a time where each needs a whole row, so that the rows fit into a
cache."""


FUSED = {"cpu", "cuda"}
"""Device types for which torch has the fused reduction ``embedding_bag``.

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


class _Unrecorded:
    """Stands in for the context of an operation whose gradient nobody will ask for."""

    def save_for_backward(self, *_: Tensor | None) -> None:
        """Keep nothing."""

    def set_materialize_grads(self, _: bool) -> None:
        """Change nothing."""

    def mark_non_differentiable(self, *_: Tensor) -> None:
        """Mark nothing."""


def apply(function: type[torch.autograd.Function], *args: Any) -> Any:
    """Call an operation with a custom gradient, directly where no derivative is recorded.

    Forward-mode differentiation and the transforms of ``torch.func`` are left to
    ``function.apply``, which refuses them.
    """
    forward_mode = getattr(forward_ad, "_current_level", 0) >= 0
    if torch.is_grad_enabled() or forward_mode or torch._C._are_functorch_transforms_active():
        return function.apply(*args)
    return function.forward(_Unrecorded(), *args)


def gradients(
    formula: Callable[..., Tensor], inputs: Sequence[Tensor | None], gradient: Tensor | None
) -> tuple[Tensor | None, ...]:
    """Return the gradients of a formula's inputs, which can be differentiated in turn.

    None for inputs that need no gradient. That of the formula is None if its value is one number.
    """
    with torch.enable_grad():
        # Views, so that a tensor passed as two arguments has a gradient for each of them.
        inputs = [None if each is None else each.view_as(each) for each in inputs]
        wanted = [each for each in inputs if each is not None and each.requires_grad]
        if not wanted:
            return (None,) * len(inputs)
        found = iter(torch.autograd.grad(formula(*inputs), wanted, gradient, create_graph=True))
    return tuple(
        next(found) if each is not None and each.requires_grad else None for each in inputs
    )


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
    if len(vectors) == 1:
        return vectors.transpose(0, 1)
    return torch.diag_embed(vectors.permute(1, 2, 0)).permute(0, 2, 3, 1).flatten(2)


def dropout_mask(values: Tensor, p: float) -> Tensor:
    """Return a dropout mask shaped like ``values``: 0 with probability p, else 1 / (1 - p)."""
    kept = torch.rand_like(values) >= p
    return kept.to(values.dtype).div_(1 - p) if p < 1 else torch.zeros_like(values)


def select_rows(
    numbers: Float[Tensor, "rows heads"], index: Int[Tensor, " some"]
) -> Float[Tensor, "some heads"]:
    """Return the rows of ``numbers`` at ``index``."""
    if numbers.shape[1] == 1:  # several times as fast as rows of one number
        return numbers.flatten().index_select(0, index).unsqueeze_(1)
    return numbers.contiguous().index_select(0, index)


def weighted_row_sums(
    weights: Float[Tensor, "entries heads"],
    values: Float[Tensor, "columns heads dim"],
    pattern: Pattern,
    mask: Float[Tensor, "entries heads"] | None = None,
) -> Float[Tensor, "rows heads dim"]:
    r"""Return :math:`c_i = \sum_j m_{ij} w_{ij} v_j`, row i's weighted sum of the columns' values.

    Args:
        weights: :math:`w_{ij}`, one per entry and head.
        values: :math:`v_j`.
        pattern: The positions (i, j) of the entries.
        mask: :math:`m_{ij}`, the factors by which dropout multiplies the weights; None for ones.
    """
    return cast(Tensor, apply(_WeightedSums, weights, values, pattern, mask, False))


def weighted_column_sums(
    weights: Float[Tensor, "entries heads"],
    values: Float[Tensor, "rows heads dim"],
    pattern: Pattern,
    mask: Float[Tensor, "entries heads"] | None = None,
) -> Float[Tensor, "columns heads dim"]:
    r"""Return :math:`\sum_i m_{ij} w_{ij} v_i`, column j's weighted sum of the rows' values."""
    return cast(Tensor, apply(_WeightedSums, weights, values, pattern, mask, True))


class _WeightedSums(torch.autograd.Function):
    r"""See :func:`weighted_row_sums` and :func:`weighted_column_sums`.

    With the gradient :math:`g_i` of :math:`c_i`,

    .. math::

        \bar v_j = \sum_i m_{ij} w_{ij} g_i \qquad \bar w_{ij} = m_{ij}\, g_i^\top v_j

    For the sums of columns, rows and columns change roles.
    """

    @staticmethod
    @full_precision
    def forward(
        ctx: Any,
        weights: Tensor,
        values: Tensor,
        pattern: Pattern,
        mask: Tensor | None,
        transposed: bool,
    ) -> Tensor:
        """Return the sums of the rows or of the columns, (rows, heads, dim)."""
        ctx.save_for_backward(weights, values, mask)
        ctx.pattern, ctx.transposed = pattern, transposed
        return _sums(weights, values, pattern, mask, transposed)

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of the weights and of the values."""
        weights, values, mask = ctx.saved_tensors
        pattern, of_weights, of_values = ctx.pattern, None, None
        if ctx.needs_input_grad[1]:
            back = weighted_row_sums if ctx.transposed else weighted_column_sums
            of_values = back(weights, gradient, pattern, mask)
        if ctx.needs_input_grad[0]:
            ends = (values, gradient) if ctx.transposed else (gradient, values)
            of_weights = entry_dots(ends[0], ends[1], pattern)
            of_weights = of_weights if mask is None else of_weights * mask
        return of_weights, of_values, None, None, None


def _sums(
    weights: Tensor, values: Tensor, pattern: Pattern, mask: Tensor | None, transposed: bool
) -> Tensor:
    """Return the weighted sums of the rows or of the columns, (rows, heads, dim)."""
    # Detached, since embedding_bag would prepare for a backward pass of its own.
    carried = (weights if mask is None else weights * mask).detach()
    values = values.detach()
    if not fused(values):
        return _head_by_head(carried, values, pattern, transposed)
    indptr, indices, positions = pattern.head_rows(values.shape[1], transposed)
    carried = carried.flatten()
    carried = carried if positions is None else carried.index_select(0, positions)
    rows = values.contiguous().flatten(0, 1)
    sums = weighted_sum(indptr, indices, carried, rows)
    # Not a view: autograd forbids changing a view in place if it was made inside an operation, and
    # accumulates gradients in place only into tensors that are not views.
    shape = len(sums) // values.shape[1], *values.shape[1:]
    return cast(Tensor, torch.ops.aten._unsafe_view(sums, shape))


def _head_by_head(weights: Tensor, values: Tensor, pattern: Pattern, transposed: bool) -> Tensor:
    """Return the weighted sums of each head, without the fused reductions."""
    ends = (pattern.rows, pattern.num_rows), (pattern.indices, pattern.num_columns)
    (into, size), (out_of, _) = ends[::-1] if transposed else ends
    heads, dim = values.shape[1:]
    out = values.new_zeros(size, heads, dim)
    for h in range(heads):  # one at a time needs less memory
        terms = values[:, h].index_select(0, out_of) * weights[:, h].unsqueeze(1)
        out.flatten(0, 1).index_add_(0, into * heads + h, terms)
    return out


def entry_dots(
    of_rows: Float[Tensor, "rows heads dim"],
    of_columns: Float[Tensor, "columns heads dim"],
    pattern: Pattern,
) -> Float[Tensor, "entries heads"]:
    r"""Return for each entry (i, j) the dot product :math:`g_i^\top v_j`, in each head."""
    return cast(Tensor, apply(_EntryDots, of_rows, of_columns, pattern))


class _EntryDots(torch.autograd.Function):
    """See :func:`entry_dots`."""

    @staticmethod
    @full_precision
    def forward(ctx: Any, of_rows: Tensor, of_columns: Tensor, pattern: Pattern) -> Tensor:
        """Args are (rows, heads, dim) and (columns, heads, dim); returns (entries, heads)."""
        ctx.save_for_backward(of_rows, of_columns)
        ctx.pattern = pattern
        return _dots(of_rows.detach(), of_columns.detach(), pattern)

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of both, two products with the entries' gradients as weights."""
        of_rows, of_columns = ctx.saved_tensors
        first, second, _ = ctx.needs_input_grad
        return (
            weighted_row_sums(gradient, of_columns, ctx.pattern) if first else None,
            weighted_column_sums(gradient, of_rows, ctx.pattern) if second else None,
            None,
        )


def _dots(
    of_rows: Float[Tensor, "rows heads dim"],
    of_columns: Float[Tensor, "columns heads dim"],
    pattern: Pattern,
) -> Float[Tensor, "entries heads"]:
    """Return for each entry the dot product of its row's vector and its column's, in each head."""
    entries, heads = len(pattern.indices), of_rows.shape[1]
    # torch 2.13 writes out of bounds if a matrix has more entries than positions (duplicates).
    fits = entries <= pattern.num_rows * pattern.num_columns
    fits = fits and of_rows.dtype in (torch.float32, torch.float64)
    if of_rows.device.type == "cpu" and fused(of_rows) and entries and fits:
        indptr, indices, positions = pattern.head_rows(heads)
        dots = of_rows.new_zeros(len(indices))
        size = (heads * pattern.num_rows, heads * pattern.num_columns)
        matrix = torch.sparse_csr_tensor(indptr, indices, dots, size)
        g, v = (each.contiguous().flatten(0, 1) for each in (of_rows, of_columns))
        torch.sparse.sampled_addmm(matrix, g, v.T, beta=0, out=matrix)
        return (dots if positions is None else _scattered(dots, positions)).view(entries, heads)
    out = of_rows.new_empty(entries, heads)
    for k in range(0, entries, CHUNK):
        i, j = pattern.rows[k : k + CHUNK], pattern.indices[k : k + CHUNK]
        out[k : k + CHUNK] = (of_rows[i] * of_columns[j]).sum(dim=2)
    return out


def _scattered(numbers: Tensor, positions: Tensor) -> Tensor:
    """Return the numbers in another order, the first of them at the first position."""
    out = torch.empty_like(numbers)
    some = 2**22  # at a time, as torch scatters only to int64 positions
    for k in range(0, len(numbers), some):
        out.scatter_(0, positions[k : k + some].long(), numbers[k : k + some])
    return out


def entry_sums(
    numbers: Float[Tensor, "entries heads"], pattern: Pattern, transposed: bool = False
) -> Float[Tensor, "rows heads"]:
    """Return for each row (or column) the sum of its entries' numbers, in each head."""
    return cast(Tensor, apply(_EntrySums, numbers, pattern, transposed))


class _EntrySums(torch.autograd.Function):
    """See :func:`entry_sums`."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, pattern: Pattern, transposed: bool) -> Tensor:
        """Args are (entries, heads); returns (rows, heads) or (columns, heads)."""
        ctx.into = into = pattern.indices if transposed else pattern.rows
        size = pattern.num_columns if transposed else pattern.num_rows
        if not fused(numbers):
            return numbers.new_zeros(size, numbers.shape[1]).index_add_(0, into, numbers)
        if transposed:
            return weighted_sum(pattern.column_indptr, pattern.order, None, numbers.detach())
        return weighted_sum(pattern.indptr, pattern.every, None, numbers.detach())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return for each entry the gradient of its row, or of its column."""
        return select_rows(gradient, ctx.into), None, None


def softmax_and_sums(
    scores: Float[Tensor, "entries heads"],
    values: Float[Tensor, "columns heads dim"],
    pattern: Pattern,
    mask: Float[Tensor, "entries heads"] | None = None,
    largest: float = math.inf,
) -> tuple[Float[Tensor, "rows heads dim"], Float[Tensor, "entries heads"]]:
    r"""Return each row's weighted sum of the columns' values, and the weights: a softmax.

    .. math::

        \alpha_{ij} = \exp(e_{ij}) \big/ \textstyle\sum_k \exp(e_{ik}) \qquad
        c_i = \sum_j m_{ij} \alpha_{ij} v_j

    Args:
        scores: :math:`e_{ij}`, one per entry and head.
        values: :math:`v_j`.
        pattern: The positions (i, j) of the entries.
        mask: :math:`m_{ij}`, the factors by which dropout multiplies the weights; None for ones.
        largest: See :func:`segment_softmax`.
    """
    sums, weights = apply(_SoftmaxAndSums, scores, values, pattern, mask, largest)
    return sums, weights


class _SoftmaxAndSums(torch.autograd.Function):
    r"""See :func:`softmax_and_sums`.

    With the gradients :math:`g_i` of :math:`c_i` and :math:`\tilde\alpha_{ij}` of the weights (if
    they are used elsewhere too),

    .. math::

        \bar\alpha_{ij} = m_{ij}\, g_i^\top v_j + \tilde\alpha_{ij} \qquad
        \bar e_{ij} = \alpha_{ij} \big(\bar\alpha_{ij} - \sum_k \alpha_{ik} \bar\alpha_{ik}\big)
        \qquad \bar v_j = \sum_i m_{ij} \alpha_{ij} g_i
    """

    @staticmethod
    @full_precision
    def forward(
        ctx: Any,
        scores: Tensor,
        values: Tensor,
        pattern: Pattern,
        mask: Tensor | None,
        largest: float,
    ) -> tuple[Tensor, Tensor]:
        """Return the sums, (rows, heads, dim), and the weights, (entries, heads)."""
        operations, sums = compiled(values, pattern.indptr), None
        if operations is None:
            weights = segment_softmax(scores, pattern, largest)
        else:
            subtract = largest > safe_magnitude(scores.dtype)
            by_row = pattern.indptr, pattern.rows, pattern.indices
            sums, weights = operations.softmax_and_sums(scores, values, mask, subtract, *by_row)
        ctx.save_for_backward(weights, values, mask)
        ctx.pattern, ctx.operations = pattern, operations
        ctx.set_materialize_grads(False)  # the weights are seldom used elsewhere
        if not scores.requires_grad:
            ctx.mark_non_differentiable(weights)
        sums = _sums(weights, values, pattern, mask, False) if sums is None else sums
        return sums, weights

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor | None, of_weights: Tensor | None) -> Any:
        """Return the gradients of the scores and of the values."""
        weights, values, mask = ctx.saved_tensors
        pattern, of_values, of_scores = ctx.pattern, None, None
        operations = None if torch.is_grad_enabled() else ctx.operations
        if operations is not None and gradient is not None and all(ctx.needs_input_grad[:2]):
            found = operations.softmax_and_sums_backward(
                gradient, of_weights, weights, values, mask, *both_ways(pattern)
            )
            return *found, None, None, None
        if gradient is not None:
            if ctx.needs_input_grad[1]:
                of_values = weighted_column_sums(weights, gradient, pattern, mask)
            if ctx.needs_input_grad[0]:
                dots = entry_dots(gradient, values, pattern)
                dots = dots if mask is None else dots * mask
                of_weights = dots if of_weights is None else dots + of_weights
        if ctx.needs_input_grad[0] and of_weights is not None:
            total = select_rows(entry_sums(weights * of_weights, pattern), pattern.rows)
            # In place, as the tensors of edges are the largest.
            of_scores = total.neg_().add_(of_weights).mul_(weights)
        return of_scores, of_values, None, None, None


def both_ways(pattern: Pattern) -> tuple[Tensor, ...]:
    """Return a pattern's rows and columns, as the compiled operations take them."""
    by_row = pattern.indptr, pattern.rows, pattern.indices
    by_column = pattern.head_rows(1, transposed=True)
    return *by_row, by_column.indptr, pattern.order, by_column.indices


def segment_softmax(
    scores: Float[Tensor, "entries heads"], pattern: Pattern, largest: float = math.inf
) -> Float[Tensor, "entries heads"]:
    """Return the softmax over each row's entries, in each head; autograd does not record it.

    Args:
        scores: One per entry and head.
        pattern: The positions of the entries.
        largest: An upper bound on the scores' magnitude, if one is known. If it is small, the
            largest score of each row need not be subtracted from the others.
    """
    with torch.no_grad():
        if largest <= safe_magnitude(scores.dtype):
            weights = scores.exp()
        else:
            # Subtracting the largest score of each row leaves the weights unchanged and prevents
            # overflow.
            maxima = _row_maxima(scores, pattern)
            weights = scores.sub(select_rows(maxima, pattern.rows)).exp_()
        weights /= select_rows(entry_sums(weights, pattern), pattern.rows)
    return weights


def safe_magnitude(dtype: torch.dtype) -> float:
    """Return for scores up to which magnitude no sum of exponentials, and no weight, overflows.

    In float16 a few thousand edges of one node suffice for that, so there is no such magnitude.
    """
    return -math.inf if dtype == torch.float16 else math.log(torch.finfo(dtype).max) / 4


def _row_maxima(numbers: Tensor, pattern: Pattern) -> Tensor:
    """Return for each row the largest of its entries' numbers, in each head."""
    rows = pattern.rows.unsqueeze(1).expand_as(numbers)
    out = numbers.new_zeros(pattern.num_rows, numbers.shape[1])
    return out.scatter_reduce_(0, rows, numbers, "amax", include_self=False)
