"""Batches of a fixed set of examples, reshuffled in each epoch."""

import random
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


def reshuffled(batches: list[T], seed: int) -> Iterator[T]:
    """Yield the same batches without end, reshuffled in each epoch."""
    rng = random.Random(seed)
    while True:
        yield from rng.sample(batches, len(batches))
