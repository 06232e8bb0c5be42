"""Chapter 12: a network that is trained on sampled neighbourhoods."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, elu

from gatutils._checks import expect, expect_int
from gatutils.book.experiments.nodes import features_and_labels
from gatutils.book.experiments.plan import Plan
from gatutils.book.tasks.graphs import planted_classes
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv
from gatutils.message_passing import GraphNet
from gatutils.training import fit, seed_everything


def sampled_net(features: int, classes: int, heads: int = 4) -> GraphNet:
    """Return two layers of GAT, the first with heads of width 8, and an ELU between them."""
    wide = 8 * heads
    return GraphNet([GATConv(features, 8, heads), GATConv(wide, classes)], 0.0, activation=elu)


def fit_sampled(
    net: nn.Module,
    graph: Graph,
    train: Int[Tensor, " nodes"],
    sizes: Sequence[int] | None,
    seed: int = 0,
    *,
    steps: int,
    batch: int,
    lr: float,
) -> float:
    """Train ``net`` to classify nodes, in mini-batches with sampled neighbours or on the whole.

    Args:
        net: Two layers, called as ``net(features, graph)`` and as ``net(states, blocks)``.
        graph: The graph, with features, labels and self-loops; these are kept in every block.
        train: The nodes whose labels enter the loss.
        sizes: See :meth:`~gatutils.graph.Graph.sample`; None for all training nodes and the whole
            graph at every step.
        seed: Seed of the batches and of their neighbours.
        steps: Number of steps.
        batch: Nodes per step; the last of an epoch may have fewer.
        lr: See :func:`~gatutils.training.fit`.

    Returns:
        How many edges the layers went along, on average of the steps.
    """
    expect_int(batch, "batch", least=1)
    features, labels = features_and_labels(graph)
    generator, edges = torch.Generator().manual_seed(seed), []

    def batches() -> Iterator[Tensor]:
        while True:
            yield from train[torch.randperm(len(train), generator=generator)].split(batch)

    def loss(model: nn.Module, nodes: Tensor) -> Tensor:
        if sizes is None:
            edges.append(2 * graph.num_edges)
            return cross_entropy(model(features, graph)[train], labels[train])
        blocks = graph.sample(nodes, sizes, generator, keep_self_loops=True)
        edges.append(sum(block.graph.num_edges for block in blocks))
        return cross_entropy(model(features[blocks[0].sources], blocks), labels[nodes])

    fit(net, batches(), loss, steps, lr=lr, seed=seed, progress=False)
    return sum(edges) / steps


@torch.no_grad()
def sampled_accuracy(
    net: nn.Module,
    graph: Graph,
    nodes: Int[Tensor, " nodes"],
    sizes: Sequence[int] | None,
    seed: int = 0,
    batch: int = 1000,
) -> float:
    """Return the share of nodes that are classified correctly.

    Args:
        net: See :func:`fit_sampled`; it is put into evaluation mode.
        graph: See :func:`fit_sampled`.
        nodes: The nodes to classify.
        sizes: See :func:`fit_sampled`.
        seed: Seed of the neighbours.
        batch: How many nodes are classified at a time, with ``sizes``.
    """
    features, labels = features_and_labels(graph)
    net.eval()
    if sizes is None:
        found = net(features, graph)[nodes].argmax(dim=1)
    else:
        generator, parts = torch.Generator().manual_seed(seed), []
        for some in nodes.split(batch):
            blocks = graph.sample(some, sizes, generator, keep_self_loops=True)
            parts.append(net(features[blocks[0].sources], blocks).argmax(dim=1))
        found = torch.cat(parts)
    return float((found == labels[nodes]).double().mean())


@dataclass(frozen=True, kw_only=True)
class SamplingPlan(Plan):
    """A network of chapter 12, trained with so many sampled neighbours per node.

    The scores are the accuracy on the test nodes, on the whole graph and on neighbours that are
    sampled as in training. The number of edges per step and the milliseconds per step (of this
    process, drawing the neighbours included) are stored too.

    Attributes:
        fan_out: How many neighbours each layer draws per node; -1 for all, None for training on
            the whole graph.
        edges: Whether there are any; without them, each node attends to itself alone.
        nodes: Size of the graph, which is drawn with the seed of the run.
        neighbours: See :func:`~gatutils.book.tasks.graphs.planted_classes`.
        every: See :func:`~gatutils.book.tasks.graphs.planted_classes`.
        train: How many nodes have labels in training; all others are the test.
        batch: See :func:`fit_sampled`.
        lr: See :func:`fit_sampled`.
    """

    fan_out: int | None
    edges: bool = True
    nodes: int = 20_000
    neighbours: int = 20
    every: int = 2
    train: int = 2000
    batch: int = 200
    steps: int = 150
    lr: float = 0.01

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network with one seed, and test it."""
        expect(self.train < self.nodes, "train", f"less than nodes ({self.nodes})", self.train)
        drawn = planted_classes(self.nodes, seed, neighbours=self.neighbours, every=self.every)
        graph = (drawn if self.edges else drawn.without_edges()).with_self_loops()
        features, _ = features_and_labels(graph)
        order = torch.randperm(self.nodes, generator=torch.Generator().manual_seed(seed))
        train, test = order[: self.train], order[self.train :]
        sizes = None if self.fan_out is None else [self.fan_out] * 2
        seed_everything(seed)
        net = sampled_net(features.shape[1], 8)
        start = time.process_time()
        edges = fit_sampled(
            net, graph, train, sizes, seed, steps=self.steps, batch=self.batch, lr=self.lr
        )
        took = time.process_time() - start
        return {
            "scores": [
                sampled_accuracy(net, graph, test, None),
                sampled_accuracy(net, graph, test, sizes, seed),
            ],
            "edges": round(edges),
            "milliseconds": round(1000 * took / self.steps, 1),
        }
