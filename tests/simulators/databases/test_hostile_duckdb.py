"""No statement harms a DuckDB database, its machine, or whoever asks next."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from hostile_checks import LIMITS, Siege, process_limits, worker_ids
from hostile_statements import CREATE, ITEMS, Hostile, statements

from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import DatabaseRef

STATEMENTS = statements("duckdb")
RESIDENT_BASELINE = 128 * 2**20
"""What DuckDB's library itself has resident before the first statement, on top of the limit."""

PROBE = (
    "SELECT count(*), sum(amount), lower(min(name)), (SELECT count(*) FROM dear), "
    "(SELECT string_agg(table_name, ',' ORDER BY table_name) FROM duckdb_tables()), "
    "(SELECT count(*) FROM duckdb_views() WHERE NOT internal), "
    "(SELECT count(*) FROM duckdb_functions() WHERE NOT internal), "
    "(SELECT string_agg(database_name, ',' ORDER BY database_name) FROM duckdb_databases()), "
    "(SELECT string_agg(concat(name, '=', value), ',' ORDER BY name) FROM duckdb_settings()), "
    "current_schema(), getvariable('x'), (SELECT count(*) FROM duckdb_prepared_statements() WHERE name = 'p') "
    "FROM item"
)


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    hidden = tmp_path_factory.mktemp("hidden")
    with duckdb.connect(str(hidden / "hostile.duckdb")) as connection:
        for statement in CREATE:
            connection.execute(statement)
    with Database(DatabaseRef("hostile", f"duckdb:///{hidden}/hostile.duckdb"), LIMITS) as database:
        resident = LIMITS.memory_bytes + RESIDENT_BASELINE
        yield Siege(database, hidden, tmp_path_factory.mktemp("outside"), PROBE, resident_bytes=resident)


@pytest.mark.parametrize("hostile", STATEMENTS, ids=str)
def test_statement_changes_nothing_and_ends_in_time(siege: Siege, hostile: Hostile) -> None:
    siege.withstands(hostile)


def test_table_covers_what_it_should() -> None:
    assert len(STATEMENTS) >= 55


def test_probe_sees_the_items(siege: Siege) -> None:
    assert siege.database.execute(PROBE).rows[0][0] == ITEMS


def test_workers_are_limited_by_the_kernel(siege: Siege) -> None:
    siege.database.execute(PROBE)
    limits = process_limits(worker_ids(siege.database)[-1])
    assert limits["Max address space"].isdigit()
    assert limits["Max file size"] == limits["Max core file size"] == "0"
