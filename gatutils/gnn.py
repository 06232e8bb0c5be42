r"""Message passing: aggregate, combine, read out.

.. math::

    c_i = \mathrm{aggregate}_{j \in \mathcal{N}(i)}\, \mathrm{message}(h_j)
    \qquad
    h_i' = \mathrm{combine}(h_i, c_i)

The layers below differ in nothing but these three choices. Each does work for each edge, never
for each pair of nodes.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, cast, get_args, overload

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gatutils.attention import attend
from gatutils.checks import (
    expect,
    expect_finite,
    expect_int,
    expect_list,
    expect_same_dtype,
    expect_tensor,
)
from gatutils.graph import Graph
from gatutils.sparse import (
    AdditiveScores,
    EdgeSoftmax,
    PairSums,
    SparseRows,
    drop,
    dropout,
    full_precision,
    product,
    row_maxima,
    row_sums,
)

__all__ = [
    "GCN",
    "GIN",
    "SAGE",
    "GATConv",
    "GATv2Conv",
    "Gated",
    "GraphAttention",
    "GraphNet",
    "MessagePassing",
    "Readout",
    "aggregate",
    "attend_edges",
    "readout",
]

How = Literal["sum", "mean", "max", "symmetric"]


def aggregate(
    states: Float[Tensor, "nodes dim"], graph: Graph, how: How = "sum"
) -> Float[Tensor, "nodes dim"]:
    r"""Bring together what each node's incoming edges carry.

    ``"sum"``, ``"mean"`` and ``"max"`` (number by number) speak for themselves. ``"symmetric"``
    is the sum in which an edge is divided by the roots of the degrees of its ends,

    .. math:: c_i = \sum_{j \in \mathcal{N}(i)} \frac{h_j}{\sqrt{d_i d_j}}

    where :math:`d_i` counts the edges that lead *to* node i; a source to which none leads gives
    nothing. An edge that is there twice counts
    twice. A node without an incoming edge receives zeros, whatever ``how`` is.

    Args:
        states: :math:`h_j`, one row a node.
        graph: Who may look at whom.
        how: The way to bring them together.

    Raises:
        TypeError: If ``states`` is no float tensor.
        ValueError: If it has another number of rows than the graph has nodes, or ``how`` is none
            of these four.

    Source:
        Xu et al. (2019), section 2; Kipf and Welling (2017), equation 2, for ``"symmetric"``.
    """
    _expect_states(states, graph)
    expect(how in get_args(How), "how", "'sum', 'mean', 'max' or 'symmetric'", repr(how))
    _expect_finite(states)
    if how == "max":
        return row_maxima(states, graph.pattern)
    if how == "symmetric":
        degree = graph.degree.to(states.dtype).unsqueeze(1)
        scale = degree.rsqrt().masked_fill(degree == 0, 0)
        return scale * row_sums(scale * states, graph.pattern)
    total = row_sums(states, graph.pattern)
    return total / graph.degree.clamp(min=1).unsqueeze(1) if how == "mean" else total


def attend_edges(
    scores: Float[Tensor, "edges *heads"],
    values: Float[Tensor, "nodes *heads dim"],
    graph: Graph,
) -> tuple[Float[Tensor, "nodes *heads dim"], Float[Tensor, "edges *heads"]]:
    r"""Mix the values as :func:`gatutils.attention.attend` does, over a graph's edges alone.

    What a mask would hide is not there: no pair without an edge is scored or stored. An edge that
    is there twice counts twice. A node without an incoming edge gets a context of zeros.

    Args:
        scores: :math:`e_{ij}`, one for each edge from j to i, in the order of ``graph.source`` and
            ``graph.target`` (sorted by target, so not the order in which the edges were given);
            with heads, one for each edge and head.
        values: :math:`v_j`, one row a node; with heads, one for each node and head.
        graph: Who may look at whom.

    Returns:
        The contexts :math:`c_i`, and the weight :math:`\alpha_{ij}` of each edge, in the order of
        the scores.

    Raises:
        TypeError: If ``scores`` or ``values`` is no float tensor, or both are not of one dtype
            (under autocast the wider of the two is taken).
        ValueError: If sizes do not fit, or a number is NaN or infinite.

    Source:
        Velickovic et al. (2018), equations 2 and 3. Its gradients, of any order, are derived in
        :class:`gatutils.sparse.EdgeSoftmax` and :class:`gatutils.sparse.Product`.
    """
    _expect_graph(graph)
    expect_tensor(scores, "scores", "float", ndim=1)
    expect(scores.ndim < 3, "scores", "1 or 2 axes", f"shape {tuple(scores.shape)}")
    expect_tensor(values, "values", "float", ndim=scores.ndim + 1, exact=True)
    expect(len(values) == graph.nodes, "values", f"{graph.nodes} rows, one a node", len(values))
    expect(len(scores) == graph.edges, "scores", f"{graph.edges}, one an edge", len(scores))
    heads, of_values = tuple(scores.shape[1:]), tuple(values.shape[1:-1])
    expect(of_values == heads, "values", f"heads {heads} like scores", of_values)
    expect_same_dtype(values, "values", scores, "scores")
    wider = torch.promote_types(scores.dtype, values.dtype)  # than that of one, under autocast
    scores, values = scores.to(wider), values.to(wider)
    for numbers, name in ((scores, "scores"), (values, "values")):
        expect_finite(numbers, name)
    if not heads:
        context, weights = attend_edges(scores.unsqueeze(1), values.unsqueeze(1), graph)
        return context.squeeze(1), weights.squeeze(1)
    context, weights = _attend(scores.T, values.transpose(0, 1), graph)
    return context.transpose(0, 1), weights.T


@full_precision
def _attend(
    scores: Float[Tensor, "heads edges"],
    values: Float[Tensor, "heads nodes dim"],
    graph: Graph,
    kept: Float[Tensor, "heads edges"] | None = None,
) -> tuple[Float[Tensor, "heads nodes dim"], Float[Tensor, "heads edges"]]:
    """Softmax over each node's incoming edges, then the weighted sum of the sources' values."""
    weights: Tensor = EdgeSoftmax.apply(scores.contiguous(), graph.pattern)  # type: ignore[no-untyped-call]
    return product(weights, values.contiguous(), graph.pattern, kept), weights


def readout(
    states: Float[Tensor, "nodes dim"], graph: Graph, how: How = "sum"
) -> Float[Tensor, "graphs dim"]:
    """Bring together the nodes of each graph of a batch; zeros for a graph without nodes.

    It is :func:`aggregate` again: each graph is a node that looks at its nodes.

    Args:
        states: One row a node.
        graph: A batch, or one graph.
        how: ``"sum"``, ``"mean"`` or ``"max"``.

    Raises:
        TypeError: If ``states`` is no float tensor.
        ValueError: If it has another number of rows than the graph has nodes, or ``how`` is none
            of these three.

    Source:
        Gilmer et al. (2017), section 2; Xu et al. (2019), equation 2.4.
    """
    _expect_states(states, graph)
    expect(how in ("sum", "mean", "max"), "how", "'sum', 'mean' or 'max'", repr(how))
    every = torch.arange(graph.nodes, device=graph.source.device)
    wide = max(graph.nodes, graph.graphs)  # a graph has as many nodes that look as can be seen
    gather = Graph(wide, every, graph.member)
    rows = nn.functional.pad(states, (0, 0, 0, wide - graph.nodes))
    return aggregate(rows, gather, how)[: graph.graphs]


def _expect_graph(graph: Graph) -> None:
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a Graph, got {type(graph).__name__}")


def _expect_states(states: Tensor | SparseRows, graph: Graph, sparse: bool = False) -> None:
    """Raise unless there is a state for each node; SparseRows will do only where said so."""
    _expect_graph(graph)
    if not (sparse and isinstance(states, SparseRows)):
        expect_tensor(states, "states", "float", ndim=2, exact=True)
    expect(len(states) == graph.nodes, "states", f"{graph.nodes} rows, one a node", len(states))


def _times(states: Tensor | SparseRows, weight: Tensor) -> Tensor:
    r"""Return the states times :math:`W^\top`."""
    if isinstance(states, SparseRows):
        return states.times(weight)
    return nn.functional.linear(states, weight)


def _expect_fit(states: Tensor | SparseRows, weight: Tensor) -> None:
    """Raise unless states are as wide as a matrix takes them, and of its dtype."""
    width = weight.shape[1]
    expect(states.shape[1] == width, "states", f"width {width}", states.shape[1])
    expect_same_dtype(states, "states", weight, "the weights")


def _expect_finite(made: Tensor) -> None:
    """Raise unless what was made of the states is finite.

    One policy for all layers: NaN and infinity are refused, at whichever node they stand.
    Otherwise they would spread along the edges, unnoticed, one step per layer.
    """
    expect_finite(made, "states", "finite numbers, and no score that overflows")


class MessagePassing(nn.Module):
    """One layer: every node hears its neighbours, then changes its state.

    A layer is a choice of ``how`` (see :func:`aggregate`), :meth:`message` and
    :meth:`combine`.

    Source:
        Gilmer et al. (2017), equations 1 and 2.
    """

    how: How = "sum"

    def message(self, states: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes sent"]:
        """Return what each node sends along its outgoing edges; its state, unless overridden."""
        return states

    def combine(
        self, states: Float[Tensor, "nodes dim"], received: Float[Tensor, "nodes sent"]
    ) -> Float[Tensor, "nodes out"]:
        """Return the new states from the old ones and what was received."""
        raise NotImplementedError

    def forward(
        self, states: Float[Tensor, "nodes dim"], graph: Graph
    ) -> Float[Tensor, "nodes out"]:
        """Pass messages once.

        Raises:
            TypeError: If ``states`` is no float tensor.
            ValueError: If it does not have one row for each node of ``graph``.
        """
        _expect_states(states, graph)
        received = aggregate(self.message(states), graph, self.how)
        return self.combine(states, received)


class GCN(MessagePassing):
    r"""A graph convolution: a mean of a kind over the neighbours *and the node itself*.

    .. math:: h_i' = b + \sum_{j \in \mathcal{N}(i) \cup \{i\}} \frac{W h_j}{\sqrt{d_i d_j}}

    :math:`d_i` counts the edges that lead to i, with its self-loop. The numbers
    :math:`1 / \sqrt{d_i d_j}` of a node do not sum to 1 unless its neighbours have its own degree.

    Args:
        in_features: Width of a state.
        out_features: Width of a new state.
        add_self_loops: Give each node exactly one self-loop, as the formula says, whether or not
            the graph has it already (:meth:`~gatutils.graph.Graph.with_self_loops`). With False
            the edges of the graph are taken as they are.

    Source:
        Kipf and Welling (2017), equation 2.
    """

    how: How = "symmetric"

    def __init__(self, in_features: int, out_features: int, *, add_self_loops: bool = True) -> None:
        super().__init__()
        _expect_widths(in_features, out_features)
        self.add_self_loops = add_self_loops
        self.W = nn.Linear(in_features, out_features, bias=False)
        self.b = nn.Parameter(torch.zeros(out_features))

    def message(self, states: Tensor | SparseRows) -> Tensor:
        """Return :math:`W h_j`; W may stand before the sum or behind, and here it is narrower."""
        _expect_fit(states, self.W.weight)
        return _times(states, self.W.weight)

    def combine(self, states: Tensor | SparseRows, received: Tensor) -> Tensor:
        """Add the bias; the node itself is among those received."""
        return received + self.b

    def forward(
        self, states: Float[Tensor, "nodes dim"] | SparseRows, graph: Graph
    ) -> Float[Tensor, "nodes out"]:
        """Pass messages once, over the graph with a self-loop at each node.

        Raises:
            TypeError: If ``states`` is no float tensor, or of another dtype than the weights.
            ValueError: If sizes do not fit, or a number is NaN or infinite.
        """
        _expect_states(states, graph, sparse=True)
        graph = graph.with_self_loops() if self.add_self_loops else graph
        received = aggregate(self.message(states), graph, self.how)
        return self.combine(states, received)


class SAGE(MessagePassing):
    r"""The node and its neighbours, each with weights of their own.

    .. math:: h_i' = W h_i + U c_i + b

    Args:
        in_features: Width of a state.
        out_features: Width of a new state.
        how: How :math:`c_i` is made: ``"mean"``, ``"max"`` or ``"sum"``.

    Source:
        Hamilton et al. (2017), algorithm 1, where :math:`[W \; U]` is one matrix over the
        concatenated :math:`[h_i \Vert c_i]`. The nonlinearity is left to the network, and the new
        states are not brought to length 1.
    """

    def __init__(self, in_features: int, out_features: int, how: How = "mean") -> None:
        super().__init__()
        _expect_widths(in_features, out_features)
        expect(how in ("sum", "mean", "max"), "how", "'sum', 'mean' or 'max'", repr(how))
        self.how = how
        self.W = nn.Linear(in_features, out_features, bias=False)
        self.U = nn.Linear(in_features, out_features)

    def combine(self, states: Tensor, received: Tensor) -> Tensor:
        """Return :math:`W h_i + U c_i + b`."""
        _expect_fit(states, self.W.weight)
        return cast(Tensor, self.W(states) + self.U(received))


class GIN(MessagePassing):
    r"""A sum, then a small network.

    .. math:: h_i' = \mathrm{MLP}\left((1 + \varepsilon) h_i + c_i\right)

    A sum keeps what a mean forgets: how many neighbours there are.

    Args:
        in_features: Width of a state.
        out_features: Width of a new state, and of the hidden layer.
        how: ``"sum"``, or another for comparison.

    Source:
        Xu et al. (2019), equation 4.1; :math:`\varepsilon` is learned and starts at 0.
    """

    def __init__(self, in_features: int, out_features: int, how: How = "sum") -> None:
        super().__init__()
        _expect_widths(in_features, out_features)
        expect(how in ("sum", "mean", "max"), "how", "'sum', 'mean' or 'max'", repr(how))
        self.how = how
        self.eps = nn.Parameter(torch.zeros(1))
        self.mlp = nn.Sequential(
            nn.Linear(in_features, out_features),
            nn.ReLU(),
            nn.Linear(out_features, out_features),
        )

    def combine(self, states: Tensor, received: Tensor) -> Tensor:
        """Return the network of the weighted node and what it received."""
        _expect_fit(states, cast(Tensor, self.mlp[0].weight))
        return cast(Tensor, self.mlp((1 + self.eps) * states + received))


class GraphAttention(nn.Module):
    """What GAT and GATv2 share, score, softmax over the neighbours, weighted sum, join the heads.

    The two differ in :meth:`project`, which makes what is compared and the values, and in the
    score of one query and one key. Each writes that score twice: for all pairs, as it is read, and
    for the edges alone, as it is used.
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
    ) -> None:
        super().__init__()
        _expect_widths(in_features, out_features)
        expect_int(heads, "heads", least=1)
        slope_fits = 0 <= negative_slope <= 1
        expect(slope_fits, "negative_slope", "a number from 0 to 1", negative_slope)
        expect(0 <= dropout <= 1, "dropout", "a share from 0 to 1", dropout)
        self.in_features, self.out_features = in_features, out_features
        self.heads, self.concat = heads, concat
        self.negative_slope, self.dropout = negative_slope, dropout
        self.add_self_loops = add_self_loops
        width = heads * out_features if concat else out_features
        self.b = nn.Parameter(torch.zeros(width)) if bias else None

    def project(self, states: Tensor | SparseRows) -> tuple[Tensor, Tensor, Tensor]:
        """Return what asks, what is asked, and the values, each (nodes, heads, dim)."""
        raise NotImplementedError

    def score_pairs(
        self, queries: Float[Tensor, "nodes heads dim"], keys: Float[Tensor, "nodes heads dim"]
    ) -> Float[Tensor, "heads nodes nodes"]:
        """Score all pairs: row i, column j is how much i wants of j."""
        raise NotImplementedError

    def score_edges(
        self,
        queries: Float[Tensor, "nodes heads dim"],
        keys: Float[Tensor, "nodes heads dim"],
        graph: Graph,
    ) -> Float[Tensor, "heads edges"]:
        """Score the edges alone."""
        raise NotImplementedError

    @overload
    def forward(
        self, states: Tensor | SparseRows, graph: Graph, return_weights: Literal[False] = ...
    ) -> Tensor: ...

    @overload
    def forward(
        self, states: Tensor | SparseRows, graph: Graph, return_weights: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...

    def forward(
        self, states: Tensor | SparseRows, graph: Graph, return_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        r"""Let every node attend to its neighbours, along the edges of ``graph`` and no others.

        A node sees itself if the graph has a self-loop there, or the layer adds one. A node that
        attends to nothing receives zeros, and the bias. Gradients of any order are right; what
        batches a backward pass (``vectorize=True``) or differentiates forwards raises.

        Args:
            states: :math:`h_j`, one row per node; :class:`~gatutils.sparse.SparseRows` will do.
            graph: Which nodes attend to which.
            return_weights: Return the weights too.

        Returns:
            The new states, (nodes, heads x out) or, if the heads are averaged, (nodes, out). With
            ``return_weights`` also :math:`\alpha_{ij}`, (edges, heads), before dropout, in the
            order of ``graph.source`` and ``graph.target``, or of ``graph.with_self_loops()`` if
            the layer adds the loops.

        Raises:
            TypeError: If ``states`` is no float tensor, or of another dtype than the weights
                (outside autocast).
            ValueError: If sizes do not fit, or a number is NaN or infinite.
        """
        self._expect(states, graph)
        graph = graph.with_self_loops() if self.add_self_loops else graph
        contexts, weights = self._over_edges(*self.project(states), graph)
        out = self._join(contexts)
        return (out, weights.T) if return_weights else out

    @full_precision
    def _over_edges(
        self, queries: Tensor, keys: Tensor, values: Tensor, graph: Graph
    ) -> tuple[Float[Tensor, "heads nodes dim"], Float[Tensor, "heads edges"]]:
        """Score the edges, and mix the values."""
        queries, keys, values = self._same_type(queries, keys, values)
        scores = self.score_edges(queries, keys, graph)
        kept = drop(scores, self.dropout) if self.training and self.dropout else None
        return _attend(scores, values.transpose(0, 1), graph, kept)

    def _same_type(self, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        """Bring what autocast has lowered back to the type of the weights; refuse bad numbers."""
        _expect_finite(values)
        return tuple(part.to(self._first_weight().dtype) for part in (queries, keys, values))

    def dense(
        self, states: Tensor | SparseRows, mask: Bool[Tensor, "nodes nodes"]
    ) -> tuple[Float[Tensor, "nodes out"], Float[Tensor, "heads nodes nodes"]]:
        """Do the same as one reads it: score *all* pairs, mask, softmax, sum.

        Memory and time grow with the square of the nodes; for graphs that one can look at.

        Args:
            states: One row a node.
            mask: True where a node (row) may look at another (column).

        Returns:
            The new states, and the weights before dropout.

        Raises:
            TypeError: If a dtype is wrong.
            ValueError: If sizes do not fit, or a number is NaN or infinite.
        """
        self._expect(states, Graph.from_mask(mask))
        if self.add_self_loops:
            mask = mask | torch.eye(len(mask), dtype=torch.bool, device=mask.device)
        contexts, weights = self._over_pairs(*self.project(states), mask)
        return self._join(contexts), weights

    @full_precision
    def _over_pairs(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor
    ) -> tuple[Float[Tensor, "heads nodes dim"], Float[Tensor, "heads nodes nodes"]]:
        """Score all pairs, and mix the values."""
        queries, keys, values = self._same_type(queries, keys, values)
        values = values.transpose(0, 1)
        contexts, weights = attend(self.score_pairs(queries, keys), values, mask)
        if self.training and self.dropout:
            contexts = nn.functional.dropout(weights, self.dropout) @ values
        return contexts, weights

    def _join(self, contexts: Float[Tensor, "heads nodes dim"]) -> Float[Tensor, "nodes out"]:
        """Put the heads side by side, or take their mean; the equations 5 and 6 of GAT."""
        _expect_finite(contexts)
        joined = contexts.transpose(0, 1).flatten(1) if self.concat else contexts.mean(dim=0)
        return joined if self.b is None else joined + self.b

    def _expect(self, states: Tensor | SparseRows, graph: Graph) -> None:
        _expect_states(states, graph, sparse=True)
        _expect_fit(states, self._first_weight())

    def _first_weight(self) -> Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Return what the layer was made with."""
        return (
            f"{self.in_features}, {self.out_features}, heads={self.heads}, concat={self.concat}, "
            f"negative_slope={self.negative_slope}, dropout={self.dropout}, "
            f"add_self_loops={self.add_self_loops}"
        )


class GATConv(GraphAttention):
    r"""Graph attention: each node decides how much it takes from each of its neighbours.

    .. math::

        e_{ij} = \mathrm{LeakyReLU}\left(a^\top [W h_i \Vert W h_j]\right) \qquad
        \alpha_{ij} = \mathrm{softmax}_{j \in \mathcal{N}(i)}(e_{ij}) \qquad
        h_i' = b + \sum_{j \in \mathcal{N}(i)} \alpha_{ij} W h_j

    in each head with its own :math:`W` and :math:`a`. The vector :math:`a` has a half for the
    node and a half for the neighbour, so the score is a sum of two numbers,
    :math:`a_1^\top W h_i + a_2^\top W h_j`, each made once for a node and not once for an edge.

    Args:
        in_features: Width of a state.
        out_features: Width of a new state in each head.
        heads: How many.
        concat: Put the heads side by side (inside a network); else take their mean (at its end).
        negative_slope: Of the LeakyReLU, 0 to 1.
        dropout: Share of the attention weights that are set to zero in training. The inputs are
            not touched: ``GraphNet(dropout=...)`` drops those, before each layer.
        bias: Add :math:`b`.
        add_self_loops: Let each node attend to itself too, exactly once, whether or not the graph
            has the loop already. The layer has no other way to see the node's own state. Off
            unless asked for: the layer attends along the edges of the graph that it is given.

    Source:
        Velickovic et al. (2018), equations 1 to 6. The nonlinearity is left to the network.
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
    ) -> None:
        super().__init__(
            in_features,
            out_features,
            heads,
            concat,
            negative_slope,
            dropout,
            bias,
            add_self_loops=add_self_loops,
        )
        self.W = nn.Parameter(_glorot(heads, out_features, in_features))
        self.a = nn.Parameter(_glorot(heads, 1, 2 * out_features).squeeze(1))

    def project(self, states: Tensor | SparseRows) -> tuple[Tensor, Tensor, Tensor]:
        """Return :math:`W h_i` three times: it asks, is asked, and is the value."""
        projected = _times(states, self.W.flatten(0, 1))
        projected = projected.view(-1, self.heads, self.out_features)
        return projected, projected, projected

    def _halves(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return :math:`a_1^\top W h_i` and :math:`a_2^\top W h_j`, each (heads, nodes)."""
        a_1, a_2 = self.a.unsqueeze(2).split(self.out_features, dim=1)  # (heads, dim, 1) each
        asks, answers = queries.transpose(0, 1) @ a_1, keys.transpose(0, 1) @ a_2
        return asks.squeeze(2), answers.squeeze(2)

    def score_pairs(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Score all pairs."""
        asks, answers = self._halves(queries, keys)
        return leaky_relu(asks.unsqueeze(2) + answers.unsqueeze(1), self.negative_slope)

    def score_edges(self, queries: Tensor, keys: Tensor, graph: Graph) -> Tensor:
        """Score the edges alone."""
        asks, answers = self._halves(queries, keys)
        sums = PairSums.apply(asks, answers, graph.pattern)  # type: ignore[no-untyped-call]
        return leaky_relu(sums, self.negative_slope)

    def _first_weight(self) -> Tensor:
        return self.W[0]


class GATv2Conv(GraphAttention):
    r"""Graph attention in which the ranking of the neighbours may depend on who asks.

    .. math::

        e_{ij} = a^\top \mathrm{LeakyReLU}\left(W h_i + U h_j\right) \qquad
        h_i' = b + \sum_{j \in \mathcal{N}(i)} \alpha_{ij} U h_j

    The :math:`a` has moved out of the LeakyReLU; the rest is :class:`GATConv`. With ``bias``, both
    projections have one too, as in the authors' code.

    Args:
        in_features: Width of a state.
        out_features: Width of a new state in each head.
        heads: How many.
        concat: Put the heads side by side (inside a network); else take their mean (at its end).
        negative_slope: Of the LeakyReLU, 0 to 1.
        dropout: Share of the attention weights that are set to zero in training. The inputs are
            not touched: ``GraphNet(dropout=...)`` drops those, before each layer.
        bias: Add :math:`b`, and a bias to each projection.
        add_self_loops: As in :class:`GATConv`.

    Source:
        Brody et al. (2022), equation 7; there :math:`[W \; U]` is one matrix over the concatenated
        :math:`[h_i \Vert h_j]`.
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
    ) -> None:
        super().__init__(
            in_features,
            out_features,
            heads,
            concat,
            negative_slope,
            dropout,
            bias,
            add_self_loops=add_self_loops,
        )
        width = heads * out_features
        self.W = nn.Parameter(_glorot(heads, out_features, in_features))
        self.U = nn.Parameter(_glorot(heads, out_features, in_features))
        self.a = nn.Parameter(_glorot(heads, 1, out_features).squeeze(1))
        self.b_W = nn.Parameter(torch.zeros(width)) if bias else None
        self.b_U = nn.Parameter(torch.zeros(width)) if bias else None

    def project(self, states: Tensor | SparseRows) -> tuple[Tensor, Tensor, Tensor]:
        """Return :math:`W h_i`, which asks, and :math:`U h_j`, which is asked and is the value."""
        asks, asked = _times(states, self.W.flatten(0, 1)), _times(states, self.U.flatten(0, 1))
        if self.b_W is not None and self.b_U is not None:
            asks, asked = asks + self.b_W, asked + self.b_U
        shape = (-1, self.heads, self.out_features)
        return asks.view(shape), asked.view(shape), asked.view(shape)

    def score_pairs(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Score all pairs."""
        sums = queries.unsqueeze(1) + keys.unsqueeze(0)  # (nodes, nodes, heads, dim)
        scores = (leaky_relu(sums, self.negative_slope) * self.a).sum(dim=3)
        return scores.permute(2, 0, 1)

    def score_edges(self, queries: Tensor, keys: Tensor, graph: Graph) -> Tensor:
        """Score the edges alone."""
        asks, answers = queries.flatten(1), keys.flatten(1)
        scores = AdditiveScores.apply(asks, answers, self.a, self.negative_slope, graph.pattern)  # type: ignore[no-untyped-call]
        return cast(Tensor, scores)

    def _first_weight(self) -> Tensor:
        return self.W[0]


def _glorot(*shape: int) -> Tensor:
    """Return matrices (heads, out, in), each drawn as Glorot and Bengio (2010), equation 16."""
    bound = math.sqrt(6 / (shape[-1] + shape[-2]))
    return torch.empty(shape).uniform_(-bound, bound)


class Gated(nn.Module):
    r"""Combine is a GRU: the gates of chapter 1 decide what a node keeps and what it takes over.

    .. math::

        c_i = \sum_{t} \sum_{j \in \mathcal{N}_t(i)} W_t h_j \qquad h_i' = \mathrm{GRU}(c_i, h_i)

    with one matrix for each kind t of edge. One call is one round; the same layer is called
    again for the next.

    Args:
        dim: Width of a state; a GRU does not change it.
        kinds: How many kinds of edges there are.

    Source:
        Li et al. (2016), section 3.2.
    """

    def __init__(self, dim: int, kinds: int = 1) -> None:
        super().__init__()
        expect_int(dim, "dim", least=1)
        expect_int(kinds, "kinds", least=1)
        self.W = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(kinds))
        self.gru = nn.GRUCell(dim, dim)

    def forward(
        self, states: Float[Tensor, "nodes dim"], graph: Graph | Sequence[Graph]
    ) -> Float[Tensor, "nodes dim"]:
        """Pass messages once.

        Args:
            states: One row a node.
            graph: The edges; with several kinds, one graph of the same nodes for each.

        Raises:
            TypeError: If ``states`` is no float tensor.
            ValueError: If there are more or fewer graphs than kinds, or sizes do not fit.
        """
        graphs = [graph] if isinstance(graph, Graph) else graph
        expect_list(graphs, "graph", Graph)
        expect(len(graphs) == len(self.W), "graph", f"{len(self.W)} kinds of edges", len(graphs))
        for edges in graphs:
            _expect_states(states, edges)
        _expect_fit(states, self.gru.weight_hh)
        received = torch.zeros_like(states)
        for W, edges in zip(self.W, graphs, strict=True):
            received = received + aggregate(W(states), edges)
        return cast(Tensor, self.gru(received, states))


class GraphNet(nn.Module):
    """Layers one after another, with a nonlinearity between them.

    Args:
        layers: Called as ``layer(states, graph)``.
        dropout: Share of the numbers that are set to zero before each layer, in training. A layer
            of graph attention has a dropout of its own, on its attention weights alone.
        added: Add what goes into a layer to what comes out, where both are of one width, so that
            a path without any layer leads through them (He et al. 2016).
        activation: What stands between the layers; a ReLU unless given.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        dropout: float = 0.0,
        added: bool = False,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ) -> None:
        super().__init__()
        expect_list(layers, "layers", nn.Module)
        expect(0 <= dropout < 1, "dropout", "a share from 0 to below 1", dropout)
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout
        self.added = added
        self.activation = activation

    def forward(self, states: Tensor | SparseRows, graph: Graph) -> Float[Tensor, "nodes out"]:
        """Return the states after the last layer; no nonlinearity follows it."""
        for k, layer in enumerate(self.layers):
            if k:
                states = self.activation(cast(Tensor, states))
            new = layer(dropout(states, self.dropout, self.training), graph)
            states = new + states if self.added and new.shape == states.shape else new
        return cast(Tensor, states)


class Readout(nn.Module):
    """A network whose answer is about the graph, not about its nodes.

    Args:
        net: Called as ``net(states, graph)``.
        how: See :func:`readout`.
        in_features: Width of the states that ``net`` returns.
        out_features: How many numbers to say of a graph.
    """

    def __init__(self, net: nn.Module, how: How, in_features: int, out_features: int) -> None:
        super().__init__()
        if not isinstance(net, nn.Module):
            raise TypeError(f"net: expected a Module, got {type(net).__name__}")
        _expect_widths(in_features, out_features)
        expect(how in ("sum", "mean", "max"), "how", "'sum', 'mean' or 'max'", repr(how))
        self.net = net
        self.how = how
        self.say = nn.Linear(in_features, out_features)

    def forward(
        self, states: Float[Tensor, "nodes dim"], graph: Graph
    ) -> Float[Tensor, "graphs out"]:
        """Return one row for each graph of the batch."""
        seen = readout(self.net(states, graph).relu(), graph, self.how)
        return cast(Tensor, self.say(seen))


def _expect_widths(in_features: int, out_features: int) -> None:
    expect_int(in_features, "in_features", least=1)
    expect_int(out_features, "out_features", least=1)
