"""Chapter 10: which layers distinguish witnesses who saw the event from those who guess."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gatutils._checks import expect
from gatutils.book.experiments.nodes import accuracy, features_and_labels, labels_of
from gatutils.book.experiments.plan import Plan
from gatutils.book.tasks.witnesses import ANSWERS, witnesses
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv
from gatutils.message_passing import (
    GCNConv,
    GraphNet,
    aggregate,
)
from gatutils.training import fit, seed_everything

LAYERS = {"GAT": GATConv, "GCN": GCNConv}


def witness_net(layer: str, mlp: bool = False) -> GraphNet:
    """Return a network that predicts the right answer from those that the witnesses name.

    Args:
        layer: ``"GAT"`` or ``"GCN"``, of which there is one.
        mlp: Whether a linear layer at each node and a ReLU precede it.
    """
    expect(layer in LAYERS, "layer", f"one of {', '.join(LAYERS)}", repr(layer))
    if mlp:
        return GraphNet([_NodeLinear(ANSWERS + 1, 16), LAYERS[layer](16, ANSWERS)])
    return GraphNet([LAYERS[layer](ANSWERS + 1, ANSWERS)])


@dataclass(frozen=True, kw_only=True)
class WitnessPlan(Plan):
    """A network of :func:`witness_net`; its score is the accuracy on one large test set.

    Attributes:
        layer: See :func:`witness_net`.
        mlp: See :func:`witness_net`.
        guessing: How many witnesses of each target node guess.
        batch_size: Number of target nodes in a batch.
        lr: See :func:`~gatutils.training.fit`.
        test_count: Number of target nodes in the test set.
        test_seed: Seed of the test set.
    """

    layer: Literal["GAT", "GCN"]
    mlp: bool = False
    guessing: int
    steps: int = 300
    batch_size: int = 200
    lr: float = 0.05
    test_count: int = 5000
    test_seed: int = 10**6

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network on fresh draws, and test it."""
        generator = torch.Generator().manual_seed(self.test_seed)
        test = witnesses(self.test_count, self.guessing, generator)
        seed_everything(seed)
        net = witness_net(self.layer, self.mlp)
        fit_witnesses(
            net,
            self.guessing,
            seed,
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
        )
        return {"scores": [witness_accuracy(net, test)]}


class _NodeLinear(nn.Linear):
    """A linear layer with a graph layer's interface, applied to each node independently."""

    def forward(self, states: Tensor, _: Graph) -> Tensor:  # type: ignore[override]
        return super().forward(states)


def fit_witnesses(
    net: nn.Module,
    guessing: int,
    seed: int = 0,
    *,
    steps: int = 300,
    batch_size: int = 200,
    lr: float = 0.05,
) -> None:
    """Train ``net`` on fresh draws of :func:`~gatutils.book.tasks.witnesses.witnesses`.

    Args:
        net: Called as ``net(features, graph)``.
        guessing: How many witnesses of each target node guess.
        seed: Seed of the draws.
        steps: Number of batches.
        batch_size: Number of target nodes in a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    generator = torch.Generator().manual_seed(seed)
    stream = (witnesses(batch_size, guessing, generator) for _ in iter(int, 1))
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
