import math
import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gatutils.book.experiments.translation import longest_chain
from gatutils.training import (
    EarlyStopping,
    fit,
    learning_rate,
    seed_everything,
)


def line(seed=0):
    """A model of y = 2 x, and batches of x."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    return nn.Linear(1, 1), iter(lambda: torch.randn(8, 1, generator=rng), None)


def squared(model, x):
    return (model(x) - 2 * x).square().mean()


def test_fit_learns_and_records_every_step():
    model, batches = line()
    history = fit(model, batches, squared, 150, lr=0.1)
    assert len(history.loss) == len(history.lr) == len(history.gradient) == 150
    assert history.loss[-1] < 1e-3 < history.loss[0]
    assert model.weight.item() == pytest.approx(2, abs=0.05)
    model, batches = line()
    one, two = next(batches), next(batches)
    first = squared(model, one).item()
    history = fit(model, [one, two], squared, 2, lr=1e-9)
    assert history.loss == pytest.approx([first, squared(model, two).item()], rel=1e-4)


def test_same_seed_same_weights_and_the_generator_is_put_back():
    results = []
    for _ in range(2):
        inner, batches = line()
        model = nn.Sequential(nn.Dropout(0.5), inner)
        before = torch.get_rng_state()
        fit(model, batches, squared, 20, seed=7)
        assert torch.equal(torch.get_rng_state(), before)
        results.append(inner.weight.item())
        torch.rand(3)  # what others draw must not matter
    assert results[0] == results[1]
    inner, batches = line()
    model = nn.Sequential(nn.Dropout(0.5), inner)
    fit(model, batches, squared, 20, seed=8)
    assert inner.weight.item() != results[0]


def test_seed_everything_seeds_all_three():
    import random

    import numpy as np

    draws = []
    for _ in range(2):
        seed_everything(3)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))  # noqa: NPY002
    assert draws[0] == draws[1]


def test_learning_rate_warms_up_then_falls_like_a_cosine():
    rates = [learning_rate(step, 100, 0.5, 10) for step in range(100)]
    assert rates[:10] == pytest.approx([0.05 * k for k in range(1, 11)])
    assert rates[10] == 0.5
    assert rates[55] == pytest.approx(0.25)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001
    model, batches = line()
    assert fit(model, batches, squared, 100, lr=0.5, warmup=0.1).lr == pytest.approx(rates)


def test_long_gradients_are_shortened():
    """With clip c the first Adam moments see a gradient of length c: compare with a loss scaled."""
    model, batches = line()
    seen = []
    hook = torch.optim.Adam.step
    x = next(batches)

    def spy(self, *args, **kwargs):
        seen.append(
            math.sqrt(sum(p.grad.square().sum() for g in self.param_groups for p in g["params"]))
        )
        return hook(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", spy)
        history = fit(model, [x], lambda m, b: 1000 * squared(m, b), 1, clip=0.5)
    assert history.gradient[0] > 100
    assert seen[0] == pytest.approx(0.5, rel=1e-3)


def test_weight_decay_is_adam_s():
    """Added to the gradient, after it is clipped."""
    weights = []
    for decay in (0.0, 0.3):
        model, batches = line()
        x = next(batches)
        fit(model, [x] * 5, squared, 5, lr=0.1, warmup=0, clip=0.5, weight_decay=decay)
        by_hand, _ = line()
        adam = torch.optim.Adam(by_hand.parameters(), weight_decay=decay)
        for step in range(5):
            adam.param_groups[0]["lr"] = learning_rate(step, 5, 0.1, 0)
            adam.zero_grad()
            squared(by_hand, x).backward()
            nn.utils.clip_grad_norm_(by_hand.parameters(), 0.5)
            adam.step()
        torch.testing.assert_close(model.state_dict(), by_hand.state_dict())
        weights.append(model.weight.item())
    assert weights[0] != weights[1]
    model, batches = line()
    plain = fit(model, batches, squared, 5, lr=0.1)  # none unless asked for
    model, batches = line()
    assert fit(model, batches, squared, 5, lr=0.1, weight_decay=0.0) == plain


def test_evaluation_runs_in_evaluation_mode_and_training_goes_on():
    model, batches = line()
    modes = []

    def evaluate(m):
        modes.append((m.training, torch.is_grad_enabled()))
        return 1.0

    model.eval()
    history = fit(model, batches, squared, 10, evaluate=evaluate, every=4)
    assert history.scores == [(4, 1.0), (8, 1.0)]
    assert modes == [(False, False)] * 2
    assert model.training


def test_bars_stay_out_where_they_are_switched_off(capsys):
    model, batches = line()
    fit(model, batches, squared, 3)
    assert capsys.readouterr().err == ""
    fit(model, batches, squared, 3, progress=True)
    assert "/3" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_lost():
    model, batches = line()

    def breaks(m, x):
        value = squared(m, x)
        return value * torch.nan if m.weight.item() > 0.5 else value

    with torch.no_grad():
        model.weight.fill_(0.0)
    with pytest.raises(FloatingPointError, match=r"loss: nan at step \d+; a lower lr"):
        fit(model, batches, breaks, 1000, lr=0.1)
    assert model.weight.isfinite().all()


def test_what_an_evaluation_draws_does_not_change_the_training():
    weights = []
    evaluating: dict[str, Any] = {"evaluate": lambda m: torch.rand(1).item(), "every": 2}
    for options in ({}, evaluating):
        inner, batches = line()
        model = nn.Sequential(nn.Dropout(0.5), inner)
        fit(model, batches, squared, 10, **options)
        weights.append(inner.weight.item())
    assert weights[0] == weights[1]


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_an_infinite_loss_stops_too(bad):
    model, batches = line()
    with pytest.raises(FloatingPointError, match=r"loss: (inf|nan) at step 0"):
        fit(model, batches, lambda m, x: squared(m, x) * bad, 3)


def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_lost():
    model, batches = line()
    with pytest.raises(FloatingPointError, match="loss: its gradient is nan at step 0"):
        fit(model, batches, lambda *_: (model.weight * 0).abs().sqrt().sum(), 3)
    assert model.weight.isfinite().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps: .*at least 1, got 0"),
        ({"steps": 3, "lr": 0}, "lr: .*above 0, got 0"),
        ({"steps": 3, "warmup": 2}, "warmup: .*0 to 1, got 2"),
        ({"steps": 3, "clip": -1}, "clip: .*above 0, got -1"),
        ({"steps": 3, "weight_decay": -0.1}, "weight_decay: .*0 or more, got -0.1"),
        ({"steps": 3, "every": 5}, "every: .*along with evaluate, got 5"),
        ({"steps": 3, "evaluate": lambda m: 1.0}, "every: .*along with evaluate, got 0"),
        ({"steps": 3, "every": -1}, "every: .*at least 0, got -1"),
        ({"steps": 3, "batches": [torch.ones(1, 1)]}, r"batches: expected 3 .*, got 1"),
    ],
)
def test_bad_input_names_the_argument(unchecked, options, words):
    model, batches = line()
    with pytest.raises(ValueError, match=re.compile(words)):
        fit(model, options.pop("batches", batches), squared, **options)


def test_longest_chain_counts_what_waits_not_what_is_done():
    x = torch.ones(1, requires_grad=True)
    base = longest_chain(x * 2)
    assert base == 1
    chain = x * 2
    for _ in range(9):
        chain = chain * 2
    assert longest_chain(chain) == base + 9
    side_by_side = torch.cat([x * 2 for _ in range(10)])
    assert longest_chain(side_by_side) == base + 1
    assert longest_chain(torch.cat([x * 2, chain])) == base + 10  # the longer way counts


def test_longest_chain_of_a_recurrent_layer_grows_with_the_sequence():
    """It must not recurse: 3000 steps are deeper than Python's stack."""
    cell, state = nn.RNNCell(2, 2), torch.zeros(1, 2)
    x = torch.ones(1, 2)
    depths = []
    for step in range(3000):
        state = cell(x, state)
        if step in (99, 199, 2999):
            depths.append(longest_chain(state))
    assert depths[1] - depths[0] == 100 * (depths[2] - depths[1]) / 2800


def test_longest_chain_wants_a_gradient():
    with pytest.raises(ValueError, match="out: expected a tensor with a gradient"):
        longest_chain(torch.ones(1))


# --- stopping early -------------------------------------------------------------------------------


def tell(course):
    """What evaluates a model: one (loss, accuracy) after another."""
    said = iter(course)
    return lambda model: next(said)


def as_the_authors(course, patience):
    """The loop of the code of Velickovic et al., execute_cora.py: what it keeps, when it stops."""
    lowest, highest, waited, kept = math.inf, 0.0, 0, None
    for epoch, (loss, accuracy) in enumerate(course):
        if accuracy >= highest or loss <= lowest:
            if accuracy >= highest and loss <= lowest:
                kept = epoch
            highest, lowest = max(accuracy, highest), min(loss, lowest)
            waited = 0
        else:
            waited += 1
            if waited == patience:
                return kept, epoch + 1, True
    return kept, len(course), False


# Few values, so that there are ties.
few = st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(lambda k: k / 5))
many = st.tuples(st.floats(0, 10), st.floats(0, 1))


@given(st.lists(few, min_size=1) | st.lists(many, min_size=1), st.integers(1, 4))
def test_patience_is_that_of_the_authors(course, patience):
    kept, looks, stopped = as_the_authors(course, patience)
    rule = EarlyStopping(tell(course), patience)
    model = nn.Linear(1, 1)
    for step in range(looks):
        assert rule.steps == step
        nn.init.constant_(model.weight, step)
        assert rule(model) == (stopped and step == looks - 1)
        losses, accuracies = zip(*course[: step + 1], strict=True)
        assert (rule.loss, rule.accuracy) == (min(losses), max(accuracies))
        best = course[step] == (min(losses), max(accuracies))
        assert (rule.best == step) == best
    assert (rule.best, rule.steps) == (kept, looks)
    rule.restore(model)
    assert model.weight.item() == kept


def test_patience_waits_a_hundred_steps_unless_told():
    course = [(1.0, 0.5)] + [(2.0, 0.4)] * 200
    rule, model = EarlyStopping(tell(course)), nn.Linear(1, 1)
    assert [rule(model) for _ in range(101)] == [False] * 100 + [True]
    assert (rule.best, rule.waited) == (0, 100)


def test_what_patience_keeps_is_a_copy_of_all_weights_and_buffers():
    course = [(1.0, 0.5), (0.9, 0.6), (0.8, 0.5), (1.0, 0.7), (2.0, 0.1)]
    rule = EarlyStopping(tell(course), 3)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    adam = torch.optim.Adam(model.parameters(), lr=0.1)
    states = []
    for _ in course:
        adam.zero_grad()
        model(torch.randn(8, 3)).square().mean().backward()
        adam.step()
        states.append({name: part.clone() for name, part in model.state_dict().items()})
        rule(model)
    assert rule.best == 1  # one of the two alone is not enough
    assert all(not torch.equal(states[1][name], states[-1][name]) for name in states[1])
    for _ in range(2):  # and what is put back is not what is kept
        rule.restore(model)
        assert model.state_dict().keys() == states[1].keys()
        for name, part in model.state_dict().items():
            assert torch.equal(part, states[1][name])
        model(torch.randn(8, 3))
        with torch.no_grad():
            for weights in model.parameters():
                weights.add_(1)


def test_nothing_is_restored_before_a_look():
    rule = EarlyStopping(tell([(1.0, 0.5)]))
    assert rule.best is None
    with pytest.raises(ValueError, match="model: expected one that was looked at, got none kept"):
        rule.restore(nn.Linear(1, 1))


@pytest.mark.parametrize("monitor", ["loss", "accuracy"])
@given(
    st.lists(st.tuples(st.sampled_from([0.5, 1, 2]), st.sampled_from([0.1, 0.4, 0.6])), min_size=1),
    st.integers(1, 3),
)
def test_patience_that_monitors_one_number_ignores_the_other(monitor, course, patience):
    """The last step as good as any before it is kept; as many worse ones in a row end it."""
    rule, model = EarlyStopping(tell(course), patience, monitor), nn.Linear(1, 1)
    signed = [(-loss if monitor == "loss" else accuracy) for loss, accuracy in course]
    best = 0
    for step, number in enumerate(signed):
        best = step if number == max(signed[: step + 1]) else best
        nn.init.constant_(model.weight, step)
        assert rule(model) == rule.stopped == (step - best >= patience)
        assert rule.best == best
    rule.restore(model)
    assert model.weight.item() == best


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_number_to_monitor_is_named():
    with pytest.raises(
        ValueError, match="monitor: expected 'both', 'loss' or 'accuracy', got 'F1'"
    ):
        EarlyStopping(tell([]), monitor="F1")  # type: ignore[arg-type]


@pytest.mark.parametrize(("patience", "error"), [(0, ValueError), (1.5, TypeError)])
@pytest.mark.usefixtures("unchecked")
def test_bad_patience_is_named(patience, error):
    with pytest.raises(error, match=f"patience: .*{patience}"):
        EarlyStopping(tell([]), patience)


def noisy():
    """A model that draws in training, and batches."""
    model, batches = line()
    return nn.Sequential(nn.Dropout(0.5), model), batches


@pytest.mark.parametrize("last", [1, 4, 20])
def test_stop_ends_the_training_after_its_step(last):
    looks, taken = [], []

    def stop(model):
        looks.append((model.training, torch.is_grad_enabled(), model[1].weight.item()))
        return len(looks) == last

    def watched(batches):
        for batch in batches:
            taken.append(batch)
            yield batch

    constant: dict[str, Any] = {"lr": 0.1, "warmup": 0, "cosine": False}
    model, batches = noisy()
    history = fit(model, watched(batches), squared, 20, stop=stop, **constant)
    assert len(history.loss) == len(history.lr) == len(history.gradient) == last
    assert len(looks) == len(taken) == last
    assert {look[:2] for look in looks} == {(False, False)}
    assert model.training
    short, batches = noisy()
    assert fit(short, batches, squared, last, **constant) == history
    assert looks[-1][2] == model[1].weight.item() == short[1].weight.item()


def test_one_that_never_stops_changes_nothing():
    trained = []
    for stop in (None, lambda m: False, lambda m: bool(torch.rand(3).sum() > 9)):
        model, batches = noisy()
        before = torch.get_rng_state()
        history = fit(model, batches, squared, 10, stop=stop)
        assert torch.equal(torch.get_rng_state(), before)
        trained.append((history, model[1].weight.item()))
    assert trained[0] == trained[1] == trained[2]


def test_an_evaluation_comes_before_the_end():
    model, batches = noisy()
    history = fit(model, batches, squared, 20, stop=lambda m: True, evaluate=lambda m: 3.0, every=1)
    assert history.scores == [(1, 3.0)]


def test_patience_stops_a_training_and_puts_the_best_weights_back():
    course = [(1.0, 0.5), (0.9, 0.6), (0.8, 0.6), (0.9, 0.6), (0.9, 0.5), (1.0, 0.5), (0.1, 0.9)]
    constant: dict[str, Any] = {"lr": 0.1, "warmup": 0, "cosine": False}
    model, batches = noisy()
    rule = EarlyStopping(tell(course), 2)
    assert len(fit(model, batches, squared, 50, stop=rule, **constant).loss) == 6
    rule.restore(model)
    best, batches = noisy()
    assert rule.best == 2
    fit(best, batches, squared, rule.best + 1, **constant)
    assert torch.equal(model[1].weight, best[1].weight)


@pytest.mark.parametrize("warmup", [0, 0.3, 1])
def test_without_the_cosine_the_rate_stays_where_the_warm_up_ends(warmup):
    model, batches = line()
    rates = fit(model, batches, squared, 10, lr=0.5, warmup=warmup, cosine=False).lr
    rising = round(10 * warmup)
    assert rates[:rising] == pytest.approx([0.5 * (k + 1) / rising for k in range(rising)])
    assert rates[rising:] == [0.5] * (10 - rising)
