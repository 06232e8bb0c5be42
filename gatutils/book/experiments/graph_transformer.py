"""Chapter 11: attention over all pairs of nodes, and how it gets the graph back."""

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gatutils._checks import expect, expect_int
from gatutils.attention import ScaledDot
from gatutils.book.experiments.nodes import NodePlan, features_and_labels
from gatutils.book.tasks.graphs import scipy_api
from gatutils.graph import Graph
from gatutils.training import seed_everything
from gatutils.transformer import Block


def laplacian_encoding(graph: Graph, k: int) -> Float[Tensor, "nodes k"]:
    r"""Return the eigenvectors of the Laplacian for the k smallest positive eigenvalues.

    They are orthonormal columns in ascending order of eigenvalue. The sign of each is arbitrary,
    and so is the basis where eigenvalues coincide. The eigenvalue 0 is left out: its eigenvectors
    show nothing but components and degrees. The Laplacian is the normalised one,
    :math:`I - D^{-1/2} A D^{-1/2}`, with a zero on the diagonal for a node without an edge.

    Args:
        graph: An undirected graph; self-loops and duplicate edges are ignored.
        k: Number of eigenvectors.

    Raises:
        ValueError: If an edge has no reverse, or there are fewer than k positive eigenvalues: there
            are as many as nodes, less one for each component.

    Source:
        Dwivedi and Bresson (2021), on positional encodings.
    """
    expect_int(k, "k", least=1)
    links = graph.without_self_loops().without_duplicates().mask()
    expect(torch.equal(links, links.T), "graph", "an undirected graph", "an edge without reverse")
    degree = links.sum(dim=1).double()
    scale = degree.clamp(min=1).rsqrt()
    laplacian = torch.diag((degree > 0).double()) - scale[:, None] * links * scale
    values, vectors = torch.linalg.eigh(laplacian)
    positive: Tensor = vectors[:, values > 1e-9]
    expect(k <= positive.shape[1], "k", f"at most {positive.shape[1]} for this graph", k)
    return positive[:, :k].float()


def hop_distances(graph: Graph, most: int) -> Int[Tensor, "nodes nodes"]:
    """Return how many edges the shortest path from each node j to each node i has.

    The entry of row i and column j is ``most`` if it has at least so many, or there is none.
    """
    expect_int(most, "most", least=1)
    links = graph.adjacency().clamp(max=1)
    reached = torch.eye(graph.num_nodes, dtype=links.dtype)
    distances = torch.full(links.shape, most)
    distances.fill_diagonal_(0)
    for hops in range(1, most):
        reached = (links @ reached + reached).clamp(max=1)
        distances = torch.where(reached > 0, distances.clamp(max=hops), distances)
    return distances


class DistanceBias(ScaledDot):
    r"""The scaled dot product plus a learned number for each distance, :math:`b_{d(i,j)}`.

    Args:
        distances: The distance of each pair, shape (queries, keys); an integer.
        heads: Number of attention heads; each has numbers of its own, which begin at 0.

    Source:
        Ying et al. (2021), on the spatial encoding.
    """

    def __init__(self, distances: Int[Tensor, "queries keys"], heads: int) -> None:
        super().__init__()
        self.distances: Tensor
        self.register_buffer("distances", distances, persistent=False)
        self.bias = nn.Parameter(torch.zeros(heads, int(distances.max()) + 1))

    def compare(self, queries: Tensor, prepared: Tensor) -> Tensor:
        """Return the scores of all pairs, shape (heads, queries, keys)."""
        return super().compare(queries, prepared) + self.bias[:, self.distances]


Reach = Literal["itself", "neighbours", "all pairs"]
"""To whom a node attends; with "neighbours", to itself as well."""


class NodeTransformer(nn.Module):
    """A transformer whose elements are the nodes of one graph.

    A linear layer on the features, to which a projection of the positional encodings is added,
    then pre-norm blocks, and a linear layer. The networks differ in the mask, in the encodings and
    in the score; all else is the same.

    Args:
        graph: The graph, whose edges are the mask and whose encodings are computed here, once.
        width: Width of a state.
        out_features: Width of the output.
        reach: To whom a node attends. With ``"itself"`` the attention passes on the node's own
            value, so the network is an MLP.
        encodings: Number of Laplacian eigenvectors. They are multiplied by the root of the number
            of nodes, for a mean square of 1, and in training each by a random sign at each step.
        distances: Highest distance with a bias of its own (:class:`DistanceBias`); 0 for none.
        heads: Number of attention heads.
        layers: Number of blocks.
        dropout: Probability of dropout on the features and on the inputs of the last layer.
    """

    def __init__(
        self,
        graph: Graph,
        width: int,
        out_features: int,
        *,
        reach: Reach = "all pairs",
        encodings: int = 0,
        distances: int = 0,
        heads: int = 2,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        features, _ = features_and_labels(graph)
        expect(reach == "all pairs" or not distances, "distances", "0 without all pairs", distances)
        self.reach = reach
        self.input_proj = nn.Linear(features.shape[1], width)
        self.blocks = nn.ModuleList(Block(width, heads, 2 * width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, out_features)
        self.dropout = nn.Dropout(dropout)
        self.encoding: Tensor | None = None
        if encodings:
            self.encoding = laplacian_encoding(graph, encodings) * graph.num_nodes**0.5
            self.encoding_proj = nn.Linear(encodings, width, bias=False)
        if distances:
            between = hop_distances(graph, distances)
            for block in self.blocks:
                cast(Block, block).self_attn.score = DistanceBias(between, heads)
        neighbours = reach == "neighbours"
        self.mask = graph.with_self_loops().mask() if neighbours else None

    def forward(
        self, features: Float[Tensor, "nodes features"], graph: Graph
    ) -> Float[Tensor, "nodes out"]:
        """Return one row of logits per node; ``graph`` is that of the constructor."""
        states = self.input_proj(self.dropout(features))
        if self.encoding is not None:
            encoding = self.encoding
            if self.training:
                encoding = encoding * (2 * torch.randint(2, encoding.shape[1:]) - 1)
            states = states + self.encoding_proj(encoding)
        # All nodes are one sequence or, where each attends to itself alone, a sequence each.
        batch = 1 if self.reach == "itself" else 0
        states = states.unsqueeze(batch)
        for block in self.blocks:
            states, _, _ = block(states, self.mask)
        states = states.squeeze(batch)
        return cast(Tensor, self.classifier(self.dropout(self.norm(states))))


@dataclass(frozen=True, kw_only=True)
class GraphTransformerPlan(NodePlan):
    """A transformer on chapter 8's task and budget; its number of parameters is stored too.

    Attributes:
        reach: See :class:`NodeTransformer`.
        encodings: See :class:`NodeTransformer`.
        distances: See :class:`NodeTransformer`.
        heads: See :class:`NodeTransformer`.
        layers: See :class:`NodeTransformer`.
    """

    reach: Reach
    encodings: int = 0
    distances: int = 0
    heads: int = 2
    layers: int = 2

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network with one seed, and test it."""
        graph = scipy_api().graph
        seed_everything(seed)
        _, labels = features_and_labels(graph)
        net = NodeTransformer(
            graph,
            self.hidden,
            int(labels.max()) + 1,
            reach=self.reach,
            encodings=self.encodings,
            distances=self.distances,
            heads=self.heads,
            layers=self.layers,
            dropout=self.dropout,
        )
        parameters = sum(parameter.numel() for parameter in net.parameters())
        return {"scores": self.fit_and_score(net, graph, seed), "parameters": parameters}
