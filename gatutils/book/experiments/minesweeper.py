"""The page of results: which layers find the mines on a board of Minesweeper."""

import itertools
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gatutils._checks import expect, expect_int, expect_tensor
from gatutils.book.experiments.attention import fix_equal_weights, normalised_entropy
from gatutils.book.experiments.nodes import features_and_labels
from gatutils.book.experiments.plan import Plan
from gatutils.book.tasks.minesweeper import MOST, minesweeper, split_cells
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv, GraphAttention
from gatutils.message_passing import aggregate
from gatutils.training import EarlyStopping, fit, seed_everything

MineLayer = Literal["GCN", "SAGE", "GAT", "GATv2", "GAT-sep"]

SHARED, SHOWN = 10**6, 10**6 + 1
"""Seeds of the one board that several runs share, and of the small board that is shown."""


class MineBlock(nn.Module):
    """A residual block: layer norm, an aggregation, and a feed-forward network.

    Args:
        layer: How a cell aggregates: ``"GCN"`` takes the degree-weighted sum, ``"SAGE"`` the mean,
            the others attend. ``"SAGE"`` and ``"GAT-sep"`` keep the cell's own state apart: they
            aggregate the neighbours alone, and concatenate the result to the cell's state.
        dim: Width of a state.
        heads: Number of attention heads, a divisor of ``dim``.
        dropout: Probability of dropout in the feed-forward network.
    """

    def __init__(self, layer: MineLayer, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        expect(layer in get_args(MineLayer), "layer", "a MineLayer", repr(layer))
        expect_int(heads, "heads", least=1)
        expect(dim % heads == 0, "heads", f"a divisor of dim ({dim})", heads)
        self.layer, self.separate = layer, layer in ("SAGE", "GAT-sep")
        self.norm = nn.LayerNorm(dim)
        made = {"GAT": GATConv, "GAT-sep": GATConv, "GATv2": GATv2Conv}
        self.attention = made[layer](dim, dim // heads, heads) if layer in made else None
        self.feed_forward = nn.Sequential(
            nn.Linear(2 * dim if self.separate else dim, dim),
            nn.Dropout(dropout),
            nn.GELU(),
            nn.Linear(dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, states: Float[Tensor, "cells dim"], graph: Graph) -> Tensor:
        """Return the new states."""
        given = self.norm(states)
        if self.attention is not None:
            received = self.attention(given, graph)
        else:
            received = aggregate(given, graph, "mean" if self.layer == "SAGE" else "symmetric")
        received = torch.cat([given, received], dim=1) if self.separate else received
        return states + cast(Tensor, self.feed_forward(received))


class MineNet(nn.Module):
    """A linear layer, residual blocks, a layer norm and a linear layer: one logit per cell.

    The layers and their order are those of the authors' code, in which an aggregation and a
    feed-forward network form one residual block and each cell has a self-loop unless its state is
    kept apart. Three details differ: attention has no constant inside the LeakyReLU; ``"GAT-sep"``
    keeps the cell's state apart before the projection W rather than after it; and the authors have
    no ``"GATv2"``.

    Args:
        layer: See :class:`MineBlock`.
        dim: Width of a state; the authors' is 512.
        depth: Number of blocks; the authors choose 1 to 5 by the validation set.
        heads: See :class:`MineBlock`; the authors have 8.
        dropout: See :class:`MineBlock`; it also follows the first linear layer.

    Source:
        Platonov et al. (2023), section 5, and the code published with it.
    """

    def __init__(
        self, layer: MineLayer, dim: int, depth: int, heads: int, dropout: float = 0.2
    ) -> None:
        super().__init__()
        expect_int(depth, "depth", least=1)
        self.read = nn.Sequential(nn.Linear(2 + MOST, dim), nn.Dropout(dropout), nn.GELU())
        self.blocks = nn.ModuleList(MineBlock(layer, dim, heads, dropout) for _ in range(depth))
        self.write = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 1))

    def forward(
        self, features: Float[Tensor, "cells features"], graph: Graph
    ) -> Float[Tensor, " cells"]:
        """Return the logit of a mine in each cell."""
        graph, states = self.edges(graph), self.read(features)
        for block in self.blocks:
            states = block(states, graph)
        return cast(Tensor, self.write(states)).squeeze(1)

    def edges(self, graph: Graph) -> Graph:
        """Return the graph along whose edges the blocks aggregate."""
        return graph if cast(MineBlock, self.blocks[0]).separate else graph.with_self_loops()

    @torch.no_grad()
    def attention_weights(
        self, features: Float[Tensor, "cells features"], graph: Graph
    ) -> list[Float[Tensor, "edges heads"]]:
        """Return each block's weights, in the order of :meth:`edges`; none without attention.

        The network is left in evaluation mode.
        """
        graph, states, found = self.edges(graph), self.eval().read(features), []
        for block in self.blocks:
            attention = cast(MineBlock, block).attention
            if isinstance(attention, GraphAttention):
                given = cast(MineBlock, block).norm(states)
                found.append(attention(given, graph, return_attention_weights=True)[1])
            states = block(states, graph)
        return found


def roc_auc(scores: Float[Tensor, " cells"], labels: Tensor) -> float:
    """Return the area under the ROC curve: how often a positive scores above a negative.

    It is the share of all pairs of a positive and a negative in which the positive has the higher
    score; a tie counts half.

    Args:
        scores: The higher, the more likely the label is positive.
        labels: 1 or True for a positive, 0 or False for a negative.

    Raises:
        TypeError: If ``scores`` is not a float tensor.
        ValueError: If sizes do not match, or there is no positive or no negative.

    Source:
        Hanley and McNeil (1982) show that the area is this share.
    """
    expect_tensor(scores, "scores", "float", ndim=1, exact=True)
    expect(labels.shape == scores.shape, "labels", f"{len(scores)} of them", len(labels))
    positive, negative = scores[labels == 1], scores[labels == 0].sort().values
    both = min(len(positive), len(negative)) > 0
    expect(both, "labels", "a positive and a negative", "one kind only")
    below = torch.searchsorted(negative, positive)  # how many negatives score less
    up_to = torch.searchsorted(negative, positive, right=True)  # or as much
    return float((below + up_to).double().mean() / (2 * len(negative)))


def fit_mines(
    net: nn.Module,
    graph: Graph,
    train: Bool[Tensor, " cells"],
    valid: Bool[Tensor, " cells"],
    seed: int = 0,
    *,
    steps: int,
    every: int,
    lr: float,
) -> tuple[int, float]:
    """Train ``net`` to find the mines, and restore the parameters of its best step.

    Args:
        net: Called as ``net(features, graph)``; its parameters are not reinitialised.
        graph: The board, with features and labels.
        train: The cells whose labels enter the loss.
        valid: The cells whose ROC AUC decides which step is the best.
        seed: Seed of dropout.
        steps: Number of steps, each on the whole board.
        every: Steps between two validations.
        lr: See :func:`~gatutils.training.fit`.

    Returns:
        The best step, counted from 1, and its ROC AUC on the validation set.
    """
    features, labels = features_and_labels(graph)

    def loss(model: nn.Module, _: object) -> Tensor:
        return binary_cross_entropy_with_logits(
            model(features, graph)[train], labels[train].float()
        )

    def validate(model: nn.Module) -> tuple[float, float]:
        return 0.0, roc_auc(model(features, graph)[valid], labels[valid])

    best = EarlyStopping(validate, patience=steps, monitor="accuracy")
    forever = itertools.repeat(None)
    fit(net, forever, loss, steps, lr=lr, seed=seed, evaluate=best, every=every)
    best.restore(net)
    return (cast(int, best.best) + 1) * every, best.accuracy


@dataclass(frozen=True, kw_only=True)
class MinePlan(Plan):
    """A network of :class:`MineNet` that finds the mines on a board of its own, or a shared one.

    The scores are the ROC AUC on the test set and on the validation set. The best step, the number
    of trained parameters and, with attention, the normalised entropy of each head in each block are
    stored too. The settings are far smaller than the authors'; the learning rate was chosen with
    GAT in shorter runs, by the validation set of a board that no stored run uses.

    Attributes:
        layer: See :class:`MineBlock`.
        board: ``"own"`` if the board is drawn with the seed of the run, ``"shared"`` if it is the
            same for all seeds. The split is drawn with the seed in both cases.
        equal: Whether ``a`` is fixed at zero, so that all weights of a cell are equal.
        size: Number of cells along each side.
        dim: See :class:`MineNet`.
        depth: See :class:`MineNet`.
        heads: See :class:`MineNet`.
        dropout: See :class:`MineNet`.
        lr: See :func:`fit_mines`.
        every: See :func:`fit_mines`.
        shown: If above 0, the trained network is given another, small board with so many cells
            along each side, and its probabilities of a mine and the first block's weights are
            stored, both in percent; see :func:`shown_to`.
    """

    layer: MineLayer
    board: Literal["own", "shared"] = "own"
    equal: bool = False
    size: int = 100
    dim: int = 32
    depth: int = 3
    heads: int = 4
    dropout: float = 0.2
    steps: int = 200
    lr: float = 0.02
    every: int = 10
    shown: int = 0

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network with one seed, and test it."""
        drawn = torch.Generator().manual_seed(seed if self.board == "own" else SHARED)
        graph = minesweeper(self.size, drawn)
        features, labels = features_and_labels(graph)
        split = split_cells(labels, torch.Generator().manual_seed(seed))
        seed_everything(seed)
        net = MineNet(self.layer, self.dim, self.depth, self.heads, self.dropout)
        if self.equal:
            fix_equal_weights(net)
        best, validation = fit_mines(
            net,
            graph,
            split.train,
            split.valid,
            seed,
            steps=self.steps,
            every=self.every,
            lr=self.lr,
        )
        with torch.no_grad():
            logits = net.eval()(features, graph)
        found: dict[str, Any] = {
            "scores": [roc_auc(logits[split.test], labels[split.test]), validation],
            "best": best,
            "parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
        }
        weights = net.attention_weights(features, graph)
        if weights:
            edges = net.edges(graph)
            found["normalised_entropy"] = [normalised_entropy(w, edges).tolist() for w in weights]
        if self.shown:
            found |= shown_to(net, shown_board(self.shown))
        return found


def shown_board(size: int) -> Graph:
    """Return the small board that every run with ``shown`` is given."""
    return minesweeper(size, torch.Generator().manual_seed(SHOWN))


@torch.no_grad()
def shown_to(net: MineNet, graph: Graph) -> dict[str, Any]:
    """Return what a trained network makes of a board, in whole percent.

    Returns:
        ``chances``, the probability of a mine in each cell; ``percents``, for each head of the
        first block and each cell, the weights of its neighbours in the order of their numbers,
        then its own if it attends to itself.
    """
    features, _ = features_and_labels(graph)
    chances = net.eval()(features, graph).sigmoid()
    weights, targets = net.attention_weights(features, graph)[0], net.edges(graph).target
    percents = [
        [(100 * head[targets == cell]).round().int().tolist() for cell in range(graph.num_nodes)]
        for head in weights.T
    ]
    return {"chances": (100 * chances).round().int().tolist(), "percents": percents}
