"""Copying a SQLite database to DuckDB or PostgreSQL: the same tables, rows, keys, and the views that translate.

Numbers keep their exactness, text stays text, and so do dates, which SQLite keeps as ISO text: a portable query then gives
the same answer on every engine.
"""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from fogline.core.errors import ConfigurationError, DataError, missing_dependency
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.locations import locate
from fogline.simulators.databases.records import Catalogue, Column, DatabaseRef, ForeignKey

DECIMAL = "DECIMAL(18,4)"
"""What a NUMERIC column without precision becomes: money with two places to spare."""

_PRECISION = re.compile(r"(?:NUMERIC|DECIMAL)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", re.IGNORECASE)
_SEARCH_PATH = re.compile(r"search_path(?:=|%3D)([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy holds.

    Attributes:
        database: The copy.
        rows: Rows copied, by table.
        retyped: Columns whose values do not fit the declared type, with the type that they got instead.
        left_out: Views and references that have no counterpart there, with the reason.
    """

    database: DatabaseRef
    rows: dict[str, int] = field(default_factory=dict)
    retyped: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


class Target(Protocol):
    """Where tables are created and rows are put."""

    def run(self, statement: str) -> None:
        """Execute one statement."""
        ...

    def insert(self, table: str, columns: Sequence[tuple[str, str]], rows: Iterable[tuple[Any, ...]]) -> int:
        """Put ``rows`` into ``table`` with ``columns`` (name, type); return how many."""
        ...


def copy_database(source: DatabaseRef, target_url: str) -> CopyReport:
    """Copy a SQLite database.

    Args:
        source: The SQLite database; it is only read.
        target_url: ``duckdb:///PATH`` of a file that does not exist, or ``postgresql://…`` of a database where the role may
            create the schema that the URL's ``search_path`` option names (``public`` without one). A schema of that
            name other than ``public`` is replaced.

    Raises:
        ConfigurationError: If the source is not SQLite, or the target exists or is no target.
        DataError: If a row cannot be stored.
    """
    location = locate(source.url)
    if location.engine != "sqlite" or location.path is None:
        raise ConfigurationError(f"source={source.url!r} is not SQLite: expected sqlite:///PATH.")
    engine = target_url.partition("://")[0].partition("+")[0]
    opener = {"duckdb": _open_duckdb, "postgresql": _open_postgresql}.get(engine)
    if opener is None:
        raise ConfigurationError(f"target_url={target_url!r}: expected duckdb:///PATH or postgresql://….")
    with Database(source) as database:
        catalogue = database.catalogue()
    report = CopyReport(DatabaseRef(source.name, target_url))
    target, finish = opener(target_url)
    connection = sqlite3.connect(f"file:{location.path}?mode=ro", uri=True)
    try:
        _copy(connection, catalogue, target, engine, report)
    except BaseException:
        finish(False)
        raise
    finally:
        connection.close()
    finish(True)
    return report


def _copy(connection: sqlite3.Connection, catalogue: Catalogue, target: Target, engine: str, report: CopyReport) -> None:
    kept, cyclic = _ordered(catalogue)
    for table in kept:
        columns = [(column.name, _fitting_type(connection, table, column, report)) for column in catalogue.tables[table]]
        references = [key for key in catalogue.foreign_keys if key.table == table and key not in cyclic]
        target.run(_create(table, columns, catalogue, references))
        report.rows[table] = target.insert(table, columns, _rows(connection, table, columns))
    for key in cyclic:
        try:
            target.run(f"ALTER TABLE {_quote(key.table)} ADD {_reference(key, key.parent_table)}")
        except DataError as error:
            report.left_out[f"{key.table}.{key.column} references {key.parent_table}"] = str(error)
    _copy_views(connection, catalogue, target, engine, report)


def _ordered(catalogue: Catalogue) -> tuple[list[str], list[ForeignKey]]:
    """Tables with parents first, and the references that would have to point forwards, a table's own included."""
    spelling = {name.lower(): name for name in catalogue.tables}
    waiting = [name for name in catalogue.tables if name not in catalogue.views]
    parents: dict[str, set[str]] = {name: set() for name in waiting}
    for key in catalogue.foreign_keys:
        parent = spelling.get(key.parent_table.lower())
        if parent is not None and parent != key.table:
            parents[key.table].add(parent)
    done: list[str] = []
    while waiting:
        free = [name for name in waiting if parents[name] <= set(done)] or waiting[:1]
        done.extend(free)
        waiting = [name for name in waiting if name not in free]
    place = {name: index for index, name in enumerate(done)}
    forwards = [
        key
        for key in catalogue.foreign_keys
        if spelling.get(key.parent_table.lower()) is None
        or place[spelling[key.parent_table.lower()]] >= place[key.table]
    ]
    return done, forwards


def _create(table: str, columns: Sequence[tuple[str, str]], catalogue: Catalogue, keys: Sequence[ForeignKey]) -> str:
    spelling = {name.lower(): name for name in catalogue.tables}
    primary = [column.name for column in catalogue.tables[table] if column.primary_key]
    parts = [f"{_quote(name)} {kind}" for name, kind in columns]
    if primary:
        parts.append(f"PRIMARY KEY ({', '.join(map(_quote, primary))})")
    parts.extend(_reference(key, spelling[key.parent_table.lower()]) for key in keys)
    return f"CREATE TABLE {_quote(table)} ({', '.join(parts)})"


def _reference(key: ForeignKey, parent: str) -> str:
    return f"FOREIGN KEY ({_quote(key.column)}) REFERENCES {_quote(parent)} ({_quote(key.parent_column)})"


def _fitting_type(connection: sqlite3.Connection, table: str, column: Column, report: CopyReport) -> str:
    """The type by the declaration, or a wider one where values do not fit: SQLite stores what it is given."""
    declared = declared_type(column.type)
    name = _quote(column.name)
    stored = dict(connection.execute(f"SELECT typeof({name}), count(*) FROM {_quote(table)} GROUP BY 1").fetchall())
    stored.pop("null", None)
    if declared.startswith("DECIMAL") and set(stored) <= {"integer", "real"}:
        values = connection.execute(f"SELECT DISTINCT {name} FROM {_quote(table)} WHERE {name} IS NOT NULL")
        kind = declared if all(_fits(value, declared) for (value,) in values) else "DOUBLE PRECISION"
    elif set(stored) <= _STORED[declared.partition("(")[0]]:
        kind = declared
    elif set(stored) <= {"integer", "real"}:
        kind = "DOUBLE PRECISION"
    else:
        kind = "BYTEA" if set(stored) == {"blob"} else "TEXT"
    if kind != declared:
        report.retyped[f"{table}.{column.name}"] = kind
    return kind


_STORED = {
    "BIGINT": {"integer"},
    "DECIMAL": {"integer"},
    "DOUBLE PRECISION": {"integer", "real"},
    "TEXT": {"text", "integer", "real"},
    "BYTEA": {"blob"},
}


def declared_type(declaration: str) -> str:
    """The column type that a SQLite declaration becomes.

    Integers become BIGINT, ``NUMERIC(p,s)`` stays exact, floating types become DOUBLE PRECISION, blobs BYTEA, and text and dates TEXT.
    """
    text = declaration.upper()
    if "INT" in text:
        return "BIGINT"
    if any(part in text for part in ("CHAR", "CLOB", "TEXT", "DATE", "TIME")):
        return "TEXT"
    if "BLOB" in text or not text:
        return "BYTEA"
    if any(part in text for part in ("REAL", "FLOA", "DOUB")):
        return "DOUBLE PRECISION"
    given = _PRECISION.search(text)
    return f"DECIMAL({given.group(1)},{given.group(2) or 0})" if given else DECIMAL


def _fits(value: int | float, kind: str) -> bool:
    precision, scale = map(int, kind[len("DECIMAL(") : -1].split(","))
    digits = Decimal(repr(value))
    return abs(digits) < Decimal(10) ** (precision - scale) and digits == digits.quantize(Decimal(1).scaleb(-scale))


def _rows(connection: sqlite3.Connection, table: str, columns: Sequence[tuple[str, str]]) -> Iterator[tuple[Any, ...]]:
    chosen = ", ".join(_quote(name) for name, _ in columns)
    as_text = [kind == "TEXT" for _, kind in columns]
    for row in connection.execute(f"SELECT {chosen} FROM {_quote(table)}"):
        yield tuple(
            value if value is None or not text or isinstance(value, str) else str(value)
            for value, text in zip(row, as_text, strict=True)
        )


def _copy_views(
    connection: sqlite3.Connection, catalogue: Catalogue, target: Target, engine: str, report: CopyReport
) -> None:
    """Create views until no further one can be: they may name one another in any order."""
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY rowid").fetchall()
    waiting = {str(name): str(sql) for name, sql in found}
    while waiting:
        created = []
        for name, sql in waiting.items():
            try:
                target.run(f"CREATE VIEW {_quote(name)} AS {_view_query(sql, catalogue, engine)}")
                created.append(name)
            except DataError as error:
                report.left_out[name] = str(error)
        if not created:
            return
        for name in created:
            del waiting[name]
            report.left_out.pop(name, None)


def _view_query(sql: str, catalogue: Catalogue, engine: str) -> str:
    import sqlglot
    from sqlglot.errors import SqlglotError

    from fogline.simulators.databases.translation import translate_query

    try:
        created = sqlglot.parse_one(sql, read="sqlite")
    except SqlglotError as error:
        raise DataError(f"the view cannot be parsed: {str(error)[:200]}") from error
    query = created.args.get("expression")
    if query is None:
        raise DataError("the view has no query.")
    return translate_query(query.sql(dialect="sqlite"), catalogue, engine)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


Opened = tuple[Target, Callable[[bool], None]]


class _DuckDB:
    """Rows go through newline-delimited JSON: executemany takes a millisecond a row."""

    def __init__(self, connection: Any, folder: Path) -> None:
        self._connection = connection
        self._folder = folder

    def run(self, statement: str) -> None:
        import duckdb

        try:
            self._connection.execute(statement.replace("BYTEA", "BLOB"))
        except duckdb.Error as error:
            raise DataError(f"DuckDB refuses {statement[:120]!r}: {error}") from error

    def insert(self, table: str, columns: Sequence[tuple[str, str]], rows: Iterable[tuple[Any, ...]]) -> int:
        count = 0
        file = self._folder / "rows.ndjson"
        with file.open("w", encoding="utf-8") as lines:
            for row in rows:
                lines.write(json.dumps([value.hex() if isinstance(value, bytes) else value for value in row]) + "\n")
                count += 1
        if count:
            values = ", ".join(
                f"unhex(json->>{place})" if kind == "BYTEA" else f"CAST(json->>{place} AS {kind})"
                for place, (_, kind) in enumerate(columns)
            )
            source = str(file).replace("'", "''")
            limit = "maximum_object_size=268435456"
            self.run(f"INSERT INTO {_quote(table)} SELECT {values} FROM read_ndjson_objects('{source}', {limit})")
        return count


def _open_duckdb(url: str) -> Opened:
    import duckdb

    path = Path(url.partition(":///")[2])
    if path.exists():
        raise ConfigurationError(f"target_url={url!r} exists already: remove the file, or choose another.")
    connection = duckdb.connect(str(path), config={"threads": 1})
    folder = tempfile.TemporaryDirectory(prefix="fogline-copy-")

    def finish(succeeded: bool) -> None:
        connection.close()
        folder.cleanup()
        if not succeeded:
            path.unlink(missing_ok=True)

    return _DuckDB(connection, Path(folder.name)), finish


class _PostgreSQL:
    """Rows go through COPY."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str) -> None:
        import psycopg

        try:
            with self._connection.transaction():
                self._connection.execute(statement)
        except psycopg.Error as error:
            raise DataError(f"PostgreSQL refuses {statement[:120]!r}: {error}") from error

    def insert(self, table: str, columns: Sequence[tuple[str, str]], rows: Iterable[tuple[Any, ...]]) -> int:
        count = 0
        names = ", ".join(_quote(name) for name, _ in columns)
        with self._connection.cursor() as cursor, cursor.copy(f"COPY {_quote(table)} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
                count += 1
        return count


def _open_postgresql(url: str) -> Opened:
    try:
        import psycopg
    except ImportError as error:
        raise missing_dependency("psycopg", "postgres") from error
    scheme, _, rest = url.partition("://")
    try:
        connection = psycopg.connect(f"{scheme.partition('+')[0]}://{rest}")
    except psycopg.Error as error:
        # The driver's text may repeat the address; the password is never in it.
        raise ConfigurationError(f"the PostgreSQL target cannot be reached: {error}") from None
    named = _SEARCH_PATH.search(url)
    if named:
        schema = _quote(named.group(1))
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.execute(f"CREATE SCHEMA {schema}")

    def finish(succeeded: bool) -> None:
        if succeeded:
            connection.commit()
        connection.close()

    return _PostgreSQL(connection), finish
