"""Metrics against hand-computed values of the published evaluators' rules (TRUST-SQL specification, section 20)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.envs.trust_sql.metrics import (
    execution_accuracy,
    hallucination_rate,
    mean_without_outliers,
    measure_time_ratio,
    r_ves,
    r_ves_points,
    schema_metrics,
    soft_f1,
    soft_f1_of,
    ungrounded_rate,
    ves,
)
from fogline.simulators.databases.gold_schema import IdentifiersUsed
from fogline.simulators.databases.records import QueryLimits, QueryResult, SchemaSubset


def test_execution_accuracy_is_a_percentage() -> None:
    assert execution_accuracy([True, False, True, True]) == 75.0
    with pytest.raises(ConfigurationError, match="no questions"):
        execution_accuracy([])


def test_ves_sums_the_roots_of_the_ratios_of_right_answers() -> None:
    assert ves([True, False, True, True], [4.0, None, 1.0, 0.25]) == pytest.approx(100 / 4 * (2 + 1 + 0.5))


@pytest.mark.parametrize(
    ("ratio", "points"),
    [
        (5.0, 1.25),
        (2.0, 1.25),
        (1.99, 1.0),
        (1.0, 1.0),
        (0.99, 0.75),
        (0.5, 0.75),
        (0.49, 0.5),
        (0.25, 0.5),
        (0.24, 0.25),
    ],
)
def test_points_of_r_ves(ratio: float, points: float) -> None:
    assert r_ves_points(ratio) == points
    assert r_ves([True, False], [ratio, 9.0]) == pytest.approx(100 / 2 * math.sqrt(points))


def test_a_right_answer_without_a_ratio_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="question 1"):
        ves([True, True], [1.0, None])
    with pytest.raises(ConfigurationError, match="one ratio per question"):
        r_ves([True], [1.0, 1.0])


class Timed:
    """A database whose statements take prescribed times."""

    def __init__(self, seconds: dict[str, list[float]], rows: dict[str, tuple[tuple[int, ...], ...]]) -> None:
        self.seconds, self.rows = {sql: list(times) for sql, times in seconds.items()}, rows

    def execute(self, sql: str, limits: QueryLimits | None = None) -> QueryResult:
        if sql not in self.rows:
            return QueryResult("error")
        return QueryResult("ok", ("a",), self.rows[sql], seconds=self.seconds[sql].pop(0))


def test_the_time_ratio_is_gold_over_predicted_without_outliers() -> None:
    rows = {"p": ((1,),), "g": ((1,),)}
    usual = Timed({"p": [0.5] * 30, "g": [1.0] * 29 + [500.0]}, rows)
    assert measure_time_ratio(usual, "p", "g", repeats=30) == pytest.approx(2.0)
    few = Timed({"p": [1.0, 1.0], "g": [1.0, 3.0]}, rows)
    assert measure_time_ratio(few, "p", "g", repeats=2) == pytest.approx(2.0)


def test_a_wrong_or_failing_prediction_has_no_time_ratio() -> None:
    rows = {"wrong": ((2,),), "g": ((1,),)}
    assert measure_time_ratio(Timed({"wrong": [1.0], "g": [1.0]}, rows), "wrong", "g", repeats=5) is None
    assert measure_time_ratio(Timed({"g": [1.0]}, rows), "failing", "g", repeats=5) is None
    with pytest.raises(ConfigurationError, match="repeats=0"):
        measure_time_ratio(Timed({}, {}), "p", "g", repeats=0)


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=9))
def test_fewer_than_ten_values_hold_no_outlier_beyond_three_deviations(values: list[float]) -> None:
    # A value is at most sqrt(n - 1) population deviations from the mean of n.
    assert mean_without_outliers(values) == pytest.approx(math.fsum(values) / len(values))


@pytest.mark.parametrize(
    ("predicted", "gold", "expected"),
    [
        ([], [], 1.0),
        ([], [(1,)], 0.0),
        ([(1,)], [], 0.0),
        ([(1, 2)], [(1, 2)], 1.0),
        ([(2, 1)], [(1, 2)], 1.0),  # columns of a row are a bag
        ([(1, 2), (1, 2)], [(1, 2)], 1.0),  # duplicates dropped
        ([(2,), (1,)], [(1,), (2,)], 0.0),  # rows are paired in order
        # tp = 1/2, fp = 1/2, fn = 1/2
        ([(1, 3)], [(1, 2)], 0.5),
        # tp = 1, fp = 0, fn = 1 for the unpaired gold row: precision 1, recall 1/2
        ([(1,)], [(1,), (2,)], 2 / 3),
        # tp = 1, fp = 1 for the unpaired predicted row: precision 1/2, recall 1
        ([(1,), (2,)], [(1,)], 2 / 3),
        # divided by the gold width: tp = 2/2, fp = 1/2
        ([(1, 2, 3)], [(1, 2)], 2 * (2 / 3) * 1 / (2 / 3 + 1)),
    ],
)
def test_soft_f1(predicted: list[tuple[int, ...]], gold: list[tuple[int, ...]], expected: float) -> None:
    assert soft_f1(predicted, gold) == pytest.approx(expected)


def test_soft_f1_of_mixed_rows() -> None:
    """Three gold rows of two columns, one of them unpaired, one value wrong, columns in another order."""
    gold = [("Apple", 325), ("Orange", None), ("Banana", 119)]
    predicted = [(325, "Apple"), (191, "Orange")]
    # Rows: (2/2, 0, 0), (1/2, 1/2, 1/2), gold unpaired: tp = 1.5, fp = 0.5, fn = 1.5.
    precision, recall = 1.5 / 2.0, 1.5 / 3.0
    assert soft_f1(predicted, gold) == pytest.approx(2 * precision * recall / (precision + recall))


def test_soft_f1_of_a_failed_or_cut_result_is_zero() -> None:
    fine, empty = QueryResult("ok", ("a",), ((1,),)), QueryResult("empty", ("a",))
    assert soft_f1_of(fine, fine) == 1.0
    assert soft_f1_of(empty, empty) == 1.0
    assert soft_f1_of(QueryResult("timeout"), empty) == 0.0
    assert soft_f1_of(QueryResult("ok", ("a",), ((1,),), truncated=True), fine) == 0.0


def test_schema_metrics_average_over_questions_without_proposal_too() -> None:
    gold = SchemaSubset.of(["a", "b"], {"a": ["x", "y"]})
    half = SchemaSubset.of(["a"], {"a": ["x"], "b": ["z"]})
    metrics = schema_metrics([(gold, gold), (None, gold), (half, gold), (half, gold)])
    assert metrics.exact == 0.25
    assert (metrics.table_precision, metrics.table_recall) == pytest.approx((3 / 4, 2 / 4))
    assert (metrics.column_precision, metrics.column_recall) == pytest.approx((2 / 4, 2 / 4))
    assert metrics.recall == pytest.approx(0.4 * 0.5 + 0.6 * 0.5)
    with pytest.raises(ConfigurationError):
        schema_metrics([])


def test_rates_of_hallucinated_and_ungrounded_statements() -> None:
    invented = IdentifiersUsed(unknown_tables=frozenset({"clients"}))
    fine, unread = IdentifiersUsed(), IdentifiersUsed(unparseable=True)
    assert hallucination_rate([invented, fine, fine, fine, unread]) == 0.25
    with pytest.raises(ConfigurationError):
        hallucination_rate([unread])
    assert ungrounded_rate([set(), {"customer"}, [], ["a", "b"]]) == 0.5
