"""Chapter 9: how far along a path each type of layer carries a token."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import (
    cross_entropy,
)

from gatutils._checks import expect, expect_int
from gatutils.book.tasks.relay import TOKENS, relay
from gatutils.graph import Graph
from gatutils.message_passing import (
    GatedGraphConv,
    GCNConv,
    GINConv,
    SAGEConv,
)
from gatutils.training import fit

Carrier = Literal["gated", "SAGE", "GCN", "GCN, added", "tanh", "GIN", "SAGE, untied"]


class Relay(nn.Module):
    """One layer applied repeatedly, between two linear layers.

    Args:
        kind: ``"gated"``, ``"SAGE"``, ``"GCN"`` or ``"GIN"``, with a ReLU after the last three;
            ``"GCN, added"`` adds the layer's output to the state instead of replacing it;
            ``"tanh"`` is a plain recurrent cell, the tanh of a SAGE layer with a sum;
            ``"SAGE, untied"`` has 17 layers that share no parameters, and at most 17 rounds.
        width: Width of a state.
    """

    def __init__(self, kind: Carrier, width: int = 32) -> None:
        super().__init__()
        made: dict[str, Callable[[], nn.Module]] = {
            "gated": lambda: GatedGraphConv(width),
            "SAGE": lambda: SAGEConv(width, width),
            "GCN": lambda: GCNConv(width, width),
            "GCN, added": lambda: GCNConv(width, width),
            "tanh": lambda: SAGEConv(width, width, "sum"),
            "GIN": lambda: GINConv(width, width),
            "SAGE, untied": lambda: SAGEConv(width, width),
        }
        expect(kind in made, "kind", f"one of {', '.join(made)}", repr(kind))
        self.kind = kind
        self.input_proj = nn.Linear(TOKENS + 1, width)
        self.layers = nn.ModuleList(made[kind]() for _ in range(17 if "untied" in kind else 1))
        self.classifier = nn.Linear(width, TOKENS)

    def forward(
        self, features: Float[Tensor, "nodes features"], graph: Graph, rounds: int
    ) -> Float[Tensor, "nodes tokens"]:
        """Return the logits of the token at each node after ``rounds`` rounds."""
        states = self.input_proj(features)
        tied = len(self.layers) == 1
        for k in range(rounds if tied else min(rounds, len(self.layers))):
            new = self.layers[0 if tied else k](states, graph)
            if self.kind == "gated":
                states = new
            elif self.kind == "tanh":
                states = new.tanh()
            else:
                states = new.relu() + (states if self.kind == "GCN, added" else 0)
        return cast(Tensor, self.classifier(states))


def fit_relay(
    model: nn.Module,
    seed: int = 0,
    *,
    lengths: Sequence[int] = tuple(range(1, 17)),
    steps: int = 1500,
    size: int = 16,
    lr: float = 0.01,
) -> None:
    """Train ``model`` to carry a token along paths, which are drawn afresh for each batch.

    Args:
        model: Called as ``model(features, graph, rounds)``, with one round more than edges.
        seed: Seed of the paths.
        lengths: The numbers of edges, from which one is drawn for each batch.
        steps: Number of batches.
        size: Number of paths in a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)

    def stream() -> Iterator[tuple[Graph, int]]:
        while True:
            length = rng.choice(lengths)
            yield relay(length, size, generator), length + 1

    def loss(model: nn.Module, batch: tuple[Graph, int]) -> Tensor:
        graph, rounds = batch
        return cross_entropy(model(graph.features, graph, rounds), cast(Tensor, graph.labels))

    fit(model, stream(), loss, steps, lr=lr, seed=seed)


@torch.no_grad()
def relay_accuracy(model: nn.Module, length: int, count: int = 200, seed: int = 10**6) -> float:
    """Return the fraction of paths whose last node predicts the first node's token."""
    expect_int(length, "length", least=1)
    graph = relay(length, count, torch.Generator().manual_seed(seed))
    said = model.eval()(graph.features, graph, length + 1).argmax(dim=1)
    right = (said == graph.labels).view(count, -1)
    return float(right[:, -1].double().mean())
