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


# For each node of scale_free() but the first, the earlier nodes that it was joined to; then places.
_JOINED = (
    "0 0 0,1 0 0,1 5 3 1,6 1,8 5,6 0,1 0,8 0,3 8 5,11 9 1,15 1,11 5 8 1,20 6,18 17 18 5,19 8 "
    "8,20 18 1 1 8 3 20 11 1,30 5 21 1 1,6 22 6,29 3 9 8 0,23 41 8,15 5,9 18 1,3 0,15 8 0 5,8 "
    "20 3,23 48 39 8,17 0,28 1,5 55 1,8"
)
_PLACED = (
    "13,8 7,8 15,8 10,13 15,10 4,3 6,1 8,15 3,10 3,6 4,1 11,6 8,13 12,11 2,7 10,5 3,4 9,10 10,3 "
    "2,1 2,13 4,13 9,0 12,13 10,1 2,3 0,9 0,11 13,4 6,5 7,10 3,12 10,15 2,15 11,4 8,11 3,0 6,13 "
    "7,6 9,2 7,0 6,3 7,14 1,6 1,8 13,10 8,3 5,10 1,4 12,3 10,9 12,5 1,10 15,6 4,5 0,13 12,15 "
    "1,2 7,2 6,11 13,6 5,6 0,15 5,8"
)


def scale_free() -> tuple[Graph, list[tuple[int, int]]]:
    """Return a graph of 64 nodes with a few hubs, and a position for each node.

    Each new node was joined to one or two of the earlier ones, with a probability proportional to
    their degrees: ``networkx.dual_barabasi_albert_graph(64, 1, 2, 0.6, seed=27)``. The positions
    were searched for such that few edges cross and no two nodes are close; they are those of a
    chessboard's fields of one colour.

    Source:
        Moshiri (2018), The dual-Barabási-Albert model.
    """
    joined = [tuple(map(int, nodes.split(","))) for nodes in _JOINED.split()]
    edges = [(j, i) for i, earlier in enumerate(joined, 1) for j in earlier]
    places = [tuple(map(int, place.split(","))) for place in _PLACED.split()]
    graph = Graph.from_edges(edges, len(places), undirected=True)
    return graph, [(x, y) for x, y in places]


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
