"""Where a sparse matrix has entries: compressed sparse rows, and its transpose.

A graph's adjacency matrix and a bag of words for each node are both such matrices. What is
computed with them is in :mod:`gatutils.sparse`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast, overload

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["Pattern", "derived", "is_real"]

Value = TypeVar("Value")


def is_real(value: Tensor) -> bool:
    """Tell whether a tensor holds numbers, and is no stand-in of a tracer."""
    try:
        value.untyped_storage()
    except NotImplementedError:  # one of torch.func
        return False
    return type(value) is Tensor


class derived(Generic[Value]):  # noqa: N801 (used as a decorator, like property)
    """A property that is computed once, and never from the tensors of a trace.

    ``torch.export`` and ``torch.compile`` run code on tensors without numbers. What is derived
    from those must not be kept: it would be found again when the trace is over.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> derived[Value]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object | None, owner: type) -> derived[Value] | Value:
        if instance is None:
            return self
        with torch.inference_mode(False):  # else training could not use what evaluation has made
            value = self.compute(instance)
        if is_real(cast(Tensor, value)):
            instance.__dict__[self.name] = value  # found before this descriptor from now on
        return value


class Pattern:
    """The places of a sparse matrix's entries, row by row.

    Args:
        offsets: The entries of row i are those at ``offsets[i]`` to ``offsets[i + 1] - 1``.
        columns: The column of each entry.
        width: The number of columns.
        rows: The row of each entry, where it is known already.
    """

    def __init__(
        self,
        offsets: Int[Tensor, " rows_and_one"],
        columns: Int[Tensor, " entries"],
        width: int,
        rows: Int[Tensor, " entries"] | None = None,
    ) -> None:
        self.offsets, self.columns, self.width = offsets, columns, width
        if rows is not None:
            self.__dict__["rows"] = rows

    @property
    def height(self) -> int:
        """The number of rows."""
        return len(self.offsets) - 1

    @derived
    def rows(self) -> Int[Tensor, " entries"]:
        """The row of each entry."""
        every = torch.arange(self.height, device=self.offsets.device)
        return every.repeat_interleave(self.offsets.diff(), output_size=len(self.columns))

    @derived
    def order(self) -> Int[Tensor, " entries"]:
        """The entries in the order of their columns, which is that of the transpose."""
        return self.columns.argsort(stable=True)

    @derived
    def column_offsets(self) -> Int[Tensor, " columns_and_one"]:
        """Where the entries of each column begin in :attr:`order`."""
        counts = self.columns.bincount(minlength=self.width)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    @property
    def T(self) -> Pattern:  # noqa: N802 (as torch calls a transpose)
        """The transpose; entry k of it is entry ``order[k]`` of this one."""
        return Pattern(self.column_offsets, self.turned_rows, self.height, self.turned_columns)

    @derived
    def turned_rows(self) -> Int[Tensor, " entries"]:
        """The row of each entry, in the order of the transpose."""
        return self.rows[self.order]

    @derived
    def turned_columns(self) -> Int[Tensor, " entries"]:
        """The column of each entry, in the order of the transpose."""
        return self.columns[self.order]

    def to(self, device: torch.device | str) -> Pattern:
        """Return the same places on another device."""
        return Pattern(self.offsets.to(device), self.columns.to(device), self.width)
