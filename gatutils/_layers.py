"""What the graph layers share: validation of their input, and features that may be sparse."""

from torch import Tensor
from torch.nn import functional

from gatutils._checks import expect, expect_finite, expect_int, expect_same_dtype, expect_tensor
from gatutils.graph import Graph
from gatutils.sparse import CSRMatrix

States = Tensor | CSRMatrix
"""Node states: one row per node."""


def expect_graph(graph: Graph) -> None:
    """Raise ``TypeError`` unless this is a graph."""
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a Graph, got {type(graph).__name__}")


def expect_states(states: States, graph: Graph, sparse: bool = False) -> None:
    """Raise unless there is one row per node; a CSRMatrix is accepted only with ``sparse``."""
    expect_graph(graph)
    if not (sparse and isinstance(states, CSRMatrix)):
        expect_tensor(states, "states", "float", ndim=2, exact=True)
    n = graph.num_nodes
    expect(len(states) == n, "states", f"{n} rows, one per node", len(states))


def expect_width(states: States, weight: Tensor) -> None:
    """Raise unless the states have the width and dtype that a weight matrix (out, in) requires."""
    width = weight.shape[1]
    expect(states.shape[1] == width, "states", f"width {width}", states.shape[1])
    expect_same_dtype(states, "states", weight, "the weights")


def expect_finite_states(made: Tensor) -> None:
    """Raise unless what was computed from the states is finite.

    All layers share this policy: NaN and infinity are refused, at whichever node they occur.
    Otherwise they would spread along the edges unnoticed, one hop per layer.
    """
    expect_finite(made, "states", "finite numbers, and no score that overflows")


def expect_features(in_features: int, out_features: int) -> None:
    """Raise unless both widths are at least 1."""
    expect_int(in_features, "in_features", least=1)
    expect_int(out_features, "out_features", least=1)


def linear(states: States, weight: Tensor) -> Tensor:
    r"""Return the states times :math:`W^\top`."""
    if isinstance(states, CSRMatrix):
        return states.matmul(weight)
    return functional.linear(states, weight)


def dropout(states: States, p: float, training: bool) -> States:
    """Apply dropout, as :func:`torch.nn.functional.dropout` does, to dense or sparse states."""
    if isinstance(states, CSRMatrix):
        return states.dropout(p) if training and p else states
    return functional.dropout(states, p, training)
