"""gatutils: one function, from a Python ``dict`` to a graph attention layer.

Each module is the home of one thing, and imports point only downwards:

``attention``
    score -> mask -> softmax -> weighted sum of values, and the ways to score.
``seq2seq``
    Encoder, decoder with one context vector or with attention, decoding.
``datasets``
    What the chapters train on.
``training``
    One fit loop for every model of the book.
``viz``
    The figures, with one colour per role.
"""

__version__ = "0.1.0"
