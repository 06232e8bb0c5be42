"""Two tasks for attention: which witnesses to trust, and which to trust with which question.

In the first, some witnesses saw an event and the others guess, whoever needs their answer. In the
second, each witness is reliable for the target nodes of one kind only.
"""

import torch
from torch.nn.functional import one_hot

from gatutils._checks import (
    expect,
    expect_int,
)
from gatutils.graph import Graph

WITNESSES, ANSWERS, RIGHT = 12, 4, 0.6
"""The number of witnesses per node, the number of answers, and the probability that a witness who
saw the event is right."""

RELIABLE = 0.85
"""The probability that a witness is right if its mark names the kind of its target node."""


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
    told = one_hot(named, ANSWERS)
    marked = guesses.repeat(count).unsqueeze(1)
    features = torch.cat([torch.zeros(count, ANSWERS + 1), torch.cat([told, marked], dim=1)])
    labels = torch.cat([truth, torch.full((count * WITNESSES,), -1)])
    source = torch.arange(count, count * (WITNESSES + 1))
    target = torch.arange(count).repeat_interleave(WITNESSES)
    return Graph(len(labels), source, target, features, labels)


def witnesses_by_kind(count: int, kinds: int, generator: torch.Generator) -> Graph:
    """Draw target nodes of several kinds, each with witnesses who are reliable for one kind only.

    The mark of a witness names one of the kinds. If it is the kind of the witness's target node,
    the witness names the right answer with probability ``RELIABLE``, otherwise one of the wrong
    ones; if it is another kind, the witness guesses. All draws are uniform and independent. The
    features are, one-hot, the answer that a witness names, its mark, and the kind of a target node;
    what does not apply to a node is zero. The label of a target node is the right answer, that of a
    witness -1.

    Args:
        count: Number of target nodes.
        kinds: Number of kinds.
        generator: The source of randomness.

    Returns:
        One graph, in which edges lead from the witnesses to their target nodes, and from each node
        to itself. The target nodes are numbered first.

    Raises:
        TypeError: If ``count`` or ``kinds`` is not an int.
        ValueError: If ``count`` or ``kinds`` is below 1.
    """
    expect_int(count, "count", least=1)
    expect_int(kinds, "kinds", least=1)
    truth = torch.randint(ANSWERS, (count, 1), generator=generator)
    kind = torch.randint(kinds, (count, 1), generator=generator)
    shape = (count, WITNESSES)
    mark = torch.randint(kinds, shape, generator=generator)
    wrong = torch.randint(1, ANSWERS, shape, generator=generator)
    right = torch.rand(shape, generator=generator) < RELIABLE
    reliable = torch.where(right, truth, (truth + wrong) % ANSWERS)
    guess = torch.randint(ANSWERS, shape, generator=generator)
    named = torch.where(mark == kind, reliable, guess)

    features = torch.zeros(count * (1 + WITNESSES), ANSWERS + 2 * kinds)
    features[:count, ANSWERS + kinds :] = one_hot(kind[:, 0], kinds).float()
    features[count:, :ANSWERS] = one_hot(named.flatten(), ANSWERS).float()
    features[count:, ANSWERS : ANSWERS + kinds] = one_hot(mark.flatten(), kinds).float()
    labels = torch.cat([truth[:, 0], torch.full((count * WITNESSES,), -1)])
    source = torch.arange(count, count * (WITNESSES + 1))
    target = torch.arange(count).repeat_interleave(WITNESSES)
    return Graph(len(labels), source, target, features, labels).with_self_loops()
