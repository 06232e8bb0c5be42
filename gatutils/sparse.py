r"""Products with matrices that are mostly zeros, differentiable to any order.

A graph layer multiplies by two such matrices: the weights of the edges, and often the features (a
bag of words for each node). Zeros are neither stored nor multiplied. Of attention, tensors of
(heads, edges) and (heads, nodes, dim) are kept for the backward pass, never (edges, heads, dim).

Two operations suffice, and each one's gradients are the two again, so derivatives of any order
cost no more memory:

- :class:`Product`, a sparse matrix times a dense one: :math:`c_i = \sum_j w_{ij} v_j`;
- :class:`Along`, a dot product at each of the sparse matrix's entries: :math:`g_i^\top v_j`.

Heads come first in this module, so that the numbers of one head lie side by side in memory.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.functional import embedding_bag, leaky_relu

from gatutils.checks import autocasts, expect, expect_same_dtype, expect_tensor
from gatutils.csr import Pattern

__all__ = [
    "AdditiveScores",
    "Along",
    "EdgeSoftmax",
    "PairSums",
    "Product",
    "RowSums",
    "SparseRows",
    "drop",
    "dropout",
    "full_precision",
    "product",
    "row_maxima",
    "row_sums",
    "weighted_sum",
]

with warnings.catch_warnings():  # torch says once that its sparse matrices are young
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1))

CHUNK = 8192
"""So many edges at a time where each needs a whole row, so that the rows fit into a cache."""

FUSED = {"cpu", "cuda"}
"""Types of devices that have torch's fused reductions, ``segment_reduce`` and ``embedding_bag``.

Others (Apple's ``mps`` among them) gather and scatter, which every device can do."""

Function = TypeVar("Function", bound=Callable[..., Any])


def full_precision(function: Function) -> Function:
    """Run a function outside autocast.

    Sums over a node's neighbours are taken in the precision of what is given: autocast would
    lower that of single steps, and knows nothing of sparse matrices.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        given = next((each for each in args if isinstance(each, Tensor)), None)
        if given is None or not autocasts(given):
            return function(*args, **kwargs)
        with torch.autocast(given.device.type, enabled=False):
            return function(*args, **kwargs)

    return cast(Function, run)


def weighted_sum(
    offsets: Int[Tensor, " bags_and_one"],
    members: Int[Tensor, " members"],
    weights: Float[Tensor, " members"] | None,
    rows: Float[Tensor, "rows dim"],
) -> Float[Tensor, "bags dim"]:
    """Return for each bag the weighted sum of the rows that are its members.

    Args:
        offsets: The members of bag b are those at offsets[b] to offsets[b + 1] - 1.
        members: Numbers of rows.
        weights: One per member; None for ones.
        rows: What is summed.
    """
    if not members.numel():
        return rows.new_zeros(len(offsets) - 1, rows.shape[1])
    if rows.device.type in FUSED:
        return embedding_bag(
            members, rows, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
        )
    bags = torch.arange(len(offsets) - 1, device=rows.device).repeat_interleave(offsets.diff())
    terms = rows.index_select(0, members)
    terms = terms if weights is None else terms * weights.unsqueeze(1)
    return rows.new_zeros(len(offsets) - 1, rows.shape[1]).index_add_(0, bags, terms)


def dropout(states: Tensor | SparseRows, share: float, training: bool) -> Tensor | SparseRows:
    """In training, set a share of the numbers to zero and scale the others up to make up for it."""
    if isinstance(states, SparseRows):
        return states.dropout(share) if training and share else states
    return functional.dropout(states, share, training)


def drop(values: Tensor, share: float) -> Tensor:
    """Return what each number is multiplied by: 0 for a share of them, else 1 / (1 - share)."""
    kept = torch.rand_like(values) >= share
    return kept.to(values.dtype).div_(1 - share) if share < 1 else torch.zeros_like(values)


# ---- Features that are mostly zeros ----------------------------------------------------------


class SparseRows:
    """A matrix that is mostly zeros, such as a bag of words for each node.

    The layers of :mod:`gatutils.gnn` that begin with a product take it in place of a tensor.
    Gradients reach the matrix that it is multiplied by and, if they require one, ``values``.

    Args:
        offsets: The numbers of row i are those at offsets[i] to offsets[i + 1] - 1.
        columns: The column of each number.
        values: The numbers.
        width: The number of columns.

    Raises:
        TypeError: If ``values`` are no floats, or ``offsets`` or ``columns`` no whole numbers.
        ValueError: If sizes do not fit, offsets fall, or a column is not one of ``width``.

    Source:
        The form is known as CSR, compressed sparse rows.
    """

    def __init__(
        self,
        offsets: Int[Tensor, " rows_and_one"],
        columns: Int[Tensor, " numbers"],
        values: Float[Tensor, " numbers"],
        width: int,
    ) -> None:
        expect_tensor(offsets, "offsets", "int", ndim=1, exact=True)
        expect_tensor(columns, "columns", "int", ndim=1, exact=True)
        expect_tensor(values, "values", "float", ndim=1, exact=True)
        expect(len(columns) == len(values), "columns", f"{len(values)} like values", len(columns))
        ends = len(offsets) > 0 and int(offsets[0]) == 0 and int(offsets[-1]) == len(values)
        rising = ends and bool((offsets.diff() >= 0).all())
        expect(rising, "offsets", f"numbers that rise from 0 to {len(values)}", offsets.tolist())
        if len(columns):
            low, high = int(columns.min()), int(columns.max())
            inside = low >= 0 and high < width
            expect(inside, "columns", f"columns 0 to {width - 1}", f"{low} to {high}")
        self._fill(Pattern(offsets, columns, width), values)

    def _fill(self, pattern: Pattern, values: Tensor) -> SparseRows:
        self.pattern, self.values = pattern, values
        self.shape = torch.Size((pattern.height, pattern.width))
        self.ndim = 2
        return self

    @classmethod
    def _of(cls, pattern: Pattern, values: Tensor) -> SparseRows:
        """Other numbers at the same places, which were checked before."""
        return cls.__new__(cls)._fill(pattern, values)

    @classmethod
    def from_dense(cls, matrix: Float[Tensor, "rows width"]) -> SparseRows:
        """Take the numbers that are not zero out of a matrix.

        Raises:
            TypeError: If it is no float tensor.
            ValueError: If it does not have two axes.
        """
        expect_tensor(matrix, "matrix", "float", ndim=2, exact=True)
        rows, columns = matrix.nonzero(as_tuple=True)
        counts = rows.bincount(minlength=len(matrix))
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        pattern = Pattern(offsets, columns, matrix.shape[1], rows)
        return cls._of(pattern, matrix[rows, columns])

    @property
    def offsets(self) -> Int[Tensor, " rows_and_one"]:
        """Where the numbers of each row begin."""
        return self.pattern.offsets

    @property
    def columns(self) -> Int[Tensor, " numbers"]:
        """The column of each number."""
        return self.pattern.columns

    @property
    def dtype(self) -> torch.dtype:
        """The type of the numbers."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Where the numbers lie."""
        return self.values.device

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"SparseRows({self.shape[0]} x {self.shape[1]}, {len(self.values)} not zero)"

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> SparseRows:
        """Return the same matrix on another device, with numbers of another type, or both."""
        values = self.values.to(device=device, dtype=dtype)
        if values.device == self.device:
            return SparseRows._of(self.pattern, values)
        return SparseRows._of(self.pattern.to(values.device), values)

    def dense(self) -> Float[Tensor, "rows width"]:
        """Return the matrix with its zeros; numbers that share a place are added up."""
        places = (self.pattern.rows, self.columns)
        return self.values.new_zeros(self.shape).index_put(places, self.values, accumulate=True)

    def dropout(self, share: float) -> SparseRows:
        """Return the matrix after dropout; its zeros stay zeros, so they need not be drawn for."""
        return SparseRows._of(self.pattern, self.values * drop(self.values, share))

    def times(self, weight: Float[Tensor, "out width"]) -> Float[Tensor, "rows out"]:
        r"""Return :math:`X W^\top`; under autocast in the wider of the two types.

        Raises:
            TypeError: If both differ in type, outside autocast.
        """
        expect_same_dtype(weight, "weight", self.values, "values")
        wider = torch.promote_types(self.dtype, weight.dtype)
        values, weight = self.values.to(wider), weight.to(wider)
        return product(values.unsqueeze(0), weight.T.contiguous().unsqueeze(0), self.pattern)[0]


# ---- The two operations ----------------------------------------------------------------------


def product(
    weights: Float[Tensor, "heads entries"],
    values: Float[Tensor, "heads columns dim"],
    pattern: Pattern,
    kept: Float[Tensor, "heads entries"] | None = None,
) -> Float[Tensor, "heads rows dim"]:
    r"""Return :math:`c_i = \sum_j m_{ij} w_{ij} v_j`, row i's weighted sum of the columns' values.

    Args:
        weights: :math:`w_{ij}`, one per head and entry.
        values: :math:`v_j`.
        pattern: The places (i, j) of the entries.
        kept: :math:`m_{ij}`, what dropout multiplies the weights by; None for ones.
    """
    return cast(Tensor, Product.apply(weights, values, pattern, kept))  # type: ignore[no-untyped-call]


class Product(torch.autograd.Function):
    r"""See :func:`product`.

    With the gradient :math:`g_i` of :math:`c_i`,

    .. math::

        \bar v_j = \sum_i m_{ij} w_{ij} g_i \qquad \bar w_{ij} = m_{ij}\, g_i^\top v_j
    """

    @staticmethod
    @full_precision
    def forward(
        ctx: Any, weights: Tensor, values: Tensor, pattern: Pattern, kept: Tensor | None
    ) -> Tensor:
        """Sum the rows of each head."""
        ctx.save_for_backward(weights, values, kept)
        ctx.pattern = pattern
        carried = weights if kept is None else weights * kept
        heads = zip(carried, values.contiguous(), strict=True)
        return torch.stack([weighted_sum(pattern.offsets, pattern.columns, w, v) for w, v in heads])

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of the weights and of the values."""
        weights, values, kept = ctx.saved_tensors
        pattern, of_weights, of_values = ctx.pattern, None, None
        if ctx.needs_input_grad[0]:
            of_weights = Along.apply(gradient, values, pattern)  # type: ignore[no-untyped-call]
            of_weights = of_weights if kept is None else of_weights * kept
        if ctx.needs_input_grad[1]:
            carried = weights if kept is None else weights * kept
            of_values = product(carried.index_select(1, pattern.order), gradient, pattern.T)
        return of_weights, of_values, None, None


class Along(torch.autograd.Function):
    r"""For each entry (i, j) of a pattern the dot product :math:`g_i^\top v_j`, in each head."""

    @staticmethod
    @full_precision
    def forward(ctx: Any, of_rows: Tensor, of_columns: Tensor, pattern: Pattern) -> Tensor:
        """Args are (heads, rows, dim) and (heads, columns, dim); returns (heads, entries)."""
        ctx.save_for_backward(of_rows, of_columns)
        ctx.pattern = pattern
        heads = zip(of_rows.contiguous(), of_columns.contiguous(), strict=True)
        return torch.stack([_products(g, v, pattern) for g, v in heads])

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The entries' gradients are the weights of two products."""
        of_rows, of_columns = ctx.saved_tensors
        pattern = ctx.pattern
        turned = gradient.index_select(1, pattern.order)
        return (
            product(gradient, of_columns, pattern) if ctx.needs_input_grad[0] else None,
            product(turned, of_rows, pattern.T) if ctx.needs_input_grad[1] else None,
            None,
        )


def _products(
    of_rows: Float[Tensor, "rows dim"], of_columns: Float[Tensor, "columns dim"], pattern: Pattern
) -> Float[Tensor, " entries"]:
    """Return for each entry the dot product of its row's vector and its column's."""
    entries, size = len(pattern.columns), (pattern.height, pattern.width)
    out = of_rows.new_zeros(entries)
    # torch 2.13 writes past the end where a matrix has more numbers than places (duplicates).
    fits = of_rows.dtype in (torch.float32, torch.float64) and entries <= size[0] * size[1]
    if of_rows.device.type == "cpu" and "cpu" in FUSED and entries and fits:
        places = torch.sparse_csr_tensor(pattern.offsets, pattern.columns, out, size)
        torch.sparse.sampled_addmm(places, of_rows, of_columns.T, beta=0, out=places)
        return out
    for k in range(0, entries, CHUNK):
        i, j = pattern.rows[k : k + CHUNK], pattern.columns[k : k + CHUNK]
        out[k : k + CHUNK] = (of_rows[i] * of_columns[j]).sum(dim=1)
    return out


# ---- Numbers of nodes and numbers of edges ---------------------------------------------------


def _reduce_rows(numbers: Tensor, pattern: Pattern, how: Literal["sum", "max"]) -> Tensor:
    """Return for each head and row the sum (0 without entries) or maximum of its entries."""
    if numbers.device.type in FUSED:
        offsets = pattern.offsets.expand(len(numbers), -1).contiguous()
        # Strides are made anew: torch 2.13 follows that of an axis of length one, which is any.
        numbers = numbers.flatten().view(numbers.shape)
        return torch.segment_reduce(numbers, how, offsets=offsets, axis=1, unsafe=True)
    out = numbers.new_zeros(len(numbers), pattern.height)
    if how == "sum":
        return out.index_add_(1, pattern.rows, numbers)
    rows = pattern.rows.expand(len(numbers), -1)
    return out.scatter_reduce_(1, rows, numbers, "amax", include_self=False)


class RowSums(torch.autograd.Function):
    """For each head and row of a pattern the sum of its entries' numbers."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, pattern: Pattern) -> Tensor:
        """Args are (heads, entries); returns (heads, rows)."""
        ctx.pattern = pattern
        return _reduce_rows(numbers, pattern, "sum")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Each entry receives its row's gradient."""
        return gradient.index_select(1, ctx.pattern.rows), None


class PairSums(torch.autograd.Function):
    """For each entry (i, j) a number of i plus a number of j."""

    @staticmethod
    def forward(ctx: Any, of_rows: Tensor, of_columns: Tensor, pattern: Pattern) -> Tensor:
        """Args are (heads, rows) and (heads, columns); returns (heads, entries)."""
        ctx.pattern = pattern
        sums: Tensor = of_rows.index_select(1, pattern.rows)
        return sums.add_(of_columns.index_select(1, pattern.columns))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Each node's gradient is the sum of its entries'."""
        pattern = ctx.pattern
        none = gradient.new_zeros(len(gradient), pattern.width)
        return (
            RowSums.apply(gradient, pattern),  # type: ignore[no-untyped-call]
            none.index_add(1, pattern.columns, gradient),
            None,
        )


class EdgeSoftmax(torch.autograd.Function):
    r"""The softmax over each row's entries, in each head.

    With the gradient :math:`\bar\alpha_{ij}` of the weights,

    .. math::

        \bar e_{ij} = \alpha_{ij} \big(\bar\alpha_{ij} - \sum_k \alpha_{ik} \bar\alpha_{ik}\big)
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, pattern: Pattern) -> Tensor:
        """Args are (heads, entries); returns the same shape."""
        # The largest score is taken off each row's, so nothing overflows; the weights stay.
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
        total = RowSums.apply(weights * gradient, pattern)  # type: ignore[no-untyped-call]
        return weights * (gradient - total.index_select(1, pattern.rows)), None


class AdditiveScores(torch.autograd.Function):
    r"""For each edge :math:`e_{ij} = a^\top \mathrm{LeakyReLU}(q_i + k_j)`, in each head.

    The sums :math:`q_i + k_j` are as wide as a state. They are made for some thousand edges at a
    time, and recomputed in the backward pass instead of being kept. Where a gradient of the
    gradient is wanted (``create_graph=True``), they are made whole, by :meth:`formula`.
    """

    @staticmethod
    @full_precision
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, a: Tensor, slope: float, pattern: Pattern
    ) -> Tensor:
        """Args are (nodes, heads x dim) twice and (heads, dim); returns (heads, edges)."""
        ctx.save_for_backward(queries, keys, a)
        ctx.slope, ctx.pattern = slope, pattern
        scores = queries.new_empty(len(pattern.columns), len(a))
        blocks = torch.block_diag(*a).T  # (heads x dim, heads): each head reads its own part
        for k in range(0, len(pattern.columns), CHUNK):
            at = slice(k, k + CHUNK)
            sums = queries.index_select(0, pattern.rows[at])
            sums += keys.index_select(0, pattern.columns[at])
            scores[at] = leaky_relu(sums, slope) @ blocks
        return scores.T.contiguous()

    @staticmethod
    def formula(
        queries: Tensor, keys: Tensor, a: Tensor, slope: float, pattern: Pattern
    ) -> Float[Tensor, "heads edges"]:
        """Return the same scores, one row of (heads, dim) per edge, as autograd can follow."""
        sums = queries.index_select(0, pattern.rows) + keys.index_select(0, pattern.columns)
        return (leaky_relu(sums, slope).view(-1, *a.shape) * a).sum(dim=2).T

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients of the queries, the keys and a."""
        backward = AdditiveScores._again if torch.is_grad_enabled() else AdditiveScores._chunked
        return (*backward(ctx, gradient), None, None)

    @staticmethod
    def _again(ctx: Any, gradient: Tensor) -> Any:
        """Differentiate the formula, so that the gradients can be differentiated in turn."""
        # Views: one tensor that is given twice has a gradient for each place.
        inputs = [tensor.view_as(tensor) for tensor in ctx.saved_tensors]
        queries, keys, a = inputs
        scores = AdditiveScores.formula(queries, keys, a, ctx.slope, ctx.pattern)
        wanted = [tensor for tensor in inputs if tensor.requires_grad]
        found = iter(torch.autograd.grad(scores, wanted, gradient, create_graph=True))
        return tuple(next(found) if tensor.requires_grad else None for tensor in inputs)

    @staticmethod
    @once_differentiable
    def _chunked(ctx: Any, gradient: Tensor) -> Any:
        """Make the sums again, some thousand edges at a time."""
        queries, keys, a = ctx.saved_tensors
        pattern, slope = ctx.pattern, ctx.slope
        gradient = gradient.T.contiguous()
        blocks = torch.block_diag(*a)
        of_queries, of_keys = torch.zeros_like(queries), torch.zeros_like(keys)
        of_blocks = torch.zeros_like(blocks)
        for k in range(0, len(pattern.columns), CHUNK):
            ends, starts = pattern.rows[k : k + CHUNK], pattern.columns[k : k + CHUNK]
            sums = queries.index_select(0, ends) + keys.index_select(0, starts)
            part = gradient[k : k + CHUNK]
            of_blocks += part.T @ leaky_relu(sums, slope)
            of_sums = part @ blocks
            of_sums = torch.where(sums > 0, of_sums, slope * of_sums)
            of_queries.index_add_(0, ends, of_sums)
            of_keys.index_add_(0, starts, of_sums)
        own = of_blocks.view(len(a), len(a), -1).diagonal().T
        return of_queries, of_keys, own


# ---- Aggregation without weights -------------------------------------------------------------


def row_sums(values: Float[Tensor, "columns dim"], pattern: Pattern) -> Float[Tensor, "rows dim"]:
    """Return for each row the sum of the values of its entries' columns."""
    return cast(Tensor, _Ones.apply(values, pattern))  # type: ignore[no-untyped-call]


class _Ones(torch.autograd.Function):
    """The product with a matrix of ones; its gradient is that with the transpose."""

    @staticmethod
    @full_precision
    def forward(ctx: Any, values: Tensor, pattern: Pattern) -> Tensor:
        ctx.pattern = pattern
        if values.device.type == "cpu" and "cpu" in FUSED:
            return cast(Tensor, torch.sparse.mm(_ones(values, pattern), values, "sum"))
        return weighted_sum(pattern.offsets, pattern.columns, None, values.contiguous())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return row_sums(gradient.contiguous(), ctx.pattern.T), None


def row_maxima(values: Float[Tensor, "columns dim"], pattern: Pattern) -> Float[Tensor, "rows dim"]:
    """Return for each row, number by number, the largest value of its entries' columns.

    A row without entries gets zeros. Of equal values the first entry's receives the gradient.
    """
    entries = len(pattern.columns)
    if not entries:
        return torch.cat([values[:0], values.new_zeros(pattern.height, values.shape[1])])
    first = _first_largest(values.detach(), pattern)
    column = pattern.columns[first.clamp(max=entries - 1)]
    return values.gather(0, column).masked_fill(first == entries, 0)


@full_precision
def _first_largest(values: Tensor, pattern: Pattern) -> Int[Tensor, "rows dim"]:
    """Return the first entry of each row with the largest value, or the number of entries."""
    entries, shape = len(pattern.columns), (pattern.height, values.shape[1])
    if values.device.type == "cpu" and "cpu" in FUSED:
        with torch.enable_grad():  # torch keeps the places only where it will need them
            _, first = torch.ops.aten._sparse_mm_reduce_impl(
                _ones(values, pattern), values.requires_grad_(), "amax"
            )
        return cast(Tensor, first)
    rows = pattern.rows.unsqueeze(1).expand(-1, shape[1])
    given = values.index_select(0, pattern.columns)
    largest = values.new_zeros(shape).scatter_reduce_(0, rows, given, "amax", include_self=False)
    every = torch.arange(entries, device=values.device).unsqueeze(1)
    at = torch.where(given == largest.index_select(0, pattern.rows), every, entries)
    return torch.full(shape, entries, device=values.device).scatter_reduce_(0, rows, at, "amin")


def _ones(values: Tensor, pattern: Pattern) -> Tensor:
    """Return a sparse matrix of ones, so that no value is copied to each entry."""
    ones = values.new_ones(len(pattern.columns))
    size = (pattern.height, pattern.width)
    return torch.sparse_csr_tensor(pattern.offsets, pattern.columns, ones, size)
