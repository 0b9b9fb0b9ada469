"""How templates write SQL so that wrong variants of a gold statement can be rendered from the same code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fogline.simulators.databases.enterprise.schema import DELETED, IDENTIFIER, Edge, PhysicalTable, Schema

Site = Literal["filter", "join", "aggregate", "order", "outer"]
_OTHER_AGGREGATE = {"SUM": "AVG", "AVG": "SUM", "MIN": "MAX", "MAX": "MIN"}


class Unsuitable(Exception):
    """The draw at hand does not suit the template; another one may."""


def quoted(value: Any) -> str:
    """A text literal."""
    return "'" + str(value).replace("'", "''") + "'"


def plain(number: float) -> str:
    """A number as people write it: no exponent, no trailing zeros."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Mutation:
    """One deliberate error: at the ``number``-th place of its kind."""

    site: Site
    number: int


@dataclass(frozen=True, slots=True)
class Node:
    """A use of an entity in a statement, under an alias."""

    alias: str
    entity: str


@dataclass(slots=True)
class Renderer:
    """Turns logical names into SQL; may read a stale twin instead of an entity's table, or err in one place.

    Attributes:
        schema: The database.
        swaps: Table to read instead of the current one, by entity.
        mutation: The error to make, if any.
        sites: How many places of each kind were met.
        entities: Entities that were read.
        columns: Columns that were read, as (table, column).
        tables: Tables that were read.
    """

    schema: Schema
    swaps: Mapping[str, PhysicalTable] = field(default_factory=dict)
    mutation: Mutation | None = None
    sites: Counter[Site] = field(default_factory=Counter)
    entities: set[str] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)

    def _errs(self, site: Site) -> bool:
        number = self.sites[site]
        self.sites[site] += 1
        return self.mutation == Mutation(site, number)

    def _physical(self, entity: str) -> PhysicalTable:
        self.entities.add(entity)
        return self.swaps.get(entity) or self.schema.entities[entity].table

    def table(self, node: Node) -> str:
        """The table of a node with its alias."""
        name = self._physical(node.entity).name
        self.tables.add(name)
        return f"{name} AS {node.alias}"

    def column(self, node: Node, source: str) -> str:
        """A column of a node."""
        table = self._physical(node.entity)
        name = table.column(source)
        self.columns.add((table.name, name))
        return f"{node.alias}.{name}"

    def meaning(self, child: Node, key: str, alias: str) -> tuple[str, str]:
        """Code table of a coded attribute with its join condition, and the column that puts the code into words."""
        codes = self.schema.codes[child.entity, key]
        used = [codes.code_column, codes.meaning_column, *([codes.set_column] if codes.selector else [])]
        self.tables.add(codes.table)
        self.columns.update((codes.table, name) for name in used)
        condition = f"{alias}.{codes.code_column} = {self.column(child, key)}"
        if codes.selector:
            condition += f" AND {alias}.{codes.set_column} = {quoted(codes.selector)}"
        return f"{codes.table} AS {alias} ON {condition}", f"{alias}.{codes.meaning_column}"

    def identifier(self, node: Node) -> str:
        """The primary key of a node."""
        return self.column(node, IDENTIFIER)

    def condition(self, sql: str) -> str:
        """A filter; the error is to leave it out."""
        return "1 = 1" if self._errs("filter") else sql

    def link(self, child: Node, edge: Edge, parent: Node) -> str:
        """The condition that joins a child to its parent; the error is to leave it out."""
        sql = f"{self.column(child, edge.source)} = {self.identifier(parent)}"
        return "1 = 1" if self._errs("join") else sql

    def aggregate(self, function: str, operand: str) -> str:
        """``function(operand)``; the error is another function."""
        return f"{_OTHER_AGGREGATE[function] if self._errs('aggregate') else function}({operand})"

    def count_distinct(self, operand: str) -> str:
        """The number of different values; the error is to count all."""
        return f"COUNT({operand})" if self._errs("aggregate") else f"COUNT(DISTINCT {operand})"

    def direction(self, descending: bool) -> str:
        """Sort direction; the error is the opposite."""
        return "DESC" if descending != self._errs("order") else "ASC"

    def left_join(self) -> str:
        """An outer join; the error is an inner one."""
        return "JOIN" if self._errs("outer") else "LEFT JOIN"

    def alive(self, node: Node) -> list[str]:
        """The condition that a row is not flagged as deleted, where the table has such a flag."""
        if not self.schema.entities[node.entity].table.has(DELETED):
            return []
        return [self.condition(f"{self.column(node, DELETED)} = 0")]


Render = Callable[[Renderer], str]
Text = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a node, and how a question says it in two wordings."""

    node: Node
    render: Render
    text: Text
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A numeric expression, its name in two wordings, and whether it is money or computed (so sums make sense)."""

    render: Render
    text: Text
    additive: bool
    whole: bool


@dataclass(slots=True)
class Scope:
    """A focus entity, entities that it refers to, and filters on any of them."""

    focus: Node
    links: list[tuple[Node, Edge, Node]] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)

    @property
    def nodes(self) -> list[Node]:
        """Focus first, then parents."""
        return [self.focus, *(parent for _, _, parent in self.links)]

    @property
    def last(self) -> Node:
        """The node farthest up."""
        return self.nodes[-1]

    def source(self, r: Renderer) -> str:
        """The FROM clause."""
        sql = f"FROM {r.table(self.focus)}"
        for child, edge, parent in self.links:
            sql += f" JOIN {r.table(parent)} ON {r.link(child, edge, parent)}"
        return sql

    def conditions(self, r: Renderer) -> list[str]:
        """All filters, and the ones that leave deleted rows out."""
        rendered = [r.condition(item.render(r)) for item in self.filters]
        for node in self.nodes:
            rendered += r.alive(node)
        return rendered

    def where(self, r: Renderer, *more: str) -> str:
        """The WHERE clause with a leading space, or nothing."""
        conditions = [*self.conditions(r), *more]
        return " WHERE " + " AND ".join(conditions) if conditions else ""

    def body(self, r: Renderer, *more: str) -> str:
        """FROM and WHERE."""
        return self.source(r) + self.where(r, *more)

    @property
    def families(self) -> tuple[str, ...]:
        """What the scope itself brings in."""
        names: list[str] = []
        if self.links:
            names.append(("join_1", "join_2", "join_3plus")[min(len(self.links), 3) - 1])
        if self.filters:
            names.append("filter")
        for item in self.filters:
            names += item.families
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Draft:
    """A candidate question, before it is checked against the populations."""

    template: str
    text: Text
    render: Render
    families: tuple[str, ...]
    evidence: tuple[str, ...]
