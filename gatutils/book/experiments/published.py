"""The protocols of the GAT and GCN papers on the Planetoid data sets."""

import functools
import itertools
import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, elu

from gatutils.book.experiments.attention import attention_entropy, fix_equal_weights
from gatutils.book.experiments.nodes import features_and_labels, labels_of, predicted
from gatutils.book.experiments.plan import Plan
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv
from gatutils.message_passing import GCNConv, GraphNet
from gatutils.planetoid import Planetoid, normalised, planetoid
from gatutils.sampling import SampledBlock
from gatutils.sparse import CSRMatrix
from gatutils.training import EarlyStopping, History, fit, seed_everything


def gat_net(words: int, classes: int, heads_out: int = 1) -> GraphNet:
    """Return the untrained network of the GAT paper.

    Args:
        words: Width of the features.
        classes: Width of the output.
        heads_out: Number of heads of the last layer, which are averaged.

    Source:
        Velickovic et al. (2018), section 3.3.
    """
    first = GATConv(words, 8, heads=8, dropout=0.6)
    last = GATConv(64, classes, heads=heads_out, concat=False, dropout=0.6)
    return GraphNet([first, last], dropout=0.6, activation=elu)


def fit_gat(
    net: GraphNet, data: Planetoid, seed: int = 0, *, steps: int, lr: float, weight_decay: float
) -> dict[str, Any]:
    """Train a network of :func:`gat_net` with the paper's protocol, and return the results.

    Training stops after 100 consecutive steps in which neither the validation loss nor the
    validation accuracy equals or improves on its best value so far. The parameters restored are
    those of the last step at which both did.

    Args:
        net: Trained in place; its parameters are not reinitialised.
        data: The data set.
        seed: Seed of dropout.
        steps: Maximum number of steps.
        lr: Learning rate of Adam, which is constant.
        weight_decay: Weight decay on all parameters.

    Returns:
        ``scores``, the accuracies on the test set and on the validation set; ``steps``, the number
        of training steps; ``best``, the step, counted from 1, whose parameters are used;
        ``normalised_entropy``, that of each head in each layer.

    Source:
        Velickovic et al. (2018), section 3.3.
    """
    train, valid = seen_from(data, data.train), seen_from(data, data.valid)

    def loss(model: nn.Module, _: object) -> Tensor:
        return loss_and_accuracy(model(*train.inputs), train.labels)[0]

    def validate(model: nn.Module) -> tuple[float, float]:
        value, accuracy = loss_and_accuracy(model(*valid.inputs), valid.labels)
        return float(value), accuracy

    patience = EarlyStopping(validate)
    history = fit_published(
        net, loss, steps, lr=lr, weight_decay=weight_decay, seed=seed, stop=patience
    )
    patience.restore(net)
    features, graph = inputs(data)
    taken = len(history.loss)
    return {
        "scores": scores_on(net, features, graph, data),
        "steps": taken,
        "best": taken if patience.best is None else patience.best + 1,
        "normalised_entropy": [of.tolist() for of in attention_entropy(net, features, graph)],
    }


def gcn_net(words: int, classes: int) -> GraphNet:
    """Return the untrained network of the GCN paper; its biases stay zero, as it has none.

    Args:
        words: Width of the features.
        classes: Width of the output.

    Source:
        Kipf and Welling (2017), section 5.2.
    """
    layers = [GCNConv(words, 16), GCNConv(16, classes)]
    for layer in layers:
        nn.init.xavier_uniform_(layer.W.weight)
        layer.b.requires_grad_(False)  # stays zero
    return GraphNet(layers, dropout=0.5)


def fit_gcn(
    net: GraphNet, data: Planetoid, seed: int = 0, *, steps: int, lr: float, weight_decay: float
) -> dict[str, Any]:
    """Train a network of :func:`gcn_net` with the paper's protocol, and return the results.

    From step 12 on, training stops once the validation loss (cross-entropy plus the weight decay's
    penalty) exceeds its mean over the previous ten steps.

    Args:
        net: Trained in place; its parameters are not reinitialised.
        data: The data set.
        seed: Seed of dropout.
        steps: Maximum number of steps.
        lr: Learning rate of Adam, which is constant.
        weight_decay: Weight decay on the first weight matrix only.

    Returns:
        ``scores``, the accuracies on the test set and on the validation set; ``steps``, the number
        of training steps; ``best``, the same.

    Source:
        Kipf and Welling (2017), section 5.2, with the window as in the authors' code.
    """
    features, graph = inputs(data)
    first = net.layers[0]
    assert isinstance(first, GCNConv)
    losses: list[float] = []

    def loss_on(model: nn.Module, nodes: Tensor) -> Tensor:
        penalty = weight_decay / 2 * first.W.weight.square().sum()
        labels = labels_of(data.graph)[nodes]
        return loss_and_accuracy(model(features, graph)[nodes], labels)[0] + penalty

    def loss(model: nn.Module, _: object) -> Tensor:
        return loss_on(model, data.train)

    def rises(model: nn.Module) -> bool:
        losses.append(float(loss_on(model, data.valid)))
        return len(losses) > 11 and losses[-1] > sum(losses[-11:-1]) / 10

    history = fit_published(
        net, loss=loss, steps=steps, lr=lr, weight_decay=0, seed=seed, stop=rises
    )
    taken = len(history.loss)
    return {"scores": scores_on(net, features, graph, data), "steps": taken, "best": taken}


def fit_published(
    net: GraphNet, loss: Callable[[nn.Module, object], Tensor], steps: int, **settings: Any
) -> History:
    """Train as both papers do: all labelled nodes in each step, a constant learning rate.

    Args:
        net: Trained in place.
        loss: Given the network and None, returns the loss.
        steps: Maximum number of steps.
        settings: Further arguments of :func:`~gatutils.training.fit`.
    """
    return fit(
        net,
        itertools.repeat(None),
        loss,
        steps,
        warmup=0,
        clip=math.inf,
        cosine=False,
        progress=False,
        **settings,
    )


def inputs(data: Planetoid) -> tuple[CSRMatrix, Graph]:
    """Return the features, each row of which sums to 1, and the graph with self-loops."""
    features = CSRMatrix.from_dense(normalised(features_and_labels(data.graph)[0]))
    return features, data.graph.with_self_loops()


@dataclass(frozen=True)
class View:
    """What the outputs of a network of two layers at some nodes depend on, and no more.

    Attributes:
        inputs: The features of the nodes within two hops, and the edges for each layer.
        labels: The labels of the nodes themselves.
    """

    inputs: tuple[CSRMatrix, list[SampledBlock[Graph]]]
    labels: Tensor


def seen_from(data: Planetoid, nodes: Bool[Tensor, " num_nodes"]) -> View:
    """Return the part of the graph that two layers use for the outputs at some nodes.

    The paper's code computes the outputs at all nodes and discards the others. The loss and its
    gradients are the same, as the layers use no degrees, though dropout draws other random
    numbers; but for the 60 labelled nodes of Pubmed, for example, most of the work is saved.
    """
    features, graph = inputs(data)
    blocks = graph.sample(nodes.nonzero().squeeze(1), [-1, -1])
    return View((features[blocks[0].sources], blocks), labels_of(data.graph)[nodes])


def loss_and_accuracy(logits: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """Return the cross-entropy and the accuracy of the outputs at some nodes."""
    accuracy = (logits.argmax(dim=1) == labels).double().mean()
    return cross_entropy(logits, labels), float(accuracy)


def scores_on(net: GraphNet, features: CSRMatrix, graph: Graph, data: Planetoid) -> list[float]:
    """Return the accuracies on the test set and on the validation set."""
    right = predicted(net, features, graph) == labels_of(data.graph)
    return [float(right[nodes].double().mean()) for nodes in (data.test, data.valid)]


@functools.cache
def read_once(name: str) -> Planetoid:
    """Return a data set, which several runs share."""
    return planetoid(name)


@dataclass(frozen=True, kw_only=True)
class PublishedPlan(Plan):
    """A network trained on a Planetoid data set with the protocol of its paper.

    The scores are the accuracies on the test set and on the validation set.

    Attributes:
        data: Name of the data set.
        steps: Maximum number of steps.
        lr: Learning rate of Adam.
        weight_decay: Weight decay, on the parameters named in the paper's protocol.
    """

    data: Literal["cora", "citeseer", "pubmed"]
    lr: float
    weight_decay: float

    def run(self, seed: int) -> dict[str, Any]:
        """Train the network with one seed, and test it."""
        data = read_once(self.data)
        seed_everything(seed)
        return self.train(data, features_and_labels(data.graph)[0].shape[1], seed)

    @abstractmethod
    def train(self, data: Planetoid, words: int, seed: int) -> dict[str, Any]:
        """Build and train the network, and return what is stored about the run."""


@dataclass(frozen=True, kw_only=True)
class GATPlan(PublishedPlan):
    """See :func:`gat_net` and :func:`fit_gat`.

    Attributes:
        heads_out: See :func:`gat_net`.
        equal: Whether ``a`` is fixed at zero, so that all weights of a node are equal.
    """

    heads_out: int = 1
    equal: bool = False
    steps: int = 100_000
    lr: float = 0.005
    weight_decay: float = 5e-4

    def train(self, data: Planetoid, words: int, seed: int) -> dict[str, Any]:
        """Build and train the network, and return what :func:`fit_gat` returns."""
        net = gat_net(words, data.classes, self.heads_out)
        if self.equal:
            fix_equal_weights(net)
        return fit_gat(
            net, data, seed, steps=self.steps, lr=self.lr, weight_decay=self.weight_decay
        )


@dataclass(frozen=True, kw_only=True)
class GCNPlan(PublishedPlan):
    """See :func:`gcn_net` and :func:`fit_gcn`."""

    steps: int = 200
    lr: float = 0.01
    weight_decay: float = 5e-4

    def train(self, data: Planetoid, words: int, seed: int) -> dict[str, Any]:
        """Build and train the network, and return what :func:`fit_gcn` returns."""
        net = gcn_net(words, data.classes)
        return fit_gcn(
            net, data, seed, steps=self.steps, lr=self.lr, weight_decay=self.weight_decay
        )
