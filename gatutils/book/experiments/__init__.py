"""What the chapters train: one module per chapter or pair of chapters.

A chapter runs an experiment once; :mod:`gatutils.book.reproduce` runs it with several seeds and
stores the results.
"""

from gatutils.book.experiments.attention import (
    attention_entropy,
    attention_net,
    attention_weights,
    largest_to_mean,
    normalised_entropy,
)
from gatutils.book.experiments.dictionary import DotConv, Lookup, fit_lookup
from gatutils.book.experiments.graph_transformer import (
    DistanceBias,
    NodeTransformer,
    hop_distances,
    laplacian_encoding,
)
from gatutils.book.experiments.minesweeper import MineNet, fit_mines, roc_auc
from gatutils.book.experiments.nodes import (
    Deep,
    accuracy,
    fit_nodes,
    label_propagation,
    layers,
    smooth,
)
from gatutils.book.experiments.published import fit_gat, fit_gcn, gat_net, gcn_net
from gatutils.book.experiments.puzzles import (
    RelationalSAGE,
    Solver,
    TokenReader,
    fit_puzzles,
    puzzle_accuracy,
)
from gatutils.book.experiments.questions import fit_question, grade, question_net
from gatutils.book.experiments.relay import Relay, fit_relay, relay_accuracy
from gatutils.book.experiments.sampling import fit_sampled, sampled_accuracy, sampled_net
from gatutils.book.experiments.witnesses import (
    best_by_kind,
    counted,
    fit_by_kind,
    fit_witnesses,
    kind_net,
    witness_accuracy,
    witness_net,
)

__all__ = [
    "Deep",
    "DistanceBias",
    "DotConv",
    "Lookup",
    "MineNet",
    "NodeTransformer",
    "RelationalSAGE",
    "Relay",
    "Solver",
    "TokenReader",
    "accuracy",
    "attention_entropy",
    "attention_net",
    "attention_weights",
    "best_by_kind",
    "counted",
    "fit_by_kind",
    "fit_gat",
    "fit_gcn",
    "fit_lookup",
    "fit_mines",
    "fit_nodes",
    "fit_puzzles",
    "fit_question",
    "fit_relay",
    "fit_sampled",
    "fit_witnesses",
    "gat_net",
    "gcn_net",
    "grade",
    "hop_distances",
    "kind_net",
    "label_propagation",
    "laplacian_encoding",
    "largest_to_mean",
    "layers",
    "normalised_entropy",
    "puzzle_accuracy",
    "question_net",
    "relay_accuracy",
    "roc_auc",
    "sampled_accuracy",
    "sampled_net",
    "smooth",
    "witness_accuracy",
    "witness_net",
]
