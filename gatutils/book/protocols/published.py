"""Models on the page of results: experiments that others published."""

from gatutils.book.experiments.ladder import LadderPlan
from gatutils.book.experiments.minesweeper import MinePlan
from gatutils.book.experiments.plan import Plan
from gatutils.book.experiments.published import GATPlan, GCNPlan

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


_CODE = {
    "dropout_of_values": True,
    "dropout_per_head": True,
    "biases": True,
    "wider_start": True,
}


LADDERS: dict[str, dict[str, Plan]] = {
    "citeseer-ladder": {
        "paper": LadderPlan(data="citeseer"),
        "code": LadderPlan(data="citeseer", **_CODE),
    },
}
"""On the page of results, the layer of the GAT paper and that of its authors' code. What
distinguishes them are options of the plan, so that each can be examined alone."""


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
