"""The book's longer runs, one command each: ``python -m gatutils.reproduce lengths``.

A chapter trains what fits into a minute and reads the rest from :mod:`gatutils.results`. Each file
there holds the protocol, the versions and every run. A run that it already holds is not done again,
so a stopped command goes on where it was; ``--compare`` does some of them again and says whether
they agree with what is stored.
"""

import argparse
import functools
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from gatutils.attention import Additive, Cosine, Dot, General, ScaledDot, Score
from gatutils.checks import expect
from gatutils.datasets import (
    ADJECTIVES,
    ENGLISH,
    KOREAN,
    NOUNS,
    PLACES,
    VERBS,
    Batch,
    Pair,
    atlas_split,
    batches,
    collate,
    collate_puzzles,
    random_graphs,
    sample_pairs,
    sample_puzzles,
    scipy_api,
    score_by_clauses,
    split,
    witnesses,
)
from gatutils.experiments import (
    Deep,
    Lookup,
    Relay,
    Solver,
    TokenReader,
    accuracy,
    answered,
    attention_net,
    carry,
    evenness_of,
    far_end,
    fit_nodes,
    fit_published,
    fit_puzzles,
    fit_question,
    grade,
    hear,
    label_propagation,
    layers,
    look_up,
    published_net,
    question_net,
    smooth,
    solved,
    witness_net,
)
from gatutils.gnn import GraphNet
from gatutils.planetoid import Planetoid, planetoid
from gatutils.results import FOLDER, bounds, read
from gatutils.results.store import MATTERS, add, existing, expect_alike, prepare, versions
from gatutils.seq2seq import Seq2Seq, Translator, greedy, sequence_loss
from gatutils.training import fit, seed_everything
from gatutils.transformer import Transformer

__all__ = [
    "BUDGET",
    "ROWS",
    "aligned",
    "exact_match",
    "main",
    "run",
    "translation_loss",
]

BUDGET = {"steps": 400, "batch": 64, "lr": 5e-3, "embedding": 64, "hidden": 96}
"""What every model of chapters 1 and 2 gets, unless its name says otherwise."""

LENGTHS: dict[str, dict[str, Any]] = {
    "one vector": {},
    "one vector, 3x steps": {"steps": 3 * BUDGET["steps"]},
    "one vector, 2x width": {"hidden": 2 * BUDGET["hidden"]},
    "additive": {"score": "additive"},
    "general": {"score": "general"},
    "general, after the cell": {"score": "general", "layout": "after"},
}
"""Model of chapters 1 and 2 -> how it departs from ``BUDGET``."""

SIMILARITIES: dict[str, dict[str, Any]] = {
    "dot": {"score": "dot"},
    "scaled dot": {"score": "scaled dot"},
    "general": {"score": "general"},
    "additive": {"score": "additive"},
    "cosine": {"score": "cosine"},
    "cosine, learned": {"score": "cosine", "learned": True},
    "cosine, 0.1": {"score": "cosine", "temperature": 0.1},
}
"""Chapter 3. Encoder and decoder have states of one width, as a dot product needs."""

_ATTENTION_ALONE = {"dim": 64, "heads": 4, "layers": 2, "think": 256, "norm": "pre"}
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "one vector": {},
    "additive": {"score": "additive"},
    "transformer": _ATTENTION_ALONE,
    "transformer, post-norm": {**_ATTENTION_ALONE, "norm": "post"},
    "transformer, 3x steps": {**_ATTENTION_ALONE, "steps": 3 * BUDGET["steps"]},
    "additive, 1000 sentences": {"score": "additive", "sentences": 1000},
    "transformer, 1000 sentences": {**_ATTENTION_ALONE, "sentences": 1000},
}
"""Chapter 5. With "sentences" the training has so many, again and again."""

DEEP: dict[str, Any] = {
    "steps": 150,
    "batch": 32,
    "lr": 3e-3,
    "warmup": 0.1,
    **_ATTENTION_ALONE,
    "dim": 32,
    "layers": 12,
    "think": 64,
}
"""Chapter 5's deep and narrow transformer, for sentences without a clause."""

NORMS: dict[str, dict[str, Any]] = {
    "pre-norm": {},
    "post-norm": {"norm": "post"},
    "pre-norm, no warm-up": {"warmup": 0},
    "post-norm, no warm-up": {"norm": "post", "warmup": 0},
}


def _protocol(
    budget: dict[str, Any], models: dict[str, dict[str, Any]], **more: Any
) -> dict[str, Any]:
    return {
        "budget": budget,
        "models": models,
        "training clauses": [0, 1, 2, 3, 4, 5],
        "test": {"clauses": list(range(8)), "count": 200, "seed": 1, "split": "test"},
        "measure": "share of sentences translated word for word by greedy decoding",
        **more,
    }


_GRAPH = {
    "kind": "GCN",
    "edges": True,
    "hidden": 32,
    "layers": 2,
    "dropout": 0.5,
    "steps": 200,
    "lr": 0.01,
    "weight decay": 5e-4,
}
NODES: dict[str, dict[str, Any]] = {
    "logistic regression": {"edges": False, "layers": 1},
    "MLP": {"edges": False},
    "label propagation": {"kind": "labels", "rounds": 10},
    "GCN": {},
    "SAGE, mean": {"kind": "SAGE"},
    "SAGE, max": {"kind": "SAGE", "how": "max"},
    "SAGE, sum": {"kind": "SAGE", "how": "sum"},
    "GIN": {"kind": "GIN"},
}
"""Chapters 7 and 8. An MLP is a GCN to which the edges are not shown."""

DEPTHS: dict[str, dict[str, Any]] = {
    **{f"GCN, {k}": {"layers": k} for k in (1, 2, 4, 8, 16, 32)},
    **{
        f"GCN, free, {k}": {"layers": k, "dropout": 0, "weight decay": 0}
        for k in (1, 2, 4, 8, 16, 32)
    },
    **{f"GCN, added, {k}": {"layers": k, "added": True} for k in (4, 8, 16, 32)},
    **{f"smooth, {k}": {"kind": "smooth", "rounds": k} for k in (1, 2, 4, 8, 16, 32, 64, 128)},
    **{f"gated, {k}": {"kind": "gated", "rounds": k} for k in (1, 2, 4, 8, 16, 32)},
}
"""Chapters 8 and 9. "free" is without dropout and weight decay, "added" adds a layer's input to its
output, "smooth" is so many aggregations first, then a logistic regression."""

_ATLAS = {"how": "sum", "width": 32, "layers": 2, "train": 1000, "steps": 600, "size": 50}
READOUTS: dict[str, dict[str, Any]] = {
    f"{question}, {read}": {"question": question, "read": read}
    for question in ("number of leaves", "share of leaves", "a node of degree four or more")
    for read in ("sum", "mean", "max")
}
"""In chapter 7, which readout answers which question."""

TRIANGLES: dict[str, dict[str, Any]] = {
    how: {"question": "a triangle", "read": "sum", "how": how, "steps": 2000}
    for how in ("sum", "mean", "max")
}
"""In chapter 8, which aggregation sees a triangle."""

RELAYS: dict[str, dict[str, Any]] = {
    **{kind: {} for kind in ("gated", "SAGE", "GCN", "GCN, added", "tanh", "GIN", "SAGE, untied")},
    "gated, one length": {"kind": "gated", "lengths": [16]},
    "SAGE, one length": {"kind": "SAGE", "lengths": [16]},
}
"""In chapter 9, who carries a token how far."""

_PUZZLE = {
    "task": "path",
    "sizes": [2, 3, 4, 5],
    "examples": 250,
    "layer": "gated",
    "rounds": 5,
    "width": 32,
    "steps": 300,
    "size": 50,
    "lr": 5e-3,
}
_READER = {"layer": "tokens", "embedding": 32, "width": 64, "steps": 600, "lr": 3e-3}
_SAGE = {"layer": "SAGE", "lr": 3e-3}
_SHORT = {"task": "deduction", "sizes": [1]}
_LONG = {"task": "deduction", "sizes": [3], "examples": 50}
PUZZLES: dict[str, dict[str, Any]] = {
    **{f"path, gated, {k} rounds, 250 examples": {"rounds": k} for k in (1, 2, 3)},
    **{f"path, gated, 5 rounds, {n} examples": {"examples": n} for n in (50, 250, 1000)},
    **{f"path, SAGE, 5 rounds, {n} examples": {**_SAGE, "examples": n} for n in (50, 250, 1000)},
    **{f"path, tokens, {n} examples": {**_READER, "examples": n} for n in (50, 250, 1000)},
    **{f"deduction 3, gated, {k} rounds, 50 examples": {**_LONG, "rounds": k} for k in range(1, 6)},
    **{f"deduction 1, gated, 5 rounds, {n} examples": {**_SHORT, "examples": n} for n in (2, 50)},
    **{
        f"deduction 1, tokens, {n} examples": {**_SHORT, **_READER, "examples": n}
        for n in (50, 1000)
    },
}
"""In chapter 9, who solves which puzzles, from how many of them."""

ATTENTION: dict[str, dict[str, Any]] = {
    "GAT": {"kind": "GAT", "heads": 4, "dropout": 0.5},
    "GATv2": {"kind": "GATv2", "heads": 4, "dropout": 0.5},
    "GAT, equal weights": {"kind": "GAT", "heads": 4, "dropout": 0.5, "equal": True},
}
"""Chapter 10. Beside the models of chapter 8, and with their budget. "equal" keeps a at zero."""

WITNESS: dict[str, dict[str, Any]] = {
    f"{kind}, {guessing}": {"kind": kind, "guessing": guessing}
    for guessing in (0, 3, 6, 9, 11)
    for kind in ("GCN", "GAT", "MLP, GCN")
}
"""In chapter 10, who tells the witnesses who saw it from those who guess."""

_SMALL = ("GAT, 1 head", "GAT, 8 heads", "GATv2, 1 head", "dot, 1 head", "mean, 1 head")
DICTIONARY: dict[str, dict[str, Any]] = {
    f"{kind}, {keys} keys": {
        "kind": kind.split(",")[0],
        "heads": int(kind.split()[1]),
        "keys": keys,
    }
    for keys in (10, 20)
    for kind in _SMALL
}
"""In chapter 11, which layer does a dictionary's work."""

_GAT = {
    "kind": "GAT",
    "network": "8 heads of 8 side by side, ELU, then the mean of the heads out",
    "dropout": "0.6 on the inputs of both layers and on the normalised weights",
    "stop": "after 100 steps without a better validation loss or accuracy; weights of the last "
    "step with both",
    "heads out": 1,
    "lr": 0.005,
    "weight decay": 5e-4,
    "steps": 100_000,
}
_GCN = {
    "kind": "GCN",
    "network": "16 wide, ReLU, no bias",
    "dropout": "0.5 on the inputs of both layers",
    "stop": "when the validation loss is above its mean of the ten steps before",
    "lr": 0.01,
    "weight decay": 5e-4,  # of the first matrix alone
    "steps": 200,
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "cora-gat": _GAT,
    "citeseer-gat": _GAT,
    "pubmed-gat": {**_GAT, "heads out": 8, "lr": 0.01, "weight decay": 1e-3},
    "cora-gcn": _GCN,
    "citeseer-gcn": _GCN,
    "pubmed-gcn": _GCN,
}
"""On the page of results, after Velickovic et al. (2018) and Kipf and Welling (2017)."""

# "looks": the weights of one sentence are kept, and how often they point at the translated word.
# "losses": the mean training loss of every so many steps is kept.
ROWS: dict[str, dict[str, Any]] = {
    "lengths": _protocol(BUDGET, LENGTHS),
    "similarities": _protocol(
        {**BUDGET, "direction": BUDGET["hidden"] // 2}, SIMILARITIES, losses=20
    ),
    "transformers": _protocol(BUDGET, TRANSFORMERS, losses=20),
    "alignment": _protocol(
        BUDGET,
        {"additive": {"score": "additive"}},
        looks={
            "sentence": "the boy helped the deer that saw the girl that bit the horse today",
            "drawn from": {"count": 3000, "clauses": 2, "split": "test", "seed": 5},
            "counted on": {"count": 200, "clauses": 2, "split": "test", "seed": 8},
        },
    ),
    "norms": {
        **_protocol(DEEP, NORMS, losses=10),
        "training clauses": [0],
        "test": {"clauses": [0], "count": 200, "seed": 1, "split": "test"},
    },
    "nodes": {
        "budget": _GRAPH,
        "models": NODES,
        "data": "scipy_api, 20 labels a class drawn by the seed, all other nodes for the test",
        "measure": "share of nodes whose class is right, of the test, of the training",
    },
    "depths": {
        "budget": _GRAPH,
        "models": DEPTHS,
        "data": "scipy_api, 20 labels a class drawn by the seed, all other nodes for the test",
        "measure": "share of nodes whose class is right, of the test, of the training",
    },
    "readouts": {
        "budget": _ATLAS,
        "models": READOUTS,
        "large": {"count": 200, "nodes": [15, 40]},
        "measure": "mean absolute error, or share right, on unseen graphs of the atlas, on large",
    },
    "triangles": {
        "budget": _ATLAS,
        "models": TRIANGLES,
        "large": {"count": 200, "nodes": [15, 40]},
        "measure": "share right on unseen graphs of the atlas, on large ones",
    },
    "relay": {
        "budget": {
            "lengths": list(range(1, 17)),
            "width": 32,
            "steps": 1500,
            "size": 16,
            "lr": 0.01,
        },
        "models": RELAYS,
        "test": {"lengths": [8, 16, 32, 64], "count": 200},
        "measure": "share of paths whose last node says the first one's token, for each length",
    },
    "puzzles": {
        "budget": _PUZZLE,
        "models": PUZZLES,
        "test": {"count": 2000, "split": "test", "seed": 1},
        "measure": "share of puzzles solved, then, of several sizes, that of each",
    },
    "attention": {
        "budget": _GRAPH,
        "models": ATTENTION,
        "data": "scipy_api, 20 labels a class drawn by the seed, all other nodes for the test",
        "measure": "share of nodes whose class is right, of the test, of the training; evenness "
        "of the weights of each head in each layer",
    },
    "witnesses": {
        "budget": {"steps": 300, "size": 200, "lr": 0.05},
        "models": WITNESS,
        "test": {"count": 5000, "seed": 10**6},
        "measure": "share of nodes that ask whose answer is right",
    },
    "dictionary": {
        "budget": {"width": 64, "steps": 1500, "size": 32, "lr": 0.01, "every": 50, "test": 512},
        "models": DICTIONARY,
        "measure": "share of queries that get their value in the test; the same of the "
        "dictionaries that watch, every so many steps",
    },
    **{
        row: {
            "budget": budget,
            "models": {budget["kind"]: {}},
            "data": f"{row.split('-')[0]}, the Planetoid split, rows of features sum to 1",
            "measure": "share of papers whose class is right, of the test, of the validation",
        }
        for row, budget in PUBLISHED.items()
    },
}
"""Row of the command -> its protocol, as it is stored with the results."""


def _nodes(plan: dict[str, Any], _: str, seed: int) -> list[float]:
    """Train on the labels that the seed draws; return the shares right of test and training."""
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
    """Train graph attention like the models of chapter 8; each node sees itself too."""
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
        "evenness": [layer.tolist() for layer in evenness_of(net, features, graph)],
    }


def _witnesses(plan: dict[str, Any], _: str, seed: int) -> dict[str, Any]:
    """Train on fresh draws; return the share of the test that is answered rightly."""
    test = ROWS["witnesses"]["test"]
    graph = witnesses(test["count"], plan["guessing"], torch.Generator().manual_seed(test["seed"]))
    seed_everything(seed)
    net = witness_net(plan["kind"])
    amount = {name: plan[name] for name in ("steps", "size", "lr")}
    hear(net, plan["guessing"], seed, **amount)
    return {"scores": [answered(net, graph)]}


def _dictionary(plan: dict[str, Any], _: str, seed: int) -> dict[str, Any]:
    """Train a layer to look up values; return the share of the test, and how it grew."""
    seed_everything(seed)
    net = Lookup(plan["keys"], plan["kind"], plan["heads"], plan["width"])
    amount = {name: plan[name] for name in ("steps", "size", "lr", "every", "test")}
    grown, share = look_up(net, plan["keys"], seed, **amount)
    return {"scores": [share], "grown": grown}


def _atlas(plan: dict[str, Any], _: str, seed: int) -> list[float]:
    """Train on graphs of the atlas; return the grades on others of it, and on larger ones."""
    small, unseen = atlas_split(seed, plan["train"])
    seed_everything(seed)
    model = question_net(plan["how"], plan["read"], plan["width"], plan["layers"])
    question = plan["question"]
    fit_question(model, question, small, seed, steps=plan["steps"], size=plan["size"])
    large = random_graphs(200, seed, 15, 40)
    return [grade(model, question, graphs) for graphs in (unseen, large)]


def _relay(plan: dict[str, Any], model: str, seed: int) -> list[float]:
    """Train on short paths; return how often the token arrives on longer ones."""
    seed_everything(seed)
    net = Relay(plan.get("kind", model), plan["width"])
    amount = {name: plan[name] for name in ("lengths", "steps", "size", "lr")}
    carry(net, seed, **amount)
    test = ROWS["relay"]["test"]
    return [far_end(net, length, test["count"]) for length in test["lengths"]]


def _puzzles(plan: dict[str, Any], _: str, seed: int) -> list[float]:
    """Train on the puzzles that the seed draws; return the shares solved, of all and by size."""
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
    return [solved(model, group) for group in ([test, *groups] if len(sizes) > 1 else [test])]


@functools.cache
def _papers(name: str) -> Planetoid:
    return planetoid(name)


def _published(plan: dict[str, Any], row: str, seed: int) -> dict[str, Any]:
    """Train as the paper says; return the shares right of test and validation, and the course."""
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
"""Rows about graphs -> what one run of them does."""

FULLER: dict[str, Callable[[dict[str, Any], str, int], dict[str, Any]]] = {
    "attention": _attention,
    "witnesses": _witnesses,
    "dictionary": _dictionary,
    **dict.fromkeys(PUBLISHED, _published),
}
"""Rows of which more is stored than scores -> what one run of them does, given plan, row, seed."""


def build(plan: dict[str, Any]) -> Seq2Seq | Transformer:
    """Return the untrained model that a budget, with a model's departures, describes."""
    if "heads" in plan:
        sizes = [plan[name] for name in ("dim", "heads", "layers", "think", "norm")]
        return Transformer(len(ENGLISH), len(KOREAN), *sizes)
    width = plan["hidden"]
    direction = plan.get("direction", width)
    kinds: dict[str | None, Callable[[], Score | None]] = {
        None: lambda: None,
        "dot": Dot,
        "scaled dot": ScaledDot,
        "general": lambda: General(width, 2 * direction),
        "additive": lambda: Additive(width, 2 * direction),
        "cosine": lambda: Cosine(plan.get("temperature", 1.0), plan.get("learned", False)),
    }
    return Seq2Seq(
        len(ENGLISH),
        len(KOREAN),
        plan["embedding"],
        width,
        kinds[plan.get("score")](),
        plan.get("layout", "before"),
        direction,
    )


def translation_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the cross-entropy of the next Korean word under teacher forcing."""
    logits, _ = model(batch.source, batch.source_mask, batch.target_in)
    return sequence_loss(logits, batch.target_out)


def exact_match(
    model: Translator,
    clauses: Sequence[int] = tuple(range(8)),
    count: int = 200,
    seed: int = 1,
    split: str = "test",
) -> list[float]:
    """Return the share of sentences that greedy decoding translates word for word.

    Args:
        model: Anything that :func:`~gatutils.seq2seq.greedy` can decode.
        clauses: The numbers of relative clauses to ask for; one share for each.
        count: Sentences for each of them.
        seed: Which sentences.
        split: ``"train"`` or ``"test"``.
    """

    def translate(batch: Batch) -> list[tuple[int, ...]]:
        return [h.words for h in greedy(model, batch.source, batch.source_mask)]

    return score_by_clauses(translate, clauses, count, seed, split)


def run(row: str, model: str, seed: int, steps: int | None = None) -> dict[str, Any]:
    """Train one model of a row on one seed; return its scores and what it cost.

    Args:
        row: A name in :data:`ROWS`.
        model: One of the row's models.
        seed: Of the weights and of the sentences.
        steps: Instead of the protocol's, for a quick look.
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
        _stream(plan, protocol["training clauses"], seed),
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
        done["weights"] = _weights(translator, [pair])[0].round(decimals=6).tolist()
        pairs = sample_pairs(**looks["counted on"])
        done["aligned"] = round(float(aligned(_weights(translator, pairs), pairs)), 4)
    if every := protocol.get("losses"):
        starts = range(0, len(history.loss), every)
        done["losses"] = [_mean(history.loss[k : k + every]) for k in starts]
    return done


@torch.no_grad()
def _weights(model: nn.Module, pairs: Sequence[Pair]) -> Tensor:
    """Return what each right word looked at, given the right words before it."""
    batch = collate(pairs)
    _, weights = model(batch.source, batch.source_mask, batch.target_in)
    return cast(Tensor, weights)


def aligned(
    weights: Float[Tensor, "batch *heads target source"], pairs: Sequence[Pair]
) -> Float[Tensor, "*heads"]:
    """Return the share of words whose heaviest weight lies on the word that they translate.

    Counted are nouns, verbs, adjectives and places, under each head if there are several.

    Args:
        weights: What each Korean word looked at.
        pairs: The sentences, in the order of the rows.
    """
    content = {*NOUNS, *VERBS, *ADJECTIVES, *PLACES}
    heaviest = weights.argmax(dim=-1)
    own = [
        heaviest[row, ..., i] == j
        for row, pair in enumerate(pairs)
        for i, j in enumerate(pair.alignment)
        if j is not None and pair.english[j] in content
    ]
    return torch.stack(own).float().mean(dim=0)


def _stream(plan: dict[str, Any], clauses: list[int], seed: int) -> Iterator[Batch]:
    """Return the training batches: without end, or few sentences in ever new orders."""
    if "sentences" not in plan:
        return batches(plan["batch"], clauses, seed)
    pairs = sample_pairs(plan["sentences"], clauses, "train", seed)
    rng = random.Random(seed)
    return (collate(rng.sample(pairs, plan["batch"])) for _ in iter(int, 1))


def _rounded(value: Any) -> Any:
    """Return the same with four digits behind each point."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def _mean(losses: list[float]) -> float:
    return round(sum(losses) / len(losses), 4)


def main(arguments: list[str] | None = None) -> int:
    """Do the runs that are missing and store each when it is done, or compare with those stored.

    Args:
        arguments: Those of the command line; None takes the process's own.

    Returns:
        The exit status, which is 0, or 1 if a comparison does not agree, 2 if a file or folder
        will not do, and 130 after Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    known = list(ROWS[options.row]["models"])
    for model in options.models or []:
        if model not in known:
            parser.error(f"--models: expected some of {', '.join(known)}, got {model!r}")
    options.models = list(dict.fromkeys(options.models or [])) or None  # each of them once
    torch.set_num_threads(1)  # the last digits depend on the number of threads
    try:
        return _compare(options) if options.compare else _complete(options)
    except KeyboardInterrupt:
        print("interrupted; what had been stored is kept", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gatutils.reproduce",
        description="Do the longer runs whose results the book stores. A run that is stored is not "
        "done again, so a stopped command goes on where it was.",
    )
    folder = str(FOLDER).replace("%", "%%")
    rows = f"what to reproduce: {', '.join(ROWS)}"
    parser.add_argument("row", choices=list(ROWS), metavar="row", help=rows)
    parser.add_argument("--seeds", type=_count, help="how many seeds (default 5; to compare, 1)")
    parser.add_argument("--models", nargs="+", help="some of the row's models (default all)")
    parser.add_argument("--steps", type=_count, help="instead of the protocol's, for a quick look")
    parser.add_argument("--jobs", type=_count, default=1, help="how many processes (default 1)")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help=f"where the results are (default {folder})"
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="store nothing, but run the first seeds again and say for each model whether every "
        "score agrees with those stored: it may be lower than the lowest or higher than the "
        "highest of them by the difference between the two, or by 0.25 divided by the number of "
        "stored runs if that is more. The exit status is 1 if a model does not agree. About two "
        "runs in a hundred fall outside by chance; then try more seeds",
    )
    return parser


def _count(text: str) -> int:
    """Return a number of the command line, if it is 1 or more."""
    count = int(text) if text.isdecimal() else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return count


def _file(options: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    """Return where the row's results are, and their protocol as JSON gives it back."""
    protocol: dict[str, Any] = json.loads(json.dumps(ROWS[options.row]))
    if options.steps is not None:
        protocol["steps"] = options.steps  # not to be mixed up with the real thing
    return (options.out or FOLDER) / f"{options.row}.json", protocol


def _complete(options: argparse.Namespace) -> int:
    """Do and store the runs that are missing."""
    path, protocol = _file(options)
    stored, here = existing(path, protocol), versions()
    models = options.models or list(protocol["models"])
    wanted = [(model, seed) for seed in range(options.seeds or 5) for model in models]
    done = {(run["model"], run["seed"]) for run in stored["runs"]}
    missing = [one for one in wanted if one not in done]
    if missing:
        expect_alike(path, stored, here)
        if options.out is None and not (FOLDER.parents[1] / "pyproject.toml").is_file():
            raise ValueError(
                f"{path}: lacks {len(missing)} of {len(wanted)} runs, and belongs to an installed "
                "package, which is left as it is; name a folder with --out"
            )
        prepare(path.parent)
        with closing(_runs(options, missing)) as finished:
            for found in finished:
                add(path, protocol, here, found)
    print(f"all {len(wanted)} runs are stored in {path}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    """Do stored runs again, and say for each model whether their scores agree with those stored."""
    path, protocol = _file(options)
    expect(path.exists(), str(path), "stored runs to compare with", "no such file")
    stored, here = existing(path, protocol), versions()
    scores = read(path)
    models, seeds = options.models or list(scores), options.seeds or 1
    for model in models:
        count = len(scores.get(model, []))
        expect(count > 1, f"{path}: {model}", "two stored runs or more to compare with", count)
    then, now = (", ".join(str(of[name]) for name in MATTERS) for of in (stored["versions"], here))
    print(f"{', '.join(MATTERS)} of the stored runs: {then}; here: {now}")
    outside: dict[str, list[str]] = {model: [] for model in models}
    left = dict.fromkeys(models, seeds)
    with closing(_runs(options, [(m, s) for m in models for s in range(seeds)])) as finished:
        for found in finished:
            model = found["model"]
            outside[model] += _outside(found, bounds(scores[model]))
            left[model] -= 1
            if left[model] == 0:
                said = (
                    f"does not agree: {'; '.join(outside[model])}" if outside[model] else "agrees"
                )
                tqdm.write(f"{model}: {said}")
    agree = sum(not found for found in outside.values())
    print(f"{agree} of {len(models)} models agree with {path}")
    return 0 if agree == len(models) else 1


def _outside(found: dict[str, Any], limits: list[tuple[float, float]]) -> list[str]:
    """Return a phrase for each score of a run that is not within its limits."""
    seed, count = found["seed"], len(limits)
    return [
        f"seed {seed}, score {k} of {count} is {score:.4g}, not between {low:.4g} and {high:.4g}"
        for k, (score, (low, high)) in enumerate(zip(found["scores"], limits, strict=True), 1)
        if not low <= score <= high
    ]


_Finished = Generator[dict[str, Any], None, None]


def _runs(options: argparse.Namespace, plan: list[tuple[str, int]]) -> _Finished:
    """Do the runs, yield each when it is done, and show a bar."""
    hidden = os.environ.get("GATUTILS_PROGRESS", "1") == "0"
    do = _one_by_one if options.jobs == 1 else _side_by_side
    with closing(do(options, plan)) as finished:
        yield from tqdm(finished, total=len(plan), unit="run", disable=hidden)


def _one_by_one(options: argparse.Namespace, plan: list[tuple[str, int]]) -> _Finished:
    for model, seed in plan:
        with _named(options.row, model, seed):
            found = run(options.row, model, seed, options.steps)
        yield found


def _side_by_side(options: argparse.Namespace, plan: list[tuple[str, int]]) -> _Finished:
    """Do the runs in several processes; after an error begin no more, but finish the others."""
    spawn = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(options.jobs, len(plan)), spawn, _alone)
    running: dict[Future[dict[str, Any]], tuple[str, int]] = {}
    waiting, failed = list(reversed(plan)), None
    try:
        while running or (waiting and failed is None):
            while waiting and failed is None and len(running) < options.jobs:
                one = waiting.pop()
                running[pool.submit(run, options.row, *one, options.steps)] = one
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                model, seed = running.pop(future)
                try:
                    with _named(options.row, model, seed):
                        found = future.result()
                except Exception as error:
                    failed = failed or error
                else:
                    yield found
        if failed is not None:
            raise failed
    except BaseException:  # Ctrl-C, or nobody wants the rest
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _alone() -> None:
    """Prepare a process for its runs: one thread, no bars, and Ctrl-C ends it without a word."""
    torch.set_num_threads(1)
    os.environ["GATUTILS_PROGRESS"] = "0"
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def _named(row: str, model: str, seed: int) -> Iterator[None]:
    """Let an error say in which run it came up."""
    where = f"{row}, model {model!r}, seed {seed}"
    try:
        yield
    except OSError as error:  # files that are missing, not a fault of the code
        raise OSError(f"{where}: {error}") from error
    except Exception as error:
        raise RuntimeError(f"{where}: {type(error).__name__}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
