"""Reading a database's true schema, through the same workers that run untrusted statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from fogline.simulators.databases.records import (
    Catalogue,
    Column,
    DatabaseUnavailable,
    ForeignKey,
    QueryLimits,
    QueryResult,
    Row,
)

if TYPE_CHECKING:
    from fogline.simulators.databases.executor import Database

_LIMITS = QueryLimits(seconds=60.0, max_rows=1_000_000, max_bytes=256 * 2**20)

_SQLITE_COLUMNS = """
SELECT m.name, m.type = 'view', p.name, p.type, p.pk > 0
FROM sqlite_master AS m JOIN pragma_table_xinfo(m.name) AS p
WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND p.hidden <> 1
ORDER BY m.rowid, p.cid
"""
_SQLITE_KEYS = """
SELECT m.name, k."from", k."table", k."to", k.seq
FROM sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS k
WHERE m.type = 'table'
ORDER BY m.rowid, k.id, k.seq
"""
_SQLITE_NAMES = """
SELECT name, type = 'view' FROM sqlite_master
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid
"""

_DUCKDB_COLUMNS = """
SELECT c.table_name, v.view_name IS NOT NULL, c.column_name, c.data_type,
    coalesce(list_contains(k.constraint_column_names, c.column_name), false)
FROM duckdb_columns() AS c
LEFT JOIN duckdb_views() AS v ON v.schema_name = c.schema_name AND v.view_name = c.table_name AND NOT v.internal
LEFT JOIN duckdb_constraints() AS k
    ON k.schema_name = c.schema_name AND k.table_name = c.table_name AND k.constraint_type = 'PRIMARY KEY'
WHERE NOT c.internal
ORDER BY c.table_oid, c.column_index
"""
_DUCKDB_KEYS = """
SELECT table_name, unnest(constraint_column_names), referenced_table, unnest(referenced_column_names)
FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY' ORDER BY table_oid, constraint_index
"""

_POSTGRESQL_COLUMNS = """
SELECT c.relname, c.relkind IN ('v', 'm'), a.attname, format_type(a.atttypid, a.atttypmod),
    EXISTS (SELECT 1 FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey))
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
    AND c.relnamespace = ANY (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = ANY (current_schemas(false)))
ORDER BY c.oid, a.attnum
"""
_POSTGRESQL_KEYS = """
SELECT c.relname, a.attname, p.relname, b.attname
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_class AS p ON p.oid = k.confrelid
CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u(child, parent, place)
JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.child
JOIN pg_attribute AS b ON b.attrelid = k.confrelid AND b.attnum = u.parent
WHERE k.contype = 'f'
    AND c.relnamespace = ANY (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = ANY (current_schemas(false)))
ORDER BY c.oid, k.oid, u.place
"""

_STATEMENTS = {
    "sqlite": (_SQLITE_COLUMNS, _SQLITE_KEYS),
    "duckdb": (_DUCKDB_COLUMNS, _DUCKDB_KEYS),
    "postgresql": (_POSTGRESQL_COLUMNS, _POSTGRESQL_KEYS),
}


def read_catalogue(database: Database) -> Catalogue:
    """Read tables, views, columns and foreign keys, in declaration order.

    A view whose definition no longer fits the tables cannot be described by the engine; it is left out.

    Raises:
        DatabaseUnavailable: The schema cannot be read.
    """
    columns_sql, keys_sql = _STATEMENTS[database.engine]
    columns, keys = database.execute_many((columns_sql, keys_sql), _LIMITS)
    if database.engine == "sqlite" and not columns.ran:
        rows = _sqlite_one_by_one(database)
    elif columns.ran and not columns.truncated:
        rows = list(columns.rows)
    else:
        raise _unreadable(database, columns)
    if not keys.ran:
        raise _unreadable(database, keys)
    return _catalogue(rows, keys.rows)


def _sqlite_one_by_one(database: Database) -> list[Row]:
    """Describe each table on its own: one broken view fails the statement that describes all."""
    names = database.execute(_SQLITE_NAMES, _LIMITS)
    if not names.ran:
        raise _unreadable(database, names)
    describe = "SELECT name, type, pk > 0 FROM pragma_table_xinfo({}) WHERE hidden <> 1"
    statements = [describe.format(_literal(name)) for name, _ in names.rows]
    rows: list[Row] = []
    for (name, is_view), found in zip(names.rows, database.execute_many(statements, _LIMITS), strict=True):
        rows.extend((name, is_view, *column) for column in found.rows)
    return rows


def _catalogue(columns: Iterable[Row], keys: Iterable[Row]) -> Catalogue:
    tables: dict[str, list[Column]] = {}
    views = set()
    for table, is_view, name, kind, in_primary_key in columns:
        tables.setdefault(table, []).append(Column(name, kind, bool(in_primary_key)))
        if is_view:
            views.add(table)
    return Catalogue(
        {table: tuple(listed) for table, listed in tables.items()},
        frozenset(views),
        tuple(_foreign_key(row, tables) for row in keys),
    )


def _foreign_key(row: Row, tables: Mapping[str, Sequence[Column]]) -> ForeignKey:
    """One reference; SQLite leaves the parent's columns unnamed where they are its primary key."""
    table, column, parent, parent_column, *place = row
    if parent_column is None:
        lowered = {name.lower(): listed for name, listed in tables.items()}
        primary = [listed.name for listed in lowered.get(parent.lower(), ()) if listed.primary_key]
        parent_column = primary[place[0]] if place[0] < len(primary) else ""
    return ForeignKey(table, column, parent, parent_column)


def _unreadable(database: Database, result: QueryResult) -> DatabaseUnavailable:
    reason = result.message or result.status
    return DatabaseUnavailable(f"the schema of {database.ref.name!r} cannot be read: {reason}")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
