"""Chapter 4: self-attention names the subject and the object of each verb."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gatutils.attention import MultiHeadAttention
from gatutils.book.experiments.plan import Plan
from gatutils.book.experiments.translation import SentenceSample
from gatutils.book.tasks.sentences import (
    ENGLISH,
    NOUNS,
    Batch,
    Pair,
    batches,
    collate,
    sample_pairs,
    verb_roles,
)
from gatutils.training import fit, seed_everything
from gatutils.transformer import sinusoidal_encoding

_NOUN_ID = {noun: k for k, noun in enumerate(NOUNS)}


class WhoToWhom(nn.Module):
    """Names a subject and an object at every position, after layers of self-attention.

    Args:
        vocabulary: Number of tokens.
        positions: Whether positional encodings are added to the word vectors.
        dim: Width of the word vectors.
        heads: Number of attention heads of each layer.
        layers: Number of layers; each adds its output to what it received.
    """

    def __init__(
        self,
        vocabulary: int,
        positions: bool = True,
        dim: int = 64,
        heads: int = 4,
        layers: int = 1,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, dim)
        self.self_attn = nn.ModuleList(MultiHeadAttention(dim, heads) for _ in range(layers))
        self.name = nn.Linear(dim, 2 * len(NOUNS))
        self.positions = positions

    def forward(
        self, words: Int[Tensor, "batch words"], mask: Bool[Tensor, "batch words"]
    ) -> tuple[Float[Tensor, "batch words 2 nouns"], Float[Tensor, "batch heads words words"]]:
        """Return the logits of subject and object, and the attention weights of the last layer.

        Args:
            words: Token indices, shape (batch, words).
            mask: True where a word is real, shape (batch, words).
        """
        x = self.embed(words)
        if self.positions:
            x = x + sinusoidal_encoding(words.shape[1], x.shape[-1])
        for layer in self.self_attn:
            found, weights = layer(x, x, mask[:, None])
            x = x + found
        return self.name(x).unflatten(-1, (2, -1)), weights


def questions(batch: Batch[Pair]) -> tuple[tuple[Tensor, Tensor], Int[Tensor, "verbs 2"]]:
    """Return the row and the position of every verb, and the subject and the object to name."""
    where, answers = [], []
    for row, pair in enumerate(batch.pairs):
        for verb, roles in verb_roles(pair.english).items():
            where.append((row, verb))
            answers.append([_NOUN_ID[pair.english[noun]] for noun in roles])
    rows, verbs = torch.tensor(where).T
    return (rows, verbs), torch.tensor(answers)


def naming_loss(model: nn.Module, batch: Batch[Pair]) -> Tensor:
    """Return the cross-entropy of the subjects and objects of a batch."""
    logits, _ = model(batch.source, batch.source_mask)
    where, answers = questions(batch)
    return nn.functional.cross_entropy(logits[where].flatten(0, 1), answers.flatten())


@torch.no_grad()
def named_correctly(model: nn.Module, pairs: Sequence[Pair]) -> list[float]:
    """Return the fractions of subjects and of objects that are named correctly."""
    batch = collate(pairs)
    logits, _ = model(batch.source, batch.source_mask)
    where, answers = questions(batch)
    subject, obj = (logits[where].argmax(dim=-1) == answers).float().mean(dim=0).tolist()
    return [subject, obj]


@dataclass(frozen=True, kw_only=True)
class RolesPlan(Plan):
    """A model that names who did it to whom, in sentences with up to two relative clauses.

    Its scores are the fractions of subjects and of objects that are named correctly in the test
    sentences. The number of parameters is stored too.

    Attributes:
        dim: See :class:`WhoToWhom`.
        heads: See :class:`WhoToWhom`.
        layers: See :class:`WhoToWhom`.
        batch_size: Number of sentences in a batch.
        lr: See :func:`~gatutils.training.fit`.
        clauses: The numbers of relative clauses in the training sentences.
        test: The test set; ``count`` sentences for each number of clauses.
    """

    steps: int = 500
    dim: int = 64
    heads: int = 4
    layers: int = 1
    batch_size: int = 64
    lr: float = 5e-3
    clauses: tuple[int, ...] = (0, 1, 2)
    test: SentenceSample = field(
        default_factory=lambda: SentenceSample(clauses=(1, 2), count=300, seed=3)
    )

    def run(self, seed: int) -> dict[str, Any]:
        """Train on batches drawn with the seed, and name the roles in the test set."""
        seed_everything(seed)
        model = WhoToWhom(len(ENGLISH), dim=self.dim, heads=self.heads, layers=self.layers)
        stream = batches(self.batch_size, clauses=self.clauses, seed=seed)
        fit(model, stream, naming_loss, self.steps, lr=self.lr, seed=seed)
        drawn = asdict(self.test)
        pairs = [
            pair
            for clauses in drawn.pop("clauses")
            for pair in sample_pairs(clauses=clauses, **drawn)
        ]
        return {
            "scores": named_correctly(model.eval(), pairs),
            "parameters": sum(p.numel() for p in model.parameters()),
        }
