"""Chapter 11: which layers learn to look up a value by its key."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatutils._checks import expect, expect_int
from gatutils.book.experiments.nodes import labels_of
from gatutils.book.experiments.plan import Plan
from gatutils.book.experiments.witnesses import answer_loss, with_one_matrix, witness_accuracy
from gatutils.book.tasks.dictionaries import dictionaries
from gatutils.graph import Graph
from gatutils.graph_attention import (
    GATConv,
    GATv2Conv,
    attend_edges,
)
from gatutils.message_passing import SAGEConv
from gatutils.training import fit, seed_everything


class DotConv(nn.Module):
    r"""Chapter 4's attention along the edges of a graph: one head, :math:`q_i^\top k_j / \sqrt d`.

    Args:
        dim: Width of a state.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.Q = nn.Linear(dim, dim, bias=False)
        self.K = nn.Linear(dim, dim, bias=False)
        self.V = nn.Linear(dim, dim, bias=False)

    def forward(
        self,
        states: Float[Tensor, "nodes dim"],
        graph: Graph,
        return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the contexts, and with ``return_attention_weights`` the weights.

        The weights have shape (num_edges, 1) and are in the order of the graph's edges.
        """
        queries, keys = self.Q(states)[graph.target], self.K(states)[graph.source]
        scores = (queries * keys).sum(dim=1) / math.sqrt(states.shape[1])
        context, weights = attend_edges(scores, self.V(states), graph)
        return (context, weights.unsqueeze(1)) if return_attention_weights else context


class Lookup(nn.Module):
    """An embedding, one graph layer, and a linear layer that predicts the value.

    Args:
        keys: k, as in :func:`~gatutils.book.tasks.dictionaries.dictionaries`.
        layer: ``"GAT"``, ``"GATv2"``, ``"GATv2-shared"`` (W = U, one matrix for queries and keys),
            ``"dot"`` (:class:`DotConv`) or ``"mean"`` (SAGE).
        heads: Number of attention heads, for GAT and GATv2.
        width: Width of a state, and of all heads together.

    Source:
        Brody et al. (2022), section 4.1, with each type of layer.
    """

    def __init__(self, keys: int, layer: str, heads: int = 1, width: int = 64) -> None:
        super().__init__()
        made: dict[str, Callable[[], nn.Module]] = {
            "GAT": lambda: GATConv(width, width // heads, heads),
            "GATv2": lambda: GATv2Conv(width, width // heads, heads),
            "GATv2-shared": lambda: with_one_matrix(GATv2Conv(width, width // heads, heads)),
            "dot": lambda: DotConv(width),
            "mean": lambda: SAGEConv(width, width),
        }
        expect(layer in made, "layer", f"one of {', '.join(made)}", repr(layer))
        expect_int(heads, "heads", least=1)
        expect(width % heads == 0, "heads", f"a divisor of width ({width})", heads)
        self.embed = nn.Linear(2 * keys, width, bias=False)  # a one-hot vector selects a column
        nn.init.normal_(self.embed.weight)  # as torch initialises embeddings
        self.layer = made[layer]()
        self.classifier = nn.Linear(width, keys)

    def forward(
        self, features: Float[Tensor, "nodes features"], graph: Graph
    ) -> Float[Tensor, "nodes keys"]:
        """Return a logit for each value at each node; only those of the queries are used."""
        return cast(Tensor, self.classifier(self.layer(self.embed(features), graph)))


def fit_lookup(
    net: nn.Module,
    keys: int,
    seed: int = 0,
    *,
    steps: int = 600,
    batch_size: int = 32,
    lr: float = 0.01,
    every: int = 50,
    test_count: int = 512,
) -> tuple[list[float], float]:
    """Train ``net`` to look up values, on fresh dictionaries for each batch.

    The test set is drawn first, then a validation set to monitor the training; their permutations
    are excluded from the training. Neither set is used to select anything: the number of steps is
    fixed, and the parameters are those of the last step.

    Args:
        net: Called as ``net(features, graph)``.
        keys: k.
        seed: Seed of the dictionaries.
        steps: Number of batches.
        batch_size: Number of dictionaries in a batch.
        lr: See :func:`~gatutils.training.fit`.
        every: Steps between two evaluations on the validation set.
        test_count: Number of dictionaries in the test set, and in the validation set.

    Returns:
        The accuracy on the queries of the validation set, once per ``every`` steps, and that on the
        test set.
    """
    generator = torch.Generator().manual_seed(seed)
    test = dictionaries(keys, test_count, generator)
    excluded = set(map(tuple, labels_of(test).view(test_count, -1)[:, :keys].tolist()))
    validation = dictionaries(keys, test_count, generator, excluded)
    excluded |= set(map(tuple, labels_of(validation).view(test_count, -1)[:, :keys].tolist()))
    stream = (dictionaries(keys, batch_size, generator, excluded) for _ in iter(int, 1))
    history = fit(
        net,
        stream,
        answer_loss,
        steps,
        lr=lr,
        seed=seed,
        evaluate=lambda model: witness_accuracy(model, validation),
        every=every,
    )
    return [score for _, score in history.scores], witness_accuracy(net, test)


@dataclass(frozen=True, kw_only=True)
class DictionaryPlan(Plan):
    """A network of chapter 11, which looks up values; its score is the accuracy on the test set.

    The accuracy on the validation set during training is stored too.

    Attributes:
        layer: See :class:`Lookup`.
        heads: See :class:`Lookup`.
        keys: See :class:`Lookup`.
        width: See :class:`Lookup`.
        batch_size: Number of dictionaries in a batch.
        lr: See :func:`~gatutils.training.fit`.
        every: See :func:`fit_lookup`.
        test_count: Number of dictionaries in the test set, and in the validation set.
    """

    layer: Literal["GAT", "GATv2", "GATv2-shared", "dot", "mean"]
    heads: int
    keys: int
    width: int = 64
    steps: int = 1500
    batch_size: int = 32
    lr: float = 0.01
    every: int = 50
    test_count: int = 512

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network with one seed, and test it."""
        seed_everything(seed)
        net = Lookup(self.keys, self.layer, self.heads, self.width)
        validation, accuracy = fit_lookup(
            net,
            self.keys,
            seed,
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            every=self.every,
            test_count=self.test_count,
        )
        return {"scores": [accuracy], "validation": validation}
