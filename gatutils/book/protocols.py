"""The protocols of the stored runs: which models are trained, how, and what is measured."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gatutils._checks import expect
from gatutils.book.experiments.attention import AttentionPlan
from gatutils.book.experiments.dictionary import DictionaryPlan
from gatutils.book.experiments.graph_transformer import GraphTransformerPlan
from gatutils.book.experiments.ladder import LadderPlan
from gatutils.book.experiments.minesweeper import MinePlan
from gatutils.book.experiments.nodes import GatedNodePlan, LabelPropagationPlan, StackPlan
from gatutils.book.experiments.parts import PartsPlan
from gatutils.book.experiments.plan import Plan
from gatutils.book.experiments.published import GATPlan, GCNPlan
from gatutils.book.experiments.puzzles import SolverPlan, TokenReaderPlan
from gatutils.book.experiments.questions import QuestionPlan
from gatutils.book.experiments.relay import RelayPlan
from gatutils.book.experiments.roles import RolesPlan
from gatutils.book.experiments.spelling import (
    FAMILIAR,
    SpellingSeq2SeqPlan,
    SpellingTransformerPlan,
)
from gatutils.book.experiments.translation import (
    AlignmentSample,
    SentenceSample,
    Seq2SeqPlan,
    TransformerPlan,
)
from gatutils.book.experiments.witnesses import KindPlan, WitnessPlan


@dataclass(frozen=True)
class Protocol:
    """Models that are trained and tested in the same way, to be compared.

    Attributes:
        models: Name of a model -> its settings.
        data: What the models are trained and tested on.
        measure: What the scores of a run are.
    """

    models: Mapping[str, Plan]
    data: str
    measure: str

    def stored(self) -> dict[str, Any]:
        """Return the protocol as it is stored with the results."""
        models = {name: asdict(plan) for name, plan in self.models.items()}
        return {"data": self.data, "measure": self.measure, "models": models}


BUDGET = Seq2SeqPlan()
"""The budget of every model of chapters 1 and 2, except where ``LENGTHS`` departs from it."""


LENGTHS = {
    "one vector": BUDGET,
    "one vector, 3x steps": replace(BUDGET, steps=3 * BUDGET.steps),
    "one vector, 2x width": replace(BUDGET, hidden=2 * BUDGET.hidden),
    "additive": replace(BUDGET, score="additive"),
    "general": replace(BUDGET, score="general"),
    "general, after the cell": replace(BUDGET, score="general", layout="after"),
}
"""Chapters 1 and 2."""


LONGER = {"one vector, 10x steps": replace(BUDGET, steps=10 * BUDGET.steps)}
"""In chapter 1, whether the same vector holds longer sentences after more training."""


_SAME_WIDTH = replace(BUDGET, direction=BUDGET.hidden // 2, losses_every=20)


SIMILARITIES = {
    "dot": replace(_SAME_WIDTH, score="dot"),
    "scaled dot": replace(_SAME_WIDTH, score="scaled dot"),
    "general": replace(_SAME_WIDTH, score="general"),
    "additive": replace(_SAME_WIDTH, score="additive"),
    "cosine": replace(_SAME_WIDTH, score="cosine"),
    "cosine, learned": replace(_SAME_WIDTH, score="cosine", learned=True),
    "cosine, 0.1": replace(_SAME_WIDTH, score="cosine", temperature=0.1),
}
"""Chapter 3. The states of encoder and decoder have the same width, as a dot product requires."""


ROLES = {
    "one layer": RolesPlan(),
    "two layers": RolesPlan(layers=2),
    "one layer, wider": RolesPlan(dim=88),
}
"""Chapter 4. The last two have about the same number of parameters."""


_TRANSFORMER = TransformerPlan(losses_every=20)


TRANSFORMERS = {
    "one vector": replace(BUDGET, losses_every=20),
    "additive": replace(BUDGET, score="additive", losses_every=20),
    "transformer": _TRANSFORMER,
    "transformer, post-norm": replace(_TRANSFORMER, norm="post"),
    "transformer, 3x steps": replace(_TRANSFORMER, steps=3 * _TRANSFORMER.steps),
    "additive, 1000 sentences": replace(BUDGET, score="additive", sentences=1000, losses_every=20),
    "transformer, 1000 sentences": replace(_TRANSFORMER, sentences=1000),
}
"""Chapter 5."""


ALIGNMENT = {
    "additive": replace(
        BUDGET,
        score="additive",
        alignment=AlignmentSample(
            sentence="the boy helped the deer that saw the girl that bit the horse today",
            drawn_from=SentenceSample(clauses=(2,), count=3000, seed=5),
            counted_on=SentenceSample(clauses=(2,), count=200, seed=8),
        ),
    )
}
"""Chapter 2's model, and the words that it attends to."""


DEEP = TransformerPlan(
    steps=150,
    batch_size=32,
    lr=3e-3,
    warmup=0.1,
    clauses=(0,),
    test=SentenceSample(clauses=(0,)),
    losses_every=10,
    dim=32,
    layers=12,
    hidden=64,
)
"""Chapter 5's deep and narrow transformer, for sentences without a relative clause."""


NORMS = {
    "pre-norm": DEEP,
    "post-norm": replace(DEEP, norm="post"),
    "pre-norm, no warm-up": replace(DEEP, warmup=0),
    "post-norm, no warm-up": replace(DEEP, norm="post", warmup=0),
}
"""Chapter 5."""


PARTS = {
    "all parts": PartsPlan(),
    "no feed-forward": PartsPlan(without="feed-forward"),
    "no feed-forward, wider": PartsPlan(without="feed-forward", dim=40),
    "no residuals": PartsPlan(without="residuals"),
}
"""In chapter 5, what a small transformer loses with a part."""


SPELLING: dict[str, Plan] = {
    "one vector": SpellingSeq2SeqPlan(),
    "additive": SpellingSeq2SeqPlan(score="additive"),
    "scaled dot": SpellingSeq2SeqPlan(score="scaled dot", direction=64),
    "transformer": SpellingTransformerPlan(),
}
"""Chapters 1, 2 and 5, on real words. A dot product requires states of the same width."""


SPELLING_LONGER = {
    "additive": SpellingSeq2SeqPlan(
        score="additive", embedding=128, hidden=256, steps=15_000, lr=1e-3
    )
}
"""On the page of results, a wider model, trained for about ten passes over the words."""


PRONOUNCED: dict[str, Plan] = {
    "one vector": SpellingSeq2SeqPlan(shown=FAMILIAR),
    "additive": SpellingSeq2SeqPlan(shown=FAMILIAR, score="additive"),
}
"""Chapter 2's two models, and how they pronounce familiar words."""


NODES: dict[str, Plan] = {
    "logistic regression": StackPlan(edges=False, layers=1),
    "MLP": StackPlan(edges=False),
    "label propagation": LabelPropagationPlan(),
    "GCN": StackPlan(),
    "SAGE, mean": StackPlan(layer="SAGE"),
    "SAGE, max": StackPlan(layer="SAGE", aggr="max"),
    "SAGE, sum": StackPlan(layer="SAGE", aggr="sum"),
    "GIN": StackPlan(layer="GIN"),
}
"""Chapters 7 and 8."""


_POWERS = (1, 2, 4, 8, 16, 32)


DEPTHS: dict[str, Plan] = {
    **{f"GCN, {k}": StackPlan(layers=k) for k in _POWERS},
    **{f"GCN, free, {k}": StackPlan(layers=k, dropout=0, weight_decay=0) for k in _POWERS},
    **{f"GCN, added, {k}": StackPlan(layers=k, residual=True) for k in (4, 8, 16, 32)},
    **{f"smooth, {k}": StackPlan(edges=False, layers=1, smoothing=k) for k in (*_POWERS, 64, 128)},
    **{f"gated, {k}": GatedNodePlan(rounds=k) for k in _POWERS},
}
"""Chapters 8 and 9. "free" is without dropout and weight decay, "added" has residual connections,
and "smooth" is a logistic regression on features that have been aggregated k times."""


READOUTS = {
    f"{question}, {readout}": QuestionPlan(question=question, readout=readout)
    for question in ("number of leaves", "share of leaves", "a node of degree four or more")
    for readout in ("sum", "mean", "max")
}
"""In chapter 7, which readouts can answer which questions."""


TRIANGLES = {
    aggr: QuestionPlan(question="a triangle", aggr=aggr, steps=2000)
    for aggr in ("sum", "mean", "max")
}
"""In chapter 8, which aggregations can detect a triangle."""


RELAYS = {
    "gated": RelayPlan(layer="gated"),
    "SAGE": RelayPlan(layer="SAGE"),
    "GCN": RelayPlan(layer="GCN"),
    "GCN, added": RelayPlan(layer="GCN", residual=True),
    "tanh": RelayPlan(layer="tanh"),
    "GIN": RelayPlan(layer="GIN"),
    "SAGE, untied": RelayPlan(layer="SAGE", untied=17),
    "gated, one length": RelayPlan(layer="gated", lengths=(16,)),
    "SAGE, one length": RelayPlan(layer="SAGE", lengths=(16,)),
}
"""In chapter 9, how far each type of layer carries a token."""


_PATH = SolverPlan(task="path", sizes=(2, 3, 4, 5), examples=250)


_DEDUCTION = replace(_PATH, task="deduction", sizes=(1,))


_LONG_DEDUCTION = replace(_DEDUCTION, sizes=(3,), examples=50)


_PATH_READER = TokenReaderPlan(task="path", sizes=(2, 3, 4, 5), examples=250)


_DEDUCTION_READER = replace(_PATH_READER, task="deduction", sizes=(1,))


_SIZES = (50, 250, 1000)


PUZZLES: dict[str, Plan] = {
    **{f"path, gated, {k} rounds, 250 examples": replace(_PATH, rounds=k) for k in (1, 2, 3)},
    **{f"path, gated, 5 rounds, {n} examples": replace(_PATH, examples=n) for n in _SIZES},
    **{
        f"path, SAGE, 5 rounds, {n} examples": replace(_PATH, layer="SAGE", lr=3e-3, examples=n)
        for n in _SIZES
    },
    **{f"path, tokens, {n} examples": replace(_PATH_READER, examples=n) for n in _SIZES},
    **{
        f"deduction 3, gated, {k} rounds, 50 examples": replace(_LONG_DEDUCTION, rounds=k)
        for k in range(1, 6)
    },
    **{
        f"deduction 1, gated, 5 rounds, {n} examples": replace(_DEDUCTION, examples=n)
        for n in (2, 50)
    },
    **{
        f"deduction 1, tokens, {n} examples": replace(_DEDUCTION_READER, examples=n)
        for n in (50, 1000)
    },
}
"""In chapter 9, which models solve which puzzles, and how many examples they need."""


ATTENTION = {
    "GAT": AttentionPlan(layer="GAT"),
    "GATv2": AttentionPlan(layer="GATv2"),
    "GAT, equal weights": AttentionPlan(layer="GAT", equal=True),
    "GAT, no decay": AttentionPlan(layer="GAT", weight_decay=0),
}
"""In chapter 10, compared with the models of chapter 8 on the same budget."""


WITNESS: dict[str, Plan] = {}
for _count in (0, 3, 6, 9, 11):
    WITNESS[f"GCN, {_count}"] = WitnessPlan(layer="GCN", guessing=_count)
    WITNESS[f"GAT, {_count}"] = WitnessPlan(layer="GAT", guessing=_count)
    WITNESS[f"MLP, GCN, {_count}"] = WitnessPlan(layer="GCN", mlp=True, guessing=_count)
"""In chapter 10, which layers distinguish witnesses who saw the event from those who guess."""


KINDS: dict[str, Plan] = {}
for _kinds in (1, 2, 3, 4, 6):
    KINDS |= {
        f"GCN, {_kinds}": KindPlan(layer="GCN", kinds=_kinds),
        f"MLP, GCN, {_kinds}": KindPlan(layer="GCN", before=True, kinds=_kinds),
        f"MLP, GCN, MLP, {_kinds}": KindPlan(layer="GCN", before=True, after=True, kinds=_kinds),
        f"GAT, 1 head, {_kinds}": KindPlan(layer="GAT", kinds=_kinds),
        f"GAT, 4 heads, {_kinds}": KindPlan(layer="GAT", heads=4, kinds=_kinds),
        f"GAT, 8 heads, {_kinds}": KindPlan(layer="GAT", heads=8, kinds=_kinds),
        f"MLP, GAT, 4 heads, {_kinds}": KindPlan(layer="GAT", heads=4, before=True, kinds=_kinds),
        f"GATv2, 1 head, {_kinds}": KindPlan(layer="GATv2", kinds=_kinds),
        f"GATv2, W = U, {_kinds}": KindPlan(layer="GATv2-shared", kinds=_kinds),
    }
"""In chapters 10 and 11, which layers find the witnesses who are reliable for a node of each of so
many kinds."""


DICTIONARY: dict[str, Plan] = {}
for _keys in (10, 20):
    DICTIONARY |= {
        f"GAT, 1 head, {_keys} keys": DictionaryPlan(layer="GAT", heads=1, keys=_keys),
        f"GAT, 8 heads, {_keys} keys": DictionaryPlan(layer="GAT", heads=8, keys=_keys),
        f"GATv2, 1 head, {_keys} keys": DictionaryPlan(layer="GATv2", heads=1, keys=_keys),
        f"GATv2, W = U, {_keys} keys": DictionaryPlan(layer="GATv2-shared", heads=1, keys=_keys),
        f"dot, 1 head, {_keys} keys": DictionaryPlan(layer="dot", heads=1, keys=_keys),
        f"mean, 1 head, {_keys} keys": DictionaryPlan(layer="mean", heads=1, keys=_keys),
    }
"""In chapter 11, which layers can look up values as a dictionary does."""


GRAPH_TRANSFORMERS = {
    "itself": GraphTransformerPlan(reach="itself"),
    "itself, encodings": GraphTransformerPlan(reach="itself", encodings=16),
    "neighbours": GraphTransformerPlan(reach="neighbours"),
    "all pairs": GraphTransformerPlan(reach="all pairs"),
    "all pairs, encodings": GraphTransformerPlan(reach="all pairs", encodings=16),
    "all pairs, distances": GraphTransformerPlan(reach="all pairs", distances=9),
}
"""In chapter 11, where the edges enter a transformer; "itself" is an MLP."""


PUBLISHED: dict[str, Plan] = {
    "cora-gat": GATPlan(data="cora"),
    "citeseer-gat": GATPlan(data="citeseer"),
    "pubmed-gat": GATPlan(data="pubmed", heads_out=8, lr=0.01, weight_decay=1e-3),
    "cora-equal-gat": GATPlan(data="cora", equal=True),
    "cora-gcn": GCNPlan(data="cora"),
    "citeseer-gcn": GCNPlan(data="citeseer"),
    "pubmed-gcn": GCNPlan(data="pubmed"),
}
"""The page of results, following Velickovic et al. (2018) and Kipf and Welling (2017). In
"cora-equal-gat" the weights are equal."""


_GAT = LadderPlan(data="cora")


_RUNGS: dict[str, dict[str, Any]] = {
    "paper": {},
    "+ dropout of the values": {"dropout_of_values": True},
    "+ dropout per head": {"dropout_of_values": True, "dropout_per_head": True},
    "+ biases": {"dropout_of_values": True, "dropout_per_head": True, "biases": True},
    "code": {
        "dropout_of_values": True,
        "dropout_per_head": True,
        "biases": True,
        "wider_start": True,
    },
}


LADDERS: dict[str, dict[str, Plan]] = {
    f"{plan.data}-ladder": {name: replace(plan, **options) for name, options in _RUNGS.items()}
    for plan in (
        _GAT,
        replace(_GAT, data="citeseer"),
        replace(_GAT, data="pubmed", heads_out=8, lr=0.01, weight_decay=1e-3),
    )
}
"""On the page of results, from the layer of the GAT paper to that of its authors' code. Each model
has one difference more than the one before it."""


MINESWEEPER: dict[str, Plan] = {
    "GCN": MinePlan(layer="GCN"),
    "SAGE": MinePlan(layer="SAGE"),
    "GAT": MinePlan(layer="GAT", shown=8),
    "GAT, equal weights": MinePlan(layer="GAT", equal=True),
    "GATv2": MinePlan(layer="GATv2"),
    "GAT-sep": MinePlan(layer="GAT-sep"),
    "GCN, one board": MinePlan(layer="GCN", board="shared"),
    "GAT, one board": MinePlan(layer="GAT", board="shared"),
}
"""On the page of results, which layers find the mines, on a board for each run or on one for
all."""


def _translation(models: Mapping[str, Plan]) -> Protocol:
    return Protocol(
        models,
        data="sentences of a small grammar, with relative clauses",
        measure="fraction of sentences translated without an error by greedy decoding, for each "
        "number of clauses",
    )


def _spelling(models: Mapping[str, Plan]) -> Protocol:
    return Protocol(
        models,
        data="words of the CMU Pronouncing Dictionary, split by a hash of the word",
        measure="word error rate and phoneme error rate of greedy decoding, then the word error "
        "rate for each length, of up to 4, 5, ..., 11, and 12 or more letters",
    )


def _nodes(models: Mapping[str, Plan]) -> Protocol:
    return Protocol(
        models,
        data="scipy_api, 20 labels per class drawn with the seed, all other nodes for the test",
        measure="accuracy on the test set, on the training set",
    )


def _questions(models: Mapping[str, Plan]) -> Protocol:
    return Protocol(
        models,
        data="graphs of the atlas, and larger random ones",
        measure="mean absolute error, or accuracy, on unseen graphs of the atlas, on larger ones",
    )


ROWS: dict[str, Protocol] = {
    "lengths": _translation(LENGTHS),
    "longer": _translation(LONGER),
    "similarities": _translation(SIMILARITIES),
    "transformers": _translation(TRANSFORMERS),
    "alignment": _translation(ALIGNMENT),
    "norms": _translation(NORMS),
    "roles": Protocol(
        ROLES,
        data="sentences of a small grammar, with relative clauses",
        measure="fraction of subjects named correctly, of objects",
    ),
    "parts": Protocol(
        PARTS,
        data="sentences of a small grammar, without relative clauses",
        measure="fraction of words predicted correctly under teacher forcing, of whole sentences",
    ),
    "spelling": _spelling(SPELLING),
    "spelling-longer": _spelling(SPELLING_LONGER),
    "pronounced": _spelling(PRONOUNCED),
    "nodes": _nodes(NODES),
    "depths": _nodes(DEPTHS),
    "readouts": _questions(READOUTS),
    "triangles": _questions(TRIANGLES),
    "relay": Protocol(
        RELAYS,
        data="paths whose first node has a token",
        measure="fraction of paths whose last node predicts the token, for each test length",
    ),
    "puzzles": Protocol(
        PUZZLES,
        data="puzzles about facts that form a graph",
        measure="fraction of puzzles solved, then, if there are several sizes, that of each",
    ),
    "attention": _nodes(ATTENTION),
    "witnesses": Protocol(
        WITNESS,
        data="witnesses who saw an event, and others who guess",
        measure="accuracy on the target nodes",
    ),
    "kinds": Protocol(
        KINDS,
        data="target nodes of several kinds, and witnesses who are reliable for one kind each",
        measure="accuracy on the target nodes",
    ),
    "dictionary": Protocol(
        DICTIONARY,
        data="dictionaries from keys to values, drawn afresh",
        measure="accuracy on the queries of the test set",
    ),
    "minesweeper": Protocol(
        MINESWEEPER,
        data="boards of 100 x 100 cells, a fifth of them mines, half of them hidden",
        measure="ROC AUC on the test set, on the validation set",
    ),
    "graph-transformers": _nodes(GRAPH_TRANSFORMERS),
    **{
        row: Protocol(
            {plan.__class__.__name__.removesuffix("Plan"): plan},
            data=f"{row.split('-')[0]}, the Planetoid split, rows of features sum to 1",
            measure="accuracy on the test set, on the validation set",
        )
        for row, plan in PUBLISHED.items()
    },
    **{
        row: Protocol(
            models,
            data=f"{row.split('-')[0]}, the Planetoid split, rows of features sum to 1",
            measure="accuracy on the test set with early stopping by the validation loss and "
            "accuracy, by the loss alone, by the accuracy alone",
        )
        for row, models in LADDERS.items()
    },
}
"""Row of the command -> its protocol."""


def run(row: str, model: str, seed: int, steps: int | None = None) -> dict[str, Any]:
    """Train one model of a row with one seed, and return its scores and its cost.

    Args:
        row: A key of :data:`ROWS`.
        model: One of the row's models.
        seed: Seed of the initial parameters and of the training data.
        steps: Number of steps in place of the protocol's, for a quick trial.

    Raises:
        ValueError: If there is no such row or model.
    """
    expect(row in ROWS, "row", f"one of {', '.join(ROWS)}", repr(row))
    models = ROWS[row].models
    expect(model in models, "model", f"one of {', '.join(models)}", repr(model))
    plan = models[model] if steps is None else replace(models[model], steps=steps)
    start = time.process_time()
    found = {
        name: _rounded(value, _DECIMALS.get(name, 4)) for name, value in plan.run(seed).items()
    }
    took = round(time.process_time() - start)
    return {"model": model, "seed": seed, **found, "cpu_seconds": took}


_DECIMALS = {"weights": 6}  # of each stored field, where not four


def _rounded(value: Any, decimals: int) -> Any:
    """Return a number or a nested list with each float rounded."""
    if isinstance(value, list):
        return [_rounded(part, decimals) for part in value]
    return round(value, decimals) if isinstance(value, float) else value
