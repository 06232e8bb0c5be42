"""The protocols of the stored runs: which models are trained, how, and what is measured."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gatutils._checks import expect
from gatutils.book.experiments.plan import Plan
from gatutils.book.protocols.graphs import (
    ATTENTION,
    DEPTHS,
    DICTIONARY,
    GRAPH_TRANSFORMERS,
    KINDS,
    NODES,
    PUZZLES,
    READOUTS,
    RELAYS,
    SAMPLING,
    TRIANGLES,
    WITNESS,
)
from gatutils.book.protocols.published import LADDERS, MINESWEEPER, PUBLISHED
from gatutils.book.protocols.sequences import (
    ALIGNMENT,
    BUDGET,
    DEEP,
    LENGTHS,
    LONGER,
    NORMS,
    PARTS,
    PRONOUNCED,
    ROLES,
    SIMILARITIES,
    SPELLING,
    SPELLING_LONGER,
    TRANSFORMERS,
)

__all__ = [
    "BUDGET",
    "DEEP",
    "LADDERS",
    "PUBLISHED",
    "READOUTS",
    "RELAYS",
    "ROWS",
    "SIMILARITIES",
    "SPELLING",
    "TRIANGLES",
    "Protocol",
    "run",
]


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
    "sampling": Protocol(
        SAMPLING,
        data="graphs with planted classes, 20,000 nodes of 20 neighbours, a tenth labelled",
        measure="accuracy on the test nodes, on the whole graph and on neighbours sampled as in "
        "training",
    ),
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
