"""Chapter 9: gated graph networks, GraphSAGE and a GRU on puzzles."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import (
    cross_entropy,
    pad,
)

from gatutils._checks import expect, expect_int
from gatutils.book.experiments.batching import reshuffled
from gatutils.book.experiments.plan import Plan
from gatutils.book.tasks.puzzles import (
    RELATIONS,
    Puzzle,
    PuzzleBatch,
    collate_puzzles,
    sample_puzzles,
)
from gatutils.graph import Graph
from gatutils.message_passing import (
    GatedGraphConv,
    aggregate,
)
from gatutils.training import fit, seed_everything


class RelationalSAGE(nn.Module):
    r"""SAGE for several types of edges, with a ReLU.

    .. math:: h_i' = \mathrm{relu}\left(b + W h_i + \sum_t U_t c_{ti}\right)

    where :math:`c_{ti}` is the mean over the neighbours along edges of type t.

    Args:
        dim: Width of a state, old or new.
        kinds: Number of edge types.

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
        """Pass messages once, along one graph per type of edge."""
        new = self.W(states)
        for U, graph in zip(self.U, graphs, strict=True):
            new = new + U(aggregate(states, graph, "mean"))
        return cast(Tensor, new.relu())


class Solver(nn.Module):
    """A graph network whose initial states are the nodes' marks, with a score for each node.

    One layer is applied repeatedly, then a feed-forward network computes the scores.

    Args:
        kinds: Number of edge types.
        marks: Number of entities that a question names.
        rounds: How many times the layer is applied.
        layer: ``"gated"`` or ``"SAGE"``.
        width: Width of a state.

    Source:
        Li et al. (2016), section 3.3 and equation 1.
    """

    def __init__(
        self, kinds: int, marks: int, rounds: int, layer: str = "gated", width: int = 32
    ) -> None:
        super().__init__()
        expect_int(rounds, "rounds", least=0)
        expect(layer in ("gated", "SAGE"), "layer", "'gated' or 'SAGE'", repr(layer))
        expect(width >= marks, "width", f"{marks} or more, one per mark", width)
        self.layer = (
            GatedGraphConv(width, kinds) if layer == "gated" else RelationalSAGE(width, kinds)
        )
        self.classifier = nn.Sequential(
            nn.Linear(width + marks, width), nn.Tanh(), nn.Linear(width, 1)
        )
        self.rounds, self.width = rounds, width

    def forward(self, batch: PuzzleBatch) -> Float[Tensor, "puzzles entities"]:
        """Return a score for each entity of each puzzle."""
        states = pad(batch.marks, (0, self.width - batch.marks.shape[1]))
        for _ in range(self.rounds):
            states = self.layer(states, batch.graphs)
        scores = self.classifier(torch.cat([states, batch.marks], dim=1))
        return cast(Tensor, scores.view(len(batch.answer), -1))


class TokenReader(nn.Module):
    """A GRU over the facts and the question as one sequence of tokens, with a score per entity.

    Args:
        task: A key of :data:`~gatutils.book.tasks.puzzles.RELATIONS`.
        entities: Number of entities.
        embedding: Width of a token embedding.
        width: Width of the GRU's state.
    """

    def __init__(self, task: str, entities: int, embedding: int = 32, width: int = 64) -> None:
        super().__init__()
        expect(task in RELATIONS, "task", f"one of {', '.join(RELATIONS)}", repr(task))
        self.embed = nn.Embedding(entities + len(RELATIONS[task]), embedding)
        self.gru = nn.GRU(embedding, width, batch_first=True)
        self.classifier = nn.Linear(width, entities)

    def forward(self, batch: PuzzleBatch) -> Float[Tensor, "puzzles entities"]:
        """Return a score for each entity of each puzzle."""
        states, _ = self.gru(self.embed(batch.tokens))
        return cast(Tensor, self.classifier(states[:, -1]))


def fit_puzzles(
    model: nn.Module,
    puzzles: Sequence[Puzzle],
    seed: int = 0,
    *,
    steps: int = 300,
    batch_size: int = 50,
    lr: float = 5e-3,
) -> None:
    """Train ``model`` to predict the answer of each puzzle.

    Args:
        model: Called as ``model(batch)``; it returns a score for each entity.
        puzzles: The training set, of one task, all with the same number of facts and of entities.
        seed: Seed of the order of the batches.
        steps: Number of batches.
        batch_size: Number of puzzles in a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    expect(len(puzzles) > 0, "puzzles", "one or more", "none")
    starts = range(0, len(puzzles), batch_size)
    made = [collate_puzzles(puzzles[k : k + batch_size]) for k in starts]

    def loss(model: nn.Module, batch: PuzzleBatch) -> Tensor:
        return cross_entropy(model(batch), batch.answer)

    fit(model, reshuffled(made, seed), loss, steps, lr=lr, seed=seed)


@torch.no_grad()
def puzzle_accuracy(model: nn.Module, puzzles: Sequence[Puzzle]) -> float:
    """Return the fraction of puzzles in which the answer has the highest score."""
    batch = collate_puzzles(puzzles)
    return float((model.eval()(batch).argmax(dim=1) == batch.answer).double().mean())


@dataclass(frozen=True, kw_only=True)
class PuzzlePlan(Plan):
    """A model of chapter 9 that solves puzzles.

    The scores are the fractions solved of the test set and, if there are several sizes, of each
    size.

    Attributes:
        task: A key of :data:`~gatutils.book.tasks.puzzles.RELATIONS`.
        sizes: The sizes of the puzzles; see :func:`~gatutils.book.tasks.puzzles.sample_puzzles`.
        examples: Number of puzzles in the training set.
        batch_size: Number of puzzles in a batch.
        width: Width of a state.
        lr: See :func:`~gatutils.training.fit`.
        test_count: Number of puzzles in the test set.
        test_seed: Seed of the test set.
    """

    task: Literal["deduction", "path"]
    sizes: tuple[int, ...]
    examples: int
    batch_size: int = 50
    width: int
    lr: float
    test_count: int = 2000
    test_seed: int = 1

    @abstractmethod
    def build(self, example: Puzzle) -> nn.Module:
        """Return the untrained model for puzzles like this one."""

    def run(self, seed: int) -> dict[str, Any]:
        """Train the model on puzzles drawn with the seed, and test it."""
        test = sample_puzzles(self.task, self.test_count, self.sizes, "test", self.test_seed)
        seed_everything(seed)
        model = self.build(test[0])
        train = sample_puzzles(self.task, self.examples, self.sizes, seed=seed)
        fit_puzzles(model, train, seed, steps=self.steps, batch_size=self.batch_size, lr=self.lr)
        parts = [[puzzle for puzzle in test if puzzle.size == size] for size in self.sizes]
        groups = [test, *parts] if len(parts) > 1 else [test]
        return {"scores": [puzzle_accuracy(model, group) for group in groups]}


@dataclass(frozen=True, kw_only=True)
class SolverPlan(PuzzlePlan):
    """A graph network; see :class:`Solver`.

    Attributes:
        layer: See :class:`Solver`.
        rounds: See :class:`Solver`.
    """

    layer: Literal["gated", "SAGE"] = "gated"
    rounds: int = 5
    width: int = 32
    steps: int = 300
    lr: float = 5e-3

    def build(self, example: Puzzle) -> Solver:
        """Return the untrained network for puzzles like this one."""
        one = collate_puzzles([example])
        return Solver(len(one.graphs), one.marks.shape[1], self.rounds, self.layer, self.width)


@dataclass(frozen=True, kw_only=True)
class TokenReaderPlan(PuzzlePlan):
    """A GRU over the tokens; see :class:`TokenReader`.

    Attributes:
        embedding: See :class:`TokenReader`.
    """

    embedding: int = 32
    width: int = 64
    steps: int = 600
    lr: float = 3e-3

    def build(self, example: Puzzle) -> TokenReader:
        """Return the untrained network for puzzles like this one."""
        return TokenReader(self.task, example.entities, self.embedding, self.width)
