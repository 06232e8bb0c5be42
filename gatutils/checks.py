"""One way to refuse bad input: name the argument, what was expected, what came."""

import torch
from torch import Tensor

__all__ = ["expect", "expect_tensor"]


def expect(ok: bool, name: str, expected: str, got: object) -> None:
    """Raise ``ValueError`` unless ``ok``.

    Args:
        ok: The condition that must hold.
        name: The argument as the caller wrote it.
        expected: What would have been right.
        got: What came; put into the message as it is.

    Raises:
        ValueError: If ``ok`` is false.
    """
    if not ok:
        raise ValueError(f"{name}: expected {expected}, got {got}")


def expect_tensor(value: object, name: str, kind: str, ndim: int | None = None) -> None:
    """Raise unless ``value`` is a tensor of the right kind with at least ``ndim`` axes.

    Args:
        value: What came.
        name: The argument as the caller wrote it.
        kind: ``"float"``, ``"int"`` or ``"bool"``.
        ndim: The least number of axes, or None for any.

    Raises:
        TypeError: If it is no tensor, or one of another kind.
        ValueError: If it has fewer axes.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a {kind} tensor, got {type(value).__name__}")
    of_kind = {
        "float": value.is_floating_point(),
        "int": value.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        "bool": value.dtype == torch.bool,
    }[kind]
    if not of_kind:
        raise TypeError(f"{name}: expected a {kind} tensor, got {value.dtype}")
    if ndim is not None and value.ndim < ndim:
        expect(False, name, f"at least {ndim} axes", f"shape {tuple(value.shape)}")
