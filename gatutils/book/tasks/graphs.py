"""Graphs that come with this package or networkx: SciPy's API, the karate club, the graph atlas."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx
import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gatutils._checks import (
    expect,
    expect_int,
    expect_tensor,
)
from gatutils.graph import Graph
from gatutils.interop import from_networkx


@dataclass(frozen=True)
class Citations:
    """A graph of things that refer to each other, each described by a few words.

    Attributes:
        graph: Two edges per reference, one in each direction. The label is the index of a class;
            the features are the relative frequencies of the words that describe a node.
        names: The names of the nodes.
        classes: The names of the classes.
        words: The words that the columns of the features count.
    """

    graph: Graph
    names: tuple[str, ...] = field(repr=False)  # too many for a readable repr
    classes: tuple[str, ...]
    words: tuple[str, ...] = field(repr=False)


def scipy_api() -> Citations:
    """Return the functions and classes of SciPy 1.17.1, labelled by subpackage.

    Two of them are connected if the documentation of one refers to the other (See Also, ``:func:``,
    ``:class:``) or its source uses the other. The words are those of the one-line summaries,
    without the names of subpackages. Each row of features sums to 1, except for the few nodes
    without any word, whose rows are zero.

    Source:
        SciPy 1.17.1, Copyright (c) 2001-2002 Enthought, Inc. 2003, SciPy Developers, under the
        BSD 3-Clause License, which is included in the file. ``book/scipy_api.py`` creates the file
        and documents what is extracted.
    """
    with np.load(Path(__file__).with_name("scipy_api.npz"), allow_pickle=False) as file:
        names, classes, words = (tuple(file[key].tolist()) for key in ("names", "classes", "words"))
        labels, edges, counts = (
            torch.from_numpy(file[key].astype(np.int64)) for key in ("labels", "edges", "counts")
        )
    features = torch.zeros(len(names), len(words))
    node, word, count = counts.T
    features[node, word] = count.float()
    features /= features.sum(dim=1, keepdim=True).clamp(min=1)
    one, other = edges.T
    ends = torch.cat([one, other]), torch.cat([other, one])
    return Citations(Graph(len(names), *ends, features, labels), names, classes, words)


def split(
    labels: Int[Tensor, " nodes"], per_class: int, seed: int
) -> tuple[Bool[Tensor, " nodes"], Bool[Tensor, " nodes"]]:
    """Draw the nodes of the training set; all others form the test set.

    Args:
        labels: The index of each node's class, shape (num_nodes,).
        per_class: How many nodes to draw from each class.
        seed: The same seed gives the same nodes.

    Returns:
        Two masks, ``train`` and ``test``; each node is in exactly one of them.

    Raises:
        TypeError: If ``labels`` is not an integer tensor, or ``per_class`` or ``seed`` is not an
            int.
        ValueError: If ``labels`` does not have one axis, ``per_class`` is below 1, or a class has
            no more than ``per_class`` nodes, which would leave none for the test set.
    """
    expect_tensor(labels, "labels", "int", ndim=1, exact=True)
    expect_int(per_class, "per_class", least=1)
    expect_int(seed, "seed")
    train = torch.zeros(len(labels), dtype=torch.bool)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    for label in labels.unique().tolist():
        members = order[labels[order] == label]
        wanted = f"more than {per_class} nodes of class {label}"
        expect(len(members) > per_class, "labels", wanted, len(members))
        train[members[:per_class]] = True
    return train, ~train


def karate() -> Graph:
    """Return the friendships in a karate club of 34 members, which later split in two.

    The label is the club that a member joined: 0 the instructor's, 1 the officers'. There are no
    features.

    Source:
        Zachary (1977), An Information Flow Model for Conflict and Fission in Small Groups; the
        data come with networkx.
    """
    club = nx.karate_club_graph()
    labels = torch.tensor([int(went == "Officer") for _, went in club.nodes(data="club")])
    return from_networkx(club, labels=labels)


def planted_classes(
    nodes: int, seed: int, classes: int = 8, neighbours: int = 10, every: int = 2
) -> Graph:
    """Draw a graph of any size whose classes can be learnt from the features and the edges.

    Each node has ``neighbours`` incoming edges. Every second one (or third, and so on) comes from a
    node of its own class, the others from any node. Its 32 features are standard normal, with 1
    added to the one whose index is the class.

    Raises:
        TypeError: If an argument is not an int.
        ValueError: If there are fewer than twice as many nodes as classes, not 1 to 32 classes, or
            ``every`` does not divide ``neighbours``.
    """
    expect_int(classes, "classes", least=1)
    expect(classes <= 32, "classes", "at most 32", classes)
    expect_int(nodes, "nodes", least=2 * classes)
    expect_int(seed, "seed")
    expect_int(neighbours, "neighbours", least=1)
    expect_int(every, "every", least=1)
    expect(neighbours % every == 0, "every", f"a divisor of neighbours ({neighbours})", every)
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(nodes).repeat_interleave(neighbours)
    source = torch.randint(0, nodes, target.shape, generator=generator)
    # Edges within a class: the node of the right class in the same run of one node per class.
    source[::every] += target[::every] % classes - source[::every] % classes
    source[source >= nodes] -= classes  # where the last run is cut short
    labels = torch.arange(nodes) % classes
    features = torch.randn(nodes, 32, generator=generator)
    features[torch.arange(nodes), labels] += 1
    return Graph(nodes, source, target, features, labels)


def atlas() -> list[Graph]:
    """Return all 1,253 graphs with up to seven nodes, beginning with the one without any node.

    No two of them are isomorphic. Every feature is 1, so that only the edges distinguish two
    nodes.

    Source:
        Read and Wilson (1998), An Atlas of Graphs; the data come with networkx.
    """
    return [
        from_networkx(graph, features=torch.ones(len(graph), 1)) for graph in nx.graph_atlas_g()
    ]


QUESTIONS: dict[str, Callable[[Graph], float]] = {
    "number of leaves": lambda graph: float((graph.degree == 1).sum()),
    "share of leaves": lambda graph: float((graph.degree == 1).double().mean()),
    "a node of degree four or more": lambda graph: float((graph.degree >= 4).any()),
    "a triangle": lambda graph: float(graph.adjacency().matrix_power(3).trace() > 0),
}
"""Question about an undirected graph -> a function that answers it; yes is 1 and no is 0."""


def atlas_split(seed: int, count: int = 1000) -> tuple[list[Graph], list[Graph]]:
    """Draw ``count`` graphs of the atlas for training; all others form the test set.

    The graph without any node is in neither.

    Raises:
        TypeError: If ``seed`` or ``count`` is not an int.
        ValueError: If ``count`` is below 1, or leaves no graph for testing.
    """
    expect_int(seed, "seed")
    expect_int(count, "count", least=1)
    graphs = [graph for graph in atlas() if graph.num_nodes]
    expect(count < len(graphs), "count", f"less than {len(graphs)}", count)
    random.Random(seed).shuffle(graphs)
    return graphs[:count], graphs[count:]


def random_graphs(count: int, seed: int, least: int = 15, most: int = 40) -> list[Graph]:
    """Draw undirected graphs, by default larger than those of the atlas; every feature is 1.

    The number n of nodes is drawn from ``least`` to ``most``, and the number of edges from n/2 to
    3n/2; the edges are that many pairs of nodes, drawn at random.

    Raises:
        TypeError: If an argument is not an int.
        ValueError: If ``count`` or ``least`` is below 1, or ``most`` is below ``least``.
    """
    expect_int(count, "count", least=1)
    expect_int(seed, "seed")
    expect_int(least, "least", least=1)
    expect_int(most, "most", least=least)
    rng = random.Random(seed)
    graphs = []
    for _ in range(count):
        nodes = rng.randint(least, most)
        edges = rng.randint(nodes // 2, nodes + nodes // 2)
        drawn = nx.gnm_random_graph(nodes, edges, seed=rng.randrange(2**32))
        graphs.append(from_networkx(drawn, features=torch.ones(nodes, 1)))
    return graphs
