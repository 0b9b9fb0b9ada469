"""The run store's longer questions to its tables, and the rules for numbering attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from fogline.core.store import database as tables
from fogline.core.store.database import StoreError

EpisodeKey = tuple[str, str, int]
"""Cell, task and seed."""
_KEYS_PER_QUERY = 400
CELLS_PER_QUERY = 10_000
"""Cells asked about at once: databases take a limited number of parameters."""


def is_latest() -> sa.ColumnElement[bool]:
    """Whether a row of ``episodes`` stands for its key."""
    row, other = tables.episodes.c, tables.episodes.alias("other")
    better = (
        sa.select(sa.literal(1))
        .select_from(other)
        .where(
            *(other.c[name] == row[name] for name in ("cell_key", "task_id", "seed")),
            sa.or_(other.c.scored, other.c.attempt > row.attempt),
        )
    )
    return sa.or_(row.scored, sa.not_(better.correlate(tables.episodes).exists()))


def finished_keys(cell_key: str) -> sa.Select[Any]:
    """Select ``(task_id, seed)`` of a cell's scored episodes."""
    table = tables.episodes.c
    return sa.select(table.task_id, table.seed).where(table.cell_key == cell_key, table.scored)


def finished_keys_of(cell_keys: Sequence[str]) -> sa.Select[Any]:
    """Select ``(cell_key, task_id, seed)`` of the scored episodes of some cells."""
    wanted = sa.values(sa.column("cell_key", sa.Text), name="wanted").data([(key,) for key in cell_keys]).cte("wanted")
    table = tables.episodes.c
    query = sa.select(table.cell_key, table.task_id, table.seed)
    return query.join_from(wanted, tables.episodes, sa.and_(table.cell_key == wanted.c.cell_key, table.scored))


def attempts_of(keys: Sequence[EpisodeKey]) -> sa.Select[Any]:
    """Select ``(cell_key, task_id, seed, attempt, scored)`` of every attempt at some keys."""
    # A join, because SQLite looks up `(a, b) IN (VALUES …)` by walking the whole cell.
    columns = (sa.column("cell_key", sa.Text), sa.column("task_id", sa.Text), sa.column("seed", sa.BigInteger))
    wanted = sa.values(*columns, name="wanted").data(list(keys)).cte("wanted")
    table = tables.episodes.c
    same = (table[name] == wanted.c[name] for name in ("cell_key", "task_id", "seed"))
    query = sa.select(table.cell_key, table.task_id, table.seed, table.attempt, table.scored)
    return query.join_from(wanted, tables.episodes, sa.and_(*same))


def known_attempts(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> dict[EpisodeKey, tuple[int, bool]]:
    """Return number of attempts, and whether one is scored, of those keys of ``rows`` that the store has."""
    keys = list(dict.fromkeys(_key(row) for row in rows))
    found: dict[EpisodeKey, tuple[int, bool]] = {}
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        query = attempts_of(keys[start : start + _KEYS_PER_QUERY])
        for cell_key, task_id, seed, attempt, scored in connection.execute(query):
            number, finished = found.get((cell_key, task_id, seed), (0, False))
            found[cell_key, task_id, seed] = (max(number, attempt), finished or bool(scored))
    return found


def number_attempts(
    encoded: Sequence[Mapping[str, Any]], attempts: dict[EpisodeKey, tuple[int, bool]]
) -> list[dict[str, Any]]:
    """Number new rows after the known attempts, leaving out scored ones whose key has a scored episode."""
    rows = []
    for row in encoded:
        key = _key(row)
        number, finished = attempts.get(key, (0, False))
        if finished and row["scored"]:
            continue
        attempts[key] = (number + 1, finished or row["scored"])
        rows.append({**row, "attempt": number + 1})
    return rows


def check_episode(connection: sa.Connection, episode_id: int) -> None:
    """Refuse a score for an episode that is not in the store."""
    query = sa.select(tables.episodes.c.id).where(tables.episodes.c.id == episode_id)
    if connection.execute(query).first() is None:
        raise StoreError(f"episode_id={episode_id} is not in the store: expected an id that episodes() yielded.")


def check_same_score(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    """Refuse a score that contradicts what the same version of the scorer said before."""
    table = tables.scores.c
    same = (table[name] == row[name] for name in ("episode_id", "scorer", "version"))
    stored = connection.execute(sa.select(table.outcome, table.reward).where(*same)).one()
    if (stored.outcome, stored.reward) != (row["outcome"], row["reward"]):
        raise StoreError(
            f"scorer={row['scorer']!r} version={row['version']!r} said {stored.outcome} about episode "
            f"{row['episode_id']} before and says {row['outcome']} now: give changed rules another version."
        )


def _key(row: Mapping[str, Any]) -> EpisodeKey:
    return (row["cell_key"], row["task_id"], row["seed"])
