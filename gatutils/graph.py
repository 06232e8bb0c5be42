"""One type for every graph of the book: who may look at whom, as a list of edges.

An edge leads from a source j to a target i, and says that i may look at j. So a graph is a mask
of :func:`~gatutils.attention.attend`, written down by its True entries alone:
:meth:`Graph.from_mask` and :meth:`Graph.mask` turn one into the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeVar, cast

import networkx as nx
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatutils.checks import expect, expect_device, expect_int, expect_list, expect_tensor
from gatutils.csr import Pattern, is_real

__all__ = ["Graph"]

Made = TypeVar("Made")


class Graph:
    r"""Nodes 0 to n - 1, and directed edges sorted by their target.

    What is given is what it holds: no self-loop, no way back and no node is added, and an edge
    that is given twice counts twice.

    A graph cannot be changed. To assign to an attribute is an error, and what would change a
    graph returns a new one. ``source`` and ``target`` are copied; ``features`` and ``labels`` are
    held as they are given.

    Because the edges are sorted, edge k of the graph is not edge k of what was given.
    ``edge_order`` brings data along that belong to edges::

        graph = Graph.from_edges([(0, 2), (1, 0)], nodes=3)
        lengths = torch.tensor([0.5, 2.0])         # one row per given edge
        lengths[graph.edge_order]                  # [2.0, 0.5], one row per edge of the graph

    And back, where ``alpha`` has one row per edge of the graph::

        torch.empty_like(alpha).index_copy(0, graph.edge_order, alpha)

    A graph that is made of this one refers to the same given edges, so the first line holds for
    it unchanged. Added self-loops have rows of their own behind the given ones, one per node::

        looped = graph.with_self_loops()
        torch.cat([lengths, torch.zeros(3)])[looped.edge_order]

    Args:
        nodes: How many nodes; those without an edge count too.
        source: The node j at which an edge begins, one per edge.
        target: The node i at which it ends, and which attends to j.
        features: One row per node.
        labels: One number per node, or what else belongs to it; the first axis counts nodes.
        sizes: The number of nodes of each graph, where this one is a batch of several (see
            :meth:`batch`); by default it is one graph.

    Attributes:
        nodes: How many nodes.
        source: As given, in the order of the targets; edges of one target keep their order.
        target: Never decreasing.
        features: As given, or None.
        labels: As given, or None.
        sizes: The number of nodes of each graph, always on the CPU.
        edge_order: For each edge of the graph, its row among the given edges.

    Raises:
        AttributeError: If an attribute is assigned to or deleted.
        TypeError: If ``source`` or ``target`` holds no whole numbers, ``features`` no floats,
            ``labels`` is no tensor, or ``sizes`` are no whole numbers.
        ValueError: If sizes do not fit, a number is that of no node, or an edge leads from one
            graph to another.
    """

    nodes: int
    source: Int[Tensor, " edges"]
    target: Int[Tensor, " edges"]
    features: Float[Tensor, "nodes dim"] | None
    labels: Tensor | None
    sizes: Int[Tensor, " graphs"]
    edge_order: Int[Tensor, " edges"]
    _given: int  # how many rows the list has in which edge_order counts
    _made: dict[str, Any]  # what is made of the rest when it is first needed

    def __init__(
        self,
        nodes: int,
        source: Int[Tensor, " edges"],
        target: Int[Tensor, " edges"],
        features: Float[Tensor, "nodes dim"] | None = None,
        labels: Tensor | None = None,
        *,
        sizes: Int[Tensor, " graphs"] | Sequence[int] | None = None,
    ) -> None:
        expect_int(nodes, "nodes", least=0)
        for ends, name in ((source, "source"), (target, "target")):
            expect_tensor(ends, name, "int", ndim=1, exact=True)
            expect(not ends.is_meta, name, "a tensor that holds numbers", "one on 'meta'")
            if ends.numel():
                low, high = int(ends.min()), int(ends.max())
                wanted = (
                    f"nodes 0 to {nodes - 1}" if nodes else "no edges, since there are no nodes"
                )
                expect(low >= 0 and high < nodes, name, wanted, f"{low} to {high}")
        expect(len(source) == len(target), "target", f"{len(source)} like source", len(target))
        if features is not None:
            expect_tensor(features, "features", "float", ndim=2, exact=True)
            expect(len(features) == nodes, "features", f"{nodes} rows", len(features))
        if labels is not None:
            if not isinstance(labels, Tensor):
                raise TypeError(f"labels: expected a tensor, got {type(labels).__name__}")
            fits = labels.ndim > 0 and len(labels) == nodes
            expect(fits, "labels", f"{nodes} of them", f"shape {tuple(labels.shape)}")
        # Copies, for the caller's tensors may change.
        source, target = (ends.to(torch.long, copy=True) for ends in (source, target))
        if bool((target[1:] >= target[:-1]).all()):
            order = torch.arange(len(target), device=target.device)
        else:
            target, order = target.sort(stable=True)
            source = source[order]
        self.__setstate__(
            {
                "nodes": nodes,
                "source": source,
                "target": target,
                "features": features,
                "labels": labels,
                "sizes": torch.tensor([nodes]) if sizes is None else _sizes(sizes, nodes),
                "edge_order": order,
                "_given": len(order),
            }
        )
        if self.graphs > 1:
            across = (self.member[source] != self.member[target]).nonzero()
            got = [(int(source[k]), int(target[k])) for k in across[:1]]
            expect(not got, "sizes", "no edge from one graph to another", got)

    def __getstate__(self) -> dict[str, Any]:
        """Return what it consists of, for copies and pickles; the rest is made anew."""
        return {name: part for name, part in self.__dict__.items() if name != "_made"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _made={})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name}: {_WAYS_OUT.get(name, _WAYS_OUT['nodes'])}")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def _with(self, **parts: Any) -> Graph:
        """Return a graph with other parts, which fit and are sorted: nothing is checked again."""
        graph = object.__new__(type(self))
        graph.__setstate__(self.__getstate__() | parts)
        return graph

    def _some(self, edges: Tensor | slice) -> Graph:
        """Return the graph with these of the edges, which are named by numbers or by a mask."""
        names = ("source", "target", "edge_order")
        return self._with(**{name: getattr(self, name)[edges] for name in names})

    def _once(self, name: str, make: Callable[[], Made]) -> Made:
        """Return what is made when it is first needed, and kept.

        It is kept unless a tracer made it: under ``torch.export`` or ``torch.func`` operations
        return stand-ins, which must not outlive the tracing.
        """
        if name in self._made:
            return cast(Made, self._made[name])
        with torch.inference_mode(False):  # else training could not use what evaluation has made
            made = make()
        if is_real(made.offsets if isinstance(made, Graph | Pattern) else cast(Tensor, made)):
            self._made[name] = made
        return made

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
            undirected: Let each pair stand for both directions; a self-loop stays one edge. In
                ``edge_order`` both directions are the one pair.
            features: One row per node.
            labels: One per node.

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
        given = list(range(len(pairs)))
        if undirected:
            given += [k for k, (j, i) in enumerate(pairs) if i != j]
            pairs += [(i, j) for j, i in pairs if i != j]
        ends = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
        graph = cls(nodes, ends[:, 0], ends[:, 1], features, labels)
        order = torch.tensor(given, dtype=torch.long)[graph.edge_order]
        return graph._with(edge_order=order, _given=len(edges))

    @classmethod
    def from_mask(cls, mask: Bool[Tensor, "nodes nodes"]) -> Graph:
        """Make a graph of a mask: an edge from j to i where i may look at j.

        The edges are the True entries row by row, so ``scores[mask]`` has one row per edge, in
        their order.

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
        edges stay. What hangs on its nodes and edges is left behind; the given edges to which
        ``edge_order`` refers are those of ``graph.edges()``, where both ways are one edge.
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

    @property
    def edge_index(self) -> Int[Tensor, "2 edges"]:
        """The sources above the targets, in the order of the edges, as PyTorch Geometric has it."""
        return torch.stack([self.source, self.target])

    @property
    def offsets(self) -> Int[Tensor, " nodes_and_one"]:
        """Where the edges of each target begin; those of i are offsets[i] to offsets[i + 1] - 1."""
        return self._once("offsets", lambda: _offsets(self.target, self.nodes))

    @property
    def pattern(self) -> Pattern:
        """The places of the adjacency matrix's entries; targets are rows, sources are columns."""
        return self._once(
            "pattern", lambda: Pattern(self.offsets, self.source, self.nodes, self.target)
        )

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

    def with_self_loops(self) -> Graph:
        """Return the graph in which each node looks at itself, exactly once; made once.

        A self-loop that is there stays the given edge that it was (of several, the first). One
        that is added to node i is, in ``edge_order``, row i behind the rows of the given edges.
        """
        return self._once("looped", self._looped)

    def _looped(self) -> Graph:
        every = torch.arange(self.nodes, device=self.source.device)
        at = (self.source == self.target).nonzero().squeeze(1)
        owner = self.target[at]
        first = torch.ones_like(owner, dtype=torch.bool)
        first[1:] = owner[1:] != owner[:-1]
        number = self._given + every
        number[owner[first]] = self.edge_order[at[first]]
        proper = self.without_self_loops()
        target, order = torch.cat([proper.target, every]).sort(stable=True)
        return self._with(
            source=torch.cat([proper.source, every])[order],
            target=target,
            edge_order=torch.cat([proper.edge_order, number])[order],
            _given=self._given + self.nodes,
        )

    def without_self_loops(self) -> Graph:
        """Return the graph in which no node looks at itself; its edges keep their order."""
        return self._some(self.source != self.target)

    def without_duplicates(self) -> Graph:
        """Return the graph in which each edge is there once, the first of several.

        The edges of one target are then in the order of their sources.
        """
        order = self.by_source[self.target[self.by_source].argsort(stable=True)]
        ends = self.edge_index[:, order]
        new = torch.ones_like(order, dtype=torch.bool)
        new[1:] = (ends[:, 1:] != ends[:, :-1]).any(dim=0)
        return self._some(order[new])

    def with_features(
        self, features: Float[Tensor, "nodes dim"] | None, labels: Tensor | None = None
    ) -> Graph:
        """Return the same nodes and edges with other features, and with other labels if given."""
        labels = self.labels if labels is None else labels
        # An empty graph of as many nodes checks that they fit.
        Graph(self.nodes, self.source[:0], self.target[:0], features, labels)
        return self._with(features=features, labels=labels)

    def without_edges(self) -> Graph:
        """Return the nodes alone: nobody looks at anybody."""
        return self._some(slice(0))

    def permuted(self, order: Int[Tensor, " nodes"]) -> Graph:
        """Return the same graph with other numbers: its node k is node ``order[k]`` of this one.

        Raises:
            TypeError: If ``order`` holds no whole numbers.
            ValueError: If it does not name each node once, or several graphs are batched here.
        """
        expect_tensor(order, "order", "int", ndim=1, exact=True)
        every = torch.arange(self.nodes, device=order.device)
        whole = len(order) == self.nodes and torch.equal(order.sort().values, every)
        wanted = (
            f"each of 0 to {self.nodes - 1} once"
            if self.nodes
            else "no numbers, since there are no nodes"
        )
        expect(whole, "order", wanted, order.tolist())
        expect(self.graphs == 1, "graph", "one graph", f"{self.graphs} in a batch")
        number = order.argsort()
        target, sorting = number[self.target].sort(stable=True)
        return self._with(
            source=number[self.source][sorting],
            target=target,
            edge_order=self.edge_order[sorting],
            features=None if self.features is None else self.features[order],
            labels=None if self.labels is None else self.labels[order],
        )

    def to(self, device: torch.device | str | int) -> Graph:
        """Return the same graph on another device; this one if it is there.

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

    # ---- Several graphs in one ------------------------------------------------------------------

    @classmethod
    def batch(cls, graphs: Sequence[Graph]) -> Graph:
        """Put graphs side by side in one, without an edge between them.

        The numbers of a graph's nodes go up by the nodes of those before it, so the adjacency
        matrix has the graphs' own as blocks on its diagonal. ``edge_order`` refers to the given
        edges of all graphs, one list after another, so ``torch.cat`` joins data of edges.

        It serves as the ``collate_fn`` of a ``DataLoader``.

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
        nodes = _starts([graph.nodes for graph in graphs])
        given = _starts([graph._given for graph in graphs])
        edges = [graph.edge_index + k for graph, k in zip(graphs, nodes, strict=False)]
        source, target = torch.cat(edges, dim=1)
        orders = [graph.edge_order + k for graph, k in zip(graphs, given, strict=False)]
        return graphs[0]._with(
            nodes=nodes[-1],
            source=source,
            target=target,
            sizes=torch.cat([graph.sizes for graph in graphs]),
            edge_order=torch.cat(orders),
            _given=given[-1],
            **joined,
        )

    @property
    def graphs(self) -> int:
        """How many graphs it is made of."""
        return len(self.sizes)

    @property
    def member(self) -> Int[Tensor, " nodes"]:
        """Which of these graphs each node belongs to."""
        return torch.arange(self.graphs).repeat_interleave(self.sizes).to(self.source.device)


_WAYS_OUT = {
    "nodes": "a Graph cannot be changed; make another one",
    "features": "a Graph cannot be changed; with_features returns one with other features",
    "labels": "a Graph cannot be changed; with_features(features, labels) returns one with others",
    "sizes": "a Graph cannot be changed; Graph(..., sizes=...) or Graph.batch sets them",
}


def _sizes(sizes: Tensor | Sequence[int], nodes: int) -> Tensor:
    """Return how many nodes each graph has, after a check that these are all the nodes."""
    if not isinstance(sizes, Tensor):
        expect_list(sizes, "sizes", int)
        sizes = torch.tensor(sizes, dtype=torch.long)
    expect_tensor(sizes, "sizes", "int", ndim=1, exact=True)
    sizes = sizes.to("cpu", torch.long, copy=True)
    fits = len(sizes) > 0 and bool((sizes >= 0).all()) and int(sizes.sum()) == nodes
    expect(fits, "sizes", f"numbers of nodes that sum to {nodes}", sizes.tolist())
    return sizes


def _starts(counts: Sequence[int]) -> list[int]:
    """Return how many come before each, and their number."""
    return list(accumulate(counts, initial=0))


def _offsets(ends: Int[Tensor, " edges"], nodes: int) -> Int[Tensor, " nodes_and_one"]:
    """Return how many ends lie before each node's, and their number."""
    return torch.cat([ends.new_zeros(1), ends.bincount(minlength=nodes).cumsum(0)])
