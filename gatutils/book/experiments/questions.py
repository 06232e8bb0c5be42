"""Chapters 7 and 8: questions about small graphs, answered by a readout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gatutils._checks import expect
from gatutils.book.experiments.batching import reshuffled
from gatutils.book.experiments.nodes import layers
from gatutils.book.experiments.plan import Plan
from gatutils.book.tasks.graphs import QUESTIONS, atlas_split, random_graphs
from gatutils.graph import Graph
from gatutils.message_passing import (
    GraphNet,
    Pooling,
    Readout,
)
from gatutils.training import fit, seed_everything

YES_OR_NO = ("a node of degree four or more", "a triangle")
"""The questions whose answer is a class; the answer to the others is a number."""


def question_net(aggr: Pooling, readout: Pooling, width: int = 32, depth: int = 2) -> Readout:
    """Return GIN layers that aggregate with ``aggr``, followed by a readout."""
    net = GraphNet(layers("GIN", [1, *[width] * depth], aggr))
    return Readout(net, readout, width, 1)


def fit_question(
    model: nn.Module,
    question: str,
    graphs: Sequence[Graph],
    seed: int = 0,
    *,
    steps: int = 600,
    batch_size: int = 50,
    lr: float = 5e-3,
) -> None:
    """Train ``model`` to answer one question about each graph.

    Args:
        model: Called as ``model(features, batch)``; it returns one number per graph.
        question: A key of :data:`~gatutils.book.tasks.graphs.QUESTIONS`.
        graphs: The training set.
        seed: Seed of the order of the batches.
        steps: Number of batches.
        batch_size: Number of graphs in a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    expect(len(graphs) > 0, "graphs", "one graph or more", "none")
    starts = range(0, len(graphs), batch_size)
    made = [
        (Graph.from_graphs(g), _answers(question, g))
        for g in (graphs[k : k + batch_size] for k in starts)
    ]

    def loss(model: nn.Module, batch: tuple[Graph, Tensor]) -> Tensor:
        graph, answers = batch
        predicted = model(graph.features, graph).squeeze(1)
        if question in YES_OR_NO:
            return binary_cross_entropy_with_logits(predicted, answers)
        return cast(Tensor, (predicted - answers).square().mean())

    fit(model, reshuffled(made, seed), loss, steps, lr=lr, seed=seed)


@torch.no_grad()
def grade(model: nn.Module, question: str, graphs: Sequence[Graph]) -> float:
    """Return the accuracy on a yes-or-no question, or the mean absolute error of a number."""
    batch, answers = Graph.from_graphs(graphs), _answers(question, graphs)
    predicted = model.eval()(batch.features, batch).squeeze(1)
    if question in YES_OR_NO:
        return float(((predicted > 0) == (answers > 0.5)).double().mean())
    return float((predicted - answers).abs().mean())


@dataclass(frozen=True, kw_only=True)
class QuestionPlan(Plan):
    """A network that answers one question about small graphs; see :func:`question_net`.

    The scores are its grades on the graphs of the atlas that it was not trained on, and on larger
    random graphs; see :func:`grade`.

    Attributes:
        question: A key of :data:`~gatutils.book.tasks.graphs.QUESTIONS`.
        aggr: See :func:`question_net`.
        readout: See :func:`question_net`.
        width: See :func:`question_net`.
        layers: Number of layers.
        train_count: Number of training graphs.
        batch_size: Number of graphs in a batch.
        large_count: Number of larger graphs.
        large_nodes: The smallest and the largest number of their nodes.
    """

    question: str
    aggr: Pooling = "sum"
    readout: Pooling = "sum"
    width: int = 32
    layers: int = 2
    steps: int = 600
    train_count: int = 1000
    batch_size: int = 50
    large_count: int = 200
    large_nodes: tuple[int, int] = (15, 40)

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network on a split drawn with the seed, and test it."""
        train, unseen = atlas_split(seed, self.train_count)
        seed_everything(seed)
        model = question_net(self.aggr, self.readout, self.width, self.layers)
        fit_question(
            model, self.question, train, seed, steps=self.steps, batch_size=self.batch_size
        )
        large = random_graphs(self.large_count, seed, *self.large_nodes)
        return {"scores": [grade(model, self.question, graphs) for graphs in (unseen, large)]}


def _answers(question: str, graphs: Sequence[Graph]) -> Tensor:
    expect(question in QUESTIONS, "question", f"one of {', '.join(QUESTIONS)}", repr(question))
    return torch.tensor([QUESTIONS[question](graph) for graph in graphs])
