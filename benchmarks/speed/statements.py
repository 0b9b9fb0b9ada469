"""Statements by class: what an agent asks of the catalogue, quick reads, and queries of a set cost."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from fogline.core.errors import DataError
from fogline.simulators.databases.records import DatabaseRef, TextToSQLDataset, TextToSQLTask

DATABASE = "chinook"
METADATA, ONE_ROW, THIRTY_ROWS = "metadata", "light, 1 row", "light, 30 rows"
TIMED_MILLISECONDS = (1, 5, 50)

_PROBES = 5
_CORRECTIONS = 8
_NEAR = 0.1
_FIRST_PAIRS = 20_000
_MOST_PAIRS = 2_000**2
"""Chinook has 2,240 invoice lines and 3,503 tracks."""


@dataclass(frozen=True, slots=True)
class StatementClass:
    """Statements of one kind, asked in turn.

    Attributes:
        name: Shown in the report.
        statements: SQL.
        explores: Whether an agent asks them while exploring the schema.
        raw_s: Rough cost in in-process ``sqlite3``, in seconds.
        target_ms: Cost that the statement was calibrated to, in milliseconds; None where it was not.
    """

    name: str
    statements: tuple[str, ...]
    explores: bool
    raw_s: float
    target_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """The database that statements run on.

    Attributes:
        path: The SQLite file.
        dataset: A data set with one task on it.
    """

    path: Path
    dataset: TextToSQLDataset

    @classmethod
    def bundled(cls) -> Ground:
        """The Chinook database that comes with fogline."""
        from fogline.simulators.databases.bundled import bundled_database

        reference = bundled_database(DATABASE)
        return cls.of(reference)

    @classmethod
    def of(cls, reference: DatabaseRef) -> Ground:
        """A SQLite database by reference."""
        task = TextToSQLTask("speed-1", reference.name, "How many tracks are there?", "SELECT COUNT(*) FROM Track")
        dataset = TextToSQLDataset("speed", {task.task_id: task}, {reference.name: reference})
        return cls(Path(reference.url.removeprefix("sqlite:///")), dataset)

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """The raw cost: the standard library's connection, opened as fogline's worker opens it.

        ``immutable`` spares SQLite the file locks: without it the raw statement would be slower, and what
        fogline adds would look smaller.
        """
        uri = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            yield connection


def statement_classes(ground: Ground) -> list[StatementClass]:
    """Every class, those of a set cost calibrated on this machine now."""
    with ground.connect() as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
        metadata = [f'PRAGMA table_info("{table}")' for table in tables]
        point = [f"SELECT * FROM Track WHERE TrackId = {number}" for number in range(1, 1001)]
        page = [
            f"SELECT TrackId, Name, Composer, Milliseconds FROM Track WHERE TrackId >= {number} LIMIT 30"
            for number in range(1, 1001)
        ]
        classes = [
            StatementClass(METADATA, tuple(metadata), True, _seconds(connection, metadata)),
            StatementClass(ONE_ROW, tuple(point), False, _seconds(connection, point)),
            StatementClass(THIRTY_ROWS, tuple(page), False, _seconds(connection, page)),
        ]
        for milliseconds in TIMED_MILLISECONDS:
            statement, raw_s = calibrate(connection, milliseconds / 1e3)
            classes.append(StatementClass(f"{milliseconds} ms", (statement,), False, raw_s, milliseconds))
    return classes


def calibrate(connection: sqlite3.Connection, seconds: float) -> tuple[str, float]:
    """Find a join of about ``seconds``.

    Returns:
        The statement (its result has at most 25 rows) and its least cost of a few runs, in seconds.

    Raises:
        DataError: The machine does it quicker than the database is large enough for.
    """
    pairs = _FIRST_PAIRS
    tried: list[tuple[str, float]] = []
    for _ in range(_CORRECTIONS):
        statement = _join(pairs)
        cost = _seconds(connection, [statement])
        tried.append((statement, cost))
        if abs(cost / seconds - 1) < _NEAR:
            break
        pairs = min(_MOST_PAIRS, max(100, int(pairs * seconds / cost)))
    statement, cost = min(tried, key=lambda item: abs(item[1] - seconds))
    if cost < seconds / 2:
        raise DataError(f"the dearest join took {cost:.4f} s, over {_MOST_PAIRS} pairs of rows: expected {seconds} s.")
    return statement, cost


def _join(pairs: int) -> str:
    side = math.isqrt(pairs)
    return (
        "SELECT b.GenreId, COUNT(*), ROUND(AVG(a.UnitPrice * b.Milliseconds), 2) FROM InvoiceLine AS a CROSS JOIN Track AS b "
        f"WHERE a.InvoiceLineId <= {side} AND b.TrackId <= {side} GROUP BY b.GenreId ORDER BY b.GenreId"
    )


def _seconds(connection: sqlite3.Connection, statements: list[str]) -> float:
    costs = []
    for index in range(_PROBES):
        began = perf_counter()
        connection.execute(statements[index % len(statements)]).fetchall()
        costs.append(perf_counter() - began)
    return min(costs)
