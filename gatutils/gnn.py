r"""Message passing: aggregate, combine, read out.

.. math::

    c_i = \mathrm{aggregate}_{j \in \mathcal{N}(i)}\, \mathrm{message}(h_j)
    \qquad
    h_i' = \mathrm{combine}(h_i, c_i)

The layers below differ in nothing but these three choices. Each does work for each edge, never
for each pair of nodes.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatutils.checks import expect, expect_int, expect_list, expect_tensor
from gatutils.graph import Graph

__all__ = [
    "GCN",
    "GIN",
    "SAGE",
    "Gated",
    "GraphNet",
    "MessagePassing",
    "Readout",
    "aggregate",
    "attend_edges",
    "readout",
]

How = Literal["sum", "mean", "max", "symmetric"]

with warnings.catch_warnings():  # torch says once that its sparse matrices are young
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1))


def aggregate(
    states: Float[Tensor, "nodes dim"], graph: Graph, how: How = "sum"
) -> Float[Tensor, "nodes dim"]:
    r"""Bring together what each node's incoming edges carry.

    ``"sum"``, ``"mean"`` and ``"max"`` (number by number) speak for themselves. ``"symmetric"``
    is the sum in which an edge is divided by the roots of the degrees of its ends,

    .. math:: c_i = \sum_{j \in \mathcal{N}(i)} \frac{h_j}{\sqrt{d_i d_j}}

    where :math:`d_i` counts the edges that lead *to* node i; a source to which none leads gives
    nothing. An edge that is there twice counts
    twice. A node without an incoming edge receives zeros, whatever ``how`` is.

    Args:
        states: :math:`h_j`, one row a node.
        graph: Who may look at whom.
        how: The way to bring them together.

    Raises:
        TypeError: If ``states`` is no float tensor.
        ValueError: If it has another number of rows than the graph has nodes, or ``how`` is none
            of these four.

    Source:
        Xu et al. (2019), section 2; Kipf and Welling (2017), equation 2, for ``"symmetric"``.
    """
    _expect_states(states, graph)
    if how == "sum":
        return cast(Tensor, _Sum.apply(states, graph))  # type: ignore[no-untyped-call]
    if how == "mean":
        return aggregate(states, graph) / graph.degree.clamp(min=1).unsqueeze(1)
    if how == "symmetric":
        degree = graph.degree.to(states.dtype).unsqueeze(1)
        scale = degree.rsqrt().masked_fill(degree == 0, 0)
        return scale * aggregate(scale * states, graph)
    expect(how == "max", "how", "'sum', 'mean', 'max' or 'symmetric'", repr(how))
    return _reduce(graph.offsets, graph.source, states, "amax")


def attend_edges(
    scores: Float[Tensor, " edges"], values: Float[Tensor, "nodes dim"], graph: Graph
) -> tuple[Float[Tensor, "nodes dim"], Float[Tensor, " edges"]]:
    r"""Mix the values as :func:`gatutils.attention.attend` does, over a graph's edges alone.

    What a mask would hide is not there: no pair without an edge is scored or stored. An edge that
    is there twice counts twice. A node without an incoming edge gets a context of zeros.

    Args:
        scores: :math:`e_{ij}`, one for each edge from j to i, in the order of the graph's edges.
        values: :math:`v_j`, one row a node.
        graph: Who may look at whom.

    Returns:
        The contexts :math:`c_i`, and the weight :math:`\alpha_{ij}` of each edge.

    Raises:
        TypeError: If ``scores`` or ``values`` is no float tensor, or both are not of one dtype.
        ValueError: If sizes do not fit, or a number is NaN or infinite.

    Source:
        Velickovic et al. (2018), equation 2.
    """
    _expect_states(values, graph, "values")
    expect_tensor(scores, "scores", "float", ndim=1, exact=True)
    expect(len(scores) == graph.edges, "scores", f"{graph.edges}, one an edge", len(scores))
    if values.dtype != scores.dtype:
        raise TypeError(f"values: expected {scores.dtype} like scores, got {values.dtype}")
    for numbers, name in ((scores, "scores"), (values, "values")):
        expect(bool(numbers.isfinite().all()), name, "finite numbers", "NaN or infinity")
    target = graph.target
    # The largest score is taken off each node's, so nothing overflows; the weights stay the same.
    largest = scores.new_zeros(graph.nodes)
    largest = largest.scatter_reduce(0, target, scores.detach(), "amax", include_self=False)
    powers = (scores - largest[target]).exp()
    weights = powers / powers.new_zeros(graph.nodes).index_add(0, target, powers)[target]
    carried = weights.unsqueeze(1) * values[graph.source]
    return torch.zeros_like(values).index_add(0, target, carried), weights


def readout(
    states: Float[Tensor, "nodes dim"], graph: Graph, how: How = "sum"
) -> Float[Tensor, "graphs dim"]:
    """Bring together the nodes of each graph of a batch; zeros for a graph without nodes.

    It is :func:`aggregate` again: each graph is a node that looks at its nodes.

    Args:
        states: One row a node.
        graph: A batch, or one graph.
        how: ``"sum"``, ``"mean"`` or ``"max"``.

    Raises:
        TypeError: If ``states`` is no float tensor.
        ValueError: If it has another number of rows than the graph has nodes, or ``how`` is none
            of these three.

    Source:
        Gilmer et al. (2017), section 2; Xu et al. (2019), equation 2.4.
    """
    _expect_states(states, graph)
    expect(how in ("sum", "mean", "max"), "how", "'sum', 'mean' or 'max'", repr(how))
    every = torch.arange(graph.nodes, device=graph.source.device)
    wide = max(graph.nodes, graph.graphs)  # a graph has as many nodes that look as can be seen
    gather = Graph(wide, every, graph.member)
    rows = nn.functional.pad(states, (0, 0, 0, wide - graph.nodes))
    return aggregate(rows, gather, how)[: graph.graphs]


class _Sum(torch.autograd.Function):
    """The product with the adjacency matrix; its gradient is that with the transposed one."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, graph: Graph) -> Tensor:
        ctx.graph = graph
        return _reduce(graph.offsets, graph.source, states, "sum")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        graph = ctx.graph
        targets = graph.target[graph.by_source]
        return _reduce(graph.source_offsets, targets, gradient.contiguous(), "sum"), None


def _reduce(offsets: Tensor, others: Tensor, states: Tensor, how: str) -> Tensor:
    """Return for each node the sum or the maximum (amax) of the states of its ``others``."""
    nodes = len(states)
    if states.device.type == "cpu":  # a sparse matrix: no state is copied to each edge
        ones = states.new_ones(len(others))
        matrix = torch.sparse_csr_tensor(offsets, others, ones, (nodes, nodes))
        return cast(Tensor, torch.sparse.mm(matrix, states, how))
    return _reduce_copies(offsets, others, states, how)


def _reduce_copies(offsets: Tensor, others: Tensor, states: Tensor, how: str) -> Tensor:
    """Return the same, as other devices can do it."""
    ends = torch.arange(len(states), device=states.device).repeat_interleave(offsets.diff())
    rows = ends.unsqueeze(1).expand(-1, states.shape[1])
    return torch.zeros_like(states).scatter_reduce(0, rows, states[others], how, include_self=False)


def _expect_states(states: Tensor, graph: Graph, name: str = "states") -> None:
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a Graph, got {type(graph).__name__}")
    expect_tensor(states, name, "float", ndim=2, exact=True)
    expect(len(states) == graph.nodes, name, f"{graph.nodes} rows, one a node", len(states))


def _expect_fit(states: Tensor, weight: Tensor) -> None:
    """Raise unless states are as wide as a matrix takes them, and of its dtype."""
    width = weight.shape[1]
    expect(states.shape[1] == width, "states", f"width {width}", states.shape[1])
    if states.dtype != weight.dtype:
        raise TypeError(f"states: expected {weight.dtype} like the weights, got {states.dtype}")


class MessagePassing(nn.Module):
    """One layer: every node hears its neighbours, then changes its state.

    A layer is a choice of ``how`` (see :func:`aggregate`), :meth:`message` and
    :meth:`combine`.

    Source:
        Gilmer et al. (2017), equations 1 and 2.
    """

    how: How = "sum"

    def message(self, states: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes sent"]:
        """Return what each node sends along its outgoing edges; its state, unless overridden."""
        return states

    def combine(
        self, states: Float[Tensor, "nodes dim"], received: Float[Tensor, "nodes sent"]
    ) -> Float[Tensor, "nodes out"]:
        """Return the new states from the old ones and what was received."""
        raise NotImplementedError

    def forward(
        self, states: Float[Tensor, "nodes dim"], graph: Graph
    ) -> Float[Tensor, "nodes out"]:
        """Pass messages once.

        Raises:
            TypeError: If ``states`` is no float tensor.
            ValueError: If it does not have one row for each node of ``graph``.
        """
        _expect_states(states, graph)
        received = aggregate(self.message(states), graph, self.how)
        return self.combine(states, received)


class GCN(MessagePassing):
    r"""A graph convolution: a mean of a kind over the neighbours *and the node itself*.

    .. math:: h_i' = b + \sum_{j \in \mathcal{N}(i) \cup \{i\}} \frac{W h_j}{\sqrt{d_i d_j}}

    :math:`d_i` counts the edges that lead to i, with its self-loop. The layer adds that loop, as
    its formula says (:meth:`~gatutils.graph.Graph.with_self_loops`). The numbers
    :math:`1 / \sqrt{d_i d_j}` of a node do not sum to 1 unless its neighbours have its own degree.

    Args:
        in_features: Width of a state.
        out_features: Width of a new state.

    Source:
        Kipf and Welling (2017), equation 2.
    """

    how: How = "symmetric"

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        _expect_widths(in_features, out_features)
        self.W = nn.Linear(in_features, out_features, bias=False)
        self.b = nn.Parameter(torch.zeros(out_features))

    def message(self, states: Tensor) -> Tensor:
        """Return :math:`W h_j`; W may stand before the sum or behind, and here it is narrower."""
        _expect_fit(states, self.W.weight)
        return cast(Tensor, self.W(states))

    def combine(self, states: Tensor, received: Tensor) -> Tensor:
        """Add the bias; the node itself is among those received."""
        return received + self.b

    def forward(
        self, states: Float[Tensor, "nodes dim"], graph: Graph
    ) -> Float[Tensor, "nodes out"]:
        """Pass messages once, over the graph with a self-loop at each node."""
        _expect_states(states, graph)
        return super().forward(states, graph.with_self_loops())


class SAGE(MessagePassing):
    r"""The node and its neighbours, each with weights of their own.

    .. math:: h_i' = W h_i + U c_i + b

    Args:
        in_features: Width of a state.
        out_features: Width of a new state.
        how: How :math:`c_i` is made: ``"mean"``, ``"max"`` or ``"sum"``.

    Source:
        Hamilton et al. (2017), algorithm 1, where :math:`[W \; U]` is one matrix over the
        concatenated :math:`[h_i \Vert c_i]`. The nonlinearity is left to the network, and the new
        states are not brought to length 1.
    """

    def __init__(self, in_features: int, out_features: int, how: How = "mean") -> None:
        super().__init__()
        _expect_widths(in_features, out_features)
        expect(how in ("sum", "mean", "max"), "how", "'sum', 'mean' or 'max'", repr(how))
        self.how = how
        self.W = nn.Linear(in_features, out_features, bias=False)
        self.U = nn.Linear(in_features, out_features)

    def combine(self, states: Tensor, received: Tensor) -> Tensor:
        """Return :math:`W h_i + U c_i + b`."""
        _expect_fit(states, self.W.weight)
        return cast(Tensor, self.W(states) + self.U(received))


class GIN(MessagePassing):
    r"""A sum, then a small network.

    .. math:: h_i' = \mathrm{MLP}\left((1 + \varepsilon) h_i + c_i\right)

    A sum keeps what a mean forgets: how many neighbours there are.

    Args:
        in_features: Width of a state.
        out_features: Width of a new state, and of the hidden layer.
        how: ``"sum"``, or another for comparison.

    Source:
        Xu et al. (2019), equation 4.1; :math:`\varepsilon` is learned and starts at 0.
    """

    def __init__(self, in_features: int, out_features: int, how: How = "sum") -> None:
        super().__init__()
        _expect_widths(in_features, out_features)
        expect(how in ("sum", "mean", "max"), "how", "'sum', 'mean' or 'max'", repr(how))
        self.how = how
        self.eps = nn.Parameter(torch.zeros(1))
        self.mlp = nn.Sequential(
            nn.Linear(in_features, out_features),
            nn.ReLU(),
            nn.Linear(out_features, out_features),
        )

    def combine(self, states: Tensor, received: Tensor) -> Tensor:
        """Return the network of the weighted node and what it received."""
        _expect_fit(states, cast(Tensor, self.mlp[0].weight))
        return cast(Tensor, self.mlp((1 + self.eps) * states + received))


class Gated(nn.Module):
    r"""Combine is a GRU: the gates of chapter 1 decide what a node keeps and what it takes over.

    .. math::

        c_i = \sum_{t} \sum_{j \in \mathcal{N}_t(i)} W_t h_j \qquad h_i' = \mathrm{GRU}(c_i, h_i)

    with one matrix for each kind t of edge. One call is one round; the same layer is called
    again for the next.

    Args:
        dim: Width of a state; a GRU does not change it.
        kinds: How many kinds of edges there are.

    Source:
        Li et al. (2016), section 3.2.
    """

    def __init__(self, dim: int, kinds: int = 1) -> None:
        super().__init__()
        expect_int(dim, "dim", least=1)
        expect_int(kinds, "kinds", least=1)
        self.W = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(kinds))
        self.gru = nn.GRUCell(dim, dim)

    def forward(
        self, states: Float[Tensor, "nodes dim"], graph: Graph | Sequence[Graph]
    ) -> Float[Tensor, "nodes dim"]:
        """Pass messages once.

        Args:
            states: One row a node.
            graph: The edges; with several kinds, one graph of the same nodes for each.

        Raises:
            TypeError: If ``states`` is no float tensor.
            ValueError: If there are more or fewer graphs than kinds, or sizes do not fit.
        """
        graphs = [graph] if isinstance(graph, Graph) else graph
        expect_list(graphs, "graph", Graph)
        expect(len(graphs) == len(self.W), "graph", f"{len(self.W)} kinds of edges", len(graphs))
        for edges in graphs:
            _expect_states(states, edges)
        _expect_fit(states, self.gru.weight_hh)
        received = torch.zeros_like(states)
        for W, edges in zip(self.W, graphs, strict=True):
            received = received + aggregate(W(states), edges)
        return cast(Tensor, self.gru(received, states))


class GraphNet(nn.Module):
    """Layers one after another, with a ReLU between them.

    Args:
        layers: Called as ``layer(states, graph)``.
        dropout: Share of the numbers that go dark before each layer, while training.
        added: Add what goes into a layer to what comes out, where both are of one width, so that
            a path without any layer leads through them (He et al. 2016).
    """

    def __init__(
        self, layers: Sequence[nn.Module], dropout: float = 0.0, added: bool = False
    ) -> None:
        super().__init__()
        expect_list(layers, "layers", nn.Module)
        expect(0 <= dropout < 1, "dropout", "a share from 0 to below 1", dropout)
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.Dropout(dropout)
        self.added = added

    def forward(
        self, states: Float[Tensor, "nodes dim"], graph: Graph
    ) -> Float[Tensor, "nodes out"]:
        """Return the states after the last layer; no ReLU follows it."""
        for k, layer in enumerate(self.layers):
            if k:
                states = states.relu()
            new = layer(self.dropout(states), graph)
            states = new + states if self.added and new.shape == states.shape else new
        return states


class Readout(nn.Module):
    """A network whose answer is about the graph, not about its nodes.

    Args:
        net: Called as ``net(states, graph)``.
        how: See :func:`readout`.
        in_features: Width of the states that ``net`` returns.
        out_features: How many numbers to say of a graph.
    """

    def __init__(self, net: nn.Module, how: How, in_features: int, out_features: int) -> None:
        super().__init__()
        if not isinstance(net, nn.Module):
            raise TypeError(f"net: expected a Module, got {type(net).__name__}")
        _expect_widths(in_features, out_features)
        expect(how in ("sum", "mean", "max"), "how", "'sum', 'mean' or 'max'", repr(how))
        self.net = net
        self.how = how
        self.say = nn.Linear(in_features, out_features)

    def forward(
        self, states: Float[Tensor, "nodes dim"], graph: Graph
    ) -> Float[Tensor, "graphs out"]:
        """Return one row for each graph of the batch."""
        seen = readout(self.net(states, graph).relu(), graph, self.how)
        return cast(Tensor, self.say(seen))


def _expect_widths(in_features: int, out_features: int) -> None:
    expect_int(in_features, "in_features", least=1)
    expect_int(out_features, "out_features", least=1)
