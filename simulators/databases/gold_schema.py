"""Schemas as sets of names: derived from a gold statement, read from a proposal, checked for hallucination.

Source of the rule: TRUST-SQL specification, section 3 (gold schema) and section 10.3 (proposal). The authors
shipped labels; fogline derives them, so that they are deterministic and can be audited.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fogline.core.errors import DataError
from fogline.simulators.databases.records import Catalogue, SchemaSubset

MAX_SQL_CHARACTERS = 100_000
_COLUMN_KEYS = ("name", "column_name", "column")
_EXPECTED_PAYLOAD = (
    'expected {"tables": ["orders", ...], "columns": {"orders": ["id", {"name": "total"}, ...], ...}}, '
    'every table a key of "columns" at most once'
)


class UnparseableSQL(DataError):
    """The text is not one query that sqlglot can read in the dialect."""


class UnknownNames(DataError):
    """A statement names tables or columns that its database does not have.

    Attributes:
        tables: Absent tables, lower-cased.
        columns: Absent columns as written, lower-cased.
    """

    def __init__(self, message: str, tables: frozenset[str], columns: frozenset[str]) -> None:
        """Keep the absent names beside the message."""
        super().__init__(message)
        self.tables = tables
        self.columns = columns


class PayloadError(DataError):
    """A proposed schema does not have the promised shape; the message lists everything that is wrong."""


@dataclass(frozen=True, slots=True)
class IdentifiersUsed:
    """What a statement names, split by whether the database has it.

    Attributes:
        known: Tables, views and ``table.column`` names that exist.
        unknown_tables: Table names that do not exist.
        unknown_columns: Column names that no visible table has, qualified where the statement qualifies them.
        unparseable: True when the text is not one query that can be read; the sets are then empty and say
            nothing.
    """

    known: SchemaSubset = field(default_factory=SchemaSubset)
    unknown_tables: frozenset[str] = frozenset()
    unknown_columns: frozenset[str] = frozenset()
    unparseable: bool = False

    @property
    def hallucinated(self) -> bool:
        """True when some name does not exist in the database."""
        return bool(self.unknown_tables or self.unknown_columns)


def gold_schema(sql: str, catalogue: Catalogue, dialect: str = "sqlite") -> SchemaSubset:
    """Derive the tables and columns that a gold query needs.

    Tables are the base tables and views that the text names (a view counts as itself, its columns are its
    own); common table expressions, aliases and derived tables are seen through. Columns are all base columns
    referenced in any clause, the keys of ``USING`` and ``NATURAL`` joins included on both sides. ``COUNT(*)``
    adds none; ``SELECT *`` and ``t.*`` add all, also inside ``EXISTS``. Row identifiers (``rowid``) are no
    columns. A double-quoted name that is no column is a string in SQLite.

    Args:
        sql: One query.
        catalogue: True schema of its database.
        dialect: sqlglot dialect name.

    Raises:
        UnparseableSQL: When ``sql`` is not one readable query.
        UnknownNames: When it names a table or column that the catalogue lacks.
    """
    used = _identifiers(sql, catalogue, dialect)
    if used.hallucinated:
        absent = ", ".join(sorted(used.unknown_tables) + sorted(used.unknown_columns))
        raise UnknownNames(
            f"the statement names {absent}, absent from the catalogue of "
            f"{len(catalogue.tables)} tables: expected names that exist. "
            "Repair the gold SQL or give the record its own gold schema.",
            used.unknown_tables,
            used.unknown_columns,
        )
    return used.known


def identifiers_used(sql: str, catalogue: Catalogue, dialect: str = "sqlite") -> IdentifiersUsed:
    """Split the names of any text into known and unknown ones; never raises for what the text says.

    Args:
        sql: What an agent wrote.
        catalogue: True schema of the database.
        dialect: sqlglot dialect name.
    """
    try:
        return _identifiers(sql, catalogue, dialect)
    except UnparseableSQL:
        return IdentifiersUsed(unparseable=True)


def parse_query(sql: str, dialect: str = "sqlite") -> Any:
    """Parse one query (SELECT, VALUES, WITH or a set operation) into a sqlglot expression.

    Raises:
        UnparseableSQL: For anything else: other statements, several statements, syntax errors, texts too long
            or too deep.
    """
    return _parse(sql, dialect).copy()


@functools.lru_cache(maxsize=512)
def _parse(sql: str, dialect: str) -> Any:
    import sqlglot
    from sqlglot import TokenType, exp
    from sqlglot.errors import SqlglotError

    if len(sql) > MAX_SQL_CHARACTERS:
        raise UnparseableSQL(
            f"a statement of {len(sql)} characters is not analysed: expected at most {MAX_SQL_CHARACTERS}."
        )
    try:
        tokens = [token for token in sqlglot.tokenize(sql, read=dialect) if token.token_type != TokenType.SEMICOLON]
        starts = {TokenType.SELECT, TokenType.WITH, TokenType.VALUES, TokenType.L_PAREN, TokenType.FROM}
        if not tokens or tokens[0].token_type not in starts:
            head = tokens[0].text if tokens else ""
            raise UnparseableSQL(f"the statement begins with {head[:40]!r}: expected a query (SELECT, WITH or VALUES).")
        statements = [statement for statement in sqlglot.parse(sql, read=dialect) if statement is not None]
    except (SqlglotError, RecursionError) as error:
        raise UnparseableSQL(f"{sql[:200]!r} cannot be parsed as {dialect}: {str(error)[:200]}") from error
    statements = [statement for statement in statements if not isinstance(statement, exp.Semicolon)]
    if len(statements) != 1 or not isinstance(statements[0], (exp.Query, exp.Values)):
        raise UnparseableSQL(f"{sql[:200]!r} holds {len(statements)} statements: expected exactly one query.")
    return statements[0]


def _identifiers(sql: str, catalogue: Catalogue, dialect: str) -> IdentifiersUsed:
    from fogline.simulators.databases.name_resolution import NameResolver

    query = _parse(sql, dialect)
    try:
        names = NameResolver(catalogue, dialect, sql).resolve(query)
    except RecursionError as error:
        raise UnparseableSQL(f"{sql[:200]!r} is nested too deeply to be analysed.") from error
    known = SchemaSubset(frozenset(names.tables), frozenset(names.columns))
    return IdentifiersUsed(known, frozenset(names.unknown_tables), frozenset(names.unknown_columns))


def proposal_schema(payload: Mapping[str, Any]) -> SchemaSubset:
    """Read the payload of a Propose action.

    Args:
        payload: ``{"tables": [name, …], "columns": {table: [name or {"name" | "column_name" | "column":
            name}, …]}}``; other keys (such as ``"joins"``) are ignored, and names are compared without regard
            to case. A table that appears only as a key of ``columns`` is not proposed as a table.

    Returns:
        The proposed names, lower-cased.

    Raises:
        PayloadError: Listing every deviation and the expected shape.
    """
    problems: list[str] = []
    if not isinstance(payload, Mapping):
        raise PayloadError(f"the proposal is a {type(payload).__name__}: {_EXPECTED_PAYLOAD}.")
    tables = _names(payload.get("tables"), '"tables"', problems, objects=False)
    columns: dict[str, list[str]] = {}
    given = payload.get("columns")
    if not isinstance(given, Mapping):
        problems.append(
            '"columns" is missing' if given is None else f'"columns" is a {type(given).__name__}, not an object'
        )
    else:
        for table, entries in given.items():
            names = _names(entries, f'"columns"[{table!r}]', problems, objects=True)
            if not isinstance(table, str) or not table.strip():
                problems.append(f'"columns" has the key {table!r}, not a table name')
                continue
            columns.setdefault(table.strip(), []).extend(names)
    if problems:
        raise PayloadError(f"the proposal is malformed: {'; '.join(problems)}: {_EXPECTED_PAYLOAD}.")
    return SchemaSubset.of(tables, columns)


def _names(entries: Any, where: str, problems: list[str], *, objects: bool) -> list[str]:
    if not isinstance(entries, (list, tuple)):
        problems.append(
            f"{where} is missing" if entries is None else f"{where} is a {type(entries).__name__}, not a list"
        )
        return []
    names = []
    for position, entry in enumerate(entries):
        name = entry
        if objects and isinstance(entry, Mapping):
            name = next((entry[key] for key in _COLUMN_KEYS if key in entry), None)
        if isinstance(name, str) and name.strip():
            names.append(name.strip())
        else:
            problems.append(f"{where}[{position}] is {entry!r}, not a name")
    return names
