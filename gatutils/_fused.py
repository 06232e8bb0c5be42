"""A layer's scores, softmax, sums and bias as one compiled operation with its own gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor

from gatutils._checks import expect, expect_finite
from gatutils._csr import Pattern
from gatutils._kernels import (
    apply,
    both_ways,
    full_precision,
    gradients,
    safe_magnitude,
    softmax_and_sums,
)


class Attention(NamedTuple):
    """How a layer attends, its keys being its values.

    Attributes:
        operation: The compiled operation: scores, softmax and sums of some inputs.
        backward: The one that computes the gradients of these.
        scores: Their scores, (entries, heads), by operations that autograd records.
        slope: Slope of the LeakyReLU for negative inputs.
    """

    operation: Callable[..., Any]
    backward: Callable[..., Any]
    scores: Callable[..., Tensor]
    slope: float


def attend(
    attention: Attention,
    inputs: tuple[Tensor | None, ...],
    pattern: Pattern,
    mask: Float[Tensor, "entries heads"] | None,
    bias: Float[Tensor, " width"] | None,
) -> tuple[Float[Tensor, "rows width"], Float[Tensor, "entries heads"]]:
    """Return :func:`~gatutils._kernels.softmax_and_sums` of a layer's scores, plus a bias.

    Args:
        attention: How the layer attends.
        inputs: What the scores are computed from; the second are the keys, (columns, heads, dim).
        pattern: The positions of the entries.
        mask: The factors by which dropout multiplies the weights; None for ones.
        bias: One number for each of a row's sums; None for zeros.

    Returns:
        The sums plus the bias, the heads side by side, and the weights.

    Raises:
        ValueError: If a state or a score is NaN or infinite.
    """
    sums, weights = apply(_Attend, attention, pattern, mask, bias, *inputs)
    return sums, weights


Method = TypeVar("Method", bound=Callable[..., Any])


def standard(method: Method) -> Method:
    """Mark a method of a layer as one that the compiled operations compute too.

    They must not be used for a layer in which another one takes its place.
    """
    cast(Any, method).standard = True
    return method


def is_standard(method: Callable[..., Any]) -> bool:
    """Tell whether a method is marked so."""
    return bool(getattr(method, "standard", False))


class _Attend(torch.autograd.Function):
    """See :func:`attend`.

    If gradients of the gradients are required (``create_graph=True``), all is computed again by
    operations that autograd records.
    """

    @staticmethod
    def forward(
        ctx: Any,
        attention: Attention,
        pattern: Pattern,
        mask: Tensor | None,
        bias: Tensor | None,
        *inputs: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Args are as in :func:`attend`, and the inputs."""
        key, by_row = inputs[1], (pattern.indptr, pattern.rows, pattern.indices)
        assert key is not None
        sums, weights, largest, *kept = attention.operation(
            *inputs, mask, bias, attention.slope, safe_magnitude(key.dtype), *by_row
        )
        if not math.isfinite(largest):
            expect_finite(attention.scores(*inputs), "scores")  # finds it, and names it
            expect(False, "scores", "finite numbers", "NaN or infinity")
        ctx.save_for_backward(mask, weights, *kept, *inputs)
        ctx.attention, ctx.pattern, ctx.kept = attention, pattern, len(kept)
        ctx.set_materialize_grads(False)  # the weights are seldom used elsewhere
        if not any(each.requires_grad for each in inputs if each is not None):
            ctx.mark_non_differentiable(weights)
        return sums, weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, of_weights: Tensor | None) -> Any:
        """Return the gradients of the bias and of the inputs."""
        mask, weights, *rest = ctx.saved_tensors
        kept, inputs = rest[: ctx.kept], rest[ctx.kept :]
        attention, pattern = ctx.attention, ctx.pattern
        with_bias = ctx.needs_input_grad[3] and gradient is not None
        nothing = (None,) * len(inputs)
        if gradient is None and of_weights is None:
            return None, None, None, None, *nothing
        if torch.is_grad_enabled() or not any(ctx.needs_input_grad[4:]):
            of_bias = gradient.sum(dim=0) if with_bias and gradient is not None else None
            if not any(ctx.needs_input_grad[4:]):
                return None, None, None, of_bias, *nothing
            of_inputs = _recorded(attention, pattern, mask, inputs, gradient, of_weights)
            return None, None, None, of_bias, *of_inputs
        if gradient is None:
            key = inputs[1]
            gradient = key.new_zeros(pattern.num_rows, key.shape[1] * key.shape[2])
        given = gradient, of_weights, weights, *kept, *inputs, mask, with_bias, attention.slope
        of_bias, *rest = attention.backward(*given, *both_ways(pattern))
        of_inputs = tuple(None if x is None else of_x for x, of_x in zip(inputs, rest, strict=True))
        return None, None, None, of_bias, *of_inputs


def _recorded(
    attention: Attention,
    pattern: Pattern,
    mask: Tensor | None,
    inputs: list[Tensor | None],
    gradient: Tensor | None,
    of_weights: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of the inputs, which can be differentiated in turn."""

    @full_precision
    def formula(*inputs: Tensor | None) -> Tensor:
        key = inputs[1]
        assert key is not None
        sums, weights = softmax_and_sums(attention.scores(*inputs), key, pattern, mask)
        terms = (sums.flatten(1), gradient), (weights, of_weights)
        return torch.stack([(y * g).sum() for y, g in terms if g is not None]).sum()

    return gradients(formula, inputs, None)
