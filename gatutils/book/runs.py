"""One run of a protocol: train one model with one seed, and return its scores."""

import functools
import time
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from gatutils._checks import expect
from gatutils.book.experiments.attention import attention_entropy, attention_net
from gatutils.book.experiments.dictionary import Lookup, fit_lookup
from gatutils.book.experiments.nodes import (
    Deep,
    accuracy,
    fit_nodes,
    label_propagation,
    layers,
    smooth,
)
from gatutils.book.experiments.published import fit_published, published_net
from gatutils.book.experiments.puzzles import (
    Solver,
    TokenReader,
    fit_puzzles,
    puzzle_accuracy,
)
from gatutils.book.experiments.questions import fit_question, grade, question_net
from gatutils.book.experiments.relay import Relay, fit_relay, relay_accuracy
from gatutils.book.experiments.translation import (
    aligned,
    build,
    exact_match,
    teacher_forced_weights,
    training_batches,
    translation_loss,
)
from gatutils.book.experiments.witnesses import fit_witnesses, witness_accuracy, witness_net
from gatutils.book.protocols import PUBLISHED, ROWS
from gatutils.book.tasks.graphs import (
    atlas_split,
    random_graphs,
    scipy_api,
    split,
)
from gatutils.book.tasks.puzzles import collate_puzzles, sample_puzzles
from gatutils.book.tasks.sentences import (
    sample_pairs,
)
from gatutils.book.tasks.witnesses import witnesses
from gatutils.message_passing import GraphNet
from gatutils.planetoid import Planetoid, planetoid
from gatutils.training import fit, seed_everything


def _nodes(plan: dict[str, Any], _: str, seed: int) -> list[float]:
    """Train on a split drawn with the seed; return the accuracies on test and training sets."""
    graph = scipy_api().graph
    labels = cast(Tensor, graph.labels)
    train, test = split(labels, 20, seed)
    if plan["kind"] == "labels":
        said = label_propagation(graph, train, plan["rounds"]).argmax(dim=1)
        return [float((said == labels)[nodes].double().mean()) for nodes in (test, train)]
    seed_everything(seed)
    classes = int(labels.max()) + 1
    width, drop = plan["hidden"], plan["dropout"]
    if plan["kind"] == "smooth":
        graph = graph.with_features(smooth(graph, plan["rounds"]), labels)
        plan = {**plan, "kind": "GCN", "edges": False, "layers": 1}
    if not plan["edges"]:
        graph = graph.without_edges()
    inputs = cast(Tensor, graph.features).shape[1]
    net: nn.Module
    if plan["kind"] == "gated":
        net = Deep(inputs, width, classes, plan["rounds"], drop)
    else:
        widths = [inputs, *[width] * (plan["layers"] - 1), classes]
        stack = layers(plan["kind"], widths, plan.get("how"))
        net = GraphNet(stack, drop, plan.get("added", False))
    amount = {"steps": plan["steps"], "lr": plan["lr"], "weight_decay": plan["weight decay"]}
    fit_nodes(net, graph, train, seed, **amount)
    return [accuracy(net, graph, nodes) for nodes in (test, train)]


def _attention(plan: dict[str, Any], _: str, seed: int) -> dict[str, Any]:
    """Train graph attention like the models of chapter 8; each node also attends to itself."""
    graph = scipy_api().graph.with_self_loops()
    features, labels = cast(Tensor, graph.features), cast(Tensor, graph.labels)
    train, test = split(labels, 20, seed)
    seed_everything(seed)
    classes = int(labels.max()) + 1
    sizes = features.shape[1], plan["hidden"], classes, plan["heads"], plan["dropout"]
    net = attention_net(plan["kind"], *sizes)
    if plan.get("equal"):
        for layer in net.layers:
            nn.init.zeros_(layer.a).requires_grad_(False)  # type: ignore[arg-type]
    amount = {"steps": plan["steps"], "lr": plan["lr"], "weight_decay": plan["weight decay"]}
    fit_nodes(net, graph, train, seed, **amount)
    return {
        "scores": [accuracy(net, graph, nodes) for nodes in (test, train)],
        "evenness": [layer.tolist() for layer in attention_entropy(net, features, graph)],
    }


def _witnesses(plan: dict[str, Any], _: str, seed: int) -> dict[str, Any]:
    """Train on fresh draws; return the accuracy on the test set."""
    test = ROWS["witnesses"]["test"]
    graph = witnesses(test["count"], plan["guessing"], torch.Generator().manual_seed(test["seed"]))
    seed_everything(seed)
    net = witness_net(plan["kind"])
    amount = {name: plan[name] for name in ("steps", "size", "lr")}
    fit_witnesses(net, plan["guessing"], seed, **amount)
    return {"scores": [witness_accuracy(net, graph)]}


def _dictionary(plan: dict[str, Any], _: str, seed: int) -> dict[str, Any]:
    """Train a layer to look up values; return the test accuracy and the validation curve."""
    seed_everything(seed)
    net = Lookup(plan["keys"], plan["kind"], plan["heads"], plan["width"])
    amount = {name: plan[name] for name in ("steps", "size", "lr", "every", "test")}
    grown, share = fit_lookup(net, plan["keys"], seed, **amount)
    return {"scores": [share], "grown": grown}


def _atlas(plan: dict[str, Any], _: str, seed: int) -> list[float]:
    """Train on graphs of the atlas; return the grades on its other graphs and on larger ones."""
    small, unseen = atlas_split(seed, plan["train"])
    seed_everything(seed)
    model = question_net(plan["how"], plan["read"], plan["width"], plan["layers"])
    question = plan["question"]
    fit_question(model, question, small, seed, steps=plan["steps"], size=plan["size"])
    large = random_graphs(200, seed, 15, 40)
    return [grade(model, question, graphs) for graphs in (unseen, large)]


def _relay(plan: dict[str, Any], model: str, seed: int) -> list[float]:
    """Train on the protocol's paths; return how often the token arrives, per test length."""
    seed_everything(seed)
    net = Relay(plan.get("kind", model), plan["width"])
    amount = {name: plan[name] for name in ("lengths", "steps", "size", "lr")}
    fit_relay(net, seed, **amount)
    test = ROWS["relay"]["test"]
    return [relay_accuracy(net, length, test["count"]) for length in test["lengths"]]


def _puzzles(plan: dict[str, Any], _: str, seed: int) -> list[float]:
    """Train on puzzles drawn with the seed; return the fractions solved, overall and by size."""
    task, sizes, layer = plan["task"], plan["sizes"], plan["layer"]
    test = sample_puzzles(task, sizes=sizes, **ROWS["puzzles"]["test"])
    one = collate_puzzles(test[:1])
    seed_everything(seed)
    model: nn.Module
    if layer == "tokens":
        model = TokenReader(task, test[0].entities, plan["embedding"], plan["width"])
    else:
        kinds, marks = len(one.graphs), one.marks.shape[1]
        model = Solver(kinds, marks, plan["rounds"], layer, plan["width"])
    amount = {name: plan[name] for name in ("steps", "size", "lr")}
    fit_puzzles(model, sample_puzzles(task, plan["examples"], sizes, seed=seed), seed, **amount)
    groups = [[puzzle for puzzle in test if puzzle.size == size] for size in sizes]
    return [
        puzzle_accuracy(model, group) for group in ([test, *groups] if len(sizes) > 1 else [test])
    ]


@functools.cache
def _papers(name: str) -> Planetoid:
    return planetoid(name)


def _published(plan: dict[str, Any], row: str, seed: int) -> dict[str, Any]:
    """Train with the paper's protocol; return what ``fit_published`` returns."""
    data = _papers(row.split("-")[0])
    seed_everything(seed)
    words = cast(Tensor, data.graph.features).shape[1]
    net = published_net(plan["kind"], words, data.classes, plan.get("heads out", 1))
    amount = {"steps": plan["steps"], "lr": plan["lr"], "weight_decay": plan["weight decay"]}
    return fit_published(net, data, seed, **amount)


GRAPHS: dict[str, Callable[[dict[str, Any], str, int], list[float]]] = {
    "nodes": _nodes,
    "depths": _nodes,
    "readouts": _atlas,
    "triangles": _atlas,
    "relay": _relay,
    "puzzles": _puzzles,
}
"""Row about graphs -> the function for one run of it, given plan, model and seed."""


FULLER: dict[str, Callable[[dict[str, Any], str, int], dict[str, Any]]] = {
    "attention": _attention,
    "witnesses": _witnesses,
    "dictionary": _dictionary,
    **dict.fromkeys(PUBLISHED, _published),
}
"""Row that stores more than scores -> the function for one run of it, given plan, row and seed."""


def run(row: str, model: str, seed: int, steps: int | None = None) -> dict[str, Any]:
    """Train one model of a row with one seed; return its scores and its cost.

    Args:
        row: A name in :data:`~gatutils.book.protocols.ROWS`.
        model: One of the row's models.
        seed: Seed of the initial parameters and of the training data.
        steps: Number of steps in place of the protocol's, for a quick trial.
    """
    expect(row in ROWS, "row", f"one of {', '.join(ROWS)}", repr(row))
    protocol = ROWS[row]
    models = protocol["models"]
    expect(model in models, "model", f"one of {', '.join(models)}", repr(model))
    plan = {**protocol["budget"], **models[model]}
    if steps is not None:
        plan["steps"] = steps
    start = time.process_time()
    if row in FULLER:
        done = {"model": model, "seed": seed, **_rounded(FULLER[row](plan, row, seed))}
        return {**done, "cpu seconds": round(time.process_time() - start)}
    if row in GRAPHS:
        scores = [round(score, 4) for score in GRAPHS[row](plan, model, seed)]
        took = round(time.process_time() - start)
        return {"model": model, "seed": seed, "scores": scores, "cpu seconds": took}
    seed_everything(seed)
    translator = build(plan)
    history = fit(
        translator,
        training_batches(plan, protocol["training clauses"], seed),
        translation_loss,
        plan["steps"],
        lr=plan["lr"],
        warmup=plan.get("warmup", 0.05),
        seed=seed,
    )
    cpu = time.process_time() - start
    translator.eval()
    done = {
        "model": model,
        "seed": seed,
        "scores": exact_match(translator, **protocol["test"]),
        "loss": _mean(history.loss[-20:]),
        "parameters": sum(p.numel() for p in translator.parameters()),
        "cpu seconds": round(cpu),
    }
    if looks := protocol.get("looks"):
        pairs = sample_pairs(**looks["drawn from"])
        pair = next(p for p in pairs if " ".join(p.english) == looks["sentence"])
        done["weights"] = teacher_forced_weights(translator, [pair])[0].round(decimals=6).tolist()
        pairs = sample_pairs(**looks["counted on"])
        done["aligned"] = round(float(aligned(teacher_forced_weights(translator, pairs), pairs)), 4)
    if every := protocol.get("losses"):
        starts = range(0, len(history.loss), every)
        done["losses"] = [_mean(history.loss[k : k + every]) for k in starts]
    return done


def _rounded(value: Any) -> Any:
    """Return the same with each float rounded to four decimals."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def _mean(losses: list[float]) -> float:
    return round(sum(losses) / len(losses), 4)
