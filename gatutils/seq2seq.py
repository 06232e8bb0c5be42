"""Sequence to sequence: an encoder, and a decoder with one context vector or with attention.

The decoder is one class. What it attends to is the only difference between chapter 1
(``score=None``: the same context vector c at every step) and chapter 2 (``score=Additive(...)`` or
any other :class:`~gatutils.attention.Score`: a different context vector at each step).
:mod:`gatutils.decoding` generates translations with it.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gatutils._checks import (
    expect,
    expect_int,
    expect_sentences,
    expect_targets,
    expect_tensor,
    softmax_dtype,
)
from gatutils.attention import Score, attend

__all__ = ["Decoder", "Encoder", "Memory", "Seq2Seq", "sequence_loss"]


class Encoder(nn.Module):
    """A bidirectional GRU over padded, masked batches.

    State :math:`h_j` concatenates the forward state, which has read tokens 1 to j, and the backward
    state, which has read tokens j to n from the end, so it depends on the whole sentence.

    Args:
        vocabulary: Number of source tokens.
        embedding: Width of a token embedding.
        hidden: Width of each direction; the states are twice as wide.

    Source:
        Bahdanau et al. (2015), section 3.2.
    """

    def __init__(self, vocabulary: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, embedding)
        self.gru = nn.GRU(embedding, hidden, batch_first=True, bidirectional=True)
        self.width = 2 * hidden

    def forward(
        self, source: Int[Tensor, "batch source"], mask: Bool[Tensor, "batch source"]
    ) -> tuple[Float[Tensor, "batch source width"], Float[Tensor, "batch width"]]:
        """Encode the sentences.

        Args:
            source: Token indices, shape (batch, source); the padding may hold anything.
            mask: True at the tokens, False at the padding after them.

        Returns:
            The states h, zeros in the padding, and the context c, which concatenates the last
            forward state and the last backward state (that of the first token).

        Raises:
            TypeError: If a dtype is wrong.
            ValueError: If shapes differ, the batch is empty, or a sentence is empty, has padding
                before its end, or contains an index out of range.
        """
        expect_sentences(source, mask, self.embed.num_embeddings)
        lengths = mask.sum(dim=1)
        words = self.embed(source.masked_fill(~mask, 0))  # (batch, source, embedding)
        packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.gru(packed)
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        # Contiguous, because every step of a decoder multiplies by them.
        return states.contiguous(), torch.cat([last[0], last[1]], dim=-1)


@dataclass(frozen=True)
class Memory:
    """What a decoder attends to, computed once per sentence.

    Attributes:
        states: h, the values, shape (batch, source, width).
        prepared: What the score computes from the keys alone; None without attention.
        mask: True at tokens, False at padding.
        context: c, the single context vector; None for a transformer, which has none.
    """

    states: Float[Tensor, "batch source width"]
    prepared: Tensor | None
    mask: Bool[Tensor, "batch source"]
    context: Float[Tensor, "batch width"] | None

    def take(self, rows: Int[Tensor, " rows"]) -> "Memory":
        """Return the memory of the selected sentences, in that order."""
        prepared = None if self.prepared is None else self.prepared[rows]
        context = None if self.context is None else self.context[rows]
        return Memory(self.states[rows], prepared, self.mask[rows], context)


class Decoder(nn.Module):
    r"""A GRU that generates one token at a time and can attend to the source at each step.

    With ``score=None`` every step uses the same context vector c. With a score, the query of
    step i is a decoder state, and the step has its own context vector :math:`c_i`.

    The literature has two layouts, which differ in when the decoder attends:

    * ``"before"`` the cell (Bahdanau et al. 2015): the query is the old state :math:`s_{i-1}`, and
      the context is an input of the cell,
      :math:`s_i = \mathrm{GRU}([y_{i-1} \| c_i], s_{i-1})`.
    * ``"after"`` the cell (Luong et al. 2015, without input feeding): the cell reads only the
      previous token, :math:`s_i = \mathrm{GRU}(y_{i-1}, s_{i-1})`, and the query is the new state.
      Because no context enters the cell, all steps of a known sentence can attend at once.

    In both layouts, the output projection here is a single linear layer on
    :math:`[s_i \| c_i]`. (The papers put a hidden layer in between, and Bahdanau's also takes
    :math:`y_{i-1}` as input.)

    Args:
        vocabulary: Number of target tokens.
        embedding: Width of a token embedding.
        hidden: Width of the state s.
        width: Width of the encoder's states h.
        score: The score function; None for the decoder of chapter 1, without attention.
        layout: When the decoder attends, ``"before"`` or ``"after"`` the cell.

    Raises:
        TypeError: If ``score`` is not a :class:`~gatutils.attention.Score`.
        ValueError: If ``layout`` is neither of the two, or the widths of ``score`` do not match.
    """

    def __init__(
        self,
        vocabulary: int,
        embedding: int,
        hidden: int,
        width: int,
        score: Score | None = None,
        layout: Literal["before", "after"] = "before",
    ) -> None:
        super().__init__()
        expect(layout in ("before", "after"), "layout", "'before' or 'after'", repr(layout))
        if score is not None:
            if not isinstance(score, Score):
                raise TypeError(f"score: expected a Score or None, got {score!r}")
            wants = (score.query_dim or hidden, score.key_dim or score.query_dim or hidden)
            expect(
                wants == (hidden, width),
                "score",
                f"queries as wide as the decoder's state ({hidden}) and keys as wide as the "
                f"encoder's states ({width})",
                f"one for widths {wants}",
            )
        self.embed = nn.Embedding(vocabulary, embedding)
        self.start = nn.Linear(width, hidden)
        self.cell = nn.GRUCell(embedding + (width if layout == "before" else 0), hidden)
        self.output_proj = nn.Linear(hidden + width, vocabulary)
        self.score = score
        self.layout = layout

    def begin(
        self,
        states: Float[Tensor, "batch source width"],
        context: Float[Tensor, "batch width"],
        mask: Bool[Tensor, "batch source"],
    ) -> tuple[Memory, Float[Tensor, "batch hidden"]]:
        """Return the memory of the sentences and the first state, tanh(W c)."""
        prepared = None if self.score is None else self.score.prepare(states)
        return Memory(states, prepared, mask, context), self.start(context).tanh()

    def attend(
        self, queries: Float[Tensor, "batch steps hidden"], memory: Memory
    ) -> tuple[Float[Tensor, "batch steps width"], Float[Tensor, "batch steps source"] | None]:
        """Return the context for each query, and the weights (None without a score)."""
        if self.score is None or memory.prepared is None:
            return cast(Tensor, memory.context).unsqueeze(1).expand(-1, queries.shape[1], -1), None
        scores = self.score.compare(queries, memory.prepared)
        return attend(scores, memory.states, memory.mask.unsqueeze(1))

    def step(
        self, words: Int[Tensor, " batch"], state: Float[Tensor, "batch hidden"], memory: Memory
    ) -> tuple[
        Float[Tensor, "batch vocabulary"],
        Float[Tensor, "batch hidden"],
        Float[Tensor, "batch source"] | None,
    ]:
        """Read the previous token; return the next one's logits, the new state, the weights."""
        state, context, weights = self._move(self.embed(words), state, memory)
        logits = self.output_proj(torch.cat([state, context], dim=-1))
        return logits, state, weights

    def _move(
        self, word: Tensor, state: Tensor, memory: Memory
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Take one step without the output projection."""
        if self.layout == "after":
            state = self.cell(word, state)
        context, weights = self.attend(state.unsqueeze(1), memory)
        context = context.squeeze(1)
        if self.layout == "before":
            state = self.cell(torch.cat([word, context], dim=-1), state)
        return state, context, None if weights is None else weights.squeeze(1)

    def forward(
        self, words: Int[Tensor, "batch target"], memory: Memory, state: Float[Tensor, "batch h"]
    ) -> tuple[
        Float[Tensor, "batch target vocabulary"], Float[Tensor, "batch target source"] | None
    ]:
        """Return logits and weights under teacher forcing.

        The input of every step is the correct previous token, whatever the model would generate.
        """
        states, contexts, weights_of_steps = [], [], []
        for word in self.embed(words).unbind(dim=1):
            if self.layout == "before":
                state, context, weights = self._move(word, state, memory)
                contexts.append(context)
                if weights is not None:
                    weights_of_steps.append(weights)
            else:
                state = self.cell(word, state)
            states.append(state)
        s = torch.stack(states, dim=1)  # (batch, target, hidden)
        if self.layout == "after":  # no context enters the cell, so all states attend at once
            c, alpha = self.attend(s, memory)
        else:
            c = torch.stack(contexts, dim=1)
            alpha = torch.stack(weights_of_steps, dim=1) if weights_of_steps else None
        return self.output_proj(torch.cat([s, c], dim=-1)), alpha


class Seq2Seq(nn.Module):
    """Encoder and decoder together.

    Args:
        source_vocabulary: Number of source tokens.
        target_vocabulary: Number of target tokens.
        embedding: Width of the token embeddings.
        hidden: Width of the decoder's state and of each direction of the encoder.
        score: The score function; None for a single context vector.
        layout: When the decoder attends; see :class:`Decoder`.
        direction: Width of each direction of the encoder, by default ``hidden``. With half of
            ``hidden`` the encoder's states are as wide as the decoder's, so a dot product can
            compare them.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        embedding: int = 64,
        hidden: int = 96,
        score: Score | None = None,
        layout: Literal["before", "after"] = "before",
        direction: int | None = None,
    ) -> None:
        super().__init__()
        if direction is not None:
            expect_int(direction, "direction", least=1)
        self.encoder = Encoder(
            source_vocabulary, embedding, hidden if direction is None else direction
        )
        self.decoder = Decoder(
            target_vocabulary, embedding, hidden, self.encoder.width, score, layout
        )

    def begin(
        self, source: Int[Tensor, "batch source"], mask: Bool[Tensor, "batch source"]
    ) -> tuple[Memory, Float[Tensor, "batch hidden"]]:
        """Encode the source; return what the decoder attends to, and its first state."""
        states, context = self.encoder(source, mask)
        return self.decoder.begin(states, context, mask)

    def forward(
        self,
        source: Int[Tensor, "batch source"],
        mask: Bool[Tensor, "batch source"],
        target_in: Int[Tensor, "batch target"],
    ) -> tuple[
        Float[Tensor, "batch target vocabulary"], Float[Tensor, "batch target source"] | None
    ]:
        """Return the logits of every next token, and the weights (None without attention).

        Raises:
            TypeError: If a dtype is wrong.
            ValueError: If shapes do not match, or a sentence is empty.
        """
        expect_tensor(source, "source", "int", ndim=2, exact=True)
        expect_targets(target_in, len(source), self.decoder.embed.num_embeddings)
        memory, state = self.begin(source, mask)
        logits, weights = self.decoder(target_in, memory, state)
        return logits, weights


def sequence_loss(
    logits: Float[Tensor, "batch target vocabulary"],
    target_out: Int[Tensor, "batch target"],
    pad: int = 0,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy (in nats) over all tokens that are not padding.

    Raises:
        TypeError: If ``target_out`` is not an integer tensor.
        ValueError: If shapes do not match, or every token is padding.
    """
    expect_tensor(target_out, "target_out", "int", ndim=2, exact=True)
    expect(
        logits.shape[:2] == target_out.shape,
        "target_out",
        f"shape {tuple(logits.shape[:2])} of logits",
        tuple(target_out.shape),
    )
    expect(bool((target_out != pad).any()), "target_out", "a word that is no padding", "none")
    words = target_out.flatten().long()
    flat = logits.flatten(0, 1).to(softmax_dtype(logits))
    return nn.functional.cross_entropy(flat, words, ignore_index=pad)
