"""A token that must be carried along a path, one edge per round."""

import torch

from gatutils._checks import (
    expect_int,
)
from gatutils.graph import Graph

TOKENS = 8
"""The number of different tokens in :func:`relay`."""


def relay(length: int, count: int, generator: torch.Generator) -> Graph:
    """Draw paths along which one token has to be carried from the first node to all others.

    The features of a node are a random token (one-hot) and a flag, which is 1 at the first node of
    a path. All nodes of a path have the first node's token as their label, so the tokens of the
    other nodes must be ignored.

    Args:
        length: Number of edges of a path, which has one more node.
        count: Number of paths.
        generator: Draws the tokens.

    Returns:
        A batch of ``count`` graphs with ``TOKENS`` + 1 features.

    Raises:
        TypeError: If ``length`` or ``count`` is not an int.
        ValueError: If either is below 1.
    """
    expect_int(length, "length", least=1)
    expect_int(count, "count", least=1)
    nodes = length + 1
    tokens = torch.randint(TOKENS, (count, nodes), generator=generator)
    flag = torch.zeros(count, nodes, 1)
    flag[:, 0] = 1
    held = torch.cat([torch.nn.functional.one_hot(tokens, TOKENS), flag], dim=-1)
    path = [(k, k + 1) for k in range(length)]
    batch = Graph.from_graphs([Graph.from_edges(path, nodes, undirected=True)] * count)
    labels = tokens[:, :1].expand(-1, nodes).flatten()
    return batch.with_features(held.flatten(0, 1), labels)
