"""Time and memory of a graph attention layer against the number of nodes, in three forms.

    python benchmarks/growth.py
    python benchmarks/growth.py --sizes 100 1000     print these, store nothing

Each node has ten incoming edges from nodes drawn at random. The forms compute the same:

``all pairs``
    The scores of all pairs as a matrix per head, which the mask hides where there is no edge.
``copy per edge``
    One score per edge, and the value of its source copied to each edge, weighed and summed:
    edges x heads x width numbers, as layers hold that gather and scatter.
``ours``
    :class:`~gatutils.graph_attention.GATConv`.

Each measurement has a fresh process, which may take up at most ``LIMIT`` bytes of addresses more
than it has when the states, the weights and the edges are there; where that is not enough, the
form stops, and larger graphs are not tried. A training step is a forward pass, the mean of the
squares, and the gradients of states and weights. Memory is what the first step adds to what the
process holds, as Linux counts it. Seconds are the median of the steps after it, on one thread:
processor time, because others may want the processor too.

The result is ``gatutils/book/results/growth.json``. Seconds are those of one machine. Linux only.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu
from tqdm import tqdm

from gatutils.attention import attend
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv

SIZES = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000]
NEIGHBOURS = 10
WIDE, HEADS, WIDTH = 64, 4, 16  # a state; heads, and the width of each
LIMIT = 4 * 2**30
OUT = Path(__file__).parents[1] / "gatutils" / "book" / "results" / "growth.json"


def random_graph(nodes: int) -> Graph:
    """Each node has so many incoming edges, from any nodes."""
    target = torch.arange(nodes).repeat_interleave(NEIGHBOURS)
    return Graph(nodes, torch.randint(0, nodes, target.shape), target)


def all_pairs(layer: GATConv, states: Tensor, mask: Tensor) -> Tensor:
    """The layer by way of a matrix of scores per head."""
    _, _, value = layer.project(states)
    by_head = value.transpose(0, 1)  # (heads, nodes, width)
    of_query, of_key = layer.a.unsqueeze(2).chunk(2, dim=1)
    scores = leaky_relu(by_head @ of_query + (by_head @ of_key).mT, layer.negative_slope)
    out, _ = attend(scores, by_head, mask)
    return layer.join_heads(out.transpose(0, 1))


def copy_per_edge(layer: GATConv, states: Tensor, graph: Graph) -> Tensor:
    """The layer by gathering and scattering, with a row of the values for each edge."""
    _, _, value = layer.project(states)
    of_query, of_key = ((value * half).sum(dim=2) for half in layer.a.chunk(2, dim=1))
    source, target = graph.source, graph.target
    scores = leaky_relu(of_query[target] + of_key[source], layer.negative_slope)
    rows = target[:, None].expand_as(scores)
    most = torch.full_like(of_query, -torch.inf).scatter_reduce(0, rows, scores.detach(), "amax")
    powers = (scores - most[target]).exp()
    sums = torch.zeros_like(of_query).index_add(0, target, powers)
    alpha = powers / sums[target]
    messages = alpha[:, :, None] * value[source]  # (edges, heads, width)
    return layer.join_heads(torch.zeros_like(value).index_add(0, target, messages))


def forms(layer: GATConv, states: Tensor, graph: Graph) -> dict[str, Callable[[], Tensor]]:
    """Each form as a function; the mask is made within, since the first form needs it."""
    return {
        "all pairs": lambda: all_pairs(layer, states, graph.adjacency().bool()),
        "copy per edge": lambda: copy_per_edge(layer, states, graph),
        "ours": lambda: layer(states, graph),
    }


FORMS = ("all pairs", "copy per edge", "ours")


def problem(nodes: int) -> tuple[GATConv, Tensor, Graph]:
    """The layer, the states and the graph of so many nodes."""
    torch.manual_seed(0)
    layer = GATConv(WIDE, WIDTH, HEADS)
    return layer, torch.randn(nodes, WIDE, requires_grad=True), random_graph(nodes)


def step(form: str, layer: GATConv, states: Tensor, graph: Graph) -> None:
    """One pass there and back."""
    for weights in (states, *layer.parameters()):
        weights.grad = None
    forms(layer, states, graph)[form]().square().mean().backward()


def status(name: str) -> int:
    """Bytes that Linux counts for this process under a name."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"), re.M)
    assert found is not None
    return 1024 * int(found[1])


def one(form: str, nodes: int) -> dict[str, Any] | None:
    """Measure one form in this process, which must be fresh; None if its memory is not enough."""
    import resource

    step(form, *problem(10))  # what is loaded by the first step of all
    parts = problem(nodes)
    most = status("VmSize") + LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    times, repeats = [], 9 if nodes <= 3_000 else 3
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
        before = status("VmRSS")
        step(form, *parts)
        added = status("VmHWM") - before
        for _ in range(repeats):
            start = time.process_time()
            step(form, *parts)
            times.append(time.process_time() - start)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        return None
    return {"seconds": round(statistics.median(times), 5), "megabytes": round(added / 1e6, 1)}


def measure(sizes: list[int]) -> dict[str, list[dict[str, Any] | None]]:
    """Each form at each size, up to where it stops."""
    found: dict[str, list[dict[str, Any] | None]] = {}
    for form in tqdm(FORMS, unit="form", disable=None):
        rows: list[dict[str, Any] | None] = []
        for nodes in sizes:
            if rows and rows[-1] is None:
                rows.append(None)
                continue
            call = [sys.executable, __file__, "--one", form, str(nodes)]
            told = subprocess.run(call, check=True, capture_output=True, encoding="utf-8").stdout
            rows.append(json.loads(told.splitlines()[-1]))
        found[form] = rows
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure, and store if all sizes were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="NODES")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if chosen.one:
        print(json.dumps(one(chosen.one[0], int(chosen.one[1]))))
        return
    began = os.getloadavg()[0]
    rows = measure(chosen.sizes)
    if chosen.sizes != SIZES:
        for form, row in rows.items():
            print(form, json.dumps(row))
        return
    result = {
        "what": "a GAT layer in three forms: median CPU seconds of a training step on one thread, "
        "and MB that the step adds to what a process holds; null where the limit is not enough",
        "neighbours": NEIGHBOURS,
        "in_features": WIDE,
        "heads": HEADS,
        "width": WIDTH,
        "limit": LIMIT,
        "sizes": SIZES,
        "torch": torch.__version__.split("+")[0],
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "load": [round(began, 1), round(os.getloadavg()[0], 1)],
        "rows": rows,
    }
    draft = OUT.with_suffix(".tmp")
    draft.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, OUT)


if __name__ == "__main__":
    main()
