"""Chapters 10 and 11: networks of attention layers, and the entropy of their weights."""

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatutils._checks import expect, expect_int, expect_tensor
from gatutils.book.experiments.dictionary import DotConv
from gatutils.book.experiments.nodes import NodePlan, features_and_labels
from gatutils.book.tasks.graphs import scipy_api
from gatutils.graph import Graph
from gatutils.graph_attention import (
    GATConv,
    GATv2Conv,
    GraphAttention,
)
from gatutils.message_passing import GraphNet
from gatutils.sparse import CSRMatrix
from gatutils.training import seed_everything

ATTENTION = {"GAT": GATConv, "GATv2": GATv2Conv}


def attention_net(
    layer: str, in_features: int, width: int, out_features: int, heads: int, dropout: float = 0.0
) -> GraphNet:
    """Return two layers of graph attention: concatenated heads, then an output layer with one head.

    Args:
        layer: ``"GAT"`` or ``"GATv2"``.
        in_features: Width of the features.
        width: Width of the first layer's heads together.
        out_features: Width of the output.
        heads: Number of attention heads of the first layer.
        dropout: Probability of dropout, for each layer's inputs and its attention weights.
    """
    expect(layer in ATTENTION, "layer", f"one of {', '.join(ATTENTION)}", repr(layer))
    expect_int(heads, "heads", least=1)
    expect(width % heads == 0, "heads", f"a divisor of width ({width})", heads)
    made = ATTENTION[layer]
    first = made(in_features, width // heads, heads, dropout=dropout)
    last = made(width, out_features, concat=False, dropout=dropout)
    return GraphNet([first, last], dropout=dropout)


def fix_equal_weights(net: nn.Module) -> None:
    """Fix each ``a`` at zero, in place: every node then gives equal weight to its neighbours.

    Args:
        net: A network with layers of graph attention, at any depth.

    Source:
        The baseline Const-GAT of Velickovic et al. (2018), section 3.
    """
    for layer in net.modules():
        if isinstance(layer, GraphAttention):
            nn.init.zeros_(cast(nn.Parameter, layer.a)).requires_grad_(False)


def normalised_entropy(
    weights: Float[Tensor, "edges heads"], graph: Graph
) -> Float[Tensor, " heads"]:
    """Return the normalised entropy of each head's weights: 1 if they are uniform.

    It is the entropy of each node's weights, summed over the nodes, divided by what this sum would
    be if the weights were uniform. It is 0 if each node puts all its weight on one edge. If no node
    has more than one incoming edge, it is defined as 1.

    Args:
        weights: The attention weights, shape (num_edges, heads), in the order of the graph's edges.
        graph: The graph; the weights are a distribution over each node's incoming edges.

    Raises:
        TypeError: If ``weights`` is not a float tensor.
        ValueError: If there is not one row per edge.

    Source:
        Pielou (1966) divides the entropy by its largest value in this way.
    """
    _expect_weights(weights, graph)
    entropy = torch.special.entr(weights).sum(dim=0)
    largest = graph.degree.clamp(min=1).to(weights.dtype).log().sum()
    return torch.where(largest > 0, entropy / largest, 1)


def largest_to_mean(
    weights: Float[Tensor, "edges heads"], graph: Graph
) -> Float[Tensor, "nodes heads"]:
    """Return each node's largest weight divided by its mean weight: 1 if they are uniform.

    The mean weight is one divided by the number of incoming edges, so the ratio is that number if a
    node puts all its weight on one edge. It is NaN for a node without incoming edges.

    Args:
        weights: As in :func:`normalised_entropy`.
        graph: As in :func:`normalised_entropy`.

    Raises:
        TypeError: If ``weights`` is not a float tensor.
        ValueError: If there is not one row per edge.
    """
    _expect_weights(weights, graph)
    degree = graph.degree.unsqueeze(1).to(weights.dtype)
    rows = graph.target.unsqueeze(1).expand_as(weights)
    largest = weights.new_zeros(graph.num_nodes, weights.shape[1])
    largest = largest.scatter_reduce(0, rows, weights, "amax")
    return torch.where(degree > 0, largest * degree, torch.nan)


def _expect_weights(weights: Tensor, graph: Graph) -> None:
    expect_tensor(weights, "weights", "float", ndim=2, exact=True)
    expect(
        len(weights) == graph.num_edges, "weights", f"{graph.num_edges}, one per edge", len(weights)
    )


@torch.no_grad()
def attention_weights(
    net: GraphNet, features: Tensor | CSRMatrix, graph: Graph
) -> list[tuple[Float[Tensor, "edges heads"], Graph]]:
    """Return the weights of each layer of a graph attention network, each with its graph.

    The weights of each layer are computed from the input that it receives within the network, and
    are in the order of the edges of its graph, which is ``graph`` with self-loops if the layer
    adds them. The network is left in evaluation mode.

    Raises:
        TypeError: If a layer is not a graph attention layer.
    """
    for layer in net.layers:
        if not isinstance(layer, GraphAttention | DotConv):
            raise TypeError(f"net: expected layers of graph attention, got {type(layer).__name__}")
    given: list[Tensor | CSRMatrix] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        for layer in set(net.layers)
    ]
    try:
        net.eval()(features, graph)
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for layer, states in zip(net.layers, given, strict=True):
        _, weights = layer(states, graph, return_attention_weights=True)
        looped = getattr(layer, "add_self_loops", False)
        found.append((weights, graph.with_self_loops() if looped else graph))
    return found


def attention_entropy(
    net: GraphNet, features: Tensor | CSRMatrix, graph: Graph
) -> list[Float[Tensor, " heads"]]:
    """Return the normalised entropy of each head in each layer; see :func:`attention_weights`."""
    return [normalised_entropy(*layer) for layer in attention_weights(net, features, graph)]


@dataclass(frozen=True, kw_only=True)
class AttentionPlan(NodePlan):
    """Graph attention on chapter 8's task and budget; each node also attends to itself.

    The normalised entropy of the weights of each head in each layer is stored too.

    Attributes:
        layer: Name of the layers.
        heads: See :func:`attention_net`.
        equal: Whether ``a`` is fixed at zero, so that all weights of a node are equal.
    """

    layer: Literal["GAT", "GATv2"]
    heads: int = 4
    equal: bool = False

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network with one seed, and test it."""
        graph = scipy_api().graph.with_self_loops()
        features, labels = features_and_labels(graph)
        seed_everything(seed)
        sizes = features.shape[1], self.hidden, int(labels.max()) + 1
        net = attention_net(self.layer, *sizes, self.heads, self.dropout)
        if self.equal:
            fix_equal_weights(net)
        scores = self.fit_and_score(net, graph, seed)
        entropy = [of.tolist() for of in attention_entropy(net, features, graph)]
        return {"scores": scores, "normalised_entropy": entropy}
