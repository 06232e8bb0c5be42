r"""Graph attention: attention in which the graph is the mask.

Every layer here reads like its formula::

    query, key, value = self.project(states)            # (num_nodes, heads, dim)
    scores = self.score(query, key, graph)              # (num_edges, heads)
    out, alpha = softmax_and_sum(scores, value, graph)  # (num_nodes, heads, dim); as scores
    return self.join_heads(out)

``softmax_and_sum`` is :func:`attend_edges` without some of its checks. With compiled kernels
(:func:`~gatutils.graph_attention.use_compiled_kernels`), :class:`GATConv` and, without edge
features, :class:`GATv2Conv` run the last three lines as one operation (averaging the heads stays
separate). The results are the same up to rounding.

``torch.compile`` works with graph breaks; ``fullgraph=True`` raises, because the check for NaN and
infinity branches on the numbers. ``torch.export`` works without ``strict``, for a module that holds
the graph: the edges are part of the exported program, which raises ``RuntimeError`` where the layer
would raise ``ValueError`` for NaN or infinity. A layer that adds self-loops must have been called
once with the graph before it is exported.
"""

import math
from typing import Literal, cast, overload

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gatutils import _fused
from gatutils._attend_edges import attend_edges, softmax_and_sum
from gatutils._checks import expect, expect_int
from gatutils._compiled import Operations, compiled, use_compiled_kernels
from gatutils._gat import gat_scores
from gatutils._gatv2 import gatv2_scores
from gatutils._kernels import dropout_mask, full_precision
from gatutils._layers import (
    Fill,
    Pair,
    States,
    add_self_loops,
    expect_edge_data,
    expect_features,
    expect_fill,
    expect_finite_states,
    expect_sources,
    expect_states,
    expect_width,
    linear,
    sources_and_targets,
)
from gatutils.attention import attend
from gatutils.graph import Graph
from gatutils.sampling import SampledBlock

__all__ = ["GATConv", "GATv2Conv", "GraphAttention", "attend_edges", "use_compiled_kernels"]


class GraphAttention(nn.Module):
    """What GAT and GATv2 share: score, softmax over the neighbours, weighted sum, join the heads.

    A subclass implements :meth:`project` (queries, keys and values), :meth:`score` (one score per
    edge and head) and ``_init_score`` (the parameters of the score).

    Args:
        in_features: Width of a state.
        out_features: Width of a new state in each head.
        heads: Number of attention heads.
        concat: Concatenate the heads (usual in hidden layers); otherwise average them (usual in
            the output layer).
        negative_slope: Slope of the LeakyReLU for negative inputs, 0 to 1.
        dropout: Probability of setting an attention weight to zero in training. The inputs are
            not dropped: ``GraphNet(dropout=...)`` does that, before each layer.
        bias: Add a bias :math:`b`.
        add_self_loops: Let each node attend to itself too, exactly once, whether or not the graph
            has the self-loop already. Without it, a node's own state affects the scores but is
            not among the values that are summed. Off by default, unlike in PyTorch Geometric:
            the layer uses the edges of the graph that it is given.
        edge_dim: Width of the edge features, which enter the scores but not the values; None for
            edges without features.
        fill_value: The features of the self-loops, if the layer adds them: one number, or
            ``"mean"`` for the mean over the node's other incoming edges (0 if there are none). As
            in PyTorch Geometric, they replace those of a self-loop that the graph has already.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        add_self_loops: bool = False,
        edge_dim: int | None = None,
        fill_value: Fill = "mean",
    ) -> None:
        super().__init__()
        expect_features(in_features, out_features)
        expect_int(heads, "heads", least=1)
        slope_fits = 0 <= negative_slope <= 1
        expect(slope_fits, "negative_slope", "a number from 0 to 1", negative_slope)
        expect(0 <= dropout <= 1, "dropout", "a probability from 0 to 1", dropout)
        self.in_features, self.out_features = in_features, out_features
        self.heads, self.concat = heads, concat
        self.negative_slope, self.dropout = negative_slope, dropout
        self.add_self_loops = add_self_loops
        if edge_dim is not None:
            expect_int(edge_dim, "edge_dim", least=1)
        expect_fill(fill_value)
        self.edge_dim, self.fill_value = edge_dim, fill_value
        width = heads * out_features if concat else out_features
        self.b = nn.Parameter(torch.zeros(width)) if bias else None
        self.W = nn.Parameter(_glorot(heads, out_features, in_features))
        self.W_e: nn.Parameter | None = None
        if edge_dim is not None:
            self.W_e = nn.Parameter(_glorot(heads, out_features, edge_dim))
        self._init_score()

    def _init_score(self) -> None:
        """Create the parameters of :meth:`score`."""
        raise NotImplementedError

    def project(self, states: States) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries, the keys and the values, each (num_nodes, heads, dim)."""
        raise NotImplementedError

    def score(
        self,
        query: Float[Tensor, "num_queries heads dim"],
        key: Float[Tensor, "num_sources heads dim"],
        graph: Graph,
        edge_features: Float[Tensor, "num_edges edge_dim"] | None = None,
    ) -> Float[Tensor, "num_edges heads"]:
        """Return :math:`e_{ij}` for each edge, in each head.

        There is a query for each node. In a block, if queries and keys are one projection, there is
        one for each source, and the nodes' are the first.
        """
        raise NotImplementedError

    @overload
    def forward(
        self,
        states: States | Pair,
        graph: Graph | SampledBlock[Graph],
        return_attention_weights: Literal[False] = ...,
        *,
        edge_features: Tensor | None = ...,
    ) -> Tensor: ...

    @overload
    def forward(
        self,
        states: States | Pair,
        graph: Graph | SampledBlock[Graph],
        return_attention_weights: Literal[True],
        *,
        edge_features: Tensor | None = ...,
    ) -> tuple[Tensor, Tensor]: ...

    def forward(
        self,
        states: States | Pair,
        graph: Graph | SampledBlock[Graph],
        return_attention_weights: bool = False,
        *,
        edge_features: Float[Tensor, "num_edges edge_dim"] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        r"""Let every node attend to the sources of its incoming edges.

        A node attends to itself if the graph has a self-loop there, or the layer adds one. A node
        that attends to nothing receives zeros, plus the bias. Gradients of any order are correct;
        batched backward passes (``vectorize=True``) and forward-mode differentiation raise.

        Args:
            states: :math:`h_j`, shape (num_nodes, in_features); a
                :class:`~gatutils.sparse.CSRMatrix` is accepted. For a bipartite graph, a pair: the
                states of the sources, which give keys and values, and those of the targets, which
                give queries. For a block, the states of its sources, of which its targets are the
                first.
            graph: Which nodes attend to which: a graph, or a block of
                :meth:`~gatutils.graph.Graph.sample`.
            return_attention_weights: Return the attention weights too.
            edge_features: :math:`x_{ij}`, shape (num_edges, edge_dim), in the order of
                ``graph.source`` and ``graph.target``. Features in the order in which the edges
                were given are brought into this order by ``edge_order``::

                    graph = Graph.from_edges([(0, 2), (1, 0)], num_nodes=3)
                    given = torch.tensor([[0.5], [2.0]])  # one row per given edge
                    layer(states, graph, edge_features=given[graph.edge_order])

        Returns:
            The new states, (num_nodes, heads x out_features) or, if the heads are averaged,
            (num_nodes, out_features). With ``return_attention_weights`` also
            :math:`\alpha_{ij}`, (num_edges, heads), before dropout, in the order of
            ``graph.source`` and ``graph.target``, or of those of ``graph.with_self_loops()`` if
            the layer adds the loops.

        Raises:
            TypeError: If ``states`` is not a float tensor, or of another dtype than the weights
                (outside autocast).
            ValueError: If sizes do not match, or a number is NaN or infinite.
        """
        is_block = isinstance(graph, SampledBlock)
        if isinstance(graph, SampledBlock):  # in a block the targets are the first of the sources
            source = target = expect_sources(states, graph, sparse=True)
            graph = graph.graph
        else:
            source, target, graph = sources_and_targets(states, graph, sparse=True)
        self._validate(source, target, graph, edge_features)
        if self.add_self_loops:
            graph, edge_features = add_self_loops(graph, edge_features, self.fill_value, keep=False)
        query, key, value = self.project(source)  # (num_sources, heads, dim) each
        if target is not source:
            query = self.project(target)[0]
        elif is_block and query is not key:
            query = query[: graph.num_nodes]
        if value is not key:  # keys are checked with the scores that they enter
            expect_finite_states(value)
        joined, alpha = self._attend(query, key, value, graph, edge_features)
        return (joined, alpha) if return_attention_weights else joined

    def _attend(
        self,
        query: Float[Tensor, "num_queries heads dim"],
        key: Float[Tensor, "num_sources heads dim"],
        value: Float[Tensor, "num_sources heads dim"],
        graph: Graph,
        edge_features: Float[Tensor, "num_edges edge_dim"] | None,
    ) -> tuple[Float[Tensor, "num_nodes out"], Float[Tensor, "num_edges heads"]]:
        """Return the new states and the attention weights, by one operation if it is compiled."""
        operations, fused = compiled(value, graph.indptr), None
        if operations is not None and value is key and self._is_standard(key, graph):
            fused = self._in_one(operations, query, key, graph, edge_features)
        if fused is None:
            scores = self.score(query, key, graph, edge_features)  # (num_edges, heads)
            out, alpha = softmax_and_sum(scores, value, graph, self._drops(graph, scores))
            return self.join_heads(out, in_place=True), alpha
        bias, drops = self.b if self.concat else None, self._drops(graph, value)
        out, alpha = _fused.attend(*fused, graph.pattern, drops, bias)
        return out if self.concat else self.join_heads(out.view(len(out), *value.shape[1:])), alpha

    def _is_standard(self, key: Tensor, graph: Graph) -> bool:
        """Tell whether scores, keys and joined heads are what this class, not a subclass, makes."""
        own = _fused.is_standard(self.score) and _fused.is_standard(self.join_heads)
        return own and len(key) == graph.num_sources

    def _in_one(
        self,
        operations: Operations,
        query: Float[Tensor, "num_queries heads dim"],
        key: Float[Tensor, "num_sources heads dim"],
        graph: Graph,
        edge_features: Float[Tensor, "num_edges edge_dim"] | None,
    ) -> tuple[_fused.Attention, tuple[Tensor | None, ...]] | None:
        """Return how compiled operations compute this layer, and from what; None if none does."""
        return None

    def _drops(self, graph: Graph, like: Tensor) -> Float[Tensor, "num_edges heads"] | None:
        """Return what dropout multiplies the weights by, for scores, or values, like these."""
        if not (self.training and self.dropout):
            return None
        # Drawn head by head, on which a seed's runs depend.
        shape = like.shape[1], graph.source.shape[0]
        return dropout_mask(like.new_empty(shape), self.dropout).T.contiguous()

    def dense(
        self,
        states: States,
        mask: Bool[Tensor, "num_nodes num_nodes"],
        *,
        edge_features: Float[Tensor, "num_edges edge_dim"] | None = None,
    ) -> tuple[Float[Tensor, "num_nodes out"], Float[Tensor, "heads num_nodes num_nodes"]]:
        """Compute what :meth:`forward` does through :func:`~gatutils.attention.attend`.

        The scores form a whole matrix per head, in which the mask hides the pairs without an
        edge. Memory and time grow with the square of the number of nodes: it is meant for graphs
        small enough to inspect. Dropout drops other weights than in :meth:`forward`, and under
        autocast the sums are taken in lower precision.

        Args:
            states: Shape (num_nodes, in_features).
            mask: True where a node (row) attends to another (column).
            edge_features: One row per True entry of the mask, row by row.

        Returns:
            The new states, and the attention weights before dropout.

        Raises:
            TypeError: If a dtype is wrong.
            ValueError: If sizes do not match, or a number is NaN or infinite.
        """
        graph = Graph.from_mask(mask)
        expect_states(states, graph, sparse=True)
        self._validate(states, states, graph, edge_features)
        if self.add_self_loops:
            graph, edge_features = add_self_loops(graph, edge_features, self.fill_value, keep=False)
            mask = graph.mask()
        query, key, value = self.project(states)
        pairs = Graph.from_mask(torch.ones_like(mask))
        if edge_features is not None:  # pairs without an edge are hidden whatever their features
            hidden = edge_features.new_zeros(pairs.num_edges, edge_features.shape[1])
            places = graph.target * len(mask) + graph.source
            edge_features = hidden.index_copy(0, places, edge_features)
        scores = self.score(query, key, pairs, edge_features)
        scores = scores.T.unflatten(1, mask.shape)  # (heads, num_nodes, num_nodes)
        by_head = value.transpose(0, 1)
        out, alpha = attend(scores, by_head, mask)
        if self.training and self.dropout:
            out = nn.functional.dropout(alpha, self.dropout) @ by_head
        return self.join_heads(out.transpose(0, 1)), alpha

    @_fused.standard
    def join_heads(
        self, out: Float[Tensor, "num_nodes heads dim"], *, in_place: bool = False
    ) -> Float[Tensor, "num_nodes out"]:
        """Concatenate or average the heads, and add the bias (equations 5 and 6 of GAT).

        Args:
            out: What the heads computed.
            in_place: Whether ``out`` may be changed, which saves a copy of it.
        """
        bias = self.b
        if bias is None or not (self.concat and in_place):
            joined = out.flatten(1) if self.concat else out.mean(dim=1)
            return joined if bias is None else joined + bias
        # Not a view, so that it can be changed in place in turn.
        joined = cast(Tensor, torch.ops.aten._unsafe_view(out, (out.shape[0], bias.shape[0])))
        return joined.add_(bias)

    def _map(
        self, states: States, weight: Tensor, bias: Tensor | None = None, check: bool = True
    ) -> Float[Tensor, "num_nodes heads dim"]:
        """Apply each head's matrix to the states; autocast lowers the product, not its result."""
        mapped = linear(states, weight.flatten(0, 1), bias)
        if check:
            expect_finite_states(mapped)
        mapped = mapped if mapped.dtype == weight.dtype else mapped.to(weight.dtype)
        return mapped.view(-1, self.heads, self.out_features)

    def _validate(
        self, source: States, target: States, graph: Graph, edge_features: Tensor | None
    ) -> None:
        expect_width(source, self.W)
        if target is not source:
            expect_width(target, self.W)
        if self.edge_dim is None and edge_features is None:
            return
        given = "None" if edge_features is None else "a tensor"
        expect(self.edge_dim is not None, "edge_features", "None, as edge_dim is None", given)
        wanted = f"one row of edge_dim = {self.edge_dim} numbers per edge"
        expect(edge_features is not None, "edge_features", wanted, given)
        if edge_features is not None:
            expect_edge_data(edge_features, "edge_features", graph, 2, self.W)
            width = edge_features.shape[1]
            expect(width == self.edge_dim, "edge_features", f"width {self.edge_dim}", width)

    def extra_repr(self) -> str:
        """Return the settings of the layer."""
        edges = f", edge_dim={self.edge_dim}, fill_value={self.fill_value!r}"
        return (
            f"{self.in_features}, {self.out_features}, heads={self.heads}, concat={self.concat}, "
            f"negative_slope={self.negative_slope}, dropout={self.dropout}, "
            f"add_self_loops={self.add_self_loops}{edges if self.edge_dim else ''}"
        )


class GATConv(GraphAttention):
    r"""Graph attention: each node weighs its neighbours by a score learned from both their states.

    .. math::

        e_{ij} = \mathrm{LeakyReLU}\left(a^\top [W h_i \Vert W h_j]\right) \qquad
        \alpha_{ij} = \mathrm{softmax}_{j \in \mathcal{N}(i)}(e_{ij}) \qquad
        h_i' = b + \sum_{j \in \mathcal{N}(i)} \alpha_{ij} W h_j

    in each head with its own :math:`W` and :math:`a`. The two halves of :math:`a` act on the node
    and on its neighbour separately, so the score is the sum of :math:`a_1^\top W h_i` and
    :math:`a_2^\top W h_j`, which are computed once per node instead of once per edge. With
    ``edge_dim``, the score of an edge with features :math:`x_{ij}` has a third part,

    .. math::

        e_{ij} = \mathrm{LeakyReLU}\left(
            a_1^\top W h_i + a_2^\top W h_j + a_e^\top W_e x_{ij}\right)

    which is a product of :math:`x_{ij}` with the one vector :math:`W_e^\top a_e` per head.

    See :class:`GraphAttention` for the arguments.

    Source:
        Velickovic et al. (2018), equations 1 to 6. The nonlinearity is left to the network.
    """

    def _init_score(self) -> None:
        self.a = nn.Parameter(_glorot(self.heads, 1, 2 * self.out_features).squeeze(1))
        self.a_e: nn.Parameter | None = None
        if self.edge_dim is not None:
            self.a_e = nn.Parameter(_glorot(self.heads, 1, self.out_features).squeeze(1))

    def project(self, states: States) -> tuple[Tensor, Tensor, Tensor]:
        """Return :math:`W h` three times: query, key and value are the same projection."""
        # Our score finds NaN and infinity in its halves, which are far fewer numbers.
        projected = self._map(states, self.W, check=not _fused.is_standard(self.score))
        return projected, projected, projected

    @_fused.standard
    @full_precision
    def score(
        self, query: Tensor, key: Tensor, graph: Graph, edge_features: Tensor | None = None
    ) -> Tensor:
        r"""Return :math:`\mathrm{LeakyReLU}(a_1^\top q_i + a_2^\top k_j)` for each edge.

        With edge features the sum has the third part :math:`a_e^\top W_e x_{ij}`.
        """
        of_edges = self._of_edges(edge_features)
        return gat_scores(query, key, self.a, of_edges, self.negative_slope, graph.pattern)

    @full_precision
    def _of_edges(
        self, edge_features: Float[Tensor, "num_edges edge_dim"] | None
    ) -> Float[Tensor, "num_edges heads"] | None:
        r"""Return :math:`a_e^\top W_e x_{ij}` for each edge."""
        if edge_features is None or self.W_e is None or self.a_e is None:
            return None
        vectors = (self.a_e.unsqueeze(1) @ self.W_e).squeeze(1)  # (heads, edge_dim)
        return edge_features.to(vectors.dtype) @ vectors.T

    def _in_one(
        self,
        operations: Operations,
        query: Tensor,
        key: Tensor,
        graph: Graph,
        edge_features: Tensor | None,
    ) -> tuple[_fused.Attention, tuple[Tensor | None, ...]] | None:
        other = None if query is key else query
        of_edges = None if edge_features is None else self._of_edges(edge_features)
        slope, pattern = self.negative_slope, graph.pattern

        def scores(query: Tensor | None, key: Tensor, a: Tensor, of_edges: Tensor | None) -> Tensor:
            return gat_scores(key if query is None else query, key, a, of_edges, slope, pattern)

        layer = _fused.Attention(operations.gat, operations.gat_backward, scores, slope)
        return layer, (other, key, self.a, of_edges)


class GATv2Conv(GraphAttention):
    r"""Graph attention whose ranking of the neighbours may depend on the query.

    .. math::

        e_{ij} = a^\top \mathrm{LeakyReLU}\left(W h_i + U h_j\right) \qquad
        h_i' = b + \sum_{j \in \mathcal{N}(i)} \alpha_{ij} U h_j

    :math:`a` is now applied after the LeakyReLU; the rest is :class:`GATConv`. With ``bias``, both
    projections have a bias too, as in the authors' code. With ``edge_dim``, the features
    :math:`x_{ij}` of an edge are projected to a third term of the sum,

    .. math:: e_{ij} = a^\top \mathrm{LeakyReLU}\left(W h_i + U h_j + W_e x_{ij}\right)

    See :class:`GraphAttention` for the arguments.

    Source:
        Brody et al. (2022), equation 7; there :math:`[W \; U]` is one matrix applied to the
        concatenation :math:`[h_i \Vert h_j]`.
    """

    def _init_score(self) -> None:
        width = self.heads * self.out_features
        self.U = nn.Parameter(_glorot(self.heads, self.out_features, self.in_features))
        self.a = nn.Parameter(_glorot(self.heads, 1, self.out_features).squeeze(1))
        self.b_W = None if self.b is None else nn.Parameter(torch.zeros(width))
        self.b_U = None if self.b is None else nn.Parameter(torch.zeros(width))

    def project(self, states: States) -> tuple[Tensor, Tensor, Tensor]:
        """Return :math:`W h`, the queries, and :math:`U h`, which is both key and value."""
        query, key = self._map(states, self.W, self.b_W), self._map(states, self.U, self.b_U)
        return query, key, key

    @_fused.standard
    @full_precision
    def score(
        self, query: Tensor, key: Tensor, graph: Graph, edge_features: Tensor | None = None
    ) -> Tensor:
        r"""Return :math:`a^\top \mathrm{LeakyReLU}(q_i + k_j)` for each edge.

        With edge features the sum has the third term :math:`W_e x_{ij}`.
        """
        queries, keys, slope, pattern = (
            query.flatten(1),
            key.flatten(1),
            self.negative_slope,
            graph.pattern,
        )
        if edge_features is None or self.W_e is None:
            return gatv2_scores(queries, keys, self.a, slope, pattern)
        edges, W_e = edge_features.to(self.W_e.dtype), self.W_e.flatten(0, 1)
        return gatv2_scores(queries, keys, self.a, slope, pattern, edges, W_e)

    def _in_one(
        self,
        operations: Operations,
        query: Tensor,
        key: Tensor,
        graph: Graph,
        edge_features: Tensor | None,
    ) -> tuple[_fused.Attention, tuple[Tensor | None, ...]] | None:
        if edge_features is not None:
            return None
        slope, pattern = self.negative_slope, graph.pattern

        def scores(query: Tensor, key: Tensor, a: Tensor) -> Tensor:
            return gatv2_scores(query.flatten(1), key.flatten(1), a, slope, pattern)

        query = query if len(query) == pattern.num_rows else query[: pattern.num_rows]
        layer = _fused.Attention(operations.gatv2, operations.gatv2_backward, scores, slope)
        return layer, (query, key, self.a)


def _glorot(*shape: int) -> Tensor:
    """Return matrices (heads, out, in), initialised as Glorot and Bengio (2010), equation 16."""
    bound = math.sqrt(6 / (shape[-1] + shape[-2]))
    return torch.empty(shape).uniform_(-bound, bound)
