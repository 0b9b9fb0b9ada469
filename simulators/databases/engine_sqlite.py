"""SQLite inside a worker: an authorizer judges each statement, limits of the library itself bound the rest."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from fogline.simulators.databases.wire import NOT_TEXT, Answer, CellTooLargeError, LimitValues, failure, gather

PROGRESS_OPCODES = 25_000
"""Virtual-machine steps between two looks at the clock: a few tenths of a millisecond."""

REMEMBERED_STATEMENTS = 512
CACHED_STATEMENTS = 128
MAX_STATEMENT_BYTES = 1_000_000

SCHEMA_TABLES = frozenset({"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"})

METADATA_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "foreign_key_list", "index_list", "index_info", "index_xinfo"}
)
"""The seven statements that TRUST-SQL's metadata-only test accepts (specification, section 9)."""

READING_PRAGMAS = METADATA_PRAGMAS | {
    "collation_list",
    "compile_options",
    "foreign_key_check",
    "function_list",
    "integrity_check",
    "module_list",
    "pragma_list",
    "quick_check",
}
"""Only read, whatever their argument. ``database_list`` is absent: it gives the path of the file."""

QUERYABLE_PRAGMAS = frozenset(
    {"application_id", "encoding", "freelist_count", "page_count", "page_size", "schema_version", "user_version"}
)
"""Only read when they have no argument."""

FORBIDDEN_FUNCTIONS = frozenset(
    {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "fsdir", "lsmode", "icu_load_collation"}
)

FORBIDDEN_TABLES = frozenset({"sqlite_stmt"})
"""Lists the statements that the connection keeps prepared, gold statements among them."""

ACTION_NAMES = {
    getattr(sqlite3, f"SQLITE_{name}"): name.replace("_", " ")
    for name in (
        *("CREATE_INDEX", "CREATE_TABLE", "CREATE_TRIGGER", "CREATE_VIEW", "CREATE_VTABLE"),
        *("CREATE_TEMP_INDEX", "CREATE_TEMP_TABLE", "CREATE_TEMP_TRIGGER", "CREATE_TEMP_VIEW"),
        *("DROP_INDEX", "DROP_TABLE", "DROP_TRIGGER", "DROP_VIEW", "DROP_VTABLE"),
        *("DROP_TEMP_INDEX", "DROP_TEMP_TABLE", "DROP_TEMP_TRIGGER", "DROP_TEMP_VIEW"),
        *("INSERT", "UPDATE", "DELETE", "TRANSACTION", "SAVEPOINT", "ATTACH", "DETACH", "ALTER_TABLE"),
        *("REINDEX", "ANALYZE"),
    )
}

ONE_STATEMENT = "only one statement may be given at a time"


class Verdict:
    """What the authorizer saw of one statement."""

    __slots__ = ("denied", "pragmas", "sources", "tables", "unsure")

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.pragmas: set[str] = set()
        self.unsure: set[str] = set()
        self.sources: set[str] = set()
        self.denied = ""

    def settle(self, kinds: dict[str, str]) -> None:
        """Keep of the names only what the schema ``kinds`` (name to ``table`` or ``view``) and the engine have.

        A FROM item of which no column is used is reported by its name alone, a common table expression too. The
        latter is then also the source of other reports, as among real names only a view is.
        """
        for name in self.unsure:
            if name not in self.sources or kinds.get(name) == "view":
                self.tables.add(name)
        self.unsure.clear()
        self.tables |= {name for name in self.sources if kinds.get(name) == "view"}
        self.tables = {name for name in self.tables if name in kinds or _in_catalogue(name)}

    @property
    def metadata_only(self) -> bool:
        """Whether the statement reads the catalogue and nothing else."""
        return (
            bool(self.tables or self.pragmas)
            and all(map(_in_catalogue, self.tables))
            and self.pragmas <= METADATA_PRAGMAS
        )


def _in_catalogue(name: str) -> bool:
    return name in SCHEMA_TABLES or name.startswith("pragma_")


class Engine:
    """Opens SQLite files. The address-space limit needs nothing on top of ``memory_bytes``."""

    baseline_bytes = 0

    def __init__(self, memory_bytes: int) -> None:
        self.heap_bytes = memory_bytes // 2

    def open(self, spec: tuple[str, ...]) -> Database:
        """Open the ``file:`` URI that ``spec`` begins with.

        Raises:
            sqlite3.Error: The file is absent or is no SQLite database.
        """
        return Database(spec[0], self.heap_bytes)


class Database:
    """One read-only connection."""

    def __init__(self, uri: str, heap_bytes: int) -> None:
        self.connection = connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, cached_statements=CACHED_STATEMENTS, check_same_thread=False
        )
        # A sort that does not fit into memory would otherwise go to a temporary file.
        for setting in ("temp_store=MEMORY", "query_only=ON", "trusted_schema=OFF", f"hard_heap_limit={heap_bytes}"):
            connection.execute(f"PRAGMA {setting}").close()
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_STATEMENT_BYTES)
        self.cell_limit = -1
        self.deadline = 0.0
        self.verdict = Verdict()
        self.verdicts: dict[str, Verdict] = {}
        self.declaring_virtual_table = False
        self.kinds: dict[str, str] = {}
        connection.set_progress_handler(self._past_deadline, PROGRESS_OPCODES)
        connection.set_authorizer(self._authorize)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def run(self, sql: str, limits: LimitValues) -> Answer:
        """Execute one statement and return its answer; never raises for what the statement does."""
        started = time.perf_counter()
        self.deadline = started + limits[0]
        if limits[4] != self.cell_limit:
            self.cell_limit = limits[4]
            self.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self.cell_limit)
        # A statement from the connection's cache does not pass the authorizer again. Both caches drop what was used
        # least recently and this one is the larger, so a cached statement always finds its verdict here.
        verdict = self.verdicts.pop(sql, None)
        self.verdict = verdict = Verdict() if verdict is None else verdict
        try:
            answer = self._fetch(sql, limits, started)
        except sqlite3.OperationalError as error:
            if not str(error).startswith("Could not decode"):
                return self._failed(error, limits, started)
            answer = self._run_undecodable(sql, limits, started)
        except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError, CellTooLargeError) as error:
            return self._failed(error, limits, started)
        self.verdicts[sql] = verdict
        if len(self.verdicts) > REMEMBERED_STATEMENTS:
            del self.verdicts[next(iter(self.verdicts))]
        return answer

    def _fetch(self, sql: str, limits: LimitValues, started: float) -> Answer:
        cursor = self.connection.execute(sql)
        try:
            description = cursor.description
            if description is None:
                return failure("error", "the statement is empty", "syntax")
            chunks, count, truncated = gather(cursor.fetchmany, len(description), limits)
        finally:
            cursor.close()
        verdict = self.verdict
        if verdict.unsure or verdict.sources or verdict.tables - self.kinds.keys():
            self._settle(verdict)
        return (
            "ok" if count or truncated else "empty",
            [column[0] for column in description],
            chunks,
            count,
            truncated,
            "",
            "",
            list(verdict.tables),
            verdict.metadata_only,
            time.perf_counter() - started,
            False,
        )

    def _run_undecodable(self, sql: str, limits: LimitValues, started: float) -> Answer:
        """Run again with text that is not UTF-8 shown with replacement characters."""
        self.connection.text_factory = _decode_leniently
        try:
            return self._fetch(sql, limits, started)
        except (sqlite3.Error, MemoryError, CellTooLargeError) as error:
            return self._failed(error, limits, started)
        finally:
            self.connection.text_factory = str

    def _settle(self, verdict: Verdict) -> None:
        if (verdict.tables | verdict.unsure | verdict.sources) - self.kinds.keys():
            self.verdict = Verdict()
            named = "SELECT lower(name), type FROM sqlite_master WHERE type IN ('table', 'view')"
            self.kinds = dict(self.connection.execute(named).fetchall())
            self.verdict = verdict
        verdict.settle(self.kinds)

    def _past_deadline(self) -> bool:
        return time.perf_counter() > self.deadline

    def _authorize(
        self, action: int, first: str | None, second: str | None, database: str | None, source: str | None
    ) -> int:
        if source is not None:
            self.verdict.sources.add(source.lower())
        if action == sqlite3.SQLITE_READ:
            name = (first or "").lower()
            if name in FORBIDDEN_TABLES:
                return self._judge(False, f"the table {name}")
            if self.declaring_virtual_table and name == "sqlite_master" and second == "ROWID":
                self.declaring_virtual_table = False
            elif second == "" and database is None:
                self.verdict.unsure.add(name)
            else:
                self.verdict.tables.add(name)
            return sqlite3.SQLITE_OK
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            return self._judge(second not in FORBIDDEN_FUNCTIONS, f"the function {second}")
        if action == sqlite3.SQLITE_PRAGMA:
            name = (first or "").lower()
            self.verdict.pragmas.add(name)
            permitted = name in READING_PRAGMAS or (name in QUERYABLE_PRAGMAS and not second)
            return self._judge(permitted, f"PRAGMA {name}" + (" with a value" if second else ""))
        if action == sqlite3.SQLITE_UPDATE and first == "sqlite_master":
            # SQLite asks this when it first connects a table-valued function such as pragma_table_info. A real
            # UPDATE of the schema is refused by the parser, and the file is open for reading only.
            self.declaring_virtual_table = True
            return sqlite3.SQLITE_OK
        return self._judge(False, ACTION_NAMES.get(action, "this kind of statement"))

    def _judge(self, permitted: bool, what: str) -> int:
        if permitted:
            return sqlite3.SQLITE_OK
        self.verdict.denied = self.verdict.denied or what
        return sqlite3.SQLITE_DENY

    def _failed(self, error: Exception, limits: LimitValues, started: float) -> Answer:
        seconds = time.perf_counter() - started
        verdict, message = self.verdict, str(error)
        code = getattr(error, "sqlite_errorname", "")
        tables = list(verdict.tables)
        if verdict.denied:
            return failure("forbidden", f"{verdict.denied} is not permitted: the database can only be read")
        if isinstance(error, ValueError) or "null character" in message:
            return failure("error", NOT_TEXT, "syntax", seconds=seconds)
        if message == "You can only execute one statement at a time.":
            return failure("forbidden", ONE_STATEMENT)
        if code.startswith(("SQLITE_READONLY", "SQLITE_AUTH", "SQLITE_PERM")):
            return failure("forbidden", message)
        if code == "SQLITE_INTERRUPT":
            return failure("timeout", f"stopped after {limits[0]:g} s", tables=tables, seconds=seconds)
        if code == "SQLITE_TOOBIG" or isinstance(error, CellTooLargeError):
            message = f"a value is larger than {limits[4]} bytes (max_cell_bytes)"
            return failure("too_large", message, tables=tables, seconds=seconds)
        if isinstance(error, MemoryError) or code in ("SQLITE_NOMEM", "SQLITE_FULL", "SQLITE_IOERR_NOMEM"):
            message = f"out of memory: the limit is {limits[5]} bytes (memory_bytes)"
            return failure("error", message, "resource", tables=tables, seconds=seconds, retire=True)
        return failure("error", message, _error_class(message), tables=tables, seconds=seconds)


def _error_class(message: str) -> str:
    """Classify by SQLite's wording: all of these share the result code SQLITE_ERROR."""
    if message.startswith(("no such table", "no such view")):
        return "missing_table"
    if message.startswith(("no such column", "cannot join using column")) or "has no column named" in message:
        return "missing_column"
    if "syntax error" in message or message.startswith(("incomplete input", "unrecognized token", "no tables spec")):
        return "syntax"
    if "too large" in message or "too many" in message or message.startswith(("parser stack", "Expression tree")):
        return "resource"
    return "runtime"


def _decode_leniently(value: bytes) -> Any:
    return value.decode("utf-8", "replace")
