"""One pocket database: tables with invented names, a reference between them, perhaps an outdated twin, and rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from fogline.simulators.databases.enterprise.rows import Population
from fogline.simulators.databases.enterprise.schema import DeclaredKey, PhysicalColumn, PhysicalTable, Schema
from fogline.simulators.databases.pocket.config import PocketConfig
from fogline.simulators.databases.pocket.words import Namer

KEY = "id"
OLD = "old"
_VALUES_OF_A_CATEGORY = 3
_LARGEST = 99


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column that questions may ask about.

    Attributes:
        word: What questions call it.
        name: What the database calls it.
        type: ``TEXT``, ``INTEGER`` or ``REAL``.
        values: Words that a ``TEXT`` column holds; a twin has the same.
    """

    word: str
    name: str
    type: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PocketTable:
    """A table: what questions call it, its declared form, and where it points.

    Attributes:
        phrase: Word of the table, with ``current`` or ``old`` before it where there are two.
        physical: The declared table.
        attributes: Columns that questions may ask about.
        parent: Position of the table that it refers to.
        reference: Name of the referring column.
        twin: Position of its twin: of the outdated table for the current one and the other way round.
    """

    phrase: str
    physical: PhysicalTable
    attributes: tuple[Attribute, ...]
    parent: int | None = None
    reference: str = ""
    twin: int | None = None

    @property
    def name(self) -> str:
        """Name as declared."""
        return self.physical.name


@dataclass(frozen=True, slots=True)
class PocketDatabase:
    """Tables in declaration order, with the enterprise generator's form of schema and rows for its writer."""

    name: str
    tables: tuple[PocketTable, ...]
    schema: Schema
    population: Population


def build_database(config: PocketConfig, name: str, rng: Generator) -> PocketDatabase:
    """Draw one database."""
    namer = Namer(config.part, rng)
    count = int(rng.integers(config.tables[0], config.tables[1], endpoint=True))
    twinned = count > 1 and rng.random() < config.twin
    stems = [namer.word() for _ in range(count - twinned)]
    # The outdated table keeps the word of the first or the last one: sometimes it is a parent, sometimes a child.
    original = int(rng.integers(2)) * (len(stems) - 1) if twinned else None
    tables: list[PocketTable] = []
    for position, stem in enumerate(stems):
        parent = int(rng.integers(position)) if position else None
        phrase = f"current {stem}" if position == original else stem
        twin = len(stems) if position == original else None
        tables.append(_table(config, namer, rng, phrase, stem, tables, parent, twin))
    if original is not None:
        tables.append(_outdated(namer, tables[original], stems[original], original))
    schema = Schema(name, "a", {}, (), [table.physical for table in tables], {}, [], (1, 0))
    return PocketDatabase(name, tuple(tables), schema, Population(tables=_rows(config, rng, tables)))


def _table(
    config: PocketConfig,
    namer: Namer,
    rng: Generator,
    phrase: str,
    stem: str,
    tables: list[PocketTable],
    parent: int | None,
    twin: int | None,
) -> PocketTable:
    size = int(rng.integers(config.columns[0], config.columns[1], endpoint=True))
    referred = None if parent is None else tables[parent]
    attributes: list[Attribute] = []
    elsewhere = [attribute.word for table in tables for attribute in table.attributes]
    first_numeric = int(rng.integers(2))
    for number in range(size - 1 - (referred is not None)):
        word = _column_word(config, namer, rng, [attribute.word for attribute in attributes], elsewhere)
        if (number + first_numeric) % 2:
            kind = "REAL" if rng.random() < 0.3 else "INTEGER"
            attributes.append(Attribute(word, namer.identifier(word), kind))
        else:
            values = tuple(namer.word() for _ in range(_VALUES_OF_A_CATEGORY))
            attributes.append(Attribute(word, namer.identifier(word), "TEXT", values))
    columns = [PhysicalColumn(KEY, "INTEGER", "@id")]
    keys: tuple[DeclaredKey, ...] = ()
    reference = ""
    if referred is not None:
        # Named after the parent's word, so that who sees both can infer the join without asking for the keys.
        reference = namer.identifier(referred.phrase.split()[-1])
        columns.append(PhysicalColumn(reference, "INTEGER", "@ref"))
        keys = (DeclaredKey(reference, referred.name, KEY),)
    columns += [PhysicalColumn(attribute.name, attribute.type, attribute.word) for attribute in attributes]
    physical = PhysicalTable(namer.identifier(stem), "live", stem, tuple(columns), keys)
    return PocketTable(phrase, physical, tuple(attributes), parent, reference, twin)


def _column_word(config: PocketConfig, namer: Namer, rng: Generator, own: list[str], elsewhere: list[str]) -> str:
    free = sorted(set(elsewhere) - set(own))
    if free and rng.random() < config.shared:
        return free[int(rng.integers(len(free)))]
    if own and rng.random() < config.look_alikes:
        return namer.look_alike(own[int(rng.integers(len(own)))])
    return namer.word()


def _outdated(namer: Namer, live: PocketTable, stem: str, position: int) -> PocketTable:
    physical = live.physical
    name = namer.identifier(f"{stem}_{OLD}")
    copy = PhysicalTable(name, "twin", stem, physical.columns, physical.keys)
    return PocketTable(f"{OLD} {stem}", copy, live.attributes, live.parent, live.reference, position)


def _rows(config: PocketConfig, rng: Generator, tables: list[PocketTable]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows by table; no two tables have equally many where the range allows, so that a count tells them apart."""
    low, high = config.rows
    counts = low + rng.permutation(high - low + 1)
    sizes = [int(counts[position % len(counts)]) for position in range(len(tables))]
    return {table.name: _fill(rng, table, size, sizes) for table, size in zip(tables, sizes, strict=True)}


def _fill(rng: Generator, table: PocketTable, size: int, sizes: list[int]) -> list[tuple[Any, ...]]:
    columns: list[list[Any]] = [list(range(1, size + 1))]
    if table.parent is not None:
        columns.append([int(key) for key in rng.integers(1, sizes[table.parent], size, endpoint=True)])
    for attribute in table.attributes:
        if attribute.type == "TEXT":
            columns.append([attribute.values[i] for i in rng.integers(len(attribute.values), size=size)])
        else:
            # Without repetition: the highest and the lowest are then one row each.
            numbers = [int(number) for number in rng.permutation(_LARGEST)[:size] + 1]
            columns.append([number + 0.5 for number in numbers] if attribute.type == "REAL" else numbers)
    return list(zip(*columns, strict=True))
