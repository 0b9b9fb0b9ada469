"""Copies of a SQLite database on another engine: the same values, keys and views, or a report of what is not."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.copying import LeftOut, copy_database, target_type
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import DatabaseRef, QueryLimits

LIMITS = QueryLimits(seconds=20.0, max_rows=1_000_000)


def sqlite_file(path: Path, *statements: str) -> DatabaseRef:
    """Make a SQLite database."""
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return DatabaseRef(path.stem, f"sqlite:///{path}")


def copied(source: DatabaseRef, folder: Path) -> tuple[Database, list[LeftOut]]:
    """Copy to a new DuckDB file and open it."""
    report: list[LeftOut] = []
    return Database(copy_database(source, f"duckdb:///{folder}/copy.duckdb", left_out=report), LIMITS), report


@pytest.mark.parametrize(
    ("declared", "type_name"),
    [
        ("INTEGER", "BIGINT"),
        ("int", "BIGINT"),
        ("BOOLEAN", "BIGINT"),
        ("NUMERIC(10,2)", "DECIMAL(10, 2)"),
        ("decimal( 5 )", "DECIMAL(5, 0)"),
        ("NUMERIC", "DOUBLE PRECISION"),
        ("REAL", "DOUBLE PRECISION"),
        ("FLOAT", "DOUBLE PRECISION"),
        ("NVARCHAR(160)", "TEXT"),
        ("TEXT", "TEXT"),
        ("DATE", "TEXT"),
        ("DATETIME", "TEXT"),
        ("TIMESTAMP", "TEXT"),
        ("BLOB", "BYTEA"),
        ("", ""),
    ],
)
def test_declared_types(declared: str, type_name: str) -> None:
    assert target_type(declared) == type_name


def test_values_that_do_not_fit_turn_the_whole_column(tmp_path: Path) -> None:
    source = sqlite_file(
        tmp_path / "loose.sqlite",
        "CREATE TABLE t (number INTEGER, price DECIMAL(4, 1), fraction INTEGER, stamp DATE, anything, raw BLOB)",
        "INSERT INTO t VALUES (1, 10.5, 1, '2020-01-31', 7, x'00ff')",
        "INSERT INTO t VALUES ('many', 123456.5, 0.5, NULL, 8, NULL)",
    )
    database, report = copied(source, tmp_path)
    with database:
        columns = {column.name: column.type for column in database.catalogue().tables["t"]}
        rows = database.execute("SELECT * FROM t").rows
    assert columns == {
        "number": "VARCHAR",
        "price": "DOUBLE",
        "fraction": "DOUBLE",
        "stamp": "VARCHAR",
        "anything": "BIGINT",
        "raw": "BLOB",
    }
    assert rows == (("1", 10.5, 1.0, "2020-01-31", 7, b"\x00\xff"), ("many", 123456.5, 0.5, None, 8, None))
    assert [(entry.kind, entry.name) for entry in report] == [
        ("type", "t.number"),
        ("type", "t.price"),
        ("type", "t.fraction"),
    ]


def test_keys_are_copied_or_reported(tmp_path: Path) -> None:
    source = sqlite_file(
        tmp_path / "keys.sqlite",
        "CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent, o INTEGER REFERENCES Parent (ID))",
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES parent (id), code TEXT UNIQUE)",
        "CREATE TABLE pair (a INTEGER, b INTEGER, PRIMARY KEY (a, b))",
        "CREATE TABLE uses (a INTEGER, b INTEGER, FOREIGN KEY (a, b) REFERENCES pair (a, b))",
        "CREATE TABLE other (code TEXT REFERENCES parent (code), gone INTEGER REFERENCES gone (id))",
        "CREATE TABLE hollow (name TEXT PRIMARY KEY)",
        "CREATE TABLE left_one (id INTEGER PRIMARY KEY, r INTEGER REFERENCES right_one (id))",
        "CREATE TABLE right_one (id INTEGER PRIMARY KEY, l INTEGER REFERENCES left_one (id))",
        "INSERT INTO parent VALUES (1, 3, 'a'), (2, NULL, 'b'), (3, 2, 'c')",
        "INSERT INTO child VALUES (1, 3, 99)",
        "INSERT INTO pair VALUES (1, 2)",
        "INSERT INTO uses VALUES (1, 2), (NULL, 5)",
        "INSERT INTO hollow VALUES (NULL), (NULL)",
    )
    database, report = copied(source, tmp_path)
    with database:
        catalogue = database.catalogue()
        assert database.execute("SELECT id, boss FROM parent ORDER BY id").rows == ((1, 3), (2, None), (3, 2))
    keys = {(k.table, k.column, k.parent_table, k.parent_column) for k in catalogue.foreign_keys}
    assert ("child", "p", "parent", "id") in keys
    assert ("parent", "boss", "parent", "id") in keys
    assert {("uses", "a", "pair", "a"), ("uses", "b", "pair", "b")} <= keys
    assert len(keys) == 5  # One of the two that form a circle remains.
    assert [c.primary_key for c in catalogue.tables["pair"]] == [True, True]
    reasons = {(entry.kind, entry.name): entry.reason for entry in report}
    assert reasons.pop(("primary key", "hollow")) == "SQLite let NULL into it"
    assert reasons.pop(("foreign key", "child(o) -> parent")) == "rows refer to parents that do not exist"
    assert reasons.pop(("foreign key", "other(code) -> parent")) == "it does not refer to a primary key"
    assert reasons.pop(("foreign key", "other(gone) -> gone")) == "there is no such table"
    assert list(reasons.values()) == ["the tables refer to one another in a circle"]


def test_views_are_copied_where_they_give_the_same_rows(tmp_path: Path) -> None:
    source = sqlite_file(
        tmp_path / "views.sqlite",
        "CREATE TABLE t (a INTEGER, b TEXT)",
        "INSERT INTO t VALUES (1, '2020-01-05'), (2, '2019-12-31'), (7, NULL)",
        "CREATE VIEW second AS SELECT a * 2 AS c FROM first",
        "CREATE VIEW first AS SELECT a FROM t WHERE b >= datetime('2020-01-01') OR a > 5",
        "CREATE VIEW halves AS SELECT a / 2 AS h FROM t",
        "CREATE VIEW sums AS SELECT b + 'x' AS s FROM t",
        "CREATE VIEW named (x, y) AS SELECT a, b FROM t",
        "CREATE VIEW broken AS SELECT * FROM gone",
    )
    database, report = copied(source, tmp_path)
    with database:
        views = database.catalogue().views
        assert database.execute("SELECT c FROM second ORDER BY c").rows == ((2,), (14,))
        if "halves" in views:
            assert database.execute("SELECT h FROM halves ORDER BY h").rows == ((0,), (1,), (3,))
    assert {"first", "second"} <= views <= {"first", "second", "halves"}
    assert {entry.name for entry in report if entry.kind == "view"} == {"halves", "sums", "named", "broken"} - views


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@settings(max_examples=25)
@given(names, names, st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.one_of(st.none(), st.text())), max_size=9))
def test_any_names_and_texts_survive(
    tmp_path_factory: pytest.TempPathFactory, table: str, column: str, rows: list[tuple[int, str | None]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    quoted_table, quoted_column = (f'"{name.replace(chr(34), chr(34) * 2)}"' for name in (f"t{table}", f"c{column}"))
    path = folder / "any.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE {quoted_table} (id INTEGER, {quoted_column} TEXT)")
        connection.executemany(f"INSERT INTO {quoted_table} VALUES (?, ?)", rows)
    connection.close()
    ref = copy_database(DatabaseRef("any", f"sqlite:///{path}"), f"duckdb:///{folder}/copy.duckdb")
    import duckdb

    with duckdb.connect(ref.url.removeprefix("duckdb:///")) as copy:
        found = copy.execute(f"SELECT * FROM {quoted_table}").fetchall()
    assert sorted(found, key=repr) == sorted(rows, key=repr)


def test_a_hundred_thousand_rows_take_seconds(tmp_path: Path) -> None:
    path = tmp_path / "large.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, price NUMERIC(10, 2))")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", ((i, f"n{i}", i / 100) for i in range(100_000)))
    connection.close()
    started = time.perf_counter()
    database, _ = copied(DatabaseRef("large", f"sqlite:///{path}"), tmp_path)
    assert time.perf_counter() - started < 20
    with database:
        result = database.execute("SELECT count(*), sum(id), max(price), count(DISTINCT name) FROM t")
        assert result.rows == ((100_000, 4_999_950_000, 999.99, 100_000),)


def test_what_cannot_be_copied_is_refused(
    chinook_sqlite: DatabaseRef, chinook_duckdb: DatabaseRef, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="sqlite:///PATH"):
        copy_database(chinook_duckdb, f"duckdb:///{tmp_path}/x.duckdb")
    with pytest.raises(ConfigurationError, match="exists"):
        copy_database(chinook_sqlite, chinook_duckdb.url)
    with pytest.raises(ConfigurationError, match="cannot be copied to"):
        copy_database(chinook_sqlite, f"sqlite:///{tmp_path}/x.sqlite")
    assert list(tmp_path.iterdir()) == []
