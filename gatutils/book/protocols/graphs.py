"""Models of chapters 7 to 12."""

from dataclasses import replace

from gatutils.book.experiments.attention import AttentionPlan
from gatutils.book.experiments.dictionary import DictionaryPlan
from gatutils.book.experiments.graph_transformer import GraphTransformerPlan
from gatutils.book.experiments.nodes import GatedNodePlan, LabelPropagationPlan, StackPlan
from gatutils.book.experiments.plan import Plan
from gatutils.book.experiments.puzzles import SolverPlan, TokenReaderPlan
from gatutils.book.experiments.questions import QuestionPlan
from gatutils.book.experiments.relay import RelayPlan
from gatutils.book.experiments.sampling import SamplingPlan
from gatutils.book.experiments.witnesses import KindPlan, WitnessPlan

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


SAMPLING = {
    "MLP": SamplingPlan(fan_out=None, edges=False),
    **{f"fan-out {k}": SamplingPlan(fan_out=k) for k in (1, 2, 5, 10)},
    "all neighbours": SamplingPlan(fan_out=-1),
    "whole graph": SamplingPlan(fan_out=None),
}
"""In chapter 12, how many neighbours a layer has to draw; "MLP" attends to no other node."""
