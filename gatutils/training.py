"""One training loop for every model of the book: Adam, warm-up, cosine decay, clipping, seeds."""

import math
import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from gatutils._checks import expect, expect_int

__all__ = ["EarlyStopping", "History", "fit", "learning_rate", "seed_everything"]

Batch = TypeVar("Batch")
T = TypeVar("T")


@dataclass
class History:
    """What was recorded during training.

    Attributes:
        loss: The loss of each step's batch.
        lr: The learning rate of each step.
        gradient: The norm of the whole gradient at each step, before clipping.
        scores: One pair (step, what ``evaluate`` returned) per evaluation.
    """

    loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    gradient: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)


class EarlyStopping:
    """Stop when a model has not improved on held-out data for a while, and keep its best state.

    With ``monitor="both"``, a step that reaches the best loss *or* the best accuracy so far resets
    the count, and the parameters are saved at each step that reaches *both*. With ``"loss"`` or
    ``"accuracy"``, the other plays no part. A tie with the best so far counts as reaching it.
    :meth:`restore` loads the parameters saved last.

    Args:
        evaluate: Returns the held-out loss and accuracy of a model.
        patience: How many consecutive steps without improvement end the training.
        monitor: What has to improve: ``"both"``, ``"loss"`` or ``"accuracy"``.

    Attributes:
        best: The step whose parameters are saved; None before the first.
        steps: The number of steps so far.

    Source:
        ``"both"`` is the rule of Velickovic et al. (2018), section 3.3, in the order of the
        authors' code, where a tie counts too.
    """

    def __init__(
        self,
        evaluate: Callable[[nn.Module], tuple[float, float]],
        patience: int = 100,
        monitor: Literal["both", "loss", "accuracy"] = "both",
    ) -> None:
        expect_int(patience, "patience", least=1)
        known = monitor in ("both", "loss", "accuracy")
        expect(known, "monitor", "'both', 'loss' or 'accuracy'", repr(monitor))
        self.evaluate, self.patience, self.monitor = evaluate, patience, monitor
        self.loss, self.accuracy = math.inf, 0.0
        self.steps = self.waited = 0
        self.best: int | None = None
        self._weights: dict[str, Tensor] = {}

    @property
    def stopped(self) -> bool:
        """Whether the training is to end."""
        return self.waited >= self.patience

    def __call__(self, model: nn.Module) -> bool:
        """Evaluate the model after a step; return whether to stop."""
        loss, accuracy = self.evaluate(model)
        lower, higher = loss <= self.loss, accuracy >= self.accuracy
        if self.monitor != "both":
            lower = higher = lower if self.monitor == "loss" else higher
        if lower and higher:
            self.best = self.steps
            self._weights = {name: w.clone() for name, w in model.state_dict().items()}
        self.loss, self.accuracy = min(loss, self.loss), max(accuracy, self.accuracy)
        self.steps += 1
        self.waited = 0 if lower or higher else self.waited + 1
        return self.stopped

    def restore(self, model: nn.Module) -> None:
        """Load the saved parameters into the model."""
        expect(self.best is not None, "model", "one that was looked at", "none kept")
        model.load_state_dict(self._weights)


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries still use it)
    torch.manual_seed(seed)


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Return the learning rate of a step: linear to ``peak``, then half a cosine to 0.

    Args:
        step: The step, 0 to ``steps`` - 1.
        steps: The number of steps in total.
        peak: The highest rate.
        warmup: The number of steps during which the rate rises.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    steps: int,
    *,
    lr: float = 3e-3,
    warmup: float = 0.05,
    clip: float = 1.0,
    cosine: bool = True,
    weight_decay: float = 0.0,
    seed: int = 0,
    evaluate: Callable[[nn.Module], float] | None = None,
    every: int = 0,
    stop: Callable[[nn.Module], bool] | None = None,
    progress: bool | None = None,
) -> History:
    """Train ``model`` in place.

    Args:
        model: Any module; left in training mode.
        batches: Yields at least ``steps`` batches.
        loss: Returns the scalar to minimise, given the model and a batch.
        steps: Number of batches to train on.
        lr: Highest learning rate; see :func:`learning_rate`.
        warmup: Fraction of the steps during which the rate rises, 0 to 1.
        clip: Maximum norm of the gradient; a larger gradient is scaled down to it.
        cosine: Let the rate decay after the warm-up; False keeps it at ``lr``.
        weight_decay: The multiple of each parameter that is added to its gradient, after clipping
            (L2 inside Adam).
        seed: Seeds torch's generator during training (for dropout); its state is restored
            afterwards.
        evaluate: Called without gradients in evaluation mode, for ``History.scores``.
        every: Steps between two evaluations; 0 for none.
        stop: Called like ``evaluate`` after each step; if it returns True, training ends (see
            :class:`EarlyStopping`).
        progress: Show a progress bar; None shows one unless ``GATUTILS_PROGRESS=0`` is set, which
            keeps bars out of stored notebooks.

    Returns:
        What was recorded at each step.

    Raises:
        ValueError: If an argument is out of range, or ``batches`` ends early.
        FloatingPointError: If the loss or its gradient is no longer finite; the parameters are
            left as they were before that step.
    """
    expect_int(steps, "steps", least=1)
    expect(lr > 0, "lr", "above 0", lr)
    expect(0 <= warmup <= 1, "warmup", "a share from 0 to 1", warmup)
    expect(clip > 0, "clip", "above 0", clip)
    expect(weight_decay >= 0, "weight_decay", "0 or more", weight_decay)
    expect_int(every, "every", least=0)
    expect((evaluate is None) == (every == 0), "every", "steps along with evaluate", every)
    if progress is None:
        progress = os.environ.get("GATUTILS_PROGRESS", "1") != "0"
    history = History()
    # One call for all parameters: faster on the CPU, the same numbers, more memory for a moment.
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay, foreach=True)
    stream: Iterator[Batch] = iter(batches)
    model.train()
    with (
        torch.random.fork_rng(),
        tqdm(total=steps, disable=not progress, leave=False, unit="step") as bar,
    ):
        torch.manual_seed(seed)
        for step in range(steps):
            try:
                batch = next(stream)
            except StopIteration:
                raise ValueError(f"batches: expected {steps} of them (steps), got {step}") from None
            rate = learning_rate(step, steps, lr, round(warmup * steps))
            if not cosine and step >= round(warmup * steps):
                rate = lr
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
            value = loss(model, batch)
            if not value.isfinite():
                raise FloatingPointError(
                    f"loss: {value.item()} at step {step}; a lower lr (now {lr}) may help"
                )
            value.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
            if not norm.isfinite():
                raise FloatingPointError(f"loss: its gradient is {norm.item()} at step {step}")
            optimizer.step()
            history.loss.append(value.item())
            history.lr.append(rate)
            history.gradient.append(norm.item())
            if evaluate is not None and (step + 1) % every == 0:
                history.scores.append((step + 1, _evaluate(evaluate, model)))
            stopped = stop is not None and _evaluate(stop, model)
            bar.set_postfix_str(f"loss {value.item():.3f}", refresh=False)
            bar.update()
            if stopped:
                break
    return history


def _evaluate(function: Callable[[nn.Module], T], model: nn.Module) -> T:
    """Call a function in evaluation mode, without affecting the random numbers of the training."""
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng():
            return function(model)
    finally:
        model.train()
