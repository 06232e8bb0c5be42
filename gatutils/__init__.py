"""gatutils: one function, from a Python ``dict`` to a graph attention layer.

Every public name below, except those of ``planetoid``, can be imported from ``gatutils``. Each of
these modules imports only those above it, and private ones.

``attention``
    score -> mask -> softmax -> weighted sum of values; score functions; multi-head attention.
``seq2seq``, ``decoding``
    Encoder, decoder with one context vector or with attention; greedy decoding and beam search.
``transformer``
    Positional encoding, blocks, encoder and decoder.
``sampling``
    Parts of a graph: subgraphs, neighbourhoods, and samples for mini-batches.
``graph``
    One type for every graph: a mask, stored as a list of edges.
``storage``
    Graphs on disk as memory maps; checkpoints that are written whole or not at all.
``tables``
    A graph from a CSV file of nodes and one of edges.
``sparse``
    A sparse matrix in compressed rows, for features such as bags of words.
``message_passing``
    Aggregate, combine, read out: GCNConv, SAGEConv, GINConv, GatedGraphConv.
``graph_attention``
    Attention along the edges: GAT and GATv2.
``training``
    One training loop for every model.
``planetoid``
    Cora, Citeseer and Pubmed, read from files whose checksums are verified.
``interop``
    Graphs to networkx and back, layers to PyTorch Geometric and back.

``gatutils.book`` serves the book alone (figures, tasks, experiments); nothing here imports it.
"""

from gatutils.attention import (
    Additive,
    Cosine,
    Dot,
    General,
    MultiHeadAttention,
    ScaledDot,
    Score,
    attend,
)
from gatutils.decoding import Hypothesis, Translator, beam_search, greedy
from gatutils.graph import Graph
from gatutils.graph_attention import (
    GATConv,
    GATv2Conv,
    GraphAttention,
    attend_edges,
    use_compiled_kernels,
)
from gatutils.interop import NetworkxData, from_networkx, from_pyg, to_networkx, to_pyg
from gatutils.message_passing import (
    Aggr,
    GatedGraphConv,
    GCNConv,
    GINConv,
    GraphNet,
    MessagePassing,
    Pooling,
    Readout,
    SAGEConv,
    aggregate,
    readout,
)
from gatutils.sampling import SampledBlock, Subgraph
from gatutils.seq2seq import Decoder, Encoder, Memory, Seq2Seq, sequence_loss
from gatutils.sparse import CSRMatrix
from gatutils.storage import (
    different_settings,
    graph_fingerprint,
    load_checkpoint,
    load_graph,
    load_nodes,
    save_checkpoint,
    save_graph,
    save_nodes,
    write_whole,
)
from gatutils.tables import CSVData, from_csv
from gatutils.training import (
    EarlyStopping,
    History,
    fit,
    learning_rate,
    seed_everything,
)
from gatutils.transformer import (
    Block,
    Transformer,
    TransformerDecoder,
    TransformerEncoder,
    causal_mask,
    sinusoidal_encoding,
)

__all__ = [
    "Additive",
    "Aggr",
    "Block",
    "CSRMatrix",
    "CSVData",
    "Cosine",
    "Decoder",
    "Dot",
    "EarlyStopping",
    "Encoder",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GatedGraphConv",
    "General",
    "Graph",
    "GraphAttention",
    "GraphNet",
    "History",
    "Hypothesis",
    "Memory",
    "MessagePassing",
    "MultiHeadAttention",
    "NetworkxData",
    "Pooling",
    "Readout",
    "SAGEConv",
    "SampledBlock",
    "ScaledDot",
    "Score",
    "Seq2Seq",
    "Subgraph",
    "Transformer",
    "TransformerDecoder",
    "TransformerEncoder",
    "Translator",
    "aggregate",
    "attend",
    "attend_edges",
    "beam_search",
    "causal_mask",
    "different_settings",
    "fit",
    "from_csv",
    "from_networkx",
    "from_pyg",
    "graph_fingerprint",
    "greedy",
    "learning_rate",
    "load_checkpoint",
    "load_graph",
    "load_nodes",
    "readout",
    "save_checkpoint",
    "save_graph",
    "save_nodes",
    "seed_everything",
    "sequence_loss",
    "sinusoidal_encoding",
    "to_networkx",
    "to_pyg",
    "use_compiled_kernels",
    "write_whole",
]

__version__ = "0.1.0"
