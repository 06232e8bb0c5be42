"""From the GAT paper to its authors' code: one difference after another, on the Planetoid sets."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gatutils._gat import pair_scores, score_halves
from gatutils._kernels import dropout_mask, weighted_row_sums
from gatutils._layers import States
from gatutils.book.experiments.published import (
    PublishedPlan,
    fit_published,
    inputs,
    loss_and_accuracy,
    scores_on,
    seen_from,
)
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv
from gatutils.message_passing import GraphNet
from gatutils.planetoid import Planetoid
from gatutils.sparse import CSRMatrix
from gatutils.training import EarlyStopping

RULES: tuple[Literal["both", "loss", "accuracy"], ...] = ("both", "loss", "accuracy")
"""What early stopping monitors; see :class:`~gatutils.training.EarlyStopping`."""


class AuthorsGATConv(GATConv):
    r"""A GAT layer with what the authors' code has and the paper does not mention.

    With every option off it is :class:`~gatutils.graph_attention.GATConv`, except that it drops
    out its inputs itself. Given a pair of states, a node that is in both is dropped out twice, with
    different masks; in a block of :meth:`~gatutils.graph.Graph.sample` once.

    Args:
        in_features: Width of a state.
        out_features: Width of a new state in each head.
        heads: Number of attention heads.
        concat: Concatenate the heads; otherwise average them.
        dropout: Probability of dropout of the inputs, of the attention weights and, with
            ``dropout_of_values``, of the values.
        dropout_of_values: Drop out the values :math:`W h_j` as well; the scores still see them all.
        dropout_per_head: Drop out the inputs with a mask for each head, instead of one for all.
        score_biases: Add a bias to each half of the score.
        head_biases: Give each head a bias of its own, also where the heads are averaged.
        wider_start: Initialise each half of ``a`` as a layer with one output; its bound is then
            :math:`\sqrt{6 / (d + 1)}` instead of :math:`\sqrt{6 / (2 d + 1)}`, where d is
            ``out_features``.

    Source:
        ``attn_head`` in utils/layers.py of https://github.com/PetarV-/GAT.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        heads: int = 1,
        concat: bool = True,
        dropout: float = 0.0,
        *,
        dropout_of_values: bool = False,
        dropout_per_head: bool = False,
        score_biases: bool = False,
        head_biases: bool = False,
        wider_start: bool = False,
    ) -> None:
        super().__init__(in_features, out_features, heads, concat, dropout=dropout)
        self.dropout_of_values, self.dropout_per_head = dropout_of_values, dropout_per_head
        self.b_scores = nn.Parameter(torch.zeros(2, heads)) if score_biases else None
        self.b_heads = nn.Parameter(torch.zeros(heads, out_features)) if head_biases else None
        if head_biases:
            self.b = None
        if wider_start:
            bound = math.sqrt(6 / (out_features + 1))
            nn.init.uniform_(self.a, -bound, bound)

    def project(self, states: States) -> tuple[Tensor, Tensor, Tensor]:
        """Return the projection as query and key, and with its own dropout as value."""
        if not self.training:
            projected = self._map(states, self.W)
        elif self.dropout_per_head:
            projected = self._map_per_head(states)
        else:
            projected = self._map(_dropped(states, self.dropout), self.W)
        drops = self.dropout_of_values and self.training
        value = projected * dropout_mask(projected, self.dropout) if drops else projected
        return projected, projected, value

    def _map_per_head(self, states: States) -> Tensor:
        """Apply each head's matrix to inputs that were dropped out for this head."""
        if isinstance(states, CSRMatrix):
            kept = states.values.expand(self.heads, -1)
            kept = kept * dropout_mask(kept, self.dropout)
            return weighted_row_sums(kept.T, self.W.permute(2, 0, 1), states.pattern)
        copies = states.expand(self.heads, -1, -1)
        by_head = (copies * dropout_mask(copies, self.dropout)) @ self.W.transpose(1, 2)
        return by_head.transpose(0, 1)

    def score(
        self, query: Tensor, key: Tensor, graph: Graph, edge_features: Tensor | None = None
    ) -> Tensor:
        """Add a bias to each half of the score."""
        if self.b_scores is None:
            return super().score(query, key, graph, edge_features)
        of_query, of_key = score_halves(query, key, self.a)
        of_query = of_query[: graph.num_nodes] + self.b_scores[0]  # in a block there are more
        of_key = of_key + self.b_scores[1]
        return pair_scores(of_query, of_key, None, self.negative_slope, graph.pattern)

    def join_heads(self, out: Tensor, *, in_place: bool = False) -> Tensor:
        """Add each head's own bias before the heads are joined."""
        if self.b_heads is not None:
            out = out + self.b_heads
        return super().join_heads(out, in_place=in_place)


def _dropped(states: States, p: float) -> States:
    """Apply dropout as the layers do to their weights, faster on CPUs than torch's own."""
    if isinstance(states, CSRMatrix):
        return states.dropout(p)
    return states * dropout_mask(states, p)


@dataclass(frozen=True, kw_only=True)
class LadderPlan(PublishedPlan):
    """The GAT paper's network with some of the differences; see :class:`AuthorsGATConv`.

    The scores are the accuracies on the test set with early stopping by both loss and accuracy, by
    the loss alone, and by the accuracy alone, on the validation set. All three come from one
    training, since what is monitored does not affect it.

    Attributes:
        heads_out: Number of heads of the last layer, which are averaged.
        dropout_of_values: See :class:`AuthorsGATConv`.
        dropout_per_head: See :class:`AuthorsGATConv`.
        score_biases: See :class:`AuthorsGATConv`.
        head_biases: See :class:`AuthorsGATConv`.
        wider_start: See :class:`AuthorsGATConv`.
    """

    heads_out: int = 1
    steps: int = 100_000
    lr: float = 0.005
    weight_decay: float = 5e-4
    dropout_of_values: bool = False
    dropout_per_head: bool = False
    score_biases: bool = False
    head_biases: bool = False
    wider_start: bool = False

    def network(self, words: int, classes: int) -> GraphNet:
        """Return the untrained network."""
        options = {
            "dropout_of_values": self.dropout_of_values,
            "dropout_per_head": self.dropout_per_head,
            "score_biases": self.score_biases,
            "head_biases": self.head_biases,
            "wider_start": self.wider_start,
        }
        first = AuthorsGATConv(words, 8, 8, dropout=0.6, **options)
        last = AuthorsGATConv(64, classes, self.heads_out, concat=False, dropout=0.6, **options)
        return GraphNet([first, last], activation=functional.elu)

    def train(self, data: Planetoid, words: int, seed: int) -> dict[str, Any]:
        """Build and train the network, and return its scores under each rule.

        Returns:
            ``scores``, the accuracies on the test set; ``valid``, on the validation set;
            ``steps``, how many steps were taken until each rule stopped; ``best``, the step,
            counted from 1, whose parameters each rule chose.
        """
        net = self.network(words, data.classes)
        train, valid = seen_from(data, data.train), seen_from(data, data.valid)
        found = (0.0, 0.0)
        rules = [EarlyStopping(lambda _: found, monitor=rule) for rule in RULES]

        def loss(model: nn.Module, _: object) -> Tensor:
            return loss_and_accuracy(model(*train.inputs), train.labels)[0]

        def all_have_stopped(model: nn.Module) -> bool:
            nonlocal found
            value, accuracy = loss_and_accuracy(model(*valid.inputs), valid.labels)
            found = float(value), accuracy
            return all([rule.stopped or rule(model) for rule in rules])

        fit_published(
            net,
            loss,
            self.steps,
            lr=self.lr,
            weight_decay=self.weight_decay,
            seed=seed,
            stop=all_have_stopped,
        )
        features, graph = inputs(data)
        scores = []
        for rule in rules:
            rule.restore(net)
            scores.append(scores_on(net, features, graph, data))
        return {
            "scores": [test for test, _ in scores],
            "valid": [valid for _, valid in scores],
            "steps": [rule.steps for rule in rules],
            "best": [1 + (rule.best or 0) for rule in rules],
        }
