"""Encoder-decoder models, whatever they are trained on: their sizes and their training."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from gatutils.attention import Additive, Cosine, Dot, General, ScaledDot, Score
from gatutils.book.experiments.plan import Plan
from gatutils.book.tasks.vocabulary import Batch
from gatutils.seq2seq import Seq2Seq, sequence_loss
from gatutils.training import fit, seed_everything
from gatutils.transformer import Norm, Transformer


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderPlan(Plan):
    """A model that turns one sequence into another, trained by teacher forcing.

    Attributes:
        batch_size: Number of pairs in a batch.
        lr: See :func:`~gatutils.training.fit`.
        warmup: See :func:`~gatutils.training.fit`.
    """

    batch_size: int = 64
    lr: float
    warmup: float = 0.05

    @abstractmethod
    def build(self) -> Seq2Seq | Transformer:
        """Return the untrained model."""

    def trained(
        self, stream: Iterator[Batch[Any]], seed: int
    ) -> tuple[Seq2Seq | Transformer, list[float]]:
        """Return a model trained on the batches, in evaluation mode, and the loss of each step."""
        seed_everything(seed)
        model = self.build()
        losses = fit(
            model,
            stream,
            translation_loss,
            self.steps,
            lr=self.lr,
            warmup=self.warmup,
            seed=seed,
        ).loss
        return model.eval(), losses


@dataclass(frozen=True, kw_only=True)
class Seq2SeqSizes:
    """What :class:`~gatutils.seq2seq.Seq2Seq` is made from, except for the vocabularies.

    Attributes:
        embedding: See :class:`~gatutils.seq2seq.Seq2Seq`.
        hidden: See :class:`~gatutils.seq2seq.Seq2Seq`.
        direction: See :class:`~gatutils.seq2seq.Seq2Seq`.
        layout: See :class:`~gatutils.seq2seq.Seq2Seq`.
        score: Name of the attention score; None for a single vector instead of attention.
        temperature: Of the cosine score.
        learned: Whether that temperature is learned.
    """

    embedding: int = 64
    hidden: int = 96
    direction: int | None = None
    layout: Literal["before", "after"] = "before"
    score: Literal["dot", "scaled dot", "general", "additive", "cosine"] | None = None
    temperature: float = 1.0
    learned: bool = False

    def make(self, source_tokens: int, target_tokens: int) -> Seq2Seq:
        """Return the untrained model for vocabularies of these sizes."""
        keys = 2 * (self.hidden if self.direction is None else self.direction)
        scores: dict[str | None, Callable[[], Score | None]] = {
            None: lambda: None,
            "dot": Dot,
            "scaled dot": ScaledDot,
            "general": lambda: General(self.hidden, keys),
            "additive": lambda: Additive(self.hidden, keys),
            "cosine": lambda: Cosine(self.temperature, self.learned),
        }
        return Seq2Seq(
            source_tokens,
            target_tokens,
            self.embedding,
            self.hidden,
            scores[self.score](),
            self.layout,
            self.direction,
        )


@dataclass(frozen=True, kw_only=True)
class TransformerSizes:
    """What :class:`~gatutils.transformer.Transformer` is made from, except for the vocabularies.

    Attributes:
        dim: See :class:`~gatutils.transformer.Transformer`.
        heads: See :class:`~gatutils.transformer.Transformer`.
        layers: See :class:`~gatutils.transformer.Transformer`.
        hidden: See :class:`~gatutils.transformer.Transformer`.
        norm: See :class:`~gatutils.transformer.Transformer`.
    """

    dim: int = 64
    heads: int = 4
    layers: int = 2
    hidden: int = 256
    norm: Norm = "pre"

    def make(self, source_tokens: int, target_tokens: int) -> Transformer:
        """Return the untrained model for vocabularies of these sizes."""
        sizes = self.dim, self.heads, self.layers, self.hidden
        return Transformer(source_tokens, target_tokens, *sizes, self.norm)


def translation_loss(model: nn.Module, batch: Batch[Any]) -> Tensor:
    """Return the cross-entropy of the next target token under teacher forcing."""
    logits, _ = model(batch.source, batch.source_mask, batch.target_in)
    return sequence_loss(logits, batch.target_out)
