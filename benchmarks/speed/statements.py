"""Statements by class: what an agent asks of the catalogue, quick reads, and queries of a set cost."""

from __future__ import annotations

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
SORTING_MILLISECONDS = 5

_PROBES = 5
_CORRECTIONS = 8
_NEAR = 0.1
_FIRST_TRACKS = 40
_ALL_TRACKS = 3_503
_JOIN = (
    "SELECT g.Name, COUNT(*), ROUND(AVG(t.Milliseconds + p.PlaylistId), 2) FROM Genre AS g CROSS JOIN Playlist AS p "
    "CROSS JOIN Track AS t WHERE t.TrackId <= {tracks} GROUP BY "
)
WITHOUT_SORTING = f"{_JOIN}g.GenreId"
"""Groups come in the order of the outer table: 25 rows, no sorting."""

WITH_SORTING = f"{_JOIN}t.GenreId, g.GenreId % 2"
"""All joined rows are sorted before they are grouped."""


@dataclass(frozen=True, slots=True)
class StatementClass:
    """Statements of one kind, asked in turn.

    Attributes:
        name: Shown in the report.
        statements: SQL.
        explores: Whether an agent asks them while exploring the schema.
        raw_s: Rough cost in in-process ``sqlite3``, in seconds.
        target_ms: Cost that the statement was calibrated to, in milliseconds; None where it was not.
        sorts: Whether nearly all of the cost is sorting.
    """

    name: str
    statements: tuple[str, ...]
    explores: bool
    raw_s: float
    target_ms: int | None = None
    sorts: bool = False


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
        named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        tables = [name for (name,) in named]
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
        statement, raw_s = calibrate(connection, SORTING_MILLISECONDS / 1e3, WITH_SORTING)
        name = f"{SORTING_MILLISECONDS} ms of sorting"
        classes.append(StatementClass(name, (statement,), False, raw_s, SORTING_MILLISECONDS, sorts=True))
    return classes


def calibrate(connection: sqlite3.Connection, seconds: float, template: str = WITHOUT_SORTING) -> tuple[str, float]:
    """Find a join of about ``seconds``.

    Args:
        connection: On Chinook.
        seconds: What it should cost here.
        template: The join, with ``{tracks}`` for the number of tracks that take part.

    Returns:
        The statement (its result has at most 50 rows) and its least cost of a few runs, in seconds.

    Raises:
        DataError: The machine does it quicker than the database is large enough for.
    """
    tracks = _FIRST_TRACKS
    tried: list[tuple[str, float]] = []
    for _ in range(_CORRECTIONS):
        statement = template.format(tracks=tracks)
        cost = _seconds(connection, [statement])
        tried.append((statement, cost))
        if abs(cost / seconds - 1) < _NEAR:
            break
        wanted = min(_ALL_TRACKS, max(1, round(tracks * seconds / cost)))
        if wanted == tracks:
            break
        tracks = wanted
    statement, cost = min(tried, key=lambda item: abs(item[1] - seconds))
    if cost < seconds / 2:
        raise DataError(f"the dearest join took {cost:.4f} s, over {_ALL_TRACKS} tracks: expected {seconds} s.")
    return statement, cost


def _seconds(connection: sqlite3.Connection, statements: list[str]) -> float:
    costs = []
    for index in range(_PROBES):
        began = perf_counter()
        connection.execute(statements[index % len(statements)]).fetchall()
        costs.append(perf_counter() - began)
    return min(costs)
