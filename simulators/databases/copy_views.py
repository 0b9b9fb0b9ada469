"""Views of a copied database: their translation, and the test that it gives the same rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fogline.core.errors import DataError
from fogline.simulators.databases.records import Catalogue
from fogline.simulators.databases.translation import translate_query
from fogline.simulators.databases.values import plain

SIGNIFICANT_DIGITS = 9

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def translated_view(sql: str, catalogue: Catalogue, engine: str) -> str:
    """Return the query of the ``CREATE VIEW`` statement ``sql`` in the dialect of ``engine``.

    Raises:
        DataError: The statement cannot be read or translated, or names its columns itself.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        statement = sqlglot.parse_one(sql, dialect="sqlite")
    except SqlglotError as error:
        raise DataError(f"the view cannot be read: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(statement, exp.Create) or statement.expression is None or isinstance(statement.this, exp.Schema):
        raise DataError("the view names its columns outside its query")
    query = statement.expression.transform(_constant_moment)
    return translate_query(query.sql(dialect="sqlite"), catalogue, engine)


def _constant_moment(node: Any) -> Any:
    """Replace ``datetime('2020-01-31')`` by its text: other engines lack the function, and moments are text."""
    from sqlglot import exp

    if not isinstance(node, exp.Anonymous) or node.name.lower() != "datetime" or len(node.expressions) != 1:
        return node
    day = node.expressions[0]
    if not (isinstance(day, exp.Literal) and day.is_string and _DAY.fullmatch(day.name)):
        return node
    return exp.Literal.string(f"{day.name} 00:00:00")


def same_rows(expected: Sequence[Sequence[Any]], found: Sequence[Sequence[Any]]) -> bool:
    """Return whether two results hold the same rows, in any order, floats to nine significant digits."""
    return Counter(map(_comparable, expected)) == Counter(map(_comparable, found))


def _comparable(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_rounded(plain(value)) for value in row)


def _rounded(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, (int, float)) else value
