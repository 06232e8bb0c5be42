r"""Message passing: aggregate the neighbours' messages, combine with the node, read out.

.. math::

    c_i = \mathrm{aggregate}_{j \in \mathcal{N}(i)}\, \mathrm{message}(h_j)
    \qquad
    h_i' = \mathrm{combine}(h_i, c_i)

The layers differ only in these three choices. Each does work in proportion to the number of
edges, never to the number of pairs of nodes.

``torch.compile`` works with graph breaks (``fullgraph=True`` raises). ``torch.export`` works
without ``strict``, for a module that holds the graph: the edges are part of the exported program,
which raises ``RuntimeError`` where the layer would raise ``ValueError`` for NaN or infinity. A
layer that adds self-loops must have been called once with the graph before it is exported.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatutils._aggregate import Aggr, Pooling, aggregate, expect_pooling, readout
from gatutils._checks import expect, expect_int, expect_list, expect_tensor
from gatutils._layers import (
    Fill,
    Pair,
    States,
    add_self_loops,
    dropout,
    expect_edge_data,
    expect_features,
    expect_fill,
    expect_finite_states,
    expect_states,
    expect_width,
    linear,
    sources_and_targets,
)
from gatutils.graph import Graph
from gatutils.sampling import SampledBlock
from gatutils.sparse import CSRMatrix

__all__ = [
    "Aggr",
    "GCNConv",
    "GINConv",
    "GatedGraphConv",
    "GraphNet",
    "MessagePassing",
    "Pooling",
    "Readout",
    "SAGEConv",
    "aggregate",
    "readout",
]


class MessagePassing(nn.Module):
    """One message-passing layer, given by ``aggr``, :meth:`message` and :meth:`combine`.

    A message depends on its sender alone: not on the receiver, and on no edge features.

    Source:
        Gilmer et al. (2017), equations 1 and 2, where a message may depend on all three.
    """

    aggr: Aggr = "sum"

    def message(self, states: Float[Tensor, "num_nodes dim"]) -> Float[Tensor, "num_nodes sent"]:
        """Return what each node sends along its outgoing edges; by default its state."""
        return states

    def combine(
        self, states: Float[Tensor, "num_nodes dim"], received: Float[Tensor, "num_nodes sent"]
    ) -> Float[Tensor, "num_nodes out"]:
        """Return the new states, given the old ones and the aggregated messages."""
        raise NotImplementedError

    def forward(
        self, states: Tensor | tuple[Tensor, Tensor], graph: Graph | SampledBlock[Graph]
    ) -> Float[Tensor, "num_nodes out"]:
        """Pass messages once along the edges of ``graph``.

        Args:
            states: Shape (num_nodes, dim). For a bipartite graph, a pair: the states of the
                sources, (num_sources, dim), which are sent, and those of the targets,
                (num_nodes, dim), with which they are combined. For a block, the states of its
                sources, of which its targets are the first.
            graph: Which nodes receive from which: a graph, or a block of
                :meth:`~gatutils.graph.Graph.sample`.

        Raises:
            TypeError: If ``states`` is not a float tensor, or of another dtype than the weights.
            ValueError: If sizes do not match, or a number is NaN or infinite.
        """
        source, target, edges = sources_and_targets(states, graph)
        received = aggregate(self.message(source), edges, self.aggr)
        if target is not source:
            expect_finite_states(target)
        return self.combine(target, received)


class GCNConv(MessagePassing):
    r"""Graph convolution: a degree-weighted sum over the neighbours *and the node itself*.

    .. math:: h_i' = b + \sum_{j \in \mathcal{N}(i) \cup \{i\}} \frac{W h_j}{\sqrt{d_i d_j}}

    :math:`d_i` counts the edges leading to i, its self-loop included. The coefficients
    :math:`1 / \sqrt{d_i d_j}` of a node sum to 1 if all its neighbours have its own degree; in
    general they do not. With weights :math:`w_{ij}` at the edges, each term is multiplied by its
    weight, and the degrees are sums of weights.

    Args:
        in_features: Width of a state.
        out_features: Width of a new state.
        add_self_loops: Give each node exactly one self-loop, as the formula says, whether or not
            the graph has it already (:meth:`~gatutils.graph.Graph.with_self_loops`). With False
            the edges of the graph are taken as they are.
        fill_value: The weight of an added self-loop, where edge weights are given: a number, or
            ``"mean"`` for the mean over the node's other incoming edges (0 if there are none). A
            self-loop that the graph has keeps its weight.

    Source:
        Kipf and Welling (2017), equation 2.
    """

    aggr: Aggr = "symmetric"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        add_self_loops: bool = True,
        fill_value: Fill = 1.0,
    ) -> None:
        super().__init__()
        expect_features(in_features, out_features)
        expect_fill(fill_value)
        self.add_self_loops, self.fill_value = add_self_loops, fill_value
        self.W = nn.Linear(in_features, out_features, bias=False)
        self.b = nn.Parameter(torch.zeros(out_features))

    def message(self, states: States) -> Tensor:
        """Return :math:`W h_j`; multiplying before the sum is cheaper where W reduces the width."""
        expect_width(states, self.W.weight)
        return linear(states, self.W.weight)

    def combine(self, states: States, received: Tensor) -> Tensor:
        """Add the bias; the node's own message is among those received."""
        return received + self.b

    def forward(
        self,
        states: States | Pair,
        graph: Graph | SampledBlock[Graph],
        edge_weight: Float[Tensor, " num_edges"] | None = None,
    ) -> Float[Tensor, "num_nodes out"]:
        """Pass messages once; with ``add_self_loops``, each node has one self-loop.

        Args:
            states: Shape (num_nodes, in_features); a :class:`~gatutils.sparse.CSRMatrix` is
                accepted.
            graph: Which nodes receive from which.
            edge_weight: Shape (num_edges,), in the order of ``graph.source`` and ``graph.target``;
                see :func:`aggregate`.

        Raises:
            TypeError: If ``states`` is not a float tensor, or of another dtype than the weights.
            ValueError: If sizes do not match, a number is NaN or infinite, or the graph is
                bipartite or a block: a source of such a graph has no degree.
        """
        degrees = "since GCN uses degrees"
        if isinstance(graph, SampledBlock):
            raise ValueError(f"graph: expected a graph of all nodes, {degrees}, got a block")
        if isinstance(states, tuple):
            raise ValueError(f"states: expected one set of states, {degrees}, got a pair")
        expect_states(states, graph, sparse=True)
        if edge_weight is not None:
            expect_edge_data(edge_weight, "edge_weight", graph, 1, self.W.weight)
        if self.add_self_loops:
            graph, edge_weight = add_self_loops(graph, edge_weight, self.fill_value, keep=True)
        received = aggregate(self.message(states), graph, self.aggr, edge_weight)
        return self.combine(states, received)


class SAGEConv(MessagePassing):
    r"""GraphSAGE: separate weights for the node and for its neighbours.

    .. math:: h_i' = W h_i + U c_i + b

    Args:
        in_features: Width of a state.
        out_features: Width of a new state.
        aggr: How :math:`c_i` is aggregated: ``"mean"``, ``"max"`` or ``"sum"``.

    Source:
        Hamilton et al. (2017), algorithm 1, where :math:`[W \; U]` is one matrix applied to the
        concatenation :math:`[h_i \Vert c_i]`. The nonlinearity is left to the network, and the new
        states are not normalised to length 1.
    """

    def __init__(self, in_features: int, out_features: int, aggr: Pooling = "mean") -> None:
        super().__init__()
        expect_features(in_features, out_features)
        expect_pooling(aggr)
        self.aggr = aggr
        self.W = nn.Linear(in_features, out_features, bias=False)
        self.U = nn.Linear(in_features, out_features)

    def combine(self, states: Tensor, received: Tensor) -> Tensor:
        """Return :math:`W h_i + U c_i + b`."""
        expect_width(states, self.W.weight)
        expect_width(received, self.U.weight)  # that of the sources, which may be other nodes
        out: Tensor = self.W(states) + self.U(received)
        return out


class GINConv(MessagePassing):
    r"""Graph isomorphism network: a sum, followed by a multilayer perceptron.

    .. math:: h_i' = \mathrm{MLP}\left((1 + \varepsilon) h_i + c_i\right)

    Unlike a mean, a sum distinguishes neighbourhoods that differ only in size.

    Args:
        in_features: Width of a state.
        out_features: Width of a new state, and of the hidden layer.
        aggr: ``"sum"``, or another for comparison.

    Source:
        Xu et al. (2019), equation 4.1; :math:`\varepsilon` is learned and starts at 0.
    """

    def __init__(self, in_features: int, out_features: int, aggr: Pooling = "sum") -> None:
        super().__init__()
        expect_features(in_features, out_features)
        expect_pooling(aggr)
        self.aggr = aggr
        self.eps = nn.Parameter(torch.zeros(1))
        self.mlp = nn.Sequential(
            nn.Linear(in_features, out_features),
            nn.ReLU(),
            nn.Linear(out_features, out_features),
        )

    def combine(self, states: Tensor, received: Tensor) -> Tensor:
        """Return the MLP of the weighted node plus what it received."""
        expect_width(states, self.mlp.get_parameter("0.weight"))
        expect_width(received, self.mlp.get_parameter("0.weight"))
        out: Tensor = self.mlp((1 + self.eps) * states + received)
        return out


class GatedGraphConv(nn.Module):
    r"""Gated graph layer: combine is a GRU, whose gates decide what a node keeps and overwrites.

    .. math::

        c_i = \sum_{t} \sum_{j \in \mathcal{N}_t(i)} W_t h_j \qquad h_i' = \mathrm{GRU}(c_i, h_i)

    with one matrix per edge type t. One call is one round of message passing; the same layer is
    called again for the next. (PyTorch Geometric's layer of this name does all its rounds in one
    call, with a matrix for each.)

    Args:
        dim: Width of a state; a GRU does not change it.
        num_edge_types: How many types of edges there are.

    Source:
        Li et al. (2016), section 3.2.
    """

    def __init__(self, dim: int, num_edge_types: int = 1) -> None:
        super().__init__()
        expect_int(dim, "dim", least=1)
        expect_int(num_edge_types, "num_edge_types", least=1)
        self.W = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(num_edge_types))
        self.gru = nn.GRUCell(dim, dim)

    def forward(
        self, states: Float[Tensor, "num_nodes dim"], graph: Graph | Sequence[Graph]
    ) -> Float[Tensor, "num_nodes dim"]:
        """Pass messages once.

        Args:
            states: Shape (num_nodes, dim).
            graph: The edges; with several edge types, one graph over the same nodes per type.

        Raises:
            TypeError: If ``states`` is not a float tensor, or of another dtype than the weights.
            ValueError: If the number of graphs is not the number of edge types, sizes do not
                match, or a number is NaN or infinite.
        """
        graphs = [graph] if isinstance(graph, Graph) else graph
        expect_list(graphs, "graph", Graph)
        expect(len(graphs) == len(self.W), "graph", f"{len(self.W)} edge types", len(graphs))
        for edges in graphs:
            expect_states(states, edges)
        expect_width(states, self.gru.weight_hh)
        received = torch.zeros_like(states)
        for W, edges in zip(self.W, graphs, strict=True):
            received = received + aggregate(W(states), edges)
        out: Tensor = self.gru(received, states)
        return out


class GraphNet(nn.Module):
    """Layers one after another, with a nonlinearity between them.

    Args:
        layers: Each is called as ``layer(states, graph)``, or with a block in place of the graph.
        dropout: Probability of setting an input of a layer to zero in training. A graph attention
            layer has a dropout of its own, which acts on its attention weights only.
        residual: Add the input of a layer to its output wherever both have the same width
            (He et al. 2016).
        activation: The nonlinearity between the layers.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        dropout: float = 0.0,
        residual: bool = False,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ) -> None:
        super().__init__()
        expect_list(layers, "layers", nn.Module)
        expect(0 <= dropout < 1, "dropout", "a probability from 0 to below 1", dropout)
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout
        self.residual = residual
        self.activation = activation

    def forward(
        self, states: States, graph: Graph | Sequence[SampledBlock[Graph]]
    ) -> Float[Tensor, "num_nodes out"]:
        """Return the states after the last layer; no nonlinearity follows it.

        Args:
            states: One row per node of the graph, or per source of the first block.
            graph: The graph; or the blocks of :meth:`~gatutils.graph.Graph.sample`, one per layer.
                With blocks, the result has one row per target of the last one, and each layer is
                called with a block in place of the graph.

        Raises:
            TypeError: If ``graph`` is neither, or the states are neither a float tensor nor a
                :class:`~gatutils.sparse.CSRMatrix`.
            ValueError: If there are more or fewer blocks than layers, or a layer raises it.
        """
        blocks = None if isinstance(graph, Graph) else graph
        if blocks is not None:
            expect_list(blocks, "graph", SampledBlock)
            expect(len(blocks) == len(self.layers), "graph", "one block per layer", len(blocks))
            if not isinstance(states, CSRMatrix):
                expect_tensor(states, "states", "float", ndim=2, exact=True)
        for k, layer in enumerate(self.layers):
            edges = graph if blocks is None else blocks[k]
            given = self.activation(states) if k and isinstance(states, Tensor) else states
            into = dropout(given, self.dropout, self.training)
            new: Tensor = layer(into, edges)
            if self.residual and isinstance(given, Tensor):
                # The targets of a block are the first of its sources.
                old = given if blocks is None else given[: len(new)]
                new = new + old if new.shape == old.shape else new
            states = new
        if not isinstance(states, Tensor):
            raise ValueError("layers: expected one layer or more for sparse states, got none")
        return states


class Readout(nn.Module):
    """A graph-level network: node states, a ReLU, a readout over each graph, a linear classifier.

    Args:
        net: Called as ``net(states, graph)``.
        aggr: ``"sum"``, ``"mean"`` or ``"max"``; see :func:`readout`.
        in_features: Width of the states that ``net`` returns.
        out_features: Number of outputs per graph.
    """

    def __init__(self, net: nn.Module, aggr: Pooling, in_features: int, out_features: int) -> None:
        super().__init__()
        if not isinstance(net, nn.Module):
            raise TypeError(f"net: expected a Module, got {type(net).__name__}")
        expect_features(in_features, out_features)
        expect_pooling(aggr)
        self.net = net
        self.aggr = aggr
        self.classifier = nn.Linear(in_features, out_features)

    def forward(
        self, states: Float[Tensor, "num_nodes dim"], graph: Graph
    ) -> Float[Tensor, "num_graphs out"]:
        """Return one row per graph of the batch."""
        summary = readout(self.net(states, graph).relu(), graph, self.aggr)
        out: Tensor = self.classifier(summary)
        return out
