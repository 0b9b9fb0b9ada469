"""Gold statements in the dialects of the other engines: the same answers, names spelled as declared."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import duckdb
import pytest
import sqlglot

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.gold_schema import UnparseableSQL, gold_schema
from fogline.simulators.databases.records import Catalogue, Column
from fogline.simulators.databases.translation import UntranslatableSQL, translate_query

TABLES = (
    'CREATE TABLE "Customer" ("Id" BIGINT, "Name" TEXT, "Age" BIGINT)',
    'CREATE TABLE "Order Details" ("order id" BIGINT, "CustomerId" BIGINT, "Price" DOUBLE PRECISION)',
    "INSERT INTO \"Customer\" VALUES (1, 'Ann', 31), (2, 'bob', 28), (3, NULL, 45)",
    'INSERT INTO "Order Details" VALUES (1, 1, 10.5), (2, 1, 4.25), (3, 2, 7.0)',
)
CATALOGUE = Catalogue(
    {
        "Customer": (Column("Id", "INTEGER", True), Column("Name", "NVARCHAR(160)"), Column("Age", "INTEGER")),
        "Order Details": (
            Column("order id", "INTEGER"),
            Column("CustomerId", "INTEGER"),
            Column("Price", "REAL"),
        ),
    }
)

QUERIES = [
    "SELECT name FROM customer WHERE AGE > 30 ORDER BY name IS NULL, name",
    'SELECT c.Name, SUM(price) FROM customer AS c JOIN "order details" AS o ON o.customerid = c.id '
    "GROUP BY c.name ORDER BY 2",
    'SELECT t.total FROM (SELECT CustomerId, ROUND(SUM(Price), 1) AS total FROM "Order Details" GROUP BY 1) AS t '
    "ORDER BY total",
    'WITH Spent AS (SELECT CustomerId AS Buyer, SUM(Price) AS Amount FROM "Order Details" GROUP BY CustomerId) '
    "SELECT c.*, Spent.Amount FROM Spent JOIN Customer AS c ON c.Id = Spent.Buyer ORDER BY Spent.Amount",
    'SELECT Id FROM Customer AS c WHERE EXISTS (SELECT 1 FROM "Order Details" WHERE CustomerId = c.Id) ORDER BY Id',
    "SELECT Id / 2, 1.0 * Id / 2 FROM Customer ORDER BY Id",
    "SELECT SUBSTR(Name, 1, 2) || '!' FROM Customer WHERE Name IS NOT NULL ORDER BY Id",
    "SELECT Id, RANK() OVER (ORDER BY Age DESC) AS place FROM Customer ORDER BY place",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT i FROM n ORDER BY i",
]


@pytest.fixture(name="engines")
def fixture_engines() -> Iterator[tuple[sqlite3.Connection, duckdb.DuckDBPyConnection]]:
    plain, other = sqlite3.connect(":memory:"), duckdb.connect()
    for statement in TABLES:
        plain.execute(statement)
        other.execute(statement)
    yield plain, other
    plain.close()
    other.close()


@pytest.mark.parametrize("sql", QUERIES)
def test_duckdb_gives_the_answers_of_sqlite(
    engines: tuple[sqlite3.Connection, duckdb.DuckDBPyConnection], sql: str
) -> None:
    plain, other = engines
    assert other.execute(translate_query(sql, CATALOGUE, "duckdb")).fetchall() == plain.execute(sql).fetchall()


@pytest.mark.parametrize("engine", ["duckdb", "postgresql"])
@pytest.mark.parametrize("sql", QUERIES)
def test_names_are_quoted_in_their_declared_case(engine: str, sql: str) -> None:
    dialect = {"duckdb": "duckdb", "postgresql": "postgres"}[engine]
    translated = translate_query(sql, CATALOGUE, engine)
    assert gold_schema(translated, CATALOGUE, dialect).tables == gold_schema(sql, CATALOGUE).tables
    declared = {name for table, columns in CATALOGUE.tables.items() for name in (table, *(c.name for c in columns))}
    tree = sqlglot.parse_one(translated, read=dialect)
    for identifier in tree.find_all(sqlglot.exp.Identifier):
        assert identifier.args["quoted"]
        if identifier.name.lower() in {name.lower() for name in declared}:
            assert identifier.name in declared


def test_sqlite_keeps_its_text() -> None:
    assert translate_query("SELECT  name\nFROM customer", CATALOGUE, "sqlite") == "SELECT  name\nFROM customer"


def test_what_cannot_be_translated_is_an_error() -> None:
    with pytest.raises(UntranslatableSQL, match="nme"):
        translate_query("SELECT nme FROM customer", CATALOGUE, "duckdb")
    with pytest.raises(UnparseableSQL):
        translate_query("SELEKT", CATALOGUE, "duckdb")
    with pytest.raises(ConfigurationError, match="engine='mysql'"):
        translate_query("SELECT 1", CATALOGUE, "mysql")
