"""One type for every graph: which node attends to which, stored as a list of edges.

An edge leads from a source j to a target i, and says that i attends to j. A graph is therefore a
mask of :func:`~gatutils.attention.attend`, given by its True entries alone:
:meth:`Graph.from_mask` and :meth:`Graph.mask` convert one into the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatutils._checks import (
    expect,
    expect_device,
    expect_ends,
    expect_int,
    expect_list,
    expect_node_data,
    expect_sizes,
    expect_square,
    expect_tensor,
)
from gatutils._csr import Pattern, derived
from gatutils._derived import Derived
from gatutils.sampling import Sampling

__all__ = ["Graph"]


class Graph(Derived, Sampling):
    r"""Nodes 0 to n - 1, and directed edges sorted by their target.

    The graph holds exactly what it is given: no self-loop, reverse edge or node is added, and an
    edge given twice counts twice.

    A graph is immutable. Assigning to an attribute is an error, and its tensors must not be changed
    in place, since what was derived from them is cached; methods that change something return a
    new graph. ``source`` and ``target`` are copied; ``features`` and ``labels`` are
    stored as given.

    Because the edges are sorted, edge k of the graph is not edge k of what was given.
    ``edge_order`` permutes edge data accordingly::

        graph = Graph.from_edges([(0, 2), (1, 0)], num_nodes=3)
        lengths = torch.tensor([0.5, 2.0])         # one row per given edge
        lengths[graph.edge_order]                  # [2.0, 0.5], one row per edge of the graph

    and back, where ``alpha`` has one row per edge of the graph::

        torch.empty_like(alpha).index_copy(0, graph.edge_order, alpha)

    A graph derived from this one refers to the same given edges, so the first line holds for it
    unchanged. Added self-loops have rows of their own after the given ones, one per node::

        looped = graph.with_self_loops()
        torch.cat([lengths, torch.zeros(3)])[looped.edge_order]

    In a *bipartite* graph (``num_sources`` is given) the sources are not the targets: edges lead
    from one set of nodes to another, and each set counts from 0. The nodes of the graph are then
    the targets. Layers take a pair of states, those of the sources and those of the targets.

    Args:
        num_nodes: Number of nodes, including those without an edge.
        source: The node j at which each edge begins, shape (num_edges,).
        target: The node i at which it ends, and which attends to j, shape (num_edges,).
        features: Node features, shape (num_nodes, dim).
        labels: One label per node, or anything else whose first axis counts nodes.
        sizes: The number of nodes of each graph, where this one is a batch of several (see
            :meth:`from_graphs`); by default it is a single graph.
        num_sources: The number of sources, where they are not the targets.

    Attributes:
        num_nodes: Number of nodes.
        source: As given, sorted by target; edges of one target keep their order.
        target: Non-decreasing.
        features: As given, or None.
        labels: As given, or None.
        sizes: The number of nodes of each graph, always on the CPU.
        edge_order: For each edge of the graph, its row among the given edges.

    Raises:
        AttributeError: If an attribute is assigned to or deleted.
        TypeError: If ``source`` or ``target`` is not an integer tensor, ``features`` not a float
            tensor, ``labels`` not a tensor, or ``sizes`` not integers.
        ValueError: If sizes do not match, a node index is out of range, an edge leads from one
            graph to another, or a batch of several graphs is bipartite.
    """

    num_nodes: int
    source: Int[Tensor, " num_edges"]
    target: Int[Tensor, " num_edges"]
    features: Float[Tensor, "num_nodes dim"] | None
    labels: Tensor | None
    sizes: Int[Tensor, " num_graphs"]
    edge_order: Int[Tensor, " num_edges"]
    _given: int  # the number of rows of the list that edge_order indexes
    _num_sources: int | None  # None if the sources are the targets

    def __init__(
        self,
        num_nodes: int,
        source: Int[Tensor, " num_edges"],
        target: Int[Tensor, " num_edges"],
        features: Float[Tensor, "num_nodes dim"] | None = None,
        labels: Tensor | None = None,
        *,
        sizes: Int[Tensor, " num_graphs"] | Sequence[int] | None = None,
        num_sources: int | None = None,
    ) -> None:
        expect_int(num_nodes, "num_nodes", least=0)
        if num_sources is not None:
            expect_int(num_sources, "num_sources", least=0)
        expect_ends(source, target, num_nodes if num_sources is None else num_sources, num_nodes)
        expect_node_data(features, labels, num_nodes)
        # Copies, because the caller's tensors may change.
        source, target = (ends.to(torch.long, copy=True) for ends in (source, target))
        if bool((target[1:] >= target[:-1]).all()):
            order = torch.arange(len(target), device=target.device)
        else:
            target, order = target.sort(stable=True)
            source = source[order]
        self.__setstate__(
            {
                "num_nodes": num_nodes,
                "source": source,
                "target": target,
                "features": features,
                "labels": labels,
                "sizes": torch.tensor([num_nodes])
                if sizes is None
                else expect_sizes(sizes, num_nodes),
                "edge_order": order,
                "_given": len(order),
                "_num_sources": num_sources,
            }
        )
        if self.num_graphs > 1:
            expect_square(num_sources, "a batch of several graphs")
            across = (self.batch[source] != self.batch[target]).nonzero()
            got = [(int(source[k]), int(target[k])) for k in across[:1]]
            expect(not got, "sizes", "no edge from one graph to another", got)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to be copied or pickled; what is derived from it is recomputed."""
        return {name: part for name, part in self.__dict__.items() if name in _PARTS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{name}: a Graph is immutable; {_INSTEAD.get(name, 'create a new one')}"
        )

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def _with(self, **parts: Any) -> Graph:
        """Return a copy with some parts replaced, which must be valid and sorted."""
        graph = object.__new__(type(self))
        graph.__setstate__(self.__getstate__() | parts)
        return graph

    def __repr__(self) -> str:
        parts = [f"{self.num_nodes} nodes", f"{self.num_edges} edges"]
        if self.is_bipartite:
            parts[0] = f"{self.num_sources} sources, {self.num_nodes} targets"
        if self.num_graphs != 1:
            parts.insert(0, f"{self.num_graphs} graphs")
        if self.features is not None:
            parts.append(f"{self.features.shape[1]} features")
        return f"Graph({', '.join(parts)})"

    # ---- Other representations of a graph --------------------------------------------------------

    @classmethod
    def from_edges(
        cls,
        edges: Sequence[tuple[int, int]],
        num_nodes: int,
        *,
        undirected: bool = False,
        features: Float[Tensor, "num_nodes dim"] | None = None,
        labels: Tensor | None = None,
        num_sources: int | None = None,
    ) -> Graph:
        """Make a graph from pairs (source, target).

        Args:
            edges: The pairs.
            num_nodes: Number of nodes.
            undirected: Let each pair stand for both directions; a self-loop stays one edge. In
                ``edge_order`` both directions refer to the one pair.
            features: Node features, shape (num_nodes, dim).
            labels: One per node.
            num_sources: The number of sources, where they are not the targets.

        Raises:
            TypeError: If ``edges`` is not a sequence of pairs of ints.
            ValueError: If sizes do not match, a node index is out of range, or a bipartite graph
                is to be undirected.
        """
        if undirected:
            expect_square(num_sources, "undirected")
        expect_list(edges, "edges", Sequence)
        pairs = []
        for edge in edges:
            expect(len(edge) == 2, "edges", "pairs (source, target)", edge)
            for end in edge:
                expect_int(end, "edges")
            pairs.append(tuple(edge))
        given = list(range(len(pairs)))
        if undirected:
            given += [k for k, (j, i) in enumerate(pairs) if i != j]
            pairs += [(i, j) for j, i in pairs if i != j]
        ends = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
        graph = cls(num_nodes, ends[:, 0], ends[:, 1], features, labels, num_sources=num_sources)
        order = torch.tensor(given, dtype=torch.long)[graph.edge_order]
        return graph._with(edge_order=order, _given=len(edges))

    @classmethod
    def from_edge_index(
        cls,
        edge_index: Int[Tensor, "2 num_edges"],
        num_nodes: int,
        *,
        features: Float[Tensor, "num_nodes dim"] | None = None,
        labels: Tensor | None = None,
        num_sources: int | None = None,
    ) -> Graph:
        """Make a graph from an edge index as PyTorch Geometric has it: sources above targets.

        Args:
            edge_index: Shape (2, num_edges).
            num_nodes: Number of nodes.
            features: Node features, shape (num_nodes, dim); PyTorch Geometric's ``x``.
            labels: One per node; PyTorch Geometric's ``y``.
            num_sources: The number of sources, where they are not the targets.

        Raises:
            TypeError: If ``edge_index`` is not an integer tensor.
            ValueError: If it does not have two rows, sizes do not match, or a node index is out
                of range.
        """
        expect_tensor(edge_index, "edge_index", "int", ndim=2, exact=True)
        expect(len(edge_index) == 2, "edge_index", "2 rows", f"shape {tuple(edge_index.shape)}")
        return cls(
            num_nodes, edge_index[0], edge_index[1], features, labels, num_sources=num_sources
        )

    @property
    def edge_index(self) -> Int[Tensor, "2 num_edges"]:
        """The sources above the targets, in the order of the edges, as in PyTorch Geometric."""
        return torch.stack([self.source, self.target])

    @classmethod
    def from_mask(cls, mask: Bool[Tensor, "num_nodes num_nodes"]) -> Graph:
        """Make a graph from a mask: an edge from j to i where i attends to j.

        The edges are the True entries row by row, so ``scores[mask]`` has one row per edge, in
        their order.

        Raises:
            TypeError: If ``mask`` is not a bool tensor.
            ValueError: If it is not square.
        """
        expect_tensor(mask, "mask", "bool", ndim=2, exact=True)
        square = mask.shape[0] == mask.shape[1]
        expect(square, "mask", "as many rows as columns", f"shape {tuple(mask.shape)}")
        target, source = mask.nonzero(as_tuple=True)
        return cls(len(mask), source, target)

    def mask(self) -> Bool[Tensor, "num_nodes num_nodes"]:
        """Return the mask: True in row i and column j where an edge leads from j to i.

        Raises:
            ValueError: If an edge is duplicated, which a mask cannot express
                (:meth:`without_duplicates` drops duplicates), or the graph is bipartite.
        """
        counts = self.adjacency()
        once = bool((counts <= 1).all())
        expect(once, "graph", "each edge once (see without_duplicates)", "duplicates")
        return counts.bool()

    def adjacency(self) -> Float[Tensor, "num_nodes num_nodes"]:
        """Return :math:`A`: in row i and column j the number of edges from j to i.

        Raises:
            ValueError: If the graph is bipartite.
        """
        self._expect_square("a square matrix")
        counts = torch.zeros(self.num_nodes, self.num_nodes, device=self.source.device)
        one = torch.ones(self.num_edges, device=self.source.device)
        return counts.index_put((self.target, self.source), one, accumulate=True)

    # ---- What a layer needs ----------------------------------------------------------------------

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return len(self.source)

    @property
    def num_sources(self) -> int:
        """Number of sources; that of the nodes, unless the graph is bipartite."""
        return self.num_nodes if self._num_sources is None else self._num_sources

    @property
    def is_bipartite(self) -> bool:
        """Whether the sources are other nodes than the targets."""
        return self._num_sources is not None

    def _expect_square(self, what: str) -> None:
        expect_square(self._num_sources, what)

    @property
    def num_graphs(self) -> int:
        """Number of graphs in the batch."""
        return len(self.sizes)

    @property
    def batch(self) -> Int[Tensor, " num_nodes"]:
        """The index of the graph to which each node belongs."""
        return torch.arange(self.num_graphs).repeat_interleave(self.sizes).to(self.source.device)

    @derived
    def indptr(self) -> Int[Tensor, " nodes_and_one"]:
        """Where the edges of each target begin, shape (num_nodes + 1,).

        Those of i are ``indptr[i]`` to ``indptr[i + 1] - 1``.
        """
        every = torch.arange(self.num_nodes + 1, device=self.target.device)
        return torch.searchsorted(self.target, every)

    @derived
    def pattern(self) -> Pattern:
        """The positions of the adjacency matrix's entries; rows are targets, columns sources."""
        return Pattern(self.indptr, self.source, self.num_sources, self.target)

    @derived
    def graph_pattern(self) -> Pattern:
        """Which nodes each graph of a batch has; graphs are rows, nodes are columns."""
        nodes = torch.arange(self.num_nodes, device=self.source.device)
        indptr = torch.tensor(_starts(self.sizes.tolist()), device=self.source.device)
        return Pattern(indptr, nodes, self.num_nodes)

    @property
    def degree(self) -> Int[Tensor, " num_nodes"]:
        """The in-degree of each node."""
        return self.indptr.diff()

    # ---- Graphs derived from this one ------------------------------------------------------------

    def with_features(
        self, features: Float[Tensor, "num_nodes dim"] | None, labels: Tensor | None = None
    ) -> Graph:
        """Return the same nodes and edges with other features, and with other labels if given."""
        labels = self.labels if labels is None else labels
        expect_node_data(features, labels, self.num_nodes)
        return self._with(features=features, labels=labels)

    def without_edges(self) -> Graph:
        """Return the nodes without any edge."""
        return self._some(slice(0))

    def to(self, device: torch.device | str | int) -> Graph:
        """Return the same graph on another device; this one if it is there already.

        Raises:
            TypeError: If ``device`` is neither a device nor the name of one.
            ValueError: If there is no such device here, or it holds no numbers (``"meta"``).
        """
        place = expect_device(device, "device")
        names = ("source", "target", "edge_order", "features", "labels")
        parts = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if all(part.device == place for part in parts.values()):
            return self
        return self._with(**{name: part.to(place) for name, part in parts.items()})

    @classmethod
    def from_graphs(cls, graphs: Sequence[Graph]) -> Graph:
        """Batch several graphs into one, without edges between them.

        The node indices of a graph are shifted by the number of nodes before it, so the adjacency
        matrix is block-diagonal. ``edge_order`` refers to the given edges of all graphs, one list
        after another, so ``torch.cat`` joins edge data.

        It serves as the ``collate_fn`` of a ``DataLoader``.

        Raises:
            TypeError: If ``graphs`` is not a sequence of graphs.
            ValueError: If it is empty, only some graphs have features or labels, their widths
                differ, or one is bipartite.
        """
        expect_list(graphs, "graphs", Graph)
        for graph in graphs:
            graph._expect_square("a batch of several graphs")
        expect(len(graphs) > 0, "graphs", "one graph or more", "none")
        joined: dict[str, Tensor | None] = {}
        for name in ("features", "labels"):
            parts = [getattr(graph, name) for graph in graphs]
            given = [part for part in parts if part is not None]
            expect(len(given) in (0, len(parts)), "graphs", f"{name} in all or none", "some")
            widths = {part.shape[1:] for part in given}
            expect(len(widths) < 2, "graphs", f"{name} of one width", sorted(map(tuple, widths)))
            joined[name] = torch.cat(given) if given else None
        nodes = _starts([graph.num_nodes for graph in graphs])
        rows = _starts([graph._given for graph in graphs])
        edges = [graph.edge_index + k for graph, k in zip(graphs, nodes, strict=False)]
        source, target = torch.cat(edges, dim=1)
        orders = [graph.edge_order + k for graph, k in zip(graphs, rows, strict=False)]
        return graphs[0]._with(
            num_nodes=nodes[-1],
            source=source,
            target=target,
            sizes=torch.cat([graph.sizes for graph in graphs]),
            edge_order=torch.cat(orders),
            _given=rows[-1],
            **joined,
        )


_PARTS = frozenset(
    (
        "num_nodes",
        "source",
        "target",
        "features",
        "labels",
        "sizes",
        "edge_order",
        "_given",
        "_num_sources",
    )
)


_INSTEAD = {
    "features": "with_features returns one with other features",
    "labels": "with_features(features, labels) returns one with other labels",
    "sizes": "Graph(..., sizes=...) or Graph.from_graphs sets them",
}


def _starts(counts: Sequence[int]) -> list[int]:
    """Return how many come before each, and the total."""
    return list(accumulate(counts, initial=0))
