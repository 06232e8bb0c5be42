"""A task for attention: distinguish the witnesses who saw an event from those who guess."""

import torch

from gatutils._checks import (
    expect,
    expect_int,
)
from gatutils.graph import Graph

WITNESSES, ANSWERS, RIGHT = 12, 4, 0.6
"""The number of witnesses per node, the number of answers, and the probability that a witness who
saw the event is right."""


def witnesses(count: int, guessing: int, generator: torch.Generator) -> Graph:
    """Draw target nodes, each with witnesses, some of whom only guess and are marked as such.

    A witness who saw the event names the right answer with probability ``RIGHT``, otherwise one of
    the wrong ones; a witness who guesses names any of the answers. A witness's features are the
    answer that it names (one-hot) and a mark, 1 if it guesses; its label is -1. The features of a
    target node are zeros, and its label is the right answer.

    Args:
        count: Number of target nodes.
        guessing: How many witnesses of each target node guess.
        generator: The source of randomness.

    Returns:
        One graph, in which edges lead from the witnesses to their target nodes. The target nodes
        are numbered first.

    Raises:
        TypeError: If ``count`` or ``guessing`` is not an int.
        ValueError: If ``count`` is below 1, or ``guessing`` is not from 0 to ``WITNESSES``.
    """
    expect_int(count, "count", least=1)
    expect_int(guessing, "guessing", least=0)
    expect(guessing <= WITNESSES, "guessing", f"at most {WITNESSES}", guessing)
    truth = torch.randint(ANSWERS, (count,), generator=generator)
    shape = (count, WITNESSES)
    wrong = torch.randint(1, ANSWERS, shape, generator=generator)
    saw = (truth.unsqueeze(1) + wrong) % ANSWERS
    saw = torch.where(torch.rand(shape, generator=generator) < RIGHT, truth.unsqueeze(1), saw)
    guess = torch.randint(ANSWERS, shape, generator=generator)
    guesses = torch.arange(WITNESSES) < guessing
    named = torch.where(guesses, guess, saw).flatten()
    told = torch.nn.functional.one_hot(named, ANSWERS)
    marked = guesses.repeat(count).unsqueeze(1)
    features = torch.cat([torch.zeros(count, ANSWERS + 1), torch.cat([told, marked], dim=1)])
    labels = torch.cat([truth, torch.full((count * WITNESSES,), -1)])
    source = torch.arange(count, count * (WITNESSES + 1))
    target = torch.arange(count).repeat_interleave(WITNESSES)
    return Graph(len(labels), source, target, features, labels)
