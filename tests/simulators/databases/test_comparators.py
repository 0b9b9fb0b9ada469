"""What each comparator calls equal, against the rules of BIRD and Spider and the reported defects of others."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.comparators import (
    COMPARATORS,
    GoldFailed,
    GoldInterrupted,
    compare,
    compare_suite,
    ordered_at_top,
    result_key,
    spider_rewrite,
)
from fogline.simulators.databases.gold_schema import UnparseableSQL
from fogline.simulators.databases.records import QueryLimits, QueryResult

ORDERED = "SELECT a FROM t ORDER BY a"
PLAIN = "SELECT a FROM t"


def result(*rows: tuple[object, ...], truncated: bool = False, width: int | None = None) -> QueryResult:
    columns = tuple(f"c{place}" for place in range(len(rows[0]) if rows else width or 0))
    return QueryResult("ok" if rows else "empty", columns, rows, truncated=truncated)


@pytest.mark.parametrize(
    ("predicted", "gold", "gold_sql", "bird", "spider", "strict"),
    [
        (result((1,), (2,)), result((2,), (1,)), PLAIN, True, True, True),
        (result((1,), (2,)), result((2,), (1,)), ORDERED, True, False, False),
        (result((1,), (1,), (2,)), result((1,), (2,)), PLAIN, True, False, False),
        (result((1,), (1,), (2,)), result((1,), (2,), (2,)), PLAIN, True, False, False),
        (result((1, "a"), (2, "b")), result(("a", 1), ("b", 2)), PLAIN, False, True, False),
        (result((1, "a"), (2, "b")), result(("a", 1), ("b", 2)), ORDERED, False, True, False),
        (result((1, "a"), (2, "b")), result((1, "b"), (2, "a")), PLAIN, False, False, False),
        (result((1,)), result((1, 1)), PLAIN, False, False, False),
        (result((1.0,)), result((1,)), PLAIN, True, True, True),
        (result(("1",)), result((1,)), PLAIN, False, False, False),
        (result((b"x",)), result(("x",)), PLAIN, False, False, False),
        (result((None,)), result((0,)), PLAIN, False, False, False),
        (result((0.0,)), result((-0.0,)), PLAIN, True, True, True),
        (result((math.nan, 1)), result((float("nan"), 1)), PLAIN, True, True, True),
        (result((math.nan, 1)), result((None, 1)), PLAIN, False, False, False),
        (result(width=1), result(width=1), PLAIN, True, True, True),
        (result(width=1), result(width=2), PLAIN, True, True, False),
        (result(width=1), result((1,)), PLAIN, False, False, False),
    ],
)
def test_rules_of_the_three_comparators(
    predicted: QueryResult, gold: QueryResult, gold_sql: str, bird: bool, spider: bool, strict: bool
) -> None:
    verdicts = [compare(predicted, gold, comparator, gold_sql=gold_sql) for comparator in COMPARATORS]
    assert verdicts == [bird, spider, strict]


@pytest.mark.parametrize("comparator", COMPARATORS)
def test_only_complete_results_can_be_equal(comparator: str) -> None:
    whole, cut = result((1,)), result((1,), truncated=True)
    assert compare(whole, whole, comparator)
    assert not compare(cut, whole, comparator)
    assert not compare(whole, cut, comparator)
    held_back = QueryResult("ok", ("c0",), ((1,),), row_count=2)
    assert not compare(held_back, held_back, comparator)
    assert result_key(held_back, comparator) == ""
    for status in ("error", "timeout", "forbidden", "too_large"):
        failed = QueryResult(status)  # type: ignore[arg-type]
        assert not compare(failed, failed, comparator)


@pytest.mark.parametrize("comparator", COMPARATORS)
def test_thirty_of_a_hundred_rows_are_not_the_hundred(comparator: str) -> None:
    """The published reward compares 30 rows: there a LIMIT 30 of the gold scores 1.0 and another order 0.2."""
    gold = result(*((number, f"name {number}") for number in range(100)))
    assert not compare(result(*gold.rows[:30]), gold, comparator, gold_sql=PLAIN)
    assert compare(result(*reversed(gold.rows)), gold, comparator, gold_sql=PLAIN)


@pytest.mark.parametrize("comparator", COMPARATORS)
def test_columns_that_match_one_by_one_do_not_excuse_scrambled_rows(comparator: str) -> None:
    """Spider 2.0's evaluator matches columns independently, so that scrambled rows pass."""
    gold = result(("ann", 10), ("bob", 20), ("cy", 30))
    scrambled = result(("ann", 30), ("bob", 10), ("cy", 20))
    assert not compare(scrambled, gold, comparator, gold_sql=PLAIN)


def test_spider_reads_order_by_in_the_text_and_strict_at_the_top_of_the_tree() -> None:
    nested = "SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 2) AS x"
    left, right = result((1,), (2,)), result((2,), (1,))
    assert not compare(left, right, "spider", gold_sql=nested)
    assert compare(left, right, "strict", gold_sql=nested)


@pytest.mark.parametrize(
    ("sql", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("(SELECT a FROM t ORDER BY a)", True),
        ("SELECT a FROM t UNION SELECT b FROM u ORDER BY 1", True),
        ("WITH x AS (SELECT a FROM t ORDER BY a) SELECT a FROM x", False),
        ("SELECT SUM(a) OVER (ORDER BY b) FROM t", False),
        ("SELECT 'order by' FROM t", False),
    ],
)
def test_ordered_at_top(sql: str, ordered: bool) -> None:
    assert ordered_at_top(sql) is ordered


def test_unknown_comparators_and_unreadable_golds_are_errors() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'bird'"):
        compare(result((1,)), result((1,)), "birds")
    with pytest.raises(UnparseableSQL):
        compare(result((1,)), result((1,)), "strict", gold_sql="SELEKT")


@pytest.mark.parametrize(
    ("sql", "rewritten"),
    [
        ("SELECT DISTINCT a FROM t", "SELECT  a FROM t"),
        ("SELECT count(distinct a) FROM t", "SELECT count( a) FROM t"),
        ("SELECT 'distinct', \"distinct\" FROM t -- distinct", "SELECT 'distinct', \"distinct\" FROM t -- distinct"),
        ("SELECT a IS NOT DISTINCT FROM b FROM t", "SELECT a IS NOT DISTINCT FROM b FROM t"),
        ("SELECT 'unclosed DISTINCT", "SELECT 'unclosed DISTINCT"),
    ],
)
def test_spider_rewrite_cuts_the_keyword_only(sql: str, rewritten: str) -> None:
    assert spider_rewrite(sql) == rewritten
    assert spider_rewrite(sql, keep_distinct=True) == sql


class Recorded:
    """A database that answers from a table."""

    def __init__(self, answers: Mapping[str, QueryResult]) -> None:
        self.answers = answers

    def execute(self, sql: str, limits: QueryLimits | None = None) -> QueryResult:
        return self.answers[" ".join(sql.split())]


def test_a_suite_is_passed_only_where_every_database_agrees() -> None:
    right = Recorded({"SELECT a FROM t": result((1,)), "SELECT b FROM t": result((1,))})
    telling = Recorded({"SELECT a FROM t": result((1,)), "SELECT b FROM t": result((2,))})
    assert compare_suite("SELECT b FROM t", "SELECT a FROM t", [right])
    assert not compare_suite("SELECT b FROM t", "SELECT a FROM t", [right, telling])


def test_a_suite_removes_distinct_for_spider_only() -> None:
    database = Recorded(
        {
            "SELECT a FROM t": result((1,), (1,)),
            "SELECT DISTINCT a FROM t": result((1,)),
        }
    )
    assert compare_suite("SELECT DISTINCT a FROM t", "SELECT a FROM t", [database])
    assert not compare_suite("SELECT DISTINCT a FROM t", "SELECT a FROM t", [database], keep_distinct=True)
    assert not compare_suite("SELECT DISTINCT a FROM t", "SELECT a FROM t", [database], comparator="strict")


def test_a_gold_that_does_not_run_on_a_suite_is_an_error_and_never_a_score() -> None:
    answers = {"SELECT b": result((1,)), "SELECT a": QueryResult("error", message="no such column: a")}
    with pytest.raises(GoldFailed, match="no such column: a"):
        compare_suite("SELECT b", "SELECT a", [Recorded(answers)])
    with pytest.raises(GoldInterrupted, match="raise the limits"):
        compare_suite("SELECT b", "SELECT a", [Recorded({**answers, "SELECT a": QueryResult("timeout")})])


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, -0.0, 1.0, 2.5, math.nan, math.inf, -math.inf, 2.0**53, 2**53 + 1, 1e300]),
    st.sampled_from(["", "1", "n", "i1", "f2.5", "a:b", "é"]),
    st.sampled_from([b"", b"1", b"n"]),
)
ROWS = st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), max_size=4))


def equal_cells(left: object, right: object) -> bool:
    return bool(left == right) or (left != left and right != right)


def equal_as_sets(left: list[tuple[object, ...]], right: list[tuple[object, ...]]) -> bool:
    def inside(row: tuple[object, ...], rows: list[tuple[object, ...]]) -> bool:
        return any(len(row) == len(other) and all(map(equal_cells, row, other)) for other in rows)

    return all(inside(row, right) for row in left) and all(inside(row, left) for row in right)


@given(ROWS, ROWS, st.booleans())
def test_bird_keys_are_equal_exactly_where_results_are(
    left: list[tuple[object, ...]], right: list[tuple[object, ...]], reuse: bool
) -> None:
    other = [*reversed(left), *left] if reuse else right
    expected = equal_as_sets(left, other)
    assert compare(result(*left), result(*other), "bird") is expected
    assert (result_key(result(*left)) == result_key(result(*other))) is expected


@given(ROWS, st.randoms(use_true_random=False))
def test_spider_keys_ignore_the_order_of_rows_and_columns(rows: list[tuple[object, ...]], random: object) -> None:
    order = list(range(len(rows[0]) if rows else 0))
    random.shuffle(order)  # type: ignore[attr-defined]
    moved = [tuple(row[place] for place in order) for row in reversed(rows)]
    assert compare(result(*moved), result(*rows), "spider")
    assert result_key(result(*moved), "spider") == result_key(result(*rows), "spider")


def test_strict_keys_count_duplicates_and_columns() -> None:
    assert result_key(result((1,), (2,)), "strict") == result_key(result((2,), (1.0,)), "strict")
    assert result_key(result((1,), (1,)), "strict") != result_key(result((1,)), "strict")
    assert result_key(result(width=1), "strict") != result_key(result(width=2), "strict")


@pytest.mark.parametrize("comparator", COMPARATORS)
def test_results_that_equal_nothing_have_no_key(comparator: str) -> None:
    assert result_key(QueryResult("error"), comparator) == ""
    assert result_key(result((1,), truncated=True), comparator) == ""
    assert result_key(result(width=1), comparator) != ""


def test_keys_do_not_depend_on_the_process() -> None:
    program = (
        "from fogline.simulators.databases.comparators import *\n"
        "from fogline.simulators.databases.records import QueryResult\n"
        "rows = ((1, 'x', None), (2.5, b'y', True))\n"
        "print([result_key(QueryResult('ok', ('a', 'b', 'c'), rows), name) for name in COMPARATORS])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
