"""Chapters 1, 2 and 5: encoder-decoder models that learn how written words are pronounced."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gatutils.book.experiments.plan import Plan
from gatutils.book.experiments.sizes import Seq2SeqSizes, TransformerSizes
from gatutils.book.experiments.translation import translation_loss
from gatutils.book.tasks.spelling import (
    LETTERS,
    PHONEMES,
    Spelling,
    SpellingErrors,
    batches,
    errors,
    spellings,
)
from gatutils.book.tasks.vocabulary import Batch
from gatutils.decoding import Translator, greedy
from gatutils.seq2seq import Seq2Seq
from gatutils.training import fit, seed_everything
from gatutils.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class SpellingPlan(Plan):
    """A model that pronounces English words, letter by letter into phonemes.

    Its scores are the word error rate and the phoneme error rate on all words of the test split,
    then the word error rate for each length; see
    :func:`~gatutils.book.tasks.spelling.errors`. The mean training loss of the last 50 steps and
    the number of parameters are stored too.

    Attributes:
        batch_size: Number of words in a batch.
        lr: See :func:`~gatutils.training.fit`.
        warmup: See :func:`~gatutils.training.fit`.
    """

    steps: int = 1500
    batch_size: int = 64
    lr: float = 3e-3
    warmup: float = 0.05

    @abstractmethod
    def build(self) -> Seq2Seq | Transformer:
        """Return the untrained model."""

    def run(self, seed: int) -> dict[str, Any]:
        """Train on batches drawn with the seed, and pronounce the test split."""
        seed_everything(seed)
        model, stream = self.build(), batches(self.batch_size, seed)
        losses = fit(
            model,
            stream,
            translation_loss,
            self.steps,
            lr=self.lr,
            warmup=self.warmup,
            seed=seed,
        ).loss
        model.eval()
        found = spelling_errors(model, spellings("test"))
        last = losses[-50:]
        stored: dict[str, Any] = {
            "scores": [found.words, found.phonemes, *found.by_length],
            "loss": sum(last) / len(last),
            "parameters": sum(p.numel() for p in model.parameters()),
        }
        return stored


@dataclass(frozen=True, kw_only=True)
class SpellingSeq2SeqPlan(Seq2SeqSizes, SpellingPlan):
    """A recurrent encoder-decoder model that pronounces words."""

    hidden: int = 128

    def build(self) -> Seq2Seq:
        """Return the untrained model."""
        return self.make(len(LETTERS), len(PHONEMES))


@dataclass(frozen=True, kw_only=True)
class SpellingTransformerPlan(TransformerSizes, SpellingPlan):
    """A transformer that pronounces words."""

    def build(self) -> Transformer:
        """Return the untrained model."""
        return self.make(len(LETTERS), len(PHONEMES))


def spelling_errors(model: Translator, words: Sequence[Spelling]) -> SpellingErrors:
    """Return the error rates of greedy decoding.

    Args:
        model: Anything that :func:`~gatutils.decoding.greedy` can decode.
        words: The words to pronounce.
    """

    def pronounce(batch: Batch[Spelling]) -> list[tuple[int, ...]]:
        return [h.words for h in greedy(model, batch.source, batch.source_mask, max_length=40)]

    return errors(pronounce, words)
