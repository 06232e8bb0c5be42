"""Time and memory of GAT and GATv2 layers: ours, PyTorch Geometric's, DGL's, and the floor.

    OMP_NUM_THREADS=1 python benchmarks/gat_layer.py
    OMP_NUM_THREADS=1 python benchmarks/gat_layer.py --sizes small      print these, store nothing

All layers have the same weights and see the same edges, sorted by their target. Ours is measured
as it is and with its compiled kernels (``gatutils.use_compiled_kernels``). They take turns in one
process, in an order that is drawn anew for each round: each run of ours is paired with the run of
each of the others in the same round, so that what slows the machine for a while slows all. What is
stored is the median of the ratios of the pairs (theirs / ours, above 1 where ours is faster) with
its quartiles. A first run of each is not counted. Seconds are those that the processor spent on the
process, so that waiting for other jobs does not count. A forward pass keeps nothing for the
backward pass; a training step is a forward pass and, for a given gradient of the output, the
gradients of states and weights, without a loss or an optimizer.
PyTorch Geometric is as pip installs it; the result says which of its optional compiled parts were
there. DGL takes part if it is installed: 1.1.3, the last that runs beside this version of torch,
installs without its dependencies (``pip install --no-deps --target FOLDER dgl==1.1.3 psutil``, with
FOLDER on PYTHONPATH).

**The floor** is the time of the operations that seem unavoidable in such a layer, each as one call
of torch for all heads, on tensors that lie ready: of a forward pass, the dense projections, one
exponential per edge and head, and one sparse product for all heads; of a training step also the
sparse product with the transpose, one dot product per edge and head (a sampled product), and the
two products that give the gradients of each projection. GATv2 has one more projection, and its
scores read both states of every edge: at least another sampled product and, in the backward pass,
two more sparse products.

Memory is what one training step adds to what a fresh process holds, as the operating system
counts it: this is what has to fit into a machine, also where it never passes through torch's
allocator. The system tells the most that a process has held, which does not come down: so each
layer has a process of its own, and before the step the process is filled up to its peak. States,
weights and edges are there before and are not counted; what ours derives from the edges on its
first step and keeps is: among it their numbers, their order by source, for GATv2 both ends of each
edge, and for several heads an index and a position per edge, head and direction.

The result is ``gatutils/book/results/gat_layer.json``. Seconds are those of one machine.
"""

import argparse
import functools
import importlib.util
import json
import os
import platform
import random
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
from torch.sparse import sampled_addmm
from tqdm import tqdm

from gatutils._csr import HeadRows
from gatutils._kernels import weighted_sum
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv, use_compiled_kernels
from gatutils.interop import to_pyg

Problem = tuple[str, int, int, int, int]
"""Which layer, nodes, edges that are no self-loops, heads, width of each."""

Pass = Callable[[], Any]

# Nodes, other edges than the self-loops that each node gets, and how many pairs of runs.
SIZES = {
    "small": (2_700, 10_300, 31),
    "medium": (20_000, 200_000, 9),
    "large": (100_000, 2_000_000, 3),
}
KINDS: dict[str, type[GATConv | GATv2Conv]] = {"GAT": GATConv, "GATv2": GATv2Conv}
SHAPES = [(8, 8), (4, 32), (1, 64)]  # heads, width of each
NODES, PAIRS = 20_000, 3
GROWTH = {  # what grows in GAT: edges, heads, width of each
    "edges": [(edges, 8, 8) for edges in (25_000, 50_000, 100_000, 200_000, 400_000)],
    "heads": [(200_000, heads, 16) for heads in (1, 2, 4, 8)],
    "width": [(200_000, 4, width) for width in (8, 16, 32, 64)],
}
WIDE = 64  # a state
THREADS = 1
OUT = Path(__file__).parents[1] / "gatutils" / "book" / "results" / "gat_layer.json"


def random_graph(nodes: int, edges: int) -> Graph:
    """Ends drawn at random, and a self-loop at each node."""
    source = torch.randint(0, nodes, (edges,))
    target = (source + torch.randint(1, nodes, (edges,))) % nodes
    return Graph(nodes, source, target).with_self_loops()


def to_dgl(layer: GATConv | GATv2Conv) -> nn.Module:
    """DGL's layer with the same weights."""
    from dgl import nn as dgl

    sizes = (layer.in_features, layer.out_features, layer.heads)
    if isinstance(layer, GATConv):
        theirs: nn.Module = dgl.GATConv(*sizes)
        a_1, a_2 = layer.a.split(layer.out_features, dim=1)
        given = {"fc.weight": layer.W, "attn_l": a_2, "attn_r": a_1}
    else:
        theirs = dgl.GATv2Conv(*sizes)
        given = {"fc_src.weight": layer.U, "fc_dst.weight": layer.W, "attn": layer.a}
    with torch.no_grad():
        for name, weights in theirs.named_parameters():
            weights.zero_()
            if name in given:
                weights.copy_(given[name].reshape(weights.shape))
    return theirs


def has_dgl() -> bool:
    """Whether DGL takes part."""
    return importlib.util.find_spec("dgl") is not None


def layers(kind: str, nodes: int, edges: int, heads: int, width: int) -> tuple[Tensor, Graph, Any]:
    """The states, the graph, and for each library its layer and the layer as a function of them."""
    torch.manual_seed(0)
    graph = random_graph(nodes, edges)
    index, states = graph.edge_index, torch.randn(nodes, WIDE, requires_grad=True)
    ours = KINDS[kind](WIDE, width, heads)
    theirs = to_pyg(ours)
    runs = {
        "ours": (ours, lambda: ours(states, graph)),
        "pyg": (theirs, lambda: theirs(states, index)),
    }
    if has_dgl():
        import dgl

        third, sorted_edges = to_dgl(ours), dgl.graph((index[0], index[1]), num_nodes=nodes)
        runs["dgl"] = (third, lambda: third(sorted_edges, states).flatten(1))
    return states, graph, runs


def forward(layer: nn.Module, states: Tensor, gradient: Tensor, run: Pass) -> None:
    """One pass that keeps nothing."""
    with torch.no_grad():
        run()


def training(layer: nn.Module, states: Tensor, gradient: Tensor, run: Pass) -> None:
    """One pass there and back."""
    for weights in (states, *layer.parameters()):
        weights.grad = None
    run().backward(gradient)


def compiled(run: Pass) -> Pass:
    """The same with our compiled kernels."""

    def faster() -> Any:
        use_compiled_kernels()
        try:
            return run()
        finally:
            use_compiled_kernels(False)

    return faster


def floor(kind: str, nodes: int, edges: int, heads: int, width: int) -> dict[str, Pass]:
    """The operations that seem unavoidable, for a forward pass and for training."""
    torch.manual_seed(0)
    graph = random_graph(nodes, edges)
    there, back = (graph.pattern.head_rows(heads, transposed) for transposed in (False, True))
    states, projected = torch.randn(nodes, WIDE), torch.randn(nodes, heads * width)
    weight, rows = torch.randn(heads * width, WIDE), torch.randn(nodes * heads, width)
    scores = torch.rand(heads * graph.num_edges)
    dots, size = torch.zeros_like(scores), (len(rows), len(rows))
    matrix = torch.sparse_csr_tensor(there.indptr, there.indices, dots, size)
    second = kind == "GATv2"

    def product(of: HeadRows) -> None:
        weighted_sum(of.indptr, of.indices, scores, rows)

    def sampled() -> None:
        sampled_addmm(matrix, rows, rows.T, beta=0, out=matrix)

    def ahead() -> None:
        for _ in range(1 + second):
            states @ weight.T
        if second:
            sampled()
        scores.exp()
        product(there)

    def both() -> None:
        ahead()
        sampled()
        for pattern in (back, there, back)[: 1 + 2 * second]:
            product(pattern)
        for _ in range(1 + second):
            projected.T @ states
            projected @ weight

    return {"forward": ahead, "training": both}


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


def added_memory(who: str, *problem: Any) -> int:
    """Bytes that one training step adds at its most; to be called in a fresh process."""
    kind, *sizes = problem
    width = sizes[2] * sizes[3]
    small, _, runs = layers(kind, 10, 20, *sizes[2:])
    use_compiled_kernels(who == "compiled")
    layer, run = runs["ours" if who == "compiled" else who]
    training(layer, small, torch.ones(10, width), run)  # first, what any step loads once
    states, _, runs = layers(kind, *sizes)
    layer, run = runs["ours" if who == "compiled" else who]
    gradient = torch.ones(len(states), width)
    held, before = filled(), peak()
    training(layer, states, gradient, run)
    added = peak() - before
    del held
    return added


def memory(who: str, *problem: Any) -> float:
    """The same in MB, asked of a fresh process."""
    call = [sys.executable, __file__, "--memory", who, *map(str, problem)]
    answer = subprocess.run(call, check=True, capture_output=True, encoding="utf-8").stdout
    return round(int(answer.split()[-1]) / 1e6, 1)


def turns(runs: dict[str, Pass], pairs: int) -> dict[str, list[float]]:
    """Processor seconds of each, in rounds in which each has its turn; the first is left out."""
    times: dict[str, list[float]] = {who: [] for who in runs}
    order, draw = list(runs), random.Random(0)
    for _ in range(pairs + 1):
        draw.shuffle(order)  # else one might always follow itself, and find its data in the cache
        for who in order:
            start = time.process_time()
            runs[who]()
            times[who].append(time.process_time() - start)
    return {who: taken[1:] for who, taken in times.items()}


def ratios(times: dict[str, list[float]], who: str, to: str) -> dict[str, Any]:
    """How many times as long one takes as the other: the median of the pairs, the quartiles."""
    found = [one / other for one, other in zip(times[who], times[to], strict=True)]
    low, median, high = statistics.quantiles(found, n=4, method="inclusive")
    return {"ratio": round(median, 2), "quartiles": [round(low, 2), round(high, 2)]}


def compare(problem: Problem, pairs: int) -> dict[str, dict[str, Any]]:
    """Median seconds of each; the ratios of the others' times to ours, and of ours to the floor."""
    states, _, runs = layers(*problem)
    lowest = floor(*problem)
    expected, *others = [run().detach() for _, run in runs.values()]
    gradient = torch.ones_like(expected)
    for output in (*others, compiled(runs["ours"][1])()):
        torch.testing.assert_close(output, expected, rtol=1e-3, atol=1e-4)
    del expected, others, output
    found: dict[str, dict[str, Any]] = {}
    for what in (forward, training):
        bound: dict[str, Pass] = {
            who: functools.partial(what, layer, states, gradient, run)
            for who, (layer, run) in runs.items()
        }
        bound |= {"compiled": compiled(bound["ours"]), "floor": lowest[what.__name__]}
        times = turns(bound, pairs)
        libraries = [who for who in runs if who != "ours"]
        found[what.__name__] = {
            "seconds": {who: round(statistics.median(taken), 5) for who, taken in times.items()},
            **{who: ratios(times, who, "ours") for who in libraries},
            "floor": ratios(times, "ours", "floor"),
            "compiled": {
                **{who: ratios(times, who, "compiled") for who in ("ours", *libraries)},
                "floor": ratios(times, "compiled", "floor"),
            },
        }
    return found


def compiled_parts() -> list[str]:
    """Which of the packages are installed that PyTorch Geometric uses where it finds them."""
    names = ("pyg_lib", "torch_scatter", "torch_sparse")
    return [name for name in names if importlib.util.find_spec(name)]


def measured(problem: Problem, pairs: int) -> dict[str, Any]:
    """One row, with the load of the machine, as it is printed too."""
    kind, nodes, edges, heads, width = problem
    row = {"kind": kind, "nodes": nodes, "edges": nodes + edges, "heads": heads, "width": width}
    row |= {"pairs": pairs, **compare(problem, pairs), "load": round(os.getloadavg()[0], 1)}
    return row


def measure(sizes: list[str]) -> list[dict[str, Any]]:
    """One row for each size, layer and shape; memory only in the largest graph."""
    plan = [(size, kind, shape) for size in sizes for kind in KINDS for shape in SHAPES]
    rows = []
    for size, kind, shape in tqdm(plan, unit="layer", disable=None):
        nodes, edges, pairs = SIZES[size]
        problem = (kind, nodes, edges, *shape)
        row = {"size": size, **measured(problem, pairs)}
        if size == list(SIZES)[-1]:
            row["memory"] = {who: memory(who, *problem) for who in ("ours", "compiled", "pyg")}
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def growth() -> list[dict[str, Any]]:
    """One row for each number of edges, of heads, and width, the others held."""
    plan = [(what, at) for what, row in GROWTH.items() for at in row]
    rows = []
    for what, (edges, heads, width) in tqdm(plan, unit="layer", disable=None):
        problem = ("GAT", NODES, edges, heads, width)
        rows.append({"grows": what, **measured(problem, PAIRS)})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure, and store if all sizes were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), metavar="SIZE")
    parser.add_argument("--memory", nargs=6, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(THREADS)
    if chosen.memory:
        who, kind, *problem = chosen.memory
        print(added_memory(who, kind, *map(int, problem)))
        return
    rows = measure(chosen.sizes)
    if chosen.sizes != list(SIZES):
        return
    store(rows, growth())


def store(rows: list[dict[str, Any]], growth: list[dict[str, Any]]) -> None:
    """Write the result."""
    result = {
        "what": "GAT and GATv2 layers: median processor seconds of a forward pass and of a "
        "training step; the ratio theirs / ours of paired runs and ours / floor (median, "
        "quartiles), and the same with our compiled kernels; MB that a training step adds to what "
        "a process holds",
        "in_features": WIDE,
        "threads": THREADS,
        "shapes": SHAPES,
        "torch": torch.__version__.split("+")[0],
        "torch_geometric": torch_geometric.__version__,
        "compiled_parts": compiled_parts(),
        "dgl": dgl_version(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "processors": os.cpu_count(),
        "rows": rows,
        "growth": growth,
    }
    write(OUT, result)


def write(out: Path, result: dict[str, Any]) -> None:
    """Write a file of results whole."""
    draft = out.with_suffix(".tmp")
    draft.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, out)


def dgl_version() -> str | None:
    """The version of DGL, if it takes part."""
    if not has_dgl():
        return None
    import dgl

    version: str = dgl.__version__
    return version


if __name__ == "__main__":
    main()
