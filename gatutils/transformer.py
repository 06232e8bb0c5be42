"""The transformer: attention alone, with positions to tell the words apart by place.

Encoder and decoder are stacks of one block: look (self-attention), ask the source (in the
decoder), think (two layers on each word by itself). What it builds on is
:class:`~gatutils.attention.MultiHead`; what decodes it is :func:`~gatutils.seq2seq.greedy`.
"""

from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gatutils.attention import MultiHead
from gatutils.checks import (
    expect,
    expect_int,
    expect_sentences,
    expect_targets,
)
from gatutils.seq2seq import Memory

__all__ = ["Block", "Stack", "Transformer", "TransformerDecoder", "causal_mask", "sinusoids"]

Norm = Literal["pre", "post"]


def sinusoids(length: int, dim: int) -> Float[Tensor, "length dim"]:
    r"""Return a vector for each place: sines and cosines of ever longer waves.

    .. math::

        p_{j,2w} = \sin(\omega_w j) \qquad p_{j,2w+1} = \cos(\omega_w j) \qquad
        \omega_w = 10000^{-2w / \mathrm{dim}}

    for each wave w. The vector of place j + s is that of place j with each pair of numbers
    turned by the angle :math:`\omega_w s`, whatever j is.

    Args:
        length: Number of places, counted from 0.
        dim: Width; an even number.

    Source:
        Vaswani et al. (2017), section 3.5.
    """
    expect_int(length, "length", least=0)
    expect_int(dim, "dim", least=2)
    expect(dim % 2 == 0, "dim", "an even number", dim)
    places = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    waves = 10000 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = places * waves
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()


def causal_mask(length: int) -> Bool[Tensor, "length length"]:
    """Return the mask in which place i may look at the places up to i, itself included."""
    expect_int(length, "length", least=0)
    return torch.ones(length, length, dtype=torch.bool).tril()


class Block(nn.Module):
    """One layer: look, ask, think, each added to what was there.

    ``"post"`` normalises after each addition, ``norm(x + f(x))``, as in Vaswani et al. (2017);
    ``"pre"`` before each part, ``x + f(norm(x))``, so that a path without any norm leads from the
    first layer to the last (Xiong et al. 2020).

    Args:
        dim: Width of the elements.
        heads: Attentions side by side.
        hidden: Width of the hidden layer that thinks.
        norm: Where to normalise.
        asks: Whether it asks a second sequence (a decoder's block).
    """

    def __init__(
        self, dim: int, heads: int, hidden: int, norm: Norm = "pre", asks: bool = False
    ) -> None:
        super().__init__()
        expect(norm in ("pre", "post"), "norm", "'pre' or 'post'", repr(norm))
        expect_int(hidden, "hidden", least=1)
        self.norm = norm
        self.look = MultiHead(dim, heads)
        self.ask = MultiHead(dim, heads) if asks else None
        self.think = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3 if asks else 2))

    def forward(
        self,
        x: Float[Tensor, "batch words dim"],
        mask: Bool[Tensor, "..."],
        source: Float[Tensor, "batch source dim"] | None = None,
        source_mask: Bool[Tensor, "..."] | None = None,
    ) -> tuple[
        Float[Tensor, "batch words dim"],
        Float[Tensor, "batch heads words words"],
        Float[Tensor, "batch heads words source"] | None,
    ]:
        """Return the new elements, whom they looked at, and what they asked of the source.

        Args:
            x: The elements.
            mask: As :class:`~gatutils.attention.MultiHead` takes it, for pairs of words. A padding
                mask (batch, words) needs an axis for the queries, ``mask.unsqueeze(1)``.
            source: The second sequence.
            source_mask: The same for its elements, ``source_mask.unsqueeze(1)``.
        """
        expect(
            (source is None) == (self.ask is None),
            "source",
            "None without asks" if self.ask is None else "elements to ask",
            None if source is None else f"shape {tuple(source.shape)}",
        )
        pre = self.norm == "pre"
        asked = None

        y = self.norms[0](x) if pre else x
        found, looked = self.look(y, y, mask)
        x = x + found if pre else self.norms[0](x + found)

        if self.ask is not None:
            found, asked = self.ask(self.norms[1](x) if pre else x, source, source_mask)
            x = x + found if pre else self.norms[1](x + found)

        found = self.think(self.norms[-1](x) if pre else x)
        x = x + found if pre else self.norms[-1](x + found)
        return x, looked, asked


class Stack(nn.Module):
    """Words and their places, then blocks: an encoder, or with ``asks`` a decoder.

    torch's embedding starts with variance 1, so the paper's factor of the root of the width,
    which brings a smaller start to that, is left out.

    Args:
        vocabulary: Number of words.
        dim: Width of the elements.
        heads: Attentions side by side in a block.
        layers: Number of blocks.
        hidden: Width of the hidden layer in a block.
        norm: Where a block normalises; see :class:`Block`.
        asks: Whether the blocks ask a second sequence.
    """

    def __init__(
        self,
        vocabulary: int,
        dim: int,
        heads: int,
        layers: int,
        hidden: int,
        norm: Norm = "pre",
        asks: bool = False,
    ) -> None:
        super().__init__()
        expect_int(vocabulary, "vocabulary", least=1)
        expect_int(dim, "dim", least=2)
        expect(dim % 2 == 0, "dim", "an even number", dim)  # sinusoids come in pairs
        expect_int(layers, "layers", least=1)
        self.embed = nn.Embedding(vocabulary, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, hidden, norm, asks) for _ in range(layers))
        # Before "pre" blocks nothing has normalised the sum of all that was added.
        self.norm = nn.LayerNorm(dim) if norm == "pre" else nn.Identity()

    def forward(
        self,
        words: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "..."],
        source: Float[Tensor, "batch source dim"] | None = None,
        source_mask: Bool[Tensor, "..."] | None = None,
    ) -> tuple[
        Float[Tensor, "batch words dim"],
        Float[Tensor, "batch layers heads words words"],
        Float[Tensor, "batch layers heads words source"] | None,
    ]:
        """Return the states, whom each word looked at, and what it asked of the source."""
        x = self.embed(words)
        x = x + sinusoids(words.shape[1], x.shape[2]).to(x)
        looks, asks = [], []
        for block in self.blocks:
            x, looked, asked = block(x, mask, source, source_mask)
            looks.append(looked)
            asks.append(asked)
        found = None if asks[0] is None else torch.stack(cast(list[Tensor], asks), dim=1)
        return self.norm(x), torch.stack(looks, dim=1), found


class TransformerDecoder(Stack):
    """A stack that asks the source, and reads off the next word."""

    def __init__(
        self, vocabulary: int, dim: int, heads: int, layers: int, hidden: int, norm: Norm = "pre"
    ) -> None:
        super().__init__(vocabulary, dim, heads, layers, hidden, norm, asks=True)
        self.read_off = nn.Linear(dim, vocabulary)

    def read(
        self, words: Int[Tensor, "batch target"], memory: Memory
    ) -> tuple[
        Float[Tensor, "batch target vocabulary"],
        Float[Tensor, "batch layers heads target source"],
    ]:
        """Return the logits of the word after each of these, and what was asked of the source."""
        states, _, asked = self(
            words,
            causal_mask(words.shape[1]).to(words.device),
            memory.states,
            memory.mask.unsqueeze(1),
        )
        return self.read_off(states), asked

    def step(
        self, words: Int[Tensor, " batch"], state: Int[Tensor, "batch written"], memory: Memory
    ) -> tuple[
        Float[Tensor, "batch vocabulary"],
        Int[Tensor, "batch longer"],
        Float[Tensor, "batch source"],
    ]:
        """Write the next word, as :func:`~gatutils.seq2seq.greedy` asks.

        The state is all that was written. It is read again at every step; real systems keep the
        keys and values of earlier words instead.

        Returns:
            The logits, the words with the last one, and the mean of the last layer's heads.
        """
        written = torch.cat([state, words.unsqueeze(1)], dim=1)
        logits, asked = self.read(written, memory)
        return logits[:, -1], written, asked[:, -1, :, -1].mean(dim=1)


class Transformer(nn.Module):
    """Encoder and decoder together.

    No dropout: where sentences never end, a model hardly sees one twice.

    Args:
        source_vocabulary: Number of source words.
        target_vocabulary: Number of target words.
        dim: Width of the elements.
        heads: Attentions side by side in a block.
        layers: Blocks of the encoder, and as many of the decoder.
        hidden: Width of the hidden layer in a block.
        norm: Where a block normalises; see :class:`Block`.

    Source:
        Vaswani et al. (2017), section 3.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        dim: int = 64,
        heads: int = 4,
        layers: int = 2,
        hidden: int = 256,
        norm: Norm = "pre",
    ) -> None:
        super().__init__()
        expect_int(source_vocabulary, "source_vocabulary", least=1)
        expect_int(target_vocabulary, "target_vocabulary", least=1)
        self.encoder = Stack(source_vocabulary, dim, heads, layers, hidden, norm)
        self.decoder = TransformerDecoder(target_vocabulary, dim, heads, layers, hidden, norm)

    def begin(
        self, source: Int[Tensor, "batch source"], mask: Bool[Tensor, "batch source"]
    ) -> tuple[Memory, Int[Tensor, "batch 0"]]:
        """Read the source; return what the decoder may look at, and that nothing is written."""
        expect_sentences(source, mask, self.encoder.embed.num_embeddings)
        source = source.masked_fill(~mask, 0)  # whatever stands in the padding
        states, _, _ = self.encoder(source, mask.unsqueeze(1))
        return Memory(states, None, mask, None), source.new_empty(len(source), 0)

    def forward(
        self,
        source: Int[Tensor, "batch source"],
        mask: Bool[Tensor, "batch source"],
        target_in: Int[Tensor, "batch target"],
    ) -> tuple[
        Float[Tensor, "batch target vocabulary"],
        Float[Tensor, "batch layers heads target source"],
    ]:
        """Return the logits of every next word, and what each word asked of the source.

        Raises:
            TypeError: If a dtype is wrong.
            ValueError: If shapes do not fit, or a number is no word.
        """
        memory, _ = self.begin(source, mask)
        expect_targets(target_in, len(source), self.decoder.embed.num_embeddings)
        return self.decoder.read(target_in, memory)
