"""Products with matrices that are mostly zeros, and the ways back for gradients.

A graph layer multiplies by two such matrices: the weights of the edges, and often the features (a
bag of words). Here a zero is never stored or multiplied. Of attention, (heads x edges) and
(nodes x heads x dim) numbers are kept for the way back, never (edges x heads x dim).

Heads come first in this module, so that the numbers of one head lie side by side in memory.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.functional import embedding_bag, leaky_relu

from gatutils.checks import expect_tensor
from gatutils.graph import Graph

__all__ = ["AdditiveScores", "Attend", "PairSums", "SparseRows", "drop", "dropout", "weighted_sum"]

with warnings.catch_warnings():  # torch says once that its sparse matrices are young
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1))

# So many edges are looked at together where each needs a whole row: the rows fit into a cache.
CHUNK = 8192


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
        weights: One a member; None for ones.
        rows: What is summed.
    """
    if not members.numel():
        return rows.new_zeros(len(offsets) - 1, rows.shape[1])
    return embedding_bag(
        members, rows, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def dropout(states: Tensor | SparseRows, share: float, training: bool) -> Tensor | SparseRows:
    """Let a share of the numbers go dark in training, and make the others that much larger."""
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

    Args:
        offsets: The numbers of row i are those at offsets[i] to offsets[i + 1] - 1.
        columns: Where in its row each number stands.
        values: The numbers.
        width: How many columns.

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
        self.offsets, self.columns, self.values = offsets, columns, values
        self.shape = torch.Size((len(offsets) - 1, width))
        self.dtype, self.ndim = values.dtype, 2

    @classmethod
    def from_dense(cls, matrix: Float[Tensor, "rows width"]) -> SparseRows:
        """Take the numbers that are not zero out of a matrix.

        Raises:
            TypeError: If it is no float tensor.
            ValueError: If it has not two axes.
        """
        expect_tensor(matrix, "matrix", "float", ndim=2, exact=True)
        rows, columns = matrix.nonzero(as_tuple=True)
        counts = rows.bincount(minlength=len(matrix))
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls(offsets, columns, matrix[rows, columns], matrix.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"SparseRows({self.shape[0]} x {self.shape[1]}, {len(self.values)} not zero)"

    def dense(self) -> Float[Tensor, "rows width"]:
        """Return the matrix with its zeros."""
        return self.values.new_zeros(self.shape).index_put((self._rows, self.columns), self.values)

    def dropout(self, share: float) -> SparseRows:
        """Return it after dropout; to drop a zero changes nothing, so none is looked at."""
        kept = SparseRows(self.offsets, self.columns, self.values, self.shape[1])
        # The way back depends on the places alone: it is made once for all.
        kept._rows, kept._turned = self._rows, self._turned
        kept.values = self.values * drop(self.values, share)
        return kept

    def times(self, weight: Float[Tensor, "out width"]) -> Float[Tensor, "rows out"]:
        r"""Return :math:`X W^\top`."""
        return cast(Tensor, _Times.apply(weight, self))  # type: ignore[no-untyped-call]

    @cached_property
    def _rows(self) -> Int[Tensor, " numbers"]:
        return torch.arange(len(self), device=self.offsets.device).repeat_interleave(
            self.offsets.diff()
        )

    @cached_property
    def _turned(self) -> tuple[Tensor, Tensor, Tensor]:
        """The transposed matrix: its offsets, its columns, and the order of the numbers."""
        order = self.columns.argsort(stable=True)
        counts = self.columns.bincount(minlength=self.shape[1])
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)]), self._rows[order], order


class _Times(torch.autograd.Function):
    """X times a matrix's transpose; the gradient of the matrix needs X transposed."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, rows: SparseRows) -> Tensor:
        ctx.rows = rows
        return weighted_sum(rows.offsets, rows.columns, rows.values, weight.T.contiguous())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        offsets, columns, order = ctx.rows._turned
        values = ctx.rows.values[order]
        return weighted_sum(offsets, columns, values, gradient.contiguous()).T, None


# ---- Numbers of nodes and numbers of edges ---------------------------------------------------


def _per_target(numbers: Tensor, graph: Graph, how: Literal["sum", "max"] = "sum") -> Tensor:
    """Return for each head and target the sum or maximum of its edges' numbers."""
    offsets = graph.offsets.expand(len(numbers), -1).contiguous()
    # The strides are made anew: torch 2.13 follows that of an axis with one place, which is any.
    numbers = numbers.flatten().view(numbers.shape)
    return torch.segment_reduce(numbers, how, offsets=offsets, axis=1, unsafe=True)


def _per_source(numbers: Tensor, graph: Graph) -> Tensor:
    """Return for each head and source the sum of its edges' numbers."""
    return numbers.new_zeros(len(numbers), graph.nodes).index_add_(1, graph.source, numbers)


class PairSums(torch.autograd.Function):
    """For each edge from j to i, a number of i plus a number of j."""

    @staticmethod
    def forward(ctx: Any, targets: Tensor, sources: Tensor, graph: Graph) -> Tensor:
        """Args are (heads, nodes) twice; returns (heads, edges)."""
        ctx.graph = graph
        sums: Tensor = targets.index_select(1, graph.target)
        return sums.add_(sources.index_select(1, graph.source))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Each node gathers what its edges say."""
        gradient = gradient.contiguous()
        return _per_target(gradient, ctx.graph), _per_source(gradient, ctx.graph), None


class Attend(torch.autograd.Function):
    r"""Softmax over the edges of each target, then the weighted sum of the sources' values.

    With the weights :math:`\alpha_{ij}`, what dropout multiplies them by, :math:`m_{ij}`, and the
    gradient :math:`g_i` of the context :math:`c_i = \sum_j m_{ij} \alpha_{ij} v_j`:

    .. math::

        \bar v_j = \sum_i m_{ij} \alpha_{ij} g_i \qquad
        \bar\alpha_{ij} = m_{ij}\, g_i^\top v_j \qquad
        \bar e_{ij} = \alpha_{ij} \big(\bar\alpha_{ij} - \sum_k \alpha_{ik} \bar\alpha_{ik}\big)

    and where no one asks for a gradient of the weights themselves, the last sum is
    :math:`g_i^\top c_i`.
    """

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, values: Tensor, graph: Graph, kept: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Args are (heads, edges), (heads, nodes, dim), the graph, (heads, edges) or None."""
        # The largest score is taken off each target's, so nothing overflows; the weights stay.
        largest = _per_target(scores, graph, "max")
        weights = largest.index_select(1, graph.target).neg_().add_(scores).exp_()
        weights /= _per_target(weights, graph).index_select(1, graph.target)
        carried = weights if kept is None else weights * kept
        context = torch.stack(
            [
                weighted_sum(graph.offsets, graph.source, w, v)
                for w, v in zip(carried, values, strict=True)
            ]
        )
        ctx.save_for_backward(weights, values, kept, context)
        ctx.graph = graph
        ctx.set_materialize_grads(False)
        return context, weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_context: Tensor | None, of_weights: Tensor | None) -> Any:
        """Return the gradients of the scores and of the values."""
        weights, values, kept, context = ctx.saved_tensors
        graph = ctx.graph
        bar = None  # the gradient of the weights
        of_values = None
        if of_context is not None:
            of_context = of_context.contiguous()
            carried = weights if kept is None else weights * kept
            carried = carried.index_select(1, graph.by_source)
            targets = graph.target[graph.by_source]
            of_values = torch.stack(
                [
                    weighted_sum(graph.source_offsets, targets, w, g)
                    for w, g in zip(carried, of_context, strict=True)
                ]
            )
            bar = torch.stack(
                [_products(g, v, graph) for g, v in zip(of_context, values, strict=True)]
            )
            if kept is not None:
                bar *= kept
        if of_weights is None:
            if bar is None:
                return None, None, None, None
            total = (of_context * context).sum(dim=2)
        else:
            bar = of_weights if bar is None else bar.add_(of_weights)
            total = _per_target(weights * bar, graph)
        of_scores = bar.sub(total.index_select(1, graph.target)).mul_(weights)
        return of_scores, of_values, None, None


def _products(
    of_targets: Float[Tensor, "nodes dim"], of_sources: Float[Tensor, "nodes dim"], graph: Graph
) -> Float[Tensor, " edges"]:
    """Return for each edge from j to i the dot product of row i of one and row j of the other."""
    out = of_targets.new_zeros(graph.edges)
    # torch 2.13 writes past the end where a matrix has more numbers than places (duplicates).
    fits = of_targets.dtype in (torch.float32, torch.float64) and graph.edges <= graph.nodes**2
    if of_targets.device.type == "cpu" and graph.edges and fits:
        size = (graph.nodes, graph.nodes)
        places = torch.sparse_csr_tensor(graph.offsets, graph.source, out, size)
        torch.sparse.sampled_addmm(places, of_targets, of_sources.T, beta=0, out=places)
        return out
    for k in range(0, graph.edges, CHUNK):
        ends, starts = graph.target[k : k + CHUNK], graph.source[k : k + CHUNK]
        out[k : k + CHUNK] = (of_targets[ends] * of_sources[starts]).sum(dim=1)
    return out


class AdditiveScores(torch.autograd.Function):
    r"""For each edge :math:`e_{ij} = a^\top \mathrm{LeakyReLU}(q_i + k_j)`, in each head.

    The sums :math:`q_i + k_j` are as wide as a state. They are made for some thousand edges at a
    time, and made again on the way back instead of being kept.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, a: Tensor, slope: float, graph: Graph
    ) -> Tensor:
        """Args are (nodes, heads x dim) twice and (heads, dim); returns (heads, edges)."""
        ctx.save_for_backward(queries, keys, a)
        ctx.slope, ctx.graph = slope, graph
        scores = queries.new_empty(graph.edges, len(a))
        blocks = torch.block_diag(*a).T  # (heads x dim, heads): each head reads its own part
        for k in range(0, graph.edges, CHUNK):
            at = slice(k, k + CHUNK)
            sums = queries.index_select(0, graph.target[at])
            sums += keys.index_select(0, graph.source[at])
            scores[at] = leaky_relu(sums, slope) @ blocks
        return scores.T.contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Make the sums again, and from them the gradients of queries, keys and a."""
        queries, keys, a = ctx.saved_tensors
        graph, slope = ctx.graph, ctx.slope
        gradient = gradient.T.contiguous()
        blocks = torch.block_diag(*a)
        of_queries, of_keys = torch.zeros_like(queries), torch.zeros_like(keys)
        of_blocks = torch.zeros_like(blocks)
        for k in range(0, graph.edges, CHUNK):
            ends, starts = graph.target[k : k + CHUNK], graph.source[k : k + CHUNK]
            sums = queries.index_select(0, ends) + keys.index_select(0, starts)
            part = gradient[k : k + CHUNK]
            of_blocks += part.T @ leaky_relu(sums, slope)
            of_sums = part @ blocks
            of_sums = torch.where(sums > 0, of_sums, slope * of_sums)
            of_queries.index_add_(0, ends, of_sums)
            of_keys.index_add_(0, starts, of_sums)
        own = of_blocks.view(len(a), len(a), -1).diagonal().T
        return of_queries, of_keys, own, None, None
