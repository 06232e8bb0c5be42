"""The sparsity pattern of a matrix in compressed sparse rows, and its transpose.

Both a graph's adjacency matrix and one bag of words per node are such matrices. The operations on
them are in :mod:`gatutils._kernels`.
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
    """Return whether a tensor holds numbers, rather than being a tracer's placeholder."""
    try:
        value.untyped_storage()
    except NotImplementedError:  # a tensor of torch.func
        return False
    return type(value) is Tensor


class derived(Generic[Value]):  # noqa: N801 (used as a decorator, like property)
    """A property that is computed once and then cached, except during a trace.

    ``torch.export`` and ``torch.compile`` run code on tensors without numbers. What is derived
    from those must not be cached, since it would still be there when the trace is over.
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
        with torch.inference_mode(False):  # else training could not use what evaluation cached
            value = self.compute(instance)
        # A pattern or a graph holds numbers if its indptr does.
        if is_real(value if isinstance(value, Tensor) else cast(Any, value).indptr):
            instance.__dict__[self.name] = value  # from now on found before this descriptor
        return value


class Pattern:
    """The positions of a sparse matrix's entries, row by row.

    Args:
        indptr: The entries of row i are those at ``indptr[i]`` to ``indptr[i + 1] - 1``.
        indices: The column of each entry.
        num_columns: The number of columns.
        rows: The row of each entry, if it is already known.
    """

    def __init__(
        self,
        indptr: Int[Tensor, " rows_and_one"],
        indices: Int[Tensor, " entries"],
        num_columns: int,
        rows: Int[Tensor, " entries"] | None = None,
    ) -> None:
        self.indptr, self.indices, self.num_columns = indptr, indices, num_columns
        if rows is not None:
            self.__dict__["rows"] = rows

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.indptr) - 1

    @derived
    def rows(self) -> Int[Tensor, " entries"]:
        """The row of each entry."""
        every = torch.arange(self.num_rows, device=self.indptr.device)
        return every.repeat_interleave(self.indptr.diff(), output_size=len(self.indices))

    @derived
    def order(self) -> Int[Tensor, " entries"]:
        """The entries in the order of their columns, which is that of the transpose."""
        return self.indices.argsort(stable=True)

    @derived
    def column_indptr(self) -> Int[Tensor, " columns_and_one"]:
        """Where the entries of each column begin in :attr:`order`."""
        counts = self.indices.bincount(minlength=self.num_columns)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    @property
    def T(self) -> Pattern:  # noqa: N802 (as torch calls a transpose)
        """The transpose; entry k of it is entry ``order[k]`` of this one."""
        return Pattern(
            self.column_indptr, self.rows_by_column, self.num_rows, self.columns_by_column
        )

    @derived
    def rows_by_column(self) -> Int[Tensor, " entries"]:
        """The row of each entry, in the order of the transpose."""
        return self.rows[self.order]

    @derived
    def columns_by_column(self) -> Int[Tensor, " entries"]:
        """The column of each entry, in the order of the transpose."""
        return self.indices[self.order]

    def to(self, device: torch.device | str) -> Pattern:
        """Return the same pattern on another device."""
        return Pattern(self.indptr.to(device), self.indices.to(device), self.num_columns)
