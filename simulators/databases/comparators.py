"""When is a predicted result the gold result? One rule per comparator, in training and evaluation alike.

Source: TRUST-SQL specification, sections 10.1 and 20. Full results are compared; a truncated result on either
side is unequal.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np

from fogline.core.errors import DataError, InfrastructureError, check_choice
from fogline.simulators.databases.column_matching import (
    UndecidedComparison,
    refined_colours,
    same_bag_up_to_columns,
    same_columns_in_order,
)
from fogline.simulators.databases.records import QueryLimits, QueryResult, Row

Comparator = Literal["bird", "spider", "strict"]
COMPARATORS: tuple[Comparator, ...] = get_args(Comparator)

_NAN = ("not a number",)


class Executor(Protocol):
    """What this module needs of ``Database``."""

    def execute(self, sql: str, limits: QueryLimits | None = None) -> QueryResult:
        """Run one statement."""
        ...


class GoldFailed(DataError):
    """A gold statement does not run on one of its databases: the question should have been dropped."""


class GoldInterrupted(InfrastructureError):
    """A gold statement that runs in itself met a time or memory limit: the machine is overloaded."""


def complete(result: QueryResult) -> bool:
    """True when a statement ran and all of its rows are here: none cut by a limit or held back by ``keep_rows``."""
    return result.ran and not result.truncated and result.row_count <= len(result.rows)


def compare(
    predicted: QueryResult,
    gold: QueryResult,
    comparator: str = "bird",
    *,
    gold_sql: str = "",
    dialect: str = "sqlite",
) -> bool:
    """Decide whether two results are equal.

    Cells are compared with Python equality: ``1 == 1.0``, ``'1' != 1``; NaN equals NaN.

    * ``bird``: equal sets of rows. Row order and duplicates are ignored, column order and count matter (of
      non-empty results).
    * ``spider``: equal multisets of rows under some column permutation; row by row in order when the gold
      text contains ``order by``. Two empty results are equal.
    * ``strict``: equal multisets of rows, columns in position, equal column counts even when empty; row by
      row in order when the gold query is ordered at its top level. An integer equals the same float here too:
      SQLite's loose typing decides between them by the stored value, not by the question.

    Column names are ignored by all. Whatever did not run, or lacks rows by a limit, equals nothing. When
    the columns are so alike that the search for a permutation exhausts its budget, the results count as
    different.

    Args:
        predicted: Result of the agent's statement.
        gold: Result of the gold statement on the same database.
        comparator: One of :data:`COMPARATORS`.
        gold_sql: Text of the gold statement; ``spider`` and ``strict`` read whether it orders the rows.
        dialect: sqlglot dialect of ``gold_sql``.

    Raises:
        ConfigurationError: For an unknown comparator.
        UnparseableSQL: When ``strict`` cannot read ``gold_sql``.
    """
    check_choice("comparator", comparator, COMPARATORS)
    if not (complete(predicted) and complete(gold)):
        return False
    if comparator == "bird":
        return _equal_sets(predicted.rows, gold.rows)
    if comparator == "strict":
        return _strict(predicted, gold, gold_sql, dialect)
    return _spider(_plain(predicted.rows), _plain(gold.rows), "order by" in gold_sql.lower())


def _equal_sets(predicted: Sequence[Row], gold: Sequence[Row]) -> bool:
    if set(predicted) == set(gold):
        return True
    return _has_nan(predicted) and set(_plain(predicted)) == set(_plain(gold))


def _strict(predicted: QueryResult, gold: QueryResult, gold_sql: str, dialect: str) -> bool:
    if len(predicted.columns) != len(gold.columns) or len(predicted.rows) != len(gold.rows):
        return False
    left, right = _plain(predicted.rows), _plain(gold.rows)
    if gold_sql and ordered_at_top(gold_sql, dialect):
        return left == right
    return Counter(left) == Counter(right)


def _spider(predicted: list[Row], gold: list[Row], ordered: bool) -> bool:
    if not predicted or not gold:
        return not predicted and not gold
    if ordered:
        return same_columns_in_order(predicted, gold)
    try:
        return same_bag_up_to_columns(predicted, gold)
    except UndecidedComparison:
        return False


def _has_nan(rows: Sequence[Row]) -> bool:
    return any(value != value for row in rows for value in row)


def _plain(rows: Sequence[Row]) -> list[Row]:
    """Rows in which NaN equals itself."""
    if not _has_nan(rows):
        return list(rows)
    return [tuple(_NAN if value != value else value for value in row) for row in rows]


def ordered_at_top(sql: str, dialect: str = "sqlite") -> bool:
    """True when the outermost query of ``sql`` has an ORDER BY, by its syntax tree.

    Raises:
        UnparseableSQL: When ``sql`` is not one readable query.
    """
    from sqlglot import exp

    from fogline.simulators.databases.gold_schema import parse_query

    query = parse_query(sql, dialect)
    while True:
        if query.args.get("order") is not None:
            return True
        if not isinstance(query, exp.Subquery):
            return False
        query = query.this


def spider_rewrite(sql: str, keep_distinct: bool = False, dialect: str = "sqlite") -> str:
    """Remove every DISTINCT from a statement, as Spider's test-suite evaluation does before it executes.

    Only the keyword is cut out of the text. ``IS [NOT] DISTINCT FROM`` and ``DISTINCT ON (…)`` mean something
    else and stay, as do strings, comments and quoted names. A text that cannot be tokenised is returned as it
    is: the engine will refuse it.

    Args:
        sql: Predicted or gold statement.
        keep_distinct: Return ``sql`` unchanged.
        dialect: sqlglot dialect name.
    """
    if keep_distinct:
        return sql
    import sqlglot
    from sqlglot import TokenType
    from sqlglot.errors import TokenError

    try:
        tokens = list(sqlglot.tokenize(sql, read=dialect))
    except TokenError:
        return sql
    kept, position = [], 0
    for index, token in enumerate(tokens):
        if token.token_type != TokenType.DISTINCT:
            continue
        before = tokens[index - 1].text.upper() if index else ""
        after = tokens[index + 1].text.upper() if index + 1 < len(tokens) else ""
        if before in ("IS", "NOT") or after == "ON":
            continue
        kept.append(sql[position : token.start])
        position = token.end + 1
    return "".join([*kept, sql[position:]])


def compare_suite(
    predicted_sql: str,
    gold_sql: str,
    databases: Sequence[Executor],
    *,
    comparator: str = "spider",
    keep_distinct: bool = False,
    limits: QueryLimits | None = None,
    dialect: str = "sqlite",
) -> bool:
    """Judge a statement over a test suite: right iff its results agree with the gold on every database.

    Args:
        predicted_sql: The agent's statement.
        gold_sql: The gold statement.
        databases: The database of the question and those of its ``suite``, opened.
        comparator: Rule for each database; ``spider`` removes DISTINCT from both statements first.
        keep_distinct: Leave DISTINCT where it is.
        limits: Limits of every execution; ``None`` for those of each database.
        dialect: sqlglot dialect of both statements.

    Raises:
        GoldFailed: When the gold statement does not run on one of the databases.
        GoldInterrupted: When it meets a limit there.
    """
    check_choice("comparator", comparator, COMPARATORS)
    keep = keep_distinct or comparator != "spider"
    predicted_text, gold_text = (spider_rewrite(text, keep, dialect) for text in (predicted_sql, gold_sql))
    for position, database in enumerate(databases):
        gold = database.execute(gold_text, limits)
        if gold.status == "timeout" or gold.error_class == "resource":
            raise GoldInterrupted(
                f"the gold statement met a limit on database {position} of the suite: {gold.message}; raise the limits."
            )
        if not gold.ran:
            raise GoldFailed(
                f"the gold statement {gold_text!r} failed on database {position} of the suite: "
                f"{gold.message}; drop the question."
            )
        if not compare(database.execute(predicted_text, limits), gold, comparator, gold_sql=gold_sql, dialect=dialect):
            return False
    return True


def result_key(result: QueryResult, comparator: str = "bird") -> str:
    """Hash a result so that equal results have equal keys, for majority voting; stable across machines.

    ``bird`` keys are equal exactly when ``compare(…, "bird")`` holds, ``strict`` keys exactly when it holds
    for an unordered gold. ``spider`` keys are equal whenever the results are equal for an unordered gold; two
    different results share one only if colour refinement cannot tell their columns apart.

    Args:
        result: What a statement gave.
        comparator: One of :data:`COMPARATORS`.

    Returns:
        Hexadecimal SHA-256, or ``""`` for a result that equals nothing (it failed or was truncated) and so
        has no vote.
    """
    check_choice("comparator", comparator, COMPARATORS)
    if not complete(result):
        return ""
    rows = [_encode_row(row) for row in result.rows]
    if comparator == "bird":
        return _digest(sorted(set(rows)))
    if comparator == "strict":
        return _digest([str(len(result.columns)).encode(), *sorted(rows)])
    if not result.rows:
        return _digest([])
    hashes: dict[bytes, int] = {}
    cells = [[_hash64(_encode(value), hashes) for value in row] for row in result.rows]
    row_colours, column_colours = refined_colours(np.array(cells, dtype=np.uint64))
    return _digest([np.sort(row_colours).tobytes(), np.sort(column_colours).tobytes()])


def _hash64(encoded: bytes, known: dict[bytes, int]) -> int:
    if encoded not in known:
        known[encoded] = int.from_bytes(hashlib.sha256(encoded).digest()[:8], "big")
    return known[encoded]


def _encode(value: Any) -> bytes:
    """Write a cell so that encodings are equal exactly when Python calls the values equal (or both NaN)."""
    if value is None:
        return b"n"
    if isinstance(value, float):
        if not math.isfinite(value):
            return f"f{value}".encode()
        if not value.is_integer():
            return f"f{value!r}".encode()
    if isinstance(value, (bool, int, float)):
        return f"i{int(value):x}".encode()
    if isinstance(value, str):
        return b"s" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return b"b" + value
    raise DataError(
        f"a cell of type {type(value).__name__} cannot be compared: expected None, bool, int, float, str or bytes."
    )


def _encode_row(row: Row) -> bytes:
    parts = [_encode(value) for value in row]
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _digest(parts: Sequence[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(b"%d:" % len(part))
        total.update(part)
    return total.hexdigest()
