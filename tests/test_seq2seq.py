import itertools
import re
from collections.abc import Callable

import pytest
import torch
from helpers import assert_a_beam_of_one_is_greedy, assert_greedy, log_probability, not_none
from precision import HALVES, assert_model_near, learned_from
from torch import nn

from gatutils.attention import Additive, Cosine, Dot, General, ScaledDot, Score
from gatutils.decoding import Translator, beam_search, greedy
from gatutils.seq2seq import (
    Decoder,
    Encoder,
    Memory,
    Seq2Seq,
    sequence_loss,
)

SOURCE, TARGET, WIDTH = 11, 7, 6
KINDS = {
    "none": lambda: None,
    "additive": lambda: Additive(WIDTH, 2 * WIDTH, 5),
    "general": lambda: General(WIDTH, 2 * WIDTH),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_layout = pytest.mark.parametrize("layout", ["before", "after"])


def translator(kind="additive", layout="before", seed=0):
    torch.manual_seed(seed)
    model = Seq2Seq(SOURCE, TARGET, 4, WIDTH, KINDS[kind](), layout)
    for parameter in model.parameters():  # far from even guesses, so that ties do not occur
        nn.init.normal_(parameter, std=0.8)
    return model.eval()


def sentences(lengths=(5, 3, 1), seed=0):
    rng = torch.Generator().manual_seed(seed)
    source = torch.randint(SOURCE, (len(lengths), max(lengths)), generator=rng)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return source, mask


def test_encoder_equals_two_cells_by_hand():
    torch.manual_seed(0)
    encoder = Encoder(SOURCE, 4, WIDTH)
    source, mask = sentences()
    states, context = encoder(source, mask)
    cells = []
    for suffix in ("", "_reverse"):
        cell = nn.GRUCell(4, WIDTH)
        cell.load_state_dict(
            {
                name: getattr(encoder.gru, f"{name}_l0{suffix}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
        )
        cells.append(cell)
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        words = encoder.embed(source[row, :length])
        forward: list[torch.Tensor] = []
        backward: list[torch.Tensor] = []
        state = torch.zeros(WIDTH)
        for word in words:
            state = cells[0](word, state)
            forward.append(state)
        state = torch.zeros(WIDTH)
        for word in reversed(words):
            state = cells[1](word, state)
            backward.insert(0, state)
        by_hand = torch.cat([torch.stack(forward), torch.stack(backward)], dim=-1)
        torch.testing.assert_close(states[row, :length], by_hand)
        torch.testing.assert_close(context[row], torch.cat([forward[-1], backward[0]]))
        assert (states[row, length:] == 0).all()


@every_kind
@every_layout
def test_padding_changes_nothing(kind, layout):
    model = translator(kind, layout)
    source, mask = sentences()
    target = torch.randint(TARGET, (3, 4), generator=torch.Generator().manual_seed(1))
    logits, weights = model(source, mask, target)
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        alone, seen = model(
            source[row : row + 1, :length], mask[row : row + 1, :length], target[row : row + 1]
        )
        torch.testing.assert_close(logits[row], alone[0])
        if kind == "none":
            assert weights is None
            assert seen is None
        else:
            torch.testing.assert_close(weights[row, :, :length], seen[0])
            assert (weights[row, :, length:] == 0).all()
    junk = source.masked_fill(~mask, 9)
    torch.testing.assert_close(model(junk, mask, target)[0], logits)


@every_kind
@every_layout
def test_all_steps_at_once_equal_step_by_step(kind, layout):
    model = translator(kind, layout)
    source, mask = sentences()
    target = torch.randint(TARGET, (3, 4), generator=torch.Generator().manual_seed(1))
    logits, weights = model(source, mask, target)
    memory, state = model.begin(source, mask)
    for i in range(4):
        one, state, seen = model.decoder.step(target[:, i], state, memory)
        torch.testing.assert_close(one, logits[:, i])
        if weights is not None:
            torch.testing.assert_close(seen, weights[:, i])


def test_attention_with_equal_scores_is_the_mean():
    """With a = 0 every score is 0: the decoder sees the mean of the states at each step."""
    model = translator("additive")
    nn.init.zeros_(model.decoder.score.a.weight)
    source, mask = sentences()
    memory, state = model.begin(source, mask)
    context, weights = model.decoder.attend(state.unsqueeze(1), memory)
    mean = memory.states.sum(dim=1) / mask.sum(dim=1, keepdim=True)
    torch.testing.assert_close(context.squeeze(1), mean)
    torch.testing.assert_close(weights.squeeze(1), mask / mask.sum(dim=1, keepdim=True))


@every_layout
def test_layouts_differ_in_when_the_decoder_looks(layout):
    """Before the cell the answer moves the state; after it, the state does not depend on it."""
    model = translator("general", layout)
    source, mask = sentences((5,))
    memory, state = model.begin(source, mask)
    word = torch.tensor([3])
    _, moved, _ = model.decoder.step(word, state, memory)
    other = memory.__class__(-memory.states, memory.prepared, memory.mask, memory.context)
    _, again, _ = model.decoder.step(word, state, other)
    assert torch.equal(moved, again) == (layout == "after")


@every_kind
@every_layout
def test_gradient_reaches_every_parameter(kind, layout):
    model = translator(kind, layout)
    source, mask = sentences()
    target = torch.tensor([[1, 4, 5], [1, 3, 0], [1, 0, 0]])
    sequence_loss(model(source, mask, target)[0], target).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every_kind
@every_layout
def test_greedy_takes_the_likeliest_word_each_time(kind, layout):
    model = translator(kind, layout, seed=3)
    source, mask = sentences()
    assert_greedy(model, source, mask, max_length=12, atol=1e-4)
    assert (greedy(model, source, mask, max_length=1)[0].weights is None) == (kind == "none")


@every_kind
@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy(kind, seed):
    assert_a_beam_of_one_is_greedy(
        translator(kind, seed=seed), *sentences(seed=seed), max_length=9, atol=1e-4
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_finds_the_best_of_all(seed):
    """Against every sentence of up to three words, by brute force."""
    model = translator("additive", seed=seed)
    with torch.no_grad():  # end soon, so that three words are enough
        model.decoder.output_proj.bias[2] += 4
    source, mask = sentences((4,), seed)
    found = beam_search(model, source, mask, width=400, max_length=4)[0]
    others = [w for w in range(TARGET) if w != 2]
    scores: dict[tuple[int, ...], float] = {}
    for n in range(4):  # all sentences of one length at once
        every = torch.tensor(list(itertools.product(others, repeat=n)), dtype=torch.long)
        given = torch.nn.functional.pad(every, (1, 0), value=1)
        logits, _ = model(source.expand(len(given), -1), mask.expand(len(given), -1), given)
        wanted = torch.nn.functional.pad(every, (0, 1), value=2)
        gains = logits.log_softmax(dim=-1).gather(2, wanted[..., None]).sum(dim=(1, 2))
        scores |= zip(map(tuple, every.tolist()), gains.tolist(), strict=True)
    best = sorted(scores, key=lambda words: -scores[words])[:10]
    assert [h.words for h in found[:10]] == best
    for hypothesis in found[:10]:
        assert hypothesis.log_probability == pytest.approx(scores[hypothesis.words], abs=1e-4)
        assert not_none(hypothesis.weights).shape == (len(hypothesis.words) + 1, 4)


def test_beam_never_does_worse_than_greedy_here():
    """No law of beams, but of these twenty models; a beam that lost its best would show."""
    better = 0
    for seed in range(20):
        model = translator("general", seed=seed)
        source, mask = sentences((4,), seed)
        one = greedy(model, source, mask, max_length=12)[0]
        wide = beam_search(model, source, mask, width=5, max_length=12)[0][0]
        if one.finished:
            assert wide.log_probability >= one.log_probability - 1e-4
            better += wide.log_probability > one.log_probability + 1e-4
    assert better > 0


def test_unfinished_sentences_say_so():
    model = translator("none")
    with torch.no_grad():
        model.decoder.output_proj.bias[2] -= 1000
    source, mask = sentences()
    for found in greedy(model, source, mask, max_length=3):
        assert len(found.words) == 3
        assert not found.finished
    for beam in beam_search(model, source, mask, width=2, max_length=3):
        assert [h.finished for h in beam] == [False, False]


def test_loss_leaves_out_padding():
    logits = torch.randn(2, 3, TARGET)
    target = torch.tensor([[3, 4, 2], [5, 2, 0]])
    by_hand = -logits.log_softmax(dim=-1)
    words = [(0, 0, 3), (0, 1, 4), (0, 2, 2), (1, 0, 5), (1, 1, 2)]
    expected = sum(by_hand[w] for w in words) / len(words)
    torch.testing.assert_close(sequence_loss(logits, target), expected)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m, s, k: m(s.float(), k, s), TypeError, "source: expected an int.*float32"),
        (lambda m, s, k: m(s, k.int(), s), TypeError, "mask: expected a bool.*int32"),
        (lambda m, s, k: m(s, k[:, 1:], s), ValueError, r"mask: .*\(3, 5\).*\(3, 4\)"),
        (lambda m, s, k: m(s + 90, k, s), ValueError, "source: expected words 0 to 10"),
        (lambda m, s, k: m(s, k & False, s), ValueError, "mask: .*an empty row"),
        (lambda m, s, k: m(s, k.flip(1), s), ValueError, "mask: .*a gap"),
        (lambda m, s, k: m(s, k, s[:2]), ValueError, r"target_in: .*\(3, at least 1\).*\(2, 5\)"),
        (lambda m, s, k: m(s, k, s[:, :0]), ValueError, "target_in: "),
        (lambda m, s, k: m(s, k, s + 90), ValueError, "target_in: expected words 0 to 6"),
        (lambda m, s, k: beam_search(m, s, k, width=0), ValueError, "width: .*got 0"),
        (lambda m, s, k: greedy(m, s, k, max_length=0), ValueError, "max_length: .*got 0"),
        (lambda m, s, k: Decoder(5, 4, 4, 8, None, "middle"), ValueError, "layout: .*'middle'"),  # type: ignore[arg-type]
        (lambda m, s, k: Seq2Seq(5, 5, 4, 4, Dot())(s % 5, k, s % 5), ValueError, "score: .*4.*8"),
        (lambda m, s, k: Decoder(5, 4, 4, 8, General(3, 8)), ValueError, "score: .*4"),
        (lambda m, s, k: Seq2Seq(5, 5, 4, 4, Dot(), direction=3), ValueError, "score: .*4.*6"),
        (lambda m, s, k: Seq2Seq(5, 5, direction=0), ValueError, "direction: .*at least 1, got 0"),
        (lambda m, s, k: Seq2Seq(5, 5, direction=2.5), TypeError, "direction: .*int, got 2.5"),  # type: ignore[arg-type]
        (lambda m, s, k: sequence_loss(torch.zeros(1, 2, 3), s), ValueError, "target_out: "),
        (
            lambda m, s, k: sequence_loss(torch.zeros(3, 5, 7), s * 0),
            ValueError,
            "target_out: .*pad",
        ),
        (
            lambda m, s, k: sequence_loss(torch.zeros(3, 5, 7), s / 2),
            TypeError,
            "target_out: .*int",
        ),
        (lambda m, s, k: m(s[0], k, s), ValueError, r"source: expected 2 axes, got shape \(5,\)"),
        (
            lambda m, s, k: m(s.tolist(), k, s),
            TypeError,
            "source: expected an int tensor, got list",
        ),
        (lambda m, s, k: m(s.byte(), k, s), TypeError, "source: .*uint8"),
        (lambda m, s, k: m(s[:0], k[:0], s[:0]), ValueError, "source: expected one sentence"),
        (lambda m, s, k: m(s, k, s[None]), ValueError, "target_in: expected 2 axes"),
        (lambda m, s, k: greedy(m, s, k, bos=99), ValueError, "bos: expected a word below 7"),
        (lambda m, s, k: beam_search(m, s, k, eos=99), ValueError, "eos: expected a word below 7"),
        (lambda m, s, k: beam_search(m, s, k, width=2.5), TypeError, "width: .*int, got 2.5"),  # type: ignore[arg-type]
        (lambda m, s, k: Seq2Seq(5, 5, score="additive"), TypeError, "score: .*'additive'"),  # type: ignore[arg-type]
    ],
)
def test_bad_input_names_the_argument(unchecked, call, error, words):
    source, mask = sentences()
    with pytest.raises(error) as caught:
        call(translator(), source % TARGET if "s + 90" not in words else source, mask)
    assert re.search(words, str(caught.value)), caught.value


def test_scores_without_widths_need_equal_ones():
    """Dot and cosine compare vectors of one width: the encoder's states are twice the decoder's."""
    with pytest.raises(ValueError, match="score: "):
        Seq2Seq(5, 5, 4, 4, Cosine())


def test_decoding_keeps_no_graph():
    model = translator("additive")
    source, mask = sentences()
    found = greedy(model, source, mask, max_length=3)[0]
    assert not not_none(found.weights).requires_grad
    found = beam_search(model, source, mask, width=2, max_length=3)[0][0]
    assert not not_none(found.weights).requires_grad


def test_the_first_state_is_the_tanh_of_the_context():
    model = translator("none")
    source, mask = sentences()
    _, context = model.encoder(source, mask)
    _, state = model.begin(source, mask)
    torch.testing.assert_close(state, model.decoder.start(context).tanh())
    assert state.abs().max() < 1


def patient_beam(model, source, mask, width, max_length):
    """A beam that never stops early, on lists: (words, sum of log-probabilities)."""
    beam: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    done = []
    for _ in range(max_length):
        grown = []
        for words, total in beam:
            logits, _ = model(source, mask, torch.tensor([[1, *words]]))
            gains = logits[0, -1].log_softmax(dim=-1).tolist()
            grown += [((*words, w), total + gain) for w, gain in enumerate(gains)]
        grown = sorted(grown, key=lambda h: -h[1])[:width]
        done += [(words[:-1], total) for words, total in grown if words[-1] == 2]
        beam = [(words, total) for words, total in grown if words[-1] != 2]
    return sorted(done, key=lambda h: -h[1])[:width] or beam


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_stopping_early_changes_nothing(width, seed):
    model = translator("general", seed=seed)
    with torch.no_grad():
        model.decoder.output_proj.bias[2] += 1.5  # sentences of several lengths
    source, mask = sentences((4,), seed)
    found = beam_search(model, source, mask, width=width, max_length=7)[0]
    expected = patient_beam(model, source, mask, width, 7)
    assert [h.words for h in found] == [words for words, _ in expected]
    for hypothesis, (_, total) in zip(found, expected, strict=True):
        assert hypothesis.log_probability == pytest.approx(total, abs=1e-4)


def test_the_number_of_padding_is_an_argument():
    logits = torch.randn(1, 3, TARGET)
    target = torch.tensor([[3, 6, 6]])
    torch.testing.assert_close(
        sequence_loss(logits, target, pad=6), -logits[0, 0].log_softmax(dim=-1)[3]
    )


@pytest.mark.parametrize("direction", [None, 1, 3, 8])
def test_the_encoder_may_have_a_width_of_its_own(direction):
    model = Seq2Seq(SOURCE, TARGET, 4, WIDTH, direction=direction)
    each = WIDTH if direction is None else direction
    source, mask = sentences()
    memory, state = model.begin(source, mask)
    assert model.encoder.width == 2 * each
    assert memory.states.shape == (3, 5, 2 * each)
    assert not_none(memory.context).shape == (3, 2 * each)
    assert state.shape == (3, WIDTH)
    assert model(source, mask, source % TARGET)[0].shape == (3, 5, TARGET)


@pytest.mark.parametrize("score", [Dot, ScaledDot, Cosine])
@every_layout
def test_half_the_width_makes_states_comparable(score, layout):
    """Scores without weights compare vectors of one width, whatever the layout."""
    model = Seq2Seq(SOURCE, TARGET, 4, WIDTH, score(), layout, direction=WIDTH // 2)
    source, mask = sentences()
    logits, weights = model(source, mask, source % TARGET)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 5))
    logits.square().sum().backward()
    assert all(not_none(p.grad).abs().sum() > 0 for p in model.parameters())
    for other in (None, WIDTH // 2 - 1, WIDTH // 2 + 1):
        with pytest.raises(ValueError, match=f"score: .*state .{WIDTH}. and keys as wide as"):
            Seq2Seq(SOURCE, TARGET, 4, WIDTH, score(), layout, direction=other)


@every_kind
def test_memory_takes_rows_in_the_order_asked_for(kind):
    model = translator(kind)
    memory, _ = model.begin(*sentences())
    rows = torch.tensor([2, 0, 0])
    taken = memory.take(rows)
    for name in ("states", "prepared", "mask", "context"):
        whole, part = getattr(memory, name), getattr(taken, name)
        assert (whole is None) == (part is None) == (name == "prepared" and kind == "none")
        if whole is not None:
            assert torch.equal(part, torch.stack([whole[2], whole[0], whole[0]]))
    assert Memory(memory.states, None, memory.mask, None).take(rows).context is None


def test_a_model_of_the_right_form_can_be_decoded():
    assert isinstance(translator(), Translator)
    assert not isinstance(nn.GRU(2, 2), Translator)


# ---- Mixed precision --------------------------------------------------------------------------

SCORES: dict[str, Callable[[], Score | None]] = {
    "none": lambda: None,
    "dot": Dot,
    "scaled": ScaledDot,
    "general": lambda: General(WIDTH, WIDTH),
    "additive": lambda: Additive(WIDTH, WIDTH, 5),
    "cosine": lambda: Cosine(0.5, learned=True),
}


def at_work(kind, layout, seed=0):
    torch.manual_seed(seed)
    model = Seq2Seq(SOURCE, TARGET, 4, WIDTH, SCORES[kind](), layout, direction=WIDTH // 2)
    source, mask = sentences()
    target = torch.randint(1, TARGET, (3, 4), generator=torch.Generator().manual_seed(1))

    def learn():
        return learned_from(
            lambda: model(source, mask, target), model, lambda logits: sequence_loss(logits, target)
        )

    return model, source, mask, learn


@pytest.mark.parametrize("dtype", HALVES)
@every_layout
@pytest.mark.parametrize("kind", SCORES)
def test_every_score_and_layout_under_autocast(kind, layout, dtype):
    model, source, mask, learn = at_work(kind, layout)
    exact = learn()
    with torch.autocast("cpu", dtype):
        ours = learn()
        found = greedy(model, source, mask, max_length=6)
        beams = beam_search(model, source, mask, width=2, max_length=6)
    assert_model_near(dtype, ours, exact)
    # Logits of autocast's type; softmax and loss in float32.
    assert [part.dtype for part in ours[0]] == [dtype] + [torch.float32] * (len(ours[0]) - 1)
    for row, (one, (best, *_)) in enumerate(zip(found, beams, strict=True)):
        alone, seen = source[row : row + 1], mask[row : row + 1]
        for told in (one, best):
            if told.finished:
                exactly = log_probability(model, alone, seen, told.words)
                assert told.log_probability == pytest.approx(exactly, abs=0.1)


@pytest.mark.parametrize("dtype", [*HALVES, torch.float64])
@every_layout
@pytest.mark.parametrize("kind", SCORES)
def test_models_of_another_type_without_autocast(kind, layout, dtype):
    model, source, mask, learn = at_work(kind, layout)
    exact = learn()
    model.to(dtype)
    ours = learn()
    assert {part.dtype for part in [*ours[0], ours[1]]} == {dtype}
    assert_model_near(dtype, ours, exact)
    greedy(model, source, mask, max_length=3)
    beam_search(model, source, mask, width=2, max_length=3)


@every_layout
@pytest.mark.parametrize("kind", SCORES)
def test_a_double_model_under_autocast_is_exact(kind, layout):
    model, *_, learn = at_work(kind, layout)
    model.double()
    exact = learn()
    with torch.autocast("cpu", torch.bfloat16):
        ours = learn()
    for mine, theirs in zip([*ours[0], ours[1]], [*exact[0], exact[1]], strict=True):
        assert torch.equal(mine, theirs)
