"""What one statement gives: status, rows, caps, error class, tables read, and whether only the catalogue was read."""

from __future__ import annotations

import hashlib
import marshal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.executor import Database, DatabaseUnavailable
from fogline.simulators.databases.records import DatabaseRef, QueryLimits
from fogline.simulators.databases.wire import CellTooLargeError, cell_bytes, gather

FAST = QueryLimits(seconds=5.0)


@pytest.fixture
def database(chinook: DatabaseRef) -> Iterator[Database]:
    """Chinook on either engine."""
    with Database(chinook, FAST) as database:
        yield database


def sqlite_file(path: Path, *statements: str) -> DatabaseRef:
    """Make a SQLite database."""
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return DatabaseRef(path.stem, f"sqlite:///{path}")


def test_rows_columns_and_status(database: Database) -> None:
    result = database.execute('SELECT "ArtistId", "Name" FROM "Artist" ORDER BY "ArtistId" LIMIT 2')
    assert (result.status, result.columns) == ("ok", ("ArtistId", "Name"))
    assert result.rows == ((1, "AC/DC"), (2, "Accept"))
    assert (result.row_count, result.truncated, result.error_class, result.message) == (2, False, "", "")
    assert result.ran
    assert result.tables == {"artist"}


def test_a_result_without_rows_is_empty(database: Database) -> None:
    result = database.execute('SELECT "Name" FROM "Artist" WHERE 1 = 0')
    assert (result.status, result.rows, result.columns, result.row_count) == ("empty", (), ("Name",), 0)
    assert result.ran


def test_more_rows_than_permitted_are_left_out(database: Database) -> None:
    for limit, truncated in ((274, True), (275, False), (276, False), (1, True)):
        result = database.execute('SELECT "Name" FROM "Artist"', QueryLimits(max_rows=limit))
        assert result.truncated is truncated
        assert len(result.rows) == result.row_count == min(limit, 275)


def test_rows_beyond_those_kept_are_only_counted(database: Database) -> None:
    everything = database.execute('SELECT * FROM "Track" ORDER BY "TrackId"')
    for keep in (0, 1, 30, 256, 257, 5000):
        result = database.execute('SELECT * FROM "Track" ORDER BY "TrackId"', QueryLimits(keep_rows=keep))
        assert result.rows == everything.rows[:keep]
        assert (result.row_count, result.truncated, result.status) == (3503, False, "ok")


def test_bytes_are_capped(database: Database) -> None:
    names = [row[0] for row in database.execute('SELECT "Name" FROM "Track" ORDER BY "TrackId"').rows]
    room = 1000
    kept, used = 0, 0
    while used + len(names[kept].encode()) <= room:
        used += len(names[kept].encode())
        kept += 1
    result = database.execute('SELECT "Name" FROM "Track" ORDER BY "TrackId"', QueryLimits(max_bytes=room))
    assert [row[0] for row in result.rows] == names[:kept]
    assert result.truncated


def test_a_cell_that_is_too_large_ends_the_statement(database: Database) -> None:
    text = "substr(hex(zeroblob(1000)), 1, {})" if database.engine == "sqlite" else "repeat('0', {})"
    limits = QueryLimits(max_cell_bytes=1000)
    assert database.execute(f"SELECT {text.format(999)}", limits).status == (
        "too_large" if database.engine == "sqlite" else "ok"  # SQLite bounds the values in between as well.
    )
    assert database.execute(f"SELECT {text.format(1001)}", limits).status == "too_large"
    assert database.execute("SELECT 'x' AS x", limits).rows == (("x",),)


cells = st.one_of(st.none(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(), st.binary())
tables = st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[cells] * width), max_size=40))


@given(tables, st.integers(1, 45), st.one_of(st.none(), st.integers(0, 45)), st.integers(1, 200), st.integers(1, 30))
def test_gather_keeps_the_longest_beginning_within_every_limit(
    rows: list[tuple[Any, ...]], max_rows: int, keep_rows: int | None, max_bytes: int, max_cell: int
) -> None:
    source = iter(rows)
    limits = (1.0, max_rows, keep_rows, max_bytes, max_cell, 2**30)

    def fetch(count: int) -> list[tuple[Any, ...]]:
        return [row for _, row in zip(range(count), source, strict=False)]

    fitting, used, largest = 0, 0, 0
    for row in rows[:max_rows]:
        largest = max(largest, *map(cell_bytes, row))
        used += sum(map(cell_bytes, row))
        if used > max_bytes or largest > max_cell:
            break
        fitting += 1
    if largest > max_cell:
        with pytest.raises(CellTooLargeError):
            gather(fetch, 1, limits)
        return
    chunks, count, truncated = gather(fetch, 1, limits)
    assert count == fitting
    assert truncated == (fitting < len(rows))
    assert [row for chunk in chunks for row in marshal.loads(chunk)] == rows[:fitting][:keep_rows]


ERRORS = [
    ("SELECT * FROM nowhere", "missing_table"),
    ("SELECT nonsense FROM Artist", "missing_column"),
    ("SELECT a.nonsense FROM Artist AS a", "missing_column"),
    ("SELEC 1", "syntax"),
    ("SELECT (1", "syntax"),
    ("SELECT * FROM", "syntax"),
    ("SELECT no_such_function(1)", "runtime"),
    ("", "syntax"),
    ("-- only a comment", "syntax"),
    (";", "syntax"),
]


@pytest.mark.parametrize(("sql", "error_class"), ERRORS)
def test_error_classes(database: Database, sql: str, error_class: str) -> None:
    result = database.execute(sql)
    assert (result.status, result.error_class) == ("error", error_class), result.message
    assert result.message
    assert result.tables == frozenset() or error_class == "runtime"
    assert not result.ran


def test_a_statement_longer_than_a_megabyte_is_not_run(database: Database) -> None:
    results = database.execute_many(["SELECT 1", "SELECT '" + "x" * 1_000_001 + "'", "SELECT 2"])
    assert [result.status for result in results] == ["ok", "error", "ok"]
    assert results[1].error_class == "resource"


READ = [
    ("SELECT 1", set()),
    ("SELECT * FROM Album", {"album"}),
    ("SELECT count(*) FROM Album", {"album"}),
    ("SELECT count(*) FROM ALBUM AS a", {"album"}),
    ("SELECT a.Title FROM Album AS a JOIN Artist USING (ArtistId)", {"album", "artist"}),
    ("WITH x AS (SELECT Title FROM Album) SELECT * FROM x", {"album"}),
    ("WITH Genre AS (SELECT Title FROM Album) SELECT count(*) FROM Genre", {"album"}),
    ("WITH Album AS (SELECT 1 AS n) SELECT count(*) FROM Album", set()),
    ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT count(*) FROM r", set()),
    (
        "SELECT (SELECT max(Name) FROM Genre) FROM Artist WHERE EXISTS (SELECT 1 FROM Track)",
        {"genre", "artist", "track"},
    ),
    ("SELECT Title FROM Album NATURAL JOIN Artist", {"album", "artist"}),
    ("SELECT Name FROM Artist UNION SELECT Name FROM Genre", {"artist", "genre"}),
    ("EXPLAIN SELECT * FROM Album", {"album"}),
    ("SELECT * FROM Album WHERE 1 = 0", {"album"}),
]


@pytest.mark.parametrize(("sql", "tables"), READ)
def test_tables_read(database: Database, sql: str, tables: set[str]) -> None:
    for _ in range(3):  # The engines cache statements: the second answer must not differ from the first.
        result = database.execute(sql)
        assert result.ran, result.message
        assert result.tables == tables
        assert not result.metadata_only


def test_a_view_is_read_with_its_tables(tmp_path: Path) -> None:
    statements = (
        "CREATE TABLE t (a INTEGER)",
        "CREATE TABLE u (a INTEGER)",
        "CREATE VIEW v AS SELECT a FROM t",
        "INSERT INTO t VALUES (1)",
    )
    file = tmp_path / "views.duckdb"
    with duckdb.connect(str(file)) as connection:
        for statement in statements:
            connection.execute(statement)
    for ref in (sqlite_file(tmp_path / "views.sqlite", *statements), DatabaseRef("views", f"duckdb:///{file}")):
        with Database(ref, FAST) as database:
            assert database.execute("SELECT * FROM v").tables == {"t", "v"}
            assert database.execute("SELECT count(*) FROM V").tables == {"t", "v"}
            assert database.execute("SELECT * FROM t").tables == {"t"}
            assert database.execute("SELECT * FROM u JOIN v USING (a)").tables == {"t", "u", "v"}


SQLITE_METADATA = [
    ("SELECT name FROM sqlite_master", True),
    ("SELECT count(*) FROM sqlite_schema", True),
    ("SELECT sql FROM sqlite_master WHERE name IN (SELECT name FROM pragma_table_info('Album'))", True),
    ("SELECT m.name, p.name FROM sqlite_master AS m, pragma_table_info(m.name) AS p", True),
    ("WITH t AS (SELECT name FROM sqlite_master) SELECT count(*) FROM t", True),
    ("SELECT * FROM pragma_foreign_key_list('Album')", True),
    ("PRAGMA table_info(Album)", True),
    ("PRAGMA table_info('nowhere')", True),
    ("pragma TABLE_XINFO(Album)", True),
    ("PRAGMA table_list", True),
    ("PRAGMA foreign_key_list(Album)", True),
    ("PRAGMA index_list(Album)", True),
    ("PRAGMA index_info(IFK_AlbumArtistId)", True),
    ("PRAGMA index_xinfo(IFK_AlbumArtistId)", True),
    ("PRAGMA user_version", False),
    ("PRAGMA integrity_check", False),
    ("PRAGMA foreign_key_check", False),
    ("SELECT 1", False),
    ("SELECT 'sqlite_master'", False),
    ("SELECT * FROM Album", False),
    ("SELECT name FROM sqlite_master WHERE EXISTS (SELECT 1 FROM Album)", False),
    ("SELECT m.name, (SELECT count(*) FROM Album) FROM sqlite_master AS m", False),
    ("SELECT key FROM json_each('[1]')", False),
    ("DELETE FROM sqlite_master", False),
    ("SELECT * FROM nowhere", False),
]

DUCKDB_METADATA = [
    ("SHOW TABLES", True),
    ("SHOW ALL TABLES", True),
    ("DESCRIBE Album", True),
    ("DESCRIBE SELECT * FROM Album", True),
    ("SELECT column_name FROM (DESCRIBE Album)", True),
    ("PRAGMA table_info('Album')", True),
    ("PRAGMA show_tables", True),
    ("SELECT table_name FROM information_schema.tables", True),
    ("SELECT column_name FROM information_schema.columns WHERE table_name = 'Album'", True),
    ("SELECT * FROM duckdb_tables()", True),
    ("SELECT * FROM duckdb_columns() WHERE table_name IN (SELECT table_name FROM duckdb_tables())", True),
    ("SELECT name FROM sqlite_master", True),
    ("SELECT tablename FROM pg_catalog.pg_tables", True),
    ("SELECT * FROM pragma_table_info('Album')", True),
    ("WITH t AS (SELECT table_name FROM duckdb_tables()) SELECT count(*) FROM t", True),
    ("SUMMARIZE Album", False),
    ("SELECT 1", False),
    ("SELECT * FROM Album", False),
    ("SELECT * FROM range(3)", False),
    ("SELECT * FROM query('SELECT * FROM Album')", False),
    ("SELECT * FROM duckdb_tables() WHERE EXISTS (SELECT 1 FROM Album)", False),
    ("SELECT (SELECT count(*) FROM Album), column_name FROM (DESCRIBE Album)", False),
    ("PRAGMA storage_info('Album')", False),
    ("DROP TABLE Album", False),
]


@pytest.mark.parametrize(("sql", "expected"), SQLITE_METADATA)
def test_metadata_only_on_sqlite(chinook_sqlite: DatabaseRef, sql: str, expected: bool) -> None:
    with Database(chinook_sqlite, FAST) as database:
        for _ in range(2):
            assert database.execute(sql).metadata_only is expected


@pytest.mark.parametrize(("sql", "expected"), DUCKDB_METADATA)
def test_metadata_only_on_duckdb(chinook_duckdb: DatabaseRef, sql: str, expected: bool) -> None:
    with Database(chinook_duckdb, FAST) as database:
        for _ in range(2):
            result = database.execute(sql)
            assert result.metadata_only is expected, result.message


def test_paths_stay_out_of_messages_and_rows(database: Database) -> None:
    path = database.ref.url.partition("///")[2]
    folder = str(Path(path).parent)
    for sql in (
        "SELECT * FROM '/home/someone/secret.csv'",
        'SELECT * FROM "/home/someone/secret.csv"',
        "SELECT * FROM duckdb_databases()",
        "SELECT * FROM pragma_database_list",
        f'SELECT * FROM "{path}"',
    ):
        result = database.execute(sql)
        assert "/home/someone" not in result.message
        assert folder not in result.message + repr(result.rows)


def test_values_are_those_of_sqlite(chinook_duckdb: DatabaseRef) -> None:
    sql = (
        "SELECT TRUE, DATE '2020-01-31', TIMESTAMP '2020-01-31 10:00:00', TIME '10:00:01', 1.50::DECIMAL(10, 2), "
        "7::DECIMAL(5, 0), [1, NULL, 2], {'a': 'é', 'b': DATE '2020-01-31'}, '\\x00\\xFF'::BLOB, NULL, 'nan'::DOUBLE, "
        "170141183460469231731687303715884105727::HUGEINT, 'x'::ENUM('x', 'y')"
    )
    with Database(chinook_duckdb, FAST) as database:
        (row,) = database.execute(sql).rows
    moments = ("2020-01-31", "2020-01-31 10:00:00", "10:00:01")
    assert row[:10] == (1, *moments, 1.5, 7, "[1, null, 2]", '{"a": "é", "b": "2020-01-31"}', b"\x00\xff", None)
    assert row[10] != row[10]
    assert row[11:] == (2**127 - 1, "x")
    assert [type(value) for value in row[:6]] == [int, str, str, str, float, int]


def test_text_that_is_not_utf8_is_shown_with_replacement_characters(tmp_path: Path) -> None:
    ref = sqlite_file(
        tmp_path / "latin.sqlite", "CREATE TABLE t (a TEXT)", "INSERT INTO t VALUES (CAST(x'6fe9' AS TEXT))"
    )
    with Database(ref, FAST) as database:
        assert database.execute("SELECT a, 'é' FROM t").rows == (("o\ufffd", "é"),)
        assert database.execute("SELECT a FROM t").tables == {"t"}


def test_a_pending_write_ahead_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1)")
    with Database(DatabaseRef("live", f"sqlite:///{path}"), FAST) as database:
        assert database.execute("SELECT a FROM t").rows == ((1,),)
        connection.execute("INSERT INTO t VALUES (2)")
        assert database.execute("SELECT a FROM t").rows == ((1,), (2,))
    connection.close()


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_a_database_that_does_not_open_is_an_error_of_the_world(tmp_path: Path, engine: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not open"):
        Database(DatabaseRef("absent", f"{engine}:///{tmp_path}/absent.db"))
    (tmp_path / "noise.db").write_bytes(b"no database at all " * 1000)
    with Database(DatabaseRef("noise", f"{engine}:///{tmp_path}/noise.db"), FAST) as database:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable, match="noise"):
                database.execute("SELECT 1")
    with pytest.raises(DatabaseUnavailable, match="not a file"):
        Database(DatabaseRef("folder", f"{engine}:///{tmp_path}"))


@pytest.mark.parametrize("url", ["chinook.sqlite", "mysql://host/x", "sqlite://", "sqlite:///:memory:", "duckdb:///"])
def test_urls_that_name_no_database_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Database(DatabaseRef("x", url))


def test_limits_that_make_no_sense_are_refused(chinook_sqlite: DatabaseRef) -> None:
    for name in ("seconds", "max_rows", "max_bytes", "max_cell_bytes", "memory_bytes", "grace_seconds"):
        with pytest.raises(ConfigurationError, match=name):
            Database(chinook_sqlite, QueryLimits(**{name: 0}))
    with pytest.raises(ConfigurationError, match="keep_rows"):
        Database(chinook_sqlite, QueryLimits(keep_rows=-1))
    with pytest.raises(ConfigurationError, match="workers"):
        Database(chinook_sqlite, workers=0)


def test_a_closed_database_runs_nothing(chinook_sqlite: DatabaseRef) -> None:
    database = Database(chinook_sqlite, FAST)
    assert database.execute("SELECT 1").ran
    database.close()
    database.close()
    with pytest.raises(ConfigurationError, match="closed"):
        database.execute("SELECT 1")


def test_engine_dialect_and_fingerprint(database: Database) -> None:
    content = Path(database.ref.url.partition("///")[2]).read_bytes()
    assert database.fingerprint() == hashlib.sha256(content).hexdigest()
    assert database.dialect == database.engine


def test_the_catalogue_tells_tables_keys_and_references(database: Database) -> None:
    catalogue = database.catalogue()
    assert set(catalogue.tables) == {
        *("Album", "Artist", "Customer", "Employee", "Genre", "Invoice", "InvoiceLine"),
        *("MediaType", "Playlist", "PlaylistTrack", "Track"),
    }
    assert [(c.name, c.primary_key) for c in catalogue.tables["PlaylistTrack"]] == [
        ("PlaylistId", True),
        ("TrackId", True),
    ]
    assert ("Album", "ArtistId", "Artist", "ArtistId") in {
        (k.table, k.column, k.parent_table, k.parent_column) for k in catalogue.foreign_keys
    }
    assert len(catalogue.foreign_keys) == 11
    assert catalogue.views == frozenset()


def test_a_broken_view_does_not_hide_the_tables(tmp_path: Path) -> None:
    ref = sqlite_file(
        tmp_path / "broken.sqlite",
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)",
        "CREATE TABLE u (t REFERENCES t)",
        "CREATE VIEW good AS SELECT a FROM t",
        "CREATE VIEW broken AS SELECT a FROM gone",
    )
    with Database(ref, FAST) as database:
        catalogue = database.catalogue()
    assert set(catalogue.tables) == {"t", "u", "good"}
    assert catalogue.views == {"good"}
    assert [(k.table, k.parent_column) for k in catalogue.foreign_keys] == [("u", "a")]
