"""What the graph layers share: validation, features that may be sparse, edge data of self-loops."""

import math
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional

from gatutils._checks import (
    autocasts,
    expect,
    expect_finite,
    expect_int,
    expect_same_dtype,
    expect_square,
    expect_tensor,
    exporting,
)
from gatutils.graph import Graph
from gatutils.sampling import SampledBlock
from gatutils.sparse import CSRMatrix

States = Tensor | CSRMatrix
"""Node states: one row per node."""

Pair = tuple[States, States]
"""The states of the sources, and those of the targets, where these are different nodes."""

Kind = TypeVar("Kind", bound=States)

Fill = float | Literal["mean"]
"""The data of an added self-loop: one number, or the mean over the node's other incoming edges."""


def expect_graph(graph: Graph) -> None:
    """Raise ``TypeError`` unless this is a graph."""
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a Graph, got {type(graph).__name__}")


def expect_states(states: States, graph: Graph, sparse: bool = False) -> None:
    """Raise unless there is one row per node; a CSRMatrix is accepted only with ``sparse``."""
    expect_graph(graph)
    expect_square(graph.num_sources if graph.is_bipartite else None, "one set of states")
    expect_rows(states, "states", graph.num_nodes, "node", sparse)


def expect_rows(states: States, name: str, rows: int, per: str, sparse: bool = False) -> None:
    """Raise unless there are so many rows; a CSRMatrix is accepted only with ``sparse``."""
    if not (sparse and isinstance(states, CSRMatrix)):
        expect_tensor(states, name, "float", ndim=2, exact=True)
    if states.shape[0] != rows:
        expect(False, name, f"{rows} rows, one per {per}", len(states))


def sources_and_targets(
    states: Kind | tuple[Kind, Kind], graph: Graph | SampledBlock[Graph], sparse: bool = False
) -> tuple[Kind, Kind, Graph]:
    """Return the states of the sources, those of the targets, and the graph.

    Raises if they do not fit. One set of states is both; a bipartite graph needs a pair. In a block
    the targets are the first of the sources.
    """
    if isinstance(graph, SampledBlock):
        one = expect_sources(states, graph, sparse)
        return one, cast(Kind, one[: graph.graph.num_nodes]), graph.graph
    expect_graph(graph)
    if isinstance(states, tuple):
        wanted = "a pair: states of the sources, states of the targets"
        expect(len(states) == 2, "states", wanted, f"{len(states)} parts")
        expect_rows(states[0], "states[0]", graph.num_sources, "source", sparse)
        expect_rows(states[1], "states[1]", graph.num_nodes, "target", sparse)
        return *states, graph
    if graph.is_bipartite:
        wanted = f"a pair, as the graph is bipartite (num_sources is {graph.num_sources})"
        expect(False, "states", wanted, type(states).__name__)
    expect_rows(states, "states", graph.num_nodes, "node", sparse)
    return states, states, graph


def expect_sources(
    states: Kind | tuple[Kind, Kind], block: SampledBlock[Graph], sparse: bool = False
) -> Kind:
    """Return the states, or raise unless they are one set, those of the sources of the block."""
    wanted = "one set of states, those of the sources of the block"
    expect(not isinstance(states, tuple), "states", wanted, "a pair")
    expect_rows(cast(Kind, states), "states", block.graph.num_sources, "source", sparse)
    return cast(Kind, states)


def expect_width(states: States, weight: Tensor) -> None:
    """Raise unless the states have the width and dtype that weights (..., in) require."""
    width = weight.shape[-1]
    if states.shape[1] != width:
        expect(False, "states", f"width {width}", states.shape[1])
    expect_same_dtype(states, "states", weight, "the weights")


def expect_finite_states(made: Tensor) -> None:
    """Raise unless what was computed from the states is finite.

    All layers share this policy: NaN and infinity are refused, at whichever node they occur.
    Otherwise they would spread along the edges unnoticed, one hop per layer.
    """
    # Each of them remains in a sum, which takes half the time of a minimum and a maximum. But a sum
    # of finite numbers may be infinite too.
    if exporting() or not math.isfinite(made.detach().sum().item()):
        expect_finite(made, "states", "finite numbers, and no score that overflows")


def expect_features(in_features: int, out_features: int) -> None:
    """Raise unless both widths are at least 1."""
    expect_int(in_features, "in_features", least=1)
    expect_int(out_features, "out_features", least=1)


def expect_fill(fill_value: Fill) -> None:
    """Raise ``ValueError`` unless it says how the data of a self-loop are filled in."""
    number = isinstance(fill_value, int | float) and not isinstance(fill_value, bool)
    fits = fill_value == "mean" or (number and math.isfinite(fill_value))
    expect(fits, "fill_value", "a finite number or 'mean'", repr(fill_value))


def expect_edge_data(data: Tensor, name: str, graph: Graph, ndim: int, weight: Tensor) -> None:
    """Raise unless there is one row of finite numbers per edge, of the dtype of the weights."""
    expect_tensor(data, name, "float", ndim=ndim, exact=True)
    m = graph.num_edges
    expect(len(data) == m, name, f"{m} rows, one per edge", len(data))
    expect_same_dtype(data, name, weight, "the weights")
    expect_finite(data, name)


def add_self_loops(
    graph: Graph, edge_data: Tensor | None, fill_value: Fill, keep: bool
) -> tuple[Graph, Tensor | None]:
    """Return the graph with one self-loop per node, and the data of its edges.

    Args:
        graph: The graph; all edge data are in the order of ``source`` and ``target``.
        edge_data: One row per edge, or None.
        fill_value: The data of an added self-loop.
        keep: Whether a self-loop that the graph has already keeps its own data.
    """
    looped = graph.with_self_loops()
    if edge_data is None:
        return looped, None
    rest = edge_data.shape[1:]
    if fill_value == "mean":
        proper = (graph.source != graph.target).nonzero().squeeze(1)
        target = graph.target[proper]
        total = edge_data.new_zeros(graph.num_nodes, *rest)
        total = total.index_add(0, target, edge_data.index_select(0, proper))
        count = target.bincount(minlength=graph.num_nodes).clamp(min=1)
        filled = total / count.view(-1, *(1 for _ in rest))
    else:
        filled = edge_data.new_full((graph.num_nodes, *rest), fill_value)
    order = graph.loop_order
    if not keep:
        order = torch.where(looped.source == looped.target, graph.num_edges + looped.target, order)
    return looped, torch.cat([edge_data, filled]).index_select(0, order)


def linear(states: States, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Return the states times :math:`W^\top`, plus a bias.

    Autocast lowers the precision of the product, but not that of the bias.
    """
    if isinstance(states, CSRMatrix):
        product = states.matmul(weight)
    elif bias is not None and not autocasts(states):
        return functional.linear(states, weight, bias)
    else:
        product = functional.linear(states, weight)
    return product if bias is None else product + bias


def dropout(states: States, p: float, training: bool) -> States:
    """Apply dropout, as :func:`torch.nn.functional.dropout` does, to dense or sparse states."""
    if isinstance(states, CSRMatrix):
        return states.dropout(p) if training and p else states
    return functional.dropout(states, p, training)
