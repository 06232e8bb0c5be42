"""Chapters 7 to 9: classify the nodes of one graph."""

import itertools
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import (
    cross_entropy,
    one_hot,
)

from gatutils._checks import expect, expect_int, expect_tensor
from gatutils.graph import Graph
from gatutils.message_passing import (
    Aggr,
    GatedGraphConv,
    GCNConv,
    GINConv,
    SAGEConv,
    aggregate,
)
from gatutils.sparse import CSRMatrix
from gatutils.training import fit

LAYERS = {"GCN": GCNConv, "SAGE": SAGEConv, "GIN": GINConv}


def layers(kind: str, widths: Sequence[int], aggr: Aggr | None = None) -> list[nn.Module]:
    """Return layers from each width to the next.

    Args:
        kind: ``"GCN"``, ``"SAGE"`` or ``"GIN"``.
        widths: Widths of the features, of the hidden states and of the output.
        aggr: How SAGE or GIN aggregate, if not as by default; GCN has a fixed aggregation.
    """
    expect(kind in LAYERS, "kind", f"one of {', '.join(LAYERS)}", repr(kind))
    expect(aggr is None or kind != "GCN", "aggr", "None for GCN", repr(aggr))
    more = {} if aggr is None else {"aggr": aggr}
    return [LAYERS[kind](a, b, **more) for a, b in itertools.pairwise(widths)]


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
        seed: Seed of the randomness in training.
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
        Zhu and Ghahramani (2002), section 2.2.
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
