"""Writes populations as SQLite files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fogline.simulators.databases.enterprise.rows import Population
from fogline.simulators.databases.enterprise.schema import PhysicalTable, Schema


def _create_statement(table: PhysicalTable) -> str:
    lines = []
    for position, column in enumerate(table.columns):
        suffix = " NOT NULL PRIMARY KEY" if position == 0 and table.role != "lookup" else ""
        lines.append(f"{column.name} {column.type}{suffix}")
    if table.role == "lookup":
        lines.append(f"PRIMARY KEY ({table.columns[0].name}, {table.columns[1].name})")
    lines += [f"FOREIGN KEY ({key.column}) REFERENCES {key.parent} ({key.parent_column})" for key in table.keys]
    return f"CREATE TABLE {table.name} (\n  " + ",\n  ".join(lines) + "\n)"


def statements(schema: Schema) -> Iterator[str]:
    """The statements that create all tables and views."""
    for table in schema.tables:
        yield _create_statement(table)
    for view in schema.views:
        yield view.statement


def write_database(path: Path, schema: Schema, population: Population) -> None:
    """Write a new SQLite file at ``path``.

    Raises:
        sqlite3.Error: When the file exists with other content or cannot be written.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # Durability comes from the rename of the finished folder, so the journal would only cost time.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for statement in statements(schema):
            connection.execute(statement)
        for table in schema.tables:
            marks = ", ".join("?" * len(table.columns))
            connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", population.tables[table.name])
        connection.execute("COMMIT")
    finally:
        connection.close()
