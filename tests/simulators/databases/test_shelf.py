"""A shelf opens each database once and answers from memory what it answered before."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sqlite3
from pathlib import Path

import pytest

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import DatabaseRef, QueryLimits
from fogline.simulators.databases.shelf import RememberingDatabase, Shelf

STATEMENTS = ("SELECT * FROM t ORDER BY a", "SELECT a FROM t WHERE a > 9", "SELECT b FROM t", "SELEC", "DROP TABLE t")
RUNAWAY = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(*) FROM c"


@pytest.fixture
def ref(tmp_path: Path) -> DatabaseRef:
    path = tmp_path / "numbers.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a INTEGER)")
    connection.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(5)])
    connection.commit()
    connection.close()
    return DatabaseRef("numbers", f"sqlite:///{path}")


def test_memory_answers_as_the_database_does(ref: DatabaseRef) -> None:
    with Database(ref) as plain, RememberingDatabase(ref) as remembering:
        for sql in (*STATEMENTS, *STATEMENTS):
            assert remembering.execute(sql) == plain.execute(sql)
            assert asyncio.run(remembering.execute_async(sql)) == plain.execute(sql)
            assert remembering.remembers(sql) and not plain.remembers(sql)


def test_an_answer_is_remembered_under_its_limits_only(ref: DatabaseRef) -> None:
    with RememberingDatabase(ref) as database:
        first = database.execute(STATEMENTS[0])
        assert database.execute(STATEMENTS[0]) is first
        assert len(database.execute(STATEMENTS[0], QueryLimits(max_rows=2)).rows) == 2
        assert database.execute(STATEMENTS[0]) is first


def test_time_outs_and_long_results_are_not_remembered(ref: DatabaseRef) -> None:
    with RememberingDatabase(ref, QueryLimits(seconds=0.05)) as database:
        assert database.execute(RUNAWAY).status == "timeout"
        assert not database.remembers(RUNAWAY)
        long = "SELECT * FROM t AS a, t AS b, t AS c, t AS d"
        assert len(database.execute(long).rows) == 625
        assert not database.remembers(long)


def test_what_was_not_asked_for_longest_is_forgotten(ref: DatabaseRef) -> None:
    with RememberingDatabase(ref, capacity=2) as database:
        for sql in ("SELECT 1", "SELECT 2", "SELECT 1", "SELECT 3"):
            database.execute(sql)
        assert [database.remembers(f"SELECT {number}") for number in (1, 2, 3)] == [True, False, True]


def test_a_shelf_opens_once_and_copies_of_it_are_itself(ref: DatabaseRef) -> None:
    shelf = Shelf()
    opened = shelf.database(ref, QueryLimits())
    assert shelf.database(ref, QueryLimits()) is opened
    assert shelf.database(ref, QueryLimits(seconds=1.0)) is not opened
    assert copy.deepcopy(shelf) is shelf
    assert pickle.loads(pickle.dumps(Shelf(7))).capacity == 7
    shelf.close()
    with pytest.raises(ConfigurationError, match="is closed"):
        opened.execute("SELECT 2")


def test_servers_and_useless_capacities_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="leave shelf=None for PostgreSQL"):
        Shelf().database(DatabaseRef("shop", "postgresql://user@localhost/shop"), QueryLimits())
    with pytest.raises(ConfigurationError, match="capacity=0 is too small"):
        Shelf(0)
