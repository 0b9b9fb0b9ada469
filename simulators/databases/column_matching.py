"""Are two tables the same bag of rows under some permutation of the columns?

Trying every permutation (as the Spider test-suite evaluation does) takes factorial time on wide results.
Deciding the question is as hard as graph isomorphism, so the method is the one used there: colour refinement
(a row is coloured by the values it has in columns of each colour, and the other way round), and where colours
alone do not decide, one column is matched tentatively and refinement goes on. Colours are hashes that can
only be too coarse, never wrong: "different" is said when some colour count differs, "same" only after the
rows were compared under a found permutation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import FoglineError
from fogline.simulators.databases.records import Row

Cells = NDArray[np.int64]
Colours = NDArray[np.uint64]

# Cells visited before the search gives up; ordinary results need a few passes. About two seconds on one core.
SEARCH_BUDGET = 60_000_000
_ROUND_OVERHEAD = 4_000


class UndecidedComparison(FoglineError):
    """The search for a column permutation exhausted its budget: neither equality nor difference is proven."""


def same_bag_up_to_columns(left: Sequence[Row], right: Sequence[Row], budget: int = SEARCH_BUDGET) -> bool:
    """Decide whether some column permutation makes two tables equal as multisets of rows.

    Args:
        left: Rows of equal length of hashable values; values are compared with Python equality.
        right: Likewise.
        budget: Cells to visit at most.

    Raises:
        UndecidedComparison: When the budget ends first.
    """
    if len(left) != len(right):
        return False
    if not left:
        return True
    if len(left[0]) != len(right[0]):
        return False
    if Counter(left) == Counter(right):
        return True
    codes: dict[object, int] = {}
    first, second = (
        np.array([[codes.setdefault(value, len(codes)) for value in row] for row in rows], dtype=np.int64)
        for rows in (left, right)
    )
    if _column_signatures(first) != _column_signatures(second):
        return False
    return _Search(first, second, budget).run()


def same_columns_in_order(left: Sequence[Row], right: Sequence[Row]) -> bool:
    """Decide whether some column permutation makes two tables equal row by row, in order."""
    if len(left) != len(right):
        return False
    return Counter(zip(*left, strict=True)) == Counter(zip(*right, strict=True))


def refined_colours(values: Colours, rounds: int = 8) -> tuple[Colours, Colours]:
    """Colour the rows and columns of one table by refinement, independently of their order.

    Args:
        values: ``[rows, columns]`` hashes of the cells.
        rounds: Rounds at most; refinement ends when no colour splits.

    Returns:
        Row colours ``[rows]`` and column colours ``[columns]``.
    """
    rows, columns = np.zeros(values.shape[0], np.uint64), np.zeros(values.shape[1], np.uint64)
    classes = 0
    for _ in range(rounds):
        rows, columns = _refine_once(values, rows, columns)
        found = len(np.unique(rows)) + len(np.unique(columns))
        if found == classes:
            break
        classes = found
    return rows, columns


def _mix(values: Colours) -> Colours:
    """Finaliser of splitmix64: a bijection of 64-bit words that scatters them."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _refine_once(values: Colours, rows: Colours, columns: Colours) -> tuple[Colours, Colours]:
    # Sums do not depend on the order of what is summed, which is what makes the colours order-free.
    new_rows = _mix(rows + _mix(values + columns[None, :]).sum(axis=1, dtype=np.uint64) + np.uint64(1))
    new_columns = _mix(columns + _mix(values + new_rows[:, None]).sum(axis=0, dtype=np.uint64) + np.uint64(2))
    return new_rows, new_columns


def _column_signatures(cells: Cells) -> Counter[bytes]:
    ordered = np.sort(cells, axis=0)
    return Counter(ordered[:, position].tobytes() for position in range(cells.shape[1]))


def _distinct(cells: Cells) -> tuple[Cells, NDArray[np.int64], NDArray[np.int64]]:
    """Merge equal columns, then equal rows: being interchangeable they would only multiply the search."""
    columns, column_counts = np.unique(cells, axis=1, return_counts=True)
    rows, row_counts = np.unique(columns, axis=0, return_counts=True)
    return rows, row_counts.astype(np.int64), column_counts.astype(np.int64)


class _Side:
    """One table with its multiplicities."""

    def __init__(self, cells: Cells) -> None:
        self.cells, self.row_counts, self.column_counts = _distinct(cells)
        self.values = _mix(self.cells.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))

    def bag(self, columns: Colours) -> Counter[bytes]:
        """Rows with multiplicities, columns ordered by colour."""
        ordered = np.ascontiguousarray(self.cells[:, np.argsort(columns)])
        counts: Counter[bytes] = Counter()
        for row, count in zip(ordered, self.row_counts, strict=True):
            counts[row.tobytes()] += int(count)
        return counts


class _Search:
    """Refinement with individualisation over two tables of one shape."""

    def __init__(self, left: Cells, right: Cells, budget: int) -> None:
        self.left, self.right = _Side(left), _Side(right)
        self.budget = budget

    def run(self) -> bool:
        if self.left.cells.shape != self.right.cells.shape:
            return False
        starts = [
            (side.row_counts.astype(np.uint64), side.column_counts.astype(np.uint64))
            for side in (self.left, self.right)
        ]
        return self._match(*starts[0], *starts[1], depth=0)

    def _match(self, rows_a: Colours, columns_a: Colours, rows_b: Colours, columns_b: Colours, depth: int) -> bool:
        refined = self._refine(rows_a, columns_a, rows_b, columns_b)
        if refined is None:
            return False
        rows_a, columns_a, rows_b, columns_b = refined
        colours, counts = np.unique(columns_a, return_counts=True)
        if counts.max() == 1:
            order_a, order_b = np.argsort(columns_a), np.argsort(columns_b)
            same_counts = np.array_equal(self.left.column_counts[order_a], self.right.column_counts[order_b])
            return same_counts and self.left.bag(columns_a) == self.right.bag(columns_b)
        shared = np.where(counts > 1, counts, counts.max() + 1)
        colour = colours[int(np.argmin(shared))]
        chosen = int(np.flatnonzero(columns_a == colour)[0])
        mark = np.uint64(0xA5A5A5A5A5A5A5A5) + np.uint64(depth)
        marked_a = columns_a.copy()
        marked_a[chosen] = mark
        for candidate in np.flatnonzero(columns_b == colour):
            marked_b = columns_b.copy()
            marked_b[candidate] = mark
            if self._match(rows_a, marked_a, rows_b, marked_b, depth + 1):
                return True
        return False

    def _refine(
        self, rows_a: Colours, columns_a: Colours, rows_b: Colours, columns_b: Colours
    ) -> tuple[Colours, ...] | None:
        """Refine both tables in step; ``None`` as soon as their colour counts differ."""
        classes = 0
        while True:
            self.budget -= 2 * self.left.cells.size + _ROUND_OVERHEAD
            if self.budget < 0:
                raise UndecidedComparison(
                    f"no column permutation was found or excluded for {self.left.cells.shape[1]} columns "
                    "that look alike: they are too symmetric; raise the budget or use comparator='bird'."
                )
            rows_a, columns_a = _refine_once(self.left.values, rows_a, columns_a)
            rows_b, columns_b = _refine_once(self.right.values, rows_b, columns_b)
            same_columns = np.array_equal(np.sort(columns_a), np.sort(columns_b))
            if not same_columns or not np.array_equal(np.sort(rows_a), np.sort(rows_b)):
                return None
            found = len(np.unique(rows_a)) + len(np.unique(columns_a))
            if found == classes:
                return rows_a, columns_a, rows_b, columns_b
            classes = found
