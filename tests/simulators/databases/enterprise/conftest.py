"""Data sets that several tests read, built once into a temporary folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fogline.simulators.databases.enterprise import EnterpriseConfig, enterprise_dataset
from fogline.simulators.databases.enterprise.generate import Built, build_database
from fogline.simulators.databases.records import TextToSQLDataset

Run = Callable[[str, str], list[tuple[object, ...]]]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of the session."""
    return tmp_path_factory.mktemp("enterprise-cache")


@pytest.fixture(scope="session")
def dataset(cache: Path) -> TextToSQLDataset:
    """The default configuration with a database of every domain: 14 databases, 350 questions."""
    return enterprise_dataset(EnterpriseConfig(databases=14), cache)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Built]:
    """The same databases with their schemas."""
    config = EnterpriseConfig(databases=14)
    return [build_database(config, index, tmp_path_factory.mktemp(f"built-{index}")) for index in range(14)]


def run(url: str, sql: str) -> list[tuple[object, ...]]:
    """All rows of a statement on the file of a ``sqlite:///`` URL, opened read-only."""
    path = Path(url.removeprefix("sqlite:///"))
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@pytest.fixture(scope="session", name="run")
def run_fixture() -> Run:
    """The function :func:`run`."""
    return run
