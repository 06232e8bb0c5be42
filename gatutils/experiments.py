"""What the graph chapters train: one function an experiment.

A chapter runs it once; :mod:`gatutils.reproduce` runs it on many seeds and stores what came out.
"""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    elu,
    one_hot,
    pad,
)

from gatutils.checks import expect, expect_int
from gatutils.datasets import (
    ANSWERS,
    QUESTIONS,
    RELATIONS,
    TOKENS,
    Puzzle,
    PuzzleBatch,
    collate_puzzles,
    dictionaries,
    relay,
    witnesses,
)
from gatutils.gnn import (
    GCN,
    GIN,
    SAGE,
    GATConv,
    Gated,
    GATv2Conv,
    GraphNet,
    How,
    Readout,
    aggregate,
    attend_edges,
)
from gatutils.graph import Graph
from gatutils.planetoid import Planetoid, normalised
from gatutils.sparse import SparseRows
from gatutils.training import Patience, fit

__all__ = [
    "Deep",
    "DotConv",
    "Lookup",
    "RelationalSAGE",
    "Relay",
    "Solver",
    "TokenReader",
    "accuracy",
    "answered",
    "attention_net",
    "carry",
    "counted",
    "evenness",
    "evenness_of",
    "far_end",
    "fit_nodes",
    "fit_published",
    "fit_puzzles",
    "fit_question",
    "grade",
    "hear",
    "label_propagation",
    "layers",
    "look_up",
    "published_net",
    "question_net",
    "smooth",
    "solved",
    "witness_net",
]

T = TypeVar("T")
LAYERS = {"GCN": GCN, "SAGE": SAGE, "GIN": GIN}


def layers(kind: str, widths: Sequence[int], how: How | None = None) -> list[nn.Module]:
    """Return layers from each width to the next.

    Args:
        kind: ``"GCN"``, ``"SAGE"`` or ``"GIN"``.
        widths: Of the features, of the states between, of the answer.
        how: How SAGE or GIN aggregate, if not as by default.
    """
    expect(kind in LAYERS, "kind", f"one of {', '.join(LAYERS)}", repr(kind))
    more = {} if how is None else {"how": how}
    return [LAYERS[kind](a, b, **more) for a, b in itertools.pairwise(widths)]


# ---- Nodes of one graph ----------------------------------------------------------------------


class Deep(nn.Module):
    """A linear layer, one gated layer called so many times, and a linear layer.

    Args:
        in_features: Width of the features.
        width: Of a state.
        out_features: Width of the answer.
        rounds: How many times.
        dropout: Share of the numbers that go dark before the linear layers, while training.
    """

    def __init__(
        self, in_features: int, width: int, out_features: int, rounds: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        expect_int(rounds, "rounds", least=0)
        self.read = nn.Linear(in_features, width)
        self.layer = Gated(width)
        self.say = nn.Linear(width, out_features)
        self.dropout = nn.Dropout(dropout)
        self.rounds = rounds

    def forward(
        self, features: Float[Tensor, "nodes features"], graph: Graph
    ) -> Float[Tensor, "nodes out"]:
        """Return one row for each node."""
        states = self.read(self.dropout(features)).relu()
        for _ in range(self.rounds):
            states = self.layer(states, graph)
        return cast(Tensor, self.say(self.dropout(states)))


def fit_nodes(
    net: nn.Module,
    graph: Graph,
    train: Bool[Tensor, " nodes"],
    seed: int = 0,
    *,
    steps: int = 200,
    lr: float = 0.01,
    weight_decay: float = 5e-4,
) -> None:
    """Train ``net`` to name the class of the nodes in ``train``; it sees all features and edges.

    Args:
        net: Called as ``net(features, graph)``.
        graph: With features and labels.
        train: The nodes whose labels count.
        seed: Of what is drawn in training; the weights are those that came.
        steps: How many times it sees the graph.
        lr: See :func:`~gatutils.training.fit`.
        weight_decay: See there too.
    """
    features, labels = _held(graph)

    def loss(model: nn.Module, _: object) -> Tensor:
        return cross_entropy(model(features, graph)[train], labels[train])

    fit(
        net,
        itertools.repeat(None),
        loss,
        steps,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
    )


def accuracy(net: nn.Module, graph: Graph, nodes: Bool[Tensor, " nodes"]) -> float:
    """Return the share of ``nodes`` whose class ``net`` names; it is left in evaluation mode."""
    features, labels = _held(graph)
    return float((_said(net, features, graph) == labels)[nodes].double().mean())


def label_propagation(
    graph: Graph, train: Bool[Tensor, " nodes"], rounds: int = 10
) -> Float[Tensor, "nodes classes"]:
    """Let every node take the mean of its neighbours' labels, again and again; nothing is learned.

    The nodes in ``train`` keep their own label.

    Source:
        Zhu and Ghahramani (2002), section 2.2.
    """
    labels = _labels(graph)
    known = one_hot(labels).float() * train.unsqueeze(1)
    states = known
    for _ in range(rounds):
        states = torch.where(train.unsqueeze(1), known, aggregate(states, graph, "mean"))
    return states


def smooth(graph: Graph, rounds: int) -> Float[Tensor, "nodes dim"]:
    """Return the features after so many rounds of GCN's aggregation, without a weight between.

    Source:
        Wu et al. (2019), equation 8.
    """
    expect(graph.features is not None, "graph", "one with features", "one without")
    states = cast(Tensor, graph.features)
    for _ in range(rounds):
        states = aggregate(states, graph.with_self_loops(), "symmetric")
    return states


def _held(graph: Graph) -> tuple[Tensor, Tensor]:
    expect(graph.features is not None, "graph", "one with features", "one without")
    return cast(Tensor, graph.features), _labels(graph)


def _labels(graph: Graph) -> Tensor:
    expect(graph.labels is not None, "graph", "one with labels", "one without")
    return cast(Tensor, graph.labels)


ATTENTION = {"GAT": GATConv, "GATv2": GATv2Conv}


def attention_net(
    kind: str, in_features: int, width: int, out_features: int, heads: int, dropout: float = 0.0
) -> GraphNet:
    """Return two layers of graph attention: heads side by side, then one that answers.

    Args:
        kind: ``"GAT"`` or ``"GATv2"``.
        in_features: Width of the features.
        width: Of all heads of the first layer together.
        out_features: Width of the answer.
        heads: Of the first layer.
        dropout: Share of each layer's inputs, and of its attention weights, that is dropped.
    """
    expect(kind in ATTENTION, "kind", f"one of {', '.join(ATTENTION)}", repr(kind))
    expect_int(heads, "heads", least=1)
    expect(width % heads == 0, "heads", f"a divisor of width ({width})", heads)
    made = ATTENTION[kind]
    first = made(in_features, width // heads, heads, dropout=dropout)
    last = made(width, out_features, concat=False, dropout=dropout)
    return GraphNet([first, last], dropout=dropout)


# ---- Witnesses, and a dictionary -------------------------------------------------------------


def witness_net(kind: str) -> GraphNet:
    """Return a network that answers by what the witnesses name.

    Args:
        kind: ``"GAT"`` or ``"GCN"``, one layer each; ``"MLP, GCN"``, two linear layers at each
            node with a ReLU between them, then a GCN.
    """
    made: dict[str, Callable[[], list[nn.Module]]] = {
        "GAT": lambda: [GATConv(ANSWERS + 1, ANSWERS)],
        "GCN": lambda: [GCN(ANSWERS + 1, ANSWERS)],
        "MLP, GCN": lambda: [_Alone(ANSWERS + 1, 16), GCN(16, ANSWERS)],
    }
    expect(kind in made, "kind", f"one of {', '.join(made)}", repr(kind))
    return GraphNet(made[kind]())


class _Alone(nn.Linear):
    """A layer in which a node hears nobody."""

    def forward(self, states: Tensor, _: Graph) -> Tensor:  # type: ignore[override]
        return super().forward(states)


def hear(
    net: nn.Module,
    guessing: int,
    seed: int = 0,
    *,
    steps: int = 300,
    size: int = 200,
    lr: float = 0.05,
) -> None:
    """Train ``net`` on fresh draws of :func:`~gatutils.datasets.witnesses`.

    Args:
        net: Called as ``net(features, graph)``.
        guessing: So many witnesses of each node guess.
        seed: Of the draws.
        steps: How many batches.
        size: Nodes that ask, in a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    generator = torch.Generator().manual_seed(seed)
    stream = (witnesses(size, guessing, generator) for _ in iter(int, 1))
    fit(net, stream, _answer_loss, steps, lr=lr, seed=seed)


def _answer_loss(model: nn.Module, graph: Graph) -> Tensor:
    """Return the cross-entropy of the nodes that ask; the others have no label."""
    features, labels = _held(graph)
    return cross_entropy(model(features, graph), labels, ignore_index=-1)


def answered(net: nn.Module, graph: Graph) -> float:
    """Return the share of the nodes that ask whose answer is right."""
    return accuracy(net, graph, _labels(graph) >= 0)


def counted(graph: Graph, marks: bool) -> float:
    """Return how often the most named answer is right, without training; ties count in part.

    Args:
        graph: Of :func:`~gatutils.datasets.witnesses`.
        marks: Leave out those who are marked as guessing. No rule does better than this one, and
            if marks may not be used, none does better than to count all alike: the witnesses who
            saw it differ in nothing, and each names the right answer most often.
    """
    features, labels = _held(graph)
    votes = features[:, :ANSWERS]
    if marks:
        votes = votes * (1 - features[:, ANSWERS:])
    votes, right = aggregate(votes, graph)[labels >= 0], labels[labels >= 0]
    most = votes == votes.amax(dim=1, keepdim=True)
    return float((most.double() / most.sum(dim=1, keepdim=True))[range(len(right)), right].mean())


class DotConv(nn.Module):
    r"""Chapter 4 along the edges of a graph: one head, :math:`q_i^\top k_j / \sqrt d`.

    Args:
        dim: Width of a state.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.Q = nn.Linear(dim, dim, bias=False)
        self.K = nn.Linear(dim, dim, bias=False)
        self.V = nn.Linear(dim, dim, bias=False)

    def forward(
        self, states: Float[Tensor, "nodes dim"], graph: Graph, return_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the contexts, and with ``return_weights`` the weights, (edges, 1)."""
        queries, keys = self.Q(states)[graph.target], self.K(states)[graph.source]
        scores = (queries * keys).sum(dim=1) / math.sqrt(states.shape[1])
        context, weights = attend_edges(scores, self.V(states), graph)
        return (context, weights.unsqueeze(1)) if return_weights else context


class Lookup(nn.Module):
    """An embedding, one graph layer, and a linear layer that names the value.

    Args:
        keys: k, of :func:`~gatutils.datasets.dictionaries`.
        kind: ``"GAT"``, ``"GATv2"``, ``"dot"`` (:class:`DotConv`) or ``"mean"`` (SAGE).
        heads: Of the graph layer, for GAT and GATv2.
        width: Of a state, and of all heads together.

    Source:
        Brody et al. (2022), section 4.1, with a layer of each kind.
    """

    def __init__(self, keys: int, kind: str, heads: int = 1, width: int = 64) -> None:
        super().__init__()
        made: dict[str, Callable[[], nn.Module]] = {
            "GAT": lambda: GATConv(width, width // heads, heads),
            "GATv2": lambda: GATv2Conv(width, width // heads, heads),
            "dot": lambda: DotConv(width),
            "mean": lambda: SAGE(width, width),
        }
        expect(kind in made, "kind", f"one of {', '.join(made)}", repr(kind))
        expect_int(heads, "heads", least=1)
        expect(width % heads == 0, "heads", f"a divisor of width ({width})", heads)
        self.embed = nn.Linear(2 * keys, width, bias=False)  # a one-hot picks a column
        nn.init.normal_(self.embed.weight)  # as torch's embeddings begin
        self.layer = made[kind]()
        self.say = nn.Linear(width, keys)

    def forward(
        self, features: Float[Tensor, "nodes features"], graph: Graph
    ) -> Float[Tensor, "nodes keys"]:
        """Return a score for each value at each node; those of the queries count."""
        return cast(Tensor, self.say(self.layer(self.embed(features), graph)))


def look_up(
    net: nn.Module,
    keys: int,
    seed: int = 0,
    *,
    steps: int = 600,
    size: int = 32,
    lr: float = 0.01,
    every: int = 50,
    test: int = 512,
) -> tuple[list[float], float]:
    """Train ``net`` to look up values, on dictionaries drawn anew for each batch.

    The test is drawn first, and none of its permutations is ever trained on; another set watches
    the training. Nothing is chosen by either: the training has its steps, and the weights are the
    last ones.

    Args:
        net: Called as ``net(features, graph)``.
        keys: k.
        seed: Of the draws.
        steps: How many batches.
        size: Dictionaries of a batch.
        lr: See :func:`~gatutils.training.fit`.
        every: Steps between two looks at the set that watches.
        test: Dictionaries of the test, and of the set that watches.

    Returns:
        The share of queries answered rightly every so many steps by those that watch, and the share
        of the test.
    """
    generator = torch.Generator().manual_seed(seed)
    tested = dictionaries(keys, test, generator)
    held = set(map(tuple, _labels(tested).view(test, -1)[:, :keys].tolist()))
    watched = dictionaries(keys, test, generator, held)
    held |= set(map(tuple, _labels(watched).view(test, -1)[:, :keys].tolist()))
    stream = (dictionaries(keys, size, generator, held) for _ in iter(int, 1))
    history = fit(
        net,
        stream,
        _answer_loss,
        steps,
        lr=lr,
        seed=seed,
        evaluate=lambda model: answered(model, watched),
        every=every,
    )
    return [score for _, score in history.scores], answered(net, tested)


# ---- The published protocols -----------------------------------------------------------------


def evenness(weights: Float[Tensor, "edges heads"], graph: Graph) -> Float[Tensor, " heads"]:
    """Return how near the weights of each head are to the mean: 1 if all neighbours weigh alike.

    It is the entropy of each node's weights, summed over the nodes, in parts of what it would be
    if they were equal. A head that looks at one neighbour alone has 0.

    Source:
        Pielou (1966) divides the entropy by its largest value in this way.
    """
    entropy = torch.special.entr(weights).sum(dim=0)
    return cast(Tensor, entropy / graph.degree.clamp(min=1).to(weights.dtype).log().sum())


def published_net(kind: str, words: int, classes: int, heads_out: int = 1) -> GraphNet:
    """Return the untrained network of Velickovic et al. (2018) or of Kipf and Welling (2017).

    Args:
        kind: ``"GAT"`` or ``"GCN"``.
        words: Width of the features.
        classes: Width of the answer.
        heads_out: Heads of GAT's last layer, which are averaged.
    """
    expect(kind in ("GAT", "GCN"), "kind", "'GAT' or 'GCN'", repr(kind))
    if kind == "GAT":
        first = GATConv(words, 8, heads=8, dropout=0.6)
        last = GATConv(64, classes, heads=heads_out, concat=False, dropout=0.6)
        return GraphNet([first, last], dropout=0.6, activation=elu)
    pair = [GCN(words, 16), GCN(16, classes)]
    for layer in pair:
        nn.init.xavier_uniform_(layer.W.weight)
        layer.b.requires_grad_(False)  # it stays zero: the authors' layers have none
    return GraphNet(pair, dropout=0.5)


def fit_published(
    net: GraphNet, data: Planetoid, seed: int = 0, *, steps: int, lr: float, weight_decay: float
) -> dict[str, Any]:
    """Train a network of :func:`published_net` as its paper says; return what came out.

    GAT: Adam until neither the validation loss nor the accuracy has improved for 100 steps, then
    the weights of the last step at which both did; weight decay on everything. GCN: Adam until the
    validation loss is above its mean of the ten steps before; weight decay on the first matrix
    alone.

    Args:
        net: Trained in place.
        data: What to train on.
        seed: Of what is drawn in training; the weights are those that came.
        steps: At most so many.
        lr: Of Adam, from the first step to the last.
        weight_decay: See above.

    Returns:
        ``scores``, the shares that are right in the test and in the validation; ``steps`` of the
        training; ``best``, the step whose weights are used; of GAT also ``evenness``, that of each
        head in each layer.

    Source:
        Velickovic et al. (2018), section 3.3; Kipf and Welling (2017), section 5.2, with the
        window as in the authors' code.
    """
    graph, labels = data.graph.with_self_loops(), _labels(data.graph)
    features = SparseRows.from_dense(normalised(_held(data.graph)[0]))
    gcn = isinstance(net.layers[0], GCN)
    first = cast(GCN, net.layers[0]).W.weight if gcn else None

    def penalty() -> Tensor | float:
        return 0.0 if first is None else weight_decay / 2 * first.square().sum()

    def loss(model: nn.Module, _: object) -> Tensor:
        return cross_entropy(model(features, graph)[data.train], labels[data.train]) + penalty()

    def look(model: nn.Module) -> tuple[float, float]:
        said, right = model(features, graph)[data.valid], labels[data.valid]
        value = cross_entropy(said, right) + penalty()
        return float(value), float((said.argmax(dim=1) == right).double().mean())

    patience = Patience(look)
    seen: list[float] = []

    def rises(model: nn.Module) -> bool:
        seen.append(look(model)[0])
        return len(seen) > 11 and seen[-1] > sum(seen[-11:-1]) / 10

    history = fit(
        net,
        itertools.repeat(None),
        loss,
        steps,
        lr=lr,
        warmup=0,
        clip=math.inf,
        cosine=False,
        weight_decay=0 if gcn else weight_decay,
        seed=seed,
        stop=rises if gcn else patience,
        progress=False,
    )
    if not gcn:
        patience.restore(net)
    right = _said(net, features, graph) == labels
    done: dict[str, Any] = {
        "scores": [float(right[nodes].double().mean()) for nodes in (data.test, data.valid)],
        "steps": len(history.loss),
        "best": len(history.loss) if patience.best is None else patience.best + 1,
    }
    if not gcn:
        done["evenness"] = [of.tolist() for of in evenness_of(net, features, graph)]
    return done


def _said(net: nn.Module, features: Tensor | SparseRows, graph: Graph) -> Tensor:
    """Return the class that the network names for each node."""
    with torch.no_grad():
        return cast(Tensor, net.eval()(features, graph)).argmax(dim=1)


@torch.no_grad()
def evenness_of(
    net: GraphNet, features: Tensor | SparseRows, graph: Graph
) -> list[Float[Tensor, " heads"]]:
    """Return the evenness of each head in each layer of a network of graph attention layers."""
    found, states = [], features
    for k, layer in enumerate(net.eval().layers):
        if k:
            states = net.activation(cast(Tensor, states))
        states, weights = layer(states, graph, return_weights=True)
        found.append(evenness(weights, graph))
    return found


# ---- Many small graphs -----------------------------------------------------------------------


YES_OR_NO = ("a node of degree four or more", "a triangle")
"""The questions whose answer is a class; the others ask for a number."""


def question_net(how: How, read: How, width: int = 32, depth: int = 2) -> Readout:
    """Return layers of GIN that aggregate by ``how``, and a readout by ``read``."""
    net = GraphNet(layers("GIN", [1, *[width] * depth], how))
    return Readout(net, read, width, 1)


def fit_question(
    model: nn.Module,
    question: str,
    graphs: Sequence[Graph],
    seed: int = 0,
    *,
    steps: int = 600,
    size: int = 50,
    lr: float = 5e-3,
) -> None:
    """Train ``model`` to answer one question about each graph.

    Args:
        model: Called as ``model(features, batch)``; it returns one number a graph.
        question: A key of :data:`~gatutils.datasets.QUESTIONS`.
        graphs: To train on.
        seed: Of the order in which they come.
        steps: How many batches it sees.
        size: Graphs of a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    expect(len(graphs) > 0, "graphs", "one graph or more", "none")
    starts = range(0, len(graphs), size)
    made = [(Graph.batch(g), _answers(question, g)) for g in (graphs[k : k + size] for k in starts)]

    def loss(model: nn.Module, batch: tuple[Graph, Tensor]) -> Tensor:
        graph, answers = batch
        said = model(graph.features, graph).squeeze(1)
        if question in YES_OR_NO:
            return binary_cross_entropy_with_logits(said, answers)
        return cast(Tensor, (said - answers).square().mean())

    fit(model, _again(made, seed), loss, steps, lr=lr, seed=seed)


def _again(batches: list[T], seed: int) -> Iterator[T]:
    """Return the same batches without end, in ever new orders."""
    rng = random.Random(seed)
    while True:
        yield from rng.sample(batches, len(batches))


@torch.no_grad()
def grade(model: nn.Module, question: str, graphs: Sequence[Graph]) -> float:
    """Return the share of right answers to yes or no, or the mean absolute error of a number."""
    batch, answers = Graph.batch(graphs), _answers(question, graphs)
    said = model.eval()(batch.features, batch).squeeze(1)
    if question in YES_OR_NO:
        return float(((said > 0) == (answers > 0.5)).double().mean())
    return float((said - answers).abs().mean())


def _answers(question: str, graphs: Sequence[Graph]) -> Tensor:
    expect(question in QUESTIONS, "question", f"one of {', '.join(QUESTIONS)}", repr(question))
    return torch.tensor([QUESTIONS[question](graph) for graph in graphs])


# ---- A token carried along a path ------------------------------------------------------------

Carrier = Literal["gated", "SAGE", "GCN", "GCN, added", "tanh", "GIN", "SAGE, untied"]


class Relay(nn.Module):
    """One layer called again and again, as often as the path has nodes.

    Args:
        kind: ``"gated"``, ``"SAGE"``, ``"GCN"`` or ``"GIN"``, with a ReLU after the last three;
            ``"GCN, added"`` adds to the state instead of replacing it; ``"tanh"`` is a plain
            recurrent cell, the tanh of a SAGE layer with a sum; ``"SAGE, untied"`` has 17 layers
            of its own instead of one, and stops after them.
        width: Of a state.
    """

    def __init__(self, kind: Carrier, width: int = 32) -> None:
        super().__init__()
        made: dict[str, Callable[[], nn.Module]] = {
            "gated": lambda: Gated(width),
            "SAGE": lambda: SAGE(width, width),
            "GCN": lambda: GCN(width, width),
            "GCN, added": lambda: GCN(width, width),
            "tanh": lambda: SAGE(width, width, "sum"),
            "GIN": lambda: GIN(width, width),
            "SAGE, untied": lambda: SAGE(width, width),
        }
        expect(kind in made, "kind", f"one of {', '.join(made)}", repr(kind))
        self.kind = kind
        self.read = nn.Linear(TOKENS + 1, width)
        self.layers = nn.ModuleList(made[kind]() for _ in range(17 if "untied" in kind else 1))
        self.say = nn.Linear(width, TOKENS)

    def forward(
        self, features: Float[Tensor, "nodes features"], graph: Graph, rounds: int
    ) -> Float[Tensor, "nodes tokens"]:
        """Return what each node believes after so many rounds."""
        states = self.read(features)
        tied = len(self.layers) == 1
        for k in range(rounds if tied else min(rounds, len(self.layers))):
            new = self.layers[0 if tied else k](states, graph)
            if self.kind == "gated":
                states = new
            elif self.kind == "tanh":
                states = new.tanh()
            else:
                states = new.relu() + (states if self.kind == "GCN, added" else 0)
        return cast(Tensor, self.say(states))


def carry(
    model: nn.Module,
    seed: int = 0,
    *,
    lengths: Sequence[int] = tuple(range(1, 17)),
    steps: int = 1500,
    size: int = 16,
    lr: float = 0.01,
) -> None:
    """Train ``model`` to carry a token along paths of ``lengths``, drawn anew for each batch.

    Args:
        model: Called as ``model(features, graph, rounds)``.
        seed: Of the paths.
        lengths: Of which each batch has one.
        steps: How many batches.
        size: Paths of a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)

    def stream() -> Iterator[tuple[Graph, int]]:
        while True:
            length = rng.choice(lengths)
            yield relay(length, size, generator), length + 1

    def loss(model: nn.Module, batch: tuple[Graph, int]) -> Tensor:
        graph, rounds = batch
        return cross_entropy(model(graph.features, graph, rounds), cast(Tensor, graph.labels))

    fit(model, stream(), loss, steps, lr=lr, seed=seed)


@torch.no_grad()
def far_end(model: nn.Module, length: int, count: int = 200, seed: int = 10**6) -> float:
    """Return how often the last node of a path says the first one's token."""
    expect_int(length, "length", least=1)
    graph = relay(length, count, torch.Generator().manual_seed(seed))
    said = model.eval()(graph.features, graph, length + 1).argmax(dim=1)
    right = (said == graph.labels).view(count, -1)
    return float(right[:, -1].double().mean())


# ---- Puzzles ---------------------------------------------------------------------------------


class RelationalSAGE(nn.Module):
    r"""SAGE for several kinds of edges, with a ReLU.

    .. math:: h_i' = \mathrm{relu}\left(b + W h_i + \sum_t U_t c_{ti}\right)

    with the mean :math:`c_{ti}` over the neighbours by edges of kind t.

    Args:
        dim: Width of a state; it stays the same.
        kinds: How many kinds of edges there are.

    Source:
        Schlichtkrull et al. (2018), equation 2.
    """

    def __init__(self, dim: int, kinds: int) -> None:
        super().__init__()
        self.W = nn.Linear(dim, dim)
        self.U = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(kinds))

    def forward(
        self, states: Float[Tensor, "nodes dim"], graphs: Sequence[Graph]
    ) -> Float[Tensor, "nodes dim"]:
        """Pass messages once; one graph for each kind of edge."""
        new = self.W(states)
        for U, graph in zip(self.U, graphs, strict=True):
            new = new + U(aggregate(states, graph, "mean"))
        return cast(Tensor, new.relu())


class Solver(nn.Module):
    """A node's state begins with its marks; rounds of one layer; a score for each node.

    Args:
        kinds: How many kinds of edges there are.
        marks: How many entities a question names.
        rounds: How often the layer is called.
        layer: ``"gated"`` or ``"SAGE"``.
        width: Of a state.

    Source:
        Li et al. (2016), section 3.3 and equation 1.
    """

    def __init__(
        self, kinds: int, marks: int, rounds: int, layer: str = "gated", width: int = 32
    ) -> None:
        super().__init__()
        expect_int(rounds, "rounds", least=0)
        expect(layer in ("gated", "SAGE"), "layer", "'gated' or 'SAGE'", repr(layer))
        expect(width >= marks, "width", f"{marks} or more, one a mark", width)
        self.layer = Gated(width, kinds) if layer == "gated" else RelationalSAGE(width, kinds)
        self.say = nn.Sequential(nn.Linear(width + marks, width), nn.Tanh(), nn.Linear(width, 1))
        self.rounds, self.width = rounds, width

    def forward(self, batch: PuzzleBatch) -> Float[Tensor, "puzzles entities"]:
        """Return a score for each entity of each puzzle."""
        states = pad(batch.marks, (0, self.width - batch.marks.shape[1]))
        for _ in range(self.rounds):
            states = self.layer(states, batch.graphs)
        scores = self.say(torch.cat([states, batch.marks], dim=1))
        return cast(Tensor, scores.view(len(batch.answer), -1))


class TokenReader(nn.Module):
    """A GRU reads the facts and the question as one row of tokens; a score for each entity.

    Args:
        task: A key of :data:`~gatutils.datasets.RELATIONS`.
        entities: How many there are.
        embedding: Width of a token's vector.
        width: Of the GRU's state.
    """

    def __init__(self, task: str, entities: int, embedding: int = 32, width: int = 64) -> None:
        super().__init__()
        expect(task in RELATIONS, "task", f"one of {', '.join(RELATIONS)}", repr(task))
        self.embed = nn.Embedding(entities + len(RELATIONS[task]), embedding)
        self.gru = nn.GRU(embedding, width, batch_first=True)
        self.say = nn.Linear(width, entities)

    def forward(self, batch: PuzzleBatch) -> Float[Tensor, "puzzles entities"]:
        """Return a score for each entity of each puzzle."""
        states, _ = self.gru(self.embed(batch.tokens))
        return cast(Tensor, self.say(states[:, -1]))


def fit_puzzles(
    model: nn.Module,
    puzzles: Sequence[Puzzle],
    seed: int = 0,
    *,
    steps: int = 300,
    size: int = 50,
    lr: float = 5e-3,
) -> None:
    """Train ``model`` to name the answer of each puzzle.

    Args:
        model: Called as ``model(batch)``; it returns a score for each entity.
        puzzles: To train on, of one task and size.
        seed: Of the order in which they come.
        steps: How many batches it sees.
        size: Puzzles of a batch.
        lr: See :func:`~gatutils.training.fit`.
    """
    expect(len(puzzles) > 0, "puzzles", "one or more", "none")
    starts = range(0, len(puzzles), size)
    made = [collate_puzzles(puzzles[k : k + size]) for k in starts]

    def loss(model: nn.Module, batch: PuzzleBatch) -> Tensor:
        return cross_entropy(model(batch), batch.answer)

    fit(model, _again(made, seed), loss, steps, lr=lr, seed=seed)


@torch.no_grad()
def solved(model: nn.Module, puzzles: Sequence[Puzzle]) -> float:
    """Return the share of puzzles whose highest score is the answer's."""
    batch = collate_puzzles(puzzles)
    return float((model.eval()(batch).argmax(dim=1) == batch.answer).double().mean())
