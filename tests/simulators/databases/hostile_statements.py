"""Statements that try to write, to reach outside the database, or to cost more than they may.

Each is an engine, a statement and the statuses that are right for it. ``{folder}`` stands for a folder that every
local process may write to and that holds ``secret.csv``. Each engine's database has the table ``item`` (id, name,
amount), its index ``item_name`` and the view ``dear``.
"""

from __future__ import annotations

from dataclasses import dataclass

from hostile_duckdb import DUCKDB
from hostile_postgresql import POSTGRESQL
from hostile_sqlite import SQLITE

ITEMS = 300
CREATE = (
    "CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL, amount DOUBLE PRECISION)",
    "INSERT INTO item VALUES " + ", ".join(f"({row}, 'item {row % 50}', {row * 0.5})" for row in range(ITEMS)),
    "CREATE INDEX item_name ON item (name)",
    "CREATE VIEW dear AS SELECT name, amount FROM item WHERE amount > 100",
)
"""Statements that make the database, for any of the engines."""


@dataclass(frozen=True)
class Hostile:
    """One statement and the statuses it may end with."""

    engine: str
    sql: str
    statuses: tuple[str, ...]

    def __str__(self) -> str:
        """A short name for a test."""
        words = " ".join(self.sql[:70].encode("ascii", "replace").decode().replace("\0", "?").split())
        return f"{words or 'nothing'} ({'/'.join(self.statuses)})"


def statements(engine: str) -> list[Hostile]:
    """The table's rows for one engine."""
    groups = {"sqlite": SQLITE, "duckdb": DUCKDB, "postgresql": POSTGRESQL}[engine]
    return [Hostile(engine, sql, statuses) for statuses, group in groups for sql in group]
