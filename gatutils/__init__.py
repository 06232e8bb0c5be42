"""gatutils: one function, from a Python ``dict`` to a graph attention layer.

Each module is the home of one thing, and imports only those named before it:

``checks``
    One way to refuse bad input.
``attention``
    score -> mask -> softmax -> weighted sum of values, the ways to score, and heads.
``seq2seq``
    Encoder, decoder with one context vector or with attention, decoding.
``transformer``
    Attention alone: places, blocks, encoder and decoder.
``csr``
    Where a sparse matrix has entries, row by row.
``graph``
    One type for every graph: a mask, written as a list of edges.
``sparse``
    Products with matrices that are mostly zeros, differentiable to any order.
``gnn``
    Message passing: aggregate, combine, read out; graph attention.
``datasets``
    What the chapters train on.
``planetoid``
    Cora, Citeseer and Pubmed, from files whose checksums hold.
``training``
    One fit loop for every model of the book.
``experiments``
    What the graph chapters train, one function an experiment.
``viz``
    The figures, with one colour per role.
``interop``
    Layers to PyTorch Geometric and back.
``results``
    What the book stores of its longer runs, read by name.
``reproduce``
    The longer runs whose results the book stores.
"""

__version__ = "0.1.0"
