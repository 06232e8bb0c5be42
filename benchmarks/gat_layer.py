"""Time and memory of a graph attention layer, ours against PyTorch Geometric's.

    python benchmarks/gat_layer.py
    python benchmarks/gat_layer.py --sizes small medium     print these, store nothing

Both layers have the same weights and see the same edges, sorted by their target. They take turns
in one process: each run of ours is paired with one of theirs next to it, so that what slows the
machine for a while slows both, and what is stored is the median of the ratios of the pairs
(theirs / ours, above 1 where ours is faster) with its quartiles. A first run of each is not
counted. A forward pass keeps nothing for the way back; a training step is a forward pass, the
mean of the squares, and the gradients of states and weights, without an optimizer. PyTorch
Geometric is as pip installs it; the result says which of its optional compiled parts were there.

Memory is what one training step adds to what a fresh process holds, as the operating system
counts it: this is what has to fit into a machine, also where it never passes through torch's
allocator. The system tells the most that a process has held, which does not come down: so each
layer has a process of its own, and before the step the process is filled up to its peak. States,
weights and edges are there before and are not counted; the order of the edges by source, which
ours makes on its first step and keeps, is.

The result is ``gatutils/book/results/gat_layer.json``. Seconds are those of one machine.
"""

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch_geometric
from torch import Tensor, nn
from tqdm import tqdm

from gatutils.graph import Graph
from gatutils.graph_attention import GATConv
from gatutils.interop import to_pyg

# Nodes, other edges than the self-loops that each node gets, and how many pairs of runs.
SIZES = {
    "small": (2_700, 10_300, 31),
    "medium": (20_000, 200_000, 11),
    "large": (100_000, 2_000_000, 5),
}
SHAPES = [(8, 8), (4, 32), (1, 64)]  # heads, width of each
WIDE = 64  # a state
THREADS = 1
OUT = Path(__file__).parents[1] / "gatutils" / "book" / "results" / "gat_layer.json"


def random_graph(nodes: int, edges: int) -> Graph:
    """Ends drawn at random, and a self-loop at each node."""
    source = torch.randint(0, nodes, (edges,))
    target = (source + torch.randint(1, nodes, (edges,))) % nodes
    return Graph(nodes, source, target).with_self_loops()


def layers(nodes: int, edges: int, heads: int, width: int) -> tuple[Tensor, dict[str, Any]]:
    """The states, and each library's layer as a function of them."""
    torch.manual_seed(0)
    graph = random_graph(nodes, edges)
    index, states = graph.edge_index, torch.randn(nodes, WIDE, requires_grad=True)
    ours = GATConv(WIDE, width, heads)
    theirs = to_pyg(ours)
    return states, {
        "ours": (ours, lambda: ours(states, graph)),
        "pyg": (theirs, lambda: theirs(states, index)),
    }


def forward(layer: nn.Module, states: Tensor, run: Callable[[], Tensor]) -> None:
    """One pass that keeps nothing."""
    with torch.no_grad():
        run()


def training(layer: nn.Module, states: Tensor, run: Callable[[], Tensor]) -> None:
    """One pass there and back."""
    for weights in (states, *layer.parameters()):
        weights.grad = None
    run().square().mean().backward()


def peak() -> int:
    """The most bytes that this process has held; Windows does not tell it so."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def filled() -> list[Tensor]:
    """Hold as much as this process ever did, so that all that comes next raises the peak."""
    held, most = [], peak()
    while peak() == most:
        held.append(torch.ones(2**16))
    return held


def added_memory(who: str, nodes: int, edges: int, heads: int, width: int) -> int:
    """Bytes that one training step adds at its most; to be called in a fresh process."""
    small, runs = layers(10, 20, heads, width)
    training(runs[who][0], small, runs[who][1])  # what is loaded by the first step of all
    states, runs = layers(nodes, edges, heads, width)
    layer, run = runs[who]
    held, before = filled(), peak()
    training(layer, states, run)
    added = peak() - before
    del held
    return added


def memory(who: str, *problem: int) -> float:
    """The same in MB, asked of a fresh process."""
    call = [sys.executable, __file__, "--memory", who, *map(str, problem)]
    answer = subprocess.run(call, check=True, capture_output=True, encoding="utf-8").stdout
    return round(int(answer.split()[-1]) / 1e6, 1)


def compare(problem: tuple[int, int, int, int], pairs: int) -> dict[str, dict[str, Any]]:
    """Median seconds of each, and median and quartiles of the ratios of the pairs."""
    states, runs = layers(*problem)
    outputs = [run() for _, run in runs.values()]
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-4)
    del outputs
    found = {}
    for what in (forward, training):
        times: dict[str, list[float]] = {who: [] for who in runs}
        for pair in range(pairs + 1):
            order = list(runs) if pair % 2 else list(runs)[::-1]
            for who in order:
                layer, run = runs[who]
                start = time.perf_counter()
                what(layer, states, run)
                times[who].append(time.perf_counter() - start)
        ratios = [theirs / ours for ours, theirs in zip(*times.values(), strict=True)][1:]
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
        found[what.__name__] = {
            **{who: round(statistics.median(taken[1:]), 5) for who, taken in times.items()},
            "ratio": round(median, 2),
            "quartiles": [round(low, 2), round(high, 2)],
        }
    return found


def compiled_parts() -> list[str]:
    """Which of the packages are installed that PyTorch Geometric uses where it finds them."""
    names = ("pyg_lib", "torch_scatter", "torch_sparse")
    return [name for name in names if importlib.util.find_spec(name)]


def measure(sizes: list[str]) -> list[dict[str, Any]]:
    """One row for each size and shape."""
    plan = [(size, shape) for size in sizes for shape in SHAPES]
    rows = []
    for size, (heads, width) in tqdm(plan, unit="layer", disable=None):
        nodes, edges, pairs = SIZES[size]
        problem = (nodes, edges, heads, width)
        row: dict[str, Any] = {"size": size, "nodes": nodes, "edges": nodes + edges}
        row |= {"heads": heads, "width": width, "pairs": pairs, **compare(problem, pairs)}
        row["memory"] = {who: memory(who, *problem) for who in ("ours", "pyg")}
        rows.append(row)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure, and store if all sizes were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), metavar="SIZE")
    parser.add_argument("--memory", nargs=5, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(THREADS)
    if chosen.memory:
        who, *problem = chosen.memory
        print(added_memory(who, *map(int, problem)))
        return
    rows = measure(chosen.sizes)
    if chosen.sizes != list(SIZES):
        for row in rows:
            print(json.dumps(row))
        return
    result = {
        "what": "a GAT layer, ours against PyTorch Geometric's: median seconds of a forward pass "
        "and of a training step, the ratio theirs / ours of paired runs (median, quartiles), and "
        "MB that a training step adds to what a process holds",
        "in_features": WIDE,
        "threads": THREADS,
        "shapes": SHAPES,
        "torch": torch.__version__.split("+")[0],
        "torch_geometric": torch_geometric.__version__,
        "compiled_parts": compiled_parts(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "rows": rows,
    }
    draft = OUT.with_suffix(".tmp")
    draft.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, OUT)


if __name__ == "__main__":
    main()
