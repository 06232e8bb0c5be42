"""Chapter 10: which layers distinguish witnesses who saw the event from those who guess."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    cross_entropy,
)

from gatutils._checks import expect
from gatutils.book.experiments.nodes import accuracy, features_and_labels, labels_of
from gatutils.book.tasks.witnesses import ANSWERS, witnesses
from gatutils.graph import Graph
from gatutils.graph_attention import (
    GATConv,
)
from gatutils.message_passing import (
    GCNConv,
    GraphNet,
    aggregate,
)
from gatutils.training import fit


def witness_net(kind: str) -> GraphNet:
    """Return a network that predicts the right answer from those that the witnesses name.

    Args:
        kind: ``"GAT"`` or ``"GCN"``, one layer each; ``"MLP, GCN"``, a linear layer at each node
            and a ReLU, then a GCN layer.
    """
    made: dict[str, Callable[[], list[nn.Module]]] = {
        "GAT": lambda: [GATConv(ANSWERS + 1, ANSWERS)],
        "GCN": lambda: [GCNConv(ANSWERS + 1, ANSWERS)],
        "MLP, GCN": lambda: [_Alone(ANSWERS + 1, 16), GCNConv(16, ANSWERS)],
    }
    expect(kind in made, "kind", f"one of {', '.join(made)}", repr(kind))
    return GraphNet(made[kind]())


class _Alone(nn.Linear):
    """A linear layer with a graph layer's interface, applied to each node independently."""

    def forward(self, states: Tensor, _: Graph) -> Tensor:  # type: ignore[override]
        return super().forward(states)


def fit_witnesses(
    net: nn.Module,
    guessing: int,
    seed: int = 0,
    *,
    steps: int = 300,
    size: int = 200,
    lr: float = 0.05,
) -> None:
    """Train ``net`` on fresh draws of :func:`~gatutils.book.tasks.witnesses.witnesses`.

    Args:
        net: Called as ``net(features, graph)``.
        guessing: How many witnesses of each target node guess.
        seed: Seed of the draws.
        steps: Number of batches.
        size: Number of target nodes in a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    generator = torch.Generator().manual_seed(seed)
    stream = (witnesses(size, guessing, generator) for _ in iter(int, 1))
    fit(net, stream, answer_loss, steps, lr=lr, seed=seed)


def answer_loss(model: nn.Module, graph: Graph) -> Tensor:
    """Return the cross-entropy at the labelled nodes; the others have the label -1."""
    features, labels = features_and_labels(graph)
    return cross_entropy(model(features, graph), labels, ignore_index=-1)


def witness_accuracy(net: nn.Module, graph: Graph) -> float:
    """Return the accuracy on the labelled nodes."""
    return accuracy(net, graph, labels_of(graph) >= 0)


def counted(graph: Graph, marks: bool) -> float:
    """Return the accuracy of the majority vote, without training; ties count fractionally.

    Args:
        graph: A graph of :func:`~gatutils.book.tasks.witnesses.witnesses`.
        marks: Exclude the witnesses marked as guessing. No rule is more accurate than this one.
            Without the marks, none is more accurate than counting all witnesses equally, since
            those who saw the event are interchangeable and each names the right answer most often.
    """
    features, labels = features_and_labels(graph)
    votes = features[:, :ANSWERS]
    if marks:
        votes = votes * (1 - features[:, ANSWERS:])
    votes, right = aggregate(votes, graph)[labels >= 0], labels[labels >= 0]
    most = votes == votes.amax(dim=1, keepdim=True)
    return float((most.double() / most.sum(dim=1, keepdim=True))[range(len(right)), right].mean())
