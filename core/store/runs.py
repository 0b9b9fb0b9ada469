"""The run store: runs, cells, episodes and scores, append-only, in a SQLite file or PostgreSQL.

A *run* is one command. A *cell* is one configuration, named by the hash of its content, so every run of
the same configuration meets in the same cell and a resumed run finds what an earlier one finished. A *key*
is one ``(cell, task, seed)``: it holds any number of failed attempts and at most one scored episode.
"""

from __future__ import annotations

import json
import math
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import sqlalchemy as sa

from fogline.core.episode import Episode
from fogline.core.errors import DataError, check_choice
from fogline.core.jsonable import from_jsonable
from fogline.core.redaction import redact_text
from fogline.core.store import database as tables
from fogline.core.store.database import Database, StoreError
from fogline.core.store.queries import (
    CELLS_PER_QUERY,
    check_episode,
    check_same_score,
    finished_keys,
    finished_keys_of,
    is_latest,
    known_attempts,
    number_attempts,
)
from fogline.core.store.records import (
    CellRecord,
    CellSummary,
    RunRecord,
    Score,
    StoredEpisode,
    canonical,
    decode,
    encode,
    installed_versions,
    key_of,
    read_config,
    score_row,
)

OnCorrupt = Literal["raise", "skip"]
_PAGE = 100  # episodes fetched at a time: a page of long transcripts still fits in a few megabytes


class RunStore:
    """Append-only store of runs, cells, episodes and scores.

    Any number of threads and processes may use one store at once, each through its own or (threads) a shared
    ``RunStore``. Whatever a method has returned from is on disk: a kill loses none of it.

    Args:
        url: Path of a SQLite file, or an SQLAlchemy URL (``sqlite:///PATH``, ``postgresql://USER@HOST/DATABASE``).
        create: Whether to make a missing file (folders included); False refuses it.
        busy_timeout_s: How long a write waits for other writers before it gives up, in seconds.

    Attributes:
        duplicates: Scored episodes that :meth:`add_episodes` left out because their key was finished already.
        corrupt_ids: Ids of the unreadable rows that ``on_corrupt="skip"`` passed over.

    Raises:
        ConfigurationError: For a URL of another database, or of one in memory.
        MissingDependencyError: When psycopg is absent and the URL is PostgreSQL's.
        StoreError: For a file that is no run store, a damaged one, or one of an unknown schema version.
        StoreUnavailable: When the file or server cannot be opened.
    """

    def __init__(self, url: str | Path, *, create: bool = True, busy_timeout_s: float = 30.0) -> None:
        """Open the store."""
        self._database = Database(url, create=create, busy_timeout_s=busy_timeout_s)
        self.duplicates = 0
        self.corrupt_ids: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RunStore({self._database.name!r})"

    def close(self) -> None:
        """Release the connections."""
        self._database.engine.dispose()

    def begin_run(self, command: str, config: Mapping[str, Any], versions: Mapping[str, str] | None = None) -> str:
        """Record that a command starts and return its new, unique run id.

        Args:
            command: The command line or entry point; secrets in it are redacted.
            config: Its configuration; secrets in it are redacted.
            versions: Package versions; :func:`installed_versions` when None.
        """
        created_at = tables.now()
        compact = created_at[:26].translate(str.maketrans("", "", "-:."))
        row = {
            "run_id": f"{compact}-{uuid.uuid4().hex[:8]}",
            "created_at": created_at,
            "command": redact_text(command),
            "config": canonical(config),
            "versions": json.dumps(dict(installed_versions() if versions is None else versions), sort_keys=True),
        }
        self._database.write(lambda connection: connection.execute(sa.insert(tables.runs), row))
        return row["run_id"]

    def add_cell(self, run_id: str, config: Mapping[str, Any]) -> str:
        """Make a configuration one of the run's cells (again: no change) and return its key.

        Raises:
            StoreError: If the run is not in this store.
        """
        return self.add_cells(run_id, [config])[0]

    def add_cells(self, run_id: str, configs: Iterable[Mapping[str, Any]]) -> list[str]:
        """As :meth:`add_cell` for many configurations in one transaction; returns their keys in order."""
        rows = [{"cell_key": key_of(text), "config": text} for text in map(canonical, configs)]
        links = [{"run_id": run_id, "cell_key": row["cell_key"]} for row in rows]

        def add(connection: sa.Connection) -> None:
            self._check_run(connection, run_id)
            if rows:
                connection.execute(self._database.insert_or_ignore(tables.cells), _by_key(rows))
                connection.execute(self._database.insert_or_ignore(tables.run_cells), _by_key(links))

        self._database.write(add)
        return [row["cell_key"] for row in rows]

    def finished(self, cell_key: str) -> set[tuple[str, int]]:
        """Return ``(task_id, seed)`` of every scored episode of a cell, whichever run wrote it."""
        with self._database.read() as connection:
            return {(task_id, seed) for task_id, seed in connection.execute(finished_keys(cell_key))}

    def finished_in(self, cell_keys: Iterable[str]) -> dict[str, set[tuple[str, int]]]:
        """As :meth:`finished` for many cells at once, by key; cells that have nothing finished are left out."""
        keys = list(cell_keys)
        found: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        with self._database.read() as connection:
            for start in range(0, len(keys), CELLS_PER_QUERY):
                for key, task_id, seed in connection.execute(finished_keys_of(keys[start : start + CELLS_PER_QUERY])):
                    found[key].add((task_id, seed))
        return dict(found)

    def add_episodes(self, run_id: str, cell_key: str, episodes: Iterable[Episode]) -> int:
        """Store episodes in one transaction: all of them or, on an error, none.

        A scored episode whose key is finished already is left out and counted in :attr:`duplicates`. Failed
        attempts are all kept and numbered.

        Returns:
            Number of rows written.

        Raises:
            DataError: For an episode without a JSON form, or with a seed outside 64 bits.
            StoreError: If the cell is not one of the run's (see :meth:`add_cell`).
            StoreUnavailable: If the database is locked, full or gone.
        """
        return self._add(run_id, [cell_key], [encode(run_id, cell_key, episode) for episode in episodes])

    def add_episodes_of_cells(self, run_id: str, episodes: Iterable[tuple[str, Episode]]) -> int:
        """As :meth:`add_episodes` for episodes of several cells, each with its cell's key, in one transaction."""
        encoded = [encode(run_id, cell_key, episode) for cell_key, episode in episodes]
        return self._add(run_id, {row["cell_key"] for row in encoded}, encoded)

    def episodes(
        self,
        *,
        run_id: str | None = None,
        cell_key: str | None = None,
        env_id: str | None = None,
        status: str | None = None,
        latest_only: bool = True,
        limit: int | None = None,
        offset: int = 0,
        on_corrupt: OnCorrupt = "raise",
    ) -> Iterator[StoredEpisode]:
        """Stream episodes in the order they were stored, as of the moment the iteration begins.

        Args:
            run_id: Only cells of this run. Episodes that another run added to such a cell are included, so a
                resumed run shows the whole of its results; ``StoredEpisode.run_id`` says who wrote which.
            cell_key: Only this cell.
            env_id: Only this environment.
            status: Only this status.
            latest_only: One episode a key: the scored one, or the last attempt while none is scored. The
                other filters choose among these. False yields every attempt.
            limit: At most so many.
            offset: Leave out so many first.
            on_corrupt: ``"raise"``, or ``"skip"`` to pass over unreadable rows and note them in
                ``corrupt_ids``.

        Raises:
            StoreError: For an unreadable row (naming its id) or an unknown run.
        """
        check_choice("on_corrupt", on_corrupt, ("raise", "skip"))
        table = tables.episodes.c
        query = sa.select(tables.episodes, is_latest().label("latest")).order_by(table.id)
        query = query.where(*self._in_cells(table.cell_key, run_id, cell_key))
        if env_id is not None:
            query = query.where(table.env_id == env_id)
        if status is not None:
            query = query.where(table.status == status)
        if latest_only:
            query = query.where(is_latest())
        if limit is not None or offset:
            query = query.limit(-1 if limit is None and self._database.sqlite else limit).offset(offset)
        return self._stream(query, on_corrupt)

    def add_scores(self, scores: Iterable[Score]) -> int:
        """Store what scorers say, in one transaction; an equal score that is there already is left out.

        Returns:
            Number of rows written.

        Raises:
            StoreError: For an unknown episode, or when the same scorer and version said something else
                before.
        """
        rows = [score_row(score) for score in scores]

        def add(connection: sa.Connection) -> int:
            written = 0
            # RETURNING, because drivers do not agree on the row count of an insert that may do nothing.
            insert = self._database.insert_or_ignore(tables.scores).returning(tables.scores.c.episode_id)
            for row in rows:
                check_episode(connection, row["episode_id"])
                if connection.execute(insert, row).first() is None:
                    check_same_score(connection, row)
                else:
                    written += 1
            return written

        return self._database.write(add)

    def scores(
        self,
        *,
        scorer: str | None = None,
        version: str | None = None,
        run_id: str | None = None,
        cell_key: str | None = None,
    ) -> Iterator[Score]:
        """Stream scores by episode, scorer and version; filters as in :meth:`episodes`."""
        table = tables.scores.c
        query = sa.select(tables.scores).order_by(table.episode_id, table.scorer, table.version)
        if scorer is not None:
            query = query.where(table.scorer == scorer)
        if version is not None:
            query = query.where(table.version == version)
        if run_id is not None or cell_key is not None:
            query = query.join(tables.episodes, tables.episodes.c.id == table.episode_id)
            query = query.where(*self._in_cells(tables.episodes.c.cell_key, run_id, cell_key))
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=_PAGE).execute(query):
                outcome = from_jsonable(json.loads(row.outcome))
                yield Score(row.episode_id, row.scorer, row.version, outcome, row.reward, row.created_at)

    def runs(self) -> list[RunRecord]:
        """Return every run, oldest first."""
        query = sa.select(tables.runs).order_by(tables.runs.c.created_at, tables.runs.c.run_id)
        with self._database.read() as connection:
            return [
                RunRecord(row.run_id, row.created_at, row.command, read_config(row.config), json.loads(row.versions))
                for row in connection.execute(query)
            ]

    def cells(self, run_id: str | None = None) -> list[CellRecord]:
        """Return the cells of one run, or all of them, by key.

        Raises:
            StoreError: If the run is not in this store.
        """
        query = sa.select(tables.cells).where(*self._in_cells(tables.cells.c.cell_key, run_id, None))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(tables.cells.c.cell_key)).all()
        return [CellRecord(row.cell_key, read_config(row.config)) for row in rows]

    def summary(self, run_id: str) -> list[CellSummary]:
        """Count a run's cells, by key; what earlier runs added to a cell counts, too.

        Raises:
            StoreError: If the run is not in this store.
        """
        return [self._summarise(cell, run_id) for cell in self.cells(run_id)]

    def export(self, folder: str | Path, *, run_id: str | None = None, on_corrupt: OnCorrupt = "raise") -> list[Path]:
        """Write ``episodes``, ``turns``, ``scores``, ``cells`` and ``runs`` as Parquet; see ``store_export``.

        Args:
            folder: Where to; made when missing. Files of an earlier export are replaced, each at once.
            run_id: Only cells of this run; everything when None.
            on_corrupt: As in :meth:`episodes`.

        Returns:
            The written files.
        """
        from fogline.core.store.export import export

        return export(self, Path(folder), run_id, on_corrupt)

    def _add(self, run_id: str, cell_keys: Iterable[str], encoded: list[dict[str, Any]]) -> int:
        def add(connection: sa.Connection) -> int:
            # In one order for every writer, lest two of them wait for each other's cells.
            for key in sorted(cell_keys):
                self._lock_cell(connection, run_id, key)
            rows = number_attempts(encoded, known_attempts(connection, encoded))
            if rows:
                connection.execute(sa.insert(tables.episodes), rows)
            return len(rows)

        written = self._database.write(add)
        self.duplicates += len(encoded) - written
        return written

    def _stream(self, query: sa.Select[Any], on_corrupt: OnCorrupt) -> Iterator[StoredEpisode]:
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=_PAGE).execute(query):
                try:
                    episode = decode(row)
                except DataError as error:
                    if on_corrupt == "raise":
                        raise StoreError(f"{self!r}: {error}, or pass on_corrupt='skip' to leave it out.") from error
                    self.corrupt_ids.add(row.id)
                    continue
                latest = bool(row.latest)
                yield StoredEpisode(row.id, row.run_id, row.cell_key, row.attempt, latest, row.created_at, episode)

    def _summarise(self, cell: CellRecord, run_id: str) -> CellSummary:
        table = tables.episodes.c
        query = sa.select(table.run_id, table.status, table.scored, table.reward, is_latest().label("latest"))
        attempts = written = 0
        statuses: Counter[str] = Counter()
        rewards: list[float | None] = []
        with self._database.read() as connection:
            chosen = query.where(table.cell_key == cell.cell_key)
            for row in connection.execution_options(yield_per=1000).execute(chosen):
                attempts += 1
                written += row.run_id == run_id
                statuses[row.status] += bool(row.latest)
                if row.scored:
                    rewards.append(row.reward)
        known = [reward for reward in rewards if reward is not None]
        episodes = statuses.total()
        return CellSummary(
            cell_key=cell.cell_key,
            config=cell.config,
            episodes=episodes,
            attempts=attempts,
            written=written,
            scored=len(rewards),
            failed=episodes - len(rewards),
            statuses={status: count for status, count in sorted(statuses.items()) if count},
            mean_reward=math.fsum(known) / len(known) if known and len(known) == len(rewards) else None,
        )

    def _in_cells(self, column: Any, run_id: str | None, cell_key: str | None) -> list[Any]:
        conditions = []
        if run_id is not None:
            with self._database.read() as connection:
                self._check_run(connection, run_id)
            link = tables.run_cells.c
            conditions.append(column.in_(sa.select(link.cell_key).where(link.run_id == run_id)))
        if cell_key is not None:
            conditions.append(column == cell_key)
        return conditions

    def _check_run(self, connection: sa.Connection, run_id: str) -> None:
        if connection.execute(sa.select(tables.runs.c.run_id).where(tables.runs.c.run_id == run_id)).first() is None:
            raise StoreError(f"run_id={run_id!r} is not in {self!r}: expected an id that begin_run() returned.")

    def _lock_cell(self, connection: sa.Connection, run_id: str, cell_key: str) -> None:
        # PostgreSQL: one writer a cell, so that attempts are numbered in turn. SQLite has one writer anyway.
        link, cells = tables.run_cells, tables.cells
        query = sa.select(cells.c.cell_key).join(link, link.c.cell_key == cells.c.cell_key)
        query = query.where(link.c.run_id == run_id, link.c.cell_key == cell_key)
        if connection.execute(query.with_for_update(of=cells, key_share=True)).first() is None:
            raise StoreError(
                f"cell_key={cell_key!r} is not a cell of run_id={run_id!r} in {self!r}: "
                "call add_cell(run_id, config) first."
            )


def _by_key(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each cell once, in one order for every writer, lest two of them wait for each other's rows."""
    return [row for _, row in sorted({row["cell_key"]: row for row in rows}.items())]
