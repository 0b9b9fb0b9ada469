"""Which tables and columns of a catalogue a SQL query names, by the scoping rules of SQL.

sqlglot parses; this module walks the tree once. Every query opens a scope of *sources* (base tables, views,
common table expressions, derived tables); a column is looked up in the nearest scope, then in the enclosing
ones. Only columns of base tables and views are recorded: what a derived table passes on was recorded where it
was read.
"""

from __future__ import annotations

from sqlglot import exp

from fogline.simulators.databases.records import Catalogue
from fogline.simulators.databases.scopes import (
    NamesUsed,
    Scope,
    Source,
    lower,
    operands,
    projections,
    renamed,
    table_function,
)

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
_ENGINE_SCHEMAS = frozenset({"information_schema", "pg_catalog"})


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

    def _query(self, query: exp.Expr, parent: Scope | None) -> Source:
        """Visit a query below ``parent``; return the columns it offers to the query around it."""
        scope = Scope(parent)
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
        return Source(open=True)

    def _common_tables(self, clause: exp.Expr | None, scope: Scope) -> None:
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
            scope.common_tables[table.alias.lower()] = renamed(output, table.args.get("alias"))

    @staticmethod
    def _anchor_columns(table: exp.Expr) -> Source:
        """Columns of a common table expression as far as they are known before it was visited."""
        alias = table.args.get("alias")
        if alias is not None and alias.args.get("columns"):
            return Source(columns={lower(name): None for name in alias.args["columns"]})
        return Source(
            columns={name: None for item in projections(table.this) if (name := lower(item.output_name))},
            open=True,
        )

    def _outer_clauses(self, query: exp.Expr, scope: Scope) -> None:
        """ORDER BY and LIMIT of a set operation or a parenthesised query: they see the result's columns."""
        if not any(query.args.get(key) for key in ("order", "limit", "offset")):
            return
        selects = list(operands(query))
        scope.aliases = frozenset(lower(item.output_name) for select in selects for item in select.expressions)
        star = any(item.is_star for select in selects for item in select.expressions)
        for select in selects:
            self._from_names(select, scope, quiet=True)
        for key in ("order", "limit", "offset"):
            clause = query.args.get(key)
            for column in clause.find_all(exp.Column) if clause is not None else ():
                if lower(column.this) not in scope.aliases and not star:
                    self._column(column, scope)
            for nested in clause.find_all(exp.Subquery) if clause is not None else ():
                self._query(nested, scope)

    def _select(self, query: exp.Select, scope: Scope) -> Source:
        self._from_names(query, scope)
        scope.aliases = frozenset(lower(item.alias) for item in query.expressions if isinstance(item, exp.Alias))
        for join in query.args.get("joins") or ():
            self._expression(join.args.get("on"), scope)
        output = Source()
        for item in query.expressions:
            self._projection(item, scope, output)
        for key, clause in query.args.items():
            if key in ("with_", "expressions", "from_", "joins", "laterals"):
                continue
            for node in clause if isinstance(clause, list) else (clause,):
                if isinstance(node, exp.Expr):
                    self._clause(node, scope)
        return output

    def _clause(self, node: exp.Expr, scope: Scope) -> None:
        if not isinstance(node, exp.Order):
            self._expression(node, scope)
            return
        for term in node.expressions:
            ordered = term.this if isinstance(term, exp.Ordered) else term
            bare_name = isinstance(ordered, exp.Column) and not ordered.table
            if not (bare_name and lower(ordered.this) in scope.aliases):
                self._expression(term, scope)

    def _projection(self, item: exp.Expr, scope: Scope, output: Source) -> None:
        """Visit one entry of a select list and add its name to ``output``."""
        star = item if isinstance(item, exp.Star) else item.this if isinstance(item, exp.Column) else None
        if not isinstance(star, exp.Star):
            self._expression(item, scope)
            name = lower(item.output_name)
            if name:
                output.columns[name] = None
            else:
                output.open = True
            return
        left_out = {lower(column) for column in star.args.get("except_") or ()}
        qualifier = lower(item.args.get("table"))
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

    def _from_names(self, query: exp.Select, scope: Scope, quiet: bool = False) -> None:
        """Add the sources of FROM and the joins; ``quiet`` records nothing: they were visited before."""
        clause = query.args.get("from_")
        if clause is not None:
            self._source(clause.this, scope, quiet)
        for join in query.args.get("joins") or ():
            self._join(join, scope, quiet)
        for lateral in query.args.get("laterals") or ():
            self._source(lateral, scope, quiet)

    def _join(self, join: exp.Expr, scope: Scope, quiet: bool) -> None:
        left = dict(scope.sources)
        self._source(join.this, scope, quiet)
        if quiet:
            return
        right = {alias: source for alias, source in scope.sources.items() if alias not in left}
        keys = [lower(name) for name in join.args.get("using") or ()]
        if lower(join.args.get("method")) == "natural":
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

    def _source(self, node: exp.Expr, scope: Scope, quiet: bool = False) -> None:
        alias = node.args.get("alias")
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            table = self._named_table(node, scope, quiet)
            if node.args.get("pivots"):
                self._children(node, Scope(scope.parent, scope.common_tables, {"": table}))
                table = Source(table.table, table.columns, open=True)
            self._add(scope, node.alias_or_name, renamed(table, alias))
        elif isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Query):
            self._source(node.this, scope, quiet)
        elif isinstance(node, exp.Query):
            output = Source(open=True) if quiet else self._query(node, self._outside(scope))
            self._add(scope, node.alias_or_name, renamed(output, alias))
        else:
            # Table functions, VALUES, UNNEST and LATERAL see the sources to their left.
            if not quiet:
                self._children(node, scope)
            self._add(scope, node.alias_or_name, renamed(table_function(node), alias))
        for join in node.args.get("joins") or ():
            self._join(join, scope, quiet)
            if not quiet:
                self._expression(join.args.get("on"), scope)

    @staticmethod
    def _outside(scope: Scope) -> Scope:
        """What a derived table sees: common tables and the enclosing queries, not its neighbours."""
        return Scope(scope.parent, scope.common_tables)

    @staticmethod
    def _add(scope: Scope, alias: str, source: Source) -> None:
        name = alias.lower()
        while name in scope.sources or not name:
            name += " "
        scope.sources[name] = source

    def _named_table(self, node: exp.Table, scope: Scope, quiet: bool = False) -> Source:
        name, schema = node.name.lower(), node.db.lower()
        if not schema:
            for enclosing in scope.chain():
                if name in enclosing.common_tables:
                    found = enclosing.common_tables[name]
                    return Source(columns=dict.fromkeys(found.columns), open=found.open)
        if name not in self._declared:
            engine_table = name in _ENGINE_TABLES or name.startswith(("pragma_", "duckdb_", "pg_"))
            if not (quiet or engine_table or schema in _ENGINE_SCHEMAS):
                self.names.unknown_tables.add(name)
            return Source(open=True)
        self.names.tables.add(name)
        declared = self._catalogue.tables[self._declared[name]]
        return Source(name, {column.name.lower(): f"{name}.{column.name.lower()}" for column in declared})

    # -- expressions -----------------------------------------------------------------------------------------

    def _expression(self, node: exp.Expr | None, scope: Scope) -> None:
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

    def _children(self, node: exp.Expr, scope: Scope) -> None:
        for key, child in node.args.items():
            if key == "with_":
                continue
            for item in child if isinstance(child, list) else (child,):
                if isinstance(item, exp.Expr):
                    self._expression(item, scope)

    def _in_table(self, column: exp.Column, scope: Scope) -> None:
        """``x IN name`` of SQLite, where ``name`` is a table."""
        name = lower(column.this)
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

    def _column(self, column: exp.Column, scope: Scope) -> None:
        if isinstance(column.this, exp.Star):
            return
        name, qualifier = lower(column.this), lower(column.args.get("table"))
        if qualifier:
            self._qualified(qualifier, name, column, scope)
        else:
            self._unqualified(name, column, scope)

    def _qualified(self, qualifier: str, name: str, column: exp.Column, scope: Scope) -> None:
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

    def _unqualified(self, name: str, column: exp.Column, scope: Scope) -> None:
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

    def _find(self, name: str, scope: Scope) -> bool:
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
