"""Chapters 10 and 11: which layers find the witnesses whom a node can trust."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gatutils._checks import expect, expect_int
from gatutils.book.experiments.nodes import accuracy, features_and_labels, labels_of
from gatutils.book.experiments.plan import Plan
from gatutils.book.tasks.witnesses import ANSWERS, witnesses, witnesses_by_kind
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv
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


def with_one_matrix(layer: GATv2Conv) -> GATv2Conv:
    """Let the queries and the keys of a layer share a matrix, as the authors' code may."""
    layer.U = layer.W
    return layer


def kind_net(
    layer: str, kinds: int, heads: int = 1, before: bool = False, after: bool = False
) -> GraphNet:
    """Return a network of width 32 for :func:`~gatutils.book.tasks.witnesses.witnesses_by_kind`.

    It has one graph layer, a ReLU, and a linear layer that predicts the answer.

    Args:
        layer: ``"GCN"``, ``"GAT"``, ``"GATv2"`` or ``"GATv2-shared"`` (W = U, one matrix for
            queries and keys).
        kinds: Number of kinds.
        heads: Number of attention heads, whose width is 32 together.
        before: Whether a linear layer at each node and a ReLU precede the graph layer.
        after: Whether another linear layer and a ReLU follow it.
    """
    features, width = ANSWERS + 2 * kinds, 32
    expect_int(heads, "heads", least=1)
    expect(width % heads == 0, "heads", f"a divisor of {width}", heads)
    given = width if before else features
    made: dict[str, Callable[[], nn.Module]] = {
        "GCN": lambda: GCNConv(given, width, add_self_loops=False),  # the graph has them
        "GAT": lambda: GATConv(given, width // heads, heads),
        "GATv2": lambda: GATv2Conv(given, width // heads, heads),
        "GATv2-shared": lambda: with_one_matrix(GATv2Conv(given, width // heads, heads)),
    }
    expect(layer in made, "layer", f"one of {', '.join(made)}", repr(layer))
    layers: list[nn.Module] = [_NodeLinear(features, width)] if before else []
    layers += [made[layer]()]
    layers += [_NodeLinear(width, width)] if after else []
    return GraphNet([*layers, _NodeLinear(width, ANSWERS)])


def fit_by_kind(
    net: nn.Module,
    kinds: int,
    seed: int = 0,
    *,
    steps: int = 600,
    batch_size: int = 256,
    lr: float = 5e-3,
) -> None:
    """Train ``net`` on fresh draws of :func:`~gatutils.book.tasks.witnesses.witnesses_by_kind`.

    Args:
        net: Called as ``net(features, graph)``.
        kinds: Number of kinds.
        seed: Seed of the draws.
        steps: Number of batches.
        batch_size: Number of target nodes in a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    generator = torch.Generator().manual_seed(seed)
    stream = (witnesses_by_kind(batch_size, kinds, generator) for _ in iter(int, 1))
    fit(net, stream, answer_loss, steps, lr=lr, seed=seed)


@dataclass(frozen=True, kw_only=True)
class KindPlan(Plan):
    """A network of :func:`kind_net`; its score is the accuracy on one large test set.

    The number of parameters is stored too.

    Attributes:
        layer: See :func:`kind_net`.
        kinds: See :func:`kind_net`.
        heads: See :func:`kind_net`.
        before: See :func:`kind_net`.
        after: See :func:`kind_net`.
        batch_size: Number of target nodes in a batch.
        lr: See :func:`~gatutils.training.fit`.
        test_count: Number of target nodes in the test set.
        test_seed: Seed of the test set.
    """

    layer: Literal["GCN", "GAT", "GATv2", "GATv2-shared"]
    kinds: int
    heads: int = 1
    before: bool = False
    after: bool = False
    steps: int = 600
    batch_size: int = 256
    lr: float = 5e-3
    test_count: int = 5000
    test_seed: int = 10**6

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network on fresh draws, and test it."""
        generator = torch.Generator().manual_seed(self.test_seed)
        test = witnesses_by_kind(self.test_count, self.kinds, generator)
        seed_everything(seed)
        net = kind_net(self.layer, self.kinds, self.heads, self.before, self.after)
        settings: dict[str, Any] = {
            "steps": self.steps,
            "batch_size": self.batch_size,
            "lr": self.lr,
        }
        fit_by_kind(net, self.kinds, seed, **settings)
        return {
            "scores": [witness_accuracy(net, test)],
            "parameters": sum(p.numel() for p in net.parameters()),
        }


def best_by_kind(graph: Graph, kinds: int) -> float:
    """Return the accuracy of the majority vote of the reliable witnesses, without training.

    No rule is more accurate on average: the other witnesses' answers are independent of the right
    one, and the reliable ones are interchangeable. Ties count fractionally, also where nobody is
    reliable.

    Args:
        graph: A graph of :func:`~gatutils.book.tasks.witnesses.witnesses_by_kind`.
        kinds: Number of kinds.
    """
    features, labels = features_and_labels(graph)
    named, mark, kind = features.split([ANSWERS, kinds, kinds], dim=1)
    reliable = (mark[graph.source] * kind[graph.target]).sum(dim=1)
    votes = torch.zeros(graph.num_nodes, ANSWERS)
    votes.index_add_(0, graph.target, named[graph.source] * reliable[:, None])
    return _plurality(votes[labels >= 0], labels[labels >= 0])


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
    return _plurality(aggregate(votes, graph)[labels >= 0], labels[labels >= 0])


def _plurality(votes: Tensor, right: Tensor) -> float:
    """Return how often the answer with the most votes is right; ties count fractionally."""
    most = votes == votes.amax(dim=1, keepdim=True)
    return float((most.double() / most.sum(dim=1, keepdim=True))[range(len(right)), right].mean())
