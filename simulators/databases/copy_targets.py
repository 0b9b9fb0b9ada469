"""Where a copied database goes: a DuckDB file or a PostgreSQL schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from fogline.core.errors import ConfigurationError, DataError, missing_dependency
from fogline.simulators.databases.copying import Reference, TablePlan, quoted
from fogline.simulators.databases.records import DatabaseUnavailable

if TYPE_CHECKING:
    import duckdb
    import psycopg

COPY_COMMENT = "copied by fogline"
"""How the comment of a schema begins that a later copy may replace."""

Rows = list[tuple[Any, ...]]


class Target(Protocol):
    """What :func:`~fogline.simulators.databases.copying.copy_database` needs of an engine."""

    engine: str
    url: str
    stores_null_characters: bool
    errors: tuple[type[Exception], ...]

    def create_table(self, plan: TablePlan) -> None:
        """Create an empty table with its primary key."""

    def fill(self, plan: TablePlan, chunks: Iterable[Rows]) -> None:
        """Insert rows."""

    def add_references(self, plans: Sequence[TablePlan]) -> None:
        """Declare the foreign keys, where that was not done with the tables."""

    def create_view(self, name: str, query: str) -> None:
        """Create a view; one of ``errors`` is raised where the engine refuses."""

    def read_view(self, name: str) -> Rows:
        """Return the rows of a view."""

    def drop_view(self, name: str) -> None:
        """Drop a view."""


@contextmanager
def open_target(url: str, schema: str) -> Iterator[Target]:
    """Open what is to be written; nothing remains of a PostgreSQL copy that fails.

    Raises:
        ConfigurationError: The URL is of another engine, or the DuckDB file exists.
        DatabaseUnavailable: The server refuses the connection.
        MissingDependencyError: ``psycopg`` is not installed.
    """
    if url.startswith("duckdb:///"):
        with _open_duckdb(url) as target:
            yield target
    elif url.startswith(("postgresql://", "postgres://", "postgresql+")):
        with _open_postgresql(url, schema) as target:
            yield target
    else:
        raise ConfigurationError(f"target_url={url!r} cannot be copied to: expected duckdb:///PATH or postgresql://…")


class DuckDBTarget:
    """A new DuckDB file. Foreign keys can only be declared with the table."""

    engine = "duckdb"
    stores_null_characters = True

    def __init__(self, url: str, connection: duckdb.DuckDBPyConnection, errors: tuple[type[Exception], ...]) -> None:
        self.url, self.connection, self.errors = url, connection, errors

    def create_table(self, plan: TablePlan) -> None:
        """Create an empty table with its keys."""
        parts = [*_column_parts(plan, {"BYTEA": "BLOB", "TEXT": "VARCHAR", "DOUBLE PRECISION": "DOUBLE"})]
        parts += [_reference_part(reference) for reference in plan.references]
        self.connection.execute(f"CREATE TABLE {quoted(plan.name)} ({', '.join(parts)})")

    def fill(self, plan: TablePlan, chunks: Iterable[Rows]) -> None:
        """Insert rows, a column at a time as one list: some fifty times quicker than row by row."""
        names = {"BYTEA": "BLOB", "TEXT": "VARCHAR", "DOUBLE PRECISION": "DOUBLE"}
        types = [names.get(column.type, column.type) for column in plan.columns]
        types = ["DOUBLE" if kind.startswith("DECIMAL") else kind for kind in types]
        lists = ", ".join(f"unnest(${place}::{kind}[])" for place, kind in enumerate(types, 1))
        for chunk in _generations(plan, chunks):
            columns = [list(column) for column in zip(*chunk, strict=True)]
            self.connection.execute(f"INSERT INTO {quoted(plan.name)} SELECT {lists}", columns)

    def add_references(self, plans: Sequence[TablePlan]) -> None:
        """Nothing: they came with the tables."""

    def create_view(self, name: str, query: str) -> None:
        """Create a view and try it."""
        self.connection.execute(f"CREATE VIEW {quoted(name)} AS {query}")
        try:
            self.connection.execute(f"SELECT * FROM {quoted(name)}")
        except self.errors:
            self.drop_view(name)
            raise

    def read_view(self, name: str) -> Rows:
        """Return the rows of a view."""
        return self.connection.execute(f"SELECT * FROM {quoted(name)}").fetchall()

    def drop_view(self, name: str) -> None:
        """Drop a view."""
        self.connection.execute(f"DROP VIEW {quoted(name)}")


class PostgreSQLTarget:
    """A PostgreSQL schema, written in one transaction."""

    engine = "postgresql"
    stores_null_characters = False

    def __init__(self, url: str, connection: psycopg.Connection[Any], errors: tuple[type[Exception], ...]) -> None:
        self.url, self.connection, self.errors = url, connection, errors

    def create_table(self, plan: TablePlan) -> None:
        """Create an empty table with its primary key."""
        self._execute(f"CREATE TABLE {quoted(plan.name)} ({', '.join(_column_parts(plan, {}))})")

    def fill(self, plan: TablePlan, chunks: Iterable[Rows]) -> None:
        """Insert rows through COPY."""
        names = ", ".join(quoted(column.name) for column in plan.columns)
        with self.connection.cursor() as cursor:
            statement: Any = f"COPY {quoted(plan.name)} ({names}) FROM STDIN"
            with cursor.copy(statement) as copy:
                for chunk in chunks:
                    for row in chunk:
                        copy.write_row(row)

    def add_references(self, plans: Sequence[TablePlan]) -> None:
        """Declare the foreign keys."""
        for plan in plans:
            for reference in plan.references:
                self._execute(f"ALTER TABLE {quoted(plan.name)} ADD {_reference_part(reference)}")

    def create_view(self, name: str, query: str) -> None:
        """Create a view and try it."""
        with self.connection.transaction():
            self._execute(f"CREATE VIEW {quoted(name)} AS {query}")
            self._execute(f"SELECT * FROM {quoted(name)}")

    def read_view(self, name: str) -> Rows:
        """Return the rows of a view."""
        statement: Any = f"SELECT * FROM {quoted(name)}"
        return self.connection.execute(statement).fetchall()

    def drop_view(self, name: str) -> None:
        """Drop a view."""
        self._execute(f"DROP VIEW {quoted(name)}")

    def _execute(self, statement: Any) -> None:
        self.connection.execute(statement)


def with_search_path(url: str, schema: str) -> str:
    """Return ``url`` with ``schema`` as the only schema that unqualified names are looked up in."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    kept = " ".join(word for word in options.get("options", "").split() if "search_path" not in word)
    name = schema.replace("\\", "\\\\").replace(" ", "\\ ")
    options["options"] = f'{kept} -csearch_path="{name}"'.strip()
    scheme = "postgresql"
    return urlunsplit((scheme, parts.netloc, parts.path, urlencode(options, quote_via=quote), parts.fragment))


def connect_postgresql(url: str, autocommit: bool = False) -> psycopg.Connection[Any]:
    """Connect as the role that ``url`` names.

    Raises:
        DatabaseUnavailable: The server refuses.
        MissingDependencyError: ``psycopg`` is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise missing_dependency("psycopg", "postgres") from error
    parts = urlsplit(url)
    try:
        return psycopg.connect(urlunsplit(parts._replace(scheme="postgresql")), autocommit=autocommit)
    except psycopg.Error as error:
        where = f"{parts.hostname}:{parts.port or 5432}{parts.path}"
        raise DatabaseUnavailable(f"the PostgreSQL server at {where} does not let us in: {error}") from error


@contextmanager
def _open_duckdb(url: str) -> Iterator[DuckDBTarget]:
    import duckdb

    path = Path(url.removeprefix("duckdb:///"))
    if path.exists():
        raise ConfigurationError(f"target_url={url!r} names a file that exists: expected a new one. Delete it first.")
    connection = duckdb.connect(str(path))
    try:
        yield DuckDBTarget(url, connection, (duckdb.Error,))
    except BaseException:
        connection.close()
        path.unlink(missing_ok=True)
        raise
    connection.close()


@contextmanager
def _open_postgresql(url: str, schema: str) -> Iterator[PostgreSQLTarget]:
    connection = connect_postgresql(url)
    import psycopg

    with connection:
        _check_replaceable(connection, schema)
        target = PostgreSQLTarget(with_search_path(url, schema), connection, (psycopg.Error,))
        statement: Any
        for statement in (
            "SET client_min_messages = warning",
            f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE",
            f"CREATE SCHEMA {quoted(schema)}",
            f"COMMENT ON SCHEMA {quoted(schema)} IS '{COPY_COMMENT}'",
            f"SET LOCAL search_path = {quoted(schema)}",
        ):
            connection.execute(statement)
        yield target


def _check_replaceable(connection: psycopg.Connection[Any], schema: str) -> None:
    found = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", (schema,)
    ).fetchone()
    if found is not None and not (found[0] or "").startswith(COPY_COMMENT):
        raise ConfigurationError(
            f"schema={schema!r} exists and is no copy of fogline's: drop it, or choose another name with schema=."
        )


def _column_parts(plan: TablePlan, type_names: dict[str, str]) -> Iterator[str]:
    for column in plan.columns:
        yield f"{quoted(column.name)} {type_names.get(column.type, column.type)}"
    if plan.primary_key:
        yield f"PRIMARY KEY ({_listed(plan.primary_key)})"


def _reference_part(reference: Reference) -> str:
    parent = f"{quoted(reference.parent)} ({_listed(reference.parent_columns)})"
    return f"FOREIGN KEY ({_listed(reference.columns)}) REFERENCES {parent}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(quoted, names))


def _generations(plan: TablePlan, chunks: Iterable[Rows]) -> Iterator[Rows]:
    """Yield rows so that those a row refers to in its own table have been inserted before, as DuckDB asks."""
    own = [reference for reference in plan.references if reference.parent == plan.name]
    if not own:
        yield from chunks
        return
    links = [(plan.positions(r.columns), plan.positions(r.parent_columns)) for r in own]
    waiting = [row for chunk in chunks for row in chunk]
    inserted: list[set[tuple[Any, ...]]] = [set() for _ in links]
    while waiting:
        free: list[tuple[tuple[Any, ...], list[tuple[Any, ...]]]] = []
        blocked: list[tuple[tuple[Any, ...], list[tuple[Any, ...]]]] = []
        for row in waiting:
            needed = [tuple(row[place] for place in here) for here, _ in links]
            itself = [tuple(row[place] for place in there) for _, there in links]
            ready = all(None in key or key in known for key, known in zip(needed, inserted, strict=True))
            (free if ready else blocked).append((row, itself))
        if not free:
            raise DataError(f"rows of {plan.name!r} refer to one another in a circle, which DuckDB cannot store.")
        for _, itself in free:
            for known, key in zip(inserted, itself, strict=True):
                known.add(key)
        yield [row for row, _ in free]
        waiting = [row for row, _ in blocked]
