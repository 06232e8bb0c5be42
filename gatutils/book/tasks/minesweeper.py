"""Minesweeper, a benchmark of Platonov et al. (2023), drawn from its description."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import one_hot

from gatutils._checks import expect, expect_int, expect_tensor
from gatutils.graph import Graph

HIDDEN, MOST = 0, 5
"""The feature that marks a hidden cell, and the number from which all counts share a feature. A
cell that shows k mines has a one in feature 1 + k, or in feature 1 + ``MOST`` if k is larger."""


@dataclass(frozen=True)
class Split:
    """Three disjoint sets of cells, each a bool tensor with one entry per cell.

    Attributes:
        train: The cells whose labels enter the loss.
        valid: The cells that choose the step of the training.
        test: The cells of the test.
    """

    train: Bool[Tensor, " cells"]
    valid: Bool[Tensor, " cells"]
    test: Bool[Tensor, " cells"]


def minesweeper(
    size: int, generator: torch.Generator, mines: float = 0.2, hidden: float = 0.5
) -> Graph:
    """Draw a square board of the game Minesweeper, as a graph of its cells.

    Each cell is joined to its neighbours, up to eight. Its features are one-hot: either it is
    hidden, or it shows how many of its neighbours are mines. A mine shows its number too, unless
    it is hidden. The label of a cell is 1 if it is a mine, otherwise 0.

    Args:
        size: Number of cells along each side.
        generator: Draws the mines and, independently of them, the hidden cells.
        mines: Share of the cells that are mines, 0 to 1.
        hidden: Share of the cells that are hidden, 0 to 1.

    Returns:
        A graph whose cells are numbered row by row, with both directions of each edge and without
        self-loops. The edges of one target are sorted by their sources. The features have width
        2 + ``MOST``.

    Raises:
        TypeError: If ``size`` is not an int.
        ValueError: If ``size`` is below 1, or a share is not from 0 to 1.

    Source:
        Platonov et al. (2023), section 4, whose board has 100 cells along each side. As in the
        published file, the shares are exact and the counts from five on are one feature.
    """
    expect_int(size, "size", least=1)
    for share, name in ((mines, "mines"), (hidden, "hidden")):
        expect(0 <= share <= 1, name, "a share from 0 to 1", share)
    cells = size * size
    labels, covered = (_drawn(cells, share, generator) for share in (mines, hidden))
    at = torch.arange(cells).view(size, size)
    steps = [(0, 1), (1, -1), (1, 0), (1, 1)]
    ends = [torch.stack(_shifted(at, down, right)) for down, right in steps]
    one, other = torch.cat(ends, dim=1)
    source, target = torch.cat([one, other]), torch.cat([other, one])
    order = source.argsort(stable=True)
    edges = Graph(cells, source[order], target[order])
    near = torch.zeros(cells, dtype=torch.long)
    near.index_add_(0, edges.target, labels[edges.source].long())
    shown = torch.where(covered, HIDDEN, 1 + near.clamp(max=MOST))
    return edges.with_features(one_hot(shown, 2 + MOST).float(), labels.long())


def split_cells(labels: Int[Tensor, " cells"], generator: torch.Generator) -> Split:
    """Draw half of the cells for training, a quarter for validation, and a quarter for the test.

    Mines and other cells are split separately, so each set has the same share of mines.

    Args:
        labels: 1 for a mine, otherwise 0.
        generator: Draws the cells.

    Raises:
        TypeError: If ``labels`` is not an int tensor.
    """
    expect_tensor(labels, "labels", "int", ndim=1, exact=True)
    sets = torch.zeros(3, len(labels), dtype=torch.bool)
    for label in (0, 1):
        cells = (labels == label).nonzero().flatten()
        cells = cells[torch.randperm(len(cells), generator=generator)]
        ends = [len(cells) // 2, len(cells) * 3 // 4]
        for chosen, part in zip(sets, cells.tensor_split(ends), strict=True):
            chosen[part] = True
    return Split(*sets)


def _drawn(cells: int, share: float, generator: torch.Generator) -> Bool[Tensor, " cells"]:
    """Return a bool tensor that is True at exactly this share of the cells, rounded."""
    drawn = torch.zeros(cells, dtype=torch.bool)
    drawn[torch.randperm(cells, generator=generator)[: round(share * cells)]] = True
    return drawn


def _shifted(at: Int[Tensor, "rows columns"], down: int, right: int) -> tuple[Tensor, Tensor]:
    """Return the two ends of all edges that lead so many rows down and columns to the right."""
    size = len(at)
    columns = slice(max(0, -right), size - max(0, right))
    there = slice(max(0, right), size + min(0, right))
    return at[: size - down, columns].flatten(), at[down:, there].flatten()
