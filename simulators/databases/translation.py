"""Translating SQLite queries for the other engines, names resolved against the real catalogue."""

from __future__ import annotations

from typing import Any

from fogline.core.errors import DataError, check_choice
from fogline.simulators.databases.gold_schema import parse_query
from fogline.simulators.databases.records import Catalogue

DIALECT_OF_ENGINE = {"sqlite": "sqlite", "duckdb": "duckdb", "postgresql": "postgres"}


class UntranslatableSQL(DataError):
    """A query whose names or syntax have no counterpart in the other dialect."""


def translate_query(sql: str, catalogue: Catalogue, engine: str) -> str:
    """Translate a SQLite query so that it means the same on a copy of its database.

    Every name is qualified and quoted in the case in which it is declared, because PostgreSQL folds what is
    not quoted. What SQLite does otherwise at run time (text compared with numbers, LIKE without regard to
    case) cannot be seen in the text: such queries must be written portably.

    Args:
        sql: One query for SQLite.
        catalogue: Schema of its SQLite database.
        engine: ``duckdb`` or ``postgresql`` (``sqlite`` returns ``sql``).

    Raises:
        UnparseableSQL: When ``sql`` is not one readable query.
        UntranslatableSQL: When a name does not resolve or the target dialect lacks a construct.
    """
    check_choice("engine", engine, DIALECT_OF_ENGINE)
    if engine == "sqlite":
        return sql
    from sqlglot import ErrorLevel
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.annotate_types import annotate_types
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.schema import MappingSchema

    dialect = "sqlite, normalization_strategy=case_sensitive"
    columns: dict[str, object] = {
        table: {column.name: _type(column.type) for column in entries} for table, entries in catalogue.tables.items()
    }
    schema = MappingSchema(columns, dialect=dialect)
    query = _declared_case(parse_query(sql), catalogue)
    try:
        qualified = annotate_types(qualify(query, schema=schema, dialect=dialect, sql=sql), schema=schema)
        if engine == "postgresql":
            _round_decimals(qualified)
        return str(qualified.sql(dialect=DIALECT_OF_ENGINE[engine], unsupported_level=ErrorLevel.RAISE))
    except SqlglotError as error:
        raise UntranslatableSQL(f"{sql[:200]!r} cannot be translated for {engine}: {str(error)[:200]}") from error


def _type(declared: str) -> str:
    """The type of a column by SQLite's affinity rules, as sqlglot names it."""
    text = declared.upper()
    if "INT" in text:
        return "BIGINT"
    if any(part in text for part in ("CHAR", "CLOB", "TEXT", "DATE", "TIME")):
        return "TEXT"
    if "BLOB" in text or not text:
        return "BLOB"
    if any(part in text for part in ("REAL", "FLOA", "DOUB")):
        return "DOUBLE"
    return text if text.startswith(("NUMERIC", "DECIMAL")) else "DECIMAL"


def _round_decimals(query: Any) -> None:
    """Cast what ROUND takes to decimal: PostgreSQL rounds to places only NUMERIC, and a copy may hold DOUBLE."""
    from sqlglot import exp

    for call in list(query.find_all(exp.Round)):
        if call.args.get("decimals") is not None:
            cast = exp.cast(call.this.copy(), "DECIMAL")
            cast.type = exp.DataType.build("DECIMAL")
            call.set("this", cast)


def _declared_case(query: Any, catalogue: Catalogue) -> Any:
    """Spell names as the catalogue declares them, wherever they differ from a declared name by case alone."""
    from sqlglot import exp

    spelling: dict[str, str] = {}
    for table, columns in catalogue.tables.items():
        for name in (*(column.name for column in columns), table):
            spelling[name.lower()] = name
    defined = {cte.alias for cte in query.find_all(exp.CTE)}
    for identifier in query.find_all(exp.Identifier):
        if identifier.name not in defined:
            identifier.set("this", spelling.get(identifier.name.lower(), identifier.name))
    return query
