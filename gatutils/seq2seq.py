"""Sequence to sequence: encoder, decoder with one context vector or with attention, decoding.

The decoder is one class. What it may look at is the only difference between chapter 1
(``score=None``: the one context vector c at every step) and chapter 2 (``score=Additive(...)``
or any other :class:`~gatutils.attention.Score`: a context vector of its own at each step).
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gatutils.attention import Score, attend
from gatutils.checks import (
    expect,
    expect_int,
    expect_sentences,
    expect_targets,
    expect_tensor,
    softmax_dtype,
)

__all__ = [
    "Decoder",
    "Encoder",
    "Hypothesis",
    "Memory",
    "Seq2Seq",
    "Translator",
    "beam_search",
    "greedy",
    "sequence_loss",
]


class Encoder(nn.Module):
    """A bidirectional GRU over padded, masked batches.

    State :math:`h_j` is the forward state after word j beside the backward state before it,
    so each one knows its whole sentence but its own surroundings best.

    Args:
        vocabulary: Number of source words.
        embedding: Width of a word vector.
        hidden: Width of each direction; states are twice as wide.

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
        """Read the sentences.

        Args:
            source: Word numbers; what stands in the padding does not matter.
            mask: True at the words, False at the padding behind them.

        Returns:
            The states h, zeros in the padding, and the context c, which is the last forward
            state beside the last backward state (that of the first word).

        Raises:
            TypeError: If a dtype is wrong.
            ValueError: If shapes differ, there is no sentence, or one is empty, has padding
                before its end, or holds a number that is no word.
        """
        expect_sentences(source, mask, self.embed.num_embeddings)
        lengths = mask.sum(dim=1)
        words = self.embed(source.masked_fill(~mask, 0))  # (batch, source, embedding)
        packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.gru(packed)
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        # Contiguous: every step of a decoder multiplies with them.
        return states.contiguous(), torch.cat([last[0], last[1]], dim=-1)


@dataclass(frozen=True)
class Memory:
    """What a decoder may look at, computed once for a sentence.

    Attributes:
        states: h, the values.
        prepared: What the score computes from the keys alone; None without attention.
        mask: True at real words.
        context: c, the one context vector; None where no decoder wants it (a transformer's).
    """

    states: Float[Tensor, "batch source width"]
    prepared: Tensor | None
    mask: Bool[Tensor, "batch source"]
    context: Float[Tensor, "batch width"] | None

    def take(self, rows: Int[Tensor, " rows"]) -> "Memory":
        """Return the memory of the chosen sentences, in that order."""
        prepared = None if self.prepared is None else self.prepared[rows]
        context = None if self.context is None else self.context[rows]
        return Memory(self.states[rows], prepared, self.mask[rows], context)


class Decoder(nn.Module):
    r"""A GRU that writes one word at a time and may look at the source in between.

    With ``score=None`` every step sees the same context vector c. With a score, step i asks
    with its state and gets a context vector :math:`c_i` of its own.

    Two layouts are in print. They differ in when the decoder looks:

    * ``"before"`` the cell (Bahdanau et al. 2015): the old state :math:`s_{i-1}` asks, and the
      cell reads the word and the answer,
      :math:`s_i = \mathrm{GRU}([y_{i-1} \| c_i], s_{i-1})`.
    * ``"after"`` the cell (Luong et al. 2015, without input feeding): the cell reads the word,
      :math:`s_i = \mathrm{GRU}(y_{i-1}, s_{i-1})`, and the new state asks. The cell never sees
      an answer, so all steps of a known sentence can ask at once.

    In both, the next word is here read off :math:`[s_i \| c_i]` by one linear layer. (The papers
    put a hidden layer in between, and Bahdanau's reads :math:`y_{i-1}` as well.)

    Args:
        vocabulary: Number of target words.
        embedding: Width of a word vector.
        hidden: Width of the state s.
        width: Width of the encoder's states h.
        score: How a state asks; None for chapter 1's decoder.
        layout: When it asks.

    Raises:
        TypeError: If ``score`` is no :class:`~gatutils.attention.Score`.
        ValueError: If ``layout`` is neither, or the widths of ``score`` do not fit.
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
        self.read_off = nn.Linear(hidden + width, vocabulary)
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

    def look(
        self, queries: Float[Tensor, "batch steps hidden"], memory: Memory
    ) -> tuple[Float[Tensor, "batch steps width"], Float[Tensor, "batch steps source"] | None]:
        """Return the context for each state that asks, and the weights (None without score)."""
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
        """Read the last word, write the next: return its logits, the new state, the weights."""
        state, context, weights = self._move(self.embed(words), state, memory)
        logits = self.read_off(torch.cat([state, context], dim=-1))
        return logits, state, weights

    def _move(
        self, word: Tensor, state: Tensor, memory: Memory
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Take one step without reading off the next word."""
        if self.layout == "after":
            state = self.cell(word, state)
        context, weights = self.look(state.unsqueeze(1), memory)
        context = context.squeeze(1)
        if self.layout == "before":
            state = self.cell(torch.cat([word, context], dim=-1), state)
        return state, context, None if weights is None else weights.squeeze(1)

    def forward(
        self, words: Int[Tensor, "batch target"], memory: Memory, state: Float[Tensor, "batch h"]
    ) -> tuple[
        Float[Tensor, "batch target vocabulary"], Float[Tensor, "batch target source"] | None
    ]:
        """Teacher forcing: at every step the right last word is given, whatever was written."""
        states, contexts, looks = [], [], []
        for word in self.embed(words).unbind(dim=1):
            if self.layout == "before":
                state, context, weights = self._move(word, state, memory)
                contexts.append(context)
                looks.append(weights)
            else:
                state = self.cell(word, state)
            states.append(state)
        s = torch.stack(states, dim=1)  # (batch, target, hidden)
        if self.layout == "after":  # the cell waited for no answer: all states ask at once
            c, alpha = self.look(s, memory)
        else:
            c = torch.stack(contexts, dim=1)
            alpha = None if self.score is None else torch.stack(cast(list[Tensor], looks), dim=1)
        return self.read_off(torch.cat([s, c], dim=-1)), alpha


class Seq2Seq(nn.Module):
    """Encoder and decoder together.

    Args:
        source_vocabulary: Number of source words.
        target_vocabulary: Number of target words.
        embedding: Width of the word vectors.
        hidden: Width of the decoder's state and of each direction of the encoder.
        score: How the decoder asks; None for the one context vector.
        layout: When it asks; see :class:`Decoder`.
        direction: Width of each direction of the encoder, if another. With half of ``hidden``
            the encoder's states are as wide as the decoder's, and can be compared by a product.
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
        """Read the source; return what the decoder may look at, and its first state."""
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
        """Return the logits of every next word, and the weights (None without attention).

        Raises:
            TypeError: If a dtype is wrong.
            ValueError: If shapes do not fit, or a sentence is empty.
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
    """Return the mean cross-entropy (in nats) over all words that are not padding.

    Raises:
        TypeError: If ``target_out`` holds no whole numbers.
        ValueError: If shapes do not fit, or everything is padding.
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


@dataclass(frozen=True)
class Hypothesis:
    """One translation.

    Attributes:
        words: Target word numbers, without the start and end marks.
        log_probability: Sum of the log-probabilities of the words and of the end mark.
        weights: What each word looked at (words and, if it was reached, the end mark, by
            source words); None without attention.
        finished: Whether the end mark was reached within ``max_length``.
    """

    words: tuple[int, ...]
    log_probability: float
    weights: Float[Tensor, "target source"] | None
    finished: bool


@runtime_checkable
class Translator(Protocol):
    """What can be decoded: :class:`Seq2Seq` or any other model of this form.

    The state that ``begin`` returns is handed to ``decoder.step`` and comes back changed; one
    row of it belongs to one sentence. ``decoder.embed`` knows the number of words.
    """

    @property
    def decoder(self) -> Any:
        """Has ``step(words, state, memory)``, as :meth:`Decoder.step`."""

    def begin(self, source: Tensor, mask: Tensor) -> tuple[Memory, Tensor]:
        """Read the source; return what the decoder may look at, and its first state."""


@torch.no_grad()
def greedy(
    model: Translator,
    source: Int[Tensor, "batch source"],
    mask: Bool[Tensor, "batch source"],
    bos: int = 1,
    eos: int = 2,
    max_length: int = 80,
) -> list[Hypothesis]:
    """Translate by taking the likeliest next word until the end mark.

    Args:
        model: Seq2Seq, transformer, or any other :class:`Translator`.
        source: Source word numbers.
        mask: True at real words.
        bos: Number of the start mark.
        eos: Number of the end mark.
        max_length: Most steps to take.

    Returns:
        One hypothesis a sentence.
    """
    _expect_decoding(model, bos, eos, max_length)
    memory, state = model.begin(source, mask)
    words = source.new_full((len(source),), bos)
    done = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    columns, gains, looks = [], [], []
    for _ in range(max_length):
        logits, state, weights = model.decoder.step(words, state, memory)
        gain, words = logits.log_softmax(dim=-1, dtype=softmax_dtype(logits)).max(dim=-1)
        columns.append(words)
        gains.append(gain.masked_fill(done, 0))
        looks.append(weights)
        done |= words == eos
        if done.all():
            break
    rows = torch.stack(columns, dim=1).tolist()
    total = torch.stack(gains, dim=1).sum(dim=1).tolist()
    table = None if looks[0] is None else torch.stack(cast(list[Tensor], looks), dim=1)
    hypotheses = []
    for row, (ids, log_probability) in enumerate(zip(rows, total, strict=True)):
        length = ids.index(eos) if eos in ids else len(ids)
        seen = None if table is None else table[row, : length + 1, : int(mask[row].sum())]
        hypotheses.append(Hypothesis(tuple(ids[:length]), log_probability, seen, eos in ids))
    return hypotheses


@torch.no_grad()
def beam_search(
    model: Translator,
    source: Int[Tensor, "batch source"],
    mask: Bool[Tensor, "batch source"],
    width: int = 4,
    bos: int = 1,
    eos: int = 2,
    max_length: int = 80,
) -> list[list[Hypothesis]]:
    """Translate by keeping the ``width`` likeliest beginnings at every step.

    A finished hypothesis leaves the beam and keeps its place among the best; the search of a
    sentence ends when no open one can overtake them (log-probabilities only fall). Scores are
    plain sums of log-probabilities: nothing is divided by the length.

    Args:
        model: As for :func:`greedy`.
        source: Source word numbers.
        mask: True at real words.
        width: How many beginnings to keep; 1 is greedy decoding.
        bos: Number of the start mark.
        eos: Number of the end mark.
        max_length: Most steps to take.

    Returns:
        For each sentence up to ``width`` hypotheses, the likeliest first.

    Source:
        Sutskever et al. (2014), section 3.2.
    """
    expect_int(width, "width", least=1)
    _expect_decoding(model, bos, eos, max_length)
    memory, first = model.begin(source, mask)
    results = []
    for row in range(len(source)):
        one = torch.tensor([row], device=source.device)
        here, state = memory.take(one), first[one]
        length = int(mask[row].sum())
        beam = [Hypothesis((), 0.0, None, False)]
        best: list[Hypothesis] = []
        for _ in range(max_length):
            last = [h.words[-1] if h.words else bos for h in beam]
            wide = here.take(source.new_zeros(len(beam)))
            logits, state, weights = model.decoder.step(source.new_tensor(last), state, wide)
            totals = logits.log_softmax(dim=-1, dtype=softmax_dtype(logits)).double()
            totals += totals.new_tensor([h.log_probability for h in beam]).unsqueeze(1)
            top, where = totals.flatten().topk(min(width, totals.numel()))
            grown, parents = [], []
            for total, place in zip(top.tolist(), where.tolist(), strict=True):
                parent, word = divmod(place, totals.shape[1])
                old = beam[parent]
                seen = None
                if weights is not None:
                    new = weights[parent : parent + 1, :length]
                    seen = new if old.weights is None else torch.cat([old.weights, new])
                if word == eos:
                    best.append(Hypothesis(old.words, total, seen, True))
                else:
                    grown.append(Hypothesis((*old.words, word), total, seen, False))
                    parents.append(parent)
            best = sorted(best, key=lambda h: -h.log_probability)[:width]
            beam = grown
            full = len(best) == width
            if not beam or (full and best[-1].log_probability >= beam[0].log_probability):
                break
            state = state[parents]
        # Where no end mark was reached, the best of what is still open has to do.
        results.append(best or beam)
    return results


def _expect_decoding(model: Translator, bos: int, eos: int, max_length: int) -> None:
    """Raise unless the marks are words of the model and there is a step to take."""
    expect_int(max_length, "max_length", least=1)
    vocabulary = model.decoder.embed.num_embeddings
    for name, mark in (("bos", bos), ("eos", eos)):
        expect_int(mark, name, least=0)
        expect(mark < vocabulary, name, f"a word below {vocabulary}", mark)
