"""The protocols of the GAT and GCN papers on the Planetoid data sets."""

import itertools
import math
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.functional import (
    cross_entropy,
    elu,
)

from gatutils._checks import expect
from gatutils.book.experiments.attention import attention_entropy
from gatutils.book.experiments.nodes import features_and_labels, labels_of, predicted
from gatutils.graph_attention import (
    GATConv,
)
from gatutils.message_passing import (
    GCNConv,
    GraphNet,
)
from gatutils.planetoid import Planetoid, normalised
from gatutils.sparse import CSRMatrix
from gatutils.training import EarlyStopping, fit


def published_net(kind: str, words: int, classes: int, heads_out: int = 1) -> GraphNet:
    """Return the untrained network of Velickovic et al. (2018) or of Kipf and Welling (2017).

    Args:
        kind: ``"GAT"`` or ``"GCN"``.
        words: Width of the features.
        classes: Width of the output.
        heads_out: Number of heads of GAT's last layer, which are averaged.
    """
    expect(kind in ("GAT", "GCN"), "kind", "'GAT' or 'GCN'", repr(kind))
    if kind == "GAT":
        first = GATConv(words, 8, heads=8, dropout=0.6)
        last = GATConv(64, classes, heads=heads_out, concat=False, dropout=0.6)
        return GraphNet([first, last], dropout=0.6, activation=elu)
    pair = [GCNConv(words, 16), GCNConv(16, classes)]
    for layer in pair:
        nn.init.xavier_uniform_(layer.W.weight)
        layer.b.requires_grad_(False)  # stays zero: the authors' layers have no bias
    return GraphNet(pair, dropout=0.5)


def fit_published(
    net: GraphNet, data: Planetoid, seed: int = 0, *, steps: int, lr: float, weight_decay: float
) -> dict[str, Any]:
    """Train a network of :func:`published_net` with its paper's protocol; return the results.

    GAT: Adam until neither the validation loss nor the accuracy has improved for 100 steps, then
    the parameters of the last step at which both did; weight decay on all parameters. GCN: Adam
    until the validation loss exceeds its mean over the previous ten steps; weight decay on the
    first weight matrix only.

    Args:
        net: Trained in place; its parameters are not reinitialised.
        data: The data set.
        seed: Seed of the randomness in training.
        steps: Maximum number of steps.
        lr: Learning rate of Adam, which is constant.
        weight_decay: The coefficient of the weight decay described above.

    Returns:
        ``scores``, the accuracies on the test set and on the validation set; ``steps``, the number
        of training steps; ``best``, the step whose parameters are used; for GAT also ``evenness``,
        the normalised entropy of each head in each layer.

    Source:
        Velickovic et al. (2018), section 3.3; Kipf and Welling (2017), section 5.2, with the
        window as in the authors' code.
    """
    graph, labels = data.graph.with_self_loops(), labels_of(data.graph)
    features = CSRMatrix.from_dense(normalised(features_and_labels(data.graph)[0]))
    gcn = isinstance(net.layers[0], GCNConv)
    first = cast(GCNConv, net.layers[0]).W.weight if gcn else None

    def penalty() -> Tensor | float:
        return 0.0 if first is None else weight_decay / 2 * first.square().sum()

    def loss(model: nn.Module, _: object) -> Tensor:
        return cross_entropy(model(features, graph)[data.train], labels[data.train]) + penalty()

    def look(model: nn.Module) -> tuple[float, float]:
        said, right = model(features, graph)[data.valid], labels[data.valid]
        value = cross_entropy(said, right) + penalty()
        return float(value), float((said.argmax(dim=1) == right).double().mean())

    patience = EarlyStopping(look)
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
    right = predicted(net, features, graph) == labels
    done: dict[str, Any] = {
        "scores": [float(right[nodes].double().mean()) for nodes in (data.test, data.valid)],
        "steps": len(history.loss),
        "best": len(history.loss) if patience.best is None else patience.best + 1,
    }
    if not gcn:
        done["evenness"] = [of.tolist() for of in attention_entropy(net, features, graph)]
    return done
