"""Decoding: greedy, and beam search, for every encoder-decoder model."""

from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatutils._checks import (
    expect,
    expect_int,
    softmax_dtype,
)
from gatutils.seq2seq import Memory

__all__ = ["Hypothesis", "Translator", "beam_search", "greedy"]


@dataclass(frozen=True)
class Hypothesis:
    """One translation.

    Attributes:
        words: Target token indices, without the start and end tokens.
        log_probability: Sum of the log-probabilities of the tokens and of the end token.
        weights: The attention weights, one row per generated token (including the end token, if
            it was reached), one column per source token; None without attention.
        finished: Whether the end token was reached within ``max_length``.
    """

    words: tuple[int, ...]
    log_probability: float
    weights: Float[Tensor, "target source"] | None
    finished: bool


@runtime_checkable
class Translator(Protocol):
    """What can be decoded: :class:`~gatutils.seq2seq.Seq2Seq` or any other model of this form.

    ``begin`` returns the first state, and ``decoder.step`` takes a state and returns the next one.
    A state has one row per sentence. The vocabulary size is ``decoder.embed.num_embeddings``.
    """

    @property
    def decoder(self) -> Any:
        """The decoder, with a method like :meth:`gatutils.seq2seq.Decoder.step`."""

    def begin(self, source: Tensor, mask: Tensor) -> tuple[Memory, Tensor]:
        """Encode the source; return what the decoder attends to, and its first state."""


@torch.no_grad()
def greedy(
    model: Translator,
    source: Int[Tensor, "batch source"],
    mask: Bool[Tensor, "batch source"],
    bos: int = 1,
    eos: int = 2,
    max_length: int = 80,
) -> list[Hypothesis]:
    """Translate by choosing the most probable next token until the end token is reached.

    Args:
        model: Seq2Seq, transformer, or any other :class:`Translator`.
        source: Source token indices, shape (batch, source).
        mask: True at tokens, False at padding.
        bos: Index of the start token.
        eos: Index of the end token.
        max_length: Maximum number of steps.

    Returns:
        One hypothesis per sentence.
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
    """Translate by extending the most probable partial translations at every step.

    Of all one-token extensions the ``width`` most probable are kept. One that ends leaves the beam
    and competes for a place among the ``width`` best finished ones; unfinished ones are returned
    only if none has finished within ``max_length`` steps. The
    search for a sentence ends when no unfinished hypothesis can overtake these, since a
    log-probability can only fall as tokens are added. A hypothesis is ranked by the sum of its
    log-probabilities, which is not normalised by length.

    Args:
        model: As for :func:`greedy`.
        source: Source token indices, shape (batch, source).
        mask: True at tokens, False at padding.
        width: How many partial translations to keep; 1 is greedy decoding.
        bos: Index of the start token.
        eos: Index of the end token.
        max_length: Maximum number of steps.

    Returns:
        For each sentence up to ``width`` hypotheses, the most probable first.

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
        # Without a finished hypothesis, the unfinished ones are returned.
        results.append(best or beam)
    return results


def _expect_decoding(model: Translator, bos: int, eos: int, max_length: int) -> None:
    """Raise unless the special tokens are in the vocabulary and there is at least one step."""
    expect_int(max_length, "max_length", least=1)
    vocabulary = model.decoder.embed.num_embeddings
    for name, mark in (("bos", bos), ("eos", eos)):
        expect_int(mark, name, least=0)
        expect(mark < vocabulary, name, f"a word below {vocabulary}", mark)
