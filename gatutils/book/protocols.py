"""The protocols of the stored runs: models, budgets, training and test data, metrics."""

from typing import Any

BUDGET = {"steps": 400, "batch": 64, "lr": 5e-3, "embedding": 64, "hidden": 96}
"""The budget of every model of chapters 1 and 2, except where ``LENGTHS`` departs from it."""


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
"""Chapter 3. The states of encoder and decoder have the same width, as a dot product requires."""


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
"""Chapter 5. "sentences" is the size of a fixed training set, which replaces fresh sentences."""


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
"""Chapter 5's deep and narrow transformer, for sentences without a relative clause."""


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
"""Chapters 7 and 8. An MLP is a GCN on the graph without its edges."""


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
output, and "smooth" is a logistic regression on features that have been aggregated k times."""


_ATLAS = {"how": "sum", "width": 32, "layers": 2, "train": 1000, "steps": 600, "size": 50}


READOUTS: dict[str, dict[str, Any]] = {
    f"{question}, {read}": {"question": question, "read": read}
    for question in ("number of leaves", "share of leaves", "a node of degree four or more")
    for read in ("sum", "mean", "max")
}
"""In chapter 7, which readouts can answer which questions."""


TRIANGLES: dict[str, dict[str, Any]] = {
    how: {"question": "a triangle", "read": "sum", "how": how, "steps": 2000}
    for how in ("sum", "mean", "max")
}
"""In chapter 8, which aggregations can detect a triangle."""


RELAYS: dict[str, dict[str, Any]] = {
    **{kind: {} for kind in ("gated", "SAGE", "GCN", "GCN, added", "tanh", "GIN", "SAGE, untied")},
    "gated, one length": {"kind": "gated", "lengths": [16]},
    "SAGE, one length": {"kind": "SAGE", "lengths": [16]},
}
"""In chapter 9, how far each type of layer carries a token."""


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
"""In chapter 9, which models solve which puzzles, and how many examples they need."""


ATTENTION: dict[str, dict[str, Any]] = {
    "GAT": {"kind": "GAT", "heads": 4, "dropout": 0.5},
    "GATv2": {"kind": "GATv2", "heads": 4, "dropout": 0.5},
    "GAT, equal weights": {"kind": "GAT", "heads": 4, "dropout": 0.5, "equal": True},
}
"""In chapter 10, compared with the models of chapter 8 on the same budget. "equal" keeps a at 0."""


WITNESS: dict[str, dict[str, Any]] = {
    f"{kind}, {guessing}": {"kind": kind, "guessing": guessing}
    for guessing in (0, 3, 6, 9, 11)
    for kind in ("GCN", "GAT", "MLP, GCN")
}
"""In chapter 10, which layers distinguish witnesses who saw the event from those who guess."""


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
"""In chapter 11, which layers can look up values as a dictionary does."""


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
"""The page of results, following Velickovic et al. (2018) and Kipf and Welling (2017)."""


# "looks": also store the weights of one sentence, and how often the largest weight of a word is on
# the word that it translates. "losses": also store the mean training loss of every k steps.
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
"""Row of the command -> its protocol, as stored with the results."""
