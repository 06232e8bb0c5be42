"""Chapters 1 to 5: encoder-decoder models that translate."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatutils.attention import Additive, Cosine, Dot, General, ScaledDot, Score
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
from gatutils.seq2seq import Seq2Seq, sequence_loss
from gatutils.transformer import Transformer


def build(plan: dict[str, Any]) -> Seq2Seq | Transformer:
    """Return the untrained model described by a budget and a model's departures from it."""
    if "heads" in plan:
        sizes = [plan[name] for name in ("dim", "heads", "layers", "think", "norm")]
        return Transformer(len(ENGLISH), len(KOREAN), *sizes)
    width = plan["hidden"]
    direction = plan.get("direction", width)
    kinds: dict[str | None, Callable[[], Score | None]] = {
        None: lambda: None,
        "dot": Dot,
        "scaled dot": ScaledDot,
        "general": lambda: General(width, 2 * direction),
        "additive": lambda: Additive(width, 2 * direction),
        "cosine": lambda: Cosine(plan.get("temperature", 1.0), plan.get("learned", False)),
    }
    return Seq2Seq(
        len(ENGLISH),
        len(KOREAN),
        plan["embedding"],
        width,
        kinds[plan.get("score")](),
        plan.get("layout", "before"),
        direction,
    )


def translation_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the cross-entropy of the next Korean token under teacher forcing."""
    logits, _ = model(batch.source, batch.source_mask, batch.target_in)
    return sequence_loss(logits, batch.target_out)


def exact_match(
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

    def translate(batch: Batch) -> list[tuple[int, ...]]:
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


def training_batches(plan: dict[str, Any], clauses: list[int], seed: int) -> Iterator[Batch]:
    """Return training batches without end: of fresh sentences, or sampled from a fixed few."""
    if "sentences" not in plan:
        return batches(plan["batch"], clauses, seed)
    pairs = sample_pairs(plan["sentences"], clauses, "train", seed)
    rng = random.Random(seed)
    return (collate(rng.sample(pairs, plan["batch"])) for _ in iter(int, 1))
