"""Graphs derived from a graph: other edges, other numbers for the nodes."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from gatutils._checks import expect, expect_tensor
from gatutils._csr import derived

__all__ = ["Derived"]

Kind = TypeVar("Kind", bound="Derived")


class Derived:
    """The methods of a :class:`~gatutils.graph.Graph` that return one with the same nodes."""

    num_nodes: int
    num_edges: Any
    num_graphs: Any
    source: Tensor
    target: Tensor
    edge_order: Tensor
    edge_index: Any
    features: Tensor | None
    labels: Tensor | None
    pattern: Any
    _given: int

    def _with(self: Kind, **parts: Any) -> Kind:
        raise NotImplementedError

    def _expect_square(self, what: str) -> None:
        raise NotImplementedError

    def with_self_loops(self: Kind) -> Kind:
        """Return the graph in which each node has exactly one self-loop.

        An existing self-loop remains the given edge that it was (of several, the first). The one
        added to node i is, in ``edge_order``, row i after the rows of the given edges.

        Raises:
            ValueError: If the graph is bipartite.
        """
        looped: Kind = self._looped
        return looped

    @derived
    def _looped(self) -> Any:
        every = torch.arange(self.num_nodes, device=self.source.device)
        return self._with(
            source=torch.cat([self.source, every])[self.loop_order],
            target=torch.cat([self.target, every])[self.loop_order],
            edge_order=torch.cat([self.edge_order, self._given + every])[self.loop_order],
            _given=self._given + self.num_nodes,
        )

    @derived
    def loop_order(self) -> Int[Tensor, " looped_edges"]:
        """For each edge of :meth:`with_self_loops`, its row among this graph's edges and the loops.

        It permutes data that are in the order of ``source`` and ``target``, followed by one row
        per node for the added loops: ``torch.cat([data, of_loops])[graph.loop_order]``.
        """
        self._expect_square("a self-loop")
        number = self.num_edges + torch.arange(self.num_nodes, device=self.source.device)
        loops = (self.source == self.target).nonzero().squeeze(1)
        owner = self.target[loops]
        first = torch.ones_like(owner, dtype=torch.bool)
        first[1:] = owner[1:] != owner[:-1]
        number[owner[first]] = loops[first]
        proper = (self.source != self.target).nonzero().squeeze(1)
        every = torch.arange(self.num_nodes, device=self.source.device)
        order = torch.cat([self.target[proper], every]).argsort(stable=True)
        return torch.cat([proper, number])[order]

    def without_self_loops(self: Kind) -> Kind:
        """Return the graph without self-loops; its other edges keep their order.

        Raises:
            ValueError: If the graph is bipartite.
        """
        self._expect_square("a self-loop")
        return self._some(self.source != self.target)

    def without_duplicates(self: Kind) -> Kind:
        """Return the graph with each edge once, the first of several.

        The edges of one target are then sorted by their sources.
        """
        by_source = self.pattern.order
        order = by_source[self.target[by_source].argsort(stable=True)]
        ends = self.edge_index[:, order]
        new = torch.ones_like(order, dtype=torch.bool)
        new[1:] = (ends[:, 1:] != ends[:, :-1]).any(dim=0)
        return self._some(order[new])

    def permute(self: Kind, order: Int[Tensor, " num_nodes"]) -> Kind:
        """Return the graph with its nodes renumbered: its node k is node ``order[k]`` of this one.

        Raises:
            TypeError: If ``order`` is not an integer tensor.
            ValueError: If it is not a permutation of the nodes, or this is a batch of several
                graphs or a bipartite graph.
        """
        self._expect_square("permute")
        expect_tensor(order, "order", "int", ndim=1, exact=True)
        every = torch.arange(self.num_nodes, device=order.device)
        whole = len(order) == self.num_nodes and torch.equal(order.sort().values, every)
        none = "no numbers, since there are no nodes"
        wanted = f"each of 0 to {self.num_nodes - 1} once" if self.num_nodes else none
        expect(whole, "order", wanted, order.tolist())
        expect(self.num_graphs == 1, "graph", "one graph", f"{self.num_graphs} in a batch")
        number = order.argsort()
        target, sorting = number[self.target].sort(stable=True)
        return self._with(
            source=number[self.source][sorting],
            target=target,
            edge_order=self.edge_order[sorting],
            features=None if self.features is None else self.features[order],
            labels=None if self.labels is None else self.labels[order],
        )

    def _some(self: Kind, edges: Tensor | slice) -> Kind:
        """Return the graph with a subset of the edges, selected by indices or by a mask."""
        names = ("source", "target", "edge_order")
        return self._with(**{name: getattr(self, name)[edges] for name in names})
