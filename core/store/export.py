"""Export of a run store to Parquet: five tables for DuckDB, Polars, pandas or a spreadsheet.

JSON columns hold text that DuckDB reads as JSON: ``terms->>'correct'``, ``action->>'$'``. Numbers that JSON
has no form for are the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, which SQL casts back to DOUBLE.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fogline.core.jsonable import to_jsonable
from fogline.core.store.database import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from fogline.core.store.records import StoredEpisode
    from fogline.core.store.runs import OnCorrupt, RunStore

COLUMNS: Mapping[str, str] = {
    "episodes": """
        episode_id BIGINT, run_id VARCHAR, cell_key VARCHAR, env_id VARCHAR, task_id VARCHAR, seed BIGINT,
        attempt INTEGER, latest BOOLEAN, status VARCHAR, scored BOOLEAN, reward DOUBLE, turns INTEGER,
        malformed INTEGER, outcome JSON, metrics JSON, agent VARCHAR, simulator_version VARCHAR,
        wall_s DOUBLE, agent_s DOUBLE, env_s DOUBLE, model_calls BIGINT, prompt_tokens BIGINT,
        completion_tokens BIGINT, cost DOUBLE, retries INTEGER, failure_kind VARCHAR, failure_message VARCHAR,
        created_at VARCHAR""",
    "turns": """
        episode_id BIGINT, run_id VARCHAR, cell_key VARCHAR, env_id VARCHAR, task_id VARCHAR, seed BIGINT,
        latest BOOLEAN, turn INTEGER, seat VARCHAR, phase VARCHAR, malformed BOOLEAN, reward DOUBLE,
        terms JSON, observation JSON, action JSON, context_tokens INTEGER, action_tokens INTEGER,
        policy_version BIGINT""",
    "scores": """
        episode_id BIGINT, scorer VARCHAR, version VARCHAR, outcome JSON, reward DOUBLE,
        created_at VARCHAR""",
    "cells": "run_id VARCHAR, cell_key VARCHAR, config JSON",
    "runs": "run_id VARCHAR, created_at VARCHAR, command VARCHAR, config JSON, versions JSON",
}
_FLUSH_EVERY = 1000
_ROWS_PER_GROUP = 8192  # Parquet is written one group at a time: long observations must fit in memory
_MEMORY_LIMIT = "512MB"


def export(store: RunStore, folder: Path, run_id: str | None, on_corrupt: OnCorrupt) -> list[Path]:
    """Write one Parquet file a table into ``folder``; the body of :meth:`RunStore.export`.

    ``episodes`` holds every attempt; the column ``latest`` marks the one that stands for its key. ``cells``
    has a row for every pair of run and cell.

    Raises:
        StoreError: For an unreadable row (unless skipped) or an unknown run.
        StoreUnavailable: If the folder cannot be written.
    """
    import duckdb

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as scratch,
            _Staging(Path(scratch)) as staging,
        ):
            for stored in store.episodes(run_id=run_id, latest_only=False, on_corrupt=on_corrupt):
                staging.add("episodes", _episode_row(stored))
                for row in _turn_rows(stored):
                    staging.add("turns", row)
            for score in store.scores(run_id=run_id):
                outcome = _json(score.outcome)
                row = (score.episode_id, score.scorer, score.version, outcome, score.reward, score.created_at)
                staging.add("scores", row)
            for run in store.runs():
                if run_id in (None, run.run_id):
                    described = (run.command, _json(run.config), _json(run.versions))
                    staging.add("runs", (run.run_id, run.created_at, *described))
                    for cell in store.cells(run.run_id):
                        staging.add("cells", (run.run_id, cell.cell_key, _json(cell.config)))
            return [staging.write(name, folder) for name in COLUMNS]
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StoreUnavailable(f"folder={str(folder)!r} cannot be written ({error}): check its disk.", False) from error
    except duckdb.Error as error:
        raise StoreError(f"the export to {str(folder)!r} failed in DuckDB: {error}.") from error


class _Staging:
    """DuckDB tables in a scratch file, filled row by row, so that memory does not grow with the store."""

    def __init__(self, scratch: Path) -> None:
        import duckdb

        self._scratch = scratch
        self._connection = duckdb.connect(str(scratch / "staging.duckdb"))
        self._connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
        for name, columns in COLUMNS.items():
            self._connection.execute(f"CREATE TABLE {name} ({columns})")
        self._appenders = {name: self._connection.appender(name) for name in COLUMNS}
        self._pending = dict.fromkeys(COLUMNS, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, name: str, row: tuple[Any, ...]) -> None:
        self._appenders[name].append_row(*(_text(value) if isinstance(value, str) else value for value in row))
        self._pending[name] += 1
        if self._pending[name] >= _FLUSH_EVERY:
            self._appenders[name].flush()
            self._pending[name] = 0

    def write(self, name: str, folder: Path) -> Path:
        self._appenders[name].flush()
        partial = self._scratch / f"{name}.parquet"
        target = str(partial).replace("'", "''")
        self._connection.execute(
            f"COPY {name} TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROWS_PER_GROUP})"
        )
        return partial.replace(folder / partial.name)


def _episode_row(stored: StoredEpisode) -> tuple[Any, ...]:
    episode = stored.episode
    usage, failure = episode.usage, episode.failure
    reward = None if episode.reward is None else float(episode.reward)
    return (
        *(stored.id, stored.run_id, stored.cell_key, episode.env_id, episode.task_id, int(episode.seed)),
        *(stored.attempt, stored.latest, episode.status, episode.scored, reward, len(episode.turns)),
        sum(bool(turn.malformed) for turn in episode.turns),
        *(_json(episode.outcome), _json(episode.metrics), episode.agent, episode.simulator_version),
        *(float(usage.wall_s), float(usage.agent_s), float(usage.env_s), int(usage.model_calls)),
        *(int(usage.prompt_tokens), int(usage.completion_tokens), float(usage.cost), int(usage.retries)),
        *((None, None) if failure is None else (failure.kind, failure.message)),
        stored.created_at,
    )


def _turn_rows(stored: StoredEpisode) -> Iterator[tuple[Any, ...]]:
    episode = stored.episode
    key = (stored.id, stored.run_id, stored.cell_key, episode.env_id, episode.task_id, int(episode.seed))
    for index, turn in enumerate(episode.turns):
        version = None if turn.policy_version is None else int(turn.policy_version)
        yield (
            *key,
            *(stored.latest, index, turn.seat, turn.phase, bool(turn.malformed), float(turn.reward)),
            *(_json(turn.terms), _json(turn.observation), _json(turn.action)),
            *(len(turn.context_token_ids), len(turn.action_token_ids), version),
        )


def _json(value: Any) -> str:
    plain = to_jsonable(value)
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(plain), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _text(text: str) -> str:
    """Replace half surrogate pairs, which Python text may hold and Parquet's UTF-8 may not."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
