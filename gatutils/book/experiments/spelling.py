"""Chapters 1, 2 and 5: encoder-decoder models that learn how written words are pronounced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gatutils.book.experiments.encoder_decoder import (
    EncoderDecoderPlan,
    Seq2SeqSizes,
    TransformerSizes,
)
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
from gatutils.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class SpellingPlan(EncoderDecoderPlan):
    """A model that pronounces English words, letter by letter into phonemes.

    Its scores are the word error rate and the phoneme error rate on all words of the test split,
    then the word error rate for each length; see
    :func:`~gatutils.book.tasks.spelling.errors`. The mean training loss of the last 50 steps and
    the number of parameters are stored too.
    """

    steps: int = 1500
    lr: float = 3e-3

    def run(self, seed: int) -> dict[str, Any]:
        """Train on batches drawn with the seed, and pronounce the test split."""
        model, losses = self.trained(batches(self.batch_size, seed), seed)
        found = spelling_errors(model, spellings("test"))
        last = losses[-50:]
        return {
            "scores": [found.words, found.phonemes, *found.by_length],
            "loss": sum(last) / len(last),
            "parameters": sum(p.numel() for p in model.parameters()),
        }


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
