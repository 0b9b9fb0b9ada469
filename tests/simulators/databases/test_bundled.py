"""The databases that ship: the same rows on SQLite and on DuckDB, whose copy is made once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.bundled import BUNDLED_DATABASES, bundled_database
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import QueryLimits

LIMITS = QueryLimits(seconds=20.0, max_rows=100_000)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("FOGLINE_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", BUNDLED_DATABASES)
def test_both_engines_hold_the_same_rows_and_keys(name: str, cache: Path) -> None:
    with (
        Database(bundled_database(name), LIMITS) as sqlite,
        Database(bundled_database(name, "duckdb"), LIMITS) as duckdb,
    ):
        here, there = sqlite.catalogue(), duckdb.catalogue()
        assert set(here.tables) - here.views == set(there.tables) - there.views
        assert there.views <= here.views
        assert set(here.foreign_keys) == set(there.foreign_keys)
        for table in there.tables:
            assert [c.name for c in here.tables[table]] == [c.name for c in there.tables[table]]
            if table not in here.views:
                assert [c.primary_key for c in here.tables[table]] == [c.primary_key for c in there.tables[table]]
            expected, found = (database.execute(f'SELECT * FROM "{table}"') for database in (sqlite, duckdb))
            assert expected.ran and not expected.truncated
            if table in here.views:
                assert expected.row_count == found.row_count
            else:
                assert sorted(expected.rows, key=repr) == sorted(found.rows, key=repr) or set(expected.rows) == set(
                    found.rows
                )


def test_northwind_keeps_its_views_but_one(cache: Path) -> None:
    with Database(bundled_database("northwind")) as sqlite, Database(bundled_database("northwind", "duckdb")) as duckdb:
        # That view joins first and last names with "+", which adds numbers in SQLite.
        assert sqlite.catalogue().views - duckdb.catalogue().views == {"Invoices"}


def test_the_copy_is_made_once(cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        refs = set(pool.map(lambda _: bundled_database("chinook", "duckdb").url, range(4)))
    assert len(refs) == 1
    (path,) = [file for file in cache.rglob("*") if file.is_file()]
    made = path.stat().st_mtime_ns
    assert bundled_database("chinook", "duckdb").url in refs
    assert path.stat().st_mtime_ns == made
    assert [entry.name for entry in path.parent.iterdir()] == ["chinook.duckdb"]


def test_unknown_names_and_engines_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'chinook'"):
        bundled_database("chinok")
    with pytest.raises(ConfigurationError, match="expected one of"):
        bundled_database("chinook", "mysql")
    with pytest.raises(ConfigurationError, match="url="):
        bundled_database("chinook", "postgresql")
