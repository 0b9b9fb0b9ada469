"""Database URLs: which engine, which file or server, and what a worker needs to open it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote

from fogline.core.errors import ConfigurationError, check_choice, check_keys
from fogline.simulators.databases.records import DatabaseUnavailable

DIALECTS = {"sqlite": "sqlite", "duckdb": "duckdb", "postgresql": "postgres"}
"""sqlglot's name of each engine's dialect."""

EXPECTED = "expected sqlite:///PATH, duckdb:///PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a database is.

    Attributes:
        engine: ``sqlite``, ``duckdb`` or ``postgresql``.
        spec: What the worker's engine opens; equal specs share a connection.
        path: The file, absent for a server.
    """

    engine: str
    spec: tuple[str, ...]
    path: Path | None

    @property
    def dialect(self) -> str:
        """Name of the SQL dialect in sqlglot."""
        return DIALECTS[self.engine]


def locate(url: str) -> Location:
    """Parse a SQLAlchemy-style URL and check that a file it names is there.

    SQLite files are opened immutable, which needs no lock and no write beside the file: they must not change while
    a ``Database`` is open. ``sqlite:///PATH?immutable=0`` opens a file that something else may write; a file with a
    pending write-ahead log or rollback journal is always opened that way.

    Raises:
        ConfigurationError: The URL is not of a known form.
        DatabaseUnavailable: There is no such file.
    """
    scheme, separator, rest = url.partition("://")
    engine = {"postgres": "postgresql"}.get(scheme.partition("+")[0], scheme.partition("+")[0])
    if not separator:
        raise ConfigurationError(f"url={url!r} has no scheme: {EXPECTED}.")
    check_choice("the engine of a database url", engine, DIALECTS)
    if engine == "postgresql":
        return Location(engine, (f"postgresql://{rest}",), None)
    name, _, query = rest.partition("?")
    options = dict(parse_qsl(query))
    check_keys(f"the query part of a {engine} url", options, ["immutable"] if engine == "sqlite" else [])
    if not name.startswith("/") or name in ("/", "/:memory:"):
        raise ConfigurationError(f"url={url!r} names no database file: {EXPECTED}.")
    path = Path(name[1:]).expanduser().absolute()
    return Location(engine, _file_spec(engine, path, options.get("immutable", "1") != "0"), path)


def _file_spec(engine: str, path: Path, immutable: bool) -> tuple[str, ...]:
    try:
        status = path.stat()
    except OSError as error:
        raise DatabaseUnavailable(f"the {engine} database {str(path)!r} does not open: {error.strerror}.") from error
    if not path.is_file():
        raise DatabaseUnavailable(f"the {engine} database {str(path)!r} is not a file.")
    identity = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
    if engine == "duckdb":
        return (str(path), identity)
    immutable = immutable and not any(_has_content(Path(f"{path}{suffix}")) for suffix in ("-wal", "-journal"))
    return (f"file:{quote(str(path))}?mode=ro" + ("&immutable=1" if immutable else ""), identity)


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
