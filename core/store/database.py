"""The run store's database: tables, opening and checking a file or server, transactions, typed errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event

from fogline.core.errors import ConfigurationError, FoglineError, InfrastructureError, missing_dependency

SCHEMA_VERSION = 1
Result = TypeVar("Result")


class StoreError(FoglineError):
    """The store holds, or was asked for, something that does not fit: another attempt fails the same way."""


class StoreUnavailable(InfrastructureError):
    """The store cannot be reached or written now: locked beyond the wait, disk full, server gone.

    Attributes:
        retryable: Whether waiting can help; False where someone has to make room or grant access first.
    """

    def __init__(self, message: str, retryable: bool = True) -> None:
        """Keep the text and whether waiting can help."""
        super().__init__(message)
        self.retryable = retryable


_metadata = sa.MetaData()
_big_integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows only in an INTEGER key

store_version = sa.Table(
    "store_version",
    _metadata,
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("created_at", sa.Text, nullable=False),
)
runs = sa.Table(
    "runs",
    _metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("command", sa.Text, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("versions", sa.Text, nullable=False),
)
cells = sa.Table(
    "cells",
    _metadata,
    sa.Column("cell_key", sa.Text, primary_key=True),
    sa.Column("config", sa.Text, nullable=False),
)
run_cells = sa.Table(
    "run_cells",
    _metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), primary_key=True),
    sa.Column("cell_key", sa.Text, sa.ForeignKey("cells.cell_key"), primary_key=True),
)
episodes = sa.Table(
    "episodes",
    _metadata,
    sa.Column("id", _big_integer, primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("cell_key", sa.Text, nullable=False),
    sa.Column("env_id", sa.Text, nullable=False),
    sa.Column("task_id", sa.Text, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("scored", sa.Boolean, nullable=False),
    sa.Column("reward", sa.Double),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["run_id", "cell_key"], ["run_cells.run_id", "run_cells.cell_key"]),
)
sa.Index(
    "one_scored_episode",
    # `scored` is constant in here; with it, SQLite answers `finished` from the index alone.
    *(episodes.c[name] for name in ("cell_key", "task_id", "seed", "scored")),
    unique=True,
    # SQLite uses a partial index only where the query repeats its condition; SQLAlchemy asks `scored = 1`.
    sqlite_where=sa.text("scored = 1"),
    postgresql_where=episodes.c.scored,
)
sa.Index(
    "numbered_attempts",
    *(episodes.c[name] for name in ("cell_key", "task_id", "seed", "attempt")),
    unique=True,
)
scores = sa.Table(
    "scores",
    _metadata,
    sa.Column("episode_id", _big_integer, sa.ForeignKey("episodes.id"), primary_key=True, autoincrement=False),
    sa.Column("scorer", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reward", sa.Double),
    sa.Column("created_at", sa.Text, nullable=False),
)


def now() -> str:
    """Return the present in UTC as ISO 8601 text, which sorts by time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Database:
    """One SQLite file or PostgreSQL database with the store's tables in it.

    Args:
        url: A file path or an SQLAlchemy URL.
        create: Whether to make a missing file or missing tables; False refuses them.
        busy_timeout_s: How long a write waits for other writers, in seconds.

    Raises:
        ConfigurationError: For a URL of another database, or of one in memory.
        StoreError: For a file that is no run store, a damaged one, or one of an unknown schema version.
        StoreUnavailable: When the file or server cannot be opened.
    """

    def __init__(self, url: str | Path, *, create: bool, busy_timeout_s: float) -> None:
        """Open and check, or create, the tables."""
        self._url = _parse(url)
        self.name = self._url.render_as_string(hide_password=True)
        self.sqlite = self._url.get_backend_name() == "sqlite"
        self._busy_timeout_s = busy_timeout_s
        if self.sqlite:
            self._prepare_file(create)
        self.engine = self._make_engine()
        try:
            self._ensure_schema(create)
        except BaseException:
            self.engine.dispose()
            raise

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One read transaction: what it sees does not change while others write."""
        try:
            with self.engine.connect() as connection:
                if not self.sqlite:
                    connection = connection.execution_options(isolation_level="REPEATABLE READ")
                with connection.begin():
                    yield connection
        except sa.exc.SQLAlchemyError as error:
            raise self._typed(error) from error

    def write(self, function: Callable[[sa.Connection], Result]) -> Result:
        """Run ``function`` in one write transaction, again when another writer got in the way.

        Raises:
            StoreUnavailable: When it is still locked out after ``busy_timeout_s``.
        """
        deadline = time.monotonic() + self._busy_timeout_s
        pause = 0.002
        while True:
            try:
                with (
                    self.engine.connect().execution_options(fogline_write=True) as connection,
                    connection.begin(),
                ):
                    return function(connection)
            except sa.exc.SQLAlchemyError as error:
                if not _contended(error) or time.monotonic() >= deadline:
                    raise self._typed(error) from error
            time.sleep(pause)
            pause = min(2 * pause, 0.2)

    def insert_or_ignore(self, table: sa.Table) -> Any:
        """An insert which leaves a row of the same primary key as it is."""
        from sqlalchemy.dialects import postgresql, sqlite

        statement: Any = sqlite.insert(table) if self.sqlite else postgresql.insert(table)
        return statement.on_conflict_do_nothing(index_elements=list(table.primary_key.columns))

    def _prepare_file(self, create: bool) -> None:
        path = Path(str(self._url.database))
        if path.exists():
            return
        if not create:
            raise StoreError(f"store={str(path)!r} does not exist: expected a file that an earlier run wrote.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"store={str(path)!r}: its folder cannot be made ({error}).", False) from error

    def _make_engine(self) -> sa.Engine:
        # hide_parameters: an error text must not carry a configuration or an episode.
        if not self.sqlite:
            return sa.create_engine(self._url, hide_parameters=True, pool_pre_ping=True)
        engine = sa.create_engine(self._url, hide_parameters=True, connect_args={"timeout": self._busy_timeout_s})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _ensure_schema(self, create: bool) -> None:
        with self.read() as connection:
            ready = self._check_schema(connection, create)
        if not ready:
            self.write(lambda connection: self._create_schema(connection, create))

    def _create_schema(self, connection: sa.Connection, create: bool) -> None:
        if not self.sqlite:
            # Two processes that create the same table at once would collide in PostgreSQL's catalogue.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7262541)")
        if not self._check_schema(connection, create):
            _metadata.create_all(connection, checkfirst=False)
            connection.execute(sa.insert(store_version).values(version=SCHEMA_VERSION, created_at=now()))

    def _check_schema(self, connection: sa.Connection, create: bool) -> bool:
        """Return whether the tables are there; refuse a database that is not, or not yet, ours."""
        present = set(sa.inspect(connection).get_table_names())
        if store_version.name not in present:
            foreign = sorted(present if self.sqlite else present & set(_metadata.tables))
            if foreign or not create:
                raise StoreError(
                    f"store={self.name!r} is not a run store (it has the tables {foreign}): expected a file "
                    "that fogline wrote, or an empty database to begin one in."
                )
            return False
        versions = connection.execute(sa.select(store_version.c.version)).scalars().all()
        if versions != [SCHEMA_VERSION]:
            raise StoreError(
                f"store={self.name!r} has schema version {versions}, expected [{SCHEMA_VERSION}]: "
                "open it with the fogline that wrote it (its `fogline export` takes the data out), or begin "
                "a new file."
            )
        return True

    def _typed(self, error: sa.exc.SQLAlchemyError) -> FoglineError:
        original = getattr(error, "orig", None)
        if self.sqlite and original is not None:
            return _typed_sqlite(self.name, original)
        if isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)):
            full = getattr(original, "sqlstate", None) == "53100"
            advice = (
                "make room on the server's disk" if full else "check that the server runs and that the URL is right"
            )
            return StoreUnavailable(f"store={self.name!r} is unavailable ({original or error}): {advice}.", not full)
        return StoreError(f"store={self.name!r} refused a statement: {original or error}.")


def _parse(url: str | Path) -> sa.URL:
    if isinstance(url, Path) or "://" not in url:
        parsed = sa.URL.create("sqlite", database=str(url))
    else:
        try:
            parsed = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise ConfigurationError("the store's URL cannot be read: expected a path or postgresql://…") from error
    name = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "postgresql":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        try:
            import psycopg  # noqa: F401  - only to say early, and how to get it, that it is absent
        except ImportError as error:
            raise missing_dependency("psycopg", "postgres") from error
        return parsed
    database = parsed.database
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise ConfigurationError(f"store={name!r}: expected a file path, sqlite:///PATH or postgresql://….")
    if not database or database == ":memory:" or database.startswith("file:"):
        raise ConfigurationError(f"store={name!r}: expected the path of a file, which outlives the process.")
    # Absolute, because a connection opened after a change of folder must reach the same file.
    return parsed.set(database=str(Path(database).expanduser().resolve()))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, not where sqlite3 guesses
    cursor = connection.cursor()
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a committed episode survives a power cut, too
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # IMMEDIATE: a writer waits for its turn before it reads; an upgrade of a read lock could not wait.
    write = connection.get_execution_options().get("fogline_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _contended(error: sa.exc.SQLAlchemyError) -> bool:
    original = getattr(error, "orig", None)
    if str(getattr(original, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return True
    serialisation_failure, deadlock, lock_not_available = "40001", "40P01", "55P03"
    return getattr(original, "sqlstate", None) in {serialisation_failure, deadlock, lock_not_available}


def _typed_sqlite(name: str, original: Any) -> FoglineError:
    code = str(getattr(original, "sqlite_errorname", ""))
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreUnavailable(
            f"store={name!r} stayed locked by another writer: raise `busy_timeout_s`, or use PostgreSQL for "
            "many writers."
        )
    if code.startswith("SQLITE_FULL"):
        return StoreUnavailable(f"store={name!r}: the disk is full. Make room and run again: nothing is lost.", False)
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreError(
            f"store={name!r} is damaged or not a database ({original}): restore a copy, or rescue what is "
            "readable with `sqlite3 FILE .recover`."
        )
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR")):
        return StoreUnavailable(
            f"store={name!r} cannot be opened or written ({original}): check the folder, its permissions and quota.",
            False,
        )
    return StoreError(f"store={name!r} refused a statement: {original}.")
