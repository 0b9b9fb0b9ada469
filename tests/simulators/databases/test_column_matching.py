"""Bags of rows under column permutations: exact, and quick where trying every permutation is hopeless."""

from __future__ import annotations

import itertools
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.simulators.databases.column_matching import (
    UndecidedComparison,
    same_bag_up_to_columns,
    same_columns_in_order,
)

SECONDS_ALLOWED = 5.0


def rows_of(matrix: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in matrix]


def shuffled(matrix: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    rows = matrix[generator.permutation(matrix.shape[0])]
    return rows[:, generator.permutation(matrix.shape[1])]


def cycles(*lengths: int) -> np.ndarray:
    """Adjacency matrix of disjoint cycles: all rows and columns look alike."""
    size = sum(lengths)
    matrix = np.zeros((size, size), dtype=int)
    start = 0
    for length in lengths:
        for place in range(length):
            for step in (-1, 1):
                matrix[start + place, start + (place + step) % length] = 1
        start += length
    return matrix


def by_trying_all(left: list[tuple[int, ...]], right: list[tuple[int, ...]]) -> bool:
    wanted = Counter(left)
    width = len(right[0])
    return any(
        Counter(tuple(row[place] for place in order) for row in right) == wanted
        for order in itertools.permutations(range(width))
    )


@st.composite
def two_tables(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    width, height = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    cell = st.integers(0, draw(st.integers(0, 2)))
    row = st.tuples(*[cell] * width)
    left = draw(st.lists(row, min_size=height, max_size=height))
    if draw(st.booleans()):
        return left, draw(st.lists(row, min_size=height, max_size=height))
    order = draw(st.permutations(range(width)))
    right = [tuple(line[place] for place in order) for line in draw(st.permutations(left))]
    return left, right


@given(two_tables())
@settings(max_examples=400, deadline=None)
def test_agrees_with_trying_every_permutation(tables: tuple[list[tuple[int, ...]], list[tuple[int, ...]]]) -> None:
    left, right = tables
    assert same_bag_up_to_columns(left, right) == by_trying_all(left, right)


@pytest.mark.parametrize(
    ("name", "left", "right", "expected"),
    [
        ("one 1 in each of 20 columns", np.eye(20, dtype=int), np.eye(20, dtype=int), True),
        ("20 equal columns", np.ones((50, 20), int), np.ones((50, 20), int), True),
        ("a cycle of 20, renamed", cycles(20), cycles(20), True),
        ("a cycle of 22 against two of 11", cycles(22), cycles(11, 11), True),
        ("a cycle of 20 against two of 10", cycles(20), cycles(10, 10), False),
        ("cycles of 8 and 12 against two of 10", cycles(8, 12), cycles(10, 10), False),
        (
            "the two groups of order 16",
            np.add.outer(np.arange(16), np.arange(16)) % 16,
            np.bitwise_xor.outer(np.arange(16), np.arange(16)),
            False,
        ),
    ],
)
def test_symmetric_wide_tables_are_decided_quickly(
    name: str, left: np.ndarray, right: np.ndarray, expected: bool
) -> None:
    # Rows and columns move independently, so an odd cycle doubled is an even cycle twice: 22 + 22 = 2 · (11 doubled).
    started = time.monotonic()
    assert same_bag_up_to_columns(rows_of(left), rows_of(shuffled(right, seed=3))) is expected
    assert time.monotonic() - started < SECONDS_ALLOWED


def test_ten_thousand_rows_of_twenty_binary_columns_end_quickly() -> None:
    matrix = np.random.default_rng(0).integers(0, 2, (10_000, 20))
    other = shuffled(matrix, seed=1)
    started = time.monotonic()
    assert same_bag_up_to_columns(rows_of(matrix), rows_of(other))
    other[0, 0] ^= 1
    assert not same_bag_up_to_columns(rows_of(matrix), rows_of(other))
    assert time.monotonic() - started < SECONDS_ALLOWED


def test_equal_column_contents_do_not_make_equal_rows() -> None:
    assert not same_bag_up_to_columns([(1, 1), (2, 2)], [(1, 2), (2, 1)])


def test_an_exhausted_budget_is_an_error_and_no_verdict() -> None:
    left, right = rows_of(cycles(20)), rows_of(shuffled(cycles(20), seed=3))
    with pytest.raises(UndecidedComparison, match="20 columns"):
        same_bag_up_to_columns(left, right, budget=100)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([(1, "a"), (2, "b")], [("a", 1), ("b", 2)], True),
        ([(1, "a"), (2, "b")], [("b", 2), ("a", 1)], False),
        ([(1, 2), (2, 1)], [(2, 1), (1, 2)], True),
        ([(1,), (2,)], [(1, 1), (2, 2)], False),
    ],
)
def test_in_order_only_columns_may_move(
    left: list[tuple[object, ...]], right: list[tuple[object, ...]], expected: bool
) -> None:
    assert same_columns_in_order(left, right) is expected
