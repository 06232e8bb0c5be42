"""The sparsity pattern of a matrix in compressed sparse rows, and its transpose.

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


class Bags(NamedTuple):
    """The rows of a block-diagonal sparse matrix, one block per head; see :meth:`Pattern.bags`.

    Bag ``i * heads + h`` is row i in head h.

    Attributes:
        indptr: The members of bag b are those at ``indptr[b]`` to ``indptr[b + 1] - 1``.
        indices: The column of each member: ``j * heads + h`` is column j in head h.
        places: Where the number of each member is in a tensor (entries, heads); None if the members
            are in its order.
    """

    indptr: Int[Tensor, " bags_and_one"]
    indices: Int[Tensor, " members"]
    places: Int[Tensor, " members"] | None


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
        self._bags = dict[tuple[int, bool], Bags]()
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

    def bags(self, heads: int, transposed: bool = False) -> Bags:
        """Return the rows of each head, or with ``transposed`` the columns of each; cached.

        Both (nodes, heads, dim) and (entries, heads) are then read where they are: one product with
        a block-diagonal matrix does for all heads, without copies by head.
        """
        if (heads, transposed) in self._bags:
            return self._bags[heads, transposed]
        with torch.inference_mode(False):
            if transposed:
                bags = Bags(self.column_indptr, self.rows[self.order], self.order)
            else:
                bags = Bags(self.indptr, self.indices, None)
            if heads > 1:
                most = heads * max(self.num_rows, self.num_columns, len(self.indices))
                # Smaller integers take half the memory, and the kernels less time.
                kind = torch.int32 if most < 2**31 else torch.int64
                bags = _interleave(bags, heads, kind)
        if is_real(bags.indptr):
            self._bags[heads, transposed] = bags
        return bags

    def to(self, device: torch.device | str) -> Pattern:
        """Return the same pattern on another device."""
        return Pattern(self.indptr.to(device), self.indices.to(device), self.num_columns)


def _interleave(bags: Bags, heads: int, kind: torch.dtype) -> Bags:
    """Return the bags of one head as those of several, the heads of each row next to each other."""
    num_rows, entries = len(bags.indptr) - 1, len(bags.indices)
    indptr, indices = bags.indptr.to(kind), bags.indices.to(kind)
    sizes = indptr.diff().repeat_interleave(heads)
    new = torch.cat([indptr[:1], sizes.cumsum(0, dtype=kind)])
    shift = new[:-1] - indptr[:-1].repeat_interleave(heads)
    every = torch.arange(heads * entries, device=indptr.device, dtype=kind)
    entry = every - shift.repeat_interleave(sizes, output_size=len(every))
    head = torch.arange(heads, device=indptr.device, dtype=kind).repeat(num_rows)
    head = head.repeat_interleave(sizes, output_size=len(every))
    places = entry if bags.places is None else bags.places.index_select(0, entry).to(kind)
    indices = indices.index_select(0, entry).mul_(heads).add_(head)
    return Bags(new, indices, places.mul_(heads).add_(head).long())
