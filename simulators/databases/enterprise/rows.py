"""Populations: consistent rows for the current tables, altered rows for the stale ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng

from fogline.simulators.databases.enterprise import pools
from fogline.simulators.databases.enterprise.model import Attribute, Role
from fogline.simulators.databases.enterprise.schema import (
    COPIES,
    DELETED,
    IDENTIFIER,
    Edge,
    PhysicalTable,
    PlacedEntity,
    Schema,
)
from fogline.simulators.databases.enterprise.values import blank, draw_days, draw_labels, draw_plain, iso, skewed

_SCALES: dict[Role, float] = {"reference": 0.12, "master": 0.6, "event": 1.3, "detail": 2.0, "link": 1.6}
_FEWEST = {"reference": 8, "master": 20, "event": 30, "detail": 40, "link": 40}
_FEWEST_COPIED = 6
_DELETED_SHARE = 0.12
_BARREN = 0.12  # share of parents that no child refers to
Columns = dict[str, list[Any]]


@dataclass(slots=True)
class Population:
    """Rows of one population.

    Attributes:
        entities: For each entity the columns of its current rows, by source; categories by meaning.
        tables: Rows of each base table in column order, codes encoded.
    """

    entities: dict[str, Columns] = field(default_factory=dict)
    tables: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)


def _rows_of(role: Role, typical: int, rng: Generator) -> int:
    return max(_FEWEST[role], round(_SCALES[role] * typical * rng.uniform(0.85, 1.15)))


def _draw_reference(rng: Generator, edge: Edge, parents: list[int], rows: int, optional: float) -> list[int | None]:
    if edge.parent == edge.child:
        positions = [int(rng.integers(0, max(1, row))) for row in range(rows)]
        values: list[int | None] = [parents[position] for position in positions]
        values[0] = None
        return blank(rng, values, 0.25)
    order = rng.permutation(len(parents))[: max(1, round((1 - _BARREN) * len(parents)))]
    values = [parents[order[i]] for i in skewed(rng, len(order), rows, 0.35)]
    return blank(rng, values, optional)


class _Filler:
    """Fills the entities of a population, parents first."""

    def __init__(self, schema: Schema, typical: int) -> None:
        self.schema = schema
        self.typical = typical
        self.entities: dict[str, Columns] = {}
        self._days: dict[tuple[str, str], np.ndarray[Any, np.dtype[np.int64]]] = {}

    def fill(self, placed: PlacedEntity, rng: Generator) -> None:
        """Draw all columns of an entity."""
        rows = _rows_of(placed.entity.role, self.typical, rng)
        start = int(rng.integers(1, 900))
        identifiers = [start + i for i in range(rows)]
        columns: Columns = {IDENTIFIER: identifiers}
        positions: dict[str, list[int]] = {}
        for edge in self.schema.edges:
            if edge.child != placed.key:
                continue
            parents = identifiers if edge.parent == edge.child else self.entities[edge.parent][IDENTIFIER]
            optional = 0.15 if edge.reference.optional else 0.0
            columns[edge.source] = _draw_reference(rng, edge, parents, rows, optional)
            first = parents[0]
            positions[edge.reference.key] = [0 if v is None else v - first for v in columns[edge.source]]
        for attribute in placed.entity.attributes:
            columns[attribute.key] = self._attribute(placed, attribute, positions, rows, rng)
        columns[DELETED] = [int(draw < _DELETED_SHARE) for draw in rng.random(rows)]
        self.entities[placed.key] = columns

    def _attribute(
        self, placed: PlacedEntity, attribute: Attribute, positions: dict[str, list[int]], rows: int, rng: Generator
    ) -> list[Any]:
        if attribute.kind == "label":
            return draw_labels(rng, attribute, rows)
        if attribute.kind != "date":
            return blank(rng, draw_plain(rng, attribute, rows, self.schema.flags), attribute.nullable)
        days = self._base_days(placed, attribute, positions, rows, rng)
        self._days[placed.key, attribute.key] = days
        return blank(rng, [iso(int(day)) for day in days], attribute.nullable)

    def _base_days(
        self, placed: PlacedEntity, attribute: Attribute, positions: dict[str, list[int]], rows: int, rng: Generator
    ) -> np.ndarray[Any, np.dtype[np.int64]]:
        if not attribute.after:
            return draw_days(rng, placed.entity.role, rows)
        reference, _, other = attribute.after.rpartition(".")
        gaps = rng.integers(attribute.gap[0], attribute.gap[1] + 1, rows)
        if not reference:
            return self._days[placed.key, other] + gaps
        parent = next(
            edge.parent for edge in self.schema.edges if edge.child == placed.key and edge.reference.key == reference
        )
        result: np.ndarray[Any, np.dtype[np.int64]] = self._days[parent, other][positions[reference]] + gaps
        return result


def _audit(rng: Generator, source: str, rows: int, stale: bool) -> list[Any]:
    if source == "@author":
        return [pools.USERS[i] for i in rng.integers(0, len(pools.USERS), rows)]
    if source == "@version":
        return [int(v) for v in rng.integers(1, 9, rows)]
    low, high = (10_600, 11_300) if stale else (11_900, 12_500)
    return [iso(int(day)) for day in rng.integers(low, high, rows)]


def _encoded(schema: Schema, entity: str, source: str, values: list[Any]) -> list[Any]:
    code_set = schema.codes.get((entity, source))
    return values if code_set is None else [None if v is None else code_set.codes[v] for v in values]


def _project(schema: Schema, table: PhysicalTable, columns: Columns, rng: Generator) -> list[tuple[Any, ...]]:
    rows = len(columns[IDENTIFIER])
    listing = []
    for column in table.columns:
        if column.source in columns:
            listing.append(_encoded(schema, table.entity, column.source, columns[column.source]))
        else:
            listing.append(_audit(rng, column.source, rows, table.role != "live"))
    return list(zip(*listing, strict=True))


def _kept_rows(placed: PlacedEntity, table: PhysicalTable, live: Columns, rng: Generator) -> list[int]:
    total = len(live[IDENTIFIER])
    dates = next((a.key for a in placed.entity.attributes if a.kind == "date" and not a.nullable), "")
    if table.role == "archive" and dates:
        order = sorted(range(total), key=lambda i: (live[dates][i], i))
        past = sum(value <= f"{table.year}-12-31" for value in live[dates])
        return sorted(order[: max(_FEWEST_COPIED, min(past, total - total // 8))])
    count = max(_FEWEST_COPIED, round(total * rng.uniform(0.55, 0.85)))
    return sorted(int(i) for i in rng.permutation(total)[:count])


def _altered(
    schema: Schema, table: PhysicalTable, live: Columns, known: dict[str, list[int]], rng: Generator
) -> Columns:
    """A stale copy: rows lost and left over, a third of the figures and categories out of date."""
    placed = schema.entities[table.entity]
    kept = _kept_rows(placed, table, live, rng)
    columns: Columns = {source: [values[i] for i in kept] for source, values in live.items()}
    rows = len(kept)
    for attribute in placed.entity.attributes:
        if attribute.kind in ("label", "date"):
            continue
        fresh = blank(rng, draw_plain(rng, attribute, rows, schema.flags), attribute.nullable)
        old = rng.random(rows) < 0.35
        columns[attribute.key] = [
            new if replace else value for new, value, replace in zip(fresh, columns[attribute.key], old, strict=True)
        ]
    extra = max(2, rows // 12)
    top = max(live[IDENTIFIER])
    last = rng.permutation(rows)[:extra]
    for source, values in columns.items():
        columns[source] = values + [values[i] for i in last]
    columns[IDENTIFIER] = columns[IDENTIFIER][:rows] + [top + 1 + i for i in range(extra)]
    label = placed.entity.label
    if label is not None:
        columns[label.key] = columns[label.key][:rows] + draw_labels(rng, label, extra)
    _repoint(schema, table, columns, known)
    return columns


def _repoint(schema: Schema, table: PhysicalTable, columns: Columns, known: dict[str, list[int]]) -> None:
    """Make declared keys of a stale table hold: a lost parent is replaced by one that its target has."""
    for key in table.keys:
        source = next(column.source for column in table.columns if column.name == key.column)
        targets = columns[IDENTIFIER] if key.parent == table.name else known[key.parent]
        present = set(targets)
        columns[source] = [
            value if value is None or value in present else targets[value % len(targets)] for value in columns[source]
        ]


def _satellite_rows(table: PhysicalTable, owners: list[int], rows: int, rng: Generator) -> list[tuple[Any, ...]]:
    makers: dict[str, Callable[[], list[Any]]] = {
        "@serial": lambda: list(range(1, rows + 1)),
        "@owner": lambda: [owners[i] for i in rng.integers(0, len(owners), rows)],
        "@day": lambda: [iso(int(day)) for day in rng.integers(10_600, 12_500, rows)],
        "@field": lambda: [f"field {i}" for i in rng.integers(1, 7, rows)],
        "@before": lambda: [str(v) for v in rng.integers(1, 400, rows)],
        "@after": lambda: [str(v) for v in rng.integers(1, 400, rows)],
        "@action": lambda: [pools.ACTIONS[i] for i in skewed(rng, len(pools.ACTIONS), rows)],
        "@author": lambda: [pools.USERS[i] for i in rng.integers(0, len(pools.USERS), rows)],
        "@title": lambda: [f"Scan {v}" for v in rng.integers(100, 9999, rows)],
        "@bytes": lambda: [int(v) for v in rng.integers(900, 90_000, rows)],
        "@period": lambda: [f"{2015 + i // 4}-Q{i % 4 + 1}" for i in range(rows)],
        "@tally": lambda: [int(v) for v in rng.integers(1, 900, rows)],
        "@total": lambda: [round(float(v), 2) for v in rng.uniform(100, 90_000, rows)],
    }
    return list(zip(*(makers[column.source]() for column in table.columns), strict=True))


def _code_rows(schema: Schema, table: PhysicalTable) -> list[tuple[Any, ...]]:
    sets = [code_set for code_set in schema.codes.values() if code_set.table == table.name]
    if table.role == "lookup":
        return [(s.selector, code, meaning) for s in sets for meaning, code in s.codes.items()]
    return [(code, meaning, 1) for s in sets for meaning, code in sorted(s.codes.items(), key=lambda item: item[1])]


def _registry_rows(schema: Schema, table: PhysicalTable) -> list[tuple[Any, ...]]:
    if table.role == "notes":
        return [(i + 1, *note) for i, note in enumerate(schema.notes)]
    described = []
    for other in sorted(schema.tables, key=lambda t: t.name.lower()):
        subject = schema.entities[other.entity].nouns[0][1] if other.entity else "reference data"
        described.append((other.name, subject, other.status, other.remark))
    return [(i + 1, *row) for i, row in enumerate(described)]


def populate(schema: Schema, typical: int, seeds: SeedSequence) -> Population:
    """Draw a population of a schema.

    Args:
        schema: What to fill.
        typical: Number of rows that scales all tables.
        seeds: Source of randomness; another gives other rows with the same codes and registry.

    Returns:
        Rows of every base table, and the current rows by entity.
    """
    entity_seeds, table_seeds = seeds.spawn(2)
    filler = _Filler(schema, typical)
    for placed, seed in zip(schema.entities.values(), entity_seeds.spawn(len(schema.entities)), strict=True):
        filler.fill(placed, default_rng(seed))
    population = Population(filler.entities)
    known: dict[str, list[int]] = {}
    for table, seed in zip(schema.tables, table_seeds.spawn(len(schema.tables)), strict=True):
        rng = default_rng(seed)
        population.tables[table.name] = _table_rows(schema, table, population, known, typical, rng)
    return population


def _table_rows(
    schema: Schema,
    table: PhysicalTable,
    population: Population,
    known: dict[str, list[int]],
    typical: int,
    rng: Generator,
) -> list[tuple[Any, ...]]:
    if table.role in ("code", "lookup"):
        return _code_rows(schema, table)
    if table.role in ("registry", "notes"):
        return _registry_rows(schema, table)
    live = population.entities[table.entity]
    if table.role != "live" and table.role not in COPIES:
        return _satellite_rows(table, live[IDENTIFIER], max(12, typical // 2), rng)
    columns = live if table.role == "live" else _altered(schema, table, live, known, rng)
    known[table.name] = columns[IDENTIFIER]
    return _project(schema, table, columns, rng)
