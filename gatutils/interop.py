r"""Layers of the book to PyTorch Geometric and back, with the same weights and equal outputs.

PyTorch Geometric keeps no graph: its layers are called with the states and an *edge index*, the
sources above the targets. So these two are one:

    layer(states, graph)
    to_pyg(layer)(states, edge_index(graph))

and the way back of an edge index is ``Graph(nodes, *index)``. It is not needed to use the rest of
the package, and is loaded by the first call.

What a layer does besides its weights is carried over both ways, so that both lines above are equal
whatever the layer was made with:

- **Self-loops.** Where a layer is made with ``add_self_loops``, it gives each node exactly one in
  both libraries, whether or not the graph has it. They differ in what happens unless it is said:
  graph attention adds loops in theirs and not in ours, and a graph convolution adds them in both.
- **Dropout.** Graph attention drops the same share of its attention weights in both. Which ones
  they are is drawn anew, so outputs are equal number by number where nothing is dropped: in
  ``eval`` mode, or with a share of 0.

Source:
    Fey and Lenssen (2019); the layers are those of version 2.8.
"""

import importlib
from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from gatutils.checks import expect
from gatutils.gnn import GCN, GIN, SAGE, GATConv, GATv2Conv, How
from gatutils.graph import Graph

__all__ = ["edge_index", "from_pyg", "to_pyg"]

Layer = GCN | SAGE | GIN | GATConv | GATv2Conv

# What each of our weights is called there. GAT's vector is two there: that of i, then that of j.
NAMES: dict[type[nn.Module], dict[str, tuple[str, ...]]] = {
    GCN: {"W.weight": ("lin.weight",), "b": ("bias",)},
    SAGE: {
        "W.weight": ("lin_r.weight",),
        "U.weight": ("lin_l.weight",),
        "U.bias": ("lin_l.bias",),
    },
    GIN: {
        "eps": ("eps",),
        "mlp.0.weight": ("nn.0.weight",),
        "mlp.0.bias": ("nn.0.bias",),
        "mlp.2.weight": ("nn.2.weight",),
        "mlp.2.bias": ("nn.2.bias",),
    },
    GATConv: {"W": ("lin.weight",), "a": ("att_dst", "att_src"), "b": ("bias",)},
    GATv2Conv: {
        "W": ("lin_r.weight",),
        "b_W": ("lin_r.bias",),
        "U": ("lin_l.weight",),
        "b_U": ("lin_l.bias",),
        "a": ("att",),
        "b": ("bias",),
    },
}


def edge_index(graph: Graph) -> Int[Tensor, "two edges"]:
    """Return :attr:`~gatutils.graph.Graph.edge_index`, as PyTorch Geometric takes a graph.

    Its columns are in the order of the graph's edges, and so are attention weights of either
    library unless a layer adds self-loops: those stand behind all other edges in theirs, and
    behind the other edges of each node in ours.

    Raises:
        TypeError: If ``graph`` is none.
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a Graph, got {type(graph).__name__}")
    return graph.edge_index


def to_pyg(layer: Layer) -> nn.Module:
    """Make PyTorch Geometric's layer of ours, with weights copied.

    Type, device, mode and what is not learned stay. An ``eps`` of :class:`~gatutils.gnn.GIN` that
    is not learned (``requires_grad`` is False) becomes one of ``train_eps=False``.

    Args:
        layer: A :class:`~gatutils.gnn.GATConv`, :class:`~gatutils.gnn.GATv2Conv`,
            :class:`~gatutils.gnn.GCN`, :class:`~gatutils.gnn.SAGE` or
            :class:`~gatutils.gnn.GIN`.

    Raises:
        ImportError: If PyTorch Geometric is not installed.
        TypeError: If it is another layer.
    """
    theirs = _theirs()
    _expect_kind(layer, tuple(NAMES))
    new: nn.Module
    with torch.random.fork_rng(devices=[]):  # the draws of a new layer's first weights
        if isinstance(layer, GATConv | GATv2Conv):
            new = getattr(theirs, type(layer).__name__)(
                layer.in_features,
                layer.out_features,
                layer.heads,
                concat=layer.concat,
                negative_slope=layer.negative_slope,
                dropout=layer.dropout,
                add_self_loops=layer.add_self_loops,
                bias=layer.b is not None,
            )
        elif isinstance(layer, GCN):
            widths = layer.W.in_features, layer.W.out_features
            new = theirs.GCNConv(*widths, add_self_loops=layer.add_self_loops)
        elif isinstance(layer, SAGE):
            new = theirs.SAGEConv(layer.W.in_features, layer.W.out_features, aggr=layer.how)
        else:
            first = cast(nn.Linear, layer.mlp[0])
            network = GIN(first.in_features, first.out_features).mlp
            learned = layer.eps.requires_grad
            new = theirs.GINConv(network, train_eps=learned, aggr=layer.how)
    _settle(layer, new)
    there = _numbers(new)
    for name, mine in layer.named_parameters():
        names = NAMES[type(layer)][name]
        for other, part in zip(names, mine.chunk(len(names), dim=-1), strict=True):
            _copy(part, there[other], mine.requires_grad)
    return new


def from_pyg(layer: nn.Module) -> Layer:
    """Make our layer of PyTorch Geometric's, with weights copied.

    Type, device, mode and what is not learned stay, and so do self-loops that it adds and the
    share of dropout. Settings that change no number for a plain edge index are passed over
    (``cached``, ``fill_value``). Matrices that GATv2 shares (``share_weights``) are equal, but no
    longer one. What ours always has and theirs has not is zero and not learned: a bias of GCN and
    SAGE.

    Args:
        layer: A ``GATConv``, ``GATv2Conv``, ``GCNConv``, ``SAGEConv`` or ``GINConv``.

    Raises:
        ImportError: If PyTorch Geometric is not installed.
        TypeError: If it is another layer.
        ValueError: If it was made with a setting that ours has not; the message names it.
    """
    theirs = _theirs()
    kinds = (theirs.GATConv, theirs.GATv2Conv, theirs.GCNConv, theirs.SAGEConv, theirs.GINConv)
    _expect_kind(layer, kinds)
    old: Any = layer
    uninitialized = nn.parameter.UninitializedParameter
    ready = not any(isinstance(weights, uninitialized) for weights in layer.parameters())
    expect(ready, "in_channels", "a width, or a layer that has been called", "-1")
    _expect_setting(old, "flow", "source_to_target")
    new: Layer
    with torch.random.fork_rng(devices=[]):  # the draws of a new layer's first weights
        if isinstance(old, theirs.GATConv | theirs.GATv2Conv):
            _expect_setting(old, "aggr", "add", "sum")
            _expect_setting(old, "edge_dim", None)
            _expect_setting(old, "residual", False)
            kind = GATConv if isinstance(old, theirs.GATConv) else GATv2Conv
            new = kind(
                _width(old),
                old.out_channels,
                old.heads,
                old.concat,
                old.negative_slope,
                old.dropout,
                old.bias is not None,
                add_self_loops=old.add_self_loops,
            )
        elif isinstance(old, theirs.GCNConv):
            _expect_setting(old, "aggr", "add", "sum")
            _expect_setting(old, "normalize", True)
            _expect_setting(old, "improved", False)
            new = GCN(_width(old), old.out_channels, add_self_loops=old.add_self_loops)
        elif isinstance(old, theirs.SAGEConv):
            _expect_setting(old, "normalize", False)
            _expect_setting(old, "project", False)
            _expect_setting(old, "root_weight", True)
            how = _how(old)
            new = SAGE(_width(old), old.out_channels, how)
        else:
            new = GIN(*_network_widths(old.nn), _how(old))
    _settle(old, new)
    there = _numbers(old)
    for name, mine in new.named_parameters():
        found = [there[other] for other in NAMES[type(new)][name] if other in there]
        if found:
            _copy(torch.cat(found, dim=-1), mine, any(part.requires_grad for part in found))
        else:
            _copy(torch.zeros_like(mine), mine, False)
    return new


def _theirs() -> Any:
    try:
        return importlib.import_module("torch_geometric.nn")
    except ImportError as error:
        wanted = "an installed torch_geometric (pip install 'gatutils[pyg]')"
        raise ImportError(f"torch_geometric: expected {wanted}, got {error}") from error


def _expect_kind(layer: object, kinds: tuple[type, ...]) -> None:
    """Raise unless it is of one of these classes itself: a subclass may do something else."""
    if type(layer) not in kinds:
        names = ", ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"layer: expected one of {names}, got {type(layer).__name__}")


def _expect_setting(layer: Any, name: str, *wanted: object) -> None:
    value = getattr(layer, name)
    expected = " or ".join(map(repr, wanted))
    expect(value in wanted, name, f"{expected}, which is what ours does", repr(value))


def _width(layer: Any) -> int:
    """Return how wide their layer takes a state; two widths are for two sets of nodes."""
    matrices = [getattr(layer, name, None) for name in ("lin", "lin_l", "lin_r")]
    widths = {matrix.weight.shape[1] for matrix in matrices if matrix is not None}
    # GAT has none of the three if it is made for two sets, also where they are equally wide.
    expect(len(widths) == 1, "in_channels", "one width", layer.in_channels)
    return cast(int, widths.pop())


def _how(layer: Any) -> How:
    _expect_setting(layer, "aggr", "add", "sum", "mean", "max")
    return cast(How, {"add": "sum"}.get(layer.aggr, layer.aggr))


def _network_widths(network: object) -> tuple[int, int]:
    """Return how wide a network of :class:`~gatutils.gnn.GIN` is; raise if it is another."""
    wanted = "Sequential(Linear(in, out), ReLU(), Linear(out, out)) with biases"
    parts = list(network) if type(network) is nn.Sequential else []
    expect([type(p) for p in parts] == [nn.Linear, nn.ReLU, nn.Linear], "nn", wanted, network)
    first, last = cast(nn.Linear, parts[0]), cast(nn.Linear, parts[2])
    biased = first.bias is not None and last.bias is not None
    square = first.out_features == last.in_features == last.out_features
    expect(biased and square, "nn", wanted, network)
    return first.in_features, first.out_features


def _settle(old: nn.Module, new: nn.Module) -> None:
    """Give the new layer the old one's type, device and mode."""
    one = next(old.parameters())
    new.to(dtype=one.dtype, device=one.device).train(old.training)


def _numbers(layer: nn.Module) -> dict[str, Tensor]:
    """Return what it holds by name, also twice what it shares, and what it does not learn."""
    held: dict[str, Tensor] = dict(layer.named_parameters(remove_duplicate=False))
    return held | dict(layer.named_buffers())


def _copy(numbers: Tensor, to: Tensor, learned: bool) -> None:
    with torch.no_grad():
        to.copy_(numbers.reshape(to.shape))
    to.requires_grad_(learned and isinstance(to, nn.Parameter))
