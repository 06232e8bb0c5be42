"""Chapters 7 and 8: questions about small graphs, answered by a readout."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
)

from gatutils._checks import expect
from gatutils.book.experiments.batching import reshuffled
from gatutils.book.experiments.nodes import layers
from gatutils.book.tasks.graphs import QUESTIONS
from gatutils.graph import Graph
from gatutils.message_passing import (
    GraphNet,
    Pooling,
    Readout,
)
from gatutils.training import fit

YES_OR_NO = ("a node of degree four or more", "a triangle")
"""The questions whose answer is a class; the answer to the others is a number."""


def question_net(aggr: Pooling, read: Pooling, width: int = 32, depth: int = 2) -> Readout:
    """Return GIN layers that aggregate with ``aggr``, followed by a readout with ``read``."""
    net = GraphNet(layers("GIN", [1, *[width] * depth], aggr))
    return Readout(net, read, width, 1)


def fit_question(
    model: nn.Module,
    question: str,
    graphs: Sequence[Graph],
    seed: int = 0,
    *,
    steps: int = 600,
    size: int = 50,
    lr: float = 5e-3,
) -> None:
    """Train ``model`` to answer one question about each graph.

    Args:
        model: Called as ``model(features, batch)``; it returns one number per graph.
        question: A key of :data:`~gatutils.book.tasks.graphs.QUESTIONS`.
        graphs: The training set.
        seed: Seed of the order of the batches.
        steps: Number of batches.
        size: Number of graphs in a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    expect(len(graphs) > 0, "graphs", "one graph or more", "none")
    starts = range(0, len(graphs), size)
    made = [
        (Graph.from_graphs(g), _answers(question, g))
        for g in (graphs[k : k + size] for k in starts)
    ]

    def loss(model: nn.Module, batch: tuple[Graph, Tensor]) -> Tensor:
        graph, answers = batch
        said = model(graph.features, graph).squeeze(1)
        if question in YES_OR_NO:
            return binary_cross_entropy_with_logits(said, answers)
        return cast(Tensor, (said - answers).square().mean())

    fit(model, reshuffled(made, seed), loss, steps, lr=lr, seed=seed)


@torch.no_grad()
def grade(model: nn.Module, question: str, graphs: Sequence[Graph]) -> float:
    """Return the accuracy on a yes-or-no question, or the mean absolute error of a number."""
    batch, answers = Graph.from_graphs(graphs), _answers(question, graphs)
    said = model.eval()(batch.features, batch).squeeze(1)
    if question in YES_OR_NO:
        return float(((said > 0) == (answers > 0.5)).double().mean())
    return float((said - answers).abs().mean())


def _answers(question: str, graphs: Sequence[Graph]) -> Tensor:
    expect(question in QUESTIONS, "question", f"one of {', '.join(QUESTIONS)}", repr(question))
    return torch.tensor([QUESTIONS[question](graph) for graph in graphs])
