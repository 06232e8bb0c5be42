"""Training on a graph that lies on disk, within a limit of memory that the graph exceeds.

    python benchmarks/out_of_core.py
    python benchmarks/out_of_core.py --nodes 100000     print this, store nothing

A graph of a million nodes with ten neighbours each is written to a temporary folder. A fresh
process maps it into memory, and from then on may take up at most ``LIMIT`` bytes of addresses more;
the system refuses what exceeds it. It trains a network on sampled neighbourhoods and classifies
nodes that had no label, with all their neighbours. A second process does the same after it has
copied the graph into memory, if it can: that is the control.

Pages of the files that the process has used stay in memory only as long as nobody else needs it.
They are not counted, except in ``resident``, the most that Linux saw in memory.

The result is ``gatutils/book/results/out_of_core.json``. Linux only.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from gatutils.book.experiments.sampling import fit_sampled, sampled_accuracy, sampled_net
from gatutils.book.tasks.graphs import planted_classes
from gatutils.storage import load_graph, save_graph

NODES = 1_000_000
LIMIT = 128 * 2**20
TRAIN, TEST, STEPS, BATCH, SIZES = 20_000, 2_000, 200, 200, (5, 5)
OUT = Path(__file__).parents[1] / "gatutils" / "book" / "results" / "out_of_core.json"


def status(name: str) -> int:
    """Bytes that Linux counts for this process under a name."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"), re.M)
    assert found is not None
    return 1024 * int(found[1])


def train(folder: Path, copied: bool) -> dict[str, Any] | None:
    """Train in this process, which must be fresh; None if its memory is not enough."""
    import resource

    torch.set_num_threads(1)
    graph = load_graph(folder)
    order = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(0))
    train, test = order[:TRAIN].clone(), order[TRAIN : TRAIN + TEST].clone()
    del order
    most = status("VmSize") + LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    start = time.process_time()
    try:
        if copied:
            parts = (graph.features, graph.labels, graph.source, graph.target)
            held = [part.clone() for part in parts if part is not None]
            del held
        torch.manual_seed(0)
        net = sampled_net(32, 8)
        options = {"steps": STEPS, "batch": BATCH, "lr": 0.01}
        fit_sampled(net, graph, train, SIZES, **options)  # type: ignore[arg-type]
        right = sampled_accuracy(net, graph, test, (-1, -1), batch=BATCH)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        return None
    return {
        "right": round(right, 4),
        "seconds": round(time.process_time() - start, 1),
        "resident": status("VmHWM"),
    }


def measure(nodes: int) -> dict[str, Any]:
    """Write the graph, and train on it in both ways."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "graph")
        save_graph(planted_classes(nodes, 0).with_self_loops(), folder)
        found["bytes"] = sum(path.stat().st_size for path in folder.iterdir())
        for how in ("mapped", "copied"):
            call = [sys.executable, __file__, "--train", str(folder), how]
            told = subprocess.run(call, check=True, capture_output=True, encoding="utf-8").stdout
            found[how] = json.loads(told.splitlines()[-1])
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure, and store what was measured at the full size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.train:
        print(json.dumps(train(Path(chosen.train[0]), chosen.train[1] == "copied")))
        return
    found = measure(chosen.nodes)
    if chosen.nodes != NODES:
        print(json.dumps(found))
        return
    result = {
        "what": "a GAT trained on sampled neighbourhoods of a graph on disk, within a limit of "
        "memory beside the mapped files; null where the limit is not enough",
        "nodes": NODES,
        "limit": LIMIT,
        "train": TRAIN,
        "test": TEST,
        "steps": STEPS,
        "batch": BATCH,
        "sizes": SIZES,
        "torch": torch.__version__.split("+")[0],
        "machine": platform.machine(),
        "system": platform.system(),
        **found,
    }
    draft = OUT.with_suffix(".tmp")
    draft.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, OUT)


if __name__ == "__main__":
    main()
