"""The steps of our GAT and GATv2 layers and nothing around them, to be timed by gat_layer.py.

The steps are those of the layers, in nearly the same order, and a test asserts that the results
agree. Autograd does not record them, the gradients are written out by hand and accumulated in
place, nothing is checked, and what depends only on the edges is prepared in advance. The time that
a layer takes beyond this is a rough estimate of what autograd, checks, its Python and its copies
cost.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, leaky_relu, linear
from torch.sparse import sampled_addmm

from gatutils._kernels import CHUNK, block_diagonal
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv

Pass = Callable[[], tuple[Tensor, ...]]


def bag(offsets: Tensor, members: Tensor, weights: Tensor | None, rows: Tensor) -> Tensor:
    """Weighted sums of rows."""
    return embedding_bag(
        members, rows, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


class Bare:
    """What both layers share, for one graph: softmax and sums, and the gradients of these."""

    def __init__(self, layer: GATConv | GATv2Conv, graph: Graph) -> None:
        self.of = {name: weights.detach() for name, weights in layer.named_parameters()}
        self.shape, self.slope = (layer.heads, layer.out_features), layer.negative_slope
        self.width, pattern = layer.heads * layer.out_features, graph.pattern
        self.pattern, self.every = pattern, pattern.every
        self.there, self.back = (pattern.head_rows(layer.heads, back) for back in (False, True))
        size = (layer.heads * graph.num_nodes,) * 2
        self.dots = self.of["W"].new_zeros(len(self.there.indices))
        self.matrix = torch.sparse_csr_tensor(*self.there[:2], self.dots, size)

    def at_entries(self, numbers: Tensor, ends: Tensor) -> Tensor:
        """The numbers of each edge's end."""
        if self.shape[0] == 1:
            return numbers.flatten().index_select(0, ends).unsqueeze_(1)
        return numbers.contiguous().index_select(0, ends)

    def by_row(self, numbers: Tensor) -> Tensor:
        """Sums of the edges' numbers at each target."""
        return bag(self.pattern.indptr, self.every, None, numbers)

    def by_column(self, numbers: Tensor) -> Tensor:
        """Sums of the edges' numbers at each source."""
        return bag(self.pattern.column_indptr, self.pattern.order, None, numbers)

    def product(self, weights: Tensor, values: Tensor, back: bool) -> Tensor:
        """The product of the edges' weights, or of their transpose, with values."""
        indptr, indices, positions = self.back if back else self.there
        weights = weights.flatten()
        weights = weights if positions is None else weights.index_select(0, positions)
        return bag(indptr, indices, weights, values.view(-1, self.shape[1])).view(-1, self.width)

    def attend(self, scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The new states, and the attention weights."""
        weights = scores.exp()
        weights /= self.at_entries(self.by_row(weights), self.pattern.rows)
        return self.product(weights, values, back=False).add_(self.of["b"]), weights

    def of_attend(self, gradient: Tensor, weights: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of the scores and of the values."""
        of_values = self.product(weights, gradient, back=True)
        rows, columns = (each.view(-1, self.shape[1]) for each in (gradient, values))
        sampled_addmm(self.matrix, rows, columns.T, beta=0, out=self.matrix)
        positions, dots = self.there.positions, self.dots
        if positions is not None:
            dots = torch.empty_like(dots).scatter_(0, positions.long(), dots)
        of_weights = dots.view_as(weights)
        total = self.at_entries(self.by_row(weights * of_weights), self.pattern.rows)
        return total.neg_().add_(of_weights).mul_(weights), of_values


def gat(layer: GATConv, states: Tensor, graph: Graph, gradient: Tensor) -> tuple[Pass, Pass]:
    """A forward pass, and a training step, which returns the gradients too."""
    bare, heads = Bare(layer, graph), layer.heads
    W, a = bare.of["W"].flatten(0, 1), bare.of["a"]
    rows, columns, slope = bare.pattern.rows, bare.pattern.indices, bare.slope

    def forward() -> tuple[Tensor, ...]:
        blocks = block_diagonal(a.view(heads, 2, -1)).flatten(0, 1)
        projected = linear(states, W)
        queries, keys = (projected @ blocks.T).chunk(2, dim=1)
        scores = bare.at_entries(queries, rows).add_(bare.at_entries(keys, columns))
        scores = leaky_relu(scores, slope, inplace=True)
        return *bare.attend(scores, projected), scores, projected, blocks

    def training() -> tuple[Tensor, ...]:
        out, weights, scores, projected, blocks = forward()
        of_scores, of_projected = bare.of_attend(gradient, weights, projected)
        of_sums = torch.ops.aten.leaky_relu_backward(of_scores, scores, slope, True)
        of_halves = torch.cat([bare.by_row(of_sums), bare.by_column(of_sums)], dim=1)
        of_blocks = (of_halves.T @ projected).view(2, heads, heads, -1)
        of_a = torch.stack([of_blocks[:, h, h].flatten() for h in range(heads)])
        of_projected.addmm_(of_halves, blocks)
        of_W = (of_projected.T @ states).view_as(bare.of["W"])
        return out, of_projected @ W, gradient.sum(dim=0), of_W, of_a

    return forward, training


def gatv2(layer: GATv2Conv, states: Tensor, graph: Graph, gradient: Tensor) -> tuple[Pass, Pass]:
    """A forward pass, and a training step, which returns the gradients too."""
    bare, heads, nodes, entries = Bare(layer, graph), layer.heads, len(states), graph.num_edges
    W, U = (bare.of[name].flatten(0, 1) for name in "WU")
    ends, pairs = (
        bare.pattern.ends,
        torch.arange(0, 2 * CHUNK + 1, 2, dtype=bare.pattern.ends.dtype),
    )
    rows, columns, slope = bare.pattern.rows, bare.pattern.indices, bare.slope
    chunks = [slice(k, min(k + CHUNK, entries)) for k in range(0, entries, CHUNK)]

    def sums(table: Tensor, at: slice) -> Tensor:
        few = pairs[: at.stop - at.start + 1]
        return leaky_relu(
            bag(few, ends[2 * at.start : 2 * at.stop], None, table), slope, inplace=True
        )

    def forward() -> tuple[Tensor, ...]:
        (blocks,) = block_diagonal(bare.of["a"].unsqueeze(1))
        table = states.new_empty(2 * nodes, bare.width)
        torch.addmm(bare.of["b_W"], states, W.T, out=table[:nodes])
        torch.addmm(bare.of["b_U"], states, U.T, out=table[nodes:])
        scores = states.new_empty(entries, heads)
        for at in chunks:
            torch.mm(sums(table, at), blocks.T, out=scores[at])
        return *bare.attend(scores, table[nodes:]), table, blocks

    def training() -> tuple[Tensor, ...]:
        out, weights, table, blocks = forward()
        of_scores, of_keys = bare.of_attend(gradient, weights, table[nodes:])
        of_queries, of_blocks = torch.zeros_like(of_keys), torch.zeros_like(blocks)
        for at in chunks:
            activated = sums(table, at)
            of_blocks.addmm_(of_scores[at].T, activated)
            of_sums = of_scores[at] @ blocks
            of_sums = torch.ops.aten.leaky_relu_backward(of_sums, activated, slope, True)
            of_queries.index_add_(0, rows[at], of_sums)
            of_keys.index_add_(0, columns[at], of_sums)
        of_a = torch.stack([of_blocks.view(heads, heads, -1)[h, h] for h in range(heads)])
        of_states = (of_queries @ W).addmm_(of_keys, U)
        of_W, of_U = ((each.T @ states).view_as(bare.of["W"]) for each in (of_queries, of_keys))
        biases = [each.sum(dim=0) for each in (gradient, of_queries, of_keys)]
        return out, of_states, biases[0], of_W, of_U, of_a, *biases[1:]

    return forward, training


def bare(layer: Any, states: Tensor, graph: Graph, gradient: Tensor) -> dict[str, Pass]:
    """The steps of a layer with biases whose heads are concatenated.

    A forward pass returns the new states first; a training step these, the gradient of the states,
    and those of the parameters in the order of ``layer.parameters()``.
    """
    make: Any = gat if isinstance(layer, GATConv) else gatv2
    forward, training = make(layer, states.detach(), graph, gradient)
    return {"forward": forward, "training": training}
