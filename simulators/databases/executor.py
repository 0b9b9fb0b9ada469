"""Read-only SQL on a database, one statement at a time, whatever the statement says.

Statements run in pooled worker processes (:mod:`~fogline.simulators.databases.pool`) that can be killed: a runaway
statement ends at the limit, and the next one is served. Rewards read :attr:`QueryResult.status`, never text.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import re
import weakref
from collections.abc import Generator, Sequence
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.locations import locate
from fogline.simulators.databases.pool import (
    OPEN_DATABASES,
    START_SECONDS,
    Worker,
    WorkerDiedError,
    WorkerPool,
    WorkerStartError,
    WorkerTimedOutError,
    join_pool,
    leave_pool,
)
from fogline.simulators.databases.records import (
    Catalogue,
    DatabaseRef,
    DatabaseUnavailable,
    QueryLimits,
    QueryResult,
)
from fogline.simulators.databases.wire import LimitValues

if TYPE_CHECKING:
    from fogline.simulators.databases.gold_schema import IdentifiersUsed

__all__ = ["Database", "DatabaseUnavailable"]

MAX_STATEMENT_CHARACTERS = 1_000_000
"""A longer statement is not handed to an engine."""

ATTEMPTS = 2
"""A request that no worker had begun when it died is tried this often."""

IDENTIFIERS_KEPT = 1024
"""Statements whose names a database remembers."""

_PATH = re.compile(r"(?<![\w/.])(?:[A-Za-z]:)?(?:[/\\][^\s/\\'\":;,()]+){2,}[/\\]?")

Conversation = Generator[float, Any, None]
"""Yields how long to wait for the worker's next message, which is sent in."""


class Database:
    """A database that can only be read.

    Safe to use from several threads, from asyncio, and on both sides of a fork. Every ``Database`` of the same engine
    and memory limit shares one pool of workers within the process.

    Attributes:
        ref: What was opened.
        limits: Limits of statements that bring none of their own.
        engine: ``sqlite``, ``duckdb`` or ``postgresql``.
        dialect: sqlglot's name of the SQL dialect.
    """

    def __init__(self, ref: DatabaseRef, limits: QueryLimits | None = None, workers: int | None = None) -> None:
        """Locate the database; workers start with the first statement.

        Args:
            ref: The database; see :class:`DatabaseRef` for URLs.
            limits: Default limits, :class:`QueryLimits` where None.
            workers: Statements that may run at a time, by default the number of processors but at most 4.

        Raises:
            ConfigurationError: The URL or a limit makes no sense.
            DatabaseUnavailable: The file is absent.
        """
        if workers is not None and workers < 1:
            raise ConfigurationError(f"workers={workers} is too few: expected at least 1, or None.")
        self.ref = ref
        self.limits = _checked(limits or QueryLimits())
        self._location = locate(ref.url)
        self.engine = self._location.engine
        self.dialect = self._location.dialect
        self._workers = workers
        self._pools: dict[int, WorkerPool] = {}
        self._process_id = os.getpid()
        self._closed = False
        self._catalogue: Catalogue | None = None
        self._identifiers: dict[str, IdentifiersUsed] = {}
        self._leave = weakref.finalize(self, _leave_all, self._pools)

    def execute(self, sql: str, limits: QueryLimits | None = None) -> QueryResult:
        """Run one statement; what the statement does is in the result and never raised.

        Raises:
            DatabaseUnavailable: The database does not open.
            InfrastructureError: No worker process can be started.
        """
        return self.execute_many((sql,), limits)[0]

    def execute_many(self, statements: Sequence[str], limits: QueryLimits | None = None) -> list[QueryResult]:
        """Run statements one after another in one message to a worker; each has the limits to itself.

        Raises:
            DatabaseUnavailable: The database does not open.
            InfrastructureError: No worker process can be started.
        """
        limits = self.limits if limits is None else _checked(limits)
        pool = self._pool(limits)
        results: list[QueryResult] = []
        failures = 0
        while len(results) < len(statements):
            worker = pool.acquire()
            conversation = self._converse(worker, statements[len(results) :], limits, results)
            try:
                seconds = next(conversation)
                while True:
                    try:
                        message = worker.receive(seconds)
                    except (WorkerTimedOutError, WorkerDiedError) as error:
                        seconds = conversation.throw(error)
                    else:
                        seconds = conversation.send(message)
            except StopIteration:
                pool.release(worker)
            except WorkerDiedError:
                pool.discard(worker)
                failures = _count_failure(failures)
            except BaseException:
                pool.discard(worker)
                raise
        return results

    async def execute_async(self, sql: str, limits: QueryLimits | None = None) -> QueryResult:
        """As :meth:`execute`, without blocking the event loop; cancelling it kills the worker."""
        limits = self.limits if limits is None else _checked(limits)
        pool = self._pool(limits)
        results: list[QueryResult] = []
        failures = 0
        while not results:
            worker = await pool.acquire_async()
            conversation = self._converse(worker, (sql,), limits, results)
            try:
                seconds = next(conversation)
                while True:
                    try:
                        message = await worker.receive_async(seconds)
                    except (WorkerTimedOutError, WorkerDiedError) as error:
                        seconds = conversation.throw(error)
                    else:
                        seconds = conversation.send(message)
            except StopIteration:
                pool.release(worker)
            except WorkerDiedError:
                pool.discard(worker)
                failures = _count_failure(failures)
            except BaseException:
                pool.discard(worker)
                raise
        return results[0]

    def catalogue(self) -> Catalogue:
        """Return the true schema, read once.

        Raises:
            DatabaseUnavailable: The schema cannot be read.
        """
        if self._catalogue is None:
            from fogline.simulators.databases.catalogue import read_catalogue

            self._catalogue = read_catalogue(self)
        return self._catalogue

    def identifiers(self, sql: str) -> IdentifiersUsed:
        """Return the names that a statement uses, known and unknown; the last statements are remembered.

        Reading a statement takes sqlglot a millisecond or more, and the end of an episode asks for the same ones
        several times.
        """
        known = self._identifiers.get(sql)
        if known is None:
            from fogline.simulators.databases.gold_schema import identifiers_used

            known = identifiers_used(sql, self.catalogue(), self.dialect)
            if len(self._identifiers) >= IDENTIFIERS_KEPT:
                self._identifiers.clear()
            self._identifiers[sql] = known
        return known

    def remembers(self, sql: str, limits: QueryLimits | None = None) -> bool:
        """Whether the answer to a statement is at hand, so that :meth:`execute` would not wait: never, here."""
        return False

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file; for a server, of the catalogue."""
        if self._location.path is None:
            return hashlib.sha256(repr(self.catalogue()).encode()).hexdigest()
        with self._location.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def close(self) -> None:
        """Let go of the workers; they end with the last ``Database`` that uses them."""
        self._closed = True
        self._leave()

    def __enter__(self) -> Database:
        """Return the database itself; leaving the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the database."""
        self.close()

    def _pool(self, limits: QueryLimits) -> WorkerPool:
        if self._closed:
            raise ConfigurationError(f"the database {self.ref.name!r} is closed: open a new Database.")
        if self._process_id != os.getpid():
            self._pools.clear()
            self._process_id = os.getpid()
        pool = self._pools.get(limits.memory_bytes)
        if pool is None:
            pool = join_pool(self.engine, limits.memory_bytes, self._workers)
            if self._pools.setdefault(limits.memory_bytes, pool) is not pool:
                leave_pool(pool)
                pool = self._pools[limits.memory_bytes]
        return pool

    def _converse(
        self, worker: Worker, statements: Sequence[str], limits: QueryLimits, results: list[QueryResult]
    ) -> Conversation:
        """Have ``worker`` run ``statements``, adding to ``results`` until done or the worker must be replaced."""
        if not worker.ready:
            yield from self._await_start(worker)
        slot = worker.slots.get(self._location.spec)
        if slot is None:
            yield from self._open(worker)
            slot = worker.slots[self._location.spec]
        elif len(worker.slots) > 1:
            worker.slots.move_to_end(self._location.spec)
        oversized = next((place for place, sql in enumerate(statements) if len(sql) > MAX_STATEMENT_CHARACTERS), None)
        if oversized is not None:
            statements = statements[:oversized]
        if statements:
            worker.send(("run", slot, list(statements), _limit_values(limits)))
        for _ in statements:
            try:
                answer = yield limits.seconds + limits.grace_seconds
            except WorkerTimedOutError:
                results.append(QueryResult("timeout", message=_KILLED.format(limits.seconds), seconds=limits.seconds))
                worker.retired = True
                return
            except WorkerDiedError as error:
                if not error.started:
                    raise
                message = f"the worker process ended while it ran the statement ({_exit_text(worker)})"
                results.append(QueryResult("error", error_class="resource", message=message))
                worker.retired = True
                return
            if answer[0] == "unavailable":
                raise DatabaseUnavailable(f"{self._where} does not answer: {self._without_paths(answer[6])}")
            results.append(self._result(answer))
            if answer[-1]:
                worker.retired = True
                return
        if oversized is not None:
            message = f"the statement is longer than {MAX_STATEMENT_CHARACTERS} characters"
            results.append(QueryResult("error", error_class="resource", message=message))

    def _await_start(self, worker: Worker) -> Conversation:
        try:
            trouble = yield START_SECONDS
        except WorkerTimedOutError as error:
            raise WorkerStartError(f"a {self.engine} worker was not ready within {START_SECONDS:g} s.") from error
        except WorkerDiedError as error:
            raise WorkerDiedError(started=False) from error
        if trouble is not None:
            raise WorkerStartError(f"a {self.engine} worker does not start: {trouble[0]}: {trouble[1]}")
        worker.ready = True

    def _open(self, worker: Worker) -> Conversation:
        if len(worker.slots) >= OPEN_DATABASES[self.engine]:
            _, oldest = worker.slots.popitem(last=False)
            worker.send(("close", oldest))
        slot = worker.next_slot
        worker.next_slot += 1
        worker.send(("open", slot, self._location.spec))
        try:
            trouble = yield START_SECONDS
        except WorkerTimedOutError as error:
            raise DatabaseUnavailable(f"{self._where} did not open within {START_SECONDS:g} s.") from error
        except WorkerDiedError as error:
            raise WorkerDiedError(started=False) from error
        if trouble is not None:
            self._refuse(*trouble)
        worker.slots[self._location.spec] = slot

    def _refuse(self, kind: str, message: str) -> NoReturn:
        if kind == "ConfigurationError":
            raise ConfigurationError(message)
        raise DatabaseUnavailable(f"{self._where} does not open: {kind}: {message}")

    @property
    def _where(self) -> str:
        return f"the {self.engine} database {self.ref.name!r}"

    def _result(self, answer: tuple[Any, ...]) -> QueryResult:
        status, columns, chunks, count, truncated, error_class, message, tables, metadata_only, seconds, _ = answer
        rows = tuple(chain.from_iterable(map(marshal.loads, chunks)))
        if message:
            message = self._without_paths(message)
        return QueryResult(
            status,
            tuple(columns),
            rows,
            count,
            truncated,
            error_class,
            message,
            frozenset(tables),
            metadata_only,
            seconds,
        )

    def _without_paths(self, message: str) -> str:
        if self._location.path is not None:
            message = message.replace(str(self._location.path), "<path>")
        return _PATH.sub("<path>", message)


_KILLED = "stopped after {:g} s"


def _limit_values(limits: QueryLimits) -> LimitValues:
    return (
        limits.seconds,
        limits.max_rows,
        limits.keep_rows,
        limits.max_bytes,
        limits.max_cell_bytes,
        limits.memory_bytes,
    )


def _checked(limits: QueryLimits) -> QueryLimits:
    for name in ("seconds", "max_rows", "max_bytes", "max_cell_bytes", "memory_bytes", "grace_seconds"):
        value = getattr(limits, name)
        if value <= 0:
            raise ConfigurationError(f"{name}={value} is too small: expected more than 0.")
    if limits.keep_rows is not None and limits.keep_rows < 0:
        raise ConfigurationError(f"keep_rows={limits.keep_rows} is too small: expected at least 0, or None.")
    return limits


def _count_failure(failures: int) -> int:
    if failures + 1 >= ATTEMPTS:
        raise WorkerStartError(
            f"{ATTEMPTS} workers ended before they began the statement: raise memory_bytes, or see what kills them."
        )
    return failures + 1


def _exit_text(worker: Worker) -> str:
    status = worker.process.wait()
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _leave_all(pools: dict[int, WorkerPool]) -> None:
    for pool in pools.values():
        leave_pool(pool)
    pools.clear()
