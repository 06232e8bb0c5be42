"""The sizes of the encoder-decoder models, whatever they are trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gatutils.attention import Additive, Cosine, Dot, General, ScaledDot, Score
from gatutils.seq2seq import Seq2Seq
from gatutils.transformer import Norm, Transformer


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
