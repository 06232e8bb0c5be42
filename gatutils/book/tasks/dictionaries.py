"""DictionaryLookup: each query must attend to the one key that equals it.

Source:
    Brody et al. (2022), section 4.1.
"""

import math
from collections.abc import Collection

import torch

from gatutils._checks import (
    expect,
    expect_int,
)
from gatutils.graph import Graph


def dictionaries(
    keys: int,
    count: int,
    generator: torch.Generator,
    avoid: Collection[tuple[int, ...]] = (),
) -> Graph:
    """Draw dictionaries, each a graph in which every query attends to every key.

    The values are a random permutation. The features of a key are the key and its value, each
    one-hot; those of a query are its key (one-hot) and zeros in place of a value. The label of a
    query is the value of its key; the label of a key is -1. In each dictionary the queries come
    first, then the keys, both in order.

    Args:
        keys: k, the number of keys, which is also the number of queries.
        count: Number of dictionaries.
        generator: Draws the permutations.
        avoid: Permutations that are not drawn, such as those of a test set.

    Returns:
        A batch of ``count`` graphs, each with 2k nodes, k² edges and 2k features.

    Raises:
        TypeError: If ``keys`` or ``count`` is not an int.
        ValueError: If ``keys`` is below 2, ``count`` is below 1, or ``avoid`` leaves no
            permutation.

    Source:
        Brody et al. (2022), section 4.1.
    """
    expect_int(keys, "keys", least=2)
    expect_int(count, "count", least=1)
    every_one, held = math.factorial(keys), len(set(avoid))
    expect(held < every_one, "avoid", f"fewer than all {every_one} permutations", held)
    values = torch.empty(0, keys, dtype=torch.long)
    while len(values) < count:
        drawn = torch.rand(count - len(values), keys, generator=generator).argsort(dim=1)
        if avoid:
            drawn = drawn[[tuple(row) not in avoid for row in drawn.tolist()]]
        values = torch.cat([values, drawn])
    eye = torch.eye(keys)
    asks = torch.cat([eye, torch.zeros(keys, keys)], dim=1).expand(count, -1, -1)
    answers = torch.cat([eye.expand(count, -1, -1), eye[values]], dim=2)
    nobody = torch.full((count, keys), -1)
    every = torch.arange(keys)
    starts = 2 * keys * torch.arange(count).view(-1, 1, 1)
    source = (starts + keys + every).expand(-1, keys, -1)
    target = (starts + every.unsqueeze(1)).expand(-1, -1, keys)
    return Graph(
        2 * keys * count,
        source.flatten(),
        target.flatten(),
        torch.cat([asks, answers], dim=1).flatten(0, 1),
        torch.cat([values, nobody], dim=1).flatten(),
        sizes=[2 * keys] * count,
    )
