"""Chapters 1, 2 and 5: encoder-decoder models that learn how written words are pronounced."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
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
    collate,
    errors,
    pronunciations,
    spellings,
)
from gatutils.book.tasks.vocabulary import Batch
from gatutils.decoding import Hypothesis, Translator, greedy
from gatutils.seq2seq import Seq2Seq
from gatutils.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class SpellingPlan(EncoderDecoderPlan):
    """A model that pronounces English words, letter by letter into phonemes.

    Its scores are the word error rate and the phoneme error rate on all words of the test split,
    then the word error rate for each length; see
    :func:`~gatutils.book.tasks.spelling.errors`. The mean training loss of the last 50 steps and
    the number of parameters are stored too.

    Attributes:
        shown: Words whose pronunciation is stored, in phonemes, and if the model attends, its
            attention weights in percent: one row per phoneme and one for the end token.
    """

    steps: int = 1500
    lr: float = 3e-3
    shown: tuple[str, ...] = ()

    def run(self, seed: int) -> dict[str, Any]:
        """Train on batches drawn with the seed, and pronounce the test split."""
        model, losses = self.trained(batches(self.batch_size, seed), seed)
        found = spelling_errors(model, spellings("test"))
        last = losses[-50:]
        stored: dict[str, Any] = {
            "scores": [found.words, found.phonemes, *found.by_length],
            "loss": sum(last) / len(last),
            "parameters": sum(p.numel() for p in model.parameters()),
        }
        if self.shown:
            hypotheses = pronounced(model, collate([pronunciations()[w] for w in self.shown]))
            stored["said"] = [" ".join(PHONEMES.decode(list(h.words))) for h in hypotheses]
            looks = [h.weights for h in hypotheses if h.weights is not None]
            if looks:
                stored["percents"] = [(100 * w).round().int().tolist() for w in looks]
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


def pronounced(model: Translator, batch: Batch[Spelling]) -> list[Hypothesis]:
    """Return what greedy decoding says for each word.

    Args:
        model: Anything that :func:`~gatutils.decoding.greedy` can decode.
        batch: The words to pronounce.
    """
    return greedy(model, batch.source, batch.source_mask, max_length=40)


def spelling_errors(model: Translator, words: Sequence[Spelling]) -> SpellingErrors:
    """Return the error rates of greedy decoding.

    Args:
        model: Anything that :func:`~gatutils.decoding.greedy` can decode.
        words: The words to pronounce.
    """

    def pronounce(batch: Batch[Spelling]) -> list[tuple[int, ...]]:
        return [h.words for h in pronounced(model, batch)]

    return errors(pronounce, words)


FAMILIAR = tuple(Path(__file__).with_name("familiar.txt").read_text(encoding="ascii").split())
"""Familiar words, of both splits, that chapter 2's figure looks up."""
