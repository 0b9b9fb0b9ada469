"""What a generated database consists of: placed entities, physical tables, code sets, views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fogline.simulators.databases.enterprise.model import Attribute, Entity, Half, Reference
from fogline.simulators.databases.records import Catalogue, Column, ForeignKey

TableRole = Literal[
    "live", "twin", "staging", "archive", "history", "log", "document", "summary", "code", "lookup", "registry", "notes"
]
# Roles whose rows are altered copies of the rows of the live table.
COPIES: frozenset[TableRole] = frozenset({"twin", "staging", "archive"})
DELETED = "@deleted"
IDENTIFIER = "@id"


@dataclass(frozen=True, slots=True)
class PhysicalColumn:
    """A column; ``source`` says what fills it: an attribute key, ``@id``, ``@ref:KEY``, or another ``@`` mark."""

    name: str
    type: str
    source: str


@dataclass(frozen=True, slots=True)
class DeclaredKey:
    """A foreign key that the table declares."""

    column: str
    parent: str
    parent_column: str


@dataclass(slots=True)
class PhysicalTable:
    """A base table.

    Attributes:
        name: Name as declared.
        role: What it is for.
        entity: Key of the entity it depicts, empty for infrastructure.
        columns: Columns in order; the first is the primary key except in lookups.
        keys: Declared foreign keys.
        status: Registry status.
        remark: Registry remark.
        serial: Position in the database, which seeds its private randomness.
        year: For archives, the year that the rows are of.
    """

    name: str
    role: TableRole
    entity: str
    columns: tuple[PhysicalColumn, ...]
    keys: tuple[DeclaredKey, ...] = ()
    status: str = ""
    remark: str = ""
    serial: int = 0
    year: int = 0

    def column(self, source: str) -> str:
        """Name of the column that ``source`` fills; ``KeyError`` if there is none."""
        for column in self.columns:
            if column.source == source:
                return column.name
        raise KeyError(f"{self.name}: {source}")

    def has(self, source: str) -> bool:
        """Whether some column is filled from ``source``."""
        return any(column.source == source for column in self.columns)


@dataclass(frozen=True, slots=True)
class Edge:
    """A reference between placed entities."""

    child: str
    parent: str
    reference: Reference

    @property
    def source(self) -> str:
        """The column source of the reference."""
        return f"@ref:{self.reference.key}"


@dataclass(slots=True)
class PlacedEntity:
    """An entity in a database, with its current table, its outdated twins, and other copies (loads, snapshots)."""

    key: str
    entity: Entity
    nouns: tuple[tuple[str, str], ...]
    live: PhysicalTable | None = None
    twins: list[PhysicalTable] = field(default_factory=list)
    copies: list[PhysicalTable] = field(default_factory=list)

    @property
    def table(self) -> PhysicalTable:
        """The current table."""
        if self.live is None:
            raise KeyError(f"{self.key} has no table yet")
        return self.live


@dataclass(frozen=True, slots=True)
class CodeSet:
    """The codes of one category: the table that explains them and the column names there.

    ``selector`` is the value of ``set_column`` in a lookup shared by several sets, empty in an own table.
    """

    table: str
    code_column: str
    meaning_column: str
    codes: Mapping[str, str]
    set_column: str = ""
    selector: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """A view and its statement."""

    name: str
    statement: str
    columns: tuple[PhysicalColumn, ...]


@dataclass(slots=True)
class Schema:
    """All of a database but its rows.

    Attributes:
        name: The ``db_id``.
        half: Vocabulary half.
        entities: Placed entities by key.
        edges: References between them.
        tables: Base tables in creation order: parents before children.
        codes: Code sets by (entity key, attribute key).
        views: Views.
        flags: Stored forms of true and false.
        notes: Rows of the column notes: (table, column, meaning).
    """

    name: str
    half: Half
    entities: dict[str, PlacedEntity]
    edges: tuple[Edge, ...]
    tables: list[PhysicalTable]
    codes: dict[tuple[str, str], CodeSet]
    views: list[View]
    flags: tuple[int | str, int | str]
    notes: list[tuple[str, str, str]] = field(default_factory=list)

    def parents(self, key: str) -> tuple[Edge, ...]:
        """References of an entity, self references left out."""
        return tuple(edge for edge in self.edges if edge.child == key and edge.parent != key)

    def children(self, key: str) -> tuple[Edge, ...]:
        """References to an entity, self references left out."""
        return tuple(edge for edge in self.edges if edge.parent == key and edge.child != key)

    def attribute(self, entity: str, key: str) -> Attribute:
        """An attribute of a placed entity."""
        return self.entities[entity].entity.attribute(key)

    def catalogue(self) -> Catalogue:
        """The true schema, as an executor would report it."""
        tables = {
            table.name: tuple(
                Column(column.name, column.type, primary_key=index == 0 and table.role != "lookup")
                for index, column in enumerate(table.columns)
            )
            for table in self.tables
        }
        for view in self.views:
            tables[view.name] = tuple(Column(column.name, column.type) for column in view.columns)
        keys = tuple(
            ForeignKey(table.name, key.column, key.parent, key.parent_column)
            for table in self.tables
            for key in table.keys
        )
        return Catalogue(tables, frozenset(view.name for view in self.views), keys)
