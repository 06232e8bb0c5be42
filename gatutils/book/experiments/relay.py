"""Chapter 9: how far along a path each type of layer carries a token."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gatutils._checks import expect, expect_int
from gatutils.book.experiments.plan import Plan
from gatutils.book.tasks.relay import TOKENS, relay
from gatutils.graph import Graph
from gatutils.message_passing import (
    GatedGraphConv,
    GCNConv,
    GINConv,
    SAGEConv,
)
from gatutils.training import fit, seed_everything

RelayLayer = Literal["gated", "SAGE", "GCN", "GIN", "tanh"]


class Relay(nn.Module):
    """One layer applied repeatedly, between two linear layers.

    Args:
        layer: ``"gated"``, ``"SAGE"``, ``"GCN"`` or ``"GIN"``, with a ReLU after the last three;
            ``"tanh"`` is a plain recurrent cell, the tanh of a SAGE layer with a sum.
        width: Width of a state.
        residual: Whether the layer's output is added to the state instead of replacing it.
        untied: If given, the number of layers with parameters of their own, applied one after
            another. If more rounds are requested, only this many are run.
    """

    def __init__(
        self,
        layer: RelayLayer,
        width: int = 32,
        residual: bool = False,
        untied: int | None = None,
    ) -> None:
        super().__init__()
        made: dict[str, Callable[[], nn.Module]] = {
            "gated": lambda: GatedGraphConv(width),
            "SAGE": lambda: SAGEConv(width, width),
            "GCN": lambda: GCNConv(width, width),
            "GIN": lambda: GINConv(width, width),
            "tanh": lambda: SAGEConv(width, width, "sum"),
        }
        expect(layer in made, "layer", f"one of {', '.join(made)}", repr(layer))
        if untied is not None:
            expect_int(untied, "untied", least=1)
        activations: dict[str, nn.Module] = {"gated": nn.Identity(), "tanh": nn.Tanh()}
        self.activation = activations.get(layer, nn.ReLU())
        self.residual, self.untied = residual, untied
        self.input_proj = nn.Linear(TOKENS + 1, width)
        self.layers = nn.ModuleList(made[layer]() for _ in range(untied or 1))
        self.classifier = nn.Linear(width, TOKENS)

    def forward(
        self, features: Float[Tensor, "nodes features"], graph: Graph, rounds: int
    ) -> Float[Tensor, "nodes tokens"]:
        """Return the logits of the token at each node after ``rounds`` rounds."""
        states = self.input_proj(features)
        layers = [self.layers[0]] * rounds if self.untied is None else self.layers[:rounds]
        for layer in layers:
            new = self.activation(layer(states, graph))
            states = states + new if self.residual else new
        return cast(Tensor, self.classifier(states))


def fit_relay(
    model: nn.Module,
    seed: int = 0,
    *,
    lengths: Sequence[int] = tuple(range(1, 17)),
    steps: int = 1500,
    batch_size: int = 16,
    lr: float = 0.01,
) -> None:
    """Train ``model`` to carry a token along paths, which are drawn afresh for each batch.

    Args:
        model: Called as ``model(features, graph, rounds)``, with one round more than edges.
        seed: Seed of the paths.
        lengths: The numbers of edges, from which one is drawn for each batch.
        steps: Number of batches.
        batch_size: Number of paths in a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)

    def stream() -> Iterator[tuple[Graph, int]]:
        while True:
            length = rng.choice(lengths)
            yield relay(length, batch_size, generator), length + 1

    def loss(model: nn.Module, batch: tuple[Graph, int]) -> Tensor:
        graph, rounds = batch
        return cross_entropy(model(graph.features, graph, rounds), cast(Tensor, graph.labels))

    fit(model, stream(), loss, steps, lr=lr, seed=seed)


@torch.no_grad()
def relay_accuracy(model: nn.Module, length: int, count: int = 200, seed: int = 10**6) -> float:
    """Return the fraction of paths whose last node predicts the first node's token."""
    expect_int(length, "length", least=1)
    graph = relay(length, count, torch.Generator().manual_seed(seed))
    predicted = model.eval()(graph.features, graph, length + 1).argmax(dim=1)
    right = (predicted == graph.labels).view(count, -1)
    return float(right[:, -1].double().mean())


@dataclass(frozen=True, kw_only=True)
class RelayPlan(Plan):
    """A network of chapter 9 that carries a token along paths.

    The scores are the fractions of paths whose last node predicts the first node's token, one for
    each length in the test.

    Attributes:
        layer: See :class:`Relay`.
        width: See :class:`Relay`.
        residual: See :class:`Relay`.
        untied: See :class:`Relay`.
        lengths: The numbers of edges of the training paths.
        batch_size: Number of paths in a batch.
        lr: See :func:`~gatutils.training.fit`.
        test_lengths: The numbers of edges of the test paths.
        test_count: Number of test paths of each length.
    """

    layer: RelayLayer
    width: int = 32
    residual: bool = False
    untied: int | None = None
    lengths: tuple[int, ...] = tuple(range(1, 17))
    steps: int = 1500
    batch_size: int = 16
    lr: float = 0.01
    test_lengths: tuple[int, ...] = (8, 16, 32, 64)
    test_count: int = 200

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network with one seed, and test it."""
        seed_everything(seed)
        net = Relay(self.layer, self.width, self.residual, self.untied)
        fit_relay(
            net,
            seed,
            lengths=self.lengths,
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
        )
        return {"scores": [relay_accuracy(net, n, self.test_count) for n in self.test_lengths]}
