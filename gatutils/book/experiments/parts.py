"""Chapter 5: a small transformer without some of its parts."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gatutils.book.experiments.encoder_decoder import EncoderDecoderPlan, TransformerSizes
from gatutils.book.experiments.translation import SentenceSample
from gatutils.book.tasks.sentences import (
    ENGLISH,
    KOREAN,
    Batch,
    Pair,
    batches,
    collate,
    sample_pairs,
)
from gatutils.training import seed_everything
from gatutils.transformer import Block, Transformer, causal_mask


class Zero(nn.Module):
    """In place of a feed-forward network: its output is zero, so that nothing is added."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros of the shape of ``x``."""
        return torch.zeros_like(x)


class Replacing(Block):
    """A block without residual connections: each sublayer's output replaces its input."""

    def _residual(self, x: Tensor, norm: int, sublayer: Any) -> Any:
        return sublayer(self.norms[norm](x))


@torch.no_grad()
def spread_of_states(model: Transformer, batch: Batch[Pair]) -> float:
    """Return by how much the decoder's states differ between the positions of a sentence.

    It is the norm of their deviations from their mean, divided by their own norm (0 if all states
    of a sentence are alike, at most 1), averaged over the sentences. Padding is left out.
    """
    memory, _ = model.begin(batch.source, batch.source_mask)
    causal = causal_mask(batch.target_in.shape[1])
    states, _, _ = model.decoder(batch.target_in, causal, memory.states, memory.mask[:, None])
    found = []
    for rows, words in zip(states, batch.target_out, strict=True):
        rows = rows[words != 0]
        found.append((rows - rows.mean(dim=0)).norm() / rows.norm())
    return torch.stack(found).mean().item()


def right_words(guesses: Tensor, batch: Batch[Pair]) -> list[float]:
    """Return the fractions of words and of whole sentences that are right.

    Args:
        guesses: A guess for each target token, shape (batch, target).
        batch: The sentences.
    """
    real = batch.target_out != 0
    same = guesses == batch.target_out
    return [same[real].float().mean().item(), (same | ~real).all(dim=1).float().mean().item()]


@dataclass(frozen=True, kw_only=True)
class PartsPlan(TransformerSizes, EncoderDecoderPlan):
    """A small transformer, whole or without one kind of part.

    Its scores are the fractions of words and of sentences that are right, with the correct
    previous words given. (A sentence that is right throughout is then also what greedy decoding
    generates.) The mean training loss of the last 20 steps, the number of parameters, the spread
    of the decoder's states before and after training, and the fraction of words that are the first
    word of their sentence's prediction are stored too.

    Attributes:
        without: The parts that are removed, if any.
        clauses: The numbers of relative clauses in the training sentences.
        test: The test set.
    """

    without: Literal["feed-forward", "residuals"] | None = None
    steps: int = 150
    batch_size: int = 32
    lr: float = 3e-3
    warmup: float = 0.1
    clauses: tuple[int, ...] = (0,)
    test: SentenceSample = field(default_factory=lambda: SentenceSample(clauses=(0,), seed=8))
    dim: int = 32
    hidden: int = 64

    def build(self) -> Transformer:
        """Return the untrained model."""
        model = self.make(len(ENGLISH), len(KOREAN))
        for stack in (model.encoder, model.decoder):
            for k, block in enumerate(stack.blocks):
                if self.without == "feed-forward":
                    block.feed_forward = Zero()
                elif self.without == "residuals":
                    sizes = self.dim, self.heads, self.hidden, self.norm
                    made = Replacing(*sizes, cross_attention=stack is model.decoder)
                    made.load_state_dict(block.state_dict())
                    stack.blocks[k] = made
        return model

    def run(self, seed: int) -> dict[str, Any]:
        """Train on batches drawn with the seed, and predict each word of the test set."""
        batch = collate(sample_pairs(**asdict(self.test)))
        seed_everything(seed)
        before = spread_of_states(self.build(), batch)
        stream = batches(self.batch_size, self.clauses, seed)
        model, losses = self.trained(stream, seed)
        assert isinstance(model, Transformer)
        with torch.no_grad():
            logits, _ = model(batch.source, batch.source_mask, batch.target_in)
        guesses = logits.argmax(dim=-1)
        real = batch.target_out != 0
        return {
            "scores": right_words(guesses, batch),
            "loss": sum(losses[-20:]) / len(losses[-20:]),
            "parameters": sum(p.numel() for p in model.parameters()),
            "spread": [before, spread_of_states(model, batch)],
            "first_word": (guesses == guesses[:, :1])[real].float().mean().item(),
        }
