"""The vocabulary of the database world: limits, query results, schemas, tasks, data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from fogline.core.errors import InfrastructureError

QueryStatus = Literal["ok", "empty", "error", "timeout", "forbidden", "too_large"]
QUERY_STATUSES: tuple[QueryStatus, ...] = get_args(QueryStatus)

ErrorClass = Literal["", "syntax", "missing_table", "missing_column", "resource", "runtime"]

Row = tuple[Any, ...]


class DatabaseUnavailable(InfrastructureError):
    """A database does not open, or its server is gone: the world's failure, never the statement's."""


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What one statement may cost.

    Attributes:
        seconds: Wall-clock limit of a statement.
        max_rows: Rows fetched at most; a longer result has ``truncated=True``.
        keep_rows: Rows sent back; further ones are only counted, in ``row_count``. None sends all that were fetched.
        max_bytes: Bytes of cell content fetched at most; past it the result is truncated.
        max_cell_bytes: A single larger cell ends the statement as ``too_large``.
        memory_bytes: Address-space limit of the worker process.
        grace_seconds: How long after ``seconds`` a worker that does not stop by itself is killed.
    """

    seconds: float = 10.0
    max_rows: int = 10_000
    keep_rows: int | None = None
    max_bytes: int = 16 * 2**20
    max_cell_bytes: int = 1 * 2**20
    memory_bytes: int = 1 * 2**30
    grace_seconds: float = 0.25


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a statement gave. Rewards read ``status`` and ``rows``, never the text.

    Attributes:
        status: ``ok``, ``empty`` (ran, no rows), ``error``, ``timeout``, ``forbidden`` or ``too_large``.
        columns: Column names of the result.
        rows: Up to ``max_rows`` rows of plain Python values (None, bool, int, float, str, bytes).
        row_count: Rows that the engine gave within the limits; more than ``len(rows)`` where ``keep_rows`` says so.
        truncated: Whether the engine had more rows than a limit allowed.
        error_class: Kind of error where ``status`` is ``error``.
        message: The engine's message, free of file paths.
        tables: Base tables and views the engine really read, lower-cased (schema tables of the engine included).
        metadata_only: Whether the statement read nothing but the catalogue, TRUST-SQL's test of an exploration.
        seconds: Time spent in the engine; not deterministic.
    """

    status: QueryStatus
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    row_count: int = 0
    truncated: bool = False
    error_class: ErrorClass = ""
    message: str = ""
    tables: frozenset[str] = frozenset()
    metadata_only: bool = False
    seconds: float = field(default=0.0, compare=False)

    @property
    def ran(self) -> bool:
        """True when the statement executed to the end of its (possibly truncated) result."""
        return self.status in ("ok", "empty")


@dataclass(frozen=True, slots=True)
class SchemaSubset:
    """A set of tables and ``table.column`` names, all lower-cased: a proposal or a gold schema."""

    tables: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()

    @classmethod
    def of(cls, tables: Sequence[str], columns: Mapping[str, Sequence[str]]) -> SchemaSubset:
        """Build from names as written; keys of ``columns`` are table names."""
        pairs = frozenset(f"{table.lower()}.{column.lower()}" for table, names in columns.items() for column in names)
        return cls(frozenset(table.lower() for table in tables), pairs)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the catalogue: name as declared, type text, whether it is in the primary key."""

    name: str
    type: str
    primary_key: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """``table.column`` refers to ``parent_table.parent_column``."""

    table: str
    column: str
    parent_table: str
    parent_column: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The true schema of a database: what the agent has to find out.

    Attributes:
        tables: Columns of each base table and view, by name as declared, in declaration order.
        views: Names of those entries of ``tables`` that are views.
        foreign_keys: Declared references.
    """

    tables: Mapping[str, tuple[Column, ...]]
    views: frozenset[str] = frozenset()
    foreign_keys: tuple[ForeignKey, ...] = ()


@dataclass(frozen=True, slots=True)
class DatabaseRef:
    """Where a database is.

    Attributes:
        name: The ``db_id``.
        url: SQLAlchemy-style URL: ``sqlite:///PATH``, ``duckdb:///PATH`` or ``postgresql://…``.
        suite: URLs of further databases with the same schema and other rows (test-suite comparison).
    """

    name: str
    url: str
    suite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextToSQLTask:
    """One question with its hidden gold.

    Attributes:
        task_id: Unique within its data set.
        database: ``db_id`` of its database.
        question: The user's words.
        gold_sql: Gold statement in the dialect of the database.
        evidence: External knowledge shown with the question.
        gold_schema: Overrides the schema derived from ``gold_sql``.
        paraphrases: Other wordings of the same question.
        difficulty: ``easy``, ``medium``, ``hard``, ``extra`` or what the source says.
        families: Structural families, e.g. ``("join_2", "window")``.
    """

    task_id: str
    database: str
    question: str
    gold_sql: str
    evidence: str = ""
    gold_schema: SchemaSubset | None = None
    paraphrases: tuple[str, ...] = ()
    difficulty: str = "unknown"
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that was not kept, and why."""

    task_id: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class TextToSQLDataset:
    """Tasks with their databases.

    Attributes:
        name: What the data set is called in reports.
        tasks: Kept tasks by id, in order.
        databases: Databases by name.
        dropped: Records that validation refused, with reasons.
    """

    name: str
    tasks: Mapping[str, TextToSQLTask]
    databases: Mapping[str, DatabaseRef]
    dropped: tuple[Dropped, ...] = ()

    def __iter__(self) -> Iterator[TextToSQLTask]:
        """Iterate over the kept tasks."""
        return iter(self.tasks.values())

    def __len__(self) -> int:
        """Number of kept tasks."""
        return len(self.tasks)
