"""One type for every graph of the book: who may look at whom, as a list of edges.

An edge leads from a source j to a target i, and says that i may look at j. So a graph is a mask
of :func:`~gatutils.attention.attend`, written down by its True entries alone:
:meth:`Graph.from_mask` and :meth:`Graph.mask` turn one into the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import networkx as nx
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatutils.checks import expect, expect_int, expect_list, expect_tensor
from gatutils.csr import Pattern

__all__ = ["Graph"]


class Graph:
    """Nodes 0 to n - 1, and directed edges sorted by their target.

    What is given is what it holds: no self-loop, no way back and no node is added, and an edge
    that is given twice counts twice. A graph is not changed; what would change it returns a new
    one.

    Args:
        nodes: How many nodes; those without an edge count too.
        source: The node j that is looked at, one an edge.
        target: The node i that looks, one an edge.
        features: One row a node.
        labels: One number a node, or what else belongs to it; the first axis counts nodes.

    Attributes:
        source: As given, in the order of the targets; edges of one target keep their order.
        target: Never decreasing.

    Raises:
        TypeError: If ``source`` or ``target`` holds no whole numbers, ``features`` no floats, or
            ``labels`` is no tensor.
        ValueError: If sizes do not fit, or a number is that of no node.
    """

    def __init__(
        self,
        nodes: int,
        source: Int[Tensor, " edges"],
        target: Int[Tensor, " edges"],
        features: Float[Tensor, "nodes dim"] | None = None,
        labels: Tensor | None = None,
    ) -> None:
        expect_int(nodes, "nodes", least=0)
        for ends, name in ((source, "source"), (target, "target")):
            expect_tensor(ends, name, "int", ndim=1, exact=True)
            if ends.numel():
                low, high = int(ends.min()), int(ends.max())
                inside = low >= 0 and high < nodes
                expect(inside, name, f"nodes 0 to {nodes - 1}", f"{low} to {high}")
        expect(len(source) == len(target), "target", f"{len(source)} like source", len(target))
        if features is not None:
            expect_tensor(features, "features", "float", ndim=2, exact=True)
            expect(len(features) == nodes, "features", f"{nodes} rows", len(features))
        if labels is not None:
            if not isinstance(labels, Tensor):
                raise TypeError(f"labels: expected a tensor, got {type(labels).__name__}")
            fits = labels.ndim > 0 and len(labels) == nodes
            expect(fits, "labels", f"{nodes} of them", f"shape {tuple(labels.shape)}")
        self.nodes = nodes
        self.target, order = target.long().sort(stable=True)
        self.source = source.long()[order]
        self.features = features
        self.labels = labels
        self.sizes = torch.tensor([nodes])  # of the graphs that this one is made of

    def __repr__(self) -> str:
        parts = [f"{self.nodes} nodes", f"{self.edges} edges"]
        if self.graphs != 1:
            parts.insert(0, f"{self.graphs} graphs")
        if self.features is not None:
            parts.append(f"{self.features.shape[1]} features")
        return f"Graph({', '.join(parts)})"

    # ---- Where it comes from, and what else it can be written as -------------------------------

    @classmethod
    def from_edges(
        cls,
        edges: Sequence[tuple[int, int]],
        nodes: int,
        *,
        undirected: bool = False,
        features: Float[Tensor, "nodes dim"] | None = None,
        labels: Tensor | None = None,
    ) -> Graph:
        """Make a graph of pairs (source, target).

        Args:
            edges: The pairs.
            nodes: How many nodes.
            undirected: Let each pair stand for both directions; a self-loop stays one edge.
            features: One row a node.
            labels: One a node.

        Raises:
            TypeError: If ``edges`` is no sequence of pairs of ints.
            ValueError: If sizes do not fit, or a number is that of no node.
        """
        expect_list(edges, "edges", Sequence)
        pairs = []
        for edge in edges:
            expect(len(edge) == 2, "edges", "pairs (source, target)", edge)
            for end in edge:
                expect_int(end, "edges")
            pairs.append(tuple(edge))
        if undirected:
            pairs += [(i, j) for j, i in pairs if i != j]
        ends = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
        return cls(nodes, ends[:, 0], ends[:, 1], features, labels)

    @classmethod
    def from_mask(cls, mask: Bool[Tensor, "nodes nodes"]) -> Graph:
        """Make a graph of a mask: an edge from j to i where i may look at j.

        Raises:
            TypeError: If ``mask`` is no bool tensor.
            ValueError: If it is not square.
        """
        expect_tensor(mask, "mask", "bool", ndim=2, exact=True)
        square = mask.shape[0] == mask.shape[1]
        expect(square, "mask", "as many rows as columns", f"shape {tuple(mask.shape)}")
        target, source = mask.nonzero(as_tuple=True)
        return cls(len(mask), source, target)

    def mask(self) -> Bool[Tensor, "nodes nodes"]:
        """Return the mask: True in row i and column j where an edge leads from j to i.

        Raises:
            ValueError: If an edge is there twice, which a mask cannot say;
                :meth:`without_duplicates` drops it.
        """
        counts = self.adjacency()
        once = bool((counts <= 1).all())
        expect(once, "graph", "each edge once (see without_duplicates)", "duplicates")
        return counts.bool()

    def adjacency(self) -> Float[Tensor, "nodes nodes"]:
        """Return :math:`A`: in row i and column j the number of edges from j to i."""
        counts = torch.zeros(self.nodes, self.nodes, device=self.source.device)
        one = torch.ones(self.edges, device=self.source.device)
        return counts.index_put((self.target, self.source), one, accumulate=True)

    @classmethod
    def from_networkx(
        cls,
        graph: nx.Graph,
        *,
        features: Float[Tensor, "nodes dim"] | None = None,
        labels: Tensor | None = None,
    ) -> Graph:
        """Take over a networkx graph; its nodes are numbered in the order it lists them.

        An undirected edge becomes two, one each way (a self-loop one); a multigraph's parallel
        edges stay. What hangs on its nodes and edges is left behind.
        """
        if not isinstance(graph, nx.Graph):  # which all of networkx's are
            raise TypeError(f"graph: expected a networkx graph, got {type(graph).__name__}")
        number = {name: i for i, name in enumerate(graph)}
        edges = [(number[j], number[i]) for j, i in graph.edges()]
        return cls.from_edges(
            edges,
            len(number),
            undirected=not graph.is_directed(),
            features=features,
            labels=labels,
        )

    def to_networkx(self) -> nx.DiGraph:
        """Return a directed networkx graph, a multigraph where an edge is there twice."""
        edges = list(zip(self.source.tolist(), self.target.tolist(), strict=True))
        graph = nx.DiGraph() if len(set(edges)) == len(edges) else nx.MultiDiGraph()
        graph.add_nodes_from(range(self.nodes))
        graph.add_edges_from(edges)
        return graph

    # ---- What a layer needs of it ---------------------------------------------------------------

    @property
    def edges(self) -> int:
        """How many edges."""
        return len(self.source)

    @cached_property
    def offsets(self) -> Int[Tensor, " nodes_and_one"]:
        """Where the edges of each target begin; those of i are offsets[i] to offsets[i + 1] - 1."""
        return _offsets(self.target, self.nodes)

    @cached_property
    def pattern(self) -> Pattern:
        """The places of the adjacency matrix's entries: targets are rows, sources columns."""
        return Pattern(self.offsets, self.source, self.nodes, self.target)

    @property
    def by_source(self) -> Int[Tensor, " edges"]:
        """The edges in the order of their sources, as the backward pass needs them."""
        return self.pattern.order

    @property
    def source_offsets(self) -> Int[Tensor, " nodes_and_one"]:
        """Where the edges of each source begin in :attr:`by_source`."""
        return self.pattern.column_offsets

    @property
    def degree(self) -> Int[Tensor, " nodes"]:
        """How many edges lead to each node."""
        return self.offsets.diff()

    # ---- Other graphs made of it ----------------------------------------------------------------

    @cached_property
    def _looped(self) -> Graph:
        every = torch.arange(self.nodes, device=self.source.device)
        proper = self.without_self_loops()
        return self._like(torch.cat([proper.source, every]), torch.cat([proper.target, every]))

    def with_self_loops(self) -> Graph:
        """Return the graph in which each node looks at itself, exactly once; made once."""
        return self._looped

    def without_self_loops(self) -> Graph:
        """Return the graph in which no node looks at itself."""
        proper = self.source != self.target
        return self._like(self.source[proper], self.target[proper])

    def without_duplicates(self) -> Graph:
        """Return the graph in which each edge is there once."""
        target, source = torch.stack([self.target, self.source]).unique(dim=1)
        return self._like(source, target)

    def with_features(
        self, features: Float[Tensor, "nodes dim"] | None, labels: Tensor | None = None
    ) -> Graph:
        """Return the same nodes and edges with other features, and with other labels if given."""
        labels = self.labels if labels is None else labels
        graph = Graph(self.nodes, self.source, self.target, features, labels)
        graph.sizes = self.sizes
        return graph

    def without_edges(self) -> Graph:
        """Return the nodes alone: nobody looks at anybody."""
        return self._like(self.source[:0], self.target[:0])

    def permuted(self, order: Int[Tensor, " nodes"]) -> Graph:
        """Return the same graph with other numbers: its node k is node ``order[k]`` of this one.

        Raises:
            TypeError: If ``order`` holds no whole numbers.
            ValueError: If it does not name each node once, or several graphs are batched here.
        """
        expect_tensor(order, "order", "int", ndim=1, exact=True)
        every = torch.arange(self.nodes, device=order.device)
        whole = len(order) == self.nodes and torch.equal(order.sort().values, every)
        expect(whole, "order", f"each of 0 to {self.nodes - 1} once", order.tolist())
        expect(self.graphs == 1, "graph", "one graph", f"{self.graphs} in a batch")
        number = order.argsort()
        return Graph(
            self.nodes,
            number[self.source],
            number[self.target],
            None if self.features is None else self.features[order],
            None if self.labels is None else self.labels[order],
        )

    def _like(self, source: Tensor, target: Tensor) -> Graph:
        """Return a graph of the same nodes with other edges."""
        graph = Graph(self.nodes, source, target, self.features, self.labels)
        graph.sizes = self.sizes
        return graph

    def to(self, device: torch.device | str) -> Graph:
        """Return the same graph on another device."""
        moved = Graph(
            self.nodes,
            self.source.to(device),
            self.target.to(device),
            None if self.features is None else self.features.to(device),
            None if self.labels is None else self.labels.to(device),
        )
        moved.sizes = self.sizes
        return moved

    # ---- Several graphs in one ------------------------------------------------------------------

    @classmethod
    def batch(cls, graphs: Sequence[Graph]) -> Graph:
        """Put graphs side by side in one, without an edge between them.

        The numbers of a graph's nodes go up by the nodes of those before it, so the adjacency
        matrix has the graphs' own as blocks on its diagonal.

        Raises:
            TypeError: If ``graphs`` is no sequence of them.
            ValueError: If there is none, or only some have features or labels, or their widths
                differ.
        """
        expect_list(graphs, "graphs", Graph)
        expect(len(graphs) > 0, "graphs", "one graph or more", "none")
        joined: dict[str, Tensor | None] = {}
        for name in ("features", "labels"):
            parts = [getattr(graph, name) for graph in graphs]
            given = [part for part in parts if part is not None]
            expect(len(given) in (0, len(parts)), "graphs", f"{name} in all or none", "some")
            widths = {part.shape[1:] for part in given}
            expect(len(widths) < 2, "graphs", f"{name} of one width", sorted(map(tuple, widths)))
            joined[name] = torch.cat(given) if given else None
        counts = [graph.nodes for graph in graphs]
        before = torch.tensor([0, *counts]).cumsum(0).tolist()
        batch = cls(
            before[-1],
            torch.cat([g.source + b for g, b in zip(graphs, before, strict=False)]),
            torch.cat([g.target + b for g, b in zip(graphs, before, strict=False)]),
            joined["features"],
            joined["labels"],
        )
        batch.sizes = torch.cat([graph.sizes for graph in graphs])
        return batch

    @property
    def graphs(self) -> int:
        """How many graphs it is made of."""
        return len(self.sizes)

    @property
    def member(self) -> Int[Tensor, " nodes"]:
        """Which of these graphs each node belongs to."""
        return torch.arange(self.graphs).repeat_interleave(self.sizes).to(self.source.device)


def _offsets(ends: Int[Tensor, " edges"], nodes: int) -> Int[Tensor, " nodes_and_one"]:
    """Return how many ends lie before each node's, and their number."""
    return torch.cat([ends.new_zeros(1), ends.bincount(minlength=nodes).cumsum(0)])
