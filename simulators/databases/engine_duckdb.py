"""DuckDB inside a worker: its parser tells the kind of statement, its own switches close everything outside."""

from __future__ import annotations

import _thread
import json
import marshal
import re
import time
from pathlib import Path
from typing import Any

# The package `duckdb` adds nothing that is used here and takes three times as long to import as its core.
import _duckdb as duckdb

from fogline.simulators.databases.values import converting
from fogline.simulators.databases.wire import (
    NOT_TEXT,
    Answer,
    CellTooLargeError,
    LimitValues,
    failure,
    gather,
)

REMEMBERED_STATEMENTS = 512

METADATA_PRAGMAS = frozenset({"table_info", "show", "show_tables", "show_tables_expanded"})
READING_PRAGMAS = METADATA_PRAGMAS | {"collations", "functions", "storage_info", "version"}

CATALOGUE_SCHEMAS = frozenset({"information_schema", "pg_catalog"})
CATALOGUE_NAMES = re.compile(r"(duckdb|pragma|pg)_\w+|sqlite_(temp_)?(master|schema)")
NEUTRAL_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
"""Table functions that read nothing."""

PLAIN_TYPES = frozenset(
    {
        *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
        *("UHUGEINT", "FLOAT", "DOUBLE", "VARCHAR", "BLOB"),
    }
)

ONE_STATEMENT = "only one statement may be given at a time"
_COMMENTS = re.compile(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_EXPLAIN = re.compile(r"explain\s+(?:analyze\s+)?(?:\([^)]*\)\s*)?", re.IGNORECASE)
_PRAGMA = re.compile(r"pragma\s+(\w+)", re.IGNORECASE)


class Verdict:
    """What is known of a statement before it runs."""

    __slots__ = ("forbidden", "metadata_only", "tables")

    def __init__(self, forbidden: str = "", tables: list[str] | None = None, metadata_only: bool = False) -> None:
        self.forbidden, self.tables, self.metadata_only = forbidden, tables or [], metadata_only


class Engine:
    """Opens DuckDB files.

    DuckDB reserves much more address space than it uses, so the limit is ``memory_bytes`` on top of what the process
    has reserved once a first database is open; DuckDB's own ``memory_limit`` is half of ``memory_bytes``.
    """

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        warm = duckdb.connect(":memory:", config=self._settings())
        warm.execute("SELECT json_serialize_sql('SELECT 1')").fetchall()
        self.baseline_bytes = _address_space()
        warm.close()

    def open(self, spec: tuple[str, ...]) -> Database:
        """Open the file that ``spec`` begins with.

        Raises:
            duckdb.Error: The file is absent or is no DuckDB database.
        """
        return Database(spec[0], duckdb.connect(spec[0], read_only=True, config=self._settings()))

    def _settings(self) -> dict[str, Any]:
        return {
            "threads": 1,
            "memory_limit": f"{max(self.memory_bytes // 2, 2**20)}B",
            "enable_external_access": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,
            "lock_configuration": True,
            "temp_directory": "",
        }


class Database:
    """One read-only DuckDB instance; each statement has a connection of its own, so that none leaves a trace."""

    def __init__(self, path: str, connection: Any) -> None:
        self.connection = connection
        self.folder = str(Path(path).resolve().parent)
        self.path_bytes = self.folder.encode()
        views = connection.execute("SELECT lower(view_name) FROM duckdb_views() WHERE NOT internal").fetchall()
        self.views = [name for (name,) in views]
        self.verdicts: dict[str, Verdict] = {}
        self.alarm = Alarm()

    def close(self) -> None:
        """Close the instance."""
        self.connection.close()

    def run(self, sql: str, limits: LimitValues) -> Answer:
        """Execute one statement and return its answer; never raises for what the statement does."""
        started = time.perf_counter()
        cursor = self.connection.cursor()
        self.alarm.set(limits[0], cursor.interrupt)
        verdict = Verdict()
        try:
            sql.encode()  # DuckDB itself answers a lone surrogate with an error of no kind.
            verdict = self._judged(cursor, sql)
            if verdict.forbidden:
                return failure("forbidden", verdict.forbidden)
            return self._fetch(cursor, sql, verdict, limits, started)
        except (duckdb.Error, MemoryError, CellTooLargeError, RuntimeError, ValueError) as error:
            return _failed(error, verdict, limits, time.perf_counter() - started)
        finally:
            self.alarm.clear()
            cursor.close()

    def _fetch(self, cursor: Any, sql: str, verdict: Verdict, limits: LimitValues, started: float) -> Answer:
        cursor.execute(sql)
        description = cursor.description or []
        unlike = [index for index, column in enumerate(description) if str(column[1]) not in PLAIN_TYPES]
        chunks, count, truncated = gather(converting(cursor.fetchmany, unlike), len(description), limits)
        return (
            "ok" if count or truncated else "empty",
            [column[0] for column in description],
            [self._without_path(chunk) for chunk in chunks],
            count,
            truncated,
            "",
            "",
            verdict.tables,
            verdict.metadata_only,
            time.perf_counter() - started,
            False,
        )

    def _without_path(self, chunk: bytes) -> bytes:
        """Hide the folder of the file, which DuckDB's catalogue functions show."""
        if self.path_bytes not in chunk:
            return chunk
        rows = marshal.loads(chunk)
        return marshal.dumps(
            [tuple(v.replace(self.folder, "<path>") if isinstance(v, str) else v for v in row) for row in rows]
        )

    def _judged(self, cursor: Any, sql: str) -> Verdict:
        verdict = self.verdicts.pop(sql, None) or self._judge(cursor, sql)
        self.verdicts[sql] = verdict
        if len(self.verdicts) > REMEMBERED_STATEMENTS:
            del self.verdicts[next(iter(self.verdicts))]
        return verdict

    def _judge(self, cursor: Any, sql: str) -> Verdict:
        statements = cursor.extract_statements(sql)
        if not statements:
            raise duckdb.ParserException("the statement is empty")
        if len(statements) > 1:
            return Verdict(ONE_STATEMENT)
        kind = _kind(statements[0])
        text = _COMMENTS.sub("", statements[0].query, count=1)
        if kind == "PRAGMA":
            found = _PRAGMA.match(text)
            name = found.group(1).lower() if found else ""
            if name not in READING_PRAGMAS:
                return Verdict(f"PRAGMA {name} is not permitted: the database can only be read")
            return Verdict(metadata_only=name in METADATA_PRAGMAS)
        if kind == "EXPLAIN":
            inner = cursor.extract_statements(_EXPLAIN.sub("", text, count=1))
            kind = "SELECT" if len(inner) == 1 and _kind(inner[0]) == "SELECT" else f"EXPLAIN {_kind(inner[0])}"
            return self._select(cursor, sql, explained=True) if kind == "SELECT" else Verdict(_refusal(kind))
        return self._select(cursor, sql) if kind == "SELECT" else Verdict(_refusal(kind))

    def _select(self, cursor: Any, sql: str, explained: bool = False) -> Verdict:
        try:
            tables = _table_names(cursor, sql)
        except duckdb.BinderException:
            # JOIN … USING, for which this function does not know the columns.
            tables = None
        except duckdb.Error:
            return Verdict()  # Running it gives the error in full.
        lowered = sql.lower()
        asks_structure = re.search(r"\b(describe|desc|show|summarize)\b", lowered) is not None
        if tables and not asks_structure and not any(view in lowered for view in self.views):
            return Verdict(tables=sorted(tables))
        text = _EXPLAIN.sub("", _COMMENTS.sub("", sql, count=1), count=1) if explained else sql
        reading = Reading(json.loads(cursor.execute("SELECT json_serialize_sql($1)", [text]).fetchall()[0][0]))
        if reading.metadata_only and not explained:
            return Verdict(tables=sorted(reading.catalogue), metadata_only=True)
        views = reading.named & set(self.views)
        if tables is None:
            tables = reading.named.union(*(_table_names(cursor, f"SELECT * FROM {_quoted(view)}") for view in views))
        return Verdict(tables=sorted(tables | reading.catalogue | views))


class Reading:
    """What a parsed statement reads, by its syntax tree."""

    def __init__(self, tree: Any) -> None:
        self.named: set[str] = set()
        self.catalogue: set[str] = set()
        self.describes = self.other = False
        self._walk(tree)

    @property
    def metadata_only(self) -> bool:
        """Whether it reads the catalogue, or describes something, and reads nothing else."""
        return (self.describes or bool(self.catalogue)) and not (self.named or self.other)

    def _walk(self, node: Any, hidden: frozenset[str] = frozenset()) -> None:
        if isinstance(node, list):
            for item in node:
                self._walk(item, hidden)
        if not isinstance(node, dict):
            return
        expressions = (node.get("cte_map") or {}).get("map") or []
        hidden = hidden | {item["key"].lower() for item in expressions}
        if isinstance(node.get("cte_name"), str):
            hidden = hidden | {node["cte_name"].lower()}
        kind = node.get("type")
        if kind == "SHOW_REF" and node.get("show_type") != "SUMMARY":
            self.describes = True
            return
        self.other = self.other or kind == "SHOW_REF"
        if kind == "BASE_TABLE":
            self._add_table(node.get("schema_name", "").lower(), node["table_name"].lower(), hidden)
        elif kind == "TABLE_FUNCTION":
            self._add_function(node["function"]["function_name"].lower())
        for item in node.values():
            self._walk(item, hidden)

    def _add_table(self, schema: str, name: str, hidden: frozenset[str]) -> None:
        if schema in CATALOGUE_SCHEMAS:
            self.catalogue.add(f"{schema}.{name}")
        elif CATALOGUE_NAMES.fullmatch(name):
            self.catalogue.add(name)
        elif schema or name not in hidden:
            self.named.add(name)

    def _add_function(self, name: str) -> None:
        if CATALOGUE_NAMES.fullmatch(name):
            self.catalogue.add(name)
        elif name not in NEUTRAL_FUNCTIONS:
            self.other = True


class Alarm:
    """Calls a function in another thread unless cleared in time."""

    def __init__(self) -> None:
        self._armed = _thread.allocate_lock()
        self._cleared = _thread.allocate_lock()
        self._idle = _thread.allocate_lock()
        self._armed.acquire()
        self._cleared.acquire()
        self._seconds = 0.0
        self._ring: Any = None
        _thread.start_new_thread(self._watch, ())

    def set(self, seconds: float, ring: Any) -> None:
        """Call ``ring`` after ``seconds``, and again and again until :meth:`clear`."""
        self._idle.acquire()
        self._seconds, self._ring = seconds, ring
        self._armed.release()

    def clear(self) -> None:
        """Do not ring, or no more; returns when no ring is under way."""
        self._cleared.release()
        self._idle.acquire()
        self._idle.release()

    def _watch(self) -> None:
        while True:
            self._armed.acquire()
            seconds = self._seconds
            while not self._cleared.acquire(timeout=seconds):
                self._ring()
                seconds = 0.05
            self._idle.release()


def _kind(statement: Any) -> str:
    try:
        name: str = statement.type.name
    except ValueError:  # A kind that DuckDB's parser knows and its Python side does not.
        return "this kind of statement"
    return name


def _table_names(cursor: Any, sql: str) -> set[str]:
    """Return the tables that ``sql`` reads, through views too."""
    return {name.lower() for name in cursor.get_table_names(sql)}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _refusal(kind: str) -> str:
    return f"{kind.replace('_', ' ')} is not permitted: the database can only be read"


def _failed(error: Exception, verdict: Verdict, limits: LimitValues, seconds: float) -> Answer:
    message = str(error).partition("\n\nLINE ")[0]
    unbound = isinstance(error, (duckdb.CatalogException, duckdb.BinderException))
    tables = [] if unbound else verdict.tables
    if isinstance(error, duckdb.InterruptException):
        return failure("timeout", f"stopped after {limits[0]:g} s", tables=tables, seconds=seconds)
    if isinstance(error, ValueError):
        return failure("error", NOT_TEXT, "syntax", seconds=seconds)
    if isinstance(error, CellTooLargeError):
        message = f"a value is larger than {limits[4]} bytes (max_cell_bytes)"
        return failure("too_large", message, tables=tables, seconds=seconds)
    if isinstance(error, (duckdb.OutOfMemoryException, MemoryError)) or "bad_alloc" in message:
        message = f"out of memory: the limit is {limits[5]} bytes (memory_bytes)"
        return failure("error", message, "resource", tables=tables, seconds=seconds, retire=True)
    refused = ("read-only mode", "Cannot change configuration option")
    if isinstance(error, duckdb.PermissionException) or any(words in message for words in refused):
        return failure("forbidden", message)
    broken = isinstance(error, (duckdb.FatalException, duckdb.InternalException))
    return failure("error", message, _error_class(error, message), tables=tables, seconds=seconds, retire=broken)


def _error_class(error: Exception, message: str) -> str:
    if isinstance(error, (duckdb.ParserException, duckdb.SyntaxException)):
        return "syntax"
    if isinstance(error, duckdb.CatalogException) and re.search(r"(Table|View) with name", message):
        return "missing_table"
    if isinstance(error, duckdb.BinderException):
        if re.search(r"Referenced table \"", message):
            return "missing_table"
        if re.search(r"(Referenced column \"|does not have a column named)", message):
            return "missing_column"
    return "runtime"


def _address_space() -> int:
    """Return the bytes of address space this process has reserved; 0 where the system does not tell."""
    statistics = Path("/proc/self/statm")
    if not statistics.exists():
        return 0
    return int(statistics.read_text().split()[0]) * 4096
