"""Models on the page of results: experiments that others published."""

from typing import Any

from gatutils.book.experiments.ladder import LadderPlan
from gatutils.book.experiments.minesweeper import MinePlan
from gatutils.book.experiments.plan import Plan
from gatutils.book.experiments.published import GATPlan, GCNPlan

_PUBMED: dict[str, Any] = {"data": "pubmed", "heads_out": 8, "lr": 0.01, "weight_decay": 1e-3}

PUBLISHED: dict[str, Plan] = {
    "cora-gat": GATPlan(data="cora"),
    "citeseer-gat": GATPlan(data="citeseer"),
    "pubmed-gat": GATPlan(**_PUBMED),
    "cora-equal-gat": GATPlan(data="cora", equal=True),
    "cora-gcn": GCNPlan(data="cora"),
    "citeseer-gcn": GCNPlan(data="citeseer"),
    "pubmed-gcn": GCNPlan(data="pubmed"),
}
"""The page of results, following Velickovic et al. (2018) and Kipf and Welling (2017). In
"cora-equal-gat" the weights are equal."""


_RUNGS: dict[str, dict[str, bool]] = {
    "+ dropout of the values": {"dropout_of_values": True},
    "+ dropout per head": {"dropout_per_head": True},
    "+ biases": {"score_biases": True, "head_biases": True},
    "code": {"wider_start": True},
}


def _ladder(**settings: Any) -> dict[str, Plan]:
    """Return the plans from the paper to the code; each has one difference more than the last."""
    plans: dict[str, Plan] = {"paper": LadderPlan(**settings)}
    for rung, difference in _RUNGS.items():
        settings = settings | difference
        plans[rung] = LadderPlan(**settings)
    return plans


LADDERS: dict[str, dict[str, Plan]] = {
    "cora-ladder": _ladder(data="cora"),
    "citeseer-ladder": _ladder(data="citeseer"),
    "pubmed-ladder": _ladder(**_PUBMED),
}
"""On the page of results, from the layer of the GAT paper to that of its authors' code. What
distinguishes them are options of the plan."""


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
