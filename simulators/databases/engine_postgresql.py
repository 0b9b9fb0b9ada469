"""PostgreSQL through a worker: a cursor in a read-only transaction that is always rolled back.

``DECLARE … CURSOR FOR`` takes only SELECT, VALUES, TABLE and WITH; the extended protocol takes only one statement;
the role must be unable to reach the server's files. What a read-only transaction would still let through is refused
by name (:data:`FORBIDDEN_PREFIXES`).
"""

from __future__ import annotations

import re
import time
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.types.string import TextLoader

from fogline.simulators.databases.values import converting
from fogline.simulators.databases.wire import (
    NOT_TEXT,
    Answer,
    CellTooLargeError,
    LimitValues,
    failure,
    gather,
)

CONNECT_SECONDS = 20

FORBIDDEN_PREFIXES = (
    *("pg_terminate_backend", "pg_cancel_backend", "pg_notify", "pg_logical_emit_message", "pg_export_snapshot"),
    *("pg_advisory_", "pg_try_advisory_", "set_config", "dblink", "lo_import", "lo_export"),
    *("lo_creat", "lo_from_bytea", "lo_put", "lo_unlink", "lo_open", "lo_truncate", "lowrite", "pg_read_file"),
    *("pg_read_binary_file", "pg_ls_", "pg_stat_file", "pg_reload_conf", "pg_rotate_logfile", "pg_switch_wal"),
    *("pg_create_", "pg_drop_replication", "pg_replication_", "pg_backup_", "pg_promote", "pg_stat_reset"),
    # These show the statements of the role's other sessions, gold statements among them.
    *("pg_stat_activity", "pg_stat_get_activity", "pg_stat_get_backend_", "pg_stat_statements"),
    # These run SQL from a text, where a name could be put together that the text of the statement does not show.
    *("query_to_xml", "cursor_to_xml", "table_to_xml", "schema_to_xml", "database_to_xml", "ts_stat", "ts_rewrite"),
    *("crosstab", "connectby", 'u&"'),
)
"""A statement with a word that begins so anywhere is refused: an identifier cannot be written otherwise."""

COMMANDS = frozenset(
    {
        *("INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "CREATE", "DROP", "ALTER", "TRUNCATE", "GRANT", "REVOKE"),
        *("SET", "RESET", "SHOW", "BEGIN", "START", "COMMIT", "END", "ABORT", "ROLLBACK", "SAVEPOINT", "RELEASE"),
        *("PREPARE", "EXECUTE", "DEALLOCATE", "DECLARE", "FETCH", "MOVE", "CLOSE", "LISTEN", "NOTIFY", "UNLISTEN"),
        *("LOCK", "VACUUM", "ANALYZE", "ANALYSE", "CLUSTER", "REINDEX", "REFRESH", "CALL", "DO", "LOAD"),
        *("CHECKPOINT", "DISCARD", "COMMENT", "SECURITY", "IMPORT", "REASSIGN"),
    }
)
"""First words of statements that exist but do not read."""

SERVER_FILE_ROLES = ("pg_read_server_files", "pg_write_server_files", "pg_execute_server_program")

TEXT_TYPES = (
    *("date", "time", "timetz", "timestamp", "timestamptz", "interval", "json", "jsonb", "uuid", "inet", "cidr"),
    *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange", "int4multirange", "int8multirange"),
    *("nummultirange", "datemultirange", "tsmultirange", "tstzmultirange"),
)
"""Types whose PostgreSQL text is the value; dates and times are ISO in it."""

PLAIN_OIDS = frozenset({17, 19, 20, 21, 23, 25, 26, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184})
"""bytea, name, int8, int2, int4, text, oid, float4, float8, bpchar, varchar, date, time, timestamp, timestamptz."""

SESSION_SETTINGS = (
    "SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; "
    "SET work_mem = '16MB'; SET max_parallel_workers_per_gather = 0; SET client_min_messages = 'error'; "
    "SET default_transaction_read_only = on"
)

SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast"})
REFUSALS = ("must not contain data-modifying statements", "INTO is not allowed here")
"""Messages about statements that would write, which have the code of a syntax error."""

ONE_STATEMENT = "only one statement may be given at a time"

_FORBIDDEN = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, FORBIDDEN_PREFIXES))})\w*", re.IGNORECASE)
_START = re.compile(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\()*", re.DOTALL)
# Deliberately narrow. A read-only transaction lets even EXPLAIN ANALYZE CREATE TABLE AS run.
_EXPLAIN = re.compile(
    r"explain\b\s*(?:verbose\b\s*|\(([\w\s,]*)\)\s*)?\(*\s*(?:select|with|values|table)\b", re.IGNORECASE
)


class ConfigurationError(Exception):
    """Becomes :class:`fogline.core.errors.ConfigurationError` in the parent."""


class ServerError(Exception):
    """The server refused a command."""

    def __init__(self, result: Any) -> None:
        super().__init__(_field(result, pq.DiagnosticField.MESSAGE_PRIMARY) or "the server gave no reason")
        self.code = _field(result, pq.DiagnosticField.SQLSTATE)


class Engine:
    """Opens connections. The address-space limit needs only what the imports took on top of ``memory_bytes``."""

    baseline_bytes = 0

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes

    def open(self, spec: tuple[str, ...]) -> Database:
        """Connect to the URL that ``spec`` begins with.

        Raises:
            ConfigurationError: The role could do more than read tables.
            psycopg.Error: The server does not answer or refuses.
        """
        return Database(spec[0])


class Database:
    """One connection to a server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: Any = None
        self.names: dict[int, tuple[str, str, str]] = {}
        self.milliseconds = 0
        self._connect()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def run(self, sql: str, limits: LimitValues) -> Answer:
        """Execute one statement and return its answer; never raises for what the statement does."""
        refusal = _refusal(sql)
        if refusal:
            return refusal
        started = time.perf_counter()
        try:
            self._begin(limits)
        except (psycopg.Error, ServerError) as error:
            return failure("unavailable", str(error))
        try:
            return self._fetch(sql, limits, started)
        except (ServerError, MemoryError, CellTooLargeError, psycopg.Error, ValueError) as error:
            return self._failed(error, limits, time.perf_counter() - started)
        finally:
            self._restore()

    def _fetch(self, sql: str, limits: LimitValues, started: float) -> Answer:
        text = sql.encode()
        explains = _START.sub("", sql, count=1)[:7].lower() == "explain"
        first = self._ask(text if explains else b"DECLARE fogline NO SCROLL CURSOR FOR " + text)
        tables, metadata_only = self._tables()
        transformer = Transformer(self.connection)
        pending = [first] if explains else []

        def fetch(count: int) -> list[tuple[Any, ...]]:
            result = pending.pop() if pending else self._ask(b"FETCH FORWARD %d FROM fogline" % count)
            transformer.set_pgresult(result)
            return transformer.load_rows(0, result.ntuples, tuple)

        shape = first
        if not explains:
            shape = self._ask(b"FETCH FORWARD 0 FROM fogline")
        width = shape.nfields
        columns = [_decoded(shape.fname(index)) for index in range(width)]
        unlike = [index for index in range(width) if shape.ftype(index) not in PLAIN_OIDS]
        # Rows are in memory as the library's result, that of the last chunk, Python values and a message at once.
        chunks, count, truncated = gather(converting(fetch, unlike), width, (*limits[:5], limits[5] // 2))
        status = "ok" if count or truncated else "empty"
        seconds = time.perf_counter() - started
        return (status, columns, chunks, count, truncated, "", "", tables, metadata_only, seconds, False)

    def _tables(self) -> tuple[list[str], bool]:
        """Return the relations the statement refers to: those on which it holds a lock, views included."""
        locks = self._ask(
            b"SELECT DISTINCT relation FROM pg_lock_status() WHERE locktype = 'relation' AND pid = pg_backend_pid()"
        )
        oids = [int(locks.get_value(row, 0)) for row in range(locks.ntuples)]
        unknown = [oid for oid in oids if oid not in self.names]
        if unknown:
            listed = ",".join(map(str, unknown)).encode()
            found = self._ask(
                b"SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n "
                b"ON n.oid = c.relnamespace WHERE c.oid IN (" + listed + b")"
            )
            for row in range(found.ntuples):
                oid, *name = (_decoded(found.get_value(row, column)) for column in range(4))
                self.names[int(oid)] = (name[0], name[1], name[2])
        relations = [self.names[oid] for oid in oids if oid in self.names and self.names[oid][2] in "rvmpf"]
        tables = sorted({f"{s}.{n}" if s in SYSTEM_SCHEMAS else n.lower() for s, n, _ in relations})
        return tables, bool(relations) and all(schema in SYSTEM_SCHEMAS for schema, _, _ in relations)

    def _ask(self, command: bytes) -> Any:
        """Send one command through the extended protocol, which takes no second one."""
        result = self.connection.pgconn.exec_params(command, None)
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise ServerError(result)
        return result

    def _tell(self, commands: str) -> None:
        """Send trusted commands."""
        result = self.connection.pgconn.exec_(commands.encode())
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise ServerError(result)

    def _begin(self, limits: LimitValues) -> None:
        milliseconds = max(1, int(limits[0] * 1000))
        try:
            self._set_timeout(milliseconds)
            self._tell("BEGIN READ ONLY")
        except (psycopg.Error, ServerError):
            # The server dropped the idle connection: nothing of the statement has begun.
            self.connection.close()
            self._connect()
            self._set_timeout(milliseconds)
            self._tell("BEGIN READ ONLY")

    def _set_timeout(self, milliseconds: int) -> None:
        if milliseconds != self.milliseconds:
            # On its own: beside BEGIN in one message it would belong to the transaction and be rolled back.
            self._tell(f"SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds}")
            self.milliseconds = milliseconds

    def _restore(self) -> None:
        if self.connection.pgconn.status == pq.ConnStatus.OK:
            self.connection.pgconn.exec_(b"ROLLBACK")

    def _connect(self) -> None:
        self.milliseconds = 0
        self.connection = psycopg.connect(
            self.url, autocommit=True, connect_timeout=CONNECT_SECONDS, client_encoding="utf8"
        )
        for name in TEXT_TYPES:
            if self.connection.adapters.types.get(name) is not None:
                self.connection.adapters.register_loader(name, TextLoader)
        self._tell(SESSION_SETTINGS)
        if self.connection.info.server_version >= 140000:
            # A backend whose worker was killed notices it in the middle of a statement.
            self._tell("SET client_connection_check_interval = 250")
        self._check_role()

    def _check_role(self) -> None:
        listed = ", ".join(f"'{name}'" for name in SERVER_FILE_ROLES)
        rows = self._ask(
            f"SELECT current_user, 'SUPERUSER' FROM pg_roles WHERE rolname = current_user AND rolsuper "
            f"UNION ALL SELECT current_user, rolname FROM pg_roles "
            f"WHERE rolname IN ({listed}) AND pg_has_role(current_user, oid, 'MEMBER')".encode()
        )
        if rows.ntuples:
            role, power = _decoded(rows.get_value(0, 0)), _decoded(rows.get_value(0, 1))
            raise ConfigurationError(
                f"the PostgreSQL role {role!r} has {power}, which reaches beyond tables: expected a role that can only "
                f"read. Make one with fogline.simulators.databases.postgresql_roles.create_reader_role "
                f"and use the url that it returns."
            )

    def _failed(self, error: Exception, limits: LimitValues, seconds: float) -> Answer:
        if self.connection.pgconn.status != pq.ConnStatus.OK:
            message = "the server closed the connection during the statement"
            return failure("error", message, "resource", seconds=seconds, retire=True)
        if isinstance(error, CellTooLargeError):
            message = f"a value is larger than {limits[4]} bytes (max_cell_bytes)"
            return failure("too_large", message, seconds=seconds)
        if isinstance(error, MemoryError):
            message = f"out of memory: the limit is {limits[5]} bytes (memory_bytes)"
            return failure("error", message, "resource", seconds=seconds, retire=True)
        if isinstance(error, ValueError):
            return failure("error", NOT_TEXT, "syntax", seconds=seconds)
        message, code = str(error), getattr(error, "code", "")
        if code in ("57014", "55P03"):
            return failure("timeout", f"stopped after {limits[0]:g} s", seconds=seconds)
        if "cannot insert multiple commands" in message:
            return failure("forbidden", ONE_STATEMENT)
        if code in ("42501", "25006", "42P11") or any(words in message for words in REFUSALS):
            return failure("forbidden", message)
        return failure("error", message, _error_class(code), seconds=seconds)


def _refusal(sql: str) -> Answer | None:
    if "\0" in sql:
        return failure("error", NOT_TEXT, "syntax")
    found = _FORBIDDEN.search(sql)
    if found is not None:
        return failure("forbidden", f"{found.group().lower()} is not permitted: the database can only be read")
    text = _START.sub("", sql, count=1)
    if not text.strip(" \t\r\n;"):
        return failure("error", "the statement is empty", "syntax")
    command = re.split(r"\W", text, maxsplit=1)[0].upper()
    if command in COMMANDS:
        return failure("forbidden", f"{command} is not permitted: the database can only be read")
    if command == "EXPLAIN":
        return _explain_refusal(text)
    return None


def _explain_refusal(text: str) -> Answer | None:
    explain = _EXPLAIN.match(text)
    if explain is not None and "analy" not in (explain.group(1) or "").lower():
        return None
    if explain is not None or re.match(r"\w+\W+analy[sz]e", text, re.IGNORECASE):
        return failure("forbidden", "EXPLAIN ANALYZE is not permitted, as it runs the statement: use EXPLAIN")
    return failure("forbidden", "EXPLAIN is permitted only right before SELECT, WITH, VALUES or TABLE")


def _error_class(code: str) -> str:
    if code[:2] in ("53", "54"):
        return "resource"
    return {"42P01": "missing_table", "42703": "missing_column", "42601": "syntax"}.get(code, "runtime")


def _field(result: Any, field: pq.DiagnosticField) -> str:
    return _decoded(result.error_field(field) or b"")


def _decoded(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
