"""Bundled databases in folders of their own, on each engine that needs no server."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from fogline.simulators.databases.bundled import bundled_database
from fogline.simulators.databases.copying import copy_database
from fogline.simulators.databases.records import DatabaseRef

# Test files are imported by path (--import-mode=importlib): helpers beside them need their folder named.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def chinook_sqlite(tmp_path_factory: pytest.TempPathFactory) -> DatabaseRef:
    """A copy of Chinook as the only file of its folder."""
    path = tmp_path_factory.mktemp("sqlite") / "chinook.sqlite"
    shutil.copyfile(bundled_database("chinook").url.removeprefix("sqlite:///"), path)
    return DatabaseRef("chinook", f"sqlite:///{path}")


@pytest.fixture(scope="session")
def chinook_duckdb(tmp_path_factory: pytest.TempPathFactory) -> DatabaseRef:
    """Chinook in DuckDB as the only file of its folder."""
    path = tmp_path_factory.mktemp("duckdb") / "chinook.duckdb"
    return copy_database(bundled_database("chinook"), f"duckdb:///{path}")


@pytest.fixture(params=["sqlite", "duckdb"])
def chinook(request: pytest.FixtureRequest) -> DatabaseRef:
    """Chinook on each engine that needs no server."""
    ref = request.getfixturevalue(f"chinook_{request.param}")
    assert isinstance(ref, DatabaseRef)
    return ref
