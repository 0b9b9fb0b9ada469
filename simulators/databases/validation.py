"""Gold validation: a question is kept only if its gold statement runs and its gold schema exists.

Source: TRUST-SQL specification, sections 10.1 and 13. In the public training data hundreds of gold statements
fail, time out, or carry labels of absent tables; scored, they would pay every executable answer.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.gold_cache import GoldCache, GoldOutcome, statement_key, user_cache
from fogline.simulators.databases.gold_schema import UnknownNames, UnparseableSQL, gold_schema
from fogline.simulators.databases.records import (
    Catalogue,
    DatabaseRef,
    DatabaseUnavailable,
    Dropped,
    QueryLimits,
    QueryResult,
    SchemaSubset,
    TextToSQLDataset,
    TextToSQLTask,
)

DROP_REASONS = (
    "duplicate_id",
    "missing_database",
    "gold_error",
    "gold_timeout",
    "gold_truncated",
    "gold_too_large",
    "gold_empty",
    "forbidden",
    "unparseable",
    "untranslatable",
    "schema_absent_table",
    "schema_absent_column",
)
_REASON_OF_STATUS = {
    "error": "gold_error",
    "timeout": "gold_timeout",
    "too_large": "gold_too_large",
    "forbidden": "forbidden",
}
_SECONDS_BETWEEN_REPORTS = 10.0

logger = logging.getLogger(__name__)
Progress = Callable[[int, int], None]


class GoldDatabase(Protocol):
    """What validation needs of ``Database``."""

    @property
    def dialect(self) -> str:
        """The sqlglot dialect of the engine."""
        ...

    def execute(self, sql: str, limits: QueryLimits | None = None) -> QueryResult:
        """Run one statement."""
        ...

    def catalogue(self) -> Catalogue:
        """Read the true schema."""
        ...

    def fingerprint(self) -> str:
        """Hash the content."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


OpenDatabase = Callable[[DatabaseRef, QueryLimits], GoldDatabase]


def open_read_only(ref: DatabaseRef, limits: QueryLimits) -> GoldDatabase:
    """Open a database with the executor."""
    from fogline.simulators.databases.executor import Database

    return Database(ref, limits)


def validate(
    tasks: Iterable[TextToSQLTask],
    databases: Mapping[str, DatabaseRef],
    limits: QueryLimits | None = None,
    *,
    name: str = "dataset",
    dropped: Sequence[Dropped] = (),
    require_rows: bool = False,
    check_suite: bool = True,
    cache: Path | None = None,
    refresh: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    open_database: OpenDatabase = open_read_only,
) -> TextToSQLDataset:
    """Run every gold statement under the tool's limits and keep the questions that hold.

    Kept tasks carry their gold schema: the record's own, else the derived one. A label of the record that
    names a column of a table it does not list counts as written; what must hold is that every name exists.

    Args:
        tasks: Questions in order.
        databases: Databases by name.
        limits: Limits per statement; ``None`` for the defaults of the tool.
        name: Name of the data set.
        dropped: Records that a loader refused already; they head the report.
        require_rows: Also drop questions whose gold result is empty (``gold_empty``).
        check_suite: Also run the gold on the further databases of a test suite.
        cache: Folder of remembered outcomes; ``None`` for the user's cache. PostgreSQL is never remembered:
            its rows may change without its catalogue.
        refresh: Run everything again and replace what was remembered, time-outs of a once busy machine
            included.
        workers: Databases validated at once; ``None`` for up to four.
        progress: Called with (done, total) statements; ``None`` logs every ten seconds.
        open_database: How to open a database.

    Returns:
        The data set; ``dropped`` names each refused task with a reason of :data:`DROP_REASONS`.
    """
    limits = limits or QueryLimits()
    accepted, refused = _unique(tasks, databases)
    groups: dict[str, list[TextToSQLTask]] = {}
    for task in accepted:
        groups.setdefault(task.database, []).append(task)
    memory = GoldCache(cache or user_cache() / "gold")
    total = sum(len(group) * (1 + (len(databases[key].suite) if check_suite else 0)) for key, group in groups.items())
    checks = _Checks(
        limits,
        memory,
        refresh,
        require_rows,
        check_suite,
        open_database,
        _Meter(progress or _logged(name), total),
    )
    with ThreadPoolExecutor(workers or min(4, os.cpu_count() or 1)) as pool:
        verdicts = list(pool.map(lambda key: checks.of_database(databases[key], groups[key]), groups))
    verdict_of = {id(task): verdict for group in verdicts for task, verdict in group}
    kept: dict[str, TextToSQLTask] = {}
    for task in accepted:
        verdict = verdict_of[id(task)]
        if isinstance(verdict, Dropped):
            refused.append(verdict)
        else:
            kept[task.task_id] = dataclasses.replace(task, gold_schema=verdict)
    used = {task.database for task in kept.values()}
    refs = {key: ref for key, ref in databases.items() if key in used}
    return TextToSQLDataset(name, kept, refs, (*dropped, *refused))


def without_running(
    tasks: Iterable[TextToSQLTask],
    databases: Mapping[str, DatabaseRef],
    *,
    name: str = "dataset",
    dropped: Sequence[Dropped] = (),
) -> TextToSQLDataset:
    """Keep every task with an id and a database of its own, trusting its gold statement."""
    accepted, refused = _unique(tasks, databases)
    used = {task.database for task in accepted}
    refs = {key: ref for key, ref in databases.items() if key in used}
    return TextToSQLDataset(name, {task.task_id: task for task in accepted}, refs, (*dropped, *refused))


def drop_counts(dataset: TextToSQLDataset) -> dict[str, int]:
    """Number of dropped records per reason, most frequent first."""
    return dict(Counter(record.reason for record in dataset.dropped).most_common())


def pass_rate_filter(
    rates: Mapping[str, float], low: float = 0.0, high: float = 6 / 8, keep_zero: bool = False
) -> tuple[str, ...]:
    """Choose the questions worth training on: ``low < pass rate < high``. Source: TRUST-SQL, section 13.

    Args:
        rates: Share of right rollouts by task id, in [0, 1].
        low: Exclusive lower bound.
        high: Exclusive upper bound; the paper keeps fewer than 6 of 8.
        keep_zero: Also keep questions that were never solved; a group without reward gives no gradient.

    Raises:
        ConfigurationError: When a rate is outside [0, 1] or the bounds exclude everything.
    """
    if not 0.0 <= low < high:
        raise ConfigurationError(f"low={low} and high={high} exclude every question: expected 0 <= low < high.")
    for task_id, rate in rates.items():
        if not 0.0 <= rate <= 1.0:
            raise ConfigurationError(
                f"the pass rate of {task_id!r} is {rate!r}: expected a share in [0, 1], not a count."
            )
    return tuple(task_id for task_id, rate in rates.items() if low < rate < high or (keep_zero and rate == 0.0))


def restrict(dataset: TextToSQLDataset, task_ids: Iterable[str]) -> TextToSQLDataset:
    """The data set with only the given tasks, in its own order.

    Raises:
        ConfigurationError: When an id is not among its tasks.
    """
    wanted = set(task_ids)
    absent = sorted(wanted - set(dataset.tasks))
    if absent:
        raise ConfigurationError(
            f"{absent[0]!r} is no task of {dataset.name!r}: expected ids among its {len(dataset)} tasks."
        )
    return dataclasses.replace(dataset, tasks={key: task for key, task in dataset.tasks.items() if key in wanted})


def _unique(
    tasks: Iterable[TextToSQLTask], databases: Mapping[str, DatabaseRef]
) -> tuple[list[TextToSQLTask], list[Dropped]]:
    seen: set[str] = set()
    accepted, refused = [], []
    for task in tasks:
        if task.task_id in seen:
            refused.append(Dropped(task.task_id, "duplicate_id", "an earlier record has the same id"))
        elif task.database not in databases:
            refused.append(Dropped(task.task_id, "missing_database", f"no database {task.database!r}"))
            seen.add(task.task_id)
        else:
            accepted.append(task)
            seen.add(task.task_id)
    return accepted, refused


def _logged(name: str) -> Progress:
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_REPORTS:
            last = time.monotonic()
            logger.info("%s: %d of %d gold statements validated", name, done, total)

    return report


class _Meter:
    """Counts statements over threads."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._progress(self._done, self._total)


@dataclasses.dataclass(frozen=True)
class _Checks:
    """The checks of one call of :func:`validate`."""

    limits: QueryLimits
    memory: GoldCache
    refresh: bool
    require_rows: bool
    check_suite: bool
    open_database: OpenDatabase
    meter: _Meter

    def of_database(
        self, ref: DatabaseRef, tasks: Sequence[TextToSQLTask]
    ) -> list[tuple[TextToSQLTask, SchemaSubset | Dropped]]:
        """Judge all questions over one database."""
        try:
            catalogue, dialect, outcomes = self._run(ref, [task.gold_sql for task in tasks])
            places = [("", outcomes)]
            for position, url in enumerate(ref.suite if self.check_suite else ()):
                _, _, further = self._run(DatabaseRef(ref.name, url), [task.gold_sql for task in tasks])
                places.append((f"on suite database {position}: ", further))
        except DatabaseUnavailable as error:
            return [(task, Dropped(task.task_id, "missing_database", str(error))) for task in tasks]
        return [(task, self._judge(task, places, catalogue, dialect)) for task in tasks]

    def _run(self, ref: DatabaseRef, statements: Sequence[str]) -> tuple[Catalogue, str, dict[str, GoldOutcome]]:
        """Catalogue and dialect of a database, and the outcomes of the statements on it by statement hash."""
        database = self.open_database(ref, self.limits)
        try:
            catalogue, dialect = database.catalogue(), database.dialect
            lasting = dialect != "postgres"
            fingerprint = self.memory.fingerprint(ref, database.fingerprint) if lasting else ""
            known = self.memory.read(fingerprint, self.limits) if lasting and not self.refresh else {}
            fresh: dict[str, GoldOutcome] = {}
            try:
                for sql in statements:
                    key = statement_key(sql)
                    if key not in known:
                        known[key] = fresh[key] = self._outcome(database, sql)
                    self.meter.add(1)
            finally:
                # Hours of gold statements survive an interruption.
                if lasting and fresh:
                    self.memory.write(fingerprint, self.limits, fresh)
            return catalogue, dialect, known
        finally:
            database.close()

    def _outcome(self, database: GoldDatabase, sql: str) -> GoldOutcome:
        unread = dataclasses.replace(self.limits, keep_rows=1)
        result = database.execute(sql, unread)
        # Once more: a busy machine must not cost a good question for ever.
        return GoldOutcome.of(database.execute(sql, unread) if result.status == "timeout" else result)

    def _judge(
        self,
        task: TextToSQLTask,
        places: Sequence[tuple[str, Mapping[str, GoldOutcome]]],
        catalogue: Catalogue,
        dialect: str,
    ) -> SchemaSubset | Dropped:
        for position, (where, outcomes) in enumerate(places):
            outcome = outcomes[statement_key(task.gold_sql)]
            if outcome.status in _REASON_OF_STATUS:
                return Dropped(task.task_id, _REASON_OF_STATUS[outcome.status], where + outcome.message)
            if outcome.truncated:
                return Dropped(
                    task.task_id,
                    "gold_truncated",
                    f"{where}more than {self.limits.max_rows} rows or {self.limits.max_bytes} bytes",
                )
            if self.require_rows and position == 0 and outcome.status == "empty":
                return Dropped(task.task_id, "gold_empty", "the gold statement returns no row")
        try:
            schema = task.gold_schema or gold_schema(task.gold_sql, catalogue, dialect)
        except UnparseableSQL as error:
            return Dropped(task.task_id, "unparseable", str(error))
        except UnknownNames as error:
            reason = "schema_absent_table" if error.tables else "schema_absent_column"
            return Dropped(task.task_id, reason, str(error))
        return _existing(task.task_id, schema, catalogue)


def _existing(task_id: str, schema: SchemaSubset, catalogue: Catalogue) -> SchemaSubset | Dropped:
    declared = SchemaSubset.of(
        list(catalogue.tables),
        {table: [column.name for column in columns] for table, columns in catalogue.tables.items()},
    )
    tables, columns = sorted(schema.tables - declared.tables), sorted(schema.columns - declared.columns)
    if tables:
        return Dropped(task_id, "schema_absent_table", f"the gold schema names {', '.join(tables)}")
    if columns:
        return Dropped(task_id, "schema_absent_column", f"the gold schema names {', '.join(columns)}")
    return schema
