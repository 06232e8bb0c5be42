r"""Convert graphs to networkx and back, and layers to PyTorch Geometric and back.

A converted layer has the same weights and equal outputs. PyTorch Geometric has no graph type like
ours: its layers are called with the states and an *edge index*, the sources above the targets.
These two lines therefore compute the same::

    layer(states, graph)
    to_pyg(layer)(states, graph.edge_index)

``Graph.from_edge_index(index, num_nodes)`` converts an edge index back. PyTorch Geometric is not
needed for the rest of the package; it is imported by the first call.

Settings that change a layer's output are converted in both directions, so the two lines agree
whatever the settings:

- **Self-loops.** With ``add_self_loops`` a layer gives each node exactly one in both libraries,
  whether or not the graph has it. Only the defaults differ: graph attention adds self-loops in
  PyTorch Geometric but not here; graph convolution adds them in both.
- **Edge features and weights.** They are given in the order of ``graph.source`` and
  ``graph.target`` to both: ``layer(states, graph, edge_features=x)`` is
  ``to_pyg(layer)(states, graph.edge_index, x)``. Where the layer adds self-loops, ``fill_value``
  says what data they have; that of graph convolution is 2 with PyTorch Geometric's ``improved``,
  and otherwise 1. Of several self-loops at one node, graph convolution keeps the weight of the
  first here, and of the last in PyTorch Geometric.
- **Dropout.** Graph attention drops its attention weights with the same probability in both.
  Which ones are dropped is drawn independently, so the outputs are equal where nothing is
  dropped: in ``eval`` mode, or with probability 0.

Source:
    Fey and Lenssen (2019); the layers are those of version 2.8.
"""

import importlib
from typing import Any, cast

import torch
from torch import Tensor, nn

from gatutils._checks import expect
from gatutils._layers import Fill
from gatutils._networkx import NetworkxData, from_networkx, to_networkx
from gatutils.graph_attention import GATConv, GATv2Conv
from gatutils.message_passing import (
    GCNConv,
    GINConv,
    Pooling,
    SAGEConv,
)

__all__ = ["NetworkxData", "from_networkx", "from_pyg", "to_networkx", "to_pyg"]

Layer = GCNConv | SAGEConv | GINConv | GATConv | GATv2Conv

# The names of our parameters in PyTorch Geometric, which splits GAT's vector in two: the part for
# i, then the part for j.
NAMES: dict[type[nn.Module], dict[str, tuple[str, ...]]] = {
    GCNConv: {"W.weight": ("lin.weight",), "b": ("bias",)},
    SAGEConv: {
        "W.weight": ("lin_r.weight",),
        "U.weight": ("lin_l.weight",),
        "U.bias": ("lin_l.bias",),
    },
    GINConv: {
        "eps": ("eps",),
        "mlp.0.weight": ("nn.0.weight",),
        "mlp.0.bias": ("nn.0.bias",),
        "mlp.2.weight": ("nn.2.weight",),
        "mlp.2.bias": ("nn.2.bias",),
    },
    GATConv: {
        "W": ("lin.weight",),
        "a": ("att_dst", "att_src"),
        "b": ("bias",),
        "W_e": ("lin_edge.weight",),
        "a_e": ("att_edge",),
    },
    GATv2Conv: {
        "W": ("lin_r.weight",),
        "b_W": ("lin_r.bias",),
        "U": ("lin_l.weight",),
        "b_U": ("lin_l.bias",),
        "a": ("att",),
        "b": ("bias",),
        "W_e": ("lin_edge.weight",),
    },
}


def to_pyg(layer: Layer) -> nn.Module:
    """Convert one of our layers to PyTorch Geometric's, with its weights copied.

    Type, device, mode and ``requires_grad`` are kept. An ``eps`` of
    :class:`~gatutils.message_passing.GINConv` that does not require a gradient is converted to
    ``train_eps=False``.

    Args:
        layer: A ``GATConv``, ``GATv2Conv``, ``GCNConv``, ``SAGEConv`` or ``GINConv``.

    Raises:
        ImportError: If PyTorch Geometric is not installed.
        TypeError: If it is another layer.
    """
    theirs = _theirs()
    _expect_kind(layer, tuple(NAMES))
    new: nn.Module
    with torch.random.fork_rng(devices=[]):  # initialisation must not advance the caller's RNG
        if isinstance(layer, GATConv | GATv2Conv):
            new = getattr(theirs, type(layer).__name__)(
                layer.in_features,
                layer.out_features,
                layer.heads,
                concat=layer.concat,
                negative_slope=layer.negative_slope,
                dropout=layer.dropout,
                add_self_loops=layer.add_self_loops,
                edge_dim=layer.edge_dim,
                fill_value=layer.fill_value,
                bias=layer.b is not None,
            )
        elif isinstance(layer, GCNConv):
            widths = layer.W.in_features, layer.W.out_features
            loops = layer.add_self_loops
            fits = not loops or layer.fill_value in (1, 2)
            expect(fits, "fill_value", "1 or 2 (their improved)", repr(layer.fill_value))
            new = theirs.GCNConv(*widths, layer.fill_value == 2, add_self_loops=loops)
        elif isinstance(layer, SAGEConv):
            new = theirs.SAGEConv(layer.W.in_features, layer.W.out_features, aggr=layer.aggr)
        else:
            first = cast(nn.Linear, layer.mlp[0])
            network = GINConv(first.in_features, first.out_features).mlp
            learned = layer.eps.requires_grad
            new = theirs.GINConv(network, train_eps=learned, aggr=layer.aggr)
    _settle(layer, new)
    there = _numbers(new)
    for name, mine in layer.named_parameters():
        names = NAMES[type(layer)][name]
        for other, part in zip(names, mine.chunk(len(names), dim=-1), strict=True):
            _copy(part, there[other], mine.requires_grad)
    return new


def from_pyg(layer: nn.Module) -> Layer:
    """Convert one of PyTorch Geometric's layers to ours, with its weights copied.

    Type, device, mode and ``requires_grad`` are kept, and so are added self-loops and the
    probability of dropout. ``cached`` is ignored, since it does not change the output for one
    graph. Matrices that GATv2 shares (``share_weights``) are copied, so they are equal but no
    longer shared. A bias that our GCN and SAGE layers always have and theirs lacks is set to zero
    and does not require a gradient.

    Args:
        layer: A ``GATConv``, ``GATv2Conv``, ``GCNConv``, ``SAGEConv`` or ``GINConv``.

    Raises:
        ImportError: If PyTorch Geometric is not installed.
        TypeError: If it is another layer.
        ValueError: If it has a setting that our layer does not support; the message names it.
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
    with torch.random.fork_rng(devices=[]):  # initialisation must not advance the caller's RNG
        if isinstance(old, theirs.GATConv | theirs.GATv2Conv):
            _expect_setting(old, "aggr", "add", "sum")
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
                edge_dim=old.edge_dim,
                fill_value=_fill(old),
            )
        elif isinstance(old, theirs.GCNConv):
            _expect_setting(old, "aggr", "add", "sum")
            _expect_setting(old, "normalize", True)
            widths = _width(old), old.out_channels
            fill = 2.0 if old.improved else 1.0
            new = GCNConv(*widths, add_self_loops=old.add_self_loops, fill_value=fill)
        elif isinstance(old, theirs.SAGEConv):
            _expect_setting(old, "normalize", False)
            _expect_setting(old, "project", False)
            _expect_setting(old, "root_weight", True)
            how = _how(old)
            new = SAGEConv(_width(old), old.out_channels, how)
        else:
            new = GINConv(*_network_widths(old.nn), _how(old))
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
    """Raise unless its class is exactly one of these; a subclass may behave differently."""
    if type(layer) not in kinds:
        names = ", ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"layer: expected one of {names}, got {type(layer).__name__}")


def _expect_setting(layer: Any, name: str, *wanted: object) -> None:
    value = getattr(layer, name)
    expected = " or ".join(map(repr, wanted))
    expect(value in wanted, name, f"{expected}, which is what ours does", repr(value))


def _width(layer: Any) -> int:
    """Return their layer's input width; raise if there are two, for two sets of nodes."""
    matrices = [getattr(layer, name, None) for name in ("lin", "lin_l", "lin_r")]
    widths: set[int] = {matrix.weight.shape[1] for matrix in matrices if matrix is not None}
    # A GAT layer for two sets of nodes has none of the three, even if both are equally wide.
    expect(len(widths) == 1, "in_channels", "one width", layer.in_channels)
    return widths.pop()


def _fill(layer: Any) -> Fill:
    """Return what their layer fills self-loops with; only layers with edge features use it."""
    value = layer.fill_value
    fits = value == "mean" if isinstance(value, str) else isinstance(value, int | float)
    unused = layer.edge_dim is None or not layer.add_self_loops
    expect(fits or unused, "fill_value", "a number or 'mean', which ours can do", repr(value))
    return cast(Fill, value) if fits else "mean"


def _how(layer: Any) -> Pooling:
    _expect_setting(layer, "aggr", "add", "sum", "mean", "max")
    how: Pooling = "sum" if layer.aggr == "add" else layer.aggr
    return how


def _network_widths(network: object) -> tuple[int, int]:
    """Return the widths of a GINConv's network; raise if its structure is different."""
    wanted = "Sequential(Linear(in, out), ReLU(), Linear(out, out)) with biases"
    parts: list[Any] = list(network) if type(network) is nn.Sequential else []
    expect([type(p) for p in parts] == [nn.Linear, nn.ReLU, nn.Linear], "nn", wanted, network)
    first, _, last = parts
    biased = first.bias is not None and last.bias is not None
    square = first.out_features == last.in_features == last.out_features
    expect(biased and square, "nn", wanted, network)
    return first.in_features, first.out_features


def _settle(old: nn.Module, new: nn.Module) -> None:
    """Move the new layer to the old one's type, device and mode."""
    one = next(old.parameters())
    new.to(dtype=one.dtype, device=one.device).train(old.training)


def _numbers(layer: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name; a shared parameter under each of its names."""
    held: dict[str, Tensor] = dict(layer.named_parameters(remove_duplicate=False))
    return held | dict(layer.named_buffers())


def _copy(numbers: Tensor, to: Tensor, learned: bool) -> None:
    with torch.no_grad():
        to.copy_(numbers.reshape(to.shape))
    to.requires_grad_(learned and isinstance(to, nn.Parameter))
