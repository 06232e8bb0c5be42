"""A sparse matrix in compressed rows, for node features that are mostly zeros."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatutils._checks import expect, expect_same_dtype, expect_tensor
from gatutils._csr import Pattern
from gatutils._kernels import dropout_mask, weighted_row_sums

__all__ = ["CSRMatrix"]


class CSRMatrix:
    """A matrix stored in compressed sparse rows, such as one bag of words per node.

    Layers that begin with a linear map (GCN, GAT, GATv2) accept it in place of a dense tensor.
    Gradients flow to the matrix it is multiplied by and, if they require one, to ``values``.

    Args:
        indptr: The entries of row i are ``indptr[i]`` to ``indptr[i + 1] - 1``.
        indices: The column of each entry.
        values: The value of each entry.
        num_columns: The number of columns.

    Raises:
        TypeError: If ``values`` is not a float tensor, or ``indptr`` or ``indices`` not an integer
            tensor.
        ValueError: If sizes do not match, ``indptr`` decreases, or a column index is out of range.
    """

    def __init__(
        self,
        indptr: Int[Tensor, " rows_and_one"],
        indices: Int[Tensor, " entries"],
        values: Float[Tensor, " entries"],
        num_columns: int,
    ) -> None:
        expect_tensor(indptr, "indptr", "int", ndim=1, exact=True)
        expect_tensor(indices, "indices", "int", ndim=1, exact=True)
        expect_tensor(values, "values", "float", ndim=1, exact=True)
        expect(len(indices) == len(values), "indices", f"{len(values)} like values", len(indices))
        ends = len(indptr) > 0 and int(indptr[0]) == 0 and int(indptr[-1]) == len(values)
        rising = ends and bool((indptr.diff() >= 0).all())
        expect(rising, "indptr", f"numbers rising from 0 to {len(values)}", indptr.tolist())
        if len(indices):
            low, high = int(indices.min()), int(indices.max())
            inside = low >= 0 and high < num_columns
            expect(inside, "indices", f"columns 0 to {num_columns - 1}", f"{low} to {high}")
        self._fill(Pattern(indptr, indices, num_columns), values)

    def _fill(self, pattern: Pattern, values: Tensor) -> CSRMatrix:
        self.pattern, self.values = pattern, values
        self.shape = torch.Size((pattern.num_rows, pattern.num_columns))
        self.ndim = 2
        return self

    def _with(self, values: Tensor, pattern: Pattern | None = None) -> CSRMatrix:
        """Return other values at the same places, which were validated before."""
        return type(self).__new__(type(self))._fill(pattern or self.pattern, values)

    @classmethod
    def from_dense(cls, matrix: Float[Tensor, "rows columns"]) -> CSRMatrix:
        """Keep the non-zero entries of a dense matrix.

        Raises:
            TypeError: If ``matrix`` is not a float tensor.
            ValueError: If it does not have two axes.
        """
        expect_tensor(matrix, "matrix", "float", ndim=2, exact=True)
        rows, columns = matrix.nonzero(as_tuple=True)
        counts = rows.bincount(minlength=len(matrix))
        indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        pattern = Pattern(indptr, columns, matrix.shape[1], rows)
        return cls.__new__(cls)._fill(pattern, matrix[rows, columns])

    @property
    def indptr(self) -> Int[Tensor, " rows_and_one"]:
        """Where the entries of each row begin."""
        return self.pattern.indptr

    @property
    def indices(self) -> Int[Tensor, " entries"]:
        """The column of each entry."""
        return self.pattern.indices

    @property
    def dtype(self) -> torch.dtype:
        """The type of the values."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Where the values are stored."""
        return self.values.device

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Int[Tensor, " some"]) -> CSRMatrix:
        """Return some of the rows, in the order given: ``matrix[:10]``, ``matrix[block.sources]``.

        Args:
            rows: A slice of consecutive rows, or the rows' indices, shape (some,), each as often as
                it is wanted; negative ones count from the end.

        Raises:
            TypeError: If ``rows`` is neither a slice nor an integer tensor.
            ValueError: If ``rows`` does not have one axis, or is a slice that leaves rows out.
            IndexError: If a row is out of range.
        """
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            expect(step == 1, "rows", "a slice with step 1", step)
            ends = self.indptr[start : max(start, stop) + 1]
            entries = slice(int(ends[0]), int(ends[-1]))
            pattern = Pattern(ends - ends[0], self.indices[entries], self.shape[1])
            return self._with(self.values[entries], pattern)
        expect_tensor(rows, "rows", "int", ndim=1, exact=True)
        rows = rows.to(self.device, torch.long)
        counts = self.indptr.diff()[rows]
        indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        shift = (self.indptr[:-1][rows] - indptr[:-1]).repeat_interleave(counts)
        places = torch.arange(len(shift), device=self.device) + shift
        pattern = Pattern(indptr, self.indices[places], self.shape[1])
        return self._with(self.values[places], pattern)

    def __repr__(self) -> str:
        return f"CSRMatrix({self.shape[0]} x {self.shape[1]}, {len(self.values)} entries)"

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> CSRMatrix:
        """Return the matrix on another device, with values of another type, or both."""
        values = self.values.to(device=device, dtype=dtype)
        if values.device == self.device:
            return self._with(values)
        return self._with(values, self.pattern.to(values.device))

    def to_dense(self) -> Float[Tensor, "rows columns"]:
        """Return the dense matrix; entries that share a place are added."""
        places = (self.pattern.rows, self.indices)
        return self.values.new_zeros(self.shape).index_put(places, self.values, accumulate=True)

    def dropout(self, p: float) -> CSRMatrix:
        """Apply dropout to the stored entries; zeros stay zero either way."""
        return self._with(self.values * dropout_mask(self.values, p))

    def matmul(self, weight: Float[Tensor, "out columns"]) -> Float[Tensor, "rows out"]:
        r"""Return :math:`X W^\top`, as :class:`torch.nn.Linear` does for a dense X.

        Under autocast the result has the wider of the two types.

        Raises:
            TypeError: If the types differ, outside autocast.
        """
        expect_same_dtype(weight, "weight", self.values, "values")
        wider = torch.promote_types(self.dtype, weight.dtype)
        values, weight = self.values.to(wider), weight.to(wider)
        columns = weight.T.unsqueeze(1)  # one head
        return weighted_row_sums(values.unsqueeze(1), columns, self.pattern).squeeze(1)
