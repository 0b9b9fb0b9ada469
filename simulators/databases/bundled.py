"""The databases that come with fogline: Chinook and Northwind (both MIT), on any of the three engines."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import quote

from fogline.core.errors import ConfigurationError, check_choice
from fogline.simulators.databases.gold_cache import user_cache
from fogline.simulators.databases.records import DatabaseRef

BUNDLED = ("chinook", "northwind")
ENGINES = ("sqlite", "duckdb", "postgresql")
_DATA = Path(__file__).with_name("data")
_COPY_VERSION = "1"


def bundled_file(name: str) -> Path:
    """Path of the packaged SQLite file.

    Raises:
        ConfigurationError: If there is no such database.
    """
    check_choice("the bundled database", name, BUNDLED)
    return _DATA / name / f"{name}.sqlite"


def bundled_database(name: str, engine: str = "sqlite", url: str | None = None) -> DatabaseRef:
    """Refer to a bundled database.

    Args:
        name: ``"chinook"`` or ``"northwind"``.
        engine: ``"sqlite"`` is the packaged file. ``"duckdb"`` is copied from it once, into the user's cache folder.
            ``"postgresql"`` is copied into a schema of that name in the database at ``url``.
        url: Only for ``"postgresql"``: a role that may create the schema.

    Raises:
        ConfigurationError: For an unknown name or engine, or a ``url`` that is missing or means nothing.
    """
    check_choice("engine", engine, ENGINES)
    source = DatabaseRef(name, f"sqlite:///{bundled_file(name)}")
    if (url is None) == (engine == "postgresql"):
        raise ConfigurationError(f"url={url!r} does not fit engine={engine!r}: expected a url for 'postgresql' and none otherwise.")
    if engine == "sqlite":
        return source
    from fogline.simulators.databases.copying import copy_database

    if engine == "postgresql":
        return copy_database(source, _with_schema(str(url), name)).database
    digest = hashlib.sha256(bundled_file(name).read_bytes() + _COPY_VERSION.encode()).hexdigest()[:16]
    target = user_cache() / "databases" / f"{name}-{digest}.duckdb"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            place = Path(folder) / target.name
            copy_database(source, f"duckdb:///{place}")
            os.replace(place, target)  # noqa: PTH105 - atomic: a second process building the same file is harmless
    return DatabaseRef(name, f"duckdb:///{target}")


def _with_schema(url: str, name: str) -> str:
    separator = "&" if "?" in url else "?"
    return f"{url}{separator}options={quote(f'-csearch_path={name}')}"
