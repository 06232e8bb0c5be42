"""Convert graphs to networkx and back, with chosen attributes of nodes and edges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import networkx as nx
import torch
from jaxtyping import Float
from torch import Tensor

from gatutils._checks import expect, expect_list, expect_square
from gatutils.graph import Graph

__all__ = ["NetworkxData", "from_networkx", "to_networkx"]


@dataclass(frozen=True)
class NetworkxData:
    """A converted networkx graph with what a :class:`~gatutils.graph.Graph` does not hold.

    Attributes:
        graph: The graph.
        number: For each name of a node in networkx, its index in the graph.
        nodes: The chosen node attributes: name -> tensor whose first axis counts nodes.
        edges: The chosen edge attributes: name -> tensor whose first axis counts the edges, in the
            order of ``graph.source`` and ``graph.target``.
    """

    graph: Graph
    number: dict[Hashable, int]
    nodes: dict[str, Tensor]
    edges: dict[str, Tensor]


@overload
def from_networkx(
    graph: nx.Graph,
    *,
    features: Tensor | None = ...,
    labels: Tensor | None = ...,
    node_attrs: Sequence[str] = ...,
    edge_attrs: Sequence[str] = ...,
    return_data: Literal[False] = ...,
) -> Graph: ...


@overload
def from_networkx(
    graph: nx.Graph,
    *,
    features: Tensor | None = ...,
    labels: Tensor | None = ...,
    node_attrs: Sequence[str] = ...,
    edge_attrs: Sequence[str] = ...,
    return_data: Literal[True],
) -> NetworkxData: ...


def from_networkx(
    graph: nx.Graph,
    *,
    features: Float[Tensor, "num_nodes dim"] | None = None,
    labels: Tensor | None = None,
    node_attrs: Sequence[str] = (),
    edge_attrs: Sequence[str] = (),
    return_data: bool = False,
) -> Graph | NetworkxData:
    """Convert a networkx graph; its nodes are numbered in the order in which it lists them.

    An undirected edge becomes two, one per direction (a self-loop one); parallel edges of a
    multigraph stay. ``edge_order`` refers to the edges in the order of ``graph.edges()``, where
    both directions are one edge.

    With ``return_data`` the names of the nodes and chosen attributes are kept::

        found = from_networkx(roads, edge_attrs=["length"], return_data=True)
        i = found.number["Paris"]
        found.edges["length"][found.graph.target == i]  # of the roads that lead to Paris

    Args:
        graph: Directed or not, a multigraph or not.
        features: Node features, shape (num_nodes, dim).
        labels: One per node.
        node_attrs: The node attributes to keep, which all nodes must have: numbers, or lists of
            numbers of one shape.
        edge_attrs: The edge attributes to keep, likewise; both directions of an undirected edge
            have its attributes.
        return_data: Return a :class:`NetworkxData` instead of the graph alone.

    Raises:
        TypeError: If ``graph`` is not a networkx graph, or the attributes are not sequences of
            names.
        ValueError: If sizes do not match, an attribute is missing somewhere or is not numeric, or
            attributes are named without ``return_data``.
    """
    if not isinstance(graph, nx.Graph):  # the base class of all of networkx's graphs
        raise TypeError(f"graph: expected a networkx graph, got {type(graph).__name__}")
    expect_list(node_attrs, "node_attrs", str)
    expect_list(edge_attrs, "edge_attrs", str)
    wanted = "True, since attributes are named"
    expect(return_data or not (node_attrs or edge_attrs), "return_data", wanted, return_data)
    number = {name: i for i, name in enumerate(graph)}
    converted = Graph.from_edges(
        [(number[j], number[i]) for j, i in graph.edges()],
        len(number),
        undirected=not graph.is_directed(),
        features=features,
        labels=labels,
    )
    if not return_data:
        return converted
    of_nodes = [data for _, data in graph.nodes(data=True)]
    of_edges = [data for *_, data in graph.edges(data=True)]
    given = {name: _attribute(of_edges, name, "edge_attrs") for name in edge_attrs}
    return NetworkxData(
        converted,
        number,
        {name: _attribute(of_nodes, name, "node_attrs") for name in node_attrs},
        {name: data[converted.edge_order] for name, data in given.items()},
    )


def _attribute(rows: list[dict[str, Any]], name: str, argument: str) -> Tensor:
    """Return one attribute of all nodes or edges as a tensor."""
    lacking = sum(name not in row for row in rows)
    expect(not lacking, argument, f"{name!r} at all {len(rows)}", f"{lacking} without it")
    values = [row[name] for row in rows]
    values = [value.tolist() if isinstance(value, Tensor) else value for value in values]
    try:
        return torch.tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        wanted = f"numbers of one shape as {name!r}"
        raise ValueError(f"{argument}: expected {wanted}, got {error}") from error


def to_networkx(
    graph: Graph,
    *,
    undirected: bool = False,
    node_attrs: Mapping[str, Tensor] | None = None,
    edge_attrs: Mapping[str, Tensor] | None = None,
    names: Sequence[Hashable] | None = None,
) -> nx.Graph:
    """Convert to a directed networkx graph; a multigraph if an edge is duplicated.

    Args:
        graph: The graph.
        undirected: Return an undirected graph, in which the two directions of an edge are one.
        node_attrs: Node attributes: name -> tensor whose first axis counts nodes. The values become
            Python numbers, or lists of them.
        edge_attrs: Edge attributes: name -> tensor whose first axis counts the edges, in the order
            of ``graph.source`` and ``graph.target``.
        names: The names of the nodes; by default their indices.

    Raises:
        TypeError: If ``graph`` is not a :class:`~gatutils.graph.Graph`, or an attribute not a
            tensor.
        ValueError: If sizes do not match, the graph is bipartite, names are equal, or
            ``undirected`` would lose something: an edge that leads only one way, or has other
            attributes the other way.
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a gatutils.Graph, got {type(graph)}")
    expect_square(graph.num_sources if graph.is_bipartite else None, "to_networkx")
    of_nodes = _rows(node_attrs or {}, graph.num_nodes, "node_attrs")
    of_edges = _rows(edge_attrs or {}, graph.num_edges, "edge_attrs")
    names = range(graph.num_nodes) if names is None else names
    different = len(names) == len(set(names)) == graph.num_nodes
    expect(different, "names", f"{graph.num_nodes} different names", f"{len(names)} names")
    ends = zip(graph.source.tolist(), graph.target.tolist(), strict=True)
    edges = [(j, i, data) for (j, i), data in zip(ends, of_edges, strict=True)]
    if undirected:
        there = Counter((j, i, repr(data)) for j, i, data in edges)
        both = there == Counter({(i, j, data): count for (j, i, data), count in there.items()})
        wanted = "each edge in both directions, with the same attributes"
        expect(both, "undirected", wanted, "one that is not")
        edges = [(j, i, data) for j, i, data in edges if j <= i]
    once = len({(j, i) for j, i, _ in edges}) == len(edges)
    kinds = (nx.Graph, nx.MultiGraph) if undirected else (nx.DiGraph, nx.MultiDiGraph)
    converted = kinds[0]() if once else kinds[1]()
    converted.add_nodes_from(zip(names, of_nodes, strict=True))
    converted.add_edges_from((names[j], names[i], data) for j, i, data in edges)
    return converted


def _rows(attributes: Mapping[str, Tensor], count: int, argument: str) -> list[dict[str, Any]]:
    """Return the attributes of each node or edge."""
    for name, data in attributes.items():
        if not isinstance(data, Tensor):
            raise TypeError(f"{argument}: expected a tensor as {name!r}, got {type(data).__name__}")
        fits = data.ndim > 0 and len(data) == count
        expect(fits, argument, f"{count} rows of {name!r}", f"shape {tuple(data.shape)}")
    columns = [data.tolist() for data in attributes.values()]
    rows = zip(*columns, strict=True) if columns else [()] * count
    return [dict(zip(attributes, row, strict=True)) for row in rows]
