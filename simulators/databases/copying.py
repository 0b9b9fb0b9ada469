"""Copying a SQLite database to DuckDB or PostgreSQL: tables, rows, keys, and the views that translate.

Types: INTEGER becomes BIGINT, NUMERIC(p, s) DECIMAL(p, s), REAL and bare NUMERIC DOUBLE PRECISION, BLOB stays binary,
everything else text. Dates and times stay the ISO text that SQLite keeps, so that the same gold statement means the
same on every engine. SQLite lets any value into any column: each column is checked, and one whose values do not fit
is copied as the narrowest type that holds them all, text at last.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.databases.locations import locate
from fogline.simulators.databases.records import Catalogue, DatabaseRef

if TYPE_CHECKING:
    from fogline.simulators.databases.copy_targets import Target

CHUNK_ROWS = 20_000
MAX_PRECISION = 38

_DECIMAL = re.compile(r"(?:NUMERIC|DECIMAL)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something of the source that the copy lacks or holds in another way.

    Attributes:
        kind: ``type`` (a column is stored as another type), ``text`` (characters were replaced), ``primary key``,
            ``foreign key`` or ``view``.
        name: The table, view or column.
        reason: Why.
    """

    kind: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column as it is created: name, SQL type, the SQLite expression that reads it."""

    name: str
    type: str
    source: str


@dataclass(frozen=True, slots=True)
class Reference:
    """One foreign key: columns of a table that refer to the primary key of another."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass
class TablePlan:
    """How one table is copied."""

    name: str
    columns: list[TargetColumn]
    primary_key: tuple[str, ...] = ()
    references: list[Reference] = field(default_factory=list)

    def positions(self, names: Sequence[str]) -> list[int]:
        """Return the indices of the columns ``names``."""
        order = [column.name for column in self.columns]
        return [order.index(name) for name in names]


def copy_database(
    source: DatabaseRef, target_url: str, schema: str | None = None, left_out: list[LeftOut] | None = None
) -> DatabaseRef:
    """Copy a SQLite database into another engine.

    Args:
        source: A SQLite database.
        target_url: ``duckdb:///PATH`` of a file that does not exist yet, or a ``postgresql://`` URL whose role may
            create a schema.
        schema: PostgreSQL schema to create, ``source.name`` where None; an earlier copy of that
            name is replaced.
        left_out: Receives what the copy lacks.

    Returns:
        The copy, under the name of the source.

    Raises:
        ConfigurationError: The source is not SQLite, the target is neither DuckDB nor PostgreSQL, or what
            exists there is no earlier copy.
        DatabaseUnavailable: The source or the server does not open.
    """
    from fogline.simulators.databases.copy_targets import open_target

    location = locate(source.url)
    if location.engine != "sqlite":
        raise ConfigurationError(f"url={source.url!r} cannot be copied: expected a source of the form sqlite:///PATH.")
    report = [] if left_out is None else left_out
    with closing(_open_trusted(location.spec[0])) as connection:
        catalogue = _catalogue_of(source)
        plans = _plan(connection, catalogue, report)
        with open_target(target_url, schema or source.name) as target:
            for plan in plans:
                target.create_table(plan)
                target.fill(plan, _rows(connection, plan, target, report))
            target.add_references(plans)
            _copy_views(connection, catalogue, target, report)
            return DatabaseRef(source.name, target.url)


def target_type(declared: str) -> str:
    """Return the type that a column declared as ``declared`` in SQLite has in a copy, if its values fit.

    The rules are SQLite's own for affinity, except that dates and times are text.
    """
    text = declared.upper()
    if any(part in text for part in ("DATE", "TIME")):
        return "TEXT"
    if "INT" in text or "BOOL" in text:
        return "BIGINT"
    if any(part in text for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in text:
        return "BYTEA"
    decimal = _DECIMAL.search(text)
    if decimal and 0 < int(decimal[1]) <= MAX_PRECISION:
        return f"DECIMAL({decimal[1]}, {decimal[2] or 0})"
    if any(part in text for part in ("REAL", "FLOA", "DOUB", "NUM", "DEC")):
        return "DOUBLE PRECISION"
    return "" if not text else "TEXT"


def _open_trusted(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True)
    connection.text_factory = lambda value: value.decode("utf-8", "replace")
    return connection


def _catalogue_of(source: DatabaseRef) -> Catalogue:
    from fogline.simulators.databases.executor import Database

    with Database(source) as database:
        return database.catalogue()


def _plan(connection: sqlite3.Connection, catalogue: Catalogue, report: list[LeftOut]) -> list[TablePlan]:
    """Return the tables to copy, parents before the tables that refer to them."""
    plans: dict[str, TablePlan] = {}
    for table, columns in catalogue.tables.items():
        if table not in catalogue.views:
            listed = [_column(connection, table, column.name, column.type, report) for column in columns]
            plans[table] = TablePlan(table, listed, _primary_key(connection, table, report))
    for plan in plans.values():
        plan.references = list(_references(connection, plan, plans, report))
    return _parents_first(plans, report)


def _column(
    connection: sqlite3.Connection, table: str, name: str, declared: str, report: list[LeftOut]
) -> TargetColumn:
    column = quoted(name)
    wanted = target_type(declared)
    found = connection.execute(f"SELECT DISTINCT typeof({column}) FROM {quoted(table)}")
    kinds = {kind for (kind,) in found} - {"null"}
    chosen = wanted if _fits(connection, table, column, wanted, kinds) else _narrowest(kinds)
    if wanted and chosen != wanted:
        reason = f"declared {declared!r}, but its values are {', '.join(sorted(kinds))}: stored as {chosen}"
        report.append(LeftOut("type", f"{table}.{name}", reason))
    return TargetColumn(name, chosen, f"CAST({column} AS TEXT)" if chosen == "TEXT" and kinds - {"text"} else column)


def _fits(connection: sqlite3.Connection, table: str, column: str, wanted: str, kinds: set[str]) -> bool:
    if wanted.startswith("DECIMAL"):
        precision, scale = map(int, re.findall(r"\d+", wanted))
        strange = connection.execute(
            f"SELECT 1 FROM {quoted(table)} WHERE abs({column}) >= 1e{precision - scale} "
            f"OR abs({column} - round({column}, {scale})) > 1e-9 * max(1.0, abs({column})) LIMIT 1"
        )
        return kinds <= {"integer", "real"} and strange.fetchone() is None
    permitted = {
        "BIGINT": {"integer"},
        "DOUBLE PRECISION": {"integer", "real"},
        "TEXT": {"text"},
        "BYTEA": {"blob"},
    }
    return wanted in permitted and kinds <= permitted[wanted]


def _narrowest(kinds: set[str]) -> str:
    if kinds and kinds <= {"integer", "real"}:
        return "BIGINT" if kinds == {"integer"} else "DOUBLE PRECISION"
    return "BYTEA" if kinds == {"blob"} else "TEXT"


def _primary_key(connection: sqlite3.Connection, table: str, report: list[LeftOut]) -> tuple[str, ...]:
    rows = connection.execute("SELECT name, pk FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,))
    names = tuple(name for name, _ in rows)
    if names:
        condition = " OR ".join(f"{quoted(name)} IS NULL" for name in names)
        if connection.execute(f"SELECT 1 FROM {quoted(table)} WHERE {condition} LIMIT 1").fetchone():
            report.append(LeftOut("primary key", table, "SQLite let NULL into it"))
            return ()
    return names


def _references(
    connection: sqlite3.Connection, plan: TablePlan, plans: dict[str, TablePlan], report: list[LeftOut]
) -> Iterator[Reference]:
    declared = {name.lower(): name for name in plans}
    keys: dict[int, list[tuple[str, str, str | None]]] = {}
    for key, _, parent, child, column, *_ in connection.execute(f"PRAGMA foreign_key_list({quoted(plan.name)})"):
        keys.setdefault(key, []).append((declared.get(parent.lower(), parent), child, column))
    for entries in keys.values():
        parent = entries[0][0]
        label = f"{plan.name}({', '.join(child for _, child, _ in entries)}) -> {parent}"
        if parent not in plans:
            report.append(LeftOut("foreign key", label, "there is no such table"))
            continue
        other = plans[parent]
        spelling = {column.name.lower(): column.name for column in (*plan.columns, *other.columns)}
        named = [column for _, _, column in entries]
        parents = other.primary_key if None in named else tuple(spelling.get((c or "").lower(), c or "") for c in named)
        reference = Reference(tuple(spelling.get(c.lower(), c) for _, c, _ in entries), parent, parents)
        reason = _obstacle(connection, plan, other, reference)
        if reason:
            report.append(LeftOut("foreign key", label, reason))
        else:
            yield reference


def _obstacle(connection: sqlite3.Connection, plan: TablePlan, parent: TablePlan, reference: Reference) -> str:
    """Return why another engine would refuse this key, or an empty string."""
    if set(reference.parent_columns) != set(parent.primary_key) or len(reference.columns) != len(parent.primary_key):
        return "it does not refer to a primary key"
    types = [plan.columns[place].type for place in plan.positions(reference.columns)]
    if types != [parent.columns[place].type for place in parent.positions(reference.parent_columns)]:
        return "the columns are of different types"
    pairs = list(zip(reference.columns, reference.parent_columns, strict=True))
    equal = " AND ".join(f"p.{quoted(there)} = c.{quoted(here)}" for here, there in pairs)
    known = " AND ".join(f"c.{quoted(here)} IS NOT NULL" for here, _ in pairs)
    orphan = connection.execute(
        f"SELECT 1 FROM {quoted(plan.name)} AS c WHERE {known} AND NOT EXISTS "
        f"(SELECT 1 FROM {quoted(parent.name)} AS p WHERE {equal}) LIMIT 1"
    )
    return "rows refer to parents that do not exist" if orphan.fetchone() else ""


def _parents_first(plans: dict[str, TablePlan], report: list[LeftOut]) -> list[TablePlan]:
    """Order tables so that each follows those it refers to; a key that closes a circle is left out."""
    ordered: list[TablePlan] = []
    waiting = list(plans.values())
    while waiting:
        placed = {plan.name for plan in ordered}
        free = [p for p in waiting if all(r.parent in placed or r.parent == p.name for r in p.references)]
        if not free:
            plan = waiting[0]
            for reference in [r for r in plan.references if r.parent not in placed and r.parent != plan.name]:
                plan.references.remove(reference)
                label = f"{plan.name}({', '.join(reference.columns)}) -> {reference.parent}"
                report.append(LeftOut("foreign key", label, "the tables refer to one another in a circle"))
            free = [plan]
        ordered += free
        waiting = [plan for plan in waiting if plan not in free]
    return ordered


def _rows(
    connection: sqlite3.Connection, plan: TablePlan, target: Target, report: list[LeftOut]
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield chunks of rows, texts freed of what the target does not store."""
    expressions = ", ".join(column.source for column in plan.columns)
    cursor = connection.execute(f"SELECT {expressions} FROM {quoted(plan.name)}")
    replaced = False
    while rows := cursor.fetchmany(CHUNK_ROWS):
        if not target.stores_null_characters and any(isinstance(v, str) and "\0" in v for row in rows for v in row):
            rows = [tuple(v.replace("\0", "") if isinstance(v, str) else v for v in row) for row in rows]
            replaced = True
        yield rows
    if replaced:
        report.append(LeftOut("text", plan.name, "null characters were removed from texts"))


def _copy_views(connection: sqlite3.Connection, catalogue: Catalogue, target: Target, report: list[LeftOut]) -> None:
    """Create the views that translate and give the same rows; one that another needs comes first."""
    from fogline.simulators.databases.copy_views import same_rows, translated_view

    views = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY rowid")
    waiting = dict(views.fetchall())
    reasons: dict[str, str] = {}
    expected: tuple[type[Exception], ...] = (DataError, sqlite3.Error, *target.errors)
    progress = True
    while waiting and progress:
        progress = False
        for name, sql in list(waiting.items()):
            try:
                rows = connection.execute(f"SELECT * FROM {quoted(name)}").fetchall()
                target.create_view(name, translated_view(sql, catalogue, target.engine))
            except expected as error:
                reasons[name] = str(error).partition("\n")[0]
                continue
            del waiting[name]
            progress = True
            if not same_rows(rows, target.read_view(name)):
                target.drop_view(name)
                report.append(LeftOut("view", name, "its translation gives other rows"))
    report.extend(LeftOut("view", name, reasons[name]) for name in waiting)


def quoted(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
