"""Gold schemas by SQL's scoping rules; SQLite's own name resolution is the oracle where it can be asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fogline.core.errors import DataError
from fogline.simulators.databases.gold_schema import (
    PayloadError,
    UnknownNames,
    UnparseableSQL,
    gold_schema,
    identifiers_used,
    parse_query,
    proposal_schema,
)
from fogline.simulators.databases.loaders import BUNDLED_NAMES, bundled_records
from fogline.simulators.databases.records import Catalogue, Column, SchemaSubset

DATA = Path(bundled_records.__code__.co_filename).parent / "data"

SCHEMA = """
CREATE TABLE Customer (id INTEGER PRIMARY KEY, name TEXT, Age INTEGER, manager_id INTEGER);
CREATE TABLE Orders (id INTEGER PRIMARY KEY, customer_id INTEGER, total REAL, name TEXT, note TEXT);
CREATE TABLE "Order Details" ("order id" INTEGER, "unit price" REAL, qty INTEGER, tags TEXT);
CREATE VIEW Rich AS SELECT id AS rich_id, name AS rich_name FROM Customer WHERE Age > 30;
"""


def catalogue_of(connection: sqlite3.Connection) -> Catalogue:
    tables, views = {}, set()
    for name, kind in connection.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
    ).fetchall():
        tables[name] = tuple(Column(row[1], row[2]) for row in connection.execute(f'PRAGMA table_info("{name}")'))
        if kind == "view":
            views.add(name)
    return Catalogue(tables, frozenset(views))


def engine_names(connection: sqlite3.Connection, sql: str, catalogue: Catalogue) -> SchemaSubset:
    """What SQLite itself resolves while it compiles ``sql``; reads inside a view count as the view's own."""
    views = {name.lower() for name in catalogue.views}
    declared = {name.lower() for name in catalogue.tables}
    tables, columns = set(), set()

    def note(action: int, table: str | None, column: str | None, _database: str | None, inside: str | None) -> int:
        if (
            action == sqlite3.SQLITE_READ
            and table
            and table.lower() in declared
            and (inside or "").lower() not in views
        ):
            tables.add(table.lower())
            if column:
                columns.add(f"{table.lower()}.{column.lower()}")
        return sqlite3.SQLITE_OK

    connection.set_authorizer(note)
    try:
        connection.execute(sql).fetchall()
    finally:
        connection.set_authorizer(None)
    return SchemaSubset(frozenset(tables), frozenset(columns))


@pytest.fixture(name="connection")
def fixture_connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", cached_statements=0)
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


# Each statement runs in SQLite, whose authorizer must report the same tables and columns.
AGREEING = [
    "SELECT name FROM customer",
    "SELECT c.NAME AS x FROM CUSTOMER AS c WHERE c.age > 3",
    "SELECT * FROM Customer",
    "SELECT c.*, o.total FROM Customer c JOIN Orders o ON c.id = o.customer_id",
    "SELECT o.total FROM Customer c, Orders o WHERE c.id = o.customer_id AND c.name LIKE 'a%'",
    "SELECT a.name, b.name FROM Customer a JOIN Customer b ON a.manager_id = b.id",
    "SELECT name FROM Customer c WHERE EXISTS (SELECT 1 FROM Orders WHERE customer_id = c.id AND Age > 3)",
    "SELECT (SELECT MAX(total) FROM Orders o WHERE o.customer_id = c.id) FROM Customer c",
    "SELECT name FROM Customer WHERE id IN (SELECT customer_id FROM Orders GROUP BY 1 HAVING SUM(total) > 5)",
    "SELECT name FROM Customer UNION SELECT note FROM Orders ORDER BY name",
    "SELECT name FROM Customer EXCEPT SELECT note FROM Orders WHERE total > 3 LIMIT 2",
    "SELECT SUM(total) OVER w FROM Orders WINDOW w AS (PARTITION BY customer_id ORDER BY id)",
    "SELECT RANK() OVER (ORDER BY total DESC) FROM Orders",
    'SELECT "order id", [unit price] FROM "Order Details" WHERE `qty` > 1',
    'SELECT "no such column" FROM Customer WHERE name = "ann"',
    "SELECT LOWER(name) AS name FROM Customer ORDER BY name",
    "SELECT COUNT(*) AS age FROM Orders ORDER BY age",
    "SELECT name AS n FROM Customer GROUP BY n HAVING COUNT(Age) > 1",
    "SELECT CASE WHEN Age > 3 THEN name ELSE id END FROM Customer",
    "SELECT x.n FROM (SELECT name AS n, Age FROM Customer) x WHERE x.Age > 3",
    "SELECT n FROM (SELECT name AS n FROM Customer WHERE id > 3 UNION ALL SELECT note FROM Orders) ORDER BY n",
    "SELECT value FROM \"Order Details\", json_each('[' || tags || ']') WHERE qty = value",
    "SELECT id FROM Customer c WHERE Age > (SELECT AVG(Age) FROM Customer d WHERE d.manager_id = c.manager_id)",
    "SELECT rich_name FROM Rich WHERE rich_id > 2",
    "SELECT name FROM Customer LIMIT (SELECT MAX(id) FROM Orders)",
    "SELECT c.name FROM (Customer c JOIN Orders o ON o.customer_id = c.id)",
    "SELECT COUNT(DISTINCT name), MIN(Age) FILTER (WHERE manager_id IS NULL) FROM Customer",
    "SELECT name FROM Customer WHERE (id, Age) IN (SELECT customer_id, total FROM Orders)",
    "SELECT main.Customer.name FROM main.Customer",
    "VALUES ((SELECT MAX(total) FROM Orders), 2)",
    "WITH big AS (SELECT customer_id, SUM(total) AS s FROM Orders GROUP BY customer_id) "
    "SELECT c.name, big.s FROM big JOIN Customer c ON c.id = big.customer_id",
    "WITH a AS (SELECT id, name FROM Customer), b AS (SELECT id FROM a WHERE name > 'k') SELECT id FROM b",
    "WITH Customer AS (SELECT id FROM Orders) SELECT * FROM Customer",
    "WITH RECURSIVE up(id, level) AS (SELECT id, 0 FROM Customer WHERE manager_id IS NULL UNION ALL "
    "SELECT c.id, level + 1 FROM Customer c JOIN up ON c.manager_id = up.id) SELECT level FROM up",
    "WITH RECURSIVE up AS (SELECT id FROM Customer WHERE Age > 3 UNION SELECT c.id FROM Customer c, up "
    "WHERE c.manager_id = up.id) SELECT COUNT(*) FROM up",
    "WITH a AS (SELECT id FROM b), b AS (SELECT id, name FROM Customer) SELECT id FROM a",
    'SELECT name FROM Orders WHERE id IN "Single"',
]


@pytest.mark.parametrize("sql", AGREEING)
def test_agrees_with_the_name_resolution_of_sqlite(connection: sqlite3.Connection, sql: str) -> None:
    connection.execute('CREATE TABLE "Single" (only_one INTEGER)')
    connection.execute("INSERT INTO Orders VALUES (1, 1, 2.5, 'x', 'y')")
    catalogue = catalogue_of(connection)
    assert gold_schema(sql, catalogue) == engine_names(connection, sql, catalogue)


@pytest.mark.parametrize("name", BUNDLED_NAMES)
def test_agrees_with_sqlite_on_every_bundled_gold(name: str) -> None:
    connection = sqlite3.connect(f"file:{DATA / name / name}.sqlite?mode=ro", uri=True, cached_statements=0)
    catalogue = catalogue_of(connection)
    records = bundled_records(name)
    assert len(records) >= 66
    for record in records:
        sql = record.data["gold_sql"]
        assert gold_schema(sql, catalogue) == engine_names(connection, sql, catalogue), record.data["task_id"]
    connection.close()


def schema(tables: str, columns: str = "") -> SchemaSubset:
    return SchemaSubset(frozenset(tables.split()), frozenset(columns.split()))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT COUNT(*) FROM Customer", schema("customer")),
        (
            "SELECT total FROM Customer JOIN Orders USING (id)",
            schema("customer orders", "customer.id orders.id orders.total"),
        ),
        ("SELECT rowid, name FROM Customer ORDER BY oid", schema("customer", "customer.name")),
        (
            "SELECT name FROM Customer NATURAL JOIN Orders",
            schema("customer orders", "customer.id customer.name orders.id orders.name"),
        ),
        ("SELECT rich_name FROM Rich", schema("rich", "rich.rich_name")),
        ("SELECT x.c FROM (SELECT COUNT(*) AS c FROM Orders) x ORDER BY c", schema("orders")),
        (
            "SELECT 1 FROM Customer WHERE EXISTS (SELECT * FROM Rich)",
            schema("customer rich", "rich.rich_id rich.rich_name"),
        ),
    ],
)
def test_rules_that_sqlite_cannot_be_asked(connection: sqlite3.Connection, sql: str, expected: SchemaSubset) -> None:
    assert gold_schema(sql, catalogue_of(connection)) == expected


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ('SELECT "Age" FROM chinook."Customer"', schema("customer", "customer.age")),
        ("SELECT q.n FROM Customer c, LATERAL (SELECT c.name AS n) q", schema("customer", "customer.name")),
        ("SELECT a.x FROM Customer AS a(x, y)", schema("customer", "customer.id")),
        ("SELECT v.b FROM (VALUES (1, 2)) v(a, b), Customer WHERE id = a", schema("customer", "customer.id")),
    ],
)
def test_other_dialects(connection: sqlite3.Connection, dialect: str, sql: str, expected: SchemaSubset) -> None:
    assert gold_schema(sql, catalogue_of(connection), dialect) == expected


@pytest.mark.parametrize(
    ("sql", "tables", "columns"),
    [
        ("SELECT name FROM Clients", {"clients"}, set()),
        ("SELECT nme FROM Customer", set(), {"nme"}),
        ("SELECT c.total FROM Customer c JOIN Orders o ON c.id = o.customer_id", set(), {"customer.total"}),
        ("SELECT x.name FROM Customer c", set(), {"x.name"}),
        ("SELECT `nme` FROM Customer", set(), {"nme"}),
        ("SELECT [nme] FROM Customer", set(), {"nme"}),
        ('SELECT c."nme" FROM Customer c', set(), {"customer.nme"}),
        ("SELECT id FROM Customer JOIN Orders USING (total)", set(), {"total"}),
        ("WITH x AS (SELECT id FROM Customer) SELECT x.name FROM x", set(), {"x.name"}),
        ("SELECT z.* FROM Customer c", {"z"}, set()),
        ("SELECT name FROM sqlite_master", set(), set()),
        ("SELECT p.name FROM pragma_table_info('Customer') p", set(), set()),
    ],
)
def test_unknown_names_are_told_apart(
    connection: sqlite3.Connection, sql: str, tables: set[str], columns: set[str]
) -> None:
    catalogue = catalogue_of(connection)
    used = identifiers_used(sql, catalogue)
    assert (used.unknown_tables, used.unknown_columns, used.unparseable) == (tables, columns, False)
    assert used.hallucinated is bool(tables or columns)
    if used.hallucinated:
        with pytest.raises(UnknownNames) as caught:
            gold_schema(sql, catalogue)
        assert (caught.value.tables, caught.value.columns) == (tables, columns)


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT (",
        "SELEKT 1",
        "DROP TABLE Customer",
        "EXPLAIN SELECT 1",
        "PRAGMA table_info(Customer)",
        "SELECT 1; SELECT 2",
        "SELECT 'open",
        "SELECT " + "(" * 20_000,
        "SELECT " + "1+" * 20_000 + "1",
        "SELECT '" + "x" * 200_000 + "'",
    ],
)
def test_what_cannot_be_read_is_said_to_be_unparseable(connection: sqlite3.Connection, sql: str) -> None:
    catalogue = catalogue_of(connection)
    used = identifiers_used(sql, catalogue)
    assert used.unparseable
    assert not used.hallucinated
    with pytest.raises(UnparseableSQL):
        gold_schema(sql, catalogue)


def test_a_trailing_semicolon_or_comment_is_no_second_statement(connection: sqlite3.Connection) -> None:
    assert gold_schema("SELECT name FROM Customer; -- done", catalogue_of(connection)).tables == {"customer"}


def test_callers_may_change_a_parsed_query() -> None:
    parse_query("SELECT a FROM t").set("expressions", [])
    assert len(parse_query("SELECT a FROM t").expressions) == 1


def test_proposals_accept_the_three_spellings_of_a_column_in_any_case() -> None:
    payload = {
        "tables": ["Customer", "ORDERS"],
        "columns": {"customer": ["ID", {"name": "Name"}], "Orders": [{"column_name": "total"}, {"column": "Id"}]},
        "joins": [],
    }
    expected = schema("customer orders", "customer.id customer.name orders.total orders.id")
    assert proposal_schema(payload) == expected
    assert proposal_schema({"tables": [], "columns": {}}) == SchemaSubset()


@pytest.mark.parametrize(
    ("payload", "complaints"),
    [
        ([], ["the proposal is a list"]),
        ({}, ['"tables" is missing', '"columns" is missing']),
        ({"tables": "t", "columns": {}}, ['"tables" is a str, not a list']),
        ({"tables": [1, ""], "columns": {}}, ['"tables"[0] is 1', "\"tables\"[1] is ''"]),
        ({"tables": [{"name": "t"}], "columns": {}}, ['"tables"[0]']),
        ({"tables": ["t"], "columns": ["a"]}, ['"columns" is a list, not an object']),
        ({"tables": ["t"], "columns": {"t": "a"}}, ["\"columns\"['t'] is a str, not a list"]),
        ({"tables": ["t"], "columns": {"t": [{"title": "a"}, None]}}, ["\"columns\"['t'][0]", "\"columns\"['t'][1]"]),
        ({"tables": ["t"], "columns": {" ": ["a"]}}, ["has the key ' '"]),
    ],
)
def test_malformed_proposals_list_everything_that_is_wrong(payload: object, complaints: list[str]) -> None:
    with pytest.raises(PayloadError) as caught:
        proposal_schema(payload)  # type: ignore[arg-type]
    assert isinstance(caught.value, DataError)
    for complaint in [*complaints, 'expected {"tables"']:
        assert complaint in str(caught.value)
