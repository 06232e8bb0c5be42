"""Chapters 7 to 10: classify the nodes of one graph."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import (
    cross_entropy,
    one_hot,
)

from gatutils._checks import expect, expect_int, expect_tensor
from gatutils.book.experiments.plan import Plan
from gatutils.book.tasks.graphs import scipy_api, split
from gatutils.graph import Graph
from gatutils.message_passing import (
    Aggr,
    GatedGraphConv,
    GCNConv,
    GINConv,
    GraphNet,
    SAGEConv,
    aggregate,
)
from gatutils.sparse import CSRMatrix
from gatutils.training import fit, seed_everything

LAYERS = {"GCN": GCNConv, "SAGE": SAGEConv, "GIN": GINConv}


def layers(layer: str, widths: Sequence[int], aggr: Aggr | None = None) -> list[nn.Module]:
    """Return layers from each width to the next.

    Args:
        layer: ``"GCN"``, ``"SAGE"`` or ``"GIN"``.
        widths: Widths of the features, of the hidden states and of the output.
        aggr: How SAGE or GIN aggregate, if not as by default; GCN has a fixed aggregation.
    """
    expect(layer in LAYERS, "layer", f"one of {', '.join(LAYERS)}", repr(layer))
    expect(aggr is None or layer != "GCN", "aggr", "None for GCN", repr(aggr))
    more = {} if aggr is None else {"aggr": aggr}
    return [LAYERS[layer](a, b, **more) for a, b in itertools.pairwise(widths)]


class Deep(nn.Module):
    """A linear layer, a gated layer applied repeatedly, and a linear layer.

    Args:
        in_features: Width of the features.
        width: Width of a state.
        out_features: Width of the output.
        rounds: How many times the gated layer is applied.
        dropout: Probability of dropout on the inputs of the linear layers.
    """

    def __init__(
        self, in_features: int, width: int, out_features: int, rounds: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        expect_int(rounds, "rounds", least=0)
        self.input_proj = nn.Linear(in_features, width)
        self.layer = GatedGraphConv(width)
        self.classifier = nn.Linear(width, out_features)
        self.dropout = nn.Dropout(dropout)
        self.rounds = rounds

    def forward(
        self, features: Float[Tensor, "nodes features"], graph: Graph
    ) -> Float[Tensor, "nodes out"]:
        """Return one row of logits per node."""
        states = self.input_proj(self.dropout(features)).relu()
        for _ in range(self.rounds):
            states = self.layer(states, graph)
        return cast(Tensor, self.classifier(self.dropout(states)))


def fit_nodes(
    net: nn.Module,
    graph: Graph,
    train: Bool[Tensor, " nodes"],
    seed: int = 0,
    *,
    steps: int = 200,
    lr: float = 0.01,
    weight_decay: float = 5e-4,
) -> None:
    """Train ``net`` to classify the nodes in ``train``, with the features and edges of all nodes.

    Args:
        net: Called as ``net(features, graph)``; its parameters are not reinitialised.
        graph: The graph, with features and labels.
        train: True at the nodes whose labels enter the loss.
        seed: Seed of dropout.
        steps: Number of steps, each on the whole graph.
        lr: See :func:`~gatutils.training.fit`.
        weight_decay: See :func:`~gatutils.training.fit`.
    """
    features, labels = features_and_labels(graph)

    def loss(model: nn.Module, _: object) -> Tensor:
        return cross_entropy(model(features, graph)[train], labels[train])

    fit(
        net,
        itertools.repeat(None),
        loss,
        steps,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
    )


def accuracy(net: nn.Module, graph: Graph, nodes: Bool[Tensor, " nodes"]) -> float:
    """Return the accuracy of ``net`` on ``nodes``; ``net`` is left in evaluation mode."""
    features, labels = features_and_labels(graph)
    return float((predicted(net, features, graph) == labels)[nodes].double().mean())


@dataclass(frozen=True, kw_only=True)
class NodePlan(Plan):
    """A model of chapters 7 to 10, which classifies the functions of SciPy.

    The split is drawn with the seed of the run. The scores are the accuracies on the test set and
    on the training set.

    Attributes:
        per_class: Number of labelled nodes per class; all other nodes form the test set.
        hidden: Width of the hidden states.
        dropout: Probability of dropout on the inputs of layers; attention layers also drop weights.
        lr: See :func:`~gatutils.training.fit`.
        weight_decay: See :func:`~gatutils.training.fit`.
    """

    per_class: int = 20
    hidden: int = 32
    dropout: float = 0.5
    steps: int = 200
    lr: float = 0.01
    weight_decay: float = 5e-4

    def fit_and_score(self, net: nn.Module, graph: Graph, seed: int) -> list[float]:
        """Train a network on the split drawn with the seed, and return its scores."""
        train, test = split(labels_of(graph), self.per_class, seed)
        fit_nodes(
            net,
            graph,
            train,
            seed,
            steps=self.steps,
            lr=self.lr,
            weight_decay=self.weight_decay,
        )
        return [accuracy(net, graph, nodes) for nodes in (test, train)]


@dataclass(frozen=True, kw_only=True)
class StackPlan(NodePlan):
    """A stack of layers. Without the graph's edges, a stack of GCN layers is an MLP.

    Attributes:
        layer: Name of the layers.
        aggr: Their aggregation, if not the default.
        layers: Number of layers.
        edges: Whether the layers use the graph's edges.
        residual: Whether the input of each hidden layer is added to its output.
        smoothing: How many times the features are aggregated beforehand; see :func:`smooth`.
    """

    layer: Literal["GCN", "SAGE", "GIN"] = "GCN"
    aggr: Aggr | None = None
    layers: int = 2
    edges: bool = True
    residual: bool = False
    smoothing: int = 0

    def run(self, seed: int) -> dict[str, Any]:
        """Train the stack with one seed, and test it."""
        graph = scipy_api().graph
        seed_everything(seed)
        if self.smoothing:
            graph = graph.with_features(smooth(graph, self.smoothing), graph.labels)
        if not self.edges:
            graph = graph.without_edges()
        inputs, classes = _widths(graph)
        widths = [inputs, *[self.hidden] * (self.layers - 1), classes]
        net = GraphNet(layers(self.layer, widths, self.aggr), self.dropout, self.residual)
        return {"scores": self.fit_and_score(net, graph, seed)}


@dataclass(frozen=True, kw_only=True)
class GatedNodePlan(NodePlan):
    """One gated layer, applied repeatedly; see :class:`Deep`.

    Attributes:
        rounds: How many times the layer is applied.
    """

    rounds: int

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network with one seed, and test it."""
        graph = scipy_api().graph
        seed_everything(seed)
        inputs, classes = _widths(graph)
        net = Deep(inputs, self.hidden, classes, self.rounds, self.dropout)
        return {"scores": self.fit_and_score(net, graph, seed)}


@dataclass(frozen=True, kw_only=True)
class LabelPropagationPlan(Plan):
    """Label propagation, which is not trained: its number of steps is ignored.

    Attributes:
        per_class: As in :class:`NodePlan`.
        rounds: See :func:`label_propagation`.
    """

    steps: int = 0
    per_class: int = 20
    rounds: int = 10

    def run(self, seed: int) -> dict[str, Any]:
        """Propagate the labels of the training set drawn with the seed."""
        graph = scipy_api().graph
        labels = labels_of(graph)
        train, test = split(labels, self.per_class, seed)
        right = label_propagation(graph, train, self.rounds).argmax(dim=1) == labels
        return {"scores": [float(right[nodes].double().mean()) for nodes in (test, train)]}


def _widths(graph: Graph) -> tuple[int, int]:
    """Return the width of the features and the number of classes."""
    features, labels = features_and_labels(graph)
    return features.shape[1], int(labels.max()) + 1


def label_propagation(
    graph: Graph, train: Bool[Tensor, " nodes"], rounds: int = 10
) -> Float[Tensor, "nodes classes"]:
    """Set every node to the mean of its neighbours' labels, repeatedly; nothing is learned.

    The nodes in ``train`` keep their own label, which must be 0 or more. The labels of the others
    are not used, so they may be missing (-1).

    Raises:
        TypeError: If ``train`` is not a bool tensor, or ``rounds`` is not an int.
        ValueError: If sizes do not match, there is no node, or a node in ``train`` has no label.

    Source:
        Zhu, Ghahramani and Lafferty (2003): the mean of the neighbours; Zhu and Ghahramani (2002)
        divide by the degree of the sender.
    """
    labels = labels_of(graph)
    expect(graph.num_nodes > 0, "graph", "one node or more", "none")
    expect_tensor(train, "train", "bool", ndim=1, exact=True)
    expect(len(train) == graph.num_nodes, "train", f"{graph.num_nodes}, one per node", len(train))
    expect_int(rounds, "rounds", least=0)
    missing = (train & (labels < 0)).nonzero().flatten().tolist()
    expect(not missing, "train", "nodes with a label of 0 or more", f"nodes {missing} without")
    known = one_hot(labels.clamp(min=0)).float() * train.unsqueeze(1)
    states = known
    for _ in range(rounds):
        states = torch.where(train.unsqueeze(1), known, aggregate(states, graph, "mean"))
    return states


def smooth(graph: Graph, rounds: int) -> Float[Tensor, "nodes dim"]:
    """Return the features after several rounds of GCN's aggregation, without weight matrices.

    Source:
        Wu et al. (2019), equation 8.
    """
    expect(graph.features is not None, "graph", "one with features", "one without")
    states = cast(Tensor, graph.features)
    for _ in range(rounds):
        states = aggregate(states, graph.with_self_loops(), "symmetric")
    return states


def features_and_labels(graph: Graph) -> tuple[Tensor, Tensor]:
    """Return a graph's features and labels, or raise ``ValueError`` if one is missing."""
    expect(graph.features is not None, "graph", "one with features", "one without")
    return cast(Tensor, graph.features), labels_of(graph)


def labels_of(graph: Graph) -> Tensor:
    """Return a graph's labels, or raise ``ValueError`` if there are none."""
    expect(graph.labels is not None, "graph", "one with labels", "one without")
    return cast(Tensor, graph.labels)


def predicted(net: nn.Module, features: Tensor | CSRMatrix, graph: Graph) -> Tensor:
    """Return the class that the network predicts for each node."""
    with torch.no_grad():
        return cast(Tensor, net.eval()(features, graph)).argmax(dim=1)
