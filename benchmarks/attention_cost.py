"""Time of self-attention and of a GRU against the length of the sequence.

    python benchmarks/attention_cost.py

The two take turns in one process, on one thread; the median of each length is stored in
``gatutils/book/results/attention_cost.json``. The seconds are those of one machine: what carries
over is how they grow.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gatutils.attention import MultiHeadAttention

LENGTHS = [64, 128, 256, 512, 1024, 2048]
REPEATS = 15
DIM, HEADS = 64, 4
OUT = Path(__file__).parents[1] / "gatutils" / "book" / "results" / "attention_cost.json"


def seconds(layer: Callable[[Tensor], Tensor], length: int) -> float:
    """Forward and backward of one sequence."""
    x = torch.randn(1, length, DIM, requires_grad=True)
    start = time.perf_counter()
    layer(x).sum().backward()
    return time.perf_counter() - start


def measure(lengths: list[int], repeats: int) -> dict[str, list[float]]:
    """Median seconds of each layer at each length."""
    torch.manual_seed(0)
    attention, gru = MultiHeadAttention(DIM, HEADS), nn.GRU(DIM, DIM, batch_first=True)
    layers: dict[str, Callable[[Tensor], Tensor]] = {
        "self-attention": lambda x: attention(x, x)[0],
        "recurrent": lambda x: gru(x)[0],
    }
    medians: dict[str, list[float]] = {name: [] for name in layers}
    for length in tqdm(lengths, unit="length", disable=None):
        times: dict[str, list[float]] = {name: [] for name in layers}
        for repeat in range(repeats + 2):
            for name, layer in layers.items():
                taken = seconds(layer, length)
                if repeat >= 2:  # the first two warm up
                    times[name].append(taken)
        for name in layers:
            medians[name].append(round(statistics.median(times[name]), 6))
    return medians


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(1)
    result = {
        "what": "median seconds of one forward and backward pass, batch 1, one thread",
        "dim": DIM,
        "heads": HEADS,
        "repeats": REPEATS,
        "lengths": LENGTHS,
        "torch": torch.__version__.split("+")[0],
        "machine": platform.machine(),
        "seconds": measure(LENGTHS, REPEATS),
    }
    draft = OUT.with_suffix(".tmp")
    draft.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, OUT)


if __name__ == "__main__":
    main()
