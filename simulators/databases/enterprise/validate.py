"""Checks a candidate question: the gold must run, say something, and be told apart from its wrong variants."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogline.simulators.databases.enterprise.questions.query import Draft, Mutation, Renderer
from fogline.simulators.databases.enterprise.schema import Schema

MOST_ROWS = 200
_STEPS_PER_CALL = 20_000
_MOST_CALLS = 100  # two million virtual-machine steps, some tens of milliseconds
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a draft: the gold statement, and why it was refused (empty when it was kept)."""

    sql: str
    reason: str
    detail: str = ""


class Checker:
    """Runs statements on both populations of a database.

    Args:
        schema: The database.
        paths: Files of the two populations, opened read-only.
    """

    def __init__(self, schema: Schema, paths: tuple[Path, Path]) -> None:
        self._schema = schema
        self._connections = [sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) for path in paths]
        self._calls = 0
        for connection in self._connections:
            connection.set_progress_handler(self._tick, _STEPS_PER_CALL)

    def close(self) -> None:
        """Close both files."""
        for connection in self._connections:
            connection.close()

    def _tick(self) -> bool:
        self._calls += 1
        return self._calls > _MOST_CALLS

    def run(self, sql: str, population: int) -> Rows:
        """All rows of a statement, in order.

        Raises:
            sqlite3.OperationalError: When it does not run, or takes more than its share of steps.
        """
        self._calls = 0
        return self._connections[population].execute(sql).fetchall()

    def check(self, draft: Draft) -> Verdict:
        """Decide on a draft."""
        plain = Renderer(self._schema)
        sql = draft.render(plain)
        try:
            golds = [self.run(sql, population) for population in (0, 1)]
        except sqlite3.OperationalError as error:
            return Verdict(sql, "gold_slow" if "interrupt" in str(error) else "gold_error", str(error))
        reason = _objection(golds)
        if reason:
            return Verdict(sql, reason)
        for name, variant in self._variants(draft, plain):
            if variant != sql and self._agrees(variant, golds):
                return Verdict(sql, "variant_agrees", name)
        return Verdict(sql, "")

    def _variants(self, draft: Draft, plain: Renderer) -> Iterator[tuple[str, str]]:
        """Wrong statements with what is wrong about them."""
        for key in sorted(plain.entities):
            placed = self._schema.entities[key]
            for stale in (*placed.twins, *placed.copies):
                yield stale.role, draft.render(Renderer(self._schema, {key: stale}))
        for site, count in sorted(plain.sites.items()):
            for number in range(count):
                yield site, draft.render(Renderer(self._schema, mutation=Mutation(site, number)))

    def _agrees(self, sql: str, golds: list[Rows]) -> bool:
        """Whether a statement gives the gold's set of rows on both populations."""
        for population, gold in enumerate(golds):
            try:
                rows = self.run(sql, population)
            except sqlite3.OperationalError:
                return False
            if set(rows) != set(gold):
                return False
        return True


def _objection(golds: list[Rows]) -> str:
    if not all(golds):
        return "empty"
    if any(len(rows) > MOST_ROWS for rows in golds):
        return "too_long"
    if any(all(cell in (None, 0) for row in rows for cell in row) for rows in golds):
        return "trivial"
    return "constant" if set(golds[0]) == set(golds[1]) else ""
