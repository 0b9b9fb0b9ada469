"""No statement harms a SQLite database, its machine, or whoever asks next."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hostile_checks import LIMITS, Siege, process_limits, worker_ids
from hostile_statements import CREATE, ITEMS, Hostile, statements

from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import DatabaseRef

STATEMENTS = statements("sqlite")
PROBE = (
    "SELECT count(*), sum(amount), min(name), 'A' LIKE 'a', (SELECT group_concat(name) FROM sqlite_master), "
    "(SELECT count(*) FROM sqlite_temp_master), (SELECT count(*) FROM dear) FROM item"
)


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    hidden = tmp_path_factory.mktemp("hidden")
    with closing(sqlite3.connect(hidden / "hostile.sqlite")) as connection, connection:
        for statement in CREATE:
            connection.execute(statement)
    with Database(DatabaseRef("hostile", f"sqlite:///{hidden}/hostile.sqlite"), LIMITS) as database:
        yield Siege(database, hidden, tmp_path_factory.mktemp("outside"), PROBE)


@pytest.mark.parametrize("hostile", STATEMENTS, ids=str)
def test_statement_changes_nothing_and_ends_in_time(siege: Siege, hostile: Hostile) -> None:
    siege.withstands(hostile)


def test_table_covers_what_it_should() -> None:
    assert len(STATEMENTS) >= 65


def test_probe_sees_the_items(siege: Siege) -> None:
    assert siege.database.execute(PROBE).rows[0][0] == ITEMS


def test_workers_are_limited_by_the_kernel(siege: Siege) -> None:
    siege.database.execute(PROBE)
    limits = process_limits(worker_ids(siege.database)[-1])
    assert limits["Max address space"] == str(LIMITS.memory_bytes)
    assert limits["Max file size"] == limits["Max core file size"] == "0"
