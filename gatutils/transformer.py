"""The transformer: attention alone, with positional encodings to tell positions apart.

Encoder and decoder are stacks of one block: self-attention, cross-attention to the source (in the
decoder) and a position-wise feed-forward network, each inside a residual connection. It builds on
:class:`~gatutils.attention.MultiHeadAttention`; :func:`~gatutils.decoding.greedy` decodes it.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gatutils._checks import expect, expect_int, expect_sentences, expect_targets
from gatutils.attention import MultiHeadAttention
from gatutils.seq2seq import Memory

__all__ = [
    "Block",
    "Transformer",
    "TransformerDecoder",
    "TransformerEncoder",
    "causal_mask",
    "sinusoidal_encoding",
]

Norm = Literal["pre", "post"]
Weights = TypeVar("Weights")


def sinusoidal_encoding(length: int, dim: int) -> Float[Tensor, "length dim"]:
    r"""Return the sinusoidal positional encoding: one vector per position.

    .. math::

        p_{j,2w} = \sin(\omega_w j) \qquad p_{j,2w+1} = \cos(\omega_w j) \qquad
        \omega_w = 10000^{-2w / \mathrm{dim}}

    The encoding of position j + s is that of position j with each pair of dimensions rotated by
    the angle :math:`\omega_w s`, whatever j is.

    Args:
        length: Number of positions, counted from 0.
        dim: Width; an even number.

    Source:
        Vaswani et al. (2017), section 3.5.
    """
    expect_int(length, "length", least=0)
    expect_int(dim, "dim", least=2)
    expect(dim % 2 == 0, "dim", "an even number", dim)
    positions = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    frequencies = 10000 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = positions * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()


def causal_mask(length: int) -> Bool[Tensor, "length length"]:
    """Return the mask in which position i attends to the positions up to i, itself included."""
    expect_int(length, "length", least=0)
    return torch.ones(length, length, dtype=torch.bool).tril()


class Block(nn.Module):
    """One layer: self-attention, optional cross-attention, feed-forward, each with a residual.

    ``"post"`` normalises after each addition, ``norm(x + f(x))``, as in Vaswani et al. (2017);
    ``"pre"`` before each sublayer, ``x + f(norm(x))``, which leaves a residual path without any
    normalisation from the first layer to the last (Xiong et al. 2020).

    Args:
        dim: Width of the elements.
        heads: Number of attention heads.
        hidden: Width of the feed-forward network's hidden layer.
        norm: Where to normalise.
        cross_attention: Whether it also attends to a second sequence (a decoder's block).
    """

    def __init__(
        self, dim: int, heads: int, hidden: int, norm: Norm = "pre", cross_attention: bool = False
    ) -> None:
        super().__init__()
        expect(norm in ("pre", "post"), "norm", "'pre' or 'post'", repr(norm))
        expect_int(hidden, "hidden", least=1)
        self.norm = norm
        self.self_attn = MultiHeadAttention(dim, heads)
        self.cross_attn = MultiHeadAttention(dim, heads) if cross_attention else None
        self.feed_forward = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3 if cross_attention else 2))

    def forward(
        self,
        x: Float[Tensor, "batch words dim"],
        mask: Bool[Tensor, "..."] | None,
        source: Float[Tensor, "batch source dim"] | None = None,
        source_mask: Bool[Tensor, "..."] | None = None,
    ) -> tuple[
        Float[Tensor, "batch words dim"],
        Float[Tensor, "batch heads words words"],
        Float[Tensor, "batch heads words source"] | None,
    ]:
        """Return the new elements and the weights of self-attention and of cross-attention.

        Args:
            x: The elements, shape (batch, words, dim).
            mask: As :class:`~gatutils.attention.MultiHeadAttention` takes it, for pairs of
                elements. A padding mask (batch, words) needs an axis for the queries,
                ``mask.unsqueeze(1)``. None hides nothing.
            source: The second sequence, shape (batch, source, dim).
            source_mask: The same for its elements, ``source_mask.unsqueeze(1)``.

        Raises:
            ValueError: If ``source`` is missing where the block has cross-attention, or given
                where it has none.
        """
        expect(
            (source is None) == (self.cross_attn is None),
            "source",
            "None without cross_attention" if self.cross_attn is None else "a second sequence",
            None if source is None else f"shape {tuple(source.shape)}",
        )
        x, self_weights = self._residual(x, 0, lambda y: self.self_attn(y, y, mask))
        cross_weights = None
        if self.cross_attn is not None:
            attention = self.cross_attn
            x, cross_weights = self._residual(x, 1, lambda y: attention(y, source, source_mask))
        x, _ = self._residual(x, -1, lambda y: (self.feed_forward(y), None))
        return x, self_weights, cross_weights

    def _residual(
        self,
        x: Tensor,
        norm: int,
        sublayer: Callable[[Tensor], tuple[Tensor, Weights]],
    ) -> tuple[Tensor, Weights]:
        """Add a sublayer's output to its input, normalised before or after."""
        normalise = self.norms[norm]
        if self.norm == "pre":
            out, weights = sublayer(normalise(x))
            return x + out, weights
        out, weights = sublayer(x)
        return normalise(x + out), weights


class TransformerEncoder(nn.Module):
    """Token embeddings plus positional encodings, then a stack of blocks.

    The paper multiplies the embeddings by the square root of the width. torch initialises an
    embedding with variance 1 already, so this factor is left out.

    Args:
        vocabulary: Number of tokens.
        dim: Width of the elements.
        heads: Number of attention heads in a block.
        layers: Number of blocks.
        hidden: Width of the feed-forward network's hidden layer.
        norm: Where a block normalises; see :class:`Block`.
        cross_attention: Whether the blocks attend to a second sequence.
    """

    def __init__(
        self,
        vocabulary: int,
        dim: int,
        heads: int,
        layers: int,
        hidden: int,
        norm: Norm = "pre",
        cross_attention: bool = False,
    ) -> None:
        super().__init__()
        expect_int(vocabulary, "vocabulary", least=1)
        expect_int(dim, "dim", least=2)
        expect(dim % 2 == 0, "dim", "an even number", dim)  # sines and cosines come in pairs
        expect_int(layers, "layers", least=1)
        self.embed = nn.Embedding(vocabulary, dim)
        self.blocks = nn.ModuleList(
            Block(dim, heads, hidden, norm, cross_attention) for _ in range(layers)
        )
        # With "pre" blocks nothing has normalised the sum along the residual path.
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
        """Return the states and all weights of self-attention and of cross-attention."""
        x = self.embed(words)
        x = x + sinusoidal_encoding(words.shape[1], x.shape[2]).to(x)
        self_weights, cross_weights = [], []
        for block in self.blocks:
            x, own, cross = block(x, mask, source, source_mask)
            self_weights.append(own)
            cross_weights.append(cross)
        crossed = None if source is None else torch.stack(cross_weights, dim=1)
        return self.norm(x), torch.stack(self_weights, dim=1), crossed


class TransformerDecoder(TransformerEncoder):
    """A stack with cross-attention; :meth:`decode` adds the causal mask and output projection."""

    def __init__(
        self, vocabulary: int, dim: int, heads: int, layers: int, hidden: int, norm: Norm = "pre"
    ) -> None:
        super().__init__(vocabulary, dim, heads, layers, hidden, norm, cross_attention=True)
        self.output_proj = nn.Linear(dim, vocabulary)

    def decode(
        self, words: Int[Tensor, "batch target"], memory: Memory
    ) -> tuple[
        Float[Tensor, "batch target vocabulary"],
        Float[Tensor, "batch layers heads target source"],
    ]:
        """Return the logits of the token after each of these, and the cross-attention weights."""
        mask = causal_mask(words.shape[1]).to(words.device)
        states, _, weights = self(words, mask, memory.states, memory.mask.unsqueeze(1))
        return self.output_proj(states), weights

    def step(
        self, words: Int[Tensor, " batch"], state: Int[Tensor, "batch written"], memory: Memory
    ) -> tuple[
        Float[Tensor, "batch vocabulary"],
        Int[Tensor, "batch longer"],
        Float[Tensor, "batch source"],
    ]:
        """Generate the next token, as :func:`~gatutils.decoding.greedy` needs it.

        The state is everything generated so far, which is encoded again at every step; real
        systems cache the keys and values of earlier tokens instead.

        Returns:
            The logits, the tokens with the last one appended, and the cross-attention weights of
            the last layer, averaged over its heads.
        """
        written = torch.cat([state, words.unsqueeze(1)], dim=1)
        logits, weights = self.decode(written, memory)
        return logits[:, -1], written, weights[:, -1, :, -1].mean(dim=1)


class Transformer(nn.Module):
    """Encoder and decoder together.

    There is no dropout: with training sentences drawn without end, a model hardly sees one twice.

    Args:
        source_vocabulary: Number of source tokens.
        target_vocabulary: Number of target tokens.
        dim: Width of the elements.
        heads: Number of attention heads in a block.
        layers: Number of blocks in the encoder, and in the decoder.
        hidden: Width of the feed-forward network's hidden layer.
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
        self.encoder = TransformerEncoder(source_vocabulary, dim, heads, layers, hidden, norm)
        self.decoder = TransformerDecoder(target_vocabulary, dim, heads, layers, hidden, norm)

    def begin(
        self, source: Int[Tensor, "batch source"], mask: Bool[Tensor, "batch source"]
    ) -> tuple[Memory, Int[Tensor, "batch 0"]]:
        """Encode the source; return what the decoder attends to, and its empty first state."""
        expect_sentences(source, mask, self.encoder.embed.num_embeddings)
        source = source.masked_fill(~mask, 0)  # whatever the padding holds
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
        """Return the logits of every next token, and the cross-attention weights.

        Raises:
            TypeError: If a dtype is wrong.
            ValueError: If shapes do not match, or a token index is out of range.
        """
        memory, _ = self.begin(source, mask)
        expect_targets(target_in, len(source), self.decoder.embed.num_embeddings)
        return self.decoder.decode(target_in, memory)
