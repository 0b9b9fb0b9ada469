"""The databases that ship with fogline, Chinook and Northwind, on each engine."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from fogline.core.errors import ConfigurationError, check_choice
from fogline.simulators.databases.records import DatabaseRef

BUNDLED_DATABASES = ("chinook", "northwind")
ENGINES = ("sqlite", "duckdb", "postgresql")

COPY_VERSION = 1
"""Raised when copies are made in another way, so that older ones are made anew."""


def bundled_database(name: str, engine: str = "sqlite", url: str | None = None) -> DatabaseRef:
    """Return a bundled database on ``engine``, copying it there first where need be.

    Args:
        name: ``chinook`` or ``northwind``.
        engine: ``sqlite`` is the packaged file; ``duckdb`` is made from it once, in the user's cache folder
            (``$FOGLINE_CACHE``, else ``fogline`` in ``$XDG_CACHE_HOME`` or ``~/.cache``); ``postgresql`` is copied
            into the database of ``url``, as a schema called ``name``.
        url: ``postgresql://`` URL of a role that may create the schema, or that may read it once it is there.

    Raises:
        ConfigurationError: An unknown name or engine, or ``postgresql`` without ``url``.
        DatabaseUnavailable: The server refuses the connection.
    """
    check_choice("name", name, BUNDLED_DATABASES)
    check_choice("engine", engine, ENGINES)
    source = Path(__file__).parent / "data" / name / f"{name}.sqlite"
    ref = DatabaseRef(name, f"sqlite:///{source}")
    if engine == "sqlite":
        return ref
    key = f"{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}-{COPY_VERSION}"
    if engine == "duckdb":
        return DatabaseRef(name, f"duckdb:///{_duckdb_copy(ref, key)}")
    if url is None:
        raise ConfigurationError(
            "engine='postgresql' needs a server: pass url='postgresql://USER:PASSWORD@HOST/DATABASE'."
        )
    return DatabaseRef(name, _postgresql_copy(ref, key, url))


def _duckdb_copy(ref: DatabaseRef, key: str) -> Path:
    import duckdb

    from fogline.simulators.databases.copying import copy_database
    from fogline.simulators.databases.gold_cache import user_cache

    folder = user_cache() / "databases" / f"{key}-duckdb-{duckdb.__version__}"
    path = folder / f"{ref.name}.duckdb"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        # Built beside its place and renamed, so that no other process ever sees half a database.
        work = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
        try:
            unfinished = work / path.name
            copy_database(ref, f"duckdb:///{unfinished}")
            os.replace(unfinished, path)  # noqa: PTH105
        finally:
            shutil.rmtree(work)
    return path


def _postgresql_copy(ref: DatabaseRef, key: str, url: str) -> str:
    from fogline.simulators.databases.copy_targets import COPY_COMMENT, connect_postgresql, with_search_path
    from fogline.simulators.databases.copying import copy_database, quoted

    label = f"{COPY_COMMENT}: {ref.name} {key}"
    with connect_postgresql(url) as connection:
        found = connection.execute(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", (ref.name,)
        ).fetchone()
    if found is not None and found[0] == label:
        return with_search_path(url, ref.name)
    copy = copy_database(ref, url, schema=ref.name)
    with connect_postgresql(url) as connection:
        comment: Any = f"COMMENT ON SCHEMA {quoted(ref.name)} IS '{label}'"
        connection.execute(comment)
    return copy.url
