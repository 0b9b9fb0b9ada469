"""Hostile statements on DuckDB: each ends in time and without effect."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import LIMITS, RESIDENT_BASELINE_BYTES, check_statement, peak_bytes, worker_processes
from hostile_statements import DUCKDB

from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import DatabaseRef


@pytest.fixture(scope="module")
def database(chinook_duckdb: DatabaseRef) -> Iterator[Database]:
    """One database for all statements, as one agent after another would share it."""
    with Database(chinook_duckdb, LIMITS) as database:
        yield database


@pytest.mark.parametrize(("sql", "expected"), DUCKDB, ids=lambda value: value[:50] if isinstance(value, str) else "")
def test_ends_in_time_and_without_effect(database: Database, sql: str, expected: frozenset[str]) -> None:
    before = database.fingerprint()
    assert database.execute("SELECT 1").status == "ok"
    check_statement(database, sql, expected)
    assert database.fingerprint() == before
    folder = Path(database.ref.url.partition("///")[2]).parent
    assert [path.name for path in folder.iterdir()] == ["chinook.duckdb"]
    if sys.platform == "linux":
        for process in worker_processes():
            assert peak_bytes(process) <= LIMITS.memory_bytes + RESIDENT_BASELINE_BYTES
            assert list(Path(f"/proc/{process}/cwd/").iterdir()) == []
