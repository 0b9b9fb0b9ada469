"""Databases opened once, and what they answered, shared by all environments of a process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import DatabaseRef, QueryLimits, QueryResult

_MOST_ROWS_KEPT = 200
Key = tuple[str, QueryLimits]


class RememberingDatabase(Database):
    """A database that answers a statement from memory when it ran before under the same limits.

    For files that nobody changes meanwhile. A statement that asks for the time or for random numbers gets its first
    answer again. Time-outs and failures of a worker are not remembered, nor are long results.

    Args:
        ref: The database.
        limits: Default limits.
        capacity: Statements remembered; the one that was not asked for longest is forgotten first.
    """

    def __init__(self, ref: DatabaseRef, limits: QueryLimits | None = None, capacity: int = 4096) -> None:
        super().__init__(ref, limits)
        self._capacity = capacity
        self._memory: OrderedDict[Key, QueryResult] = OrderedDict()
        self._lock = threading.Lock()

    def execute(self, sql: str, limits: QueryLimits | None = None) -> QueryResult:
        """As :meth:`Database.execute`, from memory where possible."""
        key = (sql, limits or self.limits)
        known = self._recall(key)
        return self._remember(key, super().execute(sql, limits)) if known is None else known

    async def execute_async(self, sql: str, limits: QueryLimits | None = None) -> QueryResult:
        """As :meth:`Database.execute_async`, from memory where possible."""
        key = (sql, limits or self.limits)
        known = self._recall(key)
        return self._remember(key, await super().execute_async(sql, limits)) if known is None else known

    def remembers(self, sql: str, limits: QueryLimits | None = None) -> bool:
        """Whether the answer is at hand."""
        return (sql, limits or self.limits) in self._memory

    def _recall(self, key: Key) -> QueryResult | None:
        with self._lock:
            known = self._memory.get(key)
            if known is not None:
                self._memory.move_to_end(key)
            return known

    def _remember(self, key: Key, result: QueryResult) -> QueryResult:
        chance = result.status == "timeout" or result.error_class == "resource"
        if not chance and len(result.rows) <= _MOST_ROWS_KEPT:
            with self._lock:
                self._memory[key] = result
                if len(self._memory) > self._capacity:
                    self._memory.popitem(last=False)
        return result


class Shelf:
    """Opens each database once; hand one shelf to all environments of a training run.

    An environment alone opens its databases for itself and forgets them when it is closed, which costs some
    milliseconds an episode. A policy in training asks the same few statements of the same databases again and again.

    A copy of a shelf is the shelf itself; in another process it begins empty.

    Args:
        capacity: Statements remembered for each database.

    Raises:
        ConfigurationError: ``capacity`` is below 1.
    """

    def __init__(self, capacity: int = 4096) -> None:
        if capacity < 1:
            raise ConfigurationError(f"capacity={capacity} is too small: expected at least 1.")
        self.capacity = capacity
        self._databases: dict[tuple[str, QueryLimits], RememberingDatabase] = {}
        self._lock = threading.Lock()

    def database(self, ref: DatabaseRef, limits: QueryLimits) -> RememberingDatabase:
        """The database, opened now or before.

        Raises:
            ConfigurationError: It is on a server, where its content may change under the memory.
            DatabaseUnavailable: The file is absent.
        """
        with self._lock:
            known = self._databases.get((ref.url, limits))
            if known is None:
                known = RememberingDatabase(ref, limits, self.capacity)
                if known.engine == "postgresql":
                    raise ConfigurationError(
                        f"a shelf remembers answers, and {ref.name!r} is on a server where they may change: "
                        "leave shelf=None for PostgreSQL."
                    )
                self._databases[ref.url, limits] = known
            return known

    def close(self) -> None:
        """Let go of all databases."""
        with self._lock:
            for database in self._databases.values():
                database.close()
            self._databases.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Shelf:
        return self

    def __reduce__(self) -> tuple[type[Shelf], tuple[int]]:
        return Shelf, (self.capacity,)
