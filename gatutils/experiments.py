"""What the graph chapters train: one function an experiment.

A chapter runs it once; :mod:`gatutils.reproduce` runs it on many seeds and stores what came out.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot, pad

from gatutils.checks import expect, expect_int
from gatutils.datasets import (
    QUESTIONS,
    RELATIONS,
    TOKENS,
    Puzzle,
    PuzzleBatch,
    collate_puzzles,
    relay,
)
from gatutils.gnn import GCN, GIN, SAGE, Gated, GraphNet, How, Readout, aggregate
from gatutils.graph import Graph
from gatutils.training import fit

__all__ = [
    "Deep",
    "RelationalSAGE",
    "Relay",
    "Solver",
    "TokenReader",
    "accuracy",
    "carry",
    "far_end",
    "fit_nodes",
    "fit_puzzles",
    "fit_question",
    "grade",
    "label_propagation",
    "layers",
    "question_net",
    "smooth",
    "solved",
]

T = TypeVar("T")
LAYERS = {"GCN": GCN, "SAGE": SAGE, "GIN": GIN}


def layers(kind: str, widths: Sequence[int], how: How | None = None) -> list[nn.Module]:
    """Return layers from each width to the next.

    Args:
        kind: ``"GCN"``, ``"SAGE"`` or ``"GIN"``.
        widths: Of the features, of the states between, of the answer.
        how: How SAGE or GIN aggregate, if not as by default.
    """
    expect(kind in LAYERS, "kind", f"one of {', '.join(LAYERS)}", repr(kind))
    more = {} if how is None else {"how": how}
    return [LAYERS[kind](a, b, **more) for a, b in itertools.pairwise(widths)]


# ---- Nodes of one graph ----------------------------------------------------------------------


class Deep(nn.Module):
    """A linear layer, one gated layer called so many times, and a linear layer.

    Args:
        in_features: Width of the features.
        width: Of a state.
        out_features: Width of the answer.
        rounds: How many times.
        dropout: Share of the numbers that go dark before the linear layers, while training.
    """

    def __init__(
        self, in_features: int, width: int, out_features: int, rounds: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        expect_int(rounds, "rounds", least=0)
        self.read = nn.Linear(in_features, width)
        self.layer = Gated(width)
        self.say = nn.Linear(width, out_features)
        self.dropout = nn.Dropout(dropout)
        self.rounds = rounds

    def forward(
        self, features: Float[Tensor, "nodes features"], graph: Graph
    ) -> Float[Tensor, "nodes out"]:
        """Return one row for each node."""
        states = self.read(self.dropout(features)).relu()
        for _ in range(self.rounds):
            states = self.layer(states, graph)
        return cast(Tensor, self.say(self.dropout(states)))


def fit_nodes(
    net: nn.Module,
    graph: Graph,
    train: Bool[Tensor, " nodes"],
    seed: int = 0,
    *,
    steps: int = 200,
    lr: float = 0.01,
    weight_decay: float = 5e-4,
) -> None:
    """Train ``net`` to name the class of the nodes in ``train``; it sees all features and edges.

    Args:
        net: Called as ``net(features, graph)``.
        graph: With features and labels.
        train: The nodes whose labels count.
        seed: Of what is drawn in training; the weights are those that came.
        steps: How many times it sees the graph.
        lr: See :func:`~gatutils.training.fit`.
        weight_decay: See there too.
    """
    features, labels = _held(graph)

    def loss(model: nn.Module, _: object) -> Tensor:
        return cross_entropy(model(features, graph)[train], labels[train])

    fit(
        net,
        itertools.repeat(None),
        loss,
        steps,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
    )


@torch.no_grad()
def accuracy(net: nn.Module, graph: Graph, nodes: Bool[Tensor, " nodes"]) -> float:
    """Return the share of ``nodes`` whose class ``net`` names; it is left in evaluation mode."""
    features, labels = _held(graph)
    said = net.eval()(features, graph).argmax(dim=1)
    return float((said == labels)[nodes].double().mean())


def label_propagation(
    graph: Graph, train: Bool[Tensor, " nodes"], rounds: int = 10
) -> Float[Tensor, "nodes classes"]:
    """Let every node take the mean of its neighbours' labels, again and again; nothing is learned.

    The nodes in ``train`` keep their own label.

    Source:
        Zhu and Ghahramani (2002), section 2.2.
    """
    labels = _labels(graph)
    known = one_hot(labels).float() * train.unsqueeze(1)
    states = known
    for _ in range(rounds):
        states = torch.where(train.unsqueeze(1), known, aggregate(states, graph, "mean"))
    return states


def smooth(graph: Graph, rounds: int) -> Float[Tensor, "nodes dim"]:
    """Return the features after so many rounds of GCN's aggregation, without a weight between.

    Source:
        Wu et al. (2019), equation 8.
    """
    expect(graph.features is not None, "graph", "one with features", "one without")
    states = cast(Tensor, graph.features)
    for _ in range(rounds):
        states = aggregate(states, graph.with_self_loops(), "symmetric")
    return states


def _held(graph: Graph) -> tuple[Tensor, Tensor]:
    expect(graph.features is not None, "graph", "one with features", "one without")
    return cast(Tensor, graph.features), _labels(graph)


def _labels(graph: Graph) -> Tensor:
    expect(graph.labels is not None, "graph", "one with labels", "one without")
    return cast(Tensor, graph.labels)


# ---- Many small graphs -----------------------------------------------------------------------


YES_OR_NO = ("a node of degree four or more", "a triangle")
"""The questions whose answer is a class; the others ask for a number."""


def question_net(how: How, read: How, width: int = 32, depth: int = 2) -> Readout:
    """Return layers of GIN that aggregate by ``how``, and a readout by ``read``."""
    net = GraphNet(layers("GIN", [1, *[width] * depth], how))
    return Readout(net, read, width, 1)


def fit_question(
    model: nn.Module,
    question: str,
    graphs: Sequence[Graph],
    seed: int = 0,
    *,
    steps: int = 600,
    size: int = 50,
    lr: float = 5e-3,
) -> None:
    """Train ``model`` to answer one question about each graph.

    Args:
        model: Called as ``model(features, batch)``; it returns one number a graph.
        question: A key of :data:`~gatutils.datasets.QUESTIONS`.
        graphs: To train on.
        seed: Of the order in which they come.
        steps: How many batches it sees.
        size: Graphs of a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    expect(len(graphs) > 0, "graphs", "one graph or more", "none")
    starts = range(0, len(graphs), size)
    made = [(Graph.batch(g), _answers(question, g)) for g in (graphs[k : k + size] for k in starts)]

    def loss(model: nn.Module, batch: tuple[Graph, Tensor]) -> Tensor:
        graph, answers = batch
        said = model(graph.features, graph).squeeze(1)
        if question in YES_OR_NO:
            return binary_cross_entropy_with_logits(said, answers)
        return cast(Tensor, (said - answers).square().mean())

    fit(model, _again(made, seed), loss, steps, lr=lr, seed=seed)


def _again(batches: list[T], seed: int) -> Iterator[T]:
    """Return the same batches without end, in ever new orders."""
    rng = random.Random(seed)
    while True:
        yield from rng.sample(batches, len(batches))


@torch.no_grad()
def grade(model: nn.Module, question: str, graphs: Sequence[Graph]) -> float:
    """Return the share of right answers to yes or no, or the mean absolute error of a number."""
    batch, answers = Graph.batch(graphs), _answers(question, graphs)
    said = model.eval()(batch.features, batch).squeeze(1)
    if question in YES_OR_NO:
        return float(((said > 0) == (answers > 0.5)).double().mean())
    return float((said - answers).abs().mean())


def _answers(question: str, graphs: Sequence[Graph]) -> Tensor:
    expect(question in QUESTIONS, "question", f"one of {', '.join(QUESTIONS)}", repr(question))
    return torch.tensor([QUESTIONS[question](graph) for graph in graphs])


# ---- A token carried along a path ------------------------------------------------------------

Carrier = Literal["gated", "SAGE", "GCN", "GCN, added", "tanh", "GIN", "SAGE, untied"]


class Relay(nn.Module):
    """One layer called again and again, as often as the path has nodes.

    Args:
        kind: ``"gated"``, ``"SAGE"``, ``"GCN"`` or ``"GIN"``, with a ReLU after the last three;
            ``"GCN, added"`` adds to the state instead of replacing it; ``"tanh"`` is a plain
            recurrent cell, the tanh of a SAGE layer with a sum; ``"SAGE, untied"`` has 17 layers
            of its own instead of one, and stops after them.
        width: Of a state.
    """

    def __init__(self, kind: Carrier, width: int = 32) -> None:
        super().__init__()
        made: dict[str, Callable[[], nn.Module]] = {
            "gated": lambda: Gated(width),
            "SAGE": lambda: SAGE(width, width),
            "GCN": lambda: GCN(width, width),
            "GCN, added": lambda: GCN(width, width),
            "tanh": lambda: SAGE(width, width, "sum"),
            "GIN": lambda: GIN(width, width),
            "SAGE, untied": lambda: SAGE(width, width),
        }
        expect(kind in made, "kind", f"one of {', '.join(made)}", repr(kind))
        self.kind = kind
        self.read = nn.Linear(TOKENS + 1, width)
        self.layers = nn.ModuleList(made[kind]() for _ in range(17 if "untied" in kind else 1))
        self.say = nn.Linear(width, TOKENS)

    def forward(
        self, features: Float[Tensor, "nodes features"], graph: Graph, rounds: int
    ) -> Float[Tensor, "nodes tokens"]:
        """Return what each node believes after so many rounds."""
        states = self.read(features)
        tied = len(self.layers) == 1
        for k in range(rounds if tied else min(rounds, len(self.layers))):
            new = self.layers[0 if tied else k](states, graph)
            if self.kind == "gated":
                states = new
            elif self.kind == "tanh":
                states = new.tanh()
            else:
                states = new.relu() + (states if self.kind == "GCN, added" else 0)
        return cast(Tensor, self.say(states))


def carry(
    model: nn.Module,
    seed: int = 0,
    *,
    lengths: Sequence[int] = tuple(range(1, 17)),
    steps: int = 1500,
    size: int = 16,
    lr: float = 0.01,
) -> None:
    """Train ``model`` to carry a token along paths of ``lengths``, drawn anew for each batch.

    Args:
        model: Called as ``model(features, graph, rounds)``.
        seed: Of the paths.
        lengths: Of which each batch has one.
        steps: How many batches.
        size: Paths of a batch.
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
def far_end(model: nn.Module, length: int, count: int = 200, seed: int = 10**6) -> float:
    """Return how often the last node of a path says the first one's token."""
    expect_int(length, "length", least=1)
    graph = relay(length, count, torch.Generator().manual_seed(seed))
    said = model.eval()(graph.features, graph, length + 1).argmax(dim=1)
    right = (said == graph.labels).view(count, -1)
    return float(right[:, -1].double().mean())


# ---- Puzzles ---------------------------------------------------------------------------------


class RelationalSAGE(nn.Module):
    r"""SAGE for several kinds of edges, with a ReLU.

    .. math:: h_i' = \mathrm{relu}\left(b + W h_i + \sum_t U_t c_{ti}\right)

    with the mean :math:`c_{ti}` over the neighbours by edges of kind t.

    Args:
        dim: Width of a state; it stays the same.
        kinds: How many kinds of edges there are.

    Source:
        Schlichtkrull et al. (2018), equation 2.
    """

    def __init__(self, dim: int, kinds: int) -> None:
        super().__init__()
        self.W = nn.Linear(dim, dim)
        self.U = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(kinds))

    def forward(
        self, states: Float[Tensor, "nodes dim"], graphs: Sequence[Graph]
    ) -> Float[Tensor, "nodes dim"]:
        """Pass messages once; one graph for each kind of edge."""
        new = self.W(states)
        for U, graph in zip(self.U, graphs, strict=True):
            new = new + U(aggregate(states, graph, "mean"))
        return cast(Tensor, new.relu())


class Solver(nn.Module):
    """A node's state begins with its marks; rounds of one layer; a score for each node.

    Args:
        kinds: How many kinds of edges there are.
        marks: How many entities a question names.
        rounds: How often the layer is called.
        layer: ``"gated"`` or ``"SAGE"``.
        width: Of a state.

    Source:
        Li et al. (2016), section 3.3 and equation 1.
    """

    def __init__(
        self, kinds: int, marks: int, rounds: int, layer: str = "gated", width: int = 32
    ) -> None:
        super().__init__()
        expect_int(rounds, "rounds", least=0)
        expect(layer in ("gated", "SAGE"), "layer", "'gated' or 'SAGE'", repr(layer))
        expect(width >= marks, "width", f"{marks} or more, one a mark", width)
        self.layer = Gated(width, kinds) if layer == "gated" else RelationalSAGE(width, kinds)
        self.say = nn.Sequential(nn.Linear(width + marks, width), nn.Tanh(), nn.Linear(width, 1))
        self.rounds, self.width = rounds, width

    def forward(self, batch: PuzzleBatch) -> Float[Tensor, "puzzles entities"]:
        """Return a score for each entity of each puzzle."""
        states = pad(batch.marks, (0, self.width - batch.marks.shape[1]))
        for _ in range(self.rounds):
            states = self.layer(states, batch.graphs)
        scores = self.say(torch.cat([states, batch.marks], dim=1))
        return cast(Tensor, scores.view(len(batch.answer), -1))


class TokenReader(nn.Module):
    """A GRU reads the facts and the question as one row of tokens; a score for each entity.

    Args:
        task: A key of :data:`~gatutils.datasets.RELATIONS`.
        entities: How many there are.
        embedding: Width of a token's vector.
        width: Of the GRU's state.
    """

    def __init__(self, task: str, entities: int, embedding: int = 32, width: int = 64) -> None:
        super().__init__()
        expect(task in RELATIONS, "task", f"one of {', '.join(RELATIONS)}", repr(task))
        self.embed = nn.Embedding(entities + len(RELATIONS[task]), embedding)
        self.gru = nn.GRU(embedding, width, batch_first=True)
        self.say = nn.Linear(width, entities)

    def forward(self, batch: PuzzleBatch) -> Float[Tensor, "puzzles entities"]:
        """Return a score for each entity of each puzzle."""
        states, _ = self.gru(self.embed(batch.tokens))
        return cast(Tensor, self.say(states[:, -1]))


def fit_puzzles(
    model: nn.Module,
    puzzles: Sequence[Puzzle],
    seed: int = 0,
    *,
    steps: int = 300,
    size: int = 50,
    lr: float = 5e-3,
) -> None:
    """Train ``model`` to name the answer of each puzzle.

    Args:
        model: Called as ``model(batch)``; it returns a score for each entity.
        puzzles: To train on, of one task and size.
        seed: Of the order in which they come.
        steps: How many batches it sees.
        size: Puzzles of a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    expect(len(puzzles) > 0, "puzzles", "one or more", "none")
    starts = range(0, len(puzzles), size)
    made = [collate_puzzles(puzzles[k : k + size]) for k in starts]

    def loss(model: nn.Module, batch: PuzzleBatch) -> Tensor:
        return cross_entropy(model(batch), batch.answer)

    fit(model, _again(made, seed), loss, steps, lr=lr, seed=seed)


@torch.no_grad()
def solved(model: nn.Module, puzzles: Sequence[Puzzle]) -> float:
    """Return the share of puzzles whose highest score is the answer's."""
    batch = collate_puzzles(puzzles)
    return float((model.eval()(batch).argmax(dim=1) == batch.answer).double().mean())
