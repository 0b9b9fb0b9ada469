"""Scopes of SQL names: what a query can see, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

_JSON_COLUMNS = ("key", "value", "type", "atom", "id", "parent", "fullkey", "path", "json", "root")


@dataclass(slots=True)
class Source:
    """One entry of a FROM clause.

    Attributes:
        table: Lower-cased base table or view, ``""`` for anything else.
        columns: Visible column to the base column it is; ``None`` for a derived one.
        open: True where the columns cannot be known (table functions, engine tables, absent tables).
    """

    table: str = ""
    columns: dict[str, str | None] = field(default_factory=dict)
    open: bool = False


@dataclass(slots=True)
class Scope:
    """The names visible in one query."""

    parent: Scope | None
    common_tables: dict[str, Source] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()

    def chain(self) -> Iterator[Scope]:
        """This scope and those around it, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


@dataclass(slots=True)
class NamesUsed:
    """What a query names, all lower-cased; columns are ``table.column``.

    Attributes:
        tables: Base tables and views of the catalogue.
        columns: Their columns.
        unknown_tables: Table names that the catalogue does not have.
        unknown_columns: Column names, as written, that no visible table has.
    """

    tables: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    unknown_tables: set[str] = field(default_factory=set)
    unknown_columns: set[str] = field(default_factory=set)


def lower(node: exp.Expr | str | None) -> str:
    """Lower-cased name of a node, ``""`` for none."""
    if node is None:
        return ""
    return (node if isinstance(node, str) else node.name).lower()


def projections(query: exp.Expr | None) -> Sequence[exp.Expr]:
    """Select list of a query; of a set operation, that of its leftmost part."""
    while isinstance(query, (exp.SetOperation, exp.Subquery)):
        query = query.this
    return query.expressions if isinstance(query, exp.Select) else ()


def operands(query: exp.Expr) -> Iterator[exp.Select]:
    """The SELECTs that a set operation combines, left to right."""
    if isinstance(query, exp.SetOperation):
        yield from operands(query.this)
        yield from operands(query.expression)
    elif isinstance(query, exp.Subquery):
        yield from operands(query.this)
    elif isinstance(query, exp.Select):
        yield query


def table_function(node: exp.Expr) -> Source:
    """What a table function offers; known for SQLite's JSON functions only."""
    name = lower(node.this) if isinstance(node.this, exp.Expr) else ""
    return Source(columns=dict.fromkeys(_JSON_COLUMNS)) if name in ("json_each", "json_tree") else Source(open=True)


def renamed(source: Source, alias: exp.Expr | None) -> Source:
    """Apply the column list of ``AS name(a, b)``."""
    names: Iterable[exp.Expr] = alias.args.get("columns") or () if isinstance(alias, exp.TableAlias) else ()
    fresh = [lower(name) for name in names]
    if not fresh:
        return source
    bases: Mapping[str, str | None] = source.columns
    values = [*bases.values(), *[None] * max(0, len(fresh) - len(bases))]
    kept = list(bases.items())[len(fresh) :]
    return Source(
        source.table, {**dict(zip(fresh, values, strict=False)), **dict(kept)}, open=source.open and not fresh
    )
