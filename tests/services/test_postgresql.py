"""Statements on a real PostgreSQL server: values, statuses, what was read, copies, roles, and backends that end."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.bundled import BUNDLED_DATABASES, bundled_database
from fogline.simulators.databases.copying import LeftOut, copy_database
from fogline.simulators.databases.executor import Database, DatabaseUnavailable
from fogline.simulators.databases.postgresql_roles import create_reader_role
from fogline.simulators.databases.records import DatabaseRef, QueryLimits

pytestmark = pytest.mark.services

LIMITS = QueryLimits(seconds=10.0, max_rows=100_000)
SHORT = QueryLimits(seconds=0.4)


@pytest.fixture
def database(reader_url: str) -> Iterator[Database]:
    """Chinook, as the reader sees it."""
    with Database(DatabaseRef("chinook", reader_url), LIMITS) as database:
        yield database


def backends(url: str, activity: str) -> int:
    """How many backends of the reader run a statement that contains ``activity``."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state = 'active' AND query LIKE %s",
            (f"%{activity}%",),
        ).fetchone()
        assert row is not None
        return int(row[0])


def test_rows_columns_and_status(database: Database) -> None:
    result = database.execute('SELECT "ArtistId", "Name" FROM "Artist" ORDER BY 1 LIMIT 2')
    assert (result.status, result.columns, result.row_count) == ("ok", ("ArtistId", "Name"), 2)
    assert result.rows == ((1, "AC/DC"), (2, "Accept"))
    assert result.tables == {"artist"}
    assert database.execute('SELECT 1 FROM "Artist" WHERE false').status == "empty"
    assert database.execute("VALUES (1, 'a')").rows == ((1, "a"),)
    assert database.execute('TABLE "Genre"').row_count == 25
    assert (database.engine, database.dialect) == ("postgresql", "postgres")


def test_caps(database: Database) -> None:
    every = 'SELECT "Name" FROM "Track" ORDER BY "TrackId"'
    assert database.execute(every).row_count == 3503
    capped = database.execute(every, QueryLimits(max_rows=1000, keep_rows=5))
    assert (capped.row_count, len(capped.rows), capped.truncated) == (1000, 5, True)
    assert database.execute(every, QueryLimits(max_bytes=500)).truncated
    assert database.execute("SELECT repeat('x', 101)", QueryLimits(max_cell_bytes=100)).status == "too_large"


def test_values_are_those_of_sqlite(database: Database) -> None:
    (row,) = database.execute(
        "SELECT true, date '2020-01-31', timestamp '2020-01-31 10:00:00', 1.50::numeric, 7::numeric, array[1, NULL], "
        "'\\x00ff'::bytea, NULL, interval '1 day', array[date '2020-01-31'], '{\"a\": 1}'::jsonb, row(1, 'x'), "
        "int4range(1, 2), 'infinity'::date, 2::bigint ^ 3"
    ).rows
    assert row[:6] == (1, "2020-01-31", "2020-01-31 10:00:00", 1.5, 7, "[1, null]")
    assert row[6:11] == (b"\x00\xff", None, "1 day", '["2020-01-31"]', '{"a": 1}')
    assert row[11:] == ('["1", "x"]', "[1,2)", "infinity", 8.0)
    assert [type(value) for value in (row[0], row[3], row[4])] == [int, float, int]


@pytest.mark.parametrize(
    ("sql", "status", "error_class"),
    [
        ("SELECT * FROM nowhere", "error", "missing_table"),
        ('SELECT nonsense FROM "Artist"', "error", "missing_column"),
        ("SELEC 1", "error", "syntax"),
        ("", "error", "syntax"),
        ("SELECT 1 / 0", "error", "runtime"),
        ("SELECT no_such_function(1)", "error", "runtime"),
        ("SELECT 1; SELECT 2", "forbidden", ""),
        ('DELETE FROM "Artist"', "forbidden", ""),
        ("SELECT * FROM pg_authid", "forbidden", ""),
    ],
)
def test_error_classes(database: Database, sql: str, status: str, error_class: str) -> None:
    result = database.execute(sql)
    assert (result.status, result.error_class) == (status, error_class), result.message
    assert result.message
    assert database.execute("SELECT 1").rows == ((1,),)


@pytest.mark.parametrize(
    ("sql", "tables", "metadata_only"),
    [
        ("SELECT 1", set(), False),
        ('SELECT count(*) FROM "Album" AS a JOIN "Artist" USING ("ArtistId")', {"album", "artist"}, False),
        ('WITH x AS (SELECT * FROM "Album") SELECT 1 FROM x WHERE false', {"album"}, False),
        ('SELECT 1 WHERE EXISTS (SELECT 1 FROM "Genre")', {"genre"}, False),
        ('EXPLAIN SELECT * FROM "Album"', {"album"}, False),
        ("SELECT relname FROM pg_class", {"pg_catalog.pg_class"}, True),
        ('SELECT relname FROM pg_class WHERE EXISTS (SELECT 1 FROM "Genre")', {"pg_catalog.pg_class", "genre"}, False),
    ],
)
def test_what_was_read(database: Database, sql: str, tables: set[str], metadata_only: bool) -> None:
    for _ in range(2):
        result = database.execute(sql)
        assert result.ran, result.message
        assert (result.tables, result.metadata_only) == (tables, metadata_only)


def test_the_information_schema_is_metadata(database: Database) -> None:
    result = database.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'chinook'")
    assert result.metadata_only
    assert "information_schema.tables" in result.tables
    assert result.row_count == 11


def test_time_is_limited_on_the_server(database: Database, postgresql_url: str) -> None:
    for sql in ("SELECT pg_sleep(30)", 'SELECT count(*) FROM "Track" a, "Track" b, "Track" c'):
        started = time.perf_counter()
        assert database.execute(sql, SHORT).status == "timeout"
        # Far below what the statement would take, far above what a busy machine adds.
        assert time.perf_counter() - started < 10
        assert database.execute("SELECT 1").rows == ((1,),)
    assert backends(postgresql_url, "pg_sleep") == 0


def test_a_backend_ends_with_its_worker(database: Database, postgresql_url: str) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(database.execute_async("SELECT pg_sleep(30)"))
        await asyncio.sleep(1.0)
        assert backends(postgresql_url, "FETCH") == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    end = time.monotonic() + 5
    while backends(postgresql_url, "FETCH") and time.monotonic() < end:
        time.sleep(0.05)
    assert backends(postgresql_url, "FETCH") == 0
    assert database.execute("SELECT 1").rows == ((1,),)


def test_a_connection_that_the_server_drops_is_made_anew(database: Database, postgresql_url: str) -> None:
    assert database.execute("SELECT 1").ran
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
    for value in range(3):
        assert database.execute(f"SELECT {value}").rows == ((value,),)


def test_a_server_that_does_not_answer_is_an_error_of_the_world() -> None:
    with (
        Database(DatabaseRef("x", "postgresql://reader:secret-password@127.0.0.1:1/x"), LIMITS) as database,
        pytest.raises(DatabaseUnavailable) as caught,
    ):
        database.execute("SELECT 1")
    assert "secret-password" not in str(caught.value)


def test_roles_that_reach_beyond_tables_are_refused(postgresql_url: str) -> None:
    with Database(DatabaseRef("x", postgresql_url), LIMITS) as database:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"SUPERUSER.*create_reader_role"):
                database.execute("SELECT 1")
    url = create_reader_role(postgresql_url, "file_reader", "p")
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("GRANT pg_read_server_files TO file_reader")
    with (
        Database(DatabaseRef("x", url), LIMITS) as database,
        pytest.raises(ConfigurationError, match="pg_read_server_files"),
    ):
        database.execute("SELECT 1")
    with pytest.raises(ConfigurationError, match="expected one of"):
        create_reader_role(postgresql_url, "other", "p", schema="nowhere")


def test_the_catalogue_and_its_fingerprint(database: Database, reader_url: str) -> None:
    with Database(bundled_database("chinook")) as sqlite:
        here, there = sqlite.catalogue(), database.catalogue()
    assert set(here.tables) == set(there.tables)
    for table, columns in here.tables.items():
        assert [(c.name, c.primary_key) for c in columns] == [(c.name, c.primary_key) for c in there.tables[table]]
    assert set(here.foreign_keys) == set(there.foreign_keys)
    with Database(DatabaseRef("again", reader_url), LIMITS) as again:
        assert again.fingerprint() == database.fingerprint()


@pytest.mark.parametrize("name", BUNDLED_DATABASES)
def test_copies_hold_the_same_rows(name: str, postgresql_url: str) -> None:
    bundled_database(name, "postgresql", postgresql_url)
    url = create_reader_role(postgresql_url, f"{name}_reader", "p", schema=name)
    ref = bundled_database(name, "postgresql", url)  # Already there: reading it is enough.
    with Database(bundled_database(name), LIMITS) as sqlite, Database(ref, LIMITS) as copy:
        views = copy.catalogue().views
        # PostgreSQL neither adds texts nor compares the text column Discontinued with a number.
        lost = {"Invoices", "Alphabetical list of products", "Current Product List", "Products by Category"}
        assert sqlite.catalogue().views - views <= lost
        for table in copy.catalogue().tables:
            expected, found = (database.execute(f'SELECT * FROM "{table}"') for database in (sqlite, copy))
            assert expected.row_count == found.row_count > 0 or not expected.rows
            if table not in views:
                assert sorted(expected.rows, key=repr) == sorted(found.rows, key=repr) or set(expected.rows) == set(
                    found.rows
                )


def test_a_copy_replaces_only_a_copy(postgresql_url: str, tmp_path: Path) -> None:
    path = tmp_path / "small.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a TEXT, b BLOB)")
        connection.execute("INSERT INTO t VALUES (?, ?)", ("tab\t\\N nul\0 \n", b"\x00\xff"))
    connection.close()
    source = DatabaseRef("small", f"sqlite:///{path}")
    report: list[LeftOut] = []
    for _ in range(2):
        url = copy_database(source, postgresql_url, schema="odd name", left_out=report).url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT a, b FROM t").fetchall() == [("tab\t\\N nul \n", b"\x00\xff")]
    assert {entry.kind for entry in report} == {"text"}
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("CREATE SCHEMA precious")
    with pytest.raises(ConfigurationError, match="precious"):
        copy_database(source, postgresql_url, schema="precious")


def test_a_worker_killed_from_outside(database: Database) -> None:
    assert database.execute("SELECT 1").ran
    (pool,) = database._pools.values()
    os.kill(pool._idle[-1].process.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert database.execute("SELECT 2").rows == ((2,),)
