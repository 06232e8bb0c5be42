"""Models of chapters 1 to 5, and of the words to pronounce."""

from dataclasses import replace

from gatutils.book.experiments.parts import PartsPlan
from gatutils.book.experiments.plan import Plan
from gatutils.book.experiments.roles import RolesPlan
from gatutils.book.experiments.spelling import (
    FAMILIAR,
    SpellingSeq2SeqPlan,
    SpellingTransformerPlan,
)
from gatutils.book.experiments.translation import (
    AlignmentSample,
    SentenceSample,
    Seq2SeqPlan,
    TransformerPlan,
)

BUDGET = Seq2SeqPlan()
"""The budget of every model of chapters 1 and 2, except where ``LENGTHS`` departs from it."""


LENGTHS = {
    "one vector": BUDGET,
    "one vector, 3x steps": replace(BUDGET, steps=3 * BUDGET.steps),
    "one vector, 2x width": replace(BUDGET, hidden=2 * BUDGET.hidden),
    "additive": replace(BUDGET, score="additive"),
    "general": replace(BUDGET, score="general"),
    "general, after the cell": replace(BUDGET, score="general", layout="after"),
}
"""Chapters 1 and 2."""


LONGER = {"one vector, 10x steps": replace(BUDGET, steps=10 * BUDGET.steps)}
"""In chapter 1, whether the same vector holds longer sentences after more training."""


_SAME_WIDTH = replace(BUDGET, direction=BUDGET.hidden // 2, losses_every=20)


SIMILARITIES = {
    "dot": replace(_SAME_WIDTH, score="dot"),
    "scaled dot": replace(_SAME_WIDTH, score="scaled dot"),
    "general": replace(_SAME_WIDTH, score="general"),
    "additive": replace(_SAME_WIDTH, score="additive"),
    "cosine": replace(_SAME_WIDTH, score="cosine"),
    "cosine, learned": replace(_SAME_WIDTH, score="cosine", learned=True),
    "cosine, 0.1": replace(_SAME_WIDTH, score="cosine", temperature=0.1),
}
"""Chapter 3. The states of encoder and decoder have the same width, as a dot product requires."""


ROLES = {
    "one layer": RolesPlan(),
    "two layers": RolesPlan(layers=2),
    "one layer, wider": RolesPlan(dim=88),
}
"""Chapter 4. The last two have about the same number of parameters."""


_TRANSFORMER = TransformerPlan(losses_every=20)


TRANSFORMERS = {
    "one vector": replace(BUDGET, losses_every=20),
    "additive": replace(BUDGET, score="additive", losses_every=20),
    "transformer": _TRANSFORMER,
    "transformer, post-norm": replace(_TRANSFORMER, norm="post"),
    "transformer, 3x steps": replace(_TRANSFORMER, steps=3 * _TRANSFORMER.steps),
    "additive, 1000 sentences": replace(BUDGET, score="additive", sentences=1000, losses_every=20),
    "transformer, 1000 sentences": replace(_TRANSFORMER, sentences=1000),
}
"""Chapter 5."""


ALIGNMENT = {
    "additive": replace(
        BUDGET,
        score="additive",
        alignment=AlignmentSample(
            sentence="the boy helped the deer that saw the girl that bit the horse today",
            drawn_from=SentenceSample(clauses=(2,), count=3000, seed=5),
            counted_on=SentenceSample(clauses=(2,), count=200, seed=8),
        ),
    )
}
"""Chapter 2's model, and the words that it attends to."""


DEEP = TransformerPlan(
    steps=150,
    batch_size=32,
    lr=3e-3,
    warmup=0.1,
    clauses=(0,),
    test=SentenceSample(clauses=(0,)),
    losses_every=10,
    dim=32,
    layers=12,
    hidden=64,
)
"""Chapter 5's deep and narrow transformer, for sentences without a relative clause."""


NORMS = {
    "pre-norm": DEEP,
    "post-norm": replace(DEEP, norm="post"),
    "pre-norm, no warm-up": replace(DEEP, warmup=0),
    "post-norm, no warm-up": replace(DEEP, norm="post", warmup=0),
}
"""Chapter 5."""


PARTS = {
    "all parts": PartsPlan(),
    "no feed-forward": PartsPlan(without="feed-forward"),
    "no feed-forward, wider": PartsPlan(without="feed-forward", dim=40),
    "no residuals": PartsPlan(without="residuals"),
}
"""In chapter 5, what a small transformer loses with a part."""


SPELLING: dict[str, Plan] = {
    "one vector": SpellingSeq2SeqPlan(),
    "additive": SpellingSeq2SeqPlan(score="additive"),
    "scaled dot": SpellingSeq2SeqPlan(score="scaled dot", direction=64),
    "transformer": SpellingTransformerPlan(),
}
"""Chapters 1, 2 and 5, on real words. A dot product requires states of the same width."""


SPELLING_LONGER = {
    "additive": SpellingSeq2SeqPlan(
        score="additive", embedding=128, hidden=256, steps=15_000, lr=1e-3
    )
}
"""On the page of results, a wider model, trained for about ten passes over the words."""


PRONOUNCED: dict[str, Plan] = {
    "one vector": SpellingSeq2SeqPlan(shown=FAMILIAR),
    "additive": SpellingSeq2SeqPlan(shown=FAMILIAR, score="additive"),
}
"""Chapter 2's two models, and how they pronounce familiar words."""
