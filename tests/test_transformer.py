import itertools
import math
import re
from typing import Any

import pytest
import torch
from helpers import assert_a_beam_of_one_is_greedy, assert_greedy, log_probability, not_none
from hypothesis import given, settings
from hypothesis import strategies as st
from precision import HALVES, assert_model_near, learned_from
from torch import nn

from gatutils import transformer
from gatutils.decoding import beam_search, greedy
from gatutils.seq2seq import Memory, sequence_loss
from gatutils.transformer import (
    Block,
    Transformer,
    TransformerDecoder,
    TransformerEncoder,
    causal_mask,
    sinusoidal_encoding,
)

SOURCE, TARGET, DIM, HEADS, LAYERS, HIDDEN = 11, 7, 8, 2, 2, 12
every_norm = pytest.mark.parametrize("norm", ["pre", "post"])


def randomised(model, seed=0):
    """Far from even guesses, so that ties do not occur; in double, so that equal means equal."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            nn.init.uniform_(parameter, 0.5, 1.5)
        else:
            nn.init.normal_(parameter, std=0.5)
    return model.double().eval()


def translator(norm="pre", seed=0):
    return randomised(Transformer(SOURCE, TARGET, DIM, HEADS, LAYERS, HIDDEN, norm), seed)


def padded(lengths):
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


def sentences(lengths=(5, 3, 1), seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(SOURCE, (len(lengths), max(lengths)), generator=rng), padded(lengths)


def target_words(rows=3, length=4, seed=1):
    return torch.randint(TARGET, (rows, length), generator=torch.Generator().manual_seed(seed))


# Places


@given(st.integers(0, 40), st.integers(1, 16))
@settings(max_examples=50)
def test_sinusoids_follow_the_formula(length, half):
    places = sinusoidal_encoding(length, 2 * half)
    assert places.shape == (length, 2 * half)
    assert places.dtype == torch.float32
    for j, k in itertools.product(range(length), range(half)):
        angle = j / 10000 ** (2 * k / (2 * half))
        assert places[j, 2 * k].item() == pytest.approx(math.sin(angle), abs=1e-6)
        assert places[j, 2 * k + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_sinusoids_stay_exact_far_from_the_start():
    far = sinusoidal_encoding(20001, 6)[20000].tolist()
    angles = [20000 / 10000 ** (2 * k / 6) for k in range(3)]
    assert far == pytest.approx([f(a) for a in angles for f in (math.sin, math.cos)], abs=1e-6)


@given(st.integers(1, 16), st.integers(0, 50))
@settings(max_examples=50)
def test_one_rotation_takes_every_place_so_many_further(half, further):
    """A matrix that depends on the distance alone: what lets a head look a fixed way back."""
    places = sinusoidal_encoding(60 + further, 2 * half)
    turn = torch.zeros(2 * half, 2 * half)
    for k in range(half):
        angle = further / 10000 ** (k / half)
        c, s = math.cos(angle), math.sin(angle)
        turn[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = torch.tensor([[c, s], [-s, c]])
    torch.testing.assert_close(turn @ turn.T, torch.eye(2 * half))
    moved = places[:60] @ turn.T
    torch.testing.assert_close(moved, places[further:], rtol=0, atol=2e-6)


@pytest.mark.parametrize("dim", [2, 8, 64])
def test_neighbours_differ_and_a_distance_is_the_same_everywhere(dim):
    places = sinusoidal_encoding(200, dim).double()
    torch.testing.assert_close(places.norm(dim=1), torch.full((200,), (dim / 2) ** 0.5).double())
    for further in (1, 2, 5):
        apart = (places[further:] - places[:-further]).norm(dim=1)
        torch.testing.assert_close(apart, apart[:1].expand_as(apart), rtol=0, atol=1e-5)
        assert apart.min() > 0.9  # the first wave alone turns by 1 radian
    if dim > 2:
        assert torch.pdist(places).min() > 0.2


@pytest.mark.parametrize("length", [0, 1, 2, 5])
def test_the_past_is_what_stands_before(length):
    mask = causal_mask(length)
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[j <= i for j in range(length)] for i in range(length)]


# Blocks


def torch_layer(block, cross_attention):
    """torch's layer with the weights of the block."""
    kind = nn.TransformerDecoderLayer if cross_attention else nn.TransformerEncoderLayer
    width = block.norms[0].normalized_shape[0]
    layer = kind(
        width,
        block.self_attn.heads,
        block.feed_forward[0].out_features,
        dropout=0.0,
        activation="relu",
        batch_first=True,
        norm_first=block.norm == "pre",
    ).double()
    pairs: list[tuple[Any, Any]] = [(layer.self_attn, block.self_attn)] + (
        [(layer.multihead_attn, block.cross_attn)] if cross_attention else []
    )
    with torch.no_grad():
        for theirs, ours in pairs:
            theirs.in_proj_weight.copy_(torch.cat([ours.Q.weight, ours.K.weight, ours.V.weight]))
            theirs.out_proj.weight.copy_(ours.O.weight)
            assert (theirs.in_proj_bias == 0).all()
            assert (theirs.out_proj.bias == 0).all()
    layer.linear1.load_state_dict(block.feed_forward[0].state_dict())
    layer.linear2.load_state_dict(block.feed_forward[2].state_dict())
    for i, norm in enumerate(block.norms, start=1):
        getattr(layer, f"norm{i}").load_state_dict(norm.state_dict())
    return layer.train(), pairs


@st.composite
def blocks_at_work(draw):
    """A block, elements, and how many of each sentence are real; likewise of a source."""
    heads, d = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    asks = draw(st.booleans())
    block = Block(
        heads * d, heads, draw(st.integers(1, 6)), draw(st.sampled_from(["pre", "post"])), asks
    )
    block = randomised(block, draw(st.integers(0, 2**31)))
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    x = torch.randn(len(lengths), max(lengths), heads * d, dtype=torch.float64)
    others = [draw(st.integers(1, 5)) for _ in lengths]
    source = torch.randn(len(lengths), max(others), heads * d, dtype=torch.float64)
    return block, x, padded(lengths), source if asks else None, padded(others), draw(st.booleans())


@given(blocks_at_work())
@settings(max_examples=100)
def test_a_block_is_torchs_layer(problem):
    """With padding and with or without the causal mask: values and all gradients."""
    block, x, real, source, source_real, causal = problem
    asks = source is not None
    layer, attentions = torch_layer(block, asks)
    length = x.shape[1]
    past = causal_mask(length) if causal else torch.ones(length, length, dtype=torch.bool)

    ours_in, theirs_in = (
        [t.clone().requires_grad_() for t in ([x, source] if asks else [x])] for _ in range(2)
    )
    asking = [source_real.unsqueeze(1)] if asks else []
    ours, looked, asked = block(ours_in[0], past & real.unsqueeze(1), *ours_in[1:], *asking)
    if asks:
        theirs = layer(
            *theirs_in,
            tgt_mask=~past,
            tgt_key_padding_mask=~real,
            memory_key_padding_mask=~source_real,
        )
    else:
        theirs = layer(theirs_in[0], src_mask=~past, src_key_padding_mask=~real)
    torch.testing.assert_close(ours, theirs)
    heads = block.self_attn.heads
    assert looked.shape == (len(x), heads, length, length)
    assert (asked is None) if not asks else asked.shape == (len(x), heads, length, source.shape[1])

    goal = torch.randn_like(ours)
    (ours * goal).sum().backward()
    (theirs * goal).sum().backward()
    pairs = [(a.grad, b.grad) for a, b in zip(ours_in, theirs_in, strict=True)]
    for theirs_attention, attention in attentions:
        Q, K, V = (getattr(attention, name).weight.grad for name in "QKV")
        pairs.append((torch.cat([Q, K, V]), theirs_attention.in_proj_weight.grad))
        pairs.append((attention.O.weight.grad, theirs_attention.out_proj.weight.grad))
    for mine, other in (
        (block.feed_forward[0], layer.linear1),
        (block.feed_forward[2], layer.linear2),
    ):
        pairs += [(mine.weight.grad, other.weight.grad), (mine.bias.grad, other.bias.grad)]
    for i, norm in enumerate(block.norms, start=1):
        other = getattr(layer, f"norm{i}")
        pairs += [(norm.weight.grad, other.weight.grad), (norm.bias.grad, other.bias.grad)]
    for mine, other in pairs:
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("cross_attention", [False, True])
def test_pre_and_post_differ_in_where_alone(cross_attention):
    """The same weights, another result; and only "post" leaves a block normalised."""
    pre, post = (
        randomised(Block(DIM, HEADS, HIDDEN, norm, cross_attention)) for norm in ("pre", "post")
    )
    post.load_state_dict(pre.state_dict())
    nn.init.ones_(post.norms[-1].weight)
    nn.init.zeros_(post.norms[-1].bias)
    pre.load_state_dict(post.state_dict())
    x = torch.randn(2, 4, DIM, dtype=torch.float64)
    more = (
        torch.randn(2, 3, DIM, dtype=torch.float64),
        torch.ones(3, dtype=torch.bool),
    ) * cross_attention
    one, other = (block(5 * x, causal_mask(4), *more)[0] for block in (pre, post))
    assert (one - other).abs().max() > 0.1
    assert other.mean(dim=-1).abs().max() < 1e-6
    torch.testing.assert_close(
        other.std(dim=-1, correction=0), torch.ones(2, 4).double(), rtol=1e-4, atol=0
    )
    assert (one.std(dim=-1) > 1.5).any()


@every_norm
@pytest.mark.parametrize("cross_attention", [False, True])
def test_a_stack_is_its_blocks_one_after_the_other(norm, cross_attention):
    stack = randomised(TransformerEncoder(SOURCE, DIM, HEADS, 3, HIDDEN, norm, cross_attention))
    words, mask = sentences()
    more = (
        torch.randn(3, 4, DIM, dtype=torch.float64),
        padded((4, 2, 1)).unsqueeze(1),
    ) * cross_attention
    states, looked, asked = stack(words, mask.unsqueeze(1), *more)
    x = stack.embed.weight[words] + sinusoidal_encoding(5, DIM)
    for i, block in enumerate(stack.blocks):
        x, look, ask = block(x, mask.unsqueeze(1), *more)
        assert torch.equal(looked[:, i], look)
        assert (asked is None) == (ask is None) == (not cross_attention)
        if cross_attention:
            assert torch.equal(asked[:, i], ask)
    if norm == "pre":
        x = nn.functional.layer_norm(x, (DIM,), stack.norm.weight, stack.norm.bias)
    torch.testing.assert_close(states, x)
    assert len(list(stack.norm.parameters())) == (2 if norm == "pre" else 0)


# Encoder and decoder together


@every_norm
def test_weights_have_the_shapes_that_are_promised(norm):
    model = translator(norm)
    source, mask = sentences()
    logits, asked = model(source, mask, target_words())
    assert logits.shape == (3, 4, TARGET)
    assert asked.shape == (3, LAYERS, HEADS, 4, 5)
    torch.testing.assert_close(asked.sum(dim=-1), torch.ones(3, LAYERS, HEADS, 4).double())
    states, looked, none = model.encoder(source, mask.unsqueeze(1))
    assert states.shape == (3, 5, DIM)
    assert looked.shape == (3, LAYERS, HEADS, 5, 5)
    assert none is None
    memory, written = model.begin(source, mask)
    torch.testing.assert_close(memory.states[mask], states[mask])
    assert (memory.prepared, memory.context) == (None, None)
    assert written.shape == (3, 0)
    assert written.dtype == source.dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_dtype_is_that_of_the_weights(dtype):
    model = translator().to(dtype)
    logits, asked = model(*sentences(), target_words())
    assert logits.dtype == asked.dtype == dtype


@every_norm
def test_padding_changes_nothing(norm):
    model = translator(norm)
    source, mask = sentences()
    target = target_words()
    logits, asked = model(source, mask, target)
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        one = slice(row, row + 1)
        alone, seen = model(source[one, :length], mask[one, :length], target[one])
        torch.testing.assert_close(logits[row], alone[0])
        torch.testing.assert_close(asked[row, ..., :length], seen[0])
        assert (asked[row, ..., length:] == 0).all()
    for junk in (9, -1, 10**6):  # even what is no word
        assert torch.equal(model(source.masked_fill(~mask, junk), mask, target)[0], logits)


@every_norm
@given(st.integers(0, 5), st.integers(1, TARGET - 1), st.integers(0, 3))
@settings(max_examples=20)
def test_the_future_changes_nothing(norm, t, other, seed):
    model = translator(norm)
    source, mask = sentences(seed=seed)
    target = target_words(length=6, seed=seed)
    changed = target.clone()
    changed[:, t] = (changed[:, t] + other) % TARGET
    (logits, asked), (after, asked_after) = (model(source, mask, w) for w in (target, changed))
    torch.testing.assert_close(after[:, :t], logits[:, :t], rtol=0, atol=1e-12)
    torch.testing.assert_close(asked_after[..., :t, :], asked[..., :t, :], rtol=0, atol=1e-12)
    # The word itself and all words behind it do notice.
    assert ((after - logits)[:, t:].abs().amax(dim=-1) > 1e-6).all()


@every_norm
def test_all_steps_at_once_equal_step_by_step(norm):
    model = translator(norm)
    source, mask = sentences()
    target = target_words()
    logits, asked = model(source, mask, target)
    memory, state = model.begin(source, mask)
    for i in range(4):
        one, state, seen = model.decoder.step(target[:, i], state, memory)
        torch.testing.assert_close(one, logits[:, i])
        torch.testing.assert_close(seen, asked[:, -1, :, i].mean(dim=1))
        assert torch.equal(state, target[:, : i + 1])


@every_norm
@pytest.mark.parametrize("seed", range(3))
def test_greedy_takes_the_likeliest_word_each_time(norm, seed):
    assert_greedy(translator(norm, seed), *sentences(seed=seed), max_length=8, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_one_is_greedy(seed):
    assert_a_beam_of_one_is_greedy(
        translator(seed=seed), *sentences(seed=seed), max_length=8, atol=1e-6
    )


def test_each_of_a_beam_is_as_likely_as_it_says():
    """So the words that were written stay with their hypothesis when the beam is sorted."""
    lengths = []
    for seed in range(6):
        model = translator(seed=seed)
        with torch.no_grad():
            model.decoder.output_proj.bias[2] += 1.5  # sentences of several lengths
        source, mask = sentences(seed=seed)
        for row, beam in enumerate(beam_search(model, source, mask, width=4, max_length=6)):
            one = slice(row, row + 1)
            for found in beam:
                if found.finished:
                    expected = log_probability(model, source[one], mask[one], found.words)
                    assert found.log_probability == pytest.approx(expected, abs=1e-6)
                    lengths.append(len(found.words))
    assert len(set(lengths)) > 2


def test_memory_takes_rows_in_the_order_asked_for():
    model = translator()
    source, mask = sentences()
    memory, state = model.begin(source, mask)
    rows = torch.tensor([2, 0, 0])
    taken = memory.take(rows)
    assert isinstance(taken, Memory)
    assert (taken.prepared, taken.context) == (None, None)
    words = torch.tensor([1, 3, 5])
    one, _, seen = model.decoder.step(words[rows], state[rows], taken)
    every, _, looked = model.decoder.step(words, state, memory)
    torch.testing.assert_close(one, every[rows])
    torch.testing.assert_close(seen, looked[rows])


@every_norm
def test_gradient_reaches_every_parameter(norm):
    model = translator(norm)
    target = torch.tensor([[1, 4, 5], [1, 3, 0], [1, 0, 0]])
    sequence_loss(model(*sentences(), target)[0], target).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@every_norm
def test_words_that_do_not_occur_get_no_gradient(norm):
    """Not even the one that padding is filled with."""
    model = translator(norm)
    source, mask = torch.tensor([[3, 4, 5], [3, 7, 7]]), padded((3, 1))
    model(source, mask, torch.tensor([[1, 4], [1, 4]]))[0].square().sum().backward()
    used = model.encoder.embed.weight.grad.abs().sum(dim=1) > 0
    assert used.nonzero().flatten().tolist() == [3, 4, 5]


@every_norm
@given(st.permutations(range(5)))
@settings(max_examples=20)
def test_without_places_order_does_not_count(norm, order):
    model = translator(norm)
    source, mask = sentences((5,), seed=2)
    moved = source[:, order]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformer, "sinusoidal_encoding", torch.zeros)
        states, looked, _ = model.encoder(source, mask.unsqueeze(1))
        again, permuted, _ = model.encoder(moved, mask.unsqueeze(1))
        torch.testing.assert_close(again, states[:, order])
        torch.testing.assert_close(permuted, looked[..., order, :][..., order])
    states, _, _ = model.encoder(source, mask.unsqueeze(1))
    again, _, _ = model.encoder(moved, mask.unsqueeze(1))
    assert torch.allclose(again, states[:, order]) == (order == sorted(order))


def test_decoding_keeps_no_graph():
    model = translator()
    source, mask = sentences()
    found = greedy(model, source, mask, max_length=3)[0]
    assert not not_none(found.weights).requires_grad


def block(cross_attention=False):
    return Block(4, 2, 8, cross_attention=cross_attention)


X, LOOK = torch.zeros(2, 3, 4), torch.ones(3, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda m, s, k: sinusoidal_encoding(3, 5),
            ValueError,
            "dim: expected an even number, got 5",
        ),
        (lambda m, s, k: sinusoidal_encoding(3, 0), ValueError, "dim: .*at least 2, got 0"),
        (lambda m, s, k: sinusoidal_encoding(-1, 4), ValueError, "length: .*at least 0, got -1"),
        (lambda m, s, k: sinusoidal_encoding(2.0, 4), TypeError, "length: .*int, got 2.0"),  # type: ignore[arg-type]
        (lambda m, s, k: causal_mask(-1), ValueError, "length: .*at least 0, got -1"),
        (lambda m, s, k: causal_mask("3"), TypeError, "length: .*int, got '3'"),  # type: ignore[arg-type]
        (lambda m, s, k: Block(4, 2, 8, "middle"), ValueError, "norm: .*'middle'"),  # type: ignore[arg-type]
        (lambda m, s, k: Block(4, 2, 0), ValueError, "hidden: .*at least 1, got 0"),
        (lambda m, s, k: Block(4, 3, 8), ValueError, "heads: expected a divisor of dim"),
        (lambda m, s, k: Block(4, 2, 8.5), TypeError, "hidden: .*int, got 8.5"),  # type: ignore[arg-type]
        (lambda m, s, k: block()(X, LOOK.int()), TypeError, "mask: expected a bool.*int32"),
        (lambda m, s, k: block()(X, LOOK[:2]), ValueError, r"mask: .*\(2, 3, 3\).*\(2, 3\)"),
        (lambda m, s, k: block(True)(X, LOOK), ValueError, "source: expected .*got None"),
        (lambda m, s, k: block()(X, LOOK, X), ValueError, r"source: expected None.*\(2, 3, 4\)"),
        (lambda m, s, k: Transformer(5, 5, 7, 1), ValueError, "dim: .*even number, got 7"),
        (lambda m, s, k: Transformer(5, 5, -8), ValueError, "dim: .*at least 2, got -8"),
        (lambda m, s, k: Transformer(5, 5, 8.0), TypeError, "dim: .*int, got 8.0"),  # type: ignore[arg-type]
        (lambda m, s, k: Transformer(5, 5, 8, 3), ValueError, "heads: .*divisor of dim .8., got 3"),
        (lambda m, s, k: Transformer(5, 5, layers=0), ValueError, "layers: .*at least 1, got 0"),
        (lambda m, s, k: Transformer(0, 5), ValueError, "vocabulary: .*at least 1, got 0"),
        (lambda m, s, k: Transformer(5, 5.5), TypeError, "vocabulary: .*int, got 5.5"),  # type: ignore[arg-type]
        (lambda m, s, k: Transformer(5, 5, norm="both"), ValueError, "norm: .*'both'"),  # type: ignore[arg-type]
        (lambda m, s, k: TransformerDecoder(5, 8, 2, 1, 0), ValueError, "hidden: .*got 0"),
        (lambda m, s, k: m(s.float(), k, s), TypeError, "source: expected an int.*float32"),
        (
            lambda m, s, k: m(s.tolist(), k, s),
            TypeError,
            "source: expected an int tensor, got list",
        ),
        (lambda m, s, k: m(s[0], k, s), ValueError, r"source: expected 2 axes, got shape \(5,\)"),
        (lambda m, s, k: m(s, k.int(), s), TypeError, "mask: expected a bool.*int32"),
        (lambda m, s, k: m(s, k[:, 1:], s), ValueError, r"mask: .*\(3, 5\).*\(3, 4\)"),
        (lambda m, s, k: m(s + 90, k, s), ValueError, "source: expected words 0 to 10"),
        (lambda m, s, k: m(s - 90, k, s), ValueError, "source: expected words 0 to 10"),
        (lambda m, s, k: m(s, k, s[:2]), ValueError, r"target_in: .*\(3, at least 1\).*\(2, 5\)"),
        (lambda m, s, k: m(s, k, s[:, :0]), ValueError, "target_in: "),
        (lambda m, s, k: m(s, k, s[None]), ValueError, "target_in: expected 2 axes"),
        (lambda m, s, k: m(s, k, s / 2), TypeError, "target_in: expected an int.*float32"),
        (lambda m, s, k: m(s, k, s + 90), ValueError, "target_in: expected words 0 to 6"),
        (lambda m, s, k: greedy(m, s, k, bos=99), ValueError, "bos: expected a word below 7"),
        (lambda m, s, k: greedy(m, s, k, max_length=0), ValueError, "max_length: .*got 0"),
        (lambda m, s, k: beam_search(m, s, k, width=0), ValueError, "width: .*got 0"),
    ],
)
def test_bad_input_names_the_argument(unchecked, call, error, words):
    source, mask = sentences()
    with pytest.raises(error) as caught:
        call(translator().float(), source % TARGET, mask)
    assert re.search(words, str(caught.value)), caught.value


# Mixed precision


def at_work(norm):
    torch.manual_seed(0)
    model = Transformer(SOURCE, TARGET, DIM, HEADS, LAYERS, HIDDEN, norm)
    source, mask = sentences()
    words = target_words() + (target_words() == 0)

    def learn():
        return learned_from(
            lambda: model(source, mask, words), model, lambda logits: sequence_loss(logits, words)
        )

    return model, source, mask, learn


@pytest.mark.parametrize("dtype", HALVES)
@every_norm
def test_a_transformer_under_autocast(norm, dtype):
    model, source, mask, learn = at_work(norm)
    exact = learn()
    with torch.autocast("cpu", dtype):
        ours = learn()
        greedy(model, source, mask, max_length=3)
        beam_search(model, source, mask, width=2, max_length=3)
    assert_model_near(dtype, ours, exact)
    # Logits of autocast's type; softmax and loss in float32.
    assert [part.dtype for part in ours[0]] == [dtype, torch.float32, torch.float32]


@pytest.mark.parametrize("dtype", [*HALVES, torch.float64])
@every_norm
def test_transformers_of_another_type_without_autocast(norm, dtype):
    model, source, mask, learn = at_work(norm)
    exact = learn()
    model.to(dtype)
    ours = learn()
    assert {part.dtype for part in [*ours[0], ours[1]]} == {dtype}
    assert_model_near(dtype, ours, exact)
    greedy(model, source, mask, max_length=3)


@every_norm
def test_a_double_transformer_under_autocast_is_exact(norm):
    model, *_, learn = at_work(norm)
    model.double()
    exact = learn()
    with torch.autocast("cpu", torch.bfloat16):
        ours = learn()
    for mine, theirs in zip([*ours[0], ours[1]], [*exact[0], exact[1]], strict=True):
        assert torch.equal(mine, theirs)
