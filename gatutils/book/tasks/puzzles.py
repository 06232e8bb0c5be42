"""Puzzles modelled on bAbI: deduction, and the next step of a shortest path."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatutils._checks import (
    expect,
    expect_int,
    expect_list,
)
from gatutils.book.tasks.splits import split_of_text
from gatutils.graph import Graph

# After bAbI (Weston et al., 2015), in the symbolic form of Li et al. (2016): facts about entities
# that are mere numbers. They are renumbered for each puzzle, so that no answer can be memorised.
# The answer is one of the entities.
CHAINS = 4  # number of chains in a deduction


RING = 20  # number of nodes in a small world


REWIRED = 0.2  # the probability with which an edge of the ring is rewired


RELATIONS = {"deduction": ("is", "fears"), "path": ("meets",)}
"""Task -> the relations of its facts. "meets" is symmetric."""


@dataclass(frozen=True)
class Puzzle:
    """Facts, a question and its answer.

    Attributes:
        task: ``"deduction"`` or ``"path"``.
        size: How far apart question and answer are; see ``deduction`` and ``next_step``.
        entities: The number of entities, which are numbered from 0.
        facts: Each a triple (subject, relation, object), in the order in which they are given.
        asked: The entities named in the question.
        answer: The entity to find.
    """

    task: str
    size: int
    entities: int
    facts: tuple[tuple[int, str, int], ...]
    asked: tuple[int, ...]
    answer: int

    def __str__(self) -> str:
        told = ", ".join(f"{a} {relation} {b}" for a, relation, b in self.facts)
        ask = "what does {} fear" if self.task == "deduction" else "from {} to {}, by way of whom"
        return f"{told}; {ask.format(*self.asked)}? {self.answer}"


def deduction(size: int, rng: random.Random) -> Puzzle:
    """Draw four chains of ``size`` facts "a is b", whose ends fear one another.

    The question is what the first entity of one chain fears. Each end fears exactly one other end
    and is feared by exactly one. Until information from the entity in the question has travelled
    along its chain, and on to the entity that the chain's end fears, no node can do better than
    guess.

    Args:
        size: Facts per chain, 1 or more; with 1 it is bAbI's task 15 in symbolic form.
        rng: The source of randomness; it is advanced.

    Raises:
        TypeError: If ``size`` is not an int.
        ValueError: If ``size`` is below 1.
    """
    expect_int(size, "size", least=1)
    end = CHAINS * size  # the first of the ends; a step along a chain is CHAINS further
    facts = [(a, "is", a + CHAINS) for a in range(end)]
    fears = list(range(CHAINS))
    while any(k == fears[k] for k in range(CHAINS)):  # no end fears itself
        fears = _shuffled(CHAINS, rng)
    facts += [(end + k, "fears", end + other) for k, other in enumerate(fears)]
    asked = int(rng.random() * CHAINS)
    return _told("deduction", size, end + CHAINS, facts, [asked], end + fears[asked], rng)


def next_step(size: int, rng: random.Random) -> Puzzle:
    """Draw a puzzle of the task ``"path"``: the first step of the unique shortest path to a goal.

    The graph is a small world (Watts and Strogatz, 1998): a ring of 20 nodes, some of whose edges
    are rewired.

    Args:
        size: Number of edges of the path from the start to the goal, 2 to 6.
        rng: The source of randomness; it is advanced.

    Raises:
        TypeError: If ``size`` is not an int.
        ValueError: If ``size`` is not from 2 to 6.
    """
    expect_int(size, "size", least=2)
    expect(size <= 6, "size", "2 to 6", size)
    while True:
        edges = {(i, (i + 1) % RING) for i in range(RING)}
        for i in range(RING):
            end = int(rng.random() * RING)
            fits = end != i and not {(i, end), (end, i)} & edges
            if rng.random() < REWIRED and fits:
                edges.remove((i, (i + 1) % RING))
                edges.add((i, end))
        near = np.zeros((RING, RING), int)
        for a, b in edges:
            near[a, b] = near[b, a] = 1
        # For each k, how many walks of k edges lead from each node to each other.
        walks = [np.linalg.matrix_power(near, k) for k in range(size + 1)]
        ends = np.argwhere((walks[size] == 1) & (sum(walks[:size]) == 0)).tolist()
        if ends:
            start, goal = ends[int(rng.random() * len(ends))]
            answer = int((near[start] * walks[size - 1][goal]).argmax())
            facts = [(a, "meets", b) for a, b in sorted(edges)]
            return _told("path", size, RING, facts, [start, goal], answer, rng)


def _told(
    task: str,
    size: int,
    entities: int,
    facts: Sequence[tuple[int, str, int]],
    asked: Sequence[int],
    answer: int,
    rng: random.Random,
) -> Puzzle:
    """Renumber the entities and shuffle the facts."""
    name, order = _shuffled(entities, rng), _shuffled(len(facts), rng)
    told = [(name[a], relation, name[b]) for a, relation, b in (facts[k] for k in order)]
    return Puzzle(task, size, entities, tuple(told), tuple(name[a] for a in asked), name[answer])


def _shuffled(count: int, rng: random.Random) -> list[int]:
    # Of Python's generator only random() is guaranteed to stay the same across versions.
    return sorted(range(count), key=lambda _: rng.random())


def sample_puzzles(
    task: str, count: int, sizes: int | Sequence[int], split: str = "train", seed: int = 0
) -> list[Puzzle]:
    """Draw puzzles of one task and one split.

    The splits share no puzzle, not even with its facts in another order. A puzzle that differs
    only in the numbers of its entities may be in both.

    Args:
        task: ``"deduction"`` or ``"path"``.
        count: Number of puzzles.
        sizes: As in ``deduction`` and ``next_step``; those in a sequence are equally probable.
        split: ``"train"`` or ``"test"``.
        seed: The same seed gives the same puzzles on every machine.

    Raises:
        TypeError: If ``count``, ``sizes`` or ``seed`` is not made up of ints.
        ValueError: If ``count`` is negative, ``sizes`` is empty or contains a size out of range, or
            there is no such ``task`` or ``split``.
    """
    expect(task in RELATIONS, "task", " or ".join(map(repr, RELATIONS)), repr(task))
    expect_int(count, "count", least=0)
    choice = [sizes] if isinstance(sizes, int) else sizes
    expect_list(choice, "sizes", int)
    expect(len(choice) > 0, "sizes", "an int or at least one", sizes)
    expect(split in ("train", "test"), "split", "'train' or 'test'", repr(split))
    expect_int(seed, "seed")
    rng = random.Random(f"{task} {split} {seed}")
    draw = deduction if task == "deduction" else next_step
    puzzles: list[Puzzle] = []
    while len(puzzles) < count:
        size = choice[int(rng.random() * len(choice))]
        puzzle = draw(size, rng)
        while split_of_text(repr((sorted(puzzle.facts), puzzle.asked))) != split:
            puzzle = draw(size, rng)
        puzzles.append(puzzle)
    return puzzles


@dataclass
class PuzzleBatch:
    """Puzzles as batched graphs, and as rows of tokens.

    Attributes:
        graphs: One per type of edge, over the same nodes: each relation and its inverse, which
            are a single type for "meets".
        marks: 1 in column k at the k-th entity that the question names, else 0.
        tokens: One row per puzzle: the facts, three tokens each, then the entities in the question.
            The tokens of the entities are numbered first, then those of the relations.
        answer: The entity to find.
        puzzles: The puzzles themselves.
    """

    graphs: list[Graph]
    marks: Float[Tensor, "nodes asked"]
    tokens: Int[Tensor, "puzzles length"]
    answer: Int[Tensor, " puzzles"]
    puzzles: Sequence[Puzzle]


def collate_puzzles(puzzles: Sequence[Puzzle]) -> PuzzleBatch:
    """Batch puzzles of one task that have the same number of facts and of entities.

    Raises:
        TypeError: If ``puzzles`` is not a sequence of ``Puzzle``.
        ValueError: If ``puzzles`` is empty, or they differ in one of the three.
    """
    expect_list(puzzles, "puzzles", Puzzle)
    shapes = {(puzzle.task, puzzle.entities, len(puzzle.facts)) for puzzle in puzzles}
    expect(len(shapes) == 1, "puzzles", "some of one task and size", sorted(shapes) or "none")
    ((task, entities, _),) = shapes
    graphs = []
    for relation in RELATIONS[task]:
        forth = [[(a, b) for a, said, b in p.facts if said == relation] for p in puzzles]
        back = [[(b, a) for a, b in edges] for edges in forth]
        both = relation == "meets"
        for kind in [forth] if both else [forth, back]:
            alone = [Graph.from_edges(edges, entities, undirected=both) for edges in kind]
            graphs.append(Graph.from_graphs(alone))
    asked = torch.tensor([puzzle.asked for puzzle in puzzles])
    marks = torch.nn.functional.one_hot(asked, entities).transpose(1, 2).flatten(0, 1).float()
    token = {relation: entities + k for k, relation in enumerate(RELATIONS[task])}
    rows = [[t for a, said, b in p.facts for t in (a, token[said], b)] for p in puzzles]
    tokens = torch.cat([torch.tensor(rows), asked], dim=1)
    answer = torch.tensor([puzzle.answer for puzzle in puzzles])
    return PuzzleBatch(graphs, marks, tokens, answer, puzzles)
