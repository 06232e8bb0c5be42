"""Chapters 1 to 5: encoder-decoder models that translate."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatutils._checks import expect
from gatutils.book.experiments.encoder_decoder import (
    EncoderDecoderPlan,
    Seq2SeqSizes,
    TransformerSizes,
)
from gatutils.book.tasks.sentences import (
    ADJECTIVES,
    ENGLISH,
    KOREAN,
    NOUNS,
    PLACES,
    VERBS,
    Batch,
    Pair,
    batches,
    collate,
    sample_pairs,
    score_by_clauses,
)
from gatutils.decoding import Translator, greedy
from gatutils.seq2seq import Seq2Seq
from gatutils.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class SentenceSample:
    """How sentences are drawn; see :func:`~gatutils.book.tasks.sentences.sample_pairs`.

    Attributes:
        clauses: The numbers of relative clauses.
        count: Number of sentences, for each number of clauses if there are several.
        seed: Seed of the draw.
        split: ``"train"`` or ``"test"``.
    """

    clauses: tuple[int, ...] = tuple(range(8))
    count: int = 200
    seed: int = 1
    split: str = "test"


@dataclass(frozen=True, kw_only=True)
class AlignmentSample:
    """The sentences whose attention weights are stored or counted.

    Attributes:
        sentence: The one whose weights are stored.
        drawn_from: The sample that contains it.
        counted_on: The sample on which :func:`aligned` is computed.
    """

    sentence: str
    drawn_from: SentenceSample
    counted_on: SentenceSample


@dataclass(frozen=True, kw_only=True)
class TranslationPlan(EncoderDecoderPlan):
    """A model of chapters 1 to 5, which translates English into Korean.

    Its scores are the fractions of sentences that greedy decoding translates without a single
    error, one for each number of relative clauses. The mean training loss of the last 20 steps and
    the number of parameters are stored too.

    Attributes:
        clauses: The numbers of relative clauses in the training sentences.
        sentences: Size of a fixed training set; None for fresh sentences in each batch.
        test: The test set.
        losses_every: If given, the mean training loss of every so many steps is stored too.
        alignment: If given, the attention weights of one sentence, and the fraction of words with
            their largest weight on the word that they translate, are stored too.
    """

    steps: int = 400
    lr: float = 5e-3
    clauses: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    sentences: int | None = None
    test: SentenceSample = field(default_factory=SentenceSample)
    losses_every: int | None = None
    alignment: AlignmentSample | None = None

    def run(self, seed: int) -> dict[str, Any]:
        """Train on batches drawn with the seed, and translate the test set."""
        model, losses = self.trained(training_batches(self, seed), seed)
        found: dict[str, Any] = {
            "scores": exact_match_by_clauses(model, **asdict(self.test)),
            "loss": _mean(losses[-20:]),
            "parameters": sum(p.numel() for p in model.parameters()),
        }
        if self.alignment is not None:
            drawn = sample_pairs(**asdict(self.alignment.drawn_from))
            pair = next(p for p in drawn if " ".join(p.english) == self.alignment.sentence)
            found["weights"] = teacher_forced_weights(model, [pair])[0].tolist()
            counted = sample_pairs(**asdict(self.alignment.counted_on))
            found["aligned"] = aligned(teacher_forced_weights(model, counted), counted).tolist()
        if every := self.losses_every:
            starts = range(0, len(losses), every)
            found["losses"] = [_mean(losses[k : k + every]) for k in starts]
        return found


@dataclass(frozen=True, kw_only=True)
class Seq2SeqPlan(Seq2SeqSizes, TranslationPlan):
    """A recurrent encoder-decoder model; the defaults are the budget of chapters 1 and 2."""

    def build(self) -> Seq2Seq:
        """Return the untrained model."""
        return self.make(len(ENGLISH), len(KOREAN))


@dataclass(frozen=True, kw_only=True)
class TransformerPlan(TransformerSizes, TranslationPlan):
    """A transformer of chapter 5."""

    def build(self) -> Transformer:
        """Return the untrained model."""
        return self.make(len(ENGLISH), len(KOREAN))


def exact_match_by_clauses(
    model: Translator,
    clauses: Sequence[int] = tuple(range(8)),
    count: int = 200,
    seed: int = 1,
    split: str = "test",
) -> list[float]:
    """Return the fraction of sentences that greedy decoding translates without a single error.

    Args:
        model: Anything that :func:`~gatutils.decoding.greedy` can decode.
        clauses: The numbers of relative clauses to test; one fraction is returned for each.
        count: How many sentences are drawn for each of them.
        seed: Determines which sentences are drawn.
        split: ``"train"`` or ``"test"``.
    """

    def translate(batch: Batch[Pair]) -> list[tuple[int, ...]]:
        return [h.words for h in greedy(model, batch.source, batch.source_mask)]

    return score_by_clauses(translate, clauses, count, seed, split)


@torch.no_grad()
def teacher_forced_weights(model: nn.Module, pairs: Sequence[Pair]) -> Tensor:
    """Return the attention weights of each Korean token under teacher forcing."""
    batch = collate(pairs)
    _, weights = model(batch.source, batch.source_mask, batch.target_in)
    return cast(Tensor, weights)


def aligned(
    weights: Float[Tensor, "batch *heads target source"], pairs: Sequence[Pair]
) -> Float[Tensor, "*heads"]:
    """Return the fraction of words with their largest weight on the word that they translate.

    Only nouns, verbs, adjectives and places count. If there are several heads, each has a fraction.

    Args:
        weights: The attention weights of each Korean token over the English ones.
        pairs: The sentences, in the order of the rows.
    """
    content = {*NOUNS, *VERBS, *ADJECTIVES, *PLACES}
    heaviest = weights.argmax(dim=-1)
    own = [
        heaviest[row, ..., i] == j
        for row, pair in enumerate(pairs)
        for i, j in enumerate(pair.alignment)
        if j is not None and pair.english[j] in content
    ]
    return torch.stack(own).float().mean(dim=0)


def longest_chain(out: Tensor) -> int:
    """Return how many operations must be computed one after another to obtain ``out``.

    This is the length of the longest path in autograd's graph from ``out`` back to a leaf that
    requires a gradient. However many processors there are, these operations cannot run in
    parallel. An operation that is fused inside torch counts once, whatever it does.

    Raises:
        ValueError: If ``out`` does not require a gradient.
    """
    expect(out.grad_fn is not None, "out", "a tensor with a gradient", "one without")
    depth: dict[Any, int] = {}
    todo: list[Any] = [out.grad_fn]
    while todo:  # not recursive: a long sentence's graph exceeds Python's recursion limit
        node = todo[-1]
        below = [f for f, _ in node.next_functions if f is not None]
        missing = [f for f in below if f not in depth]
        if missing:
            todo.extend(missing)
        else:
            depth[node] = 1 + max(depth[f] for f in below) if below else 0
            todo.pop()
    return depth[out.grad_fn]


def training_batches(plan: TranslationPlan, seed: int) -> Iterator[Batch[Pair]]:
    """Return training batches without end: of fresh sentences, or sampled from a fixed few."""
    if plan.sentences is None:
        return batches(plan.batch_size, plan.clauses, seed)
    pairs = sample_pairs(plan.sentences, plan.clauses, "train", seed)
    rng = random.Random(seed)
    return (collate(rng.sample(pairs, plan.batch_size)) for _ in iter(int, 1))


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses)
