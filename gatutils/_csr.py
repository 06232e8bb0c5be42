"""The sparsity pattern of a matrix in compressed sparse rows, also as the rows of several heads.

Both a graph's adjacency matrix and one bag of words per node are such matrices. The operations on
them are in :mod:`gatutils._kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar, cast, overload

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


class HeadRows(NamedTuple):
    """A block-diagonal sparse matrix with one block per head; see :meth:`Pattern.head_rows`.

    Its row ``i * heads + h`` is row i in head h, and its column ``j * heads + h`` column j.

    Attributes:
        indptr: The entries of its row r are those at ``indptr[r]`` to ``indptr[r + 1] - 1``.
        indices: The column of each entry.
        positions: Where the number of each entry is in a tensor (entries, heads), flattened; None
            if it is in the order of the entries.
    """

    indptr: Int[Tensor, " rows_and_one"]
    indices: Int[Tensor, " entries"]
    positions: Int[Tensor, " entries"] | None


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
        self._head_rows = dict[tuple[int, bool], HeadRows]()
        if rows is not None:
            self.__dict__["rows"] = rows

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("indptr", "indices", "num_columns")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Pattern.__init__(self, state["indptr"], state["indices"], state["num_columns"])

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return self.indptr.shape[0] - 1

    @derived
    def rows(self) -> Int[Tensor, " entries"]:
        """The row of each entry."""
        every = torch.arange(self.num_rows, device=self.indptr.device)
        return every.repeat_interleave(self.indptr.diff(), output_size=len(self.indices))

    @derived
    def every(self) -> Int[Tensor, " entries"]:
        """The number of each entry: 0, 1, 2, ..."""
        return torch.arange(len(self.indices), device=self.indices.device)

    @derived
    def order(self) -> Int[Tensor, " entries"]:
        """The entries in the order of their columns, which is that of the transpose."""
        return self.indices.argsort(stable=True)

    @derived
    def ends(self) -> Int[Tensor, " twice_entries"]:
        """The row and the column of each entry in turn, the columns counted on from the rows."""
        ends = torch.stack([self.rows, self.indices + self.num_rows], dim=1).flatten()
        return ends.int() if self.num_rows + self.num_columns < 2**31 else ends

    @derived
    def column_indptr(self) -> Int[Tensor, " columns_and_one"]:
        """Where the entries of each column begin in :attr:`order`."""
        counts = self.indices.bincount(minlength=self.num_columns)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    def head_rows(self, heads: int, transposed: bool = False) -> HeadRows:
        """Return the rows of all heads, or with ``transposed`` their columns; cached.

        One product with this matrix serves all heads. Node states (nodes, heads, dim) are read
        where they are; numbers (entries, heads) are brought into its order. For several heads it
        holds two integers per entry and head.
        """
        if (heads, transposed) in self._head_rows:
            return self._head_rows[heads, transposed]
        with torch.inference_mode(False):
            if transposed:
                found = HeadRows(self.column_indptr, self.rows[self.order], self.order)
            else:
                found = HeadRows(self.indptr, self.indices, None)
            if heads > 1:
                most = heads * max(self.num_rows, self.num_columns, len(self.indices))
                # Smaller integers take half the memory, and the kernels less time.
                found = _interleave(found, heads, torch.int32 if most < 2**31 else torch.int64)
        if all(is_real(part) for part in found if part is not None):
            self._head_rows[heads, transposed] = found
        return found

    def to(self, device: torch.device | str) -> Pattern:
        """Return the same pattern on another device."""
        return Pattern(self.indptr.to(device), self.indices.to(device), self.num_columns)


def _interleave(one: HeadRows, heads: int, dtype: torch.dtype) -> HeadRows:
    """Return the rows of several heads, those of each row next to each other, given one head's."""
    num_rows, entries = len(one.indptr) - 1, len(one.indices)
    indptr, device = one.indptr.to(dtype), one.indptr.device
    sizes = indptr.diff().repeat_interleave(heads)
    new_indptr = torch.cat([indptr[:1], sizes.cumsum(0, dtype=dtype)])
    shift = new_indptr[:-1] - indptr[:-1].repeat_interleave(heads)
    # In place where possible, since these are the largest tensors that a graph keeps.
    row = torch.arange(num_rows * heads, device=device, dtype=dtype)
    row = row.repeat_interleave(sizes, output_size=entries * heads)
    entry = torch.arange(entries * heads, device=device, dtype=dtype)
    entry -= shift.index_select(0, row)
    head = row.remainder_(heads)
    indices = one.indices.to(dtype).index_select(0, entry).mul_(heads).add_(head)
    if one.positions is not None:
        entry = one.positions.to(dtype).index_select(0, entry)
    return HeadRows(new_indptr, indices, entry.mul_(heads).add_(head))
