"""Attention along the edges of a graph: softmax over incoming edges, weighted sum of values."""

import torch
from jaxtyping import Float
from torch import Tensor

from gatutils._checks import expect, expect_finite, expect_same_dtype, expect_tensor
from gatutils._kernels import full_precision, softmax_and_sums
from gatutils._layers import expect_graph
from gatutils.graph import Graph

__all__ = ["attend_edges"]


def attend_edges(
    scores: Float[Tensor, "num_edges *heads"],  # noqa: F821
    values: Float[Tensor, "num_sources *heads dim"],
    graph: Graph,
    dropout_mask: Float[Tensor, "num_edges *heads"] | None = None,  # noqa: F821
) -> tuple[Float[Tensor, "num_nodes *heads dim"], Float[Tensor, "num_edges *heads"]]:  # noqa: F821
    r"""Attend along the edges of a graph: softmax over incoming edges, weighted sum of values.

    It computes what :func:`gatutils.attention.attend` computes with the graph as its mask, but
    pairs of nodes without an edge are neither scored nor stored. A duplicated edge counts twice.
    A node without incoming edges gets a context of zeros. Scores must be finite: to hide an edge,
    leave it out.

    Args:
        scores: :math:`e_{ij}`, shape (num_edges,) or (num_edges, heads), in the order of
            ``graph.source`` and ``graph.target`` (sorted by target, so not the order in which the
            edges were given; see ``graph.edge_order``).
        values: :math:`v_j`, shape (num_nodes, dim) or (num_nodes, heads, dim); in a bipartite
            graph one row per source.
        graph: Which nodes attend to which.
        dropout_mask: What the attention weights are multiplied by before the sum, shaped like
            ``scores``; None for ones.

    Returns:
        The contexts :math:`c_i`, shaped like ``values`` but with one row per node, and the weights
        :math:`\alpha_{ij}`, shaped like ``scores`` and not affected by ``dropout_mask``.

    Raises:
        TypeError: If ``scores`` or ``values`` is not a float tensor, or their dtypes differ (under
            autocast the wider of the two is used).
        ValueError: If sizes do not match, or a number is NaN or infinite.

    Source:
        Velickovic et al. (2018), equations 2 and 4.
    """
    expect_graph(graph)
    expect_tensor(scores, "scores", "float", ndim=1)
    expect(scores.ndim < 3, "scores", "1 or 2 axes", f"shape {tuple(scores.shape)}")
    expect_tensor(values, "values", "float", ndim=scores.ndim + 1, exact=True)
    n, m = graph.num_sources, graph.num_edges
    per = "source" if graph.is_bipartite else "node"
    expect(len(values) == n, "values", f"{n} rows, one per {per}", len(values))
    expect(len(scores) == m, "scores", f"{m} rows, one per edge", len(scores))
    heads, value_heads = tuple(scores.shape[1:]), tuple(values.shape[1:-1])
    expect(value_heads == heads, "values", f"heads {heads} like scores", value_heads)
    expect_same_dtype(values, "values", scores, "scores")
    if dropout_mask is not None:
        expect_tensor(dropout_mask, "dropout_mask", "float")
        fits = dropout_mask.shape == scores.shape
        wanted = f"shape {tuple(scores.shape)} of scores"
        expect(fits, "dropout_mask", wanted, f"shape {tuple(dropout_mask.shape)}")
    expect_finite(values, "values")
    if heads:
        return softmax_and_sum(scores, values, graph, dropout_mask)
    mask = None if dropout_mask is None else dropout_mask.unsqueeze(1)
    context, weights = softmax_and_sum(scores.unsqueeze(1), values.unsqueeze(1), graph, mask)
    return context.squeeze(1), weights.squeeze(1)


@full_precision
def softmax_and_sum(
    scores: Float[Tensor, "num_edges heads"],
    values: Float[Tensor, "num_sources heads dim"],
    graph: Graph,
    mask: Float[Tensor, "num_edges heads"] | None = None,
) -> tuple[Float[Tensor, "num_nodes heads dim"], Float[Tensor, "num_edges heads"]]:
    """Attend as :func:`attend_edges` does, without checking that the values are finite."""
    n, m, heads = graph.num_sources, graph.num_edges, values.shape[1]
    fits = scores.shape == (m, heads) and values.shape[0] == n
    wanted = f"shape ({m}, {heads}), and {n} values"
    expect(fits, "scores", wanted, f"{tuple(scores.shape)}, and {len(values)}")
    if scores.dtype != values.dtype:  # as they may under autocast
        wider = torch.promote_types(scores.dtype, values.dtype)
        scores, values = scores.to(wider), values.to(wider)
    mask = None if mask is None else mask.to(scores.dtype)
    largest = expect_finite(scores, "scores")
    return softmax_and_sums(scores, values, graph.pattern, mask, largest)
