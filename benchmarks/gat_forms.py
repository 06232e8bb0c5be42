"""Forms of the GAT layer's sums over edges, each compared with the floor of gat_layer.py.

    OMP_NUM_THREADS=1 python benchmarks/gat_forms.py
    OMP_NUM_THREADS=1 python benchmarks/gat_forms.py --sizes small     print these, store nothing

Without Numba (see below) nothing is stored either.

The projections are the same in all; what differs is how the softmax over each node's edges and the
weighted sums are computed, and in *compiled* the scores too. Besides, *together* adds the bias in
place, *compiled* begins each sum with it, and *loop* joins the heads with a copy.

- **together**: as :class:`~gatutils.graph_attention.GATConv` does, all heads in one sparse product.
- **loop**: the same operations for one head after the other.
- **compiled**: scores, softmax, sums and bias as one operation, the layer's compiled kernel.
- **fused**: a kernel compiled by Numba that iterates over the edges of each node and head, and
  keeps nothing per edge: the backward pass recomputes scores and exponentials. It takes part if
  Numba is installed (``pip install --target FOLDER numba``, with FOLDER on PYTHONPATH).

How it is measured is explained in gat_layer.py. The result is
``gatutils/book/results/gat_forms.json``.
"""

import argparse
import copy
import importlib.util
import json
import os
import platform
import statistics
from functools import partial
from typing import Any

import gat_layer
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from gatutils._attend_edges import softmax_and_sum
from gatutils._gat import score_halves
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, use_compiled_kernels

OUT = gat_layer.OUT.with_name("gat_forms.json")


def has_numba() -> bool:
    """Whether Numba takes part."""
    return importlib.util.find_spec("numba") is not None


class Looped(GATConv):
    """The heads one after the other."""

    def forward(self, states: Tensor, graph: Graph) -> Tensor:  # type: ignore[override]
        """Attend with each head, and join them."""
        query, key, value = self.project(states)
        scores = self.score(query, key, graph)
        heads = zip(scores.split(1, dim=1), value.split(1, dim=1), strict=True)
        out = [softmax_and_sum(e, v, graph, None)[0] for e, v in heads]
        return self.join_heads(torch.cat(out, dim=1))


class Fused(GATConv):
    """Softmax and sums by one compiled loop over the edges."""

    def forward(self, states: Tensor, graph: Graph) -> Tensor:  # type: ignore[override]
        """Attend with all heads, and join them."""
        query, key, value = self.project(states)
        halves = (half.contiguous() for half in score_halves(query, key, self.a))
        out: Tensor = FusedAttention.apply(*halves, value, graph, np.float32(self.negative_slope))
        return self.join_heads(out)  # not in place, as the operation keeps it


class FusedAttention(torch.autograd.Function):
    """The compiled loops as one differentiable operation."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, graph: Graph, slope: np.float32) -> Any:
        """Attend; keep one maximum and one sum per node and head."""
        out, largest, total = torch.empty_like(v), torch.empty_like(q), torch.empty_like(q)
        run, _ = loops()
        run(*arrays(graph.indptr, graph.source, q, k, v), slope, *arrays(out, largest, total))
        ctx.save_for_backward(q, k, v, out, largest, total)
        ctx.graph, ctx.slope = graph, slope
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Compute the scores again, and the gradients of both halves and of the values."""
        q, k, v, *kept = ctx.saved_tensors
        graph, found = ctx.graph, [torch.zeros_like(each) for each in (q, k, v)]
        _, run = loops()
        given = arrays(graph.indptr, graph.source, q, k, v)
        run(*given, ctx.slope, *arrays(*kept, gradient.contiguous(), *found))
        return *found, None, None


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    """The same memory as arrays."""
    return [each.detach().numpy() for each in tensors]


def forward_loop(
    ptr: Any, source: Any, q: Any, k: Any, v: Any, slope: Any, out: Any, largest: Any, total: Any
) -> None:
    """Write contexts, largest scores and sums of exponentials."""
    for i in range(len(q)):
        for h in range(q.shape[1]):
            high, summed = np.float32(-3e38), np.float32(0)
            for e in range(ptr[i], ptr[i + 1]):
                z = q[i, h] + k[source[e], h]
                high = max(high, z if z > 0 else slope * z)
            out[i, h, :] = 0
            for e in range(ptr[i], ptr[i + 1]):
                j = source[e]
                z = q[i, h] + k[j, h]
                p = np.exp((z if z > 0 else slope * z) - high)
                summed += p
                for d in range(v.shape[2]):
                    out[i, h, d] += p * v[j, h, d]
            largest[i, h], total[i, h] = high, summed
            for d in range(v.shape[2]):
                out[i, h, d] /= summed


def backward_loop(
    ptr: Any,
    source: Any,
    q: Any,
    k: Any,
    v: Any,
    slope: Any,
    out: Any,
    largest: Any,
    total: Any,
    g: Any,
    of_q: Any,
    of_k: Any,
    of_v: Any,
) -> None:
    """Add to the gradients; every node has an edge here, its self-loop."""
    for i in range(len(q)):
        for h in range(q.shape[1]):
            mean, summed = np.float32(0), np.float32(0)
            for d in range(v.shape[2]):
                mean += g[i, h, d] * out[i, h, d]
            for e in range(ptr[i], ptr[i + 1]):
                j = source[e]
                z = q[i, h] + k[j, h]
                p = np.exp((z if z > 0 else slope * z) - largest[i, h]) / total[i, h]
                dot = np.float32(0)
                for d in range(v.shape[2]):
                    dot += g[i, h, d] * v[j, h, d]
                    of_v[j, h, d] += p * g[i, h, d]
                of_z = p * (dot - mean) * (np.float32(1) if z > 0 else slope)
                summed += of_z
                of_k[j, h] += of_z
            of_q[i, h] = summed


_loops: list[Any] = []


def loops() -> list[Any]:
    """Both loops, compiled once."""
    if not _loops:
        from numba import njit

        # Only with fastmath are the sums over the width vectorised.
        _loops.extend(njit(fastmath=True)(loop) for loop in (forward_loop, backward_loop))
    return _loops


def forms() -> dict[str, type[GATConv]]:
    """Name -> the layer."""
    kinds = {"together": GATConv, "loop": Looped, "compiled": GATConv}
    return kinds | ({"fused": Fused} if has_numba() else {})


def expect_same(layers: dict[str, GATConv], states: Tensor, graph: Graph, gradient: Tensor) -> None:
    """Raise unless outputs and gradients agree.

    In double precision: among millions of scores some are so close to zero that in single precision
    rounding decides their sign, and with it the slope of the LeakyReLU.
    """
    states, gradient = states.detach().double().requires_grad_(), gradient.double()
    expected: list[Tensor] = []
    for name, layer in layers.items():
        layer = copy.deepcopy(layer).double()
        use_compiled_kernels(name == "compiled")
        out = layer(states, graph)
        found = [out, *torch.autograd.grad(out, [states, *layer.parameters()], gradient)]
        use_compiled_kernels(False)
        expected = expected or found
        for one, other in zip(found, expected, strict=True):
            scale = float(other.detach().abs().max())
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * scale)


def compare(nodes: int, edges: int, heads: int, width: int, pairs: int) -> dict[str, Any]:
    """Each form's time divided by the floor's, after comparing outputs and gradients."""
    torch.manual_seed(0)
    graph = gat_layer.random_graph(nodes, edges)
    states, gradient = torch.randn(nodes, gat_layer.WIDE), torch.randn(nodes, heads * width)
    states.requires_grad_()
    layers = {name: kind(gat_layer.WIDE, width, heads) for name, kind in forms().items()}
    for layer in layers.values():
        layer.load_state_dict(layers["together"].state_dict())
    expect_same(layers, states, graph, gradient)
    lowest = gat_layer.floor("GAT", nodes, edges, heads, width)
    rows: dict[str, Any] = {}
    for what in (gat_layer.forward, gat_layer.training):
        runs: dict[str, gat_layer.Pass] = {
            name: partial(what, layer, states, gradient, partial(layer, states, graph))
            for name, layer in layers.items()
        }
        runs["compiled"] = gat_layer.compiled(runs["compiled"])
        times = gat_layer.turns({**runs, "floor": lowest[what.__name__]}, pairs)
        rows[what.__name__] = {
            "seconds": {who: round(statistics.median(taken), 5) for who, taken in times.items()},
            **{name: gat_layer.ratios(times, name, "floor") for name in layers},
        }
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure, and store if all sizes were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = gat_layer.SIZES
    parser.add_argument("--sizes", nargs="+", choices=sizes, default=list(sizes), metavar="SIZE")
    chosen = parser.parse_args(arguments).sizes
    torch.set_num_threads(gat_layer.THREADS)
    rows = []
    plan = [(size, shape) for size in chosen for shape in gat_layer.SHAPES]
    for size, (heads, width) in tqdm(plan, unit="layer", disable=None):
        nodes, edges, pairs = sizes[size]
        row = {"size": size, "nodes": nodes, "edges": nodes + edges, "heads": heads, "width": width}
        row |= compare(nodes, edges, heads, width, pairs)
        rows.append(row | {"pairs": pairs, "load": round(os.getloadavg()[0], 1)})
        print(json.dumps(rows[-1]), flush=True)
    if chosen == list(sizes) and has_numba():
        result = {
            "what": "Forms of the GAT layer: median processor seconds of a forward pass and of a "
            "training step; the ratio form / floor of paired runs (median, quartiles)",
            "in_features": gat_layer.WIDE,
            "threads": gat_layer.THREADS,
            "torch": torch.__version__.split("+")[0],
            "numba": numba_version(),
            "machine": platform.machine(),
            "rows": rows,
        }
        gat_layer.write(OUT, result)


def numba_version() -> str | None:
    """The version of Numba, if it takes part."""
    if not has_numba():
        return None
    import numba

    version: str = numba.__version__
    return version


if __name__ == "__main__":
    main()
