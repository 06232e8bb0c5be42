"""Parts of a graph: the subgraph of some nodes, what reaches them in some hops, and samples of it.

These are methods of :class:`~gatutils.graph.Graph`. They work on the compressed rows of the graph,
for all nodes at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gatutils._checks import expect, expect_int, expect_list, expect_tensor

__all__ = ["SampledBlock", "Subgraph"]

Kind = TypeVar("Kind")
Self = TypeVar("Self", bound="Sampling")


@dataclass(frozen=True)
class Subgraph(Generic[Kind]):
    """Some nodes of a graph and the edges between them.

    Attributes:
        graph: The subgraph; its node k is node ``nodes[k]`` of the whole graph. Features and labels
            are those of its nodes, and ``edge_order`` refers to the edges that the whole graph was
            given.
        nodes: The nodes' indices in the whole graph, shape (num_nodes,).
        edges: The edges' positions in ``source`` and ``target`` of the whole graph, shape
            (num_edges,).
    """

    graph: Kind
    nodes: Tensor
    edges: Tensor


@dataclass(frozen=True)
class SampledBlock(Generic[Kind]):
    """The sampled edges along which one layer computes new states for some nodes.

    A layer that accepts bipartite graphs is called with the states of the sources and the block, or
    with a pair of states and the block's graph; the new states are the same, up to dropout.

    Attributes:
        graph: A bipartite graph from the sources to the nodes with new states. These nodes are its
            targets and also the first of its sources. It has no features and no labels.
        sources: The sources' indices in the whole graph, shape (num_sources,); the first
            ``graph.num_nodes`` of them are the targets.
        edges: The edges' positions in ``source`` and ``target`` of the whole graph, shape
            (num_edges,).
    """

    graph: Kind
    sources: Tensor
    edges: Tensor


class Sampling:
    """The methods of a :class:`~gatutils.graph.Graph` that return a part of it."""

    num_nodes: int
    source: Int[Tensor, " num_edges"]
    target: Int[Tensor, " num_edges"]
    features: Tensor | None
    labels: Tensor | None
    edge_order: Int[Tensor, " num_edges"]

    def subgraph(self: Self, nodes: Int[Tensor, " some"]) -> Subgraph[Self]:
        """Return the induced subgraph: some of the nodes, and all edges between them.

        Args:
            nodes: The nodes, each once, in the order in which the subgraph numbers them.

        Raises:
            TypeError: If ``nodes`` is not an integer tensor.
            ValueError: If a node index is out of range or is there twice, or this is a batch of
                several graphs or a bipartite graph.
        """
        nodes = self._expect_nodes(nodes, "subgraph")
        number = self._numbers(nodes)
        source, target = number[self.source], number[self.target]
        edges = ((source >= 0) & (target >= 0)).nonzero().squeeze(1)
        edges = edges[target[edges].argsort(stable=True)]
        graph = self._with(
            num_nodes=len(nodes),
            source=source[edges],
            target=target[edges],
            sizes=torch.tensor([len(nodes)]),
            edge_order=self.edge_order[edges],
            features=None if self.features is None else self.features[nodes],
            labels=None if self.labels is None else self.labels[nodes],
        )
        return Subgraph(graph, nodes, edges)

    def neighborhood(self: Self, nodes: Int[Tensor, " some"], hops: int) -> Subgraph[Self]:
        """Return the subgraph of the nodes from which some nodes can be reached in a few hops.

        It holds all that the states of ``nodes`` depend on after ``hops`` layers. One hop more is
        needed for layers that use the degree of the sources, such as
        :class:`~gatutils.message_passing.GCNConv`: the outermost nodes have fewer incoming edges
        here than in the whole graph.

        Args:
            nodes: The nodes, each once. They are the first nodes of the subgraph, in this order;
                those that are one hop away follow, and so on.
            hops: The largest number of edges on a path to one of the nodes; 0 for the nodes alone.

        Raises:
            TypeError: If ``nodes`` is not an integer tensor, or ``hops`` not an int.
            ValueError: If a node index is out of range or is there twice, ``hops`` is negative, or
                this is a batch of several graphs or a bipartite graph.
        """
        nodes = self._expect_nodes(nodes, "neighborhood")
        expect_int(hops, "hops", least=0)
        found = newest = nodes
        for _ in range(hops):
            edges, _ = self._incoming(newest)
            newest = _others(self.source[edges], found)
            found = torch.cat([found, newest])
        return self.subgraph(found)

    def sample(
        self: Self,
        nodes: Int[Tensor, " some"],
        sizes: Sequence[int],
        generator: torch.Generator | None = None,
        *,
        keep_self_loops: bool = False,
    ) -> list[SampledBlock[Self]]:
        """Sample the neighbourhood of some nodes: one bipartite graph per layer.

        Each node receives from at most so many of its incoming edges, drawn uniformly without
        replacement. The time and memory that this takes, and that a network with one layer per
        block takes for the new states of ``nodes``, depend on the sizes and on the degrees of the
        nodes that are met, not on the size of the graph::

            blocks = graph.sample(nodes, sizes=[10, 5])
            states = features[blocks[0].sources]
            for layer, block in zip(layers, blocks):
                states = layer(states, block)

        :class:`~gatutils.message_passing.GraphNet` does so, with what is between the layers.
        The targets of a block are the sources of the next one, and those of the last block are
        ``nodes``. Edge data in the order of this graph are ``data[block.edges]`` in a block.

        Args:
            nodes: The nodes whose new states are wanted, each once.
            sizes: How many incoming edges are drawn per node: first of ``nodes`` themselves, then
                of the nodes one hop away, and so on; -1 for all of them. The *last* block is
                therefore drawn with the first size, as in PyTorch Geometric's ``NeighborLoader``.
            generator: Where the random numbers come from; None for torch's global generator. The
                same seed draws the same blocks.
            keep_self_loops: Keep the self-loops of each node beside the edges that are drawn. For
                a layer that needs them: ``graph.with_self_loops().sample(...,
                keep_self_loops=True)``.

        Returns:
            The blocks in the order in which the layers use them.

        Raises:
            TypeError: If ``nodes`` is not an integer tensor, ``sizes`` not a sequence of ints, or
                ``generator`` not a generator.
            ValueError: If a node index is out of range or is there twice, a size is less than -1,
                there are no sizes, or this is a batch of several graphs or a bipartite graph.

        Source:
            Hamilton et al. (2017), algorithm 2.
        """
        nodes = self._expect_nodes(nodes, "sample")
        expect_list(sizes, "sizes", int)
        expect(len(sizes) > 0, "sizes", "one size per layer", "none")
        if generator is not None and not isinstance(generator, torch.Generator):
            kind = type(generator).__name__
            raise TypeError(f"generator: expected a torch.Generator, got {kind}")
        sources, blocks = nodes, list[SampledBlock[Self]]()
        for size in sizes:
            expect_int(size, "sizes", least=-1)
            edges, owner = self._incoming(sources)
            if size >= 0:
                always = self.source[edges] == sources[owner] if keep_self_loops else None
                kept = _drawn(owner, size, generator, always)
                edges, owner = edges[kept], owner[kept]
            ends, targets = self.source[edges], len(sources)
            sources = torch.cat([sources, _others(ends, sources)])
            in_order, order = sources.sort()
            graph = self._with(
                num_nodes=targets,
                source=order[torch.searchsorted(in_order, ends)],
                target=owner,
                sizes=torch.tensor([targets]),
                edge_order=self.edge_order[edges],
                features=None,
                labels=None,
                _num_sources=len(sources),
            )
            blocks.insert(0, SampledBlock(graph, sources, edges))
        return blocks

    def _incoming(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positions of the incoming edges of some targets, and the targets' indices."""
        starts = self.indptr[targets]
        counts = self.indptr[targets + 1] - starts
        owner = torch.arange(len(targets), device=targets.device).repeat_interleave(counts)
        before = counts.cumsum(0) - counts
        return torch.arange(len(owner), device=owner.device) + (starts - before)[owner], owner

    def _numbers(self, nodes: Tensor) -> Tensor:
        """Return for each node of the graph its position among ``nodes``, or -1."""
        number = torch.full((self.num_nodes,), -1, device=nodes.device)
        number[nodes] = torch.arange(len(nodes), device=nodes.device)
        return number

    def _expect_nodes(self, nodes: Tensor, method: str) -> Tensor:
        """Return the nodes as int64 on the graph's device, or raise if they cannot be picked."""
        self._expect_square(method)
        expect(self.num_graphs == 1, "graph", "one graph", f"{self.num_graphs} in a batch")
        expect_tensor(nodes, "nodes", "int", ndim=1, exact=True)
        nodes = nodes.to(self.source.device, torch.long)
        if len(nodes):
            low, high = int(nodes.min()), int(nodes.max())
            none = "no nodes, since the graph has none"
            wanted = f"nodes 0 to {self.num_nodes - 1}" if self.num_nodes else none
            expect(low >= 0 and high < self.num_nodes, "nodes", wanted, f"{low} to {high}")
            once = len(nodes.unique()) == len(nodes)
            expect(once, "nodes", "each node once", "one of them twice")
        return nodes

    # What a Graph has.
    indptr: Any
    num_graphs: Any

    def _with(self: Self, **parts: Any) -> Self:
        raise NotImplementedError

    def _expect_square(self, what: str) -> None:
        raise NotImplementedError


def _others(ends: Tensor, known: Tensor) -> Tensor:
    """Return the nodes among the ends of some edges that are not known, each once, in order."""
    found: Tensor = ends.unique()
    return found[~torch.isin(found, known)]


def _drawn(
    owner: Int[Tensor, " edges"],
    size: int,
    generator: torch.Generator | None,
    always: Bool[Tensor, " edges"] | None = None,
) -> Bool[Tensor, " edges"]:
    """Return which edges are drawn: at most ``size`` of each owner's, all subsets equally likely.

    Each edge gets a random number, and each owner keeps its edges with the smallest ones. Those
    that are kept in any case are not counted.
    """
    device = owner.device if generator is None else generator.device
    numbers = torch.rand(len(owner), generator=generator, device=device, dtype=torch.float64)
    numbers = numbers.to(owner.device)
    if always is not None:
        numbers[always] = 1  # above all that are drawn
    order = numbers.argsort()
    order = order[owner[order].argsort(stable=True)]  # by owner, and by number for each owner
    counts = owner.bincount()
    before = counts.cumsum(0) - counts
    rank = torch.arange(len(owner), device=owner.device) - before[owner]
    kept = torch.zeros_like(owner, dtype=torch.bool)
    kept[order[rank < size]] = True
    return kept if always is None else kept | always
