"""A graph from two tables: a CSV file of nodes, and one of edges."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gatutils._checks import expect, expect_list
from gatutils.graph import Graph

__all__ = ["CSVData", "from_csv"]


@dataclass(frozen=True)
class CSVData:
    """A graph that was read from tables, with the names in them.

    Attributes:
        graph: The graph, with features and, if there is a column of labels, labels.
        number: For each name of a node, its index in the graph.
        features: The names of the columns that became features.
        classes: The names of the classes: label k is ``classes[k]``. Label -1 is an empty cell.
    """

    graph: Graph
    number: dict[str, int]
    features: tuple[str, ...]
    classes: tuple[str, ...]


def from_csv(
    nodes: Path | str,
    edges: Path | str,
    *,
    name: str = "name",
    label: str | None = None,
    features: Sequence[str] | None = None,
    source: str = "source",
    target: str = "target",
    undirected: bool = False,
) -> CSVData:
    """Read a graph from a table of nodes and a table of edges, both CSV files in UTF-8.

    The first line of a file names its columns. The nodes are numbered in the order of their rows.

    Args:
        nodes: The file of the nodes, one row per node.
        edges: The file of the edges, one row per edge; other columns than the two ends are not
            read.
        name: The column of the nodes' names, which are all different.
        label: The column of their classes, if there is one; an empty cell means that the class is
            not known. Classes are numbered in alphabetical order.
        features: The columns of numbers that become features; by default all that are neither name
            nor label.
        source: The column of the name of the node where an edge begins.
        target: The column of the name of the node where it ends.
        undirected: See :meth:`~gatutils.graph.Graph.from_edges`.

    Raises:
        TypeError: If ``features`` is not a sequence of names.
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a row is not as described here: the message names
            the file and the line.
    """
    if features is not None:
        expect_list(features, "features", str)
    number: dict[str, int] = {}
    lines: list[int] = []
    rows, labels = list[list[float]](), list[str]()
    columns: tuple[str, ...] = ()
    for where, line, row in _rows(nodes, [name, *([label] if label else []), *(features or [])]):
        own = row[name]
        expect(bool(own), where, f"a name in the column {name!r}", "an empty cell")
        before = lines[number[own]] if own in number else None
        expect(before is None, where, "a name that is new", f"{own!r}, as in line {before}")
        number[own] = len(lines)
        lines.append(line)
        if not columns:
            columns = tuple(features or (each for each in row if each not in (name, label)))
        rows.append([_number(row[column], column, where) for column in columns])
        labels.append(row[label] if label else "")
    pairs = []
    for where, _, row in _rows(edges, [source, target]):
        for end in (source, target):
            wanted = f"the name of a node as {end!r}"
            expect(row[end] in number, where, wanted, repr(row[end]))
        pairs.append((number[row[source]], number[row[target]]))
    classes = sorted(set(labels) - {""})
    of_class = {each: k for k, each in enumerate(classes)} | {"": -1}
    graph = Graph.from_edges(
        pairs,
        len(number),
        undirected=undirected,
        features=torch.tensor(rows).reshape(len(number), len(columns)) if columns else None,
        labels=torch.tensor([of_class[each] for each in labels]) if label else None,
    )
    return CSVData(graph, number, columns, tuple(classes))


def _rows(path: Path | str, needed: Sequence[str]) -> Iterator[tuple[str, int, dict[str, str]]]:
    """Yield for each row where it is, in words and as the number of its line, and its cells."""
    line = 1
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            where = f"{path}, line 1"
            for column in needed:
                got = ", ".join(header) or "an empty line"
                expect(column in header, where, f"a column {column!r}", got)
            twice = [column for column in header if header.count(column) > 1]
            expect(not twice, where, "columns of different names", f"{twice[:1]} twice")
            for cells in reader:
                line = reader.line_num
                if cells:  # not an empty line
                    where = f"{path}, line {line}"
                    expect(len(cells) == len(header), where, f"{len(header)} cells", len(cells))
                    yield where, line, dict(zip(header, map(str.strip, cells), strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: expected CSV, got {error}") from error
    except UnicodeDecodeError as error:
        where = f"{path}, after line {line}"
        raise ValueError(f"{where}: expected UTF-8, got {error.reason}") from error


def _number(cell: str, column: str, where: str) -> float:
    """Return the number in a cell."""
    try:
        found = float(cell)
    except ValueError:
        found = math.nan
    expect(math.isfinite(found), where, f"a finite number as {column!r}", repr(cell))
    return found
