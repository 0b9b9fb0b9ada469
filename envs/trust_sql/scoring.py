"""The rewards of TRUST-SQL and what is measured beside them, from a final answer and its gold."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from fogline.core.errors import DataError
from fogline.envs.trust_sql.metrics import soft_f1_of
from fogline.envs.trust_sql.protocol import Protocol, missing
from fogline.envs.trust_sql.taxonomy import error_class
from fogline.simulators.databases.comparators import compare, compare_suite, result_key
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.gold_schema import gold_schema
from fogline.simulators.databases.records import DatabaseRef, QueryLimits, QueryResult, SchemaSubset, TextToSQLTask
from fogline.simulators.databases.schema_scores import schema_reward, schema_score

EXECUTION_RIGHT = 1.0
EXECUTION_RAN = 0.2
FORMAT = 0.1
_GOLDS_KEPT = 64
# Explaining a statement names its tables and reads none. The quantifiers are possessive: time stays linear.
_EXPLAIN = re.compile(r"(?>\s+|--[^\n]*+|/\*.*?\*/)*+explain\b", re.IGNORECASE | re.DOTALL)


def reward_limits(seconds: float) -> QueryLimits:
    """Bounds of the statements that decide a reward; a result that they cut equals nothing."""
    return QueryLimits(seconds=seconds, max_rows=200_000, max_bytes=64 * 2**20)


@dataclass(frozen=True, slots=True)
class Answer:
    """How an episode ended, as far as scoring is concerned.

    Attributes:
        sql: The confirmed statement; None when none was confirmed.
        malformed: The last turn could not be read.
        result: What the confirmed statement gave.
    """

    sql: str | None = None
    malformed: bool = False
    result: QueryResult | None = None


class Scorer:
    """Scores answers against hidden golds; golds are run once and remembered.

    Args:
        comparator: ``bird``, ``spider`` or ``strict``; the same in training and evaluation.
        schema_mode: How proposals are paid: ``truematch``, ``totalmatch``, ``recall_then_precision_strict``.
        limits: Bounds of the reward queries. A result that they cut is never equal to anything.
    """

    def __init__(self, comparator: str, schema_mode: str, limits: QueryLimits) -> None:
        self.comparator = comparator
        self.schema_mode = schema_mode
        self.limits = limits
        self._golds: OrderedDict[str, tuple[QueryResult, SchemaSubset]] = OrderedDict()
        self._suites: dict[str, list[Database]] = {}

    def gold(self, task: TextToSQLTask, database: Database) -> tuple[QueryResult, SchemaSubset]:
        """Gold result and gold schema of a task.

        Raises:
            DataError: The gold statement fails; nothing can be scored against it.
        """
        known = self._golds.get(task.task_id)
        if known is None:
            schema = task.gold_schema or gold_schema(task.gold_sql, database.catalogue(), database.dialect)
            known = database.execute(task.gold_sql, self.limits), schema
            if not known[0].ran:
                raise DataError(
                    f"the gold SQL of task {task.task_id!r} fails ({known[0].status}: {known[0].message}): expected "
                    "one that runs. Load with validate=True, which drops such records, or raise seconds_per_query."
                )
            self._golds[task.task_id] = known
            if len(self._golds) > _GOLDS_KEPT:
                self._golds.popitem(last=False)
        return known

    def execution(self, task: TextToSQLTask, database: Database, answer: Answer) -> float:
        """Execution reward: 1 right, 0.2 a query over the database's tables that ran, 0 otherwise (section 10.1)."""
        if answer.result is None or not answer.result.ran or not self._reads_base_table(database, answer.result):
            return 0.0
        if _EXPLAIN.match(answer.sql or ""):
            return 0.0
        return EXECUTION_RIGHT if self.is_right(task, database, answer) else EXECUTION_RAN

    def is_right(self, task: TextToSQLTask, database: Database, answer: Answer) -> bool:
        """Whether predicted and gold results are equal under the comparator, over the whole suite for ``spider``."""
        gold, _ = self.gold(task, database)
        if answer.result is None:
            return False
        if self.comparator == "spider":
            populations = [database, *self._populations(database)]
            return compare_suite(
                answer.sql or "", task.gold_sql, populations, limits=self.limits, dialect=database.dialect
            )
        return compare(answer.result, gold, self.comparator, gold_sql=task.gold_sql, dialect=database.dialect)

    def score(
        self, task: TextToSQLTask, database: Database, protocol: Protocol, answer: Answer, boundary: str
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Session-level reward terms and metrics of a finished episode."""
        execution = self.execution(task, database, answer)
        right = execution == EXECUTION_RIGHT
        proposed = _in_force(protocol, boundary)
        gold, wanted = self.gold(task, database)
        outcome = {
            "execution": execution,
            "format": FORMAT if answer.sql is not None and protocol.earns_format() else 0.0,
            "schema": schema_reward(proposed, wanted, right, self.schema_mode),
        }
        checkpoint, schema_end = protocol.boundary(boundary)
        metrics: dict[str, Any] = {
            "ex": float(right),
            "database": task.database,
            "difficulty": task.difficulty,
            "soft_f1": soft_f1_of(answer.result, gold) if answer.result is not None else 0.0,
            "final_sql": answer.sql,
            "answer_key": result_key(answer.result, self.comparator) if answer.result is not None else None,
            "rows_truncated": answer.result is not None and answer.result.truncated,
            "checkpoint_turn": checkpoint,
            "schema_end_turn": schema_end,
            "phases": list(protocol.phases),
            "violations": [list(item) for item in protocol.violations],
            "complaints": protocol.complaints,
            "proposals": [_proposal_row(item) for item in protocol.proposals],
        }
        metrics.update(_schema_metrics(proposed, wanted))
        metrics.update(self._linking(database, protocol, answer, right, wanted))
        return outcome, metrics

    def _linking(
        self, database: Database, protocol: Protocol, answer: Answer, right: bool, wanted: SchemaSubset
    ) -> dict[str, Any]:
        """Names in the final statement against the database, what was seen, and the gold schema (section 17)."""
        used = database.identifiers(answer.sql) if answer.sql else None
        unknown = sorted({*used.unknown_tables, *used.unknown_columns}) if used else []
        ungrounded = missing(used.known, protocol.observed.seen()) if used else ()
        return {
            "hallucinated": bool(unknown),
            "hallucinated_names": unknown,
            "ungrounded": bool(ungrounded or unknown),
            "ungrounded_names": sorted({*ungrounded, *unknown}),
            "error_class": error_class(
                result=answer.result,
                correct=right,
                used=used,
                gold=wanted,
                last_turn_malformed=answer.malformed,
                ran_out=answer.sql is None,
            ),
        }

    def outside(self, sql: str, proposed: SchemaSubset, database: Database) -> tuple[str, ...]:
        """Names that a statement uses and the proposal lacks; none where the statement cannot be read."""
        return missing(database.identifiers(sql).known, proposed)

    def note_outside_proposals(self, protocol: Protocol, database: Database) -> None:
        """Book generate turns that used more than the proposal in force; done once, when the episode ends.

        Reading a statement takes sqlglot some milliseconds, which no turn should pay in ``soft`` mode.
        """
        for turn, sql, proposals in protocol.generated:
            if proposals and self.outside(sql, protocol.proposals[proposals - 1].schema, database):
                protocol.violations.append((turn, "generate_outside_proposal"))
        protocol.violations.sort()

    def at_hand(self, task: TextToSQLTask, database: Database, sql: str) -> bool:
        """Whether scoring an answer needs no database: its statement and the gold were run before."""
        if self.comparator == "spider" or not database.remembers(sql, self.limits):
            return False
        return task.task_id in self._golds or database.remembers(task.gold_sql, self.limits)

    def close(self) -> None:
        """Let go of the further populations."""
        for databases in self._suites.values():
            for database in databases:
                database.close()
        self._suites.clear()

    def _populations(self, database: Database) -> list[Database]:
        name = database.ref.name
        if name not in self._suites:
            self._suites[name] = [Database(DatabaseRef(name, url), self.limits) for url in database.ref.suite]
        return self._suites[name]

    @staticmethod
    def _reads_base_table(database: Database, result: QueryResult) -> bool:
        return any(name.lower() in result.tables for name in database.catalogue().tables)


def _in_force(protocol: Protocol, boundary: str) -> SchemaSubset | None:
    if not protocol.proposals:
        return None
    return protocol.proposals[-1 if boundary == "last" else 0].schema


def _schema_metrics(proposed: SchemaSubset | None, wanted: SchemaSubset) -> dict[str, float]:
    score = schema_score(proposed, wanted)
    return {
        "schema_exact": float(score.exact),
        "schema_table_precision": score.table_precision,
        "schema_table_recall": score.table_recall,
        "schema_column_precision": score.column_precision,
        "schema_column_recall": score.column_recall,
    }


def _proposal_row(proposal: Any) -> dict[str, Any]:
    return {
        "turn": proposal.turn,
        "tables": sorted(proposal.schema.tables),
        "columns": sorted(proposal.schema.columns),
        "ungrounded": list(proposal.ungrounded),
    }
