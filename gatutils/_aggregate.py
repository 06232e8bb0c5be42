"""Aggregate the states of neighbours, or of all nodes of a graph."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from gatutils._aggregations import row_maxima, row_sums
from gatutils._checks import expect, expect_all
from gatutils._csr import Pattern
from gatutils._kernels import entry_sums, full_precision, weighted_row_sums
from gatutils._layers import expect_edge_data, expect_finite_states, expect_graph, expect_rows
from gatutils.graph import Graph

__all__ = ["Aggr", "Pooling", "aggregate", "expect_pooling", "readout"]

Aggr = Literal["sum", "mean", "max", "symmetric"]
"""How messages are aggregated; see :func:`aggregate`."""

Pooling = Literal["sum", "mean", "max"]
"""The aggregations that need no degrees, and so serve for a readout too."""


def aggregate(
    states: Float[Tensor, "num_sources dim"],
    graph: Graph,
    aggr: Aggr = "sum",
    edge_weight: Float[Tensor, " num_edges"] | None = None,
) -> Float[Tensor, "num_nodes dim"]:
    r"""Aggregate, for each node, the states of the sources of its incoming edges.

    ``"sum"``, ``"mean"`` and ``"max"`` act on each dimension separately. ``"symmetric"`` is the
    sum in which each edge is divided by the square root of the degrees of its two ends,

    .. math:: c_i = \sum_{j \in \mathcal{N}(i)} \frac{h_j}{\sqrt{d_i d_j}}

    where :math:`d_i` counts the edges that lead *to* node i; a source with no incoming edge
    contributes zero. A duplicated edge counts twice. A node without incoming edges receives zeros
    under every ``aggr``.

    With ``edge_weight``, each state is multiplied by the weight :math:`w_{ij}` of its edge. The
    mean still divides by the number of edges. In ``"symmetric"`` the degrees are sums of weights,

    .. math:: c_i = \sum_{j \in \mathcal{N}(i)} \frac{w_{ij} h_j}{\sqrt{d_i d_j}}
        \qquad d_i = \sum_{j \in \mathcal{N}(i)} w_{ij}

    Args:
        states: :math:`h_j`, shape (num_nodes, dim); in a bipartite graph those of the sources,
            (num_sources, dim).
        graph: Which nodes receive from which.
        aggr: ``"sum"``, ``"mean"``, ``"max"`` or ``"symmetric"``.
        edge_weight: :math:`w_{ij}`, shape (num_edges,), in the order of ``graph.source`` and
            ``graph.target``; weights in the order in which the edges were given are
            ``given[graph.edge_order]``.

    Returns:
        :math:`c_i`, shape (num_nodes, dim).

    Raises:
        TypeError: If ``states`` or ``edge_weight`` is not a float tensor.
        ValueError: If sizes do not match, a number is NaN or infinite, ``aggr`` is unknown or is
            ``"max"`` although there are weights, a degree of ``"symmetric"`` is negative, or the
            graph is bipartite, so that its sources have no degree.

    Source:
        Xu et al. (2019), section 2; Kipf and Welling (2017), equation 2, for ``"symmetric"``.
    """
    expect_graph(graph)
    expect_rows(states, "states", graph.num_sources, "source" if graph.is_bipartite else "node")
    expect(aggr in get_args(Aggr), "aggr", "'sum', 'mean', 'max' or 'symmetric'", repr(aggr))
    fits = aggr != "symmetric" or not graph.is_bipartite
    expect(fits, "aggr", "'sum', 'mean' or 'max' in a bipartite graph", repr(aggr))
    expect_finite_states(states)
    if edge_weight is not None:
        expect_edge_data(edge_weight, "edge_weight", graph, 1, states)
        return _aggregate_weighted(states, graph, aggr, edge_weight)
    if aggr == "symmetric":
        degree = graph.degree.to(states.dtype).unsqueeze(1)
        scale = degree.rsqrt().masked_fill(degree == 0, 0)
        return scale * row_sums(scale * states, graph.pattern)
    return _pool(states, graph.pattern, aggr)


@full_precision
def _aggregate_weighted(states: Tensor, graph: Graph, aggr: Aggr, edge_weight: Tensor) -> Tensor:
    """Aggregate with one weight per edge, which a sum can have without a row per edge."""
    wanted = "'sum', 'mean' or 'symmetric', which edge_weight scales"
    expect(aggr != "max", "aggr", wanted, repr(aggr))
    wider = torch.promote_types(states.dtype, edge_weight.dtype)  # they may differ under autocast
    states, edge_weight = states.to(wider), edge_weight.to(wider)
    weights, pattern = edge_weight.unsqueeze(1), graph.pattern  # one head
    if aggr != "symmetric":
        total = weighted_row_sums(weights, states.unsqueeze(1), pattern).squeeze(1)
        return total / graph.degree.clamp(min=1).unsqueeze(1) if aggr == "mean" else total
    degree = entry_sums(weights, pattern)
    wanted = "no node whose weights sum to less than 0"
    expect_all(degree >= 0, "edge_weight", wanted, "a negative degree")
    # The root of 0 has no derivative, and these rows have none to give.
    scale = degree.masked_fill(degree == 0, 1).rsqrt().masked_fill(degree == 0, 0)
    scaled = (scale * states).unsqueeze(1)
    return scale * weighted_row_sums(weights, scaled, pattern).squeeze(1)


def readout(
    states: Float[Tensor, "num_nodes dim"], graph: Graph, aggr: Pooling = "sum"
) -> Float[Tensor, "num_graphs dim"]:
    """Aggregate the states of all nodes of each graph in a batch.

    It is one segment reduction: the nodes of a graph are consecutive rows. A graph without nodes
    receives zeros.

    Args:
        states: Shape (num_nodes, dim).
        graph: A batch of graphs, or a single one.
        aggr: ``"sum"``, ``"mean"`` or ``"max"``.

    Returns:
        One row per graph, shape (num_graphs, dim).

    Raises:
        TypeError: If ``states`` is not a float tensor.
        ValueError: If it does not have one row per node, holds NaN or infinity, or ``aggr`` is
            unknown.

    Source:
        Gilmer et al. (2017), section 2; Xu et al. (2019), equation 2.4.
    """
    expect_graph(graph)
    expect_rows(states, "states", graph.num_nodes, "node")
    expect_pooling(aggr)
    expect_finite_states(states)
    return _pool(states, graph.graph_pattern, aggr)


def _pool(states: Tensor, pattern: Pattern, aggr: str) -> Tensor:
    """Sum, average or maximise over the entries of each row of a pattern; 0 for an empty row."""
    if aggr == "max":
        return row_maxima(states, pattern)
    total = row_sums(states, pattern)
    return total / pattern.indptr.diff().clamp(min=1).unsqueeze(1) if aggr == "mean" else total


def expect_pooling(aggr: str) -> None:
    """Raise ``ValueError`` unless it is an aggregation that needs no degrees."""
    expect(aggr in get_args(Pooling), "aggr", "'sum', 'mean' or 'max'", repr(aggr))
