"""Which tables and columns of a catalogue a SQL query names, by the scoping rules of SQL.

sqlglot parses; this module walks the tree once. Every query opens a scope of *sources* (base tables, views,
common table expressions, derived tables); a column is looked up in the nearest scope, then in the enclosing
ones. Only columns of base tables and views are recorded: what a derived table passes on was recorded where it
was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from fogline.simulators.databases.records import Catalogue

# Row identifiers and system columns that exist without being declared.
IMPLICIT_COLUMNS = frozenset({"rowid", "oid", "_rowid_", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
_ENGINE_TABLES = frozenset(
    {
        "sqlite_master",
        "sqlite_schema",
        "sqlite_temp_master",
        "sqlite_temp_schema",
        "sqlite_sequence",
        "sqlite_stat1",
    }
)
_JSON_COLUMNS = ("key", "value", "type", "atom", "id", "parent", "fullkey", "path", "json", "root")
_ENGINE_SCHEMAS = frozenset({"information_schema", "pg_catalog"})


@dataclass(slots=True)
class _Source:
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
class _Scope:
    """The names visible in one query."""

    parent: _Scope | None
    common_tables: dict[str, _Source] = field(default_factory=dict)
    sources: dict[str, _Source] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()

    def chain(self) -> Iterator[_Scope]:
        scope: _Scope | None = self
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


def _lower(node: exp.Expr | str | None) -> str:
    if node is None:
        return ""
    return (node if isinstance(node, str) else node.name).lower()


def _projections(query: exp.Expr | None) -> Sequence[exp.Expr]:
    """Select list of a query; of a set operation, that of its leftmost part."""
    while isinstance(query, (exp.SetOperation, exp.Subquery)):
        query = query.this
    return query.expressions if isinstance(query, exp.Select) else ()


def _operands(query: exp.Expr) -> Iterator[exp.Select]:
    """The SELECTs that a set operation combines, left to right."""
    if isinstance(query, exp.SetOperation):
        yield from _operands(query.this)
        yield from _operands(query.expression)
    elif isinstance(query, exp.Subquery):
        yield from _operands(query.this)
    elif isinstance(query, exp.Select):
        yield query


class NameResolver:
    """Walks one query and fills :attr:`names`.

    Args:
        catalogue: The true schema.
        dialect: sqlglot dialect of ``sql``; SQLite's fallback of an unknown ``"name"`` to a string depends on
            it.
        sql: The text that was parsed, to tell ``"name"`` from ``[name]``.
    """

    def __init__(self, catalogue: Catalogue, dialect: str, sql: str) -> None:
        """Prepare to resolve one statement."""
        self.names = NamesUsed()
        self._catalogue = catalogue
        self._declared = {name.lower(): name for name in catalogue.tables}
        self._sqlite = dialect == "sqlite"
        self._sql = sql

    def resolve(self, query: exp.Expr) -> NamesUsed:
        """Record every name of ``query`` and return the record."""
        self._query(query, None)
        return self.names

    # -- queries ---------------------------------------------------------------------------------------------

    def _query(self, query: exp.Expr, parent: _Scope | None) -> _Source:
        """Visit a query below ``parent``; return the columns it offers to the query around it."""
        scope = _Scope(parent)
        self._common_tables(query.args.get("with_"), scope)
        if isinstance(query, exp.Select):
            return self._select(query, scope)
        if isinstance(query, exp.SetOperation):
            output = self._query(query.this, scope)
            self._query(query.expression, scope)
            self._outer_clauses(query, scope)
            return output
        if isinstance(query, exp.Subquery) and isinstance(query.this, exp.Query):
            output = self._query(query.this, scope)
            self._outer_clauses(query, scope)
            return output
        self._children(query, scope)
        return _Source(open=True)

    def _common_tables(self, clause: exp.Expr | None, scope: _Scope) -> None:
        if clause is None:
            return
        recursive = bool(clause.args.get("recursive"))
        for table in clause.expressions:
            # Visible before its definition (recursion, and SQLite's forward references) unless it shadows a
            # table.
            if recursive or table.alias.lower() not in self._declared:
                scope.common_tables[table.alias.lower()] = self._anchor_columns(table)
        for table in clause.expressions:
            output = self._query(table.this, scope)
            scope.common_tables[table.alias.lower()] = _renamed(output, table.args.get("alias"))

    @staticmethod
    def _anchor_columns(table: exp.Expr) -> _Source:
        """Columns of a common table expression as far as they are known before it was visited."""
        alias = table.args.get("alias")
        if alias is not None and alias.args.get("columns"):
            return _Source(columns={_lower(name): None for name in alias.args["columns"]})
        return _Source(
            columns={name: None for item in _projections(table.this) if (name := _lower(item.output_name))},
            open=True,
        )

    def _outer_clauses(self, query: exp.Expr, scope: _Scope) -> None:
        """ORDER BY and LIMIT of a set operation or a parenthesised query: they see the result's columns."""
        if not any(query.args.get(key) for key in ("order", "limit", "offset")):
            return
        selects = list(_operands(query))
        scope.aliases = frozenset(
            _lower(item.output_name) for select in selects for item in select.expressions
        )
        star = any(item.is_star for select in selects for item in select.expressions)
        for select in selects:
            self._from_names(select, scope, quiet=True)
        for key in ("order", "limit", "offset"):
            clause = query.args.get(key)
            for column in clause.find_all(exp.Column) if clause is not None else ():
                if _lower(column.this) not in scope.aliases and not star:
                    self._column(column, scope)
            for nested in clause.find_all(exp.Subquery) if clause is not None else ():
                self._query(nested, scope)

    def _select(self, query: exp.Select, scope: _Scope) -> _Source:
        self._from_names(query, scope)
        scope.aliases = frozenset(
            _lower(item.alias) for item in query.expressions if isinstance(item, exp.Alias)
        )
        for join in query.args.get("joins") or ():
            self._expression(join.args.get("on"), scope)
        output = _Source()
        for item in query.expressions:
            self._projection(item, scope, output)
        for key, clause in query.args.items():
            if key in ("with_", "expressions", "from_", "joins", "laterals"):
                continue
            for node in clause if isinstance(clause, list) else (clause,):
                if isinstance(node, exp.Expr):
                    self._clause(node, scope)
        return output

    def _clause(self, node: exp.Expr, scope: _Scope) -> None:
        if not isinstance(node, exp.Order):
            self._expression(node, scope)
            return
        for term in node.expressions:
            ordered = term.this if isinstance(term, exp.Ordered) else term
            bare_name = isinstance(ordered, exp.Column) and not ordered.table
            if not (bare_name and _lower(ordered.this) in scope.aliases):
                self._expression(term, scope)

    def _projection(self, item: exp.Expr, scope: _Scope, output: _Source) -> None:
        """Visit one entry of a select list and add its name to ``output``."""
        star = item if isinstance(item, exp.Star) else item.this if isinstance(item, exp.Column) else None
        if not isinstance(star, exp.Star):
            self._expression(item, scope)
            name = _lower(item.output_name)
            if name:
                output.columns[name] = None
            else:
                output.open = True
            return
        left_out = {_lower(column) for column in star.args.get("except_") or ()}
        qualifier = _lower(item.args.get("table"))
        if qualifier and qualifier not in scope.sources:
            self.names.unknown_tables.add(qualifier)
        for alias, source in scope.sources.items():
            if qualifier and alias != qualifier:
                continue
            output.open = output.open or source.open
            for name, base in source.columns.items():
                if name not in left_out:
                    output.columns[name] = None
                    self._record(base)
        for replacement in star.args.get("replace") or ():
            self._expression(replacement, scope)

    # -- FROM ------------------------------------------------------------------------------------------------

    def _from_names(self, query: exp.Select, scope: _Scope, quiet: bool = False) -> None:
        """Add the sources of FROM and the joins; ``quiet`` records nothing: they were visited before."""
        clause = query.args.get("from_")
        if clause is not None:
            self._source(clause.this, scope, quiet)
        for join in query.args.get("joins") or ():
            self._join(join, scope, quiet)
        for lateral in query.args.get("laterals") or ():
            self._source(lateral, scope, quiet)

    def _join(self, join: exp.Expr, scope: _Scope, quiet: bool) -> None:
        left = dict(scope.sources)
        self._source(join.this, scope, quiet)
        if quiet:
            return
        right = {alias: source for alias, source in scope.sources.items() if alias not in left}
        keys = [_lower(name) for name in join.args.get("using") or ()]
        if _lower(join.args.get("method")) == "natural":
            keys = [
                name
                for source in right.values()
                for name in source.columns
                if any(name in other.columns for other in left.values())
            ]
        for key in keys:
            found = [source for source in left.values() if key in source.columns][:1]
            found += [source for source in right.values() if key in source.columns]
            for source in found:
                self._record(source.columns[key])
            opaque = any(source.open for source in scope.sources.values())
            if len(found) < 2 and not opaque:
                self.names.unknown_columns.add(key)

    def _source(self, node: exp.Expr, scope: _Scope, quiet: bool = False) -> None:
        alias = node.args.get("alias")
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            table = self._named_table(node, scope, quiet)
            if node.args.get("pivots"):
                self._children(node, _Scope(scope.parent, scope.common_tables, {"": table}))
                table = _Source(table.table, table.columns, open=True)
            self._add(scope, node.alias_or_name, _renamed(table, alias))
        elif isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Query):
            self._source(node.this, scope, quiet)
        elif isinstance(node, exp.Query):
            output = _Source(open=True) if quiet else self._query(node, self._outside(scope))
            self._add(scope, node.alias_or_name, _renamed(output, alias))
        else:
            # Table functions, VALUES, UNNEST and LATERAL see the sources to their left.
            if not quiet:
                self._children(node, scope)
            self._add(scope, node.alias_or_name, _renamed(_table_function(node), alias))
        for join in node.args.get("joins") or ():
            self._join(join, scope, quiet)
            if not quiet:
                self._expression(join.args.get("on"), scope)

    @staticmethod
    def _outside(scope: _Scope) -> _Scope:
        """What a derived table sees: common tables and the enclosing queries, not its neighbours."""
        return _Scope(scope.parent, scope.common_tables)

    @staticmethod
    def _add(scope: _Scope, alias: str, source: _Source) -> None:
        name = alias.lower()
        while name in scope.sources or not name:
            name += " "
        scope.sources[name] = source

    def _named_table(self, node: exp.Table, scope: _Scope, quiet: bool = False) -> _Source:
        name, schema = node.name.lower(), node.db.lower()
        if not schema:
            for enclosing in scope.chain():
                if name in enclosing.common_tables:
                    found = enclosing.common_tables[name]
                    return _Source(columns=dict.fromkeys(found.columns), open=found.open)
        if name not in self._declared:
            engine_table = name in _ENGINE_TABLES or name.startswith(("pragma_", "duckdb_", "pg_"))
            if not (quiet or engine_table or schema in _ENGINE_SCHEMAS):
                self.names.unknown_tables.add(name)
            return _Source(open=True)
        self.names.tables.add(name)
        declared = self._catalogue.tables[self._declared[name]]
        return _Source(name, {column.name.lower(): f"{name}.{column.name.lower()}" for column in declared})

    # -- expressions -----------------------------------------------------------------------------------------

    def _expression(self, node: exp.Expr | None, scope: _Scope) -> None:
        if node is None:
            return
        if isinstance(node, exp.Query):
            self._query(node, scope)
        elif isinstance(node, exp.Column):
            self._column(node, scope)
        elif isinstance(node, exp.In) and isinstance(node.args.get("field"), exp.Column):
            self._expression(node.this, scope)
            self._in_table(node.args["field"], scope)
        else:
            self._children(node, scope)

    def _children(self, node: exp.Expr, scope: _Scope) -> None:
        for key, child in node.args.items():
            if key == "with_":
                continue
            for item in child if isinstance(child, list) else (child,):
                if isinstance(item, exp.Expr):
                    self._expression(item, scope)

    def _in_table(self, column: exp.Column, scope: _Scope) -> None:
        """``x IN name`` of SQLite, where ``name`` is a table."""
        name = _lower(column.this)
        common = any(name in enclosing.common_tables for enclosing in scope.chain())
        if name in self._declared and not common:
            table = self._named_table(exp.Table(this=exp.to_identifier(column.name)), scope)
            for base in table.columns.values():
                self._record(base)
        elif not common:
            self._column(column, scope)

    def _record(self, base: str | None) -> None:
        if base is not None:
            self.names.columns.add(base)

    def _column(self, column: exp.Column, scope: _Scope) -> None:
        if isinstance(column.this, exp.Star):
            return
        name, qualifier = _lower(column.this), _lower(column.args.get("table"))
        if qualifier:
            self._qualified(qualifier, name, column, scope)
        else:
            self._unqualified(name, column, scope)

    def _qualified(self, qualifier: str, name: str, column: exp.Column, scope: _Scope) -> None:
        for enclosing in scope.chain():
            source = enclosing.sources.get(qualifier)
            if source is None:
                continue
            if name in source.columns:
                self._record(source.columns[name])
            elif not source.open and name not in IMPLICIT_COLUMNS:
                self.names.unknown_columns.add(f"{source.table or qualifier}.{name}")
            return
        declared = self._declared.get(qualifier)
        if declared is not None and name in {item.name.lower() for item in self._catalogue.tables[declared]}:
            self.names.tables.add(qualifier)
            self.names.columns.add(f"{qualifier}.{name}")
        elif not self._sqlite and self._find(qualifier, scope):
            return  # a field of a structured column
        else:
            self.names.unknown_columns.add(f"{qualifier}.{name}")

    def _unqualified(self, name: str, column: exp.Column, scope: _Scope) -> None:
        if self._find(name, scope):
            return
        if not self._sqlite:
            for enclosing in scope.chain():
                if name in enclosing.sources:  # a whole row
                    for base in enclosing.sources[name].columns.values():
                        self._record(base)
                    return
        opaque = any(source.open for enclosing in scope.chain() for source in enclosing.sources.values())
        if name in IMPLICIT_COLUMNS or opaque or self._is_string(column.this):
            return
        self.names.unknown_columns.add(name)

    def _find(self, name: str, scope: _Scope) -> bool:
        """Record ``name`` where the nearest scope has it; aliases of a scope come after its columns."""
        for enclosing in scope.chain():
            found = [source for source in enclosing.sources.values() if name in source.columns]
            for source in found:
                self._record(source.columns[name])
            if found or name in enclosing.aliases:
                return True
        return False

    def _is_string(self, identifier: exp.Expr) -> bool:
        """SQLite reads a double-quoted name that is no column as a string."""
        if not (self._sqlite and isinstance(identifier, exp.Identifier) and identifier.args.get("quoted")):
            return not isinstance(identifier, exp.Identifier)
        start = identifier.meta.get("start")
        return start is None or self._sql[start : start + 1] == '"'


def _table_function(node: exp.Expr) -> _Source:
    name = _lower(node.this) if isinstance(node.this, exp.Expr) else ""
    return (
        _Source(columns=dict.fromkeys(_JSON_COLUMNS))
        if name in ("json_each", "json_tree")
        else _Source(open=True)
    )


def _renamed(source: _Source, alias: exp.Expr | None) -> _Source:
    """Apply the column list of ``AS name(a, b)``."""
    names: Iterable[exp.Expr] = alias.args.get("columns") or () if isinstance(alias, exp.TableAlias) else ()
    fresh = [_lower(name) for name in names]
    if not fresh:
        return source
    bases: Mapping[str, str | None] = source.columns
    values = [*bases.values(), *[None] * max(0, len(fresh) - len(bases))]
    kept = list(bases.items())[len(fresh) :]
    return _Source(
        source.table, {**dict(zip(fresh, values, strict=False)), **dict(kept)}, open=source.open and not fresh
    )
